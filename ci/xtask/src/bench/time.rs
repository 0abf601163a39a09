//! `cargo xtask bench --time`: how late things happen on seL4, in instructions, idle and under attack.
//!
//! QEMU counts instructions, 8 ns each, and nobody types: two runs of a condition say the same to the last byte of their logs, and
//! every figure is a property of the software. What is measured, and what that does not say, is in docs/measurements-time.md.

mod baseline;
mod button;
pub(super) mod containers;
pub(super) mod figures;
mod host;
mod machine;
mod page;
pub(super) mod script;

use std::{
    fmt, fs,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    thread,
};

use anyhow::{Context, Error, Result, bail, ensure};
use qemu::attacks::Attack;
use serde::{Deserialize, Serialize};

use crate::{
    Substrate, boards,
    process::{self, step},
};
use baseline::{Baseline, Figures};
use button::Places;
use containers::Rate;
use figures::Figure;
use machine::{Played, Releases};

/// Where it is told.
pub(super) const PAGE: &str = "docs/measurements-time.md";

/// What happens while it is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Idle,
    Under(Attack),
}

impl Condition {
    fn all() -> Vec<Self> {
        [Self::Idle].into_iter().chain(Attack::ALL.map(Self::Under)).collect()
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Under(attack) => attack.name(),
        }
    }

    fn of_name(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|condition| condition.name() == name)
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measure {
    /// From a tick to a container's first instruction.
    Release,
    /// From an edge to its handler, at the moment at which the domain `tick` comes.
    EdgeBeforeTick,
    /// From an edge to its handler, at a tick.
    EdgeAtTick,
    /// A handler's call that drives an output, there and back.
    Output,
    /// From an upload's announcement to the first instruction.
    Deploy,
}

impl Measure {
    const ALL: [Self; 5] = [Self::Release, Self::EdgeBeforeTick, Self::EdgeAtTick, Self::Output, Self::Deploy];

    /// As it stands in files.
    const fn key(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::EdgeBeforeTick => "edge-before-tick",
            Self::EdgeAtTick => "edge-at-tick",
            Self::Output => "output",
            Self::Deploy => "deploy",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Release => "tick to first instruction",
            Self::EdgeBeforeTick => "edge to handler, just before a tick",
            Self::EdgeAtTick => "edge to handler, at a tick",
            Self::Output => "call that drives an output",
            Self::Deploy => "deploy to first instruction",
        }
    }
}

/// How much is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
struct Plan {
    rate: Rate,
    releases: usize,
    edge_budget_ns: u64,
    edges: usize,
    deployments: usize,
    module_bytes: usize,
}

impl Plan {
    /// What docs/measurements-time.md shows.
    const FULL: Self = Self {
        rate: Rate { period_ns: 20_000_000, budget_ns: 1_000_000 },
        releases: 1000,
        edge_budget_ns: 500_000,
        edges: 100,
        deployments: 5,
        module_bytes: 60_000,
    };

    /// What the test command has time for.
    const SHORT: Self = Self { releases: 300, deployments: 2, ..Self::FULL };
}

/// What to measure, and what to do with it.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct TimeOptions {
    /// Under these conditions alone (`idle` or an attack's name, with commas between)
    #[arg(long = "under", value_delimiter = ',', requires = "time")]
    under: Vec<String>,
    /// Play each condition twice, and fail where two logs are not the same
    #[arg(long, requires = "time")]
    twice: bool,
    /// Releases of the probe
    #[arg(long, requires = "time")]
    releases: Option<usize>,
    /// The probe's period in microseconds
    #[arg(long, requires = "time")]
    period: Option<u64>,
    /// The probe's budget in microseconds
    #[arg(long, requires = "time")]
    budget: Option<u64>,
    /// Read the logs of the last run in target/bench-time in place of running anything
    #[arg(long, requires = "time", conflicts_with_all = ["twice", "releases", "period", "budget", "on"])]
    from_logs: bool,
    /// Hold a short run against the committed figures, as `cargo xtask test` does, and write nothing
    #[arg(long, requires = "time", conflicts_with_all = ["under", "twice", "releases", "period", "budget", "on"])]
    check: bool,
    /// Only these figures: of seL4, or of a node on this machine, which are no real-time claim
    #[arg(long, value_enum, requires = "time")]
    on: Option<Substrate>,
}

