//! What a domain says on the debug kernel's console. A release kernel prints nothing, and then nothing is formatted.

use core::panic::PanicInfo;

use log::{LevelFilter, Log, Metadata, Record};
use sel4::sel4_cfg_bool;

struct Console;

static CONSOLE: Console = Console;

/// Logs go to the kernel's console where it has one.
pub(crate) fn start() {
    if sel4_cfg_bool!(PRINTING) && log::set_logger(&CONSOLE).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}

/// A panic is told there as well.
pub(crate) fn panicked(information: &PanicInfo<'_>) {
    print(format_args!("{}: {information}\n", name()));
}

/// The domain's name in `system.xml`.
fn name() -> &'static str {
    sel4_microkit::pd_name().unwrap_or("?")
}

impl Log for Console {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        sel4_cfg_bool!(PRINTING)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            print(format_args!("{}: {}: {}\n", name(), record.level(), record.args()));
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
