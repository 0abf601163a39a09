//! Where a ring's words and slots lie, and what its epoch words say.
//!
//! Both ends compute the same layout from the same configuration (`system.xml`'s region sizes); nothing about it is
//! ever read from the memory itself, so the peer has no offset, length of the ring or mask to lie about.

use core::fmt;
use core::mem::size_of;

/// Distance between words written at different rates. Cortex-A cache lines have 64 bytes; x86-64 fetches them in pairs,
/// so 128 keeps a busy index from taking the quiet word beside it along.
const SEPARATION_BYTES: usize = 128;

/// Data region: the producer's epoch, 0 while there is none.
pub(crate) const EPOCH_OFFSET: usize = 0;
/// Data region: the producer's index, how many slots it has filled in this epoch.
pub(crate) const TAIL_OFFSET: usize = SEPARATION_BYTES;
/// Data region: the first slot.
pub(crate) const SLOTS_OFFSET: usize = 2 * SEPARATION_BYTES;

/// Head region: the consumer's answer to the producer's epoch, an [`Answer`].
pub(crate) const ANSWER_OFFSET: usize = 0;
/// Head region: the consumer's index, how many slots it has emptied in this epoch.
pub(crate) const HEAD_OFFSET: usize = SEPARATION_BYTES;

/// The least size of a head region.
pub const HEAD_REGION_BYTES: usize = 2 * SEPARATION_BYTES;

/// Bytes of a slot before its payload: the payload's length as a `u32`.
pub(crate) const SLOT_HEADER_BYTES: usize = size_of::<u32>();

/// Slots start at multiples of this, so that their copies move whole 64-bit words.
const SLOT_ALIGNMENT_BYTES: usize = 8;

/// The largest number of slots: the difference of two free-running `u32` indices must tell full from empty.
const MAX_SLOTS: u32 = 1 << 31;

/// The shape of one ring, the same on both ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    slot_bytes: usize,
    slots: u32,
}

/// Why there is no ring of that shape, or not in that memory. A fault of the configuration, never of the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GeometryError {
    /// Slots are multiples of 8 bytes, at least 8 and small enough for a `u32` length.
    SlotBytes,
    /// The number of slots is a power of two, at most 2^31.
    Slots,
    /// The ring is larger than the region, or than the address space.
    RegionTooSmall,
}

impl fmt::Display for GeometryError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::SlotBytes => "a ring's slot size must be a multiple of 8 bytes, at least 8 and below 4 GiB",
            Self::Slots => "a ring's number of slots must be a power of two, at most 2^31",
            Self::RegionTooSmall => "the memory region is too small for the ring that it shall hold",
        })
    }
}

impl core::error::Error for GeometryError {}

impl Geometry {
    /// A ring of `slots` (a power of two) slots of `slot_bytes` (a multiple of 8, four of them for the length) each.
    pub const fn new(slot_bytes: usize, slots: u32) -> Result<Self, GeometryError> {
        if slot_bytes == 0 || !slot_bytes.is_multiple_of(SLOT_ALIGNMENT_BYTES) || slot_bytes as u64 > u32::MAX as u64 {
            return Err(GeometryError::SlotBytes);
        }
        if !slots.is_power_of_two() || slots > MAX_SLOTS {
            return Err(GeometryError::Slots);
        }
        match slot_bytes.checked_mul(slots as usize) {
            Some(bytes) if bytes <= isize::MAX as usize - SLOTS_OFFSET => Ok(Self { slot_bytes, slots }),
            _ => Err(GeometryError::RegionTooSmall),
        }
    }

    /// The ring with as many slots of `slot_bytes` as a data region of `region_bytes` holds.
    ///
    /// As the header takes 256 bytes and the number of slots is a power of two, slots whose size is itself a power of two
    /// leave almost half the region unused; [`Self::filling`] finds the size that does not.
    pub const fn fitting(region_bytes: usize, slot_bytes: usize) -> Result<Self, GeometryError> {
        if slot_bytes == 0 {
            return Err(GeometryError::SlotBytes);
        }
        let room = region_bytes.saturating_sub(SLOTS_OFFSET) / slot_bytes;
        if room == 0 {
            return Err(GeometryError::RegionTooSmall);
        }
        let exponent = room.ilog2();
        let limit = MAX_SLOTS.ilog2();
        Self::new(slot_bytes, 1 << if exponent < limit { exponent } else { limit })
    }

    /// The ring with the largest slots of which a data region of `region_bytes` holds `slots`.
    pub const fn filling(region_bytes: usize, slots: u32) -> Result<Self, GeometryError> {
        if slots == 0 {
            return Err(GeometryError::Slots);
        }
        let room = region_bytes.saturating_sub(SLOTS_OFFSET) / slots as usize;
        if room < SLOT_ALIGNMENT_BYTES {
            return Err(GeometryError::RegionTooSmall);
        }
        Self::new(room - room % SLOT_ALIGNMENT_BYTES, slots)
    }

    /// Bytes from one slot to the next.
    pub const fn slot_bytes(&self) -> usize {
        self.slot_bytes
    }

    /// How many messages the ring holds.
    pub const fn slots(&self) -> u32 {
        self.slots
    }

    /// The longest message, in bytes. A [`Consumer`](crate::Consumer)'s buffer must be at least this long.
    pub const fn payload_bytes(&self) -> usize {
        self.slot_bytes - SLOT_HEADER_BYTES
    }

    /// How many bytes of the data region the ring takes.
    pub const fn data_region_bytes(&self) -> usize {
        SLOTS_OFFSET + self.slot_bytes * self.slots as usize
    }

    /// Where the slot for a free-running index starts. In range for every index, whoever made it up.
    pub(crate) const fn slot_offset(&self, index: u32) -> usize {
        let slot = index & (self.slots - 1);
        SLOTS_OFFSET + slot as usize * self.slot_bytes
    }

