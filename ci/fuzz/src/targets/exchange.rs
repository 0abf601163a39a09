//! The procedures of `exchange`, called by anybody with any words, while grants change and values lie in shared memory.
//!
//! Every answer, every value and everybody who is notified is what a second account says: values as lists of bytes, ends as a
//! table, nothing saved and nothing shared.

use std::{cell::RefCell, collections::VecDeque};

use pd_exchange_driver::Exchange;
use runner_interfaces::{
    exchange::{
        Binding, Declaration, Direction, EXCHANGE_STATUS_REGION_BYTES, ExchangeStatus, Kind, MAX_BINDINGS,
        MAX_CHANNELS, MAX_VALUE_BYTES, Procedure, SlotStatus, Status, VALUE_REGION_BYTES, WORD_BYTES,
        slot_offset_bytes,
    },
    grants::CellGrants,
    kernel::{Channel, ChannelSet, Domain, Message},
};
use shared_ring::{SequencedCell, SharedMemory};

use super::paper::{
    ADMISSION, CELLS, GRANTS_BYTES, Grants, PaperKernel, PaperMemory, WARDEN, Wires, caller, cell_of, message,
    status_of,
};
use crate::script::Script;

const CHANNELS: &[(&str, u8)] = &[("channel_warden", WARDEN), ("channel_admission", ADMISSION)];

/// Regions by cell: what it writes, what it reads.
const VALUE_REGIONS: [(&str, &str); CELLS.len()] = [
    ("region_cell0_in", "region_cell0_out"),
    ("region_cell1_in", "region_cell1_out"),
    ("region_cell2_in", "region_cell2_out"),
];

/// What a cell's region holds before an answer.
const UNTOUCHED: u8 = 0xee;

#[derive(Clone)]
struct Slot {
    declaration: Declaration,
    held: VecDeque<Vec<u8>>,
    puts: u64,
}

impl Slot {
    fn is_full(&self) -> bool {
        self.declaration.kind == Kind::Queue && self.held.len() == self.declaration.depth as usize
    }
}

#[derive(Clone, Copy, PartialEq)]
struct End {
    slot: usize,
    direction: Direction,
    is_standby: bool,
    /// How many values were put when it took one last.
    seen: u64,
}

#[derive(Default)]
struct Model {
    slots: [Option<Slot>; MAX_CHANNELS],
    ends: [[Option<End>; MAX_BINDINGS]; CELLS.len()],
}

struct Bench {
    exchange: Exchange<Wires>,
    wires: Wires,
    grants: Grants,
    shown: SequencedCell<PaperMemory, ExchangeStatus>,
    kernel: PaperKernel,
    model: Model,
    /// Slots that were ever declared for this input.
    declared: u32,
}

thread_local! {
    /// Kept from input to input, as making one takes a quarter of a megabyte; nothing is in it in between (`Bench::empty`).
    static BENCH: RefCell<Option<Bench>> = const { RefCell::new(None) };
}

pub(super) fn drive(input: &[u8]) {
    // Taken out: one that something went wrong with is not used again.
    let mut bench = BENCH.take().unwrap_or_else(Bench::new);
    let mut script = Script::new(input);
    if script.flag() {
        bench.prepare();
    }
    while !script.is_over() {
        bench.step(&mut script);
    }
    bench.empty();
    BENCH.set(Some(bench));
}

/// What a call comes to: the words of the answer, and whom it notifies.
type Outcome = Result<([u64; 4], Vec<usize>), Status>;

impl Bench {
    fn new() -> Self {
        let mut regions = vec![("region_grants", GRANTS_BYTES), ("region_status", EXCHANGE_STATUS_REGION_BYTES)];
        regions.extend(
            VALUE_REGIONS.iter().flat_map(|(from, to)| [(*from, VALUE_REGION_BYTES), (*to, VALUE_REGION_BYTES)]),
        );
        let wires = Wires::new(CHANNELS, &regions);
        let mut bench = Self {
            exchange: Exchange::new(&wires).expect("wired"),
            grants: Grants::new(wires.get("region_grants")),
            shown: SequencedCell::new(wires.get("region_status"), 0).expect("it fits"),
            wires,
            kernel: PaperKernel::default(),
            model: Model::default(),
            declared: 0,
        };
        bench.exchange.start(&mut bench.kernel);
        bench
    }

