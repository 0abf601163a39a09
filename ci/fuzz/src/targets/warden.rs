//! The procedures of the warden, called by an `admission` that means harm, over cells that show anything, while time passes.
//!
//! Whatever is asked for: no cell has more than the board's ceiling and than was laid down for it, a cell that is stopped,
//! released or started anew has nothing from before that on, the drivers are called only with what they do not refuse, and of two
//! cells never both are under the same class.

use std::{cell::RefCell, rc::Rc};

use runner_interfaces::{
    MAX_CELLS,
    boot_report::STATUS_REGION_BYTES,
    cell::{CellControl, CellStatus, Command, MODULE_OFFSET_BYTES},
    exchange, gpio,
    grants::{CellGrants, LineRates, MAX_LINES, RateOf, grant_offset_bytes},
    kernel::{CALL_FAILED, Channel, ChannelSet, Domain, Instant, Kernel, Message},
    plan::{LoadRequest, Plan},
    policy::{BoardLimits, POLICY_MAGIC},
    schedule::Schedule,
    scheduling::{CELL_PRIORITIES, Share, Shares},
    timer,
    warden::{Procedure, WardenStatus, WardenTable},
};
use runner_warden::{Cells, Exhausted, Fault, NotScheduled, Warden};
use shared_ring::{SequencedCell, SharedMemory, SharedValues};

use super::paper::{CELLS, GRANTS_BYTES, PaperMemory, WARDEN, Wires, message};
use crate::script::Script;

const GPIO: u8 = 20;
const TIMER: u8 = 21;
const EXCHANGE: u8 = 23;
const ADMISSION: u8 = 22;
const CHANNELS: &[(&str, u8)] = &[
    ("channel_gpio", GPIO),
    ("channel_timer", TIMER),
    ("channel_exchange", EXCHANGE),
    ("channel_admission", ADMISSION),
];

/// Regions by cell: what it is told, what it shows.
const CELL_REGIONS: [(&str, &str); CELLS.len()] = [
    ("region_cell0_control", "region_cell0_status"),
    ("region_cell1_control", "region_cell1_status"),
    ("region_cell2_control", "region_cell2_status"),
];

/// Room for a control or a status block.
const BLOCK_BYTES: usize = 1024;

/// Where the first cell's domain begins anew.
const ENTRY: u64 = 0x20_0000;

/// Calls and notifications in one go, beyond which the warden waits for somebody, or turns in a circle.
const MOST_CALLS: u32 = 200;

/// Classes that the board has.
const CLASSES: usize = 3;

/// The badge of the first of them.
const BADGE: u32 = 0x120;

/// The priority of the first cell where it has no class.
const OWN_PRIORITY: u8 = 103;

#[allow(clippy::cast_possible_truncation, reason = "there are some")]
const SHARES: Shares = {
    let mut shares = Shares::NONE;
    let mut class = 0;
    while class < CLASSES {
        let badge = BADGE + class as u32;
        shares.classes[class] = Share { budget_us: 100, period_us: 1000, badge, priority: 0, core: 0 };
        class += 1;
    }
    let mut cell = 0;
    while cell < CELLS.len() {
        let priority = OWN_PRIORITY as u32 + cell as u32;
        shares.cells[cell] = Share { budget_us: 700, period_us: 10_000, badge: 0x100 + cell as u32, priority, core: 0 };
        cell += 1;
    }
    shares
};

/// What the board allows.
const LIMITS: BoardLimits = BoardLimits {
    magic: POLICY_MAGIC,
    names_bytes: 0,
    ceiling: CellGrants {
        output_lines: 0b10_0011,
        input_lines: 0b11_1000,
        edge_lines: 0b11_1000,
        active_low_lines: 0b10_0010,
        minimum_period_ns: 1_000_000,
        i2c_addresses: [0, 0xff00],
        timers: 5,
        generation: 0,
    },
    module_limit_bytes: 2 << 20,
    memory_limit_bytes: 4 << 20,
    table_limit_elements: 10_000,
    hook_limit_us: 1_000_000,
    load_limit_us: 3_000_000,
    log_limit_per_second: 0,
    rates: LineRates::all(50),
    shares: SHARES,
};

