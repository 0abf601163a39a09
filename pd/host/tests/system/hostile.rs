//! Every hostile module of the examples, against a node with a container that must not notice.

use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use runner_interfaces::cell::ContainerState;
use shared_ring_messages::{Answer, ErrorCode, Request};

use crate::client::{Client, Deploy, blinker};
use crate::{TestNode, demo_policy_with, eventually, project, sample};

/// Sessions that try modules at a time: one for each cell that the blinker leaves.
const TRIERS: usize = 3;

/// What a module's head says must come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// Refused at the door, or failed in its cell.
    Fails,
    /// Goes on until it is stopped, and is stopped.
    RunsUntilStopped,
    /// Whatever; it is gone afterwards.
    Ends,
}

fn modules() -> Vec<(String, Expected, Vec<u8>)> {
    let folder = project().join("examples/hostile");
    let files = std::fs::read_dir(&folder).expect("the hostile modules are there");
    let mut files: Vec<_> = files.map(|entry| entry.expect("listed").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "wat"));
    files.sort();
    files.iter().map(|path| module(path)).collect()
}

fn module(path: &Path) -> (String, Expected, Vec<u8>) {
    let text = std::fs::read_to_string(path).expect("read");
    let head = text.lines().find_map(|line| line.split_once("Expect: ")).expect("it says what to expect").1;
    let expected = match head {
        head if head.starts_with("failed within the stop limit") || head.contains("when it is asked to stop") => {
            Expected::RunsUntilStopped
        }
        head if head.starts_with("failed") || head.starts_with("refused") => Expected::Fails,
        head if head.contains("until stopped") && !head.contains("or ") => Expected::RunsUntilStopped,
        _ => Expected::Ends,
    };
    let name = path.file_stem().expect("a file").to_string_lossy().into_owned();
    (name, expected, wat::parse_str(&text).expect("assembles"))
}

#[test]
fn no_module_harms_anybody_but_itself() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    // What runs into a hook's limit does so soon.
    let short_hooks = demo_policy_with(directory.path(), "hook = \"1s\"", "hook = \"300ms\"");
    let node = TestNode::start_with(|options| options.policy = Some(short_hooks));
    let mut witness = Client::greeted(&node);
    witness.deploy(&blinker("blinker")).expect("starts");
    let mut pins = node.gpio().expect("pins");
    let modules = modules();
    assert!(modules.len() > 50, "{} modules", modules.len());
    let todo = Mutex::new(modules.into_iter());
    thread::scope(|scope| {
        for _ in 0..TRIERS {
            scope.spawn(|| {
                let mut client = Client::greeted(&node);
                loop {
                    let next = todo.lock().expect("nobody panicked").next();
                    let Some((name, expected, module)) = next else { return };
                    try_module(&mut client, &name, expected, module);
                }
            });
        }
    });
    let report = witness.inspect("blinker");
    assert!(
        [ContainerState::Ready, ContainerState::Running].map(ContainerState::to_wire).contains(&report.state),
        "{report:?}"
    );
    let before = pins.transitions("LED").expect("read");
    eventually("the LED blinks on", || pins.transitions("LED").expect("read") >= before + 3);
    for name in ["a", "b", "c"] {
        witness.deploy(&Deploy::new(name, sample("hello"))).expect("every cell can be used again");
        assert_eq!(witness.wait_for_end(name).exit_code, 0);
    }
}

fn try_module(client: &mut Client, name: &str, expected: Expected, module: Vec<u8>) {
    match client.deploy(&Deploy::new(name, module)) {
        Err((code, detail)) => {
            assert_ne!(expected, Expected::RunsUntilStopped, "{name}: {code:?} {detail}");
            assert_ne!(code, ErrorCode::Internal, "{name}: {detail}");
            return;
        }
        Ok(_) if expected == Expected::Fails => {
            let report = client.wait_for_end(name);
            assert_eq!(report.state, ContainerState::Failed.to_wire(), "{name}: {}", report.state_text);
            assert!(!report.reason_text.is_empty(), "{name}: it has a reason");
        }
        Ok(_) => {
            thread::sleep(Duration::from_millis(50));
            let report = client.inspect(name);
            let ended = ContainerState::from_wire(report.state).is_some_and(ContainerState::is_final);
            if expected == Expected::RunsUntilStopped {
                assert!(!ended, "{name}: {} {}", report.state_text, report.reason_text);
            }
            if !ended {
                // Stopped, or failed in its stop hook: ended either way.
                client.container(Request::Stop(name.into())).unwrap_or_else(|error| panic!("{name}: {error:?}"));
            }
            client.wait_for_end(name);
        }
    }
    assert_eq!(client.ask(Request::Remove(name.into())), Ok(Answer::Done), "{name}");
}
