//! `cargo xtask fuzz`: random modules in a cell and in wasmtime, or any input for whatever reads a stranger's, for as long as
//! somebody wants.
//!
//! The modules are a workspace of their own (`runner/executor/fuzz`): its second engine takes a minute to build and is needed for
//! nothing else. `cargo xtask test` runs its first modules, and each target of `ci/fuzz` for its part of a minute.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use clap::Args;

use crate::process;

/// The manifest of the modules.
const MANIFEST: &str = "runner/executor/fuzz/Cargo.toml";

/// How long the targets of `ci/fuzz` take in `cargo xtask test`, all together.
const SMOKE_SECONDS: &str = "60";

/// What has LLVM count the ways through the code, which libFuzzer looks at. Stable options of the compiler; `cargo-fuzz` gives
/// the same, and a sanitizer, for which there is nothing to find: the targets have no `unsafe`.
const COVERAGE: [&str; 4] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=3",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
];

/// What to run.
#[derive(Debug, Args)]
pub(crate) struct FuzzOptions {
    /// The first seed of the random modules
    #[arg(long, default_value_t = 0, conflicts_with = "target")]
    first: u64,
    /// How many modules; a thousand take about a minute
    #[arg(long, default_value_t = 1000, conflicts_with = "target")]
    count: u64,
    /// Instead of modules: what reads a stranger's input (a wrong name lists them). Runs under libFuzzer; needs a C++ compiler
    #[arg(long)]
    target: Option<String>,
    /// How many inputs it gets
    #[arg(long, default_value_t = 10_000_000, requires = "target")]
    executions: u64,
    /// The longest of them, in bytes
    #[arg(long, default_value_t = 256, requires = "target")]
    longest: u32,
    /// Only this one input, in hexadecimal
    #[arg(long, requires = "target", conflicts_with_all = ["executions", "keep"])]
    input: Option<String>,
    /// Keep the inputs with which each way through the target is gone in ci/fuzz/corpus
    #[arg(long, requires = "target")]
    keep: bool,
}

/// Runs what was asked for, and says what came of it; fails where something does not hold.
pub(crate) fn run(options: &FuzzOptions) -> Result<()> {
    match (&options.target, &options.input) {
        (None, _) => modules(options),
        (Some(target), Some(input)) => process::run(&mut targets(&["one", target, input])),
        (Some(target), None) => search(target, options),
    }
}

/// Compares modules.
fn modules(options: &FuzzOptions) -> Result<()> {
    let mut command = cargo("run");
    command.args(["--quiet", "--bin", "compare", "--", &options.first.to_string(), &options.count.to_string()]);
    process::run(&mut command)
}

/// Looks for new ways through a target, from what is known of it.
fn search(target: &str, options: &FuzzOptions) -> Result<()> {
    let folder = process::target_directory().join("libfuzzer");
    let place = |name: &str| folder.join(name).join(target);
    let (found, faults) = (place("corpus"), place("faults"));
    std::fs::create_dir_all(&faults).with_context(|| format!("cannot make {}", faults.display()))?;
    process::run(&mut targets(&["unpack", target, &found.to_string_lossy()]))?;
    let program = build(&folder)?;
    let mut command = Command::new(&program);
    command.env("ATOLL_FUZZ_TARGET", target).arg(&found);
    command.arg(format!("-runs={}", options.executions)).arg(format!("-max_len={}", options.longest));
    command.args(["-timeout=10", "-print_final_stats=1"]).arg(format!("-artifact_prefix={}/", faults.display()));
    process::run(&mut command).with_context(|| {
        format!("the input lies in {}; once more: cargo xtask fuzz --target {target} --input HEX", faults.display())
    })?;
    if options.keep {
        let fewest = place("fewest");
        if fewest.exists() {
            std::fs::remove_dir_all(&fewest).with_context(|| format!("cannot empty {}", fewest.display()))?;
        }
        std::fs::create_dir_all(&fewest).with_context(|| format!("cannot make {}", fewest.display()))?;
        let mut merge = Command::new(&program);
        merge.env("ATOLL_FUZZ_TARGET", target).args(["-merge=1", "-use_counters=0"]).arg(&fewest).arg(&found);
        process::run(&mut merge)?;
        process::run(&mut targets(&["keep", target, &fewest.to_string_lossy()]))?;
    }
    Ok(())
}

/// Builds libFuzzer with all targets, and answers where it is.
fn build(folder: &Path) -> Result<PathBuf> {
    // Named, so that the flags are not those of build scripts too.
    let host = host()?;
    let mut command = process::cargo();
    command.args(["build", "--quiet", "--locked", "--package", "fuzz", "--profile", "fuzzing"]);
    command.args(["--features", "libfuzzer", "--bin", "libfuzzer", "--target", &host]);
    command.arg("--target-dir").arg(folder).env("RUSTFLAGS", COVERAGE.join(" "));
    process::run(&mut command)?;
    Ok(folder.join(host).join("fuzzing/libfuzzer"))
}

/// This machine, as the compiler calls it.
fn host() -> Result<String> {
    let mut command = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    let output = command.arg("-vV").current_dir(process::root()).output().context("cannot run rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned).context("rustc names no host")
}

/// The tests of the modules' crate: its first modules.
pub(crate) fn tests() -> Command {
    let mut command = cargo("test");
    command.arg("--lib");
    command
}

/// Every target for its part of a minute.
pub(crate) fn smoke() -> Command {
    targets(&["smoke", SMOKE_SECONDS])
}

fn targets(arguments: &[&str]) -> Command {
    let mut command = process::cargo();
    command.args(["run", "--quiet", "--locked", "--package", "fuzz", "--profile", "fuzzing", "--bin", "fuzz", "--"]);
    command.args(arguments);
    command
}

fn cargo(verb: &str) -> Command {
    let mut command = process::cargo();
    command.args([verb, "--locked", "--manifest-path", MANIFEST]);
    // The interpreter and much else is there already, as the tests of the repository's workspace compiled it.
    command.arg("--target-dir").arg(process::target_directory());
    command
}
