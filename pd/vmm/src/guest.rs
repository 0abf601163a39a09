//! The Linux guest: its machine, the console's line, the link, and how it is started again and again.

use core::fmt;

use pd_shell::{Sel4Kernel, Sel4Wiring, sel4, startup::processor::wait_for_interrupt};
use pd_vmm_machine::{
    ConsoleSink, GuestRam, GuestRegisters, Injection, ListRegisterInUse, VirtualCpu,
    boot::{BootError, BootPlan, ImageHeader},
    layout::MachineLayout,
    link::{LinkBridge, link_geometry},
    machine::{Machine, Outcome},
};
use runner_interfaces::boot_report::{Finding, Standing, text};
use runner_interfaces::kernel::{Instant, MissingWiring, required_region};
use shared_ring::{Consumer, GeometryError, MappedMemory, Producer, SharedMemory};

use crate::{
    boot_table,
    console::Uart,
    virtual_cpu::{self, Sel4VirtualCpu},
    vmm::GuestFault,
};

/// Typed bytes taken from the UART at a time: the larger of the FIFOs, a PL011's (ARM DDI 0183G, 2.4). A mini-UART's is 8.
const TYPED_BYTES: usize = 32;

/// Microkit 2.3.0 looks for a virtual processor's `setvar_id` at the element around it (tool/microkit/src/sdf.rs,
/// `VirtualMachine::from_xml`), so that the symbol keeps its value. `system.xml` has one, with this number.
const UNPATCHED_VCPU: u64 = 0;

/// Why there is no guest.
#[derive(Debug)]
pub(crate) enum StartError {
    /// `system.xml` gives the domain too little.
    Missing(MissingWiring),
    /// The guest's RAM cannot lie where the layout has it.
    Memory,
    /// There is no virtual processor of that number.
    VirtualCpu,
    /// A ring's region is too small.
    Link(GeometryError),
    /// The files in the image do not make a guest.
    Boot(BootError),
    /// The kernel refused.
    Kernel(sel4::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(missing) => missing.fmt(formatter),
            Self::Memory => formatter.write_str("`region_guest_memory` cannot be the guest's RAM"),
            Self::VirtualCpu => formatter.write_str("`vcpu_linux` is no virtual processor's number"),
            Self::Link(error) => write!(formatter, "a region of the link is no ring: {error:?}"),
            Self::Boot(error) => error.fmt(formatter),
            Self::Kernel(error) => write!(formatter, "the kernel refused: {error}"),
        }
    }
}

impl From<MissingWiring> for StartError {
    fn from(missing: MissingWiring) -> Self {
        Self::Missing(missing)
    }
}

impl From<GeometryError> for StartError {
    fn from(error: GeometryError) -> Self {
        Self::Link(error)
    }
}

impl From<BootError> for StartError {
    fn from(error: BootError) -> Self {
        Self::Boot(error)
    }
}

impl From<sel4::Error> for StartError {
    fn from(error: sel4::Error) -> Self {
        Self::Kernel(error)
    }
}

/// The files in the image, and where they go.
struct Files {
    kernel: MappedMemory,
    initramfs: MappedMemory,
    device_tree: MappedMemory,
    plan: BootPlan,
    /// Of the guest.
    memory_bytes: usize,
}

/// The machine's way to the kernel and to the console's line.
struct Host<U> {
    processor: Sel4VirtualCpu,
    uart: U,
}

impl<U> VirtualCpu for Host<U> {
    fn inject(&mut self, injection: Injection) -> Result<(), ListRegisterInUse> {
        self.processor.inject(injection)
    }

    fn acknowledge_virtual_timer(&mut self) {
        self.processor.acknowledge_virtual_timer();
    }
}

impl<U: Uart> ConsoleSink for Host<U> {
    fn put(&mut self, byte: u8) -> bool {
        self.uart.put(byte)
    }
}

/// The guest with everything around it.
pub(crate) struct Guest<U> {
    machine: Machine<GuestRam<MappedMemory>>,
    link: LinkBridge<MappedMemory>,
    host: Host<U>,
    files: Files,
}

