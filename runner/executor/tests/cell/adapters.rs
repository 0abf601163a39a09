//! Interfaces that others wrote: WASI's clocks, poll and logging, and two drafts of `wasi:gpio` at once.

use runner_executor::fake::FakeLine;
use runner_interfaces::{
    cell::{Command, FailureReason},
    output::Stream,
};

use crate::support::*;

const CLOCKS: &str = r#"
    (import "wasi:clocks/monotonic-clock@0.2.3" "now" (func $now (result i64)))
    (import "wasi:clocks/monotonic-clock@0.2.3" "resolution" (func $resolution (result i64)))
    (import "wasi:clocks/monotonic-clock@0.2.3" "subscribe-instant" (func $at (param i64) (result i32)))
    (import "wasi:clocks/monotonic-clock@0.2.3" "subscribe-duration" (func $in (param i64) (result i32)))
    (import "wasi:clocks/wall-clock@0.2.3" "now" (func $date (param i32)))
    (import "wasi:clocks/wall-clock@0.2.3" "resolution" (func $date_resolution (param i32)))
    (import "wasi:io/poll@0.2.3" "[method]pollable.ready" (func $ready (param i32) (result i32)))
    (import "wasi:io/poll@0.2.3" "[method]pollable.block" (func $block (param i32)))
    (import "wasi:io/poll@0.2.3" "poll" (func $poll (param i32 i32 i32)))
    (import "wasi:io/poll@0.2.3" "[resource-drop]pollable" (func $drop (param i32)))
    (memory (export "memory") 1)
    (func $must (param i32) (if (i32.eqz (local.get 0)) (then unreachable)))"#;

/// Room at 1024, whatever is asked for.
const ROOM: &str = r#"(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))"#;

fn with_clocks(body: &str) -> Vec<u8> {
    let declarations = format!("{CLOCKS} {ROOM}");
    let on_loop = format!("(local $a i32) (local $b i32) (local $t i64) {body} (i32.const 1)");
    reactor(&declarations, "(i32.const 0)", &on_loop, "")
}

#[test]
fn both_clocks_count_from_the_nodes_start() {
    let mut node = node();
    node.state().now_ns = 7_000_000_123;
    let body = "
        (local.set $t (call $now))
        (call $must (i64.ge_u (local.get $t) (i64.const 7000000123)))
        (call $must (i64.eq (call $resolution) (i64.const 1)))
        (call $date (i32.const 64))
        (call $must (i64.eq (i64.load (i32.const 64)) (i64.const 7)))
        (call $must (i32.ge_u (i32.load (i32.const 72)) (i32.wrap_i64 (i64.rem_u (local.get $t) (i64.const 1000000000)))))
        (call $date_resolution (i32.const 64))
        (call $must (i64.eqz (i64.load (i32.const 64))))
        (call $must (i32.eq (i32.load (i32.const 72)) (i32.const 1)))";
    assert_finalised(&node.run(&with_clocks(body), &configuration(&[])), 0);
    for (address, word) in [(68, "misaligned"), (65528, "outside the memory"), (-8, "outside the memory")] {
        let body = format!("(call $date (i32.const {address}))");
        assert_failed(&node.run(&with_clocks(&body), &configuration(&[])), FailureReason::Trap, word);
    }
}

#[test]
fn blocking_on_a_pollable_is_a_sleep() {
    let mut node = node();
    let body = "
        (local.set $t (call $now))
        (local.set $a (call $in (i64.const 50000000)))
        (call $must (i32.eqz (call $ready (local.get $a))))
        (call $block (local.get $a))
        (call $must (call $ready (local.get $a)))
        (call $block (local.get $a))
        (call $must (i64.ge_u (i64.sub (call $now) (local.get $t)) (i64.const 50000000)))
        (call $drop (local.get $a))
        (call $block (call $at (i64.const 1)))";
    let status = node.run(&with_clocks(body), &configuration(&[]));
    assert_finalised(&status, 0);
    assert!((50_000_000..60_000_000).contains(&(status.ended_ns - status.ready_ns)), "{status:?}");
    // A stop ends the wait as any other.
    node.load(&with_clocks("(call $block (call $in (i64.const -1)))"), &configuration(&[]), Command::Run);
    node.command_in(20_000_000, Command::Stop);
    assert_finalised(&node.run_to_end(), 0);
}

