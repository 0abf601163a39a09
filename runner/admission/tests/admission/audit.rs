//! What goes on record, of whom, and that the chain is whole whatever happens.

use proptest::prelude::*;
use runner_interfaces::{cell::FailureReason, gpio::GpioStatus, link::LinkKind};
use sha2::Digest;
use shared_ring::SharedMemory;
use shared_ring_messages::{
    Answer, AuditEntry, AuditHash, AuditKind, AuditPage, AuditSession, CHUNK_BYTES, DeployRequest, ErrorCode,
    FIRST_AUDIT_HASH, FromAgent, PROTOCOL_MAJOR, Request,
};
use zerocopy::FromZeros;

use crate::node::*;

fn page(node: &mut Node, session: usize, cursor: u64) -> AuditPage {
    match node.ask(session, Request::Audit { cursor }) {
        Ok(Answer::Audit(page)) => *page,
        other => panic!("expected the audit log, got {other:?}"),
    }
}

/// All of it, after its chain was computed anew.
fn entries(node: &mut Node, session: usize) -> Vec<AuditEntry> {
    let (mut cursor, mut hash, mut entries) = (0, None, Vec::new());
    loop {
        let page = page(node, session, cursor);
        assert!(hash.is_none_or(|hash| hash == page.previous));
        let mut previous = page.previous;
        for record in &page.records {
            let expected: AuditHash = sha2::Sha256::digest([&previous[..], &record.entry].concat()).into();
            assert_eq!(record.hash, expected);
            previous = expected;
            entries.push(AuditEntry::decode(&record.entry).expect("an entry"));
        }
        (hash, cursor) = (Some(previous), page.next);
        if page.next == page.end {
            assert_eq!(page.head, previous);
            return entries;
        }
    }
}

fn kind(entry: &AuditEntry) -> AuditKind {
    AuditKind::of(entry.kind).expect("a kind")
}

/// The entries behind those that were there, without those of sessions.
fn news(node: &mut Node, session: usize, before: usize) -> Vec<AuditEntry> {
    let of_session = |entry: &AuditEntry| matches!(kind(entry), AuditKind::SessionOpened | AuditKind::SessionClosed);
    entries(node, session).into_iter().skip(before).filter(|entry| !of_session(entry)).collect()
}

fn only(entries: &[AuditEntry]) -> &AuditEntry {
    assert_eq!(entries.len(), 1, "{entries:?}");
    &entries[0]
}

#[test]
fn the_first_entry_is_the_boot_with_the_policy() {
    let mut node = Node::new();
    node.greet(2);
    let first = page(&mut node, 2, 0);
    assert_eq!((first.previous, first.lost), (FIRST_AUDIT_HASH, 0));
    let found = entries(&mut node, 2);
    let mut region = vec![0; node.regions["policy"].size_bytes()];
    node.regions["policy"].read(0, &mut region).expect("fits");
    let boot = &found[0];
    assert_eq!((kind(boot), boot.number, boot.session), (AuditKind::Boot, 0, None));
    assert_eq!(boot.sha256, Some(sha2::Sha256::digest(&region).into()));
    assert!(boot.text.contains("test node") && boot.text.contains("policy of test board"), "{}", boot.text);
    let opened = &found[1];
    assert_eq!((kind(opened), opened.session), (AuditKind::SessionOpened, Some(AuditSession { number: 1, port: 2 })));

    let mut node = Node::with_policy(&policy(), false);
    node.greet(0);
    let boot = &entries(&mut node, 0)[0];
    assert_eq!(boot.sha256, None);
    assert!(boot.text.contains("holds no board policy"), "{}", boot.text);
}

#[test]
fn an_upload_is_on_record_with_what_it_may_do() {
    let mut node = Node::new();
    node.greet(0);
    node.greet(1);
    let before = entries(&mut node, 0).len();
    let manifest =
        runner_container::Manifest { version: "1.2.3".into(), ..runner_container::Manifest::named("beacon") };
    let wasm = runner_container::embed(&reactor(), &manifest, &[]).expect("valid");
    let asked = DeployRequest { grants: vec!["gpio:LED:out".into()], start: true, ..request("blinker", &wasm) };
    node.deploy(1, asked, &wasm).expect("deployed");
    let found = news(&mut node, 0, before);
    let entry = only(&found);
    assert_eq!((kind(entry), entry.container.as_str()), (AuditKind::Deployed, "blinker"));
    assert_eq!((entry.cell, entry.load, entry.count), (Some(0), 1, 1));
    assert_eq!(entry.session, Some(AuditSession { number: 2, port: 1 }));
    assert_eq!(entry.sha256, Some(sha2::Sha256::digest(&wasm).into()));
    assert_eq!(entry.code, None);
    let upload = entry.upload.as_ref().expect("there");
    assert_eq!((upload.manifest.as_str(), upload.version.as_str()), ("beacon", "1.2.3"));
    assert_eq!(
        upload.rights,
        ["gpio:LED:out@100/s", "log:1000000/s", "memory:1MiB", "module:64KiB", "node", "timer:10ms:7"]
    );
    assert!(upload.unsigned && upload.signers.is_empty());
}

