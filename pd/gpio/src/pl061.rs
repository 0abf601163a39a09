//! `gpio` on a board with a PL061: owns the bank; see `pd-gpio-driver` for what it does.
//!
//! | channel | with | what |
//! |---|---|---|
//! | `channel_interrupt` | the bank | an edge on a watched line |
//! | `channel_cell0` … | the cells | called; notifies at an edge |
//! | `channel_warden` | `warden` | called, may release a cell's lines |
//!
//! Must never wait, never allocate after its start, and never believe a caller's word about who it is.
#![no_std]
#![no_main]

mod mapped;

use pd_gpio_driver::{Gpio, StartError, device::Pl061};
use pd_shell::{EventLoop, Sel4Wiring};

use crate::mapped::Mapped;

pd_shell::protection_domain! {
    // Symbol names while it starts.
    heap_bytes: 16 * 1024,
    channels: ["channel_interrupt", "channel_warden"],
    cell_channels: [("channel_cell", "")],
    regions: ["region_registers", "region_grants", "region_status"],
    cell_regions: [],
    start: |wiring: &Sel4Wiring| -> Result<EventLoop<Gpio<Sel4Wiring, Pl061<Mapped>>>, StartError> {
        let bank = Pl061::new(Mapped(wiring.device("region_registers")?));
        Ok(EventLoop::start(Gpio::new(wiring, bank)?))
    },
}
