//! The warden against a kernel, drivers and cells that only exist here, in memory: every procedure, every deadline, the
//! order of what happens at an end, and hostile words from `admission` and hostile bytes from cells.

mod fake;

mod faults;
mod floods;
mod hostile;
mod limits;
mod plan;
mod procedures;
mod scheduling;
mod succession;
