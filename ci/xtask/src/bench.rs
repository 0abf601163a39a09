//! `cargo xtask bench`: figures with a baseline beside each, from one run, as ratios.
//!
//! Machines that are shared and noisy give no absolute figures worth keeping; a ratio within one run holds. Instructions come
//! from seL4 under QEMU with `-icount`, where virtual time is a count of instructions and two runs agree to the last one.
//! Results go to `docs/measurements.md`, between two markers; what stands around them is written by hand.

pub(crate) mod calls;
pub(crate) mod costs;
pub(crate) mod eight;
pub(crate) mod fuel;
mod host;
pub(crate) mod interrupts;
mod sel4;
mod time;

use std::{
    fs,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use qemu::{
    board::Board,
    console::ConsoleError,
    launcher::{Launch, Machine},
};
use serde::Deserialize;

use crate::process::{self, step};
pub(crate) use time::TimeOptions;
use time::script;

/// Nanoseconds of a millisecond.
const MS: u64 = 1_000_000;

/// What an instruction takes where the policy of eight cells is in force, whose figures are for such a machine; and that as QEMU has it,
/// the power of 2.
const INSTRUCTION_NS: u64 = 1 << INSTRUCTION_SHIFT;
const INSTRUCTION_SHIFT: u8 = 1;

/// Starts an image with that policy.
fn start_for_eight(image: &Path) -> Result<Machine> {
    Launch::atoll(Board::QemuVirtAarch64, image).deterministic().instruction_shift(INSTRUCTION_SHIFT).start()
}

/// How often a bench that listens looks at what was said.
const LOOK: Duration = Duration::from_secs(5);

/// Waits for a guest with a script until it has told all, and answers what it said; `look` sees that as it grows. What was said is kept
/// in `target/bench-NAME.log`, whatever comes of it.
fn listen(machine: &mut Machine, name: &str, limit: Duration, mut look: impl FnMut(&str)) -> Result<String> {
    let deadline = Instant::now() + limit;
    let outcome = loop {
        let ended = machine.console.expect(script::END, LOOK);
        let said = machine.console.transcript();
        look(&said);
        // What it could not do it would try for ever.
        let has_failed = !script::said(&said, "failed:").is_empty();
        match ended {
            Err(ConsoleError::Timeout { .. }) if Instant::now() < deadline && !has_failed => {}
            outcome => break outcome.map(drop),
        }
    };
    let log = machine.console.transcript().replace('\r', "");
    let place = process::target_directory().join(format!("bench-{name}.log"));
    fs::write(&place, &log).with_context(|| format!("cannot write {}", place.display()))?;
    let failures = script::said(&log, "failed:");
    ensure!(failures.is_empty(), "the guest could not do all it had to: {}\n{}", failures.join("\n"), last_of(&log));
    outcome.with_context(|| last_of(&log))?;
    Ok(log)
}

fn last_of(said: &str) -> String {
    let lines: Vec<&str> = said.lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}

/// One figure with what it is held against.
#[derive(Clone, Debug, Deserialize, PartialEq)]
struct Measurement {
    /// What was measured.
    name: String,
    /// Of both values.
    unit: String,
    value: f64,
    /// What stands beside it.
    baseline: String,
    baseline_value: f64,
    /// As the measuring program took it, round by round where it can; not always the quotient of the two medians.
    ratio: f64,
}

impl Measurement {
    /// With the quotient of the two values.
    fn new(name: impl Into<String>, unit: &str, value: f64, baseline: &str, baseline_value: f64) -> Self {
        let ratio = if baseline_value == 0.0 { f64::NAN } else { value / baseline_value };
        Self { name: name.into(), unit: unit.to_owned(), value, baseline: baseline.to_owned(), baseline_value, ratio }
    }
}

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// The ring
    Ring,
    /// Host calls in a cell
    Cell,
    /// A node on this machine
    Host,
    /// seL4 in QEMU, counting instructions
    Sel4,
}

impl Part {
    fn measure(self) -> Result<Vec<Measurement>> {
        match self {
            Self::Ring => {
                step("the ring");
                program("shared-ring", "throughput")
            }
            Self::Cell => {
                step("host calls in a cell");
                program("runner-executor", "host_call_cost")
            }
            Self::Host => {
                step("a node on this machine");
                host::measure()
            }
            Self::Sel4 => {
                step("seL4 in QEMU, counting instructions");
                sel4::measure()
            }
        }
    }
}

/// `--time`.
pub(crate) fn run_time(options: &TimeOptions) -> Result<()> {
    time::run(options)
}

/// Holds a short run of `--time` against the committed figures.
pub(crate) fn hold_times() -> Result<()> {
    time::hold()
}

