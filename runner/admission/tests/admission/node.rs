//! A node in memory. Nothing in it is a substrate: its cells follow a script, its drivers say yes, its clock stands still
//! until a test moves it.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    rc::Rc,
    sync::atomic::{AtomicBool, Ordering},
};

use pd_exchange_driver::Exchange;
use runner_admission::{Admission, Options, StartError};
use runner_interfaces::{
    cell::{
        CellConfiguration, CellControl, CellStatus, Command, ContainerState, FailureReason, MODULE_OFFSET_BYTES, World,
    },
    gpio::{self, GpioStatus},
    grants::{CellGrants, LineRates},
    kernel::{Channel, ChannelSet, Domain, Instant, Kernel, Message, Wiring},
    link::{LINK_PAYLOAD_BYTES, LINK_SLOT_BYTES, LinkKind, LinkSlot, MAX_SESSIONS, link_geometry},
    output::{OUTPUT_SLOT_BYTES, OutputRecord, Stream, output_geometry},
    policy::{
        BoardActivity, BoardDevice, BoardLimits, BoardLine, BoardPolicy, BoardTime, POLICY_MAGIC,
        POLICY_NAMES_OFFSET_BYTES,
    },
    scheduling::{Share, Shares},
    timer,
    warden::{Succession, WardenTable},
};
use runner_tokens::KeyTable;
use runner_warden::{Cells, Fault, NotScheduled, Warden};
use sha2::Digest;
use shared_ring::{Consumer, HeapMemory, Producer, SequencedCell, SharedMemory, SharedValues};
use shared_ring_messages::{
    Answer, CHUNK_BYTES, ContainerReport, DeployRequest, ErrorCode, FrameDecoder, FromAgent, FromNode, HELLO_MAGIC,
    NodeReport, PROTOCOL_MAJOR, PROTOCOL_MINOR, Request, frame,
};
use zerocopy::FromZeros;

/// Admission runs, not the test: whoever counts what it allocates asks here.
pub(crate) static ADMISSION_RUNS: AtomicBool = AtomicBool::new(false);

pub(crate) const CELLS: usize = 4;
pub(crate) const HOOK_NS: u64 = 1_000_000_000;
pub(crate) const MODULE_LIMIT: u32 = 64 * 1024;

/// Channels by symbol and domain. The numbers are this node's own.
const WARDEN: u8 = 20;
const VMM: u8 = 21;
const ADMISSION: u8 = 22;
const GPIO: u8 = 23;
const TIMER: u8 = 24;
const EXCHANGE: u8 = 25;

/// Regions by the names that `system.xml` gives them, with their sizes there where that matters.
fn regions() -> HashMap<String, HeapMemory> {
    let mut sizes = vec![
        ("policy".to_owned(), 0x4000),
        ("keys".into(), 0x2000),
        ("grants".into(), 0x2000),
        ("gpio_status".into(), 0x5000),
        ("i2c_status".into(), 0x9000),
        ("timer_status".into(), 0x2000),
        ("warden_status".into(), 0x1000),
        ("admission_to_warden".into(), 0x2000),
        ("vmm_to_admission".into(), 0x20000),
        ("vmm_to_admission_head".into(), 0x1000),
        ("admission_to_vmm".into(), 0x20000),
        ("admission_to_vmm_head".into(), 0x1000),
        ("exchange_status".into(), 0x4000),
    ];
    for cell in 0..CELLS {
        sizes.push((format!("warden_to_cell{cell}"), 0x1000));
        sizes.push((format!("cell{cell}_status"), 0x2000));
        // 4 MiB there: tests need not touch as much.
        sizes.push((format!("cell{cell}_module"), 0x20000));
        sizes.push((format!("cell{cell}_to_admission"), 0x10000));
        sizes.push((format!("cell{cell}_to_admission_head"), 0x1000));
        sizes.push((format!("cell{cell}_to_exchange"), 0x1000));
        sizes.push((format!("exchange_to_cell{cell}"), 0x1000));
    }
    sizes.into_iter().map(|(name, size)| (name, HeapMemory::new(size))).collect()
}

/// One domain's part of the wiring.
struct DomainWiring<'a> {
    regions: &'a HashMap<String, HeapMemory>,
    warden: bool,
}

impl Wiring for DomainWiring<'_> {
    type Memory = HeapMemory;

    fn channel(&self, symbol: &str) -> Option<Channel> {
        let number = match (symbol, self.warden) {
            ("channel_warden", false) => WARDEN,
            ("channel_vmm", false) => VMM,
            ("channel_admission", true) => ADMISSION,
            ("channel_gpio", true) => GPIO,
            ("channel_timer", true) => TIMER,
            ("channel_exchange", _) => EXCHANGE,
            _ => symbol.strip_prefix("channel_cell")?.parse().ok().filter(|cell| usize::from(*cell) < CELLS)?,
        };
        Channel::new(number)
    }

    fn region(&self, symbol: &str) -> Option<HeapMemory> {
        let name = match (symbol, self.warden) {
            ("region_policy", _) => "policy".to_owned(),
            ("region_keys", false) => "keys".into(),
            ("region_requests", _) => "admission_to_warden".into(),
            ("region_grants", true) => "grants".into(),
            ("region_status", true) | ("region_warden_status", false) => "warden_status".into(),
            ("region_gpio_status", _) => "gpio_status".into(),
            ("region_i2c_status", _) => "i2c_status".into(),
            ("region_timer_status", _) => "timer_status".into(),
            ("region_exchange_status", _) => "exchange_status".into(),
            ("region_link_in", false) => "vmm_to_admission".into(),
            ("region_link_in_head", false) => "vmm_to_admission_head".into(),
            ("region_link_out", false) => "admission_to_vmm".into(),
            ("region_link_out_head", false) => "admission_to_vmm_head".into(),
            _ => {
                let (cell, part) = symbol.strip_prefix("region_cell")?.split_once('_')?;
                match (part, self.warden) {
                    ("control", true) => format!("warden_to_cell{cell}"),
                    ("status", _) => format!("cell{cell}_status"),
                    ("module", false) => format!("cell{cell}_module"),
                    ("output", false) => format!("cell{cell}_to_admission"),
                    ("output_head", false) => format!("cell{cell}_to_admission_head"),
                    _ => return None,
                }
            }
        };
        self.regions.get(&name).cloned()
    }
}

