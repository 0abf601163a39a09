//! What a cell does: it runs one WebAssembly container in fuel slices and serves its host calls.
//!
//! A [`Cell`] is the logic of a cell's protection domain, generic over the kernel and its memory. It exists so that a
//! container which loops, waits, traps or lies costs nothing but itself: code is metered, waiting suspends the container and
//! never the cell, and every resource is asked of the domain that owns it. The container is not trusted; the warden's
//! control word, the drivers' answers and the kernel are.
//!
//! | module | what |
//! |---|---|
//! | `cell` | the domain: control word, event loop, status |
//! | `container` | one container's life: hooks, waits, limits, ending |
//! | `engine` | `wasmi`: from bytes to an instance that runs a slice at a time |
//! | `releases`, `allowance` | when the loop hook is released, and what a release may take |
//! | `estimate` | what compiling may take of the heap |
//! | `sections` | the start function taken out |
//! | `files` | the files that a container brings |
//! | `worlds` | the host functions: WASI preview 1, the reactor world, TinyContainer's |
//! | `wait` | host calls that wait |
//! | `host`, `lines`, `ends`, `memory`, `limits`, `output`, `status`, `failure` | what these stand on |
//! | [`fake`] | a node in memory to test cells against (feature `fake`) |
//!
//! # The native stack stays constant
//!
//! `wasmi` 2.0 on stable Rust with its default dispatch leaks native stack (`memory.grow`, `table.grow`, and at some
//! optimisation levels indirect calls). This crate builds it with feature `portable-dispatch` (the default) or `become`,
//! and not at all with neither; `tests/cell/stack.rs` holds either to it.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

#[cfg(not(any(feature = "portable-dispatch", feature = "become")))]
compile_error!("choose a dispatch with a constant native stack: feature `portable-dispatch` or `become`");

mod allowance;
mod cell;
mod container;
mod delivery;
mod devices;
mod ends;
mod engine;
mod estimate;
mod failure;
#[cfg(feature = "fake")]
pub mod fake;
mod files;
mod handles;
mod host;
mod limits;
mod lines;
mod memory;
mod output;
mod pollables;
mod releases;
mod sections;
mod status;
mod wait;
mod worlds;

pub use cell::{Cell, DEFAULT_SLICE_FUEL, Options};
