//! The procedures of `timer`, called by anybody with any words, while grants change and the clock jumps.
//!
//! Who is notified, and what is taken, is what a second account of the alarms says, kept here with wider numbers.

use std::{cell::Cell, rc::Rc};

use pd_timer_driver::{TickSource, Timer};
use runner_interfaces::{
    boot_report::Finding,
    grants::CellGrants,
    kernel::{Channel, ChannelSet, Domain, Instant, Kernel, Message},
    timer::{
        EXECUTOR_MINIMUM_NS, Procedure, Status, TIMER_STATUS_REGION_BYTES, TIMER_USAGE_OFFSET_BYTES, TIMERS_PER_CLIENT,
        TimerStatus,
    },
    usage::UsageTable,
};
use shared_ring::SequencedCell;

use super::paper::{
    CELLS, GRANTS_BYTES, Grants, PaperKernel, PaperMemory, WARDEN, Wires, caller, cell_of, check_refused, message,
    status_of,
};
use crate::script::Script;

const GRID: u8 = 61;
const INTERRUPT: u8 = 60;
const CHANNELS: &[(&str, u8)] =
    &[("channel_warden", WARDEN), ("channel_grid", GRID), ("channel_system_timer", INTERRUPT)];

/// The cells, and behind them the warden.
const CLIENTS: usize = CELLS.len() + 1;

/// A source that can be armed, and remembers for when.
#[derive(Clone, Default)]
struct PaperSource(Rc<Cell<Option<u64>>>);

impl TickSource for PaperSource {
    fn can_be_armed(&self) -> bool {
        true
    }
    fn arm(&mut self, due: Instant, _: Instant) {
        self.0.set(Some(due.nanoseconds()));
    }
    fn acknowledge(&mut self) {}
    fn is_overdue(&self) -> bool {
        false
    }
    fn check<K: Kernel>(&mut self, _: &K) -> Option<Finding> {
        None
    }
}

/// One alarm, told again.
#[derive(Clone, Copy, Default)]
struct Model {
    /// When it is due, and after how long again.
    armed: Option<(u128, u128)>,
    last_due: Option<u128>,
}

/// The end of time: what lies behind it is never due again.
const END: u128 = u64::MAX as u128;

impl Model {
    fn arm(&mut self, first: u64, period: u64, least: u64) {
        let earliest = self.last_due.map_or(0, |last| (last + u128::from(least)).min(END));
        self.armed = Some((u128::from(first).max(earliest), u128::from(period)));
    }

    /// How often it was due.
    fn expire(&mut self, now: u64) -> u128 {
        let now = u128::from(now);
        let Some((due, period)) = self.armed.filter(|(due, _)| *due <= now) else { return 0 };
        let more = (now - due).checked_div(period).unwrap_or(0);
        let last = due + more * period;
        self.last_due = Some(last);
        self.armed = Some((last + period, period)).filter(|(next, period)| *period > 0 && *next <= END);
        more + 1
    }
}

#[derive(Clone, Copy, Default)]
struct Client {
    alarms: [Model; TIMERS_PER_CLIENT as usize],
    untaken: u64,
    coalesced: u128,
}

pub(super) fn drive(input: &[u8]) {
    let mut script = Script::new(input);
    let wires = Wires::new(CHANNELS, &[("region_grants", GRANTS_BYTES), ("region_status", TIMER_STATUS_REGION_BYTES)]);
    let source = PaperSource::default();
    let timer = Timer::new(&wires, source.clone()).expect("wired");
    let status = wires.get("region_status");
    let mut bench = Bench {
        timer,
        source,
        grants: Grants::new(wires.get("region_grants")),
        usage: UsageTable::new(status.clone(), TIMER_USAGE_OFFSET_BYTES, usize::from(TIMERS_PER_CLIENT))
            .expect("it fits"),
        shown: SequencedCell::new(status, 0).expect("it fits"),
        kernel: PaperKernel::default(),
        clients: [Client::default(); CLIENTS],
    };
    bench.timer.start(&mut bench.kernel);
    while !script.is_over() {
        match script.byte() % 8 {
            0 => bench.change_grants(&mut script),
            1 | 2 => {
                bench.kernel.now_ns = bench.kernel.now_ns.saturating_add(script.duration_ns());
                bench.notify(ChannelSet::from_bits(1 << if script.flag() { GRID } else { INTERRUPT }));
            }
            3 => bench.notify(ChannelSet::from_bits(script.mask())),
            4 => {
                let message = message(&mut script, 6, 10);
                bench.call(caller(&mut script), message);
            }
            _ => {
                let message = bench.arm_or_take(&mut script);
                bench.call(caller(&mut script), message);
            }
        }
    }
}

struct Bench {
    timer: Timer<Wires, PaperSource>,
    source: PaperSource,
    grants: Grants,
    usage: UsageTable<PaperMemory>,
    shown: SequencedCell<PaperMemory, TimerStatus>,
    kernel: PaperKernel,
    clients: [Client; CLIENTS],
}

impl Bench {
    fn change_grants(&mut self, script: &mut Script<'_>) {
        let cell = usize::from(script.byte()) % CELLS.len();
        // More than there are is no more than there are.
        let timers = u32::from(script.byte() % 10);
        let grants = CellGrants { timers, minimum_period_ns: script.duration_ns(), ..CellGrants::default() };
        self.grants.write(cell, grants);
    }

