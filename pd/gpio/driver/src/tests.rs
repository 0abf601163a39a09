//! The driver against callers that mean harm, with a bank and a kernel of paper.

mod storm;
mod work;

use alloc::rc::Rc;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::cell::RefCell;

use proptest::prelude::*;
use runner_interfaces::gpio::{
    Edges, GPIO_STATUS_REGION_BYTES, GPIO_USAGE_OFFSET_BYTES, GpioStatus, INTERRUPT_WINDOW_NS, LineCounts,
    LineCountsTable, Opened, Procedure, Pull, Status, call, call_with,
};
use runner_interfaces::grants::{CellGrants, GRANT_STRIDE_BYTES, LineRates, MAX_LINES, grant_offset_bytes};
use runner_interfaces::kernel::{Channel, ChannelSet, Domain, Instant, Kernel, Message, Wiring};
use runner_interfaces::usage::{Usage, UsageTable};
use shared_ring::{HeapMemory, SequencedCell, SharedMemory};

use crate::{Bank, Gpio, SilentBank, StartError};

#[derive(Default)]
struct PaperPins {
    outputs: u64,
    pulled_up: u64,
    has_no_pulls: bool,
    driven: u64,
    pins: u64,
    watched: [Option<Edges>; 8],
    untaken: [u32; 8],
}

/// Eight lines that a test can move.
#[derive(Clone, Default)]
struct PaperBank(Rc<RefCell<PaperPins>>);

impl PaperBank {
    fn set_pin(&self, line: u8, high: bool) {
        let mut pins = self.0.borrow_mut();
        let bit = 1 << line;
        let was = pins.pins & bit != 0;
        pins.pins = if high { pins.pins | bit } else { pins.pins & !bit };
        let counts = match pins.watched[usize::from(line)] {
            Some(Edges::Both) => was != high,
            Some(Edges::Rising) => !was && high,
            Some(Edges::Falling) => was && !high,
            None => false,
        };
        if counts {
            pins.untaken[usize::from(line)] += 1;
        }
    }

    fn pin(&self, line: u8) -> bool {
        self.levels() & (1 << line) != 0
    }

    fn is_output(&self, line: u8) -> bool {
        self.0.borrow().outputs & (1 << line) != 0
    }
}

impl Bank for PaperBank {
    fn lines(&self) -> u8 {
        8
    }
    fn drive(&mut self, line: u8, high: bool) {
        let mut pins = self.0.borrow_mut();
        pins.outputs |= 1 << line;
        pins.driven = if high { pins.driven | 1 << line } else { pins.driven & !(1 << line) };
    }
    fn listen(&mut self, line: u8) {
        let mut pins = self.0.borrow_mut();
        pins.outputs &= !(1 << line);
        pins.pulled_up &= !(1 << line);
    }
    fn pull(&mut self, line: u8, pull: Pull) -> bool {
        let mut pins = self.0.borrow_mut();
        if pins.has_no_pulls {
            return false;
        }
        pins.pulled_up = if pull == Pull::Up { pins.pulled_up | 1 << line } else { pins.pulled_up & !(1 << line) };
        true
    }
    // The last line is the system's own.
    fn offers(&self, line: u8) -> bool {
        line < 7
    }
    fn level(&self, line: u8) -> bool {
        self.levels() & (1 << line) != 0
    }
    fn levels(&self) -> u64 {
        let pins = self.0.borrow();
        (pins.driven & pins.outputs) | (pins.pins & !pins.outputs)
    }
    fn watch(&mut self, line: u8, edges: Option<Edges>) {
        let mut pins = self.0.borrow_mut();
        pins.watched[usize::from(line)] = edges;
        pins.untaken[usize::from(line)] = 0;
    }
    fn pending(&self) -> u64 {
        let pins = self.0.borrow();
        (0..8).filter(|&line| pins.untaken[line] > 0).fold(0, |mask, line| mask | 1 << line)
    }
    fn take_edges(&mut self, line: u8) -> u32 {
        core::mem::take(&mut self.0.borrow_mut().untaken[usize::from(line)])
    }
}

struct PaperWiring {
    grants: HeapMemory,
    status: HeapMemory,
}

const WARDEN: u8 = 20;
const INTERRUPT: u8 = 60;

impl Wiring for PaperWiring {
    type Memory = HeapMemory;

    fn channel(&self, symbol: &str) -> Option<Channel> {
        match symbol {
            "channel_warden" => Channel::new(WARDEN),
            "channel_interrupt" => Channel::new(INTERRUPT),
            // Two cells; that of cell 1 has another number than the cell.
            "channel_cell0" => Channel::new(0),
            "channel_cell1" => Channel::new(7),
            _ => None,
        }
    }

    fn region(&self, symbol: &str) -> Option<HeapMemory> {
        match symbol {
            "region_grants" => Some(self.grants.clone()),
            "region_status" => Some(self.status.clone()),
            _ => None,
        }
    }
}

#[derive(Default)]
struct PaperKernel {
    notified: Vec<u8>,
    now_ns: u64,
}

impl Kernel for PaperKernel {
    fn notify(&mut self, channel: Channel) {
        self.notified.push(channel.number());
    }
    fn call(&mut self, _: Channel, _: Message) -> Message {
        panic!("a driver calls nobody")
    }
    fn now(&self) -> Instant {
        Instant::from_nanoseconds(self.now_ns)
    }
}

struct Bench {
    wiring: PaperWiring,
    pins: PaperBank,
    gpio: Gpio<PaperWiring, PaperBank>,
    kernel: PaperKernel,
}

const CELL: [u8; 2] = [0, 7];

