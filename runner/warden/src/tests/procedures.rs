//! What `admission` may ask, and what it is refused.

use runner_interfaces::{
    boot_report::Finding,
    cell::{Command, ContainerState as State, MODULE_OFFSET_BYTES},
    grants::{CellGrants, LineRates, RateOf},
    kernel::Domain,
    plan::LoadRequest,
    policy::BoardLimits,
    timer::WARDEN_LOOK_NS,
    warden::{Procedure, Reached, WardenStatus},
};

use super::fake::*;
use crate::{StartError, Warden};

#[test]
fn a_load_puts_the_grants_in_force_before_the_cell_is_told() {
    let mut node = Node::new();
    let active_low_lines = ceiling().active_low_lines;
    let request = CellGrants {
        output_lines: 1,
        active_low_lines,
        timers: 3,
        minimum_period_ns: 5_000_000,
        ..CellGrants::default()
    };
    node.request(2, request);
    let generation = node.load(2, true).expect("free");
    assert_eq!(generation, 1);
    let steps = node.take_steps();
    let told = steps.iter().find(|step| step.action == Action::Notify(2)).expect("the cell is notified");
    assert_eq!(told.grants[2], CellGrants { generation: 1, ..request });
    let written = steps.iter().find(|step| step.action == Action::Control(2)).expect("the control block is written");
    assert_eq!(written.grants[2], told.grants[2], "also for a cell that looks there by itself");
    assert_eq!(told.commands[2], Command::Run.to_wire());
    let control = node.control(2);
    assert_eq!((control.generation, control.configuration_bytes, control.module_bytes), (1, 100, 1000));
    assert_eq!((control.memory_limit_bytes, control.table_limit_elements), (4 * 1024 * 1024, 10_000));
    assert_eq!((control.start_limit_us, control.stop_limit_us), (1_000_000, 1_000_000));
    assert_eq!(node.shown(2).grants, node.grants(2));
    assert_eq!(node.shown(2).generation, 1);
}

#[test]
fn what_is_granted_is_within_the_ceiling() {
    let mut node = Node::new();
    let greedy = CellGrants {
        output_lines: u64::MAX,
        input_lines: u64::MAX,
        edge_lines: u64::MAX,
        // Which level is the active one is the board's to say, and nobody's to ask for.
        active_low_lines: u64::MAX,
        i2c_addresses: [u64::MAX; 2],
        minimum_period_ns: 0,
        timers: u32::MAX,
        generation: 77,
    };
    node.request(0, greedy);
    node.load(0, false).expect("free");
    assert_eq!(node.grants(0), CellGrants { generation: 1, ..ceiling() });
}

#[test]
fn rates_are_held_to_the_boards_and_are_there_before_the_grants() {
    let mut node = Node::new();
    let mut asked = LineRates::all(u32::MAX);
    asked.transitions[1] = 3;
    node.request_plan(0, LoadRequest { grants: ceiling(), rates: asked, ..LoadRequest::default() });
    node.load(0, false).expect("free");
    let rate = |line, of| node.regions.rate(0, line, of);
    assert_eq!([0, 1, 63].map(|line| rate(line, RateOf::Transitions)), [50, 3, 50]);
    assert_eq!([2, 3].map(|line| rate(line, RateOf::Edges)), [50, 7]);
    assert_eq!(node.regions.rate(1, 0, RateOf::Transitions), 0, "and nobody else's");
    // Another container in the same cell has its own, and one that asks for none has none.
    node.ask(Procedure::Release, 0).expect("ended");
    node.request_plan(0, LoadRequest { grants: ceiling(), ..LoadRequest::default() });
    node.load(0, false).expect("free");
    assert_eq!(node.regions.rate(0, 0, RateOf::Transitions), 0);
}

#[test]
fn a_ceiling_of_more_timers_than_there_are_is_cut() {
    let generous = CellGrants { timers: 100, ..ceiling() };
    let mut node = Node::with_limits(BoardLimits { ceiling: generous, ..board_limits() });
    node.request(0, generous);
    node.load(0, false).expect("free");
    assert_eq!(node.grants(0).timers, 7);
}

#[test]
fn sizes_are_held_to_the_boards_limits() {
    let mut node = Node::new();
    let module_limit = 2 * 1024 * 1024;
    let configuration_limit = MODULE_OFFSET_BYTES as u64;
    for (configuration, module, refusal) in [
        (0, 1, WardenStatus::Invalid),
        (1, 0, WardenStatus::Invalid),
        (configuration_limit + 1, 1, WardenStatus::TooLarge),
        (1, module_limit + 1, WardenStatus::TooLarge),
        (1, u64::MAX, WardenStatus::TooLarge),
    ] {
        assert_eq!(node.load_sizes(0, configuration, module, 0), Err(refusal));
    }
    assert_eq!(node.load_sizes(0, 1, 1, 2), Err(WardenStatus::Invalid), "run is 0 or 1");
    assert_eq!(node.grants(0), CellGrants::default(), "a refused load grants nothing");
    assert_eq!(node.load_sizes(0, configuration_limit, module_limit, 1), Ok(1));
}

