//! A node in memory: one cell, the domains around it, and a clock that tests move.
//!
//! It exists so that a cell's logic, which is all that is real here, can be driven through every end of a container
//! without a kernel. The fake drivers keep the contracts of `runner-interfaces`; time passes only when somebody
//! reads the clock or [`FakeNode::step`] has nothing else to do. It trusts the test.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    string::String,
    vec::Vec,
};
use core::{cell::RefCell, fmt};

use runner_interfaces::{
    cell::{CellConfiguration, CellControl, CellStatus, Command, ContainerState, FailureReason, MODULE_OFFSET_BYTES},
    exchange::{self, MAX_VALUE_BYTES, Taken, VALUE_REGION_BYTES, WORD_BYTES},
    gpio::{self, Edges, Status},
    i2c::{Received, Transfer},
    kernel::{CALL_FAILED, Channel, ChannelSet, Domain, Instant, Kernel, Message, Wiring},
    output::{OUTPUT_SLOT_BYTES, OutputRecord, Stream, output_geometry},
    timer,
    timing::{Timing, TimingTable},
};
use shared_ring::{Consumer, HEAD_REGION_BYTES, HeapMemory, SequencedCell, SharedMemory};

use crate::{Cell, Options};

/// Nanoseconds that pass whenever somebody reads the clock: about a slice of the default fuel.
pub const CLOCK_STEP_NS: u64 = 100_000;

/// The longest that a hook may take, unless a test says otherwise.
pub const HOOK_LIMIT_US: u32 = 10_000;

/// The longest that compiling may take, likewise.
pub const LOAD_LIMIT_US: u32 = 1_000_000;

/// The most linear memory, unless a test says otherwise.
pub const MEMORY_LIMIT_BYTES: u32 = 2 * 1024 * 1024;

/// The most table elements, unless a test says otherwise.
pub const TABLE_LIMIT_ELEMENTS: u32 = 1024;

/// Bytes of the output ring's data region: 16 slots.
const OUTPUT_REGION_BYTES: usize = 256 + 16 * OUTPUT_SLOT_BYTES;

/// A channel's number at the cell, by its symbol.
const CHANNELS: [(&str, u8); 6] = [
    ("channel_gpio", 0),
    ("channel_timer", 1),
    ("channel_warden", 2),
    ("channel_admission", 3),
    ("channel_exchange", 4),
    ("channel_i2c", 5),
];

fn channel(symbol: &str) -> Option<Channel> {
    CHANNELS.iter().find(|(name, _)| *name == symbol).and_then(|(_, number)| Channel::new(*number))
}

fn known_channel(symbol: &str) -> Channel {
    channel(symbol).expect("it stands in the table above")
}

/// A line of the fake bank.
#[derive(Clone, Debug, Default)]
pub struct FakeLine {
    /// The cell may drive it.
    pub may_drive: bool,
    /// The cell may read it, and watch its edges.
    pub may_read: bool,
    /// It is active while it is low.
    pub active_low: bool,
    /// The device can give it no pull.
    pub has_no_pulls: bool,
    /// Open as an output.
    pub is_output: bool,
    /// Open as an input.
    pub is_input: bool,
    /// Its level.
    pub high: bool,
    /// Edges that are counted.
    pub watched: Option<Edges>,
    /// Edges since the last look.
    pub edges: u64,
    /// How often the driven level changed.
    pub transitions: u64,
    /// The cell's rate of changes is used up.
    pub is_used_up: bool,
    /// So far apart edges are told, those between together; 0 where each is told at once.
    pub edge_distance_ns: u64,
    /// When the next may be told.
    pub next_edge_ns: u64,
}

/// A device at the fake bus: 256 bytes, of which the first byte that is written chooses one.
#[derive(Clone, Debug)]
pub struct FakeDevice {
    /// The cell may speak to it.
    pub may_use: bool,
    /// Its bytes.
    pub bytes: [u8; 256],
    /// The next byte that is read or written.
    pub pointer: u8,
}

impl FakeDevice {
    fn next(&mut self) -> &mut u8 {
        let place = usize::from(self.pointer);
        self.pointer = self.pointer.wrapping_add(1);
        &mut self.bytes[place]
    }

    fn transfer(&mut self, transfer: &Transfer) -> Received {
        if let [pointer, values @ ..] = transfer.written() {
            self.pointer = *pointer;
            values.iter().for_each(|value| *self.next() = *value);
        }
        let mut received = Received::default();
        received.bytes[..usize::from(transfer.read_length)].iter_mut().for_each(|byte| *byte = *self.next());
        received
    }
}

