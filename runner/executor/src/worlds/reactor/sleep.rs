//! `sleep`: the container is suspended until a time has come, and costs nothing meanwhile.

use runner_interfaces::{gpio::Status, kernel::Instant};
use wasmi::{Caller, Error, Linker};

use super::super::{Unknown, enter, function};
use crate::{
    host::Host,
    wait::{Wait, suspend},
};

pub(super) fn define(linker: &mut Linker<Host>, module: &str, name: &str) -> Result<(), Unknown> {
    match name {
        "sleep-for" => function::define(linker, module, name, sleep_for),
        "sleep-until" => function::define(linker, module, name, sleep_until),
        _ => return Err(Unknown),
    }?;
    Ok(())
}

pub(super) fn sleep_for(caller: &mut Caller<'_, Host>, nanoseconds: u64) -> Result<u32, Error> {
    enter(caller);
    if nanoseconds == 0 {
        return Ok(Status::Ok.to_wire());
    }
    let host = caller.data_mut();
    let until = host.now().saturating_add(nanoseconds);
    Ok(suspend(host, Wait::Sleep { until })?)
}

fn sleep_until(caller: &mut Caller<'_, Host>, instant: u64) -> Result<u32, Error> {
    enter(caller);
    let host = caller.data_mut();
    let until = Instant::from_nanoseconds(instant);
    if host.now() >= until {
        return Ok(Status::Ok.to_wire());
    }
    Ok(suspend(host, Wait::Sleep { until })?)
}
