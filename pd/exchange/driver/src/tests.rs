//! The exchange against callers that mean harm, with a kernel of paper; and any sequence of calls against a model.

mod model;

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use runner_interfaces::boot_report::Finding;
use runner_interfaces::exchange::{
    Binding, Declaration, Direction, EXCHANGE_STATUS_REGION_BYTES, ExchangeStatus, Kind, Procedure, SlotStatus, Status,
    Taken, VALUE_REGION_BYTES, WORD_BYTES, call, call_with, put, slot_offset_bytes,
};
use runner_interfaces::exchange::{EXCHANGE_USAGE_OFFSET_BYTES, MAX_BINDINGS};
use runner_interfaces::grants::{CellGrants, grant_offset_bytes};
use runner_interfaces::kernel::{Channel, Domain, Instant, Kernel, Message, Wiring};
use runner_interfaces::usage::{Usage, UsageTable};
use shared_ring::{HeapMemory, OutOfRange, SequencedCell, SharedMemory};

use crate::{Exchange, StartError};

/// Three cells; the channel of each has another number than the cell.
const CELL: [u8; 3] = [4, 9, 1];
const ADMISSION: u8 = 21;
const WARDEN: u8 = 20;

/// A region; a restless one is written by its owner as soon as somebody has read it.
#[derive(Clone)]
struct PaperMemory {
    memory: HeapMemory,
    is_restless: bool,
}

impl PaperMemory {
    fn new(size_bytes: usize) -> Self {
        Self { memory: HeapMemory::new(size_bytes), is_restless: false }
    }
}

impl SharedMemory for PaperMemory {
    fn size_bytes(&self) -> usize {
        self.memory.size_bytes()
    }
    fn read(&self, offset: usize, destination: &mut [u8]) -> Result<(), OutOfRange> {
        self.memory.read(offset, destination)?;
        if self.is_restless {
            let changed: Vec<u8> = destination.iter().map(|byte| byte.wrapping_add(1)).collect();
            self.memory.write(offset, &changed)?;
        }
        Ok(())
    }
    fn write(&self, offset: usize, source: &[u8]) -> Result<(), OutOfRange> {
        self.memory.write(offset, source)
    }
    fn load_u32(&self, offset: usize) -> Result<u32, OutOfRange> {
        self.memory.load_u32(offset)
    }
    fn store_u32(&self, offset: usize, value: u32) -> Result<(), OutOfRange> {
        self.memory.store_u32(offset, value)
    }
}

#[derive(Clone)]
struct PaperWiring {
    grants: PaperMemory,
    status: PaperMemory,
    from_cells: [PaperMemory; 3],
    to_cells: [PaperMemory; 3],
    missing: &'static str,
}

impl PaperWiring {
    fn new() -> Self {
        let pages = || core::array::from_fn(|_| PaperMemory::new(VALUE_REGION_BYTES));
        Self {
            grants: PaperMemory::new(runner_interfaces::MAX_CELLS * runner_interfaces::grants::GRANT_STRIDE_BYTES),
            status: PaperMemory::new(EXCHANGE_STATUS_REGION_BYTES),
            from_cells: pages(),
            to_cells: pages(),
            missing: "",
        }
    }
}

/// The cell in the middle of a symbol.
fn cell_in(symbol: &str, prefix: &str, suffix: &str) -> Option<usize> {
    let number: usize = symbol.strip_prefix(prefix)?.strip_suffix(suffix)?.parse().ok()?;
    (number < CELL.len()).then_some(number)
}

impl Wiring for PaperWiring {
    type Memory = PaperMemory;

    fn channel(&self, symbol: &str) -> Option<Channel> {
        match symbol {
            _ if symbol == self.missing => None,
            "channel_warden" => Channel::new(WARDEN),
            "channel_admission" => Channel::new(ADMISSION),
            _ => Channel::new(CELL[cell_in(symbol, "channel_cell", "")?]),
        }
    }

