//! Keys: made, listed, shown, and understood by openssl in both directions.

use std::{
    fs::{self, OpenOptions},
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, tcgetattr},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    LIMIT,
    emit::{Output, Running, command, wait},
    eventually,
};

/// A person with a directory of keys and nothing else.
pub(crate) struct Person {
    place: TempDir,
}

impl Person {
    pub(crate) fn new() -> Self {
        Self { place: tempfile::Builder::new().prefix("atoll-keys-").tempdir().expect("a temporary directory") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("UTF-8").to_owned()
    }

    /// A file of the person's own, which nobody else can read.
    pub(crate) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        fs::write(self.path(name), bytes).expect("written");
        self.set_mode(name, 0o600);
        self.text(name)
    }

    pub(crate) fn set_mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).expect("changed");
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(arguments);
        command.current_dir(self.place.path()).env_remove("ATOLL_KEYS").env_remove("XDG_CONFIG_HOME");
        command.env("HOME", self.place.path());
        command
    }

    pub(crate) fn emit(&self, arguments: &[&str]) -> Output {
        Running::start(self.command(arguments)).finish()
    }

    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.emit(&[&["--format", "json"], arguments].concat());
        output.succeeds();
        output.json()
    }

    fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.path(name)).expect("it is there").permissions().mode() & 0o7777
    }

    /// Runs openssl with that on its standard input; none, loudly, where this machine has none.
    fn openssl(&self, arguments: &[&str]) -> Option<Result<String, String>> {
        let output =
            Command::new("openssl").args(arguments).current_dir(self.place.path()).stdin(Stdio::null()).output();
        let Ok(output) = output else {
            eprintln!("SKIPPED: there is no openssl here, so nobody has seen that it reads Atoll's keys");
            return None;
        };
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Some(if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) })
    }
}

const KEYS: &str = ".config/atoll/keys";

#[test]
fn a_pair_is_made_listed_and_shown() {
    let person = Person::new();
    assert!(person.emit(&["keys", "list"]).succeeds().contains("there are no keys in"));
    let text = person.emit(&["keys", "new", "dev", "--role", "developer", "--no-passphrase"]).succeeds();
    assert!(
        text.contains("dev.pem: a key for the role developer, id ") && text.contains("dev.pub: give this"),
        "{text}"
    );
    assert_eq!(person.mode(KEYS), 0o700);
    assert_eq!(person.mode(&format!("{KEYS}/dev.pem")), 0o600);
    let shown = person.json(&["keys", "show", "dev"]);
    let fields: Vec<_> = shown.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(
        fields,
        [
            "encrypted",
            "fingerprint",
            "id",
            "mode",
            "name",
            "private_file",
            "public_file",
            "public_key",
            "role",
            "usable"
        ]
    );
    assert_eq!(
        (&shown["role"], &shown["mode"], &shown["encrypted"]),
        (&json!("developer"), &json!("0600"), &json!(false))
    );
    let id = shown["id"].as_str().expect("text");
    let fingerprint = shown["fingerprint"].as_str().expect("text").replace(' ', "");
    assert!(id.len() == 16 && fingerprint.len() == 64 && fingerprint.starts_with(id), "{shown}");
    assert_eq!(person.json(&["keys", "show", id]), shown, "by its id too");
    let text = person.emit(&["keys", "show", "dev"]).succeeds();
    for words in [id, "developer", "mode 0600, not encrypted", "-----BEGIN PUBLIC KEY-----"] {
        assert!(text.contains(words), "{text}");
    }

    person.emit(&["keys", "new", "plant", "--role", "owner", "--no-passphrase"]).succeeds();
    let list = person.emit(&["keys", "list"]).succeeds();
    let lines: Vec<_> = list.lines().collect();
    assert!(lines[0].starts_with("NAME") && lines[1].starts_with("dev ") && lines[2].starts_with("plant "), "{list}");
    assert_eq!(person.json(&["keys", "list"])[0], shown);
}

