//! With the usual tools of a Linux host, where they are installed.

use std::path::Path;
use std::process::{Command, Output};

use sd_card::card::{BootFile, PARTITION_OFFSET};

use crate::{Card, compare};

/// What the tool says, or nothing if there is no such tool. Administrators' tools are not on everyone's path.
fn run(program: &str, arguments: &[&str]) -> Option<Output> {
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new(program)
        .args(arguments)
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .env("LC_ALL", "C")
        .output();
    match output {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        output => Some(output.expect("it can be started")),
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

#[test]
fn sfdisk_agrees() {
    let card = Card::made_up().expect("written");
    let Some(output) = run("sfdisk", &["--verify", text(&card.path())]) else {
        qemu::skip!("no sfdisk; `apt-get install fdisk`");
    };
    assert!(output.status.success(), "{output:?}");
    let output = run("sfdisk", &["--dump", text(&card.path())]).expect("it was there");
    let dump = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(dump.contains("label: dos") && dump.contains("type=c, bootable"), "{dump}");
    assert!(dump.contains("start=        8192"), "{dump}");
    assert_eq!(dump.matches("start=").count(), 1, "{dump}");
}

#[test]
fn the_file_systems_checker_finds_nothing() {
    let card = Card::made_up().expect("written");
    let offset = usize::try_from(PARTITION_OFFSET).expect("small");
    let partition = card.folder.path().join("partition");
    std::fs::write(&partition, &std::fs::read(card.path()).expect("readable")[offset..]).expect("written");
    let Some(output) = run("fsck.vfat", &["-n", "-v", text(&partition)]) else {
        qemu::skip!("no fsck.vfat; `apt-get install dosfstools`");
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("32 bit entries"), "{said}");
}

#[test]
fn mtools_reads_the_same_files() {
    let card = Card::made_up().expect("written");
    let image = format!("{}@@{PARTITION_OFFSET}", text(&card.path()));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(output) = run("mcopy", &["-i", &image, "::*", text(folder.path())]) else {
        qemu::skip!("no mcopy; `apt-get install mtools`");
    };
    assert!(output.status.success(), "{output:?}");
    let entries = std::fs::read_dir(folder.path()).expect("a folder").map(|entry| entry.expect("an entry"));
    let files = entries.map(|entry| {
        let name = entry.file_name().into_string().expect("a plain name");
        BootFile::new(name, std::fs::read(entry.path()).expect("readable"))
    });
    compare(&card, files.collect());
}
