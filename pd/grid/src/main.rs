//! `grid`: holds the ticks to the counter, at its whole milliseconds.
//!
//! | channel | with | what |
//! |---|---|---|
//! | `channel_tick` | `tick` | notified: the next tick is due in some microseconds |
//! | `channel_timer` | `timer` | notified at the tick |
//!
//! `tick` comes a little early. This domain, above it, waits for the counter, notifies `timer`, and lets `tick` go on: from that
//! moment the kernel counts `tick`'s next period (docs/decisions/0002-tick-domain.md). So the early coming is the same each
//! time, and the ticks lie where the counter says, without drift.
//!
//! Must never wait for longer than [`LONGEST_WAIT_NS`], and never read what anybody else wrote: all it maps is its own status, which
//! holds the report of its start.
#![no_std]
#![no_main]

use core::convert::Infallible;

use pd_shell::{
    Sel4Kernel, Sel4Wiring,
    boot::SelfTest,
    sel4_microkit::{ChannelSet, Handler},
};
use runner_interfaces::boot_report::Finding;
use runner_interfaces::kernel::{Channel, Instant, Kernel, MissingWiring, required_channel};
use runner_interfaces::timer::next_tick;

pd_shell::protection_domain! {
    // For the words of a failed start; it allocates nothing else.
    heap_bytes: 4096,
    channels: ["channel_tick", "channel_timer"],
    cell_channels: [],
    regions: ["region_status"],
    cell_regions: [],
    start: |wiring: &Sel4Wiring| -> Result<Grid, MissingWiring> {
        required_channel(wiring, "channel_tick")?;
        Ok(Grid { timer: required_channel(wiring, "channel_timer")? })
    },
}

/// The longest wait, at the highest priority: longer than `tick` ever comes early, and so short that the budget outlasts it.
///
/// Only a tick that was delayed by more than it comes early is farther from the next whole millisecond: at the start, and under an
/// emulator that stood still. It is passed on at once, and each such tick is nearer to the grid than the one before.
const LONGEST_WAIT_NS: u64 = 26_000;

/// For how long the self-test waits.
const TESTED_WAIT_NS: u64 = 10_000;

/// How late the end of a wait may be seen: far more than two looks at the counter take on any of the boards.
const MOST_LATENESS_NS: u64 = 5_000;

struct Grid {
    timer: Channel,
}

impl SelfTest for Grid {
    fn self_test(&mut self) -> Finding {
        let kernel = Sel4Kernel::new();
        let moment = kernel.now().saturating_add(TESTED_WAIT_NS);
        kernel.wait_until(moment);
        match kernel.now().nanoseconds_since(moment) {
            late_ns if late_ns <= MOST_LATENESS_NS => {
                Finding::well(format_args!("sees a moment {late_ns} ns after it is there"))
            }
            late_ns => Finding::wrong(format_args!("sees a moment {late_ns} ns after it is there")),
        }
    }
}

impl Handler for Grid {
    type Error = Infallible;

    /// Only `tick` notifies this domain.
    fn notified(&mut self, _: ChannelSet) -> Result<(), Infallible> {
        let mut kernel = Sel4Kernel::new();
        let now = kernel.now();
        let moment: Instant = next_tick(now);
        if moment.nanoseconds_since(now) <= LONGEST_WAIT_NS {
            kernel.wait_until(moment);
        }
        kernel.notify(self.timer);
        Ok(())
    }
}
