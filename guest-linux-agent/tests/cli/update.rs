//! A running container is replaced by another version: without a gap, or not at all.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    LIMIT,
    node::{TestNode, number},
};

/// Toggles LED every 20 ms of a timer; says `text` when it starts and `bye` when it stops. `loop_body` runs in each loop.
fn version(text: &str, loop_body: &str) -> Vec<u8> {
    let length = text.len();
    wat::parse_str(format!(
        r#"(module
        (import "atoll:node/timer@0.1.0" "arm" (func $arm (param i32 i64 i64) (result i32)))
        (import "atoll:node/timer@0.1.0" "wait" (func $wait (param i32) (result i32)))
        (import "atoll:node/log@0.1.0" "log" (func $log (param i32 i32 i32)))
        (import "atoll:node/gpio@0.1.0" "open-output" (func $open (param i32 i32 i32)))
        (import "atoll:node/gpio@0.1.0" "[method]output.toggle" (func $toggle (param i32) (result i32)))
        (memory (export "memory") 1)
        (global $loops (mut i32) (i32.const 0))
        (data (i32.const 0) "LEDbye{text}")
        (func (export "on-start") (result i32)
            (call $open (i32.const 0) (i32.const 3) (i32.const 64))
            (if (i32.load8_u (i32.const 64)) (then unreachable))
            (call $log (i32.const 2) (i32.const 6) (i32.const {length}))
            (call $arm (i32.const 1) (i64.const 20000000) (i64.const 20000000)))
        (func (export "on-loop") (result i32)
            (drop (call $wait (i32.const 2)))
            (drop (call $toggle (i32.load (i32.const 68))))
            (global.set $loops (i32.add (global.get $loops) (i32.const 1)))
            {loop_body}
            (i32.const 0))
        (func (export "on-stop") (call $log (i32.const 2) (i32.const 3) (i32.const 3))))"#
    ))
    .expect("it assembles")
}

struct Files {
    directory: TempDir,
}

impl Files {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a temporary directory") }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.directory.path().join(name);
        fs::write(&path, bytes).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    }
}

const RIGHTS: [&str; 4] = ["--grant", "gpio:LED:out", "--grant", "timer:10ms"];

/// A node on which the first version blinks.
fn blinking(files: &Files) -> TestNode {
    let node = TestNode::start();
    let first = files.write("first.wasm", &version("one", ""));
    node.emit(&[&["deploy", "--name", "led", &first], &RIGHTS[..]].concat()).succeeds();
    wait_for(&node, "it blinks", |report| number(report, "loops") > 3);
    node
}

