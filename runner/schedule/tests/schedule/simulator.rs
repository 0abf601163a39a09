//! The analysis against the simulator.

use proptest::prelude::*;
use runner_schedule::simulate::{
    Activation, Behaviour, CriticalInstant, Job, OnOverrun, Outcome, Random, Scenario, Section, Step, StepKind,
    TaskOutcome, simulate,
};
use runner_schedule::{Driver, Platform, Refusal, Release, Server, Task, TaskParameters, Trust, analyse};

use crate::generator::{self, ANY_LOAD, Flavour};

const MS: u64 = 1_000_000;

pub(crate) fn run(tasks: &[Task], platform: &Platform<'_>, behaviour: &mut dyn Behaviour, horizon_ns: u64) -> Outcome {
    let scenario = Scenario { tasks, platform, on_overrun: OnOverrun::Skip, horizon_ns, record: 0..0 };
    simulate(&scenario, behaviour)
}

/// A third of the cases that proptest makes by itself (or `PROPTEST_CASES`), so that all of it takes seconds without
/// optimisation.
fn fewer() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: usual.cases.div_ceil(3), ..usual }
}

fn longest_period_ns(tasks: &[Task]) -> u64 {
    tasks.iter().map(|task| task.parameters().period_ns).max().unwrap_or(0)
}

