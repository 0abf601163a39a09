//! A node of one's own on this machine, for one container: found, started, and thrown away again.
//!
//! The node is the program `atoll-host` of the host substrate. `emit` does not contain it and starts it as a process of its
//! own: the agent depends on the wire and on nothing behind it. The node ends when its standard input does, so it ends with
//! this process however that ends, and takes its run directory along.

use std::{
    env, fs,
    io::{PipeReader, Read},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::{
    exit::Failure,
    session::{Error, Result, Session},
    terminal::printable,
};

/// The program.
const PROGRAM: &str = "atoll-host";

/// Names the program where it lies nowhere that it is looked for.
const PROGRAM_VARIABLE: &str = "ATOLL_HOST";

/// In the run directory, as `pd/host/src/run_directory.rs` has them: what `emit` talks to, and the simulated bank's pins.
const NODE_SOCKET: &str = "emit.sock";
const PINS_SOCKET: &str = "gpio.sock";

/// What a program ends with that does not understand its command line: this one is older or newer than `emit`.
const OTHER_VERSION_CODE: i32 = 2;

const OTHER_VERSION_HINT: &str =
    "it may be of another version than emit: `cargo build -p pd-host -p guest-linux-agent` builds both anew";

/// How long between looks at something that comes by itself within tens of milliseconds.
const LOOK_PERIOD: Duration = Duration::from_millis(2);

/// How long a node may take to end: it kills its processes and waits for nothing else.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// What is kept of what the node says. Its table of domains fits; only the last lines are ever shown.
const MAX_WORDS_BYTES: usize = 16 * 1024;

/// A node that runs for this process. It ends by [`HostNode::end`], when the last of the clones has gone, and at the latest
/// with this process.
#[derive(Clone)]
pub(crate) struct HostNode(Arc<Mutex<Running>>);

struct Running {
    launcher: Child,
    run_directory: PathBuf,
    words: Option<JoinHandle<String>>,
    /// It has been waited for.
    ended: Option<Ended>,
}

/// How it ended.
#[derive(Clone)]
struct Ended {
    status: ExitStatus,
    said: String,
}

impl HostNode {
    /// Finds the program and starts a node.
    pub(crate) fn start() -> Result<Self> {
        let program = find()?;
        let run_directory = run_directory();
        let (reader, writer) = std::io::pipe().map_err(|error| cannot_run(&program, &error))?;
        let mut command = Command::new(&program);
        command.args(["up", "--throw-away", "--run-directory"]).arg(&run_directory);
        // In a group of its own: a Ctrl-C is for `emit`, which lets the container come to its end first.
        command.stdin(Stdio::piped()).process_group(0);
        let both = writer.try_clone().map_err(|error| cannot_run(&program, &error))?;
        command.stdout(both).stderr(writer);
        let launcher = command.spawn().map_err(|error| cannot_run(&program, &error))?;
        // With it go this process' ends of the pipe.
        drop(command);
        let words = Some(thread::spawn(move || last_words(reader)));
        Ok(Self(Arc::new(Mutex::new(Running { launcher, run_directory, words, ended: None }))))
    }

    /// Waits until it has greeted: a session is the proof that it is ready.
    pub(crate) fn greeted(&self, limit: Duration) -> Result<Session> {
        let deadline = Instant::now() + limit;
        let socket = self.socket();
        loop {
            if let Some(ended) = self.running().look() {
                let Ended { status, said } = ended;
                let message = format!("the host node ended while starting ({status}): {said}");
                let hint = if status.code() == Some(OTHER_VERSION_CODE) { OTHER_VERSION_HINT } else { "" };
                return Err(Error { hint, ..Error::new(Failure::NoNode, message.trim_end_matches(": ")) });
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let tried = if socket.exists() { Some(Session::open(Some(&socket), limit)) } else { None };
            match tried {
                Some(Ok(session)) => return Ok(session),
                // Bound and not listened at yet, or the node has ended: the next look tells.
                Some(Err(error)) if left.is_zero() || error.failure != Failure::NoNode => return Err(error),
                None if left.is_zero() => {
                    let limit = humantime::format_duration(limit);
                    return Err(Error::new(Failure::Timeout, format!("the host node was not ready within {limit}")));
                }
                _ => thread::sleep(LOOK_PERIOD),
            }
        }
    }

    /// Where `emit` talks to it.
    pub(crate) fn socket(&self) -> PathBuf {
        self.running().run_directory.join(NODE_SOCKET)
    }

    /// Where the pins of its simulated bank are moved and watched.
    pub(crate) fn pins(&self) -> PathBuf {
        self.running().run_directory.join(PINS_SOCKET)
    }

    /// Its run directory.
    pub(crate) fn run_directory(&self) -> PathBuf {
        self.running().run_directory.clone()
    }

    /// Ends it and waits until nothing of it is left. Once is enough; more do no harm.
    pub(crate) fn end(&self) {
        self.running().end();
    }

    /// An error of a session with it, with what the node said where it had ended before its time.
    pub(crate) fn explain(&self, error: Error) -> Error {
        let ended = self.running().look().filter(|ended| !ended.status.success());
        match ended {
            Some(ended) if error.failure == Failure::NoNode => Error {
                message: format!("{}; the host node failed ({}): {}", error.message, ended.status, ended.said),
                ..error
            },
            _ => error,
        }
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        // Whoever panicked holding it left a process that still has to be ended.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    /// Whether it has ended by itself.
    fn look(&mut self) -> Option<Ended> {
        if self.ended.is_none()
            && let Ok(Some(status)) = self.launcher.try_wait()
        {
            let said = self.words.take().and_then(|words| words.join().ok()).unwrap_or_default();
            self.ended = Some(Ended { status, said });
        }
        self.ended.clone()
    }

    fn end(&mut self) {
        drop(self.launcher.stdin.take());
        let deadline = Instant::now() + STOP_LIMIT;
        while self.look().is_none() {
            if Instant::now() >= deadline {
                // Linux ends its processes with it; the directory, which it cannot remove any more, was made for this node.
                let _ = self.launcher.kill();
                let _ = self.launcher.wait();
                let _ = fs::remove_dir_all(&self.run_directory);
                return;
            }
            thread::sleep(LOOK_PERIOD);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// The program: what the variable names, else beside this program (where cargo and a package put both), else on the path.
fn find() -> Result<PathBuf> {
    if let Some(named) = env::var_os(PROGRAM_VARIABLE).filter(|named| !named.is_empty()) {
        let named = PathBuf::from(named);
        if is_program(&named) {
            return Ok(named);
        }
        let message = format!("{PROGRAM_VARIABLE} names {}, which is no program", named.display());
        return Err(Error::new(Failure::NoNode, message));
    }
    // A link to `emit` may lie elsewhere than what it is a link to: both are beside it.
    let own = env::current_exe().ok();
    let real = own.as_ref().and_then(|own| own.canonicalize().ok());
    let beside = [own, real].into_iter().flatten().filter_map(|own| own.parent().map(Path::to_owned));
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = beside.chain(env::split_paths(&path).filter(|folder| folder.is_absolute())).collect();
    let found = folders.iter().map(|folder| folder.join(PROGRAM)).find(|program| is_program(program));
    found.ok_or_else(|| {
        let place = folders.first().map_or_else(String::new, |folder| format!("in {} or ", folder.display()));
        let message = format!("no {PROGRAM} was found {place}on the path");
        Error {
            hint: "in Atoll's repository `cargo build -p pd-host -p guest-linux-agent` builds it beside emit; or name it \
                   with ATOLL_HOST=PATH (it needs Linux)",
            ..Error::new(Failure::NoNode, message)
        }
    })
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// A place for the node, which makes it; short, since a socket's path has 107 bytes at the most.
fn run_directory() -> PathBuf {
    let of_user = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|folder| folder.is_dir());
    let parent = of_user.unwrap_or_else(env::temp_dir);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.subsec_nanos());
    parent.join(format!("atoll-run-{}-{now:x}", std::process::id()))
}

fn cannot_run(program: &Path, error: &std::io::Error) -> Error {
    Error::new(Failure::NoNode, format!("cannot run {}: {error}", program.display()))
}

/// All that the node says, as far as its end is wanted.
fn last_words(mut reader: PipeReader) -> String {
    let mut kept: Vec<u8> = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = reader.read(&mut buffer) {
        kept.extend_from_slice(&buffer[..count]);
        let excess = kept.len().saturating_sub(MAX_WORDS_BYTES);
        kept.drain(..excess);
    }
    printable(String::from_utf8_lossy(&kept).trim_end())
}
