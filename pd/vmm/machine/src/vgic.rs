//! The guest's interrupt controller: a GICv2 distributor in software over four list registers in hardware.
//!
//! The guest acknowledges and ends interrupts at the processor's virtual CPU interface without any help (`system.xml`
//! maps it); what it asks of the distributor (ARM IHI 0048B, chapter 4.3) faults and comes here. An interrupt reaches
//! the guest when it is loaded into a *list register*, and the kernel reports when the guest has ended it (maintenance).
//!
//! What seL4 offers (src/arch/arm/object/vcpu.c) decides the design. It loads a *pending* interrupt into a list register,
//! always with the end-of-interrupt report on. It neither reads a list register back nor empties one, and it refuses to
//! overwrite one that it last saw active. So between loading and report nobody here knows whether the guest has taken
//! the interrupt, and an interrupt can be called back only by writing another over it. That other is a *parked* one:
//! lowest priority and group 1, which a Linux that runs in group 0 (all of them on a GICv2 without security extensions)
//! never takes. Parking is what makes clear-pending take an interrupt back that was loaded already, and what keeps an
//! interrupt of the last life of the guest from reaching the rebooted kernel, which would have no handler for it.
//!
//! Level and edge: a device *holds its line*; a level-triggered interrupt is pending while its line is high and is loaded
//! again after the guest ended it if the line is still high. An edge is remembered until loaded. The virtual timer is
//! the kernel's: its line is high from the kernel's event until the guest ends the interrupt, then the kernel is told to
//! listen again and sends another event if the timer still fires.
//!
//! One CPU, so target and source registers have one meaningful bit. Everything the guest writes is masked to what exists;
//! nothing it writes is an error.

use crate::abort::{AccessSize, Direction};

/// List registers that are used. GIC-400 (Raspberry Pi 4) and QEMU's GICv2 have four.
pub const LIST_REGISTERS: usize = 4;

/// Interrupts that the distributor knows: 16 software-generated, 16 private, 64 shared; the devices use two of the last.
pub const INTIDS: usize = 96;

/// Software-generated interrupts are 0 to 15.
const SOFTWARE_GENERATED: u16 = 16;
/// Private peripheral interrupts are 16 to 31.
const FIRST_SHARED: u16 = 32;
/// 32 interrupts a register of one bit each.
const WORDS: usize = INTIDS / 32;
/// List register `i` is parked with the number `PARKED_INTID + i`: beyond what the distributor has, below the special
/// numbers from 1020 up, which no list register may hold (IHI 0048B, 5.3.8).
const PARKED_INTID: u16 = 1016;
/// Lowest of the 32 priorities that a list register can express.
const LOWEST_PRIORITY: u8 = 31;
/// A GICv2's list registers hold the upper five bits of an eight-bit priority.
const PRIORITY_SHIFT: u8 = 3;

/// An interrupt to load: the arguments of `seL4_ARM_VCPU_InjectIRQ`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Injection {
    /// The number that the guest will read, 0 to 1019.
    pub intid: u16,
    /// 0 (highest) to 31.
    pub priority: u8,
    /// 0 or 1.
    pub group: u8,
    /// 0 to 3.
    pub list_register: u8,
}

/// The kernel holds the list register for active and did not load the interrupt (`seL4_DeleteFirst`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListRegisterInUse;

/// What the machine asks of the kernel.
pub trait VirtualCpu {
    /// `seL4_ARM_VCPU_InjectIRQ` / `microkit_vcpu_arm_inject_irq`. Every error of the call is reported as in use: the
    /// arguments are in range by construction.
    fn inject(&mut self, injection: Injection) -> Result<(), ListRegisterInUse>;

    /// `seL4_ARM_VCPU_AckVPPI` of the virtual timer's interrupt: the kernel may forward it again.
    fn acknowledge_virtual_timer(&mut self);
}

/// One bit an interrupt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bits([u32; WORDS]);

