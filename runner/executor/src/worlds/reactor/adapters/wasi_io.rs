//! `wasi:io/poll` 0.2: waits for what other interfaces made pollables of.

use wasmi::{Caller, Error, Linker};

use super::super::super::{Unknown, charge, enter, function};
use crate::{
    delivery::DELIVERY_FUEL,
    host::Host,
    memory::GuestMemory,
    pollables::{self, MAX_LIST, Poll},
    wait::{Wait, suspend},
};

/// Fuel of looking at a pollable of a list, twice at the most.
const FUEL_PER_POLLABLE: u64 = 12;

pub(super) fn define(linker: &mut Linker<Host>, module: &str, name: &str) -> Result<(), Unknown> {
    match name {
        "[method]pollable.ready" => function::define(linker, module, name, ready),
        "[method]pollable.block" => function::define(linker, module, name, block),
        "poll" => function::define(linker, module, name, poll),
        "[resource-drop]pollable" => function::define(linker, module, name, drop_pollable),
        _ => return Err(Unknown),
    }?;
    Ok(())
}

fn ready(caller: &mut Caller<'_, Host>, handle: u32) -> Result<u32, Error> {
    enter(caller);
    let host = caller.data();
    Ok(u32::from(host.pollable(handle)? <= host.now()))
}

fn block(caller: &mut Caller<'_, Host>, handle: u32) -> Result<(), Error> {
    enter(caller);
    let host = caller.data_mut();
    let until = host.pollable(handle)?;
    if until <= host.now() {
        return Ok(());
    }
    Ok(suspend(host, Wait::Delay { until })?)
}

fn poll(caller: &mut Caller<'_, Host>, list: u32, length: u32, result: u32) -> Result<(), Error> {
    enter(caller);
    charge(caller, DELIVERY_FUEL + FUEL_PER_POLLABLE * u64::from(length.min(MAX_LIST)));
    let poll = Poll { list, length, result };
    let (memory, host) = GuestMemory::of(caller)?;
    // That the answer has a place is seen to now, and not when the wait is over.
    let now = host.now();
    let until = poll.answer(&memory, host, now)?;
    let wait = if until <= now { Wait::Allocate } else { Wait::Pollables { poll, until } };
    Ok(suspend(host, wait)?)
}

fn drop_pollable(caller: &mut Caller<'_, Host>, handle: u32) -> Result<(), Error> {
    enter(caller);
    caller.data_mut().pollables.remove(handle).ok_or(pollables::no_such_handle(handle))?;
    Ok(())
}
