//! Containers with a schedule, from the upload to the warden: who gets a place, who is refused and why, and what is told of it.

use runner_container::{Manifest, OnOverrun, Restart, RestartPolicy, Schedule, Urgency, World, embed};
use runner_interfaces::{
    cell::FailureReason,
    plan::SHORTEST_BACK_OFF_NS,
    policy::BoardPolicy,
    warden::{WardenCell, WardenTable},
};
use shared_ring_messages::{AdmissionReport, Answer, DeployRequest, ErrorCode, Request, ScheduleRow, ScheduleTable};

use crate::node::*;

const US: u64 = 1_000;
const MS: u64 = 1_000_000;

fn scheduled(period_ns: u64, budget_ns: u64) -> Manifest {
    let schedule = Schedule { period_ns, budget_ns, ..Schedule::default() };
    Manifest { schedule: Some(schedule), ..Manifest::named("a") }
}

fn packed(manifest: &Manifest) -> Vec<u8> {
    embed(&reactor(), manifest, &[]).expect("a valid manifest")
}

fn deploy(node: &mut Node, name: &str, manifest: &Manifest) -> Result<(), Refusal> {
    let wasm = packed(manifest);
    node.deploy(0, DeployRequest { start: true, ..request(name, &wasm) }, &wasm).map(|_| ())
}

fn greeted() -> Node {
    let mut node = Node::new();
    node.greet(0);
    node
}

fn shown(node: &mut Node, cell: usize) -> WardenCell {
    let table: WardenTable = node.table();
    table.cells[cell]
}

fn table(node: &mut Node) -> ScheduleTable {
    match node.ask(0, Request::Schedule) {
        Ok(Answer::Schedule(table)) => *table,
        other => panic!("{other:?}"),
    }
}

fn rows(node: &mut Node) -> Vec<ScheduleRow> {
    table(node).rows
}

/// The largest budget that a refusal offers, in nanoseconds.
fn offered_ns(words: &str) -> u64 {
    let offer = words.split("the largest budget that fits is ").nth(1).expect("offers one");
    let (number, unit) = offer.split_once(' ').expect("a number and a unit");
    let digits = if unit.starts_with("ms") { 6 } else { 3 };
    let (whole, rest) = number.split_once('.').unwrap_or((number, ""));
    format!("{whole}{rest:0<digits$}").parse().expect("no more decimals than a nanosecond has")
}

#[test]
fn a_schedule_gets_a_class_and_a_priority_and_both_are_told() {
    let mut node = greeted();
    deploy(&mut node, "slow", &scheduled(20 * MS, MS)).expect("fits");
    deploy(&mut node, "fast", &scheduled(5 * MS, 200 * US)).expect("fits");
    let rows = rows(&mut node);
    let found: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.cell, row.priority, row.in_force)).collect();
    // 111 to 200: in the middle, and above it with room for six more.
    assert_eq!(found, [("fast", 1, 160, true), ("slow", 0, 155, true)]);
    for (row, cell) in rows.iter().zip([1, 0]) {
        let shown = shown(&mut node, cell);
        assert_eq!((shown.class, shown.priority), (row.class.number + 1, row.priority));
        let share = shares().classes[row.class.number as usize];
        assert_eq!((row.class.budget_us, row.class.period_us), (share.budget_us, share.period_us));
        assert_eq!(row.response_ns + row.slack_ns, row.schedule.deadline_ns);
        // What a job used is back before the next release, or what is left bridges the rest.
        let late_ns = (u64::from(row.class.period_us) * US + row.response_ns).saturating_sub(row.schedule.period_ns);
        assert!(u64::from(row.class.budget_us) * US >= row.schedule.budget_ns + 20 * US + late_ns);
    }
    // Calls: to the timer, where it has rights by default, and two of its cell.
    assert_eq!(rows[0].calls, [0, 0, 4, 0]);
    assert_eq!(node.control(1).schedule.calls(), [0, 0, 4, 0], "its cell is told");
    let told = table(&mut node);
    let shares: u32 = told.rows.iter().map(|row| row.class.budget_us * 1000 / (row.class.period_us / 1000)).sum();
    assert_eq!(told.promised_ppm, time().taken_ppm + shares);
    let platform = told.platform;
    assert_eq!((platform.tick_ns, platform.switch_ns, platform.refills), (MS, 5_000, 2));
    assert_eq!(platform.calls[0], ("gpio".into(), 20_000));
    assert_eq!((platform.system[1].name.as_str(), platform.system[1].period_ns), ("warden", 2 * MS));
}

