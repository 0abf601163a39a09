//! A manifest and its bytes are the same thing.

use proptest::prelude::*;
use runner_container::{Manifest, Violation};

use crate::strategies::manifest;

proptest! {
    #[test]
    fn what_was_encoded_is_decoded(manifest in manifest()) {
        let bytes = manifest.encode().expect("a valid manifest");
        prop_assert_eq!(Manifest::decode(&bytes), Ok(manifest));
    }

    #[test]
    fn every_prefix_is_refused(manifest in manifest()) {
        let bytes = manifest.encode().expect("a valid manifest");
        for length in 0..bytes.len() {
            prop_assert!(Manifest::decode(&bytes[..length]).is_err(), "{} of {}", length, bytes.len());
        }
    }

    /// One manifest, one encoding: what decodes at all encodes to the same bytes.
    #[test]
    fn a_damaged_manifest_is_refused_or_another_one(
        manifest in manifest(), position in any::<proptest::sample::Index>(), byte in any::<u8>()
    ) {
        let mut bytes = manifest.encode().expect("a valid manifest");
        let position = position.index(bytes.len());
        bytes[position] = byte;
        if let Ok(decoded) = Manifest::decode(&bytes) {
            prop_assert_eq!(decoded.encode(), Ok(bytes));
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(decoded) = Manifest::decode(&bytes) {
            prop_assert_eq!(decoded.encode(), Ok(bytes));
        }
    }
}

/// What a fuzzer does first: start from something valid, cut, repeat, overwrite. Always the same inputs.
#[test]
fn a_few_ten_thousand_mutations_are_survived() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let mut random = 0x1234_5678_9abc_def0_u64;
    let mut next = move || {
        random ^= random >> 12;
        random ^= random << 25;
        random ^= random >> 27;
        usize::try_from(random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32).expect("32 bits")
    };
    let mut survived = 0;
    for _ in 0..100 {
        let seed = manifest().new_tree(&mut runner).expect("a manifest").current().encode().expect("valid");
        for _ in 0..200 {
            let mut bytes = seed.clone();
            for _ in 0..=next() % 4 {
                let position = next() % bytes.len();
                match next() % 4 {
                    0 => bytes[position] = u8::try_from(next() % 256).expect("eight bits"),
                    1 => bytes[position] ^= 1 << (next() % 8),
                    2 => _ = bytes.splice(position..position, [0xff, 0x9b, 0x7f][..1 + next() % 3].iter().copied()),
                    _ => bytes.truncate(position + 1),
                }
            }
            if let Ok(decoded) = Manifest::decode(&bytes) {
                assert_eq!(decoded.encode(), Ok(bytes));
                survived += 1;
            }
        }
    }
    assert!(survived > 0, "no mutation was valid, so the other half was not looked at");
}

#[test]
fn the_smallest_manifest_is_a_name() {
    let bytes = Manifest::named("a").encode().expect("valid");
    assert_eq!(bytes, [0xa1, 1, 0x61, b'a']);
    assert_eq!(Manifest::decode(&bytes), Ok(Manifest::named("a")));
}

#[test]
fn a_manifest_has_a_largest_size() {
    let long = Manifest { arguments: vec!["x".repeat(255); 64], ..Manifest::named("a") };
    assert_eq!(long.encode().unwrap_err().violation, Violation::TooLarge);
    assert_eq!(Manifest::decode(&vec![0; 16 * 1024 + 1]).unwrap_err().violation, Violation::TooLarge);
    let fits = Manifest { arguments: vec!["x".repeat(250); 64], ..Manifest::named("a") };
    assert!(Manifest::decode(&fits.encode().expect("it fits")).is_ok());
}

#[test]
fn an_error_says_where() {
    let error = Manifest::decode(&[0xa2, 1, 0x61, b'a', 3, 9]).unwrap_err();
    assert_eq!(error.to_string(), "the manifest, `world`, at byte 5: its value stands for nothing");
    let error = Manifest::named("A").encode().unwrap_err();
    assert!(error.to_string().starts_with("the manifest, `name`: a name begins with"), "{error}");
}
