//! The program itself: its end, its turns, its random numbers; and sockets, of which it has none.

use wasmi::{Caller, Error};

use super::{
    super::{charge, enter},
    errno::{Errno, serve_host},
};
use crate::{
    host::Host,
    memory::{Fault, GuestMemory},
    wait::{Wait, suspend},
};

/// Bytes that `random_get` fills at a time: a thousand instructions of the generator.
const RANDOM_BYTES: u32 = 1024;

/// Random bytes made for one unit of fuel.
const RANDOM_BYTES_PER_FUEL: u64 = 8;

pub(super) fn proc_exit(caller: &mut Caller<'_, Host>, code: u32) -> Result<(), Error> {
    enter(caller);
    Err(Error::i32_exit(code.cast_signed()))
}

/// There are no signals.
pub(super) fn proc_raise(caller: &mut Caller<'_, Host>, _signal: u32) -> Result<u32, Error> {
    serve_host(caller, |_| Err(Errno::NoSystemCall.into()))
}

pub(super) fn sched_yield(caller: &mut Caller<'_, Host>) -> Result<u32, Error> {
    enter(caller);
    Ok(suspend(caller.data_mut(), Wait::Yield)?)
}

pub(super) fn random_get(caller: &mut Caller<'_, Host>, address: u32, length: u32) -> Result<u32, Error> {
    enter(caller);
    charge(caller, u64::from(length) / RANDOM_BYTES_PER_FUEL);
    let (mut memory, host) = GuestMemory::of(caller)?;
    Ok(fill_random(&mut memory, host, address, length)?)
}

/// Fills a part; what is left is filled in slices to come.
pub(crate) fn fill_random(
    memory: &mut GuestMemory<'_>,
    host: &mut Host,
    address: u32,
    length: u32,
) -> Result<u32, Fault> {
    let whole = memory.slice_mut(address, length)?;
    let part = length.min(RANDOM_BYTES);
    host.random.fill(&mut whole[..part as usize]);
    if part == length {
        return Ok(Errno::Success.into());
    }
    suspend(host, Wait::Random { address: address + part, length: length - part })
}

pub(super) fn sock_accept(
    caller: &mut Caller<'_, Host>,
    descriptor: u32,
    _flags: u32,
    _result: u32,
) -> Result<u32, Error> {
    no_socket(caller, descriptor)
}

pub(super) fn sock_recv(
    caller: &mut Caller<'_, Host>,
    descriptor: u32,
    _vectors: u32,
    _count: u32,
    _flags: u32,
    _read: u32,
    _flags_read: u32,
) -> Result<u32, Error> {
    no_socket(caller, descriptor)
}

pub(super) fn sock_send(
    caller: &mut Caller<'_, Host>,
    descriptor: u32,
    _vectors: u32,
    _count: u32,
    _flags: u32,
    _result: u32,
) -> Result<u32, Error> {
    no_socket(caller, descriptor)
}

pub(super) fn sock_shutdown(caller: &mut Caller<'_, Host>, descriptor: u32, _how: u32) -> Result<u32, Error> {
    no_socket(caller, descriptor)
}

fn no_socket(caller: &mut Caller<'_, Host>, descriptor: u32) -> Result<u32, Error> {
    serve_host(caller, |host| {
        host.descriptors.get(descriptor)?;
        Err(Errno::NotSocket.into())
    })
}
