//! The board policy: from the TOML that the owner of a board writes to the bytes of the region `policy`.
//!
//! Strict, because what is misread here becomes a right: unknown keys, doubled labels or lines, and numbers that the node
//! could not enforce are errors. The layout is `runner_interfaces::policy`'s: fixed-size limits for the warden, and the
//! names behind them for `admission`.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};

use runner_container::rights::{MAX_LINE_BYTES, is_line_name, rate_of};
use runner_container::{Urgency, check_name};
use runner_interfaces::cell::MODULE_OFFSET_BYTES;
use runner_interfaces::grants::{CellGrants, LineRates, MAX_LINES};
use runner_interfaces::i2c::ADDRESSES;
use runner_interfaces::policy::{
    BoardActivity, BoardChannel, BoardDevice, BoardLimits, BoardLine, BoardPolicy, BoardTime, CALLED_DOMAINS,
    LONGEST_COST_NS, MAX_ACTIVITIES, POLICY_MAGIC, POLICY_NAMES_OFFSET_BYTES, SHORTEST_ACTIVITY_PERIOD_NS,
};
use runner_interfaces::scheduling::{CELL_PRIORITIES, Share, Shares};
use runner_interfaces::timer;
use runner_tokens::{Minimum, TokenKind};
use serde::Deserialize;
use zerocopy::IntoBytes;

use crate::model::{Channel, Domain, System};
use crate::quantity;
use crate::role::Role;

/// Timers of a client that are the container's.
const CONTAINER_TIMERS: u32 = *timer::CONTAINER_TIMERS.end() as u32;

/// The badge of the first protection domain's scheduling context; the others follow in order (Microkit's tool, `build_capdl_spec`).
const FIRST_BADGE: u32 = 0x100;

/// A policy that was read and found sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What the warden reads.
    pub limits: BoardLimits,
    /// What `admission` reads.
    pub board: BoardPolicy,
    /// Tokens below these sequences are not accepted. They lie in the key table.
    pub minimums: Vec<Minimum>,
}

/// What is wrong with a policy file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    /// The file.
    pub file: PathBuf,
    /// What is wrong in it, with its place where there is one.
    pub problem: String,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.file.display(), self.problem)
    }
}

impl std::error::Error for PolicyError {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct PolicyFile {
    board: String,
    allow_unsigned: bool,
    limits: LimitsTable,
    timer: TimerTable,
    #[serde(default)]
    gpio: Vec<LineTable>,
    #[serde(default)]
    i2c: Vec<DeviceTable>,
    /// The channels that may be asked for; any where the key is left out.
    channel: Option<Vec<ChannelTable>>,
    #[serde(default)]
    node: Told,
    #[serde(default)]
    minimum: Vec<MinimumTable>,
    /// What the node costs; without it, nothing with a schedule runs.
    time: Option<TimeTable>,
}

/// What the node costs. All are durations and upper bounds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct TimeTable {
    tick: String,
    tick_jitter: String,
    event_jitter: String,
    switch: String,
    /// Where cells are believed.
    slice: Option<String>,
    /// As `slice` where nobody says so.
    fuel: Option<String>,
    turn: Option<String>,
    blocking: String,
    /// Calls to each domain in a release.
    calls: u8,
    call: CallTable,
    #[serde(default)]
    system: Vec<ActivityTable>,
}

/// What a call to each of [`CALLED_DOMAINS`] costs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CallTable {
    gpio: String,
    i2c: String,
    timer: String,
    exchange: String,
}

/// What runs above the cells: a domain whose figures are better known than by its budget, or something that is no domain.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ActivityTable {
    name: String,
    budget: String,
    period: String,
    jitter: Option<String>,
}

