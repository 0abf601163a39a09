//! Signing: which token a role makes of a container, what must stand there before, and what falls away.
//!
//! Each party signs after those whose word it relies on: the integrator puts together what developer and provider signed, the
//! owner trusts an integrator. A token that speaks of other bytes is never left in a container: who is asked for it is told.

use key_files::PrivateKey;
use runner_container::{OWN_SECTIONS, append_custom_section, rights::Rights};
use runner_tokens::{Body, Claims, KeyId, Refusal, Role, SignedParts, Token, TokenKind, attach, layout, sign as make};

use super::trust::KnownKeys;
use crate::{
    exit::Failure,
    session::{Error, Result},
};

/// What is to be signed besides the container's bytes.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) role: Role,
    pub(crate) issued: u64,
    /// None: the time of signing, which goes up by itself.
    pub(crate) sequence: Option<u64>,
    pub(crate) expires: Option<u64>,
    pub(crate) board: Option<String>,
    /// The owner's.
    pub(crate) grant: Option<GrantTerms>,
}

/// What an owner says besides.
#[derive(Debug)]
pub(crate) struct GrantTerms {
    pub(crate) integrator: KeyId,
    pub(crate) rights: Rights,
}

/// A container with one token more.
#[derive(Debug)]
pub(crate) struct Signed {
    pub(crate) bytes: Vec<u8>,
    pub(crate) claims: Claims,
    /// Tokens that were there and do not hold any more.
    pub(crate) removed: Vec<Told>,
    /// Tokens that were taken as they are, because the key is not known here.
    pub(crate) unchecked: Vec<Told>,
    /// Who must still sign before a node that wants signatures takes it.
    pub(crate) missing: Vec<Role>,
    /// What its manifest asks for.
    pub(crate) asked: Vec<String>,
}

/// A token, and what there is to say of it.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) kind: TokenKind,
    pub(crate) why: String,
}

/// A container on its way to be signed.
struct Draft {
    bytes: Vec<u8>,
    removed: Vec<Told>,
    unchecked: Vec<Told>,
}

/// The token that a role puts into containers.
pub(crate) const fn kind_of(role: Role) -> TokenKind {
    match role {
        Role::Developer => TokenKind::Code,
        Role::Provider => TokenKind::Data,
        Role::Integrator => TokenKind::Metadata,
        Role::Owner => TokenKind::Grant,
    }
}

/// A rule of tokens that is broken, as every other reason to refuse a container.
pub(crate) fn refused(refusal: &Refusal) -> Error {
    let hint = match refusal {
        Refusal::NoManifest => "`emit pack` puts app.toml into it; sign what comes out",
        Refusal::ForeignSection { .. } | Refusal::SectionOrder { .. } => {
            "`emit pack` puts every section into its place; sign what comes out"
        }
        _ => "",
    };
    Error { kind: refusal.rule(), hint, ..Error::new(Failure::ContainerRefused, refusal.to_string()) }
}

fn wrong_order(message: String, hint: &'static str) -> Error {
    Error { kind: "signing-order", hint, ..Error::new(Failure::ContainerRefused, message) }
}

/// The container with those tokens of an earlier version that hold for it too and that it does not have, and which these are;
/// none of the kind that the role is about to make. Which of them is believed, whoever signs then looks at as at any other.
pub(crate) fn carry(wasm: &[u8], earlier: &[u8], role: Role) -> Result<(Vec<u8>, Vec<TokenKind>)> {
    let earlier = layout(earlier).map_err(|refusal| refused(&refusal))?;
    let (mut made, mut carried) = (wasm.to_vec(), Vec::new());
    for kind in TokenKind::IN_CONTAINER.into_iter().filter(|kind| *kind != kind_of(role)) {
        let is_there = layout(&made).map_err(|refusal| refused(&refusal))?.token(kind).is_some();
        if let Some(token) = earlier.token(kind).filter(|_| !is_there)
            && let Ok(more) = attach(&made, kind, token)
        {
            made = more;
            carried.push(kind);
        }
    }
    Ok((made, carried))
}

/// Signs a container.
pub(crate) fn sign(wasm: &[u8], terms: &Terms, key: &PrivateKey, known: &KnownKeys) -> Result<Signed> {
    let own = kind_of(terms.role);
    let mut draft = without_stale(wasm, own, known)?;
    let parts = layout(&draft.bytes).map_err(|refusal| refused(&refusal))?;
    let body = body(&parts, terms)?;
    let claims = Claims {
        subject: parts.declared.name.clone(),
        audience: terms.board.clone(),
        expires: terms.expires,
        issued: terms.issued,
        sequence: terms.sequence.unwrap_or(terms.issued),
        body,
    };
    let token = make(&claims, &key.signing_key()).map_err(|refusal| refused(&refusal))?;
    draft.bytes = attach(&draft.bytes, own, &token).map_err(|refusal| refused(&refusal))?;
    if own == TokenKind::Metadata {
        draft = without_grant_to_others(draft, key.public().id())?;
    }
    let Draft { bytes, removed, unchecked } = draft;
    let parts = layout(&bytes).map_err(|refusal| refused(&refusal))?;
    let missing = missing(&parts);
    let asked = parts.declared.grants;
    Ok(Signed { bytes, claims, removed, unchecked, missing, asked })
}

