//! Signed containers, as admission meets them: what the rules of `runner-tokens` mean for a node.

use runner_container::{Manifest, Restart, RestartPolicy, Schedule, Urgency, embed};
use runner_interfaces::{grants::CellGrants, policy::BoardPolicy};
use runner_tokens::{Body, Claims, Key, KeyTable, Minimum, Role, SigningKey, TokenKind, attach, layout, sign};
use shared_ring_messages::{Answer, AuditEntry, AuditKind, ContainerReport, DeployRequest, ErrorCode, Request};

use crate::node::*;

/// When all tokens here were made, and the image.
const NOW: u64 = 1_800_000_000;

/// The four parties of a device.
struct Parties {
    developer: SigningKey,
    integrator: SigningKey,
    owner: SigningKey,
}

impl Parties {
    fn new() -> Self {
        let key = |number| SigningKey::from_secret(&[number; 32]);
        Self { developer: key(1), integrator: key(3), owner: key(4) }
    }

    fn table(&self) -> KeyTable {
        let key = |role, key: &SigningKey| Key { role, public: key.public() };
        KeyTable {
            image_time: NOW,
            production: true,
            keys: vec![
                key(Role::Developer, &self.developer),
                key(Role::Integrator, &self.integrator),
                key(Role::Owner, &self.owner),
            ],
            minimums: Vec::new(),
        }
    }

    /// A node that runs nothing unsigned.
    fn node(&self) -> Node {
        self.node_with(&self.table())
    }

    fn node_with(&self, table: &KeyTable) -> Node {
        let policy = BoardPolicy { allow_unsigned: false, ..policy() };
        let mut node = Node::with_keys(&policy, true, &table.encode().expect("fits"));
        node.greet(0);
        node
    }

    /// A container of that manifest, signed by everybody, with these rights from the owner.
    fn sign(&self, manifest: &Manifest, rights: &[&str]) -> Vec<u8> {
        self.sign_with(manifest, rights, |_| {})
    }

    fn sign_with(&self, manifest: &Manifest, rights: &[&str], change: impl Fn(&mut Claims)) -> Vec<u8> {
        let mut wasm = embed(&reactor(), manifest, &[]).expect("embedded");
        let parts = layout(&wasm).expect("sound");
        let grant = Body::Grant {
            integrator: self.integrator.public().id(),
            rights: rights.iter().map(|right| (*right).to_owned()).collect(),
        };
        let bodies =
            [(parts.code_body(), &self.developer), (parts.metadata_body(), &self.integrator), (grant, &self.owner)];
        for (body, key) in bodies {
            let mut claims = Claims {
                subject: manifest.name.clone(),
                audience: None,
                expires: None,
                issued: NOW,
                sequence: 5,
                body,
            };
            change(&mut claims);
            let token = sign(&claims, key).expect("sound");
            wasm = attach(&wasm, claims.kind(), &token).expect("about this container");
        }
        wasm
    }
}

fn manifest(grants: &[&str]) -> Manifest {
    Manifest { grants: grants.iter().map(|grant| (*grant).to_owned()).collect(), ..Manifest::named("pump") }
}

fn deploy(node: &mut Node, name: &str, wasm: &[u8]) -> Result<Answer, Refusal> {
    let request = DeployRequest { start: true, ..request(name, wasm) };
    node.upload(0, request, wasm)?;
    node.ask(0, Request::Commit)
}

fn refused(node: &mut Node, name: &str, wasm: &[u8]) -> Refusal {
    let refusal = deploy(node, name, wasm).expect_err("refused");
    assert_eq!(node.list(0), [], "and nothing of it is left");
    refusal
}

fn rights(report: &ContainerReport) -> Vec<&str> {
    report.grants.iter().map(|grant| grant.right.as_str()).collect()
}

#[test]
fn an_owner_grants_rates_and_amounts_and_channels() {
    let parties = Parties::new();
    let mut node = parties.node();
    // The owner states a lower rate and less memory; what it says nothing of is the default, whatever the manifest wants.
    let asked = ["gpio:LED:out@900/s", "memory:1MiB", "log:500/s"];
    let wasm = parties.sign(&manifest(&asked), &["gpio:LED:out@7/s", "memory:128KiB", "timer:20ms:2"]);
    let Ok(Answer::Container(report)) = deploy(&mut node, "pump", &wasm) else { panic!("it runs") };
    assert_eq!(
        rights(&report),
        ["gpio:LED:out@7/s", "log:500/s", "memory:128KiB", "module:64KiB", "node", "timer:20ms:2"]
    );
    assert_eq!(node.control(0).memory_limit_bytes, 128 << 10);
}

