//! Sets of rights: normal form, what two sets have in common, and whether one lies within another.

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

use super::{ADDRESSES, MAX_RIGHTS, Right, RightError};
use crate::{Direction, Urgency, value_type::ValueType};

/// What may be done with one line. `Some(None)` is a right whose rate nobody stated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineRights {
    /// To drive it, with so many changes a second.
    pub output: Option<Option<u32>>,
    /// To read it. Always so where edges may be watched, since these tell the level.
    pub input: bool,
    /// To watch its edges, with so many of them a second.
    pub edges: Option<Option<u32>>,
}

/// What may be done with timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerRights {
    /// No shorter a period.
    pub minimum_period_ns: u64,
    /// So many; `None` where nobody stated it.
    pub count: Option<u32>,
}

/// A set of rights, in normal form: two sets that allow the same are equal, and have the same [texts](Rights::texts).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    lines: BTreeMap<String, LineRights>,
    channels: BTreeMap<(String, Way), Option<ValueType>>,
    /// A bit an address.
    addresses: u128,
    timers: Option<TimerRights>,
    memory_bytes: Option<u64>,
    module_bytes: Option<u64>,
    log_per_second: Option<u32>,
    cpu_percent: Option<u8>,
    priority: Option<Urgency>,
    node: bool,
}

/// A [`Direction`] with an order, to look channels up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Get,
    Put,
}

impl From<Direction> for Way {
    fn from(direction: Direction) -> Self {
        if direction == Direction::Put { Self::Put } else { Self::Get }
    }
}

/// A text of a list that is no right, or says again and otherwise what another said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongRight {
    /// The text.
    pub text: String,
    /// What is wrong; `None` where another of the list says something else of the same.
    pub error: Option<RightError>,
}

/// Why a list is not the one that its set has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotCanonical {
    /// It is none of rights.
    Wrong(WrongRight),
    /// It is another list of the set than this one.
    Form(Vec<String>),
}

impl fmt::Display for WrongRight {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.error {
            Some(error) => error.fmt(formatter),
            None => formatter.write_str("the list says twice what may be used of it"),
        }
    }
}

impl core::error::Error for WrongRight {}

impl Rights {
    /// The set of a list of texts, in any order.
    ///
    /// # Errors
    /// The first text that is no right or contradicts one before it, or the first beyond [`MAX_RIGHTS`].
    pub fn of<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Self, WrongRight> {
        let mut rights = Self::default();
        for (index, text) in texts.into_iter().enumerate() {
            let text = text.as_ref();
            let wrong = |error| WrongRight { text: text.to_string(), error };
            if index == MAX_RIGHTS {
                return Err(wrong(Some(RightError::Unknown)));
            }
            let right = Right::parse(text).map_err(|error| wrong(Some(error)))?;
            if !rights.add(right) {
                return Err(wrong(None));
            }
        }
        Ok(rights)
    }

    /// The set of a list that is [canonical](Rights::texts), as a token's must be: ascending, nothing twice, each in the one
    /// form that it has.
    ///
    /// # Errors
    /// What is wrong with a text, or the list that it should be.
    pub fn of_canonical<T: AsRef<str>>(texts: &[T]) -> Result<Self, NotCanonical> {
        let rights = Self::of(texts).map_err(NotCanonical::Wrong)?;
        let canonical = rights.texts();
        let is_canonical = canonical.len() == texts.len()
            && canonical.iter().zip(texts).all(|(canonical, text)| canonical == text.as_ref());
        if is_canonical { Ok(rights) } else { Err(NotCanonical::Form(canonical)) }
    }

    /// Adds a right; false where the set says something else of the same already, and nothing is changed.
    #[must_use]
    pub fn add(&mut self, right: Right) -> bool {
        match right {
            Right::Channel { name, direction, value_type } => {
                let key = (name, direction.into());
                match self.channels.get(&key) {
                    Some(there) => *there == value_type,
                    None => self.channels.insert(key, value_type).is_none(),
                }
            }
            Right::CpuShare(percent) => state(&mut self.cpu_percent, percent),
            Right::GpioEdges { line, per_second } => {
                let line = self.lines.entry(line).or_default();
                let is_new = state(&mut line.edges, per_second);
                line.input |= is_new;
                is_new
            }
            Right::GpioInput { line } => {
                self.lines.entry(line).or_default().input = true;
                true
            }
            Right::GpioOutput { line, per_second } => {
                state(&mut self.lines.entry(line).or_default().output, per_second)
            }
            Right::I2c { first, last } => {
                self.addresses |= (first..=last.min(ADDRESSES - 1)).fold(0, |mask, address| mask | 1 << address);
                true
            }
            Right::LogRate(per_second) => state(&mut self.log_per_second, per_second),
            Right::Memory(bytes) => state(&mut self.memory_bytes, bytes),
            Right::Module(bytes) => state(&mut self.module_bytes, bytes),
            Right::Node => {
                self.node = true;
                true
            }
            Right::Priority(class) => state(&mut self.priority, class),
            Right::Timers { minimum_period_ns, count } => {
                state(&mut self.timers, TimerRights { minimum_period_ns, count })
            }
        }
    }