proptest! {
    #![proptest_config(fewer())]

    /// For tasks that do not wait of themselves the bound is not merely safe: the critical instant comes to it, less the nanosecond by
    /// which what blocks has to begin before.
    #[test]
    fn the_critical_instant_comes_to_the_bound(seed: u64, costs: bool, calls: bool) {
        let flavour = Flavour { tasks: 6, load_percent: ANY_LOAD, costs, calls, ..Flavour::default() };
        let platform = generator::platform(flavour);
        let tasks = generator::admitted(seed, flavour, &platform, |tasks| tasks);
        let analysis = analyse(&tasks, &platform).unwrap();
        let mut behaviour = CriticalInstant::new(&tasks, &platform);
        let outcome = run(&tasks, &platform, &mut behaviour, 3 * longest_period_ns(&tasks));
        let early_ns = u64::from(platform.blocking_ns > 0 || !platform.drivers.is_empty());
        for (seen, response) in outcome.tasks.iter().zip(analysis.responses()) {
            prop_assert_eq!(seen.longest_response_ns + early_ns, response.bound_ns);
            prop_assert_eq!(seen.missed, 0);
        }
    }

    /// Whatever happens within the parameters: nobody's response time is above its bound.
    #[test]
    fn nothing_takes_longer_than_its_bound(seed: u64, costs: bool, calls: bool, waits: bool, equals: bool) {
        let flavour = Flavour { tasks: 6, load_percent: ANY_LOAD, costs, calls, waits, equals, ..Flavour::default() };
        let platform = generator::platform(flavour);
        let tasks = generator::admitted(seed, flavour, &platform, |tasks| tasks);
        let analysis = analyse(&tasks, &platform).unwrap();
        for run_seed in 0..3 {
            let mut behaviour = Random::new(&tasks, &platform, seed ^ run_seed);
            let outcome = run(&tasks, &platform, &mut behaviour, 12 * longest_period_ns(&tasks) + MS);
            for (seen, response) in outcome.tasks.iter().zip(analysis.responses()) {
                prop_assert!(seen.longest_response_ns <= response.bound_ns, "{seen:?} {response:?}");
                prop_assert_eq!((seen.missed, seen.skipped, seen.stopped), (0, 0, 0));
                prop_assert!(seen.released <= seen.completed + 1);
            }
        }
    }

    /// Tasks that try to take ten times what they may, held by their cells: nobody else notices more than was counted.
    #[test]
    fn an_overrun_that_the_cell_stops_delays_nobody_beyond_the_bound(seed: u64, costs: bool, calls: bool, equals: bool) {
        let flavour = Flavour { tasks: 6, load_percent: ANY_LOAD, costs, calls, equals, ..Flavour::default() };
        let platform = generator::platform(flavour);
        let tasks = generator::admitted(seed, flavour, &platform, |tasks| tasks);
        others_keep_their_bounds(&tasks, &platform, seed)?;
    }

    /// The same, held by the kernel alone: cells do not stop anybody.
    #[test]
    fn an_overrun_that_the_kernel_stops_delays_nobody_beyond_the_bound(
        seed: u64, costs: bool, calls: bool, equals: bool, minimum: bool,
    ) {
        let flavour = Flavour { tasks: 5, load_percent: (5, 45), costs, calls, equals, ..Flavour::default() };
        let minimum_budget_ns = if minimum { 20_000 } else { 0 };
        let platform = Platform { trust: Trust::Kernel, minimum_budget_ns, ..generator::platform(flavour) };
        let on_servers = |tasks: Vec<Task>| generator::with_servers(&tasks, &platform, 30 * platform.switch_ns);
        let tasks = generator::admitted(seed, flavour, &platform, on_servers);
        others_keep_their_bounds(&tasks, &platform, seed)?;
    }

    /// Jobs that keep their budgets are never stopped by the kernel, where the analysis says so.
    #[test]
    fn no_scheduling_context_stops_a_job_that_keeps_its_budget(
        seed: u64, costs: bool, calls: bool, waits: bool, minimum: bool, more_ns in 0..100_000_u64,
    ) {
        let flavour = Flavour { tasks: 5, load_percent: (5, 70), costs, calls, waits, ..Flavour::default() };
        let minimum_budget_ns = if minimum { 20_000 } else { 0 };
        let platform = Platform { minimum_budget_ns, ..generator::platform(flavour) };
        let spare_ns = 30 * platform.switch_ns + more_ns;
        let on_servers = |tasks: Vec<Task>| generator::with_servers(&tasks, &platform, spare_ns);
        let tasks = generator::admitted(seed, flavour, &platform, on_servers);
        for run_seed in 0..3 {
            let mut behaviour = Random::new(&tasks, &platform, seed ^ run_seed);
            let outcome = run(&tasks, &platform, &mut behaviour, 12 * longest_period_ns(&tasks));
            for seen in &outcome.tasks {
                prop_assert_eq!((seen.throttled, seen.missed), (0, 0));
            }
        }
    }

    /// Nor does the smallest one that the analysis asks for.
    #[test]
    fn the_least_scheduling_context_stops_no_job_that_keeps_its_budget(
        seed: u64, costs: bool, calls: bool, waits: bool, minimum: bool, longer_percent in 0..300_u64,
    ) {
        let flavour = Flavour { tasks: 5, load_percent: (5, 60), costs, calls, waits, ..Flavour::default() };
        let minimum_budget_ns = if minimum { 20_000 } else { 0 };
        let platform = Platform { minimum_budget_ns, ..generator::platform(flavour) };
        let mut tasks = generator::admitted(seed, flavour, &platform, |tasks| tasks);
        let mut held = 0;
        for task in 0..tasks.len() {
            let need = analyse(&tasks, &platform).unwrap().server_need(task).unwrap();
            // Also those with a longer period than the task's own.
            let period_ns = need.prompt_period_ns + tasks[task].parameters().period_ns * longer_percent.saturating_sub(100) / 100;
            let Ok(server) = Server::new(need.least_budget_ns(period_ns), period_ns) else { continue };
            let parameters = TaskParameters { server: Some(server), ..*tasks[task].parameters() };
            tasks[task] = Task::new(parameters).unwrap().at_level(tasks[task].level());
            held += 1;
        }
        prop_assert!(analyse(&tasks, &platform).unwrap().is_admitted());
        prop_assume!(held > 0);
        for run_seed in 0..3 {
            let mut behaviour = Random::new(&tasks, &platform, seed ^ run_seed);
            let outcome = run(&tasks, &platform, &mut behaviour, 12 * longest_period_ns(&tasks));
            for seen in &outcome.tasks {
                prop_assert_eq!((seen.throttled, seen.missed), (0, 0));
            }
        }
    }
}

/// Some tasks overrun, the rest must keep to the bounds.
fn others_keep_their_bounds(tasks: &[Task], platform: &Platform<'_>, seed: u64) -> Result<(), TestCaseError> {
    let analysis = analyse(tasks, platform).expect("a set that can be looked at");
    let mut overran = 0;
    for run_seed in 0..3 {
        let first = (seed ^ run_seed) as usize % tasks.len();
        let worse: Vec<usize> = (0..tasks.len()).filter(|task| *task == first || (seed >> task) & 3 == 3).collect();
        let mut behaviour = Random::new(tasks, platform, seed ^ run_seed).overrunning(&worse);
        let outcome = run(tasks, platform, &mut behaviour, 12 * longest_period_ns(tasks));
        for (task, (seen, response)) in outcome.tasks.iter().zip(analysis.responses()).enumerate() {
            if worse.contains(&task) {
                overran += seen.stopped + seen.throttled;
            } else {
                prop_assert!(seen.longest_response_ns <= response.bound_ns, "{task} {seen:?} {response:?}");
                prop_assert_eq!((seen.missed, seen.skipped, seen.stopped), (0, 0, 0));
            }
        }
    }
    prop_assert!(overran > 0, "nobody was stopped");
    Ok(())
}

