//! A line that interrupts more often than anybody can handle.

use runner_interfaces::driver::DriverWatch;
use runner_interfaces::gpio::MOST_INTERRUPTS;

use super::*;

/// Cell 1 watches lines 3 and 4.
fn watching() -> Bench {
    let mut bench = Bench::new();
    bench.grant(1, 0, 0, 0b1_1000);
    for line in [3, 4] {
        assert_eq!(bench.cell(1, Procedure::OpenInput, line).0, Status::Ok);
        assert_eq!(bench.watch(1, line, Edges::Both).0, Status::Ok);
    }
    bench
}

impl Bench {
    /// An edge on the line, and its interrupt; whoever is notified.
    fn edge(&mut self, line: u8) -> Vec<u8> {
        let high = self.pins.pin(line);
        self.pins.set_pin(line, !high);
        if self.pins.pending() == 0 { Vec::new() } else { self.interrupt() }
    }

    fn is_watched(&self, line: u8) -> bool {
        self.pins.0.borrow().watched[usize::from(line)].is_some()
    }

    fn listen(&mut self) -> Vec<u8> {
        assert_eq!(self.send(WARDEN, Message::new(Procedure::Listen.to_wire().into())).0, Status::Ok);
        core::mem::take(&mut self.kernel.notified)
    }

    fn quiet_lines(&self) -> u64 {
        DriverWatch::new(self.wiring.status.clone()).expect("fits").quiet_lines()
    }
}

#[test]
fn a_line_that_interrupts_too_often_is_made_quiet_until_the_warden_comes_round() {
    let mut bench = watching();
    for _ in 0..MOST_INTERRUPTS {
        assert_eq!(bench.edge(3), [CELL[1]]);
    }
    assert!(bench.is_watched(3));
    assert_eq!(bench.edge(3), [CELL[1]], "the one too many counts as well");
    assert!(!bench.is_watched(3) && bench.is_watched(4), "and is the last");
    assert_eq!((bench.quiet_lines(), bench.status().quiet, bench.status().storms), (0b1000, 0b1000, 1));
    assert_eq!(bench.used(1, 3).coalesced, 1);
    assert_eq!(bench.edge(3), [], "nobody is interrupted");
    assert_eq!(bench.edge(3), []);
    assert_eq!(bench.take_edges(1, 3).0, u64::from(MOST_INTERRUPTS) + 1, "those from before");

    // What it missed it hears of as one edge.
    assert_eq!(bench.listen(), [CELL[1]]);
    assert_eq!((bench.quiet_lines(), bench.status().quiet), (0, 0));
    assert_eq!(bench.take_edges(1, 3).0, 1);
    bench.kernel.now_ns += INTERRUPT_WINDOW_NS;
    assert_eq!(bench.edge(3), [CELL[1]], "it interrupts again");
    assert_eq!(bench.take_edges(1, 3).0, 1);
    assert_eq!(bench.listen(), [], "nothing is quiet");
}

#[test]
fn in_each_window_a_line_may_interrupt_as_often_as_that() {
    let mut bench = watching();
    for _ in 0..100 {
        for _ in 0..MOST_INTERRUPTS {
            bench.edge(3);
        }
        bench.kernel.now_ns += INTERRUPT_WINDOW_NS;
    }
    assert_eq!((bench.quiet_lines(), bench.status().storms), (0, 0));
    assert_eq!(bench.counts(3).edges, 100 * u64::from(MOST_INTERRUPTS));
}

#[test]
fn who_comes_seldom_is_not_made_quiet_for_who_comes_often() {
    let mut bench = watching();
    for _ in 0..MOST_INTERRUPTS {
        bench.edge(3);
    }
    // Both at once: line 4 for the first time.
    bench.pins.set_pin(3, !bench.pins.pin(3));
    assert_eq!(bench.edge(4), [CELL[1]]);
    assert_eq!(bench.quiet_lines(), 0b1000);
    // Alone it is the only one that can be.
    assert_eq!(bench.edge(4), [CELL[1]]);
    assert_eq!(bench.quiet_lines(), 0b1_1000);
}

#[test]
fn nobody_makes_a_quiet_line_interrupt_by_asking_for_it_again() {
    let mut bench = watching();
    for _ in 0..=MOST_INTERRUPTS {
        bench.edge(3);
    }
    assert_eq!(bench.watch(1, 3, Edges::Rising).0, Status::Ok);
    assert!(!bench.is_watched(3));
    assert_eq!(bench.cell(1, Procedure::Close, 3).0, Status::Ok);
    assert_eq!(bench.cell(1, Procedure::OpenInput, 3).0, Status::Ok);
    assert_eq!(bench.watch(1, 3, Edges::Falling).0, Status::Ok);
    assert!(!bench.is_watched(3));
    assert_eq!(bench.cell(1, Procedure::Listen, 3).0, Status::Invalid, "the warden's to say");
    assert!(!bench.is_watched(3));
    bench.listen();
    assert_eq!(bench.pins.0.borrow().watched[3], Some(Edges::Falling));
    // Nobody has it: nothing is watched.
    for _ in 0..=MOST_INTERRUPTS {
        bench.edge(3);
        bench.edge(3);
    }
    assert_eq!(bench.quiet_lines() & 0b1000, 0b1000);
    assert_eq!(bench.send(WARDEN, Message::with_word(Procedure::Release.to_wire().into(), 1)).0, Status::Ok);
    assert_eq!(bench.listen(), []);
    assert!(!bench.is_watched(3));
}
