//! `cell`: one ELF, as many domains as `system.xml` says; see `runner-executor` for what a cell does.
//!
//! | channel | with | what |
//! |---|---|---|
//! | `channel_gpio` | `gpio` | calls; notified of edges |
//! | `channel_timer` | `timer` | calls; notified of expiries |
//! | `channel_i2c` | `i2c` | calls |
//! | `channel_exchange` | `exchange` | calls; notified of values and of room |
//! | `channel_warden` | `warden` | notified: the control word is new; notifies it of news |
//! | `channel_admission` | `admission` | notifies it of output; notified when there is room |
//!
//! Must never map a device, and never keep anything over a restart. Stack and heap lie in regions with nothing mapped below
//! them, so that an overflow is a fault.
#![no_std]
#![no_main]

use pd_shell::{EventLoop, Sel4Wiring, startup::restart};
use runner_executor::{Cell, DEFAULT_SLICE_FUEL, Options};
use runner_interfaces::kernel::MissingWiring;
use shared_ring::MappedMemory;

pd_shell::protection_domain! {
    heap_region: "region_heap",
    channels: ["channel_gpio", "channel_timer", "channel_exchange", "channel_i2c", "channel_warden", "channel_admission"],
    cell_channels: [],
    regions: [
        "region_control", "region_status", "region_output", "region_output_head", "region_module", "region_heap",
        "region_to_exchange", "region_from_exchange"
    ],
    cell_regions: [],
    start: |wiring: &Sel4Wiring| -> Result<EventLoop<Cell<MappedMemory>>, MissingWiring> {
        let options = Options {
            restart_entry: restart::entry().unwrap_or(0),
            slice_fuel: DEFAULT_SLICE_FUEL,
            heap_in_use: || HEAP.used_bytes() as u64,
            heap_bytes: wiring.address_and_size("region_heap").map_or(0, |(_, bytes)| bytes as u64),
        };
        Ok(EventLoop::start(Cell::new(wiring, options)?))
    },
}
