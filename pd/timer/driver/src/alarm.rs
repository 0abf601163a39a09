//! One timer: when it is due, and what happens when that moment has passed.

use runner_interfaces::kernel::Instant;

/// A timer that may be armed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Alarm {
    armed: Option<Armed>,
    /// When it last was due. Kept while disarmed, so that arming it over and over gains nothing.
    last_due: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Armed {
    due: Instant,
    /// Nanoseconds; 0 for a one-shot.
    period_ns: u64,
}

impl Alarm {
    /// Due at `first`, and every `period_ns` after it (0: never again), but not before `least_distance_ns` after it was last due.
    pub(crate) fn arm(&mut self, first: Instant, period_ns: u64, least_distance_ns: u64) {
        let earliest = self.last_due.map_or(first, |last| last.saturating_add(least_distance_ns));
        self.armed = Some(Armed { due: first.max(earliest), period_ns });
    }

    /// When it is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.armed.map(|armed| armed.due)
    }

    /// Not due any more.
    pub(crate) fn disarm(&mut self) {
        self.armed = None;
    }

    /// How many times it was due up to `now`: 0 where it was not. A periodic one is due again on its own grid, however late
    /// this was asked.
    pub(crate) fn expire(&mut self, now: Instant) -> u64 {
        let Some(Armed { due, period_ns }) = self.armed else { return 0 };
        if due > now {
            return 0;
        }
        let missed = now.nanoseconds_since(due).checked_div(period_ns).unwrap_or(0);
        let last = due.saturating_add(missed.saturating_mul(period_ns));
        self.last_due = Some(last);
        // Past the end of time there is no next expiry.
        self.armed = last
            .nanoseconds()
            .checked_add(period_ns)
            .filter(|_| period_ns != 0)
            .map(|next| Armed { due: Instant::from_nanoseconds(next), period_ns });
        missed.saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanoseconds: u64) -> Instant {
        Instant::from_nanoseconds(nanoseconds)
    }

    #[test]
    fn a_one_shot_expires_once() {
        let mut alarm = Alarm::default();
        alarm.arm(at(100), 0, 0);
        assert_eq!(alarm.expire(at(99)), 0);
        assert_eq!(alarm.expire(at(100)), 1);
        assert_eq!(alarm.expire(at(u64::MAX)), 0);
    }

    #[test]
    fn a_periodic_alarm_keeps_to_its_grid_however_late_it_is_looked_at() {
        let mut alarm = Alarm::default();
        alarm.arm(at(1000), 100, 0);
        let looks = [(1037, 1), (1099, 0), (1100, 1), (1455, 3), (1499, 0), (1500, 1)];
        for (now, expected) in looks {
            assert_eq!(alarm.expire(at(now)), expected, "at {now}");
        }
    }

    #[test]
    fn a_million_late_looks_do_not_drift() {
        let mut alarm = Alarm::default();
        alarm.arm(at(0), 10_000_000, 0);
        let mut expiries = 0;
        for tick in 0..1_000_000_u64 {
            // Every look is late by up to a tick, never early.
            expiries += alarm.expire(at(tick * 1_000_000 + tick * 7919 % 900_000));
        }
        assert_eq!(expiries, 100_000);
    }

    #[test]
    fn arming_over_and_over_is_no_faster_than_the_distance() {
        let mut alarm = Alarm::default();
        let mut expiries = 0;
        for now in (0..1000).step_by(10) {
            alarm.disarm();
            alarm.arm(at(now), 0, 100);
            expiries += alarm.expire(at(now));
        }
        assert_eq!(expiries, 10);
    }

    #[test]
    fn the_end_of_time_is_reached_once() {
        let mut alarm = Alarm::default();
        alarm.arm(at(u64::MAX), u64::MAX, 0);
        assert_eq!(alarm.expire(at(u64::MAX)), 1);
        assert_eq!(alarm.expire(at(u64::MAX)), 0);
        alarm.arm(at(0), 1, 0);
        assert!(alarm.expire(at(u64::MAX)) > 0, "and a long sleep over a short period takes no longer");
    }
}