/// A queue of the fake exchange.
#[derive(Clone, Debug, Default)]
pub struct FakeSlot {
    /// Its values, the oldest first.
    pub values: VecDeque<Vec<u8>>,
    /// How many it has room for.
    pub depth: usize,
    /// What it says of values missed.
    pub overwritten: u64,
}

/// An exchange that a test brings along.
pub type Exchange = Box<dyn FnMut(Message) -> Message>;

/// The exchange: what each end of the cell is bound to.
#[derive(Default)]
pub struct FakeExchange {
    /// The slot of each end that is bound, by the end's number.
    pub ends: BTreeMap<u8, u8>,
    /// The slots.
    pub slots: BTreeMap<u8, FakeSlot>,
    /// Answers instead of this one.
    pub other: Option<Exchange>,
    /// Where the cell lays long values, and finds them.
    regions: Option<(HeapMemory, HeapMemory)>,
}

impl fmt::Debug for FakeExchange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("FakeExchange").field("ends", &self.ends).field("slots", &self.slots).finish()
    }
}

impl FakeExchange {
    fn serve(&mut self, message: Message) -> Result<Message, Status> {
        if let Some(other) = &mut self.other {
            return Ok(other(message));
        }
        let procedure = u32::try_from(message.label).ok().and_then(exchange::Procedure::from_wire);
        let end = u8::try_from(message.words[0]).map_err(|_| Status::NotFound)?;
        let slot = self.ends.get(&end).and_then(|slot| self.slots.get_mut(slot)).ok_or(Status::Unbound)?;
        let (from, to) = self.regions.as_ref().ok_or(Status::Unavailable)?;
        match procedure.ok_or(Status::Invalid)? {
            exchange::Procedure::Put if slot.values.len() == slot.depth => Err(Status::Full),
            exchange::Procedure::Put => {
                let length = usize::try_from(message.words[1]).ok().filter(|length| *length <= MAX_VALUE_BYTES);
                let mut value = alloc::vec![0; length.ok_or(Status::Invalid)?];
                match exchange::bytes_of([message.words[2], message.words[3]]).get(..value.len()) {
                    Some(words) => value.copy_from_slice(words),
                    None => from.read(0, &mut value).expect("a page holds a value"),
                }
                slot.values.push_back(value);
                Ok(Status::Ok.answer())
            }
            exchange::Procedure::Take => {
                let answer = slot.hand_over(to)?;
                slot.values.pop_front();
                Ok(answer)
            }
            exchange::Procedure::Peek => slot.hand_over(to),
            _ => Err(Status::Invalid),
        }
    }
}

impl FakeSlot {
    fn hand_over(&self, region: &HeapMemory) -> Result<Message, Status> {
        let value = self.values.front().ok_or(Status::Empty)?;
        let mut taken = Taken { length: value.len() as u64, value: [0; WORD_BYTES], overwritten: self.overwritten };
        match taken.value.get_mut(..value.len()) {
            Some(words) => words.copy_from_slice(value),
            None => region.write(0, value).expect("a page holds a value"),
        }
        Ok(taken.answer())
    }
}

/// What the kernel, the drivers and the clock of the fake node are at.
#[derive(Debug, Default)]
pub struct FakeState {
    /// Nanoseconds since the node's start.
    pub now_ns: u64,
    /// What a reading of the clock adds.
    pub clock_step_ns: u64,
    /// The GPIO bank.
    pub lines: BTreeMap<u8, FakeLine>,
    /// The channels to other containers.
    pub exchange: FakeExchange,
    /// The devices at the bus, by address.
    pub devices: BTreeMap<u8, FakeDevice>,
    /// Expiry and period of each armed timer.
    pub timers: [Option<(u64, u64)>; timer::TIMERS_PER_CLIENT as usize],
    /// Timers that expired and were not taken.
    pub expired: u64,
    /// The shortest period that is granted.
    pub minimum_period_ns: u64,
    /// The drivers do not answer.
    pub drivers_are_gone: bool,
    /// Every call of the cell, while [`Self::records_calls`].
    pub calls: Vec<(Channel, Message)>,
    /// Calls are recorded; a measurement turns that off.
    pub records_calls: bool,
    /// How often the cell notified each channel.
    pub notified: BTreeMap<Channel, u64>,
    /// What will be delivered to the cell next.
    pending: ChannelSet,
    /// Commands that the warden will write when the clock reads so much.
    commands: VecDeque<(u64, Command)>,
    control: CellControl,
    control_block: Option<SequencedCell<HeapMemory, CellControl>>,
}

