//! `emit verify`: who signed what, whether a node would believe it, and which rights come of it.

use std::path::Path;

use runner_tokens::{Claims, Refusal, TokenKind};
use serde_json::{Value, json};

use super::{Context, print};
use crate::{
    arguments::Verify,
    exit::Failure,
    kit::{
        keys::directory,
        policy::BoardRules,
        trust::{KnownKeys, now, when},
        verification::{Finding, Refused, Report, look, look_at_update},
    },
    module,
    session::{Error, Result},
    show,
};

/// How a module or a component begins; a token begins otherwise.
const WASM: &[u8] = b"\0asm";

/// So much clocks may differ, in seconds, before a date is called one of the future.
const CLOCKS_DIFFER_S: u64 = 24 * 60 * 60;

pub(super) fn verify(context: &Context, arguments: &Verify) -> Result<u8> {
    let directory = directory(&arguments.place)?;
    if arguments.place.directory.is_some() && !directory.path().is_dir() {
        let message = format!("there is no directory of keys {}", directory.path().display());
        return Err(Error::new(Failure::File, message));
    }
    let known = KnownKeys::read(&directory)?;
    let rules = arguments.policy.as_deref().map(BoardRules::read).transpose()?;
    let board = arguments.board.clone().or_else(|| rules.as_ref().map(|rules| rules.board().to_owned()));
    let bytes = module::read_file(&arguments.file)?;
    if !bytes.starts_with(WASM) {
        return update(context, &arguments.file, &bytes, board.as_deref(), &known);
    }
    // A container that somebody signed is looked at byte for byte, any other as it would be sent.
    let bytes = module::read(&arguments.file)?.bytes;
    let report = look(&bytes, board, rules.as_ref(), &known);
    let has_policy = rules.is_some();
    print(
        context,
        &report_json(&arguments.file, &report, &known),
        &report_text(&arguments.file, &report, &known, has_policy),
    )?;
    Ok(if report.refusal.is_none() { 0 } else { Failure::ContainerRefused.code() })
}

fn refusal_json(rule: &str, message: &dyn std::fmt::Display) -> Value {
    json!({ "rule": rule, "message": message.to_string() })
}

fn finding_json(finding: &Finding, known: &KnownKeys) -> Value {
    let Finding { kind, token, verdict } = finding;
    let claims = token.as_ref().map(|token| &token.claims);
    let key = token.as_ref().map(|token| token.key);
    json!({
        "token": kind.name(),
        "role": kind.role().name(),
        "present": !matches!(verdict, Err(Refusal::MissingToken(_) | Refusal::FilesWithoutToken)),
        "key": key.map(|key| key.to_string()),
        "key_name": key.and_then(|key| known.name(key)),
        "name": claims.map(|claims| claims.subject.as_str()),
        "issued": claims.map(|claims| claims.issued),
        "expires": claims.and_then(|claims| claims.expires),
        "sequence": claims.map(|claims| claims.sequence),
        "board": claims.and_then(|claims| claims.audience.as_deref()),
        "holds": verdict.is_ok(),
        "refusal": verdict.as_ref().err().map(|refusal| refusal_json(refusal.rule(), refusal)),
    })
}

fn report_json(file: &Path, report: &Report, known: &KnownKeys) -> Value {
    let outcomes: Vec<Value> = report
        .outcomes
        .iter()
        .map(|outcome| {
            json!({
                "right": outcome.right,
                "result": outcome.result,
                "why": outcome.why.name(),
                "words": outcome.why.words(),
            })
        })
        .collect();
    json!({
        "file": file.display().to_string(),
        "name": report.name,
        "board": report.board,
        "signed": report.signed,
        "accepted": report.refusal.is_none(),
        "refusal": report.refusal.as_ref().map(|refused| refusal_json(refused.rule(), refused)),
        "tokens": report.findings.iter().map(|finding| finding_json(finding, known)).collect::<Vec<_>>(),
        "rights": outcomes,
        "effective": report.effective,
    })
}

fn tokens_text(findings: &[Finding], known: &KnownKeys) -> String {
    let header = ["TOKEN", "ROLE", "SIGNED BY", "SINCE", "UNTIL", "SEQUENCE", "VERDICT"].map(str::to_owned);
    let rows = findings.iter().map(|Finding { kind, token, verdict }| {
        let dash = || "-".to_owned();
        let verdict = match verdict {
            Ok(()) => "holds".to_owned(),
            Err(Refusal::MissingToken(_) | Refusal::FilesWithoutToken) => "is not there".to_owned(),
            Err(refusal) => refusal.rule().to_owned(),
        };
        let claims = |show: fn(&Claims) -> String| token.as_ref().map_or_else(dash, |token| show(&token.claims));
        [
            kind.name().to_owned(),
            kind.role().to_string(),
            token.as_ref().map_or_else(dash, |token| known.words(token.key)),
            claims(|claims| when(claims.issued)),
            claims(|claims| claims.expires.map_or_else(|| "no end".to_owned(), when)),
            claims(|claims| claims.sequence.to_string()),
            verdict,
        ]
    });
    show::table(&std::iter::once(header).chain(rows).collect::<Vec<_>>())
}

