//! A million calls across domains, from containers that may and from containers that may not: what reaches a device is exactly
//! what was granted.
//!
//! The calls are those of containers, through the engine and its host functions, each to a driver's process and back. The
//! devices count: lines that were touched, changes of a level, addresses that were spoken to.

use std::time::{Duration, Instant};

use runner_interfaces::cell::ContainerState;
use shared_ring_messages::ContainerReport;

use crate::TestNode;
use crate::client::{Client, Deploy};
use crate::taken_over::{spoken_to, touched};

/// Calls of all containers together in `cargo xtask test`.
const MILLION: u64 = 1_000_000;

/// Names the number of calls of [`as_many_calls_as_one_wants`].
const CALLS: &str = "ATOLL_CALLS";

/// Rounds of one call of `on-loop`.
const ROUNDS_A_LOOP: u64 = 100;

/// Of a granted round: toggle, get, write to and read from the bus.
const GRANTED_CALLS_A_ROUND: u64 = 4;

/// Labels that are tried in both directions: all that the board names, and one that it does not. This last one is found
/// to be none in the cell, so it makes no call.
const LABELS: [&str; 7] = ["LED", "RELAY", "BUTTON", "SENSOR", "SPARE", "VALVE", "NOSUCH"];

/// Addresses that are tried: around both ends, the devices that are there, and one that nobody has.
const ADDRESSES: [u8; 8] = [0x00, 0x01, 0x47, 0x48, 0x50, 0x6b, 0x7e, 0x7f];

/// Timers that are tried with a period that is too short. The last two there are not, so that these, too, are no calls.
const TIMERS: [u32; 9] = [1, 2, 3, 4, 5, 6, 7, 8, u32::MAX];

/// The period of these: the board's own least is a millisecond.
const TOO_SHORT_NS: u64 = 999_999;

/// Calls that reach a driver in a round of a container without rights; all of them are refused.
const REFUSED_A_ROUND: u64 = 2 * (LABELS.len() as u64 - 1) + ADDRESSES.len() as u64 + TIMERS.len() as u64 - 2;

const IMPORTS: &str = r#"
    (import "atoll:node/gpio@0.1.0" "open-output" (func $open-output (param i32 i32 i32)))
    (import "atoll:node/gpio@0.1.0" "open-input" (func $open-input (param i32 i32 i32)))
    (import "atoll:node/gpio@0.1.0" "[method]output.toggle" (func $toggle (param i32) (result i32)))
    (import "atoll:node/gpio@0.1.0" "[method]output.get" (func $get (param i32) (result i32)))
    (import "atoll:node/i2c@0.1.0" "open" (func $open (param i32 i32)))
    (import "atoll:node/i2c@0.1.0" "[method]device.write-u8" (func $write (param i32 i32 i32) (result i32)))
    (import "atoll:node/i2c@0.1.0" "[method]device.read" (func $read (param i32 i32 i32) (result i32)))
    (import "atoll:node/timer@0.1.0" "arm" (func $arm (param i32 i64 i64) (result i32)))
    (memory (export "memory") 1)
    ;; What is not as it should be ends the container, which the test sees.
    (func $must (param i32) (if (i32.eqz (local.get 0)) (then unreachable)))"#;

