//! Reading files, and what else can be done with an open one.

use wasmi::{Caller, Error};

use super::{
    descriptors::{Target, right},
    errno::{Errno, Outcome, answer, serve, serve_charged, serve_host},
    vectors::Vectors,
};
use crate::{
    engine::copy_fuel,
    host::Host,
    memory::{Fault, GuestMemory, length_u32},
    wait::{Wait, suspend},
};

/// Bytes of a file that are copied at a time: some microseconds' work, as a slice's bulk copies are. What is left of a
/// longer read is copied in slices to come, so that a program gets all that it asked for, as from a disk.
const READ_BYTES: usize = 4096;

/// `whence`.
const FROM_START: u32 = 0;
const FROM_HERE: u32 = 1;
const FROM_END: u32 = 2;

/// `advice`: normal, sequential, random, will need, don't need, no reuse. All change nothing.
const KNOWN_ADVICE: core::ops::Range<u32> = 0..6;

/// `fstflags`: access time and modification time, each as told or now.
const ACCESS_TIME: u32 = 0b0011;
const CHANGE_TIME: u32 = 0b1100;

/// A read of a file, kept while it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    file: u8,
    /// Where in the file it begins.
    begin: u64,
    vectors: Vectors,
    result: u32,
    /// What was copied in slices before this one.
    done: u32,
    /// The descriptor whose position moves behind what was read.
    moves: Option<u32>,
}

pub(super) fn fd_read(
    caller: &mut Caller<'_, Host>,
    descriptor: u32,
    vectors: u32,
    count: u32,
    result: u32,
) -> Result<u32, Error> {
    serve_charged(caller, |memory, host| {
        let source = *host.descriptors.get(descriptor)?;
        let (file, begin) = match source.target {
            Target::File { file, position } => (Some(file), position),
            Target::Folder { .. } => return Err(Errno::IsFolder.into()),
            Target::Input | Target::Output(_) => (None, 0),
        };
        source.needs(right::FD_READ)?;
        let vectors = Vectors::new(vectors, count)?;
        match file {
            Some(file) => read(memory, host, Read { file, begin, vectors, result, done: 0, moves: Some(descriptor) }),
            None => {
                // Standard input. Nothing will be written there, but a program that says otherwise is wrong.
                vectors.total_bytes(memory)?;
                memory.write_u32(result, 0)?;
                Ok(vectors.fuel())
            }
        }
    })
}

pub(super) fn fd_pread(
    caller: &mut Caller<'_, Host>,
    descriptor: u32,
    vectors: u32,
    count: u32,
    begin: u64,
    result: u32,
) -> Result<u32, Error> {
    serve_charged(caller, |memory, host| {
        let (file, _) = host.descriptors.file(descriptor, right::FD_READ | right::FD_SEEK)?;
        let vectors = Vectors::new(vectors, count)?;
        read(memory, host, Read { file, begin, vectors, result, done: 0, moves: None })
    })
}

/// Goes on with a long read.
pub(crate) fn continue_read(memory: &mut GuestMemory<'_>, host: &mut Host, going: Read) -> Result<u32, Fault> {
    answer(read(memory, host, going).map(|fuel| host.overdrawn_fuel += fuel))
}

/// Copies a part; what is left is copied in slices to come. Answers how much fuel that was.
fn read(memory: &mut GuestMemory<'_>, host: &mut Host, read: Read) -> Outcome<u64> {
    memory.slice(read.result, 4)?;
    let total = read.vectors.total_bytes(memory)?;
    if total == 0
        && let Some(vectors) = read.vectors.rest()?
    {
        host.overdrawn_fuel += read.vectors.fuel();
        return Ok(suspend(host, Wait::Read(Read { vectors, ..read }))?);
    }
    let room = total.saturating_sub(read.done) as usize;
    let begin = usize::try_from(read.begin).unwrap_or(usize::MAX).saturating_add(read.done as usize);
    let left = host.files.content(read.file).get(begin..).unwrap_or_default();
    let wanted = room.min(left.len());
    let part = wanted.min(READ_BYTES);
    read.vectors.scatter(memory, read.done, &left[..part])?;
    let done = read.done + length_u32(part);
    if part < wanted {
        host.overdrawn_fuel += copy_fuel(length_u32(part));
        return Ok(suspend(host, Wait::Read(Read { done, ..read }))?);
    }
    if let Some(descriptor) = read.moves
        && let Ok((_, position)) = host.descriptors.file(descriptor, 0)
    {
        *position = read.begin.saturating_add(u64::from(done));
    }
    memory.write_u32(read.result, done)?;
    Ok(read.vectors.fuel() + copy_fuel(length_u32(part)))
}