    /// A latest value and a queue of two from cell 0 to cell 1, with cell 2 waiting to take over from it, and all in force.
    fn prepare(&mut self) {
        for cell in 0..CELLS.len() {
            self.grants.write(cell, CellGrants { generation: 1, ..CellGrants::default() });
        }
        for (slot, kind, depth) in [(0, Kind::Latest, 1), (1, Kind::Queue, 2)] {
            let declaration = Declaration { slot, kind, depth, value_bytes: 256, is_exact: false, fingerprint: 1 };
            self.call(ADMISSION, declaration.call(), 0);
            for (cell, direction, is_standby) in
                [(0, Direction::Put, false), (1, Direction::Get, false), (2, Direction::Get, true)]
            {
                self.call(ADMISSION, Binding { cell, binding: slot, slot, direction, is_standby }.call(), 0);
            }
        }
    }

    fn step(&mut self, script: &mut Script<'_>) {
        match script.byte() % 16 {
            0 => {
                let cell = usize::from(script.byte()) % CELLS.len();
                let generation = u32::from(script.flag());
                self.grants.write(cell, CellGrants { generation, ..CellGrants::default() });
            }
            1 => self.kernel.now_ns = self.kernel.now_ns.wrapping_add(script.duration_ns()),
            2 => self.exchange.notified(&mut self.kernel, ChannelSet::from_bits(script.word())),
            3 | 4 => {
                let message = message(script, 11, 4);
                let caller = caller(script);
                self.call(caller, message, script.byte());
            }
            5 => {
                let message = declaration(script);
                self.call(ADMISSION, message, 0);
            }
            6 | 7 => {
                let message = binding(script);
                self.call(ADMISSION, message, 0);
            }
            8 => {
                let kind = script.byte();
                let procedure = if kind & 1 == 0 { Procedure::TakeOver } else { Procedure::Release };
                let words = [u64::from(kind / 2 % 4), u64::from(kind / 8 % 4), 0, 0];
                self.call(WARDEN, Message { label: u64::from(procedure.to_wire()), words }, 0);
            }
            9 => {
                let kind = script.byte();
                let procedure = if kind & 1 == 0 { Procedure::Forget } else { Procedure::Unbind };
                let words = [u64::from(kind / 2 % 4), u64::from(kind / 8 % 4), 0, 0];
                self.call(ADMISSION, Message { label: u64::from(procedure.to_wire()), words }, 0);
            }
            10..13 => {
                let (kind, value) = (script.byte(), script.byte());
                let length = [1, 8, 16, 17, 256, 4, 257, 0][usize::from(value % 8)];
                let words = [u64::from(kind / 4 % 4), length, script.word(), u64::from(value)];
                let label = u64::from(Procedure::Put.to_wire());
                self.call(CELLS[usize::from(kind % 4).min(2)], Message { label, words }, value);
            }
            _ => {
                let kind = script.byte();
                let procedure = if kind >= 0xc0 { Procedure::Peek } else { Procedure::Take };
                let words = [u64::from(kind / 4 % 4), 0, 0, 0];
                let message = Message { label: u64::from(procedure.to_wire()), words };
                self.call(CELLS[usize::from(kind % 4).min(2)], message, 0);
            }
        }
    }

    fn call(&mut self, caller: u8, message: Message, pattern: u8) {
        let cell = cell_of(caller);
        if let Some(cell) = cell {
            let (from, to) = VALUE_REGIONS[cell];
            self.wires.get(from).write(0, &value_of(pattern)).expect("it fits");
            self.wires.get(to).write(0, &[UNTOUCHED; MAX_VALUE_BYTES]).expect("it fits");
        }
        let before = self.shown.try_read().expect("shown since the start");
        let answer = self.exchange.called(&mut self.kernel, Channel::new(caller).expect("a channel"), message);
        let status = status_of(&answer);
        let procedure = u32::try_from(message.label).ok().and_then(Procedure::from_wire);
        let mut value = None;
        let expected = match (cell, procedure) {
            (_, None) => Err(Status::Invalid),
            (Some(cell), Some(procedure)) => self.cell_calls(cell, procedure, &message, pattern, &mut value),
            (None, Some(procedure)) if caller == ADMISSION => self.admission_calls(procedure, &message),
            (None, Some(procedure)) if caller == WARDEN => self.model.warden_calls(procedure, &message),
            _ => Err(Status::Invalid),
        };
        let notified = core::mem::take(&mut self.kernel.notified);
        match expected {
            Err(expected) => assert_eq!((status, &notified[..]), (expected, &[][..]), "{caller}: {message:?}"),
            Ok((words, cells)) => {
                assert_eq!((status, answer.words), (Status::Ok, words), "{caller}: {message:?}");
                assert_eq!(notified, cells.iter().map(|cell| CELLS[*cell]).collect::<Vec<_>>(), "{message:?}");
            }
        }
        if let Some(cell) = cell {
            self.check_region(cell, value.as_deref());
        }
        let after = self.shown.try_read().expect("shown at each call");
        let refused = u64::from(status == Status::NotGranted);
        assert_eq!((after.calls, after.refused), (before.calls + 1, before.refused + refused));
        for slot in (0..MAX_CHANNELS).filter(|slot| self.declared & 1 << slot != 0) {
            self.check_slot(slot);
        }
    }

