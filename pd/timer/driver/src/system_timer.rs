//! The BCM2711's system timer: a free-running counter of microseconds and compares that interrupt at one value of it.
//!
//! Offsets and meanings are those of "BCM2711 ARM Peripherals" (Raspberry Pi Ltd), chapter 10 "System Timer". Compare 1 is
//! ours; 0 and 2 are the VideoCore's, and 3 is left to whoever needs it. The counter and the processor's, which is the clock
//! of all domains, follow one crystal.
//!
//! A compare interrupts at *equality* alone. What is written a moment too late would come round in 71 minutes, so the counter
//! is looked at once more behind every write.

use runner_interfaces::boot_report::Finding;
use runner_interfaces::kernel::{Instant, Kernel};

use crate::tick_source::TickSource;

/// CS: bit 1 is set when the counter met compare 1; a 1 that is written clears it.
const CONTROL_STATUS: usize = 0x00;
const MATCH_1: u32 = 1 << 1;
/// CLO: the counter's lower 32 bits.
const COUNTER_LOW: usize = 0x04;
/// C1.
const COMPARE_1: usize = 0x10;

/// The counter's unit.
const MICROSECOND_NS: u64 = 1000;

/// How far ahead a compare is set at the most; from there it is set anew. Far below the 2³¹ µs in which "later" can be told
/// from "earlier".
const FARTHEST_US: u32 = 1 << 30;

/// Least distance between two interrupts. The domain has 90 µs in 900 µs, and each wake uses some of it up; what falls due closer
/// together is served together.
const LEAST_DISTANCE_US: u32 = 250;

/// How far ahead a compare is set that turned out to be late: first so much, then more. Reading the counter behind the write
/// takes less than the last of them on any of these boards.
const MARGINS_US: [u32; 4] = [2, 8, 32, 128];

/// An interrupt is overdue when its moment is so long ago: far longer than the way through the kernel.
const OVERDUE_US: u32 = 100;

/// For how long the counter is held against the clock at the start, and how far they may lie apart then.
const CHECKED_US: u32 = 100;
const CHECK_TOLERANCE_US: u64 = 5;
/// How often that is tried: the domain may lose the processor between two looks.
const CHECKS: u32 = 3;
/// The longest wait for the counter, in reads of it.
const CHECK_READS: u32 = 100_000;

/// Bytes of the register block.
pub const REGISTER_BLOCK_BYTES: usize = 0x1c;

/// The device's registers: 32-bit accesses that reach the device once each, in program order.
pub trait Registers {
    /// Reads the register at `offset`, a multiple of 4 below [`REGISTER_BLOCK_BYTES`].
    fn read(&self, offset: usize) -> u32;

    /// Writes the register at `offset`, likewise.
    fn write(&mut self, offset: usize, value: u32);
}

/// The system timer as a source of ticks.
#[derive(Debug)]
pub struct SystemTimer<R> {
    registers: R,
    /// What compare 1 was set to, until it is acknowledged.
    armed: Option<u32>,
    /// The counter at the last interrupt.
    last: u32,
}

impl<R: Registers> SystemTimer<R> {
    /// Takes compare 1 over, with nothing armed.
    pub fn new(mut registers: R) -> Self {
        registers.write(CONTROL_STATUS, MATCH_1);
        let last = registers.read(COUNTER_LOW).wrapping_sub(LEAST_DISTANCE_US);
        Self { registers, armed: None, last }
    }

    fn counter(&self) -> u32 {
        self.registers.read(COUNTER_LOW)
    }

    /// Whether the counter has not reached `compare` yet.
    fn is_ahead(&self, compare: u32) -> bool {
        is_after(compare, self.counter())
    }

    fn has_matched(&self) -> bool {
        self.registers.read(CONTROL_STATUS) & MATCH_1 != 0
    }

    fn set_compare(&mut self, compare: u32) {
        self.registers.write(COMPARE_1, compare);
        self.armed = Some(compare);
    }

    /// Microseconds that the counter and the clock lie apart after some time; `None` where the counter stands still.
    fn difference_us<K: Kernel>(&self, kernel: &K) -> Option<u64> {
        let (began, first) = (kernel.now(), self.counter());
        let last = (0..CHECK_READS).map(|_| self.counter()).find(|last| last.wrapping_sub(first) >= CHECKED_US)?;
        let by_clock = kernel.now().nanoseconds_since(began) / MICROSECOND_NS;
        Some(by_clock.abs_diff(u64::from(last.wrapping_sub(first))))
    }
}

