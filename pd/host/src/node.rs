//! A node for programs and tests: started, looked into, and stopped again.
//!
//! The node runs as processes of its own (`atoll-host up`), so a test's panic cannot take it along, and a node's fault cannot
//! the test; both end with the value. Whoever uses this trusts what they start.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::pins::Pins;
use crate::run_directory::{NODE_SOCKET, READY_FILE, log_file, process_file};

/// How long to wait between looks at something that comes by itself.
const LOOK_PERIOD: Duration = Duration::from_millis(5);

/// How long a node may take to end: it kills its processes and waits for nothing else.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// The launcher's log in the run directory.
const LAUNCHER: &str = "launcher";

/// What node to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program `atoll-host`.
    pub program: PathBuf,
    /// The system; `None` for the project's own.
    pub system: Option<PathBuf>,
    /// The board policy; `None` for the demo board's.
    pub policy: Option<PathBuf>,
    /// A directory of public keys; `None` for the demo keys.
    pub keys: Option<PathBuf>,
    /// Where its sockets and logs are; made where it is missing, and left behind.
    pub run_directory: PathBuf,
    /// How long it may take to start. It starts a dozen processes on a machine that may be busy.
    pub start_limit: Duration,
}

impl Options {
    /// The project's own system with the demo board's policy.
    pub fn new(program: impl Into<PathBuf>, run_directory: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            system: None,
            policy: None,
            keys: None,
            run_directory: run_directory.into(),
            start_limit: Duration::from_secs(60),
        }
    }
}

/// A node that runs. Dropped, it is stopped.
#[derive(Debug)]
pub struct Node {
    launcher: Child,
    run_directory: PathBuf,
}

impl Node {
    /// Starts a node and waits until every domain has started and its socket takes connections.
    ///
    /// # Errors
    /// It cannot be started, ends, or is not ready in time; with what the launcher said.
    pub fn start(options: &Options) -> Result<Self> {
        fs::create_dir_all(&options.run_directory)
            .with_context(|| format!("cannot make {}", options.run_directory.display()))?;
        let log_path = log_file(&options.run_directory, LAUNCHER);
        let log = File::create(&log_path).with_context(|| format!("cannot write {}", log_path.display()))?;
        let mut command = Command::new(&options.program);
        command.arg("up").arg("--stop-with-parent").arg("--run-directory").arg(&options.run_directory);
        for (flag, file) in [("--system", &options.system), ("--policy", &options.policy), ("--keys", &options.keys)] {
            if let Some(file) = file {
                command.arg(flag).arg(file);
            }
        }
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let launcher = command.spawn().with_context(|| format!("cannot run {}", options.program.display()))?;
        let mut node = Self { launcher, run_directory: options.run_directory.clone() };
        node.wait_until_ready(options.start_limit)?;
        Ok(node)
    }

    fn wait_until_ready(&mut self, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        let ready = self.run_directory.join(READY_FILE);
        loop {
            // Another node's file, or one left over, has another number in it.
            let number = fs::read_to_string(&ready).unwrap_or_default();
            if number.trim() == self.launcher.id().to_string() {
                return Ok(());
            }
            if let Some(status) = self.launcher.try_wait()? {
                bail!("the node ended while starting ({status}): {}", self.log(LAUNCHER));
            }
            if Instant::now() >= deadline {
                bail!("the node was not ready within {limit:?}: {}", self.log(LAUNCHER));
            }
            thread::sleep(LOOK_PERIOD);
        }
    }

    /// The socket that `emit --node` takes.
    pub fn socket(&self) -> PathBuf {
        self.run_directory.join(NODE_SOCKET)
    }

    /// Where its sockets and logs are.
    pub fn run_directory(&self) -> &Path {
        &self.run_directory
    }

    /// A connection to the pins of its bank.
    ///
    /// # Errors
    /// The node is gone.
    pub fn gpio(&self) -> io::Result<Pins> {
        Pins::connect(&self.run_directory)
    }