/// The lowest sequence of the tokens of one kind about one container.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MinimumTable {
    token: String,
    container: String,
    sequence: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct LimitsTable {
    module: String,
    memory: String,
    table: u32,
    hook: String,
    load: String,
    /// The most records of output a second.
    log: String,
    /// The most changes of a line's level, or edges of it, a second.
    rate: String,
    /// What a container gets that does not ask; the most where a key is left out.
    default_module: Option<String>,
    default_memory: Option<String>,
    default_log: Option<String>,
    default_rate: Option<String>,
    /// The largest share of the processor that a schedule gets, and the most urgent class that it may state; any where the key
    /// is left out.
    cpu: Option<String>,
    priority: Option<String>,
}

/// Whether containers are told what node they run on.
#[derive(Clone, Copy, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Told {
    /// All of them.
    #[default]
    Always,
    /// Who asks for it.
    Asked,
    /// Nobody.
    Never,
}

/// A channel, or the channels that carry a service.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChannelTable {
    name: String,
    allow: Vec<End>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "lowercase")]
enum End {
    Put,
    Get,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct TimerTable {
    minimum_period: String,
    timers: u32,
    default_minimum_period: String,
    default_timers: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct LineTable {
    label: String,
    /// Further labels of the line.
    #[serde(default)]
    also: Vec<String>,
    line: u8,
    allow: Vec<Use>,
    /// The level at which what hangs on the line is on. An output rests at the other one.
    #[serde(default)]
    active: Active,
    /// The most changes of its level, or edges, a second; `limits.rate` where it is left out.
    rate: Option<String>,
    /// What a container gets that states none; the lower of `limits.default-rate` and the most where it is left out.
    default_rate: Option<String>,
}

/// Devices at the I2C bus: one address, or a range with both ends.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeviceTable {
    label: String,
    address: u8,
    #[serde(default)]
    to: Option<u8>,
    /// A container may ask for it.
    allow: bool,
}

#[derive(Clone, Copy, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Active {
    #[default]
    High,
    Low,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "lowercase")]
enum Use {
    Out,
    In,
    Edge,
}

impl Policy {
    /// Reads the policy in `text`; `file` is only named in errors.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(file: &Path, text: &str) -> Result<Self, PolicyError> {
        let wrong = |problem| PolicyError { file: file.to_path_buf(), problem };
        let parsed: PolicyFile = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        parsed.policy().map_err(wrong)
    }

    /// Reads the policy in `file`.
    ///
    /// # Errors
    /// The file cannot be read, or the first thing that is wrong with it.
    pub fn load(file: &Path) -> Result<Self, PolicyError> {
        let text = std::fs::read_to_string(file)
            .map_err(|error| PolicyError { file: file.to_path_buf(), problem: format!("cannot be read: {error}") })?;
        Self::parse(file, &text)
    }

    /// The bytes of the region `policy`, as long as `system` says it is, the rest zero.
    ///
    /// # Errors
    /// The system has no such region, the policy does not fit it, or it allows modules that fit no cell's region; in words.
    pub fn region_bytes(&self, system: &System) -> Result<Vec<u8>, String> {
        self.check_modules(system)?;
        let region = system.region("policy").ok_or("the system has no memory region `policy`")?;
        let mut board = self.board.clone();
        board.time = board.time.map(|time| with_domains(time, system)).transpose()?;
        let names = postcard::to_allocvec(&board).map_err(|error| format!("the policy cannot be encoded: {error}"))?;
        let size =
            usize::try_from(region.size_bytes).map_err(|_| "the region `policy` is larger than the address space")?;
        let needed = POLICY_NAMES_OFFSET_BYTES + names.len();
        if needed > size {
            return Err(format!("the policy takes {needed} bytes, the region `policy` has {size}"));
        }
        let names_bytes = u32::try_from(names.len()).map_err(|_| "the policy's names take over 4 GiB")?;
        let mut shares = shares(system)?;
        if let Some(time) = &board.time {
            shares.call_ns = time.call_ns.map(|ns| u32::try_from(ns).unwrap_or(u32::MAX));
        }
        let limits = BoardLimits { names_bytes, shares, ..self.limits };
        let mut bytes = vec![0; size];
        bytes[..size_of::<BoardLimits>()].copy_from_slice(limits.as_bytes());
        bytes[POLICY_NAMES_OFFSET_BYTES..needed].copy_from_slice(&names);
        Ok(bytes)
    }

    /// A module must fit behind its configuration in the region that it is staged in.
    fn check_modules(&self, system: &System) -> Result<(), String> {
        let needed = MODULE_OFFSET_BYTES as u64 + u64::from(self.limits.module_limit_bytes);
        let modules = system.regions.iter().filter(|region| region.name.ends_with("_module"));
        match modules.into_iter().find(|region| region.size_bytes < needed) {
            None => Ok(()),
            Some(region) => Err(format!(
                "limits.module allows {} bytes; `{}` has room for {}",
                self.limits.module_limit_bytes,
                region.name,
                region.size_bytes.saturating_sub(MODULE_OFFSET_BYTES as u64)
            )),
        }
    }
}

