//! `emit run`: output and exit code intact, and nothing left behind.

use std::{
    ffi::OsStr,
    fs,
    io::{self, BufRead, BufReader, PipeReader, PipeWriter, Read},
    os::unix::ffi::OsStrExt,
    process::Stdio,
};

use rustix::process::Signal;

use crate::{
    LIMIT,
    emit::{Running, command, wait},
    eventually,
    hostile::Hostile,
    node::TestNode,
    project, sample,
};

#[test]
fn a_packed_program_reads_the_file_that_it_brought() {
    let folder = project().join("examples/report");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let packed = directory.path().join("report.wasm").to_str().expect("UTF-8").to_owned();
    let app = folder.join("app.toml").to_str().expect("UTF-8").to_owned();
    Running::start(command(&["pack", &sample("report"), "--app", &app, "-o", &packed])).finish().succeeds();
    let node = TestNode::start();
    let of_the_manifest = "lagoon: 3 readings, 24 to 26, mean 25\nreef: 3 readings, 21 to 23, mean 22\n";
    assert_eq!(node.emit(&["run", &packed]).succeeds(), of_the_manifest);
    assert_eq!(node.emit(&[&packed, "channel"]).succeeds(), "channel: 2 readings, 18 to 19, mean 18\n");
    let nothing_there = node.emit(&[&packed, "shore"]);
    assert_eq!((nothing_there.code, nothing_there.stderr.as_str()), (Some(1), "report: no readings of shore\n"));
    // The committed module is packed; packed with nothing it finds nothing.
    let nothing = directory.path().join("app.toml");
    std::fs::write(&nothing, "name = \"report\"\n").expect("written");
    let nothing = nothing.to_str().expect("UTF-8").to_owned();
    Running::start(command(&["pack", &sample("report"), "--app", &nothing, "-o", &packed])).finish().succeeds();
    let unpacked = node.emit(&[&packed]);
    assert_eq!(unpacked.code, Some(2));
    assert!(unpacked.stderr.starts_with("report: /readings.csv: "), "{unpacked:?}");
}

#[test]
fn output_and_exit_code_are_the_programs_own() {
    let node = TestNode::start();
    let hello = sample("hello");
    let output = node.emit(&["run", "--name", "greeter", "--env", "GREETING=hi", &hello, "Ada", "exit=42"]);
    assert_eq!(output.code, Some(42));
    assert_eq!(output.text(), "Hello, Ada!\nargument 0: greeter\nargument 1: Ada\nargument 2: exit=42\nGREETING: hi\n");
    assert_eq!(output.stderr, "");

    let short = node.emit(&[&hello, "from a", "shell"]);
    assert!(short.succeeds().starts_with("Hello, from a and shell!\n"));
    assert_eq!(node.emit(&["--format", "text", &hello, "exit=7"]).code, Some(7));
    assert_eq!(node.emit(&[&hello, "exit=255"]).code, Some(255));

    // What stands behind the file is the container's, whatever it looks like.
    let echoed = node.emit(&[&sample("echo"), "--format", "json", "-f", "--", "ü"]);
    assert_eq!(echoed.succeeds(), "--format json -f -- ü\n");
    let echoed = node.emit(&["run", &sample("echo"), "--timeout", "--help"]);
    assert_eq!(echoed.succeeds(), "--timeout --help\n");
    let mistyped = node.emit(&["run", "--grnat", "gpio:LED:out", &sample("echo")]);
    assert_eq!(mistyped.code, Some(2), "an option in front of the file is emit's: {mistyped:?}");
    assert!(mistyped.stderr.contains("--grnat"), "{mistyped:?}");
    let unreadable = OsStr::from_bytes(b"\xff");
    let mut command = command(&["run", &sample("echo")]);
    command.env("ATOLL_NODE", node.socket()).arg(unreadable);
    Running::start(command).finish().fails(2, &["not UTF-8"]);

    let failed = node.emit(&[&hello, "exit=many"]);
    assert_eq!((failed.code, failed.text().as_str()), (Some(2), ""));
    assert_eq!(failed.stderr, "hello: `exit=many` names no exit code (0 to 255)\n");
    assert_eq!(node.emit(&["run", &sample("echo")]).code, Some(1));
    let primes = node.emit(&[&sample("counter"), "1000"]).succeeds();
    assert!(primes.ends_with("168 primes below 1000\n"), "{primes}");
    let banner = node.emit(&[&sample("banner"), "Atoll"]).succeeds();
    assert!(banner.lines().count() >= 5 && banner.contains('#'), "{banner}");
    assert!(node.names().is_empty());
    assert_eq!(node.cells_free(), 8);
}

/// Writes the 256 bytes there are, 1,024 times over: four times what a node keeps of a container's log.
const LOUD: &str = r#"
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1 1)
  (func (export "_start")
    (local $byte i32) (local $round i32) (local $sent i32)
    (loop $fill
      (i32.store8 offset=1024 (local.get $byte) (local.get $byte))
      (br_if $fill (i32.lt_u (local.tee $byte (i32.add (local.get $byte) (i32.const 1))) (i32.const 256))))
    (loop $again
      (local.set $sent (i32.const 0))
      (loop $rest
        (i32.store (i32.const 0) (i32.add (i32.const 1024) (local.get $sent)))
        (i32.store (i32.const 4) (i32.sub (i32.const 256) (local.get $sent)))
        (if (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))
          (then (call $proc_exit (i32.const 1))))
        (local.set $sent (i32.add (local.get $sent) (i32.load (i32.const 8))))
        (br_if $rest (i32.lt_u (local.get $sent) (i32.const 256))))
      (br_if $again (i32.lt_u (local.tee $round (i32.add (local.get $round) (i32.const 1))) (i32.const 1024))))))
