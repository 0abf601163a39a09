//! Devices at the bus: the node's own interface, the draft of `wasi:i2c`, and what goes wrong at either.

use runner_executor::fake::{FakeDevice, FakeNode};
use runner_interfaces::{cell::FailureReason, i2c::Transfer};

use crate::support::*;

const SENSOR: u8 = 0x48;
const CHARGER: u8 = 0x6b;

const IMPORTS: &str = r#"
    (import "atoll:node/i2c@0.1.0" "open" (func $open (param i32 i32)))
    (import "atoll:node/i2c@0.1.0" "[method]device.write-u8" (func $write (param i32 i32 i32) (result i32)))
    (import "atoll:node/i2c@0.1.0" "[method]device.write-u16-be" (func $write16 (param i32 i32 i32) (result i32)))
    (import "atoll:node/i2c@0.1.0" "[method]device.send" (func $send (param i32 i64 i32) (result i32)))
    (import "atoll:node/i2c@0.1.0" "[method]device.read" (func $read (param i32 i32 i32) (result i32)))
    (import "atoll:node/i2c@0.1.0" "[method]device.receive" (func $receive (param i32 i32) (result i32)))
    (import "atoll:node/i2c@0.1.0" "[method]device.value-u64" (func $value (param i32) (result i64)))
    (import "atoll:node/i2c@0.1.0" "[method]device.value-word" (func $word (param i32 i32) (result i64)))
    (import "atoll:node/i2c@0.1.0" "[resource-drop]device" (func $drop (param i32)))
    (memory (export "memory") 1)
    (func $must (param i32 i32) (if (i32.ne (local.get 0) (local.get 1)) (then unreachable)))
    (func $mustl (param i64 i64) (if (i64.ne (local.get 0) (local.get 1)) (then unreachable)))
    (func $sensor (result i32)
        (call $open (i32.const 0x48) (i32.const 64))
        (if (i32.load8_u (i32.const 64)) (then unreachable))
        (i32.load (i32.const 68)))"#;

const BUS_IMPORTS: &str = r#"
    (import "wasi:i2c/i2c@0.2.0-draft" "[method]i2c.read" (func $read (param i32 i32 i64 i32)))
    (import "wasi:i2c/i2c@0.2.0-draft" "[method]i2c.write" (func $write (param i32 i32 i32 i32 i32)))
    (import "wasi:i2c/i2c@0.2.0-draft" "[method]i2c.write-read" (func $write_read (param i32 i32 i32 i32 i64 i32)))
    (import "wasi:i2c/i2c@0.2.0-draft" "[resource-drop]i2c" (func $drop (param i32)))
    (memory (export "memory") 1) (data (i32.const 0) "\10\01\02\03")
    (func $must (param i32 i32) (if (i32.ne (local.get 0) (local.get 1)) (then unreachable)))"#;

/// The container's allocator: always the same room.
const ROOM: &str = r#"(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))"#;

/// A node with a device that the cell may speak to and one that it may not.
fn bus() -> FakeNode {
    let node = node();
    let bytes = core::array::from_fn(|index| index.to_le_bytes()[0]);
    for (address, may_use) in [(SENSOR, true), (CHARGER, false)] {
        node.state().devices.insert(address, FakeDevice { may_use, bytes, pointer: 0 });
    }
    node
}

fn does(imports: &str, body: &str) -> Vec<u8> {
    reactor(imports, &format!("(local $h i32) {body} (i32.const 0)"), "(i32.const 1)", "")
}

