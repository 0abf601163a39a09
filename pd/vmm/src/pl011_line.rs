//! A PL011 as the console's line.
//!
//! Offsets and bits are those of the PL011's Technical Reference Manual, ARM DDI 0183G, chapter 3. The debug kernel prints
//! through the same device and has set it up; only what this domain needs is touched.

use pd_shell::startup::device::DeviceRegisters;
use pd_vmm_machine::ConsoleSink;

use crate::console::Uart;

/// UARTDR (3.3.1).
const DATA: usize = 0x000;
/// UARTFR (3.3.3).
const FLAGS: usize = 0x018;
/// UARTFR: nothing to read.
const RECEIVE_EMPTY: u32 = 1 << 4;
/// UARTFR: no room.
const TRANSMIT_FULL: u32 = 1 << 5;
/// UARTCR (3.3.8).
const CONTROL: usize = 0x030;
/// UARTCR: the device as a whole, its transmitter and its receiver are on.
const CONTROL_ON: u32 = 1 | 1 << 8 | 1 << 9;
/// UARTIMSC (3.3.10).
const INTERRUPT_MASK: usize = 0x038;
/// UARTICR (3.3.13).
const INTERRUPT_CLEAR: usize = 0x044;
/// Bytes wait: enough of them, or for long enough.
const INTERRUPT_RECEIVE: u32 = 1 << 4 | 1 << 6;
/// There is room again.
const INTERRUPT_TRANSMIT: u32 = 1 << 5;

/// The device.
#[derive(Debug)]
pub(crate) struct Pl011 {
    registers: DeviceRegisters,
    /// A byte found no room, and the transmitter's interrupt is on.
    waits_for_room: bool,
}

impl Uart for Pl011 {
    fn new(mut registers: DeviceRegisters) -> Self {
        let control = registers.read(CONTROL);
        registers.write(CONTROL, control | CONTROL_ON);
        registers.write(INTERRUPT_CLEAR, INTERRUPT_RECEIVE | INTERRUPT_TRANSMIT);
        registers.write(INTERRUPT_MASK, INTERRUPT_RECEIVE);
        Self { registers, waits_for_room: false }
    }

    fn get(&mut self) -> Option<u8> {
        if self.registers.read(FLAGS) & RECEIVE_EMPTY != 0 {
            return None;
        }
        let [byte, ..] = self.registers.read(DATA).to_le_bytes();
        Some(byte)
    }

    fn clear_interrupt(&mut self) {
        self.registers.write(INTERRUPT_CLEAR, INTERRUPT_RECEIVE | INTERRUPT_TRANSMIT);
        if core::mem::take(&mut self.waits_for_room) {
            self.registers.write(INTERRUPT_MASK, INTERRUPT_RECEIVE);
        }
    }
}

impl ConsoleSink for Pl011 {
    fn put(&mut self, byte: u8) -> bool {
        if self.registers.read(FLAGS) & TRANSMIT_FULL == 0 {
            self.registers.write(DATA, u32::from(byte));
            return true;
        }
        if !self.waits_for_room {
            self.waits_for_room = true;
            self.registers.write(INTERRUPT_MASK, INTERRUPT_RECEIVE | INTERRUPT_TRANSMIT);
        }
        false
    }
}
