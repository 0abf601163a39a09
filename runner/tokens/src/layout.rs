//! Which bytes of a container are signed, and where its tokens lie.
//!
//! A signed container is: the module's own bytes in one piece, then Atoll's sections in their order, nothing behind or among
//! them, each length in its shortest form. So every byte is covered by a hash or a signature, or follows from those that are.

use alloc::vec::Vec;

use runner_container::{
    CODE_SECTION, DATA_SECTION, Files, GRANT_SECTION, METADATA_SECTION, Manifest, OWN_PREFIX, OWN_SECTIONS, Section,
    SectionError, append_custom_section, custom, custom_sections, sections,
};
use sha2::{Digest, Sha256};

use crate::{Body, Claims, Hash, Refusal, Token, TokenKind};

/// A container's pieces, found in the order that they must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedParts<'w> {
    /// What the manifest says.
    pub declared: Manifest,
    /// All before the first section of Atoll's.
    pub code: &'w [u8],
    /// The body of `atoll.app`.
    pub manifest: &'w [u8],
    /// The body of `atoll.files`, where there are files.
    pub files: Option<&'w [u8]>,
    /// The tokens, in the order of [`TokenKind::IN_CONTAINER`].
    pub tokens: [Option<&'w [u8]>; 4],
    /// Of `code`.
    pub code_hash: Hash,
    /// Of `files`.
    pub files_hash: Option<Hash>,
    /// Of `manifest`.
    pub manifest_hash: Hash,
}

impl<'w> SignedParts<'w> {
    /// The token of that kind.
    #[must_use]
    pub fn token(&self, kind: TokenKind) -> Option<&'w [u8]> {
        TokenKind::IN_CONTAINER.iter().zip(self.tokens).find_map(|(own, token)| token.filter(|_| *own == kind))
    }

    /// What a code token about this container says.
    #[must_use]
    pub fn code_body(&self) -> Body {
        Body::Code { code: self.code_hash }
    }

    /// What a data token about this container says; none where it has no files.
    #[must_use]
    pub fn data_body(&self) -> Option<Body> {
        self.files_hash.map(|files| Body::Data { files })
    }

    /// What a metadata token about this container says.
    #[must_use]
    pub fn metadata_body(&self) -> Body {
        Body::Metadata { code: self.code_hash, files: self.files_hash, manifest: self.manifest_hash }
    }

    /// Whether the claims are about this container and these bytes. Who says so is another matter.
    ///
    /// # Errors
    /// What they are about instead.
    pub fn is_meant_by(&self, claims: &Claims) -> Result<(), Refusal> {
        let kind = claims.kind();
        if claims.subject != self.declared.name {
            let (subject, name) = (claims.subject.clone(), self.declared.name.clone());
            return Err(Refusal::OtherContainer { kind, subject, name });
        }
        match &claims.body {
            Body::Code { code } if *code != self.code_hash => Err(Refusal::OtherCode(kind)),
            Body::Data { .. } if self.files_hash.is_none() => Err(Refusal::TokenWithoutFiles),
            Body::Data { files } if Some(*files) != self.files_hash => Err(Refusal::OtherFiles(kind)),
            Body::Metadata { code, .. } if *code != self.code_hash => Err(Refusal::OtherCode(kind)),
            Body::Metadata { files, .. } if *files != self.files_hash => Err(Refusal::OtherFiles(kind)),
            Body::Metadata { manifest, .. } if *manifest != self.manifest_hash => Err(Refusal::OtherManifest(kind)),
            _ => Ok(()),
        }
    }
}

/// The section of that kind of token; none for a change of keys, which stands in a file of its own.
const fn section_of(kind: TokenKind) -> Option<&'static str> {
    match kind {
        TokenKind::Code => Some(CODE_SECTION),
        TokenKind::Data => Some(DATA_SECTION),
        TokenKind::Metadata => Some(METADATA_SECTION),
        TokenKind::Grant => Some(GRANT_SECTION),
        TokenKind::Keys => None,
    }
}

