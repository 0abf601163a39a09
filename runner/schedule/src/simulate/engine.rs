//! The run itself: from event to event.

use std::{collections::VecDeque, ops::Range, vec::Vec};

use super::{
    behaviour::{Activation, Behaviour, Job, Section, StepKind},
    outcome::{MarkKind, Outcome, Row, TaskOutcome, Timeline},
    refills::Refills,
};
use crate::{Platform, Task, Trust};

/// What becomes of a job that has used its budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnOverrun {
    /// It goes on with the budget of the next release; the releases that it runs over are skipped.
    #[default]
    Skip,
    /// The task ends.
    Stop,
    /// The job ends, and the task begins anew with its next release.
    Restart,
}

/// What is simulated.
#[derive(Debug, Clone)]
pub struct Scenario<'a> {
    /// The tasks, at their levels.
    pub tasks: &'a [Task],
    /// The node. Its trust says who stops a job: the cell at its budget and a slice, or the kernel alone. A task's server
    /// holds it in either case.
    pub platform: &'a Platform<'a>,
    /// What becomes of jobs that the cell stops.
    pub on_overrun: OnOverrun,
    /// How long.
    pub horizon_ns: u64,
    /// What the timeline shows; an empty range for nothing.
    pub record: Range<u64>,
}

/// Plays a scenario.
///
/// # Panics
///
/// Where a behaviour plans two releases at one instant without end, or times leave 64 bits: it is for a developer's machine.
pub fn simulate(scenario: &Scenario<'_>, behaviour: &mut dyn Behaviour) -> Outcome {
    let mut run = Run::new(scenario, behaviour);
    while run.now_ns < scenario.horizon_ns {
        run.step();
    }
    run.finish()
}

/// Where a thread of a cell is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No job.
    Idle,
    /// It can run, as far as its scheduling context lets it.
    Runnable,
    /// A driver works for it.
    InCall,
    /// It waits of itself.
    Waiting { until_ns: u64 },
    /// For the next release: its budget, or its calls, are used up.
    ForRelease,
    /// Stopped for good.
    Ended,
}

/// A job in progress.
#[derive(Debug, Clone)]
struct Current {
    release_ns: u64,
    /// Computing with switches, and how much of it is done.
    length_ns: u64,
    done_ns: u64,
    /// How much was done since the last release.
    done_in_release_ns: u64,
    /// Positions count from the beginning of the length.
    steps: VecDeque<(u64, StepKind)>,
}

struct Thread {
    state: State,
    job: Option<Current>,
    refills: Option<Refills>,
    /// Switches after the kernel had stopped it; nobody is charged for them.
    overhead_ns: u64,
    /// Whether the kernel has it stopped.
    throttled: bool,
    /// Among equals, smaller came first.
    queued: u64,
    /// The release that was last, for calls: they are made until its deadline.
    last_release_ns: u64,
    /// The next job: its number, its release, and what it does.
    next_number: u64,
    next_release_ns: u64,
    next: Job,
    outcome: TaskOutcome,
}

/// Something above the cells, in its turn.
struct Above {
    row: Row,
    left_ns: u64,
    /// Whose call it is.
    caller: Option<usize>,
}

struct System {
    number: u64,
    next: Activation,
}

/// Who cannot be preempted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Locked {
    Nobody,
    Task { task: usize, until_ns: u64 },
    Background { until_ns: u64, call_ns: u64 },
}

/// Who gets the processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Runs {
    Above,
    Task(usize),
    Background,
}

struct Run<'a, 'b> {
    scenario: &'a Scenario<'a>,
    behaviour: &'b mut dyn Behaviour,
    now_ns: u64,
    threads: Vec<Thread>,
    systems: Vec<System>,
    above: VecDeque<Above>,
    section: Option<Section>,
    locked: Locked,
    last: Option<Runs>,
    queue_number: u64,
    timeline: Timeline,
}

