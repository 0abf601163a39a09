//! The committed figures, and what is held against them.
//!
//! Two runs of the same programs agree to the last instruction, so a margin is not for noise. It is for what changes with any
//! build: another compiler or another line of code makes a path some instructions longer, and moves what happens against the ticks.

use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::{
    Condition, Measure, Plan,
    figures::Figure,
    machine::{Played, Releases},
};
use crate::process;

/// Where the figures are committed.
const FILE: &str = "ci/baseline-time.json";

/// What makes them.
const COMMAND: &str = "cargo xtask bench --time";

/// A median may be this much more or less, in hundredths. It is what a path costs, and moves by what the path's code does.
const MEDIAN_PERCENT: u64 = 10;

/// The 99th percentile and the largest value may be this much more, in hundredths. Who comes between depends on the phase of a
/// few rare things, which another build shifts. They may be less by anything.
const RARE_PERCENT: u64 = 25;

/// And by so many instructions, 0.16 ms: the largest of what comes between under every condition. Some releases meet a look of the
/// warden's, some 6,000 instructions, or a deployment, some 19,000; whether one of 300 releases or fifty edges does changes with any
/// build, and with the folder that it is built in.
const RARE_INSTRUCTIONS: u64 = 20_000;

/// Committed figures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Baseline {
    /// What they were taken with.
    pub(super) plan: Plan,
    /// By condition.
    pub(super) conditions: BTreeMap<String, Figures>,
}

/// What was found under one condition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Figures {
    pub(super) releases: Releases,
    /// In instructions, by measure.
    pub(super) figures: BTreeMap<String, Figure>,
}

impl Figures {
    pub(super) fn of(played: &Played) -> Self {
        let figure = |(measure, samples): &(Measure, super::figures::Samples)| {
            Some((measure.key().to_owned(), samples.figure()?))
        };
        Self { releases: played.releases, figures: played.series.iter().filter_map(figure).collect() }
    }
}

fn path() -> PathBuf {
    process::root().join(FILE)
}

impl Baseline {
    /// What is committed.
    pub(super) fn load() -> Result<Self> {
        let path = path();
        let hint = || format!("{FILE} cannot be read; `{COMMAND}` writes it");
        let text = fs::read_to_string(&path).with_context(hint)?;
        serde_json::from_str(&text).with_context(|| format!("{FILE} holds no baseline; `{COMMAND}` writes it"))
    }

    pub(super) fn save(&self) -> Result<()> {
        let text = serde_json::to_string_pretty(self).context("figures are JSON")? + "\n";
        fs::write(path(), text).with_context(|| format!("cannot write {FILE}"))
    }

    /// Every figure of `found` that is not what the baseline says it should be, in words.
    pub(super) fn differences(&self, condition: Condition, found: &Figures) -> Vec<String> {
        let Some(known) = self.conditions.get(condition.name()) else {
            return vec![format!("{condition}: {FILE} has no figures of it; `{COMMAND}` writes them")];
        };
        let mut differences = Vec::new();
        for (what, is, was) in [
            ("missed deadlines", found.releases.missed, known.releases.missed),
            ("releases lost", found.releases.skipped, known.releases.skipped),
        ] {
            if is > was {
                differences.push(format!("{condition}: {is} {what}, where the baseline has {was}"));
            }
        }
        for measure in Measure::ALL {
            match (found.figures.get(measure.key()), known.figures.get(measure.key())) {
                (Some(is), Some(was)) => differences.extend(
                    differences_of(is, was).into_iter().map(|text| format!("{condition}, {}: {text}", measure.name())),
                ),
                (None, _) => differences.push(format!("{condition}, {}: nothing was measured", measure.name())),
                (_, None) => differences
                    .push(format!("{condition}, {}: {FILE} has no such figure; `{COMMAND}` writes it", measure.name())),
            }
        }
        differences
    }
}

