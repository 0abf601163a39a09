//! Deadlines and heartbeats.

use runner_interfaces::{
    cell::{CellStatus, Command, ContainerState as State},
    grants::CellGrants,
    policy::BoardLimits,
    timer::WARDEN_LOOK_NS,
    warden::{Intervention, Procedure},
};
use shared_ring::SharedMemory;

use super::fake::*;
use crate::{GRACE_NS, HEARTBEAT_LIMIT_NS, LOOK_PERIOD_NS, PING_AFTER_NS, TAKE_UP_LIMIT_NS};

fn intervention(node: &Node, cell: usize) -> Option<Intervention> {
    Intervention::from_wire(node.shown(cell).intervention)
}

#[test]
fn with_nothing_loaded_it_comes_round_seldom_and_does() {
    let mut node = Node::new();
    let after = |node: &Node| node.kernel.alarm_ns.expect("always") - node.kernel.now_ns;
    assert_eq!(after(&node), WARDEN_LOOK_NS);
    node.load(0, false).expect("free");
    assert!(after(&node) <= LOOK_PERIOD_NS);
    node.show(0, State::Installed);
    assert_eq!(after(&node), WARDEN_LOOK_NS, "installed, there is nothing to watch");
    node.ask(Procedure::Run, 0).expect("installed");
    assert!(after(&node) <= LOOK_PERIOD_NS);
    node.show(0, State::Finalised);
    assert_eq!(after(&node), WARDEN_LOOK_NS);
    for _ in 0..10 {
        let due_ns = node.kernel.alarm_ns.expect("always");
        node.pass_until(due_ns);
        assert_eq!(after(&node), WARDEN_LOOK_NS, "again and again");
    }
}

#[test]
fn a_load_that_takes_too_long_is_ended() {
    let mut node = Node::new();
    let begun = node.kernel.now_ns;
    node.load(0, true).expect("free");
    node.show(0, State::Loading);
    node.pass_until(begun + LOAD_NS + HOOK_NS + GRACE_NS - 1);
    assert_eq!(intervention(&node, 0), Some(Intervention::None));
    node.take_steps();
    node.pass_until(begun + LOAD_NS + HOOK_NS + GRACE_NS);
    assert_eq!(intervention(&node, 0), Some(Intervention::LoadLimit));
    assert_eq!(node.command(0), Some(Command::Idle));
    let actions = node.take_actions();
    assert!(actions.contains(&Action::Restart(0, ENTRY)) && actions.contains(&Action::Notify(ADMISSION)));
}

#[test]
fn a_start_that_takes_too_long_is_ended() {
    let mut node = Node::new();
    node.load(0, true).expect("free");
    node.show(0, State::Starting);
    let begun = node.kernel.now_ns;
    let mut heartbeat = 0;
    while intervention(&node, 0) == Some(Intervention::None) {
        heartbeat += 1;
        node.write_status(0, CellStatus { heartbeat, ..status(1, State::Starting) });
        node.pass_until(node.kernel.now_ns + LOOK_PERIOD_NS / 2);
        assert!(node.kernel.now_ns < begun + 2 * (HOOK_NS + GRACE_NS), "it goes on for ever");
    }
    assert_eq!(intervention(&node, 0), Some(Intervention::LoadLimit));
    assert!(node.kernel.now_ns - begun < HOOK_NS + GRACE_NS + LOOK_PERIOD_NS);
}

#[test]
fn a_container_that_does_not_stop_is_killed_at_the_limit() {
    let mut node = Node::new();
    node.running(0);
    let asked = node.kernel.now_ns;
    node.ask(Procedure::Stop, 0).expect("running");
    let mut heartbeat = 0;
    while intervention(&node, 0) == Some(Intervention::None) {
        heartbeat += 1;
        node.write_status(0, CellStatus { heartbeat, ..status(1, State::Stopping) });
        // Asked again and again, the first deadline stands.
        node.ask(Procedure::Stop, 0).expect("stopping");
        node.pass_until(node.kernel.now_ns + LOOK_PERIOD_NS);
        assert!(node.kernel.now_ns < asked + 2 * (HOOK_NS + GRACE_NS), "it goes on for ever");
    }
    assert_eq!(intervention(&node, 0), Some(Intervention::StopLimit));
    assert!(node.kernel.now_ns - asked <= HOOK_NS + GRACE_NS + LOOK_PERIOD_NS);
    assert_eq!(node.grants(0), CellGrants::default());
}

