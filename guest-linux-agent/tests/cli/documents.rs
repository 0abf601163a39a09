//! What `emit` writes about itself: help, completions, man pages.

use std::{fs, io::Write, process::Command, process::Stdio};

use crate::{VERBS, emit::Running, emit::command};

fn says(arguments: &[&str]) -> String {
    Running::start(command(arguments)).finish().succeeds()
}

#[test]
fn help_names_every_verb_and_every_exit_code() {
    let help = says(&["--help"]);
    for verb in VERBS {
        assert!(help.contains(&format!("\n  {verb} ")), "{verb}: {help}");
        let of_verb = says(&[verb, "--help"]);
        assert!(of_verb.contains(&format!("Usage: emit {verb}")), "{of_verb}");
    }
    for code in [0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 125, 126, 127, 134, 137, 141, 143] {
        assert!(help.lines().any(|line| line.trim_start().starts_with(&format!("{code}  "))), "{code}: {help}");
    }
    assert!(says(&["--version"]).starts_with("emit "));
    assert!(says(&["deploy", "--help"]).contains("gpio:LABEL:out"));
}

#[test]
fn completions_know_every_verb() {
    for shell in ["bash", "zsh", "fish"] {
        let script = says(&["completions", shell]);
        for verb in VERBS {
            assert!(script.contains(verb), "{shell} does not know {verb}");
        }
        assert!(script.contains("format") && script.contains("json"), "{shell} does not know options");
        parses(shell, &script);
    }
    let output = Running::start(command(&["completions", "cobol"])).finish();
    assert_eq!(output.code, Some(2));
}

/// Has the shell itself read the script, where the machine has that shell.
fn parses(shell: &str, script: &str) {
    let spawned = Command::new(shell).arg("-n").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut child) = spawned else { return };
    child.stdin.take().expect("piped").write_all(script.as_bytes()).expect("read");
    let output = child.wait_with_output().expect("waited for");
    assert!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn there_is_a_man_page_for_every_verb() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let folder = directory.path().join("share/man/man1");
    says(&["man", folder.to_str().expect("UTF-8")]);
    let page = |name: &str| {
        let text = fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(text.lines().any(|line| line.starts_with(".TH ")), "{name} is no man page");
        assert!(text.contains(".SH NAME") && text.contains(".SH SYNOPSIS"), "{name}");
        text
    };
    let main = page("emit.1");
    for verb in VERBS {
        assert!(main.contains(&format!("emit\\-{verb}(1)")), "emit.1 does not name {verb}");
        assert!(page(&format!("emit-{verb}.1")).contains(verb));
    }
    assert!(main.contains("137"), "the exit codes stand in the man page");

    let taken = directory.path().join("taken");
    fs::write(&taken, "").expect("written");
    Running::start(command(&["man", taken.to_str().expect("UTF-8")]))
        .finish()
        .fails(6, &["cannot write man pages", "taken"]);
}
