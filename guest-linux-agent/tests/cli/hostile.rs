//! The hostile modules of the examples through `emit`: each is answered, and nobody else notices.

use std::{fs, path::PathBuf, thread, time::Duration};

use tempfile::TempDir;

use crate::{
    node::{Blinker, TestNode, number},
    project,
};

/// Assembled hostile modules.
pub(crate) struct Hostile {
    directory: TempDir,
}

impl Hostile {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a temporary directory") }
    }

    /// The path of one of `examples/hostile`, assembled.
    pub(crate) fn module(&self, name: &str) -> String {
        let source = project().join("examples/hostile").join(name).with_extension("wat");
        let text = fs::read_to_string(&source).unwrap_or_else(|error| panic!("{}: {error}", source.display()));
        self.file(&format!("{name}.wasm"), &wat::parse_str(text).expect("it assembles"))
    }

    /// The path of a file with these bytes.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path: PathBuf = self.directory.path().join(name);
        fs::write(&path, bytes).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    }
}

/// What cannot be loaded or started is refused, counted, and gone.
#[test]
fn what_fails_before_it_runs_is_refused() {
    let node = TestNode::start();
    let hostile = Hostile::new();
    let blinker = Blinker::deploy(&node);
    for (name, counter, kind, words) in [
        ("invalid-code", "loads_failed", "invalid-module", &["the module is invalid"][..]),
        ("unknown-import", "modules_refused", "unknown-import", &["atoll:node/teleport@0.1.0", "beam"]),
        ("unknown-version", "modules_refused", "unknown-import", &["atoll:node/clock@9.0.0"]),
        ("wrong-signature", "loads_failed", "unknown-import", &["[method]output.set"]),
        ("imported-memory", "modules_refused", "unknown-import", &["env", "memory"]),
        ("no-entry-points", "modules_refused", "unknown-world", &["_start", "on-start"]),
        ("missing-hook", "modules_refused", "unknown-world", &["on-start", "on-loop", "on-stop"]),
        ("too-much-initial-memory", "modules_refused", "resource-limit", &["memory", "4194304", "emit info"]),
        ("too-large-table", "modules_refused", "resource-limit", &["table", "10000"]),
        ("start-function-loop", "loads_failed", "load-failed", &["loading took too long"]),
        ("loop-in-start", "loads_failed", "load-failed", &["starting took too long"]),
        ("trap-in-start-function", "loads_failed", "load-failed", &["trap"]),
        ("trap-in-start", "loads_failed", "load-failed", &["trap"]),
        ("refuse-to-start", "loads_failed", "load-failed", &["the start hook refused"]),
        ("timer-too-fast", "loads_failed", "load-failed", &["the start hook refused", "not granted", "--grant"]),
    ] {
        let module = hostile.module(name);
        let before = node.counter(counter);
        let output = node.emit(&["deploy", &module]);
        output.fails(7, words);
        assert!(output.stderr.contains(&format!("{name}.wasm: ")), "it says which file: {output:?}");
        assert_eq!(node.counter(counter), before + 1, "{name} is counted");
        assert_eq!(node.names(), ["blinker"], "nothing of {name} is left");
        let output = node.emit(&["run", "--format", "json", &module]);
        assert_eq!((output.code, &output.json()["kind"]), (Some(126), &kind.into()), "{output:?}");
    }
    assert_eq!(node.cells_free(), 7);
    blinker.lost_nothing();
}

/// What fails while it runs says why, and is there to be looked at.
#[test]
fn what_fails_while_it_runs_says_why() {
    let node = TestNode::start();
    let hostile = Hostile::new();
    let blinker = Blinker::deploy(&node);
    for name in ["trap-in-loop", "divide-by-zero", "out-of-bounds", "deep-recursion", "null-call"] {
        let module = hostile.module(name);
        let before = node.counter("containers_failed");
        node.emit(&["run", &module]).fails(134, &["the container failed: trap"]);
        assert_eq!(node.counter("containers_failed"), before + 1, "{name} is counted");
    }
    let module = hostile.module("trap-in-loop");
    // Deployed, it may have failed by the time of the answer or not.
    let output = node.emit(&["deploy", &module]);
    output.succeeds();
    node.wait_for("trap-in-loop", &["failed"]);
    let listed = node.emit(&["ps"]).succeeds();
    assert!(listed.contains("failed: trap"), "{listed}");
    let said = node.emit(&["logs", "trap-in-loop"]).succeeds();
    assert!(said.contains("cell") && said.contains("on-loop: unreachable"), "the cell says it in the log: {said}");
    node.emit(&["rm", "trap-in-loop"]).succeeds();

    for (name, words) in [("trap-in-stop", "trap"), ("loop-in-stop", "stopping took too long")] {
        let before = node.counter("containers_failed");
        node.emit(&["deploy", &hostile.module(name)]).succeeds();
        let text = node.emit(&["stop", name]).succeeds();
        assert!(text.starts_with(&format!("{name}: failed: ")) && text.contains(words), "{text}");
        assert_eq!(node.counter("containers_failed"), before + 1, "{name} is counted");
        node.emit(&["rm", name]).succeeds();
    }
    assert_eq!(node.cells_free(), 7);
    blinker.lost_nothing();
}

/// What never comes back is stopped in bounded time, several at once, and stays within its limits until then.
#[test]
fn what_never_comes_back_is_stopped() {
    let node = TestNode::start();
    let hostile = Hostile::new();
    let blinker = Blinker::deploy(&node);
    for names in
        [["grow-in-a-loop", "host-call-flood", "log-flood"], ["wasi-loop", "table-grow-in-a-loop", "wasi-write-flood"]]
    {
        for name in names {
            node.emit(&["deploy", &hostile.module(name)]).succeeds();
        }
        thread::sleep(Duration::from_millis(100));
        for name in names {
            let report = node.ask(&["inspect", name]);
            assert!(number(&report, "linear_memory_bytes") <= 4 << 20, "{report}");
            assert!(["running", "ready"].iter().any(|state| report["state"] == *state), "{report}");
            node.emit(&["stop", name]).succeeds();
            node.emit(&["rm", name]).succeeds();
        }
    }
    assert_eq!(node.cells_free(), 7);
    blinker.lost_nothing();
}