#[test]
fn an_owner_limits_what_a_schedule_asks_for() {
    let parties = Parties::new();
    let mut node = parties.node();
    let urgent = |grants: &[&str]| {
        let schedule =
            Schedule { period_ns: 20_000_000, budget_ns: 1_000_000, class: Urgency::Critical, ..Schedule::default() };
        Manifest { schedule: Some(schedule), ..manifest(grants) }
    };
    // The manifest asks for all; the owner says otherwise.
    let wasm = parties.sign(&urgent(&["cpu:50%", "priority:critical"]), &["priority:high"]);
    let (code, detail) = refused(&mut node, "pump", &wasm);
    assert_eq!((code, detail.contains("its right is `priority:high`")), (ErrorCode::NotAllowed, true), "{detail}");
    let (code, detail) = refused(&mut node, "pump", &parties.sign(&urgent(&[]), &["cpu:9%"]));
    assert_eq!((code, detail.contains("its right `cpu:9%`")), (ErrorCode::NotSchedulable, true), "{detail}");
    // Who states no limit sets none.
    let wasm = parties.sign(&urgent(&["cpu:50%"]), &["priority:critical"]);
    let Ok(Answer::Container(report)) = deploy(&mut node, "pump", &wasm) else { panic!("it runs") };
    assert!(["cpu:50%", "priority:critical"].iter().all(|limit| rights(&report).contains(limit)), "{report:?}");
}

#[test]
fn a_container_that_everybody_signed_runs_with_what_both_sides_name() {
    let parties = Parties::new();
    let mut node = parties.node();
    let wasm =
        parties.sign(&manifest(&["gpio:LED:out", "timer:10ms"]), &["gpio:BUTTON:in", "gpio:LED:out", "timer:10ms"]);
    let Ok(Answer::Container(report)) = deploy(&mut node, "pump", &wasm) else { panic!("it runs") };
    assert_eq!(report.state_text, "ready");
    assert_eq!(
        rights(&report),
        ["gpio:LED:out@100/s", "log:1000000/s", "memory:1MiB", "module:64KiB", "node", "timer:10ms:7"],
        "what the owner grants beyond the manifest is not its own"
    );
    let signers: Vec<_> = report.signers.iter().map(|signer| (signer.token.as_str(), signer.key)).collect();
    let expected = [
        ("code", parties.developer.public().id().0),
        ("metadata", parties.integrator.public().id().0),
        ("grant", parties.owner.public().id().0),
    ];
    assert_eq!(signers, expected);
    let info = node.info(0);
    assert!(!info.runs_unsigned && info.keys.len() == 3, "{info:?}");
}

#[test]
fn what_the_owner_does_not_grant_is_not_had() {
    let parties = Parties::new();
    let mut node = parties.node();
    let wasm = parties.sign(&manifest(&["gpio:LED:out", "gpio:BUTTON:in"]), &["gpio:BUTTON:in"]);
    deploy(&mut node, "pump", &wasm).expect("it runs");
    let report = node.report(0, Request::Inspect("pump".into()));
    let told = rights(&report);
    assert!(told.contains(&"gpio:BUTTON:in") && !told.iter().any(|right| right.contains("LED")), "{told:?}");
    let granted = node.table().cells[0].grants;
    assert_eq!((granted.output_lines, granted.input_lines.count_ones()), (0, 1), "{granted:?}");
}

#[test]
fn what_goes_beyond_the_boards_policy_is_refused_whoever_signed_it() {
    let parties = Parties::new();
    let mut node = parties.node();
    let wasm = parties.sign(&manifest(&[]), &["gpio:NONE:out"]);
    let (code, detail) = refused(&mut node, "pump", &wasm);
    assert_eq!(code, ErrorCode::NotAllowed, "{detail}");
    assert!(detail.contains("gpio:NONE:out"), "{detail}");
    assert_eq!(node.table().cells[0].grants, CellGrants::default());
}

