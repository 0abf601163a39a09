//! A guest's ports and an `admission` of a few lines, with real rings between.

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;

use proptest::prelude::*;
use shared_ring::{HEAD_REGION_BYTES, HeapMemory};

use super::*;

const REGION: usize = 8 * LINK_SLOT_BYTES + 256;

/// Ports whose guest does what the test says.
#[derive(Default)]
struct Ports {
    events: [VecDeque<(PortEvent, Vec<u8>)>; MAX_SESSIONS],
    /// Bytes that each guest still has room for.
    room: [usize; MAX_SESSIONS],
    open: [bool; MAX_SESSIONS],
    received: [Vec<u8>; MAX_SESSIONS],
    closed_by_host: Vec<usize>,
}

impl Ports {
    fn open(&mut self, port: usize) {
        self.events[port].push_back((PortEvent::Opened { port }, Vec::new()));
        self.room[port] = usize::MAX;
        self.received[port].clear();
    }

    fn write(&mut self, port: usize, bytes: &[u8]) {
        self.events[port].push_back((PortEvent::Data { port, length: bytes.len() }, bytes.to_vec()));
    }

    fn close(&mut self, port: usize) {
        self.open[port] = false;
        self.events[port].push_back((PortEvent::Closed { port }, Vec::new()));
    }
}

impl SessionPorts for Ports {
    fn next_event(&mut self, wanted: &dyn Fn(usize) -> bool, buffer: &mut [u8]) -> Option<PortEvent> {
        let port = (0..MAX_SESSIONS).find(|port| wanted(*port) && !self.events[*port].is_empty())?;
        let (event, bytes) = self.events[port].pop_front()?;
        if let PortEvent::Opened { .. } = event {
            // Live once the host knows and no closing follows.
            self.open[port] = !self.events[port].iter().any(|(event, _)| matches!(event, PortEvent::Closed { .. }));
        }
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Some(event)
    }

    fn send(&mut self, port: usize, bytes: &[u8]) -> Result<usize, PortError> {
        if !self.open[port] {
            return Err(PortError::Closed);
        }
        let sent = bytes.len().min(self.room[port]);
        self.room[port] -= sent;
        self.received[port].extend(&bytes[..sent]);
        Ok(sent)
    }

    fn close(&mut self, port: usize) -> Result<(), PortError> {
        if !self.open[port] {
            return Err(PortError::Closed);
        }
        self.open[port] = false;
        self.closed_by_host.push(port);
        Ok(())
    }
}

/// The other ends of the rings.
struct Admission {
    incoming: Consumer<HeapMemory>,
    outgoing: Producer<HeapMemory>,
}

impl Admission {
    fn take(&mut self) -> Option<(usize, LinkKind, Vec<u8>)> {
        let mut slot = [0; LINK_SLOT_BYTES];
        let length = self.incoming.pop(&mut slot).unwrap()?;
        let slot = LinkSlot::decode(&slot[..length]).unwrap();
        Some((slot.session, slot.kind, slot.bytes.to_vec()))
    }

    fn take_all(&mut self) -> Vec<(usize, LinkKind, Vec<u8>)> {
        core::iter::from_fn(|| self.take()).collect()
    }

    fn say(&mut self, session: usize, kind: LinkKind, bytes: &[u8]) -> bool {
        let mut slot = [0; LINK_SLOT_BYTES];
        let length = LinkSlot { session, kind, bytes }.encode(&mut slot).unwrap();
        self.outgoing.push(&slot[..length]).is_ok()
    }
}

struct World {
    bridge: LinkBridge<HeapMemory>,
    admission: Admission,
    ports: Ports,
    now: u64,
    regions: [HeapMemory; 4],
}

fn ends(data: &HeapMemory, head: &HeapMemory) -> (Producer<HeapMemory>, Consumer<HeapMemory>) {
    (producer(data, head), consumer(data, head))
}

fn producer(data: &HeapMemory, head: &HeapMemory) -> Producer<HeapMemory> {
    Producer::new(link_geometry(REGION).unwrap(), data.clone(), head.clone()).unwrap()
}

fn consumer(data: &HeapMemory, head: &HeapMemory) -> Consumer<HeapMemory> {
    Consumer::new(link_geometry(REGION).unwrap(), data.clone(), head.clone()).unwrap()
}

