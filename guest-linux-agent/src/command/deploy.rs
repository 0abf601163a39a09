//! `emit deploy` and `emit run`: the upload, and what follows it.

use std::{collections::VecDeque, io::IsTerminal, path::Path};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sha2::{Digest, Sha256};
use shared_ring_messages::{Answer, CHUNK_BYTES, ContainerReport, DeployRequest, Request};

use super::{Context, logs, unexpected};
use crate::{
    arguments::{ContainerOptions, Deploy, Run},
    exit::{self, Failure},
    grant, module,
    session::{Error, Result, Session},
    show, terminal,
};

pub(super) fn deploy(context: &Context, arguments: &Deploy) -> Result<u8> {
    let bytes = module::read(&arguments.file)?;
    let name = arguments.options.name.clone().unwrap_or_else(|| module::name_of(&arguments.file));
    let mut request = request(&arguments.options, name, &bytes, &arguments.arguments)?;
    request.start = !arguments.no_start;
    let mut session = context.session()?;
    let report = upload(context, &mut session, request, &bytes).map_err(|error| of_file(error, &arguments.file))?;
    let text = format!("{}: {} in cell{}\n", report.name, show::state(&report), report.cell);
    super::print(context, &show::container_json(&report), &text)?;
    if exit::has_failed(&report) && !context.json() {
        terminal::note(&format!("it started and failed at once; `emit logs {}` shows what it wrote", report.name));
    }
    Ok(0)
}

pub(super) fn run(context: &Context, arguments: &Run) -> Result<u8> {
    let usage = |message: &str| Error::new(Failure::Usage, message);
    let (file, words) = arguments.words.split_first().ok_or_else(|| usage("which file?"))?;
    let file = Path::new(file);
    let words: Option<Vec<String>> = words.iter().map(|word| word.to_str().map(str::to_owned)).collect();
    let words = words.ok_or_else(|| usage("an argument is not UTF-8, as WebAssembly wants it"))?;
    let bytes = module::read(file)?;
    // A name of its own, so that the same file can run twice at a time.
    let named = || format!("{}-{:x}", module::name_of(file), std::process::id());
    let name = arguments.options.name.clone().unwrap_or_else(named);
    let mut request = request(&arguments.options, name, &bytes, &words)?;
    request.start = true;
    request.attached = true;
    let mut session = context.session()?;
    let report = upload(context, &mut session, request, &bytes).map_err(|error| of_file(error, file))?;
    let mut sink = if context.json() { logs::Sink::json() } else { logs::Sink::pass_through() };
    logs::show(&mut session, &report.name, &mut sink, true)?;
    let report = match session.ask(Request::Inspect(report.name))? {
        Answer::Container(report) => report,
        other => return Err(unexpected(&other)),
    };
    session.ask(Request::Remove(report.name.clone()))?;
    if context.json() {
        terminal::output(format!("{}\n", show::container_json(&report)).as_bytes())?;
    } else if exit::has_failed(&report) {
        terminal::note(&format!("the container failed: {}", terminal::printable(&report.reason_text)));
    }
    Ok(exit::of_container(&report))
}

/// Says which file it is that the node refused.
fn of_file(error: Error, file: &Path) -> Error {
    if error.failure != Failure::ContainerRefused {
        return error;
    }
    Error { message: format!("{}: {}", file.display(), error.message), ..error }
}

fn request(options: &ContainerOptions, name: String, bytes: &[u8], arguments: &[String]) -> Result<DeployRequest> {
    let usage = |message: String| Error::new(Failure::Usage, message);
    let size = u32::try_from(bytes.len()).map_err(|_| Error::new(Failure::File, "the file is too large"))?;
    let grants = options
        .grants
        .iter()
        .map(|text| grant::parse(text).map_err(|error| usage(format!("{error:#}"))))
        .collect::<Result<_>>()?;
    let environment = options
        .environment
        .iter()
        .map(|text| match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            _ => Err(usage(format!("`--env {text}` is not understood: expected NAME=VALUE"))),
        })
        .collect::<Result<_>>()?;
    Ok(DeployRequest {
        name,
        size,
        sha256: Sha256::digest(bytes).into(),
        grants,
        arguments: arguments.to_vec(),
        environment,
        start: false,
        attached: false,
    })
}

/// Announces the module, sends it, and answers what became of it.
fn upload(context: &Context, session: &mut Session, request: DeployRequest, bytes: &[u8]) -> Result<ContainerReport> {
    let credit = match session.ask(Request::Deploy(request))? {
        Answer::Ready { credit } => credit.max(1) as usize,
        other => return Err(unexpected(&other)),
    };
    let progress = progress_bar(context, bytes.len());
    let answer = send(session, credit, bytes, &progress).and_then(|()| {
        progress.set_message("loading");
        session.ask(Request::Commit)
    });
    progress.finish_and_clear();
    match answer? {
        Answer::Container(report) => Ok(*report),
        other => Err(unexpected(&other)),
    }
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
