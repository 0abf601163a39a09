//! The audit log as a person, a script and a file have it; and answers and files that somebody changed.

use std::{fs, path::PathBuf, sync::Arc};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use shared_ring_messages::{
    Answer, AuditEntry, AuditHash, AuditKind, AuditPage, AuditRecord, FIRST_AUDIT_HASH, FromAgent, FromNode,
    PROTOCOL_MAJOR, Request,
};
use tempfile::TempDir;

use crate::{
    emit::{Output, emit},
    eventually,
    fake::Fake,
    node::TestNode,
    sample,
};

const ENTRY: [&str; 16] = [
    "cell",
    "code",
    "container",
    "count",
    "entry",
    "event",
    "hash",
    "kind",
    "load",
    "number",
    "previous",
    "session",
    "sha256",
    "text",
    "time_ns",
    "upload",
];

/// What `emit audit` tells a script; the chain was verified by it.
fn entries(node: &TestNode) -> Vec<Value> {
    let output = node.emit(&["--format", "json", "audit"]);
    output.succeeds();
    let all = output.json_lines();
    all.into_iter().filter(|entry| entry.get("number").is_some()).collect()
}

fn of_kind<'a>(entries: &'a [Value], event: &str) -> Vec<&'a Value> {
    entries.iter().filter(|entry| entry["event"] == event).collect()
}

#[test]
fn who_did_what_and_what_was_refused_is_told() {
    let node = TestNode::start();
    let blinker = sample("blinker");
    node.emit(&["deploy", &blinker, "--grant", "gpio:LED:out"]).succeeds();
    node.emit(&["deploy", &blinker, "--name", "other", "--grant", "gpio:NOPE:out"]).fails(7, &["gpio:NOPE:out"]);
    // The sample opens a line that it was not granted.
    node.emit(&["deploy", &sample("button")]).fails(7, &["not granted"]);
    node.emit(&["kill", "blinker"]).succeeds();
    node.emit(&["rm", "blinker"]).succeeds();
    node.emit(&["stop", "blinker"]).fails(8, &["no container"]);

    let all = entries(&node);
    for (number, entry) in all.iter().enumerate() {
        let fields: Vec<_> = entry.as_object().expect("an object").keys().collect();
        assert_eq!(fields, ENTRY);
        assert_eq!(entry["number"], number);
    }
    assert_eq!((&all[0]["event"], &all[0]["kind"]), (&json!("boot"), &json!(1)));
    assert_eq!(all[0]["sha256"].as_str().map(str::len), Some(64), "the policy's");
    let deployed = of_kind(&all, "deployed");
    let of_file = Sha256::digest(fs::read(&blinker).expect("a sample"));
    let of_file: String = of_file.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((&deployed[0]["container"], &deployed[0]["sha256"]), (&json!("blinker"), &json!(of_file)));
    assert_eq!(
        deployed[0]["upload"]["rights"],
        json!(["gpio:LED:out@10000/s", "log:5000/s", "memory:4MiB", "module:2MiB", "node", "timer:10ms:7"])
    );
    assert_eq!(deployed[0]["upload"]["unsigned"], true);
    let refused = of_kind(&all, "upload-refused");
    assert_eq!((&refused[0]["code"], &refused[0]["container"]), (&json!("not-allowed"), &json!("other")));
    assert_eq!((&refused[1]["code"], &refused[1]["container"]), (&json!("load-failed"), &json!("button")));
    let calls = of_kind(&all, "call-refused");
    assert_eq!(calls.len(), 1, "{calls:?}");
    assert_eq!((&calls[0]["container"], &calls[0]["session"]), (&json!("button"), &Value::Null));
    assert!(calls[0]["text"].as_str().is_some_and(|text| text.starts_with("gpio refused")), "{calls:?}");
    for event in ["killed", "removed", "request-refused"] {
        let found = of_kind(&all, event);
        assert_eq!((found.len(), &found[0]["container"]), (1, &json!("blinker")), "{event}");
        assert!(found[0]["session"]["number"].as_u64() > deployed[0]["session"]["number"].as_u64());
    }

    let table = node.emit(&["audit"]).succeeds();
    let lines: Vec<_> = table.lines().collect();
    assert!(lines[0].starts_with("NUMBER") && lines[1].contains(" boot "), "{table}");
    let line = lines.iter().find(|line| line.contains("upload-refused")).expect("told");
    assert!(line.contains("other") && line.contains("session ") && line.contains("not-allowed: `gpio:NOPE:out`"));
    let last = all.last().expect("some")["number"].as_u64().expect("a number");
    let since = node.emit(&["audit", "--since", &last.to_string()]).succeeds();
    assert!(since.lines().nth(1).is_some_and(|line| line.trim_start().starts_with(&format!("{last} "))), "{since}");
    let verified = node.emit(&["audit", "--verify"]).succeeds();
    assert!(verified.starts_with("whole from entry 0 to "), "{verified}");
    let verified = node.ask(&["audit", "--verify", "--since", "3"]);
    assert_eq!((&verified["whole"], &verified["first"], &verified["lost"]), (&json!(true), &json!(3), &json!(0)));
}