/// The budgets of cells and classes as `system` has them.
fn shares(system: &System) -> Result<Shares, String> {
    let mut shares = Shares::default();
    for (number, domain) in system.protection_domains().enumerate() {
        let entry = match Role::of(&domain.name) {
            Some(Role::Cell(cell)) => &mut shares.cells[cell],
            Some(Role::Class(class)) => &mut shares.classes[class],
            _ => continue,
        };
        let microseconds = |stated: Option<u64>| stated.and_then(|number| u32::try_from(number).ok());
        let (Some(budget_us), Some(period_us)) = (microseconds(domain.budget_us), microseconds(domain.period_us))
        else {
            return Err(format!("`{}` states no budget and period below an hour", domain.name));
        };
        let badge = FIRST_BADGE + u32::try_from(number).map_err(|_| "there are too many domains")?;
        let (priority, core) = (domain.priority.into(), domain.core.into());
        *entry = Share { budget_us, period_us, badge, priority, core };
    }
    Ok(shares)
}

/// The figures with those of `system` itself: a domain above the cells that the policy does not speak of takes no more than the
/// kernel gives it, and what the budgets of all of them come to is not there for containers. The kernel holds no domain to a budget
/// that runs for callers: its calls are counted where they are made, and what else it does the policy must say.
fn with_domains(mut time: BoardTime, system: &System) -> Result<BoardTime, String> {
    for domain in system.protection_domains().filter(|domain| domain.priority > *CELL_PRIORITIES.end()) {
        let stated = time.system.iter().find(|activity| activity.name == domain.name);
        let budget = if Role::of(&domain.name).is_some_and(Role::runs_for_callers) {
            match stated {
                Some(activity) => (activity.budget_ns, activity.period_ns),
                None if is_woken(system, domain) => {
                    return Err(format!(
                        "nobody holds `{}` to a budget, so a [[time.system]] must say what it takes without being called",
                        domain.name
                    ));
                }
                None => continue,
            }
        } else {
            let (Some(budget_us), Some(period_us)) = (domain.budget_us, domain.period_us.filter(|period| *period != 0))
            else {
                return Err(format!("`{}` states no budget and period", domain.name));
            };
            (budget_us.saturating_mul(1_000), period_us.saturating_mul(1_000))
        };
        let (budget_ns, period_ns) = budget;
        let share_ppm = budget_ns.saturating_mul(1_000_000).div_ceil(period_ns);
        time.taken_ppm = time.taken_ppm.saturating_add(u32::try_from(share_ppm).unwrap_or(u32::MAX));
        if stated.is_none() {
            time.system.push(BoardActivity { name: domain.name.clone(), budget_ns, period_ns, jitter_ns: 0 });
        }
    }
    if time.is_sound() {
        Ok(time)
    } else {
        Err("the budgets of the domains above the cells cannot be computed with".into())
    }
}

/// Whether a domain does anything without being called: something interrupts or notifies it.
fn is_woken(system: &System, domain: &Domain) -> bool {
    let notifies = |channel: &Channel| {
        let [first, second] = &channel.ends;
        [(first, second), (second, first)]
            .into_iter()
            .any(|(sender, receiver)| receiver.domain == domain.name && sender.may_notify)
    };
    !domain.interrupts.is_empty() || system.channels.iter().any(notifies)
}