/// Takes out the tokens that do not hold, except those that the role relies on: these are an error.
fn without_stale(wasm: &[u8], own: TokenKind, known: &KnownKeys) -> Result<Draft> {
    let parts = layout(wasm).map_err(|refusal| refused(&refusal))?;
    let (mut removed, mut unchecked) = (Vec::new(), Vec::new());
    for kind in TokenKind::IN_CONTAINER.into_iter().filter(|kind| *kind != own && parts.token(*kind).is_some()) {
        match known.judge(&parts, kind) {
            Ok(_) => {}
            // Whose key is not here may be believed elsewhere.
            Err(refusal @ Refusal::UnknownKey { .. }) => unchecked.push(Told { kind, why: refusal.to_string() }),
            Err(refusal) if relies_on(own, kind) => return Err(no_longer_holds(&refusal, kind)),
            Err(refusal) => removed.push(Told { kind, why: refusal.to_string() }),
        }
    }
    let kinds: Vec<_> = removed.iter().map(|token| token.kind).collect();
    Ok(Draft { bytes: without(wasm, &parts, &kinds)?, removed, unchecked })
}

fn no_longer_holds(refusal: &Refusal, kind: TokenKind) -> Error {
    let hint = match kind.role() {
        Role::Developer => "have the developer sign again first, with `emit sign --as developer`",
        Role::Provider => "have the provider sign again first, with `emit sign --as provider`",
        Role::Integrator | Role::Owner => "have the integrator sign again first, with `emit sign --as integrator`",
    };
    let message = format!("an earlier signature does not hold: {refusal}");
    Error { kind: refusal.rule(), hint, ..Error::new(Failure::ContainerRefused, message) }
}

/// Whether a role's word is only worth something with that token.
fn relies_on(own: TokenKind, other: TokenKind) -> bool {
    match own {
        TokenKind::Code | TokenKind::Data | TokenKind::Keys => false,
        TokenKind::Metadata => matches!(other, TokenKind::Code | TokenKind::Data),
        TokenKind::Grant => true,
    }
}

/// The container without those tokens.
fn without(wasm: &[u8], parts: &SignedParts<'_>, kinds: &[TokenKind]) -> Result<Vec<u8>> {
    if kinds.is_empty() {
        return Ok(wasm.to_vec());
    }
    let kept = |kind| parts.token(kind).filter(|_| !kinds.contains(&kind));
    let [code, data, metadata, grant] = TokenKind::IN_CONTAINER.map(kept);
    let bodies = [Some(parts.manifest), parts.files, code, data, metadata, grant];
    let mut made = parts.code.to_vec();
    for (name, body) in OWN_SECTIONS.into_iter().zip(bodies) {
        if let Some(body) = body {
            append_custom_section(&mut made, name, body)
                .map_err(|error| Error::new(Failure::ContainerRefused, error.to_string()))?;
        }
    }
    Ok(made)
}

/// The owner's word is for one integrator: where another one signs, it goes.
fn without_grant_to_others(mut draft: Draft, signer: KeyId) -> Result<Draft> {
    let parts = layout(&draft.bytes).map_err(|refusal| refused(&refusal))?;
    let grant = parts.token(TokenKind::Grant).and_then(|token| Token::decode(TokenKind::Grant, token).ok());
    if let Some(Body::Grant { integrator, .. }) = grant.map(|grant| grant.claims.body)
        && integrator != signer
    {
        let why = Refusal::OtherIntegrator { trusted: integrator, signed: signer }.to_string();
        draft.removed.push(Told { kind: TokenKind::Grant, why });
        draft.bytes = without(&draft.bytes, &parts, &[TokenKind::Grant])?;
    }
    Ok(draft)
}

/// What the role says of this container, where what it relies on is there.
fn body(parts: &SignedParts<'_>, terms: &Terms) -> Result<Body> {
    match terms.role {
        Role::Developer => Ok(parts.code_body()),
        Role::Provider => parts.data_body().ok_or_else(|| {
            wrong_order(
                format!("{} has no files, so there is nothing for a provider to sign", parts.declared.name),
                "name them in `files` of app.toml and pack it again",
            )
        }),
        Role::Integrator => {
            require(parts, TokenKind::Code, "the developer signs first, with `emit sign --as developer`")?;
            if parts.files.is_some() {
                require(parts, TokenKind::Data, "its files are signed first, with `emit sign --as provider`")?;
            }
            Ok(parts.metadata_body())
        }
        Role::Owner => {
            let hint = "the integrator signs first, with `emit sign --as integrator`";
            let metadata = require(parts, TokenKind::Metadata, hint)?;
            let grant = terms.grant.as_ref().ok_or_else(|| {
                Error::new(Failure::Usage, "an owner says which rights and which integrator: --grant and --integrator")
            })?;
            trusts(&metadata, grant)
        }
    }
}

fn require(parts: &SignedParts<'_>, kind: TokenKind, hint: &'static str) -> Result<Token> {
    let Some(token) = parts.token(kind) else {
        return Err(wrong_order(format!("{} has no {kind} token yet", parts.declared.name), hint));
    };
    Token::decode(kind, token).map_err(|refusal| refused(&refusal))
}

fn trusts(metadata: &Token, grant: &GrantTerms) -> Result<Body> {
    if metadata.key != grant.integrator {
        let refusal = Refusal::OtherIntegrator { trusted: grant.integrator, signed: metadata.key };
        return Err(refused(&refusal));
    }
    Ok(Body::Grant { integrator: grant.integrator, rights: grant.rights.texts() })
}

/// Who must still sign.
pub(crate) fn missing(parts: &SignedParts<'_>) -> Vec<Role> {
    let is_needed = |kind: &TokenKind| *kind != TokenKind::Data || parts.files.is_some();
    let kinds = TokenKind::IN_CONTAINER.into_iter().filter(is_needed);
    kinds.filter(|kind| parts.token(*kind).is_none()).map(TokenKind::role).collect()
}
