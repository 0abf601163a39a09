//! The register interface of a virtio device: virtio-mmio, version 2 (virtio 1.2, chapter 4.2).
//!
//! Knows the order in which a driver may bring a device up, the queues and the interrupt; what the queues carry is the
//! device's (see [`crate::virtio_console`]). Selectors and queue numbers are the guest's and are checked at every use.
//! A driver that breaks the rules gets `DEVICE_NEEDS_RESET` (2.1.2) and is ignored until it resets.

use alloc::vec;
use alloc::vec::Vec;

use crate::abort::AccessSize;
use crate::memory::GuestMemory;
use crate::virtqueue::{MAX_QUEUE_SIZE, Misbehaviour, QueueAddresses, Virtqueue};

/// Where the device's own configuration begins.
pub const CONFIGURATION: u64 = 0x100;
/// "virt", little-endian.
const MAGIC: u32 = 0x7472_6976;
/// The version of the interface that virtio 1.x devices have.
const VERSION: u32 = 2;
/// Device-independent feature bit: not a legacy device. Must be accepted.
pub const FEATURE_VERSION_1: u64 = 1 << 32;

/// Bits of the device status (2.1).
mod status {
    pub(super) const DRIVER: u32 = 2;
    pub(super) const DRIVER_OK: u32 = 4;
    pub(super) const FEATURES_OK: u32 = 8;
    pub(super) const NEEDS_RESET: u32 = 64;
    pub(super) const FAILED: u32 = 128;
    /// What a driver may set.
    pub(super) const BY_DRIVER: u32 = 1 | DRIVER | DRIVER_OK | FEATURES_OK | FAILED;
}

/// Bits of the interrupt status (4.2.2).
const INTERRUPT_USED: u32 = 1;
const INTERRUPT_CONFIGURATION: u32 = 2;

/// What the device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceIdentity {
    /// The kind of device (chapter 5).
    pub device_id: u32,
    /// The features that are offered, [`FEATURE_VERSION_1`] among them.
    pub offered_features: u64,
    /// The features without which the device does not work.
    pub required_features: u64,
    /// How many queues.
    pub queues: u16,
}

/// What a register write asks of the device behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Nothing.
    None,
    /// The driver offered buffers in this queue, which exists and is ready.
    Notify(u16),
    /// The device was reset.
    Reset,
}

/// How often a driver did what it should not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransportCounters {
    /// The device asked for a reset.
    pub misbehaviour: u64,
    /// Accesses of a size or alignment that the interface does not have.
    pub malformed_accesses: u64,
    /// Notifications while the device was not running.
    pub untimely_notifications: u64,
    /// Resets by the driver.
    pub resets: u64,
}

/// The registers and queues of one device.
#[derive(Clone, Debug)]
pub struct Transport {
    identity: DeviceIdentity,
    status: u32,
    device_features_select: u32,
    driver_features_select: u32,
    driver_features: u64,
    queue_select: u32,
    queues: Vec<Virtqueue>,
    interrupt_status: u32,
    last_misbehaviour: Option<Misbehaviour>,
    counters: TransportCounters,
}

impl Transport {
    /// A device after reset.
    pub fn new(identity: DeviceIdentity) -> Self {
        Self {
            identity,
            status: 0,
            device_features_select: 0,
            driver_features_select: 0,
            driver_features: 0,
            queue_select: 0,
            queues: vec![Virtqueue::default(); usize::from(identity.queues)],
            interrupt_status: 0,
            last_misbehaviour: None,
            counters: TransportCounters::default(),
        }
    }

    /// What was counted so far.
    pub fn counters(&self) -> TransportCounters {
        self.counters
    }

    /// What the driver did last that it should not.
    pub fn last_misbehaviour(&self) -> Option<Misbehaviour> {
        self.last_misbehaviour
    }

