//! Maps regions and mailboxes. The only module of this crate that contains `unsafe`.
//!
//! A mapping is never undone: a domain's process keeps its memory until it ends, as a protection domain does. What lies in
//! it may be written by other processes at any time, so it is reached only by [`MappedMemory`]'s copies and by atomics.
//! Trusts the launcher that the descriptor is a `memfd` of that size, sealed against shrinking: an access behind the end would
//! otherwise be a SIGBUS.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use rustix::mm::{MapFlags, ProtFlags, mmap};
use shared_ring::MappedMemory;

/// A region in this process.
pub(crate) type HostMemory = Arc<MappedMemory>;

/// Maps `size_bytes` bytes of `descriptor`, writable where that is asked.
pub(crate) fn map_region(descriptor: impl AsFd, size_bytes: usize, writable: bool) -> io::Result<HostMemory> {
    let pointer = map(descriptor, size_bytes, writable)?;
    // SAFETY: `map` mapped that many bytes with these rights, nobody unmaps them, and only copies and atomics reach them.
    // Where the region is not writable, the domain's logic does not write: a slip is a SIGSEGV in this process alone.
    let memory = unsafe { MappedMemory::new(pointer, size_bytes) };
    Ok(Arc::new(memory))
}

fn map(descriptor: impl AsFd, size_bytes: usize, writable: bool) -> io::Result<NonNull<u8>> {
    let rights = if writable { ProtFlags::READ | ProtFlags::WRITE } else { ProtFlags::READ };
    // SAFETY: no address is asked for, so no mapping that there is already can be replaced.
    let address = unsafe { mmap(std::ptr::null_mut(), size_bytes, rights, MapFlags::SHARED, descriptor, 0) }?;
    NonNull::new(address.cast()).ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

/// Words to wait on, and memory for words to copy, in a page that both ends of a channel may write.
pub(crate) struct SharedPage {
    /// The page as memory.
    pub(crate) memory: HostMemory,
    start: NonNull<u8>,
}

/// Bytes of a [`SharedPage`].
pub(crate) const PAGE_BYTES: usize = 4096;

impl SharedPage {
    /// Maps the first page of `descriptor`.
    pub(crate) fn map(descriptor: impl AsFd) -> io::Result<Self> {
        let start = map(descriptor, PAGE_BYTES, true)?;
        // SAFETY: as in `map_region`; the page is writable.
        let memory = unsafe { MappedMemory::new(start, PAGE_BYTES) };
        Ok(Self { memory: Arc::new(memory), start })
    }

    /// The word at `OFFSET`, as the futex calls take it.
    pub(crate) fn word<const OFFSET: usize>(&self) -> &AtomicU32 {
        const { assert!(OFFSET.is_multiple_of(4) && OFFSET + 4 <= PAGE_BYTES) };
        // SAFETY: the offset was checked to lie within the page.
        let pointer = unsafe { self.start.add(OFFSET) };
        // SAFETY: the page is mapped for the process's life, the word is aligned, and everybody reaches it by atomics.
        unsafe { AtomicU32::from_ptr(pointer.cast().as_ptr()) }
    }
}
