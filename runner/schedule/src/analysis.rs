//! The admission test: a bound on every task's response time, and what it is made of.

use core::fmt;

use crate::{DRIVERS, Platform, Server, Task, Trust, time::Span};

/// How many tasks are looked at together. A node has eight cells, and a cell one container.
pub const MAX_TASKS: usize = 64;

/// How often a task's window is widened before the answer is that it was not found. Each round takes one look at each other task
/// and system task, so an analysis makes at most `MAX_TASKS × ITERATIONS` rounds, whatever the parameters are. The window
/// grows geometrically with the utilisation as its ratio: at 90 % a second is found to the nanosecond within 200 rounds.
pub const ITERATIONS: u32 = 1000;

/// No kernel cuts a budget into fewer pieces than two (seL4's `MIN_REFILLS`), and Microkit asks for no more.
pub const FEWEST_REFILLS: u16 = 2;

/// What became of one task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// No job ends after its deadline.
    Meets,
    /// The analysis cannot exclude that a job ends after its deadline.
    Misses,
    /// [`ITERATIONS`] did not suffice; counts as a miss.
    Undecided,
}

/// The bound on one task's response time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Response {
    /// From the release of a job to its end, at the most. Where the deadline is missed: at least so much, where the search ended.
    pub bound_ns: u64,
    /// From when a job is ready: the stretch over which interference was counted.
    pub window_ns: u64,
    /// How the bound compares to the deadline.
    pub verdict: Verdict,
}

/// Where a part of a response time comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The job itself: its budget, one slice, two switches.
    Own,
    /// Its own calls to drivers.
    OwnCalls,
    /// Its own waits.
    OwnSuspension,
    /// It was ready after its release.
    ReleaseJitter,
    /// Something less urgent could not be preempted: the kernel, or a driver in a call of somebody less urgent.
    Blocking,
    /// Jobs of this task (index), which comes first or has the same priority.
    Task(usize),
    /// Calls to drivers by this task (index).
    CallsOf(usize),
    /// This system task (index).
    System(usize),
}

/// One line of a response time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contribution {
    /// Whose it is.
    pub source: Source,
    /// How many of its jobs, calls or activations fall into the window.
    pub times: u64,
    /// Their time together.
    pub total_ns: u64,
}

/// Which scheduling contexts let a task's jobs run ([why](crate#scheduling-contexts)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerNeed {
    /// What a context is charged for a job at the most: the job, a switch back after everything that can interrupt it, and what the
    /// kernel leaves unused. No context has less.
    pub charged_ns: u64,
    /// The task's period less its response time: what a job used of a context with a period up to this is back before the next
    /// release.
    pub prompt_period_ns: u64,
}

impl ServerNeed {
    /// The least budget of a context with this period: of one with a longer period than the prompt one, as much more as it is longer.
    #[must_use]
    pub fn least_budget_ns(&self, period_ns: u64) -> u64 {
        self.charged_ns.saturating_add(period_ns.saturating_sub(self.prompt_period_ns))
    }
}

/// Why a set of tasks is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// A task may miss its deadline.
    Deadline {
        /// Index of the task.
        task: usize,
        /// Its response time is at least this.
        response_ns: u64,
        /// The task's.
        deadline_ns: u64,
    },
    /// A bound on a task's response time was not found in [`ITERATIONS`] rounds.
    Undecided {
        /// Index of the task.
        task: usize,
    },
    /// The kernel would stop a job that keeps its budget: the scheduling context has too little for its period.
    ServerBudget {
        /// Index of the task.
        task: usize,
        /// See [`ServerNeed::least_budget_ns`].
        needed_ns: u64,
        /// The server's.
        budget_ns: u64,
    },
    /// A driver may be asked for more than it has budget for, and then everybody's calls wait.
    DriverBudget {
        /// Index of the driver.
        driver: usize,
        /// How many calls may come before its budget is back.
        calls: u64,
        /// For how many the budget is enough.
        enough_for: u64,
    },
}

/// Why a set cannot be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetError {
    /// More than [`MAX_TASKS`].
    TooManyTasks {
        /// So many.
        tasks: usize,
    },
    /// A task calls a driver that the platform does not have.
    UnknownDriver {
        /// Index of the task.
        task: usize,
        /// Index of the driver.
        driver: usize,
    },
    /// Only the kernel is trusted to hold budgets, and it holds none for this task.
    NoServer {
        /// Index of the task.
        task: usize,
    },
    /// The kernel lets a budget fall into fewer pieces than [`FEWEST_REFILLS`].
    TooFewRefills {
        /// So many.
        refills: u16,
    },
    /// A system task without a period would take everything.
    SystemPeriod {
        /// Index of the system task.
        system: usize,
    },
}