#[test]
fn keys_lie_where_they_are_wanted() {
    let person = Person::new();
    let new = ["keys", "new", "dev", "--role", "developer", "--no-passphrase"];
    person.emit(&[&new[..], &["--directory", "here"]].concat()).succeeds();
    assert_eq!((person.mode("here"), person.mode("here/dev.pem")), (0o700, 0o600));
    person.emit(&["keys", "--keys", "here", "show", "dev"]).succeeds();
    let mut elsewhere = person.command(&new);
    elsewhere.env("ATOLL_KEYS", person.path("variable"));
    Running::start(elsewhere).finish().succeeds();
    assert!(person.path("variable/dev.pub").exists());
    let mut elsewhere = person.command(&new);
    elsewhere.env("XDG_CONFIG_HOME", person.path("configuration"));
    Running::start(elsewhere).finish().succeeds();
    assert!(person.path("configuration/atoll/keys/dev.pub").exists());
    let mut nowhere = person.command(&new);
    nowhere.env_remove("HOME");
    Running::start(nowhere).finish().fails(2, &["nobody says where keys are", "hint: name one with --keys"]);
}

#[test]
fn nothing_is_overwritten_and_nothing_is_guessed() {
    let person = Person::new();
    let new = |name, role| person.emit(&["keys", "new", name, "--role", role, "--no-passphrase"]);
    new("dev", "developer").succeeds();
    let before = fs::read(person.path(&format!("{KEYS}/dev.pem"))).expect("read");
    new("dev", "owner").fails(6, &["dev.pem is there already", "never overwritten", "hint: choose another name"]);
    assert_eq!(fs::read(person.path(&format!("{KEYS}/dev.pem"))).expect("read"), before);
    new("a.b", "owner").fails(2, &["`a.b` cannot be a key's name"]);
    new("king", "king").fails_of_clap(&["king", "there are developer, provider, integrator, owner"]);
    person.emit(&["keys", "new", "x"]).fails_of_clap(&["--role"]);
    let no_terminal = person.emit(&["keys", "new", "x", "--role", "owner"]);
    no_terminal.fails(2, &["no terminal", "hint: give a passphrase with --passphrase-file"]);
    assert!(!person.path(&format!("{KEYS}/x.pem")).exists());
    person.emit(&["keys", "show", "nobody"]).fails(6, &["there is no ", "nobody.pub", "`emit keys list`"]);
    person.emit(&["keys", "show", "../dev"]).fails(6, &["neither a key's name nor"]);
    let error = person.emit(&["--format", "json", "keys", "show", "nobody"]).json();
    assert_eq!((&error["kind"], &error["exit_code"]), (&json!("no-such-key"), &json!(6)));
    person.set_mode(KEYS, 0o777);
    new("b", "owner").fails(6, &["others can put keys into", "chmod go-w "]);
}

impl Output {
    /// What is wrong with the command line itself is told by its parser.
    #[track_caller]
    pub(crate) fn fails_of_clap(&self, words: &[&str]) {
        assert_eq!(self.code, Some(2), "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "`{word}` is missing in {}", self.stderr);
        }
    }
}

#[test]
fn a_file_that_is_no_key_is_told_among_the_others() {
    let person = Person::new();
    person.emit(&["keys", "new", "dev", "--role", "developer", "--no-passphrase"]).succeeds();
    let public = fs::read_to_string(person.path(&format!("{KEYS}/dev.pub"))).expect("read");
    person.file(&format!("{KEYS}/other.pub"), public.lines().skip(1).collect::<Vec<_>>().join("\n"));
    person.set_mode(&format!("{KEYS}/dev.pem"), 0o644);
    let list = person.emit(&["keys", "list"]).succeeds();
    assert!(list.contains("open to others (0644)") && list.contains("does not say which role"), "{list}");
    let shown = person.emit(&["keys", "show", "dev"]).succeeds();
    assert!(shown.contains("refused until: chmod 600 ") && shown.contains("dev.pem"), "{shown}");
    assert_eq!(person.json(&["keys", "show", "dev"])["usable"], false);
    person.emit(&["keys", "show", "other"]).fails(6, &["other.pub does not say which role", "# Atoll key, role owner"]);
}

