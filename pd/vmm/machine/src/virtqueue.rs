//! A split virtqueue from the device's side (virtio 1.2, chapter 2.7), over memory that the driver rewrites at will.
//!
//! The driver owns the descriptor table and the available ring, the device the used ring; all three lie in guest RAM.
//! Addresses and size are copied when the driver declares the queue ready and cannot change after. Each ring entry and
//! each descriptor is copied out exactly once, checked, and used from the copy; a chain has at most as many descriptors
//! as the queue, so a loop ends. Indices that run ahead of what a queue can hold, addresses outside RAM, and descriptors
//! of the wrong direction are the driver's misbehaviour, and the device stops.

use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{Ordering, fence};

use crate::memory::{GuestMemory, OutsideGuestMemory};

/// Entries of a queue at the most, what `QueueNumMax` says. Linux' console driver puts one 4 KiB page in each entry of a
/// receive queue; 64 of them hold an upload's worth in flight and cost the guest 1.25 MiB over all ports.
pub const MAX_QUEUE_SIZE: u16 = 64;

/// Bytes of a descriptor (2.7.5).
const DESCRIPTOR_BYTES: u64 = 16;
/// Bytes of an available ring's head: flags and index (2.7.6).
const RING_HEAD_BYTES: u64 = 4;
/// Bytes of a used ring's element (2.7.8).
const USED_ELEMENT_BYTES: u64 = 8;
/// Another descriptor follows.
const FLAG_NEXT: u16 = 1;
/// The device writes here.
const FLAG_WRITE: u16 = 2;
/// A table of descriptors elsewhere: not offered.
const FLAG_INDIRECT: u16 = 4;
/// In the available ring: the driver wants no interrupts.
const AVAILABLE_NO_INTERRUPT: u16 = 1;

/// What a driver must not do. The device asks for a reset and touches nothing until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misbehaviour {
    /// A queue's number is beyond the device's.
    NoSuchQueue,
    /// A queue's size is not a power of two, or zero, or too large.
    QueueSize,
    /// A part of a queue is not aligned, or not in RAM.
    QueueAddress,
    /// A queue was changed while it was in use.
    QueueBusy,
    /// More chains offered than the queue has entries.
    AvailableIndex,
    /// A descriptor's number is beyond the table.
    DescriptorIndex,
    /// A chain is longer than the table: it loops.
    DescriptorLoop,
    /// A descriptor of a kind that was not negotiated.
    DescriptorKind,
    /// A buffer to be read where one to be written belongs, or the reverse.
    DescriptorDirection,
    /// A buffer is not in RAM.
    BufferAddress,
    /// A status that the initialisation's order does not allow.
    Status,
    /// A control message shorter than its fixed part, or a control buffer with no room for one.
    ControlMessage,
}

impl fmt::Display for Misbehaviour {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NoSuchQueue => "there is no such queue",
            Self::QueueSize => "a queue's size must be a power of two up to the maximum",
            Self::QueueAddress => "a queue must be aligned and lie in memory",
            Self::QueueBusy => "a queue was changed while in use",
            Self::AvailableIndex => "more buffers offered than the queue has entries",
            Self::DescriptorIndex => "a descriptor beyond the table",
            Self::DescriptorLoop => "a chain of descriptors that loops",
            Self::DescriptorKind => "a kind of descriptor that was not negotiated",
            Self::DescriptorDirection => "a buffer of the wrong direction",
            Self::BufferAddress => "a buffer outside the memory",
            Self::Status => "a device status out of order",
            Self::ControlMessage => "a malformed control message",
        })
    }
}

impl core::error::Error for Misbehaviour {}

impl From<OutsideGuestMemory> for Misbehaviour {
    fn from(_: OutsideGuestMemory) -> Self {
        Self::BufferAddress
    }
}

/// Who writes a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BufferDirection {
    /// The driver filled it; the device reads.
    FromDriver,
    /// The device fills it.
    ToDriver,
}

