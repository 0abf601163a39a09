//! Nodes that run signed containers only, with keys of their owner's.

use std::{fs, thread, time::Duration};

use serde_json::{Value, json};

use crate::{emit::Output, eventually, keys::Person, node::TestNode, project, sample};

const APP: &str = "name = \"blinker\"\n[grants]\nlist = [\"gpio:LED:out\", \"timer:10ms\"]\n";

/// A fleet's owner, its suppliers' keys among the owner's, and a node that believes them.
struct Fleet {
    person: Person,
    node: TestNode,
}

impl Fleet {
    fn new() -> Self {
        let person = Person::new();
        for (name, role) in [("dev", "developer"), ("plant", "integrator"), ("gate", "owner")] {
            person.emit(&["keys", "new", name, "--role", role, "--no-passphrase"]).succeeds();
        }
        fs::copy(sample("blinker"), person.path("module.wasm")).expect("copied");
        person.file("app.toml", APP);
        let demo = fs::read_to_string(project().join("qemu/demo-policy.toml")).expect("the demo board's");
        let strict = demo.replace("allow-unsigned = true", "allow-unsigned = false");
        assert_ne!(demo, strict);
        let policy = person.file("policy.toml", strict);
        let keys = person.path(".config/atoll/keys");
        let node = TestNode::start_with(|options| {
            options.policy = Some(policy.into());
            options.keys = Some(keys);
        });
        Self { person, node }
    }

    /// The blinker, signed by everybody.
    fn signed(&self) -> String {
        self.person.emit(&["pack", "module.wasm", "-o", "c.wasm"]).succeeds();
        self.sign_as("dev");
        self.person.text("c.wasm")
    }

    /// All signatures of `c.wasm`, with the developer's by that key.
    fn sign_as(&self, developer: &str) {
        let sign = |arguments: &[&str]| self.person.emit(&[&["sign", "c.wasm", "--key"], arguments].concat());
        sign(&[developer]).succeeds();
        sign(&["plant"]).succeeds();
        sign(&["gate", "--integrator", "plant", "--grant", "gpio:LED:out", "--grant", "timer:10ms"]).succeeds();
    }

    /// A second developer, whom the node is told to believe.
    fn add_second_developer(&self) {
        self.person.emit(&["keys", "new", "dev2", "--role", "developer", "--no-passphrase"]).succeeds();
        let public = self.person.text(".config/atoll/keys/dev2.pub");
        let added = self.node.ask(&["keys", "send", &self.change("add.keys", &["--add", &public, "--sequence", "1"])]);
        assert_eq!((&added["stopped"], &added["barred"]), (&json!([]), &json!([])), "{added}");
    }

    /// A file with a change of keys that the owner signed.
    fn change(&self, file: &str, arguments: &[&str]) -> String {
        self.person.emit(&[&["keys", "update", "--key", "gate", "-o", file], arguments].concat()).succeeds();
        self.person.text(file)
    }

    /// Updates the blinker to `c.wasm`, and gives the node `change` while the new version is on probation. Answers what became
    /// of the update and what the node said to the change.
    fn update_and_change(&self, change: &str) -> (Output, Value) {
        let file = self.person.text("c.wasm");
        thread::scope(|scope| {
            let update = scope.spawn(|| self.node.emit(&["update", "blinker", &file, "--probation", "60s"]));
            eventually("the new version is on probation", || {
                self.node.emit(&["events"]).succeeds().contains("update-took-over")
            });
            let answer = self.node.ask(&["keys", "send", change]);
            (update.join().expect("it ends"), answer)
        })
    }

    fn goes_on(&self) {
        eventually("the blinker goes on", || {
            let loops = || self.node.ask(&["inspect", "blinker"])["loops"].as_u64();
            let before = loops();
            thread::sleep(Duration::from_millis(250));
            loops() > before
        });
    }

    fn refused(&self, file: &str, words: &[&str]) {
        self.node.emit(&["deploy", file]).fails(7, words);
        assert_eq!(self.node.ask(&["ps"]), Value::Array(Vec::new()), "nothing of it is left");
    }
}

#[test]
fn a_node_for_signed_containers_runs_them_and_no_others() {
    let fleet = Fleet::new();
    let info = fleet.node.emit(&["info"]).succeeds();
    assert!(info.contains("signed containers only") && info.contains("integrator"), "{info}");
    fleet.refused(&sample("blinker"), &["not signed", "emit sign"]);
    let file = fleet.signed();
    fleet.node.emit(&["deploy", &file]).succeeds();
    let inspected = fleet.node.emit(&["inspect", "blinker"]).succeeds();
    assert!(inspected.contains("signed by") && inspected.contains("grant "), "{inspected}");
    let report = fleet.node.ask(&["inspect", "blinker"]);
    assert_eq!(report["signers"].as_array().map(Vec::len), Some(3), "{report}");
    let audited = fleet.node.emit(&["audit"]).succeeds();
    assert!(audited.contains("developer") && audited.contains("owner"), "who signed is on record: {audited}");
    assert!(audited.contains("upload-refused"), "{audited}");
}