impl Bench {
    fn new() -> Self {
        let wiring = PaperWiring {
            grants: HeapMemory::new(runner_interfaces::MAX_CELLS * GRANT_STRIDE_BYTES),
            status: HeapMemory::new(GPIO_STATUS_REGION_BYTES),
        };
        let pins = PaperBank::default();
        let gpio = Gpio::new(&wiring, pins.clone()).expect("wired");
        let mut bench = Self { wiring, pins, gpio, kernel: PaperKernel::default() };
        bench.gpio.start(&mut bench.kernel);
        bench
    }

    fn grant(&self, cell: usize, output_lines: u64, input_lines: u64, edge_lines: u64) {
        let offset = grant_offset_bytes(cell).expect("a cell");
        let mut entry = SequencedCell::new(self.wiring.grants.clone(), offset).expect("fits");
        self.rates(cell, LineRates::all(1_000_000));
        entry.write(&CellGrants { output_lines, input_lines, edge_lines, ..CellGrants::default() });
    }

    fn rates(&self, cell: usize, rates: LineRates) {
        rates.write(&self.wiring.grants, cell).expect("a cell");
    }

    fn grant_all(&self, cell: usize, grants: CellGrants) {
        let offset = grant_offset_bytes(cell).expect("a cell");
        self.rates(cell, LineRates::all(1_000_000));
        SequencedCell::new(self.wiring.grants.clone(), offset).expect("fits").write(&grants);
    }

    fn send(&mut self, channel: u8, message: Message) -> (Status, u64) {
        let channel = Channel::new(channel).expect("a channel");
        let answer = self.gpio.called(&mut self.kernel, channel, message);
        (Status::of(&answer), answer.words[0])
    }

    /// How many edges there are, and in how many nanoseconds there is another.
    fn take_edges(&mut self, cell: usize, line: u8) -> (u64, u64) {
        let channel = Channel::new(CELL[cell]).expect("a channel");
        let answer = self.gpio.called(&mut self.kernel, channel, call(Procedure::TakeEdges, line));
        assert_eq!(Status::of(&answer), Status::Ok);
        (answer.words[0], answer.words[1])
    }

    fn used(&self, cell: usize, line: u8) -> Usage {
        let table = UsageTable::new(self.wiring.status.clone(), GPIO_USAGE_OFFSET_BYTES, usize::from(MAX_LINES));
        table.expect("fits").read(cell, usize::from(line))
    }

    fn cell(&mut self, cell: usize, procedure: Procedure, line: u8) -> (Status, u64) {
        self.send(CELL[cell], call(procedure, line))
    }

    fn set(&mut self, cell: usize, line: u8, level: u64) -> (Status, u64) {
        self.send(CELL[cell], call_with(Procedure::Set, line, level))
    }

    fn watch(&mut self, cell: usize, line: u8, edges: Edges) -> (Status, u64) {
        self.send(CELL[cell], call_with(Procedure::Watch, line, u64::from(edges.to_wire())))
    }

    fn interrupt(&mut self) -> Vec<u8> {
        let channels = ChannelSet::default().with(Channel::new(INTERRUPT).expect("a channel"));
        self.gpio.notified(&mut self.kernel, channels);
        core::mem::take(&mut self.kernel.notified)
    }

    fn counts(&self, line: u8) -> LineCounts {
        LineCountsTable::new(self.wiring.status.clone()).expect("fits").read(line)
    }

    fn status(&self) -> GpioStatus {
        SequencedCell::new(self.wiring.status.clone(), 0).expect("fits").try_read().expect("shown since the start")
    }
}

#[test]
fn an_output_is_driven_as_it_was_granted() {
    let mut bench = Bench::new();
    bench.grant(0, 0b1, 0, 0);
    assert_eq!(bench.cell(0, Procedure::OpenOutput, 0), (Status::Ok, 0));
    assert_eq!(bench.set(0, 0, 1), (Status::Ok, 1));
    assert!(bench.pins.pin(0));
    assert_eq!(bench.cell(0, Procedure::Toggle, 0), (Status::Ok, 0));
    assert!(!bench.pins.pin(0));
    assert_eq!(bench.cell(0, Procedure::Get, 0), (Status::Ok, 0));
    let status = bench.status();
    assert_eq!((bench.counts(0).transitions, status.outputs, status.inputs), (2, 1, 0));
    assert_eq!((status.calls, status.refused, status.invalid), (4, 0, 0));
}

#[test]
fn a_line_that_was_not_granted_is_refused_and_counted() {
    let mut bench = Bench::new();
    bench.grant(0, 0b1, 0b10, 0);
    for (procedure, line, status) in [
        (Procedure::OpenOutput, 1, Status::ModeNotGranted),
        (Procedure::OpenInput, 0, Status::ModeNotGranted),
        (Procedure::OpenOutput, 6, Status::NotGranted),
    ] {
        assert_eq!(bench.cell(0, procedure, line).0, status);
    }
    assert_eq!((bench.status().refused, &bench.status().refused_by_cell[..2]), (3, &[3, 0][..]));
    assert!(!bench.pins.is_output(1) && !bench.pins.is_output(6));
}

#[test]
fn a_line_that_the_system_uses_is_not_there_whatever_was_granted() {
    let mut bench = Bench::new();
    bench.grant(0, u64::MAX, u64::MAX, u64::MAX);
    for procedure in [Procedure::OpenOutput, Procedure::OpenInput, Procedure::Set, Procedure::Watch] {
        assert_eq!(bench.cell(0, procedure, 7).0, Status::NotFound);
    }
    assert!(!bench.pins.is_output(7));
    assert_eq!(bench.status().invalid, 4);
}

