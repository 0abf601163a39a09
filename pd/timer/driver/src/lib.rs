//! The owner of time: arms timers for cells, expires them at a tick, and lets none be faster than it was granted.
//!
//! A tick is only a hint to look at the clock; what is due is decided by the clock alone, so ticks may come late, doubled
//! or not at all without a timer drifting. Where the board has a timer of its own, a [`TickSource`] brings the domain
//! round at the microsecond that something is due; the ticks stay as the safety net under it. Every call and every tick
//! takes a bounded number of steps, whatever the callers armed. The driver trusts the kernel (channels, clock) and the
//! warden (grants); cells are hostile.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod alarm;
mod server;
mod system_timer;
#[cfg(test)]
mod tests;
mod tick_source;

pub use runner_interfaces::driver::StartError;
pub use server::Timer;
pub use system_timer::{REGISTER_BLOCK_BYTES, Registers, SystemTimer};
pub use tick_source::{PeriodicTicks, TickSource};
