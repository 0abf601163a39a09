//! The card's image as others see it: a second FAT library, the usual tools, and a Raspberry Pi 4 in QEMU.
//!
//! A writer that reads its own work back agrees with itself. What this machine lacks is said (`qemu::skip`).

/// Skips where something is missing; any other error is a failure.
macro_rules! or_skip {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(error) => match error.downcast_ref::<qemu::Missing>() {
                Some(missing) => qemu::skip!("{missing}"),
                None => panic!("{error:#}"),
            },
        }
    };
}

mod boot;
mod reader;
mod tools;

use std::path::{Path, PathBuf};

use anyhow::Result;
use qemu::board::Board;
use qemu::guest::{GuestOptions, lock};
use sd_card::{
    bill_of_materials,
    card::{self, BootFile},
    image, packages, sha256_hex,
};
use serde_json::Value;

/// An image in a folder of its own.
struct Card {
    folder: tempfile::TempDir,
    files: Vec<BootFile>,
}

impl Card {
    fn with(files: Vec<BootFile>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let card = Self { folder, files };
        card::write(&card.path(), &card.files)?;
        Ok(card)
    }

    /// Small files of awkward lengths under names of every kind that is on a real card.
    fn made_up() -> Result<Self> {
        let file = |name: &str, length: usize| BootFile::new(name, name.as_bytes().repeat(length));
        Self::with(vec![
            file("start4.elf", 4099),
            file("config.txt", 1),
            file("bcm2711-rpi-4-b.dtb", 53),
            file("LICENCE.firmware.txt", 200),
            file("loader.img", 300_000),
            BootFile::new("empty", ""),
        ])
    }

    /// Debian's firmware around this boot image.
    fn real(loader: Vec<u8>) -> Result<Self> {
        let options = GuestOptions::from_environment()?;
        let lock = packages::Lock::read(&image::lock_file(&options.workspace))?;
        let guest = lock::Lock::read(&options.lock_file())?;
        let unpacked = image::unpacked(&options.workspace);
        let store = packages::Store { cache: &options.cache, unpacked: &unpacked };
        let firmware = packages::firmware(&lock, &guest, store, &|_| {})?;
        Self::with(image::boot_files(loader, firmware.files))
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(image::IMAGE)
    }

    /// Puts one of the card's files beside it.
    fn unpack(&self, name: &str) -> Result<PathBuf> {
        let file = self.files.iter().find(|file| file.name == name).expect("the card has it");
        let path = self.folder.path().join(name);
        std::fs::write(&path, &file.content)?;
        Ok(path)
    }

    /// Name and hash of each file, as the bill of materials says.
    fn billed(&self) -> Vec<(String, String)> {
        let bill = bill_of_materials::bill(Board::Rpi4b2Gb, Vec::new(), &self.files);
        let bill: Value = serde_json::from_str(&bill).expect("JSON");
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let files = bill["components"].as_array().expect("a list").iter();
        files.map(|file| (text(&file["name"]), text(&file["hashes"][0]["content"]))).collect()
    }
}

/// Compares what a reader found with the bill of materials.
fn compare(card: &Card, mut found: Vec<BootFile>) {
    found.sort_by_key(|file| file.name.to_lowercase());
    let found: Vec<_> = found.into_iter().map(|file| (file.name, sha256_hex(&file.content))).collect();
    assert_eq!(found, card.billed());
}

/// A number in little-endian order somewhere in an image.
fn little_endian(path: &Path, offset: usize, bytes: usize) -> u64 {
    let content = std::fs::read(path).expect("readable");
    content[offset..offset + bytes].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The table's first entry stands at 0x1be: flag, type, first sector, sectors (the PC's partition table, as the boot ROM
/// reads it).
#[test]
fn the_partition_is_where_it_should_be() {
    let card = Card::made_up().expect("written");
    let path = card.path();
    let field = |offset: usize, bytes| little_endian(&path, 0x1be + offset, bytes);
    assert_eq!(field(0, 1), 0x80, "active");
    assert_eq!(field(4, 1), 0x0c, "FAT32 with LBA");
    assert_eq!(field(8, 4) * 512 % (4 << 20), 0, "aligned to 4 MiB");
    let size = std::fs::metadata(&path).expect("a file").len();
    assert_eq!((field(8, 4) + field(12, 4)) * 512, size, "up to the end");
    assert!(size.is_power_of_two(), "QEMU takes no other SD card");
    assert_eq!(little_endian(&path, 0x1fe, 2), 0xaa55);
    for entry in 1..4 {
        assert_eq!(field(16 * entry + 4, 1), 0, "no further partition");
    }
}

#[test]
fn the_real_card_has_the_same_bytes_each_time() {
    let first = or_skip!(Card::real(b"no loader".repeat(1000)));
    let second = Card::real(b"no loader".repeat(1000)).expect("as before");
    let hash = |card: &Card| sha256_hex(&std::fs::read(card.path()).expect("readable"));
    assert_eq!(hash(&first), hash(&second));
}
