//! The file to upload: read, unwrapped, named, and without the sections that no node needs.

use std::{fs::File, io::Read, path::Path};

use anyhow::{Context, bail};
use runner_container::{
    CODE_SECTION, DATA_SECTION, Files, GRANT_SECTION, METADATA_SECTION, Manifest, OWN_PREFIX, custom_sections, embed,
    parts, sections,
};

use crate::{
    exit::Failure,
    session::{Error, Result},
};

/// The largest file that is read: far more than a node takes, since debug information can be many times the code. Keeps
/// `emit run /dev/zero` from eating the guest's memory.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// `\0asm`, version 1.
const HEADER: &[u8] = b"\0asm\x01\0\0\0";

/// The number of a custom section.
const CUSTOM: u8 = 0;

/// A container's file, ready to be uploaded.
#[derive(Debug)]
pub(crate) struct Module {
    /// What a node is sent.
    pub(crate) bytes: Vec<u8>,
    /// What the container says of itself, where it does.
    pub(crate) manifest: Option<Manifest>,
    /// Bytes of the file.
    pub(crate) file_bytes: usize,
    /// The file is a component, and this its main module.
    pub(crate) from_component: bool,
}

impl Module {
    /// Gives the container another manifest; what else was packed stays.
    pub(crate) fn describe(&mut self, manifest: Manifest) -> Result<()> {
        let refused = |error: &dyn std::fmt::Display| Error::new(Failure::ContainerRefused, error.to_string());
        let files: Vec<(&str, &[u8])> = self.files().iter().collect();
        let described = embed(&self.bytes, &manifest, &files).map_err(|error| refused(&error))?;
        self.bytes = described;
        self.manifest = Some(manifest);
        Ok(())
    }

    /// The packed files.
    pub(crate) fn files(&self) -> Files<'_> {
        // They were looked at when it was read.
        let found = parts(&self.bytes).ok().and_then(|parts| Files::decode(parts.files?).ok());
        found.unwrap_or(Files::NONE)
    }
}

/// Reads a container, unwraps it where it is a component, reads its manifest, and leaves out custom sections that are not
/// Atoll's: names, debug information, producers.
///
/// Bytes that do not read as sections are passed on as they are: saying what is wrong with them is the node's part.
pub(crate) fn read(path: &Path) -> Result<Module> {
    let bytes = read_all(path).map_err(|error| Error::new(Failure::File, format!("{error:#}")))?;
    from_bytes(bytes).map_err(|error| Error { message: format!("{}: {}", path.display(), error.message), ..error })
}

/// Reads a module that is to be packed: what was packed into it before does not matter.
#[cfg(feature = "kit")]
pub(crate) fn read_unpacked(path: &Path) -> Result<Module> {
    let of_file = |error: Error| Error { message: format!("{}: {}", path.display(), error.message), ..error };
    let bytes = read_all(path).map_err(|error| Error::new(Failure::File, format!("{error:#}")))?;
    let file_bytes = bytes.len();
    let (bytes, from_component) = core_module(bytes).map_err(of_file)?;
    let Some(bytes) = without_foreign_sections(&bytes) else {
        return Err(of_file(Error::new(Failure::ContainerRefused, "it is no WebAssembly module, or a damaged one")));
    };
    Ok(Module { bytes, manifest: None, file_bytes, from_component })
}

/// The same for bytes that are here already; errors do not name the file.
pub(crate) fn from_bytes(bytes: Vec<u8>) -> Result<Module> {
    let file_bytes = bytes.len();
    let (bytes, from_component) = core_module(bytes)?;
    if is_signed(&bytes) {
        return Ok(Module { manifest: manifest_of(&bytes), bytes, file_bytes, from_component });
    }
    let Some(stripped) = without_foreign_sections(&bytes) else {
        return Ok(Module { bytes, manifest: None, file_bytes, from_component });
    };
    let refused = |error: &dyn std::fmt::Display| Error {
        hint: "pack the container again with the emit of this version",
        ..Error::new(Failure::ContainerRefused, error.to_string())
    };
    let parts = parts(&stripped).map_err(|error| refused(&error))?;
    let manifest = parts.manifest.map(Manifest::decode).transpose().map_err(|error| refused(&error))?;
    parts.files.map(Files::decode).transpose().map_err(|error| refused(&error))?;
    Ok(Module { bytes: stripped, manifest, file_bytes, from_component })
}

/// Whether anybody signed it. Then every byte is as it was meant, and one too many is for the node to find.
fn is_signed(bytes: &[u8]) -> bool {
    const TOKENS: [&str; 4] = [CODE_SECTION, DATA_SECTION, METADATA_SECTION, GRANT_SECTION];
    custom_sections(bytes).flatten().any(|section| TOKENS.contains(&section.name))
}

/// The manifest, if it is well.
fn manifest_of(bytes: &[u8]) -> Option<Manifest> {
    Manifest::decode(parts(bytes).ok()?.manifest?).ok()
}

