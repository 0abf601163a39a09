//! Admission: the node's face to the outside.
//!
//! It takes sessions over the link (`emit.0` … in the guest, connections on the host), receives uploads, checks them against
//! the board policy, looks the module over, stages it for a cell, has the warden load it, keeps the containers' output and
//! answers every request. Who asked for what, and what was refused, it keeps on record. It runs low and budgeted: whatever the outside does, it costs the outside's own time.
//!
//! # Whom it trusts
//!
//! The kernel, the board policy in the image, and the warden. Not the link's other side, which is Linux and as hostile as
//! Linux; not the cells, whose status and output are shown and logged for their own container and decide nothing else.
//! Nobody has to trust it either: what it asks the warden for is cut down to the board's ceiling there.
//!
//! # What it promises
//!
//! - Each request gets exactly one answer or failure. Answers that wait for a cell (deploy, start, stop, restart) come when
//!   the cell or the warden has got there; the warden's deadlines bound that.
//! - A refused, damaged or interrupted upload leaves nothing behind, nor does a container that could not be loaded, nor an
//!   attached one whose session ends.
//! - A session that does not read its answers is closed when [`MAX_UNREAD_BYTES`] of them wait; the others do not notice.
//!   Work goes round: within one pass each ring is emptied at most once.
//! - Everything bad is counted under a name that stays ([`COUNTER_NAMES`]).
//!
//! # Memory
//!
//! Nothing grows without a bound, and nothing is kept for who is gone: [`worst_case_heap_bytes`] adds it up, and a test holds
//! it to that (`tests/heap.rs`). Where the copy of a module that is looked over finds no memory, its upload is refused as
//! `Busy`.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod acts;
mod admission;
mod answers;
mod audit;
mod cell;
mod channels;
mod container;
mod counters;
mod deadlines;
mod declaration;
mod events;
mod failure;
mod forecast;
mod inspection;
mod link;
mod log;
mod memory;
mod pending;
mod policy;
mod punctuality;
mod requests;
mod schedulability;
mod session;
mod trust;
mod update;
mod used;
mod validation;

pub use admission::{Admission, Options, StartError};
pub use audit::{MAX_AUDIT_BYTES, MAX_AUDIT_ENTRIES, MAX_AUDIT_TEXT_BYTES};
pub use counters::COUNTER_NAMES;
pub use events::{MAX_EVENT_TEXT_BYTES, MAX_EVENTS};
pub use forecast::rights_of_signed;
pub use log::{MAX_LOG_BYTES, MAX_LOG_RECORDS};
pub use memory::worst_case_heap_bytes;
pub use pending::MAX_PENDING_REQUESTS;
pub use session::{MAX_UNREAD_BYTES, MAX_UNREADABLE_FRAMES};
