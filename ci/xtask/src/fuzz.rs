//! `cargo xtask fuzz`: random modules in a cell and in wasmtime, for as long as somebody wants.
//!
//! The crate is a workspace of its own (`runner/executor/fuzz`): its second engine takes a minute to build and is needed for
//! nothing else. `cargo xtask test` runs its first modules.

use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::process;

/// The crate's manifest.
const MANIFEST: &str = "runner/executor/fuzz/Cargo.toml";

/// What to run.
#[derive(Debug, Args)]
pub(crate) struct FuzzOptions {
    /// The first seed
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// How many modules; a thousand take about a minute
    #[arg(long, default_value_t = 1000)]
    count: u64,
}

/// Compares modules and says what came of them; fails where the engines do not agree on one.
pub(crate) fn run(options: &FuzzOptions) -> Result<()> {
    let mut command = cargo("run");
    command.args(["--quiet", "--bin", "compare", "--", &options.first.to_string(), &options.count.to_string()]);
    process::run(&mut command)
}

/// The tests of the crate: its first modules.
pub(crate) fn tests() -> Command {
    let mut command = cargo("test");
    command.arg("--lib");
    command
}

fn cargo(verb: &str) -> Command {
    let mut command = process::cargo();
    command.args([verb, "--locked", "--manifest-path", MANIFEST]);
    command.arg("--target-dir").arg(process::target_directory().join("fuzz"));
    command
}
