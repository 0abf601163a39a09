//! `i2c`: devices at the bus by their address, behind handles.
//!
//! Whether an address may be spoken to is not decided here: the `i2c` domain owns the bus and answers. What was read is kept
//! here, so that no call has to hand a list over.

use runner_interfaces::{
    gpio::Status,
    i2c::{Received, Transfer},
};
use wasmi::{Caller, Error, Linker};

use super::{
    super::{Unknown, charge, enter, function},
    opening,
};
use crate::{
    devices::{DEVICE, Device},
    host::{DOMAIN_CALL_FUEL, Host},
    memory::{Fault, GuestMemory},
};

pub(super) fn define(linker: &mut Linker<Host>, module: &str, name: &str) -> Result<(), Unknown> {
    match name {
        "open" => function::define(linker, module, name, open),
        "[method]device.write-u8" => function::define(linker, module, name, write_u8),
        "[method]device.write-u16-be" => function::define(linker, module, name, write_u16_be),
        "[method]device.send" => function::define(linker, module, name, send),
        "[method]device.read" => function::define(linker, module, name, read),
        "[method]device.receive" => function::define(linker, module, name, receive),
        "[method]device.value-u64" => function::define(linker, module, name, value_u64),
        "[method]device.value-word" => function::define(linker, module, name, value_word),
        "[resource-drop]device" => function::define(linker, module, name, drop_device),
        _ => return Err(Unknown),
    }?;
    Ok(())
}

fn no_such_handle(handle: u32) -> Fault {
    Fault::NoSuchHandle { resource: DEVICE, handle }
}

/// The lowest byte, as the canonical ABI lifts a `u8`.
fn byte(value: u32) -> u8 {
    value.to_le_bytes()[0]
}

/// Asks the device whether it is there, which it says only to who may speak to it.
fn open(caller: &mut Caller<'_, Host>, address: u32, result: u32) -> Result<(), Error> {
    enter(caller);
    charge(caller, DOMAIN_CALL_FUEL);
    let (mut memory, host) = GuestMemory::of(caller)?;
    opening::answer(&mut memory, result, || {
        if !host.devices.has_room() {
            return Err(host.counted(Status::Busy));
        }
        let address = byte(address);
        host.transfer(Transfer::new(address, &[], 0))?;
        host.devices.insert(Device::new(address)).ok_or(Status::Busy)
    })
}

/// A transfer with the device behind `handle`; what is read is kept with it.
fn transfer(caller: &mut Caller<'_, Host>, handle: u32, written: &[u8], length: u32) -> Result<u32, Error> {
    enter(caller);
    charge(caller, DOMAIN_CALL_FUEL);
    let host = caller.data_mut();
    let address = host.devices.get(handle).ok_or(no_such_handle(handle))?.address;
    let length = u8::try_from(length).unwrap_or(u8::MAX);
    let done = host.transfer(Transfer::new(address, written, length));
    if let Some(device) = host.devices.get_mut(handle) {
        match done {
            // A transfer that only writes leaves what was read.
            Ok(_) if length == 0 => {}
            Ok(received) => device.keep(received, length),
            Err(_) => device.keep(Received::default(), 0),
        }
    }
    Ok(done.err().unwrap_or(Status::Ok).to_wire())
}

fn write_u8(caller: &mut Caller<'_, Host>, handle: u32, register: u32, value: u32) -> Result<u32, Error> {
    transfer(caller, handle, &[byte(register), byte(value)], 0)
}

fn write_u16_be(caller: &mut Caller<'_, Host>, handle: u32, register: u32, value: u32) -> Result<u32, Error> {
    let [low, high, ..] = value.to_le_bytes();
    transfer(caller, handle, &[byte(register), high, low], 0)
}

fn send(caller: &mut Caller<'_, Host>, handle: u32, value: u64, length: u32) -> Result<u32, Error> {
    let bytes = value.to_be_bytes();
    let first = usize::try_from(length).ok().and_then(|length| bytes.len().checked_sub(length));
    match first.and_then(|first| bytes.get(first..)) {
        Some(written) => transfer(caller, handle, written, 0),
        None => {
            enter(caller);
            let host = caller.data_mut();
            host.devices.get(handle).ok_or(no_such_handle(handle))?;
            Ok(host.counted(Status::Invalid).to_wire())
        }
    }
}

fn read(caller: &mut Caller<'_, Host>, handle: u32, register: u32, length: u32) -> Result<u32, Error> {
    transfer(caller, handle, &[byte(register)], length)
}

fn receive(caller: &mut Caller<'_, Host>, handle: u32, length: u32) -> Result<u32, Error> {
    transfer(caller, handle, &[], length)
}

fn value_u64(caller: &mut Caller<'_, Host>, handle: u32) -> Result<u64, Error> {
    enter(caller);
    Ok(caller.data().devices.get(handle).ok_or(no_such_handle(handle))?.number())
}

fn value_word(caller: &mut Caller<'_, Host>, handle: u32, index: u32) -> Result<u64, Error> {
    enter(caller);
    Ok(caller.data().devices.get(handle).ok_or(no_such_handle(handle))?.word(index))
}

/// Nothing to give back: nobody owns a device.
fn drop_device(caller: &mut Caller<'_, Host>, handle: u32) -> Result<(), Error> {
    enter(caller);
    caller.data_mut().devices.remove(handle).ok_or(no_such_handle(handle))?;
    Ok(())
}
