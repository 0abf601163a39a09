//! The boot image: protection domains, board policy and guest, put together by the Microkit tool.
//!
//! `system.xml` says what goes in. The domains are compiled from `pd/` with a toolchain that can build the core library
//! ([`toolchain`]), the cells get their list of what a restart restores ([`restart`]), the guest comes from
//! [`crate::guest`]. Everything lands in one folder, which the tool searches and writes `loader.img` to.

mod domains;
mod fitted;
mod initialiser;
mod restart;
mod toolchain;
mod variant;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail, ensure};
use pd_system_description::{Description, System, keys, policy::Policy, rules};
use pd_vmm_machine::{
    boot::{BootPlan, HEADER_BYTES, ImageHeader},
    device_tree::{self, BootArguments},
    layout::MachineLayout,
};

use crate::board::Board;
use crate::exclusive;
use crate::guest::{GuestImage, GuestOptions, Overlay, Progress, build_guest};
use crate::sdk::{self, Sdk};

pub use toolchain::Toolchain;
pub use variant::Variant;

/// An image knows the day that it was built on: what is built twice a day is the same.
const SECONDS_A_DAY: u64 = 24 * 60 * 60;

/// What to build an image from, and where to.
#[derive(Debug, Clone)]
pub struct BootImageOptions {
    /// The repository's root.
    pub workspace: PathBuf,
    /// The Microkit SDK.
    pub sdk: Sdk,
    /// The compiler for the protection domains, and what it needs.
    pub toolchain: Toolchain,
    /// The board.
    pub board: Board,
    /// What kind of image: [`Variant::Product`], unless it is for a test or a measurement.
    pub variant: Variant,
    /// The SDK's configuration: `debug` or `release`, and with `smp-` in front for a kernel on several cores.
    pub configuration: String,
    /// The architecture.
    pub system: PathBuf,
    /// What the board adds to it.
    pub board_part: PathBuf,
    /// The board policy.
    pub policy: PathBuf,
    /// A directory of public keys whose signatures count; `None` for the demo keys.
    pub keys: Option<PathBuf>,
    /// The Linux guest.
    pub guest: GuestOptions,
    /// What this image's guest has beside what every guest has.
    pub overlay: Overlay,
}

/// An image that can be booted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootImage {
    /// What the board loads.
    pub path: PathBuf,
    /// What the Microkit tool says about it.
    pub report: PathBuf,
}

impl BootImageOptions {
    /// This repository's system and demo policy for `board` in `configuration`, with what this machine has.
    ///
    /// # Errors
    /// [`Missing`](crate::Missing) where the SDK or a tool is not here, with what to do.
    pub fn from_environment(board: Board, configuration: &str) -> Result<Self> {
        let guest = GuestOptions::from_environment()?;
        let workspace = guest.workspace.clone();
        Ok(Self {
            sdk: Sdk::find()?,
            toolchain: Toolchain::find()?,
            board,
            variant: Variant::Product,
            configuration: configuration.to_owned(),
            system: workspace.join("system.xml"),
            board_part: workspace.join(board.part()),
            policy: workspace.join(board.demo_policy()),
            keys: None,
            guest,
            overlay: Overlay::default(),
            workspace,
        })
    }

    /// Where everything for the image is put, and the image itself.
    pub fn folder(&self) -> PathBuf {
        let folder = format!("{}{}", self.configuration, self.variant.suffix());
        self.workspace.join("target/image").join(self.board.name()).join(folder)
    }
}

/// Builds the image. What is up to date is not built again.
///
/// # Errors
/// [`Missing`](crate::Missing) where the guest cannot be made here; else something does not compile or does not fit.
pub fn build_image(options: &BootImageOptions, progress: &Progress<'_>) -> Result<BootImage> {
    let folder = options.folder();
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    // Two builds of one image at once would read what the other is writing.
    let _alone = exclusive::hold(&folder)?;
    let board = options.sdk.board(options.board.name(), &options.configuration)?;
    let mut description = Description::load(&options.system, &options.board_part)?;
    if sdk::is_multi_core(&options.configuration) {
        description = description.on_cores()?;
    }
    let mut system = description.system()?;
    if let Some(violation) = rules::check(&system).first() {
        bail!("{}: {violation}", description.place(violation.line));
    }
    options.variant.put_in(&mut system);
    // What is wrong with policy or keys is told before minutes of compiling.
    place_policy(options, &system, &folder)?;
    let guest = build_guest(&options.guest, progress)?;
    progress(&format!("compiling the protection domains with {}", options.toolchain));
    let programs = domains::compile(options, &board)?;
    domains::place(&programs, &system, &board, &folder)?;
    place_guest(&guest, &options.overlay, &system, &folder)?;
    progress("putting the image together");
    let image = put_together(options, &description, &folder, 0)?;
    if !initialiser::finds_room(&read(&image.path)?) {
        progress("once more, with another size");
        return put_together(options, &description, &folder, initialiser::PADDING_PAGES);
    }
    Ok(image)
}

