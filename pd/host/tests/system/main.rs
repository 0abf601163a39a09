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
use tempfile::TempDir;

/// How long something may take that takes milliseconds on an idle machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

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

/// Whether the blinker toggled every 100 ms. Linux promises no deadline: on a machine that is busy with something else two
/// expiries may fall together, which costs one toggle. That it went on all the time is what can be held here.
pub(crate) fn assert_blinked_on(toggles: u64, elapsed_ms: u64) {
    let expected = elapsed_ms / 100;
    // The first and the last may fall on either side of the look.
    assert!(toggles <= expected + 1, "{toggles} toggles in {elapsed_ms} ms: more than were armed");
    assert!(toggles + 1 >= expected - expected / 5, "{toggles} toggles in {elapsed_ms} ms");
}
