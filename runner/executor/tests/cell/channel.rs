//! Channels as a container sees them: by name, held to their types, waited for, and what the functions make of nonsense.

use runner_executor::fake::{FakeNode, FakeSlot};
use runner_interfaces::cell::{CellConfiguration, CellStatus, ChannelName, Command, ContainerState, FailureReason};
use runner_interfaces::exchange::Direction;

use crate::support::{assert_failed, assert_finalised, configuration, node, state, wat};

/// Imports of the interface, a page of memory with names, and helpers that trap where something is not as expected.
fn container(start: &str, on_loop: &str) -> Vec<u8> {
    wat(&format!(
        r#"(module
            (import "atoll:node/channel@0.1.0" "open-writer" (func $open-writer (param i32 i32 i32)))
            (import "atoll:node/channel@0.1.0" "open-reader" (func $open-reader (param i32 i32 i32)))
            (import "atoll:node/channel@0.1.0" "[method]writer.put-u64" (func $put-u64 (param i32 i64) (result i32)))
            (import "atoll:node/channel@0.1.0" "[method]writer.put-s64" (func $put-s64 (param i32 i64) (result i32)))
            (import "atoll:node/channel@0.1.0" "[method]writer.put-f64" (func $put-f64 (param i32 f64) (result i32)))
            (import "atoll:node/channel@0.1.0" "[method]writer.put-bytes" (func $put-bytes (param i32 i32 i32) (result i32)))
            (import "atoll:node/channel@0.1.0" "[resource-drop]writer" (func $drop-writer (param i32)))
            (import "atoll:node/channel@0.1.0" "[method]reader.next" (func $next (param i32) (result i32)))
            (import "atoll:node/channel@0.1.0" "[method]reader.peek" (func $peek (param i32) (result i32)))
            (import "atoll:node/channel@0.1.0" "[method]reader.value-u64" (func $u64 (param i32) (result i64)))
            (import "atoll:node/channel@0.1.0" "[method]reader.value-s64" (func $s64 (param i32) (result i64)))
            (import "atoll:node/channel@0.1.0" "[method]reader.value-f64" (func $f64 (param i32) (result f64)))
            (import "atoll:node/channel@0.1.0" "[method]reader.value-length" (func $length (param i32) (result i32)))
            (import "atoll:node/channel@0.1.0" "[method]reader.value-word" (func $word (param i32 i32) (result i64)))
            (import "atoll:node/channel@0.1.0" "[method]reader.value-block" (func $block (param i32 i32 i32)))
            (import "atoll:node/channel@0.1.0" "[method]reader.value-bytes" (func $bytes (param i32 i32)))
            (import "atoll:node/channel@0.1.0" "[method]reader.missed" (func $missed (param i32) (result i64)))
            (import "atoll:node/channel@0.1.0" "[resource-drop]reader" (func $drop-reader (param i32)))
            (import "atoll:node/timer@0.1.0" "wait" (func $wait (param i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 0) "out in  none")
            (global $w (mut i32) (i32.const 0))
            (global $r (mut i32) (i32.const 0))
            (func $is (param i32 i32) (if (i32.ne (local.get 0) (local.get 1)) (then unreachable)))
            (func $is64 (param i64 i64) (if (i64.ne (local.get 0) (local.get 1)) (then unreachable)))
            ;; Opens `out` and `in`: their handles are at 1028.
            (func $both
                (call $open-writer (i32.const 0) (i32.const 3) (i32.const 1024))
                (call $is (i32.load8_u (i32.const 1024)) (i32.const 0))
                (global.set $w (i32.load (i32.const 1028)))
                (call $open-reader (i32.const 4) (i32.const 2) (i32.const 1024))
                (call $is (i32.load8_u (i32.const 1024)) (i32.const 0))
                (global.set $r (i32.load (i32.const 1028))))
            ;; Makes its only room at 8192.
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 8192))
            (func (export "on-start") (result i32) {start} (i32.const 0))
            (func (export "on-loop") (result i32) {on_loop} (i32.const 1))
            (func (export "on-stop")))"#
    ))
}

/// `out` and `in` of that type.
fn of_type(value_type: &str) -> CellConfiguration {
    let channel = |name: &str, direction| ChannelName { name: name.into(), direction, value_type: value_type.into() };
    CellConfiguration {
        channels: vec![channel("out", Direction::Put), channel("in", Direction::Get)],
        ..configuration(&[])
    }
}

