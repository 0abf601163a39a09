//! Rights in the form that is enforced: fixed size, checked in constant time.
//!
//! The warden writes one [`CellGrants`] a cell into the `grants` region; the drivers read it, by the channel that a call
//! came in on. An entry lies in a [`shared_ring::SequencedCell`]: while the warden is in the middle of writing it, a driver
//! sees none, which grants nothing.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::MAX_CELLS;

/// Board lines that a mask has a bit for. A PL061 has 8, a BCM2711 58.
pub const MAX_LINES: u8 = 64;

/// Bytes between two entries of the `grants` region: one cache line for the sequence, one for the value.
pub const GRANT_STRIDE_BYTES: usize = 128;

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
            timers: if self.timers < other.timers { self.timers } else { other.timers },
            generation: self.generation,
        }
    }

    /// Whether `line` is in `lines`; false for a line that no mask has a bit for.
    pub const fn allows(lines: u64, line: u8) -> bool {
        line < MAX_LINES && lines & (1 << line) != 0
    }
}
