//! Starting Linux: where kernel, device tree and initial RAM disk go, and what the processor holds at entry.
//!
//! The rules are those of Linux' Documentation/arm64/booting.rst. Whoever makes the image and whoever starts the guest
//! compute the same [`BootPlan`] from the same sizes, so the device tree in the image names the places that the VMM copies
//! to. The files come from the image and are checked as if they did not: a wrong file is an error with its reason.

use core::fmt;

use shared_ring::SharedMemory;

use crate::layout::AddressRange;
use crate::memory::{GuestMemory, OutsideGuestMemory};
use crate::registers::GuestRegisters;

/// Kernels are placed relative to a multiple of this (booting.rst, "Call the kernel image").
const KERNEL_ALIGNMENT: u64 = 0x20_0000;
/// The most that a device tree may have, and its place: it must not cross a 2 MiB border.
pub const DEVICE_TREE_BYTES: u64 = 0x20_0000;
/// "ARM\x64" at offset 56.
const MAGIC: u32 = 0x644d_5241;
/// Bytes of the header of an `Image`.
pub const HEADER_BYTES: usize = 64;
/// Bytes moved at a time when files are copied into RAM; lies on the stack.
const COPY_BYTES: usize = 4096;

/// Why the guest cannot be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootError {
    /// The file has no `Image` header. A compressed kernel has to be unpacked first.
    NotAnImage,
    /// A big-endian kernel.
    BigEndian,
    /// The kernel does not say how much memory it needs (older than Linux 3.17).
    NoImageSize,
    /// RAM does not begin at a multiple of 2 MiB.
    MemoryAlignment,
    /// Kernel, device tree and RAM disk do not fit into RAM; so many bytes are missing.
    MemoryTooSmall {
        /// How much more RAM there would have to be.
        missing_bytes: u64,
    },
    /// The device tree is larger than 2 MiB.
    DeviceTreeTooLarge,
    /// A source ended early, or RAM does: the plan was made for other sizes.
    Copy,
}

impl fmt::Display for BootError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnImage => formatter
                .write_str("the kernel is not an arm64 Image; if it is compressed (Image.gz, vmlinuz), unpack it"),
            Self::BigEndian => formatter.write_str("the kernel is big-endian"),
            Self::NoImageSize => formatter.write_str("the kernel's header does not say how much memory it needs"),
            Self::MemoryAlignment => formatter.write_str("guest memory must begin at a multiple of 2 MiB"),
            Self::MemoryTooSmall { missing_bytes } => {
                write!(
                    formatter,
                    "kernel, device tree and RAM disk need {missing_bytes} bytes more than there is memory"
                )
            }
            Self::DeviceTreeTooLarge => formatter.write_str("the device tree is larger than 2 MiB"),
            Self::Copy => formatter.write_str("a file is not as long as planned, or guest memory is smaller"),
        }
    }
}

impl core::error::Error for BootError {}

impl From<OutsideGuestMemory> for BootError {
    fn from(_: OutsideGuestMemory) -> Self {
        Self::Copy
    }
}

/// What an arm64 `Image` says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageHeader {
    /// Where the image wants to lie, from a 2 MiB border.
    pub text_offset: u64,
    /// How much memory it takes, uninitialised data included.
    pub image_size: u64,
}

impl ImageHeader {
    /// Reads the first [`HEADER_BYTES`] bytes of a kernel.
    pub fn parse(header: &[u8; HEADER_BYTES]) -> Result<Self, BootError> {
        let word = |offset: usize| u64::from_le_bytes(header[offset..offset + 8].as_chunks::<8>().0[0]);
        if word(56) & 0xffff_ffff != u64::from(MAGIC) {
            return Err(BootError::NotAnImage);
        }
        let (text_offset, image_size, flags) = (word(8), word(16), word(24));
        if flags & 1 != 0 {
            return Err(BootError::BigEndian);
        }
        if image_size == 0 {
            return Err(BootError::NoImageSize);
        }
        Ok(Self { text_offset, image_size })
    }

    /// Reads the header of a kernel that lies in shared memory.
    pub fn read(kernel: &impl SharedMemory) -> Result<Self, BootError> {
        let mut header = [0; HEADER_BYTES];
        kernel.read(0, &mut header).map_err(|_| BootError::NotAnImage)?;
        Self::parse(&header)
    }
}

/// Where everything goes. Guest-physical.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootPlan {
    /// The kernel's file; its first byte is the entry.
    pub kernel: AddressRange,
    /// Room for the device tree.
    pub device_tree: AddressRange,
    /// The initial RAM disk; empty where there is none.
    pub initial_ram_disk: AddressRange,
}