#[test]
fn a_poll_waits_for_the_earliest_and_answers_all_that_are_ready() {
    let mut node = node();
    let list = "
        (i32.store (i32.const 64) (call $in (i64.const 90000000)))
        (i32.store (i32.const 68) (local.tee $a (call $in (i64.const 30000000))))
        (i32.store (i32.const 72) (local.get $a))
        (local.set $t (call $now))
        (call $poll (i32.const 64) (i32.const 3) (i32.const 80))";
    let body = format!(
        "{list}
        (call $must (i64.ge_u (i64.sub (call $now) (local.get $t)) (i64.const 29000000)))
        (call $must (i32.eq (i32.load (i32.const 80)) (i32.const 1024)))
        (call $must (i32.eq (i32.load (i32.const 84)) (i32.const 2)))
        (call $must (i32.eq (i32.load (i32.const 1024)) (i32.const 1)))
        (call $must (i32.eq (i32.load (i32.const 1028)) (i32.const 2)))
        (local.set $t (call $now))
        (call $poll (i32.const 68) (i32.const 1) (i32.const 80))
        (call $must (i64.lt_u (i64.sub (call $now) (local.get $t)) (i64.const 5000000)))
        (call $must (i32.eq (i32.load (i32.const 84)) (i32.const 1)))
        (call $must (i32.eqz (i32.load (i32.const 1024))))"
    );
    let status = node.run(&with_clocks(&body), &configuration(&[]));
    assert_finalised(&status, 0);
    let took = status.ended_ns - status.ready_ns;
    assert!((30_000_000..40_000_000).contains(&took), "the later one was not waited for: {took} ns");
}

#[test]
fn a_poll_that_makes_no_sense_traps() {
    let cases = [
        ("(call $poll (i32.const 64) (i32.const 0) (i32.const 80))", "empty list"),
        ("(call $poll (i32.const 64) (i32.const 65) (i32.const 80))", "a list of 65 elements"),
        ("(call $poll (i32.const 64) (i32.const -1) (i32.const 80))", "a list of 4294967295 elements"),
        ("(call $poll (i32.const 66) (i32.const 1) (i32.const 80))", "misaligned"),
        ("(call $poll (i32.const 65532) (i32.const 2) (i32.const 80))", "outside the memory"),
        ("(call $poll (i32.const 64) (i32.const 1) (i32.const 80))", "pollable handle 0, which is not open"),
        (
            "(i32.store (i32.const 64) (call $in (i64.const 1000))) (call $poll (i32.const 64) (i32.const 1) (i32.const 65532))",
            "outside the memory",
        ),
        ("(call $block (i32.const 1))", "pollable handle 1"),
        ("(drop (call $ready (i32.const -1)))", "pollable handle 4294967295"),
        (
            "(local.set $a (call $in (i64.const 1))) (call $drop (local.get $a)) (call $drop (local.get $a))",
            "pollable handle 1",
        ),
        (
            "(local.set $a (call $in (i64.const 1))) (call $drop (local.get $a)) (drop (call $in (i64.const 1))) (call $block (local.get $a))",
            "pollable handle 1",
        ),
        ("(loop $more (drop (call $in (i64.const 1))) (br $more))", "one more pollable than a container may hold"),
    ];
    let mut node = node();
    for (body, word) in cases {
        assert_failed(&node.run(&with_clocks(body), &configuration(&[])), FailureReason::Trap, word);
    }
    assert_finalised(&node.run(&with_clocks("(call $block (call $in (i64.const 1)))"), &configuration(&[])), 0);
}

