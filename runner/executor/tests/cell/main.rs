//! The cell against a node in memory: every way that a container lives and ends.

mod adapters;
mod arbitrary;
mod channel;
mod delivery;
mod doubles;
mod every_call;
mod gpio;
mod hold;
mod hostile;
mod i2c;
#[path = "../../fuzz/in_cell.rs"]
mod in_cell;
mod large;
#[path = "../../fuzz/large_module.rs"]
mod large_module;
mod life;
mod plan;
mod random;
#[path = "../../fuzz/random_module.rs"]
mod random_module;
mod samples;
mod schedule;
mod stack;
mod support;
mod tiny;
mod wasi;
mod wasi_files;
mod wasi_script;
