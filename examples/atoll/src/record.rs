//! Records for whoever reads the container's log.

use core::fmt::{self, Write as _};

use crate::calls::log as node;

/// How much a record matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something is broken.
    Error,
    /// Something is not as it should be.
    Warn,
    /// Of use to whoever runs the container.
    Info,
    /// Of use to its author.
    Debug,
    /// Every step.
    Trace,
}

impl From<Level> for node::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::Error,
            Level::Warn => Self::Warn,
            Level::Info => Self::Info,
            Level::Debug => Self::Debug,
            Level::Trace => Self::Trace,
        }
    }
}

/// One record. It is cut at 1,024 bytes by the node, and never waits: a record that finds no room is counted.
pub fn log(level: Level, text: &str) {
    node::log(level.into(), text);
}

/// The longest record that is made of arguments: on the stack, of which a container has little.
const FORMATTED_BYTES: usize = 256;

/// A record of a format string's arguments; cut between characters at 256 bytes. What the macros come to.
pub fn log_arguments(level: Level, arguments: fmt::Arguments<'_>) {
    if let Some(text) = arguments.as_str() {
        return log(level, text);
    }
    let mut record = Record { bytes: [0; FORMATTED_BYTES], length: 0 };
    // Full is the only error, and then the record is as long as it gets.
    let _ = record.write_fmt(arguments);
    log(level, record.text());
}

struct Record {
    bytes: [u8; FORMATTED_BYTES],
    length: usize,
}

impl Record {
    fn text(&self) -> &str {
        // Only whole characters are written.
        core::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl fmt::Write for Record {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = &mut self.bytes[self.length..];
        let mut length = text.len().min(room.len());
        while !text.is_char_boundary(length) {
            length -= 1;
        }
        room[..length].copy_from_slice(&text.as_bytes()[..length]);
        self.length += length;
        if length == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

/// Where a container panicked, as its last record; the trap behind it says only that it ended.
#[cfg(target_arch = "wasm32")]
pub fn log_panic(info: &core::panic::PanicInfo<'_>) {
    if let Some(location) = info.location() {
        log_arguments(Level::Error, format_args!("panicked at {}:{}", location.file(), location.line()));
    }
}

/// A record of level `error`, as `println!` takes it.
#[macro_export]
macro_rules! error {
    ($($arguments:tt)*) => { $crate::log_arguments($crate::Level::Error, ::core::format_args!($($arguments)*)) };
}

/// A record of level `warn`, as `println!` takes it.
#[macro_export]
macro_rules! warn {
    ($($arguments:tt)*) => { $crate::log_arguments($crate::Level::Warn, ::core::format_args!($($arguments)*)) };
}

/// A record of level `info`, as `println!` takes it.
#[macro_export]
macro_rules! info {
    ($($arguments:tt)*) => { $crate::log_arguments($crate::Level::Info, ::core::format_args!($($arguments)*)) };
}

/// A record of level `debug`, as `println!` takes it.
#[macro_export]
macro_rules! debug {
    ($($arguments:tt)*) => { $crate::log_arguments($crate::Level::Debug, ::core::format_args!($($arguments)*)) };
}

/// A record of level `trace`, as `println!` takes it.
#[macro_export]
macro_rules! trace {
    ($($arguments:tt)*) => { $crate::log_arguments($crate::Level::Trace, ::core::format_args!($($arguments)*)) };
}
