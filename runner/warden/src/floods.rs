//! Calls that cells make of the drivers: more than they may, and the cell is ended.
//!
//! The kernel holds no driver to a budget, since one that has used its budget up stands still for everybody. What calls take is bounded
//! by what a caller's own budget buys (docs/decisions/0011-drivers-time.md). Two things are left to be held here, by the drivers' own counts
//! and the clock, and no word of a cell's:
//!
//! - A container with a schedule makes as many calls in a release as its schedule says, and its cell sees to that; everybody's deadlines
//!   rest on it. A cell that makes more is not to be believed, and is ended.
//! - Cells without a schedule delay nobody who has one but by one call. But all of them at once may take so much that nothing below
//!   the cells comes round: neither `admission`, which would stop them, nor Linux. So there is a share of the processor for their
//!   calls together, and where they take more, those who call most are ended until the others stay within it.

use runner_interfaces::{
    MAX_CELLS,
    driver::{CALLS_WINDOW_NS, DriverWatch, SPARE_CALLS, UNSCHEDULED_CALLS_PERCENT},
    kernel::{Instant, Kernel, Wiring, required_region},
    policy::CALLED_DOMAINS,
    schedule::{Release, Schedule},
    warden::Intervention,
};
use shared_ring::SharedMemory;

use crate::{Cells, StartError, Warden, phase::Phase, symbols};

/// A count for each of [`CALLED_DOMAINS`].
type Calls = [u64; CALLED_DOMAINS.len()];

/// What the drivers have counted, and since when.
pub(crate) struct Callers<M> {
    drivers: [DriverWatch<M>; CALLED_DOMAINS.len()],
    since: Instant,
    before: [Calls; MAX_CELLS],
    /// Who was under a class then, held by a schedule, and is still in the same load: its number.
    held: [Option<u32>; MAX_CELLS],
}

impl<M: SharedMemory> Callers<M> {
    pub(crate) fn new<W: Wiring<Memory = M>>(wiring: &W) -> Result<Self, StartError> {
        let driver = |symbol| -> Result<_, StartError> {
            DriverWatch::new(required_region(wiring, symbol)?).map_err(|_| StartError::RegionTooSmall(symbol))
        };
        let [gpio, i2c, timer, exchange] = symbols::DRIVERS;
        let drivers = [driver(gpio)?, driver(i2c)?, driver(timer)?, driver(exchange)?];
        Ok(Self { drivers, since: Instant::default(), before: [Calls::default(); MAX_CELLS], held: [None; MAX_CELLS] })
    }

    /// Lines of `gpio` that interrupted too often and wait for leave to do it again.
    pub(crate) fn quiet_lines(&self) -> u64 {
        self.drivers[0].quiet_lines()
    }

    fn counted(&self, cell: usize) -> Calls {
        core::array::from_fn(|driver| self.drivers[driver].calls(cell))
    }

    /// What each cell has called since the last window began, and how long that is; a new one begins.
    fn take(&mut self, now: Instant) -> (u64, [Calls; MAX_CELLS]) {
        let elapsed_ns = now.nanoseconds_since(self.since);
        let mut made = [Calls::default(); MAX_CELLS];
        for (cell, made) in made.iter_mut().enumerate() {
            let counted = self.counted(cell);
            for (driver, made) in made.iter_mut().enumerate() {
                *made = counted[driver].wrapping_sub(self.before[cell][driver]);
            }
            self.before[cell] = counted;
        }
        self.since = now;
        (elapsed_ns, made)
    }
}

/// The driver, counted from 1, of which more calls were made in so long than the schedule has a container make: as often as it can
/// have been released, at both ends of the time as well.
fn driver_called_too_often(schedule: &Schedule, elapsed_ns: u64, made: &Calls) -> Option<usize> {
    let releases = (elapsed_ns / schedule.period_ns.max(1)).saturating_add(2);
    let may = |driver: usize| releases.saturating_mul(schedule.calls()[driver].into()).saturating_add(SPARE_CALLS);
    (0..made.len()).find(|&driver| made[driver] > may(driver)).map(|driver| driver + 1)
}

/// The driver that took most of the time, counted from 1.
fn most_called(call_ns: &[u32; CALLED_DOMAINS.len()], made: &Calls) -> usize {
    let time = |driver: usize| made[driver].saturating_mul(call_ns[driver].into());
    (0..made.len()).max_by_key(|&driver| time(driver)).map_or(0, |driver| driver + 1)
}

impl<M: SharedMemory + Clone, C: Cells> Warden<M, C> {
    /// Judges what was called since the last time, where that is long enough ago.
    pub(crate) fn judge_callers<K: Kernel>(&mut self, kernel: &mut K) {
        let now = kernel.now();
        if now.nanoseconds_since(self.callers.since) < CALLS_WINDOW_NS || !self.substrate.keeps_time() {
            return;
        }
        let (elapsed_ns, made) = self.callers.take(now);
        let held = self.callers.held;
        for number in 0..MAX_CELLS {
            self.callers.held[number] = self.held_load(number);
        }
        let mut unscheduled = [0_u64; MAX_CELLS];
        let call_ns = self.shares().map_or([0; CALLED_DOMAINS.len()], |shares| shares.call_ns);
        for (number, made) in made.iter().enumerate() {
            if held[number].is_some() && held[number] == self.callers.held[number] {
                let schedule = self.cell(number).assignment.plan.schedule;
                if let Some(driver) = driver_called_too_often(&schedule, elapsed_ns, made) {
                    self.end_flood(kernel, number, driver);
                }
            } else {
                let times = made.iter().zip(call_ns).map(|(&calls, ns)| calls.saturating_mul(ns.into()));
                unscheduled[number] = times.fold(0, u64::saturating_add);
            }
        }
        let may_ns = elapsed_ns / 100 * UNSCHEDULED_CALLS_PERCENT;
        while unscheduled.iter().fold(0, |sum: u64, &ns| sum.saturating_add(ns)) > may_ns {
            let Some(most) = (0..MAX_CELLS).max_by_key(|&number| unscheduled[number]) else { return };
            unscheduled[most] = 0;
            self.end_flood(kernel, most, most_called(&call_ns, &made[most]));
        }
    }

    /// The load of a cell that runs under a class and is to hold its container to a schedule's calls.
    fn held_load(&self, number: usize) -> Option<u32> {
        let cell = self.cells[number].as_ref()?;
        let is_held = matches!(cell.phase, Phase::Active { .. })
            && self.pool.class_of(number).is_some()
            && cell.assignment.plan.schedule.release() != Release::None;
        is_held.then(|| cell.generation())
    }

    /// Ends what is in the cell, whatever phase that is in: also a cell whose container has ended may have been taken over.
    fn end_flood<K: Kernel>(&mut self, kernel: &mut K, number: usize, driver: usize) {
        let Some(cell) = self.cells[number].as_ref() else { return };
        let phase = cell.phase;
        let shown = &mut self.table.cells[number];
        shown.floods = shown.floods.saturating_add(1);
        shown.flooded = u32::try_from(driver).unwrap_or(0);
        self.changed = true;
        if phase.is_live() {
            self.intervene(kernel, number, Intervention::Flooded);
        } else {
            self.restart_clean(kernel, number);
            self.cell(number).phase = phase;
        }
    }
}
