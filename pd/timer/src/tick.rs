//! `timer` on a board without a timer that is its own: owns time; see `pd-timer-driver` for what it does.
//!
//! | channel | with | what |
//! |---|---|---|
//! | `channel_grid` | `grid` | notified at each tick: look at the clock |
//! | `channel_cell0` … | the cells | called; notifies at an expiry |
//! | `channel_warden` | `warden` | called, may release a cell's timers; notifies at an expiry |
//!
//! Must never wait, never allocate after its start, and never believe a caller's word about who it is.
#![no_std]
#![no_main]

use pd_shell::{EventLoop, Sel4Wiring};
use pd_timer_driver::{PeriodicTicks, StartError, Timer};

pd_shell::protection_domain! {
    // Symbol names while it starts.
    heap_bytes: 16 * 1024,
    channels: ["channel_grid", "channel_warden"],
    cell_channels: [("channel_cell", "")],
    regions: ["region_grants", "region_status"],
    cell_regions: [],
    start: |wiring: &Sel4Wiring| -> Result<EventLoop<Timer<Sel4Wiring, PeriodicTicks>>, StartError> {
        Ok(EventLoop::start(Timer::new(wiring, PeriodicTicks)?))
    },
}
