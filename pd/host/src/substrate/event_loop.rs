//! Waiting: one `poll` over everything that can reach a domain.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use runner_interfaces::kernel::{Channel, ChannelSet, Domain};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::kernel::HostKernel;

/// A new `eventfd`, as notifications, doorbells and simulated interrupts use it.
pub(crate) fn bell() -> io::Result<OwnedFd> {
    Ok(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

/// Makes `bell` readable. Full is as good as rung.
pub(crate) fn ring(bell: impl AsFd) {
    let _ = rustix::io::write(bell, &1_u64.to_ne_bytes());
}

/// Makes `bell` unreadable until it is rung again; answers whether it was rung.
pub(crate) fn clear(bell: impl AsFd) -> bool {
    rustix::io::read(bell, &mut [0; 8]).is_ok()
}

/// What a wait found.
#[derive(Debug, Default)]
pub(crate) struct Events {
    /// Channels that were notified.
    pub(crate) notified: ChannelSet,
    /// Channels that a call may be waiting on, in ascending order.
    pub(crate) called: Vec<Channel>,
    /// The readiness of each of the other descriptors, in their order.
    pub(crate) others: Vec<PollFlags>,
}

/// Waits until a notification, a call or one of `others` is there, or the time is over.
pub(crate) fn wait(
    kernel: &HostKernel,
    others: &[(BorrowedFd<'_>, PollFlags)],
    limit: Option<Duration>,
) -> io::Result<Events> {
    let bells: Vec<_> = kernel.notifications().collect();
    let doorbells: Vec<_> = kernel.servers().collect();
    let mut descriptors: Vec<PollFd<'_>> = Vec::with_capacity(bells.len() + doorbells.len() + others.len());
    descriptors.extend(bells.iter().map(|(_, bell)| PollFd::from_borrowed_fd(*bell, PollFlags::IN)));
    descriptors.extend(doorbells.iter().map(|(_, server)| PollFd::from_borrowed_fd(server.doorbell(), PollFlags::IN)));
    descriptors.extend(others.iter().map(|&(descriptor, flags)| PollFd::from_borrowed_fd(descriptor, flags)));
    let limit = limit.map(Timespec::try_from).transpose().map_err(io::Error::other)?;
    rustix::io::retry_on_intr(|| poll(&mut descriptors, limit.as_ref()))?;

    let mut ready = descriptors.iter().map(PollFd::revents);
    let mut events = Events::default();
    for ((channel, bell), flags) in bells.iter().zip(&mut ready) {
        if flags.contains(PollFlags::IN) && clear(bell) {
            events.notified = events.notified.with(*channel);
        }
    }
    for ((channel, _), flags) in doorbells.iter().zip(&mut ready) {
        if flags.contains(PollFlags::IN) {
            events.called.push(*channel);
        }
    }
    events.others = ready.collect();
    Ok(events)
}

/// Hands the domain what a wait found: calls first, since somebody waits for them, then notifications.
pub(crate) fn deliver<D: Domain<HostKernel>>(domain: &mut D, kernel: &mut HostKernel, events: &Events) {
    for &channel in &events.called {
        if let Some(message) = kernel.take_call(channel) {
            let answer = domain.called(kernel, channel, message);
            kernel.answer_call(channel, answer);
        }
    }
    if !events.notified.is_empty() {
        domain.notified(kernel, events.notified);
    }
}