#[test]
fn an_input_is_pulled_as_asked_until_it_is_given_back() {
    let mut bench = Bench::new();
    bench.grant(0, 0b10, 0b1, 0);
    let pull = |pull: u64, line| call_with(Procedure::Pull, line, pull);
    let up = u64::from(Pull::Up.to_wire());
    assert_eq!(bench.send(CELL[0], pull(up, 0)).0, Status::Invalid, "not opened");
    assert_eq!(bench.cell(0, Procedure::OpenInput, 0).0, Status::Ok);
    assert_eq!(bench.send(CELL[0], pull(up, 0)).0, Status::Ok);
    assert_eq!(bench.pins.0.borrow().pulled_up, 0b1);
    assert_eq!(bench.send(CELL[0], pull(4, 0)).0, Status::Invalid);
    assert_eq!(bench.send(CELL[1], pull(up, 0)).0, Status::NotGranted);
    assert_eq!(bench.cell(0, Procedure::OpenOutput, 1).0, Status::Ok);
    assert_eq!(bench.send(CELL[0], pull(up, 1)).0, Status::ModeNotGranted, "an output has no pull");
    assert_eq!(bench.cell(0, Procedure::Close, 0).0, Status::Ok);
    assert_eq!(bench.pins.0.borrow().pulled_up, 0);
}

#[test]
fn a_bank_without_pulls_says_so() {
    let mut bench = Bench::new();
    bench.grant(0, 0, 0b1, 0);
    bench.pins.0.borrow_mut().has_no_pulls = true;
    assert_eq!(bench.cell(0, Procedure::OpenInput, 0).0, Status::Ok);
    let up = call_with(Procedure::Pull, 0, u64::from(Pull::Up.to_wire()));
    assert_eq!(bench.send(CELL[0], up).0, Status::NotSupported);
    assert_eq!(bench.status().invalid, 1);
}

#[test]
fn a_line_that_is_active_while_low_rests_high() {
    let mut bench = Bench::new();
    let active_low =
        CellGrants { output_lines: 0b11, input_lines: 0b10, active_low_lines: 0b10, ..CellGrants::default() };
    bench.grant_all(0, active_low);
    let opened = |high, active_low| (Status::Ok, Opened { high, active_low }.to_word());
    assert_eq!(bench.cell(0, Procedure::OpenOutput, 0), opened(false, false));
    assert_eq!(bench.cell(0, Procedure::OpenOutput, 1), opened(true, true));
    assert!(bench.pins.pin(1), "opened, it is not yet active");
    assert_eq!(bench.set(0, 1, 0), (Status::Ok, 0));
    assert_eq!(bench.cell(0, Procedure::OpenOutput, 1), opened(false, true), "opened again, it goes on as it is");
    assert_eq!(bench.cell(0, Procedure::Close, 1).0, Status::Ok);
    assert!(bench.pins.pin(1) && bench.pins.is_output(1), "closed, it is inactive");
    assert_eq!(bench.counts(1).transitions, 2);

    // Also when the cell is emptied, which is after its rights were taken.
    assert_eq!(bench.cell(0, Procedure::OpenOutput, 1).0, Status::Ok);
    assert_eq!(bench.set(0, 1, 0).0, Status::Ok);
    bench.grant(0, 0, 0, 0);
    let release = Message::with_word(u64::from(Procedure::Release.to_wire()), 0);
    assert_eq!(bench.send(WARDEN, release).0, Status::Ok);
    assert!(bench.pins.pin(1) && !bench.pins.pin(0));

    // And on the way from output to input.
    bench.grant_all(0, active_low);
    assert_eq!(bench.cell(0, Procedure::OpenOutput, 1).0, Status::Ok);
    assert_eq!(bench.set(0, 1, 0).0, Status::Ok);
    let before = bench.counts(1).transitions;
    assert_eq!(bench.cell(0, Procedure::OpenInput, 1), opened(false, true), "what the pin has");
    assert_eq!(bench.counts(1).transitions, before + 1);
}

#[test]
fn the_grants_are_those_of_the_channel_and_not_of_the_message() {
    let mut bench = Bench::new();
    bench.grant(1, 0b1, 0, 0);
    assert_eq!(bench.cell(0, Procedure::OpenOutput, 0).0, Status::NotGranted);
    assert_eq!(bench.cell(1, Procedure::OpenOutput, 0).0, Status::Ok);
    let claims_to_be_cell_1 = Message { label: u64::from(Procedure::Set.to_wire()), words: [0, 1, 1, 7] };
    assert_eq!(bench.send(CELL[0], claims_to_be_cell_1).0, Status::NotGranted);
}

#[test]
fn a_right_that_is_withdrawn_is_gone_with_the_next_call() {
    let mut bench = Bench::new();
    bench.grant(0, 0b1, 0b1, 0b1);
    assert_eq!(bench.cell(0, Procedure::OpenOutput, 0).0, Status::Ok);
    bench.grant(0, 0, 0, 0);
    assert_eq!(bench.set(0, 0, 1).0, Status::NotGranted);
    assert_eq!(bench.cell(0, Procedure::Get, 0).0, Status::NotGranted);
    assert_eq!(bench.cell(0, Procedure::Close, 0).0, Status::Ok);
}

#[test]
fn while_the_warden_writes_what_was_granted_before_stands() {
    let mut bench = Bench::new();
    bench.grant(0, 0b1, 0, 0);
    let sequence = bench.wiring.grants.load_u32(0).expect("in range");
    bench.wiring.grants.store_u32(0, sequence + 1).expect("in range");
    assert_eq!(bench.cell(0, Procedure::OpenOutput, 0).0, Status::Ok);
    assert_eq!(bench.cell(0, Procedure::OpenOutput, 1).0, Status::NotGranted);
}

