//! `cargo xtask flash`: an SD card for a Raspberry Pi 4.
//!
//! The device is looked at before anything is built, because a person who named the wrong one should not wait to be told,
//! and again with the image's size before it is written.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use sd_card::{
    device::Machine,
    flash::{self, Step},
};

use crate::{boards::CardOptions, process::step};

/// Which card to write, and what.
#[derive(Debug, Args)]
pub(crate) struct FlashOptions {
    #[command(flatten)]
    card: CardOptions,
    /// The whole device, e.g. /dev/sdb or /dev/mmcblk0; `lsblk` lists them
    #[arg(long, value_name = "DEVICE")]
    to: PathBuf,
    /// Overwrite it without asking
    #[arg(long)]
    yes: bool,
}

/// `cargo xtask flash`.
pub(crate) fn run(options: &FlashOptions) -> Result<()> {
    let machine = Machine::this();
    machine.inspect(&options.to, 0)?;
    step("building the boot image");
    let image = options.card.build()?;
    let size = std::fs::metadata(&image)?.len();
    let device = machine.inspect(&options.to, size)?;
    step(&format!("about to overwrite {} with {}", device.path.display(), image.display()));
    flash::confirm(&device, options.yes, &mut std::io::stdout())?;
    // It may be another card by now: whoever answers may have taken his time.
    ensure!(machine.inspect(&options.to, size)? == device, "{} is not what it was; nothing was written", device.name);
    let bar = ProgressBar::new(size)
        .with_style(ProgressStyle::with_template("    {msg:12} {bar:40} {bytes}/{total_bytes} {bytes_per_sec}")?);
    let flashed = flash::flash(&image, &device.path, &mut |step, done, total| {
        bar.set_message(match step {
            Step::Writing => "writing",
            Step::ReadingBack => "reading back",
        });
        bar.set_length(total);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    println!("{} holds the image, {}: SHA-256 {}", device.path.display(), flashed.read_back, flashed.sha256);
    println!("Next: `eject {}`, put the card into the Raspberry Pi, connect its serial console", device.path.display());
    println!("(115200 8N1, 3.3 V, GPIO14/15), and power it. docs/raspberry-pi.md shows what comes then.");
    Ok(())
}
