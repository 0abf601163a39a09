//! What a container did with its rights, as the owners of the resources counted it.
//!
//! A driver counts for a cell, whatever container is in it, and its counts never begin anew. So what stood there when a
//! container came is kept, and the difference is shown. Nothing is decided by it.

use alloc::{format, string::ToString, vec::Vec};

use runner_container::rights::Right;
use runner_interfaces::{
    exchange::{EXCHANGE_USAGE_OFFSET_BYTES, MAX_BINDINGS},
    gpio::GPIO_USAGE_OFFSET_BYTES,
    grants::MAX_LINES,
    i2c::{ADDRESSES, I2C_USAGE_OFFSET_BYTES},
    kernel::{Wiring, required_region},
    timer::{CONTAINER_TIMERS, TIMER_USAGE_OFFSET_BYTES, TIMERS_PER_CLIENT},
    usage::{Usage, UsageTable},
};
use shared_ring::SharedMemory;
use shared_ring_messages::GrantReport;

use crate::{
    admission::{Admission, StartError},
    container::Container,
    policy::Policy,
};

/// The most things without a right that a report names; a hostile cell can call for hundreds.
const MAX_REFUSED: usize = 16;

/// Where the drivers count.
pub(crate) struct UsageTables<M> {
    lines: UsageTable<M>,
    addresses: UsageTable<M>,
    timers: UsageTable<M>,
    ends: UsageTable<M>,
}

impl<M: SharedMemory + Clone> UsageTables<M> {
    pub(crate) fn new<W: Wiring<Memory = M>>(wiring: &W) -> Result<Self, StartError> {
        let table = |symbol, offset, things: usize| {
            UsageTable::new(required_region(wiring, symbol)?, offset, things)
                .map_err(|_| StartError::RegionTooSmall(symbol.into()))
        };
        Ok(Self {
            lines: table("region_gpio_status", GPIO_USAGE_OFFSET_BYTES, usize::from(MAX_LINES))?,
            addresses: table("region_i2c_status", I2C_USAGE_OFFSET_BYTES, usize::from(ADDRESSES))?,
            timers: table("region_timer_status", TIMER_USAGE_OFFSET_BYTES, usize::from(TIMERS_PER_CLIENT))?,
            ends: table("region_exchange_status", EXCHANGE_USAGE_OFFSET_BYTES, MAX_BINDINGS)?,
        })
    }
}

/// What was counted for one cell: by line, address, timer and end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counted {
    lines: Vec<Usage>,
    addresses: Vec<Usage>,
    timers: Vec<Usage>,
    ends: Vec<Usage>,
}

/// How much memory the counts of a container take.
pub(crate) const COUNTED_BYTES: usize =
    size_of::<Usage>() * (MAX_LINES as usize + ADDRESSES as usize + TIMERS_PER_CLIENT as usize + MAX_BINDINGS);

impl Counted {
    fn since(&self, before: &Self) -> Self {
        let since = |now: &[Usage], before: &[Usage]| {
            let before = before.iter().copied().chain(core::iter::repeat(Usage::default()));
            now.iter().zip(before).map(|(now, before)| now.since(before)).collect()
        };
        Self {
            lines: since(&self.lines, &before.lines),
            addresses: since(&self.addresses, &before.addresses),
            timers: since(&self.timers, &before.timers),
            ends: since(&self.ends, &before.ends),
        }
    }
}

impl<M: SharedMemory + Clone> Admission<M> {
    /// What the drivers have counted for a cell by now.
    pub(crate) fn counted(&self, cell: usize) -> Counted {
        let UsageTables { lines, addresses, timers, ends } = &self.usage;
        Counted {
            lines: lines.of_cell(cell).collect(),
            addresses: addresses.of_cell(cell).collect(),
            timers: timers.of_cell(cell).collect(),
            ends: ends.of_cell(cell).collect(),
        }
    }

