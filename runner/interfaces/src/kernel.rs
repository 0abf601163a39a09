//! The kernel as a domain's logic sees it: channels, notifications, protected procedures, regions, a clock.
//!
//! Both substrates implement [`Kernel`] and [`Wiring`] (seL4 by system calls and patched symbols, the Linux host by
//! processes); the domains' logic is generic over them and implements [`Domain`]. A channel number that arrives here is
//! vouched for by the kernel; a message's label and words come from the peer and are not.

use shared_ring::SharedMemory;

use crate::boot_report::{Finding, Text};

/// A channel's number within one domain, as `system.xml` gives it (0 to 61: Microkit's limit).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Channel(u8);

impl Channel {
    /// Microkit's limit: a notification word has 64 bits, two of which are its own.
    pub const LIMIT: u8 = 62;

    /// `None` for a number that no channel can have.
    pub const fn new(number: u8) -> Option<Self> {
        if number < Self::LIMIT { Some(Self(number)) } else { None }
    }

    /// The number, 0 to 61.
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// The channels that were notified since the domain last looked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChannelSet(u64);

impl ChannelSet {
    /// From a bit a channel; bits that no channel can have are dropped.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits & ((1 << Channel::LIMIT) - 1))
    }

    /// One bit a channel.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether `channel` was notified.
    pub const fn contains(self, channel: Channel) -> bool {
        self.0 & (1 << channel.0) != 0
    }

    /// Whether nothing was notified.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// This set with `channel` in it.
    #[must_use]
    pub const fn with(self, channel: Channel) -> Self {
        Self(self.0 | (1 << channel.0))
    }
}

/// What a protected procedure takes and answers: a label and four words, which fit the registers of seL4's fast path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Which procedure; in an answer, the status (0 is success).
    pub label: u64,
    /// Arguments or results; those that a procedure does not use are zero.
    pub words: [u64; 4],
}

impl Message {
    /// A message with no words.
    pub const fn new(label: u64) -> Self {
        Self { label, words: [0; 4] }
    }

    /// A message with the first word set.
    pub const fn with_word(label: u64, word: u64) -> Self {
        Self { label, words: [word, 0, 0, 0] }
    }
}

/// Time since the node started, in nanoseconds, from a counter that no domain can write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(u64);

impl Instant {
    /// So many nanoseconds after the start.
    pub const fn from_nanoseconds(nanoseconds: u64) -> Self {
        Self(nanoseconds)
    }

    /// Nanoseconds since the start.
    pub const fn nanoseconds(self) -> u64 {
        self.0
    }

    /// This instant moved by `nanoseconds`, at the most to the end of time.
    #[must_use]
    pub const fn saturating_add(self, nanoseconds: u64) -> Self {
        Self(self.0.saturating_add(nanoseconds))
    }

    /// Nanoseconds from `earlier` to this; 0 where `earlier` is later.
    pub const fn nanoseconds_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// What every domain may ask of the kernel.
pub trait Kernel {
    /// Notifies the other end of `channel`. Never waits. A channel that this domain does not have is ignored.
    fn notify(&mut self, channel: Channel);

    /// Calls the protected procedure at the other end of `channel`, a domain of strictly higher priority that answers in
    /// bounded time. Where the peer is gone the answer's label is [`CALL_FAILED`].
    fn call(&mut self, channel: Channel, message: Message) -> Message;

    /// Now.
    fn now(&self) -> Instant;

    /// The rate of the counter behind [`Kernel::now`], in hertz, as the machine states it. `None` where the substrate's
    /// clock is no such counter.
    fn counter_rate_hz(&self) -> Option<u64> {
        None
    }
}

/// A kernel in several hands. A cell gives one to its container's host functions, which outlive the call that brought the
/// kernel; a substrate whose own kernel is not `Clone` runs the cell with this around it.
#[derive(Debug)]
pub struct SharedKernel<K>(alloc::rc::Rc<core::cell::RefCell<K>>);

impl<K> SharedKernel<K> {
    /// Shares `kernel`.
    pub fn new(kernel: K) -> Self {
        Self(alloc::rc::Rc::new(core::cell::RefCell::new(kernel)))
    }
}

impl<K> Clone for SharedKernel<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

// No method of a kernel calls back into a domain, so no borrow is ever open when the next begins.
impl<K: Kernel> Kernel for SharedKernel<K> {
    fn notify(&mut self, channel: Channel) {
        self.0.borrow_mut().notify(channel);
    }

    fn call(&mut self, channel: Channel, message: Message) -> Message {
        self.0.borrow_mut().call(channel, message)
    }

    fn now(&self) -> Instant {
        self.0.borrow().now()
    }

    fn counter_rate_hz(&self) -> Option<u64> {
        self.0.borrow().counter_rate_hz()
    }
}

/// The label of an answer that no peer gave: the substrate could not deliver the call.
pub const CALL_FAILED: u64 = u64::MAX;

/// A domain's logic: what it does when something arrives. Every method returns soon; none waits.
pub trait Domain<K: Kernel> {
    /// Called once, before anything else.
    fn start(&mut self, kernel: &mut K);

    /// Looks at itself once after [`Domain::start`], in bounded time, and says in a few words what it found, or what is wrong
    /// with it: the domain's line at the console (see [`crate::boot_report`]).
    fn self_test(&mut self, kernel: &mut K) -> Finding {
        let _ = kernel;
        Finding::Well(Text::default())
    }

    /// Channels were notified. Notifications are a hint: several may have become one, and one may be stale.
    fn notified(&mut self, kernel: &mut K, channels: ChannelSet);

    /// A peer called. The default refuses every call with [`CALL_FAILED`].
    fn called(&mut self, kernel: &mut K, channel: Channel, message: Message) -> Message {
        let _ = (kernel, channel, message);
        Message::new(CALL_FAILED)
    }
}

/// What `system.xml` gives one domain, by the symbol names it uses (`setvar_id`, `setvar_vaddr`, `setvar_size`).
///
/// seL4 shells look in patched symbols, the host launcher in the parsed file: neither has the numbers typed in.
pub trait Wiring {
    /// This substrate's mapped memory.
    type Memory: SharedMemory + Clone;

    /// The channel whose `setvar_id` is `symbol`.
    fn channel(&self, symbol: &str) -> Option<Channel>;

    /// The region whose `setvar_vaddr` is `symbol`.
    fn region(&self, symbol: &str) -> Option<Self::Memory>;
}

/// A part of the wiring that `system.xml` should give and does not. The domain cannot run without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingWiring {
    /// The symbol that was looked for.
    pub symbol: alloc::string::String,
}

impl core::fmt::Display for MissingWiring {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(formatter, "system.xml gives this domain no `{}`", self.symbol)
    }
}

impl core::error::Error for MissingWiring {}

/// The channel of `symbol`, or which symbol is missing.
pub fn required_channel<W: Wiring>(wiring: &W, symbol: &str) -> Result<Channel, MissingWiring> {
    wiring.channel(symbol).ok_or_else(|| MissingWiring { symbol: symbol.into() })
}

/// The region of `symbol`, or which symbol is missing.
pub fn required_region<W: Wiring>(wiring: &W, symbol: &str) -> Result<W::Memory, MissingWiring> {
    wiring.region(symbol).ok_or_else(|| MissingWiring { symbol: symbol.into() })
}
