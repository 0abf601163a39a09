//! What must hold of the architecture, beyond what the Microkit tool checks.
//!
//! Each rule protects a promise that no code could keep if the description broke it: who writes a region, who may use a
//! device, who is throttled, who calls whom. `cargo xtask check` fails on any [`Violation`]; `tests/fixtures` has one
//! broken description a rule, named for it.

use std::collections::HashMap;
use std::fmt;

use crate::model::{Domain, DomainKind, Region, System};
use crate::role::Role;

/// Microkit's and seL4's least budget, in microseconds: what is shorter is spent on switching.
const LEAST_BUDGET_US: u64 = 20;

/// One rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// Names are unique, and every domain's tells its role.
    Names,
    /// Every region that is mapped exists.
    RegionsExist,
    /// Every region is written by exactly the domain that its name says, and nobody else may.
    RegionWriters,
    /// What is directed from one domain to another is seen by these two only, and a heap by its owner.
    RegionReaders,
    /// Every domain has a status region that its shell finds, and the VMM sees it: how the start went is told at the console.
    BootReports,
    /// No cell, and nobody but drivers and the VMM, maps a device.
    Devices,
    /// No protection domain can execute what it can write.
    WriteExecute,
    /// Budget and period are stated everywhere.
    BudgetStated,
    /// Everything above the VMM has a budget below its period, and one that is long enough.
    Throttled,
    /// Real-time domains together leave some of the processor.
    Utilisation,
    /// Priorities are those of the domain's role, and a child's is below its parent's.
    Priorities,
    /// No domain is passive: a stalled client would stall its server for everyone.
    NoPassive,
    /// No domain may call the secure monitor.
    NoSecureMonitor,
    /// Both ends of every channel exist, are protection domains, and differ.
    ChannelEnds,
    /// Protected calls go only to strictly higher priority.
    CallUpwards,
    /// Channel, interrupt and child numbers are unique in each domain.
    IdsUnique,
    /// A symbol is set once in each domain.
    SymbolsUnique,
}

impl Rule {
    /// Every rule.
    pub const ALL: &'static [Self] = &[
        Self::Names,
        Self::RegionsExist,
        Self::RegionWriters,
        Self::RegionReaders,
        Self::BootReports,
        Self::Devices,
        Self::WriteExecute,
        Self::BudgetStated,
        Self::Throttled,
        Self::Utilisation,
        Self::Priorities,
        Self::NoPassive,
        Self::NoSecureMonitor,
        Self::ChannelEnds,
        Self::CallUpwards,
        Self::IdsUnique,
        Self::SymbolsUnique,
    ];

    /// Its name, as in messages and fixtures.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Names => "names",
            Self::RegionsExist => "regions-exist",
            Self::RegionWriters => "region-writers",
            Self::RegionReaders => "region-readers",
            Self::BootReports => "boot-reports",
            Self::Devices => "devices",
            Self::WriteExecute => "write-execute",
            Self::BudgetStated => "budget-stated",
            Self::Throttled => "throttled",
            Self::Utilisation => "utilisation",
            Self::Priorities => "priorities",
            Self::NoPassive => "no-passive",
            Self::NoSecureMonitor => "no-secure-monitor",
            Self::ChannelEnds => "channel-ends",
            Self::CallUpwards => "call-upwards",
            Self::IdsUnique => "ids-unique",
            Self::SymbolsUnique => "symbols-unique",
        }
    }
}

/// A place where the description breaks a rule. Shown without its place, which [`crate::Description::place`] knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// The line in the description's text.
    pub line: u32,
    /// What is wrong there.
    pub problem: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.rule.name(), self.problem)
    }
}

/// Every place where `system` breaks a rule, in the order of the lines.
pub fn check(system: &System) -> Vec<Violation> {
    let mut checker = Checker { system, violations: Vec::new() };
    checker.names();
    checker.regions();
    checker.maps();
    checker.boot_reports();
    checker.domains();
    checker.utilisation();
    checker.channels();
    checker.numbers();
    checker.symbols();
    checker.violations.sort_by_key(|violation| violation.line);
    checker.violations
}

struct Checker<'a> {
    system: &'a System,
    violations: Vec<Violation>,
}