/// Tasks, one of them replaced perhaps: what a search varies, without a copy of all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Set<'a> {
    pub(crate) tasks: &'a [Task],
    pub(crate) replaced: Option<(usize, Task)>,
}

impl Set<'_> {
    fn get(&self, index: usize) -> &Task {
        match &self.replaced {
            Some((at, task)) if *at == index => task,
            _ => &self.tasks[index],
        }
    }

    fn iter(&self) -> impl Iterator<Item = (usize, &Task)> {
        (0..self.tasks.len()).map(|index| (index, self.get(index)))
    }
}

/// The answer about a set of tasks.
#[derive(Debug, Clone)]
pub struct Analysis<'a> {
    set: Set<'a>,
    platform: &'a Platform<'a>,
    responses: [Response; MAX_TASKS],
    refusal: Option<Refusal>,
}

/// Bounds every task's response time.
///
/// Tasks of the same level count as interference to each other. The work is bounded, see [`ITERATIONS`].
///
/// # Errors
///
/// A set that cannot be looked at; one that may miss deadlines is no error but [`Analysis::refusal`].
pub fn analyse<'a>(tasks: &'a [Task], platform: &'a Platform<'a>) -> Result<Analysis<'a>, SetError> {
    analyse_set(Set { tasks, replaced: None }, platform)
}

pub(crate) fn analyse_set<'a>(set: Set<'a>, platform: &'a Platform<'a>) -> Result<Analysis<'a>, SetError> {
    check_set(&set, platform)?;
    let nothing = Response { bound_ns: 0, window_ns: 0, verdict: Verdict::Meets };
    let mut analysis = Analysis { set, platform, responses: [nothing; MAX_TASKS], refusal: None };
    for index in 0..set.tasks.len() {
        analysis.responses[index] = Interference { set: &set, platform, of: index }.response();
    }
    analysis.refusal = analysis.find_refusal();
    Ok(analysis)
}

fn check_set(set: &Set<'_>, platform: &Platform<'_>) -> Result<(), SetError> {
    if set.tasks.len() > MAX_TASKS {
        return Err(SetError::TooManyTasks { tasks: set.tasks.len() });
    }
    if platform.refills < FEWEST_REFILLS {
        return Err(SetError::TooFewRefills { refills: platform.refills });
    }
    if let Some(system) = platform.system.iter().position(|system| system.period_ns == 0) {
        return Err(SetError::SystemPeriod { system });
    }
    for (index, task) in set.iter() {
        let parameters = task.parameters();
        let unknown =
            |(driver, count): (usize, &u16)| (*count > 0 && driver >= platform.drivers.len()).then_some(driver);
        if let Some(driver) = parameters.calls.iter().enumerate().find_map(unknown) {
            return Err(SetError::UnknownDriver { task: index, driver });
        }
        if platform.trust == Trust::Kernel && parameters.server.is_none() {
            return Err(SetError::NoServer { task: index });
        }
    }
    Ok(())
}

impl<'a> Analysis<'a> {
    /// Whether everybody meets their deadlines.
    #[must_use]
    pub fn is_admitted(&self) -> bool {
        self.refusal.is_none()
    }

    /// Why not, by the most urgent task that may miss; then by servers, then by drivers.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }

    /// The bounds, in the order of the tasks.
    #[must_use]
    pub fn responses(&self) -> &[Response] {
        &self.responses[..self.set.tasks.len()]
    }

    /// What is left of a task's deadline at the worst. Nothing where it is missed, or there is no such task.
    #[must_use]
    pub fn slack_ns(&self, task: usize) -> u64 {
        let Some(response) = self.responses().get(task) else { return 0 };
        self.set.get(task).parameters().deadline_ns.saturating_sub(response.bound_ns)
    }