/// Whether the counter is at `one` after it is at `other`, with the two less than 2³¹ apart.
const fn is_after(one: u32, other: u32) -> bool {
    one.wrapping_sub(other).cast_signed() > 0
}

impl<R: Registers> TickSource for SystemTimer<R> {
    fn can_be_armed(&self) -> bool {
        true
    }

    fn arm(&mut self, due: Instant, now: Instant) {
        let distance = due.nanoseconds_since(now).div_ceil(MICROSECOND_NS);
        let distance = u32::try_from(distance).map_or(FARTHEST_US, |distance| distance.min(FARTHEST_US));
        let counter = self.counter();
        let earliest = self.last.wrapping_add(LEAST_DISTANCE_US);
        // One more: the counter may be about to move, and a compare must never be early.
        let wanted = counter.wrapping_add(distance).wrapping_add(1);
        let mut compare = if is_after(earliest, wanted) { earliest } else { wanted };
        if self.armed == Some(compare) {
            return;
        }
        let mut margins = MARGINS_US.into_iter();
        loop {
            // Whatever matched before is not what is waited for now.
            self.registers.write(CONTROL_STATUS, MATCH_1);
            self.set_compare(compare);
            if self.is_ahead(compare) || self.has_matched() {
                return;
            }
            // Late with every margin: the next tick finds what is due.
            let Some(margin) = margins.next() else { return };
            compare = self.counter().wrapping_add(margin);
        }
    }

    fn acknowledge(&mut self) {
        self.registers.write(CONTROL_STATUS, MATCH_1);
        self.armed = None;
        self.last = self.counter();
    }

    fn is_overdue(&self) -> bool {
        self.armed.is_some_and(|compare| is_after(self.counter(), compare.wrapping_add(OVERDUE_US)))
    }

    fn check<K: Kernel>(&mut self, kernel: &K) -> Option<Finding> {
        let mut difference = None;
        for _ in 0..CHECKS {
            difference = self.difference_us(kernel);
            if difference.is_some_and(|difference| difference <= CHECK_TOLERANCE_US) {
                return Some(Finding::well(format_args!("the system timer agrees with the counter")));
            }
        }
        Some(match difference {
            None => Finding::wrong(format_args!("the system timer stands still: expiries come with the ticks")),
            Some(us) => Finding::wrong(format_args!("the system timer is {us} us off the counter in {CHECKED_US}")),
        })
    }
}

#[cfg(test)]
mod tests {
    use alloc::rc::Rc;
    use core::cell::Cell;

    use super::*;

    /// The device's own behaviour, as the sheet has it. Each look at the counter and each write takes `step` of its units.
    #[derive(Debug, Default)]
    struct Model {
        counter: Rc<Cell<u32>>,
        step: u32,
        compare: Cell<u32>,
        matched: Cell<bool>,
    }

    impl Model {
        fn advance(&self, units: u32) {
            for _ in 0..units {
                self.counter.set(self.counter.get().wrapping_add(1));
                if self.counter.get() == self.compare.get() {
                    self.matched.set(true);
                }
            }
        }
    }

    impl Registers for Model {
        fn read(&self, offset: usize) -> u32 {
            match offset {
                0x00 => (u32::from(self.matched.get()) << 1) | 0b1101,
                0x04 => {
                    self.advance(self.step);
                    self.counter.get()
                }
                _ => panic!("read of {offset:#x}"),
            }
        }

        fn write(&mut self, offset: usize, value: u32) {
            self.advance(self.step);
            match offset {
                0x00 => {
                    assert_eq!(value & !MATCH_1, 0, "the other compares are not ours");
                    self.matched.set(self.matched.get() && value & MATCH_1 == 0);
                }
                0x10 => self.compare.set(value),
                _ => panic!("write of {offset:#x}"),
            }
        }
    }

    fn at(microseconds: u64) -> Instant {
        Instant::from_nanoseconds(microseconds * 1000)
    }

    fn timer(counter: u32, step: u32) -> SystemTimer<Model> {
        SystemTimer::new(Model { counter: Rc::new(Cell::new(counter)), step, ..Model::default() })
    }

