//! How punctual a container is, as its cell counted it, for a person. Nothing is decided by it.

use alloc::{boxed::Box, format, string::String, vec::Vec};

use runner_interfaces::{
    schedule::{Release, Schedule, Urgency},
    timing::{Histogram, Measure, Timing, bucket_end_ns},
};
use shared_ring::SharedMemory;
use shared_ring_messages::{Answer, ErrorCode, MeasureReport, ScheduleReport, TimingReport};

use crate::{admission::Admission, failure::Failure};

impl<M: SharedMemory + Clone> Admission<M> {
    pub(crate) fn timing_answer(&self, cell: usize) -> Result<Answer, Failure> {
        let container = self.container_in(cell)?;
        let schedule = container.declaration.plan.schedule;
        if schedule.release() == Release::None {
            let detail = format!("`{}` has no [schedule]: nothing says when it is to run", container.name());
            return Err(Failure::new(ErrorCode::WrongState, detail));
        }
        let timing = self.cells.get(cell).and_then(Option::as_ref).and_then(|port| port.timing()).unwrap_or_default();
        Ok(Answer::Timing(Box::new(report(container.name(), schedule, &timing))))
    }
}

fn report(name: &str, schedule: Schedule, timing: &Timing) -> TimingReport {
    let counts = timing.counts;
    TimingReport {
        name: name.into(),
        schedule: schedule_report(schedule),
        released: counts.released,
        completed: counts.completed,
        missed: counts.missed,
        skipped: counts.skipped,
        measures: Measure::ALL.into_iter().zip(&timing.histograms).map(measure_report).collect(),
    }
}

fn measure_report((measure, histogram): (Measure, &Histogram)) -> MeasureReport {
    let full = histogram.buckets.iter().enumerate().filter(|(_, count)| **count > 0);
    MeasureReport {
        name: measure.text().into(),
        count: histogram.count,
        sum_ns: histogram.sum_ns,
        least_ns: histogram.least_ns,
        most_ns: histogram.most_ns,
        buckets: full.map(|(bucket, count)| (bucket_end_ns(bucket), *count)).collect::<Vec<_>>(),
    }
}

pub(crate) fn schedule_report(schedule: Schedule) -> ScheduleReport {
    ScheduleReport {
        release: schedule.release().text().into(),
        period_ns: schedule.period_ns,
        deadline_ns: schedule.deadline_ns,
        budget_ns: schedule.budget_ns,
        offset_ns: schedule.offset_ns,
        on_overrun: schedule.on_overrun().text().into(),
        class: Urgency::from_wire(schedule.urgency).map_or_else(String::new, |urgency| urgency.text().into()),
    }
}

#[cfg(test)]
mod tests {
    use runner_interfaces::timing::{BUCKETS, ReleaseCounts, bucket_of};

    use super::*;
    use crate::answers::encode;

    const SCHEDULE: Schedule = Schedule {
        period_ns: 10,
        deadline_ns: 8,
        budget_ns: 2,
        offset_ns: 1,
        release: Release::Periodic.to_wire(),
        on_overrun: 1,
        urgency: 2,
        slice_ns: 0,
        fuel_ns: 0,
        turn_ns: 0,
        calls: 0,
    };

    #[test]
    fn what_a_cell_counted_is_told() {
        let mut timing = Timing {
            counts: ReleaseCounts { generation: 1, released: 5, completed: 4, missed: 3, skipped: 2 },
            ..Timing::default()
        };
        [70, 71, 1000].into_iter().for_each(|value| timing.histograms[1].record(value));
        let report = report("pid", SCHEDULE, &timing);
        assert_eq!((report.released, report.completed, report.missed, report.skipped), (5, 4, 3, 2));
        let ScheduleReport { release, on_overrun, class, .. } = &report.schedule;
        assert_eq!((release.as_str(), on_overrun.as_str(), class.as_str()), ("periodic", "stop", "critical"));
        let names: Vec<_> = report.measures.iter().map(|measure| measure.name.as_str()).collect();
        assert_eq!(names, ["release jitter", "response", "slack", "host call"]);
        let MeasureReport { count, sum_ns, least_ns, most_ns, buckets, .. } = &report.measures[1];
        assert_eq!((*count, *sum_ns, *least_ns, *most_ns), (3, 1141, 70, 1000));
        let ends = [70, 1000].map(|value| bucket_end_ns(bucket_of(value)));
        assert_eq!(*buckets, [(ends[0], 2), (ends[1], 1)]);
    }

    #[test]
    fn the_fullest_report_fits_a_frame() {
        let fullest = Histogram { buckets: [u32::MAX; BUCKETS], ..Histogram::default() };
        let timing = Timing { histograms: [fullest; Measure::ALL.len()], ..Timing::default() };
        let answer = Answer::Timing(Box::new(report(&"x".repeat(40), SCHEDULE, &timing)));
        // It panics where nothing more can be left out.
        assert!(!encode(1, answer).is_empty());
    }
}
