//! How a call of WASI ends: error numbers, and what is neither an answer nor an error number.

use wasmi::{Caller, Error};

use super::super::{charge, enter};
use crate::{
    files::Astray,
    host::Host,
    memory::{Fault, GuestMemory},
};

/// Error numbers (`errno`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Errno {
    Success = 0,
    BadDescriptor = 8,
    Exists = 20,
    IllegalBytes = 25,
    Invalid = 28,
    Io = 29,
    IsFolder = 31,
    TooManyOpen = 33,
    NameTooLong = 37,
    NoEntry = 44,
    NoSystemCall = 52,
    NotFolder = 54,
    NotSocket = 57,
    NotSupported = 58,
    ReadOnly = 69,
    Seek = 70,
    NotCapable = 76,
}

impl From<Errno> for u32 {
    fn from(errno: Errno) -> Self {
        errno as Self
    }
}

impl From<Astray> for Errno {
    fn from(astray: Astray) -> Self {
        match astray {
            Astray::Missing => Self::NoEntry,
            Astray::NotAFolder => Self::NotFolder,
            Astray::Escape => Self::NotCapable,
        }
    }
}

/// Why a call does not succeed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The container is told.
    Errno(Errno),
    /// It waits, or traps.
    Fault(Fault),
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Astray> for Refusal {
    fn from(astray: Astray) -> Self {
        Self::Errno(astray.into())
    }
}

pub(super) type Outcome<T = ()> = Result<T, Refusal>;

/// Fuel for each byte of a path. The costliest go down and up again (`a/../a/../`): a name for five bytes, which three searches among 64
/// paths look for.
const FUEL_PER_PATH_BYTE: u64 = 28;

/// What the container gets for an outcome.
pub(super) fn answer(outcome: Outcome) -> Result<u32, Fault> {
    match outcome {
        Ok(()) => Ok(Errno::Success.into()),
        Err(Refusal::Errno(errno)) => Ok(errno.into()),
        Err(Refusal::Fault(fault)) => Err(fault),
    }
}

/// A call that needs the container's memory.
pub(super) fn serve(
    caller: &mut Caller<'_, Host>,
    call: impl FnOnce(&mut GuestMemory<'_>, &mut Host) -> Outcome,
) -> Result<u32, Error> {
    enter(caller);
    let (mut memory, host) = GuestMemory::of(caller)?;
    Ok(answer(call(&mut memory, host))?)
}

/// A call whose work shows when it is done: its outcome says how much fuel that was.
pub(super) fn serve_charged(
    caller: &mut Caller<'_, Host>,
    call: impl FnOnce(&mut GuestMemory<'_>, &mut Host) -> Outcome<u64>,
) -> Result<u32, Error> {
    enter(caller);
    let (mut memory, host) = GuestMemory::of(caller)?;
    let outcome = call(&mut memory, host);
    charge(caller, outcome.unwrap_or(0));
    Ok(answer(outcome.map(drop))?)
}

/// A call that takes as long as paths, folders or lists are: `fuel`, as far as it is known before. A job that a cell holds to its
/// budget makes none.
pub(super) fn serve_at_length(
    caller: &mut Caller<'_, Host>,
    fuel: u64,
    call: impl FnOnce(&mut GuestMemory<'_>, &mut Host) -> Outcome<u64>,
) -> Result<u32, Error> {
    if caller.data().is_held_to_a_budget() {
        return serve_host(caller, |_| Err(Errno::NotSupported.into()));
    }
    charge(caller, fuel);
    serve_charged(caller, call)
}

/// A call with paths of `length` bytes together.
pub(super) fn serve_path(
    caller: &mut Caller<'_, Host>,
    length: u32,
    call: impl FnOnce(&mut GuestMemory<'_>, &mut Host) -> Outcome,
) -> Result<u32, Error> {
    let fuel = FUEL_PER_PATH_BYTE * u64::from(length.min(2 * super::path::MAX_PATH_BYTES));
    serve_at_length(caller, fuel, |memory, host| call(memory, host).map(|()| 0))
}

/// A call that only looks at the host.
pub(super) fn serve_host(caller: &mut Caller<'_, Host>, call: impl FnOnce(&mut Host) -> Outcome) -> Result<u32, Error> {
    enter(caller);
    Ok(answer(call(caller.data_mut()))?)
}
