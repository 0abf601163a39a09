//! Releases: by the clock and by events, what is skipped, what is missed, and what becomes of who misses.

use runner_container::{Manifest, embed};
use runner_executor::fake::FakeNode;
use runner_interfaces::{
    cell::{Command, ContainerState, FailureReason, Hold},
    gpio::Status,
    plan::EndCause,
    schedule::{OnOverrun, Release, Schedule},
    timer::{self, RELEASE_TIMER},
    timing::{Measure, Timing},
};

use crate::support::*;

const MILLISECOND: u64 = 1_000_000;

const IMPORTS: &str = r#"
    (import "atoll:node/timer@0.1.0" "sleep" (func $sleep (param i64) (result i32)))
    (import "atoll:node/timer@0.1.0" "arm" (func $arm (param i32 i64 i64) (result i32)))
    (import "atoll:node/timer@0.1.0" "wait" (func $wait (param i32) (result i32)))
    (import "atoll:node/clock@0.1.3" "now" (func $now (result i64)))
    (global $loops (export "loops") (mut i32) (i32.const 0))
    (global $stopped (export "stopped") (mut i32) (i32.const 0))
    (func $count (global.set $loops (i32.add (global.get $loops) (i32.const 1))))
    (func $work (param i32)
        (loop $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $again)))"#;

const STARTS: &str = "(i32.const 0)";
const STOPS: &str = "(global.set $stopped (i32.const 1))";
const AGAIN: &str = "(i32.const 0)";

/// Once in 10 ms, 3 ms behind the grid, done within 4 ms.
const PERIODIC: Schedule = Schedule {
    period_ns: 10 * MILLISECOND,
    deadline_ns: 4 * MILLISECOND,
    budget_ns: 2 * MILLISECOND,
    offset_ns: 3 * MILLISECOND,
    slice_ns: 0,
    fuel_ns: 0,
    turn_ns: 0,
    release: Release::Periodic.to_wire(),
    on_overrun: OnOverrun::Skip.to_wire(),
    urgency: 0,
    calls: 0,
};

fn looping(body: &str) -> Vec<u8> {
    reactor(IMPORTS, STARTS, &format!("(call $count) {body}"), STOPS)
}

/// A node on which a look at the clock takes a microsecond, with that container running under that schedule.
fn scheduled(schedule: Schedule, wasm: &[u8]) -> FakeNode {
    let mut node = node();
    node.state().clock_step_ns = 1000;
    node.control.schedule = schedule;
    node.load(wasm, &configuration(&[]), Command::Run);
    node.step();
    node
}

fn timing(node: &FakeNode) -> Timing {
    node.timing().expect("it has a schedule")
}

/// Steps until so much time has passed.
fn pass(node: &mut FakeNode, nanoseconds: u64) {
    let end = node.state().now_ns + nanoseconds;
    while node.state().now_ns < end && node.step() {}
}

fn release_timer(node: &FakeNode) -> Option<(u64, u64)> {
    node.state().timers[usize::from(RELEASE_TIMER)]
}

#[test]
fn the_loop_is_released_on_the_grid_and_does_not_drift() {
    let mut node = scheduled(PERIODIC, &looping(AGAIN));
    assert_eq!(state(&node.status()), ContainerState::Ready);
    assert_eq!(node.status().loops, 0, "the first release is still to come");
    assert_eq!(release_timer(&node), Some((3 * MILLISECOND, 10 * MILLISECOND)));
    node.state().records_calls = false;
    const LOOPS: u64 = 10_000;
    while node.status().loops < LOOPS {
        assert!(node.step());
    }
    let timing = timing(&node);
    assert_eq!((timing.counts.released, timing.counts.completed), (LOOPS, LOOPS));
    assert_eq!((timing.counts.missed, timing.counts.skipped), (0, 0));
    // The last one was released on the grid too, and it began within a few looks at the clock.
    let last = 3 * MILLISECOND + (LOOPS - 1) * 10 * MILLISECOND;
    let [jitter, response, slack, calls] = timing.histograms;
    assert!(node.state().now_ns - last < 30_000, "{}", node.state().now_ns - last);
    assert!((jitter.count, response.count, slack.count) == (LOOPS, LOOPS, LOOPS) && jitter.most_ns < 10_000);
    assert!(response.most_ns < 20_000 && slack.least_ns > 4 * MILLISECOND - 20_000);
    assert_eq!(calls.count, 0, "it calls nobody");
}

