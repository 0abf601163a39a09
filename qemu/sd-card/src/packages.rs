//! Firmware, U-Boot and device tree from Debian's packages.
//!
//! The packages are pinned like the guest's, in a lock file of the same form, and kept in the same cache. The device tree
//! comes from the guest's kernel package: Debian's firmware package has none.

use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Context, Result};
use qemu::guest::{
    Progress,
    debian_package::{read_limited, visit_files},
    lock::{self, Package},
    packages::{PackageCache, Wanted, newest_of},
};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::card::BootFile;

/// The device tree's name, for U-Boot and `config.txt`.
pub const DEVICE_TREE: &str = "bcm2711-rpi-4-b.dtb";

/// U-Boot's name.
pub const U_BOOT: &str = "u-boot.bin";

/// Debian builds U-Boot for several boards; this one is for all 64-bit Raspberry Pis and takes its device tree from the
/// firmware, so one file fits all memory sizes.
const U_BOOT_VARIANT: &str = "rpi_arm64";

/// The firmware's files: what the boot ROM's second stage loads on a Raspberry Pi 4, and its memory sizes.
const FIRMWARE: [&str; 2] = ["start4.elf", "fixup4.dat"];

/// Opens every lock file that is written.
const HEADER: &str = "\
# What runs on a Raspberry Pi before Atoll: Debian's packages, by name, version and SHA-256.
# Written by `cargo xtask guest --update-lock`. The device tree is the guest's kernel package's (../guest/packages.lock.toml).
";

/// The lock file's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Debian release by code name.
    pub release: String,
    /// The Raspberry Pi's firmware, from `non-free-firmware`.
    pub firmware: Package,
    /// The boot loader.
    pub u_boot: Package,
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

    fn parse(text: &str) -> Result<Self> {
        let lock: Self = toml::from_str(text)?;
        lock.firmware.check()?;
        lock.u_boot.check()?;
        Ok(lock)
    }

    fn to_text(&self) -> Result<String> {
        Ok(format!("{HEADER}{}", toml::to_string(self).context("a lock can be written as TOML")?))
    }
}

/// Pins what the release's archive has now, and writes the lock file if that differs. A person reviews the change.
///
/// # Errors
/// [`Missing`](qemu::Missing) where there is no apt; else the mirrors cannot be reached or do not have the packages.
pub fn update_lock(path: &Path, cache: &PackageCache, progress: &Progress<'_>) -> Result<()> {
    let before = Lock::read(path)?;
    let wanted = [
        Wanted { name: &before.firmware.name, component: "non-free-firmware", architecture: "arm64" },
        Wanted { name: &before.u_boot.name, component: "main", architecture: "arm64" },
    ];
    let found = newest_of(&before.release, &wanted, cache, progress)?;
    let [firmware, u_boot] = <[Package; 2]>::try_from(found).ok().context("two packages were asked for")?;
    let after = Lock { release: before.release.clone(), firmware, u_boot };
    if after == before {
        return Ok(());
    }
    fs::write(path, after.to_text()?).with_context(|| format!("cannot write {}", path.display()))
}

/// A package that is part of the card, with what its maintainers say about its licence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The package.
    pub package: Package,
    /// Its `debian/copyright`.
    pub copyright: String,
}

/// What boots the board before Atoll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firmware {
    /// The files, with their licences beside them.
    pub files: Vec<BootFile>,
    /// Where they come from: firmware, U-Boot, kernel (the device tree).
    pub origins: [Origin; 3],
}

/// Where packages come from, and where their unpacked files are kept between builds.
#[derive(Debug, Clone, Copy)]
pub struct Store<'a> {
    /// Downloaded packages.
    pub cache: &'a PackageCache,
    /// Unpacked files: the kernel's package takes seconds to look through.
    pub unpacked: &'a Path,
}

