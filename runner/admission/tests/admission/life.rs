//! The verbs of a container's life, and what happens to it that nobody asked for.

use runner_interfaces::cell::{ContainerState, FailureReason};
use shared_ring_messages::{Answer, DeployRequest, ErrorCode, Request};

use crate::node::*;

fn named(verb: fn(String) -> Request) -> Request {
    verb("a".into())
}

fn state(node: &mut Node) -> String {
    node.report(0, named(Request::Inspect)).state_text
}

fn running() -> Node {
    let mut node = Node::new();
    node.greet(0);
    node.deploy_running(0, "a");
    node
}

#[test]
fn installed_started_stopped_started_again_removed() {
    let mut node = Node::new();
    node.greet(0);
    let wasm = reactor();
    node.deploy(0, request("a", &wasm), &wasm).expect("deployed");
    assert_eq!(node.report(0, named(Request::Start)).state_text, "ready");
    assert_eq!(node.report(0, named(Request::Stop)).state_text, "finalised");
    let again = node.report(0, named(Request::Start));
    assert_eq!((again.state_text.as_str(), again.cell_restarts), ("ready", 1));
    assert_eq!(node.cells[0].loaded.as_ref().expect("loaded").1, wasm, "loaded from what was staged");
    node.report(0, named(Request::Stop));
    assert_eq!(node.ask(0, named(Request::Remove)), Ok(Answer::Done));
    assert_eq!(node.refusal(0, named(Request::Inspect)).0, ErrorCode::NoSuchContainer);
    node.assert_clean(0);
}

#[test]
fn who_is_not_there_is_named_so() {
    let mut node = Node::new();
    node.greet(0);
    for verb in [Request::Start, Request::Stop, Request::Restart, Request::Kill, Request::Remove, Request::Inspect] {
        let (code, detail) = node.refusal(0, verb("ghost\u{7}".into()));
        assert_eq!((code, detail.as_str()), (ErrorCode::NoSuchContainer, "there is no container `ghost\\u{7}`"));
    }
    let logs = Request::Logs { name: "ghost".into(), cursor: 0 };
    assert_eq!(node.refusal(0, logs).0, ErrorCode::NoSuchContainer);
}

#[test]
fn what_a_state_does_not_allow_is_refused_and_changes_nothing() {
    let mut node = running();
    let (code, detail) = node.refusal(0, named(Request::Start));
    assert_eq!(code, ErrorCode::WrongState);
    assert!(detail.contains("`a` is ready"), "{detail}");
    let (code, detail) = node.refusal(0, named(Request::Remove));
    assert_eq!(code, ErrorCode::WrongState);
    assert!(detail.contains("stop or kill it first"), "{detail}");
    assert_eq!(state(&mut node), "ready");
    let wasm = reactor();
    node.ask(0, Request::Deploy(request("b", &wasm))).expect("free");
    for verb in [Request::Start, Request::Stop, Request::Restart, Request::Kill, Request::Remove] {
        assert_eq!(node.refusal(0, verb("b".into())).0, ErrorCode::WrongState, "its upload is not done");
    }
}

#[test]
fn stopping_what_has_ended_is_no_error() {
    let mut node = running();
    node.report(0, named(Request::Stop));
    assert_eq!(node.report(0, named(Request::Stop)).state_text, "finalised");
    assert_eq!(node.report(0, named(Request::Kill)).state_text, "finalised");
}

#[test]
fn stop_waits_for_the_end_and_the_warden_bounds_it() {
    let mut node = Node::new();
    node.greet(0);
    node.greet(1);
    node.cells[0].script = Script::IgnoresStop;
    node.deploy_running(0, "a");
    node.deploy_running(0, "b");
    let number = node.begin(0, named(Request::Stop));
    node.run();
    assert_eq!(node.answer(0, number), None);
    assert_eq!(node.list(1).len(), 2, "others are served meanwhile");
    let begun = node.now_ns();
    while node.guest.inbox[0].is_empty() {
        node.cells[0].show(ContainerState::Running);
        node.pass(50_000_000);
        assert!(node.now_ns() - begun < 2 * HOOK_NS, "the wait is bounded");
    }
    let Some(Ok(Answer::Container(report))) = node.answer(0, number) else { panic!("a container") };
    assert_eq!((report.state_text.as_str(), report.reason), ("failed", FailureReason::StopLimit.to_wire()));
    assert_eq!(report.reason_text, "did not stop in time");
    assert_eq!(node.report(1, Request::Inspect("b".into())).state_text, "ready", "the others ran on");
}