#[test]
fn a_line_belongs_to_one_cell_at_a_time() {
    let mut bench = Bench::new();
    bench.grant(0, 0b1, 0b1, 0);
    bench.grant(1, 0b1, 0b1, 0);
    assert_eq!(bench.cell(0, Procedure::OpenOutput, 0).0, Status::Ok);
    for procedure in [Procedure::OpenOutput, Procedure::OpenInput, Procedure::Toggle, Procedure::Get, Procedure::Close]
    {
        assert_eq!(bench.cell(1, procedure, 0).0, Status::Busy, "{procedure}");
    }
    assert_eq!(bench.cell(0, Procedure::Close, 0).0, Status::Ok);
    assert_eq!(bench.cell(1, Procedure::OpenOutput, 0).0, Status::Ok);
    assert_eq!(bench.cell(0, Procedure::Toggle, 0).0, Status::Busy);
}

#[test]
fn what_is_released_goes_low_and_is_free() {
    let mut bench = Bench::new();
    bench.grant(0, 0b111, 0b1000, 0b1000);
    bench.grant(1, 0b10, 0, 0);
    for line in 0..3 {
        bench.cell(0, Procedure::OpenOutput, line);
        bench.set(0, line, 1);
    }
    bench.cell(0, Procedure::OpenInput, 3);
    bench.watch(0, 3, Edges::Both);
    let release = Message::with_word(u64::from(Procedure::Release.to_wire()), 0);
    assert_eq!(bench.send(WARDEN, release).0, Status::Ok);
    assert_eq!(bench.pins.levels(), 0);
    assert!(bench.pins.is_output(0), "a released output goes on driving low");
    let status = bench.status();
    assert_eq!((status.outputs, status.inputs, bench.counts(1).transitions), (0, 0, 2));
    bench.pins.set_pin(3, true);
    assert_eq!(bench.interrupt(), [], "nobody watches any more");
    assert_eq!(bench.set(0, 0, 1).0, Status::Invalid, "the cell has it open no longer");
    assert_eq!(bench.cell(1, Procedure::OpenOutput, 1).0, Status::Ok);
}

#[test]
fn only_the_warden_releases_and_it_does_nothing_else() {
    let mut bench = Bench::new();
    bench.grant(0, 0b1, 0, 0);
    bench.cell(0, Procedure::OpenOutput, 0);
    bench.set(0, 0, 1);
    for channel in CELL {
        let release = Message::with_word(u64::from(Procedure::Release.to_wire()), 0);
        assert_eq!(bench.send(channel, release).0, Status::Invalid);
    }
    assert!(bench.pins.pin(0));
    assert_eq!(bench.send(WARDEN, call(Procedure::Toggle, 0)).0, Status::Invalid);
    for no_cell in [8, u64::MAX] {
        let release = Message::with_word(u64::from(Procedure::Release.to_wire()), no_cell);
        assert_eq!(bench.send(WARDEN, release).0, Status::NotFound);
    }
    assert_eq!(bench.send(33, call(Procedure::Get, 0)).0, Status::Invalid, "a channel that nobody knows");
}

#[test]
fn words_that_make_no_sense_are_refused() {
    let mut bench = Bench::new();
    bench.grant(0, u64::MAX, u64::MAX, u64::MAX);
    let cases = [
        (Message::new(0), Status::Invalid),
        (Message::new(99), Status::Invalid),
        (Message::new(u64::MAX), Status::Invalid),
        (Message::with_word(u64::from(Procedure::OpenOutput.to_wire()) | 1 << 32, 0), Status::Invalid),
        (call(Procedure::OpenOutput, 8), Status::NotFound),
        (Message::with_word(u64::from(Procedure::OpenOutput.to_wire()), 1 << 8), Status::NotFound),
        (Message::with_word(u64::from(Procedure::OpenInput.to_wire()), u64::MAX), Status::NotFound),
        (call_with(Procedure::Set, 0, 2), Status::Invalid),
        (call_with(Procedure::Watch, 0, 0), Status::Invalid),
        (call_with(Procedure::Watch, 0, 4), Status::Invalid),
        // Right in themselves, and not open.
        (call(Procedure::Toggle, 0), Status::Invalid),
        (call(Procedure::Close, 0), Status::Invalid),
        (call(Procedure::TakeEdges, 0), Status::Invalid),
    ];
    for (message, expected) in cases {
        assert_eq!(bench.send(CELL[0], message).0, expected, "{message:?}");
    }
    assert_eq!(bench.status().invalid, cases.len() as u64);
    assert_eq!(bench.pins.0.borrow().outputs, 0, "nothing was touched");
}

#[test]
fn edges_are_counted_and_the_cell_that_watches_is_notified() {
    let mut bench = Bench::new();
    bench.grant(1, 0, 0, 0b1000);
    assert_eq!(bench.cell(1, Procedure::OpenInput, 3).0, Status::Ok, "to watch is to read");
    assert_eq!(bench.watch(1, 3, Edges::Rising).0, Status::Ok);
    bench.pins.set_pin(3, true);
    assert_eq!(bench.interrupt(), [CELL[1]]);
    bench.pins.set_pin(3, false);
    bench.pins.set_pin(3, true);
    assert_eq!(bench.cell(1, Procedure::TakeEdges, 3), (Status::Ok, 2), "that still under way included");
    assert_eq!(bench.cell(1, Procedure::TakeEdges, 3), (Status::Ok, 0));
    assert_eq!(bench.cell(1, Procedure::Get, 3), (Status::Ok, 1));
    assert_eq!(bench.counts(3).edges, 2);
    assert_eq!(bench.interrupt(), [], "a stale notification is of no consequence");
}

#[test]
fn reading_does_not_grant_watching() {
    let mut bench = Bench::new();
    bench.grant(0, 0, 0b1000, 0);
    assert_eq!(bench.cell(0, Procedure::OpenInput, 3).0, Status::Ok);
    assert_eq!(bench.watch(0, 3, Edges::Both).0, Status::ModeNotGranted);
    assert_eq!(bench.cell(0, Procedure::TakeEdges, 3).0, Status::ModeNotGranted);
    assert_eq!(bench.set(0, 3, 1).0, Status::ModeNotGranted);
}