#[test]
fn only_admission_is_served() {
    let mut node = Node::new();
    for channel in [0, GPIO, TIMER, 40] {
        let answer = node.call_words(channel, u64::from(Procedure::Load.to_wire()), [0, 1, 1, 0]);
        assert_eq!(WardenStatus::of(&answer), WardenStatus::Invalid);
    }
    assert_eq!(node.control(0).generation, 0);
    assert_eq!(node.table().invalid, 4);
}

#[test]
fn cells_that_are_not_there_are_named_so() {
    let mut node = Node::new();
    for &procedure in Procedure::ALL {
        for cell in [CELLS, 8, usize::MAX] {
            assert_eq!(node.ask(procedure, cell), Err(WardenStatus::NoSuchCell));
        }
    }
    for label in [0, 6, u64::MAX] {
        let answer = node.call_words(ADMISSION, label, [0; 4]);
        assert_eq!(WardenStatus::of(&answer), WardenStatus::Invalid);
    }
}

#[test]
fn installed_first_and_run_later() {
    let mut node = Node::new();
    node.load(1, false).expect("free");
    assert_eq!(node.command(1), Some(Command::Load));
    node.show(1, State::Installed);
    node.take_steps();
    assert_eq!(node.ask(Procedure::Run, 1), Ok(0));
    assert_eq!(node.command(1), Some(Command::Run));
    assert_eq!(node.control(1).generation, 1, "the same load");
    assert!(node.take_actions().contains(&Action::Notify(1)));
    assert_eq!(node.ask(Procedure::Run, 1), Err(WardenStatus::WrongState), "it was told already");
}

#[test]
fn how_far_a_load_has_come_is_shown_and_does_not_go_back() {
    let mut node = Node::new();
    let reached = |node: &Node| Reached::from_wire(node.shown(1).reached);
    for _ in 0..2 {
        node.load(1, false).expect("empty or ended");
        assert_eq!(reached(&node), Some(Reached::Nothing));
        node.show(1, State::Installed);
        assert_eq!(reached(&node), Some(Reached::Installed));
        node.ask(Procedure::Run, 1).expect("installed");
        node.show(1, State::Running);
        assert_eq!(reached(&node), Some(Reached::Running));
        node.show(1, State::Loading);
        node.show(1, State::Finalised);
        assert_eq!(reached(&node), Some(Reached::Running));
    }
}

#[test]
fn what_a_cells_state_does_not_allow_is_refused() {
    let mut node = Node::new();
    for procedure in [Procedure::Run, Procedure::Stop, Procedure::Kill] {
        assert_eq!(node.ask(procedure, 0), Err(WardenStatus::WrongState), "{procedure} of an empty cell");
    }
    assert_eq!(node.ask(Procedure::Release, 0), Ok(0), "an empty cell is released already");
    node.running(0);
    assert_eq!(node.load(0, true), Err(WardenStatus::WrongState), "it holds one that has not ended");
}

#[test]
fn a_second_load_begins_in_a_domain_that_was_started_clean() {
    let mut node = Node::new();
    let first = node.running(3);
    node.show(3, State::Finalised);
    node.take_steps();
    let second = u32::try_from(node.load(3, true).expect("ended")).expect("small");
    assert!(second > first);
    let actions = node.take_actions();
    let stop = actions.iter().position(|action| *action == Action::Stop(3)).expect("stopped");
    let restart = actions.iter().position(|action| *action == Action::Restart(3, ENTRY + 3)).expect("restarted");
    let told = actions.iter().position(|action| *action == Action::Notify(3)).expect("told");
    assert!(stop < restart && restart < told);
    assert_eq!(node.shown(3).restarts, 1);
}

#[test]
fn the_first_load_needs_no_restart() {
    let mut node = Node::new();
    node.load(0, true).expect("free");
    assert!(!node.take_actions().iter().any(|action| matches!(action, Action::Stop(_) | Action::Restart(..))));
}

#[test]
fn stop_asks_the_container_and_asks_once() {
    let mut node = Node::new();
    let generation = node.running(0);
    assert_eq!(node.ask(Procedure::Stop, 0), Ok(0));
    assert_eq!(node.command(0), Some(Command::Stop));
    assert_eq!(node.control(0).generation, generation);
    assert_eq!(node.take_actions().iter().filter(|action| **action == Action::Notify(0)).count(), 1);
    assert_eq!(node.ask(Procedure::Stop, 0), Ok(0));
    assert!(!node.take_actions().contains(&Action::Notify(0)));
    node.show(0, State::Finalised);
    assert_eq!(node.ask(Procedure::Stop, 0), Ok(0), "it has ended, which is what was asked for");
}

