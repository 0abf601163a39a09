//! In place of the bridge where there is nobody to serve: writes down which rights were in force. For tests only.
//!
//! Reads what the VMM may read, the warden's table among it, a thousand times a second, and keeps a file of what it saw
//! together: which rights any cell had at any time.

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use runner_interfaces::gpio::GpioStatus;
use runner_interfaces::grants::CellGrants;
use runner_interfaces::kernel::required_region;
use runner_interfaces::warden::WardenTable;
use shared_ring::SequencedCell;

use crate::domains::Shell;

/// The bridge becomes a witness when a file with this extension lies beside its log at its start.
pub(in crate::domains) const MARK: &str = "witness";

/// What it writes, in the run directory.
const FILE: &str = "witnessed";

/// Between two looks.
const LOOK_PERIOD: Duration = Duration::from_millis(1);

/// Looks between two writes of the file.
const LOOKS_A_REPORT: u64 = 50;

/// What was seen of all cells together.
struct Seen {
    looks: u64,
    /// Every right that any had; the shortest period and the most timers.
    rights: CellGrants,
    /// Loads of all cells.
    loads: u64,
    /// Lines that were held as outputs, and as inputs.
    held: [u64; 2],
    refused: u64,
}

pub(in crate::domains) fn run(shell: Shell) -> Result<()> {
    let table = SequencedCell::<_, WardenTable>::new(required_region(&shell.wiring, "region_warden_status")?, 0)?;
    let gpio = SequencedCell::<_, GpioStatus>::new(required_region(&shell.wiring, "region_gpio_status")?, 0)?;
    let (file, fresh) = (shell.run_directory().join(FILE), shell.run_directory().join("witnessed.new"));
    shell.started()?;
    let rights = CellGrants { minimum_period_ns: u64::MAX, ..CellGrants::default() };
    let mut seen = Seen { looks: 0, rights, loads: 0, held: [0; 2], refused: 0 };
    loop {
        if let Some(table) = table.try_read() {
            seen.look_at(&table);
        }
        if let Some(status) = gpio.try_read() {
            seen.held = [seen.held[0] | status.outputs, seen.held[1] | status.inputs];
            seen.refused = status.refused;
        }
        if seen.looks.is_multiple_of(LOOKS_A_REPORT) {
            // Replaced as a whole: whoever reads it reads one report.
            fs::write(&fresh, seen.report()).context("cannot write what was seen")?;
            fs::rename(&fresh, &file).context("cannot show what was seen")?;
        }
        thread::sleep(LOOK_PERIOD);
    }
}

impl Seen {
    fn look_at(&mut self, table: &WardenTable) {
        self.looks += 1;
        self.loads = table.cells.iter().map(|cell| u64::from(cell.generation)).sum();
        for grants in table.cells.iter().map(|cell| cell.grants).filter(|grants| grants.generation != 0) {
            let rights = &mut self.rights;
            rights.output_lines |= grants.output_lines;
            rights.input_lines |= grants.input_lines;
            rights.edge_lines |= grants.edge_lines;
            rights.minimum_period_ns = rights.minimum_period_ns.min(grants.minimum_period_ns);
            rights.timers = rights.timers.max(grants.timers);
            for (all, one) in rights.i2c_addresses.iter_mut().zip(grants.i2c_addresses) {
                *all |= one;
            }
        }
    }

    /// A word and a number a line.
    fn report(&self) -> String {
        let Self { looks, rights, loads, held: [outputs, inputs], refused } = self;
        let [low, high] = rights.i2c_addresses;
        format!(
            "looks {looks}\nloads {loads}\noutput_lines {}\ninput_lines {}\nedge_lines {}\nminimum_period_ns {}\n\
             timers {}\ni2c_low {low}\ni2c_high {high}\nheld_outputs {outputs}\nheld_inputs {inputs}\ngpio_refused {refused}\n",
            rights.output_lines, rights.input_lines, rights.edge_lines, rights.minimum_period_ns, rights.timers,
        )
    }
}
