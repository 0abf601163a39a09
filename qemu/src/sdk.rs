//! The Microkit SDK on this machine.
//!
//! It is published on its project's release page only, so it may well not be here; then a person gets the address, and tests
//! that need it are skipped. What is found is trusted like a compiler.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::Missing;

/// The version that the seL4 side is written for.
pub const VERSION: &str = "2.3.0";

/// What a person does to get the SDK.
pub const HOW_TO_GET: &str = "download \
    https://github.com/seL4/microkit/releases/download/2.3.0/microkit-sdk-2.3.0-linux-x86-64.tar.gz, unpack it to \
    ~/.cache/atoll/microkit-sdk-2.3.0 (or anywhere, and set MICROKIT_SDK to that folder)";

/// How the names begin of the SDK's configurations with a kernel for several cores.
const MULTI_CORE: &str = "smp-";

/// The configuration whose kernel and loader print nothing, on one core.
const RELEASE: &str = "release";

/// Whether the kernel of `configuration` runs on all of the board's cores.
#[must_use]
pub fn is_multi_core(configuration: &str) -> bool {
    configuration.starts_with(MULTI_CORE)
}

/// Whether kernel and loader of `configuration` print nothing, and nobody can halt the machine through them.
#[must_use]
pub fn is_release(configuration: &str) -> bool {
    configuration.strip_prefix(MULTI_CORE).unwrap_or(configuration) == RELEASE
}

/// An unpacked Microkit SDK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sdk {
    root: PathBuf,
}

/// The SDK's files for one board in one configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoardFiles {
    folder: PathBuf,
}

/// The tool's own file about a board's address spaces, as far as it is of use here.
#[derive(Deserialize)]
struct AddressSpace {
    vspace_user_top: u64,
}

impl Sdk {
    /// The SDK that `MICROKIT_SDK` names, else the one in the person's cache (`ATOLL_CACHE`, else `~/.cache/atoll`).
    ///
    /// # Errors
    /// [`Missing`] where there is none, with what to do.
    pub fn find() -> Result<Self> {
        let named = std::env::var_os("MICROKIT_SDK").filter(|named| !named.is_empty()).map(PathBuf::from);
        if let Some(named) = named {
            let what = format!("MICROKIT_SDK is {}, which holds no Microkit SDK", named.display());
            return Self::at(named).ok_or_else(|| Missing::new(what, HOW_TO_GET).into());
        }
        let cached = cache().map(|cache| cache.join(format!("microkit-sdk-{VERSION}")));
        let what = match &cached {
            Some(folder) => format!("there is no Microkit SDK in {}", folder.display()),
            None => "there is no Microkit SDK".to_owned(),
        };
        cached.and_then(Self::at).ok_or_else(|| Missing::new(what, HOW_TO_GET).into())
    }

    /// The SDK in `root`, if its tool is there.
    fn at(root: PathBuf) -> Option<Self> {
        root.join("bin/microkit").is_file().then_some(Self { root })
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The tool that makes boot images.
    pub fn tool(&self) -> PathBuf {
        self.root.join("bin/microkit")
    }

    /// Its files for `board` in `configuration`.
    ///
    /// # Errors
    /// [`Missing`] where it has no such board or configuration: an SDK may be built for some only.
    pub fn board(&self, board: &str, configuration: &str) -> Result<BoardFiles> {
        let folder = self.root.join("board").join(board).join(configuration);
        if folder.join("include").is_dir() {
            return Ok(BoardFiles { folder });
        }
        let root = self.root.display();
        let what =
            format!("the Microkit SDK in {root} has no board `{board}` with the configuration `{configuration}`");
        Err(Missing::new(what, HOW_TO_GET).into())
    }
}

impl BoardFiles {
    /// The kernel's headers.
    pub fn include(&self) -> PathBuf {
        self.folder.join("include")
    }

    /// The last address that a protection domain can have.
    ///
    /// # Errors
    /// The SDK does not say.
    pub fn last_user_address(&self) -> Result<u64> {
        let file = self.folder.join("address_space_constants.json");
        let text = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let parsed: AddressSpace =
            serde_json::from_slice(&text).with_context(|| format!("{} is not as expected", file.display()))?;
        Ok(parsed.vspace_user_top)
    }
}

fn cache() -> Option<PathBuf> {
    let named = std::env::var_os("ATOLL_CACHE").filter(|named| !named.is_empty()).map(PathBuf::from);
    named.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/atoll")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configurations_name_says_what_kind_of_kernel_it_has() {
        let kinds =
            ["debug", "release", "smp-debug", "smp-release"].map(|name| (is_multi_core(name), is_release(name)));
        assert_eq!(kinds, [(false, false), (false, true), (true, false), (true, true)]);
    }
}
