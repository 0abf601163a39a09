//! The cell against a node in memory: every way that a container lives and ends.

mod adapters;
mod arbitrary;
mod channel;
mod delivery;
mod doubles;
mod gpio;
mod hold;
mod hostile;
mod life;
mod plan;
mod samples;
mod stack;
mod support;
mod tiny;
mod wasi;
mod wasi_files;
mod wasi_script;
