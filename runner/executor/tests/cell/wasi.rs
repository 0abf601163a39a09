//! WASI preview 1, call by call.

use runner_executor::fake::{CLOCK_STEP_NS, FakeNode};
use runner_interfaces::{
    cell::{CellConfiguration, Command, ContainerState, FailureReason},
    output::{OUTPUT_PAYLOAD_BYTES, Stream},
};

use crate::support::*;

/// The functions of the specification (legacy/preview1/docs.md), with the parameters of its witx in core types.
const FUNCTIONS: &str = include_str!("preview1.txt");

/// Name and types of the parameters of each.
pub(crate) fn functions() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = FUNCTIONS.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split_once(' ').unwrap_or((line, "")))
}

/// A command whose `_start` is `body`; `$want` exits with its line's number where a call's answer is not the expected one.
pub(crate) fn command(data: &str, body: &str) -> Vec<u8> {
    let imports: String = functions()
        .map(|(name, parameters)| {
            let result = if name == "proc_exit" { "" } else { "(result i32)" };
            format!(r#"(import "wasi_snapshot_preview1" "{name}" (func ${name} (param {parameters}) {result}))"#)
        })
        .collect();
    wat(&format!(
        r#"(module {imports}
            (memory (export "memory") 2) {data}
            (func $want (param $step i32) (param $expected i32) (param $answer i32)
                (if (i32.ne (local.get $expected) (local.get $answer))
                    (then (call $proc_exit (i32.add (i32.mul (local.get $step) (i32.const 1000)) (local.get $answer))))))
            (func (export "_start") {body}))"#
    ))
}

#[track_caller]
fn assert_works(data: &str, body: &str) -> FakeNode {
    let mut node = node();
    assert_finalised(&node.run(&command(data, body), &configuration(&["one", "two"])), 0);
    node
}

#[test]
fn arguments_and_environment_arrive() {
    let node = assert_works(
        "",
        "(call $want (i32.const 1) (i32.const 0) (call $args_get (i32.const 64) (i32.const 100)))
         (call $want (i32.const 2) (i32.const 100) (i32.load (i32.const 64)))
         (call $want (i32.const 3) (i32.const 105) (i32.load (i32.const 68)))
         (call $want (i32.const 4) (i32.const 109) (i32.load (i32.const 72)))
         (call $want (i32.const 5) (i32.const 0) (call $environ_sizes_get (i32.const 0) (i32.const 4)))
         (call $want (i32.const 6) (i32.const 1) (i32.load (i32.const 0)))
         (call $want (i32.const 7) (i32.const 14) (i32.load (i32.const 4)))
         (call $want (i32.const 8) (i32.const 0) (call $environ_get (i32.const 80) (i32.const 200)))
         (i32.store (i32.const 0) (i32.const 100)) (i32.store (i32.const 4) (i32.const 13))
         (i32.store (i32.const 8) (i32.const 200)) (i32.store (i32.const 12) (i32.const 14))
         (call $want (i32.const 9) (i32.const 0) (call $fd_write (i32.const 1) (i32.const 0) (i32.const 2) (i32.const 32)))
         (call $want (i32.const 10) (i32.const 27) (i32.load (i32.const 32)))",
    );
    assert_eq!(node.text(Stream::Stdout), "test\0one\0two\0GREETING=moin\0");
}

