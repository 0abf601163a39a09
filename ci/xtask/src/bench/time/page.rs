//! The book's page of these figures, between its markers, and the pictures beside it.

use std::{fmt::Write as _, fs};

use anyhow::{Context, Result};
use runner_interfaces::timing::{Histogram, bucket_end_ns};
use shared_ring_messages::MeasureReport;

use super::{
    Condition, Measure,
    baseline::{Baseline, Figures},
    containers::UNIT_NS,
    figures::{Figure, Samples},
    machine::Played,
};
use crate::process;

/// The pictures, beside the page.
const PICTURES: &str = "docs/measurements-time";

/// Draws each measure under each condition, in the buckets that a node's own histograms have.
pub(super) fn draw(found: &[Played]) -> Result<()> {
    let folder = process::root().join(PICTURES);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for measure in Measure::ALL {
        let reports: Vec<MeasureReport> = found.iter().filter_map(|played| report(played, measure)).collect();
        let heading = format!("{}, in virtual time (8 ns an instruction)", capital(measure.name()));
        let path = folder.join(format!("{}.svg", measure.key()));
        fs::write(&path, distribution::picture(measure.name(), &heading, &reports))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn report(played: &Played, measure: Measure) -> Option<MeasureReport> {
    let (_, samples) = played.series.iter().find(|(other, _)| *other == measure)?;
    Some(counted(played.condition, samples))
}

fn counted(condition: Condition, samples: &Samples) -> MeasureReport {
    let mut histogram = Histogram::default();
    samples.values().iter().for_each(|value| histogram.record(value * UNIT_NS));
    let buckets = histogram.buckets.iter().enumerate().filter(|(_, count)| **count > 0);
    MeasureReport {
        name: condition.name().into(),
        count: histogram.count,
        sum_ns: histogram.sum_ns,
        least_ns: histogram.least_ns,
        most_ns: histogram.most_ns,
        buckets: buckets.map(|(bucket, count)| (bucket_end_ns(bucket), *count)).collect(),
    }
}

/// One table a measure, a line a condition, in instructions.
pub(super) fn tables(baseline: &Baseline) -> String {
    let rows: Vec<(Condition, &Figures)> = Condition::all()
        .into_iter()
        .filter_map(|condition| Some((condition, baseline.conditions.get(condition.name())?)))
        .collect();
    let mut text = String::new();
    for measure in Measure::ALL {
        let _ = write!(text, "### {}\n\n{}\n", capital(measure.name()), header());
        for (condition, figures) in &rows {
            if let Some(figure) = figures.figures.get(measure.key()) {
                let _ = writeln!(text, "{}", row(*condition, figure));
            }
        }
        let _ = write!(text, "\n![{}](measurements-time/{}.svg)\n\n", measure.name(), measure.key());
    }
    text.push_str("### Releases\n\n| | released | deadlines missed | lost |\n|---|---:|---:|---:|\n");
    for (condition, figures) in &rows {
        let of = figures.releases;
        let _ = writeln!(text, "| {condition} | {} | {} | {} |", of.released, of.missed, of.skipped);
    }
    text
}

fn header() -> &'static str {
    "| instructions | values | least | median | 99 % | most | most, us of virtual time |\n|---|---:|---:|---:|---:|---:|---:|"
}

fn row(condition: Condition, figure: &Figure) -> String {
    let Figure { count, least, median, p99, most } = figure;
    let [least, median, p99, most_text] = [least, median, p99, most].map(|number| grouped(*number));
    // 125 instructions of 8 ns each.
    let us = grouped(most.div_ceil(125));
    format!("| {condition} | {count} | {least} | {median} | {p99} | {most_text} | {us} |")
}

/// With a comma before each three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::time::{Plan, machine::Releases};

    #[test]
    fn every_value_is_drawn() {
        let report = counted(Condition::Idle, &Samples::new(vec![7000, 7001, 221_910]));
        assert_eq!((report.count, report.most_ns), (3, 221_910 * 8));
        assert_eq!(report.buckets.iter().map(|(_, count)| count).sum::<u32>(), 3);
    }

    #[test]
    fn each_condition_has_its_line_in_each_table() {
        let figure = Figure { count: 1000, least: 1, median: 12, p99: 123, most: 1_234_567 };
        let figures = Measure::ALL.iter().map(|measure| (measure.key().to_owned(), figure)).collect();
        let figures = Figures { releases: Releases { released: 1000, missed: 0, skipped: 0 }, figures };
        let conditions = [("idle".to_owned(), figures.clone()), ("cpu-hog".to_owned(), figures)].into();
        let text = tables(&Baseline { plan: Plan::FULL, conditions });
        assert!(text.contains("| idle | 1000 | 1 | 12 | 123 | 1,234,567 | 9,877 |"), "{text}");
        assert_eq!(text.matches("\n| cpu-hog |").count(), Measure::ALL.len() + 1, "{text}");
        assert!(text.starts_with("### Tick to first instruction\n"), "{text}");
    }
}
