//! `cargo xtask test`: every test that this machine can run.
//!
//! Runs the same commands that a person would, shows what they print, counts what they say, and ends with one line. A
//! test that cannot run here prints `SKIPPED name: reason` (the format is `qemu::skip`'s) and is listed at the end, so that
//! nothing is skipped silently.

use std::{
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
};

use anyhow::{Context, Result, bail};
use qemu::board::Board;

use crate::{
    boards, check,
    examples::Verdict,
    process::{self, step},
    samples,
};

/// What ran, over all suites.
#[derive(Debug, Default)]
struct Tally {
    passed: u64,
    /// Tests that said SKIPPED and that the harness counted as passed all the same.
    skipped_in_harness: u64,
    failed: u64,
    skipped: Vec<String>,
    /// What failed, for the end of a long output.
    failures: Vec<String>,
}

/// Runs everything.
pub(crate) fn run() -> Result<()> {
    let mut tally = Tally::default();
    run_checks(&mut tally);
    step("unit and host system tests");
    tally.suite("workspace", process::cargo().args(["test", "--workspace", "--no-fail-fast"]));
    step("model checking the ring (loom)");
    tally.suite("loom", &mut loom());
    step("the samples' own tests, on the simulated node");
    tally.suite("samples", &mut native_samples());
    step("random modules in a cell and in wasmtime");
    tally.suite("fuzz", &mut crate::fuzz::tests());
    step("any input for everything that reads a stranger's");
    tally.suite("fuzz targets", &mut crate::fuzz::smoke());
    examples(&mut tally);
    sel4(&mut tally);
    times(&mut tally);
    tally.report()
}

fn run_checks(tally: &mut Tally) {
    for check in check::CHECKS {
        step(&format!("check: {}", check.name));
        match (check.run)() {
            Ok(()) => tally.passed += 1,
            Err(error) => tally.fail(&format!("check {}: {error:#}", check.name)),
        }
    }
}

/// Loom replaces the atomics, so it needs a build of its own; optimised, since it explores every interleaving.
fn loom() -> Command {
    let mut command = process::cargo();
    command
        .args(["test", "--package", "shared-ring", "--release", "--test", "loom"])
        .arg("--target-dir")
        .arg(process::target_directory().join("loom"))
        .env("RUSTFLAGS", "--cfg loom");
    command
}

/// Those of the samples' workspace that are built natively too; the others are for Wasm only.
fn native_samples() -> Command {
    let mut command = process::cargo();
    command.args(["test", "--locked", "--manifest-path", "examples/Cargo.toml", "--no-fail-fast"]);
    for package in ["atoll", "debounce", "display", "pid", "sensor"] {
        command.args(["--package", package]);
    }
    command.arg("--target-dir").arg(process::target_directory().join("examples/native"));
    command
}

fn examples(tally: &mut Tally) {
    step("rebuilding the sample containers");
    let report = match samples::compare_all() {
        Ok(report) => report,
        Err(error) => return tally.fail(&format!("examples: {error:#}")),
    };
    for outcome in &report.outcomes {
        match &outcome.verdict {
            Verdict::Failed(why) => tally.fail(&format!("example {}: {why}", outcome.sample)),
            Verdict::Skipped(missing) => tally.skip(&format!("example {}: {missing}", outcome.sample)),
            Verdict::Built { .. } | Verdict::Identical | Verdict::BuildsElsewhere { .. } => tally.passed += 1,
        }
    }
}

/// An image that the system tests boot: what builds it, for which board, and the variable that names it.
type TestedImage = (fn(Board) -> Result<PathBuf>, Board, &'static str);

const TESTED_IMAGES: [TestedImage; 5] = [
    (boards::image_for_tests, Board::QemuVirtAarch64, "ATOLL_IMAGE"),
    (boards::image_for_tests, Board::Rpi4b2Gb, "ATOLL_IMAGE_RPI4B"),
    (boards::image_with_hostile_cell, Board::QemuVirtAarch64, "ATOLL_IMAGE_HOSTILE"),
    (boards::image_for_signed_only, Board::QemuVirtAarch64, "ATOLL_IMAGE_SIGNED_ONLY"),
    (boards::image_for_several_cores, Board::QemuVirtAarch64, "ATOLL_IMAGE_SMP"),
];

/// Tests that say again, in a boot each, what others say here, and take too long for that; their modules tell how they are run.
const BY_HAND: &str = "::by_hand::";

/// Machines that are emulated at the same time. Their time is that of executed instructions, so that none sees the others; each takes
/// a core and up to 2 GiB.
fn boots_at_once() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(2))
}

