//! Bytes both ways, push-back both ways, and where sessions begin and end among them.

use pd_vmm_machine::{PortError, PortEvent};
use virtio_drivers::transport::{DeviceStatus, Transport};

use crate::driver::{BUFFER, Driver, Message, event};
use crate::platform::{Platform, Shared};

fn opened(sessions: &[u16]) -> (Shared, Driver) {
    let platform = Platform::new();
    let mut driver = Driver::start_with_ports(&platform);
    for session in sessions {
        driver.open(*session);
        let port = usize::from(*session);
        assert_eq!(platform.borrow_mut().event(0).unwrap().0, PortEvent::Opened { port });
    }
    (platform, driver)
}

#[test]
fn what_the_guest_writes_arrives_in_the_pieces_that_the_host_has_room_for() {
    let (platform, mut driver) = opened(&[1]);
    assert!(driver.write(1, &[b"hello, ", b"atoll"]));
    let mut received = Vec::new();
    for expected in [5, 5, 2] {
        let (event, bytes) = platform.borrow_mut().event(5).unwrap();
        assert_eq!(event, PortEvent::Data { port: 1, length: expected });
        received.extend(bytes);
    }
    assert_eq!(received, b"hello, atoll");
    assert_eq!(platform.borrow_mut().event(5), None);
    assert_eq!(driver.reclaim(1), 0);
}

#[test]
fn what_the_host_does_not_take_stays_with_the_guest() {
    let (platform, mut driver) = opened(&[0]);
    let mut written = 0;
    while driver.write(0, &[&[written; 3]]) {
        written += 1;
    }
    assert_eq!(written, 8, "the queue's size");
    assert_eq!(platform.borrow_mut().event(0), None, "no room, nothing taken");
    assert_eq!(driver.reclaim(0), 8);
    assert_eq!(platform.borrow_mut().event(64).unwrap(), (PortEvent::Data { port: 0, length: 3 }, vec![0; 3]));
    assert_eq!(driver.reclaim(0), 7);
    assert!(driver.write(0, &[b"more"]));
}

#[test]
fn what_the_host_sends_fills_buffers_and_no_more() {
    let (platform, mut driver) = opened(&[3]);
    let message: Vec<u8> = (0..u8::MAX).cycle().take(20 * BUFFER).collect();
    let mut sent = platform.borrow_mut().send(3, &message).unwrap();
    assert_eq!(sent, 8 * BUFFER, "all buffers");
    assert_eq!(platform.borrow_mut().send(3, &message[sent..]), Ok(0));
    platform.borrow_mut().machine.take_activity();
    let mut received = Vec::new();
    while let Some(bytes) = driver.read(3) {
        received.extend(bytes);
        assert!(platform.borrow_mut().machine.take_activity(), "a buffer came back: worth trying again");
        sent += platform.borrow_mut().send(3, &message[sent..]).unwrap();
    }
    assert_eq!(received, message);
}

#[test]
fn the_end_of_a_session_comes_after_its_bytes() {
    let (platform, mut driver) = opened(&[0]);
    driver.write(0, &[b"last "]);
    driver.write(0, &[b"words"]);
    driver.close(0);
    assert_eq!(platform.borrow_mut().send(0, b"too late"), Err(PortError::Closed));
    driver.open(0);
    driver.write(0, &[b"next"]);
    assert_eq!(platform.borrow_mut().send(0, b"not yet"), Err(PortError::Closed), "the host has not seen the opening");
    let mut seen = Vec::new();
    while let Some((event, bytes)) = platform.borrow_mut().event(64) {
        seen.push((event, bytes));
    }
    let data = |length, bytes: &[u8]| (PortEvent::Data { port: 0, length }, bytes.to_vec());
    assert_eq!(
        seen,
        [
            data(5, b"last "),
            data(5, b"words"),
            (PortEvent::Closed { port: 0 }, vec![]),
            (PortEvent::Opened { port: 0 }, vec![]),
            data(4, b"next"),
        ]
    );
    assert_eq!(platform.borrow_mut().send(0, b"now"), Ok(3));
    assert_eq!(driver.read(0).unwrap(), b"now");
}

#[test]
fn bytes_without_a_session_are_dropped_and_counted() {
    let platform = Platform::new();
    let mut driver = Driver::start_with_ports(&platform);
    driver.write(0, &[b"nobody asked"]);
    driver.open(0);
    assert_eq!(platform.borrow_mut().event(64).unwrap().0, PortEvent::Opened { port: 0 });
    assert_eq!(platform.borrow_mut().event(64), None);
    assert_eq!(driver.reclaim(0), 0);
    assert_eq!(platform.borrow().machine.counters().console.discarded, 12);
}