/// Measures all, prints the table and writes it into the book; one part by itself is only printed.
pub(crate) fn run(only: Option<Part>) -> Result<()> {
    let mut measurements = Vec::new();
    for &part in Part::value_variants().iter().filter(|&&part| only.is_none_or(|only| only == part)) {
        match part.measure() {
            Ok(found) => measurements.extend(found),
            Err(error) => match error.downcast_ref::<qemu::Missing>() {
                Some(missing) => eprintln!("SKIPPED figures of seL4: {missing}"),
                None => return Err(error),
            },
        }
    }
    let table = table(&measurements);
    println!("{table}");
    if only.is_some() { Ok(()) } else { write("docs/measurements.md", "measurements", &table) }
}

/// Runs a package's example, optimised, and reads the figures that it prints, one JSON object a line.
fn program(package: &str, example: &str) -> Result<Vec<Measurement>> {
    let mut command = process::cargo();
    command.args(["run", "--quiet", "--release", "--package", package, "--example", example]);
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("cannot run {example}"))?;
    let text = String::from_utf8(output.stdout).context("the figures are not text")?;
    let lines = text.lines().filter(|line| line.starts_with('{'));
    let found: Vec<Measurement> = lines
        .map(|line| serde_json::from_str(line).with_context(|| format!("`{line}` is no figure")))
        .collect::<Result<_>>()?;
    if found.is_empty() || !output.status.success() {
        anyhow::bail!("{} printed no figures: {}", process::line_of(&command), output.status);
    }
    Ok(found)
}

fn table(measurements: &[Measurement]) -> String {
    let mut text = String::from("| what | figure | beside | figure | ratio |\n|---|---:|---|---:|---:|\n");
    for one in measurements {
        text.push_str(&format!(
            "| {} | {} {} | {} | {} {} | {} |\n",
            one.name,
            digits(one.value),
            one.unit,
            one.baseline,
            digits(one.baseline_value),
            one.unit,
            // A ratio near 1 is about what it differs by.
            if (one.ratio - 1.0).abs() < 0.1 { format!("{:.4}", one.ratio) } else { digits(one.ratio) },
        ));
    }
    text
}

/// Three significant digits: more would claim what these machines cannot give.
fn digits(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return "–".to_owned();
    }
    let magnitude = value.abs().log10().floor();
    let decimals = (2.0 - magnitude).clamp(0.0, 6.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0 to 6 above")]
    let decimals = decimals as usize;
    format!("{value:.decimals$}")
}

/// Replaces what stands between the markers of that name in a page of the book.
fn write(page: &str, name: &str, table: &str) -> Result<()> {
    let path = process::root().join(page);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let (begin, end) = (format!("<!-- {name}: begin -->"), format!("<!-- {name}: end -->"));
    let (before, rest) = text.split_once(&begin).with_context(|| format!("{page} has lost its marker {begin}"))?;
    let (_, after) = rest.split_once(&end).with_context(|| format!("{page} has lost its marker {end}"))?;
    fs::write(&path, format!("{before}{begin}\n\n{table}\n{end}{after}"))
        .with_context(|| format!("cannot write {}", path.display()))?;
    println!("written to {}", path.display());
    Ok(())
}

/// The figures that the container `probe` logs: nanoseconds for so many calls of each kind.
#[derive(Debug, PartialEq)]
struct Probe {
    calls: f64,
    loop_ns: f64,
    cell_call_ns: f64,
    domain_call_ns: f64,
}

impl Probe {
    /// Finds them in the container's log.
    fn find(log: &str) -> Option<Self> {
        let line = log.lines().find(|line| line.contains("domain_call_ns="))?;
        let field = |name: &str| {
            let value = line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))?;
            value.parse().ok()
        };
        Some(Self {
            calls: field("calls")?,
            loop_ns: field("loop_ns")?,
            cell_call_ns: field("cell_call_ns")?,
            domain_call_ns: field("domain_call_ns")?,
        })
    }

    /// What one call of each kind costs above the loop around it, in nanoseconds: in the cell, across domains.
    fn costs_ns(&self) -> (f64, f64) {
        let above = |total: f64| (total - self.loop_ns) / self.calls;
        (above(self.cell_call_ns), above(self.domain_call_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probes_line_is_found_among_others() {
        let log = "[0.1] info something\n[0.2] info calls=16 loop_ns=16 cell_call_ns=176 domain_call_ns=1616\n";
        let probe = Probe::find(log).expect("it is there");
        assert_eq!(probe.costs_ns(), (10.0, 100.0));
        assert_eq!(Probe::find("info nothing"), None);
    }

    #[test]
    fn three_digits_count() {
        assert_eq!([1234.5, 12.345, 0.012_345, 0.0].map(digits), ["1234", "12.3", "0.0123", "–"]);
    }
}
