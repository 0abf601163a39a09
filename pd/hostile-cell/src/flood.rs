//! One call of a driver, again and again, as fast as native code can: what a cell's own budget buys of the drivers' time.
//!
//! The cell pays for its way to the call and for what the kernel does for it on the way back; the driver's part is the driver's. How
//! many calls fit into one budget says what a call costs the cell, and the distance of two calls is both parts together.

use pd_shell::Sel4Kernel;
use runner_interfaces::exchange;
use runner_interfaces::gpio;
use runner_interfaces::i2c::Transfer;
use runner_interfaces::kernel::{Channel, Instant, Kernel, Message};
use runner_interfaces::timer::{self, EXECUTOR_TIMER};

/// A line that the test grants (RELAY), and a device (the memory).
pub(crate) const LINE: u8 = 1;
const DEVICE: u8 = 0x50;

/// Whom it calls, by the place in [`crate::DRIVERS`], and with what. By their numbers, in the container's name.
pub(crate) fn call_of(number: usize) -> Option<(usize, Message)> {
    Some(match number {
        0 => (0, gpio::call(gpio::Procedure::Get, LINE)),
        1 => (0, gpio::call(gpio::Procedure::Toggle, LINE)),
        2 => (1, timer::arm(EXECUTOR_TIMER, u64::MAX, 0)),
        3 => (1, timer::call(timer::Procedure::Take, 0)),
        4 => (2, Transfer::new(DEVICE, &[0], 16)?.call()),
        5 => (3, exchange::put(0, exchange::WORD_BYTES, &[0; exchange::WORD_BYTES])),
        6 => (3, exchange::put(0, exchange::MAX_VALUE_BYTES, &[0; exchange::WORD_BYTES])),
        _ => return None,
    })
}

/// Calls between two looks at the clock, so that looking costs little beside them.
const CALLS_A_LOOK: u64 = 8;

/// Longer than any [`CALLS_A_LOOK`] calls take: the budget was used up in between.
const PAUSE_NS: u64 = 1_000_000;

/// What was found.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Found {
    /// Calls made.
    pub(crate) calls: u64,
    /// The most calls between two pauses.
    pub(crate) most_in_a_row: u64,
    /// The shortest time of [`CALLS_A_LOOK`] calls, in nanoseconds.
    pub(crate) shortest_ns: u64,
}

/// Calls for ever, or until the cell is ended; tells now and then what it found.
pub(crate) fn call_for_ever(
    kernel: &mut Sel4Kernel,
    (channel, message): (Channel, Message),
    tell: &mut dyn FnMut(&Found),
) -> ! {
    let mut found = Found { shortest_ns: u64::MAX, ..Found::default() };
    let mut in_a_row = 0;
    let mut before = kernel.now();
    loop {
        for _ in 0..CALLS_A_LOOK {
            kernel.call(channel, message);
        }
        let now: Instant = kernel.now();
        let took_ns = now.nanoseconds_since(before);
        found.calls += CALLS_A_LOOK;
        found.shortest_ns = found.shortest_ns.min(took_ns);
        in_a_row += CALLS_A_LOOK;
        if took_ns > PAUSE_NS {
            found.most_in_a_row = found.most_in_a_row.max(in_a_row);
            in_a_row = 0;
            // Once in each budget: it counts little.
            tell(&found);
        }
        before = kernel.now();
    }
}
