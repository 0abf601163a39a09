//! The domain's handler, and the program around it that differs from board to board by its UART alone.
//!
//! | channel | with | what |
//! |---|---|---|
//! | `channel_admission` | `admission` | both ways: a ring of the link has something new |
//! | `channel_uart_interrupt` | the UART | somebody typed, or there is room |
//! | `vcpu_linux` | the guest | its faults |
//!
//! Must never panic on what the guest does, and never touch what is not Linux'.
use core::convert::Infallible;

use pd_shell::{
    Sel4Kernel, Sel4Wiring, acknowledge_interrupts,
    boot::SelfTest,
    channels_of, sel4,
    sel4_microkit::{ChannelSet, Child, Handler, MessageInfo},
};
use pd_vmm_machine::machine::Outcome;
use runner_interfaces::boot_report::{Finding, Standing, Text};
use runner_interfaces::kernel::{Channel, Kernel, required_channel};

use crate::boot_table;
use crate::console::Uart;
use crate::guest::{Guest, StartError};
use crate::warden_watch::WardenWatch;

/// The program of a board whose console's line is `$uart`.
macro_rules! program {
    ($uart:ty) => {
        pd_shell::protection_domain! {
            // The machine's tables and a buffer of 64 KiB for each of four sessions.
            heap_bytes: 1024 * 1024,
            channels: ["channel_admission", "channel_uart_interrupt", "vcpu_linux"],
            cell_channels: [],
            regions: [
                "region_uart", "region_link_out", "region_link_out_head", "region_link_in", "region_link_in_head",
                "region_guest_memory", "region_guest_kernel", "region_guest_initramfs", "region_guest_device_tree",
                "region_grid_status", "region_tick_status", "region_timer_status", "region_gpio_status", "region_i2c_status",
                "region_exchange_status", "region_warden_status", "region_admission_status"
            ],
            cell_regions: [("region_cell", "_status")],
            start: |wiring: &pd_shell::Sel4Wiring| -> Result<$crate::vmm::Vmm<$uart>, $crate::guest::StartError> {
                $crate::vmm::Vmm::start(wiring)
            },
            last_words: $crate::vmm::last_words::<$uart>,
        }
    };
}
pub(crate) use program;

/// A panic ends Linux, and the console's line with it: nobody else can say why.
pub(crate) fn last_words<U: Uart>(wiring: &Sel4Wiring, reason: &Text) {
    if let Ok(registers) = wiring.device("region_uart") {
        boot_table::show(wiring, &Sel4Kernel::new(), &mut U::new(registers), Standing::Failed(*reason));
    }
}

/// See the module's documentation.
pub(crate) struct Vmm<U> {
    wiring: Sel4Wiring,
    kernel: Sel4Kernel,
    admission: Channel,
    uart: Channel,
    guest: Guest<U>,
    warden: WardenWatch,
}

impl<U: Uart> Vmm<U> {
    /// With the guest loaded, and about to begin.
    pub(crate) fn start(wiring: &Sel4Wiring) -> Result<Self, StartError> {
        let admission = required_channel(wiring, "channel_admission")?;
        let uart = required_channel(wiring, "channel_uart_interrupt")?;
        let mut vmm = Self {
            wiring: *wiring,
            kernel: Sel4Kernel::new(),
            admission,
            uart,
            guest: Guest::new(wiring)?,
            warden: WardenWatch::new(wiring),
        };
        vmm.guest.start(wiring)?;
        vmm.run_link();
        Ok(vmm)
    }

    /// Moves what waits between the guest's ports and `admission`.
    fn run_link(&mut self) {
        if self.guest.run_link(self.kernel.now()) {
            self.kernel.notify(self.admission);
        }
    }

    /// Tells at the console when the warden stands still, or comes round again.
    fn look_at_warden(&mut self) {
        if let Some(standing) = self.warden.news(self.kernel.now()) {
            self.guest.tell_of("warden", &standing);
        }
    }
}

impl<U: Uart> SelfTest for Vmm<U> {
    /// Shows what every domain found of itself. The guest is ready, and has not run: this domain is above it and does not wait.
    fn self_test(&mut self) -> Finding {
        let finding = self.guest.describe();
        boot_table::show(&self.wiring, &self.kernel, self.guest.line(), Standing::from(finding));
        finding
    }
}

impl<U: Uart> Handler for Vmm<U> {
    type Error = Infallible;

    fn notified(&mut self, channels: ChannelSet) -> Result<(), Infallible> {
        let channels = channels_of(&channels);
        if channels.contains(self.uart) {
            self.guest.console_interrupt();
        }
        if channels.contains(self.admission) {
            self.run_link();
        }
        acknowledge_interrupts(channels);
        self.look_at_warden();
        Ok(())
    }

    /// The guest did something that the hardware does not do for it.
    fn fault(&mut self, _vcpu: Child, information: MessageInfo) -> Result<Option<MessageInfo>, Infallible> {
        self.look_at_warden();
        let outcome = self.guest.handle(information.fault());
        if self.guest.link_is_due() {
            self.run_link();
        }
        match outcome {
            Outcome::Resume => Ok(Some(MessageInfo::new(0, 0))),
            // The virtual timer only ticks for a guest that runs, so an idle one goes on after each interrupt, which comes once
            // a millisecond.
            Outcome::Idle => {
                self.guest.idle();
                Ok(Some(MessageInfo::new(0, 0)))
            }
            Outcome::Reset => {
                log::info!("the guest restarts");
                if let Err(error) = self.guest.restart(&self.wiring) {
                    self.guest.tell(format_args!("the guest cannot be started again: {error}"));
                }
                self.run_link();
                Ok(None)
            }
            Outcome::PowerOff => {
                log::info!("the guest switched itself off");
                self.guest.halt();
                Ok(None)
            }
            Outcome::Stop(reason) => {
                self.guest.tell(format_args!("{reason}"));
                self.guest.halt();
                Ok(None)
            }
        }
    }
}

/// The kernel's name for what the guest did.
pub(crate) type GuestFault = sel4::Fault;
