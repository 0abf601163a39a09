//! The BCM2711's mini-UART as the console's line.
//!
//! Offsets and bits are those of "BCM2711 ARM Peripherals" (Raspberry Pi Ltd), chapter 2.2 "Mini UART". Its interrupt enable
//! register is described there with the two directions exchanged and two bits missing that must be set for anything to
//! arrive; what is used here is what Linux' driver for it (drivers/tty/serial/8250/8250_bcm2835aux.c, a 16550) and QEMU's model
//! (hw/char/bcm2835_aux.c) agree on. The firmware has set the speed (`enable_uart=1` in config.txt), for which it also
//! holds the core clock still.

use pd_shell::startup::device::DeviceRegisters;
use pd_vmm_machine::ConsoleSink;

use crate::console::Uart;

/// AUX_ENABLES: the mini-UART as a whole is on.
const ENABLES: usize = 0x04;
const ENABLE_MINI_UART: u32 = 1;
/// AUX_MU_IO_REG.
const DATA: usize = 0x40;
/// AUX_MU_IER_REG.
const INTERRUPT_ENABLE: usize = 0x44;
/// Bytes wait. Bits 2 and 3 have to be set for the interrupt to come.
const INTERRUPT_RECEIVE: u32 = 0b1101;
/// The transmitter's FIFO is empty.
const INTERRUPT_TRANSMIT: u32 = 0b0010;
/// AUX_MU_LCR_REG: eight bits need both bits set, whatever the sheet's first edition says of the second.
const LINE_CONTROL: usize = 0x4c;
const EIGHT_BITS: u32 = 0b11;
/// AUX_MU_LSR_REG.
const LINE_STATUS: usize = 0x54;
/// There is a byte to read.
const RECEIVED: u32 = 1;
/// There is room for at least one byte.
const ROOM: u32 = 1 << 5;
/// AUX_MU_CNTL_REG: receiver and transmitter are on, and no flow control.
const CONTROL: usize = 0x60;
const BOTH_DIRECTIONS: u32 = 0b11;

/// The device.
#[derive(Debug)]
pub(crate) struct MiniUart {
    registers: DeviceRegisters,
    /// A byte found no room, and the transmitter's interrupt is on.
    waits_for_room: bool,
}

impl Uart for MiniUart {
    fn new(mut registers: DeviceRegisters) -> Self {
        let enables = registers.read(ENABLES);
        registers.write(ENABLES, enables | ENABLE_MINI_UART);
        registers.write(LINE_CONTROL, EIGHT_BITS);
        registers.write(CONTROL, BOTH_DIRECTIONS);
        registers.write(INTERRUPT_ENABLE, INTERRUPT_RECEIVE);
        Self { registers, waits_for_room: false }
    }

    fn get(&mut self) -> Option<u8> {
        if self.registers.read(LINE_STATUS) & RECEIVED == 0 {
            return None;
        }
        let [byte, ..] = self.registers.read(DATA).to_le_bytes();
        Some(byte)
    }

    /// Reading takes a received byte's interrupt back. The other one stays for as long as there is room, so it goes off.
    fn clear_interrupt(&mut self) {
        if core::mem::take(&mut self.waits_for_room) {
            self.registers.write(INTERRUPT_ENABLE, INTERRUPT_RECEIVE);
        }
    }
}

impl ConsoleSink for MiniUart {
    fn put(&mut self, byte: u8) -> bool {
        if self.registers.read(LINE_STATUS) & ROOM != 0 {
            self.registers.write(DATA, u32::from(byte));
            return true;
        }
        if !self.waits_for_room {
            self.waits_for_room = true;
            self.registers.write(INTERRUPT_ENABLE, INTERRUPT_RECEIVE | INTERRUPT_TRANSMIT);
        }
        false
    }
}
