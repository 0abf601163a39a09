//! The lock file: which Debian packages the guest is made of.
//!
//! It is committed and reviewed, so it is trusted to choose the packages. Its values are still checked before they become
//! arguments of another program or file names, because a typing error should fail here and not there.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

/// Opens every lock file that is written.
const HEADER: &str = "\
# What the guest is made of: Debian's packages, by name, version and SHA-256.
# Written by `cargo xtask guest --update-lock`. From the release's main archive, not its security one: there a version
# is replaced only by a point release, so the lock lives long.
";

/// What Debian calls the processors of all boards.
const BOARD_ARCHITECTURE: &str = "arm64";

/// The lock file's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Debian release by code name, e.g. `bookworm`.
    pub release: String,
    /// The concrete kernel package, e.g. `linux-image-6.1.0-50-arm64`.
    pub kernel: Package,
    /// The static busybox.
    pub busybox: Package,
}

/// One Debian package, exactly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Package name.
    pub name: String,
    /// Debian version, with its epoch.
    pub version: String,
    /// Debian architecture.
    pub architecture: String,
    /// SHA-256 of the `.deb`, 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// Size of the `.deb` in bytes.
    pub size_bytes: u64,
    /// Where a mirror keeps it, relative to the archive's root.
    pub pool_path: String,
}

impl Lock {
    /// Reads and checks a lock file.
    ///
    /// # Errors
    /// The file cannot be read, is not such a file, or names something that cannot be a package.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read the lock file {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("in the lock file {}", path.display()))
    }

    pub(super) fn parse(text: &str) -> Result<Self> {
        let lock: Self = toml::from_str(text)?;
        ensure!(is_plain(&lock.release), "{:?} is not a release's code name", lock.release);
        lock.kernel.check()?;
        lock.busybox.check()?;
        Ok(lock)
    }

    /// The file's text: what [`Lock::read`] reads.
    pub(super) fn to_text(&self) -> Result<String> {
        let body = toml::to_string(self).context("a lock can be written as TOML")?;
        Ok(format!("{HEADER}{body}"))
    }
}

impl Package {
    /// The file's name, as `apt-get download` chooses it.
    #[must_use]
    pub fn file_name(&self) -> String {
        let version = self.version.replace(':', "%3a");
        format!("{}_{version}_{}.deb", self.name, self.architecture)
    }

    /// How apt is asked for exactly this package.
    #[must_use]
    pub fn apt_argument(&self) -> String {
        format!("{}:{}={}", self.name, self.apt_architecture(), self.version)
    }

    /// The machine whose apt has it: a package for all machines is asked for as the board's.
    #[must_use]
    pub fn apt_architecture(&self) -> &str {
        if self.architecture == "all" { BOARD_ARCHITECTURE } else { &self.architecture }
    }

    /// Whether every field can be what it says.
    ///
    /// # Errors
    /// The first one that cannot, in words.
    pub fn check(&self) -> Result<()> {
        let Self { name, version, architecture, sha256, pool_path, .. } = self;
        ensure!(is_plain(name), "{name:?} is not a package name");
        ensure!(is_plain(architecture), "{architecture:?} is not an architecture");
        ensure!(is_version(version), "{version:?} is not the version of a package");
        ensure!(is_sha256(sha256), "{sha256:?} is not the SHA-256 of {name}");
        ensure!(
            pool_path.starts_with("pool/") && !pool_path.contains(".."),
            "{pool_path:?} is not a path in a Debian archive"
        );
        Ok(())
    }
}

/// Debian Policy 5.6.7: lower-case letters, digits and `+-.`, starting with a letter or digit.
fn is_plain(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte))
}

/// Debian Policy 5.6.12: starts with a digit; letters, digits and `.+-~:` follow.
fn is_version(version: &str) -> bool {
    version.starts_with(|first: char| first.is_ascii_digit())
        && version.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".+-~:".contains(&byte))
}

fn is_sha256(digest: &str) -> bool {
    digest.len() == 64 && digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const COMMITTED: &str = include_str!("../../guest/packages.lock.toml");

    pub(in super::super) fn committed_lock() -> Lock {
        Lock::parse(COMMITTED).expect("the committed lock file")
    }

    fn rejected(original: &str, replacement: &str) -> String {
        assert!(COMMITTED.contains(original), "the fixture replaces something");
        let error = Lock::parse(&COMMITTED.replacen(original, replacement, 1)).expect_err("refused");
        format!("{error:#}")
    }

    #[test]
    fn the_committed_lock_is_what_would_be_written() {
        let lock = committed_lock();
        assert_eq!(lock.to_text().expect("text"), COMMITTED);
    }

    #[test]
    fn the_file_name_is_the_one_apt_chooses() {
        let name = committed_lock().busybox.file_name();
        assert!(name.starts_with("busybox-static_1%3a1."), "{name}");
        assert!(name.ends_with("_arm64.deb"), "{name}");
    }

    #[test]
    fn a_package_for_all_machines_is_asked_for_as_the_boards() {
        let package = Package { architecture: "all".to_owned(), ..committed_lock().busybox };
        assert!(package.apt_argument().starts_with("busybox-static:arm64="), "{}", package.apt_argument());
        assert!(package.file_name().ends_with("_all.deb"));
    }

    #[test]
    fn a_short_hash_is_refused() {
        let hash = committed_lock().kernel.sha256;
        assert!(rejected(&hash, &hash[1..]).contains("is not the SHA-256 of linux-image"));
    }

    #[test]
    fn a_name_that_is_an_option_is_refused() {
        assert!(rejected("busybox-static\"", "--force\"").contains("is not a package name"));
    }

    #[test]
    fn a_version_with_a_slash_is_refused() {
        let version = committed_lock().kernel.version;
        assert!(rejected(&version, "6/../1").contains("is not the version"));
    }

    #[test]
    fn a_path_outside_the_pool_is_refused() {
        assert!(rejected("pool/main/b/", "pool/../").contains("is not a path in a Debian archive"));
    }

    #[test]
    fn an_unknown_field_is_refused() {
        assert!(rejected("[busybox]", "[busybox]\ncolour = 1").contains("colour"));
    }
}
