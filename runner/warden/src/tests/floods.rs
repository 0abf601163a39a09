//! Calls of drivers that are too many, and the cells that make them.

use runner_interfaces::{
    cell::ContainerState as State,
    driver::{CALLS_WINDOW_NS, DriverWatch, SPARE_CALLS, UNSCHEDULED_CALLS_PERCENT},
    plan::{LoadRequest, Plan, RestartPolicy},
    policy::BoardLimits,
    schedule::{Release, Schedule},
    scheduling::Shares,
    warden::Intervention,
};
use shared_ring::HeapMemory;

use super::fake::*;
use crate::LOOK_PERIOD_NS;

const DRIVERS: [&str; 4] = ["gpio", "i2c", "timer", "exchange"];

/// What a call of each costs by the board's figures.
const CALL_NS: [u32; 4] = [50_000, 40_000, 30_000, 100_000];

/// 1 ms in 20 ms, with calls to each driver.
const SCHEDULE: Schedule = Schedule {
    period_ns: 20_000_000,
    deadline_ns: 20_000_000,
    budget_ns: 1_000_000,
    offset_ns: 0,
    slice_ns: 10_000,
    fuel_ns: 10_000,
    turn_ns: 0,
    release: Release::Periodic.to_wire(),
    on_overrun: 0,
    urgency: 0,
    calls: u32::from_le_bytes([4, 0, 6, 1]),
};

fn node() -> Node {
    Node::with_limits(BoardLimits { shares: Shares { call_ns: CALL_NS, ..shares() }, ..board_limits() })
}

impl Node {
    fn driver(&self, driver: usize) -> DriverWatch<HeapMemory> {
        DriverWatch::new(self.regions.get(&std::format!("region_{}_status", DRIVERS[driver]))).expect("fits")
    }

    fn calls(&self, cell: usize, driver: usize, calls: u64) {
        let driver = self.driver(driver);
        (0..calls).for_each(|_| driver.count_call(cell));
    }

    /// As long as it takes until the warden has judged, with cells that live.
    fn judged(&mut self) {
        let until_ns = self.kernel.now_ns + CALLS_WINDOW_NS + LOOK_PERIOD_NS;
        self.pass_until(until_ns);
    }

    fn runs(&mut self, cell: usize, plan: Plan) {
        self.request_plan(cell, LoadRequest { grants: ceiling(), plan, rates: rates() });
        self.load(cell, true).expect("free");
        self.show(cell, State::Running);
    }
}

fn scheduled(schedule: Schedule) -> Plan {
    Plan { class: 1, priority: 150, schedule, ..Plan::default() }
}

/// How many calls it may have made that runs for so long.
fn may_make(calls_a_release: u64, elapsed_ns: u64) -> u64 {
    calls_a_release * (elapsed_ns / SCHEDULE.period_ns + 2) + SPARE_CALLS
}

#[test]
fn a_cell_that_makes_more_calls_than_its_schedule_says_is_ended() {
    for (driver, calls_a_release) in [(0, 4), (1, 0), (2, 6), (3, 1)] {
        let mut node = node();
        node.runs(1, scheduled(SCHEDULE));
        node.judged();
        node.take_actions();
        node.calls(1, driver, may_make(calls_a_release, CALLS_WINDOW_NS));
        node.judged();
        assert_eq!((node.shown(1).intervention, node.shown(1).floods), (0, 0), "driver {driver}: as many as it may");
        node.calls(1, driver, may_make(calls_a_release, CALLS_WINDOW_NS) + 1);
        node.judged();
        let shown = node.shown(1);
        assert_eq!(shown.intervention, Intervention::Flooded.to_wire(), "driver {driver}: one more");
        assert_eq!((shown.floods, shown.flooded as usize), (1, driver + 1));
        assert!(node.take_actions().contains(&Action::Restart(1, ENTRY + 1)));
        assert_eq!(node.grants(1), Default::default());
    }
}