#[test]
fn registers_are_written_and_read() {
    let mut node = bus();
    let module = does(
        IMPORTS,
        "(local.set $h (call $sensor))
         (call $mustl (call $value (local.get $h)) (i64.const 0))
         (call $must (call $read (local.get $h) (i32.const 0x19) (i32.const 2)) (i32.const 0))
         (call $mustl (call $value (local.get $h)) (i64.const 0x191a))
         (call $must (call $receive (local.get $h) (i32.const 1)) (i32.const 0))
         (call $mustl (call $value (local.get $h)) (i64.const 0x1b))
         (call $must (call $write (local.get $h) (i32.const 0x80) (i32.const 0x1ab)) (i32.const 0))
         (call $must (call $write16 (local.get $h) (i32.const 0x81) (i32.const 0xcdef)) (i32.const 0))
         (call $mustl (call $value (local.get $h)) (i64.const 0x1b))
         (call $must (call $send (local.get $h) (i64.const 0x8301020304) (i32.const 5)) (i32.const 0))
         (call $must (call $read (local.get $h) (i32.const 0x80) (i32.const 8)) (i32.const 0))
         (call $mustl (call $value (local.get $h)) (i64.const 0xabcdef0102030487))
         (call $must (call $read (local.get $h) (i32.const 0) (i32.const 16)) (i32.const 0))
         (call $mustl (call $value (local.get $h)) (i64.const 0))
         (call $mustl (call $word (local.get $h) (i32.const 1)) (i64.const 0x0f0e0d0c0b0a0908))
         (call $drop (local.get $h))",
    );
    let status = node.run(&module, &configuration(&[]));
    assert_finalised(&status, 0);
    assert_eq!(status.refused_calls, 0);
    let asked: Vec<_> = node.state().calls.iter().filter_map(|(_, message)| Transfer::of(message).ok()).collect();
    assert_eq!(asked[0], Transfer::new(SENSOR, &[], 0).expect("short"), "open asks who is there");
    assert_eq!(node.state().devices[&SENSOR].bytes[0x80..0x88], [0xab, 0xcd, 0xef, 1, 2, 3, 4, 0x87]);
}

/// The numbers are those of `status`: not-found 1, not-granted 2, invalid 3.
#[test]
fn what_is_refused_is_told_and_counted() {
    let mut node = bus();
    let module = does(
        IMPORTS,
        "(call $open (i32.const 0x6b) (i32.const 64))
         (call $must (i32.load8_u (i32.const 64)) (i32.const 1)) (call $must (i32.load8_u (i32.const 68)) (i32.const 2))
         (call $open (i32.const 0x20) (i32.const 64)) (call $must (i32.load8_u (i32.const 68)) (i32.const 1))
         (call $open (i32.const 0x80) (i32.const 64)) (call $must (i32.load8_u (i32.const 68)) (i32.const 1))
         (local.set $h (call $sensor))
         (call $must (call $read (local.get $h) (i32.const 7) (i32.const 1)) (i32.const 0))
         (call $must (call $read (local.get $h) (i32.const 0) (i32.const 17)) (i32.const 3))
         (call $mustl (call $value (local.get $h)) (i64.const 0))
         (call $must (call $read (local.get $h) (i32.const 0) (i32.const -1)) (i32.const 3))
         (call $must (call $send (local.get $h) (i64.const 0) (i32.const 9)) (i32.const 3))
         (call $must (call $send (local.get $h) (i64.const 0) (i32.const -1)) (i32.const 3))",
    );
    let status = node.run(&module, &configuration(&[]));
    assert_finalised(&status, 0);
    assert_eq!(status.refused_calls, 7);
}

#[test]
fn a_right_that_is_gone_stops_an_open_device() {
    let mut node = bus();
    node.state().devices.get_mut(&SENSOR).expect("it is there").may_use = false;
    let module = does(
        IMPORTS,
        "(call $open (i32.const 0x48) (i32.const 64)) (call $must (i32.load8_u (i32.const 68)) (i32.const 2))",
    );
    assert_finalised(&node.run(&module, &configuration(&[])), 0);
    let mut gone = bus();
    gone.state().drivers_are_gone = true;
    let module = does(
        IMPORTS,
        "(call $open (i32.const 0x48) (i32.const 64)) (call $must (i32.load8_u (i32.const 68)) (i32.const 5))",
    );
    assert_finalised(&gone.run(&module, &configuration(&[])), 0);
}

#[test]
fn a_handle_that_is_none_ends_the_container() {
    for body in [
        "(drop (call $read (i32.const 1) (i32.const 0) (i32.const 1)))",
        "(drop (call $send (i32.const 0) (i64.const 0) (i32.const 99)))",
        "(drop (call $value (i32.const 7)))",
        "(local.set $h (call $sensor)) (call $drop (local.get $h)) (call $drop (local.get $h))",
        "(local.set $h (call $sensor)) (call $drop (local.get $h)) (drop (call $word (local.get $h) (i32.const 0)))",
    ] {
        assert_failed(&bus().run(&does(IMPORTS, body), &configuration(&[])), FailureReason::Trap, "device handle");
    }
    let misplaced = "(call $open (i32.const 0x48) (i32.const 65))";
    assert_failed(&bus().run(&does(IMPORTS, misplaced), &configuration(&[])), FailureReason::Trap, "misaligned");
    let outside = "(call $open (i32.const 0x48) (i32.const 0xfffc))";
    assert_failed(&bus().run(&does(IMPORTS, outside), &configuration(&[])), FailureReason::Trap, "outside");
}

