//! What `emit` and the node say to each other.
//!
//! [`frame`] turns a byte stream (a virtio port, a unix socket) into frames that can be found again after garbage;
//! [`message`] is what a frame carries, [`audit`] what of it is chained and kept. A session begins with a greeting that settles the version; a different major
//! version gets a clear answer on both sides.
//!
//! Both ends take the other for hostile: frames are bounded, decoding never panics, unknown messages are errors.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod audit;
pub mod frame;
pub mod message;

pub use audit::{
    AuditEntry, AuditHash, AuditKind, AuditPage, AuditRecord, AuditSession, AuditSigner, AuditUpload, FIRST_AUDIT_HASH,
};
pub use frame::{FrameDecoder, FrameError, MAX_FRAME_BYTES};
pub use message::*;
