//! Coverage-guided search for a module of which a cell makes something else than wasmtime. See `../lib.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    runner_executor_fuzz::drive(input);
});
