//! How often: a bucket of tokens that fills at a rate.
//!
//! A [`Rate`] is so many tokens a second. What was spent is kept in billionths of a token, so that a nanosecond earns back a
//! whole number of them at any rate: nothing is rounded, and after a year a rate is what it was after a second. All sums are
//! bounded by constants, whatever the clock or a caller says. A look at a bucket is a handful of instructions. Drivers have one
//! for each cell and line, `admission` one for each container's output.

use crate::kernel::Instant;

/// What one token is made of: a rate of 1 earns one billionth each nanosecond.
const TOKEN: u64 = 1_000_000_000;

/// The highest rate, a second, that is told from a higher one: so many that a bucket's arithmetic stays far below 64 bits.
const HIGHEST_RATE: u32 = 1_000_000;

/// What [`Rate::even`] saves up, as the fraction of a second's tokens that it is. A tenth lets a container act in bursts, and
/// shifts what a second sees by no more than that.
const SAVED_FRACTION: u32 = 10;

/// The least that can be saved up: who acts once in each period of a timer is at times early by the timer's jitter.
const LEAST_SAVED: u32 = 2;

/// How many tokens a second, and how many can be saved up. The default is none at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    per_second: u32,
    /// The most that may be spent, in billionths of a token; nothing at a rate of 0.
    limit: u64,
}

impl Rate {
    /// For what is to be even: a tenth of a second's tokens can be saved up, and at least two.
    pub const fn even(per_second: u32) -> Self {
        let per_second = bounded(per_second);
        Self::saving(per_second, per_second / SAVED_FRACTION)
    }

    /// For what comes in bursts: a second's tokens can be saved up.
    pub const fn in_bursts(per_second: u32) -> Self {
        let per_second = bounded(per_second);
        Self::saving(per_second, per_second)
    }

    /// That rate, of which so many tokens can be saved up; a few in any case.
    const fn saving(per_second: u32, saved: u32) -> Self {
        let saved = if saved > LEAST_SAVED { saved } else { LEAST_SAVED };
        Self { per_second, limit: if per_second == 0 { 0 } else { saved as u64 * TOKEN } }
    }

    /// How many tokens can be saved up.
    pub const fn saved(self) -> u64 {
        self.limit / TOKEN
    }
}

const fn bounded(per_second: u32) -> u32 {
    if per_second < HIGHEST_RATE { per_second } else { HIGHEST_RATE }
}

/// What was spent at a rate. All zero: nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Spent and not yet earned back.
    spent: u64,
    /// Up to when it was earned back.
    at: Instant,
}

impl Bucket {
    /// Takes a token, if there is one. At a rate of 0 there never is.
    #[inline]
    pub fn take(&mut self, rate: Rate, now: Instant) -> bool {
        self.earn(rate, now);
        let spent = self.spent + TOKEN;
        let may_take = spent <= rate.limit;
        if may_take {
            self.spent = spent;
        }
        may_take
    }

    /// Takes so many tokens, or as many as there are; answers how many.
    pub fn take_up_to(&mut self, wanted: u64, rate: Rate, now: Instant) -> u64 {
        self.earn(rate, now);
        let taken = wanted.min(rate.limit.saturating_sub(self.spent) / TOKEN);
        self.spent += taken * TOKEN;
        taken
    }

    /// Takes a token that may have to be earned yet: for what must happen.
    pub fn owe(&mut self, rate: Rate, now: Instant) {
        self.earn(rate, now);
        // One more than can be saved up, so that a debt is bounded too.
        self.spent = (self.spent + TOKEN).min(rate.limit + TOKEN);
    }

    /// From now on another rate counts. One that was higher before may have let more be spent.
    pub fn change(&mut self, rate: Rate) {
        self.spent = self.spent.min(rate.limit + TOKEN);
    }

    /// In how many nanoseconds there is a token; `None` where that is never.
    pub fn wait_ns(&mut self, rate: Rate, now: Instant) -> Option<u64> {
        if rate.per_second == 0 {
            return None;
        }
        self.earn(rate, now);
        let missing = (self.spent + TOKEN).saturating_sub(rate.limit);
        Some(missing.div_ceil(u64::from(rate.per_second)))
    }

