//! What happens in a run: when jobs are ready, how long they take, whom they call.

use std::{vec, vec::Vec};

use crate::{Platform, Release, Task};

/// Something that a job does on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// After so much of its execution.
    pub at_ns: u64,
    /// What.
    pub kind: StepKind,
}

/// What a job does beside computing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepKind {
    /// It calls a driver and waits for the answer.
    Call {
        /// Index of the driver.
        driver: usize,
        /// The driver's time.
        length_ns: u64,
    },
    /// It waits of itself.
    Wait {
        /// How long.
        length_ns: u64,
    },
}

/// One job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// From its release until it can run.
    pub jitter_ns: u64,
    /// Its computing, without switches.
    pub execution_ns: u64,
    /// What it does meanwhile, in order.
    pub steps: Vec<Step>,
}

/// One activation of a system task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Activation {
    /// Its plan.
    pub at_ns: u64,
    /// How much later it comes.
    pub jitter_ns: u64,
    /// How long it takes.
    pub execution_ns: u64,
}

/// A stretch in which whoever has the processor cannot be preempted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section {
    /// Beginning.
    pub at_ns: u64,
    /// How long, unless whoever has the processor gives it up before.
    pub length_ns: u64,
    /// Where nobody of the tasks had the processor: the call to a driver that ends it. Nothing for none.
    pub call_ns: u64,
}

/// What happens in a run. Asked for each thing once, in order.
pub trait Behaviour {
    /// The release of a task's job number `number` (from 0); `previous_ns` is the release before it.
    fn release_ns(&mut self, task: usize, number: u64, previous_ns: u64) -> u64;
    /// What the job that is released then does.
    fn job(&mut self, task: usize, number: u64, release_ns: u64) -> Job;
    /// A system task's activation number `number`.
    fn activation(&mut self, system: usize, number: u64, previous_ns: u64) -> Activation;
    /// The next stretch without preemption, not before `after_ns`.
    fn section(&mut self, after_ns: u64) -> Option<Section>;
}

/// A generator of numbers for tests: the same seed gives the same run anywhere. SplitMix64 (Steele, Lea and Flood, 2014).
#[derive(Debug, Clone)]
pub struct Seeded {
    state: u64,
}

impl Seeded {
    /// All seeds will do.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below the bound; 0 where there is none. The bias of the remainder does not matter here.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.any().checked_rem(bound).unwrap_or(0)
    }

    /// A number from 0 to the bound, the ends far more often than by chance: that is where things go wrong.
    pub fn up_to(&mut self, most: u64) -> u64 {
        match self.below(4) {
            0 => 0,
            1 => most,
            _ => self.below(most.saturating_add(1)),
        }
    }

    /// Once in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// Everything at once: all jobs and system tasks ready at the same instant, as late as their jitter allows, and those after
/// them without any; all take all they may; a nanosecond before, something less urgent begins what cannot be preempted.
///
/// The worst there is for tasks that do not wait of themselves (Liu and Layland, 1973; Audsley et al., 1993).
#[derive(Debug, Clone)]
pub struct CriticalInstant<'a> {
    tasks: &'a [Task],
    platform: &'a Platform<'a>,
    instant_ns: u64,
    section: Option<Section>,
}

impl<'a> CriticalInstant<'a> {
    /// For these tasks on this platform.
    #[must_use]
    pub fn new(tasks: &'a [Task], platform: &'a Platform<'a>) -> Self {
        let jitters = tasks.iter().map(|task| task.release_jitter_ns(platform));
        let late_ns = jitters.chain(platform.system.iter().map(|system| system.jitter_ns)).max().unwrap_or(0);
        let call_ns = platform.drivers.iter().map(|driver| driver.call_ns).max().unwrap_or(0);
        // One nanosecond in which nobody has anything to do, and one for the section to begin in.
        let section = Section { at_ns: late_ns + 1, length_ns: platform.blocking_ns, call_ns };
        let blocks = section.length_ns > 0 || call_ns > 0;
        Self { tasks, platform, instant_ns: late_ns + 2, section: blocks.then_some(section) }
    }