impl<U: Uart> Guest<U> {
    /// The guest that `system.xml` describes, not started.
    pub(crate) fn new(wiring: &Sel4Wiring) -> Result<Self, StartError> {
        let memory = required_region(wiring, "region_guest_memory")?;
        let layout = MachineLayout::LINUX.with_memory_size(memory.size_bytes() as u64);
        let id = wiring.number("vcpu_linux").unwrap_or(UNPATCHED_VCPU);
        let processor = Sel4VirtualCpu::new(id, layout.virtual_timer_intid).ok_or(StartError::VirtualCpu)?;
        let ram = GuestRam::new(layout.memory.base, memory).ok_or(StartError::Memory)?;
        Ok(Self {
            machine: Machine::new(layout, ram),
            link: link(wiring)?,
            host: Host { processor, uart: U::new(wiring.device("region_uart")?) },
            files: Files::new(wiring, &layout)?,
        })
    }

    /// Loads the files and lets the guest begin. It begins with its caches off.
    pub(crate) fn start(&mut self, wiring: &Sel4Wiring) -> Result<(), StartError> {
        self.files.load(self.machine.memory())?;
        // All of its memory and not just the files: a guest before this one may have left lines in the caches that would
        // otherwise be written over what this one writes past them.
        wiring.clean_data_cache("region_guest_memory", 0, self.files.memory_bytes);
        self.host.processor.begin(&self.files.plan.entry_registers())?;
        Ok(())
    }

    /// What there is to say of the guest, whose files were found to be in order.
    pub(crate) fn describe(&self) -> Finding {
        let mebibytes = |bytes: usize| bytes.div_ceil(1 << 20);
        Finding::well(format_args!(
            "Linux is loaded: kernel {} MiB, initramfs {} MiB, memory {} MiB",
            mebibytes(self.files.kernel.size_bytes()),
            mebibytes(self.files.initramfs.size_bytes()),
            mebibytes(self.files.memory_bytes),
        ))
    }

    /// Says at the console what ends the guest: nothing else of a release image would.
    pub(crate) fn tell(&mut self, reason: fmt::Arguments<'_>) {
        self.tell_of(boot_table::NAME, &Standing::Failed(text(reason)));
    }

    /// Tells at the console how a domain stands.
    pub(crate) fn tell_of(&mut self, name: &str, standing: &Standing) {
        boot_table::tell(&Sel4Kernel::new(), &mut self.host, name, standing);
    }

    /// The console's line.
    pub(crate) const fn line(&mut self) -> &mut impl ConsoleSink {
        &mut self.host
    }

    /// Starts the guest anew: machine, files and processor as after power-on.
    pub(crate) fn restart(&mut self, wiring: &Sel4Wiring) -> Result<(), StartError> {
        self.host.processor.suspend()?;
        self.machine.reset(&mut self.host);
        self.start(wiring)
    }

    /// The guest waits for an interrupt: sleeps with it, for one of anybody's, unless one waits for it.
    pub(crate) fn idle(&self) {
        if !self.machine.has_interrupt_for_guest() {
            wait_for_interrupt();
        }
    }

    /// Stops the guest for good.
    pub(crate) fn halt(&mut self) {
        if let Err(error) = self.host.processor.suspend() {
            log::error!("the guest cannot be suspended: {error}");
        }
        self.machine.reset(&mut self.host);
    }

    /// Somebody typed, or the line has room again.
    pub(crate) fn console_interrupt(&mut self) {
        self.host.uart.clear_interrupt();
        let mut typed = [0; TYPED_BYTES];
        loop {
            let mut count = 0;
            while count < typed.len()
                && let Some(byte) = self.host.uart.get()
            {
                typed[count] = byte;
                count += 1;
            }
            if count == 0 {
                break;
            }
            let taken = self.machine.uart_receive(&typed[..count], &mut self.host);
            if taken < count {
                self.machine.uart_dropped(count - taken, &mut self.host);
            }
        }
        self.machine.uart_flush(&mut self.host);
    }

    /// Whether the ports or the link want to be run.
    pub(crate) fn link_is_due(&mut self) -> bool {
        self.machine.take_activity() || self.link.is_waiting()
    }

    /// Moves what waits between ports and rings; answers whether `admission` has to be notified.
    pub(crate) fn run_link(&mut self, now: Instant) -> bool {
        self.link.run(&mut self.machine.ports(&mut self.host), now)
    }

