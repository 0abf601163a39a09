//! `examples/hostile`: each module ends as its file says, and the cell takes the next container as if nothing had been.

use std::{fs, path::Path};

use runner_executor::fake::{FakeNode, detail, reason};
use runner_interfaces::{
    cell::{CellStatus, Command, ContainerState, FailureReason},
    output::Stream,
};

use crate::support::*;

/// When every one of them is told to stop, on the node's clock: 30 ms after its load.
const STOP_AFTER_NS: u64 = 30_000_000;

/// How one of them ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// For that reason, with that word in the sentence.
    Failed(FailureReason, &'static str),
    /// By itself, with that code.
    Exits(i32),
    /// When it is told to stop, with that code.
    Stopped(i32),
}

use End::{Exits, Failed, Stopped};

const EXPECTED: &[(&str, End)] = &[
    ("allocator-calls-back", Failed(FailureReason::Trap, "`cabi_realloc` made a host call that waits")),
    ("allocator-loop", Stopped(0)),
    ("allocator-missing", Failed(FailureReason::Trap, "exports no `cabi_realloc`")),
    ("allocator-past-end", Failed(FailureReason::Trap, "answered 0xffff")),
    ("bulk-copy-flood", Stopped(0)),
    ("data-beyond-memory", Failed(FailureReason::Trap, "instantiation")),
    ("data-last-segment-beyond-memory", Failed(FailureReason::Trap, "instantiation")),
    ("deep-indirect-recursion", Failed(FailureReason::Trap, "call stack exhausted")),
    ("deep-recursion", Failed(FailureReason::Trap, "on-loop: call stack exhausted")),
    ("divide-by-zero", Failed(FailureReason::Trap, "on-loop: integer division by zero")),
    ("driver-call-flood", Stopped(0)),
    ("element-beyond-table", Failed(FailureReason::Trap, "instantiation")),
    ("grow-by-zero-in-a-loop", Stopped(0)),
    ("grow-in-a-loop", Stopped(0)),
    ("handle-after-drop", Failed(FailureReason::Trap, "output handle")),
    ("handle-drop-forged", Failed(FailureReason::Trap, "output handle 7")),
    ("handle-flood", Stopped(0)),
    ("handle-forged", Failed(FailureReason::Trap, "output handle 1")),
    ("handle-forged-huge", Failed(FailureReason::Trap, "output handle 4294967295")),
    ("handle-of-other-kind", Failed(FailureReason::Trap, "input handle")),
    ("handle-of-its-successor", Failed(FailureReason::Trap, "output handle 1")),
    ("host-call-flood", Stopped(0)),
    ("imported-memory", Failed(FailureReason::UnknownImport, "env.memory")),
    ("invalid-code", Failed(FailureReason::InvalidModule, "type mismatch")),
    ("log-flood", Stopped(0)),
    ("log-not-utf8", Failed(FailureReason::Trap, "not UTF-8")),
    ("log-unknown-level", Failed(FailureReason::Trap, "level")),
    ("loop-in-start", Failed(FailureReason::StartLimit, "on-start took more than")),
    ("loop-in-stop", Failed(FailureReason::StopLimit, "on-stop took more than")),
    ("missing-hook", Failed(FailureReason::UnknownWorld, "on-loop")),
    ("mixed-drafts", Failed(FailureReason::UnknownImport, "[static]digital-out-pin.get")),
    ("no-entry-points", Failed(FailureReason::UnknownWorld, "_start")),
    ("no-memory", Failed(FailureReason::Trap, "no `memory`")),
    ("null-call", Failed(FailureReason::Trap, "empty table element")),
    ("out-of-bounds", Failed(FailureReason::Trap, "out of bounds")),
    ("pointer-label-huge", Failed(FailureReason::Trap, "outside the memory")),
    ("pointer-log-huge-length", Failed(FailureReason::Trap, "outside the memory")),
    ("pointer-log-past-end", Failed(FailureReason::Trap, "outside the memory")),
    ("pointer-log-wraps", Failed(FailureReason::Trap, "outside the memory")),
    ("pointer-open-input-answer", Failed(FailureReason::Trap, "outside the memory")),
    ("pointer-open-input-label", Failed(FailureReason::Trap, "outside the memory")),
    ("pointer-open-output-answer", Failed(FailureReason::Trap, "outside the memory")),
    ("pointer-open-output-label", Failed(FailureReason::Trap, "outside the memory")),
    ("pollable-flood", Failed(FailureReason::Trap, "one more pollable")),
    ("pollable-list-huge", Failed(FailureReason::Trap, "a list of 4294967295 elements")),
    ("refuse-to-start", Failed(FailureReason::StartRefused, "no status")),
    ("sleep-for-ever", Stopped(0)),
    ("sleep-in-stop", Failed(FailureReason::StopLimit, "on-stop")),
    ("start-function-loop", Failed(FailureReason::LoadLimit, "start function took more than")),
    ("table-grow-in-a-loop", Stopped(0)),
    ("tail-call-of-the-host", Failed(FailureReason::InvalidModule, "tail calls support is not enabled")),
    ("timer-flood", Stopped(0)),
    ("timer-too-fast", Failed(FailureReason::StartRefused, "not granted")),
    ("timer-unknown-number", Failed(FailureReason::StartRefused, "no such line, timer or device")),
    ("too-large-table", Failed(FailureReason::TableLimit, "")),
    ("too-much-initial-memory", Failed(FailureReason::MemoryLimit, "may have 2097152")),
    ("trap-in-loop", Failed(FailureReason::Trap, "on-loop: unreachable")),
    ("trap-in-start", Failed(FailureReason::Trap, "on-start: unreachable")),
    ("trap-in-start-function", Failed(FailureReason::Trap, "start function: unreachable")),
    ("trap-in-stop", Failed(FailureReason::Trap, "on-stop: unreachable")),
    ("unknown-import", Failed(FailureReason::UnknownImport, "atoll:node/teleport@0.1.0.beam")),
    ("unknown-next", Failed(FailureReason::Trap, "`next`")),
    ("unknown-version", Failed(FailureReason::UnknownImport, "atoll:node/clock@9.0.0")),
    ("wait-for-nothing", Stopped(0)),
    ("wait-for-reserved-bits", Stopped(0)),
    ("wasi-huge-write", Exits(0)),
    ("wasi-large-exit-code", Exits(300)),
    ("wasi-loop", Stopped(143)),
    ("wasi-sleep-for-ever", Stopped(143)),
    ("wasi-trap", Failed(FailureReason::Trap, "_start: unreachable")),
    ("wasi-unknown-descriptor", Exits(0)),
    // The whole specification is linked; what a cell does not have answers an error number.
    ("wasi-unknown-function", Exits(0)),
    ("wasi-write-flood", Stopped(143)),
    ("wrong-hook-type", Failed(FailureReason::UnknownWorld, "on-loop")),
    ("wrong-signature", Failed(FailureReason::UnknownImport, "[method]output.set")),
];

