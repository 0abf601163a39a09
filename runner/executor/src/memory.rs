//! The container's linear memory as host functions see it: bounds-checked, little-endian, never trusted.
//!
//! Addresses and lengths come from the container. One that leaves the memory is a [`Fault`], which traps the container.

use core::fmt;

use wasmi::{Caller, errors::HostError};

use crate::{engine::ALLOCATOR, host::Host};

/// What a host function cannot do for a container. All but [`Fault::Suspended`] trap it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No fault: the call waits, see [`Host::wait`].
    Suspended,
    /// The bytes do not lie in the memory.
    OutOfBounds { address: u32, length: u32 },
    /// A result was to be written to an address that is not a multiple of its alignment.
    Misaligned { address: u32 },
    /// A string is not UTF-8.
    NotText { address: u32 },
    /// The module exports no `memory`.
    NoMemory,
    /// A resource handle that the container does not hold.
    NoSuchHandle { resource: &'static str, handle: u32 },
    /// A number that the enumeration does not have.
    NoSuchValue { enumeration: &'static str, value: u32 },
    /// A container holds as many of that resource as it may.
    TooManyHandles { resource: &'static str },
    /// A list that must not be empty is.
    EmptyList,
    /// A list of more elements than the function takes.
    ListTooLong { length: u32 },
    /// The timer that should end a wait cannot be armed, and the call has no way to say so.
    NotTimed,
    /// The module exports no allocator, or one of another type.
    NoAllocator { exported: bool },
    /// The allocator made room outside the memory.
    AllocatedOutside { address: u32, length: u32 },
    /// The allocator made room at another alignment than it was asked for.
    AllocatedMisaligned { address: u32, alignment: u32 },
    /// The allocator called a host function that waits, or that hands over something itself.
    AllocatorWaits,
    /// The allocator went on and on.
    AllocatorFuel { fuel: u64 },
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Suspended => formatter.write_str("the call waits"),
            Self::OutOfBounds { address, length } => {
                write!(formatter, "host call with {length} bytes at {address:#x}, outside the memory")
            }
            Self::Misaligned { address } => {
                write!(formatter, "host call with the misaligned result address {address:#x}")
            }
            Self::NotText { address } => write!(formatter, "host call with a string at {address:#x} that is not UTF-8"),
            Self::NoMemory => formatter.write_str("host call with pointers, but the module exports no `memory`"),
            Self::NoSuchHandle { resource, handle } => {
                write!(formatter, "host call with {resource} handle {handle}, which is not open")
            }
            Self::NoSuchValue { enumeration, value } => {
                write!(formatter, "host call with {value} for `{enumeration}`, which has no such value")
            }
            Self::TooManyHandles { resource } => {
                write!(formatter, "host call for one more {resource} than a container may hold")
            }
            Self::EmptyList => {
                formatter.write_str("host call with an empty list, where something is needed to wait for")
            }
            Self::ListTooLong { length } => write!(formatter, "host call with a list of {length} elements"),
            Self::NotTimed => formatter.write_str("host call that waits, and the timer that should end it was refused"),
            Self::NoAllocator { exported: false } => {
                write!(formatter, "host call that answers text or a list, but the module exports no `{ALLOCATOR}`")
            }
            Self::NoAllocator { exported: true } => {
                write!(formatter, "`{ALLOCATOR}` must take four i32 and answer one")
            }
            Self::AllocatedOutside { address, length } => {
                write!(formatter, "`{ALLOCATOR}` answered {address:#x} for {length} bytes, outside the memory")
            }
            Self::AllocatedMisaligned { address, alignment } => {
                write!(formatter, "`{ALLOCATOR}` answered {address:#x}, which is not a multiple of {alignment}")
            }
            Self::AllocatorWaits => write!(formatter, "`{ALLOCATOR}` made a host call that waits"),
            Self::AllocatorFuel { fuel } => write!(formatter, "`{ALLOCATOR}` took more than {fuel} instructions"),
        }
    }
}

impl HostError for Fault {}

impl From<Fault> for wasmi::Error {
    #[cold]
    fn from(fault: Fault) -> Self {
        Self::host(fault)
    }
}

