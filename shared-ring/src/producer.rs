//! The end that fills slots.
//!
//! Writes the data region, reads the head region, and believes of the latter only what its own indices allow: a head that
//! it could not have led to is the consumer's misbehaviour and starts a new epoch. It never waits: a ring that is full,
//! or whose consumer has not answered, is an error for the caller to come back from.

use core::fmt;

use crate::layout::{
    ANSWER_OFFSET, Answer, EPOCH_OFFSET, Epoch, Geometry, GeometryError, HEAD_OFFSET, SLOT_HEADER_BYTES, TAIL_OFFSET,
};
use crate::memory::SharedMemory;
use crate::region::{load, store, write};

/// Why a message was not pushed. Nothing of it is visible to the consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushError {
    /// Every slot holds a message that the consumer has not taken yet: try later.
    Full,
    /// The consumer has not answered this epoch yet, or has asked for another: try later.
    NotConnected,
    /// The message is longer than [`Geometry::payload_bytes`]; it will never fit.
    TooLarge,
    /// The consumer published an impossible index. What was in the ring is lost, a new epoch has begun.
    PeerMisbehaved,
}

impl fmt::Display for PushError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Full => "the ring is full",
            Self::NotConnected => "the ring's consumer is not there yet",
            Self::TooLarge => "the message is longer than a slot of the ring",
            Self::PeerMisbehaved => "the ring's consumer published an impossible index; the ring was reset",
        })
    }
}

impl core::error::Error for PushError {}

/// The end of a ring that fills slots. One value per ring, in the one domain that may write its data region.
#[derive(Debug)]
pub struct Producer<D, H = D> {
    geometry: Geometry,
    data: D,
    head_region: H,
    epoch: Epoch,
    connected: bool,
    /// Slots filled in this epoch: the authority, of which the data region holds a copy for the consumer.
    tail: u32,
    /// Slots emptied in this epoch, as of the last look.
    head: u32,
    misbehaviour_count: u32,
    reset_count: u32,
    notification_due: bool,
}

impl<D: SharedMemory, H: SharedMemory> Producer<D, H> {
    /// Starts a new epoch, whatever the regions hold: a producer that restarts does just this.
    ///
    /// Nothing can be pushed until the consumer has answered; let it know, see [`Self::take_notification_due`].
    pub fn new(geometry: Geometry, data: D, head_region: H) -> Result<Self, GeometryError> {
        geometry.check_regions(data.size_bytes(), head_region.size_bytes())?;
        let before = Epoch::from_word(load(&data, EPOCH_OFFSET));
        let answer = Answer::from_word(load(&head_region, ANSWER_OFFSET));
        let mut producer = Self {
            geometry,
            data,
            head_region,
            epoch: Epoch::after(before, answer.epoch()),
            connected: false,
            tail: 0,
            head: 0,
            misbehaviour_count: 0,
            reset_count: 0,
            notification_due: false,
        };
        producer.publish_epoch();
        Ok(producer)
    }

    /// The shape that the ring was made with.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Copies a message into the next slot and publishes it. Push as many as there are, then notify once.
    pub fn push(&mut self, message: &[u8]) -> Result<(), PushError> {
        self.push_parts(&[message])
    }

    /// [`Self::push`] for a message that lies in several places, such as a header and its payload.
    pub fn push_parts(&mut self, parts: &[&[u8]]) -> Result<(), PushError> {
        let length = self.length_of(parts)?;
        self.check_connection()?;
        if self.known_free_slots() == 0 {
            self.look_at_head()?;
            if self.known_free_slots() == 0 {
                return Err(PushError::Full);
            }
        }
        self.fill_slot(length, parts);
        self.tail = self.tail.wrapping_add(1);
        // Release: whoever sees the new tail sees the slot.
        store(&self.data, TAIL_OFFSET, self.tail);
        self.notification_due = true;
        Ok(())
    }

    /// How many messages can be pushed now; 0 while not connected.
    pub fn free_slots(&mut self) -> u32 {
        if self.check_connection().is_err() || self.look_at_head().is_err() {
            return 0;
        }
        self.known_free_slots()
    }