    /// What a task's response time is made of: the parts add up to its bound, where it meets its deadline. Parts of nothing
    /// are left out.
    pub fn contributions(&self, task: usize) -> impl Iterator<Item = Contribution> + '_ {
        let window_ns = self.responses().get(task).map_or(0, |response| response.window_ns);
        let shown =
            (task < self.set.tasks.len()).then_some(Interference { set: &self.set, platform: self.platform, of: task });
        shown
            .into_iter()
            .flat_map(move |interference| {
                let jitter_ns = interference.task().release_jitter_ns(self.platform);
                let jitter = Contribution { source: Source::ReleaseJitter, times: 1, total_ns: jitter_ns };
                core::iter::once(jitter).chain(interference.parts(window_ns))
            })
            .filter(|part| part.total_ns > 0)
    }

    fn find_refusal(&self) -> Option<Refusal> {
        self.deadline_refusal().or_else(|| self.server_refusal()).or_else(|| self.driver_refusal())
    }

    fn deadline_refusal(&self) -> Option<Refusal> {
        let missed = self.set.iter().filter(|(index, _)| self.responses[*index].verdict != Verdict::Meets);
        // The first of several at the highest level.
        let (task, parameters) = missed
            .reduce(|first, next| if next.1.level() > first.1.level() { next } else { first })
            .map(|(index, task)| (index, task.parameters()))?;
        let Response { bound_ns, verdict, .. } = self.responses[task];
        Some(match verdict {
            Verdict::Undecided => Refusal::Undecided { task },
            _ => Refusal::Deadline { task, response_ns: bound_ns, deadline_ns: parameters.deadline_ns },
        })
    }

    /// What a scheduling context must have so as never to stop a job of a task that keeps its budget
    /// ([why](crate#scheduling-contexts)). Nothing for a task that misses its deadline, and where there is no such task.
    ///
    /// It holds for whatever context is bound then, as long as cells are trusted; with [`Trust::Kernel`], another context is
    /// another interference.
    #[must_use]
    pub fn server_need(&self, task: usize) -> Option<ServerNeed> {
        let response = self.responses().get(task).filter(|response| response.verdict == Verdict::Meets)?;
        let period_ns = self.set.get(task).parameters().period_ns;
        let prompt_period_ns = period_ns.saturating_sub(response.bound_ns);
        Some(ServerNeed { charged_ns: self.charged_ns(task), prompt_period_ns })
    }

    /// Whether the kernel lets every job run that keeps its budget. Asked where everybody meets their deadlines.
    fn server_refusal(&self) -> Option<Refusal> {
        self.set.iter().find_map(|(task, of)| {
            let server = of.parameters().server?;
            let needed_ns = self.server_need(task)?.least_budget_ns(server.period_ns());
            let budget_ns = server.budget_ns();
            (budget_ns < needed_ns).then_some(Refusal::ServerBudget { task, needed_ns, budget_ns })
        })
    }

    /// What the kernel charges a job's scheduling context at the most: its own time, a switch back after each preemption, call and
    /// wait, and the rest of a budget with which it starts nobody.
    fn charged_ns(&self, task: usize) -> u64 {
        let interference = Interference { set: &self.set, platform: self.platform, of: task };
        let resumed = interference
            .parts(self.responses[task].window_ns)
            .filter(|part| !matches!(part.source, Source::Own | Source::OwnSuspension))
            .fold(interference.task().parameters().suspension.times.into(), |sum: u64, part| {
                sum.saturating_add(part.times)
            });
        job_ns(interference.task(), self.platform)
            .saturating_add(resumed.saturating_mul(self.platform.switch_ns))
            .saturating_add(self.platform.minimum_budget_ns)
    }

    /// Whether every driver can answer whenever it is called ([why](crate#drivers)).
    fn driver_refusal(&self) -> Option<Refusal> {
        self.platform.drivers.iter().enumerate().find_map(|(driver, of)| {
            let server = of.server?;
            let usable_ns = server.budget_ns().saturating_sub(self.platform.minimum_budget_ns);
            // A driver whose calls cost nothing never uses up anything.
            let enough_for = usable_ns.checked_div(of.call_ns)?;
            let calls = self.calls_of_all(driver, server, self.refill_window_ns(of.call_ns, server, enough_for));
            (calls > enough_for).then_some(Refusal::DriverBudget { driver, calls, enough_for })
        })
    }

    /// For how long calls can come without that the kernel gave back what the first of them used.
    fn refill_window_ns(&self, call_ns: u64, server: Server, enough_for: u64) -> u64 {
        if self.platform.refills > FEWEST_REFILLS {
            return server.period_ns().saturating_mul(2);
        }
        // From one call to the next, without a pause that is long enough to give everything back.
        let pause_ns = (server.period_ns() - server.budget_ns()).saturating_add(call_ns);
        // Calls wait for others at the highest level, so they may have come closer together than they are served.
        let system_ns = self.platform.system.iter().fold(0, |sum: u64, system| sum.saturating_add(system.budget_ns));
        let queue_ns = longest_call_ns(self.platform).saturating_mul(2).saturating_add(system_ns);
        enough_for.saturating_mul(pause_ns).saturating_add(queue_ns)
    }

    /// How many calls a driver may get in a window.
    fn calls_of_all(&self, driver: usize, server: Server, window_ns: u64) -> u64 {
        let reserved = self.platform.drivers.get(driver).map_or(0, |driver| driver.reserved_calls);
        let reserved = activations(window_ns, server.period_ns(), server.period_ns()).saturating_mul(reserved.into());
        self.set.iter().fold(reserved, |sum, (_, task)| {
            let parameters = task.parameters();
            let calls = parameters.calls.get(driver).copied().unwrap_or(0);
            // A job makes its calls before its deadline, so the next one's may come right after.
            let releases = activations(window_ns, parameters.deadline_ns, parameters.period_ns);
            sum.saturating_add(releases.saturating_mul(calls.into()))
        })
    }
}