/// A node where `out` leads to `in`, over a queue of four.
fn bound() -> FakeNode {
    let node = node();
    node.state().exchange.ends = [(0, 0), (1, 0)].into();
    node.state().exchange.slots = [(0, FakeSlot { depth: 4, ..FakeSlot::default() })].into();
    node
}

fn run(node: &mut FakeNode, value_type: &str, start: &str) -> CellStatus {
    node.run(&container(&format!("(call $both) {start}"), ""), &of_type(value_type))
}

fn values(node: &FakeNode) -> Vec<Vec<u8>> {
    node.state().exchange.slots[&0].values.iter().cloned().collect()
}

#[test]
fn numbers_go_in_and_come_out_as_their_type_says() {
    let cases: &[(&str, &str, &[u8], &str)] = &[
        (
            "bool",
            "(call $put-u64 (global.get $w) (i64.const 1))",
            &[1],
            "(call $is64 (call $u64 (global.get $r)) (i64.const 1))",
        ),
        (
            "u8",
            "(call $put-u64 (global.get $w) (i64.const 255))",
            &[255],
            "(call $is64 (call $u64 (global.get $r)) (i64.const 255))",
        ),
        (
            "u64",
            "(call $put-u64 (global.get $w) (i64.const -1))",
            &[255; 8],
            "(call $is64 (call $u64 (global.get $r)) (i64.const -1))",
        ),
        (
            "char",
            "(call $put-u64 (global.get $w) (i64.const 0x1f41a))",
            &[0x1a, 0xf4, 1, 0],
            "(call $is64 (call $u64 (global.get $r)) (i64.const 0x1f41a))",
        ),
        (
            "s8",
            "(call $put-s64 (global.get $w) (i64.const -128))",
            &[128],
            "(call $is64 (call $s64 (global.get $r)) (i64.const -128))",
        ),
        (
            "s32",
            "(call $put-s64 (global.get $w) (i64.const -2))",
            &[254, 255, 255, 255],
            "(call $is64 (call $s64 (global.get $r)) (i64.const -2))",
        ),
        (
            "f32",
            "(call $put-f64 (global.get $w) (f64.const 0.1))",
            &[0xcd, 0xcc, 0xcc, 0x3d],
            "(call $is (f64.eq (call $f64 (global.get $r)) (f64.promote_f32 (f32.const 0.1))) (i32.const 1))",
        ),
        (
            "f64",
            "(call $put-f64 (global.get $w) (f64.const -1.5))",
            &[0, 0, 0, 0, 0, 0, 0xf8, 0xbf],
            "(call $is (f64.eq (call $f64 (global.get $r)) (f64.const -1.5)) (i32.const 1))",
        ),
    ];
    for (value_type, put, bytes, get) in cases {
        let mut node = bound();
        assert_finalised(&run(&mut node, value_type, &format!("(call $is {put} (i32.const 0))")), 0);
        assert_eq!(values(&node), [*bytes], "{value_type}");
        let status =
            run(&mut node, value_type, &format!("(call $is (call $next (global.get $r)) (i32.const 0)) {get}"));
        assert_finalised(&status, 0);
        assert_eq!(status.refused_calls, 0, "{value_type}");
    }
}

#[test]
fn what_is_no_value_of_the_type_is_invalid_and_goes_nowhere() {
    let cases = [
        ("bool", "(call $put-u64 (global.get $w) (i64.const 2))"),
        ("u8", "(call $put-u64 (global.get $w) (i64.const 256))"),
        ("u32", "(call $put-u64 (global.get $w) (i64.const -1))"),
        ("char", "(call $put-u64 (global.get $w) (i64.const 0xd800))"),
        ("s8", "(call $put-s64 (global.get $w) (i64.const 128))"),
        ("s16", "(call $put-s64 (global.get $w) (i64.const -32769))"),
        // Another type's function.
        ("u8", "(call $put-s64 (global.get $w) (i64.const 1))"),
        ("s8", "(call $put-u64 (global.get $w) (i64.const 1))"),
        ("u8", "(call $put-f64 (global.get $w) (f64.const 1))"),
        ("f64", "(call $put-u64 (global.get $w) (i64.const 1))"),
        ("string", "(call $put-u64 (global.get $w) (i64.const 1))"),
        ("tuple<u8>", "(call $put-u64 (global.get $w) (i64.const 1))"),
        ("u8", "(call $put-bytes (global.get $w) (i32.const 0) (i32.const 1))"),
        // Bytes: none, too many, too few, not UTF-8, not a `bool`.
        ("list<u8>", "(call $put-bytes (global.get $w) (i32.const 0) (i32.const 0))"),
        ("list<u8>", "(call $put-bytes (global.get $w) (i32.const 0) (i32.const 257))"),
        ("list<u8>", "(call $put-bytes (global.get $w) (i32.const 0) (i32.const 65536))"),
        ("tuple<u8, u32>", "(call $put-bytes (global.get $w) (i32.const 0) (i32.const 5))"),
        (
            "string",
            "(i32.store8 (i32.const 64) (i32.const 0xff)) (call $put-bytes (global.get $w) (i32.const 64) (i32.const 1))",
        ),
        ("tuple<bool>", "(call $put-bytes (global.get $w) (i32.const 0) (i32.const 1))"),
    ];
    for (value_type, put) in cases {
        let mut node = bound();
        let status = run(&mut node, value_type, &format!("(call $is {put} (i32.const 3))"));
        assert_finalised(&status, 0);
        assert_eq!((values(&node).len(), status.refused_calls), (0, 1), "{value_type}: {put}");
    }
}

