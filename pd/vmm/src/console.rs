//! The real UART behind the guest's console. Which one it is, the board's program says.

use pd_shell::startup::device::DeviceRegisters;
use pd_vmm_machine::ConsoleSink;

/// A UART that is already set up for speed and format, by the firmware or the debug kernel.
pub(crate) trait Uart: ConsoleSink {
    /// Takes the device over for both directions.
    fn new(registers: DeviceRegisters) -> Self;

    /// The next byte that was typed.
    fn get(&mut self) -> Option<u8>;

    /// To be called at an interrupt, before its causes are looked for.
    fn clear_interrupt(&mut self);
}
