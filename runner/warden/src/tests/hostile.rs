//! `admission` and the cells do whatever they like, in any order: no grant is ever above the ceiling, a cell without a
//! container has none, generations only grow, and the warden goes on.

use std::vec::Vec;

use proptest::prelude::*;
use runner_interfaces::{
    cell::{CellStatus, ContainerState},
    grants::CellGrants,
    warden::{CELL_PRESENT, Procedure},
};
use shared_ring::SharedMemory;
use zerocopy::{FromBytes, IntoBytes};

use super::fake::*;
use crate::{Fault, GRACE_NS};

#[derive(Clone, Debug)]
enum Event {
    Call { label: u64, words: [u64; 4] },
    Request { cell: usize, bytes: [u8; size_of::<CellGrants>()] },
    Status { cell: usize, bytes: Vec<u8> },
    Believable { cell: usize, state: u32, heartbeat: u64 },
    Notify { channel: u8 },
    Fault { cell: usize },
    Pass { nanoseconds: u64 },
}

fn word() -> impl Strategy<Value = u64> {
    prop_oneof![0..10_u64, Just(16_384), Just(u64::MAX), any::<u64>()]
}

fn event() -> impl Strategy<Value = Event> {
    let cell = 0..CELLS;
    prop_oneof![
        4 => (0..8_u64, [word(), word(), word(), word()]).prop_map(|(label, words)| Event::Call { label, words }),
        4 => (1..6_u64, cell.clone()).prop_map(|(label, cell)| Event::Call { label, words: [cell as u64, 1, 1, 1] }),
        2 => (cell.clone(), any::<[u8; size_of::<CellGrants>()]>())
            .prop_map(|(cell, bytes)| Event::Request { cell, bytes }),
        1 => (cell.clone(), proptest::collection::vec(any::<u8>(), 0..8 + size_of::<CellStatus>()))
            .prop_map(|(cell, bytes)| Event::Status { cell, bytes }),
        3 => (cell.clone(), 0..12_u32, any::<u64>())
            .prop_map(|(cell, state, heartbeat)| Event::Believable { cell, state, heartbeat }),
        2 => (0..62_u8).prop_map(|channel| Event::Notify { channel }),
        1 => (0..CELLS + 2).prop_map(|cell| Event::Fault { cell }),
        2 => (0..3 * HOOK_NS).prop_map(|nanoseconds| Event::Pass { nanoseconds }),
    ]
}

fn play(node: &mut Node, event: Event) {
    match event {
        Event::Call { label, words } => {
            node.call_words(ADMISSION, label, words);
        }
        Event::Request { cell, bytes } => node.request(cell, CellGrants::read_from_bytes(&bytes).expect("its size")),
        Event::Status { cell, bytes } => {
            let memory = node.regions.get(&std::format!("region_cell{cell}_status"));
            memory.write(0, &bytes).expect("fits");
        }
        Event::Believable { cell, state, heartbeat } => {
            let generation = node.control(cell).generation;
            node.write_status(cell, CellStatus { state, heartbeat, ..status(generation, ContainerState::Empty) });
        }
        Event::Notify { channel } => node.notify(channel),
        Event::Fault { cell } => node.warden.faulted(&mut node.kernel, cell, Fault::default()),
        Event::Pass { nanoseconds } => node.pass_until(node.kernel.now_ns + nanoseconds),
    }
}

fn within_ceiling(grants: &CellGrants) -> bool {
    let nothing = grants.as_bytes().iter().all(|byte| *byte == 0);
    nothing || (grants.intersection(ceiling()) == *grants && grants.minimum_period_ns >= ceiling().minimum_period_ns)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn nobody_gets_more_than_the_board_allows(events in proptest::collection::vec(event(), 1..60)) {
        let mut node = Node::new();
        let mut generations = [0; CELLS];
        for event in events {
            play(&mut node, event.clone());
            for step in node.take_steps() {
                for (cell, grants) in step.grants.iter().enumerate() {
                    prop_assert!(within_ceiling(grants), "cell {cell}: {grants:?} after {event:?}");
                }
                if let Action::Restart(cell, entry) = step.action {
                    prop_assert_eq!(step.grants[cell], CellGrants::default(), "restarted with rights");
                    prop_assert_eq!(entry, ENTRY + cell as u64);
                }
            }
            for (cell, generation) in generations.iter_mut().enumerate() {
                let control = node.control(cell);
                prop_assert!(control.generation >= *generation);
                *generation = control.generation;
                prop_assert!(within_ceiling(&node.grants(cell)));
                if control.command == 0 {
                    prop_assert_eq!(node.grants(cell), CellGrants::default(), "an idle cell has no rights");
                }
            }
        }
    }

    #[test]
    fn a_stop_ends_in_bounded_time_whatever_the_cell_does(
        cell in 0..CELLS,
        lies in proptest::collection::vec((0..8_u32, any::<u64>()), 1..40),
    ) {
        let mut node = Node::new();
        node.running(cell);
        node.ask(Procedure::Stop, cell).expect("running");
        let asked = node.kernel.now_ns;
        for (state, heartbeat) in lies {
            let generation = node.control(cell).generation;
            node.write_status(cell, CellStatus { state, heartbeat, ..status(generation, ContainerState::Empty) });
            node.notify(u8::try_from(cell).expect("small"));
            node.pass_until(node.kernel.now_ns + 20_000_000);
        }
        node.pass_until(asked + HOOK_NS + GRACE_NS);
        prop_assert_eq!(node.control(cell).command, 0, "none of these states is an end, so it was killed");
        prop_assert_eq!(node.shown(cell).present, CELL_PRESENT);
    }
}
