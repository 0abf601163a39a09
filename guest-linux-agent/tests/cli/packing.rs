//! Containers with a manifest: packed, looked at, deployed, run.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    emit::{Output, Running, command},
    node::TestNode,
    project, sample,
};

/// A folder with a module, `app.toml`, and a file to pack.
struct Folder {
    directory: TempDir,
}

impl Folder {
    fn new(sample_name: &str, app: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let folder = Self { directory };
        fs::copy(sample(sample_name), folder.path("module.wasm")).expect("copied");
        fs::write(folder.path("app.toml"), app).expect("written");
        fs::write(folder.path("table.csv"), "1,2\n").expect("written");
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("UTF-8").to_owned()
    }

    fn pack(&self) -> String {
        emit(&["pack", &self.text("module.wasm")]).succeeds();
        let packed = fs::read_dir(self.directory.path()).expect("listed").flatten().map(|entry| entry.path());
        let mut packed = packed.filter(|path| path.extension().is_some_and(|ending| ending == "wasm"));
        packed.find(|path| !path.ends_with("module.wasm")).expect("packed").to_str().expect("UTF-8").to_owned()
    }
}

/// `emit` without a node.
fn emit(arguments: &[&str]) -> Output {
    Running::start(command(arguments)).finish()
}

fn json(arguments: &[&str]) -> Value {
    let output = emit(&[&["--format", "json"], arguments].concat());
    output.succeeds();
    output.json()
}

const BLINKER: &str = r#"
name = "led"
version = "0.1.0"
files = ["table.csv"]
[grants]
list = ["gpio:LED:out", "timer:10ms"]
"#;

#[test]
fn a_packed_container_needs_nothing_but_itself() {
    let folder = Folder::new("blinker", BLINKER);
    let text = emit(&["pack", &folder.text("module.wasm")]).succeeds();
    assert!(text.contains("led.wasm: led packed, 1 file, "), "{text}");
    let node = TestNode::start();
    let report = node.ask(&["deploy", &folder.text("led.wasm")]);
    assert_eq!((&report["name"], &report["grants"][0]), (&json!("led"), &json!("gpio:LED:out@10000/s")));
    assert!(["ready", "running"].iter().any(|state| report["state"] == *state), "{report}");
}

#[test]
fn the_command_line_overrides_and_adds() {
    let app = "name = \"greeter\"\narguments = [\"Ada\"]\nenvironment = { GREETING = \"moin\", OTHER = \"1\" }\n";
    let folder = Folder::new("hello", app);
    let packed = folder.pack();
    let node = TestNode::start();
    let by_manifest = node.emit(&["run", &packed]).succeeds();
    assert!(by_manifest.contains("Hello, Ada!") && by_manifest.contains("GREETING: moin"), "{by_manifest}");
    assert!(by_manifest.contains("argument 0: greeter-"), "{by_manifest}");
    let by_hand = node.emit(&["run", "--env", "GREETING=hi", "--name", "me", &packed, "Grace", "Bob"]).succeeds();
    for words in ["Hello, Grace and Bob!", "GREETING: hi", "argument 0: me"] {
        assert!(by_hand.contains(words), "{by_hand}");
    }
    let deployed = node.ask(&["deploy", "--no-start", "--name", "other", &packed]);
    assert_eq!((&deployed["name"], &deployed["arguments"]), (&json!("other"), &json!(["Ada"])));

    let blinker = Folder::new("blinker", BLINKER).pack_and_keep();
    let more = ["--grant", "timer:1ms", "--grant", "gpio:BUTTON:in"];
    let deployed = node.ask(&[&["deploy", "--no-start", &blinker.1], &more[..]].concat());
    let grants = deployed["grants"].as_array().expect("a list");
    assert_eq!(grants[..2], [json!("gpio:BUTTON:in"), json!("gpio:LED:out@10000/s")]);
    assert_eq!(grants.last(), Some(&json!("timer:1ms:7")));
    let refused = node.emit(&["deploy", "--name", "x", &blinker.1, "--grant", "gpio:LED:in"]);
    refused.fails(7, &["LED"]);
}

