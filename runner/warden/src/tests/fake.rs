//! A node in memory that writes down what the warden does, together with the grants in force at that moment.

use core::cell::RefCell;
use std::{collections::HashMap, format, rc::Rc, string::String, vec::Vec};

use runner_interfaces::{
    MAX_CELLS,
    cell::{CellControl, CellStatus, Command, ContainerState, DETAIL_BYTES},
    exchange, gpio,
    grants::{CellGrants, GRANT_STRIDE_BYTES, LineRates, RateOf, grant_offset_bytes},
    kernel::{Channel, ChannelSet, Domain, Instant, Kernel, Message, Wiring},
    plan::{LoadRequest, Plan},
    policy::{BoardLimits, POLICY_MAGIC},
    scheduling::{Share, Shares},
    timer,
    warden::{Procedure, WardenCell, WardenStatus, WardenTable},
};
use shared_ring::{HeapMemory, OutOfRange, SequencedCell, SharedMemory, SharedValues};
use zerocopy::{FromZeros, IntoBytes};

use crate::{Cells, NotScheduled, Warden};

/// As many as `system.xml` has.
pub(super) const CELLS: usize = 4;
pub(super) const HOOK_NS: u64 = 1_000_000_000;

/// The board's limit for compiling, likewise.
pub(super) const LOAD_NS: u64 = 3_000_000_000;
pub(super) const ENTRY: u64 = 0x20_0000;
pub(super) const ADMISSION: u8 = 22;
pub(super) const GPIO: u8 = 20;
pub(super) const TIMER: u8 = 21;
pub(super) const EXCHANGE: u8 = 23;

/// What somebody outside the warden could see it do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Notify(u8),
    ReleaseLines(u64),
    ListenAgain,
    ReleaseTimers(u64),
    ReleaseEnds(u64),
    TakeOverEnds(u64, u64),
    Succeed(u64, u64),
    TakeOver(u64, u64),
    Stop(usize),
    Restart(usize, u64),
    Arm(u64),
    Control(usize),
    Disarm,
    BindClass(usize, usize),
    BindOwn(usize),
    SetPriority(usize, u8),
}

/// An action, and what the cells' grants and control blocks were at that moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) action: Action,
    pub(super) grants: [CellGrants; MAX_CELLS],
    pub(super) commands: [u32; MAX_CELLS],
}

/// Room for the grants of all cells, which no other region needs more than.
const REGION_BYTES: usize = MAX_CELLS * GRANT_STRIDE_BYTES;

#[derive(Clone)]
pub(super) struct Regions {
    by_symbol: HashMap<String, HeapMemory>,
}

impl Regions {
    fn new() -> Self {
        let drivers = ["gpio_status", "i2c_status", "timer_status", "exchange_status"];
        let own = ["policy", "grants", "status", "requests"];
        let mut symbols: Vec<String> = own.iter().chain(&drivers).map(|name| format!("region_{name}")).collect();
        for cell in 0..CELLS {
            symbols.push(format!("region_cell{cell}_control"));
            symbols.push(format!("region_cell{cell}_status"));
        }
        Self { by_symbol: symbols.into_iter().map(|symbol| (symbol, HeapMemory::new(REGION_BYTES))).collect() }
    }

    pub(super) fn get(&self, symbol: &str) -> HeapMemory {
        self.by_symbol[symbol].clone()
    }

    pub(super) fn remove(&mut self, symbol: &str) {
        self.by_symbol.remove(symbol).expect("was there");
    }

    pub(super) fn shrink(&mut self, symbol: &str) {
        self.by_symbol.insert(symbol.into(), HeapMemory::new(4));
    }

    pub(super) fn grants(&self) -> [CellGrants; MAX_CELLS] {
        core::array::from_fn(|cell| {
            let offset = grant_offset_bytes(cell).expect("in the table");
            SequencedCell::new(self.get("region_grants"), offset).expect("fits").try_read().unwrap_or_default()
        })
    }

