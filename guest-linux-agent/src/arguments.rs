//! What a person may type. Parsed here by `clap`; checked and turned into work by `command`.

mod keys;
#[cfg(feature = "kit")]
mod signing;

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use self::keys::{KeyVerb, Keys};
#[cfg(feature = "kit")]
pub(crate) use self::signing::{KeyNew, KeyPlace, KeyUpdate, Passphrase, Sign, Verify};

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
    /// For a script: one JSON document, errors too; `logs`, `events`, `audit` and `run` print one a line, a record each, and `run` last the
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
    /// Show everything about a container, or about a .wasm file
    Inspect(Inspect),
    /// Make the folder of a new container
    #[cfg(feature = "kit")]
    New(New),
    /// Build the container in a folder
    #[cfg(feature = "kit")]
    Build(Build),
    /// Look at a container without a node: would it be taken, and would it run
    #[cfg(feature = "kit")]
    Check(Check),
    /// Put app.toml and its files into a module
    #[cfg(feature = "kit")]
    Pack(Pack),
    /// Make and show the keys that containers are signed with, and change those that a node believes
    Keys(Keys),
    /// Sign a container: put one role's token into it
    #[cfg(feature = "kit")]
    Sign(Sign),
    /// Show who signed a container, whether a node would believe it, and which rights come of it
    #[cfg(feature = "kit")]
    Verify(Verify),
    /// Replace a running container by another version of it, without a gap; the old one goes on if the new one fails
    Update(Update),
    /// Show what happened to containers: each change of state with its reason and time, new starts, updates
    Events(Events),
    /// Show the audit log: who had what deployed, started and stopped, what was refused, and why
    Audit(Audit),
    /// Show how punctual a container with a schedule is: release jitter, response times, slack, host calls
    Jitter(Jitter),
    /// Show who has a schedule: what each was promised, its bound, and by which budget the kernel holds it
    Schedule(Schedule),
    /// Show the channels between containers: type, values, who writes and who reads
    Channels,
    /// Show the node: cells, limits, lines, counters
    Info,
    /// Watch the node: containers, cells, rates, refusals, lines
    #[cfg(feature = "top")]
    Top(Top),
    /// Write what the node counts in the text format that Prometheus scrapes
    #[command(after_help = "\
For node_exporter's textfile collector, from cron or a timer:
  emit metrics > /var/lib/node_exporter/atoll.prom.new && mv /var/lib/node_exporter/atoll.prom.new /var/lib/node_exporter/atoll.prom")]
    Metrics,
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
    /// The container's name; by default what its manifest says, else made from the file's (`run` adds a number)
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// A right that the container asks for: gpio:LABEL:out, gpio:LABEL:in, gpio:LABEL:edge, i2c:ADDRESS,
    /// i2c:FIRST-LAST, timer:DURATION (shortest period). May be given several times; adds to those of the manifest, and
    /// replaces those for the same line, address or timer. `emit info` shows what there is
    #[arg(long = "grant", value_name = "RIGHT")]
    pub(crate) grants: Vec<String>,
    /// An environment variable for the container. May be given several times; adds to those of the manifest
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
    /// A TinyContainer's metadata, a CBOR file: its GPIO endpoints become rights, and what its numbers stand for
    #[arg(long, value_name = "FILE")]
    pub(crate) metadata: Option<PathBuf>,
    /// Start it once it is installed (the default)
    #[arg(long, overrides_with = "no_start")]
    pub(crate) start: bool,
    /// Leave it installed
    #[arg(long)]
    pub(crate) no_start: bool,
    /// Have the node look it over, with signatures, rights and schedule, and deploy nothing. Takes a free cell while it lasts
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// The container's arguments, instead of those of its manifest; options of emit come before them
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
  emit run --grant gpio:BUTTON:edge button.wasm
  emit run --on host --lines --grant gpio:LED:out blinker.wasm     (where emit has the developer's verbs)"
)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) options: ContainerOptions,
    /// Start a node for this container alone, and end it afterwards: `host` runs one as processes on this machine (not
    /// seL4), with the program `atoll-host` from beside emit, the path, or where ATOLL_HOST says. Ctrl-C asks the container
    /// to stop, a second one ends all at once
    #[cfg(feature = "kit")]
    #[arg(long, value_enum, value_name = "PLACE")]
    pub(crate) on: Option<Place>,
    /// With `--on host`: show how the simulated lines change, on standard error
    #[cfg(feature = "kit")]
    #[arg(long, requires = "on")]
    pub(crate) lines: bool,
    /// The container, a .wasm file, and the arguments for it: what stands behind FILE is the container's, options too
    // One list and no two, so that clap leaves alone what follows the file.
    #[arg(required = true, trailing_var_arg = true, value_names = ["FILE", "ARGUMENTS"], num_args = 1..)]
    pub(crate) words: Vec<OsString>,
}

