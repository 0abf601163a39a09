//! What U-Boot is told to do: load the image, check it, start it, and say on the console what went wrong.
//!
//! U-Boot runs `boot.scr` from the first partition that has one. It is a text in a "legacy" U-Boot image: a header of
//! 64 bytes (`struct legacy_img_hdr` in U-Boot's `include/image.h`) and a table of lengths (`boot/image.c`,
//! `image_multi_getimg`). The header is written here, because `mkimage` is not on every host.

use crc::{CRC_32_ISO_HDLC, Crc};

/// Where the Microkit manual ("Raspberry Pi 4B") has the image loaded and started.
pub const LOAD_ADDRESS: u64 = 0x1000_0000;

/// The image's name in the boot partition.
pub const LOADER: &str = "loader.img";

/// The script's name: the one that U-Boot's standard boot looks for.
pub const SCRIPT: &str = "boot.scr";

/// Four bytes that U-Boot puts the checksum to. Free: its own script and device tree are at 0x2400000 and 0x2600000
/// (`include/configs/rpi.h`), the image begins 208 MiB above.
const CHECKSUM_ADDRESS: u64 = 0x0300_0000;

/// The checksum of zlib, U-Boot's `crc32`.
const CHECKSUM: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

// Values of `include/image.h`.
const MAGIC: u32 = 0x2705_1956;
const SYSTEM_LINUX: u8 = 5;
const ARCHITECTURE_ARM64: u8 = 22;
const TYPE_SCRIPT: u8 = 6;
const COMPRESSION_NONE: u8 = 0;
const HEADER_BYTES: usize = 64;
const NAME_BYTES: usize = 32;

/// Shown by U-Boot when it runs the script.
const NAME: &[u8] = b"Atoll";

/// The script for this image.
#[must_use]
pub fn text(loader: &[u8]) -> String {
    let size = loader.len();
    let checksum = CHECKSUM.checksum(loader);
    // `crc32` stores what it found as a number, or, in a U-Boot with further hashes, most significant byte first
    // (`common/hash.c`, `hash_command`); memory is compared as the processor reads it.
    let swapped = checksum.swap_bytes();
    format!(
        "\
# Written by Atoll for one {LOADER}; {size} bytes, CRC-32 {checksum:08x}.
echo \"Atoll: loading {LOADER} ({size} bytes) from ${{devtype}} ${{devnum}}:${{distro_bootpart}}\"
if load ${{devtype}} ${{devnum}}:${{distro_bootpart}} {LOAD_ADDRESS:#x} {LOADER}; then
  if itest 0x${{filesize}} == {size:#x}; then
    crc32 {LOAD_ADDRESS:#x} {size:#x} {CHECKSUM_ADDRESS:#x}
    if itest.l *{CHECKSUM_ADDRESS:#x} == {checksum:#x} || itest.l *{CHECKSUM_ADDRESS:#x} == {swapped:#x}; then
      echo \"Atoll: size and CRC-32 are right; starting at {LOAD_ADDRESS:#x}\"
      go {LOAD_ADDRESS:#x}
      echo \"Atoll: FAILED: {LOADER} gave control back, which a Microkit image never does\"
    else
      echo \"Atoll: FAILED: {LOADER} should have the CRC-32 {checksum:08x}, but was read as above; write the card again\"
    fi
  else
    echo \"Atoll: FAILED: {LOADER} should have {size:#x} bytes and has 0x${{filesize}}; write the card again\"
  fi
else
  echo \"Atoll: FAILED: the boot partition has no {LOADER} that can be read; write the card again\"
fi
"
    )
}

/// The file `boot.scr` for this image.
#[must_use]
pub fn file(loader: &[u8]) -> Vec<u8> {
    wrap(text(loader).as_bytes())
}

/// Puts a script into a legacy image. Its time is zero, so that the same script gives the same bytes.
fn wrap(script: &[u8]) -> Vec<u8> {
    let length = u32::try_from(script.len()).expect("a script of a few lines");
    // One length, and the zero that ends the list.
    let mut data = [length.to_be_bytes(), [0; 4]].concat();
    data.extend_from_slice(script);
    let mut image = header(&data);
    image.extend_from_slice(&data);
    image
}

fn header(data: &[u8]) -> Vec<u8> {
    let fields = |own_checksum: u32| {
        let length = u32::try_from(data.len()).expect("a script of a few lines");
        // magic, checksum of the header, time, length, load address, entry point, checksum of the data
        let words = [MAGIC, own_checksum, 0, length, 0, 0, CHECKSUM.checksum(data)];
        let mut header = words.map(u32::to_be_bytes).concat();
        header.extend([SYSTEM_LINUX, ARCHITECTURE_ARM64, TYPE_SCRIPT, COMPRESSION_NONE]);
        header.extend_from_slice(NAME);
        header.resize(HEADER_BYTES, 0);
        header
    };
    // The header's checksum is over the header with a zero in its place.
    fields(CHECKSUM.checksum(&fields(0)))
}

const _: () = assert!(NAME.len() < NAME_BYTES, "U-Boot prints the name up to a zero");

#[cfg(test)]
mod tests {
    use super::*;

    fn word(bytes: &[u8], at: usize) -> u32 {
        u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
    }

    #[test]
    fn the_header_is_the_one_that_mkimage_writes() {
        // `printf 'echo hello\n' > t; SOURCE_DATE_EPOCH=0 mkimage -A arm64 -O linux -T script -C none -n Atoll -d t t.scr`
        // (u-boot-tools 2023.01)
        let expected: &[u8] = include_bytes!("../tests/data/mkimage.scr");
        assert_eq!(wrap(b"echo hello\n"), expected);
    }

    #[test]
    fn both_checksums_hold() {
        let file = file(b"image");
        let mut header = file[..HEADER_BYTES].to_vec();
        header[4..8].fill(0);
        assert_eq!(word(&file, 4), CHECKSUM.checksum(&header));
        assert_eq!(word(&file, 24), CHECKSUM.checksum(&file[HEADER_BYTES..]));
        assert_eq!(word(&file, 12) as usize, file.len() - HEADER_BYTES);
    }

    #[test]
    fn the_script_holds_the_images_size_and_checksum() {
        // The check value of CRC-32/ISO-HDLC in the catalogue of parametrised CRC algorithms: 0xcbf43926 for "123456789".
        let text = text(b"123456789");
        assert!(text.contains("== 0x9; then"), "{text}");
        assert!(text.contains("CRC-32 cbf43926"), "{text}");
        assert!(text.contains("== 0xcbf43926 || "), "{text}");
        assert!(text.contains("== 0x2639f4cb; then"), "{text}");
    }

    #[test]
    fn every_way_out_is_told() {
        let text = text(b"image");
        let failures = text.lines().filter(|line| line.contains("FAILED")).count();
        assert_eq!(failures, text.matches("else\n").count() + 1, "each `else`, and a return from `go`");
    }
}