    #[inline]
    fn earn(&mut self, rate: Rate, now: Instant) {
        let earned = now.nanoseconds_since(self.at).saturating_mul(u64::from(rate.per_second));
        self.spent = self.spent.saturating_sub(earned);
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const THREE: Rate = Rate::even(3);
    const TEN: Rate = Rate::even(10);
    const NEVER: Rate = Rate::even(0);

    const SECOND: u64 = 1_000_000_000;

    fn at(nanoseconds: u64) -> Instant {
        Instant::from_nanoseconds(nanoseconds)
    }

    #[test]
    fn a_year_of_three_a_second_is_not_one_too_few_or_too_many() {
        let mut bucket = Bucket::default();
        let mut taken = 0_u64;
        // Asked as soon as there is one, which is never at a whole nanosecond.
        let mut now = 0;
        let seconds = 100_000;
        while let Some(wait) = bucket.wait_ns(THREE, at(now)) {
            now += wait;
            if now > seconds * SECOND {
                break;
            }
            assert!(bucket.take(THREE, at(now)));
            taken += 1;
        }
        assert_eq!(taken, 3 * seconds + THREE.saved());
        // And a year at once earns what can be saved up, no more.
        let year = 365 * 86_400 * SECOND;
        let burst = (0..10).filter(|_| bucket.take(THREE, at(now + year))).count();
        assert_eq!(burst as u64, THREE.saved());
    }

    #[test]
    fn at_a_rate_of_nothing_there_is_never_one() {
        let mut bucket = Bucket::default();
        for now in [0, SECOND, u64::MAX] {
            assert!(!bucket.take(NEVER, at(now)));
            assert_eq!(bucket.wait_ns(NEVER, at(now)), None);
        }
    }

    #[test]
    fn what_is_owed_is_earned_before_the_next() {
        let mut bucket = Bucket::default();
        assert!(bucket.take(TEN, at(0)) && bucket.take(TEN, at(0)) && !bucket.take(TEN, at(0)));
        bucket.owe(TEN, at(0));
        assert_eq!(bucket.wait_ns(TEN, at(0)), Some(SECOND / 5));
        assert!(!bucket.take(TEN, at(SECOND / 10)) && bucket.take(TEN, at(SECOND / 5)));
    }

    proptest! {
        #[test]
        fn in_no_time_are_there_more_than_the_rate_and_what_was_saved(
            rate in 1..=2_000_000_u32,
            bursts in any::<bool>(),
            steps in proptest::collection::vec((0..3 * SECOND, 1..20_u32), 1..40),
        ) {
            let effective = u64::from(rate.min(HIGHEST_RATE));
            let rate = if bursts { Rate::in_bursts(rate) } else { Rate::even(rate) };
            let mut bucket = Bucket::default();
            let mut now = 12_345;
            let mut taken: alloc::vec::Vec<u64> = alloc::vec::Vec::new();
            for (wait, asked) in steps {
                now += wait / u64::from(asked);
                let there = bucket.take_up_to(u64::from(asked), rate, at(now));
                taken.extend((0..there).map(|_| now));
            }
            for (index, from) in taken.iter().enumerate() {
                for (count, to) in taken[index..].iter().enumerate() {
                    let allowed = u128::from(rate.saved()) * u128::from(SECOND)
                        + u128::from(to - from) * u128::from(effective);
                    prop_assert!((count as u128 + 1) * u128::from(SECOND) <= allowed);
                }
            }
        }

        #[test]
        fn whoever_waits_as_long_as_told_is_served(rate in 1..=2_000_000_u32, owed in 0..5_u32, takes in 1..50_u32) {
            let rate = Rate::even(rate);
            let mut bucket = Bucket::default();
            for _ in 0..owed {
                bucket.owe(rate, at(0));
            }
            let mut now = 0;
            for _ in 0..takes {
                let wait = bucket.wait_ns(rate, at(now)).unwrap();
                prop_assert!(wait <= 2 * SECOND);
                prop_assert!(wait == 0 || !bucket.take(rate, at(now + wait - 1)));
                now += wait;
                prop_assert!(bucket.take(rate, at(now)));
            }
        }

        #[test]
        fn no_clock_and_no_rate_makes_it_run_over(
            steps in proptest::collection::vec((any::<u64>(), any::<u32>(), any::<bool>()), 1..60),
        ) {
            let mut bucket = Bucket::default();
            for (now, rate, owes) in steps {
                let rate = if owes { Rate::in_bursts(rate) } else { Rate::even(rate) };
                if owes {
                    bucket.owe(rate, at(now));
                } else {
                    let _ = bucket.take(rate, at(now));
                }
                prop_assert!(bucket.spent <= (u64::from(HIGHEST_RATE) + 1) * TOKEN);
            }
        }
    }
}
