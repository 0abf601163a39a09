//! Lines: states and levels, the owner's refusals, and handles that are wrong.

use runner_executor::fake::FakeLine;
use runner_interfaces::{
    cell::{Command, ContainerState, FailureReason},
    gpio::{self, Status},
};

use crate::support::*;

const IMPORTS: &str = r#"
    (import "atoll:node/gpio@0.1.0" "open-output" (func $open_output (param i32 i32 i32)))
    (import "atoll:node/gpio@0.1.0" "open-input" (func $open_input (param i32 i32 i32)))
    (import "atoll:node/gpio@0.1.0" "[method]output.set" (func $set (param i32 i32) (result i32)))
    (import "atoll:node/gpio@0.1.0" "[method]output.get" (func $driven (param i32) (result i32)))
    (import "atoll:node/gpio@0.1.0" "[method]output.set-state" (func $set_state (param i32 i32) (result i32)))
    (import "atoll:node/gpio@0.1.0" "[method]output.state" (func $output_state (param i32) (result i32)))
    (import "atoll:node/gpio@0.1.0" "[method]output.active-level" (func $output_level (param i32) (result i32)))
    (import "atoll:node/gpio@0.1.0" "[method]output.set-active-level" (func $take_output (param i32 i32)))
    (import "atoll:node/gpio@0.1.0" "[method]input.get" (func $get (param i32) (result i32)))
    (import "atoll:node/gpio@0.1.0" "[method]input.state" (func $state (param i32) (result i32)))
    (import "atoll:node/gpio@0.1.0" "[method]input.active-level" (func $level (param i32) (result i32)))
    (import "atoll:node/gpio@0.1.0" "[method]input.set-active-level" (func $take (param i32 i32)))
    (import "atoll:node/gpio@0.1.0" "[method]input.set-pull" (func $pull (param i32 i32) (result i32)))
    (import "atoll:node/gpio@0.1.0" "[method]input.watch" (func $watch (param i32 i32) (result i32)))
    (import "atoll:node/gpio@0.1.0" "[resource-drop]output" (func $drop_output (param i32)))
    (import "atoll:node/gpio@0.1.0" "[resource-drop]input" (func $drop_input (param i32)))
    (memory (export "memory") 1) (data (i32.const 0) "LEDBUTTONVALVE")
    (func $must (param i32 i32) (if (i32.ne (local.get 0) (local.get 1)) (then unreachable)))
    (func $handle (result i32)
        (if (i32.load8_u (i32.const 64)) (then unreachable))
        (i32.load (i32.const 68)))
    (func $led (result i32) (call $open_output (i32.const 0) (i32.const 3) (i32.const 64)) (call $handle))
    (func $button (result i32) (call $open_input (i32.const 3) (i32.const 6) (i32.const 64)) (call $handle))"#;

/// A reactor that does `body` in its start hook and ends.
fn does(body: &str) -> Vec<u8> {
    reactor(IMPORTS, &format!("(local $h i32) (local $g i32) {body} (i32.const 0)"), "(i32.const 1)", "")
}

/// As `set` drives: low, high; as the enumerations count: active 0, inactive 1; active-high 0, active-low 1.
#[test]
fn a_state_is_a_level_as_the_board_says() {
    let mut node = node();
    let as_usual = does(
        "(local.set $h (call $led))
         (call $must (call $output_level (local.get $h)) (i32.const 0))
         (call $must (call $output_state (local.get $h)) (i32.const 1))
         (call $must (call $set_state (local.get $h) (i32.const 0)) (i32.const 0))
         (call $must (call $driven (local.get $h)) (i32.const 1))
         (call $must (call $output_state (local.get $h)) (i32.const 0))",
    );
    assert_finalised(&node.run(&as_usual, &configuration(&[])), 0);
    assert_eq!(node.state().lines[&LED.1].transitions, 2, "high, and low at the end");

    node.state().lines.insert(LED.1, FakeLine { may_drive: true, active_low: true, ..FakeLine::default() });
    let active_low = does(
        "(local.set $h (call $led))
         (call $must (call $output_level (local.get $h)) (i32.const 1))
         (call $must (call $driven (local.get $h)) (i32.const 1))
         (call $must (call $output_state (local.get $h)) (i32.const 1))
         (call $must (call $set_state (local.get $h) (i32.const 0)) (i32.const 0))
         (call $must (call $driven (local.get $h)) (i32.const 0))
         (call $must (call $output_state (local.get $h)) (i32.const 0))",
    );
    assert_finalised(&node.run(&active_low, &configuration(&[])), 0);
    let led = node.state().lines[&LED.1].clone();
    assert!(led.high && !led.is_output && led.transitions == 2, "it rests inactive: {led:?}");
}

