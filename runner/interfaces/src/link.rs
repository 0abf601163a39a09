//! The link between the guest's side and `admission`: what one ring slot carries.
//!
//! A session is one opening of one port (`emit.0` to `emit.3` in the guest, a connection on the host). Slots carry bytes
//! of a session's stream; frames (see `shared-ring-messages`) are found in the stream by the ends. The side that writes
//! these slots is as hostile as the guest.

use shared_ring::{Geometry, GeometryError};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::wire_enum;

/// Bytes of one slot of the ring, its length word included: a few slots carry an upload's chunk, and a region of 128 KiB
/// holds 64 of them beside the ring's own 256 bytes (2048 would leave half the region unused: slots are a power of two).
pub const LINK_SLOT_BYTES: usize = 2040;

/// The ring that both ends lay into a data region of `region_bytes`: as many slots as fit.
pub const fn link_geometry(region_bytes: usize) -> Result<Geometry, GeometryError> {
    Geometry::fitting(region_bytes, LINK_SLOT_BYTES)
}

/// Sessions at a time, ports that the guest sees.
pub const MAX_SESSIONS: usize = 4;

/// The most stream bytes in one slot: the slot less the ring's length word and [`LinkHeader`].
pub const LINK_PAYLOAD_BYTES: usize = LINK_SLOT_BYTES - 4 - size_of::<LinkHeader>();

wire_enum! {
    /// What a slot says.
    LinkKind {
        /// The session begins; what the port carried before is over.
        Open = 1 => "open",
        /// The session ends. From `admission`: the peer is told to close.
        Close = 2 => "close",
        /// Bytes of the stream.
        Data = 3 => "data",
    }
}

/// The head of a slot; the bytes follow it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LinkHeader {
    /// The session, 0 to [`MAX_SESSIONS`] − 1.
    pub session: u8,
    /// A [`LinkKind`].
    pub kind: u8,
    /// Bytes that follow.
    pub length: u16,
}

/// A slot that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkSlot<'a> {
    /// The session, below [`MAX_SESSIONS`].
    pub session: usize,
    /// What it says.
    pub kind: LinkKind,
    /// Bytes of the stream; empty unless [`LinkKind::Data`].
    pub bytes: &'a [u8],
}

/// A slot that breaks the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkError {
    /// Shorter than its head, or than its head says.
    Truncated,
    /// There is no such session.
    NoSuchSession,
    /// The kind's number is unknown.
    UnknownKind,
    /// More bytes than a slot carries.
    TooLong,
}

impl core::fmt::Display for LinkError {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str(match self {
            Self::Truncated => "the slot is shorter than its header says",
            Self::NoSuchSession => "there is no such session",
            Self::UnknownKind => "unknown kind of slot",
            Self::TooLong => "more bytes than a slot carries",
        })
    }
}

impl core::error::Error for LinkError {}

impl<'a> LinkSlot<'a> {
    /// Checks a slot that was copied out of the ring.
    pub fn decode(slot: &'a [u8]) -> Result<Self, LinkError> {
        let (header, rest) = LinkHeader::read_from_prefix(slot).map_err(|_| LinkError::Truncated)?;
        let session = usize::from(header.session);
        if session >= MAX_SESSIONS {
            return Err(LinkError::NoSuchSession);
        }
        let kind = LinkKind::from_wire(u32::from(header.kind)).ok_or(LinkError::UnknownKind)?;
        let bytes = rest.get(..usize::from(header.length)).ok_or(LinkError::Truncated)?;
        Ok(Self { session, kind, bytes: if kind == LinkKind::Data { bytes } else { &[] } })
    }

    /// Writes the slot into `buffer` and answers how many bytes it takes.
    pub fn encode(&self, buffer: &mut [u8; LINK_SLOT_BYTES]) -> Result<usize, LinkError> {
        if self.bytes.len() > LINK_PAYLOAD_BYTES {
            return Err(LinkError::TooLong);
        }
        let header = LinkHeader {
            session: u8::try_from(self.session).map_err(|_| LinkError::NoSuchSession)?,
            kind: u8::try_from(self.kind.to_wire()).map_err(|_| LinkError::UnknownKind)?,
            length: u16::try_from(self.bytes.len()).map_err(|_| LinkError::TooLong)?,
        };
        let head = header.as_bytes();
        let total = head.len() + self.bytes.len();
        buffer[..head.len()].copy_from_slice(head);
        buffer[head.len()..total].copy_from_slice(self.bytes);
        Ok(total)
    }
}