#[test]
fn openssl_reads_the_keys() {
    let person = Person::new();
    let passphrase = person.file("passphrase", "low tide\n");
    person.emit(&["keys", "new", "plain", "--role", "owner", "--no-passphrase"]).succeeds();
    person.emit(&["keys", "new", "locked", "--role", "owner", "--passphrase-file", &passphrase]).succeeds();
    for name in ["plain", "locked"] {
        let file = format!("{KEYS}/{name}.pem");
        let arguments = ["pkey", "-in", &file, "-passin", "file:passphrase", "-pubout"];
        let Some(read) = person.openssl(&arguments) else { return };
        let public = fs::read_to_string(person.path(&format!("{KEYS}/{name}.pub"))).expect("read");
        assert!(public.ends_with(&read.expect("openssl reads it")), "{public}");
        let read = person.openssl(&["pkey", "-pubin", "-in", &format!("{KEYS}/{name}.pub"), "-noout", "-text"]);
        assert!(read.expect("openssl was there before").expect("and the public one").contains("ED25519"));
    }
    let locked = format!("{KEYS}/locked.pem");
    let read = person.openssl(&["pkey", "-in", &locked, "-passin", "pass:high tide", "-noout"]);
    assert!(read.expect("openssl was there before").is_err(), "another passphrase");
    let text = fs::read_to_string(person.path(&locked)).expect("read");
    assert!(text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"), "{text}");
    assert_eq!(person.json(&["keys", "show", "locked"])["encrypted"], true);
}

#[test]
fn keys_that_openssl_made_are_taken() {
    let person = Person::new();
    let Some(made) = person.openssl(&["genpkey", "-algorithm", "ed25519", "-out", "made.pem"]) else { return };
    made.expect("made");
    let new =
        |name: &str, more: &[&str]| person.emit(&[&["keys", "new", name, "--role", "owner", "--from"], more].concat());
    new("a", &["made.pem", "--no-passphrase"]).succeeds();
    let public = person.openssl(&["pkey", "-in", "made.pem", "-pubout"]).expect("it is there").expect("read");
    assert_eq!(person.json(&["keys", "show", "a"])["public_key"], public);
    // Encrypted by openssl, read, and encrypted again with the same.
    person.file("passphrase", "low tide\n");
    let arguments = ["pkey", "-in", "made.pem", "-aes256", "-passout", "file:passphrase", "-out", "locked.pem"];
    person.openssl(&arguments).expect("it is there").expect("encrypted");
    person.set_mode("locked.pem", 0o600);
    new("b", &["locked.pem", "--passphrase-file", "passphrase"]).succeeds();
    assert_eq!(person.json(&["keys", "show", "b"])["id"], person.json(&["keys", "show", "a"])["id"]);
    assert_eq!(person.json(&["keys", "show", "b"])["encrypted"], true);
    person.file("other", "high tide\n");
    new("c", &["locked.pem", "--passphrase-file", "other"]).fails(6, &["not the passphrase of locked.pem"]);
    // By standard input.
    let mut by_pipe = person.command(&["keys", "new", "d", "--role", "owner", "--no-passphrase", "--from", "-"]);
    by_pipe.stdin(fs::File::open(person.path("made.pem")).expect("opened"));
    Running::start(by_pipe).finish().succeeds();
    // What is none of ours.
    person.set_mode("made.pem", 0o644);
    new("e", &["made.pem", "--no-passphrase"])
        .fails(6, &["made.pem is open to others (mode 0644)", "chmod 600 made.pem"]);
    let rsa = ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "curve.pem"];
    person.openssl(&rsa).expect("it is there").expect("made");
    person.set_mode("curve.pem", 0o600);
    new("f", &["curve.pem", "--no-passphrase"]).fails(6, &["curve.pem is no Ed25519 private key"]);
    person.file("text.pem", "no key");
    new("g", &["text.pem", "--no-passphrase"]).fails(6, &["text.pem is no Ed25519 private key"]);
}