/// One task, one period, one half of it each: deadlines of 5 and 10 in periods of 10, and no nanosecond is left over.
fn at_the_limit(budget_ns: u64) -> [Task; 2] {
    let urgent = TaskParameters::new(4 * MS, 4 * MS, 2 * MS);
    let other = TaskParameters::new(10 * MS, 10 * MS, budget_ns);
    [(urgent, 2), (other, 1)]
        .map(|(parameters, level)| Task::new(parameters).expect("a task of the test").at_level(level))
}

/// Four milliseconds beside 2 of every 4 end at 8, before the third release. A nanosecond more does not fit before it, and
/// waits for its end, at 10: still in time. Two fit there no longer.
#[test]
fn a_set_at_its_limit_is_admitted_and_never_misses() {
    let set = at_the_limit(4 * MS);
    let analysis = analyse(&set, &Platform::IDEAL).unwrap();
    assert!(analysis.is_admitted());
    assert_eq!(runner_schedule::largest_budget(&set, 1, &Platform::IDEAL), Ok(Some(4 * MS)));
    let outcome = run(&set, &Platform::IDEAL, &mut CriticalInstant::new(&set, &Platform::IDEAL), 10_000 * MS);
    assert_eq!((outcome.missed(), outcome.tasks[1].completed), (0, 1000));
    for seed in 0..50 {
        let outcome = run(&set, &Platform::IDEAL, &mut Random::new(&set, &Platform::IDEAL, seed), 1_000 * MS);
        assert_eq!(outcome.missed(), 0);
    }
}

#[test]
fn a_set_beyond_its_limit_is_refused_and_misses() {
    let set = at_the_limit(4 * MS + 1);
    assert!(!analyse(&set, &Platform::IDEAL).unwrap().is_admitted());
    let outcome = run(&set, &Platform::IDEAL, &mut CriticalInstant::new(&set, &Platform::IDEAL), 100 * MS);
    assert!(outcome.tasks[1].missed > 0, "{outcome:?}");
    assert_eq!(outcome.tasks[0].missed, 0, "the urgent one does not notice");
}

/// A run that is written down: releases of each task, and its jobs, one after the other.
struct Scripted {
    releases_ms: Vec<Vec<u64>>,
    jobs: Vec<Vec<Job>>,
}

impl Behaviour for Scripted {
    fn release_ns(&mut self, task: usize, number: u64, _: u64) -> u64 {
        self.releases_ms[task].get(number as usize).map_or(u64::MAX / 2, |at_ms| at_ms * MS)
    }

    fn job(&mut self, task: usize, number: u64, _: u64) -> Job {
        let nothing = || Job { jitter_ns: 0, execution_ns: 1, steps: Vec::new() };
        self.jobs[task].get(number as usize).or(self.jobs[task].last()).cloned().unwrap_or_else(nothing)
    }

    fn activation(&mut self, _: usize, _: u64, _: u64) -> Activation {
        unreachable!("there are no system tasks in what is written down")
    }

    fn section(&mut self, _: u64) -> Option<Section> {
        None
    }
}

fn computing(for_ms: u64) -> Job {
    Job { jitter_ns: 0, execution_ns: for_ms * MS, steps: Vec::new() }
}

fn on_server(parameters: TaskParameters, budget_ms: u64, period_ms: u64) -> Task {
    let server = Some(Server::new(budget_ms * MS, period_ms * MS).expect("a server of the test"));
    Task::new(TaskParameters { server, ..parameters }).expect("a task of the test")
}

