//! The messages of a session, in `postcard`.
//!
//! The agent greets ([`FromAgent::Hello`]) and gets [`FromNode::Welcome`] or [`FromNode::VersionMismatch`]; then each
//! [`Request`] gets exactly one [`FromNode::Answer`] or [`FromNode::Failure`] with its number, in any order. Enumerations
//! only ever grow at their end; anything else is a new major version.

use alloc::{boxed::Box, string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::AuditPage;

/// The first thing in a greeting: "ATOL" read as little-endian. Another protocol's bytes are told from ours by it.
pub const HELLO_MAGIC: u32 = u32::from_le_bytes(*b"ATOL");

/// Raised when an older peer could misread something.
pub const PROTOCOL_MAJOR: u16 = 3;

/// Raised when something was added that an older peer does not know.
pub const PROTOCOL_MINOR: u16 = 3;

/// Bytes of a module in one [`Request::Chunk`]: half a frame, so that an upload shares the link with small answers.
pub const CHUNK_BYTES: usize = 4 * 1024;

/// The longest token of a [`Request::ChangeKeys`], in bytes.
pub const MAX_CHANGE_BYTES: usize = 2 * 1024;

/// Chunks that may be on their way without an acknowledgement.
pub const CHUNK_CREDIT: u32 = 8;

/// The longest name of a container, in bytes: `[a-z0-9][a-z0-9._-]*`.
pub const MAX_NAME_BYTES: usize = 40;

/// The most arguments and environment entries of a container, together.
pub const MAX_ARGUMENTS: usize = 64;

/// The most bytes of arguments and environment together.
pub const MAX_ARGUMENT_BYTES: usize = 4096;

/// From `emit` to the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromAgent {
    /// Opens a session. Its layout never changes, in any version.
    Hello {
        /// [`HELLO_MAGIC`].
        magic: u32,
        /// The agent's [`PROTOCOL_MAJOR`].
        major: u16,
        /// The agent's [`PROTOCOL_MINOR`].
        minor: u16,
    },
    /// Asks for something.
    Request {
        /// Chosen by the agent; comes back in the answer.
        number: u32,
        /// What is asked.
        request: Request,
    },
}

/// From the node to `emit`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromNode {
    /// The greeting's answer: go on. Its layout never changes, in any version.
    Welcome {
        /// The node's [`PROTOCOL_MAJOR`].
        major: u16,
        /// The node's [`PROTOCOL_MINOR`].
        minor: u16,
    },
    /// The greeting's answer: the majors differ, the session is of no use. Its layout never changes, in any version.
    VersionMismatch {
        /// The node's [`PROTOCOL_MAJOR`].
        major: u16,
        /// The node's [`PROTOCOL_MINOR`].
        minor: u16,
    },
    /// A request was served.
    Answer {
        /// The request's number.
        number: u32,
        /// The answer.
        answer: Answer,
    },
    /// A request was not served.
    Failure {
        /// The request's number; 0 where it could not be read.
        number: u32,
        /// What kind of failure.
        code: ErrorCode,
        /// What was wrong, where: names and numbers that the code alone does not tell. May be empty.
        detail: String,
    },
}

