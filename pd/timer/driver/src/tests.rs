//! The driver against callers that mean harm, with a clock and a kernel of paper.

use alloc::vec::Vec;

use proptest::prelude::*;
use runner_interfaces::boot_report::Finding;
use runner_interfaces::grants::{CellGrants, grant_offset_bytes};
use runner_interfaces::kernel::{Channel, ChannelSet, Domain, Instant, Kernel, Message, Wiring};
use runner_interfaces::timer::{
    EXECUTOR_TIMER, Procedure, RELEASE_TIMER, Status, TIMER_USAGE_OFFSET_BYTES, TIMERS_PER_CLIENT, TimerStatus,
    WARDEN_LIMIT_NS, WARDEN_LOOK_NS, arm, call,
};
use runner_interfaces::usage::{Usage, UsageTable};
use shared_ring::{HeapMemory, SequencedCell};

use crate::{PeriodicTicks, Registers, StartError, SystemTimer, TickSource, Timer};

const MILLISECOND: u64 = 1_000_000;
const WARDEN: u8 = 20;
const TICK: u8 = 61;
const INTERRUPT: u8 = 60;
/// The channels of cells 0 and 1.
const CELL: [u8; 2] = [0, 7];

/// The whole region of grants.
const GRANTS_BYTES: usize = runner_interfaces::MAX_CELLS * runner_interfaces::grants::GRANT_STRIDE_BYTES;

struct PaperWiring {
    grants: HeapMemory,
    status: HeapMemory,
}

impl Wiring for PaperWiring {
    type Memory = HeapMemory;

    fn channel(&self, symbol: &str) -> Option<Channel> {
        match symbol {
            "channel_warden" => Channel::new(WARDEN),
            "channel_grid" => Channel::new(TICK),
            "channel_system_timer" => Channel::new(INTERRUPT),
            "channel_cell0" => Channel::new(CELL[0]),
            "channel_cell1" => Channel::new(CELL[1]),
            _ => None,
        }
    }

    fn region(&self, symbol: &str) -> Option<HeapMemory> {
        match symbol {
            "region_grants" => Some(self.grants.clone()),
            "region_status" => Some(self.status.clone()),
            _ => None,
        }
    }
}

#[derive(Default)]
struct PaperKernel {
    now: u64,
    notified: Vec<u8>,
}

impl Kernel for PaperKernel {
    fn notify(&mut self, channel: Channel) {
        self.notified.push(channel.number());
    }
    fn call(&mut self, _: Channel, _: Message) -> Message {
        panic!("a driver calls nobody")
    }
    fn now(&self) -> Instant {
        Instant::from_nanoseconds(self.now)
    }
}

struct Bench {
    wiring: PaperWiring,
    timer: Timer<PaperWiring, PeriodicTicks>,
    kernel: PaperKernel,
}

impl Bench {
    fn new() -> Self {
        let wiring = PaperWiring {
            grants: HeapMemory::new(GRANTS_BYTES),
            status: HeapMemory::new(runner_interfaces::timer::TIMER_STATUS_REGION_BYTES),
        };
        let timer = Timer::new(&wiring, PeriodicTicks).expect("wired");
        let mut bench = Self { wiring, timer, kernel: PaperKernel::default() };
        bench.timer.start(&mut bench.kernel);
        bench
    }

    fn grant(&self, cell: usize, timers: u32, minimum_period_ns: u64) {
        let offset = grant_offset_bytes(cell).expect("a cell");
        let mut entry = SequencedCell::new(self.wiring.grants.clone(), offset).expect("fits");
        entry.write(&CellGrants { timers, minimum_period_ns, ..CellGrants::default() });
    }

    fn send(&mut self, channel: u8, message: Message) -> Message {
        self.timer.called(&mut self.kernel, Channel::new(channel).expect("a channel"), message)
    }

    fn arm(&mut self, channel: u8, number: u8, first_ns: u64, period_ns: u64) -> Status {
        Status::of(&self.send(channel, arm(number, first_ns, period_ns)))
    }

    /// Expired timers and coalesced expiries.
    fn take(&mut self, channel: u8) -> (u64, u64) {
        let answer = self.send(channel, call(Procedure::Take, 0));
        assert_eq!(Status::of(&answer), Status::Ok);
        (answer.words[0], answer.words[1])
    }

