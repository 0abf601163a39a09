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

impl ImageOptions {
    fn build(&self) -> Result<PathBuf> {
        let configuration = match self.configuration {
            Configuration::Debug => "debug",
            Configuration::Release => "release",
        };
        let options = BootImageOptions::from_environment(self.board, configuration)?;
        Ok(boot_image::build_image(&options, &say)?.path)
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
    }
    step("building the guest");
    let image = guest::build_guest(&options, &say)?;
    println!("kernel {} and {}", image.kernel.display(), image.initramfs.display());
    Ok(())
}

/// `cargo xtask image`.
pub(crate) fn image(options: &ImageOptions) -> Result<()> {
    step("building the boot image");
    println!("{}", options.build()?.display());
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
