//! `cargo xtask bench --time`: how late things happen on seL4, in instructions, idle and under attack.
//!
//! QEMU counts instructions, 8 ns each, and nobody types: two runs of a condition say the same to the last byte of their logs, and
//! every figure is a property of the software. They are printed; no test holds them yet.

mod button;
pub(super) mod containers;
pub(super) mod figures;
mod machine;
mod script;

use std::{fmt, fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use qemu::attacks::Attack;

use crate::{
    boards,
    process::{self, step},
};
use containers::Rate;

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
    /// From an edge to its handler.
    Edge,
    /// A handler's call that drives an output, there and back.
    Output,
    /// From an upload's announcement to the first instruction.
    Deploy,
}

impl Measure {
    const ALL: [Self; 4] = [Self::Release, Self::Edge, Self::Output, Self::Deploy];

    const fn name(self) -> &'static str {
        match self {
            Self::Release => "tick to first instruction",
            Self::Edge => "edge to handler",
            Self::Output => "call that drives an output",
            Self::Deploy => "deploy to first instruction",
        }
    }
}

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plan {
    rate: Rate,
    releases: usize,
    edge_budget_ns: u64,
    edges: usize,
    deployments: usize,
    module_bytes: usize,
}

impl Plan {
    /// What is measured where nothing else is said.
    const FULL: Self = Self {
        rate: Rate { period_ns: 20_000_000, budget_ns: 1_000_000 },
        releases: 2000,
        edge_budget_ns: 500_000,
        edges: 100,
        deployments: 5,
        module_bytes: 60_000,
    };
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
}

pub(crate) fn run(options: &TimeOptions) -> Result<()> {
    let mut plan = Plan::FULL;
    plan.releases = options.releases.unwrap_or(plan.releases);
    plan.rate.period_ns = options.period.map_or(plan.rate.period_ns, |us| us * 1000);
    plan.rate.budget_ns = options.budget.map_or(plan.rate.budget_ns, |us| us * 1000);
    let conditions = conditions(&options.under)?;
    step("the guest's kernel");
    let places = button::Places::find(&boards::guest_image()?)?;
    for condition in conditions {
        step(&format!("{condition}"));
        let image = boards::image_with_script(script::overlay(&plan, condition)?)?;
        let played = machine::play(&image, places, condition)?;
        let path = keep_log(condition, &played.log)?;
        println!("{}: {:?}, log in {}", played.condition, played.releases, path.display());
        for (measure, samples) in &played.series {
            println!("  {}: {:?}", measure.name(), samples.figure());
        }
        if options.twice {
            let again = machine::play(&image, places, condition)?;
            ensure!(played.log == again.log, "two runs of {condition} are not the same");
            println!("  the same log again, {} bytes", again.log.len());
        }
    }
    Ok(())
}

fn conditions(names: &[String]) -> Result<Vec<Condition>> {
    if names.is_empty() {
        return Ok(Condition::all());
    }
    let known = || Condition::all().iter().map(|condition| condition.name()).collect::<Vec<_>>().join(", ");
    let condition = |name: &String| Condition::of_name(name).with_context(|| format!("no `{name}` among {}", known()));
    names.iter().map(condition).collect()
}

fn keep_log(condition: Condition, log: &str) -> Result<PathBuf> {
    let folder = process::target_directory().join("bench-time");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join(format!("{condition}.log"));
    fs::write(&path, log).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