    fn cell_calls(
        &mut self,
        cell: usize,
        procedure: Procedure,
        message: &Message,
        pattern: u8,
        value: &mut Option<Vec<u8>>,
    ) -> Outcome {
        if !matches!(procedure, Procedure::Put | Procedure::Take | Procedure::Peek) {
            return Err(Status::Invalid);
        }
        if self.grants.now[cell].generation == 0 {
            return Err(Status::NotGranted);
        }
        let direction = if procedure == Procedure::Put { Direction::Put } else { Direction::Get };
        let number = binding_number(message.words[0])?;
        let end = self.model.ends[cell][number].filter(|end| !end.is_standby).ok_or(Status::Unbound)?;
        if end.direction != direction {
            return Err(Status::Invalid);
        }
        if procedure == Procedure::Put {
            return self.model.put(end.slot, message, pattern);
        }
        let (found, overwritten, writers) = self.model.receive(cell, number, procedure == Procedure::Take)?;
        let mut bytes = [0; WORD_BYTES];
        if found.len() <= WORD_BYTES {
            bytes[..found.len()].copy_from_slice(&found);
        }
        let [first, second] = runner_interfaces::exchange::words_of(&bytes);
        let length = found.len() as u64;
        *value = Some(found).filter(|found| found.len() > WORD_BYTES);
        Ok(([length, first, second, overwritten], writers))
    }

    fn admission_calls(&mut self, procedure: Procedure, message: &Message) -> Outcome {
        let model = &mut self.model;
        let [word, other, ..] = message.words;
        match procedure {
            Procedure::Declare => {
                let declaration = Declaration::of(message).ok_or(Status::Invalid)?;
                let slot = slot_number(declaration.slot)?;
                let new = Slot { declaration, held: VecDeque::new(), puts: 0 };
                let found = model.slots[slot].get_or_insert(new);
                if found.declaration != declaration {
                    return Err(Status::Busy);
                }
                self.declared |= 1 << slot;
                Ok(([0; 4], Vec::new()))
            }
            Procedure::Bind => {
                let binding = Binding::of(message).ok_or(Status::Invalid)?;
                let cell = cell_number(binding.cell)?;
                model.bind(cell, &binding)?;
                Ok(([0; 4], vec![cell]))
            }
            Procedure::Unbind => {
                let (cell, number) = (cell_number(word)?, binding_number(other)?);
                model.ends[cell][number].take().ok_or(Status::Unbound)?;
                Ok(([0; 4], Vec::new()))
            }
            Procedure::Forget => {
                let slot = slot_number(word)?;
                if model.ends.iter().flatten().flatten().any(|end| end.slot == slot) {
                    return Err(Status::Busy);
                }
                model.slots[slot] = None;
                Ok(([0; 4], Vec::new()))
            }
            _ => Err(Status::Invalid),
        }
    }

    /// The region that a cell reads: the value that it was given, and nothing of anybody else's.
    fn check_region(&self, cell: usize, value: Option<&[u8]>) {
        let mut found = [0; MAX_VALUE_BYTES];
        self.wires.get(VALUE_REGIONS[cell].1).read(0, &mut found).expect("it is there");
        let value = value.unwrap_or_default();
        assert!(found.starts_with(value), "another value");
        assert!(found[value.len()..].iter().all(|byte| *byte == UNTOUCHED), "more than the value");
    }

