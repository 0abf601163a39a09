//! What must hold of the architecture, beyond what the Microkit tool checks.
//!
//! Each rule protects a promise that no code could keep if the description broke it: who writes a region, who may use a
//! device, who is throttled, who calls whom. `cargo xtask check` fails on any [`Violation`]; `tests/fixtures` has one
//! broken description a rule, named for it.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use crate::authority::{self, Sharers, sharers};
use crate::model::{CapabilityKind, Channel, Domain, DomainKind, End, Map, Region, System};
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
    /// Nobody reads a region but those whom the architecture names.
    RegionReaders,
    /// No two regions are the same memory.
    RegionsApart,
    /// Every domain has a status region that its shell finds, and the VMM sees it: how the start went is told at the console.
    BootReports,
    /// A device is mapped by the domain that drives it, and by nobody else; a cell drives none.
    Devices,
    /// Interrupts reach drivers and the VMM only, each one of them.
    Interrupts,
    /// No protection domain can execute a region: its code is its image, which nobody writes.
    WriteExecute,
    /// Each domain runs a program of its role.
    Programs,
    /// Nobody has capabilities beside those for its channels and its memory, but the warden: the scheduling contexts of the pool and
    /// of its cells, all of them, and its own thread.
    NoCapabilities,
    /// The warden is the parent of the cells, and nobody else has one.
    Parents,
    /// Budget and period are stated everywhere.
    BudgetStated,
    /// Everything above the VMM that runs at its own expense has a budget below its period, and one that is long enough.
    Throttled,
    /// Who runs at its callers' expense is never out of budget.
    NeverThrottled,
    /// Real-time domains that the kernel holds to budgets leave of each core what calls and interrupts take.
    Utilisation,
    /// All domains are on the first core, or each on the one of its role.
    Cores,
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
    /// Who calls and who notifies whom is as the architecture says, through one channel.
    ChannelRights,
    /// A symbol that names a domain stands for that domain: it is how a driver knows whose right to look up.
    Identity,
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
        Self::RegionsApart,
        Self::BootReports,
        Self::Devices,
        Self::Interrupts,
        Self::WriteExecute,
        Self::Programs,
        Self::NoCapabilities,
        Self::Parents,
        Self::BudgetStated,
        Self::Throttled,
        Self::NeverThrottled,
        Self::Utilisation,
        Self::Cores,
        Self::Priorities,
        Self::NoPassive,
        Self::NoSecureMonitor,
        Self::ChannelEnds,
        Self::CallUpwards,
        Self::ChannelRights,
        Self::Identity,
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
            Self::RegionsApart => "regions-apart",
            Self::BootReports => "boot-reports",
            Self::Devices => "devices",
            Self::Interrupts => "interrupts",
            Self::WriteExecute => "write-execute",
            Self::Programs => "programs",
            Self::NoCapabilities => "no-capabilities",
            Self::Parents => "parents",
            Self::BudgetStated => "budget-stated",
            Self::Throttled => "throttled",
            Self::NeverThrottled => "never-throttled",
            Self::Utilisation => "utilisation",
            Self::Cores => "cores",
            Self::Priorities => "priorities",
            Self::NoPassive => "no-passive",
            Self::NoSecureMonitor => "no-secure-monitor",
            Self::ChannelEnds => "channel-ends",
            Self::CallUpwards => "call-upwards",
            Self::ChannelRights => "channel-rights",
            Self::Identity => "identity",
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
        let system = self.system;
        for region in &system.regions {
            let Some(allowed) = sharers(region) else {
                let problem = format!("no rule says who writes `{}`; name it `A_to_B` or `A_status`", region.name);
                self.report(Rule::RegionWriters, region.line, problem);
                continue;
            };
            self.writers_of(region, &allowed.writers);
            self.readers_of(region, &allowed);
        }
        self.apart();
    }

    fn writers_of(&mut self, region: &'a Region, expected: &[&'a str]) {
        let system = self.system;
        for (domain, map) in system.maps_of(&region.name).filter(|(_, map)| map.access.write) {
            if !expected.contains(&domain.name.as_str()) {
                let problem = format!("`{}` may not write `{}`: {}", domain.name, region.name, only(expected));
                self.report(Rule::RegionWriters, map.line, problem);
            }
        }
        for &writer in expected {
            let writes = system.maps_of(&region.name).any(|(domain, map)| domain.name == writer && map.access.write);
            if !writes {
                let problem = format!("`{writer}` must be able to write `{}`", region.name);
                self.report(Rule::RegionWriters, region.line, problem);
            }
        }
    }

    fn readers_of(&mut self, region: &'a Region, allowed: &Sharers<'a>) {
        let system = self.system;
        let others = |(domain, _): &(&Domain, &Map)| !allowed.contains(&domain.name);
        for (domain, map) in system.maps_of(&region.name).filter(others) {
            if region.is_device() {
                let problem = format!("`{}` may not map the device `{}`", domain.name, region.name);
                self.report(Rule::Devices, map.line, problem);
            } else {
                let owners: Vec<&str> = allowed.writers.iter().chain(&allowed.readers).copied().collect();
                let problem =
                    format!("`{}` is for `{}` alone, not for `{}`", region.name, owners.join("`, `"), domain.name);
                self.report(Rule::RegionReaders, map.line, problem);
            }
        }
    }

    /// A second name for the same memory would have writers of its own.
    fn apart(&mut self) {
        let placed = |region: &'a Region| region.physical_address.map(|start| (start, region));
        let mut placed: Vec<(u64, &Region)> = self.system.regions.iter().filter_map(placed).collect();
        placed.sort_by_key(|&(start, region)| (start, region.line));
        for pair in placed.windows(2) {
            let [(start, below), (next, above)] = *pair else { continue };
            if start.saturating_add(below.size_bytes) > next {
                let problem = format!("`{}` lies within `{}`", above.name, below.name);
                self.report(Rule::RegionsApart, above.line, problem);
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

    fn map(&mut self, domain: &Domain, map: &Map) {
        let Some(region) = self.system.region(&map.region) else {
            return self.report(Rule::RegionsExist, map.line, format!("there is no memory region `{}`", map.region));
        };
        if domain.kind == DomainKind::Protection && map.access.execute {
            let problem = format!("`{}` could execute what is in `{}`", domain.name, region.name);
            self.report(Rule::WriteExecute, map.line, problem);
        }
        if let (Some(cell), Some(symbol)) = (cell_in(&region.name), &map.address_symbol)
            && cell != domain.name
            && !symbol.contains(cell)
        {
            let problem = format!("`{symbol}` of `{}` does not say that it is `{cell}`'s", domain.name);
            self.report(Rule::Identity, map.line, problem);
        }
        if let (Some(cell), Some(named)) = (cell_in(&region.name), map.address_symbol.as_deref().and_then(cell_in))
            && cell != named
        {
            let problem = format!("`{named}` in a symbol of `{}` stands for `{}`", domain.name, region.name);
            self.report(Rule::Identity, map.line, problem);
        }
    }

    fn boot_reports(&mut self) {
        let system = self.system;
        let Some(console) = system.domains.iter().find(|domain| Role::of(&domain.name) == Some(Role::Vmm)) else {
            return;
        };
        // A class's domain does nothing, so it has nothing to tell.
        let speaks = |domain: &&Domain| !matches!(Role::of(&domain.name), Some(Role::Class(_)));
        let others = system.protection_domains().filter(speaks);
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
            self.core_of(domain);
            self.place_of(domain);
            self.interrupts_of(domain);
            self.capabilities_of(domain);
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

    /// What is in its `cspace`, and what is missing there.
    fn capabilities_of(&mut self, domain: &Domain) {
        let Some(role) = Role::of(&domain.name) else { return };
        let slot_of = |kind, owner: &str| authority::capability(role, kind, Role::of(owner)?).map(u64::from);
        for capability in &domain.capabilities {
            let wanted = slot_of(capability.kind, &capability.domain);
            if wanted.is_none() {
                let problem = format!("`{}` is given capabilities beside its channels and its memory", domain.name);
                self.report(Rule::NoCapabilities, capability.line, problem);
            } else if wanted != Some(capability.slot) {
                let slot = wanted.unwrap_or_default();
                let problem =
                    format!("what is `{}`'s belongs into slot {slot} of `{}`", capability.domain, domain.name);
                self.report(Rule::NoCapabilities, capability.line, problem);
            }
        }
        let kinds = [CapabilityKind::SchedulingContext, CapabilityKind::Thread];
        for owner in &self.system.domains {
            for kind in kinds.into_iter().filter(|&kind| slot_of(kind, &owner.name).is_some()) {
                let held = domain.capabilities.iter().filter(|one| one.kind == kind && one.domain == owner.name);
                if held.count() != 1 {
                    let problem = format!("`{}` must have the {kind} of `{}` once", domain.name, owner.name);
                    self.report(Rule::NoCapabilities, domain.line, problem);
                }
            }
        }
    }

    fn time_of(&mut self, domain: &Domain) {
        let (Some(budget), Some(period)) = (domain.budget_us, domain.period_us) else {
            let problem = format!("`{}` does not state both budget and period", domain.name);
            return self.report(Rule::BudgetStated, domain.line, problem);
        };
        let Some(role) = Role::of(&domain.name) else { return };
        if role.runs_for_callers() {
            // The kernel takes budget and period that are the same for none at all, and never makes the domain wait for either.
            if budget != period {
                let problem = format!(
                    "`{}` is called, and everybody waits when its budget of {budget} µs in {period} µs is used up",
                    domain.name
                );
                self.report(Rule::NeverThrottled, domain.line, problem);
            }
        } else if role.may_be_unthrottled() {
            // Below everybody.
        } else if budget >= period {
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

    fn core_of(&mut self, domain: &Domain) {
        let Some(wanted) = Role::of(&domain.name).map(|role| self.system.core_of(role)) else { return };
        if domain.core != wanted {
            let problem = format!("`{}` is on core {}, not on {wanted}", domain.name, domain.core);
            self.report(Rule::Cores, domain.line, problem);
        }
    }

    /// Its parent and its program.
    fn place_of(&mut self, domain: &Domain) {
        let Some(role) = Role::of(&domain.name) else { return };
        let (wanted, found) = (authority::parent(role), domain.parent.as_deref());
        if wanted != found {
            let place = |parent: Option<&str>| parent.map_or("nobody".to_owned(), |name| format!("`{name}`"));
            let problem = format!("`{}` is in {}, not in {}", domain.name, place(found), place(wanted));
            self.report(Rule::Parents, domain.line, problem);
        }
        let is_machine = domain.kind == DomainKind::VirtualMachine;
        if is_machine != (role == Role::Linux) {
            let problem = format!("`{}` is the name of another kind of domain", domain.name);
            self.report(Rule::Names, domain.line, problem);
        }
        if let Some(image) = domain.image.as_deref().filter(|image| !role.runs(image)) {
            let problem = format!("`{}` runs `{image}`, which is no program of its role", domain.name);
            self.report(Rule::Programs, domain.line, problem);
        }
    }

    fn interrupts_of(&mut self, domain: &Domain) {
        let is_driver = Role::of(&domain.name).is_some_and(Role::takes_interrupts);
        for interrupt in domain.interrupts.iter().filter(|_| !is_driver) {
            let problem = format!("`{}` drives nothing that raises interrupt {}", domain.name, interrupt.number);
            self.report(Rule::Interrupts, interrupt.line, problem);
        }
    }

    fn utilisation(&mut self) {
        let shares = self.system.domains.iter().filter_map(|domain| {
            let share = share_in_millionths(domain.budget_us?, domain.period_us?)?;
            // What runs for callers is bounded by their shares, not by its own.
            let counts = |role: Role| role.is_real_time() && !role.runs_for_callers();
            Role::of(&domain.name).is_some_and(counts).then_some((domain, share))
        });
        // By core: the line of the last domain there, and the sum.
        let mut cores: BTreeMap<u8, (u32, u64)> = BTreeMap::new();
        for (domain, share) in shares {
            let (line, sum) = cores.entry(domain.core).or_default();
            (*line, *sum) = (domain.line, sum.saturating_add(share));
        }
        for (core, (line, total)) in cores.into_iter().filter(|(_, (_, total))| *total > HELD_IN_MILLIONTHS) {
            let percent = total / (WHOLE_IN_MILLIONTHS / 100);
            let problem = format!("real-time domains may use {percent} % of core {core} together");
            self.report(Rule::Utilisation, line, problem);
        }
    }

    fn channels(&mut self) {
        let mut pairs = Vec::new();
        for channel in &self.system.channels {
            let [first, second] = &channel.ends;
            if first.domain == second.domain {
                let problem = format!("both ends are `{}`", first.domain);
                self.report(Rule::ChannelEnds, channel.line, problem);
            }
            self.once(channel, &mut pairs);
            for (here, there) in [(first, second), (second, first)] {
                let kind = |end: &End| self.system.domain(&end.domain).map(|domain| domain.kind);
                if kind(here) != Some(DomainKind::Protection) {
                    let problem = format!("there is no protection domain `{}`", here.domain);
                    self.report(Rule::ChannelEnds, here.line, problem);
                } else if kind(there) == Some(DomainKind::Protection) {
                    self.rights_of(here, there);
                }
            }
        }
        let interrupts = self.system.domains.iter().flat_map(|domain| &domain.interrupts);
        self.unique(Rule::Interrupts, interrupts.map(|one| (one.number, one.line)), "interrupt");
    }

    /// A second channel to the same domain would be a second identity there.
    fn once(&mut self, channel: &'a Channel, pairs: &mut Vec<[&'a str; 2]>) {
        let mut pair = [0, 1].map(|end| channel.ends[end].domain.as_str());
        pair.sort_unstable();
        if pairs.contains(&pair) {
            let problem = format!("there is a channel between `{}` and `{}` already", pair[0], pair[1]);
            self.report(Rule::ChannelRights, channel.line, problem);
        }
        pairs.push(pair);
    }

    /// What one end may do to the other, and that it knows it by its name.
    fn rights_of(&mut self, here: &End, there: &End) {
        if here.symbol.as_deref().is_some_and(|symbol| symbol.strip_prefix("channel_") != Some(&there.domain)) {
            let symbol = here.symbol.as_deref().unwrap_or_default();
            let problem = format!("`{symbol}` of `{}` stands for `{}`", here.domain, there.domain);
            self.report(Rule::Identity, here.line, problem);
        }
        let priority = |end: &End| self.system.domain(&end.domain).map(|domain| domain.priority);
        let roles = Role::of(&here.domain).zip(Role::of(&there.domain));
        let (below, above) = (priority(here).unwrap_or_default(), priority(there).unwrap_or_default());
        if here.may_call && below >= above {
            let problem =
                format!("`{}` (priority {below}) may not call `{}` (priority {above})", here.domain, there.domain);
            self.report(Rule::CallUpwards, here.line, problem);
        } else if here.may_call && !roles.is_some_and(|(caller, server)| authority::may_call(caller, server)) {
            let problem = format!("`{}` has nothing to call `{}` for", here.domain, there.domain);
            self.report(Rule::ChannelRights, here.line, problem);
        }
        if here.may_notify && !roles.is_some_and(|(sender, receiver)| authority::may_notify(sender, receiver)) {
            let problem = format!("`{}` has nothing to notify `{}` of", here.domain, there.domain);
            self.report(Rule::ChannelRights, here.line, problem);
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
            for child in system.children(&domain.name) {
                if child
                    .child_symbol
                    .as_deref()
                    .is_some_and(|symbol| symbol.strip_prefix("child_") != Some(&child.name))
                {
                    let problem = format!("`{}` is known to `{}` by another name", child.name, domain.name);
                    self.report(Rule::Identity, child.line, problem);
                }
            }
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

/// What those may have together that the kernel holds to budgets. The quarter that is left is for what they cause: calls, which
/// drivers serve at nobody's budget, and interrupts; and for whom Linux talks to.
const HELD_IN_MILLIONTHS: u64 = WHOLE_IN_MILLIONTHS / 4 * 3;

/// The share of the processor that a budget is, rounded up; `None` for a period of 0.
fn share_in_millionths(budget_us: u64, period_us: u64) -> Option<u64> {
    let share = (u128::from(budget_us) * u128::from(WHOLE_IN_MILLIONTHS)).div_ceil(u128::from(period_us).max(1));
    (period_us != 0).then(|| u64::try_from(share).unwrap_or(u64::MAX))
}

/// The cell that a region's or a symbol's name tells of.
fn cell_in(name: &str) -> Option<&str> {
    name.split('_').find(|part| matches!(Role::of(part), Some(Role::Cell(_))))
}

fn only(writers: &[&str]) -> String {
    match writers {
        [] => "the image fills it".to_owned(),
        names => format!("only `{}` may", names.join("` and `")),
    }
}
