//! An allocator that counts what each thread allocates, for tests of this crate and of those above it.
//!
//! By thread, since a test's harness allocates in a thread of its own while the test runs.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

/// Counts what is in use, and the peak.
struct Counting;

thread_local! {
    /// Bytes in use; less than nothing where a thread frees what another allocated. Neither needs an allocation or an end.
    static IN_USE: Cell<isize> = const { Cell::new(0) };
    /// The most that was in use since `peak_of` began.
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system's allocator unchanged; only numbers are kept beside it. `realloc` is the provided
// one, which allocates, copies and frees, as the simplest heap of a domain does.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = IN_USE.get() + layout.size().cast_signed();
        IN_USE.set(now);
        PEAK.set(PEAK.get().max(now));
        // SAFETY: the caller's duties are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.set(IN_USE.get() - layout.size().cast_signed());
        // SAFETY: the caller's duties are the system allocator's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Bytes that this thread has in use.
#[allow(dead_code, reason = "not every test asks")]
pub(crate) fn in_use() -> usize {
    IN_USE.get().max(0).cast_unsigned()
}

/// Bytes that `work` had in use at its peak, beyond what was in use before; and what it gave.
pub(crate) fn peak_of<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = IN_USE.get();
    PEAK.set(before);
    let given = work();
    ((PEAK.get() - before).cast_unsigned(), given)
}
