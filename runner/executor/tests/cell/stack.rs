//! The native stack stays constant, whatever the container does.
//!
//! A domain's stack is small and overrunning it ends the domain at best. Each case runs on a thread of [`STACK_BYTES`],
//! once in slices and once in a single slice long enough that a leak of a few bytes an instruction could not hide.
//! With `wasmi` on stable Rust and its default dispatch, growing in vain overflows, which aborts this test program.

#![allow(clippy::cast_possible_truncation, reason = "it writes bytes of numbers")]

use std::thread;

use runner_executor::{DEFAULT_SLICE_FUEL, Options};
use runner_interfaces::cell::{CellStatus, FailureReason};

use crate::support::*;

/// A domain gets 64 KiB or more; this test's own frames are unoptimised, which takes as much again.
const STACK_BYTES: usize = 128 * 1024;

/// Fuel for every case in one go.
const WHOLE_FUEL: u64 = 1_000_000_000;

fn run_on_small_stack(wasm: Vec<u8>, slice_fuel: u64) -> CellStatus {
    thread::Builder::new()
        .stack_size(STACK_BYTES)
        .spawn(move || {
            let mut node = node_with(Options { slice_fuel, ..Options::default() });
            node.control.start_limit_us = u32::MAX;
            node.run(&wasm, &configuration(&[]))
        })
        .expect("a small thread can be had")
        .join()
        .expect("no test panics in it")
}

/// `rounds` rounds of `body` in `on-loop`.
fn repeats(declarations: &str, rounds: u32, body: &str) -> Vec<u8> {
    let on_loop = format!(
        "(local $left i32) (local.set $left (i32.const {rounds}))
         (loop $more {body} (br_if $more (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
         (i32.const 1)"
    );
    reactor(declarations, "(i32.const 0)", &on_loop, "")
}

#[track_caller]
fn assert_constant_stack(wasm: &[u8]) {
    for slice_fuel in [DEFAULT_SLICE_FUEL, WHOLE_FUEL] {
        let status = run_on_small_stack(wasm.into(), slice_fuel);
        assert_finalised(&status, 0);
    }
}

#[test]
fn growing_a_memory_by_nothing() {
    assert_constant_stack(&repeats("(memory 1)", 200_000, "(drop (memory.grow (i32.const 0)))"));
}

#[test]
fn growing_a_memory_in_vain() {
    assert_constant_stack(&repeats("(memory 1 1)", 200_000, "(drop (memory.grow (i32.const 1)))"));
}

#[test]
fn growing_a_table_by_nothing() {
    assert_constant_stack(&repeats("(table 1 funcref)", 200_000, "(drop (table.grow (ref.null func) (i32.const 0)))"));
}

#[test]
fn growing_a_table_in_vain() {
    assert_constant_stack(&repeats("(table 1 funcref)", 200_000, "(drop (table.grow (ref.null func) (i32.const 1)))"));
}

#[test]
fn calling_through_a_table() {
    let declarations = r#"
        (type $step (func (param i32) (result i32)))
        (table 4 4 funcref) (elem (i32.const 0) $a $b $c $d)
        (func $a (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
        (func $b (param i32) (result i32) (i32.mul (local.get 0) (i32.const 3)))
        (func $c (param i32) (result i32) (i32.xor (local.get 0) (i32.const 85)))
        (func $d (param i32) (result i32) (call_indirect (type $step) (local.get 0) (i32.const 1)))"#;
    let body = "(drop (call_indirect (type $step) (local.get $left) (i32.and (local.get $left) (i32.const 3))))";
    assert_constant_stack(&repeats(declarations, 300_000, body));
}

#[test]
fn calling_the_host() {
    let declarations = r#"(import "atoll:node/clock@0.1.0" "now" (func $now (result i64)))"#;
    assert_constant_stack(&repeats(declarations, 20_000, "(drop (call $now))"));
}

#[test]
fn calling_itself_to_the_end() {
    let direct = "(func $deeper (result i32) (i32.add (call $deeper) (i32.const 1)))";
    let indirect = r#"
        (table 1 1 funcref) (elem (i32.const 0) $deeper) (type $hook (func (result i32)))
        (func $deeper (result i32) (local i64 i64 i64 i64 i64 i64 i64 i64)
            (i32.add (call_indirect (type $hook) (i32.const 0)) (i32.const 1)))"#;
    for declarations in [direct, indirect] {
        let wasm = reactor(declarations, "(i32.const 0)", "(call $deeper)", "");
        for slice_fuel in [DEFAULT_SLICE_FUEL, WHOLE_FUEL] {
            let status = run_on_small_stack(wasm.clone(), slice_fuel);
            assert_failed(&status, FailureReason::Trap, "call stack exhausted");
        }
    }
}

#[test]
fn compiling_blocks_within_blocks() {
    // The text format's own parser would need the stack that this is about.
    let status = run_on_small_stack(nested_blocks(20_000), DEFAULT_SLICE_FUEL);
    assert_finalised(&status, 0);
}

/// `_start` with `depth` blocks in each other.
fn nested_blocks(depth: usize) -> Vec<u8> {
    // One function of type () -> (), exported; its body follows.
    let mut code = vec![0];
    code.extend([0x02, 0x40].repeat(depth));
    code.extend([0x0b].repeat(depth + 1));
    let mut wasm = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x0a\x01\x06_start\0\0".to_vec();
    let body = [leb(code.len()), code].concat();
    let section = [vec![1], body].concat();
    wasm.push(10);
    wasm.extend(leb(section.len()));
    wasm.extend(section);
    wasm
}

fn leb(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}