#[test]
fn a_cell_that_stands_still_is_restarted_and_the_others_are_not() {
    let mut node = Node::new();
    node.running(0);
    node.running(1);
    let begun = node.kernel.now_ns;
    let mut heartbeat = 0;
    while intervention(&node, 0) == Some(Intervention::None) {
        heartbeat += 1;
        node.write_status(1, CellStatus { heartbeat, ..status(1, State::Running) });
        node.pass_until(node.kernel.now_ns + LOOK_PERIOD_NS);
        assert!(node.kernel.now_ns < begun + 2 * HEARTBEAT_LIMIT_NS, "it goes on for ever");
    }
    let took_ns = node.kernel.now_ns - begun;
    assert!((HEARTBEAT_LIMIT_NS..=HEARTBEAT_LIMIT_NS + 2 * LOOK_PERIOD_NS).contains(&took_ns), "{took_ns}");
    assert_eq!(intervention(&node, 0), Some(Intervention::Watchdog));
    assert_eq!(intervention(&node, 1), Some(Intervention::None));
    let actions = node.take_actions();
    assert!(actions.contains(&Action::Restart(0, ENTRY)) && actions.contains(&Action::Notify(ADMISSION)));
    assert!(!actions.iter().any(|action| matches!(action, Action::Stop(1) | Action::Restart(1, _))));
}

#[test]
fn a_container_may_wait_for_ever_in_a_cell_that_answers() {
    let mut node = Node::new();
    node.running(0);
    node.show(0, State::Ready);
    node.take_steps();
    let (begun, mut heartbeat, mut asked) = (node.kernel.now_ns, 0, 0);
    while node.kernel.now_ns < begun + 10 * HEARTBEAT_LIMIT_NS {
        node.pass_until(node.kernel.now_ns + LOOK_PERIOD_NS);
        if node.take_actions().contains(&Action::Notify(0)) {
            (heartbeat, asked) = (heartbeat + 1, asked + 1);
            node.write_status(0, CellStatus { heartbeat, ..status(1, State::Ready) });
        }
    }
    assert_eq!(intervention(&node, 0), Some(Intervention::None));
    let most = 10 * HEARTBEAT_LIMIT_NS / PING_AFTER_NS;
    assert!((most / 2..=most).contains(&asked), "it is asked seldom: {asked}");
}

#[test]
fn a_cell_that_hangs_while_it_seems_to_wait_is_found() {
    let mut node = Node::new();
    node.running(0);
    node.show(0, State::Ready);
    node.take_steps();
    node.pass_until(node.kernel.now_ns + PING_AFTER_NS + LOOK_PERIOD_NS);
    assert_eq!(node.take_actions().iter().filter(|action| **action == Action::Notify(0)).count(), 1, "asked once");
    assert_eq!(intervention(&node, 0), Some(Intervention::None));
    node.pass_until(node.kernel.now_ns + HEARTBEAT_LIMIT_NS - PING_AFTER_NS + LOOK_PERIOD_NS);
    assert_eq!(intervention(&node, 0), Some(Intervention::Watchdog));
}

#[test]
fn a_cell_seen_in_the_middle_of_every_write_is_alive_while_it_writes() {
    let mut node = Node::new();
    node.running(0);
    let memory = node.regions.get("region_cell0_status");
    for sequence in 0..100 {
        memory.store_u32(0, 2 * sequence + 1).expect("fits");
        node.pass_until(node.kernel.now_ns + LOOK_PERIOD_NS);
    }
    assert_eq!(intervention(&node, 0), Some(Intervention::None));
    node.pass_until(node.kernel.now_ns + HEARTBEAT_LIMIT_NS + LOOK_PERIOD_NS);
    assert_eq!(intervention(&node, 0), Some(Intervention::Watchdog), "it died in the middle of a write");
}

