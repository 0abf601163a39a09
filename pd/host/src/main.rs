//! `atoll-host`: a node on this machine, and its pins.
//!
//! One program for all: the launcher, each domain's process (`domain`, started by the launcher only), and a client for the
//! simulated bank.
#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use pd_host::pins::{Change, Pins};
use pd_host::{LaunchOptions, launch, run_directory, run_domain};

/// Atoll on Linux: the system that system.xml describes, as processes. This is not seL4.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a node and run it until Ctrl-C.
    Up {
        /// The system's description; the project's own unless given.
        #[arg(long, value_name = "FILE")]
        system: Option<PathBuf>,
        /// The board policy; the demo board's unless given.
        #[arg(long, value_name = "FILE")]
        policy: Option<PathBuf>,
        /// A directory of public keys whose signatures count; the demo keys unless given.
        #[arg(long, value_name = "DIRECTORY")]
        keys: Option<PathBuf>,
        /// Where the node keeps its sockets and logs [default: $ATOLL_RUN_DIRECTORY, $XDG_RUNTIME_DIR/atoll or /tmp/atoll-UID].
        #[arg(long, value_name = "DIRECTORY")]
        run_directory: Option<PathBuf>,
        /// End the node when the process that started it ends.
        #[arg(long)]
        stop_with_parent: bool,
        /// A node for whoever started it: the run directory is made, and must not be there yet; the node ends when its
        /// standard input does, and removes the directory unless it failed.
        #[arg(long, requires = "run_directory")]
        throw_away: bool,
    },
    /// Read and move the pins of the node's simulated bank.
    Gpio {
        /// The node's run directory [default: as for `up`].
        #[arg(long, value_name = "DIRECTORY")]
        run_directory: Option<PathBuf>,
        /// `list`, `read LINE`, `set LINE 0|1`, `pulse LINE`, `transitions LINE`, or `watch` to see changes until Ctrl-C; a
        /// line is a label or a number.
        #[arg(required = true, value_name = "REQUEST")]
        request: Vec<String>,
    },
    /// One domain's process; the launcher starts it.
    #[command(hide = true)]
    Domain {
        name: String,
        #[arg(long)]
        launcher: u32,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("atoll-host: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Up { system, policy, keys, run_directory, stop_with_parent, throw_away } => {
            let run_directory = run_directory.unwrap_or_else(run_directory::default_path);
            launch(&LaunchOptions { system, policy, keys, run_directory, stop_with_parent, throw_away })
        }
        Command::Gpio { run_directory, request } => {
            let directory = run_directory.unwrap_or_else(run_directory::default_path);
            let mut pins = Pins::connect(&directory)
                .with_context(|| format!("no node runs in {}; start one with `atoll-host up`", directory.display()))?;
            if request == ["watch"] {
                return Ok(pins.watch()?.try_for_each(show)?);
            }
            let answer = pins.ask(&request.join(" "))?;
            if !answer.is_empty() {
                println!("{}", answer.replace(' ', "\n"));
            }
            Ok(())
        }
        Command::Domain { name, launcher } => run_domain(&name, launcher),
    }
}

/// A change as a log shows its records.
fn show(change: Change) -> io::Result<()> {
    let (seconds, rest) = (change.time_ns / 1_000_000_000, change.time_ns % 1_000_000_000);
    let name = if change.label == "-" { change.line.to_string() } else { change.label };
    let level = if change.high { "high" } else { "low" };
    let lost = if change.lost == 0 { String::new() } else { format!(", {} changes before it not shown", change.lost) };
    writeln!(io::stdout(), "[{seconds:>6}.{:06}] {name} {level}{lost}", rest / 1000)
}
