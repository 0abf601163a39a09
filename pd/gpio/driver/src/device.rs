//! The devices: registers and their meanings, nothing about who may use them.
//!
//! The mapping itself (an address, `unsafe`) belongs to the shell that implements [`Registers`].

mod bcm2711;
mod pl061;

pub use bcm2711::{Bcm2711, HEADER_LINES, Refused, header_pin};
pub use pl061::Pl061;

/// Bytes of a device's register block, as far as it is mapped: a page, of which both devices use less.
pub const REGISTER_BLOCK_BYTES: usize = 0x1000;

/// The device's registers: 32-bit accesses that reach the device once each, in program order.
pub trait Registers {
    /// Reads the register at `offset`, a multiple of 4 below [`REGISTER_BLOCK_BYTES`].
    fn read(&self, offset: usize) -> u32;

    /// Writes the register at `offset`, a multiple of 4 below [`REGISTER_BLOCK_BYTES`].
    fn write(&mut self, offset: usize, value: u32);
}
