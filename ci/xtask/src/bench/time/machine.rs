//! Plays one condition on a machine of its own and reads what it logged.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use qemu::{board::Board, launcher::Launch};
use serde_json::Value;

use super::{
    Condition, Measure,
    containers::{self, UNIT_NS},
    figures::Samples,
    script,
};

/// How long a condition may take of the host's time: minutes on an idle one.
const LIMIT: Duration = Duration::from_secs(1200);

/// What a condition showed.
#[derive(Clone, Debug)]
pub(super) struct Played {
    pub(super) condition: Condition,
    /// All that the console said until the script's end.
    pub(super) log: String,
    pub(super) series: Vec<(Measure, Samples)>,
    pub(super) releases: Releases,
}

/// What the cell counted of the probe's releases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Releases {
    pub(super) released: u64,
    pub(super) missed: u64,
    pub(super) skipped: u64,
}

/// Boots a condition's image and waits for its end.
pub(super) fn play(image: &Path, condition: Condition) -> Result<Played> {
    let mut machine = Launch::atoll(Board::QemuVirtAarch64, image).deterministic().start()?;
    machine.console.expect(script::END, LIMIT).with_context(|| format!("under {condition}"))?;
    let transcript = machine.console.transcript();
    drop(machine);
    let end = transcript.find(script::END).context("the end was said")?;
    read(condition, transcript[..end].replace('\r', ""))
}

fn read(condition: Condition, log: String) -> Result<Played> {
    let series = Measure::ALL
        .into_iter()
        .map(|measure| Ok((measure, Samples::new(values(measure, &log)?))))
        .collect::<Result<Vec<_>>>()
        .with_context(|| format!("under {condition}"))?;
    let releases = releases(&log).with_context(|| format!("under {condition}"))?;
    Ok(Played { condition, log, series, releases })
}

fn values(measure: Measure, log: &str) -> Result<Vec<u64>> {
    match measure {
        Measure::Release => containers::samples(log, "jit"),
        Measure::Output => containers::samples(log, "out"),
        Measure::Edge => Ok(Vec::new()),
        Measure::Deploy => script::said(log, "deployed").into_iter().map(deployed).collect(),
    }
}

/// From the announcement of an upload to the first instruction of what was uploaded.
fn deployed(report: &str) -> Result<u64> {
    let report = json(report)?;
    Ok((number(&report, "started_ns")? - number(&report, "deployed_ns")?) / UNIT_NS)
}

fn releases(log: &str) -> Result<Releases> {
    let report = script::said(log, "timing-probe").pop().context("the probe's timing is not in the log")?;
    let report = json(report)?;
    let count = |field| number(&report, field);
    let releases = Releases { released: count("released")?, missed: count("missed")?, skipped: count("skipped")? };
    // The cell keeps its own histogram of the same releases, to an eighth.
    let most = number(&report["measures"]["release_jitter"], "most_ns")?;
    let ours = containers::samples(log, "jit")?.into_iter().max().unwrap_or(0) * UNIT_NS;
    ensure!(most <= ours, "the cell saw a release {most} ns late, and the container none beyond {ours} ns");
    Ok(releases)
}

fn json(text: &str) -> Result<Value> {
    serde_json::from_str(text).with_context(|| format!("no JSON: {text}"))
}

fn number(value: &Value, field: &str) -> Result<u64> {
    value[field].as_u64().with_context(|| format!("{field} is no number in {value}"))
}
