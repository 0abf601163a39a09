//! A container's life: commands at every moment, waits, limits, endings.

use runner_executor::{
    Cell, Options,
    fake::{CLOCK_STEP_NS, FakeNode, detail},
};
use runner_interfaces::{
    cell::{CellConfiguration, Command, ContainerState, FailureReason},
    gpio::{self, Status},
    kernel::{Channel, ChannelSet, Domain},
    output::Stream,
    timer,
};

use crate::support::*;

const TIMER: &str = r#"
    (import "atoll:node/timer@0.1.0" "sleep" (func $sleep (param i64) (result i32)))
    (import "atoll:node/timer@0.1.0" "arm" (func $arm (param i32 i64 i64) (result i32)))
    (import "atoll:node/timer@0.1.0" "disarm" (func $disarm (param i32) (result i32)))
    (import "atoll:node/timer@0.1.0" "wait" (func $wait (param i32) (result i32)))
    (import "atoll:node/log@0.1.0" "log" (func $log (param i32 i32 i32)))
    (import "atoll:node/clock@0.1.3" "now" (func $now (result i64)))
    (memory (export "memory") 1)
    (data (i32.const 0) "started" "looped " "stopped")
    (func $say (param i32) (call $log (i32.const 2) (local.get 0) (i32.const 7)))"#;

const SAY_STARTED: &str = "(call $say (i32.const 0)) (i32.const 0)";
const SAY_STOPPED: &str = "(call $say (i32.const 14))";

fn channel(number: u8) -> Channel {
    Channel::new(number).expect("the tests know their channels")
}

/// Calls of a driver's procedure, by the channel's number at the cell.
fn calls(node: &FakeNode, driver: u8, procedure: u32) -> usize {
    let is_one = |(to, message): &&(Channel, _)| {
        let message: &runner_interfaces::kernel::Message = message;
        to.number() == driver && message.label == u64::from(procedure)
    };
    node.state().calls.iter().filter(is_one).count()
}

fn load_and_step(node: &mut FakeNode, wasm: &[u8], command: Command) {
    node.load(wasm, &configuration(&[]), command);
    node.step();
}

#[test]
fn a_cell_says_what_it_misses() {
    use runner_executor::{Cell, fake::FakeWiring};
    for symbol in ["region_control", "region_status", "region_module", "region_output", "region_output_head"] {
        let mut wiring = FakeWiring::new(4096);
        wiring.remove(symbol);
        let missing = Cell::new(&wiring, Options::default()).err().expect("it cannot run");
        assert_eq!(missing.symbol, symbol);
    }
    let missing = Cell::new(&FakeWiring::new(0), Options::default()).err().expect("no room for a module");
    assert!(missing.to_string().contains("`region_module` that is large enough"), "{missing}");
}

#[test]
fn a_new_cell_is_empty_and_shows_where_it_begins() {
    let node = node_with(Options { restart_entry: 0x4000_1000, ..Options::default() });
    let status = node.status();
    assert_eq!((state(&status), status.generation, status.restart_entry), (ContainerState::Empty, 0, 0x4000_1000));
    assert!(node.state().notified[&channel(2)] > 0, "the warden was not notified");
    assert!(node.state().notified[&channel(3)] > 0, "admission was not notified");
}

#[test]
fn a_new_cell_tries_its_interpreter_and_a_later_life_does_not() {
    use runner_executor::Cell;
    use runner_interfaces::{boot_report::Finding, kernel::Domain};
    let mut node = node();
    let words = |finding| match finding {
        Finding::Well(words) => words.to_string(),
        Finding::Wrong(reason) => panic!("{reason}"),
    };
    let first = words(node.cell.self_test(&mut node.kernel));
    assert!(first.contains("interpreted 3 instructions"), "{first}");
    load_and_step(&mut node, &reactor(TIMER, SAY_STARTED, "(i32.const 1)", SAY_STOPPED), Command::Load);
    let mut later = Cell::new(&node.wiring, Options::default()).expect("wired");
    let second = words(later.self_test(&mut node.kernel));
    assert_eq!(second, format!("started anew after load {}", node.control.generation));
}

#[test]
fn load_installs_and_run_runs() {
    let mut node = node();
    let wasm = reactor(TIMER, SAY_STARTED, "(i32.const 1)", SAY_STOPPED);
    load_and_step(&mut node, &wasm, Command::Load);
    let status = node.status();
    assert_eq!(state(&status), ContainerState::Installed);
    assert_eq!((status.started_ns, status.linear_memory_bytes, status.generation), (0, 65536, 1));
    assert_eq!(node.text(Stream::Info), "");
    node.command(Command::Run);
    assert_finalised(&node.run_to_end(), 0);
    assert_eq!(node.text(Stream::Info), "startedstopped");
    assert_eq!(node.status().loops, 1);
    // The same word again is nothing new.
    node.command(Command::Run);
    node.step();
    assert_eq!(node.status().loops, 1);
}

