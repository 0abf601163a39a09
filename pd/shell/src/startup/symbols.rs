//! The symbols that every protection domain has for the Microkit tool to patch.
//!
//! Microkit's runtime for Rust would put them into writable data. They are defined here instead, read-only, so that a
//! domain that was taken over cannot give its next life other rights than `system.xml` says; and in assembly, so that no
//! optimiser believes in the values before patching.

use core::arch::global_asm;

use runner_interfaces::kernel::Channel;

global_asm!(
    r#"
    .macro patched_symbol name, bytes
        .global \name
        .type \name, %object
        .size \name, \bytes
        .balign 8
        \name: .zero \bytes
    .endm

    .pushsection .rodata.microkit, "a", %progbits
        patched_symbol microkit_name, 64
        patched_symbol microkit_passive, 8
        patched_symbol microkit_irqs, 8
        patched_symbol microkit_notifications, 8
        patched_symbol microkit_pps, 8
        patched_symbol microkit_ioports, 8
    .popsection
    "#
);

unsafe extern "C" {
    static microkit_irqs: u64;
    static microkit_notifications: u64;
    static microkit_pps: u64;
}

/// The value that a symbol of this image has after patching.
pub(crate) fn patched(value: &'static u64) -> u64 {
    // SAFETY: a reference to a word that nobody writes while the domain runs; volatile because the tool wrote it after
    // the compiler had seen it.
    unsafe { core::ptr::read_volatile(value) }
}

/// Interrupts of this domain, a bit a channel.
pub(crate) fn interrupts() -> u64 {
    // SAFETY: defined above, never written at run time.
    unsafe { microkit_irqs }
}

/// Whether this domain may notify on `channel`.
pub(crate) fn may_notify(channel: Channel) -> bool {
    // SAFETY: defined above, never written at run time.
    let channels = unsafe { microkit_notifications };
    channels & (1 << channel.number()) != 0
}

/// Whether this domain may call on `channel`.
pub(crate) fn may_call(channel: Channel) -> bool {
    // SAFETY: defined above, never written at run time.
    let channels = unsafe { microkit_pps };
    channels & (1 << channel.number()) != 0
}
