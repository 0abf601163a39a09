//! `hostile-cell`: stands in for a cell whose container broke out of its engine. For the system tests only; `cargo xtask image`
//! neither compiles it nor lets a description name it.
//!
//! It has exactly what `system.xml` gives the cell that it replaces. Told to run a container, it says that it does. One called
//! `calls-N` goes through [`calls`] with whatever rights it was granted, and then commits fault N of [`faults`]; one called `fault-N`
//! does only that; one called `flood-N` makes call N of [`flood`] for ever. What comes of it is looked at from outside: at the registers of the devices, and by whoever goes on.
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
mod flood;

use alloc::format;

use pd_shell::boot::SelfTest;
use pd_shell::sel4_microkit::{ChannelSet, Handler, Infallible};
use pd_shell::startup::restart;
use pd_shell::{Sel4Kernel, Sel4Wiring};
use runner_interfaces::boot_report::Finding;
use runner_interfaces::cell::{CellControl, CellStatus, Command, ContainerState};
use runner_interfaces::gpio;
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

/// Who is flooded, by the symbols of their channels.
const DRIVERS: [&str; 4] = ["channel_gpio", "channel_timer", "channel_i2c", "channel_exchange"];

/// What a container's name asks for.
enum Cue {
    /// Every call, and then a fault.
    Calls(usize),
    /// A fault.
    Fault(usize),
    /// One call for ever.
    Flood(usize),
}

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
        let fault = match self.cue() {
            Cue::Calls(fault) => {
                self.shown.host_calls = self.make_every_call();
                fault
            }
            Cue::Fault(fault) => fault,
            Cue::Flood(number) => return self.flood(number),
        };
        while self.kernel.now().nanoseconds() < now + LIFE_NS {
            self.show();
        }
        faults::commit(fault, &self.wiring);
        // Here is only who survived it, and the tests see that it has not failed.
        self.say(ContainerState::Ready);
    }

    /// Calls one driver for ever. What it finds is shown in place of what a cell counts: calls, the most of them that one
    /// budget held as loops, and the shortest time of some as fuel.
    fn flood(&mut self, number: usize) {
        let Some((driver, message)) = flood::call_of(number) else { return };
        let Ok(channel) = required_channel(&self.wiring, DRIVERS[driver]) else { return };
        let mut kernel = self.kernel;
        // A line is a cell's once it has opened it.
        if driver == 0 {
            kernel.call(channel, gpio::call(gpio::Procedure::OpenOutput, flood::LINE));
        }
        flood::call_for_ever(&mut kernel, (channel, message), &mut |found| {
            self.shown.host_calls = found.calls;
            self.shown.loops = found.most_in_a_row;
            self.shown.fuel = found.shortest_ns;
            self.show();
        })
    }

    /// What the container's name asks for.
    fn cue(&self) -> Cue {
        let mut head = [0; NAME_BYTES];
        let region = required_region(&self.wiring, "region_module").ok();
        // A region that is not there is a name that says nothing.
        let _ = region.map(|region| region.read(1, &mut head));
        let digits = head.iter().skip("calls-".len()).take_while(|byte| byte.is_ascii_digit());
        let number = digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'));
        match head {
            [b'c', b'a', b'l', b'l', b's', b'-', ..] => Cue::Calls(number),
            [b'f', b'l', b'o', b'o', b'd', b'-', ..] => Cue::Flood(number),
            _ => Cue::Fault(number),
        }
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