/// Where a node is started for one run.
#[cfg(feature = "kit")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Place {
    /// Processes on this machine
    Host,
}

/// `emit inspect`.
#[derive(Debug, Args)]
#[command(after_help = "\
A word with a `/`, and a .wasm file that is there, is a file; anything else a container.

Examples:
  emit inspect blinker
  emit inspect ./blinker.wasm")]
pub(crate) struct Inspect {
    /// The container, or a .wasm file
    #[arg(value_name = "NAME|FILE")]
    pub(crate) target: OsString,
}

/// `emit new`.
#[cfg(feature = "kit")]
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  emit new blinker --lang rust
  emit new greeter --lang c --world wasi && emit build greeter && emit run greeter/greeter.wasm")]
pub(crate) struct New {
    /// The container's name, and its folder's, which must not be there yet
    pub(crate) name: String,
    /// The language
    #[arg(long, value_enum)]
    pub(crate) lang: Language,
    /// What it is: a reactor with hooks, or a WASI program with `main`
    #[arg(long, value_enum, default_value_t = Shape::Reactor)]
    pub(crate) world: Shape,
}

/// Languages that `emit new` has templates for.
#[cfg(feature = "kit")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// Rust, by cargo
    Rust,
    /// C, by clang
    C,
    /// WebAssembly text; needs no other tool
    Wat,
    /// AssemblyScript, by asc
    Assemblyscript,
}

/// Worlds that `emit new` has templates for.
#[cfg(feature = "kit")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shape {
    /// Hooks that the node calls: on-start, on-loop, on-stop
    Reactor,
    /// A program with `main`
    Wasi,
}

/// `emit build`.
#[cfg(feature = "kit")]
#[derive(Debug, Args)]
#[command(after_help = "\
The language is seen from what lies in the folder: Cargo.toml, package.json, one .c file or one .wat file. The result is
NAME.wasm in the folder, packed with app.toml and its files.")]
pub(crate) struct Build {
    /// The folder with app.toml
    #[arg(default_value = ".")]
    pub(crate) folder: PathBuf,
}

/// `emit check`.
#[cfg(feature = "kit")]
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// A .wasm file, or a folder with app.toml
    #[arg(value_name = "FILE|FOLDER", default_value = ".")]
    pub(crate) target: PathBuf,
}

/// `emit pack`.
#[cfg(feature = "kit")]
#[derive(Debug, Args)]
#[command(after_help = "\
Packing again replaces what was packed before. The same inputs make the same bytes.

Example:
  emit pack target/wasm32-unknown-unknown/release/blinker.wasm --app app.toml -o blinker.wasm")]
