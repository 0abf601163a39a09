//! The same figures of a node of processes on this machine, in microseconds, beside `cyclictest`.
//!
//! This is not the real-time claim: Linux schedules the domains as any processes, nobody is held to a budget, and whatever else the
//! machine does is in the figures. `cyclictest` waits for the same period at the same time, so the ratio says what the node
//! adds to what this Linux, as busy as it is at that moment, does to any process that waits for a time.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::{
    Measure, Plan,
    containers::{self, SPLIT_NS, UNIT_NS},
    figures::{Figure, Samples},
};
use crate::{
    host,
    process::{self, step},
};

/// The program, and what brings it.
const PROGRAM: &str = "cyclictest";
const HOW_TO_GET: &str = "apt-get install rt-tests (Debian's package of it)";

/// The longest latency that it counts by itself, in microseconds. Longer ones are counted together.
const LONGEST_US: u64 = 100_000;

/// How long a button is held, and rests.
const HELD: Duration = Duration::from_millis(100);

/// What `cyclictest` needs beyond its periods to start.
const START: Duration = Duration::from_millis(500);

/// What was found, in nanoseconds, and what `cyclictest` found meanwhile, in microseconds.
#[derive(Debug)]
pub(super) struct Found {
    series: Vec<(&'static str, Figure)>,
    beside: Option<Figure>,
}

/// Measures; without `cyclictest` there is nothing to stand beside, which is said.
pub(super) fn measure(plan: &Plan) -> Result<Found> {
    step("a node on this machine, beside cyclictest");
    let programs = host::build_release()?;
    let node = host::Node::start(&programs)?;
    let bench = Bench { programs, run_directory: node.run_directory().to_path_buf() };
    let found = bench.measure(plan)?;
    node.stop()?;
    Ok(found)
}

struct Bench {
    programs: PathBuf,
    run_directory: PathBuf,
}

impl Bench {
    fn measure(&self, plan: &Plan) -> Result<Found> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let file = |name: &str, module: Vec<u8>| {
            let path = folder.path().join(name);
            fs::write(&path, module).with_context(|| format!("cannot write {}", path.display()))?;
            Ok::<_, anyhow::Error>(path.display().to_string())
        };
        let probe = file("probe.wasm", containers::probe(plan.rate, plan.releases)?)?;
        let edge = file("edge.wasm", containers::edge(plan.edge_budget_ns, plan.edges)?)?;
        let load = file("load.wasm", containers::load(plan.module_bytes)?)?;
        self.emit(&["deploy", &edge])?;
        let watcher = Watcher::start(self)?;
        let beside = cyclictest(plan)?;
        thread::sleep(START);
        self.emit(&["deploy", &probe])?;
        let deployed = (0..plan.deployments).map(|_| self.deploy(&load)).collect::<Result<Vec<u64>>>()?;
        for _ in 0..plan.edges / 2 {
            self.gpio(&["set", "BUTTON", "1"])?;
            thread::sleep(HELD);
            self.gpio(&["set", "BUTTON", "0"])?;
            thread::sleep(HELD);
        }
        let log = self.emit(&["logs", "-f", "probe"])?;
        let beside = beside.map(latencies).transpose()?;
        self.emit(&["stop", "edge"])?;
        let made = watcher.edges()?;
        let handled = handled(&self.emit(&["logs", "edge"])?)?;
        ensure!(made.len() == handled.len(), "{} edges were made, and {} handled", made.len(), handled.len());
        let late = made.iter().zip(&handled).map(|(made, handled)| handled.saturating_sub(*made)).collect();
        let ns = |name| Ok::<_, anyhow::Error>(containers::samples(&log, name)?.iter().map(|v| v * UNIT_NS).collect());
        let series = [
            (Measure::Release.name(), ns("jit")?),
            ("edge to handler", late),
            (Measure::Output.name(), ns("out")?),
            (Measure::Deploy.name(), deployed),
        ];
        let figure = |(name, values): (&'static str, Vec<u64>)| {
            let figure = Samples::new(values).figure();
            Ok((name, figure.with_context(|| format!("nothing was measured of: {name}"))?))
        };
        Ok(Found { series: series.into_iter().map(figure).collect::<Result<_>>()?, beside })
    }

    fn deploy(&self, module: &str) -> Result<u64> {
        self.emit(&["deploy", module, "--name", "load"])?;
        let report: Value = serde_json::from_str(&self.emit(&["inspect", "load", "--format", "json"])?)?;
        let time = |field: &str| report[field].as_u64().with_context(|| format!("the report has no {field}"));
        let took = time("started_ns")?.saturating_sub(time("deployed_ns")?);
        // It has ended by itself, most likely.
        let _ = self.emit(&["kill", "load"]);
        self.emit(&["rm", "load"])?;
        Ok(took)
    }

    fn emit(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(self.programs.join("emit"));
        command.args(arguments).env("ATOLL_RUN_DIRECTORY", &self.run_directory).env_remove("ATOLL_NODE");
        answer(&mut command)
    }

    fn gpio(&self, request: &[&str]) -> Result<String> {
        answer(self.gpio_command().args(request))
    }

    fn gpio_command(&self) -> Command {
        let mut command = Command::new(self.programs.join("atoll-host"));
        command.arg("gpio").arg("--run-directory").arg(&self.run_directory);
        command
    }
}