#[test]
fn restart_stops_loads_and_starts() {
    let mut node = running();
    let report = node.report(0, named(Request::Restart));
    assert_eq!((report.state_text.as_str(), report.cell_restarts), ("ready", 1));
    node.cells[0].script = Script::FailsToLoad(FailureReason::CellMemory, "no room");
    let (code, detail) = node.refusal(0, named(Request::Restart));
    assert_eq!((code, detail.as_str()), (ErrorCode::LoadFailed, "out of memory in the cell: no room"));
    assert_eq!(state(&mut node), "failed", "it was deployed once and stays");
    node.cells[0].script = Script::Runs(Vec::new());
    assert_eq!(node.report(0, named(Request::Start)).state_text, "ready");
}

#[test]
fn a_restart_of_what_does_not_stop_comes_through() {
    let mut node = Node::new();
    node.greet(0);
    node.cells[0].script = Script::IgnoresStop;
    node.deploy_running(0, "a");
    let number = node.begin(0, named(Request::Restart));
    node.run();
    node.cells[0].script = Script::Runs(Vec::new());
    node.pass(2 * HOOK_NS);
    let Some(Ok(Answer::Container(report))) = node.answer(0, number) else { panic!("a container") };
    assert_eq!(report.state_text, "ready");
}

#[test]
fn kill_ends_at_once() {
    let mut node = Node::new();
    node.greet(0);
    node.cells[0].script = Script::IgnoresStop;
    node.deploy_running(0, "a");
    let report = node.report(0, named(Request::Kill));
    assert_eq!((report.state_text.as_str(), report.reason), ("failed", FailureReason::Killed.to_wire()));
    assert_eq!(report.cell_restarts, 1);
    assert_eq!(node.ask(0, named(Request::Remove)), Ok(Answer::Done));
}

#[test]
fn a_fault_is_shown_and_the_container_can_be_started_again() {
    let mut node = running();
    node.deploy_running(0, "b");
    node.fault(0);
    let report = node.report(0, named(Request::Inspect));
    assert_eq!((report.state_text.as_str(), report.reason), ("failed", FailureReason::CellFault.to_wire()));
    let text = "fault 6 (VM fault) at instruction 0x1234, address 0xdead, syndrome 0x92000046";
    assert_eq!((report.reason_text, report.fault_text), (format!("the cell faulted: {text}"), text.to_owned()));
    assert_eq!(node.report(0, Request::Inspect("b".into())).state_text, "ready");
    assert_eq!(node.report(0, named(Request::Start)).state_text, "ready");
    assert_eq!((node.counter(0, "cell_faults"), node.counter(0, "cell_restarts")), (1, 1));
}

#[test]
fn a_cell_that_does_not_come_round_is_shown_so() {
    let mut node = Node::new();
    node.greet(0);
    node.cells[0].script = Script::Hangs;
    node.deploy_running(0, "a");
    node.pass(5 * HOOK_NS);
    let report = node.report(0, named(Request::Inspect));
    assert_eq!((report.state_text.as_str(), report.reason), ("failed", FailureReason::Watchdog.to_wire()));
}

#[test]
fn an_attached_container_goes_with_its_session() {
    let mut node = Node::new();
    let wasm = reactor();
    node.greet(0);
    node.greet(1);
    node.deploy_running(0, "stays");
    let attached = DeployRequest { start: true, attached: true, ..request("goes", &wasm) };
    node.deploy(0, attached.clone(), &wasm).expect("deployed");
    node.hang_up(0);
    assert_eq!(node.list(1).iter().map(|report| report.name.as_str()).collect::<Vec<_>>(), ["stays"]);
    node.assert_clean(1);
    // Also in the middle of loading.
    node.greet(0);
    node.cells[1].script = Script::LoadsForEver;
    node.upload(0, attached, &wasm).expect("whole");
    node.begin(0, Request::Commit);
    node.run();
    node.hang_up(0);
    node.run();
    assert_eq!(node.list(1).len(), 1);
    node.assert_clean(1);
}