#[test]
fn a_line_changes_its_direction_through_low() {
    let mut bench = Bench::new();
    bench.grant(0, 0b1, 0b1, 0b1);
    bench.cell(0, Procedure::OpenOutput, 0);
    bench.set(0, 0, 1);
    assert_eq!(bench.cell(0, Procedure::OpenOutput, 0), (Status::Ok, 1), "opened again, it goes on as it is");
    assert_eq!(bench.cell(0, Procedure::OpenInput, 0).0, Status::Ok);
    assert!(!bench.pins.is_output(0));
    assert_eq!(bench.counts(0).transitions, 2);
    bench.watch(0, 0, Edges::Both);
    assert_eq!(bench.cell(0, Procedure::OpenOutput, 0), (Status::Ok, 0));
    bench.pins.set_pin(0, true);
    assert_eq!(bench.pins.pending(), 0, "an output is not watched");
}

fn both(procedure: Procedure, from: u64, to: u64) -> Message {
    Message { label: u64::from(procedure.to_wire()), words: [from, to, 0, 0] }
}

impl Bench {
    /// Cell 0 has output 0 (high) and input 1 (rising edges watched), cell 1 may succeed it.
    fn succession() -> Self {
        let mut bench = Self::new();
        for cell in [0, 1] {
            bench.grant(cell, 0b101, 0b10, 0b10);
        }
        assert_eq!(bench.cell(0, Procedure::OpenOutput, 0).0, Status::Ok);
        assert_eq!(bench.set(0, 0, 1).0, Status::Ok);
        assert_eq!(bench.cell(0, Procedure::OpenInput, 1).0, Status::Ok);
        assert_eq!(bench.watch(0, 1, Edges::Rising).0, Status::Ok);
        assert_eq!(bench.send(WARDEN, both(Procedure::Succeed, 0, 1)).0, Status::Ok);
        bench
    }

    fn take_over(&mut self, from: u64, to: u64) -> Status {
        self.send(WARDEN, both(Procedure::TakeOver, from, to)).0
    }
}

#[test]
fn what_is_done_on_standby_reaches_no_line() {
    let mut bench = Bench::succession();
    let before = bench.counts(0).transitions;
    assert_eq!(
        bench.cell(1, Procedure::OpenOutput, 0),
        (Status::Ok, Opened { high: true, active_low: false }.to_word())
    );
    assert_eq!(bench.cell(1, Procedure::Get, 0), (Status::Ok, 1), "it finds the level of the line");
    assert_eq!(bench.cell(1, Procedure::Toggle, 0), (Status::Ok, 0));
    assert_eq!(bench.cell(1, Procedure::Get, 0), (Status::Ok, 0), "and then its own");
    assert_eq!(bench.cell(1, Procedure::OpenInput, 1).0, Status::Ok);
    assert_eq!(bench.watch(1, 1, Edges::Rising).0, Status::Ok);
    assert!(bench.pins.pin(0) && !bench.pins.is_output(1));
    assert_eq!(bench.cell(0, Procedure::Toggle, 0), (Status::Ok, 0), "who has it goes on");
    assert_eq!(bench.counts(0).transitions, before + 1);
    bench.pins.set_pin(1, true);
    assert_eq!(bench.interrupt(), [CELL[0]]);
    assert_eq!(bench.cell(1, Procedure::TakeEdges, 1), (Status::Ok, 0));
    assert_eq!(bench.cell(0, Procedure::TakeEdges, 1), (Status::Ok, 1));
}

#[test]
fn standing_by_needs_the_same_rights() {
    let mut bench = Bench::succession();
    bench.grant(1, 0, 0, 0);
    for (procedure, line) in [(Procedure::OpenOutput, 0), (Procedure::OpenInput, 1)] {
        assert_eq!(bench.cell(1, procedure, line).0, Status::NotGranted);
    }
    bench.grant(1, 0b1, 0b10, 0);
    assert_eq!(bench.cell(1, Procedure::OpenInput, 1).0, Status::Ok);
    assert_eq!(bench.watch(1, 1, Edges::Both).0, Status::ModeNotGranted);
    assert_eq!(bench.set(1, 0, 1).0, Status::Invalid, "not opened");
}

#[test]
fn a_take_over_moves_lines_without_a_level_in_between() {
    let mut bench = Bench::succession();
    bench.cell(1, Procedure::OpenOutput, 0);
    bench.cell(1, Procedure::OpenInput, 1);
    bench.watch(1, 1, Edges::Rising);
    let before = bench.counts(0).transitions;
    bench.pins.set_pin(1, true);
    bench.interrupt();
    assert_eq!(bench.take_over(0, 1), Status::Ok);
    assert_eq!(core::mem::take(&mut bench.kernel.notified), [CELL[1]], "an edge that the first did not take");
    assert_eq!(bench.cell(1, Procedure::TakeEdges, 1), (Status::Ok, 1));
    assert_eq!(bench.counts(0).transitions, before, "it set no level, so the level stays");
    assert_eq!(bench.set(1, 0, 0), (Status::Ok, 0));
    assert!(!bench.pins.pin(0));
    // Who stands by now has its own level, which reaches no line until it has it back.
    assert_eq!(bench.cell(0, Procedure::Get, 0), (Status::Ok, 1));
    assert_eq!(bench.set(0, 0, 1), (Status::Ok, 1));
    assert!(!bench.pins.pin(0));
    assert_eq!(bench.take_over(1, 0), Status::Ok);
    assert!(bench.pins.pin(0));
    bench.pins.set_pin(1, false);
    bench.pins.set_pin(1, true);
    assert_eq!(bench.interrupt(), [CELL[0]]);
    assert_eq!(bench.take_over(0, 1), Status::Ok, "there and back as often as needed");
}

