//! The board policy: what the owner of the device lets containers ask for.
//!
//! Compiled from a TOML file into a read-only region of the boot image (`policy`). Its head is a fixed-size
//! [`BoardLimits`], which is all that the warden reads; behind it lies the [`BoardPolicy`] that `admission` decodes, with
//! the names. The region is part of the image and so trusted as far as the image is.

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::grants::{CellGrants, LineRates};
use crate::scheduling::Shares;

/// Marks a policy region and its layout's version: "ATP8" read as little-endian.
pub const POLICY_MAGIC: u32 = u32::from_le_bytes(*b"ATP8");

/// Where the `postcard` form of [`BoardPolicy`] begins in the region, behind [`BoardLimits`].
pub const POLICY_NAMES_OFFSET_BYTES: usize = 2048;

const _: () = assert!(size_of::<BoardLimits>() <= POLICY_NAMES_OFFSET_BYTES, "the limits end before the names");

/// The head of the policy region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct BoardLimits {
    /// [`POLICY_MAGIC`].
    pub magic: u32,
    /// Bytes of `postcard` at [`POLICY_NAMES_OFFSET_BYTES`].
    pub names_bytes: u32,
    /// The most that any container gets, whoever asks.
    pub ceiling: CellGrants,
    /// The largest module, in bytes.
    pub module_limit_bytes: u32,
    /// The most linear memory, in bytes.
    pub memory_limit_bytes: u32,
    /// The most table elements.
    pub table_limit_elements: u32,
    /// The longest that a container's start function and its hooks but `on-loop` may take each, in microseconds.
    pub hook_limit_us: u32,
    /// The longest that copying and compiling a module may take, in microseconds.
    pub load_limit_us: u32,
    /// The most records of output that any container writes a second.
    pub log_limit_per_second: u32,
    /// The highest rates that any container gets.
    pub rates: LineRates,
    /// What `system.xml` has of the processor for cells.
    pub shares: Shares,
}

/// One line as the board names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoardLine {
    /// What a person and a container call it, as `LED`.
    pub label: String,
    /// Its number at the bank.
    pub line: u8,
    /// A container may ask to drive it.
    pub output: bool,
    /// A container may ask to read it.
    pub input: bool,
    /// A container may ask to watch its edges.
    pub edges: bool,
    /// The most changes of its level, or edges, a second that a container may ask for.
    pub most_per_second: u32,
    /// How many one gets that asks for the line and states no rate.
    pub default_per_second: u32,
}

/// A channel that containers may ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoardChannel {
    /// The channel's name, or that of the service that it carries.
    pub name: String,
    /// A container may ask to write it.
    pub put: bool,
    /// A container may ask to read it.
    pub get: bool,
}

/// Devices at the I2C bus as the board names them: one, or a range of addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoardDevice {
    /// What a person calls it, as `thermometer`. Nothing is asked for by it: rights name addresses.
    pub label: String,
    /// Its address, or the first.
    pub first: u8,
    /// The same, or the last.
    pub last: u8,
    /// A container may ask for it.
    pub allowed: bool,
}

/// The domains that a cell calls, in the order of [`BoardTime::call_ns`] and [`crate::schedule::Schedule::calls`].
pub const CALLED_DOMAINS: [&str; 4] = ["gpio", "i2c", "timer", "exchange"];

/// The most [`BoardTime::system`] activities that a node looks at: each domain above the cells, and what the board's owner adds.
pub const MAX_ACTIVITIES: usize = 24;

/// The longest time that a board may state of anything: what takes longer than a second is no cost but a fault, and sums of
/// products stay far from the end of 64 bits.
pub const LONGEST_COST_NS: u64 = 1_000_000_000;

/// The shortest period of an activity, as short as a period in the kernel can be stated; what came more often would be one
/// long activity.
pub const SHORTEST_ACTIVITY_PERIOD_NS: u64 = 1_000;

/// Something of the node that runs above all cells by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoardActivity {
    /// What a person reads in an answer: the domain's name, or what else it is.
    pub name: String,
    /// The longest that one activation takes, in nanoseconds.
    pub budget_ns: u64,
    /// The shortest time between two, in nanoseconds.
    pub period_ns: u64,
    /// How much later than planned one may be, so that two come closer than the period, in nanoseconds.
    pub jitter_ns: u64,
}

/// What the node itself costs: what the admission test of schedules rests on. All times are in nanoseconds, and upper bounds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoardTime {
    /// The clock releases containers at ticks, so far apart.
    pub tick_ns: u64,
    /// How much later than its tick a container can run, while nothing else does.
    pub tick_jitter_ns: u64,
    /// How much later than its event, likewise.
    pub event_jitter_ns: u64,
    /// Of a switch between cells.
    pub switch_ns: u64,
    /// The longest that [`crate::schedule::SLICE_FUEL`] takes in a cell, with what the cell does around a release. 0 where nobody
    /// says so: then cells are not believed to hold containers to their budgets, and the kernel alone is.
    pub slice_ns: u64,
    /// The longest that [`crate::schedule::SLICE_FUEL`] takes.
    pub fuel_ns: u64,
    /// The longest that a cell takes for a grant of fuel, beside the fuel.
    pub turn_ns: u64,
    /// The longest stretch in which the kernel cannot be preempted.
    pub blocking_ns: u64,
    /// Of a call to each of [`CALLED_DOMAINS`], from a container's host call to its return.
    pub call_ns: [u64; CALLED_DOMAINS.len()],
    /// How many calls a container may make to each in a release where nothing else says so.
    pub default_calls: u8,
    /// What runs above the cells.
    pub system: Vec<BoardActivity>,
    /// What the budgets of the domains above the cells are of the processor together, in millionths, rounded up.
    pub taken_ppm: u32,
}

