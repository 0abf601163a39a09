//! Rates, durations and sizes as rights write them: a whole number above 0 and a unit.

use alloc::{format, string::String};

use super::{MAX_RATE, RightError};

/// Units of time, the longest first, and the shorter before those whose name they end with.
const DURATIONS: [(&str, u64); 4] = [("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)];

/// Units of size, in the order in which a text is tried for them.
const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// A whole number above 0, in nothing but digits.
pub(super) fn number(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && *number > 0)
}

/// `100/s`.
pub(super) fn rate(text: &str) -> Result<u32, RightError> {
    let rate = text.strip_suffix("/s").and_then(number).and_then(|rate| u32::try_from(rate).ok());
    rate.filter(|rate| *rate <= MAX_RATE).ok_or(RightError::Rate)
}

/// `10ms`.
pub(super) fn nanoseconds(text: &str) -> Result<u64, RightError> {
    scaled(text, &DURATIONS).ok_or(RightError::Duration)
}

/// `64KiB`.
pub(super) fn bytes(text: &str) -> Result<u64, RightError> {
    scaled(text, &SIZES).ok_or(RightError::Size)
}

/// The first unit that the text ends with decides.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (digits, factor) = units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
    number(digits)?.checked_mul(*factor)
}

/// A duration in the longest unit that gives a whole number.
pub fn duration_text(nanoseconds: u64) -> String {
    text_of(nanoseconds, DURATIONS.iter().rev(), "ns")
}

/// A size in the largest unit that gives a whole number.
pub fn bytes_text(bytes: u64) -> String {
    text_of(bytes, SIZES.iter(), "B")
}

fn text_of<'u>(amount: u64, units: impl IntoIterator<Item = &'u (&'u str, u64)>, least: &str) -> String {
    let mut units = units.into_iter().filter(|(_, factor)| amount != 0 && amount.is_multiple_of(*factor));
    let (unit, factor) = units.next().copied().unwrap_or((least, 1));
    format!("{}{unit}", amount / factor)
}
