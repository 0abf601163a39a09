//! `cargo xtask check`: what must hold before anything is run.

use std::{collections::BTreeSet, process::Stdio};

use anyhow::{Result, bail};
use pd_system_description::{Description, rules};
use qemu::board::Board;

use crate::{layers, process};

/// One check: its name, and what it found wrong.
pub(crate) struct Check {
    /// What a person reads.
    pub(crate) name: &'static str,
    /// Runs it. An error says what is wrong.
    pub(crate) run: fn() -> Result<()>,
}

/// All of them, cheapest first.
pub(crate) const CHECKS: &[Check] = &[
    Check { name: "formatting", run: formatting },
    Check { name: "layering", run: layering },
    Check { name: "lock files", run: lock_files },
    Check { name: "system.xml on each board", run: system_description },
    Check { name: "lints", run: lints },
];

/// Runs all checks and reports each.
pub(crate) fn run() -> Result<()> {
    let mut failed = 0;
    for check in CHECKS {
        process::step(check.name);
        if let Err(error) = (check.run)() {
            eprintln!("{}: {error:#}", check.name);
            failed += 1;
        }
    }
    if failed > 0 {
        bail!("{failed} of {} checks failed", CHECKS.len());
    }
    println!("{} checks passed", CHECKS.len());
    Ok(())
}

fn formatting() -> Result<()> {
    process::run(process::cargo().args(["fmt", "--all", "--check"]))
}

fn lints() -> Result<()> {
    process::run(process::cargo().args([
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ]))
}

/// Workspaces beside this one that use its crates and are built as their lock files say: a crate's new dependency belongs into theirs too.
/// (`pd`'s needs a repository that not every machine has.)
fn lock_files() -> Result<()> {
    for workspace in ["examples", "runner/executor/fuzz"] {
        let mut command = process::cargo();
        command.args(["metadata", "--quiet", "--locked", "--format-version", "1", "--manifest-path"]);
        process::run(command.arg(format!("{workspace}/Cargo.toml")).stdout(Stdio::null()))?;
    }
    Ok(())
}

fn layering() -> Result<()> {
    none_of(&layers::violations()?)
}

fn system_description() -> Result<()> {
    let root = process::root();
    let mut found = BTreeSet::new();
    for board in Board::ALL {
        let description = Description::load(&root.join("system.xml"), &root.join(board.part()))?;
        for violation in rules::check(&description.system()?) {
            found.insert(format!("{}: {violation}", description.place(violation.line)));
        }
    }
    none_of(&found.into_iter().collect::<Vec<_>>())
}

fn none_of(violations: &[String]) -> Result<()> {
    if violations.is_empty() { Ok(()) } else { bail!("\n  {}", violations.join("\n  ")) }
}