/// Who may write a region, by its name.
#[derive(Debug, PartialEq, Eq)]
enum Writers<'a> {
    /// Nobody: the image fills it.
    Nobody,
    /// These domains; each of them must.
    These(Vec<&'a str>),
    /// The name says nothing that this module knows.
    Unknown,
}

/// The two ends in the name of a directed region: the writer, and the reader.
fn direction(name: &str) -> Option<(&str, &str)> {
    match name.strip_suffix("_head").unwrap_or(name).split_once("_to_")? {
        // The consumer writes its head for the producer to read.
        (producer, consumer) if name.ends_with("_head") => Some((consumer, producer)),
        ends => Some(ends),
    }
}

fn writers(region: &Region) -> Writers<'_> {
    let name = region.name.as_str();
    if region.prefill.is_some() {
        return Writers::Nobody;
    }
    if let Some((writer, _)) = direction(name) {
        return Writers::These(vec![writer]);
    }
    match name {
        "grants" => return Writers::These(vec!["warden"]),
        // Linux' memory, and its view of the interrupt controller.
        "guest_memory" => return Writers::These(vec!["vmm", "linux"]),
        "guest_interrupt_interface" => return Writers::These(vec!["linux"]),
        "uart_registers" => return Writers::These(vec!["vmm"]),
        _ => {}
    }
    match name.rsplit_once('_') {
        Some((owner, "status" | "registers" | "heap")) => Writers::These(vec![owner]),
        Some((cell, "module")) if matches!(Role::of(cell), Some(Role::Cell(_))) => Writers::These(vec!["admission"]),
        _ => Writers::Unknown,
    }
}

impl<'a> Checker<'a> {
    fn report(&mut self, rule: Rule, line: u32, problem: String) {
        self.violations.push(Violation { rule, line, problem });
    }

    fn names(&mut self) {
        let system = self.system;
        let regions = system.regions.iter().map(|region| (region.name.as_str(), region.line));
        let domains = system.domains.iter().map(|domain| (domain.name.as_str(), domain.line));
        self.unique(Rule::Names, regions, "memory region");
        self.unique(Rule::Names, domains, "domain");
        for domain in &system.domains {
            if Role::of(&domain.name).is_none() {
                self.report(Rule::Names, domain.line, format!("`{}` is the name of no role", domain.name));
            }
        }
    }

    /// Reports every later item with the key of an earlier one.
    fn unique<K: fmt::Display + std::hash::Hash + Eq>(
        &mut self,
        rule: Rule,
        items: impl Iterator<Item = (K, u32)>,
        what: &str,
    ) {
        let mut seen = HashMap::new();
        for (key, line) in items {
            match seen.get(&key) {
                Some(first) => {
                    self.report(rule, line, format!("{what} `{key}` is there already, on line {first}"));
                }
                None => {
                    seen.insert(key, line);
                }
            }
        }
    }

    fn regions(&mut self) {
        for region in &self.system.regions {
            self.writers_of(region);
            self.readers_of(region);
        }
    }

    fn writers_of(&mut self, region: &'a Region) {
        let expected = match writers(region) {
            Writers::Unknown => {
                let problem = format!("no rule says who writes `{}`; name it `A_to_B` or `A_status`", region.name);
                return self.report(Rule::RegionWriters, region.line, problem);
            }
            Writers::Nobody => Vec::new(),
            Writers::These(names) => names,
        };
        let system = self.system;
        for (domain, map) in system.maps_of(&region.name).filter(|(_, map)| map.access.write) {
            if !expected.contains(&domain.name.as_str()) {
                let problem = format!("`{}` may not write `{}`: {}", domain.name, region.name, only(&expected));
                self.report(Rule::RegionWriters, map.line, problem);
            }
        }
        for writer in expected {
            let writes = system.maps_of(&region.name).any(|(domain, map)| domain.name == writer && map.access.write);
            if !writes {
                let problem = format!("`{writer}` must be able to write `{}`", region.name);
                self.report(Rule::RegionWriters, region.line, problem);
            }
        }
    }

    fn readers_of(&mut self, region: &'a Region) {
        let sharers = match (direction(&region.name), region.name.strip_suffix("_heap")) {
            (Some((writer, reader)), _) => vec![writer, reader],
            (None, Some(owner)) => vec![owner],
            (None, None) => return,
        };
        let system = self.system;
        for (domain, map) in system.maps_of(&region.name) {
            if !sharers.contains(&domain.name.as_str()) {
                let owners = sharers.join("` and `");
                let problem = format!("`{}` is `{owners}`'s alone, not `{}`'s", region.name, domain.name);
                self.report(Rule::RegionReaders, map.line, problem);
            }
        }
    }

