//! The samples that people deploy first, as they were built.

use runner_container::{Manifest, embed};
use runner_executor::fake::FakeLine;
use runner_interfaces::{
    cell::{Command, ContainerState, FailureReason, World},
    output::Stream,
};

use crate::support::*;

#[test]
fn hello_greets_and_ends_with_its_code() {
    let Some(wasm) = sample("hello.wasm") else { return };
    let mut node = node();
    let status = node.run(&wasm, &configuration(&["Ada", "Grace", "exit=3"]));
    assert_finalised(&status, 3);
    assert_eq!(World::from_wire(status.world), Some(World::WasiCommand));
    assert_eq!(
        node.text(Stream::Stdout),
        "Hello, Ada and Grace!\nargument 0: test\nargument 1: Ada\nargument 2: Grace\nargument 3: exit=3\nGREETING: moin\n"
    );
    assert!(status.fuel > 0 && status.slices > 0 && status.host_calls > 0);
    assert_eq!(status.linear_memory_bytes, 0, "nothing is left of it");
}

#[test]
fn echo_keeps_output_and_diagnostics_apart() {
    let Some(wasm) = sample("echo.wasm") else { return };
    let mut node = node();
    assert_finalised(&node.run(&wasm, &configuration(&["one", "two"])), 0);
    assert_eq!((node.text(Stream::Stdout).as_str(), node.text(Stream::Stderr).as_str()), ("one two\n", ""));
    assert_finalised(&node.run(&wasm, &configuration(&[])), 1);
    assert_eq!(node.text(Stream::Stdout), "");
    assert!(node.text(Stream::Stderr).starts_with("echo: nothing to say"));
}

#[test]
fn counter_computes_over_many_slices() {
    let Some(wasm) = sample("counter.wasm") else { return };
    let mut node = node();
    let status = node.run(&wasm, &configuration(&["20000"]));
    assert_finalised(&status, 0);
    assert!(node.text(Stream::Stdout).ends_with("2262 primes below 20000\n"), "{}", node.text(Stream::Stdout));
    assert!(status.slices > 50, "{} slices", status.slices);
}

#[test]
fn clock_sleeps_as_long_as_it_asked() {
    let Some(wasm) = sample("clock.wasm") else { return };
    let mut node = node();
    node.load(&wasm, &configuration(&["250"]), Command::Run);
    assert_eq!(state(&node.run_to(ContainerState::Ready, 100)), ContainerState::Ready);
    let asleep_since = node.state().now_ns;
    assert_finalised(&node.run_to_end(), 0);
    assert!(node.state().now_ns - asleep_since >= 240_000_000);
    assert!(node.text(Stream::Stdout).contains("asleep for 25"), "{}", node.text(Stream::Stdout));
}

#[test]
fn report_reads_the_file_that_was_packed() {
    let Some(wasm) = sample("report.wasm") else { return };
    let mut node = node();
    let manifest = Manifest { name: "report".into(), ..Manifest::default() };
    assert_finalised(&node.run(&wasm, &configuration(&["lagoon", "reef"])), 0);
    assert_eq!(
        node.text(Stream::Stdout),
        "lagoon: 3 readings, 24 to 26, mean 25\nreef: 3 readings, 21 to 23, mean 22\n"
    );
    assert_finalised(&node.run(&wasm, &configuration(&["shore"])), 1);
    assert_eq!(node.text(Stream::Stderr), "report: no readings of shore\n");
    assert_finalised(&node.run(&wasm, &configuration(&[])), 0);
    assert_eq!(node.text(Stream::Stdout), "all: 8 readings, 18 to 26, mean 22\n");
    // Nothing packed: a C library has no folder to look in.
    let bare = embed(&wasm, &manifest, &[]).expect("a valid container");
    assert_finalised(&node.run(&bare, &configuration(&[])), 2);
    assert!(node.text(Stream::Stderr).starts_with("report: /readings.csv: "), "{}", node.text(Stream::Stderr));
}

#[test]
fn blinker_blinks_until_it_is_stopped_and_leaves_the_line_low() {
    let Some(wasm) = sample("blinker.wasm") else { return };
    let mut node = node();
    node.load(&wasm, &configuration(&[]), Command::Run);
    node.command_in(2_050_000_000, Command::Stop);
    let status = node.run_to_end();
    assert_finalised(&status, 0);
    assert_eq!(World::from_wire(status.world), Some(World::Reactor));
    let state = node.state();
    let led = &state.lines[&LED.1];
    assert!((20..=22).contains(&led.transitions), "{} transitions", led.transitions);
    assert!(!led.high && !led.is_output, "{led:?}");
    assert!(state.timers.iter().all(Option::is_none), "{:?}", state.timers);
    drop(state);
    assert_eq!(node.text(Stream::Info), "20 toggles20 toggles");
    assert!((20..=21).contains(&status.loops), "{} loops", status.loops);
}