    /// Whether the driver is up and the device in order.
    pub fn is_running(&self) -> bool {
        self.status & (status::DRIVER_OK | status::NEEDS_RESET) == status::DRIVER_OK
    }

    /// Whether the interrupt line is high.
    pub fn interrupt_line(&self) -> bool {
        self.interrupt_status != 0
    }

    /// A queue by its number.
    pub fn queue(&mut self, number: u16) -> Option<&mut Virtqueue> {
        self.queues.get_mut(usize::from(number))
    }

    /// Raises the interrupt for a buffer that was given back.
    pub fn interrupt(&mut self) {
        self.interrupt_status |= INTERRUPT_USED;
    }

    /// The driver broke the rules: the device says so and stops.
    pub fn fail(&mut self, misbehaviour: Misbehaviour) {
        self.counters.misbehaviour += 1;
        self.last_misbehaviour = Some(misbehaviour);
        if self.status & status::DRIVER_OK != 0 {
            self.interrupt_status |= INTERRUPT_CONFIGURATION;
        }
        self.status |= status::NEEDS_RESET;
    }

    /// As after power-on. Counters stay.
    pub fn reset(&mut self) {
        *self = Self { counters: self.counters, last_misbehaviour: self.last_misbehaviour, ..Self::new(self.identity) };
    }

    /// What a load at `offset`, below [`CONFIGURATION`], reads.
    pub fn read(&mut self, offset: u64, size: AccessSize) -> u32 {
        if !self.is_whole_register(offset, size) {
            return 0;
        }
        match offset {
            0x000 => MAGIC,
            0x004 => VERSION,
            0x008 => self.identity.device_id,
            // No vendor has registered for this project; QEMU's devices say "QEMU" here and no driver looks.
            0x00c => u32::from_le_bytes(*b"ATOL"),
            0x010 => features_word(self.identity.offered_features, self.device_features_select),
            0x034 => self.selected_queue().map_or(0, |_| u32::from(MAX_QUEUE_SIZE)),
            0x044 => self.selected_queue().map_or(0, |queue| u32::from(queue.is_ready())),
            0x060 => self.interrupt_status,
            0x070 => self.status,
            // Shared memory regions: a length of all ones says that there is none (4.2.2).
            0x0b0..=0x0bc => u32::MAX,
            _ => 0,
        }
    }

    /// A store at `offset`, below [`CONFIGURATION`].
    pub fn write(&mut self, offset: u64, size: AccessSize, value: u64, memory: &impl GuestMemory) -> Request {
        if !self.is_whole_register(offset, size) {
            return Request::None;
        }
        let value = (value & 0xffff_ffff) as u32;
        if offset == 0x070 && value == 0 {
            self.counters.resets += 1;
            self.reset();
            return Request::Reset;
        }
        if self.status & status::NEEDS_RESET != 0 {
            // Acknowledging the interrupt must work, or the guest would be stuck in its handler.
            if offset == 0x064 {
                self.interrupt_status &= !value;
            }
            return Request::None;
        }
        self.write_in_order(offset, value, memory).unwrap_or_else(|misbehaviour| {
            self.fail(misbehaviour);
            Request::None
        })
    }

    fn write_in_order(&mut self, offset: u64, value: u32, memory: &impl GuestMemory) -> Result<Request, Misbehaviour> {
        match offset {
            0x014 => self.device_features_select = value,
            0x020 => self.write_features(value)?,
            0x024 => self.driver_features_select = value,
            0x030 => self.queue_select = value,
            0x038 => self.queue_to_set_up()?.set_size(value)?,
            0x044 if value == 1 => self.queue_to_set_up()?.enable(memory)?,
            // Linux takes its queues down this way after it reset the device (vm_del_vq).
            0x044 if value == 0 => self.take_queue_down()?,
            0x050 => return self.notify(value),
            0x064 => self.interrupt_status &= !value,
            0x070 => self.write_status(value)?,
            0x080 => self.change_addresses(|addresses| set_low(&mut addresses.descriptors, value))?,
            0x084 => self.change_addresses(|addresses| set_high(&mut addresses.descriptors, value))?,
            0x090 => self.change_addresses(|addresses| set_low(&mut addresses.available, value))?,
            0x094 => self.change_addresses(|addresses| set_high(&mut addresses.available, value))?,
            0x0a0 => self.change_addresses(|addresses| set_low(&mut addresses.used, value))?,
            0x0a4 => self.change_addresses(|addresses| set_high(&mut addresses.used, value))?,
            _ => {}
        }
        Ok(Request::None)
    }