/// A checked piece of guest RAM: it lay within when it was copied from its descriptor, and RAM does not move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where it begins.
    pub address: u64,
    /// How many bytes.
    pub length: u32,
}

/// A chain that the device took and has to give back with [`Virtqueue::give_back`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    head: u16,
    /// Bytes of all its segments together.
    pub total_bytes: u64,
}

/// Where the parts of a queue lie, as the driver wrote it. Not checked before the queue is declared ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueAddresses {
    /// The descriptor table.
    pub descriptors: u64,
    /// The available ring, "driver area".
    pub available: u64,
    /// The used ring, "device area".
    pub used: u64,
}

/// One queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Virtqueue {
    size: u16,
    ready: bool,
    addresses: QueueAddresses,
    /// The next entry of the available ring to take; free-running.
    next_available: u16,
    /// The next entry of the used ring to fill; free-running.
    next_used: u16,
}

/// A copied descriptor.
struct Descriptor {
    address: u64,
    length: u32,
    flags: u16,
    next: u16,
}

impl Descriptor {
    fn from_bytes(bytes: [u8; 16]) -> Self {
        let number = u128::from_le_bytes(bytes);
        Self {
            address: (number & 0xffff_ffff_ffff_ffff) as u64,
            length: ((number >> 64) & 0xffff_ffff) as u32,
            flags: ((number >> 96) & 0xffff) as u16,
            next: ((number >> 112) & 0xffff) as u16,
        }
    }
}

impl Virtqueue {
    /// Whether the driver declared it ready.
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// Sets the number of entries.
    pub fn set_size(&mut self, size: u32) -> Result<(), Misbehaviour> {
        self.check_idle()?;
        let size = u16::try_from(size).map_err(|_| Misbehaviour::QueueSize)?;
        if size > MAX_QUEUE_SIZE || !size.is_power_of_two() {
            return Err(Misbehaviour::QueueSize);
        }
        self.size = size;
        Ok(())
    }

    /// Changes where the parts lie.
    pub fn change_addresses(&mut self, change: impl FnOnce(&mut QueueAddresses)) -> Result<(), Misbehaviour> {
        self.check_idle()?;
        change(&mut self.addresses);
        Ok(())
    }

    /// The driver declares the queue ready: its parts are checked now and fixed from here on.
    pub fn enable(&mut self, memory: &impl GuestMemory) -> Result<(), Misbehaviour> {
        self.check_idle()?;
        if self.size == 0 {
            return Err(Misbehaviour::QueueSize);
        }
        let entries = u64::from(self.size);
        // Sizes and alignments are those of 2.7.
        let parts = [
            (self.addresses.descriptors, entries * DESCRIPTOR_BYTES, 16),
            (self.addresses.available, RING_HEAD_BYTES + 2 * entries, 2),
            (self.addresses.used, RING_HEAD_BYTES + USED_ELEMENT_BYTES * entries, 4),
        ];
        for (address, length, alignment) in parts {
            if !u64::is_multiple_of(address, alignment) || !memory.contains(address, length) {
                return Err(Misbehaviour::QueueAddress);
            }
        }
        self.ready = true;
        Ok(())
    }

    /// Forgets everything, as a reset does.
    pub fn disable(&mut self) {
        *self = Self::default();
    }

    /// The entry of the available ring that is taken next; free-running.
    pub fn next_available(&self) -> u16 {
        self.next_available
    }

    /// The entry after the last one that the driver offers; free-running. A queue that is not ready offers nothing.
    pub fn available_index(&self, memory: &impl GuestMemory) -> Result<u16, Misbehaviour> {
        if !self.ready {
            return Ok(self.next_available);
        }
        // An acquire load: what the driver wrote before it moved the index is seen after.
        let index = memory.load_u16(self.addresses.available + 2)?;
        if index.wrapping_sub(self.next_available) > self.size {
            return Err(Misbehaviour::AvailableIndex);
        }
        Ok(index)
    }