#[test]
fn a_follower_sees_what_comes() {
    let node = TestNode::start();
    let follower = node.start_emit(&["audit", "-f"]);
    eventually("the log", || follower.so_far().contains(" boot "));
    node.emit(&["kill", "nobody"]).fails(8, &[]);
    eventually("what came", || follower.so_far().contains("request-refused    nobody"));
}

#[test]
fn a_flood_of_refusals_pushes_out_nothing() {
    let node = TestNode::start();
    node.emit(&["deploy", &sample("blinker"), "--name", "mine", "--grant", "gpio:LED:out"]).succeeds();
    for number in 0..40 {
        node.emit(&["kill", &format!("nobody-{number}")]).fails(8, &[]);
    }
    let all = entries(&node);
    assert_eq!(of_kind(&all, "deployed")[0]["container"], "mine");
    assert_eq!(of_kind(&all, "request-refused").len(), 8, "eight one by one");
    let output = node.emit(&["audit"]);
    output.succeeds();
    assert!(output.stderr.contains("counted and not written yet"), "the rest is told: {output:?}");
}

struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("UTF-8").to_owned()
    }
}

#[test]
fn a_file_goes_on_where_it_ends_and_outlives_the_node() {
    let (node, files) = (TestNode::start(), Files::new());
    let file = files.text("audit.jsonl");
    let saved = node.emit(&["audit", "--save", &file]).succeeds();
    assert!(saved.starts_with("whole from entry 0 to ") && saved.contains("added to the file"), "{saved}");
    let before = fs::read_to_string(&file).expect("written");
    node.emit(&["kill", "nobody"]).fails(8, &[]);
    let saved = node.ask(&["audit", "--save", &file]);
    let after = fs::read_to_string(&file).expect("written");
    assert!(after.starts_with(&before), "what is in it stays");
    let lines = after.lines().count();
    assert_eq!(saved["added"], lines - before.lines().count());
    assert_eq!((&saved["first"], &saved["last"]), (&json!(0), &json!(lines - 1)));
    node.emit(&["audit", "--save", &file, "--since", "1"]).fails(2, &["leave out `--since`"]);
    drop(node);

    // Without a node.
    let nowhere = files.path("no-node");
    let shown = emit(&nowhere, &["audit", "--file", &file]).succeeds();
    assert_eq!(shown.lines().count(), 1 + lines);
    assert!(shown.contains("request-refused    nobody"), "{shown}");
    let verified = emit(&nowhere, &["audit", "--file", &file, "--verify"]).succeeds();
    assert_eq!(verified, format!("whole from entry 0 to {}\n", lines - 1));
    let some = emit(&nowhere, &["audit", "--file", &file, "--since", "2", "--format", "json"]);
    assert_eq!(some.json_lines().len(), lines - 2);

    // Another start of a node has another log.
    let other = TestNode::start();
    let refused = other.emit(&["audit", "--save", &file]);
    refused.fails(11, &["entry"]);
    assert_eq!(fs::read_to_string(&file).expect("there"), after);
}