impl World {
    fn new() -> Self {
        let regions = [REGION, HEAD_REGION_BYTES, REGION, HEAD_REGION_BYTES].map(HeapMemory::new);
        let (to_admission, incoming) = ends(&regions[0], &regions[1]);
        let (outgoing, from_admission) = ends(&regions[2], &regions[3]);
        Self {
            bridge: LinkBridge::new(to_admission, from_admission),
            admission: Admission { incoming, outgoing },
            ports: Ports::default(),
            now: 0,
            regions,
        }
    }

    fn run(&mut self) -> bool {
        self.bridge.run(&mut self.ports, Instant::from_nanoseconds(self.now))
    }

    /// `admission` dies and starts again, its regions zeroed.
    fn restart_admission(&mut self) {
        shared_ring::scrub(&self.regions[1]);
        shared_ring::scrub(&self.regions[2]);
        self.admission.incoming = consumer(&self.regions[0], &self.regions[1]);
        self.admission.outgoing = producer(&self.regions[2], &self.regions[3]);
        for _ in 0..3 {
            self.run();
            self.admission.take_all();
        }
    }

    fn open(&mut self, port: usize) {
        self.ports.open(port);
        self.run();
        assert_eq!(self.admission.take_all(), [(port, LinkKind::Open, vec![])]);
    }
}

#[test]
fn a_session_goes_there_and_back() {
    let mut world = World::new();
    world.ports.open(1);
    world.ports.write(1, b"ps");
    assert!(world.run(), "admission has to be woken");
    assert_eq!(world.admission.take_all(), [(1, LinkKind::Open, vec![]), (1, LinkKind::Data, b"ps".to_vec())]);
    assert!(world.admission.say(1, LinkKind::Data, b"blinker  running"));
    assert!(world.run(), "slots became free");
    assert_eq!(world.ports.received[1], b"blinker  running");
    world.ports.close(1);
    world.run();
    assert_eq!(world.admission.take_all(), [(1, LinkKind::Close, vec![])]);
    assert!(!world.run(), "nothing happened");
}

#[test]
fn a_full_ring_leaves_bytes_in_the_ports() {
    let mut world = World::new();
    world.ports.open(0);
    for number in 0..20 {
        world.ports.write(0, &[number]);
    }
    world.run();
    assert_eq!(world.ports.events[0].len(), 20 - 7, "eight slots, one of them the opening");
    let mut bytes = Vec::new();
    for _ in 0..10 {
        for (_, kind, data) in world.admission.take_all() {
            assert_eq!(kind == LinkKind::Open, data.is_empty());
            bytes.extend(data);
        }
        world.run();
    }
    assert_eq!(bytes, (0..20).collect::<Vec<u8>>());
}

#[test]
fn the_end_by_admission_comes_after_its_bytes() {
    let mut world = World::new();
    world.open(2);
    world.ports.room[2] = 3;
    world.admission.say(2, LinkKind::Data, b"answer");
    world.admission.say(2, LinkKind::Close, &[]);
    world.run();
    assert_eq!(world.ports.received[2], b"ans");
    assert_eq!(world.ports.closed_by_host, [] as [usize; 0]);
    world.ports.room[2] = 100;
    world.run();
    assert_eq!(world.ports.received[2], b"answer");
    assert_eq!(world.ports.closed_by_host, [2]);
    world.ports.close(2);
    world.run();
    assert_eq!(world.admission.take_all(), [(2, LinkKind::Close, vec![])]);
}

#[test]
fn the_next_session_hears_nothing_of_the_last() {
    let mut world = World::new();
    world.open(0);
    world.ports.close(0);
    world.ports.open(0);
    world.ports.write(0, b"hello");
    world.run();
    // Admission has not read the closing yet, and still answers the old session.
    assert!(world.admission.say(0, LinkKind::Data, b"stale"));
    world.run();
    assert!(world.bridge.is_waiting());
    assert_eq!(world.admission.take(), Some((0, LinkKind::Close, vec![])));
    assert_eq!(world.admission.take(), None, "the opening waits until the closing was taken");
    world.run();
    assert_eq!(world.admission.take_all(), [(0, LinkKind::Open, vec![]), (0, LinkKind::Data, b"hello".to_vec())]);
    assert!(world.admission.say(0, LinkKind::Data, b"fresh"));
    world.run();
    assert_eq!(world.ports.received[0], b"fresh");
    assert_eq!(world.bridge.counters().late_slots, 1);
    assert!(!world.bridge.is_waiting());
}