#[test]
fn a_wait_that_cannot_be_timed_and_cannot_say_so_traps() {
    let mut node = node();
    node.state().drivers_are_gone = true;
    let status = node.run(&with_clocks("(call $block (call $in (i64.const 50000000)))"), &configuration(&[]));
    assert_failed(&status, FailureReason::Trap, "the timer that should end it was refused");
}

#[test]
fn log_records_of_wasi_have_their_context_in_front() {
    let logs = |version: &str, body: &str| {
        let declarations = format!(
            r#"(import "wasi:logging/logging{version}" "log" (func $log (param i32 i32 i32 i32 i32)))
            (memory (export "memory") 1) (data (i32.const 0) "boilerhot\ff")"#
        );
        reactor(&declarations, &format!("{body} (i32.const 0)"), "(i32.const 1)", "")
    };
    let say =
        |level| format!("(call $log (i32.const {level}) (i32.const 0) (i32.const 6) (i32.const 6) (i32.const 3))");
    let mut node = node();
    let streams = [Stream::Trace, Stream::Debug, Stream::Info, Stream::Warn, Stream::Error, Stream::Error];
    for (level, stream) in streams.into_iter().enumerate() {
        for version in ["", "@0.1.0-draft"] {
            assert_finalised(&node.run(&logs(version, &say(level)), &configuration(&[])), 0);
            assert_eq!(node.text(stream), "boiler: hot", "{level}");
        }
    }
    let plain = "(call $log (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 6) (i32.const 3))";
    assert_finalised(&node.run(&logs("", plain), &configuration(&[])), 0);
    assert_eq!(node.text(Stream::Info), "hot");
    let long = "(call $log (i32.const 2) (i32.const 0) (i32.const 6) (i32.const 100) (i32.const 60000))";
    assert_finalised(&node.run(&logs("", long), &configuration(&[])), 0);
    let text = node.text(Stream::Info);
    assert!(text.len() <= 1024 && text.starts_with("boiler: \0") && text.ends_with('…'), "{} bytes", text.len());
    for (call, word) in [
        (say(6), "`level`"),
        ("(call $log (i32.const 2) (i32.const 0) (i32.const 6) (i32.const 6) (i32.const 4))".into(), "not UTF-8"),
        ("(call $log (i32.const 2) (i32.const 4) (i32.const 6) (i32.const 6) (i32.const 3))".into(), "not UTF-8"),
        ("(call $log (i32.const 2) (i32.const 0) (i32.const 6) (i32.const 65530) (i32.const 9))".into(), "outside"),
        ("(call $log (i32.const 2) (i32.const -1) (i32.const 6) (i32.const 6) (i32.const 3))".into(), "outside"),
    ] {
        assert_failed(&node.run(&logs("", &call), &configuration(&[])), FailureReason::Trap, word);
    }
}

/// What the two drafts do alike, by their own ways to a pin.
struct Draft {
    get_out: &'static str,
    get_in: &'static str,
    /// Where `get-config` lays its record.
    record: u32,
}

const MARCH: Draft = Draft { get_out: "get-digital-out", get_in: "get-digital-in", record: 0 };
const MAY: Draft = Draft { get_out: "[static]digital-out-pin.get", get_in: "[static]digital-in-pin.get", record: 4 };

// Flags as both drafts count them, and those of May.
const ACTIVE_HIGH: u8 = 1;
const ACTIVE_LOW: u8 = 2;
const PULL_UP: u8 = 4;
const PULL_DOWN: u8 = 8;
const STATE_ACTIVE: u8 = 16;
const STATE_INACTIVE: u8 = 32;
const MODE_INPUT: u8 = 64;

