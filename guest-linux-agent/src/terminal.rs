//! What reaches the person: standard output and standard error, of which either may be closed at any time.
//!
//! `println!` panics where the reader has gone (`emit logs -f blinker | head`); here that is an end like any other.

use std::io::{self, Write};

use crate::{exit::Failure, session::Error};

/// Writes to standard output, at once.
pub(crate) fn output(bytes: &[u8]) -> Result<(), Error> {
    let mut stream = io::stdout().lock();
    stream.write_all(bytes).and_then(|()| stream.flush()).map_err(|error| cannot_write(&error))
}

/// Writes to standard error, at once.
pub(crate) fn error_output(bytes: &[u8]) -> Result<(), Error> {
    io::stderr().write_all(bytes).map_err(|error| cannot_write(&error))
}

/// Tells the person something beside the output. Where nobody listens, nobody misses it.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "emit: {text}");
}

fn cannot_write(error: &io::Error) -> Error {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Error::new(Failure::OutputClosed, "whoever read the output has closed it");
    }
    Error::new(Failure::Internal, format!("cannot write the output: {error}"))
}

/// Text from a node or a container with control characters made visible, so that it cannot steer the terminal. Line ends
/// and tabs stay.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && !matches!(c, '\n' | '\t') { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_steer_the_terminal() {
        assert_eq!(printable("a\tb\nc\u{1b}[2J\u{9b}1m\r\u{7f}"), "a\tb\nc\u{fffd}[2J\u{fffd}1m\u{fffd}\u{fffd}");
    }
}