#[test]
fn what_was_called_before_the_schedule_was_in_force_is_nobodys_breach() {
    let mut node = node();
    node.running(0);
    node.judged();
    node.calls(1, 1, may_make(0, CALLS_WINDOW_NS) + 1);
    node.runs(1, scheduled(SCHEDULE));
    node.judged();
    assert_eq!(node.shown(1).floods, 0, "its start made them");
    node.calls(1, 1, may_make(0, CALLS_WINDOW_NS) + 1);
    node.judged();
    assert_eq!(node.shown(1).floods, 1);
}

#[test]
fn a_schedule_says_how_many_calls_there_are_also_where_the_kernel_holds_the_budget() {
    let mut node = node();
    node.runs(1, scheduled(Schedule { slice_ns: 0, ..SCHEDULE }));
    node.judged();
    node.calls(1, 0, 2 * may_make(4, CALLS_WINDOW_NS));
    node.judged();
    assert_eq!(node.shown(1).floods, 1);
}

#[test]
fn cells_without_a_schedule_have_a_share_for_their_calls_and_who_calls_most_is_ended() {
    let mut node = node();
    for cell in 0..3 {
        node.running(cell);
    }
    node.judged();
    // 40 ms of 100 ms at 50 us a call, all of it.
    let all = CALLS_WINDOW_NS / 100 * UNSCHEDULED_CALLS_PERCENT / u64::from(CALL_NS[0]);
    node.calls(0, 0, all / 2);
    node.calls(2, 0, all / 2);
    node.judged();
    assert!((0..3).all(|cell| node.shown(cell).floods == 0), "no more than they may");
    node.calls(0, 0, all / 2);
    node.calls(1, 3, all / 4);
    node.calls(2, 0, all / 2 + 1);
    // Of what is left, cell 1's is as long as cell 0's.
    node.judged();
    assert_eq!([0, 1, 2].map(|cell| node.shown(cell).floods), [0, 0, 1]);
    assert_eq!((node.shown(2).flooded, node.shown(2).intervention), (1, Intervention::Flooded.to_wire()));
    // All of them far beyond it: as many are ended as it takes.
    node.running(2);
    for cell in 0..3 {
        node.calls(cell, 2, 10 * all * (cell as u64 + 1));
    }
    node.judged();
    assert_eq!([0, 1, 2].map(|cell| node.shown(cell).floods), [1, 1, 2]);
}

#[test]
fn a_cell_whose_container_has_ended_makes_no_calls_either() {
    let mut node = node();
    node.running(0);
    node.running(1);
    node.show(1, State::Finalised);
    node.judged();
    node.take_actions();
    node.calls(1, 0, CALLS_WINDOW_NS / u64::from(CALL_NS[0]));
    node.judged();
    assert_eq!((node.shown(1).floods, node.shown(1).intervention), (1, 0), "its end stays what it was");
    assert!(node.take_actions().contains(&Action::Restart(1, ENTRY + 1)));
}

#[test]
fn who_was_ended_by_calls_is_started_again_as_its_plan_says() {
    let mut node = node();
    node.runs(1, Plan { restart_policy: RestartPolicy::OnFailure.to_wire(), ..scheduled(SCHEDULE) });
    node.judged();
    node.calls(1, 0, 2 * may_make(4, CALLS_WINDOW_NS));
    node.judged();
    assert_eq!(node.shown(1).floods, 1);
    assert_eq!(node.shown(1).new_starts, 1, "its wait is over already");
}

#[test]
fn quiet_lines_are_listened_to_at_the_next_look() {
    let mut node = node();
    node.running(1);
    node.pass_until(node.kernel.now_ns + 2 * LOOK_PERIOD_NS);
    node.take_actions();
    node.driver(0).set_quiet_lines(0b1000);
    node.pass_until(node.kernel.now_ns + LOOK_PERIOD_NS);
    assert!(node.take_actions().contains(&Action::ListenAgain));
    node.driver(0).set_quiet_lines(0);
    node.pass_until(node.kernel.now_ns + 5 * LOOK_PERIOD_NS);
    assert!(!node.take_actions().contains(&Action::ListenAgain));
}
