//! One run of `emit`: started, waited for with a limit, and looked at.

use std::{
    io::{Read, Write},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::LIMIT;

/// `emit` in a surrounding that names no node.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_emit"));
    command.args(arguments).stdin(Stdio::null());
    // No node that a person has running is to be met.
    command.env_remove("ATOLL_NODE").env_remove("ATOLL_RUN_DIRECTORY").env("XDG_RUNTIME_DIR", "/nonexistent");
    command
}

/// Runs `emit` against the node at that socket.
pub(crate) fn emit(node: &Path, arguments: &[&str]) -> Output {
    start(node, arguments).finish()
}

/// Starts `emit` against the node at that socket.
pub(crate) fn start(node: &Path, arguments: &[&str]) -> Running {
    let mut command = command(arguments);
    command.env("ATOLL_NODE", node);
    Running::start(command)
}

/// What it came to.
#[derive(Debug)]
pub(crate) struct Output {
    /// As a shell would show it; `None` where a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Output {
    /// Standard output as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// It must have ended well; answers its standard output.
    #[track_caller]
    pub(crate) fn succeeds(&self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.text()
    }

    /// It must have ended with `code` and said all of `words` to standard error; panics and empty words are never right.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.stderr.starts_with("emit: ") && !self.stderr.contains("panicked"), "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "`{word}` is missing in {}", self.stderr);
        }
    }

    /// The same, where the container may have written to standard error before.
    #[track_caller]
    pub(crate) fn fails_after_output(&self, code: i32, words: &[&str]) {
        let own = self.stderr.find("emit: ").unwrap_or_else(|| panic!("emit says nothing: {self:?}"));
        Self { code: self.code, stdout: Vec::new(), stderr: self.stderr[own..].to_owned() }.fails(code, words);
    }

    /// Standard output as one JSON document.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Standard output as one JSON document a line.
    #[track_caller]
    pub(crate) fn json_lines(&self) -> Vec<Value> {
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.text().lines().map(parse).collect()
    }
}

/// One that still runs. Dropped, it is killed.
pub(crate) struct Running {
    child: Child,
    stdout: Arc<Mutex<Vec<u8>>>,
    stderr: Arc<Mutex<Vec<u8>>>,
    readers: Vec<JoinHandle<()>>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("emit can be run");
        let (stdout, stderr) = (Arc::default(), Arc::default());
        let readers = vec![
            collect(child.stdout.take().expect("piped"), &stdout),
            collect(child.stderr.take().expect("piped"), &stderr),
        ];
        Self { child, stdout, stderr, readers }
    }

    /// What it has printed so far.
    pub(crate) fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.stdout.lock().expect("no panic")).into_owned()
    }

    /// The same of standard error.
    pub(crate) fn errors_so_far(&self) -> String {
        String::from_utf8_lossy(&self.stderr.lock().expect("no panic")).into_owned()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("waited for").is_none()
    }

    pub(crate) fn signal(&mut self, signal: Signal) {
        // Not waited for yet, so the number is still its own.
        let process = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process");
        kill_process(process, signal).expect("it runs");
    }

    /// Waits for its end.
    pub(crate) fn finish(self) -> Output {
        self.finish_within(LIMIT)
    }

    /// The same for one that may take longer.
    pub(crate) fn finish_within(mut self, limit: Duration) -> Output {
        let status = wait(&mut self.child, limit);
        for reader in self.readers.drain(..) {
            reader.join().expect("read to the end");
        }
        let take = |bytes: &Mutex<Vec<u8>>| std::mem::take(&mut *bytes.lock().expect("no panic"));
        let (stdout, stderr) = (take(&self.stdout), take(&self.stderr));
        let stderr = String::from_utf8(stderr).expect("emit speaks UTF-8");
        Output { code: status.code(), stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for the end of a process; kills it where that takes too long.
pub(crate) fn wait(child: &mut Child, limit: Duration) -> ExitStatus {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().expect("waited for") {
            return status;
        }
        if Instant::now() >= deadline {
            let _ = child.kill();
            panic!("emit did not end within {limit:?}");
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn collect(mut from: impl Read + Send + 'static, to: &Arc<Mutex<Vec<u8>>>) -> JoinHandle<()> {
    let to = Arc::clone(to);
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            to.lock().expect("no panic").write_all(&buffer[..count]).expect("there is memory");
        }
    })
}
