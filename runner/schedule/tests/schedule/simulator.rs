//! The analysis against the simulator.

use proptest::prelude::*;
use runner_schedule::simulate::{Behaviour, CriticalInstant, OnOverrun, Outcome, Random, Scenario, simulate};
use runner_schedule::{Platform, Task, analyse};

use crate::sets::{self, Flavour};

const MS: u64 = 1_000_000;

pub(crate) fn run(tasks: &[Task], platform: &Platform<'_>, behaviour: &mut dyn Behaviour, horizon_ns: u64) -> Outcome {
    let scenario = Scenario { tasks, platform, on_overrun: OnOverrun::Skip, horizon_ns, record: 0..0 };
    simulate(&scenario, behaviour)
}

fn longest_period_ns(tasks: &[Task]) -> u64 {
    tasks.iter().map(|task| task.parameters().period_ns).max().unwrap_or(0)
}

proptest! {
    /// For tasks that do not wait of themselves the bound is not merely safe: the critical instant comes to it, less the nanosecond by
    /// which what blocks has to begin before.
    #[test]
    fn the_critical_instant_comes_to_the_bound(seed: u64, costs: bool, calls: bool) {
        let flavour = Flavour { tasks: 6, costs, calls, waits: false, equals: false };
        let platform = sets::platform(flavour);
        let tasks = sets::tasks(seed, flavour, &platform);
        let analysis = analyse(&tasks, &platform).unwrap();
        prop_assume!(analysis.is_admitted());
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
        let flavour = Flavour { tasks: 6, costs, calls, waits, equals };
        let platform = sets::platform(flavour);
        let tasks = sets::tasks(seed, flavour, &platform);
        let analysis = analyse(&tasks, &platform).unwrap();
        prop_assume!(analysis.is_admitted());
        for run_seed in 0..4 {
            let mut behaviour = Random::new(&tasks, &platform, seed ^ run_seed);
            let outcome = run(&tasks, &platform, &mut behaviour, 20 * longest_period_ns(&tasks) + MS);
            for (seen, response) in outcome.tasks.iter().zip(analysis.responses()) {
                prop_assert!(seen.longest_response_ns <= response.bound_ns, "{seen:?} {response:?}");
                prop_assert_eq!((seen.missed, seen.skipped, seen.stopped), (0, 0, 0));
                prop_assert!(seen.released <= seen.completed + 1);
            }
        }
    }
}
