//! The seam between the driver's behaviour and a bank of lines.

use runner_interfaces::boot_report::Finding;
use runner_interfaces::gpio::{Edges, Pull};

/// A bank of up to 64 lines. Callers name lines below [`Bank::lines`]; an implementation ignores any other.
///
/// Nothing here waits: each method is a few register accesses.
pub trait Bank {
    /// How many lines there are; their numbers start at 0.
    fn lines(&self) -> u8;

    /// Whether `line` is one that a cell may have at all: the system itself may need some.
    fn offers(&self, line: u8) -> bool {
        line < self.lines()
    }

    /// Makes `line` an output that drives `high`. A line that was an input drives no other level in between.
    fn drive(&mut self, line: u8, high: bool);

    /// Makes `line` an input with the pull that the board gives it.
    fn listen(&mut self, line: u8);

    /// Gives `line` another pull, until it is made an input again. False where the bank has none to give.
    fn pull(&mut self, _line: u8, _pull: Pull) -> bool {
        false
    }

    /// The level of `line` now.
    fn level(&self, line: u8) -> bool;

    /// The levels of all lines now, a bit a line.
    fn levels(&self) -> u64;

    /// Interrupts at these edges of `line` from now on, or at none. Edges from before are forgotten.
    fn watch(&mut self, line: u8, edges: Option<Edges>);

    /// The watched lines that have edges to be taken, a bit a line.
    fn pending(&self) -> u64;

    /// Takes the edges of `line`: how many there were. Hardware that only latches says 1 for any number.
    fn take_edges(&mut self, line: u8) -> u32;

    /// Whether the device that this bank is made for answers, in words for the console. Changes nothing that a pin shows.
    fn identify(&mut self) -> Finding {
        Finding::well(format_args!("{} lines", self.lines()))
    }
}

/// A bank of no lines: for a board whose GPIO has no driver yet, so that every call gets a clear answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct SilentBank;

impl Bank for SilentBank {
    fn lines(&self) -> u8 {
        0
    }
    fn drive(&mut self, _: u8, _: bool) {}
    fn listen(&mut self, _: u8) {}
    fn level(&self, _: u8) -> bool {
        false
    }
    fn levels(&self) -> u64 {
        0
    }
    fn watch(&mut self, _: u8, _: Option<Edges>) {}
    fn pending(&self) -> u64 {
        0
    }
    fn take_edges(&mut self, _: u8) -> u32 {
        0
    }
}