/// Whether the container has a section of any token, wherever it stands.
///
/// # Errors
/// The module's sections are not whole.
pub fn is_signed(wasm: &[u8]) -> Result<bool, SectionError> {
    let mut found = false;
    for section in custom_sections(wasm) {
        let name = section?.name;
        found |= TokenKind::IN_CONTAINER.iter().any(|kind| section_of(*kind) == Some(name));
    }
    Ok(found)
}

/// Finds the pieces of a container whose sections stand as a signed container's must; tokens may still be missing.
///
/// # Errors
/// The rule of the layout that is broken.
pub fn layout(wasm: &[u8]) -> Result<SignedParts<'_>, Refusal> {
    let (code, own) = own_sections(wasm)?;
    let [manifest, files, tokens @ ..] = own;
    let manifest = manifest.ok_or(Refusal::NoManifest)?;
    let declared = Manifest::decode(manifest).map_err(Refusal::Manifest)?;
    files.map(Files::decode).transpose().map_err(Refusal::Files)?;
    let hash = |bytes| Sha256::digest(bytes).into();
    Ok(SignedParts {
        declared,
        code,
        manifest,
        files,
        tokens,
        code_hash: hash(code),
        files_hash: files.map(hash),
        manifest_hash: hash(manifest),
    })
}

/// What each of Atoll's sections holds, in their order.
type Own<'w> = [Option<&'w [u8]>; OWN_SECTIONS.len()];

/// All before Atoll's sections, and those.
fn own_sections(wasm: &[u8]) -> Result<(&[u8], Own<'_>), Refusal> {
    let mut code = wasm;
    let mut own: Own<'_> = [None; OWN_SECTIONS.len()];
    // The place behind the last section that was found.
    let mut next = 0;
    for section in sections(wasm) {
        let section = section.map_err(Refusal::Module)?;
        let offset = section.range.start;
        let custom = custom(&section).map_err(Refusal::Module)?;
        let Some(section) = custom.filter(|section| section.name.starts_with(OWN_PREFIX)) else {
            if next > 0 {
                return Err(Refusal::ForeignSection { offset });
            }
            continue;
        };
        let place = place(&section, &own, next)?;
        if next == 0 {
            code = wasm.get(..offset).unwrap_or_default();
        }
        if let Some(own) = own.get_mut(place) {
            *own = Some(section.bytes);
        }
        next = place + 1;
    }
    Ok((code, own))
}

/// The section's place in the order, where it may stand there.
fn place(section: &Section<'_>, own: &Own<'_>, next: usize) -> Result<usize, Refusal> {
    let offset = section.range.start;
    let known = OWN_SECTIONS.iter().position(|name| *name == section.name);
    let place = known.ok_or(Refusal::UnknownSection { offset })?;
    let name = OWN_SECTIONS.get(place).copied().unwrap_or_default();
    if own.get(place).is_some_and(Option::is_some) {
        return Err(Refusal::DuplicateSection { section: name });
    }
    if place < next {
        return Err(Refusal::SectionOrder { section: name });
    }
    if !section.is_shortest() {
        return Err(Refusal::SectionLength { section: name });
    }
    Ok(place)
}

/// The container with this token put into its place; another one of that kind is replaced, and all else stays as it is.
///
/// # Errors
/// The container's layout or the token's form breaks a rule, or the token is about another container or other bytes. Whether the
/// key is known and the signature right is not looked at.
pub fn attach(wasm: &[u8], kind: TokenKind, token: &[u8]) -> Result<Vec<u8>, Refusal> {
    let parts = layout(wasm)?;
    let section = section_of(kind).ok_or(Refusal::KeysInContainer)?;
    parts.is_meant_by(&Token::decode(kind, token)?.claims)?;
    let [code, data, metadata, grant] = parts.tokens;
    let bodies = [Some(parts.manifest), parts.files, code, data, metadata, grant];
    let mut made = parts.code.to_vec();
    for (name, body) in OWN_SECTIONS.into_iter().zip(bodies) {
        if let Some(body) = if name == section { Some(token) } else { body } {
            append_custom_section(&mut made, name, body).map_err(Refusal::Module)?;
        }
    }
    Ok(made)
}