/// What `emit` asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// The node: [`Answer::Info`].
    Info,
    /// All containers: [`Answer::Containers`].
    List,
    /// Begins an upload; reserves a cell for this session: [`Answer::Ready`]. Chunks follow, then [`Request::Commit`].
    Deploy(DeployRequest),
    /// Bytes of the module, in order: [`Answer::Acknowledged`].
    Chunk {
        /// 0, 1, 2, … Each upload counts its own.
        sequence: u32,
        /// At the most [`CHUNK_BYTES`].
        bytes: Vec<u8>,
    },
    /// All chunks are sent. Answered with [`Answer::Container`] once the container is installed (or started, where that
    /// was asked), or with the failure after which nothing of it is left.
    Commit,
    /// Runs an installed or ended container: [`Answer::Container`].
    Start(String),
    /// Asks it to stop and waits until it has ended: [`Answer::Container`].
    Stop(String),
    /// Stop, load again, start: [`Answer::Container`].
    Restart(String),
    /// Ends it at once, without its stop hook: [`Answer::Container`].
    Kill(String),
    /// Removes an ended or installed container; a running one is refused: [`Answer::Done`].
    Remove(String),
    /// One container in full: [`Answer::Container`].
    Inspect(String),
    /// Output from `cursor` on: [`Answer::Logs`].
    Logs {
        /// The container.
        name: String,
        /// The number of the first record that is wanted; 0 for the oldest kept.
        cursor: u64,
    },
    /// What happened to containers, from `cursor` on: [`Answer::Events`].
    Events {
        /// The number of the first event that is wanted; 0 for the oldest kept.
        cursor: u64,
    },
    /// Every channel that the node holds values for: [`Answer::Channels`].
    Channels,
    /// Begins an upload like [`Request::Deploy`], of another version of the container of that name. Once it is committed and
    /// has proved itself it takes the other's place; else the other goes on. [`Answer::Container`] tells which is there.
    Update {
        /// The new version; `start` and `attached` have no meaning.
        deploy: DeployRequest,
        /// How long the new version must be well before the old one goes, in nanoseconds; 0 leaves it to the node.
        probation_ns: u64,
    },
    /// The audit log, from `cursor` on: [`Answer::Audit`]. Since version 2.1.
    Audit {
        /// The number of the first entry that is wanted; 0 for the oldest kept.
        cursor: u64,
    },
    /// Changes whose signatures the node believes, until its next start: [`Answer::KeysChanged`].
    ChangeKeys {
        /// The owner's token that says so, at the most [`MAX_CHANGE_BYTES`].
        token: Vec<u8>,
    },
    /// How punctual a container with a schedule is: [`Answer::Timing`]. Since version 3.2.
    Timing(String),
    /// Begins an upload like [`Request::Deploy`], of what is looked over and never loaded; its commit is answered with
    /// [`Answer::Admitted`]. Since version 3.3.
    DryRun(DeployRequest),
    /// Everybody who has a schedule: [`Answer::Schedule`]. Since version 3.3.
    Schedule,
}

/// What an upload will be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployRequest {
    /// See [`MAX_NAME_BYTES`].
    pub name: String,
    /// The whole module, in bytes.
    pub size: u32,
    /// SHA-256 of the whole module.
    pub sha256: [u8; 32],
    /// What it asks for, each as a person types it. The node refuses what it does not understand, and what the board policy
    /// does not allow.
    pub grants: Vec<String>,
    /// The command's arguments behind its name.
    pub arguments: Vec<String>,
    /// `NAME`, `value`.
    pub environment: Vec<(String, String)>,
    /// Start it once it is installed.
    pub start: bool,
    /// The container belongs to this session: it is killed and removed when the session ends (`emit run`).
    pub attached: bool,
}

/// What the node answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Done, nothing to add.
    Done,
    /// The upload may begin.
    Ready {
        /// Chunks that may be sent ahead of their acknowledgement.
        credit: u32,
    },
    /// A chunk arrived.
    Acknowledged {
        /// Its sequence number.
        sequence: u32,
        /// Bytes of the module that have arrived.
        received: u32,
    },
    /// A container.
    Container(Box<ContainerReport>),
    /// All containers.
    Containers(Vec<ContainerReport>),
    /// The node.
    Info(Box<NodeReport>),
    /// A page of output; ask again from `next` for more.
    Logs {
        /// In the order in which they were written.
        records: Vec<LogRecord>,
        /// The cursor behind the last record.
        next: u64,
        /// Records lost between the asked cursor and the first record: dropped from a full log, or by a cell that could
        /// not deliver.
        lost: u64,
        /// The container has ended and nothing more will come.
        ended: bool,
    },
    /// A page of events; ask again from `next` for more.
    Events {
        /// In the order in which the node saw them.
        records: Vec<EventRecord>,
        /// The cursor behind the last record.
        next: u64,
        /// Events that were dropped from a full list between the asked cursor and the first record.
        lost: u64,
    },
    /// Channels, by name.
    Channels(Vec<ChannelReport>),
    /// A page of the audit log.
    Audit(Box<AuditPage>),
    /// The keys were changed. A container that a revoked key signed is never loaded again.
    KeysChanged {
        /// Those of them that were told to stop, by name. They have ended when their stop hook has, or its limit is over.
        stopped: Vec<String>,
        /// Those that had ended before.
        barred: Vec<String>,
    },
    /// How punctual a container is.
    Timing(Box<TimingReport>),
    /// What would be deployed.
    Admitted(Box<AdmissionReport>),
    /// Everybody who has a schedule.
    Schedule(Box<ScheduleTable>),
}

