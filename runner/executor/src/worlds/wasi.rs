//! WASI preview 1, as far as a cell has it.
//!
//! | what | here |
//! |---|---|
//! | arguments, environment | from the configuration; the container's name is argument 0 |
//! | descriptors | 0 (always at its end), 1 and 2 (to the output ring); no directories |
//! | clocks | realtime and monotonic both count from the node's start: a node has no wall clock |
//! | `random_get` | seeded by the node's counter: reproducible, no secret, not for keys |
//! | `poll_oneoff` | clocks, and the standard streams, which are always ready |
//! | the rest | linked, and answers `ENOSYS` |
//!
//! Numbers and layouts are those of the specification (WebAssembly/WASI, legacy/preview1/docs.md). Pointers outside the
//! memory trap; everything else that is wrong is an error number.

use alloc::vec::Vec;

use runner_interfaces::{
    kernel::Instant,
    output::{OUTPUT_PAYLOAD_BYTES, Stream},
};
use wasmi::{Caller, Error, FuncType, Linker, Val, ValType};

use super::{Unknown, charge, enter};
use crate::{
    host::Host,
    memory::{Fault, GuestMemory, length_u32, offset},
    wait::{Wait, suspend},
};

/// The module that its functions are imported from.
pub(crate) const MODULE: &str = "wasi_snapshot_preview1";

/// Error numbers (`errno`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Errno {
    Success = 0,
    BadDescriptor = 8,
    Invalid = 28,
    Io = 29,
    NoSystemCall = 52,
    NotSupported = 58,
    Seek = 70,
}

impl From<Errno> for u32 {
    fn from(errno: Errno) -> Self {
        errno as Self
    }
}

const STDIN: u32 = 0;
const STDOUT: u32 = 1;
const STDERR: u32 = 2;

/// `clockid`: 0 realtime, 1 monotonic. The processor-time clocks 2 and 3 are `ENOTSUP`.
const CLOCKS: core::ops::Range<u32> = 0..2;

/// The counter is read in nanoseconds, whatever steps it makes.
const CLOCK_RESOLUTION_NS: u64 = 1;

/// `filetype`: a character device, which is what a C library takes for a terminal, so that it flushes each line.
const CHARACTER_DEVICE: u8 = 2;

/// Bytes of `fdstat`.
const FDSTAT_BYTES: usize = 24;

/// `rights`: read, write, poll.
const RIGHT_READ: u64 = 1 << 1;
const RIGHT_WRITE: u64 = 1 << 6;
const RIGHT_POLL: u64 = 1 << 27;

/// `fdflags`: append, dsync, nonblock, rsync, sync.
const KNOWN_FLAGS: u32 = 0b1_1111;

/// Vectors of one `fd_write` or `fd_read`: POSIX' usual `IOV_MAX`.
const MAX_VECTORS: u32 = 1024;

/// Bytes of one vector: address and length.
const VECTOR_BYTES: u32 = 8;

/// Subscriptions of one `poll_oneoff`. They are looked at one by one whenever the wait is looked at.
const MAX_SUBSCRIPTIONS: u32 = 256;

/// Bytes of `subscription` and `event`.
const SUBSCRIPTION_BYTES: u32 = 48;
const EVENT_BYTES: u32 = 32;

/// `eventtype`.
const EVENT_CLOCK: u8 = 0;
const EVENT_READ: u8 = 1;
const EVENT_WRITE: u8 = 2;

/// `subclockflags`: the timeout is a point in time.
const CLOCK_ABSOLUTE: u16 = 1;

/// Bytes that `random_get` fills at a time: some tens of microseconds of the generator.
const RANDOM_BYTES: u32 = 16 * 1024;

/// Bytes copied for one unit of fuel, the rate at which `wasmi` charges bulk operations.
const BYTES_PER_FUEL: u64 = 64;