// `gpio-error`.
const ALREADY_IN_USE: i32 = 1;
const PIN_NOT_ALLOWED: i32 = 2;
const PIN_MODE_NOT_ALLOWED: i32 = 3;
const UNDEFINED_PIN_LABEL: i32 = 4;
const OPERATION_NOT_SUPPORTED: i32 = 7;
const INVALID_FLAG: i32 = 8;
const MISSING_FLAGS: i32 = 9;

impl Draft {
    /// A reactor that does `body` in its start hook. `$out` and `$in` open LED and BUTTON with a flag and answer the error, or
    /// minus one and leave the handle in `$pin`.
    fn does(&self, extra_imports: &str, flags: u8, body: &str) -> Vec<u8> {
        let Self { get_out, get_in, .. } = self;
        let declarations = format!(
            r#"
            (import "wasi:gpio/digital@0.2.0" "{get_out}" (func $get_out (param i32 i32 i32 i32 i32)))
            (import "wasi:gpio/digital@0.2.0" "{get_in}" (func $get_in (param i32 i32 i32 i32 i32)))
            (import "wasi:gpio/digital@0.2.0" "[method]digital-out-pin.set-active" (func $set_active (param i32 i32)))
            (import "wasi:gpio/digital@0.2.0" "[method]digital-out-pin.set-inactive" (func $set_inactive (param i32 i32)))
            (import "wasi:gpio/digital@0.2.0" "[method]digital-out-pin.set-state" (func $set_state (param i32 i32 i32)))
            (import "wasi:gpio/digital@0.2.0" "[method]digital-out-pin.get-config" (func $out_config (param i32 i32)))
            (import "wasi:gpio/digital@0.2.0" "[resource-drop]digital-out-pin" (func $drop_out (param i32)))
            (import "wasi:gpio/digital@0.2.0" "[method]digital-in-pin.read" (func $read (param i32 i32)))
            (import "wasi:gpio/digital@0.2.0" "[method]digital-in-pin.is-active" (func $is_active (param i32 i32)))
            (import "wasi:gpio/digital@0.2.0" "[method]digital-in-pin.is-inactive" (func $is_inactive (param i32 i32)))
            (import "wasi:gpio/digital@0.2.0" "[method]digital-in-pin.get-config" (func $in_config (param i32 i32)))
            (import "wasi:gpio/digital@0.2.0" "[resource-drop]digital-in-pin" (func $drop_in (param i32)))
            {extra_imports}
            (memory (export "memory") 1)
            (data (i32.const 0) "LEDBUTTONVALVENOTHING\{flags:02x}")
            (global $pin (mut i32) (i32.const 0))
            {ROOM}
            (func $must (param i32 i32) (if (i32.ne (local.get 0) (local.get 1)) (then unreachable)))
            ;; What a result at 64 says: the error, or -1.
            (func $error (result i32)
                (if (result i32) (i32.load8_u (i32.const 64))
                    (then (i32.load8_u (i32.const 68)))
                    (else (global.set $pin (i32.load (i32.const 68))) (i32.const -1))))
            (func $open_out (param i32 i32) (result i32)
                (call $get_out (local.get 0) (local.get 1) (i32.const 21) (i32.const 1) (i32.const 64)) (call $error))
            (func $out (result i32) (call $open_out (i32.const 0) (i32.const 3)))
            (func $in (result i32)
                (call $get_in (i32.const 3) (i32.const 6) (i32.const 21) (i32.const 1) (i32.const 64)) (call $error))
            ;; The byte that a call left in its result at 64.
            (func $byte (result i32) (call $must (call $error) (i32.const -1)) (i32.load8_u (i32.const 68)))"#
        );
        reactor(&declarations, &format!("{body} (i32.const 0)"), "(i32.const 1)", "")
    }
}

const OPENS: &str = "(call $must (call $out) (i32.const -1))";