#[test]
fn a_cell_that_was_started_anew_loads_when_somebody_reads_what_it_writes() {
    let mut node = node();
    let wasm = reactor(TIMER, SAY_STARTED, "(i32.const 1)", SAY_STOPPED);
    node.cell = Cell::new(&node.wiring, Options::default()).unwrap();
    node.cell.start(&mut node.kernel);
    node.load(&wasm, &configuration(&[]), Command::Run);
    assert_finalised(&node.run_to_end(), 0);
    assert_eq!(node.text(Stream::Info), "startedstopped");
    assert_eq!(node.status().output_dropped, 0);
}

#[test]
fn idle_forgets_the_container_and_the_next_load_begins_clean() {
    let mut node = node();
    let wasm = reactor(TIMER, SAY_STARTED, "(drop (call $wait (i32.const 2))) (i32.const 0)", SAY_STOPPED);
    load_and_step(&mut node, &wasm, Command::Run);
    assert_eq!(node.state_now(), ContainerState::Ready);
    node.command(Command::Idle);
    node.step();
    let status = node.status();
    assert_eq!((state(&status), status.linear_memory_bytes, status.host_calls), (ContainerState::Empty, 0, 0));
    assert_eq!(node.text(Stream::Info), "started", "no stop hook ran");
    load_and_step(&mut node, &wasm, Command::Run);
    assert_eq!((node.status().generation, node.state_now()), (2, ContainerState::Ready));
    assert!(node.records.iter().all(|record| record.generation == 2));
}

#[test]
fn a_new_generation_replaces_what_runs() {
    let mut node = node();
    let waits = reactor(
        TIMER,
        "(call $arm (i32.const 1) (i64.const 5000000) (i64.const 5000000))",
        "(drop (call $wait (i32.const 4))) (i32.const 0)",
        "",
    );
    load_and_step(&mut node, &waits, Command::Run);
    assert!(node.state().timers[1].is_some());
    let ends = reactor("", "(i32.const 0)", "(i32.const 1)", "");
    assert_finalised(&node.run(&ends, &configuration(&[])), 0);
    assert_eq!(node.status().generation, 2);
    assert!(node.state().timers.iter().all(Option::is_none));
}

#[test]
fn stop_abandons_a_wait_and_runs_the_stop_hook() {
    for on_loop in [
        "(drop (call $wait (i32.const -1))) (i32.const 0)",
        "(drop (call $wait (i32.const 0))) (i32.const 0)",
        "(drop (call $sleep (i64.const -1))) (i32.const 0)",
        "(drop (call $sleep (i64.const 3600000000000))) (i32.const 0)",
        "(loop $l (br $l)) (i32.const 0)",
    ] {
        let mut node = node();
        node.load(&reactor(TIMER, SAY_STARTED, on_loop, SAY_STOPPED), &configuration(&[]), Command::Run);
        node.command_in(20_000_000, Command::Stop);
        let status = node.run_to_end();
        assert_finalised(&status, 0);
        assert!(status.ended_ns < 20_000_000 + 20 * CLOCK_STEP_NS, "{on_loop}: {} ns", status.ended_ns);
        assert_eq!(node.text(Stream::Info), "startedstopped", "{on_loop}");
        assert!(node.state().timers.iter().all(Option::is_none), "{on_loop}");
    }
}

#[test]
fn stop_during_the_start_hook_runs_the_stop_hook() {
    for on_start in ["(loop $l (br $l)) (i32.const 0)", "(drop (call $wait (i32.const 2))) (i32.const 0)"] {
        let mut node = node();
        node.load(&reactor(TIMER, on_start, "(i32.const 0)", SAY_STOPPED), &configuration(&[]), Command::Run);
        node.command_in(4_000_000, Command::Stop);
        assert_finalised(&node.run_to_end(), 0);
        assert_eq!(node.text(Stream::Info), "stopped");
    }
}

