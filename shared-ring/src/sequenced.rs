//! A value that one domain rewrites and others read whole, without either waiting for the other.
//!
//! Grant tables and status blocks are small and written by one domain only. There are two places for the value, which the
//! writer fills in turn, and a sequence number that says which one holds the last whole value. So a reader has the last whole
//! value also while the writer is in the middle of the next, preempted there, or dead: what was shown before a notification
//! is there for whoever the notification wakes, whatever the writer does next. A reader whose place was filled anew while it
//! read has mixed bytes and throws them away. It trusts nobody: it gives up after a few tries, and what it read whole is still
//! the writer's word: validate it.

use core::marker::PhantomData;
use core::mem::size_of;

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::fence;
use crate::memory::{OutOfRange, SharedMemory, SharedValues};

/// The places lie behind the sequence number and what keeps their 64-bit fields aligned.
const PLACES_OFFSET: usize = 8;

/// Tries of one [`SequencedCell::try_read`]. One fails only where the writer completes a value and begins another meanwhile; who
/// writes so fast again and again has not settled on anything that is worth waiting for.
const READ_TRIES: usize = 4;

/// How many bytes a [`SequencedCell`] of `T` takes in its memory.
pub const fn sequenced_bytes<T>() -> usize {
    PLACES_OFFSET + 2 * size_of::<T>()
}

/// A `T` in shared memory behind a sequence number: one writer, any number of readers.
///
/// At its offset lie `{ sequence: u32, unused: u32, places: [T; 2] }`. Sequence 2n says that n values were written, the last of
/// which lies in place n mod 2; 2n + 1 says the same, and that the next is being written into the other place. 0 means
/// that there is none.
#[derive(Debug)]
pub struct SequencedCell<M, T> {
    memory: M,
    offset: usize,
    /// The writer's own copy of the sequence number, even between writes.
    sequence: u32,
    /// Whether the place that `sequence` names holds a value of this writer's life, or of one before it that was not cleared.
    has_value: bool,
    value: PhantomData<fn() -> T>,
}

impl<M: SharedMemory, T: FromBytes + IntoBytes + Immutable> SequencedCell<M, T> {
    /// How many bytes the cell takes in its memory.
    pub const SIZE_BYTES: usize = sequenced_bytes::<T>();

    /// The cell at `offset`, a multiple of 4, for its writer as for a reader. Nothing is written yet.
    pub fn new(memory: M, offset: usize) -> Result<Self, OutOfRange> {
        let end = offset.checked_add(Self::SIZE_BYTES).ok_or(OutOfRange)?;
        if end > memory.size_bytes() {
            return Err(OutOfRange);
        }
        // A writer that died in the middle left an odd number; its successor writes into the same place again.
        let sequence = memory.load_u32(offset)? & !1;
        Ok(Self { memory, offset, sequence, has_value: sequence != 0, value: PhantomData })
    }

    /// Continues after `sequence`, for a writer whose memory may have been zeroed when it restarted: from a start that differs
    /// from life to life (the clock will do), a reader that slept through the restart cannot take two lives' bytes for one.
    pub fn continue_after(&mut self, sequence: u32) {
        self.sequence = sequence & !1;
        self.has_value = false;
    }

    /// Replaces the value. Only the one writer calls this; readers see either the old value or the new one.
    pub fn write(&mut self, value: &T) {
        let next = match self.sequence.wrapping_add(2) {
            // 0 says that there is none; the place is the same as that of 0.
            0 => 4,
            next => next,
        };
        self.store_sequence(if self.has_value { self.sequence.wrapping_add(1) } else { 0 });
        // The number becomes visible before any byte of the value does.
        fence::release();
        self.memory.write_value(self.place(next), value).expect(CHECKED);
        (self.sequence, self.has_value) = (next, true);
        self.store_sequence(next);
    }

    /// The last value that was written whole; nothing where there is none, or where the writer was faster at every try.
    pub fn try_read(&self) -> Option<T> {
        Some(self.try_read_numbered()?.1)
    }

    /// Which value that is: while a writer goes on, another number for each; 0 where there is none. For who looks often at what changes
    /// seldom.
    pub fn number(&self) -> u32 {
        self.load_sequence() & !1
    }

    /// A part of that value, which begins so many bytes into it, for who looks often and seldom needs the rest. Nothing also
    /// where the part does not lie within the value.
    pub fn try_read_part<P: FromBytes + IntoBytes + Immutable>(&self, offset: usize) -> Option<P> {
        if offset.checked_add(size_of::<P>())? > size_of::<T>() {
            return None;
        }
        (0..READ_TRIES).find_map(|_| self.read_once_at(offset)).map(|(_, part)| part)
    }

    /// The same with its even sequence number.
    fn try_read_numbered(&self) -> Option<(u32, T)> {
        (0..READ_TRIES).find_map(|_| self.read_once_at(0))
    }