#[test]
fn a_file_that_was_changed_is_found_out() {
    let (node, files) = (TestNode::start(), Files::new());
    let file = files.text("audit.jsonl");
    for _ in 0..4 {
        node.emit(&["kill", "nobody"]).fails(8, &[]);
    }
    node.emit(&["audit", "--save", &file]).succeeds();
    let whole = fs::read_to_string(&file).expect("written");
    let lines: Vec<_> = whole.lines().collect();
    assert!(lines.len() > 8);
    let found_out = |lines: &[&str], words: &[&str]| {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        fs::write(&file, &text).expect("written");
        for arguments in
            [&["audit", "--verify", "--file", &file][..], &["audit", "--file", &file], &["audit", "--save", &file]]
        {
            node.emit(arguments).fails(11, words);
        }
        assert_eq!(fs::read_to_string(&file).expect("there"), text, "nothing was added");
    };
    for index in 1..lines.len() - 1 {
        let mut less = lines.clone();
        less.remove(index);
        found_out(&less, &[&format!("entry {index} is missing")]);
    }
    let digit = lines[3].find("\"entry\":\"").expect("there") + 40;
    let other = if &lines[3][digit..=digit] == "0" { "1" } else { "0" };
    let changed = format!("{}{other}{}", &lines[3][..digit], &lines[3][digit + 1..]);
    let mut with_changed = lines.clone();
    with_changed[3] = &changed;
    found_out(&with_changed, &["the chain breaks at entry 3"]);
    let mut swapped = lines.clone();
    swapped.swap(4, 5);
    found_out(&swapped, &["entry 4"]);
    let mut cut_off = lines.clone();
    let last = lines[lines.len() - 1];
    cut_off[lines.len() - 1] = &last[..last.len() / 2];
    found_out(&cut_off, &["line", "is no entry", "hint: "]);
}

/// A log of a false node.
fn log(entries: u64, text: &str) -> Vec<AuditRecord> {
    let mut previous = FIRST_AUDIT_HASH;
    let mut records = Vec::new();
    for number in 0..entries {
        let entry = AuditEntry {
            number,
            time_ns: number,
            count: 1,
            kind: AuditKind::Killed.number(),
            container: text.to_owned(),
            cell: None,
            load: 0,
            session: None,
            code: None,
            text: text.to_owned(),
            sha256: None,
            upload: None,
        };
        let entry = entry.encode();
        let hash: AuditHash = Sha256::digest([&previous[..], &entry].concat()).into();
        records.push(AuditRecord { entry, hash });
        previous = hash;
    }
    records
}

/// Tells a log that begins with that entry, four on a page, after `change` was at each page.
fn telling(
    records: Vec<AuditRecord>,
    kept: usize,
    change: impl Fn(u64, &mut AuditPage) + Clone + Send + Sync + 'static,
) -> Fake {
    let records = Arc::new(records);
    Fake::answering(move |request| {
        let Request::Audit { cursor } = request else { return None };
        let end = records.len();
        let first = usize::try_from(*cursor).unwrap_or(end).clamp(kept, end);
        let next = (first + 4).min(end);
        let hash_before = |place: usize| place.checked_sub(1).map_or(FIRST_AUDIT_HASH, |before| records[before].hash);
        let mut page = AuditPage {
            previous: hash_before(first),
            records: records[first..next].to_vec(),
            next: next as u64,
            lost: (kept as u64).saturating_sub(*cursor),
            end: end as u64,
            head: hash_before(end),
            held: 0,
        };
        change(*cursor, &mut page);
        Some(Ok(Answer::Audit(page.into())))
    })
}

fn ask(fake: &Fake, arguments: &[&str]) -> Output {
    emit(&fake.socket(), arguments)
}

