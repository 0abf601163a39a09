//! What a terminal sees: a progress bar while a module is uploaded, gone without a trace before anything else is shown.

use std::{
    fs::{self, File, OpenOptions},
    io::Read,
    process::Stdio,
    thread,
};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::{LIMIT, emit::command, emit::wait, hostile::Hostile, node::TestNode, sample};

/// Clears the line, as `indicatif` does it: carriage return, then ECMA-48 "erase in line", all of it.
const CLEARED: &str = "\r\u{1b}[2K";

/// Runs `emit` with standard error on a terminal; answers its exit code, its standard output and what the terminal saw.
fn on_a_terminal(node: &TestNode, arguments: &[&str]) -> (Option<i32>, String, String) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("there are terminals");
    grantpt(&master).expect("granted");
    unlockpt(&master).expect("unlocked");
    let name = ptsname(&master, Vec::new()).expect("it has a name");
    let terminal = OpenOptions::new().write(true).open(name.to_str().expect("UTF-8")).expect("opened");
    let mut command = command(arguments);
    command.env("ATOLL_NODE", node.socket()).env("TERM", "vt100").stdout(Stdio::piped()).stderr(terminal);
    let mut child = command.spawn().expect("emit can be run");
    // With it goes this process' copy of the terminal: reading ends when `emit` does.
    drop(command);
    let reader = thread::spawn(move || read_all(master.into()));
    let code = wait(&mut child, LIMIT).code();
    let mut output = String::new();
    child.stdout.take().expect("piped").read_to_string(&mut output).expect("read");
    (code, output, reader.join().expect("read"))
}

/// Reads a terminal's other end until nobody has the terminal open any more, which Linux tells by an error.
fn read_all(mut master: File) -> String {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = master.read(&mut buffer) {
        seen.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8(seen).expect("emit speaks UTF-8")
}

#[test]
fn the_progress_bar_shows_and_goes() {
    let node = TestNode::start();
    let (code, output, seen) = on_a_terminal(&node, &["run", &sample("hello"), "Ada"]);
    assert_eq!(code, Some(0));
    assert!(output.starts_with("Hello, Ada!\n"), "{output}");
    assert!(seen.contains("uploading [") && seen.contains("KiB"), "{seen:?}");
    assert!(seen.ends_with(CLEARED), "the line is left clean: {seen:?}");
    assert!(seen.is_ascii(), "a serial console knows nothing else: {seen:?}");

    let module = fs::read(sample("hello")).expect("read");
    let cut = Hostile::new();
    let cut_file = cut.file("cut.wasm", &module[..module.len() / 2]);
    let (code, _, seen) = on_a_terminal(&node, &["deploy", &cut_file]);
    assert_eq!(code, Some(7));
    let (bar, error) = seen.rsplit_once(CLEARED).expect("the line is cleared");
    assert!(bar.contains("uploading") && error.starts_with("emit: "), "{seen:?}");
}

#[test]
fn a_script_sees_no_progress_bar() {
    let node = TestNode::start();
    let output = node.emit(&["deploy", &sample("hello")]);
    assert_eq!(output.stderr, "");
    let (code, output, seen) = on_a_terminal(&node, &["--format", "json", "deploy", &sample("hello"), "--name", "b"]);
    assert_eq!((code, seen.as_str()), (Some(0), ""), "{output}");
}
