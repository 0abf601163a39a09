//! What `emit top` shows, in one place: two looks at the node, and what happened between them.
//!
//! A figure that the protocol does not tell is not here. What a node of another minor version leaves out arrives as nothing
//! or zero, and is shown so.

use serde_json::{Value, json};
use shared_ring_messages::{Answer, ContainerReport, LineReport, NodeReport, Request};

use crate::{
    command::unexpected,
    exit,
    session::{Result, Session},
    show,
};

/// Nanoseconds of a second.
const SECOND_NS: f64 = 1e9;

/// One look at the node.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    node: NodeReport,
    containers: Vec<ContainerReport>,
}

impl Sample {
    /// Looks.
    pub(super) fn take(session: &mut Session) -> Result<Self> {
        let node = match session.ask(Request::Info)? {
            Answer::Info(report) => *report,
            other => return Err(unexpected(&other)),
        };
        match session.ask(Request::List)? {
            Answer::Containers(containers) => Ok(Self { node, containers }),
            other => Err(unexpected(&other)),
        }
    }
}

/// A container now, and its rates since the look before; there are none where it is new or began anew.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub(super) report: ContainerReport,
    pub(super) rates: Option<Rates>,
}

/// Per second of the node's time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rates {
    pub(super) loops: f64,
    pub(super) host_calls: f64,
    pub(super) fuel: f64,
}

/// A line that somebody holds.
#[derive(Clone, Debug, Default)]
pub(super) struct HeldLine {
    pub(super) report: LineReport,
    /// Changes or edges per second.
    pub(super) rate: Option<f64>,
}

/// What is shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Snapshot {
    pub(super) node: NodeReport,
    pub(super) rows: Vec<Row>,
    pub(super) lines: Vec<HeldLine>,
    /// The node's counters by their names, each with its rate.
    pub(super) counters: Vec<(String, u64, Option<f64>)>,
    /// Between the two looks, in nanoseconds of the node's time; 0 where there was but one, or the node began anew.
    interval_ns: u64,
}

impl Snapshot {
    /// What is to be said after `now`, with rates since `before`.
    pub(super) fn new(before: Option<&Sample>, now: &Sample) -> Self {
        let before = before.filter(|before| before.node.uptime_ns < now.node.uptime_ns);
        let rows = now.containers.iter().map(|report| Row { report: report.clone(), rates: rates(before, report) });
        let held = now.node.lines.iter().filter(|line| !line.held_as.is_empty());
        let lines = held.map(|line| HeldLine { report: line.clone(), rate: line_rate(before, &now.node, line) });
        let counters = now.node.counters.iter().map(|(name, count)| {
            let earlier = before.and_then(|before| before.node.counters.iter().find(|(other, _)| other == name));
            let since = earlier.zip(before).map(|(earlier, before)| (earlier.1, before.node.uptime_ns));
            let rate = since.and_then(|since| per_second(since, (*count, now.node.uptime_ns)));
            (name.clone(), *count, rate)
        });
        Self {
            rows: rows.collect(),
            lines: lines.collect(),
            counters: counters.collect(),
            interval_ns: before.map_or(0, |before| now.node.uptime_ns - before.node.uptime_ns),
            node: now.node.clone(),
        }
    }

    /// For a script; names are stable. Rates are null where there are none.
    pub(super) fn json(&self) -> Value {
        let containers: Vec<Value> = self.rows.iter().map(Row::json).collect();
        json!({ "node": show::node_json(&self.node), "interval_ns": self.interval_ns, "containers": containers })
    }
}

impl Row {
    fn json(&self) -> Value {
        let mut value = show::container_json(&self.report);
        if let Some(fields) = value.as_object_mut() {
            let rates = self.rates;
            fields.insert("loops_per_second".into(), json!(rates.map(|rates| rates.loops)));
            fields.insert("host_calls_per_second".into(), json!(rates.map(|rates| rates.host_calls)));
            fields.insert("fuel_per_second".into(), json!(rates.map(|rates| rates.fuel)));
        }
        value
    }

    pub(super) fn has_failed(&self) -> bool {
        exit::has_failed(&self.report)
    }

    /// How long it runs or ran, in nanoseconds; `None` before its start.
    pub(super) fn runs_for_ns(&self) -> Option<u64> {
        let ContainerReport { started_ns, ended_ns, now_ns, .. } = self.report;
        let end_ns = if ended_ns != 0 { ended_ns } else { now_ns };
        (started_ns != 0).then(|| end_ns.saturating_sub(started_ns))
    }
}

fn rates(before: Option<&Sample>, report: &ContainerReport) -> Option<Rates> {
    let same = |other: &&ContainerReport| {
        other.name == report.name && other.deployed_ns == report.deployed_ns && other.started_ns == report.started_ns
    };
    let earlier = before?.containers.iter().find(same)?;
    let rate = |count: fn(&ContainerReport) -> u64| {
        per_second((count(earlier), earlier.now_ns), (count(report), report.now_ns))
    };
    Some(Rates {
        loops: rate(|report| report.loops)?,
        host_calls: rate(|report| report.host_calls)?,
        fuel: rate(|report| report.fuel)?,
    })
}

