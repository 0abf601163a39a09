//! The commands, a file each where there is more to it than one question. `main` calls this and nothing else.

mod audit;
#[cfg(feature = "kit")]
mod build;
#[cfg(feature = "kit")]
mod check;
mod deploy;
mod events;
mod inspect;
mod jitter;
mod keys;
mod logs;
#[cfg(feature = "kit")]
mod new;
#[cfg(feature = "kit")]
mod pack;
#[cfg(feature = "kit")]
mod run_on_host;
mod schedule;
mod shell;
#[cfg(feature = "kit")]
mod sign;
#[cfg(feature = "kit")]
mod verify;

use std::{
    ffi::{OsStr, OsString},
    fs,
    path::Path,
    process::ExitCode,
    time::Duration,
};

use clap::{CommandFactory, FromArgMatches};
use serde_json::{Value, json};
use shared_ring_messages::{Answer, Request};

use crate::{
    arguments::{Command, CommandLine, ContainerOptions, Format, Run},
    exit::Failure,
    metrics,
    session::{Error, Result, Session},
    show, terminal,
};

/// What every command needs besides its own arguments.
pub(crate) struct Context<'a> {
    node: Option<&'a Path>,
    format: Format,
    timeout: Duration,
}

impl Context<'_> {
    pub(crate) fn session(&self) -> Result<Session> {
        Session::open(self.node, self.timeout)
    }

    /// The node that was named.
    #[cfg(feature = "top")]
    pub(crate) fn node(&self) -> Option<&Path> {
        self.node
    }

    #[cfg(feature = "top")]
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Asks one question in a session of its own.
    fn ask(&self, request: Request) -> Result<Answer> {
        self.session()?.ask(request)
    }

    pub(crate) fn json(&self) -> bool {
        self.format == Format::Json
    }
}

/// Parses, runs, says what went wrong, and chooses the exit code.
pub(crate) fn run_from_command_line() -> ExitCode {
    let line = match parse(std::env::args_os()) {
        Ok(line) => line,
        Err(error) => return ExitCode::from(report_usage(&error)),
    };
    let context = Context { node: line.node.as_deref(), format: line.format, timeout: line.timeout };
    let is_run = matches!(line.command, Command::Run(_));
    match run(&context, line.command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let code = if is_run { error.failure.code_of_run() } else { error.failure.code() };
            report(context.json(), &error, code);
            ExitCode::from(code)
        }
    }
}

/// Shows the help that was asked for, or what is wrong with the command line: to a script that asked for JSON as JSON.
fn report_usage(error: &clap::Error) -> u8 {
    let code = u8::try_from(error.exit_code()).unwrap_or(Failure::Usage.code());
    if code != 0 && asks_for_json(std::env::args_os()) {
        let message = error.render().to_string();
        let message = message.trim().trim_start_matches("error: ");
        report(true, &Error::new(Failure::Usage, message), code);
    } else {
        let _ = error.print();
    }
    code
}

/// Whether JSON was asked for on a command line that could not be parsed.
fn asks_for_json(arguments: impl Iterator<Item = OsString>) -> bool {
    let arguments: Vec<_> = arguments.collect();
    arguments.iter().any(|argument| argument == "--format=json")
        || arguments.windows(2).any(|pair| pair[0] == "--format" && pair[1] == "json")
}

/// Turns `emit [OPTIONS] FILE …` into `emit [OPTIONS] run FILE …`.
fn parse(arguments: impl Iterator<Item = OsString>) -> std::result::Result<CommandLine, clap::Error> {
    let matches = CommandLine::command().try_get_matches_from(arguments)?;
    let mut line = CommandLine::from_arg_matches(&matches)?;
    if let Command::File(words) = &line.command {
        line.command = Command::Run(run_of_file(words)?);
    }
    #[cfg(feature = "kit")]
    if let Command::Run(Run { on: Some(_), .. }) = &line.command
        && matches.value_source("node") == Some(clap::parser::ValueSource::CommandLine)
    {
        let message = "`--on host` starts a node of its own, and `--node` names another";
        return Err(CommandLine::command().error(clap::error::ErrorKind::ArgumentConflict, message));
    }
    Ok(line)
}

/// `emit FILE ARGUMENTS…`. A word that is neither a command nor a file is most likely a mistyped command.
fn run_of_file(words: &[OsString]) -> std::result::Result<Run, clap::Error> {
    let file = Path::new(words.first().map_or(OsStr::new(""), OsString::as_os_str));
    if !file.exists() && file.extension().is_none_or(|extension| extension != "wasm") {
        let message = format!("`{}` is neither a command nor a .wasm file", file.display());
        return Err(CommandLine::command().error(clap::error::ErrorKind::InvalidSubcommand, message));
    }
    let options = ContainerOptions { name: None, grants: Vec::new(), environment: Vec::new() };
    Ok(Run {
        options,
        #[cfg(feature = "kit")]
        on: None,
        #[cfg(feature = "kit")]
        lines: false,
        words: words.to_vec(),
    })
}

