//! Random sets of tasks on random platforms.

use proptest::prelude::*;
use runner_schedule::simulate::Seeded;
use runner_schedule::{Driver, Platform, Release, Server, Suspension, SystemTask, Task, TaskParameters, assign_levels};

/// What a random set may have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flavour {
    pub(crate) tasks: u64,
    /// Switches, slices, blocking, ticks, system tasks, jitter.
    pub(crate) costs: bool,
    pub(crate) calls: bool,
    pub(crate) waits: bool,
    /// Some tasks share a level.
    pub(crate) equals: bool,
}

/// Time's grain in the random sets: small numbers make coincidences, which is where analyses go wrong.
pub(crate) const GRAIN_NS: u64 = 100_000;

const TICK: [SystemTask<'_>; 2] = [
    SystemTask { name: "tick", budget_ns: 20_000, period_ns: 1_000_000, jitter_ns: 0 },
    SystemTask { name: "warden", budget_ns: 60_000, period_ns: 3_000_000, jitter_ns: 700_000 },
];

const DRIVERS: [Driver<'_>; 2] = [
    Driver { name: "gpio", call_ns: 15_000, server: None, reserved_ns: 0 },
    Driver { name: "i2c", call_ns: 70_000, server: None, reserved_ns: 0 },
];

/// A platform with every cost, or none.
pub(crate) fn platform(flavour: Flavour) -> Platform<'static> {
    let drivers: &'static [Driver<'static>] = if flavour.calls { &DRIVERS } else { &[] };
    if !flavour.costs {
        return Platform { drivers, ..Platform::IDEAL };
    }
    Platform {
        tick_period_ns: 1_000_000,
        tick_jitter_ns: 40_000,
        event_jitter_ns: 25_000,
        switch_ns: 3_000,
        slice_ns: 10_000,
        blocking_ns: 12_000,
        system: &TICK,
        drivers,
        ..Platform::IDEAL
    }
}

/// Tasks with periods of 1 to 40 grains times ten, of some utilisation up to about one, with levels.
pub(crate) fn tasks(seed: u64, flavour: Flavour, platform: &Platform<'_>) -> Vec<Task> {
    let mut choices = Seeded::new(seed);
    let count = 1 + choices.below(flavour.tasks);
    let load_percent = 20 + choices.below(90);
    let mut tasks: Vec<Task> =
        std::iter::repeat_with(|| task(&mut choices, load_percent, count, flavour)).take(count as usize).collect();
    assign_levels(&mut tasks, 100..=200, platform).unwrap();
    if flavour.equals {
        for task in &mut tasks {
            *task = task.at_level(task.level() & !1);
        }
    }
    tasks
}

fn task(choices: &mut Seeded, load_percent: u64, count: u64, flavour: Flavour) -> Task {
    let period_ns = GRAIN_NS * 10 * (1 + choices.below(20)) / (1 + choices.below(2));
    let deadline_ns = if choices.once_in(2) { period_ns } else { period_ns - choices.below(period_ns / 3) };
    let share_ns = period_ns * load_percent / 100 / count;
    let budget_ns = (share_ns / 3 + choices.below(share_ns * 4 / 3)).clamp(1, deadline_ns);
    let release = match choices.below(3) {
        0 => Release::Sporadic,
        1 => Release::Periodic { offset_ns: choices.below(period_ns) },
        _ => Release::Periodic { offset_ns: 0 },
    };
    let mut parameters = TaskParameters { release, ..TaskParameters::new(period_ns, deadline_ns, budget_ns) };
    if flavour.costs && choices.once_in(3) {
        parameters.jitter_ns = choices.below(deadline_ns / 4);
    }
    if flavour.calls {
        parameters.calls[0] = choices.below(4) as u16;
        parameters.calls[1] = choices.below(2) as u16;
    }
    if flavour.waits && choices.once_in(2) {
        let times = 1 + choices.below(3) as u16;
        parameters.suspension = Suspension { total_ns: 1 + choices.below(deadline_ns / 3), times };
    }
    Task::new(parameters).unwrap()
}