    fn region(&self, symbol: &str) -> Option<PaperMemory> {
        match symbol {
            _ if symbol == self.missing => None,
            "region_grants" => Some(self.grants.clone()),
            "region_status" => Some(self.status.clone()),
            _ => match cell_in(symbol, "region_cell", "_in") {
                Some(cell) => Some(self.from_cells[cell].clone()),
                None => Some(self.to_cells[cell_in(symbol, "region_cell", "_out")?].clone()),
            },
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
        panic!("the exchange calls nobody")
    }
    fn now(&self) -> Instant {
        Instant::from_nanoseconds(self.now_ns)
    }
}

struct Bench {
    wiring: PaperWiring,
    exchange: Exchange<PaperWiring>,
    kernel: PaperKernel,
}

impl Bench {
    /// An exchange with nothing declared, between cells whose grants are in force.
    fn new() -> Self {
        let wiring = PaperWiring::new();
        let exchange = Exchange::new(&wiring).expect("wired");
        let mut bench = Self { wiring, exchange, kernel: PaperKernel::default() };
        bench.exchange.start(&mut bench.kernel);
        for cell in 0..CELL.len() {
            bench.grant(cell, 1);
        }
        bench
    }

    fn grant(&self, cell: usize, generation: u32) {
        let offset = grant_offset_bytes(cell).expect("a cell");
        let mut entry = SequencedCell::new(self.wiring.grants.clone(), offset).expect("fits");
        entry.write(&CellGrants { generation, ..CellGrants::default() });
    }

    fn send(&mut self, channel: u8, message: Message) -> Message {
        self.exchange.called(&mut self.kernel, Channel::new(channel).expect("a channel"), message)
    }

    fn status_of(&mut self, channel: u8, message: Message) -> Status {
        Status::of(&self.send(channel, message))
    }

    /// A slot of values of up to 256 bytes.
    fn declare(&mut self, slot: u64, kind: Kind, depth: u32) -> Status {
        let declaration = Declaration { slot, kind, depth, value_bytes: 256, is_exact: false, fingerprint: 7 };
        self.status_of(ADMISSION, declaration.call())
    }

    fn bind(&mut self, cell: u64, binding: u64, slot: u64, direction: Direction) -> Status {
        let end = Binding { cell, binding, slot, direction, is_standby: false };
        self.status_of(ADMISSION, end.call())
    }

    fn stand_by(&mut self, cell: u64, binding: u64, slot: u64, direction: Direction) -> Status {
        let end = Binding { cell, binding, slot, direction, is_standby: true };
        self.status_of(ADMISSION, end.call())
    }

    fn take_over(&mut self, from: u64, to: u64) -> Status {
        self.status_of(WARDEN, call_with(Procedure::TakeOver, from, to))
    }

    fn put(&mut self, cell: usize, binding: u8, value: &[u8]) -> Status {
        let mut words = [0; WORD_BYTES];
        match words.get_mut(..value.len()) {
            Some(head) => head.copy_from_slice(value),
            None => self.wiring.from_cells[cell].write(0, value).expect("fits"),
        }
        self.status_of(CELL[cell], put(binding, value.len(), &words))
    }

    fn receive(&mut self, cell: usize, procedure: Procedure, binding: u8) -> Result<(Vec<u8>, u64), Status> {
        let answer = self.send(CELL[cell], call(procedure, u64::from(binding)));
        let taken = Taken::of(&answer)?;
        let mut value = vec![0; usize::try_from(taken.length).expect("short")];
        match taken.value.get(..value.len()) {
            Some(head) => value.copy_from_slice(head),
            None => self.wiring.to_cells[cell].read(0, &mut value).expect("fits"),
        }
        Ok((value, taken.overwritten))
    }

    fn take(&mut self, cell: usize, binding: u8) -> Result<(Vec<u8>, u64), Status> {
        self.receive(cell, Procedure::Take, binding)
    }

    fn peek(&mut self, cell: usize, binding: u8) -> Result<(Vec<u8>, u64), Status> {
        self.receive(cell, Procedure::Peek, binding)
    }

    fn notified(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.kernel.notified)
    }

    fn used(&self, cell: usize, end: usize) -> Usage {
        let table = UsageTable::new(self.wiring.status.clone(), EXCHANGE_USAGE_OFFSET_BYTES, MAX_BINDINGS);
        table.expect("fits").read(cell, end)
    }

    fn shown(&self) -> ExchangeStatus {
        SequencedCell::new(self.wiring.status.clone(), 0).expect("fits").try_read().expect("shown since the start")
    }

