//! A module with manifest and files put in.
//!
//! What is Atoll's stands right behind the header, so that a node has it before it has the rest. The result depends on
//! nothing but the arguments. Used on a developer's machine; whoever reads the container checks it again.

use alloc::vec::Vec;

use crate::{
    FILES_SECTION, FilesError, MANIFEST_SECTION, Manifest, ManifestError, OWN_PREFIX, SectionError, SectionFault,
    encode_files,
    sections::{CUSTOM, HEADER, custom_sections, push_u32, sections},
};

/// Why nothing was embedded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmbedError {
    /// The module's sections are not whole.
    Module(SectionError),
    /// The manifest breaks a rule.
    Manifest(ManifestError),
    /// The files break a rule.
    Files(FilesError),
}

impl core::fmt::Display for EmbedError {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Module(error) => error.fmt(formatter),
            Self::Manifest(error) => error.fmt(formatter),
            Self::Files(error) => error.fmt(formatter),
        }
    }
}

impl core::error::Error for EmbedError {}

impl From<SectionError> for EmbedError {
    fn from(error: SectionError) -> Self {
        Self::Module(error)
    }
}

/// The module with this manifest and these files (path, content; in any order); every section of Atoll's that it had is
/// replaced, since a token or a file list of before does not belong to it any more. No files, no `atoll.files`.
///
/// # Errors
/// A module whose sections are not whole, a manifest or files that break a rule.
pub fn embed(wasm: &[u8], manifest: &Manifest, files: &[(&str, &[u8])]) -> Result<Vec<u8>, EmbedError> {
    let manifest = manifest.encode().map_err(EmbedError::Manifest)?;
    let mut made = HEADER.to_vec();
    push_custom(&mut made, MANIFEST_SECTION, &manifest)?;
    if !files.is_empty() {
        push_custom(&mut made, FILES_SECTION, &encode_files(files).map_err(EmbedError::Files)?)?;
    }
    let mut own = custom_sections(wasm)
        .filter(|section| section.as_ref().map_or(true, |section| section.name.starts_with(OWN_PREFIX)))
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .peekable();
    for section in sections(wasm) {
        let section = section?;
        if own.next_if(|own| own.range == section.range).is_none() {
            made.extend_from_slice(&wasm[section.range]);
        }
    }
    Ok(made)
}

fn push_custom(module: &mut Vec<u8>, name: &str, bytes: &[u8]) -> Result<(), SectionError> {
    let too_long = SectionError { fault: SectionFault::BadLength, offset: module.len() };
    let mut body = Vec::new();
    push_u32(&mut body, u32::try_from(name.len()).map_err(|_| too_long)?);
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(bytes);
    module.push(CUSTOM);
    push_u32(module, u32::try_from(body.len()).map_err(|_| too_long)?);
    module.extend_from_slice(&body);
    Ok(())
}
