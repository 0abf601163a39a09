//! Writing: to standard output and error, which are all that can be written to.

use runner_interfaces::output::{OUTPUT_PAYLOAD_BYTES, Stream};
use wasmi::{Caller, Error};

use super::{
    descriptors::{Target, right},
    errno::{Errno, Outcome, answer, serve_charged, serve_host},
    vectors::{Cursor, Vectors},
};
use crate::{
    host::Host,
    memory::{Fault, GuestMemory},
    wait::{Wait, suspend},
    worlds::log_fuel,
};

/// Records that one call writes at the most. A program asks again for what is left, and between the two its slice can end.
const WRITE_RECORDS: usize = 2;

/// The arguments of an `fd_write`, kept while it waits for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Write {
    stream: Stream,
    vectors: Vectors,
    result: u32,
}

pub(super) fn fd_write(
    caller: &mut Caller<'_, Host>,
    descriptor: u32,
    vectors: u32,
    count: u32,
    result: u32,
) -> Result<u32, Error> {
    serve_charged(caller, |memory, host| {
        let descriptor = host.descriptors.get(descriptor)?;
        let stream = match descriptor.target {
            Target::Output(stream) => stream,
            Target::Folder { .. } => return Err(Errno::IsFolder.into()),
            Target::Input | Target::File { .. } => return Err(Errno::NotCapable.into()),
        };
        descriptor.needs(right::FD_WRITE)?;
        write(memory, host, Write { stream, vectors: Vectors::new(vectors, count)?, result })
    })
}

/// Streams have no place to write at, and files are not written.
pub(super) fn fd_pwrite(
    caller: &mut Caller<'_, Host>,
    descriptor: u32,
    _vectors: u32,
    _count: u32,
    _offset: u64,
    _result: u32,
) -> Result<u32, Error> {
    serve_host(caller, |host| {
        host.descriptors.file(descriptor, 0)?;
        Err(Errno::NotCapable.into())
    })
}

/// Goes on with a write that waited.
pub(crate) fn continue_write(memory: &mut GuestMemory<'_>, host: &mut Host, waiting: Write) -> Result<u32, Fault> {
    answer(write(memory, host, waiting).map(|fuel| host.overdrawn_fuel += fuel))
}

/// Writes what there is room for, at least something, and no more than [`WRITE_RECORDS`]; answers how much fuel that was. It waits where
/// there is room for nothing.
fn write(memory: &mut GuestMemory<'_>, host: &mut Host, write: Write) -> Outcome<u64> {
    memory.slice(write.result, 4)?;
    let mut left = write.vectors.total_bytes(memory)?;
    if left == 0
        && let Some(vectors) = write.vectors.rest()?
    {
        host.overdrawn_fuel += write.vectors.fuel();
        return Ok(suspend(host, Wait::Write(Write { vectors, ..write }))?);
    }
    let now = host.now();
    let mut cursor = Cursor::default();
    let (mut written, mut records) = (0, 0);
    let mut payload = [0; OUTPUT_PAYLOAD_BYTES];
    for _ in 0..WRITE_RECORDS {
        if left == 0 {
            break;
        }
        let taken = cursor.gather(memory, write.vectors, &mut payload)?;
        let pushed = host.output.borrow_mut().push(now, write.stream, &payload[..taken as usize], taken < left);
        if !pushed {
            break;
        }
        records += 1;
        written += taken;
        left -= taken;
    }
    if written == 0 && left > 0 {
        return Ok(suspend(host, Wait::Room(write))?);
    }
    memory.write_u32(write.result, written)?;
    Ok(write.vectors.fuel() + records * log_fuel(OUTPUT_PAYLOAD_BYTES))
}
