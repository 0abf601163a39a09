//! The `i2c` domain on the host: as on seL4, over the same simulated bus.

use anyhow::Result;
use pd_i2c_driver::{I2c, SimulatedBus};

use super::Shell;

pub(super) fn run(shell: Shell) -> Result<()> {
    let bus = SimulatedBus::new();
    #[cfg(feature = "hostile-domains")]
    let bus = super::hostile::bus::ToldBus::new(bus);
    let i2c = I2c::new(&shell.wiring, bus)?;
    shell.serve(i2c)
}
