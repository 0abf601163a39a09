//! The link's other side and the cells write whatever they like, whenever they like: admission neither panics nor hangs, and
//! whoever keeps to the contract is served.

use proptest::prelude::*;
use runner_interfaces::{cell::CellStatus, link::LINK_SLOT_BYTES, output::OUTPUT_SLOT_BYTES};
use shared_ring::SharedMemory;
use shared_ring_messages::{DeployRequest, FromAgent, HELLO_MAGIC, Request};
use zerocopy::{FromZeros, IntoBytes};

use crate::node::*;

fn name() -> impl Strategy<Value = String> {
    prop_oneof![Just("a".to_owned()), Just("b".to_owned()), any::<String>()]
}

fn any_request() -> impl Strategy<Value = Request> {
    let wasm = reactor();
    let deploy = (name(), any::<bool>(), any::<bool>(), prop_oneof![Just(None), any::<u32>().prop_map(Some)]).prop_map(
        move |(name, start, attached, size)| {
            let good = request(&name, &wasm);
            Request::Deploy(DeployRequest {
                size: size.unwrap_or(good.size),
                start,
                attached,
                grants: vec!["gpio:LED:out".into()],
                ..good
            })
        },
    );
    prop_oneof![
        Just(Request::Info),
        Just(Request::List),
        deploy,
        (0..4_u32, proptest::collection::vec(any::<u8>(), 0..4200))
            .prop_map(|(sequence, bytes)| Request::Chunk { sequence, bytes }),
        Just(Request::Commit),
        name().prop_map(Request::Start),
        name().prop_map(Request::Stop),
        name().prop_map(Request::Restart),
        name().prop_map(Request::Kill),
        name().prop_map(Request::Remove),
        name().prop_map(Request::Inspect),
        (name(), any::<u64>()).prop_map(|(name, cursor)| Request::Logs { name, cursor }),
        any::<u64>().prop_map(|cursor| Request::Audit { cursor }),
    ]
}

