//! A Raspberry Pi 4 in QEMU that starts from the card: U-Boot finds its script, checks the image and starts it.
//!
//! QEMU has no boot ROM and does not run the firmware, so `config.txt`, `start4.elf` and `fixup4.dat` are not used here.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use qemu::{
    Missing,
    board::Board,
    launcher::{Launch, Machine, Qemu},
};
use sd_card::packages::{DEVICE_TREE, U_BOOT};

use crate::Card;

/// Names the boot image, as for the system tests on seL4.
const IMAGE: &str = "ATOLL_IMAGE_RPI4B";

/// U-Boot looks for devices and waits for a key first; on a busy host this takes long.
const BOOT_LOADER: Duration = Duration::from_secs(120);

/// seL4 and Linux on it.
const BOOT: Duration = Duration::from_secs(240);

fn boot(card: &Card) -> Result<Machine> {
    let launch = Launch::card(card.path(), card.unpack(U_BOOT)?, card.unpack(DEVICE_TREE)?);
    let mut machine = launch.deterministic().start()?;
    machine.console.expect("Found U-Boot script /boot.scr", BOOT_LOADER)?;
    Ok(machine)
}

/// A card with this image, or what is missing for it.
fn card(loader: Vec<u8>) -> Result<Card> {
    Qemu::find()?.require_board(Board::Rpi4b2Gb)?;
    Card::real(loader)
}

fn atoll() -> Result<Vec<u8>> {
    let named = std::env::var_os(IMAGE).filter(|image| !image.is_empty()).map(PathBuf::from);
    let path = named.ok_or_else(|| Missing::new(format!("{IMAGE} names no boot image"), "run `cargo xtask test`"))?;
    std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
}

#[test]
#[ignore = "needs a boot image: run by `cargo xtask test`"]
fn the_card_boots_to_the_guests_shell() {
    let card = or_skip!(atoll().and_then(card));
    let mut machine = or_skip!(boot(&card));
    let result = (|| -> Result<()> {
        machine.console.expect("Atoll: size and CRC-32 are right; starting at 0x10000000", BOOT_LOADER)?;
        machine.console.expect("Bootstrapping kernel", BOOT)?;
        machine.console.expect_guest_shell(BOOT)?;
        let output = machine.console.run_command("uname -m", BOOT_LOADER)?;
        anyhow::ensure!(output.text.trim() == "aarch64", "{output:?}");
        Ok(())
    })();
    result.unwrap_or_else(|error| panic!("{error:#}\n{}", machine.console.transcript()));
}

/// What U-Boot says when the image on the card is not the one that its script was written for.
fn refusal(change: impl FnOnce(&mut Vec<u8>)) -> Result<String> {
    let mut card = card(b"not the image".repeat(1000))?;
    let loader = card.files.iter_mut().find(|file| file.name == "loader.img").context("the card has an image")?;
    change(&mut loader.content);
    sd_card::card::write(&card.path(), &card.files)?;
    let mut machine = boot(&card)?;
    // What U-Boot says when a script gave up.
    machine.console.expect("SCRIPT FAILED: continuing", BOOT_LOADER)?;
    Ok(machine.console.transcript())
}

#[test]
#[ignore = "takes a while: run by `cargo xtask test`"]
fn a_damaged_image_is_not_started() {
    let said = or_skip!(refusal(|loader| loader[5000] ^= 1));
    assert!(said.contains("should have the CRC-32") && !said.contains("starting at"), "{said}");
}

#[test]
#[ignore = "takes a while: run by `cargo xtask test`"]
fn an_image_of_another_size_is_not_started() {
    let said = or_skip!(refusal(|loader| loader.truncate(5000)));
    assert!(said.contains("should have 0x32c8 bytes and has 0x1388") && !said.contains("starting at"), "{said}");
}

#[test]
#[ignore = "takes a while: run by `cargo xtask test`"]
fn a_missing_image_is_told() {
    let mut card = or_skip!(card(b"gone".to_vec()));
    card.files.retain(|file| file.name != "loader.img");
    sd_card::card::write(&card.path(), &card.files).expect("written");
    let mut machine = or_skip!(boot(&card));
    let told = machine.console.expect("FAILED: the boot partition has no loader.img", BOOT_LOADER);
    assert!(told.is_ok(), "{}", machine.console.transcript());
}
