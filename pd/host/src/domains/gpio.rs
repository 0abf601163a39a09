//! The `gpio` domain on the host: the driver over a simulated bank, whose pins a person or a test reads and moves.

use anyhow::{Context, Result};
use pd_gpio_driver::Gpio;
use runner_interfaces::kernel::required_channel;

use super::Shell;
use super::simulated_bank::SimulatedBank;
use crate::run_directory::PINS_SOCKET;

pub(super) fn run(shell: Shell) -> Result<()> {
    let interrupt = required_channel(&shell.wiring, "channel_interrupt")?;
    let (labels, epoch_ns) = (shell.handover.labels.clone(), shell.handover.epoch_ns);
    let bank = SimulatedBank::new(shell.kernel.interrupt(interrupt)?, labels, epoch_ns);
    let socket = shell.run_directory().join(PINS_SOCKET);
    // Before the domain gets its priority: what plays the outside must not run above the containers.
    bank.listen_at(&socket).with_context(|| format!("cannot listen at {}", socket.display()))?;
    let gpio = Gpio::new(&shell.wiring, bank)?;
    shell.serve(gpio)
}
