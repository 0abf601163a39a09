//! What wakes the domain so that it looks at the clock.
//!
//! Every board has the `tick` domain's notification once a millisecond. A board with a timer that nobody else can write has
//! that as well, and then a tick is the safety net under it: an interrupt that does not come costs precision, is counted, and
//! loses no expiry.

use runner_interfaces::boot_report::Finding;
use runner_interfaces::kernel::{Instant, Kernel};

/// A source of interrupts beside the ticks.
pub trait TickSource {
    /// Whether [`TickSource::arm`] is of use: finding out what is due next costs a look at every timer.
    fn can_be_armed(&self) -> bool;

    /// Interrupts at `due` or soon after it, and at nothing that was asked for before.
    fn arm(&mut self, due: Instant, now: Instant);

    /// Takes an interrupt back, before what is due is looked for.
    fn acknowledge(&mut self);

    /// Whether an interrupt that was asked for should long have come.
    fn is_overdue(&self) -> bool;

    /// Whether the device is there and runs as fast as the clock; `None` where there is no device.
    fn check<K: Kernel>(&mut self, kernel: &K) -> Option<Finding>;
}

/// No device: ticks alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct PeriodicTicks;

impl TickSource for PeriodicTicks {
    fn can_be_armed(&self) -> bool {
        false
    }
    fn arm(&mut self, _: Instant, _: Instant) {}
    fn acknowledge(&mut self) {}
    fn is_overdue(&self) -> bool {
        false
    }
    fn check<K: Kernel>(&mut self, _: &K) -> Option<Finding> {
        None
    }
}
