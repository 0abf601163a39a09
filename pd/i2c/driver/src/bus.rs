//! A bus as the domain sees it.

use runner_interfaces::boot_report::Finding;
use runner_interfaces::gpio::Status;
use runner_interfaces::kernel::Instant;

/// Why a transaction did not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusError {
    /// No device acknowledged the address.
    NoDevice,
    /// The device did not acknowledge a byte that was written.
    Refused,
    /// Arbitration was lost, a line is held, or the controller did not come to an end in its time.
    Failed,
}

impl BusError {
    /// What the caller is told.
    pub(crate) const fn status(self) -> Status {
        match self {
            Self::NoDevice => Status::NotFound,
            Self::Refused => Status::NotSupported,
            Self::Failed => Status::Unavailable,
        }
    }
}

/// A bus and its controller. Never waits longer than a transfer of 16 bytes each way takes.
pub trait Bus {
    /// One transaction: writes `written` to the device at `address` and then, after a repeated start, fills `read`. With
    /// both empty it asks whether the device acknowledges. `now` is when it begins.
    ///
    /// # Errors
    /// See [`BusError`]; what is in `read` then means nothing.
    fn transfer(&mut self, now: Instant, address: u8, written: &[u8], read: &mut [u8]) -> Result<(), BusError>;

    /// Whether there is no bus but a program that plays one.
    fn is_simulated(&self) -> bool;

    /// Looks at the bus once, before anybody uses it, and says what is there. Changes nothing at any device.
    fn identify(&mut self, now: Instant) -> Finding;
}