    /// The rights of the container in that cell with what was done with them, and what it was refused that it has no right to.
    pub(crate) fn use_reports(&self, cell: usize, container: &Container) -> (Vec<GrantReport>, Vec<GrantReport>) {
        let used = self.counted(cell).since(&container.used_before);
        let Ok(policy) = self.policy.as_ref() else { return Default::default() };
        let rights = container.rights.set.rights();
        let granted = rights.iter().map(|right| report(right.to_string(), used_of(right, &used, container, policy)));
        (granted.collect(), refused(&rights, &used, policy))
    }
}

fn report(right: alloc::string::String, Usage { calls, refused, limited, coalesced }: Usage) -> GrantReport {
    GrantReport { right, calls, refused, limited, coalesced }
}

/// The number of a line by its label.
fn number(policy: &Policy, label: &str) -> Option<usize> {
    policy.board.lines.iter().find(|line| line.label == label).map(|line| usize::from(line.line))
}

fn sum<'u>(usages: impl IntoIterator<Item = &'u Usage>) -> Usage {
    usages.into_iter().fold(Usage::default(), |sum, usage| sum.and(*usage))
}

/// What was counted of the timers that are the container's.
fn containers_timers(used: &Counted) -> &[Usage] {
    used.timers.get(usize::from(*CONTAINER_TIMERS.start())..=usize::from(*CONTAINER_TIMERS.end())).unwrap_or_default()
}

/// What was done with one right.
fn used_of(right: &Right, used: &Counted, container: &Container, policy: &Policy) -> Usage {
    match right {
        Right::GpioOutput { line, .. } | Right::GpioInput { line } | Right::GpioEdges { line, .. } => {
            sum(number(policy, line).and_then(|number| used.lines.get(number)))
        }
        Right::I2c { first, last } => sum(used.addresses.get(usize::from(*first)..=usize::from(*last)).unwrap_or(&[])),
        Right::Timers { .. } => sum(containers_timers(used)),
        Right::Channel { name, direction, .. } => {
            let is_its = |end: &crate::channels::End| (end.right().0, end.right().1) == (name.as_str(), *direction);
            sum(container.ends.iter().zip(&used.ends).filter(|(end, _)| is_its(end)).map(|(_, usage)| usage))
        }
        Right::LogRate(_) => {
            let (records, limited) = container.written();
            Usage { calls: records, limited, ..Usage::default() }
        }
        Right::CpuShare(_) | Right::Memory(_) | Right::Module(_) | Right::Node | Right::Priority(_) => Usage::default(),
    }
}

/// What was refused of things that no right is about.
fn refused(rights: &[Right], used: &Counted, policy: &Policy) -> Vec<GrantReport> {
    let has_line = |line: usize| {
        let labels = rights.iter().filter_map(Right::line);
        labels.filter_map(|label| number(policy, label)).any(|granted| granted == line)
    };
    let name = |line: usize| {
        let known = policy.board.lines.iter().find(|known| usize::from(known.line) == line);
        known.map_or_else(|| format!("gpio:line {line}"), |known| format!("gpio:{}", known.label))
    };
    let has_address = |address: usize| {
        rights.iter().any(|right| {
            matches!(right, Right::I2c { first, last } if (usize::from(*first)..=usize::from(*last)).contains(&address))
        })
    };
    let lines = used.lines.iter().enumerate().filter(|(line, _)| !has_line(*line));
    let lines = lines.map(|(line, usage)| (name(line), *usage));
    let addresses = used.addresses.iter().enumerate().filter(|(address, _)| !has_address(*address));
    let addresses = addresses.map(|(address, usage)| (format!("i2c:{address:#04x}"), *usage));
    let has_timers = rights.iter().any(|right| matches!(right, Right::Timers { .. }));
    let timers = sum(containers_timers(used));
    let timers = (!has_timers).then_some(("timer".to_string(), timers));
    let mut found = Vec::new();
    let mut others = Usage::default();
    for (name, usage) in lines.chain(addresses).chain(timers).filter(|(_, usage)| usage.refused > 0) {
        if found.len() < MAX_REFUSED {
            found.push(report(name, usage));
        } else {
            others = others.and(usage);
        }
    }
    if others.refused > 0 {
        found.push(report("others".to_string(), others));
    }
    found
}
