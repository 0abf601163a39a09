//! What containers write.

use runner_interfaces::output::{OUTPUT_SLOT_BYTES, OutputRecord, Stream};
use shared_ring_messages::{Answer, DeployRequest, LogRecord, Request};

use crate::node::*;

struct Page {
    lines: Vec<String>,
    next: u64,
    lost: u64,
    ended: bool,
}

fn page(node: &mut Node, cursor: u64) -> Page {
    match node.ask(0, Request::Logs { name: "a".into(), cursor }) {
        Ok(Answer::Logs { records, next, lost, ended }) => {
            let text = |record: LogRecord| String::from_utf8(record.bytes).expect("text");
            Page { lines: records.into_iter().map(text).collect(), next, lost, ended }
        }
        other => panic!("expected logs, got {other:?}"),
    }
}

fn running(script: Script) -> Node {
    let mut node = Node::new();
    node.greet(0);
    node.cells[0].script = script;
    node.deploy_running(0, "a");
    node
}

#[test]
fn output_is_there_when_the_end_is() {
    let mut node = running(Script::Exits(vec!["one".into(), "two".into()], 0));
    let first = page(&mut node, 0);
    assert_eq!((first.lines, first.next, first.lost, first.ended), (vec!["one".into(), "two".into()], 2, 0, true));
    let after = page(&mut node, 2);
    assert_eq!((after.lines.len(), after.next, after.ended), (0, 2, true));
}

#[test]
fn a_running_container_has_not_ended_and_its_log_goes_on() {
    let mut node = running(Script::Runs(vec!["one".into()]));
    let first = page(&mut node, 0);
    assert_eq!((first.lines.len(), first.ended), (1, false));
    assert!(node.cells[0].print("two"));
    let second = page(&mut node, first.next);
    assert_eq!((second.lines, second.next, second.ended), (vec!["two".to_owned()], 2, false), "read on request too");
    node.ask(0, Request::Stop("a".into())).expect("runs");
    let last = page(&mut node, second.next);
    assert_eq!((last.lines, last.ended), (vec!["bye".to_owned()], true));
}

#[test]
fn a_log_outlives_a_restart_and_a_kill() {
    let mut node = running(Script::Runs(vec!["life".into()]));
    node.ask(0, Request::Restart("a".into())).expect("runs");
    let both = page(&mut node, 0);
    assert_eq!(both.lines, ["life", "bye", "life"]);
    assert!(node.cells[0].print("last words"));
    node.ask(0, Request::Kill("a".into())).expect("runs");
    let last = page(&mut node, both.next);
    assert_eq!(last.lines, ["last words", "killed"], "taken before the domain is emptied");
    assert!(last.ended);
}

#[test]
fn what_the_warden_did_is_in_the_log_once() {
    let mut node = running(Script::Runs(vec!["life".into()]));
    node.fault(0);
    node.wake_everybody();
    node.run();
    let text = "the cell faulted: fault 6 (VM fault) at instruction 0x1234, address 0xdead, syndrome 0x92000046";
    let first = page(&mut node, 0);
    assert_eq!((first.lines, first.ended), (vec!["life".to_owned(), text.to_owned()], true));
    node.ask(0, Request::Start("a".into())).expect("clean");
    assert_eq!(page(&mut node, first.next).lines, ["life"]);
}

#[test]
fn a_full_log_loses_its_oldest_and_says_how_many() {
    let mut node = running(Script::Runs(Vec::new()));
    let mut written = 0;
    while written < 3000 {
        if node.cells[0].print(&format!("line {written}")) {
            written += 1;
        } else {
            node.wake_everybody();
            node.run();
        }
    }
    node.wake_everybody();
    node.run();
    let first = page(&mut node, 0);
    assert_eq!(first.lines[0], format!("line {}", first.lost));
    assert!(first.lost > 0);
    let (mut cursor, mut seen) = (first.next, first.lines.len() as u64);
    while cursor < 3000 {
        let next = page(&mut node, cursor);
        assert_eq!(next.lost, 0);
        (cursor, seen) = (next.next, seen + next.lines.len() as u64);
    }
    assert_eq!(seen + first.lost, 3000);
    assert_eq!(node.counter(0, "output_lost"), first.lost);
    assert_eq!(node.report(0, Request::Inspect("a".into())).output_lost, first.lost);
}