    /// One of the rates in force.
    pub(super) fn rate(&self, cell: usize, line: u8, of: RateOf) -> u32 {
        LineRates::read(&self.get("region_grants"), cell, line, of)
    }

    fn control(&self, cell: usize) -> Option<CellControl> {
        let memory = self.by_symbol.get(&format!("region_cell{cell}_control"))?.clone();
        SequencedCell::new(memory, 0).expect("fits").try_read()
    }
}

/// A region that writes down when the warden is done writing a control block.
#[derive(Clone)]
pub(super) struct Observed {
    memory: HeapMemory,
    control_of: Option<usize>,
    diary: Diary,
}

impl SharedMemory for Observed {
    fn size_bytes(&self) -> usize {
        self.memory.size_bytes()
    }

    fn read(&self, offset: usize, destination: &mut [u8]) -> Result<(), OutOfRange> {
        self.memory.read(offset, destination)
    }

    fn write(&self, offset: usize, source: &[u8]) -> Result<(), OutOfRange> {
        self.memory.write(offset, source)
    }

    fn load_u32(&self, offset: usize) -> Result<u32, OutOfRange> {
        self.memory.load_u32(offset)
    }

    fn store_u32(&self, offset: usize, value: u32) -> Result<(), OutOfRange> {
        self.memory.store_u32(offset, value)?;
        // An even sequence number: the block is whole.
        if let Some(cell) = self.control_of.filter(|_| value.is_multiple_of(2)) {
            self.diary.note(Action::Control(cell));
        }
        Ok(())
    }
}

/// What the warden is wired to.
pub(super) struct Wires {
    pub(super) regions: Regions,
    diary: Diary,
}

impl Wires {
    pub(super) fn new(regions: Regions) -> Self {
        Self { diary: Diary { regions: regions.clone(), steps: Rc::default() }, regions }
    }
}

impl Wiring for Wires {
    type Memory = Observed;

    fn channel(&self, symbol: &str) -> Option<Channel> {
        let number = match symbol {
            "channel_gpio" => GPIO,
            "channel_timer" => TIMER,
            "channel_exchange" => EXCHANGE,
            "channel_admission" => ADMISSION,
            _ => symbol.strip_prefix("channel_cell")?.parse().ok().filter(|cell| usize::from(*cell) < CELLS)?,
        };
        Channel::new(number)
    }

    fn region(&self, symbol: &str) -> Option<Observed> {
        let memory = self.regions.by_symbol.get(symbol)?.clone();
        let cell = symbol.strip_prefix("region_cell").and_then(|rest| rest.strip_suffix("_control"));
        let control_of = cell.map(|cell| cell.parse().expect("a number"));
        Some(Observed { memory, control_of, diary: self.diary.clone() })
    }
}

/// Where kernel and substrate write down what happens.
#[derive(Clone)]
pub(super) struct Diary {
    regions: Regions,
    steps: Rc<RefCell<Vec<Step>>>,
}

impl Diary {
    fn note(&self, action: Action) {
        let commands =
            core::array::from_fn(|cell| self.regions.control(cell).map_or(u32::MAX, |control| control.command));
        self.steps.borrow_mut().push(Step { action, grants: self.regions.grants(), commands });
    }
}

pub(super) struct Clockwork {
    pub(super) now_ns: u64,
    pub(super) alarm_ns: Option<u64>,
    /// How long after that again.
    alarm_period_ns: u64,
    /// It went off, and was not taken.
    alarm_is_due: bool,
    pub(super) timer_fails: bool,
    /// `gpio` still has lines on standby for one of the two.
    pub(super) lines_are_busy: bool,
    diary: Diary,
}

impl Kernel for Clockwork {
    fn notify(&mut self, channel: Channel) {
        self.diary.note(Action::Notify(channel.number()));
    }

