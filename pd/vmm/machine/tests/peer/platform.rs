//! The guest's processor: loads and stores become data aborts, interrupts go through four list registers.

use std::cell::RefCell;
use std::rc::Rc;

use pd_vmm_machine::{
    ConsoleSink, GuestRam, GuestRegisters, Injection, ListRegisterInUse, Machine, MachineLayout, Outcome, PortError,
    PortEvent, SessionPorts, VirtualCpu,
};
use shared_ring::MappedMemory;
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{Error, PhysAddr, Result};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::guest_memory;

const LAYOUT: MachineLayout = MachineLayout::LINUX;

/// What the shell would be: list registers and a line that prints.
#[derive(Default)]
pub(crate) struct Host {
    pub(crate) list_registers: [Option<Injection>; 4],
    pub(crate) printed: Vec<u8>,
}

impl VirtualCpu for Host {
    fn inject(&mut self, injection: Injection) -> std::result::Result<(), ListRegisterInUse> {
        self.list_registers[usize::from(injection.list_register)] = Some(injection);
        Ok(())
    }

    fn acknowledge_virtual_timer(&mut self) {}
}

impl ConsoleSink for Host {
    fn put(&mut self, byte: u8) -> bool {
        self.printed.push(byte);
        true
    }
}

/// A machine with a guest on it.
pub(crate) struct Platform {
    pub(crate) machine: Machine<GuestRam<MappedMemory>>,
    pub(crate) host: Host,
}

/// Handle on a [`Platform`].
pub(crate) type Shared = Rc<RefCell<Platform>>;

impl Platform {
    pub(crate) fn new() -> Shared {
        let machine = Machine::new(LAYOUT, guest_memory::ram());
        let mut platform = Self { machine, host: Host::default() };
        // The kernel's interrupt controller driver: forward, and enable the console's interrupt.
        platform.store(LAYOUT.distributor.base, 1);
        let intid = u64::from(LAYOUT.virtio_console.intid);
        platform.store(LAYOUT.distributor.base + 0x100 + intid / 32 * 4, 1 << (intid % 32));
        Rc::new(RefCell::new(platform))
    }

    /// A word stored by `str w1, [..]`.
    pub(crate) fn store(&mut self, address: u64, value: u32) {
        self.access(address, u64::from(value), 2, true);
    }

    /// A word loaded by `ldr w1, [..]`.
    pub(crate) fn load(&mut self, address: u64) -> u32 {
        u32::try_from(self.access(address, 0, 2, false)).unwrap()
    }

    /// A byte loaded by `ldrb w1, [..]`.
    pub(crate) fn load_byte(&mut self, address: u64) -> u8 {
        u8::try_from(self.access(address, 0, 0, false)).unwrap()
    }

    fn access(&mut self, address: u64, value: u64, size: u64, store: bool) -> u64 {
        const REGISTER: usize = 1;
        let syndrome = (0x24 << 26) | (1 << 25) | (1 << 24) | (size << 22) | (1 << 16) | (u64::from(store) << 6) | 7;
        let mut registers = GuestRegisters { program_counter: 0x4000_1000, ..GuestRegisters::default() };
        registers.general[REGISTER] = value;
        let outcome = self.machine.handle_data_abort(address, syndrome, &mut registers, &mut self.host);
        assert_eq!(outcome, Outcome::Resume);
        assert_eq!(registers.program_counter, 0x4000_1004);
        registers.general[REGISTER]
    }

    /// The next thing at any port, with room for `room` bytes.
    pub(crate) fn event(&mut self, room: usize) -> Option<(PortEvent, Vec<u8>)> {
        let mut buffer = vec![0; room];
        let event = self.machine.ports(&mut self.host).next_event(&|_| true, &mut buffer)?;
        buffer.truncate(if let PortEvent::Data { length, .. } = event { length } else { 0 });
        Some((event, buffer))
    }

    pub(crate) fn send(&mut self, port: usize, bytes: &[u8]) -> std::result::Result<usize, PortError> {
        self.machine.ports(&mut self.host).send(port, bytes)
    }

    pub(crate) fn close(&mut self, port: usize) -> std::result::Result<(), PortError> {
        self.machine.ports(&mut self.host).close(port)
    }

