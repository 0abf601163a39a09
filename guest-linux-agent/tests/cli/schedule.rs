//! Containers that the node releases, and `emit jitter`. The host keeps no times that a test could ask for, so that counts are
//! looked at here and times on seL4.

use std::fs;

use serde_json::Value;

use crate::{
    life::{Packed, wait_until},
    node::{Blinker, TestNode, number},
};

const ENDLESS: &str = "(loop $for_ever (br $for_ever))";

/// A reactor with that in its loop hook, which is called again and again.
fn looping(body: &str) -> String {
    format!(
        r#"(module
            (import "atoll:node/timer@0.1.0" "arm" (func $arm (param i32 i64 i64) (result i32)))
            (import "atoll:node/timer@0.1.0" "wait" (func $wait (param i32) (result i32)))
            (func (export "on-start") (result i32) (drop (call $arm (i32.const 1) (i64.const 0) (i64.const 10000000))) (i32.const 0))
            (func (export "on-loop") (result i32) {body} (i32.const 0))
            (func (export "on-stop")))"#
    )
}

/// Deploys it under its name, with that schedule.
fn deploy(node: &TestNode, packed: &Packed, name: &str, body: &str, schedule: &str) {
    let app = format!("name = \"{name}\"\n[grants]\nlist = [\"timer:10ms\"]\n[schedule]\n{schedule}");
    node.emit(&["deploy", &packed.pack(name, &looping(body), &app)]).succeeds();
}

fn jitter(node: &TestNode, name: &str) -> Value {
    node.ask(&["jitter", name])
}

/// Waits for so many calls of the loop hook, and answers what `emit jitter` says then.
fn after_loops(node: &TestNode, name: &str, loops: u64) -> Value {
    wait_until(node, name, "released", |report| number(report, "loops") >= loops);
    jitter(node, name)
}

/// How often the loop hook came round, and how many such periods the container ran.
fn loops_and_periods(node: &TestNode, name: &str, period_ns: u64) -> (u64, u64) {
    let report = node.ask(&["inspect", name]);
    (number(&report, "loops"), (number(&report, "now_ns") - number(&report, "started_ns")).div_ceil(period_ns))
}

#[test]
fn a_container_is_released_by_the_clock_and_its_times_are_told() {
    let (node, packed) = (TestNode::start(), Packed::new());
    let schedule = "period = \"20ms\"\ndeadline = \"15ms\"\nbudget = \"1ms\"\noffset = \"5ms\"\nclass = \"high\"\n";
    deploy(&node, &packed, "pid", "", schedule);
    let report = after_loops(&node, "pid", 20);
    let stated = &report["schedule"];
    let times = ["period_ns", "deadline_ns", "budget_ns", "offset_ns"].map(|name| number(stated, name));
    assert_eq!(times, [20_000_000, 15_000_000, 1_000_000, 5_000_000]);
    assert_eq!((&stated["release"], &stated["class"]), (&"periodic".into(), &"high".into()));
    let released = number(&report, "released");
    assert!(released >= 20 && number(&report, "completed") + 1 >= released, "{report}");
    let measures = &report["measures"];
    assert_eq!(number(&measures["release_jitter"], "count"), released);
    let response = &measures["response"];
    let counted: u64 =
        response["buckets"].as_array().expect("a list").iter().map(|bucket| number(bucket, "count")).sum();
    assert_eq!(counted, number(response, "count"));
    // The loop hook came round once a period and no more often, from its first instruction on.
    let (loops, periods) = loops_and_periods(&node, "pid", 20_000_000);
    assert!(loops <= periods + 1, "{loops} in {periods} periods");

    let text = node.emit(&["jitter", "pid"]).succeeds();
    assert!(text.contains("every 20.0 ms, done within 15.0 ms") && text.contains("release jitter"), "{text}");
    assert!(text.contains("p99.9") && text.contains("##"), "percentiles and bars: {text}");
    let picture = packed.path("pid.svg");
    node.emit(&["jitter", "pid", "--svg", &picture]).succeeds();
    let svg = fs::read_to_string(&picture).expect("written");
    assert!(svg.starts_with("<svg") && svg.contains("release jitter") && svg.contains("pid:"), "{svg}");
}