    /// Microseconds until the match, or `None` within `limit`.
    fn until_match(timer: &SystemTimer<Model>, limit: u32) -> Option<u32> {
        (0..=limit).find(|_| {
            let matched = timer.registers.matched.get();
            if !matched {
                timer.registers.advance(1);
            }
            matched
        })
    }

    #[test]
    fn a_one_shot_is_never_early_and_a_microsecond_late_at_the_most() {
        for counter in [0, 1_000_000, u32::MAX - 1000, u32::MAX - 500] {
            let mut timer = timer(counter, 0);
            timer.arm(Instant::from_nanoseconds(1_700_100), Instant::from_nanoseconds(1_000_000));
            assert_eq!(until_match(&timer, 1000), Some(702), "700.1 µs are 701, and one for the unit under way");
        }
    }

    #[test]
    fn what_is_due_already_comes_at_once() {
        for step in [0, 1, 3, 20, 60] {
            let mut timer = timer(5, step);
            timer.arm(at(10), at(20));
            assert!(until_match(&timer, 200).is_some(), "each access takes {step} µs");
        }
    }

    #[test]
    fn a_counter_that_runs_away_is_left_to_the_ticks() {
        let mut timer = timer(5, 1000);
        timer.arm(at(10), at(20));
        assert!(timer.is_overdue(), "and that is seen");
    }

    #[test]
    fn interrupts_keep_their_distance() {
        let mut timer = timer(1000, 0);
        timer.acknowledge();
        timer.arm(at(10), at(5));
        assert_eq!(until_match(&timer, 1000), Some(LEAST_DISTANCE_US));
        timer.acknowledge();
        timer.registers.advance(LEAST_DISTANCE_US);
        timer.arm(at(10), at(5));
        assert_eq!(until_match(&timer, 1000), Some(6));
    }

    #[test]
    fn what_is_far_away_is_armed_in_steps() {
        let mut timer = timer(7, 0);
        timer.arm(at(1 << 40), at(0));
        assert_eq!(timer.armed, Some(7 + FARTHEST_US + 1));
        timer.arm(Instant::from_nanoseconds(u64::MAX), at(0));
        assert_eq!(timer.armed, Some(7 + FARTHEST_US + 1));
    }

    #[test]
    fn an_interrupt_is_taken_back_before_the_next_is_armed() {
        let mut timer = timer(0, 0);
        timer.arm(at(300), at(0));
        assert!(until_match(&timer, 1000).is_some());
        timer.acknowledge();
        assert!(!timer.registers.matched.get() && !timer.is_overdue());
        timer.arm(at(1000), at(0));
        assert!(!timer.registers.matched.get());
    }

    #[test]
    fn an_interrupt_that_does_not_come_is_overdue() {
        let mut timer = timer(0, 0);
        timer.arm(at(300), at(0));
        timer.registers.advance(301 + OVERDUE_US);
        assert!(!timer.is_overdue());
        timer.registers.advance(1);
        assert!(timer.is_overdue());
    }

    /// A clock that runs `nanoseconds` a unit of the counter.
    struct Clock {
        counter: Rc<Cell<u32>>,
        nanoseconds: u64,
    }

    impl Kernel for Clock {
        fn notify(&mut self, _: runner_interfaces::kernel::Channel) {}
        fn call(
            &mut self,
            _: runner_interfaces::kernel::Channel,
            message: runner_interfaces::kernel::Message,
        ) -> runner_interfaces::kernel::Message {
            message
        }
        fn now(&self) -> Instant {
            Instant::from_nanoseconds(u64::from(self.counter.get()) * self.nanoseconds)
        }
    }

    #[test]
    fn a_timer_that_does_not_agree_with_the_clock_is_told() {
        let found = |step, nanoseconds| {
            let mut timer = timer(0, step);
            let clock = Clock { counter: Rc::clone(&timer.registers.counter), nanoseconds };
            timer.check(&clock).expect("there is a device")
        };
        assert!(matches!(found(1, 1000), Finding::Well(_)));
        for (step, nanoseconds) in [(0, 1000), (1, 900), (1, 2000)] {
            assert!(matches!(found(step, nanoseconds), Finding::Wrong(_)), "{step} {nanoseconds}");
        }
    }
}