#[test]
fn what_cannot_be_kept_is_refused_and_the_budget_that_is_named_is_not() {
    let mut node = greeted();
    deploy(&mut node, "first", &scheduled(20 * MS, 2 * MS)).expect("fits");
    let (code, words) = deploy(&mut node, "second", &scheduled(4 * MS, 3 * MS)).expect_err("too much");
    assert_eq!(code, ErrorCode::NotSchedulable);
    let budget_ns = offered_ns(&words);
    node.assert_clean(1);
    assert_eq!(rows(&mut node).len(), 1, "nobody else has noticed");
    deploy(&mut node, "second", &scheduled(4 * MS, budget_ns + 1)).expect_err("a nanosecond more");
    deploy(&mut node, "second", &scheduled(4 * MS, budget_ns)).expect("as it said");
    assert_eq!(rows(&mut node).len(), 2);
}

#[test]
fn containers_without_a_schedule_take_nothing() {
    let mut node = greeted();
    let table_before = table(&mut node);
    assert_eq!((table_before.rows.len(), table_before.promised_ppm), (0, time().taken_ppm));
    for name in ["a", "b", "c"] {
        deploy(&mut node, name, &Manifest::named("a")).expect("fits");
    }
    assert_eq!(table(&mut node), table_before);
    assert_eq!((shown(&mut node, 2).class, shown(&mut node, 2).priority), (0, 0));
    let mut empty = greeted();
    deploy(&mut empty, "d", &scheduled(10 * MS, MS)).expect("fits");
    deploy(&mut node, "d", &scheduled(10 * MS, MS)).expect("fits");
    let (alone, beside) = (rows(&mut empty).remove(0), rows(&mut node).remove(0));
    assert_eq!(ScheduleRow { cell: 0, ..beside }, alone, "they delay nobody");
}

#[test]
fn a_place_is_kept_over_new_starts_and_free_at_the_end() {
    let mut node = greeted();
    let restart = Restart { policy: RestartPolicy::OnFailure, ..Restart::default() };
    let manifest = Manifest { restart, ..scheduled(5 * MS, 250 * US) };
    deploy(&mut node, "a", &manifest).expect("fits");
    let before = rows(&mut node);
    node.cells[0].fail(FailureReason::Trap, "unreachable");
    node.wake_everybody();
    node.run();
    let waits = rows(&mut node);
    assert_eq!((waits[0].class, waits[0].in_force), (before[0].class, false), "its place waits for it");
    node.pass(SHORTEST_BACK_OFF_NS);
    assert_eq!(rows(&mut node), before, "as it was");
    node.ask(0, Request::Stop("a".into())).expect("stops");
    assert_eq!(rows(&mut node), []);
    node.ask(0, Request::Start("a".into())).expect("starts");
    assert_eq!(rows(&mut node), before, "as it was");
    node.ask(0, Request::Restart("a".into())).expect("starts");
    assert_eq!(rows(&mut node), before, "as it was");
    node.ask(0, Request::Kill("a".into())).expect("ends");
    assert_eq!(rows(&mut node), []);
}

#[test]
fn whoever_is_started_again_and_finds_the_place_taken_is_refused() {
    let mut node = greeted();
    let large = scheduled(30 * MS, 2500 * US);
    deploy(&mut node, "a", &large).expect("there is one class of that size");
    let (code, words) = deploy(&mut node, "b", &large).expect_err("there is one");
    assert_eq!(code, ErrorCode::NotSchedulable);
    assert!(words.contains("no such one is free"), "{words}");
    node.ask(0, Request::Stop("a".into())).expect("stops");
    deploy(&mut node, "b", &large).expect("it is free");
    let (code, _) = node.ask(0, Request::Start("a".into())).expect_err("it is taken");
    assert_eq!(code, ErrorCode::NotSchedulable);
    node.ask(0, Request::Remove("b".into())).expect_err("it runs");
    node.ask(0, Request::Stop("b".into())).expect("stops");
    node.ask(0, Request::Start("a".into())).expect("it is free");
}

