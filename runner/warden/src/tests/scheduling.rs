//! Classes: who is under which, from when to when.

use std::vec::Vec;

use runner_interfaces::{
    cell::ContainerState as State,
    plan::{LoadRequest, Plan, RestartPolicy, SHORTEST_BACK_OFF_NS},
    schedule::{OnOverrun, Release, Schedule},
    warden::{Intervention, Procedure, WardenStatus},
};

use super::fake::*;
use crate::{Exhausted, Fault};

/// The class that the plan names counts from 1.
fn plan(class: u32) -> Plan {
    Plan { class, priority: 150, ..Plan::default() }
}

fn load(node: &mut Node, cell: usize, plan: Plan) -> Result<u64, WardenStatus> {
    node.request_plan(cell, LoadRequest { grants: ceiling(), plan, rates: rates() });
    node.load(cell, true)
}

/// What was done to the domains, in order.
fn scheduling(node: &mut Node) -> Vec<Action> {
    let is_one = |action: &Action| {
        matches!(
            action,
            Action::BindClass(..)
                | Action::BindOwn(_)
                | Action::SetPriority(..)
                | Action::Stop(_)
                | Action::Restart(..)
        )
    };
    node.take_actions().into_iter().filter(is_one).collect()
}

#[test]
fn a_cell_is_under_its_class_while_its_container_runs() {
    let mut node = Node::new();
    load(&mut node, 1, plan(3)).expect("free");
    for state in [State::Loading, State::Installed, State::Starting] {
        node.show(1, state);
    }
    assert_eq!(scheduling(&mut node), [], "it loads and starts under its own share");
    node.show(1, State::Running);
    assert_eq!(scheduling(&mut node), [Action::BindClass(1, 2), Action::SetPriority(1, 150)]);
    assert_eq!((node.shown(1).class, node.shown(1).priority), (3, 150));
    node.show(1, State::Ready);
    node.show(1, State::Running);
    assert_eq!(scheduling(&mut node), [], "once");
    node.show(1, State::Finalised);
    assert_eq!(scheduling(&mut node), [Action::BindOwn(1), Action::SetPriority(1, 109)]);
    assert_eq!((node.shown(1).class, node.shown(1).priority), (0, 0));
}

#[test]
fn a_container_without_a_class_stays_under_its_cells_own_share() {
    let mut node = Node::new();
    load(&mut node, 1, Plan::default()).expect("free");
    node.show(1, State::Running);
    node.show(1, State::Finalised);
    assert_eq!(scheduling(&mut node), []);
}

#[test]
fn a_cell_that_ends_by_force_gives_its_class_back_before_it_starts_anew() {
    let mut node = Node::new();
    load(&mut node, 1, plan(1)).expect("free");
    node.show(1, State::Running);
    scheduling(&mut node);
    node.warden.faulted(&mut node.kernel, 1, Fault::default());
    let order = [Action::Stop(1), Action::BindOwn(1), Action::SetPriority(1, 109), Action::Restart(1, ENTRY + 1)];
    assert_eq!(scheduling(&mut node), order);
    load(&mut node, 2, plan(1)).expect("the class is free");
    node.show(2, State::Running);
    assert_eq!(scheduling(&mut node), [Action::BindClass(2, 0), Action::SetPriority(2, 150)]);
}

#[test]
fn a_class_is_one_cells_and_must_be_there() {
    let mut node = Node::new();
    load(&mut node, 1, plan(1)).expect("free");
    assert_eq!(load(&mut node, 2, plan(1)), Err(WardenStatus::WrongState), "it was promised");
    node.show(1, State::Running);
    assert_eq!(load(&mut node, 2, plan(1)), Err(WardenStatus::WrongState), "it is in use");
    load(&mut node, 2, plan(2)).expect("another is free");
    for absent in [4, 32, 33, u32::MAX] {
        assert_eq!(load(&mut node, 3, plan(absent)), Err(WardenStatus::Invalid), "{absent}");
    }
    for priority in [0, 99, 201, 240, 256 + 150] {
        assert_eq!(load(&mut node, 3, Plan { priority, ..plan(3) }), Err(WardenStatus::Invalid), "{priority}");
    }
    node.show(1, State::Finalised);
    load(&mut node, 3, plan(1)).expect("it was given back");
}

#[test]
fn a_container_that_waits_for_its_next_start_keeps_its_class() {
    let mut node = Node::new();
    let again = Plan { restart_policy: RestartPolicy::OnFailure.to_wire(), ..plan(1) };
    load(&mut node, 1, again).expect("free");
    node.show(1, State::Running);
    node.warden.faulted(&mut node.kernel, 1, Fault::default());
    assert_eq!(load(&mut node, 2, plan(1)), Err(WardenStatus::WrongState), "it comes back");
    scheduling(&mut node);
    node.pass_until(node.kernel.now_ns + 2 * SHORTEST_BACK_OFF_NS);
    node.show(1, State::Running);
    assert_eq!(scheduling(&mut node), [Action::BindClass(1, 0), Action::SetPriority(1, 150)]);
}