#[test]
fn whoever_is_not_signed_is_refused_and_counted() {
    let parties = Parties::new();
    let mut node = parties.node();
    let (code, detail) = refused(&mut node, "pump", &reactor());
    assert_eq!(code, ErrorCode::NotSigned);
    assert!(detail.contains("runs signed containers only"), "{detail}");
    let half = embed(&reactor(), &manifest(&[]), &[]).expect("embedded");
    assert_eq!(refused(&mut node, "pump", &half).0, ErrorCode::NotSigned);
    let signed = parties.sign(&manifest(&[]), &[]);
    let (code, detail) = refused(&mut node, "valve", &signed);
    assert_eq!(code, ErrorCode::NotSigned);
    assert!(detail.contains("`pump`") && detail.contains("`valve`"), "{detail}");
    assert_eq!(node.counter(0, "signatures_refused"), 2);
}

#[test]
fn a_signed_container_is_held_to_its_signatures_where_unsigned_ones_run_too() {
    let parties = Parties::new();
    let table = KeyTable { production: false, ..parties.table() };
    let mut node = Node::with_keys(&policy(), true, &table.encode().expect("fits"));
    node.greet(0);
    deploy(&mut node, "plain", &reactor()).expect("unsigned ones run");
    let mut wasm = parties.sign(&manifest(&[]), &[]);
    let last = wasm.len() - 1;
    wasm[last] ^= 1;
    assert_eq!(deploy(&mut node, "pump", &wasm).expect_err("a damaged signature").0, ErrorCode::NotSigned);
}

#[test]
fn an_image_for_use_runs_nothing_unsigned_whatever_its_policy_says() {
    let parties = Parties::new();
    let mut node = Node::with_keys(&policy(), true, &parties.table().encode().expect("fits"));
    node.greet(0);
    assert_eq!(refused(&mut node, "pump", &reactor()).0, ErrorCode::NotSigned);
}

#[test]
fn what_was_signed_cannot_be_changed_on_the_way() {
    let parties = Parties::new();
    let mut node = parties.node();
    let signed = Manifest { arguments: vec!["--slow".into()], ..manifest(&["gpio:LED:out"]) };
    let wasm = parties.sign(&signed, &["gpio:LED:out"]);
    let other = DeployRequest { arguments: vec!["--fast".into()], start: true, ..request("pump", &wasm) };
    node.upload(0, other, &wasm).expect("announced");
    let (code, detail) = node.refusal(0, Request::Commit);
    assert_eq!(code, ErrorCode::NotSigned);
    assert!(detail.contains("other arguments"), "{detail}");
    // Rights that are asked for on the way are not looked at, and nothing need be said of what is signed.
    let more = DeployRequest {
        grants: vec!["gpio:BUTTON:in".into()],
        arguments: Vec::new(),
        start: true,
        ..request("pump", &wasm)
    };
    node.upload(0, more, &wasm).expect("announced");
    let report = node.report(0, Request::Commit);
    assert_eq!(report.arguments, ["--slow"]);
    assert!(!rights(&report).contains(&"gpio:BUTTON:in"), "{:?}", report.grants);
}

#[test]
fn sequences_do_not_go_back_while_the_node_runs_nor_below_the_images() {
    let parties = Parties::new();
    let minimum = Minimum { kind: TokenKind::Code, subject: "pump".into(), sequence: 4 };
    let mut node = parties.node_with(&KeyTable { minimums: vec![minimum], ..parties.table() });
    let at = |sequence| parties.sign_with(&manifest(&[]), &[], |claims| claims.sequence = sequence);
    let (code, detail) = refused(&mut node, "pump", &at(3));
    assert_eq!(code, ErrorCode::NotSigned, "{detail}");
    deploy(&mut node, "pump", &at(6)).expect("newer");
    node.ask(0, Request::Kill("pump".into())).expect("killed");
    node.ask(0, Request::Remove("pump".into())).expect("removed");
    assert_eq!(refused(&mut node, "pump", &at(5)).0, ErrorCode::NotSigned);
    deploy(&mut node, "pump", &at(6)).expect("the same is not older");
}

#[test]
fn what_has_expired_for_sure_is_refused() {
    let parties = Parties::new();
    let mut node = parties.node();
    let until = |end| {
        parties.sign_with(&manifest(&[]), &[], move |claims| {
            (claims.issued, claims.expires) = (NOW - 100, Some(end));
        })
    };
    assert_eq!(refused(&mut node, "pump", &until(NOW - 1)).0, ErrorCode::NotSigned);
    let Ok(Answer::Container(report)) = deploy(&mut node, "pump", &until(NOW + 10)) else { panic!("it runs") };
    assert_eq!(report.signed_until_s, NOW + 10);
    node.ask(0, Request::Kill("pump".into())).expect("killed");
    node.ask(0, Request::Remove("pump".into())).expect("removed");
    node.pass(11_000_000_000);
    assert_eq!(refused(&mut node, "pump", &until(NOW + 10)).0, ErrorCode::NotSigned, "time went on");
}