#[test]
fn every_byte_that_was_signed_counts() {
    let fleet = Fleet::new();
    let file = fleet.signed();
    let bytes = fs::read(&file).expect("read");
    // Some of them, spread over code, manifest and tokens; all bits are tried in the rules' own tests.
    for place in (8..bytes.len()).step_by(bytes.len() / 20) {
        let mut wrong = bytes.clone();
        wrong[place] ^= 4;
        fs::write(&file, wrong).expect("written");
        let output = fleet.node.emit(&["deploy", &file]);
        assert_ne!(output.code, Some(0), "byte {place}: {output:?}");
    }
    fs::write(&file, bytes).expect("written");
    fleet.node.emit(&["deploy", &file]).succeeds();
}

#[test]
fn the_owner_changes_whose_word_counts() {
    let fleet = Fleet::new();
    let file = fleet.signed();
    let (person, node) = (&fleet.person, &fleet.node);
    person.emit(&["keys", "new", "dev2", "--role", "developer", "--no-passphrase"]).succeeds();
    let public = person.text(".config/atoll/keys/dev2.pub");
    let change = |key: &str, file: &str| {
        let arguments = ["keys", "update", "--add", &public, "--revoke", "dev", "--key", key, "-o", file];
        person.emit(&arguments)
    };
    change("gate", "change.keys").succeeds();
    let change_file = person.text("change.keys");
    node.emit(&["keys", "send", &change_file]).succeeds();
    node.emit(&["keys", "send", &change_file]).fails(7, &["emit: the keys token has sequence", "sign it anew"]);
    node.emit(&["keys", "send", &file]).fails(6, &["is no change of keys"]);
    let keys = node.ask(&["info"])["keys"].clone();
    assert!(keys.as_array().is_some_and(|keys| keys.iter().any(|key| key["revoked"] == true)), "{keys}");
    fleet.refused(&file, &["revoked"]);
    fleet.sign_as("dev2");
    node.emit(&["deploy", &file]).succeeds();
    let audited = node.emit(&["audit"]).succeeds();
    assert!(audited.contains("keys-changed"), "{audited}");
}

#[test]
fn a_revocation_ends_what_runs_by_that_key() {
    let fleet = Fleet::new();
    let node = &fleet.node;
    node.emit(&["deploy", &fleet.signed()]).succeeds();
    // The next version is another developer's, and on probation when that one's key is revoked: the old one goes on.
    fleet.add_second_developer();
    fleet.sign_as("dev2");
    let (update, answer) =
        fleet.update_and_change(&fleet.change("heir.keys", &["--revoke", "dev2", "--sequence", "2"]));
    update.fails(7, &["killed", "the owner revoked key", "developer"]);
    assert_eq!(answer["stopped"], json!(["blinker"]), "{answer}");
    fleet.goes_on();
    // Then the key of what runs.
    let revocation = fleet.change("revoke.keys", &["--revoke", "dev", "--sequence", "3"]);
    let told = node.emit(&["keys", "send", &revocation]).succeeds();
    assert!(told.contains("blinker: is stopped, for a revoked key signed it"), "{told}");
    eventually("it has ended", || node.ask(&["inspect", "blinker"])["state"] == "finalised");
    let inspected = node.emit(&["inspect", "blinker"]).succeeds();
    assert!(inspected.contains("the owner revoked key") && inspected.contains("of the developer"), "{inspected}");
    node.emit(&["start", "blinker"]).fails(7, &["emit: the owner revoked key", "deploy it signed anew"]);
    let audited = node.emit(&["audit"]).succeeds();
    assert!(audited.contains("revoked") && audited.contains("which signed its code token"), "{audited}");
}

#[test]
fn a_new_version_stays_where_only_the_old_ones_key_is_revoked() {
    let fleet = Fleet::new();
    fleet.node.emit(&["deploy", &fleet.signed()]).succeeds();
    fleet.add_second_developer();
    fleet.sign_as("dev2");
    let (update, answer) = fleet.update_and_change(&fleet.change("old.keys", &["--revoke", "dev", "--sequence", "2"]));
    assert_eq!(answer["stopped"], json!(["blinker"]), "the old version: {answer}");
    update.succeeds();
    fleet.goes_on();
}
