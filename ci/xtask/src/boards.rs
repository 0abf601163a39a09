//! What needs a board: the guest, the boot image, and QEMU with it.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::{
    Args, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};
use key_files::{KeyDirectory, PrivateKey};
use qemu::{
    board::Board,
    boot_image::{self, BootImageOptions, Variant},
    guest::{self, GuestImage, GuestOptions, Overlay},
    launcher::{Launch, Machine},
    sdk::is_multi_core,
};
use runner_tokens::Role;

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
    #[command(flatten)]
    trust: TrustOptions,
    /// An image that is no product: with a cell that attacks everybody
    #[arg(long, hide = true)]
    hostile_cell: bool,
    /// An image that is no product: one for use, with keys that lie beside it
    #[arg(long, hide = true, conflicts_with_all = ["policy", "keys", "hostile_cell"])]
    signed_only: bool,
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
    #[command(flatten)]
    trust: TrustOptions,
}

/// What containers may do on the device, and whose word counts there.
#[derive(Clone, Debug, Default, Args)]
struct TrustOptions {
    /// The board's policy [default: the demo policy]; one that does not allow unsigned containers makes an image for use
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// A directory of public keys (`NAME.pub`) whose signatures count [default: the demo keys]
    #[arg(long, value_name = "DIRECTORY")]
    keys: Option<PathBuf>,
}

impl TrustOptions {
    fn image(&self, board: Board, configuration: Configuration) -> Result<BootImageOptions> {
        let mut options = BootImageOptions::from_environment(board, configuration.name())?;
        if let Some(policy) = &self.policy {
            options.policy.clone_from(policy);
        }
        options.keys.clone_from(&self.keys);
        Ok(options)
    }
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
    /// As debug, on all of the board's cores
    SmpDebug,
    /// As release, on all of the board's cores
    SmpRelease,
}

impl Configuration {
    fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Release => "release",
            Self::SmpDebug => "smp-debug",
            Self::SmpRelease => "smp-release",
        }
    }
}

impl ImageOptions {
    fn build(&self) -> Result<PathBuf> {
        if self.signed_only {
            return image_for_signed_only(self.board);
        }
        let variant = if self.hostile_cell { Variant::HostileCell } else { Variant::Product };
        let options = self.trust.image(self.board, self.configuration)?;
        Ok(boot_image::build_image(&BootImageOptions { variant, ..options }, &say)?.path)
    }
}

impl CardOptions {
    /// Builds the boot image and the card's image around it.
    pub(crate) fn build(&self) -> Result<PathBuf> {
        let options = self.trust.image(self.board, self.configuration)?;
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
    variant(board, Configuration::Debug, Variant::Product)
}

/// The same for all of the board's cores.
pub(crate) fn image_for_several_cores(board: Board) -> Result<PathBuf> {
    variant(board, Configuration::SmpDebug, Variant::Product)
}

/// An image in which a cell attacks everybody. A release kernel: what one with debugging says of each refused call goes to the
/// console that Linux has, and one of its own system calls halts the machine.
pub(crate) fn image_with_hostile_cell(board: Board) -> Result<PathBuf> {
    variant(board, Configuration::Release, Variant::HostileCell)
}

/// The image that stands beside [`image_for_tests`] where the cost of checking rights is measured.
pub(crate) fn image_without_check(board: Board) -> Result<PathBuf> {
    variant(board, Configuration::Debug, Variant::UncheckedAccess)
}

/// An image for use, as an owner makes one, with keys that lie beside it (`keys/`, both halves) for the test to sign with. They
/// are made once, so that the image stays the same.
pub(crate) fn image_for_signed_only(board: Board) -> Result<PathBuf> {
    let mut options = BootImageOptions::from_environment(board, Configuration::Release.name())?;
    options.variant = Variant::SignedOnly;
    let folder = options.folder();
    let keys = KeyDirectory::at(folder.join("keys"));
    for role in [Role::Developer, Role::Integrator, Role::Owner] {
        if !keys.public_path(role.name()).exists() {
            let key = PrivateKey::generate().map_err(|fault| anyhow!("no key can be made: {fault:?}"))?;
            keys.add(role.name(), role, &key, None)?;
        }
    }
    let demo = fs::read_to_string(&options.policy)?;
    let policy = demo.replace("allow-unsigned = true", "allow-unsigned = false");
    ensure!(demo != policy, "{} does not say that unsigned containers run", options.policy.display());
    options.policy = folder.join("policy.toml");
    fs::write(&options.policy, policy)?;
    options.keys = Some(keys.path().to_owned());
    Ok(boot_image::build_image(&options, &say)?.path)
}

/// The guest alone.
pub(crate) fn guest_image() -> Result<GuestImage> {
    guest::build_guest(&GuestOptions::from_environment()?, &say)
}

/// A release kernel, with the policy for eight containers at once, and a guest that has these files too.
pub(crate) fn image_for_eight(overlay: Overlay) -> Result<PathBuf> {
    let options = BootImageOptions::from_environment(Board::QemuVirtAarch64, Configuration::Release.name())?;
    let policy = options.workspace.join("qemu/eight-policy.toml");
    let variant = Variant::Eight;
    Ok(boot_image::build_image(&BootImageOptions { variant, overlay, policy, ..options }, &say)?.path)
}

/// The image of a machine that nobody types at: a release kernel, whose guest has these files too.
pub(crate) fn image_with_script(overlay: Overlay) -> Result<PathBuf> {
    let options = BootImageOptions::from_environment(Board::QemuVirtAarch64, Configuration::Release.name())?;
    Ok(boot_image::build_image(&BootImageOptions { variant: Variant::Scripted, overlay, ..options }, &say)?.path)
}

fn variant(board: Board, configuration: Configuration, variant: Variant) -> Result<PathBuf> {
    let options = BootImageOptions::from_environment(board, configuration.name())?;
    Ok(boot_image::build_image(&BootImageOptions { variant, ..options }, &say)?.path)
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
        CardOptions { board: options.board, configuration: options.configuration, trust: options.trust.clone() }
            .build()?
    } else {
        options.build()?
    };
    println!("{}", path.display());
    Ok(())
}

/// `cargo xtask qemu`.
pub(crate) fn boot(options: &ImageOptions) -> Result<()> {
    let several = is_multi_core(options.configuration.name());
    // The launcher's stand-in for the firmware parks the other cores where Microkit's loader does not look for them.
    ensure!(!(several && options.board.is_raspberry_pi()), "the Raspberry Pi in QEMU has one core here");
    step("building the boot image");
    let image = options.build()?;
    step("booting; Ctrl-A x ends QEMU");
    let launch = Launch::atoll(options.board, image).steady();
    let status = if several { launch.multi_core() } else { launch }.attach()?;
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
