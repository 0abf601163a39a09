//! Whether a container's deadlines can be kept beside those of all others, and under which class and priority.
//!
//! The admission test itself is `runner-schedule`'s. Here its tasks and its platform are made of what the node knows (schedules, rights,
//! the board's costs, the pool of classes), and its answer becomes a place or a refusal with numbers.
//!
//! # Who is believed
//!
//! Where the board's policy states what a slice costs, cells hold containers to their budgets, a slice beyond them at the most, and everybody
//! else is told to expect that of them ([`Trust::Cells`]). The class is larger then, and its end is reached by nobody but a cell
//! that does not do so, which the warden ends. Where the policy states none, the kernel alone is believed: everybody else is told to
//! expect of a container all that its class allows ([`Trust::Kernel`]), whatever its manifest says. Of the calls to drivers the cell
//! is believed in any case.
//!
//! # Priorities
//!
//! A container keeps the priority that it was admitted with. A new one gets one between those of its more and its less urgent
//! neighbours, with room for the next; where there is none left it shares that of the more urgent
//! one, and the test counts two of one priority as coming before each other. So nobody who runs is touched, the order is by urgency and
//! deadline (the best there is, [`runner_schedule::assign_levels`]), and whether it suffices the test says, of everybody and not only of
//! the new one. Containers without a schedule run at their cells' own priorities, below all of these.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::ops::RangeInclusive;

use runner_interfaces::{
    MAX_CELLS,
    policy::{BoardTime, CALLED_DOMAINS},
    schedule::{Release, Schedule},
    scheduling::{CELL_PRIORITIES, LEAST_REMAINDER_US, MAX_CLASSES, Share, Shares},
};
use runner_schedule::{
    Analysis, Contribution, DRIVERS, Driver, FEWEST_REFILLS, Platform, Refusal, Release as Released, Server,
    ServerNeed, Source, Span, SystemTask, Task, TaskParameters, Trust, Verdict, analyse,
};

use shared_ring_messages::PlatformReport;

use crate::{deadlines::platform_report, failure::Quoted};

/// Of the whole processor, in the unit of shares.
const WHOLE_PPM: u64 = 1_000_000;

/// A percent of it.
pub(crate) const PPM_OF_A_PERCENT: u64 = WHOLE_PPM / 100;

/// A container with a schedule. Class and priority are 0 before it has a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) name: String,
    pub(crate) schedule: Schedule,
    /// Counted from 1, as in a plan.
    pub(crate) class: u32,
    pub(crate) priority: u32,
    /// The largest share of the processor that it may have, in percent.
    pub(crate) most_percent: u8,
}

/// Under what a container runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Counted from 1, as in a plan.
    pub(crate) class: u32,
    pub(crate) priority: u32,
}

/// What the test says of one that has a place. All times are in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) response_ns: u64,
    pub(crate) slack_ns: u64,
    pub(crate) class: Share,
}

/// What the node is to the test.
pub(crate) struct Node<'a> {
    time: &'a BoardTime,
    shares: &'a Shares,
    system: Vec<SystemTask<'a>>,
    drivers: Vec<Driver<'a>>,
}

impl<'a> Node<'a> {
    pub(crate) fn new(time: &'a BoardTime, shares: &'a Shares) -> Self {
        let system = time.system.iter().map(|activity| SystemTask {
            name: &activity.name,
            budget_ns: activity.budget_ns,
            period_ns: activity.period_ns,
            jitter_ns: activity.jitter_ns,
        });
        let drivers = CALLED_DOMAINS.iter().zip(time.call_ns).map(|(name, call_ns)| {
            // What they may take of the processor they take as system tasks. That one has used it up and makes its callers wait
            // is not looked at: nobody holds containers without a schedule to a number of calls (docs/real-time.md).
            Driver { name, call_ns, server: None, reserved_calls: 0 }
        });
        Self { time, shares, system: system.collect(), drivers: drivers.collect() }
    }

