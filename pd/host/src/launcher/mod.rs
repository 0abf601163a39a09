//! Plays the kernel on Linux: makes what `system.xml` describes, starts a process a domain, and watches them.
//!
//! The launcher is the one process that has every descriptor. It gives each domain its own and nothing else, and does for the
//! warden what seL4 lets a parent do to its children: stop a cell, and start it with clean memory. It trusts the description,
//! the policy and Linux; of the domains it believes nothing but that the warden may ask for that.

/// Tells whoever started the node. That nobody listens any more is no reason to end it.
macro_rules! say {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($words)*);
    }};
}

mod objects;
mod process;
mod supervise;

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use pd_system_description::keys;
use pd_system_description::policy::Policy;
use pd_system_description::{Description, System, rules};

use crate::run_directory::RunDirectory;
use crate::substrate::{confinement, priority};

/// The project's own description, for a launcher that was given none.
const SYSTEM_XML: &str = include_str!("../../../../system.xml");

/// The board whose devices this substrate stands in for.
const BOARD_XML: &str = include_str!("../../../boards/qemu_virt_aarch64.xml");

/// The demo board's policy, likewise.
const DEMO_POLICY: &str = include_str!("../../../../qemu/demo-policy.toml");

/// What a node is made of.
#[derive(Clone, Debug)]
pub struct LaunchOptions {
    /// The system; `None` for the one that this program was built with.
    pub system: Option<PathBuf>,
    /// The board policy; `None` for the demo board's.
    pub policy: Option<PathBuf>,
    /// A directory of public keys whose signatures count; `None` for the demo keys.
    pub keys: Option<PathBuf>,
    /// Where its sockets and logs are.
    pub run_directory: PathBuf,
    /// End the node when the process that started it ends.
    pub stop_with_parent: bool,
    /// Make the run directory, which must not be there; end the node when standard input ends; remove the directory unless
    /// the node failed.
    pub throw_away: bool,
}

/// What is launched, read and checked.
struct Plan {
    system: System,
    prefilled: objects::Prefilled,
    labels: Vec<(String, u8)>,
}

/// Starts the node and runs it until a signal (or a fault that it cannot survive) ends it.
///
/// # Errors
/// What is wrong with the description, the policy or the place, or which domain ended and where its log is.
pub fn launch(options: &LaunchOptions) -> Result<()> {
    if options.stop_with_parent {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
    }
    let plan = plan(options)?;
    let until = if options.throw_away { Until::InputEnds } else { Until::Told };
    let directory = match until {
        Until::Told => RunDirectory::claim(&options.run_directory)?,
        Until::InputEnds => RunDirectory::claim_new(&options.run_directory)?,
    };
    say!("Atoll on Linux, as processes. This is not seL4: Linux is trusted, and budgets are not enforced.");
    supervise::run(plan, &directory, abilities(), until)?;
    if options.throw_away { directory.remove() } else { Ok(()) }
}

/// What ends a node besides a fault.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// A signal.
    Told,
    /// A signal, or the end of standard input: nobody is left on its other side, however they ended. A parent's death
    /// signal alone would be missed by a launcher that has not asked for it yet.
    InputEnds,
}

/// What this Linux lets a node do.
#[derive(Clone, Copy)]
struct Abilities {
    /// Real-time priorities.
    real_time: bool,
    /// Processes with few system calls.
    confined: bool,
}

/// Tries what not every Linux permits, and says once what is missing.
fn abilities() -> Abilities {
    let real_time = priority::permitted();
    if let Err(problem) = &real_time {
        say!("SCHED_FIFO is not permitted here ({problem}): every domain runs at ordinary priority.");
    }
    let confined = confinement::is_possible();
    if let Err(problem) = &confined {
        say!("seccomp cannot be used here ({problem}): a domain that is broken into can do what this user can.");
    }
    Abilities { real_time: real_time.is_ok(), confined: confined.is_ok() }
}

/// The system in `file`, or the project's own, on the board that is simulated here.
fn description(file: Option<&Path>) -> Result<Description> {
    let board = (Path::new("pd/boards/qemu_virt_aarch64.xml"), BOARD_XML);
    let Some(file) = file else { return Ok(Description::join((Path::new("system.xml"), SYSTEM_XML), board)?) };
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(Description::join((file, &text), board)?)
}

fn plan(options: &LaunchOptions) -> Result<Plan> {
    let description = description(options.system.as_deref())?;
    let system = description.system()?;
    let violations = rules::check(&system);
    if let Some(first) = violations.first() {
        let (file, place) = (system.file.display(), description.place(first.line));
        bail!("{file} breaks {} of the architecture's rules, the first: {place}: {first}", violations.len());
    }
    let policy = match &options.policy {
        Some(file) => Policy::load(file)?,
        None => Policy::parse(Path::new("demo-policy.toml"), DEMO_POLICY)?,
    };
    let policy_bytes =
        policy.region_bytes(&system).map_err(anyhow::Error::msg).context("the policy does not suit the system")?;
    // A host has a clock, and an image is only as old as the node here.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let table = keys::table(options.keys.as_deref(), &policy, now)?;
    let mut key_bytes = keys::region_bytes(&table, &system).map_err(anyhow::Error::msg)?;
    damage(&mut key_bytes, &options.run_directory);
    let prefilled = [("policy".to_owned(), policy_bytes), ("keys".to_owned(), key_bytes)].into();
    let labels = policy.board.lines.into_iter().map(|line| (line.label, line.line)).collect();
    Ok(Plan { system, prefilled, labels })
}

/// Where a test left a file of that name, it wants an image whose key table is damaged.
#[cfg(feature = "hostile-domains")]
fn damage(key_bytes: &mut [u8], run_directory: &Path) {
    if run_directory.join("keys.damaged").exists() {
        key_bytes[0] ^= 0xff;
    }
}

#[cfg(not(feature = "hostile-domains"))]
const fn damage(_: &mut [u8], _: &Path) {}
