//! A clean second life: the address at which a domain begins anew with nothing left of what it was.
//!
//! The warden suspends a cell, writes its registers with this address and lets it run. Whatever ran in the cell may have
//! changed all that the cell can write, so nothing of that is believed here: the code and the list of what to restore lie
//! in read-only pages, no stack is used, and every register but the program counter is overwritten. Restored or zeroed is
//! *everything* that `system.xml` and the image let the cell write: data, zeroed data, stack, IPC buffer, heap, and the
//! regions that others read. The image builder makes the list from the same two files that grant the right to write, so
//! neither can be forgotten (`qemu/src/boot_image/restart.rs`).
//!
//! rust-sel4 has `sel4-reset` for this. It restores the image's data only, keeps a page of its own that survives, and
//! needs an ELF rewriter of its own as a second tool; this needs neither and leaves nothing.

use core::arch::global_asm;

// The table: two counts, the initial stack pointer, then entries of three words. An entry of the first kind is
// (start, bytes, 0) and is zeroed; one of the second kind is (start, bytes, source) and is copied. Bytes are a multiple
// of 64 in the first and of 8 in the second. All zero until the image builder fills it in, and then there is no restart.
global_asm!(
    r#"
    .pushsection .rodata.atoll_restart, "a", %progbits
        .balign 16
        .global atoll_restart_table
        .type atoll_restart_table, %object
        .size atoll_restart_table, 1024
    atoll_restart_table: .zero 1024

        .balign 16
        .global atoll_restart_data
        .type atoll_restart_data, %object
        .size atoll_restart_data, 8192
    atoll_restart_data: .zero 8192
    .popsection

    .pushsection .text.atoll_restart, "ax", %progbits
        .global atoll_restart
        .type atoll_restart, %function
    atoll_restart:
        adrp    x0, atoll_restart_table
        add     x0, x0, :lo12:atoll_restart_table
        ldp     x1, x2, [x0], #16
        ldr     x3, [x0], #8
    1:  cbz     x1, 3f
        sub     x1, x1, #1
        ldp     x4, x5, [x0], #24
        add     x5, x4, x5
        // The first word alone: it is a ring's epoch or a status' sequence, and says "nothing here" to whoever reads on.
        str     xzr, [x4]
        dmb     ish
    2:  stp     xzr, xzr, [x4]
        stp     xzr, xzr, [x4, #16]
        stp     xzr, xzr, [x4, #32]
        stp     xzr, xzr, [x4, #48]
        add     x4, x4, #64
        cmp     x4, x5
        b.lo    2b
        b       1b
    3:  cbz     x2, 5f
        sub     x2, x2, #1
        ldp     x4, x5, [x0], #16
        ldr     x6, [x0], #8
        add     x5, x4, x5
    4:  ldr     x7, [x6], #8
        str     x7, [x4], #8
        cmp     x4, x5
        b.lo    4b
        b       3b
    5:  mov     sp, x3
        msr     fpcr, xzr
        msr     fpsr, xzr
        msr     tpidr_el0, xzr
        .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        movi    v\n\().2d, #0
        .endr
        .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30
        mov     x\n, xzr
        .endr
        b       _start
    .popsection
    "#
);

unsafe extern "C" {
    static atoll_restart_table: [u64; 128];
    static atoll_restart_data: [u8; 8192];
    fn atoll_restart() -> !;
}

/// Where the domain begins anew; `None` where the image builder filled no table in, and a restart would leave everything.
pub fn entry() -> Option<u64> {
    // SAFETY: defined above and never written at run time.
    let table = unsafe { &atoll_restart_table };
    core::hint::black_box(&raw const atoll_restart_data);
    (table[0] != 0).then_some(atoll_restart as *const () as u64)
}
