//! Messages about ports, on the two control queues (virtio 1.2, 5.3.6.2).
//!
//! Eight bytes and, in one of them, a name. The driver's are copied out whole before they are read.

use super::PORTS;

/// Bytes of a control message's fixed part: id, event, value (5.3.6.2).
pub(super) const CONTROL_BYTES: usize = 8;
/// The longest control message: a port's name.
pub(super) const LONGEST_CONTROL: usize = CONTROL_BYTES + NAME_PREFIX.len() + 1;
/// Ports are called this and their session's number.
const NAME_PREFIX: &[u8] = b"emit.";
const _: () = assert!(PORTS <= 10, "a port's name has one digit");

/// Events of control messages (5.3.6.2).
pub(super) mod event {
    pub(in super::super) const DEVICE_READY: u16 = 0;
    pub(in super::super) const PORT_ADD: u16 = 1;
    pub(in super::super) const PORT_READY: u16 = 3;
    pub(in super::super) const PORT_OPEN: u16 = 6;
    pub(in super::super) const PORT_NAME: u16 = 7;
}

/// A control message's fixed part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ControlMessage {
    /// The port's id, as the driver counts.
    pub(super) id: u32,
    /// One of [`event`].
    pub(super) event: u16,
    /// What it says: for most, 1 for yes and 0 for no.
    pub(super) value: u16,
}

impl ControlMessage {
    pub(super) fn from_bytes([a, b, c, d, e, f, g, h]: [u8; CONTROL_BYTES]) -> Self {
        Self {
            id: u32::from_le_bytes([a, b, c, d]),
            event: u16::from_le_bytes([e, f]),
            value: u16::from_le_bytes([g, h]),
        }
    }

    /// Writes the message, with the port's name where it is one about that; answers its length.
    pub(super) fn write(&self, port: usize, bytes: &mut [u8; LONGEST_CONTROL]) -> usize {
        bytes[..4].copy_from_slice(&self.id.to_le_bytes());
        bytes[4..6].copy_from_slice(&self.event.to_le_bytes());
        bytes[6..8].copy_from_slice(&self.value.to_le_bytes());
        if self.event != event::PORT_NAME {
            return CONTROL_BYTES;
        }
        bytes[CONTROL_BYTES..LONGEST_CONTROL - 1].copy_from_slice(NAME_PREFIX);
        bytes[LONGEST_CONTROL - 1] = b'0' + u8::try_from(port).expect("a port's name has one digit");
        LONGEST_CONTROL
    }
}
