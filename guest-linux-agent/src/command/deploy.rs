//! `emit deploy` and `emit run`: the upload, and what follows it.

use std::{collections::VecDeque, io::IsTerminal, path::Path};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use runner_container::{Manifest, rights::Right};
use sha2::{Digest, Sha256};
use shared_ring_messages::{Answer, CHUNK_BYTES, ContainerReport, DeployRequest, Request};

use super::{Context, logs, unexpected};
use crate::{
    arguments::{ContainerOptions, Deploy, Run, Update},
    exit::{self, Failure},
    metadata::Metadata,
    module::{self, Module},
    schedule,
    session::{Error, Result, Session},
    show, terminal,
};

pub(super) fn deploy(context: &Context, arguments: &Deploy) -> Result<u8> {
    let mut module = module::read(&arguments.file)?;
    let name = arguments.options.name.clone().unwrap_or_else(|| module::name(&module, &arguments.file));
    // The words are looked at before any node is asked.
    let asked = |module: &Module| request(&arguments.options, name.clone(), module, &arguments.arguments);
    let mut request = asked(&module)?;
    let mut session = context.session()?;
    if let Some(file) = &arguments.metadata {
        take_over_metadata(&mut session, &mut module, &name, file).map_err(|error| of_file(error, file))?;
        request = asked(&module)?;
    }
    request.start = !arguments.no_start;
    if arguments.dry_run {
        return dry_run(context, &mut session, request, &module.bytes).map_err(|error| of_file(error, &arguments.file));
    }
    let report = upload(context, &mut session, Request::Deploy(request), &module.bytes)
        .map_err(|error| of_file(error, &arguments.file))?;
    let text = format!("{}: {} in cell{}\n", report.name, show::state(&report), report.cell);
    super::print(context, &show::container_json(&report), &text)?;
    if exit::has_failed(&report) && !context.json() {
        terminal::note(&format!("it started and failed at once; `emit logs {}` shows what it wrote", report.name));
    }
    Ok(0)
}

/// Has the node look the container over, and shows what it says.
fn dry_run(context: &Context, session: &mut Session, request: DeployRequest, bytes: &[u8]) -> Result<u8> {
    schedule::check_version(session)?;
    match send_whole(context, session, Request::DryRun(request), bytes)? {
        Answer::Admitted(report) => {
            super::print(context, &schedule::admission_json(&report), &schedule::admission_text(&report))?;
            Ok(0)
        }
        other => Err(unexpected(&other)),
    }
}

/// Puts what TinyContainer's metadata says of this board into the container's manifest.
fn take_over_metadata(session: &mut Session, module: &mut Module, name: &str, file: &Path) -> Result<()> {
    let metadata = Metadata::read(&module::read_file(file)?)?;
    let lines = match session.ask(Request::Info)? {
        Answer::Info(report) => report.lines,
        other => return Err(unexpected(&other)),
    };
    let (grants, endpoints) = metadata.on_board(&lines)?;
    let mut manifest = module.manifest.take().unwrap_or_else(|| Manifest::named(name));
    manifest.endpoints = endpoints;
    for grant in grants {
        if !manifest.grants.contains(&grant) {
            manifest.grants.push(grant);
        }
    }
    module.describe(manifest)
}

pub(super) fn run(context: &Context, arguments: &Run) -> Result<u8> {
    let prepared = Prepared::new(arguments)?;
    #[cfg(feature = "kit")]
    if arguments.on == Some(crate::arguments::Place::Host) {
        return super::run_on_host::run(context, prepared, arguments.lines);
    }
    prepared.run(context, &mut context.session()?, || {})
}

/// A run whose file and words are understood, before any node is asked.
pub(super) struct Prepared<'a> {
    file: &'a Path,
    module: Module,
    pub(super) request: DeployRequest,
}

impl<'a> Prepared<'a> {
    fn new(arguments: &'a Run) -> Result<Self> {
        let usage = |message: &str| Error::new(Failure::Usage, message);
        let (file, words) = arguments.words.split_first().ok_or_else(|| usage("which file?"))?;
        let file = Path::new(file);
        let words: Option<Vec<String>> = words.iter().map(|word| word.to_str().map(str::to_owned)).collect();
        let words = words.ok_or_else(|| usage("an argument is not UTF-8, as WebAssembly wants it"))?;
        let module = module::read(file)?;
        // A name of its own, so that the same file can run twice at a time.
        let name = arguments.options.name.clone().unwrap_or_else(|| module::name_of_run(&module, file));
        let mut request = request(&arguments.options, name, &module, &words)?;
        request.start = true;
        request.attached = true;
        Ok(Self { file, module, request })
    }

    /// Uploads it, shows its output until it has ended, and answers its exit code. `at_end` is called before the last word
    /// about it.
    pub(super) fn run(self, context: &Context, session: &mut Session, at_end: impl FnOnce()) -> Result<u8> {
        let Self { file, module, request } = self;
        let report =
            upload(context, session, Request::Deploy(request), &module.bytes).map_err(|error| of_file(error, file))?;
        let mut sink = if context.json() { logs::Sink::json() } else { logs::Sink::pass_through() };
        logs::show(session, &report.name, &mut sink, true)?;
        let report = match session.ask(Request::Inspect(report.name))? {
            Answer::Container(report) => report,
            other => return Err(unexpected(&other)),
        };
        session.ask(Request::Remove(report.name.clone()))?;
        at_end();
        if context.json() {
            terminal::output(format!("{}\n", show::container_json(&report)).as_bytes())?;
        } else if exit::has_failed(&report) {
            terminal::note(&format!("the container failed: {}", terminal::printable(&report.reason_text)));
        }
        Ok(exit::of_container(&report))
    }
}

