//! `emit run --on host`: a node for one container, of which nothing is left however it ends.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use pd_host::pins::Pins;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    LIMIT,
    emit::{Output, Running, command, emit},
    eventually, node, sample,
};

/// Where the nodes of one test are: nothing else is, so what is left behind is seen.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        // Beside `emit`, where it is looked for.
        node::launcher();
        Self(tempfile::Builder::new().prefix("atoll-place-").tempdir().expect("a temporary directory"))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(&[&["run", "--on", "host"], arguments].concat());
        command.env("XDG_RUNTIME_DIR", self.0.path());
        command
    }

    fn start(&self, arguments: &[&str]) -> Running {
        Running::start(self.command(arguments))
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.start(arguments).finish()
    }

    /// The run directories of nodes.
    fn nodes(&self) -> Vec<PathBuf> {
        fs::read_dir(self.0.path()).expect("read").map(|entry| entry.expect("read").path()).collect()
    }

    /// Waits until one node is ready, and answers its run directory and its processes: the domains' and the launcher's.
    fn node(&self) -> (PathBuf, Vec<u32>) {
        eventually("a node is ready", || self.nodes().first().is_some_and(|node| node.join("ready").exists()));
        let node = self.nodes().remove(0);
        let files = fs::read_dir(&node).expect("read").map(|entry| entry.expect("read").path());
        let numbered = files.filter(|file| file.extension().is_some_and(|of| of == "pid") || file.ends_with("ready"));
        let number = |file: PathBuf| fs::read_to_string(file).expect("read").trim().parse().expect("a number");
        let processes: Vec<u32> = numbered.map(number).collect();
        assert!(processes.len() > 5 && processes.iter().all(|&process| is_alive(process)), "{processes:?}");
        (node, processes)
    }

    #[track_caller]
    fn has_nothing(&self, processes: &[u32]) {
        let left: Vec<_> = processes.iter().filter(|&&process| is_alive(process)).collect();
        assert!(left.is_empty() && self.nodes().is_empty(), "{left:?} {:?}", self.nodes());
    }
}