#[test]
fn the_owner_changes_keys_and_nobody_else() {
    let parties = Parties::new();
    let mut node = parties.node();
    let newcomer = SigningKey::from_secret(&[9; 32]);
    let change = |key: &SigningKey, sequence| {
        let body = Body::Keys {
            added: vec![Key { role: Role::Developer, public: newcomer.public() }],
            revoked: vec![parties.developer.public().id()],
        };
        let claims = Claims { subject: "keys".into(), audience: None, expires: None, issued: NOW, sequence, body };
        Request::ChangeKeys { token: sign(&claims, key).expect("sound") }
    };
    let signed = parties.sign(&manifest(&[]), &[]);
    for stranger in [&parties.integrator, &newcomer] {
        assert_eq!(node.refusal(0, change(stranger, 1)).0, ErrorCode::NotSigned);
    }
    assert_eq!(node.refusal(0, Request::ChangeKeys { token: vec![0xd2; 3000] }).0, ErrorCode::NotSigned);
    let nobody_ran = Answer::KeysChanged { stopped: Vec::new(), barred: Vec::new() };
    assert_eq!(node.ask(0, change(&parties.owner, 1)), Ok(nobody_ran));
    assert_eq!(node.refusal(0, change(&parties.owner, 1)).0, ErrorCode::NotSigned, "once");
    let (code, detail) = refused(&mut node, "pump", &signed);
    assert_eq!(code, ErrorCode::NotSigned, "the developer's key counts no more: {detail}");
    let others = Parties { developer: newcomer.clone(), ..Parties::new() };
    deploy(&mut node, "pump", &others.sign(&manifest(&[]), &[])).expect("the new developer's does");
    let keys = node.info(0).keys;
    assert_eq!(keys.iter().filter(|key| key.revoked).count(), 1, "{keys:?}");
    assert_eq!((node.counter(0, "keys_changed"), node.counter(0, "key_changes_refused")), (1, 4));
}

/// The owner's word that those keys are not to be believed any more.
fn revoke(parties: &Parties, keys: &[&SigningKey]) -> Request {
    let mut revoked: Vec<_> = keys.iter().map(|key| key.public().id()).collect();
    revoked.sort();
    let body = Body::Keys { added: Vec::new(), revoked };
    let claims = Claims { subject: "keys".into(), audience: None, expires: None, issued: NOW, sequence: 1, body };
    Request::ChangeKeys { token: sign(&claims, &parties.owner).expect("sound") }
}

/// What is on record of keys.
fn on_record(node: &mut Node) -> Vec<(AuditKind, String, String)> {
    let Ok(Answer::Audit(page)) = node.ask(0, Request::Audit { cursor: 0 }) else { panic!("the audit log") };
    let entries = page.records.iter().map(|record| AuditEntry::decode(&record.entry).expect("an entry"));
    let of_keys = |entry: &AuditEntry| entry.kind >= AuditKind::KeysChanged.number();
    entries
        .filter(of_keys)
        .map(|entry| (AuditKind::of(entry.kind).expect("known"), entry.container, entry.text))
        .collect()
}