#[test]
fn events_release_a_container_no_more_often_than_it_says() {
    let (node, packed) = (TestNode::start(), Packed::new());
    // Its timer, every 10 ms, is the event.
    deploy(
        &node,
        &packed,
        "sensor",
        "(drop (call $wait (i32.const 2)))",
        "min-interval = \"40ms\"\nbudget = \"1ms\"\n",
    );
    let first = after_loops(&node, "sensor", 5);
    assert_eq!(first["schedule"]["release"], "events", "{first}");
    let (loops, intervals) = loops_and_periods(&node, "sensor", 40_000_000);
    assert!(loops <= intervals + 1, "{loops} in {intervals} intervals");
    assert!(node.emit(&["jitter", "sensor"]).succeeds().contains("at most once every 40.0 ms"));
}

#[test]
fn who_overruns_skips_or_ends_as_it_says() {
    let (node, packed) = (TestNode::start(), Packed::new());
    let blinker = Blinker::deploy(&node);
    let schedule = |on_overrun: &str| format!("period = \"10ms\"\nbudget = \"1ms\"\non-overrun = \"{on_overrun}\"\n");
    deploy(&node, &packed, "stops", ENDLESS, &schedule("stop"));
    let report = wait_until(&node, "stops", "ended", |report| report["state"] == "failed");
    assert!(report["reason"].as_str().is_some_and(|reason| reason.contains("missed its deadline")), "{report}");
    assert_eq!(["released", "completed", "missed"].map(|count| number(&jitter(&node, "stops"), count)), [1, 0, 1]);

    deploy(&node, &packed, "restarts", ENDLESS, &format!("{}[restart]\nattempts = 2\n", schedule("restart")));
    let report = wait_until(&node, "restarts", "given up", |report| report["given_up"] == true);
    assert_eq!((number(&report, "new_starts"), &report["restart"]), (2, &"on-failure".into()));

    deploy(&node, &packed, "skips", ENDLESS, &schedule("skip"));
    wait_until(&node, "skips", "late", |_| number(&jitter(&node, "skips"), "missed") == 1);
    assert_eq!(node.ask(&["inspect", "skips"])["state"], "running", "it goes on");
    node.emit(&["stop", "skips"]).succeeds();
    blinker.lost_nothing();
}

#[test]
fn what_has_no_schedule_has_no_times() {
    let (node, packed) = (TestNode::start(), Packed::new());
    Blinker::deploy(&node);
    node.emit(&["jitter", "blinker"]).fails(8, &["`blinker` has no [schedule]"]);
    node.emit(&["jitter", "nobody"]).fails(8, &["there is no container `nobody`"]);
    for (schedule, why) in [
        ("budget = \"1ms\"\n", "a.toml:2:1: [schedule] states neither `period` nor `min-interval`"),
        ("period = \"1ms\"\nmin-interval = \"1ms\"\n", "both `period` and `min-interval`"),
        ("period = \"1ms\"\ndeadline = \"2ms\"\nbudget = \"1us\"\n", "deadline"),
        ("period = \"1ms\"\nbudget = \"2ms\"\n", "budget"),
        ("period = \"1ms\"\nbudget = \"1us\"\noffset = \"1ms\"\n", "offset"),
    ] {
        packed
            .try_pack("a", &looping(""), &format!("name = \"a\"\n[schedule]\n{schedule}"))
            .fails(10, &["a.toml:", why]);
    }
}

/// The largest budget that a refusal offers, in nanoseconds.
fn offered_ns(words: &str) -> u64 {
    let offer = words.split("the largest budget that fits is ").nth(1).expect("offers one");
    let (number, unit) = offer.split_once(' ').expect("a number and a unit");
    let digits = if unit.starts_with("ms") { 6 } else { 3 };
    let (whole, rest) = number.split_once('.').unwrap_or((number, ""));
    format!("{whole}{rest:0<digits$}").parse().expect("no more decimals than a nanosecond has")
}

