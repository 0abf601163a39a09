//! Clocks. Realtime and monotonic both count from the node's start: a node has no wall clock.

use wasmi::{Caller, Error};

use super::errno::{Errno, serve};
use crate::host::Host;

/// `clockid`: 0 realtime, 1 monotonic. The processor-time clocks 2 and 3 are `ENOTSUP`.
const CLOCKS: core::ops::Range<u32> = 0..2;

/// The counter is read in nanoseconds, whatever steps it makes.
const CLOCK_RESOLUTION_NS: u64 = 1;

pub(super) fn check_clock(clock: u32) -> Result<(), Errno> {
    match clock {
        clock if CLOCKS.contains(&clock) => Ok(()),
        2 | 3 => Err(Errno::NotSupported),
        _ => Err(Errno::Invalid),
    }
}

pub(super) fn clock_res_get(caller: &mut Caller<'_, Host>, clock: u32, result: u32) -> Result<u32, Error> {
    serve(caller, |memory, _| {
        check_clock(clock)?;
        Ok(memory.write_u64(result, CLOCK_RESOLUTION_NS)?)
    })
}

pub(super) fn clock_time_get(
    caller: &mut Caller<'_, Host>,
    clock: u32,
    _precision: u64,
    result: u32,
) -> Result<u32, Error> {
    serve(caller, |memory, host| {
        check_clock(clock)?;
        Ok(memory.write_u64(result, host.now().nanoseconds())?)
    })
}
