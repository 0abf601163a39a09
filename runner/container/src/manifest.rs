//! The manifest: what `app.toml` says, as a node reads it.
//!
//! Every field but the name has a default, and a default is never written: one manifest has one encoding. Numbers are
//! nanoseconds, bytes or counts; 0 leaves the decision to the board.

mod decode;
mod encode;

use alloc::{string::String, vec::Vec};
use core::fmt;

use crate::{
    MAX_ATTRIBUTES, MAX_CHANNELS, MAX_ENTRIES, MAX_QUEUE_DEPTH, MAX_TEXT_BYTES,
    cbor::Violation,
    text::{check_name, check_version},
};

/// What a container says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The container's name, see [`crate::check_name`].
    pub name: String,
    /// Its version as semver has it; empty where it has none.
    pub version: String,
    /// The world that it is written for. A hint: it must agree with what the module's exports say.
    pub world: Option<World>,
    /// Arguments behind the name.
    pub arguments: Vec<String>,
    /// Environment variables, ascending by name.
    pub environment: Vec<(String, String)>,
    /// Rights that it asks for, as a person types them: `gpio:LED:out`, `timer:10ms`.
    pub grants: Vec<String>,
    /// What it may take at the most.
    pub limits: Limits,
    /// When it has lived long enough.
    pub lifetime: Lifetime,
    /// What happens when it ends.
    pub restart: Restart,
    /// The channels that it speaks over.
    pub channels: Vec<Channel>,
    /// The services that it offers.
    pub provides: Vec<Service>,
    /// The services that it asks for.
    pub needs: Vec<Service>,
    /// When it runs, and by when it is done.
    pub schedule: Option<Schedule>,
    /// What the numbers that a TinyContainer opens stand for, ascending by number. Empty: each is the board's line of that number.
    pub endpoints: Vec<Endpoint>,
}

/// The worlds, by their number in the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum World {
    /// WASI preview 1, `_start`.
    WasiCommand = 1,
    /// `on-start`, `on-loop`, `on-stop`.
    Reactor = 2,
    /// TinyContainer's `start`, `loop`, `stop`.
    TinyContainer = 3,
}

impl World {
    const ALL: [Self; 3] = [Self::WasiCommand, Self::Reactor, Self::TinyContainer];

    /// As it stands in `app.toml`, in `emit ps` and in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::WasiCommand => "wasi-command",
            Self::Reactor => "reactor",
            Self::TinyContainer => "tiny-container",
        }
    }

    /// The world of that name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|world| world.name() == name)
    }
}

/// The longest time each hook may take, and the most memory. 0: as the board says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Nanoseconds of the start hook.
    pub start_ns: u64,
    /// Nanoseconds of one call of the loop hook.
    pub loop_ns: u64,
    /// Nanoseconds of the stop hook.
    pub stop_ns: u64,
    /// Bytes of linear memory.
    pub memory_bytes: u64,
}

/// The container is stopped after so many loops or so much time, whichever comes first. 0: without an end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifetime {
    /// Calls of the loop hook.
    pub loops: u64,
    /// Nanoseconds since its start.
    pub time_ns: u64,
}

/// Whether a container that has ended is started again, and after which wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restart {
    /// When.
    pub policy: RestartPolicy,
    /// The wait before the first new start; it doubles with each.
    pub first_back_off_ns: u64,
    /// The longest wait.
    pub longest_back_off_ns: u64,
    /// New starts in a row before it is given up. 0: as the board says.
    pub attempts: u64,
}

/// When a container is started again, by its number in the manifest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum RestartPolicy {
    /// Never.
    #[default]
    Never = 0,
    /// When it failed.
    OnFailure = 1,
    /// Whenever it ended by itself.
    Always = 2,
}

impl RestartPolicy {
    const ALL: [Self; 3] = [Self::Never, Self::OnFailure, Self::Always];

    /// As it stands in `app.toml`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::OnFailure => "on-failure",
            Self::Always => "always",
        }
    }
}

/// A channel that the container speaks over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// What the container calls it; rules as for a container's name.
    pub name: String,
    /// Which way.
    pub direction: Direction,
    /// A WIT type as text.
    pub type_text: String,
    /// What is kept.
    pub kind: ChannelKind,
}

/// Which way a channel goes, seen from the container, by its number in the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Direction {
    /// It writes.
    Put = 1,
    /// It reads.
    Get = 2,
}

/// What a channel keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelKind {
    /// The last value.
    Latest,
    /// Values in their order.
    Queue {
        /// How many, 1 to [`MAX_QUEUE_DEPTH`].
        depth: u64,
    },
}

/// A service that the container offers or asks for over one of its channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The container's own channel that carries it: one that it puts into where it offers the service, one that it gets from
    /// where it asks for it. No channel carries two.
    pub channel: String,
    /// The service's name; rules as for a container's name.
    pub service: String,
    /// What tells it from others of the name, or what it must have, ascending by key.
    pub attributes: Vec<(String, String)>,
}

