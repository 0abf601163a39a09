//! Frames in a byte stream: COBS (zero bytes only ever end a frame) around `postcard` bytes and a CRC-32.
//!
//! A zero byte is also sent in front of each frame, so that a peer that starts in the middle of garbage loses the garbage
//! and not the frame. Trusts nothing that arrives.

use alloc::vec::Vec;

use crc::{CRC_32_ISO_HDLC, Crc};
use serde::{Serialize, de::DeserializeOwned};

/// The longest frame before COBS, in bytes: an upload chunk ([`crate::CHUNK_BYTES`]) with its envelope, or a page of
/// logs. What is longer is dropped by the receiver, so that a peer cannot make it hold more.
pub const MAX_FRAME_BYTES: usize = 8 * 1024;

/// COBS adds a byte in 254 and one at the front.
const MAX_ENCODED_BYTES: usize = MAX_FRAME_BYTES + MAX_FRAME_BYTES / 254 + 2;

const CHECKSUM: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);
const CHECKSUM_BYTES: usize = 4;

/// Why bytes between two zeros were no frame. Counted and dropped; the stream goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// Longer than [`MAX_FRAME_BYTES`].
    TooLong,
    /// Not COBS, or shorter than its checksum.
    Malformed,
    /// The checksum is another.
    Damaged,
    /// Whole, but not a message of this version.
    Unknown,
}

impl core::fmt::Display for FrameError {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str(match self {
            Self::TooLong => "the frame is too long",
            Self::Malformed => "these bytes are no frame",
            Self::Damaged => "the frame's checksum does not match",
            Self::Unknown => "the frame carries no message of this version",
        })
    }
}

impl core::error::Error for FrameError {}

/// The bytes to send for `message`, delimiters included.
///
/// # Errors
/// [`FrameError::TooLong`] where it does not fit a frame, [`FrameError::Unknown`] where it cannot be serialised.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let mut payload = postcard::to_allocvec(message).map_err(|_| FrameError::Unknown)?;
    let checksum = CHECKSUM.checksum(&payload).to_le_bytes();
    payload.extend_from_slice(&checksum);
    if payload.len() > MAX_FRAME_BYTES {
        return Err(FrameError::TooLong);
    }
    let mut bytes = Vec::with_capacity(payload.len() + payload.len() / 254 + 4);
    bytes.push(0);
    bytes.extend_from_slice(&cobs::encode_vec(&payload));
    bytes.push(0);
    Ok(bytes)
}

/// Finds frames in a stream. Holds at the most one unfinished frame.
#[derive(Clone, Debug, Default)]
pub struct FrameDecoder {
    pending: Vec<u8>,
    /// The current piece is too long already: drop bytes up to the next zero.
    overflowing: bool,
}

impl FrameDecoder {
    /// An empty decoder.
    pub const fn new() -> Self {
        Self { pending: Vec::new(), overflowing: false }
    }

    /// Forgets an unfinished frame: the session is over.
    pub fn clear(&mut self) {
        self.pending.clear();
        self.overflowing = false;
    }

    /// Takes bytes off the front of `stream` up to the end of the next frame. `None` when they are used up.
    ///
    /// Call again with the same slice until it answers `None`.
    pub fn next_frame<T: DeserializeOwned>(&mut self, stream: &mut &[u8]) -> Option<Result<T, FrameError>> {
        while let Some((&byte, rest)) = stream.split_first() {
            *stream = rest;
            if byte != 0 {
                self.keep(byte);
                continue;
            }
            if let Some(result) = self.finish() {
                return Some(result);
            }
        }
        None
    }

    fn keep(&mut self, byte: u8) {
        if self.pending.len() < MAX_ENCODED_BYTES {
            self.pending.push(byte);
        } else {
            self.overflowing = true;
        }
    }

    /// A zero arrived. `None` where there was nothing before it.
    fn finish<T: DeserializeOwned>(&mut self) -> Option<Result<T, FrameError>> {
        let overflowing = core::mem::take(&mut self.overflowing);
        if self.pending.is_empty() {
            return None;
        }
        let result = if overflowing { Err(FrameError::TooLong) } else { decode(&mut self.pending) };
        self.pending.clear();
        Some(result)
    }
}

fn decode<T: DeserializeOwned>(bytes: &mut [u8]) -> Result<T, FrameError> {
    let length = cobs::decode_in_place(bytes).map_err(|_| FrameError::Malformed)?;
    let payload_length = length.checked_sub(CHECKSUM_BYTES).ok_or(FrameError::Malformed)?;
    let (payload, checksum) = bytes[..length].split_at(payload_length);
    if CHECKSUM.checksum(payload).to_le_bytes() != *checksum {
        return Err(FrameError::Damaged);
    }
    let (message, rest) = postcard::take_from_bytes(payload).map_err(|_| FrameError::Unknown)?;
    if rest.is_empty() { Ok(message) } else { Err(FrameError::Unknown) }
}

#[cfg(test)]
mod tests {
    use alloc::{string::String, vec, vec::Vec};

    use proptest::prelude::*;

    use super::*;

    fn all<T: DeserializeOwned>(decoder: &mut FrameDecoder, mut bytes: &[u8]) -> Vec<Result<T, FrameError>> {
        core::iter::from_fn(|| decoder.next_frame(&mut bytes)).collect()
    }

    #[test]
    fn a_frame_split_anywhere_arrives_once() {
        let bytes = encode(&(7_u32, String::from("seven"))).expect("fits");
        for cut in 0..bytes.len() {
            let mut decoder = FrameDecoder::new();
            let mut found: Vec<Result<(u32, String), _>> = all(&mut decoder, &bytes[..cut]);
            found.extend(all(&mut decoder, &bytes[cut..]));
            assert_eq!(found, vec![Ok((7, String::from("seven")))]);
        }
    }

    #[test]
    fn a_frame_behind_garbage_is_found() {
        let mut bytes = vec![0xff; 3 * MAX_ENCODED_BYTES];
        bytes.extend(encode(&1_u32).expect("fits"));
        let found: Vec<Result<u32, _>> = all(&mut FrameDecoder::new(), &bytes);
        assert_eq!(found, vec![Err(FrameError::TooLong), Ok(1)]);
    }

    #[test]
    fn a_flipped_bit_is_never_a_message() {
        let bytes = encode(&0x0123_4567_u32).expect("fits");
        for position in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[position / 8] ^= 1 << (position % 8);
            let found: Vec<Result<u32, _>> = all(&mut FrameDecoder::new(), &damaged);
            assert!(!found.iter().any(|result| matches!(result, Ok(value) if *value != 0x0123_4567)));
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_before_it_is_sent() {
        assert_eq!(encode(&vec![1_u8; MAX_FRAME_BYTES]), Err(FrameError::TooLong));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let mut decoder = FrameDecoder::new();
            let _: Vec<Result<crate::FromAgent, _>> = all(&mut decoder, &bytes);
            let mut stream: &[u8] = &[0];
            let _ = decoder.next_frame::<crate::FromAgent>(&mut stream);
            let found: Vec<Result<u32, _>> = all(&mut decoder, &encode(&5_u32).expect("fits"));
            prop_assert_eq!(found, vec![Ok(5)]);
        }
    }
}