    fn check_slot(&self, slot: usize) {
        let offset = slot_offset_bytes(slot).expect("a slot");
        let shown = SequencedCell::<_, SlotStatus>::new(self.wires.get("region_status"), offset).expect("it fits");
        let shown = shown.try_read().expect("shown since the start");
        let Some(known) = &self.model.slots[slot] else {
            assert_eq!(shown, SlotStatus::default());
            return;
        };
        let users = |direction| self.model.users(slot, direction).iter().fold(0, |mask, cell| mask | 1 << cell);
        assert_eq!((shown.held as usize, shown.puts), (known.held.len(), known.puts));
        assert_eq!((shown.writers, shown.readers), (users(Direction::Put), users(Direction::Get)));
        assert!(shown.writers.count_ones() <= 1, "one writer");
        assert!(known.declaration.kind == Kind::Latest || shown.readers.count_ones() <= 1, "one reader");
    }

    /// Everything is given back, and nothing is left.
    fn empty(&mut self) {
        for cell in 0..CELLS.len() as u64 {
            self.call(WARDEN, Message::with_word(u64::from(Procedure::Release.to_wire()), cell), 0);
        }
        let declared = self.declared;
        for slot in (0..MAX_CHANNELS).filter(|slot| declared & 1 << slot != 0) {
            self.call(ADMISSION, Message::with_word(u64::from(Procedure::Forget.to_wire()), slot as u64), 0);
        }
        for cell in 0..CELLS.len() {
            self.grants.write(cell, CellGrants::default());
        }
        (self.declared, self.kernel.now_ns) = (0, 0);
    }
}

impl Model {
    /// Cells with an end in use, in their order.
    fn users(&self, slot: usize, direction: Direction) -> Vec<usize> {
        let uses = |end: &End| !end.is_standby && (end.slot, end.direction) == (slot, direction);
        (0..CELLS.len()).filter(|cell| self.ends[*cell].iter().flatten().any(uses)).collect()
    }

    fn has_one(&self, slot: usize, direction: Direction) -> bool {
        let kind = self.slots[slot].as_ref().map(|slot| slot.declaration.kind);
        direction == Direction::Put || kind == Some(Kind::Queue)
    }

    fn put(&mut self, number: usize, message: &Message, pattern: u8) -> Outcome {
        let readers = self.users(number, Direction::Get);
        let slot = self.slots[number].as_mut().expect("a bound slot is declared");
        let most = u64::from(slot.declaration.value_bytes);
        let length = message.words[1];
        let fits = if slot.declaration.is_exact { length == most } else { (1..=most).contains(&length) };
        if !fits {
            return Err(Status::Invalid);
        }
        if slot.is_full() {
            return Err(Status::Full);
        }
        let length = usize::try_from(length).expect("no longer than a value");
        let words = [message.words[2].to_le_bytes(), message.words[3].to_le_bytes()].concat();
        let value = if length <= WORD_BYTES { words[..length].to_vec() } else { value_of(pattern)[..length].to_vec() };
        if slot.declaration.kind == Kind::Latest {
            slot.held.clear();
        }
        slot.held.push_back(value);
        slot.puts += 1;
        Ok(([0; 4], readers))
    }

    /// The value, how many were missed, and who is told that there is room.
    fn receive(&mut self, cell: usize, number: usize, takes: bool) -> Result<(Vec<u8>, u64, Vec<usize>), Status> {
        let end = self.ends[cell][number].expect("it is in use");
        let writers = self.users(end.slot, Direction::Put);
        let slot = self.slots[end.slot].as_mut().expect("a bound slot is declared");
        let value = slot.held.front().cloned();
        if slot.declaration.kind == Kind::Queue {
            let value = value.ok_or(Status::Empty)?;
            let was_full = slot.is_full();
            if takes {
                slot.held.pop_front();
            }
            return Ok((value, 0, if takes && was_full { writers } else { Vec::new() }));
        }
        let missed = slot.puts - end.seen;
        let value = value.filter(|_| missed > 0 || !takes).ok_or(Status::Empty)?;
        if takes {
            self.ends[cell][number] = Some(End { seen: slot.puts, ..end });
        }
        Ok((value, missed.saturating_sub(1), Vec::new()))
    }