/// The functions of the specification that answer `ENOSYS`, with their parameters (`i`: i32, `I`: i64). All answer an i32.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("fd_advise", "iIIi"),
    ("fd_allocate", "iII"),
    ("fd_datasync", "i"),
    ("fd_fdstat_set_rights", "iII"),
    ("fd_filestat_get", "ii"),
    ("fd_filestat_set_size", "iI"),
    ("fd_filestat_set_times", "iIIi"),
    ("fd_pread", "iiiIi"),
    ("fd_pwrite", "iiiIi"),
    ("fd_readdir", "iiiIi"),
    ("fd_renumber", "ii"),
    ("fd_sync", "i"),
    ("fd_tell", "ii"),
    ("path_create_directory", "iii"),
    ("path_filestat_get", "iiiii"),
    ("path_filestat_set_times", "iiiiIIi"),
    ("path_link", "iiiiiii"),
    ("path_open", "iiiiiIIii"),
    ("path_readlink", "iiiiii"),
    ("path_remove_directory", "iii"),
    ("path_rename", "iiiiii"),
    ("path_symlink", "iiiii"),
    ("path_unlink_file", "iii"),
    ("proc_raise", "i"),
    ("sock_accept", "iii"),
    ("sock_recv", "iiiiii"),
    ("sock_send", "iiiii"),
    ("sock_shutdown", "ii"),
];

pub(super) fn define(linker: &mut Linker<Host>, name: &str) -> Result<(), Unknown> {
    match name {
        "args_get" => linker.func_wrap(MODULE, name, args_get),
        "args_sizes_get" => linker.func_wrap(MODULE, name, args_sizes_get),
        "environ_get" => linker.func_wrap(MODULE, name, environ_get),
        "environ_sizes_get" => linker.func_wrap(MODULE, name, environ_sizes_get),
        "clock_res_get" => linker.func_wrap(MODULE, name, clock_res_get),
        "clock_time_get" => linker.func_wrap(MODULE, name, clock_time_get),
        "fd_close" => linker.func_wrap(MODULE, name, fd_close),
        "fd_fdstat_get" => linker.func_wrap(MODULE, name, fd_fdstat_get),
        "fd_fdstat_set_flags" => linker.func_wrap(MODULE, name, fd_fdstat_set_flags),
        "fd_prestat_get" => linker.func_wrap(MODULE, name, fd_prestat_get),
        "fd_prestat_dir_name" => linker.func_wrap(MODULE, name, fd_prestat_dir_name),
        "fd_read" => linker.func_wrap(MODULE, name, fd_read),
        "fd_seek" => linker.func_wrap(MODULE, name, fd_seek),
        "fd_write" => linker.func_wrap(MODULE, name, fd_write),
        "poll_oneoff" => linker.func_wrap(MODULE, name, poll_oneoff),
        "proc_exit" => linker.func_wrap(MODULE, name, proc_exit),
        "random_get" => linker.func_wrap(MODULE, name, random_get),
        "sched_yield" => linker.func_wrap(MODULE, name, sched_yield),
        _ => return define_unsupported(linker, name),
    }?;
    Ok(())
}

fn define_unsupported(linker: &mut Linker<Host>, name: &str) -> Result<(), Unknown> {
    let (_, parameters) = UNSUPPORTED.iter().find(|(known, _)| *known == name).ok_or(Unknown)?;
    let parameters: Vec<ValType> =
        parameters.bytes().map(|letter| if letter == b'I' { ValType::I64 } else { ValType::I32 }).collect();
    linker.func_new(MODULE, name, FuncType::new(parameters, [ValType::I32]), |mut caller, _, results| {
        enter(&mut caller);
        results[0] = Val::I32(Errno::NoSystemCall as i32);
        Ok(())
    })?;
    Ok(())
}

/// `Ok` for a descriptor that the container has and did not close.
fn check_open(host: &Host, descriptor: u32) -> Result<(), Errno> {
    if descriptor <= STDERR && host.open_streams & (1 << descriptor) != 0 { Ok(()) } else { Err(Errno::BadDescriptor) }
}