#[test]
fn each_verb_is_on_record_with_who_asked() {
    let mut node = Node::new();
    node.greet(0);
    node.greet(1);
    node.deploy_running(0, "a");
    let deployed = entries(&mut node, 0).pop().expect("there");
    let before = entries(&mut node, 0).len();
    for verb in [Request::Restart, Request::Stop, Request::Start, Request::Kill, Request::Remove] {
        node.ask(1, verb("a".into())).expect("done");
    }
    let found = news(&mut node, 0, before);
    let kinds: Vec<_> = found.iter().map(kind).collect();
    use AuditKind::{Killed, Removed, Restarted, Started, Stopped};
    assert_eq!(kinds, [Restarted, Stopped, Started, Killed, Removed]);
    for entry in &found {
        assert_eq!((entry.container.as_str(), entry.cell), ("a", Some(0)));
        assert_eq!(entry.session, Some(AuditSession { number: 2, port: 1 }));
    }
    let loads: Vec<_> = found.iter().map(|entry| entry.load).collect();
    assert_eq!(loads[0], deployed.load, "the load that each was about");
    assert!(loads[0] < loads[1] && loads[1] == loads[2] && loads[2] < loads[3] && loads[3] == loads[4], "{loads:?}");

    // What only asks leaves no trace, even where it fails.
    let before = entries(&mut node, 0).len();
    for request in [Request::Info, Request::List, Request::Inspect("a".into()), Request::Events { cursor: 0 }] {
        let _ = node.ask(1, request);
    }
    assert_eq!(news(&mut node, 0, before), []);
}

#[test]
fn a_refusal_is_on_record_with_its_reason() {
    let mut node = Node::new();
    node.greet(0);
    let wasm = reactor();
    let before = entries(&mut node, 0).len();
    let asked = DeployRequest { grants: vec!["gpio:VALVE:out".into()], ..request("a", &wasm) };
    let (code, detail) = node.refusal(0, Request::Deploy(asked));
    let found = news(&mut node, 0, before);
    let entry = only(&found);
    assert_eq!((kind(entry), entry.container.as_str()), (AuditKind::UploadRefused, "a"));
    assert_eq!((entry.code, &entry.text), (Some(code), &detail));
    assert_eq!((entry.sha256, entry.cell), (Some(sha2::Sha256::digest(&wasm).into()), None));
    assert_eq!(entry.session, Some(AuditSession { number: 1, port: 0 }));

    // Refused when whole, refused by its cell, and a verb about nobody.
    let text = b"no module";
    node.upload(0, request("b", text), text).expect("taken so far");
    let (of_bytes, _) = node.refusal(0, Request::Commit);
    node.cells[0].script = Script::FailsToLoad(FailureReason::InvalidModule, "detail");
    let (of_cell, _) = node.deploy(0, request("c", &wasm), &wasm).expect_err("refused");
    node.refusal(0, Request::Stop("nobody".into()));
    let found: Vec<_> = news(&mut node, 0, before)
        .into_iter()
        .skip(1)
        .map(|entry| (kind(&entry), entry.container.clone(), entry.code))
        .collect();
    let expected = [
        (AuditKind::UploadRefused, "b", Some(of_bytes)),
        (AuditKind::Deployed, "c", None),
        (AuditKind::UploadRefused, "c", Some(of_cell)),
        (AuditKind::RequestRefused, "nobody", Some(ErrorCode::NoSuchContainer)),
    ];
    assert_eq!(found, expected.map(|(kind, name, code)| (kind, name.to_owned(), code)));
}

#[test]
fn whoever_does_not_speak_the_protocol_is_on_record() {
    let mut node = Node::new();
    node.greet(0);
    let before = entries(&mut node, 0).len();
    node.open(1);
    node.send(1, &FromAgent::Hello { magic: 1, major: PROTOCOL_MAJOR, minor: 0 });
    node.run();
    node.open(1);
    node.send(1, &hello(PROTOCOL_MAJOR + 1));
    node.run();
    node.open(1);
    node.begin(1, Request::Info);
    node.run();
    for _ in 0..50 {
        node.send_bytes(1, b"\0noise\0");
    }
    node.run();
    let found = news(&mut node, 0, before);
    let kinds: Vec<_> = found.iter().map(kind).collect();
    use AuditKind::{BadFrames, RequestRefused, WrongProtocol, WrongVersion};
    assert_eq!(kinds, [WrongProtocol, WrongVersion, RequestRefused, BadFrames]);
    assert!(found.iter().all(|entry| entry.session == Some(AuditSession { number: 0, port: 1 })));
    assert!(found[1].text.starts_with(&format!("{}.", PROTOCOL_MAJOR + 1)), "{}", found[1].text);
}