impl<'a, 'b> Run<'a, 'b> {
    fn new(scenario: &'a Scenario<'a>, behaviour: &'b mut dyn Behaviour) -> Self {
        let threads = (0..scenario.tasks.len()).map(|task| Thread::new(task, scenario, behaviour)).collect();
        let systems = (0..scenario.platform.system.len())
            .map(|system| System { number: 0, next: behaviour.activation(system, 0, 0) })
            .collect();
        let section = behaviour.section(0);
        Self {
            scenario,
            behaviour,
            now_ns: 0,
            threads,
            systems,
            above: VecDeque::new(),
            section,
            locked: Locked::Nobody,
            last: None,
            queue_number: 0,
            timeline: Timeline::new(scenario.record.clone()),
        }
    }

    /// Everything that is due, then whoever is due until the next event.
    fn step(&mut self) {
        self.activate_systems();
        (0..self.threads.len()).for_each(|task| self.wake(task));
        (0..self.threads.len()).for_each(|task| self.release(task));
        self.begin_section();
        let runs = self.choose();
        self.last = Some(runs);
        let until_ns = self.next_event_ns().min(self.scenario.horizon_ns);
        match runs {
            Runs::Above => self.run_above(until_ns),
            Runs::Task(task) => self.run_task(task, until_ns),
            Runs::Background => self.run_background(until_ns),
        }
    }

    fn activate_systems(&mut self) {
        for index in 0..self.systems.len() {
            while self.systems[index].due_ns() <= self.now_ns {
                let System { number, next } = &mut self.systems[index];
                self.above.push_back(Above { row: Row::System(index), left_ns: next.execution_ns, caller: None });
                *number += 1;
                *next = self.behaviour.activation(index, *number, next.at_ns);
            }
        }
    }

    /// Waits that are over, and budgets that are back.
    fn wake(&mut self, task: usize) {
        let now_ns = self.now_ns;
        if matches!(self.threads[task].state, State::Waiting { until_ns } if until_ns <= now_ns) {
            self.make_runnable(task);
        }
        let switch_ns = self.scenario.platform.switch_ns;
        let thread = &mut self.threads[task];
        if thread.throttled && thread.refills.as_ref().is_some_and(|refills| refills.is_ready(now_ns)) {
            thread.throttled = false;
            thread.overhead_ns = 2 * switch_ns;
            thread.queued = self.queue_number;
            self.queue_number += 1;
        }
    }

    fn make_runnable(&mut self, task: usize) {
        self.threads[task].state = State::Runnable;
        self.threads[task].queued = self.queue_number;
        self.queue_number += 1;
    }

    /// Takes the release whose job is ready now, if there is one.
    fn release(&mut self, task: usize) {
        while self.threads[task].ready_ns() <= self.now_ns {
            let thread = &mut self.threads[task];
            let release_ns = thread.next_release_ns;
            let number = thread.next_number + 1;
            let following_ns = self.behaviour.release_ns(task, number, release_ns);
            let job = core::mem::replace(&mut thread.next, self.behaviour.job(task, number, following_ns));
            (thread.next_number, thread.next_release_ns) = (number, following_ns);
            thread.last_release_ns = release_ns;
            let deadline_ns = release_ns + self.scenario.tasks[task].parameters().deadline_ns;
            self.timeline.mark(task, release_ns, MarkKind::Release);
            self.timeline.mark(task, deadline_ns, MarkKind::Deadline);
            self.take_release(task, release_ns, job);
        }
    }

    fn take_release(&mut self, task: usize, release_ns: u64, job: Job) {
        let switch_ns = self.scenario.platform.switch_ns;
        let thread = &mut self.threads[task];
        match thread.state {
            State::Ended => return,
            State::Idle => {
                thread.outcome.released += 1;
                thread.job = Some(Current::new(release_ns, job, switch_ns));
                self.make_runnable(task);
                return;
            }
            _ => {}
        }
        thread.outcome.released += 1;
        thread.outcome.skipped += 1;
        self.timeline.mark(task, release_ns, MarkKind::Skip);
        if let Some(job) = &mut thread.job {
            job.done_in_release_ns = 0;
        }
        if thread.state == State::ForRelease {
            self.make_runnable(task);
        }
    }