#[test]
fn a_session_that_ends_while_its_container_loads_leaves_a_container_or_nothing() {
    let wasm = reactor();
    for (script, left) in [(Script::Runs(Vec::new()), 1), (Script::FailsToLoad(FailureReason::Trap, "x"), 0)] {
        let mut node = Node::new();
        node.greet(0);
        node.greet(1);
        node.cells[0].script = script;
        node.upload(0, DeployRequest { start: true, ..request("a", &wasm) }, &wasm).expect("whole");
        node.begin(0, Request::Commit);
        node.send_link(0, runner_interfaces::link::LinkKind::Close, &[]);
        node.run();
        assert_eq!(node.list(1).len(), left);
        assert_eq!(node.take_messages(0), [], "nobody is there to be answered");
    }
}

#[test]
fn a_restart_is_finished_although_its_session_is_gone() {
    let mut node = running();
    node.begin(0, named(Request::Restart));
    node.send_link(0, runner_interfaces::link::LinkKind::Close, &[]);
    node.run();
    node.greet(1);
    let report = node.report(1, named(Request::Inspect));
    assert_eq!((report.state_text.as_str(), report.cell_restarts), ("ready", 1));
}

#[test]
fn two_sessions_may_wait_for_the_same_container() {
    let mut node = Node::new();
    node.greet(0);
    node.greet(1);
    node.cells[0].script = Script::IgnoresStop;
    node.deploy_running(0, "a");
    let stop = node.begin(0, named(Request::Stop));
    let restart = node.begin(1, named(Request::Restart));
    let second = node.begin(1, named(Request::Restart));
    node.run();
    node.cells[0].script = Script::Runs(Vec::new());
    node.pass(2 * HOOK_NS);
    for (session, number) in [(0, stop), (1, restart), (1, second)] {
        assert!(matches!(node.answer(session, number), Some(Ok(Answer::Container(_)))), "{session} {number}");
    }
    assert_eq!(state(&mut node), "ready");
}

#[test]
fn who_waits_for_a_container_that_is_removed_is_told() {
    let mut node = Node::new();
    node.greet(0);
    node.greet(1);
    let wasm = reactor();
    node.cells[0].script = Script::IgnoresStop;
    node.deploy(0, DeployRequest { start: true, attached: true, ..request("a", &wasm) }, &wasm).expect("deployed");
    let number = node.begin(1, named(Request::Stop));
    node.run();
    node.hang_up(0);
    let (code, _) = node.answer(1, number).expect("answered").expect_err("gone");
    assert_eq!(code, ErrorCode::NoSuchContainer);
}

#[test]
fn too_many_waits_are_refused_and_the_first_ones_answered() {
    let mut node = Node::new();
    node.greet(0);
    node.cells[0].script = Script::IgnoresStop;
    node.deploy_running(0, "a");
    let numbers: Vec<_> = (0..6).map(|_| node.begin(0, named(Request::Stop))).collect();
    node.run();
    for number in &numbers[4..] {
        assert_eq!(node.answer(0, *number).expect("at once").expect_err("refused").0, ErrorCode::Busy);
    }
    node.pass(2 * HOOK_NS);
    assert!(numbers[..4].iter().all(|number| matches!(node.answer(0, *number), Some(Ok(_)))));
}

#[test]
fn an_end_is_an_end_whatever_the_cell_says_later() {
    let mut node = Node::new();
    node.greet(0);
    node.cells[0].script = Script::Exits(Vec::new(), 3);
    node.deploy_running(0, "a");
    for state in [ContainerState::Running, ContainerState::Failed, ContainerState::Empty] {
        node.cells[0].show(state);
        node.wake_everybody();
        node.run();
        let report = node.report(0, named(Request::Inspect));
        assert_eq!((report.state_text.as_str(), report.exit_code), ("finalised", 3), "the cell says {state}");
    }
}

#[test]
fn a_cell_that_the_warden_does_not_give_back_is_not_free() {
    let mut node = running();
    node.report(0, named(Request::Stop));
    node.lose_warden();
    assert_eq!(node.ask(0, named(Request::Remove)), Ok(Answer::Done));
    let info = node.info(0);
    assert_eq!((info.cells, info.cells_free), (4, 3), "what the last container left may still be in it");
    assert_eq!(node.counter(0, "warden_refusals"), 1);
}