#[test]
fn both_versions_of_an_update_have_a_place_while_both_are_there() {
    let mut node = greeted();
    deploy(&mut node, "a", &scheduled(10 * MS, 200 * US)).expect("fits");
    let old = rows(&mut node).remove(0);
    let wasm = packed(&scheduled(10 * MS, 210 * US));
    node.cells[1].script = Script::Runs(Vec::new());
    let update = Request::Update { deploy: request("a", &wasm), probation_ns: MS };
    node.ask(0, update).expect("announced");
    node.send_chunks(0, &wasm).expect("arrives");
    node.begin(0, Request::Commit);
    node.run();
    let both = rows(&mut node);
    assert_eq!(both.len(), 2);
    assert_eq!(both[0].class.number, old.class.number);
    assert_ne!(both[1].class.number, old.class.number);
    assert!(both[1].priority < both[0].priority, "who came first is before who has the same deadline");
}

#[test]
fn a_dry_run_tells_all_and_leaves_nothing() {
    let mut node = greeted();
    deploy(&mut node, "a", &scheduled(20 * MS, MS)).expect("fits");
    let before = (node.list(0), rows(&mut node));
    let dry_run = |node: &mut Node, manifest: &Manifest, grants: &[&str]| {
        let wasm = packed(manifest);
        let grants = grants.iter().map(|grant| (*grant).into()).collect();
        node.ask(0, Request::DryRun(DeployRequest { grants, start: true, ..request("b", &wasm) }))?;
        node.send_chunks(0, &wasm)?;
        match node.ask(0, Request::Commit) {
            Ok(Answer::Admitted(report)) => Ok(*report),
            Err(refused) => Err(refused),
            other => panic!("{other:?}"),
        }
    };
    let fits = Manifest { version: "1.0.0".into(), ..scheduled(5 * MS, 200 * US) };
    let AdmissionReport { name, version, rights, schedule, .. } =
        dry_run(&mut node, &fits, &["gpio:LED:out"]).expect("fits");
    assert_eq!((name.as_str(), version.as_str()), ("b", "1.0.0"));
    assert!(rights.contains(&"gpio:LED:out@100/s".to_owned()), "{rights:?}");
    let schedule = schedule.expect("it has one");
    let found: Vec<_> = schedule.rows.iter().map(|row| (row.name.as_str(), row.in_force)).collect();
    assert_eq!(found, [("b", false), ("a", true)]);
    assert_eq!(schedule.rows[0].calls, [2, 0, 4, 0]);
    assert!(schedule.rows[1].response_ns > before.1[0].response_ns, "what it would be beside the new one");
    let (code, words) = dry_run(&mut node, &scheduled(4 * MS, 3 * MS), &[]).expect_err("too much");
    assert_eq!(code, ErrorCode::NotSchedulable);
    assert!(words.contains("the largest budget that fits is"), "{words}");
    let (code, _) = dry_run(&mut node, &fits, &["gpio:VALVE:out"]).expect_err("not allowed");
    assert_eq!(code, ErrorCode::NotAllowed);
    let wrong = Manifest { world: Some(World::WasiCommand), ..Manifest::named("b") };
    assert_eq!(dry_run(&mut node, &wrong, &[]).expect_err("wrong").0, ErrorCode::InvalidManifest);
    assert_eq!(dry_run(&mut node, &Manifest::named("b"), &[]).expect("fits").schedule, None);
    assert_eq!((node.list(0), rows(&mut node)), before);
    node.assert_clean(1);
    let events = match node.ask(0, Request::Events { cursor: 0 }) {
        Ok(Answer::Events { records, .. }) => records,
        other => panic!("{other:?}"),
    };
    assert!(events.iter().all(|event| event.container == "a"), "{events:?}");
}

