//! What a container may wait for through `wasi:io/poll`: points in time.
//!
//! A pollable is ready from its instant on. `poll` waits for the earliest of its list, so a wait is always one timer.

use alloc::vec::Vec;

use runner_interfaces::kernel::Instant;

use crate::{
    delivery,
    handles::Handles,
    host::Host,
    memory::{Fault, GuestMemory},
};

/// Pollables that a container may hold: some more than it can sensibly wait for at once.
const MAX_POLLABLES: usize = 32;

/// The longest list of one `poll`; each pollable may stand there twice.
pub(crate) const MAX_LIST: u32 = 64;

/// Bytes of a handle in a list, and of an index.
const HANDLE_BYTES: u32 = 4;

/// The resource's name.
pub(crate) const RESOURCE: &str = "pollable";

/// Pollables by handle: the instant from which each is ready.
pub(crate) type Pollables = Handles<Instant, MAX_POLLABLES>;

impl Host {
    /// A pollable that is ready from then on.
    pub(crate) fn subscribe(&mut self, ready: Instant) -> Result<u32, Fault> {
        self.pollables.insert(ready).ok_or(Fault::TooManyHandles { resource: RESOURCE })
    }

    /// The instant from which a pollable is ready.
    pub(crate) fn pollable(&self, handle: u32) -> Result<Instant, Fault> {
        self.pollables.get(handle).copied().ok_or(no_such_handle(handle))
    }
}

pub(crate) fn no_such_handle(handle: u32) -> Fault {
    Fault::NoSuchHandle { resource: RESOURCE, handle }
}

/// A call of `poll`: the list of handles, and where the list of ready ones is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Poll {
    pub(crate) list: u32,
    pub(crate) length: u32,
    pub(crate) result: u32,
}

impl Poll {
    /// Has the indices of those that are ready `now` handed over; answers when the first of the list is ready.
    pub(crate) fn answer(&self, memory: &GuestMemory<'_>, host: &mut Host, now: Instant) -> Result<Instant, Fault> {
        if self.length > MAX_LIST {
            return Err(Fault::ListTooLong { length: self.length });
        }
        if !self.list.is_multiple_of(HANDLE_BYTES) {
            return Err(Fault::Misaligned { address: self.list });
        }
        let bytes = memory.slice(self.list, self.length * HANDLE_BYTES)?;
        let mut indices = Vec::with_capacity(bytes.len());
        let mut earliest: Option<Instant> = None;
        let (handles, _) = bytes.as_chunks();
        for (handle, index) in handles.iter().zip(0_u32..) {
            let instant = host.pollable(u32::from_le_bytes(*handle))?;
            earliest = Some(earliest.map_or(instant, |other| other.min(instant)));
            if instant <= now {
                indices.extend_from_slice(&index.to_le_bytes());
            }
        }
        delivery::prepare(host, memory, self.result, &indices, HANDLE_BYTES)?;
        earliest.ok_or(Fault::EmptyList)
    }
}
