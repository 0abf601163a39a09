//! What a container was not granted, it does not get: asked for at the door, or tried from inside.

use shared_ring_messages::ErrorCode;

use crate::client::{Client, Deploy, blinker};
use crate::{TestNode, sample};

#[test]
fn what_the_board_allows_nobody_is_refused_at_the_door() {
    let node = TestNode::start();
    let mut client = Client::greeted(&node);
    let wishes =
        ["gpio:VALVE:out", "gpio:LED:in", "gpio:BUTTON:out", "gpio:RELAY:edge", "gpio:NOSUCH:out", "timer:1ns"];
    for wish in wishes {
        let deploy = Deploy::new("wants", sample("blinker")).granting(std::slice::from_ref(&wish));
        let (code, detail) = client.deploy(&deploy).expect_err("refused");
        assert_eq!(code, ErrorCode::NotAllowed, "{wish:?}: {detail}");
        assert!(!detail.is_empty(), "{wish:?}");
    }
    assert!(client.list().is_empty());
    assert_eq!(client.info().cells_free, 8);
}

#[test]
fn a_line_that_was_not_asked_for_is_refused_by_its_owner() {
    let node = TestNode::start();
    let mut client = Client::greeted(&node);
    let (code, detail) = client.deploy(&Deploy::new("blinker", sample("blinker"))).expect_err("no grant, no line");
    assert_eq!(code, ErrorCode::LoadFailed);
    assert!(detail.contains("not granted"), "{detail}");
    assert_eq!(client.counter("gpio_refused"), 1);
    assert_eq!(node.gpio().expect("pins").transitions("LED").expect("read"), 0);
}

#[test]
fn two_containers_do_not_share_a_line() {
    let node = TestNode::start();
    let mut client = Client::greeted(&node);
    client.deploy(&blinker("first")).expect("it has the LED");
    let (code, detail) = client.deploy(&blinker("second")).expect_err("the LED is taken");
    assert_eq!(code, ErrorCode::LoadFailed);
    assert!(detail.contains("in use") || detail.contains("busy"), "{detail}");
    client.ask(shared_ring_messages::Request::Stop("first".into())).expect("stopped");
    client.deploy(&blinker("second")).expect("now it is free");
}
