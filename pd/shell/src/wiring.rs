//! What `system.xml` gives this domain: numbers that the Microkit tool patched into the image.
//!
//! Trusts the tool. A symbol that was not patched is absent, not zero.

use core::ptr::NonNull;

use runner_interfaces::kernel::{Channel, MissingWiring, Wiring};
use shared_ring::MappedMemory;

use crate::startup::{device::DeviceRegisters, heap::Heap, mapping, processor, symbols};

/// No channel and no child has this number: the value before patching.
pub const ABSENT_NUMBER: u64 = u64::MAX;

/// No region lies at address 0, none has size 0: the value before patching.
pub const ABSENT_REGION: u64 = 0;

/// A symbol that the Microkit tool patches with the number of a channel, of a child domain or of a virtual processor.
#[derive(Debug)]
pub struct NumberSymbol {
    /// Its name in `system.xml`.
    pub name: &'static str,
    /// What is patched.
    pub value: &'static u64,
}

/// A symbol that the Microkit tool patches with a region's address, and the one beside it for the size.
#[derive(Debug)]
pub struct RegionSymbol {
    /// The address's name in `system.xml`.
    pub name: &'static str,
    /// The address, patched.
    pub address: &'static u64,
    /// The size, patched.
    pub size: &'static u64,
}

/// Every symbol of a domain, in groups.
#[derive(Debug)]
pub struct Symbols {
    /// Channels, children, virtual processors.
    pub numbers: &'static [&'static [NumberSymbol]],
    /// Regions.
    pub regions: &'static [&'static [RegionSymbol]],
}

/// The wiring of this domain.
#[derive(Clone, Copy, Debug)]
pub struct Sel4Wiring {
    symbols: &'static Symbols,
}

impl Sel4Wiring {
    /// The wiring that was patched into `symbols`.
    pub const fn new(symbols: &'static Symbols) -> Self {
        Self { symbols }
    }

    /// The number that `symbol` was patched with: a channel's, a child domain's, a virtual processor's.
    pub fn number(&self, symbol: &str) -> Option<u64> {
        let found = self.symbols.numbers.iter().copied().flatten().find(|known| known.name == symbol)?;
        Some(symbols::patched(found.value)).filter(|&value| value != ABSENT_NUMBER)
    }

    /// Address and size in bytes of the region whose address went to `symbol`.
    pub fn address_and_size(&self, symbol: &str) -> Option<(usize, usize)> {
        let found = self.symbols.regions.iter().copied().flatten().find(|known| known.name == symbol)?;
        let address = usize::try_from(symbols::patched(found.address)).ok()?;
        let size = usize::try_from(symbols::patched(found.size)).ok()?;
        (address != 0 && size != 0).then_some((address, size))
    }

    /// The device whose registers' address went to `symbol`.
    ///
    /// # Errors
    /// `system.xml` gives this domain no such device.
    pub fn device(&self, symbol: &str) -> Result<DeviceRegisters, MissingWiring> {
        let found = self.address_and_size(symbol);
        found
            .and_then(|(address, size)| DeviceRegisters::new(address, size))
            .ok_or_else(|| MissingWiring { symbol: symbol.into() })
    }

    /// Brings `size_bytes` bytes from `offset` of the region of `symbol` out of the data caches, as far as the region goes.
    pub fn clean_data_cache(&self, symbol: &str, offset: usize, size_bytes: usize) {
        if let Some((address, size)) = self.address_and_size(symbol) {
            let offset = offset.min(size);
            processor::clean_data_cache(address + offset, size_bytes.min(size - offset));
        }
    }

    /// Makes the region of `symbol` the heap. Without one the heap stays empty, and the first allocation says so.
    pub fn give_to_heap(&self, symbol: &str, heap: &'static Heap) {
        if let Some((address, size)) = self.address_and_size(symbol) {
            heap.fill_from_region(address, size);
        }
    }
}

impl Wiring for Sel4Wiring {
    type Memory = MappedMemory;

    fn channel(&self, symbol: &str) -> Option<Channel> {
        Channel::new(u8::try_from(self.number(symbol)?).ok()?)
    }

    fn region(&self, symbol: &str) -> Option<MappedMemory> {
        let (address, size) = self.address_and_size(symbol)?;
        Some(mapping::of_region(NonNull::new(address as *mut u8)?, size))
    }
}
