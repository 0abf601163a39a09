//! Inputs that are kept: those by which libFuzzer found a way through a target that no other one of them goes.
//!
//! A file a target in `ci/fuzz/corpus`, an input a line, in hexadecimal: a change of it can be read.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::Target;

/// A folder with a file a target.
pub struct Corpus(PathBuf);

impl Default for Corpus {
    /// That of this repository.
    fn default() -> Self {
        Self(Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus"))
    }
}

impl Corpus {
    /// What was kept for a target, and its seeds.
    ///
    /// # Errors
    /// A line is not hexadecimal.
    pub fn inputs(&self, target: &Target) -> Result<Vec<Vec<u8>>> {
        let mut inputs = (target.seeds)();
        let file = self.file(target);
        // Not every target has one.
        for (number, line) in (1..).zip(fs::read_to_string(&file).unwrap_or_default().lines()) {
            let input = from_hex(line).with_context(|| format!("{}:{number}: no hexadecimal", file.display()))?;
            inputs.push(input);
        }
        Ok(inputs)
    }

    /// Keeps these and no others.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep(&self, target: &Target, mut inputs: Vec<Vec<u8>>) -> Result<()> {
        inputs.sort_by_key(|input| (input.len(), input.clone()));
        inputs.dedup();
        let text: String = inputs.iter().map(|input| hex(input) + "\n").collect();
        let file = self.file(target);
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
    }

    fn file(&self, target: &Target) -> PathBuf {
        self.0.join(target.name)
    }
}

/// Two digits a byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of such a text.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    // A sign is no digit, and `from_str_radix` takes one.
    if !digits.iter().all(u8::is_ascii_hexdigit) || !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.chunks(2).map(|two| u8::from_str_radix(core::str::from_utf8(two).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_in_hexadecimal_is_read() {
        assert_eq!(from_hex(&hex(&[0, 0x7f, 0xff])), Some(vec![0, 0x7f, 0xff]));
        assert_eq!((from_hex("0"), from_hex("0g"), from_hex("+1"), from_hex("é")), (None, None, None, None));
    }
}
