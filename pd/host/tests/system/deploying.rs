//! What a person does with containers.

use std::{thread, time::Duration};

use runner_container::{Manifest, embed};
use runner_interfaces::{cell::ContainerState, gpio::INTERRUPT_WINDOW_NS};
use shared_ring_messages::{Answer, ErrorCode, Request};

use crate::client::{Client, Deploy, blinker};
use crate::{TestNode, eventually, sample};

#[test]
fn the_three_samples_of_the_demo() {
    let node = TestNode::start();
    let mut client = Client::greeted(&node);

    let hello = Deploy { arguments: &["reef", "lagoon"], ..Deploy::new("hello", sample("hello")) };
    client.deploy(&hello).expect("a WASI command");
    let report = client.wait_for_end("hello");
    assert_eq!((report.state, report.exit_code), (ContainerState::Finalised.to_wire(), 0), "{}", report.reason_text);
    let output = client.output("hello");
    assert!(output.contains("reef") && output.contains("lagoon"), "{output}");

    client.deploy(&blinker("blinker")).expect("a reactor");
    let mut pins = node.gpio().expect("pins");
    eventually("the LED blinks", || pins.transitions("LED").expect("read") >= 3);

    let (code, detail) = client.deploy(&Deploy::new("greedy", sample("greedy"))).expect_err("it wants the valve");
    assert_eq!(code, ErrorCode::LoadFailed);
    assert!(detail.contains("not granted"), "{detail}");
    assert_eq!(client.counter("gpio_refused"), 1, "{:?}", client.info().counters);
    assert_eq!(pins.transitions("VALVE").expect("read"), 0);

    let stopped = client.container(Request::Stop("blinker".into())).expect("stopped");
    assert_eq!(stopped.state, ContainerState::Finalised.to_wire(), "{}", stopped.reason_text);
    assert!(!pins.read("LED").expect("read"), "its line is left low");
    let names: Vec<_> = client.list().into_iter().map(|report| report.name).collect();
    assert_eq!(names, ["hello", "blinker"], "what ended is listed until it is removed");
}

#[test]
fn a_containers_life_by_hand() {
    let node = TestNode::start();
    let mut client = Client::greeted(&node);
    let installed = client.deploy(&Deploy { start: false, ..blinker("blinker") }).expect("installed");
    assert_eq!(installed.state, ContainerState::Installed.to_wire());
    client.container(Request::Start("blinker".into())).expect("started");
    let running = client.wait_for("blinker", &[ContainerState::Ready, ContainerState::Running]);
    assert_eq!((running.world.as_str(), running.cell), ("reactor", 0));

    let (code, _) = client.ask(Request::Remove("blinker".into())).expect_err("it runs");
    assert_eq!(code, ErrorCode::WrongState);
    let (code, _) = client.ask(Request::Start("blinker".into())).expect_err("it runs");
    assert_eq!(code, ErrorCode::WrongState);

    client.container(Request::Restart("blinker".into())).expect("restarted");
    client.wait_for("blinker", &[ContainerState::Ready, ContainerState::Running]);
    let killed = client.container(Request::Kill("blinker".into())).expect("killed");
    assert_eq!(killed.state, ContainerState::Failed.to_wire());
    assert!(killed.reason_text.contains("killed"), "{}", killed.reason_text);
    assert_eq!(client.ask(Request::Remove("blinker".into())), Ok(Answer::Done));
    assert!(client.list().is_empty());
    let (code, _) = client.ask(Request::Inspect("blinker".into())).expect_err("it is gone");
    assert_eq!(code, ErrorCode::NoSuchContainer);
    assert_eq!(client.info().cells_free, 8);
}

#[test]
fn exit_codes_and_output_are_the_programs_own() {
    let node = TestNode::start();
    let mut client = Client::greeted(&node);
    client.deploy(&Deploy::new("silent", sample("echo"))).expect("runs");
    let report = client.wait_for_end("silent");
    assert_eq!((report.state, report.exit_code), (ContainerState::Finalised.to_wire(), 1));
    client.deploy(&Deploy { arguments: &["a b", "ü"], ..Deploy::new("loud", sample("echo")) }).expect("runs");
    assert_eq!(client.wait_for_end("loud").exit_code, 0);
    assert_eq!(client.output("loud"), "a b ü\n");
}

#[test]
fn a_command_reads_the_file_that_it_brought() {
    let node = TestNode::start();
    let mut client = Client::greeted(&node);
    client.deploy(&Deploy { arguments: &["reef"], ..Deploy::new("report", sample("report")) }).expect("runs");
    let report = client.wait_for_end("report");
    assert_eq!((report.state, report.exit_code), (ContainerState::Finalised.to_wire(), 0), "{}", report.reason_text);
    assert_eq!(client.output("report"), "reef: 3 readings, 21 to 23, mean 22\n");
    let bare = embed(&sample("report"), &Manifest::named("bare"), &[]).expect("a valid container");
    client.deploy(&Deploy::new("bare", bare)).expect("runs");
    assert_eq!(client.wait_for_end("bare").exit_code, 2, "what another container brought is not there");
}

#[test]
fn names_and_cells_are_taken_once() {
    let node = TestNode::start();
    let mut client = Client::greeted(&node);
    for name in ["one", "two", "three", "four", "five", "six", "seven", "eight"] {
        client.deploy(&Deploy { start: false, ..Deploy::new(name, sample("hello")) }).expect("installed");
    }
    let (code, _) = client.deploy(&Deploy::new("one", sample("hello"))).expect_err("the name is taken");
    assert_eq!(code, ErrorCode::NameTaken);
    let (code, _) = client.deploy(&Deploy::new("nine", sample("hello"))).expect_err("there are eight cells");
    assert_eq!(code, ErrorCode::NoFreeCell);
    client.ask(Request::Remove("two".into())).expect("removed");
    let nine = client.deploy(&Deploy::new("nine", sample("hello"))).expect("there is a cell now");
    assert_eq!(nine.cell, 1);
    client.wait_for_end("nine");
}

#[test]
fn an_edge_is_delivered_to_who_watches_it() {
    let node = TestNode::start();
    let mut client = Client::greeted(&node);
    let mut pins = node.gpio().expect("pins");
    pins.pulse("BUTTON").expect("nobody watches yet");
    let button = Deploy::new("button", sample("button")).granting(&["gpio:BUTTON:edge"]);
    client.deploy(&button).expect("starts");
    client.wait_for("button", &[ContainerState::Ready]);
    pins.pulse("BUTTON").expect("pulsed");
    eventually("the first edge is logged", || client.output("button").contains("1 edges"));
    for edges in 2..=10 {
        // Edges in quick succession are told of together.
        thread::sleep(Duration::from_nanos(INTERRUPT_WINDOW_NS));
        pins.pulse("BUTTON").expect("pulsed");
        eventually("each edge is logged", || client.output("button").contains(&format!("{edges} edges")));
    }
    let line = client.info().lines.into_iter().find(|line| line.label == "BUTTON").expect("listed");
    assert_eq!((line.edges, line.held_as.as_str()), (10, "input"));
}

#[test]
fn a_container_waits_in_its_sleep_and_not_in_its_cell() {
    let node = TestNode::start();
    let mut client = Client::greeted(&node);
    client.deploy(&Deploy::new("clock", sample("clock"))).expect("starts");
    let report = client.wait_for_end("clock");
    assert_eq!((report.state, report.exit_code), (ContainerState::Finalised.to_wire(), 0), "{}", report.reason_text);
    assert!(report.ended_ns > report.started_ns);
}
