//! Writes a new lock file from what the mirrors have now.
//!
//! A person asks for this and reviews the change: it is the one moment at which a mirror (whose signature apt checks) decides
//! what the guest is made of.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::super::lock::{Lock, Package};
use super::super::{Progress, replace};
use super::PackageCache;
use super::apt::{Apt, Source, field};
use crate::Missing;

/// Depends on the newest kernel of a release.
const KERNEL_METAPACKAGE: &str = "linux-image-arm64";

/// What changed in the lock file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockUpdate {
    /// The lock before.
    pub before: Lock,
    /// The lock as it was written.
    pub after: Lock,
}

/// Pins what the release's main archive has now, and writes the lock file if that differs.
pub(in super::super) fn update_lock(
    lock_file: &Path,
    cache: &PackageCache,
    progress: &Progress<'_>,
) -> Result<LockUpdate> {
    let before = Lock::read(lock_file)?;
    if !Apt::is_installed() {
        let remedy = "run this on a Debian-like machine";
        return Err(Missing::new("there is no apt-get here to ask a mirror with", remedy).into());
    }
    let _alone = cache.exclusive()?;
    let after = newest(&before, cache, progress)?;
    if after != before {
        replace(lock_file, after.to_text()?.as_bytes())?;
    }
    Ok(LockUpdate { before, after })
}

fn newest(before: &Lock, cache: &PackageCache, progress: &Progress<'_>) -> Result<Lock> {
    let mut refusals = Vec::new();
    for source in Source::candidates(&before.release) {
        let apt = Apt::prepare(&cache.folder, &before.kernel.architecture, source)?;
        progress(&format!("asking {}", apt.source()));
        apt.update()?;
        match newest_from(&apt, before) {
            Ok(lock) => return Ok(lock),
            Err(refusal) => refusals.push(format!("{}: {refusal:#}", apt.source())),
        }
    }
    bail!("no source has the packages of {}: {}", before.release, refusals.join("; "))
}

/// A package to pin, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// Its name.
    pub name: &'a str,
    /// The part of the archive that has it, e.g. `main`.
    pub component: &'a str,
    /// The machine whose apt is asked.
    pub architecture: &'a str,
}

/// What the release's archive, not its security one, has now of these packages, in their order.
///
/// # Errors
/// [`Missing`] where there is no apt; else no source has all of them.
pub fn newest_of(
    release: &str,
    wanted: &[Wanted<'_>],
    cache: &PackageCache,
    progress: &Progress<'_>,
) -> Result<Vec<Package>> {
    if !Apt::is_installed() {
        let remedy = "run this on a Debian-like machine";
        return Err(Missing::new("there is no apt-get here to ask a mirror with", remedy).into());
    }
    let _alone = cache.exclusive()?;
    wanted.iter().map(|wanted| newest_of_one(release, *wanted, cache, progress)).collect()
}

fn newest_of_one(release: &str, wanted: Wanted<'_>, cache: &PackageCache, progress: &Progress<'_>) -> Result<Package> {
    let mut refusals = Vec::new();
    for source in Source::candidates(release) {
        let apt = Apt::prepare(&cache.folder, wanted.architecture, source)?;
        progress(&format!("asking {} for {}", apt.source(), wanted.name));
        apt.update()?;
        match newest_fields(&apt, wanted.name, &format!("{release}/{}", wanted.component)) {
            Ok(fields) => return package(&fields),
            Err(refusal) => refusals.push(format!("{}: {refusal:#}", apt.source())),
        }
    }
    bail!("no source has {} of {release}/{}: {}", wanted.name, wanted.component, refusals.join("; "))
}

fn newest_from(apt: &Apt, before: &Lock) -> Result<Lock> {
    let part = format!("{}/main", before.release);
    let metapackage = newest_fields(apt, KERNEL_METAPACKAGE, &part)?;
    let kernel = kernel_package(field(&metapackage, "Depends")?)?.to_owned();
    Ok(Lock {
        release: before.release.clone(),
        kernel: package(&newest_fields(apt, &kernel, &part)?)?,
        busybox: package(&newest_fields(apt, &before.busybox.name, &part)?)?,
    })
}

fn newest_fields(apt: &Apt, name: &str, part: &str) -> Result<String> {
    let listing = apt.versions(name)?;
    let version = version_in(&listing, part).with_context(|| format!("{part} has no {name}"))?;
    apt.fields(name, version)
}

/// The newest version in a part of the archive, e.g. `bookworm/main`; apt lists newest first.
fn version_in<'a>(listing: &'a str, part: &str) -> Option<&'a str> {
    let suite = format!(" {part} ");
    listing.lines().find_map(|line| {
        let mut columns = line.split('|');
        let (_name, version, origin) = (columns.next()?, columns.next()?, columns.next()?);
        format!("{origin} ").contains(&suite).then(|| version.trim())
    })
}

/// The concrete kernel package in the metapackage's dependencies.
fn kernel_package(depends: &str) -> Result<&str> {
    depends
        .split(',')
        .filter_map(|dependency| dependency.split_whitespace().next())
        .find(|name| name.starts_with("linux-image-"))
        .with_context(|| format!("{KERNEL_METAPACKAGE} depends on no kernel: {depends}"))
}

fn package(fields: &str) -> Result<Package> {
    let text = |name: &str| field(fields, name).map(str::to_owned);
    Ok(Package {
        name: text("Package")?,
        version: text("Version")?,
        architecture: text("Architecture")?,
        sha256: text("SHA256")?,
        size_bytes: field(fields, "Size")?.parse().context("a package's size is a number")?,
        pool_path: text("Filename")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = "\
linux-image-arm64 | 6.12.95-1~bpo12+1 | http://deb.debian.org/debian bookworm-backports/main arm64 Packages
linux-image-arm64 |  6.1.192-2 | http://deb.debian.org/debian-security bookworm-security/main arm64 Packages
linux-image-arm64 |  6.1.176-1 | http://deb.debian.org/debian bookworm/main arm64 Packages
linux-image-arm64 |  6.1.170-1 | http://mirror.example/debian bookworm/main arm64 Packages
";

    #[test]
    fn the_main_archive_counts_not_security_or_backports() {
        assert_eq!(version_in(LISTING, "bookworm/main"), Some("6.1.176-1"));
        assert_eq!(version_in(LISTING, "trixie/main"), None);
    }

    #[test]
    fn the_metapackage_leads_to_the_concrete_kernel() {
        let depends = "base-files (>= 1), linux-image-6.1.0-50-arm64 (= 6.1.176-1)";
        assert_eq!(kernel_package(depends).expect("found"), "linux-image-6.1.0-50-arm64");
        assert!(kernel_package("libc6").is_err());
    }

    #[test]
    fn a_package_is_read_from_its_fields() {
        let fields =
            "Package: p\nVersion: 1:2-3\nArchitecture: arm64\nFilename: pool/main/p/p.deb\nSize: 12\nSHA256: ab\n";
        let read = package(fields).expect("complete");
        assert_eq!((read.name.as_str(), read.size_bytes, read.version.as_str()), ("p", 12, "1:2-3"));
        assert!(package("Package: p\n").is_err());
    }
}
