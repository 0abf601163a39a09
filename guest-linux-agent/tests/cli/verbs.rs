//! What a person does with containers, verb by verb.

use crate::{
    LIMIT, eventually,
    node::{Blinker, TestNode, number},
    sample,
};

const LED: &str = "gpio:LED:out";

#[test]
fn a_containers_life_by_hand() {
    let node = TestNode::start();
    let text = node.emit(&["deploy", &sample("blinker"), "--no-start", "--grant", LED]).succeeds();
    assert_eq!(text, "blinker: installed in cell0\n");
    assert_eq!(number(&node.ask(&["inspect", "blinker"]), "loops"), 0);
    assert!(node.emit(&["start", "blinker"]).succeeds().starts_with("blinker: "));
    eventually("it loops", || number(&node.ask(&["inspect", "blinker"]), "loops") > 2);

    let table = node.emit(&["ps"]).succeeds();
    let lines: Vec<_> = table.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("NAME") && lines[1].starts_with("blinker"), "{table}");
    assert!(lines[1].contains("reactor") && lines[1].ends_with(['y', 'g']), "ready or running: {table}");
    assert_eq!(node.emit(&["list"]).succeeds().lines().next(), Some(lines[0]));

    let began_ns = || number(&node.ask(&["inspect", "blinker"]), "load_began_ns");
    let before_ns = began_ns();
    node.emit(&["restart", "blinker"]).succeeds();
    assert!(began_ns() > before_ns, "it began anew");
    assert_eq!(node.emit(&["stop", "blinker"]).succeeds(), "blinker: finalised (0), stopped on request\n");
    assert_eq!(
        node.emit(&["stop", "blinker"]).succeeds(),
        "blinker: finalised (0), stopped on request\n",
        "stopped is stopped"
    );
    node.emit(&["start", "blinker"]).succeeds();
    node.emit(&["rm", "blinker"]).fails(8, &["`blinker`", "stop or kill it first", "emit stop"]);
    assert_eq!(node.emit(&["kill", "blinker"]).succeeds(), "blinker: failed: killed\n");
    assert_eq!(node.emit(&["rm", "blinker"]).succeeds(), "blinker: removed\n");
    assert_eq!(node.emit(&["ps"]).succeeds().lines().count(), 1);
    assert_eq!(node.cells_free(), 8);
    for verb in ["start", "stop", "restart", "kill", "rm", "inspect", "logs"] {
        node.emit(&[verb, "blinker"]).fails(8, &["there is no container `blinker`", "hint: `emit ps`"]);
    }
}

#[test]
fn a_nodes_counts_are_told_in_prometheus_format() {
    let node = TestNode::start();
    node.emit(&["deploy", &sample("blinker"), "--grant", LED]).succeeds();
    eventually("it loops", || {
        let text = node.emit(&["metrics"]).succeeds();
        assert!(text.contains("\natoll_cells_free 7\n") && text.contains("\natoll_gpio_calls_total "), "{text}");
        let loops = text.lines().find_map(|line| line.strip_prefix("atoll_container_loops_total{name=\"blinker\"} "));
        loops.and_then(|loops| loops.parse::<u64>().ok()).is_some_and(|loops| loops > 2)
    });
}

#[test]
fn what_was_asked_for_is_what_it_has() {
    let node = TestNode::start();
    let hello = sample("hello");
    node.emit(&["deploy", &hello, "--name", "greeter", "--env", "GREETING=hi there", "Ada", "Bob"]).succeeds();
    node.wait_for("greeter", &["finalised"]);
    let log = node.emit(&["logs", "greeter"]).succeeds();
    assert_eq!(log, "Hello, Ada and Bob!\nargument 0: greeter\nargument 1: Ada\nargument 2: Bob\nGREETING: hi there\n");
    let text = node.emit(&["inspect", "greeter"]).succeeds();
    assert!(text.contains("Ada, Bob") && text.contains("finalised (0)") && text.contains("wasi-command"), "{text}");
    node.emit(&["start", "greeter"]).succeeds();
    eventually("it ran again", || node.emit(&["logs", "greeter"]).succeeds() == format!("{log}{log}"));

    node.emit(&["deploy", &sample("blinker"), "--grant", LED, "--grant", "timer:1ms"]).succeeds();
    let text = node.emit(&["inspect", "blinker"]).succeeds();
    assert!(text.contains("right gpio:LED:out@10000/s") && text.contains("right timer:1ms:7"), "{text}");
    let info = node.emit(&["info"]).succeeds();
    assert!(info.contains("not seL4") && info.contains("cells   8, 6 free"), "{info}");
    let led = info.lines().find(|line| line.contains("LED")).expect("the board has a LED");
    assert!(led.contains("output"), "{led}");
    node.emit(&["stop", "blinker"]).succeeds();
}

#[test]
fn logs_follow_until_the_container_ends() {
    let node = TestNode::start();
    node.emit(&["deploy", &sample("button"), "--grant", "gpio:BUTTON:edge"]).succeeds();
    node.wait_for("button", &["ready"]);
    let mut follower = node.start_emit(&["logs", "-f", "button"]);
    let mut as_json = node.start_emit(&["logs", "--follow", "button", "--format", "json"]);
    for edges in 1..=3 {
        node.pulse("BUTTON");
        let shows = format!("{edges} edges");
        eventually("each edge is shown as it comes", || follower.so_far().contains(&shows));
        eventually("to a script too", || as_json.so_far().contains(&shows));
    }
    assert!(follower.is_running() && as_json.is_running());
    node.emit(&["stop", "button"]).succeeds();
    let text = follower.finish().succeeds();
    let line = text.lines().find(|line| line.contains("1 edges")).expect("shown");
    assert!(line.starts_with('[') && line.contains("] info  "), "{line}");
    let output = as_json.finish();
    output.succeeds();
    for record in output.json_lines() {
        assert!(record["time_ns"].is_u64() && record["text"].is_string() && record["continues"].is_boolean());
        assert_eq!(record["stream"], "info");
    }
    assert_eq!(node.emit(&["logs", "button"]).succeeds(), text, "afterwards it is all there still");
}

#[test]
fn a_container_that_loops_for_ever_is_stopped_alone() {
    let node = TestNode::start();
    let blinker = Blinker::deploy(&node);
    node.emit(&["deploy", &sample("spin")]).succeeds();
    node.wait_for("spin", &["running"]);
    let began = std::time::Instant::now();
    node.emit(&["stop", "spin"]).succeeds();
    assert!(began.elapsed() < LIMIT / 4, "{:?}", began.elapsed());
    node.emit(&["rm", "spin"]).succeeds();
    blinker.lost_nothing();
}

#[test]
fn a_cell_that_faults_is_told_and_used_again() {
    let node = TestNode::start();
    let blinker = Blinker::deploy(&node);
    let running = node.start_emit(&["run", "--name", "victim", &sample("clock"), "30000"]);
    eventually("it is there", || node.names().contains(&"victim".to_owned()));
    node.wait_for("victim", &["ready", "running"]);
    node.kill_domain("cell1");
    running.finish().fails(134, &["the container failed", "the cell faulted"]);
    assert!(node.counter("cell_faults") >= 1);
    eventually("the cell is free", || node.cells_free() == 7);
    node.emit(&["run", &sample("hello")]).succeeds();
    blinker.lost_nothing();
}