fn line_rate(before: Option<&Sample>, node: &NodeReport, line: &LineReport) -> Option<f64> {
    let before = &before?.node;
    let earlier = before.lines.iter().find(|other| other.label == line.label && other.held_as == line.held_as)?;
    let count = |line: &LineReport| line.transitions.saturating_add(line.edges);
    per_second((count(earlier), before.uptime_ns), (count(line), node.uptime_ns))
}

/// How fast a count rose, from (count, time) to (count, time). One that fell began anew, and has no rate.
#[expect(clippy::cast_precision_loss, reason = "shown with three digits, told with fifteen")]
fn per_second((earlier, earlier_ns): (u64, u64), (later, later_ns): (u64, u64)) -> Option<f64> {
    let time_ns = later_ns.checked_sub(earlier_ns).filter(|&time_ns| time_ns > 0)?;
    Some(later.checked_sub(earlier)? as f64 * SECOND_NS / time_ns as f64)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The state numbers of `runner-interfaces`.
    const READY: u32 = 5;
    const FAILED: u32 = 9;

    /// A node with two containers as it is `seconds` after its start.
    pub(crate) fn sample(seconds: u64) -> Sample {
        let now_ns = seconds * 1_000_000_000;
        let container = |name: &str, cell| ContainerReport {
            name: name.into(),
            cell,
            world: "reactor".into(),
            deployed_ns: 1,
            started_ns: 1_000_000_000,
            now_ns,
            ..ContainerReport::default()
        };
        let blinker = ContainerReport {
            state: READY,
            state_text: "ready".into(),
            grants: ["gpio:LED:out", "timer:10ms"]
                .map(|right| shared_ring_messages::GrantReport { right: right.into(), ..Default::default() })
                .into(),
            loops: seconds * 10,
            host_calls: seconds * 2500,
            fuel: seconds * 1_234_567,
            linear_memory_bytes: 65536,
            heap_bytes: 108_904,
            restart: "on-failure".into(),
            ..container("blinker", 0)
        };
        let greedy = ContainerReport {
            state: FAILED,
            state_text: "failed".into(),
            reason_text: "trap: unreachable".into(),
            ended_ns: 2_000_000_000,
            refused_calls: 123_456,
            output_lost: 7,
            new_starts: 3,
            given_up: true,
            linear_memory_bytes: 4 << 20,
            restart: "on-failure".into(),
            ..container("a-container-of-a-rather-long-name", 2)
        };
        let line = |label: &str, held: &str, transitions| LineReport {
            label: label.into(),
            held_as: held.into(),
            high: held == "output",
            transitions,
            ..LineReport::default()
        };
        let node = NodeReport {
            substrate: "Linux host (not seL4)".into(),
            board: "qemu_virt_aarch64".into(),
            version: "0.1.0".into(),
            uptime_ns: now_ns,
            cells: 4,
            cells_free: 2,
            lines: vec![line("LED", "output", seconds * 10), line("BUTTON", "", 0), line("SENSOR", "input", 0)],
            counters: vec![
                ("containers_failed".into(), 4),
                ("frames_damaged".into(), 0),
                ("gpio_calls".into(), seconds * 30),
            ],
            ..NodeReport::default()
        };
        Sample { node, containers: vec![greedy, blinker] }
    }

    #[test]
    fn rates_are_those_of_the_time_between() {
        let snapshot = Snapshot::new(Some(&sample(3)), &sample(5));
        let rates = snapshot.rows[1].rates.expect("it ran on");
        assert_eq!((rates.loops, rates.host_calls, rates.fuel), (10.0, 2500.0, 1_234_567.0));
        let json = snapshot.json();
        assert_eq!(
            (&json["interval_ns"], &json["containers"][1]["loops_per_second"]),
            (&2_000_000_000_u64.into(), &10.0.into())
        );
        assert_eq!(json["node"]["board"], "qemu_virt_aarch64");
        assert_eq!(snapshot.lines.len(), 2, "who holds no line does not matter");
        assert_eq!(snapshot.lines[0].rate, Some(10.0));
    }

    #[test]
    fn what_began_anew_has_no_rate() {
        let mut again = sample(5);
        again.containers[1].started_ns += 1;
        let snapshot = Snapshot::new(Some(&sample(3)), &again);
        assert!(snapshot.rows[1].rates.is_none());
        assert!(Snapshot::new(Some(&sample(9)), &sample(5)).json()["containers"][1]["loops_per_second"].is_null());
        assert_eq!(Snapshot::new(Some(&sample(9)), &sample(5)).interval_ns, 0, "the node began anew");
        assert_eq!(per_second((5, 0), (4, 10)), None);
    }
}