impl Bits {
    fn get(&self, intid: u16) -> bool {
        self.0.get(usize::from(intid / 32)).is_some_and(|word| word & (1 << (intid % 32)) != 0)
    }

    fn set(&mut self, intid: u16, value: bool) {
        if let Some(word) = self.0.get_mut(usize::from(intid / 32)) {
            let bit = 1 << (intid % 32);
            if value { *word |= bit } else { *word &= !bit }
        }
    }
}

/// The numbers of the bits that are set, for interrupts of the register's word `index`.
fn intids_in(index: usize, word: u32) -> impl Iterator<Item = u16> {
    let first = u16::try_from(index * 32).expect("a GIC has at most 1020 interrupts");
    (0..32_u16).filter(move |bit| word & (1 << bit) != 0).map(move |bit| first + bit)
}

/// What a list register holds, as far as it can be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ListRegister {
    /// Nothing; the guest ended what was there.
    Free,
    /// This interrupt, pending or active: only the guest knows.
    Loaded(u16),
    /// An interrupt that will not be taken; may be overwritten.
    Parked,
    /// The kernel refused to overwrite it. Usable again after a maintenance report.
    Refused,
}

/// Counts of things that a person may want to know when interrupts misbehave. All wrap at 2^64, that is never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VgicCounters {
    /// Interrupts loaded.
    pub injected: u64,
    /// Interrupts that waited because every list register was taken.
    pub waited_for_list_register: u64,
    /// Loaded interrupts that were called back.
    pub parked: u64,
    /// List registers that the kernel refused to overwrite.
    pub refused: u64,
    /// Maintenance reports without a list register, or for one that was free.
    pub unexpected_maintenance: u64,
    /// Register accesses of a size or alignment that a GICv2 does not have.
    pub malformed_accesses: u64,
}

/// The distributor and its list registers.
#[derive(Clone, Debug)]
pub struct Vgic {
    control: u32,
    group: Bits,
    enabled: Bits,
    /// Pending of itself: edges, software-generated interrupts, the guest's own set-pending.
    latched: Bits,
    /// Pending while the device holds it.
    line: Bits,
    /// Configured edge-triggered.
    edge: Bits,
    priority: [u8; INTIDS],
    target: [u8; INTIDS],
    list_registers: [ListRegister; LIST_REGISTERS],
    virtual_timer: u16,
    counters: VgicCounters,
}

/// Group-enable bits of GICD_CTLR (4.3.1).
const CONTROL_MASK: u32 = 0b11;
/// All software-generated interrupts are permanently enabled, which the architecture allows (4.3.5).
const SOFTWARE_GENERATED_MASK: u32 = 0xffff;

impl Vgic {
    /// A distributor after reset: everything disabled, nothing pending. `virtual_timer` is the interrupt that the kernel
    /// forwards.
    pub fn new(virtual_timer: u16) -> Self {
        let mut edge = Bits::default();
        edge.0[0] = SOFTWARE_GENERATED_MASK;
        let mut enabled = Bits::default();
        enabled.0[0] = SOFTWARE_GENERATED_MASK;
        Self {
            control: 0,
            group: Bits::default(),
            enabled,
            latched: Bits::default(),
            line: Bits::default(),
            edge,
            priority: [0; INTIDS],
            target: [1; INTIDS],
            list_registers: [ListRegister::Free; LIST_REGISTERS],
            virtual_timer,
            counters: VgicCounters::default(),
        }
    }

    /// What happened so far.
    pub fn counters(&self) -> VgicCounters {
        self.counters
    }

    /// Whether an interrupt lies in a list register: a guest that waits for one need not wait.
    pub fn has_loaded(&self) -> bool {
        self.list_registers.iter().any(|slot| matches!(slot, ListRegister::Loaded(_)))
    }