#[test]
fn open_devices_have_an_end() {
    let opens = "(call $open (i32.const 0x48) (i32.const 64)) (call $must (i32.load8_u (i32.const 64)) (i32.const 0))";
    let full = "(call $open (i32.const 0x48) (i32.const 64)) (call $must (i32.load8_u (i32.const 68)) (i32.const 4))";
    let module = does(IMPORTS, &(opens.repeat(16) + full));
    assert_finalised(&bus().run(&module, &configuration(&[])), 0);
}

/// `error-code`: bus 0, no-acknowledge 2 (of the address 0), other 4.
#[test]
fn the_draft_of_wasi_i2c_moves_lists() {
    let mut node = bus();
    let module = does(
        &format!("{BUS_IMPORTS} {ROOM}"),
        "(call $write (i32.const 1) (i32.const 0x48) (i32.const 0) (i32.const 4) (i32.const 64))
         (call $must (i32.load8_u (i32.const 64)) (i32.const 0))
         (call $write_read (i32.const 1) (i32.const 0x48) (i32.const 0) (i32.const 1) (i64.const 4) (i32.const 64))
         (call $must (i32.load8_u (i32.const 64)) (i32.const 0))
         (call $must (i32.load (i32.const 68)) (i32.const 1024))
         (call $must (i32.load (i32.const 72)) (i32.const 4))
         (call $must (i32.load (i32.const 1024)) (i32.const 0x13030201))
         (call $read (i32.const 1) (i32.const 0x48) (i64.const 1) (i32.const 64))
         (call $must (i32.load (i32.const 72)) (i32.const 1))
         (call $must (i32.load8_u (i32.const 1024)) (i32.const 0x14))
         (call $drop (i32.const 1))",
    );
    assert_finalised(&node.run(&module, &configuration(&[])), 0);
}

#[test]
fn the_draft_of_wasi_i2c_has_a_name_for_each_failure() {
    let mut node = bus();
    let module = does(
        BUS_IMPORTS,
        "(call $read (i32.const 1) (i32.const 0x20) (i64.const 1) (i32.const 64))
         (call $must (i32.load8_u (i32.const 64)) (i32.const 1)) (call $must (i32.load16_u (i32.const 68)) (i32.const 2))
         (i32.store (i32.const 68) (i32.const -1))
         (call $read (i32.const 1) (i32.const 0x148) (i64.const 1) (i32.const 64))
         (call $must (i32.load16_u (i32.const 68)) (i32.const 2))
         (call $read (i32.const 1) (i32.const 0x6b) (i64.const 1) (i32.const 64))
         (call $must (i32.load8_u (i32.const 68)) (i32.const 4))
         (call $read (i32.const 1) (i32.const 0x48) (i64.const 17) (i32.const 64))
         (call $must (i32.load8_u (i32.const 68)) (i32.const 4))
         (call $read (i32.const 1) (i32.const 0x48) (i64.const 0x100000001) (i32.const 64))
         (call $must (i32.load8_u (i32.const 68)) (i32.const 4))
         (call $write (i32.const 1) (i32.const 0x48) (i32.const 0) (i32.const 17) (i32.const 64))
         (call $must (i32.load8_u (i32.const 65)) (i32.const 4))",
    );
    let status = node.run(&module, &configuration(&[]));
    assert_finalised(&status, 0);
    assert_eq!(status.refused_calls, 6);
    let broken = [
        ("(call $read (i32.const 1) (i32.const 0x48) (i64.const 1) (i32.const 64))", "cabi_realloc"),
        ("(call $read (i32.const 2) (i32.const 0x48) (i64.const 1) (i32.const 64))", "i2c handle 2"),
        ("(call $drop (i32.const 1)) (call $drop (i32.const 1))", "i2c handle 1"),
        ("(call $read (i32.const 1) (i32.const 0x48) (i64.const 1) (i32.const 65))", "misaligned"),
        ("(call $read (i32.const 1) (i32.const 0x48) (i64.const 1) (i32.const 0xfff8))", "outside"),
        ("(call $write (i32.const 1) (i32.const 0x48) (i32.const 0xffff) (i32.const 2) (i32.const 64))", "outside"),
        ("(call $write (i32.const 1) (i32.const 0x48) (i32.const 0) (i32.const -1) (i32.const 64))", "outside"),
    ];
    for (body, word) in broken {
        assert_failed(&bus().run(&does(BUS_IMPORTS, body), &configuration(&[])), FailureReason::Trap, word);
    }
}
