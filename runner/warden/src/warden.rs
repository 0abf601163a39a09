//! The warden's procedures, and what it does on its own: deadlines, heartbeats, faults.

use core::fmt;

use runner_interfaces::{
    MAX_CELLS,
    boot_report::Finding,
    cell::{CellControl, Command, MODULE_OFFSET_BYTES},
    exchange, gpio,
    grants::{CellGrants, LineRates, grant_offset_bytes},
    kernel::{
        Channel, ChannelSet, Domain, Instant, Kernel, Message, MissingWiring, Wiring, required_channel, required_region,
    },
    plan::{EndCause, LoadRequest},
    policy::{BoardLimits, POLICY_MAGIC},
    scheduling::Shares,
    timer::{self, CONTAINER_TIMERS, EXECUTOR_TIMER},
    warden::{
        CELL_OUT_OF_SERVICE, CELL_PRESENT, Intervention, Procedure, Reached, Succession, WardenStatus, WardenTable,
    },
};
use shared_ring::{OutOfRange, SequencedCell, SharedMemory, SharedValues};

use crate::{
    cell::{Assignment, Cell, CellMemory, End, Health, NextStart},
    floods::Callers,
    phase::{LOOK_PERIOD_NS, Phase, deadline},
    scheduling::{NotScheduled, Pool},
    symbols,
};

/// How often a domain that has nothing loaded may fault in a row before it is left stopped: three times is no accident, and
/// a domain that faults at once would otherwise keep the warden busy for ever.
pub const IDLE_FAULT_LIMIT: u32 = 3;

/// What the substrate does to a cell's domain. Both return when it is done.
pub trait Cells {
    /// The domain executes nothing any more, not even the rest of a call.
    fn stop(&mut self, cell: usize);

    /// The stopped domain begins anew at `entry`, with its own memory as the boot image had it. `entry` is what the cell's
    /// status said before the first load (0 where the substrate needs none).
    fn restart(&mut self, cell: usize, entry: u64);

    /// From now on the domain uses the budget of that class of the pool, which no other does. Its own stays unused.
    ///
    /// # Errors
    /// The kernel refused; the domain is as it was.
    fn bind_class(&mut self, cell: usize, class: usize) -> Result<(), NotScheduled>;

    /// The domain uses the budget that `system.xml` gives it, as at the start.
    ///
    /// # Errors
    /// The kernel refused.
    fn bind_own(&mut self, cell: usize) -> Result<(), NotScheduled>;

    /// Whether processor time here is what the board's policy says of it. Where it is not, nobody is ended for how much of it calls took.
    fn keeps_time(&self) -> bool;

    /// The domain has that priority, one of [`runner_interfaces::scheduling::CELL_PRIORITIES`].
    ///
    /// # Errors
    /// The kernel refused; the domain is as it was.
    fn set_priority(&mut self, cell: usize, priority: u8) -> Result<(), NotScheduled>;
}

/// What the kernel says about a domain that faulted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// The substrate's own number: seL4's fault label, or the signal on the host.
    pub kind: u64,
    /// Instruction pointer, 0 where not known.
    pub instruction: u64,
    /// The address that was accessed, 0 where not known.
    pub address: u64,
    /// The exception syndrome register, 0 where there is none.
    pub syndrome: u64,
}

/// Why there is no warden: a fault of `system.xml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartError {
    /// A channel or a region is missing.
    Missing(MissingWiring),
    /// The region of that symbol is too small for what lies in it.
    RegionTooSmall(&'static str),
}

impl fmt::Display for StartError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(missing) => missing.fmt(formatter),
            Self::RegionTooSmall(symbol) => write!(formatter, "the region of `{symbol}` is too small"),
        }
    }
}

impl core::error::Error for StartError {}

impl From<MissingWiring> for StartError {
    fn from(missing: MissingWiring) -> Self {
        Self::Missing(missing)
    }
}

/// The board's limits in the warden's units.
#[derive(Clone, Copy, Debug)]
struct Limits {
    ceiling: CellGrants,
    rates: LineRates,
    module_bytes: u32,
    memory_bytes: u32,
    table_elements: u32,
    hook_us: u32,
    load_us: u32,
    shares: Shares,
}