#[test]
fn a_schedule_is_promised_with_numbers_or_refused_with_numbers() {
    let (node, packed) = (TestNode::start(), Packed::new());
    assert!(node.emit(&["schedule"]).succeeds().contains("nobody has a schedule"));
    let app = |name: &str, budget_ns: u64| {
        format!("name = \"{name}\"\n[schedule]\nperiod = \"20ms\"\nbudget = \"{budget_ns}ns\"\n")
    };
    let first = packed.pack("first", &looping(""), &app("first", 1_000_000));
    // Nothing of a dry run is left.
    let would = node.ask(&["deploy", "--dry-run", &first]);
    assert_eq!((&would["name"], &would["deployed"]), (&"first".into(), &false.into()), "{would}");
    let promised = number(&would["schedule"]["containers"][0], "response_ns");
    assert_eq!(node.ask(&["ps"]).as_array().map(Vec::len), Some(0));
    assert!(node.emit(&["deploy", "--dry-run", &first]).succeeds().contains("nothing was deployed"));

    node.emit(&["deploy", &first]).succeeds();
    wait_until(&node, "first", "runs", |report| report["schedule"]["in_force"] == true);
    let report = node.ask(&["inspect", "first"]);
    let schedule = &report["schedule"];
    assert_eq!(number(schedule, "response_ns"), promised, "as it said");
    assert_eq!(number(schedule, "response_ns") + number(schedule, "slack_ns"), 20_000_000);
    let class = &schedule["class"];
    assert!(
        number(class, "budget_us") >= 1_020 && number(class, "period_us") * 1_000 + promised <= 20_000_000,
        "{class}"
    );
    let text = node.emit(&["inspect", "first"]).succeeds();
    assert!(text.contains("promised: done ") && text.contains("held by the kernel: "), "{text}");

    // What is too much is refused, with what would fit; that fits, and a nanosecond more does not.
    let second = packed.pack("second", &looping(""), &app("second", 15_000_000));
    let refused = node.emit(&["deploy", "--dry-run", &second]);
    refused.fails(7, &["second.wasm", "the largest budget that fits is", "emit schedule"]);
    let largest_ns = offered_ns(&refused.stderr);
    let more = packed.pack("second", &looping(""), &app("second", largest_ns + 1));
    node.emit(&["deploy", &more]).fails(7, &["the largest budget that fits is"]);
    let fits = packed.pack("second", &looping(""), &app("second", largest_ns));
    node.emit(&["deploy", &fits]).succeeds();

    let table = node.emit(&["schedule"]).succeeds();
    let of = |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{table}"));
    assert!(of("first").contains("class") && of("second").contains("20.0 ms"), "{table}");
    let picture = packed.path("schedule.svg");
    node.emit(&["schedule", "--svg", &picture]).succeeds();
    let svg = fs::read_to_string(&picture).expect("written");
    assert!(
        svg.starts_with("<svg") && svg.contains("first") && svg.contains("second") && svg.contains("warden"),
        "{svg}"
    );
}

#[test]
fn rights_limit_what_a_schedule_asks_for() {
    let (node, packed) = (TestNode::start(), Packed::new());
    let schedule = "name = \"a\"\n[schedule]\nperiod = \"20ms\"\nbudget = \"500us\"\nclass = \"critical\"\n";
    let file = packed.pack("a", &looping(""), schedule);
    let words = ["the class `critical`, and its right is `priority:high`"];
    node.emit(&["deploy", &file, "--grant", "priority:high"]).fails(7, &words);
    node.emit(&["deploy", &file, "--grant", "cpu:7%"]).fails(7, &["than its right `cpu:7%`"]);
    node.emit(&["deploy", &file, "--grant", "cpu:50%", "--grant", "priority:critical"]).succeeds();
    let inspected = node.emit(&["inspect", "a"]).succeeds();
    assert!(inspected.contains("right cpu:50%") && inspected.contains("right priority:critical"), "{inspected}");
}
