//! Levels and largest budgets of random sets.

use proptest::prelude::*;
use runner_schedule::Task;
use runner_schedule::simulate::Seeded;

use crate::generator::{ANY_LOAD, Flavour, platform, tasks};

proptest! {
    /// No brute-force order of levels meets all deadlines where the assigned one does not.
    #[test]
    fn no_other_order_does_better(seed: u64, costs: bool, calls: bool) {
        let short_deadlines = true;
        let flavour = Flavour { tasks: 5, load_percent: (30, 90), costs, calls, short_deadlines, ..Flavour::default() };
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
        let flavour = Flavour { tasks: 6, load_percent: ANY_LOAD, costs, calls, waits, equals, ..Flavour::default() };
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