fn differences_of(is: &Figure, was: &Figure) -> Vec<String> {
    let off = was.median * MEDIAN_PERCENT / 100;
    let mut differences = Vec::new();
    if is.median.abs_diff(was.median) > off {
        let hint = if is.median < was.median { format!("; `{COMMAND}` writes a better one") } else { String::new() };
        differences
            .push(format!("the median is {} instructions, the baseline {} ± {off}{hint}", is.median, was.median));
    }
    // In a short run, deployments are a larger part of all moments: more than one of a hundred may meet one.
    let rare = if is.count < was.count { was.most } else { was.p99 };
    for (what, is, was) in [("the 99th percentile", is.p99, rare), ("the largest", is.most, was.most)] {
        let bound = was + was * RARE_PERCENT / 100 + RARE_INSTRUCTIONS;
        if is > bound {
            differences.push(format!("{what} is {is} instructions, the baseline {was}, the bound {bound}"));
        }
    }
    differences
}

/// Fails with all differences, where there are any.
pub(super) fn hold(differences: &[String]) -> Result<()> {
    ensure!(
        differences.is_empty(),
        "figures are not those of the baseline ({FILE}; where that is meant, `{COMMAND}` writes another):\n  {}",
        differences.join("\n  ")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(median: u64, p99: u64, most: u64) -> Figure {
        Figure { count: 100, least: 1, median, p99, most }
    }

    fn figures(figure: Figure) -> Figures {
        let figures = Measure::ALL.iter().map(|measure| (measure.key().to_owned(), figure)).collect();
        Figures { releases: Releases { released: 100, missed: 0, skipped: 0 }, figures }
    }

    fn baseline() -> Baseline {
        let conditions = [("idle".to_owned(), figures(figure(10_000, 20_000, 40_000)))].into();
        Baseline { plan: Plan::FULL, conditions }
    }

    fn found(figure: Figure) -> Vec<String> {
        baseline().differences(Condition::Idle, &figures(figure))
    }

    #[test]
    fn a_short_run_may_meet_more_rare_moments() {
        let short = Figure { count: 50, ..figure(10_000, 60_000, 60_000) };
        assert_eq!(found(short), Vec::<String>::new());
        assert_eq!(found(Figure { count: 100, ..short }).len(), Measure::ALL.len());
    }

    #[test]
    fn what_lies_within_the_margins_is_no_difference() {
        assert_eq!(found(figure(11_000, 45_000, 70_000)), Vec::<String>::new());
        assert_eq!(found(figure(9_000, 9_000, 9_000)), Vec::<String>::new());
        hold(&[]).expect("nothing differs");
    }

    #[test]
    fn each_figure_beyond_its_margin_is_told() {
        for (beyond, says) in [
            (figure(11_001, 20_000, 40_000), "the median is 11001"),
            (figure(8_999, 20_000, 40_000), "writes a better one"),
            (figure(10_000, 45_001, 40_000), "the 99th percentile is 45001"),
            (figure(10_000, 20_000, 70_001), "the largest is 70001"),
        ] {
            let differences = found(beyond);
            assert_eq!(differences.len(), Measure::ALL.len(), "{differences:?}");
            assert!(differences[0].contains(says), "{differences:?}");
            assert!(hold(&differences).is_err());
        }
    }

    #[test]
    fn a_lost_release_is_told() {
        let mut worse = figures(figure(10_000, 20_000, 40_000));
        worse.releases = Releases { released: 98, missed: 1, skipped: 2 };
        let differences = baseline().differences(Condition::Idle, &worse);
        assert_eq!(differences.len(), 2, "{differences:?}");
    }

    #[test]
    fn what_the_baseline_does_not_know_is_told() {
        let other = Condition::of_name("cpu-hog").expect("an attack");
        let told = baseline().differences(other, &figures(figure(1, 1, 1)));
        assert!(told[0].contains("has no figures") && told[0].contains(COMMAND), "{told:?}");
        let mut lacking = baseline();
        lacking.conditions.get_mut("idle").expect("it is there").figures.remove(Measure::EdgeAtTick.key());
        let told = lacking.differences(Condition::Idle, &figures(figure(10_000, 20_000, 40_000)));
        assert!(told[0].contains("no such figure"), "{told:?}");
        let nothing = Figures::default();
        assert_eq!(baseline().differences(Condition::Idle, &nothing).len(), Measure::ALL.len(), "nothing was measured");
    }
}