    /// What both allow: of each amount the smaller, of each period the longer. What only one states is what it states.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let lines = self.lines.iter().filter_map(|(name, line)| {
            let both = line.intersection(*other.lines.get(name)?);
            (both != LineRights::default()).then(|| (name.clone(), both))
        });
        let channels = self.channels.iter().filter_map(|(key, one)| {
            let both = match (one, other.channels.get(key)?) {
                (Some(one), Some(other)) if one != other => return None,
                (Some(value_type), _) | (None, Some(value_type)) => Some(value_type.clone()),
                (None, None) => None,
            };
            Some((key.clone(), both))
        });
        Self {
            lines: lines.collect(),
            channels: channels.collect(),
            addresses: self.addresses & other.addresses,
            timers: both(self.timers, other.timers, |one, other| TimerRights {
                minimum_period_ns: one.minimum_period_ns.max(other.minimum_period_ns),
                count: least(one.count, other.count),
            }),
            memory_bytes: both(self.memory_bytes, other.memory_bytes, u64::min),
            module_bytes: both(self.module_bytes, other.module_bytes, u64::min),
            log_per_second: both(self.log_per_second, other.log_per_second, u32::min),
            cpu_percent: both(self.cpu_percent, other.cpu_percent, u8::min),
            priority: both(self.priority, other.priority, Urgency::min),
            node: self.node && other.node,
        }
    }

    /// Whether the set allows all that `other` allows. An amount that the set does not state is any amount.
    pub fn covers(&self, other: &Self) -> bool {
        let lines = other.lines.iter().all(|(name, line)| self.lines.get(name).is_some_and(|own| own.covers(*line)));
        let channels = other
            .channels
            .iter()
            .all(|(key, value_type)| self.channels.get(key).is_some_and(|own| own.is_none() || own == value_type));
        let timers = within(other.timers, self.timers, |small, large| {
            small.minimum_period_ns >= large.minimum_period_ns && is_least(small.count, large.count)
        });
        lines
            && channels
            && timers
            && other.addresses & !self.addresses == 0
            && within(other.memory_bytes, self.memory_bytes, |small, large| small <= large)
            && within(other.module_bytes, self.module_bytes, |small, large| small <= large)
            && within(other.log_per_second, self.log_per_second, |small, large| small <= large)
            && within(other.cpu_percent, self.cpu_percent, |small, large| small <= large)
            && within(other.priority, self.priority, |small, large| small <= large)
            && (self.node || !other.node)
    }

    /// The set with everything stated that a board has a default for: rates of the lines that it has, the timers and their
    /// number, memory, module, log and node. Filling in again changes nothing.
    #[must_use]
    pub fn filled_in(&self, defaults: &Self) -> Self {
        let mut filled = self.clone();
        for (name, line) in &mut filled.lines {
            let Some(default) = defaults.lines.get(name) else { continue };
            line.output = line.output.map(|rate| rate.or(default.output.flatten()));
            line.edges = line.edges.map(|rate| rate.or(default.edges.flatten()));
        }
        filled.timers = match (self.timers, defaults.timers) {
            (Some(timers), Some(default)) => Some(TimerRights { count: timers.count.or(default.count), ..timers }),
            (timers, default) => timers.or(default),
        };
        filled.memory_bytes = self.memory_bytes.or(defaults.memory_bytes);
        filled.module_bytes = self.module_bytes.or(defaults.module_bytes);
        filled.log_per_second = self.log_per_second.or(defaults.log_per_second);
        filled.node |= defaults.node;
        filled
    }

    /// The set with the limits on a schedule (share and urgency) of `other` where it states none itself. Two parties' sets get each
    /// other's before what both allow is looked for: who states no limit sets none.
    #[must_use]
    pub fn limited_as(&self, other: &Self) -> Self {
        let mut limited = self.clone();
        limited.cpu_percent = self.cpu_percent.or(other.cpu_percent);
        limited.priority = self.priority.or(other.priority);
        limited
    }

    /// The rights one by one, in the order of their texts.
    pub fn rights(&self) -> Vec<Right> {
        let mut rights = Vec::new();
        for ((name, way), value_type) in &self.channels {
            let direction = if *way == Way::Put { Direction::Put } else { Direction::Get };
            rights.push(Right::Channel { name: name.clone(), direction, value_type: value_type.clone() });
        }
        for (line, LineRights { output, input, edges }) in &self.lines {
            let line = || line.clone();
            rights.extend(output.map(|per_second| Right::GpioOutput { line: line(), per_second }));
            rights.extend(edges.map(|per_second| Right::GpioEdges { line: line(), per_second }));
            rights.extend((*input && edges.is_none()).then(|| Right::GpioInput { line: line() }));
        }
        rights.extend(ranges(self.addresses).map(|(first, last)| Right::I2c { first, last }));
        rights.extend(
            self.timers.map(|TimerRights { minimum_period_ns, count }| Right::Timers { minimum_period_ns, count }),
        );
        rights.extend(self.memory_bytes.map(Right::Memory));
        rights.extend(self.module_bytes.map(Right::Module));
        rights.extend(self.log_per_second.map(Right::LogRate));
        rights.extend(self.cpu_percent.map(Right::CpuShare));
        rights.extend(self.priority.map(Right::Priority));
        rights.extend(self.node.then_some(Right::Node));
        rights.sort_by_cached_key(Right::to_string);
        rights
    }

    /// The canonical texts, ascending by their bytes.
    pub fn texts(&self) -> Vec<String> {
        self.rights().iter().map(|right| format!("{right}")).collect()
    }

    /// What may be done with lines, by their names.
    pub fn lines(&self) -> impl Iterator<Item = (&str, LineRights)> {
        self.lines.iter().map(|(name, line)| (name.as_str(), *line))
    }

    /// Addresses at the I2C bus, those that follow each other together: first and last.
    pub fn i2c_ranges(&self) -> impl Iterator<Item = (u8, u8)> + use<> {
        ranges(self.addresses)
    }

    /// Timers.
    pub fn timers(&self) -> Option<TimerRights> {
        self.timers
    }

    /// Linear memory, in bytes.
    pub fn memory_bytes(&self) -> Option<u64> {
        self.memory_bytes
    }

    /// The module, in bytes.
    pub fn module_bytes(&self) -> Option<u64> {
        self.module_bytes
    }

    /// Records of output, a second.
    pub fn log_per_second(&self) -> Option<u32> {
        self.log_per_second
    }

    /// To know the node.
    pub fn node(&self) -> bool {
        self.node
    }

    /// The largest share of a processor, in percent; `None` sets no limit.
    pub fn cpu_percent(&self) -> Option<u8> {
        self.cpu_percent
    }

    /// The most urgent class; `None` sets no limit.
    pub fn priority(&self) -> Option<Urgency> {
        self.priority
    }

    /// Whether it may use that end of a channel: of that name, or that carries the service of that name.
    pub fn allows_channel(&self, name: &str, direction: Direction, value_type: &ValueType) -> bool {
        let own = self.channels.get(&(name.to_string(), direction.into()));
        own.is_some_and(|own| own.as_ref().is_none_or(|own| own == value_type))
    }

    /// Whether it says anything of channels.
    pub fn has_channels(&self) -> bool {
        !self.channels.is_empty()
    }

    /// The same set, and nothing of channels but what `keep` is true for.
    #[must_use]
    pub fn with_channels(&self, keep: impl Fn(&str, Direction) -> bool) -> Self {
        let mut kept = self.clone();
        let direction = |way: &Way| if *way == Way::Put { Direction::Put } else { Direction::Get };
        kept.channels.retain(|(name, way), _| keep(name, direction(way)));
        kept
    }
}