    /// What lies there in the last whole value; the callers have seen to it that it lies within.
    fn read_once_at<P: FromBytes + IntoBytes + Immutable>(&self, offset: usize) -> Option<(u32, P)> {
        let before = self.number();
        if before == 0 {
            return None;
        }
        let value = self.memory.read_value(self.place(before) + offset).expect(CHECKED);
        // Every byte of the value was read before the number is looked at again.
        fence::acquire();
        // Up to the end of the next value, only the other place is written.
        (self.load_sequence().wrapping_sub(before) <= 2).then_some((before, value))
    }

    /// Where the value lies that an even sequence number is about.
    fn place(&self, sequence: u32) -> usize {
        let number = usize::from(sequence & 2 != 0);
        self.offset + PLACES_OFFSET + number * size_of::<T>()
    }

    fn load_sequence(&self) -> u32 {
        self.memory.load_u32(self.offset).expect(CHECKED)
    }

    fn store_sequence(&self, sequence: u32) {
        self.memory.store_u32(self.offset, sequence).expect(CHECKED);
    }
}

/// A [`SequencedCell`] for a reader who looks often at what changes seldom: it keeps what it read, and as long as the sequence
/// number is the same, one look at that is all. What is withdrawn is gone with the next look, as with a cell.
///
/// For a writer who never begins anew, or begins elsewhere ([`SequencedCell::continue_after`]): one who came back to a number
/// that was kept would be taken for the one before.
#[derive(Debug)]
pub struct KeptValue<M, T> {
    cell: SequencedCell<M, T>,
    /// The even sequence number of `value`; 0 where there is none.
    sequence: u32,
    value: Option<T>,
}

impl<M: SharedMemory, T: FromBytes + IntoBytes + Immutable> KeptValue<M, T> {
    /// Keeps what is in `cell`.
    pub fn new(cell: SequencedCell<M, T>) -> Self {
        Self { cell, sequence: 0, value: None }
    }

    /// The last value that was written whole, as [`SequencedCell::try_read`] has it.
    pub fn latest(&mut self) -> Option<&T> {
        // Also while the next value is being written: up to its end the number before it is the last whole one's.
        self.look();
        self.value.as_ref()
    }

    /// Which value [`Self::latest`] would be: another number for each that was written; 0 for none.
    #[inline]
    pub fn look(&mut self) -> u32 {
        if self.cell.number() != self.sequence {
            self.read_anew();
        }
        self.sequence
    }

    /// The number that the last look found.
    pub fn sequence(&self) -> u32 {
        self.sequence
    }

    /// Out of line: what is looked at often is the number.
    #[cold]
    #[inline(never)]
    fn read_anew(&mut self) {
        let read = self.cell.try_read_numbered();
        self.sequence = read.as_ref().map_or(0, |(sequence, _)| *sequence);
        self.value = read.map(|(_, value)| value);
    }
}

