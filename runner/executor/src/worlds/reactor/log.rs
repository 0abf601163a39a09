//! `log`: records into the cell's output, cut where they are too long. A call never waits.

use runner_interfaces::output::Stream;
use simdutf8::basic::from_utf8;
use wasmi::{Caller, Error, Linker};

use super::super::{Unknown, charge, enter, function, log_fuel};
use crate::{
    host::Host,
    memory::{Fault, GuestMemory},
};

/// The longest log record, in bytes (`atoll.wit`, `log`).
pub(super) const LOG_BYTES: u32 = 1024;

/// Ends a record that was cut; it lies within [`LOG_BYTES`].
const CUT_MARK: &[u8] = "…".as_bytes();

pub(super) fn define(linker: &mut Linker<Host>, module: &str, name: &str) -> Result<(), Unknown> {
    match name {
        "log" => function::define(linker, module, name, log),
        _ => return Err(Unknown),
    }?;
    Ok(())
}

fn log(caller: &mut Caller<'_, Host>, level: u32, address: u32, length: u32) -> Result<(), Error> {
    enter(caller);
    charge(caller, log_fuel(length.min(LOG_BYTES) as usize));
    let stream = match level {
        0 => Stream::Error,
        1 => Stream::Warn,
        2 => Stream::Info,
        3 => Stream::Debug,
        4 => Stream::Trace,
        value => return Err(Fault::NoSuchValue { enumeration: "level", value }.into()),
    };
    let (memory, host) = GuestMemory::of(caller)?;
    Ok(push(host, stream, memory.slice(address, length)?).ok_or(Fault::NotText { address })?)
}

/// Writes a record, cut where it is too long; `None` where it is not UTF-8.
pub(super) fn push(host: &mut Host, stream: Stream, text: &[u8]) -> Option<()> {
    let mut buffer = [0; LOG_BYTES as usize];
    let record = record(text, &mut buffer)?;
    let now = host.now();
    host.output.borrow_mut().push_whole(now, stream, record);
    Some(())
}

/// The text of a record; where it is too long, its head with the mark behind it. `None` where it is not UTF-8.
fn record<'b>(text: &'b [u8], buffer: &'b mut [u8; LOG_BYTES as usize]) -> Option<&'b [u8]> {
    if text.len() <= buffer.len() {
        return from_utf8(text).is_ok().then_some(text);
    }
    let head = head(text, buffer.len() - CUT_MARK.len());
    from_utf8(head).ok()?;
    let (end, total) = (head.len(), head.len() + CUT_MARK.len());
    buffer[..end].copy_from_slice(head);
    buffer[end..total].copy_from_slice(CUT_MARK);
    Some(&buffer[..total])
}

/// So many bytes of a text at the most, without a character that would be cut.
pub(super) fn head(text: &[u8], most: usize) -> &[u8] {
    const LONGEST_CHARACTER: usize = 4;
    let is_boundary = |end: &usize| text.get(*end).is_none_or(|byte| byte & 0b1100_0000 != 0b1000_0000);
    let most = most.min(text.len());
    let end = (most.saturating_sub(LONGEST_CHARACTER)..=most).rev().find(is_boundary);
    &text[..end.unwrap_or(most)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_record_is_cut_between_characters() {
        let mut buffer = [0; LOG_BYTES as usize];
        let text = "é".repeat(1000);
        let cut = core::str::from_utf8(record(text.as_bytes(), &mut buffer).unwrap()).unwrap();
        assert_eq!(cut.len(), LOG_BYTES as usize - 1);
        assert!(cut.ends_with("é…"));
        assert_eq!(record(&[b'x'; 1024], &mut buffer), Some(&[b'x'; 1024][..]));
    }

    #[test]
    fn a_record_is_text() {
        let mut buffer = [0; LOG_BYTES as usize];
        assert_eq!(record(&[0b1000_0000; 10], &mut buffer), None);
        assert_eq!(record(&[0b1000_0000; 2000], &mut buffer), None);
    }
}