#[test]
fn standard_streams_are_what_they_are() {
    assert_works(
        r#"(data (i32.const 0) "\40\00\00\00\08\00\00\00")"#,
        "(call $want (i32.const 1) (i32.const 0) (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 32)))
         (call $want (i32.const 2) (i32.const 0) (i32.load (i32.const 32)))
         (call $want (i32.const 3) (i32.const 76) (call $fd_read (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))
         (call $want (i32.const 4) (i32.const 76) (call $fd_write (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 32)))
         (call $want (i32.const 5) (i32.const 70) (call $fd_seek (i32.const 1) (i64.const 0) (i32.const 0) (i32.const 32)))
         (call $want (i32.const 6) (i32.const 8) (call $fd_seek (i32.const 3) (i64.const 0) (i32.const 0) (i32.const 32)))
         (call $want (i32.const 7) (i32.const 0) (call $fd_fdstat_get (i32.const 2) (i32.const 128)))
         (call $want (i32.const 8) (i32.const 2) (i32.load8_u (i32.const 128)))
         (call $want (i32.const 9) (i32.const 0) (call $fd_fdstat_set_flags (i32.const 1) (i32.const 4)))
         (call $want (i32.const 10) (i32.const 28) (call $fd_fdstat_set_flags (i32.const 1) (i32.const 64)))
         (call $want (i32.const 11) (i32.const 8) (call $fd_prestat_get (i32.const 3) (i32.const 128)))
         (call $want (i32.const 12) (i32.const 8) (call $fd_prestat_dir_name (i32.const 3) (i32.const 0) (i32.const 0)))
         (call $want (i32.const 13) (i32.const 0) (call $fd_close (i32.const 1)))
         (call $want (i32.const 14) (i32.const 8) (call $fd_close (i32.const 1)))
         (call $want (i32.const 15) (i32.const 8) (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))
         (call $want (i32.const 16) (i32.const 0) (call $fd_write (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 32)))
         (call $want (i32.const 17) (i32.const 28) (call $fd_write (i32.const 2) (i32.const 0) (i32.const 1025) (i32.const 32)))",
    );
}

#[test]
fn every_function_of_the_specification_is_linked_with_its_type() {
    let mut node = node();
    let mut count = 0;
    for (name, parameters) in functions() {
        let result = if name == "proc_exit" { "" } else { "(result i32)" };
        let wasm = wat(&format!(
            r#"(module (import "wasi_snapshot_preview1" "{name}" (func (param {parameters}) {result})) (func (export "_start")))"#
        ));
        let status = node.run(&wasm, &configuration(&[]));
        assert_eq!(state(&status), ContainerState::Finalised, "{name}: {}", runner_executor::fake::detail(&status));
        count += 1;
    }
    assert_eq!(count, 46);
    let unknown = wat(r#"(module (import "wasi_snapshot_preview1" "fd_fly" (func)) (func (export "_start")))"#);
    let status = node.run(&unknown, &configuration(&[]));
    assert_failed(&status, FailureReason::UnknownImport, "wasi_snapshot_preview1.fd_fly");
}

#[test]
fn clocks_count_from_the_nodes_start() {
    let node = assert_works(
        "",
        "(call $want (i32.const 1) (i32.const 0) (call $clock_time_get (i32.const 1) (i64.const 0) (i32.const 0)))
         (call $want (i32.const 2) (i32.const 0) (call $clock_time_get (i32.const 0) (i64.const 0) (i32.const 8)))
         (call $want (i32.const 3) (i32.const 1) (i64.lt_u (i64.load (i32.const 0)) (i64.load (i32.const 8))))
         (call $want (i32.const 4) (i32.const 0) (call $clock_res_get (i32.const 1) (i32.const 16)))
         (call $want (i32.const 5) (i32.const 1) (i32.load (i32.const 16)))
         (call $want (i32.const 6) (i32.const 58) (call $clock_time_get (i32.const 2) (i64.const 0) (i32.const 0)))
         (call $want (i32.const 7) (i32.const 28) (call $clock_time_get (i32.const 9) (i64.const 0) (i32.const 0)))
         (i32.store (i32.const 32) (i32.const 0)) (i32.store (i32.const 36) (i32.const 8))
         (call $want (i32.const 8) (i32.const 0) (call $fd_write (i32.const 1) (i32.const 32) (i32.const 1) (i32.const 48)))",
    );
    let bytes = node.records[0].bytes[..8].try_into().unwrap();
    let status = node.status();
    let told = u64::from_le_bytes(bytes);
    assert!((status.started_ns..status.ended_ns).contains(&told), "{told} {status:?}");
}

#[test]
fn random_bytes_come_from_the_seed() {
    let fill = "(call $want (i32.const 1) (i32.const 0) (call $random_get (i32.const 1024) (i32.const 100000)))";
    // The last of them, a few hundred bytes at a time: one call writes no more.
    let write = |from: usize| {
        format!(
            "(i32.store (i32.const 0) (i32.const {from})) (i32.store (i32.const 4) (i32.const 400))
            (call $want (i32.const 2) (i32.const 0) (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
            (call $want (i32.const 3) (i32.const 400) (i32.load (i32.const 16)))"
        )
    };
    let body = &format!("{fill} {}", (97_024..101_024).step_by(400).map(write).collect::<String>());
    let bytes = |seed| {
        let mut node = node();
        let configuration = CellConfiguration { seed, ..configuration(&[]) };
        let status = node.run(&command("", body), &configuration);
        assert_finalised(&status, 0);
        assert!(status.heartbeat > 6, "100,000 bytes are filled in turns: {}", status.heartbeat);
        node.records.iter().flat_map(|record| record.bytes.clone()).collect::<Vec<u8>>()
    };
    let first = bytes(7);
    assert_eq!(first.len(), 4000);
    assert_eq!(first, bytes(7));
    assert_ne!(first, bytes(8));
    let ones: u32 = first.iter().map(|byte| byte.count_ones()).sum();
    let share = f64::from(ones) / (first.len() as f64 * 8.0);
    assert!((0.48..0.52).contains(&share), "{share} of the bits are set");
}

#[test]
fn yielding_ends_a_slice_and_nothing_else() {
    let node = assert_works(
        "",
        "(call $want (i32.const 1) (i32.const 0) (call $sched_yield)) (call $want (i32.const 2) (i32.const 0) (call $sched_yield))",
    );
    assert_eq!(node.status().slices, 3);
}

/// One subscription at `at`: a clock, relative or absolute.
fn clock(at: u32, userdata: u32, clock: u32, nanoseconds: u64, flags: u32) -> String {
    format!(
        "(i64.store (i32.const {at}) (i64.const {userdata})) (i32.store8 (i32.const {}) (i32.const 0))
         (i32.store (i32.const {}) (i32.const {clock})) (i64.store (i32.const {}) (i64.const {nanoseconds}))
         (i32.store16 (i32.const {}) (i32.const {flags}))",
        at + 8,
        at + 16,
        at + 24,
        at + 40
    )
}

/// One subscription at `at`: a descriptor.
fn descriptor(at: u32, userdata: u32, tag: u32, descriptor: u32) -> String {
    format!(
        "(i64.store (i32.const {at}) (i64.const {userdata})) (i32.store8 (i32.const {}) (i32.const {tag}))
         (i32.store (i32.const {}) (i32.const {descriptor}))",
        at + 8,
        at + 16
    )
}

const POLL: &str = "(call $poll_oneoff (i32.const 1024) (i32.const 4096) (i32.const";

#[test]
fn poll_wakes_at_the_earliest_clock() {
    let mut node = node();
    let subscriptions =
        [clock(1024, 11, 1, 90_000_000, 0), clock(1072, 22, 1, 40_000_000, 0), clock(1120, 33, 0, 40_000_000, 0)]
            .concat();
    let body = format!(
        "{subscriptions}
         (call $want (i32.const 1) (i32.const 0) {POLL} 3) (i32.const 64)))
         (call $want (i32.const 2) (i32.const 2) (i32.load (i32.const 64)))
         (call $want (i32.const 3) (i32.const 22) (i32.load (i32.const 4096)))
         (call $want (i32.const 4) (i32.const 0) (i32.load16_u (i32.const 4104)))
         (call $want (i32.const 5) (i32.const 33) (i32.load (i32.const 4128)))"
    );
    node.load(&command("", &body), &configuration(&[]), Command::Run);
    assert_eq!(state(&node.run_to(ContainerState::Ready, 10)), ContainerState::Ready);
    let since = node.state().now_ns;
    assert_finalised(&node.run_to_end(), 0);
    let slept = node.status().ended_ns - since;
    assert!((39_000_000..40_000_000 + 10 * CLOCK_STEP_NS).contains(&slept), "{slept} ns");
}

#[test]
fn poll_takes_points_in_time() {
    let mut node = node();
    let body = format!(
        "{} (call $want (i32.const 1) (i32.const 0) {POLL} 1) (i32.const 64)))
         {} (call $want (i32.const 2) (i32.const 0) {POLL} 1) (i32.const 64)))",
        clock(1024, 1, 1, 77_000_000, 1),
        clock(1024, 1, 1, 5, 1)
    );
    assert_finalised(&node.run(&command("", &body), &configuration(&[])), 0);
    let ended = node.status().ended_ns;
    assert!((77_000_000..77_000_000 + 10 * CLOCK_STEP_NS).contains(&ended), "{ended} ns");
}