/// What a TinyContainer opens under a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The number that it gives to `open`.
    pub number: u64,
    /// The label of the board's line.
    pub line: String,
}

/// When a container wants to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// What releases it.
    pub release: Release,
    /// Nanoseconds from release to release, or the least between two of them.
    pub period_ns: u64,
    /// Nanoseconds from release to when its work must be done. 0: the period.
    pub deadline_ns: u64,
    /// Nanoseconds of computing for each release.
    pub budget_ns: u64,
    /// Nanoseconds by which its releases lie behind the node's grid.
    pub offset_ns: u64,
    /// What becomes of it when it is not done in time.
    pub on_overrun: OnOverrun,
    /// Who comes first, whatever the deadlines.
    pub class: Urgency,
    /// Calls of a release to each of [`CALLED_DOMAINS`]; none where the board's number is enough.
    pub calls: Option<[u8; CALLED_DOMAINS]>,
}

/// The domains that a container calls: `gpio`, `i2c`, `timer` and `exchange`, in this order.
pub const CALLED_DOMAINS: usize = 4;

/// How a manifest writes calls: this, which tells a stated 0 from nothing, and the four numbers, the first in the lowest byte.
const CALLS_STATED: u64 = 1 << 32;

/// What releases a container, by its number in the manifest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Release {
    /// The clock, once a period.
    #[default]
    Periodic = 0,
    /// Events that it waits for.
    Events = 1,
}

impl Release {
    const ALL: [Self; 2] = [Self::Periodic, Self::Events];
}

/// What becomes of a container that is not done at its deadline, by its number in the manifest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum OnOverrun {
    /// It goes on; the releases that it runs over are skipped.
    #[default]
    Skip = 0,
    /// It has failed.
    Stop = 1,
    /// It has failed and is started again.
    Restart = 2,
}

impl OnOverrun {
    const ALL: [Self; 3] = [Self::Skip, Self::Stop, Self::Restart];

    /// As it stands in `app.toml`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Stop => "stop",
            Self::Restart => "restart",
        }
    }
}

/// How urgent a container is, by its number in the manifest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Urgency {
    /// By deadline, behind the others.
    #[default]
    Normal = 0,
    /// By deadline, before what is normal.
    High = 1,
    /// By deadline, before everything else.
    Critical = 2,
}

impl Urgency {
    /// Every one, the least urgent first.
    pub const ALL: [Self; 3] = [Self::Normal, Self::High, Self::Critical];

    /// As it stands in `app.toml` and in a right.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|urgency| urgency.name() == name)
    }
}

impl Schedule {
    /// Nanoseconds from release to when its work must be done.
    #[must_use]
    pub const fn deadline_ns(&self) -> u64 {
        if self.deadline_ns == 0 { self.period_ns } else { self.deadline_ns }
    }

    fn can_be_kept(&self) -> bool {
        let grid = self.offset_ns < self.period_ns && (self.offset_ns == 0 || self.release == Release::Periodic);
        self.budget_ns > 0 && self.budget_ns <= self.deadline_ns() && self.deadline_ns() <= self.period_ns && grid
    }
}

/// What is wrong with a manifest, in which field, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManifestError {
    /// The rule that was broken.
    pub violation: Violation,
    /// The field, as `app.toml` names it; empty where it is the whole.
    pub field: &'static str,
    /// The byte of the section; none where the bytes are well and what they say is not.
    pub offset: Option<usize>,
}

impl ManifestError {
    const fn of(field: &'static str, violation: Violation) -> Self {
        Self { violation, field, offset: None }
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the manifest")?;
        if !self.field.is_empty() {
            write!(formatter, ", `{}`", self.field)?;
        }
        if let Some(offset) = self.offset {
            write!(formatter, ", at byte {offset}")?;
        }
        write!(formatter, ": {}", self.violation)
    }
}

impl core::error::Error for ManifestError {}

type Result<T> = core::result::Result<T, ManifestError>;

impl Manifest {
    /// A manifest of that name with nothing else.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Whether it keeps the rules that its types do not.
    ///
    /// # Errors
    /// The first rule that it breaks. How large it becomes is looked at by [`Manifest::encode`].
    pub fn check(&self) -> Result<()> {
        check_name(&self.name).map_err(|violation| ManifestError::of("name", violation))?;
        if !self.version.is_empty() {
            check_text("version", &self.version)?;
            check_version(&self.version).map_err(|violation| ManifestError::of("version", violation))?;
        }
        check_list("arguments", &self.arguments, |field, text| check_length(field, text))?;
        check_environment(&self.environment)?;
        check_list("grants", &self.grants, |field, text| check_text(field, text))?;
        self.check_restart()?;
        if self.schedule.is_some_and(|schedule| !schedule.can_be_kept()) {
            return Err(ManifestError::of("schedule", Violation::Schedule));
        }
        self.check_channels()?;
        self.check_services("provides", &self.provides, Direction::Put)?;
        self.check_services("needs", &self.needs, Direction::Get)?;
        self.check_endpoints()
    }

