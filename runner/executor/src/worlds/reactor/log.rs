//! `log`: records into the cell's output, cut where they are too long. A call never waits.

use runner_interfaces::output::Stream;
use simdutf8::{basic, compat};
use wasmi::{Caller, Error, Linker};

use super::super::{Unknown, charge, enter, log_fuel};
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
        "log" => linker.func_wrap(module, name, log),
        _ => return Err(Unknown),
    }?;
    Ok(())
}

fn log(mut caller: Caller<'_, Host>, level: u32, address: u32, length: u32) -> Result<(), Error> {
    enter(&mut caller);
    charge(&mut caller, log_fuel(length.min(LOG_BYTES) as usize));
    let stream = match level {
        0 => Stream::Error,
        1 => Stream::Warn,
        2 => Stream::Info,
        3 => Stream::Debug,
        4 => Stream::Trace,
        value => return Err(Fault::NoSuchValue { enumeration: "level", value }.into()),
    };
    let (memory, host) = GuestMemory::of(&mut caller)?;
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
        return basic::from_utf8(text).is_ok().then_some(text);
    }
    let room = buffer.len() - CUT_MARK.len();
    let end = match compat::from_utf8(&text[..room]) {
        Ok(_) => room,
        // The head ends within a character, which is left away.
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        Err(_) => return None,
    };
    let total = end + CUT_MARK.len();
    buffer[..end].copy_from_slice(&text[..end]);
    buffer[end..total].copy_from_slice(CUT_MARK);
    Some(&buffer[..total])
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
