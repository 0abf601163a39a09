//! The owner of the channels between containers: keeps their values, and lets nobody reach one that is not bound to it.
//!
//! The caller is the channel that a call came in on, which the kernel vouches for; which slots it reaches is what `admission`
//! bound, and whether it may now is read from the grants that the warden writes, at every call. Every call of a cell is
//! served in time that does not depend on what anybody did before, and nothing is allocated after the start. The exchange
//! trusts the kernel and the warden, and `admission` no further than the ends that it binds; cells are hostile, and what a
//! cell writes into its region while a call is served is its own loss.
//!
//! [`Exchange`] is the behaviour: `server` tells the callers apart, `ends` knows who is bound to what, `store` holds the values.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod ends;
mod server;
mod store;
#[cfg(test)]
mod tests;

pub use runner_interfaces::driver::StartError;
pub use server::Exchange;