impl TimeTable {
    fn time(&self) -> Result<BoardTime, String> {
        let cost = |key: &str, text: &str| cost(&format!("time.{key}"), text);
        let CallTable { gpio, i2c, timer, exchange } = &self.call;
        let mut call_ns = [0; CALLED_DOMAINS.len()];
        for ((call_ns, name), text) in call_ns.iter_mut().zip(CALLED_DOMAINS).zip([gpio, i2c, timer, exchange]) {
            *call_ns = cost(&format!("call.{name}"), text)?;
        }
        let stated = |key: &str, text: &Option<String>| text.as_deref().map(|text| cost(key, text)).transpose();
        let slice_ns = stated("slice", &self.slice)?.unwrap_or(0);
        let fuel_ns = stated("fuel", &self.fuel)?.unwrap_or(slice_ns);
        let turn_ns = stated("turn", &self.turn)?.unwrap_or(0);
        if fuel_ns.saturating_add(turn_ns) > slice_ns {
            return Err("time: `fuel` and `turn` are parts of `slice`, so they cannot be longer".into());
        }
        let time = BoardTime {
            tick_ns: cost("tick", &self.tick)?,
            tick_jitter_ns: cost("tick-jitter", &self.tick_jitter)?,
            event_jitter_ns: cost("event-jitter", &self.event_jitter)?,
            switch_ns: cost("switch", &self.switch)?,
            slice_ns,
            fuel_ns,
            turn_ns,
            blocking_ns: cost("blocking", &self.blocking)?,
            call_ns,
            default_calls: self.calls,
            system: activities(&self.system)?,
            // The system's, which comes later.
            taken_ppm: 0,
        };
        if time.is_sound() {
            return Ok(time);
        }
        Err("time: `tick` and `calls` must not be 0".into())
    }
}

/// A duration that something takes.
fn cost(key: &str, text: &str) -> Result<u64, String> {
    match quantity::nanoseconds(text).map_err(|problem| format!("{key}: {problem}"))? {
        nanoseconds if nanoseconds > LONGEST_COST_NS => Err(format!("{key} is over a second")),
        nanoseconds => Ok(nanoseconds),
    }
}

fn activities(tables: &[ActivityTable]) -> Result<Vec<BoardActivity>, String> {
    let mut names = HashSet::new();
    let mut activities = Vec::new();
    for ActivityTable { name, budget, period, jitter } in tables {
        check_label("time.system.name", name)?;
        if !names.insert(name.as_str()) {
            return Err(format!("time.system `{name}`: the name is there twice"));
        }
        let cost = |key: &str, text: &str| cost(&format!("time.system `{name}`: {key}"), text);
        let activity = BoardActivity {
            name: name.clone(),
            budget_ns: cost("budget", budget)?,
            period_ns: cost("period", period)?,
            jitter_ns: jitter.as_deref().map_or(Ok(0), |text| cost("jitter", text))?,
        };
        if activity.period_ns < SHORTEST_ACTIVITY_PERIOD_NS {
            return Err(format!("time.system `{name}`: period is below a microsecond"));
        }
        activities.push(activity);
    }
    if activities.len() > MAX_ACTIVITIES {
        return Err(format!("time.system: there are more than {MAX_ACTIVITIES}"));
    }
    Ok(activities)
}

