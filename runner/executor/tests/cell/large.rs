//! Modules that have ten thousand of something: taken or refused with a reason, and the cell takes the next container.

use std::time::Instant;

use runner_executor::{
    Options,
    fake::{FakeNode, detail, reason},
};
use runner_interfaces::cell::{CellStatus, ContainerState, FailureReason};

use crate::{
    large_module::{Fate, all},
    support::*,
};

/// A heap as a cell's domain has one.
const HEAP_BYTES: u64 = 32 * 1024 * 1024;

fn expect(name: &str, fate: Fate, status: &CellStatus) {
    let (state, reason, text) = (state(status), reason(status), detail(status));
    let wanted = match fate {
        Fate::Runs => None,
        Fate::UnknownImport => Some(FailureReason::UnknownImport),
        Fate::Memory => Some(FailureReason::MemoryLimit),
        Fate::Table => Some(FailureReason::TableLimit),
        Fate::Invalid => Some(FailureReason::InvalidModule),
    };
    match wanted {
        // A smaller heap may have no room for it, and then it is told so before anything is compiled.
        None => assert_eq!((state, status.exit_code), (ContainerState::Finalised, 0), "{name}: {reason} {text}"),
        Some(wanted) => assert_eq!((state, reason), (ContainerState::Failed, wanted), "{name}: {text}"),
    }
}

#[test]
fn ten_thousand_of_anything_leave_the_cell_reusable() {
    let again = reactor("", "(i32.const 0)", "(i32.const 1)", "");
    let mut node = furnished(FakeNode::with_room_for(4 << 20, Options::default()));
    node.control.load_limit_us = u32::MAX;
    for (name, wasm, fate) in all() {
        let began = Instant::now();
        let status = node.run(&wasm, &configuration(&[]));
        println!("{name}: {} bytes, {:?}: {}", wasm.len(), began.elapsed(), detail(&status));
        expect(name, fate, &status);
        assert_finalised(&node.run(&again, &configuration(&[])), 0);
    }
}

#[test]
fn what_may_not_fit_into_the_heap_is_refused_before_it_is_compiled() {
    let again = reactor("", "(i32.const 0)", "(i32.const 1)", "");
    let options =
        Options { heap_bytes: HEAP_BYTES, heap_in_use: || HEAP_BYTES - 4 * 1024 * 1024, ..Options::default() };
    let mut node = furnished(FakeNode::with_room_for(4 << 20, options));
    let mut refused = 0;
    for (name, wasm, _) in all() {
        let status = node.run(&wasm, &configuration(&[]));
        assert!(state(&status).is_final(), "{name}: {status:?}");
        refused += usize::from(reason(&status) == FailureReason::CellMemory);
        assert_finalised(&node.run(&again, &configuration(&[])), 0);
    }
    assert!(refused >= 3, "{refused} were refused");
}