#[test]
fn who_runs_it_attached_misses_nothing_however_slow() {
    let mut node = Node::new();
    node.greet(0);
    node.cells[0].script = Script::Runs(Vec::new());
    let wasm = reactor();
    node.deploy(0, DeployRequest { start: true, attached: true, ..request("a", &wasm) }, &wasm).expect("deployed");
    let (mut written, mut cursor, mut seen) = (0, 0, Vec::new());
    while seen.len() < 5000 {
        // As much as there is room for, before each look of the reader's.
        while written < 5000 && node.cells[0].print(&format!("line {written}")) {
            written += 1;
        }
        node.wake_everybody();
        node.run();
        let next = page(&mut node, cursor);
        assert_eq!(next.lost, 0);
        assert!(!next.lines.is_empty(), "what was read makes room for more");
        cursor = next.next;
        seen.extend(next.lines);
    }
    assert_eq!(seen, (0..5000).map(|line| format!("line {line}")).collect::<Vec<_>>());
    assert_eq!(node.counter(0, "output_lost"), 0);
}

#[test]
fn a_stranger_that_looks_on_does_not_make_room() {
    let mut node = Node::new();
    node.greet(0);
    node.greet(1);
    node.cells[0].script = Script::Runs(Vec::new());
    let wasm = reactor();
    node.deploy(0, DeployRequest { start: true, attached: true, ..request("a", &wasm) }, &wasm).expect("deployed");
    for _ in 0..100 {
        while node.cells[0].print("x") {}
        node.wake_everybody();
        node.run();
        node.ask(1, Request::Logs { name: "a".into(), cursor: u64::MAX }).expect("there");
    }
    assert!(!node.cells[0].print("x"), "the writer waits for the reader that it has");
    assert_eq!((page(&mut node, 0).lost, node.counter(0, "output_lost")), (0, 0));
    node.ask(1, Request::Kill("a".into())).expect("ended");
    assert!(node.counter(0, "output_lost") > 0, "what went with the domain is told of");
}

#[test]
fn what_the_cell_could_not_deliver_is_told_where_it_is_missing() {
    let mut node = running(Script::Runs(vec!["before".into()]));
    node.cells[0].shows.output_dropped = 5;
    node.cells[0].show(runner_interfaces::cell::ContainerState::Ready);
    node.wake_everybody();
    node.run();
    assert!(node.cells[0].print("after"));
    let before = page(&mut node, 0);
    assert_eq!((before.lines, before.lost), (vec!["before".to_owned()], 0));
    let after = page(&mut node, before.next);
    assert_eq!((after.lines, after.lost), (vec!["after".to_owned()], 5));
}

#[test]
fn a_cell_that_waits_for_room_is_woken() {
    let mut node = running(Script::Runs(Vec::new()));
    node.run();
    while node.cells[0].print("x") {}
    node.wake_everybody();
    node.run();
    assert!(node.cells[0].print("there is room again"));
}

#[test]
fn records_of_another_load_or_another_make_are_dropped_and_counted() {
    let mut node = running(Script::Runs(Vec::new()));
    let mut slot = [0; OUTPUT_SLOT_BYTES];
    let record =
        OutputRecord { time_ns: 0, generation: 99, stream: Stream::Stdout, continues: false, bytes: b"forged" };
    let length = record.encode(&mut slot).expect("short");
    node.cells[0].output.push(&slot[..length]).expect("room");
    node.cells[0].output.push(b"x").expect("room");
    node.cells[0].output.push(&[0xff; 200]).expect("room");
    node.wake_everybody();
    node.run();
    assert!(page(&mut node, 0).lines.is_empty());
    assert_eq!(node.counter(0, "cell_records_invalid"), 3);
}

#[test]
fn output_of_an_empty_cell_goes_nowhere() {
    let mut node = Node::new();
    node.greet(0);
    assert!(node.cells[0].print("nobody asked"));
    node.wake_everybody();
    node.run();
    let wasm = reactor();
    node.deploy(0, DeployRequest { start: true, ..request("a", &wasm) }, &wasm).expect("deployed");
    assert!(page(&mut node, 0).lines.is_empty());
}
