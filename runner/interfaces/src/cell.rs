//! The two blocks through which the warden steers a cell and a cell shows itself, and what `admission` lays down for it.
//!
//! - `control` (the warden writes, the cell reads): a [`CellControl`].
//! - `status` (the cell writes; warden and `admission` read and believe none of it further than showing it): a
//!   [`CellStatus`].
//! - `module` (`admission` writes, the cell reads): a [`CellConfiguration`] as `postcard`, and the module.
//!
//! Both blocks lie in a [`shared_ring::SequencedCell`] at offset 0 of their region.

use alloc::{string::String, vec::Vec};
use core::mem::offset_of;

use serde::{Deserialize, Serialize};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{exchange::Direction, schedule::Schedule, wire_enum};

/// Where the Wasm bytes begin in the `module` region; the configuration has the room before it.
pub const MODULE_OFFSET_BYTES: usize = 16 * 1024;

/// Room for a reason in words.
pub const DETAIL_BYTES: usize = 192;

wire_enum! {
    /// What the warden wants of a cell.
    Command {
        /// Hold nothing. The container, if there was one, is forgotten.
        Idle = 0 => "idle",
        /// Load the module; stay installed.
        Load = 1 => "load",
        /// Load it if that is not done, and run it.
        Run = 2 => "run",
        /// Run the stop hook and finish.
        Stop = 3 => "stop",
    }
}

wire_enum! {
    /// Whether a container that has started goes on. For an update, in which one version waits for the other.
    Hold {
        /// It goes on.
        No = 0 => "no",
        /// It waits before its next call of the loop hook.
        AtLoop = 1 => "at the next loop",
        /// The same, and where it waits in a host call it stays there: a loop may wait for hours.
        Anywhere = 2 => "at the next loop or wait",
    }
}

/// What the warden tells a cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CellControl {
    /// Which load this is about; grows with each. 0: none yet.
    pub generation: u32,
    /// A [`Command`].
    pub command: u32,
    /// Bytes of configuration at the head of the `module` region.
    pub configuration_bytes: u32,
    /// Bytes of Wasm at [`MODULE_OFFSET_BYTES`].
    pub module_bytes: u32,
    /// The most linear memory, in bytes.
    pub memory_limit_bytes: u32,
    /// The most table elements.
    pub table_limit_elements: u32,
    /// The longest that copying and compiling the module may take, in microseconds: far longer than a hook, since all of
    /// the module is compiled under the cell's budget.
    pub load_limit_us: u32,
    /// The longest that the start function, `_initialize` and the start hook may take each, in microseconds.
    pub start_limit_us: u32,
    /// The longest that one call of the loop hook may take, waiting included, in microseconds; 0 where it has no limit.
    pub loop_limit_us: u32,
    /// The longest that the stop hook may take, in microseconds.
    pub stop_limit_us: u32,
    /// With [`Command::Stop`]: why, a [`crate::plan::EndCause`].
    pub stop_cause: u32,
    /// With [`Command::Run`]: whether the container is to be held, a [`Hold`].
    pub hold: u32,
    /// After so many calls of the loop hook it stops by itself; 0 where it goes on.
    pub loops_limit: u64,
    /// When the loop hook is released.
    pub schedule: Schedule,
}

wire_enum! {
    /// Where a container is in its life.
    ContainerState {
        /// The cell holds none.
        Empty = 0 => "empty",
        /// The upload is under way or done; the cell has not begun.
        Provisioned = 1 => "provisioned",
        /// The module is being compiled and instantiated.
        Loading = 2 => "loading",
        /// Instantiated, not started.
        Installed = 3 => "installed",
        /// The start hook runs.
        Starting = 4 => "starting",
        /// Waits: for a timer, an edge, room for output.
        Ready = 5 => "ready",
        /// Executes.
        Running = 6 => "running",
        /// The stop hook runs.
        Stopping = 7 => "stopping",
        /// Ended by itself or by stop; see the exit code.
        Finalised = 8 => "finalised",
        /// Ended for a [`FailureReason`].
        Failed = 9 => "failed",
    }
}