#[test]
fn an_inputs_state_follows_its_level() {
    let mut node = node();
    let body = |first, second| {
        format!(
            "(local.set $h (call $button))
             (call $must (call $get (local.get $h)) (i32.const 1))
             (call $must (call $state (local.get $h)) (i32.const {first}))
             (call $take (local.get $h) (i32.const 1))
             (call $must (call $level (local.get $h)) (i32.const 1))
             (call $must (call $get (local.get $h)) (i32.const 1))
             (call $must (call $state (local.get $h)) (i32.const {second}))"
        )
    };
    node.drive_line(BUTTON.1, true);
    assert_finalised(&node.run(&does(&body(0, 1)), &configuration(&[])), 0);
    node.state().lines.get_mut(&BUTTON.1).unwrap().active_low = true;
    assert_finalised(&node.run(&does(&body(1, 1)), &configuration(&[])), 0);
}

/// What a container takes for active is its own affair; where a line rests is the board's.
#[test]
fn another_active_level_changes_what_is_meant_and_not_what_is_driven() {
    let mut node = node();
    let body = "(local.set $h (call $led))
         (call $take_output (local.get $h) (i32.const 1))
         (call $must (call $driven (local.get $h)) (i32.const 0))
         (call $must (call $output_state (local.get $h)) (i32.const 0))
         (call $must (call $set_state (local.get $h) (i32.const 1)) (i32.const 0))
         (call $must (call $driven (local.get $h)) (i32.const 1))
         (call $drop_output (local.get $h))
         (local.set $h (call $led))
         (call $must (call $output_level (local.get $h)) (i32.const 0))";
    assert_finalised(&node.run(&does(body), &configuration(&[])), 0);
    assert!(!node.state().lines[&LED.1].high);
}

#[test]
fn numbers_that_an_enumeration_does_not_have_trap() {
    let mut node = node();
    for (call, word) in [
        ("(drop (call $set_state (call $led) (i32.const 2)))", "`state`"),
        ("(call $take_output (call $led) (i32.const 2))", "`active-level`"),
        ("(call $take (call $button) (i32.const -1))", "`active-level`"),
        ("(drop (call $watch (call $button) (i32.const 3)))", "`edges`"),
    ] {
        assert_failed(&node.run(&does(call), &configuration(&[])), FailureReason::Trap, word);
        assert!(node.state().lines.values().all(|line| !line.is_output && !line.is_input));
    }
}

#[test]
fn a_device_that_cannot_says_so() {
    let mut node = node();
    node.state().lines.get_mut(&BUTTON.1).unwrap().has_no_pulls = true;
    let not_supported = Status::NotSupported.to_wire();
    let body = format!("(call $must (call $pull (call $button) (i32.const 1)) (i32.const {not_supported}))");
    let status = node.run(&does(&body), &configuration(&[]));
    assert_finalised(&status, 0);
    assert_eq!(status.refused_calls, 1);
}

/// Every function that takes a handle, as a call with the handle on the stack.
const WITH_OUTPUT: [&str; 7] = [
    "(drop (call $set (local.get $h) (i32.const 1)))",
    "(drop (call $driven (local.get $h)))",
    "(drop (call $set_state (local.get $h) (i32.const 0)))",
    "(drop (call $output_state (local.get $h)))",
    "(drop (call $output_level (local.get $h)))",
    "(call $take_output (local.get $h) (i32.const 0))",
    "(call $drop_output (local.get $h))",
];
const WITH_INPUT: [&str; 7] = [
    "(drop (call $get (local.get $h)))",
    "(drop (call $state (local.get $h)))",
    "(drop (call $level (local.get $h)))",
    "(call $take (local.get $h) (i32.const 0))",
    "(drop (call $pull (local.get $h) (i32.const 0)))",
    "(drop (call $watch (local.get $h) (i32.const 0)))",
    "(call $drop_input (local.get $h))",
];

#[track_caller]
fn assert_traps(body: &str, word: &str) {
    let mut node = node();
    let status = node.run(&does(body), &configuration(&[]));
    assert_failed(&status, FailureReason::Trap, word);
    let after = does("(drop (call $led)) (drop (call $button))");
    assert_finalised(&node.run(&after, &configuration(&[])), 0);
}

#[test]
fn a_handle_that_was_dropped_is_none() {
    for call in WITH_OUTPUT {
        assert_traps(
            &format!("(local.set $h (call $led)) (call $drop_output (local.get $h)) {call}"),
            "output handle 1, which is not open",
        );
    }
    for call in WITH_INPUT {
        assert_traps(
            &format!("(local.set $h (call $button)) (call $drop_input (local.get $h)) {call}"),
            "input handle 1, which is not open",
        );
    }
}

/// Its place in the table was taken again, by the same line even.
#[test]
fn a_stale_handle_does_not_reach_what_came_after_it() {
    for call in WITH_OUTPUT {
        let body = format!(
            "(local.set $h (call $led)) (call $drop_output (local.get $h)) (local.set $g (call $led))
             (drop (call $set (local.get $g) (i32.const 1))) {call}"
        );
        assert_traps(&body, "output handle 1, which is not open");
    }
}

#[test]
fn a_handle_is_of_one_resource() {
    for call in WITH_INPUT {
        assert_traps(&format!("(local.set $h (call $led)) {call}"), "input handle 1, which is not open");
    }
    for call in WITH_OUTPUT {
        assert_traps(&format!("(local.set $h (call $button)) {call}"), "output handle 1, which is not open");
    }
}

