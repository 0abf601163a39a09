//! The words of a report: of a fixed size, so that a domain can say them without a heap, and in its last moment.

use core::fmt;

/// The longest text of a report: what 256 bytes leave beside its head.
pub const TEXT_BYTES: usize = 240;

/// What stands at the end of a text that was longer.
const CUT: &str = "...";

/// Up to [`TEXT_BYTES`] bytes of text; what is longer ends in `...`.
///
/// What is read back from a report is whatever its writer wrote: it is shown ([`fmt::Display`]) as printable ASCII, anything
/// else as `\xNN`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text {
    bytes: [u8; TEXT_BYTES],
    length: usize,
}

impl Default for Text {
    fn default() -> Self {
        Self { bytes: [0; TEXT_BYTES], length: 0 }
    }
}

impl Text {
    /// The bytes of the text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// The text with zeros behind it.
    pub(super) const fn padded(&self) -> [u8; TEXT_BYTES] {
        self.bytes
    }

    /// The text up to the first zero.
    pub(super) fn from_padded(bytes: &[u8; TEXT_BYTES]) -> Self {
        let length = bytes.iter().position(|&byte| byte == 0).unwrap_or(TEXT_BYTES);
        let mut text = Self { length, ..Self::default() };
        text.bytes[..length].copy_from_slice(&bytes[..length]);
        text
    }
}

impl From<&str> for Text {
    fn from(words: &str) -> Self {
        super::text(format_args!("{words}"))
    }
}

impl fmt::Write for Text {
    /// Takes what there is room for. Once something had none, the text ends in `...` and takes no more.
    fn write_str(&mut self, words: &str) -> fmt::Result {
        let room = TEXT_BYTES - self.length;
        let taken = words.len().min(room);
        self.bytes[self.length..self.length + taken].copy_from_slice(&words.as_bytes()[..taken]);
        self.length += taken;
        if taken == words.len() {
            return Ok(());
        }
        self.bytes[TEXT_BYTES - CUT.len()..].copy_from_slice(CUT.as_bytes());
        Err(fmt::Error)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &byte in self.as_bytes() {
            match byte {
                b' '..=b'~' => fmt::Write::write_char(formatter, char::from(byte))?,
                _ => write!(formatter, "\\x{byte:02x}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "\"{self}\"")
    }
}
