//! `cargo xtask`: the one entry point for people and for CI.
//!
//! Each command is a module; this file only says which there are. CI calls what the README tells people to call.
#![forbid(unsafe_code)]

mod bench;
mod boards;
mod check;
mod demo;
mod doctor;
mod examples;
mod flash;
mod fuzz;
mod host;
mod layers;
mod process;
mod samples;
mod shell;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Builds, runs and tests Atoll", version)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

/// What the system runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Substrate {
    /// Processes on this Linux machine; needs nothing but Rust. Not seL4
    Host,
    /// seL4 in QEMU; needs a Microkit SDK
    Sel4,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the system, deploy three sample containers, show what they do, stop everything
    Demo {
        /// What to run it on
        #[arg(long, value_enum, default_value_t = Substrate::Host)]
        on: Substrate,
    },
    /// Start the system on this machine and leave it running until Ctrl-C
    Up,
    /// Run every test that this machine can run, and name what it skipped and why
    Test,
    /// Format, lints, the crates' layering, and the rules of system.xml
    Check,
    /// What is there, what is missing, and the command that gets it
    Doctor {
        /// Install what Debian's packages provide (needs root rights)
        #[arg(long)]
        install: bool,
    },
    /// Build the sample containers; needs Wasm toolchains (`cargo xtask doctor` tells)
    Examples(samples::SampleOptions),
    /// Build the Linux guest: Debian's kernel, busybox, emit, the samples
    Guest {
        /// Pin the package versions that the mirrors have now
        #[arg(long)]
        update_lock: bool,
    },
    /// Write the boot image, and for a Raspberry Pi the SD card's; needs a Microkit SDK
    Image(boards::ImageOptions),
    /// Write the image to an SD card and check it; asks before it overwrites anything
    Flash(flash::FlashOptions),
    /// Boot the image in QEMU and hand over the guest's shell; needs a Microkit SDK
    Qemu(boards::ImageOptions),
    /// Run random modules in a cell and in wasmtime, or any input in what reads a stranger's; name what does not hold
    Fuzz(fuzz::FuzzOptions),
    /// Measure, and write the table to docs/measurements.md
    Bench {
        /// Measure this alone, and leave the book as it is
        #[arg(long, value_enum, conflicts_with = "time")]
        only: Option<bench::Part>,
        /// Measure how late things happen on seL4, idle and under attack
        #[arg(long)]
        time: bool,
        /// Measure what the node costs a container, as the policies' tables `[time]` state it
        #[arg(long, conflicts_with_all = ["time", "only"])]
        costs: bool,
        /// Measure how long fuel takes, by what it is burnt for
        #[arg(long, conflicts_with_all = ["time", "only", "costs"])]
        fuel: bool,
        /// Measure how long calls of other domains take, by what is asked for
        #[arg(long, conflicts_with_all = ["time", "only", "costs", "fuel"])]
        calls: bool,
        /// Measure what interrupts of Linux take from a container
        #[arg(long, conflicts_with_all = ["time", "only", "costs", "fuel", "calls"])]
        interrupts: bool,
        /// Play eight containers at 1 kHz under all attacks in turn for about so many seconds of virtual time
        #[arg(long, value_name = "SECONDS", conflicts_with_all = ["time", "only", "costs", "fuel", "calls", "interrupts"])]
        eight: Option<u64>,
        #[command(flatten)]
        options: bench::TimeOptions,
    },
}

fn main() -> ExitCode {
    let result = match CommandLine::parse().command {
        Command::Demo { on: Substrate::Host } => demo::on_host(),
        Command::Demo { on: Substrate::Sel4 } => demo::on_sel4(),
        Command::Up => host::up(),
        Command::Test => test::run(),
        Command::Check => check::run(),
        Command::Doctor { install } => doctor::run(install),
        Command::Examples(options) => samples::run(&options),
        Command::Guest { update_lock } => boards::guest(update_lock),
        Command::Image(options) => boards::image(&options),
        Command::Flash(options) => flash::run(&options),
        Command::Qemu(options) => boards::boot(&options),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Bench { time: true, options, .. } => bench::run_time(&options),
        Command::Bench { costs: true, .. } => bench::costs::run(),
        Command::Bench { fuel: true, .. } => bench::fuel::run(),
        Command::Bench { calls: true, .. } => bench::calls::run(),
        Command::Bench { interrupts: true, .. } => bench::interrupts::run(),
        Command::Bench { eight: Some(seconds), .. } => bench::eight::run(seconds),
        Command::Bench { only, .. } => bench::run(only),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