/// Strings as arguments and environment have them: an array of addresses, and the texts, each with a zero behind it.
fn write_strings<'s>(
    memory: &mut GuestMemory<'_>,
    mut array: u32,
    mut text: u32,
    strings: impl Iterator<Item = [&'s str; 3]>,
) -> Result<(), Fault> {
    for parts in strings {
        memory.write_u32(array, text)?;
        array = offset(array, 4)?;
        for bytes in parts.map(str::as_bytes).into_iter().chain([&[0][..]]) {
            memory.write(text, bytes)?;
            text = offset(text, length_u32(bytes.len()))?;
        }
    }
    Ok(())
}

/// How many strings there are and how many bytes they take.
fn sizes<'s>(strings: impl Iterator<Item = [&'s str; 3]>) -> (u32, u32) {
    strings.fold((0, 0), |(count, bytes), parts| {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        (count + 1, bytes + length_u32(length) + 1)
    })
}

fn arguments(host: &Host) -> impl Iterator<Item = [&str; 3]> {
    let configuration = &host.configuration;
    core::iter::once(&configuration.name).chain(&configuration.arguments).map(|text| [text, "", ""])
}

fn environment(host: &Host) -> impl Iterator<Item = [&str; 3]> {
    host.configuration.environment.iter().map(|(name, value)| [name, "=", value])
}

fn args_sizes_get(mut caller: Caller<'_, Host>, count: u32, bytes: u32) -> Result<u32, Error> {
    enter(&mut caller);
    let (mut memory, host) = GuestMemory::of(&mut caller)?;
    write_sizes(&mut memory, count, bytes, sizes(arguments(host)))
}

fn environ_sizes_get(mut caller: Caller<'_, Host>, count: u32, bytes: u32) -> Result<u32, Error> {
    enter(&mut caller);
    let (mut memory, host) = GuestMemory::of(&mut caller)?;
    write_sizes(&mut memory, count, bytes, sizes(environment(host)))
}

fn write_sizes(memory: &mut GuestMemory<'_>, count: u32, bytes: u32, sizes: (u32, u32)) -> Result<u32, Error> {
    memory.write_u32(count, sizes.0)?;
    memory.write_u32(bytes, sizes.1)?;
    Ok(Errno::Success.into())
}

fn args_get(mut caller: Caller<'_, Host>, array: u32, text: u32) -> Result<u32, Error> {
    enter(&mut caller);
    let (mut memory, host) = GuestMemory::of(&mut caller)?;
    write_strings(&mut memory, array, text, arguments(host))?;
    Ok(Errno::Success.into())
}

fn environ_get(mut caller: Caller<'_, Host>, array: u32, text: u32) -> Result<u32, Error> {
    enter(&mut caller);
    let (mut memory, host) = GuestMemory::of(&mut caller)?;
    write_strings(&mut memory, array, text, environment(host))?;
    Ok(Errno::Success.into())
}

fn check_clock(clock: u32) -> Result<(), Errno> {
    match clock {
        clock if CLOCKS.contains(&clock) => Ok(()),
        2 | 3 => Err(Errno::NotSupported),
        _ => Err(Errno::Invalid),
    }
}

fn clock_res_get(mut caller: Caller<'_, Host>, clock: u32, result: u32) -> Result<u32, Error> {
    enter(&mut caller);
    write_time(&mut caller, clock, result, |_| CLOCK_RESOLUTION_NS)
}

fn clock_time_get(mut caller: Caller<'_, Host>, clock: u32, _precision: u64, result: u32) -> Result<u32, Error> {
    enter(&mut caller);
    write_time(&mut caller, clock, result, |host| host.now().nanoseconds())
}

fn write_time(
    caller: &mut Caller<'_, Host>,
    clock: u32,
    result: u32,
    time: impl FnOnce(&Host) -> u64,
) -> Result<u32, Error> {
    if let Err(errno) = check_clock(clock) {
        return Ok(errno.into());
    }
    let (mut memory, host) = GuestMemory::of(caller)?;
    memory.write_u64(result, time(host))?;
    Ok(Errno::Success.into())
}

