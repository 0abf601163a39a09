//! Rights: what a container may use, in the one text form that people type and tokens carry.
//!
//! A manifest, a command line, a token, the board's policy and `emit inspect` all speak of rights in the same words, and this is
//! the one place that reads and writes them. [`Right`] is one of them, [`Rights`] is a set of them with the one operation that
//! matters: what two parties *both* allow ([`Rights::intersection`]). Nothing here knows a board: whether it has a line of that
//! name is its policy's to say.
//!
//! | right | what it allows |
//! |---|---|
//! | `channel:NAME:put`, `channel:NAME:get`, each also with `:TYPE` | one end of a channel, or of a service of that name |
//! | `cpu:20%` | at the most such a share of a processor |
//! | `gpio:LINE:in` | to read a line |
//! | `gpio:LINE:out@100/s` | to drive it, with so many changes of level a second |
//! | `gpio:LINE:edge@100/s` | to read it and be told of so many edges a second |
//! | `i2c:0x48`, `i2c:0x48-0x4f` | devices at the I2C bus |
//! | `log:100/s` | so many records of output a second |
//! | `memory:4MiB` | linear memory |
//! | `module:2MiB` | the module's own size |
//! | `node` | to be told the board's name, its software's version and what it runs on |
//! | `priority:high` | a schedule of that class of urgency, or of a less urgent one |
//! | `timer:10ms:7` | timers, no shorter a period, so many of them |
//!
//! What stands behind `@` and the timers' number may be left out: then the party says nothing of it. A set that is to be held
//! against another is [filled in](Rights::filled_in) with the board's defaults first, so that "says nothing" never means
//! "anything". `cpu` and `priority` are limits on what a schedule asks for, and have no default: a party that states none sets none
//! ([`Rights::limited_as`]), and the board's hold.

mod set;
#[cfg(test)]
mod tests;
mod units;

use alloc::string::{String, ToString};
use core::fmt;

use crate::{Direction, Urgency, check_name, value_type::ValueType};

pub use set::{LineRights, NotCanonical, Rights, TimerRights, WrongRight};
pub use units::{bytes_text, duration_text, rate_of};

/// The most rights in one list: as many as a manifest has room for.
pub const MAX_RIGHTS: usize = crate::MAX_ENTRIES;

/// The longest name of a line, in bytes: it is shown in tables and sent in every right.
pub const MAX_LINE_BYTES: usize = 32;

/// The highest rate, a second: one each microsecond, which is less time than any call of a driver takes.
pub const MAX_RATE: u32 = 1_000_000;

/// Addresses that a device at an I2C bus can have: seven bits.
const ADDRESSES: u8 = 128;

/// One right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Right {
    /// One end of a channel of that name, or of any channel that carries the service of that name.
    Channel {
        /// The channel's or the service's.
        name: String,
        /// Which end.
        direction: Direction,
        /// Of its values; `None` says nothing of it.
        value_type: Option<ValueType>,
    },
    /// A share of a processor, in percent.
    CpuShare(u8),
    /// To read the line and watch its edges.
    GpioEdges {
        /// As the board calls it.
        line: String,
        /// Edges that are told one by one, a second; `None` says nothing of it.
        per_second: Option<u32>,
    },
    /// To read the line.
    GpioInput {
        /// As the board calls it.
        line: String,
    },
    /// To drive the line.
    GpioOutput {
        /// As the board calls it.
        line: String,
        /// Changes of its level, a second; `None` says nothing of it.
        per_second: Option<u32>,
    },
    /// To speak to the devices from the first address to the last, both with it.
    I2c {
        /// Seven bits.
        first: u8,
        /// The same as the first for one device.
        last: u8,
    },
    /// Records of output, a second.
    LogRate(u32),
    /// Linear memory, in bytes.
    Memory(u64),
    /// The module, in bytes.
    Module(u64),
    /// To know the node.
    Node,
    /// A schedule of that urgency, or less.
    Priority(Urgency),
    /// Timers.
    Timers {
        /// No shorter a period.
        minimum_period_ns: u64,
        /// How many; `None` says nothing of it.
        count: Option<u32>,
    },
}

