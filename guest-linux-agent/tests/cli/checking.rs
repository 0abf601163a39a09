//! `emit check`: its words, and that a cell comes to the same verdict.

use std::{fs, path::Path};

use runner_executor::{
    Options,
    fake::{FakeNode, detail, reason},
};
use runner_interfaces::cell::{CellConfiguration, Command, ContainerState, FailureReason};
use serde_json::{Value, json};

use crate::{
    emit::{Output, Running, command},
    project, sample,
};

fn emit(arguments: &[&str]) -> Output {
    Running::start(command(arguments)).finish()
}

fn check(target: &Path) -> Value {
    emit(&["--format", "json", "check", target.to_str().expect("UTF-8")]).json()
}

#[test]
fn a_good_container_is_well_and_a_bad_one_is_told_why() {
    let text = emit(&["check", &sample("blinker")]).succeeds();
    assert!(text.contains("warning[no-manifest]") && text.contains("a node would take it; reactor"), "{text}");
    let value = check(Path::new(&sample("hello")));
    assert_eq!((&value["errors"], &value["world"]), (&json!(0), &json!("wasi-command")));
    assert_eq!(value["findings"][0]["code"], "no-manifest");

    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("bad.wasm");
    let module = r#"(module (import "env" "puts" (func)) (memory (export "memory") 1) (func (export "on-loop")))"#;
    fs::write(&path, wat::parse_str(module).expect("valid text")).expect("written");
    let output = emit(&["check", path.to_str().expect("UTF-8")]);
    assert_eq!(output.code, Some(7), "{output:?}");
    for words in [
        "error[no-world]",
        "error[unknown-import]: no node offers `puts` of `env`",
        "a node would refuse it; errors: 2",
    ] {
        assert!(output.text().contains(words), "{output:?}");
    }
    let value = check(&path);
    assert_eq!((&value["errors"], &value["world"]), (&json!(2), &Value::Null));
    let fields: Vec<_> = value["findings"][0].as_object().expect("an object").keys().collect();
    assert_eq!(fields, ["code", "level", "message", "remedy"]);
    emit(&["check", "/nonexistent/x.wasm"]).fails(6, &["cannot read /nonexistent/x.wasm"]);
}

#[test]
fn a_folder_is_checked_by_what_it_says() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let target = folder.path().to_str().expect("UTF-8");
    emit(&["check", target]).fails(6, &["cannot read", "app.toml"]);
    let app = folder.path().join("app.toml");
    fs::write(&app, "name = \"a\"\nnmae = \"b\"\n").expect("written");
    let output = emit(&["check", target]);
    assert!(output.code == Some(7) && output.text().contains("app.toml:2:1: unknown field `nmae`"), "{output:?}");
    fs::write(&app, "name = \"a\"\nfiles = [\"none\"]\n").expect("written");
    assert_eq!(check(folder.path())["findings"][0]["code"], "files");
    fs::write(&app, "name = \"a\"\n").expect("written");
    let value = check(folder.path());
    assert_eq!((&value["errors"], &value["findings"][0]["code"]), (&json!(0), &json!("not-built")));
    fs::copy(sample("hello"), folder.path().join("module.wasm")).expect("copied");
    emit(&["pack", folder.path().join("module.wasm").to_str().expect("UTF-8")]).succeeds();
    assert!(emit(&["check", target]).succeeds().ends_with("a.wasm: well; wasi-command\n"));
}

/// What a cell says of a module when it loads it.
fn of_the_cell(node: &mut FakeNode, wasm: &[u8]) -> Option<(FailureReason, String)> {
    let configuration = CellConfiguration { name: "test".into(), ..CellConfiguration::default() };
    node.load(wasm, &configuration, Command::Load);
    let status = node.run_to(ContainerState::Installed, 10_000);
    let failed = status.state == ContainerState::Failed as u32;
    failed.then(|| (reason(&status), detail(&status)))
}