/// The module in a component, or the bytes as they are.
#[cfg(feature = "kit")]
fn core_module(bytes: Vec<u8>) -> Result<(Vec<u8>, bool)> {
    use crate::kit::component;
    if !component::is_component(&bytes) {
        return Ok((bytes, false));
    }
    match component::unwrap(&bytes) {
        Ok(module) => Ok((module.to_vec(), true)),
        Err(error) => Err(Error::new(Failure::ContainerRefused, format!("{error:#}"))),
    }
}

/// Unwrapping is a developer's matter: the node says what it thinks of a component.
#[cfg(not(feature = "kit"))]
#[allow(clippy::unnecessary_wraps, reason = "the kit's has errors")]
fn core_module(bytes: Vec<u8>) -> Result<(Vec<u8>, bool)> {
    Ok((bytes, false))
}

/// Reads a file that is no container.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>> {
    read_all(path).map_err(|error| Error::new(Failure::File, format!("{error:#}")))
}

fn read_all(path: &Path) -> anyhow::Result<Vec<u8>> {
    let cannot_read = || format!("cannot read {}", path.display());
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
        .with_context(cannot_read)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        bail!("{} is larger than {} MiB: that is no container", path.display(), MAX_FILE_BYTES >> 20);
    }
    Ok(bytes)
}

/// `None` where the bytes do not read as a core module's sections.
fn without_foreign_sections(bytes: &[u8]) -> Option<Vec<u8>> {
    let own = custom_sections(bytes)
        .filter(|section| section.as_ref().map_or(true, |section| section.name.starts_with(OWN_PREFIX)))
        .map(|section| section.map(|section| section.range))
        .collect::<std::result::Result<Vec<_>, _>>()
        .ok()?;
    let mut stripped = HEADER.to_vec();
    for section in sections(bytes) {
        let section = section.ok()?;
        if section.id != CUSTOM || own.contains(&section.range) {
            stripped.extend_from_slice(&bytes[section.range]);
        }
    }
    Some(stripped)
}

/// The longest name that is made up: 8 below what a node takes, for the process number that `run` adds.
const MADE_NAME_BYTES: usize = 32;

/// A container's name from its file's: lower case, characters that names do not have become `-`.
pub(crate) fn name_of(path: &Path) -> String {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().to_lowercase()).unwrap_or_default();
    let name: String =
        stem.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' }).collect();
    let name = name.trim_start_matches(['.', '_', '-']);
    if name.is_empty() { "container".to_owned() } else { name.chars().take(MADE_NAME_BYTES).collect() }
}

/// A container's name: what its manifest says, else made from the file's.
pub(crate) fn name(module: &Module, path: &Path) -> String {
    module.manifest.as_ref().map_or_else(|| name_of(path), |manifest| manifest.name.clone())
}

/// The same with a process' number behind it, within what a node takes.
pub(crate) fn name_of_run(module: &Module, path: &Path) -> String {
    let name: String = name(module, path).chars().take(MADE_NAME_BYTES).collect();
    // A process number is at the most 2^22: six hexadecimal digits.
    format!("{name}-{:x}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_sections_go_and_own_ones_stay() {
        let module = wat::parse_str(
            r#"(module (@custom "atoll.app" "keep") (@custom "producers" "drop") (func (export "_start")))"#,
        )
        .expect("valid text");
        let stripped = without_foreign_sections(&module).expect("a module");
        let holds = |needle: &[u8]| stripped.windows(needle.len()).any(|window| window == needle);
        assert!(holds(b"keep") && !holds(b"drop") && holds(b"_start"));
        wasmparser::validate(&stripped).expect("still valid");
    }

    #[test]
    fn what_was_signed_is_left_alone() {
        let text = r#"(module (@custom "producers" "keep") (@custom "atoll.code" "token") (@custom "name" "keep"))"#;
        let module = wat::parse_str(text).expect("valid text");
        assert_eq!(from_bytes(module.clone()).expect("read").bytes, module);
    }

    #[test]
    fn what_is_no_module_is_left_to_the_node() {
        assert_eq!(without_foreign_sections(b""), None);
        assert_eq!(without_foreign_sections(b"\0asm\x01\0\0\0\x01\xff"), None);
        assert_eq!(without_foreign_sections(b"#!/bin/sh"), None);
    }

    #[test]
    fn a_manifest_that_is_none_is_refused() {
        let module = wat::parse_str(r#"(module (@custom "atoll.app" "keep"))"#).expect("valid text");
        let error = from_bytes(module).expect_err("refused");
        assert_eq!(error.failure, Failure::ContainerRefused);
        assert!(error.message.starts_with("the manifest, at byte 0"), "{error}");
    }

    #[test]
    fn names_come_from_files() {
        assert_eq!(name_of(Path::new("/root/Hello World.wasm")), "hello-world");
        assert_eq!(name_of(Path::new("..")), "container");
    }
}
