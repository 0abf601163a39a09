//! `emit run --on host`: a node for one container, gone with it however either ends.

use std::{
    io::IsTerminal,
    process,
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
    thread,
    time::Duration,
};

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
    let ending = Arc::new(Ending::default());
    end_with_signals(node, &prepared.request.name, &ending)?;
    let result = run_on(context, prepared, show_lines, node, &ending);
    match ending.signal() {
        // The node's end is seen here as well, maybe before the other thread is through with it.
        Some(signal) => end_at_once(node, signal),
        None => result,
    }
}

fn run_on(context: &Context, prepared: Prepared, show_lines: bool, node: &HostNode, ending: &Ending) -> Result<u8> {
    let mut session = node.greeted(context.timeout)?;
    if std::io::stderr().is_terminal() && !context.json() {
        terminal::note("a node of processes on this machine; this is not seL4");
    }
    let lines = if show_lines { Some(begin_lines(context, node, &prepared.request.grants)?) } else { None };
    let at_end = || {
        ending.is_of(Ending::CONTAINER);
        node.end();
        // They end with the node, and have shown all that it told.
        if let Some(lines) = lines {
            let _ = lines.join();
        }
    };
    prepared.run(context, &mut session, at_end).map_err(|error| node.explain(error))
}

/// Why the node ends: the first that says so is the cause, and whatever the end brings about elsewhere is not.
#[derive(Default)]
struct Ending(AtomicI32);

impl Ending {
    /// The container has ended by itself, or as it was asked to. No signal has this number.
    const CONTAINER: i32 = -1;

    /// Whether `cause`, a signal's number or [`Ending::CONTAINER`], came first.
    fn is_of(&self, cause: i32) -> bool {
        self.0.compare_exchange(0, cause, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    fn signal(&self) -> Option<i32> {
        Some(self.0.load(Ordering::SeqCst)).filter(|&cause| cause > 0)
    }
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
fn end_with_signals(node: &HostNode, name: &str, ending: &Arc<Ending>) -> Result<()> {
    let cannot = |error: std::io::Error| Error::new(Failure::Internal, format!("cannot listen to signals: {error}"));
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(cannot)?;
    let (node, name, ending) = (node.clone(), name.to_owned(), Arc::clone(ending));
    let watch = move || {
        let mut asked = false;
        for signal in signals.forever() {
            if asked && ending.is_of(signal) {
                end_at_once(&node, signal);
            }
            if asked {
                continue;
            }
            asked = true;
            let (node, name, ending) = (node.clone(), name.clone(), Arc::clone(&ending));
            thread::spawn(move || {
                if stop(&node, &name).is_err() && ending.is_of(signal) {
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
