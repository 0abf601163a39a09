//! What a manifest says about a life: new starts, an end, limits; and the events that tell of it.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    LIMIT,
    emit::{Output, Running, command},
    node::{Blinker, TestNode, number},
    project,
};

/// Metadata as the CDDL of TinyContainer has it, written by hand: the tag, {1: << {1: h'ab', 2: 4} >>, 2: << [{1: 9, 2: << {1: 1, 6: 2,
/// 10: 0, 8: 1} >>}] >>}.
const METADATA: &[u8] = &[
    0xdb, 0x54, 0x69, 0x6e, 0x79, 0x50, 0x41, 0x52, 0x54, 0xa2, 1, 0x46, 0xa2, 1, 0x41, 0xab, 2, 4, 2, 0x4f, 0x81,
    0xa2, 1, 9, 2, 0x49, 0xa4, 1, 1, 6, 2, 10, 0, 8, 1,
];

/// Packed containers in a folder of their own.
pub(crate) struct Packed {
    directory: TempDir,
}

impl Packed {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a temporary directory") }
    }

    /// `examples/fragile`, as its folder says.
    fn fragile(&self) -> String {
        let folder = project().join("examples/fragile");
        let read = |name: &str| fs::read_to_string(folder.join(name)).expect("the sample is there");
        self.pack("fragile", &read("fragile.wat"), &read("app.toml"))
    }

    /// A reactor that sleeps 20 ms a loop, with that behind its name in app.toml.
    fn sleeper(&self, name: &str, app: &str) -> String {
        let wat = r#"(module
            (import "atoll:node/timer@0.1.0" "sleep" (func $sleep (param i64) (result i32)))
            (func (export "on-start") (result i32) (i32.const 0))
            (func (export "on-loop") (result i32) (drop (call $sleep (i64.const 20000000))) (i32.const 0))
            (func (export "on-stop")))"#;
        self.pack(name, wat, &format!("name = \"{name}\"\n{app}"))
    }

    /// A packed container of that name; answers its path.
    pub(crate) fn pack(&self, name: &str, wat: &str, app: &str) -> String {
        self.try_pack(name, wat, app).succeeds();
        self.path(&format!("{name}.wasm"))
    }

    /// What `emit pack` says to such a module and `app.toml`.
    pub(crate) fn try_pack(&self, name: &str, wat: &str, app: &str) -> Output {
        let path = |ending: &str| self.path(&format!("{name}.{ending}"));
        let (module, manifest) = (path("module.wasm"), path("toml"));
        fs::write(&module, wat::parse_str(wat).expect("it assembles")).expect("written");
        fs::write(&manifest, app).expect("written");
        Running::start(command(&["pack", &module, "--app", &manifest, "-o", &path("wasm")])).finish()
    }

    /// A file of that name beside them.
    pub(crate) fn path(&self, file: &str) -> String {
        self.directory.path().join(file).to_str().expect("UTF-8").to_owned()
    }
}