#[test]
fn the_level_that_was_set_on_standby_is_driven_at_the_take_over() {
    let mut bench = Bench::succession();
    bench.cell(1, Procedure::OpenOutput, 0);
    assert_eq!(bench.set(1, 0, 0), (Status::Ok, 0));
    assert_eq!(bench.take_over(0, 1), Status::Ok);
    assert!(!bench.pins.pin(0));
}

#[test]
fn a_line_that_only_the_first_has_stays_with_it() {
    let mut bench = Bench::succession();
    bench.cell(1, Procedure::OpenInput, 1);
    assert_eq!(bench.take_over(0, 1), Status::Ok);
    assert_eq!(bench.cell(0, Procedure::Get, 0), (Status::Ok, 1));
    assert_eq!(bench.cell(1, Procedure::OpenOutput, 0).0, Status::Busy, "it succeeds no longer");
    bench.send(WARDEN, call(Procedure::Release, 0));
    assert_eq!(bench.cell(1, Procedure::OpenOutput, 0).0, Status::Ok);
}

#[test]
fn who_has_taken_over_may_close_and_open_and_the_first_gets_back_what_it_had() {
    let mut bench = Bench::succession();
    bench.cell(1, Procedure::OpenOutput, 0);
    bench.cell(1, Procedure::OpenInput, 1);
    assert_eq!(bench.take_over(0, 1), Status::Ok);
    for line in [0, 1] {
        assert_eq!(bench.cell(1, Procedure::Close, line).0, Status::Ok);
    }
    assert!(!bench.pins.pin(0), "a line that is closed rests");
    assert_eq!(bench.cell(1, Procedure::OpenOutput, 0).0, Status::Ok);
    assert_eq!(bench.cell(1, Procedure::Close, 0).0, Status::Ok);
    assert_eq!(bench.take_over(1, 0), Status::Ok);
    assert!(bench.pins.pin(0), "the first has its line and its level");
    assert_eq!(bench.cell(0, Procedure::Toggle, 0), (Status::Ok, 0));
    bench.pins.set_pin(1, true);
    assert_eq!(bench.interrupt(), [CELL[0]], "and it watches what it watched");
    assert_eq!(bench.cell(0, Procedure::TakeEdges, 1), (Status::Ok, 1));
}

#[test]
fn whoever_is_released_stands_by_no_longer() {
    for released in [0, 1] {
        let mut bench = Bench::succession();
        bench.cell(1, Procedure::OpenOutput, 0);
        assert_eq!(bench.send(WARDEN, call(Procedure::Release, released)).0, Status::Ok);
        assert_eq!(bench.take_over(0, 1), Status::Invalid);
        if released == 1 {
            assert!(bench.pins.pin(0), "who has it goes on");
            assert_eq!(bench.cell(1, Procedure::OpenOutput, 0).0, Status::Busy);
        }
    }
    let mut bench = Bench::succession();
    bench.cell(1, Procedure::OpenOutput, 0);
    bench.take_over(0, 1);
    bench.send(WARDEN, call(Procedure::Release, 0));
    assert!(bench.pins.pin(0), "the first is gone, the second has it");
    assert_eq!(bench.set(1, 0, 0), (Status::Ok, 0));
}

#[test]
fn only_the_warden_says_who_succeeds_whom() {
    let mut bench = Bench::succession();
    for procedure in [Procedure::Succeed, Procedure::TakeOver] {
        assert_eq!(bench.send(CELL[1], both(procedure, 0, 1)).0, Status::Invalid);
    }
    for (procedure, from, to, status) in [
        (Procedure::Succeed, 0, 1, Status::Busy),
        (Procedure::Succeed, 1, 0, Status::Busy),
        (Procedure::Succeed, 2, 2, Status::Invalid),
        (Procedure::Succeed, 2, 8, Status::NotFound),
        (Procedure::TakeOver, 1, 0, Status::Invalid),
        (Procedure::TakeOver, u64::MAX, 0, Status::NotFound),
    ] {
        assert_eq!(bench.send(WARDEN, both(procedure, from, to)).0, status, "{procedure} {from} {to}");
    }
}

#[test]
fn a_build_looks_at_rights_unless_a_measurement_asks_for_another() {
    const { assert!(crate::ACCESS_IS_CHECKED) };
    let mut bench = Bench::new();
    assert_eq!(bench.cell(0, Procedure::OpenOutput, 0).0, Status::NotGranted);
}

#[test]
fn a_bank_without_lines_answers_clearly() {
    let wiring = PaperWiring { grants: HeapMemory::new(0x5000), status: HeapMemory::new(0x5000) };
    let mut gpio = Gpio::new(&wiring, SilentBank).expect("wired");
    let answer = gpio.called(&mut PaperKernel::default(), Channel::new(0).expect("a channel"), call(Procedure::Get, 0));
    assert_eq!(Status::of(&answer), Status::NotFound);
}

#[test]
fn a_region_that_is_too_small_is_found_at_the_start() {
    let wiring = PaperWiring { grants: HeapMemory::new(64), status: HeapMemory::new(0x5000) };
    let error = Gpio::new(&wiring, SilentBank).err().expect("grants of eight cells take a kilobyte");
    assert_eq!(error, StartError::RegionTooSmall);
    assert!(error.to_string().contains("too small"));
}

/// Something that happens to the domain.
#[derive(Clone, Debug)]
enum Event {
    /// A cell calls, with whatever words.
    Call {
        cell: usize,
        message: Message,
    },
    /// The warden grants: outputs, inputs, edges.
    Grant {
        cell: usize,
        lines: [u64; 3],
    },
    Release {
        cell: usize,
    },
    Pin {
        line: u8,
        high: bool,
    },
    Interrupt,
}