impl FakeState {
    fn pass(&mut self, nanoseconds: u64) {
        self.now_ns = self.now_ns.saturating_add(nanoseconds);
        while let Some((at, command)) = self.commands.front().copied()
            && at <= self.now_ns
        {
            self.commands.pop_front();
            self.command(command);
        }
        for number in 0..self.timers.len() {
            self.expire(number);
        }
    }

    fn expire(&mut self, number: usize) {
        let Some((expiry, period)) = self.timers[number].filter(|(expiry, _)| *expiry <= self.now_ns) else {
            return;
        };
        let missed = self.now_ns.saturating_sub(expiry).checked_div(period);
        self.timers[number] = missed.map(|missed| (expiry + (missed + 1) * period, period));
        self.expired |= 1 << number;
        self.pending = self.pending.with(known_channel("channel_timer"));
    }

    fn command(&mut self, command: Command) {
        self.control.command = command.to_wire();
        if let Some(block) = &mut self.control_block {
            block.write(&self.control);
        }
        self.pending = self.pending.with(known_channel("channel_warden"));
    }

    fn call_gpio(&mut self, message: Message) -> Message {
        let Some(procedure) = u32::try_from(message.label).ok().and_then(gpio::Procedure::from_wire) else {
            return Status::Invalid.answer();
        };
        let Some(line) = u8::try_from(message.words[0]).ok().and_then(|number| self.lines.get_mut(&number)) else {
            return Status::NotFound.answer();
        };
        let now_ns = self.now_ns;
        if procedure == gpio::Procedure::TakeEdges && line.edge_distance_ns != 0 && line.edges != 0 {
            if now_ns < line.next_edge_ns {
                return Message { label: 0, words: [0, line.next_edge_ns - now_ns, 0, 0] };
            }
            (line.edges, line.next_edge_ns) = (1, now_ns + line.edge_distance_ns);
        }
        match line.serve(procedure, message.words[1]) {
            Ok(result) => Message::with_word(0, result),
            Err(status) => status.answer(),
        }
    }

    fn call_i2c(&mut self, message: Message) -> Result<Message, Status> {
        let transfer = Transfer::of(&message)?;
        let device = self.devices.get_mut(&transfer.address).ok_or(Status::NotFound)?;
        if device.may_use { Ok(device.transfer(&transfer).answer()) } else { Err(Status::NotGranted) }
    }

    fn call_timer(&mut self, message: Message) -> Message {
        let number = usize::try_from(message.words[0]).unwrap_or(usize::MAX);
        match u32::try_from(message.label).ok().and_then(timer::Procedure::from_wire) {
            Some(timer::Procedure::Take) => Message::with_word(0, core::mem::take(&mut self.expired)),
            _ if number >= self.timers.len() => Status::NotFound.answer(),
            Some(timer::Procedure::Arm) => self.arm(number, message.words[1], message.words[2]).answer(),
            Some(timer::Procedure::Disarm) => {
                self.timers[number] = None;
                self.expired &= !(1 << number);
                Status::Ok.answer()
            }
            _ => Status::Invalid.answer(),
        }
    }

    fn arm(&mut self, number: usize, first: u64, period: u64) -> Status {
        let distance = if period == 0 { first.saturating_sub(self.now_ns) } else { period };
        if number != 0 && distance < self.minimum_period_ns {
            return Status::NotGranted;
        }
        self.timers[number] = Some((first, period));
        Status::Ok
    }
}