    fn begin_section(&mut self) {
        let Some(section) = self.section.filter(|section| section.at_ns <= self.now_ns) else { return };
        if self.locked == Locked::Nobody {
            let until_ns = self.now_ns + section.length_ns;
            self.locked = match self.last {
                Some(Runs::Task(task)) if self.can_run(task) => Locked::Task { task, until_ns },
                Some(Runs::Background) => Locked::Background { until_ns, call_ns: section.call_ns },
                _ => Locked::Nobody,
            };
        }
        self.section = self.behaviour.section(self.now_ns + section.length_ns + 1);
    }

    fn can_run(&self, task: usize) -> bool {
        let thread = &self.threads[task];
        thread.state == State::Runnable && !thread.throttled
    }

    fn choose(&mut self) -> Runs {
        loop {
            let runs = self.first_in_line();
            let Runs::Task(task) = runs else { return runs };
            if self.last == Some(runs) || self.take_up(task) {
                return runs;
            }
        }
    }

    fn first_in_line(&mut self) -> Runs {
        match self.locked {
            Locked::Task { task, until_ns } if until_ns > self.now_ns && self.can_run(task) => return Runs::Task(task),
            Locked::Background { until_ns, .. } if until_ns > self.now_ns => return Runs::Background,
            Locked::Background { call_ns, .. } => {
                self.locked = Locked::Nobody;
                if call_ns > 0 {
                    // It was made before anybody else could run.
                    self.above.push_front(Above { row: Row::Background, left_ns: call_ns, caller: None });
                }
            }
            _ => self.locked = Locked::Nobody,
        }
        if !self.above.is_empty() {
            return Runs::Above;
        }
        // Who runs is not preempted by equals.
        let order = |task: &usize| {
            let running = self.last == Some(Runs::Task(*task));
            let thread = &self.threads[*task];
            (core::cmp::Reverse(self.scenario.tasks[*task].level()), !running, thread.queued)
        };
        (0..self.threads.len())
            .filter(|task| self.can_run(*task))
            .min_by_key(order)
            .map_or(Runs::Background, Runs::Task)
    }

    /// Gives a task the processor; no, if its scheduling context has nothing for it.
    fn take_up(&mut self, task: usize) -> bool {
        let now_ns = self.now_ns;
        if let Some(refills) = &mut self.threads[task].refills {
            refills.take_up(now_ns);
        }
        self.throttle_if_empty(task)
    }

    /// Whether it can go on.
    fn throttle_if_empty(&mut self, task: usize) -> bool {
        let now_ns = self.now_ns;
        let thread = &mut self.threads[task];
        let empty = thread.refills.as_ref().is_some_and(|refills| !refills.is_ready(now_ns));
        if empty && !thread.throttled {
            thread.throttled = true;
            thread.outcome.throttled += 1;
        }
        !empty
    }

    fn next_event_ns(&self) -> u64 {
        let systems = self.systems.iter().map(System::due_ns);
        let threads = self.threads.iter().map(|thread| thread.next_event_ns(self.now_ns));
        let section = self.section.map(|section| section.at_ns);
        let locked = match self.locked {
            Locked::Task { until_ns, .. } | Locked::Background { until_ns, .. } => Some(until_ns),
            Locked::Nobody => None,
        };
        let all = systems.chain(threads).chain(section).chain(locked);
        all.filter(|at_ns| *at_ns > self.now_ns).min().unwrap_or(u64::MAX)
    }

