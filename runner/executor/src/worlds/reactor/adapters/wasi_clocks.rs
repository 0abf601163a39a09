//! `wasi:clocks` 0.2: both clocks count from the node's start, since a node has no clock that knows the date.

use runner_interfaces::kernel::Instant;
use wasmi::{Caller, Error, Linker};

use super::super::super::{Unknown, enter, function};
use crate::{
    host::Host,
    memory::{Fault, GuestMemory, offset},
};

/// The counter is read in nanoseconds; no finer promise is made.
const RESOLUTION_NS: u64 = 1;

const NANOSECONDS_PER_SECOND: u64 = 1_000_000_000;

/// Alignment of `datetime`: seconds in 8 bytes, nanoseconds in 4.
const DATETIME_ALIGNMENT: u32 = 8;

pub(super) fn define(linker: &mut Linker<Host>, module: &str, interface: &str, name: &str) -> Result<(), Unknown> {
    match (interface, name) {
        ("monotonic-clock", "now") => function::define(linker, module, name, now),
        ("monotonic-clock", "resolution") => function::define(linker, module, name, resolution),
        ("monotonic-clock", "subscribe-instant") => function::define(linker, module, name, subscribe_instant),
        ("monotonic-clock", "subscribe-duration") => function::define(linker, module, name, subscribe_duration),
        ("wall-clock", "now") => function::define(linker, module, name, date),
        ("wall-clock", "resolution") => function::define(linker, module, name, date_resolution),
        _ => return Err(Unknown),
    }?;
    Ok(())
}

fn now(caller: &mut Caller<'_, Host>) -> u64 {
    enter(caller);
    caller.data().now().nanoseconds()
}

fn resolution(caller: &mut Caller<'_, Host>) -> u64 {
    enter(caller);
    RESOLUTION_NS
}

fn subscribe_instant(caller: &mut Caller<'_, Host>, when: u64) -> Result<u32, Error> {
    enter(caller);
    Ok(caller.data_mut().subscribe(Instant::from_nanoseconds(when))?)
}

fn subscribe_duration(caller: &mut Caller<'_, Host>, nanoseconds: u64) -> Result<u32, Error> {
    enter(caller);
    let host = caller.data_mut();
    let when = host.now().saturating_add(nanoseconds);
    Ok(host.subscribe(when)?)
}

fn date(caller: &mut Caller<'_, Host>, result: u32) -> Result<(), Error> {
    enter(caller);
    let now = caller.data().now().nanoseconds();
    answer(caller, result, now)
}

fn date_resolution(caller: &mut Caller<'_, Host>, result: u32) -> Result<(), Error> {
    enter(caller);
    answer(caller, result, RESOLUTION_NS)
}

fn answer(caller: &mut Caller<'_, Host>, result: u32, nanoseconds: u64) -> Result<(), Error> {
    if !result.is_multiple_of(DATETIME_ALIGNMENT) {
        return Err(Fault::Misaligned { address: result }.into());
    }
    let (mut memory, _) = GuestMemory::of(caller)?;
    let rest = u32::try_from(nanoseconds % NANOSECONDS_PER_SECOND).unwrap_or_default();
    memory.write_u32(offset(result, DATETIME_ALIGNMENT)?, rest)?;
    memory.write_u64(result, nanoseconds / NANOSECONDS_PER_SECOND)?;
    Ok(())
}