#[test]
fn a_release_costs_no_call_of_another_domain() {
    let calls = |start: &str| {
        let mut node = scheduled(PERIODIC, &reactor(IMPORTS, start, &format!("(call $count) {AGAIN}"), STOPS));
        pass(&mut node, 100 * MILLISECOND);
        assert!(timing(&node).counts.released >= 9);
        let state = node.state();
        let take = u64::from(timer::Procedure::Take.to_wire());
        let takes = state.calls.iter().filter(|(_, call)| call.label == take).count();
        (takes, state.calls.len())
    };
    assert_eq!(calls(STARTS), (0, 1), "the timer is armed");
    // What has a timer of its own must ask which of them it was.
    let (takes, _) = calls("(call $arm (i32.const 1) (i64.const 0) (i64.const 20000000))");
    assert!(takes >= 9, "{takes}");
}

#[test]
fn what_is_run_over_is_skipped_and_counted_and_the_grid_stays() {
    // The third loop sleeps for 25 ms.
    let body = "(if (i32.eq (global.get $loops) (i32.const 3)) (then (drop (call $sleep (i64.const 25000000))))) (i32.const 0)";
    let mut node = scheduled(PERIODIC, &looping(body));
    pass(&mut node, 92 * MILLISECOND);
    let timing = timing(&node);
    // Releases at 3, 13, 23 (until 48, over 33 and 43), 53, …, 93.
    assert_eq!((timing.counts.released, timing.counts.completed), (8, 8));
    assert_eq!((timing.counts.missed, timing.counts.skipped), (1, 2));
    let [jitter, response, slack, _] = timing.histograms;
    assert!(jitter.most_ns < 20_000, "{}", jitter.most_ns);
    assert!(response.most_ns > 25 * MILLISECOND && slack.count == 7);
    assert_eq!(state(&node.status()), ContainerState::Ready);
}

#[test]
fn who_misses_a_deadline_fails_where_the_schedule_says_so() {
    let endless = "(loop $for_ever (br $for_ever)) (unreachable)";
    // Waits are cut short too, and a wait for nothing is one.
    let bodies = [
        endless,
        "(drop (call $sleep (i64.const 500000000))) (i32.const 0)",
        "(drop (call $wait (i32.const 2))) (i32.const 0)",
    ];
    for on_overrun in [OnOverrun::Stop, OnOverrun::Restart] {
        for body in bodies {
            let mut node = scheduled(Schedule { on_overrun: on_overrun.to_wire(), ..PERIODIC }, &looping(body));
            let status = node.run_to_end();
            assert_failed(&status, FailureReason::Overrun, "4000 us after its release");
            let late = status.ended_ns - 7 * MILLISECOND;
            assert!(late < MILLISECOND / 2, "found {late} ns behind the deadline");
            let counts = timing(&node).counts;
            assert_eq!((counts.released, counts.completed, counts.missed), (1, 0, 1));
            assert_eq!(release_timer(&node), None, "the timer is given back");
        }
    }
}

#[test]
fn an_endless_loop_that_may_overrun_can_still_be_stopped() {
    let mut node = scheduled(PERIODIC, &looping("(loop $for_ever (br $for_ever)) (unreachable)"));
    node.command_in(50 * MILLISECOND, Command::Stop);
    let status = node.run_to_end();
    assert_finalised(&status, 0);
    assert!(status.ended_ns < 52 * MILLISECOND, "{}", status.ended_ns);
    assert_eq!(timing(&node).counts.missed, 1);
}

#[test]
fn who_is_stopped_between_two_releases_runs_its_stop_hook() {
    let mut node = scheduled(PERIODIC, &looping(AGAIN));
    pass(&mut node, 5 * MILLISECOND);
    node.command(Command::Stop);
    assert_finalised(&node.run_to_end(), 0);
    let stopped =
        node.cell.remains().expect("it was instantiated").globals.iter().find(|(name, _)| name == "stopped").cloned();
    assert_eq!(stopped, Some(("stopped".into(), 1)));
    assert_eq!(release_timer(&node), None);
}

#[test]
fn a_lifetime_counts_loops_under_a_schedule_too() {
    let mut node = node();
    node.control.loops_limit = 3;
    node.control.schedule = PERIODIC;
    node.load(&looping(AGAIN), &configuration(&[]), Command::Run);
    node.step();
    assert_finalised(&node.run_to_end(), 0);
    assert_eq!((timing(&node).counts.completed, node.status().end_cause), (3, EndCause::Lifetime.to_wire()));
}

