//! The guest's thread and virtual processor: seL4's calls on them.

use pd_shell::sel4::{self, CPtr, UserContext, VCpuReg};
use pd_vmm_machine::boot::{ENTRY_PROCESSOR_STATE, VCPU_RESET, VcpuRegister};
use pd_vmm_machine::{GuestRegisters, Injection, ListRegisterInUse, VirtualCpu};

/// Where Microkit puts the capabilities of virtual processors' threads (libmicrokit, `BASE_VM_TCB_CAP`).
const BASE_THREAD: u64 = 266;
/// Where Microkit puts the virtual processors' (libmicrokit, `BASE_VCPU_CAP`).
const BASE_VIRTUAL_CPU: u64 = 330;
/// Virtual processors that a domain can have (Microkit's manual, `vcpu`).
const LIMIT: u64 = 62;

/// One virtual processor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sel4VirtualCpu {
    thread: sel4::cap::Tcb,
    processor: sel4::cap::VCpu,
    virtual_timer_intid: u64,
}

impl Sel4VirtualCpu {
    /// The virtual processor with Microkit's number `id`; `None` where there can be none of that number.
    pub(crate) fn new(id: u64, virtual_timer_intid: u16) -> Option<Self> {
        (id < LIMIT).then(|| Self {
            thread: CPtr::from_bits(BASE_THREAD + id).cast(),
            processor: CPtr::from_bits(BASE_VIRTUAL_CPU + id).cast(),
            virtual_timer_intid: u64::from(virtual_timer_intid),
        })
    }

    /// The thread's registers, which stand still while its fault is not answered.
    pub(crate) fn context(&self) -> sel4::Result<UserContext> {
        self.thread.tcb_read_all_registers(false)
    }

    /// Sets the thread's registers; it goes on when its fault is answered.
    pub(crate) fn set_context(&self, context: &mut UserContext) -> sel4::Result<()> {
        self.thread.tcb_write_all_registers(false, context)
    }

    /// Stops the thread. A fault that it waits with is forgotten.
    pub(crate) fn suspend(&self) -> sel4::Result<()> {
        self.thread.tcb_suspend()
    }

    /// Lets the suspended thread begin with `registers` and nothing else, its processor as after power-on.
    pub(crate) fn begin(&self, registers: &GuestRegisters) -> sel4::Result<()> {
        for (register, value) in VCPU_RESET {
            self.write_register(register, value)?;
        }
        let mut context = UserContext::default();
        store(registers, &mut context);
        *context.spsr_mut() = ENTRY_PROCESSOR_STATE;
        self.thread.tcb_write_all_registers(true, &mut context)
    }

    fn write_register(&self, register: VcpuRegister, value: u64) -> sel4::Result<()> {
        match known_register(register) {
            Some(known) => self.processor.vcpu_write_regs(known, value),
            // rust-sel4's enumeration lacks this one.
            None => {
                let processor = self.processor.bits();
                let register = sel4::sys::seL4_VCPUReg::seL4_VCPUReg_CNTKCTL_EL1;
                let error = sel4::with_ipc_buffer_mut(|buffer| {
                    buffer.inner_mut().seL4_ARM_VCPU_WriteRegs(processor, register, value)
                });
                sel4::Error::from_sys(error).map_or(Ok(()), Err)
            }
        }
    }
}

/// rust-sel4's name for `register`.
fn known_register(register: VcpuRegister) -> Option<VCpuReg> {
    Some(match register {
        VcpuRegister::Sctlr => VCpuReg::SCTLR,
        VcpuRegister::Cpacr => VCpuReg::CPACR,
        VcpuRegister::Ttbr0 => VCpuReg::TTBR0,
        VcpuRegister::Ttbr1 => VCpuReg::TTBR1,
        VcpuRegister::Tcr => VCpuReg::TCR,
        VcpuRegister::Mair => VCpuReg::MAIR,
        VcpuRegister::Amair => VCpuReg::AMAIR,
        VcpuRegister::ContextId => VCpuReg::CIDR,
        VcpuRegister::Actlr => VCpuReg::ACTLR,
        VcpuRegister::Afsr0 => VCpuReg::AFSR0,
        VcpuRegister::Afsr1 => VCpuReg::AFSR1,
        VcpuRegister::Esr => VCpuReg::ESR,
        VcpuRegister::Far => VCpuReg::FAR,
        VcpuRegister::Vbar => VCpuReg::VBAR,
        VcpuRegister::TpidrEl1 => VCpuReg::TPIDR_EL1,
        VcpuRegister::SpEl1 => VCpuReg::SP_EL1,
        VcpuRegister::ElrEl1 => VCpuReg::ELR_EL1,
        VcpuRegister::SpsrEl1 => VCpuReg::SPSR_EL1,
        VcpuRegister::CntvCtl => VCpuReg::CNTV_CTL,
        VcpuRegister::CntvCval => VCpuReg::CNTV_CVAL,
        VcpuRegister::CntkctlEl1 => return None,
    })
}

/// The general registers and the program counter out of a thread's.
pub(crate) fn load(context: &UserContext) -> GuestRegisters {
    let mut registers = GuestRegisters { program_counter: *context.pc(), ..GuestRegisters::default() };
    for (number, register) in registers.general.iter_mut().enumerate() {
        *register = *context.gpr(number);
    }
    registers
}

/// The counterpart of [`load`].
pub(crate) fn store(registers: &GuestRegisters, context: &mut UserContext) {
    *context.pc_mut() = registers.program_counter;
    for (number, register) in registers.general.iter().enumerate() {
        *context.gpr_mut(number) = *register;
    }
}

impl VirtualCpu for Sel4VirtualCpu {
    fn inject(&mut self, injection: Injection) -> Result<(), ListRegisterInUse> {
        let Injection { intid, priority, group, list_register } = injection;
        self.processor.vcpu_inject_irq(intid, priority, group, list_register).map_err(|_| ListRegisterInUse)
    }

    fn acknowledge_virtual_timer(&mut self) {
        if let Err(error) = self.processor.vcpu_ack_vppi(self.virtual_timer_intid) {
            log::error!("the virtual timer cannot be acknowledged: {error}");
        }
    }
}
