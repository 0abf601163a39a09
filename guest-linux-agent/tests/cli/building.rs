//! `emit new` and `emit build`: every template that this machine has a compiler for is built, checked and run.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::{
    emit::{Output, Running, command, wait},
    eventually,
    node::TestNode,
    project,
};

/// Building a standard library from source takes a minute or two on a small machine, the first time.
const BUILD_LIMIT: std::time::Duration = std::time::Duration::from_secs(600);

fn emit_in(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = command(arguments);
    command.current_dir(folder);
    Running::start(command).finish_within(BUILD_LIMIT)
}

/// A folder of this test's own that stays between runs, so that compilers find what they have built; its old sources go.
fn folder(name: &str) -> PathBuf {
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR")).join("templates");
    fs::create_dir_all(&parent).expect("made");
    let kept = [("target", "kept-target"), ("node_modules", "kept-modules")];
    for (inside, beside) in kept {
        let (from, to) = (parent.join(name).join(inside), parent.join(format!("{name}-{beside}")));
        if from.exists() {
            let _ = fs::remove_dir_all(&to);
            fs::rename(from, to).expect("moved");
        }
    }
    let _ = fs::remove_dir_all(parent.join(name));
    parent
}

fn restore(parent: &Path, name: &str) {
    for (inside, beside) in [("target", "kept-target"), ("node_modules", "kept-modules")] {
        let from = parent.join(format!("{name}-{beside}"));
        if from.exists() {
            fs::rename(from, parent.join(name).join(inside)).expect("moved");
        }
    }
}

/// Makes, builds, checks and runs one template. Says loudly where a tool is missing.
fn template(language: &str, world: &str) {
    let name = format!("{language}-{world}");
    let parent = folder(&name);
    let made = emit_in(&parent, &["--format", "json", "new", &name, "--lang", language, "--world", world]);
    made.succeeds();
    assert!(made.json()["files"].as_array().is_some_and(|files| files.contains(&json!("app.toml"))), "{made:?}");
    restore(&parent, &name);
    let folder = parent.join(&name);
    if language == "assemblyscript" && !install(&folder) {
        eprintln!("SKIPPED: template {name} was not built: `npm install` does not work here");
        return;
    }
    let built = emit_in(&parent, &["--format", "json", "build", &name]);
    if built.code == Some(10) && built.json()["error"].as_str().is_some_and(|error| error.contains("get it with")) {
        eprintln!("SKIPPED: template {name} was not built: {}", built.json()["error"]);
        return;
    }
    built.succeeds();
    assert!(built.json()["toolchain"].is_string(), "{built:?}");
    let again = emit_in(&parent, &["--format", "json", "build", &name]);
    assert_eq!(again.json()["sha256"], built.json()["sha256"], "the same sources make the same bytes");
    let checked = emit_in(&parent, &["--format", "json", "check", &name]).json();
    let world_name = if world == "wasi" { "wasi-command" } else { "reactor" };
    assert_eq!((&checked["errors"], &checked["world"]), (&json!(0), &json!(world_name)), "{checked}");
    let only_unserved = |finding: &Value| finding["code"] == "unserved";
    assert!(checked["findings"].as_array().expect("a list").iter().all(only_unserved), "{checked}");
    runs(&folder.join(format!("{name}.wasm")), &name, world);
}

fn runs(container: &Path, name: &str, world: &str) {
    let node = TestNode::start();
    let container = container.to_str().expect("UTF-8");
    if world == "wasi" {
        assert_eq!(node.emit(&["run", container]).succeeds(), "Hello, world!\n");
        return;
    }
    node.emit(&["deploy", container]).succeeds();
    eventually("it ticks", || node.emit(&["logs", name]).text().matches("tick").count() > 1);
    let stopped = node.ask(&["stop", name]);
    assert_eq!((&stopped["state"], &stopped["exit_code"]), (&json!("finalised"), &json!(0)));
}

fn install(folder: &Path) -> bool {
    let spawned =
        Command::new("npm").args(["install", "--no-audit", "--no-fund", "--silent"]).current_dir(folder).spawn();
    spawned.is_ok_and(|mut child| wait(&mut child, BUILD_LIMIT).success())
}

#[test]
fn the_text_templates_build_and_run() {
    template("wat", "reactor");
    template("wat", "wasi");
}

#[test]
fn the_c_templates_build_and_run() {
    template("c", "reactor");
    template("c", "wasi");
}

#[test]
fn the_rust_templates_build_and_run() {
    template("rust", "reactor");
    template("rust", "wasi");
}

#[test]
fn the_assembly_script_templates_build_and_run() {
    template("assemblyscript", "reactor");
    template("assemblyscript", "wasi");
}

#[test]
fn a_new_folder_takes_no_others_place() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let text = emit_in(directory.path(), &["new", "a", "--lang", "wat"]).succeeds();
    assert!(text.contains("next: cd a && emit build && emit deploy a.wasm"), "{text}");
    emit_in(directory.path(), &["new", "a", "--lang", "c"]).fails(6, &["a is there already"]);
    emit_in(directory.path(), &["new", "A", "--lang", "c"]).fails(2, &["`A` cannot be a container's name"]);
    emit_in(directory.path(), &["new", "1.2", "--lang", "rust"]).fails(2, &["Rust package"]);
    let wit = fs::read(directory.path().join("a/wit/atoll.wit")).expect("the interfaces go with it");
    assert_eq!(wit, fs::read(project().join("runner/wit/atoll.wit")).expect("read"));
}

#[test]
fn what_does_not_build_is_said() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path();
    emit_in(path, &["build"]).fails(6, &["cannot read", "app.toml"]);
    fs::write(path.join("app.toml"), "name = \"a\"\n").expect("written");
    emit_in(path, &["build"]).fails(10, &["has nothing to build", "hint: `emit new`"]);
    fs::write(path.join("one.wat"), "(module (func (export \"_start\")").expect("written");
    emit_in(path, &["build"]).fails(10, &["one.wat"]);
    fs::write(path.join("one.wat"), "(module (func (export \"_start\")))").expect("written");
    let built = emit_in(path, &["--format", "json", "build"]).json();
    assert_eq!((&built["language"], &built["name"]), (&json!("WAT"), &json!("a")));
    fs::write(path.join("two.wat"), "(module)").expect("written");
    emit_in(path, &["build"]).fails(10, &["several sources, and none is called a"]);
    fs::rename(path.join("two.wat"), path.join("a.wat")).expect("renamed");
    emit_in(path, &["build"]).succeeds();
    assert_eq!(emit_in(path, &["check"]).code, Some(7), "the empty module was built");
}

#[test]
fn a_missing_compiler_is_said_with_the_command_that_gets_it() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    emit_in(directory.path(), &["new", "a", "--lang", "assemblyscript"]).succeeds();
    emit_in(directory.path(), &["new", "b", "--lang", "c"]).succeeds();
    for (folder, words) in [("a", ["asc", "`npm install`"]), ("b", ["clang", "`apt-get install clang lld`"])] {
        let mut without_tools = command(&["build", folder]);
        without_tools.current_dir(directory.path()).env("PATH", "/nonexistent");
        Running::start(without_tools).finish().fails(10, &words);
    }
}
