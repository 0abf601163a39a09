//! Why a container failed: a reason for programs, a sentence for people.
//!
//! The sentence has a fixed size, so that it fits into what a cell keeps free of its heap. It quotes names that the container chose;
//! readers show it and nothing more.

use alloc::boxed::Box;
use core::fmt::{self, Write};

use runner_interfaces::cell::{DETAIL_BYTES, FailureReason};

/// Text of at most [`DETAIL_BYTES`] bytes; what is longer is cut between two characters.
#[derive(Clone)]
pub(crate) struct Detail {
    bytes: [u8; DETAIL_BYTES],
    length: usize,
    cut: bool,
}

impl Detail {
    pub(crate) const EMPTY: Self = Self { bytes: [0; DETAIL_BYTES], length: 0, cut: false };

    pub(crate) fn new(text: fmt::Arguments<'_>) -> Self {
        let mut detail = Self::EMPTY;
        // It only fails where the text is cut, and then what fits is there.
        let _ = detail.write_fmt(text);
        detail
    }

    /// The text, as UTF-8.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// How many bytes count.
    pub(crate) fn length(&self) -> u32 {
        u32::try_from(self.length).unwrap_or(u32::MAX)
    }

    /// The whole buffer, zeros behind the text.
    pub(crate) fn buffer(&self) -> &[u8; DETAIL_BYTES] {
        &self.bytes
    }
}

impl Write for Detail {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.cut {
            return Err(fmt::Error);
        }
        let room = DETAIL_BYTES - self.length;
        let taken = text.floor_char_boundary(room.min(text.len()));
        self.bytes[self.length..self.length + taken].copy_from_slice(&text.as_bytes()[..taken]);
        self.length += taken;
        self.cut = taken < text.len();
        if self.cut { Err(fmt::Error) } else { Ok(()) }
    }
}

impl fmt::Debug for Detail {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", core::str::from_utf8(self.as_bytes()))
    }
}

/// The end of a container that did not end by itself.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) reason: FailureReason,
    pub(crate) detail: Box<Detail>,
}

impl Failure {
    pub(crate) fn new(reason: FailureReason, text: fmt::Arguments<'_>) -> Self {
        Self { reason, detail: Box::new(Detail::new(text)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let detail = Detail::new(format_args!("{}{}", "é".repeat(DETAIL_BYTES), "tail"));
        assert_eq!(detail.as_bytes().len(), DETAIL_BYTES);
        assert!(core::str::from_utf8(detail.as_bytes()).unwrap().chars().all(|letter| letter == 'é'));
        let detail = Detail::new(format_args!("x{}{}", "é".repeat(DETAIL_BYTES), "tail"));
        assert_eq!(detail.as_bytes().len(), DETAIL_BYTES - 1);
    }
}
