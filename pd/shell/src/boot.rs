//! The domain's own report of its start, for whoever has the console (`runner_interfaces::boot_report`).
//!
//! It must come about where nothing else does: in a release kernel, which prints nothing, and in a panic, which may come of
//! a heap that is full. So nothing here allocates, and everything lies in the domain's status region at once.

use core::panic::PanicInfo;

use runner_interfaces::boot_report::{Finding, Reporter, Text, text};
use runner_interfaces::kernel::Wiring;
use shared_ring::MappedMemory;

use crate::{Sel4Wiring, diagnostics};

/// The symbol of a domain's status region.
const STATUS_REGION: &str = "region_status";

/// What runs after [`crate::protection_domain!`]'s `start`: it looks at itself once.
pub trait SelfTest {
    /// What it found, in a few words, or what is wrong with it. Ends in bounded time.
    fn self_test(&mut self) -> Finding;
}

/// What a domain does with the reason for its end beside reporting it.
pub type LastWords = fn(&Sel4Wiring, &Text);

/// The domain begins.
#[doc(hidden)]
pub fn starting(wiring: &Sel4Wiring) {
    report(wiring, Reporter::starting);
}

/// The domain's logic is there, and has found this of itself.
#[doc(hidden)]
pub fn found(wiring: &Sel4Wiring, finding: &Finding) {
    if let Finding::Wrong(reason) = finding {
        log::error!("{reason}");
    }
    report(wiring, |reporter| reporter.found(finding));
}

/// The domain panics: its last act is to say why.
#[doc(hidden)]
pub fn panicked(wiring: &Sel4Wiring, information: &PanicInfo<'_>, last_words: &[LastWords]) {
    diagnostics::panicked(information);
    let reason = match information.location() {
        Some(place) => text(format_args!("{} ({}:{})", information.message(), place.file(), place.line())),
        None => text(format_args!("{}", information.message())),
    };
    report(wiring, |reporter| reporter.failed(&reason));
    for act in last_words {
        act(wiring, &reason);
    }
}

/// Reports, where the domain has a status region.
fn report(wiring: &Sel4Wiring, act: impl FnOnce(&mut Reporter<MappedMemory>)) {
    if let Some(mut reporter) = wiring.region(STATUS_REGION).and_then(|region| Reporter::new(region).ok()) {
        act(&mut reporter);
    }
}
