//! One domain's process: started with its handover, watched by its pidfd.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use pd_system_description::Role;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::substrate::control::{ControlSocket, ToDomain, ToLauncher, pair};

/// How long a domain may take from one step of its start to the next: milliseconds where nothing else runs, seconds on a
/// machine that is busy compiling.
const STEP_LIMIT: Duration = Duration::from_secs(30);

/// A process and the launcher's ends of what belongs to it.
pub(super) struct Process {
    /// The domain.
    pub(super) name: String,
    /// Its part.
    pub(super) role: Role,
    /// Which life of the domain this is, from 1.
    pub(super) incarnation: u32,
    /// To the process.
    pub(super) control: ControlSocket,
    /// Readable once the process has ended.
    pub(super) ended: OwnedFd,
    child: Child,
}

impl Process {
    /// Starts the process; it waits for its handover.
    pub(super) fn spawn(name: &str, role: Role, incarnation: u32, log: File) -> Result<Self> {
        let (control, theirs) = pair()?;
        let child = Command::new("/proc/self/exe")
            .arg0("atoll-host")
            .args(["domain", name, "--launcher", &std::process::id().to_string()])
            .env_clear()
            .env("RUST_BACKTRACE", "1")
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log))
            .spawn()
            .with_context(|| format!("cannot start the process of `{name}`"))?;
        let process = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("a process has no number")?;
        let ended = pidfd_open(process, PidfdFlags::empty())?;
        Ok(Self { name: name.to_owned(), role, incarnation, control, ended, child })
    }

    /// Its number.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the next step of its start.
    pub(super) fn expect(&self, step: &ToLauncher) -> Result<()> {
        let limit = Timespec::try_from(STEP_LIMIT)?;
        let mut descriptors = [PollFd::from_borrowed_fd(self.control.as_fd(), PollFlags::IN)];
        if rustix::io::retry_on_intr(|| poll(&mut descriptors, Some(&limit)))? == 0 {
            bail!("`{}` did not start within {STEP_LIMIT:?}", self.name);
        }
        match self.control.receive::<ToLauncher>() {
            Ok((found, _)) if found == *step => Ok(()),
            Ok((ToLauncher::Failed(problem), _)) => bail!("`{}` cannot start: {problem}", self.name),
            Ok((found, _)) => bail!("`{}` said {found:?} where {step:?} was due", self.name),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => bail!("`{}` ended while starting", self.name),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends it a message without descriptors.
    pub(super) fn send(&self, message: &ToDomain) -> io::Result<()> {
        self.control.send(message)
    }

    /// Ends it at once and waits until nothing of it runs any more. Answers the signal that ended it, 0 where none did.
    pub(super) fn end(&mut self) -> io::Result<u32> {
        // It may have ended by itself: then there is nothing to kill, and its end to collect.
        let _ = self.child.kill();
        self.collect()
    }

    /// How it ended, once it has.
    pub(super) fn collect(&mut self) -> io::Result<u32> {
        let status = self.child.wait()?;
        Ok(status.signal().and_then(|signal| u32::try_from(signal).ok()).unwrap_or(0))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.end();
    }
}