    /// Whether the consumer has accepted the current epoch, as of now.
    pub fn is_connected(&mut self) -> bool {
        self.check_connection().is_ok()
    }

    /// How often the consumer published an impossible index.
    pub fn misbehaviour_count(&self) -> u32 {
        self.misbehaviour_count
    }

    /// How often the ring was reset under this producer, because the consumer restarted, asked for it or misbehaved.
    ///
    /// When this grows, messages that were pushed before may never have been read.
    pub fn reset_count(&self) -> u32 {
        self.reset_count
    }

    /// Whether anything was published since the last call that the consumer should be woken for.
    pub fn take_notification_due(&mut self) -> bool {
        core::mem::take(&mut self.notification_due)
    }

    fn length_of(&self, parts: &[&[u8]]) -> Result<u32, PushError> {
        let length = parts.iter().try_fold(0usize, |sum, part| sum.checked_add(part.len()));
        match length {
            Some(length) if length <= self.geometry.payload_bytes() => {
                u32::try_from(length).map_err(|_| PushError::TooLarge)
            }
            _ => Err(PushError::TooLarge),
        }
    }

    /// Looks at the consumer's answer, which lies apart from its head and seldom changes, so that this costs next to nothing.
    fn check_connection(&mut self) -> Result<(), PushError> {
        let answer = Answer::from_word(load(&self.head_region, ANSWER_OFFSET));
        if answer == Answer::Accepted(self.epoch) {
            self.connected = true;
            return Ok(());
        }
        // A refusal of an older epoch, or silence, is what a consumer says before it has looked. But one that had
        // accepted and no longer does has restarted.
        if self.connected || answer == Answer::Refused(self.epoch) {
            self.start_next_epoch(answer);
        }
        Err(PushError::NotConnected)
    }

    fn known_free_slots(&self) -> u32 {
        self.geometry.slots() - self.tail.wrapping_sub(self.head)
    }

    /// Takes over the consumer's head if it lies between the last one and our tail.
    fn look_at_head(&mut self) -> Result<(), PushError> {
        let head = load(&self.head_region, HEAD_OFFSET);
        let emptied = head.wrapping_sub(self.head);
        if emptied <= self.tail.wrapping_sub(self.head) {
            self.head = head;
            return Ok(());
        }
        // A consumer that restarts in this very moment has its region zeroed; that is no misbehaviour.
        self.check_connection()?;
        self.misbehaviour_count = self.misbehaviour_count.saturating_add(1);
        self.start_next_epoch(Answer::Accepted(self.epoch));
        Err(PushError::PeerMisbehaved)
    }

    fn fill_slot(&self, length: u32, parts: &[&[u8]]) {
        let slot = self.geometry.slot_offset(self.tail);
        write(&self.data, slot, &length.to_ne_bytes());
        let mut offset = slot + SLOT_HEADER_BYTES;
        for part in parts {
            write(&self.data, offset, part);
            offset += part.len();
        }
    }

    fn start_next_epoch(&mut self, answer: Answer) {
        self.epoch = Epoch::after(Some(self.epoch), answer.epoch());
        self.reset_count = self.reset_count.saturating_add(1);
        self.publish_epoch();
    }

    /// Publishes an empty ring in the current epoch.
    ///
    /// No epoch stands in the region while the tail falls back to 0: a consumer that sees the new tail sees that its old
    /// epoch is over, and one that sees the new epoch sees the new tail.
    fn publish_epoch(&mut self) {
        self.connected = false;
        self.tail = 0;
        self.head = 0;
        store(&self.data, EPOCH_OFFSET, 0);
        store(&self.data, TAIL_OFFSET, 0);
        store(&self.data, EPOCH_OFFSET, self.epoch.word());
        self.notification_due = true;
    }
}

#[cfg(test)]
#[cfg(not(loom))]
impl<D: SharedMemory, H: SharedMemory> Producer<D, H> {
    /// As if `index` messages had been pushed and popped; the consumer must be told the same.
    pub(crate) fn fast_forward(&mut self, index: u32) {
        self.tail = index;
        self.head = index;
        store(&self.data, TAIL_OFFSET, index);
    }
}
