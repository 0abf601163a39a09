//! `emit logs`: a container's output, once or as it comes.

use std::{
    io::{self, Write},
    thread,
    time::Duration,
};

use serde_json::json;
use shared_ring_messages::{Answer, LogRecord, Request};

use super::{Context, unexpected};
use crate::{
    arguments::Logs,
    exit::Failure,
    session::{Error, Result, Session},
    show,
};

/// Stream numbers of `runner-interfaces`, `output::Stream`.
const STDOUT: u8 = 1;
const STDERR: u8 = 2;

/// How long to wait for more while following: short enough to look immediate, long enough not to load the node.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(100);

/// A page of output.
pub(super) struct Page {
    pub(super) records: Vec<LogRecord>,
    pub(super) next: u64,
    pub(super) lost: u64,
    pub(super) ended: bool,
}

/// Asks for what is behind `cursor`.
pub(super) fn page(session: &mut Session, name: &str, cursor: u64) -> Result<Page> {
    match session.ask(Request::Logs { name: name.to_owned(), cursor })? {
        Answer::Logs { records, next, lost, ended } => Ok(Page { records, next, lost, ended }),
        other => Err(unexpected(&other)),
    }
}

pub(super) fn logs(context: &Context, arguments: &Logs) -> Result<u8> {
    let mut session = context.session()?;
    let mut cursor = 0;
    let mut writer = LineWriter::default();
    loop {
        let page = page(&mut session, &arguments.name, cursor)?;
        if page.lost > 0 {
            eprintln!("emit: {} records were lost before this", page.lost);
        }
        for record in &page.records {
            if context.json() {
                println!("{}", record_json(record));
            } else {
                writer.write(record).map_err(|error| cannot_print(&error))?;
            }
        }
        let nothing_new = page.records.is_empty();
        cursor = page.next;
        if nothing_new && (page.ended || !arguments.follow) {
            return Ok(0);
        }
        if nothing_new {
            io::stdout().flush().map_err(|error| cannot_print(&error))?;
            thread::sleep(FOLLOW_INTERVAL);
        }
    }
}

/// One line of JSON a record, so that a follower can read them as they come.
fn record_json(record: &LogRecord) -> serde_json::Value {
    json!({
        "time_ns": record.time_ns,
        "stream": stream_name(record.stream),
        "continues": record.continues,
        "text": String::from_utf8_lossy(&record.bytes),
    })
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
        8 => "cell",
        _ => "unknown",
    }
}

/// Puts log records on lines of their own, with time and level, and passes a program's own output through.
#[derive(Default)]
struct LineWriter {
    in_the_middle: bool,
}

impl LineWriter {
    fn write(&mut self, record: &LogRecord) -> io::Result<()> {
        let text = show::printable(&String::from_utf8_lossy(&record.bytes));
        let mut out = io::stdout().lock();
        if matches!(record.stream, STDOUT | STDERR) {
            self.in_the_middle = !text.ends_with('\n');
            return out.write_all(text.as_bytes());
        }
        if self.in_the_middle {
            writeln!(out)?;
        }
        let (seconds, rest) = (record.time_ns / 1_000_000_000, record.time_ns % 1_000_000_000);
        write!(out, "[{seconds:>6}.{:06}] {:<5} {}", rest / 1000, stream_name(record.stream), text.trim_end())?;
        self.in_the_middle = record.continues;
        if record.continues { Ok(()) } else { writeln!(out) }
    }
}

fn cannot_print(error: &io::Error) -> Error {
    Error::new(Failure::Internal, format!("cannot write to the terminal: {error}"))
}

/// A container's output exactly as it wrote it: what `emit run` shows.
pub(super) fn pass_through(record: &LogRecord) -> Result<()> {
    let result = match record.stream {
        STDOUT => io::stdout().write_all(&record.bytes).and_then(|()| io::stdout().flush()),
        STDERR => io::stderr().write_all(&record.bytes),
        _ => {
            let text = show::printable(&String::from_utf8_lossy(&record.bytes));
            let level = stream_name(record.stream);
            eprintln!("[{level}] {}", text.trim_end());
            Ok(())
        }
    };
    result.map_err(|error| cannot_print(&error))
}