impl Limits {
    /// `None` where the region does not begin as a policy of this layout: the warden then loads nothing.
    fn read<M: SharedMemory>(policy: &M) -> Option<Self> {
        let limits: BoardLimits = policy.read_value(0).ok()?;
        if limits.magic != POLICY_MAGIC {
            return None;
        }
        let timers = limits.ceiling.timers.min((*CONTAINER_TIMERS.end()).into());
        Some(Self {
            ceiling: CellGrants { timers, ..limits.ceiling },
            rates: limits.rates,
            module_bytes: limits.module_limit_bytes,
            memory_bytes: limits.memory_limit_bytes,
            table_elements: limits.table_limit_elements,
            hook_us: limits.hook_limit_us,
            load_us: limits.load_limit_us,
            shares: limits.shares,
        })
    }

    /// What is asked for, as far as the board allows it.
    fn allow(&self, asked: LoadRequest) -> LoadRequest {
        LoadRequest {
            grants: asked.grants.intersection(self.ceiling),
            plan: asked.plan.within(self.hook_us, self.memory_bytes),
            rates: asked.rates.intersection(&self.rates),
        }
    }

    /// Compiling alone; the start function behind it has a hook's time.
    fn load_ns(&self) -> u64 {
        u64::from(self.load_us) * 1_000
    }
}

/// The timer that brings the warden round without anybody's notification. It repeats by itself, so that a look which finds nothing costs
/// one call of `timer`.
#[derive(Clone, Copy, Debug, Default)]
struct Alarm {
    /// When it expires next, and how long after that again, in nanoseconds.
    armed_for: Option<(Instant, u64)>,
    last_look: Instant,
}

impl Alarm {
    /// Takes what `timer` answered to [`timer::Procedure::Take`] into account: how often it expired.
    fn expired(&mut self, answer: &Message) {
        let [timers, coalesced, ..] = answer.words;
        let taken = timer::Status::of(answer) == timer::Status::Ok;
        let Some((at, period_ns)) = self.armed_for.filter(|_| taken && timers & (1 << EXECUTOR_TIMER) != 0) else {
            return;
        };
        self.last_look = at.saturating_add(period_ns.saturating_mul(coalesced));
        self.armed_for = Some((self.last_look.saturating_add(period_ns), period_ns));
    }
}

/// See the crate's documentation.
pub struct Warden<M, C> {
    limits: Option<Limits>,
    pub(crate) cells: [Option<Cell<M>>; MAX_CELLS],
    pub(crate) pool: Pool,
    pub(crate) substrate: C,
    requests: M,
    status: SequencedCell<M, WardenTable>,
    pub(crate) table: WardenTable,
    /// The table differs from what is published.
    pub(crate) changed: bool,
    /// `admission` has something to look at.
    pub(crate) news: bool,
    alarm: Alarm,
    pub(crate) callers: Callers<M>,
    pub(crate) gpio: Channel,
    timer: Channel,
    exchange: Channel,
    admission: Channel,
}

impl<M: SharedMemory + Clone, C: Cells> Warden<M, C> {
    /// Takes its channels and regions from `wiring`. A cell is there if its channel is.
    pub fn new<W: Wiring<Memory = M>>(wiring: &W, substrate: C) -> Result<Self, StartError> {
        let status = SequencedCell::new(required_region(wiring, "region_status")?, 0)
            .map_err(|OutOfRange| StartError::RegionTooSmall("region_status"))?;
        let mut cells = [const { None }; MAX_CELLS];
        let mut table = WardenTable::default();
        for (number, slot) in cells.iter_mut().enumerate() {
            *slot = find_cell(wiring, number)?;
            table.cells[number].present = if slot.is_some() { CELL_PRESENT } else { 0 };
        }
        Ok(Self {
            limits: Limits::read(&required_region(wiring, "region_policy")?),
            cells,
            pool: Pool::default(),
            substrate,
            requests: required_region(wiring, "region_requests")?,
            status,
            table,
            changed: true,
            news: false,
            alarm: Alarm::default(),
            callers: Callers::new(wiring)?,
            gpio: required_channel(wiring, "channel_gpio")?,
            timer: required_channel(wiring, "channel_timer")?,
            exchange: required_channel(wiring, "channel_exchange")?,
            admission: required_channel(wiring, "channel_admission")?,
        })
    }