/// Runs the Microkit tool on the system, fitted to the files in `folder`, with so many pages that nobody uses.
fn put_together(
    options: &BootImageOptions,
    description: &Description,
    folder: &Path,
    padding_pages: u64,
) -> Result<BootImage> {
    let system = folder.join("system.xml");
    let text = options.variant.apply(description.text())?;
    write(&system, fitted::system(&text, folder, padding_pages)?.as_bytes())?;
    run_tool(options, &system, folder)
}

/// The policy, and the keys whose signatures count under it.
fn place_policy(options: &BootImageOptions, system: &System, folder: &Path) -> Result<()> {
    let policy = Policy::load(&options.policy)?;
    for line in &policy.board.lines {
        let refused = |why| anyhow!("{}: gpio `{}`, line {}: {why}", options.policy.display(), line.label, line.line);
        options.board.check_line(&line.label, line.line).map_err(refused)?;
    }
    if !policy.board.allow_unsigned {
        ensure!(
            sdk::is_release(&options.configuration),
            "{}: the policy runs signed containers only, and a debug kernel prints and lets the guest halt the machine; \
             build with `--configuration release` or `smp-release`",
            options.policy.display()
        );
    }
    let bytes = policy.region_bytes(system).map_err(|problem| anyhow!("{}: {problem}", options.policy.display()))?;
    write(&prefill(system, "policy", folder)?, &bytes)?;
    let table = keys::table(options.keys.as_deref(), &policy, image_time()?)?;
    let bytes = keys::region_bytes(&table, system).map_err(anyhow::Error::msg)?;
    write(&prefill(system, "keys", folder)?, &bytes)
}

/// When the image is built, in seconds since 1970: `SOURCE_DATE_EPOCH` where it is set (reproducible-builds.org), else the
/// beginning of the day. The node knows that it is at least so late.
fn image_time() -> Result<u64> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => {
            text.parse().with_context(|| format!("SOURCE_DATE_EPOCH is `{text}`, which is no number of seconds"))
        }
        Err(_) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?.as_secs();
            Ok(now - now % SECONDS_A_DAY)
        }
    }
}

fn place_guest(guest: &GuestImage, overlay: &Overlay, system: &System, folder: &Path) -> Result<()> {
    let kernel = read(&guest.kernel)?;
    let initramfs = overlay.behind(read(&guest.initramfs)?)?;
    let tree = device_tree(system, &kernel, initramfs.len())?;
    for (region, bytes) in [("guest_kernel", kernel), ("guest_initramfs", initramfs), ("guest_device_tree", tree)] {
        let size = system.region(region).map_or(0, |region| region.size_bytes);
        ensure!(
            bytes.len() as u64 <= size,
            "the region `{region}` of system.xml has {size} bytes, its file has {}",
            bytes.len()
        );
        write(&prefill(system, region, folder)?, &bytes)?;
    }
    Ok(())
}

/// The device tree for the places that the VMM will copy kernel and RAM disk to: both make the same plan.
fn device_tree(system: &System, kernel: &[u8], initramfs_bytes: usize) -> Result<Vec<u8>> {
    let memory = system.region("guest_memory").context("the system has no memory region `guest_memory`")?;
    let layout = MachineLayout::LINUX.with_memory_size(memory.size_bytes);
    let header = kernel.first_chunk::<HEADER_BYTES>().context("the guest's kernel is shorter than its header")?;
    let header = ImageHeader::parse(header)?;
    let plan = BootPlan::new(layout.memory, header, kernel.len() as u64, initramfs_bytes as u64)?;
    let arguments = BootArguments {
        command_line: &device_tree::command_line(&layout, ""),
        initial_ram_disk: Some(plan.initial_ram_disk),
        random_seed: None,
    };
    device_tree::build(&layout, &arguments).map_err(|error| anyhow!("the device tree cannot be written: {error:?}"))
}

/// The file that fills `region`.
fn prefill(system: &System, region: &str, folder: &Path) -> Result<PathBuf> {
    let found = system.region(region).and_then(|region| region.prefill.as_ref());
    let file = found.with_context(|| format!("system.xml fills no memory region `{region}` from a file"))?;
    Ok(folder.join(file))
}

fn run_tool(options: &BootImageOptions, system: &Path, folder: &Path) -> Result<BootImage> {
    let image = BootImage { path: folder.join("loader.img"), report: folder.join("report.txt") };
    let output = Command::new(options.sdk.tool())
        .arg(system)
        .args(["--board", options.board.name(), "--config", &options.configuration])
        .arg("--search-path")
        .arg(folder)
        .arg("-o")
        .arg(&image.path)
        .arg("-r")
        .arg(&image.report)
        .current_dir(folder)
        .output()
        .with_context(|| format!("cannot start {}", options.sdk.tool().display()))?;
    ensure!(
        output.status.success(),
        "the Microkit tool refuses {}:\n{}{}",
        system.display(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(image)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
