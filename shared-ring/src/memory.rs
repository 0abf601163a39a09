//! Memory that somebody else is writing: copied in, copied out, never borrowed.
//!
//! A Rust reference to bytes that another domain may change is undefined behaviour waiting to be exploited: the compiler
//! may read a length twice and believe the second answer. So nothing here returns a reference. Every byte is copied by
//! relaxed atomic accesses, index words by acquire loads and release stores; what the peer does meanwhile can garble
//! the copy, never the program. This module trusts the mapping that it was given (its address, its size and that it
//! stays), and nothing that lies in it. It is the only module of the crate that contains `unsafe`.
#![allow(unsafe_code)]

use core::fmt;
use core::mem::size_of;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering};

#[cfg(any(test, feature = "alloc"))]
use alloc::{rc::Rc, sync::Arc};

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::fence;

/// An access that does not lie within the memory, or an index word that is not 4-aligned. Nothing was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfRange;

impl fmt::Display for OutOfRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("access outside the shared memory, or not aligned to 4 bytes")
    }
}

impl core::error::Error for OutOfRange {}

/// Memory that another domain may read or write at any time. Never hands out references: everything is copied.
///
/// An access that fails with [`OutOfRange`] has copied nothing. A copy is not atomic as a whole: a peer that writes
/// meanwhile can mix old and new bytes in it.
pub trait SharedMemory {
    /// How many bytes there are; offsets run from 0 to one less.
    fn size_bytes(&self) -> usize;
    /// Copies `destination.len()` bytes out, starting at `offset`.
    fn read(&self, offset: usize, destination: &mut [u8]) -> Result<(), OutOfRange>;
    /// Copies all of `source` in, starting at `offset`.
    fn write(&self, offset: usize, source: &[u8]) -> Result<(), OutOfRange>;
    /// acquire load, offset must be 4-aligned
    fn load_u32(&self, offset: usize) -> Result<u32, OutOfRange>;
    /// release store, offset must be 4-aligned
    fn store_u32(&self, offset: usize, value: u32) -> Result<(), OutOfRange>;
}

/// Whole values in and out of shared memory, by copy. Implemented for every [`SharedMemory`].
pub trait SharedValues: SharedMemory {
    /// Copies a value out. Its bytes are the peer's: check every field before use.
    fn read_value<T: FromBytes + IntoBytes>(&self, offset: usize) -> Result<T, OutOfRange> {
        let mut value = T::new_zeroed();
        self.read(offset, value.as_mut_bytes())?;
        Ok(value)
    }

    /// Copies a value in.
    fn write_value<T: IntoBytes + Immutable>(&self, offset: usize, value: &T) -> Result<(), OutOfRange> {
        self.write(offset, value.as_bytes())
    }
}

impl<M: SharedMemory + ?Sized> SharedValues for M {}

/// Zeroes a whole memory whose writer was stopped, while its peers go on reading.
///
/// The first word goes first: it is a ring's epoch, a ring's answer or a cell's sequence number, and whoever sees any
/// other byte zeroed sees that this one says "nothing here".
pub fn scrub<M: SharedMemory + ?Sized>(memory: &M) {
    /// Large enough that the copies dominate, small enough for any domain's stack.
    const CHUNK_BYTES: usize = 256;
    let zeros = [0; CHUNK_BYTES];
    let size_bytes = memory.size_bytes();
    let mut offset = INDEX_BYTES.min(size_bytes);
    memory.write(0, &zeros[..offset]).expect("within the memory's size");
    fence::release();
    while offset < size_bytes {
        let count = CHUNK_BYTES.min(size_bytes - offset);
        memory.write(offset, &zeros[..count]).expect("within the memory's size");
        offset += count;
    }
}