/// The same tasks on scheduling contexts that never stop a job which keeps its budget; `None` where there are none.
pub(crate) fn with_servers(tasks: &[Task], platform: &Platform<'_>, spare: u64) -> Option<Vec<Task>> {
    let analysis = runner_schedule::analyse(tasks, platform).ok()?;
    let server = |(task, response): (&Task, &runner_schedule::Response)| {
        let parameters = *task.parameters();
        let period_ns = parameters.period_ns.checked_sub(response.bound_ns)?;
        let server = Server::new((parameters.budget_ns + spare).min(period_ns), period_ns).ok()?;
        Some(Task::new(TaskParameters { server: Some(server), ..parameters }).ok()?.at_level(task.level()))
    };
    tasks.iter().zip(analysis.responses()).map(server).collect()
}

proptest! {
    /// No brute-force order of levels meets all deadlines where the assigned one does not.
    #[test]
    fn no_other_order_does_better(seed: u64, costs: bool, calls: bool) {
        let flavour = Flavour { tasks: 5, costs, calls, waits: false, equals: false };
        let platform = platform(flavour);
        let tasks = tasks(seed, flavour, &platform);
        let admits = |tasks: &[Task]| runner_schedule::analyse(tasks, &platform).unwrap().is_admitted();
        let any = orders(tasks.len()).iter().any(|order| {
            let reordered: Vec<Task> = tasks.iter().zip(order).map(|(task, level)| task.at_level(*level)).collect();
            admits(&reordered)
        });
        prop_assert_eq!(admits(&tasks), any);
    }

    /// More budget never shortens anybody's response time, and what is called the largest budget is it.
    #[test]
    fn the_largest_budget_is_the_last_that_fits(seed: u64, costs: bool, calls: bool, waits: bool, equals: bool) {
        let flavour = Flavour { tasks: 6, costs, calls, waits, equals };
        let platform = platform(flavour);
        let mut tasks = tasks(seed, flavour, &platform);
        let candidate = (seed % tasks.len() as u64) as usize;
        let largest = runner_schedule::largest_budget(&tasks, candidate, &platform).unwrap();
        let deadline_ns = tasks[candidate].parameters().deadline_ns;
        let mut choices = Seeded::new(seed);
        let mut budgets: Vec<u64> = (0..12).map(|_| 1 + choices.below(deadline_ns)).collect();
        let around = largest.unwrap_or(0);
        budgets.extend([around, around + 1, around.saturating_sub(1), 1, deadline_ns]);
        budgets.retain(|budget_ns| (1..=deadline_ns).contains(budget_ns));
        budgets.sort_unstable();
        let mut before = vec![0; tasks.len()];
        for budget_ns in budgets {
            tasks[candidate] = tasks[candidate].with_budget(budget_ns).unwrap();
            let analysis = runner_schedule::analyse(&tasks, &platform).unwrap();
            prop_assert_eq!(analysis.is_admitted(), budget_ns <= largest.unwrap_or(0), "{} of {:?}", budget_ns, largest);
            for (bound_ns, response) in before.iter_mut().zip(analysis.responses()) {
                let missed = response.verdict != runner_schedule::Verdict::Meets;
                let now_ns = if missed { u64::MAX } else { response.bound_ns };
                prop_assert!(now_ns >= *bound_ns);
                *bound_ns = now_ns;
            }
        }
    }
}

/// All orders of levels for so many tasks.
fn orders(of: usize) -> Vec<Vec<u8>> {
    if of == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for order in orders(of - 1) {
        for place in 0..of {
            let mut longer = order.clone();
            longer.insert(place, of as u8);
            all.push(longer);
        }
    }
    all
}

#[test]
fn orders_are_all_of_them() {
    let mut four = orders(4);
    four.sort();
    four.dedup();
    assert_eq!(four.len(), 24);
}
