//! One version takes another's place, proves itself or is rolled back, whoever fails in whichever moment.

use std::vec::Vec;

use runner_interfaces::{
    cell::{Command, ContainerState as State, Hold},
    grants::CellGrants,
    plan::{EndCause, LoadRequest, Plan, RestartPolicy},
    warden::{Intervention, Procedure, Succession, WardenStatus},
};

use super::fake::*;
use crate::{BOUNDARY_WAIT_NS, Fault, HANDOVER_LIMIT_NS};

const PROBATION_NS: u64 = 2_000_000_000;
const OLD: usize = 0;
const NEW: usize = 1;

fn succeed(node: &mut Node, from: u64, to: u64) -> Result<u64, WardenStatus> {
    node.procedure(Procedure::Succeed, [from, to, PROBATION_NS / 1_000, 0])
}

/// The old version loops in cell 0, the new one is being loaded in cell 1.
fn begun() -> Node {
    let mut node = Node::new();
    let plan = Plan { restart_policy: RestartPolicy::Always.to_wire(), ..Plan::default() };
    for cell in [OLD, NEW] {
        node.request_plan(cell, LoadRequest { grants: ceiling(), plan, rates: rates() });
        node.load(cell, cell == OLD).expect("free");
    }
    node.show_loops(OLD, State::Running, 5, false);
    assert_eq!(succeed(&mut node, 0, 1), Ok(0));
    node.take_steps();
    node
}

/// Up to where the new one has started, and is held.
fn started() -> Node {
    let mut node = begun();
    node.show(NEW, State::Installed);
    assert_eq!(told(&node, NEW), (Some(Command::Run), Some(Hold::AtLoop)), "it may start, and not loop");
    node.show(NEW, State::Starting);
    assert_eq!(told(&node, OLD).1, Some(Hold::No), "the old one goes on while the new one starts");
    node.show_loops(NEW, State::Ready, 0, true);
    node
}

/// Up to where the new one has taken over.
fn on_probation() -> Node {
    let mut node = started();
    assert_eq!(told(&node, OLD), (Some(Command::Run), Some(Hold::AtLoop)));
    node.take_steps();
    node.show_loops(OLD, State::Ready, 6, true);
    node
}

fn told(node: &Node, cell: usize) -> (Option<Command>, Option<Hold>) {
    (node.command(cell), Hold::from_wire(node.control(cell).hold))
}

fn succession(node: &Node) -> Option<Succession> {
    Succession::from_wire(node.shown(NEW).succession)
}

fn actions(node: &mut Node) -> Vec<Action> {
    node.take_actions()
}

/// Time passes; both cells show that they live.
fn pass(node: &mut Node, nanoseconds: u64, new_loops: u64) {
    let until = node.kernel.now_ns + nanoseconds;
    while node.kernel.now_ns < until {
        node.pass_until(until.min(node.kernel.now_ns + 500_000_000));
        for (cell, loops, held) in [(OLD, 6, told(node, OLD).1 != Some(Hold::No)), (NEW, new_loops, false)] {
            if node.command(cell) == Some(Command::Run) && node.shown(cell).grants.generation != 0 {
                node.show_loops(cell, State::Running, loops, held);
            }
        }
    }
}

/// The old one goes on with what it had, the new one is gone.
fn assert_rolled_back(node: &mut Node) {
    assert_eq!(succession(node), Some(Succession::RolledBack));
    assert_eq!(told(node, OLD), (Some(Command::Run), Some(Hold::No)));
    assert_eq!(node.grants(NEW), CellGrants::default());
    let new_starts = node.shown(NEW).new_starts;
    pass(node, 60_000_000_000, 0);
    assert_eq!(node.shown(NEW).new_starts, new_starts, "what was rolled back does not come back");
    assert_eq!(node.command(OLD), Some(Command::Run));
    assert_eq!(node.shown(OLD).intervention, 0);
}

#[test]
fn the_new_one_starts_beside_the_old_one_and_takes_over_at_a_loops_end() {
    let mut node = started();
    assert!(actions(&mut node).contains(&Action::Succeed(0, 1)));
    assert_eq!(succession(&node), Some(Succession::Preparing));
    node.show_loops(OLD, State::Ready, 6, true);
    assert_eq!(succession(&node), Some(Succession::Probation));
    assert_eq!(told(&node, NEW), (Some(Command::Run), Some(Hold::No)));
    let steps = actions(&mut node);
    let position = |action| steps.iter().position(|step| *step == action).unwrap_or_else(|| panic!("{action:?}"));
    let lines_and_ends = [Action::TakeOver(0, 1), Action::TakeOverEnds(0, 1)].map(position);
    assert!(
        lines_and_ends.iter().all(|place| *place < position(Action::Notify(1))),
        "it loops with its lines: {steps:?}"
    );
}