    fn shown_slot(&self, slot: usize) -> SlotStatus {
        let offset = slot_offset_bytes(slot).expect("a slot");
        SequencedCell::new(self.wiring.status.clone(), offset).expect("fits").try_read().expect("shown since the start")
    }

    /// Slot 0 from cell 0 to cells 1 and 2, where the kind has room for both.
    fn latest(&mut self) {
        assert_eq!(self.declare(0, Kind::Latest, 1), Status::Ok);
        assert_eq!(self.bind(0, 0, 0, Direction::Put), Status::Ok);
        assert_eq!(self.bind(1, 0, 0, Direction::Get), Status::Ok);
        assert_eq!(self.bind(2, 3, 0, Direction::Get), Status::Ok);
        self.notified();
    }

    fn queue(&mut self, depth: u32) {
        assert_eq!(self.declare(0, Kind::Queue, depth), Status::Ok);
        assert_eq!(self.bind(0, 0, 0, Direction::Put), Status::Ok);
        assert_eq!(self.bind(1, 0, 0, Direction::Get), Status::Ok);
        self.notified();
    }
}

fn taken(value: &[u8], overwritten: u64) -> Result<(Vec<u8>, u64), Status> {
    Ok((value.to_vec(), overwritten))
}

#[test]
fn a_latest_value_is_seen_once_by_each_of_two_readers() {
    let mut bench = Bench::new();
    bench.latest();
    assert_eq!(bench.take(1, 0), Err(Status::Empty));
    assert_eq!(bench.peek(1, 0), Err(Status::Empty));
    assert_eq!(bench.put(0, 0, b"one"), Status::Ok);
    assert_eq!(bench.notified(), [CELL[1], CELL[2]], "both readers");
    assert_eq!(bench.take(1, 0), taken(b"one", 0));
    assert_eq!(bench.take(1, 0), Err(Status::Empty), "not newer");
    assert_eq!(bench.peek(1, 0), taken(b"one", 0), "still the last");
    for value in [&b"two"[..], b"three", b"four"] {
        assert_eq!(bench.put(0, 0, value), Status::Ok);
    }
    assert_eq!(bench.take(1, 0), taken(b"four", 2));
    assert_eq!(bench.take(2, 3), taken(b"four", 3), "the other has a position of its own");
    assert_eq!(bench.shown_slot(0).overwritten, 2, "nobody saw `two` and `three`");
}

#[test]
fn a_queue_keeps_the_order_and_tells_the_writer_when_it_is_full() {
    let mut bench = Bench::new();
    bench.queue(2);
    assert_eq!(bench.put(0, 0, b"one"), Status::Ok);
    assert_eq!(bench.put(0, 0, b"two"), Status::Ok);
    assert_eq!(bench.put(0, 0, b"three"), Status::Full);
    assert_eq!(bench.notified(), [CELL[1], CELL[1]], "nobody is notified of what was refused");
    assert_eq!(bench.peek(1, 0), taken(b"one", 0));
    assert_eq!(bench.take(1, 0), taken(b"one", 0));
    assert_eq!(bench.notified(), [CELL[0]], "there is room again");
    assert_eq!(bench.put(0, 0, b"four"), Status::Ok);
    assert_eq!(bench.take(1, 0), taken(b"two", 0));
    assert_eq!(bench.take(1, 0), taken(b"four", 0));
    assert_eq!(bench.notified(), [CELL[1], CELL[0]], "room from a queue that was not full is no news");
    assert_eq!(bench.take(1, 0), Err(Status::Empty));
    let slot = bench.shown_slot(0);
    assert_eq!((slot.puts, slot.takes, slot.full, slot.held, slot.overwritten), (3, 3, 1, 0, 0));
    let [writer, reader, other] = [(0, 0), (1, 0), (2, 3)].map(|(cell, end)| bench.used(cell, end));
    assert_eq!((writer.calls, writer.limited, writer.refused), (4, 1, 0));
    assert_eq!((reader.calls, reader.limited, reader.refused), (5, 0, 0), "that there is nothing is no refusal");
    assert_eq!(other, Usage::default());
    assert_eq!(bench.take(2, 3), Err(Status::Unbound));
    assert_eq!(bench.used(2, 3).refused, 1);
}