    pub(crate) fn platform(&self) -> Platform<'_> {
        Platform {
            tick_period_ns: self.time.tick_ns,
            tick_jitter_ns: self.time.tick_jitter_ns,
            event_jitter_ns: self.time.event_jitter_ns,
            switch_ns: self.time.switch_ns,
            // Where the kernel ends a job, it does so in the middle of a slice.
            slice_ns: self.time.slice_ns,
            blocking_ns: self.time.blocking_ns,
            minimum_budget_ns: u64::from(LEAST_REMAINDER_US) * 1_000,
            refills: FEWEST_REFILLS,
            trust: if self.believes_cells() { Trust::Cells } else { Trust::Kernel },
            system: &self.system,
            drivers: &self.drivers,
        }
    }

    fn believes_cells(&self) -> bool {
        self.time.slice_ns != 0
    }

    /// What others are told to expect of one, in millionths of the processor; calls aside.
    fn expected_ppm(&self, claim: &Claim) -> u64 {
        if self.believes_cells() {
            return ppm(claim.schedule.budget_ns.saturating_add(self.time.slice_ns), claim.schedule.period_ns);
        }
        self.class(claim.class).map_or(0, share_ppm)
    }

    /// Priorities of containers with a schedule: those that no cell has of its own.
    fn levels(&self) -> RangeInclusive<u8> {
        let own = self.shares.cells.iter().filter(|share| share.is_present()).map(|share| share.priority);
        let highest = own.max().and_then(|priority| u8::try_from(priority).ok()).unwrap_or(0);
        highest.saturating_add(1).max(*CELL_PRIORITIES.start())..=*CELL_PRIORITIES.end()
    }

    fn class(&self, class: u32) -> Option<Share> {
        let index = usize::try_from(class.checked_sub(1)?).ok()?;
        self.shares.classes.get(index).copied().filter(Share::is_present)
    }

    /// Finds a place for `candidate` beside those that have theirs, with which nobody misses a deadline; or says who may and why.
    pub(crate) fn place(&self, live: &[Claim], candidate: &Claim) -> Result<Place, String> {
        if self.shares.cells.iter().any(|share| share.core != 0) {
            // On several, a call is a wait and what the test says no bound (docs/real-time.md).
            return Err("its cells are on several cores, and deadlines can be computed for one only".to_string());
        }
        let platform = self.platform();
        let trial = self.trial(live, candidate, &platform)?;
        trial.find(candidate.schedule.budget_ns).map_err(|refused| trial.explain(candidate, refused))
    }

    /// The bounds of those that have places, in their order; none for a set that cannot be looked at.
    pub(crate) fn bounds(&self, live: &[Claim]) -> Vec<Option<Bound>> {
        let platform = self.platform();
        let tasks: Option<Vec<_>> =
            live.iter().map(|claim| Some(self.task(claim).ok()?.at_level(level_of(claim)))).collect();
        let analysis = tasks.as_deref().and_then(|tasks| analyse(tasks, &platform).ok());
        let bound = |(index, claim): (usize, &Claim)| {
            let analysis = analysis.as_ref()?;
            let response_ns = analysis.responses().get(index)?.bound_ns;
            Some(Bound { response_ns, slack_ns: analysis.slack_ns(index), class: self.class(claim.class)? })
        };
        live.iter().enumerate().map(bound).collect()
    }

    /// Of the processor for the domains above the cells and those containers, in millionths.
    pub(crate) fn promised_ppm(&self, live: &[Claim]) -> u32 {
        let expected = live.iter().map(|claim| self.expected_ppm(claim));
        let sum_ppm = expected.fold(self.time.taken_ppm.into(), u64::saturating_add);
        u32::try_from(sum_ppm).unwrap_or(u32::MAX)
    }

    pub(crate) fn report(&self) -> PlatformReport {
        platform_report(&self.platform())
    }

    /// One that has a class runs on it; one that has none yet is given a context that no test of it depends on.
    fn task(&self, claim: &Claim) -> Result<Task, String> {
        let server = match self.class(claim.class) {
            Some(share) => server(share),
            None => Server::new(claim.schedule.period_ns, claim.schedule.period_ns),
        };
        let schedule = &claim.schedule;
        let mut calls = [0; DRIVERS];
        calls[..CALLED_DOMAINS.len()].copy_from_slice(&counted_calls(schedule));
        let parameters = TaskParameters {
            release: match schedule.release() {
                Release::Events => Released::Sporadic,
                _ => Released::Periodic { offset_ns: schedule.offset_ns },
            },
            calls,
            class: u8::try_from(schedule.urgency).unwrap_or(0),
            // A period that no context has is none that a task has.
            server: server.ok(),
            ..TaskParameters::new(schedule.period_ns, schedule.deadline_ns, schedule.budget_ns)
        };
        Task::new(parameters).map_err(|error| error.to_string())
    }

    fn trial<'t>(
        &'t self,
        live: &'t [Claim],
        candidate: &'t Claim,
        platform: &'t Platform<'t>,
    ) -> Result<Trial<'t>, String> {
        let mut tasks = Vec::with_capacity(live.len() + 1);
        for claim in live {
            tasks.push(self.task(claim)?.at_level(level_of(claim)));
        }
        let new = self.task(&Claim { class: 0, ..candidate.clone() })?;
        let level = place_between(
            self.levels(),
            urgency(&new, platform),
            tasks.iter().map(|task| (urgency(task, platform), task.level())),
        );
        let most_ppm = u64::from(candidate.most_percent) * PPM_OF_A_PERCENT;
        Ok(Trial { node: self, live, tasks, new: new.at_level(level), most_ppm, platform })
    }
}

