//! `emit deploy` and `emit run`: the upload, and what follows it.

use std::{collections::VecDeque, io::IsTerminal, path::Path, thread, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sha2::{Digest, Sha256};
use shared_ring_messages::{Answer, CHUNK_BYTES, ContainerReport, DeployRequest, Request};

use super::{Context, logs, unexpected};
use crate::{
    arguments::{ContainerOptions, Deploy, Run},
    exit::{self, Failure},
    grant, module,
    session::{Error, Result, Session},
    show,
};

/// How long `run` waits for more output at the least and at the most: quick for short programs, easy on the node for long
/// ones.
const SHORTEST_WAIT: Duration = Duration::from_millis(2);
const LONGEST_WAIT: Duration = Duration::from_millis(100);

pub(super) fn deploy(context: &Context, arguments: &Deploy) -> Result<u8> {
    let bytes = read(&arguments.file)?;
    let name = arguments.options.name.clone().unwrap_or_else(|| module::name_of(&arguments.file));
    let mut request = request(&arguments.options, name, &bytes, &arguments.arguments)?;
    request.start = !arguments.no_start;
    let mut session = context.session()?;
    let report = upload(context, &mut session, request, &bytes)?;
    let text = format!("{}: {} in cell{}\n", report.name, report.state_text, report.cell);
    super::print(context, &show::container_json(&report), &text);
    Ok(0)
}

pub(super) fn run(context: &Context, arguments: &Run) -> Result<u8> {
    let bytes = read(&arguments.file)?;
    // A name of its own, so that the same file can run twice at a time.
    let named = || format!("{}-{:x}", module::name_of(&arguments.file), std::process::id());
    let name = arguments.options.name.clone().unwrap_or_else(named);
    let mut request = request(&arguments.options, name, &bytes, &arguments.arguments)?;
    request.start = true;
    request.attached = true;
    let mut session = context.session()?;
    let name = upload(context, &mut session, request, &bytes)?.name;
    show_until_ended(&mut session, &name)?;
    let report = match session.ask(Request::Inspect(name.clone()))? {
        Answer::Container(report) => report,
        other => return Err(unexpected(&other)),
    };
    session.ask(Request::Remove(name))?;
    if context.json() {
        show::print_json(&show::container_json(&report));
    } else if exit::has_failed(&report) {
        eprintln!("emit: the container failed: {}", show::printable(&report.reason_text));
    }
    Ok(exit::of_container(&report))
}

fn read(file: &Path) -> Result<Vec<u8>> {
    module::read(file).map_err(|error| Error::new(Failure::File, format!("{error:#}")))
}

fn request(options: &ContainerOptions, name: String, bytes: &[u8], arguments: &[String]) -> Result<DeployRequest> {
    let usage = |message: String| Error::new(Failure::Usage, message);
    let size = u32::try_from(bytes.len())
        .map_err(|_| Error::new(Failure::File, "the file is larger than any WebAssembly module can be".to_owned()))?;
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

/// Sends the module, as many chunks ahead of their acknowledgement as the node allows, and answers what became of it.
fn upload(context: &Context, session: &mut Session, request: DeployRequest, bytes: &[u8]) -> Result<ContainerReport> {
    let credit = match session.ask(Request::Deploy(request))? {
        Answer::Ready { credit } => credit.max(1) as usize,
        other => return Err(unexpected(&other)),
    };
    let progress = progress_bar(context, bytes.len());
    let mut under_way = VecDeque::new();
    for (sequence, chunk) in (0_u32..).zip(bytes.chunks(CHUNK_BYTES)) {
        if under_way.len() == credit {
            acknowledge(session, &mut under_way, &progress)?;
        }
        under_way.push_back(session.begin(Request::Chunk { sequence, bytes: chunk.to_vec() })?);
    }
    while !under_way.is_empty() {
        acknowledge(session, &mut under_way, &progress)?;
    }
    progress.set_message("loading");
    let answer = session.ask(Request::Commit);
    progress.finish_and_clear();
    match answer? {
        Answer::Container(report) => Ok(*report),
        other => Err(unexpected(&other)),
    }
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

fn progress_bar(context: &Context, bytes: usize) -> ProgressBar {
    let visible = !context.json() && std::io::stderr().is_terminal();
    let target = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template("{msg:9} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(bytes as u64), target).with_style(style).with_message("uploading")
}

/// Prints a container's output as it comes, until it has ended and all is printed.
fn show_until_ended(session: &mut Session, name: &str) -> Result<()> {
    let mut cursor = 0;
    let mut wait = SHORTEST_WAIT;
    loop {
        let page = logs::page(session, name, cursor)?;
        if page.lost > 0 {
            eprintln!("emit: {} records were lost here", page.lost);
        }
        page.records.iter().try_for_each(logs::pass_through)?;
        cursor = page.next;
        if !page.records.is_empty() {
            wait = SHORTEST_WAIT;
            continue;
        }
        if page.ended {
            return Ok(());
        }
        thread::sleep(wait);
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}