    /// Whether the console's interrupt waits for the guest; if so the guest takes and ends it.
    pub(crate) fn take_interrupt(&mut self) -> bool {
        let intid = LAYOUT.virtio_console.intid;
        let Some(index) =
            self.host.list_registers.iter().position(|slot| slot.is_some_and(|loaded| loaded.intid == intid))
        else {
            return false;
        };
        self.host.list_registers[index] = None;
        assert_eq!(self.machine.handle_maintenance(Some(index), &mut self.host), Outcome::Resume);
        true
    }
}

/// The virtio console's registers, for `virtio-drivers`.
#[derive(Clone)]
pub(crate) struct MmioTransport {
    platform: Shared,
}

impl MmioTransport {
    pub(crate) fn new(platform: &Shared) -> Self {
        Self { platform: Rc::clone(platform) }
    }

    pub(crate) fn read(&self, offset: u64) -> u32 {
        self.platform.borrow_mut().load(LAYOUT.virtio_console.registers.base + offset)
    }

    pub(crate) fn write(&self, offset: u64, value: u32) {
        self.platform.borrow_mut().store(LAYOUT.virtio_console.registers.base + offset, value);
    }

    fn write_address(&self, offset: u64, address: PhysAddr) {
        self.write(offset, (address & 0xffff_ffff) as u32);
        self.write(offset + 4, (address >> 32) as u32);
    }
}

impl Transport for MmioTransport {
    fn device_type(&self) -> DeviceType {
        DeviceType::try_from(self.read(0x008)).unwrap()
    }

    fn read_device_features(&mut self) -> u64 {
        self.write(0x014, 0);
        let low = u64::from(self.read(0x010));
        self.write(0x014, 1);
        low | (u64::from(self.read(0x010)) << 32)
    }

    fn write_driver_features(&mut self, driver_features: u64) {
        self.write(0x024, 0);
        self.write(0x020, (driver_features & 0xffff_ffff) as u32);
        self.write(0x024, 1);
        self.write(0x020, (driver_features >> 32) as u32);
    }

    fn max_queue_size(&mut self, queue: u16) -> u32 {
        self.write(0x030, queue.into());
        self.read(0x034)
    }

    fn notify(&mut self, queue: u16) {
        self.write(0x050, queue.into());
    }

    fn get_status(&self) -> DeviceStatus {
        DeviceStatus::from_bits_retain(self.read(0x070))
    }

    fn set_status(&mut self, status: DeviceStatus) {
        self.write(0x070, status.bits());
    }

    fn set_guest_page_size(&mut self, _guest_page_size: u32) {
        // Legacy devices only.
    }

    fn requires_legacy_layout(&self) -> bool {
        false
    }

    fn queue_set(
        &mut self,
        queue: u16,
        size: u32,
        descriptors: PhysAddr,
        driver_area: PhysAddr,
        device_area: PhysAddr,
    ) {
        self.write(0x030, queue.into());
        self.write(0x038, size);
        self.write_address(0x080, descriptors);
        self.write_address(0x090, driver_area);
        self.write_address(0x0a0, device_area);
        self.write(0x044, 1);
    }

    fn queue_unset(&mut self, queue: u16) {
        self.write(0x030, queue.into());
        self.write(0x044, 0);
    }

    fn queue_used(&mut self, queue: u16) -> bool {
        self.write(0x030, queue.into());
        self.read(0x044) != 0
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        let status = self.read(0x060);
        self.write(0x064, status);
        InterruptStatus::from_bits_retain(status)
    }

    fn read_config_generation(&self) -> u32 {
        self.read(0x0fc)
    }

    fn read_config_space<T: FromBytes + IntoBytes>(&self, offset: usize) -> Result<T> {
        let base = LAYOUT.virtio_console.registers.base + 0x100 + offset as u64;
        let bytes: Vec<u8> =
            (0..size_of::<T>() as u64).map(|index| self.platform.borrow_mut().load_byte(base + index)).collect();
        T::read_from_bytes(&bytes).map_err(|_| Error::ConfigSpaceTooSmall)
    }

    fn write_config_space<T: IntoBytes + Immutable>(&mut self, offset: usize, value: T) -> Result<()> {
        let word = <[u8; 4]>::try_from(value.as_bytes()).map_err(|_| Error::InvalidParam)?;
        self.write(0x100 + offset as u64, u32::from_le_bytes(word));
        Ok(())
    }
}
