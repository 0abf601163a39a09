//! `exchange`: holds the values of the channels between containers; see `pd-exchange-driver` for what it does.
//!
//! | channel | with | what |
//! |---|---|---|
//! | `channel_cell0` … | the cells | called; notifies of a value or of room |
//! | `channel_admission` | `admission` | called: what there is, and who is bound to it |
//! | `channel_warden` | `warden` | called: lets a cell's ends go, or moves them |
//!
//! Must never wait, never allocate after its start, and never believe a caller's word about who it is.
#![no_std]
#![no_main]

use pd_exchange_driver::{Exchange, StartError};
use pd_shell::{EventLoop, Sel4Wiring};

pd_shell::protection_domain! {
    // The values: taken once at the start.
    heap_region: "region_heap",
    channels: ["channel_admission", "channel_warden"],
    cell_channels: [("channel_cell", "")],
    regions: ["region_grants", "region_status", "region_heap"],
    cell_regions: [("region_cell", "_in"), ("region_cell", "_out")],
    start: |wiring: &Sel4Wiring| -> Result<EventLoop<Exchange<Sel4Wiring>>, StartError> {
        Ok(EventLoop::start(Exchange::new(wiring)?))
    },
}