/// The longest call to any driver.
fn longest_call_ns(platform: &Platform<'_>) -> u64 {
    platform.drivers.iter().map(|driver| driver.call_ns).max().unwrap_or(0)
}

/// How many activations of something with this period and jitter fall into a window, at the most.
fn activations(window_ns: u64, jitter_ns: u64, period_ns: u64) -> u64 {
    let reach_ns = window_ns.saturating_add(jitter_ns);
    if period_ns == 0 { u64::MAX } else { reach_ns.div_ceil(period_ns) }
}

/// Processor time of a job in its cell.
fn job_ns(task: &Task, platform: &Platform<'_>) -> u64 {
    let switches_ns = platform.switch_ns.saturating_mul(2);
    task.parameters().budget_ns.saturating_add(platform.slice_ns).saturating_add(switches_ns)
}

/// Number of calls of a job, and the drivers' time for them.
fn calls(task: &Task, platform: &Platform<'_>) -> (u64, u64) {
    let calls: &[u16; DRIVERS] = &task.parameters().calls;
    calls.iter().zip(platform.drivers).fold((0, 0), |(times, total_ns), (count, driver)| {
        (times + u64::from(*count), total_ns.saturating_add(u64::from(*count).saturating_mul(driver.call_ns)))
    })
}

/// Everything that can keep one task from running.
#[derive(Clone, Copy)]
struct Interference<'s> {
    set: &'s Set<'s>,
    platform: &'s Platform<'s>,
    of: usize,
}