impl PolicyFile {
    fn policy(self) -> Result<Policy, String> {
        check_label("board", &self.board)?;
        let rates = self.limits.rates()?;
        let lines = board_lines(&self.gpio, rates)?;
        let devices = board_devices(&self.i2c)?;
        let active_low = self.gpio.iter().filter(|table| table.active == Active::Low);
        let active_low_lines = active_low.fold(0, |mask, table| mask | 1 << table.line);
        let minimum_period_ns = period("timer.minimum-period", &self.timer.minimum_period)?;
        let default_minimum_period_ns = period("timer.default-minimum-period", &self.timer.default_minimum_period)?;
        if default_minimum_period_ns < minimum_period_ns {
            return Err("timer.default-minimum-period is shorter than timer.minimum-period".into());
        }
        check_timers("timer.timers", self.timer.timers, CONTAINER_TIMERS)?;
        check_timers("timer.default-timers", self.timer.default_timers, self.timer.timers)?;
        let ceiling = CellGrants {
            output_lines: mask(&lines, |line| line.output),
            input_lines: mask(&lines, |line| line.input),
            edge_lines: mask(&lines, |line| line.edges),
            active_low_lines,
            minimum_period_ns,
            i2c_addresses: addresses(&devices),
            timers: self.timer.timers,
            generation: 0,
        };
        let limits = self.limits.limits(ceiling, &lines)?;
        let channels = self.channel.as_deref().map(board_channels).transpose()?;
        let board = BoardPolicy {
            default_memory_bytes: default(
                "memory",
                &self.limits.default_memory,
                limits.memory_limit_bytes,
                quantity::bytes,
            )?
            .into(),
            default_module_bytes: default(
                "module",
                &self.limits.default_module,
                limits.module_limit_bytes,
                quantity::bytes,
            )?
            .into(),
            default_log_per_second: default("log", &self.limits.default_log, limits.log_limit_per_second, rate)?,
            node_allowed: self.node != Told::Never,
            node_by_default: self.node == Told::Always,
            channels,
            board: self.board,
            lines,
            default_minimum_period_ns,
            default_timers: self.timer.default_timers,
            devices,
            allow_unsigned: self.allow_unsigned,
            time: self.time.as_ref().map(TimeTable::time).transpose()?,
            most_cpu_percent: self.limits.most_cpu_percent()?,
            most_urgency: self.limits.most_urgency()?,
        };
        let minimums = minimums(&self.minimum)?;
        Ok(Policy { limits, board, minimums })
    }
}

fn minimums(tables: &[MinimumTable]) -> Result<Vec<Minimum>, String> {
    let mut minimums: Vec<Minimum> = Vec::new();
    for MinimumTable { token, container, sequence } in tables {
        let kind = TokenKind::ALL.into_iter().find(|kind| kind.name() == token).ok_or_else(|| {
            format!("minimum: there is no token `{token}`; there are code, data, metadata, grant and keys")
        })?;
        runner_container::check_name(container).map_err(|_| format!("minimum: `{container}` names no container"))?;
        if minimums.iter().any(|known| known.kind == kind && known.subject == *container) {
            return Err(format!("minimum: {token} of `{container}` is there twice"));
        }
        minimums.push(Minimum { kind, subject: container.clone(), sequence: *sequence });
    }
    Ok(minimums)
}

/// A duration of the table of limits, as the region holds it.
fn microseconds(key: &str, text: &str) -> Result<u32, String> {
    let nanoseconds = quantity::nanoseconds(text).map_err(|problem| format!("limits.{key}: {problem}"))?;
    u32::try_from(nanoseconds / 1000).map_err(|_| format!("limits.{key} is over 71 minutes"))
}

fn rate(text: &str) -> Result<u32, String> {
    rate_of(text).map_err(|error| format!("\"{text}\" is no rate: {error}"))
}

/// A container's share where it does not ask: no more than the most.
fn default(key: &str, text: &Option<String>, most: u32, read: fn(&str) -> Result<u32, String>) -> Result<u32, String> {
    let Some(text) = text else { return Ok(most) };
    match read(text).map_err(|problem| format!("limits.default-{key}: {problem}"))? {
        amount if amount > most => Err(format!("limits.default-{key} is more than limits.{key}")),
        amount => Ok(amount),
    }
}

/// Rates of a line that says none: the most, and what a container gets that does not ask.
#[derive(Clone, Copy)]
struct Rates {
    most: u32,
    default: u32,
}

