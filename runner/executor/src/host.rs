//! What a container's host functions reach: the kernel, the drivers behind it, output, and the container's own accounts.
//!
//! Every call that touches a resource goes to the domain that owns it, over the cell's own channel; nothing is decided
//! here that the owner would decide. The container is not trusted; drivers are asked, their answers passed on.

use alloc::{boxed::Box, rc::Rc};
use core::cell::RefCell;

use runner_interfaces::{
    cell::CellConfiguration,
    exchange::{self, MAX_VALUE_BYTES, Taken, WORD_BYTES},
    gpio::{self, Status},
    i2c::{Received, Transfer},
    kernel::{Channel, Instant, Kernel, Message},
    timer,
};
use shared_ring::SharedMemory;
use wasmi::Memory;

use crate::{
    delivery::{Allocator, Delivery},
    devices::DeviceTable,
    ends::EndTable,
    files::FileTree,
    limits::Limits,
    lines::LineTable,
    output::Output,
    pollables::Pollables,
    releases::Releases,
    wait::Wait,
    worlds::{function::Answer, wasi::Descriptors},
};

/// The bit of an event mask that says "an edge on a watched line" (`atoll:node/timer`, `wait`).
pub(crate) const EDGE_EVENT: u32 = 1 << 31;

/// The bit of an event mask that says "a value, or room for one" (`atoll:node/timer`, `wait`).
pub(crate) const CHANNEL_EVENT: u32 = 1 << 30;

/// The bits of an event mask that name timers of the container: 1 to 7.
pub(crate) const TIMER_EVENTS: u32 = 0b1111_1110;

/// Fuel of a host call that stays in the cell: about what the interpreter does in the time that it takes.
pub(crate) const LOCAL_CALL_FUEL: u64 = 15;

/// Fuel of a call to another domain, some microseconds: a slice full of them stays within a few times a slice full of
/// arithmetic.
pub(crate) const DOMAIN_CALL_FUEL: u64 = 250;

/// The channels of a cell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Channels {
    pub(crate) gpio: Channel,
    pub(crate) i2c: Channel,
    pub(crate) timer: Channel,
    pub(crate) exchange: Channel,
    pub(crate) warden: Channel,
    pub(crate) admission: Channel,
}

impl Channels {
    /// The number of a domain that is called, in [`CALLED_DOMAINS`](runner_interfaces::policy::CALLED_DOMAINS).
    fn number(&self, called: Channel) -> usize {
        [self.gpio, self.i2c, self.timer].iter().position(|channel| *channel == called).unwrap_or(3)
    }
}

/// Where values lie that are too long for the words of a call.
#[derive(Clone)]
pub(crate) struct ValueRegions {
    pub(crate) to_exchange: Rc<dyn SharedMemory>,
    pub(crate) from_exchange: Rc<dyn SharedMemory>,
}

/// What a container did that others may want to know.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) host_calls: u64,
    pub(crate) refused_calls: u64,
}

/// The data of a container's store.
pub(crate) struct Host {
    pub(crate) kernel: Box<dyn Kernel>,
    channels: Channels,
    pub(crate) configuration: CellConfiguration,
    pub(crate) output: Rc<RefCell<Output>>,
    /// The exported linear memory, once there is an instance.
    pub(crate) memory: Option<Memory>,
    /// The exported allocator, likewise.
    pub(crate) allocator: Allocator,
    /// What a host call hands over as soon as the container has made room for it.
    pub(crate) delivery: Option<Delivery>,
    pub(crate) limits: Limits,
    pub(crate) counters: Counters,
    pub(crate) lines: LineTable,
    pub(crate) devices: DeviceTable,
    /// The bus of `wasi:i2c`, until the container drops it.
    pub(crate) holds_bus: bool,
    pub(crate) ends: EndTable,
    values: ValueRegions,
    pub(crate) pollables: Pollables,
    pub(crate) random: fastrand::Rng,
    /// The files that it brought.
    pub(crate) files: FileTree,
    pub(crate) descriptors: Descriptors,
    /// Why the container waits, while it does.
    pub(crate) wait: Option<Wait>,
    /// Events that happened and were not taken by `wait` yet.
    events: u32,
    /// Timers that the container may have armed, a bit a number.
    armed_timers: u32,
    /// When the executor's timer expires, while it is armed.
    executor_expiry: Option<Instant>,
    /// When the owner of a line tells of an edge that is beyond the container's rate now.
    edges_due: Option<Instant>,
    /// When its loop hook is released, where it has a schedule.
    pub(crate) releases: Option<Releases>,
    /// The release timer is armed.
    release_is_armed: bool,
    /// Fuel that host calls of this slice took and the slice did not have.
    pub(crate) overdrawn_fuel: u64,
    /// What the host call answers that took it.
    pub(crate) answer: Option<Answer>,
}

