//! A device's registers: 32-bit accesses that reach it once each, in program order.

use core::ptr::NonNull;

/// The registers of one device, mapped uncached into this domain.
#[derive(Debug)]
pub struct DeviceRegisters {
    start: NonNull<u32>,
    size_bytes: usize,
}

/// Bytes of a register.
const REGISTER_BYTES: usize = size_of::<u32>();

impl DeviceRegisters {
    /// The device at `address`, as the Microkit tool patched it into this image; see `Sel4Wiring::device`.
    pub(crate) fn new(address: usize, size_bytes: usize) -> Option<Self> {
        let start = NonNull::new(core::ptr::with_exposed_provenance_mut::<u32>(address))?;
        start.is_aligned().then_some(Self { start, size_bytes })
    }

    /// The register at `offset` bytes; 0 where the device has none.
    pub fn read(&self, offset: usize) -> u32 {
        match self.register(offset) {
            // SAFETY: mapped for as long as the domain lives, checked to lie within; the device expects single accesses.
            Some(register) => unsafe { register.read_volatile() },
            None => 0,
        }
    }

    /// Writes the register at `offset` bytes; nothing where the device has none.
    pub fn write(&mut self, offset: usize, value: u32) {
        if let Some(register) = self.register(offset) {
            // SAFETY: mapped for as long as the domain lives, checked to lie within; the device expects single accesses.
            unsafe { register.write_volatile(value) };
        }
    }

    fn register(&self, offset: usize) -> Option<NonNull<u32>> {
        let fits = offset.is_multiple_of(REGISTER_BYTES) && offset.checked_add(REGISTER_BYTES)? <= self.size_bytes;
        // SAFETY: within the mapping, as just checked.
        fits.then(|| unsafe { self.start.byte_add(offset) })
    }
}