#[test]
fn bytes_come_out_word_by_word_and_block_by_block() {
    let value: Vec<u8> = (0..200_u8).collect();
    let mut node = bound();
    let put = "(loop $fill
            (i32.store8 offset=2048 (global.get $r) (global.get $r))
            (global.set $r (i32.add (global.get $r) (i32.const 1)))
            (br_if $fill (i32.lt_u (global.get $r) (i32.const 200))))
        (call $is (call $put-bytes (global.get $w) (i32.const 2048) (i32.const 200)) (i32.const 0))";
    // The loop counts from the reader's handle, 2: the first two bytes are written here.
    let first = "(i32.store16 (i32.const 2048) (i32.const 0x0100))";
    assert_finalised(&run(&mut node, "list<u8>", &format!("{first} {put}")), 0);
    assert_eq!(values(&node), [value]);
    let get = "(call $is (call $next (global.get $r)) (i32.const 0))
        (call $is (call $length (global.get $r)) (i32.const 200))
        (call $is64 (call $word (global.get $r) (i32.const 0)) (i64.const 0x0706050403020100))
        (call $is64 (call $word (global.get $r) (i32.const 24)) (i64.const 0xc7c6c5c4c3c2c1c0))
        (call $is64 (call $word (global.get $r) (i32.const 25)) (i64.const 0))
        (call $is64 (call $word (global.get $r) (i32.const -1)) (i64.const 0))
        (call $block (global.get $r) (i32.const 3) (i32.const 512))
        (call $is64 (i64.load (i32.const 512)) (i64.const 0xc7c6c5c4c3c2c1c0))
        (call $is64 (i64.load (i32.const 520)) (i64.const 0))
        (call $block (global.get $r) (i32.const 1) (i32.const 512))
        (call $is64 (i64.load (i32.const 568)) (i64.const 0x7f7e7d7c7b7a7978))
        (call $block (global.get $r) (i32.const -1) (i32.const 512))
        (call $is64 (i64.load (i32.const 512)) (i64.const 0))";
    let status = run(&mut node, "list<u8>", get);
    assert_finalised(&status, 0);
    assert_eq!(status.refused_calls, 0);
}

#[test]
fn bytes_come_out_as_a_list_in_room_that_the_container_makes() {
    let mut node = bound();
    node.put_value(1, &[0xab; 100]);
    let start = "(call $bytes (global.get $r) (i32.const 512))
        (call $is (i32.load (i32.const 516)) (i32.const 0))
        (call $is (call $next (global.get $r)) (i32.const 0))
        (call $bytes (global.get $r) (i32.const 512))
        (call $is (i32.load (i32.const 512)) (i32.const 8192))
        (call $is (i32.load (i32.const 516)) (i32.const 100))
        (call $is64 (i64.load (i32.const 8284)) (i64.const 0xabababababababab))
        (call $is (i32.load8_u (i32.const 8292)) (i32.const 0))";
    assert_finalised(&run(&mut node, "list<u8>", start), 0);
}

