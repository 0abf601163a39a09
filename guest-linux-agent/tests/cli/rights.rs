//! Rights: what a container asks for is what it is held to, by whoever owns it, and what `emit inspect` shows.

use std::{
    thread,
    time::{Duration, Instant},
};

use runner_interfaces::gpio::INTERRUPT_WINDOW_NS;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    LIMIT,
    emit::{Running, command},
    node::{TestNode, number},
    sample,
};

/// Toggles the LED as often as it can, once a millisecond, and logs each time; tries the VALVE once. Exits with what is wrong where a
/// status is neither `ok` nor `full`.
const BUSY: &str = r#"(module
    (import "atoll:node/gpio@0.1.0" "open-output" (func $open (param i32 i32 i32)))
    (import "atoll:node/gpio@0.1.0" "[method]output.toggle" (func $toggle (param i32) (result i32)))
    (import "atoll:node/sleep@0.1.0" "sleep-for" (func $sleep (param i64) (result i32)))
    (import "atoll:node/log@0.1.0" "log" (func $log (param i32 i32 i32)))
    (memory (export "memory") 1) (data (i32.const 0) "LEDVALVEfullwent")
    (global $led (mut i32) (i32.const 0))
    (func (export "on-start") (result i32)
        (call $open (i32.const 3) (i32.const 5) (i32.const 64))
        (if (i32.eqz (i32.load8_u (i32.const 64))) (then unreachable))
        (call $open (i32.const 0) (i32.const 3) (i32.const 64))
        (if (i32.load8_u (i32.const 64)) (then unreachable))
        (global.set $led (i32.load (i32.const 68)))
        (i32.const 0))
    (func (export "on-loop") (result i32) (local $status i32)
        (local.set $status (call $toggle (global.get $led)))
        (if (i32.eqz (local.get $status))
            (then (call $log (i32.const 2) (i32.const 12) (i32.const 4)))
            (else
                (if (i32.ne (local.get $status) (i32.const 9)) (then unreachable))
                (call $log (i32.const 2) (i32.const 8) (i32.const 4))))
        (drop (call $sleep (i64.const 1000000)))
        (i32.const 0))
    (func (export "on-stop")))"#;

fn module(wat: &str, app: &str) -> (TempDir, String) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = |file: &str| directory.path().join(file).to_str().expect("UTF-8").to_owned();
    let (plain, manifest, packed) = (path("plain.wasm"), path("app.toml"), path("packed.wasm"));
    std::fs::write(&plain, wat::parse_str(wat).expect("it assembles")).expect("written");
    std::fs::write(&manifest, app).expect("written");
    Running::start(command(&["pack", &plain, "--app", &manifest, "-o", &packed])).finish().succeeds();
    (directory, packed)
}

/// What was done with that right.
fn right(report: &Value, right: &str) -> Value {
    let rights = report["rights"].as_array().expect("a list");
    rights.iter().find(|shown| shown["right"] == right).unwrap_or_else(|| panic!("no {right}: {report}")).clone()
}

