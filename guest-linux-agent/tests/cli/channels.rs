//! Containers speak to each other over the channels of their manifests.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    LIMIT,
    emit::{Running, command},
    node::{TestNode, number},
    project,
};

/// `examples/count`, which puts 1, 2, 3, … times `step` into `out`, one every 20 ms.
fn counter(step: u64) -> String {
    source("count").replace("(i64.const 1)", &format!("(i64.const {step})"))
}

fn source(sample: &str) -> String {
    fs::read_to_string(project().join(format!("examples/{sample}/{sample}.wat"))).expect("the sample is there")
}

struct Packed {
    directory: TempDir,
}

impl Packed {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a temporary directory") }
    }

    fn pack(&self, name: &str, wat: &str, app: &str) -> String {
        let path = |file: String| self.directory.path().join(file).to_str().expect("UTF-8").to_owned();
        let (module, manifest, packed) =
            (path(format!("{name}.module.wasm")), path(format!("{name}.toml")), path(format!("{name}.wasm")));
        fs::write(&module, wat::parse_str(wat).expect("it assembles")).expect("written");
        fs::write(&manifest, format!("name = \"{name}\"\n{app}")).expect("written");
        Running::start(command(&["pack", &module, "--app", &manifest, "-o", &packed])).finish().succeeds();
        packed
    }

    fn provider(&self, name: &str, room: &str, step: u64) -> String {
        let provides = format!(
            "[[channel]]\nname = \"out\"\ndirection = \"put\"\ntype = \"u32\"\nkind = \"latest\"\n\
             [[provides]]\nchannel = \"out\"\nservice = \"count\"\nattributes = {{ room = \"{room}\" }}\n"
        );
        self.pack(name, &counter(step), &provides)
    }

    fn client(&self, name: &str, attributes: &str) -> String {
        let needs = format!(
            "[[channel]]\nname = \"in\"\ndirection = \"get\"\ntype = \"u32\"\nkind = \"latest\"\n\
             [[needs]]\nchannel = \"in\"\nservice = \"count\"\nattributes = {{ {attributes} }}\n"
        );
        self.pack(name, &source("plot"), &needs)
    }
}

#[track_caller]
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < deadline, "not that {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn lines(node: &TestNode, name: &str) -> usize {
    node.emit(&["logs", name]).succeeds().matches('x').count()
}

fn channel(node: &TestNode, address: &str) -> Value {
    let channels = node.ask(&["channels"]);
    let all = channels.as_array().expect("a list");
    all.iter().find(|channel| channel["address"] == address).unwrap_or_else(|| panic!("{channels}")).clone()
}

#[test]
fn values_arrive_and_are_shown() {
    let (node, packed) = (TestNode::start(), Packed::new());
    node.emit(&["deploy", &packed.client("plot", "room = \"kitchen\"")]).succeeds();
    assert_eq!(node.ask(&["inspect", "plot"])["channels"][0]["bound"], false);
    node.emit(&["deploy", &packed.provider("count", "kitchen", 1)]).succeeds();
    wait_until("values arrive", || lines(&node, "plot") > 10);
    assert_eq!(node.ask(&["inspect", "plot"])["channels"][0]["bound"], true);
    let shown = channel(&node, "count{room=kitchen}");
    assert_eq!(
        (&shown["type"], &shown["writer"], &shown["readers"][0]),
        (&"u32".into(), &"count".into(), &"plot".into())
    );
    assert!(number(&shown, "puts") > 3 && number(&shown, "takes") > 3, "{shown}");
    let table = node.emit(&["channels"]).succeeds();
    assert!(table.starts_with("CHANNEL") && table.contains("count{room=kitchen}"), "{table}");
    let inspected = node.emit(&["inspect", "plot"]).succeeds();
    assert!(inspected.contains("in <- count{room=kitchen}: u32"), "{inspected}");
}

#[test]
fn a_reader_comes_back_to_the_last_value_and_follows_its_provider() {
    let (node, packed) = (TestNode::start(), Packed::new());
    node.emit(&["deploy", &packed.provider("first", "kitchen", 1)]).succeeds();
    node.emit(&["deploy", &packed.client("plot", "")]).succeeds();
    wait_until("values arrive", || lines(&node, "plot") > 3);
    node.emit(&["stop", "first"]).succeeds();
    let puts = number(&channel(&node, "count{room=kitchen}"), "puts");
    node.emit(&["restart", "plot"]).succeeds();
    assert_eq!(number(&channel(&node, "count{room=kitchen}"), "puts"), puts, "its values outlive the reader's life");
    node.emit(&["rm", "first"]).succeeds();
    node.emit(&["deploy", &packed.provider("second", "attic", 1)]).succeeds();
    let before = lines(&node, "plot");
    wait_until("it hears the second", || lines(&node, "plot") > before + 5);
    assert_eq!(node.ask(&["inspect", "plot"])["channels"][0]["address"], "count{room=attic}");
}

#[test]
fn an_update_takes_channels_over_and_gives_them_back() {
    let (node, packed) = (TestNode::start(), Packed::new());
    node.emit(&["deploy", &packed.provider("count", "kitchen", 1)]).succeeds();
    node.emit(&["deploy", &packed.client("plot", "")]).succeeds();
    wait_until("values arrive", || lines(&node, "plot") > 3);
    let last = || {
        let value = channel(&node, "count{room=kitchen}")["last_value"].as_str().expect("text").to_owned();
        u32::from_str_radix(&value, 16).map(u32::swap_bytes).expect("four bytes")
    };
    let thousands = packed.provider("thousands", "kitchen", 1000);
    node.emit(&["update", "count", &thousands, "--probation", "300ms"]).succeeds();
    assert_eq!(last() % 1000, 0, "the new version writes");
    let bad = counter(7).replace("(drop (call $put", "unreachable (drop (call $put");
    let manifest = "[[channel]]\nname = \"out\"\ndirection = \"put\"\ntype = \"u32\"\nkind = \"latest\"\n\
         [[provides]]\nchannel = \"out\"\nservice = \"count\"\nattributes = { room = \"kitchen\" }\n";
    let bad = packed.pack("bad", &bad, manifest);
    node.emit(&["update", "count", &bad, "--probation", "1s"]).fails(7, &["trap"]);
    let puts = number(&channel(&node, "count{room=kitchen}"), "puts");
    wait_until("the old one writes again", || number(&channel(&node, "count{room=kitchen}"), "puts") > puts + 3);
    assert_eq!(last() % 1000, 0, "{}", last());
}

#[test]
fn what_does_not_fit_is_refused_with_both_sides() {
    let (node, packed) = (TestNode::start(), Packed::new());
    let app = |kind: &str| {
        format!("[[channel]]\nname = \"out\"\ndirection = \"put\"\ntype = \"{kind}\"\nkind = \"latest\"\n")
    };
    node.emit(&["deploy", &packed.pack("a", &counter(1), &app("u32"))]).succeeds();
    let output = node.emit(&["deploy", &packed.pack("b", &counter(1), &app("f32"))]);
    output.fails(7, &["`out` carries u32, latest; declared is f32, latest", "emit channels"]);
    let output = node.emit(&["deploy", &packed.pack("c", &counter(1), &app("u32"))]);
    output.fails(7, &["`out` is written by another container already"]);
    assert_eq!(node.names(), ["a"]);
}