    /// A tick at `now`; answers who was notified.
    fn tick_at(&mut self, now: u64) -> Vec<u8> {
        self.kernel.now = now;
        let channels = ChannelSet::default().with(Channel::new(TICK).expect("a channel"));
        self.timer.notified(&mut self.kernel, channels);
        core::mem::take(&mut self.kernel.notified)
    }

    /// Calls and refusals counted for a timer.
    fn used(&self, cell: usize, number: usize) -> (u64, u64) {
        let table =
            UsageTable::new(self.wiring.status.clone(), TIMER_USAGE_OFFSET_BYTES, usize::from(TIMERS_PER_CLIENT));
        let Usage { calls, refused, .. } = table.expect("fits").read(cell, number);
        (calls, refused)
    }

    fn status(&self) -> TimerStatus {
        SequencedCell::new(self.wiring.status.clone(), 0).expect("fits").try_read().expect("shown since the start")
    }
}

/// A counter that moves by `step` at every look, at a rate that somebody stated.
struct Counter {
    now: core::cell::Cell<u64>,
    step: u64,
    rate_hz: Option<u64>,
}

impl Kernel for Counter {
    fn notify(&mut self, _: Channel) {}
    fn call(&mut self, _: Channel, _: Message) -> Message {
        unreachable!("the timer calls nobody")
    }
    fn now(&self) -> Instant {
        self.now.set(self.now.get() + self.step);
        Instant::from_nanoseconds(self.now.get())
    }
    fn counter_rate_hz(&self) -> Option<u64> {
        self.rate_hz
    }
}

#[test]
fn a_counter_that_stands_still_or_has_no_rate_is_told() {
    let wiring = PaperWiring {
        grants: HeapMemory::new(GRANTS_BYTES),
        status: HeapMemory::new(runner_interfaces::timer::TIMER_STATUS_REGION_BYTES),
    };
    let found = |step, rate_hz| {
        let mut counter = Counter { now: core::cell::Cell::new(0), step, rate_hz };
        Timer::new(&wiring, PeriodicTicks).expect("wired").self_test(&mut counter)
    };
    assert!(matches!(found(16, Some(62_500_000)), Finding::Well(_)));
    assert!(matches!(found(16, None), Finding::Well(_)));
    assert_eq!(found(0, Some(62_500_000)), Finding::wrong(format_args!("the counter stands still")));
    // What the counter's reader makes of a rate that was never set.
    for rate_hz in [0, 1, u64::from(u32::MAX)] {
        assert!(matches!(found(16, Some(rate_hz)), Finding::Wrong(_)), "{rate_hz}");
    }
}

#[test]
fn a_granted_timer_expires_for_its_cell_alone() {
    let mut bench = Bench::new();
    bench.grant(0, 2, MILLISECOND);
    assert_eq!(bench.arm(CELL[0], 2, 5 * MILLISECOND, 0), Status::Ok);
    assert_eq!(bench.tick_at(5 * MILLISECOND - 1), []);
    assert_eq!(bench.tick_at(5 * MILLISECOND), [CELL[0]]);
    assert_eq!(bench.take(CELL[1]), (0, 0));
    assert_eq!(bench.take(CELL[0]), (0b100, 0));
    assert_eq!(bench.take(CELL[0]), (0, 0));
    assert_eq!(bench.tick_at(100 * MILLISECOND), []);
}

#[test]
fn more_timers_or_shorter_periods_than_granted_are_refused_and_counted() {
    let mut bench = Bench::new();
    bench.grant(0, 2, 10 * MILLISECOND);
    assert_eq!(bench.arm(CELL[0], 3, 50 * MILLISECOND, 0), Status::NotGranted);
    assert_eq!(bench.arm(CELL[0], 1, 50 * MILLISECOND, 10 * MILLISECOND - 1), Status::NotGranted);
    assert_eq!(bench.arm(CELL[0], 1, 5 * MILLISECOND, 0), Status::NotGranted);
    assert_eq!(bench.arm(CELL[0], 1, 0, 10 * MILLISECOND), Status::Ok);
    assert_eq!(bench.arm(CELL[0], 2, 10 * MILLISECOND, 0), Status::Ok);
    assert_eq!(bench.arm(CELL[1], 1, 50 * MILLISECOND, 0), Status::NotGranted, "the other cell was granted nothing");
    assert_eq!((bench.status().refused, &bench.status().refused_by_cell[..2]), (4, &[3, 1][..]));
    assert_eq!([1, 2, 3].map(|number| bench.used(0, number)), [(3, 2), (1, 0), (1, 1)]);
    assert_eq!((bench.used(1, 1), bench.used(1, 2)), ((1, 1), (0, 0)));
    // What the warden does is nobody's use of a right.
    bench.send(WARDEN, arm(0, 50 * MILLISECOND, 0));
    assert_eq!((bench.used(0, 0), bench.used(1, 0)), ((0, 0), (0, 0)));
}

