//! When the loop hook is released, and how punctual that was.
//!
//! A container with a schedule does its work in *jobs*. Where the clock releases it, a job is one call of the loop hook, and
//! begins at its release or as soon as the cell gets the processor; where events do, it is what follows on a wait for them, up
//! to the next such wait. A job that is not done when others were to be released keeps those from ever beginning: the container
//! is one thread of control, and a late answer to an old question is no answer to the next. They are counted.
//!
//! How much of the processor a job may take, and how many calls it may make, is [`crate::allowance`]'s.
//!
//! It trusts the clock, and the timer domain only with waking the cell: what is released is decided by the clock here.

use alloc::rc::Rc;

use runner_interfaces::{
    kernel::Instant,
    schedule::{OnOverrun, Release, Schedule},
    timing::{Measure, ReleaseCounts, TimingTable},
};
use shared_ring::SharedMemory;

use crate::allowance::Allowance;

/// Where a cell keeps how punctual its container is.
pub(crate) type Timing = TimingTable<Rc<dyn SharedMemory>>;

/// Work that was released.
#[derive(Clone, Copy, Debug)]
struct Job {
    release: Instant,
    deadline: Instant,
    missed: bool,
}

/// The releases of one container.
pub(crate) struct Releases {
    schedule: Schedule,
    timing: Timing,
    counts: ReleaseCounts,
    job: Option<Job>,
    /// The earliest that the next event may release work.
    earliest: Instant,
    /// When the event came that nobody answered yet.
    arrival: Option<Instant>,
    /// What it may take until the next release, where its cell holds it to that.
    pub(crate) allowance: Option<Allowance>,
}

impl Releases {
    pub(crate) fn new(schedule: Schedule, timing: Timing, generation: u32) -> Self {
        timing.begin(generation);
        Self {
            schedule,
            timing,
            counts: ReleaseCounts { generation: generation.into(), ..ReleaseCounts::default() },
            job: None,
            earliest: Instant::default(),
            arrival: None,
            allowance: Allowance::new(schedule),
        }
    }

    /// What releases the loop hook.
    pub(crate) fn kind(&self) -> Release {
        self.schedule.release()
    }

    pub(crate) fn period_ns(&self) -> u64 {
        self.schedule.period_ns
    }

    /// The next release by the clock. Those that a job ran over are skipped.
    pub(crate) fn next(&self, now: Instant) -> Instant {
        self.schedule.release_from(now)
    }

    /// Work begins `now` that was released at `release`.
    pub(crate) fn begin(&mut self, release: Instant, now: Instant) {
        let deadline = release.saturating_add(self.schedule.deadline_ns);
        self.job = Some(Job { release, deadline, missed: false });
        self.earliest = release.saturating_add(self.schedule.period_ns);
        self.arrival = None;
        self.counts.released += 1;
        if let Some(allowance) = &mut self.allowance {
            allowance.begin(release);
        }
        self.timing.record(Measure::Jitter, now.nanoseconds_since(release));
        self.timing.set_counts(&self.counts);
    }

    /// The work that was released is done.
    pub(crate) fn complete(&mut self, now: Instant) {
        let Some(job) = self.job else { return };
        self.look_at_deadline(now);
        self.job = None;
        self.counts.completed += 1;
        self.timing.record(Measure::Response, now.nanoseconds_since(job.release));
        if now <= job.deadline {
            self.timing.record(Measure::Slack, job.deadline.nanoseconds_since(now));
        }
        if self.kind() == Release::Periodic {
            // The release after this one is still to come where no other was run over.
            let run_over = now.nanoseconds_since(job.release).saturating_sub(1) / self.schedule.period_ns.max(1);
            self.counts.skipped += run_over;
        }
        self.timing.set_counts(&self.counts);
    }

    /// Nothing is counted of the work under way: the container is being stopped or held.
    pub(crate) fn abandon(&mut self) {
        self.job = None;
    }

    /// Counts a deadline that has passed; answers whether the container has failed by that.
    pub(crate) fn look_at_deadline(&mut self, now: Instant) -> bool {
        let Some(job) = self.job.as_mut().filter(|job| now > job.deadline) else { return false };
        if !job.missed {
            job.missed = true;
            self.counts.missed += 1;
            self.timing.set_counts(&self.counts);
        }
        self.fails_by_overrun()
    }

    /// Whether the container has failed once it has used its budget up.
    pub(crate) fn fails_by_overrun(&self) -> bool {
        self.schedule.on_overrun() != OnOverrun::Skip
    }

    /// When the cell must look at the clock although nothing happens: the container fails by a deadline that passes.
    pub(crate) fn limit(&self) -> Option<Instant> {
        let job = self.job.filter(|_| self.fails_by_overrun())?;
        Some(job.deadline)
    }

    /// An event came.
    pub(crate) fn note_arrival(&mut self, now: Instant) {
        self.arrival.get_or_insert(now);
    }

    /// What came is not what the container waits for.
    pub(crate) fn forget_arrival(&mut self) {
        self.arrival = None;
    }

    /// The earliest that an event may release work.
    pub(crate) fn earliest(&self) -> Instant {
        self.earliest
    }

    /// When the work is released that answers the event which came last.
    pub(crate) fn release_of_event(&self, now: Instant) -> Instant {
        self.arrival.unwrap_or(now).max(self.earliest).min(now)
    }

    /// The longest from a release to when its work must be done, in microseconds, for a person.
    pub(crate) fn deadline_us(&self) -> u64 {
        self.schedule.deadline_ns / 1000
    }

    /// What a release may take of the processor, in microseconds, for a person.
    pub(crate) fn budget_us(&self) -> u64 {
        self.schedule.budget_ns / 1000
    }

    /// A call of another domain took so long.
    pub(crate) fn record_host_call(&mut self, took_ns: u64) {
        self.timing.record(Measure::HostCall, took_ns);
        if let Some(allowance) = &mut self.allowance {
            allowance.note_call(took_ns);
        }
    }
}
