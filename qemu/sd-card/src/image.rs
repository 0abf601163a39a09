//! The card's image with everything beside it, made from the boot image.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use qemu::boot_image::BootImageOptions;
use qemu::guest::{Progress, lock};

use crate::{
    bill_of_materials, boot_script,
    card::{self, BootFile},
    packages::{self, Lock, Store},
    sha256_hex,
};

/// The image's name.
pub const IMAGE: &str = "atoll-rpi4.img";

/// Its hash, in the form that `sha256sum --check` reads.
pub const HASH: &str = "atoll-rpi4.img.sha256";

/// What is in it.
pub const BILL_OF_MATERIALS: &str = "atoll-rpi4.bom.json";

/// What the firmware reads first.
const CONFIGURATION: &str = include_str!("../config.txt");

/// The lock file that pins firmware and U-Boot.
#[must_use]
pub fn lock_file(workspace: &Path) -> PathBuf {
    workspace.join("qemu/sd-card/packages.lock.toml")
}

/// Where unpacked files are kept between builds.
#[must_use]
pub fn unpacked(workspace: &Path) -> PathBuf {
    workspace.join("target/sd-card")
}

/// Everything that is on a card: what boots the board, and Atoll.
#[must_use]
pub fn boot_files(loader: Vec<u8>, firmware: Vec<BootFile>) -> Vec<BootFile> {
    let mut files = firmware;
    files.push(BootFile::new("config.txt", CONFIGURATION));
    files.push(BootFile::new(boot_script::SCRIPT, boot_script::file(&loader)));
    files.push(BootFile::new(boot_script::LOADER, loader));
    files
}

/// Writes [`IMAGE`], [`HASH`] and [`BILL_OF_MATERIALS`] beside the boot image `loader`, which was built with `options`.
///
/// # Errors
/// [`Missing`](qemu::Missing) where a package cannot be fetched here; else the board has no such card, or a file cannot be
/// read or written.
pub fn build(options: &BootImageOptions, loader: &Path, progress: &Progress<'_>) -> Result<PathBuf> {
    ensure!(options.board.is_raspberry_pi(), "{} has no SD card", options.board);
    let lock = Lock::read(&lock_file(&options.workspace))?;
    let guest = lock::Lock::read(&options.guest.lock_file())?;
    let unpacked = unpacked(&options.workspace);
    let store = Store { cache: &options.guest.cache, unpacked: &unpacked };
    let firmware = packages::firmware(&lock, &guest, store, progress)?;
    let busybox = store.origin(&guest.release, &guest.busybox, progress)?;
    let mut parts: Vec<_> = firmware.origins.iter().chain([&busybox]).map(bill_of_materials::debian).collect();
    parts.extend(bill_of_materials::sdk(&options.sdk, options.board, &options.configuration)?);
    parts.extend(bill_of_materials::crates(&options.workspace)?);
    let files = boot_files(read(loader)?, firmware.files);
    let path = loader.with_file_name(IMAGE);
    progress(&format!("writing {}", path.display()));
    card::write(&path, &files)?;
    write(&loader.with_file_name(HASH), &format!("{}  {IMAGE}\n", sha256_hex(&read(&path)?)))?;
    write(&loader.with_file_name(BILL_OF_MATERIALS), &bill_of_materials::bill(options.board, parts, &files))?;
    Ok(path)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value of a setting in `config.txt`.
    fn setting(name: &str) -> Option<&'static str> {
        CONFIGURATION.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
    }

    #[test]
    fn the_firmware_is_told_the_names_that_the_files_have() {
        assert_eq!(setting("kernel"), Some(packages::U_BOOT));
        assert_eq!(setting("device_tree"), Some(packages::DEVICE_TREE));
    }

    #[test]
    fn each_setting_has_its_reason() {
        for block in CONFIGURATION.trim_end().split("\n\n").skip(1) {
            let lines: Vec<&str> = block.lines().collect();
            let (setting, reason) = lines.split_last().expect("a block");
            assert!(setting.contains('=') && !setting.starts_with('#'), "{block}");
            assert!(!reason.is_empty() && reason.iter().all(|line| line.starts_with("# ")), "{block}");
            // The firmware reads no longer lines (Raspberry Pi's documentation, "config.txt": 98 characters).
            assert!(setting.len() <= 98, "{block}");
        }
    }

    #[test]
    fn the_script_is_for_the_image_beside_it() {
        let files = boot_files(b"image".to_vec(), vec![BootFile::new("start4.elf", "")]);
        let script = files.iter().find(|file| file.name == boot_script::SCRIPT).expect("a script");
        assert_eq!(script.content, boot_script::file(b"image"));
        assert!(files.iter().any(|file| file.name == boot_script::LOADER && file.content == b"image"));
    }
}