/// System tests on seL4, where an SDK is found. A board without an image has its tests skip themselves.
fn sel4(tally: &mut Tally) {
    step("system tests on seL4 in QEMU");
    let mut command = process::cargo();
    command.args(["test", "--package", "qemu", "--test", "system", "--package", "sd-card", "--test", "card"]);
    command.arg("--no-fail-fast");
    let threads = format!("--test-threads={}", boots_at_once());
    command.args(["--", "--ignored", &threads, "--skip", BY_HAND]);
    for (build, board, variable) in TESTED_IMAGES {
        match build(board) {
            Ok(image) => {
                command.env(variable, image);
            }
            Err(error) => match error.downcast_ref::<qemu::Missing>() {
                Some(missing) => tally.skip(&format!("system tests on seL4, {board}: {missing}")),
                None => tally.fail(&format!("the boot image for {board} cannot be built: {error:#}")),
            },
        }
    }
    tally.suite("sel4", &mut command);
}

/// What happens in time on seL4; skipped where no SDK is found.
fn times(tally: &mut Tally) {
    step("times on seL4, in instructions, against the committed figures; eight containers at 1 kHz under all attacks");
    // Their time is that of executed instructions: neither sees the other.
    let (figures, eight) = thread::scope(|scope| {
        let eight = scope.spawn(crate::bench::eight::hold);
        (crate::bench::hold_times(), eight.join())
    });
    tally.measured("times on seL4", figures);
    tally.measured("eight containers at 1 kHz", eight.unwrap_or_else(|_| bail!("it panicked")));
}

impl Tally {
    fn measured(&mut self, what: &str, result: Result<()>) {
        match result {
            Ok(()) => self.passed += 1,
            Err(error) => match error.downcast_ref::<qemu::Missing>() {
                Some(missing) => self.skip(&format!("{what}: {missing}")),
                None => self.fail(&format!("{what}: {error:#}")),
            },
        }
    }

    fn fail(&mut self, what: &str) {
        eprintln!("FAILED {what}");
        self.failed += 1;
        self.failures.push(what.to_owned());
    }

    fn skip(&mut self, what: &str) {
        eprintln!("SKIPPED {what}");
        self.skipped.push(what.to_owned());
    }

    /// Runs one `cargo test` and counts its closing lines. One that ends badly without a failed test did not compile.
    fn suite(&mut self, name: &str, command: &mut Command) {
        let before = self.failed;
        match self.follow(command) {
            Ok(true) => {}
            Ok(false) if self.failed > before => {}
            Ok(false) => self.fail(&format!("{name}: {} did not run through", process::line_of(command))),
            Err(error) => self.fail(&format!("{name}: {error:#}")),
        }
    }

    /// Shows and counts what a command prints; answers whether it ended well.
    fn follow(&mut self, command: &mut Command) -> Result<bool> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot run {}", process::line_of(command)))?;
        let (sender, lines) = mpsc::channel();
        let output = child.stdout.take().context("no standard output")?;
        let errors = child.stderr.take().context("no standard error")?;
        forward(output, sender.clone());
        forward(errors, sender);
        for line in lines {
            let _ = writeln!(std::io::stderr(), "{line}");
            self.count(&line);
        }
        Ok(child.wait().context("cannot wait for the tests")?.success())
    }

    fn count(&mut self, line: &str) {
        if let Some(skipped) = line.strip_prefix(qemu::skip::PREFIX) {
            self.skipped.push(skipped.to_owned());
            self.skipped_in_harness += 1;
        } else if let Some(summary) = line.strip_prefix("test result: ") {
            self.passed += number_before(summary, " passed");
            self.failed += number_before(summary, " failed");
        } else if line.starts_with("test ") && line.ends_with(" ... FAILED") {
            self.failures.push(line.trim_start_matches("test ").trim_end_matches(" ... FAILED").to_owned());
        }
    }

    fn passed(&self) -> u64 {
        self.passed.saturating_sub(self.skipped_in_harness)
    }

    fn report(&self) -> Result<()> {
        println!();
        for skipped in &self.skipped {
            println!("skipped: {skipped}");
        }
        for failure in &self.failures {
            println!("failed: {failure}");
        }
        println!("{} passed, {} failed, {} skipped", self.passed(), self.failed, self.skipped.len());
        if self.failed > 0 {
            bail!("{} tests failed", self.failed);
        }
        Ok(())
    }
}

fn forward(from: impl std::io::Read + Send + 'static, to: mpsc::Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
            if to.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
        }
    });
}

/// The number in front of `word` in cargo's `ok. 5 passed; 0 failed; …`.
fn number_before(summary: &str, word: &str) -> u64 {
    let digits = summary.find(word).and_then(|end| summary[..end].rsplit(' ').next());
    digits.and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_counted() {
        let mut tally = Tally::default();
        tally.count("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s");
        tally.count("test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out");
        tally.count("test some::test ... FAILED");
        assert_eq!((tally.passed, tally.failed), (15, 2));
        assert_eq!(tally.failures, ["some::test"]);
    }

    #[test]
    fn a_skipped_test_is_not_a_passed_one() {
        let mut tally = Tally::default();
        tally.count("SKIPPED guest::boots: no QEMU");
        tally.count("test result: ok. 1 passed; 0 failed; 0 ignored");
        tally.skip("another");
        assert_eq!((tally.passed(), tally.skipped.len()), (0, 2));
    }
}
