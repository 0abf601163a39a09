//! Random sets of tasks on random platforms, for the tests and for `examples/pessimism.rs`.

use runner_schedule::simulate::Seeded;
use runner_schedule::{Driver, Platform, Release, Server, Suspension, SystemTask, Task, TaskParameters, assign_levels};

/// What a random set may have.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Flavour {
    pub(crate) tasks: u64,
    /// From, to.
    pub(crate) load_percent: (u64, u64),
    /// Switches, slices, blocking, ticks, system tasks, jitter.
    pub(crate) costs: bool,
    pub(crate) calls: bool,
    pub(crate) waits: bool,
    /// Deadlines down to a fifth of the period, so that the order of deadlines is not that of periods.
    pub(crate) short_deadlines: bool,
    /// Some tasks share a level.
    pub(crate) equals: bool,
}

/// From little to more than there is.
pub(crate) const ANY_LOAD: (u64, u64) = (20, 110);

/// Time's grain in the random sets: small numbers make coincidences, which is where analyses go wrong.
pub(crate) const GRAIN_NS: u64 = 100_000;

const TICK: [SystemTask<'_>; 2] = [
    SystemTask { name: "tick", budget_ns: 20_000, period_ns: 1_000_000, jitter_ns: 0 },
    SystemTask { name: "warden", budget_ns: 60_000, period_ns: 3_000_000, jitter_ns: 700_000 },
];

const DRIVERS: [Driver<'_>; 2] = [
    Driver { name: "gpio", call_ns: 15_000, server: None, reserved_calls: 0 },
    Driver { name: "i2c", call_ns: 70_000, server: None, reserved_calls: 0 },
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
    let load_percent = flavour.load_percent.0 + choices.below(flavour.load_percent.1 - flavour.load_percent.0);
    let mut tasks: Vec<Task> =
        std::iter::repeat_with(|| task(&mut choices, load_percent, count, flavour)).take(count as usize).collect();
    assign_levels(&mut tasks, 100..=200, platform).expect("there are levels");
    if flavour.equals {
        for task in &mut tasks {
            *task = task.at_level(task.level() & !1);
        }
    }
    tasks
}

fn task(choices: &mut Seeded, load_percent: u64, count: u64, flavour: Flavour) -> Task {
    let period_ns = GRAIN_NS * 10 * (1 + choices.below(20)) / (1 + choices.below(2));
    let spread_ns = if flavour.short_deadlines { period_ns / 5 * 4 } else { period_ns / 3 };
    let deadline_ns = if choices.once_in(2) { period_ns } else { period_ns - choices.below(spread_ns) };
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
    Task::new(parameters).expect("parameters are drawn within bounds")
}

/// The first admitted set from a seed on: of every few sets one is.
pub(crate) fn admitted(
    seed: u64,
    flavour: Flavour,
    platform: &Platform<'_>,
    changed: impl Fn(Vec<Task>) -> Vec<Task>,
) -> Vec<Task> {
    let sets = (0..).map(|more| changed(tasks(seed.wrapping_add(more), flavour, platform)));
    let is_admitted = |set: &Vec<Task>| {
        let large_enough = set.len() > 1 || flavour.tasks == 1;
        large_enough && runner_schedule::analyse(set, platform).expect("a set that can be looked at").is_admitted()
    };
    sets.take(1000).find(is_admitted).expect("a set in a thousand is admitted")
}

/// The same tasks on scheduling contexts of half their periods; `spare_ns` over what a job takes.
pub(crate) fn with_servers(tasks: &[Task], platform: &Platform<'_>, spare_ns: u64) -> Vec<Task> {
    let server = |task: &Task| {
        let parameters = *task.parameters();
        let period_ns = parameters.period_ns / 2;
        let own_ns = parameters.budget_ns + platform.slice_ns + 2 * platform.switch_ns + platform.minimum_budget_ns;
        let server = Server::new((own_ns + spare_ns).min(period_ns), period_ns).expect("half a period is a period");
        Task::new(TaskParameters { server: Some(server), ..parameters })
            .expect("only the server is another")
            .at_level(task.level())
    };
    tasks.iter().map(server).collect()
}