#[test]
fn a_one_shot_that_was_computed_a_moment_ago_is_not_refused() {
    let mut bench = Bench::new();
    bench.grant(0, 1, 10 * MILLISECOND);
    bench.kernel.now = 7 * MILLISECOND + 30_000;
    assert_eq!(bench.arm(CELL[0], 1, 17 * MILLISECOND, 0), Status::Ok);
}

#[test]
fn arming_again_and_again_is_no_faster_than_granted() {
    let mut bench = Bench::new();
    bench.grant(0, 1, 10 * MILLISECOND);
    let mut expiries = 0;
    for tick in 0..100 {
        bench.arm(CELL[0], 1, 0, 1000 * MILLISECOND);
        expiries += bench.tick_at(tick * MILLISECOND).len();
    }
    assert_eq!(expiries, 10);
}

#[test]
fn the_executors_timers_need_no_grant() {
    let mut bench = Bench::new();
    for channel in [CELL[0], CELL[1], WARDEN] {
        assert_eq!(bench.arm(channel, EXECUTOR_TIMER, 0, 0), Status::Ok);
    }
    assert_eq!(bench.tick_at(1), [CELL[0], CELL[1], WARDEN]);
    assert_eq!(bench.take(WARDEN), (1, 0));
    assert_eq!(bench.arm(CELL[0], EXECUTOR_TIMER, 0, MILLISECOND - 1), Status::Invalid);
    assert_eq!(bench.arm(CELL[0], EXECUTOR_TIMER, 0, MILLISECOND), Status::Ok);
    assert_eq!(bench.arm(CELL[0], RELEASE_TIMER, 0, MILLISECOND - 1), Status::Invalid);
    assert_eq!(bench.arm(CELL[0], RELEASE_TIMER, 0, MILLISECOND), Status::Ok);
    assert_eq!(bench.arm(WARDEN, 1, MILLISECOND, 0), Status::NotGranted, "the warden has no more than that");
}

/// Over 10⁶ periods, with a tick that comes late by another time each: what is due is due by the clock, and not by when the
/// domain came to look.
#[test]
fn releases_do_not_drift() {
    let mut bench = Bench::new();
    assert_eq!(bench.arm(CELL[0], RELEASE_TIMER, 3 * MILLISECOND, MILLISECOND), Status::Ok);
    let mut late_ns = 1;
    for period in 3..1_000_003_u64 {
        late_ns = late_ns * 48_271 % 0x7fff_ffff;
        if period % 1000 == 0 {
            assert_eq!(bench.tick_at(period * MILLISECOND - 1), []);
        }
        assert_eq!(bench.tick_at(period * MILLISECOND + late_ns % 900_000), [CELL[0]]);
        assert_eq!(bench.take(CELL[0]), (1 << RELEASE_TIMER, 0));
    }
}

#[test]
fn expiries_that_were_not_taken_are_counted() {
    let mut bench = Bench::new();
    bench.grant(0, 1, MILLISECOND);
    bench.arm(CELL[0], 1, 10 * MILLISECOND, 2 * MILLISECOND);
    assert_eq!(bench.tick_at(10 * MILLISECOND), [CELL[0]]);
    assert_eq!(bench.tick_at(12 * MILLISECOND), [CELL[0]]);
    // Ticks were late: 14, 16 and 18 fall together.
    assert_eq!(bench.tick_at(19 * MILLISECOND), [CELL[0]]);
    assert_eq!(bench.take(CELL[0]), (0b10, 4));
    assert_eq!(bench.tick_at(20 * MILLISECOND), [CELL[0]], "on its grid again");
    assert_eq!(bench.take(CELL[0]), (0b10, 0));
    assert_eq!(bench.status().expiries, 6);
}

