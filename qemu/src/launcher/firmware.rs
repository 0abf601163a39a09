//! What the Raspberry Pi 4's firmware does before it hands over, as far as the image needs it: a stand-in.
//!
//! On a board, a stub of the firmware (armstub8) runs at exception level 3: it makes all interrupts of the GIC non-secure ones,
//! parks the other processors, drops to level 2 and jumps to what was loaded. QEMU does the same for a Linux kernel that it is
//! given with `-kernel`, provided that its GIC has the security extensions, as the board's has. So it is given one: an `Image`
//! that sends the other processors to sleep, and jumps to where the boot image lies.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Where Microkit's loader for the Raspberry Pi 4 is linked to run, and where its first instruction is.
pub(super) const LOAD_ADDRESS: u32 = 0x1000_0000;

/// The stub takes a page, which the header says too.
const STUB_BYTES: usize = 0x1000;

/// The stub's file in a run's folder.
pub(super) fn path(run_folder: &Path) -> PathBuf {
    run_folder.join("firmware")
}

/// Writes the stub's file.
pub(super) fn write(run_folder: &Path) -> Result<()> {
    let path = path(run_folder);
    std::fs::write(&path, stub()).with_context(|| format!("cannot write {}", path.display()))
}

/// What follows the header. QEMU leaves the other processors in a loop that waits for an address to go to in a table at 0xd8 (as
/// the firmware does), and that loop takes as much of the machine's instructions as the first processor has: such a boot took six
/// times as long. So they are sent to sleep, in the firmware's page below 0x1000, which seL4 leaves alone.
const CODE: [u32; 14] = [
    0xd281_e002,                               // mov x2, #0xf00
    0x5800_0163,                               // ldr x3, sleep
    0xf900_0043,                               // str x3, [x2]
    0xd280_1b04,                               // mov x4, #0xd8
    0xf900_0482,                               // str x2, [x4, #8]
    0xf900_0882,                               // str x2, [x4, #16]
    0xf900_0c82,                               // str x2, [x4, #24]
    0xd503_3f9f,                               // dsb sy
    0xd503_209f,                               // sev
    0xd2a0_0001 | ((LOAD_ADDRESS >> 16) << 5), // mov x1, #LOAD_ADDRESS
    0xd61f_0020,                               // br x1
    0xd503_201f,                               // nop, for the alignment of what follows
    0xd503_207f,                               // sleep: wfi
    0x17ff_ffff,                               // b sleep
];

/// The header of an arm64 `Image` (Linux, Documentation/arm64/booting.rst), and the code behind it.
fn stub() -> Vec<u8> {
    const HEADER_BYTES: u32 = 64;
    // From the firmware's usual place for kernels, 0x80000, in the first 2 MiB.
    const TEXT_OFFSET: u64 = 0x8_0000;
    // Little-endian, pages of 4 KiB, anywhere in memory.
    const FLAGS: u64 = 0b1010;
    let jump_over_header = 0x1400_0000 | (HEADER_BYTES / 4);
    let mut bytes = Vec::new();
    bytes.extend([jump_over_header, 0].map(u32::to_le_bytes).concat());
    bytes.extend([TEXT_OFFSET, STUB_BYTES as u64, FLAGS, 0, 0, 0].map(u64::to_le_bytes).concat());
    bytes.extend(*b"ARM\x64\0\0\0\0");
    bytes.extend(CODE.map(u32::to_le_bytes).concat());
    bytes.resize(STUB_BYTES, 0);
    bytes
}

#[cfg(test)]
mod tests {
    use pd_vmm_machine::boot::ImageHeader;

    use super::*;

    #[test]
    fn the_stub_is_an_image_that_jumps_to_the_loader() {
        let stub = stub();
        let header = ImageHeader::parse(stub.first_chunk().expect("a header")).expect("an Image");
        assert_eq!((header.text_offset, header.image_size), (0x8_0000, 0x1000));
        let word = |offset: usize| u32::from_le_bytes(*stub[offset..].first_chunk().expect("a word"));
        assert_eq!((word(0), word(64), word(64 + 9 * 4)), (0x1400_0010, CODE[0], 0xd2a2_0001));
        // Assembled by hand: the load finds the code that it copies.
        assert_eq!((word(64 + 12 * 4), word(64 + 13 * 4)), (0xd503_207f, 0x17ff_ffff));
    }
}
