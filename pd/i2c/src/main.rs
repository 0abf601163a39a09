//! `i2c`: owns the bus, which is a simulated one so far; see `pd-i2c-driver` for what it does.
//!
//! | channel | with | what |
//! |---|---|---|
//! | `channel_cell0` … | the cells | called |
//!
//! Must never wait, never allocate after its start, and never believe a caller's word about who it is.
#![no_std]
#![no_main]

use pd_i2c_driver::{I2c, SimulatedBus, StartError};
use pd_shell::{EventLoop, Sel4Wiring};

pd_shell::protection_domain! {
    // Symbol names while it starts.
    heap_bytes: 16 * 1024,
    channels: [],
    cell_channels: [("channel_cell", "")],
    regions: ["region_grants", "region_status"],
    cell_regions: [],
    start: |wiring: &Sel4Wiring| -> Result<EventLoop<I2c<Sel4Wiring, SimulatedBus>>, StartError> {
        Ok(EventLoop::start(I2c::new(wiring, SimulatedBus::new())?))
    },
}
