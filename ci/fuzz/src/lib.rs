//! Everything that reads what a stranger wrote, as functions of any bytes.
//!
//! Each [`Target`] takes an input and panics where something that must hold does not. A decoder reads the input as it is; a
//! domain's protected procedures get it as a script: who calls with which words, what the warden changes, how much time
//! passes. The same functions run in three ways: for a bounded time with random inputs (`cargo xtask test`), once with an
//! input that somebody found, and under libFuzzer (`cargo xtask fuzz --target NAME`), which learns from coverage. An
//! *execution* is one input.
#![forbid(unsafe_code)]

mod corpus;
mod mutation;
mod script;
mod smoke;
mod targets;

pub use corpus::{Corpus, from_hex, hex};
pub use smoke::{Failure, run_while, survives};
pub use targets::{TARGETS, Target, find};
