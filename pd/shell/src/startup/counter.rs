//! The time: the generic timer's physical counter, which every domain may read and none can write.

use core::arch::asm;

/// Nanoseconds of a second.
const SECOND_NS: u64 = 1_000_000_000;

/// The physical counter. It starts with the machine and is the same for all domains.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counter {
    /// Its rate.
    frequency_hz: u64,
}

impl Counter {
    pub(crate) fn new() -> Self {
        let frequency_hz: u64;
        // SAFETY: reads a register and touches nothing else. The kernel exports the physical counter to EL0
        // (KernelArmExportPCNTUser on both boards), which opens CNTFRQ_EL0 as well.
        unsafe { asm!("mrs {}, cntfrq_el0", out(reg) frequency_hz, options(nomem, nostack, preserves_flags)) };
        Self { frequency_hz: frequency_hz.max(1) }
    }

    /// Its rate as the firmware stated it in CNTFRQ_EL0; 1 where it stated none.
    pub(crate) const fn frequency_hz(self) -> u64 {
        self.frequency_hz
    }

    /// Nanoseconds since it started. Whole seconds and the rest are scaled apart: the rest is below the frequency, some
    /// 2^26, and times 10^9 stays below 2^64; the seconds overflow after 584 years.
    pub(crate) fn nanoseconds(self) -> u64 {
        let count = ticks();
        let seconds = count / self.frequency_hz;
        let rest = count % self.frequency_hz;
        seconds.wrapping_mul(SECOND_NS).wrapping_add(rest * SECOND_NS / self.frequency_hz)
    }

    /// Returns as soon as the counter shows that so many nanoseconds have passed since it started, rounded up to its own unit.
    /// The moment is scaled once, so that a look at the counter is all that lies between it and the return.
    pub(crate) fn wait_for(self, nanoseconds: u64) {
        let (seconds, rest) = (nanoseconds / SECOND_NS, nanoseconds % SECOND_NS);
        let rest = rest.saturating_mul(self.frequency_hz).div_ceil(SECOND_NS);
        let count = seconds.saturating_mul(self.frequency_hz).saturating_add(rest);
        while ticks() < count {}
    }
}

/// The counter itself. The barrier keeps the read from being done early.
fn ticks() -> u64 {
    let count: u64;
    // SAFETY: reads a register that the kernel exports to EL0 and touches nothing else.
    unsafe { asm!("isb", "mrs {}, cntpct_el0", out(reg) count, options(nomem, nostack, preserves_flags)) };
    count
}