impl Host {
    pub(crate) fn new(
        kernel: Box<dyn Kernel>,
        channels: Channels,
        configuration: CellConfiguration,
        files: FileTree,
        output: Rc<RefCell<Output>>,
        values: ValueRegions,
        limits: Limits,
    ) -> Self {
        let descriptors = Descriptors::new(&files);
        let random = fastrand::Rng::with_seed(configuration.seed);
        Self {
            kernel,
            channels,
            configuration,
            output,
            memory: None,
            allocator: Allocator::Missing,
            delivery: None,
            limits,
            counters: Counters::default(),
            lines: LineTable::default(),
            devices: DeviceTable::default(),
            holds_bus: true,
            ends: EndTable::default(),
            values,
            pollables: Pollables::default(),
            random,
            files,
            descriptors,
            wait: None,
            events: 0,
            armed_timers: 0,
            executor_expiry: None,
            edges_due: None,
            releases: None,
            release_is_armed: false,
            overdrawn_fuel: 0,
            answer: None,
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.kernel.now()
    }

    /// Whether what runs is a job that the cell holds to its budget, so that no call may be longer than a slice allows.
    pub(crate) fn is_held_to_a_budget(&self) -> bool {
        self.limits.is_fixed
    }

    /// Calls another domain. How long that takes is kept of a container with a schedule.
    /// One that has made as many as it may in a release is told so and asks nobody.
    fn ask(&mut self, channel: Channel, message: Message) -> Message {
        let Some(releases) = &mut self.releases else { return self.kernel.call(channel, message) };
        let before = self.kernel.now();
        if let Some(allowance) = &mut releases.allowance
            && !allowance.take_call(self.channels.number(channel), before)
        {
            self.counters.refused_calls += 1;
            return Status::Full.answer();
        }
        let answer = self.kernel.call(channel, message);
        releases.record_host_call(self.kernel.now().nanoseconds_since(before));
        answer
    }

    /// Asks the `gpio` domain; word 0 of its answer is the result.
    pub(crate) fn call_gpio(&mut self, message: Message) -> (Status, u64) {
        let (status, result) = self.ask_gpio(message);
        (self.counted(status), result)
    }

    /// The same where a refusal is no answer yet, and not counted.
    pub(crate) fn ask_gpio(&mut self, message: Message) -> (Status, u64) {
        let answer = self.ask(self.channels.gpio, message);
        let status = Status::of(&answer);
        if status == Status::Ok && message.label == u64::from(gpio::Procedure::TakeEdges.to_wire()) {
            self.note_withheld(answer.words[1]);
        }
        (status, answer.words[0])
    }

    /// The owner of a line has an edge that it tells in so many nanoseconds, when the container's rate allows it: then the
    /// container is to look again, though nobody notifies it. 0 where there is none.
    fn note_withheld(&mut self, in_ns: u64) {
        if in_ns != 0 {
            let due = self.now().saturating_add(in_ns);
            self.edges_due = Some(self.edges_due.map_or(due, |other| other.min(due)));
        }
    }

    /// When a wait for these events is to look for edges that are told later.
    pub(crate) fn edges_due(&self, mask: u32) -> Option<Instant> {
        self.edges_due.filter(|_| mask & EDGE_EVENT != 0)
    }

    /// Looks whether the time of an edge that was to be told later has come.
    pub(crate) fn look_for_due_edges(&mut self) {
        if self.edges_due.is_some_and(|due| due <= self.now()) {
            self.edges_due = None;
            self.note_edges();
        }
    }

    /// Asks the `i2c` domain for a transfer; `Invalid` where there is none that is so long.
    pub(crate) fn transfer(&mut self, transfer: Option<Transfer>) -> Result<Received, Status> {
        let answer = match transfer {
            Some(transfer) => Received::of(&self.ask(self.channels.i2c, transfer.call())),
            None => Err(Status::Invalid),
        };
        answer.map_err(|status| self.counted(status))
    }

    /// Puts a value of at most [`MAX_VALUE_BYTES`].
    pub(crate) fn put(&mut self, binding: u8, value: &[u8]) -> Status {
        let mut words = [0; WORD_BYTES];
        match words.get_mut(..value.len()) {
            Some(head) => head.copy_from_slice(value),
            None if self.values.to_exchange.write(0, value).is_err() => return self.counted(Status::Unavailable),
            None => {}
        }
        let answer = self.ask(self.channels.exchange, exchange::put(binding, value.len(), &words));
        self.counted(Status::of(&answer))
    }

    /// Takes a value, or looks at one; how many of `value` it is, and how many before it were missed.
    pub(crate) fn receive(
        &mut self,
        procedure: exchange::Procedure,
        binding: u8,
        value: &mut [u8; MAX_VALUE_BYTES],
    ) -> Result<(usize, u64), Status> {
        let answer = self.ask(self.channels.exchange, exchange::call(procedure, u64::from(binding)));
        let taken = Taken::of(&answer).map_err(|status| self.counted(status))?;
        let unavailable = |_| Status::Unavailable;
        let length = usize::try_from(taken.length).map_err(unavailable)?;
        let destination = value.get_mut(..length).ok_or(Status::Unavailable)?;
        match taken.value.get(..length) {
            Some(head) => destination.copy_from_slice(head),
            None => self.values.from_exchange.read(0, destination).map_err(|_| Status::Unavailable)?,
        }
        Ok((length, taken.overwritten))
    }

    fn call_timer(&mut self, message: Message) -> Status {
        let answer = self.ask(self.channels.timer, message);
        self.counted(Status::of(&answer))
    }

    /// `status`, with a refusal counted. That there is no value or no room now is none.
    pub(crate) fn counted(&mut self, status: Status) -> Status {
        let is_refusal = !matches!(status, Status::Ok | Status::Empty | Status::Full);
        self.counters.refused_calls += u64::from(is_refusal);
        status
    }

    /// Arms a timer of the container, 1 to 7.
    pub(crate) fn arm_timer(&mut self, number: u8, first: Instant, period_ns: u64) -> Status {
        let status = self.call_timer(timer::arm(number, first.nanoseconds(), period_ns));
        if status == Status::Ok {
            self.armed_timers |= 1 << number;
        }
        status
    }

    /// Disarms a timer of the container; an expiry that was not taken yet is forgotten with it.
    pub(crate) fn disarm_timer(&mut self, number: u8) -> Status {
        let status = self.call_timer(timer::call(timer::Procedure::Disarm, u64::from(number)));
        self.armed_timers &= !(1 << number);
        self.events &= !(1 << number);
        status
    }

    /// Sees to it that the cell is notified at `expiry` at the latest, or soon after.
    pub(crate) fn wake_at(&mut self, expiry: Instant) -> Status {
        self.arm_own_timer(expiry, Self::call_timer)
    }

    /// The same where it is the cell that must look again, not the container that asks: it is not one of the calls that the container
    /// may make.
    pub(crate) fn wake_unasked_at(&mut self, expiry: Instant) {
        self.arm_own_timer(expiry, |host, arm| Status::of(&host.kernel.call(host.channels.timer, arm)));
    }

    fn arm_own_timer(&mut self, expiry: Instant, call: fn(&mut Self, Message) -> Status) -> Status {
        if self.executor_expiry == Some(expiry) {
            return Status::Ok;
        }
        let status = call(self, timer::arm(timer::EXECUTOR_TIMER, expiry.nanoseconds(), 0));
        self.executor_expiry = (status == Status::Ok).then_some(expiry);
        status
    }

    /// Sees to it that the cell is notified at each release from that one on. The timer keeps the grid; it is armed once.
    pub(crate) fn wake_at_releases(&mut self, first: Instant, period_ns: u64) {
        if !self.release_is_armed {
            let arm = timer::arm(timer::RELEASE_TIMER, first.nanoseconds(), period_ns);
            self.release_is_armed = Status::of(&self.kernel.call(self.channels.timer, arm)) == Status::Ok;
        }
    }

    /// The timer domain notified the cell: takes over what expired. Releases are told by the clock, so a cell that is woken for
    /// nothing else does not ask: a call of another domain is the larger part of what a release costs.
    pub(crate) fn take_expiries(&mut self) {
        if self.release_is_armed && self.armed_timers == 0 && self.executor_expiry.is_none() {
            return;
        }
        let take = Message::new(u64::from(timer::Procedure::Take.to_wire()));
        let answer = self.ask(self.channels.timer, take);
        if Status::of(&answer) != Status::Ok {
            return;
        }
        // Bits beyond the mask's would be the driver's mistake.
        let expired = (answer.words[0] & 0xff) as u32;
        self.note(expired & TIMER_EVENTS);
        if expired & (1 << timer::EXECUTOR_TIMER) != 0 {
            self.executor_expiry = None;
        }
    }

    /// The `gpio` domain notified the cell.
    pub(crate) fn note_edges(&mut self) {
        self.note(EDGE_EVENT);
    }

    /// The `exchange` domain notified the cell. No news to a container that speaks over no channel.
    pub(crate) fn note_values(&mut self) {
        if !self.ends.is_empty() {
            self.note(CHANNEL_EVENT);
        }
    }

    fn note(&mut self, events: u32) {
        self.events |= events;
        if events != 0 && self.releases.is_some() {
            let now = self.now();
            self.releases.iter_mut().for_each(|releases| releases.note_arrival(now));
        }
    }

    /// The events in `mask` that happened; they count as taken.
    pub(crate) fn take_events(&mut self, mask: u32) -> u32 {
        let taken = self.events & mask;
        self.events &= !taken;
        taken
    }

    /// Gives back what the container holds of other domains. The warden does the same when it empties the cell; here it is
    /// done at once, so that a line is safe when the container has ended and not when somebody notices.
    pub(crate) fn release(&mut self) {
        while let Some(line) = self.lines.take_any() {
            self.kernel.call(self.channels.gpio, gpio::call(gpio::Procedure::Close, line));
        }
        let executor = u32::from(self.executor_expiry.take().is_some()) << timer::EXECUTOR_TIMER;
        let release = u32::from(core::mem::take(&mut self.release_is_armed)) << timer::RELEASE_TIMER;
        let armed = core::mem::take(&mut self.armed_timers) | executor | release;
        for number in (0..timer::TIMERS_PER_CLIENT).filter(|number| armed & (1 << number) != 0) {
            self.kernel.call(self.channels.timer, timer::call(timer::Procedure::Disarm, u64::from(number)));
        }
        // Nothing to give back: ends are the warden's to release, and the values stay.
        self.ends = EndTable::default();
        self.events = 0;
        self.edges_due = None;
        self.wait = None;
        self.delivery = None;
    }
}
