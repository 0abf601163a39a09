//! The machine that Atoll's VMM shows to Linux: one CPU, a GICv2, a PL011, a virtio console, PSCI.
//!
//! The guest is an unmodified arm64 kernel that runs in a Microkit virtual machine. Whatever it does that the hardware
//! does not do for it arrives at the VMM as a fault; this crate decides what happens then. It makes no system call: the
//! seL4 shell (`pd/vmm/src/main.rs`) reads the fault's words, calls one method of [`Machine`], and does what the answer
//! says. What the crate needs of the kernel is the trait [`VirtualCpu`] (two calls), of the world the trait
//! [`ConsoleSink`], and of the guest's memory the trait [`GuestMemory`].
//!
//! | fault (seL4's name) | method |
//! |---|---|
//! | `VMFault`, data | [`Machine::handle_data_abort`] |
//! | `VMFault`, prefetch | [`Machine::handle_instruction_abort`] |
//! | `VCPUFault` (SMC, WFI/WFE, system registers) | [`Machine::handle_trap`] |
//! | `UnknownSyscall` (the guest's HVC) | [`Machine::handle_hypervisor_call`] |
//! | `VGICMaintenance` | [`Machine::handle_maintenance`] |
//! | `VPPIEvent` | [`Machine::handle_virtual_timer`] |
//!
//! It trusts the kernel's account of a fault and nothing else. Everything that the guest writes (registers, rings,
//! descriptors, lengths, selectors) is copied once, checked, and then used; what is wrong is counted and answered as
//! hardware would, or the device stops until the guest resets it. Nothing that the guest does makes this crate panic,
//! read outside the guest's memory, or work for longer than a bound that the queue sizes give.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod abort;
pub mod boot;
#[cfg(feature = "device-tree")]
pub mod device_tree;
pub mod layout;
pub mod link;
pub mod machine;
pub mod memory;
pub mod pl011;
pub mod psci;
pub mod registers;
pub mod vgic;
pub mod virtio_console;
pub mod virtio_mmio;
pub mod virtqueue;

pub use layout::MachineLayout;
pub use link::{LinkBridge, SessionPorts};
pub use machine::{Host, Machine, MachineCounters, Outcome, StopReason};
pub use memory::{GuestMemory, GuestRam, OutsideGuestMemory};
pub use pl011::ConsoleSink;
pub use registers::GuestRegisters;
pub use vgic::{Injection, ListRegisterInUse, VirtualCpu};
pub use virtio_console::{PortError, PortEvent};
