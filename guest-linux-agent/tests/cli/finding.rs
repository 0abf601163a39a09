//! How `emit` finds its node, and what it says where there is none.

use std::{fs, os::unix::net::UnixListener};

use crate::{
    emit::{Running, command, emit},
    fake::Fake,
    node::TestNode,
};

#[test]
fn a_hosts_node_is_found_by_its_directory() {
    let node = TestNode::start();
    let mut by_directory = command(&["ps"]);
    by_directory.env("ATOLL_RUN_DIRECTORY", node.run_directory());
    Running::start(by_directory).finish().succeeds();

    let runtime = tempfile::tempdir().expect("a temporary directory");
    std::os::unix::fs::symlink(node.run_directory(), runtime.path().join("atoll")).expect("linked");
    let mut by_convention = command(&["ps"]);
    by_convention.env("XDG_RUNTIME_DIR", runtime.path());
    Running::start(by_convention).finish().succeeds();

    let socket = node.socket();
    Running::start(command(&["--node", socket.to_str().expect("UTF-8"), "ps"])).finish().succeeds();
    // What is typed counts for more than what is around.
    emit(&runtime.path().join("nothing"), &["ps", "--node", socket.to_str().expect("UTF-8")]).succeeds();
}

#[test]
fn where_there_is_no_node_it_says_how_to_get_one() {
    let words = ["no node found", "emit.0", "cargo xtask up", "--node PATH"];
    Running::start(command(&["ps"])).finish().fails(3, &words);
    let hello = crate::sample("hello");
    Running::start(command(&["run", &hello])).finish().fails(125, &words);
    let directory = tempfile::tempdir().expect("a temporary directory");
    emit(&directory.path().join("nothing"), &["ps"]).fails(3, &["cannot open", "nothing", "No such file"]);
}

#[test]
fn a_socket_that_was_left_behind_is_told_from_a_node() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("emit.sock");
    drop(UnixListener::bind(&path).expect("bound"));
    emit(&path, &["ps"]).fails(3, &["is there but no node listens on it"]);
}

#[test]
fn a_file_that_is_named_as_node_is_not_written_to() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("thesis.txt");
    fs::write(&path, "years of work").expect("written");
    emit(&path, &["ps"]).fails(3, &["thesis.txt", "neither a virtio port nor a unix socket"]);
    assert_eq!(fs::read_to_string(&path).expect("read"), "years of work");
    emit(directory.path(), &["ps"]).fails(3, &["neither a virtio port nor a unix socket"]);
}

#[test]
fn mistyped_commands_are_told_from_files() {
    let fake = Fake::start(drop);
    let nobody = fake.socket();
    let output = emit(&nobody, &["pss"]);
    assert_eq!(output.code, Some(2));
    assert!(output.stderr.contains("`pss` is neither a command nor a .wasm file"), "{output:?}");
    emit(&nobody, &["nowhere.wasm"]).fails(127, &["cannot read nowhere.wasm", "No such file"]);
    emit(&nobody, &["deploy", "nowhere.wasm"]).fails(6, &["cannot read nowhere.wasm"]);
    emit(&nobody, &["deploy", "/"]).fails(6, &["cannot read /", "directory"]);
    emit(&nobody, &["run", "/dev/zero"]).fails(127, &["/dev/zero is larger than 256 MiB"]);
    for (arguments, words) in [
        (&["deploy", "x", "--grant", "gpio:LED"][..], "--grant gpio:LED"),
        (&["deploy", "x", "--env", "=x"], "--env =x"),
        (&["ps", "--timeout", "soon"], "--timeout"),
        (&["logs"], "NAME"),
        (&[], "Usage"),
    ] {
        // The file is looked at first: the words are about the right where there is one.
        let hello = crate::sample("hello");
        let arguments: Vec<_> = arguments.iter().map(|&word| if word == "x" { hello.as_str() } else { word }).collect();
        let output = emit(&nobody, &arguments);
        assert_eq!(output.code, Some(2), "{output:?}");
        assert!(output.stderr.contains(words), "{output:?}");
    }
}
