//! Whose timers there are, and what a caller may do with them.

use runner_interfaces::MAX_CELLS;
use runner_interfaces::boot_report::Finding;
use runner_interfaces::driver::{DriverWatch, StartError};
use runner_interfaces::grants::{CellGrants, grant_offset_bytes};
use runner_interfaces::kernel::{
    Channel, ChannelSet, Domain, Instant, Kernel, Message, Wiring, required_channel, required_region,
};
use runner_interfaces::timer::{
    EXECUTOR_MINIMUM_NS, EXECUTOR_TIMER, Procedure, RELEASE_TIMER, Status, TIMER_USAGE_OFFSET_BYTES, TIMERS_PER_CLIENT,
    TimerStatus, WARDEN_LIMIT_NS,
};
use runner_interfaces::usage::{Count, UsageTable};
use shared_ring::{OutOfRange, SequencedCell, SharedMemory};

use crate::alarm::Alarm;
use crate::tick_source::TickSource;

/// The cells and the warden.
const CLIENTS: usize = MAX_CELLS + 1;

/// The warden's place among the clients, behind the cells.
const WARDEN: usize = MAX_CELLS;

/// A one-shot is asked for some time after the container computed it. So much less than the granted distance is still
/// taken as that distance: one tick, below which expiries cannot be told apart anyway.
const CALL_ALLOWANCE_NS: u64 = EXECUTOR_MINIMUM_NS;

/// One client's timers.
#[derive(Clone, Copy, Debug, Default)]
struct Client {
    /// `None` where `system.xml` has no such client.
    channel: Option<Channel>,
    alarms: [Alarm; TIMERS_PER_CLIENT as usize],
    /// Timers that expired and were not taken, a bit a number.
    untaken: u64,
    /// Expiries that fell together with one that was not taken yet.
    coalesced: u64,
}

impl Client {
    /// When the first of its timers is due.
    fn next_due(&self) -> Option<Instant> {
        self.alarms.iter().filter_map(Alarm::due).min()
    }

    /// Expires what is due; answers how many expiries there were.
    fn expire(&mut self, now: Instant) -> u64 {
        let mut total = 0_u64;
        for (number, alarm) in self.alarms.iter_mut().enumerate() {
            let times = alarm.expire(now);
            if times == 0 {
                continue;
            }
            let bit = 1 << number;
            let already = u64::from(self.untaken & bit != 0);
            self.coalesced = self.coalesced.saturating_add(times - 1 + already);
            self.untaken |= bit;
            total = total.saturating_add(times);
        }
        total
    }

    fn take(&mut self) -> [u64; 4] {
        [core::mem::take(&mut self.untaken), core::mem::take(&mut self.coalesced), 0, 0]
    }

    /// Forgets everything but who it is.
    fn release(&mut self) {
        *self = Self { channel: self.channel, ..Self::default() };
    }
}

/// What a served call answers, or why it was not served.
type Outcome = Result<[u64; 4], Status>;

/// The answer of a call that has nothing to say.
const DONE: [u64; 4] = [0; 4];

/// The `timer` domain. `W` is the substrate's wiring, `S` what the board has beside the ticks.
pub struct Timer<W: Wiring, S> {
    clients: [Client; CLIENTS],
    tick: Channel,
    source: S,
    /// The source's interrupt.
    interrupt: Option<Channel>,
    grants: [SequencedCell<W::Memory, CellGrants>; MAX_CELLS],
    shown: SequencedCell<W::Memory, TimerStatus>,
    status: TimerStatus,
    usage: UsageTable<W::Memory>,
    watch: DriverWatch<W::Memory>,
    /// Since when the warden has an expiry that it did not fetch.
    warden_told: Option<Instant>,
}

impl<W: Wiring, S: TickSource> Timer<W, S> {
    /// The domain, with no timer armed.
    ///
    /// # Errors
    /// `system.xml` gives the domain too little; see [`StartError`].
    pub fn new(wiring: &W, source: S) -> Result<Self, StartError> {
        let grants = required_region(wiring, "region_grants")?;
        let status = required_region(wiring, "region_status")?;
        let mut clients = [Client::default(); CLIENTS];
        for (cell, client) in clients.iter_mut().enumerate().take(MAX_CELLS) {
            client.channel = wiring.channel(&alloc::format!("channel_cell{cell}"));
        }
        clients[WARDEN].channel = Some(required_channel(wiring, "channel_warden")?);
        Ok(Self {
            clients,
            tick: required_channel(wiring, "channel_grid")?,
            source,
            interrupt: wiring.channel("channel_system_timer"),
            grants: grant_cells(&grants)?,
            usage: UsageTable::new(status.clone(), TIMER_USAGE_OFFSET_BYTES, usize::from(TIMERS_PER_CLIENT))?,
            watch: DriverWatch::new(status.clone())?,
            warden_told: None,
            shown: SequencedCell::new(status, 0)?,
            status: TimerStatus::default(),
        })
    }

