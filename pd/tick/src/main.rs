//! `tick`: wakes `grid` some microseconds before each millisecond, by the period of its own scheduling context.
//!
//! | channel | with | what |
//! |---|---|---|
//! | `channel_grid` | `grid` | notified each period |
//!
//! The generic timer cannot be used where the guest can write it, so time is cut into ticks by the one thing that nobody but
//! the kernel can touch: the replenishment of a scheduling context. `seL4_Yield` gives up what is left of the budget, and
//! the domain runs again when the period is over. The period is a little less than a millisecond and counts from where `grid`, above
//! this domain, let it go on: at the tick itself (docs/decisions/0002-tick-domain.md).
//!
//! Must never wait for anything but its period, and never read what anybody else wrote: all it maps is its own status, which
//! holds the report of its start.
#![no_std]
#![no_main]

use core::convert::Infallible;

use pd_shell::{Sel4Kernel, Sel4Wiring, boot::SelfTest, sel4, sel4_microkit::Handler};
use runner_interfaces::boot_report::Finding;
use runner_interfaces::kernel::{Channel, Kernel, MissingWiring, required_channel};

pd_shell::protection_domain! {
    // For the words of a failed start; it allocates nothing else.
    heap_bytes: 4096,
    channels: ["channel_grid"],
    cell_channels: [],
    regions: ["region_status"],
    cell_regions: [],
    start: |wiring: &Sel4Wiring| -> Result<Tick, MissingWiring> {
        Ok(Tick { grid: required_channel(wiring, "channel_grid")? })
    },
}

/// Enough that one of them is undisturbed; some milliseconds of the start.
const MEASURED_PERIODS: u32 = 5;

struct Tick {
    grid: Channel,
}

impl SelfTest for Tick {
    /// Measures some periods between replenishments. The shortest counts: the other drivers start at the same time.
    fn self_test(&mut self) -> Finding {
        let kernel = Sel4Kernel::new();
        sel4::r#yield();
        let mut before = kernel.now();
        let periods = (0..MEASURED_PERIODS).map(|_| {
            sel4::r#yield();
            let now = kernel.now();
            now.nanoseconds_since(core::mem::replace(&mut before, now)) / 1000
        });
        match periods.min() {
            None | Some(0) => Finding::wrong(format_args!("its scheduling context is not replenished by periods")),
            Some(period_us) => Finding::well(format_args!("comes every {period_us} us")),
        }
    }
}

impl Handler for Tick {
    type Error = Infallible;

    /// In place of Microkit's loop: nobody sends anything here.
    fn run(&mut self) -> Result<pd_shell::sel4_microkit::Never, Infallible> {
        let mut kernel = Sel4Kernel::new();
        loop {
            kernel.notify(self.grid);
            sel4::r#yield();
        }
    }
}
