//! The kernel's calls.
//!
//! Trusts the kernel alone: what a call answers is the peer's.

use runner_interfaces::kernel::{CALL_FAILED, Channel, Instant, Kernel, Message};
use sel4_microkit::MessageInfo;

use crate::startup::{counter, symbols};

/// The message's label has 52 bits in seL4's message information (libsel4, `seL4_MessageInfo`), so that
/// [`CALL_FAILED`] cannot cross as it is. The largest label stands for it.
const LABEL_LIMIT: u64 = (1 << MessageInfo::label_width()) - 1;

/// Words of a [`Message`], all in registers.
const MESSAGE_WORDS: usize = 4;

/// seL4's kernel calls, for one domain.
#[derive(Clone, Copy, Debug)]
pub struct Sel4Kernel {
    counter: counter::Counter,
}

impl Sel4Kernel {
    /// The kernel of this domain.
    pub fn new() -> Self {
        Self { counter: counter::Counter::new() }
    }

    /// Keeps the processor until `moment`. For a domain whose work is to do so, for microseconds.
    pub fn wait_until(&self, moment: Instant) {
        self.counter.wait_for(moment.nanoseconds());
    }
}

impl Default for Sel4Kernel {
    fn default() -> Self {
        Self::new()
    }
}

impl Kernel for Sel4Kernel {
    fn notify(&mut self, channel: Channel) {
        if symbols::may_notify(channel) {
            sel4_microkit::Channel::new(usize::from(channel.number())).notify();
        }
    }

    fn call(&mut self, channel: Channel, message: Message) -> Message {
        if !symbols::may_call(channel) {
            return Message::new(CALL_FAILED);
        }
        let information = sel4::MessageInfo::new(label_to_wire(message.label), 0, 0, MESSAGE_WORDS);
        let endpoint = sel4_microkit::Channel::new(usize::from(channel.number())).endpoint();
        let answer = endpoint.call_with_mrs(information, message.words);
        Message { label: label_from_wire(answer.info.label()), words: answer.msg }
    }

    fn now(&self) -> Instant {
        Instant::from_nanoseconds(self.counter.nanoseconds())
    }

    fn counter_rate_hz(&self) -> Option<u64> {
        Some(self.counter.frequency_hz())
    }
}

pub(crate) fn label_to_wire(label: u64) -> u64 {
    label.min(LABEL_LIMIT)
}

pub(crate) fn label_from_wire(label: u64) -> u64 {
    if label == LABEL_LIMIT { CALL_FAILED } else { label }
}