    /// When everything is ready.
    #[must_use]
    pub fn instant_ns(&self) -> u64 {
        self.instant_ns
    }
}

impl Behaviour for CriticalInstant<'_> {
    fn release_ns(&mut self, task: usize, number: u64, previous_ns: u64) -> u64 {
        match number {
            0 => self.instant_ns - self.tasks[task].release_jitter_ns(self.platform),
            _ => previous_ns + self.tasks[task].parameters().period_ns,
        }
    }

    fn job(&mut self, task: usize, number: u64, _: u64) -> Job {
        let parameters = self.tasks[task].parameters();
        let mut steps = Vec::new();
        for (driver, (count, of)) in parameters.calls.iter().zip(self.platform.drivers).enumerate() {
            steps.extend((0..*count).map(|_| StepKind::Call { driver, length_ns: of.call_ns }));
        }
        let length_ns = parameters.suspension.total_ns;
        if length_ns > 0 {
            steps.push(StepKind::Wait { length_ns });
        }
        let execution_ns = parameters.budget_ns + self.platform.slice_ns;
        let jitter_ns = if number == 0 { self.tasks[task].release_jitter_ns(self.platform) } else { 0 };
        let at = |index: usize| execution_ns / (steps.len() as u64 + 1) * (index as u64 + 1);
        let steps = steps.iter().enumerate().map(|(index, kind)| Step { at_ns: at(index), kind: *kind }).collect();
        Job { jitter_ns, execution_ns, steps }
    }

    fn activation(&mut self, system: usize, number: u64, previous_ns: u64) -> Activation {
        let of = &self.platform.system[system];
        match number {
            0 => Activation {
                at_ns: self.instant_ns - of.jitter_ns,
                jitter_ns: of.jitter_ns,
                execution_ns: of.budget_ns,
            },
            _ => Activation { at_ns: previous_ns + of.period_ns, jitter_ns: 0, execution_ns: of.budget_ns },
        }
    }

    fn section(&mut self, _: u64) -> Option<Section> {
        self.section.take()
    }
}

/// Anything that the parameters allow, with a liking for the ends of what they allow.
#[derive(Debug, Clone)]
pub struct Random<'a> {
    tasks: &'a [Task],
    platform: &'a Platform<'a>,
    choices: Seeded,
    style: Style,
    overrunning: Vec<bool>,
}

/// What a run is like as a whole.
#[derive(Debug, Clone, Copy)]
struct Style {
    /// Periodic jobs are released on the node's grid and ready at the tick after it; else at any phase, with any jitter in bounds.
    on_grid: bool,
    /// Everything begins together.
    together: bool,
    /// Jobs take all they may.
    full: bool,
}

impl<'a> Random<'a> {
    /// One run; the seed says which.
    #[must_use]
    pub fn new(tasks: &'a [Task], platform: &'a Platform<'a>, seed: u64) -> Self {
        let mut choices = Seeded::new(seed);
        let style = Style { on_grid: choices.once_in(3), together: choices.once_in(2), full: choices.once_in(2) };
        Self { tasks, platform, choices, style, overrunning: vec![false; tasks.len()] }
    }

    /// The same, where these tasks (indices) try to take more than they may, up to ten times as much.
    #[must_use]
    pub fn overrunning(mut self, tasks: &[usize]) -> Self {
        for task in tasks {
            self.overrunning[*task] = true;
        }
        self
    }

    fn phase_ns(&mut self, period_ns: u64) -> u64 {
        if self.style.together { 0 } else { self.choices.below(period_ns) }
    }

    fn execution_ns(&mut self, task: usize) -> u64 {
        let most_ns = self.tasks[task].parameters().budget_ns;
        match (self.overrunning[task], self.style.full) {
            (true, _) => most_ns * (1 + self.choices.below(10)) + self.choices.below(most_ns),
            (false, true) => most_ns + self.choices.up_to(self.platform.slice_ns),
            (false, false) => 1 + self.choices.up_to(most_ns - 1),
        }
    }

