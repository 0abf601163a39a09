//! What a container may import: WASI preview 1, the reactor world, and TinyContainer's.
//!
//! All are offered to every module, so that a reactor built on a C or Rust standard library finds its `fd_write`. A host
//! function checks what the container handed it, asks the domain that owns the resource, and passes the answer on.

use wasmi::{Caller, Linker, errors::LinkerError};

use crate::host::{Host, LOCAL_CALL_FUEL};

pub(crate) use reactor::Drafts;

pub(crate) mod function;
mod lines;
pub(crate) mod reactor;
pub(crate) mod tiny;
pub(crate) mod wasi;

/// No world offers such a function.
pub(crate) struct Unknown;

impl From<LinkerError> for Unknown {
    /// The linker shadows and its names are the module's own, so that a definition is never refused.
    fn from(_: LinkerError) -> Self {
        Self
    }
}

/// Defines the function `module.name` in `linker`, for a module that speaks these drafts.
pub(crate) fn define(linker: &mut Linker<Host>, drafts: Drafts, module: &str, name: &str) -> Result<(), Unknown> {
    if module == wasi::MODULE {
        return wasi::define(linker, name);
    }
    if module == tiny::MODULE {
        return tiny::define(linker, name);
    }
    reactor::define(linker, drafts, module, name)
}

/// What every host function begins with: the call is counted and paid for.
pub(crate) fn enter(caller: &mut Caller<'_, Host>) {
    caller.data_mut().counters.host_calls += 1;
    charge(caller, LOCAL_CALL_FUEL);
}

/// Fuel of a log record of so many bytes, which are looked at and copied into the ring.
pub(crate) fn log_fuel(bytes: usize) -> u64 {
    /// Without its bytes.
    const RECORD_FUEL: u64 = 120;
    /// Looking whether they are text takes longest where they are not ASCII.
    const BYTES_PER_FUEL: u64 = 4;
    RECORD_FUEL + bytes as u64 / BYTES_PER_FUEL
}

/// Takes fuel for work that the interpreter does not see. Where there is not enough, the slice ends behind this call.
pub(crate) fn charge(caller: &mut Caller<'_, Host>, fuel: u64) {
    let left = caller.get_fuel().unwrap_or(0);
    // It fails only in an engine without metering, which this one is not.
    let _ = caller.set_fuel(left.saturating_sub(fuel));
    caller.data_mut().overdrawn_fuel += fuel.saturating_sub(left);
}
