//! The `warden` domain on the host: stops and starts the cells' processes through the launcher, which has the descriptors
//! that the warden has no right to.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::os::fd::AsFd;
use std::rc::Rc;

use anyhow::{Result, bail};
use pd_system_description::Role;
use runner_interfaces::kernel::Domain;
use runner_warden::{Cells, Fault, NotScheduled, Warden};
use rustix::event::PollFlags;

use super::Shell;
use crate::substrate::control::{ControlSocket, ToDomain, ToLauncher};
use crate::substrate::event_loop::{deliver, wait};

/// A cell's process that ended by itself.
struct CellEnd {
    cell: usize,
    incarnation: u32,
    signal: u32,
}

/// The launcher, as the warden knows it.
struct Launcher {
    control: ControlSocket,
    /// Ends that were reported while the warden waited for an answer.
    ends: VecDeque<CellEnd>,
    /// Which life each cell's process is in, where it is not the first.
    incarnations: HashMap<usize, u32>,
}

impl Launcher {
    /// Waits for one message; `true` for the answer to a request.
    fn receive(&mut self) -> Result<bool> {
        match self.control.receive()?.0 {
            ToDomain::Done => Ok(true),
            ToDomain::CellEnded { cell, incarnation, signal } => {
                if let Some(Role::Cell(cell)) = Role::of(&cell) {
                    self.ends.push_back(CellEnd { cell, incarnation, signal });
                }
                Ok(false)
            }
            other => bail!("the launcher said {other:?}, which means nothing here"),
        }
    }

    /// Asks, and waits until it is done. The launcher waits for nobody meanwhile but the processes that it kills.
    fn ask(&mut self, request: &ToLauncher) -> Result<()> {
        self.control.send(request)?;
        while !self.receive()? {}
        Ok(())
    }

    /// The next end that is about a life which still is the cell's.
    fn next_end(&mut self) -> Option<CellEnd> {
        while let Some(end) = self.ends.pop_front() {
            if end.incarnation == self.incarnation(end.cell) {
                return Some(end);
            }
        }
        None
    }

    fn incarnation(&self, cell: usize) -> u32 {
        self.incarnations.get(&cell).copied().unwrap_or(1)
    }
}

/// The launcher in two hands: the warden's, and the event loop's.
#[derive(Clone)]
struct CellProcesses(Rc<RefCell<Launcher>>);

impl CellProcesses {
    /// Without a launcher there is no node: the process ends as it would with the launcher.
    fn ask(&self, request: &ToLauncher) {
        self.0.borrow_mut().ask(request).expect("the launcher lives as long as the node");
    }
}

impl Cells for CellProcesses {
    /// A person's machine is not the board, and budgets are enforced on nobody.
    fn keeps_time(&self) -> bool {
        false
    }

    fn stop(&mut self, cell: usize) {
        self.ask(&ToLauncher::StopCell(format!("cell{cell}")));
    }

    fn restart(&mut self, cell: usize, _: u64) {
        self.ask(&ToLauncher::StartCell(format!("cell{cell}")));
        let mut launcher = self.0.borrow_mut();
        let next = launcher.incarnation(cell) + 1;
        launcher.incarnations.insert(cell, next);
    }

    /// Linux has no budgets of this kind for a process; what admission computed is shown, and nobody enforces it.
    fn bind_class(&mut self, _: usize, _: usize) -> Result<(), NotScheduled> {
        Ok(())
    }

    fn bind_own(&mut self, _: usize) -> Result<(), NotScheduled> {
        Ok(())
    }

    /// Not carried out either: without a budget, a container that loops at a real-time priority would take the machine away from its
    /// person (`substrate::priority`).
    fn set_priority(&mut self, _: usize, _: u8) -> Result<(), NotScheduled> {
        Ok(())
    }
}

pub(super) fn run(mut shell: Shell) -> Result<()> {
    let control = ControlSocket::from_descriptor(shell.control.as_fd().try_clone_to_owned()?);
    let launcher = Launcher { control, ends: VecDeque::new(), incarnations: HashMap::new() };
    let processes = CellProcesses(Rc::new(RefCell::new(launcher)));
    let mut warden = Warden::new(&shell.wiring, processes.clone())?;
    if !warden.has_policy() {
        bail!("the region `policy` holds none that the warden can read");
    }
    warden.start(&mut shell.kernel);
    let finding = warden.self_test(&mut shell.kernel);
    shell.report(&finding)?;
    shell.started()?;
    loop {
        let events = wait(&shell.kernel, &[(shell.control.as_fd(), PollFlags::IN)], None)?;
        if !events.others.iter().all(|flags| flags.is_empty()) {
            processes.0.borrow_mut().receive()?;
        }
        deliver(&mut warden, &mut shell.kernel, &events);
        // Each borrow ends before the warden may ask for something.
        while let Some(end) = { processes.0.borrow_mut().next_end() } {
            let fault = Fault { kind: u64::from(end.signal), ..Fault::default() };
            warden.faulted(&mut shell.kernel, end.cell, fault);
        }
    }
}
