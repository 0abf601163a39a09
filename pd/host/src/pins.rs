//! The simulated bank's pins, from outside: one line of text a request, one line an answer.
//!
//! | request | answer |
//! |---|---|
//! | `read LABEL` or `read N` | `ok 0` or `ok 1`: the level of the pin |
//! | `set LABEL 1` | `ok`: the world drives an input |
//! | `pulse LABEL` | `ok`: the world moves an input to its other level and back |
//! | `transitions LABEL` | `ok N`: how often an output's level changed since the start |
//! | `touches LABEL` | `ok N`: how often the driver did anything to the line since the start |
//! | `list` | `ok` and for each line `NUMBER:LABEL:USE:LEVEL` |
//! | `watch` | `ok`, and then a line for each change of a level: [`Change`]; anything more from the client ends it |
//!
//! Anything else is answered with `error` and what is wrong. The socket lies in the run directory, which is its user's
//! alone.

use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::run_directory::PINS_SOCKET;

/// How long an answer may take: the other side only looks at memory.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The longest request, in bytes.
pub(crate) const MAX_REQUEST_BYTES: u64 = 128;

/// A change of a line's level. As text `TIME_NS NUMBER LABEL LEVEL LOST`, where LEVEL is 0 or 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Nanoseconds since the node's start, as in containers' logs.
    pub time_ns: u64,
    /// The line's number at the bank.
    pub line: usize,
    /// Its label in the board policy; `-` where it has none.
    pub label: String,
    /// Its level from now on.
    pub high: bool,
    /// How many changes came before this one and were not told, because what had been told was not read.
    pub lost: u64,
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { time_ns, line, label, high, lost } = self;
        write!(formatter, "{time_ns} {line} {label} {} {lost}", u8::from(*high))
    }
}

impl Change {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let change = Self {
            time_ns: words.next()?.parse().ok()?,
            line: words.next()?.parse().ok()?,
            label: words.next()?.to_owned(),
            high: words.next()? == "1",
            lost: words.next()?.parse().ok()?,
        };
        words.next().is_none().then_some(change)
    }
}

/// A connection to a node's pins.
#[derive(Debug)]
pub struct Pins {
    stream: BufReader<UnixStream>,
}

impl Pins {
    /// Connects to the node in `run_directory`.
    ///
    /// # Errors
    /// No node runs there.
    pub fn connect(run_directory: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(run_directory.join(PINS_SOCKET))?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        stream.set_write_timeout(Some(ANSWER_LIMIT))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Sends one request as it is and answers what stands behind `ok`.
    ///
    /// # Errors
    /// The node refuses (its words), or is gone.
    pub fn ask(&mut self, request: &str) -> io::Result<String> {
        self.stream.get_mut().write_all(format!("{request}\n").as_bytes())?;
        let mut answer = String::new();
        self.stream.read_line(&mut answer)?;
        match answer.trim_end().split_once(' ').unwrap_or((answer.trim_end(), "")) {
            ("ok", rest) => Ok(rest.to_owned()),
            ("error", problem) => Err(io::Error::new(io::ErrorKind::InvalidInput, problem.to_owned())),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// The level of a pin; `line` is a label or a number, here as below.
    ///
    /// # Errors
    /// There is no such line, or the node is gone.
    pub fn read(&mut self, line: &str) -> io::Result<bool> {
        Ok(self.ask(&format!("read {line}"))? == "1")
    }

    /// Drives an input.
    ///
    /// # Errors
    /// There is no such line, it is an output, or the node is gone.
    pub fn set(&mut self, line: &str, high: bool) -> io::Result<()> {
        self.ask(&format!("set {line} {}", u8::from(high))).map(drop)
    }

    /// Moves an input to its other level and back.
    ///
    /// # Errors
    /// As for [`Pins::set`].
    pub fn pulse(&mut self, line: &str) -> io::Result<()> {
        self.ask(&format!("pulse {line}")).map(drop)
    }

    /// How often the level of an output changed since the node's start.
    ///
    /// # Errors
    /// As for [`Pins::read`].
    pub fn transitions(&mut self, line: &str) -> io::Result<u64> {
        self.ask(&format!("transitions {line}"))?.parse().map_err(io::Error::other)
    }

    /// How often the driver did anything to a line since the node's start, whether or not a level changed.
    ///
    /// # Errors
    /// As for [`Pins::read`].
    pub fn touches(&mut self, line: &str) -> io::Result<u64> {
        self.ask(&format!("touches {line}"))?.parse().map_err(io::Error::other)
    }

    /// Tells of every change from here on, until the node is gone.
    ///
    /// # Errors
    /// The node is gone already.
    pub fn watch(mut self) -> io::Result<impl Iterator<Item = Change>> {
        self.ask("watch")?;
        // Hours may lie between two changes.
        self.stream.get_ref().set_read_timeout(None)?;
        Ok(self.stream.lines().map_while(|line| Change::parse(&line.ok()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_read_as_it_was_written() {
        let change = Change { time_ns: u64::MAX, line: 7, label: "LED".into(), high: true, lost: 3 };
        assert_eq!(Change::parse(&change.to_string()), Some(change.clone()));
        for text in ["", "1 2 LED 1", "1 2 LED 1 0 x", "a 2 LED 1 0"] {
            assert_eq!(Change::parse(text), None, "{text}");
        }
    }
}
