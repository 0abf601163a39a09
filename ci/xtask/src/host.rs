//! The node on this machine: built, started, and stopped again.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::process::{self, step};

/// How long a node may take to come up: it starts a dozen processes on a machine that may be busy compiling.
const START_LIMIT: Duration = Duration::from_secs(30);

/// How long it may take to end its domains.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Builds `atoll-host` and `emit`; answers the folder they are in.
pub(crate) fn build() -> Result<PathBuf> {
    process::run(process::cargo().args(["build", "--package", "pd-host", "--package", "guest-linux-agent"]))?;
    Ok(process::target_directory().join("debug"))
}

/// The same, optimised, for figures.
pub(crate) fn build_release() -> Result<PathBuf> {
    let packages = ["--package", "pd-host", "--package", "guest-linux-agent"];
    process::run(process::cargo().args(["build", "--release"]).args(packages))?;
    Ok(process::target_directory().join("release"))
}

/// `cargo xtask up`.
pub(crate) fn up() -> Result<()> {
    step("building the node and emit");
    let programs = build()?;
    step("starting the system that system.xml describes, as processes (this is not seL4)");
    eprintln!("In another terminal:\n  export PATH={}:$PATH\n  emit info\nCtrl-C ends it.", programs.display());
    process::run(&mut launcher(&programs))
}

fn launcher(programs: &Path) -> Command {
    let mut command = Command::new(programs.join("atoll-host"));
    command.arg("up").current_dir(process::root());
    command
}

/// A node in a run directory of its own, so that a demo meets no node that a person runs.
pub(crate) struct Node {
    launcher: Child,
    run_directory: tempfile::TempDir,
}

impl Node {
    /// Starts it and waits until it answers.
    pub(crate) fn start(programs: &Path) -> Result<Self> {
        let run_directory = tempfile::Builder::new().prefix("atoll-").tempdir().context("no temporary folder")?;
        let mut command = launcher(programs);
        command.arg("--run-directory").arg(run_directory.path()).stdin(Stdio::null());
        let launcher = command.spawn().with_context(|| format!("cannot run {}", process::line_of(&command)))?;
        let mut node = Self { launcher, run_directory };
        node.wait_until_ready(&programs.join("emit"))?;
        Ok(node)
    }

    /// Where its socket and logs are.
    pub(crate) fn run_directory(&self) -> &Path {
        self.run_directory.path()
    }

    fn wait_until_ready(&mut self, emit: &Path) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        while Instant::now() < deadline {
            if let Some(status) = self.launcher.try_wait().context("cannot wait for the node")? {
                bail!("the node ended while starting: {status}; logs: {}", self.keep_logs());
            }
            let mut question = Command::new(emit);
            question.args(["info", "--timeout", "1s"]).env("ATOLL_RUN_DIRECTORY", self.run_directory.path());
            if question.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(50));
        }
        bail!("the node did not answer within {START_LIMIT:?}; logs: {}", self.keep_logs());
    }

    /// Leaves the run directory behind, so that a person can look at what went wrong.
    fn keep_logs(&mut self) -> String {
        self.run_directory.disable_cleanup(true);
        self.run_directory.path().display().to_string()
    }

    /// Ends it as Ctrl-C would and waits until all its domains are gone.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.terminate()?;
        let deadline = Instant::now() + STOP_LIMIT;
        while Instant::now() < deadline {
            if let Some(status) = self.launcher.try_wait().context("cannot wait for the node")? {
                if status.success() {
                    return Ok(());
                }
                bail!("the node ended badly: {status}; logs: {}", self.keep_logs());
            }
            thread::sleep(Duration::from_millis(20));
        }
        bail!("the node did not stop within {STOP_LIMIT:?}; logs: {}", self.keep_logs());
    }

    fn terminate(&self) -> Result<()> {
        process::run(Command::new("kill").args(["-TERM", &self.launcher.id().to_string()]))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if matches!(self.launcher.try_wait(), Ok(None)) {
            // The launcher's children end with it (PR_SET_PDEATHSIG).
            let _ = self.launcher.kill();
            let _ = self.launcher.wait();
        }
    }
}