impl Folder {
    fn pack_and_keep(self) -> (Self, String) {
        let packed = self.pack();
        (self, packed)
    }
}

#[test]
fn packing_is_reproducible_and_says_what_it_did() {
    let folder = Folder::new("blinker", BLINKER);
    let answer = json(&["pack", &folder.text("module.wasm"), "-o", &folder.text("one.wasm")]);
    assert_eq!(answer["files"], json!([{ "path": "table.csv", "bytes": 4 }]));
    assert_eq!((&answer["name"], &answer["component"]), (&json!("led"), &json!(false)));
    assert_eq!(answer["sha256"].as_str().map(str::len), Some(64));
    // Again, of what was packed, by another name: the same bytes.
    let app = folder.text("app.toml");
    let again = json(&["pack", &folder.text("one.wasm"), "--app", &app, "-o", &folder.text("two.wasm")]);
    assert_eq!(answer["sha256"], again["sha256"]);
    assert_eq!(fs::read(folder.path("one.wasm")).expect("read"), fs::read(folder.path("two.wasm")).expect("read"));
}

#[test]
fn what_cannot_be_packed_is_said_with_its_place() {
    let folder = Folder::new("blinker", "name = \"led\"\n[grants]\nlist = [\"gpio:LED\"]\n");
    let module = folder.text("module.wasm");
    emit(&["pack", &module]).fails(10, &["app.toml:3:9: `gpio:LED`: a line is asked for as `out`, `in` or `edge`"]);
    let error = emit(&["--format", "json", "pack", &module]).json();
    assert_eq!((&error["kind"], &error["exit_code"]), (&json!("source"), &json!(10)));
    fs::write(folder.path("app.toml"), "name = \"led\"\nfiles = [\"missing\"]\n").expect("written");
    emit(&["pack", &module]).fails(6, &["missing", "hint: paths in `files`"]);
    fs::remove_file(folder.path("app.toml")).expect("removed");
    emit(&["pack", &module]).fails(6, &["there is no", "app.toml", "--app"]);
    fs::write(folder.path("app.toml"), "name = \"led\"\n").expect("written");
    emit(&["pack", &folder.text("table.csv")]).fails(7, &["table.csv: it is no WebAssembly module"]);
    let below_a_file = folder.text("table.csv/x");
    emit(&["pack", &module, "-o", &below_a_file]).fails(6, &["cannot write ", "table.csv/x"]);
}

#[test]
fn a_file_is_inspected_without_a_node_and_with_one() {
    let folder = Folder::new("blinker", BLINKER);
    let packed = folder.pack();
    let text = emit(&["inspect", &packed]).succeeds();
    for words in [
        "world                        reactor",
        "from atoll:node/gpio@0.1.0",
        "[method]output.toggle",
        "on-loop",
        "led 0.1.0",
        "table.csv, 4 B",
        "custom `atoll.app`",
        "code ",
        "right gpio:LED:out",
        "no node is there to say",
    ] {
        assert!(text.contains(words), "`{words}` is missing in {text}");
    }
    let value = json(&["inspect", &packed]);
    let fields: Vec<_> = value.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(
        fields,
        [
            "component",
            "exports",
            "file",
            "file_bytes",
            "files",
            "fits",
            "grants",
            "imports",
            "manifest",
            "memories_bytes",
            "module_bytes",
            "node",
            "sections",
            "sha256",
            "start_function",
            "tables_elements",
            "world"
        ]
    );
    assert_eq!((&value["world"], &value["fits"], &value["node"]), (&json!("reactor"), &Value::Null, &Value::Null));
    assert_eq!(value["manifest"]["grants"], json!(["gpio:LED:out", "timer:10ms"]));
    assert_eq!(value["grants"][0]["verdict"], "unknown");
    assert!(value["imports"].as_array().expect("a list").iter().all(|import| import["offered"] == "served"), "{value}");
    assert_eq!(value["memories_bytes"][0]["initial"], 65536);

    let node = TestNode::start();
    let value = node.ask(&["inspect", &packed]);
    assert_eq!((&value["fits"], value["node"].is_string()), (&json!(true), true));
    let verdicts: Vec<_> = value["grants"].as_array().expect("a list").iter().map(|right| &right["verdict"]).collect();
    assert_eq!(verdicts, ["allowed", "allowed"]);
    assert!(node.emit(&["inspect", &packed]).succeeds().contains("the module fits its limits"));

    let greedy = Folder::new(
        "greedy",
        "name = \"greedy\"\n[grants]\nlist = [\"gpio:NOTHING:out\", \"gpio:LED:in\", \"timer:1us\", \"memory:5MiB\", \"cpu:51%\"]",
    );
    let value = node.ask(&["inspect", &greedy.pack()]);
    assert!(value["grants"][0]["words"].as_str().expect("text").contains("has no line NOTHING"), "{value}");
    assert!(value["grants"].as_array().expect("a list").iter().all(|right| right["verdict"] == "refused"), "{value}");
    assert!(value["grants"][2]["words"].as_str().expect("text").contains("at most timer:1ms:7"), "{value}");
    // A container of that name is still asked for by its name.
    node.emit(&["inspect", "led"]).fails(8, &["led"]);
}