/// What the test command holds against the baseline: nothing, Linux, and a neighbour. That of Linux is played twice, and has to say the
/// same; its processor has no idle moment, at which a busy host can make QEMU's time differ (docs/measurements-time.md).
const TESTED: [Condition; 4] = [
    Condition::Under(Attack::CpuHog),
    Condition::Idle,
    Condition::Under(Attack::NeighbourLoops),
    Condition::Under(Attack::CpuHog),
];

/// Machines at the same time. Their time is that of executed instructions, so none sees the others.
const AT_ONCE: usize = 2;

/// Plays what is asked for. Where nothing but conditions was chosen, what was found becomes the baseline and is written into the book.
pub(crate) fn run(options: &TimeOptions) -> Result<()> {
    if options.check {
        return hold();
    }
    let plan = options.plan();
    if options.from_logs {
        let kept =
            conditions(&options.under)?.into_iter().map(|condition| machine::read(condition, kept_log(condition)?));
        return write(&plan, &kept.collect::<Result<Vec<_>>>()?);
    }
    // Some conditions alone are of seL4.
    if options.on.map_or(options.under.is_empty(), |on| on == Substrate::Host) {
        run_on_host(&plan)?;
    }
    if options.on != Some(Substrate::Host) { run_on_sel4(options, &plan) } else { Ok(()) }
}

/// Measured first: a machine that emulates two others has no time left.
fn run_on_host(plan: &Plan) -> Result<()> {
    let machine = host::machine();
    let table = host::table(&host::measure(plan)?);
    println!("{table}");
    if *plan != Plan::FULL {
        return Ok(());
    }
    super::write(PAGE, "host", &format!("On {machine}:\n\n{table}"))
}

fn run_on_sel4(options: &TimeOptions, plan: &Plan) -> Result<()> {
    let conditions = conditions(&options.under)?;
    // What was found is written although something else failed: it took minutes.
    let (found, failures) = play_all(plan, &conditions)?;
    if *plan == Plan::FULL {
        write(plan, &found)?;
    } else {
        println!("nothing is written: these are not the parameters of the baseline");
    }
    whole(failures)?;
    if options.twice {
        let (again, failures) = play_all(plan, &conditions)?;
        whole(failures)?;
        found.iter().zip(&again).try_for_each(|(first, second)| same(first, second))?;
    }
    Ok(())
}

/// Fails with the first failure, after all others were shown.
fn whole(mut failures: Vec<Error>) -> Result<()> {
    let first = failures.pop();
    failures.iter().for_each(|failure| eprintln!("error: {failure:#}"));
    first.map_or(Ok(()), Err)
}

/// A short run, held against the committed baseline: a part of `cargo xtask test`.
pub(crate) fn hold() -> Result<()> {
    let baseline = Baseline::load()?;
    let (found, failures) = play_all(&Plan::SHORT, &TESTED)?;
    whole(failures)?;
    let differences: Vec<String> =
        found.iter().flat_map(|played| baseline.differences(played.condition, &Figures::of(played))).collect();
    baseline::hold(&differences)?;
    match found.as_slice() {
        [first, .., last] => same(first, last),
        _ => Ok(()),
    }
}

impl TimeOptions {
    fn plan(&self) -> Plan {
        let full = Plan::FULL;
        let ns = |us: u64| us.saturating_mul(1000);
        let rate = Rate {
            period_ns: self.period.map_or(full.rate.period_ns, ns),
            budget_ns: self.budget.map_or(full.rate.budget_ns, ns),
        };
        Plan { rate, releases: self.releases.unwrap_or(full.releases), ..full }
    }
}

/// Whether two runs of a condition said the same, to the last byte.
fn same(first: &Played, second: &Played) -> Result<()> {
    let condition = first.condition;
    let mut lines = first.log.lines().zip(second.log.lines());
    if let Some((one, other)) = lines.find(|(one, other)| one != other) {
        bail!("two runs of {condition} are not the same: `{one}` and `{other}`");
    }
    ensure!(first.log == second.log, "two runs of {condition} are not the same: one is longer");
    println!("{condition}: two runs with the same log, {} bytes", first.log.len());
    Ok(())
}