    fn jitter_ns(&mut self, task: usize, release_ns: u64) -> u64 {
        let of = &self.tasks[task];
        match of.parameters().release {
            Release::Periodic { .. } if self.style.on_grid => {
                let tick_ns = release_ns.next_multiple_of(self.platform.tick_period_ns.max(1));
                let late_ns = self.platform.tick_jitter_ns + of.parameters().jitter_ns;
                tick_ns - release_ns + self.choices.up_to(late_ns)
            }
            _ => self.choices.up_to(of.release_jitter_ns(self.platform)),
        }
    }

    /// As many calls and waits as a job may make, or fewer, anywhere in its execution.
    fn steps(&mut self, task: usize, execution_ns: u64) -> Vec<Step> {
        let parameters = self.tasks[task].parameters();
        let mut kinds = Vec::new();
        for (driver, (count, of)) in parameters.calls.iter().zip(self.platform.drivers).enumerate() {
            for _ in 0..*count {
                let length_ns = if self.style.full { of.call_ns } else { self.choices.up_to(of.call_ns) };
                kinds.push(StepKind::Call { driver, length_ns });
            }
        }
        let mut left_ns = parameters.suspension.total_ns;
        for _ in 0..parameters.suspension.times {
            let length_ns = self.choices.up_to(left_ns);
            left_ns -= length_ns;
            kinds.push(StepKind::Wait { length_ns });
        }
        let mut steps: Vec<Step> =
            kinds.into_iter().map(|kind| Step { at_ns: self.choices.up_to(execution_ns), kind }).collect();
        steps.sort_by_key(|step| step.at_ns);
        steps
    }
}

impl Behaviour for Random<'_> {
    fn release_ns(&mut self, task: usize, number: u64, previous_ns: u64) -> u64 {
        let parameters = self.tasks[task].parameters();
        let period_ns = parameters.period_ns;
        match (parameters.release, number) {
            (Release::Periodic { offset_ns }, 0) if self.style.on_grid => offset_ns,
            (_, 0) => self.phase_ns(period_ns),
            (Release::Periodic { .. }, _) => previous_ns + period_ns,
            (Release::Sporadic, _) if self.choices.once_in(4) => {
                previous_ns + period_ns + self.choices.below(period_ns)
            }
            (Release::Sporadic, _) => previous_ns + period_ns,
        }
    }

    fn job(&mut self, task: usize, _: u64, release_ns: u64) -> Job {
        let jitter_ns = self.jitter_ns(task, release_ns);
        let execution_ns = self.execution_ns(task);
        Job { jitter_ns, execution_ns, steps: self.steps(task, execution_ns) }
    }

    fn activation(&mut self, system: usize, number: u64, previous_ns: u64) -> Activation {
        let of = self.platform.system[system];
        let at_ns = if number == 0 { self.phase_ns(of.period_ns) } else { previous_ns + of.period_ns };
        let execution_ns = if self.style.full { of.budget_ns } else { self.choices.up_to(of.budget_ns) };
        Activation { at_ns, jitter_ns: self.choices.up_to(of.jitter_ns), execution_ns }
    }

    fn section(&mut self, after_ns: u64) -> Option<Section> {
        let longest_ns = self.platform.blocking_ns;
        let call_ns = self.platform.drivers.iter().map(|driver| driver.call_ns).max().unwrap_or(0);
        if longest_ns == 0 && call_ns == 0 {
            return None;
        }
        let apart_ns = (longest_ns + call_ns).saturating_mul(20).max(1);
        Some(Section {
            at_ns: after_ns + self.choices.below(apart_ns),
            length_ns: self.choices.up_to(longest_ns),
            call_ns: self.choices.up_to(call_ns),
        })
    }
}
