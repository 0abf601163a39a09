//! `wasi:logging`, the draft of 2024-10-02 (`wit/logging.wit` at d31c41d in WebAssembly/wasi-logging, version 0.1.0-draft) and
//! the same without a version, as it was before.

use alloc::vec::Vec;

use runner_interfaces::output::Stream;
use wasmi::{Caller, Error, Linker};

use super::super::{
    super::{Unknown, charge, enter, function, log_fuel},
    log::{LOG_BYTES, head, push},
};
use crate::{
    host::Host,
    memory::{Fault, GuestMemory},
};

/// Between context and message.
const SEPARATOR: &[u8] = b": ";

/// Bytes of context and message that are looked at: a character more than a record holds, so that it is seen to be cut.
const LOOKED_AT_BYTES: usize = LOG_BYTES as usize + 4;

pub(super) fn define(linker: &mut Linker<Host>, module: &str, name: &str) -> Result<(), Unknown> {
    match name {
        "log" => function::define(linker, module, name, log),
        _ => return Err(Unknown),
    }?;
    Ok(())
}

fn log(
    caller: &mut Caller<'_, Host>,
    level: u32,
    context: u32,
    context_length: u32,
    message: u32,
    message_length: u32,
) -> Result<(), Error> {
    enter(caller);
    // They are copied, and the record that they make is looked at.
    let bytes = context_length.saturating_add(message_length) as usize;
    charge(caller, log_fuel(2 * bytes.min(LOOKED_AT_BYTES)));
    let stream = match level {
        0 => Stream::Trace,
        1 => Stream::Debug,
        2 => Stream::Info,
        3 => Stream::Warn,
        // What is fatal is an error too; there is no louder stream.
        4 | 5 => Stream::Error,
        value => return Err(Fault::NoSuchValue { enumeration: "level", value }.into()),
    };
    let (memory, host) = GuestMemory::of(caller)?;
    let before = head(memory.slice(context, context_length)?, LOOKED_AT_BYTES);
    let mut text = Vec::with_capacity(LOOKED_AT_BYTES + SEPARATOR.len());
    text.extend_from_slice(before);
    if !text.is_empty() {
        text.extend_from_slice(SEPARATOR);
    }
    let room = LOOKED_AT_BYTES.saturating_sub(text.len());
    text.extend_from_slice(head(memory.slice(message, message_length)?, room));
    if push(host, stream, &text).is_some() {
        return Ok(());
    }
    // One of the two, which are text together only where both are.
    let address = if core::str::from_utf8(before).is_err() { context } else { message };
    Err(Fault::NotText { address }.into())
}