fn is_alive(process: u32) -> bool {
    // A process that was ended and not collected yet is a zombie, `Z`.
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[test]
fn a_program_runs_as_on_any_node_and_nothing_is_left() {
    let place = Place::new();
    let output = place.run(&["--name", "greeter", &sample("hello"), "Ada", "exit=42"]);
    assert_eq!((output.code, output.stderr.as_str()), (Some(42), ""));
    assert_eq!(
        output.text(),
        "Hello, Ada!\nargument 0: greeter\nargument 1: Ada\nargument 2: exit=42\nGREETING is not set\n"
    );
    place.has_nothing(&[]);
    place.run(&["--grant", "gpio:NOSUCH:out", &sample("hello")]).fails(126, &["NOSUCH"]);
    place.has_nothing(&[]);
    place.run(&["/nonexistent.wasm"]).fails(127, &["/nonexistent.wasm"]);

    let others = [place.start(&[&sample("clock"), "200"]), place.start(&[&sample("clock"), "200"])];
    for other in others {
        assert!(other.finish().succeeds().starts_with("before: "), "each has a node of its own");
    }
    place.has_nothing(&[]);
}

#[test]
fn an_interrupted_container_stops_as_when_asked() {
    let place = Place::new();
    for (signal, file, grant, words, code) in [
        (Signal::INT, "blinker", "gpio:LED:out", "toggles", 0),
        (Signal::TERM, "clock", "timer:1ms", "", 143),
        (Signal::HUP, "spin", "timer:1ms", "", 0),
    ] {
        let arguments = ["--name", "it", "--grant", grant, &sample(file), "30000"];
        let mut running = place.start(&arguments);
        let (directory, processes) = place.node();
        let inspect = || emit(&directory.join("emit.sock"), &["--format", "json", "inspect", "it"]).text();
        eventually("it runs", || ["\"ready\"", "\"running\""].iter().any(|state| inspect().contains(state)));
        running.signal(signal);
        let output = running.finish();
        assert_eq!(output.code, Some(code), "{file}: {output:?}");
        assert!(output.stderr.contains(words), "what its stop hook says is shown: {output:?}");
        place.has_nothing(&processes);
    }
}

#[test]
fn a_killed_emit_takes_its_node_along() {
    let place = Place::new();
    let mut running = place.start(&[&sample("clock"), "30000"]);
    let (_, processes) = place.node();
    running.signal(Signal::KILL);
    assert_eq!(running.finish().code, None);
    // Nobody waits for the launcher now.
    eventually("the node has ended", || !processes.iter().any(|&process| is_alive(process)));
    place.has_nothing(&processes);
}

#[test]
fn a_second_interrupt_ends_all_at_once() {
    let place = Place::new();
    let mut running = place.start(&[&sample("clock"), "30000"]);
    let (directory, processes) = place.node();
    // Stopped, it answers no question, also not the one to stop the container.
    let admission: u32 =
        fs::read_to_string(directory.join("admission.pid")).expect("runs").trim().parse().expect("a number");
    let admission = rustix::process::Pid::from_raw(admission.cast_signed()).expect("a process");
    rustix::process::kill_process(admission, Signal::STOP).expect("it runs");
    let began = Instant::now();
    running.signal(Signal::INT);
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert!(running.is_running());
    running.signal(Signal::INT);
    assert_eq!(running.finish().code, None, "it ends as by the signal");
    assert!(began.elapsed() < LIMIT / 2, "{:?}", began.elapsed());
    place.has_nothing(&processes);
}

#[test]
fn simulated_lines_are_shown_as_they_change() {
    let place = Place::new();
    let mut running = place.start(&["--lines", "--grant", "gpio:LED:out", &sample("blinker")]);
    eventually("the line has changed three times", || running.errors_so_far().matches("[line] LED ").count() >= 3);
    running.signal(Signal::INT);
    let output = running.finish();
    output.succeeds();
    let levels: Vec<_> = output.stderr.lines().filter_map(|line| line.strip_prefix("[line] LED ")).collect();
    assert!(levels.len() >= 3 && levels.starts_with(&["high", "low", "high"]), "{output:?}");

    let mut running = place.start(&["--format", "json", "--lines", "--grant", "gpio:BUTTON:edge", &sample("button")]);
    let (directory, _) = place.node();
    let mut pins = Pins::connect(&directory).expect("its pins");
    // As soon as it watches the line.
    eventually("the edge is counted", || {
        pins.pulse("BUTTON").expect("pulsed");
        running.so_far().contains("1 edges")
    });
    running.signal(Signal::INT);
    let output = running.finish();
    let documents = output.json_lines();
    let changes = documents.iter().find(|document| document["line"] == "BUTTON").expect("the pulse is told");
    assert!(changes["time_ns"].is_u64() && changes["changes"].as_u64() >= Some(1) && changes["high"].is_boolean());
    assert_eq!(documents.last().expect("last the container")["state"], "finalised");

    let output = place.run(&["--lines", "--grant", "gpio:BUTTON:edge", "/nonexistent.wasm"]);
    output.fails(127, &["cannot read"]);
}

#[test]
fn a_missing_or_broken_node_program_is_told_with_what_to_do() {
    let place = Place::new();
    let hello = sample("hello");
    let alone = place.0.path().join("emit");
    fs::copy(env!("CARGO_BIN_EXE_emit"), &alone).expect("copied");
    let mut command = Command::new(&alone);
    command.args(["run", "--on", "host", &hello]).env_remove("ATOLL_HOST").env("PATH", "relative:/nonexistent");
    Running::start(command).finish().fails(125, &["no atoll-host", "cargo build -p pd-host", "ATOLL_HOST=PATH"]);
    fs::remove_file(&alone).expect("removed");

    let with = |program: &Path, arguments: &[&str]| {
        let mut command = place.command(arguments);
        command.env("ATOLL_HOST", program);
        Running::start(command).finish()
    };
    with(Path::new("/etc/passwd"), &[&hello]).fails(125, &["ATOLL_HOST names /etc/passwd", "no program"]);
    let scripts = tempfile::tempdir().expect("a temporary directory");
    let script = |text: &str| {
        let path = scripts.path().join("atoll-host");
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("made a program");
        path
    };
    let ends = script("echo nothing works >&2; exit 3");
    with(&ends, &[&hello]).fails(125, &["ended while starting", "exit status: 3", "nothing works"]);
    let of_another_version = script("echo \"error: unexpected argument '$2' found\" >&2; exit 2");
    with(&of_another_version, &[&hello]).fails(125, &["'--throw-away'", "hint: it may be of another version"]);
    let hangs = script("exec sleep 1000");
    with(&hangs, &["--timeout", "300ms", &hello]).fails(125, &["not ready within 300ms"]);
    place.has_nothing(&[]);
}

#[test]
fn two_nodes_are_not_named_at_once() {
    let place = Place::new();
    for arguments in [&["--node", "/tmp/x.sock", &*sample("hello")][..], &["--on", "host", &*sample("hello")]] {
        assert_eq!(place.run(arguments).code, Some(2), "{arguments:?}");
    }
    let mut other = place.command(&[&sample("echo"), "a"]);
    other.env("ATOLL_NODE", "/nonexistent.sock");
    assert_eq!(Running::start(other).finish().succeeds(), "a\n", "the variable is for the other commands");
    let without_on = command(&["run", "--lines", &sample("echo"), "a"]);
    assert_eq!(Running::start(without_on).finish().code, Some(2), "only a node of one's own is looked into");
}
