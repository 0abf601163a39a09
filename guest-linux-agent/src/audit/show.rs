//! Entries of the audit log as a person or a script reads them.

use serde_json::{Value, json};
use shared_ring_messages::{AuditEntry, AuditKind, AuditSession, AuditUpload};

use super::Link;
use crate::{refusal, show::hexadecimal, terminal::printable};

/// What stands above the lines of [`text`].
pub(crate) const HEADER: &str =
    "NUMBER               TIME EVENT              CONTAINER        WHO          WHAT AND WHY\n";

/// Digits of a hash that a person is shown: enough to tell two modules apart.
const SHOWN_DIGITS: usize = 16;

/// An entry as one line, whatever it says.
pub(crate) fn text(link: &Link) -> String {
    let Some(entry) = AuditEntry::decode(&link.entry) else {
        return format!("{:>6} (an entry of a newer node; its hash is right)\n", link.number);
    };
    let (seconds, rest) = (entry.time_ns / 1_000_000_000, entry.time_ns % 1_000_000_000);
    let (event, container) = (event(&entry), or_dash(container(&entry)));
    let who = who(entry.session);
    let head = format!("{:>6} [{seconds:>9}.{:06}] {event:<18} {container:<16} {who:<12}", entry.number, rest / 1000);
    let line = format!("{head} {}", what(&entry));
    format!("{}\n", printable(&line).replace(['\n', '\t'], " ").trim_end())
}

/// An entry for a script. Field names are stable; times are nanoseconds since the node's start.
pub(crate) fn json(link: &Link) -> Value {
    let chained = json!({
        "number": link.number,
        "previous": hexadecimal(&link.previous),
        "entry": hexadecimal(&link.entry),
        "hash": hexadecimal(&link.hash),
    });
    let Some(entry) = AuditEntry::decode(&link.entry) else { return chained };
    let mut value = json!({
        "time_ns": entry.time_ns,
        "count": entry.count,
        "event": event(&entry),
        "kind": entry.kind,
        "container": entry.container,
        "cell": entry.cell,
        "load": entry.load,
        "session": entry.session.map(|session| json!({ "number": session.number, "port": session.port })),
        "code": entry.code.map(refusal::kind),
        "text": entry.text,
        "sha256": entry.sha256.map(|hash| hexadecimal(&hash)),
        "upload": entry.upload.as_ref().map(upload_json),
    });
    if let (Some(fields), Value::Object(chained)) = (value.as_object_mut(), chained) {
        fields.extend(chained);
    }
    value
}

fn upload_json(upload: &AuditUpload) -> Value {
    let signers = upload.signers.iter().map(|signer| json!({ "role": signer.role, "key": hexadecimal(&signer.key) }));
    json!({
        "manifest": upload.manifest,
        "version": upload.version,
        "rights": upload.rights,
        "unsigned": upload.unsigned,
        "signers": signers.collect::<Vec<_>>(),
    })
}

fn event(entry: &AuditEntry) -> String {
    AuditKind::of(entry.kind).map_or_else(|| format!("kind-{}", entry.kind), |kind| kind.text().to_owned())
}

