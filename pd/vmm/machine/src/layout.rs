//! Where everything lies in the guest's physical address space: one table for the device tree, the VMM and the image.
//!
//! The guest learns these numbers from its device tree, the machine routes faults by them, and `system.xml` maps the
//! guest's RAM and the interrupt interface at the same addresses. They belong to the virtual machine, not to the board:
//! a Raspberry Pi's guest sees the same ones.

/// A range of guest-physical addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRange {
    /// The first address.
    pub base: u64,
    /// How many bytes.
    pub size_bytes: u64,
}

impl AddressRange {
    /// `size_bytes` bytes from `base`.
    pub const fn new(base: u64, size_bytes: u64) -> Self {
        Self { base, size_bytes }
    }

    /// The offset of `address` within the range, where it lies there.
    pub const fn offset_of(&self, address: u64) -> Option<u64> {
        match address.checked_sub(self.base) {
            Some(offset) if offset < self.size_bytes => Some(offset),
            _ => None,
        }
    }

    /// The first address after the range.
    pub const fn end(&self) -> u64 {
        self.base.saturating_add(self.size_bytes)
    }

    /// Whether the two have an address in common.
    pub const fn overlaps(&self, other: &Self) -> bool {
        self.base < other.end() && other.base < self.end()
    }
}

/// A device: its registers and its interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceLayout {
    /// The registers.
    pub registers: AddressRange,
    /// The interrupt's number as the GIC counts (a shared one is 32 or more).
    pub intid: u16,
}

/// The guest's machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MachineLayout {
    /// RAM. Its base must be a multiple of 2 MiB (the arm64 boot protocol) and it is mapped at the same address.
    pub memory: AddressRange,
    /// The GICv2 distributor, emulated by [`crate::vgic`].
    pub distributor: AddressRange,
    /// The GICv2 CPU interface: the hardware's *virtual* CPU interface, mapped here by `system.xml`.
    pub cpu_interface: AddressRange,
    /// The PL011.
    pub uart: DeviceLayout,
    /// The UART's input clock in hertz. Nothing ticks by it; Linux divides it for a baud rate.
    pub uart_clock_hz: u32,
    /// The virtio console, virtio-mmio.
    pub virtio_console: DeviceLayout,
    /// The virtual timer's private interrupt. seL4 forwards this one and no other.
    pub virtual_timer_intid: u16,
}

impl MachineLayout {
    /// The machine that `system.xml` describes. Addresses follow QEMU's `virt` (hw/arm/virt.c), which is what people
    /// expect of a virtual Arm machine; the virtio console sits in the first of `virt`'s virtio-mmio places, interrupt
    /// 16 of the shared ones as there.
    pub const LINUX: Self = Self {
        memory: AddressRange::new(0x4000_0000, 0x1000_0000),
        distributor: AddressRange::new(0x0800_0000, 0x1_0000),
        cpu_interface: AddressRange::new(0x0801_0000, 0x1_0000),
        uart: DeviceLayout { registers: AddressRange::new(0x0900_0000, 0x1000), intid: 33 },
        uart_clock_hz: 24_000_000,
        virtio_console: DeviceLayout { registers: AddressRange::new(0x0a00_0000, 0x200), intid: 48 },
        virtual_timer_intid: 27,
    };

    /// The same machine with as much RAM as the mapping has (`system.xml` decides, not this table).
    #[must_use]
    pub const fn with_memory_size(mut self, size_bytes: u64) -> Self {
        self.memory.size_bytes = size_bytes;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_end_where_the_range_does() {
        let range = AddressRange::new(0x1000, 0x10);
        assert_eq!(range.offset_of(0xfff), None);
        assert_eq!(range.offset_of(0x1000), Some(0));
        assert_eq!(range.offset_of(0x100f), Some(0xf));
        assert_eq!(range.offset_of(0x1010), None);
    }

    #[test]
    fn nothing_in_the_machine_overlaps() {
        let layout = MachineLayout::LINUX;
        let ranges = [
            layout.memory,
            layout.distributor,
            layout.cpu_interface,
            layout.uart.registers,
            layout.virtio_console.registers,
        ];
        for (index, range) in ranges.iter().enumerate() {
            for other in &ranges[index + 1..] {
                assert!(!range.overlaps(other), "{range:x?} {other:x?}");
            }
        }
    }
}