#[test]
fn long_values_go_through_the_regions_and_are_whole() {
    let mut bench = Bench::new();
    bench.queue(32);
    let values: Vec<Vec<u8>> = (0..32_usize)
        .map(|seed| (0..[1, 15, 16, 17, 255, 256][seed % 6]).map(|index| (index * 7 + seed).to_le_bytes()[0]).collect())
        .collect();
    for value in &values {
        assert_eq!(bench.put(0, 0, value), Status::Ok);
    }
    assert_eq!(bench.put(0, 0, b"one more"), Status::Full);
    for value in &values {
        assert_eq!(bench.take(1, 0), taken(value, 0));
    }
}

#[test]
fn what_is_written_into_a_region_after_the_call_changes_nothing() {
    let mut bench = Bench::new();
    bench.latest();
    assert_eq!(bench.put(0, 0, &[1; 200]), Status::Ok);
    bench.wiring.from_cells[0].write(0, &[2; 4096]).expect("fits");
    // A reader that scribbles over what it was handed does so for itself.
    assert_eq!(bench.take(1, 0), taken(&[1; 200], 0));
    bench.wiring.to_cells[1].write(0, &[3; 4096]).expect("fits");
    assert_eq!(bench.peek(1, 0), taken(&[1; 200], 0));
    assert_eq!(bench.take(2, 3), taken(&[1; 200], 0));
}

#[test]
fn a_region_that_changes_while_it_is_read_gives_one_value_to_everybody() {
    let mut bench = Bench::new();
    bench.latest();
    bench.wiring.from_cells[0].is_restless = true;
    bench.exchange = Exchange::new(&bench.wiring).expect("wired");
    bench.latest();
    assert_eq!(bench.put(0, 0, &[1; 200]), Status::Ok);
    let mut region = [0; 1];
    bench.wiring.from_cells[0].memory.read(0, &mut region).expect("fits");
    assert_eq!(region, [2], "it was read once");
    assert_eq!(bench.take(1, 0), taken(&[1; 200], 0));
    assert_eq!(bench.take(2, 3), taken(&[1; 200], 0));
    assert_eq!(bench.shown_slot(0).last, [1; 32]);
}

#[test]
fn a_cell_cannot_send_what_lies_in_another_cells_region() {
    let mut bench = Bench::new();
    bench.latest();
    bench.wiring.from_cells[2].write(0, &[9; 64]).expect("fits");
    assert_eq!(bench.put(0, 0, &[1; 64]), Status::Ok);
    assert_eq!(bench.take(1, 0), taken(&[1; 64], 0));
    let mut untouched = [0; 64];
    bench.wiring.to_cells[2].read(0, &mut untouched).expect("fits");
    assert_eq!(untouched, [0; 64], "the value went to the one who took it");
}

#[test]
fn a_length_that_the_slot_does_not_take_makes_no_sense() {
    let mut bench = Bench::new();
    bench.latest();
    for length in [0, 257, 4096, 4097, u64::MAX] {
        let mut message = put(0, 1, &[0; WORD_BYTES]);
        message.words[1] = length;
        assert_eq!(bench.status_of(CELL[0], message), Status::Invalid, "{length}");
    }
    let exact = Declaration { slot: 1, kind: Kind::Latest, depth: 1, value_bytes: 8, is_exact: true, fingerprint: 0 };
    assert_eq!(bench.status_of(ADMISSION, exact.call()), Status::Ok);
    assert_eq!(bench.bind(0, 1, 1, Direction::Put), Status::Ok);
    for (length, expected) in [(7, Status::Invalid), (8, Status::Ok), (9, Status::Invalid), (16, Status::Invalid)] {
        assert_eq!(bench.put(0, 1, &[1; 16][..length]), expected, "{length}");
    }
    assert_eq!((bench.shown().invalid, bench.shown_slot(0).puts, bench.shown_slot(1).puts), (8, 0, 1));
}