    fn call(&mut self, channel: Channel, message: Message) -> Message {
        let label = u32::try_from(message.label).expect("small");
        let mut words = [0; 4];
        match channel.number() {
            GPIO => {
                self.diary.note(match gpio::Procedure::from_wire(label) {
                    Some(gpio::Procedure::Release) => Action::ReleaseLines(message.words[0]),
                    Some(gpio::Procedure::Succeed) => Action::Succeed(message.words[0], message.words[1]),
                    Some(gpio::Procedure::TakeOver) => Action::TakeOver(message.words[0], message.words[1]),
                    Some(gpio::Procedure::Listen) => Action::ListenAgain,
                    other => panic!("the warden has no use for {other:?}"),
                });
            }
            EXCHANGE => self.diary.note(match exchange::Procedure::from_wire(label) {
                Some(exchange::Procedure::Release) => Action::ReleaseEnds(message.words[0]),
                Some(exchange::Procedure::TakeOver) => Action::TakeOverEnds(message.words[0], message.words[1]),
                other => panic!("the warden has no use for {other:?}"),
            }),
            TIMER => words = self.timer(timer::Procedure::from_wire(label).expect("known"), message.words),
            other => panic!("the warden has no call on channel {other}"),
        }
        let succeeds = channel.number() == GPIO && label == gpio::Procedure::Succeed.to_wire();
        let status = match (self.timer_fails, succeeds && self.lines_are_busy) {
            (true, _) => gpio::Status::Unavailable,
            (false, true) => gpio::Status::Busy,
            (false, false) => gpio::Status::Ok,
        };
        Message { words, ..status.answer() }
    }

    fn now(&self) -> Instant {
        Instant::from_nanoseconds(self.now_ns)
    }
}

impl Clockwork {
    fn timer(&mut self, procedure: timer::Procedure, words: [u64; 4]) -> [u64; 4] {
        match procedure {
            timer::Procedure::Arm => {
                assert_eq!(words[0], 0, "the executor's timer");
                assert!(words[2] >= timer::EXECUTOR_MINIMUM_NS);
                (self.alarm_ns, self.alarm_period_ns) = (Some(words[1]), words[2]);
                self.diary.note(Action::Arm(words[1]));
            }
            timer::Procedure::Disarm => {
                assert_eq!(words[0], 0);
                self.alarm_ns = None;
                self.diary.note(Action::Disarm);
            }
            timer::Procedure::Take => return [u64::from(core::mem::take(&mut self.alarm_is_due)), 0, 0, 0],
            timer::Procedure::Release => self.diary.note(Action::ReleaseTimers(words[0])),
        }
        [0; 4]
    }
}

/// Refuses to bind where a test wants it to.
pub(super) struct Domains {
    diary: Diary,
    pub(super) refuses: bool,
}

impl Cells for Domains {
    fn keeps_time(&self) -> bool {
        true
    }

    fn stop(&mut self, cell: usize) {
        self.diary.note(Action::Stop(cell));
    }

    fn restart(&mut self, cell: usize, entry: u64) {
        self.diary.note(Action::Restart(cell, entry));
    }

    fn bind_class(&mut self, cell: usize, class: usize) -> Result<(), NotScheduled> {
        self.diary.note(Action::BindClass(cell, class));
        if self.refuses { Err(NotScheduled) } else { Ok(()) }
    }

    fn bind_own(&mut self, cell: usize) -> Result<(), NotScheduled> {
        self.diary.note(Action::BindOwn(cell));
        Ok(())
    }

    fn set_priority(&mut self, cell: usize, priority: u8) -> Result<(), NotScheduled> {
        self.diary.note(Action::SetPriority(cell, priority));
        Ok(())
    }
}

pub(super) fn ceiling() -> CellGrants {
    CellGrants {
        output_lines: 0b10_0011,
        input_lines: 0b11_1000,
        edge_lines: 0b11_1000,
        active_low_lines: 0b10_0010,
        i2c_addresses: CellGrants::i2c_range(0x48, 0x4f),
        minimum_period_ns: 1_000_000,
        timers: 7,
        generation: 0,
    }
}

/// The board's highest rates.
pub(super) fn rates() -> LineRates {
    let mut rates = LineRates::all(50);
    rates.edges[3] = 7;
    rates
}