/// Why a text is no right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RightError {
    /// It begins with no word that a right begins with.
    Unknown,
    /// The line's name is empty, too long, or has a character that no line's name has.
    Line,
    /// A line is used in another way.
    Use,
    /// No rate.
    Rate,
    /// No address, or no range of them.
    Address,
    /// No duration.
    Duration,
    /// No size.
    Size,
    /// No number of timers.
    Timers,
    /// The channel's name, direction or type.
    Channel,
    /// No share.
    Share,
    /// No class of urgency.
    Class,
}

impl fmt::Display for RightError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Unknown => {
                "expected gpio:LINE:out, gpio:LINE:in, gpio:LINE:edge (out and edge also with a rate, as @100/s), \
                 i2c:ADDRESS, i2c:FIRST-LAST, timer:PERIOD, timer:PERIOD:NUMBER, channel:NAME:put, channel:NAME:get \
                 (also with :TYPE), memory:SIZE, module:SIZE, log:RATE, node, cpu:PERCENT or priority:CLASS"
            }
            Self::Line => "a line's name is 1 to 32 letters, digits, `_`, `-` and `.`",
            Self::Use => "a line is asked for as `out`, `in` or `edge`",
            Self::Rate => "a rate is 1/s to 1000000/s, and only `out` and `edge` of a line have one",
            Self::Address => "an I2C address is 0x00 to 0x7f; a range begins with the lower one, as i2c:0x48-0x4f",
            Self::Duration => "a period is a whole number with ns, us, ms or s, as `10ms`, and not 0",
            Self::Size => "a size is a whole number with B, KiB, MiB or GiB, as `64KiB`, and not 0",
            Self::Timers => "a number of timers is a whole number above 0",
            Self::Channel => "a channel is asked for as channel:NAME:put or channel:NAME:get, with its type or without",
            Self::Share => "a share is 1% to 100%",
            Self::Class => "a class of urgency is `normal`, `high` or `critical`",
        })
    }
}

impl core::error::Error for RightError {}

impl Right {
    /// The right that a person typed or a token carries. A text need not be canonical: `timer:1000us` is `timer:1ms`.
    ///
    /// # Errors
    /// What of it is wrong.
    pub fn parse(text: &str) -> Result<Self, RightError> {
        let (kind, rest) = text.split_once(':').map_or((text, None), |(kind, rest)| (kind, Some(rest)));
        match (kind, rest) {
            ("node", None) => Ok(Self::Node),
            ("gpio", Some(rest)) => gpio(rest),
            ("i2c", Some(rest)) => i2c(rest),
            ("timer", Some(rest)) => timers(rest),
            ("channel", Some(rest)) => channel(rest),
            ("memory", Some(rest)) => units::bytes(rest).map(Self::Memory),
            ("module", Some(rest)) => units::bytes(rest).map(Self::Module),
            ("log", Some(rest)) => units::rate_of(rest).map(Self::LogRate),
            ("cpu", Some(rest)) => share(rest).map(Self::CpuShare),
            ("priority", Some(rest)) => Urgency::of(rest).map(Self::Priority).ok_or(RightError::Class),
            _ => Err(RightError::Unknown),
        }
    }

    /// Whether both speak of the same: a line, timers, addresses that overlap. A person who types the one means it instead of
    /// the other.
    pub fn is_for_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::I2c { first, last }, Self::I2c { first: other_first, last: other_last }) => {
                first <= other_last && other_first <= last
            }
            (
                Self::Channel { name, direction, .. },
                Self::Channel { name: other_name, direction: other_direction, .. },
            ) => name == other_name && direction == other_direction,
            _ => match (self.line(), other.line()) {
                (None, None) => core::mem::discriminant(self) == core::mem::discriminant(other),
                (one, other) => one == other,
            },
        }
    }

    /// The line that it is about.
    pub fn line(&self) -> Option<&str> {
        match self {
            Self::GpioEdges { line, .. } | Self::GpioInput { line } | Self::GpioOutput { line, .. } => Some(line),
            _ => None,
        }
    }
}

