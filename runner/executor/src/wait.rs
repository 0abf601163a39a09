//! Host calls that wait: the container is suspended, the cell is not.
//!
//! A host function that cannot answer at once leaves a [`Wait`] with the host and ends with
//! [`Fault::Suspended`](crate::memory::Fault::Suspended); the cell goes back to its event loop and, whenever something
//! arrived, asks [`settle`] whether there is an answer by now. Arguments that point into linear memory are read again then: the
//! container has not run meanwhile.

use runner_interfaces::{gpio::Status, kernel::Instant, schedule::Release};
use wasmi::Store;

use crate::{
    host::{EDGE_EVENT, Host},
    memory::{Fault, GuestMemory},
    pollables,
    releases::Releases,
    worlds::{function::Answer, wasi},
};

/// What a suspended container waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Nothing: `sched_yield` ends the slice.
    Yield,
    /// `timer.sleep`.
    Sleep { until: Instant },
    /// `timer.wait`, which looks for edges at that time by itself.
    Events { mask: u32, until: Option<Instant> },
    /// `fd_write`, for room in the output ring.
    Room(wasi::Write),
    /// An `fd_write` of more empty pieces than one slice should look at.
    Write(wasi::Write),
    /// `poll_oneoff`, for the earliest of its clocks, or for room in the output ring.
    Poll { poll: wasi::Poll, until: Option<Instant> },
    /// A read of more than one slice should copy.
    Read(wasi::Read),
    /// A call whose answer needs room that the container makes; see [`crate::delivery`].
    Allocate,
    /// A sleep whose call answers nothing, as `pollable.block`.
    Delay { until: Instant },
    /// `poll` of `wasi:io`, for the earliest in its list.
    Pollables { poll: pollables::Poll, until: Instant },
    /// `random_get` of more than one slice should fill.
    Random { address: u32, length: u32 },
}

impl Wait {
    /// When it is over by itself.
    pub(crate) fn until(&self) -> Option<Instant> {
        match self {
            Self::Sleep { until } | Self::Delay { until } | Self::Pollables { until, .. } => Some(*until),
            Self::Poll { until, .. } | Self::Events { until, .. } => *until,
            _ => None,
        }
    }

    /// Whether it is work cut into slices, and waits for nothing.
    pub(crate) fn goes_on_at_once(&self) -> bool {
        matches!(self, Self::Yield | Self::Allocate | Self::Random { .. } | Self::Read(_) | Self::Write(_))
    }

    /// The host call's answer when the timer that should end the wait cannot be armed.
    pub(crate) fn refused(&self, status: Status) -> Result<i32, Fault> {
        match self {
            Self::Sleep { .. } => Ok(status.to_wire().cast_signed()),
            Self::Delay { .. } | Self::Pollables { .. } => Err(Fault::NotTimed),
            // It looks now, and waits again.
            Self::Events { .. } => Ok(EDGE_EVENT.cast_signed()),
            _ => Ok(wasi::Errno::Io as i32),
        }
    }
}

/// Waits, from within a host function.
pub(crate) fn suspend<T>(host: &mut Host, wait: Wait) -> Result<T, Fault> {
    host.wait = Some(wait);
    Err(Fault::Suspended)
}

/// What a host call that waits has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// It waits on.
    Waits,
    /// Its answer.
    Answer(Answer),
    /// The container must make room first.
    Allocate,
}

/// Looks whether the host call that waits has an answer by now.
pub(crate) fn settle(store: &mut Store<Host>, now: Instant) -> Result<Settled, Fault> {
    let Some(wait) = store.data_mut().wait.take() else {
        return Ok(Settled::Answer(Answer::I32(0)));
    };
    let (memory, host) = view(store);
    let answer = match wait {
        Wait::Allocate => return Ok(Settled::Allocate),
        Wait::Yield => Ok(0),
        Wait::Sleep { until } if now >= until => Ok(Status::Ok.to_wire()),
        Wait::Events { mask, .. } => await_events(host, mask),
        Wait::Room(write) | Wait::Write(write) => wasi::continue_write(&mut memory?, host, write),
        Wait::Poll { poll, .. } => wasi::continue_poll(&mut memory?, host, poll, now),
        Wait::Read(read) => wasi::continue_read(&mut memory?, host, read),
        Wait::Random { address, length } => wasi::fill_random(&mut memory?, host, address, length),
        Wait::Delay { until } if now >= until => return Ok(Settled::Answer(Answer::Nothing)),
        Wait::Pollables { poll, until } if now >= until => {
            poll.answer(&memory?, host, now)?;
            return Ok(Settled::Allocate);
        }
        Wait::Sleep { .. } | Wait::Delay { .. } | Wait::Pollables { .. } => suspend(host, wait),
    };
    match answer {
        Ok(value) => Ok(Settled::Answer(value.into())),
        Err(Fault::Suspended) => Ok(Settled::Waits),
        Err(fault) => Err(fault),
    }
}

/// The wait for events, from within the host function. One that events release waits in any case, so that what it did is known to be
/// done: an event that came meanwhile releases the next work.
pub(crate) fn begin_wait(host: &mut Host, mask: u32) -> Result<u32, Fault> {
    let by_events = |releases: &Releases| releases.kind() == Release::Events;
    if host.releases.as_ref().is_some_and(by_events) {
        return suspend(host, Wait::Events { mask, until: None });
    }
    await_events(host, mask)
}

/// The events in `mask` that happened, or the wait for one.
fn await_events(host: &mut Host, mask: u32) -> Result<u32, Fault> {
    host.look_for_due_edges();
    match host.take_events(mask) {
        0 => {
            let until = host.edges_due(mask);
            suspend(host, Wait::Events { mask, until })
        }
        events => Ok(events),
    }
}

fn view(store: &mut Store<Host>) -> (Result<GuestMemory<'_>, Fault>, &mut Host) {
    match store.data().memory {
        Some(memory) => {
            let (bytes, host) = memory.data_and_store_mut(store);
            (Ok(GuestMemory::new(bytes)), host)
        }
        None => (Err(Fault::NoMemory), store.data_mut()),
    }
}
