//! NAME: logs a line ten times a second until it is stopped.
#![no_std]

use core::sync::atomic::{AtomicU32, Ordering};

use bindings::atoll::node::log::{self, Level};
use bindings::atoll::node::timer;
use bindings::{Guest, Next, Status};

mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "reactor" });
}

/// A tenth of a second. The grant for timers in app.toml must allow it.
const PERIOD_NANOSECONDS: u64 = 100_000_000;
/// Any of 1 to 7.
const TIMER: u32 = 1;

static TICKS: AtomicU32 = AtomicU32::new(0);

#[global_allocator]
static ALLOCATOR: lol_alloc::FailAllocator = lol_alloc::FailAllocator;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

struct Container;

impl Guest for Container {
    /// Called once: open and arm everything here. Anything but `ok` fails the container.
    fn on_start() -> Status {
        timer::arm(TIMER, PERIOD_NANOSECONDS, PERIOD_NANOSECONDS)
    }

    /// Called again and again: wait for one event, react.
    fn on_loop() -> Next {
        timer::wait(1 << TIMER);
        let even = TICKS.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
        log::log(Level::Info, if even { "tick" } else { "tock" });
        Next::Again
    }

    /// Called once when it is asked to stop: leave everything in a safe state.
    fn on_stop() {
        timer::disarm(TIMER);
    }
}

bindings::export!(Container with_types_in bindings);
