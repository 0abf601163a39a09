//! What decoding takes of the heap for the manifest that is dearest for its size.
//!
//! A binary of its own with one test, because its allocator counts what the whole process allocates.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering},
};

use runner_container::{Files, MAX_MANIFEST_BYTES, Manifest};

/// Counts what is in use, and the peak.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system's allocator unchanged; only numbers are kept beside it. `realloc` is the provided
// one, which allocates, copies and frees, as the simplest heap of a domain does.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = IN_USE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller's duties are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's duties are the system allocator's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Bytes that `work` had in use at its peak.
fn peak_of(work: impl FnOnce()) -> usize {
    let before = IN_USE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    work();
    PEAK.load(Ordering::Relaxed) - before
}

#[test]
fn a_manifest_takes_a_small_multiple_of_its_size() {
    // Sixty-four services with sixty-four attributes of two empty texts each: structurally well, three bytes an attribute.
    let attributes = [&[0x98, 64][..], &[0x82, 0x60, 0x60].repeat(64)].concat();
    let service = [&[0xa3, 1, 0x61, b'c', 2, 0x61, b's', 3][..], &attributes].concat();
    let manifest = [&[0xa2, 1, 0x61, b'a', 11, 0x98, 64][..], &service.repeat(64)].concat();
    assert!(manifest.len() <= MAX_MANIFEST_BYTES);
    let peak = peak_of(|| assert!(Manifest::decode(&manifest).is_err()));
    assert!(peak > manifest.len(), "the counting does not count");
    assert!(peak <= 20 * manifest.len(), "{peak} bytes for {}", manifest.len());
    // A length that is not there.
    let announced = [0xa2, 1, 0x61, b'a', 4, 0x98, 64];
    let peak = peak_of(|| assert!(Manifest::decode(&announced).is_err()));
    assert!(peak < 1024, "{peak} bytes for {}", announced.len());
    let files = [&[0x81, 0x82, 0x61, b'a', 0x5a, 0, 0x0f, 0, 0][..], &vec![0; 0xf_0000]].concat();
    assert_eq!(peak_of(|| assert!(Files::decode(&files).is_ok())), 0);
}
