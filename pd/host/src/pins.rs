//! The simulated bank's pins, from outside: one line of text a request, one line an answer.
//!
//! | request | answer |
//! |---|---|
//! | `read LABEL` or `read N` | `ok 0` or `ok 1`: the level of the pin |
//! | `set LABEL 1` | `ok`: the world drives an input |
//! | `pulse LABEL` | `ok`: the world moves an input to its other level and back |
//! | `transitions LABEL` | `ok N`: how often an output's level changed since the start |
//! | `list` | `ok` and for each line `NUMBER:LABEL:USE:LEVEL` |
//!
//! Anything else is answered with `error` and what is wrong. The socket lies in the run directory, which is its user's
//! alone.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::run_directory::PINS_SOCKET;

/// How long an answer may take: the other side only looks at memory.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The longest request, in bytes.
pub(crate) const MAX_REQUEST_BYTES: u64 = 128;

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
}
