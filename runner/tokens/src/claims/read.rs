//! Claims read from bytes that nobody vouches for.

use alloc::{borrow::ToOwned, string::String, vec::Vec};

use runner_container::{
    MAX_TEXT_BYTES, Violation,
    cbor::{Fault, Reader, Result as Read},
    check_name,
    rights::{NotCanonical, Rights},
};

use super::{Body, Claims, Hash, LAST_TIME, TokenKind, claim};
use crate::{KEYS_SUBJECT, Key, KeyId, MAX_BOARD_BYTES, PublicKey, Refusal, Role, token::inside};

/// What was there, before it is known whether it belongs there.
#[derive(Default)]
struct Found<'b> {
    subject: Option<&'b str>,
    audience: Option<&'b str>,
    expires: Option<u64>,
    issued: Option<u64>,
    kind: Option<u64>,
    sequence: Option<u64>,
    code: Option<Hash>,
    files: Option<Hash>,
    manifest: Option<Hash>,
    rights: Option<Vec<&'b str>>,
    integrator: Option<KeyId>,
    added: Option<Vec<Key>>,
    revoked: Option<Vec<KeyId>>,
}

impl Claims {
    /// Reads the claims of a token of that kind, which begin at that byte of the token.
    pub(crate) fn read(kind: TokenKind, bytes: &[u8], start: usize) -> Result<Self, Refusal> {
        let mut found = Found::default();
        let mut reader = Reader::new(bytes);
        let mut last = 0;
        let read = reader.signed_map(|reader, claim| {
            last = claim;
            found.read(reader, claim)
        });
        read.and_then(|()| reader.end()).map_err(|fault| match fault.violation {
            Violation::UnknownKey => Refusal::UnknownClaim { kind, claim: last },
            _ => {
                let Fault { violation, offset } = inside(fault, start);
                Refusal::Form { kind, violation, offset }
            }
        })?;
        let needed = |claim| Refusal::MissingClaim { kind, claim };
        let said = found.kind.take().ok_or(needed(claim::KIND))?;
        if said != u64::from(kind.number()) {
            return Err(Refusal::WrongKind { kind, found: said });
        }
        let claims = found.claims(kind)?;
        if let Some(claim) = found.left() {
            return Err(Refusal::UnknownClaim { kind, claim });
        }
        claims.check()?;
        Ok(claims)
    }

