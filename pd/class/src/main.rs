//! `class0` and its like: domains that own a scheduling context, for the warden to put cells under.
//!
//! Microkit makes a scheduling context with a protection domain and in no other way. The warden takes it from this domain's thread at its
//! start, before the thread, which is below everything, comes to run; without one it never does. It has no channels and no memory but
//! its own.
#![no_std]
#![no_main]

use sel4_microkit::{NullHandler, protection_domain};

#[protection_domain]
fn init() -> NullHandler {
    NullHandler::new()
}
