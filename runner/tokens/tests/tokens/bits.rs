//! Every single bit of a signed container, flipped.

use std::collections::BTreeMap;

use crate::parties::{Fixture, verdict, with_files, without_files};

/// No bit may be flipped: each byte is hashed, signed, or in the one form that it can have. So there is no list of exceptions.
#[test]
fn every_bit_counts() {
    for container in [with_files(), without_files()] {
        let wasm = Fixture::of(container).signed();
        verdict(&wasm).expect("it is right");
        let mut rules: BTreeMap<String, u32> = BTreeMap::new();
        let mut flipped = wasm.clone();
        for bit in 0..wasm.len() * 8 {
            flipped[bit / 8] ^= 1 << (bit % 8);
            let refusal = verdict(&flipped).expect_err(&format!("bit {bit} of {}", wasm.len() * 8));
            let rule = format!("{refusal:?}");
            *rules.entry(rule.split([' ', '(', '{']).next().unwrap_or_default().into()).or_default() += 1;
            flipped[bit / 8] ^= 1 << (bit % 8);
        }
        assert_eq!(flipped, wasm);
        // Which rules refused how many; `--nocapture` shows it.
        println!("{} bits: {rules:?}", wasm.len() * 8);
        for rule in ["OtherCode", "OtherManifest", "Signature", "Form", "Module", "ForeignSection", "UnknownSection"] {
            assert!(rules.contains_key(rule), "{rule} refused nothing: {rules:?}");
        }
    }
}
