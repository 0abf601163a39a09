//! Sessions that come, go, lie and break off: nobody else notices.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use runner_interfaces::cell::ContainerState;
use shared_ring_messages::{Answer, CHUNK_BYTES, ErrorCode, FromAgent, FromNode, PROTOCOL_MAJOR, Request, frame};

use crate::client::{Client, Deploy, blinker};
use crate::{Blinking, LIMIT, TestNode, eventually, sample};

#[test]
fn the_node_says_what_it_is() {
    let node = TestNode::start();
    let report = Client::greeted(&node).info();
    assert!(report.substrate.contains("not seL4"), "{}", report.substrate);
    assert_eq!((report.cells, report.cells_free), (8, 8));
    assert_eq!(report.lines.len(), 6);
}

#[test]
fn another_version_gets_a_clear_answer() {
    let node = TestNode::start();
    let mut client = Client::silent(&node);
    let answer = client.greet(PROTOCOL_MAJOR + 1).expect("answered");
    assert!(matches!(answer, FromNode::VersionMismatch { major: PROTOCOL_MAJOR, .. }), "{answer:?}");
    assert_eq!(Client::greeted(&node).counter("version_mismatches"), 1);
}

#[test]
fn requests_before_a_greeting_are_refused() {
    let node = TestNode::start();
    let mut client = Client::silent(&node);
    client.begin(Request::Info);
    match client.receive() {
        Ok(FromNode::Failure { code: ErrorCode::Protocol, .. }) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn garbage_costs_its_sender_a_session_at_the_most() {
    let node = TestNode::start();
    let mut witness = Client::greeted(&node);
    let mut vandal = Client::silent(&node);
    // A fixed generator: the same garbage at every run.
    let mut state = 0x2545_f491_u32;
    let garbage: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[1]
    })
    .take(300_000)
    .collect();
    // The node may hang up in the middle.
    let _ = vandal.stream.write_all(&garbage);
    witness.info();
    eventually("the garbage is counted", || witness.counter("frames_malformed") > 0);
    let mut next = Client::greeted(&node);
    assert_eq!(next.info().cells_free, 8);
}

#[test]
fn a_frame_behind_garbage_is_understood() {
    let node = TestNode::start();
    let mut client = Client::silent(&node);
    client.stream.write_all(b"what is this?\x00\xff\xff").expect("sent");
    assert!(matches!(client.greet(PROTOCOL_MAJOR), Ok(FromNode::Welcome { .. })));
}

#[test]
fn an_upload_that_breaks_off_leaves_nothing() {
    let node = TestNode::start();
    let mut witness = Client::greeted(&node);
    let module = sample("counter");
    for chunks in [0, 1, 5] {
        let mut client = Client::greeted(&node);
        client.ask(Request::Deploy(Deploy::new("cut", module.clone()).request())).expect("ready");
        for (sequence, bytes) in (0_u32..).zip(module.chunks(CHUNK_BYTES)).take(chunks) {
            client.ask(Request::Chunk { sequence, bytes: bytes.to_vec() }).expect("acknowledged");
        }
        // And half a frame, as a process that is killed leaves it.
        let half = frame::encode(&FromAgent::Request { number: 99, request: Request::Commit }).expect("fits");
        client.stream.write_all(&half[..half.len() / 2]).expect("sent");
        drop(client);
        eventually("the cell is free again", || witness.info().cells_free == 8);
        assert!(witness.list().is_empty());
    }
    assert_eq!(witness.counter("uploads_abandoned"), 3);
    witness.deploy(&Deploy::new("cut", module)).expect("the name is free, and the whole arrives");
}

