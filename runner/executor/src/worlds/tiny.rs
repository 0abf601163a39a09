//! The TinyContainer world: `env.{logger,open,read,write,close}`, as that project's containers import them.
//!
//! Signatures and the meaning of `loop`'s answer are those of its sources (TinyPART/RIOT, `sys/tinycontainer`,
//! `container/wamr/wamr_natives.c` and `wamr.c`): `logger` takes the address of a text that a zero byte ends, `open` an
//! endpoint's number; `read` and `write` answer how many bytes they moved, and everything answers a negative number where it
//! cannot.
//!
//! What an endpoint is, its metadata says there, and the manifest here; where that says nothing of endpoints, endpoint *n* is the
//! board's line *n*. A line is one byte, 1 for high and 0 for low. It is opened as an output where that was granted, else as an input. Whether it may be used at all is the `gpio`
//! domain's to say, as in every world.

use runner_interfaces::{
    cell::CellConfiguration,
    gpio::{self, Opened, Procedure, Status},
    output::Stream,
};
use wasmi::{Caller, Error, Linker};

use super::{Unknown, charge, enter, function, log_fuel};
use crate::{
    host::{DOMAIN_CALL_FUEL, Host},
    lines::{Direction, OpenLine, Resource},
    memory::{Fault, GuestMemory},
};

/// The module that its functions are imported from.
pub(crate) const MODULE: &str = "env";

/// What every function answers that cannot do what it was asked.
const REFUSED: i32 = -1;

/// The longest text that is logged, in bytes; what is longer is cut. As in the reactor world.
const LOG_BYTES: u32 = 1024;

pub(super) fn define(linker: &mut Linker<Host>, name: &str) -> Result<(), Unknown> {
    match name {
        "logger" => function::define(linker, MODULE, name, logger),
        "open" => function::define(linker, MODULE, name, open),
        "read" => function::define(linker, MODULE, name, read),
        "write" => function::define(linker, MODULE, name, write),
        "close" => function::define(linker, MODULE, name, close),
        _ => return Err(Unknown),
    }?;
    Ok(())
}

fn logger(caller: &mut Caller<'_, Host>, address: u32) -> Result<(), Error> {
    enter(caller);
    let (memory, host) = GuestMemory::of(caller)?;
    let text = text_at(&memory, address)?;
    let fuel = log_fuel(text.len());
    let now = host.now();
    host.output.borrow_mut().push_whole(now, Stream::Info, text);
    charge(caller, fuel);
    Ok(())
}

/// The bytes from `address` to the zero byte, or as many as are logged.
fn text_at<'m>(memory: &'m GuestMemory<'_>, address: u32) -> Result<&'m [u8], Fault> {
    let bytes = memory.from(address);
    let looked_at = &bytes[..bytes.len().min(LOG_BYTES as usize)];
    match looked_at.iter().position(|byte| *byte == 0) {
        Some(end) => Ok(&looked_at[..end]),
        None if looked_at.len() == LOG_BYTES as usize => Ok(looked_at),
        None => Err(Fault::OutOfBounds { address, length: LOG_BYTES }),
    }
}

fn open(caller: &mut Caller<'_, Host>, endpoint: u32) -> i32 {
    enter(caller);
    charge(caller, DOMAIN_CALL_FUEL);
    let host = caller.data_mut();
    let Some(line) = line_of(&host.configuration, endpoint) else {
        host.counted(Status::NotFound);
        return REFUSED;
    };
    // The owner keeps one opening a cell; two handles on it would close each other's line.
    if host.lines.is_open(line) || !host.lines.has_room() {
        host.counted(Status::Busy);
        return REFUSED;
    }
    let (direction, status) = match host.ask_gpio(gpio::call(Procedure::OpenOutput, line)).0 {
        Status::NotGranted | Status::ModeNotGranted => {
            (Direction::Input, host.ask_gpio(gpio::call(Procedure::OpenInput, line)).0)
        }
        status => (Direction::Output, status),
    };
    let open = OpenLine::new(line, endpoint_of(direction), Opened::default());
    match host.counted(status) {
        Status::Ok => host.lines.insert(open).map_or(REFUSED, u32::cast_signed),
        _ => REFUSED,
    }
}

/// The line behind an endpoint: what the manifest says, or where it says nothing of endpoints the line of that number.
fn line_of(configuration: &CellConfiguration, endpoint: u32) -> Option<u8> {
    if configuration.endpoints.is_empty() {
        return u8::try_from(endpoint).ok();
    }
    configuration.endpoints.iter().find(|(number, _)| *number == endpoint).map(|(_, line)| *line)
}

/// An endpoint's resource.
const fn endpoint_of(direction: Direction) -> Resource {
    Resource { name: "endpoint", direction }
}

/// What the descriptor was opened for, whichever direction.
fn endpoint_at(host: &Host, descriptor: i32) -> Option<OpenLine> {
    [Direction::Output, Direction::Input]
        .into_iter()
        .find_map(|direction| host.lines.get(descriptor.cast_unsigned(), endpoint_of(direction)).copied())
}

fn read(caller: &mut Caller<'_, Host>, descriptor: i32, address: u32, size: u32) -> Result<i32, Error> {
    enter(caller);
    charge(caller, DOMAIN_CALL_FUEL);
    let (mut memory, host) = GuestMemory::of(caller)?;
    memory.slice(address, size)?;
    let Some(OpenLine { line, .. }) = endpoint_at(host, descriptor) else { return Ok(REFUSED) };
    if size == 0 {
        return Ok(0);
    }
    let (status, level) = host.call_gpio(gpio::call(Procedure::Get, line));
    if status != Status::Ok {
        return Ok(REFUSED);
    }
    memory.write(address, &[u8::from(level != 0)])?;
    Ok(1)
}

fn write(caller: &mut Caller<'_, Host>, descriptor: i32, address: u32, size: u32) -> Result<i32, Error> {
    enter(caller);
    charge(caller, DOMAIN_CALL_FUEL);
    let (memory, host) = GuestMemory::of(caller)?;
    let last = memory.slice(address, size)?.last().copied();
    let output = host.lines.get(descriptor.cast_unsigned(), endpoint_of(Direction::Output));
    let Some(&OpenLine { line, .. }) = output else { return Ok(REFUSED) };
    // A line shows a level and keeps no history: of several bytes the last is what it is left at.
    let Some(level) = last else { return Ok(0) };
    let (status, _) = host.call_gpio(gpio::call_with(Procedure::Set, line, u64::from(level != 0)));
    Ok(if status == Status::Ok { i32::try_from(size).unwrap_or(i32::MAX) } else { REFUSED })
}

fn close(caller: &mut Caller<'_, Host>, descriptor: i32) -> i32 {
    enter(caller);
    charge(caller, DOMAIN_CALL_FUEL);
    let host = caller.data_mut();
    let Some(OpenLine { line, resource, .. }) = endpoint_at(host, descriptor) else { return REFUSED };
    let (status, _) = host.call_gpio(gpio::call(Procedure::Close, line));
    host.lines.remove(descriptor.cast_unsigned(), resource);
    if status == Status::Ok { 0 } else { REFUSED }
}