#[test]
fn stop_before_it_ran_runs_no_hook() {
    let mut node = node();
    load_and_step(&mut node, &reactor(TIMER, SAY_STARTED, "(i32.const 0)", SAY_STOPPED), Command::Load);
    node.command(Command::Stop);
    assert_finalised_unstarted(&mut node, 0);
    assert_eq!(node.text(Stream::Info), "");
    load_and_step(&mut node, &wat(r#"(module (func (export "_start")))"#), Command::Load);
    node.command(Command::Stop);
    assert_finalised_unstarted(&mut node, 143);
}

#[track_caller]
fn assert_finalised_unstarted(node: &mut FakeNode, exit_code: i32) {
    let status = node.run_to_end();
    assert_eq!((state(&status), status.exit_code, status.started_ns), (ContainerState::Finalised, exit_code, 0));
}

#[test]
fn stop_ends_an_endless_start_function() {
    let mut node = node();
    let wasm = wat(r#"(module (func $f (loop $l (br $l))) (start $f) (func (export "_start")))"#);
    node.load(&wasm, &configuration(&[]), Command::Run);
    node.command_in(3_000_000, Command::Stop);
    let status = node.run_to_end();
    assert_eq!((state(&status), status.started_ns), (ContainerState::Finalised, 0));
    assert!(status.slices > 5, "it ran in slices: {}", status.slices);
}

#[test]
fn a_start_function_may_call_and_wait() {
    let declarations = format!(
        "{TIMER} (func $first (drop (call $sleep (i64.const 2000000))) (call $say (i32.const 7))) (start $first)"
    );
    let mut node = node();
    load_and_step(&mut node, &reactor(&declarations, SAY_STARTED, "(i32.const 1)", SAY_STOPPED), Command::Run);
    assert_eq!(node.state_now(), ContainerState::Loading);
    assert_finalised(&node.run_to_end(), 0);
    assert_eq!(node.text(Stream::Info), "looped startedstopped");
}

#[test]
fn initialize_runs_before_the_first_hook() {
    let declarations = format!(r#"{TIMER} (func (export "_initialize") (call $say (i32.const 7)))"#);
    let mut node = node();
    load_and_step(&mut node, &reactor(&declarations, SAY_STARTED, "(i32.const 1)", ""), Command::Load);
    assert_eq!((node.state_now(), node.text(Stream::Info).as_str()), (ContainerState::Installed, "looped "));
    node.command(Command::Run);
    assert_finalised(&node.run_to_end(), 0);
    assert_eq!(node.text(Stream::Info), "looped started");
}

#[test]
fn the_start_function_comes_before_initialize() {
    let declarations = format!(
        r#"{TIMER} (func $first (call $say (i32.const 0))) (start $first)
            (func (export "_initialize") (call $say (i32.const 7)))"#
    );
    let mut node = node();
    assert_finalised(&node.run(&reactor(&declarations, "(i32.const 0)", "(i32.const 1)", ""), &configuration(&[])), 0);
    assert_eq!(node.text(Stream::Info), "startedlooped ");
}

#[test]
fn host_calls_are_paid_for_and_calls_of_other_domains_most() {
    let fuel = |body: &str| {
        let on_loop = format!(
            "(local $left i32) (local.set $left (i32.const 1000))
             (loop $more {body} (br_if $more (local.tee $left (i32.sub (local.get $left) (i32.const 1))))) (i32.const 1)"
        );
        let status = node().run(&reactor(TIMER, "(i32.const 0)", &on_loop, ""), &configuration(&[]));
        assert_finalised(&status, 0);
        status.fuel
    };
    let nothing = fuel("");
    assert!((10_000..30_000).contains(&(fuel("(drop (call $now))") - nothing)));
    assert!((260_000..290_000).contains(&(fuel("(drop (call $disarm (i32.const 1)))") - nothing)));
}

/// The interpreter looks for fuel where a piece of straight code begins, and this is one piece.
#[test]
fn a_host_call_that_a_slice_cannot_pay_for_ends_it() {
    const CALLS: usize = 1000;
    const FUEL: u64 = 250;
    let on_loop = format!("{} (i32.const 1)", "(drop (call $disarm (i32.const 1)))".repeat(CALLS));
    let mut node = node_with(Options { slice_fuel: 4 * FUEL, ..Options::default() });
    let status = node.run(&reactor(TIMER, "(i32.const 0)", &on_loop, ""), &configuration(&[]));
    assert_finalised(&status, 0);
    assert!(status.fuel >= CALLS as u64 * FUEL, "{} units", status.fuel);
    // What is not cut, the interpreter's own part of the piece, is in one slice; four calls use up each of the others.
    assert!(status.slices >= CALLS as u64 / 5, "{} slices", status.slices);
}

#[test]
fn a_host_call_that_ends_its_slice_answers_as_any_other() {
    // Nothing, 32 and 64 bits; with so little fuel each call ends its slice.
    let on_loop = "(local $first i64) (local.set $first (call $now)) (call $say (i32.const 7))
        (if (i32.eqz (call $arm (i32.const 0) (i64.const 1) (i64.const 0))) (then unreachable))
        (if (call $disarm (i32.const 1)) (then unreachable))
        (if (i64.le_u (call $now) (local.get $first)) (then unreachable))
        (i32.const 1)";
    let mut node = node_with(Options { slice_fuel: 1, ..Options::default() });
    node.state().clock_step_ns = 1000;
    assert_finalised(&node.run(&reactor(TIMER, "(i32.const 0)", on_loop, ""), &configuration(&[])), 0);
    assert_eq!(node.text(Stream::Info), "looped ");
}

#[test]
fn a_timer_that_comes_early_is_armed_again() {
    let mut node = node();
    let wasm = reactor(TIMER, "(i32.const 0)", "(drop (call $sleep (i64.const 50000000))) (i32.const 1)", "");
    load_and_step(&mut node, &wasm, Command::Run);
    let (expiry, _) = node.state().timers[0].take().expect("it sleeps");
    node.state().expired |= 1;
    node.notify("channel_timer");
    node.step();
    assert_eq!(node.state_now(), ContainerState::Ready);
    assert_eq!(node.state().timers[0], Some((expiry, 0)));
    assert_finalised(&node.run_to_end(), 0);
}

#[test]
fn limits_hold_while_a_hook_waits() {
    let waits = "(drop (call $wait (i32.const -2147483648)))";
    let sleeps = "(drop (call $sleep (i64.const -1)))";
    for wait in [waits, sleeps] {
        let mut node = node();
        let status =
            node.run(&reactor(TIMER, &format!("{wait} (i32.const 0)"), "(i32.const 0)", ""), &configuration(&[]));
        assert_failed(&status, FailureReason::StartLimit, "on-start took more than 10000 us");
        let status = node.run(&reactor(TIMER, SAY_STARTED, "(i32.const 1)", wait), &configuration(&[]));
        assert_failed(&status, FailureReason::StopLimit, "on-stop took more than 10000 us");
        let declarations = format!("{TIMER} (func $first {wait}) (start $first)");
        let status = node.run(&reactor(&declarations, SAY_STARTED, "(i32.const 1)", ""), &configuration(&[]));
        assert_failed(&status, FailureReason::LoadLimit, "start function took more than 10000 us");
        assert!(node.state().timers.iter().all(Option::is_none));
    }
}

#[test]
fn every_hook_can_trap() {
    let trap = "unreachable";
    let trap_then = "unreachable (i32.const 0)";
    let cases = [
        (reactor("", trap_then, "(i32.const 1)", ""), "on-start: unreachable"),
        (reactor("", "(i32.const 0)", trap_then, ""), "on-loop: unreachable"),
        (reactor("", "(i32.const 0)", "(i32.const 1)", trap), "on-stop: unreachable"),
        (reactor("(func $f unreachable) (start $f)", "(i32.const 0)", "(i32.const 1)", ""), "start function: unreach"),
        (
            reactor(r#"(func (export "_initialize") unreachable)"#, "(i32.const 0)", "(i32.const 1)", ""),
            "_initialize: unreachable",
        ),
        (wat(r#"(module (func (export "_start") unreachable))"#), "_start: unreachable"),
    ];
    let mut node = node();
    for (wasm, word) in cases {
        let status = node.run(&wasm, &configuration(&[]));
        assert_failed(&status, FailureReason::Trap, word);
        assert_eq!(node.text(Stream::Cell), detail(&status));
        let starting = ["on-start", "start function", "_initialize"].iter().any(|hook| word.starts_with(hook));
        assert_eq!(status.ready_ns == 0, starting, "{word}");
    }
}

#[test]
fn sleep_takes_its_time_whatever_else_arrives() {
    let mut node = node();
    let wasm = reactor(TIMER, "(i32.const 0)", "(drop (call $sleep (i64.const 50000000))) (i32.const 1)", "");
    load_and_step(&mut node, &wasm, Command::Run);
    assert_eq!(node.state_now(), ContainerState::Ready);
    for symbol in ["channel_timer", "channel_gpio", "channel_admission", "channel_warden"] {
        node.notify(symbol);
        node.step();
        assert_eq!(node.state_now(), ContainerState::Ready, "woken by {symbol}");
    }
    let armed = node.state().timers[0].expect("the executor's timer is armed").0;
    assert_finalised(&node.run_to_end(), 0);
    assert!(node.status().ended_ns >= armed);
    assert_eq!(calls(&node, 1, timer::Procedure::Arm.to_wire()), 1, "once for the whole sleep");
}

#[test]
fn a_sleep_until_an_instant_keeps_the_rate_however_long_the_work_takes() {
    let declarations = r#"
        (import "atoll:node/sleep@0.1.0" "sleep-for" (func $for (param i64) (result i32)))
        (import "atoll:node/sleep@0.1.0" "sleep-until" (func $until (param i64) (result i32)))
        (import "atoll:node/clock@0.1.0" "now" (func $now (result i64)))
        (global $next (mut i64) (i64.const 0)) (global $left (mut i32) (i32.const 10))"#;
    // Each round works for 3 ms and is due every 10; the last instant lies in the past, which is no wait.
    let on_loop = "
        (global.set $next (i64.add (global.get $next) (i64.const 10000000)))
        (if (call $until (global.get $next)) (then unreachable))
        (if (i64.lt_u (call $now) (global.get $next)) (then unreachable))
        (if (call $for (i64.const 3000000)) (then unreachable))
        (if (call $until (i64.const 1)) (then unreachable))
        (if (call $for (i64.const 0)) (then unreachable))
        (global.set $left (i32.sub (global.get $left) (i32.const 1)))
        (i32.eqz (global.get $left))";
    let mut node = node();
    let start = "(global.set $next (call $now)) (i32.const 0)";
    let status = node.run(&reactor(declarations, start, on_loop, ""), &configuration(&[]));
    assert_finalised(&status, 0);
    let took = status.ended_ns - status.ready_ns;
    assert!((103_000_000..110_000_000).contains(&took), "10 rounds of 10 ms, and the work of the last: {took} ns");
    assert_eq!(calls(&node, 1, timer::Procedure::Arm.to_wire()), 20, "what is over already waits for nothing");
}

#[test]
fn a_sleep_that_cannot_be_timed_says_so() {
    let mut node = node();
    let wasm = reactor(TIMER, "(i32.const 0)", "(drop (call $sleep (i64.const 50000000))) (i32.const 1)", "");
    let returns_status = reactor(TIMER, "(call $sleep (i64.const 5000000))", "(i32.const 1)", "");
    node.state().drivers_are_gone = true;
    assert_finalised(&node.run(&wasm, &configuration(&[])), 0);
    assert_eq!(node.status().refused_calls, 1);
    let status = node.run(&returns_status, &configuration(&[]));
    assert_failed(&status, FailureReason::StartRefused, Status::Unavailable.text());
}

#[test]
fn timers_wake_the_container_and_each_expiry_is_taken_once() {
    let mut node = node();
    let wasm = reactor(
        TIMER,
        "(drop (call $arm (i32.const 1) (i64.const 10000000) (i64.const 10000000)))
         (call $arm (i32.const 7) (i64.const 35000000) (i64.const 0))",
        "(local $seen i32)
         (local.set $seen (call $wait (i32.const 0x82)))
         (call $say (i32.const 7))
         (i32.shr_u (local.get $seen) (i32.const 7))",
        "",
    );
    assert_finalised(&node.run(&wasm, &configuration(&[])), 0);
    // At 10, 20, 30 the first; at 35 the second, which ends it.
    assert_eq!(node.status().loops, 4);
    assert_eq!(node.text(Stream::Info), "looped looped looped looped ");
}

#[test]
fn an_event_of_another_mask_is_kept() {
    let mut node = node();
    let wasm = reactor(
        TIMER,
        "(drop (call $arm (i32.const 1) (i64.const 2000000) (i64.const 0)))
         (call $arm (i32.const 2) (i64.const 4000000) (i64.const 0))",
        "(if (i32.ne (call $wait (i32.const 4)) (i32.const 4)) (then unreachable))
         (if (i32.ne (call $wait (i32.const 2)) (i32.const 2)) (then unreachable))
         (i32.const 1)",
        "",
    );
    assert_finalised(&node.run(&wasm, &configuration(&[])), 0);
}

#[test]
fn a_disarmed_timer_is_forgotten() {
    let mut node = node();
    let wasm = reactor(
        TIMER,
        "(drop (call $arm (i32.const 1) (i64.const 1000000) (i64.const 1000000)))
         (drop (call $sleep (i64.const 4000000)))
         (call $disarm (i32.const 1))",
        "(drop (call $wait (i32.const 2))) unreachable",
        "",
    );
    node.load(&wasm, &configuration(&[]), Command::Run);
    node.command_in(30_000_000, Command::Stop);
    assert_finalised(&node.run_to_end(), 0);
}

#[test]
fn lines_and_timers_are_given_back_however_it_ends() {
    let declarations = r#"
        (import "atoll:node/gpio@0.1.0" "open-output" (func $open (param i32 i32 i32)))
        (import "atoll:node/gpio@0.1.0" "[method]output.set" (func $set (param i32 i32) (result i32)))
        (import "atoll:node/timer@0.1.0" "arm" (func $arm (param i32 i64 i64) (result i32)))
        (memory (export "memory") 1) (data (i32.const 0) "LED")
        (func $take (result i32)
            (call $open (i32.const 0) (i32.const 3) (i32.const 16))
            (drop (call $set (i32.load (i32.const 20)) (i32.const 1)))
            (call $arm (i32.const 1) (i64.const 100000000) (i64.const 100000000)))"#;
    let endings = [
        ("(i32.const 1)", ""),
        ("unreachable", ""),
        ("(i32.const 1)", "unreachable"),
        ("(loop $l (br $l)) (i32.const 0)", ""),
    ];
    for (on_loop, on_stop) in endings {
        let mut node = node();
        node.load(&reactor(declarations, "(call $take)", on_loop, on_stop), &configuration(&[]), Command::Run);
        node.command_in(8_000_000, Command::Stop);
        assert!(state(&node.run_to_end()).is_final());
        let state = node.state();
        let led = &state.lines[&LED.1];
        assert!(!led.is_output && !led.high && led.transitions == 2, "{on_loop} {on_stop}: {led:?}");
        assert!(state.timers[1].is_none());
    }
}

#[test]
fn a_refusal_of_the_owner_is_passed_on() {
    let declarations = r#"
        (import "atoll:node/gpio@0.1.0" "open-output" (func $output (param i32 i32 i32)))
        (import "atoll:node/gpio@0.1.0" "open-input" (func $input (param i32 i32 i32)))
        (memory (export "memory") 1) (data (i32.const 0) "LEDBUTTONVALVENOTHING")
        (func $status (result i32)
            (if (result i32) (i32.load8_u (i32.const 64))
                (then (i32.load8_u (i32.const 68)))
                (else (i32.const 0))))"#;
    let cases = [
        ("$output", 3, 6, Status::ModeNotGranted),
        ("$input", 0, 3, Status::ModeNotGranted),
        ("$output", 9, 5, Status::NotGranted),
        ("$output", 14, 7, Status::NotFound),
        ("$output", 0, 0, Status::NotFound),
        ("$output", 0, 60000, Status::NotFound),
    ];
    let mut node = node();
    for (open, address, length, expected) in cases {
        let body = format!("(call {open} (i32.const {address}) (i32.const {length}) (i32.const 64)) (call $status)");
        let status = node.run(&reactor(declarations, &body, "(i32.const 1)", ""), &configuration(&[]));
        assert_failed(&status, FailureReason::StartRefused, expected.text());
        assert_eq!(status.refused_calls, 1);
    }
    let twice = "(call $output (i32.const 0) (i32.const 3) (i32.const 64))
                 (call $output (i32.const 0) (i32.const 3) (i32.const 64)) (call $status)";
    let status = node.run(&reactor(declarations, twice, "(i32.const 1)", ""), &configuration(&[]));
    assert_failed(&status, FailureReason::StartRefused, Status::Busy.text());
    let misaligned = "(call $output (i32.const 0) (i32.const 3) (i32.const 65)) (call $status)";
    let status = node.run(&reactor(declarations, misaligned, "(i32.const 1)", ""), &configuration(&[]));
    assert_failed(&status, FailureReason::Trap, "misaligned");
    assert_eq!(
        calls(&node, 0, gpio::Procedure::OpenOutput.to_wire()),
        3,
        "what is refused here never reaches the owner"
    );
}

#[test]
fn a_stop_that_comes_before_the_load_was_seen_ends_it() {
    let mut node = node();
    let wasm = reactor("", "unreachable", "unreachable", "unreachable");
    for _ in 0..2 {
        node.load(&wasm, &configuration(&[]), Command::Run);
        node.command(Command::Stop);
        let status = node.run_to_end();
        // As a command that was stopped: none of it ran, not even the stop hook.
        assert_finalised(&status, 143);
        assert_eq!((status.started_ns, status.loops, status.host_calls), (0, 0, 0));
    }
    // The next load is one like any other.
    assert_finalised(&node.run(&reactor("", "(i32.const 0)", "(i32.const 1)", ""), &configuration(&[])), 0);
}

#[test]
fn an_inputs_pull_is_the_owners_to_set() {
    let declarations = r#"
        (import "atoll:node/gpio@0.1.0" "open-input" (func $open (param i32 i32 i32)))
        (import "atoll:node/gpio@0.1.0" "[method]input.set-pull" (func $pull (param i32 i32) (result i32)))
        (memory (export "memory") 1) (data (i32.const 0) "BUTTON")
        (func $set (param i32) (result i32)
            (call $open (i32.const 0) (i32.const 6) (i32.const 64))
            (call $pull (i32.load (i32.const 68)) (local.get 0)))"#;
    let mut node = node();
    let up = reactor(declarations, "(call $set (i32.const 1))", "(i32.const 1)", "");
    assert_finalised(&node.run(&up, &configuration(&[])), 0);
    let message = gpio::call_with(gpio::Procedure::Pull, BUTTON.1, u64::from(gpio::Pull::Up.to_wire()));
    assert!(node.state().calls.iter().any(|(_, seen)| *seen == message), "the owner was asked for the line's pull");
    let unknown = reactor(declarations, "(call $set (i32.const 3))", "(i32.const 1)", "");
    assert_failed(&node.run(&unknown, &configuration(&[])), FailureReason::Trap, "pull");
}

#[test]
fn output_waits_for_room_and_loses_nothing() {
    let mut node = node();
    let wasm = wat(r#"(module
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "\20\00\00\00\0a\00\00\00") (data (i32.const 32) "0123456789")
        (func (export "_start") (local $left i32)
            (local.set $left (i32.const 100))
            (loop $more
                (if (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)) (then unreachable))
                (if (i32.ne (i32.load (i32.const 16)) (i32.const 10)) (then unreachable))
                (br_if $more (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))))"#);
    node.admission_reads = false;
    load_and_step(&mut node, &wasm, Command::Run);
    assert_eq!(node.state_now(), ContainerState::Ready, "it waits, and the cell came back");
    assert_eq!(node.status().output_dropped, 0);
    // Woken without room, it waits on.
    node.notify("channel_admission");
    node.step();
    assert_eq!(node.state_now(), ContainerState::Ready);
    node.admission_reads = true;
    node.read_output();
    assert_finalised(&node.run_to_end(), 0);
    assert_eq!(node.text(Stream::Stdout), "0123456789".repeat(100));
}

#[test]
fn log_records_without_room_are_counted() {
    let mut node = node();
    node.admission_reads = false;
    let body = "(local $left i32) (local.set $left (i32.const 40))
        (loop $more (call $say (i32.const 0)) (br_if $more (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
        (i32.const 0)";
    assert_finalised(&node.run(&reactor(TIMER, body, "(i32.const 1)", ""), &configuration(&[])), 0);
    node.read_output();
    assert_eq!(node.records.len() as u64 + node.status().output_dropped, 40);
    assert_eq!(node.records.len(), 16);
}

#[test]
fn bad_bytes_are_told_apart() {
    let mut node = node();
    let good = reactor("", "(i32.const 0)", "(i32.const 1)", "");
    let cases: [(&[u8], FailureReason, &str); 5] = [
        (b"", FailureReason::NotWasm, "0 bytes"),
        (b"\x7fELF\x02\x01\x01\0", FailureReason::NotWasm, "do not begin"),
        (b"\0asm\x0d\0\x01\0", FailureReason::NotWasm, "component"),
        (&good[..good.len() - 3], FailureReason::InvalidModule, ""),
        (&good[..10], FailureReason::InvalidModule, ""),
    ];
    for (wasm, reason, word) in cases {
        assert_failed(&node.run(wasm, &configuration(&[])), reason, word);
    }
    // `local.get 0` behind the function's last `end`, which the engine's translator must never see.
    let beyond_the_end = [
        &b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x0a\x01\x06_start\0\0"[..],
        &[10, 8, 1, 6, 1, 1, 0x7f, 0x0b, 0x20, 0],
    ]
    .concat();
    assert_failed(&node.run(&beyond_the_end, &configuration(&[])), FailureReason::InvalidModule, "");
    let too_long = vec![0; 3 * 1024 * 1024];
    assert_failed(&node.run(&too_long, &configuration(&[])), FailureReason::InvalidModule, "has room for 2097152");
    assert_finalised(&node.run(&good, &configuration(&[])), 0);
}

#[test]
fn a_configuration_that_cannot_be_read_is_named() {
    let mut node = node();
    let wasm = reactor("", "(i32.const 0)", "(i32.const 1)", "");
    for configuration_bytes in [0, 1, 5, 20_000, u32::MAX] {
        node.load(&wasm, &configuration(&[]), Command::Run);
        node.control.configuration_bytes = configuration_bytes;
        node.command(Command::Run);
        let status = node.run_to_end();
        assert_failed(&status, FailureReason::Configuration, "");
    }
}

#[test]
fn memory_and_tables_stay_within_their_limits() {
    let mut node = node();
    let grows = |declarations: &str, body: &str| reactor(declarations, body, "(i32.const 1)", "");
    let memory = grows(
        r#"(memory (export "memory") 1)"#,
        "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
         (i32.sub (memory.size) (i32.const 32))",
    );
    assert_finalised(&node.run(&memory, &configuration(&[])), 0);
    let status = node.run(&grows("(memory 33)", "(i32.const 0)"), &configuration(&[]));
    assert_failed(&status, FailureReason::MemoryLimit, "wants 2162688 bytes of memory, may have 2097152");
    let status = node.run(&grows("(table 1025 funcref)", "(i32.const 0)"), &configuration(&[]));
    assert_failed(&status, FailureReason::TableLimit, "wants 1025 table elements, may have 1024");
    let two = "(table 600 funcref) (table 600 funcref)";
    assert_failed(&node.run(&grows(two, "(i32.const 0)"), &configuration(&[])), FailureReason::TableLimit, "1200");
    let status = node.run(&grows("(memory 1) (memory 1)", "(i32.const 0)"), &configuration(&[]));
    assert_failed(&status, FailureReason::InvalidModule, "");
}

/// `wasmi` 2.0 resumes somewhere else when `table.grow` runs out of fuel; the cell refuses run-time growth of tables, which
/// costs no fuel. Slices are so short that growth would run out of fuel again and again.
#[test]
fn growing_a_table_is_refused_and_the_program_goes_on_where_it_was() {
    let mut node = node_with(Options { slice_fuel: 60, ..Options::default() });
    node.control.table_limit_elements = u32::MAX;
    node.control.start_limit_us = 10_000_000;
    let wasm = reactor(
        "(table $t 1 funcref) (global $rounds (mut i32) (i32.const 0))",
        "(local $left i32) (local.set $left (i32.const 200))
         (loop $more
            (global.set $rounds (i32.add (global.get $rounds) (i32.const 1)))
            (drop (table.grow $t (ref.null func) (i32.const 100)))
            (br_if $more (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
         (i32.ne (global.get $rounds) (i32.const 200))",
        "(i32.ne (i32.const 1) (table.size $t)) if unreachable end (i32.const 1)",
        "",
    );
    assert_finalised(&node.run(&wasm, &configuration(&[])), 0);
}

#[test]
fn a_command_that_makes_no_sense_changes_nothing() {
    let mut node = node();
    let wasm = reactor(TIMER, SAY_STARTED, "(drop (call $wait (i32.const 2))) (i32.const 0)", SAY_STOPPED);
    load_and_step(&mut node, &wasm, Command::Run);
    let mut wrong = node.control;
    wrong.command = 77;
    let region = runner_interfaces::kernel::Wiring::region(&node.wiring, "region_control").unwrap();
    shared_ring::SequencedCell::new(region, 0).unwrap().write(&wrong);
    node.notify("channel_warden");
    node.step();
    assert_eq!(node.state_now(), ContainerState::Ready);
    node.command(Command::Stop);
    assert_finalised(&node.run_to_end(), 0);
}

#[test]
fn notifications_without_a_container_do_nothing_but_beat() {
    let mut node = node();
    let before = node.status();
    for bits in [0, 1, 2, 8, !4] {
        node.cell.notified(&mut node.kernel, ChannelSet::from_bits(bits));
    }
    let after = node.status();
    assert_eq!(after.heartbeat, before.heartbeat + 5);
    assert_eq!(state(&after), ContainerState::Empty);
    assert!(node.state().calls.is_empty());
}

#[test]
fn a_restarted_cell_waits_for_the_warden() {
    let mut node = node();
    let wasm = reactor("", "(i32.const 0)", "(i32.const 1)", "");
    assert_finalised(&node.run(&wasm, &configuration(&[])), 0);
    let heartbeat = node.status().heartbeat;
    node.cell = runner_executor::Cell::new(&node.wiring, Options::default()).unwrap();
    node.cell.start(&mut node.kernel);
    // Admission's notifications are no reason to run again what stands in the control word.
    node.notify("channel_admission");
    while node.step() {}
    node.notify("channel_admission");
    while node.step() {}
    assert_eq!((state(&node.status()), node.status().generation), (ContainerState::Empty, 0));
    assert!(node.status().heartbeat < heartbeat);
    assert_finalised(&node.run(&wasm, &configuration(&[])), 0);
}

#[test]
fn the_state_is_announced_once_and_not_at_each_wait() {
    let mut node = node();
    let wasm = reactor(
        TIMER,
        "(call $arm (i32.const 1) (i64.const 1000000) (i64.const 1000000))",
        "(drop (call $wait (i32.const 2))) (i32.const 0)",
        "",
    );
    node.load(&wasm, &configuration(&[]), Command::Run);
    node.run_to(ContainerState::Ready, 10);
    let announced = node.state().notified[&channel(2)];
    for _ in 0..50 {
        node.step();
    }
    assert_eq!(node.state().notified[&channel(2)], announced);
    assert!(node.status().loops >= 40);
    node.command(Command::Stop);
    assert_finalised(&node.run_to_end(), 0);
    assert!(node.state().notified[&channel(2)] > announced);
}

#[test]
fn a_running_container_beats_and_shows_its_fuel() {
    let mut node = node();
    let wasm = reactor("", "(i32.const 0)", "(loop $l (br $l)) (i32.const 0)", "");
    node.load(&wasm, &configuration(&[]), Command::Run);
    node.command_in(100_000_000, Command::Stop);
    let status = node.run_to_end();
    assert!(status.heartbeat >= status.slices && status.slices > 100, "{status:?}");
    assert!(status.fuel >= (status.slices - 5) * runner_executor::DEFAULT_SLICE_FUEL, "{status:?}");
}

#[test]
fn the_cells_own_words_fit_the_configuration_it_was_given() {
    let mut node = node();
    let empty = CellConfiguration::default();
    let wasm = wat(r#"(module
        (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (func (export "_start")
            (drop (call $sizes (i32.const 0) (i32.const 4)))
            (drop (call $environ (i32.const 8) (i32.const 12)))
            (call $exit (i32.add (i32.load (i32.const 0)) (i32.load (i32.const 8))))))"#);
    assert_finalised(&node.run(&wasm, &empty), 1);
    assert_finalised(&node.run(&wasm, &configuration(&["a", "b"])), 4);
}