/// The exchange's part of the wiring.
struct ExchangeWiring(HashMap<String, HeapMemory>);

impl Wiring for ExchangeWiring {
    type Memory = HeapMemory;

    fn channel(&self, symbol: &str) -> Option<Channel> {
        let number = match symbol {
            "channel_warden" => WARDEN,
            "channel_admission" => ADMISSION,
            _ => symbol.strip_prefix("channel_cell")?.parse().ok().filter(|cell| usize::from(*cell) < CELLS)?,
        };
        Channel::new(number)
    }

    fn region(&self, symbol: &str) -> Option<HeapMemory> {
        let name = match symbol {
            "region_grants" => "grants".to_owned(),
            "region_status" => "exchange_status".into(),
            _ => match symbol.strip_prefix("region_cell")?.split_once('_')? {
                (cell, "in") => format!("cell{cell}_to_exchange"),
                (cell, "out") => format!("exchange_to_cell{cell}"),
                _ => return None,
            },
        };
        self.0.get(&name).cloned()
    }
}

/// The real exchange, as every domain reaches it.
#[derive(Clone)]
struct SharedExchange(Rc<RefCell<Exchange<ExchangeWiring>>>);

impl SharedExchange {
    fn called(&self, now_ns: u64, from: u8, message: Message) -> Message {
        let channel = Channel::new(from).expect("a channel");
        self.0.borrow_mut().called(&mut Idle(now_ns), channel, message)
    }
}

/// A kernel that wakes nobody: these tests ask the exchange themselves.
struct Idle(u64);

impl Kernel for Idle {
    fn notify(&mut self, _: Channel) {}

    fn call(&mut self, _: Channel, _: Message) -> Message {
        unreachable!("the exchange calls nobody")
    }

    fn now(&self) -> Instant {
        Instant::from_nanoseconds(self.0)
    }
}