impl LimitsTable {
    fn most_cpu_percent(&self) -> Result<u8, String> {
        let Some(text) = &self.cpu else { return Ok(100) };
        let percent = text.strip_suffix('%').and_then(|number| number.parse().ok());
        let percent = percent.filter(|percent| (1..=100).contains(percent));
        percent.ok_or_else(|| format!("limits.cpu: `{text}` is no share from `1%` to `100%`"))
    }

    fn most_urgency(&self) -> Result<u32, String> {
        let Some(text) = &self.priority else { return Ok(Urgency::Critical as u32) };
        let urgency = Urgency::of(text).map(|urgency| urgency as u32);
        urgency.ok_or_else(|| format!("limits.priority: `{text}` is none of `normal`, `high` and `critical`"))
    }

    fn rates(&self) -> Result<Rates, String> {
        let most = rate(&self.rate).map_err(|problem| format!("limits.rate: {problem}"))?;
        Ok(Rates { most, default: default("rate", &self.default_rate, most, rate)? })
    }

    fn limits(&self, ceiling: CellGrants, lines: &[BoardLine]) -> Result<BoardLimits, String> {
        let limits = BoardLimits {
            magic: POLICY_MAGIC,
            names_bytes: 0,
            ceiling,
            module_limit_bytes: quantity::bytes(&self.module).map_err(|problem| format!("limits.module: {problem}"))?,
            memory_limit_bytes: quantity::bytes(&self.memory).map_err(|problem| format!("limits.memory: {problem}"))?,
            table_limit_elements: self.table,
            hook_limit_us: microseconds("hook", &self.hook)?,
            load_limit_us: microseconds("load", &self.load)?,
            log_limit_per_second: rate(&self.log).map_err(|problem| format!("limits.log: {problem}"))?,
            rates: ceiling_rates(lines),
            // The system's, which comes later.
            shares: Shares::default(),
        };
        if limits.module_limit_bytes == 0 || limits.hook_limit_us == 0 || limits.load_limit_us == 0 {
            return Err("limits.module, limits.hook and limits.load must not be 0: nothing could run".into());
        }
        Ok(limits)
    }
}

/// The highest rate of each line that may be used at all.
fn ceiling_rates(lines: &[BoardLine]) -> LineRates {
    let mut rates = LineRates::default();
    for line in lines {
        let number = usize::from(line.line);
        if line.output {
            rates.transitions[number] = line.most_per_second;
        }
        if line.edges {
            rates.edges[number] = line.most_per_second;
        }
    }
    rates
}

fn board_channels(tables: &[ChannelTable]) -> Result<Vec<BoardChannel>, String> {
    let mut names = HashSet::new();
    let mut channels = Vec::new();
    for ChannelTable { name, allow } in tables {
        check_name(name).map_err(|error| format!("channel.name \"{name}\": {error}"))?;
        if !names.insert(name.as_str()) {
            return Err(format!("channel `{name}`: the name is there twice"));
        }
        let ends: HashSet<End> = allow.iter().copied().collect();
        if ends.len() != allow.len() {
            return Err(format!("channel `{name}`: `allow` says something twice"));
        }
        let (put, get) = (ends.contains(&End::Put), ends.contains(&End::Get));
        channels.push(BoardChannel { name: name.clone(), put, get });
    }
    Ok(channels)
}

/// The rates of one line.
fn line_rates(table: &LineTable, board: Rates) -> Result<Rates, String> {
    let read =
        |key: &str, text: &str| rate(text).map_err(|problem| format!("gpio `{}`: {key}: {problem}", table.label));
    let most = table.rate.as_deref().map_or(Ok(board.most), |text| read("rate", text))?;
    let fallback = Ok(board.default.min(most));
    let default = table.default_rate.as_deref().map_or(fallback, |text| read("default-rate", text))?;
    if default > most {
        return Err(format!("gpio `{}`: default-rate is higher than its rate", table.label));
    }
    Ok(Rates { most, default })
}

