//! Accesses of a ring's two ends to their regions, at offsets that the geometry computes.
//!
//! No offset here comes from the peer: indices are masked to a slot before they become one. So an access out of range is a
//! fault of ours, and a panic.

use crate::memory::SharedMemory;

/// States the invariant of every access below: `Geometry::check_regions` passed, and no offset comes from the peer.
const IN_RANGE: &str = "the regions' sizes were checked by `new`";

pub(crate) fn load<M: SharedMemory>(memory: &M, offset: usize) -> u32 {
    memory.load_u32(offset).expect(IN_RANGE)
}

pub(crate) fn store<M: SharedMemory>(memory: &M, offset: usize, value: u32) {
    memory.store_u32(offset, value).expect(IN_RANGE);
}

pub(crate) fn read<M: SharedMemory>(memory: &M, offset: usize, destination: &mut [u8]) {
    memory.read(offset, destination).expect(IN_RANGE);
}

pub(crate) fn write<M: SharedMemory>(memory: &M, offset: usize, source: &[u8]) {
    memory.write(offset, source).expect(IN_RANGE);
}
