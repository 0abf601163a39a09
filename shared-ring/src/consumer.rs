//! The end that empties slots.
//!
//! Reads the data region, writes the head region. A slot is copied out first and judged afterwards, so the producer may
//! rewrite it meanwhile and gains nothing. An impossible tail or length is the producer's misbehaviour: it is counted, the
//! epoch is refused, and nothing of it is read again. It never waits and does a bounded amount of work per call.

use core::fmt;

use crate::fence;
use crate::layout::{
    ANSWER_OFFSET, Answer, EPOCH_OFFSET, Epoch, Geometry, GeometryError, HEAD_OFFSET, SLOT_HEADER_BYTES, TAIL_OFFSET,
};
use crate::memory::SharedMemory;
use crate::region::{load, read, store};

/// The peer published an index or a length that no correct peer can. The link is quarantined until the peer starts it anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerMisbehaved;

impl fmt::Display for PeerMisbehaved {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the ring's producer published an impossible index or length; the ring is quarantined")
    }
}

impl core::error::Error for PeerMisbehaved {}

/// The end of a ring that empties slots. One value per ring, in the one domain that may write its head region.
#[derive(Debug)]
pub struct Consumer<D, H = D> {
    geometry: Geometry,
    data: D,
    head_region: H,
    /// What we told the producer last.
    answer: Answer,
    /// Slots emptied in this epoch: the authority, of which the head region holds a copy for the producer.
    head: u32,
    /// Slots filled in this epoch, as of the last look.
    tail: u32,
    misbehaviour_count: u32,
    reset_count: u32,
    notification_due: bool,
}

impl<D: SharedMemory, H: SharedMemory> Consumer<D, H> {
    /// Joins the producer's epoch if nothing was pushed in it yet, and otherwise asks for another: a consumer that restarts
    /// does just this. It cannot know how far its last life came, and a message read twice is worse than one lost.
    pub fn new(geometry: Geometry, data: D, head_region: H) -> Result<Self, GeometryError> {
        geometry.check_regions(data.size_bytes(), head_region.size_bytes())?;
        let mut consumer = Self {
            geometry,
            data,
            head_region,
            answer: Answer::Nothing,
            head: 0,
            tail: 0,
            misbehaviour_count: 0,
            reset_count: 0,
            notification_due: false,
        };
        let epoch = consumer.load_epoch();
        let untouched = load(&consumer.data, TAIL_OFFSET) == 0;
        consumer.publish_answer(match epoch {
            None => Answer::Nothing,
            Some(epoch) if untouched => Answer::Accepted(epoch),
            Some(epoch) => Answer::Refused(epoch),
        });
        Ok(consumer)
    }

    /// The shape that the ring was made with.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Copies the next message into `destination` and returns its length in bytes; `None` when there is no message, no
    /// producer, or a quarantine.
    ///
    /// The producer's tail is loaded only when all messages known from the last look were taken.
    ///
    /// # Panics
    /// When `destination` is shorter than [`Geometry::payload_bytes`], whatever the ring holds.
    pub fn pop(&mut self, destination: &mut [u8]) -> Result<Option<usize>, PeerMisbehaved> {
        let destination = &mut destination[..self.geometry.payload_bytes()];
        if self.head == self.tail && !self.look_at_tail()? {
            return Ok(None);
        }
        let length = self.copy_slot(destination);
        // The epoch after the copy: a producer that was stopped may have been scrubbed meanwhile, and zeros are no message.
        fence::acquire();
        if !self.follow_epoch() {
            return Ok(None);
        }
        let length = length.map_err(|_| self.quarantine())?;
        self.head = self.head.wrapping_add(1);
        // Release: the slot was read before the producer can see it free.
        store(&self.head_region, HEAD_OFFSET, self.head);
        self.notification_due = true;
        Ok(Some(length))
    }

    /// Whether the producer's current epoch is accepted, as of the last [`Self::pop`].
    pub fn is_connected(&self) -> bool {
        matches!(self.answer, Answer::Accepted(_))
    }

    /// How often the producer published an impossible index or length.
    pub fn misbehaviour_count(&self) -> u32 {
        self.misbehaviour_count
    }

    /// How often the producer started anew under this consumer. When this grows, a message may have been lost.
    pub fn reset_count(&self) -> u32 {
        self.reset_count
    }

    /// Whether anything was published since the last call that the producer should be woken for: slots that became
    /// free, an epoch accepted or refused.
    pub fn take_notification_due(&mut self) -> bool {
        core::mem::take(&mut self.notification_due)
    }

    /// Whether there are messages now, by a new look at the producer's tail.
    fn look_at_tail(&mut self) -> Result<bool, PeerMisbehaved> {
        // The tail before the epoch: if the epoch is still ours afterwards, the tail was of it (`publish_epoch`).
        let tail = load(&self.data, TAIL_OFFSET);
        if !self.follow_epoch() {
            return Ok(false);
        }
        if tail.wrapping_sub(self.head) > self.geometry.slots() {
            return Err(self.quarantine());
        }
        self.tail = tail;
        Ok(self.tail != self.head)
    }

    /// Whether the producer is still in the epoch that we accepted; joins a new one if there is one.
    ///
    /// The epoch lies apart from the tail and seldom changes, so that this costs next to nothing.
    fn follow_epoch(&mut self) -> bool {
        let Some(current) = self.load_epoch() else {
            return false;
        };
        if self.answer.epoch() != Some(current) {
            if self.answer != Answer::Nothing {
                self.reset_count = self.reset_count.saturating_add(1);
            }
            self.publish_answer(Answer::Accepted(current));
            return false;
        }
        self.is_connected()
    }

    /// Copies the next slot's payload out and returns its length, or the length that it claims where that cannot be.
    fn copy_slot(&self, payload: &mut [u8]) -> Result<usize, u32> {
        let slot = self.geometry.slot_offset(self.head);
        let mut claimed = [0; SLOT_HEADER_BYTES];
        read(&self.data, slot, &mut claimed);
        let claimed = u32::from_ne_bytes(claimed);
        let length = usize::try_from(claimed).map_err(|_| claimed)?;
        let destination = payload.get_mut(..length).ok_or(claimed)?;
        read(&self.data, slot + SLOT_HEADER_BYTES, destination);
        Ok(length)
    }

    /// Counts a misbehaviour and refuses the epoch that it happened in.
    fn quarantine(&mut self) -> PeerMisbehaved {
        self.misbehaviour_count = self.misbehaviour_count.saturating_add(1);
        if let Some(epoch) = self.answer.epoch() {
            self.publish_answer(Answer::Refused(epoch));
        }
        PeerMisbehaved
    }

    /// Tells the producer where we stand, with an empty ring.
    fn publish_answer(&mut self, answer: Answer) {
        self.head = 0;
        self.tail = 0;
        self.answer = answer;
        // The head first: a producer that sees its epoch accepted sees the head of that epoch.
        if let Answer::Accepted(_) = answer {
            store(&self.head_region, HEAD_OFFSET, 0);
        }
        store(&self.head_region, ANSWER_OFFSET, answer.word());
        self.notification_due = true;
    }

    fn load_epoch(&self) -> Option<Epoch> {
        Epoch::from_word(load(&self.data, EPOCH_OFFSET))
    }
}

#[cfg(test)]
#[cfg(not(loom))]
impl<D: SharedMemory, H: SharedMemory> Consumer<D, H> {
    /// As if `index` messages had been pushed and popped; the producer must be told the same.
    pub(crate) fn fast_forward(&mut self, index: u32) {
        self.tail = index;
        self.head = index;
        store(&self.head_region, HEAD_OFFSET, index);
    }
}