#[test]
fn a_reader_keeps_its_value_until_the_next() {
    let mut node = bound();
    node.put_value(1, &[7, 0, 0, 0]);
    node.state().exchange.slots.get_mut(&0).expect("a slot").overwritten = 3;
    let start = "(call $is64 (call $u64 (global.get $r)) (i64.const 0))
        (call $is (call $length (global.get $r)) (i32.const 0))
        (call $is (call $peek (global.get $r)) (i32.const 0))
        (call $is (call $next (global.get $r)) (i32.const 0))
        (call $is64 (call $missed (global.get $r)) (i64.const 3))
        (call $is (call $next (global.get $r)) (i32.const 8))
        (call $is64 (call $u64 (global.get $r)) (i64.const 7))
        (call $is64 (call $s64 (global.get $r)) (i64.const 0))
        (call $is (f64.eq (call $f64 (global.get $r)) (f64.const 0)) (i32.const 1))";
    let status = run(&mut node, "u32", start);
    assert_finalised(&status, 0);
    assert_eq!(status.refused_calls, 0, "no value is no refusal");
}

#[test]
fn a_value_that_is_none_of_the_type_is_not_let_through() {
    for (value_type, bytes) in [
        ("bool", &[2][..]),
        ("u32", &[1, 2, 3]),
        ("char", &[0, 0xd8, 0, 0]),
        ("string", &[0xff]),
        ("tuple<u8, bool>", &[0, 2]),
    ] {
        let mut node = bound();
        node.put_value(1, bytes);
        let status = run(
            &mut node,
            value_type,
            "(call $is (call $next (global.get $r)) (i32.const 5)) (call $is (call $length (global.get $r)) (i32.const 0))",
        );
        assert_finalised(&status, 0);
        assert_eq!(status.refused_calls, 1, "{value_type}");
    }
}

#[test]
fn a_full_queue_and_an_end_without_another_are_told() {
    let mut node = bound();
    let put = |status: u32| format!("(call $is (call $put-u64 (global.get $w) (i64.const 1)) (i32.const {status}))");
    let status = run(&mut node, "u8", &format!("{}{}", put(0).repeat(4), put(9)));
    assert_finalised(&status, 0);
    assert_eq!(status.refused_calls, 0, "no room is no refusal");
    node.state().exchange.ends.clear();
    let status = run(&mut node, "u8", &format!("{} (call $is (call $next (global.get $r)) (i32.const 10))", put(10)));
    assert_finalised(&status, 0);
    assert_eq!(status.refused_calls, 2);
    node.state().drivers_are_gone = true;
    assert_finalised(&run(&mut node, "u8", &put(5)), 0);
}

#[test]
fn a_channel_opens_by_its_name_one_way_and_once() {
    let open = |function: &str, address: u32, length: u32, status: u32| {
        format!(
            "(call ${function} (i32.const {address}) (i32.const {length}) (i32.const 1024))
             (call $is (i32.load8_u (i32.const 1024)) (i32.const {}))
             (call $is (i32.load8_u (i32.const 1028)) (i32.const {status}))",
            u32::from(status != 0 && status < 100)
        )
    };
    let mut node = bound();
    let start = [
        open("open-writer", 8, 4, 1),
        open("open-writer", 0, 41, 1),
        open("open-writer", 0, 0, 1),
        open("open-writer", 4, 2, 3),
        open("open-reader", 0, 3, 3),
    ]
    .concat();
    let again = [open("open-writer", 0, 3, 4), open("open-reader", 4, 2, 4)].concat();
    // A handle is free again when it was dropped.
    let reopened = "(call $drop-writer (global.get $w)) (call $drop-reader (global.get $r)) (call $both)";
    let wasm = container(&format!("{start} (call $both) {again} {reopened}"), "");
    let status = node.run(&wasm, &of_type("u8"));
    assert_finalised(&status, 0);
    assert_eq!(status.refused_calls, 7);
}

#[test]
fn a_channel_of_a_type_that_there_is_not_does_not_open() {
    let mut node = bound();
    let start = "(call $open-writer (i32.const 0) (i32.const 3) (i32.const 1024))
        (call $is (i32.load8_u (i32.const 1024)) (i32.const 1))
        (call $is (i32.load8_u (i32.const 1028)) (i32.const 5))";
    assert_finalised(&node.run(&container(start, ""), &of_type("list<list<u8>>")), 0);
}

#[test]
fn more_channels_than_ends_are_not_found() {
    let mut node = bound();
    let mut configuration = of_type("u8");
    let last = configuration.channels[0].clone();
    configuration.channels.splice(0..1, (0..16).map(|index| ChannelName { name: format!("c{index}"), ..last.clone() }));
    configuration.channels.push(last);
    let start = "(call $open-writer (i32.const 0) (i32.const 3) (i32.const 1024))
        (call $is (i32.load8_u (i32.const 1028)) (i32.const 1))";
    assert_finalised(&node.run(&container(start, ""), &configuration), 0);
}