    /// Whether the image holds a board policy that this warden can read. Without one it loads nothing.
    pub fn has_policy(&self) -> bool {
        self.limits.is_some()
    }

    /// What the image has of the processor for cells; `None` without a policy.
    pub fn shares(&self) -> Option<&Shares> {
        self.limits.as_ref().map(|limits| &limits.shares)
    }

    /// The substrate that was given to [`Self::new`].
    pub fn substrate_mut(&mut self) -> &mut C {
        &mut self.substrate
    }

    /// The domain of `cell` faulted: records it, and starts the cell clean. The shell must not resume the domain itself.
    pub fn faulted<K: Kernel>(&mut self, kernel: &mut K, cell: usize, fault: Fault) {
        let Some(found) = self.cells.get_mut(cell).and_then(Option::as_mut) else {
            self.count_invalid();
            self.settle(kernel);
            return;
        };
        let shown = &mut self.table.cells[cell];
        shown.faults = shown.faults.saturating_add(1);
        shown.fault_kind = fault.kind;
        shown.fault_instruction = fault.instruction;
        shown.fault_address = fault.address;
        shown.fault_syndrome = fault.syndrome;
        if found.pristine {
            found.idle_faults = found.idle_faults.saturating_add(1);
            self.restart_clean(kernel, cell);
        } else {
            self.intervene(kernel, cell, Intervention::Fault);
        }
        self.settle(kernel);
    }

    fn serve<K: Kernel>(&mut self, kernel: &mut K, message: Message) -> Result<u64, WardenStatus> {
        let procedure =
            u32::try_from(message.label).ok().and_then(Procedure::from_wire).ok_or(WardenStatus::Invalid)?;
        let number = self.present(message.words[0])?;
        if procedure != Procedure::Release {
            // What the cell said last decides in which state it is.
            self.look_at(kernel, number);
            // Who was to replace another, or to be replaced, and has just ended, is so no longer before its cell holds another.
            self.advance_heirs(kernel);
        }
        match procedure {
            Procedure::Load => self.load(kernel, number, message.words),
            Procedure::Run => self.run(kernel, number),
            Procedure::Stop => self.stop(kernel, number),
            Procedure::Kill => self.kill(kernel, number),
            Procedure::Release => self.release(kernel, number),
            Procedure::Succeed => self.succeed(kernel, message.words),
        }
    }

    pub(crate) fn present(&self, word: u64) -> Result<usize, WardenStatus> {
        let number = usize::try_from(word).map_err(|_| WardenStatus::NoSuchCell)?;
        match self.cells.get(number) {
            Some(Some(_)) => Ok(number),
            _ => Err(WardenStatus::NoSuchCell),
        }
    }

    fn load<K: Kernel>(&mut self, kernel: &mut K, number: usize, words: [u64; 4]) -> Result<u64, WardenStatus> {
        let limits = self.limits.ok_or(WardenStatus::Invalid)?;
        let [_, configuration, module, run] = words;
        let configuration_bytes = size_within(configuration, MODULE_OFFSET_BYTES as u64)?;
        let module_bytes = size_within(module, u64::from(limits.module_bytes))?;
        let run = flag(run)?;
        let cell = self.cell(number);
        cell.learn_entry();
        // Without the entry the domain could never be started clean again.
        if cell.phase.is_live() || cell.entry.is_none() || self.table.cells[number].present != CELL_PRESENT {
            return Err(WardenStatus::WrongState);
        }
        if !self.cell(number).pristine {
            self.restart_clean(kernel, number);
        }
        let LoadRequest { grants, plan, rates } = limits.allow(self.requested(number));
        self.check_class(number, plan.class, plan.priority)?;
        let cell = self.cell(number);
        // The cell is clean, so it has no grants. What is written here stays as long as the assignment does.
        cell.write_rates(&rates);
        cell.assignment = Assignment { grants, plan, configuration_bytes, module_bytes, in_a_row: 0, begun: None };
        let shown = &mut self.table.cells[number];
        (shown.new_starts, shown.given_up) = (0, 0);
        Ok(u64::from(self.assign(kernel, number, limits, run)))
    }