/// What would become of an upload that is only looked over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdmissionReport {
    /// The container's name.
    pub name: String,
    /// The version in its manifest; empty where it has none.
    pub version: String,
    /// The rights that it would have, as a person would type them.
    pub rights: Vec<String>,
    /// Who signed it; empty for one that nobody signed.
    pub signers: Vec<SignerReport>,
    /// Everybody who has a schedule, with this one; none where it has no schedule.
    pub schedule: Option<ScheduleTable>,
}

/// Everybody who has a schedule, the highest priority first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleTable {
    /// The containers.
    pub rows: Vec<ScheduleRow>,
    /// Of the processor for the domains above the cells and for the classes of these, in millionths.
    pub promised_ppm: u32,
    /// What the admission test took the node for.
    pub platform: PlatformReport,
}

/// A container with a schedule. All times are in nanoseconds where nothing else is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleRow {
    /// The container.
    pub name: String,
    /// The cell that it is in.
    pub cell: u8,
    /// What it keeps to.
    pub schedule: ScheduleReport,
    /// How many calls were counted for a release, those of its cell among them, in the order of [`PlatformReport::calls`].
    pub calls: Vec<u16>,
    /// The longest from a release to when its work is done.
    pub response_ns: u64,
    /// What is left of its deadline then.
    pub slack_ns: u64,
    /// By which the kernel holds it.
    pub class: ScheduledClass,
    /// Its priority; higher comes first.
    pub priority: u32,
    /// It is under class and priority now: its container runs.
    pub in_force: bool,
    /// How often the class's budget was used up since the last load.
    pub exhausted: u64,
}

/// A class: so much of the processor in each period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduledClass {
    /// Which, counted from 0 as in `system.xml`.
    pub number: u32,
    /// In microseconds.
    pub budget_us: u32,
    /// In microseconds.
    pub period_us: u32,
}

/// What a node costs, as its board policy states it. All times are in nanoseconds, and upper bounds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlatformReport {
    /// The clock releases containers at ticks, so far apart.
    pub tick_ns: u64,
    /// How much later than its tick a container can run.
    pub tick_jitter_ns: u64,
    /// How much later than its event.
    pub event_jitter_ns: u64,
    /// Of a switch between cells.
    pub switch_ns: u64,
    /// The longest stretch in which the kernel cannot be preempted.
    pub blocking_ns: u64,
    /// Of a budget, what is of no use.
    pub least_budget_ns: u64,
    /// Into how many pieces a budget falls.
    pub refills: u16,
    /// The domains that containers call, and what a call costs.
    pub calls: Vec<(String, u64)>,
    /// What runs above the cells.
    pub system: Vec<ActivityReport>,
}

/// Something that runs above the cells. All times are in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivityReport {
    /// A domain, or what else it is.
    pub name: String,
    /// The longest that one activation takes.
    pub budget_ns: u64,
    /// The shortest time between two.
    pub period_ns: u64,
    /// How much later than planned one may be.
    pub jitter_ns: u64,
}

