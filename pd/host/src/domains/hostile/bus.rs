//! A bus that tells which addresses somebody spoke to: what reaches a device is counted there, and nowhere before it.

use pd_i2c_driver::{Bus, BusError};
use runner_interfaces::boot_report::Finding;
use runner_interfaces::i2c::ADDRESSES;
use runner_interfaces::kernel::Instant;

/// `B`, with a line in the log for the first transfer to each address.
pub(in crate::domains) struct ToldBus<B> {
    bus: B,
    told: [bool; ADDRESSES as usize],
}

impl<B> ToldBus<B> {
    pub(in crate::domains) fn new(bus: B) -> Self {
        Self { bus, told: [false; ADDRESSES as usize] }
    }
}

impl<B: Bus> Bus for ToldBus<B> {
    fn transfer(&mut self, now: Instant, address: u8, written: &[u8], read: &mut [u8]) -> Result<(), BusError> {
        // No device can have an address beyond these; that one came here at all is told, too.
        let told = self.told.get_mut(usize::from(address));
        if !told.is_some_and(|told| std::mem::replace(told, true)) {
            eprintln!("bus: a transfer to {address:#04x}");
        }
        self.bus.transfer(now, address, written, read)
    }

    fn is_simulated(&self) -> bool {
        self.bus.is_simulated()
    }

    fn identify(&mut self, now: Instant) -> Finding {
        self.bus.identify(now)
    }
}
