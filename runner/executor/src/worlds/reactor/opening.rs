//! What opens something by its name: a string goes in, `result<handle, status>` comes out.

use runner_interfaces::gpio::Status;
use wasmi::{Caller, Error};

use crate::{
    host::Host,
    memory::{Fault, GuestMemory, offset},
};

/// Where the payload of `result<handle, status>` lies.
const PAYLOAD_OFFSET: u32 = 4;

/// Alignment of that result.
const RESULT_ALIGNMENT: u32 = 4;

/// Opens by `opener` what the text of `length` bytes at `name` names; the result comes to lie at `result`.
pub(super) fn open(
    caller: &mut Caller<'_, Host>,
    [name, length, result]: [u32; 3],
    opener: impl FnOnce(&mut Host, &[u8]) -> Result<u32, Status>,
) -> Result<(), Error> {
    let (mut memory, host) = GuestMemory::of(caller)?;
    check(&memory, result)?;
    let opened = opener(host, memory.slice(name, length)?);
    write(&mut memory, result, opened)
}

/// The same for what has no text as its name.
pub(super) fn answer(
    memory: &mut GuestMemory<'_>,
    result: u32,
    opener: impl FnOnce() -> Result<u32, Status>,
) -> Result<(), Error> {
    check(memory, result)?;
    write(memory, result, opener())
}

fn check(memory: &GuestMemory<'_>, result: u32) -> Result<(), Fault> {
    // Before anything is opened: a result that cannot be told must not leave something open.
    if !result.is_multiple_of(RESULT_ALIGNMENT) {
        return Err(Fault::Misaligned { address: result });
    }
    memory.slice(result, 2 * PAYLOAD_OFFSET).map(|_| ())
}

fn write(memory: &mut GuestMemory<'_>, result: u32, opened: Result<u32, Status>) -> Result<(), Error> {
    let payload = offset(result, PAYLOAD_OFFSET)?;
    match opened {
        Ok(handle) => {
            memory.write(result, &[0])?;
            memory.write_u32(payload, handle)?;
        }
        Err(status) => {
            memory.write(result, &[1])?;
            memory.write(payload, &status.to_wire().to_le_bytes()[..1])?;
        }
    }
    Ok(())
}