#[test]
fn handles_that_are_made_up_are_none() {
    for handle in [0, 2, 257, -1, i32::MIN, i32::MAX] {
        for call in WITH_OUTPUT {
            let body = format!("(drop (call $led)) (local.set $h (i32.const {handle})) {call}");
            assert_traps(&body, &format!("output handle {}", handle.cast_unsigned()));
        }
    }
}

#[test]
fn a_full_table_answers_busy_and_takes_more_once_something_is_dropped() {
    let mut node = node();
    let mut configuration = configuration(&[]);
    for number in 10..43 {
        node.state().lines.insert(number, FakeLine { may_read: true, ..FakeLine::default() });
        configuration.lines.push((char::from(number + b'0').to_string(), number));
    }
    // 32 lines, one after the other, by labels of one byte from ':' (line 10) on.
    let busy = Status::Busy.to_wire();
    let body = format!(
        "(local.set $h (i32.const 58))
         (loop $more
            (i32.store8 (i32.const 32) (local.get $h))
            (call $open_input (i32.const 32) (i32.const 1) (i32.const 64))
            (if (i32.load8_u (i32.const 64)) (then unreachable))
            (local.set $h (i32.add (local.get $h) (i32.const 1)))
            (br_if $more (i32.lt_u (local.get $h) (i32.const 90))))
         (i32.store8 (i32.const 32) (local.get $h))
         (call $open_input (i32.const 32) (i32.const 1) (i32.const 64))
         (call $must (i32.load8_u (i32.const 64)) (i32.const 1))
         (call $must (i32.load8_u (i32.const 68)) (i32.const {busy}))
         (call $drop_input (i32.const 32))
         (call $open_input (i32.const 32) (i32.const 1) (i32.const 64))
         (call $must (i32.load8_u (i32.const 64)) (i32.const 0))"
    );
    let status = node.run(&does(&body), &configuration);
    assert_finalised(&status, 0);
    assert_eq!(status.refused_calls, 1);
    let opened = |(_, message): &&(_, runner_interfaces::kernel::Message)| {
        message.label == u64::from(gpio::Procedure::OpenInput.to_wire())
    };
    assert_eq!(node.state().calls.iter().filter(opened).count(), 33, "the one that had no room was not asked for");
    assert!(node.state().lines.values().all(|line| !line.is_input), "all were given back");
}

/// Counts what it is told of the button until there were two; fails where it is told of more at a time than there are.
#[test]
fn an_edge_beyond_the_rate_is_told_when_its_time_comes_and_nobody_has_to_move_the_line_again() {
    let declarations = format!(
        r#"(import "atoll:node/timer@0.1.0" "wait" (func $wait (param i32) (result i32)))
           (import "atoll:node/gpio@0.1.0" "[method]input.take-edges" (func $take_edges (param i32) (result i32)))
           {IMPORTS}
           (global $button_handle (mut i32) (i32.const 0)) (global $told (mut i32) (i32.const 0))"#
    );
    let on_start = "(global.set $button_handle (call $button))
        (call $must (call $watch (global.get $button_handle) (i32.const 2)) (i32.const 0))
        (i32.const 0)";
    let on_loop = "
        (call $must (call $wait (i32.const 0x80000000)) (i32.const 0x80000000))
        (global.set $told (i32.add (global.get $told) (call $take_edges (global.get $button_handle))))
        (i32.ge_u (global.get $told) (i32.const 2))";
    let mut node = node();
    node.state().lines.get_mut(&BUTTON.1).unwrap().edge_distance_ns = 50_000_000;
    node.load(&reactor(&declarations, on_start, on_loop, ""), &configuration(&[]), Command::Run);
    node.run_to(ContainerState::Ready, 1000);
    node.drive_line(BUTTON.1, true);
    let first_ns = node.state().now_ns;
    while node.state().lines[&BUTTON.1].edges != 0 {
        node.step();
    }
    // Three more at once, and then it is quiet for ever.
    for high in [false, true, false] {
        node.drive_line(BUTTON.1, high);
    }
    let status = node.run_to_end();
    assert_finalised(&status, 0);
    let waited = status.ended_ns - first_ns;
    assert!((50_000_000..60_000_000).contains(&waited), "{waited} ns");
}

/// `full` is no refusal of a right: the owner counts it, the cell does not.
#[test]
fn a_line_whose_rate_is_used_up_is_full_for_now() {
    let mut node = node();
    node.state().lines.get_mut(&LED.1).unwrap().is_used_up = true;
    let body = format!(
        "(local.set $h (call $led))
         (call $must (call $set (local.get $h) (i32.const 1)) (i32.const {}))
         (call $must (call $driven (local.get $h)) (i32.const 0))
         (call $must (call $set (local.get $h) (i32.const 0)) (i32.const 0))",
        Status::Full.to_wire()
    );
    let status = node.run(&does(&body), &configuration(&[]));
    assert_finalised(&status, 0);
    assert_eq!((status.refused_calls, node.state().lines[&LED.1].transitions), (0, 0));
}
