//! `--format json`: valid, with field names that stay, for every verb and for errors.

use serde_json::Value;

use crate::{
    emit::{Running, command},
    hostile::Hostile,
    node::TestNode,
    sample,
};

const CONTAINER: [&str; 42] = [
    "arguments",
    "cell",
    "cell_restarts",
    "channels",
    "deployed_ns",
    "end",
    "ended_ns",
    "exit_code",
    "failed",
    "fault",
    "fuel",
    "given_up",
    "grants",
    "heap_bytes",
    "heartbeat_ns",
    "host_calls",
    "installed_ns",
    "linear_memory_bytes",
    "load_began_ns",
    "loops",
    "module_bytes",
    "name",
    "new_starts",
    "next_start_ns",
    "now_ns",
    "output_lost",
    "ready_ns",
    "reason",
    "refused",
    "refused_calls",
    "restart",
    "rights",
    "sha256",
    "signed_until",
    "signers",
    "slices",
    "started_ns",
    "state",
    "stopping_ns",
    "update",
    "version",
    "world",
];
const NODE: [&str; 15] = [
    "board",
    "cells",
    "cells_free",
    "counters",
    "defaults",
    "i2c",
    "keys",
    "lines",
    "memory_limit_bytes",
    "module_limit_bytes",
    "most",
    "runs_unsigned",
    "substrate",
    "uptime_ns",
    "version",
];
const LINE: [&str; 8] = ["allowed", "edges", "held_as", "high", "label", "line", "most_per_second", "transitions"];
const RECORD: [&str; 4] = ["continues", "stream", "text", "time_ns"];
const EVENT: [&str; 6] = ["cell", "container", "event", "generation", "text", "time_ns"];
const ERROR: [&str; 4] = ["error", "exit_code", "hint", "kind"];

/// Its field names, sorted, must be exactly these.
#[track_caller]
fn has_fields(value: &Value, expected: &[&str]) {
    let fields: Vec<_> = value.as_object().unwrap_or_else(|| panic!("no object: {value}")).keys().collect();
    assert_eq!(fields, expected);
}

#[test]
fn every_verb_answers_in_json() {
    let node = TestNode::start();
    let blinker = sample("blinker");
    let deployed = node.ask(&["deploy", &blinker, "--no-start", "--grant", "gpio:LED:out"]);
    has_fields(&deployed, &CONTAINER);
    assert_eq!((&deployed["state"], &deployed["exit_code"]), (&"installed".into(), &Value::Null));
    for (verb, failed) in [("start", false), ("restart", false), ("stop", false), ("start", false), ("kill", true)] {
        let report = node.ask(&[verb, "blinker"]);
        has_fields(&report, &CONTAINER);
        assert_eq!(report["failed"], failed, "{verb}: {report}");
    }
    let inspected = node.ask(&["inspect", "blinker"]);
    has_fields(&inspected, &CONTAINER);
    assert_eq!((&inspected["state"], &inspected["reason"]), (&"failed".into(), &"killed".into()));
    assert_eq!(
        inspected["grants"],
        serde_json::json!(["gpio:LED:out@10000/s", "log:5000/s", "memory:4MiB", "module:2MiB", "node", "timer:10ms:7"])
    );
    assert_eq!(inspected["sha256"].as_str().map(str::len), Some(64));
    let listed = node.ask(&["ps"]);
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
    has_fields(&listed[0], &CONTAINER);
    assert_eq!(node.ask(&["rm", "blinker"]), serde_json::json!({ "removed": "blinker" }));
    assert_eq!(node.ask(&["ps"]), serde_json::json!([]));

    let info = node.ask(&["info"]);
    has_fields(&info, &NODE);
    has_fields(&info["lines"][0], &LINE);
    let events = node.emit(&["--format", "json", "events"]);
    events.succeeds();
    events.json_lines().iter().for_each(|event| has_fields(event, &EVENT));
    assert_eq!(node.ask(&["channels"]), serde_json::json!([]));
    assert!(info["counters"].as_object().is_some_and(|counters| counters.values().all(Value::is_u64)));
}

#[test]
fn output_is_one_document_a_record() {
    let node = TestNode::start();
    let hello = sample("hello");
    let ran = node.emit(&["run", "--format", "json", &hello, "Ada", "exit=3"]);
    assert_eq!(ran.code, Some(3));
    let lines = ran.json_lines();
    let (report, records) = lines.split_last().expect("something is printed");
    has_fields(report, &CONTAINER);
    assert_eq!((&report["state"], &report["exit_code"]), (&"finalised".into(), &3.into()));
    let mut text = String::new();
    for record in records {
        has_fields(record, &RECORD);
        assert_eq!(record["stream"], "stdout");
        text.push_str(record["text"].as_str().expect("text"));
    }
    assert!(text.starts_with("Hello, Ada!\n"), "{text}");

    node.emit(&["deploy", &hello, "Ada"]).succeeds();
    node.wait_for("hello", &["finalised"]);
    let logged = node.emit(&["logs", "--format", "json", "hello"]);
    logged.succeeds();
    let text: String = logged.json_lines().iter().map(|record| record["text"].as_str().expect("text")).collect();
    assert!(text.starts_with("Hello, Ada!\n"), "{text}");

    let trapped = node.emit(&["--format=json", "run", &Hostile::new().module("wasi-trap")]);
    assert_eq!((trapped.code, trapped.stderr.as_str()), (Some(134), ""));
    let lines = trapped.json_lines();
    let report = lines.last().expect("something is printed");
    assert_eq!((&report["failed"], &report["exit_code"]), (&true.into(), &Value::Null));
    assert!(report["reason"].as_str().is_some_and(|reason| reason.contains("trap")), "{report}");
}

#[test]
fn errors_are_json_too() {
    let node = TestNode::start();
    let hello = sample("hello");
    for (arguments, code, kind) in [
        (&["inspect", "nobody"][..], 8, "no-such-container"),
        (&["deploy", "nowhere.wasm"], 6, "file"),
        (&["run", "nowhere.wasm"], 127, "file"),
        (&["deploy", &hello, "--grant", "gpio:LED:sideways"], 2, "usage"),
        (&["deploy", &hello, "--grant", "gpio:VALVE:out"], 7, "not-allowed"),
        (&["--node", "/nonexistent", "ps"], 3, "no-node"),
        (&["frobnicate"], 2, "usage"),
        (&["deploy"], 2, "usage"),
        (&["ps", "--timeout", "soon"], 2, "usage"),
    ] {
        let output = node.emit(&[&["--format", "json"], arguments].concat());
        assert_eq!((output.code, output.stderr.as_str()), (Some(code), ""), "{arguments:?}");
        let error = output.json();
        has_fields(&error, &ERROR);
        assert_eq!((&error["exit_code"], &error["kind"]), (&code.into(), &kind.into()), "{error}");
        assert!(error["error"].as_str().is_some_and(|text| text.len() > 10), "{error}");
    }
    // Help that is asked for is no error.
    let help = Running::start(command(&["--format", "json", "--help"])).finish();
    assert!(help.succeeds().contains("Usage"));
}
