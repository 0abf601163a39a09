//! The owner of the I2C bus: takes transfers from cells, and lets none reach a device that it was not granted.
//!
//! The caller is the channel that a call came in on, which the kernel vouches for; what it may do is read from the grants
//! that the warden writes, at every call, so that a right that is withdrawn is gone with the next call. A call moves at the most
//! 16 bytes each way, so that all take about the same time. The driver trusts the kernel and the warden; cells are hostile, and
//! so is whatever hangs on the bus.
//!
//! [`I2c`] is the behaviour, [`Bus`] the seam to hardware. [`SimulatedBus`] is the one bus that there is so far, on every
//! board, and says so wherever it is seen.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod bus;
mod server;
mod simulated;
#[cfg(test)]
mod tests;

pub use bus::{Bus, BusError};
pub use runner_interfaces::driver::StartError;
pub use server::I2c;
pub use simulated::{REGISTERS_ADDRESS, SENSOR_ADDRESS, SimulatedBus, temperature_sixteenths};