#[test]
fn a_cell_that_the_warden_gave_up_takes_no_container() {
    let mut node = Node::new();
    node.greet(0);
    for _ in 0..3 {
        node.fault(0);
    }
    let info = node.info(0);
    assert_eq!((info.cells, info.cells_free), (4, 3));
    assert_eq!(node.deploy_running(0, "a").cell, 1);
}

#[test]
fn a_cell_that_tells_two_stories_keeps_nobody_waiting() {
    use ContainerState as State;
    let wasm = reactor();
    for (warden, admission, start, state) in [
        (State::Running, State::Loading, true, "running"),
        (State::Installed, State::Loading, false, "installed"),
        (State::Installed, State::Empty, false, "installed"),
        (State::Finalised, State::Running, true, "failed"),
        (State::Failed, State::Loading, true, "failed"),
    ] {
        let mut node = Node::new();
        node.greet(0);
        node.cells[0].script = Script::TellsTwoStories { warden, admission };
        node.upload(0, DeployRequest { start, ..request("liar", &wasm) }, &wasm).expect("whole");
        node.report(0, Request::Commit);
        let report = node.report(0, Request::Inspect("liar".into()));
        assert_eq!(report.state_text, state, "what the warden saw of {warden} and {admission} decides");
        let contradicted = state == "failed";
        assert_eq!(report.reason_text == "the cell contradicted itself", contradicted, "{}", report.reason_text);
        assert_eq!(node.counter(0, "cell_status_invalid"), u64::from(contradicted));
        node.report(0, Request::Kill("liar".into()));
        assert_eq!(node.ask(0, Request::Remove("liar".into())), Ok(Answer::Done));
    }
}

#[test]
fn a_cell_that_takes_its_end_back_keeps_nobody_waiting_for_it() {
    let mut node = running();
    node.cells[0].script =
        Script::TellsTwoStories { warden: ContainerState::Finalised, admission: ContainerState::Running };
    let report = node.report(0, named(Request::Stop));
    assert_eq!((&*report.state_text, &*report.reason_text), ("failed", "the cell contradicted itself"));
    // In a cell that does not lie it starts again.
    node.cells[0].script = Script::Runs(Vec::new());
    assert_eq!(node.report(0, named(Request::Start)).state_text, "ready");
}

#[test]
fn a_warden_that_stands_still_is_asked_nothing_and_whoever_asks_is_told() {
    let mut node = running();
    let wasm = reactor();
    node.upload(0, request("b", &wasm), &wasm).expect("uploaded");
    node.hold_warden(true);
    node.pass(7_000_000_000);
    let verbs = [Request::Start, Request::Stop, Request::Restart, Request::Kill, Request::Remove].map(named);
    let uploads = [Request::Commit, Request::Deploy(request("c", &wasm))];
    for asked in verbs.into_iter().chain(uploads) {
        let (code, detail) = node.refusal(0, asked);
        assert_eq!(code, ErrorCode::Internal);
        assert!(detail.contains("the warden stands still, for 7 s by now"), "{detail}");
    }
    // It is looked at as ever, and a session that ends takes nobody with it.
    assert_eq!(state(&mut node), "ready");
    assert_eq!((node.counter(0, "warden_stalls"), node.list(0).len()), (1, 2));
    node.hang_up(0);
    node.greet(1);
    assert_eq!(node.counter(1, "warden_stalls"), 1);
    // It is back.
    node.hold_warden(false);
    assert_eq!(node.report(1, named(Request::Stop)).state_text, "finalised");
}

#[test]
fn an_update_that_traps_is_told_with_its_reason_whenever_admission_looks() {
    for looks in 0.. {
        let mut node = running();
        let wasm = reactor();
        node.ask(0, Request::Update { deploy: request("a", &wasm), probation_ns: 1_000_000_000 }).expect("announced");
        node.send_chunks(0, &wasm).expect("arrives");
        let number = node.begin(0, Request::Commit);
        node.run();
        assert_eq!(node.answer(0, number), None, "it is in its probation");
        node.trap_in_probation_behind(looks, 1, "unreachable");
        node.wake_everybody();
        node.run();
        if node.is_to_be_preempted() {
            assert!(looks > 10, "admission looks at the clock for each cell");
            return;
        }
        let (code, words) = node.answer(0, number).expect("an answer").expect_err("it trapped");
        assert_eq!(code, ErrorCode::RolledBack);
        assert!(words.contains("trap: unreachable"), "behind {looks} looks: {words}");
    }
}
