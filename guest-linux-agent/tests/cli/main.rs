//! The real `emit`, as a person or a script runs it, against real nodes on the host substrate and against false ones.
//!
//! Nodes are processes of their own in directories of their own; everything that is waited for has a limit, and everything
//! that is started ends with the test that started it.

mod audit;
mod building;
mod channels;
mod checking;
mod documents;
mod emit;
mod fake;
mod finding;
mod hostile;
mod i2c;
mod interface;
mod json;
mod keys;
mod life;
mod node;
mod on_host;
mod packing;
mod refusals;
mod rights;
mod running;
mod samples;
mod schedule;
mod sessions;
mod signing;
mod terminal;
mod top;
mod trust;
mod update;
mod verbs;

use std::{
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// How long something may take that takes milliseconds on an idle machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Every verb, as `emit --help` lists them.
pub(crate) const VERBS: [&str; 22] = [
    "deploy",
    "run",
    "ps",
    "logs",
    "start",
    "stop",
    "restart",
    "kill",
    "rm",
    "inspect",
    "new",
    "build",
    "check",
    "pack",
    "keys",
    "sign",
    "verify",
    "audit",
    "info",
    "top",
    "completions",
    "man",
];

/// The project's folder.
pub(crate) fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A committed sample's path.
pub(crate) fn sample(name: &str) -> String {
    let path = project().join("examples/prebuilt").join(name).with_extension("wasm");
    path.to_str().expect("a path in UTF-8").to_owned()
}

/// Waits until `condition` holds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
