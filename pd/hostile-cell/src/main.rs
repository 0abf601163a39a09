//! `hostile-cell`: stands in for a cell whose container broke out of its engine. For the system tests only; `cargo xtask image`
//! neither compiles it nor lets a description name it.
//!
//! It has exactly what `system.xml` gives the cell that it replaces. Told to run a container, it says that it does. One called
//! `calls-N` goes through [`calls`] with whatever rights it was granted, and then commits fault N of [`faults`]; one called `fault-N`
//! does only that. What comes of it is looked at from outside: at the registers of the devices, and by whoever goes on.
//!
//! | channel | with | what |
//! |---|---|---|
//! | all that a cell has | everybody | calls and notifications that no cell would make |
//! | all others | nobody | the same |
#![no_std]
#![no_main]

extern crate alloc;

mod calls;
mod faults;

use alloc::format;

use pd_shell::boot::SelfTest;
use pd_shell::sel4_microkit::{ChannelSet, Handler, Infallible};
use pd_shell::startup::restart;
use pd_shell::{Sel4Kernel, Sel4Wiring};
use runner_interfaces::boot_report::Finding;
use runner_interfaces::cell::{CellControl, CellStatus, Command, ContainerState};
use runner_interfaces::kernel::{Channel, Kernel, MissingWiring, required_channel, required_region};
use shared_ring::{MappedMemory, SequencedCell, SharedMemory, SharedValues};

pd_shell::protection_domain! {
    heap_region: "region_heap",
    channels: ["channel_gpio", "channel_timer", "channel_exchange", "channel_i2c", "channel_warden", "channel_admission"],
    cell_channels: [],
    regions: [
        "region_control", "region_status", "region_output", "region_output_head", "region_module", "region_heap",
        "region_to_exchange", "region_from_exchange"
    ],
    cell_regions: [],
    start: Hostile::new,
}

/// Calls between two signs of life.
const CALLS_A_BEAT: u64 = 64;

/// How long it lives at the least: whoever deployed it learns that it runs, and not that it cannot be started.
const LIFE_NS: u64 = 300_000_000;

/// The head of the configuration, with the container's name in it: a length, and the bytes (`postcard`).
const NAME_BYTES: usize = 16;

struct Hostile {
    wiring: Sel4Wiring,
    kernel: Sel4Kernel,
    control: SequencedCell<MappedMemory, CellControl>,
    status: SequencedCell<MappedMemory, CellStatus>,
    shown: CellStatus,
    told: [Channel; 2],
}

impl Hostile {
    fn new(wiring: &Sel4Wiring) -> Result<Self, MissingWiring> {
        let cell = |symbol| {
            let missing = MissingWiring { symbol: format!("{symbol} of that size") };
            SequencedCell::new(required_region(wiring, symbol)?, 0).map_err(|_| missing)
        };
        let mut status = SequencedCell::new(required_region(wiring, "region_status")?, 0)
            .map_err(|_| MissingWiring { symbol: "region_status of that size".into() })?;
        let kernel = Sel4Kernel::new();
        let [a, b, c, d, ..] = kernel.now().nanoseconds().to_le_bytes();
        status.continue_after(u32::from_le_bytes([a, b, c, d]));
        // A life begins with zeros there.
        let zeros: CellStatus = required_region(wiring, "region_status")?
            .read_value(0)
            .map_err(|_| MissingWiring { symbol: "region_status of that size".into() })?;
        let shown = CellStatus { restart_entry: restart::entry().unwrap_or(0), ..zeros };
        let mut hostile = Self {
            wiring: *wiring,
            kernel,
            control: cell("region_control")?,
            status,
            shown,
            told: [required_channel(wiring, "channel_warden")?, required_channel(wiring, "channel_admission")?],
        };
        hostile.show();
        hostile.obey();
        Ok(hostile)
    }

    fn show(&mut self) {
        self.shown.heartbeat += 1;
        self.shown.heartbeat_ns = self.kernel.now().nanoseconds();
        self.status.write(&self.shown);
    }

    /// Says that a container is in `state`.
    fn say(&mut self, state: ContainerState) {
        self.shown.state = state.to_wire();
        self.show();
        for channel in self.told {
            self.kernel.notify(channel);
        }
    }

    /// Takes a load for its cue.
    fn obey(&mut self) {
        let Some(control) = self.control.try_read() else { return };
        let runs = matches!(Command::from_wire(control.command), Some(Command::Load | Command::Run));
        if !runs || control.generation == 0 || control.generation == self.shown.generation {
            return;
        }
        self.shown.generation = control.generation;
        let now = self.kernel.now().nanoseconds();
        (self.shown.load_began_ns, self.shown.installed_ns) = (now, now);
        (self.shown.started_ns, self.shown.ready_ns) = (now, now);
        self.say(ContainerState::Running);
        let (makes_calls, fault) = self.cue();
        if makes_calls {
            self.shown.host_calls = self.make_every_call();
        }
        while self.kernel.now().nanoseconds() < now + LIFE_NS {
            self.show();
        }
        faults::commit(fault, &self.wiring);
        // Here is only who survived it, and the tests see that it has not failed.
        self.say(ContainerState::Ready);
    }

    /// What the container's name asks for: whether to make calls, and the number of the fault.
    fn cue(&self) -> (bool, usize) {
        let mut head = [0; NAME_BYTES];
        let region = required_region(&self.wiring, "region_module").ok();
        // A region that is not there is a name that says nothing.
        let _ = region.map(|region| region.read(1, &mut head));
        let digits = head.iter().skip("calls-".len()).take_while(|byte| byte.is_ascii_digit());
        let number = digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'));
        (head.starts_with(b"calls-"), number)
    }

    fn make_every_call(&mut self) -> u64 {
        let mut made = 0;
        calls::make_all(&mut || {
            made += 1;
            if made % CALLS_A_BEAT == 0 {
                // So that nobody takes it for dead.
                self.shown.host_calls = made;
                self.show();
            }
        });
        made
    }
}

impl SelfTest for Hostile {
    fn self_test(&mut self) -> Finding {
        Finding::well(format_args!("taken over, for a test"))
    }
}

impl Handler for Hostile {
    type Error = Infallible;

    fn notified(&mut self, _: ChannelSet) -> Result<(), Infallible> {
        self.obey();
        self.show();
        Ok(())
    }
}
