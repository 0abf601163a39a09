//! Text that a host call answers, in room that the container's own allocator makes, and every way in which that one can fail.

use runner_executor::{Options, fake::FakeNode};
use runner_interfaces::{
    cell::{CellStatus, Command, ContainerState, FailureReason},
    output::Stream,
};

use crate::support::*;

const IMPORTS: &str = r#"
    (import "atoll:node/node@0.1.0" "board" (func $board (param i32)))
    (import "atoll:node/node@0.1.0" "version" (func $version (param i32)))
    (import "atoll:node/node@0.1.0" "substrate" (func $substrate (param i32)))
    (import "atoll:node/node@0.1.0" "container-name" (func $name (param i32)))
    (import "atoll:node/node@0.1.0" "container-version" (func $container_version (param i32)))
    (import "atoll:node/log@0.1.0" "log" (func $log (param i32 i32 i32)))
    (import "atoll:node/timer@0.1.0" "sleep" (func $sleep (param i64) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (import "atoll:node/clock@0.1.3" "now" (func $now (result i64)))
    (memory (export "memory") 1)
    (func $say (param i32)
        (call $log (i32.const 2) (i32.load (local.get 0)) (i32.load (i32.add (local.get 0) (i32.const 4)))))"#;

/// Takes what follows from 1024 on, and keeps to the contract.
const BUMP: &str = r#"
    (global $next (mut i32) (i32.const 1024))
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
        (if (i32.or (local.get 0) (local.get 1)) (then unreachable))
        (local.set $at
            (i32.and
                (i32.add (global.get $next) (i32.sub (local.get 2) (i32.const 1)))
                (i32.sub (i32.const 0) (local.get 2))))
        (global.set $next (i32.add (local.get $at) (local.get 3)))
        (local.get $at))"#;

/// An allocator with that body.
fn allocator(body: &str) -> String {
    format!(r#"(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {body})"#)
}

/// A reactor that asks for the board's name in its start hook and says it.
fn asks(allocator: &str) -> Vec<u8> {
    let declarations = format!("{IMPORTS} {allocator}");
    reactor(&declarations, "(call $board (i32.const 16)) (call $say (i32.const 16)) (i32.const 0)", "(i32.const 1)", "")
}

fn run(node: &mut FakeNode, wasm: &[u8]) -> CellStatus {
    node.run(wasm, &configuration(&[]))
}

#[track_caller]
fn assert_reusable(node: &mut FakeNode) {
    assert_finalised(&run(node, &asks(BUMP)), 0);
    assert_eq!(node.text(Stream::Info), "paper");
}

#[test]
fn a_container_is_told_where_it_is_and_what() {
    let mut node = node();
    let all = "(call $board (i32.const 16)) (call $say (i32.const 16))
               (call $version (i32.const 24)) (call $say (i32.const 24))
               (call $substrate (i32.const 32)) (call $say (i32.const 32))
               (call $name (i32.const 40)) (call $say (i32.const 40))
               (call $container_version (i32.const 48)) (call $say (i32.const 48)) (i32.const 0)";
    assert_finalised(&run(&mut node, &reactor(&format!("{IMPORTS} {BUMP}"), all, "(i32.const 1)", "")), 0);
    let said: Vec<_> = node.records.iter().map(|record| String::from_utf8_lossy(&record.bytes).into_owned()).collect();
    assert_eq!(said, ["paper", "0.1.0", "a test", "test", "2.1.0"]);
}

#[test]
fn every_hook_may_ask() {
    let ask = "(call $name (i32.const 16)) (call $say (i32.const 16))";
    let declarations = format!("{IMPORTS} {BUMP} (func $first {ask}) (start $first)");
    let wasm = reactor(&declarations, &format!("{ask} (i32.const 0)"), &format!("{ask} (i32.const 1)"), ask);
    let mut node = node();
    assert_finalised(&run(&mut node, &wasm), 0);
    assert_eq!(node.text(Stream::Info), "test".repeat(4));
}

#[test]
fn an_empty_text_and_one_that_is_too_long_arrive_as_they_can() {
    let mut node = node();
    let mut empty = configuration(&[]);
    empty.node.board.clear();
    assert_finalised(&node.run(&asks(BUMP), &empty), 0);
    assert_eq!(node.text(Stream::Info), "");
    let mut long = configuration(&[]);
    // Two bytes each, so that a cut at 4,096 would lie between two only by luck: one byte before makes it odd.
    long.node.board = format!("x{}", "é".repeat(4000));
    let length = "(call $board (i32.const 16)) (i32.sub (i32.load (i32.const 20)) (i32.const 4095))";
    let wasm = reactor(&format!("{IMPORTS} {BUMP}"), length, "(i32.const 1)", "");
    assert_finalised(&node.run(&wasm, &long), 0);
}

#[test]
fn an_allocator_may_take_slices_and_grow_the_memory() {
    let mut node = FakeNode::new(Options { slice_fuel: 50, ..Options::default() });
    node.control.start_limit_us = 10_000_000;
    let slow = allocator(
        "(local $left i32) (local.set $left (i32.const 500)) (drop (call $now)) (drop (call $now))
         (loop $more (br_if $more (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
         (i32.mul (memory.grow (i32.const 2)) (i32.const 65536))",
    );
    // What the container kept across the call is as it was: a local, and bytes of the memory.
    let on_start = "(local $kept i32) (local.set $kept (i32.const 77)) (i32.store (i32.const 64) (i32.const 99))
        (call $board (i32.const 16)) (call $say (i32.const 16))
        (if (i32.ne (i32.load (i32.const 16)) (i32.const 65536)) (then unreachable))
        (if (i32.ne (i32.load (i32.const 64)) (i32.const 99)) (then unreachable))
        (i32.sub (local.get $kept) (i32.const 77))";
    let status = run(&mut node, &reactor(&format!("{IMPORTS} {slow}"), on_start, "(i32.const 1)", ""));
    assert_finalised(&status, 0);
    assert_eq!(node.text(Stream::Info), "paper");
    assert!(status.slices > 20, "the allocator ran in slices: {}", status.slices);
}

#[test]
fn an_allocator_that_is_not_there_or_wrong_traps_at_the_call() {
    let cases = [
        ("", "exports no `cabi_realloc`"),
        (r#"(func (export "cabi_realloc") (param i32 i32 i32) (result i32) (i32.const 1024))"#, "must take four i32"),
        (r#"(func (export "cabi_realloc") (param i32 i32 i32 i32))"#, "must take four i32"),
        (r#"(func (export "cabi_realloc") (param i32 i32 i32 i64) (result i32) (i32.const 1024))"#, "must take four"),
        (r#"(global (export "cabi_realloc") i32 (i32.const 1024))"#, "exports no `cabi_realloc`"),
    ];
    let mut node = node();
    for (allocator, word) in cases {
        let status = run(&mut node, &asks(allocator));
        assert_failed(&status, FailureReason::Trap, word);
        assert!(status.started_ns > 0, "it was loaded and began");
        assert_reusable(&mut node);
    }
}

#[test]
fn an_allocator_that_misbehaves_traps_the_container() {
    let cases = [
        ("unreachable", "cabi_realloc: unreachable code reached"),
        ("(call $board (i32.const 16)) (i32.const 1024)", "`cabi_realloc` made a host call that waits"),
        ("(drop (call $sleep (i64.const 5000000))) (i32.const 1024)", "`cabi_realloc` made a host call that waits"),
        ("(i32.const 65535)", "answered 0xffff for 5 bytes, outside the memory"),
        ("(i32.const -1)", "outside the memory"),
        ("(i32.const 65536)", "outside the memory"),
        ("(loop $l (br $l)) (i32.const 0)", "on-start took more than"),
    ];
    let mut node = node();
    for (body, word) in cases {
        let status = run(&mut node, &asks(&allocator(body)));
        let reason = if word.starts_with("on-start") { FailureReason::StartLimit } else { FailureReason::Trap };
        assert_failed(&status, reason, word);
        assert_eq!(node.text(Stream::Info), "", "nothing was handed over");
        assert_reusable(&mut node);
    }
}

#[test]
fn an_allocator_may_end_the_program() {
    let wasm = wat(&format!(
        r#"(module {IMPORTS} {} (func (export "_start") (call $board (i32.const 16))))"#,
        allocator("(call $exit (i32.const 9)) (i32.const 0)")
    ));
    let mut node = node();
    assert_finalised(&run(&mut node, &wasm), 9);
    assert_reusable(&mut node);
}

#[test]
fn an_allocator_without_end_is_cut_where_no_hook_limit_is() {
    let mut node = node();
    let endless = allocator("(loop $l (br $l)) (i32.const 0)");
    let wasm = reactor(
        &format!("{IMPORTS} {endless}"),
        "(i32.const 0)",
        "(call $board (i32.const 16)) (i32.const 1)",
        "(call $log (i32.const 2) (i32.const 0) (i32.const 0))",
    );
    let status = run(&mut node, &wasm);
    assert_failed(&status, FailureReason::Trap, "on-loop: `cabi_realloc` took more than 10000000 instructions");
    assert!(status.slices > 900, "in slices, with the control word read between them: {}", status.slices);
    assert_reusable(&mut node);
}

#[test]
fn a_stop_ends_an_allocator_within_a_slice_and_runs_the_stop_hook() {
    let mut node = node();
    let endless = allocator("(loop $l (br $l)) (i32.const 0)");
    let wasm = reactor(
        &format!(r#"{IMPORTS} (data (i32.const 0) "bye") {endless}"#),
        "(i32.const 0)",
        "(call $board (i32.const 16)) (i32.const 1)",
        "(call $log (i32.const 2) (i32.const 0) (i32.const 3))",
    );
    node.load(&wasm, &configuration(&[]), Command::Run);
    node.command_in(8_000_000, Command::Stop);
    let status = node.run_to_end();
    assert_finalised(&status, 0);
    assert!(status.ended_ns < 10_000_000, "{} ns", status.ended_ns);
    assert_eq!(node.text(Stream::Info), "bye");
    assert_reusable(&mut node);
}

#[test]
fn an_answer_that_has_no_place_is_refused_before_the_allocator_runs() {
    let mut node = node();
    for (at, word) in
        [(17, "misaligned result address 0x11"), (65532, "outside the memory"), (-8, "outside the memory")]
    {
        let declarations = format!("{IMPORTS} {}", allocator("unreachable"));
        let on_start = format!("(call $board (i32.const {at})) (i32.const 0)");
        let status = run(&mut node, &reactor(&declarations, &on_start, "(i32.const 1)", ""));
        assert_failed(&status, FailureReason::Trap, word);
        assert_reusable(&mut node);
    }
    let no_memory = r#"(import "atoll:node/node@0.1.0" "board" (func $board (param i32)))"#;
    let status = run(&mut node, &reactor(no_memory, "(call $board (i32.const 16)) (i32.const 0)", "(i32.const 1)", ""));
    assert_failed(&status, FailureReason::Trap, "no `memory`");
}

/// The stack of the suspended call stays while the allocator has one of its own.
#[test]
fn both_stacks_may_be_deep() {
    let mut node = node();
    let deep = "(func $deep (param i32) (result i32)
        (if (result i32) (local.get 0)
            (then (i32.add (call $deep (i32.sub (local.get 0) (i32.const 1))) (i32.const 0)))
            (else (call $board (i32.const 16)) (i32.const 0))))
        (func $deeper (param i32) (result i32)
        (if (result i32) (local.get 0)
            (then (i32.add (call $deeper (i32.sub (local.get 0) (i32.const 1))) (i32.const 0)))
            (else (i32.const 1024))))";
    for (depth, reason) in [(3900, FailureReason::None), (4100, FailureReason::Trap)] {
        let allocator = allocator(&format!("(call $deeper (i32.const {depth}))"));
        let wasm = reactor(
            &format!("{IMPORTS} {deep} {allocator}"),
            "(call $deep (i32.const 3900)) (drop) (call $say (i32.const 16)) (i32.const 0)",
            "(i32.const 1)",
            "",
        );
        let status = run(&mut node, &wasm);
        match reason {
            FailureReason::None => {
                assert_eq!((state(&status), status.exit_code), (ContainerState::Finalised, 0));
                assert_eq!(node.text(Stream::Info), "paper");
            }
            reason => assert_failed(&status, reason, "cabi_realloc: call stack exhausted"),
        }
        assert_reusable(&mut node);
    }
}
