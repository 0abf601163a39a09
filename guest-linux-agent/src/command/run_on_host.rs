//! `emit run --on host`: a node for one container, gone with it however either ends.

use std::{io::IsTerminal, process, thread, time::Duration};

use runner_container::rights::Right;
use shared_ring_messages::Request;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
    low_level::emulate_default_handler,
};

use super::{Context, deploy::Prepared};
use crate::{
    exit::Failure,
    kit::{host::HostNode, lines},
    session::{Error, Result, Session},
    terminal,
};

/// How long a container that is asked to stop may take. The board policy bounds its stop hook well below.
const STOP_LIMIT: Duration = Duration::from_secs(5);

pub(super) fn run(context: &Context, prepared: Prepared, show_lines: bool) -> Result<u8> {
    let node = HostNode::start()?;
    // However this function is left: the thread that waits for signals keeps a handle for ever.
    let node = EndedWhenDropped(node);
    let node = &node.0;
    end_with_signals(node, &prepared.request.name)?;
    let mut session = node.greeted(context.timeout)?;
    if std::io::stderr().is_terminal() && !context.json() {
        terminal::note("a node of processes on this machine; this is not seL4");
    }
    let lines = if show_lines { Some(begin_lines(context, node, &prepared.request.grants)?) } else { None };
    let at_end = || {
        node.end();
        // They end with the node, and have shown all that it told.
        if let Some(lines) = lines {
            let _ = lines.join();
        }
    };
    prepared.run(context, &mut session, at_end).map_err(|error| node.explain(error))
}

struct EndedWhenDropped(HostNode);

impl Drop for EndedWhenDropped {
    fn drop(&mut self) {
        self.0.end();
    }
}

fn begin_lines(context: &Context, node: &HostNode, grants: &[String]) -> Result<thread::JoinHandle<()>> {
    let shows = lines::show(&node.pins(), context.json())
        .map_err(|error| Error::new(Failure::NoNode, format!("cannot watch the host node's lines: {error}")))?;
    let input = grants.iter().find_map(|text| match Right::parse(text) {
        Ok(Right::GpioInput { line } | Right::GpioEdges { line, .. }) => Some(line),
        _ => None,
    });
    if let Some(label) = input.filter(|_| !context.json()) {
        let place = node.run_directory();
        terminal::note(&format!("to move an input: atoll-host gpio --run-directory {} pulse {label}", place.display()));
    }
    Ok(shows)
}

/// The first signal asks the container to stop, and the run ends as if somebody had typed `emit stop`. A second one, or a
/// container that cannot be stopped, ends node and program at once, as the signal would have.
fn end_with_signals(node: &HostNode, name: &str) -> Result<()> {
    let cannot = |error: std::io::Error| Error::new(Failure::Internal, format!("cannot listen to signals: {error}"));
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(cannot)?;
    let (node, name) = (node.clone(), name.to_owned());
    let watch = move || {
        let mut asked = false;
        for signal in signals.forever() {
            if asked {
                end_at_once(&node, signal);
            }
            asked = true;
            let (node, name) = (node.clone(), name.clone());
            thread::spawn(move || {
                if stop(&node, &name).is_err() {
                    end_at_once(&node, signal);
                }
            });
        }
    };
    thread::Builder::new().name("signals".into()).spawn(watch).map_err(cannot)?;
    Ok(())
}

fn stop(node: &HostNode, name: &str) -> Result<()> {
    Session::open(Some(&node.socket()), STOP_LIMIT)?.ask(Request::Stop(name.to_owned())).map(drop)
}

fn end_at_once(node: &HostNode, signal: i32) -> ! {
    node.end();
    let _ = emulate_default_handler(signal);
    // Not reached: the default of each of these signals ends the process.
    process::exit(128 + signal)
}
