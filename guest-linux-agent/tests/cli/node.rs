//! A real node of a test's own, and a blinker on it that must not notice what the test does.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Once,
    thread,
    time::{Duration, Instant},
};

use pd_host::node::{Node, Options};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    LIMIT,
    emit::{self, Output, Running},
    project, sample,
};

/// The blinker's period (`examples/blinker`).
const BLINK_NS: u64 = 100_000_000;

/// A node in a directory of its own, which goes with it.
pub(crate) struct TestNode {
    /// Stopped before its directory is removed: fields are dropped in their order.
    node: Node,
    _directory: TempDir,
}

impl TestNode {
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// A node with something changed about it.
    pub(crate) fn start_with(change: impl FnOnce(&mut Options)) -> Self {
        let directory = tempfile::Builder::new().prefix("atoll-emit-").tempdir().expect("a temporary directory");
        let mut options = Options::new(launcher(), directory.path());
        change(&mut options);
        let node = Node::start(&options).unwrap_or_else(|error| panic!("{error:#}"));
        Self { node, _directory: directory }
    }

    /// How long Linux has let the domains that a blink comes through wait for a processor so far.
    fn waited_ns(&self) -> u64 {
        self.node.waited_ns(&["tick", "timer", "gpio", "cell0"]).expect("they run")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.node.socket()
    }

    pub(crate) fn run_directory(&self) -> &Path {
        self.node.run_directory()
    }

    /// Kills a domain's process, as a fault would.
    pub(crate) fn kill_domain(&self, domain: &str) {
        self.node.kill_domain(domain).expect("it runs");
    }

    /// Runs `emit`.
    pub(crate) fn emit(&self, arguments: &[&str]) -> Output {
        emit::emit(&self.socket(), arguments)
    }

    /// Starts `emit`.
    pub(crate) fn start_emit(&self, arguments: &[&str]) -> Running {
        emit::start(&self.socket(), arguments)
    }

    /// Runs `emit --format json`, which must succeed.
    #[track_caller]
    pub(crate) fn ask(&self, arguments: &[&str]) -> Value {
        let output = self.emit(&[&["--format", "json"], arguments].concat());
        output.succeeds();
        output.json()
    }

    /// A counter of `emit info`; it must be there.
    #[track_caller]
    pub(crate) fn counter(&self, name: &str) -> u64 {
        let info = self.ask(&["info"]);
        info["counters"][name].as_u64().unwrap_or_else(|| panic!("no counter `{name}` in {info}"))
    }

    pub(crate) fn cells_free(&self) -> u64 {
        number(&self.ask(&["info"]), "cells_free")
    }

    /// The names in `emit ps`.
    pub(crate) fn names(&self) -> Vec<String> {
        let containers = self.ask(&["ps"]);
        let containers = containers.as_array().expect("a list");
        containers.iter().map(|container| container["name"].as_str().expect("a name").to_owned()).collect()
    }

    /// Waits until the container's state is one of `states`.
    #[track_caller]
    pub(crate) fn wait_for(&self, name: &str, states: &[&str]) -> Value {
        let deadline = Instant::now() + LIMIT;
        loop {
            let container = self.ask(&["inspect", name]);
            if states.iter().any(|state| container["state"] == *state) {
                return container;
            }
            assert!(Instant::now() < deadline, "not {states:?}: {container}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Drives an input.
    pub(crate) fn drive(&self, line: &str, high: bool) {
        self.node.gpio().and_then(|mut pins| pins.set(line, high)).expect("driven");
    }

    /// Drives an input or pulses it.
    pub(crate) fn pulse(&self, line: &str) {
        self.node.gpio().and_then(|mut pins| pins.pulse(line)).expect("pulsed");
    }
}

/// A field that is a number.
#[track_caller]
pub(crate) fn number(value: &Value, field: &str) -> u64 {
    value[field].as_u64().unwrap_or_else(|| panic!("`{field}` is no number in {value}"))
}

/// The launcher, beside `emit`. `cargo test --workspace` has built it; a test of this package alone has not.
pub(crate) fn launcher() -> PathBuf {
    static BUILT: Once = Once::new();
    let folder = Path::new(env!("CARGO_BIN_EXE_emit")).parent().expect("programs lie in a folder");
    let launcher = folder.join("atoll-host");
    BUILT.call_once(|| {
        if !launcher.exists() {
            build(folder);
        }
    });
    assert!(launcher.exists(), "{} is missing; build it with `cargo build -p pd-host`", launcher.display());
    launcher
}

fn build(folder: &Path) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
    let mut command = Command::new(cargo);
    command.args(["build", "--package", "pd-host", "--bin", "atoll-host"]).current_dir(project());
    if folder.ends_with("release") {
        command.arg("--release");
    }
    assert!(command.status().expect("cargo runs").success(), "pd-host builds");
}

/// A blinker that runs while something else goes wrong. The first container of its node, so in its first cell.
pub(crate) struct Blinker<'a> {
    node: &'a TestNode,
    started_ns: u64,
    transitions_before: u64,
    waited_before_ns: u64,
}

impl<'a> Blinker<'a> {
    pub(crate) fn deploy(node: &'a TestNode) -> Self {
        let (transitions_before, _) = seen(node);
        let waited_before_ns = node.waited_ns();
        node.emit(&["deploy", &sample("blinker"), "--grant", "gpio:LED:out"]).succeeds();
        let report = node.ask(&["inspect", "blinker"]);
        assert_eq!(number(&report, "cell"), 0);
        Self { node, started_ns: number(&report, "started_ns"), transitions_before, waited_before_ns }
    }

    /// The domain that owns the line has counted as many toggles as periods have passed since the start, not one less but
    /// for those in which Linux, by its own account, had no processor for the domains: this is not seL4. The look must fall
    /// well between two toggles, and may come while one is a little late: both are looked at again.
    #[track_caller]
    pub(crate) fn lost_nothing(&self) {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let (transitions, now_ns) = seen(self.node);
            let (counted, since_ns) = (transitions - self.transitions_before, now_ns - self.started_ns);
            let due = since_ns / BLINK_NS;
            let excused = self.node.waited_ns().saturating_sub(self.waited_before_ns) / BLINK_NS;
            if since_ns % BLINK_NS > BLINK_NS / 4 && (due.saturating_sub(excused)..=due).contains(&counted) {
                break;
            }
            assert!(Instant::now() < deadline, "{due} toggles were due, {counted} counted, {excused} excused");
            thread::sleep(Duration::from_millis(7));
        }
        let report = self.node.ask(&["inspect", "blinker"]);
        assert!(["ready", "running"].iter().any(|state| report["state"] == *state), "{report}");
    }
}

/// How often the LED's line changed, and the node's time of that.
fn seen(node: &TestNode) -> (u64, u64) {
    let info = node.ask(&["info"]);
    let lines = info["lines"].as_array().expect("lines");
    let led = lines.iter().find(|line| line["label"] == "LED").expect("the board has a LED");
    (number(led, "transitions"), number(&info, "uptime_ns"))
}
