//! How punctual a container was, as a person reads it: percentiles, bars in a terminal, a picture.
//!
//! A node's report may say anything: sums saturate, and what makes no sense is shown as it is.

mod text;

pub(crate) use distribution::time;
pub(crate) use text::text;

use distribution::percentile;
use shared_ring_messages::{ScheduleReport, TimingReport};

use serde_json::{Value, json};

/// The shares, in hundred-thousandths, whose percentiles are shown: `p50` to `p99.99`.
const PERCENTILES: [(u64, &str); 5] =
    [(50_000, "p50"), (90_000, "p90"), (99_000, "p99"), (99_900, "p99.9"), (99_990, "p99.99")];

/// `emit jitter --svg`.
pub(crate) fn picture(report: &TimingReport) -> String {
    let heading = format!(
        "{}: {} released, {} completed, {} missed, {} skipped",
        report.name, report.released, report.completed, report.missed, report.skipped
    );
    distribution::picture(&format!("How punctual {} is", report.name), &heading, &report.measures)
}

/// `emit jitter --format json`.
pub(crate) fn json(report: &TimingReport) -> Value {
    let schedule = &report.schedule;
    let measures = report.measures.iter().map(|measure| {
        let percentiles = PERCENTILES.iter().map(|(share, name)| ((*name).to_owned(), json!(percentile(measure, *share))));
        let value = json!({
            "count": measure.count,
            "sum_ns": measure.sum_ns,
            "least_ns": measure.least_ns,
            "most_ns": measure.most_ns,
            "percentiles_ns": Value::Object(percentiles.collect()),
            "buckets": measure.buckets.iter().map(|(end, count)| json!({ "up_to_ns": end, "count": count })).collect::<Vec<_>>(),
        });
        (measure.name.replace(' ', "_"), value)
    });
    json!({
        "name": report.name,
        "schedule": schedule_json(schedule),
        "released": report.released,
        "completed": report.completed,
        "missed": report.missed,
        "skipped": report.skipped,
        "measures": Value::Object(measures.collect()),
    })
}

/// What a container keeps to, as every verb tells it.
pub(crate) fn schedule_json(schedule: &ScheduleReport) -> Value {
    json!({
        "release": schedule.release,
        "period_ns": schedule.period_ns,
        "deadline_ns": schedule.deadline_ns,
        "budget_ns": schedule.budget_ns,
        "offset_ns": schedule.offset_ns,
        "on_overrun": schedule.on_overrun,
        "class": schedule.class,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use shared_ring_messages::{MeasureReport, ScheduleReport};

    use super::*;

    pub(crate) fn measure(buckets: &[(u64, u32)]) -> MeasureReport {
        let count = buckets.iter().map(|(_, count)| u64::from(*count)).sum();
        let most_ns = buckets.last().map_or(0, |(end, _)| *end);
        let least_ns = buckets.first().map_or(0, |(end, _)| *end);
        MeasureReport { name: "response".into(), count, sum_ns: 7, least_ns, most_ns, buckets: buckets.into() }
    }

    pub(crate) fn report(measures: Vec<MeasureReport>) -> TimingReport {
        TimingReport {
            name: "pid".into(),
            schedule: ScheduleReport {
                release: "periodic".into(),
                period_ns: 1_000_000,
                deadline_ns: 800_000,
                budget_ns: 75_000,
                offset_ns: 0,
                on_overrun: "skip".into(),
                class: "normal".into(),
            },
            released: 10,
            completed: 9,
            missed: 1,
            skipped: 2,
            measures,
        }
    }

    #[test]
    fn a_hostile_report_is_borne() {
        let hostile =
            MeasureReport { buckets: vec![(u64::MAX, u32::MAX), (0, u32::MAX), (5, 0)], ..MeasureReport::default() };
        let report = report(vec![hostile]);
        assert!(!text(&report).is_empty() && picture(&report).contains("</svg>") && json(&report).is_object());
    }
}