/// A container's release: its period is a tick, and for a million of them each tick brings one expiry, the one that is due at that very
/// time, however late within its millisecond the tick is served. Where a tick is lost, the next brings both, and no later one moves.
#[test]
fn a_million_periods_of_a_tick_do_not_drift() {
    const PERIODS: u64 = 1_000_000;
    const LOST_EVERY: u64 = 1009;
    let mut bench = Bench::new();
    bench.grant(0, 1, MILLISECOND);
    assert_eq!(bench.arm(CELL[0], 1, MILLISECOND, MILLISECOND), Status::Ok);
    let mut coalesced = 0;
    for tick in 1..=PERIODS {
        // Just before it is due, a wake of another cause finds nothing.
        assert_eq!(bench.tick_at(tick * MILLISECOND - 1), [0_u8; 0], "before tick {tick}");
        if tick.is_multiple_of(LOST_EVERY) {
            // Lost, and brought by the next wake, just before the next is due.
            assert_eq!(bench.tick_at((tick + 1) * MILLISECOND - 1), CELL[..1]);
        } else {
            assert_eq!(bench.tick_at(tick * MILLISECOND + tick * 7919 % 900_000), CELL[..1], "at tick {tick}");
        }
        let (timers, more) = bench.take(CELL[0]);
        assert_eq!(timers, 1 << 1);
        coalesced += more;
    }
    assert_eq!(coalesced, 0, "each was served within its own period");
    let status = SequencedCell::<_, TimerStatus>::new(bench.wiring.status.clone(), 0).expect("fits").try_read();
    assert_eq!(status.map(|status| status.expiries), Some(PERIODS));
}

/// The warden's channel, and a bench on which its timer expired at 1 ms.
fn with_an_expiry_for_the_warden() -> Bench {
    let mut bench = Bench::new();
    assert_eq!(bench.arm(WARDEN, EXECUTOR_TIMER, MILLISECOND, 0), Status::Ok);
    assert_eq!(bench.tick_at(MILLISECOND), [WARDEN]);
    bench
}

#[test]
fn a_warden_that_does_not_come_round_is_told() {
    let mut bench = with_an_expiry_for_the_warden();
    let stands = |bench: &Bench| (bench.status().warden_still_since_ns, bench.status().warden_stalls);
    bench.tick_at(MILLISECOND + WARDEN_LIMIT_NS - 1);
    assert_eq!(stands(&bench), (0, 0), "it has time");
    bench.tick_at(MILLISECOND + WARDEN_LIMIT_NS);
    assert_eq!(stands(&bench), (MILLISECOND, 1));
    // What others do is no sign of its life, and neither is what it sets without fetching.
    bench.arm(0, EXECUTOR_TIMER, 9 * WARDEN_LIMIT_NS, 0);
    bench.take(0);
    assert_eq!(bench.arm(WARDEN, EXECUTOR_TIMER, 3 * WARDEN_LIMIT_NS, 0), Status::Ok);
    bench.tick_at(5 * WARDEN_LIMIT_NS);
    assert_eq!(stands(&bench), (MILLISECOND, 1), "once, and since when it began");
    bench.take(WARDEN);
    assert_eq!(stands(&bench), (0, 1), "it is back");
    bench.arm(WARDEN, EXECUTOR_TIMER, 6 * WARDEN_LIMIT_NS, 0);
    bench.tick_at(6 * WARDEN_LIMIT_NS);
    bench.tick_at(7 * WARDEN_LIMIT_NS);
    assert_eq!(stands(&bench), (6 * WARDEN_LIMIT_NS, 2));
}

#[test]
fn a_warden_that_fetches_its_expiries_is_well() {
    let mut bench = Bench::new();
    for second in 1..100 {
        bench.arm(WARDEN, EXECUTOR_TIMER, second * WARDEN_LOOK_NS, 0);
        assert_eq!(bench.tick_at(second * WARDEN_LOOK_NS), [WARDEN]);
        bench.tick_at(second * WARDEN_LOOK_NS + WARDEN_LIMIT_NS - 1);
        bench.take(WARDEN);
    }
    // It sets none, and nothing is to be fetched.
    bench.tick_at(1000 * WARDEN_LIMIT_NS);
    assert_eq!((bench.status().warden_still_since_ns, bench.status().warden_stalls), (0, 0));
}

#[test]
fn a_disarmed_timer_does_not_expire() {
    let mut bench = Bench::new();
    bench.grant(0, 1, MILLISECOND);
    bench.arm(CELL[0], 1, MILLISECOND, MILLISECOND);
    assert_eq!(Status::of(&bench.send(CELL[0], call(Procedure::Disarm, 1))), Status::Ok);
    assert_eq!(bench.tick_at(10 * MILLISECOND), []);
}

