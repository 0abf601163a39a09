//! Rights in the form that is enforced: fixed size, checked in constant time.
//!
//! The warden writes one [`CellGrants`] a cell into the `grants` region; the drivers read it, by the channel that a call
//! came in on. An entry lies in a [`shared_ring::SequencedCell`]: while the warden is in the middle of writing it, a driver
//! sees what was in force before. The warden goes on only when it is written.
//!
//! Behind it, in the same entry, lie the cell's [`LineRates`]: plain words, of which a driver reads the one that a call is
//! about. They are written while nothing is granted to the cell, so what belongs together is in force together.

use shared_ring::{OutOfRange, SharedMemory, SharedValues};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{MAX_CELLS, i2c::ADDRESSES};

/// Board lines that a mask has a bit for. A PL061 has 8, a BCM2711 58.
pub const MAX_LINES: u8 = 64;

/// Bytes between two entries of the `grants` region, and of the requests to the warden: masks and rates, or a
/// [`crate::plan::LoadRequest`]. Eight of them take two pages.
pub const GRANT_STRIDE_BYTES: usize = 1024;

/// Where the rates lie in an entry: behind the masks, at a cache line's begin.
const RATES_OFFSET_BYTES: usize = 256;

/// An entry ends before the next.
const _: () = {
    assert!(shared_ring::sequenced_bytes::<CellGrants>() <= RATES_OFFSET_BYTES);
    assert!(RATES_OFFSET_BYTES + size_of::<LineRates>() <= GRANT_STRIDE_BYTES);
};

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

/// What a rate is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateOf {
    /// Changes of the level that is driven.
    Transitions,
    /// Edges that are told one by one.
    Edges,
}

/// How often a cell may change the level of each line, and be told of an edge on it, a second. Zero is never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LineRates {
    /// By line.
    pub transitions: [u32; MAX_LINES as usize],
    /// By line.
    pub edges: [u32; MAX_LINES as usize],
}

impl Default for LineRates {
    fn default() -> Self {
        Self::all(0)
    }
}

impl LineRates {
    /// The same rate for everything.
    pub const fn all(per_second: u32) -> Self {
        Self { transitions: [per_second; MAX_LINES as usize], edges: [per_second; MAX_LINES as usize] }
    }

    /// Of each rate the lower.
    #[must_use]
    pub fn intersection(mut self, other: &Self) -> Self {
        let both = |own: &mut [u32], other: &[u32]| {
            for (own, other) in own.iter_mut().zip(other) {
                *own = (*own).min(*other);
            }
        };
        both(&mut self.transitions, &other.transitions);
        both(&mut self.edges, &other.edges);
        self
    }

    /// Writes the rates of a cell, which must not have any grants meanwhile.
    ///
    /// # Errors
    /// There is no such cell, or the region is too small.
    pub fn write<M: SharedMemory>(&self, region: &M, cell: usize) -> Result<(), OutOfRange> {
        let offset = grant_offset_bytes(cell).ok_or(OutOfRange)?;
        region.write_value(offset + RATES_OFFSET_BYTES, self)
    }

    /// One rate of a cell, in one load; 0 where there is no such cell or line.
    pub fn read<M: SharedMemory>(region: &M, cell: usize, line: u8, of: RateOf) -> u32 {
        let table = match of {
            RateOf::Transitions => core::mem::offset_of!(Self, transitions),
            RateOf::Edges => core::mem::offset_of!(Self, edges),
        };
        let Some(offset) = grant_offset_bytes(cell).filter(|_| line < MAX_LINES) else { return 0 };
        region.load_u32(offset + RATES_OFFSET_BYTES + table + usize::from(line) * size_of::<u32>()).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use shared_ring::HeapMemory;

    use super::*;

    #[test]
    fn each_rate_is_found_where_it_was_written() {
        let region = HeapMemory::new(MAX_CELLS * GRANT_STRIDE_BYTES);
        for cell in 0..MAX_CELLS {
            let base = u32::try_from(cell).unwrap() * 1000;
            let numbers = |from: u32| core::array::from_fn(|line| base + from + u32::try_from(line).unwrap());
            LineRates { transitions: numbers(0), edges: numbers(500) }.write(&region, cell).unwrap();
        }
        for cell in 0..MAX_CELLS {
            let base = u32::try_from(cell).unwrap() * 1000;
            for line in 0..MAX_LINES {
                assert_eq!(LineRates::read(&region, cell, line, RateOf::Transitions), base + u32::from(line));
                assert_eq!(LineRates::read(&region, cell, line, RateOf::Edges), base + 500 + u32::from(line));
            }
        }
        assert_eq!(LineRates::read(&region, MAX_CELLS, 0, RateOf::Edges), 0);
        assert_eq!(LineRates::read(&region, 0, MAX_LINES, RateOf::Transitions), 0);
        assert!(LineRates::default().write(&region, MAX_CELLS).is_err());
    }

    #[test]
    fn of_two_rates_the_lower_is_in_force() {
        let mut one = LineRates::all(10);
        one.transitions[3] = 2;
        let mut other = LineRates::all(7);
        other.edges[5] = 0;
        let both = one.intersection(&other);
        assert_eq!((both.transitions[3], both.transitions[4], both.edges[4], both.edges[5]), (2, 7, 7, 0));
        assert_eq!(both, other.intersection(&one));
    }

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