    fn run_above(&mut self, until_ns: u64) {
        let Some(first) = self.above.front_mut() else { return };
        let for_ns = first.left_ns.min(until_ns - self.now_ns);
        first.left_ns -= for_ns;
        self.timeline.ran(first.row, self.now_ns, self.now_ns + for_ns);
        self.now_ns += for_ns;
        if first.left_ns == 0
            && let Some(Above { caller: Some(task), .. }) = self.above.pop_front()
        {
            self.make_runnable(task);
        }
    }

    fn run_background(&mut self, until_ns: u64) {
        if self.locked != Locked::Nobody {
            self.timeline.ran(Row::Background, self.now_ns, until_ns);
        }
        self.now_ns = until_ns;
    }

    fn run_task(&mut self, task: usize, until_ns: u64) {
        let for_ns = self.longest_run_ns(task).min(until_ns - self.now_ns);
        self.timeline.ran(Row::Task(task), self.now_ns, self.now_ns + for_ns);
        self.now_ns += for_ns;
        let thread = &mut self.threads[task];
        let overhead_ns = for_ns.min(thread.overhead_ns);
        thread.overhead_ns -= overhead_ns;
        let worked_ns = for_ns - overhead_ns;
        if let Some(refills) = &mut thread.refills {
            refills.charge(worked_ns);
        }
        if let Some(job) = &mut thread.job {
            job.done_ns += worked_ns;
            job.done_in_release_ns += worked_ns;
        }
        if thread.overhead_ns == 0 {
            self.after_run(task);
        }
        if self.threads[task].state == State::Runnable {
            self.throttle_if_empty(task);
        }
    }

    /// Until the job's next step, its end, or the end of what it may take.
    fn longest_run_ns(&self, task: usize) -> u64 {
        let thread = &self.threads[task];
        let job = thread.job.as_ref().expect("a runnable thread has a job");
        let next_ns = job.steps.front().map_or(job.length_ns, |(at_ns, _)| *at_ns);
        let mut left_ns = next_ns.max(job.done_ns) - job.done_ns;
        if let Some(most_ns) = self.cell_limit_ns(task) {
            left_ns = left_ns.min(most_ns.max(job.done_in_release_ns) - job.done_in_release_ns);
        }
        if let Some(refills) = &thread.refills {
            left_ns = left_ns.min(refills.left_ns());
        }
        left_ns + thread.overhead_ns
    }

    /// How much of a job the cell lets run in one release.
    fn cell_limit_ns(&self, task: usize) -> Option<u64> {
        let platform = self.scenario.platform;
        let budget_ns = self.scenario.tasks[task].parameters().budget_ns;
        (platform.trust == Trust::Cells).then_some(budget_ns + platform.slice_ns + 2 * platform.switch_ns)
    }

    /// Steps that are due, the job's end, or its cell's stop.
    fn after_run(&mut self, task: usize) {
        let limit_ns = self.cell_limit_ns(task);
        let Some(job) = &mut self.threads[task].job else { return };
        if let Some((_, kind)) = job.steps.front().copied().filter(|(at_ns, _)| *at_ns <= job.done_ns) {
            self.take_step(task, kind);
        } else if job.done_ns >= job.length_ns {
            self.complete(task);
        } else if limit_ns.is_some_and(|limit_ns| job.done_in_release_ns >= limit_ns) {
            self.stop(task);
        }
    }

    fn take_step(&mut self, task: usize, kind: StepKind) {
        let deadline_ns = self.scenario.tasks[task].parameters().deadline_ns;
        let thread = &mut self.threads[task];
        let late = self.now_ns > thread.last_release_ns + deadline_ns;
        match kind {
            // The cell holds it until the next release, which then counts the call.
            StepKind::Call { .. } if late => {
                thread.state = State::ForRelease;
                return;
            }
            StepKind::Call { driver, length_ns } => {
                thread.state = State::InCall;
                let row = Row::Driver { task, driver };
                self.above.push_back(Above { row, left_ns: length_ns, caller: Some(task) });
            }
            StepKind::Wait { length_ns } => thread.state = State::Waiting { until_ns: self.now_ns + length_ns },
        }
        if let Some(job) = &mut thread.job {
            job.steps.pop_front();
        }
    }

