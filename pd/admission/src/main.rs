//! `admission`: talks to the outside; see `runner-admission` for what it does.
//!
//! | channel | with | what |
//! |---|---|---|
//! | `channel_vmm` | `vmm` | both ways: a ring of the link has something new |
//! | `channel_warden` | `warden` | calls; notified of news |
//! | `channel_exchange` | `exchange` | calls: channels between containers, and who is bound to them |
//! | `channel_cell0` … | the cells | notified of output and news; notifies of room |
//!
//! Must never be relied on for a deadline: whatever the outside does costs this domain's budget and nobody else's.
#![no_std]
#![no_main]

use pd_shell::{EventLoop, Sel4Wiring};
use runner_admission::{Admission, Options, StartError};
use shared_ring::MappedMemory;

pd_shell::protection_domain! {
    // `runner-admission` says how much it may need.
    heap_region: "region_heap",
    channels: ["channel_vmm", "channel_warden", "channel_exchange"],
    cell_channels: [("channel_cell", "")],
    regions: [
        "region_status", "region_policy", "region_keys", "region_requests", "region_warden_status", "region_gpio_status", "region_timer_status", "region_exchange_status",
        "region_i2c_status",
        "region_link_in", "region_link_in_head", "region_link_out", "region_link_out_head", "region_heap"
    ],
    cell_regions: [
        ("region_cell", "_module"), ("region_cell", "_status"), ("region_cell", "_output"),
        ("region_cell", "_output_head")
    ],
    start: |wiring: &Sel4Wiring| -> Result<EventLoop<Admission<MappedMemory>>, StartError> {
        let options = Options { substrate: "seL4 Microkit".into(), fault_name };
        Ok(EventLoop::start(Admission::new(wiring, options)?))
    },
}

/// seL4's name for a fault's label (libsel4, `seL4_Fault_tag`).
fn fault_name(label: u64) -> &'static str {
    match label {
        1 => "capability fault",
        2 => "unknown system call",
        3 => "user exception",
        4 => "debug exception",
        5 => "timeout",
        6 => "memory fault",
        _ => "",
    }
}
