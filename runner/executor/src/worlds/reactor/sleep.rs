//! `sleep`: the container is suspended until a time has come, and costs nothing meanwhile.

use runner_interfaces::{gpio::Status, kernel::Instant};
use wasmi::{Caller, Error, Linker};

use super::super::{Unknown, enter};
use crate::{
    host::Host,
    wait::{Wait, suspend},
};

pub(super) fn define(linker: &mut Linker<Host>, module: &str, name: &str) -> Result<(), Unknown> {
    match name {
        "sleep-for" => linker.func_wrap(module, name, sleep_for),
        "sleep-until" => linker.func_wrap(module, name, sleep_until),
        _ => return Err(Unknown),
    }?;
    Ok(())
}

pub(super) fn sleep_for(mut caller: Caller<'_, Host>, nanoseconds: u64) -> Result<u32, Error> {
    enter(&mut caller);
    if nanoseconds == 0 {
        return Ok(Status::Ok.to_wire());
    }
    let host = caller.data_mut();
    let until = host.now().saturating_add(nanoseconds);
    Ok(suspend(host, Wait::Sleep { until })?)
}

fn sleep_until(mut caller: Caller<'_, Host>, instant: u64) -> Result<u32, Error> {
    enter(&mut caller);
    let host = caller.data_mut();
    let until = Instant::from_nanoseconds(instant);
    if host.now() >= until {
        return Ok(Status::Ok.to_wire());
    }
    Ok(suspend(host, Wait::Sleep { until })?)
}