#[test]
fn button_counts_edges_that_another_domain_saw() {
    let Some(wasm) = sample("button.wasm") else { return };
    let mut node = node();
    node.load(&wasm, &configuration(&[]), Command::Run);
    assert_eq!(state(&node.run_to(ContainerState::Ready, 100)), ContainerState::Ready);
    for high in [true, false, true, false, true] {
        node.drive_line(BUTTON.1, high);
    }
    while node.step() {}
    assert_eq!(node.text(Stream::Info), "3 edges");
    node.drive_line(BUTTON.1, false);
    node.drive_line(BUTTON.1, true);
    while node.step() {}
    node.command(Command::Stop);
    assert_finalised(&node.run_to_end(), 0);
    assert_eq!(node.text(Stream::Info), "3 edges4 edges4 edges");
    assert!(!node.state().lines[&BUTTON.1].is_input);
}

#[test]
fn greedy_is_refused_and_says_so() {
    let Some(wasm) = sample("greedy.wasm") else { return };
    let mut node = node();
    let status = node.run(&wasm, &configuration(&[]));
    assert_failed(&status, FailureReason::StartRefused, "not granted");
    assert_eq!(node.text(Stream::Warn), "VALVE refused: not-granted");
    assert_eq!(status.refused_calls, 1);
    assert_eq!(node.text(Stream::Cell), "on-start answered: not granted");
}

#[test]
fn spin_is_stopped_within_one_slice() {
    let Some(wasm) = sample("spin.wasm") else { return };
    let mut node = node();
    node.load(&wasm, &configuration(&[]), Command::Run);
    node.command_in(50_000_000, Command::Stop);
    let status = node.run_to_end();
    assert_finalised(&status, 0);
    // The clock moves by one step a slice and a few around it; the command was written at 50 ms.
    let late = status.ended_ns - 50_000_000;
    assert!(late < 10 * runner_executor::fake::CLOCK_STEP_NS, "{late} ns after the command");
    assert!(status.fuel >= 100 * runner_executor::DEFAULT_SLICE_FUEL);
}

#[test]
fn beacon_says_where_it_is_and_flashes_at_the_active_level() {
    let Some(wasm) = sample("beacon.wasm") else { return };
    let mut node = node();
    for (active_low, level) in [(false, "high"), (true, "low")] {
        let line = FakeLine { may_drive: true, active_low, ..FakeLine::default() };
        node.state().lines.insert(LED.1, line);
        node.load(&wasm, &configuration(&[]), Command::Run);
        node.command_in(3_050_000_000, Command::Stop);
        let mut active_ns = 0;
        while !node.state_now().is_final() {
            let before = node.state().now_ns;
            let was_active = node.state().lines[&LED.1].high != active_low && node.state().lines[&LED.1].is_output;
            assert!(node.step(), "it comes to an end");
            active_ns += if was_active { node.state().now_ns - before } else { 0 };
        }
        assert_finalised(&node.status(), 0);
        let flashes = node.state().lines[&LED.1].transitions;
        assert!((7..=8).contains(&flashes), "three whole flashes and the last one's begin: {flashes} transitions");
        assert!((300_000_000..400_000_000).contains(&active_ns), "a tenth of the time: {active_ns} ns");
        assert_eq!(node.state().lines[&LED.1].high, active_low, "it is off");
        let said = format!("test on paper, a test: LED is active while {level}off");
        assert_eq!(node.text(Stream::Info), said);
        while node.step() {}
    }
}

#[test]
fn tiny_toggles_and_gives_its_line_back() {
    let Some(wasm) = sample("tiny.wasm") else { return };
    let mut node = node();
    // The demo board's LED, by its number.
    node.state().lines.insert(0, FakeLine { may_drive: true, ..FakeLine::default() });
    let status = node.run(&wasm, &configuration(&[]));
    assert_finalised(&status, 0);
    assert_eq!((World::from_wire(status.world), status.loops), (Some(World::TinyContainer), 11));
    assert_eq!(node.text(Stream::Info), "tiny: startedtiny: stopped");
    let line = node.state().lines[&0].clone();
    assert_eq!((line.transitions, line.is_output, line.high), (10, false, false));
    node.state().lines.remove(&0);
    assert_finalised(&node.run(&wasm, &configuration(&[])), 0);
    assert_eq!(node.text(Stream::Info), "tiny: no lamptiny: stopped");
}
