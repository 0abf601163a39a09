//! The devices at the I2C bus that a container speaks to, behind handles, and what it last read from each.

use runner_interfaces::i2c::{MAX_TRANSFER_BYTES, Received};

use crate::handles::Handles;

/// Handles of one container: more devices than hang on most buses.
const MAX_OPEN_DEVICES: usize = 16;

/// As the WIT file has it.
pub(crate) const DEVICE: &str = "device";

/// A device that the container opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) address: u8,
    received: Received,
    length: u8,
}

impl Device {
    pub(crate) fn new(address: u8) -> Self {
        Self { address, ..Self::default() }
    }

    /// What was read; nothing where that failed.
    pub(crate) fn keep(&mut self, received: Received, length: u8) {
        (self.received, self.length) = (received, length);
    }

    pub(crate) fn value(&self) -> &[u8] {
        self.received.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }

    /// The value as one number, its first byte the most significant; 0 where that is more than eight bytes.
    pub(crate) fn number(&self) -> u64 {
        let value = self.value();
        if value.len() > size_of::<u64>() {
            return 0;
        }
        value.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// Bytes `8 * index` and on, little-endian; zeros behind the value's end.
    pub(crate) fn word(&self, index: u32) -> u64 {
        const { assert!(MAX_TRANSFER_BYTES == 16) };
        let (words, _) = self.received.bytes.as_chunks::<8>();
        let word = usize::try_from(index).ok().and_then(|index| words.get(index));
        word.map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }
}

/// Open devices by handle.
pub(crate) type DeviceTable = Handles<Device, MAX_OPEN_DEVICES>;

#[cfg(test)]
mod tests {
    use super::*;

    fn device(length: u8) -> Device {
        let mut device = Device::new(0x48);
        let mut received = Received { bytes: [0; 16] };
        (1..=length).for_each(|byte| received.bytes[usize::from(byte) - 1] = byte);
        device.keep(received, length);
        device
    }

    #[test]
    fn a_value_is_a_number_in_the_order_of_the_bus() {
        assert_eq!((device(0).number(), device(1).number(), device(2).number()), (0, 1, 0x102));
        assert_eq!((device(8).number(), device(9).number()), (0x0102_0304_0506_0708, 0));
    }

    #[test]
    fn words_end_with_the_value() {
        assert_eq!((device(2).word(0), device(2).word(1)), (0x201, 0));
        assert_eq!(device(16).word(1), 0x100f_0e0d_0c0b_0a09);
        assert_eq!((device(16).word(2), device(16).word(u32::MAX)), (0, 0));
    }
}