impl BoardTime {
    /// Whether every figure is one that can be computed with.
    pub fn is_sound(&self) -> bool {
        let is_cost = |ns: u64| ns <= LONGEST_COST_NS;
        let Self { tick_jitter_ns, event_jitter_ns, switch_ns, slice_ns, fuel_ns, turn_ns, blocking_ns, .. } = *self;
        let costs = [tick_jitter_ns, event_jitter_ns, switch_ns, slice_ns, fuel_ns, turn_ns, blocking_ns];
        let is_activity = |activity: &BoardActivity| {
            let periods = SHORTEST_ACTIVITY_PERIOD_NS..=LONGEST_COST_NS;
            is_cost(activity.budget_ns) && is_cost(activity.jitter_ns) && periods.contains(&activity.period_ns)
        };
        (1..=LONGEST_COST_NS).contains(&self.tick_ns)
            && costs.into_iter().chain(self.call_ns).all(is_cost)
            && self.default_calls > 0
            && self.system.len() <= MAX_ACTIVITIES
            && self.system.iter().all(is_activity)
    }
}

/// The policy with its names, for `admission`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoardPolicy {
    /// The board it is for, as `qemu_virt_aarch64`.
    pub board: String,
    /// The lines that have a name.
    pub lines: Vec<BoardLine>,
    /// What a container gets that asks for nothing: shortest period in nanoseconds.
    pub default_minimum_period_ns: u64,
    /// What a container gets that asks for nothing: how many timers.
    pub default_timers: u32,
    /// What is at the I2C bus.
    pub devices: Vec<BoardDevice>,
    /// What a container gets that asks for nothing: linear memory, in bytes.
    pub default_memory_bytes: u64,
    /// What a container gets that asks for nothing: the size of its module, in bytes.
    pub default_module_bytes: u64,
    /// What a container gets that asks for nothing: records of output a second.
    pub default_log_per_second: u32,
    /// A container may be told the board's name, its software's version and what it runs on.
    pub node_allowed: bool,
    /// And is told where it does not ask.
    pub node_by_default: bool,
    /// The channels that containers may ask for; `None` where they may ask for any.
    pub channels: Option<Vec<BoardChannel>>,
    /// Containers that nobody signed may run. True in demo images.
    pub allow_unsigned: bool,
    /// What the node costs; `None` where nobody says so, and then no deadline can be promised.
    pub time: Option<BoardTime>,
    /// The largest share of the processor that a container's schedule gets, in percent.
    pub most_cpu_percent: u8,
    /// The most urgent class that a container's schedule may state, an [`Urgency`](crate::schedule::Urgency).
    pub most_urgency: u32,
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn sound() -> BoardTime {
        let activity = BoardActivity { name: "tick".into(), budget_ns: 1, period_ns: 1_000_000, jitter_ns: 0 };
        BoardTime { tick_ns: 1_000_000, default_calls: 1, system: vec![activity], ..BoardTime::default() }
    }

    #[test]
    fn figures_that_nothing_can_be_computed_with_are_known() {
        assert!(sound().is_sound());
        let spoil: [fn(&mut BoardTime); 15] = [
            |time| time.tick_ns = 0,
            |time| time.tick_ns = LONGEST_COST_NS + 1,
            |time| time.tick_jitter_ns = LONGEST_COST_NS + 1,
            |time| time.event_jitter_ns = u64::MAX,
            |time| time.switch_ns = u64::MAX,
            |time| time.slice_ns = u64::MAX,
            |time| time.fuel_ns = LONGEST_COST_NS + 1,
            |time| time.turn_ns = LONGEST_COST_NS + 1,
            |time| time.blocking_ns = u64::MAX,
            |time| time.call_ns[3] = LONGEST_COST_NS + 1,
            |time| time.default_calls = 0,
            |time| time.system[0].period_ns = SHORTEST_ACTIVITY_PERIOD_NS - 1,
            |time| time.system[0].budget_ns = LONGEST_COST_NS + 1,
            |time| time.system[0].jitter_ns = LONGEST_COST_NS + 1,
            |time| time.system = vec![time.system[0].clone(); MAX_ACTIVITIES + 1],
        ];
        for (number, spoil) in spoil.into_iter().enumerate() {
            let mut time = sound();
            spoil(&mut time);
            assert!(!time.is_sound(), "{number}");
        }
    }
}