#[test]
fn two_drafts_drive_a_pin_side_by_side() {
    let mut node = node();
    let body = format!(
        "{OPENS} (call $set_active (global.get $pin) (i32.const 64)) (call $must (call $error) (i32.const -1))"
    );
    for draft in [MARCH, MAY] {
        // One container after the other, on one node; `$error` overwrites `$pin` where a call went well.
        for (flags, transitions) in [(ACTIVE_HIGH, 2), (ACTIVE_LOW, 0)] {
            node.state().lines.get_mut(&LED.1).unwrap().transitions = 0;
            assert_finalised(&node.run(&draft.does("", flags, &body), &configuration(&[])), 0);
            assert_eq!(node.state().lines[&LED.1].transitions, transitions, "{flags}");
        }
    }
}

#[test]
fn a_pins_states_and_its_configuration_are_told_in_both() {
    let mut node = node();
    node.drive_line(BUTTON.1, true);
    for draft in [MARCH, MAY] {
        let record = 64 + draft.record;
        let config = |config: &str, mode: u8, low: u8, pull: [u8; 2]| {
            let word = u32::from_le_bytes([mode, low, pull[0], pull[1]]);
            format!(
                "(call {config} (global.get $pin) (i32.const 64))
                 (call $must (i32.load (i32.const {record})) (i32.const 1024))
                 (call $must (i32.load (i32.const {})) (i32.const {word}))",
                record + 8
            )
        };
        // Active while low: the button, which is high, is inactive (1 as a state).
        let input = format!(
            "(local $pin i32) (call $must (call $in) (i32.const -1)) (local.set $pin (global.get $pin))
             (call $read (local.get $pin) (i32.const 64)) (call $must (call $byte) (i32.const 1))
             (call $is_active (local.get $pin) (i32.const 64)) (call $must (call $byte) (i32.const 0))
             (call $is_inactive (local.get $pin) (i32.const 64)) (call $must (call $byte) (i32.const 1))
             (global.set $pin (local.get $pin)) {}
             (call $must (i32.load (i32.const {})) (i32.const 6))
             (call $must (i32.load (i32.const 1024)) (i32.const 0x54545542))
             (call $drop_in (local.get $pin))",
            config("$in_config", 0, 1, [1, 0]),
            record + 4
        );
        let wasm = draft.does("", ACTIVE_LOW | PULL_UP, &input);
        assert_finalised(&node.run(&wasm, &configuration(&[])), 0);
        let output = format!("{OPENS} {}", config("$out_config", 1, 0, [0, 0]));
        assert_finalised(&node.run(&draft.does("", ACTIVE_HIGH, &output), &configuration(&[])), 0);
    }
}

