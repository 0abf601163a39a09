//! What a domain says of its start: that it is at it, that it runs and what it found of itself, or why it does not.
//!
//! A board without a screen that stays silent helps nobody. So each domain leaves a [`BootReport`] at the end of its status
//! region, and whoever owns the console (`vmm` on seL4, the launcher on the host) prints one line a domain from them
//! ([`write_table`]). The report is the domain's own word, for a person to read: nothing decides by it. A cell may be
//! compromised and `admission` talks to the outside, so the reader believes no byte of it: what is no state is told as
//! unreadable, what is no printable ASCII is shown escaped, and a report cannot make a second line.

mod table;
#[cfg(test)]
mod tests;
mod text;

use core::fmt;

use shared_ring::{OutOfRange, SequencedCell, SharedMemory, sequenced_bytes};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::wire_enum;

pub use table::{Standing, write_row, write_table};
pub use text::{TEXT_BYTES, Text};

/// The least size of a status region: a page, which is the least that can be mapped.
pub const STATUS_REGION_BYTES: usize = 0x1000;

/// Where the report begins in a status region: a [`SequencedCell`] of a [`BootReport`] that ends with the page.
pub const BOOT_REPORT_OFFSET_BYTES: usize = STATUS_REGION_BYTES - sequenced_bytes::<BootReport>();

/// Marks a report and its layout's version: "ATB1" read as little-endian.
pub const BOOT_REPORT_MAGIC: u32 = u32::from_le_bytes(*b"ATB1");

wire_enum! {
    /// How far a domain has come.
    State {
        /// Its logic is being made.
        Starting = 1 => "starting",
        /// It runs, and found itself well.
        Running = 2 => "running",
        /// It does not run, or not as it should; the text says why.
        Failed = 3 => "failed",
    }
}

/// A report as it lies in the region, behind a [`shared_ring::SequencedCell`]'s sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct BootReport {
    /// [`BOOT_REPORT_MAGIC`].
    pub magic: u32,
    /// A [`State`].
    pub state: u32,
    /// What the domain says, up to the first zero byte.
    pub text: [u8; TEXT_BYTES],
}

/// Whatever else a domain shows of itself ends before the report begins.
const _: () = {
    assert!(BOOT_REPORT_OFFSET_BYTES.is_multiple_of(8));
    assert!(sequenced_bytes::<crate::cell::CellStatus>() <= BOOT_REPORT_OFFSET_BYTES);
    assert!(sequenced_bytes::<crate::exchange::ExchangeStatus>() <= BOOT_REPORT_OFFSET_BYTES);
    assert!(sequenced_bytes::<crate::gpio::GpioStatus>() <= BOOT_REPORT_OFFSET_BYTES);
    assert!(sequenced_bytes::<crate::i2c::I2cStatus>() <= BOOT_REPORT_OFFSET_BYTES);
    assert!(sequenced_bytes::<crate::timer::TimerStatus>() <= BOOT_REPORT_OFFSET_BYTES);
    assert!(sequenced_bytes::<crate::warden::WardenTable>() <= BOOT_REPORT_OFFSET_BYTES);
};

/// What a domain found when it looked at itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It is well, and this is what there is to say of it.
    Well(Text),
    /// This is wrong.
    Wrong(Text),
}

impl Finding {
    /// Well, in the words that `format_args!` makes.
    pub fn well(words: fmt::Arguments<'_>) -> Self {
        Self::Well(text(words))
    }

    /// Wrong, likewise.
    pub fn wrong(words: fmt::Arguments<'_>) -> Self {
        Self::Wrong(text(words))
    }
}

/// The writer of a domain's report.
#[derive(Debug)]
pub struct Reporter<M>(SequencedCell<M, BootReport>);

impl<M: SharedMemory> Reporter<M> {
    /// The reporter of the domain whose status region is `status`.
    ///
    /// # Errors
    /// The region is no page long.
    pub fn new(status: M) -> Result<Self, OutOfRange> {
        SequencedCell::new(status, BOOT_REPORT_OFFSET_BYTES).map(Self)
    }

    /// The domain begins.
    pub fn starting(&mut self) {
        self.write(State::Starting, &Text::default());
    }

    /// The domain's logic is there and has looked at itself.
    pub fn found(&mut self, finding: &Finding) {
        match finding {
            Finding::Well(text) => self.write(State::Running, text),
            Finding::Wrong(reason) => self.write(State::Failed, reason),
        }
    }

    /// The domain ends. What it failed of first stays: what came after is a consequence more often than not.
    pub fn failed(&mut self, reason: &Text) {
        let state = self.0.try_read().filter(|report| report.magic == BOOT_REPORT_MAGIC).map(|report| report.state);
        if state != Some(State::Failed.to_wire()) {
            self.write(State::Failed, reason);
        }
    }

    fn write(&mut self, state: State, text: &Text) {
        self.0.write(&BootReport { magic: BOOT_REPORT_MAGIC, state: state.to_wire(), text: text.padded() });
    }
}

/// How a domain stands, as its report in the status region `status` tells. Nothing in there is believed.
pub fn standing<M: SharedMemory>(status: &M) -> Standing {
    let cell = SequencedCell::new(status, BOOT_REPORT_OFFSET_BYTES);
    match cell.ok().and_then(|cell: SequencedCell<_, BootReport>| cell.try_read()) {
        Some(report) => standing_of(&report),
        None => Standing::Silent,
    }
}

/// How a domain stands that reports this.
pub fn standing_of(report: &BootReport) -> Standing {
    let text = Text::from_padded(&report.text);
    match State::from_wire(report.state).filter(|_| report.magic == BOOT_REPORT_MAGIC) {
        Some(State::Starting) => Standing::Starting,
        Some(State::Running) => Standing::Running(text),
        Some(State::Failed) => Standing::Failed(text),
        None => Standing::Unreadable,
    }
}

/// A [`Text`] of what `format_args!` makes.
pub fn text(words: fmt::Arguments<'_>) -> Text {
    let mut text = Text::default();
    // Cut where it is too long, and then it says so.
    let _ = fmt::Write::write_fmt(&mut text, words);
    text
}
