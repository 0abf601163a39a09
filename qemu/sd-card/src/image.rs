//! The card's image with everything beside it, made from the boot image.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use qemu::guest::{Progress, lock, packages::PackageCache};

use crate::{
    boot_script,
    card::{self, BootFile},
    packages::{self, Lock},
    sha256_hex,
};

/// The image's name.
pub const IMAGE: &str = "atoll-rpi4.img";

/// What the firmware reads first.
const CONFIGURATION: &str = include_str!("../config.txt");

/// Everything that is on a card for this boot image.
#[must_use]
pub fn boot_files(loader: Vec<u8>, firmware: Vec<BootFile>) -> Vec<BootFile> {
    let mut files = firmware;
    files.push(BootFile::new("config.txt", CONFIGURATION));
    files.push(BootFile::new(boot_script::SCRIPT, boot_script::file(&loader)));
    files.push(BootFile::new(boot_script::LOADER, loader));
    files
}

/// Writes the image for `loader` beside it.
///
/// # Errors
/// [`Missing`](qemu::Missing) where a package cannot be fetched here.
pub fn build(workspace: &Path, loader: &Path, cache: &PackageCache, progress: &Progress<'_>) -> Result<PathBuf> {
    let lock = Lock::read(&workspace.join("qemu/sd-card/packages.lock.toml"))?;
    let guest = lock::Lock::read(&workspace.join("qemu/guest/packages.lock.toml"))?;
    let firmware = packages::firmware(&lock, &guest, cache, progress)?;
    let content = fs::read(loader).with_context(|| format!("cannot read {}", loader.display()))?;
    let files = boot_files(content, firmware.files);
    let path = loader.with_file_name(IMAGE);
    card::write(&path, &files)?;
    let hash = sha256_hex(&fs::read(&path)?);
    fs::write(path.with_extension("img.sha256"), format!("{hash}  {IMAGE}\n"))?;
    Ok(path)
}