macro_rules! forward_to_target {
    ($($generics:tt)*) => {
        $($generics)* {
            fn size_bytes(&self) -> usize {
                (**self).size_bytes()
            }
            fn read(&self, offset: usize, destination: &mut [u8]) -> Result<(), OutOfRange> {
                (**self).read(offset, destination)
            }
            fn write(&self, offset: usize, source: &[u8]) -> Result<(), OutOfRange> {
                (**self).write(offset, source)
            }
            fn load_u32(&self, offset: usize) -> Result<u32, OutOfRange> {
                (**self).load_u32(offset)
            }
            fn store_u32(&self, offset: usize, value: u32) -> Result<(), OutOfRange> {
                (**self).store_u32(offset, value)
            }
        }
    };
}

forward_to_target!(impl<M: SharedMemory + ?Sized> SharedMemory for &M);
#[cfg(any(test, feature = "alloc"))]
forward_to_target!(impl<M: SharedMemory + ?Sized> SharedMemory for Arc<M>);
#[cfg(any(test, feature = "alloc"))]
forward_to_target!(impl<M: SharedMemory + ?Sized> SharedMemory for Rc<M>);

/// `Ok` when `length` bytes from `offset` lie within `size_bytes`.
#[inline]
fn check_range(size_bytes: usize, offset: usize, length: usize) -> Result<(), OutOfRange> {
    match offset.checked_add(length) {
        Some(end) if end <= size_bytes => Ok(()),
        _ => Err(OutOfRange),
    }
}

/// [`check_range`] for an index word.
#[inline]
fn check_index_word(size_bytes: usize, offset: usize) -> Result<(), OutOfRange> {
    if !offset.is_multiple_of(INDEX_BYTES) {
        return Err(OutOfRange);
    }
    check_range(size_bytes, offset, INDEX_BYTES)
}

/// A part of another memory with offsets of its own; an access that leaves the part fails, even where the whole goes on.
#[derive(Debug, Clone, Copy)]
pub struct Window<M> {
    memory: M,
    start: usize,
    size_bytes: usize,
}

impl<M: SharedMemory> Window<M> {
    /// `size_bytes` bytes of `memory` from `start`, which must be a multiple of 4 so that index words stay aligned.
    pub fn new(memory: M, start: usize, size_bytes: usize) -> Result<Self, OutOfRange> {
        check_range(memory.size_bytes(), start, size_bytes)?;
        if !start.is_multiple_of(INDEX_BYTES) {
            return Err(OutOfRange);
        }
        Ok(Self { memory, start, size_bytes })
    }
}

impl<M: SharedMemory> SharedMemory for Window<M> {
    fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    fn read(&self, offset: usize, destination: &mut [u8]) -> Result<(), OutOfRange> {
        check_range(self.size_bytes, offset, destination.len())?;
        self.memory.read(self.start + offset, destination)
    }

    fn write(&self, offset: usize, source: &[u8]) -> Result<(), OutOfRange> {
        check_range(self.size_bytes, offset, source.len())?;
        self.memory.write(self.start + offset, source)
    }

    fn load_u32(&self, offset: usize) -> Result<u32, OutOfRange> {
        check_index_word(self.size_bytes, offset)?;
        self.memory.load_u32(self.start + offset)
    }

    fn store_u32(&self, offset: usize, value: u32) -> Result<(), OutOfRange> {
        check_index_word(self.size_bytes, offset)?;
        self.memory.store_u32(self.start + offset, value)
    }
}

/// Bytes of one machine word, the unit of bulk copies.
const WORD_BYTES: usize = size_of::<usize>();

/// Bytes of an index word.
const INDEX_BYTES: usize = size_of::<u32>();

/// A region that the kernel mapped into this domain, shared with one that is not trusted.
///
/// Copies move whole machine words, each by one naturally aligned access to the shared side; the private side may lie
/// anywhere. Bytes written in one width may be read in another, which the processors that we build for all allow.
/// Clones are handles on the same mapping.
#[derive(Debug, Clone)]
pub struct MappedMemory {
    pointer: NonNull<u8>,
    size_bytes: usize,
}