/// Whether a cell refuses a module for what it is, and not for how much it wants, which a board decides, or for what it does
/// once it runs.
fn is_refused(refusal: Option<&(FailureReason, String)>) -> bool {
    use FailureReason::{CellMemory, LoadLimit, MemoryLimit, TableLimit, Trap};
    let by_board = [MemoryLimit, TableLimit, CellMemory, LoadLimit, Trap];
    refusal.is_some_and(|(reason, detail)| !by_board.contains(reason) || detail.contains("tables"))
}

fn agree(node: &mut FakeNode, name: &str, wasm: &[u8], folder: &Path) {
    let path = folder.join("module.wasm");
    fs::write(&path, wasm).expect("written");
    let refusal = of_the_cell(node, wasm);
    let value = check(&path);
    let found = value["errors"].as_u64().expect("a number") > 0;
    assert_eq!(found, is_refused(refusal.as_ref()), "{name}: the cell says {refusal:?}, check {value}");
}

#[test]
fn a_cell_says_the_same_of_every_hostile_module_and_every_sample() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let mut node = FakeNode::new(Options::default());
    let mut looked_at = 0;
    for entry in fs::read_dir(project().join("examples/hostile")).expect("listed").flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|ending| ending == "wat") {
            let wasm = wat::parse_file(&path).expect("valid text");
            agree(&mut node, &path.display().to_string(), &wasm, folder.path());
            looked_at += 1;
        }
    }
    assert!(looked_at > 40, "{looked_at} hostile modules");
    for name in
        ["beacon", "blinker", "button", "greedy", "spin", "probe", "echo", "clock", "banner", "hello", "counter"]
    {
        agree(&mut node, name, &fs::read(sample(name)).expect("committed"), folder.path());
    }
}

/// One module for each thing that WebAssembly has or is about to have.
#[test]
fn a_cell_and_check_know_the_same_webassembly() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let mut node = FakeNode::new(Options::default());
    for body in [
        "",
        "(func (result i32 i32) (i32.const 1) (i32.const 2))",
        "(func (param f32) (result i32) (i32.trunc_sat_f32_s (local.get 0)))",
        "(func (param i32) (result i32) (i32.extend8_s (local.get 0)))",
        "(memory 1) (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 1)))",
        "(table 1 externref) (func (result externref) (table.get 0 (i32.const 0)))",
        "(func $f (return_call $f))",
        "(global i32 (i32.add (i32.const 1) (i32.const 2)))",
        "(global $g i32 (i32.const 1)) (global i32 (global.get $g))",
        "(func (param f64) (result f64) (f64.sqrt (local.get 0)))",
        "(global (export \"g\") (mut i32) (i32.const 0))",
        "(func (drop (v128.const i64x2 0 0)))",
        "(func (param v128) (result v128) (i8x16.relaxed_swizzle (local.get 0) (local.get 0)))",
        "(memory 1 1 shared)",
        "(memory 1) (func (result i32) (i32.atomic.load (i32.const 0)))",
        "(tag)",
        "(memory i64 1)",
        "(table i64 1 funcref)",
        "(memory 1) (memory 1)",
        "(type (struct))",
        "(type (array i8))",
        "(rec (type (func)) (type (func)))",
        "(type $t (func)) (func (param (ref $t)))",
        "(func (param (ref func)))",
        "(func (param i64 i64) (result i64 i64) (i64.mul_wide_s (local.get 0) (local.get 1)))",
        "(memory 1 (pagesize 1))",
        "(func (result i32))",
    ] {
        let text = format!("(module {body} (func (export \"_start\")))");
        let wasm = wat::parse_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        agree(&mut node, &text, &wasm, folder.path());
    }
}

/// Damage anywhere in a module: whatever it makes of it, both must see the same.
#[test]
fn a_cell_and_check_agree_on_damaged_modules() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let mut node = FakeNode::new(Options::default());
    let module = fs::read(sample("button")).expect("committed");
    // Each byte of the head, where types, imports and exports are, in turn; further on now and then.
    let positions = (8..module.len()).filter(|position| *position < 300 && position % 3 == 0 || position % 17 == 0);
    for (number, position) in positions.enumerate() {
        let mut damaged = module.clone();
        damaged[position] ^= [1, 0x20, 0x80][number % 3];
        agree(&mut node, &format!("button, byte {position}"), &damaged, folder.path());
    }
}
