//! What the launcher hands a domain's process at its start: its wiring, and the descriptors behind it.
//!
//! Descriptors travel with the message, those of the regions first, then those of the channels; a process inherits none. So a
//! domain has exactly what `system.xml` gives it, and a read-only region arrives as a descriptor that was opened read-only.

use serde::{Deserialize, Serialize};

/// A domain's start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Handover {
    /// Its name.
    pub(crate) domain: String,
    /// The node's start, nanoseconds of `CLOCK_MONOTONIC`: a multiple of a tick, so that both have the same ticks.
    pub(crate) epoch_ns: u64,
    /// Its priority in `system.xml`.
    pub(crate) priority: u8,
    /// Real-time priorities are permitted.
    pub(crate) real_time: bool,
    /// Linux can confine a process to some of its system calls.
    pub(crate) confined: bool,
    /// Bytes of the heap that `system.xml` gives it, where it gives it one.
    pub(crate) heap_bytes: Option<u64>,
    /// Which life of the process this is, from 1.
    pub(crate) incarnation: u32,
    /// The node's run directory.
    pub(crate) run_directory: String,
    /// The board's labels and lines, for the simulated bank.
    pub(crate) labels: Vec<(String, u8)>,
    /// Its memory.
    pub(crate) regions: Vec<RegionPart>,
    /// Its channels.
    pub(crate) channels: Vec<ChannelPart>,
}

/// A region, with one descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RegionPart {
    /// The symbol in the domain's code.
    pub(crate) symbol: String,
    /// Bytes.
    pub(crate) size_bytes: u64,
    /// The domain may write it.
    pub(crate) writable: bool,
}

/// A channel, with a descriptor for each thing that it is good for and two for each kind of call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChannelPart {
    /// The symbol in the domain's code, where there is one.
    pub(crate) symbol: Option<String>,
    /// Its number.
    pub(crate) number: u8,
    /// What the domain can do with it, one descriptor each in this order (calls: the page, then the doorbell).
    pub(crate) uses: Vec<ChannelUse>,
}

/// One thing that a channel is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ChannelUse {
    /// Notify the peer.
    Notify,
    /// Be notified.
    Notified,
    /// Call the peer.
    Call,
    /// Be called.
    Serve,
    /// Be interrupted. No descriptor: the device is simulated in the domain's own process.
    Interrupt,
}

impl ChannelUse {
    /// Descriptors that go with it.
    pub(crate) const fn descriptors(self) -> usize {
        match self {
            Self::Notify | Self::Notified => 1,
            Self::Call | Self::Serve => 2,
            Self::Interrupt => 0,
        }
    }
}

impl Handover {
    /// How many descriptors go with it.
    pub(crate) fn descriptors(&self) -> usize {
        let uses = self.channels.iter().flat_map(|channel| &channel.uses);
        self.regions.len() + uses.map(|&usage| usage.descriptors()).sum::<usize>()
    }
}
