//! The heap: constant-time allocation in memory that is given to it once, at the start.
//!
//! One thread a domain, so no lock. What it is asked for is never more than the domain's own logic needs; when it is
//! full, the logic sees it where it asks fallibly (`try_reserve`), and else the domain ends with a fault.

use core::{
    alloc::{GlobalAlloc, Layout},
    cell::{Cell, UnsafeCell},
    fmt,
    mem::MaybeUninit,
    ptr::{self, NonNull},
};

use rlsf::Tlsf;

/// Blocks up to 2^(4 + 28) bytes (the smallest is 32): more than any region that `system.xml` gives a domain.
type Blocks = Tlsf<'static, u32, u32, 28, 32>;

/// A domain's heap.
pub struct Heap {
    blocks: UnsafeCell<Blocks>,
    used_bytes: Cell<usize>,
}

// SAFETY: a protection domain has one thread, and neither notifications nor faults interrupt it in the middle.
unsafe impl Sync for Heap {}

/// Memory for a heap, in the image's zeroed data.
#[repr(C, align(64))]
pub struct Space<const BYTES: usize>(UnsafeCell<[MaybeUninit<u8>; BYTES]>);

// SAFETY: it is only ever handed out as a whole, to the heap, by `Heap::fill_from_space`.
unsafe impl<const BYTES: usize> Sync for Space<BYTES> {}

impl<const BYTES: usize> Space<BYTES> {
    /// Zeroed memory.
    pub const fn new() -> Self {
        Self(UnsafeCell::new([MaybeUninit::zeroed(); BYTES]))
    }
}

impl<const BYTES: usize> Default for Space<BYTES> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const BYTES: usize> fmt::Debug for Space<BYTES> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Space").field("bytes", &BYTES).finish()
    }
}

impl fmt::Debug for Heap {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Heap").field("used_bytes", &self.used_bytes.get()).finish()
    }
}

impl Heap {
    /// A heap with nothing in it yet.
    pub const fn new() -> Self {
        Self { blocks: UnsafeCell::new(Blocks::new()), used_bytes: Cell::new(0) }
    }

    /// Bytes in use, as asked for.
    pub fn used_bytes(&self) -> usize {
        self.used_bytes.get()
    }

    /// Gives the heap `space`, which [`crate::protection_domain!`] declares for nothing else and gives once.
    pub fn fill_from_space<const BYTES: usize>(&self, space: &'static Space<BYTES>) {
        self.fill(NonNull::from(space).cast(), BYTES);
    }

    /// Gives the heap the region at `address`, which `system.xml` gives this domain alone.
    pub(crate) fn fill_from_region(&self, address: usize, size_bytes: usize) {
        if let Some(start) = NonNull::new(ptr::with_exposed_provenance_mut(address)) {
            self.fill(start, size_bytes);
        }
    }

    fn fill(&self, start: NonNull<u8>, size_bytes: usize) {
        let block = NonNull::slice_from_raw_parts(start, size_bytes);
        // SAFETY: one thread, and no reference to the blocks outlives a method.
        let blocks = unsafe { &mut *self.blocks.get() };
        // SAFETY: the memory lives as long as the domain and nobody else uses it, as both callers say.
        unsafe { blocks.insert_free_block_ptr(block) };
    }
}

impl Default for Heap {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: `Tlsf` gives out blocks that do not overlap and fit the layout; nothing here unwinds.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: one thread, and no reference to the blocks outlives a method.
        let blocks = unsafe { &mut *self.blocks.get() };
        let Some(block) = blocks.allocate(layout) else { return ptr::null_mut() };
        self.used_bytes.set(self.used_bytes.get() + layout.size());
        block.as_ptr()
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let Some(block) = NonNull::new(pointer) else { return };
        // SAFETY: one thread, and no reference to the blocks outlives a method.
        let blocks = unsafe { &mut *self.blocks.get() };
        // SAFETY: the caller got `pointer` from `alloc` with this layout.
        unsafe { blocks.deallocate(block, layout.align()) };
        self.used_bytes.set(self.used_bytes.get() - layout.size());
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let Some(block) = NonNull::new(pointer) else { return ptr::null_mut() };
        let Ok(new_layout) = Layout::from_size_align(new_size, layout.align()) else { return ptr::null_mut() };
        // SAFETY: one thread, and no reference to the blocks outlives a method.
        let blocks = unsafe { &mut *self.blocks.get() };
        // SAFETY: the caller got `pointer` from `alloc` with this layout.
        let Some(moved) = (unsafe { blocks.reallocate(block, new_layout) }) else { return ptr::null_mut() };
        self.used_bytes.set(self.used_bytes.get() - layout.size() + new_size);
        moved.as_ptr()
    }
}
