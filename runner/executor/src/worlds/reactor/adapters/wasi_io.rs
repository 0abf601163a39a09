//! `wasi:io/poll` 0.2: waits for what other interfaces made pollables of.

use wasmi::{Caller, Error, Linker};

use super::super::super::{Unknown, charge, enter, function};
use crate::{
    host::Host,
    memory::GuestMemory,
    pollables::{self, Poll},
    wait::{Wait, suspend},
};

/// Fuel of looking through a list of pollables.
const POLL_FUEL: u64 = 60;

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
    charge(caller, POLL_FUEL);
    let poll = Poll { list, length, result };
    let (mut memory, host) = GuestMemory::of(caller)?;
    let until = poll.earliest(&memory, host)?;
    // That the answer has a place is seen to now, and not when the wait is over.
    let now = host.now();
    poll.answer(&mut memory, host, now)?;
    let wait = if until <= now { Wait::Allocate } else { Wait::Pollables { poll, until } };
    Ok(suspend(host, wait)?)
}

fn drop_pollable(caller: &mut Caller<'_, Host>, handle: u32) -> Result<(), Error> {
    enter(caller);
    caller.data_mut().pollables.remove(handle).ok_or(pollables::no_such_handle(handle))?;
    Ok(())
}
