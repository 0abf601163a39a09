//! A module with manifest and files put in.
//!
//! What is Atoll's stands at the end, so that the module's own bytes are one piece, which a token can speak of. The result depends on
//! nothing but the arguments. Used on a developer's machine; whoever reads the container checks it again.

use alloc::vec::Vec;

use crate::{
    FILES_SECTION, FilesError, MANIFEST_SECTION, Manifest, ManifestError, OWN_PREFIX, SectionError, encode_files,
    sections::{HEADER, append_custom_section, custom_sections, sections},
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
/// left out, tokens too: they spoke of the container of before, and whoever signed it has to look at this one. No files, no `atoll.files`.
///
/// # Errors
/// A module whose sections are not whole, a manifest or files that break a rule.
pub fn embed(wasm: &[u8], manifest: &Manifest, files: &[(&str, &[u8])]) -> Result<Vec<u8>, EmbedError> {
    let manifest = manifest.encode().map_err(EmbedError::Manifest)?;
    let files = (!files.is_empty()).then(|| encode_files(files)).transpose().map_err(EmbedError::Files)?;
    let mut made = HEADER.to_vec();
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
    append_custom_section(&mut made, MANIFEST_SECTION, &manifest)?;
    if let Some(files) = files {
        append_custom_section(&mut made, FILES_SECTION, &files)?;
    }
    Ok(made)
}