/// What the drivers know, and what was done in one go.
#[derive(Default)]
struct World {
    now_ns: u64,
    timer_fails: bool,
    /// The warden's timer: when it expires, and how long after that again.
    alarm: Option<(u64, u64)>,
    calls: u32,
    /// Who succeeds whom, as `gpio` has it.
    heirs: [Option<usize>; CELLS.len()],
    /// What `exchange` is to be told next.
    taken_over: Option<[u64; 2]>,
    is_stopped: [bool; CELLS.len()],
    binding_fails: bool,
    /// The class that each cell is under.
    classes: [Option<usize>; CELLS.len()],
    /// What each cell's priority was set to, where it was.
    priorities: [Option<u8>; CELLS.len()],
}

/// The kernel, and what the substrate does to cells.
#[derive(Clone)]
struct Node {
    world: Rc<RefCell<World>>,
    grants: PaperMemory,
    controls: [PaperMemory; CELLS.len()],
}

impl Node {
    fn grants_of(&self, cell: usize) -> CellGrants {
        let offset = grant_offset_bytes(cell).expect("a cell");
        SequencedCell::new(self.grants.clone(), offset).expect("it fits").try_read().unwrap_or_default()
    }

    fn control_of(&self, cell: usize) -> CellControl {
        SequencedCell::new(self.controls[cell].clone(), 0).expect("it fits").try_read().expect("told at the start")
    }

    fn has_nothing(&self, cell: usize) {
        assert_eq!(self.grants_of(cell), CellGrants::default(), "cell {cell}: the grants go first");
    }

    fn count(&self) {
        let mut world = self.world.borrow_mut();
        world.calls += 1;
        assert!(world.calls < MOST_CALLS, "the warden turns in a circle");
    }

    fn gpio(&self, message: &Message) -> gpio::Status {
        let cell =
            |word: u64| usize::try_from(word).ok().filter(|cell| *cell < CELLS.len()).expect("a cell that there is");
        let first = cell(message.words[0]);
        let mut world = self.world.borrow_mut();
        let is_involved = |world: &World, cell: usize| world.heirs[cell].is_some() || world.heirs.contains(&Some(cell));
        match u32::try_from(message.label).ok().and_then(gpio::Procedure::from_wire) {
            Some(gpio::Procedure::Release) => {
                self.has_nothing(first);
                world.heirs[first] = None;
                world.heirs.iter_mut().filter(|heir| **heir == Some(first)).for_each(|heir| *heir = None);
            }
            Some(gpio::Procedure::Succeed) => {
                let second = cell(message.words[1]);
                assert_ne!(first, second);
                if is_involved(&world, first) || is_involved(&world, second) {
                    return gpio::Status::Busy;
                }
                world.heirs[first] = Some(second);
            }
            Some(gpio::Procedure::TakeOver) => {
                let second = cell(message.words[1]);
                assert_eq!(world.heirs[first], Some(second), "`gpio` refuses");
                (world.heirs[first], world.heirs[second]) = (None, Some(first));
                world.taken_over = Some([message.words[0], message.words[1]]);
            }
            other => panic!("the warden has no use for {other:?}"),
        }
        gpio::Status::Ok
    }

    /// The first word of the answer.
    fn timer(&self, message: &Message) -> u64 {
        let [word, first_ns, period_ns, _] = message.words;
        match u32::try_from(message.label).ok().and_then(timer::Procedure::from_wire) {
            Some(timer::Procedure::Arm) => {
                assert!(word == 0 && period_ns >= timer::EXECUTOR_MINIMUM_NS, "its own timer");
                self.world.borrow_mut().alarm = Some((first_ns, period_ns));
            }
            Some(timer::Procedure::Disarm) => panic!("it always has a next look"),
            Some(timer::Procedure::Release) => self.has_nothing(usize::try_from(word).expect("a cell")),
            Some(timer::Procedure::Take) => {
                let mut world = self.world.borrow_mut();
                let now_ns = world.now_ns;
                if let Some((at, period_ns)) = world.alarm.as_mut().filter(|(at, _)| *at <= now_ns) {
                    *at = at.saturating_add(*period_ns);
                    return 1;
                }
            }
            None => panic!("the timer has no such procedure: {message:?}"),
        }
        0
    }

