//! Verifying: what a node would say of a container's signatures, and which rights would come of them.
//!
//! The rules are the node's own (`runner-tokens`); the keys are the person's, which need not be the node's. A node's earlier
//! containers and its clock are not known here: a sequence that it would find too old, this cannot find.

use std::fmt;

use runner_container::rights::{Right, Rights};
use runner_tokens::{
    Accepted, Body, KeyTable, Ledger, Refusal, SignedParts, Token, TokenKind, Update, check, is_signed, layout, verify,
    verify_update,
};

use super::{policy::BoardRules, trust::KnownKeys};

/// What was found about one kind of token.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) kind: TokenKind,
    /// None where it is not there, or cannot be read.
    pub(crate) token: Option<Token>,
    pub(crate) verdict: Result<(), Refusal>,
}

/// One right, and what comes of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// As it was asked for or granted.
    pub(crate) right: String,
    /// What the container has of it.
    pub(crate) result: Vec<String>,
    /// Why it is no more than that.
    pub(crate) why: Why,
}

/// Why a right is what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// Nobody takes anything of it.
    Whole,
    /// The container does not ask for it.
    NotAsked,
    /// The owner does not grant it.
    NotGranted,
    /// The owner grants less.
    Narrowed,
    /// The board's policy forbids it, which forbids the container: why, in the node's words.
    NotInPolicy(String),
}

impl Why {
    /// For a script; stable.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::NotAsked => "not-asked",
            Self::NotGranted => "not-granted",
            Self::Narrowed => "narrowed-by-grant",
            Self::NotInPolicy(_) => "not-in-policy",
        }
    }

    /// For a person.
    pub(crate) fn words(&self) -> &str {
        match self {
            Self::Whole => "",
            Self::NotAsked => "the container does not ask for it",
            Self::NotGranted => "the owner does not grant it",
            Self::Narrowed => "the owner grants no more",
            Self::NotInPolicy(why) => why,
        }
    }
}

/// Why a node would not take a container.
#[derive(Debug)]
pub(crate) enum Refused {
    /// By a rule of tokens.
    Token(Refusal),
    /// By the board's policy, in the node's words.
    Policy(String),
}

impl Refused {
    /// The rule's name; stable.
    pub(crate) const fn rule(&self) -> &'static str {
        match self {
            Self::Token(refusal) => refusal.rule(),
            // As a node's refusal of such rights is called (`refusal`).
            Self::Policy(_) => "not-allowed",
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(refusal) => refusal.fmt(formatter),
            Self::Policy(why) => formatter.write_str(why),
        }
    }
}

/// A container that was looked at.
#[derive(Debug)]
pub(crate) struct Report {
    /// None where the container's pieces cannot be found.
    pub(crate) name: Option<String>,
    /// None stands for: whatever board the tokens are for.
    pub(crate) board: Option<String>,
    pub(crate) signed: bool,
    pub(crate) findings: Vec<Finding>,
    pub(crate) outcomes: Vec<Outcome>,
    /// Why a node would not take it.
    pub(crate) refusal: Option<Refused>,
    /// The rights that it would have.
    pub(crate) effective: Vec<String>,
}

/// Looks at a container, for that board (any, where none is named) and that policy.
pub(crate) fn look(wasm: &[u8], board: Option<String>, rules: Option<&BoardRules>, known: &KnownKeys) -> Report {
    let signed = is_signed(wasm).unwrap_or(false);
    let mut report = Report {
        name: None,
        board,
        signed,
        findings: Vec::new(),
        outcomes: Vec::new(),
        refusal: None,
        effective: Vec::new(),
    };
    let parts = match layout(wasm) {
        Ok(parts) => parts,
        Err(refusal) => {
            report.refusal = Some(Refused::Token(refusal));
            return report;
        }
    };
    report.board = report.board.or_else(|| audience(&parts));
    let board = report.board.as_deref().unwrap_or_default();
    let (table, ledger) = (&known.table, known.ledger());
    report.findings = TokenKind::IN_CONTAINER
        .into_iter()
        .filter(|kind| *kind != TokenKind::Data || parts.files.is_some() || parts.token(*kind).is_some())
        .map(|kind| finding(&parts, kind, board, table, &ledger))
        .collect();
    if signed || !rules.is_some_and(BoardRules::allows_unsigned) {
        report.refusal = verify(wasm, board, table, &ledger).err().map(Refused::Token);
    }
    let asked = &parts.declared.grants;
    let granted = granted(&report.findings, signed);
    report.outcomes = outcomes(asked, granted.as_ref(), rules);
    match (rules, &report.refusal) {
        (_, Some(_)) => {}
        (None, None) => report.effective = results(&report.outcomes),
        (Some(rules), None) => match rules.rights(asked, &granted.map_or_else(|| asked.clone(), |set| set.texts())) {
            Ok(rights) => report.effective = rights,
            Err(why) => report.refusal = Some(Refused::Policy(why)),
        },
    }
    report.name = Some(parts.declared.name);
    report
}

fn results(outcomes: &[Outcome]) -> Vec<String> {
    outcomes.iter().flat_map(|outcome| outcome.result.iter().cloned()).collect()
}

/// The board that the tokens name.
fn audience(parts: &SignedParts<'_>) -> Option<String> {
    let tokens = TokenKind::IN_CONTAINER.into_iter().filter_map(|kind| Token::decode(kind, parts.token(kind)?).ok());
    tokens.filter_map(|token| token.claims.audience).next()
}

