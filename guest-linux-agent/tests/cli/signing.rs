//! Containers signed by their parties, and what is said of them when one of them was wrong.

use std::{fs, process::Command, thread, time::Duration};

use serde_json::{Value, json};

use crate::{
    emit::{Output, Running},
    keys::Person,
    node::TestNode,
    project, sample,
};

const BLINKER: &str = r#"
name = "blinker"
[grants]
list = ["gpio:LED:out", "timer:1000us", "gpio:RELAY:out"]
"#;

const OWNERS_WORD: [&str; 8] =
    ["--integrator", "plant", "--grant", "timer:10ms", "--grant", "gpio:LED:out", "--grant", "i2c:0x48"];

/// A person who has the keys of all parties, and a packed container.
struct Fleet {
    person: Person,
}

impl Fleet {
    fn new(app: &str) -> Self {
        let person = Person::new();
        for (name, role) in [("dev", "developer"), ("files", "provider"), ("plant", "integrator"), ("gate", "owner")] {
            person.emit(&["keys", "new", name, "--role", role, "--no-passphrase"]).succeeds();
        }
        let fleet = Self { person };
        fs::copy(sample("blinker"), fleet.person.path("module.wasm")).expect("copied");
        fleet.person.file("table.csv", "1,2\n");
        fleet.pack(app);
        fleet
    }

    fn pack(&self, app: &str) {
        self.person.file("app.toml", app);
        self.person.emit(&["pack", "module.wasm", "-o", "c.wasm"]).succeeds();
    }

    fn sign(&self, key: &str, more: &[&str]) -> Output {
        self.person.emit(&[&["sign", "c.wasm", "--key", key], more].concat())
    }

    /// The rule by which it is refused, and what is told of it.
    #[track_caller]
    fn refusal(&self, more: &[&str]) -> (String, String) {
        let output = self.person.emit(&[&["--format", "json", "verify", "c.wasm"], more].concat());
        assert_eq!(output.code, Some(7), "{output:?}");
        let report = output.json();
        assert_eq!((&report["accepted"], &report["effective"]), (&json!(false), &json!([])));
        let text = |of: &Value| of.as_str().expect("text").to_owned();
        (text(&report["refusal"]["rule"]), text(&report["refusal"]["message"]))
    }

    fn report(&self, more: &[&str]) -> Value {
        self.person.json(&[&["verify", "c.wasm"], more].concat())
    }

    fn sign_all(&self) {
        self.sign("dev", &[]).succeeds();
        self.sign("plant", &[]).succeeds();
        self.sign("gate", &OWNERS_WORD).succeeds();
        self.report(&[]);
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.person.path("c.wasm")).expect("read")
    }

    fn write(&self, bytes: &[u8]) {
        fs::write(self.person.path("c.wasm"), bytes).expect("written");
    }

    /// Another module's code in the same container: its data section is the last before Atoll's.
    fn change_code(&self) {
        let mut bytes = self.bytes();
        let own = bytes.windows(9).position(|window| window == b"atoll.app").expect("packed");
        // Section number, length in two bytes at the most, length of the name.
        bytes[own - 5] ^= 1;
        self.write(&bytes);
    }
}

