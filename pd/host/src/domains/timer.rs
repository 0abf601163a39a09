//! The `timer` domain on the host: ticks from `tick`, time from the host's clock.

use anyhow::Result;
use pd_timer_driver::{PeriodicTicks, Timer};

use super::Shell;

pub(super) fn run(shell: Shell) -> Result<()> {
    let timer = Timer::new(&shell.wiring, PeriodicTicks)?;
    shell.serve(timer)
}