fn finding(parts: &SignedParts<'_>, kind: TokenKind, board: &str, table: &KeyTable, ledger: &Ledger) -> Finding {
    let token = parts.token(kind).and_then(|token| Token::decode(kind, token).ok());
    let verdict = match check(parts, kind, board, table, ledger) {
        Ok(Accepted { .. }) => Ok(()),
        Err(refusal) => Err(refusal),
    };
    Finding { kind, token, verdict }
}

/// What the owner grants; none where nobody asks an owner.
fn granted(findings: &[Finding], signed: bool) -> Option<Rights> {
    let grant = findings.iter().find(|finding| finding.kind == TokenKind::Grant);
    match grant.and_then(|finding| finding.token.as_ref()).map(|token| &token.claims.body) {
        Some(Body::Grant { rights, .. }) => Some(Rights::of(rights).unwrap_or_default()),
        _ if signed => Some(Rights::default()),
        _ => None,
    }
}

/// What comes of each right that is asked for or granted.
fn outcomes(asked: &[String], granted: Option<&Rights>, rules: Option<&BoardRules>) -> Vec<Outcome> {
    // A text that is no right is refused by the node when it reads the manifest; nothing comes of it.
    let asked: Vec<Right> = asked.iter().filter_map(|text| Right::parse(text).ok()).collect();
    let mut all = Rights::default();
    for right in &asked {
        let _ = all.add(right.clone());
    }
    let is_asked = |right: &Right| all.intersection(&only(right)) != Rights::default();
    let more = granted.map(Rights::rights).unwrap_or_default().into_iter().filter(|right| !is_asked(right));
    let more = more.map(|right| match right {
        // A limit holds whoever states it.
        Right::CpuShare(_) | Right::Priority(_) => {
            Outcome { right: right.to_string(), result: vec![right.to_string()], why: Why::Whole }
        }
        _ => Outcome { right: right.to_string(), result: Vec::new(), why: Why::NotAsked },
    });
    let mut outcomes: Vec<_> = asked.iter().map(|right| outcome(right, granted)).chain(more).collect();
    for outcome in &mut outcomes {
        if let Some(why) = rules.and_then(|rules| rules.forbids(&outcome.right)) {
            (outcome.result, outcome.why) = (Vec::new(), Why::NotInPolicy(why));
        }
    }
    outcomes
}

fn only(right: &Right) -> Rights {
    let mut rights = Rights::default();
    // The first of a set contradicts nothing.
    let _ = rights.add(right.clone());
    rights
}

fn outcome(right: &Right, granted: Option<&Rights>) -> Outcome {
    let asked = only(right);
    let both = granted.map_or_else(|| asked.clone(), |granted| asked.intersection(&granted.limited_as(&asked)));
    let why = if both == asked {
        Why::Whole
    } else if both == Rights::default() {
        Why::NotGranted
    } else {
        Why::Narrowed
    };
    Outcome { right: right.to_string(), result: both.texts(), why }
}

/// Looks at a change of keys.
pub(crate) fn look_at_update(token: &[u8], board: &str, known: &KnownKeys) -> Result<Update, Refusal> {
    verify_update(token, board, &known.table, &known.ledger())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_right_says_what_the_owner_took_of_it() {
        let cases = [
            ("gpio:A:out", &["gpio:A:out"][..], "gpio:A:out", Why::Whole),
            ("gpio:A:out", &[], "", Why::NotGranted),
            ("gpio:A:out", &["gpio:A:in"], "", Why::NotGranted),
            ("timer:1ms", &["timer:5ms"], "timer:5ms", Why::Narrowed),
            ("timer:1ms", &["timer:1ms:3"], "timer:1ms:3", Why::Narrowed),
            ("timer:10ms", &["timer:1ms"], "timer:10ms", Why::Whole),
            ("i2c:0x40-0x4f", &["i2c:0x48"], "i2c:0x48", Why::Narrowed),
            ("gpio:A:out@9/s", &["gpio:A:out@5/s"], "gpio:A:out@5/s", Why::Narrowed),
            // Limits: who states none sets none.
            ("cpu:20%", &["node"], "cpu:20%", Why::Whole),
            ("cpu:20%", &["cpu:9%"], "cpu:9%", Why::Narrowed),
            ("priority:normal", &["priority:high"], "priority:normal", Why::Whole),
        ];
        for (right, granted, result, why) in cases {
            let granted = Rights::of(granted).unwrap();
            let outcome = outcome(&Right::parse(right).unwrap(), Some(&granted));
            assert_eq!((outcome.result.join(" "), outcome.why), (result.to_owned(), why), "{right} {granted:?}");
        }
        let asked = ["node".to_owned(), "no right".to_owned()];
        let granted = Rights::of(["node", "log:5/s"]).unwrap();
        let names = |outcomes: Vec<Outcome>| -> Vec<_> {
            outcomes.into_iter().map(|outcome| (outcome.right, outcome.why)).collect()
        };
        let expected = [("node".to_owned(), Why::Whole), ("log:5/s".to_owned(), Why::NotAsked)];
        assert_eq!(names(outcomes(&asked, Some(&granted), None)), expected);
        assert_eq!(names(outcomes(&asked, None, None)), expected[..1], "nobody is asked to grant");
        let limited = Rights::of(["node", "cpu:9%"]).unwrap();
        let outcome = outcomes(&asked, Some(&limited), None).pop().expect("the limit");
        assert_eq!((outcome.result.join(" "), outcome.why), ("cpu:9%".to_owned(), Why::Whole), "it holds unasked for");
    }
}