impl ContainerState {
    /// Whether the container has come to its end.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Finalised | Self::Failed)
    }
}

wire_enum! {
    /// Why a container failed.
    FailureReason {
        /// It did not.
        None = 0 => "none",
        /// The bytes do not begin as a module.
        NotWasm = 1 => "not a WebAssembly module",
        /// Truncated, or a section or function does not validate.
        InvalidModule = 2 => "invalid module",
        /// It imports something that no world offers.
        UnknownImport = 3 => "unknown import",
        /// It exports the entry points of no world.
        UnknownWorld = 4 => "no known world",
        /// It asks for more memory than it may have.
        MemoryLimit = 5 => "too much memory",
        /// It asks for more table elements than it may have.
        TableLimit = 6 => "too large a table",
        /// The cell has no memory left to compile or run it.
        CellMemory = 7 => "out of memory in the cell",
        /// Loading took too long: an endless start function, or too much code.
        LoadLimit = 8 => "loading took too long",
        /// `on-start` took too long.
        StartLimit = 9 => "starting took too long",
        /// `on-stop` took too long.
        StopLimit = 10 => "stopping took too long",
        /// It trapped.
        Trap = 11 => "trap",
        /// `on-start` answered that it cannot.
        StartRefused = 12 => "the start hook refused",
        /// Killed on request.
        Killed = 13 => "killed",
        /// The domain faulted.
        CellFault = 14 => "the cell faulted",
        /// The domain did not come round in time.
        Watchdog = 15 => "the cell did not respond",
        /// The configuration that came with it cannot be read.
        Configuration = 16 => "invalid configuration",
        /// One call of `on-loop` took too long.
        LoopLimit = 17 => "a loop took too long",
        /// It was to replace another version, and did not.
        NotReplaced = 18 => "it did not take the other version's place",
        /// Its work was not done at the deadline of its release.
        Overrun = 19 => "missed its deadline",
        /// It made more calls of a driver than it may.
        Flooded = 20 => "flooded a driver with calls",
        /// The cell had shown the warden its end, and then showed something else.
        Contradicted = 21 => "the cell contradicted itself",
    }
}

wire_enum! {
    /// The world that a module belongs to.
    World {
        /// Not known yet.
        Unknown = 0 => "unknown",
        /// WASI preview 1 command: `_start`.
        WasiCommand = 1 => "wasi-command",
        /// `on-start`, `on-loop`, `on-stop`.
        Reactor = 2 => "reactor",
        /// `start`, `loop`, `stop`, as TinyContainer's containers have them.
        TinyContainer = 3 => "tiny-container",
    }
}

/// What a cell shows of its container. The cell may be compromised: readers show this, and decide nothing by it that the
/// container's own failure would not also bring about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CellStatus {
    /// The load that this is about.
    pub generation: u32,
    /// A [`ContainerState`].
    pub state: u32,
    /// A [`FailureReason`].
    pub reason: u32,
    /// A [`World`].
    pub world: u32,
    /// The command's exit code, or 0.
    pub exit_code: i32,
    /// Bytes of `detail` that count.
    pub detail_bytes: u32,
    /// Why it stops or has ended, where it did not fail: a [`crate::plan::EndCause`].
    pub end_cause: u32,
    /// 1 while the container is held (see [`Hold`]): it has started, and does nothing until it is let go.
    pub held: u32,
    /// Where the domain begins anew (seL4; the warden reads it once, before the first load).
    pub restart_entry: u64,
    /// Grows with each slice and each event. A notification by the warden is one: it asks a silent cell for a sign of life.
    pub heartbeat: u64,
    /// Calls of `on-loop`.
    pub loops: u64,
    /// Fuel burnt.
    pub fuel: u64,
    /// Slices run.
    pub slices: u64,
    /// Host calls made.
    pub host_calls: u64,
    /// Host calls refused by the owner of the resource.
    pub refused_calls: u64,
    /// Linear memory now, in bytes.
    pub linear_memory_bytes: u64,
    /// Heap of the cell in use now, in bytes; 0 where the substrate does not know.
    pub heap_bytes: u64,
    /// Output records dropped because `admission` did not keep up.
    pub output_dropped: u64,
    /// When loading began, nanoseconds since the node's start.
    pub load_began_ns: u64,
    /// When it was installed, likewise; 0 before.
    pub installed_ns: u64,
    /// When the container's first instruction (after instantiation) was about to run, likewise; 0 before.
    pub started_ns: u64,
    /// When starting was over, likewise: the start hook had come back, or `_start` was about to run; 0 before. What fails
    /// later failed on its own account, not its deployer's.
    pub ready_ns: u64,
    /// When its stop hook was about to run, likewise; 0 before.
    pub stopping_ns: u64,
    /// When it ended, likewise; 0 before.
    pub ended_ns: u64,
    /// When the domain last came round, likewise: the time of the heartbeat.
    pub heartbeat_ns: u64,
    /// A reason in words, UTF-8.
    pub detail: [u8; DETAIL_BYTES],
}