/// The canonical text.
impl fmt::Display for Right {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Channel { name, direction, value_type } => {
                let direction = if *direction == Direction::Put { "put" } else { "get" };
                write!(formatter, "channel:{name}:{direction}")?;
                value_type.as_ref().map_or(Ok(()), |value_type| write!(formatter, ":{value_type}"))
            }
            Self::CpuShare(percent) => write!(formatter, "cpu:{percent}%"),
            Self::GpioEdges { line, per_second } => {
                write!(formatter, "gpio:{line}:edge")?;
                per_second.map_or(Ok(()), |rate| write!(formatter, "@{rate}/s"))
            }
            Self::GpioInput { line } => write!(formatter, "gpio:{line}:in"),
            Self::GpioOutput { line, per_second } => {
                write!(formatter, "gpio:{line}:out")?;
                per_second.map_or(Ok(()), |rate| write!(formatter, "@{rate}/s"))
            }
            Self::I2c { first, last } if first == last => write!(formatter, "i2c:{first:#04x}"),
            Self::I2c { first, last } => write!(formatter, "i2c:{first:#04x}-{last:#04x}"),
            Self::LogRate(per_second) => write!(formatter, "log:{per_second}/s"),
            Self::Memory(bytes) => write!(formatter, "memory:{}", bytes_text(*bytes)),
            Self::Module(bytes) => write!(formatter, "module:{}", bytes_text(*bytes)),
            Self::Node => formatter.write_str("node"),
            Self::Priority(most) => write!(formatter, "priority:{}", most.name()),
            Self::Timers { minimum_period_ns, count } => {
                write!(formatter, "timer:{}", duration_text(*minimum_period_ns))?;
                count.map_or(Ok(()), |count| write!(formatter, ":{count}"))
            }
        }
    }
}

/// Whether that may be a line's name.
pub fn is_line_name(name: &str) -> bool {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    plain && !name.is_empty() && name.len() <= MAX_LINE_BYTES
}

fn gpio(rest: &str) -> Result<Right, RightError> {
    let (line, used) = rest.rsplit_once(':').ok_or(RightError::Use)?;
    if !is_line_name(line) {
        return Err(RightError::Line);
    }
    let (used, rate) = used.split_once('@').map_or((used, None), |(used, rate)| (used, Some(rate)));
    let line = line.to_string();
    let per_second = rate.map(units::rate_of).transpose();
    match used {
        "out" => Ok(Right::GpioOutput { line, per_second: per_second? }),
        "edge" => Ok(Right::GpioEdges { line, per_second: per_second? }),
        "in" if rate.is_none() => Ok(Right::GpioInput { line }),
        "in" => Err(RightError::Rate),
        _ => Err(RightError::Use),
    }
}

fn i2c(rest: &str) -> Result<Right, RightError> {
    let (first, last) = rest.split_once('-').unwrap_or((rest, rest));
    let (first, last) = (address(first)?, address(last)?);
    if first <= last { Ok(Right::I2c { first, last }) } else { Err(RightError::Address) }
}

/// As data sheets have it, `0x48`, or in decimal.
fn address(text: &str) -> Result<u8, RightError> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u8::from_str_radix(digits, 16),
        None => text.parse(),
    };
    // Both take a sign, which no address has.
    let address = number.ok().filter(|address| *address < ADDRESSES && !text.contains('+'));
    address.ok_or(RightError::Address)
}

fn timers(rest: &str) -> Result<Right, RightError> {
    let (period, count) = rest.split_once(':').map_or((rest, None), |(period, count)| (period, Some(count)));
    let minimum_period_ns = units::nanoseconds(period)?;
    let number = |text: &str| units::number(text).and_then(|count| u32::try_from(count).ok()).ok_or(RightError::Timers);
    Ok(Right::Timers { minimum_period_ns, count: count.map(number).transpose()? })
}

fn channel(rest: &str) -> Result<Right, RightError> {
    let wrong = || RightError::Channel;
    let (name, rest) = rest.split_once(':').ok_or_else(wrong)?;
    let (direction, value_type) = rest.split_once(':').map_or((rest, None), |(way, of)| (way, Some(of)));
    check_name(name).map_err(|_| wrong())?;
    let direction = match direction {
        "put" => Direction::Put,
        "get" => Direction::Get,
        _ => return Err(wrong()),
    };
    let value_type = value_type.map(|text| ValueType::parse(text).map_err(|_| wrong())).transpose()?;
    Ok(Right::Channel { name: name.to_string(), direction, value_type })
}

fn share(rest: &str) -> Result<u8, RightError> {
    let percent = rest.strip_suffix('%').and_then(units::number).and_then(|percent| u8::try_from(percent).ok());
    percent.filter(|percent| *percent <= 100).ok_or(RightError::Share)
}
