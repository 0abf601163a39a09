//! `emit`: the agent that a person types commands to.
//!
//! Runs in the Linux guest (over a virtio port) and on a host (over a unix socket), the same either way. Trusts the file
//! it is given no further than reading it, and the node no further than showing what it says: text from containers is
//! printed as it is only where the person asked for output.
#![forbid(unsafe_code)]

mod analysis;
mod arguments;
mod audit;
mod command;
mod exit;
mod jitter;
#[cfg(feature = "kit")]
mod kit;
mod metadata;
mod metrics;
mod module;
mod node;
mod refusal;
mod schedule;
mod session;
mod show;
mod terminal;
#[cfg(feature = "top")]
mod top;

fn main() -> std::process::ExitCode {
    command::run_from_command_line()
}
