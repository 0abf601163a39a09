//! A guest driver that we did not write, at the machine's front door.
//!
//! `virtio-drivers` brings the queues up, fills and empties them; its registers are loads and stores that arrive at the
//! machine as the data aborts that the processor would report. What Linux' console driver does on top (control messages,
//! ports) is in `driver.rs`.

#![allow(clippy::unwrap_used, reason = "a test that fails there has said what it has to say")]

mod driver;
mod guest_memory;
mod platform;
mod sessions;
mod start;