fn fd_close(mut caller: Caller<'_, Host>, descriptor: u32) -> u32 {
    enter(&mut caller);
    let host = caller.data_mut();
    match check_open(host, descriptor) {
        Ok(()) => {
            host.open_streams &= !(1 << descriptor);
            Errno::Success.into()
        }
        Err(errno) => errno.into(),
    }
}

fn fd_fdstat_get(mut caller: Caller<'_, Host>, descriptor: u32, result: u32) -> Result<u32, Error> {
    enter(&mut caller);
    if let Err(errno) = check_open(caller.data(), descriptor) {
        return Ok(errno.into());
    }
    let rights = RIGHT_POLL | if descriptor == STDIN { RIGHT_READ } else { RIGHT_WRITE };
    let mut stat = [0; FDSTAT_BYTES];
    stat[0] = CHARACTER_DEVICE;
    stat[8..16].copy_from_slice(&rights.to_le_bytes());
    let (mut memory, _) = GuestMemory::of(&mut caller)?;
    memory.write(result, &stat)?;
    Ok(Errno::Success.into())
}

/// Flags change nothing: a write waits for room whatever they say, and for nothing else.
fn fd_fdstat_set_flags(mut caller: Caller<'_, Host>, descriptor: u32, flags: u32) -> u32 {
    enter(&mut caller);
    match check_open(caller.data(), descriptor) {
        Ok(()) if flags & !KNOWN_FLAGS != 0 => Errno::Invalid.into(),
        Ok(()) => Errno::Success.into(),
        Err(errno) => errno.into(),
    }
}

fn fd_prestat_get(mut caller: Caller<'_, Host>, _descriptor: u32, _result: u32) -> u32 {
    enter(&mut caller);
    Errno::BadDescriptor.into()
}

fn fd_prestat_dir_name(mut caller: Caller<'_, Host>, _descriptor: u32, _path: u32, _length: u32) -> u32 {
    enter(&mut caller);
    Errno::BadDescriptor.into()
}

fn fd_read(mut caller: Caller<'_, Host>, descriptor: u32, vectors: u32, count: u32, result: u32) -> Result<u32, Error> {
    enter(&mut caller);
    if descriptor != STDIN || check_open(caller.data(), descriptor).is_err() {
        return Ok(Errno::BadDescriptor.into());
    }
    if count > MAX_VECTORS {
        return Ok(Errno::Invalid.into());
    }
    let (mut memory, _) = GuestMemory::of(&mut caller)?;
    // Nothing will be written there, but a program that says otherwise is wrong.
    total_bytes(&memory, vectors, count)?;
    memory.write_u32(result, 0)?;
    Ok(Errno::Success.into())
}

fn fd_seek(mut caller: Caller<'_, Host>, descriptor: u32, _offset: u64, _whence: u32, _result: u32) -> u32 {
    enter(&mut caller);
    match check_open(caller.data(), descriptor) {
        Ok(()) => Errno::Seek.into(),
        Err(errno) => errno.into(),
    }
}

/// The arguments of an `fd_write`, kept while it waits for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Write {
    stream: Stream,
    vectors: u32,
    count: u32,
    result: u32,
}

fn fd_write(
    mut caller: Caller<'_, Host>,
    descriptor: u32,
    vectors: u32,
    count: u32,
    result: u32,
) -> Result<u32, Error> {
    enter(&mut caller);
    let stream = match descriptor {
        STDOUT => Stream::Stdout,
        STDERR => Stream::Stderr,
        _ => return Ok(Errno::BadDescriptor.into()),
    };
    if let Err(errno) = check_open(caller.data(), descriptor) {
        return Ok(errno.into());
    }
    if count > MAX_VECTORS {
        return Ok(Errno::Invalid.into());
    }
    let (mut memory, host) = GuestMemory::of(&mut caller)?;
    let errno = continue_write(&mut memory, host, Write { stream, vectors, count, result })?;
    let written = memory.read_u32(result)?;
    charge(&mut caller, u64::from(written) / BYTES_PER_FUEL);
    Ok(errno)
}

