//! Sessions that break off, lie, or come too many at a time.

use std::{
    io::{Read, Write},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use rustix::process::Signal;
use shared_ring_messages::{FromAgent, FromNode, HELLO_MAGIC, PROTOCOL_MAJOR, PROTOCOL_MINOR, frame};
use tempfile::TempDir;

use crate::{
    emit, eventually,
    fake::Connection,
    hostile::Hostile,
    node::{Blinker, TestNode},
    sample,
};

/// A middleman between `emit` and its node that passes on so many bytes of what `emit` says and no more.
struct Middleman {
    directory: TempDir,
    passed: Arc<AtomicUsize>,
}

/// What the middleman does once he has passed on enough.
#[derive(Clone, Copy)]
enum Then {
    /// Lets both sides wait until one of them goes.
    Waits,
    /// Hangs up on both.
    HangsUp,
}

impl Middleman {
    fn start(node: &TestNode, bytes: usize, then: Then) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let listener = UnixListener::bind(directory.path().join("emit.sock")).expect("bound");
        let passed = Arc::<AtomicUsize>::default();
        let (count, target) = (Arc::clone(&passed), node.socket());
        thread::spawn(move || {
            let Ok((agent, _)) = listener.accept() else { return };
            let Ok(node) = UnixStream::connect(target) else { return };
            pass(&agent, &node, bytes, then, &count);
        });
        Self { directory, passed }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("emit.sock")
    }

    fn passed(&self) -> usize {
        self.passed.load(Ordering::SeqCst)
    }
}

