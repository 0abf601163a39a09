//! New inputs out of old ones, as fuzzers make them: flipped, cut, repeated, put together.

use fastrand::Rng;

/// Bytes at which decoders change their mind.
const EDGES: [u8; 12] = [0, 1, 2, 0x17, 0x18, 0x1f, 0x7f, 0x80, 0xa0, 0xd2, 0xfe, 0xff];

/// The most random bytes of an input that comes of none.
const FRESH_BYTES: usize = 96;

/// Another input of at most `longest` bytes.
pub(crate) fn next(random: &mut Rng, inputs: &[Vec<u8>], longest: usize) -> Vec<u8> {
    let mut bytes = match random.choice(inputs) {
        Some(input) if random.u8(..) >= 0x20 => input.clone(),
        _ => {
            let mut fresh = vec![0; random.usize(..FRESH_BYTES)];
            random.fill(&mut fresh);
            fresh
        }
    };
    for _ in 0..random.usize(1..6) {
        change(random, &mut bytes, inputs);
    }
    bytes.truncate(longest);
    bytes
}

fn change(random: &mut Rng, bytes: &mut Vec<u8>, inputs: &[Vec<u8>]) {
    let place = random.usize(..=bytes.len());
    let end = random.usize(place..=bytes.len());
    match random.u8(..8) {
        0 => bytes.insert(place, random.u8(..)),
        1 => drop(bytes.drain(place..end.min(place + 8))),
        2 => {
            let piece = bytes[place..end.min(place + 16)].to_vec();
            bytes.splice(place..place, piece);
        }
        3 => {
            if let Some(other) = random.choice(inputs) {
                let tail = random.usize(..=other.len());
                bytes.splice(place.., other[tail..].iter().copied());
            }
        }
        4 => bytes.truncate(end),
        kind => {
            let Some(byte) = bytes.get_mut(place) else { return };
            *byte = match kind {
                5 => *byte ^ 1 << random.u8(..8),
                6 => random.u8(..),
                _ => EDGES[random.usize(..EDGES.len())],
            };
        }
    }
}