impl BootPlan {
    /// Plans for a kernel file of `kernel_bytes` and a RAM disk of `ram_disk_bytes` in the guest's `memory`.
    pub fn new(
        memory: AddressRange,
        header: ImageHeader,
        kernel_bytes: u64,
        ram_disk_bytes: u64,
    ) -> Result<Self, BootError> {
        if !memory.base.is_multiple_of(KERNEL_ALIGNMENT) {
            return Err(BootError::MemoryAlignment);
        }
        let too_small = BootError::MemoryTooSmall { missing_bytes: u64::MAX };
        let place = |base: u64, bytes: u64| base.checked_add(bytes).ok_or(too_small);
        let kernel = place(memory.base, header.text_offset)?;
        let kernel_end = place(kernel, header.image_size.max(kernel_bytes))?;
        let device_tree = kernel_end.checked_next_multiple_of(DEVICE_TREE_BYTES).ok_or(too_small)?;
        let ram_disk = place(device_tree, DEVICE_TREE_BYTES)?;
        let end = place(ram_disk, ram_disk_bytes)?;
        if end > memory.end() {
            return Err(BootError::MemoryTooSmall { missing_bytes: end - memory.end() });
        }
        Ok(Self {
            kernel: AddressRange::new(kernel, kernel_bytes),
            device_tree: AddressRange::new(device_tree, DEVICE_TREE_BYTES),
            initial_ram_disk: AddressRange::new(ram_disk, ram_disk_bytes),
        })
    }

    /// Copies the three files into RAM; at a restart too, because the last guest has written everywhere.
    ///
    /// The guest starts with its caches off: the shell cleans what was written out of its own data cache after.
    pub fn load(
        &self,
        memory: &impl GuestMemory,
        kernel: &impl SharedMemory,
        device_tree: &impl SharedMemory,
        device_tree_bytes: u64,
        ram_disk: &impl SharedMemory,
    ) -> Result<(), BootError> {
        if device_tree_bytes > self.device_tree.size_bytes {
            return Err(BootError::DeviceTreeTooLarge);
        }
        copy(kernel, memory, self.kernel)?;
        copy(device_tree, memory, AddressRange::new(self.device_tree.base, device_tree_bytes))?;
        copy(ram_disk, memory, self.initial_ram_disk)
    }

    /// The registers at the kernel's first instruction: x0 is the device tree, the rest is zero.
    pub fn entry_registers(&self) -> GuestRegisters {
        let mut registers = GuestRegisters { program_counter: self.kernel.base, ..GuestRegisters::default() };
        registers.write(0, self.device_tree.base);
        registers
    }
}

/// The processor state at entry (SPSR): exception level 1 with its own stack, all interrupts masked.
pub const ENTRY_PROCESSOR_STATE: u64 = 0x3c5;

/// A register of seL4's virtual CPU (`seL4_VCPUReg`), as far as a restart sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are seL4's and the architecture's")]
pub enum VcpuRegister {
    Sctlr,
    Cpacr,
    Ttbr0,
    Ttbr1,
    Tcr,
    Mair,
    Amair,
    ContextId,
    Actlr,
    Afsr0,
    Afsr1,
    Esr,
    Far,
    Vbar,
    TpidrEl1,
    SpEl1,
    ElrEl1,
    SpsrEl1,
    CntvCtl,
    CntvCval,
    CntkctlEl1,
}

/// What a restart writes into the virtual CPU before the kernel runs again: translation and caches off, timer off. SCTLR
/// is what seL4 gives a new virtual CPU (`SCTLR_EL1_VM`). CNTVOFF is left alone, so the guest's time goes on.
pub const VCPU_RESET: [(VcpuRegister, u64); 21] = [
    (VcpuRegister::CntvCtl, 0),
    (VcpuRegister::CntvCval, 0),
    (VcpuRegister::CntkctlEl1, 0),
    (VcpuRegister::Sctlr, 0x34d5_8820),
    (VcpuRegister::Cpacr, 0),
    (VcpuRegister::Ttbr0, 0),
    (VcpuRegister::Ttbr1, 0),
    (VcpuRegister::Tcr, 0),
    (VcpuRegister::Mair, 0),
    (VcpuRegister::Amair, 0),
    (VcpuRegister::ContextId, 0),
    (VcpuRegister::Actlr, 0),
    (VcpuRegister::Afsr0, 0),
    (VcpuRegister::Afsr1, 0),
    (VcpuRegister::Esr, 0),
    (VcpuRegister::Far, 0),
    (VcpuRegister::Vbar, 0),
    (VcpuRegister::TpidrEl1, 0),
    (VcpuRegister::SpEl1, 0),
    (VcpuRegister::ElrEl1, 0),
    (VcpuRegister::SpsrEl1, 0),
];

