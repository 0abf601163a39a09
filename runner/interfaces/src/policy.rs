//! The board policy: what the owner of the device lets containers ask for.
//!
//! Compiled from a TOML file into a read-only region of the boot image (`policy`). Its head is a fixed-size
//! [`BoardLimits`], which is all that the warden reads; behind it lies the [`BoardPolicy`] that `admission` decodes, with
//! the names. The region is part of the image and so trusted as far as the image is.

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::grants::CellGrants;

/// Marks a policy region and its layout's version: "ATP3" read as little-endian.
pub const POLICY_MAGIC: u32 = u32::from_le_bytes(*b"ATP3");

/// Where the `postcard` form of [`BoardPolicy`] begins in the region, behind [`BoardLimits`].
pub const POLICY_NAMES_OFFSET_BYTES: usize = 256;

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
    /// Not used; keeps the layout free of padding.
    pub reserved: u32,
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
    /// Containers that nobody signed may run. True in demo images.
    pub allow_unsigned: bool,
}