fn pass(agent: &UnixStream, node: &UnixStream, bytes: usize, then: Then, count: &AtomicUsize) {
    let back = (node.try_clone().expect("a copy"), agent.try_clone().expect("a copy"));
    let backwards = thread::spawn(move || {
        let (mut from, mut to) = back;
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
    let (mut from, mut to) = (agent, node);
    let mut buffer = [0; 1024];
    let mut left = bytes;
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let passed = read.min(left);
        if to.write_all(&buffer[..passed]).is_err() {
            break;
        }
        left -= passed;
        count.fetch_add(passed, Ordering::SeqCst);
        if left == 0 && matches!(then, Then::HangsUp) {
            break;
        }
    }
    let _ = node.shutdown(Shutdown::Both);
    let _ = agent.shutdown(Shutdown::Both);
    backwards.join().expect("no panic");
}

/// A name that may be long, a hash, and then the module's bytes: this many end in the middle of those.
const IN_THE_MIDDLE: usize = 20_000;

#[test]
fn an_upload_that_is_cut_off_leaves_nothing() {
    let node = TestNode::start();
    let blinker = Blinker::deploy(&node);
    let hello = sample("hello");
    let before = node.counter("uploads_abandoned");
    let middleman = Middleman::start(&node, IN_THE_MIDDLE, Then::HangsUp);
    let arguments = ["deploy", "--name", "cut", &hello];
    emit::emit(&middleman.socket(), &arguments).fails(3, &["connection"]);
    eventually("the half upload is given up", || node.counter("uploads_abandoned") == before + 1);
    assert_eq!(node.names(), ["blinker"]);

    for signal in [Signal::KILL, Signal::INT] {
        let before = node.counter("uploads_abandoned");
        let middleman = Middleman::start(&node, IN_THE_MIDDLE, Then::Waits);
        let mut running = emit::start(&middleman.socket(), &arguments);
        eventually("the upload is half done", || middleman.passed() == IN_THE_MIDDLE);
        eventually("the node knows of it", || node.names() == ["blinker", "cut"]);
        assert_eq!(node.cells_free(), 6, "a cell is kept for it");
        running.signal(signal);
        assert_eq!(running.finish().code, None);
        eventually("the half upload is given up", || node.counter("uploads_abandoned") == before + 1);
        assert_eq!((node.names(), node.cells_free()), (vec!["blinker".to_owned()], 7));
    }
    node.emit(&arguments).succeeds();
    blinker.lost_nothing();
}

#[test]
fn a_damaged_frame_ends_in_an_answer() {
    let node = TestNode::start();
    let middleman = Middleman::start(&node, usize::MAX, Then::Waits);
    emit::emit(&middleman.socket(), &["ps"]).succeeds();
    assert!(middleman.passed() > 0);
}

#[test]
fn garbage_on_the_port_is_counted_and_harms_nobody() {
    let node = TestNode::start();
    let blinker = Blinker::deploy(&node);
    let before = node.counter("frames_malformed");
    let mut vandal = UnixStream::connect(node.socket()).expect("it listens");
    vandal.set_write_timeout(Some(Duration::from_secs(5))).expect("a limit");
    let garbage: Vec<u8> =
        (0..100_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
    // The node may hang up in the middle.
    let _ = vandal.write_all(&garbage);
    eventually("it is counted", || node.counter("frames_malformed") > before);
    node.emit(&["ps"]).succeeds();
    drop(vandal);
    blinker.lost_nothing();
}

#[test]
fn another_version_is_answered_and_counted() {
    let node = TestNode::start();
    let blinker = Blinker::deploy(&node);
    let stream = UnixStream::connect(node.socket()).expect("it listens");
    let mut stranger = Connection::new(stream);
    let hello = FromAgent::Hello { magic: HELLO_MAGIC, major: PROTOCOL_MAJOR + 1, minor: 0 };
    stranger.stream.write_all(&frame::encode(&hello).expect("it fits")).expect("taken");
    let mut answer = Vec::new();
    stranger.stream.read_to_end(&mut answer).expect("answered, and closed");
    let expected = FromNode::VersionMismatch { major: PROTOCOL_MAJOR, minor: PROTOCOL_MINOR };
    assert_eq!(answer, frame::encode(&expected).expect("it fits"));
    assert_eq!(node.counter("version_mismatches"), 1);
    blinker.lost_nothing();
}

#[test]
fn two_and_five_at_once_each_get_an_answer() {
    let node = TestNode::start();
    let blinker = Blinker::deploy(&node);
    let clock = sample("clock");
    let two = [node.start_emit(&[&clock, "100"]), node.start_emit(&[&clock, "100"])];
    for running in two {
        assert!(running.finish().succeeds().contains("asleep for"));
    }

    // Five sessions where four may be open: the fifth waits its turn.
    let five: Vec<_> = (0..5).map(|_| node.start_emit(&["ps"])).collect();
    for running in five {
        assert!(running.finish().succeeds().contains("blinker"));
    }

    // Nine containers for seven cells: two hear that there is none.
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
    let hello = sample("hello");
    let nine = names.map(|name| node.start_emit(&["deploy", "--no-start", "--name", name, &hello]));
    let outputs = nine.map(emit::Running::finish);
    assert_eq!(outputs.iter().filter(|output| output.code == Some(0)).count(), 7, "{outputs:?}");
    for refused in outputs.iter().filter(|output| output.code != Some(0)) {
        refused.fails(8, &["all 8 cells are taken"]);
    }
    assert_eq!(node.names().len(), 8);

    // One name for two: one hears that it is taken.
    for name in names {
        let _ = node.emit(&["rm", name]);
    }
    let two = [0, 1].map(|_| node.start_emit(&["deploy", "--no-start", "--name", "same", &hello]));
    let mut outputs = two.map(emit::Running::finish);
    outputs.sort_by_key(|output| output.code);
    outputs[0].succeeds();
    outputs[1].fails(8, &["there is a container `same`"]);
    blinker.lost_nothing();
}

#[test]
fn who_finds_every_session_taken_waits_or_gives_up() {
    let node = TestNode::start();
    let blinker = Blinker::deploy(&node);
    let mut followers: Vec<_> = (0..4).map(|_| node.start_emit(&["logs", "-f", "blinker"])).collect();
    eventually("all four sessions are taken", || {
        node.emit(&["ps", "--timeout", "200ms"]).stderr.contains("all its sessions are taken")
    });
    node.emit(&["ps", "--timeout", "200ms"]).fails(3, &["all its sessions are taken", "end another `emit`"]);
    let mut waiting = node.start_emit(&["ps"]);
    thread::sleep(Duration::from_millis(200));
    assert!(waiting.is_running(), "it waits for its turn");
    drop(followers.pop());
    assert!(waiting.finish().succeeds().contains("blinker"));
    drop(followers);
    blinker.lost_nothing();
}

#[test]
fn a_node_that_goes_away_is_told() {
    let node = TestNode::start();
    let hostile = Hostile::new();
    node.emit(&["deploy", &hostile.module("sleep-for-ever")]).succeeds();
    let follower = node.start_emit(&["logs", "-f", "sleep-for-ever"]);
    let run = node.start_emit(&["run", &sample("clock"), "30000"]);
    eventually("both are at it", || node.names().len() == 2);
    let socket = node.socket();
    drop(node);
    follower.finish().fails(3, &["the node closed the connection"]);
    run.finish().fails_after_output(125, &["the node closed the connection"]);
    emit::emit(&socket, &["ps"]).fails(3, &["cannot open"]);
}
