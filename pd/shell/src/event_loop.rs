//! From Microkit's entry points to a domain's logic.

use core::fmt;

use runner_interfaces::boot_report::Finding;
use runner_interfaces::kernel::{Channel, ChannelSet, Domain, Kernel as _, Message};
use sel4_microkit::{Handler, Infallible, MessageInfo};

use crate::{
    Sel4Kernel,
    boot::SelfTest,
    kernel::{label_from_wire, label_to_wire},
    startup::symbols,
};

/// Runs a [`Domain`] as the handler of a protection domain.
///
/// Interrupts are acknowledged after the logic has seen them, so that a level-triggered one does not come again at once.
pub struct EventLoop<D> {
    kernel: Sel4Kernel,
    domain: D,
}

impl<D: Domain<Sel4Kernel>> EventLoop<D> {
    /// Starts `domain`; Microkit's loop goes on from there.
    pub fn start(mut domain: D) -> Self {
        let mut kernel = Sel4Kernel::new();
        domain.start(&mut kernel);
        log::debug!("started at {} us", kernel.now().nanoseconds() / 1000);
        Self { kernel, domain }
    }

    /// The logic and its kernel, for what only one domain has.
    pub fn parts(&mut self) -> (&mut D, &mut Sel4Kernel) {
        (&mut self.domain, &mut self.kernel)
    }
}

impl<D: Domain<Sel4Kernel>> SelfTest for EventLoop<D> {
    fn self_test(&mut self) -> Finding {
        self.domain.self_test(&mut self.kernel)
    }
}

impl<D> fmt::Debug for EventLoop<D> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("EventLoop").finish_non_exhaustive()
    }
}

impl<D: Domain<Sel4Kernel>> Handler for EventLoop<D> {
    type Error = Infallible;

    fn notified(&mut self, channels: sel4_microkit::ChannelSet) -> Result<(), Infallible> {
        let channels = channels_of(&channels);
        self.domain.notified(&mut self.kernel, channels);
        acknowledge_interrupts(channels);
        Ok(())
    }

    fn protected(
        &mut self,
        channel: sel4_microkit::Channel,
        information: MessageInfo,
    ) -> Result<MessageInfo, Infallible> {
        let answer = match channel_of(channel) {
            Some(channel) => self.domain.called(&mut self.kernel, channel, message_of(&information)),
            None => Message::new(runner_interfaces::kernel::CALL_FAILED),
        };
        Ok(reply_of(&answer))
    }
}

fn channel_of(channel: sel4_microkit::Channel) -> Option<Channel> {
    Channel::new(u8::try_from(channel.index()).ok()?)
}

/// The channels in Microkit's set.
pub fn channels_of(channels: &sel4_microkit::ChannelSet) -> ChannelSet {
    ChannelSet::from_bits(channels.iter().fold(0, |bits, channel| bits | 1 << channel.index()))
}

/// Lets those of `channels` that are interrupts come again.
pub fn acknowledge_interrupts(channels: ChannelSet) {
    let mut interrupts = channels.bits() & symbols::interrupts();
    while interrupts != 0 {
        let channel = sel4_microkit::Channel::new(interrupts.trailing_zeros() as usize);
        if channel.irq_ack().is_err() {
            log::error!("interrupt of channel {} cannot be acknowledged", channel.index());
        }
        interrupts &= interrupts - 1;
    }
}

/// The message that arrived; words that the caller did not send are zero.
pub fn message_of(information: &MessageInfo) -> Message {
    let mut words = [0; 4];
    let sent = information.count().min(words.len());
    sel4_microkit::with_msg_regs(|registers| words[..sent].copy_from_slice(&registers[..sent]));
    Message { label: label_from_wire(information.label()), words }
}

/// Lays the answer's words down and makes its head.
pub fn reply_of(answer: &Message) -> MessageInfo {
    sel4_microkit::with_msg_regs_mut(|registers| registers[..answer.words.len()].copy_from_slice(&answer.words));
    MessageInfo::new(label_to_wire(answer.label), answer.words.len())
}