#[test]
fn late_bytes_behind_a_blocked_session_are_waited_for() {
    let mut world = World::new();
    world.open(0);
    world.open(1);
    world.ports.room[1] = 0;
    let chunk = [b'x'; LINK_PAYLOAD_BYTES];
    while !world.bridge.is_waiting() {
        world.admission.say(1, LinkKind::Data, &chunk);
        world.run();
    }
    assert!(world.admission.say(0, LinkKind::Data, b"stale"));
    world.ports.close(0);
    world.ports.open(0);
    world.run();
    assert_eq!(world.admission.take_all(), [(0, LinkKind::Close, vec![])]);
    world.run();
    assert_eq!(world.admission.take_all(), [], "what was said to the last session still lies in the ring");
    world.ports.room[1] = usize::MAX;
    world.run();
    assert_eq!(world.admission.take_all(), [(0, LinkKind::Open, vec![])]);
    assert_eq!(world.ports.received[0], b"");
    assert_eq!(world.bridge.counters().late_slots, 1);
}

#[test]
fn a_late_end_does_not_end_the_next_session() {
    let mut world = World::new();
    world.open(0);
    world.ports.close(0);
    world.ports.open(0);
    world.run();
    assert!(world.admission.say(0, LinkKind::Close, &[]));
    world.run();
    assert_eq!(world.admission.take_all(), [(0, LinkKind::Close, vec![])]);
    world.run();
    assert_eq!(world.admission.take_all(), [(0, LinkKind::Open, vec![])]);
    assert!(world.admission.say(0, LinkKind::Data, b"alive"));
    world.run();
    assert_eq!(world.ports.received[0], b"alive");
    assert_eq!(world.ports.closed_by_host, [] as [usize; 0]);
}

#[test]
fn a_reader_that_does_not_read_blocks_the_others_for_so_long_and_no_longer() {
    let mut world = World::new();
    world.open(0);
    world.open(1);
    world.ports.room[0] = 0;
    let chunk = [b'x'; LINK_PAYLOAD_BYTES];
    let mut said = 0;
    loop {
        if world.admission.say(0, LinkKind::Data, &chunk) {
            said += chunk.len();
        } else {
            let before = world.bridge.counters().slots_received;
            world.run();
            if world.bridge.counters().slots_received == before {
                break;
            }
        }
    }
    assert!(said > WAITING_BYTES, "{said}");
    assert!(world.bridge.is_waiting());
    world.now += STALL_NANOSECONDS - 1;
    world.run();
    assert_eq!(world.bridge.counters().stalled_sessions, 0);
    world.now += 1;
    world.run();
    assert_eq!(world.bridge.counters().stalled_sessions, 1);
    assert_eq!(world.ports.closed_by_host, [0]);
    assert!(world.admission.say(1, LinkKind::Data, b"at last"));
    world.run();
    assert_eq!(world.ports.received[1], b"at last");
}

#[test]
fn slots_that_break_the_contract_are_counted_and_dropped() {
    let mut world = World::new();
    world.open(0);
    for slot in [&b""[..], &[0, 3], &[9, 3, 0, 0], &[0, 9, 0, 0], &[0, 3, 5, 0, 1], &[0, 1, 0, 0]] {
        world.admission.outgoing.push(slot).unwrap();
    }
    world.admission.say(3, LinkKind::Data, b"no session");
    world.admission.say(0, LinkKind::Data, b"good");
    world.run();
    assert_eq!(world.bridge.counters().malformed_slots, 6);
    assert_eq!(world.bridge.counters().late_slots, 1);
    assert_eq!(world.ports.received[0], b"good");
}

#[test]
fn a_restart_of_admission_ends_the_sessions_and_new_ones_work() {
    let mut world = World::new();
    world.open(0);
    world.open(3);
    world.ports.write(0, b"lost");
    world.run();
    world.restart_admission();
    let mut closed = world.ports.closed_by_host.clone();
    closed.sort_unstable();
    assert_eq!(closed, [0, 3]);
    assert_eq!(world.bridge.counters().interrupted_sessions, 2);
    for port in [0, 3] {
        world.ports.close(port);
        world.ports.open(port);
        world.run();
    }
    let told = world.admission.take_all();
    assert_eq!(told, [(0, LinkKind::Open, vec![]), (3, LinkKind::Open, vec![])], "it never knew of the old ones");
    world.admission.say(3, LinkKind::Data, b"welcome back");
    world.run();
    assert_eq!(world.ports.received[3], b"welcome back");
}

