//! The cell: a domain that holds at most one container.
//!
//! It trusts the kernel, the warden's control word and the drivers' answers; it trusts neither the module nor, beyond
//! copying it, what `admission` laid down. It never blocks: while the container waits, the cell is in its event loop; while
//! the container runs, the cell looks at its control word and the clock after each slice. It may allocate only on behalf
//! of the container, within what [`crate::limits`] allows.

use alloc::{boxed::Box, rc::Rc, vec::Vec};
use core::cell::RefCell;

use runner_interfaces::{
    boot_report::Finding,
    cell::{CellConfiguration, CellControl, Command, ContainerState, FailureReason, Hold, MODULE_OFFSET_BYTES},
    exchange::VALUE_REGION_BYTES,
    kernel::{ChannelSet, Domain, Instant, Kernel, MissingWiring, Wiring, required_channel, required_region},
    output::Stream,
    plan::EndCause,
    schedule::Release,
};
use shared_ring::{SequencedCell, SharedMemory};

use crate::{
    container::{Container, Ending, HookLimits, STOPPED_EXIT_CODE, Turn},
    engine::{self, Program},
    estimate::Estimate,
    failure::Failure,
    files::FileTree,
    host::{Channels, Host, ValueRegions},
    limits::{Heap, Limits},
    output::Output,
    releases::{Releases, Timing},
    status::StatusBoard,
};

/// Fuel of one slice. A unit is about one instruction of the program, which an interpreter does in some 5 to 50
/// nanoseconds depending on machine and build: 10,000 are 50 to 500 microseconds, so that a stop is seen well within the
/// warden's limits, and the yield between two slices (some 500 native instructions) stays below one per cent.
pub const DEFAULT_SLICE_FUEL: u64 = 10_000;

/// How often the status is published while the container runs on and nothing changes: once in a cell's period (10 ms in
/// `system.xml`), which is as often as the cell is sure to run at all.
const STATUS_PERIOD_NS: u64 = 10_000_000;

/// What a substrate tells a cell.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Where the domain begins anew, for the warden; 0 where restarting is not done by an address.
    pub restart_entry: u64,
    /// Fuel of one slice.
    pub slice_fuel: u64,
    /// Bytes of the domain's heap in use now; 0 where the substrate does not know.
    pub heap_in_use: fn() -> u64,
    /// Bytes of the whole heap; `u64::MAX` where the substrate does not know. A module that may need more to compile is
    /// refused, since an allocation that fails ends the domain.
    pub heap_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { restart_entry: 0, slice_fuel: DEFAULT_SLICE_FUEL, heap_in_use: || 0, heap_bytes: u64::MAX }
    }
}

/// A cell, over the memory `M` of its substrate.
///
/// It is a [`Domain`] for every kernel that can be cloned into its container's host functions; see
/// [`runner_interfaces::kernel::SharedKernel`] for one that cannot.
pub struct Cell<M> {
    channels: Channels,
    control: SequencedCell<M, CellControl>,
    /// The number of the control word that was looked at last.
    looked_at: u32,
    status: StatusBoard<M>,
    module: M,
    output: Rc<RefCell<Output>>,
    values: ValueRegions,
    timing: Timing,
    options: Options,
    /// The warden notified, and the control word was not read since.
    control_is_due: bool,
    /// The control word that was followed last.
    followed: CellControl,
    container: Option<Container>,
    #[cfg(feature = "fake")]
    remains: Option<crate::fake::Remains>,
}

