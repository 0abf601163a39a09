//! `beacon`: a short flash once a second, at whatever level the board calls active (world "reactor", Rust without std,
//! bindings by `wit-bindgen`).
//!
//! It exists to show three things: `node` tells a container where it runs, in memory that the container allocates; a state
//! (`active`, `inactive`) is driven without knowing how the lamp is wired; and sleeping until an instant keeps the rate
//! however long the work takes. Deploy it with a grant for the output `LED`.
#![no_std]

extern crate alloc;

use alloc::{format, string::String};
use core::sync::atomic::{AtomicU64, Ordering};

use bindings::atoll::node::gpio::{self, ActiveLevel, Output, State};
use bindings::atoll::node::log::{self, Level};
use bindings::atoll::node::{clock, node, sleep};
use bindings::{Guest, Next, Status};

#[allow(missing_docs, reason = "generated from the WIT file, which is documented")]
mod bindings {
    wit_bindgen::generate!({
        path: "../../runner/wit",
        world: "reactor",
    });
}

/// The board's label of the line, chosen when the sample is built: `LED_LABEL=LAMP cargo build …`.
const LABEL: &str = match option_env!("LED_LABEL") {
    Some(label) => label,
    None => "LED",
};
/// From one flash to the next.
const PERIOD_NANOSECONDS: u64 = 1_000_000_000;
/// Long enough to be seen, short enough to be told from a blinker.
const FLASH_NANOSECONDS: u64 = 100_000_000;

static LAMP: spin::Once<Output> = spin::Once::new();
/// When the next flash is due, on the node's clock.
static DUE: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static ALLOCATOR: lol_alloc::LockedAllocator<lol_alloc::FreeListAllocator> =
    lol_alloc::LockedAllocator::new(lol_alloc::FreeListAllocator::new());

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

struct Beacon;

impl Guest for Beacon {
    fn on_start() -> Status {
        let lamp = match gpio::open_output(LABEL) {
            Ok(lamp) => lamp,
            Err(status) => return status,
        };
        log::log(Level::Info, &introduction(lamp.active_level()));
        LAMP.call_once(|| lamp);
        DUE.store(clock::now(), Ordering::Relaxed);
        Status::Ok
    }

    fn on_loop() -> Next {
        let Some(lamp) = LAMP.get() else {
            return Next::Finish;
        };
        let due = DUE.fetch_add(PERIOD_NANOSECONDS, Ordering::Relaxed);
        if flash(lamp, due) == Status::Ok { Next::Again } else { Next::Finish }
    }

    // The node makes the lamp inactive when the container ends.
    fn on_stop() {
        log::log(Level::Info, "off");
    }
}

/// Who this is, and where.
fn introduction(level: ActiveLevel) -> String {
    let level = match level {
        ActiveLevel::ActiveHigh => "high",
        ActiveLevel::ActiveLow => "low",
    };
    let (name, board, substrate) = (node::container_name(), node::board(), node::substrate());
    format!("{name} on {board}, {substrate}: {LABEL} is active while {level}")
}

/// One flash, as soon as it is due.
fn flash(lamp: &Output, due: u64) -> Status {
    let steps: [&dyn Fn() -> Status; 4] = [
        &|| sleep::sleep_until(due),
        &|| lamp.set_state(State::Active),
        &|| sleep::sleep_until(due.saturating_add(FLASH_NANOSECONDS)),
        &|| lamp.set_state(State::Inactive),
    ];
    steps.iter().map(|step| step()).find(|status| *status != Status::Ok).unwrap_or(Status::Ok)
}

bindings::export!(Beacon with_types_in bindings);
