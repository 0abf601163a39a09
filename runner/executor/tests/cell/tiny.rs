//! The TinyContainer world: its hooks, its five functions, and what they make of nonsense.

use runner_executor::fake::FakeNode;
use runner_interfaces::cell::{CellStatus, Command, ContainerState, FailureReason, World};
use runner_interfaces::gpio::Procedure;
use runner_interfaces::output::Stream;

use crate::support::{BUTTON, LED, VALVE, assert_failed, assert_finalised, configuration, node, state, wat};

/// A container in that project's form, with these bodies.
fn tiny(start: &str, on_loop: &str, stop: &str) -> Vec<u8> {
    wat(&format!(
        r#"(module
            (import "env" "logger" (func $logger (param i32)))
            (import "env" "open" (func $open (param i32) (result i32)))
            (import "env" "read" (func $read (param i32 i32 i32) (result i32)))
            (import "env" "write" (func $write (param i32 i32 i32) (result i32)))
            (import "env" "close" (func $close (param i32) (result i32)))
            (memory (export "memory") 1)
            (global $fd (mut i32) (i32.const 0))
            (global $turns (mut i32) (i32.const 0))
            (data (i32.const 0) "started\00stopped\00\01")
            (func $expect (param i32 i32) (if (i32.ne (local.get 0) (local.get 1)) (then unreachable)))
            (func (export "start") {start})
            (func (export "loop") (result i32) {on_loop})
            (func (export "stop") {stop}))"#
    ))
}

fn run(node: &mut FakeNode, start: &str) -> CellStatus {
    node.run(&tiny(start, "(i32.const 1)", ""), &configuration(&[]))
}

#[test]
fn a_life_is_start_loop_while_zero_and_stop() {
    let mut node = node();
    let on_loop =
        "(global.set $turns (i32.add (global.get $turns) (i32.const 1))) (i32.eq (global.get $turns) (i32.const 5))";
    let wasm = tiny("(call $logger (i32.const 0))", on_loop, "(call $logger (i32.const 8))");
    let status = node.run(&wasm, &configuration(&[]));
    assert_finalised(&status, 0);
    assert_eq!((World::from_wire(status.world), status.loops), (Some(World::TinyContainer), 5));
    let output = node.text(Stream::Info);
    assert!(output.contains("started") && output.contains("stopped"), "{output}");
    // Any other answer ends it, without being an error.
    assert_finalised(&node.run(&tiny("", "(i32.const -7)", ""), &configuration(&[])), 0);
}

#[test]
fn a_stop_ends_a_loop_that_goes_on_and_runs_the_hook() {
    let mut node = node();
    let wasm = tiny("", "(i32.const 0)", "(call $logger (i32.const 8))");
    node.load(&wasm, &configuration(&[]), Command::Run);
    node.command_in(3_000_000, Command::Stop);
    assert_finalised(&node.run_to_end(), 0);
    assert!(node.text(Stream::Info).contains("stopped"));
}

#[test]
fn an_endpoint_is_a_line_of_the_board() {
    let mut node = node();
    let (led, button) = (LED.1, BUTTON.1);
    let start = format!(
        "(global.set $fd (call $open (i32.const {led})))
         (call $expect (call $write (global.get $fd) (i32.const 16) (i32.const 1)) (i32.const 1))
         (call $expect (call $read (global.get $fd) (i32.const 64) (i32.const 8)) (i32.const 1))
         (call $expect (i32.load8_u (i32.const 64)) (i32.const 1))
         (call $expect (call $close (global.get $fd)) (i32.const 0))
         (global.set $fd (call $open (i32.const {button})))
         (call $expect (call $write (global.get $fd) (i32.const 16) (i32.const 1)) (i32.const -1))
         (call $expect (call $read (global.get $fd) (i32.const 64) (i32.const 1)) (i32.const 1))
         (call $expect (i32.load8_u (i32.const 64)) (i32.const 0))"
    );
    let status = run(&mut node, &start);
    assert_finalised(&status, 0);
    assert_eq!(status.refused_calls, 0, "an input that cannot be an output is no refusal");
    let line = &node.state().lines[&led];
    assert!(!line.is_output && !line.high && line.transitions == 2, "{line:?}");
}