    /// Whether both regions are large enough.
    pub(crate) const fn check_regions(&self, data_bytes: usize, head_bytes: usize) -> Result<(), GeometryError> {
        if data_bytes < self.data_region_bytes() || head_bytes < HEAD_REGION_BYTES {
            return Err(GeometryError::RegionTooSmall);
        }
        Ok(())
    }
}

/// The bit of an answer that says "not this epoch". Epochs are therefore 31-bit numbers.
const REFUSED: u32 = 1 << 31;

/// One life of a ring: from one reset to the next. Never 0, which in memory says "no epoch".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Epoch(u32);

impl Epoch {
    /// What a word of the peer's says; a word that is no epoch counts as none.
    pub(crate) fn from_word(word: u32) -> Option<Self> {
        (word != 0 && word & REFUSED == 0).then_some(Self(word))
    }

    pub(crate) fn word(self) -> u32 {
        self.0
    }

    fn following(self) -> Self {
        Self::from_word(self.0 + 1).unwrap_or(Self(1))
    }

    /// An epoch that is neither the one before nor the one that the peer answered last.
    pub(crate) fn after(previous: Option<Self>, answered: Option<Self>) -> Self {
        let next = previous.or(answered).map_or(Self(1), Self::following);
        if Some(next) == answered { next.following() } else { next }
    }
}

/// What the consumer says about the producer's epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It has seen none.
    Nothing,
    /// It starts from slot 0 in this epoch, or already has.
    Accepted(Epoch),
    /// It will not read this epoch any more and asks for another.
    Refused(Epoch),
}

impl Answer {
    pub(crate) fn from_word(word: u32) -> Self {
        match Epoch::from_word(word & !REFUSED) {
            None => Self::Nothing,
            Some(epoch) if word & REFUSED == 0 => Self::Accepted(epoch),
            Some(epoch) => Self::Refused(epoch),
        }
    }

    pub(crate) fn word(self) -> u32 {
        match self {
            Self::Nothing => 0,
            Self::Accepted(epoch) => epoch.word(),
            Self::Refused(epoch) => epoch.word() | REFUSED,
        }
    }

    pub(crate) fn epoch(self) -> Option<Epoch> {
        match self {
            Self::Nothing => None,
            Self::Accepted(epoch) | Self::Refused(epoch) => Some(epoch),
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn fitting_takes_the_largest_power_of_two_that_fits() {
        let geometry = Geometry::fitting(SLOTS_OFFSET + 7 * 64, 64).unwrap();
        assert_eq!((geometry.slots(), geometry.payload_bytes()), (4, 60));
        assert_eq!(Geometry::fitting(SLOTS_OFFSET + 8 * 64, 64).unwrap().slots(), 8);
        assert_eq!(Geometry::fitting(SLOTS_OFFSET + 63, 64), Err(GeometryError::RegionTooSmall));
        assert_eq!(Geometry::fitting(0, 64), Err(GeometryError::RegionTooSmall));
        assert_eq!(Geometry::fitting(4096, 0), Err(GeometryError::SlotBytes));
    }

    #[test]
    fn filling_leaves_less_than_one_alignment_per_slot() {
        let geometry = Geometry::filling(65536, 32).unwrap();
        assert_eq!(geometry.slot_bytes(), 2040);
        assert_eq!(geometry.data_region_bytes(), 65536);
        assert_eq!(Geometry::filling(SLOTS_OFFSET + 15, 2), Err(GeometryError::RegionTooSmall));
        assert_eq!(Geometry::filling(4096, 0), Err(GeometryError::Slots));
        assert_eq!(Geometry::filling(4096, 3), Err(GeometryError::Slots));
    }

    #[test]
    fn impossible_shapes_are_refused() {
        assert_eq!(Geometry::new(0, 4), Err(GeometryError::SlotBytes));
        assert_eq!(Geometry::new(12, 4), Err(GeometryError::SlotBytes));
        assert_eq!(Geometry::new(64, 0), Err(GeometryError::Slots));
        assert_eq!(Geometry::new(64, 3), Err(GeometryError::Slots));
        assert_eq!(Geometry::new(u32::MAX as usize + 1, 1), Err(GeometryError::SlotBytes));
        assert_eq!(Geometry::new(u32::MAX as usize - 7, 1 << 31).map(|largest| largest.slots()), Ok(1 << 31));
    }

    #[test]
    fn every_index_lands_within_the_data_region() {
        let geometry = Geometry::new(24, 4).unwrap();
        for index in [0, 3, 4, 0x7fff_ffff, u32::MAX] {
            assert!(geometry.slot_offset(index) + geometry.slot_bytes() <= geometry.data_region_bytes());
        }
    }

    #[test]
    fn a_new_epoch_differs_from_the_last_one_and_from_the_last_answer() {
        let epoch = |word| Epoch::from_word(word);
        let last = (1 << 31) - 1;
        for previous in [None, epoch(1), epoch(2), epoch(last - 1), epoch(last)] {
            for answered in [None, epoch(1), epoch(2), epoch(3), epoch(last)] {
                let next = Epoch::after(previous, answered);
                assert_ne!(Some(next), previous);
                assert_ne!(Some(next), answered);
                assert_eq!(Epoch::from_word(next.word()), Some(next));
            }
        }
    }

    #[test]
    fn answers_survive_their_encoding() {
        let epoch = Epoch::from_word(7).unwrap();
        for answer in [Answer::Nothing, Answer::Accepted(epoch), Answer::Refused(epoch)] {
            assert_eq!(Answer::from_word(answer.word()), answer);
        }
        assert_eq!(Answer::from_word(REFUSED), Answer::Nothing);
    }
}