fn board_lines(tables: &[LineTable], rates: Rates) -> Result<Vec<BoardLine>, String> {
    let mut labels = HashSet::new();
    let mut numbers = HashSet::new();
    let mut lines = Vec::new();
    for table in tables {
        if table.line >= MAX_LINES {
            return Err(format!("gpio `{}`: line {} is not within 0 to {}", table.label, table.line, MAX_LINES - 1));
        }
        if !numbers.insert(table.line) {
            return Err(format!("gpio `{}`: line {} has another label already", table.label, table.line));
        }
        let uses: HashSet<Use> = table.allow.iter().copied().collect();
        if uses.len() != table.allow.len() {
            return Err(format!("gpio `{}`: `allow` says something twice", table.label));
        }
        let rates = line_rates(table, rates)?;
        for label in core::iter::once(&table.label).chain(&table.also) {
            check_label("gpio.label", label)?;
            if !labels.insert(label.as_str()) {
                return Err(format!("gpio `{label}`: the label is there twice"));
            }
            lines.push(BoardLine {
                label: label.clone(),
                line: table.line,
                output: uses.contains(&Use::Out),
                input: uses.contains(&Use::In),
                edges: uses.contains(&Use::Edge),
                most_per_second: rates.most,
                default_per_second: rates.default,
            });
        }
    }
    Ok(lines)
}

fn board_devices(tables: &[DeviceTable]) -> Result<Vec<BoardDevice>, String> {
    let mut labels = HashSet::new();
    let mut taken = HashSet::new();
    let mut devices = Vec::new();
    for DeviceTable { label, address: first, to, allow: allowed } in tables {
        check_label("i2c.label", label)?;
        if !labels.insert(label.as_str()) {
            return Err(format!("i2c `{label}`: the label is there twice"));
        }
        let (first, last) = (*first, to.unwrap_or(*first));
        if first > last || last >= ADDRESSES {
            return Err(format!(
                "i2c `{label}`: {first:#04x} to {last:#04x} is no range within 0x00 to {:#04x}",
                ADDRESSES - 1
            ));
        }
        if let Some(twice) = (first..=last).find(|address| !taken.insert(*address)) {
            return Err(format!("i2c `{label}`: address {twice:#04x} has another label already"));
        }
        devices.push(BoardDevice { label: label.clone(), first, last, allowed: *allowed });
    }
    Ok(devices)
}

/// The addresses that may be asked for.
fn addresses(devices: &[BoardDevice]) -> [u64; 2] {
    devices.iter().filter(|device| device.allowed).fold([0; 2], |[low, high], device| {
        let [more_low, more_high] = CellGrants::i2c_range(device.first, device.last);
        [low | more_low, high | more_high]
    })
}

/// Labels are typed at a shell and in `--grant gpio:LABEL`: letters, digits, `_`, `-` and `.`.
fn check_label(key: &str, label: &str) -> Result<(), String> {
    // A label of digits only could not be told from a line's number.
    let number = label.bytes().all(|byte| byte.is_ascii_digit());
    if is_line_name(label) && !number {
        return Ok(());
    }
    Err(format!(
        "{key} \"{label}\" is not 1 to {MAX_LINE_BYTES} letters, digits, `_`, `-` and `.`, with a letter among them"
    ))
}

fn check_timers(key: &str, timers: u32, most: u32) -> Result<(), String> {
    if timers <= most { Ok(()) } else { Err(format!("{key} is {timers}; there are {most}")) }
}

fn period(key: &str, text: &str) -> Result<u64, String> {
    match quantity::nanoseconds(text).map_err(|problem| format!("{key}: {problem}"))? {
        // A period of 0 means "one-shot" to the timer, and as a minimum it would mean no limit.
        0 => Err(format!("{key} must not be 0")),
        nanoseconds => Ok(nanoseconds),
    }
}

fn mask(lines: &[BoardLine], allowed: impl Fn(&BoardLine) -> bool) -> u64 {
    lines.iter().filter(|line| allowed(line)).fold(0, |mask, line| mask | 1 << line.line)
}
