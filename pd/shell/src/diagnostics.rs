//! What a domain says on the debug kernel's console. A release kernel prints nothing, and then nothing is formatted.

use log::{LevelFilter, Log, Metadata, Record};
use sel4::sel4_cfg_bool;

struct Console;

static CONSOLE: Console = Console;

/// Logs go to the kernel's console where it has one. A panic prints there by itself and ends in a fault.
pub(crate) fn start() {
    if sel4_cfg_bool!(PRINTING) && log::set_logger(&CONSOLE).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}

impl Log for Console {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        sel4_cfg_bool!(PRINTING)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let name = sel4_microkit::pd_name().unwrap_or("?");
            print(format_args!("{name}: {}: {}\n", record.level(), record.args()));
        }
    }

    fn flush(&self) {}
}

#[sel4::sel4_cfg(PRINTING)]
fn print(line: core::fmt::Arguments<'_>) {
    sel4_microkit::debug_print!("{line}");
}

#[sel4::sel4_cfg(not(PRINTING))]
fn print(_line: core::fmt::Arguments<'_>) {}