/// Writes what there is room for, at least something; waits where there is room for nothing.
pub(crate) fn continue_write(memory: &mut GuestMemory<'_>, host: &mut Host, write: Write) -> Result<u32, Fault> {
    memory.slice(write.result, 4)?;
    let mut left = total_bytes(memory, write.vectors, write.count)?;
    let now = host.now();
    let mut cursor = Cursor::default();
    let mut written = 0;
    let mut payload = [0; OUTPUT_PAYLOAD_BYTES];
    while left > 0 {
        let taken = cursor.gather(memory, write, &mut payload)?;
        let pushed = host.output.borrow_mut().push(now, write.stream, &payload[..taken as usize], taken < left);
        if !pushed {
            break;
        }
        written += taken;
        left -= taken;
    }
    if written == 0 && left > 0 {
        return suspend(host, Wait::Room(write));
    }
    memory.write_u32(write.result, written)?;
    Ok(Errno::Success.into())
}

/// Bytes of all vectors, each of which lies in the memory. A sum of more than 32 bits cannot be told; what is beyond is left
/// for the next call, as after any short write.
fn total_bytes(memory: &GuestMemory<'_>, vectors: u32, count: u32) -> Result<u32, Fault> {
    let mut total = 0u32;
    for index in 0..count {
        let (address, length) = vector(memory, vectors, index)?;
        memory.slice(address, length)?;
        total = total.saturating_add(length);
    }
    Ok(total)
}

/// Address and length of the vector with that index.
fn vector(memory: &GuestMemory<'_>, vectors: u32, index: u32) -> Result<(u32, u32), Fault> {
    let at = offset(vectors, index * VECTOR_BYTES)?;
    Ok((memory.read_u32(at)?, memory.read_u32(offset(at, 4)?)?))
}

/// Where a write is in its vectors.
#[derive(Default)]
struct Cursor {
    index: u32,
    position: u32,
}

impl Cursor {
    /// Fills `payload` from the vectors as far as they go; answers how many bytes.
    fn gather(&mut self, memory: &GuestMemory<'_>, write: Write, payload: &mut [u8]) -> Result<u32, Fault> {
        let mut filled = 0;
        while filled < payload.len() && self.index < write.count {
            let (address, length) = vector(memory, write.vectors, self.index)?;
            // Both are 32-bit numbers of bytes that lie in the memory (`total_bytes`).
            let rest = memory.slice(offset(address, self.position)?, length - self.position)?;
            let taken = rest.len().min(payload.len() - filled);
            payload[filled..filled + taken].copy_from_slice(&rest[..taken]);
            filled += taken;
            self.position += length_u32(taken);
            if self.position == length {
                *self = Self { index: self.index + 1, position: 0 };
            }
        }
        Ok(length_u32(filled))
    }
}

fn proc_exit(mut caller: Caller<'_, Host>, code: u32) -> Result<(), Error> {
    enter(&mut caller);
    Err(Error::i32_exit(code.cast_signed()))
}

fn random_get(mut caller: Caller<'_, Host>, address: u32, length: u32) -> Result<u32, Error> {
    enter(&mut caller);
    charge(&mut caller, u64::from(length.min(RANDOM_BYTES)) / BYTES_PER_FUEL);
    let (mut memory, host) = GuestMemory::of(&mut caller)?;
    Ok(fill_random(&mut memory, host, address, length)?)
}

/// Fills a part; what is left is filled in slices to come.
pub(crate) fn fill_random(
    memory: &mut GuestMemory<'_>,
    host: &mut Host,
    address: u32,
    length: u32,
) -> Result<u32, Fault> {
    let whole = memory.slice_mut(address, length)?;
    let part = length.min(RANDOM_BYTES);
    host.random.fill(&mut whole[..part as usize]);
    if part == length {
        return Ok(Errno::Success.into());
    }
    suspend(host, Wait::Random { address: address + part, length: length - part })
}

fn sched_yield(mut caller: Caller<'_, Host>) -> Result<u32, Error> {
    enter(&mut caller);
    Ok(suspend(caller.data_mut(), Wait::Yield)?)
}