#[test]
fn one_that_has_proved_itself_stays_and_the_old_one_stops() {
    let mut node = on_probation();
    pass(&mut node, PROBATION_NS - 1, 3);
    assert_eq!(told(&node, OLD), (Some(Command::Run), Some(Hold::AtLoop)), "the old one is kept till then");
    pass(&mut node, 1, 3);
    assert_eq!(succession(&node), Some(Succession::Done));
    let control = node.control(OLD);
    assert_eq!((control.command, control.stop_cause), (Command::Stop.to_wire(), EndCause::Replaced.to_wire()));
    node.show(OLD, State::Finalised);
    assert_eq!(node.shown(OLD).next_start_ns, 0, "its restart policy has no say in that");
    // From here on the new one is a container like any other.
    node.show(NEW, State::Failed);
    assert_ne!(node.shown(NEW).next_start_ns, 0);
}

#[test]
fn one_that_waits_for_an_event_has_proved_itself_too() {
    let mut node = on_probation();
    for _ in 0..5 {
        node.pass_until(node.kernel.now_ns + PROBATION_NS / 4);
        if succession(&node) == Some(Succession::Probation) {
            node.show_loops(OLD, State::Ready, 6, true);
            node.show_loops(NEW, State::Ready, 0, false);
        }
    }
    assert_eq!(succession(&node), Some(Succession::Done));
}

#[test]
fn one_that_is_stuck_in_its_first_loop_is_rolled_back() {
    let mut node = on_probation();
    pass(&mut node, PROBATION_NS, 0);
    assert_eq!(node.shown(NEW).intervention, Intervention::NotProven.to_wire());
    let steps = actions(&mut node);
    let position = |action| steps.iter().position(|step| *step == action).unwrap_or_else(|| panic!("{action:?}"));
    assert!(position(Action::TakeOver(1, 0)) < position(Action::ReleaseLines(1)), "nothing is closed that goes back");
    assert_rolled_back(&mut node);
}

#[test]
fn one_that_fails_in_any_moment_leaves_the_old_one_as_it_was() {
    let ends: [fn(&mut Node); 4] = [
        |node| node.show(NEW, State::Failed),
        |node| node.show(NEW, State::Finalised),
        |node| node.warden.faulted(&mut node.kernel, NEW, Fault::default()),
        |node| _ = node.ask(Procedure::Kill, NEW),
    ];
    for end in ends {
        for moment in [begun, started, on_probation] {
            let mut node = moment();
            let had_taken_over = succession(&node) == Some(Succession::Probation);
            node.take_steps();
            end(&mut node);
            let gave_back = actions(&mut node).contains(&Action::TakeOver(1, 0));
            assert_eq!(gave_back, had_taken_over, "once, and only what was taken");
            assert_rolled_back(&mut node);
        }
    }
}

#[test]
fn an_upload_that_is_given_up_rolls_back() {
    for moment in [begun, started, on_probation] {
        let mut node = moment();
        assert_eq!(node.ask(Procedure::Release, NEW), Ok(0));
        assert_rolled_back(&mut node);
    }
}

#[test]
fn an_old_one_that_waits_for_long_is_held_where_it_waits() {
    let mut node = started();
    node.pass_until(node.kernel.now_ns + BOUNDARY_WAIT_NS - 1);
    assert_eq!(told(&node, OLD).1, Some(Hold::AtLoop));
    node.pass_until(node.kernel.now_ns + 1);
    assert_eq!(told(&node, OLD).1, Some(Hold::Anywhere));
    node.show_loops(OLD, State::Ready, 5, true);
    assert_eq!(succession(&node), Some(Succession::Probation));
}

#[test]
fn an_old_one_that_cannot_be_held_goes_on() {
    let mut node = started();
    let begun_ns = node.kernel.now_ns;
    while succession(&node) == Some(Succession::Preparing) {
        node.show_loops(OLD, State::Running, 5, false);
        node.show_loops(NEW, State::Ready, 0, true);
        node.pass_until(node.kernel.now_ns + 100_000_000);
        assert!(node.kernel.now_ns - begun_ns <= BOUNDARY_WAIT_NS + HANDOVER_LIMIT_NS, "it goes on for ever");
    }
    assert_eq!(node.shown(NEW).intervention, Intervention::NoHandover.to_wire());
    assert_eq!(told(&node, OLD), (Some(Command::Run), Some(Hold::No)));
}

