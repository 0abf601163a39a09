//! Greetings, garbage, sessions that hog, and links that break.

use runner_admission::{MAX_UNREAD_BYTES, MAX_UNREADABLE_FRAMES};
use runner_interfaces::link::{LINK_PAYLOAD_BYTES, LINK_SLOT_BYTES, LinkKind, MAX_SESSIONS};
use shared_ring_messages::{
    DeployRequest, ErrorCode, FromAgent, FromNode, PROTOCOL_MAJOR, PROTOCOL_MINOR, Request, frame,
};

use crate::node::*;

fn failures(messages: &[FromNode]) -> Vec<(u32, ErrorCode)> {
    messages
        .iter()
        .map(|message| match message {
            FromNode::Failure { number, code, .. } => (*number, *code),
            other => panic!("expected a failure, got {other:?}"),
        })
        .collect()
}

#[test]
fn another_version_gets_a_clear_answer_and_the_session_ends() {
    let mut node = Node::new();
    for major in [0, PROTOCOL_MAJOR + 1, u16::MAX] {
        node.open(0);
        node.send(0, &hello(major));
        node.begin(0, Request::Info);
        node.run();
        let mismatch = FromNode::VersionMismatch { major: PROTOCOL_MAJOR, minor: PROTOCOL_MINOR };
        assert_eq!(node.take_messages(0), [mismatch], "and nothing else is served");
        assert!(node.guest.closed[0]);
    }
    node.greet(0);
    assert_eq!(node.counter(0, "version_mismatches"), 3);
}

#[test]
fn another_minor_version_is_welcome() {
    let mut node = Node::new();
    node.open(0);
    node.send(0, &FromAgent::Hello { magic: shared_ring_messages::HELLO_MAGIC, major: PROTOCOL_MAJOR, minor: 99 });
    node.run();
    assert_eq!(node.take_messages(0), [FromNode::Welcome { major: PROTOCOL_MAJOR, minor: PROTOCOL_MINOR }]);
}

#[test]
fn another_protocol_is_turned_away() {
    let mut node = Node::new();
    node.open(2);
    node.send(2, &FromAgent::Hello { magic: 1, major: PROTOCOL_MAJOR, minor: 0 });
    node.run();
    assert_eq!(failures(&node.take_messages(2)), [(0, ErrorCode::Protocol)]);
    assert!(node.guest.closed[2]);
}

#[test]
fn a_greeting_in_the_middle_ends_what_was_before_whatever_it_says() {
    let wasm = reactor();
    let greetings = [
        hello(PROTOCOL_MAJOR),
        hello(PROTOCOL_MAJOR + 1),
        FromAgent::Hello { magic: 1, major: PROTOCOL_MAJOR, minor: 0 },
    ];
    for greeting in greetings {
        let mut node = Node::new();
        node.greet(0);
        node.greet(1);
        let attached = DeployRequest { attached: true, start: true, ..request("attached", &wasm) };
        node.deploy(0, attached, &wasm).expect("deployed");
        node.ask(0, Request::Deploy(request("upload", &wasm))).expect("free");
        node.send(0, &greeting);
        node.run();
        assert_eq!(node.list(1), []);
        node.assert_clean(0);
    }
}

#[test]
fn a_session_begins_with_a_greeting() {
    let mut node = Node::new();
    node.open(0);
    let number = node.begin(0, Request::List);
    node.run();
    assert_eq!(node.answer(0, number).expect("answered").expect_err("refused").0, ErrorCode::Protocol);
    node.send(0, &hello(PROTOCOL_MAJOR));
    node.run();
    assert_eq!(node.take_messages(0).len(), 1);
    assert_eq!(node.list(0), []);
}

#[test]
fn bytes_for_nobody_are_dropped_and_counted() {
    let mut node = Node::new();
    node.begin(3, Request::List);
    node.run();
    assert_eq!(node.take_messages(3), []);
    node.greet(0);
    assert_eq!(node.counter(0, "link_slots_stray"), 1);
}

#[test]
fn garbage_is_answered_a_few_times_and_a_frame_behind_it_is_served() {
    let mut node = Node::new();
    node.greet(0);
    for _ in 0..10 * MAX_UNREADABLE_FRAMES {
        node.send_bytes(0, b"\0garbage\0");
    }
    node.run();
    let answers = failures(&node.take_messages(0));
    assert_eq!(answers, vec![(0, ErrorCode::Protocol); MAX_UNREADABLE_FRAMES as usize]);
    node.send_bytes(0, b"half a line");
    assert_eq!(node.list(0), [], "frames are found again");
    node.take_messages(0);
    node.send_bytes(0, b"\0garbage\0");
    node.run();
    assert_eq!(failures(&node.take_messages(0)), [(0, ErrorCode::Protocol)], "a good frame starts the count again");
    assert_eq!(node.counter(0, "frames_malformed"), u64::from(10 * MAX_UNREADABLE_FRAMES) + 2);
}

