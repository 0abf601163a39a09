//! What the tests of a cell share: a node, samples, short ways to say what is expected.

use std::path::PathBuf;

use runner_executor::{
    Options,
    fake::{FakeLine, FakeNode, detail, reason},
};
use runner_interfaces::cell::{CellConfiguration, CellStatus, ContainerState, FailureReason, NodeIdentity};

/// The board's label and line of an output that is granted, and of the others.
pub(crate) const LED: (&str, u8) = ("LED", 3);
pub(crate) const BUTTON: (&str, u8) = ("BUTTON", 4);
pub(crate) const VALVE: (&str, u8) = ("VALVE", 5);

/// A node whose cell may drive `LED`, read `BUTTON`, and use periods from 1 ms.
pub(crate) fn node() -> FakeNode {
    node_with(Options::default())
}

pub(crate) fn node_with(options: Options) -> FakeNode {
    furnished(FakeNode::new(options))
}

/// A node with the lines that the tests use.
pub(crate) fn furnished(node: FakeNode) -> FakeNode {
    {
        let mut state = node.state();
        state.lines.insert(LED.1, FakeLine { may_drive: true, ..FakeLine::default() });
        state.lines.insert(BUTTON.1, FakeLine { may_read: true, ..FakeLine::default() });
        state.lines.insert(VALVE.1, FakeLine::default());
        state.minimum_period_ns = 1_000_000;
    }
    node
}

/// A configuration with the board's labels and these arguments.
pub(crate) fn configuration(arguments: &[&str]) -> CellConfiguration {
    CellConfiguration {
        name: "test".into(),
        version: "2.1.0".into(),
        node: NodeIdentity { board: "paper".into(), version: "0.1.0".into(), substrate: "a test".into() },
        arguments: arguments.iter().map(ToString::to_string).collect(),
        environment: vec![("GREETING".into(), "moin".into())],
        lines: [LED, BUTTON, VALVE].map(|(label, line)| (label.into(), line)).into(),
        seed: 7,
        ..CellConfiguration::default()
    }
}

pub(crate) fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("the test's module is right")
}

/// A prebuilt sample; `None` (and a word about it) in a checkout without.
pub(crate) fn sample(name: &str) -> Option<Vec<u8>> {
    let path = examples().join("prebuilt").join(name);
    let found = std::fs::read(&path).ok();
    if found.is_none() {
        eprintln!("skipped: {} is not there", path.display());
    }
    found
}

pub(crate) fn examples() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

pub(crate) fn state(status: &CellStatus) -> ContainerState {
    ContainerState::from_wire(status.state).expect("the cell writes states")
}

/// Holds the status to a failure with a word in its detail.
#[track_caller]
pub(crate) fn assert_failed(status: &CellStatus, expected: FailureReason, word: &str) {
    let text = detail(status);
    assert_eq!((state(status), reason(status)), (ContainerState::Failed, expected), "{text}");
    assert!(text.contains(word), "`{text}` does not name `{word}`");
}

#[track_caller]
pub(crate) fn assert_finalised(status: &CellStatus, exit_code: i32) {
    assert_eq!(state(status), ContainerState::Finalised, "{:?}: {}", reason(status), detail(status));
    assert_eq!(status.exit_code, exit_code);
    assert!(status.ended_ns >= status.started_ns && status.started_ns >= status.load_began_ns);
}

/// A module of the reactor world with these hook bodies.
pub(crate) fn reactor(declarations: &str, on_start: &str, on_loop: &str, on_stop: &str) -> Vec<u8> {
    wat(&format!(
        r#"(module {declarations}
            (func (export "on-start") (result i32) {on_start})
            (func (export "on-loop") (result i32) {on_loop})
            (func (export "on-stop") {on_stop}))"#
    ))
}