#[test]
fn what_is_released_is_disarmed_and_forgotten() {
    let mut bench = Bench::new();
    bench.grant(0, 7, MILLISECOND);
    for number in 0..8 {
        bench.arm(CELL[0], number, MILLISECOND, MILLISECOND);
    }
    bench.arm(CELL[1], 0, MILLISECOND, 0);
    bench.tick_at(MILLISECOND);
    assert_eq!(Status::of(&bench.send(WARDEN, call(Procedure::Release, 0))), Status::Ok);
    assert_eq!(bench.take(CELL[0]), (0, 0));
    assert_eq!(bench.take(CELL[1]), (1, 0), "the other cell's are its own");
    assert_eq!(bench.tick_at(50 * MILLISECOND), []);
}

#[test]
fn only_the_warden_releases() {
    let mut bench = Bench::new();
    bench.arm(CELL[0], 0, MILLISECOND, 0);
    assert_eq!(Status::of(&bench.send(CELL[1], call(Procedure::Release, 0))), Status::Invalid);
    assert_eq!(bench.tick_at(MILLISECOND), [CELL[0]]);
    for no_cell in [8, u64::MAX] {
        assert_eq!(Status::of(&bench.send(WARDEN, call(Procedure::Release, no_cell))), Status::NotFound);
    }
}

#[test]
fn words_that_make_no_sense_are_refused() {
    let mut bench = Bench::new();
    bench.grant(0, u32::MAX, 0);
    let cases = [
        (Message::new(0), Status::Invalid),
        (Message::new(5), Status::Invalid),
        (Message::new(u64::MAX), Status::Invalid),
        (arm(9, 0, 0), Status::NotFound),
        (arm(255, 0, 0), Status::NotFound),
        (call(Procedure::Disarm, 9), Status::NotFound),
        (call(Procedure::Disarm, 1 << 32), Status::NotFound),
    ];
    for (message, expected) in cases {
        assert_eq!(Status::of(&bench.send(CELL[0], message)), expected, "{message:?}");
    }
    assert_eq!(Status::of(&bench.send(33, call(Procedure::Take, 0))), Status::Invalid);
    assert_eq!(bench.status().invalid, cases.len() as u64 + 1);
    // Numbers at the ends of their range do not stop the domain.
    for (first_ns, period_ns) in [(0, u64::MAX), (u64::MAX, 1), (u64::MAX, u64::MAX), (0, 1)] {
        assert_eq!(bench.arm(CELL[0], 1, first_ns, period_ns), Status::Ok);
        bench.tick_at(u64::MAX);
    }
}

#[test]
fn a_region_that_is_too_small_is_found_at_the_start() {
    let wiring = PaperWiring { grants: HeapMemory::new(GRANTS_BYTES), status: HeapMemory::new(16) };
    assert_eq!(Timer::new(&wiring, PeriodicTicks).err(), Some(StartError::RegionTooSmall));
}

/// A source that remembers what it was asked for.
#[derive(Default)]
struct PaperSource {
    armed: Option<u64>,
    acknowledged: u32,
    overdue: bool,
}

impl TickSource for alloc::rc::Rc<core::cell::RefCell<PaperSource>> {
    fn can_be_armed(&self) -> bool {
        true
    }
    fn arm(&mut self, due: Instant, _: Instant) {
        self.borrow_mut().armed = Some(due.nanoseconds());
    }
    fn acknowledge(&mut self) {
        self.borrow_mut().acknowledged += 1;
    }
    fn is_overdue(&self) -> bool {
        self.borrow().overdue
    }
    fn check<K: Kernel>(&mut self, _: &K) -> Option<Finding> {
        Some(Finding::wrong(format_args!("made of paper")))
    }
}

