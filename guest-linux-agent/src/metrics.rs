//! What a node counts, in the text format that Prometheus scrapes (version 0.0.4, "Exposition formats" in its documentation).
//!
//! Written here and not by a client library: those keep counters of their own process, and these are another's. Names that a
//! node makes up become label values, which may be any text; only counters of the node become metric names, and those that
//! cannot be one are left out.

use std::fmt::Write as _;

use shared_ring_messages::{ContainerReport, NodeReport};

use crate::exit;

/// In front of every name.
const PREFIX: &str = "atoll";

/// Nanoseconds of a second: Prometheus' base unit of time.
const SECOND_NS: f64 = 1e9;

/// What the samples of one name have in common.
struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
}

const fn counter(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: "counter", help }
}

const fn gauge(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: "gauge", help }
}

/// The node with its containers.
pub(crate) fn text(node: &NodeReport, containers: &[ContainerReport]) -> String {
    let mut text = Text::default();
    text.node(node);
    text.lines(node);
    text.containers(containers);
    text.counters(node);
    text.0
}

#[derive(Default)]
struct Text(String);

impl Text {
    /// A family's head.
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.0, "# HELP {PREFIX}_{name} {help}\n# TYPE {PREFIX}_{name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let _ = write!(self.0, "{PREFIX}_{name}");
        for (index, (label, content)) in labels.iter().enumerate() {
            let opening = if index == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{opening}{label}=\"{}\"", escaped(content));
        }
        let closing = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{closing} {value}");
    }

    /// A family with one sample for each of `items`.
    fn family<T>(&mut self, family: &Family, items: &[T], sample: impl Fn(&T) -> (Vec<(&str, &str)>, f64)) {
        if items.is_empty() {
            return;
        }
        self.head(family.name, family.kind, family.help);
        for item in items {
            let (labels, value) = sample(item);
            self.sample(family.name, &labels, value);
        }
    }

    fn node(&mut self, node: &NodeReport) {
        let one = std::slice::from_ref(node);
        self.family(&gauge("node_info", "The node; always 1."), one, |node| {
            (vec![("version", &node.version), ("substrate", &node.substrate), ("board", &node.board)], 1.0)
        });
        let uptime = gauge("uptime_seconds", "Time since the node's start.");
        self.family(&uptime, one, |node| (Vec::new(), approximate(node.uptime_ns) / SECOND_NS));
        let cells = gauge("cells", "Cells that can hold a container.");
        self.family(&cells, one, |node| (Vec::new(), f64::from(node.cells)));
        let free = gauge("cells_free", "Cells that hold none.");
        self.family(&free, one, |node| (Vec::new(), f64::from(node.cells_free)));
    }

    fn lines(&mut self, node: &NodeReport) {
        let lines = &node.lines;
        self.family(&gauge("line_high", "Level of a line: 1 is high."), lines, |line| {
            (vec![("label", &line.label)], f64::from(u8::from(line.high)))
        });
        self.family(&counter("line_transitions_total", "Changes of an output's level."), lines, |line| {
            (vec![("label", &line.label)], approximate(line.transitions))
        });
        self.family(&counter("line_edges_total", "Watched edges of an input."), lines, |line| {
            (vec![("label", &line.label)], approximate(line.edges))
        });
    }

    fn containers(&mut self, containers: &[ContainerReport]) {
        // One sample a name: while an update is under way the name means the old version.
        let containers: Vec<_> = containers.iter().filter(|report| report.update != "new").cloned().collect();
        let containers = containers.as_slice();
        let info = gauge("container_info", "A container, the state it is in and its world; always 1.");
        self.family(&info, containers, |report| {
            (vec![("name", &report.name), ("state", &report.state_text), ("world", &report.world)], 1.0)
        });
        type Value = fn(&ContainerReport) -> f64;
        let families: [(Family, Value); 10] = [
            (gauge("container_failed", "1 where it ended for a reason."), |report| {
                f64::from(u8::from(exit::has_failed(report)))
            }),
            (counter("container_loops_total", "Calls of its loop."), |report| approximate(report.loops)),
            (counter("container_fuel_total", "Fuel that it has burnt."), |report| approximate(report.fuel)),
            (counter("container_host_calls_total", "Host calls that it has made."), |report| {
                approximate(report.host_calls)
            }),
            (counter("container_refused_calls_total", "Host calls that a resource's owner refused."), |report| {
                approximate(report.refused_calls)
            }),
            (counter("container_output_lost_total", "Records of its output that were lost."), |report| {
                approximate(report.output_lost)
            }),
            (gauge("container_linear_memory_bytes", "Its linear memory."), |report| {
                approximate(report.linear_memory_bytes)
            }),
            (gauge("container_heap_bytes", "What its cell uses of its heap."), |report| approximate(report.heap_bytes)),
            (counter("container_new_starts_total", "How often its restart policy has started it again."), |report| {
                f64::from(report.new_starts)
            }),
            (counter("container_cell_restarts_total", "How often its cell's domain began anew."), |report| {
                f64::from(report.cell_restarts)
            }),
        ];
        for (family, value) in families {
            self.family(&family, containers, |report| (vec![("name", &report.name)], value(report)));
        }
    }

    /// The node's own counters, by the names that `emit info` shows.
    fn counters(&mut self, node: &NodeReport) {
        for (name, count) in node.counters.iter().filter(|(name, _)| is_name(name)) {
            let name = format!("{name}_total");
            self.head(&name, "counter", "Counted by the node since its start.");
            self.sample(&name, &[], approximate(*count));
        }
    }
}