// SAFETY: the mapping belongs to the domain, not to a thread, and `new` demands that it outlives every handle.
unsafe impl Send for MappedMemory {}
// SAFETY: every access through `&self` is atomic, so threads race as harmlessly as the other domain does.
unsafe impl Sync for MappedMemory {}

impl MappedMemory {
    /// The mapping at `pointer`.
    ///
    /// # Panics
    /// When `pointer` is not aligned to a machine word: mappings are page-aligned, so this is the caller's bug.
    ///
    /// # Safety
    /// As long as the value or a clone of it lives, `size_bytes` bytes from `pointer` (at most `isize::MAX`) must be mapped
    /// readable, and writable too if `write` or `store_u32` will be called. In this program they must be reached only by
    /// `MappedMemory` values or atomics, never by references to plain data. Other programs may do with them what
    /// they like.
    pub unsafe fn new(pointer: NonNull<u8>, size_bytes: usize) -> Self {
        assert!(pointer.addr().get().is_multiple_of(WORD_BYTES), "a mapping starts at a page");
        Self { pointer, size_bytes }
    }

    /// The address of a byte that the caller has checked to be within the mapping.
    #[inline]
    fn byte_at(&self, offset: usize) -> NonNull<u8> {
        debug_assert!(offset < self.size_bytes);
        // SAFETY: within the mapping, so within one allocated object and no more than `isize::MAX` from its start.
        unsafe { self.pointer.add(offset) }
    }

    #[inline]
    fn byte(&self, offset: usize) -> &AtomicU8 {
        // SAFETY: mapped and alive by `new`'s contract, and an `AtomicU8` needs no alignment and allows any writer.
        unsafe { AtomicU8::from_ptr(self.byte_at(offset).as_ptr()) }
    }

    /// The machine word at `offset`, which is a multiple of [`WORD_BYTES`] and has a whole word after it.
    #[inline]
    fn word(&self, offset: usize) -> &AtomicUsize {
        debug_assert!(offset.is_multiple_of(WORD_BYTES));
        // SAFETY: mapped and alive by `new`'s contract; aligned because the start and the offset are.
        unsafe { AtomicUsize::from_ptr(self.byte_at(offset).cast().as_ptr()) }
    }

    /// The index word at `offset`, which is a multiple of 4 and has four bytes after it.
    #[inline]
    fn index_word(&self, offset: usize) -> &AtomicU32 {
        debug_assert!(offset.is_multiple_of(INDEX_BYTES));
        // SAFETY: mapped and alive by `new`'s contract; aligned because the start and the offset are.
        unsafe { AtomicU32::from_ptr(self.byte_at(offset).cast().as_ptr()) }
    }

    /// Copies out the less than one machine word that lies before or after the aligned ones, which is 4 bytes for a
    /// ring's slots, and returns how many bytes that was.
    fn read_narrow(&self, offset: usize, destination: &mut [u8]) -> usize {
        if offset.is_multiple_of(INDEX_BYTES)
            && let Ok(quad) = <&mut [u8; INDEX_BYTES]>::try_from(&mut *destination)
        {
            *quad = self.index_word(offset).load(Ordering::Relaxed).to_ne_bytes();
        } else {
            for (position, byte) in (offset..).zip(&mut *destination) {
                *byte = self.byte(position).load(Ordering::Relaxed);
            }
        }
        destination.len()
    }

    /// The counterpart of [`Self::read_narrow`].
    fn write_narrow(&self, offset: usize, source: &[u8]) -> usize {
        if offset.is_multiple_of(INDEX_BYTES)
            && let Ok(quad) = <[u8; INDEX_BYTES]>::try_from(source)
        {
            self.index_word(offset).store(u32::from_ne_bytes(quad), Ordering::Relaxed);
        } else {
            for (position, byte) in (offset..).zip(source) {
                self.byte(position).store(*byte, Ordering::Relaxed);
            }
        }
        source.len()
    }
}