fn any_event() -> impl Strategy<Value = Event> {
    let word = || prop_oneof![8 => 0_u64..10, 1 => any::<u64>()];
    let message =
        (word(), word(), word()).prop_map(|(label, line, argument)| Message { label, words: [line, argument, 0, 0] });
    prop_oneof![
        10 => (0..2_usize, message).prop_map(|(cell, message)| Event::Call { cell, message }),
        2 => (0..2_usize, proptest::array::uniform3(0_u64..0x200)).prop_map(|(cell, lines)| Event::Grant { cell, lines }),
        1 => (0..2_usize).prop_map(|cell| Event::Release { cell }),
        2 => (0..8_u8, any::<bool>()).prop_map(|(line, high)| Event::Pin { line, high }),
        1 => Just(Event::Interrupt),
    ]
}

proptest! {
    // Each case is up to 200 calls.
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever anybody calls: a line goes high by a cell that may drive it now, low by one that once might or by the warden,
    /// and by nothing else.
    #[test]
    fn lines_move_by_right_only(events in proptest::collection::vec(any_event(), 1..200)) {
        let mut bench = Bench::new();
        let mut granted_now = [0_u64; 2];
        let mut granted_ever = [0_u64; 2];
        for event in events {
            let before = { let pins = bench.pins.0.borrow(); pins.driven & pins.outputs };
            let (may_rise, may_fall) = match event {
                Event::Call { cell, message } => {
                    bench.send(CELL[cell], message);
                    (granted_now[cell], granted_ever[cell])
                }
                Event::Grant { cell, lines: [outputs, inputs, edges] } => {
                    bench.grant(cell, outputs, inputs, edges);
                    granted_now[cell] = outputs;
                    granted_ever[cell] |= outputs;
                    (0, 0)
                }
                Event::Release { cell } => {
                    bench.send(WARDEN, Message::with_word(u64::from(Procedure::Release.to_wire()), cell as u64));
                    (0, granted_ever[cell])
                }
                Event::Pin { line, high } => {
                    bench.pins.set_pin(line, high);
                    (0, 0)
                }
                Event::Interrupt => {
                    bench.interrupt();
                    (0, 0)
                }
            };
            let after = { let pins = bench.pins.0.borrow(); pins.driven & pins.outputs };
            prop_assert_eq!(after & !before & !may_rise, 0, "rose without a right");
            prop_assert_eq!(before & !after & !may_fall, 0, "fell by somebody else");
            let status = bench.status();
            prop_assert_eq!(status.outputs & status.inputs, 0);
            prop_assert_eq!(after & !status.outputs, 0, "what is high is held");
        }
    }
}

/// A tenth of a second, in nanoseconds.
const TENTH: u64 = 100_000_000;

#[test]
fn a_line_is_changed_no_more_often_than_was_granted() {
    let mut bench = Bench::new();
    bench.grant(0, 0b11, 0, 0);
    let mut rates = LineRates::all(1_000_000);
    rates.transitions[0] = 10;
    bench.rates(0, rates);
    assert_eq!(bench.cell(0, Procedure::OpenOutput, 0).0, Status::Ok);
    assert_eq!(bench.cell(0, Procedure::OpenOutput, 1).0, Status::Ok);
    // Two can be saved up, of which opening took one: before, it was an input.
    assert_eq!(bench.set(0, 0, 1), (Status::Ok, 1));
    assert_eq!(bench.cell(0, Procedure::Toggle, 0).0, Status::Full);
    assert_eq!(bench.set(0, 0, 0).0, Status::Full);
    assert!(bench.pins.pin(0), "what is refused is not driven");
    assert_eq!(bench.set(0, 0, 1), (Status::Ok, 1), "and what changes nothing is free");
    assert_eq!(bench.cell(0, Procedure::Get, 0), (Status::Ok, 1));
    assert_eq!(bench.cell(0, Procedure::Toggle, 1), (Status::Ok, 1), "another line has its own");
    bench.kernel.now_ns = TENTH - 1;
    assert_eq!(bench.set(0, 0, 0).0, Status::Full);
    bench.kernel.now_ns = TENTH;
    assert_eq!(bench.set(0, 0, 0), (Status::Ok, 0));
    let status = bench.status();
    assert_eq!((bench.counts(0).transitions, status.limited, status.refused), (2, 3, 0));
    assert_eq!(bench.used(0, 0), Usage { calls: 8, refused: 0, limited: 3, coalesced: 0 });
    assert_eq!(bench.used(0, 1).calls, 2);
    assert_eq!(bench.used(1, 0), Usage::default());
}

#[test]
fn closing_and_opening_earns_nothing() {
    let mut bench = Bench::new();
    bench.grant(0, 0b1, 0b1, 0);
    bench.rates(0, LineRates::all(10));
    // Nobody drives it, and something outside draws it high.
    bench.pins.set_pin(0, true);
    let mut changes = 0;
    let mut level = true;
    for step in 0..10_000_u64 {
        bench.kernel.now_ns = step * 1_000_000;
        let procedure = [Procedure::OpenOutput, Procedure::Toggle, Procedure::Close, Procedure::OpenInput];
        bench.cell(0, procedure[usize::try_from(step % 4).expect("small")], 0);
        if bench.pins.pin(0) != level {
            level = !level;
            changes += 1;
        }
    }
    // Ten seconds of ten, and two that were saved up.
    assert!((90..=102).contains(&changes), "{changes}");
}