/// The container's report, once it is as wanted.
fn wait_until(node: &TestNode, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + LIMIT;
    loop {
        let report = node.ask(&["inspect", name]);
        if wanted(&report) {
            return report;
        }
        assert!(Instant::now() < deadline, "{report}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_line_and_a_log_are_held_to_their_rates_and_inspect_shows_it() {
    let node = TestNode::start();
    let (_directory, busy) =
        module(BUSY, "name = \"busy\"\n[grants]\nlist = [\"gpio:LED:out@20/s\", \"log:1000/s\"]\n");
    node.ask(&["deploy", &busy, "--grant", "log:30/s"]);
    let enough = |report: &Value| number(&right(report, "gpio:LED:out@20/s"), "limited") > 100;
    wait_until(&node, "busy", enough);
    thread::sleep(Duration::from_millis(500));
    let report = node.ask(&["inspect", "busy"]);
    let led = right(&report, "gpio:LED:out@20/s");
    let ran_ns = number(&report, "now_ns") - number(&report, "started_ns");
    let went = number(&led, "calls") - number(&led, "limited") - 1;
    assert!(went <= 2 + ran_ns.div_ceil(1_000_000_000) * 20, "{went} changes in {ran_ns} ns: {report}");
    assert!(went >= 5, "{report}");
    assert_eq!((number(&led, "refused"), number(&led, "coalesced")), (0, 0));
    let info = node.ask(&["info"]);
    let line = info["lines"].as_array().expect("a list").iter().find(|line| line["label"] == "LED").expect("there");
    assert!(number(line, "transitions").abs_diff(went) <= 20, "as the device saw it: {line}");
    // What it has no right to.
    assert_eq!(
        (report["refused"][0]["right"].as_str(), number(&report["refused"][0], "refused")),
        (Some("gpio:VALVE"), 1)
    );
    assert_eq!(report["refused"].as_array().map(Vec::len), Some(1));
    // Output beyond the rate.
    let log = right(&report, "log:30/s");
    let written = number(&log, "calls");
    assert!(written <= 30 + ran_ns.div_ceil(1_000_000_000) * 30 && number(&log, "limited") > 0, "{report}");
    assert!(node.counter("output_limited") > 0 && node.counter("gpio_limited") > 100);
    let text = node.emit(&["logs", "busy"]).succeeds();
    assert!(text.contains("it writes more than its right, log:30/s, allows"), "{text}");
    // And all of it for a person.
    let text = node.emit(&["inspect", "busy"]).succeeds();
    for words in
        ["right gpio:LED:out@20/s", "put off", "no right gpio:VALVE", "dropped beyond the rate", "right memory:4MiB"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn edges_beyond_the_rate_are_told_together_and_the_last_is_not_lost() {
    let node = TestNode::start();
    node.ask(&["deploy", &sample("button"), "--grant", "gpio:BUTTON:edge@5/s"]);
    let line = |node: &TestNode| {
        let info = node.ask(&["info"]);
        let lines = info["lines"].as_array().expect("a list").clone();
        number(lines.iter().find(|line| line["label"] == "BUTTON").expect("there"), "edges")
    };
    for pulses in 1..=20 {
        node.pulse("BUTTON");
        // In quicker succession the bank would not see each.
        let deadline = Instant::now() + LIMIT;
        while line(&node) < pulses {
            assert!(Instant::now() < deadline, "pulse {pulses} is not seen");
        }
        thread::sleep(Duration::from_nanos(INTERRUPT_WINDOW_NS));
    }
    // It is quiet from here on; what is withheld comes by itself when the rate allows it.
    let seen = line(&node);
    let coalesced = |report: &Value| number(&right(report, "gpio:BUTTON:edge@5/s"), "coalesced");
    let told = |report: &Value| seen - coalesced(report);
    let deadline = Instant::now() + LIMIT;
    loop {
        let report = node.ask(&["inspect", "button"]);
        let log = node.emit(&["logs", "button"]).succeeds();
        // The sample logs how many edges it was told of so far.
        let mut counted = log.lines().filter_map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            words.windows(2).rev().find(|pair| pair[1] == "edges").and_then(|pair| pair[0].parse::<u64>().ok())
        });
        if coalesced(&report) > 0 && counted.next_back() == Some(told(&report)) {
            break;
        }
        assert!(Instant::now() < deadline, "{log}: {report}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_the_board_does_not_give_is_refused_by_name() {
    let node = TestNode::start();
    let (_directory, busy) = module(BUSY, "name = \"busy\"\n");
    for (asked, words) in [
        ("gpio:LED:out@1000000/s", ""),
        ("timer:1ms:8", "at most 7 timers"),
        ("memory:5MiB", "at most 4MiB"),
        ("module:3MiB", "at most 2MiB"),
        ("module:100B", "its right is `module:100B`"),
        ("log:10001/s", "at most 10000/s"),
        ("cpu:51%", "at most 50%"),
        ("cpu:6%", "a cell has 7 % of its own"),
        ("priority:normal", ""),
    ] {
        let answer = node.emit(&["deploy", &busy, "--no-start", "--grant", asked]);
        if words.is_empty() {
            answer.succeeds();
            node.emit(&["rm", "busy"]).succeeds();
        } else {
            assert_ne!(answer.code, Some(0), "{asked}");
            assert!(answer.stderr.contains(words) && answer.stderr.contains(asked), "{asked}: {answer:?}");
        }
    }
    // What no node has to be asked for.
    let typed = node.emit(&["deploy", &busy, "--grant", "gpio:LED:out@0/s"]);
    typed.fails(2, &["`--grant gpio:LED:out@0/s` is not understood", "a rate is 1/s to 1000000/s"]);
    let info = node.emit(&["info"]).succeeds();
    assert!(info.contains("timer:1ms:7") && info.contains("log:5000/s"), "{info}");
}
