//! The warden: parent of the cells, owner of the grants.
//!
//! It places containers in cells, stops and restarts the cells' domains, watches that they come round, and writes the one
//! table by which the drivers decide. It is small because everything rests on it: it parses nothing from outside, never
//! waits for anybody below it, and allocates nothing after it was made.
//!
//! # Whom it trusts
//!
//! The kernel (channels, faults), the drivers it calls (`gpio`, `timer`), and the board limits in the boot image. It trusts
//! `admission` only up to the board's ceiling: what `admission` asks for is intersected with it, sizes are checked
//! against it. A cell's status is believed for that cell's own container alone, and the one thing in it that the warden
//! acts on for good, the address at which the domain starts anew, is read once, before the first container was ever there.
//!
//! # What it promises
//!
//! - The grants of a load stand in the table before the cell is told of the load, and are gone from it before anything
//!   else happens at its end. A container that has ended holds none, whatever its cell goes on doing.
//! - Every load begins in a domain that was started clean since the last one.
//! - Starting and stopping end within the board's hook limit and [`GRACE_NS`], loading within the load limit more, with the
//!   container in place or the cell started clean.
//! - A cell that holds a running container, and whose heartbeat stands still for [`HEARTBEAT_LIMIT_NS`] although it was asked
//!   for a sign of life, is started clean.
//! - A cell that does not even show that it is at its load within [`TAKE_UP_LIMIT_NS`] is started clean, however long compiling
//!   may take.
//! - A container that ended although nobody wanted it is started again as its plan says, clean and with the rights that it had, and
//!   given up after as many new starts in a row as it may have. One that has lived as long as it may is stopped.
//! - A cell is under its own share of the processor but while a container with a class runs in it, and no class is two cells'.
//! - Of two versions of a container exactly one has the lines and channels. A new one that ends, or has not come round in its probation,
//!   gives them back before anything of it is released, and the old one goes on.
//! - A cell that makes more calls of drivers than it may is started clean, within two looks around.
//! - `admission` is notified of every end and of every step that the warden saw, so that an answer somebody waits for
//!   does not depend on the cell's telling.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod cell;
mod floods;
mod phase;
mod scheduling;
mod succession;
mod symbols;
mod warden;

#[cfg(test)]
mod tests;

pub use phase::{GRACE_NS, HEARTBEAT_LIMIT_NS, LOOK_PERIOD_NS, PING_AFTER_NS, TAKE_UP_LIMIT_NS};
pub use scheduling::{Exhausted, NotScheduled};
pub use succession::{BOUNDARY_WAIT_NS, HANDOVER_LIMIT_NS};
pub use warden::{Cells, Fault, IDLE_FAULT_LIMIT, StartError, Warden};
