//! A container reads the thermometer at the simulated bus, and one that was not granted it does not.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{LIMIT, node::TestNode, project};

/// `examples/thermometer`, assembled; the directory goes with the test.
fn thermometer() -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let source =
        fs::read_to_string(project().join("examples/thermometer/thermometer.wat")).expect("the sample is there");
    let path = directory.path().join("thermometer.wasm");
    fs::write(&path, wat::parse_str(source).expect("it assembles")).expect("written");
    let path = path.to_str().expect("UTF-8").to_owned();
    (directory, path)
}

fn counter(node: &TestNode, name: &str) -> u64 {
    node.ask(&["info"])["counters"][name].as_u64().expect("it is counted")
}

/// The temperatures that were logged, in tenths of a degree.
fn temperatures(node: &TestNode) -> Vec<u32> {
    let text = node.emit(&["logs", "thermometer"]).succeeds();
    let shown = text.lines().filter_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let number = words.iter().position(|word| *word == "C").and_then(|at| words.get(at.checked_sub(1)?))?;
        number.replace('.', "").parse().ok()
    });
    shown.collect()
}

#[test]
fn a_container_with_the_right_reads_the_sensor() {
    let node = TestNode::start();
    let (_directory, module) = thermometer();
    node.emit(&["deploy", &module, "--grant", "i2c:0x48"]).succeeds();
    let deadline = Instant::now() + LIMIT;
    let found = loop {
        let found = temperatures(&node);
        if found.len() >= 5 {
            break found;
        }
        assert!(Instant::now() < deadline, "{found:?}: {:?}", node.emit(&["inspect", "thermometer"]));
        thread::sleep(Duration::from_millis(50));
    };
    assert!(found.iter().all(|tenths| (200..=300).contains(tenths)), "the ramp: {found:?}");
    assert!(found.windows(2).any(|two| two[0] != two[1]), "it moves: {found:?}");
    let report = node.ask(&["inspect", "thermometer"]);
    assert_eq!(report["grants"][0], "i2c:0x48", "{report}");
    assert!(counter(&node, "i2c_calls") >= 5 && counter(&node, "i2c_refused") == 0);
}

#[test]
fn a_container_without_the_right_is_refused_by_the_owner_of_the_bus() {
    let node = TestNode::start();
    let (_directory, module) = thermometer();
    // For another device than the one that it opens.
    let refused = node.emit(&["deploy", &module, "--grant", "i2c:0x50"]);
    assert_ne!(refused.code, Some(0), "{refused:?}");
    assert!(refused.stderr.contains("not granted") && refused.stderr.contains("--grant i2c:0x48"), "{refused:?}");
    assert_eq!(counter(&node, "i2c_refused"), 1);
}

#[test]
fn what_may_be_asked_for_is_shown_and_the_rest_refused() {
    let node = TestNode::start();
    let (_directory, module) = thermometer();
    let shown = node.emit(&["info"]).succeeds();
    assert!(shown.contains("I2C (simulated)") && shown.contains("thermometer"), "{shown}");
    let bus = &node.ask(&["info"])["i2c"];
    assert_eq!(bus["simulated"], true, "{bus}");
    let charger = bus["devices"].as_array().and_then(|all| all.iter().find(|one| one["label"] == "charger"));
    assert_eq!(charger.map(|one| one["allowed"].clone()), Some(Value::Bool(false)), "{bus}");
    for (right, word) in [("i2c:0x6b", "0x6b"), ("i2c:0x48-0x50", "0x49")] {
        let refused = node.emit(&["deploy", &module, "--grant", right]);
        assert_ne!(refused.code, Some(0), "{refused:?}");
        let expected = format!("does not allow {word} at its I2C bus");
        assert!(refused.stderr.contains(&expected) && refused.stderr.contains("i2c:0x50 (memory)"), "{refused:?}");
    }
    assert!(node.names().is_empty());
}