/// Why a scheduling context with a task's own budget and period is not enough for it. Its job keeps its budget and has an urgent
/// neighbour. What it uses late comes back late; so the next job starts late, is delayed again, and uses its budget later still.
#[test]
fn a_scheduling_context_of_the_tasks_own_period_makes_it_late() {
    let urgent =
        on_server(TaskParameters { release: Release::Sporadic, ..TaskParameters::new(11 * MS, 11 * MS, 3 * MS) }, 3, 8);
    let honest = TaskParameters::new(10 * MS, 10 * MS, 2 * MS);
    let missed = |budget_ms, period_ms| {
        let set = [urgent.at_level(2), on_server(honest, budget_ms, period_ms).at_level(1)];
        let script = &mut Scripted {
            releases_ms: vec![vec![0, 13, 26], vec![0, 10, 20]],
            jobs: vec![vec![computing(3)], vec![computing(2)]],
        };
        let outcome = run(&set, &Platform::IDEAL, script, 40 * MS);
        (analyse(&set, &Platform::IDEAL).unwrap().refusal(), outcome.tasks[1].throttled, outcome.missed())
    };
    let refusal = Refusal::ServerBudget { task: 1, needed_ns: 7 * MS, budget_ns: 2 * MS };
    assert_eq!(missed(2, 10), (Some(refusal), 2, 1));
    assert_eq!(missed(2, 5), (None, 0, 0), "it is back before the next release");
    assert_eq!(missed(7, 10), (None, 0, 0), "what is left is enough until it is back");
}

/// Why calls count until the deadline, where the kernel alone stops jobs: one that was stopped makes its calls after it, the next
/// job makes them at once, and both fall into one window.
#[test]
fn calls_of_a_job_that_was_stopped_come_late() {
    let gpio = [Driver { name: "gpio", call_ns: MS, server: None, reserved_calls: 0 }];
    let platform = Platform { trust: Trust::Kernel, drivers: &gpio, ..Platform::IDEAL };
    let mut calling = TaskParameters::new(10 * MS, 10 * MS, 2 * MS);
    calling.calls[0] = 2;
    let other = TaskParameters::new(20 * MS, 20 * MS, 2 * MS + 1);
    let set = [on_server(calling, 2, 5).at_level(2), on_server(other, 3, 8).at_level(1)];
    let job = |for_ms, at_ms| {
        let step = Step { at_ns: at_ms * MS, kind: StepKind::Call { driver: 0, length_ns: MS } };
        Job { steps: vec![step; 2], ..computing(for_ms) }
    };
    let script = &mut Scripted {
        releases_ms: vec![vec![0, 10], vec![5]],
        jobs: vec![vec![job(4, 3), job(2, 1)], vec![Job { execution_ns: 2 * MS + 1, ..computing(0) }]],
    };
    let outcome = run(&set, &platform, script, 30 * MS);
    // From 5: two of the stopped job and its calls, a part of its own; from 10 the next job with its calls, and the rest.
    assert_eq!(outcome.tasks[1].longest_response_ns, 10 * MS + 1);
    let analysis = analyse(&set, &platform).unwrap();
    assert!(analysis.responses()[1].bound_ns > 10 * MS, "{:?}", analysis.responses());
}

/// What becomes of jobs that the cell stops, policy by policy: five milliseconds where two are allowed, every ten.
#[test]
fn a_job_that_is_stopped_goes_on_or_ends_as_its_policy_says() {
    let tasks = [Task::new(TaskParameters::new(10 * MS, 10 * MS, 2 * MS)).unwrap()];
    let outcome = |on_overrun| {
        let script = &mut Scripted { releases_ms: vec![vec![0, 10, 20, 30, 40]], jobs: vec![vec![computing(5)]] };
        let platform = &Platform::IDEAL;
        let scenario = Scenario { tasks: &tasks, platform, on_overrun, horizon_ns: 50 * MS, record: 0..0 };
        simulate(&scenario, script).tasks[0]
    };
    // 2 from 0, 2 from 10, the last one from 20: the end is at 21. Then 2 from 30, 2 from 40, and the run is over.
    let expected = TaskOutcome {
        released: 5,
        completed: 1,
        missed: 2,
        skipped: 3,
        stopped: 4,
        throttled: 0,
        longest_response_ns: 21 * MS,
    };
    assert_eq!(outcome(OnOverrun::Skip), expected);
    let once = TaskOutcome { released: 1, stopped: 1, ..TaskOutcome::default() };
    assert_eq!(outcome(OnOverrun::Stop), once);
    assert_eq!(outcome(OnOverrun::Restart), TaskOutcome { released: 5, stopped: 5, ..once });
}
