//! Commands in the guest's shell, with their output and exit status.
//!
//! The console is one stream: the shell's echo, its prompt, the command's output and the kernel's messages all arrive on it.
//! So the command stands between two marks that the shell prints. The marks are put together by `printf`, so the echo of
//! what was typed does not contain them; each is printed twice, so a message from the kernel in the middle of one leaves
//! the other; and they are numbered, so the late end of an earlier command is not taken for this one's.

use std::sync::LazyLock;
use std::time::Duration;

use regex::Regex;

use super::{Console, ConsoleError, Match};
use crate::guest::READY_LINE;

/// The prompt of the guest's shell (`qemu/guest/profile`).
pub const PROMPT: &str = "atoll# ";

/// What a command in the guest's shell did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandOutput {
    /// What it printed on standard output and standard error, lines ended by `\n`, without terminal controls and without
    /// the kernel's messages.
    pub text: String,
    /// Its exit status.
    pub status: u8,
    /// Messages from the guest's kernel that arrived meanwhile, a line each.
    pub kernel_messages: Vec<String>,
}

impl CommandOutput {
    /// Whether the exit status is 0.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.status == 0
    }
}

impl Console {
    /// Waits until the guest has started and its shell has printed its prompt. Works after a reboot too: it waits for the
    /// next start after what was matched last.
    ///
    /// # Errors
    /// As [`Console::expect`].
    pub fn expect_guest_shell(&mut self, timeout: Duration) -> Result<(), ConsoleError> {
        self.expect(READY_LINE, timeout)?;
        self.expect(PROMPT, timeout)?;
        Ok(())
    }

    /// Runs one line in the guest's shell, which must stand at its prompt. What the line changes in the shell (folder,
    /// variables) stays changed.
    ///
    /// # Errors
    /// It is not one line, or it does not end in time: then it may still run, and [`Console::interrupt`] ends it.
    pub fn run_command(&mut self, command: &str, timeout: Duration) -> Result<CommandOutput, ConsoleError> {
        if command.contains(['\n', '\r']) {
            return Err(ConsoleError::NotOneLine);
        }
        self.commands += 1;
        let number = self.commands;
        self.send_line(&typed(command, number))?;
        let end = end_mark(number);
        let found = self.expect(end, timeout)?;
        Ok(interpret(&found, number))
    }
}

/// What is typed: the marks' format and their text stay apart until `printf` joins them. `eval` keeps what the command does
/// with quotes, comments and `&` to itself.
fn typed(command: &str, number: u32) -> String {
    let quoted = command.replace('\'', r"'\''");
    format!(
        r"_mark() {{ printf '\n@<%s>@\n@<%s>@\n' $1 $1; }}; _mark begin-{number}; eval '{quoted}'; _mark end-{number}-$?"
    )
}

fn begin_mark(number: u32) -> String {
    format!("@<begin-{number}>@")
}

fn end_mark(number: u32) -> regex::bytes::Regex {
    let pattern = format!(r"@<end-{number}-(\d+)>@");
    regex::bytes::Regex::new(&pattern).expect("a number makes no expression invalid")
}

fn interpret(found: &Match, number: u32) -> CommandOutput {
    let begin = begin_mark(number);
    let printed = found.before.rsplit_once(&begin).map_or(found.before.as_str(), |(_, printed)| printed);
    let (text, kernel_messages) = separate(&without_controls(printed));
    CommandOutput {
        text: text.strip_suffix('\n').unwrap_or(&text).to_owned(),
        // A shell's `$?` is at most 255.
        status: found.groups.first().and_then(|status| status.parse().ok()).unwrap_or(u8::MAX),
        kernel_messages,
    }
}

/// Removes carriage returns and the escape sequences with which a shell draws its line.
fn without_controls(text: &str) -> String {
    static SEQUENCE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\r").expect("a valid expression"));
    SEQUENCE.replace_all(text, "").into_owned()
}

/// Puts the kernel's messages apart: from its time stamp to the end of the line. They begin on a line of their own unless
/// the command had not ended its line; then the stamp stands in the middle. The kernel writes seconds five characters wide
/// (`print_time` in its `kernel/printk/printk.c`), and `emit logs` six, so that its records stay where they are.
fn separate(printed: &str) -> (String, Vec<String>) {
    static STAMPED: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\[(?: {4}\d| {3}\d{2}| {2}\d{3}| \d{4}|\d{5})\.\d{6}\] [^\n]*\n?").expect("a valid expression")
    });
    let messages = STAMPED.find_iter(printed).map(|message| message.as_str().trim_end().to_owned()).collect();
    // The line end that the mark itself starts with belongs to no output.
    let text = STAMPED.replace_all(printed.strip_prefix('\n').unwrap_or(printed), "").into_owned();
    (text, messages)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output_of(before: &str, number: u32) -> CommandOutput {
        let found = Match { before: before.to_owned(), text: String::new(), groups: vec!["0".to_owned()] };
        interpret(&found, number)
    }

    #[test]
    fn what_is_typed_contains_no_mark() {
        let line = typed("echo hello", 7);
        assert!(!line.contains(&begin_mark(7)), "{line}");
        assert!(!end_mark(7).is_match(line.as_bytes()), "{line}");
    }

    #[test]
    fn output_stands_between_the_marks() {
        let output = output_of("echoed line\r\n@<begin-3>@\r\n@<begin-3>@\r\none\r\ntwo\r\n\r\n", 3);
        assert_eq!(output.text, "one\ntwo\n");
    }

    #[test]
    fn output_without_a_line_end_stays_so() {
        assert_eq!(output_of("@<begin-3>@\r\n@<begin-3>@\r\nabc\r\n", 3).text, "abc");
        assert_eq!(output_of("@<begin-3>@\r\n@<begin-3>@\r\n\r\n", 3).text, "");
    }

    #[test]
    fn one_broken_mark_does_no_harm() {
        let output = output_of("@<begin-3>@\r\n@<beg[    1.000001] boo\r\nin-3>@\r\nout\r\n\r\n@<end", 3);
        assert!(output.text.contains("out"), "{output:?}");
        assert_eq!(output.kernel_messages, ["[    1.000001] boo"]);
    }

    #[test]
    fn kernel_messages_are_put_apart_not_lost() {
        let output = output_of("@<begin-1>@\n@<begin-1>@\none\n[   12.345678] virtio: x\ntw[   13.000000] y\no\n\n", 1);
        assert_eq!(output.text, "one\ntwo\n");
        assert_eq!(output.kernel_messages, ["[   12.345678] virtio: x", "[   13.000000] y"]);
    }

    #[test]
    fn records_of_emit_logs_are_output() {
        let record = format!("[{:>6}.{:06}] {:<5} 20 toggles\n", 12, 345_678, "info");
        assert_eq!(separate(&record), (record.clone(), vec![]));
    }

    #[test]
    fn terminal_controls_are_removed() {
        assert_eq!(without_controls("\x1b[6na\x1b[1;31mb\x1b[0m\r\n"), "ab\n");
    }
}