impl FakeLine {
    fn serve(&mut self, procedure: gpio::Procedure, argument: u64) -> Result<u64, Status> {
        match procedure {
            gpio::Procedure::OpenOutput if !self.may_drive && self.may_read => Err(Status::ModeNotGranted),
            gpio::Procedure::OpenInput if !self.may_read && self.may_drive => Err(Status::ModeNotGranted),
            gpio::Procedure::OpenOutput if !self.may_drive => Err(Status::NotGranted),
            gpio::Procedure::OpenInput if !self.may_read => Err(Status::NotGranted),
            gpio::Procedure::OpenOutput | gpio::Procedure::OpenInput if self.is_output || self.is_input => {
                Err(Status::Busy)
            }
            gpio::Procedure::OpenOutput => {
                self.is_output = true;
                self.high = self.active_low;
                Ok(self.opened())
            }
            gpio::Procedure::OpenInput => {
                self.is_input = true;
                Ok(self.opened())
            }
            gpio::Procedure::Set if self.is_output && self.is_used_up && self.high != (argument != 0) => {
                Err(Status::Full)
            }
            gpio::Procedure::Set if self.is_output => Ok(self.drive(argument != 0)),
            gpio::Procedure::Toggle if self.is_output => Ok(self.drive(!self.high)),
            gpio::Procedure::Get if self.is_output || self.is_input => Ok(u64::from(self.high)),
            gpio::Procedure::Pull if self.is_input && self.has_no_pulls => Err(Status::NotSupported),
            gpio::Procedure::Pull if self.is_input => Ok(0),
            gpio::Procedure::Watch if self.is_input => {
                self.watched = u32::try_from(argument).ok().and_then(Edges::from_wire);
                self.watched.map(|_| 0).ok_or(Status::Invalid)
            }
            gpio::Procedure::TakeEdges if self.is_input => Ok(core::mem::take(&mut self.edges)),
            gpio::Procedure::Close if self.is_output || self.is_input => {
                if self.is_output {
                    self.drive(self.active_low);
                }
                (self.is_output, self.is_input, self.watched) = (false, false, None);
                Ok(0)
            }
            _ => Err(Status::Invalid),
        }
    }

    fn opened(&self) -> u64 {
        gpio::Opened { high: self.high, active_low: self.active_low }.to_word()
    }

    fn drive(&mut self, high: bool) -> u64 {
        self.transitions += u64::from(self.high != high);
        self.high = high;
        u64::from(high)
    }
}

/// The cell's kernel. Clones are handles on the same state.
#[derive(Clone, Debug, Default)]
pub struct FakeKernel {
    /// Everything behind it.
    pub state: Rc<RefCell<FakeState>>,
}

impl Kernel for FakeKernel {
    fn notify(&mut self, channel: Channel) {
        *self.state.borrow_mut().notified.entry(channel).or_default() += 1;
    }

    fn call(&mut self, channel: Channel, message: Message) -> Message {
        let mut state = self.state.borrow_mut();
        if state.records_calls {
            state.calls.push((channel, message));
        }
        match channel.number() {
            _ if state.drivers_are_gone => Message::new(CALL_FAILED),
            0 => state.call_gpio(message),
            1 => state.call_timer(message),
            5 => state.call_i2c(message).unwrap_or_else(Status::answer),
            4 => state.exchange.serve(message).unwrap_or_else(Status::answer),
            _ => Message::new(CALL_FAILED),
        }
    }

    fn now(&self) -> Instant {
        let mut state = self.state.borrow_mut();
        let step = state.clock_step_ns;
        state.pass(step);
        Instant::from_nanoseconds(state.now_ns)
    }
}

/// The cell's regions, as large as the test wants them.
#[derive(Clone, Debug)]
pub struct FakeWiring {
    regions: BTreeMap<&'static str, HeapMemory>,
}

impl FakeWiring {
    /// Regions for modules of up to `module_bytes`.
    pub fn new(module_bytes: usize) -> Self {
        let page = 4096;
        let sizes = [
            ("region_control", page),
            ("region_status", 2 * page),
            ("region_module", MODULE_OFFSET_BYTES + module_bytes),
            ("region_output", OUTPUT_REGION_BYTES),
            ("region_output_head", HEAD_REGION_BYTES),
            ("region_to_exchange", VALUE_REGION_BYTES),
            ("region_from_exchange", VALUE_REGION_BYTES),
        ];
        Self { regions: sizes.into_iter().map(|(symbol, size)| (symbol, HeapMemory::new(size))).collect() }
    }

    /// Takes a region away.
    pub fn remove(&mut self, symbol: &str) {
        self.regions.remove(symbol);
    }

    fn memory(&self, symbol: &str) -> HeapMemory {
        self.regions.get(symbol).cloned().expect("a node keeps all regions")
    }
}

impl Wiring for FakeWiring {
    type Memory = HeapMemory;

    fn channel(&self, symbol: &str) -> Option<Channel> {
        channel(symbol)
    }

    fn region(&self, symbol: &str) -> Option<HeapMemory> {
        self.regions.get(symbol).cloned()
    }
}

/// What a container leaves when it ends, to compare with what another engine makes of the same module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remains {
    /// Its linear memory; empty where it exported none.
    pub memory: Vec<u8>,
    /// The bits of each exported global that is a number, in the module's order.
    pub globals: Vec<(String, u64)>,
}