fn answer(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {}", process::line_of(command)))?;
    if !output.status.success() {
        bail!("{}: {}", process::line_of(command), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `atoll-host gpio watch`, which says when the simulated lines change.
struct Watcher(Child);

impl Watcher {
    fn start(bench: &Bench) -> Result<Self> {
        let mut command = bench.gpio_command();
        command.arg("watch").stdout(Stdio::piped());
        let child = command.spawn().with_context(|| format!("cannot run {}", process::line_of(&command)))?;
        Ok(Self(child))
    }

    /// When BUTTON changed, in nanoseconds of the node's time, exact to a microsecond and never late.
    fn edges(mut self) -> Result<Vec<u64>> {
        self.0.kill().context("cannot end the watcher")?;
        let output = self.0.wait_with_output().context("cannot wait for the watcher")?;
        String::from_utf8_lossy(&output.stdout).lines().filter(|line| line.contains("] BUTTON ")).map(change).collect()
    }
}

/// `[    12.345678] BUTTON high`.
fn change(line: &str) -> Result<u64> {
    let stamp = line.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(stamp, _)| stamp.trim());
    let parts = stamp.and_then(|stamp| stamp.split_once('.'));
    let time = parts.and_then(|(seconds, us)| {
        let (seconds, us): (u64, u64) = (seconds.parse().ok()?, us.parse().ok()?);
        Some((seconds * 1_000_000 + us) * 1000)
    });
    time.with_context(|| format!("`{line}` is no change of a line"))
}

/// When `edge` took the clock.
fn handled(log: &str) -> Result<Vec<u64>> {
    let (low, high) = (containers::samples(log, "low")?, containers::samples(log, "hig")?);
    Ok(low.iter().zip(high).map(|(low, high)| low * UNIT_NS + high * SPLIT_NS).collect())
}

/// Starts it for as many of the same periods; nothing where it is missing, which is said.
fn cyclictest(plan: &Plan) -> Result<Option<Child>> {
    if process::find_program(PROGRAM).is_none() {
        eprintln!("SKIPPED ratios to {PROGRAM}: it is not here; {HOW_TO_GET}");
        return Ok(None);
    }
    let mut command = Command::new(PROGRAM);
    command
        .arg("--quiet")
        .arg(format!("--interval={}", plan.rate.period_ns / 1000))
        .arg(format!("--loops={}", plan.releases))
        .arg(format!("--histogram={LONGEST_US}"))
        .stdout(Stdio::piped());
    command.spawn().map(Some).with_context(|| format!("cannot run {}", process::line_of(&command)))
}

fn latencies(child: Child) -> Result<Figure> {
    let output = child.wait_with_output().context("cannot wait for cyclictest")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let samples = Samples::new(histogram(&text));
    samples.figure().with_context(|| format!("cyclictest told no latency: {text}"))
}

/// `000075 000001`: a latency in microseconds, and how often it was.
fn histogram(text: &str) -> Vec<u64> {
    let mut values = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split_whitespace().map(str::parse::<u64>);
        if let (Some(Ok(latency)), Some(Ok(count))) = (words.next(), words.next()) {
            values.extend((0..count).map(|_| latency));
        }
    }
    values
}

/// A line a figure, in microseconds, with the ratio of the medians to that of `cyclictest`.
pub(super) fn table(found: &Found) -> String {
    let us = |ns: u64| (ns as f64) / 1000.0;
    let row = |name: &str, count: u64, values: [f64; 4], ratios: String| {
        let values: Vec<String> = values.iter().map(|value| super::super::digits(*value)).collect();
        format!("| {name} | {count} | {} | {ratios} |\n", values.join(" | "))
    };
    let mut text = String::from(
        "| us, on this machine, no real-time claim | values | least | median | 99 % | most | median / cyclictest's | 99 % / cyclictest's |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for (name, figure) in &found.series {
        let values = [figure.least, figure.median, figure.p99, figure.most].map(us);
        let ratios = found.beside.as_ref().map_or_else(
            || format!("no {PROGRAM} | no {PROGRAM}"),
            |beside| {
                let ratio = |ns: u64, beside: u64| super::super::digits(us(ns) / (beside.max(1) as f64));
                format!("{} | {}", ratio(figure.median, beside.median), ratio(figure.p99, beside.p99))
            },
        );
        text.push_str(&row(name, figure.count, values, ratios));
    }
    if let Some(Figure { count, least, median, p99, most }) = found.beside {
        let values = [least, median, p99, most].map(|us| us as f64);
        text.push_str(&row("`cyclictest`, the same period at the same time", count, values, "1 | 1".to_owned()));
    }
    text
}

/// Where it was measured, as far as that says something.
pub(super) fn machine() -> String {
    let model = fs::read_to_string(Path::new("/proc/cpuinfo")).unwrap_or_default();
    let model = model.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("?").to_owned();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    format!("{cores} cores of {}, Linux {}, load {load}", model.unwrap_or("an unknown processor"), kernel.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cyclictest_says_is_counted() {
        let text =
            "# /dev/cpu_dma_latency set to 0us\n# Histogram\n000000 000000\n000075 000002\n000079 000001\n# Total: 3\n";
        assert_eq!(histogram(text), [75, 75, 79]);
    }

    #[test]
    fn a_change_is_told_in_nanoseconds() {
        assert_eq!(change("[    12.345678] BUTTON high").expect("a change"), 12_345_678_000);
        assert!(change("BUTTON high").is_err());
    }

    #[test]
    fn without_cyclictest_there_is_no_ratio_and_it_is_said() {
        let figure = Figure { count: 10, least: 1000, median: 2000, p99: 4000, most: 8000 };
        let found = |beside| Found { series: vec![(Measure::Release.name(), figure)], beside };
        let text = table(&found(None));
        assert!(text.contains("| 10 | 1.00 | 2.00 | 4.00 | 8.00 | no cyclictest | no cyclictest |"), "{text}");
        let text = table(&found(Some(Figure { count: 10, least: 1, median: 4, p99: 5, most: 6 })));
        assert!(text.contains("| 8.00 | 0.500 | 0.800 |") && text.contains("| 6.00 | 1 | 1 |"), "{text}");
    }
}