#[test]
fn who_is_held_between_two_releases_is_held_at_once_and_goes_on_on_the_grid() {
    let mut node = scheduled(PERIODIC, &looping(AGAIN));
    pass(&mut node, 5 * MILLISECOND);
    let released = timing(&node).counts.released;
    node.control.hold = Hold::AtLoop.to_wire();
    node.command(Command::Run);
    node.step();
    assert_eq!(node.status().held, 1);
    pass(&mut node, 30 * MILLISECOND);
    assert_eq!(timing(&node).counts.released, released);
    node.control.hold = Hold::No.to_wire();
    node.command(Command::Run);
    pass(&mut node, 20 * MILLISECOND);
    let timing = timing(&node);
    assert!(timing.counts.released > released && timing.counts.skipped == 0, "{:?}", timing.counts);
    assert!(timing.histograms[Measure::Jitter as usize].most_ns < 20_000);
}

/// The same, held to its budget of 2 ms by its cell: a slice takes up to 50 us.
const HELD: Schedule = Schedule { slice_ns: 50_000, calls: u32::from_le_bytes([0, 0, 3, 0]), ..PERIODIC };

const ENDLESS: &str = "(loop $for_ever (br $for_ever)) (unreachable)";

/// The node's clock goes by 20 us with each look at it: so long does a slice take.
fn held(schedule: Schedule, wasm: &[u8]) -> FakeNode {
    let mut node = node();
    node.state().clock_step_ns = 20_000;
    node.control.schedule = schedule;
    node.load(wasm, &configuration(&[]), Command::Run);
    node.step();
    node
}

#[test]
fn the_cell_stops_a_job_at_its_budget_and_lets_it_go_on_with_the_next_release() {
    let mut node = held(HELD, &looping(ENDLESS));
    for _ in 0..20 {
        pass(&mut node, 10 * MILLISECOND);
        let releases = (node.state().now_ns - 3 * MILLISECOND) / (10 * MILLISECOND) + 1;
        // The start hook had a slice. In 2 ms are 100 of 20 us each; there may be one more.
        let slices = node.status().slices - 1;
        assert!(slices <= releases * 101, "{slices} slices in {releases} releases");
        assert!(slices >= (releases - 1) * 100, "{slices} slices in {releases} releases");
    }
    let counts = timing(&node).counts;
    assert_eq!((counts.released, counts.completed, counts.missed), (1, 0, 1));
    node.command(Command::Stop);
    assert_finalised(&node.run_to_end(), 0);
}

#[test]
fn who_uses_its_budget_up_fails_where_the_schedule_says_so() {
    for on_overrun in [OnOverrun::Stop, OnOverrun::Restart] {
        let mut node = held(Schedule { on_overrun: on_overrun.to_wire(), ..HELD }, &looping(ENDLESS));
        let status = node.run_to_end();
        assert_failed(&status, FailureReason::Overrun, "more than the 2000 us of its budget");
        assert!((5 * MILLISECOND..6 * MILLISECOND).contains(&status.ended_ns), "{}", status.ended_ns);
    }
}

/// What comes first is paid for whole before any of it runs: a slice of it would be longer than the budget.
#[test]
fn what_cannot_be_cut_and_takes_more_than_a_budget_fails() {
    let much = "(drop (i32.const 1))".repeat(5000);
    for on_overrun in [OnOverrun::Skip, OnOverrun::Stop] {
        let mut node =
            held(Schedule { on_overrun: on_overrun.to_wire(), ..HELD }, &looping(&format!("{much} {AGAIN}")));
        let status = node.run_to_end();
        assert_failed(&status, FailureReason::Overrun, "more than the 2000 us of its budget");
    }
    // It is no more than four slices of 100 units.
    let little = "(drop (i32.const 1))".repeat(150);
    let mut node = held(HELD, &looping(&format!("{little} {AGAIN}")));
    pass(&mut node, 100 * MILLISECOND);
    assert_eq!((state(&node.status()), timing(&node).counts.missed), (ContainerState::Ready, 0));
}