impl<M: SharedMemory + Clone + 'static> Cell<M> {
    /// A cell on the channels and regions that `wiring` gives it; says which one is missing or too small.
    pub fn new<W: Wiring<Memory = M>>(wiring: &W, options: Options) -> Result<Self, MissingWiring> {
        let channels = Channels {
            gpio: required_channel(wiring, "channel_gpio")?,
            i2c: required_channel(wiring, "channel_i2c")?,
            timer: required_channel(wiring, "channel_timer")?,
            exchange: required_channel(wiring, "channel_exchange")?,
            warden: required_channel(wiring, "channel_warden")?,
            admission: required_channel(wiring, "channel_admission")?,
        };
        let control = SequencedCell::new(required_region(wiring, "region_control")?, 0)
            .map_err(|_| too_small("region_control"))?;
        let status = required_region(wiring, "region_status")?;
        let timing = Timing::new(Rc::new(status.clone())).map_err(|_| too_small("region_status"))?;
        let status = SequencedCell::new(status, 0).map_err(|_| too_small("region_status"))?;
        let module = required_region(wiring, "region_module")?;
        if module.size_bytes() <= MODULE_OFFSET_BYTES {
            return Err(too_small("region_module"));
        }
        let output = Output::new(
            Rc::new(required_region(wiring, "region_output")?),
            Rc::new(required_region(wiring, "region_output_head")?),
            channels.admission,
        )
        .map_err(|_| too_small("region_output"))?;
        let values = ValueRegions {
            to_exchange: value_region(wiring, "region_to_exchange")?,
            from_exchange: value_region(wiring, "region_from_exchange")?,
        };
        Ok(Self {
            channels,
            values,
            timing,
            control,
            looked_at: 0,
            status: StatusBoard::new(status, channels, options.restart_entry),
            module,
            output: Rc::new(RefCell::new(output)),
            options,
            control_is_due: false,
            followed: CellControl::default(),
            container: None,
            #[cfg(feature = "fake")]
            remains: None,
        })
    }

    /// What the last container that ended had in its memory and its globals; none where it was never instantiated.
    #[cfg(feature = "fake")]
    pub fn remains(&self) -> Option<&crate::fake::Remains> {
        self.remains.as_ref()
    }

    /// Does what the warden wants, if that is something new.
    fn follow_control<K: Kernel + Clone + 'static>(&mut self, kernel: &mut K) {
        let number = self.control.number();
        if number == self.looked_at && !self.control_is_due {
            return;
        }
        let Some(control) = self.control.try_read() else {
            return;
        };
        (self.looked_at, self.control_is_due) = (number, false);
        if control == self.followed {
            return;
        }
        let Some(command) = Command::from_wire(control.command) else {
            return;
        };
        let is_new = control.generation != self.followed.generation;
        let loads = is_new && matches!(command, Command::Load | Command::Run);
        if loads && !self.output.borrow_mut().is_read() {
            // What the container wrote from its first instruction on would be lost. `admission`, who wants it loaded, notifies
            // when it reads; the warden's limit for loading runs meanwhile.
            self.control_is_due = true;
            return;
        }
        self.followed = control;
        match command {
            Command::Idle => self.empty(kernel),
            Command::Load | Command::Run if is_new => self.load(kernel, control, command == Command::Run),
            Command::Run => self.run(kernel, control),
            Command::Stop if is_new => self.stop_before_load(kernel, control),
            Command::Stop => self.stop(kernel, control),
            Command::Load => {}
        }
    }

    /// It was stopped before this cell came round to loading it: it ends as stopped, having run nothing.
    fn stop_before_load<K: Kernel>(&mut self, kernel: &mut K, control: CellControl) {
        self.forget_container();
        self.output.borrow_mut().begin(control.generation);
        self.status.begin(control.generation, ContainerState::Stopping);
        self.end(kernel, Ending::Finalised { exit_code: STOPPED_EXIT_CODE, cause: stop_cause(control) });
    }

    fn empty<K: Kernel>(&mut self, kernel: &mut K) {
        self.forget_container();
        self.status.begin(self.followed.generation, ContainerState::Empty);
        self.publish(kernel);
    }

    /// Drops a container without a word, its lines and timers first.
    fn forget_container(&mut self) {
        if let Some(mut container) = self.container.take() {
            container.program_mut().host_mut().release();
        }
    }

    fn load<K: Kernel + Clone + 'static>(&mut self, kernel: &mut K, control: CellControl, run: bool) {
        self.forget_container();
        let began = kernel.now();
        self.output.borrow_mut().begin(control.generation);
        self.status.begin(control.generation, ContainerState::Loading);
        self.status.values.load_began_ns = began.nanoseconds();
        self.publish(kernel);
        match self.program(kernel, control) {
            Ok(mut program) => {
                let has_schedule = control.schedule.release() != Release::None;
                program.host_mut().releases =
                    has_schedule.then(|| Releases::new(control.schedule, self.timing.clone(), control.generation));
                let mut container = Container::new(program, kernel.now(), HookLimits::new(&control));
                if run {
                    container.hold(hold(control), kernel.now());
                    container.run(kernel.now());
                }
                self.container = Some(container);
            }
            Err(failure) => self.end(kernel, Ending::Failed(failure)),
        }
    }

    /// The program that `admission` laid down, compiled and instantiated.
    fn program<K: Kernel + Clone + 'static>(&mut self, kernel: &K, control: CellControl) -> Result<Program, Failure> {
        let mut configuration = self.configuration(control)?;
        // A container that is started again gets other random numbers, although `admission` wrote nothing new.
        configuration.seed ^= u64::from(control.generation);
        let heap = Heap { in_use: self.options.heap_in_use, size_bytes: self.options.heap_bytes };
        let (wasm, files, most_locals) = self.module_bytes(control, heap)?;
        let limits = Limits::new(&control, heap);
        let (output, values) = (Rc::clone(&self.output), self.values.clone());
        let host = Host::new(Box::new(kernel.clone()), self.channels, configuration, files, output, values, limits);
        let program = Program::load(host, &wasm, most_locals)?;
        self.status.values.world = program.world().to_wire();
        let took_us =
            kernel.now().nanoseconds_since(Instant::from_nanoseconds(self.status.values.load_began_ns)) / 1000;
        if took_us > u64::from(control.load_limit_us) {
            let text = format_args!("compiling took {took_us} us, {} are allowed", control.load_limit_us);
            return Err(Failure::new(FailureReason::LoadLimit, text));
        }
        Ok(program)
    }

    fn configuration(&self, control: CellControl) -> Result<CellConfiguration, Failure> {
        let length = control.configuration_bytes as usize;
        let invalid = |text: core::fmt::Arguments<'_>| Failure::new(FailureReason::Configuration, text);
        if length > MODULE_OFFSET_BYTES {
            return Err(invalid(format_args!("{length} bytes; there is room for {MODULE_OFFSET_BYTES}")));
        }
        let mut bytes = alloc::vec![0; length];
        self.module.read(0, &mut bytes).map_err(|_| invalid(format_args!("outside the region")))?;
        postcard::from_bytes(&bytes).map_err(|error| invalid(format_args!("{error}")))
    }

    /// A private copy of the module, the files that were packed into it, and the most locals of a function. Nothing is looked at that `admission` could still
    /// change.
    fn module_bytes(&self, control: CellControl, heap: Heap) -> Result<(Vec<u8>, FileTree, u64), Failure> {
        let length = control.module_bytes as usize;
        let room = self.module.size_bytes() - MODULE_OFFSET_BYTES;
        if length > room {
            let text = format_args!("{length} bytes; the cell's region has room for {room}");
            return Err(Failure::new(FailureReason::InvalidModule, text));
        }
        let no_memory = |needed: u64| {
            let free = heap.free_bytes();
            let text = format_args!("compiling may take {needed} bytes, the cell has {free} left");
            Failure::new(FailureReason::CellMemory, text)
        };
        // Twice: files are taken out, and the start section may be cut out of a copy of the rest.
        let copies = 2 * length as u64;
        let mut bytes = Vec::new();
        if !heap.has_room_for(copies) || bytes.try_reserve_exact(length).is_err() {
            return Err(no_memory(copies));
        }
        bytes.resize(length, 0);
        self.module.read(MODULE_OFFSET_BYTES, &mut bytes).map_err(|_| no_memory(copies))?;
        let files = FileTree::take_out_of(&mut bytes)?;
        let estimate = Estimate::of(&bytes);
        let needed = estimate.heap_bytes().saturating_add(bytes.len() as u64);
        if heap.has_room_for(needed) { Ok((bytes, files, estimate.most_locals)) } else { Err(no_memory(needed)) }
    }

    fn run<K: Kernel>(&mut self, kernel: &mut K, control: CellControl) {
        if let Some(container) = &mut self.container {
            container.hold(hold(control), kernel.now());
            container.run(kernel.now());
        }
    }

    fn stop<K: Kernel>(&mut self, kernel: &mut K, control: CellControl) {
        if let Some(container) = &mut self.container
            && let Turn::Ended(ending) = container.stop(kernel.now(), stop_cause(control))
        {
            self.end(kernel, ending);
        }
    }

    /// Runs the container until it waits or ends, with a look at the control word and the clock after each turn.
    fn go_on<K: Kernel + Clone + 'static>(&mut self, kernel: &mut K) {
        while let Some(container) = &mut self.container {
            let now = kernel.now();
            let turn = container.turn(now, self.options.slice_fuel);
            self.status.beat(now);
            match turn {
                Turn::Ended(ending) => {
                    self.end(kernel, ending);
                    return;
                }
                Turn::Rests => break,
                Turn::Again => {}
            }
            self.output.borrow_mut().notify(kernel);
            self.show_progress(kernel, now);
            self.follow_control(kernel);
        }
        if self.container.is_none() {
            return;
        }
        if self.comes_round_soon() {
            self.output.borrow_mut().notify(kernel);
            self.show_progress(kernel, kernel.now());
        } else {
            self.publish(kernel);
        }
    }

    /// Whether what it shows will be renewed within [`STATUS_PERIOD_NS`] whatever happens: then that is often enough for it. Publishing takes
    /// longer than the work of some releases.
    fn comes_round_soon(&self) -> bool {
        self.container.as_ref().is_some_and(|container| container.is_due_within(STATUS_PERIOD_NS))
    }

    /// Publishes what changed, seldom more than once in [`STATUS_PERIOD_NS`].
    fn show_progress<K: Kernel>(&mut self, kernel: &mut K, now: Instant) {
        let state = self.container.as_ref().map(Container::state);
        let changed = state.is_some_and(|state| self.status.is_news(state));
        if changed || now.nanoseconds_since(self.status.published) >= STATUS_PERIOD_NS {
            self.publish(kernel);
        }
    }

    /// The container came to its end: gives back what it holds, says how it ended, and forgets it.
    fn end<K: Kernel>(&mut self, kernel: &mut K, ending: Ending) {
        if let Some(container) = &mut self.container {
            container.program_mut().host_mut().release();
        }
        self.gather();
        #[cfg(feature = "fake")]
        {
            self.remains = self.container.as_ref().map(|container| container.program().remains());
        }
        self.container = None;
        let now = kernel.now();
        let values = &mut self.status.values;
        values.ended_ns = now.nanoseconds();
        match ending {
            Ending::Finalised { exit_code, cause } => {
                values.state = ContainerState::Finalised.to_wire();
                values.exit_code = exit_code;
                values.end_cause = cause.to_wire();
            }
            Ending::Failed(failure) => {
                values.state = ContainerState::Failed.to_wire();
                values.reason = failure.reason.to_wire();
                values.detail = *failure.detail.buffer();
                values.detail_bytes = failure.detail.length();
                self.output.borrow_mut().push_whole(now, Stream::Cell, failure.detail.as_bytes());
            }
        }
        self.publish(kernel);
    }

    /// Takes over what the container's accounts say.
    fn gather(&mut self) {
        let values = &mut self.status.values;
        values.output_dropped = self.output.borrow().dropped();
        let Some(container) = &self.container else {
            return;
        };
        let host = container.program().host();
        values.state = container.state().to_wire();
        values.fuel = container.fuel;
        values.slices = container.slices;
        values.loops = container.loops;
        values.end_cause = container.cause().to_wire();
        values.held = u32::from(container.is_held());
        let since_start = |time: Option<Instant>| time.map_or(0, Instant::nanoseconds);
        values.installed_ns = since_start(container.times.installed);
        values.started_ns = since_start(container.times.started);
        values.ready_ns = since_start(container.times.ready);
        values.stopping_ns = since_start(container.times.stopping);
        values.host_calls = host.counters.host_calls;
        values.refused_calls = host.counters.refused_calls;
        values.linear_memory_bytes = host.limits.memory_in_use as u64;
    }

    fn publish<K: Kernel>(&mut self, kernel: &mut K) {
        self.gather();
        if self.container.is_none() {
            self.status.values.linear_memory_bytes = 0;
        }
        self.status.values.heap_bytes = (self.options.heap_in_use)();
        self.output.borrow_mut().notify(kernel);
        self.status.publish(kernel);
    }

    /// Lets the container know of what was notified.
    fn deliver(&mut self, channels: ChannelSet) {
        let Some(container) = &mut self.container else {
            return;
        };
        let host = container.program_mut().host_mut();
        if channels.contains(self.channels.timer) {
            host.take_expiries();
        }
        if channels.contains(self.channels.gpio) {
            host.note_edges();
        }
        if channels.contains(self.channels.exchange) {
            host.note_values();
        }
    }
}