#[test]
fn what_the_kernel_refuses_leaves_the_cell_under_its_own_share() {
    let mut node = Node::new();
    node.warden.substrate_mut().refuses = true;
    load(&mut node, 1, plan(1)).expect("free");
    node.show(1, State::Running);
    let expected = [Action::BindClass(1, 0), Action::BindOwn(1), Action::SetPriority(1, 109)];
    assert_eq!(scheduling(&mut node), expected);
    assert_eq!(node.shown(1).class, 0);
}

#[test]
fn an_exhausted_budget_is_counted_for_the_cell_that_is_under_it() {
    let mut node = Node::new();
    load(&mut node, 1, plan(2)).expect("free");
    node.show(1, State::Running);
    let goes_on = Some(Exhausted { cell: 1, is_ended: false });
    assert_eq!(node.warden.exhausted(&mut node.kernel, 0x121), goes_on);
    assert_eq!(node.warden.exhausted(&mut node.kernel, 0x121), goes_on);
    for other in [0x120, 0x109, 0, u64::MAX] {
        assert_eq!(node.warden.exhausted(&mut node.kernel, other), None, "nobody is under {other:#x}");
    }
    assert_eq!((node.shown(1).exhausted, node.shown(2).exhausted), (2, 0));
    node.ask(Procedure::Kill, 1).expect("runs");
    assert_eq!(node.warden.exhausted(&mut node.kernel, 0x121), None);
    load(&mut node, 1, Plan::default()).expect("free");
    assert_eq!(node.shown(1).exhausted, 0, "another container begins at nothing");
}

/// A plan under the second class whose container is released every millisecond.
fn scheduled(on_overrun: OnOverrun) -> Plan {
    let schedule = Schedule {
        period_ns: 1_000_000,
        deadline_ns: 1_000_000,
        budget_ns: 50_000,
        release: Release::Periodic.to_wire(),
        on_overrun: on_overrun.to_wire(),
        ..Schedule::default()
    };
    Plan { schedule, ..plan(2) }
}

#[test]
fn whoever_overruns_goes_on_or_ends_as_its_schedule_says() {
    for (on_overrun, is_ended) in [(OnOverrun::Skip, false), (OnOverrun::Stop, true), (OnOverrun::Restart, true)] {
        let mut node = Node::new();
        load(&mut node, 1, scheduled(on_overrun)).expect("free");
        node.show(1, State::Running);
        scheduling(&mut node);
        assert_eq!(node.warden.exhausted(&mut node.kernel, 0x121), Some(Exhausted { cell: 1, is_ended }));
        let intervention = if is_ended { Intervention::Overrun } else { Intervention::None };
        assert_eq!((node.shown(1).intervention, node.shown(1).exhausted), (intervention.to_wire(), 1));
        let own_again =
            [Action::Stop(1), Action::BindOwn(1), Action::SetPriority(1, 109), Action::Restart(1, ENTRY + 1)];
        assert_eq!(scheduling(&mut node), if is_ended { &own_again[..] } else { &[] }, "{on_overrun:?}");
    }
}

/// Its cell was to stop it long before the class is used up, whatever becomes of who overruns.
#[test]
fn a_cell_that_did_not_hold_its_container_is_ended() {
    for on_overrun in [OnOverrun::Skip, OnOverrun::Stop, OnOverrun::Restart] {
        let mut node = Node::new();
        let mut plan = scheduled(on_overrun);
        plan.schedule.slice_ns = 20_000;
        load(&mut node, 1, plan).expect("free");
        node.show(1, State::Running);
        scheduling(&mut node);
        let ended = Some(Exhausted { cell: 1, is_ended: true });
        assert_eq!(node.warden.exhausted(&mut node.kernel, 0x121), ended);
        assert_eq!(node.shown(1).intervention, Intervention::Unheld.to_wire());
        assert_eq!(scheduling(&mut node)[0], Action::Stop(1), "{on_overrun:?}");
    }
}

#[test]
fn an_overrun_is_a_failure_that_a_new_start_may_follow() {
    let mut node = Node::new();
    let again = Plan { restart_policy: RestartPolicy::OnFailure.to_wire(), ..scheduled(OnOverrun::Restart) };
    load(&mut node, 1, again).expect("free");
    node.show(1, State::Running);
    node.warden.exhausted(&mut node.kernel, 0x121).expect("it has it");
    assert!(node.shown(1).next_start_ns > node.kernel.now_ns);
    node.pass_until(node.kernel.now_ns + 2 * SHORTEST_BACK_OFF_NS);
    assert_eq!(node.shown(1).new_starts, 1);
}

#[test]
fn what_a_stop_hook_takes_is_no_overrun() {
    let mut node = Node::new();
    load(&mut node, 1, scheduled(OnOverrun::Stop)).expect("free");
    node.show(1, State::Running);
    node.ask(Procedure::Stop, 1).expect("runs");
    assert_eq!(node.warden.exhausted(&mut node.kernel, 0x121), Some(Exhausted { cell: 1, is_ended: false }));
    assert_eq!(node.shown(1).intervention, Intervention::None.to_wire());
}
