//! Says at the console when nobody watches the cells any more.
//!
//! The warden watches everybody, and `timer` watches the warden (`runner_interfaces::timer::WARDEN_LIMIT_NS`) and shows what it sees. This
//! domain has the console, so it looks there now and then. It is the lowest of all and runs when the others let it: who
//! takes all of the processor keeps it from telling.

use pd_shell::Sel4Wiring;
use runner_interfaces::boot_report::{Standing, text};
use runner_interfaces::kernel::{Instant, Wiring};
use runner_interfaces::timer::TimerStatus;
use shared_ring::{MappedMemory, SequencedCell};

/// How often it looks, in nanoseconds: a look is a few loads, and what it tells of has lasted a second.
const LOOK_NS: u64 = 200_000_000;

/// What was told.
pub(crate) struct WardenWatch {
    timer: Option<SequencedCell<MappedMemory, TimerStatus>>,
    next: Instant,
    told: bool,
}

impl WardenWatch {
    pub(crate) fn new(wiring: &Sel4Wiring) -> Self {
        let timer = wiring.region("region_timer_status").and_then(|status| SequencedCell::new(status, 0).ok());
        Self { timer, next: Instant::default(), told: false }
    }

    /// How the warden stands, where that is another way than was told.
    pub(crate) fn news(&mut self, now: Instant) -> Option<Standing> {
        if now < self.next {
            return None;
        }
        self.next = now.saturating_add(LOOK_NS);
        let offset = core::mem::offset_of!(TimerStatus, warden_still_since_ns);
        let since_ns: u64 = self.timer.as_ref()?.try_read_part(offset)?;
        let stands_still = since_ns != 0;
        if core::mem::replace(&mut self.told, stands_still) == stands_still {
            return None;
        }
        Some(if stands_still {
            let milliseconds = since_ns / 1_000_000;
            Standing::Failed(text(format_args!(
                "it stands still since {milliseconds} ms: nothing can be deployed or stopped; what runs goes on, and nobody watches it"
            )))
        } else {
            Standing::Running(text(format_args!("it comes round again")))
        })
    }
}