/// Why no access of a cell fails.
const CHECKED: &str = "the cell's range was checked by `new`";

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::memory::{HeapMemory, scrub};

    type Cell = SequencedCell<HeapMemory, [u64; 2]>;

    #[test]
    fn a_reader_sees_nothing_before_the_first_write_and_then_the_last() {
        let memory = HeapMemory::new(64);
        let mut writer = Cell::new(memory.clone(), 16).unwrap();
        let reader = Cell::new(memory, 16).unwrap();
        assert_eq!(reader.try_read(), None);
        writer.write(&[1, 2]);
        assert_eq!(reader.try_read(), Some([1, 2]));
        writer.write(&[3, 4]);
        assert_eq!(reader.try_read(), Some([3, 4]));
    }

    #[test]
    fn a_part_is_that_of_the_last_whole_value_and_lies_within_it() {
        let memory = HeapMemory::new(64);
        let mut writer = Cell::new(memory.clone(), 0).unwrap();
        assert_eq!(writer.try_read_part::<u64>(0), None);
        writer.write(&[1, 2]);
        writer.write(&[3, 4]);
        memory.store_u32(0, 5).unwrap();
        memory.write_value(8 + 16, &99_u64).unwrap();
        assert_eq!(writer.try_read_part::<u64>(0), Some(3), "not of the one under way");
        assert_eq!(writer.try_read_part::<u64>(8), Some(4));
        assert_eq!(writer.try_read_part::<[u64; 2]>(0), Some([3, 4]));
        for beyond in [9, 16, usize::MAX] {
            assert_eq!(writer.try_read_part::<u64>(beyond), None);
        }
    }

    #[test]
    fn a_write_under_way_leaves_the_last_value_readable() {
        let memory = HeapMemory::new(64);
        let mut writer = Cell::new(memory.clone(), 0).unwrap();
        writer.write(&[1, 2]);
        writer.write(&[3, 4]);
        // The third value goes where the first was, and its writer dies in the middle of it.
        memory.store_u32(0, 5).unwrap();
        memory.write_value(8 + 16, &99_u64).unwrap();
        assert_eq!(writer.try_read(), Some([3, 4]));
        // Its successor begins with the same place.
        let mut successor = Cell::new(memory.clone(), 0).unwrap();
        assert_eq!(successor.try_read(), Some([3, 4]));
        successor.write(&[5, 6]);
        assert_eq!(successor.try_read(), Some([5, 6]));
        assert_eq!(memory.load_u32(0), Ok(6));
    }

    #[test]
    fn the_first_value_that_is_never_finished_is_none() {
        let memory = HeapMemory::new(64);
        let reader = Cell::new(memory.clone(), 0).unwrap();
        memory.store_u32(0, 1).unwrap();
        memory.write_value(8 + 16, &99_u64).unwrap();
        assert_eq!(reader.try_read(), None);
    }

    #[test]
    fn the_sequence_never_wraps_to_none() {
        let memory = HeapMemory::new(64);
        let mut writer = Cell::new(memory.clone(), 0).unwrap();
        writer.continue_after(u32::MAX - 5);
        for round in 0..6 {
            writer.write(&[round, round + 1]);
            assert_ne!(memory.load_u32(0), Ok(0));
            assert_eq!(writer.try_read(), Some([round, round + 1]));
        }
    }

    #[test]
    fn a_restarted_writer_goes_on_from_where_it_is_told() {
        for is_zeroed in [false, true] {
            let memory = HeapMemory::new(64);
            Cell::new(memory.clone(), 0).unwrap().write(&[1, 2]);
            if is_zeroed {
                scrub(&memory);
            }
            let mut writer = Cell::new(memory.clone(), 0).unwrap();
            assert_eq!(writer.try_read(), (!is_zeroed).then_some([1, 2]));
            writer.continue_after(0x1001);
            writer.write(&[3, 4]);
            assert_eq!(memory.load_u32(0), Ok(0x1002));
            assert_eq!(writer.try_read(), Some([3, 4]));
        }
    }

    #[test]
    fn what_is_kept_is_always_what_is_there() {
        let memory = HeapMemory::new(64);
        let mut writer = Cell::new(memory.clone(), 0).unwrap();
        let reader = Cell::new(memory.clone(), 0).unwrap();
        let mut kept = KeptValue::new(Cell::new(memory.clone(), 0).unwrap());
        assert_eq!(kept.latest(), None);
        for round in 1..5 {
            writer.write(&[round, !round]);
            let before = kept.sequence();
            for _ in 0..3 {
                assert_eq!(kept.latest().copied(), reader.try_read());
                assert_eq!(kept.latest(), Some(&[round, !round]));
                assert_ne!(kept.sequence(), before);
            }
        }
        // The writer is in the middle of the next, and then its memory is cleared.
        memory.store_u32(0, 9).unwrap();
        assert_eq!(kept.latest(), Some(&[4, !4]));
        scrub(&memory);
        assert_eq!((kept.latest(), reader.try_read()), (None, None));
        memory.store_u32(0, 1).unwrap();
        assert_eq!(kept.latest(), None, "the first that is never finished is none");
    }

    #[test]
    fn what_is_kept_is_read_from_memory_once() {
        let memory = HeapMemory::new(64);
        let mut writer = Cell::new(memory.clone(), 0).unwrap();
        let mut kept = KeptValue::new(Cell::new(memory.clone(), 0).unwrap());
        writer.write(&[1, 2]);
        assert_eq!(kept.latest(), Some(&[1, 2]));
        // Nobody writes so; it shows what is looked at.
        memory.write_value(8 + 16, &99_u64).unwrap();
        assert_eq!(kept.latest(), Some(&[1, 2]));
        writer.write(&[3, 4]);
        assert_eq!(kept.latest(), Some(&[3, 4]));
    }

    #[test]
    fn a_cell_that_does_not_fit_is_refused() {
        assert_eq!(Cell::SIZE_BYTES, 40);
        assert!(Cell::new(HeapMemory::new(40), 0).is_ok());
        for (size_bytes, offset) in [(39, 0), (40, 1), (44, 4 + 4), (64, 2), (64, usize::MAX - 3)] {
            assert_eq!(Cell::new(HeapMemory::new(size_bytes), offset).map(|_| ()), Err(OutOfRange));
        }
    }

    #[test]
    fn a_reader_on_another_core_never_sees_half_a_value() {
        extern crate std;
        let memory = HeapMemory::new(Cell::SIZE_BYTES);
        let reader = Cell::new(memory.clone(), 0).unwrap();
        let mut writer = Cell::new(memory, 0).unwrap();
        writer.write(&[0, !0]);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for round in 1..20_000 {
                    writer.write(&[round, !round]);
                }
            });
            let mut last = 0;
            while last < 19_999 {
                if let Some([value, complement]) = reader.try_read() {
                    assert_eq!(complement, !value);
                    assert!(value >= last);
                    last = value;
                }
            }
        });
    }
}
