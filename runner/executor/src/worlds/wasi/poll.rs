//! `poll_oneoff`: waiting for clocks, and for room in the output.
//!
//! Standard input and files can always be read, if only to learn that they are at their end.

use runner_interfaces::kernel::Instant;
use wasmi::{Caller, Error};

use super::{
    super::{charge, enter},
    clock::check_clock,
    descriptors::{Target, right},
    errno::Errno,
};
use crate::{
    host::Host,
    memory::{Fault, GuestMemory, offset},
    wait::{Wait, suspend},
};

/// Subscriptions of one `poll_oneoff`. They are looked at one by one whenever the wait is looked at.
const MAX_SUBSCRIPTIONS: u32 = 256;

/// And of one in a job that a cell holds to its budget, which looks at them without an end of its slice in between.
const MAX_SUBSCRIPTIONS_OF_A_JOB: u32 = 16;

/// Fuel of looking at a subscription and of writing its event.
const FUEL_PER_SUBSCRIPTION: u64 = 10;

/// Bytes of `subscription` and `event`.
const SUBSCRIPTION_BYTES: u32 = 48;
const EVENT_BYTES: u32 = 32;

/// `eventtype`.
const EVENT_CLOCK: u8 = 0;
const EVENT_READ: u8 = 1;
const EVENT_WRITE: u8 = 2;

/// `subclockflags`: the timeout is a point in time.
const CLOCK_ABSOLUTE: u16 = 1;

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
    /// An event: so many bytes can be moved, or it makes no sense.
    Now(Result<u64, Errno>),
    /// An event at that time.
    At(Instant),
    /// An event once there is room.
    Later,
}

pub(super) fn poll_oneoff(
    caller: &mut Caller<'_, Host>,
    subscriptions: u32,
    events: u32,
    count: u32,
    result: u32,
) -> Result<u32, Error> {
    enter(caller);
    let most = if caller.data().is_held_to_a_budget() { MAX_SUBSCRIPTIONS_OF_A_JOB } else { MAX_SUBSCRIPTIONS };
    if count == 0 || count > most {
        return Ok(Errno::Invalid.into());
    }
    charge(caller, FUEL_PER_SUBSCRIPTION * u64::from(count));
    let (mut memory, host) = GuestMemory::of(caller)?;
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
    let mut until: Option<Instant> = None;
    for index in 0..poll.count {
        let subscription = offset(poll.subscriptions, index * SUBSCRIPTION_BYTES)?;
        match subscribed(memory, host, poll, subscription)? {
            Subscribed::At(time) if time > now => until = Some(until.map_or(time, |other| other.min(time))),
            Subscribed::At(_) => write_event(memory, poll, &mut written, subscription, Ok(0))?,
            Subscribed::Now(outcome) => write_event(memory, poll, &mut written, subscription, outcome)?,
            Subscribed::Later => {}
        }
    }
    if written == 0 {
        return suspend(host, Wait::Poll { poll, until });
    }
    memory.write_u32(poll.result, written)?;
    Ok(Errno::Success.into())
}

fn subscribed(memory: &GuestMemory<'_>, host: &mut Host, poll: Poll, subscription: u32) -> Result<Subscribed, Fault> {
    // Layout of `subscription`: userdata 0, tag 8, then at 16 the clock or the descriptor.
    let contents = offset(subscription, 16)?;
    let number = memory.read_u32(contents)?;
    Ok(match memory.read_u8(offset(subscription, 8)?)? {
        EVENT_CLOCK => {
            // Layout of `subscription_clock`: id 0, timeout 8, precision 16, flags 24.
            let timeout = memory.read_u64(offset(contents, 8)?)?;
            let flags = memory.read_u16(offset(contents, 24)?)?;
            match check_clock(number) {
                Err(errno) => Subscribed::Now(Err(errno)),
                Ok(()) if flags & CLOCK_ABSOLUTE != 0 => Subscribed::At(Instant::from_nanoseconds(timeout)),
                Ok(()) => Subscribed::At(poll.began.saturating_add(timeout)),
            }
        }
        EVENT_READ => moves(host, number, right::FD_READ),
        EVENT_WRITE => moves(host, number, right::FD_WRITE),
        _ => Subscribed::Now(Err(Errno::Invalid)),
    })
}

/// What can be read from or written to a descriptor.
fn moves(host: &mut Host, descriptor: u32, rights: u64) -> Subscribed {
    let descriptor = match host.descriptors.get(descriptor) {
        Ok(descriptor) => *descriptor,
        Err(errno) => return Subscribed::Now(Err(errno)),
    };
    if let Err(errno) = descriptor.needs(rights | right::POLL_FD_READWRITE) {
        return Subscribed::Now(Err(errno));
    }
    match descriptor.target {
        Target::Output(_) => match host.output.borrow_mut().room_bytes() {
            0 => Subscribed::Later,
            room => Subscribed::Now(Ok(room)),
        },
        Target::File { file, position } => {
            Subscribed::Now(Ok((host.files.content(file).len() as u64).saturating_sub(position)))
        }
        Target::Input | Target::Folder { .. } => Subscribed::Now(Ok(0)),
    }
}

fn write_event(
    memory: &mut GuestMemory<'_>,
    poll: Poll,
    written: &mut u32,
    subscription: u32,
    outcome: Result<u64, Errno>,
) -> Result<(), Fault> {
    // Layout of `event`: userdata 0, error 8, type 10, then at 16 how many bytes a descriptor has to read or write and, at
    // 24, whether the other side is gone, of which there is none.
    let mut event = [0; EVENT_BYTES as usize];
    event[..8].copy_from_slice(&memory.read_u64(subscription)?.to_le_bytes());
    event[8..10].copy_from_slice(&(outcome.err().unwrap_or(Errno::Success) as u16).to_le_bytes());
    event[10] = memory.read_u8(offset(subscription, 8)?)?;
    event[16..24].copy_from_slice(&outcome.unwrap_or(0).to_le_bytes());
    memory.write(offset(poll.events, *written * EVENT_BYTES)?, &event)?;
    *written += 1;
    Ok(())
}