    fn exchange(&self, message: &Message) {
        match u32::try_from(message.label).ok().and_then(exchange::Procedure::from_wire) {
            Some(exchange::Procedure::Release) => self.has_nothing(usize::try_from(message.words[0]).expect("a cell")),
            Some(exchange::Procedure::TakeOver) => {
                let told = self.world.borrow_mut().taken_over.take();
                assert_eq!(told, Some([message.words[0], message.words[1]]), "lines and channels go together");
            }
            other => panic!("the warden has no use for {other:?}"),
        }
    }
}

impl Kernel for Node {
    fn notify(&mut self, channel: Channel) {
        self.count();
        assert!(CELLS.contains(&channel.number()) || channel.number() == ADMISSION, "{channel:?} is not notified");
    }

    fn call(&mut self, channel: Channel, message: Message) -> Message {
        self.count();
        let mut word = 0;
        match channel.number() {
            GPIO => return self.gpio(&message).answer(),
            TIMER => word = self.timer(&message),
            EXCHANGE => self.exchange(&message),
            other => panic!("the warden calls nobody at channel {other}"),
        }
        let fails = channel.number() == TIMER && self.world.borrow().timer_fails;
        Message::with_word(if fails { CALL_FAILED } else { 0 }, word)
    }

    fn now(&self) -> Instant {
        Instant::from_nanoseconds(self.world.borrow().now_ns)
    }
}

impl Cells for Node {
    fn stop(&mut self, cell: usize) {
        self.has_nothing(cell);
        self.world.borrow_mut().is_stopped[cell] = true;
    }

    fn restart(&mut self, cell: usize, entry: u64) {
        assert_eq!(entry, ENTRY + cell as u64, "what the image says, and not what the cell has shown since");
        self.has_nothing(cell);
        assert_eq!(self.control_of(cell).command, Command::Idle.to_wire());
        let mut world = self.world.borrow_mut();
        assert!(core::mem::take(&mut world.is_stopped[cell]), "started anew while it runs");
        assert_eq!(world.classes[cell], None, "its class is somebody's who keeps deadlines");
    }

    fn bind_class(&mut self, cell: usize, class: usize) -> Result<(), NotScheduled> {
        assert!(class < CLASSES, "there is no class {class}");
        let mut world = self.world.borrow_mut();
        assert!(!world.classes.contains(&Some(class)), "class {class} is taken");
        assert_eq!(world.classes[cell], None, "cell {cell} has a class");
        if world.binding_fails {
            return Err(NotScheduled);
        }
        world.classes[cell] = Some(class);
        Ok(())
    }

    fn bind_own(&mut self, cell: usize) -> Result<(), NotScheduled> {
        self.world.borrow_mut().classes[cell] = None;
        Ok(())
    }

    fn keeps_time(&self) -> bool {
        true
    }

    fn set_priority(&mut self, cell: usize, priority: u8) -> Result<(), NotScheduled> {
        assert!(CELL_PRIORITIES.contains(&priority), "{priority} is no cell's");
        let mut world = self.world.borrow_mut();
        let is_own = usize::from(priority) == usize::from(OWN_PRIORITY) + cell;
        assert!(is_own || world.classes[cell].is_some(), "a priority without a budget");
        world.priorities[cell] = Some(priority);
        Ok(())
    }
}

struct Bench {
    warden: Warden<PaperMemory, Node>,
    node: Node,
    wires: Wires,
    /// What was asked for at the last load, cut down to the ceiling.
    laid_down: [CellGrants; CELLS.len()],
}

pub(super) fn drive(input: &[u8]) {
    let mut bench = Bench::new();
    let mut script = Script::new(input);
    while !script.is_over() {
        bench.node.world.borrow_mut().calls = 0;
        bench.step(&mut script);
        bench.check();
    }
}

