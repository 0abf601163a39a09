//! RAM that a test's guest and the machine share, one arena a thread, and `virtio-drivers`' way to get pieces of it.

use std::alloc::{Layout, alloc_zeroed};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ptr::NonNull;

use pd_vmm_machine::{GuestRam, MachineLayout};
use shared_ring::MappedMemory;
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

/// Guest-physical address of the first byte.
const BASE: u64 = MachineLayout::LINUX.memory.base;
/// Enough for all queues and buffers of one driver, several times over.
const SIZE: usize = 16 * 1024 * 1024;

/// Hands out pieces; what comes back is handed out again to whoever asks for the same size.
struct Arena {
    start: NonNull<u8>,
    used: usize,
    free: BTreeMap<usize, Vec<usize>>,
}

thread_local! {
    static ARENA: RefCell<Arena> = RefCell::new(Arena::new());
}

impl Arena {
    fn new() -> Self {
        let layout = Layout::from_size_align(SIZE, PAGE_SIZE).unwrap();
        // SAFETY: the layout's size is not zero.
        let start = unsafe { alloc_zeroed(layout) };
        Self { start: NonNull::new(start).expect("memory for a test"), used: 0, free: BTreeMap::new() }
    }

    fn allocate(&mut self, bytes: usize) -> usize {
        let bytes = bytes.next_multiple_of(64);
        if let Some(offset) = self.free.get_mut(&bytes).and_then(Vec::pop) {
            return offset;
        }
        let offset = self.used;
        self.used += bytes;
        assert!(self.used <= SIZE, "the test's guest has no memory left");
        offset
    }

    fn release(&mut self, offset: usize, bytes: usize) {
        self.free.entry(bytes.next_multiple_of(64)).or_default().push(offset);
    }

    fn at(&self, offset: usize) -> NonNull<u8> {
        assert!(offset < SIZE);
        // SAFETY: within the arena, which is one allocation that is never freed.
        unsafe { self.start.add(offset) }
    }
}

fn to_guest(offset: usize) -> PhysAddr {
    BASE + offset as u64
}

fn to_offset(address: PhysAddr) -> usize {
    usize::try_from(address - BASE).unwrap()
}

/// This thread's guest RAM, as the machine sees it.
pub(crate) fn ram() -> GuestRam<MappedMemory> {
    let start = ARENA.with_borrow(|arena| arena.start);
    // SAFETY: the arena lives as long as the process. It is reached by this value's atomics and, from the same thread, by
    // the driver through raw pointers; no references to plain data are kept across a call.
    let memory = unsafe { MappedMemory::new(start, SIZE) };
    GuestRam::new(BASE, memory).expect("the range fits")
}

/// The guest's memory management: pages for queues, and buffers copied in and out, as with a bounce buffer.
pub(crate) struct GuestHal;

// SAFETY: `dma_alloc` answers zeroed, page-aligned pieces of the arena that nobody else has until they are given back,
// and `share` and `unshare` copy exactly the caller's buffers.
unsafe impl Hal for GuestHal {
    fn dma_alloc(pages: usize, _direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        ARENA.with_borrow_mut(|arena| {
            let offset = arena.allocate((pages + 1) * PAGE_SIZE).next_multiple_of(PAGE_SIZE);
            let start = arena.at(offset);
            // SAFETY: so many pages from here are the arena's and this caller's alone.
            unsafe { start.write_bytes(0, pages * PAGE_SIZE) };
            (to_guest(offset), start)
        })
    }

    unsafe fn dma_dealloc(_paddr: PhysAddr, _vaddr: NonNull<u8>, _pages: usize) -> i32 {
        // Queues live as long as their test.
        0
    }

    unsafe fn mmio_phys_to_virt(_paddr: PhysAddr, _size: usize) -> NonNull<u8> {
        unreachable!("only the PCI transport asks")
    }

    unsafe fn share(buffer: NonNull<[u8]>, direction: BufferDirection) -> PhysAddr {
        ARENA.with_borrow_mut(|arena| {
            let offset = arena.allocate(buffer.len());
            if direction != BufferDirection::DeviceToDriver {
                // SAFETY: the caller's buffer is valid, and the piece has its length and is not in it.
                unsafe { arena.at(offset).copy_from_nonoverlapping(buffer.cast(), buffer.len()) };
            }
            to_guest(offset)
        })
    }

    unsafe fn unshare(paddr: PhysAddr, buffer: NonNull<[u8]>, direction: BufferDirection) {
        ARENA.with_borrow_mut(|arena| {
            let offset = to_offset(paddr);
            if direction != BufferDirection::DriverToDevice {
                // SAFETY: the caller's buffer is valid, and the piece has its length and is not in it.
                unsafe { buffer.cast().copy_from_nonoverlapping(arena.at(offset), buffer.len()) };
            }
            arena.release(offset, buffer.len());
        });
    }
}
