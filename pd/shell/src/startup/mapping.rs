//! Regions as memory that is only ever copied.

use core::ptr::NonNull;

use shared_ring::MappedMemory;

/// The region at `pointer`, whose address and size the Microkit tool patched into this image.
pub(crate) fn of_region(pointer: NonNull<u8>, size_bytes: usize) -> MappedMemory {
    // SAFETY: the tool maps a region of this size there before the domain runs, and nobody unmaps it. The program has
    // no Rust object in it: regions lie outside the image, the stack and the heap, which is never asked for here.
    unsafe { MappedMemory::new(pointer, size_bytes) }
}
