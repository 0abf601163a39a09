//! The file to upload: read, named, and without the sections that no node needs.

use std::{fs::File, io::Read, path::Path};

use anyhow::{Context, bail};
use wasmparser::BinaryReader;

use crate::{
    exit::Failure,
    session::{Error, Result},
};

/// The largest file that is read: far more than a node takes, since debug information can be many times the code. Keeps
/// `emit run /dev/zero` from eating the guest's memory.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// Bytes of magic and version.
const HEADER_BYTES: usize = 8;

/// Custom sections that stay: Atoll's own (manifest and tokens) begin with this.
const OWN_SECTIONS: &str = "atoll.";

/// Reads a module and leaves out custom sections that are not Atoll's: names, debug information, producers.
///
/// Bytes that do not read as sections are passed on as they are: saying what is wrong with them is the node's part.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let bytes = read_all(path).map_err(|error| Error::new(Failure::File, format!("{error:#}")))?;
    Ok(without_foreign_sections(&bytes).unwrap_or(bytes))
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
    let mut stripped = bytes.get(..HEADER_BYTES).filter(|header| *header == b"\0asm\x01\0\0\0")?.to_vec();
    let mut reader = BinaryReader::new(&bytes[HEADER_BYTES..], HEADER_BYTES);
    while !reader.eof() {
        let start = reader.original_position();
        let id = reader.read_u8().ok()?;
        let length = usize::try_from(reader.read_var_u32().ok()?).ok()?;
        let content = reader.read_bytes(length).ok()?;
        let end = reader.original_position();
        if id != 0 || is_own(content) {
            stripped.extend_from_slice(&bytes[start..end]);
        }
    }
    Some(stripped)
}

fn is_own(custom_section: &[u8]) -> bool {
    BinaryReader::new(custom_section, 0).read_string().is_ok_and(|name| name.starts_with(OWN_SECTIONS))
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
    fn what_is_no_module_is_left_to_the_node() {
        assert_eq!(without_foreign_sections(b""), None);
        assert_eq!(without_foreign_sections(b"\0asm\x01\0\0\0\x01\xff"), None);
        assert_eq!(without_foreign_sections(b"#!/bin/sh"), None);
    }

    #[test]
    fn names_come_from_files() {
        assert_eq!(name_of(Path::new("/root/Hello World.wasm")), "hello-world");
        assert_eq!(name_of(Path::new("..")), "container");
    }
}
