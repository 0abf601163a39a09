//! `timer` on the Raspberry Pi 4: owns time and the system timer; see `pd-timer-driver` for what it does.
//!
//! | channel | with | what |
//! |---|---|---|
//! | `channel_grid` | `grid` | notified at each tick: look at the clock |
//! | `channel_system_timer` | the system timer | something is due |
//! | `channel_cell0` … | the cells | called; notifies at an expiry |
//! | `channel_warden` | `warden` | called, may release a cell's timers; notifies at an expiry |
//!
//! Must never wait, never allocate after its start, and never believe a caller's word about who it is.
#![no_std]
#![no_main]

use pd_shell::{EventLoop, Sel4Wiring, startup::device::DeviceRegisters};
use pd_timer_driver::{Registers, StartError, SystemTimer, Timer};

pd_shell::protection_domain! {
    // Symbol names while it starts.
    heap_bytes: 16 * 1024,
    channels: ["channel_grid", "channel_system_timer", "channel_warden"],
    cell_channels: [("channel_cell", "")],
    regions: ["region_system_timer", "region_grants", "region_status"],
    cell_regions: [],
    start: |wiring: &Sel4Wiring| -> Result<EventLoop<Timer<Sel4Wiring, SystemTimer<Mapped>>>, StartError> {
        let source = SystemTimer::new(Mapped(wiring.device("region_system_timer")?));
        Ok(EventLoop::start(Timer::new(wiring, source)?))
    },
}

/// The system timer's registers, where `system.xml` maps them.
struct Mapped(DeviceRegisters);

impl Registers for Mapped {
    fn read(&self, offset: usize) -> u32 {
        self.0.read(offset)
    }

    fn write(&mut self, offset: usize, value: u32) {
        self.0.write(offset, value);
    }
}
