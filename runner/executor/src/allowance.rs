//! What a container may take until its next release: processor time, and calls of other domains.
//!
//! The kernel holds a cell to a budget that is larger than its container's, since that one also bridges how late a budget comes back
//! (`runner-schedule`). So the cell itself stops a container at its own budget, and everybody else's deadlines rest on that. It cannot
//! ask how much processor time it had: the clock also runs while others have the processor. It charges a grant of fuel the time that
//! it took, or the longest that so much fuel can take, whichever is less: never less than what it had, and more only of a grant
//! that somebody interrupted. So grants are small. Time that a driver worked is the driver's.
//!
//! It trusts the clock, and the board's figures of how long fuel can take.

use runner_interfaces::{
    kernel::Instant,
    policy::CALLED_DOMAINS,
    schedule::{Release, SLICE_FUEL, Schedule},
};

/// What is left, and until when.
#[derive(Debug)]
pub(crate) struct Allowance {
    schedule: Schedule,
    /// The next release. Before the first one it is in no hurry: the cell is under a share of its own, which the kernel enforces.
    until: Option<Instant>,
    left_ns: u64,
    calls_left: [u8; CALLED_DOMAINS.len()],
    /// Up to when everything is charged, while it runs.
    charged_to: Option<Instant>,
    /// Of the time since then, what other domains worked.
    called_ns: u64,
    /// The most that what runs since then can take.
    most_ns: u64,
}

/// What a container may do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// Burn so much fuel.
    Fuel(u64),
    /// Nothing until then: the time of this release is used up.
    From(Instant),
    /// What it wants to do at once takes more than the time of a release.
    Never,
}

impl Allowance {
    /// That of a container whose cell holds it to its budget.
    pub(crate) fn new(schedule: Schedule) -> Option<Self> {
        schedule.is_held_by_cell().then_some(Self {
            schedule,
            until: None,
            left_ns: 0,
            calls_left: [0; CALLED_DOMAINS.len()],
            charged_to: None,
            called_ns: 0,
            most_ns: 0,
        })
    }

    /// Work begins that was released then.
    pub(crate) fn begin(&mut self, release: Instant) {
        self.until = Some(release.saturating_add(self.schedule.period_ns));
        self.left_ns = self.schedule.budget_ns;
        self.calls_left = self.schedule.calls();
        (self.charged_to, self.called_ns) = (None, 0);
    }

    /// Where a release has passed since, there is a new allowance, whoever uses it.
    fn renew(&mut self, now: Instant) {
        let Some(until) = self.until.filter(|until| now >= *until) else { return };
        let period_ns = self.schedule.period_ns.max(1);
        let release = match self.schedule.release() {
            // On the grid.
            Release::Periodic => now.nanoseconds_since(until) / period_ns * period_ns + until.nanoseconds(),
            _ => now.nanoseconds(),
        };
        let charged_to = self.charged_to;
        self.begin(Instant::from_nanoseconds(release));
        // What a slice took that ran over the release is charged to the new one, as much as is not known to be before it.
        self.charged_to = charged_to;
    }

    /// Whether one more call of a domain, by its number in [`CALLED_DOMAINS`], may be made now. If so it is counted.
    pub(crate) fn take_call(&mut self, domain: usize, now: Instant) -> bool {
        if self.until.is_none() {
            return true;
        }
        self.renew(now);
        let Some(left) = self.calls_left.get_mut(domain) else { return true };
        match left.checked_sub(1) {
            Some(fewer) => *left = fewer,
            None => return false,
        }
        true
    }

    /// Another domain worked for the container for so long.
    pub(crate) fn note_call(&mut self, took_ns: u64) {
        self.called_ns = self.called_ns.saturating_add(took_ns);
    }

    /// What runs burnt so much more fuel than it was granted.
    pub(crate) fn note_overdraft(&mut self, fuel: u64) {
        self.most_ns = self.most_ns.saturating_add(self.schedule.longest_more_ns(fuel));
    }

    /// Charges what ran, and says what may run now that wants `needed` units of fuel at once. `most` is how many it may have in any case.
    pub(crate) fn leave(&mut self, now: Instant, needed: u64, most: u64) -> Leave {
        let Some(until) = self.charge(now) else { return Leave::Fuel(most) };
        let Schedule { slice_ns, budget_ns, .. } = self.schedule;
        let needed_ns = self.schedule.longest_ns(needed);
        if needed_ns > budget_ns.max(slice_ns) {
            return Leave::Never;
        }
        if self.left_ns == 0 || needed_ns > self.left_ns.max(slice_ns) {
            self.charged_to = None;
            return Leave::From(until);
        }
        let fuel = self.schedule.grant(self.left_ns).min(most.max(SLICE_FUEL)).max(needed);
        (self.charged_to, self.called_ns, self.most_ns) = (Some(now), 0, self.schedule.longest_ns(fuel));
        Leave::Fuel(fuel)
    }