    /// Sets a device's line. Nothing happens for an interrupt that does not exist.
    pub fn set_line(&mut self, intid: u16, high: bool, cpu: &mut impl VirtualCpu) {
        let rises = high && !self.line.get(intid);
        self.line.set(intid, high);
        if rises {
            if self.edge.get(intid) {
                self.latched.set(intid, true);
            }
            self.load_pending(cpu);
        }
    }

    /// The kernel reports that the virtual timer fired; it stays silent until told otherwise.
    pub fn virtual_timer_fired(&mut self, cpu: &mut impl VirtualCpu) {
        self.set_line(self.virtual_timer, true, cpu);
    }

    /// The kernel reports that the guest ended the interrupt in `list_register` (`None` where it could not tell which).
    pub fn maintenance(&mut self, list_register: Option<usize>, cpu: &mut impl VirtualCpu) {
        let slot = list_register.and_then(|index| self.list_registers.get_mut(index));
        let before = slot.map(|slot| core::mem::replace(slot, ListRegister::Free));
        match before {
            Some(ListRegister::Loaded(intid)) if intid == self.virtual_timer => self.listen_to_timer(cpu),
            Some(ListRegister::Loaded(_) | ListRegister::Parked | ListRegister::Refused) => {}
            Some(ListRegister::Free) | None => self.counters.unexpected_maintenance += 1,
        }
        self.load_pending(cpu);
    }

    /// As after power-on. Interrupts that are still in list registers are parked, so that the next kernel never sees
    /// them, and the kernel is told to forward the virtual timer again. Counters stay.
    pub fn reset(&mut self, cpu: &mut impl VirtualCpu) {
        for index in 0..LIST_REGISTERS {
            if matches!(self.list_registers[index], ListRegister::Loaded(_) | ListRegister::Refused) {
                self.park(index, cpu);
            }
        }
        let fresh = Self::new(self.virtual_timer);
        *self = Self { list_registers: self.list_registers, counters: self.counters, ..fresh };
        cpu.acknowledge_virtual_timer();
    }

    /// The guest's access at `offset` of the distributor; answers what a load reads.
    pub fn access(&mut self, offset: u64, size: AccessSize, direction: Direction, cpu: &mut impl VirtualCpu) -> u64 {
        let bytes = size.bytes();
        if bytes > 4 || !offset.is_multiple_of(bytes) {
            self.counters.malformed_accesses += 1;
            return 0;
        }
        let register = offset & !3;
        let shift = (offset & 3) * 8;
        match direction {
            Direction::Read => (u64::from(self.read(register)) >> shift) & size.mask(),
            Direction::Write(value) => {
                // Both fit: the access lies within one 32-bit word.
                let lanes = ((size.mask() << shift) & 0xffff_ffff) as u32;
                let value = ((value << shift) & 0xffff_ffff) as u32;
                self.write(register, value & lanes, lanes, cpu);
                self.load_pending(cpu);
                0
            }
        }
    }

    fn listen_to_timer(&mut self, cpu: &mut impl VirtualCpu) {
        self.line.set(self.virtual_timer, false);
        cpu.acknowledge_virtual_timer();
    }

    fn loaded_in(&self, intid: u16) -> Option<usize> {
        self.list_registers.iter().position(|slot| *slot == ListRegister::Loaded(intid))
    }

    fn pending_word(&self, index: usize) -> u32 {
        self.latched.0[index] | (self.line.0[index] & !self.edge.0[index])
    }

    fn active_word(&self, index: usize) -> u32 {
        self.list_registers
            .iter()
            .filter_map(|slot| match slot {
                ListRegister::Loaded(intid) if usize::from(intid / 32) == index => Some(1 << (intid % 32)),
                _ => None,
            })
            .fold(0, |word, bit: u32| word | bit)
    }

    /// Interrupts of a word that the distributor would forward now.
    fn deliverable_word(&self, index: usize) -> u32 {
        let group_0 = if self.control & 1 != 0 { !self.group.0[index] } else { 0 };
        let group_1 = if self.control & 2 != 0 { self.group.0[index] } else { 0 };
        self.pending_word(index) & self.enabled.0[index] & (group_0 | group_1) & !self.active_word(index)
    }