#[test]
fn a_damaged_frame_is_told_from_garbage() {
    let mut node = Node::new();
    node.greet(0);
    let mut bytes = frame::encode(&FromAgent::Request { number: 7, request: Request::List }).expect("fits");
    let last = bytes.len() - 2;
    bytes[last] ^= 0x10;
    node.send_bytes(0, &bytes);
    node.run();
    assert_eq!(failures(&node.take_messages(0)), [(0, ErrorCode::Protocol)]);
    assert_eq!(node.counter(0, "frames_damaged"), 1);
}

#[test]
fn a_frame_that_never_ends_takes_no_more_than_one_frame() {
    let mut node = Node::new();
    node.greet(0);
    for _ in 0..100 {
        node.send_bytes(0, &[0xff; LINK_PAYLOAD_BYTES]);
    }
    node.send_bytes(0, &[0]);
    node.run();
    assert_eq!(failures(&node.take_messages(0)), [(0, ErrorCode::Protocol)]);
    assert_eq!(node.list(0), []);
}

#[test]
fn a_frame_in_single_bytes_is_a_frame() {
    let mut node = Node::new();
    node.greet(0);
    let bytes = frame::encode(&FromAgent::Request { number: 9999, request: Request::List }).expect("fits");
    for byte in bytes {
        node.send_bytes(0, &[byte]);
        node.run();
    }
    assert!(node.answer(0, 9999).expect("answered").is_ok());
}

#[test]
fn every_request_gets_one_answer_with_its_number() {
    let mut node = Node::new();
    node.greet(0);
    let numbers: Vec<_> = (0..50).map(|_| node.begin(0, Request::List)).collect();
    node.run();
    for number in numbers {
        assert!(node.answer(0, number).expect("answered").is_ok());
    }
    assert_eq!(node.take_messages(0), []);
}

#[test]
fn all_sessions_talk_at_once() {
    let mut node = Node::new();
    (0..MAX_SESSIONS).for_each(|session| node.greet(session));
    for session in 0..MAX_SESSIONS {
        node.deploy_running(session, &format!("c{session}"));
    }
    for session in 0..MAX_SESSIONS {
        assert_eq!(node.list(session).len(), MAX_SESSIONS);
    }
}

#[test]
fn who_does_not_read_is_closed_and_nobody_else_notices() {
    let mut node = Node::new();
    node.greet(0);
    node.greet(1);
    let wasm = reactor();
    node.ask(0, Request::Deploy(request("a", &wasm))).expect("free");
    node.guest.deaf = true;
    let information = 500;
    for _ in 0..2 * MAX_UNREAD_BYTES / information {
        node.begin(0, Request::Info);
        node.run();
    }
    node.guest.deaf = false;
    node.wake_everybody();
    node.run();
    assert!(node.guest.closed[0]);
    assert!(!node.guest.closed[1]);
    assert_eq!(node.counter(1, "sessions_stalled"), 1);
    assert_eq!(node.list(1), [], "its upload went with it");
    node.greet(0);
    node.deploy_running(0, "a");
}

#[test]
fn a_session_that_floods_does_not_starve_another() {
    let mut node = Node::new();
    node.greet(0);
    node.greet(1);
    let mut asked = None;
    for round in 0..200 {
        node.begin(0, Request::Info);
        if round == 20 {
            asked = Some(node.begin(1, Request::List));
        }
        if round % 10 == 9 {
            node.run();
        }
        if round == 29 {
            let number = asked.expect("was asked");
            assert!(node.answer(1, number).is_some(), "answered while the flood goes on");
        }
    }
}

#[test]
fn slots_that_break_the_contract_are_counted_and_the_rest_is_served() {
    let mut node = Node::new();
    node.greet(0);
    for slot in [&[][..], &[0], &[9, 1, 0, 0], &[0, 77, 0, 0], &[0, 3, 255, 255, 1], &[0xff; LINK_SLOT_BYTES - 4]] {
        node.send_slot(slot);
    }
    node.run();
    assert_eq!(node.counter(0, "link_slots_invalid"), 6);
}

#[test]
fn when_the_other_side_starts_anew_its_sessions_are_over() {
    let mut node = Node::new();
    node.greet(0);
    let wasm = reactor();
    node.ask(0, Request::Deploy(request("a", &wasm))).expect("free");
    node.deploy_running_in_another_session();
    node.restart_guest();
    node.greet(0);
    let names: Vec<_> = node.list(0).into_iter().map(|report| report.name).collect();
    assert_eq!(names, ["runs-on"], "the upload is gone, what ran runs on");
}

impl Node {
    fn deploy_running_in_another_session(&mut self) {
        self.greet(1);
        self.deploy_running(1, "runs-on");
        self.send_link(1, LinkKind::Close, &[]);
        self.run();
    }
}
