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

/// Marks a policy region and its layout's version: "ATP5" read as little-endian.
pub const POLICY_MAGIC: u32 = u32::from_le_bytes(*b"ATP5");

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
}