    /// A call that means something: mostly to arm, near what is granted.
    fn arm_or_take(&self, script: &mut Script<'_>) -> Message {
        let kind = script.byte();
        let number = u64::from(kind / 8 % 9);
        match kind % 8 {
            0 => Message::with_word(u64::from(Procedure::Take.to_wire()), 0),
            1 => Message::with_word(u64::from(Procedure::Disarm.to_wire()), number),
            _ => {
                let first = self.kernel.now_ns.saturating_add(script.duration_ns());
                let period = if kind & 1 == 0 { 0 } else { script.duration_ns() };
                Message { label: u64::from(Procedure::Arm.to_wire()), words: [number, first, period, 0] }
            }
        }
    }

    fn notify(&mut self, channels: ChannelSet) {
        self.timer.notified(&mut self.kernel, channels);
        let mut expected = Vec::new();
        if [GRID, INTERRUPT].iter().any(|of| channels.bits() & 1 << of != 0) {
            for (number, client) in self.clients.iter_mut().enumerate() {
                let times = client.expire(self.kernel.now_ns);
                if times > 0 {
                    expected.push(CELLS.get(number).copied().unwrap_or(WARDEN));
                }
            }
            self.check_source();
        }
        assert_eq!(core::mem::take(&mut self.kernel.notified), expected, "who has something to take, and nobody else");
    }

    /// The source is asked for what is due first.
    fn check_source(&self) {
        let due = self.clients.iter().flat_map(|client| &client.alarms).filter_map(|alarm| alarm.armed).min();
        if let Some((due, _)) = due {
            assert_eq!(self.source.0.get().map(u128::from), Some(due));
        }
    }

    fn call(&mut self, caller: u8, message: Message) {
        let client = cell_of(caller).or_else(|| (caller == WARDEN).then_some(CELLS.len()));
        let before = self.shown.try_read().expect("shown since the start");
        let channel = Channel::new(caller).expect("a channel");
        let answer = self.timer.called(&mut self.kernel, channel, message);
        let status = status_of(&answer);
        assert!(self.kernel.notified.is_empty(), "nobody hears of a call");

        let expected = match client {
            None => Err(Status::Invalid),
            Some(client) => self.expected(client, &message),
        };
        match expected {
            Err(expected) => assert_eq!(status, expected, "{message:?}"),
            Ok(words) => assert_eq!((status, answer.words), (Status::Ok, words), "{message:?}"),
        }
        if client.is_some() {
            self.check_source();
        }
        let after = self.shown.try_read().expect("shown at each call");
        let refused = u64::from(status == Status::NotGranted);
        assert_eq!((after.calls, after.refused), (before.calls + 1, before.refused + refused));
        check_refused(before.refused_by_cell, after.refused_by_cell, cell_of(caller), refused);
        let counted: u64 = (0..CELLS.len()).flat_map(|cell| self.usage.of_cell(cell)).map(|usage| usage.calls).sum();
        assert!(counted <= after.calls);
    }

    /// What the call answers, and does to the model.
    fn expected(&mut self, client: usize, message: &Message) -> Result<[u64; 4], Status> {
        let [word, first, period, _] = message.words;
        let number = usize::try_from(word).ok().filter(|number| *number < usize::from(TIMERS_PER_CLIENT));
        match message.label {
            1 => {
                let number = number.ok_or(Status::NotFound)?;
                // The cell's own two need no right.
                let is_executors = number == 0 || number == 8;
                let least = match (is_executors, period) {
                    (true, 0) => 0,
                    (true, period) if period < EXECUTOR_MINIMUM_NS => return Err(Status::Invalid),
                    (true, _) => EXECUTOR_MINIMUM_NS,
                    _ => self.granted(client, number, first, period)?,
                };
                self.clients[client].alarms[number].arm(first, period, least);
                Ok([0; 4])
            }
            2 => {
                self.clients[client].alarms[number.ok_or(Status::NotFound)?].armed = None;
                Ok([0; 4])
            }
            3 => {
                let client = &mut self.clients[client];
                let coalesced = u64::try_from(client.coalesced).unwrap_or(u64::MAX);
                let taken = [client.untaken, coalesced, 0, 0];
                (client.untaken, client.coalesced) = (0, 0);
                Ok(taken)
            }
            4 if client == CELLS.len() => {
                let cell = usize::try_from(word).ok().filter(|cell| *cell < runner_interfaces::MAX_CELLS);
                let cell = cell.ok_or(Status::NotFound)?;
                if cell < CELLS.len() {
                    self.clients[cell] = Client::default();
                }
                Ok([0; 4])
            }
            _ => Err(Status::Invalid),
        }
    }

    /// The least distance that the cell was granted, or why it may not have that timer.
    fn granted(&self, client: usize, number: usize, first: u64, period: u64) -> Result<u64, Status> {
        let grants = if client < CELLS.len() { self.grants.now[client] } else { CellGrants::default() };
        let least = u128::from(grants.minimum_period_ns);
        let distance = match period {
            0 => u128::from(first.saturating_sub(self.kernel.now_ns)) + u128::from(EXECUTOR_MINIMUM_NS),
            period => u128::from(period),
        };
        let is_granted = number as u64 <= u64::from(grants.timers) && distance.min(END) >= least;
        if is_granted { Ok(grants.minimum_period_ns) } else { Err(Status::NotGranted) }
    }
}

impl Client {
    fn expire(&mut self, now: u64) -> u128 {
        let mut total = 0;
        for (number, alarm) in self.alarms.iter_mut().enumerate() {
            let times = alarm.expire(now);
            if times > 0 {
                let already = u128::from(self.untaken >> number & 1);
                // Counted up to what a word holds.
                self.coalesced = (self.coalesced + times - 1 + already).min(END);
                self.untaken |= 1 << number;
                total += times;
            }
        }
        total
    }
}