#[test]
fn the_source_is_armed_for_what_is_due_first_and_ticks_catch_what_it_misses() {
    let wiring = PaperWiring {
        grants: HeapMemory::new(GRANTS_BYTES),
        status: HeapMemory::new(runner_interfaces::timer::TIMER_STATUS_REGION_BYTES),
    };
    let source = alloc::rc::Rc::new(core::cell::RefCell::new(PaperSource::default()));
    let mut timer = Timer::new(&wiring, source.clone()).expect("wired");
    let mut kernel = PaperKernel::default();
    let status =
        || SequencedCell::<_, TimerStatus>::new(wiring.status.clone(), 0).expect("fits").try_read().expect("shown");
    let channel = |number| Channel::new(number).expect("a channel");
    timer.start(&mut kernel);
    assert_eq!(source.borrow().armed, None, "nothing is due");

    timer.called(&mut kernel, channel(CELL[0]), arm(EXECUTOR_TIMER, 9 * MILLISECOND, 0));
    timer.called(&mut kernel, channel(CELL[1]), arm(EXECUTOR_TIMER, 4_200_000, 5 * MILLISECOND));
    assert_eq!(source.borrow().armed, Some(4_200_000));

    kernel.now = 4_201_000;
    timer.notified(&mut kernel, ChannelSet::default().with(channel(INTERRUPT)));
    assert_eq!(core::mem::take(&mut kernel.notified), [CELL[1]]);
    assert_eq!((source.borrow().armed, source.borrow().acknowledged), (Some(9 * MILLISECOND), 1));

    // The next interrupt does not come; the tick behind it brings what is due, once.
    kernel.now = 10 * MILLISECOND;
    source.borrow_mut().overdue = true;
    timer.notified(&mut kernel, ChannelSet::default().with(channel(TICK)));
    assert_eq!(core::mem::take(&mut kernel.notified), [CELL[0], CELL[1]]);
    assert_eq!(source.borrow().armed, Some(14_200_000), "on its grid");
    let shown = status();
    assert_eq!((shown.ticks, shown.interrupts, shown.missed_interrupts, shown.expiries), (1, 1, 1, 3));

    timer.called(&mut kernel, channel(CELL[1]), call(Procedure::Disarm, u64::from(EXECUTOR_TIMER)));
    timer.called(&mut kernel, channel(CELL[0]), arm(EXECUTOR_TIMER, 20 * MILLISECOND, 0));
    assert_eq!(source.borrow().armed, Some(20 * MILLISECOND), "what was disarmed is not waited for");
    assert_eq!(timer.self_test(&mut kernel), Finding::wrong(format_args!("the counter stands still")));
}

/// The board: one crystal behind the clock and the system timer's counter, which the driver's own looks do not move.
struct Board {
    /// Nanoseconds since the start; the counter was at `counter_at_start` then.
    now: core::cell::Cell<u64>,
    counter_at_start: u32,
    compare: core::cell::Cell<u32>,
    matched: core::cell::Cell<bool>,
}

impl Board {
    fn counter(&self) -> u32 {
        let passed = u32::try_from(self.now.get() / 1000 % (1 << 32)).expect("32 bits");
        self.counter_at_start.wrapping_add(passed)
    }

    /// Lets time pass, and answers whether the compare was met on the way.
    fn pass(&self, nanoseconds: u64) -> bool {
        let to_compare = u64::from(self.compare.get().wrapping_sub(self.counter()));
        let before = self.now.get() / 1000;
        self.now.set(self.now.get() + nanoseconds);
        let passed = self.now.get() / 1000 - before;
        self.matched.set(self.matched.get() || (1..=passed).contains(&to_compare));
        self.matched.get()
    }
}

impl Registers for alloc::rc::Rc<Board> {
    fn read(&self, offset: usize) -> u32 {
        match offset {
            0x00 => u32::from(self.matched.get()) << 1,
            0x04 => self.counter(),
            _ => panic!("read of {offset:#x}"),
        }
    }
    fn write(&mut self, offset: usize, value: u32) {
        match offset {
            0x00 => self.matched.set(self.matched.get() && value & 2 == 0),
            0x10 => self.compare.set(value),
            _ => panic!("write of {offset:#x}"),
        }
    }
}

/// Counts who is notified, with the board's clock.
struct BoardKernel {
    board: alloc::rc::Rc<Board>,
    notified: u64,
}

impl Kernel for BoardKernel {
    fn notify(&mut self, _: Channel) {
        self.notified += 1;
    }
    fn call(&mut self, _: Channel, _: Message) -> Message {
        panic!("a driver calls nobody")
    }
    fn now(&self) -> Instant {
        Instant::from_nanoseconds(self.board.now.get())
    }
}

