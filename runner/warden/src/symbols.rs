//! The names by which `system.xml` gives the warden its cells.
//!
//! Spelt out at compile time, so that the warden needs no memory to make them up.

use runner_interfaces::MAX_CELLS;

/// What one cell is called in the warden's part of `system.xml`.
pub(crate) struct CellSymbols {
    pub(crate) channel: &'static str,
    pub(crate) control: &'static str,
    pub(crate) status: &'static str,
}

macro_rules! cell_symbols {
    ($($number:literal)*) => {
        [$(CellSymbols {
            channel: concat!("channel_cell", $number),
            control: concat!("region_cell", $number, "_control"),
            status: concat!("region_cell", $number, "_status"),
        }),*]
    };
}

pub(crate) const CELLS: [CellSymbols; MAX_CELLS] = cell_symbols!(0 1 2 3 4 5 6 7);

/// The status regions of the drivers, in the order of [`runner_interfaces::policy::CALLED_DOMAINS`].
pub(crate) const DRIVERS: [&str; 4] =
    ["region_gpio_status", "region_i2c_status", "region_timer_status", "region_exchange_status"];