/// A record that `admission` read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedRecord {
    /// Where it comes from.
    pub stream: Stream,
    /// The load that it belongs to.
    pub generation: u32,
    /// The next one goes on with it.
    pub continues: bool,
    /// What was written.
    pub bytes: Vec<u8>,
}

/// One cell and the node around it.
pub struct FakeNode {
    /// The cell under test.
    pub cell: Cell<HeapMemory>,
    /// Its kernel.
    pub kernel: FakeKernel,
    /// Its regions.
    pub wiring: FakeWiring,
    /// What the warden will write with the next load.
    pub control: CellControl,
    /// `admission` reads the output ring whenever the cell has been notified.
    pub admission_reads: bool,
    /// What `admission` read so far.
    pub records: Vec<OwnedRecord>,
    status: SequencedCell<HeapMemory, CellStatus>,
    output: Consumer<HeapMemory>,
}

impl FakeNode {
    /// A node with an empty cell that was started. Its module region takes 2 MiB.
    pub fn new(options: Options) -> Self {
        Self::with_room_for(2 * 1024 * 1024, options)
    }

    /// [`Self::new`] with a module region for so many bytes.
    pub fn with_room_for(module_bytes: usize, options: Options) -> Self {
        let wiring = FakeWiring::new(module_bytes);
        let kernel = FakeKernel::default();
        {
            let mut state = kernel.state.borrow_mut();
            state.clock_step_ns = CLOCK_STEP_NS;
            state.records_calls = true;
            state.exchange.regions = Some((wiring.memory("region_to_exchange"), wiring.memory("region_from_exchange")));
            state.control_block = SequencedCell::new(wiring.memory("region_control"), 0).ok();
        }
        let cell = Cell::new(&wiring, options).expect("all is there");
        let geometry = output_geometry(OUTPUT_REGION_BYTES).expect("the region holds 16 slots");
        let output = Consumer::new(geometry, wiring.memory("region_output"), wiring.memory("region_output_head"))
            .expect("both regions are large enough");
        let status = SequencedCell::new(wiring.memory("region_status"), 0).expect("two pages hold a status");
        let control = CellControl {
            memory_limit_bytes: MEMORY_LIMIT_BYTES,
            table_limit_elements: TABLE_LIMIT_ELEMENTS,
            start_limit_us: HOOK_LIMIT_US,
            stop_limit_us: HOOK_LIMIT_US,
            load_limit_us: LOAD_LIMIT_US,
            ..CellControl::default()
        };
        let mut node =
            Self { cell, kernel, wiring, control, admission_reads: true, records: Vec::new(), status, output };
        node.cell.start(&mut node.kernel);
        node.read_output();
        node
    }

