//! Downloads pinned packages once, and checks them every time.
//!
//! The way is this machine's own apt, from its own sources, but with folders of its own: an ordinary user can do it, and no
//! foreign architecture is added to the system. Where those sources are not of the release that the lock names, Debian's
//! public mirror is asked, if its signing keys are installed. Neither the mirror nor the cache is trusted: a package counts
//! only if its SHA-256 is the lock's.

mod apt;
mod update;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::lock::Package;
use super::{Progress, read, sha256_hex};
use crate::{Missing, exclusive};
use apt::{Apt, Source};

pub(super) use update::update_lock;
pub use update::{LockUpdate, Wanted, newest_of};

/// The folder that keeps downloaded packages between builds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageCache {
    folder: PathBuf,
}

impl PackageCache {
    /// `$ATOLL_CACHE`, else `$XDG_CACHE_HOME/atoll`, else `~/.cache/atoll`.
    ///
    /// # Errors
    /// None of the three can be named.
    pub fn from_environment() -> Result<Self> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let folder = set("ATOLL_CACHE")
            .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("atoll")))
            .or_else(|| set("HOME").map(|home| home.join(".cache/atoll")))
            .context("no folder for downloaded packages: set HOME or ATOLL_CACHE")?;
        Ok(Self::in_folder(folder))
    }

    /// A cache in this folder, which is made when it is needed.
    #[must_use]
    pub fn in_folder(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Where a package is kept. A person may put the file there by hand.
    #[must_use]
    pub fn path(&self, package: &Package) -> PathBuf {
        self.folder.join("debs").join(package.file_name())
    }

    /// Whether the right file is in the cache already.
    #[must_use]
    pub fn holds(&self, package: &Package) -> bool {
        matches!(check(&self.path(package), package), Ok(Found::Right))
    }

    /// The package's file, downloaded from `release` if it is not in the cache.
    ///
    /// # Errors
    /// [`Missing`] where it cannot be downloaded on this machine; another error if what was downloaded is not what the lock
    /// says.
    pub fn obtain(&self, release: &str, package: &Package, progress: &Progress<'_>) -> Result<PathBuf> {
        let path = self.path(package);
        // Two builds at once would otherwise download twice and disturb each other's apt.
        let _alone = self.exclusive()?;
        if let Found::Other(digest) = check(&path, package)? {
            progress(&format!("{} has SHA-256 {digest}, not the lock's: fetching it again", path.display()));
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        if !path.exists() {
            self.download(release, package, progress)?;
        }
        match check(&path, package)? {
            Found::Right => Ok(path),
            Found::Other(digest) => bail!(
                "{} has SHA-256 {digest}, but the lock file says {}: the mirror's package is not the one that was pinned",
                path.display(),
                package.sha256
            ),
            Found::Nothing => bail!("apt-get said it downloaded {}, but there is no such file", path.display()),
        }
    }

    fn download(&self, release: &str, package: &Package, progress: &Progress<'_>) -> Result<()> {
        if !Apt::is_installed() {
            let what = format!("{} {} cannot be downloaded: there is no apt-get here", package.name, package.version);
            return Err(Missing::new(what, self.by_hand(package)).into());
        }
        let debs = self.folder.join("debs");
        let mut refusals = Vec::new();
        for source in Source::candidates(release) {
            let apt = Apt::prepare(&self.folder, package.apt_architecture(), source)?;
            progress(&format!(
                "downloading {} {} ({} KiB) from {}",
                package.name,
                package.version,
                package.size_bytes / 1024,
                apt.source()
            ));
            match apt.download(package, &debs) {
                Ok(()) => return Ok(()),
                Err(refusal) => refusals.push(format!("{}: {refusal:#}", apt.source())),
            }
        }
        Err(self.cannot_download(package, &refusals).into())
    }

    fn cannot_download(&self, package: &Package, refusals: &[String]) -> Missing {
        let what = format!(
            "{} {} for {} cannot be downloaded ({})",
            package.name,
            package.version,
            package.architecture,
            refusals.join("; ")
        );
        let remedy = format!(
            "if a newer version took its place on the mirrors, `cargo xtask guest --update-lock` pins that one; otherwise {}",
            self.by_hand(package)
        );
        Missing::new(what, remedy)
    }

    /// What a person does where apt cannot.
    fn by_hand(&self, package: &Package) -> String {
        format!(
            "fetch http://deb.debian.org/debian/{} (or that version from https://snapshot.debian.org, which keeps all) \
             and put it at {}; its SHA-256 is checked",
            package.pool_path,
            self.path(package).display()
        )
    }

    fn exclusive(&self) -> Result<fs::File> {
        fs::create_dir_all(self.folder.join("debs"))
            .with_context(|| format!("cannot make {}", self.folder.join("debs").display()))?;
        exclusive::hold(&self.folder)
    }
}

/// What lies at a package's place.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    Right,
    /// A file with this SHA-256.
    Other(String),
}

fn check(path: &Path, package: &Package) -> Result<Found> {
    if !path.exists() {
        return Ok(Found::Nothing);
    }
    let digest = sha256_hex(&read(path)?);
    Ok(if digest == package.sha256 { Found::Right } else { Found::Other(digest) })
}

#[cfg(test)]
mod tests {
    use super::super::lock::tests::committed_lock;
    use super::*;

    fn cache_with(content: &[u8]) -> (tempfile::TempDir, PackageCache, Package) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let cache = PackageCache::in_folder(folder.path().to_path_buf());
        let package = Package { sha256: sha256_hex(b"right"), ..committed_lock().busybox };
        fs::create_dir_all(folder.path().join("debs")).expect("a folder");
        fs::write(cache.path(&package), content).expect("written");
        (folder, cache, package)
    }

    #[test]
    fn a_cached_package_with_the_right_hash_is_used() {
        let (_folder, cache, package) = cache_with(b"right");
        assert!(cache.holds(&package));
        let path = cache.obtain("bookworm", &package, &|line| panic!("nothing to do: {line}"));
        assert_eq!(path.expect("found"), cache.path(&package));
    }

    #[test]
    fn a_cached_package_with_another_hash_does_not_count() {
        let (_folder, cache, package) = cache_with(b"wrong");
        assert!(!cache.holds(&package));
        assert_eq!(check(&cache.path(&package), &package).expect("readable"), Found::Other(sha256_hex(b"wrong")));
    }

    #[test]
    fn the_way_by_hand_names_the_address_and_the_place() {
        let cache = PackageCache::in_folder(PathBuf::from("/cache"));
        let text = cache.by_hand(&committed_lock().busybox);
        assert!(text.contains("http://deb.debian.org/debian/pool/main/b/busybox/busybox-static_"), "{text}");
        assert!(text.contains("/cache/debs/busybox-static_1%3a"), "{text}");
    }

    #[test]
    fn a_version_that_is_gone_leads_to_a_new_lock() {
        let cache = PackageCache::in_folder(PathBuf::from("/cache"));
        let missing = cache.cannot_download(&committed_lock().kernel, &["mirror: no such version".to_owned()]);
        assert!(missing.what.contains("mirror: no such version"));
        assert!(missing.remedy.contains("cargo xtask guest --update-lock"));
    }
}
