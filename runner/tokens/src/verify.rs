//! The rules: who must have signed what.

use alloc::{string::String, vec::Vec};

use runner_container::Manifest;

use crate::{
    Body, Claims, Hash, Key, KeyId, KeyTable, Ledger, Refusal, SignedParts, Token, TokenKind, layout, token::Envelope,
};

/// A token that was believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Who signed it.
    pub key: KeyId,
    /// What it says.
    pub claims: Claims,
}

/// A container that everybody signed who must.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What its manifest says, read from the bytes that were signed.
    pub declared: Manifest,
    /// Who signed, and what they say.
    pub signatures: Signatures,
    /// Of the code.
    pub code_hash: Hash,
    /// Of the manifest.
    pub manifest_hash: Hash,
    /// Of the files.
    pub files_hash: Option<Hash>,
}

/// The tokens that a container was believed by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signatures {
    /// In their order: code, data where there are files, metadata, grant.
    pub tokens: Vec<Accepted>,
}

impl Signatures {
    /// The token of that kind.
    #[must_use]
    pub fn token(&self, kind: TokenKind) -> Option<&Accepted> {
        self.tokens.iter().find(|token| token.claims.kind() == kind)
    }

    /// The rights that the owner grants, ascending.
    #[must_use]
    pub fn rights(&self) -> &[String] {
        match self.token(TokenKind::Grant).map(|token| &token.claims.body) {
            Some(Body::Grant { rights, .. }) => rights,
            _ => &[],
        }
    }

    /// From when on one of the tokens is not valid any more, in seconds since 1970.
    #[must_use]
    pub fn expires(&self) -> Option<u64> {
        self.tokens.iter().filter_map(|token| token.claims.expires).min()
    }
}

/// A change of keys that may be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// Who signed it.
    pub key: KeyId,
    /// What it says; always of [`TokenKind::Keys`].
    pub claims: Claims,
}

impl Update {
    /// New keys.
    #[must_use]
    pub fn added(&self) -> &[Key] {
        match &self.claims.body {
            Body::Keys { added, .. } => added,
            _ => &[],
        }
    }

    /// Keys that are not believed any more.
    #[must_use]
    pub fn revoked(&self) -> &[KeyId] {
        match &self.claims.body {
            Body::Keys { revoked, .. } => revoked,
            _ => &[],
        }
    }
}

/// Holds a container to every rule: all tokens are there, each is believed, each speaks of this container.
///
/// Changes nothing: whoever lets the container in calls [`Ledger::accept`].
///
/// # Errors
/// The first rule that is broken.
pub fn verify(wasm: &[u8], board: &str, table: &KeyTable, ledger: &Ledger) -> Result<Verdict, Refusal> {
    let parts = layout(wasm)?;
    let needed = [TokenKind::Code, TokenKind::Metadata, TokenKind::Grant];
    if let Some(missing) = needed.into_iter().find(|kind| parts.token(*kind).is_none()) {
        return Err(Refusal::MissingToken(missing));
    }
    match (parts.files, parts.token(TokenKind::Data)) {
        (Some(_), None) => return Err(Refusal::FilesWithoutToken),
        (None, Some(_)) => return Err(Refusal::TokenWithoutFiles),
        _ => {}
    }
    let mut tokens = Vec::new();
    for kind in TokenKind::IN_CONTAINER {
        if parts.token(kind).is_some() {
            tokens.push(check(&parts, kind, board, table, ledger)?);
        }
    }
    let signatures = Signatures { tokens };
    trusts_its_integrator(&signatures)?;
    let SignedParts { declared, code_hash, manifest_hash, files_hash, .. } = parts;
    Ok(Verdict { declared, signatures, code_hash, manifest_hash, files_hash })
}

fn trusts_its_integrator(signatures: &Signatures) -> Result<(), Refusal> {
    let (Some(metadata), Some(grant)) = (signatures.token(TokenKind::Metadata), signatures.token(TokenKind::Grant))
    else {
        return Ok(());
    };
    match grant.claims.body {
        Body::Grant { integrator, .. } if integrator != metadata.key => {
            Err(Refusal::OtherIntegrator { trusted: integrator, signed: metadata.key })
        }
        _ => Ok(()),
    }
}

/// Holds one token of a container to every rule but those about its other tokens, for a person who asks about a container that
/// is not signed by everybody yet.
///
/// # Errors
/// The first rule that is broken.
pub fn check(
    parts: &SignedParts<'_>,
    kind: TokenKind,
    board: &str,
    table: &KeyTable,
    ledger: &Ledger,
) -> Result<Accepted, Refusal> {
    let bytes = parts.token(kind).ok_or(Refusal::MissingToken(kind))?;
    let Token { key, claims } = believed(kind, bytes, table, ledger)?;
    parts.is_meant_by(&claims)?;
    holds_here(&claims, board, table, ledger)?;
    Ok(Accepted { key, claims })
}

/// Holds a change of keys to every rule. It is a token of its own, in a file of its own.
///
/// Changes nothing: [`Ledger::apply`] carries it out.
///
/// # Errors
/// The first rule that is broken.
pub fn verify_update(token: &[u8], board: &str, table: &KeyTable, ledger: &Ledger) -> Result<Update, Refusal> {
    let Token { key, claims } = believed(TokenKind::Keys, token, table, ledger)?;
    holds_here(&claims, board, table, ledger)?;
    let update = Update { key, claims };
    ledger.with(table, &update)?;
    Ok(update)
}

/// A token whose form is right, signed by a key that may sign it.
fn believed(kind: TokenKind, bytes: &[u8], table: &KeyTable, ledger: &Ledger) -> Result<Token, Refusal> {
    let envelope = Envelope::read(kind, bytes)?;
    let token = envelope.token()?;
    let key = ledger.key(table, kind, token.key)?;
    if key.role != kind.role() {
        return Err(Refusal::WrongRole { kind, key: token.key, role: key.role });
    }
    if !envelope.is_signed_by(&key.public) {
        return Err(Refusal::Signature { kind, key: token.key });
    }
    Ok(token)
}

/// Board, time and sequence.
fn holds_here(claims: &Claims, board: &str, table: &KeyTable, ledger: &Ledger) -> Result<(), Refusal> {
    let kind = claims.kind();
    if let Some(audience) = claims.audience.as_ref().filter(|audience| *audience != board) {
        return Err(Refusal::OtherBoard { kind, audience: audience.clone(), board: board.into() });
    }
    let known = ledger.known_time();
    if let Some(expires) = claims.expires.filter(|expires| *expires <= known) {
        return Err(Refusal::Expired { kind, expires, known });
    }
    let lowest = ledger.lowest_sequence(table, kind, &claims.subject);
    if claims.sequence < lowest {
        return Err(Refusal::OlderSequence { kind, sequence: claims.sequence, lowest });
    }
    Ok(())
}