impl Bench {
    fn new() -> Self {
        let mut regions = vec![
            ("region_policy", GRANTS_BYTES),
            ("region_grants", GRANTS_BYTES),
            ("region_requests", GRANTS_BYTES),
            ("region_status", SequencedCell::<PaperMemory, WardenTable>::SIZE_BYTES),
            ("region_gpio_status", STATUS_REGION_BYTES),
            ("region_i2c_status", STATUS_REGION_BYTES),
            ("region_timer_status", STATUS_REGION_BYTES),
            ("region_exchange_status", STATUS_REGION_BYTES),
        ];
        regions.extend(
            CELL_REGIONS.iter().flat_map(|(control, status)| [(*control, BLOCK_BYTES), (*status, BLOCK_BYTES)]),
        );
        let wires = Wires::new(CHANNELS, &regions);
        wires.get("region_policy").write_value(0, &LIMITS).expect("it fits");
        let node = Node {
            world: Rc::default(),
            grants: wires.get("region_grants"),
            controls: CELL_REGIONS.map(|(control, _)| wires.get(control)),
        };
        let warden = Warden::new(&wires, node.clone()).expect("wired");
        let mut bench = Self { warden, node, wires, laid_down: [CellGrants::default(); CELLS.len()] };
        for cell in 0..CELLS.len() {
            let status = CellStatus { restart_entry: ENTRY + cell as u64, ..nothing_shown() };
            bench.show(cell, &status);
        }
        bench.warden.start(&mut bench.node);
        bench
    }

    fn show(&self, cell: usize, status: &CellStatus) {
        SequencedCell::new(self.wires.get(CELL_REGIONS[cell].1), 0).expect("it fits").write(status);
    }

    fn step(&mut self, script: &mut Script<'_>) {
        let kind = script.byte();
        let cell = usize::from(kind / 16) % CELLS.len();
        match kind % 16 {
            0 => self.request(cell, script),
            1 | 2 => {
                let mut world = self.node.world.borrow_mut();
                world.now_ns = world.now_ns.saturating_add(script.duration_ns());
            }
            3 => self.notify(ChannelSet::from_bits(script.mask())),
            4 | 5 => self.notify(ChannelSet::from_bits(1 << TIMER)),
            6 => {
                // Not even written as a status is written.
                let place = usize::from(script.byte()) * 4 % BLOCK_BYTES;
                let value = script.word().to_le_bytes();
                self.wires.get(CELL_REGIONS[cell].1).write(place.min(BLOCK_BYTES - 8), &value).expect("within");
            }
            7 | 8 => {
                self.show_anything(cell, script);
                self.notify(ChannelSet::from_bits(1 << CELLS[cell]));
            }
            9 => {
                let fault = Fault { kind: script.word(), ..Fault::default() };
                let number = usize::from(script.byte() % 16);
                let cell = if number < 12 { cell } else { number };
                self.warden.faulted(&mut self.node, cell, fault);
                if cell < CELLS.len() {
                    self.node.has_nothing(cell);
                }
            }
            10 => match script.byte() % 8 {
                0 | 1 => self.node.world.borrow_mut().timer_fails ^= true,
                2 => self.node.world.borrow_mut().binding_fails ^= true,
                3 => self.exhausted(script.word()),
                badge => self.exhausted(u64::from(BADGE) + u64::from(badge) - 4),
            },
            11 => {
                let callers = [ADMISSION, CELLS[0], CELLS[1], GPIO, TIMER, WARDEN, 40, ADMISSION];
                let caller = callers[usize::from(script.byte() % 8)];
                let message = message(script, 8, 5);
                self.call(caller, message);
            }
            12 | 13 => {
                let run = u64::from(script.flag());
                self.call(ADMISSION, Message { label: 1, words: [cell as u64, 100, 1000, run] });
            }
            14 => {
                let label = u64::from(2 + script.byte() % 4);
                self.call(ADMISSION, Message { label, words: [cell as u64, 0, 0, 0] });
            }
            _ => {
                let to = u64::from(script.byte() % 3);
                let label = u64::from(Procedure::Succeed.to_wire());
                let probation_us = script.duration_ns() / 1_000;
                self.call(ADMISSION, Message { label, words: [cell as u64, to, probation_us, 0] });
            }
        }
    }

    /// The kernel says that a budget is used up.
    fn exhausted(&mut self, badge: u64) {
        let before = self.grants();
        let holder = |class| self.node.world.borrow().classes.iter().position(|held| *held == Some(class));
        let class = usize::try_from(badge.wrapping_sub(u64::from(BADGE))).ok().filter(|class| *class < CLASSES);
        let expected = class.and_then(holder);
        let found = self.warden.exhausted(&mut self.node, badge);
        assert_eq!(found.map(|found| found.cell), expected);
        if let Some(Exhausted { cell, is_ended: true }) = found {
            self.node.has_nothing(cell);
        }
        self.only_less_or_again(&before, None);
    }