/// What takes as long as the container's paths, folders and lists are is for the start hook.
#[test]
fn a_job_makes_no_call_that_could_be_longer_than_a_slice() {
    let imports = r#"
        (import "wasi_snapshot_preview1" "path_open"
            (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_readdir" (func $list (param i32 i32 i32 i64 i32) (result i32)))
        (import "wasi_snapshot_preview1" "environ_get" (func $environment (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 64) "limits")
        (func $answers (param i32)
            (i32.store8 (local.get 0) (call $open (i32.const 3) (i32.const 0) (i32.const 64) (i32.const 6)
                (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 128)))
            (i32.store8 offset=1 (local.get 0)
                (call $list (i32.const 3) (i32.const 1024) (i32.const 512) (i64.const 0) (i32.const 128)))
            (i32.store8 offset=2 (local.get 0) (call $environment (i32.const 1024) (i32.const 2048)))
            (i32.store8 offset=3 (local.get 0)
                (call $poll (i32.const 4096) (i32.const 16384) (i32.const 17) (i32.const 128))))
        (global $before (export "before") (mut i32) (i32.const -1))
        (global $after (export "after") (mut i32) (i32.const -1))
        (global $read (export "read") (mut i32) (i32.const -1))"#;
    let start = "(call $answers (i32.const 0)) (global.set $before (i32.load (i32.const 0))) (i32.const 0)";
    // One vector: 4 bytes to address 256. The file that the start hook opened has the descriptor 4.
    let job = "(call $answers (i32.const 0)) (global.set $after (i32.load (i32.const 0)))
        (i32.store (i32.const 16) (i32.const 256)) (i32.store (i32.const 20) (i32.const 4))
        (drop (call $read (i32.const 4) (i32.const 16) (i32.const 1) (i32.const 128)))
        (global.set $read (i32.load (i32.const 128))) (i32.const 1)";
    let wasm = reactor(imports, start, job, "");
    let manifest = Manifest { name: "test".into(), ..Manifest::default() };
    let wasm = embed(&wasm, &manifest, &[("limits", b"4711")]).expect("a container");
    let answers = |schedule| {
        let mut node = held(schedule, &wasm);
        assert_finalised(&node.run_to_end(), 0);
        let globals = node.cell.remains().expect("it ran").globals.clone();
        ["before", "after", "read"].map(|which| {
            let (_, value) = globals.iter().find(|(name, _)| name == which).expect("a global");
            u32::try_from(*value).expect("a number of the container's")
        })
    };
    let [done, not_supported, invalid] = [0_u8, 58, 28];
    let refused = u32::from_le_bytes([not_supported, not_supported, not_supported, invalid]);
    assert_eq!(answers(HELD), [done.into(), refused, 4]);
    // Where nobody holds it to its budget, there is no slice to keep.
    assert_eq!(answers(Schedule { slice_ns: 0, ..HELD }), [done.into(), done.into(), 4]);
}

#[test]
fn more_calls_than_a_release_may_make_are_refused_without_a_call() {
    let arm = "(global.set $answer (call $arm (i32.const 1) (i64.const 1000000000000) (i64.const 0)))";
    let answers = r#"(global $answer (export "answer") (mut i32) (i32.const -1))"#;
    let answer_after = |calls: usize| {
        let mut node = held(
            HELD,
            &reactor(&format!("{IMPORTS} {answers}"), STARTS, &format!("{} (i32.const 1)", arm.repeat(calls)), STOPS),
        );
        assert_finalised(&node.run_to_end(), 0);
        let armed = node.state().calls.iter().filter(|(_, call)| call.words[1] > 1_000_000_000_000).count();
        let global = node.cell.remains().expect("it ran").globals.iter().find(|(name, _)| name == "answer").cloned();
        (armed, node.status().refused_calls, global.map(|(_, value)| value))
    };
    let full = u64::from(Status::Full.to_wire());
    assert_eq!(answer_after(3), (3, 0, Some(0)));
    assert_eq!(answer_after(5), (3, 2, Some(full)));
}

#[test]
fn the_memory_of_a_container_with_deadlines_keeps_its_size() {
    let grown = r#"(global $grown (export "grown") (mut i32) (i32.const 0)) (memory (export "memory") 1 9)"#;
    let start = "(global.set $grown (memory.grow (i32.const 1))) (i32.const 0)";
    let body = "(global.set $grown (memory.grow (i32.const 1))) (i32.const 1)";
    let after = |start: &str, schedule| {
        let mut node = held(schedule, &reactor(&format!("{IMPORTS} {grown}"), start, body, STOPS));
        assert_finalised(&node.run_to_end(), 0);
        let pages = node.cell.remains().expect("it ran").memory.len() / 65_536;
        let global = node.cell.remains().expect("it ran").globals.iter().find(|(name, _)| name == "grown").cloned();
        (pages, global.map(|(_, value)| value))
    };
    assert_eq!(after(start, HELD), (2, Some(u64::from(u32::MAX))), "it grew at its start, and not in its loop");
    assert_eq!(after(STARTS, PERIODIC), (2, Some(1)), "its cell holds it to nothing");
}

/// At most once in 10 ms, done within 4 ms of the event.
const BY_EVENTS: Schedule = Schedule { release: Release::Events.to_wire(), offset_ns: 0, ..PERIODIC };

#[test]
fn events_release_work_no_more_often_than_it_may_be() {
    // A timer of 2 ms is the event.
    let start = "(call $arm (i32.const 1) (i64.const 0) (i64.const 2000000))";
    let body = "(drop (call $wait (i32.const 2))) (call $count) (i32.const 0)";
    let mut node = scheduled(BY_EVENTS, &reactor(IMPORTS, start, body, STOPS));
    pass(&mut node, 100 * MILLISECOND);
    let timing = timing(&node);
    assert!((10..=11).contains(&timing.counts.released), "{:?}", timing.counts);
    assert_eq!((timing.counts.missed, timing.counts.skipped), (0, 0));
    // What waited because it came too soon was not released late.
    assert!(timing.histograms[Measure::Jitter as usize].most_ns < 20_000);
    assert!(timing.histograms[Measure::HostCall as usize].count > 0);
}

#[test]
fn work_that_answers_an_event_too_late_fails_where_the_schedule_says_so() {
    let start = "(call $arm (i32.const 1) (i64.const 20000000) (i64.const 0))";
    let body = "(drop (call $wait (i32.const 2))) (drop (call $sleep (i64.const 50000000))) (i32.const 0)";
    let schedule = Schedule { on_overrun: OnOverrun::Stop.to_wire(), ..BY_EVENTS };
    let mut node = scheduled(schedule, &reactor(IMPORTS, start, body, STOPS));
    let status = node.run_to_end();
    assert_failed(&status, FailureReason::Overrun, "4000 us");
    assert!(status.ended_ns > 24 * MILLISECOND && status.ended_ns < 25 * MILLISECOND, "{}", status.ended_ns);
}

#[test]
fn work_that_an_event_released_is_held_to_its_budget_too() {
    let start = "(call $arm (i32.const 1) (i64.const 0) (i64.const 10000000))";
    let body = "(drop (call $wait (i32.const 2))) (call $work (i32.const 20000)) (i32.const 0)";
    let schedule =
        Schedule { slice_ns: 50_000, budget_ns: MILLISECOND, calls: u32::from_le_bytes([0, 0, 9, 0]), ..BY_EVENTS };
    let mut node = held(schedule, &reactor(IMPORTS, start, body, STOPS));
    pass(&mut node, 95 * MILLISECOND);
    // A job is some 160,000 units. In 1 ms are 50 slices, of 2000 units at first and 100 at last: a third of it.
    let counts = timing(&node).counts;
    assert!((1..=5).contains(&counts.completed) && counts.missed > 0, "{counts:?}");
    let slices = node.status().slices;
    // In 11 releases at the most, with a slice more in each and one up to each wait.
    assert!(slices <= 11 * (MILLISECOND / 20_000 + 2), "{slices}");
}

#[test]
fn a_container_without_a_schedule_shows_no_times_and_of_another_load_none_are_left() {
    let mut node = scheduled(PERIODIC, &looping(AGAIN));
    pass(&mut node, 50 * MILLISECOND);
    assert!(timing(&node).counts.released > 0);
    node.control.schedule = Schedule::default();
    node.load(&looping("(i32.const 1)"), &configuration(&[]), Command::Run);
    assert_finalised(&node.run_to_end(), 0);
    assert_eq!(node.timing(), None);
    node.control.schedule = PERIODIC;
    node.load(&looping(AGAIN), &configuration(&[]), Command::Run);
    node.step();
    assert_eq!(timing(&node).counts.released, 0);
}

#[test]
fn a_timer_domain_that_does_not_answer_costs_releases_and_nothing_else() {
    let mut node = node();
    node.control.schedule = PERIODIC;
    node.state().drivers_are_gone = true;
    node.load(&looping(AGAIN), &configuration(&[]), Command::Run);
    node.step();
    assert_eq!((state(&node.status()), node.status().loops), (ContainerState::Ready, 0));
    node.state().now_ns += 40 * MILLISECOND;
    node.state().drivers_are_gone = false;
    node.notify("channel_warden");
    node.step();
    pass(&mut node, 40 * MILLISECOND);
    assert!(timing(&node).counts.released >= 4, "{:?}", timing(&node).counts);
    let armed = node
        .state()
        .calls
        .iter()
        .filter(|(_, call)| *call == timer::arm(RELEASE_TIMER, call.words[1], 10 * MILLISECOND))
        .count();
    assert_eq!(armed, 2, "it was tried again");
}
