//! The whole machine: routes each fault of the guest to what it concerns, and says how the guest goes on.
//!
//! # For the shell
//!
//! One value for the guest, one method a fault (the table in [`crate`]). Methods that take [`GuestRegisters`] need the
//! thread's registers read before, and written back before the fault is replied to where the answer is
//! [`Outcome::Resume`] or [`Outcome::Idle`]; the program counter has been moved on. The others touch no register.
//!
//! - After every fault: where [`Machine::take_activity`] says so, run the link ([`crate::link`]).
//! - When the real UART has bytes: [`Machine::uart_receive`]; when it has room again: [`Machine::uart_flush`].
//! - [`Outcome::Reset`]: suspend the thread, [`Machine::reset`], write [`crate::boot::VCPU_RESET`], load the images again
//!   ([`crate::boot::BootPlan::load`]), set the entry registers and resume. Do not reply to the fault.
//! - [`Outcome::PowerOff`], [`Outcome::Stop`]: suspend the thread and do not reply. After either, a reset starts it again.
//!
//! Nothing here waits, and the work of each call is bounded by the sizes of the queues.

use core::fmt;

use alloc::vec::Vec;

use crate::abort::{AbortError, Direction, MmioAccess, exception_class};
use crate::layout::MachineLayout;
use crate::link::SessionPorts;
use crate::memory::GuestMemory;
use crate::pl011::{ConsoleSink, Pl011, UartCounters};
use crate::psci::{self, CallAnswer};
use crate::registers::GuestRegisters;
use crate::vgic::{Vgic, VgicCounters, VirtualCpu};
use crate::virtio_console::{Console, ConsoleCounters, PortError, PortEvent};
use crate::virtio_mmio::TransportCounters;
use crate::virtqueue::Misbehaviour;

/// What the machine needs of the shell: the kernel's two calls and the console's line.
pub trait Host: VirtualCpu + ConsoleSink {}

impl<T: VirtualCpu + ConsoleSink> Host for T {}

/// Exception classes that seL4 forwards (Arm ARM D24.2.37).
mod class {
    pub(super) const WAIT: u64 = 0x01;
    pub(super) const SECURE_MONITOR_CALL: u64 = 0x17;
    pub(super) const SYSTEM_REGISTER: u64 = 0x18;
}

/// Pages of which an unknown access is logged, at the most: a guest that touches everything must not fill the log.
const LOGGED_PAGES: usize = 16;
/// Bits of an address within a page.
const PAGE_SHIFT: u32 = 12;

/// How the guest goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// Write the registers back and reply.
    Resume,
    /// The same; and the guest has nothing to do until an interrupt. The virtual timer does not tick for a thread that
    /// does not run, so the shell cannot keep the guest waiting for it. But before it replies it may wait for the
    /// processor's next interrupt itself (one `wfi`, which seL4 lets native threads execute), unless
    /// [`Machine::has_interrupt_for_guest`]: an idle guest then costs next to nothing, and its timers are late by the
    /// system's tick at the most.
    Idle,
    /// The guest asked for a restart.
    Reset,
    /// The guest switched itself off.
    PowerOff,
    /// The guest did something that cannot be answered; it has to stop.
    Stop(StopReason),
}

/// Why a guest was stopped. The text is for the person at the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// An access whose effect is not known.
    Access {
        /// Guest-physical.
        address: u64,
        /// The processor's description.
        syndrome: u64,
        /// What is wrong with it.
        error: AbortError,
    },
    /// The guest jumped to where there is no memory.
    Instruction {
        /// Guest-physical.
        address: u64,
    },
    /// A trap that no machine of this kind should cause.
    Trap {
        /// The processor's description.
        syndrome: u64,
    },
}

impl fmt::Display for StopReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Access { address, syndrome, error } => {
                write!(formatter, "the guest was stopped: {error} (address {address:#x}, syndrome {syndrome:#x})")
            }
            Self::Instruction { address } => {
                write!(formatter, "the guest was stopped: it jumped to {address:#x}, where there is no memory")
            }
            Self::Trap { syndrome } => {
                write!(formatter, "the guest was stopped: unknown trap (syndrome {syndrome:#x})")
            }
        }
    }
}

/// Everything that was counted. `emit info` can show it; zeros are the normal case below `calls`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MachineCounters {
    /// Restarts.
    pub resets: u64,
    /// Loads and stores that a device answered.
    pub device_accesses: u64,
    /// Power and secure-monitor calls.
    pub calls: u64,
    /// Calls by the instruction that seL4 keeps for itself.
    pub hypervisor_calls: u64,
    /// Accesses to addresses with nothing behind them.
    pub unknown_accesses: u64,
    /// System registers that were trapped: read as zero, written to nowhere.
    pub system_register_accesses: u64,
    /// Private interrupts that the kernel forwarded although nobody asked.
    pub unexpected_interrupts: u64,
    /// The interrupt controller.
    pub vgic: VgicCounters,
    /// The serial console.
    pub uart: UartCounters,
    /// The ports.
    pub console: ConsoleCounters,
    /// The ports' driver.
    pub transport: TransportCounters,
}