#[test]
fn what_is_not_granted_or_not_there_is_a_negative_number() {
    let mut node = node();
    let valve = VALVE.1;
    for endpoint in [i64::from(valve), 77, 255, 256, i64::from(u32::MAX)] {
        let start = format!("(call $expect (call $open (i32.const {endpoint})) (i32.const -1))");
        let status = run(&mut node, &start);
        assert_finalised(&status, 0);
        assert_eq!(status.refused_calls, 1, "{endpoint}");
    }
    let twice = format!(
        "(drop (call $open (i32.const {0}))) (call $expect (call $open (i32.const {0})) (i32.const -1))",
        LED.1
    );
    assert_finalised(&run(&mut node, &twice), 0);
    for descriptor in ["0", "9", "-1", "0x7fffffff"] {
        let start = format!(
            "(call $expect (call $read (i32.const {descriptor}) (i32.const 0) (i32.const 1)) (i32.const -1))
             (call $expect (call $write (i32.const {descriptor}) (i32.const 0) (i32.const 1)) (i32.const -1))
             (call $expect (call $close (i32.const {descriptor})) (i32.const -1))"
        );
        assert_finalised(&run(&mut node, &start), 0);
    }
}

#[test]
fn pointers_out_of_the_memory_trap() {
    let mut node = node();
    let opened = format!("(global.set $fd (call $open (i32.const {})))", LED.1);
    for call in [
        "(call $logger (i32.const 65536))",
        "(call $logger (i32.const -1))",
        // No zero byte up to the memory's end.
        "(memory.fill (i32.const 65000) (i32.const 65) (i32.const 536)) (call $logger (i32.const 65000))",
        "(drop (call $read (global.get $fd) (i32.const 65536) (i32.const 1)))",
        "(drop (call $read (global.get $fd) (i32.const 4) (i32.const -1)))",
        "(drop (call $write (global.get $fd) (i32.const -1) (i32.const 1)))",
    ] {
        assert_failed(&run(&mut node, &format!("{opened} {call}")), FailureReason::Trap, "start: host call");
    }
    assert!(!node.state().lines[&LED.1].is_output, "what was open was given back");
    let long = "(memory.fill (i32.const 1000) (i32.const 65) (i32.const 5000)) (call $logger (i32.const 1000))";
    assert_finalised(&run(&mut node, long), 0);
}

#[test]
fn a_start_that_takes_too_long_is_named_as_its_module_names_it() {
    let mut node = node();
    let status = run(&mut node, "(loop $l (br $l))");
    assert_failed(&status, FailureReason::StartLimit, "start took more than");
    assert_eq!(state(&status), ContainerState::Failed);
}

#[test]
fn a_hook_of_another_type_is_refused() {
    let mut node = node();
    for hooks in [
        r#"(func (export "start") (result i32) (i32.const 0)) (func (export "loop") (result i32) (i32.const 0)) (func (export "stop"))"#,
        r#"(func (export "start")) (func (export "loop")) (func (export "stop"))"#,
        r#"(func (export "start")) (func (export "loop") (result i32) (i32.const 0)) (func (export "stop") (param i32))"#,
    ] {
        let status = node.run(&wat(&format!("(module {hooks})")), &configuration(&[]));
        assert_failed(&status, FailureReason::UnknownWorld, "must take nothing");
    }
    // Without all three it is none of this world's.
    let two = r#"(module (func (export "start")) (func (export "stop")))"#;
    assert_failed(&node.run(&wat(two), &configuration(&[])), FailureReason::UnknownWorld, "exports neither");
}

#[test]
fn the_owner_is_asked_for_both_directions() {
    let mut node = node();
    let start = format!("(global.set $fd (call $open (i32.const {})))", BUTTON.1);
    assert_finalised(&run(&mut node, &start), 0);
    let asked = |procedure: Procedure| {
        let label = u64::from(procedure.to_wire());
        node.state().calls.iter().filter(|(_, message)| message.label == label).count()
    };
    assert!(asked(Procedure::OpenOutput) == 1 && asked(Procedure::OpenInput) == 1);
}
