//! `examples/prebuilt/MANIFEST.toml`: where each committed module comes from.
//!
//! It exists so that nobody has to believe a binary: name, source, toolchain and digests, enough to make it again. It trusts
//! nothing; its digests are compared with what is there.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

const HEAD: &str = "\
# Where the committed modules come from. Written by `cargo xtask examples --install`, checked by `cargo xtask test`.
# `source-sha256` covers the sample's folder and, for Rust, the workspace's settings, lock file and WIT file.

";

/// The whole file.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    #[serde(rename = "sample", default)]
    samples: Vec<Entry>,
}

/// One committed module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Entry {
    /// File name without `.wasm`.
    pub(super) name: String,
    pub(super) about: String,
    /// `wasi-command` or `reactor`.
    pub(super) world: String,
    pub(super) language: String,
    /// Path below `examples/`.
    pub(super) source: String,
    /// As the toolchain says it of itself.
    pub(super) toolchain: String,
    pub(super) bytes: usize,
    /// Of the module, in hexadecimal.
    pub(super) sha256: String,
    /// Of its sources, in hexadecimal.
    pub(super) source_sha256: String,
}

impl Manifest {
    /// Reads the file; one that does not exist is empty.
    pub(super) fn read(repository: &Path) -> Result<Self> {
        let path = path(repository);
        match fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text).with_context(|| format!("{} is no manifest", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    pub(super) fn write(&self, repository: &Path) -> Result<()> {
        super::write(&path(repository), format!("{HEAD}{}", toml::to_string(self)?).as_bytes())
    }

    pub(super) fn entry(&self, name: &str) -> Option<&Entry> {
        self.samples.iter().find(|entry| entry.name == name)
    }

    pub(super) fn replace(&mut self, entry: Entry) {
        self.samples.retain(|old| old.name != entry.name);
        self.samples.push(entry);
        self.samples.sort_by(|one, other| one.name.cmp(&other.name));
    }
}

fn path(repository: &Path) -> PathBuf {
    repository.join("examples/prebuilt/MANIFEST.toml")
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    hexadecimal(&sha2::Sha256::digest(bytes))
}

/// A digest over named parts, each with its length, so that moving a byte from one part to the next is seen.
#[derive(Default)]
pub(super) struct Digest {
    state: sha2::Sha256,
}

impl Digest {
    pub(super) fn add(&mut self, name: &str, bytes: &[u8]) {
        self.state.update(format!("{name}\0{}\0", bytes.len()));
        self.state.update(bytes);
    }

    pub(super) fn finish(self) -> String {
        hexadecimal(&self.state.finalize())
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