    /// Lays down what admission asks for.
    fn request(&self, cell: usize, script: &mut Script<'_>) {
        let grants = CellGrants {
            output_lines: script.mask(),
            input_lines: script.mask(),
            edge_lines: script.mask(),
            active_low_lines: script.mask(),
            minimum_period_ns: script.duration_ns(),
            i2c_addresses: [script.mask(), script.mask()],
            timers: u32::from(script.byte()),
            generation: u32::from(script.byte()),
        };
        let limit = |script: &mut Script<'_>| u32::try_from(script.duration_ns() / 1_000).unwrap_or(u32::MAX);
        let mut plan = Plan {
            loops: u64::from(script.byte()),
            time_ns: script.duration_ns(),
            first_back_off_ns: script.duration_ns(),
            longest_back_off_ns: script.duration_ns(),
            start_limit_us: limit(script),
            loop_limit_us: limit(script),
            stop_limit_us: limit(script),
            memory_limit_bytes: limit(script),
            restart_policy: u32::from(script.byte() % 5),
            restart_attempts: u32::from(script.byte() % 80),
            ..Plan::default()
        };
        let rates = LineRates::all([0, 1, 50, 51, u32::MAX][usize::from(script.byte() % 5)]);
        plan.class = u32::from(script.byte() % 6);
        plan.priority = 90 + u32::from(script.byte() % 128);
        plan.schedule = Schedule {
            period_ns: script.duration_ns(),
            deadline_ns: script.duration_ns(),
            release: u32::from(script.byte() % 4),
            ..Schedule::default()
        };
        let offset = grant_offset_bytes(cell).expect("a cell");
        let request = LoadRequest { grants, plan, rates };
        self.wires.get("region_requests").write_value(offset, &request).expect("it fits");
    }

    /// A cell shows a state of its load, at most times in turn; and where it claims to begin anew.
    fn show_anything(&self, cell: usize, script: &mut Script<'_>) {
        let [state, more, loops] = core::array::from_fn(|_| script.byte());
        let control = self.node.control_of(cell);
        let status = CellStatus {
            generation: if more & 0x80 == 0 { control.generation } else { u32::from(loops) },
            state: u32::from(state % 12),
            end_cause: u32::from(more % 6),
            held: u32::from(more / 8 % 4 != 0),
            loops: u64::from(loops),
            heartbeat: script.number(200),
            restart_entry: script.number(9),
            ..nothing_shown()
        };
        self.show(cell, &status);
    }

    fn grants(&self) -> [CellGrants; MAX_CELLS] {
        core::array::from_fn(|cell| self.node.grants_of(cell))
    }

    fn notify(&mut self, channels: ChannelSet) {
        let before = self.grants();
        self.warden.notified(&mut self.node, channels);
        self.only_less_or_again(&before, None);
    }

    fn call(&mut self, caller: u8, message: Message) {
        let before = self.grants();
        let answer = self.warden.called(&mut self.node, Channel::new(caller).expect("a channel"), message);
        let status = u32::try_from(answer.label).ok().and_then(WardenStatus::from_wire).expect("a known status");
        assert!(status == WardenStatus::Ok || answer.words == [0; 4], "{status} says {:?}", answer.words);
        assert_eq!(answer.words[1..], [0; 3]);
        let cell = usize::try_from(message.words[0]).ok().filter(|cell| *cell < CELLS.len());
        let procedure = u32::try_from(message.label).ok().and_then(Procedure::from_wire);
        if caller != ADMISSION {
            assert_eq!(status, WardenStatus::Invalid, "{caller} has nothing to say");
            self.only_less_or_again(&before, None);
            return;
        }
        let (Some(cell), Some(procedure)) = (cell, procedure) else {
            assert_ne!(status, WardenStatus::Ok, "{message:?}");
            return self.only_less_or_again(&before, None);
        };
        let loaded = procedure == Procedure::Load && status == WardenStatus::Ok;
        if loaded {
            self.check_load(cell, &message, answer.words[0]);
        } else if status == WardenStatus::Ok && matches!(procedure, Procedure::Kill | Procedure::Release) {
            self.node.has_nothing(cell);
        }
        self.only_less_or_again(&before, Some(cell).filter(|_| loaded));
    }

