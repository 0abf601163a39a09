//! What the domains that cells call have in common: why one of them cannot run, and what it counts for the warden.
//!
//! Each reads the grants that the warden writes and shows its status in a region of its own, so each can miss the same
//! things. Nothing here comes from a peer: a start that fails is a fault of the configuration.
//!
//! The kernel holds none of them to a budget (docs/decisions/0011-drivers-time.md). So each counts its callers' calls, all of them,
//! also those that make no sense, in words of its status region that the warden reads when it looks around ([`DriverWatch`]).

use core::fmt;

use shared_ring::{OutOfRange, SharedMemory, SharedValues};

use crate::{MAX_CELLS, boot_report::BOOT_REPORT_OFFSET_BYTES, kernel::MissingWiring};

/// Where a [`DriverWatch`] lies in a driver's status region: right before the report of its start.
pub const DRIVER_WATCH_OFFSET_BYTES: usize = BOOT_REPORT_OFFSET_BYTES - DRIVER_WATCH_BYTES;

/// A word a cell, and one more.
const DRIVER_WATCH_BYTES: usize = (MAX_CELLS + 1) * size_of::<u64>();

const _: () = {
    assert!(DRIVER_WATCH_OFFSET_BYTES.is_multiple_of(8));
    assert!(shared_ring::sequenced_bytes::<crate::exchange::ExchangeStatus>() <= DRIVER_WATCH_OFFSET_BYTES);
    assert!(shared_ring::sequenced_bytes::<crate::gpio::GpioStatus>() <= DRIVER_WATCH_OFFSET_BYTES);
    assert!(shared_ring::sequenced_bytes::<crate::i2c::I2cStatus>() <= DRIVER_WATCH_OFFSET_BYTES);
    assert!(shared_ring::sequenced_bytes::<crate::timer::TimerStatus>() <= DRIVER_WATCH_OFFSET_BYTES);
};

/// How long the warden counts calls before it judges them, in nanoseconds: as long as from one of its looks to the next. A shorter one
/// would find a flood sooner and cost a look more often; who is harmed meanwhile is less urgent than the cell that floods.
pub const CALLS_WINDOW_NS: u64 = 100_000_000;

/// Calls to one domain in a window beyond those that its schedule has a container make, that no cell is ended for: what its hooks for
/// starting and stopping ask for falls into a window as well.
pub const SPARE_CALLS: u64 = 64;

/// The most that calls of cells that no schedule holds may take of the processor together, in percent, by the board's figures for a
/// call. These have the callers' own part in them, which budgets bound. In `system.xml` all cells together have 56 %. A caller's
/// part of a call is a third of it or more, so calls that take 40 % have 14 % of these: with the drivers' part 82 % are taken at the most, with the
/// ticks 93 %, and whoever is below the cells comes round.
pub const UNSCHEDULED_CALLS_PERCENT: u64 = 40;

/// What a driver tells the warden: a word each, which only the driver writes.
#[derive(Clone, Debug)]
pub struct DriverWatch<M>(M);

impl<M: SharedMemory> DriverWatch<M> {
    /// That of the driver whose status region is `status`.
    ///
    /// # Errors
    /// The region is no page long.
    pub fn new(status: M) -> Result<Self, OutOfRange> {
        if status.size_bytes() < BOOT_REPORT_OFFSET_BYTES { Err(OutOfRange) } else { Ok(Self(status)) }
    }

    /// Counts a call of `cell`, one of [`MAX_CELLS`].
    ///
    /// Out of line, as it is a part of every driver's longest function.
    #[inline(never)]
    pub fn count_call(&self, cell: usize) {
        let calls = self.calls(cell);
        self.write(cell, calls.wrapping_add(1));
    }

    /// How many calls `cell` has made since the start; wraps around.
    pub fn calls(&self, cell: usize) -> u64 {
        if cell < MAX_CELLS { self.read(cell) } else { 0 }
    }

    /// Lines that interrupted too often and do not now, a bit a line. Only `gpio` has such.
    pub fn set_quiet_lines(&self, lines: u64) {
        self.write(MAX_CELLS, lines);
    }

    /// See [`Self::set_quiet_lines`].
    pub fn quiet_lines(&self) -> u64 {
        self.read(MAX_CELLS)
    }

    fn read(&self, word: usize) -> u64 {
        // The range was checked when this was made.
        self.0.read_value(DRIVER_WATCH_OFFSET_BYTES + word * size_of::<u64>()).unwrap_or_default()
    }

    fn write(&self, word: usize, value: u64) {
        // Likewise.
        let _ = self.0.write_value(DRIVER_WATCH_OFFSET_BYTES + word * size_of::<u64>(), &value);
    }
}

/// Why the domain cannot run. A fault of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartError {
    /// `system.xml` gives it too little.
    Missing(MissingWiring),
    /// A region is too small for what lies in it.
    RegionTooSmall,
}

impl fmt::Display for StartError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(missing) => missing.fmt(formatter),
            Self::RegionTooSmall => formatter.write_str("the region of the grants or of the status is too small"),
        }
    }
}

impl core::error::Error for StartError {}

impl From<MissingWiring> for StartError {
    fn from(missing: MissingWiring) -> Self {
        Self::Missing(missing)
    }
}

impl From<OutOfRange> for StartError {
    fn from(_: OutOfRange) -> Self {
        Self::RegionTooSmall
    }
}

#[cfg(test)]
mod tests {
    use shared_ring::HeapMemory;

    use super::*;

    #[test]
    fn each_cell_has_a_word_and_the_lines_one_more() {
        let status = HeapMemory::new(crate::boot_report::STATUS_REGION_BYTES);
        let watch = DriverWatch::new(status).expect("a page");
        for cell in 0..MAX_CELLS {
            for _ in 0..=cell {
                watch.count_call(cell);
            }
        }
        watch.set_quiet_lines(1 << 63 | 1);
        assert!((0..MAX_CELLS).all(|cell| watch.calls(cell) == cell as u64 + 1));
        assert_eq!((watch.quiet_lines(), watch.calls(MAX_CELLS)), (1 << 63 | 1, 0));
        assert!(DriverWatch::new(HeapMemory::new(64)).is_err());
    }
}
