//! Coverage-guided search for bytes that break the reader of tokens, containers or key tables. See `../hostile_bytes.rs`; run with
//! `cargo fuzz run any_bytes`.
#![no_main]

#[path = "../hostile_bytes.rs"]
#[allow(dead_code)]
mod hostile_bytes;

libfuzzer_sys::fuzz_target!(|input: &[u8]| hostile_bytes::drive(input));
