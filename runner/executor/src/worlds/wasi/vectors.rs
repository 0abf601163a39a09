//! Scattered buffers of the container (`iovec`, `ciovec`): read anew whenever they are used, and believed only as far as they
//! lie in the memory.

use super::errno::Errno;
use crate::memory::{Fault, GuestMemory, length_u32, offset};

/// Vectors of one call: POSIX' usual `IOV_MAX`.
const MAX_VECTORS: u32 = 1024;

/// Vectors that are looked at at a time, which is some microseconds' work. A call moves what these hold and leaves the others for the next
/// call, as any short read or write does.
const AT_A_TIME: u32 = 16;

/// Of a vector, which is looked at twice.
const FUEL_PER_VECTOR: u64 = 3;

/// Bytes of one vector: address and length.
const VECTOR_BYTES: u32 = 8;

/// Where the vectors of a call stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Vectors {
    address: u32,
    count: u32,
}

impl Vectors {
    pub(super) fn new(address: u32, count: u32) -> Result<Self, Errno> {
        if count > MAX_VECTORS { Err(Errno::Invalid) } else { Ok(Self { address, count }) }
    }

    /// Fuel of looking at those that are looked at.
    pub(super) fn fuel(self) -> u64 {
        u64::from(self.looked_at()) * FUEL_PER_VECTOR
    }

    fn looked_at(self) -> u32 {
        self.count.min(AT_A_TIME)
    }

    /// Those behind the ones that are looked at, if there are any: for a call whose first vectors are all empty.
    pub(super) fn rest(self) -> Result<Option<Self>, Fault> {
        let left = self.count - self.looked_at();
        let address = offset(self.address, self.looked_at() * VECTOR_BYTES)?;
        Ok((left > 0).then_some(Self { address, count: left }))
    }

    /// Address and length of the vector with that index.
    fn vector(self, memory: &GuestMemory<'_>, index: u32) -> Result<(u32, u32), Fault> {
        let at = offset(self.address, index * VECTOR_BYTES)?;
        Ok((memory.read_u32(at)?, memory.read_u32(offset(at, 4)?)?))
    }

    /// Bytes of the vectors that are looked at, each of which lies in the memory. A sum of more than 32 bits cannot be told; what is beyond
    /// is left for the next call too.
    pub(super) fn total_bytes(self, memory: &GuestMemory<'_>) -> Result<u32, Fault> {
        let mut total = 0u32;
        for index in 0..self.looked_at() {
            let (address, length) = self.vector(memory, index)?;
            memory.slice(address, length)?;
            total = total.saturating_add(length);
        }
        Ok(total)
    }

    /// Copies `bytes` into the vectors, behind the first `skipped` bytes of them; what they have no room for is left out.
    pub(super) fn scatter(self, memory: &mut GuestMemory<'_>, skipped: u32, bytes: &[u8]) -> Result<(), Fault> {
        let (mut skipped, mut bytes) = (skipped, bytes);
        for index in 0..self.looked_at() {
            let (address, length) = self.vector(memory, index)?;
            let skip = skipped.min(length);
            skipped -= skip;
            let (part, rest) = bytes.split_at(bytes.len().min((length - skip) as usize));
            memory.write(offset(address, skip)?, part)?;
            bytes = rest;
            if bytes.is_empty() {
                break;
            }
        }
        Ok(())
    }
}

/// Where somebody who takes bytes out of vectors is.
#[derive(Default)]
pub(super) struct Cursor {
    index: u32,
    position: u32,
}

impl Cursor {
    /// Fills `payload` from the vectors as far as they go; answers how many bytes.
    pub(super) fn gather(
        &mut self,
        memory: &GuestMemory<'_>,
        vectors: Vectors,
        payload: &mut [u8],
    ) -> Result<u32, Fault> {
        let mut filled = 0;
        while filled < payload.len() && self.index < vectors.looked_at() {
            let (address, length) = vectors.vector(memory, self.index)?;
            // Both are 32-bit numbers of bytes that lie in the memory (`total_bytes`).
            let rest = memory.slice(offset(address, self.position)?, length - self.position)?;
            let taken = rest.len().min(payload.len() - filled);
            payload[filled..filled + taken].copy_from_slice(&rest[..taken]);
            filled += taken;
            self.position += length_u32(taken);
            if self.position == length {
                *self = Self { index: self.index + 1, position: 0 };
            }
        }
        Ok(length_u32(filled))
    }
}