/// How punctual a container with a schedule is, as its cell counted it. All times are in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimingReport {
    /// The container.
    pub name: String,
    /// What it keeps to.
    pub schedule: ScheduleReport,
    /// Releases that its work began for.
    pub released: u64,
    /// Of these, those whose work is done.
    pub completed: u64,
    /// Of the released ones, those whose deadline passed before their work was done.
    pub missed: u64,
    /// Releases for which no work began, because that of one before went on.
    pub skipped: u64,
    /// Distributions: `release jitter`, `response`, `slack`, `host call`. Names are stable.
    pub measures: Vec<MeasureReport>,
}

/// A schedule, as the node keeps it. All times are in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleReport {
    /// `periodic` or `events`.
    pub release: String,
    /// From release to release, or the least between two of them.
    pub period_ns: u64,
    /// From a release to when its work must be done.
    pub deadline_ns: u64,
    /// Of the processor's time for each release.
    pub budget_ns: u64,
    /// By which its releases lie behind the node's grid.
    pub offset_ns: u64,
    /// `skip`, `stop` or `restart`.
    pub on_overrun: String,
    /// `normal`, `high` or `critical`.
    pub class: String,
}

/// A distribution of times in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasureReport {
    /// Of what.
    pub name: String,
    /// How many values.
    pub count: u64,
    /// Their sum.
    pub sum_ns: u64,
    /// The least.
    pub least_ns: u64,
    /// The largest.
    pub most_ns: u64,
    /// How many values are no larger than this and larger than the bucket's before, the smallest first. Empty ones are left out.
    pub buckets: Vec<(u64, u32)>,
}

/// Something that happened to a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRecord {
    /// Nanoseconds since the node's start: when it happened, as far as cell or warden told, else when it was seen.
    pub time_ns: u64,
    /// The container.
    pub container: String,
    /// The cell that it was in.
    pub cell: u8,
    /// Which load it was of; 0 before the first.
    pub generation: u32,
    /// What: a state (`loading`, `installed`, `starting`, `running`, `stopping`, `finalised`, `failed`), or one of
    /// `deployed`, `restart-scheduled`, `restarted`, `given-up`, `removed`, `update-*`, `channel-*`. Names are stable.
    pub event: String,
    /// Why, and what follows, in words. May be empty.
    pub text: String,
}

/// A channel, as the domain that holds its values sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelReport {
    /// Its address: the name of a plain channel, `service{key=value}` of a service.
    pub address: String,
    /// The WIT type of its values.
    pub type_text: String,
    /// `latest` or `queue`.
    pub kind: String,
    /// How many values it has room for.
    pub depth: u32,
    /// How many it holds.
    pub held: u32,
    /// Values put, ever.
    pub puts: u64,
    /// Values taken, ever.
    pub takes: u64,
    /// Values that were written over before anybody took them.
    pub overwritten: u64,
    /// Values refused because it was full.
    pub refused: u64,
    /// When the last value was put, nanoseconds since the node's start; 0 before.
    pub last_put_ns: u64,
    /// The first bytes of the last value.
    pub last_value: Vec<u8>,
    /// The container that writes it; empty where there is none now.
    pub writer: String,
    /// The containers that read it.
    pub readers: Vec<String>,
}

/// A channel as a container declares it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindingReport {
    /// What the container calls it.
    pub name: String,
    /// `put` or `get`.
    pub direction: String,
    /// The WIT type of its values.
    pub type_text: String,
    /// The address that it is bound to or waits for.
    pub address: String,
    /// It is bound.
    pub bound: bool,
}

/// A piece of a container's output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRecord {
    /// Nanoseconds since the node's start.
    pub time_ns: u64,
    /// `runner-interfaces` `output::Stream` as a number: 1 stdout, 2 stderr, 3 to 7 log levels from error to trace, 8 the
    /// cell.
    pub stream: u8,
    /// The next record of the same stream goes on with it.
    pub continues: bool,
    /// As written; need not be text.
    pub bytes: Vec<u8>,
}