#[test]
fn refusals_have_the_drafts_own_numbers() {
    let mut node = node();
    let opens = |address, length, error| {
        format!("(call $must (call $open_out (i32.const {address}) (i32.const {length})) (i32.const {error}))")
    };
    let twice = format!("{OPENS} {}", opens(0, 3, ALREADY_IN_USE));
    let cases = [
        (ACTIVE_HIGH, opens(14, 7, UNDEFINED_PIN_LABEL)),
        (ACTIVE_HIGH, opens(9, 5, PIN_NOT_ALLOWED)),
        (ACTIVE_HIGH, opens(3, 6, PIN_MODE_NOT_ALLOWED)),
        (ACTIVE_HIGH, twice),
    ];
    for draft in [MARCH, MAY] {
        for (flags, body) in &cases {
            assert_finalised(&node.run(&draft.does("", *flags, body), &configuration(&[])), 0);
        }
    }
    let out = |error: i32| format!("(call $must (call $out) (i32.const {error}))");
    let input = |error: i32| format!("(call $must (call $in) (i32.const {error}))");
    let flags = [
        (&MARCH, ACTIVE_HIGH | ACTIVE_LOW, out(OPERATION_NOT_SUPPORTED)),
        (&MARCH, PULL_UP, out(OPERATION_NOT_SUPPORTED)),
        (&MARCH, PULL_UP | PULL_DOWN, input(OPERATION_NOT_SUPPORTED)),
        // Without a word about it the board's level holds; and bits that March does not have say nothing.
        (&MARCH, 0, out(-1)),
        (&MARCH, STATE_ACTIVE | STATE_INACTIVE, out(-1)),
        (&MAY, 0, out(MISSING_FLAGS)),
        (&MAY, PULL_UP, input(MISSING_FLAGS)),
        (&MAY, ACTIVE_HIGH | ACTIVE_LOW, out(INVALID_FLAG)),
        (&MAY, ACTIVE_HIGH | PULL_UP, out(INVALID_FLAG)),
        (&MAY, ACTIVE_HIGH | MODE_INPUT, out(INVALID_FLAG)),
        (&MAY, ACTIVE_HIGH | STATE_ACTIVE, input(INVALID_FLAG)),
        (&MAY, ACTIVE_HIGH | STATE_ACTIVE | STATE_INACTIVE, out(INVALID_FLAG)),
    ];
    for (draft, flags, body) in flags {
        let status = node.run(&draft.does("", flags, &body), &configuration(&[]));
        assert_finalised(&status, 0);
    }
    // A bank without pulls: the pin is given back at once.
    node.state().lines.get_mut(&BUTTON.1).unwrap().has_no_pulls = true;
    for draft in [MARCH, MAY] {
        let body = format!("{} (loop $for_ever (br $for_ever))", input(OPERATION_NOT_SUPPORTED));
        node.load(&draft.does("", ACTIVE_HIGH | PULL_UP, &body), &configuration(&[]), Command::Run);
        node.command_in(5_000_000, Command::Stop);
        for _ in 0..3 {
            node.step();
        }
        assert!(!node.state().lines[&BUTTON.1].is_input);
        node.run_to_end();
        while node.step() {}
    }
}

#[test]
fn the_later_draft_opens_a_pin_in_a_state_and_reads_it_back() {
    let imports = r#"
        (import "wasi:gpio/digital@0.2.0" "[static]stateful-digital-out-pin.get" (func $get (param i32 i32 i32 i32 i32)))
        (import "wasi:gpio/digital@0.2.0" "[method]stateful-digital-out-pin.is-ready" (func $is_ready (param i32) (result i32)))
        (import "wasi:gpio/digital@0.2.0" "[method]stateful-digital-out-pin.toggle" (func $toggle (param i32 i32)))
        (import "wasi:gpio/digital@0.2.0" "[method]stateful-digital-out-pin.is-set-active" (func $is_set (param i32 i32)))
        (import "wasi:gpio/digital@0.2.0" "[method]stateful-digital-out-pin.get-state" (func $state (param i32 i32)))"#;
    let body = "(local $pin i32)
        (call $get (i32.const 0) (i32.const 3) (i32.const 21) (i32.const 1) (i32.const 64))
        (call $must (call $error) (i32.const -1)) (local.set $pin (global.get $pin))
        (call $must (call $is_ready (local.get $pin)) (i32.const 1))
        (call $is_set (local.get $pin) (i32.const 64)) (call $must (call $byte) (i32.const 1))
        (call $state (local.get $pin) (i32.const 64)) (call $must (call $byte) (i32.const 0))
        (call $toggle (local.get $pin) (i32.const 64))
        (call $is_set (local.get $pin) (i32.const 64)) (call $must (call $byte) (i32.const 0))
        (call $state (local.get $pin) (i32.const 64)) (call $must (call $byte) (i32.const 1))";
    let mut node = node();
    assert_finalised(&node.run(&MAY.does(imports, ACTIVE_HIGH | STATE_ACTIVE, body), &configuration(&[])), 0);
    assert_eq!(node.state().lines[&LED.1].transitions, 2);
    node.state().lines.insert(LED.1, FakeLine { may_drive: true, active_low: true, ..FakeLine::default() });
    assert_finalised(&node.run(&MAY.does(imports, ACTIVE_LOW | STATE_ACTIVE, body), &configuration(&[])), 0);
    let led = node.state().lines[&LED.1].clone();
    assert!(led.high && led.transitions == 2, "{led:?}");
    let ends = "(call $toggle (global.get $pin) (i32.const 64))";
    let status =
        crate::support::node().run(&MAY.does(imports, ACTIVE_HIGH, &format!("{OPENS} {ends}")), &configuration(&[]));
    assert_failed(&status, FailureReason::Trap, "stateful-digital-out-pin handle 1, which is not open");
}