impl LineRights {
    fn intersection(self, other: Self) -> Self {
        Self {
            output: both(self.output, other.output, least),
            input: self.input && other.input,
            edges: both(self.edges, other.edges, least),
        }
    }

    fn covers(self, other: Self) -> bool {
        within(other.output, self.output, is_least)
            && within(other.edges, self.edges, is_least)
            && (self.input || !other.input)
    }
}

/// States an amount that nobody stated yet, or the same again.
fn state<T: PartialEq>(there: &mut Option<T>, stated: T) -> bool {
    match there {
        Some(there) => *there == stated,
        None => {
            *there = Some(stated);
            true
        }
    }
}

/// What both have a right to.
fn both<T>(one: Option<T>, other: Option<T>, common: impl Fn(T, T) -> T) -> Option<T> {
    one.zip(other).map(|(one, other)| common(one, other))
}

/// Whether who has the large right has the small one.
fn within<T>(small: Option<T>, large: Option<T>, fits: impl Fn(T, T) -> bool) -> bool {
    small.is_none_or(|small| large.is_some_and(|large| fits(small, large)))
}

/// The smaller of two amounts, of which one that is not stated is any amount.
fn least(one: Option<u32>, other: Option<u32>) -> Option<u32> {
    one.zip(other).map(|(one, other)| one.min(other)).or(one).or(other)
}

fn is_least(small: Option<u32>, large: Option<u32>) -> bool {
    large.is_none_or(|large| small.is_some_and(|small| small <= large))
}

fn ranges(addresses: u128) -> impl Iterator<Item = (u8, u8)> {
    let is_in = move |address: u8| addresses & (1 << address) != 0;
    let begins = (0..ADDRESSES).filter(move |address| is_in(*address) && (*address == 0 || !is_in(*address - 1)));
    begins.map(move |first| (first, (first..ADDRESSES).take_while(|address| is_in(*address)).last().unwrap_or(first)))
}