#[test]
fn a_changed_answer_is_found_out() {
    let honest = telling(log(10, "a"), 0, |_, _| {});
    assert_eq!(ask(&honest, &["audit", "--verify"]).succeeds(), "whole from entry 0 to 9\n");
    type Change = fn(u64, &mut AuditPage);
    let changes: [(&str, Change, &str); 11] = [
        ("a byte of an entry", |cursor, page| page.records[1].entry[3] ^= u8::from(cursor == 4), "breaks at entry 5"),
        ("a hash", |cursor, page| page.records[1].hash[0] ^= u8::from(cursor == 4), "breaks at entry 5"),
        (
            "an entry with its hash, and not those behind it",
            |cursor, page| {
                if cursor == 4 {
                    page.records[1] = log(10, "b").swap_remove(5);
                }
            },
            "breaks at entry 5",
        ),
        (
            "all of a page, with its hashes",
            |cursor, page| {
                if cursor == 4 {
                    let other = log(10, "b");
                    page.previous = other[3].hash;
                    page.records = other[4..8].to_vec();
                }
            },
            "before entry 4",
        ),
        (
            "an entry that is left out",
            |cursor, page| drop((cursor == 4).then(|| page.records.remove(1))),
            "breaks at entry 5",
        ),
        (
            "one that is left out and counted",
            |cursor, page| {
                if cursor == 4 {
                    page.records.remove(3);
                    page.next -= 1;
                }
                if cursor == 7 {
                    page.records.remove(0);
                }
            },
            "breaks at entry 7",
        ),
        ("two in another order", |cursor, page| page.records.swap(0, usize::from(cursor == 4)), "breaks at entry 4"),
        ("the newest hash", |_, page| page.head[31] ^= 1, "behind entry 9"),
        (
            "the end that is not told",
            |_, page| {
                page.records.truncate(2);
                (page.next, page.end) = (2, 2);
            },
            "behind entry 1",
        ),
        (
            "a page of nothing",
            |cursor, page| {
                if cursor == 4 {
                    page.records.clear()
                }
            },
            "does not hold the entries",
        ),
        ("a number that wraps", |_, page| page.lost = u64::MAX, "entry"),
    ];
    for (what, change, words) in changes {
        let fake = telling(log(10, "a"), 0, change);
        for arguments in [&["audit", "--verify"][..], &["audit"]] {
            ask(&fake, arguments).fails_after_output(11, &[words]);
        }
        let error = ask(&fake, &["audit", "--verify", "--format", "json"]);
        assert_eq!((error.code, &error.json()["kind"]), (Some(11), &json!("audit-broken")), "{what}: {error:?}");
    }
}

#[test]
fn a_log_written_anew_is_found_out_by_who_saved_it() {
    let files = Files::new();
    let file = files.text("audit.jsonl");
    ask(&telling(log(6, "what was"), 0, |_, _| {}), &["audit", "--save", &file]).succeeds();
    // Whole in itself, and as long as it should be.
    let anew = telling(log(10, "what was not"), 0, |_, _| {});
    assert_eq!(ask(&anew, &["audit", "--verify"]).succeeds(), "whole from entry 0 to 9\n");
    ask(&anew, &["audit", "--save", &file]).fails(11, &["the chain breaks before entry 6", "hint: "]);
    let shorter = telling(log(3, "what was"), 0, |_, _| {});
    ask(&shorter, &["audit", "--save", &file]).fails(11, &["has 3 entries", "entry 6 was due"]);
    assert_eq!(fs::read_to_string(&file).expect("there").lines().count(), 6);
}

#[test]
fn what_was_dropped_is_told_and_no_file_has_a_gap() {
    let files = Files::new();
    let file = files.text("audit.jsonl");
    let fake = telling(log(20, "a"), 12, |_, _| {});
    let verified = ask(&fake, &["audit", "--verify"]).succeeds();
    assert_eq!(verified, "whole from entry 12 to 19; 12 before them were dropped\n");
    let output = ask(&fake, &["audit"]);
    assert_eq!(output.succeeds().lines().count(), 9);
    assert!(output.stderr.contains("12 entries were dropped before these"), "{output:?}");
    ask(&telling(log(6, "a"), 0, |_, _| {}), &["audit", "--save", &file]).succeeds();
    let before = fs::read_to_string(&file).expect("written");
    ask(&fake, &["audit", "--save", &file]).fails(11, &["the entries 6 to 11 are missing", "hint: save more often"]);
    assert_eq!(fs::read_to_string(&file).expect("there"), before);
    let other = files.text("other.jsonl");
    let saved = ask(&fake, &["audit", "--save", &other]).succeeds();
    assert!(saved.starts_with("whole from entry 12 to 19;"), "{saved}");
    let verified = ask(&fake, &["audit", "--file", &other, "--verify"]).succeeds();
    assert_eq!(verified, "whole from entry 12 to 19\n");
}

#[test]
fn a_nodes_words_cannot_steer_the_terminal() {
    let fake = telling(log(3, "\u{1b}[2J\nname"), 0, |_, _| {});
    let text = ask(&fake, &["audit"]).succeeds();
    assert!(text.contains("name") && !text.contains('\u{1b}'), "{text}");
    assert_eq!(text.lines().count(), 4);
}

#[test]
fn an_older_node_has_no_log() {
    let fake = Fake::start(|mut connection| {
        while let Some(FromAgent::Hello { .. }) = connection.receive() {
            connection.send(&FromNode::Welcome { major: PROTOCOL_MAJOR, minor: 0 });
        }
    });
    ask(&fake, &["audit"]).fails(4, &["keeps no audit log"]);
}
