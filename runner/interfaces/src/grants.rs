//! Rights in the form that is enforced: fixed size, checked in constant time.
//!
//! The warden writes one [`CellGrants`] a cell into the `grants` region; the drivers read it, by the channel that a call
//! came in on. An entry lies in a [`shared_ring::SequencedCell`]: while the warden is in the middle of writing it, a driver
//! sees what was in force before. The warden goes on only when it is written.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{MAX_CELLS, i2c::ADDRESSES};

/// Board lines that a mask has a bit for. A PL061 has 8, a BCM2711 58.
pub const MAX_LINES: u8 = 64;

/// Bytes between two entries of the `grants` region, and of the requests to the warden, which are longer: with a
/// [`crate::plan::LoadRequest`] an entry takes over two cache lines. Eight of them fit half a page.
pub const GRANT_STRIDE_BYTES: usize = 256;

/// An entry ends before the next.
const _: () = assert!(shared_ring::sequenced_bytes::<CellGrants>() <= GRANT_STRIDE_BYTES);

/// Where a cell's entry begins in the `grants` region; `None` where there is no such cell.
pub const fn grant_offset_bytes(cell: usize) -> Option<usize> {
    if cell < MAX_CELLS { Some(cell * GRANT_STRIDE_BYTES) } else { None }
}

/// What the container in one cell may use. All zero grants nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CellGrants {
    /// Lines it may drive, a bit a line.
    pub output_lines: u64,
    /// Lines it may read, a bit a line.
    pub input_lines: u64,
    /// Lines whose edges it may watch, a bit a line.
    pub edge_lines: u64,
    /// Lines that are active while they are low, a bit a line. No right: the board says so, for all its lines.
    pub active_low_lines: u64,
    /// The shortest timer period, in nanoseconds; also the shortest distance of a one-shot.
    pub minimum_period_ns: u64,
    /// Addresses at the I2C bus that it may speak to, a bit an address: 0x00 to 0x3f, then 0x40 to 0x7f.
    pub i2c_addresses: [u64; 2],
    /// How many timers it may arm (numbers 1 to this), at the most 7.
    pub timers: u32,
    /// The load that these grants belong to (see [`crate::cell::CellControl::generation`]).
    pub generation: u32,
}

impl CellGrants {
    /// What both sides allow. The period is the longer of the two, what the lines are is `other`'s (the board's) to say,
    /// everything else what is in both.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self {
            output_lines: self.output_lines & other.output_lines,
            input_lines: self.input_lines & other.input_lines,
            edge_lines: self.edge_lines & other.edge_lines,
            active_low_lines: other.active_low_lines,
            minimum_period_ns: if self.minimum_period_ns > other.minimum_period_ns {
                self.minimum_period_ns
            } else {
                other.minimum_period_ns
            },
            i2c_addresses: [
                self.i2c_addresses[0] & other.i2c_addresses[0],
                self.i2c_addresses[1] & other.i2c_addresses[1],
            ],
            timers: if self.timers < other.timers { self.timers } else { other.timers },
            generation: self.generation,
        }
    }

    /// The mask of the addresses from `first` to `last`, both with it; those that no device can have are left out.
    pub fn i2c_range(first: u8, last: u8) -> [u64; 2] {
        let mut mask = [0; 2];
        for address in first..=last.min(ADDRESSES - 1) {
            mask[usize::from(address / 64)] |= 1 << (address % 64);
        }
        mask
    }

    /// Whether `address` is in `addresses`; false for one that no device can have.
    pub const fn allows_address(addresses: [u64; 2], address: u8) -> bool {
        let [low, high] = addresses;
        let half = if address < 64 { low } else { high };
        address < ADDRESSES && half & (1 << (address % 64)) != 0
    }

    /// Whether `line` is in `lines`; false for a line that no mask has a bit for.
    pub const fn allows(lines: u64, line: u8) -> bool {
        line < MAX_LINES && lines & (1 << line) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_its_addresses_and_no_other() {
        for (first, last) in [(0, 0), (0x48, 0x4f), (0x3f, 0x40), (0, 0x7f), (0x7f, 0xff), (5, 4)] {
            let mask = CellGrants::i2c_range(first, last);
            for address in 0..=u8::MAX {
                let is_in = first <= address && address <= last && address < ADDRESSES;
                assert_eq!(CellGrants::allows_address(mask, address), is_in, "{first:#x}-{last:#x}: {address:#x}");
            }
        }
    }

    #[test]
    fn an_address_must_be_in_both() {
        let asked = CellGrants { i2c_addresses: CellGrants::i2c_range(0x3e, 0x48), ..CellGrants::default() };
        let board = CellGrants { i2c_addresses: CellGrants::i2c_range(0x40, 0x50), ..CellGrants::default() };
        assert_eq!(asked.intersection(board).i2c_addresses, CellGrants::i2c_range(0x40, 0x48));
    }
}