pub(super) fn fd_seek(
    caller: &mut Caller<'_, Host>,
    descriptor: u32,
    distance: i64,
    whence: u32,
    result: u32,
) -> Result<u32, Error> {
    serve(caller, |memory, host| {
        let tells = distance == 0 && whence == FROM_HERE;
        let (file, position) = seekable(host, descriptor, tells)?;
        let from = match whence {
            FROM_START => 0,
            FROM_HERE => position,
            FROM_END => host.files.content(file).len() as u64,
            _ => return Err(Errno::Invalid.into()),
        };
        // A file may be read behind its end, where nothing is; not before its start, nor where no signed number goes.
        let moved = from.checked_add_signed(distance).filter(|moved| i64::try_from(*moved).is_ok());
        let moved = moved.ok_or(Errno::Invalid)?;
        memory.write_u64(result, moved)?;
        *host.descriptors.file(descriptor, 0)?.1 = moved;
        Ok(())
    })
}

pub(super) fn fd_tell(caller: &mut Caller<'_, Host>, descriptor: u32, result: u32) -> Result<u32, Error> {
    serve(caller, |memory, host| {
        let (_, position) = seekable(host, descriptor, true)?;
        Ok(memory.write_u64(result, position)?)
    })
}

/// A file and its position. The right to seek is one to tell, too.
fn seekable(host: &mut Host, descriptor: u32, tells: bool) -> Outcome<(u8, u64)> {
    let (file, position) = host.descriptors.file(descriptor, 0)?;
    let found = (file, *position);
    let opened = host.descriptors.get(descriptor)?;
    match opened.needs(right::FD_SEEK) {
        Err(_) if tells => opened.needs(right::FD_TELL)?,
        allowed => allowed?,
    }
    Ok(found)
}

pub(super) fn fd_advise(
    caller: &mut Caller<'_, Host>,
    descriptor: u32,
    _offset: u64,
    _length: u64,
    advice: u32,
) -> Result<u32, Error> {
    serve_host(caller, |host| {
        host.descriptors.file(descriptor, right::FD_ADVISE)?;
        if KNOWN_ADVICE.contains(&advice) { Ok(()) } else { Err(Errno::Invalid.into()) }
    })
}

pub(super) fn fd_sync(caller: &mut Caller<'_, Host>, descriptor: u32) -> Result<u32, Error> {
    serve_host(caller, |host| synchronised(host, descriptor, right::FD_SYNC))
}

pub(super) fn fd_datasync(caller: &mut Caller<'_, Host>, descriptor: u32) -> Result<u32, Error> {
    serve_host(caller, |host| synchronised(host, descriptor, right::FD_DATASYNC))
}

/// What cannot be written is always in step with what was written.
fn synchronised(host: &mut Host, descriptor: u32, rights: u64) -> Outcome {
    let descriptor = host.descriptors.get(descriptor)?;
    match descriptor.target {
        Target::Input | Target::Output(_) => Err(Errno::Invalid.into()),
        Target::Folder { .. } | Target::File { .. } => Ok(descriptor.needs(rights)?),
    }
}

pub(super) fn fd_allocate(
    caller: &mut Caller<'_, Host>,
    descriptor: u32,
    _at: u64,
    _length: u64,
) -> Result<u32, Error> {
    unwritable(caller, descriptor)
}

pub(super) fn fd_filestat_set_size(caller: &mut Caller<'_, Host>, descriptor: u32, _size: u64) -> Result<u32, Error> {
    unwritable(caller, descriptor)
}

/// No descriptor has the rights for these.
fn unwritable(caller: &mut Caller<'_, Host>, descriptor: u32) -> Result<u32, Error> {
    serve_host(caller, |host| match host.descriptors.get(descriptor)?.target {
        Target::Folder { .. } => Err(Errno::IsFolder.into()),
        _ => Err(Errno::NotCapable.into()),
    })
}

pub(super) fn fd_filestat_set_times(
    caller: &mut Caller<'_, Host>,
    descriptor: u32,
    _accessed: u64,
    _changed: u64,
    flags: u32,
) -> Result<u32, Error> {
    serve_host(caller, |host| {
        let descriptor = *host.descriptors.get(descriptor)?;
        check_time_flags(flags)?;
        match descriptor.target {
            Target::Input | Target::Output(_) => Err(Errno::NotCapable.into()),
            Target::Folder { .. } | Target::File { .. } => Err(Errno::ReadOnly.into()),
        }
    })
}

/// A time cannot be both as told and now.
pub(super) fn check_time_flags(flags: u32) -> Result<(), Errno> {
    let both = |time| flags & time == time;
    if flags & !(ACCESS_TIME | CHANGE_TIME) != 0 || both(ACCESS_TIME) || both(CHANGE_TIME) {
        return Err(Errno::Invalid);
    }
    Ok(())
}
