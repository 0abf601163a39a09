//! The draft of 2024-03-19: `wit/i2c.wit` at b88f92c in WebAssembly/wasi-i2c, unchanged since, version 0.2.0-draft.
//!
//! The draft has no function that opens a bus: a host is to hand one to an export of its own choice. Here a container holds the
//! board's bus from the start, as handle [`BUS_HANDLE`]. `transaction` answers a list of lists and is not served, nor are
//! delays, which have no function to be got by either; a module that imports those is refused.

use runner_interfaces::{
    gpio::Status,
    i2c::{MAX_TRANSFER_BYTES, Received, Transfer},
};
use wasmi::{Caller, Error, Linker};

use super::super::{
    super::super::{Unknown, charge, enter, function},
    Draft,
};
use crate::{
    delivery,
    host::{DOMAIN_CALL_FUEL, Host},
    memory::{Fault, GuestMemory, offset},
};

pub(in super::super) const DRAFT: Draft =
    Draft { package: "wasi:i2c", version: "0.2.0-draft", functions: FUNCTIONS, define };

const FUNCTIONS: &[(&str, &str)] = &[
    ("i2c", "[method]i2c.read"),
    ("i2c", "[method]i2c.write"),
    ("i2c", "[method]i2c.write-read"),
    ("i2c", "[resource-drop]i2c"),
];

/// The one handle on the one bus.
const BUS_HANDLE: u32 = 1;

/// `result<list<u8>, error-code>`: where its payload lies and its alignment, and its bytes.
const LIST_PAYLOAD: u32 = 4;
const LIST_RESULT_BYTES: u32 = 12;

/// `result<_, error-code>`: likewise, of bytes only.
const PLAIN_PAYLOAD: u32 = 1;
const PLAIN_RESULT_BYTES: u32 = 3;

/// `error-code`, and the source of a `no-acknowledge`.
type ErrorCode = [u8; 2];
const BUS: ErrorCode = [0, 0];
const NO_ACKNOWLEDGE_OF_ADDRESS: ErrorCode = [2, 0];
const NO_ACKNOWLEDGE_OF_DATA: ErrorCode = [2, 1];
const OTHER: ErrorCode = [4, 0];

/// What the owner's refusal is called here: the draft has no word for a right that is missing.
fn error_code(status: Status) -> ErrorCode {
    match status {
        Status::NotFound => NO_ACKNOWLEDGE_OF_ADDRESS,
        Status::NotSupported => NO_ACKNOWLEDGE_OF_DATA,
        Status::Unavailable => BUS,
        _ => OTHER,
    }
}

fn define(linker: &mut Linker<Host>, module: &str, _interface: &str, name: &str) -> Result<(), Unknown> {
    match name {
        "[method]i2c.read" => function::define(linker, module, name, read),
        "[method]i2c.write" => function::define(linker, module, name, write),
        "[method]i2c.write-read" => function::define(linker, module, name, write_read),
        "[resource-drop]i2c" => function::define(linker, module, name, drop_bus),
        _ => return Err(Unknown),
    }?;
    Ok(())
}

fn read(caller: &mut Caller<'_, Host>, bus: u32, address: u32, length: u64, result: u32) -> Result<(), Error> {
    receive(caller, bus, address, [0, 0], length, result)
}

fn write_read(
    caller: &mut Caller<'_, Host>,
    bus: u32,
    address: u32,
    bytes: u32,
    count: u32,
    length: u64,
    result: u32,
) -> Result<(), Error> {
    receive(caller, bus, address, [bytes, count], length, result)
}

/// What answers a list: bytes, in room that the container makes, or an error.
fn receive(
    caller: &mut Caller<'_, Host>,
    bus: u32,
    address: u32,
    written: [u32; 2],
    length: u64,
    result: u32,
) -> Result<(), Error> {
    begin(caller, bus)?;
    let (mut memory, host) = GuestMemory::of(caller)?;
    if !result.is_multiple_of(LIST_PAYLOAD) {
        return Err(Fault::Misaligned { address: result }.into());
    }
    memory.slice(result, LIST_RESULT_BYTES)?;
    let payload = offset(result, LIST_PAYLOAD)?;
    let done = transfer(host, &memory, address, written, length)?;
    memory.write(result, &[u8::from(done.is_err())])?;
    match done {
        Ok(received) => {
            let read = usize::try_from(length).ok().and_then(|length| received.bytes.get(..length));
            Ok(delivery::answer_list(caller, payload, read.unwrap_or_default(), 1)?)
        }
        Err(error) => Ok(memory.write(payload, &error)?),
    }
}

fn write(
    caller: &mut Caller<'_, Host>,
    bus: u32,
    address: u32,
    bytes: u32,
    count: u32,
    result: u32,
) -> Result<(), Error> {
    begin(caller, bus)?;
    let (mut memory, host) = GuestMemory::of(caller)?;
    memory.slice(result, PLAIN_RESULT_BYTES)?;
    let done = transfer(host, &memory, address, [bytes, count], 0)?;
    memory.write(result, &[u8::from(done.is_err())])?;
    if let Err(error) = done {
        memory.write(offset(result, PLAIN_PAYLOAD)?, &error)?;
    }
    Ok(())
}

/// The bus is all that a container can hold of this draft.
fn begin(caller: &mut Caller<'_, Host>, bus: u32) -> Result<(), Fault> {
    enter(caller);
    charge(caller, DOMAIN_CALL_FUEL);
    if bus == BUS_HANDLE && caller.data().holds_bus { Ok(()) } else { Err(no_such_handle(bus)) }
}

fn no_such_handle(handle: u32) -> Fault {
    Fault::NoSuchHandle { resource: "i2c", handle }
}

/// The transfer, or what its failure is called; more bytes than a transfer takes are `other`, and an address of ten bits is one
/// that nobody acknowledges.
fn transfer(
    host: &mut Host,
    memory: &GuestMemory<'_>,
    address: u32,
    [bytes, count]: [u32; 2],
    length: u64,
) -> Result<Result<Received, ErrorCode>, Fault> {
    // What is too long for a transfer must lie in the memory all the same.
    let written = memory.slice(bytes, count)?;
    let [low, high, ..] = address.to_le_bytes();
    if high != 0 {
        host.counted(Status::NotFound);
        return Ok(Err(NO_ACKNOWLEDGE_OF_ADDRESS));
    }
    // Longer than any transfer, so that there is none.
    let length = u8::try_from(length).unwrap_or(u8::MAX);
    const { assert!(MAX_TRANSFER_BYTES < u8::MAX as usize) };
    Ok(host.transfer(Transfer::new(low, written, length)).map_err(error_code))
}

fn drop_bus(caller: &mut Caller<'_, Host>, bus: u32) -> Result<(), Error> {
    begin(caller, bus)?;
    caller.data_mut().holds_bus = false;
    Ok(())
}