    /// What a load came to: what was asked for as far as the board allows it, told to the cell.
    fn check_load(&mut self, cell: usize, message: &Message, generation: u64) {
        let offset = grant_offset_bytes(cell).expect("a cell");
        let asked: LoadRequest = self.wires.get("region_requests").read_value(offset).expect("it is there");
        let (ceiling, of) = (LIMITS.ceiling, asked.grants);
        let expected = CellGrants {
            output_lines: of.output_lines & ceiling.output_lines,
            input_lines: of.input_lines & ceiling.input_lines,
            edge_lines: of.edge_lines & ceiling.edge_lines,
            active_low_lines: ceiling.active_low_lines,
            minimum_period_ns: of.minimum_period_ns.max(ceiling.minimum_period_ns),
            i2c_addresses: [0, of.i2c_addresses[1] & ceiling.i2c_addresses[1]],
            timers: of.timers.min(ceiling.timers),
            generation: 0,
        };
        self.laid_down[cell] = expected;
        let found = self.node.grants_of(cell);
        assert_eq!(
            (found, u64::from(found.generation)),
            (CellGrants { generation: found.generation, ..expected }, generation)
        );
        assert_ne!(generation, 0);
        let control = self.node.control_of(cell);
        assert_eq!(u64::from(control.generation), generation);
        let [_, configuration, module, run] = message.words;
        assert_eq!((u64::from(control.configuration_bytes), u64::from(control.module_bytes)), (configuration, module));
        assert!((1..=MODULE_OFFSET_BYTES as u64).contains(&configuration));
        assert!((1..=u64::from(LIMITS.module_limit_bytes)).contains(&module));
        assert_eq!(control.command, if run == 1 { Command::Run } else { Command::Load }.to_wire());
        assert!((1..=LIMITS.memory_limit_bytes).contains(&control.memory_limit_bytes));
        assert_eq!(control.table_limit_elements, LIMITS.table_limit_elements);
        assert_eq!(control.load_limit_us, LIMITS.load_limit_us);
        for limit in [control.start_limit_us, control.stop_limit_us] {
            assert!((1..=LIMITS.hook_limit_us).contains(&limit));
        }
        assert_eq!(control.schedule, asked.plan.schedule);
        let (class, priority) = (asked.plan.class as usize, u8::try_from(asked.plan.priority));
        assert!(class <= CLASSES, "there is no class {class}");
        assert!(class == 0 || priority.is_ok_and(|priority| CELL_PRIORITIES.contains(&priority)));
        let asked_rate = asked.rates.edges[0];
        for line in 0..MAX_LINES {
            for of in [RateOf::Transitions, RateOf::Edges] {
                assert_eq!(LineRates::read(&self.node.grants, cell, line, of), asked_rate.min(50));
            }
        }
    }

    /// No cell has another right than before, save one that was loaded now: it has the same, or nothing, or again what was
    /// laid down for it, under another number.
    fn only_less_or_again(&self, before: &[CellGrants; MAX_CELLS], loaded: Option<usize>) {
        for cell in (0..CELLS.len()).filter(|cell| loaded != Some(*cell)) {
            let now = self.node.grants_of(cell);
            let again = CellGrants { generation: now.generation, ..self.laid_down[cell] };
            let is_again = now == again && now.generation != before[cell].generation && before[cell].generation == 0;
            assert!(now == before[cell] || now == CellGrants::default() || is_again, "cell {cell} has {now:?}");
        }
    }

    /// What is shown is what is in force, for cells that there are.
    fn check(&self) {
        let shown: WardenTable = SequencedCell::new(self.wires.get("region_status"), 0)
            .expect("it fits")
            .try_read()
            .expect("since the start");
        for (cell, shown) in shown.cells.iter().enumerate() {
            let grants = self.node.grants_of(cell);
            assert_eq!(shown.grants, grants, "cell {cell}");
            assert!(cell < CELLS.len() || (grants == CellGrants::default() && shown.present == 0));
            let class = self.node.world.borrow().classes.get(cell).copied().flatten();
            assert_eq!(shown.class as usize, class.map_or(0, |class| class + 1), "cell {cell}");
        }
        assert_eq!(self.node.world.borrow().taken_over, None, "lines and channels go together");
    }
}

/// A status block of zeros.
fn nothing_shown() -> CellStatus {
    PaperMemory::new(BLOCK_BYTES).read_value(0).expect("it fits")
}