    /// Has a clean cell load what it was assigned, and answers the load's generation.
    fn assign<K: Kernel>(&mut self, kernel: &mut K, number: usize, limits: Limits, run: bool) -> u32 {
        let generation = self.cell(number).next_generation();
        let Assignment { grants, plan, configuration_bytes, module_bytes, .. } = self.cell(number).assignment;
        self.place(number, CellGrants { generation, ..grants });
        let control = CellControl {
            generation,
            command: if run { Command::Run } else { Command::Load }.to_wire(),
            configuration_bytes,
            module_bytes,
            memory_limit_bytes: plan.memory_limit_bytes,
            table_limit_elements: limits.table_elements,
            load_limit_us: limits.load_us,
            start_limit_us: plan.start_limit_us,
            loop_limit_us: plan.loop_limit_us,
            stop_limit_us: plan.stop_limit_us,
            loops_limit: plan.loops,
            schedule: plan.schedule,
            ..CellControl::default()
        };
        let now = kernel.now();
        let cell = self.cell(number);
        cell.pristine = false;
        cell.idle_faults = 0;
        cell.assignment.begun = None;
        cell.write_control(control);
        cell.reset_pulse(now);
        let start_ns = u64::from(plan.start_limit_us) * 1_000;
        cell.phase = Phase::Loading { deadline: deadline(now, limits.load_ns() + start_ns), run };
        kernel.notify(cell.channel);
        generation
    }

    /// The wait before a new start is over.
    fn start_again<K: Kernel>(&mut self, kernel: &mut K, number: usize) {
        let Some(limits) = self.limits else { return };
        if !self.cell(number).pristine {
            self.restart_clean(kernel, number);
        }
        if self.table.cells[number].present != CELL_PRESENT {
            return;
        }
        let cell = self.cell(number);
        cell.assignment.in_a_row = cell.assignment.in_a_row.saturating_add(1);
        let shown = &mut self.table.cells[number];
        shown.new_starts = shown.new_starts.saturating_add(1);
        self.assign(kernel, number, limits, true);
        self.news = true;
    }

    /// Puts `grants` in force and shows them as the cell's new load.
    fn place(&mut self, number: usize, grants: CellGrants) {
        self.cell(number).write_grants(&grants);
        let shown = &mut self.table.cells[number];
        shown.generation = grants.generation;
        shown.intervention = Intervention::None.to_wire();
        shown.next_start_ns = 0;
        shown.reached = Reached::Nothing.to_wire();
        shown.exhausted = 0;
        shown.succession = Succession::None.to_wire();
        shown.grants = grants;
        self.changed = true;
    }

    /// What `admission` asks for the cell. It waits in its call, so nobody writes there meanwhile; and if it does, what it
    /// gains is another request.
    fn requested(&self, number: usize) -> LoadRequest {
        grant_offset_bytes(number).and_then(|offset| self.requests.read_value(offset).ok()).unwrap_or_default()
    }

    fn run<K: Kernel>(&mut self, kernel: &mut K, number: usize) -> Result<u64, WardenStatus> {
        let now = kernel.now();
        let cell = self.cell(number);
        let start_ns = u64::from(cell.assignment.plan.start_limit_us) * 1_000;
        cell.phase = match cell.phase {
            Phase::Loading { deadline, run: false } => Phase::Loading { deadline, run: true },
            Phase::Installed => Phase::Starting { deadline: deadline(now, start_ns) },
            _ => return Err(WardenStatus::WrongState),
        };
        cell.write_command(Command::Run);
        kernel.notify(cell.channel);
        Ok(0)
    }

    fn stop<K: Kernel>(&mut self, kernel: &mut K, number: usize) -> Result<u64, WardenStatus> {
        match self.cell(number).phase {
            Phase::Empty => return Err(WardenStatus::WrongState),
            // Asked twice: the first deadline stands. Ended already: there is nothing to do.
            Phase::Stopping { .. } | Phase::Ended => {}
            Phase::BackOff { .. } => self.cancel_next_start(number),
            Phase::Loading { .. } | Phase::Installed | Phase::Starting { .. } | Phase::Active { .. } => {
                self.order_stop(kernel, number, EndCause::Stopped);
            }
        }
        Ok(0)
    }

