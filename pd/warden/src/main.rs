//! `warden`: parent of the cells; see `runner-warden` for what it does.
//!
//! | channel | with | what |
//! |---|---|---|
//! | `channel_admission` | `admission` | called; notifies it of news |
//! | `channel_cell0` … | the cells | notifies: the control word is new; notified of news |
//! | `channel_gpio`, `channel_timer` | the drivers | calls; notified when its timer expires |
//! | `channel_exchange` | `exchange` | calls: a cell's ends of channels |
//! | `child_cell0` … | the cells | their faults; stops and restarts them, and gives them budgets and priorities |
//!
//! Must never wait for anybody below it, never allocate after its start, and never resume a cell that faulted.
#![no_std]
#![no_main]

extern crate alloc;

mod cells;
mod faults;

use pd_shell::Sel4Wiring;
use runner_warden::{StartError, Warden};

use crate::{cells::CellDomains, faults::Parent};

pd_shell::protection_domain! {
    // Symbol names and words of a failed start.
    heap_bytes: 16 * 1024,
    channels: ["channel_admission", "channel_exchange", "channel_gpio", "channel_timer"],
    cell_channels: [("channel_cell", ""), ("child_cell", "")],
    regions: [
        "region_policy", "region_grants", "region_status", "region_requests", "region_gpio_status", "region_i2c_status",
        "region_timer_status", "region_exchange_status"
    ],
    cell_regions: [("region_cell", "_control"), ("region_cell", "_status")],
    start: |wiring: &Sel4Wiring| -> Result<Parent, StartError> {
        let cells = CellDomains::new(wiring);
        let warden = Warden::new(wiring, cells)?;
        if let Some(shares) = warden.shares() {
            cells.take_pool(shares);
        }
        Ok(Parent::start(warden, cells))
    },
}
