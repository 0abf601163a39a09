//! libFuzzer's entry point to the target that `ATOLL_FUZZ_TARGET` names. `cargo xtask fuzz --target NAME` builds and runs it.
#![no_main]

use std::sync::OnceLock;

use fuzz::{Target, find};

/// One program for all targets: what takes long is building it.
static TARGET: OnceLock<&'static Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(
    init: {
        let name = std::env::var("ATOLL_FUZZ_TARGET").expect("ATOLL_FUZZ_TARGET names a target");
        let target = find(&name).expect("ATOLL_FUZZ_TARGET names a target that there is");
        TARGET.get_or_init(|| target);
    },
    |input: &[u8]| (TARGET.get().expect("chosen at the start").drive)(input)
);