/// Runs `emit` in a session of its own whose terminal is typed `lines` at; answers its exit code and what the terminal showed.
fn at_a_terminal(person: &Person, arguments: &[&str], lines: &[&str]) -> Option<(Option<i32>, String)> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("there are terminals");
    grantpt(&master).expect("granted");
    unlockpt(&master).expect("unlocked");
    let name = ptsname(&master, Vec::new()).expect("it has a name");
    let terminal = || OpenOptions::new().read(true).write(true).open(Path::new(name.to_str().expect("UTF-8")));
    let emit = person.command(arguments);
    let mut command = Command::new("setsid");
    command.args(["--ctty", "--wait"]).arg(emit.get_program()).args(emit.get_args());
    command.current_dir(person.place.path()).env_clear().env("HOME", person.place.path()).env("PATH", "/usr/bin:/bin");
    command.stdin(terminal().expect("opened")).stdout(terminal().expect("opened")).stderr(terminal().expect("opened"));
    let Ok(mut child) = command.spawn() else {
        eprintln!("SKIPPED: there is no setsid here, so nobody has seen how a passphrase is asked for");
        return None;
    };
    drop(command);
    let mut master = fs::File::from(master);
    let mut typist = master.try_clone().expect("a second handle");
    let prompts = lines.len();
    let lines: Vec<String> = lines.iter().map(|line| format!("{line}\n")).collect();
    let reader = thread::spawn(move || {
        let (mut seen, mut buffer, mut typed) = (String::new(), [0; 4096], 0);
        while let Ok(count @ 1..) = master.read(&mut buffer) {
            seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
            // One line for each prompt, once it is there.
            while typed < prompts && seen.matches(": ").count() > typed {
                eventually("nothing typed is shown", || !shows_what_is_typed(&typist));
                typist.write_all(lines[typed].as_bytes()).expect("typed");
                typed += 1;
            }
        }
        seen
    });
    let code = wait(&mut child, LIMIT).code();
    Some((code, reader.join().expect("read")))
}

/// Of the terminal at whose other end one types.
fn shows_what_is_typed(master: &fs::File) -> bool {
    tcgetattr(master).expect("a terminal").local_modes.contains(LocalModes::ECHO)
}

#[test]
fn a_passphrase_is_asked_for_and_not_shown() {
    let person = Person::new();
    let new = ["keys", "new", "dev", "--role", "developer"];
    let Some((code, seen)) = at_a_terminal(&person, &new, &["neap", "neap"]) else { return };
    assert_eq!(code, Some(0), "{seen}");
    assert!(seen.contains("Passphrase for the new key dev: ") && seen.contains("The same again: "), "{seen}");
    assert!(!seen.contains("neap"), "{seen}");
    assert_eq!(person.json(&["keys", "show", "dev"])["encrypted"], true);
    person.file("passphrase", "neap");
    let again = ["keys", "new", "copy", "--role", "developer", "--passphrase-file", "passphrase", "--from"];
    person.emit(&[&again[..], &[&format!("{KEYS}/dev.pem")]].concat()).succeeds();

    let other = ["keys", "new", "other", "--role", "developer"];
    let (code, seen) = at_a_terminal(&person, &other, &["neap", "spring"]).expect("it was there before");
    assert!(code == Some(2) && seen.contains("the passphrases differ"), "{seen}");
    let (code, seen) = at_a_terminal(&person, &other, &["", ""]).expect("it was there before");
    assert!(code == Some(6) && seen.contains("is empty"), "{seen}");
    assert!(!person.path(&format!("{KEYS}/other.pem")).exists());
}