/// Whether the warden has it held.
fn hold(control: CellControl) -> Hold {
    Hold::from_wire(control.hold).unwrap_or(Hold::No)
}

/// Why the warden has it stop.
fn stop_cause(control: CellControl) -> EndCause {
    EndCause::from_wire(control.stop_cause).unwrap_or(EndCause::Stopped)
}

/// A region for values that are too long for words.
fn value_region<W: Wiring<Memory: 'static>>(wiring: &W, symbol: &str) -> Result<Rc<dyn SharedMemory>, MissingWiring> {
    let region = required_region(wiring, symbol)?;
    if region.size_bytes() < VALUE_REGION_BYTES { Err(too_small(symbol)) } else { Ok(Rc::new(region)) }
}

fn too_small(symbol: &str) -> MissingWiring {
    MissingWiring { symbol: alloc::format!("{symbol}` that is large enough; see `{symbol}_size") }
}

impl<M: SharedMemory + Clone + 'static, K: Kernel + Clone + 'static> Domain<K> for Cell<M> {
    /// Shows an empty cell, and where it begins anew. What stands in the control word is left until the warden notifies:
    /// a cell that was restarted must not run again what brought it down.
    fn start(&mut self, kernel: &mut K) {
        self.status.continue_from(kernel.now());
        self.publish(kernel);
    }

