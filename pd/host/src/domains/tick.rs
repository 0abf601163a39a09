//! The source of ticks: the host's clock, once a period at absolute times.
//!
//! Notifies `timer` and does nothing else. On seL4 the replenishment of its scheduling context does the waiting.

use anyhow::{Context, Result};
use runner_interfaces::boot_report::Finding;
use runner_interfaces::kernel::{Kernel, required_channel};
use rustix::thread::clock_nanosleep_absolute;
use rustix::time::{ClockId, Timespec};

use super::Shell;
use crate::substrate::kernel::monotonic_ns;

const NANOSECONDS_A_SECOND: u64 = 1_000_000_000;

pub(super) fn run(shell: &Shell) -> Result<()> {
    let channel = required_channel(&shell.wiring, "channel_timer")?;
    let period_ns = shell.handover.period_us.saturating_mul(1000);
    let mut kernel = shell.kernel.clone();
    shell.report(&Finding::well(format_args!("the host's clock, every {} us", shell.handover.period_us)))?;
    shell.started()?;
    loop {
        sleep_until(next_after(monotonic_ns(), period_ns).context("`tick` has no period")?)?;
        kernel.notify(channel);
    }
}

/// The next moment on the grid of the period: what was slept through is left out, not caught up.
fn next_after(now_ns: u64, period_ns: u64) -> Option<u64> {
    now_ns.checked_div(period_ns)?.checked_add(1)?.checked_mul(period_ns)
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
        assert_eq!(next_after(0, 1000), Some(1000));
        assert_eq!(next_after(999, 1000), Some(1000));
        assert_eq!(next_after(1000, 1000), Some(2000));
        assert_eq!(next_after(7_654_321, 1000), Some(7_655_000));
        assert_eq!(next_after(5, 0), None);
    }
}
