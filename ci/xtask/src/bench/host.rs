//! Figures of a node on this machine: not seL4, and no claim about real time.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::{Measurement, Probe};
use crate::{host, process};

/// Deployments of each size; the smallest time is the one that nothing else delayed.
const DEPLOYMENTS: usize = 5;

/// A module of real size, and what a large Rust program has before its debug information is taken away.
const MODULE_BYTES: [usize; 2] = [60_000, 1_400_000];

pub(super) fn measure() -> Result<Vec<Measurement>> {
    let programs = host::build_release()?;
    let node = host::Node::start(&programs)?;
    let emit = Emit { program: programs.join("emit"), run_directory: node.run_directory().to_path_buf() };
    let mut found = host_calls(&emit)?;
    for bytes in MODULE_BYTES {
        found.push(deployment(&emit, bytes)?);
    }
    found.push(idle_memory(&emit)?);
    node.stop()?;
    Ok(found)
}

/// `emit` against one node.
struct Emit {
    program: std::path::PathBuf,
    run_directory: std::path::PathBuf,
}

impl Emit {
    fn run(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.program);
        command.args(arguments).env("ATOLL_RUN_DIRECTORY", &self.run_directory).env_remove("ATOLL_NODE");
        let output = command.output().context("cannot run emit")?;
        if !output.status.success() {
            bail!("{}: {}", process::line_of(&command), String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn inspect(&self, name: &str) -> Result<Value> {
        serde_json::from_str(&self.run(&["inspect", name, "--format", "json"])?).context("emit printed no JSON")
    }
}

fn number(report: &Value, field: &str) -> Result<f64> {
    report[field].as_f64().with_context(|| format!("the report has no {field}"))
}

fn host_calls(emit: &Emit) -> Result<Vec<Measurement>> {
    let probe = process::root().join("examples/prebuilt/probe.wasm");
    emit.run(&["deploy", &probe.display().to_string(), "--grant", "gpio:LED:out@1000000/s"])?;
    let log = emit.run(&["logs", "-f", "probe"])?;
    emit.run(&["rm", "probe"])?;
    let probe = Probe::find(&log).with_context(|| format!("the probe logged no figures: {log}"))?;
    let (in_cell, across) = probe.costs_ns();
    Ok(vec![Measurement::new(
        "host call across domains (host substrate)",
        "ns",
        across,
        "host call in the cell",
        in_cell,
    )])
}

/// From the first byte's arrival to the first instruction, beside the part of it that the engine takes.
fn deployment(emit: &Emit, bytes: usize) -> Result<Measurement> {
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let path = folder.path().join("large.wasm");
    fs::write(&path, module(bytes)?).context("cannot write the module")?;
    let mut best = (f64::INFINITY, 0.0);
    for _ in 0..DEPLOYMENTS {
        let times = deploy_once(emit, &path)?;
        best = if times.0 < best.0 { times } else { best };
    }
    let name = format!("deploy to first instruction, {} KB (host substrate)", bytes / 1000);
    Ok(Measurement::new(name, "ms", best.0, "of which loading", best.1))
}

fn deploy_once(emit: &Emit, path: &Path) -> Result<(f64, f64)> {
    emit.run(&["deploy", &path.display().to_string(), "--name", "large"])?;
    let report = emit.inspect("large")?;
    let _ = emit.run(&["kill", "large"]);
    emit.run(&["rm", "large"])?;
    let started = number(&report, "started_ns")?;
    let since = |field| Ok::<_, anyhow::Error>((started - number(&report, field)?) / 1e6);
    Ok((since("deployed_ns")?, since("load_began_ns")?))
}

/// A valid command of about `bytes`: three quarters functions of straight-line arithmetic, one quarter data, about as
/// compilers divide it.
pub(super) fn module(bytes: usize) -> Result<Vec<u8>> {
    // Each pair of lines is 6 bytes of code; 500 pairs make one function, as large as a real large one.
    const PAIRS: usize = 500;
    let body = "local.get 0 i32.const 7 i32.mul local.set 0 ".repeat(PAIRS);
    let function = format!("(func (param i32) (result i32) {body} local.get 0)");
    let size = |functions: usize| {
        let text = format!("(module {})", function.repeat(functions));
        wat::parse_str(text).map(|module| module.len()).context("the generated function is not valid text")
    };
    // What one more function adds: its body and its entry, without the module around them.
    let one = size(2)? - size(1)?;
    let data_bytes = bytes / 4;
    let functions = function.repeat((bytes - data_bytes) / one + 1);
    let pages = data_bytes / 65_536 + 1;
    let data = "x".repeat(data_bytes);
    let memory = format!(r#"(memory (export "memory") {pages}) (data (i32.const 0) "{data}")"#);
    let text = format!(r#"(module {functions} {memory} (func (export "_start")))"#);
    let module = wat::parse_str(text).context("the generated module is not valid text")?;
    ensure!(module.len() >= bytes, "the generated module is too small");
    Ok(module)
}

/// What a cell holds while its container waits, beside the module that was sent.
fn idle_memory(emit: &Emit) -> Result<Measurement> {
    let blinker = process::root().join("examples/prebuilt/blinker.wasm");
    emit.run(&["deploy", &blinker.display().to_string(), "--grant", "gpio:LED:out", "--grant", "timer:10ms"])?;
    let report = emit.inspect("blinker")?;
    emit.run(&["stop", "blinker"])?;
    emit.run(&["rm", "blinker"])?;
    let kilobytes = |field| Ok::<_, anyhow::Error>(number(&report, field)? / 1e3);
    let linear = kilobytes("linear_memory_bytes")?;
    let heap = kilobytes("heap_bytes")?;
    Ok(Measurement::new("heap of a cell whose blinker waits (host substrate)", "KB", heap, "its linear memory", linear))
}
