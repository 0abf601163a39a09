//! Atoll on a Linux host: the system that `system.xml` describes, as processes.
//!
//! A region is a sealed `memfd` that each domain maps with exactly its rights, a notification an `eventfd`, a protected call
//! a mailbox that the caller waits on by futex; priorities are `SCHED_FIFO` where that is permitted. The domains' logic is the
//! same as on seL4. **This is not seL4**: Linux is in the trusted base, budgets are not enforced, and processes of one
//! user are kept apart by Linux's rules only. It is for development, tests and embedding.
//!
//! | module | what |
//! |---|---|
//! | [`node`] | for programs and tests: start a node, talk to its pins, stop it |
//! | [`run_directory`] | where a node keeps its sockets and logs |
//! | `launcher` | plays the kernel: makes regions and channels, starts processes, reports their death to the warden |
//! | `substrate` | what a domain's process sees of that: `Kernel`, `Wiring`, the event loop; all `unsafe` is in `substrate::mapping` |
//! | `domains` | the shells: the domains' logic on this substrate |
#![deny(unsafe_code)]

#[cfg(not(target_os = "linux"))]
compile_error!("the host substrate needs Linux: memfd, eventfd, futex and pidfd");

mod domains;
mod launcher;
pub mod node;
pub mod pins;
pub mod run_directory;
mod signals;
mod substrate;

pub use domains::run as run_domain;
pub use launcher::{LaunchOptions, launch};

/// The heap of every process here: counted, so that a cell can say what it uses, and bounded in a cell.
#[global_allocator]
static HEAP: cap::Cap<std::alloc::System> = cap::Cap::new(std::alloc::System, usize::MAX);