    /// The most urgent deliverable interrupt; of equals the lowest number.
    fn most_urgent(&self) -> Option<u16> {
        (0..WORDS)
            .flat_map(|index| intids_in(index, self.deliverable_word(index)))
            .filter(|intid| self.target[usize::from(*intid)] & 1 != 0)
            .min_by_key(|intid| (self.priority[usize::from(*intid)], *intid))
    }

    fn available_list_register(&self) -> Option<usize> {
        let find = |wanted| self.list_registers.iter().position(|slot| *slot == wanted);
        find(ListRegister::Free).or_else(|| find(ListRegister::Parked))
    }

    /// Loads what is pending while there is room. Ends: each turn fills a list register or gives one up.
    fn load_pending(&mut self, cpu: &mut impl VirtualCpu) {
        while let Some(intid) = self.most_urgent() {
            let Some(index) = self.available_list_register() else {
                self.counters.waited_for_list_register += 1;
                return;
            };
            let injection = Injection {
                intid,
                priority: self.priority[usize::from(intid)] >> PRIORITY_SHIFT,
                group: u8::from(self.group.get(intid)),
                list_register: list_register_number(index),
            };
            match cpu.inject(injection) {
                Ok(()) => {
                    self.list_registers[index] = ListRegister::Loaded(intid);
                    self.latched.set(intid, false);
                    self.counters.injected += 1;
                }
                Err(ListRegisterInUse) => self.give_up(index),
            }
        }
    }

    fn give_up(&mut self, index: usize) {
        self.list_registers[index] = ListRegister::Refused;
        self.counters.refused += 1;
    }

    /// Writes an interrupt that will not be taken over whatever list register `index` holds.
    fn park(&mut self, index: usize, cpu: &mut impl VirtualCpu) {
        let number = list_register_number(index);
        let parked = Injection {
            intid: PARKED_INTID + u16::from(number),
            priority: LOWEST_PRIORITY,
            group: 1,
            list_register: number,
        };
        match cpu.inject(parked) {
            Ok(()) => {
                self.list_registers[index] = ListRegister::Parked;
                self.counters.parked += 1;
            }
            Err(ListRegisterInUse) => self.give_up(index),
        }
    }

    fn read(&self, register: u64) -> u32 {
        let bits = |base: u64, bits: &Bits| word_of(bits, register, base);
        match register {
            0x000 => self.control,
            // GICD_TYPER: 32 × (2 + 1) interrupts, one CPU, no security extensions.
            0x004 => 2,
            // GICD_IIDR as a GIC-400 says it (Arm DDI 0471B, 3.2).
            0x008 => 0x0200_143b,
            0x080..0x100 => bits(0x080, &self.group),
            0x100..0x180 => bits(0x100, &self.enabled),
            0x180..0x200 => bits(0x180, &self.enabled),
            0x200..0x280 => self.computed_word(register, 0x200, Self::pending_word),
            0x280..0x300 => self.computed_word(register, 0x280, Self::pending_word),
            0x300..0x380 => self.computed_word(register, 0x300, Self::active_word),
            0x380..0x400 => self.computed_word(register, 0x380, Self::active_word),
            0x400..0x800 => bytes_of(&self.priority, register, 0x400),
            0x800..0xc00 => bytes_of(&self.target, register, 0x800),
            0xc00..0xd00 => self.read_configuration(register),
            0xf10..0xf20 => self.read_software_pending(register, 0xf10),
            0xf20..0xf30 => self.read_software_pending(register, 0xf20),
            0xfd0..0x1000 => identification(register),
            _ => 0,
        }
    }

    fn computed_word(&self, register: u64, base: u64, word: fn(&Self, usize) -> u32) -> u32 {
        word_index(register, base).map_or(0, |index| word(self, index))
    }

