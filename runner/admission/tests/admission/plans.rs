//! What a manifest says about a life, from the upload to the warden and back in reports and events.

use runner_container::{Lifetime, Limits, Manifest, Restart, RestartPolicy, World, embed};
use runner_interfaces::{
    cell::{ContainerState, FailureReason},
    plan::{DEFAULT_ATTEMPTS, EndCause, SHORTEST_BACK_OFF_NS},
};
use shared_ring_messages::{Answer, DeployRequest, ErrorCode, EventRecord, Request};

use crate::node::*;

fn packed(manifest: &Manifest) -> Vec<u8> {
    embed(&reactor(), manifest, &[]).expect("a valid manifest")
}

fn restarting() -> Manifest {
    let restart = Restart { policy: RestartPolicy::OnFailure, ..Restart::default() };
    Manifest { version: "1.2.3".into(), restart, ..Manifest::named("a") }
}

fn deploy(node: &mut Node, manifest: &Manifest) -> Result<shared_ring_messages::ContainerReport, (ErrorCode, String)> {
    let wasm = packed(manifest);
    node.deploy(0, DeployRequest { start: true, ..request("a", &wasm) }, &wasm)
}

fn running(manifest: &Manifest) -> Node {
    let mut node = Node::new();
    node.greet(0);
    deploy(&mut node, manifest).expect("deployed");
    node
}

fn inspect(node: &mut Node) -> shared_ring_messages::ContainerReport {
    node.report(0, Request::Inspect("a".into()))
}

fn fail(node: &mut Node) {
    node.cells[0].fail(FailureReason::Trap, "unreachable");
    node.wake_everybody();
    node.run();
}

fn events(node: &mut Node) -> Vec<EventRecord> {
    let (mut cursor, mut all) = (0, Vec::new());
    loop {
        let Ok(Answer::Events { records, next, lost }) = node.ask(0, Request::Events { cursor }) else {
            panic!("events")
        };
        assert_eq!(lost, 0);
        if records.is_empty() {
            return all;
        }
        all.extend(records);
        cursor = next;
    }
}

fn names(events: &[EventRecord]) -> Vec<&str> {
    events.iter().map(|event| event.event.as_str()).collect()
}

#[test]
fn a_plan_reaches_the_cell() {
    let manifest = Manifest {
        limits: Limits { start_ns: 1_000, loop_ns: 2_000_000, stop_ns: 3_000, memory_bytes: 65_536 },
        lifetime: Lifetime { loops: 9, time_ns: 0 },
        ..restarting()
    };
    let node = running(&manifest);
    let control = node.control(0);
    assert_eq!((control.start_limit_us, control.loop_limit_us, control.stop_limit_us), (1, 2_000, 3));
    assert_eq!((control.memory_limit_bytes, control.loops_limit), (65_536, 9));
}

#[test]
fn a_manifest_that_cannot_be_kept_is_refused_and_leaves_nothing() {
    let too_long = Limits { stop_ns: 2 * HOOK_NS, ..Limits::default() };
    let mut node = Node::new();
    node.greet(0);
    for (manifest, code, words) in [
        (Manifest { limits: too_long, ..Manifest::named("a") }, ErrorCode::ResourceLimit, "`limits.stop`"),
        (Manifest { world: Some(World::WasiCommand), ..Manifest::named("a") }, ErrorCode::InvalidManifest, "reactor"),
    ] {
        let (found, detail) = deploy(&mut node, &manifest).expect_err("refused");
        assert_eq!(found, code);
        assert!(detail.contains(words), "{detail}");
        assert_eq!(node.list(0), []);
        node.assert_clean(0);
    }
}

#[test]
fn a_container_that_failed_is_shown_with_what_follows_and_comes_back() {
    let mut node = running(&restarting());
    let first = inspect(&mut node);
    assert_eq!((first.version.as_str(), first.restart.as_str(), first.new_starts), ("1.2.3", "on-failure", 0));
    fail(&mut node);
    let waits = inspect(&mut node);
    assert_eq!((waits.state_text.as_str(), waits.reason_text.as_str()), ("failed", "trap: unreachable"));
    assert_eq!(waits.next_start_ns - node.now_ns(), SHORTEST_BACK_OFF_NS);
    node.pass(SHORTEST_BACK_OFF_NS);
    let back = inspect(&mut node);
    assert_eq!((back.state_text.as_str(), back.new_starts, back.next_start_ns), ("ready", 1, 0));
    assert_eq!(back.reason_text, "");
}

