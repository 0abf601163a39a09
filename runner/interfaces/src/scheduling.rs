//! Shares of the processor: what a cell has of its own, and the pool of classes that a container can be given instead.
//!
//! A budget in the kernel is fixed when the image is made (Microkit gives nobody the right to change one). So `system.xml` has a pool of
//! scheduling contexts, the *classes*, and the warden puts a cell under one of them while its container runs
//! (docs/decisions/0009-scheduling-classes.md). [`Shares`] stands at the head of the policy region: both `admission`, which computes
//! with it, and the warden, which carries it out, read the same numbers that the kernel enforces.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{MAX_CELLS, policy::CALLED_DOMAINS};

/// The most classes that the table has room for. `system.xml` says how many there are.
pub const MAX_CLASSES: usize = 32;

/// The least that must be left of a budget whenever a domain enters the kernel, in microseconds: seL4's least budget, twice
/// its longest way through itself (`MIN_BUDGET_US`, with `KERNEL_WCET` of 10 µs on the boards). A class with less than this more than
/// what its container needs ends it early.
pub const LEAST_REMAINDER_US: u32 = 20;

/// The slot of a class's scheduling context in the warden's `<cspace>`. The tool patches no symbol for a slot, so these stand here,
/// and a rule holds `system.xml` to them.
#[allow(clippy::cast_possible_truncation, reason = "there are no more classes than slots")]
pub const fn class_slot(class: usize) -> u8 {
    assert!(class < MAX_CLASSES);
    1 + class as u8
}

/// The slot of a cell's own scheduling context there, behind the classes.
#[allow(clippy::cast_possible_truncation, reason = "there are no more cells than slots")]
pub const fn cell_slot(cell: usize) -> u8 {
    assert!(cell < MAX_CELLS);
    class_slot(MAX_CLASSES - 1) + 1 + cell as u8
}

/// The slot of the warden's own thread there: the last one (Microkit 2.3 has 64).
pub const WARDEN_THREAD_SLOT: u8 = 63;

const _: () = assert!(cell_slot(MAX_CELLS - 1) < WARDEN_THREAD_SLOT, "each has a slot of its own");

/// Priorities that a cell may have.
pub const CELL_PRIORITIES: core::ops::RangeInclusive<u8> = 100..=200;

/// A scheduling context: so much processor time in each period. All zero where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Share {
    /// Processor time in each period, in microseconds.
    pub budget_us: u32,
    /// The period, in microseconds.
    pub period_us: u32,
    /// The number by which the kernel tells whose budget is used up (seL4: the scheduling context's badge).
    pub badge: u32,
    /// The priority that a cell has under a share of its own; 0 for a class, which leaves it to the plan.
    pub priority: u32,
    /// The core that its processor time is on. A cell is there while it is under the share (docs/decisions/0010-cores.md).
    pub core: u32,
}

impl Share {
    /// Whether there is one.
    pub const fn is_present(&self) -> bool {
        self.period_us != 0
    }

    /// Whether it takes less of the processor than `other`; of two that take the same, the one with the longer period.
    fn is_smaller_than(&self, other: &Self) -> bool {
        let cross = |budget: u32, period: u32| u64::from(budget) * u64::from(period);
        let (own, others) = (cross(self.budget_us, other.period_us), cross(other.budget_us, self.period_us));
        own < others || (own == others && self.period_us > other.period_us)
    }
}

/// Every share that there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Shares {
    /// By class.
    pub classes: [Share; MAX_CLASSES],
    /// What each cell has of its own.
    pub cells: [Share; MAX_CELLS],
    /// What the board says that a call to each of [`CALLED_DOMAINS`] takes, in nanoseconds; 0 where it says nothing.
    pub call_ns: [u32; CALLED_DOMAINS.len()],
}

impl Shares {
    /// A board without a share for anybody.
    pub const NONE: Self = {
        let none = Share { budget_us: 0, period_us: 0, badge: 0, priority: 0, core: 0 };
        Self { classes: [none; MAX_CLASSES], cells: [none; MAX_CELLS], call_ns: [0; CALLED_DOMAINS.len()] }
    };

    /// The class that takes least of the processor among those that fit.
    pub fn smallest_class(&self, fits: impl Fn(usize, &Share) -> bool) -> Option<usize> {
        let mut found: Option<usize> = None;
        for (class, share) in self.classes.iter().enumerate().filter(|(_, share)| share.is_present()) {
            let is_better = found.is_none_or(|best| share.is_smaller_than(&self.classes[best]));
            if is_better && fits(class, share) {
                found = Some(class);
            }
        }
        found
    }

    /// The class whose budget the kernel says is used up.
    pub fn class_of_badge(&self, badge: u64) -> Option<usize> {
        self.classes.iter().position(|share| share.is_present() && u64::from(share.badge) == badge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(budget_us: u32, period_us: u32) -> Share {
        Share { budget_us, period_us, ..Share::default() }
    }

    fn shares(classes: &[Share]) -> Shares {
        let mut shares = Shares::default();
        shares.classes[..classes.len()].copy_from_slice(classes);
        shares
    }

    #[test]
    fn the_smallest_class_that_fits_and_is_free_is_found() {
        let shares =
            shares(&[share(100, 1000), share(200, 1000), share(300, 5000), share(100, 1000), share(500, 5000)]);
        assert_eq!(shares.smallest_class(|_, share| share.period_us <= 1000), Some(0));
        assert_eq!(shares.smallest_class(|class, share| share.period_us <= 1000 && class != 0), Some(3));
        assert_eq!(shares.smallest_class(|_, share| share.budget_us > 100 && share.period_us <= 1000), Some(1));
        assert_eq!(shares.smallest_class(|_, _| true), Some(2), "6 % are less than 10 %");
        assert_eq!(shares.smallest_class(|class, _| class != 2), Some(4), "of two with 10 % the longer period");
        assert_eq!(shares.smallest_class(|_, _| false), None);
        assert_eq!(Shares::default().smallest_class(|_, _| true), None, "an absent class is none");
    }

    #[test]
    fn a_badge_is_that_of_one_class_and_no_absent_one() {
        let mut shares = shares(&[share(100, 1000), share(200, 1000)]);
        (shares.classes[0].badge, shares.classes[1].badge) = (0x111, 0x112);
        assert_eq!(shares.class_of_badge(0x112), Some(1));
        assert_eq!(shares.class_of_badge(0), None);
        assert_eq!(shares.class_of_badge(0x1_0000_0112), None);
    }
}