#[derive(Clone, Debug)]
enum Step {
    Open(usize),
    Write(usize),
    Close(usize),
    Read(usize),
    Run,
    Take(usize),
    Say(usize),
    End(usize),
    Garbage(Vec<u8>),
    Restart,
    Later(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let port = || 0..MAX_SESSIONS;
    prop_oneof![
        4 => port().prop_map(Step::Open),
        6 => port().prop_map(Step::Write),
        3 => port().prop_map(Step::Close),
        3 => port().prop_map(Step::Read),
        10 => Just(Step::Run),
        6 => (0_usize..10).prop_map(Step::Take),
        8 => port().prop_map(Step::Say),
        1 => port().prop_map(Step::End),
        2 => proptest::collection::vec(any::<u8>(), 0..64).prop_map(Step::Garbage),
        1 => Just(Step::Restart),
        1 => (0..2 * STALL_NANOSECONDS).prop_map(Step::Later),
    ]
}

/// Both ends' books: every opening of a port has a number, and so has every session that `admission` sees.
#[derive(Default)]
struct Books {
    guest_open: [bool; MAX_SESSIONS],
    /// Bytes that say which opening of the port they belong to.
    guest_generation: [u8; MAX_SESSIONS],
    admission_open: [bool; MAX_SESSIONS],
    admission_generation: [Option<u8>; MAX_SESSIONS],
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn sessions_alternate_and_never_mix(steps in proptest::collection::vec(step(), 1..200)) {
        let world = RefCell::new(World::new());
        let mut books = Books::default();
        for step in steps {
            let world = &mut *world.borrow_mut();
            match step {
                Step::Open(port) if !books.guest_open[port] => {
                    books.guest_open[port] = true;
                    books.guest_generation[port] = books.guest_generation[port].wrapping_add(1);
                    world.ports.open(port);
                    // The first bytes of a session say which it is.
                    world.ports.write(port, &[books.guest_generation[port]]);
                }
                Step::Write(port) if books.guest_open[port] => world.ports.write(port, &[books.guest_generation[port]]),
                Step::Close(port) if books.guest_open[port] => {
                    books.guest_open[port] = false;
                    world.ports.close(port);
                }
                Step::Read(port) => {
                    world.ports.room[port] = 1000;
                }
                Step::Run => { world.run(); }
                Step::Take(slots) => {
                    for _ in 0..slots {
                        match world.admission.take() {
                            Some((port, LinkKind::Open, _)) => {
                                prop_assert!(!books.admission_open[port]);
                                books.admission_open[port] = true;
                                books.admission_generation[port] = None;
                            }
                            Some((port, LinkKind::Close, _)) => {
                                prop_assert!(books.admission_open[port]);
                                books.admission_open[port] = false;
                            }
                            Some((port, LinkKind::Data, bytes)) => {
                                prop_assert!(books.admission_open[port]);
                                let known = *books.admission_generation[port].get_or_insert(bytes[0]);
                                prop_assert!(bytes.iter().all(|byte| *byte == known));
                            }
                            None => break,
                        }
                    }
                }
                Step::Say(port) => {
                    if let (true, Some(generation)) = (books.admission_open[port], books.admission_generation[port]) {
                        world.admission.say(port, LinkKind::Data, &[generation]);
                    }
                }
                Step::End(port) => {
                    if books.admission_open[port] {
                        world.admission.say(port, LinkKind::Close, &[]);
                    }
                }
                Step::Garbage(bytes) => {
                    // Not for a session: that would be its bytes.
                    if LinkSlot::decode(&bytes).is_err() {
                        let _ = world.admission.outgoing.push(&bytes);
                    }
                }
                Step::Restart => {
                    world.restart_admission();
                    books.admission_open = [false; MAX_SESSIONS];
                    books.admission_generation = [None; MAX_SESSIONS];
                    // What it took while it came up is forgotten with it: only sessions opened from here on count.
                    for port in 0..MAX_SESSIONS {
                        world.ports.events[port].clear();
                        if core::mem::take(&mut books.guest_open[port]) || world.ports.open[port] {
                            world.ports.close(port);
                        }
                    }
                    for _ in 0..4 {
                        world.run();
                        world.admission.take_all();
                    }
                }
                Step::Later(nanoseconds) => world.now += nanoseconds,
                Step::Open(_) | Step::Write(_) | Step::Close(_) => {}
            }
            for port in 0..MAX_SESSIONS {
                if books.guest_open[port] {
                    let generation = books.guest_generation[port];
                    prop_assert!(world.ports.received[port].iter().all(|byte| *byte == generation));
                }
            }
        }
    }
}
