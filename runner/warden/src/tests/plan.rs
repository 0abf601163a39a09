//! Restart policies and lifetimes.

use std::vec::Vec;

use runner_interfaces::{
    cell::{CellStatus, Command, ContainerState as State},
    grants::CellGrants,
    plan::{DEFAULT_ATTEMPTS, EndCause, LoadRequest, Plan, RestartPolicy, SHORTEST_BACK_OFF_NS, WELL_AFTER_NS},
    warden::{Intervention, Procedure, WardenStatus},
};

use super::fake::*;
use crate::{Fault, GRACE_NS};

const SECOND: u64 = 1_000_000_000;

fn plan(policy: RestartPolicy) -> Plan {
    Plan { restart_policy: policy.to_wire(), ..Plan::default() }
}

/// A node whose cell 0 runs a container with that plan.
fn running(plan: Plan) -> Node {
    let mut node = Node::new();
    node.request_plan(0, LoadRequest { grants: ceiling(), plan, rates: rates() });
    node.load(0, true).expect("free");
    node.show(0, State::Running);
    node.take_steps();
    node
}

fn end(node: &mut Node, state: State, cause: EndCause) {
    let generation = node.control(0).generation;
    node.write_status(0, CellStatus { end_cause: cause.to_wire(), ..status(generation, state) });
    node.notify(0);
}

fn fail(node: &mut Node) {
    end(node, State::Failed, EndCause::None);
}

#[test]
fn a_container_that_fails_comes_back_clean_with_its_rights_after_its_wait() {
    let mut node = running(plan(RestartPolicy::OnFailure));
    let before = node.control(0);
    let failed = node.kernel.now_ns;
    fail(&mut node);
    assert_eq!(node.grants(0), CellGrants::default(), "a container that has ended holds no rights while it waits");
    assert_eq!(node.shown(0).next_start_ns, failed + SHORTEST_BACK_OFF_NS);
    node.take_steps();
    node.pass_until(failed + SHORTEST_BACK_OFF_NS - 1);
    assert_eq!(node.command(0), Some(Command::Run), "the old load's word stands");
    assert_eq!(node.control(0).generation, before.generation);
    node.pass_until(failed + SHORTEST_BACK_OFF_NS);
    let after = node.control(0);
    assert!(after.generation > before.generation);
    assert_eq!(
        (after.command, after.module_bytes, after.configuration_bytes),
        (Command::Run.to_wire(), before.module_bytes, before.configuration_bytes)
    );
    assert_eq!(node.grants(0), CellGrants { generation: after.generation, ..ceiling() });
    let steps = node.take_steps();
    let position = |action| steps.iter().position(|step| step.action == action).unwrap_or_else(|| panic!("{action:?}"));
    assert!(position(Action::Restart(0, ENTRY)) < position(Action::Notify(0)), "a new start begins in a clean domain");
    let shown = node.shown(0);
    assert_eq!((shown.new_starts, shown.next_start_ns, shown.generation), (1, 0, after.generation));
}

#[test]
fn a_domain_that_faulted_or_hung_comes_back_too() {
    let mut node = running(plan(RestartPolicy::OnFailure));
    node.warden.faulted(&mut node.kernel, 0, Fault { kind: 5, ..Fault::default() });
    assert_eq!(node.shown(0).intervention, Intervention::Fault.to_wire());
    node.pass_until(node.kernel.now_ns + SHORTEST_BACK_OFF_NS);
    assert_eq!((node.command(0), node.shown(0).new_starts), (Some(Command::Run), 1));
    // It shows its load and then falls silent.
    node.show(0, State::Running);
    node.pass_until(node.kernel.now_ns + 5 * SECOND);
    assert!(node.shown(0).new_starts > 1, "{:?}", node.shown(0));
}

#[test]
fn each_policy_follows_the_ends_that_it_names() {
    use RestartPolicy::{Always, Never, OnFailure};
    for (policy, after_failure, after_finish) in [(Never, false, false), (OnFailure, true, false), (Always, true, true)]
    {
        let mut node = running(plan(policy));
        fail(&mut node);
        assert_eq!(node.shown(0).next_start_ns != 0, after_failure, "{policy}");
        let mut node = running(plan(policy));
        end(&mut node, State::Finalised, EndCause::Finished);
        assert_eq!(node.shown(0).next_start_ns != 0, after_finish, "{policy}");
        // What somebody wanted, or the plan itself, stays as it is.
        let mut node = running(plan(policy));
        end(&mut node, State::Finalised, EndCause::Lifetime);
        assert_eq!(node.shown(0).next_start_ns, 0, "{policy}");
        for procedure in [Procedure::Stop, Procedure::Kill] {
            let mut node = running(plan(policy));
            node.ask(procedure, 0).expect("running");
            fail(&mut node);
            node.pass_until(node.kernel.now_ns + 60 * SECOND);
            assert_eq!(node.shown(0).new_starts, 0, "{policy} {procedure}");
        }
    }
}

