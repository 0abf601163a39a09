//! The `timer` domain's protected procedures.
//!
//! Each cell has timers 0 to 8. Timers 0 (sleeps, poll) and 8 (releases) belong to the cell's executor and need no grant, but
//! keep [`EXECUTOR_MINIMUM_NS`]; 1 to 7 are the container's, checked against the grants of the cell whose channel the call
//! came in on. An expiry notifies the cell; [`Procedure::Take`] then tells which. The warden has a channel too, with the
//! executor's rights.

use core::ops::RangeInclusive;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    MAX_CELLS,
    boot_report::STATUS_REGION_BYTES,
    kernel::{Instant, Message},
    usage::usage_bytes,
    wire_enum,
};

pub use crate::gpio::Status;

/// Timers a client has, the executor's included.
pub const TIMERS_PER_CLIENT: u8 = 9;

/// The timer that the cell's executor uses for sleeps.
pub const EXECUTOR_TIMER: u8 = 0;

/// The distance of two ticks: they come at the multiples of this on the clock, 1 ms.
pub const TICK_NS: u64 = 1_000_000;

/// The first tick at or after `now`.
pub const fn next_tick(now: Instant) -> Instant {
    Instant::from_nanoseconds(now.nanoseconds().div_ceil(TICK_NS).saturating_mul(TICK_NS))
}

/// How long after the last multiple of [`TICK_NS`] `now` is.
pub const fn tick_lateness_ns(now: Instant) -> u64 {
    now.nanoseconds() % TICK_NS
}

/// The shortest distance of the executor's one-shot: a tick. Earlier means at the next tick.
pub const EXECUTOR_MINIMUM_NS: u64 = TICK_NS;

/// How many [`Lateness`] counts there are: below 1, 2, 4, … 64 µs, and all others.
pub const LATENESS_BUCKETS: usize = 8;

/// How many ticks came how late behind the whole millisecond before them. Bucket `i` counts those below `2^i` µs that no bucket
/// before it counts; the last one counts all others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Lateness {
    /// The counts.
    pub buckets: [u64; LATENESS_BUCKETS],
}

impl Lateness {
    /// Counts a tick that is served at `now`.
    pub fn count(&mut self, now: Instant) {
        let microseconds = tick_lateness_ns(now) / 1000;
        let bucket = (u64::BITS - microseconds.leading_zeros()) as usize;
        let bucket = &mut self.buckets[bucket.min(LATENESS_BUCKETS - 1)];
        *bucket = bucket.wrapping_add(1);
    }
}
/// The timers that are the container's.
pub const CONTAINER_TIMERS: RangeInclusive<u8> = 1..=7;

/// The timer that the cell's executor uses for the container's releases.
pub const RELEASE_TIMER: u8 = 8;

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

/// How long the warden may take to fetch an expiry of its timer, in nanoseconds, before it is said to stand still.
///
/// It is woken at once, above all cells. What it does in one go is some hundred microseconds of work, which its budget of 2.5 % stretches
/// to milliseconds; on a host it is a process on a machine that may be busy with anything. A second is far from both. With the
/// longest time that it goes without an expiry ([`WARDEN_LOOK_NS`]) it is found within two.
pub const WARDEN_LIMIT_NS: u64 = 1_000_000_000;

/// The longest time for which the warden sets its timer: so often it comes round although nothing happens.
pub const WARDEN_LOOK_NS: u64 = 1_000_000_000;

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
    /// Since when the warden stands still, in nanoseconds since the node's start: when its timer expired that it did not look after
    /// within [`WARDEN_LIMIT_NS`]. 0 while it comes round.
    pub warden_still_since_ns: u64,
    /// How often that began.
    pub warden_stalls: u64,
    /// How late behind its millisecond each tick found this domain.
    pub lateness: Lateness,
    /// The longest that it took over a tick or an interrupt, from its first instruction for it to its last look at the clock, in
    /// nanoseconds: what the board's policy states of it, but for the kernel's ways in and out.
    pub longest_ns: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(nanoseconds: u64) -> Instant {
        Instant::from_nanoseconds(nanoseconds)
    }

    #[test]
    fn ticks_are_the_whole_milliseconds_of_the_clock() {
        for (now, next) in
            [(0, 0), (1, 1_000_000), (999_999, 1_000_000), (1_000_000, 1_000_000), (1_000_001, 2_000_000)]
        {
            assert_eq!(next_tick(at(now)), at(next));
        }
        assert_eq!(next_tick(at(u64::MAX)), at(u64::MAX), "no tick comes after the end of time");
        assert_eq!(tick_lateness_ns(at(7_000_300)), 300);
    }

    #[test]
    fn a_tick_is_counted_once_by_how_late_it_is() {
        for (late_ns, bucket) in [
            (0, 0),
            (999, 0),
            (1_000, 1),
            (1_999, 1),
            (2_000, 2),
            (3_999, 2),
            (32_000, 6),
            (63_999, 6),
            (64_000, 7),
            (999_999, 7),
        ] {
            let mut lateness = Lateness::default();
            lateness.count(at(5_000_000 + late_ns));
            let mut expected = [0; LATENESS_BUCKETS];
            expected[bucket] = 1;
            assert_eq!(lateness.buckets, expected, "{late_ns} ns");
        }
    }
}
