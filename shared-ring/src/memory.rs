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
fn check_range(size_bytes: usize, offset: usize, length: usize) -> Result<(), OutOfRange> {
    match offset.checked_add(length) {
        Some(end) if end <= size_bytes => Ok(()),
        _ => Err(OutOfRange),
    }
}

/// [`check_range`] for an index word.
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
    fn byte_at(&self, offset: usize) -> NonNull<u8> {
        debug_assert!(offset < self.size_bytes);
        // SAFETY: within the mapping, so within one allocated object and no more than `isize::MAX` from its start.
        unsafe { self.pointer.add(offset) }
    }

    fn byte(&self, offset: usize) -> &AtomicU8 {
        // SAFETY: mapped and alive by `new`'s contract, and an `AtomicU8` needs no alignment and allows any writer.
        unsafe { AtomicU8::from_ptr(self.byte_at(offset).as_ptr()) }
    }

    /// The machine word at `offset`, which is a multiple of [`WORD_BYTES`] and has a whole word after it.
    fn word(&self, offset: usize) -> &AtomicUsize {
        debug_assert!(offset.is_multiple_of(WORD_BYTES));
        // SAFETY: mapped and alive by `new`'s contract; aligned because the start and the offset are.
        unsafe { AtomicUsize::from_ptr(self.byte_at(offset).cast().as_ptr()) }
    }

    /// The index word at `offset`, which is a multiple of 4 and has four bytes after it.
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

    fn load_u32(&self, offset: usize) -> Result<u32, OutOfRange> {
        check_index_word(self.size_bytes, offset)?;
        Ok(self.index_word(offset).load(Ordering::Acquire))
    }

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

    /// Sets every byte to 0, as a region is scrubbed when its domain restarts.
    pub fn zero(&self) {
        for word in self.words.iter() {
            word.store(0, Ordering::Relaxed);
        }
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