/// What a scripted cell does with its next container.
#[derive(Clone, Debug)]
pub(crate) enum Script {
    /// Loads, runs, prints what it is given, and waits for events.
    Runs(Vec<String>),
    /// A command: prints, and ends with that code before anybody looks.
    Exits(Vec<String>, i32),
    /// Fails while loading.
    FailsToLoad(FailureReason, &'static str),
    /// Fails in its start hook.
    FailsToStart(FailureReason, &'static str),
    /// A command that traps.
    Traps(&'static str),
    /// Says that it loads, and nothing more.
    LoadsForEver,
    /// Runs, and never stops.
    IgnoresStop,
    /// Runs, and from there on does not even answer.
    Hangs,
    /// Shows the warden and admission two different states, from when it was told to load.
    TellsTwoStories { warden: ContainerState, admission: ContainerState },
}

/// A cell's domain.
pub(crate) struct FakeCell {
    control: SequencedCell<HeapMemory, CellControl>,
    status: SequencedCell<HeapMemory, CellStatus>,
    module: HeapMemory,
    output_regions: (HeapMemory, HeapMemory),
    pub(crate) output: Producer<HeapMemory>,
    pub(crate) script: Script,
    control_seen: CellControl,
    pub(crate) shows: CellStatus,
    /// Wakes that the domain has not followed yet.
    woken: bool,
    /// What was loaded last.
    pub(crate) loaded: Option<(CellConfiguration, Vec<u8>)>,
}

impl FakeCell {
    fn new(regions: &HashMap<String, HeapMemory>, cell: usize) -> Self {
        let region = |name: String| regions[&name].clone();
        let output_regions =
            (region(format!("cell{cell}_to_admission")), region(format!("cell{cell}_to_admission_head")));
        let mut cell = Self {
            control: SequencedCell::new(region(format!("warden_to_cell{cell}")), 0).expect("fits"),
            status: SequencedCell::new(region(format!("cell{cell}_status")), 0).expect("fits"),
            module: region(format!("cell{cell}_module")),
            output: Self::ring(&output_regions),
            output_regions,
            script: Script::Runs(Vec::new()),
            control_seen: CellControl::default(),
            shows: CellStatus::new_zeroed(),
            woken: true,
            loaded: None,
        };
        cell.shows.restart_entry = 0x1000;
        cell.show(ContainerState::Empty);
        cell
    }

    fn ring((data, head): &(HeapMemory, HeapMemory)) -> Producer<HeapMemory> {
        let geometry = output_geometry(data.size_bytes()).expect("fits");
        Producer::new(geometry, data.clone(), head.clone()).expect("fits")
    }

    /// The domain begins anew: its shared regions are scrubbed, it holds nothing.
    fn restart(&mut self) {
        let data = &self.output_regions.0;
        data.write(0, &vec![0; data.size_bytes()]).expect("fits");
        self.output = Self::ring(&self.output_regions);
        self.control_seen = CellControl::default();
        self.shows = CellStatus::new_zeroed();
        self.shows.restart_entry = 0x1000;
        self.loaded = None;
        self.show(ContainerState::Empty);
        self.woken = true;
    }

    pub(crate) fn show(&mut self, state: ContainerState) {
        self.shows.state = state.to_wire();
        self.shows.heartbeat += 1;
        self.status.write(&self.shows);
    }

    /// Writes the status as it stands in `shows`.
    pub(crate) fn show_as_it_is(&mut self) {
        self.status.write(&self.shows);
    }

    /// The warden is about to look.
    fn tell_warden(&mut self) {
        if let Script::TellsTwoStories { warden, .. } = self.script {
            self.tell(warden);
        }
    }

    /// Admission is about to look.
    fn tell_admission(&mut self) {
        if let Script::TellsTwoStories { admission, .. } = self.script {
            self.tell(admission);
        }
    }

    fn tell(&mut self, story: ContainerState) {
        if self.loaded.is_some() {
            self.show(story);
        }
    }

    pub(crate) fn fail(&mut self, reason: FailureReason, detail: &str) {
        self.shows.reason = reason.to_wire();
        self.shows.detail[..detail.len()].copy_from_slice(detail.as_bytes());
        self.shows.detail_bytes = u32::try_from(detail.len()).expect("short");
        self.show(ContainerState::Failed);
    }

    /// Writes a record if there is room.
    pub(crate) fn print(&mut self, text: &str) -> bool {
        let record = OutputRecord {
            time_ns: 5,
            generation: self.shows.generation,
            stream: Stream::Stdout,
            continues: false,
            bytes: text.as_bytes(),
        };
        let mut slot = [0; OUTPUT_SLOT_BYTES];
        let length = record.encode(&mut slot).expect("short");
        self.output.push(&slot[..length]).is_ok()
    }

    fn turn(&mut self) {
        // Containers may write from their first instruction on: nothing is loaded before somebody reads.
        if !self.output.is_connected() {
            return;
        }
        let Some(control) = self.control.try_read() else { return };
        let command = Command::from_wire(control.command).expect("the warden's word");
        let new_load = control.generation != self.control_seen.generation;
        let told = new_load || control.command != self.control_seen.command;
        self.control_seen = control;
        if !told {
            if !matches!(self.script, Script::Hangs) {
                self.shows.heartbeat += 1;
                self.show_as_it_is();
            }
            return;
        }
        if new_load {
            let entry = self.shows.restart_entry;
            self.shows =
                CellStatus { generation: control.generation, restart_entry: entry, ..CellStatus::new_zeroed() };
            self.show(ContainerState::Empty);
        }
        match command {
            Command::Idle => {}
            Command::Load => {
                self.load(&control);
            }
            Command::Run => {
                if !new_load || self.load(&control) {
                    self.run();
                }
            }
            Command::Stop => self.stop(),
        }
    }

    /// Whether it is installed then.
    fn load(&mut self, control: &CellControl) -> bool {
        let mut bytes = vec![0; control.configuration_bytes as usize];
        self.module.read(0, &mut bytes).expect("fits");
        let mut wasm = vec![0; control.module_bytes as usize];
        self.module.read(MODULE_OFFSET_BYTES, &mut wasm).expect("fits");
        self.loaded = Some((postcard::from_bytes(&bytes).expect("admission's word"), wasm));
        self.show(ContainerState::Loading);
        match self.script.clone() {
            Script::FailsToLoad(reason, detail) => {
                self.fail(reason, detail);
                false
            }
            Script::LoadsForEver => false,
            _ => {
                self.show(ContainerState::Installed);
                true
            }
        }
    }

    fn run(&mut self) {
        self.shows.started_ns = 77;
        if !matches!(self.script, Script::FailsToStart(..)) {
            self.shows.ready_ns = 78;
        }
        match self.script.clone() {
            Script::Runs(lines) => {
                self.shows.world = World::Reactor.to_wire();
                lines.iter().for_each(|line| assert!(self.print(line)));
                self.show(ContainerState::Ready);
            }
            Script::Exits(lines, code) => {
                self.shows.world = World::WasiCommand.to_wire();
                lines.iter().for_each(|line| assert!(self.print(line)));
                self.shows.exit_code = code;
                self.show(ContainerState::Finalised);
            }
            Script::FailsToStart(reason, detail) => {
                self.shows.world = World::Reactor.to_wire();
                self.fail(reason, detail);
            }
            Script::Traps(detail) => {
                self.shows.world = World::WasiCommand.to_wire();
                self.fail(FailureReason::Trap, detail);
            }
            Script::IgnoresStop | Script::Hangs | Script::TellsTwoStories { .. } => self.show(ContainerState::Running),
            Script::FailsToLoad(..) | Script::LoadsForEver => unreachable!("it is not installed"),
        }
    }

    fn stop(&mut self) {
        if !matches!(self.script, Script::IgnoresStop | Script::Hangs) {
            self.print("bye");
            self.show(ContainerState::Finalised);
        }
    }
}

/// What is to be woken, and what happened that tests ask about.
#[derive(Default)]
struct Bells {
    admission: bool,
    vmm: bool,
    warden: HashSet<u8>,
    cells: HashSet<usize>,
    restarts: Vec<usize>,
    released: Vec<u64>,
}

#[derive(Clone, Default)]
struct Shared(Rc<RefCell<Bells>>);

/// The kernel as the warden has it.
struct WardenKernel {
    now_ns: u64,
    alarm_ns: Option<u64>,
    /// How long after that again.
    alarm_period_ns: u64,
    /// It went off, and was not taken.
    alarm_is_due: bool,
    bells: Shared,
    exchange: SharedExchange,
}

impl Kernel for WardenKernel {
    fn notify(&mut self, channel: Channel) {
        let mut bells = self.bells.0.borrow_mut();
        match channel.number() {
            ADMISSION => bells.admission = true,
            cell => {
                bells.cells.insert(cell.into());
            }
        }
    }

    fn call(&mut self, channel: Channel, message: Message) -> Message {
        let label = u32::try_from(message.label).expect("small");
        if channel.number() == EXCHANGE {
            return self.exchange.called(self.now_ns, WARDEN, message);
        }
        let mut words = [0; 4];
        if channel.number() == GPIO {
            self.bells.0.borrow_mut().released.push(message.words[0]);
        } else {
            match timer::Procedure::from_wire(label).expect("known") {
                timer::Procedure::Arm => {
                    (self.alarm_ns, self.alarm_period_ns) = (Some(message.words[1]), message.words[2]);
                }
                timer::Procedure::Disarm => self.alarm_ns = None,
                timer::Procedure::Take => words[0] = u64::from(std::mem::take(&mut self.alarm_is_due)),
                timer::Procedure::Release => {}
            }
        }
        Message { words, ..gpio::Status::Ok.answer() }
    }

    fn now(&self) -> Instant {
        Instant::from_nanoseconds(self.now_ns)
    }
}

struct Domains(Shared);

impl Cells for Domains {
    fn keeps_time(&self) -> bool {
        true
    }

    fn stop(&mut self, _: usize) {}

    fn restart(&mut self, cell: usize, entry: u64) {
        assert_eq!(entry, 0x1000);
        self.0.0.borrow_mut().restarts.push(cell);
    }

    fn bind_class(&mut self, _: usize, _: usize) -> Result<(), NotScheduled> {
        Ok(())
    }

    fn bind_own(&mut self, _: usize) -> Result<(), NotScheduled> {
        Ok(())
    }

    fn set_priority(&mut self, _: usize, _: u8) -> Result<(), NotScheduled> {
        Ok(())
    }
}

/// The kernel as admission has it, with the real warden at the other end of its calls.
struct AdmissionKernel {
    warden: Warden<HeapMemory, Domains>,
    kernel: WardenKernel,
    bells: Shared,
    /// The warden answers nothing: its domain is gone.
    warden_is_gone: bool,
    /// The warden never comes back from what it does: whoever called it would wait for ever.
    warden_hangs: bool,
    /// What others do in the middle of admission's work: when it has looked at the clock so often.
    preemption: RefCell<Option<Preemption>>,
}

struct Preemption {
    looks_left: u32,
    act: Box<dyn FnOnce()>,
}

impl Kernel for AdmissionKernel {
    fn notify(&mut self, channel: Channel) {
        let mut bells = self.bells.0.borrow_mut();
        match channel.number() {
            VMM => bells.vmm = true,
            cell => {
                bells.cells.insert(cell.into());
            }
        }
    }

    fn call(&mut self, channel: Channel, message: Message) -> Message {
        if channel.number() == EXCHANGE {
            return self.kernel.exchange.called(self.kernel.now_ns, ADMISSION, message);
        }
        assert_eq!(channel.number(), WARDEN);
        assert!(!self.warden_hangs, "admission waits for ever");
        if self.warden_is_gone {
            return Message::new(runner_interfaces::kernel::CALL_FAILED);
        }
        self.warden.called(&mut self.kernel, Channel::new(ADMISSION).expect("a channel"), message)
    }

    fn now(&self) -> Instant {
        let mut preemption = self.preemption.borrow_mut();
        match preemption.as_mut().map(|preemption| &mut preemption.looks_left) {
            Some(0) => preemption.take().into_iter().for_each(|preemption| (preemption.act)()),
            Some(left) => *left -= 1,
            None => {}
        }
        self.kernel.now()
    }
}

/// The guest's side of the link.
pub(crate) struct Guest {
    pub(crate) outgoing: Producer<HeapMemory>,
    pub(crate) incoming: Consumer<HeapMemory>,
    decoders: [FrameDecoder; MAX_SESSIONS],
    /// Messages that arrived, by session.
    pub(crate) inbox: [Vec<FromNode>; MAX_SESSIONS],
    /// Sessions that the node told to close.
    pub(crate) closed: [bool; MAX_SESSIONS],
    /// Leaves what arrives in the ring.
    pub(crate) deaf: bool,
    /// A session was ended with answers under way: the last frame is cut.
    hung_up: bool,
    next_number: u32,
}

impl Guest {
    fn new(regions: &HashMap<String, HeapMemory>) -> Self {
        let region = |name: &str| regions[name].clone();
        let geometry = link_geometry(0x20000).expect("fits");
        Self {
            outgoing: Producer::new(geometry, region("vmm_to_admission"), region("vmm_to_admission_head"))
                .expect("fits"),
            incoming: Consumer::new(geometry, region("admission_to_vmm"), region("admission_to_vmm_head"))
                .expect("fits"),
            decoders: core::array::from_fn(|_| FrameDecoder::new()),
            inbox: core::array::from_fn(|_| Vec::new()),
            closed: [false; MAX_SESSIONS],
            deaf: false,
            hung_up: false,
            next_number: 1,
        }
    }

    fn read(&mut self) {
        let mut slot = [0; LINK_SLOT_BYTES];
        while let Ok(Some(length)) = self.incoming.pop(&mut slot) {
            let slot = LinkSlot::decode(&slot[..length]).expect("admission keeps the contract");
            match slot.kind {
                LinkKind::Open => panic!("admission opens no session"),
                LinkKind::Close => self.closed[slot.session] = true,
                LinkKind::Data => {
                    let mut bytes = slot.bytes;
                    while let Some(message) = self.decoders[slot.session].next_frame(&mut bytes) {
                        match message {
                            Ok(message) => self.inbox[slot.session].push(message),
                            Err(error) => assert!(self.hung_up, "admission sends whole frames: {error}"),
                        }
                    }
                }
            }
        }
    }
}

pub(crate) struct Node {
    pub(crate) regions: HashMap<String, HeapMemory>,
    pub(crate) admission: Admission<HeapMemory>,
    world: AdmissionKernel,
    pub(crate) cells: Vec<FakeCell>,
    pub(crate) guest: Guest,
    /// The test overwrites the guest's own indices; the guest then starts anew where nothing gets through any more.
    pub(crate) may_break_the_link: bool,
}

pub(crate) type Refusal = (ErrorCode, String);

impl Node {
    pub(crate) fn new() -> Self {
        Self::with_policy(&policy(), true)
    }

    /// What admission finds of itself.
    pub(crate) fn self_test(&mut self) -> runner_interfaces::boot_report::Finding {
        self.admission.self_test(&mut self.world)
    }

    pub(crate) fn with_policy(policy: &BoardPolicy, whole: bool) -> Self {
        Self::with_keys(policy, whole, &KeyTable::default().encode().expect("fits"))
    }

    /// One whose image has `keys` where the key table belongs.
    pub(crate) fn with_keys(policy: &BoardPolicy, whole: bool, keys: &[u8]) -> Self {
        let regions = regions();
        regions["keys"].write(0, keys).expect("fits");
        let names = postcard::to_allocvec(policy).expect("fits");
        let limits = BoardLimits {
            magic: if whole { POLICY_MAGIC } else { 0 },
            names_bytes: u32::try_from(names.len()).expect("short"),
            ..board_limits()
        };
        regions["policy"].write_value(0, &limits).expect("fits");
        regions["policy"].write(POLICY_NAMES_OFFSET_BYTES, &names).expect("fits");
        Self::in_regions(regions)
    }

    fn in_regions(regions: HashMap<String, HeapMemory>) -> Self {
        let bells = Shared::default();
        let cells = (0..CELLS).map(|cell| FakeCell::new(&regions, cell)).collect();
        let warden =
            Warden::new(&DomainWiring { regions: &regions, warden: true }, Domains(bells.clone())).expect("complete");
        let options =
            Options { substrate: "test node".into(), fault_name: |kind| if kind == 6 { "VM fault" } else { "" } };
        let admission = Admission::new(&DomainWiring { regions: &regions, warden: false }, options).expect("complete");
        let exchange = Exchange::new(&ExchangeWiring(regions.clone())).expect("complete");
        let exchange = SharedExchange(Rc::new(RefCell::new(exchange)));
        let kernel = WardenKernel {
            now_ns: 1_000_000,
            alarm_ns: None,
            alarm_period_ns: 0,
            alarm_is_due: false,
            bells: bells.clone(),
            exchange,
        };
        let guest = Guest::new(&regions);
        let world = AdmissionKernel {
            warden,
            kernel,
            bells,
            warden_is_gone: false,
            warden_hangs: false,
            preemption: RefCell::default(),
        };
        let mut node = Self { regions, admission, world, cells, guest, may_break_the_link: false };
        node.world.warden.start(&mut node.world.kernel);
        node.admission.start(&mut node.world);
        node.wake_everybody();
        node.run();
        node
    }

    pub(crate) fn wake_everybody(&mut self) {
        let mut bells = self.world.bells.0.borrow_mut();
        bells.admission = true;
        bells.cells.extend(0..CELLS);
    }

    /// The guest's end of the link begins anew, as after a restart of its domain.
    pub(crate) fn restart_guest(&mut self) {
        self.guest = Guest::new(&self.regions);
        self.wake_everybody();
        self.run();
    }

    /// Lets everybody who was notified run, until nobody is.
    pub(crate) fn run(&mut self) {
        for _ in 0..100_000 {
            if !self.step() {
                return;
            }
        }
        panic!("the node does not come to rest");
    }

    fn step(&mut self) -> bool {
        let bells = core::mem::take(&mut *self.world.bells.0.borrow_mut());
        let mut busy = bells.admission || bells.vmm || !bells.warden.is_empty();
        for cell in bells.restarts {
            busy = true;
            self.cells[cell].restart();
        }
        self.world.bells.0.borrow_mut().released = bells.released;
        for cell in bells.cells {
            self.cells[cell].woken = true;
        }
        for (number, cell) in self.cells.iter_mut().enumerate().filter(|(_, cell)| cell.woken) {
            cell.woken = false;
            busy = true;
            cell.turn();
            let mut bells = self.world.bells.0.borrow_mut();
            bells.warden.insert(u8::try_from(number).expect("small"));
            if cell.output.take_notification_due() || cell.shows.state != 0 {
                bells.admission = true;
            }
        }
        self.cells.iter_mut().for_each(FakeCell::tell_warden);
        for channel in bells.warden {
            let channels = ChannelSet::default().with(Channel::new(channel).expect("a channel"));
            self.world.warden.notified(&mut self.world.kernel, channels);
        }
        if bells.admission {
            self.cells.iter_mut().for_each(FakeCell::tell_admission);
            ADMISSION_RUNS.store(true, Ordering::Relaxed);
            self.admission.notified(&mut self.world, ChannelSet::default());
            ADMISSION_RUNS.store(false, Ordering::Relaxed);
        }
        if !self.guest.deaf {
            self.guest.read();
            let due = self.guest.incoming.take_notification_due();
            if self.guest.outgoing.take_notification_due() || due {
                self.world.bells.0.borrow_mut().admission = true;
                busy = true;
            }
        }
        busy
    }

    /// When admission has looked at the clock so often from now on, a cell traps and the warden gives the update in it up: both are more
    /// urgent than admission and may come between any two of its instructions.
    #[allow(dead_code, reason = "the test of the heap does not ask")]
    pub(crate) fn trap_in_probation_behind(&mut self, looks: u32, cell: usize, detail: &str) {
        let mut status = SequencedCell::new(self.regions[&format!("cell{cell}_status")].clone(), 0).expect("fits");
        let mut table = SequencedCell::new(self.regions["warden_status"].clone(), 0).expect("fits");
        let mut shows = self.cells[cell].shows;
        shows.state = ContainerState::Failed.to_wire();
        shows.reason = FailureReason::Trap.to_wire();
        shows.detail[..detail.len()].copy_from_slice(detail.as_bytes());
        shows.detail_bytes = u32::try_from(detail.len()).expect("short");
        let mut shown = self.table();
        shown.cells[cell].succession = Succession::RolledBack.to_wire();
        let act = Box::new(move || {
            status.write(&shows);
            table.write(&shown);
        });
        self.world.preemption.replace(Some(Preemption { looks_left: looks, act }));
    }

    /// Whether that has not happened so far.
    #[allow(dead_code, reason = "the test of the heap does not ask")]
    pub(crate) fn is_to_be_preempted(&self) -> bool {
        self.world.preemption.borrow().is_some()
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.world.kernel.now_ns
    }

    /// Lets the time pass, waking the warden whenever its alarm goes off.
    pub(crate) fn pass(&mut self, nanoseconds: u64) {
        let until_ns = self.world.kernel.now_ns + nanoseconds;
        while let Some(alarm_ns) = self.world.kernel.alarm_ns.filter(|alarm_ns| *alarm_ns <= until_ns) {
            self.world.kernel.now_ns = self.world.kernel.now_ns.max(alarm_ns);
            self.world.kernel.alarm_ns = Some(alarm_ns + self.world.kernel.alarm_period_ns);
            self.world.kernel.alarm_is_due = true;
            self.world.bells.0.borrow_mut().warden.insert(TIMER);
            self.run();
        }
        self.world.kernel.now_ns = until_ns;
    }

    pub(crate) fn fault(&mut self, cell: usize) {
        let fault = Fault { kind: 6, instruction: 0x1234, address: 0xdead, syndrome: 0x9200_0046 };
        self.world.warden.faulted(&mut self.world.kernel, cell, fault);
        self.run();
    }

    /// The warden stands still, or comes round again, and the timer shows it.
    #[allow(dead_code, reason = "the test of the heap does not ask")]
    pub(crate) fn hold_warden(&mut self, hangs: bool) {
        self.world.warden_hangs = hangs;
        let mut status = timer::TimerStatus::new_zeroed();
        status.warden_stalls = 1;
        status.warden_still_since_ns = if hangs { self.now_ns() } else { 0 };
        SequencedCell::new(self.regions["timer_status"].clone(), 0).expect("fits").write(&status);
    }

    pub(crate) fn lose_warden(&mut self) {
        self.world.warden_is_gone = true;
    }

    /// Puts a slot into the link, whatever it holds, waiting for room as a guest would.
    pub(crate) fn send_slot(&mut self, slot: &[u8]) {
        for _ in 0..100 {
            if self.guest.outgoing.push(slot).is_ok() {
                self.world.bells.0.borrow_mut().admission = true;
                return;
            }
            self.world.bells.0.borrow_mut().admission = true;
            self.run();
        }
        assert!(self.may_break_the_link, "the link stays full");
        self.restart_guest();
    }

    pub(crate) fn send_link(&mut self, session: usize, kind: LinkKind, bytes: &[u8]) {
        let mut slot = [0; LINK_SLOT_BYTES];
        let length = LinkSlot { session, kind, bytes }.encode(&mut slot).expect("fits");
        self.send_slot(&slot[..length]);
    }

    pub(crate) fn send_bytes(&mut self, session: usize, bytes: &[u8]) {
        for piece in bytes.chunks(LINK_PAYLOAD_BYTES) {
            self.send_link(session, LinkKind::Data, piece);
        }
    }

    pub(crate) fn send(&mut self, session: usize, message: &FromAgent) {
        self.send_bytes(session, &frame::encode(message).expect("fits"));
    }

    /// Opens the session without greeting.
    pub(crate) fn open(&mut self, session: usize) {
        self.guest.closed[session] = false;
        self.guest.inbox[session].clear();
        self.send_link(session, LinkKind::Open, &[]);
    }

    pub(crate) fn hang_up(&mut self, session: usize) {
        self.guest.hung_up |= self.guest.deaf;
        self.send_link(session, LinkKind::Close, &[]);
        self.run();
    }

    /// Opens and greets.
    pub(crate) fn greet(&mut self, session: usize) {
        self.open(session);
        self.send(session, &hello(PROTOCOL_MAJOR));
        self.run();
        let welcome = FromNode::Welcome { major: PROTOCOL_MAJOR, minor: PROTOCOL_MINOR };
        assert_eq!(self.take_messages(session), [welcome]);
    }

    pub(crate) fn take_messages(&mut self, session: usize) -> Vec<FromNode> {
        core::mem::take(&mut self.guest.inbox[session])
    }

    /// Sends a request and answers its number; the node has not run yet.
    pub(crate) fn begin(&mut self, session: usize, request: Request) -> u32 {
        let number = self.guest.next_number;
        self.guest.next_number += 1;
        self.send(session, &FromAgent::Request { number, request });
        number
    }

    /// The answer to that request, if it came.
    pub(crate) fn answer(&mut self, session: usize, number: u32) -> Option<Result<Answer, Refusal>> {
        let inbox = &mut self.guest.inbox[session];
        let position = inbox.iter().position(|message| match message {
            FromNode::Answer { number: found, .. } | FromNode::Failure { number: found, .. } => *found == number,
            _ => false,
        })?;
        Some(match inbox.remove(position) {
            FromNode::Answer { answer, .. } => Ok(answer),
            FromNode::Failure { code, detail, .. } => Err((code, detail)),
            _ => unreachable!("was filtered"),
        })
    }

    /// Sends a request, lets the node run, and answers what it said.
    pub(crate) fn ask(&mut self, session: usize, request: Request) -> Result<Answer, Refusal> {
        let number = self.begin(session, request);
        self.run();
        self.answer(session, number).expect("an answer")
    }

    pub(crate) fn refusal(&mut self, session: usize, request: Request) -> Refusal {
        self.ask(session, request).expect_err("refused")
    }

    pub(crate) fn report(&mut self, session: usize, request: Request) -> ContainerReport {
        match self.ask(session, request) {
            Ok(Answer::Container(report)) => *report,
            other => panic!("expected a container, got {other:?}"),
        }
    }

    pub(crate) fn info(&mut self, session: usize) -> NodeReport {
        match self.ask(session, Request::Info) {
            Ok(Answer::Info(report)) => *report,
            other => panic!("expected the node, got {other:?}"),
        }
    }

    pub(crate) fn counter(&mut self, session: usize, name: &str) -> u64 {
        let counters = self.info(session).counters;
        counters.into_iter().find(|(found, _)| found == name).unwrap_or_else(|| panic!("no counter {name}")).1
    }

    pub(crate) fn list(&mut self, session: usize) -> Vec<ContainerReport> {
        match self.ask(session, Request::List) {
            Ok(Answer::Containers(reports)) => reports,
            other => panic!("expected a list, got {other:?}"),
        }
    }

    /// Announces and sends all chunks; the commit is left.
    pub(crate) fn upload(&mut self, session: usize, request: DeployRequest, wasm: &[u8]) -> Result<(), Refusal> {
        let Answer::Ready { credit } = self.ask(session, Request::Deploy(request))? else { panic!("expected Ready") };
        assert!(credit > 0);
        self.send_chunks(session, wasm)
    }

    /// Sends all chunks of what was announced.
    pub(crate) fn send_chunks(&mut self, session: usize, wasm: &[u8]) -> Result<(), Refusal> {
        let mut sent = 0;
        for (sequence, chunk) in (0..).zip(wasm.chunks(CHUNK_BYTES)) {
            sent += chunk.len();
            let answer = self.ask(session, Request::Chunk { sequence, bytes: chunk.to_vec() })?;
            assert_eq!(answer, Answer::Acknowledged { sequence, received: u32::try_from(sent).expect("small") });
        }
        Ok(())
    }

    pub(crate) fn deploy(
        &mut self,
        session: usize,
        request: DeployRequest,
        wasm: &[u8],
    ) -> Result<ContainerReport, Refusal> {
        self.upload(session, request, wasm)?;
        match self.ask(session, Request::Commit)? {
            Answer::Container(report) => Ok(*report),
            other => panic!("expected a container, got {other:?}"),
        }
    }

    /// A container of that name that runs, in the first free cell.
    pub(crate) fn deploy_running(&mut self, session: usize, name: &str) -> ContainerReport {
        let wasm = reactor();
        self.deploy(session, DeployRequest { start: true, ..request(name, &wasm) }, &wasm).expect("deployed")
    }

    pub(crate) fn table(&self) -> WardenTable {
        SequencedCell::new(self.regions["warden_status"].clone(), 0).expect("fits").try_read().expect("published")
    }

    pub(crate) fn requested(&self, cell: usize) -> CellGrants {
        let offset = runner_interfaces::grants::grant_offset_bytes(cell).expect("in the table");
        self.regions["admission_to_warden"].read_value(offset).expect("fits")
    }

    /// A cell's call of the exchange.
    pub(crate) fn exchange(&mut self, cell: usize, message: Message) -> Message {
        let now_ns = self.world.kernel.now_ns;
        self.world.kernel.exchange.called(now_ns, u8::try_from(cell).expect("small"), message)
    }

    /// What the warden told that cell last.
    pub(crate) fn control(&self, cell: usize) -> CellControl {
        self.cells[cell].control_seen
    }

    pub(crate) fn line_counts(&self) -> gpio::LineCountsTable<HeapMemory> {
        gpio::LineCountsTable::new(self.regions["gpio_status"].clone()).expect("fits")
    }

    pub(crate) fn show_gpio(&self, status: &GpioStatus) {
        SequencedCell::new(self.regions["gpio_status"].clone(), 0).expect("fits").write(status);
    }

    /// The timer's domain shows that it refused so many calls of the first cells.
    #[allow(dead_code, reason = "the test of the heap does not ask")]
    pub(crate) fn refuse_timers(&self, calls: [u64; CELLS]) {
        let mut status = timer::TimerStatus::new_zeroed();
        status.refused = calls.iter().sum();
        status.refused_by_cell[..CELLS].copy_from_slice(&calls);
        SequencedCell::new(self.regions["timer_status"].clone(), 0).expect("fits").write(&status);
    }

    /// Nothing of a container is left in that cell: neither bytes, nor rights, nor a load.
    pub(crate) fn assert_clean(&mut self, cell: usize) {
        let mut bytes = vec![0; self.regions[&format!("cell{cell}_module")].size_bytes()];
        self.regions[&format!("cell{cell}_module")].read(0, &mut bytes).expect("fits");
        assert!(bytes.iter().all(|byte| *byte == 0), "bytes are left in cell {cell}");
        assert_eq!(self.requested(cell), CellGrants::default());
        assert_eq!(self.table().cells[cell].grants, CellGrants::default());
        assert_eq!(self.cells[cell].control_seen.command, Command::Idle.to_wire());
    }
}

/// More than any test writes.
const LOG_RATE: u32 = 1_000_000;

/// Why admission does not start where that region is missing.
pub(crate) fn start_without(region: &str) -> StartError {
    let mut regions = regions();
    regions.remove(region).expect("was there");
    start_in(&regions)
}

/// Why admission does not start where that region is too small for anything.
pub(crate) fn start_with_tiny(region: &str) -> StartError {
    let mut regions = regions();
    regions.insert(region.to_owned(), HeapMemory::new(4));
    start_in(&regions)
}

fn start_in(regions: &HashMap<String, HeapMemory>) -> StartError {
    let options = Options { substrate: String::new(), fault_name: |_| "" };
    Admission::new(&DomainWiring { regions, warden: false }, options).err().expect("incomplete")
}

pub(crate) fn hello(major: u16) -> FromAgent {
    FromAgent::Hello { magic: HELLO_MAGIC, major, minor: PROTOCOL_MINOR }
}

pub(crate) fn request(name: &str, wasm: &[u8]) -> DeployRequest {
    DeployRequest {
        name: name.into(),
        size: u32::try_from(wasm.len()).expect("small"),
        sha256: sha2::Sha256::digest(wasm).into(),
        grants: Vec::new(),
        arguments: Vec::new(),
        environment: Vec::new(),
        start: false,
        attached: false,
    }
}

/// A reactor of a little more than two chunks.
pub(crate) fn reactor() -> Vec<u8> {
    let data = "a".repeat(2 * CHUNK_BYTES);
    wat::parse_str(format!(
        r#"(module (memory 1) (data "{data}")
            (func (export "on-start")) (func (export "on-loop")) (func (export "on-stop")))"#
    ))
    .expect("valid")
}

pub(crate) fn policy() -> BoardPolicy {
    let line = |label: &str, line, output, input, edges| BoardLine {
        label: label.into(),
        line,
        output,
        input,
        edges,
        most_per_second: 1000,
        default_per_second: 100,
    };
    BoardPolicy {
        board: "test board".into(),
        lines: vec![
            line("LED", 0, true, false, false),
            line("BUTTON", 3, false, true, true),
            line("VALVE", 6, false, false, false),
        ],
        default_minimum_period_ns: 10_000_000,
        default_timers: 7,
        devices: vec![
            BoardDevice { label: "thermometer".into(), first: 0x48, last: 0x49, allowed: true },
            BoardDevice { label: "charger".into(), first: 0x6b, last: 0x6b, allowed: false },
        ],
        default_memory_bytes: 1024 * 1024,
        default_module_bytes: MODULE_LIMIT.into(),
        default_log_per_second: LOG_RATE,
        node_allowed: true,
        node_by_default: true,
        channels: None,
        allow_unsigned: true,
        time: Some(time()),
        most_cpu_percent: 60,
        most_urgency: runner_container::Urgency::Critical as u32,
    }
}

/// A node that costs something: ticks and the domains above the cells take 10 %, and everything else a little.
pub(crate) fn time() -> BoardTime {
    let activity =
        |name: &str, budget_ns, period_ns| BoardActivity { name: name.into(), budget_ns, period_ns, jitter_ns: 0 };
    BoardTime {
        tick_ns: 1_000_000,
        tick_jitter_ns: 20_000,
        event_jitter_ns: 50_000,
        switch_ns: 5_000,
        slice_ns: 0,
        fuel_ns: 0,
        turn_ns: 0,
        blocking_ns: 10_000,
        call_ns: [20_000, 10_000, 10_000, 30_000],
        default_calls: 2,
        system: vec![activity("tick", 50_000, 1_000_000), activity("warden", 100_000, 2_000_000)],
        taken_ppm: 100_000,
    }
}

/// Classes as the pool of `system.xml` has them, fewer of each. The cells' own priorities are 107 to 110.
pub(crate) fn shares() -> Shares {
    let mut shares = Shares::default();
    let classes = [(100, 1000), (300, 1000), (300, 1000), (400, 2000), (1000, 5000), (1500, 5000), (3000, 10000)];
    for ((share, (budget_us, period_us)), badge) in shares.classes.iter_mut().zip(classes).zip(0x120..) {
        *share = Share { budget_us, period_us, badge, ..Share::default() };
    }
    for (share, priority) in shares.cells[..CELLS].iter_mut().zip((107..=110).rev()) {
        *share = Share { budget_us: 700, period_us: 10_000, badge: 0x100 + priority, priority, core: 0 };
    }
    shares
}

fn board_limits() -> BoardLimits {
    BoardLimits {
        ceiling: CellGrants {
            output_lines: 0b0001,
            input_lines: 0b1000,
            edge_lines: 0b1000,
            active_low_lines: 0,
            minimum_period_ns: 1_000_000,
            i2c_addresses: CellGrants::i2c_range(0x48, 0x49),
            timers: 7,
            generation: 0,
        },
        module_limit_bytes: MODULE_LIMIT,
        memory_limit_bytes: 1024 * 1024,
        table_limit_elements: 100,
        hook_limit_us: u32::try_from(HOOK_NS / 1000).expect("small"),
        load_limit_us: u32::try_from(HOOK_NS / 1000).expect("small"),
        log_limit_per_second: LOG_RATE,
        rates: LineRates::all(1000),
        shares: shares(),
        ..BoardLimits::default()
    }
}