    pub(crate) fn order_stop<K: Kernel>(&mut self, kernel: &mut K, number: usize, cause: EndCause) {
        let now = kernel.now();
        let cell = self.cell(number);
        let stop_ns = u64::from(cell.assignment.plan.stop_limit_us) * 1_000;
        cell.phase = Phase::Stopping { deadline: deadline(now, stop_ns) };
        cell.write_stop(cause);
        kernel.notify(cell.channel);
    }

    fn kill<K: Kernel>(&mut self, kernel: &mut K, number: usize) -> Result<u64, WardenStatus> {
        match self.cell(number).phase {
            Phase::Empty => return Err(WardenStatus::WrongState),
            Phase::Ended => {}
            Phase::BackOff { .. } => self.cancel_next_start(number),
            _ => self.intervene(kernel, number, Intervention::Killed),
        }
        Ok(0)
    }

    fn release<K: Kernel>(&mut self, kernel: &mut K, number: usize) -> Result<u64, WardenStatus> {
        if matches!(self.cell(number).phase, Phase::BackOff { .. }) {
            self.cancel_next_start(number);
        }
        if !self.cell(number).pristine {
            self.restart_clean(kernel, number);
        }
        // Only here: one that is started again speaks over the channels that it had.
        self.call_exchange(kernel, exchange::call(exchange::Procedure::Release, number as u64));
        Ok(0)
    }

    /// The exchange cannot refuse: the channel is the warden's and the cells exist.
    pub(crate) fn call_exchange<K: Kernel>(&mut self, kernel: &mut K, call: Message) {
        kernel.call(self.exchange, call);
    }

    /// The container stays ended.
    fn cancel_next_start(&mut self, number: usize) {
        self.cell(number).phase = Phase::Ended;
        self.table.cells[number].next_start_ns = 0;
        (self.changed, self.news) = (true, true);
    }

    /// Ends a container by force, and starts its cell clean.
    pub(crate) fn intervene<K: Kernel>(&mut self, kernel: &mut K, number: usize, intervention: Intervention) {
        let asked_to_stop = matches!(self.cell(number).phase, Phase::Stopping { .. });
        let wanted = asked_to_stop || intervention == Intervention::Killed;
        self.table.cells[number].intervention = intervention.to_wire();
        self.restart_clean(kernel, number);
        self.ended(number, if wanted { End::Wanted } else { End::Failed }, kernel.now());
    }

    /// A container came to its end: what its plan has follow.
    fn ended(&mut self, number: usize, end: End, now: Instant) {
        // It was to replace another, which goes on; or another has taken its place already.
        if self.cell(number).heir.is_some() || self.heirs().any(|(_, heir)| heir.has_replaced(number)) {
            return;
        }
        let next = self.cell(number).plan_next_start(end, now);
        let shown = &mut self.table.cells[number];
        match next {
            NextStart::Never => {}
            NextStart::GivenUp => shown.given_up = 1,
            NextStart::At(until) => shown.next_start_ns = until.nanoseconds(),
        }
        self.changed = true;
    }

    /// Empties the cell. The grants go first: from there on the drivers refuse whatever the cell still tries. The domain is
    /// stopped before its lines and timers are released, so that it takes none again in between.
    pub(crate) fn restart_clean<K: Kernel>(&mut self, kernel: &mut K, number: usize) {
        self.withdraw_grants(number);
        self.substrate.stop(number);
        self.give_class_back(number);
        self.release_devices(kernel, number);
        let cell = self.cell(number);
        let generation = cell.next_generation();
        cell.write_control(CellControl { generation, command: Command::Idle.to_wire(), ..CellControl::default() });
        cell.phase = Phase::Empty;
        cell.pristine = true;
        let entry = cell.entry.filter(|_| cell.idle_faults < IDLE_FAULT_LIMIT);
        let shown = &mut self.table.cells[number];
        match entry {
            Some(entry) => {
                shown.restarts = shown.restarts.saturating_add(1);
                self.substrate.restart(number, entry);
            }
            None => shown.present = CELL_OUT_OF_SERVICE,
        }
        self.news = true;
    }

