//! Admission: the node's face to the outside.
//!
//! It takes sessions over the link (`emit.0` … in the guest, connections on the host), receives uploads, checks them against
//! the board policy, looks the module over, stages it for a cell, has the warden load it, keeps the containers' output and
//! answers every request. It runs low and budgeted: whatever the outside does, it costs the outside's own time.
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
//! Nothing grows without a bound, and nothing is kept for who is gone. At the most, in KiB, with `S` sessions
//! ([`runner_interfaces::link::MAX_SESSIONS`], 4) and `C` cells (8):
//!
//! | what | most | for 4 and 4 | for 4 and 8 |
//! |---|---|---|---|
//! | a session: the unfinished frame (16), answers not read (64) | `S` × 80 | 320 | 320 |
//! | a container: its log (64 of text, 24 of records), name, arguments, rights (24) | `C` × 112 | 448 | 896 |
//! | one frame while it is decoded: its text (8), vectors as long as it claims and can be (8192 × 48 B) | 400 | 400 | 400 |
//! | one answer while it is made: its parts (64), encoded (3 × 8) | 88 | 88 | 88 |
//! | the module that is looked over | the board's module limit | 2048 | 2048 |
//! | policy with its names (region of 16) | 64 | 64 | 64 |
//! | together, rounded up | | 3.3 MiB | 3.8 MiB |
//!
//! Where the copy of a module finds no memory, its upload is refused as `Busy`; every other allocation is within the table.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod admission;
mod answers;
mod cell;
mod container;
mod counters;
mod failure;
mod inspection;
mod link;
mod log;
mod pending;
mod policy;
mod requests;
mod session;
mod validation;

pub use admission::{Admission, Options, StartError};
pub use counters::COUNTER_NAMES;
pub use log::{MAX_LOG_BYTES, MAX_LOG_RECORDS};
pub use pending::MAX_PENDING_REQUESTS;
pub use session::{MAX_UNREAD_BYTES, MAX_UNREADABLE_FRAMES};