#[test]
fn words_that_name_nothing_are_refused() {
    let mut bench = Bench::new();
    bench.latest();
    for binding in [16, 17, 1 << 32, u64::MAX] {
        for procedure in [Procedure::Put, Procedure::Take, Procedure::Peek] {
            assert_eq!(bench.status_of(CELL[0], call(procedure, binding)), Status::NotFound, "{binding}");
        }
        assert_eq!(bench.status_of(ADMISSION, call_with(Procedure::Unbind, 0, binding)), Status::NotFound);
        assert_eq!(bench.bind(0, binding, 0, Direction::Get), Status::NotFound);
    }
    // Cell 3 is one that the tables have room for and the system does not have.
    for cell in [3, 8, 1 << 32, u64::MAX] {
        assert_eq!(bench.bind(cell, 1, 0, Direction::Get), Status::NotFound, "{cell}");
        assert_eq!(bench.status_of(ADMISSION, call_with(Procedure::Unbind, cell, 0)), Status::NotFound);
        assert_eq!(bench.status_of(WARDEN, call(Procedure::Release, cell)), Status::NotFound);
        assert_eq!(bench.take_over(0, cell), Status::NotFound);
        assert_eq!(bench.take_over(cell, 0), Status::NotFound);
    }
    for slot in [32, u64::MAX] {
        assert_eq!(bench.declare(slot, Kind::Latest, 1), Status::NotFound, "{slot}");
        assert_eq!(bench.bind(0, 1, slot, Direction::Get), Status::NotFound);
        assert_eq!(bench.status_of(ADMISSION, call(Procedure::Forget, slot)), Status::NotFound);
    }
    assert_eq!(bench.bind(0, 1, 5, Direction::Get), Status::NotFound, "not declared");
    assert_eq!(bench.take_over(1, 1), Status::Invalid);
}

#[test]
fn each_caller_has_its_own_procedures() {
    let mut bench = Bench::new();
    bench.latest();
    let of = |procedure: Procedure| match procedure {
        Procedure::Put | Procedure::Take | Procedure::Peek => CELL[0],
        Procedure::Declare | Procedure::Bind | Procedure::Unbind | Procedure::Forget => ADMISSION,
        Procedure::Release | Procedure::TakeOver => WARDEN,
    };
    for &procedure in Procedure::ALL {
        for channel in [CELL[0], ADMISSION, WARDEN, 40].into_iter().filter(|&channel| channel != of(procedure)) {
            assert_eq!(bench.status_of(channel, call(procedure, 0)), Status::Invalid, "{procedure:?} by {channel}");
        }
    }
    for label in [0, 10, u64::from(u32::MAX), u64::MAX, 1 << 32 | 1] {
        for channel in [CELL[0], ADMISSION, WARDEN, 40] {
            assert_eq!(bench.status_of(channel, Message::new(label)), Status::Invalid, "{label:#x} by {channel}");
        }
    }
    assert_eq!(bench.put(0, 0, b"still bound"), Status::Ok);
}

#[test]
fn an_end_goes_one_way_only() {
    let mut bench = Bench::new();
    bench.latest();
    assert_eq!(bench.take(0, 0), Err(Status::Invalid));
    assert_eq!(bench.peek(0, 0), Err(Status::Invalid));
    assert_eq!(bench.put(1, 0, b"x"), Status::Invalid);
    assert_eq!(bench.shown_slot(0).puts, 0);
}

#[test]
fn an_end_is_the_callers_own_whatever_the_words_say() {
    let mut bench = Bench::new();
    bench.latest();
    assert_eq!(bench.put(0, 0, b"x"), Status::Ok);
    // Binding 3 is cell 2's; cell 1 has none of that number.
    assert_eq!(bench.take(1, 3), Err(Status::Unbound));
    assert_eq!(bench.put(0, 3, b"x"), Status::Unbound);
    assert_eq!(bench.shown().unbound, 2);
    assert_eq!(bench.take(2, 3), taken(b"x", 0));
}

#[test]
fn an_end_is_of_use_only_while_the_grants_are_in_force() {
    let mut bench = Bench::new();
    bench.latest();
    assert_eq!(bench.put(0, 0, b"before"), Status::Ok);
    bench.grant(0, 0);
    bench.grant(1, 0);
    assert_eq!(bench.put(0, 0, b"lost"), Status::NotGranted);
    assert_eq!(bench.take(1, 0), Err(Status::NotGranted));
    assert_eq!((bench.shown().refused, &bench.shown().refused_by_cell[..2]), (2, &[1, 1][..]));
    // Started anew: both find their ends and what was there.
    bench.grant(0, 2);
    bench.grant(1, 2);
    assert_eq!(bench.take(1, 0), taken(b"before", 0));
    assert_eq!(bench.put(0, 0, b"after"), Status::Ok);
    assert_eq!(bench.take(2, 3), taken(b"after", 1));
}