    /// The rules for what claims may say.
    fn check(&self) -> Result<(), Refusal> {
        let kind = self.kind();
        let bad = |claim| move |violation| Refusal::BadClaim { kind, claim, violation };
        check_name(&self.subject).map_err(bad(claim::SUBJECT))?;
        if kind == TokenKind::Keys && self.subject != KEYS_SUBJECT {
            return Err(bad(claim::SUBJECT)(Violation::UnknownValue));
        }
        if let Some(board) = &self.audience {
            check_text(board, MAX_BOARD_BYTES).map_err(bad(claim::AUDIENCE))?;
        }
        if self.issued > LAST_TIME {
            return Err(bad(claim::ISSUED)(Violation::NumberTooLarge));
        }
        if self.expires.is_some_and(|expires| expires > LAST_TIME) {
            return Err(bad(claim::EXPIRES)(Violation::NumberTooLarge));
        }
        if self.expires.is_some_and(|expires| expires <= self.issued) {
            return Err(Refusal::EndsBeforeItBegins(kind));
        }
        if self.sequence == 0 {
            return Err(bad(claim::SEQUENCE)(Violation::UnknownValue));
        }
        match &self.body {
            Body::Grant { rights, .. } => {
                rights.iter().try_for_each(|right| check_text(right, MAX_TEXT_BYTES)).map_err(bad(claim::RIGHTS))?;
                check_rights(rights)
            }
            Body::Keys { added, revoked } => {
                if !added.is_sorted_by(|one, other| one.id() < other.id()) {
                    return Err(bad(claim::ADDED)(Violation::EntryOrder));
                }
                if !revoked.is_sorted_by(|one, other| one < other) {
                    return Err(bad(claim::REVOKED)(Violation::EntryOrder));
                }
                if added.is_empty() && revoked.is_empty() {
                    return Err(bad(claim::REVOKED)(Violation::Empty));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// One set of rights has one list: what was signed is what a person is shown, letter for letter.
fn check_rights(rights: &[String]) -> Result<(), Refusal> {
    if !rights.is_sorted_by(|one, other| one < other) {
        return Err(Refusal::RightsOrder);
    }
    match Rights::of_canonical(rights) {
        Ok(_) => Ok(()),
        Err(NotCanonical::Wrong(wrong)) => Err(Refusal::NotARight(wrong)),
        Err(NotCanonical::Form(canonical)) => Err(Refusal::RightsForm { canonical }),
    }
}

/// What a person is shown: not empty, not too long, without control characters.
fn check_text(text: &str, longest: usize) -> Result<(), Violation> {
    match text {
        "" => Err(Violation::Empty),
        _ if text.len() > longest => Err(Violation::TextTooLong),
        _ if text.chars().any(char::is_control) => Err(Violation::ControlCharacter),
        _ => Ok(()),
    }
}

impl<'b> Found<'b> {
    fn read(&mut self, reader: &mut Reader<'b>, claim: i64) -> Read<bool> {
        match claim {
            claim::SUBJECT => self.subject = Some(reader.text()?),
            claim::AUDIENCE => self.audience = Some(reader.text()?),
            claim::EXPIRES => self.expires = Some(reader.number()?),
            claim::ISSUED => self.issued = Some(reader.number()?),
            claim::KIND => self.kind = Some(reader.number()?),
            claim::SEQUENCE => self.sequence = Some(reader.number()?),
            claim::CODE => self.code = Some(exactly(reader)?),
            claim::FILES => self.files = Some(exactly(reader)?),
            claim::MANIFEST => self.manifest = Some(exactly(reader)?),
            claim::RIGHTS => self.rights = Some(list(reader, Reader::text)?),
            claim::INTEGRATOR => self.integrator = Some(KeyId(exactly(reader)?)),
            claim::ADDED => self.added = Some(list(reader, key)?),
            claim::REVOKED => self.revoked = Some(list(reader, |reader| exactly(reader).map(KeyId))?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Takes what a token of that kind has.
    fn claims(&mut self, kind: TokenKind) -> Result<Claims, Refusal> {
        let needed = |claim| Refusal::MissingClaim { kind, claim };
        let has_audience = matches!(kind, TokenKind::Metadata | TokenKind::Grant | TokenKind::Keys);
        Ok(Claims {
            subject: self.subject.take().ok_or(needed(claim::SUBJECT))?.to_owned(),
            audience: self.audience.take_if(|_| has_audience).map(ToOwned::to_owned),
            expires: self.expires.take_if(|_| kind != TokenKind::Keys),
            issued: self.issued.take().ok_or(needed(claim::ISSUED))?,
            sequence: self.sequence.take().ok_or(needed(claim::SEQUENCE))?,
            body: self.body(kind)?,
        })
    }

    fn body(&mut self, kind: TokenKind) -> Result<Body, Refusal> {
        let needed = |claim| Refusal::MissingClaim { kind, claim };
        Ok(match kind {
            TokenKind::Code => Body::Code { code: self.code.take().ok_or(needed(claim::CODE))? },
            TokenKind::Data => Body::Data { files: self.files.take().ok_or(needed(claim::FILES))? },
            TokenKind::Metadata => Body::Metadata {
                code: self.code.take().ok_or(needed(claim::CODE))?,
                files: self.files.take(),
                manifest: self.manifest.take().ok_or(needed(claim::MANIFEST))?,
            },
            TokenKind::Grant => Body::Grant {
                integrator: self.integrator.take().ok_or(needed(claim::INTEGRATOR))?,
                rights: self.rights.take().ok_or(needed(claim::RIGHTS))?.into_iter().map(ToOwned::to_owned).collect(),
            },
            TokenKind::Keys => Body::Keys {
                added: self.added.take().ok_or(needed(claim::ADDED))?,
                revoked: self.revoked.take().ok_or(needed(claim::REVOKED))?,
            },
        })
    }

    /// A claim that nobody took.
    fn left(&self) -> Option<i64> {
        [
            (self.audience.is_some(), claim::AUDIENCE),
            (self.expires.is_some(), claim::EXPIRES),
            (self.code.is_some(), claim::CODE),
            (self.files.is_some(), claim::FILES),
            (self.manifest.is_some(), claim::MANIFEST),
            (self.rights.is_some(), claim::RIGHTS),
            (self.integrator.is_some(), claim::INTEGRATOR),
            (self.added.is_some(), claim::ADDED),
            (self.revoked.is_some(), claim::REVOKED),
        ]
        .into_iter()
        .find_map(|(is_there, claim)| is_there.then_some(claim))
    }
}

/// A byte string of that size.
fn exactly<const N: usize>(reader: &mut Reader<'_>) -> Read<[u8; N]> {
    let offset = reader.position();
    reader.bytes()?.try_into().map_err(|_| Fault { violation: Violation::WrongCount, offset })
}

fn key(reader: &mut Reader<'_>) -> Read<Key> {
    reader.tuple(2)?;
    let unknown = reader.fault(Violation::UnknownValue);
    let role = Role::of_number(reader.number()?).ok_or(unknown)?;
    Ok(Key { role, public: PublicKey(exactly(reader)?) })
}

fn list<'b, T>(reader: &mut Reader<'b>, mut entry: impl FnMut(&mut Reader<'b>) -> Read<T>) -> Read<Vec<T>> {
    let count = reader.array()?;
    (0..count).map(|_| entry(reader)).collect()
}
