//! The `exchange` domain on the host: as on seL4, with the values in this process's memory.

use anyhow::Result;
use pd_exchange_driver::Exchange;

use super::Shell;

pub(super) fn run(shell: Shell) -> Result<()> {
    let exchange = Exchange::new(&shell.wiring)?;
    shell.serve(exchange)
}
