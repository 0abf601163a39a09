//! Rules for names, versions and paths, which a person and a node must read alike.

use crate::{MAX_NAME_BYTES, MAX_TEXT_BYTES, cbor::Violation};

/// A container's name, and those of channels and services: `[a-z0-9][a-z0-9._-]*`, at the most [`MAX_NAME_BYTES`].
///
/// # Errors
/// [`Violation::Name`].
pub fn check_name(name: &str) -> Result<(), Violation> {
    let letter = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let begins = name.as_bytes().first().is_some_and(letter);
    let goes_on = name.bytes().all(|byte| letter(&byte) || b"._-".contains(&byte));
    if begins && goes_on && name.len() <= MAX_NAME_BYTES { Ok(()) } else { Err(Violation::Name) }
}

/// A version as semver 2.0 has it: `1.2.3`, `1.2.3-rc.1+build`.
///
/// # Errors
/// [`Violation::Version`].
pub fn check_version(version: &str) -> Result<(), Violation> {
    let (rest, build) = split_off(version, '+');
    let (core, pre) = split_off(rest, '-');
    let mut numbers = core.split('.');
    let three = (0..3).all(|_| numbers.next().is_some_and(is_number)) && numbers.next().is_none();
    let pre =
        pre.is_none_or(|pre| pre.split('.').all(|part| is_identifier(part) && (!is_digits(part) || is_number(part))));
    let build = build.is_none_or(|build| build.split('.').all(is_identifier));
    if three && pre && build { Ok(()) } else { Err(Violation::Version) }
}

fn split_off(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(head, tail)| (head, Some(tail)))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Without leading zeros, and one that 64 bits hold.
fn is_number(text: &str) -> bool {
    is_digits(text) && (text == "0" || !text.starts_with('0')) && text.parse::<u64>().is_ok()
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// A packed file's path: relative, parts separated by `/`, none of them empty, `.` or `..`; no zero byte, at the most
/// [`MAX_TEXT_BYTES`].
///
/// # Errors
/// [`Violation::Path`], [`Violation::TextTooLong`].
pub fn check_path(path: &str) -> Result<(), Violation> {
    if path.len() > MAX_TEXT_BYTES {
        return Err(Violation::TextTooLong);
    }
    let bad = |part: &str| matches!(part, "" | "." | "..");
    if path.contains('\0') || path.split('/').any(bad) { Err(Violation::Path) } else { Ok(()) }
}
