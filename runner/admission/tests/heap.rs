//! What admission takes of the heap when everybody takes as much of it as they can, at once.
//!
//! A binary of its own with one test, because its allocator counts what the whole process allocates while admission runs.

#[allow(dead_code, reason = "the other tests use the rest")]
#[path = "admission/node.rs"]
mod node;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicIsize, Ordering},
};

use node::{ADMISSION_RUNS, CELLS, MODULE_LIMIT, Node, Script, hello, reactor, request};
use runner_admission::{MAX_UNREAD_BYTES, worst_case_heap_bytes};
use runner_container::{Channel, ChannelKind, Direction, Manifest, Service, embed};
use runner_interfaces::link::MAX_SESSIONS;
use serde::{Serialize, Serializer, ser::SerializeTuple};
use shared_ring_messages::{DeployRequest, FromAgent, FromNode, PROTOCOL_MAJOR, Request, frame};

/// The ring to the guest, in `node`.
const RING_BYTES: usize = 0x20000;

/// Counts what is in use of what was allocated while admission ran, and the peak.
struct Counting;

static IN_USE: AtomicIsize = AtomicIsize::new(0);
static PEAK: AtomicIsize = AtomicIsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(change: isize) {
    if ADMISSION_RUNS.load(Ordering::Relaxed) {
        let now = IN_USE.fetch_add(change, Ordering::Relaxed) + change;
        PEAK.fetch_max(now, Ordering::Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator unchanged; only numbers are kept beside it. `realloc` is the provided
// one, which allocates, copies and frees, as the simplest heap of a domain does.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(isize::try_from(layout.size()).expect("a layout's size is one"));
        // SAFETY: the caller's duties are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-isize::try_from(layout.size()).expect("a layout's size is one"));
        // SAFETY: the caller's duties are the system allocator's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// A number as WebAssembly and `postcard` write it: unsigned LEB128.
fn leb(number: usize) -> Vec<u8> {
    postcard::to_allocvec(&number).expect("there is memory")
}

/// A manifest of which much is kept.
fn large_manifest(session: usize) -> Manifest {
    // Eight of the node's channels for each of four containers.
    let name = |number: usize| format!("{session}-{number:x<38}");
    let attributes = || (0..8).map(|number| (name(number), "v".repeat(20))).collect();
    let channel = |number: usize| Channel {
        name: name(number),
        direction: Direction::Put,
        type_text: "u64".into(),
        kind: ChannelKind::Latest,
    };
    Manifest {
        channels: (0..8).map(channel).collect(),
        provides: (0..8)
            .map(|number| Service { channel: name(number), service: name(number), attributes: attributes() })
            .collect(),
        ..Manifest::named("a")
    }
}

/// The largest module that is allowed.
fn largest_module(session: usize) -> Vec<u8> {
    let mut wasm = embed(&reactor(), &large_manifest(session), &[]).expect("valid");
    let room = MODULE_LIMIT as usize - wasm.len() - 16;
    // A custom section (number 0) of that many bytes behind the rest, its name empty.
    wasm.push(0);
    wasm.extend(leb(room));
    wasm.extend(std::iter::repeat_n(0, room));
    wasm
}

/// Bytes that `postcard` writes as they are.
struct Raw(Vec<u8>);

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = serializer.serialize_tuple(self.0.len())?;
        self.0.iter().try_for_each(|byte| bytes.serialize_element(byte))?;
        bytes.end()
    }
}

/// A `Deploy` whose environment claims one entry for each byte that is left of the frame.
fn announcement_that_boasts() -> Raw {
    const LEFT: usize = 8000;
    let mut bytes =
        postcard::to_allocvec(&FromAgent::Request { number: 1, request: Request::Deploy(request("", &[])) })
            .expect("fits");
    // The environment's length, `start` and `attached` are the last three bytes.
    bytes.truncate(bytes.len() - 3);
    bytes.extend(leb(LEFT));
    bytes.extend([0; LEFT]);
    Raw(bytes)
}

#[test]
fn everybody_at_once_stays_within_what_is_promised() {
    let mut node = Node::new();
    for session in 0..MAX_SESSIONS {
        let wasm = largest_module(session);
        node.greet(session);
        let arguments = vec!["a".repeat(64); 60];
        let large = DeployRequest { start: true, arguments, ..request(&format!("c{session}"), &wasm) };
        node.deploy(session, large, &wasm).expect("deployed");
    }
    for _ in 0..20 {
        for cell in &mut node.cells {
            while cell.print(&"x".repeat(64)) {}
        }
        node.wake_everybody();
        node.run();
    }
    let list = frame::encode(&FromNode::Answer { number: 1, answer: node.ask(0, Request::List).expect("listed") });
    let answer_bytes = list.expect("fits").len();
    node.guest.deaf = true;
    // What the ring takes; from then on every answer waits with its session.
    for _ in 0..RING_BYTES / answer_bytes + 1 {
        node.begin(0, Request::List);
        node.run();
    }
    for session in 0..MAX_SESSIONS {
        for _ in 0..MAX_UNREAD_BYTES / answer_bytes - 2 {
            node.begin(session, Request::List);
            node.run();
        }
        node.send_bytes(session, &frame::encode(&announcement_that_boasts()).expect("fits"));
        node.run();
        node.send_bytes(session, &[0xff; 8 * 1024]);
        node.run();
    }
    let promised = isize::try_from(worst_case_heap_bytes(CELLS, MODULE_LIMIT as usize)).expect("small");
    let peak = PEAK.load(Ordering::Relaxed);
    assert!(peak <= promised, "{peak} bytes in use, {promised} promised");
    // As far above would be as wrong: nobody would believe the figure.
    assert!(peak >= promised / 2, "{peak} bytes in use, {promised} promised: the test does not fill what there is");
    let in_use = IN_USE.load(Ordering::Relaxed);
    for session in 0..MAX_SESSIONS {
        node.hang_up(session);
    }
    node.guest.deaf = false;
    for session in 0..MAX_SESSIONS {
        node.open(session);
        node.send(session, &hello(PROTOCOL_MAJOR));
    }
    node.run();
    for name in ["c0", "c1", "c2", "c3"] {
        node.ask(0, Request::Kill(name.into())).expect("runs");
        node.ask(0, Request::Remove(name.into())).expect("ended");
    }
    let left = IN_USE.load(Ordering::Relaxed);
    println!("peak {peak}, promised {promised}, filled {in_use}, left {left}");
    assert!(left < in_use / 8, "{left} of {in_use} bytes are kept for who is gone");
    nothing_is_kept_for_abandoned_waits(&mut node);
}

fn nothing_is_kept_for_abandoned_waits(node: &mut Node) {
    const WAITS: usize = 400;
    node.cells[0].script = Script::IgnoresStop;
    node.deploy_running(0, "a");
    let before = IN_USE.load(Ordering::Relaxed);
    for _ in 0..WAITS / 4 {
        node.greet(1);
        for verb in [Request::Stop, Request::Restart, Request::Stop, Request::Restart] {
            node.begin(1, verb("a".into()));
        }
        node.run();
        node.hang_up(1);
    }
    let kept = IN_USE.load(Ordering::Relaxed) - before;
    // A wait takes some 60 bytes; the fakes' own bookkeeping is counted too.
    assert!(kept < 4096, "{kept} bytes are kept for {WAITS} requests that nobody waits for");
}