    fn maps(&mut self) {
        for domain in &self.system.domains {
            for map in &domain.maps {
                self.map(domain, map);
            }
        }
    }

    fn map(&mut self, domain: &Domain, map: &crate::model::Map) {
        let Some(region) = self.system.region(&map.region) else {
            return self.report(Rule::RegionsExist, map.line, format!("there is no memory region `{}`", map.region));
        };
        if region.is_device() && !Role::of(&domain.name).is_some_and(Role::owns_devices) {
            let problem = format!("`{}` may not map the device `{}`", domain.name, region.name);
            self.report(Rule::Devices, map.line, problem);
        }
        if domain.kind == DomainKind::Protection && map.access.write && map.access.execute {
            let problem = format!("`{}` could execute what it writes to `{}`", domain.name, region.name);
            self.report(Rule::WriteExecute, map.line, problem);
        }
    }

    fn boot_reports(&mut self) {
        let system = self.system;
        let Some(console) = system.domains.iter().find(|domain| Role::of(&domain.name) == Some(Role::Vmm)) else {
            return;
        };
        let others = system.domains.iter().filter(|domain| domain.kind == DomainKind::Protection);
        for domain in others.filter(|domain| domain.name != console.name) {
            let region = format!("{}_status", domain.name);
            let reads = |reader: &Domain, symbol: &str| {
                let symbol = Some(symbol);
                let mut maps = reader.maps.iter().filter(|map| map.region == region && map.access.read);
                maps.any(|map| map.address_symbol.as_deref() == symbol)
            };
            if !reads(domain, "region_status") {
                let problem =
                    format!("`{}` cannot say how its start went: `{region}` is not its `region_status`", domain.name);
                self.report(Rule::BootReports, domain.line, problem);
            }
            let symbol = format!("region_{region}");
            if !reads(console, &symbol) {
                let problem = format!("`{}` does not see as `{symbol}` how `{}` started", console.name, domain.name);
                self.report(Rule::BootReports, console.line, problem);
            }
        }
    }

    fn domains(&mut self) {
        for domain in &self.system.domains {
            self.time_of(domain);
            self.priority_of(domain);
            if domain.passive {
                self.report(Rule::NoPassive, domain.line, format!("`{}` is passive", domain.name));
            }
            if domain.secure_monitor_calls {
                self.report(
                    Rule::NoSecureMonitor,
                    domain.line,
                    format!("`{}` may call the secure monitor", domain.name),
                );
            }
        }
    }

    fn time_of(&mut self, domain: &Domain) {
        let (Some(budget), Some(period)) = (domain.budget_us, domain.period_us) else {
            let problem = format!("`{}` does not state both budget and period", domain.name);
            return self.report(Rule::BudgetStated, domain.line, problem);
        };
        if Role::of(&domain.name).is_none_or(Role::may_be_unthrottled) {
            return;
        }
        if budget >= period {
            let problem = format!("`{}` is not throttled: budget {budget} µs of {period} µs", domain.name);
            self.report(Rule::Throttled, domain.line, problem);
        } else if budget < LEAST_BUDGET_US {
            let problem = format!("`{}` has {budget} µs of budget, less than {LEAST_BUDGET_US} µs", domain.name);
            self.report(Rule::Throttled, domain.line, problem);
        }
    }

    fn priority_of(&mut self, domain: &Domain) {
        if let Some(allowed) = Role::of(&domain.name).map(Role::priorities)
            && !allowed.contains(&domain.priority)
        {
            let (low, high) = (allowed.start(), allowed.end());
            let wanted = if low == high { format!("{low}") } else { format!("{low} to {high}") };
            let problem = format!("`{}` has priority {}, not {wanted}", domain.name, domain.priority);
            self.report(Rule::Priorities, domain.line, problem);
        }
        let parent = domain.parent.as_deref().and_then(|parent| self.system.domain(parent));
        if let Some(parent) = parent.filter(|parent| parent.priority <= domain.priority) {
            let problem = format!("`{}` is not below its parent `{}`", domain.name, parent.name);
            self.report(Rule::Priorities, domain.line, problem);
        }
    }

