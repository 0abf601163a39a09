//! How far the admission test is from the truth: bounds beside what the simulator sees, and what becomes of sets that it refuses.
//!
//! `cargo run --release -p runner-schedule --example pessimism` prints the table of `docs/real-time.md`. The sets are drawn from
//! fixed seeds, so everybody gets the same figures.
#![allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "shares and places in a sorted list")]

use runner_schedule::{
    Platform, Task, analyse,
    simulate::{Behaviour, CriticalInstant, OnOverrun, Outcome, Random, Scenario, simulate},
};

#[path = "../tests/schedule/generator.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod generator;

use generator::Flavour;

/// Sets of each kind and load.
const SETS: u64 = 400;

/// Random runs of a set, beside the critical instant.
const RUNS: u64 = 20;

/// A run's length in the set's longest period.
const PERIODS: u64 = 20;

/// Utilisation around which the containers' budgets are drawn, in percent, from and to. What a platform costs comes on top.
const LOADS: [(u64, u64); 3] = [(30, 50), (50, 70), (70, 90)];

/// What the sets have, with words for it.
fn kinds() -> [(&'static str, Flavour); 4] {
    let plain = Flavour { tasks: 8, ..Flavour::default() };
    [
        ("ideal processor", plain),
        ("costs", Flavour { costs: true, ..plain }),
        ("costs, driver calls", Flavour { costs: true, calls: true, ..plain }),
        ("costs, driver calls, waits", Flavour { costs: true, calls: true, waits: true, ..plain }),
    ]
}

/// What was found about the sets of one kind and load.
#[derive(Default)]
struct Findings {
    admitted: u64,
    refused: u64,
    refused_and_missed: u64,
    refused_and_missed_on_grid: u64,
    /// Bound by the longest response seen, task by task: in any run, and in runs released on the node's grid alone.
    of_any: Vec<f64>,
    of_grid: Vec<f64>,
    admitted_and_missed: u64,
}

fn main() {
    println!(
        "| sets | load | admitted | ratio, any phases | ratio, the node's grid | refused and miss, any phases | the node's grid |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for (kind, flavour) in kinds() {
        for load_percent in LOADS {
            let findings = findings(Flavour { load_percent, ..flavour });
            println!("| {kind} | {}–{} % | {} |", load_percent.0, load_percent.1, findings.row());
        }
    }
}

fn findings(flavour: Flavour) -> Findings {
    let platform = generator::platform(flavour);
    let mut findings = Findings::default();
    for seed in 0..SETS {
        let tasks = generator::tasks(seed, flavour, &platform);
        findings.look_at(&tasks, &platform, seed);
    }
    findings
}

impl Findings {
    fn look_at(&mut self, tasks: &[Task], platform: &Platform<'_>, seed: u64) {
        let analysis = analyse(tasks, platform).expect("generated sets can be looked at");
        let critical = run(tasks, platform, &mut CriticalInstant::new(tasks, platform));
        let random: Vec<Outcome> = (0..RUNS)
            .map(|number| {
                run(tasks, platform, &mut Random::new(tasks, platform, seed * RUNS + number).on_grid(number % 2 == 0))
            })
            .collect();
        let missed = random.iter().chain([&critical]).any(|outcome| outcome.missed() > 0);
        if !analysis.is_admitted() {
            self.refused += 1;
            self.refused_and_missed += u64::from(missed);
            let on_grid = random.iter().step_by(2).any(|outcome| outcome.missed() > 0);
            self.refused_and_missed_on_grid += u64::from(on_grid);
            return;
        }
        self.admitted += 1;
        self.admitted_and_missed += u64::from(missed);
        for (task, response) in analysis.responses().iter().enumerate() {
            let longest = |outcomes: &mut dyn Iterator<Item = &Outcome>| {
                outcomes.map(|outcome| outcome.tasks[task].longest_response_ns).max().unwrap_or(0)
            };
            let bound_ns = response.bound_ns as f64;
            self.of_any.push(bound_ns / longest(&mut random.iter().chain([&critical])) as f64);
            self.of_grid.push(bound_ns / longest(&mut random.iter().step_by(2)) as f64);
        }
    }

    fn row(mut self) -> String {
        assert_eq!(self.admitted_and_missed, 0, "what is admitted does not miss");
        let missed = match self.refused {
            0 => String::from("none refused | none refused"),
            refused => {
                format!("{} of {refused} | {} of {refused}", self.refused_and_missed, self.refused_and_missed_on_grid)
            }
        };
        let (of_any, of_grid) = (distribution(&mut self.of_any), distribution(&mut self.of_grid));
        format!("{} of {SETS} | {of_any} | {of_grid} | {missed}", self.admitted)
    }
}

/// Median, 90th percentile and largest.
fn distribution(ratios: &mut [f64]) -> String {
    ratios.sort_by(f64::total_cmp);
    let Some(last) = ratios.len().checked_sub(1) else { return String::from("none") };
    let at = |percent: usize| ratios[last * percent / 100];
    format!("{:.2}, {:.2}, {:.2}", at(50), at(90), at(100))
}

fn run(tasks: &[Task], platform: &Platform<'_>, behaviour: &mut dyn Behaviour) -> Outcome {
    let longest_ns = tasks.iter().map(|task| task.parameters().period_ns).max().unwrap_or(0);
    let horizon_ns = PERIODS * longest_ns;
    simulate(&Scenario { tasks, platform, on_overrun: OnOverrun::Skip, horizon_ns, record: 0..0 }, behaviour)
}
