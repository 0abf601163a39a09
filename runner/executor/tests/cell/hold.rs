//! A container that is held between two calls of its loop hook, or in a wait, as an update needs it.

use runner_executor::fake::FakeNode;
use runner_interfaces::{
    cell::{Command, ContainerState, Hold},
    output::Stream,
    plan::EndCause,
};

use crate::support::*;

const IMPORTS: &str = r#"
    (import "atoll:node/timer@0.1.0" "sleep" (func $sleep (param i64) (result i32)))
    (import "atoll:node/log@0.1.0" "log" (func $log (param i32 i32 i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "started looped  stopped ")
    (func $say (param i32) (call $log (i32.const 2) (local.get 0) (i32.const 8)))"#;

fn container(on_loop: &str) -> Vec<u8> {
    let (start, stop) = ("(call $say (i32.const 0)) (i32.const 0)", "(call $say (i32.const 16))");
    reactor(IMPORTS, start, &format!("{on_loop} (call $say (i32.const 8)) (i32.const 0)"), stop)
}

fn nap() -> Vec<u8> {
    container("(drop (call $sleep (i64.const 1000000)))")
}

fn tell(node: &mut FakeNode, hold: Hold) {
    node.control.hold = hold.to_wire();
    node.command(Command::Run);
}

fn run_until_held(node: &mut FakeNode) {
    for _ in 0..200 {
        if node.status().held == 1 {
            return;
        }
        node.step();
    }
    panic!("it is not held");
}

#[test]
fn one_that_is_started_held_has_started_and_loops_when_it_is_let_go() {
    let mut node = node();
    node.control.hold = Hold::AtLoop.to_wire();
    node.load(&nap(), &configuration(&[]), Command::Run);
    run_until_held(&mut node);
    let status = node.status();
    assert_eq!((state(&status), status.loops), (ContainerState::Ready, 0));
    assert!(status.ready_ns > 0);
    assert_eq!(node.text(Stream::Info), "started ");
    (0..20).for_each(|_| _ = node.step());
    assert_eq!(node.status().loops, 0, "it stays held");
    tell(&mut node, Hold::No);
    (0..40).for_each(|_| _ = node.step());
    assert!(node.status().loops > 1 && node.status().held == 0, "{:?}", node.status());
}

#[test]
fn one_that_loops_is_held_at_the_end_of_its_loop_and_goes_on_where_it_was() {
    let mut node = node();
    node.load(&nap(), &configuration(&[]), Command::Run);
    (0..20).for_each(|_| _ = node.step());
    tell(&mut node, Hold::AtLoop);
    run_until_held(&mut node);
    let loops = node.status().loops;
    assert_eq!(node.text(Stream::Info).matches("looped").count() as u64, loops, "a loop that began was ended");
    (0..20).for_each(|_| _ = node.step());
    assert_eq!(node.status().loops, loops);
    tell(&mut node, Hold::No);
    (0..40).for_each(|_| _ = node.step());
    assert!(node.status().loops > loops);
}

#[test]
fn one_that_waits_for_long_is_held_where_it_waits() {
    let mut node = node();
    node.control.loop_limit_us = 5_000;
    node.load(&container("(drop (call $sleep (i64.const 3000000)))"), &configuration(&[]), Command::Run);
    node.run_to(ContainerState::Ready, 50);
    tell(&mut node, Hold::AtLoop);
    node.step();
    assert_eq!(node.status().held, 0, "it waits inside its loop");
    tell(&mut node, Hold::Anywhere);
    run_until_held(&mut node);
    let loops = node.status().loops;
    // Neither the wait nor the loop's limit ends meanwhile.
    node.state().now_ns += 1_000_000_000;
    node.notify("channel_timer");
    node.step();
    assert_eq!((node.status().loops, node.state_now()), (loops, ContainerState::Ready));
    tell(&mut node, Hold::No);
    (0..40).for_each(|_| _ = node.step());
    assert!(node.status().loops > loops, "the time in which it was held is not its own");
}

#[test]
fn one_that_is_held_can_be_stopped() {
    for hold in [Hold::AtLoop, Hold::Anywhere] {
        let mut node = node();
        node.load(&nap(), &configuration(&[]), Command::Run);
        (0..20).for_each(|_| _ = node.step());
        tell(&mut node, hold);
        run_until_held(&mut node);
        node.control.stop_cause = EndCause::Replaced.to_wire();
        node.command(Command::Stop);
        let status = node.run_to_end();
        assert_finalised(&status, 0);
        assert_eq!((status.end_cause, status.held), (EndCause::Replaced.to_wire(), 0));
        assert!(node.text(Stream::Info).ends_with("stopped "));
    }
}
