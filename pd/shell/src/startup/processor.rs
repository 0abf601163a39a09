//! Instructions of the processor that no call of the kernel stands for.

use core::arch::asm;

/// Sleeps until an interrupt comes, for this domain or any other, or one waits already. The kernel lets unprivileged code
/// execute it (SCTLR_EL1.nTWI is set, and HCR_EL2.TWI is not for native threads; seL4's armv/vcpu.h).
pub fn wait_for_interrupt() {
    // SAFETY: touches neither registers nor memory.
    unsafe { asm!("wfi", options(nomem, nostack, preserves_flags)) };
}

/// Writes `size_bytes` bytes from `address` back from the data caches to memory, and drops them there: for who reads that
/// memory past the caches. Addresses that this domain does not map end it with a fault, as any access would.
pub(crate) fn clean_data_cache(address: usize, size_bytes: usize) {
    let line_bytes = cache_line_bytes();
    let mut line = address & !(line_bytes - 1);
    let end = address.saturating_add(size_bytes);
    while line < end {
        // SAFETY: writes back what was written already, and changes no value that anybody reads. The kernel lets unprivileged
        // code do it (AARCH64_USER_CACHE_ENABLE, on in the SDK's configurations of these boards).
        unsafe { asm!("dc civac, {}", in(reg) line, options(nostack, preserves_flags)) };
        line += line_bytes;
    }
    // SAFETY: waits until all of it has arrived, and touches nothing.
    unsafe { asm!("dsb sy", options(nostack, preserves_flags)) };
}

/// The smallest line of all data caches (CTR_EL0.DminLine, in words, as a power of two; Arm ARM DDI 0487, D19.2.34).
fn cache_line_bytes() -> usize {
    const WORD_BYTES: usize = 4;
    let cache_type: usize;
    // SAFETY: reads a register that the kernel opens together with the cache operations, and touches nothing else.
    unsafe { asm!("mrs {}, ctr_el0", out(reg) cache_type, options(nomem, nostack, preserves_flags)) };
    WORD_BYTES << (cache_type >> 16 & 0xf)
}