#[test]
fn a_line_rests_whatever_was_spent_and_the_change_is_owed() {
    let mut bench = Bench::new();
    bench.grant(0, 0b1, 0, 0);
    bench.rates(0, LineRates::all(10));
    assert_eq!(bench.cell(0, Procedure::OpenOutput, 0).0, Status::Ok);
    assert_eq!(bench.set(0, 0, 1).0, Status::Ok);
    assert_eq!(bench.cell(0, Procedure::Close, 0).0, Status::Ok);
    assert!(!bench.pins.pin(0));
    assert_eq!(bench.cell(0, Procedure::OpenOutput, 0).0, Status::Ok, "it is an output still");
    bench.kernel.now_ns = TENTH;
    assert_eq!(bench.set(0, 0, 1).0, Status::Full);
    bench.kernel.now_ns = 2 * TENTH;
    assert_eq!(bench.set(0, 0, 1).0, Status::Ok);
}

#[test]
fn without_a_rate_nothing_changes() {
    let mut bench = Bench::new();
    bench.grant(0, 0b1, 0, 0);
    bench.rates(0, LineRates::default());
    assert_eq!(bench.cell(0, Procedure::OpenOutput, 0).0, Status::Full);
    bench.kernel.now_ns = u64::MAX;
    assert_eq!(bench.cell(0, Procedure::OpenOutput, 0).0, Status::Full);
    assert!(!bench.pins.is_output(0));
}

#[test]
fn edges_beyond_the_rate_are_told_together_later_and_counted() {
    let mut bench = Bench::new();
    bench.grant(0, 0, 0b1, 0b1);
    bench.rates(0, LineRates::all(10));
    assert_eq!(bench.cell(0, Procedure::OpenInput, 0).0, Status::Ok);
    assert_eq!(bench.watch(0, 0, Edges::Both).0, Status::Ok);
    let flip = |bench: &mut Bench| {
        let level = bench.pins.pin(0);
        bench.pins.set_pin(0, !level);
        bench.interrupt()
    };
    assert_eq!(flip(&mut bench), [CELL[0]]);
    assert_eq!(flip(&mut bench), [CELL[0]]);
    // The rate is used up. Once it is said that there is something; then it is quiet, however much comes.
    bench.kernel.now_ns = INTERRUPT_WINDOW_NS;
    assert_eq!(flip(&mut bench), [CELL[0]]);
    for _ in 0..97 {
        let level = bench.pins.pin(0);
        bench.pins.set_pin(0, !level);
    }
    assert_eq!(bench.interrupt(), []);
    assert_eq!(bench.take_edges(0, 0), (2, TENTH - INTERRUPT_WINDOW_NS));
    bench.kernel.now_ns = TENTH - 1;
    assert_eq!(bench.take_edges(0, 0), (0, 1));
    bench.kernel.now_ns = TENTH;
    assert_eq!(bench.take_edges(0, 0), (1, 0));
    let status = bench.status();
    assert_eq!((bench.counts(0).edges, status.coalesced), (100, 97));
    assert_eq!(bench.used(0, 0).coalesced, 97);
    // After a quiet time edges are told one by one again.
    bench.kernel.now_ns = 10 * TENTH;
    assert_eq!(flip(&mut bench), [CELL[0]]);
    assert_eq!(bench.take_edges(0, 0), (1, 0));
}

#[test]
fn an_edge_that_comes_when_the_rate_allows_it_brings_what_was_withheld() {
    let mut bench = Bench::new();
    bench.grant(0, 0, 0b1, 0b1);
    bench.rates(0, LineRates::all(10));
    bench.cell(0, Procedure::OpenInput, 0);
    bench.watch(0, 0, Edges::Both);
    for flips in 0..4 {
        bench.pins.set_pin(0, flips % 2 == 0);
        bench.interrupt();
        // As far apart as to be no storm.
        bench.kernel.now_ns += INTERRUPT_WINDOW_NS;
    }
    bench.kernel.now_ns = 3 * TENTH;
    bench.pins.set_pin(0, true);
    assert_eq!(bench.interrupt(), [CELL[0]]);
    // Two at once, two that fell together, and the last.
    assert_eq!(bench.take_edges(0, 0), (4, 0));
    assert_eq!(bench.status().coalesced, 1);
    // Who watches anew begins anew.
    for flips in 0..4 {
        bench.pins.set_pin(0, flips % 2 == 1);
        bench.interrupt();
    }
    bench.watch(0, 0, Edges::Both);
    assert_eq!(bench.take_edges(0, 0), (0, 0));
}

proptest! {
    #[test]
    fn every_edge_is_told_or_counted(
        rate in 1..200_u32,
        // No more than two interrupts in a window: beyond that a line is quiet, and what it misses is not known.
        steps in proptest::collection::vec((INTERRUPT_WINDOW_NS / 2..200_000_000_u64, 0..9_u8, any::<bool>()), 1..60),
    ) {
        let mut bench = Bench::new();
        bench.grant(0, 0, 0b1, 0b1);
        bench.rates(0, LineRates::all(rate));
        bench.cell(0, Procedure::OpenInput, 0);
        bench.watch(0, 0, Edges::Both);
        let (mut made, mut told) = (0, 0);
        for (wait, flips, takes) in steps {
            bench.kernel.now_ns += wait;
            for _ in 0..flips {
                let level = bench.pins.pin(0);
                bench.pins.set_pin(0, !level);
                made += 1;
            }
            bench.interrupt();
            if takes {
                told += bench.take_edges(0, 0).0;
            }
        }
        bench.kernel.now_ns += 2_000_000_000;
        told += bench.take_edges(0, 0).0;
        let coalesced = bench.status().coalesced;
        prop_assert_eq!(told + coalesced, made);
        prop_assert_eq!(bench.used(0, 0).coalesced, coalesced);
        let most = bench.kernel.now_ns.div_ceil(1_000_000_000) * u64::from(rate) + runner_interfaces::rate::Rate::even(rate).saved();
        prop_assert!(told <= most);
    }
}