#[test]
fn the_host_can_end_a_session_and_the_port_opens_again() {
    let (platform, mut driver) = opened(&[2]);
    assert_eq!(platform.borrow_mut().send(2, b"bye"), Ok(3));
    platform.borrow_mut().close(2).unwrap();
    assert_eq!(platform.borrow_mut().send(2, b"x"), Err(PortError::Closed));
    assert_eq!(platform.borrow_mut().close(2), Err(PortError::Closed));
    let told = |value| [Message { id: 3, event: event::PORT_OPEN, value, name: Vec::new() }];
    assert_eq!(driver.messages(), told(0));
    assert_eq!(driver.read(2).unwrap(), b"bye");
    driver.write(2, &[b"unheard"]);
    assert_eq!(platform.borrow_mut().event(64), None);
    driver.close(2);
    assert_eq!(platform.borrow_mut().event(64).unwrap().0, PortEvent::Closed { port: 2 });
    assert_eq!(driver.messages(), told(1), "the host's end is there for the next session");
    driver.open(2);
    assert_eq!(platform.borrow_mut().event(64).unwrap().0, PortEvent::Opened { port: 2 });
    assert_eq!(platform.borrow_mut().send(2, b"again"), Ok(5));
    assert_eq!(platform.borrow().machine.counters().console.discarded, 7);
}

#[test]
fn opening_and_closing_faster_than_the_host_looks_forgets_whole_sessions() {
    let platform = Platform::new();
    let mut driver = Driver::start_with_ports(&platform);
    for _ in 0..8 {
        driver.open(0);
        assert!(driver.write(0, &[b"x"]));
        driver.close(0);
    }
    let mut events = Vec::new();
    while let Some((event, _)) = platform.borrow_mut().event(64) {
        events.push(event);
    }
    let session =
        [PortEvent::Opened { port: 0 }, PortEvent::Data { port: 0, length: 1 }, PortEvent::Closed { port: 0 }];
    assert!(events.chunks(3).all(|chunk| chunk == session), "{events:?}");
    let counters = platform.borrow().machine.counters().console;
    assert_eq!(events.len(), 6, "two sessions are remembered");
    assert_eq!(counters.unseen_sessions, 6);
    assert_eq!(counters.discarded, counters.unseen_sessions);
}

#[test]
fn four_sessions_take_turns() {
    let (platform, mut driver) = opened(&[0, 1, 2, 3]);
    let mut received = [const { Vec::new() }; 4];
    let mut expected = [const { Vec::new() }; 4];
    for round in 0..50_u8 {
        for session in 0..4_u16 {
            let bytes = [round, u8::try_from(session).unwrap(), round ^ 0x5a];
            if driver.write(session, &[&bytes]) {
                expected[usize::from(session)].extend(bytes);
            }
        }
        for _ in 0..3 {
            if let Some((PortEvent::Data { port, .. }, bytes)) = platform.borrow_mut().event(2) {
                received[port].extend(bytes);
            }
        }
    }
    let counts: Vec<usize> = received.iter().map(Vec::len).collect();
    let spread = counts.iter().max().unwrap() - counts.iter().min().unwrap();
    assert!(spread <= 4, "{counts:?}");
    while let Some((PortEvent::Data { port, .. }, bytes)) = platform.borrow_mut().event(64) {
        received[port].extend(bytes);
    }
    assert_eq!(received, expected);
}

#[test]
fn a_breach_closes_the_sessions_and_a_reset_brings_the_device_back() {
    let (platform, mut driver) = opened(&[1]);
    driver.transport().notify(99);
    assert!(driver.transport().get_status().contains(DeviceStatus::DEVICE_NEEDS_RESET));
    assert_eq!(platform.borrow_mut().event(64).unwrap().0, PortEvent::Closed { port: 1 });
    assert_eq!(platform.borrow_mut().send(1, b"x"), Err(PortError::Closed));
    assert_eq!(platform.borrow().machine.counters().transport.misbehaviour, 1);
    let mut driver = Driver::start_with_ports(&platform);
    driver.open(1);
    assert_eq!(platform.borrow_mut().event(64).unwrap().0, PortEvent::Opened { port: 1 });
}

#[test]
fn control_messages_that_mean_nothing_are_counted() {
    let (platform, mut driver) = opened(&[]);
    driver.tell(7, event::PORT_OPEN, 1);
    driver.tell(0, event::PORT_READY, 1);
    driver.tell(1, 99, 1);
    assert_eq!(platform.borrow().machine.counters().console.ignored_control_messages, 3);
    assert_eq!(platform.borrow().machine.counters().transport.misbehaviour, 0);
    assert_eq!(platform.borrow_mut().event(64), None);
}