fn container(entry: &AuditEntry) -> String {
    match (entry.container.as_str(), entry.cell) {
        ("", Some(cell)) => format!("(cell{cell})"),
        (name, _) => name.to_owned(),
    }
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

fn who(session: Option<AuditSession>) -> String {
    match session {
        None => "-".to_owned(),
        // It has not greeted.
        Some(AuditSession { number: 0, port }) => format!("port {port}"),
        Some(AuditSession { number, .. }) => format!("session {number}"),
    }
}

/// What it was, and why.
fn what(entry: &AuditEntry) -> String {
    let mut parts = Vec::new();
    if let Some(code) = entry.code {
        parts.push(if entry.text.is_empty() {
            refusal::kind(code).to_owned()
        } else {
            format!("{}: {}", refusal::kind(code), entry.text)
        });
    } else if !entry.text.is_empty() {
        parts.push(entry.text.clone());
    }
    if let Some(upload) = &entry.upload {
        parts.extend(upload_texts(upload));
    }
    if let Some(sha256) = entry.sha256 {
        parts.push(format!("sha256 {}…", &hexadecimal(&sha256)[..SHOWN_DIGITS]));
    }
    if entry.count > 1 {
        parts.push(format!("the last of {} alike", entry.count));
    }
    parts.join("; ")
}

fn upload_texts(upload: &AuditUpload) -> Vec<String> {
    let mut parts = Vec::new();
    if !upload.manifest.is_empty() {
        parts.push(format!("{} {}", upload.manifest, upload.version).trim_end().to_owned());
    }
    let rights = if upload.rights.is_empty() { "none".to_owned() } else { upload.rights.join(", ") };
    parts.push(format!("rights: {rights}"));
    let signer = |signer: &shared_ring_messages::AuditSigner| {
        let role = match signer.role {
            1 => "developer",
            2 => "provider",
            3 => "integrator",
            4 => "owner",
            _ => "somebody",
        };
        format!("{role} {}", hexadecimal(&signer.key))
    };
    if upload.unsigned {
        parts.push("unsigned".to_owned());
    }
    if !upload.signers.is_empty() {
        let signers: Vec<_> = upload.signers.iter().map(signer).collect();
        parts.push(format!("signed by {}", signers.join(", ")));
    }
    parts
}

#[cfg(test)]
mod tests {
    use shared_ring_messages::{AuditSigner, ErrorCode};

    use super::*;

    fn link(entry: &AuditEntry) -> Link {
        Link { number: entry.number, previous: [0; 32], hash: [0; 32], entry: entry.encode() }
    }

    fn entry() -> AuditEntry {
        AuditEntry {
            number: 7,
            time_ns: 12_345_678_900,
            count: 1,
            kind: AuditKind::Deployed.number(),
            container: "blinker".into(),
            cell: Some(0),
            load: 1,
            session: Some(AuditSession { number: 3, port: 0 }),
            code: None,
            text: String::new(),
            sha256: Some([0xab; 32]),
            upload: Some(AuditUpload {
                manifest: "blinker".into(),
                version: "1.0.0".into(),
                rights: vec!["gpio:LED:out".into(), "timer:10ms".into()],
                unsigned: false,
                signers: vec![AuditSigner { role: 4, key: [1; 8] }],
            }),
        }
    }

    #[test]
    fn an_upload_is_told_with_all_that_it_may() {
        assert_eq!(
            text(&link(&entry())),
            "     7 [       12.345678] deployed           blinker          session 3    blinker 1.0.0; rights: gpio:LED:out, \
             timer:10ms; signed by owner 0101010101010101; sha256 abababababababab…\n"
        );
    }

    #[test]
    fn an_entry_is_one_line_whatever_it_says() {
        let hostile = AuditEntry {
            kind: AuditKind::UploadRefused.number(),
            container: "a\nb\u{1b}[2J".into(),
            code: Some(ErrorCode::InvalidName),
            text: "no\n\tname".into(),
            count: 9,
            upload: None,
            ..entry()
        };
        let line = text(&link(&hostile));
        assert!(line.ends_with("invalid-name: no  name; sha256 abababababababab…; the last of 9 alike\n"), "{line}");
        assert!(!line.trim_end().contains(['\n', '\t', '\u{1b}']), "{line}");
    }

    #[test]
    fn what_a_newer_node_says_is_told_as_far_as_it_is_known() {
        let newer = AuditEntry { kind: 1000, container: String::new(), ..entry() };
        assert!(text(&link(&newer)).contains("kind-1000          (cell0)"));
        let mut unreadable = link(&entry());
        unreadable.entry.truncate(5);
        assert!(text(&unreadable).contains("newer node"));
        assert_eq!(json(&unreadable)["entry"], hexadecimal(&unreadable.entry));
        assert_eq!(json(&link(&newer))["event"], "kind-1000");
    }
}