#[test]
fn poll_answers_at_once_for_descriptors_and_nonsense() {
    let subscriptions = [
        clock(1024, 1, 1, 3_600_000_000_000, 0),
        descriptor(1072, 2, 1, 0),
        descriptor(1120, 3, 2, 1),
        descriptor(1168, 4, 2, 7),
        descriptor(1216, 5, 9, 0),
        clock(1264, 6, 3, 1, 0),
    ]
    .concat();
    let node = assert_works(
        "",
        &format!(
            "{subscriptions}
             (call $want (i32.const 1) (i32.const 0) {POLL} 6) (i32.const 64)))
             (call $want (i32.const 2) (i32.const 5) (i32.load (i32.const 64)))
             (call $want (i32.const 3) (i32.const 2) (i32.load (i32.const 4096)))
             (call $want (i32.const 4) (i32.const 0) (i32.load16_u (i32.const 4104)))
             (call $want (i32.const 5) (i32.const 1) (i32.load8_u (i32.const 4106)))
             (call $want (i32.const 6) (i32.const 0) (i32.load16_u (i32.const 4136)))
             (call $want (i32.const 7) (i32.const 8) (i32.load16_u (i32.const 4168)))
             (call $want (i32.const 8) (i32.const 28) (i32.load16_u (i32.const 4200)))
             (call $want (i32.const 9) (i32.const 58) (i32.load16_u (i32.const 4232)))
             (call $want (i32.const 10) (i32.const 28) {POLL} 0) (i32.const 64)))
             (call $want (i32.const 11) (i32.const 28) {POLL} 257) (i32.const 64)))"
        ),
    );
    assert!(node.status().ended_ns < 1_000_000_000);
}

