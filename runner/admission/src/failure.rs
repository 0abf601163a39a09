//! Why a request was not served, in the words that a person reads.
//!
//! Quotes what came from outside only through [`Quoted`], so that no name can run on for kilobytes or move a terminal's
//! cursor.

use alloc::{
    format,
    string::{String, ToString},
};
use core::fmt::{self, Display, Write};

use shared_ring_messages::ErrorCode;

/// The longest detail: a few lines of text. A frame holds eight of them.
const MAX_DETAIL_BYTES: usize = 1024;

/// The longest piece of somebody else's text in a detail: longer than any name that is allowed.
const MAX_QUOTED_CHARACTERS: usize = 64;

/// What `FromNode::Failure` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: ErrorCode,
    pub(crate) detail: String,
}

impl Failure {
    pub(crate) fn new(code: ErrorCode, detail: impl Display) -> Self {
        let mut detail = detail.to_string();
        detail.truncate(detail.floor_char_boundary(MAX_DETAIL_BYTES));
        Self { code, detail }
    }

    /// The peer said something that does not belong here.
    pub(crate) fn protocol(detail: impl Display) -> Self {
        Self::new(ErrorCode::Protocol, detail)
    }

    /// The node is at fault.
    pub(crate) fn internal(detail: impl Display) -> Self {
        Self::new(ErrorCode::Internal, detail)
    }

    pub(crate) fn no_such_container(name: &str) -> Self {
        Self::new(ErrorCode::NoSuchContainer, format!("there is no container {}", Quoted(name)))
    }
}

/// Text from outside, between back ticks, cut and with its control characters made visible.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut = self.0.char_indices().nth(MAX_QUOTED_CHARACTERS).map(|(position, _)| position);
        write!(formatter, "`{}", self.0[..cut.unwrap_or(self.0.len())].escape_debug())?;
        formatter.write_str(if cut.is_some() { "…`" } else { "`" })
    }
}

/// Text from a cell, which quotes names that its container chose: control characters become visible, nothing is added.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let mut text = String::new();
    for letter in String::from_utf8_lossy(bytes).chars() {
        if letter.is_control() {
            // Writing to a string cannot fail.
            let _ = write!(text, "{}", letter.escape_default());
        } else {
            text.push(letter);
        }
    }
    text
}

/// A duration as a person types it, in the largest unit that gives a whole number.
pub(crate) fn duration(nanoseconds: u64) -> String {
    for (unit, length) in [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)] {
        if nanoseconds != 0 && nanoseconds.is_multiple_of(length) {
            return format!("{}{unit}", nanoseconds / length);
        }
    }
    format!("{nanoseconds}ns")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_is_cut_and_shows_its_control_characters() {
        assert_eq!(Quoted("LED").to_string(), "`LED`");
        assert_eq!(Quoted("\u{1b}[2J\n").to_string(), "`\\u{1b}[2J\\n`");
        let long = Quoted(&"ä".repeat(1000)).to_string();
        assert_eq!(long.chars().filter(|letter| *letter == 'ä').count(), MAX_QUOTED_CHARACTERS);
        assert!(long.ends_with("…`"));
        assert_eq!(printable(b"a\x07\xff"), "a\\u{7}\u{fffd}");
    }

    #[test]
    fn no_detail_is_longer_than_it_may_be() {
        assert_eq!(Failure::protocol("é".repeat(MAX_DETAIL_BYTES)).detail.len(), MAX_DETAIL_BYTES);
        assert_eq!(Failure::protocol(format!("x{}", "é".repeat(MAX_DETAIL_BYTES))).detail.len(), MAX_DETAIL_BYTES - 1);
    }

    #[test]
    fn durations_are_as_they_are_typed() {
        for (nanoseconds, text) in
            [(1_000_000_000, "1s"), (10_000_000, "10ms"), (1_500_000, "1500us"), (7, "7ns"), (0, "0ns")]
        {
            assert_eq!(duration(nanoseconds), text);
        }
    }
}