/// How many of `length` bytes from `offset` come before the next multiple of `alignment`.
fn bytes_before(offset: usize, length: usize, alignment: usize) -> usize {
    (offset.next_multiple_of(alignment) - offset).min(length)
}

impl SharedMemory for MappedMemory {
    #[inline]
    fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    fn read(&self, offset: usize, destination: &mut [u8]) -> Result<(), OutOfRange> {
        check_range(self.size_bytes, offset, destination.len())?;
        let mut position = offset;
        let unaligned = bytes_before(position, destination.len(), WORD_BYTES);
        let (first, rest) = destination.split_at_mut(unaligned);
        position += self.read_narrow(position, first);
        let (words, last) = rest.as_chunks_mut::<WORD_BYTES>();
        for word in words {
            *word = self.word(position).load(Ordering::Relaxed).to_ne_bytes();
            position += WORD_BYTES;
        }
        self.read_narrow(position, last);
        Ok(())
    }

    fn write(&self, offset: usize, source: &[u8]) -> Result<(), OutOfRange> {
        check_range(self.size_bytes, offset, source.len())?;
        let mut position = offset;
        let unaligned = bytes_before(position, source.len(), WORD_BYTES);
        let (first, rest) = source.split_at(unaligned);
        position += self.write_narrow(position, first);
        let (words, last) = rest.as_chunks::<WORD_BYTES>();
        for word in words {
            self.word(position).store(usize::from_ne_bytes(*word), Ordering::Relaxed);
            position += WORD_BYTES;
        }
        self.write_narrow(position, last);
        Ok(())
    }

    #[inline]
    fn load_u32(&self, offset: usize) -> Result<u32, OutOfRange> {
        check_index_word(self.size_bytes, offset)?;
        Ok(self.index_word(offset).load(Ordering::Acquire))
    }

    #[inline]
    fn store_u32(&self, offset: usize, value: u32) -> Result<(), OutOfRange> {
        check_index_word(self.size_bytes, offset)?;
        self.index_word(offset).store(value, Ordering::Release);
        Ok(())
    }
}

/// Shared memory on the heap, for tests and for threads of one program: clones are handles on the same bytes.
///
/// Safe code throughout. A partly covered 32-bit word is changed by compare-and-swap, so that writers of neighbouring
/// bytes never undo each other.
#[cfg(any(test, feature = "alloc"))]
#[derive(Debug, Clone)]
pub struct HeapMemory {
    words: Arc<[AtomicU32]>,
    size_bytes: usize,
}

#[cfg(any(test, feature = "alloc"))]
impl HeapMemory {
    /// `size_bytes` bytes, all 0.
    pub fn new(size_bytes: usize) -> Self {
        let words = (0..size_bytes.div_ceil(INDEX_BYTES)).map(|_| AtomicU32::new(0)).collect();
        Self { words, size_bytes }
    }
}

/// Splits `length` bytes from `offset` at 32-bit word borders: (word, first byte within it, count).
#[cfg(any(test, feature = "alloc"))]
fn word_parts(offset: usize, length: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    let end = offset + length;
    let mut position = offset;
    core::iter::from_fn(move || {
        if position == end {
            return None;
        }
        let within = position % INDEX_BYTES;
        let count = (INDEX_BYTES - within).min(end - position);
        let part = (position / INDEX_BYTES, within, count);
        position += count;
        Some(part)
    })
}

#[cfg(any(test, feature = "alloc"))]
impl SharedMemory for HeapMemory {
    fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    fn read(&self, offset: usize, destination: &mut [u8]) -> Result<(), OutOfRange> {
        check_range(self.size_bytes, offset, destination.len())?;
        let mut rest = destination;
        for (word, within, count) in word_parts(offset, rest.len()) {
            let (part, after) = rest.split_at_mut(count);
            let bytes = self.words[word].load(Ordering::Relaxed).to_ne_bytes();
            part.copy_from_slice(&bytes[within..within + count]);
            rest = after;
        }
        Ok(())
    }

