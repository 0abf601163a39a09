//! SD cards for the Raspberry Pi 4: from the boot image to a card that boots.
//!
//! The image is one partition table and one FAT file system, written by libraries into a plain file: no root rights, no loop
//! device, and the same input gives the same bytes. Firmware and U-Boot are Debian's packages, pinned by version and hash;
//! a bill of materials beside the image names every part. This is a host program's library: it trusts the person who runs
//! it and the committed lock file, and checks everything that was downloaded or is about to be overwritten.
//!
//! | module | what it does |
//! |---|---|
//! | [`card`] | partition table and file system |
//! | [`boot_script`] | what U-Boot is told to do |
//! | [`packages`] | firmware, U-Boot and device tree from pinned packages |
//! | [`bill_of_materials`] | what is in the image, in CycloneDX |
//! | [`image`] | all of it together, as files |
//! | [`device`] | what is known of a device, and why it is refused |
//! | [`flash`] | writes an image to a device and reads it back |
#![forbid(unsafe_code)]

pub mod bill_of_materials;
pub mod boot_script;
pub mod card;
pub mod device;
pub mod flash;
pub mod image;
pub mod packages;

use sha2::{Digest, Sha256};

/// The SHA-256 of some bytes, as 64 lower-case hexadecimal digits.
#[must_use]
pub fn sha256_hex(content: &[u8]) -> String {
    hexadecimal(&Sha256::digest(content))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
