//! The program around `pd-gpio-driver`, which differs from board to board by its device alone.
//!
//! | channel | with | what |
//! |---|---|---|
//! | `channel_interrupt` | the bank | an edge on a watched line |
//! | `channel_cell0` … | the cells | called; notifies at an edge |
//! | `channel_warden` | `warden` | called, may release a cell's lines |

use pd_gpio_driver::device::Registers;
use pd_shell::startup::device::DeviceRegisters;

/// The program of a board whose bank is a `$device`.
macro_rules! program {
    ($device:ident) => {
        pd_shell::protection_domain! {
            // Symbol names while it starts, and the buckets of every cell and line.
            heap_bytes: 48 * 1024,
            channels: ["channel_interrupt", "channel_warden"],
            cell_channels: [("channel_cell", "")],
            regions: ["region_registers", "region_grants", "region_status"],
            cell_regions: [],
            start: |wiring: &pd_shell::Sel4Wiring| -> Result<
                pd_shell::EventLoop<pd_gpio_driver::Gpio<pd_shell::Sel4Wiring, $device<$crate::program::Mapped>>>,
                pd_gpio_driver::StartError,
            > {
                let bank = $device::new($crate::program::Mapped(wiring.device("region_registers")?));
                Ok(pd_shell::EventLoop::start(pd_gpio_driver::Gpio::new(wiring, bank)?))
            },
        }
    };
}
pub(crate) use program;

/// The device's registers, where `system.xml` maps them.
pub(crate) struct Mapped(pub(crate) DeviceRegisters);

impl Registers for Mapped {
    fn read(&self, offset: usize) -> u32 {
        self.0.read(offset)
    }

    fn write(&mut self, offset: usize, value: u32) {
        self.0.write(offset, value);
    }
}
