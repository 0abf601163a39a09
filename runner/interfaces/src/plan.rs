//! How a container's life is to go: limits of its hooks, when it has lived long enough, what follows its end.
//!
//! `admission` makes a [`Plan`] of a manifest and asks for it with the rights of a load; the warden cuts it down to what the
//! board allows and carries it out, so that a container comes back although Linux, the link and `admission` are gone.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    grants::{CellGrants, LineRates},
    schedule::Schedule,
    wire_enum,
};

wire_enum! {
    /// When a container is started again without being asked. The numbers are those of a manifest.
    RestartPolicy {
        /// Never.
        Never = 0 => "never",
        /// When it failed.
        OnFailure = 1 => "on-failure",
        /// Whenever it ended and nobody wanted that: it failed, or came to its end by itself.
        Always = 2 => "always",
    }
}

wire_enum! {
    /// Why a container is at its end, or on its way there, although nothing failed.
    EndCause {
        /// Nothing ended it: it lives, or failed.
        None = 0 => "",
        /// It came to its end by itself.
        Finished = 1 => "finished",
        /// It was asked to stop.
        Stopped = 2 => "stopped on request",
        /// It has lived as long as its manifest says.
        Lifetime = 3 => "its lifetime was over",
        /// Another version took its place.
        Replaced = 4 => "replaced by another version",
    }
}

/// The shortest wait before a container is started again, whatever its manifest says.
///
/// Starting a domain clean zeroes its heap of 16 MiB in the warden's time, some ten milliseconds. Ten of these a second are a
/// tenth of a processor, which is the most that a container that fails at once may cost.
pub const SHORTEST_BACK_OFF_NS: u64 = 100_000_000;

/// The longest wait where a manifest names none: long enough to be no load, short enough that a person who mended the cause
/// sees the container come back.
pub const DEFAULT_LONGEST_BACK_OFF_NS: u64 = 10_000_000_000;

/// New starts in a row where a manifest names no number. With waits of 0.1, 0.2, 0.4, 0.8 and 1.6 s it is given up within
/// seconds of an error that does not pass.
pub const DEFAULT_ATTEMPTS: u32 = 5;

/// A container that ran for so long after its start is taken to be well: its next failure begins the count anew.
pub const WELL_AFTER_NS: u64 = 10_000_000_000;

/// See the module's documentation. 0 leaves a limit to the board, and means "no end" where the board has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Plan {
    /// It is stopped after so many calls of its loop hook.
    pub loops: u64,
    /// It is stopped so many nanoseconds after its first instruction.
    pub time_ns: u64,
    /// The wait before the first new start; it doubles with each that follows in a row.
    pub first_back_off_ns: u64,
    /// The longest wait.
    pub longest_back_off_ns: u64,
    /// The longest that the start function and the start hook may take each, in microseconds.
    pub start_limit_us: u32,
    /// The longest that one call of the loop hook may take, waiting included, in microseconds.
    pub loop_limit_us: u32,
    /// The longest that the stop hook may take, in microseconds.
    pub stop_limit_us: u32,
    /// The most linear memory, in bytes.
    pub memory_limit_bytes: u32,
    /// A [`RestartPolicy`].
    pub restart_policy: u32,
    /// New starts in a row before it is given up.
    pub restart_attempts: u32,
    /// The class that its cell is under while it runs, counted from 1; 0 for the cell's own share.
    pub class: u32,
    /// The priority that its cell has while it runs under a class.
    pub priority: u32,
    /// When it runs.
    pub schedule: Schedule,
}

/// What `admission` asks the warden for with a load. Entries lie where the grants of a cell lie
/// ([`crate::grants::grant_offset_bytes`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LoadRequest {
    /// Rights.
    pub grants: CellGrants,
    /// Life.
    pub plan: Plan,
    /// How often what the rights allow may be done.
    pub rates: LineRates,
}

const _: () =
    assert!(size_of::<LoadRequest>() <= crate::grants::GRANT_STRIDE_BYTES, "one entry does not reach the next");

impl Plan {
    /// The plan within the board's limits for hooks and memory, with every number that has a default filled in.
    #[must_use]
    pub fn within(self, hook_limit_us: u32, memory_limit_bytes: u32) -> Self {
        let at_most = |asked: u32, limit: u32| if asked == 0 { limit } else { asked.min(limit) };
        let first_back_off_ns = self.first_back_off_ns.max(SHORTEST_BACK_OFF_NS);
        let longest =
            if self.longest_back_off_ns == 0 { DEFAULT_LONGEST_BACK_OFF_NS } else { self.longest_back_off_ns };
        Self {
            first_back_off_ns,
            longest_back_off_ns: longest.max(first_back_off_ns),
            start_limit_us: at_most(self.start_limit_us, hook_limit_us),
            stop_limit_us: at_most(self.stop_limit_us, hook_limit_us),
            memory_limit_bytes: at_most(self.memory_limit_bytes, memory_limit_bytes),
            restart_attempts: if self.restart_attempts == 0 { DEFAULT_ATTEMPTS } else { self.restart_attempts },
            ..self
        }
    }

    /// When it is started again. A number that names no policy means never.
    pub fn policy(&self) -> RestartPolicy {
        RestartPolicy::from_wire(self.restart_policy).unwrap_or(RestartPolicy::Never)
    }

    /// How long to wait before a new start that follows on `in_a_row` others; `None` where it is given up.
    pub fn back_off_ns(&self, in_a_row: u32) -> Option<u64> {
        if in_a_row >= self.restart_attempts {
            return None;
        }
        let factor = 1u64.checked_shl(in_a_row).unwrap_or(u64::MAX);
        Some(self.first_back_off_ns.saturating_mul(factor).min(self.longest_back_off_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_board_cuts_down_and_fills_in() {
        let board = Plan::default().within(500, 1 << 20);
        assert_eq!((board.start_limit_us, board.stop_limit_us, board.loop_limit_us), (500, 500, 0));
        assert_eq!((board.memory_limit_bytes, board.restart_attempts), (1 << 20, DEFAULT_ATTEMPTS));
        assert_eq!(board.first_back_off_ns, SHORTEST_BACK_OFF_NS);
        let asked = Plan { start_limit_us: 501, stop_limit_us: 499, memory_limit_bytes: 7, ..Plan::default() };
        let cut = asked.within(500, 1 << 20);
        assert_eq!((cut.start_limit_us, cut.stop_limit_us, cut.memory_limit_bytes), (500, 499, 7));
    }

    #[test]
    fn waits_double_up_to_the_longest_and_have_an_end() {
        let plan = Plan {
            first_back_off_ns: SHORTEST_BACK_OFF_NS,
            longest_back_off_ns: 3 * SHORTEST_BACK_OFF_NS,
            restart_attempts: 100,
            ..Plan::default()
        }
        .within(1, 1);
        let waits: [_; 4] = core::array::from_fn(|row| plan.back_off_ns(u32::try_from(row).unwrap()).unwrap());
        assert_eq!(waits.map(|wait| wait / SHORTEST_BACK_OFF_NS), [1, 2, 3, 3]);
        assert_eq!(plan.back_off_ns(99), Some(3 * SHORTEST_BACK_OFF_NS));
        assert_eq!(plan.back_off_ns(100), None);
    }

    #[test]
    fn the_longest_wait_is_never_below_the_first() {
        let plan = Plan { longest_back_off_ns: 1, ..Plan::default() }.within(1, 1);
        assert_eq!(plan.back_off_ns(0), Some(SHORTEST_BACK_OFF_NS));
    }
}