#[test]
fn the_rights_to_a_share_and_to_urgency_limit_a_schedule() {
    let mut node = greeted();
    let deploy = |node: &mut Node, class, grants: &[&str]| {
        let schedule = Schedule { class, ..scheduled(20 * MS, MS).schedule.expect("has one") };
        let wasm = packed(&Manifest { schedule: Some(schedule), ..Manifest::named("a") });
        let grants = grants.iter().map(|grant| (*grant).into()).collect();
        node.deploy(0, DeployRequest { start: true, grants, ..request("a", &wasm) }, &wasm)
    };
    let mut refusal =
        |class, grants: &[&str]| deploy(&mut node, class, grants).map(|_| ()).expect_err("more than its rights");
    let stated = "its [schedule] states the class `critical`, and its right is `priority:high`";
    let refused = refusal(Urgency::Critical, &["priority:high"]);
    assert_eq!(refused, (ErrorCode::NotAllowed, stated.to_owned()));
    let (code, words) = refusal(Urgency::Normal, &["cpu:9%"]);
    assert_eq!(code, ErrorCode::NotSchedulable);
    assert!(words.contains("no more of the processor than its right `cpu:9%`"), "{words}");
    let (code, words) = refusal(Urgency::Normal, &["cpu:6%"]);
    assert_eq!((code, words.contains("a cell has 7 % of its own")), (ErrorCode::NotAllowed, true), "{words}");
    let (code, words) = refusal(Urgency::Normal, &["cpu:61%"]);
    assert_eq!((code, words.contains("the board allows at most 60%")), (ErrorCode::NotAllowed, true), "{words}");
    deploy(&mut node, Urgency::High, &["cpu:40%", "priority:high"]).expect("within them");
    let row = rows(&mut node).remove(0);
    let percent = u64::from(row.class.budget_us) * 100 / u64::from(row.class.period_us);
    assert!(percent <= 40, "{row:?}");
    let rights: Vec<_> =
        node.report(0, Request::Inspect("a".into())).grants.into_iter().map(|grant| grant.right).collect();
    assert!(rights.contains(&"cpu:40%".to_owned()) && rights.contains(&"priority:high".to_owned()), "{rights:?}");
}

#[test]
fn a_board_that_does_not_say_what_it_costs_keeps_no_schedule() {
    let mut node = Node::with_policy(&BoardPolicy { time: None, ..policy() }, true);
    node.greet(0);
    let (code, words) = deploy(&mut node, "a", &scheduled(10 * MS, MS)).expect_err("nobody knows");
    assert_eq!(code, ErrorCode::NotSchedulable);
    assert!(words.contains("does not say what the node costs"), "{words}");
    deploy(&mut node, "a", &Manifest::named("a")).expect("asks for nothing");
    assert_eq!(table(&mut node), ScheduleTable::default());
}

#[test]
fn the_fullest_table_fits_a_frame() {
    let mut policy = policy();
    let time = policy.time.as_mut().expect("stated");
    time.taken_ppm = 0;
    let mut activity = time.system[0].clone();
    activity.name = "x".repeat(40);
    time.system.resize(runner_interfaces::policy::MAX_ACTIVITIES, activity);
    time.system.iter_mut().for_each(|activity| (activity.budget_ns, activity.period_ns) = (1, 1_000_000_000));
    let mut node = Node::with_policy(&policy, true);
    node.greet(0);
    for number in 0..CELLS {
        let name = format!("{number}{}", "n".repeat(39));
        deploy(&mut node, &name, &scheduled(20 * MS + number as u64 * MS, 50 * US)).expect("fits");
    }
    let told = table(&mut node);
    assert_eq!((told.rows.len(), told.platform.system.len()), (CELLS, 24));
}

#[test]
fn whoever_is_to_be_stopped_by_an_overrun_says_so_to_its_cell() {
    let mut node = greeted();
    let schedule = Schedule { on_overrun: OnOverrun::Stop, ..scheduled(10 * MS, MS).schedule.expect("has one") };
    deploy(&mut node, "a", &Manifest { schedule: Some(schedule), ..Manifest::named("a") }).expect("fits");
    assert_eq!(node.control(0).schedule.on_overrun(), runner_interfaces::schedule::OnOverrun::Stop);
}
