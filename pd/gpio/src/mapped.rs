//! The device's registers, where `system.xml` maps them.

use pd_gpio_driver::device::Registers;
use pd_shell::startup::device::DeviceRegisters;

pub(crate) struct Mapped(pub(crate) DeviceRegisters);

impl Registers for Mapped {
    fn read(&self, offset: usize) -> u32 {
        self.0.read(offset)
    }

    fn write(&mut self, offset: usize, value: u32) {
        self.0.write(offset, value);
    }
}