#[test]
fn an_old_one_that_ends_meanwhile_is_not_replaced() {
    for moment in [begun, started] {
        let mut node = moment();
        node.show(OLD, State::Failed);
        assert_eq!(node.shown(NEW).intervention, Intervention::NoHandover.to_wire());
        assert_ne!(node.shown(OLD).next_start_ns, 0, "its own policy brings it back");
    }
}

#[test]
fn an_old_one_that_dies_while_it_is_held_leaves_its_place_for_good() {
    let mut node = on_probation();
    node.warden.faulted(&mut node.kernel, OLD, Fault::default());
    assert_eq!(succession(&node), Some(Succession::Done));
    assert_eq!((node.shown(OLD).next_start_ns, node.command(OLD)), (0, Some(Command::Idle)));
    assert_eq!(told(&node, NEW), (Some(Command::Run), Some(Hold::No)));
    node.show(NEW, State::Failed);
    assert_ne!(node.shown(NEW).next_start_ns, 0);
}

#[test]
fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let mut node = begun();
    node.load(2, false).expect("free");
    for (from, to, status) in [
        (0, 0, WardenStatus::Invalid),
        (0, 9, WardenStatus::NoSuchCell),
        (u64::MAX, 1, WardenStatus::NoSuchCell),
        // In an update already.
        (0, 2, WardenStatus::WrongState),
        (1, 2, WardenStatus::WrongState),
        (2, 1, WardenStatus::WrongState),
        // Nothing there.
        (3, 2, WardenStatus::WrongState),
        (2, 3, WardenStatus::WrongState),
    ] {
        assert_eq!(succeed(&mut node, from, to), Err(status), "{from} {to}");
    }
    assert_eq!(succession(&node), Some(Succession::Preparing));
    let mut node = Node::new();
    node.running(0);
    node.running(1);
    assert_eq!(succeed(&mut node, 0, 1), Err(WardenStatus::WrongState), "it runs already");
}

/// Found by the fuzz target `warden`: the old version's end and the next load of its cell come to the warden at once.
#[test]
fn what_is_loaded_where_the_old_one_just_ended_is_not_taken_for_the_old_one() {
    let mut node = on_probation();
    let generation = node.control(OLD).generation;
    node.write_status(OLD, status(generation, State::Finalised));
    node.request(OLD, ceiling());
    node.load(OLD, true).expect("the cell is free");
    assert_eq!(succession(&node), Some(Succession::Done), "there is nobody to give back to");
    node.show(OLD, State::Running);
    node.take_steps();
    pass(&mut node, 2 * PROBATION_NS, 3);
    assert_eq!(node.command(OLD), Some(Command::Run), "another container, and nobody's predecessor");
    node.show(NEW, State::Failed);
    let given_back = actions(&mut node).into_iter().any(|action| matches!(action, Action::TakeOver(..)));
    assert!(!given_back, "what the new one had is not another container's");
}

/// Likewise: the new version's end and the next load of its cell.
#[test]
fn what_is_loaded_where_the_new_one_just_ended_succeeds_nobody() {
    for mut node in [started(), on_probation()] {
        let generation = node.control(NEW).generation;
        node.write_status(NEW, status(generation, State::Failed));
        node.request(NEW, ceiling());
        node.load(NEW, false).expect("the cell is free");
        assert_eq!(succession(&node), Some(Succession::None), "it was to replace nobody");
        assert_eq!(told(&node, OLD), (Some(Command::Run), Some(Hold::No)), "the old one goes on");
        node.take_steps();
        node.show(NEW, State::Installed);
        assert_eq!(node.command(NEW), Some(Command::Load), "nobody told it to run");
        assert!(!actions(&mut node).iter().any(|action| matches!(action, Action::Succeed(..))));
    }
}

/// Found by the fuzz target `warden`: until the one that was replaced has stopped, `gpio` has its lines on standby, and refuses
/// another succession of the one that replaced it.
#[test]
fn an_update_right_after_another_waits_until_the_first_version_has_stopped() {
    const NEXT: usize = 2;
    let mut node = on_probation();
    pass(&mut node, PROBATION_NS, 3);
    assert_eq!((succession(&node), node.command(OLD)), (Some(Succession::Done), Some(Command::Stop)));
    node.request(NEXT, ceiling());
    node.load(NEXT, false).expect("free");
    assert_eq!(succeed(&mut node, NEW as u64, NEXT as u64), Ok(0));
    node.kernel.lines_are_busy = true;
    node.show(NEXT, State::Installed);
    assert_eq!(node.command(NEXT), Some(Command::Load), "it could not open what it is to take over");
    node.kernel.lines_are_busy = false;
    node.show(OLD, State::Finalised);
    assert_eq!(told(&node, NEXT), (Some(Command::Run), Some(Hold::AtLoop)));
}