/// Calls to each of [`CALLED_DOMAINS`] in a release.
pub(crate) fn counted_calls(schedule: &Schedule) -> [u16; CALLED_DOMAINS.len()] {
    schedule.calls().map(u16::from)
}

fn level_of(claim: &Claim) -> u8 {
    u8::try_from(claim.priority).unwrap_or(u8::MAX)
}

fn server(share: Share) -> Result<Server, runner_schedule::TaskError> {
    Server::new(u64::from(share.budget_us) * 1_000, u64::from(share.period_us) * 1_000)
}

/// Larger comes first: by urgency, then by the time from when a job is ready to its deadline.
fn urgency(task: &Task, platform: &Platform<'_>) -> (u8, core::cmp::Reverse<u64>) {
    let parameters = task.parameters();
    let within_ns = parameters.deadline_ns.saturating_sub(task.release_jitter_ns(platform));
    (parameters.class, core::cmp::Reverse(within_ns))
}

/// A level between those of who is at least as urgent and those of who is less; that of the former where there is none between. In
/// the middle, or where it is the most or the least urgent of all, as far away as leaves the same room for each that may still come: eight
/// of one kind, one after the other, have levels of their own.
fn place_between<U: Ord>(levels: RangeInclusive<u8>, own: U, others: impl Iterator<Item = (U, u8)>) -> u8 {
    let (top, bottom) = (levels.end().saturating_add(1), levels.start().saturating_sub(1));
    let (mut above, mut below, mut count) = (top, bottom, 0_usize);
    for (urgency, level) in others {
        count += 1;
        if urgency >= own {
            above = above.min(level);
        } else {
            below = below.max(level);
        }
    }
    let room = above.saturating_sub(below);
    let to_come = u8::try_from(MAX_CELLS.saturating_sub(count)).unwrap_or(0);
    let step = (room / to_come.saturating_add(1)).max(1);
    let level = match (above == top, below == bottom) {
        (false, true) => above.saturating_sub(step),
        (true, false) => below.saturating_add(step),
        _ => below.saturating_add(room / 2),
    };
    let level = if level > below { level } else { above };
    level.clamp(*levels.start(), *levels.end())
}

/// Why there is no place.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Refused {
    /// The new one itself may miss its deadline, whatever its class is.
    Itself,
    /// No class that is free is large enough and back soon enough.
    NoClass(ServerNeed),
    /// The new one asks for more than its right allows.
    Right { asked_ppm: u64 },
    /// With the smallest that is, more than the processor would be promised.
    TooMuch { class: usize, sum_ppm: u64 },
    /// With the smallest that is, somebody else cannot be kept.
    Other { class: usize },
    /// The set cannot be looked at.
    Set(String),
}

/// A search for a place.
struct Trial<'t> {
    node: &'t Node<'t>,
    live: &'t [Claim],
    tasks: Vec<Task>,
    /// At its level, not under a class.
    new: Task,
    /// The largest share that the new one may have.
    most_ppm: u64,
    platform: &'t Platform<'t>,
}

