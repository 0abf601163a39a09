//! When a container runs, and what becomes of one that takes too long.
//!
//! `admission` makes a [`Schedule`] of a manifest once it has found that all deadlines can be kept; the warden passes it on
//! with the load and has the kernel keep the budget; the cell releases the loop hook by it. Releases lie on a grid that all
//! containers of a node share: multiples of the period since the node's start, moved by the offset. So two containers keep
//! their distance, and a version that takes another's place goes on with its releases.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{kernel::Instant, wire_enum};

wire_enum! {
    /// What releases a container.
    Release {
        /// Nothing: it runs when it wants to, with what the others leave it.
        None = 0 => "none",
        /// The clock, once a period.
        Periodic = 1 => "periodic",
        /// Events that it waits for, no closer together than the period.
        Events = 2 => "events",
    }
}

wire_enum! {
    /// What becomes of a container that is not done at its deadline. The numbers are those of a manifest.
    OnOverrun {
        /// It goes on; the releases that it runs over are skipped, and counted.
        Skip = 0 => "skip",
        /// It has failed.
        Stop = 1 => "stop",
        /// It has failed, and is started again as its restart policy says, or as the one for failures where it has none.
        Restart = 2 => "restart",
    }
}

wire_enum! {
    /// Who comes first, whatever the deadlines. The numbers are those of a manifest.
    Urgency {
        /// By deadline, behind the others.
        Normal = 0 => "normal",
        /// By deadline, before what is normal.
        High = 1 => "high",
        /// By deadline, before everything else.
        Critical = 2 => "critical",
    }
}

/// Fuel of a slice of a container whose cell holds it to its budget. A slice is how late a stop can be, so it is short; and each has
/// a part of its own, which a shorter one would make the larger.
pub const SLICE_FUEL: u64 = 100;

/// Slices that a cell grants at once at the most. Whoever interrupts one is charged to the container up to what the rest of the
/// grant could have taken, so it is short as well.
pub const MOST_SLICES: u64 = 5;

/// See the module's documentation. All zero is no schedule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Schedule {
    /// Nanoseconds from release to release, or the least between two of them.
    pub period_ns: u64,
    /// Nanoseconds from a release to when its work must be done; at the most the period.
    pub deadline_ns: u64,
    /// Nanoseconds of the processor's time in each period.
    pub budget_ns: u64,
    /// Nanoseconds by which the grid of releases is moved; less than the period.
    pub offset_ns: u64,
    /// So far may a release go beyond the budget before its cell stops it, in nanoseconds: the longest that [`SLICE_FUEL`], a host call
    /// and what the cell does around a release take. 0 where the kernel alone holds the container to its budget.
    pub slice_ns: u64,
    /// The longest that [`SLICE_FUEL`] takes, in nanoseconds; 0 where nobody says so, and then it is `slice_ns`.
    pub fuel_ns: u64,
    /// The longest that the cell takes for a grant of fuel, beside the fuel, in nanoseconds.
    pub turn_ns: u64,
    /// A [`Release`].
    pub release: u32,
    /// An [`OnOverrun`].
    pub on_overrun: u32,
    /// An [`Urgency`].
    pub urgency: u32,
    /// How many calls to each of [`crate::policy::CALLED_DOMAINS`] a release may make, the first in the lowest byte. Those that the
    /// cell itself makes of the timer are among them.
    pub calls: u32,
}

impl Schedule {
    /// What releases it; a number that names nothing is no schedule.
    pub fn release(&self) -> Release {
        Release::from_wire(self.release).filter(|_| self.period_ns != 0).unwrap_or(Release::None)
    }

    /// What becomes of it when it overruns. A number that names nothing fails it.
    pub fn on_overrun(&self) -> OnOverrun {
        OnOverrun::from_wire(self.on_overrun).unwrap_or(OnOverrun::Stop)
    }

    /// How many calls to each of [`crate::policy::CALLED_DOMAINS`] a release may make.
    pub fn calls(&self) -> [u8; 4] {
        self.calls.to_le_bytes()
    }

    /// The longest that so much fuel takes which a cell grants at once.
    pub fn longest_ns(&self, fuel: u64) -> u64 {
        self.longest_more_ns(fuel.max(1)).saturating_add(self.turn_ns)
    }

    /// The longest that so much fuel takes on top of a grant.
    pub fn longest_more_ns(&self, fuel: u64) -> u64 {
        fuel.div_ceil(SLICE_FUEL).saturating_mul(self.fuel_ns_or_slice())
    }

    /// Fuel that cannot take longer than so much time, of what a cell may grant at once; a slice where the time is shorter than one.
    pub fn grant(&self, left_ns: u64) -> u64 {
        let slices = left_ns.saturating_sub(self.turn_ns).checked_div(self.fuel_ns_or_slice()).unwrap_or(0);
        slices.clamp(1, MOST_SLICES) * SLICE_FUEL
    }

    fn fuel_ns_or_slice(&self) -> u64 {
        if self.fuel_ns == 0 { self.slice_ns } else { self.fuel_ns }
    }

    /// Whether its cell holds it to budget and calls.
    pub fn is_held_by_cell(&self) -> bool {
        self.release() != Release::None && self.slice_ns != 0
    }

    /// The first release at `now` or behind it.
    pub fn release_from(&self, now: Instant) -> Instant {
        let into_grid = now.nanoseconds().saturating_sub(self.offset_ns);
        let periods = into_grid.div_ceil(self.period_ns.max(1));
        Instant::from_nanoseconds(periods.saturating_mul(self.period_ns).saturating_add(self.offset_ns))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(nanoseconds: u64) -> Instant {
        Instant::from_nanoseconds(nanoseconds)
    }

    #[test]
    fn releases_lie_on_the_nodes_grid() {
        let schedule = Schedule { period_ns: 100, offset_ns: 30, ..Schedule::default() };
        let releases = [0, 30, 31, 129, 130, 131].map(|now| schedule.release_from(at(now)).nanoseconds());
        assert_eq!(releases, [30, 30, 130, 130, 130, 230]);
    }

    #[test]
    fn what_names_nothing_is_no_schedule_and_no_leave_to_overrun() {
        let schedule = Schedule { period_ns: 1, release: 1, ..Schedule::default() };
        assert_eq!(schedule.release(), Release::Periodic);
        assert_eq!(Schedule { period_ns: 0, ..schedule }.release(), Release::None);
        assert_eq!(Schedule { release: 3, ..schedule }.release(), Release::None);
        assert_eq!(Schedule { on_overrun: 3, ..schedule }.on_overrun(), OnOverrun::Stop);
        assert_eq!(Schedule::default().release(), Release::None);
    }

    proptest! {
        #[test]
        fn no_number_makes_it_run_over(period_ns: u64, offset_ns: u64, now: u64) {
            let schedule = Schedule { period_ns, offset_ns, ..Schedule::default() };
            let release = schedule.release_from(at(now)).nanoseconds();
            // Behind the end of time there is none.
            prop_assert!(release >= now.min(offset_ns) && (release >= now || period_ns == 0 || release == u64::MAX));
        }
    }
}
