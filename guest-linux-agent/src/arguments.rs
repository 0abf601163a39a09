//! What a person may type. Parsed here by `clap`; checked and turned into work by `command`.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Everything on the command line.
#[derive(Debug, Parser)]
#[command(
    name = "emit",
    version,
    about = "Deploys and steers WebAssembly containers on an Atoll node",
    long_about = "Deploys and steers WebAssembly containers on an Atoll node.\n\n`emit FILE [ARGUMENTS]…` is short for \
                  `emit run FILE [ARGUMENTS]…`.",
    after_long_help = crate::exit::HELP,
    subcommand_required = true,
    arg_required_else_help = true,
    allow_external_subcommands = true
)]
pub(crate) struct CommandLine {
    /// The node: a virtio port or a unix socket. Found by itself in the guest and on a host that runs one
    #[arg(long, value_name = "PATH", env = "ATOLL_NODE", global = true)]
    pub(crate) node: Option<PathBuf>,
    /// How to answer
    #[arg(long, value_enum, default_value_t = Format::Text, global = true)]
    pub(crate) format: Format,
    /// How long to wait for the node before giving up
    #[arg(long, value_name = "DURATION", default_value = "90s", value_parser = humantime::parse_duration, global = true)]
    pub(crate) timeout: std::time::Duration,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// For whom the output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For a person
    Text,
    /// For a script: one JSON document, errors too; `logs` and `run` print one a line, a record each, and `run` last the
    /// container
    Json,
}

/// One verb each.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Upload a container and, unless told otherwise, start it
    Deploy(Deploy),
    /// Upload a container, show its output, and exit with its exit code
    Run(Run),
    /// List the containers
    #[command(visible_alias = "list")]
    Ps,
    /// Show what a container wrote
    Logs(Logs),
    /// Start an installed or ended container
    Start(Name),
    /// Ask a container to stop, and wait until it has
    Stop(Name),
    /// Stop a container and start it afresh
    Restart(Name),
    /// End a container at once, without its stop hook
    Kill(Name),
    /// Remove a container that does not run
    #[command(visible_alias = "remove")]
    Rm(Name),
    /// Show everything about a container
    Inspect(Name),
    /// Show the node: cells, limits, lines, counters
    Info,
    /// Write a shell's completion script to standard output
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write the man pages into a directory
    Man {
        /// Where to; made if it is not there
        directory: PathBuf,
    },
    /// `emit FILE …`
    #[command(external_subcommand)]
    File(Vec<OsString>),
}

/// What a container gets, for `deploy` and `run` alike.
#[derive(Debug, Args)]
pub(crate) struct ContainerOptions {
    /// The container's name; made from the file's by default (`run` adds a number)
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// A right that the container asks for: gpio:LABEL:out, gpio:LABEL:in, gpio:LABEL:edge, timer:DURATION (shortest
    /// period). May be given several times; `emit info` shows what there is
    #[arg(long = "grant", value_name = "RIGHT")]
    pub(crate) grants: Vec<String>,
    /// An environment variable for the container. May be given several times
    #[arg(long = "env", value_name = "NAME=VALUE")]
    pub(crate) environment: Vec<String>,
}

/// `emit deploy`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  emit deploy blinker.wasm --grant gpio:LED:out --grant timer:10ms
  emit deploy hello.wasm --name greeter --env GREETING=hi Ada Bob")]
pub(crate) struct Deploy {
    /// The container, a .wasm file
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) options: ContainerOptions,
    /// Start it once it is installed (the default)
    #[arg(long, overrides_with = "no_start")]
    pub(crate) start: bool,
    /// Leave it installed
    #[arg(long)]
    pub(crate) no_start: bool,
    /// The container's arguments; options of emit come before them
    #[arg(trailing_var_arg = true)]
    pub(crate) arguments: Vec<String>,
}

/// `emit run`.
#[derive(Debug, Args)]
#[command(
    override_usage = "emit run [OPTIONS] <FILE> [ARGUMENTS]...",
    after_help = "\
Ctrl-C, or anything else that ends emit, ends the container too. `emit --help` lists the exit codes.

Examples:
  emit run hello.wasm Ada Bob
  emit run --grant gpio:BUTTON:edge button.wasm"
)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) options: ContainerOptions,
    /// The container, a .wasm file, and the arguments for it: what stands behind FILE is the container's, options too
    // One list and no two, so that clap leaves alone what follows the file.
    #[arg(required = true, trailing_var_arg = true, value_names = ["FILE", "ARGUMENTS"], num_args = 1..)]
    pub(crate) words: Vec<OsString>,
}

/// `emit logs`.
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// The container
    pub(crate) name: String,
    /// Go on showing what comes until the container ends
    #[arg(short, long)]
    pub(crate) follow: bool,
}

/// A verb about one container.
#[derive(Debug, Args)]
pub(crate) struct Name {
    /// The container
    pub(crate) name: String,
}
