//! The `timer` domain's protected procedures.
//!
//! Each cell has timers 0 to 8. Timers 0 (sleeps, poll) and 8 (releases) belong to the cell's executor and need no grant, but
//! keep [`EXECUTOR_MINIMUM_NS`]; 1 to 7 are the container's, checked against the grants of the cell whose channel the call
//! came in on. An expiry notifies the cell; [`Procedure::Take`] then tells which. The warden has a channel too, with the
//! executor's rights.

use core::ops::RangeInclusive;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{MAX_CELLS, boot_report::STATUS_REGION_BYTES, kernel::Message, usage::usage_bytes, wire_enum};

pub use crate::gpio::Status;

/// Timers a client has, the executor's included.
pub const TIMERS_PER_CLIENT: u8 = 9;

/// The timer that the cell's executor uses for sleeps.
pub const EXECUTOR_TIMER: u8 = 0;

/// The timers that are the container's.
pub const CONTAINER_TIMERS: RangeInclusive<u8> = 1..=7;

/// The timer that the cell's executor uses for the container's releases.
pub const RELEASE_TIMER: u8 = 8;

/// The shortest distance of the executor's one-shot: the tick of the QEMU board, 1 ms. Earlier means at the next tick.
pub const EXECUTOR_MINIMUM_NS: u64 = 1_000_000;

wire_enum! {
    /// A procedure's number, the label of the call.
    Procedure {
        /// Words: number, first expiry (nanoseconds since the node's start), period (nanoseconds, 0 for one-shot).
        Arm = 1 => "arm",
        /// Words: number.
        Disarm = 2 => "disarm",
        /// No words. Answers (word 0) the timers that expired since the last call, a bit a number, and (word 1) how many
        /// expiries of periodic timers fell together because the client did not take them in time.
        Take = 3 => "take expiries",
        /// Words: cell. The warden only: disarms all that the cell has armed.
        Release = 4 => "release a cell",
    }
}

/// The call that arms a timer.
pub fn arm(number: u8, first_ns: u64, period_ns: u64) -> Message {
    Message { label: u64::from(Procedure::Arm.to_wire()), words: [u64::from(number), first_ns, period_ns, 0] }
}

/// A call of one word.
pub fn call(procedure: Procedure, word: u64) -> Message {
    Message::with_word(u64::from(procedure.to_wire()), word)
}

/// Where the [`crate::usage::UsageTable`] of the timers' numbers begins in `timer_status`.
pub const TIMER_USAGE_OFFSET_BYTES: usize = STATUS_REGION_BYTES;

/// The least size of `timer_status`.
pub const TIMER_STATUS_REGION_BYTES: usize = TIMER_USAGE_OFFSET_BYTES + usage_bytes(TIMERS_PER_CLIENT as usize);

/// What the domain shows of itself in `timer_status`, in a [`shared_ring::SequencedCell`] at offset 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TimerStatus {
    /// Ticks of the source since the start.
    pub ticks: u64,
    /// Expiries delivered.
    pub expiries: u64,
    /// Calls served.
    pub calls: u64,
    /// Calls refused because the cell was not granted the timer or the period.
    pub refused: u64,
    /// Of these, how many of each cell.
    pub refused_by_cell: [u64; MAX_CELLS],
    /// Calls that made no sense.
    pub invalid: u64,
    /// Interrupts of the board's timer, where it has one.
    pub interrupts: u64,
    /// Interrupts that were asked for and did not come; a tick served what was due.
    pub missed_interrupts: u64,
}
