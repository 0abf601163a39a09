//! `wasi:logging`, the draft of 2024-10-02 (`wit/logging.wit` at d31c41d in WebAssembly/wasi-logging, version 0.1.0-draft) and
//! the same without a version, as it was before.

use alloc::vec::Vec;

use runner_interfaces::output::Stream;
use simdutf8::compat;
use wasmi::{Caller, Error, Linker};

use super::super::{
    super::{Unknown, charge, enter, log_fuel},
    log::{LOG_BYTES, push},
};
use crate::{
    host::Host,
    memory::{Fault, GuestMemory},
};

/// Between context and message.
const SEPARATOR: &[u8] = b": ";

/// The most of a context and of a message that is looked at: a character more than a record holds, so that it is seen to be cut.
const MAX_PART_BYTES: u32 = LOG_BYTES + 4;

pub(super) fn define(linker: &mut Linker<Host>, module: &str, name: &str) -> Result<(), Unknown> {
    match name {
        "log" => linker.func_wrap(module, name, log),
        _ => return Err(Unknown),
    }?;
    Ok(())
}

fn log(
    mut caller: Caller<'_, Host>,
    level: u32,
    context: u32,
    context_length: u32,
    message: u32,
    message_length: u32,
) -> Result<(), Error> {
    enter(&mut caller);
    // Each part is looked at, and the record that they make.
    let bytes = [context_length, message_length].map(|length| length.min(MAX_PART_BYTES)).iter().sum::<u32>();
    charge(&mut caller, log_fuel(2 * bytes as usize));
    let stream = match level {
        0 => Stream::Trace,
        1 => Stream::Debug,
        2 => Stream::Info,
        3 => Stream::Warn,
        // What is fatal is an error too; there is no louder stream.
        4 | 5 => Stream::Error,
        value => return Err(Fault::NoSuchValue { enumeration: "level", value }.into()),
    };
    let (memory, host) = GuestMemory::of(&mut caller)?;
    let mut text = Vec::new();
    text.extend_from_slice(part(&memory, context, context_length)?);
    if !text.is_empty() {
        text.extend_from_slice(SEPARATOR);
    }
    text.extend_from_slice(part(&memory, message, message_length)?);
    Ok(push(host, stream, &text).ok_or(Fault::NotText { address: message })?)
}

/// The head of a text, which must lie in the memory as a whole.
fn part<'m>(memory: &'m GuestMemory<'_>, address: u32, length: u32) -> Result<&'m [u8], Fault> {
    let whole = memory.slice(address, length)?;
    let head = &whole[..whole.len().min(MAX_PART_BYTES as usize)];
    match compat::from_utf8(head) {
        Ok(_) => Ok(head),
        // Cut within a character, which is left away.
        Err(error) if error.error_len().is_none() && head.len() < whole.len() => Ok(&head[..error.valid_up_to()]),
        Err(_) => Err(Fault::NotText { address }),
    }
}
