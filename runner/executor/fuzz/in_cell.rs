//! What a cell makes of a module.

use runner_executor::{
    Options,
    fake::{FakeLine, FakeNode, Remains, detail, reason},
};
use runner_interfaces::cell::{CellConfiguration, Command, ContainerState, FailureReason};

/// What the container gets for its name, arguments and environment.
pub(crate) const NAME: &str = "random";
/// See [`NAME`].
pub(crate) const ARGUMENTS: [&str; 2] = ["one", "zwei"];
/// See [`NAME`].
pub(crate) const ENVIRONMENT: (&str, &str) = ("REEF", "coral");

/// Calls of the loop hook after which it is stopped.
pub(crate) const LOOPS: u64 = 3;

/// The seed of `random_get` is this, exclusive-or the load's number, which is 1.
pub(crate) const SEED: u64 = 42;

/// Linear memory that it may have: less than it may ask for.
pub(crate) const MEMORY_BYTES: u32 = 5 * 65536;

/// Table elements that all its tables may have.
pub(crate) const TABLE_ELEMENTS: u32 = 600;

/// When one that waits is told to stop, on the node's clock.
const STOP_AFTER_NS: u64 = 1_000_000_000;

/// How a module came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Where it failed: why, and the cell's sentence.
    pub(crate) failure: Option<(FailureReason, String)>,
    /// Its exit code, where it did not.
    pub(crate) exit_code: i32,
    /// How often it called the host.
    pub(crate) host_calls: u64,
    /// What it left, where it was instantiated.
    pub(crate) remains: Option<Remains>,
}

/// Runs it to its end in slices of `slice_fuel`, and a well-behaved module after it.
pub(crate) fn run(wasm: &[u8], slice_fuel: u64) -> Outcome {
    let mut node = FakeNode::new(Options { slice_fuel, ..Options::default() });
    {
        let mut state = node.state();
        // Slices take no time, or hooks would be over at another place in each slicing.
        (state.clock_step_ns, state.records_calls, state.minimum_period_ns) = (0, false, 1_000_000);
        state.lines.insert(3, FakeLine { may_drive: true, ..FakeLine::default() });
        state.lines.insert(4, FakeLine { may_read: true, ..FakeLine::default() });
    }
    (node.control.start_limit_us, node.control.stop_limit_us) = (u32::MAX, u32::MAX);
    (node.control.memory_limit_bytes, node.control.table_limit_elements) = (MEMORY_BYTES, TABLE_ELEMENTS);
    node.control.loops_limit = LOOPS;
    let configuration = CellConfiguration {
        name: NAME.into(),
        arguments: ARGUMENTS.map(String::from).into(),
        environment: vec![(ENVIRONMENT.0.into(), ENVIRONMENT.1.into())],
        lines: vec![("LED".into(), 3), ("BUTTON".into(), 4)],
        seed: SEED,
        ..CellConfiguration::default()
    };
    node.load(wasm, &configuration, Command::Run);
    node.command_in(STOP_AFTER_NS, Command::Stop);
    let status = node.run_to_end();
    let state = ContainerState::from_wire(status.state).expect("the cell writes states");
    assert!(state.is_final(), "it came to no end: {status:?}");
    let failure = (state == ContainerState::Failed).then(|| (reason(&status), detail(&status)));
    let remains = node.cell.remains().cloned();
    while node.step() {}
    assert_reusable(&mut node, &configuration);
    Outcome { failure, exit_code: status.exit_code, host_calls: status.host_calls, remains }
}

/// `(module (func (export "_start")))`
const NOTHING: &[u8] =
    b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x0a\x01\x06_start\0\0\x0a\x04\x01\x02\0\x0b";

fn assert_reusable(node: &mut FakeNode, configuration: &CellConfiguration) {
    let status = node.run(NOTHING, configuration);
    assert_eq!((status.state, status.exit_code), (ContainerState::Finalised.to_wire(), 0), "{}", detail(&status));
    let state = node.state();
    assert!(state.timers.iter().all(Option::is_none), "{:?}", state.timers);
    assert!(state.lines.values().all(|line| !line.is_output && !line.is_input), "{:?}", state.lines);
}