    /// The state behind the kernel.
    pub fn state(&self) -> core::cell::RefMut<'_, FakeState> {
        self.kernel.state.borrow_mut()
    }

    /// Lays a module down and tells the cell to load it, or to load and run it.
    pub fn load(&mut self, wasm: &[u8], configuration: &CellConfiguration, command: Command) {
        let region = self.wiring.memory("region_module");
        let head = postcard::to_allocvec(configuration).expect("a configuration can be written");
        region.write(0, &head).expect("the head has room for it");
        let shown = wasm.len().min(region.size_bytes() - MODULE_OFFSET_BYTES);
        region.write(MODULE_OFFSET_BYTES, &wasm[..shown]).expect("cut to the room there is");
        self.control.configuration_bytes = u32::try_from(head.len()).expect("it was written into the head");
        self.control.module_bytes = u32::try_from(wasm.len()).expect("tests have no such modules");
        self.control.generation += 1;
        self.records.clear();
        self.command(command);
    }

    /// Writes the control word and notifies the cell.
    pub fn command(&mut self, command: Command) {
        let mut state = self.state();
        state.control = self.control;
        state.command(command);
    }

    /// Writes a command when the clock has moved by `nanoseconds`, whatever the cell does then.
    pub fn command_in(&mut self, nanoseconds: u64, command: Command) {
        let mut state = self.state();
        let at = state.now_ns + nanoseconds;
        state.commands.push_back((at, command));
    }

    /// Changes the level of a line from outside; the driver counts the edge and notifies the cell.
    pub fn drive_line(&mut self, number: u8, high: bool) {
        let mut state = self.state();
        let line = state.lines.entry(number).or_default();
        let rose = !line.high && high;
        let fell = line.high && !high;
        line.high = high;
        let counted = match line.watched {
            Some(Edges::Rising) => rose,
            Some(Edges::Falling) => fell,
            Some(Edges::Both) => rose || fell,
            None => false,
        };
        line.edges += u64::from(counted);
        if counted {
            state.pending = state.pending.with(known_channel("channel_gpio"));
        }
    }

    /// Another container puts a value into the slot of an end; the exchange notifies the cell.
    pub fn put_value(&mut self, end: u8, value: &[u8]) {
        let mut state = self.state();
        let slot = state.exchange.ends[&end];
        state.exchange.slots.entry(slot).or_default().values.push_back(value.into());
        state.pending = state.pending.with(known_channel("channel_exchange"));
    }

    /// Notifies the cell on a channel, for no reason.
    pub fn notify(&mut self, symbol: &str) {
        let mut state = self.state();
        state.pending = state.pending.with(known_channel(symbol));
    }

    /// Delivers what is pending, or else lets time pass to the next expiry or command. False where nothing will ever happen.
    pub fn step(&mut self) -> bool {
        if self.state().pending.is_empty() {
            let next = {
                let state = self.state();
                let expiries = state.timers.iter().flatten().map(|(expiry, _)| *expiry);
                expiries.chain(state.commands.iter().map(|(at, _)| *at)).min()
            };
            let Some(next) = next else {
                return false;
            };
            let mut state = self.state();
            let now = state.now_ns;
            state.pass(next.saturating_sub(now));
        }
        let channels = core::mem::take(&mut self.state().pending);
        self.cell.notified(&mut self.kernel, channels);
        if self.admission_reads {
            self.read_output();
        }
        true
    }

    /// `admission` reads what there is, and notifies the cell if it made room.
    pub fn read_output(&mut self) {
        let mut slot = [0; OUTPUT_SLOT_BYTES];
        while let Ok(Some(length)) = self.output.pop(&mut slot) {
            let record = OutputRecord::decode(&slot[..length]).expect("the cell writes whole records");
            self.records.push(OwnedRecord {
                stream: record.stream,
                generation: record.generation,
                continues: record.continues,
                bytes: record.bytes.into(),
            });
        }
        if self.output.take_notification_due() {
            self.notify("channel_admission");
        }
    }

    /// Steps until the container is in `state`, has ended, or nothing happens any more; at the most `steps` times.
    pub fn run_to(&mut self, state: ContainerState, steps: usize) -> CellStatus {
        for _ in 0..steps {
            let now = self.state_now();
            if now == state || now.is_final() || !self.step() {
                break;
            }
        }
        self.status()
    }

    /// Steps until the container has ended, or nothing happens any more; at the most 100,000 times.
    pub fn run_to_end(&mut self) -> CellStatus {
        self.run_to(ContainerState::Finalised, 100_000)
    }

    /// Loads and runs a module to its end.
    pub fn run(&mut self, wasm: &[u8], configuration: &CellConfiguration) -> CellStatus {
        self.load(wasm, configuration, Command::Run);
        self.step();
        self.run_to_end()
    }

    /// The published status.
    pub fn status(&self) -> CellStatus {
        self.status.try_read().expect("nobody writes now")
    }

    /// How punctual the container of the current load was; `None` where it has no schedule.
    pub fn timing(&self) -> Option<Timing> {
        let table = TimingTable::new(self.wiring.memory("region_status")).expect("two pages hold it");
        table.read(self.control.generation)
    }

    /// The published state of the current load; `Provisioned` where the cell shows an older one.
    pub fn state_now(&self) -> ContainerState {
        let status = self.status();
        if status.generation != self.control.generation {
            return ContainerState::Provisioned;
        }
        ContainerState::from_wire(status.state).expect("the cell writes states")
    }

    /// What the container wrote to a stream, as text.
    pub fn text(&self, stream: Stream) -> String {
        let bytes = self.records.iter().filter(|record| record.stream == stream).flat_map(|record| &record.bytes);
        String::from_utf8_lossy(&bytes.copied().collect::<Vec<u8>>()).into_owned()
    }
}

/// The reason in a status.
pub fn reason(status: &CellStatus) -> FailureReason {
    FailureReason::from_wire(status.reason).expect("the cell writes reasons")
}

/// The detail in a status.
pub fn detail(status: &CellStatus) -> String {
    String::from_utf8_lossy(&status.detail[..status.detail_bytes as usize]).into_owned()
}