#[test]
fn logs_of_a_container_go_on_over_a_new_start() {
    let mut node = running(&restarting());
    assert!(node.cells[0].print("one"));
    fail(&mut node);
    let ended = |node: &mut Node| match node.ask(0, Request::Logs { name: "a".into(), cursor: u64::MAX }) {
        Ok(Answer::Logs { ended, .. }) => ended,
        other => panic!("{other:?}"),
    };
    assert!(!ended(&mut node), "it comes back");
    node.pass(SHORTEST_BACK_OFF_NS);
    assert!(node.cells[0].print("two"));
    node.wake_everybody();
    node.run();
    let Ok(Answer::Logs { records, .. }) = node.ask(0, Request::Logs { name: "a".into(), cursor: 0 }) else {
        panic!("logs")
    };
    let text: Vec<_> = records.iter().map(|record| String::from_utf8_lossy(&record.bytes).into_owned()).collect();
    assert_eq!(text, ["one", "two"]);
    node.ask(0, Request::Stop("a".into())).expect("stops");
    assert!(ended(&mut node));
}

#[test]
fn whoever_stops_or_kills_a_container_that_waits_ends_its_waiting() {
    for verb in [Request::Stop, Request::Kill] {
        let mut node = running(&restarting());
        fail(&mut node);
        let report = node.report(0, verb("a".into()));
        assert_eq!(report.state_text, "failed");
        assert_eq!(inspect(&mut node).next_start_ns, 0);
        node.pass(60 * HOOK_NS);
        assert_eq!(inspect(&mut node).new_starts, 0);
    }
    let mut node = running(&restarting());
    fail(&mut node);
    assert_eq!(node.report(0, Request::Start("a".into())).state_text, "ready", "whoever starts it need not wait");
    assert_eq!(inspect(&mut node).new_starts, 0);
    fail(&mut node);
    node.ask(0, Request::Remove("a".into())).expect("it has ended");
    node.assert_clean(0);
    node.pass(60 * HOOK_NS);
    node.assert_clean(0);
}

#[test]
fn a_life_is_told_step_by_step_with_reasons() {
    let mut node = running(&restarting());
    node.cells[0].shows.load_began_ns = 5;
    node.cells[0].shows.installed_ns = 6;
    fail(&mut node);
    node.pass(SHORTEST_BACK_OFF_NS);
    node.cells[0].shows.end_cause = EndCause::Stopped.to_wire();
    node.ask(0, Request::Stop("a".into())).expect("stops");
    node.ask(0, Request::Remove("a".into())).expect("removed");
    let events = events(&mut node);
    let told = names(&events);
    assert_eq!(told.first(), Some(&"deployed"));
    let from = told.iter().position(|name| *name == "failed").expect("told");
    assert_eq!(told[from..][..3], ["failed", "restart-scheduled", "restarted"]);
    assert_eq!(told[told.len() - 2..], ["finalised", "removed"]);
    let text = |name: &str| events.iter().find(|event| event.event == name).expect("told").text.clone();
    assert_eq!(text("failed"), "trap: unreachable");
    assert_eq!(text("restart-scheduled"), "in 100ms");
    assert_eq!(text("restarted"), "new start 1, on-failure");
    assert_eq!(text("finalised"), "stopped on request");
    assert!(events.iter().all(|event| event.container == "a" && event.cell == 0));
    let generations: Vec<_> = events.iter().map(|event| event.generation).collect();
    assert!(generations[..told.len() - 1].is_sorted(), "{generations:?}");
}

#[test]
fn a_container_that_fails_again_and_again_is_given_up_and_that_is_told() {
    let mut node = running(&restarting());
    for _ in 0..=DEFAULT_ATTEMPTS {
        fail(&mut node);
        node.pass(20 * SHORTEST_BACK_OFF_NS);
    }
    let report = inspect(&mut node);
    assert_eq!((report.new_starts, report.given_up, report.state_text.as_str()), (DEFAULT_ATTEMPTS, true, "failed"));
    let events = events(&mut node);
    let last = events.last().expect("some");
    assert_eq!((last.event.as_str(), last.text.as_str()), ("given-up", "after 5 new starts"));
    let count = |name: &str| events.iter().filter(|event| event.event == name).count();
    assert_eq!((count("failed"), count("restarted")), (DEFAULT_ATTEMPTS as usize + 1, DEFAULT_ATTEMPTS as usize));
}

#[test]
fn a_lifetime_that_is_over_is_told_as_such() {
    let manifest = Manifest { lifetime: Lifetime { loops: 0, time_ns: HOOK_NS }, ..restarting() };
    let mut node = running(&manifest);
    node.cells[0].shows.end_cause = EndCause::Lifetime.to_wire();
    for _ in 0..30 {
        // A sign of life, as a cell with a running container gives it.
        if node.cells[0].shows.state == ContainerState::Ready.to_wire() {
            node.cells[0].show(ContainerState::Ready);
        }
        node.pass(HOOK_NS / 20);
    }
    let report = inspect(&mut node);
    assert_eq!((report.state_text.as_str(), report.end_text.as_str()), ("finalised", "its lifetime was over"));
    assert_eq!(report.next_start_ns, 0);
}