    /// The process of a domain now; a cell that was started again has another than before.
    ///
    /// # Errors
    /// There is no such domain, or it has no process at the moment.
    pub fn domain_pid(&self, domain: &str) -> io::Result<u32> {
        fs::read_to_string(process_file(&self.run_directory, domain))?.trim().parse().map_err(io::Error::other)
    }

    /// How long these domains together have been without a processor so far, by Linux' own account: each process' wait for
    /// its turn, and what a hypervisor below took of all processors. For whoever counts what a node did in a time: this is not
    /// seL4, and a busy machine makes it late. A kernel that does not account for it tells of no wait.
    ///
    /// # Errors
    /// One of them does not exist, or has no process at the moment.
    pub fn waited_ns(&self, domains: &[&str]) -> io::Result<u64> {
        domains.iter().try_fold(stolen_ns(), |waited_ns, domain| {
            // Nanoseconds on the processor, nanoseconds waited for it, turns (Linux, Documentation/scheduler/sched-stats).
            let text = fs::read_to_string(format!("/proc/{}/schedstat", self.domain_pid(domain)?)).unwrap_or_default();
            Ok(waited_ns + field(&text, 1))
        })
    }

    /// Kills a domain's process, as a fault would.
    ///
    /// # Errors
    /// There is no such domain, or it has no process at the moment.
    pub fn kill_domain(&self, domain: &str) -> io::Result<()> {
        let process = i32::try_from(self.domain_pid(domain)?).ok().and_then(Pid::from_raw);
        Ok(kill_process(process.ok_or(io::ErrorKind::NotFound)?, Signal::KILL)?)
    }

    /// What a domain (or `launcher`) has logged.
    pub fn log(&self, domain: &str) -> String {
        fs::read_to_string(log_file(&self.run_directory, domain)).unwrap_or_default()
    }

    /// Stops the node.
    ///
    /// # Errors
    /// It had ended before, with a failure, or does not end in time.
    pub fn stop(mut self) -> Result<()> {
        let status = self.end()?;
        if status.success() { Ok(()) } else { bail!("the node ended with {status}: {}", self.log(LAUNCHER)) }
    }

    /// Lets the node run on without this value, as long as the thread that started it lives.
    pub fn leave_running(self) {
        std::mem::forget(self);
    }

    fn end(&mut self) -> Result<std::process::ExitStatus> {
        let deadline = Instant::now() + STOP_LIMIT;
        if let Some(process) = i32::try_from(self.launcher.id()).ok().and_then(Pid::from_raw)
            && self.launcher.try_wait()?.is_none()
        {
            // Not waited for yet, so the number is still the launcher's.
            let _ = kill_process(process, Signal::TERM);
        }
        while Instant::now() < deadline {
            if let Some(status) = self.launcher.try_wait()? {
                return Ok(status);
            }
            thread::sleep(LOOK_PERIOD);
        }
        self.launcher.kill()?;
        self.launcher.wait()?;
        bail!("the node did not end within {STOP_LIMIT:?}; it was killed, and Linux ended its processes");
    }
}

/// What a hypervisor has given to others of the time that this machine's processors wanted, together.
fn stolen_ns() -> u64 {
    /// `USER_HZ`, the same on every architecture that this runs on (Linux, `include/asm-generic/param.h`).
    const TICK_NS: u64 = 10_000_000;
    /// Behind "cpu": user, nice, system, idle, iowait, irq, softirq, steal (Linux, Documentation/filesystems/proc).
    const STEAL: usize = 8;
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    TICK_NS * field(text.lines().next().unwrap_or_default(), STEAL)
}

/// A number among the words of a line, and 0 where there is none.
fn field(line: &str, index: usize) -> u64 {
    line.split_whitespace().nth(index).and_then(|word| word.parse().ok()).unwrap_or(0)
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.end();
    }
}