    fn withdraw_grants(&mut self, number: usize) {
        self.cell(number).write_grants(&CellGrants::default());
        self.table.cells[number].grants = CellGrants::default();
        self.changed = true;
    }

    fn release_devices<K: Kernel>(&mut self, kernel: &mut K, number: usize) {
        self.give_back(kernel, number);
        // Neither driver can refuse: the channel is the warden's, the cell exists. What it answers changes nothing here.
        let word = number as u64;
        kernel.call(self.gpio, Message::with_word(u64::from(gpio::Procedure::Release.to_wire()), word));
        kernel.call(self.timer, timer::call(timer::Procedure::Release, word));
    }

    /// Takes what the cell shows into account: its phase, and what is due at an end.
    pub(crate) fn look_at<K: Kernel>(&mut self, kernel: &mut K, number: usize) {
        let now = kernel.now();
        let Some(cell) = self.cells[number].as_mut() else { return };
        cell.learn_entry();
        if let Phase::BackOff { until } = cell.phase {
            if until <= now {
                self.start_again(kernel, number);
            }
            return;
        }
        if !cell.phase.is_live() {
            return;
        }
        let sight = cell.look();
        let before = cell.phase;
        if let Some(state) = sight.state {
            cell.follow(state, now);
        }
        let health = cell.feel_pulse(&sight, now);
        let (phase, channel) = (cell.phase, cell.channel);
        self.news |= phase != before;
        if let Some(reached) = phase.reached() {
            let shown = &mut self.table.cells[number].reached;
            self.changed |= *shown != reached.to_wire();
            *shown = reached.to_wire();
        }
        if matches!(phase, Phase::Active { .. }) && !matches!(before, Phase::Active { .. }) {
            self.take_class(number);
        }
        if phase == Phase::Ended {
            self.give_class_back(number);
            self.withdraw_grants(number);
            self.release_devices(kernel, number);
            self.ended(number, Cell::<M>::end_after(before, &sight), now);
        } else if let Some(due) = due(phase, now, health) {
            match due {
                Due::Stop => self.order_stop(kernel, number, EndCause::Lifetime),
                Due::Force(intervention) => self.intervene(kernel, number, intervention),
            }
        } else if health == Health::Silent {
            kernel.notify(channel);
        }
    }

    fn look_at_all<K: Kernel>(&mut self, kernel: &mut K) {
        for number in 0..MAX_CELLS {
            self.look_at(kernel, number);
        }
    }

    /// Shows what changed, tells `admission`, and sets the alarm: the end of everything that the warden does.
    pub(crate) fn settle<K: Kernel>(&mut self, kernel: &mut K) {
        self.advance_heirs(kernel);
        if core::mem::take(&mut self.changed) {
            self.status.write(&self.table);
        }
        if core::mem::take(&mut self.news) {
            kernel.notify(self.admission);
        }
        self.set_alarm(kernel);
    }

    fn set_alarm<K: Kernel>(&mut self, kernel: &mut K) {
        let wanted = self.next_look(kernel.now());
        if Some(wanted) == self.alarm.armed_for {
            return;
        }
        let (first, period_ns) = wanted;
        let answer = kernel.call(self.timer, timer::arm(EXECUTOR_TIMER, first.nanoseconds(), period_ns));
        // What was not armed is tried again at the next event.
        self.alarm.armed_for = Some(wanted).filter(|_| timer::Status::of(&answer) == timer::Status::Ok);
    }

    /// When the warden must look again by itself, and how long after that, in nanoseconds, if nothing happens until then. Also while no cell
    /// is watched: by that the timer sees that it comes round at all.
    fn next_look(&mut self, now: Instant) -> (Instant, u64) {
        let phases = || self.cells.iter().flatten().map(|cell| cell.phase);
        if self.alarm.armed_for.is_none() {
            self.alarm.last_look = now;
        }
        let period_ns = if phases().any(Phase::is_watched) { LOOK_PERIOD_NS } else { timer::WARDEN_LOOK_NS };
        let routine = self.alarm.last_look.saturating_add(period_ns);
        let heirs = self.heirs().filter_map(|(_, heir)| heir.deadline());
        (phases().filter_map(Phase::deadline).chain(heirs).fold(routine, Instant::min), period_ns)
    }