    fn client_of(&self, channel: Channel) -> Option<usize> {
        self.clients.iter().position(|client| client.channel == Some(channel))
    }

    /// What the client may use now; nothing before the warden's first word. The warden itself has no more than the executor's
    /// timer.
    fn grants_of(&self, client: usize) -> CellGrants {
        self.grants.get(client).and_then(SequencedCell::try_read).unwrap_or_default()
    }

    fn serve(&mut self, client: usize, message: Message, now: Instant) -> Outcome {
        let procedure = u32::try_from(message.label).ok().and_then(Procedure::from_wire).ok_or(Status::Invalid)?;
        let [word, first_ns, period_ns, _] = message.words;
        match procedure {
            Procedure::Arm => {
                self.arm(client, timer_number(word)?, Instant::from_nanoseconds(first_ns), period_ns, now)
            }
            Procedure::Disarm => {
                self.clients[client].alarms[timer_number(word)?].disarm();
                Ok(DONE)
            }
            Procedure::Take => Ok(self.clients[client].take()),
            Procedure::Release if client == WARDEN => {
                let cell = usize::try_from(word).ok().filter(|&cell| cell < MAX_CELLS).ok_or(Status::NotFound)?;
                self.clients[cell].release();
                Ok(DONE)
            }
            Procedure::Release => Err(Status::Invalid),
        }
    }

    fn arm(&mut self, client: usize, number: usize, first: Instant, period_ns: u64, now: Instant) -> Outcome {
        let is_executors = [EXECUTOR_TIMER, RELEASE_TIMER].map(usize::from).contains(&number);
        let least_distance_ns = if is_executors {
            executor_distance(period_ns)?
        } else {
            granted_distance(self.grants_of(client), number, first.nanoseconds_since(now), period_ns)?
        };
        self.clients[client].alarms[number].arm(first, period_ns, least_distance_ns);
        Ok(DONE)
    }

    /// Takes the source's interrupt into account, or its absence at a tick.
    fn note_wake(&mut self, ticked: bool, interrupted: bool) {
        if interrupted {
            self.status.interrupts = self.status.interrupts.wrapping_add(1);
            self.source.acknowledge();
        }
        if ticked {
            self.status.ticks = self.status.ticks.wrapping_add(1);
            if self.source.is_overdue() {
                self.status.missed_interrupts = self.status.missed_interrupts.wrapping_add(1);
                self.source.acknowledge();
            }
        }
    }

    /// Asks the source for an interrupt when something is due next. A look at each timer there can be, whatever is armed.
    fn arm_source(&mut self, now: Instant) {
        if self.source.can_be_armed()
            && let Some(due) = self.clients.iter().filter_map(Client::next_due).min()
        {
            self.source.arm(due, now);
        }
    }

    /// Expires what is due for every client and notifies those that have something to take.
    fn expire<K: Kernel>(&mut self, kernel: &mut K) {
        let now = kernel.now();
        for client in &mut self.clients {
            let expiries = client.expire(now);
            if expiries == 0 {
                continue;
            }
            self.status.expiries = self.status.expiries.wrapping_add(expiries);
            if let Some(channel) = client.channel {
                kernel.notify(channel);
            }
        }
    }

    /// Looks whether the warden comes round: it fetches the expiries of its timer, and sets it again. Nobody else notices where it does not,
    /// since it is the one who watches everybody.
    fn watch_warden(&mut self, now: Instant) {
        if self.clients[WARDEN].untaken == 0 {
            (self.warden_told, self.status.warden_still_since_ns) = (None, 0);
            return;
        }
        let told = *self.warden_told.get_or_insert(now);
        if now.nanoseconds_since(told) >= WARDEN_LIMIT_NS && self.status.warden_still_since_ns == 0 {
            self.status.warden_still_since_ns = told.nanoseconds().max(1);
            self.status.warden_stalls = self.status.warden_stalls.wrapping_add(1);
        }
    }

    /// Counts a call that is about one timer. The warden's are nobody's use of a right; the table has no room for them.
    fn count_use(&self, client: usize, message: Message, outcome: Outcome) {
        let procedure = u32::try_from(message.label).ok().and_then(Procedure::from_wire);
        let Some(Procedure::Arm | Procedure::Disarm) = procedure else { return };
        let Ok(number) = timer_number(message.words[0]) else { return };
        self.usage.add(client, number, Count::Calls, 1);
        if outcome == Err(Status::NotGranted) {
            self.usage.add(client, number, Count::Refused, 1);
        }
    }

    fn count(&mut self, client: Option<usize>, outcome: Outcome) {
        self.status.calls = self.status.calls.wrapping_add(1);
        match outcome {
            Err(Status::NotGranted) => {
                self.status.refused = self.status.refused.wrapping_add(1);
                // The clients are the cells, and behind them those to whom nothing is refused.
                if let Some(refused) = client.and_then(|client| self.status.refused_by_cell.get_mut(client)) {
                    *refused = refused.wrapping_add(1);
                }
            }
            Err(_) => self.status.invalid = self.status.invalid.wrapping_add(1),
            Ok(_) => {}
        }
    }
}

