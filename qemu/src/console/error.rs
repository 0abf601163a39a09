//! What can go wrong at a console. Each error shows what the machine said last, because that is what a person asks next.

use std::fmt;
use std::io;
use std::time::Duration;

use super::Pattern;

/// So many lines of the transcript's end are shown: a screen.
const TAIL_LINES: usize = 30;

/// Why a wait at the console ended without what was waited for.
#[derive(Debug)]
pub enum ConsoleError {
    /// It was not said in time.
    Timeout {
        /// What was waited for.
        wanted: String,
        /// How long.
        waited: Duration,
        /// What the console said last.
        tail: String,
    },
    /// The machine ended and never said it.
    Ended {
        /// What was waited for.
        wanted: String,
        /// What the console said last.
        tail: String,
    },
    /// The machine said more than is kept.
    Overflow {
        /// How much is kept.
        limit_bytes: usize,
    },
    /// A command for the guest's shell that cannot be typed as one line.
    NotOneLine,
    /// The machine takes no input: it is gone.
    Input(io::Error),
}

impl ConsoleError {
    pub(super) fn timeout(wanted: &Pattern, waited: Duration, said: &[u8]) -> Self {
        Self::Timeout { wanted: wanted.to_string(), waited, tail: tail(said) }
    }

    pub(super) fn ended(wanted: &Pattern, said: &[u8]) -> Self {
        Self::Ended { wanted: wanted.to_string(), tail: tail(said) }
    }
}

impl fmt::Display for ConsoleError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout { wanted, waited, tail } => {
                write!(formatter, "the console did not say {wanted} within {waited:?}; it ends with\n{tail}")
            }
            Self::Ended { wanted, tail } => {
                write!(formatter, "the machine ended before its console said {wanted}; it ends with\n{tail}")
            }
            Self::Overflow { limit_bytes } => write!(formatter, "the console said more than {limit_bytes} bytes"),
            Self::NotOneLine => formatter.write_str("a command for the guest's shell must be one line"),
            Self::Input(error) => write!(formatter, "the machine takes no input: {error}"),
        }
    }
}

impl std::error::Error for ConsoleError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Input(error) => Some(error),
            _ => None,
        }
    }
}

/// The last lines, each behind a bar so that they are not mistaken for our own words.
fn tail(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said).replace('\r', "");
    let lines: Vec<&str> = text.lines().collect();
    if lines.is_empty() {
        return "  | (nothing at all)".to_owned();
    }
    let shown = &lines[lines.len().saturating_sub(TAIL_LINES)..];
    shown.iter().map(|line| format!("  | {}", line.escape_debug())).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_the_last_lines_and_harmless_to_a_terminal() {
        let said: String = (0..100).map(|number| format!("line {number}\r\n")).collect::<String>() + "\x1b[2Jend";
        let tail = tail(said.as_bytes());
        assert_eq!(tail.lines().count(), TAIL_LINES);
        assert!(tail.ends_with("  | \\u{1b}[2Jend"), "{tail}");
        assert!(!tail.contains("line 70\n"), "{tail}");
    }
}
