//! A size of the boot image that its own initialiser cannot boot, seen before anybody tries.
//!
//! The program that sets the system up (rust-sel4's capDL initialiser, in Microkit 2.3.0) maps 2 MiB frames behind its own
//! image, at the first 2 MiB border after its end and the boot information. It does not count the page of its IPC buffer that
//! the kernel puts between the two; so where end and boot information reach exactly to a border, the boot information lies
//! beyond it, the place is taken, and the system ends with `FailedLookup` before it began. One size in 512 does that.

/// Pages that move the image's end off such a size: each takes some sixty bytes of the initialiser's list.
pub(super) const PADDING_PAGES: u64 = 256;

/// Begins the loader's header (Microkit, tool/microkit/src/loader.rs, `LoaderHeader64`); words of 64 bits follow.
const MAGIC: u64 = 0x5e14_dead_14de_5ead;

/// Words of the header: the initialiser's physical end, and how much lower its virtual addresses are.
const END_WORD: usize = 4;
const OFFSET_WORD: usize = 5;

/// What the initialiser maps.
const LARGE_PAGE_BYTES: u64 = 2 * 1024 * 1024;

/// The boot information of a board that has no more to say than the kernel itself.
const BOOT_INFORMATION_BYTES: u64 = 4096;

/// Whether the initialiser in `image` can map large frames. True as well where the image is not as expected.
pub(super) fn finds_room(image: &[u8]) -> bool {
    let Some(start) = image.windows(8).position(|bytes| bytes == MAGIC.to_le_bytes()) else { return true };
    let word = |number: usize| image[start..].as_chunks::<8>().0.get(number).copied().map(u64::from_le_bytes);
    match (word(END_WORD), word(OFFSET_WORD)) {
        (Some(end), Some(offset)) => {
            !end.wrapping_sub(offset).wrapping_add(BOOT_INFORMATION_BYTES).is_multiple_of(LARGE_PAGE_BYTES)
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header as the loader has it, behind some code.
    fn image(end: u64) -> Vec<u8> {
        let words = [MAGIC, 0, 0, 0x6025_e000, end, 0x6005_e000, 0, 0];
        [0_u8; 20].into_iter().chain(words.iter().flat_map(|word| word.to_le_bytes())).collect()
    }

    #[test]
    fn one_page_before_a_border_there_is_no_room() {
        // The end that was seen to fail: virtual 0x15ff000.
        assert!(!finds_room(&image(0x6165_d000)));
        assert!(finds_room(&image(0x6165_e000)));
        assert!(finds_room(&image(0x6165_c000)));
    }

    #[test]
    fn what_is_no_image_is_left_alone() {
        assert!(finds_room(b"no image"));
        assert!(finds_room(&MAGIC.to_le_bytes()));
    }
}