#[test]
fn while_the_warden_writes_what_was_granted_before_stands() {
    let mut bench = Bench::new();
    bench.latest();
    let sequence = grant_offset_bytes(0).expect("a cell");
    let before = bench.wiring.grants.load_u32(sequence).expect("fits");
    bench.wiring.grants.store_u32(sequence, before + 1).expect("fits");
    assert_eq!(bench.put(0, 0, b"x"), Status::Ok);
}

#[test]
fn values_stay_when_their_ends_go() {
    let mut bench = Bench::new();
    bench.queue(4);
    assert_eq!(bench.put(0, 0, b"one"), Status::Ok);
    assert_eq!(bench.put(0, 0, b"two"), Status::Ok);
    assert_eq!(bench.take(1, 0), taken(b"one", 0));
    assert_eq!(bench.status_of(WARDEN, call(Procedure::Release, 0)), Status::Ok);
    assert_eq!(bench.status_of(WARDEN, call(Procedure::Release, 1)), Status::Ok);
    assert_eq!((bench.put(0, 0, b"x"), bench.take(1, 0)), (Status::Unbound, Err(Status::Unbound)));
    let slot = bench.shown_slot(0);
    assert_eq!((slot.held, slot.writers, slot.readers), (1, 0, 0));
    // Another container in another cell reads on.
    assert_eq!(bench.bind(2, 5, 0, Direction::Get), Status::Ok);
    assert_eq!(bench.take(2, 5), taken(b"two", 0));
}

#[test]
fn a_slot_has_one_writer_and_a_queue_one_reader() {
    let mut bench = Bench::new();
    bench.queue(4);
    assert_eq!(bench.bind(2, 0, 0, Direction::Put), Status::Busy);
    assert_eq!(bench.bind(2, 0, 0, Direction::Get), Status::Busy);
    assert_eq!(bench.bind(1, 7, 0, Direction::Get), Status::Busy, "not twice in one cell either");
    assert_eq!(bench.bind(1, 7, 0, Direction::Put), Status::Busy);
    assert_eq!(bench.status_of(ADMISSION, call_with(Procedure::Unbind, 0, 0)), Status::Ok);
    assert_eq!(bench.status_of(ADMISSION, call_with(Procedure::Unbind, 0, 0)), Status::Unbound);
    assert_eq!(bench.bind(2, 0, 0, Direction::Put), Status::Ok);
    assert_eq!(bench.put(2, 0, b"x"), Status::Ok);
    assert_eq!(bench.shown_slot(0).writers, 0b100);
}

#[test]
fn the_same_again_changes_nothing_and_another_is_busy() {
    let mut bench = Bench::new();
    bench.latest();
    assert_eq!(bench.put(0, 0, b"x"), Status::Ok);
    assert_eq!(bench.take(1, 0), taken(b"x", 0));
    assert_eq!(bench.declare(0, Kind::Latest, 1), Status::Ok);
    assert_eq!(bench.declare(0, Kind::Queue, 1), Status::Busy);
    assert_eq!(bench.declare(0, Kind::Queue, 4), Status::Busy);
    assert_eq!(bench.bind(1, 0, 0, Direction::Get), Status::Ok);
    assert_eq!(bench.bind(1, 0, 0, Direction::Put), Status::Busy);
    assert_eq!(bench.stand_by(1, 0, 0, Direction::Get), Status::Busy);
    assert_eq!(bench.take(1, 0), Err(Status::Empty), "its position is what it was");
    assert_eq!(bench.peek(1, 0), taken(b"x", 0), "and so is the value");
}

