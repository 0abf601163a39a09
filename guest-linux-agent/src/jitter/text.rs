//! For a terminal.

use std::fmt::Write as _;

use indicatif::HumanCount;
use shared_ring_messages::{MeasureReport, TimingReport};

use distribution::{percentile, rows, time};

use super::PERCENTILES;
use crate::{show::table, terminal::printable};

/// Lines of a distribution.
const ROWS: usize = 16;

/// Characters of the longest bar.
const WIDTH: usize = 48;

/// `emit jitter` for a person.
pub(crate) fn text(report: &TimingReport) -> String {
    let mut text = head(report);
    text.push('\n');
    text.push_str(&percentiles(&report.measures));
    for measure in report.measures.iter().filter(|measure| measure.count > 0) {
        let _ = write!(text, "\n{}\n{}", printable(&measure.name), bars(measure));
    }
    text
}

fn head(report: &TimingReport) -> String {
    let schedule = &report.schedule;
    let every = if schedule.release == "events" { "by events, at most once every" } else { "every" };
    let text = format!(
        "{}: {every} {}, done within {}, budget {}, class {}, on overrun {}\n\
         {} released, {} completed, {} missed their deadline, {} skipped",
        report.name,
        time(schedule.period_ns),
        time(schedule.deadline_ns),
        time(schedule.budget_ns),
        schedule.class,
        schedule.on_overrun,
        HumanCount(report.released),
        HumanCount(report.completed),
        HumanCount(report.missed),
        HumanCount(report.skipped),
    );
    printable(&text) + "\n"
}

fn percentiles(measures: &[MeasureReport]) -> String {
    let names = PERCENTILES.map(|(_, name)| name);
    let header = [&["", "values", "least"][..], &names, &["most"]].concat();
    let header: [String; 9] = std::array::from_fn(|column| header[column].to_owned());
    let rows = measures.iter().map(|measure| {
        let there = |time_ns: Option<u64>| time_ns.map_or_else(|| "-".to_owned(), time);
        let any = (measure.count > 0).then_some(measure);
        let shares = PERCENTILES.map(|(share, _)| there(percentile(measure, share)));
        let ends = [any.map(|measure| measure.least_ns), any.map(|measure| measure.most_ns)].map(there);
        let [least, most] = ends;
        let [p50, p90, p99, p999, p9999] = shares;
        [measure.name.clone(), HumanCount(measure.count).to_string(), least, p50, p90, p99, p999, p9999, most]
    });
    table(&std::iter::once(header).chain(rows).collect::<Vec<_>>())
}

/// A line a step of time. What there is a single one of has a mark too: the rare ones are those that matter.
fn bars(measure: &MeasureReport) -> String {
    let rows = rows(measure, ROWS);
    let longest = rows.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
    let mut text = String::new();
    for (end_ns, count) in rows {
        let length = (u128::from(count) * WIDTH as u128).div_ceil(u128::from(longest));
        let length = usize::try_from(length).unwrap_or(WIDTH);
        let _ = writeln!(text, "  up to {:>8}  {:<WIDTH$}  {}", time(end_ns), "#".repeat(length), HumanCount(count));
    }
    text
}

#[cfg(test)]
mod tests {
    use crate::jitter::tests::{measure, report};

    #[test]
    fn a_person_sees_counts_percentiles_and_the_rare_ones() {
        let text = super::text(&report(vec![measure(&[(1_023, 1_000_000), (900_000, 1)])]));
        assert!(
            text.starts_with("pid: every 1.00 ms, done within 800 us, budget 75.0 us, class normal, on overrun skip\n"),
            "{text}"
        );
        assert!(text.contains("10 released, 9 completed, 1 missed their deadline, 2 skipped"), "{text}");
        assert!(text.contains("response  1,000,001"), "{text}");
        let bars: Vec<_> = text.lines().filter(|line| line.contains('#')).collect();
        assert_eq!(bars.len(), 2, "{text}");
        assert!(bars[0].contains(&"#".repeat(super::WIDTH)) && bars[0].ends_with("1,000,000"), "{text}");
        assert!(bars[1].contains("up to   900 us  # ") && bars[1].ends_with("  1"), "{text}");
    }

    #[test]
    fn what_nothing_was_measured_of_has_no_bars() {
        let text = super::text(&report(vec![measure(&[])]));
        assert!(text.contains("response  0       -"), "{text}");
        assert!(!text.contains('#'));
    }
}
