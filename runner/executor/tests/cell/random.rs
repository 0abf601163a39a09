//! Random modules of every world, in slices of several lengths: where a slice ends, nothing changes for the container.
//!
//! The modules are those of the comparison with a second engine (`fuzz/`), which takes minutes to build. Here the cell is
//! compared with itself: a call that is resumed at the wrong place, an operand that was not kept, a host call that was made
//! twice make the results differ. What a module imports is anything of the table.

use std::collections::BTreeMap;

use crate::{
    in_cell::{Outcome, run},
    random_module::make,
};

/// How many modules; some seconds.
const MODULES: u64 = 120;

/// Bytes for a module of some kilobytes.
const BYTES: usize = 4096;

/// Fuel of the slices that each module is run in, besides all in one.
const SLICES: [u64; 3] = [1, 13, 500];

/// Fuel for everything that one of these does.
const WHOLE: u64 = 1_000_000_000;

fn bytes(seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![0; random.usize(64..BYTES)];
    random.fill(&mut bytes);
    bytes
}

fn kind_of(outcome: &Outcome) -> String {
    match &outcome.failure {
        Some((reason, text)) => format!("{reason}: {}", text.split(": ").nth(1).unwrap_or(text)),
        None => "finalised".into(),
    }
}

#[test]
fn slices_of_any_length_come_to_the_same() {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    let mut host_calls = 0;
    for seed in 0..MODULES {
        let Some(module) = make(&bytes(seed), |_| true) else { continue };
        let whole = run(&module.wasm, WHOLE);
        for slice_fuel in SLICES {
            let sliced = run(&module.wasm, slice_fuel);
            assert!(sliced == whole, "seed {seed}, slices of {slice_fuel}:\n{sliced:?}\nas a whole:\n{whole:?}");
        }
        *kinds.entry(kind_of(&whole)).or_default() += 1;
        host_calls += whole.host_calls;
    }
    println!("{kinds:#?}, {host_calls} host calls");
    assert!(host_calls > 0, "no module called the host");
    let count =
        |word: &str| kinds.iter().filter(|(kind, _)| kind.contains(word)).map(|(_, count)| count).sum::<usize>();
    // Were they all refused, or all over at once, nothing would have been compared.
    for word in ["finalised", "unreachable", "division", "out of bounds"] {
        assert!(count(word) > 0, "no module ended with `{word}`: {kinds:#?}");
    }
    assert_eq!(count("invalid") + count("import"), 0, "a cell takes what is made for it: {kinds:#?}");
}