#[test]
fn what_runs_by_the_word_of_a_revoked_key_is_stopped_and_stays_so() {
    let parties = Parties::new();
    let others = Parties { developer: SigningKey::from_secret(&[9; 32]), ..Parties::new() };
    let mut table = parties.table();
    table.keys.push(Key { role: Role::Developer, public: others.developer.public() });
    let mut node = parties.node_with(&table);
    let named = |name: &str| Manifest { name: name.into(), ..manifest(&["gpio:LED:out"]) };
    let pump = parties.sign(&named("pump"), &["gpio:LED:out"]);
    deploy(&mut node, "pump", &pump).expect("it runs");
    deploy(&mut node, "valve", &others.sign(&named("valve"), &[])).expect("it runs");
    let lamp = parties.sign(&named("lamp"), &[]);
    node.upload(0, request("lamp", &lamp), &lamp).expect("announced");
    node.ask(0, Request::Commit).expect("installed");
    deploy(&mut node, "done", &parties.sign(&named("done"), &[])).expect("it runs");
    node.ask(0, Request::Stop("done".into())).expect("stopped");

    let key = parties.developer.public().id();
    let answer = node.ask(0, revoke(&parties, &[&parties.developer]));
    assert_eq!(
        answer,
        Ok(Answer::KeysChanged { stopped: vec!["pump".into(), "lamp".into()], barred: vec!["done".into()] })
    );
    let why = format!("the owner revoked key {key} of the developer, which signed its code token");
    let report = node.report(0, Request::Inspect("pump".into()));
    assert_eq!((report.state_text.as_str(), report.end_text.as_str()), ("finalised", why.as_str()));
    assert_eq!(node.table().cells[0].grants, CellGrants::default(), "it has no rights any more");
    assert_eq!(node.report(0, Request::Inspect("valve".into())).state_text, "ready", "others go on");
    let report = node.report(0, Request::Inspect("done".into()));
    assert!(!report.end_text.contains("revoked"), "it had ended before: {}", report.end_text);
    for name in ["pump", "lamp", "done"] {
        for again in [Request::Start(name.into()), Request::Restart(name.into())] {
            let (code, detail) = node.refusal(0, again);
            assert_eq!(code, ErrorCode::NotSigned, "{detail}");
            assert!(detail.contains(&key.to_string()) && detail.contains(&format!("`{name}`")), "{detail}");
        }
    }
    let recorded = on_record(&mut node);
    let (changed, ended) = recorded.split_first().expect("on record");
    assert_eq!(changed.0, AuditKind::KeysChanged);
    assert!(changed.2.contains(&format!("revoked {key}")), "{changed:?}");
    let expected = ["pump", "lamp", "done"].map(|name| (AuditKind::Revoked, name.to_owned(), why.clone()));
    assert_eq!(ended, expected);
    // Once it is gone, its name is free for who is believed.
    node.ask(0, Request::Remove("pump".into())).expect("removed");
    assert_eq!(deploy(&mut node, "pump", &pump).expect_err("not by that key").0, ErrorCode::NotSigned);
    deploy(&mut node, "pump", &others.sign(&named("pump"), &[])).expect("by another's");
}

#[test]
fn what_does_not_stop_for_a_revocation_is_killed() {
    let parties = Parties::new();
    let mut node = parties.node();
    node.cells[0].script = Script::IgnoresStop;
    deploy(&mut node, "pump", &parties.sign(&manifest(&[]), &[])).expect("it runs");
    let answer = node.ask(0, revoke(&parties, &[&parties.integrator]));
    assert_eq!(answer, Ok(Answer::KeysChanged { stopped: vec!["pump".into()], barred: Vec::new() }));
    assert_eq!(node.report(0, Request::Inspect("pump".into())).state_text, "running", "it has its time");
    node.pass(2 * HOOK_NS);
    let report = node.report(0, Request::Inspect("pump".into()));
    assert_eq!(report.state_text, "failed");
    let key = parties.integrator.public().id();
    assert!(report.reason_text.contains(&format!("revoked key {key} of the integrator")), "{}", report.reason_text);
    assert_eq!(node.refusal(0, Request::Start("pump".into())).0, ErrorCode::NotSigned);
}

#[test]
fn what_waits_to_be_started_again_is_not() {
    let parties = Parties::new();
    let mut node = parties.node();
    let restart = Restart { policy: RestartPolicy::Always, first_back_off_ns: 5 * HOOK_NS, ..Restart::default() };
    let wasm = parties.sign(&Manifest { restart, ..manifest(&[]) }, &[]);
    deploy(&mut node, "pump", &wasm).expect("it runs");
    node.fault(0);
    assert_ne!(node.report(0, Request::Inspect("pump".into())).next_start_ns, 0, "its policy starts it again");
    let answer = node.ask(0, revoke(&parties, &[&parties.developer]));
    assert_eq!(answer, Ok(Answer::KeysChanged { stopped: vec!["pump".into()], barred: Vec::new() }));
    node.pass(20 * HOOK_NS);
    let report = node.report(0, Request::Inspect("pump".into()));
    assert_eq!((report.state_text.as_str(), report.next_start_ns, report.new_starts), ("failed", 0, 0));
}

#[test]
fn without_a_key_table_nothing_is_deployed() {
    let mut node = Node::with_keys(&policy(), true, &[0xff; 64]);
    node.greet(0);
    let (code, detail) = node.refusal(0, Request::Deploy(request("a", &reactor())));
    assert_eq!(code, ErrorCode::Internal);
    assert!(detail.contains("key table"), "{detail}");
    assert!(!node.info(0).runs_unsigned);
}