#[test]
fn sessions_are_on_record_and_what_ends_with_them() {
    let mut node = Node::new();
    node.greet(0);
    node.greet(3);
    let wasm = reactor();
    let attached = DeployRequest { start: true, attached: true, ..request("a", &wasm) };
    node.deploy(3, attached, &wasm).expect("deployed");
    let before = entries(&mut node, 0).len();
    node.hang_up(3);
    let found: Vec<_> = entries(&mut node, 0).into_iter().skip(before).collect();
    let session = Some(AuditSession { number: 2, port: 3 });
    assert_eq!(found.iter().map(kind).collect::<Vec<_>>(), [AuditKind::Removed, AuditKind::SessionClosed]);
    assert!(found.iter().all(|entry| entry.session == session && entry.text == "it hung up"), "{found:?}");
    // A port that is opened and closed without a word is no session.
    node.open(3);
    node.send_link(3, LinkKind::Close, &[]);
    node.run();
    assert_eq!(entries(&mut node, 0).len(), before + 2);
}

#[test]
fn what_the_warden_does_is_on_record() {
    let mut node = Node::new();
    node.greet(0);
    node.deploy_running(0, "a");
    node.cells[1].script = Script::IgnoresStop;
    node.deploy_running(0, "b");
    let before = entries(&mut node, 0).len();
    node.fault(0);
    node.begin(0, Request::Stop("b".into()));
    node.run();
    node.pass(2 * HOOK_NS);
    let found = news(&mut node, 0, before);
    let told: Vec<_> = found.iter().map(|entry| (kind(entry), entry.container.as_str(), entry.cell)).collect();
    use AuditKind::{Intervention, Stopped};
    assert_eq!(told, [(Intervention, "a", Some(0)), (Stopped, "b", Some(1)), (Intervention, "b", Some(1))]);
    assert!(found[0].text.contains("VM fault") && found[0].session.is_none(), "{found:?}");
    assert!(found[2].text.contains("did not stop in time"), "{found:?}");
}

#[test]
fn a_restart_policy_is_on_record_until_it_gives_up() {
    let mut node = Node::new();
    node.greet(0);
    let restart = runner_container::Restart {
        policy: runner_container::RestartPolicy::Always,
        attempts: 2,
        ..runner_container::Restart::default()
    };
    let manifest = runner_container::Manifest { restart, ..runner_container::Manifest::named("a") };
    let wasm = runner_container::embed(&reactor(), &manifest, &[]).expect("valid");
    node.deploy(0, DeployRequest { start: true, ..request("a", &wasm) }, &wasm).expect("deployed");
    let before = entries(&mut node, 0).len();
    for _ in 0..3 {
        node.fault(0);
        node.pass(2 * HOOK_NS);
    }
    let kinds: Vec<_> = news(&mut node, 0, before).iter().map(kind).collect();
    use AuditKind::{GivenUp, Intervention, StartedAgain};
    assert_eq!(kinds, [Intervention, StartedAgain, Intervention, StartedAgain, Intervention, GivenUp]);
}

#[test]
fn the_first_refused_call_of_a_load_is_on_record_for_each_owner() {
    let mut node = Node::new();
    node.greet(0);
    node.deploy_running(0, "a");
    node.deploy_running(0, "b");
    let before = entries(&mut node, 0).len();
    let mut status = GpioStatus::new_zeroed();
    for calls in [1, 2, 1000] {
        (status.refused, status.refused_by_cell[1]) = (calls, calls);
        node.show_gpio(&status);
        node.wake_everybody();
        node.run();
    }
    node.refuse_timers([3, 0, 0, 0]);
    let found = news(&mut node, 0, before);
    let told: Vec<_> = found.iter().map(|entry| (kind(entry), entry.container.as_str(), entry.text.as_str())).collect();
    use AuditKind::CallRefused;
    assert_eq!(told, [(CallRefused, "b", "gpio refused 1 call"), (CallRefused, "a", "timer refused 3 calls")]);
    // Another load is told of again; a cell that holds nothing too.
    node.ask(0, Request::Restart("b".into())).expect("done");
    let before = entries(&mut node, 0).len();
    (status.refused, status.refused_by_cell[1], status.refused_by_cell[3]) = (1008, 1001, 7);
    node.show_gpio(&status);
    let found = news(&mut node, 0, before);
    let told: Vec<_> = found.iter().map(|entry| (entry.container.as_str(), entry.cell, entry.load)).collect();
    let load = node.table().cells[1].generation;
    assert_eq!(told, [("b", Some(1), load), ("", Some(3), 0)]);
}