/// One guest's machine.
#[derive(Debug)]
pub struct Machine<M> {
    layout: MachineLayout,
    memory: M,
    vgic: Vgic,
    uart: Pl011,
    console: Console,
    counters: MachineCounters,
    logged_pages: Vec<u64>,
}

impl<M: GuestMemory> Machine<M> {
    /// A machine as after power-on. Everything that it will ever allocate is allocated here.
    pub fn new(layout: MachineLayout, memory: M) -> Self {
        Self {
            layout,
            memory,
            vgic: Vgic::new(layout.virtual_timer_intid),
            uart: Pl011::new(),
            console: Console::new(),
            counters: MachineCounters::default(),
            logged_pages: Vec::with_capacity(LOGGED_PAGES),
        }
    }

    /// The guest's RAM.
    pub fn memory(&self) -> &M {
        &self.memory
    }

    /// Where everything lies.
    pub fn layout(&self) -> &MachineLayout {
        &self.layout
    }

    /// What was counted so far.
    pub fn counters(&self) -> MachineCounters {
        MachineCounters {
            vgic: self.vgic.counters(),
            uart: self.uart.counters(),
            console: self.console.counters(),
            transport: self.console.transport_counters(),
            ..self.counters
        }
    }

    /// What the driver of the ports did last that it should not, for the log.
    pub fn last_misbehaviour(&self) -> Option<Misbehaviour> {
        self.console.last_misbehaviour()
    }

    /// A `VMFault` with the prefetch flag off: `address` and `syndrome` are its second and fourth word.
    pub fn handle_data_abort(
        &mut self,
        address: u64,
        syndrome: u64,
        registers: &mut GuestRegisters,
        host: &mut impl Host,
    ) -> Outcome {
        let access = match MmioAccess::decode(address, syndrome, registers) {
            Ok(access) => access,
            Err(error) => return Outcome::Stop(StopReason::Access { address, syndrome, error }),
        };
        let value = self.handle_mmio(&access, host);
        if access.direction == Direction::Read {
            access.complete_read(value, registers);
        }
        registers.skip_instruction();
        Outcome::Resume
    }

    /// A `VMFault` with the prefetch flag on.
    pub fn handle_instruction_abort(&mut self, address: u64) -> Outcome {
        Outcome::Stop(StopReason::Instruction { address })
    }

    /// A `VCPUFault`: an instruction that is trapped. `syndrome` is its word.
    pub fn handle_trap(&mut self, syndrome: u64, registers: &mut GuestRegisters) -> Outcome {
        match exception_class(syndrome) {
            class::WAIT => {
                registers.skip_instruction();
                // Bit 0 tells "wait for event" from "wait for interrupt"; an event may come at any time.
                if syndrome & 1 == 0 { Outcome::Idle } else { Outcome::Resume }
            }
            class::SECURE_MONITOR_CALL => self.handle_call(registers),
            class::SYSTEM_REGISTER => self.handle_system_register(syndrome, registers),
            _ => Outcome::Stop(StopReason::Trap { syndrome }),
        }
    }

    /// An `UnknownSyscall`: the guest executed HVC, which seL4 took for a system call that does not exist. Answered as
    /// "not supported", so that a guest which merely tries goes on.
    pub fn handle_hypervisor_call(&mut self, registers: &mut GuestRegisters) -> Outcome {
        self.counters.hypervisor_calls += 1;
        registers.write(0, psci::not_supported());
        registers.skip_instruction();
        Outcome::Resume
    }

    /// A `VGICMaintenance`: the guest ended the interrupt of a list register. The fault's word is its number, or all ones
    /// where the kernel does not know.
    pub fn handle_maintenance(&mut self, list_register: Option<usize>, host: &mut impl VirtualCpu) -> Outcome {
        self.vgic.maintenance(list_register, host);
        Outcome::Resume
    }

    /// A `VPPIEvent`: the virtual timer fired. `intid` is the fault's word.
    pub fn handle_virtual_timer(&mut self, intid: u64, host: &mut impl VirtualCpu) -> Outcome {
        if intid == u64::from(self.layout.virtual_timer_intid) {
            self.vgic.virtual_timer_fired(host);
        } else {
            self.counters.unexpected_interrupts += 1;
        }
        Outcome::Resume
    }

    /// Answers a load (with what it reads) or a store (with 0).
    pub fn handle_mmio(&mut self, access: &MmioAccess, host: &mut impl Host) -> u64 {
        let MmioAccess { address, size, direction, .. } = *access;
        let layout = self.layout;
        self.counters.device_accesses += 1;
        if let Some(offset) = layout.distributor.offset_of(address) {
            return self.vgic.access(offset, size, direction, host);
        }
        let value = if let Some(offset) = layout.uart.registers.offset_of(address) {
            self.uart.access(offset, size, direction, host)
        } else if let Some(offset) = layout.virtio_console.registers.offset_of(address) {
            self.console.access(offset, size, direction, &self.memory, host)
        } else {
            self.note_unknown_access(access);
            return 0;
        };
        self.update_lines(host);
        value
    }