#[test]
fn damaged_and_empty_uploads_are_refused() {
    let node = TestNode::start();
    let mut client = Client::greeted(&node);
    let (code, _) = client.deploy(&Deploy::new("empty", Vec::new())).expect_err("0 bytes");
    assert_eq!(code, ErrorCode::ModuleSize);
    let (code, _) = client.deploy(&Deploy::new("large", vec![0; 3 << 20])).expect_err("over the limit");
    assert_eq!(code, ErrorCode::ModuleSize);
    let (code, _) = client.deploy(&Deploy::new("text", b"#!/bin/sh\necho\n".to_vec())).expect_err("not Wasm");
    assert_eq!(code, ErrorCode::NotWasm);
    let mut cut = sample("hello");
    cut.truncate(cut.len() / 2);
    let (code, _) = client.deploy(&Deploy::new("cut", cut)).expect_err("half a module");
    assert_eq!(code, ErrorCode::InvalidModule);

    let mut request = Deploy::new("changed", sample("hello")).request();
    request.sha256[0] ^= 1;
    client.ask(Request::Deploy(request)).expect("ready");
    for (sequence, bytes) in (0_u32..).zip(sample("hello").chunks(CHUNK_BYTES)) {
        client.ask(Request::Chunk { sequence, bytes: bytes.to_vec() }).expect("acknowledged");
    }
    let (code, _) = client.ask(Request::Commit).expect_err("another hash");
    assert_eq!(code, ErrorCode::DamagedUpload);
    assert!(client.list().is_empty());
    assert_eq!(client.info().cells_free, 8);
}

#[test]
fn two_clients_upload_at_once() {
    let node = TestNode::start();
    thread::scope(|scope| {
        for name in ["left", "right"] {
            let node = &node;
            scope.spawn(move || {
                let mut client = Client::greeted(node);
                for round in 0..3 {
                    let deploy = Deploy { arguments: &["both"], ..Deploy::new(name, sample("hello")) };
                    client.deploy(&deploy).unwrap_or_else(|error| panic!("{name} {round}: {error:?}"));
                    assert_eq!(client.wait_for_end(name).exit_code, 0);
                    assert!(client.output(name).contains("both"));
                    assert_eq!(client.ask(Request::Remove(name.into())), Ok(Answer::Done));
                }
            });
        }
    });
}

#[test]
fn a_fifth_session_is_closed_at_once_and_the_next_finds_room() {
    let node = TestNode::start();
    let mut open: Vec<_> = (0..4).map(|_| Client::greeted(&node)).collect();
    let mut fifth = Client::silent(&node);
    assert_eq!(fifth.stream.read(&mut [0; 16]).expect("closed, and not reset"), 0);
    for client in &mut open {
        client.info();
    }
    open.pop();
    Client::greeted(&node).info();
}

#[test]
fn who_does_not_read_is_closed_and_nobody_else_waits() {
    let node = TestNode::start();
    let mut witness = Client::greeted(&node);
    let mut deaf = Client::greeted(&node);
    deaf.stream.set_write_timeout(Some(Duration::from_millis(200))).expect("a limit");
    let question = frame::encode(&FromAgent::Request { number: 1, request: Request::Info }).expect("fits");
    let began = Instant::now();
    // Until the node hangs up, or takes no more.
    while began.elapsed() < Duration::from_secs(5) && deaf.stream.write_all(&question).is_ok() {}
    let asked = Instant::now();
    witness.info();
    assert!(asked.elapsed() < LIMIT / 4, "{:?}", asked.elapsed());
    drop(deaf);
    Client::greeted(&node).info();
}

#[test]
fn an_attached_container_goes_with_its_session() {
    let node = TestNode::start();
    let mut witness = Client::greeted(&node);
    let mut owner = Client::greeted(&node);
    owner.deploy(&Deploy { attached: true, ..blinker("mine") }).expect("starts");
    assert_eq!(witness.list().len(), 1);
    owner.stream.shutdown(Shutdown::Both).expect("closed");
    eventually("it is gone with its session", || witness.list().is_empty());
    assert!(!node.gpio().expect("pins").read("LED").expect("read"));
}

#[test]
fn the_blinker_blinks_on_while_sessions_come_and_go() {
    let node = TestNode::start();
    Client::greeted(&node).deploy(&blinker("blinker")).expect("starts");
    let mut blinking = Blinking::watch(&node);
    let mut sessions = 0;
    // Twenty sessions in two seconds, or however long the machine needs for as many.
    while blinking.elapsed() < Duration::from_secs(2) || (sessions <= 20 && blinking.elapsed() < LIMIT) {
        let mut client = Client::greeted(&node);
        client.info();
        // One in three breaks off in the middle of a frame.
        if sessions % 3 == 0 {
            client.stream.write_all(&[7; 100]).expect("sent");
        }
        sessions += 1;
    }
    blinking.went_on();
    assert!(sessions > 20, "{sessions} sessions in {:?}", blinking.elapsed());
    let report = Client::greeted(&node).inspect("blinker");
    assert!([ContainerState::Ready, ContainerState::Running].map(ContainerState::to_wire).contains(&report.state));
}
