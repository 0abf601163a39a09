//! `timer`: sleeps, the container's own timers, and the wait for what happens.
//!
//! A call that waits suspends the container and returns to the cell; whether a timer may be armed, and how often it may expire, the
//! `timer` domain decides.

use runner_interfaces::{gpio::Status, timer};
use wasmi::{Caller, Error, Linker};

use super::{
    super::{Unknown, charge, enter, function},
    sleep::sleep_for,
};
use crate::{
    host::{DOMAIN_CALL_FUEL, Host},
    wait::begin_wait,
};

pub(super) fn define(linker: &mut Linker<Host>, module: &str, name: &str) -> Result<(), Unknown> {
    match name {
        "sleep" => function::define(linker, module, name, sleep_for),
        "arm" => function::define(linker, module, name, arm),
        "disarm" => function::define(linker, module, name, disarm),
        "wait" => function::define(linker, module, name, wait),
        _ => return Err(Unknown),
    }?;
    Ok(())
}

/// A number that the container may use.
fn container_timer(number: u32) -> Option<u8> {
    u8::try_from(number).ok().filter(|number| timer::CONTAINER_TIMERS.contains(number))
}

fn arm(caller: &mut Caller<'_, Host>, number: u32, first: u64, period: u64) -> u32 {
    enter(caller);
    charge(caller, DOMAIN_CALL_FUEL);
    let host = caller.data_mut();
    let status = match container_timer(number) {
        Some(number) => {
            let first = host.now().saturating_add(first);
            host.arm_timer(number, first, period)
        }
        None => host.counted(Status::NotFound),
    };
    status.to_wire()
}

fn disarm(caller: &mut Caller<'_, Host>, number: u32) -> u32 {
    enter(caller);
    charge(caller, DOMAIN_CALL_FUEL);
    let host = caller.data_mut();
    let status = match container_timer(number) {
        Some(number) => host.disarm_timer(number),
        None => host.counted(Status::NotFound),
    };
    status.to_wire()
}

/// A mask that names no event waits until the container is stopped.
fn wait(caller: &mut Caller<'_, Host>, mask: u32) -> Result<u32, Error> {
    enter(caller);
    let host = caller.data_mut();
    Ok(begin_wait(host, mask)?)
}