fn modules() -> Vec<(String, Vec<u8>)> {
    let Ok(folder) = fs::read_dir(examples().join("hostile")) else {
        eprintln!("skipped: there is no examples/hostile");
        return Vec::new();
    };
    let mut modules: Vec<_> = folder.filter_map(|entry| module(&entry.ok()?.path())).collect();
    modules.sort();
    modules
}

fn module(path: &Path) -> Option<(String, Vec<u8>)> {
    let text = (path.extension()? == "wat").then(|| fs::read_to_string(path).ok())??;
    // Not validated: invalid code is one of the cases.
    Some((path.file_stem()?.to_str()?.into(), wat::parse_str(&text).ok()?))
}

/// Runs a module that is told to stop, to its end.
fn run(node: &mut FakeNode, wasm: &[u8], arguments: &[&str]) -> CellStatus {
    node.load(wasm, &configuration(arguments), Command::Run);
    node.command_in(STOP_AFTER_NS, Command::Stop);
    node.run_to_end()
}

/// That the next container finds everything as the first one did.
#[track_caller]
fn assert_reusable(node: &mut FakeNode, after: &str) {
    let again = reactor("", "(i32.const 0)", "(i32.const 1)", "");
    let status = node.run(&again, &configuration(&[]));
    assert_eq!(state(&status), ContainerState::Finalised, "after {after}: {}", detail(&status));
    let node_state = node.state();
    assert!(node_state.timers.iter().all(Option::is_none), "after {after}: {:?}", node_state.timers);
    assert!(node_state.lines.values().all(|line| !line.is_output && !line.is_input), "after {after}");
}