pub(crate) struct Pack {
    /// The module or component
    pub(crate) file: PathBuf,
    /// What it is; by default app.toml beside the file
    #[arg(long, value_name = "FILE")]
    pub(crate) app: Option<PathBuf>,
    /// Where to; by default NAME.wasm beside app.toml
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
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

/// `emit update`.
#[derive(Debug, Args)]
#[command(after_help = "\
The new version is loaded and started in a free cell while the old one goes on. At the end of the old one's loop it takes over
its lines and channels, and is on probation: if it fails, or is stuck in its first loop, the old one goes on where it
was, and emit ends with 7. Rights, arguments and variables are the old one's unless the new one says others.

Examples:
  emit update blinker blinker-2.wasm
  emit update blinker blinker-2.wasm --probation 30s")]
pub(crate) struct Update {
    /// The container
    pub(crate) name: String,
    /// The new version, a .wasm file
    pub(crate) file: PathBuf,
    /// A right that it asks for, as with `deploy`
    #[arg(long = "grant", value_name = "RIGHT")]
    pub(crate) grants: Vec<String>,
    /// An environment variable for it, as with `deploy`
    #[arg(long = "env", value_name = "NAME=VALUE")]
    pub(crate) environment: Vec<String>,
    /// How long it must be well before the old one goes
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    pub(crate) probation: std::time::Duration,
    /// Its arguments; options of emit come before them
    #[arg(trailing_var_arg = true)]
    pub(crate) arguments: Vec<String>,
}

/// `emit events`.
#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Only what happened to this container
    pub(crate) name: Option<String>,
    /// Go on showing what comes, until interrupted
    #[arg(short, long)]
    pub(crate) follow: bool,
}

/// `emit audit`.
#[derive(Debug, Args)]
#[command(after_help = "\
The entries are chained by hashes, and each answer's chain is computed anew: where it breaks, emit says at which entry and ends
with 11. The node keeps the last entries only, and none when it is started anew; saved ones stay.

Examples:
  emit audit --since 120
  emit audit --verify
  emit audit --save audit.jsonl      (again and again: the file goes on where it ends)
  emit audit --file audit.jsonl --verify")]
pub(crate) struct Audit {
    /// Go on showing what comes, until interrupted
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// From this entry on
    #[arg(long, value_name = "NUMBER")]
    pub(crate) since: Option<u64>,
    /// Say only from which entry to which the chain is whole, or where it breaks
    #[arg(long, conflicts_with = "follow")]
    pub(crate) verify: bool,
    /// Add the entries to a file, behind those that are in it; refused where one between them is missing
    #[arg(long, value_name = "FILE")]
    pub(crate) save: Option<PathBuf>,
    /// Show what was saved to a file, not what the node has
    #[arg(long, value_name = "FILE", conflicts_with_all = ["follow", "save"])]
    pub(crate) file: Option<PathBuf>,
}

/// `emit jitter`.
#[derive(Debug, Args)]
#[command(after_help = "\
Counted by the container's cell since its last start, each time to an eighth of itself. In QEMU and on the host they are no
claim about hardware.

Examples:
  emit jitter pid
  emit jitter pid --svg pid.svg
  emit --format json jitter pid | jq .measures.response.percentiles_ns")]
pub(crate) struct Jitter {
    /// The container
    pub(crate) name: String,
    /// Write the distributions to a picture, too
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}

/// `emit schedule`.
#[derive(Debug, Args)]
#[command(after_help = "\
`response` is the longest from a release to when its work is done, as the node's admission test bounds it, `kernel` the budget
in each period by which the kernel holds it. The picture is a simulation: the worst moment that the numbers allow. On the host
the same is computed, and nothing is promised.

Examples:
  emit schedule
  emit schedule --svg schedule.svg
  emit --format json schedule | jq .containers[].response_ns")]
pub(crate) struct Schedule {
    /// Draw a timeline, too
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}

/// `emit top`.
#[cfg(feature = "top")]
#[derive(Debug, Args)]
#[command(after_help = "\
Keys: q quits, p pauses, left and right choose the column to sort by, r reverses, up and down choose a container.
With `--format json` it is one JSON document, as with --once.")]
pub(crate) struct Top {
    /// Show one frame as plain text and end; takes one interval, since rates lie between two looks
    #[arg(long)]
    pub(crate) once: bool,
    /// How often to look; 100ms at the least
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = humantime::parse_duration)]
    pub(crate) interval: std::time::Duration,
}

/// A verb about one container.
#[derive(Debug, Args)]
pub(crate) struct Name {
    /// The container
    pub(crate) name: String,
}