    /// Charges what ran. What the cell does for it now is charged next.
    pub(crate) fn go_on(&mut self, now: Instant) {
        if self.charge(now).is_some() {
            (self.charged_to, self.called_ns, self.most_ns) = (Some(now), 0, self.schedule.slice_ns);
        }
    }

    /// It waits, and nothing is charged.
    pub(crate) fn rest(&mut self) {
        self.charged_to = None;
    }

    /// The next release; none before the first.
    fn charge(&mut self, now: Instant) -> Option<Instant> {
        self.until?;
        self.renew(now);
        if let Some(before) = self.charged_to.take() {
            let took_ns = now.nanoseconds_since(before).saturating_sub(self.called_ns).min(self.most_ns);
            self.left_ns = self.left_ns.saturating_sub(took_ns);
        }
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn at(ns: u64) -> Instant {
        Instant::from_nanoseconds(ns)
    }

    /// 100 us in each millisecond, a slice 10 us, two calls of the first domain.
    const SCHEDULE: Schedule = Schedule {
        period_ns: MS,
        deadline_ns: MS,
        budget_ns: 100_000,
        offset_ns: 0,
        slice_ns: 10_000,
        fuel_ns: 0,
        turn_ns: 0,
        release: Release::Periodic.to_wire(),
        on_overrun: 0,
        urgency: 0,
        calls: 2,
    };

    fn begun(schedule: Schedule, at_ns: u64) -> Allowance {
        let mut allowance = Allowance::new(schedule).expect("it is held");
        assert_eq!(allowance.leave(at(0), 0, 9999), Leave::Fuel(9999), "before the first release");
        assert!(allowance.take_call(1, at(0)));
        allowance.begin(at(at_ns));
        allowance
    }

    #[test]
    fn without_a_figure_of_a_slice_nobody_is_held() {
        assert!(Allowance::new(Schedule { slice_ns: 0, ..SCHEDULE }).is_none());
        assert!(Allowance::new(Schedule { release: 0, ..SCHEDULE }).is_none());
    }

    #[test]
    fn what_runs_is_charged_and_the_last_slice_is_short() {
        let mut allowance = begun(SCHEDULE, MS);
        assert_eq!(allowance.leave(at(MS), 0, 9999), Leave::Fuel(500), "no more at once");
        assert_eq!(allowance.leave(at(MS + 30_000), 0, 9999), Leave::Fuel(500), "it took 30 us of 100");
        assert_eq!(
            allowance.leave(at(MS + 67_000), 0, 9999),
            Leave::Fuel(300),
            "all of it cannot take longer than is left"
        );
        assert_eq!(allowance.leave(at(MS + 95_000), 0, 9999), Leave::Fuel(100), "5 us are left");
        assert_eq!(allowance.leave(at(MS + 95_001), 0, 9999), Leave::Fuel(100));
        assert_eq!(allowance.leave(at(MS + 104_000), 0, 9999), Leave::From(at(2 * MS)));
        assert_eq!(allowance.leave(at(2 * MS - 1), 0, 9999), Leave::From(at(2 * MS)));
        assert_eq!(allowance.leave(at(2 * MS), 0, 50), Leave::Fuel(100), "a new release, and no more than asked for");
    }

    #[test]
    fn each_further_slice_of_a_grant_takes_less_and_a_grant_is_short() {
        let mut allowance = begun(Schedule { fuel_ns: 2_000, turn_ns: 8_000, ..SCHEDULE }, MS);
        assert_eq!(allowance.leave(at(MS), 0, 9999), Leave::Fuel(500), "no more at once");
        // It can have taken 8 + 5 * 2 us. Somebody interrupted it for half a millisecond.
        assert_eq!((allowance.leave(at(MS + 505_000), 0, 9999), allowance.left_ns), (Leave::Fuel(500), 82_000));
        // A host call took fuel that the slice did not have, and the time for it.
        allowance.note_overdraft(1000);
        assert_eq!((allowance.leave(at(MS + 605_000), 0, 9999), allowance.left_ns), (Leave::Fuel(500), 44_000));
        assert_eq!((allowance.leave(at(MS + 633_000), 0, 9999), allowance.left_ns), (Leave::Fuel(500), 26_000));
        assert_eq!((allowance.leave(at(MS + 645_000), 0, 9999), allowance.left_ns), (Leave::Fuel(300), 14_000));
        assert_eq!(allowance.leave(at(MS + 660_000), 0, 9999), Leave::From(at(2 * MS)));
    }

    #[test]
    fn nobody_pays_for_who_interrupts_it_beyond_its_slice_nor_for_who_works_for_it() {
        let mut allowance = begun(SCHEDULE, MS);
        assert_eq!(allowance.leave(at(MS), 0, 100), Leave::Fuel(100));
        // For 500 us somebody else had the processor.
        assert_eq!((allowance.leave(at(MS + 505_000), 0, 9999), allowance.left_ns), (Leave::Fuel(500), 90_000));
        allowance.note_call(40_000);
        assert_eq!(allowance.leave(at(MS + 565_000), 0, 9999), Leave::Fuel(500));
        assert_eq!(allowance.left_ns, 70_000, "20 of 60 us were its own");
        allowance.rest();
        assert_eq!(allowance.leave(at(MS + 900_000), 0, 9999), Leave::Fuel(500));
        assert_eq!(allowance.left_ns, 70_000, "it waited");
    }

    #[test]
    fn what_cannot_be_cut_waits_for_a_release_that_has_time_for_it() {
        let mut allowance = begun(SCHEDULE, MS);
        assert_eq!(allowance.leave(at(MS), 950, 100), Leave::Fuel(950), "more than a slice, since less gets nowhere");
        assert_eq!(allowance.leave(at(MS + 60_000), 950, 100), Leave::From(at(2 * MS)));
        assert_eq!(allowance.leave(at(2 * MS), 950, 100), Leave::Fuel(950));
        assert_eq!(allowance.leave(at(2 * MS), 1001, 100), Leave::Never);
    }

    #[test]
    fn calls_are_counted_by_release() {
        let mut allowance = begun(SCHEDULE, MS);
        let mut take = |domain, at_ns| allowance.take_call(domain, at(at_ns));
        assert_eq!([take(0, MS), take(1, MS), take(0, MS), take(0, 2 * MS - 1)], [true, false, true, false]);
        assert_eq!([take(0, 2 * MS), take(0, 2 * MS), take(0, 2 * MS)], [true, true, false]);
        // On the grid, however late somebody looks.
        assert_eq!(
            [take(0, 5 * MS + 7), take(0, 6 * MS - 1), take(0, 6 * MS - 1), take(0, 6 * MS)],
            [true, true, false, true]
        );
    }

    #[test]
    fn releases_by_events_have_no_grid() {
        let mut allowance = begun(Schedule { release: Release::Events.to_wire(), ..SCHEDULE }, 700_000);
        assert!(allowance.take_call(0, at(MS)) && allowance.take_call(0, at(MS)));
        assert!(!allowance.take_call(0, at(MS + 699_999)) && allowance.take_call(0, at(3 * MS + 5)));
        allowance.charge(at(3 * MS + 6));
        assert_eq!(allowance.until, Some(at(4 * MS + 5)));
    }

    proptest::proptest! {
        /// Whatever happens, no release has more than its budget and a slice, as long as no slice takes longer than its fuel can.
        #[test]
        fn no_release_has_more_than_its_budget_and_a_slice(
            slice_ns in 1_u64..200_000, fuel_ns in 0_u64..200_000, budget_ns in 1_u64..900_000,
            steps in proptest::collection::vec((0_u64..120, 0_u64..400_000, 0_u64..3_000, proptest::bool::ANY), 1..200),
        ) {
            let fuel_ns = fuel_ns.min(slice_ns);
            let turn_ns = if fuel_ns == 0 { 0 } else { slice_ns - fuel_ns };
            let schedule = Schedule { slice_ns, fuel_ns, turn_ns, budget_ns, ..SCHEDULE };
            let mut allowance = begun(schedule, MS);
            let (mut now_ns, mut release_ns, mut had_ns) = (MS, MS, 0_u64);
            for (percent, others_ns, needed, rests) in steps {
                match allowance.leave(at(now_ns), needed, 10_000) {
                    Leave::Fuel(fuel) => {
                        let takes_ns = schedule.longest_ns(fuel) * percent.min(100) / 100;
                        if now_ns / MS != release_ns / MS {
                            (release_ns, had_ns) = (now_ns, 0);
                        }
                        had_ns += takes_ns;
                        proptest::prop_assert!(had_ns <= budget_ns.max(slice_ns) + slice_ns, "{had_ns}");
                        now_ns += takes_ns + others_ns;
                    }
                    Leave::From(until) => {
                        proptest::prop_assert!(until > at(now_ns));
                        now_ns = until.nanoseconds();
                    }
                    Leave::Never => proptest::prop_assert!(needed > 0),
                }
                if rests {
                    allowance.go_on(at(now_ns));
                    allowance.rest();
                }
            }
        }
    }
}
