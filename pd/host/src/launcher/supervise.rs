//! The node's life: everything started in order, watched, and ended together.

use std::collections::HashMap;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use pd_system_description::{Domain, Role, System};
use runner_interfaces::boot_report::{Standing, write_table};
use runner_interfaces::timer::TICK_NS;
use rustix::event::{PollFd, PollFlags, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::objects::{Objects, is_restartable};
use super::process::Process;
use super::{Abilities, Plan, Until};
use crate::run_directory::{NODE_SOCKET, RunDirectory, log_file};
use crate::signals;
use crate::substrate::control::{ToDomain, ToLauncher};
use crate::substrate::handover::Handover;
use crate::substrate::kernel::monotonic_ns;

/// A bridge that ends this often within [`BRIDGE_WINDOW`] will not come up by being started once more.
const BRIDGE_ENDS_LIMIT: usize = 5;

/// See [`BRIDGE_ENDS_LIMIT`].
const BRIDGE_WINDOW: Duration = Duration::from_secs(10);

struct Supervisor<'a> {
    system: System,
    labels: Vec<(String, u8)>,
    objects: Objects,
    directory: &'a RunDirectory,
    epoch_ns: u64,
    abilities: Abilities,
    /// By name. A cell that the warden has stopped is not there.
    processes: HashMap<String, Process>,
    /// How many lives each domain has had.
    incarnations: HashMap<String, u32>,
    bridge_ends: Vec<Instant>,
}

/// Runs the node until it is told to end, or cannot go on.
pub(super) fn run(plan: Plan, directory: &RunDirectory, abilities: Abilities, until: Until) -> Result<()> {
    let signals = signals(until)?;
    let objects = Objects::make(&plan.system, &plan.prefilled)?;
    let mut supervisor = Supervisor {
        system: plan.system,
        labels: plan.labels,
        objects,
        directory,
        epoch_ns: last_tick(monotonic_ns()),
        abilities,
        processes: HashMap::new(),
        incarnations: HashMap::new(),
        bridge_ends: Vec::new(),
    };
    supervisor.start()?;
    directory.note_ready()?;
    say!("The node is ready: {}", directory.path().join(NODE_SOCKET).display());
    let result = supervisor.watch(&signals);
    // Each process is ended and waited for as it is dropped.
    supervisor.processes.clear();
    say!("The node has ended.");
    result
}

/// Becomes readable when the node is told to end.
fn signals(until: Until) -> Result<UnixStream> {
    let (ours, theirs) = UnixStream::pair()?;
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        signal_hook::low_level::pipe::register(signal, theirs.try_clone()?)?;
    }
    if until == Until::InputEnds {
        thread::Builder::new().name("input".into()).spawn(move || {
            // An error is an end, too.
            let _ = io::copy(&mut io::stdin(), &mut io::sink());
            let _ = (&theirs).write_all(b"e");
        })?;
    }
    Ok(ours)
}

