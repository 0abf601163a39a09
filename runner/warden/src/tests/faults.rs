//! Domains that fault.

use runner_interfaces::{
    cell::{Command, ContainerState as State},
    grants::CellGrants,
    warden::{CELL_OUT_OF_SERVICE, CELL_PRESENT, Intervention, Procedure, WardenStatus},
};

use super::fake::*;
use crate::{Fault, IDLE_FAULT_LIMIT};

const FAULT: Fault = Fault { kind: 6, instruction: 0x1234, address: 0xdead_beef, syndrome: 0x9200_0046 };

#[test]
fn a_fault_ends_in_a_clean_cell_in_this_order() {
    let mut node = Node::new();
    let generation = node.running(1);
    node.warden.faulted(&mut node.kernel, 1, FAULT);
    let steps = node.take_steps();
    let order: std::vec::Vec<_> = steps.iter().map(|step| step.action).collect();
    assert_eq!(
        order[..5],
        [
            Action::Stop(1),
            Action::ReleaseLines(1),
            Action::ReleaseTimers(1),
            Action::Control(1),
            Action::Restart(1, ENTRY + 1)
        ]
    );
    assert!(steps.iter().all(|step| step.grants[1] == CellGrants::default()), "the grants went before anything else");
    assert_eq!(steps[4].commands[1], Command::Idle.to_wire(), "the new life finds nothing to load");
    assert!(order.contains(&Action::Notify(ADMISSION)));
    assert!(node.control(1).generation > generation);
    let shown = node.shown(1);
    assert_eq!(shown.generation, generation, "the load that it happened to");
    assert_eq!(Intervention::from_wire(shown.intervention), Some(Intervention::Fault));
    assert_eq!((shown.faults, shown.restarts), (1, 1));
    assert_eq!(shown.fault_kind, FAULT.kind);
    assert_eq!((shown.fault_instruction, shown.fault_address), (FAULT.instruction, FAULT.address));
    assert_eq!(shown.fault_syndrome, FAULT.syndrome);
}

#[test]
fn the_other_cells_do_not_notice() {
    let mut node = Node::new();
    node.running(0);
    node.running(1);
    let before = (node.grants(0), node.control(0), node.shown(0));
    node.warden.faulted(&mut node.kernel, 1, FAULT);
    assert_eq!(before, (node.grants(0), node.control(0), node.shown(0)));
}

#[test]
fn after_a_fault_the_cell_can_be_loaded_again() {
    let mut node = Node::new();
    node.running(0);
    node.warden.faulted(&mut node.kernel, 0, FAULT);
    assert_eq!(node.ask(Procedure::Stop, 0), Err(WardenStatus::WrongState), "nothing is loaded");
    node.load(0, true).expect("clean");
    assert_eq!(Intervention::from_wire(node.shown(0).intervention), Some(Intervention::None));
    assert_eq!(node.shown(0).restarts, 1, "it was clean already");
}

#[test]
fn a_fault_after_the_end_is_a_fault() {
    let mut node = Node::new();
    node.running(0);
    node.show(0, State::Finalised);
    node.warden.faulted(&mut node.kernel, 0, FAULT);
    assert_eq!(Intervention::from_wire(node.shown(0).intervention), Some(Intervention::Fault));
}

#[test]
fn a_domain_that_faults_with_nothing_loaded_is_left_stopped_in_the_end() {
    let mut node = Node::new();
    for fault in 1..=IDLE_FAULT_LIMIT {
        assert_eq!(node.shown(2).present, CELL_PRESENT);
        node.warden.faulted(&mut node.kernel, 2, FAULT);
        assert_eq!(node.shown(2).faults, u64::from(fault));
    }
    assert_eq!(node.shown(2).present, CELL_OUT_OF_SERVICE);
    let actions = node.take_actions();
    assert_eq!(
        actions.iter().filter(|action| matches!(action, Action::Restart(..))).count(),
        IDLE_FAULT_LIMIT as usize - 1
    );
    assert_eq!(node.load(2, true), Err(WardenStatus::WrongState));
    assert_eq!(Intervention::from_wire(node.shown(2).intervention), Some(Intervention::None), "no container was there");
}

#[test]
fn faults_between_loads_do_not_add_up_for_ever() {
    let mut node = Node::new();
    for _ in 0..3 * IDLE_FAULT_LIMIT {
        node.running(0);
        node.warden.faulted(&mut node.kernel, 0, FAULT);
        assert_eq!(node.shown(0).present, CELL_PRESENT);
    }
}

#[test]
fn a_fault_of_a_cell_that_is_not_there_is_counted() {
    let mut node = Node::new();
    node.warden.faulted(&mut node.kernel, CELLS, FAULT);
    node.warden.faulted(&mut node.kernel, usize::MAX, FAULT);
    assert_eq!(node.table().invalid, 2);
}
