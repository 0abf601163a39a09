//! The self-test's table: how every domain's start went, told at the console before the guest owns it.
//!
//! A release kernel prints nothing, and a board without a screen has nothing but this line. What the domains report is their own
//! word (`runner_interfaces::boot_report`); it is shown and believed in nothing. Everything here ends: a domain that says
//! nothing is waited for up to [`PATIENCE_NS`], and a line that takes nothing is given up.

use core::fmt::{self, Write};
use core::iter;

use pd_shell::Sel4Wiring;
use pd_vmm_machine::ConsoleSink;
use runner_interfaces::boot_report::{Standing, standing, write_row, write_table};
use runner_interfaces::kernel::{Instant, Kernel, Wiring};

/// This domain's.
pub(crate) const NAME: &str = "vmm";

/// Every domain that there may be but this one, in the order of their priorities, and the symbol of its status here.
const DOMAINS: [(&str, &str); 16] = [
    ("grid", "region_grid_status"),
    ("tick", "region_tick_status"),
    ("timer", "region_timer_status"),
    ("gpio", "region_gpio_status"),
    ("i2c", "region_i2c_status"),
    ("exchange", "region_exchange_status"),
    ("warden", "region_warden_status"),
    ("cell0", "region_cell0_status"),
    ("cell1", "region_cell1_status"),
    ("cell2", "region_cell2_status"),
    ("cell3", "region_cell3_status"),
    ("cell4", "region_cell4_status"),
    ("cell5", "region_cell5_status"),
    ("cell6", "region_cell6_status"),
    ("cell7", "region_cell7_status"),
    ("admission", "region_admission_status"),
];

/// How long a domain's start may take. On one core all of them are above this domain, so they are through already, but for one that
/// has used up its budget and waits for the next period: some periods of 10 ms, each of which gets it further. On several cores of
/// an emulator that runs them one after the other, a cell's budget passes while its core stands still: 1.1 s were seen often, and more
/// than 2 s once. Only a domain that is not well makes anybody wait this long.
const PATIENCE_NS: u64 = 10_000_000_000;

/// How long the line may take no byte: at 9600 baud one takes a millisecond, and a FIFO of 16 is empty in 17.
const LINE_PATIENCE_NS: u64 = 50_000_000;

/// Shows the table on `line` as soon as every domain has come to the end of its start, or its time is over.
pub(crate) fn show(wiring: &Sel4Wiring, kernel: &impl Kernel, line: &mut impl ConsoleSink, own: Standing) {
    let begin = kernel.now();
    while kernel.now().nanoseconds_since(begin) < PATIENCE_NS && standings(wiring).any(|(_, found)| found.is_open()) {}
    // The only error is a line that is dead, and then there is nobody to tell.
    let _ = write_table(&mut Line::new(line, kernel), standings(wiring).chain(iter::once((NAME, own))));
}

/// Tells on `line`, in the middle of whatever the guest says, how a domain stands: this one, where it does no more for the guest.
pub(crate) fn tell(kernel: &impl Kernel, line: &mut impl ConsoleSink, name: &str, standing: &Standing) {
    let mut line = Line::new(line, kernel);
    let _ = writeln!(line).and_then(|()| write_row(&mut line, name, standing));
}

/// How those domains stand now that `system.xml` has.
fn standings(wiring: &Sel4Wiring) -> impl Iterator<Item = (&'static str, Standing)> {
    DOMAINS.iter().filter_map(|(name, symbol)| Some((*name, standing(&wiring.region(symbol)?))))
}

/// The console's line, polled.
struct Line<'a, L, K> {
    line: &'a mut L,
    kernel: &'a K,
    /// When it took a byte.
    last: Instant,
    /// It took nothing for too long.
    is_dead: bool,
}

impl<'a, L: ConsoleSink, K: Kernel> Line<'a, L, K> {
    fn new(line: &'a mut L, kernel: &'a K) -> Self {
        Self { line, kernel, last: kernel.now(), is_dead: false }
    }

    fn put(&mut self, byte: u8) -> fmt::Result {
        while !self.is_dead {
            if self.line.put(byte) {
                self.last = self.kernel.now();
                return Ok(());
            }
            self.is_dead = self.kernel.now().nanoseconds_since(self.last) > LINE_PATIENCE_NS;
        }
        Err(fmt::Error)
    }
}

impl<L: ConsoleSink, K: Kernel> Write for Line<'_, L, K> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                self.put(b'\r')?;
            }
            self.put(byte)?;
        }
        Ok(())
    }
}