    fn check_restart(&self) -> Result<()> {
        let Restart { first_back_off_ns, longest_back_off_ns, .. } = self.restart;
        if longest_back_off_ns != 0 && longest_back_off_ns < first_back_off_ns {
            return Err(ManifestError::of("restart", Violation::BackOff));
        }
        Ok(())
    }

    fn check_channels(&self) -> Result<()> {
        if self.channels.len() > MAX_CHANNELS {
            return Err(ManifestError::of("channel", Violation::TooManyChannels));
        }
        check_list("channel", &self.channels, |_, channel| {
            check_name(&channel.name).map_err(|violation| ManifestError::of("channel.name", violation))?;
            check_text("channel.type", &channel.type_text)?;
            match channel.kind {
                ChannelKind::Queue { depth } if !(1..=MAX_QUEUE_DEPTH).contains(&depth) => {
                    Err(ManifestError::of("channel.depth", Violation::Depth))
                }
                _ => Ok(()),
            }
        })?;
        let twice = |(index, channel): (usize, &Channel)| {
            self.channels.iter().take(index).any(|other| other.name == channel.name)
        };
        if self.channels.iter().enumerate().any(twice) {
            return Err(ManifestError::of("channel.name", Violation::EntryOrder));
        }
        Ok(())
    }

    fn check_endpoints(&self) -> Result<()> {
        const FIELD: &str = "endpoint";
        check_list(FIELD, &self.endpoints, |field, endpoint| {
            if endpoint.number > u64::from(u32::MAX) {
                return Err(ManifestError::of(field, Violation::NumberTooLarge));
            }
            check_text(field, &endpoint.line)
        })?;
        if self.endpoints.is_sorted_by(|one, other| one.number < other.number) {
            Ok(())
        } else {
            Err(ManifestError::of(FIELD, Violation::EntryOrder))
        }
    }

    fn check_services(&self, field: &'static str, services: &[Service], direction: Direction) -> Result<()> {
        for (index, Service { channel, service, attributes }) in services.iter().enumerate() {
            let fault = |violation| ManifestError::of(field, violation);
            let declared = self.channels.iter().find(|declared| declared.name == *channel);
            let declared = declared.ok_or(fault(Violation::NoSuchChannel))?;
            if declared.direction != direction {
                return Err(fault(Violation::ChannelDirection));
            }
            if services.iter().take(index).any(|other| other.channel == *channel) {
                return Err(fault(Violation::EntryOrder));
            }
            check_name(service).map_err(fault)?;
            check_attributes(field, attributes)?;
        }
        Ok(())
    }
}

fn check_list<T>(field: &'static str, list: &[T], check: impl Fn(&'static str, &T) -> Result<()>) -> Result<()> {
    if list.len() > MAX_ENTRIES {
        return Err(ManifestError::of(field, Violation::TooManyEntries));
    }
    list.iter().try_for_each(|entry| check(field, entry))
}

/// What WASI programs are given: any text without a zero byte, which would end it.
fn check_length(field: &'static str, text: &str) -> Result<()> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(ManifestError::of(field, Violation::TextTooLong));
    }
    if text.contains('\0') { Err(ManifestError::of(field, Violation::ControlCharacter)) } else { Ok(()) }
}

/// What a person is shown: not empty, without control characters.
fn check_text(field: &'static str, text: &str) -> Result<()> {
    check_length(field, text)?;
    if text.is_empty() {
        return Err(ManifestError::of(field, Violation::Empty));
    }
    if text.chars().any(char::is_control) { Err(ManifestError::of(field, Violation::ControlCharacter)) } else { Ok(()) }
}

fn check_environment(environment: &[(String, String)]) -> Result<()> {
    const FIELD: &str = "environment";
    check_list(FIELD, environment, |field, (name, value)| {
        check_length(field, name)?;
        check_length(field, value)?;
        if name.is_empty() || name.contains('=') { Err(ManifestError::of(field, Violation::Variable)) } else { Ok(()) }
    })?;
    check_ascending(FIELD, environment)
}

fn check_attributes(field: &'static str, attributes: &[(String, String)]) -> Result<()> {
    if attributes.len() > MAX_ATTRIBUTES {
        return Err(ManifestError::of(field, Violation::TooManyAttributes));
    }
    check_list(field, attributes, |field, (key, value)| {
        check_name(key).map_err(|violation| ManifestError::of(field, violation))?;
        check_text(field, value)
    })?;
    check_ascending(field, attributes)
}

fn check_ascending(field: &'static str, pairs: &[(String, String)]) -> Result<()> {
    if pairs.is_sorted_by(|one, other| one.0 < other.0) {
        Ok(())
    } else {
        Err(ManifestError::of(field, Violation::EntryOrder))
    }
}