    /// Registers are accessed whole (4.2.2.2).
    fn is_whole_register(&mut self, offset: u64, size: AccessSize) -> bool {
        let whole = size == AccessSize::Word && offset.is_multiple_of(4);
        if !whole {
            self.counters.malformed_accesses += 1;
        }
        whole
    }

    fn selected_queue(&self) -> Option<&Virtqueue> {
        usize::try_from(self.queue_select).ok().and_then(|index| self.queues.get(index))
    }

    fn queue_to_set_up(&mut self) -> Result<&mut Virtqueue, Misbehaviour> {
        let index = usize::try_from(self.queue_select).map_err(|_| Misbehaviour::NoSuchQueue)?;
        self.queues.get_mut(index).ok_or(Misbehaviour::NoSuchQueue)
    }

    /// A queue of a running device stays (2.6.1: only a feature that is not offered could reset one by itself).
    fn take_queue_down(&mut self) -> Result<(), Misbehaviour> {
        if self.is_running() {
            return Err(Misbehaviour::QueueBusy);
        }
        self.queue_to_set_up()?.disable();
        Ok(())
    }

    fn change_addresses(&mut self, change: impl FnOnce(&mut QueueAddresses)) -> Result<(), Misbehaviour> {
        self.queue_to_set_up()?.change_addresses(change)
    }

    /// Features may change until the driver says that they are final; they have 64 bits, in two words.
    fn write_features(&mut self, value: u32) -> Result<(), Misbehaviour> {
        if self.status & status::FEATURES_OK != 0 {
            return Err(Misbehaviour::Status);
        }
        match self.driver_features_select {
            0 => set_low(&mut self.driver_features, value),
            1 => set_high(&mut self.driver_features, value),
            _ if value == 0 => {}
            _ => return Err(Misbehaviour::Status),
        }
        Ok(())
    }

    /// A driver sets bits and never takes one back except by reset; `FEATURES_OK` stays off where the features do not
    /// suit, which the driver checks (3.1.1).
    fn write_status(&mut self, value: u32) -> Result<(), Misbehaviour> {
        let takes_back = self.status & !value & !status::FAILED != 0;
        if value & !status::BY_DRIVER != 0 || takes_back {
            return Err(Misbehaviour::Status);
        }
        let added = value & !self.status;
        if added & status::FEATURES_OK != 0 && !self.features_suit() {
            self.status = value & !status::FEATURES_OK & !status::DRIVER_OK;
            return Ok(());
        }
        if value & status::DRIVER_OK != 0 && value & status::FEATURES_OK == 0 {
            return Err(Misbehaviour::Status);
        }
        self.status = value;
        Ok(())
    }

    fn features_suit(&self) -> bool {
        let DeviceIdentity { offered_features, required_features, .. } = self.identity;
        self.driver_features & !offered_features == 0 && required_features & !self.driver_features == 0
    }

    fn notify(&mut self, queue: u32) -> Result<Request, Misbehaviour> {
        let number = u16::try_from(queue).map_err(|_| Misbehaviour::NoSuchQueue)?;
        let queue = self.queues.get(usize::from(number)).ok_or(Misbehaviour::NoSuchQueue)?;
        if queue.is_ready() && self.is_running() {
            return Ok(Request::Notify(number));
        }
        self.counters.untimely_notifications += 1;
        Ok(Request::None)
    }
}