/// Each ends as a trap with its reason, and leaves the cell to the next.
#[test]
fn handles_and_addresses_out_of_range_trap() {
    let cases = [
        ("(drop (call $put-u64 (i32.const 0) (i64.const 1)))", "writer handle 0"),
        ("(drop (call $put-u64 (global.get $r) (i64.const 1)))", "writer handle 2"),
        ("(drop (call $put-s64 (i32.const -1) (i64.const 1)))", "writer handle 4294967295"),
        ("(drop (call $put-f64 (i32.const 17) (f64.const 1)))", "writer handle 17"),
        ("(drop (call $put-bytes (i32.const 9) (i32.const 0) (i32.const 1)))", "writer handle 9"),
        ("(drop (call $next (global.get $w)))", "reader handle 1"),
        ("(drop (call $peek (i32.const 3)))", "reader handle 3"),
        ("(drop (call $u64 (i32.const 0)))", "reader handle 0"),
        ("(drop (call $word (global.get $w) (i32.const 0)))", "reader handle 1"),
        ("(drop (call $missed (global.get $w)))", "reader handle 1"),
        ("(call $drop-writer (global.get $r))", "writer handle 2"),
        ("(call $drop-reader (global.get $w))", "reader handle 1"),
        ("(call $drop-reader (global.get $r)) (drop (call $next (global.get $r)))", "reader handle 2"),
        ("(drop (call $put-bytes (global.get $w) (i32.const 65536) (i32.const 1)))", "outside the memory"),
        ("(drop (call $put-bytes (global.get $w) (i32.const 0) (i32.const -1)))", "outside the memory"),
        ("(call $block (global.get $r) (i32.const 0) (i32.const 65480))", "outside the memory"),
        ("(call $block (global.get $r) (i32.const 0) (i32.const -8))", "outside the memory"),
        ("(call $block (global.get $r) (i32.const 0) (i32.const 4))", "misaligned"),
        ("(call $bytes (global.get $w) (i32.const 512))", "reader handle 1"),
        ("(call $bytes (global.get $r) (i32.const 65532))", "outside the memory"),
        ("(call $open-writer (i32.const -1) (i32.const 8) (i32.const 1024))", "outside the memory"),
        ("(call $open-reader (i32.const 0) (i32.const 3) (i32.const 65532))", "outside the memory"),
        ("(call $open-reader (i32.const 0) (i32.const 3) (i32.const 1026))", "misaligned"),
    ];
    let mut node = bound();
    for (start, words) in cases {
        let status = run(&mut node, "list<u8>", start);
        assert_failed(&status, FailureReason::Trap, words);
    }
    assert_finalised(&run(&mut node, "u8", ""), 0);
    assert!(values(&node).is_empty());
}

#[test]
fn a_value_ends_a_wait_for_one() {
    let mut node = bound();
    let on_loop = "(call $is (call $wait (i32.const 0x40000000)) (i32.const 0x40000000))
        (call $is (call $next (global.get $r)) (i32.const 0))
        (call $is64 (call $u64 (global.get $r)) (i64.const 42))";
    node.load(&container("(call $both)", on_loop), &of_type("u8"), Command::Run);
    for _ in 0..20 {
        node.step();
    }
    assert_eq!(state(&node.status()), ContainerState::Ready);
    node.put_value(1, &[42]);
    assert_finalised(&node.run_to_end(), 0);
}

#[test]
fn a_notification_is_no_news_to_a_container_without_channels() {
    let mut node = bound();
    node.load(&container("", "(drop (call $wait (i32.const -1)))"), &of_type("u8"), Command::Run);
    for _ in 0..20 {
        node.step();
    }
    node.notify("channel_exchange");
    node.step();
    assert_eq!(state(&node.status()), ContainerState::Ready);
}

#[test]
fn the_next_container_finds_no_end_open_and_the_values_there() {
    let mut node = bound();
    let put = "(call $is (call $put-u64 (global.get $w) (i64.const 5)) (i32.const 0))";
    assert_finalised(&run(&mut node, "u8", put), 0);
    assert_failed(
        &node.run(&container("(drop (call $next (i32.const 2)))", ""), &of_type("u8")),
        FailureReason::Trap,
        "reader handle 2",
    );
    let get =
        "(call $is (call $next (global.get $r)) (i32.const 0)) (call $is64 (call $u64 (global.get $r)) (i64.const 5))";
    assert_finalised(&run(&mut node, "u8", get), 0);
}
