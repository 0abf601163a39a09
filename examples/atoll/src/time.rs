//! The clock, sleeps, timers, and the wait for what happens. A wait suspends the container and costs nothing.

use core::{ops::BitOr, time::Duration};

use crate::{
    Error,
    calls::{clock, sleep as sleeps, timer},
};

/// Nanoseconds; what is longer than 584 years is that.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// How long the node has been running; never goes back.
pub fn now() -> Duration {
    Duration::from_nanos(clock::now())
}

/// Suspends the container for at least so long.
///
/// # Errors
/// The `timer` domain does not answer.
pub fn sleep(duration: Duration) -> Result<(), Error> {
    sleeps::sleep_for(nanoseconds(duration)).into()
}

/// Suspends the container until [`now`] has reached `instant`; not at all where it has. A loop that adds its period to the last
/// instant keeps its rate, however long it works.
///
/// # Errors
/// As [`sleep`].
pub fn sleep_until(instant: Duration) -> Result<(), Error> {
    sleeps::sleep_until(nanoseconds(instant)).into()
}

/// What can be waited for, and what happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events(u32);

impl Events {
    /// A value came for an opened reader, or room in the queue of an opened writer.
    pub const VALUE: Self = Self(1 << 30);
    /// An edge on an opened line that is watched.
    pub const EDGE: Self = Self(1 << 31);

    /// Whether all of `events` are among these.
    #[must_use]
    pub const fn contains(self, events: Self) -> bool {
        self.0 & events.0 == events.0
    }
}

impl BitOr for Events {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Suspends the container until at least one of the events happened, and takes those that did. Empty events are waited for
/// until the container is stopped.
pub fn wait(events: Events) -> Events {
    Events(timer::wait(events.0))
}

/// A timer, disarmed when it is dropped.
#[derive(Debug)]
pub struct Timer {
    number: u32,
}

impl Timer {
    /// Arms timer `number`, 1 to 7: it expires after each period.
    ///
    /// # Errors
    /// [`Error::NotGranted`] where the period is shorter than the granted one, [`Error::NotFound`] for another number.
    pub fn every(number: u32, period: Duration) -> Result<Self, Error> {
        Self::arm(number, period, period)
    }

    /// Arms timer `number` to expire once, after so long.
    ///
    /// # Errors
    /// As [`Self::every`].
    pub fn once(number: u32, after: Duration) -> Result<Self, Error> {
        Self::arm(number, after, Duration::ZERO)
    }

    /// Timer `number`, not armed yet.
    #[must_use]
    pub const fn unarmed(number: u32) -> Self {
        Self { number }
    }

    fn arm(number: u32, first: Duration, period: Duration) -> Result<Self, Error> {
        Result::from(timer::arm(number, nanoseconds(first), nanoseconds(period))).map(|()| Self { number })
    }

    /// Arms it anew, to expire once, after so long; an expiry that was not waited for yet is forgotten.
    ///
    /// # Errors
    /// As [`Self::every`].
    pub fn restart(&self, after: Duration) -> Result<(), Error> {
        Result::from(timer::disarm(self.number))?;
        timer::arm(self.number, nanoseconds(after), 0).into()
    }

    /// Its expiry, to wait for together with others.
    #[must_use]
    pub const fn event(&self) -> Events {
        // A number beyond those of timers is never armed.
        Events(1 << (self.number % u32::BITS))
    }

    /// Waits until it expires. Expiries that nobody waited for count as one.
    pub fn wait(&self) {
        wait(self.event());
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // One that cannot be disarmed is the warden's to disarm when the container has ended.
        timer::disarm(self.number);
    }
}