    fn utilisation(&mut self) {
        let shares = self.system.domains.iter().filter_map(|domain| {
            let share = share_in_millionths(domain.budget_us?, domain.period_us?)?;
            Role::of(&domain.name).is_some_and(Role::is_real_time).then_some((domain.line, share))
        });
        let (line, total) = shares.fold((0, 0_u64), |(_, sum), (line, share)| (line, sum.saturating_add(share)));
        if total >= WHOLE_IN_MILLIONTHS {
            let percent = total / (WHOLE_IN_MILLIONTHS / 100);
            let problem = format!("real-time domains may use {percent} % of the processor together");
            self.report(Rule::Utilisation, line, problem);
        }
    }

    fn channels(&mut self) {
        for channel in &self.system.channels {
            let [first, second] = &channel.ends;
            if first.domain == second.domain {
                let problem = format!("both ends are `{}`", first.domain);
                self.report(Rule::ChannelEnds, channel.line, problem);
            }
            for (caller, server) in [(first, second), (second, first)] {
                let kind = self.system.domain(&caller.domain).map(|domain| domain.kind);
                if kind != Some(DomainKind::Protection) {
                    let problem = format!("there is no protection domain `{}`", caller.domain);
                    self.report(Rule::ChannelEnds, caller.line, problem);
                }
                self.call(caller, server);
            }
        }
    }

    fn call(&mut self, caller: &crate::model::End, server: &crate::model::End) {
        let priority = |name: &str| self.system.domain(name).map(|domain| domain.priority);
        if let (true, Some(below), Some(above)) = (caller.may_call, priority(&caller.domain), priority(&server.domain))
            && below >= above
        {
            let problem =
                format!("`{}` (priority {below}) may not call `{}` (priority {above})", caller.domain, server.domain);
            self.report(Rule::CallUpwards, caller.line, problem);
        }
    }

    fn numbers(&mut self) {
        let system = self.system;
        for domain in &system.domains {
            let ends = system.channels.iter().flat_map(|channel| &channel.ends);
            let ends = ends.filter(|end| end.domain == domain.name).map(|end| (end.id, end.line));
            let interrupts = domain.interrupts.iter().map(|interrupt| (interrupt.id, interrupt.line));
            self.unique(Rule::IdsUnique, ends.chain(interrupts), &format!("in `{}`, channel", domain.name));
            let children = system.children(&domain.name).filter_map(|child| Some((child.child_id?, child.line)));
            self.unique(Rule::IdsUnique, children, &format!("in `{}`, child", domain.name));
        }
    }

    fn symbols(&mut self) {
        let system = self.system;
        for domain in &system.domains {
            let ends = system.channels.iter().flat_map(|channel| &channel.ends);
            let ends = ends.filter(|end| end.domain == domain.name).map(|end| (&end.symbol, end.line));
            let interrupts = domain.interrupts.iter().map(|interrupt| (&interrupt.symbol, interrupt.line));
            let children = system.children(&domain.name).map(|child| (&child.child_symbol, child.line));
            let addresses = domain.maps.iter().map(|map| (&map.address_symbol, map.line));
            let sizes = domain.maps.iter().map(|map| (&map.size_symbol, map.line));
            let all = ends.chain(interrupts).chain(children).chain(addresses).chain(sizes);
            let stated = all.filter_map(|(symbol, line)| Some((symbol.as_deref()?, line)));
            self.unique(Rule::SymbolsUnique, stated, &format!("in `{}`, symbol", domain.name));
        }
    }
}

/// The processor, in the unit of [`share_in_millionths`].
const WHOLE_IN_MILLIONTHS: u64 = 1_000_000;

/// The share of the processor that a budget is, rounded up; `None` for a period of 0.
fn share_in_millionths(budget_us: u64, period_us: u64) -> Option<u64> {
    let share = (u128::from(budget_us) * u128::from(WHOLE_IN_MILLIONTHS)).div_ceil(u128::from(period_us).max(1));
    (period_us != 0).then(|| u64::try_from(share).unwrap_or(u64::MAX))
}

fn only(writers: &[&str]) -> String {
    match writers {
        [] => "the image fills it".to_owned(),
        names => format!("only `{}` may", names.join("` and `")),
    }
}
