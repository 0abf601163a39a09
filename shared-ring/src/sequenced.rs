//! A value that one domain rewrites and others read whole, without either waiting for the other.
//!
//! Grant tables and status blocks are small, read often and written seldom, by one domain only. A sequence number
//! in front of the value is odd while the writer is at it; a reader that saw it odd, or saw it change, has mixed bytes and
//! throws them away. The reader trusts nobody: it gives up after a few tries, because a writer that was preempted, died
//! or lies can keep the number odd for ever. What is read whole is still the writer's word: validate it.

use core::marker::PhantomData;
use core::mem::size_of;

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::fence;
use crate::memory::{OutOfRange, SharedMemory, SharedValues};

/// The value lies 8 bytes after its sequence number, so that its 64-bit fields are copied by single accesses.
const VALUE_OFFSET: usize = 8;

/// Tries of one [`SequencedCell::try_read`]. A writer on another core is through within one or two copies; a reader that
/// preempted the writer waits in vain however often it looks, so more would only cost it time.
const READ_TRIES: usize = 4;

/// A `T` in shared memory behind a sequence number: one writer, any number of readers.
///
/// At its offset lie `{ sequence: u32, unused: u32, value: T }`; sequence 0 means never written.
#[derive(Debug)]
pub struct SequencedCell<M, T> {
    memory: M,
    offset: usize,
    /// The writer's own copy of the sequence number, even between writes.
    sequence: u32,
    value: PhantomData<fn() -> T>,
}

impl<M: SharedMemory, T: FromBytes + IntoBytes + Immutable> SequencedCell<M, T> {
    /// How many bytes the cell takes in its memory.
    pub const SIZE_BYTES: usize = VALUE_OFFSET + size_of::<T>();

    /// The cell at `offset`, a multiple of 4, for its writer as for a reader. Nothing is written yet.
    pub fn new(memory: M, offset: usize) -> Result<Self, OutOfRange> {
        let end = offset.checked_add(Self::SIZE_BYTES).ok_or(OutOfRange)?;
        if end > memory.size_bytes() {
            return Err(OutOfRange);
        }
        let found = memory.load_u32(offset)?;
        // A writer that died in the middle left an odd number; its successor goes on after it.
        let sequence = found.wrapping_add(found & 1);
        Ok(Self { memory, offset, sequence, value: PhantomData })
    }

    /// Continues after `sequence`, for a writer whose memory was zeroed when it restarted: from a start that differs
    /// from life to life (the clock will do), a reader that slept through the restart cannot take two lives' bytes for one.
    pub fn continue_after(&mut self, sequence: u32) {
        self.sequence = sequence & !1;
    }

    /// Replaces the value. Only the one writer calls this; readers see either the old value, or the new one, or none.
    pub fn write(&mut self, value: &T) {
        self.store_sequence(self.sequence.wrapping_add(1));
        // The odd number becomes visible before any byte of the value does.
        fence::release();
        self.memory.write_value(self.offset + VALUE_OFFSET, value).expect("the cell's range was checked by `new`");
        self.sequence = match self.sequence.wrapping_add(2) {
            // 0 says "never written".
            0 => 2,
            next => next,
        };
        self.store_sequence(self.sequence);
    }

    /// The value as of one moment, or nothing where it was never written, or is being written at every try.
    ///
    /// A reader that may run *while* the writer is preempted (a driver above the warden) keeps its last good copy and
    /// goes on with that.
    pub fn try_read(&self) -> Option<T> {
        (0..READ_TRIES).find_map(|_| self.read_once())
    }

    fn read_once(&self) -> Option<T> {
        let before = self.load_sequence();
        if before == 0 || before & 1 == 1 {
            return None;
        }
        let value = self.memory.read_value(self.offset + VALUE_OFFSET).expect("the cell's range was checked by `new`");
        // Every byte of the value was read before the number is looked at again.
        fence::acquire();
        (self.load_sequence() == before).then_some(value)
    }

    fn load_sequence(&self) -> u32 {
        self.memory.load_u32(self.offset).expect("the cell's range was checked by `new`")
    }

    fn store_sequence(&self, sequence: u32) {
        self.memory.store_u32(self.offset, sequence).expect("the cell's range was checked by `new`");
    }
}

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
    fn a_write_under_way_hides_the_value() {
        let memory = HeapMemory::new(64);
        let mut writer = Cell::new(memory.clone(), 0).unwrap();
        writer.write(&[1, 2]);
        memory.store_u32(0, 3).unwrap();
        assert_eq!(writer.try_read(), None);
        // The writer's successor goes on after the write that was never finished.
        let mut successor = Cell::new(memory.clone(), 0).unwrap();
        successor.write(&[5, 6]);
        assert_eq!(successor.try_read(), Some([5, 6]));
        assert_eq!(memory.load_u32(0), Ok(6));
    }

    #[test]
    fn the_sequence_never_wraps_to_never_written() {
        let memory = HeapMemory::new(64);
        memory.store_u32(0, u32::MAX - 1).unwrap();
        let mut writer = Cell::new(memory.clone(), 0).unwrap();
        writer.write(&[1, 2]);
        assert_eq!(memory.load_u32(0), Ok(2));
        assert_eq!(writer.try_read(), Some([1, 2]));
    }

    #[test]
    fn a_restarted_writer_goes_on_from_where_it_is_told() {
        let memory = HeapMemory::new(64);
        Cell::new(memory.clone(), 0).unwrap().write(&[1, 2]);
        scrub(&memory);
        let mut writer = Cell::new(memory.clone(), 0).unwrap();
        assert_eq!(writer.try_read(), None);
        writer.continue_after(0x1001);
        writer.write(&[3, 4]);
        assert_eq!(memory.load_u32(0), Ok(0x1002));
        assert_eq!(writer.try_read(), Some([3, 4]));
    }

    #[test]
    fn a_cell_that_does_not_fit_is_refused() {
        assert_eq!(Cell::SIZE_BYTES, 24);
        assert!(Cell::new(HeapMemory::new(24), 0).is_ok());
        for (size_bytes, offset) in [(23, 0), (24, 1), (28, 4 + 4), (64, 2), (64, usize::MAX - 3)] {
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