#[test]
fn waits_double_and_it_is_given_up() {
    let mut node = running(plan(RestartPolicy::OnFailure));
    let mut waits = Vec::new();
    loop {
        let failed = node.kernel.now_ns;
        fail(&mut node);
        let next = node.shown(0).next_start_ns;
        if next == 0 {
            break;
        }
        waits.push((next - failed) / SHORTEST_BACK_OFF_NS);
        node.pass_until(next);
        node.show(0, State::Running);
    }
    assert_eq!(waits, [1, 2, 4, 8, 16]);
    assert_eq!((node.shown(0).new_starts, node.shown(0).given_up), (DEFAULT_ATTEMPTS, 1));
    node.pass_until(node.kernel.now_ns + 60 * SECOND);
    assert_eq!(node.shown(0).new_starts, DEFAULT_ATTEMPTS);
    // Who starts it by hand gives it all its attempts again.
    node.load(0, true).expect("it has ended");
    assert_eq!((node.shown(0).new_starts, node.shown(0).given_up), (0, 0));
    node.show(0, State::Running);
    fail(&mut node);
    assert_ne!(node.shown(0).next_start_ns, 0);
}

#[test]
fn a_time_in_which_it_is_well_begins_the_count_anew() {
    let mut node = running(plan(RestartPolicy::OnFailure));
    for _ in 0..3 * DEFAULT_ATTEMPTS {
        let begun = node.kernel.now_ns;
        let mut heartbeat = 0;
        while node.kernel.now_ns < begun + WELL_AFTER_NS {
            heartbeat += 1;
            let generation = node.control(0).generation;
            node.write_status(0, CellStatus { heartbeat, ..status(generation, State::Running) });
            node.pass_until(node.kernel.now_ns + SECOND / 2);
        }
        let failed = node.kernel.now_ns;
        fail(&mut node);
        assert_eq!(node.shown(0).next_start_ns, failed + SHORTEST_BACK_OFF_NS);
        node.pass_until(failed + SHORTEST_BACK_OFF_NS);
        node.show(0, State::Running);
    }
}

#[test]
fn a_new_start_that_does_not_even_load_counts() {
    let mut node = running(plan(RestartPolicy::OnFailure));
    for _ in 0..=DEFAULT_ATTEMPTS {
        fail(&mut node);
        node.pass_until(node.kernel.now_ns + 20 * SHORTEST_BACK_OFF_NS);
    }
    assert_eq!((node.shown(0).new_starts, node.shown(0).given_up), (DEFAULT_ATTEMPTS, 1));
}

#[test]
fn a_first_start_that_fails_is_its_deployers_affair() {
    let mut node = Node::new();
    node.request_plan(0, LoadRequest { grants: ceiling(), plan: plan(RestartPolicy::Always), rates: rates() });
    node.load(0, true).expect("free");
    fail(&mut node);
    assert_eq!((node.shown(0).next_start_ns, node.shown(0).given_up), (0, 0));
}

#[test]
fn who_stops_kills_or_removes_a_container_that_waits_ends_its_waiting() {
    for procedure in [Procedure::Stop, Procedure::Kill, Procedure::Release] {
        let mut node = running(plan(RestartPolicy::OnFailure));
        fail(&mut node);
        assert_eq!(node.ask(procedure, 0), Ok(0));
        assert_eq!(node.shown(0).next_start_ns, 0);
        node.pass_until(node.kernel.now_ns + 60 * SECOND);
        assert_eq!(node.shown(0).new_starts, 0, "{procedure}");
        assert_eq!(node.ask(Procedure::Run, 0), Err(WardenStatus::WrongState));
    }
    let mut node = running(plan(RestartPolicy::OnFailure));
    fail(&mut node);
    node.load(0, true).expect("whoever starts it need not wait");
    assert_eq!((node.shown(0).next_start_ns, node.command(0)), (0, Some(Command::Run)));
}

#[test]
fn a_lifetime_ends_with_the_stop_hook_and_then_by_force() {
    let mut node = running(Plan { time_ns: SECOND, ..plan(RestartPolicy::Always) });
    let begun = node.kernel.now_ns;
    node.pass_until(begun + SECOND - 1);
    assert_eq!(node.command(0), Some(Command::Run));
    node.pass_until(begun + SECOND);
    let control = node.control(0);
    assert_eq!((control.command, control.stop_cause), (Command::Stop.to_wire(), EndCause::Lifetime.to_wire()));
    node.pass_until(begun + SECOND + HOOK_NS + GRACE_NS);
    assert_eq!(node.shown(0).intervention, Intervention::StopLimit.to_wire());
    node.pass_until(begun + 60 * SECOND);
    assert_eq!(node.shown(0).new_starts, 0, "it has lived as long as it may");
}

#[test]
fn a_plan_reaches_the_cell_within_the_boards_limits() {
    let asked = Plan {
        loops: 7,
        start_limit_us: u32::MAX,
        loop_limit_us: 123,
        stop_limit_us: 5,
        memory_limit_bytes: u32::MAX,
        restart_policy: 99,
        ..Plan::default()
    };
    let mut node = running(asked);
    let control = node.control(0);
    let hook_us = u32::try_from(HOOK_NS / 1000).expect("small");
    assert_eq!((control.start_limit_us, control.loop_limit_us, control.stop_limit_us), (hook_us, 123, 5));
    assert_eq!((control.loops_limit, control.memory_limit_bytes), (7, board_limits().memory_limit_bytes));
    fail(&mut node);
    assert_eq!(node.shown(0).next_start_ns, 0, "a number that names no policy means never");
}