/// The longest wait for the counter to move, in reads of it: some milliseconds on any machine, and the slowest counter
/// (1 MHz) moves every microsecond.
const COUNTER_READS: u32 = 100_000;

/// Rates of the generic timer's counter that a machine may have: the Arm Architecture Reference Manual (DDI 0487, "The system
/// counter") expects 1 to 50 MHz and has 1 GHz from version 8.6 on. Anything else was not set by the firmware.
const COUNTER_RATES_HZ: core::ops::RangeInclusive<u64> = 1_000_000..=1_000_000_000;

/// Looks whether time passes, and at a rate that was stated.
fn look_at_counter<K: Kernel>(kernel: &K) -> Finding {
    let before = kernel.now();
    if !(0..COUNTER_READS).any(|_| kernel.now() != before) {
        return Finding::wrong(format_args!("the counter stands still"));
    }
    match kernel.counter_rate_hz() {
        None => Finding::well(format_args!("the clock runs")),
        Some(rate) if COUNTER_RATES_HZ.contains(&rate) => Finding::well(format_args!("the counter runs, {rate} Hz")),
        Some(rate) => Finding::wrong(format_args!("the firmware states {rate} Hz as the counter's rate (CNTFRQ_EL0)")),
    }
}

impl<W: Wiring, S: TickSource, K: Kernel> Domain<K> for Timer<W, S> {
    fn self_test(&mut self, kernel: &mut K) -> Finding {
        match look_at_counter(kernel) {
            Finding::Well(counter) => self.source.check(kernel).unwrap_or(Finding::Well(counter)),
            wrong => wrong,
        }
    }

    fn start(&mut self, _: &mut K) {
        self.shown.write(&self.status);
    }

    fn notified(&mut self, kernel: &mut K, channels: ChannelSet) {
        let ticked = channels.contains(self.tick);
        let interrupted = self.interrupt.is_some_and(|interrupt| channels.contains(interrupt));
        if ticked || interrupted {
            let began = kernel.now();
            if ticked {
                self.status.lateness.count(began);
            }
            self.note_wake(ticked, interrupted);
            self.expire(kernel);
            let now = kernel.now();
            self.watch_warden(now);
            self.arm_source(now);
            self.status.longest_ns = self.status.longest_ns.max(now.nanoseconds_since(began));
            // Some twenty words: cheaper than deciding whether it is worth it.
            self.shown.write(&self.status);
        }
    }

    fn called(&mut self, kernel: &mut K, channel: Channel, message: Message) -> Message {
        let caller = self.client_of(channel);
        let outcome = match caller {
            Some(client) => {
                if client != WARDEN {
                    self.watch.count_call(client);
                }
                let now = kernel.now();
                let outcome = self.serve(client, message, now);
                self.count_use(client, message, outcome);
                if client == WARDEN {
                    self.watch_warden(now);
                }
                // The time that serving took must not make the source late.
                self.arm_source(kernel.now());
                outcome
            }
            // A channel that no caller should have: the description's fault, and still nobody else's harm.
            None => Err(Status::Invalid),
        };
        self.count(caller, outcome);
        self.shown.write(&self.status);
        match outcome {
            Ok(words) => Message { label: u64::from(Status::Ok.to_wire()), words },
            Err(status) => status.answer(),
        }
    }
}

fn timer_number(word: u64) -> Result<usize, Status> {
    usize::try_from(word).ok().filter(|&number| number < usize::from(TIMERS_PER_CLIENT)).ok_or(Status::NotFound)
}

/// The executor's timers need no grant. A one-shot may be due at once, which means at the next tick.
fn executor_distance(period_ns: u64) -> Result<u64, Status> {
    match period_ns {
        0 => Ok(0),
        period_ns if period_ns < EXECUTOR_MINIMUM_NS => Err(Status::Invalid),
        _ => Ok(EXECUTOR_MINIMUM_NS),
    }
}

/// How close together a container's expiries may be, or that it may not have what it asks for.
fn granted_distance(grants: CellGrants, number: usize, distance_ns: u64, period_ns: u64) -> Result<u64, Status> {
    let least = grants.minimum_period_ns;
    let has_timer = u32::try_from(number).is_ok_and(|number| number <= grants.timers);
    let fast = match period_ns {
        0 => distance_ns.saturating_add(CALL_ALLOWANCE_NS) < least,
        period_ns => period_ns < least,
    };
    if has_timer && !fast { Ok(least) } else { Err(Status::NotGranted) }
}

fn grant_cells<M: SharedMemory + Clone>(region: &M) -> Result<[SequencedCell<M, CellGrants>; MAX_CELLS], OutOfRange> {
    let mut cells = alloc::vec::Vec::with_capacity(MAX_CELLS);
    for cell in 0..MAX_CELLS {
        let offset = grant_offset_bytes(cell).ok_or(OutOfRange)?;
        cells.push(SequencedCell::new(region.clone(), offset)?);
    }
    cells.try_into().map_err(|_| OutOfRange)
}
