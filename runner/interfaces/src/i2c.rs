//! The `i2c` domain's protected procedure, and the status it shows.
//!
//! The server checks each call against the grants of the cell whose channel it came in on. Nobody owns a device: a transfer is
//! one transaction at the bus, from its start condition to its stop, and what a device keeps between two of them (a register's
//! number) is shared by all who may speak to it.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    MAX_CELLS, boot_report::STATUS_REGION_BYTES, gpio::Status, kernel::Message, usage::usage_bytes, wire_enum,
};

/// The most bytes that one transfer writes, and the most that it reads: two words of a call. Who needs more makes two transfers.
pub const MAX_TRANSFER_BYTES: usize = 16;

/// Addresses that a device can have: seven bits.
pub const ADDRESSES: u8 = 128;

wire_enum! {
    /// A procedure's number, the label of the call.
    Procedure {
        /// A [`Transfer`]. Answers a [`Received`]. `NotFound` where no device acknowledges the address, `NotSupported` where it
        /// does not acknowledge what is written, `Unavailable` where the bus fails.
        Transfer = 1 => "transfer",
    }
}

/// One transaction: what is written to a device, and how much is then read from it. With neither it asks whether the device
/// acknowledges its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Seven bits.
    pub address: u8,
    /// The bytes to write are its head.
    pub bytes: [u8; MAX_TRANSFER_BYTES],
    /// How many of them.
    pub write_length: u8,
    /// How many bytes to read then.
    pub read_length: u8,
}

impl Transfer {
    /// One that writes `written` and reads `read_length` bytes; `None` where that is more than a transfer takes.
    pub fn new(address: u8, written: &[u8], read_length: u8) -> Option<Self> {
        let mut bytes = [0; MAX_TRANSFER_BYTES];
        bytes.get_mut(..written.len())?.copy_from_slice(written);
        let transfer = Self { address, bytes, write_length: u8::try_from(written.len()).ok()?, read_length };
        transfer.is_sound().then_some(transfer)
    }

    fn is_sound(&self) -> bool {
        usize::from(self.write_length) <= MAX_TRANSFER_BYTES && usize::from(self.read_length) <= MAX_TRANSFER_BYTES
    }

    /// What is written.
    pub fn written(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.write_length)).unwrap_or_default()
    }

    /// The call that asks for it. Word 0 is address, bytes to write and bytes to read, eight bits each; words 1 and 2 are the
    /// bytes, little-endian.
    pub fn call(&self) -> Message {
        let head = u64::from(self.address) | u64::from(self.write_length) << 8 | u64::from(self.read_length) << 16;
        let [first, second] = words_of(&self.bytes);
        Message { label: u64::from(Procedure::Transfer.to_wire()), words: [head, first, second, 0] }
    }

    /// What a call asks for.
    ///
    /// # Errors
    /// `NotFound` where no device can have the address, `Invalid` where a length is beyond a transfer's.
    pub fn of(message: &Message) -> Result<Self, Status> {
        let [head, first, second, _] = message.words;
        let [address, write_length, read_length, rest @ ..] = head.to_le_bytes();
        let transfer = Self { address, bytes: bytes_of([first, second]), write_length, read_length };
        if rest != [0; 5] || !transfer.is_sound() {
            return Err(Status::Invalid);
        }
        if address < ADDRESSES { Ok(transfer) } else { Err(Status::NotFound) }
    }
}

/// What was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// The bytes read are its head, the rest is zero.
    pub bytes: [u8; MAX_TRANSFER_BYTES],
}

impl Received {
    /// The answer that says it.
    pub fn answer(&self) -> Message {
        let [first, second] = words_of(&self.bytes);
        Message { label: u64::from(Status::Ok.to_wire()), words: [first, second, 0, 0] }
    }

    /// What an answer says.
    ///
    /// # Errors
    /// Why nothing was read.
    pub fn of(answer: &Message) -> Result<Self, Status> {
        match Status::of(answer) {
            Status::Ok => Ok(Self { bytes: bytes_of([answer.words[0], answer.words[1]]) }),
            status => Err(status),
        }
    }
}

fn words_of(bytes: &[u8; MAX_TRANSFER_BYTES]) -> [u64; 2] {
    crate::exchange::words_of(bytes)
}

fn bytes_of(words: [u64; 2]) -> [u8; MAX_TRANSFER_BYTES] {
    crate::exchange::bytes_of(words)
}

/// Where the [`crate::usage::UsageTable`] of the addresses begins in `i2c_status`.
pub const I2C_USAGE_OFFSET_BYTES: usize = STATUS_REGION_BYTES;

/// The least size of `i2c_status`.
pub const I2C_STATUS_REGION_BYTES: usize = I2C_USAGE_OFFSET_BYTES + usage_bytes(ADDRESSES as usize);

/// What the domain shows of itself in `i2c_status`, in a [`shared_ring::SequencedCell`] at offset 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct I2cStatus {
    /// Calls served.
    pub calls: u64,
    /// Calls refused because the cell was not granted the address.
    pub refused: u64,
    /// Of these, how many of each cell.
    pub refused_by_cell: [u64; MAX_CELLS],
    /// Calls that made no sense, or that no device acknowledged.
    pub invalid: u64,
    /// Transfers that the bus failed at.
    pub failed: u64,
    /// 1 where the bus is a simulated one.
    pub is_simulated: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_arrives_as_it_was_sent() {
        let transfer = Transfer::new(0x7f, &[1, 2, 3, 4, 5, 6, 7, 8, 9], 16).unwrap();
        assert_eq!(Transfer::of(&transfer.call()), Ok(transfer));
        assert_eq!(transfer.written(), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(transfer.call().words[0], 0x10_097f);
        let received = Received { bytes: core::array::from_fn(|index| index.to_le_bytes()[0] ^ 0xa5) };
        assert_eq!(Received::of(&received.answer()), Ok(received));
        assert_eq!(Received::of(&Status::NotGranted.answer()), Err(Status::NotGranted));
        assert_eq!(Received::of(&Message::new(crate::kernel::CALL_FAILED)), Err(Status::Unavailable));
    }

    #[test]
    fn what_no_transfer_is_made_of_makes_no_sense() {
        assert_eq!(Transfer::new(0, &[0; 17], 0), None);
        assert_eq!(Transfer::new(0, &[], 17), None);
        let cases = [
            (17 << 8, Status::Invalid),
            (255 << 8, Status::Invalid),
            (17 << 16, Status::Invalid),
            (1 << 24, Status::Invalid),
            (1 << 63, Status::Invalid),
            (u64::MAX, Status::Invalid),
            (0x80, Status::NotFound),
            (0xff, Status::NotFound),
        ];
        for (head, status) in cases {
            let message = Message { label: 1, words: [head, 0, 0, 0] };
            assert_eq!(Transfer::of(&message), Err(status), "{head:#x}");
        }
    }
}