    pub(crate) fn cell(&mut self, number: usize) -> &mut Cell<M> {
        self.cells[number].as_mut().expect("`present` found it")
    }

    fn count_invalid(&mut self) {
        self.table.invalid = self.table.invalid.saturating_add(1);
        self.changed = true;
    }
}

impl<K: Kernel, M: SharedMemory + Clone, C: Cells> Domain<K> for Warden<M, C> {
    fn start(&mut self, kernel: &mut K) {
        for cell in self.cells.iter_mut().flatten() {
            cell.write_grants(&CellGrants::default());
            cell.write_control(CellControl::default());
            cell.learn_entry();
        }
        self.settle(kernel);
    }

    fn self_test(&mut self, _: &mut K) -> Finding {
        if !self.has_policy() {
            return Finding::wrong(format_args!("the image holds no board policy: no container will be loaded"));
        }
        Finding::well(format_args!("board policy read, {} cells", self.cells.iter().flatten().count()))
    }

    fn notified(&mut self, kernel: &mut K, channels: ChannelSet) {
        if channels.contains(self.timer) {
            let answer = kernel.call(self.timer, timer::call(timer::Procedure::Take, 0));
            self.alarm.expired(&answer);
            self.look_at_all(kernel);
            self.judge_callers(kernel);
            if self.callers.quiet_lines() != 0 {
                // They interrupted too often, and had a pause.
                kernel.call(self.gpio, Message::new(gpio::Procedure::Listen.to_wire().into()));
            }
        } else {
            for number in 0..MAX_CELLS {
                if self.cells[number].as_ref().is_some_and(|cell| channels.contains(cell.channel)) {
                    self.look_at(kernel, number);
                }
            }
        }
        self.settle(kernel);
    }

    fn called(&mut self, kernel: &mut K, channel: Channel, message: Message) -> Message {
        let result = if channel == self.admission { self.serve(kernel, message) } else { Err(WardenStatus::Invalid) };
        let answer = match result {
            Ok(word) => Message::with_word(u64::from(WardenStatus::Ok.to_wire()), word),
            Err(status) => {
                if matches!(status, WardenStatus::Invalid | WardenStatus::NoSuchCell) {
                    self.count_invalid();
                }
                Message::new(u64::from(status.to_wire()))
            }
        };
        self.settle(kernel);
        answer
    }
}

fn find_cell<W: Wiring>(wiring: &W, number: usize) -> Result<Option<Cell<W::Memory>>, StartError> {
    let symbols = &symbols::CELLS[number];
    let Some(channel) = wiring.channel(symbols.channel) else { return Ok(None) };
    let memory = CellMemory {
        grants: required_region(wiring, "region_grants")?,
        control: required_region(wiring, symbols.control)?,
        status: required_region(wiring, symbols.status)?,
    };
    Cell::new(number, channel, memory).map(Some).map_err(|OutOfRange| StartError::RegionTooSmall(symbols.status))
}

/// What the warden does of itself.
enum Due {
    /// The container has lived long enough.
    Stop,
    Force(Intervention),
}

/// What is due, if anything is.
fn due(phase: Phase, now: Instant, health: Health) -> Option<Due> {
    if health == Health::Lost {
        return Some(Due::Force(Intervention::Watchdog));
    }
    phase.deadline().filter(|deadline| *deadline <= now)?;
    Some(match phase {
        Phase::Active { .. } => Due::Stop,
        Phase::Stopping { .. } => Due::Force(Intervention::StopLimit),
        _ => Due::Force(Intervention::LoadLimit),
    })
}

/// A size in bytes, at least 1 and at the most `limit`.
fn size_within(word: u64, limit: u64) -> Result<u32, WardenStatus> {
    match word {
        0 => Err(WardenStatus::Invalid),
        size if size > limit => Err(WardenStatus::TooLarge),
        size => u32::try_from(size).map_err(|_| WardenStatus::TooLarge),
    }
}

fn flag(word: u64) -> Result<bool, WardenStatus> {
    match word {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(WardenStatus::Invalid),
    }
}