    fn write(&self, offset: usize, source: &[u8]) -> Result<(), OutOfRange> {
        check_range(self.size_bytes, offset, source.len())?;
        let mut rest = source;
        for (word, within, count) in word_parts(offset, rest.len()) {
            let (part, after) = rest.split_at(count);
            if let Ok(whole) = <[u8; INDEX_BYTES]>::try_from(part) {
                self.words[word].store(u32::from_ne_bytes(whole), Ordering::Relaxed);
            } else {
                overwrite_part(&self.words[word], within, part);
            }
            rest = after;
        }
        Ok(())
    }

    fn load_u32(&self, offset: usize) -> Result<u32, OutOfRange> {
        check_index_word(self.size_bytes, offset)?;
        Ok(self.words[offset / INDEX_BYTES].load(Ordering::Acquire))
    }

    fn store_u32(&self, offset: usize, value: u32) -> Result<(), OutOfRange> {
        check_index_word(self.size_bytes, offset)?;
        self.words[offset / INDEX_BYTES].store(value, Ordering::Release);
        Ok(())
    }
}

/// Replaces some bytes of a word and leaves the others to whoever else writes them.
#[cfg(any(test, feature = "alloc"))]
fn overwrite_part(word: &AtomicU32, within: usize, part: &[u8]) {
    let mut current = word.load(Ordering::Relaxed);
    loop {
        let mut bytes = current.to_ne_bytes();
        bytes[within..within + part.len()].copy_from_slice(part);
        let changed = u32::from_ne_bytes(bytes);
        match word.compare_exchange_weak(current, changed, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return,
            Err(now) => current = now,
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use alloc::{boxed::Box, vec, vec::Vec};

    use super::*;

    /// A mapping for tests, which nobody ever unmaps.
    fn mapped(size_bytes: usize) -> MappedMemory {
        let words: Vec<AtomicUsize> = (0..size_bytes.div_ceil(WORD_BYTES)).map(|_| AtomicUsize::new(0)).collect();
        let pointer = NonNull::from(Box::leak(words.into_boxed_slice())).cast();
        // SAFETY: leaked, at least that long, and made of atomics.
        unsafe { MappedMemory::new(pointer, size_bytes) }
    }

    /// Every start and length around two machine words, against a plain array.
    fn copies_exactly(memory: &impl SharedMemory) {
        const SIZE: usize = 3 * WORD_BYTES + 1;
        assert_eq!(memory.size_bytes(), SIZE);
        let pattern: Vec<u8> = (1u8..).take(SIZE).collect();
        for offset in 0..SIZE {
            for length in 0..=SIZE - offset {
                scrub(memory);
                memory.write(offset, &pattern[..length]).unwrap();
                let mut expected = [0; SIZE];
                expected[offset..offset + length].copy_from_slice(&pattern[..length]);
                let mut whole = [0xff; SIZE];
                memory.read(0, &mut whole).unwrap();
                assert_eq!(whole, expected, "{length} bytes at {offset}");
                let mut part = vec![0xff; length];
                memory.read(offset, &mut part).unwrap();
                assert_eq!(part, pattern[..length], "{length} bytes at {offset}");
            }
        }
    }

    #[test]
    fn heap_copies_exactly_what_was_asked() {
        copies_exactly(&HeapMemory::new(3 * WORD_BYTES + 1));
    }

    #[test]
    fn mapping_copies_exactly_what_was_asked() {
        copies_exactly(&mapped(3 * WORD_BYTES + 1));
    }

    #[test]
    fn window_copies_exactly_what_was_asked() {
        let whole = mapped(64);
        copies_exactly(&Window::new(&whole, 4, 3 * WORD_BYTES + 1).unwrap());
    }

    fn refuses_what_is_outside(memory: &impl SharedMemory) {
        assert_eq!(memory.size_bytes(), 10);
        for (offset, length) in [(10, 1), (9, 2), (0, 11), (usize::MAX, 1), (usize::MAX, 2), (usize::MAX - 3, 4)] {
            assert_eq!(memory.read(offset, &mut vec![0; length]), Err(OutOfRange), "{length} bytes at {offset}");
            assert_eq!(memory.write(offset, &vec![0; length]), Err(OutOfRange), "{length} bytes at {offset}");
        }
        assert_eq!(memory.read(10, &mut []), Ok(()));
        assert_eq!(memory.read(11, &mut []), Err(OutOfRange));
        for offset in [1, 2, 3, 8, 12, usize::MAX, usize::MAX - 3] {
            assert_eq!(memory.load_u32(offset), Err(OutOfRange), "at {offset}");
            assert_eq!(memory.store_u32(offset, 1), Err(OutOfRange), "at {offset}");
        }
        assert_eq!(memory.store_u32(4, 0x0102_0304), Ok(()));
        assert_eq!(memory.load_u32(4), Ok(0x0102_0304));
    }

    #[test]
    fn accesses_outside_are_refused() {
        refuses_what_is_outside(&HeapMemory::new(10));
        refuses_what_is_outside(&mapped(10));
        refuses_what_is_outside(&Rc::new(HeapMemory::new(10)));
        refuses_what_is_outside(&Window::new(HeapMemory::new(64), 8, 10).unwrap());
        assert_eq!(Window::new(HeapMemory::new(64), 60, 5).map(|_| ()), Err(OutOfRange));
        assert_eq!(Window::new(HeapMemory::new(64), usize::MAX, 5).map(|_| ()), Err(OutOfRange));
        assert_eq!(Window::new(HeapMemory::new(64), 6, 8).map(|_| ()), Err(OutOfRange));
    }

    #[test]
    fn a_window_does_not_reach_its_neighbours() {
        let whole = HeapMemory::new(24);
        let window = Window::new(&whole, 8, 8).unwrap();
        window.write(0, &[7; 8]).unwrap();
        assert_eq!(window.write(1, &[9; 8]), Err(OutOfRange));
        let mut bytes = [0; 24];
        whole.read(0, &mut bytes).unwrap();
        assert_eq!(bytes[..8], [0; 8]);
        assert_eq!(bytes[8..16], [7; 8]);
        assert_eq!(bytes[16..], [0; 8]);
    }

    #[test]
    fn scrubbing_leaves_nothing() {
        for size_bytes in [0, 1, 3, 4, 5, 255, 256, 260, 1021] {
            let memory = HeapMemory::new(size_bytes);
            memory.write(0, &vec![0xa5; size_bytes]).unwrap();
            scrub(&memory);
            let mut bytes = vec![0xff; size_bytes];
            memory.read(0, &mut bytes).unwrap();
            assert!(bytes.iter().all(|byte| *byte == 0), "{size_bytes} bytes");
        }
    }

    #[test]
    fn values_travel_whole() {
        let memory = mapped(32);
        memory.write_value(4, &[1u64, u64::MAX - 1]).unwrap();
        assert_eq!(memory.read_value::<[u64; 2]>(4), Ok([1, u64::MAX - 1]));
        assert_eq!(memory.read_value::<[u64; 2]>(20), Err(OutOfRange));
    }

    #[test]
    fn writers_of_neighbouring_bytes_do_not_undo_each_other() {
        extern crate std;
        let memory = HeapMemory::new(8);
        std::thread::scope(|scope| {
            for lane in 0..4 {
                let memory = &memory;
                scope.spawn(move || {
                    for round in 0..2000u32 {
                        let byte = round.to_le_bytes()[0];
                        memory.write(lane, &[byte]).unwrap();
                        let mut read = [0];
                        memory.read(lane, &mut read).unwrap();
                        assert_eq!(read, [byte]);
                    }
                });
            }
        });
    }
}