#[test]
fn a_status_of_another_load_is_no_sign_of_life() {
    let mut node = Node::new();
    node.running(0);
    node.write_status(0, status(99, State::Ready));
    node.pass_until(node.kernel.now_ns + HEARTBEAT_LIMIT_NS + 2 * LOOK_PERIOD_NS);
    assert_eq!(intervention(&node, 0), Some(Intervention::Watchdog));
}

#[test]
fn an_alarm_that_could_not_be_armed_is_tried_again() {
    let mut node = Node::new();
    node.kernel.timer_fails = true;
    node.load(0, true).expect("free");
    node.kernel.alarm_ns = None;
    node.kernel.timer_fails = false;
    node.notify(0);
    assert!(node.kernel.alarm_ns.is_some());
}

#[test]
fn notifications_alone_set_no_alarm_anew() {
    let mut node = Node::new();
    node.running(0);
    node.take_steps();
    for _ in 0..10 {
        node.notify(0);
    }
    assert_eq!(node.take_actions(), [], "a cell that only rings costs a look and nothing else");
}

#[test]
fn looks_that_find_nothing_arm_nothing_and_keep_to_their_grid() {
    let mut node = Node::new();
    node.running(0);
    node.pass_until(node.kernel.alarm_ns.expect("always"));
    node.take_steps();
    let first = node.kernel.alarm_ns.expect("always");
    for look in 0..5 {
        assert_eq!(node.kernel.alarm_ns, Some(first + look * LOOK_PERIOD_NS));
        // However late it comes round.
        node.pass_until(first + look * LOOK_PERIOD_NS + 300_000);
    }
    assert_eq!(node.take_actions(), []);
}

#[test]
fn a_new_load_has_a_heartbeat_of_its_own() {
    let mut node = Node::new();
    let first = node.running(0);
    let heartbeat = node.kernel.now_ns;
    node.ask(Procedure::Kill, 0).expect("runs");
    node.pass_until(node.kernel.now_ns + 10 * HEARTBEAT_LIMIT_NS);
    node.load(0, true).expect("clean");
    let generation = node.control(0).generation;
    assert!(generation > first);
    // The new life happens to have come as far as the old one.
    node.write_status(0, CellStatus { heartbeat, ..status(generation, State::Running) });
    node.notify(0);
    assert_eq!(intervention(&node, 0), Some(Intervention::None));
}

#[test]
fn what_is_left_of_an_old_load_ends_no_new_one() {
    let mut node = Node::new();
    node.running(0);
    node.show(0, State::Finalised);
    node.request(0, ceiling());
    node.load(0, true).expect("ended");
    // The block still says what it said of the first load.
    node.notify(0);
    assert_ne!(node.grants(0), CellGrants::default());
    assert_eq!(node.command(0), Some(Command::Run));
}

#[test]
fn a_cell_that_does_not_take_up_its_load_is_found_long_before_the_limit() {
    let mut node = Node::with_limits(BoardLimits { load_limit_us: 60_000_000, ..board_limits() });
    let begun = node.kernel.now_ns;
    node.load(0, true).expect("free");
    let memory = node.regions.get("region_cell0_status");
    // It writes, but nothing that is about this load.
    for sequence in 0..TAKE_UP_LIMIT_NS / LOOK_PERIOD_NS + 1 {
        memory.store_u32(0, u32::try_from(2 * sequence + 1).expect("small")).expect("fits");
        node.pass_until(node.kernel.now_ns + LOOK_PERIOD_NS);
    }
    assert_eq!(intervention(&node, 0), Some(Intervention::Watchdog));
    assert!(node.kernel.now_ns - begun < TAKE_UP_LIMIT_NS + 2 * LOOK_PERIOD_NS);
}

#[test]
fn a_cell_that_compiles_may_be_silent_until_its_limit() {
    let mut node = Node::with_limits(BoardLimits { load_limit_us: 60_000_000, ..board_limits() });
    let begun = node.kernel.now_ns;
    node.load(0, true).expect("free");
    node.show(0, State::Loading);
    node.pass_until(begun + 60_000_000_000);
    assert_eq!(intervention(&node, 0), Some(Intervention::None));
    node.pass_until(begun + 60_000_000_000 + HOOK_NS + GRACE_NS);
    assert_eq!(intervention(&node, 0), Some(Intervention::LoadLimit));
}