#[test]
fn a_slot_is_forgotten_only_when_nothing_is_bound_and_leaves_nothing() {
    let mut bench = Bench::new();
    bench.queue(4);
    assert_eq!(bench.put(0, 0, b"secret"), Status::Ok);
    assert_eq!(bench.stand_by(2, 0, 0, Direction::Get), Status::Ok);
    for cell in [0, 1] {
        assert_eq!(bench.status_of(ADMISSION, call(Procedure::Forget, 0)), Status::Busy);
        assert_eq!(bench.status_of(WARDEN, call(Procedure::Release, cell)), Status::Ok);
    }
    assert_eq!(bench.status_of(ADMISSION, call(Procedure::Forget, 0)), Status::Busy, "one is on standby");
    assert_eq!(bench.status_of(ADMISSION, call_with(Procedure::Unbind, 2, 0)), Status::Ok);
    assert_eq!(bench.status_of(ADMISSION, call(Procedure::Forget, 0)), Status::Ok);
    assert_eq!(bench.shown_slot(0), SlotStatus::default());
    assert_eq!(bench.bind(1, 0, 0, Direction::Get), Status::NotFound);
    bench.latest();
    assert_eq!(bench.peek(1, 0), Err(Status::Empty));
}

#[test]
fn a_take_over_moves_ends_with_their_positions_and_back() {
    let mut bench = Bench::new();
    bench.latest();
    // Cell 2 takes over from cell 1, which has read two of three values, and has a channel of its own besides.
    assert_eq!(bench.status_of(WARDEN, call(Procedure::Release, 2)), Status::Ok);
    assert_eq!(bench.declare(1, Kind::Latest, 1), Status::Ok);
    assert_eq!(bench.bind(1, 1, 1, Direction::Put), Status::Ok);
    assert_eq!(bench.stand_by(2, 8, 0, Direction::Get), Status::Ok);
    assert_eq!(bench.stand_by(2, 9, 1, Direction::Put), Status::Ok);
    assert_eq!(bench.put(0, 0, b"one"), Status::Ok);
    assert_eq!(bench.take(1, 0), taken(b"one", 0));
    assert_eq!((bench.take(2, 8), bench.put(2, 9, b"x")), (Err(Status::Unbound), Status::Unbound));
    bench.notified();

    assert_eq!(bench.take_over(1, 2), Status::Ok);
    assert_eq!(bench.notified(), [CELL[2]], "it may have waited for just this");
    assert_eq!((bench.take(1, 0), bench.put(1, 1, b"x")), (Err(Status::Unbound), Status::Unbound));
    assert_eq!(bench.take(2, 8), Err(Status::Empty), "`one` was taken before the take-over");
    assert_eq!(bench.put(2, 9, b"from two"), Status::Ok);
    for value in [b"two", b"six"] {
        assert_eq!(bench.put(0, 0, value), Status::Ok);
    }
    assert_eq!(bench.notified(), [CELL[2], CELL[2]], "the readers are those in use");
    assert_eq!(bench.take(2, 8), taken(b"six", 1));
    let slot = bench.shown_slot(1);
    assert_eq!((slot.writers, bench.shown_slot(0).readers), (0b100, 0b100));

    // It was not healthy: everything back, and the position with it.
    assert_eq!(bench.take_over(2, 1), Status::Ok);
    assert_eq!((bench.take(2, 8), bench.put(2, 9, b"x")), (Err(Status::Unbound), Status::Unbound));
    assert_eq!(bench.take(1, 0), Err(Status::Empty));
    assert_eq!(bench.put(1, 1, b"from one"), Status::Ok);
    assert_eq!(bench.put(0, 0, b"ten"), Status::Ok);
    assert_eq!(bench.take(1, 0), taken(b"ten", 0));
    assert_eq!(bench.shown().take_overs, 2);
}

#[test]
fn a_take_over_twice_is_as_once() {
    let mut bench = Bench::new();
    bench.latest();
    assert_eq!(bench.status_of(WARDEN, call(Procedure::Release, 2)), Status::Ok);
    assert_eq!(bench.stand_by(2, 0, 0, Direction::Get), Status::Ok);
    assert_eq!(bench.put(0, 0, b"one"), Status::Ok);
    assert_eq!(bench.take_over(1, 2), Status::Ok);
    assert_eq!(bench.take(2, 0), taken(b"one", 0));
    assert_eq!(bench.take_over(1, 2), Status::Ok);
    assert_eq!(bench.take(2, 0), Err(Status::Empty), "its own position, not that of an end on standby");
}

