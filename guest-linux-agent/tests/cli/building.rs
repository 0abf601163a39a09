//! `emit new` and `emit build`: every template that this machine has a compiler for is built, checked and run.

use std::{
    fs,
    io::Write,
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

/// Makes, builds, checks and runs one template; answers its folder, or none where a tool is missing, which is said.
fn template(language: &str, world: &str) -> Option<PathBuf> {
    let name = format!("{language}-{world}");
    let parent = folder(&name);
    let made = emit_in(&parent, &["--format", "json", "new", &name, "--lang", language, "--world", world]);
    made.succeeds();
    assert!(made.json()["files"].as_array().is_some_and(|files| files.contains(&json!("app.toml"))), "{made:?}");
    restore(&parent, &name);
    let folder = parent.join(&name);
    if language == "assemblyscript" && !install(&folder) {
        return skipped(&name, "`npm install` does not work here");
    }
    let built = emit_in(&parent, &["--format", "json", "build", &name]);
    if let Some(error) = built.json()["error"].as_str().filter(|error| error.contains("get it with")) {
        return skipped(&name, error);
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
    Some(folder)
}

/// Says so past the test harness, which hides what a passing test prints, in the line that `cargo xtask test` counts.
fn skipped(template: &str, reason: &str) -> Option<PathBuf> {
    let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = format!("\nSKIPPED cli::building::{}: {reason}\n", template.replace('-', "_"));
    // A closed standard error leaves nobody to tell.
    let _ = std::io::stderr().write_all(line.as_bytes());
    None
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
fn wat_reactor() {
    template("wat", "reactor");
}

#[test]
fn wat_wasi() {
    template("wat", "wasi");
}

#[test]
fn c_reactor() {
    template("c", "reactor");
}

#[test]
fn c_wasi() {
    template("c", "wasi");
}

#[test]
fn rust_wasi() {
    template("rust", "wasi");
}

#[test]
fn assemblyscript_reactor() {
    template("assemblyscript", "reactor");
}

#[test]
fn assemblyscript_wasi() {
    template("assemblyscript", "wasi");
}

/// Built by `cargo` with `wit-bindgen`, which notes the world in the module; wrapped as `wasm-tools component new` does it; taken
/// apart again by `emit`.
#[test]
fn rust_reactor() {
    let Some(folder) = template("rust", "reactor") else { return };
    let built = folder.join("target/atoll/cargo/wasm32-unknown-unknown/release/rust_reactor.wasm");
    let module = fs::read(&built).expect("cargo's own result is kept");
    let mut encoder =
        wit_component::ComponentEncoder::default().validate(true).module(&module).expect("it has its world");
    let component = folder.join("component.wasm");
    fs::write(&component, encoder.encode().expect("a component")).expect("written");
    let digest = |path: &Path| {
        let path = path.to_str().expect("UTF-8");
        let value = emit_in(&folder, &["--format", "json", "inspect", path]).json();
        (value["component"] == true, value["sha256"].clone())
    };
    let (of_component, of_module) = (digest(&component), digest(&built));
    assert_eq!((of_component.0, of_module.0), (true, false));
    assert_eq!(of_component.1, of_module.1, "what is uploaded is the same, byte for byte");
}

#[test]
fn a_new_folder_takes_no_others_place() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let text = emit_in(directory.path(), &["new", "a", "--lang", "wat"]).succeeds();
    assert!(text.contains("next: cd a && emit build && emit run --on host a.wasm"), "{text}");
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
    let output = emit_in(path, &["build"]);
    assert!(
        output.succeeds().contains("a.wasm: a packed, ") && output.stderr.contains("building a with"),
        "{output:?}"
    );
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
