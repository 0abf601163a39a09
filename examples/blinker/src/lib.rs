//! `blinker`: a periodic timer drives an output (world "reactor", Rust without std, bindings by `wit-bindgen`).
//!
//! It exists as the pattern for a real-time container: everything is opened and armed in `on-start`, `on-loop` waits for
//! one event and reacts, `on-stop` leaves the line in a safe state. It never allocates. Deploy it with grants for the
//! output `LED` and for a timer period of 100 ms; what is not granted fails `on-start` with the status that was given.
#![no_std]

use core::sync::atomic::{AtomicU32, Ordering};

use bindings::atoll::node::gpio::{self, Output};
use bindings::atoll::node::log::{self, Level};
use bindings::atoll::node::timer;
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
/// Ten toggles a second can be seen by eye and lie far above any granted minimum period.
const PERIOD_NANOSECONDS: u64 = 100_000_000;
/// Any of 1 to 7 does.
const TIMER: u32 = 1;
/// One record every two seconds: enough to see it live, not enough to fill a log.
const TOGGLES_PER_RECORD: u32 = 20;
/// As many as `u32::MAX` has.
const COUNT_DIGITS: usize = 10;

static LED: spin::Once<Output> = spin::Once::new();
static TOGGLES: AtomicU32 = AtomicU32::new(0);

#[global_allocator]
static ALLOCATOR: lol_alloc::FailAllocator = lol_alloc::FailAllocator;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

struct Blinker;

impl Guest for Blinker {
    fn on_start() -> Status {
        let led = match gpio::open_output(LABEL) {
            Ok(led) => led,
            Err(status) => return status,
        };
        LED.call_once(|| led);
        timer::arm(TIMER, PERIOD_NANOSECONDS, PERIOD_NANOSECONDS)
    }

    fn on_loop() -> Next {
        timer::wait(1 << TIMER);
        let Some(led) = LED.get() else {
            return Next::Finish;
        };
        let status = led.toggle();
        if status != Status::Ok {
            log::log(Level::Error, "the line no longer obeys");
            return Next::Finish;
        }
        let toggles = TOGGLES.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        if toggles.is_multiple_of(TOGGLES_PER_RECORD) {
            report(toggles);
        }
        Next::Again
    }

    fn on_stop() {
        timer::disarm(TIMER);
        if let Some(led) = LED.get() {
            led.set(false);
        }
        report(TOGGLES.load(Ordering::Relaxed));
    }
}

/// Logs how often the line was toggled so far.
fn report(toggles: u32) {
    let mut record = *b"         0 toggles";
    // Digits from the last to the first, by hand: `core::fmt` would treble the size of this module.
    let mut left = toggles;
    for digit in record[..COUNT_DIGITS].iter_mut().rev() {
        *digit = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    // It is ASCII by construction; a record that were not would only be empty.
    log::log(Level::Info, core::str::from_utf8(&record).unwrap_or_default().trim_ascii_start());
}

bindings::export!(Blinker with_types_in bindings);
