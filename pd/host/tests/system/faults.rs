//! Domains that fault: what must go on goes on, and what begins anew begins clean.

use std::time::{Duration, Instant};

use runner_interfaces::cell::ContainerState;
use shared_ring_messages::{Answer, Request};

use crate::client::{Client, Deploy, blinker};
use crate::{Blinking, TestNode, eventually, sample};

#[test]
fn a_cell_that_faults_is_started_clean_and_the_others_run_on() {
    let node = TestNode::start();
    let mut client = Client::greeted(&node);
    client.deploy(&blinker("blinker")).expect("in cell 0");
    let button = Deploy::new("button", sample("button")).granting(&["gpio:BUTTON:edge"]);
    client.deploy(&button).expect("in cell 1");
    client.wait_for("button", &[ContainerState::Ready]);
    let mut pins = node.gpio().expect("pins");
    pins.pulse("BUTTON").expect("pulsed");
    eventually("an edge is logged", || client.output("button").contains("1 edges"));
    eventually("the LED is lit", || pins.read("LED").expect("read"));

    let (died, lives) = (node.domain_pid("cell0").expect("runs"), node.domain_pid("cell1").expect("runs"));
    node.kill_domain("cell0").expect("killed");
    let report = client.wait_for_end("blinker");
    assert_eq!(report.state, ContainerState::Failed.to_wire());
    assert!(report.reason_text.contains("fault") && report.fault_text.contains("SIGKILL"), "{report:?}");
    assert!(!pins.read("LED").expect("read"), "its line went low with it");
    eventually("another process is cell 0", || node.domain_pid("cell0").is_ok_and(|process| process != died));

    assert_eq!(node.domain_pid("cell1").expect("runs"), lives);
    pins.pulse("BUTTON").expect("pulsed");
    eventually("the other container goes on", || client.output("button").contains("2 edges"));

    assert_eq!(client.ask(Request::Remove("blinker".into())), Ok(Answer::Done));
    let again =
        client.deploy(&Deploy { arguments: &["again"], ..Deploy::new("hello", sample("hello")) }).expect("runs");
    assert_eq!(again.cell, 0, "in the cell that faulted");
    client.wait_for_end("hello");
    assert!(client.output("hello").contains("again"));
    assert!(!client.output("hello").contains("blink"), "nothing of the last container is left");
}

#[test]
fn a_cell_that_faults_with_nothing_loaded_comes_back() {
    let node = TestNode::start();
    let mut client = Client::greeted(&node);
    let before = node.domain_pid("cell0").expect("runs");
    node.kill_domain("cell0").expect("killed");
    eventually("it was started anew", || node.domain_pid("cell0").is_ok_and(|process| process != before));
    eventually("it takes a container", || {
        let _ = client.ask(Request::Remove("hello".into()));
        client.deploy(&Deploy::new("hello", sample("hello"))).is_ok_and(|report| report.cell == 0)
    });
}

#[test]
fn a_container_that_loops_is_stopped_while_others_run() {
    let node = TestNode::start();
    let mut client = Client::greeted(&node);
    client.deploy(&blinker("blinker")).expect("starts");
    for name in ["spin-1", "spin-2", "spin-3"] {
        client.deploy(&Deploy::new(name, sample("spin"))).expect("starts");
    }
    let mut pins = node.gpio().expect("pins");
    for name in ["spin-1", "spin-2", "spin-3"] {
        let before = pins.transitions("LED").expect("read");
        eventually("the LED blinks on", || pins.transitions("LED").expect("read") >= before + 3);
        let asked = Instant::now();
        let report = client.container(Request::Stop(name.into())).expect("stopped");
        assert!(ContainerState::from_wire(report.state).is_some_and(ContainerState::is_final), "{}", report.state_text);
        // The policy gives a stop hook one second, the warden a quarter more.
        assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    }
    assert_eq!(client.ask(Request::Kill("blinker".into())).map(drop), Ok(()));
}

#[test]
fn the_bridge_may_end_as_linux_may_and_the_blinker_blinks_on() {
    let node = TestNode::start();
    Client::greeted(&node).deploy(&blinker("blinker")).expect("starts");
    let mut blinking = Blinking::watch(&node);
    for _ in 0..3 {
        let bridge = node.domain_pid("vmm").expect("runs");
        node.kill_domain("vmm").expect("killed");
        eventually("it comes back", || node.domain_pid("vmm").is_ok_and(|process| process != bridge));
        eventually("sessions are served again", || {
            std::os::unix::net::UnixStream::connect(node.socket()).is_ok() && {
                Client::greeted(&node).inspect("blinker").state_text != "failed"
            }
        });
    }
    std::thread::sleep(Duration::from_millis(500));
    blinking.went_on();
}
