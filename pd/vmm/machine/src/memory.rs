//! The guest's memory, by guest-physical address, by copy.
//!
//! The guest and its devices' backends share RAM, and the guest may change any byte at any time. So there are no
//! references into it: bytes are copied out, then checked, then used, and an address that the guest wrote is checked
//! against the RAM's range at each access. Trusts the mapping underneath (`shared-ring`), nothing that lies in it.

use core::fmt;

use shared_ring::SharedMemory;

/// An access that does not lie within the guest's RAM, or a word access that is not aligned. Nothing was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutsideGuestMemory;

impl fmt::Display for OutsideGuestMemory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the address lies outside the guest's memory, or a word is not aligned")
    }
}

impl core::error::Error for OutsideGuestMemory {}

/// RAM that a guest writes at will, addressed as the guest addresses it (guest-physical, bytes).
pub trait GuestMemory {
    /// The guest-physical address of the first byte.
    fn base(&self) -> u64;

    /// How many bytes there are.
    fn size_bytes(&self) -> u64;

    /// Copies `destination.len()` bytes out.
    fn read(&self, address: u64, destination: &mut [u8]) -> Result<(), OutsideGuestMemory>;

    /// Copies all of `source` in.
    fn write(&self, address: u64, source: &[u8]) -> Result<(), OutsideGuestMemory>;

    /// Loads a word whole, with acquire ordering; `address` is a multiple of 4.
    fn load_u32(&self, address: u64) -> Result<u32, OutsideGuestMemory>;

    /// Stores a word whole, with release ordering; `address` is a multiple of 4.
    fn store_u32(&self, address: u64, value: u32) -> Result<(), OutsideGuestMemory>;

    /// Whether `length` bytes from `address` all lie in RAM. An empty range does where its address does.
    fn contains(&self, address: u64, length: u64) -> bool {
        let Some(offset) = address.checked_sub(self.base()) else { return false };
        offset.checked_add(length).is_some_and(|end| end <= self.size_bytes())
    }

    /// Loads a little-endian half word whole, with acquire ordering; `address` is a multiple of 2.
    ///
    /// A ring's index must not be torn: read byte by byte, a step from 0x00ff to 0x0100 could show as 0x01ff. So the
    /// aligned word around it is loaded at once.
    fn load_u16(&self, address: u64) -> Result<u16, OutsideGuestMemory> {
        if !address.is_multiple_of(2) {
            return Err(OutsideGuestMemory);
        }
        let word = u32::from_le(self.load_u32(address & !3)?);
        let [low_0, low_1, high_0, high_1] = word.to_le_bytes();
        Ok(u16::from_le_bytes(if address & 2 == 0 { [low_0, low_1] } else { [high_0, high_1] }))
    }
}

/// RAM behind a mapping that both the guest and this domain have.
#[derive(Clone, Debug)]
pub struct GuestRam<S> {
    base: u64,
    memory: S,
}

impl<S: SharedMemory> GuestRam<S> {
    /// The guest sees the first byte of `memory` at `base`. `None` where the end would lie beyond the last address, or
    /// where the base is not aligned to a page.
    pub fn new(base: u64, memory: S) -> Option<Self> {
        /// The smallest page that can be mapped for a guest.
        const PAGE_BYTES: u64 = 4096;
        let size = u64::try_from(memory.size_bytes()).ok()?;
        base.checked_add(size)?;
        base.is_multiple_of(PAGE_BYTES).then_some(Self { base, memory })
    }

    fn offset(&self, address: u64) -> Result<usize, OutsideGuestMemory> {
        let offset = address.checked_sub(self.base).ok_or(OutsideGuestMemory)?;
        usize::try_from(offset).map_err(|_| OutsideGuestMemory)
    }
}

impl<S: SharedMemory> GuestMemory for GuestRam<S> {
    fn base(&self) -> u64 {
        self.base
    }

    fn size_bytes(&self) -> u64 {
        u64::try_from(self.memory.size_bytes()).expect("`new` converted it")
    }

    fn read(&self, address: u64, destination: &mut [u8]) -> Result<(), OutsideGuestMemory> {
        self.memory.read(self.offset(address)?, destination).map_err(|_| OutsideGuestMemory)
    }

    fn write(&self, address: u64, source: &[u8]) -> Result<(), OutsideGuestMemory> {
        self.memory.write(self.offset(address)?, source).map_err(|_| OutsideGuestMemory)
    }

    fn load_u32(&self, address: u64) -> Result<u32, OutsideGuestMemory> {
        self.memory.load_u32(self.offset(address)?).map_err(|_| OutsideGuestMemory)
    }

    fn store_u32(&self, address: u64, value: u32) -> Result<(), OutsideGuestMemory> {
        self.memory.store_u32(self.offset(address)?, value).map_err(|_| OutsideGuestMemory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared_ring::HeapMemory;

    const BASE: u64 = 0x4000_0000;

    fn ram() -> GuestRam<HeapMemory> {
        GuestRam::new(BASE, HeapMemory::new(0x2000)).expect("the range fits")
    }

    #[test]
    fn what_was_written_is_read_at_the_same_guest_address() {
        let ram = ram();
        ram.write(BASE + 5, b"atoll").unwrap();
        let mut bytes = [0; 5];
        ram.read(BASE + 5, &mut bytes).unwrap();
        assert_eq!(&bytes, b"atoll");
    }

    #[test]
    fn nothing_outside_the_range_is_reached() {
        let ram = ram();
        for (address, length) in [(BASE - 1, 1), (BASE + 0x2000, 1), (BASE + 0x1fff, 2), (0, 4), (u64::MAX, 8)] {
            assert_eq!(ram.read(address, &mut [0; 8][..length]), Err(OutsideGuestMemory), "{address:#x}");
            assert_eq!(ram.write(address, &[0; 8][..length]), Err(OutsideGuestMemory), "{address:#x}");
            assert!(!ram.contains(address, length as u64), "{address:#x}");
        }
        assert!(ram.contains(BASE, 0x2000));
        assert!(!ram.contains(BASE + 1, u64::MAX));
    }

    #[test]
    fn half_words_are_taken_from_their_word() {
        let ram = ram();
        ram.write(BASE + 8, &[0x34, 0x12, 0x78, 0x56]).unwrap();
        assert_eq!(ram.load_u16(BASE + 8), Ok(0x1234));
        assert_eq!(ram.load_u16(BASE + 10), Ok(0x5678));
        assert_eq!(ram.load_u16(BASE + 9), Err(OutsideGuestMemory));
        assert_eq!(ram.load_u16(BASE + 0x2000), Err(OutsideGuestMemory));
    }

    #[test]
    fn a_range_that_wraps_is_refused() {
        assert!(GuestRam::new(!0xfff, HeapMemory::new(0x2000)).is_none());
        assert!(GuestRam::new(BASE + 4, HeapMemory::new(0x1000)).is_none());
    }
}
