//! A shell in which the demo's commands are typed: this machine's, or the guest's.

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result};

/// What a command printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Standard output and standard error.
    pub(crate) output: String,
    /// The exit code.
    pub(crate) code: i32,
}

/// Something that runs one line at a time.
pub(crate) trait Shell {
    /// Runs `line` to its end.
    fn run(&mut self, line: &str) -> Result<Outcome>;
}

/// This machine's `sh`, with `emit` on the path and the samples in the working directory.
pub(crate) struct HostShell {
    /// The folder of `emit`.
    pub(crate) programs: PathBuf,
    /// The folder of the samples.
    pub(crate) samples: PathBuf,
    /// The node's run directory.
    pub(crate) run_directory: PathBuf,
}

impl Shell for HostShell {
    fn run(&mut self, line: &str) -> Result<Outcome> {
        let mut folders = vec![self.programs.clone()];
        folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        let path = std::env::join_paths(folders).context("the path to emit has a colon in it")?;
        let output = Command::new("sh")
            .args(["-c", &format!("{line} 2>&1")])
            .current_dir(&self.samples)
            .env("PATH", path)
            .env("ATOLL_RUN_DIRECTORY", &self.run_directory)
            .env_remove("ATOLL_NODE")
            .output()
            .context("cannot run sh")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(Outcome { output: text, code: output.status.code().unwrap_or(-1) })
    }
}