#[test]
fn an_end_takes_the_rights_and_tells_admission() {
    let mut node = Node::new();
    node.running(0);
    assert_ne!(node.grants(0), CellGrants::default());
    node.show(0, State::Finalised);
    assert_eq!(node.grants(0), CellGrants::default());
    let steps = node.take_steps();
    let release = steps.iter().find(|step| step.action == Action::ReleaseLines(0)).expect("lines are released");
    assert_eq!(release.grants[0], CellGrants::default(), "the grants go first");
    assert!(steps.iter().any(|step| step.action == Action::ReleaseTimers(0)));
    assert!(steps.iter().any(|step| step.action == Action::Notify(ADMISSION)));
    assert_eq!(node.shown(0).intervention, 0, "it ended by itself");
}

#[test]
fn release_forgets_everything() {
    let mut node = Node::new();
    let generation = node.running(0);
    assert_eq!(node.ask(Procedure::Release, 0), Ok(0));
    assert_eq!(node.command(0), Some(Command::Idle));
    assert!(node.control(0).generation > generation);
    assert_eq!(node.grants(0), CellGrants::default());
    assert_eq!(node.kernel.alarm_ns, Some(node.kernel.now_ns + WARDEN_LOOK_NS), "nothing is watched any more");
    node.take_steps();
    assert_eq!(node.ask(Procedure::Release, 0), Ok(0));
    assert!(!node.take_actions().contains(&Action::Stop(0)), "clean already");
}

#[test]
fn without_a_policy_nothing_is_loaded() {
    let mut node = Node::with_limits(BoardLimits { magic: 0, ..board_limits() });
    assert!(!node.warden.has_policy());
    assert!(matches!(node.warden.self_test(&mut node.kernel), Finding::Wrong(_)), "and the console says so");
    node.request(0, ceiling());
    assert_eq!(node.load(0, true), Err(WardenStatus::Invalid));
    assert_eq!(node.grants(0), CellGrants::default());
}

#[test]
fn a_cell_that_has_not_shown_where_it_begins_is_not_loaded() {
    let mut node = Node::unstarted(board_limits());
    runner_interfaces::kernel::Domain::start(&mut node.warden, &mut node.kernel);
    assert_eq!(node.load(0, true), Err(WardenStatus::WrongState));
    node.write_status(0, status(0, State::Empty));
    assert_eq!(node.load(0, true), Ok(1));
}

#[test]
fn the_entry_is_read_before_the_first_load_only() {
    let mut node = Node::new();
    let generation = node.running(0);
    let mut lie = status(generation, State::Running);
    lie.restart_entry = 0xbad;
    node.write_status(0, lie);
    node.notify(0);
    node.ask(Procedure::Kill, 0).expect("live");
    node.write_status(0, lie);
    node.notify(0);
    node.load(0, true).expect("free");
    node.ask(Procedure::Kill, 0).expect("live");
    let restarts: std::vec::Vec<_> =
        node.take_actions().into_iter().filter(|action| matches!(action, Action::Restart(..))).collect();
    assert_eq!(restarts, [Action::Restart(0, ENTRY), Action::Restart(0, ENTRY)]);
}

#[test]
fn a_system_without_what_the_warden_needs_is_named() {
    for symbol in ["region_policy", "region_grants", "region_status", "region_requests", "region_cell1_control"] {
        let mut regions = Node::new().regions;
        regions.remove(symbol);
        let error = Warden::new(&Wires::new(regions.clone()), NoCells).err().expect("incomplete");
        assert!(std::format!("{error}").contains(symbol), "{error}");
    }
    let mut regions = Node::new().regions;
    regions.shrink("region_cell0_status");
    assert_eq!(
        Warden::new(&Wires::new(regions.clone()), NoCells).err(),
        Some(StartError::RegionTooSmall("region_cell0_status"))
    );
}

struct NoCells;

impl crate::Cells for NoCells {
    fn keeps_time(&self) -> bool {
        true
    }

    fn stop(&mut self, _: usize) {}
    fn restart(&mut self, _: usize, _: u64) {}

    fn bind_class(&mut self, _: usize, _: usize) -> Result<(), crate::NotScheduled> {
        Ok(())
    }

    fn bind_own(&mut self, _: usize) -> Result<(), crate::NotScheduled> {
        Ok(())
    }

    fn set_priority(&mut self, _: usize, _: u8) -> Result<(), crate::NotScheduled> {
        Ok(())
    }
}