fn fields(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn everybody_signs_and_a_node_would_take_it() {
    let fleet = Fleet::new(&BLINKER.replace("[grants]", "files = [\"table.csv\"]\n[grants]"));
    let text = fleet.sign("dev", &["--as", "developer", "--expires", "90d", "--sequence", "7"]).succeeds();
    assert!(text.contains("blinker signed as developer by dev ("), "{text}");
    assert!(
        text.contains("sequence 7, until 20") && text.contains("still to sign: provider, integrator, owner"),
        "{text}"
    );
    fleet.sign("files", &[]).succeeds();
    let text = fleet.sign("plant", &["--board", "qemu_virt_aarch64"]).succeeds();
    assert!(text.contains("still to sign: owner") && text.contains("for the board qemu_virt_aarch64"), "{text}");
    let signed = fleet.person.json(&[&["sign", "c.wasm", "--key", "gate"], &OWNERS_WORD[..]].concat());
    assert_eq!(
        fields(&signed),
        [
            "board",
            "carried",
            "expires",
            "integrator",
            "issued",
            "key",
            "missing",
            "name",
            "removed",
            "rights",
            "role",
            "sequence",
            "signed",
            "token",
            "unchecked"
        ]
    );
    assert_eq!(signed["rights"], json!(["gpio:LED:out", "i2c:0x48", "timer:10ms"]), "canonical");
    assert_eq!((&signed["missing"], &signed["removed"], &signed["token"]), (&json!([]), &json!([]), &json!("grant")));
    assert_eq!(signed["sequence"], signed["issued"], "the time goes up by itself");

    let policy = project().join("qemu/demo-policy.toml");
    let with_policy = ["--policy", policy.to_str().expect("UTF-8")];
    let report = fleet.report(&with_policy);
    assert_eq!(
        fields(&report),
        ["accepted", "board", "effective", "file", "name", "refusal", "rights", "signed", "tokens"]
    );
    let effective: Vec<_> = report["effective"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    let has = |right: &str| effective.iter().any(|effective| effective.starts_with(right));
    assert!(has("gpio:LED:out") && has("timer:10ms") && !has("gpio:RELAY") && !has("i2c"), "{report}");
    let why: Vec<_> = report["rights"].as_array().expect("a list").iter().map(|right| &right["why"]).collect();
    assert_eq!(why, ["whole", "narrowed-by-grant", "not-granted", "not-asked"]);
    let tokens = report["tokens"].as_array().expect("a list");
    let names: Vec<_> = tokens.iter().map(|token| &token["key_name"]).collect();
    assert_eq!(names, ["dev", "files", "plant", "gate"]);
    assert_eq!(
        fields(&tokens[0]),
        [
            "board", "expires", "holds", "issued", "key", "key_name", "name", "present", "refusal", "role", "sequence",
            "token"
        ]
    );
    assert_eq!((&tokens[0]["sequence"], &tokens[2]["board"]), (&json!(7), &json!("qemu_virt_aarch64")));
    let text = fleet.person.emit(&[&["verify", "c.wasm"], &with_policy[..]].concat()).succeeds();
    for words in [
        "developer   dev (",
        "holds",
        "the owner grants no more",
        "the owner does not grant it",
        "the container does not ask for it",
        "a node of the board qemu_virt_aarch64 with these keys would take it",
    ] {
        assert!(text.contains(words), "`{words}` is missing in {text}");
    }
}

#[test]
fn whoever_is_too_early_is_told_who_comes_first() {
    let fleet = Fleet::new(&BLINKER.replace("[grants]", "files = [\"table.csv\"]\n[grants]"));
    fleet.sign("plant", &[]).fails(7, &["blinker has no code token yet", "emit sign --as developer"]);
    fleet.sign("dev", &[]).succeeds();
    fleet.sign("plant", &[]).fails(7, &["blinker has no data token yet", "emit sign --as provider"]);
    fleet.sign("files", &[]).succeeds();
    fleet.sign("gate", &OWNERS_WORD).fails(7, &["blinker has no metadata token yet", "emit sign --as integrator"]);
    let fleet = Fleet::new(BLINKER);
    fleet.sign("files", &[]).fails(7, &["blinker has no files", "name them in `files`"]);
    fs::copy(sample("spin"), fleet.person.path("c.wasm")).expect("copied");
    fleet.sign("dev", &[]).fails(7, &["manifest", "`emit pack` puts app.toml into it"]);
}

#[test]
fn what_a_role_may_not_say_is_refused_before_anything_is_signed() {
    let fleet = Fleet::new(BLINKER);
    let before = fleet.bytes();
    fleet.sign("dev", &["--as", "owner"]).fails(2, &["`dev` is the key of developer, and cannot sign as owner"]);
    fleet.sign("dev", &["--grant", "node"]).fails(2, &["--grant, --no-rights and --integrator are the owner's"]);
    fleet.sign("dev", &["--board", "b"]).fails(2, &["--board is for integrator and owner"]);
    fleet.sign("gate", &[]).fails(2, &["asks for --grant gpio:LED:out --grant gpio:RELAY:out --grant timer:1ms"]);
    fleet.sign("gate", &["--no-rights"]).fails(2, &["which integrator it trusts", "--integrator NAME"]);
    let owner = |more: &[&str]| fleet.sign("gate", &[&["--integrator", "plant"], more].concat());
    owner(&["--grant", "gpio:LED"]).fails(2, &["`--grant gpio:LED` is not understood", "a line is asked for as"]);
    owner(&["--grant", "timer:1000us", "--grant", "gpio:LED:out"])
        .fails(2, &["in the one form", "for these it is --grant gpio:LED:out --grant timer:1ms\n"]);
    fleet.sign("gate", &["--no-rights", "--integrator", "dev"]).fails(2, &["`dev` is the key of developer, not of an"]);
    fleet.sign("gate", &["--no-rights", "--integrator", "who"]).fails(6, &["there is no", "who.pub"]);
    fleet.sign("nobody", &[]).fails(6, &["there is no ", "nobody.pem", "`emit keys list`"]);
    fleet.sign("dev", &["--expires", "2020-01-01"]).fails(7, &["expires before it was made"]);
    fleet.sign("dev", &["--expires", "soon"]).fails_of_clap(&["expected a duration as `90d`"]);
    fleet.sign("dev", &["--sequence", "0"]).fails_of_clap(&["0"]);
    fleet.sign("dev", &["-o", "nowhere/c.wasm"]).fails(6, &["cannot write nowhere/c.wasm"]);
    fleet.person.set_mode(".config/atoll/keys/dev.pem", 0o604);
    fleet.sign("dev", &[]).fails(6, &["is open to others (mode 0604)", "chmod 600 "]);
    assert_eq!(fleet.bytes(), before);
    let left = fs::read_dir(fleet.person.path(".")).expect("listed").flatten().map(|entry| entry.file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().starts_with("c.wasm")).collect();
    assert_eq!(left, ["c.wasm"], "nothing half is left");
}

#[test]
fn a_locked_key_signs_with_its_passphrase_and_a_file_without_a_name_in_a_named_role() {
    let fleet = Fleet::new(BLINKER);
    let person = &fleet.person;
    person.file("passphrase", "low tide\nand what follows does not matter\n");
    person.file("other", "high tide");
    let new = ["keys", "new", "locked", "--role", "developer", "--passphrase-file", "passphrase"];
    person.emit(&new).succeeds();
    fleet.sign("locked", &[]).fails(6, &["locked.pem is encrypted and needs its passphrase", "--passphrase-file FILE"]);
    fleet.sign("locked", &["--passphrase-file", "other"]).fails(6, &["that is not the passphrase of"]);
    fleet.sign("locked", &["--passphrase-file", "nowhere"]).fails(6, &["cannot read the passphrase from nowhere"]);
    fleet.sign("locked", &["--passphrase-file", "passphrase"]).succeeds();

    fs::copy(person.path(".config/atoll/keys/dev.pem"), person.path("alone.pem")).expect("copied");
    fleet.sign("alone.pem", &[]).fails(2, &["nothing says which role `alone.pem` has", "--as ROLE"]);
    let text = fleet.sign("alone.pem", &["--as", "developer"]).succeeds();
    assert!(text.contains("by dev ("), "known by its id: {text}");
    fs::copy(person.path(".config/atoll/keys/gate.pub"), person.path("alone.pub")).expect("copied");
    fleet.sign("./alone.pem", &[]).fails(2, &["which rights it grants"]);
    let owner = ["--no-rights", "--integrator", "plant"];
    fleet.sign("./alone.pem", &owner).fails(6, &["alone.pub is not the public key of the private key beside it"]);
}

#[test]
fn a_signature_that_no_longer_holds_is_named() {
    let fleet = Fleet::new(BLINKER);
    fleet.sign_all();
    fleet.change_code();
    assert_eq!(fleet.refusal(&[]).0, "other-code");
    fleet.sign("plant", &[]).fails(
        7,
        &["an earlier signature does not hold: the code token is about other code", "emit sign --as developer"],
    );
    fleet.sign("gate", &OWNERS_WORD).fails(7, &["the code token is about other code"]);
    let again = fleet.person.json(&["sign", "c.wasm", "--key", "dev"]);
    assert_eq!(again["removed"][0]["token"], "metadata", "{again}");
    assert_eq!(again["removed"].as_array().map(Vec::len), Some(1), "the owner's word is not about bytes: {again}");
    assert_eq!(again["missing"], json!(["integrator"]));
    fleet.sign("plant", &[]).succeeds();
    fleet.report(&[]);

    // Another integrator puts it together: the owner trusts the first one.
    fleet.person.emit(&["keys", "new", "other", "--role", "integrator", "--no-passphrase"]).succeeds();
    let text = fleet.sign("other", &[]).succeeds();
    assert!(text.contains("removed: ") && text.contains("still to sign: owner"), "{text}");
    fleet.sign("gate", &OWNERS_WORD).fails(7, &["integrator"]);
}

#[test]
fn a_new_version_carries_the_owner_s_word_on() {
    let fleet = Fleet::new(BLINKER);
    fleet.sign_all();
    fs::rename(fleet.person.path("c.wasm"), fleet.person.path("earlier.wasm")).expect("moved");
    fleet.pack(&BLINKER.replace("[grants]", "version = \"2.0.0\"\n[grants]"));
    fleet.sign("dev", &[]).succeeds();
    std::os::unix::fs::symlink("c.wasm", fleet.person.path("link.wasm")).expect("linked");
    let link = ["sign", "link.wasm", "--key", "plant", "--carry", "earlier.wasm"];
    let text = fleet.person.emit(&link).succeeds();
    assert!(fleet.person.path("link.wasm").is_symlink(), "what it points to was signed");
    assert!(text.contains("carried over: grant") && !text.contains("still to sign"), "{text}");
    fleet.report(&[]);
    fleet.pack(&BLINKER.replace("\"blinker\"", "\"another\""));
    fleet.sign("dev", &[]).succeeds();
    let text = fleet.sign("plant", &["--carry", "earlier.wasm"]).succeeds();
    assert!(!text.contains("carried over") && text.contains("still to sign: owner"), "{text}");
}

#[test]
fn each_way_to_be_wrong_is_refused_by_the_name_of_its_rule() {
    let fleet = Fleet::new(BLINKER);
    let (rule, message) = fleet.refusal(&[]);
    assert!(rule == "missing-token" && message.contains("code"), "{message}");
    fleet.sign_all();
    let whole = fleet.bytes();
    let keys = |name: &str| format!(".config/atoll/keys/{name}.pub");

    fs::rename(fleet.person.path(&keys("dev")), fleet.person.path("dev.away")).expect("moved");
    let (rule, message) = fleet.refusal(&[]);
    assert!(rule == "unknown-key" && message.contains("code token"), "{message}");
    let carried = fleet.person.json(&["sign", "c.wasm", "--key", "plant", "-o", "d.wasm"]);
    assert_eq!(carried["unchecked"][0]["token"], "code", "who signs behind it is told: {carried}");
    let other = fs::read_to_string(fleet.person.path("dev.away")).expect("read").replace("developer", "owner");
    fleet.person.file(&keys("dev"), &other);
    assert_eq!(fleet.refusal(&[]).0, "wrong-role");
    fs::rename(fleet.person.path("dev.away"), fleet.person.path(&keys("dev"))).expect("moved");

    fleet.write(&[&whole[..], b"\x00\x05\x04name"].concat());
    assert_eq!(fleet.refusal(&[]).0, "foreign-section");
    fleet.write(&whole[..whole.len() - 1]);
    assert_eq!(fleet.refusal(&[]).0, "module");
    let last = whole.len() - 1;
    fleet.write(&[&whole[..last], &[whole[last] ^ 1]].concat());
    assert_eq!(fleet.refusal(&[]).0, "signature");
    fleet.write(&whole);
    let bound = [&OWNERS_WORD[..], &["--board", "here"]].concat();
    fleet.sign("gate", &bound).succeeds();
    assert_eq!(fleet.refusal(&["--board", "there"]).0, "other-board");
    fleet.report(&["--board", "here"]);
    assert_eq!(fleet.report(&[])["board"], "here", "asked for none, that of the tokens");
    fleet.sign("gate", &[&OWNERS_WORD[..], &["--expires", "1s"]].concat()).succeeds();
    thread::sleep(Duration::from_millis(1100));
    let text = fleet.person.emit(&["verify", "c.wasm"]);
    assert_eq!(text.code, Some(7));
    assert!(text.text().contains("would refuse it [expired]: the grant token expired on 20"), "{}", text.text());
}

#[test]
fn what_the_policy_forbids_is_told_in_the_node_s_words() {
    let fleet = Fleet::new(&BLINKER.replace("gpio:RELAY:out", "gpio:VALVE:out"));
    fleet.sign_all();
    let policy = project().join("qemu/demo-policy.toml");
    let with_policy = ["--policy", policy.to_str().expect("UTF-8")];
    let (rule, message) = fleet.refusal(&with_policy);
    assert!(
        rule == "not-allowed" && message.contains("`gpio:VALVE:out`: the board allows nothing on that line"),
        "{message}"
    );
    let text = fleet.person.emit(&[&["verify", "c.wasm"], &with_policy[..]].concat()).text();
    assert!(text.contains("gpio:VALVE:out  -") && text.contains("would refuse it [not-allowed]"), "{text}");
    // What only the owner says of it is refused too: a grant wider than the policy is a mistake that is told.
    let fleet = Fleet::new("name = \"blinker\"\n");
    fleet.sign("dev", &[]).succeeds();
    fleet.sign("plant", &[]).succeeds();
    fleet.sign("gate", &["--integrator", "plant", "--grant", "gpio:NOTHING:in"]).succeeds();
    let (rule, message) = fleet.refusal(&with_policy);
    assert!(rule == "not-allowed" && message.contains("the board has no such line"), "{message}");
    fleet.sign("gate", &["--integrator", "plant", "--no-rights"]).succeeds();
    fleet.report(&with_policy);
}

#[test]
fn what_nobody_signed_is_the_policy_s_to_decide() {
    let fleet = Fleet::new(BLINKER);
    let demo = project().join("qemu/demo-policy.toml");
    let report = fleet.report(&["--policy", demo.to_str().expect("UTF-8")]);
    let effective = report["effective"].to_string();
    assert_eq!(report["signed"], false);
    assert!(
        ["gpio:LED:out", "gpio:RELAY:out", "timer:1ms"].iter().all(|right| effective.contains(right)),
        "{effective}"
    );
    let strict = fs::read_to_string(demo).expect("read").replace("allow-unsigned = true", "allow-unsigned = false");
    let strict = fleet.person.file("strict.toml", strict);
    assert_eq!(fleet.refusal(&["--policy", &strict]).0, "missing-token");
    fleet.person.emit(&["verify", "c.wasm", "--policy", "nowhere.toml"]).fails(6, &["nowhere.toml"]);
    fleet.person.emit(&["verify", "table.csv"]).fails(7, &["table.csv is neither a container nor a change of keys"]);
    fleet.person.emit(&["verify", "c.wasm", "--keys", "nowhere"]).fails(6, &["no directory of keys nowhere"]);
    fleet.person.file(".config/atoll/keys/odd.pub", "no key");
    fleet.person.emit(&["verify", "c.wasm"]).fails(6, &["odd.pub is no Ed25519 public key"]);
}

#[test]
fn an_owner_changes_keys() {
    let fleet = Fleet::new(BLINKER);
    let person = &fleet.person;
    let id = |name: &str| person.json(&["keys", "show", name])["id"].as_str().expect("text").to_owned();
    person.emit(&["keys", "new", "dev2", "--role", "developer", "--no-passphrase"]).succeeds();
    let add = person.text(".config/atoll/keys/dev2.pub");
    let update = |more: &[&str]| person.emit(&[&["keys", "update", "-o", "c.keys"], more].concat());
    let text = update(&["--add", &add, "--revoke", "dev", "--key", "gate"]).succeeds();
    assert!(text.contains(&format!("adds dev2 ({}) as developer", id("dev2"))), "{text}");
    let report = person.json(&["verify", "c.keys"]);
    assert_eq!(
        fields(&report),
        ["accepted", "added", "board", "file", "issued", "key", "key_name", "refusal", "revoked", "sequence"]
    );
    assert_eq!((&report["revoked"], &report["accepted"]), (&json!([id("dev")]), &json!(true)));
    assert_eq!(report["added"], json!([{ "id": id("dev2"), "role": "developer" }]));

    let bytes = fs::read(person.path("c.keys")).expect("read");
    person.file("d.keys", [&bytes[..bytes.len() - 1], &[bytes[bytes.len() - 1] ^ 1]].concat());
    let damaged = person.emit(&["--format", "json", "verify", "d.keys"]);
    assert_eq!((damaged.code, &damaged.json()["refusal"]["rule"]), (Some(7), &json!("signature")));

    update(&["--revoke", "gate", "--key", "gate"]).fails(7, &["no owner"]);
    update(&["--revoke", "dev", "--key", "plant"]).fails(2, &["only an owner changes keys"]);
    update(&["--revoke", "nobody", "--key", "gate"]).fails(6, &["nobody.pub"]);
    update(&["--revoke", "0123456789abcdef", "--key", "gate"]).succeeds();
    update(&["--key", "gate"]).fails_of_clap(&["--add"]);
}

/// What `emit verify` says of a container, with the node's keys and policy, is what the node says.
#[test]
fn a_node_says_what_was_foretold() {
    let fleet = Fleet::new(&BLINKER.replace("gpio:RELAY:out", "gpio:SENSOR:in"));
    let demo = fs::read_to_string(project().join("qemu/demo-policy.toml")).expect("read");
    let strict = fleet.person.file("strict.toml", demo.replace("allow-unsigned = true", "allow-unsigned = false"));
    let node = TestNode::start_with(|options| {
        options.policy = Some(strict.clone().into());
        options.keys = Some(fleet.person.path(".config/atoll/keys"));
    });
    let with_policy = ["--policy", strict.as_str()];
    let container = fleet.person.text("c.wasm");
    let deploy = |words: &[&str]| node.emit(&["deploy", "--no-start", &container]).fails(7, words);

    assert_eq!(fleet.refusal(&with_policy).0, "missing-token");
    deploy(&["not signed"]);
    fleet.sign("dev", &[]).succeeds();
    let (_, message) = fleet.refusal(&with_policy);
    deploy(&[&message]);
    fleet.sign("plant", &[]).succeeds();
    fleet.sign("gate", &OWNERS_WORD).succeeds();
    let foretold = fleet.report(&with_policy)["effective"].clone();
    let whole = fleet.bytes();
    fleet.change_code();
    let (rule, message) = fleet.refusal(&with_policy);
    assert_eq!(rule, "other-code");
    deploy(&[&message]);
    fleet.write(&[&whole[..], b"\x00\x05\x04name"].concat());
    let (rule, message) = fleet.refusal(&with_policy);
    assert_eq!(rule, "foreign-section");
    deploy(&[&message]);
    fleet.write(&whole);
    fleet.sign("gate", &["--integrator", "plant", "--grant", "gpio:VALVE:out"]).succeeds();
    let (rule, message) = fleet.refusal(&with_policy);
    assert_eq!(rule, "not-allowed");
    deploy(&[&message]);

    fleet.write(&whole);
    let deployed = node.ask(&["deploy", &container]);
    assert_eq!(deployed["grants"], foretold, "{deployed}");
    node.wait_for("blinker", &["ready", "running"]);
    // The time went on: a grant that is made anew is a newer one, and the first one is an older.
    node.emit(&["kill", "blinker"]).succeeds();
    node.emit(&["rm", "blinker"]).succeeds();
    fleet.sign("gate", &[&OWNERS_WORD[..], &["--sequence", "4000000000"]].concat()).succeeds();
    node.emit(&["deploy", "--no-start", &container]).succeeds();
    node.emit(&["rm", "blinker"]).succeeds();
    fleet.write(&whole);
    fleet.report(&with_policy);
    deploy(&["the grant token has sequence", "this node accepts 4000000000 and above"]);
}

#[test]
fn a_node_carries_a_change_of_keys_out() {
    let fleet = Fleet::new("name = \"blinker\"\n");
    let person = &fleet.person;
    let node = TestNode::start_with(|options| options.keys = Some(person.path(".config/atoll/keys")));
    let container = person.text("c.wasm");
    let deploy = || node.emit(&["deploy", "--no-start", &container]);
    fleet.sign("dev", &[]).succeeds();
    fleet.sign("plant", &[]).succeeds();
    fleet.sign("gate", &["--integrator", "plant", "--no-rights"]).succeeds();
    deploy().succeeds();
    node.emit(&["rm", "blinker"]).succeeds();

    person.emit(&["keys", "new", "dev2", "--role", "developer", "--no-passphrase"]).succeeds();
    let add = person.text(".config/atoll/keys/dev2.pub");
    person.emit(&["keys", "update", "--add", &add, "--revoke", "dev", "--key", "gate", "-o", "c.keys"]).succeeds();
    let change = person.text("c.keys");
    assert_eq!(node.ask(&["keys", "send", &change]), json!({ "sent": change, "stopped": [], "barred": [] }));
    deploy().fails(7, &["the code token is signed with key", "which the owner revoked"]);
    node.emit(&["keys", "send", &change]).fails(7, &["the keys token has sequence"]);
    fleet.sign("dev2", &[]).succeeds();
    deploy().succeeds();
    // Back again: a key that was revoked stays so.
    let again = person.text(".config/atoll/keys/dev.pub");
    person
        .emit(&["keys", "update", "--add", &again, "--key", "gate", "--sequence", "4000000000", "-o", "d.keys"])
        .succeeds();
    node.emit(&["keys", "send", &person.text("d.keys")]).fails(7, &["key"]);

    node.emit(&["keys", "send", &person.text("table.csv")]).fails(7, &["the keys token"]);
    node.emit(&["keys", "send", &container]).fails(6, &["c.wasm is no change of keys"]);
    person.emit(&["keys", "update", "--revoke", "dev2", "--key", "plant", "-o", "d.keys"]).fails(2, &["only an owner"]);
}

/// The commands of `docs/signing.md`, as they stand, in one shell from the first to the last.
#[test]
fn the_commands_of_the_page_do_what_it_says() {
    let person = Person::new();
    let page = fs::read_to_string(project().join("docs/signing.md")).expect("the page is there");
    let blocks: Vec<_> =
        page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default()).collect();
    assert!(blocks.len() >= 6, "{blocks:?}");
    let has_openssl = Command::new("openssl").arg("version").output().is_ok();
    if !has_openssl {
        eprintln!("SKIPPED: there is no openssl here, so nobody has run what the page does with it");
    }
    let commands: Vec<_> = blocks.into_iter().filter(|block| has_openssl || !block.contains("openssl")).collect();
    let script = person.file("page.sh", format!("set -eux\n{}", commands.concat()));
    let emit = person.command(&[]);
    let beside = std::path::Path::new(emit.get_program()).parent().expect("it is in a directory").to_owned();
    let mut shell = Command::new("bash");
    shell.arg(script).current_dir(person.path(".")).env_clear().env("HOME", person.path("."));
    shell.env("ATOLL", project()).env("PATH", format!("{}:/usr/bin:/bin", beside.display()));
    let output = Running::start(shell).finish();
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let text = output.text();
    for words in ["carried over: grant", "the owner grants no more", "\"accepted\": true", "would carry it out"] {
        assert!(text.contains(words), "`{words}` is missing in {text}");
    }
    assert!(person.path("blinker/change.keys").exists());
}