#[derive(Clone, Debug)]
enum Event {
    Slot(Vec<u8>),
    Kind { session: usize, open: bool },
    Greet { session: usize, major: u16, magic: bool },
    Bytes { session: usize, bytes: Vec<u8> },
    Ask { session: usize, request: Request },
    Upload { session: usize, name: String, start: bool, attached: bool },
    Region { region: &'static str, offset: usize, bytes: Vec<u8> },
    Status { cell: usize, bytes: Vec<u8> },
    Believable { cell: usize, state: u32, reason: u32, dropped: u64 },
    Record { cell: usize, bytes: Vec<u8> },
    Fault { cell: usize },
    Pass { nanoseconds: u64 },
    Run,
}

fn event() -> impl Strategy<Value = Event> {
    let session = 0..4_usize;
    let cell = 0..CELLS;
    let bytes = |length| proptest::collection::vec(any::<u8>(), 0..length);
    prop_oneof![
        1 => bytes(LINK_SLOT_BYTES - 4).prop_map(Event::Slot),
        2 => (session.clone(), any::<bool>()).prop_map(|(session, open)| Event::Kind { session, open }),
        3 => (session.clone(), prop_oneof![9 => Just(1_u16), 1 => any::<u16>()], proptest::bool::weighted(0.9))
            .prop_map(|(session, major, magic)| Event::Greet { session, major, magic }),
        1 => (session.clone(), bytes(300)).prop_map(|(session, bytes)| Event::Bytes { session, bytes }),
        6 => (session.clone(), any_request()).prop_map(|(session, request)| Event::Ask { session, request }),
        4 => (session, name(), any::<bool>(), any::<bool>())
            .prop_map(|(session, name, start, attached)| Event::Upload { session, name, start, attached }),
        2 => (
            prop_oneof![
                Just("vmm_to_admission"),
                Just("admission_to_vmm_head"),
                Just("cell0_to_admission"),
                Just("cell1_to_admission"),
            ],
            prop_oneof![Just(0_usize), Just(128), 0..300_usize],
            bytes(8),
        )
            .prop_map(|(region, offset, bytes)| Event::Region { region, offset, bytes }),
        1 => (cell.clone(), bytes(8 + size_of::<CellStatus>())).prop_map(|(cell, bytes)| Event::Status { cell, bytes }),
        3 => (cell.clone(), 0..12_u32, 0..20_u32, any::<u64>())
            .prop_map(|(cell, state, reason, dropped)| Event::Believable { cell, state, reason, dropped }),
        2 => (cell.clone(), bytes(OUTPUT_SLOT_BYTES - 4)).prop_map(|(cell, bytes)| Event::Record { cell, bytes }),
        1 => cell.prop_map(|cell| Event::Fault { cell }),
        1 => (0..3 * HOOK_NS).prop_map(|nanoseconds| Event::Pass { nanoseconds }),
        4 => Just(Event::Run),
    ]
}

fn play(node: &mut Node, event: Event) {
    match event {
        Event::Slot(bytes) => push(node, |node| node.send_slot(&bytes)),
        Event::Kind { session, open } => {
            use runner_interfaces::link::LinkKind::{Close, Open};
            push(node, |node| node.send_link(session, if open { Open } else { Close }, &[]));
        }
        Event::Greet { session, major, magic } => {
            let magic = if magic { HELLO_MAGIC } else { 0 };
            push(node, |node| node.send(session, &FromAgent::Hello { magic, major, minor: 0 }));
        }
        Event::Bytes { session, bytes } => push(node, |node| node.send_bytes(session, &bytes)),
        Event::Ask { session, request } => {
            // A name can be longer than a frame; then there is nothing to send.
            if shared_ring_messages::frame::encode(&FromAgent::Request { number: 0, request: request.clone() }).is_ok()
            {
                push(node, |node| {
                    node.begin(session, request);
                });
            }
        }
        Event::Upload { session, name, start, attached } => push(node, |node| {
            let wasm = reactor();
            node.begin(session, Request::Deploy(DeployRequest { start, attached, ..request(&name, &wasm) }));
            for (sequence, bytes) in (0..).zip(wasm.chunks(4096)) {
                node.begin(session, Request::Chunk { sequence, bytes: bytes.to_vec() });
            }
            node.begin(session, Request::Commit);
        }),
        Event::Region { region, offset, bytes } => {
            node.regions[region].write(offset, &bytes).expect("fits");
            node.wake_everybody();
        }
        Event::Status { cell, bytes } => {
            node.regions[&format!("cell{cell}_status")].write(0, &bytes).expect("fits");
            node.wake_everybody();
        }
        Event::Believable { cell, state, reason, dropped } => {
            let generation = node.table().cells[cell].generation;
            let shows = &mut node.cells[cell].shows;
            let mut status = CellStatus::new_zeroed();
            status.as_mut_bytes().fill(0x41);
            status.restart_entry = shows.restart_entry;
            (status.generation, status.state, status.reason, status.output_dropped) =
                (generation, state, reason, dropped);
            *shows = status;
            node.cells[cell].show_as_it_is();
            node.wake_everybody();
        }
        Event::Record { cell, bytes } => {
            // No room, no ring: a hostile cell gains nothing by waiting.
            let _ = node.cells[cell].output.push(&bytes);
            node.wake_everybody();
        }
        Event::Fault { cell } => node.fault(cell),
        Event::Pass { nanoseconds } => node.pass(nanoseconds),
        Event::Run => node.run(),
    }
}

/// A link that was just broken takes nothing until both sides have met again.
fn push(node: &mut Node, send: impl FnOnce(&mut Node)) {
    node.wake_everybody();
    node.run();
    node.run();
    if node.guest.outgoing.is_connected() {
        send(node);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_an_honest_session_is_served_afterwards(events in proptest::collection::vec(event(), 1..40)) {
        let mut node = Node::new();
        node.may_break_the_link = true;
        for event in events {
            play(&mut node, event);
        }
        // Whoever overwrote its own indices must start its end anew; that is all it takes.
        node.restart_guest();
        prop_assert!(node.guest.outgoing.is_connected());
        node.greet(0);
        let info = node.info(0);
        prop_assert!(usize::from(info.cells) == CELLS);
        // Every container that is left can be ended and removed within the warden's limits.
        for report in node.list(0) {
            if node.ask(0, Request::Remove(report.name.clone())).is_err() {
                let number = node.begin(0, Request::Kill(report.name.clone()));
                node.run();
                prop_assert!(node.answer(0, number).is_some());
                prop_assert!(node.ask(0, Request::Remove(report.name)).is_ok());
            }
        }
        prop_assert_eq!(node.list(0), vec![]);
    }
}