#[test]
fn a_take_over_that_would_make_two_writers_changes_nothing() {
    let mut bench = Bench::new();
    bench.latest();
    assert_eq!(bench.status_of(WARDEN, call(Procedure::Release, 2)), Status::Ok);
    // Cell 2 waits for cell 0's place as a writer, and is told to take over from cell 1.
    assert_eq!(bench.stand_by(2, 0, 0, Direction::Put), Status::Ok);
    assert_eq!(bench.stand_by(2, 1, 0, Direction::Get), Status::Ok);
    assert_eq!(bench.take_over(1, 2), Status::Busy);
    assert_eq!(bench.put(0, 0, b"x"), Status::Ok);
    assert_eq!(bench.take(1, 0), taken(b"x", 0));
    assert_eq!((bench.put(2, 0, b"x"), bench.take(2, 1)), (Status::Unbound, Err(Status::Unbound)));
    assert_eq!(bench.shown().take_overs, 0);
    // When the writer is gone, nobody is in the way.
    assert_eq!(bench.status_of(WARDEN, call(Procedure::Release, 0)), Status::Ok);
    assert_eq!(bench.take_over(1, 2), Status::Ok);
    assert_eq!(bench.put(2, 0, b"y"), Status::Ok);
}

#[test]
fn a_take_over_from_a_cell_that_is_gone_starts_the_new_one() {
    let mut bench = Bench::new();
    bench.queue(4);
    assert_eq!(bench.put(0, 0, b"one"), Status::Ok);
    assert_eq!(bench.stand_by(2, 0, 0, Direction::Get), Status::Ok);
    assert_eq!(bench.status_of(WARDEN, call(Procedure::Release, 1)), Status::Ok);
    assert_eq!(bench.take_over(1, 2), Status::Ok);
    assert_eq!(bench.take(2, 0), taken(b"one", 0));
}

#[test]
fn a_slot_shows_what_it_holds() {
    let mut bench = Bench::new();
    bench.latest();
    bench.kernel.now_ns = 123;
    let value: Vec<u8> = (1..=40).collect();
    assert_eq!(bench.put(0, 0, &value), Status::Ok);
    let slot = bench.shown_slot(0);
    assert_eq!((slot.kind, slot.depth, slot.value_bytes, slot.fingerprint), (Kind::Latest.to_wire(), 1, 256, 7));
    assert_eq!((slot.held, slot.puts, slot.last_put_ns), (1, 1, 123));
    assert_eq!((slot.writers, slot.readers), (0b1, 0b110));
    assert_eq!((slot.last_bytes, &slot.last[..]), (40, &value[..32]));
    assert_eq!(bench.put(0, 0, &[9]), Status::Ok);
    let slot = bench.shown_slot(0);
    assert_eq!((slot.last_bytes, slot.last[0], slot.last[1]), (1, 9, 0), "nothing of the value before");
    for other in 1..32 {
        assert_eq!(bench.shown_slot(other), SlotStatus::default());
    }
}

#[test]
fn its_own_test_leaves_every_slot_as_it_was() {
    let mut bench = Bench::new();
    let finding = bench.exchange.self_test(&mut bench.kernel);
    let Finding::Well(text) = finding else { panic!("{finding:?}") };
    assert_eq!(text.to_string(), "32 channels of 8192 bytes between 3 cells");
    bench.latest();
    assert_eq!(bench.peek(1, 0), Err(Status::Empty));
    assert_eq!((bench.shown_slot(0).puts, bench.shown_slot(0).takes), (0, 0));
}

#[test]
fn a_system_that_gives_too_little_is_refused() {
    for missing in
        ["region_grants", "region_status", "region_cell1_in", "region_cell2_out", "channel_warden", "channel_admission"]
    {
        let wiring = PaperWiring { missing, ..PaperWiring::new() };
        let Err(StartError::Missing(found)) = Exchange::new(&wiring) else { panic!("{missing}") };
        assert_eq!(found.symbol, missing);
    }
    let short = || PaperMemory::new(VALUE_REGION_BYTES - 8);
    let mut too_small = [PaperWiring::new(), PaperWiring::new(), PaperWiring::new(), PaperWiring::new()];
    too_small[0].status = PaperMemory::new(4096);
    too_small[1].grants = PaperMemory::new(16);
    too_small[2].from_cells[0] = short();
    too_small[3].to_cells[2] = short();
    for wiring in too_small {
        assert_eq!(Exchange::new(&wiring).err(), Some(StartError::RegionTooSmall));
    }
}
