//! A QEMU that runs for a program.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::arguments::port_socket;
use super::{Launch, PortPeer, Qemu};
use crate::console::Console;
use crate::debugger::Debugger;
use crate::monitor::Monitor;

/// How long QEMU may take to open its monitor: it does so before it starts the machine.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// How often something is looked at that cannot be waited for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A running machine. QEMU is killed when this is dropped.
#[derive(Debug)]
pub struct Machine {
    /// The machine's first serial port.
    pub console: Console,
    /// QEMU's monitor.
    pub monitor: Monitor,
    ports: Vec<super::Port>,
    // Fields are dropped in this order: first QEMU ends, then its folder goes.
    process: Process,
    folder: TempDir,
}

impl Machine {
    pub(super) fn start(qemu: &Qemu, launch: &Launch) -> Result<Self> {
        let folder = launch.run_folder()?;
        let socket = folder.path().join("monitor");
        let mut command = Command::new(&qemu.path);
        command
            .args(launch.machine_arguments(folder.path()))
            // Pipes lose nothing that is said before anyone connects, and have no key that means something to QEMU.
            .args(["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console", "-chardev"])
            .arg(format!("socket,id=monitor,server=on,wait=off,path={}", socket.display()))
            .args(["-mon", "chardev=monitor,mode=control"])
            .args(["-gdb", "chardev:debugger", "-chardev"])
            .arg(format!("socket,id=debugger,server=on,wait=off,path={}", debugger_socket(folder.path()).display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut process = Process::start(command).with_context(|| format!("cannot start {}", qemu.path.display()))?;
        let output = process.child.stdout.take().context("QEMU's output is a pipe")?;
        let input = process.child.stdin.take().context("QEMU's input is a pipe")?;
        let console = Console::new(output, input);
        let deadline = Instant::now() + START_TIMEOUT;
        let monitor = loop {
            match Monitor::connect(&socket) {
                Ok(monitor) => break monitor,
                Err(error) => process.check_starting(deadline, &error)?,
            }
        };
        Ok(Self { console, monitor, ports: launch.ports.clone(), process, folder })
    }

    /// Connects to the host's end of a port that was added with [`PortPeer::Us`].
    ///
    /// # Errors
    /// There is no such port, or QEMU does not listen.
    pub fn connect_port(&self, name: &str) -> Result<UnixStream> {
        let ours = |port: &super::Port| port.name == name && port.peer == PortPeer::Us;
        let index =
            self.ports.iter().position(ours).with_context(|| format!("this machine has no port {name} for us"))?;
        let path = port_socket(self.folder.path(), index);
        UnixStream::connect(&path).with_context(|| format!("cannot connect to the port {name} at {}", path.display()))
    }

    /// Stops the processor until what is returned is dropped.
    ///
    /// # Errors
    /// QEMU does not listen.
    pub fn stop(&self) -> Result<Debugger> {
        Debugger::connect(&debugger_socket(self.folder.path()))
    }

    /// Waits until QEMU ends by itself, as it does when the machine is switched off.
    ///
    /// # Errors
    /// It does not in time.
    pub fn wait_for_exit(&mut self, timeout: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + timeout;
        while Instant::now() < deadline {
            if let Some(status) = self.process.child.try_wait()? {
                return Ok(status);
            }
            thread::sleep(LOOK_EVERY);
        }
        bail!("QEMU still runs after {timeout:?}")
    }

    /// The process id of QEMU.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process.child.id()
    }

    /// What QEMU itself complained about on its standard error.
    #[must_use]
    pub fn complaints(&self) -> String {
        self.process.complaints()
    }
}

fn debugger_socket(run_folder: &Path) -> PathBuf {
    run_folder.join("debugger")
}

/// The QEMU process, and one that kills it should we die first.
#[derive(Debug)]
struct Process {
    child: Child,
    complaints: Arc<Mutex<Vec<u8>>>,
    guard: Child,
    /// The guard acts when this closes, which the kernel does for us whatever we die of.
    guard_input: Option<ChildStdin>,
}

impl Process {
    fn start(mut command: Command) -> Result<Self> {
        let mut child = command.spawn()?;
        let complaints = Arc::new(Mutex::new(Vec::new()));
        if let Some(errors) = child.stderr.take() {
            let kept = Arc::clone(&complaints);
            thread::spawn(move || keep(errors, &kept));
        }
        match start_guard(child.id()) {
            Ok(mut guard) => {
                let guard_input = guard.stdin.take();
                Ok(Self { child, complaints, guard, guard_input })
            }
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    fn complaints(&self) -> String {
        let complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&complaints).trim().to_owned()
    }

    /// Whether it makes sense to look again.
    fn check_starting(&mut self, deadline: Instant, reason: &anyhow::Error) -> Result<()> {
        thread::sleep(LOOK_EVERY);
        if let Some(status) = self.child.try_wait()? {
            // Its last words may still be on their way.
            thread::sleep(LOOK_EVERY);
            bail!("QEMU ended at once ({status}): {}", self.complaints());
        }
        if Instant::now() > deadline {
            bail!("QEMU's monitor did not open within {START_TIMEOUT:?}: {reason:#}; {}", self.complaints());
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL. An error means it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        // The guard ends first and only then its input closes: the process id may be someone else's by now.
        let _ = self.guard.kill();
        let _ = self.guard.wait();
        drop(self.guard_input.take());
    }
}

/// A shell that waits for the end of its input, which nobody writes to, and then kills a process.
fn start_guard(process_id: u32) -> Result<Child> {
    Command::new("/bin/sh")
        .args(["-c", "read -r never; kill -KILL \"$0\"", &process_id.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start the shell that watches over QEMU")
}

/// Keeps the first part of what is said: a fault at start is in it, and no amount of it fills the memory.
fn keep(mut errors: impl Read, kept: &Mutex<Vec<u8>>) {
    const KEPT_BYTES: usize = 64 << 10;
    let mut buffer = [0; 1024];
    while let Ok(length @ 1..) = errors.read(&mut buffer) {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT_BYTES {
            kept.extend_from_slice(&buffer[..length]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_alive(process_id: u32) -> bool {
        // A zombie has ended too.
        let status = std::fs::read_to_string(format!("/proc/{process_id}/stat")).unwrap_or_default();
        status.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
    }

    fn stubborn() -> Process {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "trap '' TERM; echo up >&2; while :; do sleep 1; done"]).stderr(Stdio::piped());
        Process::start(command).expect("a shell")
    }

    #[test]
    fn a_process_that_ignores_sigterm_is_gone_when_dropped() {
        let process = stubborn();
        let (id, guard) = (process.child.id(), process.guard.id());
        assert!(is_alive(id));
        drop(process);
        assert!(!is_alive(id));
        assert!(!is_alive(guard));
    }

    #[test]
    fn the_guard_kills_when_we_die() {
        let mut process = stubborn();
        // What the kernel does when this process ends in whatever way.
        drop(process.guard_input.take());
        let deadline = Instant::now() + Duration::from_secs(10);
        while process.child.try_wait().expect("ours").is_none() {
            assert!(Instant::now() < deadline, "the guard did not act");
            thread::sleep(LOOK_EVERY);
        }
    }

    #[test]
    fn a_qemu_that_refuses_its_arguments_is_quoted() {
        let qemu = Qemu { path: "/bin/ls".into(), version: (10, 0, 0) };
        let error = Machine::start(&qemu, &Launch::atoll(crate::board::Board::QemuVirtAarch64, "/nonexistent"))
            .expect_err("ls is no QEMU");
        assert!(error.to_string().contains("ended at once"), "{error}");
        assert!(error.to_string().contains("invalid option") || error.to_string().contains("unrecognized"), "{error}");
    }
}