/// A container as the node sees it. Numbers of states, reasons and worlds are those of `runner-interfaces`; texts are the
/// node's own words for them, so that an older agent can show a newer node's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerReport {
    /// Its name.
    pub name: String,
    /// The cell it is in.
    pub cell: u8,
    /// `cell::ContainerState`, and its text.
    pub state: u32,
    /// In words.
    pub state_text: String,
    /// `cell::FailureReason`.
    pub reason: u32,
    /// In words, with the detail; empty where it did not fail.
    pub reason_text: String,
    /// The world's name, empty where not known yet.
    pub world: String,
    /// The exit code of one that is finalised.
    pub exit_code: i32,
    /// SHA-256 of the module.
    pub sha256: [u8; 32],
    /// The module, in bytes.
    pub module_bytes: u32,
    /// What it was granted, in the order of the texts.
    pub grants: Vec<GrantReport>,
    /// What it was refused because it has no right to it at all, as `gpio:VALVE`.
    pub refused: Vec<GrantReport>,
    /// Arguments behind the name.
    pub arguments: Vec<String>,
    /// When the node took it in, nanoseconds since the node's start.
    pub deployed_ns: u64,
    /// When the cell began to load it.
    pub load_began_ns: u64,
    /// When its first instruction was about to run; 0 before.
    pub started_ns: u64,
    /// When it ended; 0 before.
    pub ended_ns: u64,
    /// The node's time of this report.
    pub now_ns: u64,
    /// Fuel burnt.
    pub fuel: u64,
    /// Slices run.
    pub slices: u64,
    /// Calls of `on-loop`.
    pub loops: u64,
    /// Host calls made.
    pub host_calls: u64,
    /// Host calls refused by a resource's owner.
    pub refused_calls: u64,
    /// Linear memory, in bytes.
    pub linear_memory_bytes: u64,
    /// The cell's heap in use, in bytes; 0 where not known.
    pub heap_bytes: u64,
    /// Output records lost.
    pub output_lost: u64,
    /// How often its domain was started anew since boot.
    pub cell_restarts: u32,
    /// The domain's last fault in words; empty where there was none.
    pub fault_text: String,
    /// The version in its manifest; empty where it has none.
    pub version: String,
    /// Why it ended, or is about to, where it did not fail; empty otherwise.
    pub end_text: String,
    /// Its restart policy.
    pub restart: String,
    /// How often that started it again since it was last started by hand.
    pub new_starts: u32,
    /// When it is started again, nanoseconds since the node's start; 0 where it is not going to be.
    pub next_start_ns: u64,
    /// Its policy gave it up.
    pub given_up: bool,
    /// When it was installed; 0 before.
    pub installed_ns: u64,
    /// When its start hook had come back; 0 before.
    pub ready_ns: u64,
    /// When its stop hook was about to run; 0 before.
    pub stopping_ns: u64,
    /// When its cell last came round.
    pub heartbeat_ns: u64,
    /// Its channels.
    pub channels: Vec<BindingReport>,
    /// Its part in an update: `old`, `new`, or empty.
    pub update: String,
    /// Who signed it; empty for one that nobody signed.
    pub signers: Vec<SignerReport>,
    /// When the first of its tokens ends, in seconds since 1970; 0 where none does.
    pub signed_until_s: u64,
}

/// One signature of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignerReport {
    /// What was signed: `code`, `data`, `metadata` or `grant`.
    pub token: String,
    /// The key's id.
    pub key: [u8; 8],
    /// The token's sequence.
    pub sequence: u64,
}

/// A key that the node knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyReport {
    /// Its id.
    pub id: [u8; 8],
    /// What its holder may sign: `developer`, `provider`, `integrator` or `owner`.
    pub role: String,
    /// It is not believed any more.
    pub revoked: bool,
}

/// A right in force, and what was done with it since the container came into its cell. The owner of the resource counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantReport {
    /// As a person would type it.
    pub right: String,
    /// Calls; records, where it is the right to write these.
    pub calls: u64,
    /// Of these, refused because it was not granted.
    pub refused: u64,
    /// Of these, put off or dropped because the rate was used up.
    pub limited: u64,
    /// Edges that fell together with another because the rate was used up.
    pub coalesced: u64,
}

