//! Lines that interrupt more often than anybody can handle.
//!
//! Who is at the other end of a line is outside, and may change it as fast as wires allow. The kernel holds this domain to no budget, so it
//! looks itself after how often the bank interrupts it: beyond [`MOST_INTERRUPTS`] in a window of the clock, the lines that come again and again
//! are made quiet. They interrupt again when the warden next looks around, and whoever watches one is then told of an edge, since what
//! it missed is not known.

use runner_interfaces::{
    MAX_CELLS,
    gpio::{Edges, INTERRUPT_WINDOW_NS, MOST_INTERRUPTS},
    grants::MAX_LINES,
    kernel::{Instant, Kernel, Wiring},
    usage::Count,
};

use super::{Gpio, Use};
use crate::bank::Bank;

/// What the bank did in the window that the clock is in.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Storm {
    window: u64,
    interrupts: u32,
    /// Lines that had edges, a bit a line.
    seen: u64,
    /// Lines that are quiet, whoever has them.
    quiet: u64,
}

impl Storm {
    /// Counts an interrupt of the lines `pending`; answers those that are to be quiet from now on.
    pub(super) fn interrupted(&mut self, pending: u64, now: Instant) -> u64 {
        let window = now.nanoseconds() / INTERRUPT_WINDOW_NS;
        if window != self.window {
            (self.window, self.interrupts, self.seen) = (window, 0, 0);
        }
        self.interrupts = self.interrupts.saturating_add(1);
        let again = pending & self.seen;
        self.seen |= pending;
        match self.interrupts > MOST_INTERRUPTS {
            false => 0,
            // Who comes for the first time is not the one that comes too often, unless there is nobody else.
            true if again != 0 => again,
            true => pending,
        }
    }
}

impl<W: Wiring, B: Bank> Gpio<W, B> {
    /// Has the bank watch a line, or not. A quiet one it watches when it may interrupt again, whoever asks for it meanwhile.
    pub(super) fn watch_edges(&mut self, line: u8, edges: Option<Edges>) {
        if edges.is_none() || self.storm.quiet & (1 << line) == 0 {
            self.bank.watch(line, edges);
        }
    }

    /// Makes `lines` quiet.
    pub(super) fn make_quiet(&mut self, lines: u64) {
        if lines == 0 {
            return;
        }
        for line in (0..MAX_LINES).filter(|line| lines & (1 << line) != 0) {
            self.bank.watch(line, None);
            self.status.storms = self.status.storms.wrapping_add(1);
            if let Some((cell, _)) = self.lines[usize::from(line)].holder {
                self.usage.add(cell, usize::from(line), Count::Coalesced, 1);
                self.status.coalesced = self.status.coalesced.wrapping_add(1);
            }
        }
        self.set_quiet(self.storm.quiet | lines);
    }

    /// Lets all lines interrupt again, and tells those that watch them.
    pub(super) fn listen_again<K: Kernel>(&mut self, kernel: &mut K) {
        let lines = self.storm.quiet;
        self.set_quiet(0);
        let mut notify = [false; MAX_CELLS];
        for line in (0..MAX_LINES).filter(|line| lines & (1 << line) != 0) {
            if let Some((cell, Use::Input { watched: Some(edges), .. })) = self.lines[usize::from(line)].holder {
                self.bank.watch(line, Some(edges));
                notify[cell] |= self.admit_edges(cell, line, 1);
            }
        }
        self.tell(kernel, notify);
    }

    fn set_quiet(&mut self, lines: u64) {
        self.storm.quiet = lines;
        self.status.quiet = lines;
        self.watch.set_quiet_lines(lines);
    }
}
