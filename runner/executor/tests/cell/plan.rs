//! What a plan asks of a cell: limits of each hook, an end after so many loops, and why and when it got where.

use runner_interfaces::{
    cell::{Command, ContainerState, FailureReason},
    output::Stream,
    plan::EndCause,
};

use crate::support::*;

const IMPORTS: &str = r#"
    (import "atoll:node/timer@0.1.0" "sleep" (func $sleep (param i64) (result i32)))
    (import "atoll:node/log@0.1.0" "log" (func $log (param i32 i32 i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "looped stopped")
    (func $say (param i32) (call $log (i32.const 2) (local.get 0) (i32.const 7)))"#;
const SAY_LOOPED: &str = "(call $say (i32.const 0)) (i32.const 0)";
const SAY_STOPPED: &str = "(call $say (i32.const 7))";

fn cause(status: &runner_interfaces::cell::CellStatus) -> EndCause {
    EndCause::from_wire(status.end_cause).expect("the cell writes causes that have names")
}

#[test]
fn after_so_many_loops_it_stops_with_its_stop_hook() {
    let mut node = node();
    node.control.loops_limit = 3;
    let status = node.run(&reactor(IMPORTS, "(i32.const 0)", SAY_LOOPED, SAY_STOPPED), &configuration(&[]));
    assert_finalised(&status, 0);
    assert_eq!((status.loops, cause(&status)), (3, EndCause::Lifetime));
    assert_eq!(node.text(Stream::Info), "looped looped looped stopped");
}

#[test]
fn a_loop_that_computes_too_long_fails_without_its_stop_hook() {
    let mut node = node();
    node.control.loop_limit_us = 5_000;
    let forever = "(loop $l (br $l)) (i32.const 0)";
    let status = node.run(&reactor(IMPORTS, "(i32.const 0)", forever, SAY_STOPPED), &configuration(&[]));
    assert_failed(&status, FailureReason::LoopLimit, "on-loop took more than 5000 us");
    assert_eq!(node.text(Stream::Info), "");
}

#[test]
fn a_loop_that_waits_too_long_fails_while_it_waits() {
    let mut node = node();
    node.control.loop_limit_us = 5_000;
    let sleeps = "(drop (call $sleep (i64.const 1000000000))) (i32.const 0)";
    let status = node.run(&reactor(IMPORTS, "(i32.const 0)", sleeps, ""), &configuration(&[]));
    assert_failed(&status, FailureReason::LoopLimit, "on-loop took more than 5000 us");
    let took_ns = status.ended_ns - status.ready_ns;
    assert!((5_000_000..1_000_000_000).contains(&took_ns), "{took_ns}");
}

/// The limit is of one call: a container lives as long as it wants.
#[test]
fn each_call_of_a_loop_has_the_whole_limit() {
    let mut node = node();
    (node.control.loop_limit_us, node.control.loops_limit) = (5_000, 20);
    let sleeps = "(drop (call $sleep (i64.const 3000000))) (i32.const 0)";
    let status = node.run(&reactor(IMPORTS, "(i32.const 0)", sleeps, ""), &configuration(&[]));
    assert_finalised(&status, 0);
    assert!(status.ended_ns - status.ready_ns > 20 * 3_000_000);
}

#[test]
fn start_and_stop_have_limits_of_their_own() {
    let long = "(drop (call $sleep (i64.const 8000000)))";
    for (start_us, stop_us, expected) in [
        (5_000, 50_000, Some(FailureReason::StartLimit)),
        (50_000, 5_000, Some(FailureReason::StopLimit)),
        (50_000, 50_000, None),
    ] {
        let mut node = node();
        (node.control.start_limit_us, node.control.stop_limit_us) = (start_us, stop_us);
        let wasm = reactor(IMPORTS, &format!("{long} (i32.const 0)"), "(i32.const 1)", long);
        let status = node.run(&wasm, &configuration(&[]));
        match expected {
            Some(reason) => assert_failed(&status, reason, "took more than 5000 us"),
            None => assert_finalised(&status, 0),
        }
    }
}

#[test]
fn the_cell_tells_why_a_container_ended() {
    let finishes = reactor(IMPORTS, "(i32.const 0)", "(i32.const 1)", "");
    assert_eq!(cause(&node().run(&finishes, &configuration(&[]))), EndCause::Finished);
    let waits = reactor(IMPORTS, "(i32.const 0)", "(drop (call $sleep (i64.const 1000000000))) (i32.const 0)", "");
    for asked in [EndCause::Stopped, EndCause::Lifetime, EndCause::Replaced] {
        let mut node = node();
        node.load(&waits, &configuration(&[]), Command::Run);
        node.run_to(ContainerState::Ready, 100);
        node.control.stop_cause = asked.to_wire();
        node.command(Command::Stop);
        assert_eq!(cause(&node.run_to_end()), asked);
    }
    let traps = reactor(IMPORTS, "(i32.const 0)", "unreachable", "");
    assert_eq!(cause(&node().run(&traps, &configuration(&[]))), EndCause::None);
}

#[test]
fn every_step_has_its_time() {
    let mut node = node();
    node.control.loops_limit = 2;
    let status = node.run(&reactor(IMPORTS, "(i32.const 0)", "(i32.const 0)", ""), &configuration(&[]));
    let times = [
        status.load_began_ns,
        status.installed_ns,
        status.started_ns,
        status.ready_ns,
        status.stopping_ns,
        status.ended_ns,
    ];
    assert!(times[0] > 0 && times.is_sorted(), "{times:?}");
    assert!(status.heartbeat_ns >= status.stopping_ns, "{status:?}");
}