/// The arguments of a `poll_oneoff`, kept while it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Poll {
    subscriptions: u32,
    events: u32,
    count: u32,
    result: u32,
    /// When the call began: relative timeouts count from here.
    began: Instant,
}

/// What a subscription comes to.
enum Subscribed {
    /// An event, with an error number where the subscription makes no sense.
    Now(Errno),
    /// An event at that time.
    At(Instant),
}

fn poll_oneoff(
    mut caller: Caller<'_, Host>,
    subscriptions: u32,
    events: u32,
    count: u32,
    result: u32,
) -> Result<u32, Error> {
    enter(&mut caller);
    if count == 0 || count > MAX_SUBSCRIPTIONS {
        return Ok(Errno::Invalid.into());
    }
    charge(&mut caller, u64::from(count));
    let (mut memory, host) = GuestMemory::of(&mut caller)?;
    let began = host.now();
    Ok(continue_poll(&mut memory, host, Poll { subscriptions, events, count, result, began }, began)?)
}

/// Writes the events there are by `now`; waits where there is none.
pub(crate) fn continue_poll(
    memory: &mut GuestMemory<'_>,
    host: &mut Host,
    poll: Poll,
    now: Instant,
) -> Result<u32, Fault> {
    memory.slice(poll.events, poll.count * EVENT_BYTES)?;
    memory.slice(poll.result, 4)?;
    let mut written = 0;
    let mut earliest: Option<Instant> = None;
    for index in 0..poll.count {
        let subscription = offset(poll.subscriptions, index * SUBSCRIPTION_BYTES)?;
        match subscribed(memory, host, poll, subscription)? {
            Subscribed::At(time) if time > now => earliest = Some(earliest.map_or(time, |other| other.min(time))),
            Subscribed::At(_) => write_event(memory, poll, &mut written, subscription, Errno::Success)?,
            Subscribed::Now(errno) => write_event(memory, poll, &mut written, subscription, errno)?,
        }
    }
    match earliest {
        Some(until) if written == 0 => suspend(host, Wait::Poll { poll, until }),
        _ => {
            memory.write_u32(poll.result, written)?;
            Ok(Errno::Success.into())
        }
    }
}

fn subscribed(memory: &GuestMemory<'_>, host: &Host, poll: Poll, subscription: u32) -> Result<Subscribed, Fault> {
    // Layout of `subscription`: userdata 0, tag 8, then at 16 the clock or the descriptor.
    let contents = offset(subscription, 16)?;
    let number = memory.read_u32(contents)?;
    Ok(match memory.read_u8(offset(subscription, 8)?)? {
        EVENT_CLOCK => {
            // Layout of `subscription_clock`: id 0, timeout 8, precision 16, flags 24.
            let timeout = memory.read_u64(offset(contents, 8)?)?;
            let flags = memory.read_u16(offset(contents, 24)?)?;
            match check_clock(number) {
                Err(errno) => Subscribed::Now(errno),
                Ok(()) if flags & CLOCK_ABSOLUTE != 0 => Subscribed::At(Instant::from_nanoseconds(timeout)),
                Ok(()) => Subscribed::At(poll.began.saturating_add(timeout)),
            }
        }
        EVENT_READ | EVENT_WRITE => Subscribed::Now(check_open(host, number).err().unwrap_or(Errno::Success)),
        _ => Subscribed::Now(Errno::Invalid),
    })
}

fn write_event(
    memory: &mut GuestMemory<'_>,
    poll: Poll,
    written: &mut u32,
    subscription: u32,
    errno: Errno,
) -> Result<(), Fault> {
    // Layout of `event`: userdata 0, error 8, type 10, then at 16 what a descriptor has to read or write, of which there is
    // nothing to say.
    let mut event = [0; EVENT_BYTES as usize];
    event[..8].copy_from_slice(&memory.read_u64(subscription)?.to_le_bytes());
    event[8..10].copy_from_slice(&(errno as u16).to_le_bytes());
    event[10] = memory.read_u8(offset(subscription, 8)?)?;
    memory.write(offset(poll.events, *written * EVENT_BYTES)?, &event)?;
    *written += 1;
    Ok(())
}