#[test]
fn a_delay_of_the_earlier_draft_suspends() {
    let declarations = r#"
        (import "wasi:gpio/delay@0.2.0" "delay-ns" (func $ns (param i32)))
        (import "wasi:gpio/delay@0.2.0" "delay-us" (func $us (param i32)))
        (import "wasi:gpio/delay@0.2.0" "delay-ms" (func $ms (param i32)))"#;
    let on_loop = "(call $ns (i32.const 2000000)) (call $us (i32.const 3000)) (call $ms (i32.const 40))
        (call $ms (i32.const 0)) (i32.const 1)";
    let status = node().run(&reactor(declarations, "(i32.const 0)", on_loop, ""), &configuration(&[]));
    assert_finalised(&status, 0);
    assert!((45_000_000..55_000_000).contains(&(status.ended_ns - status.ready_ns)), "{status:?}");
}

#[test]
fn pins_and_their_answers_are_checked_as_everything_is() {
    let imports = "";
    for draft in [MARCH, MAY] {
        let mut node = node();
        for (body, word) in [
            ("(call $get_out (i32.const 0) (i32.const 3) (i32.const 21) (i32.const 1) (i32.const 66))", "misaligned"),
            ("(call $get_out (i32.const 0) (i32.const 3) (i32.const 21) (i32.const 1) (i32.const 65524))", "outside"),
            ("(call $get_out (i32.const 0) (i32.const -1) (i32.const 21) (i32.const 1) (i32.const 64))", "outside"),
            ("(call $get_out (i32.const 0) (i32.const 3) (i32.const 65536) (i32.const 1) (i32.const 64))", "outside"),
            (
                "(call $get_out (i32.const 0) (i32.const 3) (i32.const 21) (i32.const 65) (i32.const 64))",
                "a list of 65",
            ),
            ("(call $set_active (i32.const 1) (i32.const 64))", "digital-out-pin handle 1, which is not open"),
            ("(call $drop_in (i32.const 0))", "digital-in-pin handle 0, which is not open"),
        ] {
            let status = node.run(&draft.does(imports, ACTIVE_HIGH, body), &configuration(&[]));
            assert_failed(&status, FailureReason::Trap, word);
            assert!(node.state().lines.values().all(|line| line.transitions == 0), "nothing was driven");
        }
        for (body, word) in [
            ("(call $set_active (global.get $pin) (i32.const 65524))", "outside the memory"),
            ("(call $set_state (global.get $pin) (i32.const 2) (i32.const 64))", "`pin-state`"),
            ("(call $read (global.get $pin) (i32.const 64))", "digital-in-pin handle 1, which is not open"),
            ("(call $out_config (global.get $pin) (i32.const 66))", "misaligned"),
            ("(call $out_config (global.get $pin) (i32.const 65532))", "outside the memory"),
            (
                "(call $drop_out (global.get $pin)) (call $set_inactive (global.get $pin) (i32.const 64))",
                "digital-out-pin handle 1, which is not open",
            ),
        ] {
            let status = node.run(&draft.does(imports, ACTIVE_HIGH, &format!("{OPENS} {body}")), &configuration(&[]));
            assert_failed(&status, FailureReason::Trap, word);
            assert!(node.state().lines.values().all(|line| line.transitions == 0 && !line.is_output));
        }
    }
}