fn copy(source: &impl SharedMemory, memory: &impl GuestMemory, range: AddressRange) -> Result<(), BootError> {
    let mut buffer = [0; COPY_BYTES];
    let length = usize::try_from(range.size_bytes).map_err(|_| BootError::Copy)?;
    let mut done = 0;
    while done < length {
        let step = COPY_BYTES.min(length - done);
        source.read(done, &mut buffer[..step]).map_err(|_| BootError::Copy)?;
        memory.write(range.base + done as u64, &buffer[..step])?;
        done += step;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::MachineLayout;
    use crate::memory::GuestRam;
    use alloc::vec;
    use alloc::vec::Vec;
    use shared_ring::HeapMemory;

    const MEMORY: AddressRange = MachineLayout::LINUX.memory;

    fn header(text_offset: u64, image_size: u64, flags: u64) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[8..16].copy_from_slice(&text_offset.to_le_bytes());
        bytes[16..24].copy_from_slice(&image_size.to_le_bytes());
        bytes[24..32].copy_from_slice(&flags.to_le_bytes());
        bytes[56..60].copy_from_slice(b"ARM\x64");
        bytes
    }

    fn file(bytes: &[u8]) -> HeapMemory {
        let memory = HeapMemory::new(bytes.len());
        memory.write(0, bytes).unwrap();
        memory
    }

    #[test]
    fn an_image_says_what_it_needs() {
        let parsed = ImageHeader::parse(&header(0x8_0000, 0x234_0000, 0xa)).unwrap();
        assert_eq!(parsed, ImageHeader { text_offset: 0x8_0000, image_size: 0x234_0000 });
    }

    #[test]
    fn other_files_are_refused() {
        let mut gzip = [0; HEADER_BYTES];
        gzip[..2].copy_from_slice(&[0x1f, 0x8b]);
        assert_eq!(ImageHeader::parse(&gzip), Err(BootError::NotAnImage));
        assert_eq!(ImageHeader::parse(&header(0, 1, 1)), Err(BootError::BigEndian));
        assert_eq!(ImageHeader::parse(&header(0, 0, 0)), Err(BootError::NoImageSize));
        assert_eq!(ImageHeader::read(&file(b"short")), Err(BootError::NotAnImage));
    }

    #[test]
    fn nothing_overlaps_and_everything_is_aligned() {
        let header = ImageHeader { text_offset: 0, image_size: 0x230_1234 };
        let plan = BootPlan::new(MEMORY, header, 0x210_0000, 0x60_0001).unwrap();
        assert_eq!(plan.kernel.base, MEMORY.base);
        assert!(plan.device_tree.base >= plan.kernel.base + header.image_size, "the kernel's .bss is beyond its file");
        assert!(plan.device_tree.base.is_multiple_of(0x20_0000));
        assert!(!plan.device_tree.overlaps(&plan.initial_ram_disk));
        assert!(plan.initial_ram_disk.base.is_multiple_of(0x1000));
        assert_eq!(plan.entry_registers().program_counter, plan.kernel.base);
        assert_eq!(plan.entry_registers().general[0], plan.device_tree.base);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_amount() {
        let small = AddressRange::new(MEMORY.base, 0x40_0000);
        let header = ImageHeader { text_offset: 0, image_size: 0x20_0000 };
        assert!(BootPlan::new(small, header, 0x1000, 0).is_ok());
        assert_eq!(BootPlan::new(small, header, 0x1000, 7), Err(BootError::MemoryTooSmall { missing_bytes: 7 }));
        for huge in
            [ImageHeader { text_offset: u64::MAX, image_size: 1 }, ImageHeader { text_offset: 0, image_size: u64::MAX }]
        {
            assert!(matches!(BootPlan::new(small, huge, 1, 0), Err(BootError::MemoryTooSmall { .. })));
        }
        assert_eq!(
            BootPlan::new(AddressRange::new(0x4010_0000, 0x1000_0000), header, 1, 0),
            Err(BootError::MemoryAlignment)
        );
    }

    #[test]
    fn files_arrive_where_the_plan_says() {
        let ram = GuestRam::new(MEMORY.base, HeapMemory::new(0x80_0000)).unwrap();
        let kernel: Vec<u8> = (0..10_000_u32).map(|number| (number % 251) as u8).collect();
        let header = ImageHeader { text_offset: 0x1000, image_size: 0x3000 };
        let range = AddressRange::new(ram.base(), ram.size_bytes());
        let plan = BootPlan::new(range, header, 10_000, 3).unwrap();
        plan.load(&ram, &file(&kernel), &file(b"tree"), 4, &file(b"cpio")).unwrap();
        let read = |address: u64, length: usize| {
            let mut bytes = vec![0; length];
            ram.read(address, &mut bytes).unwrap();
            bytes
        };
        assert_eq!(read(plan.kernel.base, 10_000), kernel);
        assert_eq!(read(plan.device_tree.base, 5), b"tree\0");
        assert_eq!(read(plan.initial_ram_disk.base, 4), b"cpi\0");
        assert_eq!(plan.load(&ram, &file(b"x"), &file(b""), 0, &file(b"cpio")), Err(BootError::Copy));
        assert_eq!(
            plan.load(&ram, &file(&kernel), &file(b""), DEVICE_TREE_BYTES + 1, &file(b"cpio")),
            Err(BootError::DeviceTreeTooLarge)
        );
    }
}
