//! The samples that carry their `app.toml`, each deployed as a person does it: by one command, with no option.

use std::{thread, time::Duration};

use crate::{
    eventually,
    node::{TestNode, number},
    sample,
};

fn deploy(node: &TestNode, name: &str) {
    node.emit(&["deploy", &sample(name)]).succeeds();
}

fn logs(node: &TestNode, name: &str) -> String {
    node.emit(&["logs", name]).succeeds().to_owned()
}

fn transitions_of_the_lamp(node: &TestNode) -> u64 {
    let info = node.ask(&["info"]);
    let lines = info["lines"].as_array().expect("lines");
    number(lines.iter().find(|line| line["label"] == "LED").expect("a lamp"), "transitions")
}

#[test]
fn the_display_finds_the_sensor_by_what_it_is() {
    let node = TestNode::start();
    deploy(&node, "display");
    assert_eq!(node.ask(&["inspect", "display"])["channels"][0]["bound"], false);
    deploy(&node, "sensor");
    eventually("three temperatures are shown", || logs(&node, "display").matches("kitchen: 2").count() >= 3);
    let inspected = node.emit(&["inspect", "display"]).succeeds().to_owned();
    assert!(inspected.contains("in <- temperature{room=kitchen}: f32"), "{inspected}");
    node.emit(&["stop", "sensor"]).succeeds();
    assert!(logs(&node, "sensor").contains(" values"), "its stop hook ran while it waited");
    node.wait_for("display", &["ready", "running"]);
}

#[test]
fn the_controller_comes_to_its_response_on_a_busy_machine_too() {
    let node = TestNode::start();
    deploy(&node, "pid");
    node.wait_for("pid", &["finalised"]);
    let told = logs(&node, "pid");
    assert!(told.contains("after 1000 steps: overshoot 1.1 %, settled after 185 ms"), "{told}");
}

#[test]
fn the_metronome_has_a_schedule_and_keeps_to_its_grid() {
    let node = TestNode::start();
    deploy(&node, "metronome");
    eventually("it was released", || transitions_of_the_lamp(&node) >= 10);
    let schedule = node.ask(&["schedule"]);
    assert_eq!(schedule["containers"][0]["name"], "metronome", "{schedule}");
    let timing = node.ask(&["jitter", "metronome"]);
    assert_eq!(timing["schedule"]["period_ns"], 20_000_000, "{timing}");
    assert!(number(&timing, "completed") >= 9, "{timing}");
}

#[test]
fn a_press_that_bounces_toggles_once() {
    let node = TestNode::start();
    deploy(&node, "debounce");
    // Not "running": a button that is pressed before it is watched is no press.
    node.wait_for("debounce", &["ready"]);
    // Spikes, and then a level that stays.
    for _ in 0..3 {
        node.pulse("BUTTON");
    }
    node.drive("BUTTON", true);
    eventually("the press is told", || logs(&node, "debounce").contains("press 1"));
    assert_eq!(transitions_of_the_lamp(&node), 1);
    node.drive("BUTTON", false);
    // Longer than the quiet time, by far.
    thread::sleep(Duration::from_millis(200));
    node.emit(&["stop", "debounce"]).succeeds();
    assert!(logs(&node, "debounce").contains("1 presses"), "{}", logs(&node, "debounce"));
    assert_eq!(transitions_of_the_lamp(&node), 2, "it was left off");
}

#[test]
fn a_tiny_container_runs_as_it_is() {
    let node = TestNode::start();
    deploy(&node, "tiny");
    let report = node.wait_for("tiny", &["finalised"]);
    assert_eq!((&report["world"], number(&report, "loops")), (&"tiny-container".into(), 11));
    let told = logs(&node, "tiny");
    assert!(told.contains("tiny: started") && told.contains("tiny: stopped"), "{told}");
    assert_eq!(transitions_of_the_lamp(&node), 10);
}

#[test]
fn the_report_brings_its_arguments_and_its_file() {
    let node = TestNode::start();
    let text = node.emit(&["run", &sample("report")]).succeeds().to_owned();
    assert_eq!(text, "lagoon: 3 readings, 24 to 26, mean 25\nreef: 3 readings, 21 to 23, mean 22\n");
}