/// Prometheus knows no other numbers: above 2⁵³ the last digits are lost.
#[expect(clippy::cast_precision_loss, reason = "as above")]
fn approximate(count: u64) -> f64 {
    count as f64
}

/// Whether it can be a metric's name behind the prefix.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// A label's value: backslash, quote and line feed are escaped.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use shared_ring_messages::LineReport;

    use super::*;

    fn node() -> NodeReport {
        NodeReport {
            version: "0.1.0".into(),
            substrate: "somewhere".into(),
            board: "a \"board\"\\\n# TYPE x".into(),
            uptime_ns: 2_500_000_000,
            cells: 4,
            cells_free: 3,
            lines: vec![LineReport { label: "LED".into(), high: true, transitions: 7, ..LineReport::default() }],
            counters: vec![("uploads".into(), 9), ("not a name{".into(), 1), (String::new(), 2)],
            ..NodeReport::default()
        }
    }

    /// Every sample as another library reads it: name with labels, and value.
    fn read(text: &str) -> Vec<(String, f64)> {
        let lines = text.lines().map(|line| Ok(line.to_owned()));
        let scraped = prometheus_parse::Scrape::parse(lines).expect("it is the format");
        let value = |value: &prometheus_parse::Value| match value {
            prometheus_parse::Value::Counter(value) | prometheus_parse::Value::Gauge(value) => *value,
            other => panic!("{other:?}"),
        };
        let name = |sample: &prometheus_parse::Sample| {
            let mut labels: Vec<_> =
                sample.labels.iter().map(|(label, content)| format!("{label}={content}")).collect();
            labels.sort();
            format!("{}[{}]", sample.metric, labels.join(","))
        };
        scraped.samples.iter().map(|sample| (name(sample), value(&sample.value))).collect()
    }

    #[test]
    fn another_librarys_reader_finds_every_sample() {
        let container = ContainerReport {
            name: "blinker".into(),
            state_text: "ready".into(),
            world: "reactor".into(),
            loops: 24,
            ..ContainerReport::default()
        };
        let found = read(&text(&NodeReport { board: "virt".into(), ..node() }, &[container]));
        for expected in [
            ("atoll_node_info[board=virt,substrate=somewhere,version=0.1.0]", 1.0),
            ("atoll_uptime_seconds[]", 2.5),
            ("atoll_cells_free[]", 3.0),
            ("atoll_line_high[label=LED]", 1.0),
            ("atoll_line_transitions_total[label=LED]", 7.0),
            ("atoll_container_info[name=blinker,state=ready,world=reactor]", 1.0),
            ("atoll_container_loops_total[name=blinker]", 24.0),
            ("atoll_uploads_total[]", 9.0),
        ] {
            assert!(found.iter().any(|(name, value)| (name.as_str(), *value) == expected), "{expected:?}: {found:?}");
        }
        assert_eq!(found.len(), 4 + 3 + 11 + 1, "{found:?}");
    }

    #[test]
    fn a_node_cannot_make_up_lines() {
        let text = text(&node(), &[]);
        assert!(text.contains(r#"board="a \"board\"\\\n# TYPE x"} 1"#), "{text}");
        assert!(!text.contains("not a name") && !text.contains("atoll__total"), "{text}");
        for line in text.lines() {
            assert!(line.starts_with("# ") || line.starts_with("atoll_"), "{line}");
        }
    }

    #[test]
    fn no_number_is_too_large() {
        let huge = NodeReport { uptime_ns: u64::MAX, ..node() };
        let uptime = read(&text(&NodeReport { board: String::new(), ..huge }, &[]));
        let limit = Duration::from_nanos(u64::MAX).as_secs_f64();
        assert!(uptime.iter().any(|(name, value)| name == "atoll_uptime_seconds[]" && (value - limit).abs() < 1.0));
    }
}
