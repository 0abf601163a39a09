//! `class0` and its like: domains that own a scheduling context, for the warden to put cells under.
//!
//! Microkit makes a scheduling context with a protection domain and in no other way. The warden takes it from this domain's thread at its
//! start, before the thread, which is below everything, comes to run; without one it never does. On another core than the warden's it may
//! come to wait in its event loop first, and stays there. It has no channels and no memory but its own.
#![no_std]
#![no_main]

use pd_shell::{
    sel4_microkit::{NullHandler, declare_protection_domain},
    startup::heap::Heap,
};

/// Empty: there is nothing to allocate for.
#[global_allocator]
static HEAP: Heap = Heap::new();

declare_protection_domain!(init = NullHandler::new);
