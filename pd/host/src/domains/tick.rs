//! The source of ticks: the host's clock, at its whole milliseconds.
//!
//! Notifies `grid` and does nothing else. On seL4 the replenishment of its scheduling context does the waiting, up to a little before
//! the tick; here nothing is left for `grid` to wait for.

use anyhow::Result;
use runner_interfaces::boot_report::Finding;
use runner_interfaces::kernel::{Instant, Kernel, required_channel};
use runner_interfaces::timer::{TICK_NS, next_tick};
use rustix::thread::clock_nanosleep_absolute;
use rustix::time::{ClockId, Timespec};

use super::Shell;
use crate::substrate::kernel::monotonic_ns;

const NANOSECONDS_A_SECOND: u64 = 1_000_000_000;

pub(super) fn run(shell: &Shell) -> Result<()> {
    let channel = required_channel(&shell.wiring, "channel_grid")?;
    let mut kernel = shell.kernel.clone();
    shell.report(&Finding::well(format_args!("the host's clock, every {} us", TICK_NS / 1000)))?;
    shell.started()?;
    loop {
        sleep_until(next_after(monotonic_ns()))?;
        kernel.notify(channel);
    }
}

/// The next tick behind now: what was slept through is left out, not caught up.
const fn next_after(now_ns: u64) -> u64 {
    next_tick(Instant::from_nanoseconds(now_ns.saturating_add(1))).nanoseconds()
}

fn sleep_until(moment_ns: u64) -> Result<()> {
    let moment = Timespec {
        tv_sec: i64::try_from(moment_ns / NANOSECONDS_A_SECOND)?,
        tv_nsec: i64::try_from(moment_ns % NANOSECONDS_A_SECOND)?,
    };
    // Interrupted is early, and an early tick is only a tick too many.
    match clock_nanosleep_absolute(ClockId::Monotonic, &moment) {
        Ok(()) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_lie_on_the_grid_whenever_they_are_asked_for() {
        assert_eq!(next_after(0), 1_000_000);
        assert_eq!(next_after(999_999), 1_000_000);
        assert_eq!(next_after(1_000_000), 2_000_000);
        assert_eq!(next_after(7_654_321_123), 7_655_000_000);
    }
}