#[test]
fn poll_fails_where_it_cannot_be_timed() {
    let mut node = node();
    node.state().drivers_are_gone = true;
    let body = format!(
        "{} (call $want (i32.const 1) (i32.const 29) {POLL} 1) (i32.const 64)))",
        clock(1024, 1, 1, 5_000_000, 0)
    );
    assert_finalised(&node.run(&command("", &body), &configuration(&[])), 0);
}

#[test]
fn a_reactor_may_print_too() {
    let mut node = node();
    let declarations = r#"
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1) (data (i32.const 0) "\08\00\00\00\03\00\00\00hi\n")"#;
    let print = "(call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32))";
    assert_finalised(&node.run(&reactor(declarations, print, "(i32.const 1)", ""), &configuration(&[])), 0);
    assert_eq!(node.text(Stream::Stdout), "hi\n");
}

#[test]
fn a_long_write_is_one_piece_in_several_records() {
    // One call writes two, and says so; the next one goes on with the piece.
    let written = 2 * OUTPUT_PAYLOAD_BYTES;
    let body = format!(
        "(memory.fill (i32.const 1024) (i32.const 65) (i32.const 512))
         (call $want (i32.const 1) (i32.const 0) (call $fd_write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 32)))
         (call $want (i32.const 2) (i32.const {written}) (i32.load (i32.const 32)))
         (i32.store (i32.const 0) (i32.const {})) (i32.store (i32.const 4) (i32.const {}))
         (call $want (i32.const 3) (i32.const 0) (call $fd_write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 32)))
         (call $want (i32.const 4) (i32.const {}) (i32.load (i32.const 32)))",
        1024 + written,
        512 - written,
        512 - written,
    );
    let node = assert_works("(data (i32.const 0) \"\\00\\04\\00\\00\\00\\02\\00\\00\")", &body);
    let parts: Vec<(usize, bool)> = node.records.iter().map(|record| (record.bytes.len(), record.continues)).collect();
    assert_eq!(parts.len(), 3);
    assert_eq!(parts.iter().map(|(length, _)| length).sum::<usize>(), 512);
    assert_eq!(parts.iter().map(|(_, continues)| *continues).collect::<Vec<_>>(), [true, true, false]);
}

#[test]
fn poll_waits_for_room_in_the_output() {
    let mut node = node();
    node.admission_reads = false;
    // Writes until a poll of standard output would wait (its clock is long over), then polls without a clock and writes on.
    let body = format!(
        "{}{}
         (i32.store (i32.const 0) (i32.const 512)) (i32.store (i32.const 4) (i32.const 1))
         (block $full (loop $again
            (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))
            (call $want (i32.const 1) (i32.const 0) {POLL} 2) (i32.const 64)))
            (br_if $again (i32.eq (i32.load (i32.const 64)) (i32.const 2)))))
         (call $want (i32.const 2) (i32.const 1) (i32.load (i32.const 64)))
         (call $want (i32.const 3) (i32.const 11) (i32.load (i32.const 4096)))
         {}
         (call $want (i32.const 4) (i32.const 0) {POLL} 1) (i32.const 64)))
         (call $want (i32.const 5) (i32.const 22) (i32.load (i32.const 4096)))",
        clock(1024, 11, 1, 0, 1),
        descriptor(1072, 22, 2, 1),
        descriptor(1024, 22, 2, 1)
    );
    node.load(&command("", &body), &configuration(&[]), Command::Run);
    assert_eq!(state(&node.run_to(ContainerState::Ready, 1000)), ContainerState::Ready);
    let timers = node.state().timers;
    assert!(timers.iter().all(Option::is_none), "it waits for no clock: {timers:?}");
    node.read_output();
    assert_finalised(&node.run_to_end(), 0);
}