#[test]
fn an_upload_that_is_broken_off_is_on_record_and_a_flood_of_them_is_counted() {
    let mut node = Node::new();
    node.greet(1);
    let before = entries(&mut node, 1).len();
    let wasm = reactor();
    let break_off = |node: &mut Node, name: &str, chunks: usize| {
        node.greet(0);
        node.ask(0, Request::Deploy(request(name, &wasm))).expect("announced");
        for (sequence, chunk) in (0..).zip(wasm.chunks(CHUNK_BYTES)).take(chunks) {
            node.ask(0, Request::Chunk { sequence, bytes: chunk.to_vec() }).expect("taken");
        }
        node.hang_up(0);
    };
    break_off(&mut node, "half", 1);
    let found = news(&mut node, 1, before);
    let entry = only(&found);
    assert_eq!((kind(entry), entry.container.as_str()), (AuditKind::UploadBrokenOff, "half"));
    assert_eq!(entry.text, format!("it hung up: {CHUNK_BYTES} of {} bytes had arrived", wasm.len()));
    assert_eq!(entry.sha256, Some(sha2::Sha256::digest(&wasm).into()));
    assert!(entry.session.is_some_and(|session| session.port == 0), "{entry:?}");
    (0..50).for_each(|attempt| break_off(&mut node, &format!("flood-{attempt}"), 0));
    let found = news(&mut node, 1, before);
    assert_eq!(found.iter().filter(|entry| kind(entry) == AuditKind::UploadBrokenOff).count(), 8);
    assert!(page(&mut node, 1, 0).held >= 43, "the others are counted");
    assert_eq!(node.counter(1, "uploads_abandoned"), 51);
}

#[test]
fn a_flood_of_refusals_leaves_what_was_done_on_record() {
    let mut node = Node::new();
    node.greet(0);
    node.deploy_running(0, "mine");
    for attempt in 0..300 {
        let name = format!("evil-{attempt}");
        node.refusal(0, Request::Deploy(DeployRequest { size: 0, ..request(&name, b"x") }));
        node.refusal(0, Request::Kill(name));
        node.greet(1);
    }
    let found = entries(&mut node, 0);
    assert!(found.len() < 50, "{}", found.len());
    assert!(found.iter().any(|entry| kind(entry) == AuditKind::Deployed && entry.container == "mine"));
    let last = page(&mut node, 0, 0);
    // Boot, two sessions' openings and a deploy are told besides; of the second session's 300 greetings 299 were ends too.
    let told: u64 = found.iter().map(|entry| entry.count).sum();
    assert_eq!((last.lost, told + last.held), (0, 1 + 1 + 1 + 300 + 300 + 300 + 299));
}

fn any_step() -> impl Strategy<Value = (usize, u8, u8)> {
    (0..4_usize, 0..14_u8, 0..3_u8)
}

fn play(node: &mut Node, (session, step, name): (usize, u8, u8)) {
    let name = format!("c{name}");
    let wasm = reactor();
    let request = match step {
        0 => return node.greet(session),
        1 => return node.hang_up(session),
        2 => return node.fault(usize::from(name.as_bytes()[1] - b'0')),
        3 => return node.pass(HOOK_NS),
        4 => Request::Deploy(DeployRequest { start: true, ..request(&name, &wasm) }),
        5 => Request::Deploy(DeployRequest { size: 0, ..request(&name, &wasm) }),
        6 => Request::Commit,
        7 => Request::Start(name),
        8 => Request::Stop(name),
        9 => Request::Restart(name),
        10 => Request::Kill(name),
        11 => Request::Remove(name),
        12 => Request::Audit { cursor: 0 },
        _ => Request::Update { deploy: request(&name, &wasm), probation_ns: 0 },
    };
    let begun = matches!(step, 4 | 13);
    node.begin(session, request);
    node.run();
    if begun {
        for (sequence, chunk) in (0..).zip(wasm.chunks(shared_ring_messages::CHUNK_BYTES)) {
            node.begin(session, Request::Chunk { sequence, bytes: chunk.to_vec() });
        }
        node.begin(session, Request::Commit);
        node.run();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn the_chain_is_whole_whatever_is_asked(
        steps in proptest::collection::vec(any_step(), 1..60),
        copied_after in 0..60_usize,
    ) {
        let mut node = Node::new();
        let mut copied = Vec::new();
        for (index, step) in steps.into_iter().enumerate() {
            if index == copied_after {
                node.greet(3);
                copied = entries(&mut node, 3);
            }
            play(&mut node, step);
        }
        node.greet(3);
        let all = entries(&mut node, 3);
        prop_assert_eq!(&all[..copied.len()], &copied[..], "what was told once stays as it was");
        prop_assert!(all.iter().zip(0..).all(|(entry, number)| entry.number == number));
    }
}