pub(super) fn update(context: &Context, arguments: &Update) -> Result<u8> {
    let module = module::read(&arguments.file)?;
    let options =
        ContainerOptions { name: None, grants: arguments.grants.clone(), environment: arguments.environment.clone() };
    let deploy = request(&options, arguments.name.clone(), &module, &arguments.arguments)?;
    let probation_ns = u64::try_from(arguments.probation.as_nanos()).unwrap_or(u64::MAX);
    let mut session = context.session()?;
    session.allow(arguments.probation);
    let request = Request::Update { deploy, probation_ns };
    let report =
        upload(context, &mut session, request, &module.bytes).map_err(|error| of_file(error, &arguments.file))?;
    let text = format!("{}: replaced, {} in cell{}\n", report.name, show::state(&report), report.cell);
    super::print(context, &show::container_json(&report), &text)?;
    Ok(0)
}

/// Says which file it is that the node refused.
fn of_file(error: Error, file: &Path) -> Error {
    if error.failure != Failure::ContainerRefused {
        return error;
    }
    Error { message: format!("{}: {}", file.display(), error.message), ..error }
}

/// What is asked for: what the manifest says, and what the command line says over it. Arguments of the command line replace
/// the manifest's; variables and rights add to them, and replace those for the same name, line or timer.
fn request(options: &ContainerOptions, name: String, module: &Module, arguments: &[String]) -> Result<DeployRequest> {
    let bytes = &module.bytes;
    let size = u32::try_from(bytes.len()).map_err(|_| Error::new(Failure::File, "the file is too large"))?;
    let none = Manifest::default();
    let manifest = module.manifest.as_ref().unwrap_or(&none);
    Ok(DeployRequest {
        name,
        size,
        sha256: Sha256::digest(bytes).into(),
        grants: grants(manifest, options)?,
        arguments: if arguments.is_empty() { &manifest.arguments } else { arguments }.to_vec(),
        environment: environment(manifest, options)?,
        start: false,
        attached: false,
    })
}

fn grants(manifest: &Manifest, options: &ContainerOptions) -> Result<Vec<String>> {
    let typed: Vec<Right> = options
        .grants
        .iter()
        .map(|text| {
            let wrong = |error| Error::new(Failure::Usage, format!("`--grant {text}` is not understood: {error}"));
            Right::parse(text).map_err(wrong)
        })
        .collect::<Result<_>>()?;
    let mut all = Vec::new();
    for text in &manifest.grants {
        let right = Right::parse(text).map_err(|error| Error {
            hint: "put [grants] in app.toml right and pack the container again",
            ..Error::new(Failure::ContainerRefused, format!("the manifest's right `{text}` is not understood: {error}"))
        })?;
        if !typed.iter().any(|other| other.is_for_the_same(&right)) {
            all.push(right);
        }
    }
    all.extend(typed);
    Ok(all.iter().map(Right::to_string).collect())
}

fn environment(manifest: &Manifest, options: &ContainerOptions) -> Result<Vec<(String, String)>> {
    let mut all = manifest.environment.clone();
    let mut typed = Vec::new();
    for text in &options.environment {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => typed.push((key.to_owned(), value.to_owned())),
            _ => {
                return Err(Error::new(
                    Failure::Usage,
                    format!("`--env {text}` is not understood: expected NAME=VALUE"),
                ));
            }
        }
    }
    all.retain(|(key, _)| !typed.iter().any(|(other, _)| other == key));
    all.extend(typed);
    Ok(all)
}

/// Announces the module, sends it, and answers what became of it.
fn upload(context: &Context, session: &mut Session, request: Request, bytes: &[u8]) -> Result<ContainerReport> {
    match send_whole(context, session, request, bytes)? {
        Answer::Container(report) => Ok(*report),
        other => Err(unexpected(&other)),
    }
}

/// Announces the module and sends it; the node's answer.
fn send_whole(context: &Context, session: &mut Session, request: Request, bytes: &[u8]) -> Result<Answer> {
    let credit = match session.ask(request)? {
        Answer::Ready { credit } => credit.max(1) as usize,
        other => return Err(unexpected(&other)),
    };
    let progress = progress_bar(context, bytes.len());
    let answer = send(session, credit, bytes, &progress).and_then(|()| {
        progress.set_message("loading");
        session.ask(Request::Commit)
    });
    progress.finish_and_clear();
    answer
}

/// Sends the module in chunks, as many ahead of their acknowledgement as the node allows.
fn send(session: &mut Session, credit: usize, bytes: &[u8], progress: &ProgressBar) -> Result<()> {
    let mut under_way = VecDeque::new();
    for (sequence, chunk) in (0_u32..).zip(bytes.chunks(CHUNK_BYTES)) {
        if under_way.len() == credit {
            acknowledge(session, &mut under_way, progress)?;
        }
        under_way.push_back(session.begin(Request::Chunk { sequence, bytes: chunk.to_vec() })?);
    }
    while !under_way.is_empty() {
        acknowledge(session, &mut under_way, progress)?;
    }
    Ok(())
}

fn acknowledge(session: &mut Session, under_way: &mut VecDeque<u32>, progress: &ProgressBar) -> Result<()> {
    let Some(number) = under_way.pop_front() else { return Ok(()) };
    match session.finish(number)? {
        Answer::Acknowledged { received, .. } => {
            progress.set_position(received.into());
            Ok(())
        }
        other => Err(unexpected(&other)),
    }
}

/// Shown to a person only. In ASCII: a guest's serial console may know nothing else.
fn progress_bar(context: &Context, bytes: usize) -> ProgressBar {
    let visible = !context.json() && std::io::stderr().is_terminal();
    let target = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template("{msg:9} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    ProgressBar::with_draw_target(Some(bytes as u64), target).with_style(style).with_message("uploading")
}