impl<'s> Interference<'s> {
    fn task(&self) -> &'s Task {
        self.set.get(self.of)
    }

    /// The least fixed point of the window, or where the search ended.
    fn response(&self) -> Response {
        let deadline_ns = self.task().parameters().deadline_ns;
        let jitter_ns = self.task().release_jitter_ns(self.platform);
        let mut window_ns = 0;
        for _ in 0..ITERATIONS {
            let wider_ns = self.demand_ns(window_ns);
            let bound_ns = jitter_ns.saturating_add(wider_ns);
            if bound_ns > deadline_ns {
                return Response { bound_ns, window_ns, verdict: Verdict::Misses };
            }
            if wider_ns == window_ns {
                return Response { bound_ns, window_ns, verdict: Verdict::Meets };
            }
            window_ns = wider_ns;
        }
        Response { bound_ns: jitter_ns.saturating_add(window_ns), window_ns, verdict: Verdict::Undecided }
    }

    /// What has to be done before the job ends, in a window of this length.
    fn demand_ns(&self, window_ns: u64) -> u64 {
        self.parts(window_ns).fold(0, |sum, part| sum.saturating_add(part.total_ns))
    }

    fn parts(self, window_ns: u64) -> impl Iterator<Item = Contribution> + 's {
        let others = (0..self.set.tasks.len()).filter(move |index| self.comes_first(*index));
        let tasks = others.flat_map(move |index| self.of_task(index, window_ns));
        let system = (0..self.platform.system.len()).map(move |index| self.of_system(index, window_ns));
        self.own().into_iter().chain(tasks).chain(system)
    }

    /// Whether another task can keep this one from running: also one of the same priority.
    fn comes_first(&self, index: usize) -> bool {
        index != self.of && self.set.get(index).level() >= self.task().level()
    }

    /// The job's own part, and what less urgent ones have in hand when it is ready.
    fn own(&self) -> [Contribution; 4] {
        let task = self.task();
        let suspension = task.parameters().suspension;
        let (calls, calls_ns) = calls(task, self.platform);
        let blocking_ns = self.platform.blocking_ns.saturating_add(longest_call_ns(self.platform));
        let part =
            |source, times: u64, each_ns: u64| Contribution { source, times, total_ns: times.saturating_mul(each_ns) };
        [
            part(Source::Own, 1, job_ns(task, self.platform)),
            Contribution { source: Source::OwnCalls, times: calls, total_ns: calls_ns },
            Contribution {
                source: Source::OwnSuspension,
                times: suspension.times.into(),
                total_ns: suspension.total_ns,
            },
            // Once when the job is ready, and once more after each wait: in between nobody less urgent runs.
            part(Source::Blocking, u64::from(suspension.times) + 1, blocking_ns),
        ]
    }

    fn of_task(&self, index: usize, window_ns: u64) -> [Contribution; 2] {
        let task = self.set.get(index);
        let parameters = task.parameters();
        let (calls, calls_ns) = calls(task, self.platform);
        let (jobs, jobs_ns, releases) = match (self.platform.trust, parameters.server) {
            (Trust::Kernel, Some(server)) => {
                let jobs = activations(window_ns, 0, server.period_ns());
                let switches_ns =
                    self.platform.switch_ns.saturating_mul(2).saturating_mul(self.platform.refills.into());
                // A job that was stopped goes on later and may make its calls until its deadline.
                let releases = activations(window_ns, parameters.deadline_ns, parameters.period_ns);
                (jobs, jobs.saturating_mul(server.budget_ns().saturating_add(switches_ns)), releases)
            }
            _ => {
                // A job that waits may do its work as late as its deadline allows, and the next one at once.
                let waits = parameters.suspension.total_ns > 0;
                let jitter_ns = if waits { parameters.deadline_ns } else { task.release_jitter_ns(self.platform) };
                let jobs = activations(window_ns, jitter_ns, parameters.period_ns);
                (jobs, jobs.saturating_mul(job_ns(task, self.platform)), jobs)
            }
        };
        [
            Contribution { source: Source::Task(index), times: jobs, total_ns: jobs_ns },
            Contribution {
                source: Source::CallsOf(index),
                times: releases.saturating_mul(calls),
                total_ns: releases.saturating_mul(calls_ns),
            },
        ]
    }

    fn of_system(&self, index: usize, window_ns: u64) -> Contribution {
        let system = &self.platform.system[index];
        let times = activations(window_ns, system.jitter_ns, system.period_ns);
        Contribution { source: Source::System(index), times, total_ns: times.saturating_mul(system.budget_ns) }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Deadline { task, response_ns, deadline_ns } => write!(
                f,
                "task {task} may need {} or more from its release, and its deadline is {}",
                Span(response_ns),
                Span(deadline_ns)
            ),
            Self::Undecided { task } => {
                write!(f, "no bound on the response time of task {task} was found in {ITERATIONS} rounds")
            }
            Self::ServerBudget { task, needed_ns, budget_ns } => write!(
                f,
                "a job of task {task} needs a scheduling context with {} in each of its periods, and has one with {}",
                Span(needed_ns),
                Span(budget_ns)
            ),
            Self::DriverBudget { driver, calls, enough_for } => write!(
                f,
                "driver {driver} may be called {calls} times before its budget is back, which is enough for {enough_for}"
            ),
        }
    }
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TooManyTasks { tasks } => {
                write!(f, "{tasks} tasks are more than the {MAX_TASKS} that are looked at together")
            }
            Self::UnknownDriver { task, driver } => {
                write!(f, "task {task} calls driver {driver}, which the platform does not have")
            }
            Self::NoServer { task } => write!(f, "the kernel holds task {task} to no budget"),
            Self::TooFewRefills { refills } => {
                write!(
                    f,
                    "a kernel that cuts a budget into {refills} pieces at the most stops drivers: {FEWEST_REFILLS} are needed"
                )
            }
            Self::SystemPeriod { system } => write!(f, "system task {system} has no period"),
        }
    }
}

impl core::error::Error for Refusal {}
impl core::error::Error for SetError {}