/// A view of the memory for the length of one host call.
pub(crate) struct GuestMemory<'a> {
    bytes: &'a mut [u8],
}

impl<'a> GuestMemory<'a> {
    pub(crate) fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes }
    }

    /// The caller's memory, and the host's own data.
    pub(crate) fn of<'c>(caller: &'a mut Caller<'c, Host>) -> Result<(Self, &'a mut Host), Fault> {
        let memory = caller.data().memory.ok_or(Fault::NoMemory)?;
        let (bytes, host) = memory.data_and_store_mut(caller);
        Ok((Self { bytes }, host))
    }

    pub(crate) fn slice(&self, address: u32, length: u32) -> Result<&[u8], Fault> {
        let start = address as usize;
        self.bytes.get(start..start.saturating_add(length as usize)).ok_or(Fault::OutOfBounds { address, length })
    }

    /// All of the memory from `address` on; nothing where that is past its end.
    pub(crate) fn from(&self, address: u32) -> &[u8] {
        self.bytes.get(address as usize..).unwrap_or_default()
    }

    pub(crate) fn slice_mut(&mut self, address: u32, length: u32) -> Result<&mut [u8], Fault> {
        let start = address as usize;
        self.bytes.get_mut(start..start.saturating_add(length as usize)).ok_or(Fault::OutOfBounds { address, length })
    }

    fn read<const N: usize>(&self, address: u32) -> Result<[u8; N], Fault> {
        let outside = Fault::OutOfBounds { address, length: length_u32(N) };
        self.bytes.get(address as usize..).and_then(|rest| rest.first_chunk()).copied().ok_or(outside)
    }

    pub(crate) fn read_u16(&self, address: u32) -> Result<u16, Fault> {
        self.read(address).map(u16::from_le_bytes)
    }

    pub(crate) fn read_u32(&self, address: u32) -> Result<u32, Fault> {
        self.read(address).map(u32::from_le_bytes)
    }

    pub(crate) fn read_u64(&self, address: u32) -> Result<u64, Fault> {
        self.read(address).map(u64::from_le_bytes)
    }

    pub(crate) fn read_u8(&self, address: u32) -> Result<u8, Fault> {
        self.read(address).map(u8::from_le_bytes)
    }

    pub(crate) fn write(&mut self, address: u32, bytes: &[u8]) -> Result<(), Fault> {
        let length = length_u32(bytes.len());
        self.slice_mut(address, length)?.copy_from_slice(bytes);
        Ok(())
    }

    pub(crate) fn write_u32(&mut self, address: u32, value: u32) -> Result<(), Fault> {
        self.write(address, &value.to_le_bytes())
    }

    pub(crate) fn write_u64(&mut self, address: u32, value: u64) -> Result<(), Fault> {
        self.write(address, &value.to_le_bytes())
    }
}

/// A length as the container counts; what does not fit leaves every memory.
pub(crate) fn length_u32(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// `address` moved by `offset`; a sum that leaves 32 bits leaves the memory too.
pub(crate) fn offset(address: u32, offset: u32) -> Result<u32, Fault> {
    address.checked_add(offset).ok_or(Fault::OutOfBounds { address, length: offset })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accesses_end_where_the_memory_ends() {
        let mut bytes = [7; 16];
        let mut memory = GuestMemory::new(&mut bytes);
        assert_eq!(memory.read_u32(12), Ok(0x0707_0707));
        for address in [13, 16, u32::MAX] {
            assert_eq!(memory.read_u32(address), Err(Fault::OutOfBounds { address, length: 4 }));
            assert_eq!(memory.write_u32(address, 1), Err(Fault::OutOfBounds { address, length: 4 }));
        }
        assert_eq!(memory.slice(16, 0), Ok(&[][..]));
        assert!(memory.slice(17, 0).is_err());
        assert!(memory.slice(1, u32::MAX).is_err());
        assert!(memory.slice(u32::MAX, u32::MAX).is_err());
        assert!(offset(u32::MAX, 1).is_err());
    }
}