fn check(name: &str, expected: End, status: &CellStatus) {
    let text = detail(status);
    let (state, reason) = (state(status), reason(status));
    let right = match expected {
        Failed(expected, word) => state == ContainerState::Failed && reason == expected && text.contains(word),
        Exits(code) => state == ContainerState::Finalised && status.exit_code == code,
        Stopped(code) => {
            state == ContainerState::Finalised && status.exit_code == code && status.ended_ns >= STOP_AFTER_NS
        }
    };
    assert!(right, "{name}: expected {expected:?}, got {state} {reason} `{text}` {status:?}");
}

#[test]
fn each_ends_as_expected_and_leaves_the_cell_reusable() {
    for (name, wasm) in modules() {
        let mut node = node();
        let expected = EXPECTED.iter().find(|(known, _)| *known == name).map(|(_, expected)| *expected);
        let status = match expected {
            Some(Exits(_)) => node.run(&wasm, &configuration(&[])),
            _ => run(&mut node, &wasm, &[]),
        };
        assert!(state(&status).is_final(), "{name}: {status:?}");
        if let Some(expected) = expected {
            check(&name, expected, &status);
        }
        assert_reusable(&mut node, &name);
    }
}

#[test]
fn one_cell_takes_them_all_in_turn() {
    let mut node = node();
    for (name, wasm) in modules() {
        let status = run(&mut node, &wasm, &[]);
        assert!(state(&status).is_final(), "{name}: {status:?}");
        // What was not delivered of the stop belongs to this one.
        while node.step() {}
        assert_reusable(&mut node, &name);
    }
}

#[test]
fn pointers_outside_the_memory_never_work() {
    let Some((_, wasm)) = modules().into_iter().find(|(name, _)| name == "wasi-out-of-range-pointers") else {
        return;
    };
    let mut node = node();
    for case in 1..=16 {
        let status = run(&mut node, &wasm, &vec!["x"; case]);
        let trapped = state(&status) == ContainerState::Failed && reason(&status) == FailureReason::Trap;
        let answered = state(&status) == ContainerState::Finalised && status.exit_code == 0;
        assert!(trapped || answered, "case {case}: {status:?}");
        while node.step() {}
    }
}

#[test]
fn a_huge_write_arrives_whole() {
    let Some((_, wasm)) = modules().into_iter().find(|(name, _)| name == "wasi-huge-write") else {
        return;
    };
    let mut node = node();
    assert_finalised(&node.run(&wasm, &configuration(&[])), 0);
    let text = node.text(Stream::Stdout);
    assert_eq!(text.len(), 1024 * 1024);
    assert!(text.bytes().all(|byte| byte == b'x'));
}

#[test]
fn what_it_printed_before_the_trap_is_there() {
    let Some((_, wasm)) = modules().into_iter().find(|(name, _)| name == "wasi-trap") else { return };
    let mut node = node();
    node.run(&wasm, &configuration(&[]));
    assert_eq!(node.text(Stream::Stdout), "before\n");
    assert!(node.text(Stream::Cell).starts_with("_start: unreachable"));
}

#[test]
fn a_too_long_record_is_cut_and_marked() {
    let Some((_, wasm)) = modules().into_iter().find(|(name, _)| name == "log-too-long") else { return };
    let mut node = node();
    let status = run(&mut node, &wasm, &[]);
    assert_eq!(state(&status), ContainerState::Finalised, "{}", detail(&status));
    let levels = [Stream::Error, Stream::Warn, Stream::Info, Stream::Debug, Stream::Trace];
    let text: String = levels.into_iter().map(|level| node.text(level)).collect();
    assert!(text.len() <= 1024 && text.ends_with('…'), "{} bytes", text.len());
}