pub(super) fn board_limits() -> BoardLimits {
    BoardLimits {
        magic: POLICY_MAGIC,
        names_bytes: 0,
        ceiling: ceiling(),
        module_limit_bytes: 2 * 1024 * 1024,
        memory_limit_bytes: 4 * 1024 * 1024,
        table_limit_elements: 10_000,
        hook_limit_us: u32::try_from(HOOK_NS / 1_000).expect("small"),
        load_limit_us: u32::try_from(LOAD_NS / 1_000).expect("small"),
        log_limit_per_second: 0,
        rates: rates(),
        shares: shares(),
    }
}

/// Two classes of 100 µs a millisecond, one of 300, and what each cell has of its own.
pub(super) fn shares() -> Shares {
    let share = |budget_us, period_us, badge, priority| Share { budget_us, period_us, badge, priority, core: 0 };
    let mut shares = Shares::default();
    shares.classes[0] = share(100, 1_000, 0x120, 0);
    shares.classes[1] = share(100, 1_000, 0x121, 0);
    shares.classes[2] = share(300, 1_000, 0x122, 0);
    for (cell, own) in (0..).zip(&mut shares.cells) {
        *own = share(700, 10_000, 0x108 + cell, 110 - cell);
    }
    shares
}

/// A warden in its node.
pub(super) struct Node {
    pub(super) regions: Regions,
    pub(super) kernel: Clockwork,
    pub(super) warden: Warden<Observed, Domains>,
    steps: Rc<RefCell<Vec<Step>>>,
}

impl Node {
    /// Started, with cells that have shown where they begin.
    pub(super) fn new() -> Self {
        Self::with_limits(board_limits())
    }

    pub(super) fn with_limits(limits: BoardLimits) -> Self {
        let mut node = Self::unstarted(limits);
        for cell in 0..CELLS {
            node.write_status(
                cell,
                CellStatus { restart_entry: ENTRY + cell as u64, ..status(0, ContainerState::Empty) },
            );
        }
        node.warden.start(&mut node.kernel);
        node.take_steps();
        node
    }

    pub(super) fn unstarted(limits: BoardLimits) -> Self {
        let regions = Regions::new();
        regions.get("region_policy").write_value(0, &limits).expect("fits");
        let wires = Wires::new(regions.clone());
        let (diary, steps) = (wires.diary.clone(), wires.diary.steps.clone());
        let warden = Warden::new(&wires, Domains { diary: diary.clone(), refuses: false }).expect("complete");
        let kernel = Clockwork {
            now_ns: 1_000,
            alarm_ns: None,
            alarm_period_ns: 0,
            alarm_is_due: false,
            timer_fails: false,
            lines_are_busy: false,
            diary,
        };
        Self { regions, kernel, warden, steps }
    }

    pub(super) fn take_steps(&mut self) -> Vec<Step> {
        core::mem::take(&mut self.steps.borrow_mut())
    }

    pub(super) fn take_actions(&mut self) -> Vec<Action> {
        self.take_steps().into_iter().map(|step| step.action).collect()
    }

    pub(super) fn call_words(&mut self, channel: u8, label: u64, words: [u64; 4]) -> Message {
        let channel = Channel::new(channel).expect("a channel");
        self.warden.called(&mut self.kernel, channel, Message { label, words })
    }

    pub(super) fn procedure(&mut self, procedure: Procedure, words: [u64; 4]) -> Result<u64, WardenStatus> {
        let answer = self.call_words(ADMISSION, u64::from(procedure.to_wire()), words);
        match WardenStatus::of(&answer) {
            WardenStatus::Ok => Ok(answer.words[0]),
            status => Err(status),
        }
    }

    pub(super) fn load(&mut self, cell: usize, run: bool) -> Result<u64, WardenStatus> {
        self.load_sizes(cell, 100, 1000, u64::from(run))
    }

