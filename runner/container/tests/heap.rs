//! What decoding takes of the heap for the manifest that is dearest for its size.
//!
//! A binary of its own, because it has an allocator that counts.

#[path = "container/counting_heap.rs"]
mod counting_heap;

use counting_heap::peak_of;
use runner_container::{Files, MAX_MANIFEST_BYTES, Manifest};

#[test]
fn a_manifest_takes_a_small_multiple_of_its_size() {
    // Sixty-four services with sixty-four attributes of two empty texts each: structurally well, three bytes an attribute.
    let attributes = [&[0x98, 64][..], &[0x82, 0x60, 0x60].repeat(64)].concat();
    let service = [&[0xa3, 1, 0x61, b'c', 2, 0x61, b's', 3][..], &attributes].concat();
    let manifest = [&[0xa2, 1, 0x61, b'a', 11, 0x98, 64][..], &service.repeat(64)].concat();
    assert!(manifest.len() <= MAX_MANIFEST_BYTES);
    let (peak, ()) = peak_of(|| assert!(Manifest::decode(&manifest).is_err()));
    assert!(peak > manifest.len(), "the counting does not count");
    assert!(peak <= 20 * manifest.len(), "{peak} bytes for {}", manifest.len());
    // A length that is not there.
    let announced = [0xa2, 1, 0x61, b'a', 4, 0x98, 64];
    let (peak, ()) = peak_of(|| assert!(Manifest::decode(&announced).is_err()));
    assert!(peak < 1024, "{peak} bytes for {}", announced.len());
    let files = [&[0x81, 0x82, 0x61, b'a', 0x5a, 0, 0x0f, 0, 0][..], &vec![0; 0xf_0000]].concat();
    assert_eq!(peak_of(|| assert!(Files::decode(&files).is_ok())), (0, ()));
}