    fn bind(&mut self, cell: usize, asked: &Binding) -> Result<(), Status> {
        let (number, slot) = (binding_number(asked.binding)?, slot_number(asked.slot)?);
        let puts = self.slots[slot].as_ref().ok_or(Status::NotFound)?.puts;
        let &Binding { direction, is_standby, .. } = asked;
        let is_like = |end: &&End| (end.slot, end.direction) == (slot, direction);
        if let Some(end) = &self.ends[cell][number] {
            return if is_like(&end) && end.is_standby == is_standby { Ok(()) } else { Err(Status::Busy) };
        }
        if self.has_one(slot, direction) {
            let own = self.ends[cell].iter().flatten().any(|end| is_like(&end));
            if own || (!is_standby && !self.users(slot, direction).is_empty()) {
                return Err(Status::Busy);
            }
        }
        self.ends[cell][number] = Some(End { slot, direction, is_standby, seen: puts.saturating_sub(1) });
        Ok(())
    }

    fn warden_calls(&mut self, procedure: Procedure, message: &Message) -> Outcome {
        let [word, other, ..] = message.words;
        match procedure {
            Procedure::Release => {
                self.ends[cell_number(word)?] = [None; MAX_BINDINGS];
                Ok(([0; 4], Vec::new()))
            }
            Procedure::TakeOver => {
                let (from, to) = (cell_number(word)?, cell_number(other)?);
                if from == to {
                    return Err(Status::Invalid);
                }
                self.take_over(from, to)?;
                Ok(([0; 4], vec![to]))
            }
            _ => Err(Status::Invalid),
        }
    }

    fn take_over(&mut self, from: usize, to: usize) -> Result<(), Status> {
        let before = self.ends;
        for end in self.ends[to].iter_mut().flatten() {
            let is_like =
                |other: &&End| !other.is_standby && (other.slot, other.direction) == (end.slot, end.direction);
            end.seen = before[from].iter().flatten().find(is_like).map_or(end.seen, |other| other.seen);
            end.is_standby = false;
        }
        self.ends[from].iter_mut().flatten().for_each(|end| end.is_standby = true);
        let is_one =
            |end: &End| !self.has_one(end.slot, end.direction) || self.users(end.slot, end.direction).len() <= 1;
        if self.ends[to].iter().flatten().all(is_one) {
            return Ok(());
        }
        self.ends = before;
        Err(Status::Busy)
    }
}

/// The value that a cell lays down.
fn value_of(pattern: u8) -> [u8; MAX_VALUE_BYTES] {
    core::array::from_fn(|index| index.to_le_bytes()[0] ^ pattern)
}

fn below(word: u64, limit: usize) -> Result<usize, Status> {
    usize::try_from(word).ok().filter(|number| *number < limit).ok_or(Status::NotFound)
}

fn slot_number(word: u64) -> Result<usize, Status> {
    below(word, MAX_CHANNELS)
}

fn cell_number(word: u64) -> Result<usize, Status> {
    below(word, CELLS.len())
}

fn binding_number(word: u64) -> Result<usize, Status> {
    below(word, MAX_BINDINGS)
}

/// A call that at most times declares a slot.
fn declaration(script: &mut Script<'_>) -> Message {
    let (kind, size) = (script.byte(), script.byte());
    let declaration = Declaration {
        slot: u64::from(kind / 4 % 4),
        kind: if kind & 1 == 0 { Kind::Latest } else { Kind::Queue },
        depth: if kind & 1 == 0 { 1 } else { [1, 2, 3, 32, 33, 1024, 0, 1025][usize::from(size / 16 % 8)] },
        value_bytes: [8, 256, 16, 17, 1, 255, 0, 257][usize::from(size % 8)],
        is_exact: kind & 2 != 0,
        fingerprint: u64::from(kind / 64),
    };
    declaration.call()
}

/// A call that at most times binds an end.
fn binding(script: &mut Script<'_>) -> Message {
    let (place, kind) = (script.byte(), script.byte());
    let binding = Binding {
        cell: u64::from(place % 4),
        binding: u64::from(place / 4 % 4),
        slot: u64::from(place / 16 % 4),
        direction: if kind & 1 == 0 { Direction::Put } else { Direction::Get },
        is_standby: kind & 6 == 6,
    };
    binding.call()
}
