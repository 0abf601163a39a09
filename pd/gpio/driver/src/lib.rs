//! The owner of the GPIO bank: takes calls from cells, and lets none touch a line that it was not granted.
//!
//! The caller is the channel that a call came in on, which the kernel vouches for; what it may do is read from the grants
//! that the warden writes, at every call, so that a right that is withdrawn is gone with the next call. Every call is
//! served in time that does not depend on what any caller did before. The driver trusts the kernel and the warden; cells are
//! hostile, and so is whoever wiggles the pins.
//!
//! [`Gpio`] is the behaviour, [`Bank`] the seam to hardware, [`device`] the registers of the boards' devices. The one thing
//! left to a substrate's shell is to acknowledge the interrupt after [`Gpio`] was notified of it.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod bank;
mod buckets;
pub mod device;
mod server;
#[cfg(test)]
mod tests;

pub use bank::{Bank, SilentBank};
pub use runner_interfaces::driver::StartError;
pub use server::{ACCESS_IS_CHECKED, Gpio};