    fn complete(&mut self, task: usize) {
        let thread = &mut self.threads[task];
        thread.state = State::Idle;
        thread.outcome.completed += 1;
        self.close(task);
    }

    /// The job is over: was it in time?
    fn close(&mut self, task: usize) {
        let deadline_ns = self.scenario.tasks[task].parameters().deadline_ns;
        let thread = &mut self.threads[task];
        let Some(job) = thread.job.take() else { return };
        let response_ns = self.now_ns - job.release_ns;
        thread.outcome.longest_response_ns = thread.outcome.longest_response_ns.max(response_ns);
        if response_ns > deadline_ns {
            thread.outcome.missed += 1;
            self.timeline.mark(task, job.release_ns + deadline_ns, MarkKind::Miss);
        }
    }

    fn stop(&mut self, task: usize) {
        let switch_ns = self.scenario.platform.switch_ns;
        let thread = &mut self.threads[task];
        thread.outcome.stopped += 1;
        match self.scenario.on_overrun {
            OnOverrun::Skip => {
                thread.state = State::ForRelease;
                if let Some(job) = &mut thread.job {
                    job.length_ns += 2 * switch_ns;
                }
            }
            OnOverrun::Stop => {
                thread.state = State::Ended;
                thread.job = None;
            }
            OnOverrun::Restart => {
                thread.state = State::Idle;
                thread.job = None;
            }
        }
    }

    /// Jobs that did not end, and whose deadlines have passed, are misses.
    fn finish(mut self) -> Outcome {
        for task in 0..self.threads.len() {
            let deadline_ns = self.scenario.tasks[task].parameters().deadline_ns;
            let late = |job: &Current| self.now_ns > job.release_ns + deadline_ns;
            if self.threads[task].job.as_ref().is_some_and(late) {
                self.close(task);
            }
        }
        let tasks = self.threads.into_iter().map(|thread| thread.outcome).collect();
        Outcome { tasks, timeline: self.timeline }
    }
}

impl Thread {
    fn new(task: usize, scenario: &Scenario<'_>, behaviour: &mut dyn Behaviour) -> Self {
        let platform = scenario.platform;
        let server = scenario.tasks[task].parameters().server;
        let refills = server.map(|server| {
            let most = usize::from(platform.refills);
            Refills::new(server.budget_ns(), server.period_ns(), most, platform.minimum_budget_ns)
        });
        let next_release_ns = behaviour.release_ns(task, 0, 0);
        let next = behaviour.job(task, 0, next_release_ns);
        Self {
            state: State::Idle,
            job: None,
            refills,
            overhead_ns: 0,
            throttled: false,
            queued: 0,
            last_release_ns: 0,
            next_number: 0,
            next_release_ns,
            next,
            outcome: TaskOutcome::default(),
        }
    }

    fn ready_ns(&self) -> u64 {
        self.next_release_ns + self.next.jitter_ns
    }

    fn next_event_ns(&self, now_ns: u64) -> u64 {
        let wait_ns = match self.state {
            State::Waiting { until_ns } => until_ns,
            _ => u64::MAX,
        };
        let refilled_ns = match &self.refills {
            Some(refills) if self.throttled => refills.ready_at_ns().max(now_ns),
            _ => u64::MAX,
        };
        self.ready_ns().min(wait_ns).min(refilled_ns)
    }
}

impl Current {
    fn new(release_ns: u64, job: Job, switch_ns: u64) -> Self {
        let steps = job.steps.iter().map(|step| (step.at_ns + switch_ns, step.kind)).collect();
        Self { release_ns, length_ns: job.execution_ns + 2 * switch_ns, done_ns: 0, done_in_release_ns: 0, steps }
    }
}

impl System {
    fn due_ns(&self) -> u64 {
        self.next.at_ns + self.next.jitter_ns
    }
}