    /// Two bits an interrupt, the upper one for "edge" (4.3.13).
    fn read_configuration(&self, register: u64) -> u32 {
        configured_by(register)
            .enumerate()
            .fold(0, |word, (position, intid)| word | (u32::from(self.edge.get(intid)) << (2 * position + 1)))
    }

    /// One byte an interrupt, one bit a source CPU (4.3.16).
    fn read_software_pending(&self, register: u64, base: u64) -> u32 {
        software_generated_by(register, base)
            .enumerate()
            .fold(0, |word, (position, intid)| word | (u32::from(self.latched.get(intid)) << (8 * position)))
    }

    /// Writes `value`, whose bits outside `lanes` are zero and were not written.
    fn write(&mut self, register: u64, value: u32, lanes: u32, cpu: &mut impl VirtualCpu) {
        match register {
            0x000 => self.control = ((self.control & !lanes) | value) & CONTROL_MASK,
            0x080..0x100 => {
                if let Some(index) = word_index(register, 0x080) {
                    self.group.0[index] = (self.group.0[index] & !lanes) | value;
                }
            }
            0x100..0x180 => self.change_enabled(register, 0x100, |word| word | value),
            0x180..0x200 => self.change_enabled(register, 0x180, |word| word & !value),
            0x200..0x280 => self.set_pending(register, value),
            0x280..0x300 => self.for_each(register, 0x280, value, |vgic, intid| vgic.clear_pending(intid, cpu)),
            0x380..0x400 => self.for_each(register, 0x380, value, |vgic, intid| vgic.clear_active(intid, cpu)),
            0x400..0x800 => set_bytes(&mut self.priority, register, 0x400, value, lanes),
            0x800..0xc00 => self.write_targets(register, value, lanes),
            0xc00..0xd00 => self.write_configuration(register, value, lanes),
            0xf00 if lanes == u32::MAX => self.generate(value),
            0xf10..0xf20 => self.write_software_pending(register, 0xf10, value, false),
            0xf20..0xf30 => self.write_software_pending(register, 0xf20, value, true),
            // Read-only, reserved, or set-active: no list register can be made active from here.
            _ => {}
        }
    }

    fn change_enabled(&mut self, register: u64, base: u64, change: impl Fn(u32) -> u32) {
        if let Some(index) = word_index(register, base) {
            self.enabled.0[index] = change(self.enabled.0[index]);
            self.enabled.0[0] |= SOFTWARE_GENERATED_MASK;
        }
    }

    fn set_pending(&mut self, register: u64, value: u32) {
        if let Some(index) = word_index(register, 0x200) {
            // Software-generated ones have registers of their own (4.3.7).
            let read_only = if index == 0 { SOFTWARE_GENERATED_MASK } else { 0 };
            self.latched.0[index] |= value & !read_only;
        }
    }

    fn for_each(&mut self, register: u64, base: u64, value: u32, mut action: impl FnMut(&mut Self, u16)) {
        if let Some(index) = word_index(register, base) {
            for intid in intids_in(index, value) {
                action(self, intid);
            }
        }
    }

    /// Forgets an edge, in the queue and in a list register. A line that is held stays pending, as on hardware; the
    /// virtual timer's is the kernel's to raise again.
    fn clear_pending(&mut self, intid: u16, cpu: &mut impl VirtualCpu) {
        if intid < SOFTWARE_GENERATED {
            return;
        }
        self.latched.set(intid, false);
        if intid == self.virtual_timer && self.line.get(intid) {
            self.listen_to_timer(cpu);
        }
        let held = self.line.get(intid) && !self.edge.get(intid);
        if let Some(index) = self.loaded_in(intid)
            && !held
        {
            self.park(index, cpu);
        }
    }

    /// Takes an interrupt out of its list register. It may have been pending there and not active; an edge is then kept,
    /// because one interrupt too many is harmless and one too few is not.
    fn clear_active(&mut self, intid: u16, cpu: &mut impl VirtualCpu) {
        let Some(index) = self.loaded_in(intid) else { return };
        self.park(index, cpu);
        if self.edge.get(intid) {
            self.latched.set(intid, true);
        }
    }

