//! Nodes of their own, met as `emit` meets them: over the socket, in frames.
//!
//! Every test starts the real program with the project's own `system.xml` and stops it again; every wait has a limit.

mod capabilities;
mod client;
mod deploying;
mod faults;
mod hostile;
mod million;
mod node;
mod sessions;
mod taken_over;

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use pd_host::node::{Node, Options};
use pd_host::pins::Pins;
use tempfile::TempDir;

/// How long something may take that takes milliseconds on an idle machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A node in a directory of its own, which goes with it.
pub(crate) struct TestNode {
    /// Stopped before its directory is removed: fields are dropped in their order.
    pub(crate) node: Node,
    _directory: TempDir,
}

impl TestNode {
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// A node with something changed about it.
    pub(crate) fn start_with(change: impl FnOnce(&mut Options)) -> Self {
        let directory = tempfile::Builder::new().prefix("atoll-test-").tempdir().expect("a temporary directory");
        let mut options = Options::new(env!("CARGO_BIN_EXE_atoll-host"), directory.path());
        change(&mut options);
        let node = Node::start(&options).unwrap_or_else(|error| panic!("{error:#}"));
        Self { node, _directory: directory }
    }
}

impl std::ops::Deref for TestNode {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

/// The project's folder.
pub(crate) fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A file in `directory` with the demo board's policy, in which `new` stands for `old`.
pub(crate) fn demo_policy_with(directory: &Path, old: &str, new: &str) -> PathBuf {
    let demo = std::fs::read_to_string(project().join("qemu/demo-policy.toml")).expect("the demo board's");
    assert!(demo.contains(old), "the demo board's policy has no `{old}` any more");
    let file = directory.join("policy.toml");
    std::fs::write(&file, demo.replace(old, new)).expect("written");
    file
}

/// A committed sample.
pub(crate) fn sample(name: &str) -> Vec<u8> {
    let file = project().join("examples/prebuilt").join(name).with_extension("wasm");
    std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Waits until `condition` holds.
pub(crate) fn eventually(what: &str, condition: impl FnMut() -> bool) {
    eventually_within(LIMIT, what, condition);
}

/// Waits until `condition` holds, for `limit` at the most.
pub(crate) fn eventually_within(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A blinker in the first cell, watched while something else goes wrong.
pub(crate) struct Blinking<'a> {
    node: &'a Node,
    pins: Pins,
    began: Instant,
    toggles_before: u64,
    waited_before_ns: u64,
}

impl<'a> Blinking<'a> {
    /// Waits until it blinks.
    pub(crate) fn watch(node: &'a Node) -> Self {
        let mut pins = node.gpio().expect("pins");
        eventually("it blinks", || pins.transitions(Self::LAMP).expect("read") > 0);
        let toggles_before = pins.transitions(Self::LAMP).expect("read");
        Self { node, pins, began: Instant::now(), toggles_before, waited_before_ns: Self::waited_ns(node) }
    }

    const LAMP: &'static str = "LED";
    /// `examples/blinker`.
    const PERIOD_NS: u64 = 100_000_000;

    /// Of the domains that a blink comes through.
    fn waited_ns(node: &Node) -> u64 {
        node.waited_ns(&["tick", "timer", "gpio", "cell0"]).expect("they run")
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// That it went on all the time, a toggle a period. Linux promises no deadline: where it had no processor for one of the
    /// domains, expiries fall together, which costs toggles; so does a look that falls beside one.
    #[track_caller]
    pub(crate) fn went_on(&mut self) {
        let elapsed_ns = u64::try_from(self.elapsed().as_nanos()).expect("not so long");
        let toggles = self.pins.transitions(Self::LAMP).expect("read") - self.toggles_before;
        let waited_ns = Self::waited_ns(self.node).saturating_sub(self.waited_before_ns);
        let due = elapsed_ns / Self::PERIOD_NS;
        let least = due.saturating_sub(due / 5 + 1 + waited_ns / Self::PERIOD_NS).max(1);
        let told = format!("{toggles} toggles in {elapsed_ns} ns, {waited_ns} ns of them without a processor");
        // The first and the last may fall on either side of the look.
        assert!(toggles <= due + 1, "{told}: more than were armed");
        assert!(toggles >= least, "{told}: {least} at the least were due");
    }
}
