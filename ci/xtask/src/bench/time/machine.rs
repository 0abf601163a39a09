//! Plays one condition on a machine of its own and reads what it logged.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use qemu::{board::Board, console::ConsoleError, launcher::Launch};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Condition, Measure,
    button::{Button, Places},
    containers::{self, SPLIT_NS, UNIT_NS},
    figures::Samples,
    script,
};

/// How long a condition may take of the host's time: minutes on an idle one.
const LIMIT: Duration = Duration::from_secs(1200);

/// How often it is looked whether the script has come to its end, of the host's time.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What stands in the log for each edge that was made, behind all that the machine said.
const EDGE: &str = "edge at ns ";

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Releases {
    pub(super) released: u64,
    pub(super) missed: u64,
    pub(super) skipped: u64,
}

/// Boots a condition's image, presses its button when it is asked to, and waits for its end.
pub(super) fn play(image: &Path, places: Places, condition: Condition) -> Result<Played> {
    let mut machine = Launch::atoll(Board::QemuVirtAarch64, image).deterministic().held().start()?;
    let mut button = Button::of(&machine, places)?;
    let deadline = Instant::now() + LIMIT;
    loop {
        button.press_if_asked(&mut machine, LOOK_EVERY)?;
        match machine.console.expect(script::END, Duration::from_millis(1)) {
            Ok(_) => break,
            Err(ConsoleError::Timeout { .. }) if Instant::now() < deadline => {}
            Err(error) => return Err(error).with_context(|| format!("under {condition}")),
        }
    }
    let transcript = machine.console.transcript();
    let end = transcript.find(script::END).context("the end was said")?;
    let mut log = transcript[..end].replace('\r', "");
    for edge in button.edges() {
        log.push_str(&format!("{EDGE}{edge}\n"));
    }
    read(condition, log)
}

/// Reads a log, of this run or an earlier one.
pub(super) fn read(condition: Condition, log: String) -> Result<Played> {
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
        // The button is pressed before a tick and let go at one.
        Measure::EdgeBeforeTick => Ok(edges(log)?.into_iter().step_by(2).collect()),
        Measure::EdgeAtTick => Ok(edges(log)?.into_iter().skip(1).step_by(2).collect()),
        Measure::Deploy => script::said(log, "deployed").into_iter().map(deployed).collect(),
    }
}

/// From each edge that was made to when its handler took the clock.
fn edges(log: &str) -> Result<Vec<u64>> {
    let made: Vec<u64> = log.lines().filter_map(|line| line.strip_prefix(EDGE)?.parse().ok()).collect();
    let parts = [("low", UNIT_NS), ("hig", SPLIT_NS)];
    let [low, high] = parts.map(|(name, unit)| {
        Ok::<Vec<u64>, anyhow::Error>(containers::samples(log, name)?.iter().map(|value| value * unit).collect())
    });
    let handled: Vec<u64> = low?.iter().zip(high?).map(|(low, high)| low + high).collect();
    let counted = containers::samples(log, "num")?;
    ensure!(counted.iter().all(|count| *count == 1), "edges fell together: {counted:?}");
    ensure!(
        made.len() == handled.len(),
        "{} edges were made, and {} handled: {made:?} {handled:?}",
        made.len(),
        handled.len()
    );
    let late = |(made, handled): (&u64, &u64)| handled.checked_sub(*made).map(|ns| ns / UNIT_NS);
    made.iter().zip(&handled).map(|pair| late(pair).context("an edge was handled before it was made")).collect()
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