fn wait_for(node: &TestNode, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + LIMIT;
    loop {
        let report = node.ask(&["inspect", "led"]);
        if holds(&report) {
            return report;
        }
        assert!(Instant::now() < deadline, "not that {what}: {report}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The longest time between two changes of the LED while `work` is done, as the owner of the line counts them.
fn longest_gap(node: &TestNode, work: impl FnOnce()) -> Duration {
    thread::scope(|scope| {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let watcher = scope.spawn(move || {
            let (mut last, mut since, mut longest) = (transitions(node), Instant::now(), Duration::ZERO);
            while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                let now = transitions(node);
                if now != last {
                    longest = longest.max(since.elapsed());
                    (last, since) = (now, Instant::now());
                }
                thread::sleep(Duration::from_millis(2));
            }
            longest.max(since.elapsed())
        });
        work();
        drop(stop);
        watcher.join().expect("the watcher ends")
    })
}

fn transitions(node: &TestNode) -> u64 {
    let info = node.ask(&["info"]);
    let led = info["lines"].as_array().expect("lines").iter().find(|line| line["label"] == "LED").expect("a LED");
    number(led, "transitions")
}

#[test]
fn the_new_version_takes_over_and_the_old_one_is_gone() {
    let files = Files::new();
    let node = blinking(&files);
    let second = files.write("second.wasm", &version("two", ""));
    let before = node.ask(&["inspect", "led"]);
    let gap = longest_gap(&node, || {
        let text = node.emit(&["update", "led", &second, "--probation", "500ms"]).succeeds();
        assert!(text.contains("led: replaced, "), "{text}");
    });
    // Ten periods, on a machine that does other things too; taking the place of a stopped container takes a hundred.
    assert!(gap < Duration::from_millis(400), "the line stood still for {gap:?}");
    let after = node.ask(&["inspect", "led"]);
    assert_ne!((&before["sha256"], &before["cell"]), (&after["sha256"], &after["cell"]));
    assert_eq!((&after["grants"], &after["update"]), (&before["grants"], &"".into()), "it has the rights that stood");
    assert_eq!(node.names(), ["led"]);
    assert_eq!(node.cells_free(), 7);
    assert!(node.emit(&["logs", "led"]).succeeds().contains("two"));
    let told = node.emit(&["events", "led"]).succeeds();
    for event in ["update-begun", "update-took-over", "update-done", "replaced by another version", "removed"] {
        assert!(told.contains(event), "{event} is missing in {told}");
    }
    // And again, back into the cell that is free now.
    let first = files.write("third.wasm", &version("three", ""));
    node.emit(&["update", "led", &first, "--probation", "100ms"]).succeeds();
    assert!(node.emit(&["logs", "led"]).succeeds().contains("three"));
}

#[test]
fn a_version_that_fails_leaves_the_old_one_as_it_was() {
    let files = Files::new();
    let node = blinking(&files);
    let before = node.ask(&["inspect", "led"]);
    for (name, module, words) in [
        ("traps-later", version("bad", "(if (i32.eq (global.get $loops) (i32.const 5)) (then unreachable))"), "trap"),
        ("traps-at-once", version("bad", "unreachable"), "trap"),
        ("stuck", version("bad", "(loop $l (br $l))"), "did not come round in its probation"),
        ("refuses", b"\0asm\x01\0\0\0".to_vec(), "neither `_start` nor"),
        ("no-module", b"GIF89a".to_vec(), "do not begin as a WebAssembly module"),
        ("bad-import", wat::parse_str(r#"(module (import "a" "b" (func)))"#).expect("text"), "`a.b`"),
    ] {
        let file = files.write(&format!("{name}.wasm"), &module);
        let output = node.emit(&["update", "led", &file, "--probation", "1s"]);
        output.fails(7, &[words]);
        let after = wait_for(&node, "it goes on", |report| number(report, "loops") > number(&before, "loops"));
        assert_eq!(
            (&after["sha256"], &after["cell"], &after["update"]),
            (&before["sha256"], &before["cell"], &"".into())
        );
        assert_eq!((node.names(), node.cells_free()), (vec!["led".to_owned()], 7), "{name}");
    }
    let blinks = transitions(&node);
    let loops = number(&node.ask(&["inspect", "led"]), "loops");
    wait_for(&node, "it loops", |report| number(report, "loops") > loops + 5);
    assert!(transitions(&node) > blinks, "it has its line again");
    assert!(number(&node.ask(&["info"])["counters"], "updates_rolled_back") >= 3);
}

#[test]
fn the_name_means_the_old_version_until_the_new_one_has_proved_itself() {
    let files = Files::new();
    let node = blinking(&files);
    let second = files.write("second.wasm", &version("two", ""));
    let update = node.start_emit(&["update", "led", &second, "--probation", "3s"]);
    let deadline = Instant::now() + LIMIT;
    while !node.emit(&["events", "led"]).succeeds().contains("update-took-over") {
        assert!(Instant::now() < deadline, "{}", update.so_far());
        thread::sleep(Duration::from_millis(20));
    }
    let both = node.ask(&["ps"]);
    let updates: Vec<_> = both.as_array().expect("a list").iter().map(|report| report["update"].as_str()).collect();
    assert!(updates.contains(&Some("old")) && updates.contains(&Some("new")), "{both}");
    node.emit(&["update", "led", &second]).fails(8, &["an update of `led` is under way"]);
    update.finish().succeeds();
    assert_eq!(node.names(), ["led"]);
}

#[test]
fn an_update_ends_although_nobody_waits_for_it() {
    let files = Files::new();
    let node = blinking(&files);
    let second = files.write("second.wasm", &version("two", ""));
    let update = node.start_emit(&["update", "led", &second, "--probation", "1s"]);
    let deadline = Instant::now() + LIMIT;
    while !node.emit(&["events", "led"]).succeeds().contains("update-took-over") {
        assert!(Instant::now() < deadline, "{}", update.so_far());
        thread::sleep(Duration::from_millis(20));
    }
    // Killed.
    drop(update);
    while node.names().len() > 1 {
        assert!(Instant::now() < deadline, "{:?}", node.ask(&["ps"]));
        thread::sleep(Duration::from_millis(20));
    }
    assert!(node.emit(&["logs", "led"]).succeeds().contains("two"));
}

#[test]
fn what_cannot_be_replaced_is_refused() {
    let files = Files::new();
    let node = blinking(&files);
    let second = files.write("second.wasm", &version("two", ""));
    node.emit(&["update", "nobody", &second]).fails(8, &["there is no container `nobody`"]);
    node.emit(&["update", "led", &second, "--grant", "gpio:VALVE:in"]).fails(7, &["VALVE"]);
    for name in ["a", "b", "c", "d", "e", "f", "g"] {
        node.emit(&["deploy", &second, "--no-start", "--name", name]).succeeds();
    }
    node.emit(&["update", "led", &second]).fails(8, &["all 8 cells are taken"]);
    node.emit(&["update", "a", &second]).fails(8, &["only one that runs can be replaced"]);
}