    /// Bytes typed at the host, for the guest's console; answers how many were taken, from the front. Offer the rest again
    /// later, or report it with [`Self::uart_dropped`].
    pub fn uart_receive(&mut self, bytes: &[u8], host: &mut impl VirtualCpu) -> usize {
        let taken = self.uart.receive(bytes);
        self.update_lines(host);
        taken
    }

    /// So many typed bytes were dropped: counted, and the guest sees an overrun.
    pub fn uart_dropped(&mut self, bytes: usize, host: &mut impl VirtualCpu) {
        self.uart.receive_overrun(bytes);
        self.update_lines(host);
    }

    /// The console's line may have room again.
    pub fn uart_flush(&mut self, host: &mut impl Host) {
        self.uart.flush(host);
        self.update_lines(host);
    }

    /// Whether an interrupt is on its way to the guest or in its hands.
    pub fn has_interrupt_for_guest(&self) -> bool {
        self.vgic.has_loaded()
    }

    /// Whether something happened at the ports since the last call.
    pub fn take_activity(&mut self) -> bool {
        self.console.take_activity()
    }

    /// The ports, for [`crate::link::LinkBridge::run`].
    pub fn ports<'machine, H: VirtualCpu>(&'machine mut self, host: &'machine mut H) -> MachinePorts<'machine, M, H> {
        MachinePorts { machine: self, host }
    }

    /// As after power-on: every session closed, no interrupt left over. RAM is not touched, counters stay.
    pub fn reset(&mut self, host: &mut impl VirtualCpu) {
        self.counters.resets += 1;
        self.console.reset();
        self.uart.reset();
        self.vgic.reset(host);
    }

    fn handle_call(&mut self, registers: &mut GuestRegisters) -> Outcome {
        self.counters.calls += 1;
        let arguments = [registers.read(1), registers.read(2), registers.read(3)];
        let (value, outcome) = match psci::call(registers.read(0), arguments) {
            CallAnswer::Return(value) => (value, Outcome::Resume),
            CallAnswer::Suspend => (0, Outcome::Idle),
            CallAnswer::Off => return Outcome::PowerOff,
            CallAnswer::Reset => return Outcome::Reset,
        };
        registers.write(0, value.cast_unsigned());
        // A trapped SMC leaves the program counter on itself.
        registers.skip_instruction();
        outcome
    }

    /// Registers that seL4's configuration traps (debug, performance monitor, the physical timer on some boards) are
    /// absent hardware to this guest: reads as zero, writes go nowhere (Arm ARM D24.2.37, "MSR, MRS").
    fn handle_system_register(&mut self, syndrome: u64, registers: &mut GuestRegisters) -> Outcome {
        self.counters.system_register_accesses += 1;
        let is_read = syndrome & 1 != 0;
        if is_read {
            registers.write(((syndrome >> 5) & 0x1f) as u8, 0);
        }
        registers.skip_instruction();
        Outcome::Resume
    }

    fn update_lines(&mut self, host: &mut impl VirtualCpu) {
        self.vgic.set_line(self.layout.uart.intid, self.uart.interrupt_line(), host);
        self.vgic.set_line(self.layout.virtio_console.intid, self.console.interrupt_line(), host);
    }

    fn note_unknown_access(&mut self, access: &MmioAccess) {
        self.counters.unknown_accesses += 1;
        let page = access.address >> PAGE_SHIFT;
        if self.logged_pages.len() < LOGGED_PAGES && !self.logged_pages.contains(&page) {
            self.logged_pages.push(page);
            let verb = if access.direction == Direction::Read { "reads" } else { "writes" };
            log::warn!("the guest {verb} {:#x}, where there is no device: zero, and ignored", access.address);
        }
    }
}

/// The ports of a machine, with the kernel at hand for their interrupts.
#[derive(Debug)]
pub struct MachinePorts<'machine, M, H> {
    machine: &'machine mut Machine<M>,
    host: &'machine mut H,
}

impl<M: GuestMemory, H: VirtualCpu> SessionPorts for MachinePorts<'_, M, H> {
    fn next_event(&mut self, wanted: &dyn Fn(usize) -> bool, buffer: &mut [u8]) -> Option<PortEvent> {
        let event = self.machine.console.next_event(wanted, &self.machine.memory, buffer);
        self.machine.update_lines(self.host);
        event
    }

    fn send(&mut self, port: usize, bytes: &[u8]) -> Result<usize, PortError> {
        let sent = self.machine.console.send(port, bytes, &self.machine.memory);
        self.machine.update_lines(self.host);
        sent
    }

    fn close(&mut self, port: usize) -> Result<(), PortError> {
        let closed = self.machine.console.close(port, &self.machine.memory);
        self.machine.update_lines(self.host);
        closed
    }
}

#[cfg(test)]
mod tests;