#[test]
fn a_file_that_cannot_be_inspected_is_said() {
    let folder = Folder::new("blinker", BLINKER);
    emit(&["inspect", "./nothing.wasm"]).fails(6, &["cannot read ./nothing.wasm"]);
    emit(&["inspect", &folder.text("table.csv")]).fails(7, &["table.csv is no WebAssembly module"]);
    let output = Running::start(command(&["--node", "/nonexistent", "inspect", &folder.text("module.wasm")])).finish();
    output.fails(3, &["/nonexistent"]);
}

/// The committed module of a sample wrapped as a component, as other tools make it.
fn component(sample_name: &str) -> Vec<u8> {
    let mut resolve = wit_parser::Resolve::default();
    let (package, _) = resolve.push_dir(project().join("runner/wit")).expect("the WIT file is valid");
    let world = resolve.select_world(&[package], Some("reactor")).expect("it has the world");
    let mut module = fs::read(sample(sample_name)).expect("the samples are committed");
    let strings = wit_component::StringEncoding::UTF8;
    wit_component::embed_component_metadata(&mut module, &resolve, world, strings).expect("metadata");
    let mut encoder = wit_component::ComponentEncoder::default().validate(true).module(&module).expect("it fits");
    encoder.encode().expect("a component")
}

/// `blinker` is Rust with bindings by `wit-bindgen`.
#[test]
fn a_component_runs_as_the_module_in_it() {
    let folder = Folder::new("blinker", BLINKER);
    let module = folder.text("component.wasm");
    fs::write(&module, component("blinker")).expect("written");
    let value = json(&["inspect", &module]);
    assert_eq!((&value["component"], &value["world"]), (&json!(true), &json!("reactor")));
    let plain = json(&["inspect", &sample("blinker")]);
    assert_eq!(value["sha256"], plain["sha256"], "the module comes out byte for byte");
    assert_eq!(json(&["check", &module])["errors"], 0);
    assert_eq!(json(&["pack", &module])["component"], true);

    let node = TestNode::start();
    node.emit(&["deploy", &module, "--name", "b", "--grant", "gpio:LED:out"]).succeeds();
    crate::eventually("the LED is driven", || {
        node.ask(&["info"])["lines"].as_array().expect("lines").iter().any(|line| {
            line["label"] == "LED" && line["transitions"].as_u64().is_some_and(|transitions| transitions > 2)
        })
    });
    node.emit(&["stop", "b"]).succeeds();
    node.emit(&["rm", "b"]).succeeds();
    // Packed from the component, with its rights in it.
    let report = node.ask(&["deploy", &folder.text("led.wasm")]);
    assert!(["ready", "running"].iter().any(|state| report["state"] == *state), "{report}");
    assert!(Path::new(&folder.text("led.wasm")).exists());

    let empty = folder.text("empty.wasm");
    fs::write(&empty, b"\0asm\x0d\0\x01\0").expect("written");
    node.emit(&["deploy", &empty]).fails(7, &["empty.wasm: the component never starts its first module"]);
    node.emit(&["run", &empty]).fails(126, &["never starts"]);
}
