//! `Kernel` and `Wiring` by what the launcher handed over.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use runner_interfaces::kernel::{CALL_FAILED, Channel, Instant, Kernel, Message, Wiring};
use rustix::time::{ClockId, clock_gettime};

use super::event_loop::{bell, ring};
use super::handover::{ChannelPart, ChannelUse, Handover};
use super::mailbox::{Caller, Server};
use super::mapping::{HostMemory, map_region};

/// Nanoseconds of `CLOCK_MONOTONIC`: it starts with the machine and nobody sets it.
pub(crate) fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(now.tv_nsec).unwrap_or(0))
}

/// One channel's descriptors.
#[derive(Default)]
struct ChannelEnd {
    notify: Option<OwnedFd>,
    notified: Option<OwnedFd>,
    caller: Option<Caller>,
    server: Option<Server>,
    /// Where a simulated device rings.
    interrupt: Option<OwnedFd>,
}

/// The kernel as a domain's process has it. Clones are handles on the same.
#[derive(Clone)]
pub(crate) struct HostKernel(Rc<Inner>);

struct Inner {
    epoch_ns: u64,
    /// By number.
    channels: Vec<(Channel, ChannelEnd)>,
}

/// The wiring as a domain's process has it.
pub(crate) struct HostWiring {
    channels: HashMap<String, Channel>,
    regions: HashMap<String, HostMemory>,
}

/// Maps everything that was handed over.
pub(crate) fn take_over(handover: &Handover, descriptors: Vec<OwnedFd>) -> io::Result<(HostKernel, HostWiring)> {
    if descriptors.len() != handover.descriptors() {
        return Err(io::Error::other("the launcher sent another number of descriptors than it named"));
    }
    let mut descriptors = descriptors.into_iter();
    let mut wiring = HostWiring { channels: HashMap::new(), regions: HashMap::new() };
    for region in &handover.regions {
        let descriptor = next(&mut descriptors)?;
        let size_bytes = usize::try_from(region.size_bytes).map_err(io::Error::other)?;
        wiring.regions.insert(region.symbol.clone(), map_region(descriptor, size_bytes, region.writable)?);
    }
    let mut channels = Vec::new();
    for part in &handover.channels {
        let number = Channel::new(part.number).ok_or_else(|| io::Error::other("no channel has that number"))?;
        channels.push((number, channel_end(part, &mut descriptors)?));
        if let Some(symbol) = &part.symbol {
            wiring.channels.insert(symbol.clone(), number);
        }
    }
    channels.sort_by_key(|(number, _)| *number);
    Ok((HostKernel(Rc::new(Inner { epoch_ns: handover.epoch_ns, channels })), wiring))
}

fn channel_end(part: &ChannelPart, descriptors: &mut impl Iterator<Item = OwnedFd>) -> io::Result<ChannelEnd> {
    let mut end = ChannelEnd::default();
    for usage in &part.uses {
        match usage {
            ChannelUse::Notify => end.notify = Some(next(descriptors)?),
            ChannelUse::Notified => end.notified = Some(next(descriptors)?),
            ChannelUse::Call => end.caller = Some(Caller::new(next(descriptors)?, next(descriptors)?)?),
            ChannelUse::Serve => end.server = Some(Server::new(next(descriptors)?, next(descriptors)?)?),
            ChannelUse::Interrupt => {
                let line = bell()?;
                end.notified = Some(line.try_clone()?);
                end.interrupt = Some(line);
            }
        }
    }
    Ok(end)
}

fn next(descriptors: &mut impl Iterator<Item = OwnedFd>) -> io::Result<OwnedFd> {
    descriptors.next().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

impl HostKernel {
    fn end(&self, channel: Channel) -> Option<&ChannelEnd> {
        self.0.channels.iter().find(|(number, _)| *number == channel).map(|(_, end)| end)
    }

    /// What becomes readable when a channel is notified.
    pub(crate) fn notifications(&self) -> impl Iterator<Item = (Channel, BorrowedFd<'_>)> {
        self.0.channels.iter().filter_map(|(number, end)| Some((*number, end.notified.as_ref()?.as_fd())))
    }

    /// The channels that this domain serves calls on.
    pub(crate) fn servers(&self) -> impl Iterator<Item = (Channel, &Server)> {
        self.0.channels.iter().filter_map(|(number, end)| Some((*number, end.server.as_ref()?)))
    }

    /// The call that waits on `channel`.
    pub(crate) fn take_call(&self, channel: Channel) -> Option<Message> {
        self.end(channel)?.server.as_ref()?.take()
    }

    /// Answers the call that was taken from `channel`.
    pub(crate) fn answer_call(&self, channel: Channel, answer: Message) {
        if let Some(server) = self.end(channel).and_then(|end| end.server.as_ref()) {
            server.answer(answer);
        }
    }

    /// Where a simulated device rings to interrupt on `channel`.
    pub(crate) fn interrupt(&self, channel: Channel) -> io::Result<OwnedFd> {
        let line = self.end(channel).and_then(|end| end.interrupt.as_ref());
        line.ok_or(io::ErrorKind::NotFound)?.try_clone()
    }
}

impl Kernel for HostKernel {
    fn notify(&mut self, channel: Channel) {
        if let Some(bell) = self.end(channel).and_then(|end| end.notify.as_ref()) {
            ring(bell);
        }
    }

    fn call(&mut self, channel: Channel, message: Message) -> Message {
        match self.end(channel).and_then(|end| end.caller.as_ref()) {
            Some(caller) => caller.call(message),
            None => Message::new(CALL_FAILED),
        }
    }

    fn now(&self) -> Instant {
        Instant::from_nanoseconds(monotonic_ns().saturating_sub(self.0.epoch_ns))
    }
}

impl Wiring for HostWiring {
    type Memory = HostMemory;

    fn channel(&self, symbol: &str) -> Option<Channel> {
        self.channels.get(symbol).copied()
    }

    fn region(&self, symbol: &str) -> Option<HostMemory> {
        self.regions.get(symbol).cloned()
    }
}