impl Trial<'_> {
    fn set(&self, new: Task) -> Vec<Task> {
        self.tasks.iter().copied().chain([new]).collect()
    }

    /// The index of the new one in a set.
    fn index(&self) -> usize {
        self.tasks.len()
    }

    /// The place of the new one with that budget: of the classes with which everybody is kept, the one that takes least of the
    /// processor.
    ///
    /// What fits with some budget and class fits with less budget under the same class. So the budgets that fit are those up to the
    /// largest, although larger ones may come to have other classes.
    fn find(&self, budget_ns: u64) -> Result<Place, Refused> {
        let new = self.new.with_budget(budget_ns).map_err(|error| Refused::Set(error.to_string()))?;
        if self.node.believes_cells() {
            let asked_ppm = ppm(budget_ns.saturating_add(self.platform.slice_ns), new.parameters().period_ns);
            if asked_ppm > self.most_ppm {
                return Err(Refused::Right { asked_ppm });
            }
        }
        let need = self.need(new)?;
        let mut first = None;
        for class in self.classes(&need) {
            match self.check(new, class) {
                Ok(()) => {
                    let number = u32::try_from(class + 1).unwrap_or(u32::MAX);
                    return Ok(Place { class: number, priority: new.level().into() });
                }
                Err(refused) => _ = first.get_or_insert(refused),
            }
        }
        Err(first.unwrap_or(Refused::NoClass(need)))
    }

    /// What a class must have for the new one, which depends on none.
    fn need(&self, new: Task) -> Result<ServerNeed, Refused> {
        let set = self.set(new);
        let analysis = analyse(&set, self.platform).map_err(|error| Refused::Set(error.to_string()))?;
        analysis.server_need(self.index()).ok_or(Refused::Itself)
    }

    /// Free classes that hold so much, the smallest share first; of several that are alike the first.
    fn classes(&self, need: &ServerNeed) -> Vec<usize> {
        let holds = |share: &Share| {
            let (budget_ns, period_ns) = (u64::from(share.budget_us) * 1_000, u64::from(share.period_us) * 1_000);
            budget_ns >= need.least_budget_ns(period_ns)
        };
        let mut taken = [false; MAX_CLASSES];
        for claim in self.live {
            if let Some(taken) = claim.class.checked_sub(1).and_then(|class| taken.get_mut(class as usize)) {
                *taken = true;
            }
        }
        let mut found: Vec<usize> = Vec::new();
        loop {
            let shares = &self.node.shares;
            let is_alike = |class: usize| {
                let same = |other: &usize| {
                    let (one, other) = (&shares.classes[class], &shares.classes[*other]);
                    (one.budget_us, one.period_us) == (other.budget_us, other.period_us)
                };
                found.iter().any(same)
            };
            let is_granted = |share: &Share| self.node.believes_cells() || share_ppm(*share) <= self.most_ppm;
            let fits =
                |class: usize, share: &Share| holds(share) && !taken[class] && !is_alike(class) && is_granted(share);
            match shares.smallest_class(fits) {
                Some(class) => found.push(class),
                None => return found,
            }
        }
    }

    /// Whether everybody is kept with the new one under that class.
    fn check(&self, new: Task, class: usize) -> Result<(), Refused> {
        let share = self.node.shares.classes[class];
        if !self.node.believes_cells() {
            let live = self.live.iter().filter_map(|claim| self.node.class(claim.class));
            let shares = live.chain([share]).map(share_ppm);
            let sum_ppm = shares.fold(self.node.time.taken_ppm.into(), u64::saturating_add);
            if sum_ppm > WHOLE_PPM {
                return Err(Refused::TooMuch { class, sum_ppm });
            }
        }
        let under = self.under(new, share)?;
        let set = self.set(under);
        let analysis = analyse(&set, self.platform).map_err(|error| Refused::Set(error.to_string()))?;
        if analysis.is_admitted() { Ok(()) } else { Err(Refused::Other { class }) }
    }

    fn under(&self, new: Task, share: Share) -> Result<Task, Refused> {
        let server = server(share).map_err(|error| Refused::Set(error.to_string()))?;
        let parameters = TaskParameters { server: Some(server), ..*new.parameters() };
        let task = Task::new(parameters).map_err(|error| Refused::Set(error.to_string()))?;
        Ok(task.at_level(new.level()))
    }

    /// The largest budget that fits, in nanoseconds.
    fn largest_budget(&self) -> Option<u64> {
        let most_us = self.node.shares.classes.iter().map(|share| share.budget_us).max().unwrap_or(0);
        // What fits lies at `fits_ns` or above; what lies above `at_most_ns` does not.
        let (mut fits_ns, mut at_most_ns) = (0, self.new.parameters().deadline_ns.min(u64::from(most_us) * 1_000));
        while fits_ns < at_most_ns {
            let middle_ns = at_most_ns - (at_most_ns - fits_ns) / 2;
            if self.find(middle_ns).is_ok() {
                fits_ns = middle_ns;
            } else {
                at_most_ns = middle_ns - 1;
            }
        }
        (fits_ns > 0).then_some(fits_ns)
    }

    /// A refusal in words: who may miss, what would fit, and what the time is made of.
    fn explain(&self, candidate: &Claim, refused: Refused) -> String {
        let offer = match self.largest_budget() {
            Some(budget_ns) => format!("the largest budget that fits is {}", Span(budget_ns)),
            None => "no budget of it fits".to_string(),
        };
        let class = |class: usize| {
            let Share { budget_us, period_us, .. } = self.node.shares.classes[class];
            format!("{} in each {}", Span(u64::from(budget_us) * 1_000), Span(u64::from(period_us) * 1_000))
        };
        match refused {
            Refused::Itself => {
                let set = self.set(self.new);
                match analyse(&set, self.platform) {
                    Ok(analysis) => self.miss(candidate, &analysis, self.index(), &offer),
                    Err(error) => error.to_string(),
                }
            }
            Refused::Right { asked_ppm } => format!(
                "it asks for {}.{} % of the processor, and its right is `cpu:{}%`; {offer}",
                asked_ppm / PPM_OF_A_PERCENT,
                asked_ppm % PPM_OF_A_PERCENT / 1_000,
                candidate.most_percent
            ),
            Refused::NoClass(ServerNeed { charged_ns, prompt_period_ns }) => format!(
                "it needs a class with {} or more in each {} or less, or as much more as its period is longer, and no such one is free{}; {offer}",
                Span(charged_ns),
                Span(prompt_period_ns),
                match candidate.most_percent {
                    100.. => String::new(),
                    _ if self.node.believes_cells() => String::new(),
                    percent => format!(" that takes no more of the processor than its right `cpu:{percent}%`"),
                }
            ),
            Refused::TooMuch { class: index, sum_ppm } => format!(
                "with a class of {} for it, {}.{} % of the processor would be promised; {offer}",
                class(index),
                sum_ppm / 10_000,
                sum_ppm % 10_000 / 1_000
            ),
            Refused::Other { class: index } => {
                let share = self.node.shares.classes[index];
                let Ok(new) = self.under(self.new, share) else { return offer };
                let set = self.set(new);
                match analyse(&set, self.platform) {
                    Ok(analysis) => self.other(candidate, &analysis, &class(index), &offer),
                    Err(error) => error.to_string(),
                }
            }
            Refused::Set(problem) => problem,
        }
    }

    /// Somebody else cannot be kept with the new one.
    fn other(&self, candidate: &Claim, analysis: &Analysis<'_>, class: &str, offer: &str) -> String {
        match analysis.refusal() {
            Some(Refusal::Deadline { task, .. } | Refusal::Undecided { task }) => {
                self.miss(candidate, analysis, task, offer)
            }
            Some(Refusal::ServerBudget { task, needed_ns, budget_ns }) => format!(
                "with it under a class of {class}, {} would need {} in each period of its class, which has {}; {offer}",
                self.name(candidate, task),
                Span(needed_ns),
                Span(budget_ns)
            ),
            Some(other) => format!("{other}; {offer}"),
            None => offer.to_string(),
        }
    }

    fn name(&self, candidate: &Claim, task: usize) -> String {
        Quoted(self.live.get(task).map_or(&candidate.name, |claim| &claim.name)).to_string()
    }

    /// A task may miss its deadline: by how much, and what its time is made of, the largest part first.
    fn miss(&self, candidate: &Claim, analysis: &Analysis<'_>, task: usize, offer: &str) -> String {
        let name = self.name(candidate, task);
        let deadline_ns = self.set(self.new)[task].parameters().deadline_ns;
        let Some(response) = analysis.responses().get(task) else { return offer.to_string() };
        let mut parts: Vec<Contribution> = analysis.contributions(task).collect();
        parts.sort_by_key(|part| core::cmp::Reverse(part.total_ns));
        let parts: Vec<_> = parts.iter().map(|part| self.part(candidate, part)).collect();
        let bound = match response.verdict {
            Verdict::Undecided => format!("{name} may need any time from its release"),
            _ => format!("{name} may need {} or more from its release", Span(response.bound_ns)),
        };
        format!("{bound}, and its deadline is {}; {offer}. It is made of {}", Span(deadline_ns), parts.join(", "))
    }

    fn part(&self, candidate: &Claim, part: &Contribution) -> String {
        let time = Span(part.total_ns);
        let times = part.times;
        match part.source {
            Source::Own => format!("{time} of its own"),
            Source::OwnCalls => format!("{time} of its own {times} calls"),
            Source::OwnSuspension => format!("{time} of waiting"),
            Source::ReleaseJitter => format!("{time} from its release until it can run"),
            Source::Blocking => format!("{time} of what cannot be preempted"),
            Source::Task(other) => format!("{time} of {} ({times} budgets)", self.name(candidate, other)),
            Source::CallsOf(other) => format!("{time} of calls by {} ({times})", self.name(candidate, other)),
            Source::System(system) => {
                let name = self.platform.system.get(system).map_or("the node", |system| system.name);
                format!("{time} of {name} ({times} times)")
            }
        }
    }
}

/// What a share is of the processor, in millionths, rounded up.
pub(crate) fn share_ppm(share: Share) -> u64 {
    ppm(share.budget_us.into(), share.period_us.into())
}

fn ppm(budget: u64, period: u64) -> u64 {
    budget.saturating_mul(WHOLE_PPM).div_ceil(period.max(1))
}

#[cfg(test)]
mod tests;