/// The node and its counters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    /// What the node runs on: "seL4 Microkit", or "Linux host (not seL4)".
    pub substrate: String,
    /// The board of its policy.
    pub board: String,
    /// The node's version.
    pub version: String,
    /// Nanoseconds since the start.
    pub uptime_ns: u64,
    /// Cells, and how many are free.
    pub cells: u8,
    /// Cells that hold nothing.
    pub cells_free: u8,
    /// The board policy's largest module, in bytes.
    pub module_limit_bytes: u32,
    /// The board policy's most linear memory, in bytes.
    pub memory_limit_bytes: u32,
    /// The board's lines.
    pub lines: Vec<LineReport>,
    /// Named counters: what was refused, damaged, lost. Names are stable; a missing one is zero.
    pub counters: Vec<(String, u64)>,
    /// The I2C bus is a program that plays one; there is no device that anything could be wired to.
    pub bus_is_simulated: bool,
    /// What the board names at its I2C bus.
    pub devices: Vec<DeviceReport>,
    /// The most that any container gets, as a person would type it; what has a name of its own is above.
    pub most: Vec<String>,
    /// What a container gets that asks for nothing, likewise.
    pub defaults: Vec<String>,
    /// Containers that nobody signed may run.
    pub runs_unsigned: bool,
    /// The keys whose signatures count, and those that do not any more.
    pub keys: Vec<KeyReport>,
}

/// A device at the I2C bus, or a range of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceReport {
    /// What it is called.
    pub label: String,
    /// Its address, or the first.
    pub first: u8,
    /// The same, or the last.
    pub last: u8,
    /// The policy lets containers ask for it.
    pub allowed: bool,
}

/// One GPIO line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineReport {
    /// What it is called.
    pub label: String,
    /// Its number at the bank.
    pub line: u8,
    /// What the policy allows: `out`, `in`, `edge`.
    pub allowed: Vec<String>,
    /// Who holds it: `output`, `input`, or nothing.
    pub held_as: String,
    /// Its level.
    pub high: bool,
    /// How often the level that was driven changed.
    pub transitions: u64,
    /// Edges seen while watched.
    pub edges: u64,
    /// The policy's highest rate for changes and edges, a second.
    pub most_per_second: u32,
}

/// Kinds of failure, told apart by what a person does about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorCode {
    /// The message is not one of this session's, or out of turn.
    Protocol,
    /// The name is empty, too long or has a character that names do not have.
    InvalidName,
    /// There is a container of that name.
    NameTaken,
    /// There is no container of that name.
    NoSuchContainer,
    /// Every cell is taken.
    NoFreeCell,
    /// 0 bytes, or over the board's limit.
    ModuleSize,
    /// Fewer or more bytes than announced, or another hash.
    DamagedUpload,
    /// The bytes do not begin as a module.
    NotWasm,
    /// Truncated, or does not validate.
    InvalidModule,
    /// It imports something that no world offers; the detail names it.
    UnknownImport,
    /// It exports the entry points of no world.
    UnknownWorld,
    /// It asks for more memory or table than it may have.
    ResourceLimit,
    /// The board policy does not allow a right that was asked for; the detail names it.
    NotAllowed,
    /// The container could not be loaded or started; the detail says why.
    LoadFailed,
    /// The container is in no state for that; the detail says in which it is.
    WrongState,
    /// Arguments or environment are too many or too long.
    TooManyArguments,
    /// The node has too much to do; try again.
    Busy,
    /// The node found a fault of its own.
    Internal,
    /// The manifest cannot be read, or asks for something that the node does not have.
    InvalidManifest,
    /// A channel has another type, kind or writer than the container declares.
    ChannelMismatch,
    /// The new version did not prove itself; the old one goes on.
    RolledBack,
    /// A signature is missing or not to be believed; the detail names the rule.
    NotSigned,
    /// Somebody's deadline could not be kept; the detail says whose, what its time is made of, and what would fit.
    NotSchedulable,
}
