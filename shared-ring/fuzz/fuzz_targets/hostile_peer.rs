//! Coverage-guided search for a peer that breaks a ring. See `../hostile_peer.rs`; run with `cargo fuzz run hostile_peer`.
#![no_main]

#[path = "../hostile_peer.rs"]
#[allow(dead_code)]
mod hostile_peer;

libfuzzer_sys::fuzz_target!(|input: &[u8]| hostile_peer::drive(input));