/// Plays some conditions, each in a machine of its own, and shows what was found; answers that in their order, and what failed.
fn play_all(plan: &Plan, conditions: &[Condition]) -> Result<(Vec<Played>, Vec<Error>)> {
    step("the guest's kernel");
    let places = Places::find(&boards::guest_image()?)?;
    let next = Mutex::new(conditions.iter().enumerate());
    let found = Mutex::new(Vec::new());
    let work = || {
        loop {
            let taken = next.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((place, condition)) = taken else { return };
            let played = play(plan, places, *condition);
            found.lock().unwrap_or_else(PoisonError::into_inner).push((place, played));
        }
    };
    thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(thread::available_parallelism().map_or(1, usize::from)) {
            scope.spawn(work);
        }
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by_key(|(place, _)| *place);
    let (mut played, mut failures) = (Vec::new(), Vec::new());
    for (_, result) in found {
        match result {
            Ok(one) => played.push(one),
            Err(failure) => failures.push(failure),
        }
    }
    Ok((played, failures))
}

fn play(plan: &Plan, places: Places, condition: Condition) -> Result<Played> {
    /// All conditions' images are made in one folder.
    static BUILDING: Mutex<()> = Mutex::new(());
    step(&format!("{condition}"));
    let image = tempfile::NamedTempFile::new().context("no temporary file")?;
    {
        let _alone = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
        let built = boards::image_with_script(script::overlay(plan, condition)?)?;
        fs::copy(&built, image.path()).with_context(|| format!("cannot copy {}", built.display()))?;
    }
    let played = machine::play(image.path(), places, condition)?;
    show(&played, &keep_log(plan, condition, &played.log)?);
    Ok(played)
}

fn show(played: &Played, log: &std::path::Path) {
    let Releases { released, missed, skipped } = played.releases;
    let mut text =
        format!("{}: {released} releases, {missed} missed, {skipped} lost; {}", played.condition, log.display());
    for (measure, samples) in &played.series {
        if let Some(Figure { count, least, median, p99, most }) = samples.figure() {
            text.push_str(&format!("\n  {}: {count} values, {least} {median} {p99} {most}", measure.name()));
        }
    }
    println!("{text}");
}

/// Makes what was found the baseline, and writes the book's page of all that the baseline has.
fn write(plan: &Plan, found: &[Played]) -> Result<()> {
    let mut baseline = Baseline::load().unwrap_or_default();
    if baseline.plan != *plan {
        baseline = Baseline { plan: *plan, ..Baseline::default() };
    }
    for played in found {
        baseline.conditions.insert(played.condition.name().to_owned(), Figures::of(played));
    }
    baseline.save()?;
    // A picture shows all conditions, and the baseline keeps no values to draw.
    if found.len() == Condition::all().len() {
        page::draw(found)?;
    }
    super::write(PAGE, "measurements", &page::tables(&baseline))
}

fn conditions(names: &[String]) -> Result<Vec<Condition>> {
    if names.is_empty() {
        return Ok(Condition::all());
    }
    let known = || Condition::all().iter().map(|condition| condition.name()).collect::<Vec<_>>().join(", ");
    let condition = |name: &String| Condition::of_name(name).with_context(|| format!("no `{name}` among {}", known()));
    names.iter().map(condition).collect()
}

/// Logs are kept for a person to look at.
fn log_path(plan: &Plan, condition: Condition) -> PathBuf {
    // Figures are made of whole runs.
    let kind = if *plan == Plan::FULL { "" } else { "-other" };
    process::target_directory().join("bench-time").join(format!("{condition}{kind}.log"))
}

fn keep_log(plan: &Plan, condition: Condition, log: &str) -> Result<PathBuf> {
    let path = log_path(plan, condition);
    let folder = path.parent().context("a log lies in a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    fs::write(&path, log).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn kept_log(condition: Condition) -> Result<String> {
    let path = log_path(&Plan::FULL, condition);
    fs::read_to_string(&path).with_context(|| format!("no log of {condition} was kept at {}", path.display()))
}
