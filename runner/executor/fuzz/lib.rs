//! Random modules of every world run in a cell and in wasmtime; both must make the same of them.
//!
//! Bytes decide on a module ([`random_module`]), on what it imports, and on how long a slice is. Half of the modules import
//! functions that [`second_engine`] models: how they end, their memory and their exported globals are compared with what
//! wasmtime has. The others may import anything that is offered and are compared with themselves, run as a whole. After
//! each one the cell takes another container (`in_cell`).

mod in_cell;
mod random_module;
mod second_engine;

use runner_interfaces::cell::FailureReason;
use second_engine::End;

/// What came of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The bytes make no module.
    NoModule,
    /// Two slicings agree; it imports what only a cell has.
    SlicesAgree,
    /// It came to an engine's own limit of recursion, which differ.
    Recursion,
    /// Both engines agree on that end.
    Agree(&'static str),
}

/// Fuel for all of a module in one slice.
const WHOLE: u64 = 1_000_000_000;

/// Runs the module that `input` makes. Panics where the two do not agree.
pub fn drive(input: &[u8]) -> Verdict {
    let Some(module) = random_module::make(input, second_engine::is_modelled) else { return Verdict::NoModule };
    let cell = in_cell::run(&module.wasm, module.slice_fuel);
    if !module.is_narrow {
        let whole = in_cell::run(&module.wasm, WHOLE);
        assert!(cell == whole, "slices of {}: {cell:?}\nwhole: {whole:?}", module.slice_fuel);
        return Verdict::SlicesAgree;
    }
    let other = second_engine::run(&module.wasm);
    let text = cell.failure.as_ref().map(|(_, text)| text.as_str()).unwrap_or_default();
    if other.end == End::StackExhausted || text.contains("call stack exhausted") {
        return Verdict::Recursion;
    }
    let kind = agreed(&cell, &other);
    assert!(kind.is_some(), "the cell: {:?} {}\nwasmtime: {:?}", cell.failure, cell.exit_code, other.end);
    if let Some((memory, globals)) = &other.remains {
        let found = cell.remains.as_ref().expect("it was instantiated");
        let found_globals = found.globals.iter().cloned().collect();
        assert_eq!(globals, &found_globals, "globals in wasmtime and in the cell");
        let differs = memory.iter().zip(&found.memory).position(|(one, other)| one != other);
        assert_eq!((memory.len(), None), (found.memory.len(), differs), "where the memories differ");
    }
    Verdict::Agree(kind.unwrap_or_default())
}

/// What both ended with; none where that differs.
fn agreed(cell: &in_cell::Outcome, other: &second_engine::Outcome) -> Option<&'static str> {
    let Some((reason, text)) = &cell.failure else {
        return (other.end == End::Finalised(cell.exit_code)).then_some("finalised");
    };
    let is_trap = *reason == FailureReason::Trap;
    match other.end {
        End::Trapped(phrase) if is_trap && text.contains(phrase) => Some(phrase),
        // The cell's engine words a segment that does not fit in its own way.
        End::Trapped(phrase) if is_trap && other.remains.is_none() && text.starts_with("instantiation") => {
            phrase.contains("out of bounds").then_some("instantiation")
        }
        End::HostTrap if is_trap && text.contains("host call") => Some("host call"),
        End::StartRefused if *reason == FailureReason::StartRefused => Some("start refused"),
        End::UnknownNext if is_trap && text.contains("`next`") => Some("unknown next"),
        End::TooLarge if matches!(reason, FailureReason::MemoryLimit | FailureReason::TableLimit) => Some("too large"),
        _ => None,
    }
}

/// The input of a seed.
pub fn input(seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![0; random.usize(64..4096)];
    random.fill(&mut bytes);
    bytes
}

/// The module of an input and the length of its slices, to look at.
pub fn module(input: &[u8]) -> Option<(Vec<u8>, u64)> {
    random_module::make(input, second_engine::is_modelled).map(|module| (module.wasm, module.slice_fuel))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, thread};

    use super::*;

    /// Some seconds.
    const MODULES: u64 = 100;

    /// Native stack: wasmtime's compiled code runs on it.
    const STACK_BYTES: usize = 64 << 20;

    #[test]
    fn both_engines_agree_on_the_first_modules() {
        let run = || (0..MODULES).map(|seed| drive(&input(seed))).collect::<BTreeSet<Verdict>>();
        let runs = thread::Builder::new().stack_size(STACK_BYTES).spawn(run).expect("a thread can be had");
        let verdicts = runs.join().expect("no two differ");
        // Were all refused, or all over at once, nothing would have been compared.
        for kind in ["finalised", "unreachable code", "memory access out of bounds", "integer overflow"] {
            assert!(verdicts.contains(&Verdict::Agree(kind)), "no module ended so: {kind}; {verdicts:?}");
        }
        assert!(verdicts.contains(&Verdict::SlicesAgree));
    }
}
