//! What a host call costs in a cell: nanoseconds a call, by the difference to the same loop without it.
//!
//! `cargo run --release -p runner-executor --example host_call_cost` prints one JSON object a line; `cargo xtask bench` makes
//! the table. Drivers are fakes in the same process, so that what is measured is the
//! cell's own share: leaving the interpreter, checking, and coming back. Each figure is the least of several rounds.

use std::time::Instant;

use runner_executor::{
    Options,
    fake::{FakeLine, FakeNode},
};
use runner_interfaces::cell::{CellConfiguration, Command, ContainerState};

/// Calls of one round: some tens of milliseconds.
const CALLS: u32 = 500_000;

/// Rounds of which the least counts: what disturbs a round makes it longer.
const ROUNDS: u32 = 5;

const IMPORTS: &str = r#"
    (import "atoll:node/clock@0.1.0" "now" (func $now (result i64)))
    (import "atoll:node/timer@0.1.0" "wait" (func $wait (param i32) (result i32)))
    (import "atoll:node/gpio@0.1.0" "open-output" (func $open (param i32 i32 i32)))
    (import "atoll:node/gpio@0.1.0" "[method]output.set" (func $set (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "clock_time_get" (func $time (param i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_fdstat_get" (func $stat (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
    (memory (export "memory") 1) (data (i32.const 0) "LED")"#;

/// A loop's body, and what it measures.
const CASES: &[(&str, &str)] = &[
    ("clock.now", "(drop (call $now))"),
    ("clock_time_get", "(drop (call $time (i32.const 1) (i64.const 0) (i32.const 64)))"),
    ("fd_fdstat_get", "(drop (call $stat (i32.const 1) (i32.const 64)))"),
    ("output.set (driver in the same process)", "(drop (call $set (i32.load (i32.const 20)) (i32.const 1)))"),
    ("sched_yield (suspend and resume)", "(drop (call $yield))"),
];

fn module(body: &str) -> Vec<u8> {
    let text = format!(
        r#"(module {IMPORTS}
            (func (export "on-start") (result i32)
                (call $open (i32.const 0) (i32.const 3) (i32.const 16)) (i32.load8_u (i32.const 16)))
            (func (export "on-loop") (result i32) (local $left i32)
                (local.set $left (i32.const {CALLS}))
                (loop $more {body} (br_if $more (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
                (i32.const 1))
            (func (export "on-stop")))"#
    );
    wat::parse_str(text).expect("the modules above are right")
}

/// Nanoseconds of one round of a module's `on-loop`, and little besides.
fn round(wasm: &[u8]) -> f64 {
    let mut node = FakeNode::with_room_for(64 * 1024, Options::default());
    node.state().lines.insert(3, FakeLine { may_drive: true, ..FakeLine::default() });
    node.state().clock_step_ns = 1;
    node.state().records_calls = false;
    node.control.start_limit_us = u32::MAX;
    let configuration = CellConfiguration { lines: vec![("LED".into(), 3)], ..CellConfiguration::default() };
    node.load(wasm, &configuration, Command::Load);
    node.step();
    node.command(Command::Run);
    let before = Instant::now();
    node.step();
    let took = before.elapsed();
    assert_eq!(node.state_now(), ContainerState::Finalised, "{}", runner_executor::fake::detail(&node.status()));
    took.as_secs_f64() * 1e9
}

fn least(wasm: &[u8]) -> f64 {
    (0..ROUNDS).map(|_| round(wasm)).fold(f64::INFINITY, f64::min)
}

fn main() {
    let baseline = least(&module("(drop (i32.load (i32.const 20)))"));
    let per_call = |nanoseconds: f64| nanoseconds / f64::from(CALLS);
    let round = per_call(baseline);
    for (name, body) in CASES {
        let cost = per_call(least(&module(body)) - baseline);
        let ratio = cost / round;
        println!(
            r#"{{"name":"host call in the cell, `{name}`","unit":"ns","value":{cost:.2},"baseline":"round of the loop without a call","baseline_value":{round:.2},"ratio":{ratio:.3}}}"#
        );
    }
}