    pub(super) fn load_sizes(
        &mut self,
        cell: usize,
        configuration: u64,
        module: u64,
        run: u64,
    ) -> Result<u64, WardenStatus> {
        self.procedure(Procedure::Load, [cell as u64, configuration, module, run])
    }

    pub(super) fn ask(&mut self, procedure: Procedure, cell: usize) -> Result<u64, WardenStatus> {
        self.procedure(procedure, [cell as u64, 0, 0, 0])
    }

    /// Loads and runs, up to the container's running.
    pub(super) fn running(&mut self, cell: usize) -> u32 {
        self.request(cell, ceiling());
        let generation = u32::try_from(self.load(cell, true).expect("free")).expect("small");
        self.show(cell, ContainerState::Running);
        self.take_steps();
        generation
    }

    pub(super) fn request(&self, cell: usize, grants: CellGrants) {
        self.request_plan(cell, LoadRequest { grants, plan: Plan::default(), rates: rates() });
    }

    pub(super) fn request_plan(&self, cell: usize, request: LoadRequest) {
        let offset = grant_offset_bytes(cell).expect("in the table");
        self.regions.get("region_requests").write_value(offset, &request).expect("fits");
    }

    pub(super) fn write_status(&self, cell: usize, status: CellStatus) {
        let memory = self.regions.get(&format!("region_cell{cell}_status"));
        SequencedCell::new(memory, 0).expect("fits").write(&status);
    }

    /// The cell shows `state` for the current load, with a heartbeat that moves, and notifies.
    pub(super) fn show(&mut self, cell: usize, state: ContainerState) {
        let generation = self.control(cell).generation;
        let heartbeat = self.kernel.now_ns;
        self.write_status(cell, CellStatus { heartbeat, ..status(generation, state) });
        self.notify(u8::try_from(cell).expect("small"));
    }

    /// The cell shows a running container with that many loops, held or not.
    pub(super) fn show_loops(&mut self, cell: usize, state: ContainerState, loops: u64, held: bool) {
        let generation = self.control(cell).generation;
        let heartbeat = self.kernel.now_ns;
        let shown = CellStatus { heartbeat, loops, held: u32::from(held), ..status(generation, state) };
        self.write_status(cell, shown);
        self.notify(u8::try_from(cell).expect("small"));
    }

    pub(super) fn notify(&mut self, channel: u8) {
        let channels = ChannelSet::default().with(Channel::new(channel).expect("a channel"));
        self.warden.notified(&mut self.kernel, channels);
    }

    /// Lets the time pass until `until_ns`, waking the warden whenever its alarm goes off.
    pub(super) fn pass_until(&mut self, until_ns: u64) {
        while let Some(alarm_ns) = self.kernel.alarm_ns.filter(|alarm_ns| *alarm_ns <= until_ns) {
            self.kernel.now_ns = self.kernel.now_ns.max(alarm_ns);
            self.kernel.alarm_ns = Some(alarm_ns + self.kernel.alarm_period_ns);
            self.kernel.alarm_is_due = true;
            self.notify(TIMER);
        }
        self.kernel.now_ns = until_ns;
    }

    pub(super) fn control(&self, cell: usize) -> CellControl {
        self.regions.control(cell).expect("written")
    }

    pub(super) fn command(&self, cell: usize) -> Option<Command> {
        Command::from_wire(self.control(cell).command)
    }

    pub(super) fn grants(&self, cell: usize) -> CellGrants {
        self.regions.grants()[cell]
    }

    pub(super) fn table(&self) -> WardenTable {
        SequencedCell::new(self.regions.get("region_status"), 0).expect("fits").try_read().expect("published")
    }

    pub(super) fn shown(&self, cell: usize) -> WardenCell {
        self.table().cells[cell]
    }
}

pub(super) fn status(generation: u32, state: ContainerState) -> CellStatus {
    let mut status = CellStatus::new_zeroed();
    status.as_mut_bytes().fill(0);
    status.generation = generation;
    status.state = state.to_wire();
    status.detail = [0; DETAIL_BYTES];
    status
}
