//! The key table: whose signatures count is what the directory says, and an image for use has no key that everybody has.

use std::fs;
use std::path::Path;

use key_files::public_key;
use pd_system_description::{keys, policy::Policy};
use runner_tokens::{Key, KeyTable, Role, SigningKey, TokenKind};
use tempfile::TempDir;

use crate::project;

/// When the images of these tests are built.
const NOW: u64 = 1_800_000_000;

fn demo_policy() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../qemu/demo-policy.toml"))
        .expect("the demo board's")
}

fn policy(text: &str) -> Policy {
    Policy::parse(Path::new("policy.toml"), text).expect("sound")
}

/// The demo board, for signed containers only.
fn strict() -> Policy {
    policy(&demo_policy().replace("allow-unsigned = true", "allow-unsigned = false"))
}

fn key(role: Role, number: u8) -> Key {
    Key { role, public: SigningKey::from_secret(&[number; 32]).public() }
}

fn directory(keys: &[Key]) -> TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for (number, key) in keys.iter().enumerate() {
        let file = directory.path().join(format!("key{number}.pub"));
        fs::write(file, public_key::text(key).expect("a key")).expect("written");
    }
    directory
}

fn own() -> [Key; 3] {
    [key(Role::Developer, 1), key(Role::Integrator, 2), key(Role::Owner, 3)]
}

#[test]
fn the_region_says_whose_signatures_count() {
    let policy =
        policy(&format!("{}\n[[minimum]]\ntoken = \"code\"\ncontainer = \"pump\"\nsequence = 7\n", demo_policy()));
    let directory = directory(&own());
    let table = keys::table(Some(directory.path()), &policy, NOW).expect("sound");
    let bytes = keys::region_bytes(&table, &project("qemu_virt_aarch64")).expect("fits");
    let read = KeyTable::read(&bytes).expect("a table");
    assert_eq!((read.image_time, read.production, read.keys.len()), (NOW, false, 3));
    assert!(own().iter().all(|key| read.key(key.id()) == Some(*key)), "{read:?}");
    assert_eq!(read.minimum(TokenKind::Code, "pump"), 7);
}

#[test]
fn without_a_directory_the_demo_keys_count_and_each_role_has_one() {
    let table = keys::table(None, &policy(&demo_policy()), NOW).expect("sound");
    let roles: Vec<Role> = table.keys.iter().map(|key| key.role).collect();
    assert!(Role::ALL.iter().all(|role| roles.contains(role)) && !table.production, "{roles:?}");
}

#[test]
fn an_image_for_use_needs_keys_that_not_everybody_has() {
    let problem = |directory: Option<&Path>| keys::table(directory, &strict(), NOW).expect_err("refused").to_string();
    assert!(problem(None).contains("is a demo key"), "{}", problem(None));
    let with_demo = directory(&[own().as_slice(), &keys::demo()[..1]].concat());
    assert!(problem(Some(with_demo.path())).contains("is a demo key"));
    let no_owner = directory(&own()[..2]);
    assert!(problem(Some(no_owner.path())).contains("no key of the role owner"), "{}", problem(Some(no_owner.path())));
    let whole = directory(&own());
    assert!(keys::table(Some(whole.path()), &strict(), NOW).expect("sound").production);
}

#[test]
fn what_is_no_key_is_named() {
    let policy = policy(&demo_policy());
    let empty = directory(&[]);
    let error = keys::table(Some(empty.path()), &policy, NOW).expect_err("nothing there").to_string();
    assert!(error.contains("no public key") && error.contains("emit keys new"), "{error}");
    let twice = directory(&[key(Role::Owner, 1), key(Role::Owner, 1)]);
    assert!(keys::table(Some(twice.path()), &policy, NOW).expect_err("twice").to_string().contains("there twice"));
    let broken = directory(&own());
    fs::write(broken.path().join("key1.pub"), "no key").expect("written");
    assert!(keys::table(Some(broken.path()), &policy, NOW).expect_err("broken").to_string().contains("key1.pub"));
}

#[test]
fn lowest_sequences_are_about_containers_and_known_tokens() {
    let minimum = |lines: &str| {
        let text = format!("{}\n{lines}", demo_policy());
        Policy::parse(Path::new("policy.toml"), &text).expect_err("refused").to_string()
    };
    let one = "[[minimum]]\ntoken = \"code\"\ncontainer = \"pump\"\nsequence = 7\n";
    assert!(minimum(&one.replace("code", "word")).contains("no token `word`"));
    assert!(minimum(&one.replace("pump", "a b")).contains("names no container"));
    assert!(minimum(&one.repeat(2)).contains("there twice"));
}