"#;

#[test]
fn much_output_of_any_bytes_arrives_whole() {
    let node = TestNode::start();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("loud.wasm");
    fs::write(&path, wat::parse_str(LOUD).expect("valid text")).expect("written");
    let output = node.emit(&["run", path.to_str().expect("UTF-8")]);
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
    let expected: Vec<u8> = (0..1024).flat_map(|_| 0..=u8::MAX).collect();
    assert!(output.stdout == expected, "{} of {} bytes arrived", output.stdout.len(), expected.len());
}

#[test]
fn ends_that_are_no_exit_code_have_their_own() {
    let node = TestNode::start();
    let hostile = Hostile::new();
    let trapped = node.emit(&["run", &hostile.module("wasi-trap")]);
    trapped.fails(134, &["the container failed: trap"]);
    assert!(!trapped.stdout.is_empty(), "what it wrote before is shown: {trapped:?}");
    assert_eq!(node.emit(&["run", &hostile.module("wasi-large-exit-code")]).code, Some(255));

    let clock = sample("clock");
    for (verb, code, words) in [("kill", 137, "the container failed: killed"), ("stop", 143, "")] {
        let running = node.start_emit(&["run", "--name", "sleeper", &clock, "30000"]);
        eventually("it runs", || node.names() == ["sleeper"]);
        node.wait_for("sleeper", &["ready"]);
        node.emit(&[verb, "sleeper"]).succeeds();
        let output = running.finish();
        assert_eq!(output.code, Some(code), "{output:?}");
        assert!(output.text().starts_with("before: ") && output.stderr.contains(words), "{output:?}");
    }
    let running = node.start_emit(&["run", "--name", "reactor", "--grant", "gpio:LED:out", &sample("blinker")]);
    node_has(&node, "reactor");
    node.emit(&["stop", "reactor"]).succeeds();
    let output = running.finish();
    assert_eq!(output.succeeds(), "", "log records are no output");
    assert!(output.stderr.starts_with("[info] "), "{output:?}");
    assert!(node.names().is_empty());
}

fn node_has(node: &TestNode, name: &str) {
    eventually("it is there", || node.names() == [name]);
    node.wait_for(name, &["ready", "running"]);
}

#[test]
fn a_run_that_is_killed_takes_its_container_along() {
    let node = TestNode::start();
    for signal in [Signal::KILL, Signal::INT, Signal::TERM] {
        let mut running = node.start_emit(&["run", "--name", "mine", "--grant", "gpio:LED:out", &sample("blinker")]);
        node_has(&node, "mine");
        running.signal(signal);
        assert_eq!(running.finish().code, None, "ended by {signal:?}");
        eventually("it is gone with its session", || node.names().is_empty());
    }
    let info = node.ask(&["info"]);
    let led = info["lines"].as_array().expect("lines").iter().find(|line| line["label"] == "LED").expect("there");
    assert_eq!((&led["held_as"], &led["high"]), (&"".into(), &false.into()), "its line is free and low");
    assert_eq!(node.cells_free(), 8);
}

#[test]
fn the_same_file_runs_twice_at_a_time() {
    let node = TestNode::start();
    let clock = sample("clock");
    let both = [node.start_emit(&[&clock, "300"]), node.start_emit(&["run", &clock, "300"])];
    for running in both {
        assert!(running.finish().succeeds().contains("asleep for"));
    }
    assert!(node.names().is_empty());
}

#[test]
fn whoever_closes_the_output_ends_it() {
    let node = TestNode::start();
    for arguments in [&["ps"][..], &["info", "--format", "json"], &["completions", "zsh"]] {
        let (reader, writer) = io::pipe().expect("a pipe");
        drop(reader);
        ends_with_its_output(&node, arguments, writer, None);
    }
    let hostile = Hostile::new();
    let flood = hostile.module("wasi-write-flood");
    let (reader, writer) = io::pipe().expect("a pipe");
    ends_with_its_output(&node, &["run", "--name", "flood", &flood], writer, Some(reader));
    eventually("its container is gone", || node.names().is_empty());
}

/// Runs `emit` until its output is closed: after a line where somebody reads, at once where nobody does.
fn ends_with_its_output(node: &TestNode, arguments: &[&str], output: PipeWriter, reader: Option<PipeReader>) {
    let mut command = command(arguments);
    command.env("ATOLL_NODE", node.socket()).stdout(output).stderr(Stdio::piped());
    let mut child = command.spawn().expect("emit can be run");
    if let Some(reader) = reader {
        BufReader::new(reader).read_until(b'\n', &mut Vec::new()).expect("it writes");
    }
    assert_eq!(wait(&mut child, LIMIT).code(), Some(141), "{arguments:?}");
    let mut stderr = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut stderr).expect("read");
    assert_eq!(stderr, "", "{arguments:?}");
}
