//! A machine's serial console: what it says, and what is typed into it.
//!
//! A thread of its own reads everything at once, so that QEMU never waits for us, and keeps all of it: an error shows what the
//! machine said last. What arrives is not trusted: it may be anything, in any amount, at any time, or nothing at all. So it
//! is only searched and shown, its amount is limited, and every wait ends.

mod error;
mod shell;

use std::fmt;
use std::io::{Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use regex::bytes::Regex;

pub use error::ConsoleError;
pub use shell::{CommandOutput, PROMPT};

/// More than any session says (a boot is some 30 KB), less than hurts the host.
const TRANSCRIPT_LIMIT_BYTES: usize = 32 << 20;

/// What is searched for.
#[derive(Debug, Clone)]
pub enum Pattern {
    /// These characters.
    Text(String),
    /// A regular expression over bytes. It sees what has arrived so far: let it end in something that ends the matter
    /// (`\n`, a bracket), not in `\d+`, which matches the first digit that arrives.
    Regex(Regex),
}

impl From<&str> for Pattern {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&String> for Pattern {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<Regex> for Pattern {
    fn from(regex: Regex) -> Self {
        Self::Regex(regex)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(formatter, "{text:?}"),
            Self::Regex(regex) => write!(formatter, "/{regex}/"),
        }
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// What the console said between the last match and this one.
    pub before: String,
    /// The text that matched.
    pub text: String,
    /// A regular expression's groups, the first group first; absent ones are empty.
    pub groups: Vec<String>,
}

/// A serial console.
pub struct Console {
    transcript: Arc<Transcript>,
    input: Box<dyn Write + Send>,
    /// How much of the transcript was matched already.
    position: usize,
    /// Numbers the commands, so that one command's end is not taken for another's.
    commands: u32,
}

impl Console {
    /// Starts reading from a machine's output; `input` is what the machine reads. Both end when the machine does.
    pub fn new(output: impl Read + Send + 'static, input: impl Write + Send + 'static) -> Self {
        let transcript = Arc::new(Transcript::default());
        let kept = Arc::clone(&transcript);
        thread::spawn(move || kept.record(output));
        Self { transcript, input: Box::new(input), position: 0, commands: 0 }
    }

    /// Waits until the console says something, and goes on behind it.
    ///
    /// # Errors
    /// It does not in time, or the machine ended; both with what it said last.
    pub fn expect(&mut self, pattern: impl Into<Pattern>, timeout: Duration) -> Result<Match, ConsoleError> {
        let pattern = pattern.into();
        let deadline = Instant::now() + timeout;
        let mut state = self.transcript.lock();
        let mut searched = self.position;
        loop {
            if let Some((found, end)) = find(&pattern, &state.bytes, self.position, searched) {
                self.position = end;
                return Ok(found);
            }
            searched = state.bytes.len();
            if state.ended {
                return Err(ConsoleError::ended(&pattern, &state.bytes));
            }
            if state.overflowed {
                return Err(ConsoleError::Overflow { limit_bytes: TRANSCRIPT_LIMIT_BYTES });
            }
            let remaining = deadline.saturating_duration_since(Instant::now());
            if remaining.is_zero() {
                return Err(ConsoleError::timeout(&pattern, timeout, &state.bytes));
            }
            state = self.transcript.wait(state, remaining);
        }
    }

    /// Types a line.
    ///
    /// # Errors
    /// The machine is gone.
    pub fn send_line(&mut self, line: &str) -> Result<(), ConsoleError> {
        self.send(format!("{line}\n").as_bytes())
    }

    /// Types these bytes.
    ///
    /// # Errors
    /// The machine is gone.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), ConsoleError> {
        self.input.write_all(bytes).and_then(|()| self.input.flush()).map_err(ConsoleError::Input)
    }

    /// Presses Ctrl-C: ends what runs in the shell's foreground. What was said until now is left out, so that the next prompt
    /// to be matched is the one that follows; what is typed before it comes may be lost.
    ///
    /// # Errors
    /// The machine is gone.
    pub fn interrupt(&mut self) -> Result<(), ConsoleError> {
        const CONTROL_C: u8 = 3;
        self.skip_to_end();
        self.send(&[CONTROL_C])
    }

    /// Everything the console has said so far, matched or not.
    #[must_use]
    pub fn transcript(&self) -> String {
        String::from_utf8_lossy(&self.transcript.lock().bytes).into_owned()
    }

    /// Leaves out what was said until now: the next match is something new.
    pub fn skip_to_end(&mut self) {
        self.position = self.transcript.lock().bytes.len();
    }
}

impl fmt::Debug for Console {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Console").field("position", &self.position).finish_non_exhaustive()
    }
}

/// What was said, shared by the thread that reads and the one that waits.
#[derive(Debug, Default)]
struct Transcript {
    state: Mutex<Said>,
    grew: Condvar,
}

#[derive(Debug, Default)]
struct Said {
    bytes: Vec<u8>,
    ended: bool,
    overflowed: bool,
}

impl Transcript {
    fn lock(&self) -> MutexGuard<'_, Said> {
        // Neither side leaves it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&'a self, state: MutexGuard<'a, Said>, timeout: Duration) -> MutexGuard<'a, Said> {
        self.grew.wait_timeout(state, timeout).unwrap_or_else(PoisonError::into_inner).0
    }

    fn record(&self, mut output: impl Read) {
        let shown = std::env::var_os("ATOLL_CONSOLE").is_some();
        let mut buffer = [0; 4096];
        loop {
            match output.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => {
                    self.append(&buffer[..length]);
                    if shown {
                        // For a person who looks for a fault; a closed standard error does not matter.
                        let _ = std::io::stderr().write_all(&buffer[..length]);
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.lock().ended = true;
        self.grew.notify_all();
    }

    fn append(&self, bytes: &[u8]) {
        let mut state = self.lock();
        if state.bytes.len() + bytes.len() > TRANSCRIPT_LIMIT_BYTES {
            state.overflowed = true;
        } else {
            state.bytes.extend_from_slice(bytes);
        }
        drop(state);
        self.grew.notify_all();
    }
}

/// The first match from `start` on, and where it ends. Up to `searched` there is none that ends there.
fn find(pattern: &Pattern, said: &[u8], start: usize, searched: usize) -> Option<(Match, usize)> {
    let (range, groups) = match pattern {
        Pattern::Text(text) => (find_text(text.as_bytes(), said, start, searched)?, Vec::new()),
        Pattern::Regex(regex) => {
            // What comes later may change where a match begins, so it is looked for from the start.
            let captures = regex.captures(&said[start..])?;
            let whole = captures.get(0)?.range();
            let group = |group: Option<regex::bytes::Match<'_>>| {
                group.map_or_else(String::new, |group| lossy(group.as_bytes()))
            };
            (start + whole.start..start + whole.end, captures.iter().skip(1).map(group).collect())
        }
    };
    let found = Match { before: lossy(&said[start..range.start]), text: lossy(&said[range.clone()]), groups };
    Some((found, range.end))
}

fn find_text(text: &[u8], said: &[u8], start: usize, searched: usize) -> Option<std::ops::Range<usize>> {
    if text.is_empty() {
        return Some(start..start);
    }
    // A match that has begun in what was searched has its end in what is new.
    let from = searched.saturating_sub(text.len() - 1).max(start);
    let place = said[from..].windows(text.len()).position(|window| window == text)?;
    Some(from + place..from + place + text.len())
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests;