impl Supervisor<'_> {
    /// Starts every domain, the highest priority first: who is called is there before who calls.
    fn start(&mut self) -> Result<()> {
        // Linux has no scheduling contexts, so nobody needs those of the classes.
        let is_process = |domain: &&Domain| !matches!(Role::of(&domain.name), Some(Role::Class(_)));
        let domains = self.system.protection_domains().filter(is_process);
        let mut names: Vec<(u8, String)> = domains.map(|domain| (domain.priority, domain.name.clone())).collect();
        names.sort_by_key(|(priority, _)| std::cmp::Reverse(*priority));
        for (_, name) in &names {
            self.spawn(name)?;
        }
        for (_, name) in &names {
            self.expect(name, &ToLauncher::Mapped)?;
        }
        if !self.objects.settle()? {
            say!("This Linux is older than 5.1: regions are protected by how they were opened, and not by a seal.");
        }
        for (_, name) in &names {
            self.process(name)?.send(&ToDomain::Go)?;
            self.expect(name, &ToLauncher::Started)?;
        }
        self.show_standings(names.iter().map(|(_, name)| name.as_str()))
    }

    /// Tells what every domain found of itself, as `vmm` does on seL4.
    fn show_standings<'a>(&self, names: impl Iterator<Item = &'a str>) -> Result<()> {
        let mut rows = Vec::new();
        for name in names {
            let standing = match self.process(name)?.role {
                Role::Vmm => Standing::Running("in place of Linux: moves bytes between a socket and admission".into()),
                _ => self.objects.standing(name)?,
            };
            rows.push((name, standing));
        }
        let mut table = String::new();
        write_table(&mut table, rows)?;
        say!("{}", table.trim_end());
        Ok(())
    }

    fn process(&self, name: &str) -> Result<&Process> {
        self.processes.get(name).with_context(|| format!("`{name}` does not run"))
    }

    fn expect(&self, name: &str, step: &ToLauncher) -> Result<()> {
        let log = log_file(self.directory.path(), name);
        self.process(name)?.expect(step).with_context(|| format!("see {}", log.display()))
    }

    /// Starts a domain's process and hands over its wiring.
    fn spawn(&mut self, name: &str) -> Result<()> {
        let role = Role::of(name).ok_or_else(|| anyhow!("`{name}` is the name of no role"))?;
        let incarnation = self.incarnations.entry(name.to_owned()).or_default();
        *incarnation += 1;
        let incarnation = *incarnation;
        let log = self.directory.open_log(name, incarnation > 1)?;
        let process = Process::spawn(name, role, incarnation, log)?;
        self.directory.note_process(name, process.id())?;
        self.hand_over(&process)?;
        self.processes.insert(name.to_owned(), process);
        Ok(())
    }

    fn hand_over(&self, process: &Process) -> Result<()> {
        let wiring = self.system.wiring(&process.name)?;
        let domain = self.system.domain(&process.name).context("it was wired")?;
        let heap_bytes = wiring.region("region_heap").map(|heap| heap.size_bytes);
        let (regions, channels, descriptors) = self.objects.parts(&wiring)?;
        let handover = Handover {
            domain: process.name.clone(),
            epoch_ns: self.epoch_ns,
            priority: domain.priority,
            real_time: self.abilities.real_time,
            confined: self.abilities.confined,
            heap_bytes,
            incarnation: process.incarnation,
            run_directory: self.directory.path().to_string_lossy().into_owned(),
            labels: if process.role == Role::Gpio { self.labels.clone() } else { Vec::new() },
            regions,
            channels,
        };
        process.control.send_with(&ToDomain::Handover(Box::new(handover)), &descriptors)?;
        Ok(())
    }

    /// Starts a domain's process in a node that runs already.
    fn start_again(&mut self, name: &str) -> Result<()> {
        self.spawn(name)?;
        Ok(self.process(name)?.send(&ToDomain::Go)?)
    }

    /// Sees what happens until the node is told to end (`Ok`), or a domain that it cannot do without has ended.
    fn watch(&mut self, signals: &UnixStream) -> Result<()> {
        loop {
            let names: Vec<String> = self.processes.keys().cloned().collect();
            let ready = self.wait(signals, &names)?;
            if ready.told_to_end {
                return Ok(());
            }
            for name in ready.spoke {
                self.serve(&name)?;
            }
            for name in ready.ended {
                self.bury(&name)?;
            }
        }
    }

    fn wait(&self, signals: &UnixStream, names: &[String]) -> Result<Ready> {
        let mut descriptors = vec![PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN)];
        for name in names {
            let process = self.process(name)?;
            let watched: [BorrowedFd<'_>; 2] = [process.control.as_fd(), process.ended.as_fd()];
            descriptors.extend(watched.map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN)));
        }
        rustix::io::retry_on_intr(|| poll(&mut descriptors, None))?;
        let is_ready: Vec<bool> = descriptors.iter().map(|found| found.revents().contains(PollFlags::IN)).collect();
        let (told_to_end, pairs) = is_ready.split_first().map_or((false, &[][..]), |(first, rest)| (*first, rest));
        let mut ready = Ready { told_to_end, ..Ready::default() };
        for (name, pair) in names.iter().zip(pairs.chunks(2)) {
            if pair[0] {
                ready.spoke.push(name.clone());
            }
            if pair[1] {
                ready.ended.push(name.clone());
            }
        }
        Ok(ready)
    }

    /// Does what a domain asks. Only the warden may ask, and only about cells.
    fn serve(&mut self, name: &str) -> Result<()> {
        let Some(process) = self.processes.get(name) else { return Ok(()) };
        // A process that ended closes its end; that it ended is seen by its pidfd.
        let Ok((message, _)) = process.control.receive::<ToLauncher>() else { return Ok(()) };
        match message {
            ToLauncher::StopCell(cell) if process.role == Role::Warden => self.stop_cell(&cell)?,
            ToLauncher::StartCell(cell) if process.role == Role::Warden => self.start_cell(&cell)?,
            ToLauncher::Failed(problem) => say!("`{name}` cannot start: {problem}"),
            ToLauncher::Mapped | ToLauncher::Started => return Ok(()),
            ToLauncher::StopCell(_) | ToLauncher::StartCell(_) => {
                say!("`{name}` asked for what only the warden may ask; ignored");
            }
        }
        Ok(())
    }

    fn stop_cell(&mut self, cell: &str) -> Result<()> {
        if let Some(Role::Cell(_)) = Role::of(cell)
            && let Some(mut process) = self.processes.remove(cell)
        {
            self.directory.forget_process(cell);
            process.end().with_context(|| format!("cannot end `{cell}`"))?;
        }
        self.answer_warden(&ToDomain::Done)
    }

    fn start_cell(&mut self, cell: &str) -> Result<()> {
        let described = self.system.domain(cell).is_some() && matches!(Role::of(cell), Some(Role::Cell(_)));
        if described && !self.processes.contains_key(cell) {
            self.objects.scrub(&self.system, cell)?;
            self.start_again(cell)?;
        }
        self.answer_warden(&ToDomain::Done)
    }

    fn answer_warden(&self, message: &ToDomain) -> Result<()> {
        let warden = self.processes.values().find(|process| process.role == Role::Warden);
        // A warden that is gone is found by its pidfd; then the node ends.
        if let Some(warden) = warden {
            let _ = warden.send(message);
        }
        Ok(())
    }

    /// A process ended that nobody had asked to end.
    fn bury(&mut self, name: &str) -> Result<()> {
        // Gone already where the warden had the same thought in the meantime.
        let Some(process) = self.processes.get(name) else { return Ok(()) };
        let mut spent = [PollFd::from_borrowed_fd(process.ended.as_fd(), PollFlags::IN)];
        if poll(&mut spent, Some(&rustix::event::Timespec::default()))? == 0 {
            // Stopped and started again since the wait: this life is another.
            return Ok(());
        }
        let Some(mut process) = self.processes.remove(name) else { return Ok(()) };
        self.directory.forget_process(name);
        let signal = process.collect()?;
        let log = log_file(self.directory.path(), name);
        say!("`{name}` ended ({}); its log is {}", signals::name(u64::from(signal)), log.display());
        match process.role {
            Role::Cell(_) => {
                let cell = name.to_owned();
                self.answer_warden(&ToDomain::CellEnded { cell, incarnation: process.incarnation, signal })
            }
            role if is_restartable(role) => self.restart_bridge(name),
            _ => bail!("the node cannot go on without `{name}`: see {}", log.display()),
        }
    }

    /// The bridge stands for Linux, which may crash and come back while the containers run on.
    fn restart_bridge(&mut self, name: &str) -> Result<()> {
        let now = Instant::now();
        self.bridge_ends.retain(|&end| now.duration_since(end) < BRIDGE_WINDOW);
        self.bridge_ends.push(now);
        if self.bridge_ends.len() > BRIDGE_ENDS_LIMIT {
            bail!("`{name}` ended {BRIDGE_ENDS_LIMIT} times within {BRIDGE_WINDOW:?}");
        }
        self.start_again(name)
    }
}

/// The tick at or before `now_ns`: the node's clock starts at one.
const fn last_tick(now_ns: u64) -> u64 {
    now_ns - now_ns % TICK_NS
}

/// What a wait found.
#[derive(Default)]
struct Ready {
    told_to_end: bool,
    spoke: Vec<String>,
    ended: Vec<String>,
}