/// Takes the files out of the packages, which are downloaded if they are not in the cache.
///
/// # Errors
/// [`Missing`](qemu::Missing) where a package cannot be fetched here; else it is not what the lock says.
pub fn firmware(lock: &Lock, guest: &lock::Lock, store: Store<'_>, progress: &Progress<'_>) -> Result<Firmware> {
    let firmware: Vec<String> = FIRMWARE.iter().map(|name| format!("usr/lib/raspi-firmware/{name}")).collect();
    let u_boot = [format!("usr/lib/u-boot/{U_BOOT_VARIANT}/{U_BOOT}")];
    let tree = [format!("usr/lib/{}/broadcom/{DEVICE_TREE}", guest.kernel.name)];
    let (mut files, firmware) = store.unpack(&lock.release, &lock.firmware, &firmware, progress)?;
    let (more, u_boot) = store.unpack(&lock.release, &lock.u_boot, &u_boot, progress)?;
    files.extend(more);
    let (more, kernel) = store.unpack(&guest.release, &guest.kernel, &tree, progress)?;
    files.extend(more);
    let origins = [firmware, u_boot, kernel];
    for (origin, name) in origins.iter().zip(["firmware", "u-boot", "device-tree"]) {
        files.push(BootFile::new(format!("LICENCE.{name}.txt"), origin.copyright.as_bytes()));
    }
    Ok(Firmware { files, origins })
}

impl Store<'_> {
    /// What a package says about itself.
    ///
    /// # Errors
    /// As [`firmware`].
    pub fn origin(self, release: &str, package: &Package, progress: &Progress<'_>) -> Result<Origin> {
        Ok(self.unpack(release, package, &[], progress)?.1)
    }

    /// These files of the package, and what it says about itself.
    fn unpack(
        self,
        release: &str,
        package: &Package,
        paths: &[String],
        progress: &Progress<'_>,
    ) -> Result<(Vec<BootFile>, Origin)> {
        let folder = self.unpacked.join(format!("{}-{}", package.name, &package.sha256[..16]));
        let copyright = format!("usr/share/doc/{}/copyright", package.name);
        let wanted: Vec<&str> = paths.iter().map(String::as_str).chain([copyright.as_str()]).collect();
        let kept: Option<Vec<BootFile>> = wanted.iter().map(|path| kept(&folder, path)).collect();
        let mut files = match kept {
            Some(files) => files,
            None => {
                let archive = self.cache.obtain(release, package, progress)?;
                progress(&format!("unpacking {}", package.file_name()));
                let files = read_files(&archive, &wanted)?;
                fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
                files.iter().try_for_each(|file| keep(&folder, file))?;
                files
            }
        };
        let copyright = files.pop().context("the copyright file was asked for")?.content;
        let copyright = String::from_utf8(copyright).with_context(|| format!("{}'s copyright file", package.name))?;
        Ok((files, Origin { package: package.clone(), copyright }))
    }
}

/// The name of a file in a package, without its folders.
fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn kept(folder: &Path, path: &str) -> Option<BootFile> {
    Some(BootFile::new(name(path), fs::read(folder.join(name(path))).ok()?))
}

/// In one step, because a file that is there counts.
fn keep(folder: &Path, file: &BootFile) -> Result<()> {
    let path = folder.join(&file.name);
    let mut new = NamedTempFile::new_in(folder).with_context(|| format!("cannot write into {}", folder.display()))?;
    new.write_all(&file.content)?;
    new.persist(&path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}

/// Several files in one go, in the order in which they are asked for.
fn read_files(archive: &Path, wanted: &[&str]) -> Result<Vec<BootFile>> {
    let mut found: Vec<Option<BootFile>> = vec![None; wanted.len()];
    visit_files(archive, &mut |path, reader| {
        if let Some(index) = wanted.iter().position(|wanted| *wanted == path) {
            found[index] = Some(BootFile::new(name(path), read_limited(reader)?));
        }
        let is_done = found.iter().all(Option::is_some);
        Ok(if is_done { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    let named = found.into_iter().zip(wanted);
    named.map(|(file, path)| file.with_context(|| format!("{} holds no file {path}", archive.display()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMITTED: &str = include_str!("../packages.lock.toml");

    #[test]
    fn the_committed_lock_is_what_would_be_written() {
        assert_eq!(Lock::parse(COMMITTED).expect("the committed lock file").to_text().expect("text"), COMMITTED);
    }

    #[test]
    fn a_lock_with_a_short_hash_is_refused() {
        let hash = Lock::parse(COMMITTED).expect("the committed lock file").u_boot.sha256;
        let error = Lock::parse(&COMMITTED.replace(&hash, &hash[1..])).expect_err("refused");
        assert!(error.to_string().contains("is not the SHA-256 of u-boot-rpi"), "{error}");
    }

    #[test]
    fn the_lock_keeps_to_the_cards_packages() {
        let error = Lock::parse(&format!("{COMMITTED}[wifi]\n")).expect_err("refused");
        assert!(error.to_string().contains("wifi"), "{error}");
    }
}