    /// Interprets a few instructions, which takes compiler, heap and interpreter. Only before the first load: a cell that
    /// was started anew for a container does not spend that one's time.
    fn self_test(&mut self, kernel: &mut K) -> Finding {
        if let Some(control) = self.control.try_read().filter(|control| control.generation != 0) {
            return Finding::well(format_args!("started anew after load {}", control.generation));
        }
        let before = kernel.now();
        match engine::run_product() {
            Ok(engine::PRODUCT_ANSWER) => {
                let took_us = kernel.now().nanoseconds_since(before) / 1000;
                Finding::well(format_args!("empty; compiled and interpreted 3 instructions in {took_us} us"))
            }
            Ok(other) => Finding::wrong(format_args!("the interpreter says that 6 times 7 is {other}")),
            Err(error) => Finding::wrong(format_args!("the interpreter fails: {error}")),
        }
    }

    fn notified(&mut self, kernel: &mut K, channels: ChannelSet) {
        self.status.beat(kernel.now());
        self.deliver(channels);
        self.control_is_due |= channels.contains(self.channels.warden);
        if self.control_is_due {
            self.follow_control(kernel);
        }
        self.go_on(kernel);
        if self.container.is_none() {
            self.status.publish_heartbeat();
            // Looking whether its ring is read may have begun the ring anew.
            self.output.borrow_mut().notify(kernel);
        }
    }
}