/// The head of [`CellStatus`], field by field: what the warden looks at, ten times a second in each cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
#[expect(missing_docs, reason = "as in `CellStatus`")]
pub struct CellSigns {
    pub generation: u32,
    pub state: u32,
    pub reason: u32,
    pub world: u32,
    pub exit_code: i32,
    pub detail_bytes: u32,
    pub end_cause: u32,
    pub held: u32,
    pub restart_entry: u64,
    pub heartbeat: u64,
    pub loops: u64,
}

const _: () = assert!(
    offset_of!(CellSigns, generation) == offset_of!(CellStatus, generation)
        && offset_of!(CellSigns, state) == offset_of!(CellStatus, state)
        && offset_of!(CellSigns, end_cause) == offset_of!(CellStatus, end_cause)
        && offset_of!(CellSigns, held) == offset_of!(CellStatus, held)
        && offset_of!(CellSigns, restart_entry) == offset_of!(CellStatus, restart_entry)
        && offset_of!(CellSigns, heartbeat) == offset_of!(CellStatus, heartbeat)
        && offset_of!(CellSigns, loops) == offset_of!(CellStatus, loops)
        && size_of::<CellSigns>() == offset_of!(CellStatus, loops) + size_of::<u64>()
);

/// What a container is told about its node; the same that `emit info` tells a person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeIdentity {
    /// The board, as its policy names it: `qemu_virt_aarch64`.
    pub board: String,
    /// The version of the node's software: `0.1.0`.
    pub version: String,
    /// What it runs on: `seL4 Microkit`, `Linux host (not seL4)`.
    pub substrate: String,
}

/// What a container is told about itself, written by `admission` in front of the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellConfiguration {
    /// The container's name; the command's first argument.
    pub name: String,
    /// Its version, as its manifest has it; empty where that says none.
    pub version: String,
    /// The node that it runs on.
    pub node: NodeIdentity,
    /// The arguments behind the name.
    pub arguments: Vec<String>,
    /// `NAME=value` pairs.
    pub environment: Vec<(String, String)>,
    /// The board's labels. Public: whether a line may be used is the driver's to say.
    pub lines: Vec<(String, u8)>,
    /// The channels that the container speaks over, in the order of its manifest: a place here is the number of the end in
    /// `exchange`. Public: whether an end may be used is the exchange's to say.
    pub channels: Vec<ChannelName>,
    /// What a TinyContainer opens under which number, as the board's line; empty where a number is a line's own.
    pub endpoints: Vec<(u32, u8)>,
    /// Seeds `random_get`. From the node's counter: not a secret, not for keys.
    pub seed: u64,
}

/// A channel as the container knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelName {
    /// What the container calls it.
    pub name: String,
    /// Which way it goes.
    pub direction: Direction,
    /// The values' type, as WIT has it.
    pub value_type: String,
}
