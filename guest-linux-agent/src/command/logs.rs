//! A container's output, once or as it comes: `emit logs`, and what `emit run` shows.

use std::{collections::BTreeMap, mem, thread, time::Duration};

use serde_json::{Value, json};
use shared_ring_messages::{Answer, LogRecord, Request};

use super::{Context, unexpected};
use crate::{
    arguments::Logs,
    session::{Result, Session},
    terminal::{self, printable},
};

/// Stream numbers of `runner-interfaces`, `output::Stream`.
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const CELL: u8 = 8;

/// How long to wait for more at the least and at the most: quick for short programs, easy on the node for long ones.
const SHORTEST_WAIT: Duration = Duration::from_millis(2);
const LONGEST_WAIT: Duration = Duration::from_millis(100);

pub(super) fn logs(context: &Context, arguments: &Logs) -> Result<u8> {
    let mut session = context.session()?;
    let mut sink = if context.json() { Sink::json() } else { Sink::Lines(Lines::default()) };
    show(&mut session, &arguments.name, &mut sink, arguments.follow)?;
    Ok(0)
}

/// Shows all output that there is; where it follows, until the container has ended and all is shown.
pub(super) fn show(session: &mut Session, name: &str, sink: &mut Sink, follow: bool) -> Result<()> {
    let mut cursor = 0;
    let mut wait = SHORTEST_WAIT;
    loop {
        match session.ask(Request::Logs { name: name.to_owned(), cursor })? {
            Answer::Logs { records, next, lost, ended } => {
                if lost > 0 {
                    sink.lost(lost)?;
                }
                records.iter().try_for_each(|record| sink.record(record))?;
                cursor = next;
                if !records.is_empty() {
                    wait = SHORTEST_WAIT;
                } else if ended || !follow {
                    return sink.finish();
                } else {
                    thread::sleep(wait);
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
            other => return Err(unexpected(&other)),
        }
    }
}

/// Where output goes, and in which form.
pub(super) enum Sink {
    /// One JSON document a record.
    Json(Characters),
    /// For `emit logs`: log records on lines of their own with time and level, a program's own output between them.
    Lines(Lines),
    /// For `emit run`: a program's output exactly as it wrote it, log records to standard error.
    PassThrough(Lines),
}

impl Sink {
    pub(super) fn json() -> Self {
        Self::Json(Characters::default())
    }

    pub(super) fn pass_through() -> Self {
        Self::PassThrough(Lines::default())
    }

    fn record(&mut self, record: &LogRecord) -> Result<()> {
        match self {
            Self::Json(characters) => write_json(&record_json(record, &characters.take(record))),
            Self::Lines(lines) => {
                let (seconds, rest) = (record.time_ns / 1_000_000_000, record.time_ns % 1_000_000_000);
                let level = stream_name(record.stream);
                let head = format!("[{seconds:>6}.{:06}] {level:<5} ", rest / 1000);
                terminal::output(lines.add(record, &head).as_bytes())
            }
            Self::PassThrough(_) if record.stream == STDOUT => terminal::output(&record.bytes),
            Self::PassThrough(_) if record.stream == STDERR => terminal::error_output(&record.bytes),
            // Why the container failed; `emit run` says it at the end.
            Self::PassThrough(_) if record.stream == CELL => Ok(()),
            Self::PassThrough(lines) => {
                let head = format!("[{}] ", stream_name(record.stream));
                terminal::error_output(lines.add(record, &head).as_bytes())
            }
        }
    }

    /// Says that records are missing here.
    fn lost(&mut self, records: u64) -> Result<()> {
        if let Self::Json(_) = self {
            return write_json(&json!({ "lost": records }));
        }
        terminal::note(&format!("{records} records were lost here"));
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        match self {
            Self::Json(characters) => characters.cut_off().into_iter().try_for_each(|stream| {
                write_json(&json!({ "stream": stream_name(stream), "continues": false, "text": "\u{fffd}" }))
            }),
            Self::Lines(lines) => terminal::output("\u{fffd}".repeat(lines.characters.cut_off().len()).as_bytes()),
            Self::PassThrough(_) => Ok(()),
        }
    }
}

/// One line of JSON a record, so that a follower can read them as they come.
fn record_json(record: &LogRecord, text: &str) -> Value {
    json!({
        "time_ns": record.time_ns,
        "stream": stream_name(record.stream),
        "continues": record.continues,
        "text": text,
    })
}

fn write_json(value: &Value) -> Result<()> {
    terminal::output(format!("{value}\n").as_bytes())
}

fn stream_name(stream: u8) -> &'static str {
    match stream {
        STDOUT => "stdout",
        STDERR => "stderr",
        3 => "error",
        4 => "warn",
        5 => "info",
        6 => "debug",
        7 => "trace",
        CELL => "cell",
        _ => "unknown",
    }
}

/// Records as text. A character that lies across two records of a stream comes with the second, whole.
#[derive(Default)]
pub(super) struct Characters {
    rest: BTreeMap<u8, Vec<u8>>,
}

impl Characters {
    fn take(&mut self, record: &LogRecord) -> String {
        let rest = self.rest.entry(record.stream).or_default();
        let mut bytes = mem::take(rest);
        bytes.extend_from_slice(&record.bytes);
        let begun = bytes.utf8_chunks().last().map_or(0, |chunk| unfinished(chunk.invalid()));
        *rest = bytes.split_off(bytes.len() - begun);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The streams that ended in the middle of a character.
    fn cut_off(&mut self) -> Vec<u8> {
        mem::take(&mut self.rest).into_iter().filter(|(_, rest)| !rest.is_empty()).map(|(stream, _)| stream).collect()
    }
}

/// How many of these bytes, which are no character, may still become one.
fn unfinished(invalid: &[u8]) -> usize {
    match std::str::from_utf8(invalid) {
        Err(error) if error.error_len().is_none() => invalid.len(),
        _ => 0,
    }
}

/// Log records on lines of their own, a program's own output as it is.
#[derive(Default)]
pub(super) struct Lines {
    characters: Characters,
    /// Whose line has not ended yet.
    open: Option<u8>,
}

impl Lines {
    /// What to write for a record; `head` stands in front of a log record's first line.
    fn add(&mut self, record: &LogRecord, head: &str) -> String {
        let text = printable(&self.characters.take(record));
        if matches!(record.stream, STDOUT | STDERR) {
            self.own(record.stream, &text)
        } else {
            self.log(record, &text, head)
        }
    }

    fn own(&mut self, stream: u8, text: &str) -> String {
        if text.is_empty() {
            return String::new();
        }
        let break_before = if self.open.is_some_and(|open| open > STDERR) { "\n" } else { "" };
        self.open = (!text.ends_with('\n')).then_some(stream);
        format!("{break_before}{text}")
    }

    fn log(&mut self, record: &LogRecord, text: &str, head: &str) -> String {
        let goes_on = self.open == Some(record.stream);
        let break_before = if self.open.is_some() && !goes_on { "\n" } else { "" };
        let head = if goes_on { "" } else { head };
        self.open = record.continues.then_some(record.stream);
        let (text, end) = if record.continues { (text, "") } else { (text.trim_end(), "\n") };
        // Further lines of a record are indented, so that none can pass for a record of its own.
        format!("{break_before}{head}{}{end}", text.replace('\n', "\n    "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: u8 = 5;
    const WARN: u8 = 4;

    fn record(stream: u8, continues: bool, bytes: &[u8]) -> LogRecord {
        LogRecord { time_ns: 0, stream, continues, bytes: bytes.to_vec() }
    }

    fn text(records: &[LogRecord]) -> String {
        let mut lines = Lines::default();
        records.iter().map(|record| lines.add(record, &format!("{}: ", stream_name(record.stream)))).collect()
    }

    #[test]
    fn a_character_across_records_arrives_whole() {
        let euro = "€".as_bytes();
        let mut characters = Characters::default();
        assert_eq!(characters.take(&record(STDOUT, true, &[b"1 ", &euro[..2]].concat())), "1 ");
        assert_eq!(characters.take(&record(STDERR, false, b"2")), "2");
        assert_eq!(characters.take(&record(STDOUT, false, &euro[2..])), "€");
        assert_eq!(characters.take(&record(STDOUT, false, b"\xff\xe2\x82x")), "\u{fffd}\u{fffd}x");
        assert!(characters.cut_off().is_empty());
        assert_eq!(characters.take(&record(STDERR, false, &euro[..1])), "");
        assert_eq!(characters.cut_off(), [STDERR]);
    }

    #[test]
    fn a_long_log_record_stays_one_line() {
        assert_eq!(
            text(&[record(INFO, true, b"a long"), record(INFO, false, b" story"), record(INFO, false, b"next")]),
            "info: a long story\ninfo: next\n"
        );
        assert_eq!(text(&[record(INFO, true, b"a"), record(WARN, false, b"b")]), "info: a\nwarn: b\n");
    }

    #[test]
    fn a_programs_own_output_is_not_changed_by_log_records_between() {
        let records = [record(STDOUT, false, b"half"), record(STDERR, false, b" line"), record(INFO, false, b"log")];
        assert_eq!(text(&records), "half line\ninfo: log\n");
        assert_eq!(text(&[record(INFO, true, b"cut"), record(STDOUT, false, b"out\n")]), "info: cut\nout\n");
    }

    #[test]
    fn no_line_of_a_record_passes_for_another() {
        assert_eq!(text(&[record(INFO, false, b"a\nwarn: b\n")]), "info: a\n    warn: b\n");
    }
}
