//! What needs a board: the guest, the boot image, and QEMU with it.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail};
use clap::{
    Args, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};
use qemu::{
    board::Board,
    boot_image::{self, BootImageOptions},
    guest::{self, GuestOptions},
    launcher::{Launch, Machine},
};

use crate::{
    process::step,
    shell::{Outcome, Shell},
};

/// How long Linux may take to its shell: some four seconds on an idle machine, far more on one that compiles.
const BOOT_LIMIT: Duration = Duration::from_secs(180);

/// How long one line of the demo may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(120);

/// Which image to build.
#[derive(Debug, Args)]
pub(crate) struct ImageOptions {
    /// The board
    #[arg(long, default_value_t = Board::QemuVirtAarch64, value_parser = boards())]
    board: Board,
    /// The kernel's configuration
    #[arg(long, value_enum, default_value_t = Configuration::Debug)]
    configuration: Configuration,
}

/// Which card's image to build.
#[derive(Debug, Args)]
pub(crate) struct CardOptions {
    /// The board
    #[arg(long, value_parser = boards_with_card())]
    board: Board,
    /// The kernel's configuration
    #[arg(long, value_enum, default_value_t = Configuration::Debug)]
    configuration: Configuration,
}

fn boards_with_card() -> impl TypedValueParser<Value = Board> {
    let with_card = Board::ALL.into_iter().filter(|board| board.is_raspberry_pi());
    PossibleValuesParser::new(with_card.map(Board::name)).try_map(|name| name.parse())
}

fn boards() -> impl TypedValueParser<Value = Board> {
    PossibleValuesParser::new(Board::ALL.map(Board::name)).try_map(|name| name.parse())
}

/// Configurations of the Microkit SDK.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Configuration {
    /// Prints, asserts
    Debug,
    /// Neither
    Release,
}

impl Configuration {
    fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Release => "release",
        }
    }
}

impl ImageOptions {
    fn build(&self) -> Result<PathBuf> {
        let options = BootImageOptions::from_environment(self.board, self.configuration.name())?;
        Ok(boot_image::build_image(&options, &say)?.path)
    }
}

impl CardOptions {
    /// Builds the boot image and the card's image around it.
    pub(crate) fn build(&self) -> Result<PathBuf> {
        let options = BootImageOptions::from_environment(self.board, self.configuration.name())?;
        let loader = boot_image::build_image(&options, &say)?.path;
        step("building the SD card's image");
        sd_card::image::build(&options, &loader, &say)
    }
}

fn say(line: &str) {
    eprintln!("    {line}");
}

/// The image that the system tests boot.
pub(crate) fn image_for_tests(board: Board) -> Result<PathBuf> {
    ImageOptions { board, configuration: Configuration::Debug }.build()
}

/// `cargo xtask guest`.
pub(crate) fn guest(update_lock: bool) -> Result<()> {
    let options = GuestOptions::from_environment()?;
    if update_lock {
        step("pinning the packages that the mirrors have now");
        guest::update_lock(&options, &say)?;
        let firmware = sd_card::image::lock_file(&options.workspace);
        sd_card::packages::update_lock(&firmware, &options.cache, &say)?;
    }
    step("building the guest");
    let image = guest::build_guest(&options, &say)?;
    println!("kernel {} and {}", image.kernel.display(), image.initramfs.display());
    Ok(())
}

/// `cargo xtask image`.
pub(crate) fn image(options: &ImageOptions) -> Result<()> {
    step("building the boot image");
    let path = if options.board.is_raspberry_pi() {
        CardOptions { board: options.board, configuration: options.configuration }.build()?
    } else {
        options.build()?
    };
    println!("{}", path.display());
    Ok(())
}

/// `cargo xtask qemu`.
pub(crate) fn boot(options: &ImageOptions) -> Result<()> {
    step("building the boot image");
    let image = options.build()?;
    step("booting; Ctrl-A x ends QEMU");
    let status = Launch::atoll(options.board, image).steady().attach()?;
    if status.success() { Ok(()) } else { bail!("QEMU ended with {status}") }
}

/// The shell of a guest that was booted for the demo.
pub(crate) struct GuestShell {
    machine: Machine,
}

impl GuestShell {
    /// Builds the image, boots it and waits for the shell.
    pub(crate) fn boot() -> Result<Self> {
        step("building the boot image");
        let board = Board::QemuVirtAarch64;
        let image = image_for_tests(board)?;
        step("booting seL4, and Linux on it, in QEMU");
        let mut machine = Launch::atoll(board, image).steady().start()?;
        machine.console.expect_guest_shell(BOOT_LIMIT).context("Linux did not come up to its shell")?;
        machine.console.run_command("cd /root", COMMAND_LIMIT)?;
        Ok(Self { machine })
    }
}

impl Shell for GuestShell {
    fn run(&mut self, line: &str) -> Result<Outcome> {
        let result = self.machine.console.run_command(line, COMMAND_LIMIT)?;
        Ok(Outcome { output: result.text, code: result.status.into() })
    }
}
