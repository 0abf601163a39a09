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

/// Bytes that `random_get` fills at a time: some tens of microseconds of the generator.
const RANDOM_BYTES: u32 = 16 * 1024;

/// Random bytes made for one unit of fuel.
const RANDOM_BYTES_PER_FUEL: u64 = 64;

pub(super) fn proc_exit(mut caller: Caller<'_, Host>, code: u32) -> Result<(), Error> {
    enter(&mut caller);
    Err(Error::i32_exit(code.cast_signed()))
}

/// There are no signals.
pub(super) fn proc_raise(caller: Caller<'_, Host>, _signal: u32) -> Result<u32, Error> {
    serve_host(caller, |_| Err(Errno::NoSystemCall.into()))
}

pub(super) fn sched_yield(mut caller: Caller<'_, Host>) -> Result<u32, Error> {
    enter(&mut caller);
    Ok(suspend(caller.data_mut(), Wait::Yield)?)
}

pub(super) fn random_get(mut caller: Caller<'_, Host>, address: u32, length: u32) -> Result<u32, Error> {
    enter(&mut caller);
    charge(&mut caller, u64::from(length.min(RANDOM_BYTES)) / RANDOM_BYTES_PER_FUEL);
    let (mut memory, host) = GuestMemory::of(&mut caller)?;
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

pub(super) fn sock_accept(caller: Caller<'_, Host>, descriptor: u32, _flags: u32, _result: u32) -> Result<u32, Error> {
    no_socket(caller, descriptor)
}

pub(super) fn sock_recv(
    caller: Caller<'_, Host>,
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
    caller: Caller<'_, Host>,
    descriptor: u32,
    _vectors: u32,
    _count: u32,
    _flags: u32,
    _result: u32,
) -> Result<u32, Error> {
    no_socket(caller, descriptor)
}

pub(super) fn sock_shutdown(caller: Caller<'_, Host>, descriptor: u32, _how: u32) -> Result<u32, Error> {
    no_socket(caller, descriptor)
}

fn no_socket(caller: Caller<'_, Host>, descriptor: u32) -> Result<u32, Error> {
    serve_host(caller, |host| {
        host.descriptors.get(descriptor)?;
        Err(Errno::NotSocket.into())
    })
}