    /// What the guest did, and how it goes on. Its registers are as they must be when this returns.
    pub(crate) fn handle(&mut self, fault: GuestFault) -> Outcome {
        let Self { machine, host, .. } = self;
        match fault {
            GuestFault::VmFault(fault) if fault.is_prefetch() => machine.handle_instruction_abort(fault.addr()),
            GuestFault::VmFault(fault) => self.with_registers(|machine, registers, host| {
                machine.handle_data_abort(fault.addr(), fault.fsr(), registers, host)
            }),
            GuestFault::VCpuFault(fault) => {
                self.with_registers(|machine, registers, _| machine.handle_trap(fault.hsr(), registers))
            }
            GuestFault::UnknownSyscall(_) => {
                self.with_registers(|machine, registers, _| machine.handle_hypervisor_call(registers))
            }
            GuestFault::VGicMaintenance(fault) => {
                let list_register = fault.idx().and_then(|index| usize::try_from(index).ok());
                machine.handle_maintenance(list_register, host)
            }
            GuestFault::VPpiEvent(fault) => machine.handle_virtual_timer(fault.irq(), host),
            other => {
                self.tell(format_args!("the guest was stopped: {other:?}"));
                self.halt();
                Outcome::PowerOff
            }
        }
    }

    /// Runs `handler` on the thread's registers and writes back what it made of them.
    fn with_registers(
        &mut self,
        handler: impl FnOnce(&mut Machine<GuestRam<MappedMemory>>, &mut GuestRegisters, &mut Host<U>) -> Outcome,
    ) -> Outcome {
        let mut context = match self.host.processor.context() {
            Ok(context) => context,
            Err(error) => return self.unreadable(error),
        };
        let mut registers = virtual_cpu::load(&context);
        let outcome = handler(&mut self.machine, &mut registers, &mut self.host);
        if matches!(outcome, Outcome::Resume | Outcome::Idle) {
            virtual_cpu::store(&registers, &mut context);
            if let Err(error) = self.host.processor.set_context(&mut context) {
                return self.unreadable(error);
            }
        }
        outcome
    }

    /// The kernel does not give the guest's registers: without them nothing can go on.
    fn unreadable(&mut self, error: sel4::Error) -> Outcome {
        self.tell(format_args!("the guest's registers cannot be reached: {error}"));
        Outcome::PowerOff
    }
}

impl Files {
    fn new(wiring: &Sel4Wiring, layout: &MachineLayout) -> Result<Self, StartError> {
        let kernel = required_region(wiring, "region_guest_kernel")?;
        let initramfs = required_region(wiring, "region_guest_initramfs")?;
        let device_tree = required_region(wiring, "region_guest_device_tree")?;
        let header = ImageHeader::read(&kernel)?;
        let plan = BootPlan::new(layout.memory, header, kernel.size_bytes() as u64, initramfs.size_bytes() as u64)?;
        let memory_bytes = required_region(wiring, "region_guest_memory")?.size_bytes();
        Ok(Self { kernel, initramfs, device_tree, plan, memory_bytes })
    }

    /// Copies the files into RAM; the last guest may have written anywhere.
    fn load(&self, memory: &GuestRam<MappedMemory>) -> Result<(), BootError> {
        let tree_bytes = self.device_tree.size_bytes() as u64;
        self.plan.load(memory, &self.kernel, &self.device_tree, tree_bytes, &self.initramfs)
    }
}

/// Both rings of the link, this domain's ends.
fn link(wiring: &Sel4Wiring) -> Result<LinkBridge<MappedMemory>, StartError> {
    let region = |symbol| required_region(wiring, symbol);
    let (out, out_head) = (region("region_link_out")?, region("region_link_out_head")?);
    let (incoming, incoming_head) = (region("region_link_in")?, region("region_link_in_head")?);
    let to_admission = Producer::new(link_geometry(out.size_bytes())?, out, out_head)?;
    let from_admission = Consumer::new(link_geometry(incoming.size_bytes())?, incoming, incoming_head)?;
    Ok(LinkBridge::new(to_admission, from_admission))
}