    /// Private interrupts' targets are read-only (4.3.12); shared ones keep the only CPU there is.
    fn write_targets(&mut self, register: u64, value: u32, lanes: u32) {
        if register >= 0x800 + u64::from(FIRST_SHARED) {
            set_bytes(&mut self.target, register, 0x800, value & 0x0101_0101, lanes);
        }
    }

    /// Software-generated interrupts are edges and private ones levels; the rest is the guest's choice.
    fn write_configuration(&mut self, register: u64, value: u32, lanes: u32) {
        for (position, intid) in configured_by(register).enumerate() {
            let bit = 1 << (2 * position + 1);
            if intid >= FIRST_SHARED && lanes & bit != 0 {
                self.edge.set(intid, value & bit != 0);
            }
        }
    }

    /// GICD_SGIR (4.3.15): a list of targets, everybody else, or oneself.
    fn generate(&mut self, value: u32) {
        let filter = (value >> 24) & 3;
        let listed = value & (1 << 16) != 0;
        if filter == 2 || (filter == 0 && listed) {
            self.latched.set((value & 0xf) as u16, true);
        }
    }

    fn write_software_pending(&mut self, register: u64, base: u64, value: u32, pending: bool) {
        for (position, intid) in software_generated_by(register, base).enumerate() {
            if value & (1 << (8 * position)) != 0 {
                self.latched.set(intid, pending);
            }
        }
    }
}

fn list_register_number(index: usize) -> u8 {
    u8::try_from(index).expect("there are four list registers")
}

/// Which word of a one-bit-an-interrupt register file `register` is; `None` beyond the interrupts that exist.
fn word_index(register: u64, base: u64) -> Option<usize> {
    usize::try_from((register - base) / 4).ok().filter(|index| *index < WORDS)
}

fn word_of(bits: &Bits, register: u64, base: u64) -> u32 {
    word_index(register, base).map_or(0, |index| bits.0[index])
}

/// The four bytes of a one-byte-an-interrupt register file at `register`.
fn bytes_of(file: &[u8; INTIDS], register: u64, base: u64) -> u32 {
    let start = usize::try_from(register - base).unwrap_or(INTIDS);
    let bytes = file.get(start..start + 4).and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u32::from_le_bytes)
}

fn set_bytes(file: &mut [u8; INTIDS], register: u64, base: u64, value: u32, lanes: u32) {
    let start = usize::try_from(register - base).unwrap_or(INTIDS);
    let Some(bytes) = file.get_mut(start..start + 4) else { return };
    for (byte, (new, lane)) in bytes.iter_mut().zip(value.to_le_bytes().into_iter().zip(lanes.to_le_bytes())) {
        if lane != 0 {
            *byte = new;
        }
    }
}

/// The 16 interrupts of a configuration register.
fn configured_by(register: u64) -> impl Iterator<Item = u16> {
    let first = u16::try_from((register - 0xc00) * 4).expect("the range has 64 registers");
    first..first + 16
}

/// The 4 interrupts of a software-generated-pending register.
fn software_generated_by(register: u64, base: u64) -> impl Iterator<Item = u16> {
    let first = u16::try_from(register - base).expect("the range has 4 registers");
    first..first + 4
}

/// Peripheral and component identification of a GIC-400 (Arm DDI 0471B, 3.2): GICv2 by Arm.
fn identification(register: u64) -> u32 {
    const FROM_0XFD0: [u8; 12] = [0x04, 0, 0, 0, 0x90, 0xb4, 0x2b, 0, 0x0d, 0xf0, 0x05, 0xb1];
    let index = usize::try_from((register - 0xfd0) / 4).unwrap_or(usize::MAX);
    FROM_0XFD0.get(index).map_or(0, |byte| u32::from(*byte))
}

#[cfg(test)]
mod tests;