    /// Takes the next chain, its buffers into `segments` (emptied first); `None` where nothing is offered.
    pub fn take(
        &mut self,
        memory: &impl GuestMemory,
        direction: BufferDirection,
        segments: &mut Vec<Segment>,
    ) -> Result<Option<Chain>, Misbehaviour> {
        segments.clear();
        if self.available_index(memory)? == self.next_available {
            return Ok(None);
        }
        let slot = u64::from(self.next_available % self.size);
        let head = memory.load_u16(self.addresses.available + RING_HEAD_BYTES + 2 * slot)?;
        let total_bytes = self.copy_chain(memory, head, direction, segments)?;
        self.next_available = self.next_available.wrapping_add(1);
        Ok(Some(Chain { head, total_bytes }))
    }

    /// Gives a chain back with `written` bytes in it. Answers whether the driver wants an interrupt for that.
    pub fn give_back(&mut self, memory: &impl GuestMemory, chain: Chain, written: u32) -> Result<bool, Misbehaviour> {
        let slot = u64::from(self.next_used % self.size);
        let element = u64::from(chain.head) | (u64::from(written) << 32);
        memory.write(self.addresses.used + RING_HEAD_BYTES + USED_ELEMENT_BYTES * slot, &element.to_le_bytes())?;
        self.next_used = self.next_used.wrapping_add(1);
        // Flags (always 0: notifications are welcome) and index are one word, and both are the device's. A release
        // store: the element and the buffer are there before the index says so.
        memory.store_u32(self.addresses.used, (u32::from(self.next_used) << 16).to_le())?;
        // Otherwise this load could go before that store, and both sides could miss each other (2.7.7.1).
        fence(Ordering::SeqCst);
        let flags = memory.load_u16(self.addresses.available)?;
        Ok(flags & AVAILABLE_NO_INTERRUPT == 0)
    }

    fn check_idle(&self) -> Result<(), Misbehaviour> {
        if self.ready { Err(Misbehaviour::QueueBusy) } else { Ok(()) }
    }

    /// Copies the chain from `head` into `segments`; answers its length in bytes.
    fn copy_chain(
        &self,
        memory: &impl GuestMemory,
        head: u16,
        direction: BufferDirection,
        segments: &mut Vec<Segment>,
    ) -> Result<u64, Misbehaviour> {
        let mut next = head;
        let mut total_bytes = 0;
        for _ in 0..self.size {
            let descriptor = self.copy_descriptor(memory, next)?;
            let segment = check_descriptor(memory, &descriptor, direction)?;
            total_bytes += u64::from(segment.length);
            segments.push(segment);
            if descriptor.flags & FLAG_NEXT == 0 {
                return Ok(total_bytes);
            }
            next = descriptor.next;
        }
        Err(Misbehaviour::DescriptorLoop)
    }

    fn copy_descriptor(&self, memory: &impl GuestMemory, index: u16) -> Result<Descriptor, Misbehaviour> {
        if index >= self.size {
            return Err(Misbehaviour::DescriptorIndex);
        }
        let mut bytes = [0; 16];
        memory.read(self.addresses.descriptors + DESCRIPTOR_BYTES * u64::from(index), &mut bytes)?;
        Ok(Descriptor::from_bytes(bytes))
    }
}

