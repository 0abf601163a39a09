//! Any numbers at all.

use proptest::prelude::*;
use runner_schedule::{
    DRIVERS, Driver, MAX_TASKS, Platform, Refusal, Release, Server, Suspension, SystemTask, Task, TaskParameters,
    Trust, Verdict, analyse, assign_levels, largest_budget,
};

/// The ends of the range far more often than by chance, and what manifests usually say.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just(1),
        Just(u64::MAX),
        Just(u64::MAX - 1),
        Just(3_600_000_000_000),
        any::<u64>(),
        0..20_000_000_u64
    ]
}

fn parameters() -> impl Strategy<Value = TaskParameters> {
    let times = (number(), number(), number(), number(), number());
    let others = (any::<bool>(), number(), any::<u16>(), any::<[u16; DRIVERS]>(), any::<u8>());
    (times, others, proptest::option::of((number(), number()))).prop_map(|(times, others, server)| {
        let (period_ns, deadline_ns, budget_ns, jitter_ns, total_ns) = times;
        let (sporadic, offset_ns, times, calls, class) = others;
        let release = if sporadic { Release::Sporadic } else { Release::Periodic { offset_ns } };
        let server = server.and_then(|(budget_ns, period_ns)| Server::new(budget_ns, period_ns).ok());
        let suspension = Suspension { total_ns, times };
        TaskParameters { release, period_ns, deadline_ns, budget_ns, jitter_ns, suspension, calls, class, server }
    })
}

/// Parameters that a task may have: most of what is drawn at random is none.
fn task() -> impl Strategy<Value = Task> {
    parameters().prop_filter_map("is a task", |mut parameters| {
        parameters.period_ns = 100_000 + parameters.period_ns % 3_599_999_900_001;
        parameters.deadline_ns = 1 + parameters.deadline_ns % parameters.period_ns;
        parameters.budget_ns = 1 + parameters.budget_ns % parameters.deadline_ns;
        parameters.jitter_ns %= parameters.deadline_ns;
        parameters.suspension.total_ns %= parameters.deadline_ns;
        Task::new(parameters).ok()
    })
}

proptest! {
    #[test]
    fn any_parameters_are_a_task_or_an_error_in_words(parameters in parameters()) {
        match Task::new(parameters) {
            Ok(task) => prop_assert_eq!(task.parameters(), &parameters),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    /// Nothing overflows, and every answer can be told.
    #[test]
    fn any_tasks_on_any_platform_have_an_answer(
        mut tasks in proptest::collection::vec(task(), 0..6),
        costs in (number(), number(), number(), number(), number(), number(), number()),
        system in proptest::collection::vec((number(), number(), number()), 0..3),
        drivers in proptest::collection::vec((number(), any::<u16>(), number(), number()), 0..=DRIVERS),
        refills: u16,
        kernel: bool,
    ) {
        let system: Vec<SystemTask<'_>> = system
            .into_iter()
            .map(|(budget_ns, period_ns, jitter_ns)| SystemTask { name: "any", budget_ns, period_ns, jitter_ns })
            .collect();
        let drivers: Vec<Driver<'_>> = drivers
            .into_iter()
            .map(|(call_ns, reserved_calls, budget_ns, period_ns)| {
                Driver { name: "any", call_ns, reserved_calls, server: Server::new(budget_ns, period_ns).ok() }
            })
            .collect();
        let platform = Platform {
            tick_period_ns: costs.0,
            tick_jitter_ns: costs.1,
            event_jitter_ns: costs.2,
            switch_ns: costs.3,
            slice_ns: costs.4,
            blocking_ns: costs.5,
            minimum_budget_ns: costs.6,
            refills,
            trust: if kernel { Trust::Kernel } else { Trust::Cells },
            system: &system,
            drivers: &drivers,
        };
        assign_levels(&mut tasks, 5..=7, &platform).unwrap();
        match analyse(&tasks, &platform) {
            Err(error) => prop_assert!(!error.to_string().is_empty()),
            Ok(analysis) => {
                for task in 0..tasks.len() {
                    prop_assert!(analysis.contributions(task).count() > 0);
                }
                if let Some(refusal) = analysis.refusal() {
                    prop_assert!(!refusal.to_string().is_empty());
                } else {
                    prop_assert!(largest_budget(&tasks, 0, &platform).unwrap().is_some() || tasks.is_empty());
                }
            }
        }
    }
}

/// The longest search that manifests can cause: as many tasks as there may be, none of whose windows is found.
#[test]
fn the_worst_set_is_answered_too() {
    // Three seconds of work beside a load of 99.999 %: each round widens the window by three seconds, and the deadline is an hour.
    let long = TaskParameters::new(3_600_000_000_000, 3_600_000_000_000, 50_000_000);
    let short = TaskParameters::new(100_000, 100_000, 99_999);
    let mut tasks = [Task::new(long).unwrap(); MAX_TASKS];
    tasks[0] = Task::new(short).unwrap().at_level(1);
    let analysis = analyse(&tasks, &Platform::IDEAL).unwrap();
    assert_eq!(analysis.refusal(), Some(Refusal::Undecided { task: 1 }));
    assert!(analysis.responses()[1..].iter().all(|response| response.verdict == Verdict::Undecided));
}