/// A node learns the time from what owners sign: one of theirs that is dated ahead would end others' tokens early.
fn ahead_text(findings: &[Finding], now: u64) -> String {
    let grants = findings.iter().filter(|finding| finding.kind == TokenKind::Grant);
    let issued = grants.filter_map(|finding| Some(finding.token.as_ref()?.claims.issued));
    let ahead = issued.filter(|issued| *issued > now.saturating_add(CLOCKS_DIFFER_S)).max();
    ahead.map_or_else(String::new, |issued| {
        format!(
            "The grant token is dated {}, and it is {} by this machine's clock. A node that takes it knows of no earlier time \
             until its next start, and refuses what expires before.\n",
            when(issued),
            when(now)
        )
    })
}

fn rights_text(report: &Report, has_policy: bool) -> String {
    let mut text = String::new();
    if !report.outcomes.is_empty() {
        let header = ["RIGHT", "RESULT", "WHY"].map(str::to_owned);
        let rows = report.outcomes.iter().map(|outcome| {
            let result = if outcome.result.is_empty() { "-".to_owned() } else { outcome.result.join(", ") };
            [outcome.right.clone(), result, outcome.why.words().to_owned()]
        });
        text.push('\n');
        text.push_str(&show::table(&std::iter::once(header).chain(rows).collect::<Vec<_>>()));
        if !has_policy {
            text.push_str("Whether the board allows them, --policy FILE tells.\n");
        }
    }
    text
}

fn report_text(file: &Path, report: &Report, known: &KnownKeys, has_policy: bool) -> String {
    let file = file.display();
    let board = report.board.as_ref().map_or_else(String::new, |board| format!(" of the board {board}"));
    let mut text = String::new();
    if report.signed && !report.findings.is_empty() {
        text.push_str(&tokens_text(&report.findings, known));
        text.push_str(&ahead_text(&report.findings, now()));
    }
    text.push_str(&rights_text(report, has_policy));
    if !text.is_empty() {
        text.push('\n');
    }
    match &report.refusal {
        None if report.signed => text.push_str(&format!("{file}: a node{board} with these keys would take it\n")),
        None => text.push_str(&format!("{file}: nobody signed it, and the policy lets such containers run\n")),
        Some(refusal) => {
            text.push_str(&format!(
                "{file}: a node{board} with these keys would refuse it [{}]: {refusal}\n",
                refusal.rule()
            ));
            if let Refused::Token(refusal) = refusal {
                text.push_str(remedy(refusal));
            }
        }
    }
    text
}

/// What to do, where the rule itself does not say it.
fn remedy(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::MissingToken(TokenKind::Code) => "  the developer signs with `emit sign --as developer`\n",
        Refusal::MissingToken(TokenKind::Metadata) => "  the integrator signs with `emit sign --as integrator`\n",
        Refusal::MissingToken(TokenKind::Grant) => "  the owner signs with `emit sign --as owner`\n",
        Refusal::FilesWithoutToken => "  the provider signs with `emit sign --as provider`\n",
        Refusal::UnknownKey { .. } => {
            "  put the public key (NAME.pub) into the directory of keys, if it is whom you believe\n"
        }
        Refusal::NoManifest => "  `emit pack` puts app.toml into it; then it is signed\n",
        Refusal::OtherCode(_) | Refusal::OtherFiles(_) | Refusal::OtherManifest(_) => {
            "  it was changed after it was signed: who changed it has it signed again\n"
        }
        _ => "",
    }
}

/// A change of keys, which stands alone in a file.
fn update(context: &Context, file: &Path, bytes: &[u8], board: Option<&str>, known: &KnownKeys) -> Result<u8> {
    let token = runner_tokens::Token::decode(TokenKind::Keys, bytes).map_err(|refusal| {
        let message = format!("{} is neither a container nor a change of keys: {refusal}", file.display());
        Error { kind: refusal.rule(), ..Error::new(Failure::ContainerRefused, message) }
    })?;
    let board = board.or(token.claims.audience.as_deref()).unwrap_or_default();
    let verdict = look_at_update(bytes, board, known);
    let (value, mut text) = super::keys::own::update_words(file, &token, verdict.as_ref().err(), known);
    if verdict.is_ok() {
        text.push_str("a node with these keys would carry it out\n");
    }
    print(context, &value, &text)?;
    Ok(if verdict.is_ok() { 0 } else { Failure::ContainerRefused.code() })
}

#[cfg(test)]
mod tests {
    use runner_tokens::{Body, KeyId, Token};

    use super::*;

    #[test]
    fn an_owners_date_of_the_future_is_pointed_out() {
        const NOW: u64 = 1_800_000_000;
        let finding = |kind, issued| {
            let body = match kind {
                TokenKind::Grant => Body::Grant { integrator: KeyId([0; 8]), rights: Vec::new() },
                _ => Body::Code { code: [0; 32] },
            };
            let claims = Claims { subject: "a".into(), audience: None, expires: None, issued, sequence: 1, body };
            Finding { kind, token: Some(Token { key: KeyId([0; 8]), claims }), verdict: Ok(()) }
        };
        let far = NOW + 10 * 365 * 24 * 3600;
        assert_eq!(ahead_text(&[finding(TokenKind::Grant, NOW + 3600)], NOW), "", "clocks differ");
        assert_eq!(ahead_text(&[finding(TokenKind::Code, far)], NOW), "", "a developer tells nobody the time");
        let text = ahead_text(&[finding(TokenKind::Code, NOW), finding(TokenKind::Grant, far)], NOW);
        assert!(text.starts_with("The grant token is dated 2037-01-12"), "{text}");
    }
}