fn features_word(features: u64, select: u32) -> u32 {
    match select {
        0 => (features & 0xffff_ffff) as u32,
        1 => ((features >> 32) & 0xffff_ffff) as u32,
        _ => 0,
    }
}

fn set_low(number: &mut u64, value: u32) {
    *number = (*number & !0xffff_ffff) | u64::from(value);
}

fn set_high(number: &mut u64, value: u32) {
    *number = (*number & 0xffff_ffff) | (u64::from(value) << 32);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::GuestRam;
    use shared_ring::HeapMemory;

    const OFFERED: u64 = FEATURE_VERSION_1 | 2;

    fn transport() -> Transport {
        Transport::new(DeviceIdentity {
            device_id: 3,
            offered_features: OFFERED,
            required_features: FEATURE_VERSION_1,
            queues: 2,
        })
    }

    struct Driver {
        transport: Transport,
        ram: GuestRam<HeapMemory>,
    }

    impl Driver {
        fn new() -> Self {
            Self { transport: transport(), ram: GuestRam::new(0x4000_0000, HeapMemory::new(0x4000)).unwrap() }
        }

        fn write(&mut self, offset: u64, value: u32) -> Request {
            self.transport.write(offset, AccessSize::Word, value.into(), &self.ram)
        }

        fn read(&mut self, offset: u64) -> u32 {
            self.transport.read(offset, AccessSize::Word)
        }

        fn negotiate(&mut self, features: u64) {
            self.write(0x070, 1);
            self.write(0x070, 3);
            for select in 0..2 {
                self.write(0x024, select);
                self.write(0x020, features_word(features, select));
            }
            self.write(0x070, 3 | status::FEATURES_OK);
        }

        fn needs_reset(&mut self) -> bool {
            self.read(0x070) & status::NEEDS_RESET != 0
        }

        fn set_up_queue(&mut self, number: u32) {
            self.write(0x030, number);
            self.write(0x038, 8);
            for (offset, address) in [(0x080, 0x4000_0000_u32), (0x090, 0x4000_1000), (0x0a0, 0x4000_2000)] {
                self.write(offset, address);
                self.write(offset + 4, 0);
            }
            self.write(0x044, 1);
        }
    }

    #[test]
    fn a_driver_brings_the_device_up() {
        let mut driver = Driver::new();
        assert_eq!((driver.read(0x000), driver.read(0x004), driver.read(0x008)), (MAGIC, 2, 3));
        driver.negotiate(OFFERED);
        assert_ne!(driver.read(0x070) & status::FEATURES_OK, 0);
        driver.write(0x030, 1);
        assert_eq!(driver.read(0x034), u32::from(MAX_QUEUE_SIZE));
        driver.set_up_queue(1);
        assert_eq!(driver.read(0x044), 1);
        assert_eq!(driver.write(0x050, 1), Request::None, "not running yet");
        driver.write(0x070, 0xf);
        assert_eq!(driver.write(0x050, 1), Request::Notify(1));
        assert_eq!(driver.write(0x050, 0), Request::None, "not ready");
        assert_eq!(driver.transport.counters().untimely_notifications, 2);
        assert_eq!(driver.transport.last_misbehaviour(), None);
    }

    #[test]
    fn features_that_do_not_suit_are_not_confirmed() {
        for features in [0, 2, OFFERED | 1 << 28, OFFERED | 1 << 63] {
            let mut driver = Driver::new();
            driver.negotiate(features);
            assert_eq!(driver.read(0x070) & status::FEATURES_OK, 0, "{features:#x}");
            driver.write(0x070, 0xf);
            assert!(!driver.transport.is_running(), "{features:#x}");
        }
    }

    #[test]
    fn selectors_beyond_the_queues_find_nothing() {
        let mut driver = Driver::new();
        for select in [2, 0xffff, 0x1_0000, u32::MAX] {
            driver.write(0x030, select);
            assert_eq!(driver.read(0x034), 0);
            assert_eq!(driver.read(0x044), 0);
            assert!(!driver.needs_reset(), "asking is allowed");
        }
        driver.write(0x038, 8);
        assert!(driver.needs_reset());
        assert_eq!(driver.transport.last_misbehaviour(), Some(Misbehaviour::NoSuchQueue));
    }

    #[test]
    fn each_rule_that_is_broken_asks_for_a_reset() {
        type Breach = fn(&mut Driver);
        let breaches: [(Breach, Misbehaviour); 10] = [
            (|driver| _ = driver.write(0x050, 2), Misbehaviour::NoSuchQueue),
            (|driver| _ = driver.write(0x050, u32::MAX), Misbehaviour::NoSuchQueue),
            (|driver| _ = driver.write(0x038, 3), Misbehaviour::QueueSize),
            (|driver| _ = driver.write(0x044, 1), Misbehaviour::QueueSize),
            (|driver| _ = driver.write(0x070, 4), Misbehaviour::Status),
            (|driver| _ = driver.write(0x070, 0x100), Misbehaviour::Status),
            (
                |driver| {
                    driver.negotiate(OFFERED);
                    driver.write(0x070, 1);
                },
                Misbehaviour::Status,
            ),
            (
                |driver| {
                    driver.negotiate(OFFERED);
                    driver.write(0x020, 0);
                },
                Misbehaviour::Status,
            ),
            (
                |driver| {
                    driver.set_up_queue(0);
                    driver.write(0x080, 0);
                },
                Misbehaviour::QueueBusy,
            ),
            (
                |driver| {
                    driver.negotiate(OFFERED);
                    driver.set_up_queue(0);
                    driver.write(0x070, 0xf);
                    driver.write(0x044, 0);
                },
                Misbehaviour::QueueBusy,
            ),
        ];
        for (breach, expected) in breaches {
            let mut driver = Driver::new();
            breach(&mut driver);
            assert!(driver.needs_reset(), "{expected}");
            assert_eq!(driver.transport.last_misbehaviour(), Some(expected));
            assert_eq!(driver.transport.counters().misbehaviour, 1);
            driver.write(0x030, 1);
            driver.write(0x038, 8);
            assert_eq!(driver.transport.counters().misbehaviour, 1, "ignored until the reset");
            assert_eq!(driver.write(0x070, 0), Request::Reset);
            assert!(!driver.needs_reset());
        }
    }

    #[test]
    fn a_running_driver_is_told_of_its_misbehaviour() {
        let mut driver = Driver::new();
        driver.negotiate(OFFERED);
        driver.write(0x070, 0xf);
        driver.write(0x050, 9);
        assert_eq!(driver.read(0x060), INTERRUPT_CONFIGURATION);
        assert!(driver.transport.interrupt_line());
        driver.write(0x064, INTERRUPT_CONFIGURATION);
        assert!(!driver.transport.interrupt_line());
    }

    #[test]
    fn registers_are_accessed_whole() {
        let mut driver = Driver::new();
        assert_eq!(driver.transport.read(0, AccessSize::Byte), 0);
        assert_eq!(driver.transport.read(2, AccessSize::Word), 0);
        assert_eq!(driver.transport.write(0x070, AccessSize::Byte, 1, &driver.ram), Request::None);
        assert_eq!(driver.read(0x070), 0);
        assert_eq!(driver.transport.counters().malformed_accesses, 3);
    }

    #[test]
    fn a_queue_can_be_taken_down_and_set_up_again() {
        let mut driver = Driver::new();
        driver.set_up_queue(0);
        driver.write(0x044, 0);
        assert_eq!(driver.read(0x044), 0);
        driver.set_up_queue(0);
        assert_eq!(driver.read(0x044), 1);
    }
}