fn check_descriptor(
    memory: &impl GuestMemory,
    descriptor: &Descriptor,
    direction: BufferDirection,
) -> Result<Segment, Misbehaviour> {
    if descriptor.flags & !(FLAG_NEXT | FLAG_WRITE | FLAG_INDIRECT) != 0 || descriptor.flags & FLAG_INDIRECT != 0 {
        return Err(Misbehaviour::DescriptorKind);
    }
    if (descriptor.flags & FLAG_WRITE != 0) != (direction == BufferDirection::ToDriver) {
        return Err(Misbehaviour::DescriptorDirection);
    }
    if !memory.contains(descriptor.address, u64::from(descriptor.length)) {
        return Err(Misbehaviour::BufferAddress);
    }
    Ok(Segment { address: descriptor.address, length: descriptor.length })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::GuestRam;
    use shared_ring::HeapMemory;

    const BASE: u64 = 0x4000_0000;
    const SIZE: u16 = 8;
    const DESCRIPTORS: u64 = BASE;
    const AVAILABLE: u64 = BASE + 0x1000;
    const USED: u64 = BASE + 0x2000;
    const BUFFERS: u64 = BASE + 0x3000;

    type Ram = GuestRam<HeapMemory>;

    fn ram() -> Ram {
        GuestRam::new(BASE, HeapMemory::new(0x4000)).unwrap()
    }

    fn queue(ram: &Ram) -> Virtqueue {
        let mut queue = Virtqueue::default();
        queue.set_size(SIZE.into()).unwrap();
        queue
            .change_addresses(|addresses| {
                *addresses = QueueAddresses { descriptors: DESCRIPTORS, available: AVAILABLE, used: USED };
            })
            .unwrap();
        queue.enable(ram).unwrap();
        queue
    }

    fn descriptor(ram: &Ram, index: u16, address: u64, length: u32, flags: u16, next: u16) {
        let at = DESCRIPTORS + DESCRIPTOR_BYTES * u64::from(index);
        ram.write(at, &address.to_le_bytes()).unwrap();
        ram.write(at + 8, &length.to_le_bytes()).unwrap();
        ram.write(at + 12, &flags.to_le_bytes()).unwrap();
        ram.write(at + 14, &next.to_le_bytes()).unwrap();
    }

    fn offer(ram: &Ram, slot: u64, head: u16, index: u16) {
        ram.write(AVAILABLE + 4 + 2 * slot, &head.to_le_bytes()).unwrap();
        ram.write(AVAILABLE + 2, &index.to_le_bytes()).unwrap();
    }

    fn take(ram: &Ram, queue: &mut Virtqueue) -> Result<Option<Chain>, Misbehaviour> {
        queue.take(ram, BufferDirection::FromDriver, &mut Vec::new())
    }

    #[test]
    fn a_chain_is_copied_and_given_back() {
        let ram = ram();
        let mut queue = queue(&ram);
        descriptor(&ram, 2, BUFFERS, 10, FLAG_NEXT, 5);
        descriptor(&ram, 5, BUFFERS + 0x100, 20, 0, 0);
        offer(&ram, 0, 2, 1);
        let mut segments = Vec::new();
        let chain = queue.take(&ram, BufferDirection::FromDriver, &mut segments).unwrap().unwrap();
        assert_eq!(chain, Chain { head: 2, total_bytes: 30 });
        assert_eq!(
            segments,
            [Segment { address: BUFFERS, length: 10 }, Segment { address: BUFFERS + 0x100, length: 20 }]
        );
        assert_eq!(queue.give_back(&ram, chain, 7), Ok(true));
        let mut used = [0; 12];
        ram.read(USED, &mut used).unwrap();
        assert_eq!(used, [0, 0, 1, 0, 2, 0, 0, 0, 7, 0, 0, 0]);
        assert_eq!(take(&ram, &mut queue), Ok(None));
    }

    #[test]
    fn the_driver_may_want_no_interrupts() {
        let ram = ram();
        let mut queue = queue(&ram);
        descriptor(&ram, 0, BUFFERS, 1, 0, 0);
        offer(&ram, 0, 0, 1);
        let chain = take(&ram, &mut queue).unwrap().unwrap();
        ram.write(AVAILABLE, &1_u16.to_le_bytes()).unwrap();
        assert_eq!(queue.give_back(&ram, chain, 0), Ok(false));
    }

    #[test]
    fn an_index_that_runs_ahead_is_misbehaviour() {
        let ram = ram();
        let mut queue = queue(&ram);
        offer(&ram, 0, 0, SIZE + 1);
        assert_eq!(take(&ram, &mut queue), Err(Misbehaviour::AvailableIndex));
    }

    #[test]
    fn an_index_wraps() {
        let ram = ram();
        let mut queue = queue(&ram);
        descriptor(&ram, 0, BUFFERS, 1, 0, 0);
        queue.next_available = u16::MAX;
        ram.write(AVAILABLE + 2, &0_u16.to_le_bytes()).unwrap();
        assert!(take(&ram, &mut queue).unwrap().is_some());
        assert_eq!(queue.next_available(), 0);
    }

    #[test]
    fn a_loop_ends_at_the_size_of_the_table() {
        let ram = ram();
        let mut queue = queue(&ram);
        descriptor(&ram, 0, BUFFERS, 1, FLAG_NEXT, 1);
        descriptor(&ram, 1, BUFFERS, 1, FLAG_NEXT, 0);
        offer(&ram, 0, 0, 1);
        assert_eq!(take(&ram, &mut queue), Err(Misbehaviour::DescriptorLoop));
    }

    #[test]
    fn descriptors_are_checked_one_by_one() {
        let cases = [
            ((BUFFERS, 1, FLAG_WRITE, 0), 0, Misbehaviour::DescriptorDirection),
            ((BUFFERS, 16, FLAG_INDIRECT, 0), 0, Misbehaviour::DescriptorKind),
            ((BUFFERS, 1, 0x80, 0), 0, Misbehaviour::DescriptorKind),
            ((BUFFERS, 1, FLAG_NEXT, SIZE), 0, Misbehaviour::DescriptorIndex),
            ((BUFFERS, 1, 0, 0), SIZE, Misbehaviour::DescriptorIndex),
            ((BUFFERS, 0x1001, 0, 0), 0, Misbehaviour::BufferAddress),
            ((BUFFERS, u32::MAX, 0, 0), 0, Misbehaviour::BufferAddress),
            ((u64::MAX, 1, 0, 0), 0, Misbehaviour::BufferAddress),
            ((0, 1, 0, 0), 0, Misbehaviour::BufferAddress),
        ];
        for ((address, length, flags, next), head, expected) in cases {
            let ram = ram();
            let mut queue = queue(&ram);
            descriptor(&ram, 0, address, length, flags, next);
            offer(&ram, 0, head, 1);
            assert_eq!(take(&ram, &mut queue), Err(expected));
        }
    }

    #[test]
    fn a_queue_must_lie_in_memory_and_be_aligned() {
        let ram = ram();
        let good = QueueAddresses { descriptors: DESCRIPTORS, available: AVAILABLE, used: USED };
        let bad = [
            QueueAddresses { descriptors: DESCRIPTORS + 8, ..good },
            QueueAddresses { available: AVAILABLE + 1, ..good },
            QueueAddresses { used: USED + 2, ..good },
            QueueAddresses { descriptors: BASE + 0x4000 - 16, ..good },
            QueueAddresses { available: BASE - 2, ..good },
            QueueAddresses { used: u64::MAX - 3, ..good },
            QueueAddresses::default(),
        ];
        for addresses in bad {
            let mut queue = Virtqueue::default();
            queue.set_size(SIZE.into()).unwrap();
            queue.change_addresses(|slot| *slot = addresses).unwrap();
            assert_eq!(queue.enable(&ram), Err(Misbehaviour::QueueAddress), "{addresses:x?}");
            assert!(!queue.is_ready());
        }
    }

    #[test]
    fn a_size_is_a_power_of_two_up_to_the_maximum() {
        let mut queue = Virtqueue::default();
        for size in [0, 3, u32::from(MAX_QUEUE_SIZE) * 2, 0x1_0040, u32::MAX] {
            assert_eq!(queue.set_size(size), Err(Misbehaviour::QueueSize));
        }
        assert_eq!(queue.enable(&ram()), Err(Misbehaviour::QueueSize));
        assert_eq!(queue.set_size(1), Ok(()));
    }

    #[test]
    fn a_ready_queue_does_not_move() {
        let ram = ram();
        let mut queue = queue(&ram);
        assert_eq!(queue.set_size(4), Err(Misbehaviour::QueueBusy));
        assert_eq!(queue.change_addresses(|addresses| addresses.used = 0), Err(Misbehaviour::QueueBusy));
        assert_eq!(queue.enable(&ram), Err(Misbehaviour::QueueBusy));
    }
}
