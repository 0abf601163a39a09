//! The two rings to the guest's side, and the slots in them.

use runner_interfaces::{
    kernel::{Channel, Kernel},
    link::{LINK_PAYLOAD_BYTES, LINK_SLOT_BYTES, LinkKind, LinkSlot, link_geometry},
};
use shared_ring::{Consumer, GeometryError, Producer, SharedMemory};

/// What came in with one slot.
pub(crate) enum Arrival {
    /// Nothing more now.
    Nothing,
    /// A slot of that many bytes lies in the buffer.
    Slot(usize),
    /// An impossible index: the link starts anew.
    Misbehaved,
}

/// Both directions.
pub(crate) struct Link<M> {
    incoming: Consumer<M>,
    outgoing: Producer<M>,
    channel: Channel,
    /// Resets of both rings that were acted upon.
    resets: u32,
    misbehaviours: u32,
}

impl<M: SharedMemory> Link<M> {
    pub(crate) fn new(channel: Channel, incoming: (M, M), outgoing: (M, M)) -> Result<Self, GeometryError> {
        let geometry = |data: &M| link_geometry(data.size_bytes());
        Ok(Self {
            incoming: Consumer::new(geometry(&incoming.0)?, incoming.0, incoming.1)?,
            outgoing: Producer::new(geometry(&outgoing.0)?, outgoing.0, outgoing.1)?,
            channel,
            resets: 0,
            misbehaviours: 0,
        })
    }

    /// Slots of the incoming ring: the most that one pass takes.
    pub(crate) fn incoming_slots(&self) -> u32 {
        self.incoming.geometry().slots()
    }

    pub(crate) fn receive(&mut self, buffer: &mut [u8; LINK_SLOT_BYTES]) -> Arrival {
        match self.incoming.pop(buffer) {
            Ok(None) => Arrival::Nothing,
            Ok(Some(length)) => Arrival::Slot(length),
            Err(shared_ring::PeerMisbehaved) => Arrival::Misbehaved,
        }
    }

    /// Sends a slot, or answers false where there is no room or nobody to read it.
    pub(crate) fn send(&mut self, session: usize, kind: LinkKind, bytes: &[u8]) -> bool {
        debug_assert!(bytes.len() <= LINK_PAYLOAD_BYTES);
        let mut buffer = [0; LINK_SLOT_BYTES];
        let Ok(length) = (LinkSlot { session, kind, bytes }).encode(&mut buffer) else {
            return false;
        };
        // Full, not connected, reset: all mean "later" here; `look_for_resets` tells of the rest.
        self.outgoing.push(&buffer[..length]).is_ok()
    }

    /// Whether a slot can be sent now.
    pub(crate) fn has_room(&mut self) -> bool {
        self.outgoing.free_slots() > 0
    }

    /// How often either ring was reset since the last call, and how often for a misbehaviour: streams are broken then.
    ///
    /// The outgoing ring finds out only when it looks at its reader, which it does here although there may be nothing to
    /// send: a reader that started anew must not lose the first session that it opens.
    pub(crate) fn look_for_resets(&mut self) -> (u32, u32) {
        self.outgoing.is_connected();
        let resets = self.incoming.reset_count().wrapping_add(self.outgoing.reset_count());
        let misbehaviours = self.incoming.misbehaviour_count().wrapping_add(self.outgoing.misbehaviour_count());
        let since = (resets.wrapping_sub(self.resets), misbehaviours.wrapping_sub(self.misbehaviours));
        (self.resets, self.misbehaviours) = (resets, misbehaviours);
        since
    }

    /// Wakes the other side if there is anything new for it.
    pub(crate) fn notify<K: Kernel>(&mut self, kernel: &mut K) {
        let due = self.incoming.take_notification_due();
        if self.outgoing.take_notification_due() || due {
            kernel.notify(self.channel);
        }
    }
}