/// A domain on the board, with the executor's timer of cell 0 due every `period_ns`.
fn on_board(period_ns: u64) -> (Timer<PaperWiring, SystemTimer<alloc::rc::Rc<Board>>>, BoardKernel) {
    let board = alloc::rc::Rc::new(Board {
        now: core::cell::Cell::new(0),
        counter_at_start: u32::MAX - 1_000_000,
        compare: core::cell::Cell::new(0),
        matched: core::cell::Cell::new(false),
    });
    let wiring = PaperWiring {
        grants: HeapMemory::new(GRANTS_BYTES),
        status: HeapMemory::new(runner_interfaces::timer::TIMER_STATUS_REGION_BYTES),
    };
    let mut timer = Timer::new(&wiring, SystemTimer::new(alloc::rc::Rc::clone(&board))).expect("wired");
    let mut kernel = BoardKernel { board, notified: 0 };
    let armed =
        timer.called(&mut kernel, Channel::new(CELL[0]).expect("a channel"), arm(EXECUTOR_TIMER, period_ns, period_ns));
    assert_eq!(Status::of(&armed), Status::Ok);
    (timer, kernel)
}

fn set_of(channel: u8) -> ChannelSet {
    ChannelSet::default().with(Channel::new(channel).expect("a channel"))
}

#[test]
fn a_million_periods_by_interrupt_do_not_drift_over_the_counters_wrap() {
    const PERIOD_NS: u64 = 5_000_700;
    let (mut timer, mut kernel) = on_board(PERIOD_NS);
    let board = alloc::rc::Rc::clone(&kernel.board);
    for period in 1..=1_000_000_u64 {
        // To the microsecond before it is due nothing comes, and at the latest two microseconds behind it does.
        let due = period * PERIOD_NS;
        assert!(!board.pass(due - board.now.get() - 1), "early in period {period}");
        assert!(board.pass(2001), "late in period {period}");
        timer.notified(&mut kernel, set_of(INTERRUPT));
        assert_eq!(kernel.notified, period);
    }
}

#[test]
fn without_interrupts_ticks_bring_every_expiry_once() {
    const PERIOD_MS: u64 = 5;
    let (mut timer, mut kernel) = on_board(PERIOD_MS * MILLISECOND);
    let board = alloc::rc::Rc::clone(&kernel.board);
    for tick in 1..=20_000_u64 {
        board.pass(MILLISECOND);
        timer.notified(&mut kernel, set_of(TICK));
        assert_eq!(kernel.notified, tick / PERIOD_MS, "at tick {tick}");
    }
}

#[test]
fn a_storm_of_interrupts_expires_nothing_early() {
    let (mut timer, mut kernel) = on_board(50 * MILLISECOND);
    let board = alloc::rc::Rc::clone(&kernel.board);
    for _ in 0..9_999 {
        board.pass(5_000);
        timer.notified(&mut kernel, set_of(INTERRUPT));
        assert_eq!(kernel.notified, 0);
    }
    board.pass(5_000);
    timer.notified(&mut kernel, set_of(INTERRUPT));
    assert_eq!(kernel.notified, 1);
}

proptest! {
    /// Whatever a cell arms, however often, whenever ticks come: no timer of its expires more often than it was granted, and
    /// none that it was not granted does at all.
    #[test]
    fn no_timer_is_faster_than_granted(
        timers in 0_u32..4,
        minimum_ms in 1_u64..20,
        steps in proptest::collection::vec((0_u64..3, 0_u8..4, 0_u64..3, 0_u64..40), 1..300),
    ) {
        let mut bench = Bench::new();
        bench.grant(0, timers, minimum_ms * MILLISECOND);
        let mut expiries = [0_u64; 8];
        let mut now = 0;
        for (wait_ms, number, distance_ms, period_ms) in steps {
            now += wait_ms * MILLISECOND;
            bench.kernel.now = now;
            bench.arm(CELL[0], number, now + distance_ms * MILLISECOND, period_ms * MILLISECOND);
            bench.tick_at(now);
            let (taken, _) = bench.take(CELL[0]);
            for (number, count) in expiries.iter_mut().enumerate() {
                *count += taken >> number & 1;
            }
        }
        for (number, count) in expiries.into_iter().enumerate().skip(1) {
            let most = if number as u64 <= u64::from(timers) { now / (minimum_ms * MILLISECOND) + 1 } else { 0 };
            prop_assert!(count <= most, "timer {} expired {} times in {} ns", number, count, now);
        }
    }
}