pub(crate) fn wait_until(node: &TestNode, name: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + LIMIT;
    loop {
        let report = node.ask(&["inspect", name]);
        if holds(&report) {
            return report;
        }
        assert!(Instant::now() < deadline, "not {what}: {report}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn events(node: &TestNode, name: &str) -> Vec<(String, String)> {
    let output = node.emit(&["--format", "json", "events", name]);
    output.succeeds();
    let text = |event: &Value, field: &str| event[field].as_str().expect("text").to_owned();
    output.json_lines().iter().map(|event| (text(event, "event"), text(event, "text"))).collect()
}

#[test]
fn a_container_that_fails_comes_back_and_is_given_up_in_the_end() {
    let (node, packed) = (TestNode::start(), Packed::new());
    let blinker = Blinker::deploy(&node);
    node.emit(&["deploy", &packed.fragile()]).succeeds();
    let report = wait_until(&node, "fragile", "given up", |report| report["given_up"] == true);
    assert_eq!((number(&report, "new_starts"), &report["state"]), (2, &"failed".into()));
    assert_eq!(report["restart"], "on-failure");
    let told = events(&node, "fragile");
    let life = ["loading", "installed", "starting", "running", "failed"];
    let again = ["restart-scheduled", "restarted"];
    let expected = [&["deployed"][..], &life, &again, &life, &again, &life, &["given-up"]].concat();
    assert_eq!(told.iter().map(|(event, _)| event.as_str()).collect::<Vec<_>>(), expected);
    let text = |name: &str| &told.iter().find(|(event, _)| event == name).expect("told").1;
    assert!(text("failed").contains("unreachable"), "{told:?}");
    assert_eq!(text("given-up"), "after 2 new starts");
    let logs = node.emit(&["logs", "fragile"]).succeeds();
    assert_eq!(logs.matches("alive").count(), 3, "the log goes on over new starts: {logs}");
    let table = node.emit(&["ps"]).succeeds();
    assert!(table.contains("given up after 2 new starts"), "{table}");
    blinker.lost_nothing();
}

#[test]
fn a_domain_that_dies_brings_its_container_back() {
    let (node, packed) = (TestNode::start(), Packed::new());
    node.emit(&["deploy", &packed.sleeper("tough", "[restart]\npolicy = \"always\"\n")]).succeeds();
    node.kill_domain("cell0");
    let back = wait_until(&node, "tough", "back", |report| report["new_starts"] == 1 && number(report, "loops") > 2);
    assert!(number(&back, "cell_restarts") >= 1, "{back}");
    // Whoever stops it is obeyed.
    assert!(node.emit(&["stop", "tough"]).succeeds().contains("stopped on request"));
    thread::sleep(Duration::from_millis(300));
    assert_eq!(node.ask(&["inspect", "tough"])["state"], "finalised");
}

#[test]
fn a_container_lives_as_long_as_it_says() {
    let (node, packed) = (TestNode::start(), Packed::new());
    node.emit(&["deploy", &packed.sleeper("by-loops", "[lifetime]\nloops = 5\n[restart]\npolicy = \"always\"\n")])
        .succeeds();
    node.emit(&["deploy", &packed.sleeper("by-time", "[lifetime]\ntime = \"300ms\"\n")]).succeeds();
    let over = |report: &Value| report["state"] == "finalised";
    let by_loops = wait_until(&node, "by-loops", "over", over);
    assert_eq!((number(&by_loops, "loops"), &by_loops["end"]), (5, &"its lifetime was over".into()));
    let by_time = wait_until(&node, "by-time", "over", over);
    let lived_ns = number(&by_time, "ended_ns") - number(&by_time, "started_ns");
    assert!((300_000_000..2_000_000_000).contains(&lived_ns), "{lived_ns}");
    assert_eq!(number(&node.ask(&["inspect", "by-loops"]), "new_starts"), 0, "that end was wanted");
}

#[test]
fn each_hook_has_the_limit_that_it_asked_for() {
    let (node, packed) = (TestNode::start(), Packed::new());
    node.emit(&["deploy", &packed.sleeper("hasty", "[limits]\nloop = \"5ms\"\n")]).succeeds();
    let failed = wait_until(&node, "hasty", "failed", |report| report["state"] == "failed");
    let reason = failed["reason"].as_str().expect("text");
    assert_eq!(reason, "a loop took too long: on-loop took more than 5000 us");
    let greedy = packed.sleeper("greedy", "[limits]\nstop = \"1h\"\n");
    node.emit(&["deploy", &greedy]).fails(7, &["`limits.stop` is 3600s; the board allows 1s"]);
    let large = packed.sleeper("large", "[limits]\nmemory = \"1 MiB\"\n");
    node.emit(&["deploy", &large]).succeeds();
}

#[test]
fn a_follower_sees_what_happens_as_it_happens() {
    let (node, packed) = (TestNode::start(), Packed::new());
    let follower = node.start_emit(&["--format", "json", "events", "-f", "brief"]);
    node.emit(&["deploy", &packed.sleeper("other", "")]).succeeds();
    node.emit(&["deploy", &packed.sleeper("brief", "[lifetime]\nloops = 1\n")]).succeeds();
    let deadline = Instant::now() + LIMIT;
    while !follower.so_far().contains("finalised") {
        assert!(Instant::now() < deadline, "{}", follower.so_far());
        thread::sleep(Duration::from_millis(10));
    }
    let printed = follower.so_far();
    let first: Value = serde_json::from_str(printed.lines().next().expect("a line")).expect("JSON");
    assert_eq!((&first["container"], &first["event"]), (&"brief".into(), &"deployed".into()));
    assert!(!printed.contains("other"), "{printed}");
}

#[test]
fn a_tiny_container_runs_as_it_is() {
    let (node, packed) = (TestNode::start(), Packed::new());
    let wat = r#"(module
        (import "env" "logger" (func $logger (param i32)))
        (import "env" "open" (func $open (param i32) (result i32)))
        (import "env" "write" (func $write (param i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (global $turns (mut i32) (i32.const 0))
        (data (i32.const 0) "hello from a tiny container\00\01")
        (func (export "start") (call $logger (i32.const 0)))
        (func (export "loop") (result i32)
            (drop (call $write (call $open (i32.const 0)) (i32.const 28) (i32.const 1)))
            (global.set $turns (i32.add (global.get $turns) (i32.const 1)))
            (i32.ge_u (global.get $turns) (i32.const 3)))
        (func (export "stop")))"#;
    let file = packed.pack("tiny", wat, "name = \"tiny\"\nworld = \"tiny-container\"\n");
    node.emit(&["deploy", &file]).succeeds();
    let report = wait_until(&node, "tiny", "over", |report| report["state"] == "finalised");
    assert_eq!((&report["world"], number(&report, "loops")), (&"tiny-container".into(), 3));
    assert!(node.emit(&["logs", "tiny"]).succeeds().contains("hello from a tiny container"));
    // What an endpoint is, its manifest may say: 9 is no line of the board, and stands for one.
    let elsewhere = wat.replace("(call $open (i32.const 0))", "(call $open (i32.const 9))");
    let app = "name = \"named\"\n[grants]\nlist = [\"gpio:LED:out\"]\n[[endpoint]]\nnumber = 9\nline = \"LED\"\n";
    node.emit(&["deploy", &packed.pack("named", &elsewhere, app)]).succeeds();
    let named = wait_until(&node, "named", "over", |report| report["state"] == "finalised");
    assert_eq!((number(&named, "refused_calls"), number(&report, "refused_calls")), (2, 3), "opened once, then busy");
    let nowhere = app.replace("line = \"LED\"", "line = \"NOWHERE\"");
    node.emit(&["deploy", "--name", "x", &packed.pack("nowhere", &elsewhere, &nowhere)])
        .fails(7, &["endpoint 9", "NOWHERE"]);
    // The same by that project's own metadata: endpoint 9 is GPIO port 0, an output.
    let metadata = packed.directory.path().join("metadata.cbor");
    fs::write(&metadata, METADATA).expect("written");
    let plain = packed.directory.path().join("plain.wasm");
    fs::write(&plain, wat::parse_str(&elsewhere).expect("it assembles")).expect("written");
    let paths = [&plain, &metadata].map(|path| path.to_str().expect("UTF-8"));
    let deployed = node.ask(&["deploy", "--name", "theirs", paths[0], "--metadata", paths[1]]);
    assert_eq!(
        deployed["grants"],
        serde_json::json!(["gpio:LED:out@10000/s", "log:5000/s", "memory:4MiB", "module:2MiB", "node", "timer:10ms:7"])
    );
    let theirs = wait_until(&node, "theirs", "over", |report| report["state"] == "finalised");
    assert_eq!(number(&theirs, "refused_calls"), 2);
    node.emit(&["deploy", paths[0], "--metadata", paths[0]]).fails(6, &["the metadata cannot be read"]);
    let reactor = packed.pack("odd", "(module)", "name = \"odd\"\n");
    node.emit(&["deploy", &reactor]).fails(7, &["TinyContainer"]);
}
