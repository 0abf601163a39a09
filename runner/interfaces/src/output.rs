//! What a container writes: the records of the ring from a cell to `admission`.
//!
//! A line longer than a record is split over several with [`OutputRecord::continues`]. The cell may be compromised; a
//! record only ever lands in the log of the container that the cell holds.

use shared_ring::{Geometry, GeometryError};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::wire_enum;

/// Bytes of one slot, the ring's length word included: a region of 64 KiB holds 256 of them beside the ring's own 256 bytes.
pub const OUTPUT_SLOT_BYTES: usize = 248;

/// The ring that both ends lay into a data region of `region_bytes`: as many slots as fit.
pub const fn output_geometry(region_bytes: usize) -> Result<Geometry, GeometryError> {
    Geometry::fitting(region_bytes, OUTPUT_SLOT_BYTES)
}

/// The most text in one record.
pub const OUTPUT_PAYLOAD_BYTES: usize = OUTPUT_SLOT_BYTES - 4 - size_of::<OutputHeader>();

wire_enum! {
    /// Where a record comes from.
    Stream {
        /// The program's standard output.
        Stdout = 1 => "stdout",
        /// The program's standard error.
        Stderr = 2 => "stderr",
        /// A log record of that level.
        Error = 3 => "error",
        /// A log record of that level.
        Warn = 4 => "warn",
        /// A log record of that level.
        Info = 5 => "info",
        /// A log record of that level.
        Debug = 6 => "debug",
        /// A log record of that level.
        Trace = 7 => "trace",
        /// The cell itself speaks: a trap, a refusal.
        Cell = 8 => "cell",
    }
}

/// The head of a record; the text follows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct OutputHeader {
    /// Nanoseconds since the node's start.
    pub time_ns: u64,
    /// The load that it belongs to.
    pub generation: u32,
    /// A [`Stream`].
    pub stream: u8,
    /// 1 where the next record of this stream goes on with the same piece of output.
    pub continues: u8,
    /// Bytes of text that follow.
    pub length: u16,
}

/// A record that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputRecord<'a> {
    /// Nanoseconds since the node's start.
    pub time_ns: u64,
    /// The load that it belongs to.
    pub generation: u32,
    /// Where it comes from.
    pub stream: Stream,
    /// The next record of this stream goes on with it.
    pub continues: bool,
    /// Any bytes; standard output need not be text.
    pub bytes: &'a [u8],
}

impl<'a> OutputRecord<'a> {
    /// Checks a record that was copied out of the ring; `None` where it breaks the contract.
    pub fn decode(slot: &'a [u8]) -> Option<Self> {
        let (header, rest) = OutputHeader::read_from_prefix(slot).ok()?;
        Some(Self {
            time_ns: header.time_ns,
            generation: header.generation,
            stream: Stream::from_wire(u32::from(header.stream))?,
            continues: header.continues != 0,
            bytes: rest.get(..usize::from(header.length))?,
        })
    }

    /// Writes the record into `buffer` and answers how many bytes it takes; `None` where the text is too long for one.
    pub fn encode(&self, buffer: &mut [u8; OUTPUT_SLOT_BYTES]) -> Option<usize> {
        if self.bytes.len() > OUTPUT_PAYLOAD_BYTES {
            return None;
        }
        let header = OutputHeader {
            time_ns: self.time_ns,
            generation: self.generation,
            stream: u8::try_from(self.stream.to_wire()).ok()?,
            continues: u8::from(self.continues),
            length: u16::try_from(self.bytes.len()).ok()?,
        };
        let head = header.as_bytes();
        let total = head.len() + self.bytes.len();
        buffer[..head.len()].copy_from_slice(head);
        buffer[head.len()..total].copy_from_slice(self.bytes);
        Some(total)
    }
}