/// A reactor whose loop runs `round` so often; it starts with `start`.
fn module(data: &str, start: &str, round: &str, rounds: u64) -> Vec<u8> {
    let loops = rounds.div_ceil(ROUNDS_A_LOOP);
    let text = format!(
        r#"(module {IMPORTS} {data}
            (global $loops (mut i32) (i32.const {loops}))
            (global $line (mut i32) (i32.const 0))
            (global $device (mut i32) (i32.const 0))
            (func (export "on-start") (result i32) {start} (i32.const 0))
            (func (export "on-loop") (result i32) (local $left i32)
                (local.set $left (i32.const {ROUNDS_A_LOOP}))
                (loop $more {round} (br_if $more (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
                (global.set $loops (i32.sub (global.get $loops) (i32.const 1)))
                (i32.eqz (global.get $loops)))
            (func (export "on-stop")))"#
    );
    wat::parse_str(text).expect("assembles")
}

/// Toggles its line and asks the memory at the bus, as it may.
fn granted(label: &str, rounds: u64) -> Vec<u8> {
    let start = format!(
        "(call $open-output (i32.const 0) (i32.const {}) (i32.const 64))
         (call $must (i32.eqz (i32.load8_u (i32.const 64)))) (global.set $line (i32.load (i32.const 68)))
         (call $open (i32.const 80) (i32.const 64))
         (call $must (i32.eqz (i32.load8_u (i32.const 64)))) (global.set $device (i32.load (i32.const 68)))",
        label.len()
    );
    let round = "(call $must (i32.eqz (call $toggle (global.get $line))))
        (drop (call $get (global.get $line)))
        (call $must (i32.eqz (call $write (global.get $device) (i32.const 7) (i32.and (local.get $left) (i32.const 255)))))
        (call $must (i32.eqz (call $read (global.get $device) (i32.const 7) (i32.const 1))))";
    module(&format!(r#"(data (i32.const 0) "{label}")"#), &start, round, rounds)
}

/// Asks for everything that there is, and has a right to nothing of it.
fn ungranted(rounds: u64) -> Vec<u8> {
    let (mut data, mut round) = (String::new(), String::new());
    let refused = "(call $must (i32.load8_u (i32.const 0)))";
    for (label, place) in LABELS.iter().zip((16_u32..).step_by(16)) {
        data += &format!(r#"(data (i32.const {place}) "{label}")"#);
        for function in ["open-output", "open-input"] {
            let length = label.len();
            round += &format!("(call ${function} (i32.const {place}) (i32.const {length}) (i32.const 0)) {refused}");
        }
    }
    for address in ADDRESSES {
        round += &format!("(call $open (i32.const {address}) (i32.const 0)) {refused}");
    }
    for timer in TIMERS {
        let timer = timer.cast_signed();
        round += &format!(
            "(call $must (call $arm (i32.const {timer}) (i64.const {TOO_SHORT_NS}) (i64.const {TOO_SHORT_NS})))"
        );
    }
    module(&data, "", &round, rounds)
}

fn wait_for_end(client: &mut Client, name: &str, limit: Duration) -> ContainerReport {
    let deadline = Instant::now() + limit;
    loop {
        let report = client.inspect(name);
        if ContainerState::from_wire(report.state).is_some_and(ContainerState::is_final) {
            assert_eq!(report.state, ContainerState::Finalised.to_wire(), "{name}: {}", report.reason_text);
            return report;
        }
        assert!(Instant::now() < deadline, "`{name}` did not come to its end: {report:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Makes so many calls, a half of them by two containers that may, a half by two that may not.
fn make(calls: u64) {
    let node = TestNode::start();
    let mut client = Client::greeted(&node);
    let of_each = |calls_a_round: u64| (calls / 4).div_ceil(calls_a_round).next_multiple_of(ROUNDS_A_LOOP);
    let (may, may_not) = (of_each(GRANTED_CALLS_A_ROUND), of_each(REFUSED_A_ROUND));
    let sum = |client: &mut Client, what: &str| -> u64 {
        ["gpio", "i2c", "timer"].iter().map(|driver| client.counter(&format!("{driver}_{what}"))).sum()
    };
    let (calls_before, refused_before) = (sum(&mut client, "calls"), sum(&mut client, "refused"));
    let began = Instant::now();
    let rights = |label: &str| [format!("gpio:{label}:out@1000000/s"), "i2c:0x50".to_owned()];
    for (name, module, grants) in [
        ("led", granted("LED", may), rights("LED").to_vec()),
        ("relay", granted("RELAY", may), rights("RELAY").to_vec()),
        ("nobody", ungranted(may_not), Vec::new()),
        ("no-one", ungranted(may_not), Vec::new()),
    ] {
        client
            .deploy(&Deploy::new(name, module).granting(&grants.iter().map(String::as_str).collect::<Vec<_>>()))
            .unwrap_or_else(|error| panic!("{name}: {error:?}"));
    }
    let limit = Duration::from_secs(120 + calls / 10_000);
    let reports = ["led", "relay", "nobody", "no-one"].map(|name| wait_for_end(&mut client, name, limit));
    let took = began.elapsed();

    let mut pins = node.gpio().expect("pins");
    for line in ["LED", "RELAY"] {
        assert_eq!(pins.transitions(line).expect("read"), may, "{line}: each toggle, and nothing else");
    }
    assert_eq!(touched(&mut pins), 0b11, "a line was touched that nobody was granted");
    assert_eq!(spoken_to(&node), ["0x50"], "an address was spoken to that nobody was granted");
    let [led, relay, nobody, no_one] = reports;
    assert_eq!((led.refused_calls, relay.refused_calls), (0, 0));
    let expected = 2 * may_not * REFUSED_A_ROUND;
    let refused = sum(&mut client, "refused") - refused_before;
    assert_eq!(refused, expected, "each call of who may not was refused by the owner of what it wanted");
    assert!(nobody.refused_calls > 0 && no_one.refused_calls > 0);
    let made = 2 * may * GRANTED_CALLS_A_ROUND + expected;
    let arrived = sum(&mut client, "calls") - calls_before;
    assert!(arrived >= made && made >= calls, "{arrived} calls arrived, of {made}");
    println!(
        "{made} calls across domains in {:.1} s ({:.0} a second): {expected} refused, none too many and none too few",
        took.as_secs_f64(),
        made as f64 / took.as_secs_f64(),
    );
}

#[test]
fn a_million_calls_have_no_effect_that_was_not_granted() {
    make(MILLION);
}

/// `ATOLL_CALLS=100000000 cargo test --release --package pd-host --test system -- --ignored --nocapture as_many`
#[test]
#[ignore = "by hand: minutes for each ten million calls"]
fn as_many_calls_as_one_wants() {
    let calls = std::env::var(CALLS).ok().and_then(|number| number.parse().ok());
    make(calls.unwrap_or(MILLION));
}