fn run(context: &Context, command: Command) -> Result<u8> {
    match command {
        Command::Deploy(arguments) => deploy::deploy(context, &arguments),
        Command::Run(arguments) => deploy::run(context, &arguments),
        Command::Ps => list(context),
        Command::Logs(arguments) => logs::logs(context, &arguments),
        Command::Start(target) => change(context, Request::Start(target.name)),
        Command::Stop(target) => change(context, Request::Stop(target.name)),
        Command::Restart(target) => change(context, Request::Restart(target.name)),
        Command::Kill(target) => change(context, Request::Kill(target.name)),
        Command::Rm(target) => remove(context, target.name),
        Command::Inspect(arguments) => inspect::inspect(context, &arguments.target),
        #[cfg(feature = "kit")]
        Command::New(arguments) => new::new(context, &arguments),
        #[cfg(feature = "kit")]
        Command::Build(arguments) => build::build(context, &arguments),
        #[cfg(feature = "kit")]
        Command::Check(arguments) => check::check(context, &arguments.target),
        #[cfg(feature = "kit")]
        Command::Pack(arguments) => pack::pack(context, &arguments),
        Command::Keys(arguments) => keys::keys(context, &arguments),
        #[cfg(feature = "kit")]
        Command::Sign(arguments) => sign::sign_container(context, &arguments),
        #[cfg(feature = "kit")]
        Command::Verify(arguments) => verify::verify(context, &arguments),
        Command::Update(arguments) => deploy::update(context, &arguments),
        Command::Events(arguments) => events::events(context, &arguments),
        Command::Audit(arguments) => audit::audit(context, &arguments),
        Command::Jitter(arguments) => jitter::jitter(context, &arguments),
        Command::Schedule(arguments) => schedule::schedule(context, &arguments),
        Command::Channels => channels(context),
        Command::Info => info(context),
        #[cfg(feature = "top")]
        Command::Top(arguments) => crate::top::top(context, &arguments),
        Command::Metrics => metrics(context),
        Command::Completions { shell } => shell::completions(shell),
        Command::Man { directory } => shell::man_pages(&directory),
        Command::File(_) => Err(Error::new(Failure::Internal, "`emit FILE` was not turned into `emit run FILE`")),
    }
}

fn report(json: bool, error: &Error, code: u8) {
    if error.failure == Failure::OutputClosed {
        return;
    }
    if !json {
        return terminal::note(&error.to_string());
    }
    let value = json!({ "error": error.message, "hint": error.hint, "kind": error.kind, "exit_code": code });
    // Where nobody reads the answer, nobody reads the error either.
    let _ = terminal::output(format!("{value}\n").as_bytes());
}

/// Writes a picture to where `--svg` says.
fn write_picture(path: &Path, svg: String) -> Result<()> {
    fs::write(path, svg)
        .map_err(|error| Error::new(Failure::Usage, format!("{} cannot be written: {error}", path.display())))
}

/// The node answered something else than the question has answers for.
pub(crate) fn unexpected(answer: &Answer) -> Error {
    // The kind is enough; an answer can be kilobytes long.
    let answer = format!("{answer:?}");
    let kind: String = answer.chars().take_while(char::is_ascii_alphanumeric).collect();
    let message = format!("the node gave an answer that does not belong to the question: {kind}");
    Error { hint: "use the emit that came with the node's image", ..Error::new(Failure::Internal, message) }
}

fn print(context: &Context, value: &Value, text: &str) -> Result<()> {
    let text = if context.json() { format!("{value:#}\n") } else { terminal::printable(text) };
    terminal::output(text.as_bytes())
}

fn list(context: &Context) -> Result<u8> {
    match context.ask(Request::List)? {
        Answer::Containers(reports) => {
            let value = reports.iter().map(show::container_json).collect();
            print(context, &value, &show::container_table(&reports))?;
            Ok(0)
        }
        other => Err(unexpected(&other)),
    }
}

fn channels(context: &Context) -> Result<u8> {
    match context.ask(Request::Channels)? {
        Answer::Channels(reports) => {
            let value = reports.iter().map(show::channel_json).collect();
            print(context, &value, &show::channel_table(&reports))?;
            Ok(0)
        }
        other => Err(unexpected(&other)),
    }
}

fn change(context: &Context, request: Request) -> Result<u8> {
    match context.ask(request)? {
        Answer::Container(report) => {
            let text = format!("{}: {}\n", report.name, show::state(&report));
            print(context, &show::container_json(&report), &text)?;
            Ok(0)
        }
        other => Err(unexpected(&other)),
    }
}

fn remove(context: &Context, name: String) -> Result<u8> {
    match context.ask(Request::Remove(name.clone()))? {
        Answer::Done => {
            print(context, &json!({ "removed": name }), &format!("{name}: removed\n"))?;
            Ok(0)
        }
        other => Err(unexpected(&other)),
    }
}

/// The format is a machine's whatever `--format` says.
fn metrics(context: &Context) -> Result<u8> {
    let mut session = context.session()?;
    let node = match session.ask(Request::Info)? {
        Answer::Info(report) => report,
        other => return Err(unexpected(&other)),
    };
    match session.ask(Request::List)? {
        Answer::Containers(reports) => {
            terminal::output(metrics::text(&node, &reports).as_bytes())?;
            Ok(0)
        }
        other => Err(unexpected(&other)),
    }
}

fn info(context: &Context) -> Result<u8> {
    match context.ask(Request::Info)? {
        Answer::Info(report) => {
            print(context, &show::node_json(&report), &show::node_text(&report))?;
            Ok(0)
        }
        other => Err(unexpected(&other)),
    }
}
