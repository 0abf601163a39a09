//! One session: the stream that comes in, the answers that wait to go out, and where the two stand.

use alloc::collections::VecDeque;

use shared_ring_messages::{AuditSession, FrameDecoder};

/// Answers that a session may leave unread before it is closed: eight pages of logs, or far more acknowledgements than an
/// upload's credit allows.
pub const MAX_UNREAD_BYTES: usize = 64 * 1024;

/// Unreadable frames in a row that are answered; further ones are only counted. Whoever speaks the protocol and lost a few
/// bytes has understood by then; whoever pipes noise into the port is not to be talked to for ever.
pub const MAX_UNREADABLE_FRAMES: u32 = 8;

/// Which opening of which port: a port that was opened anew is another session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionKey {
    pub(crate) index: usize,
    epoch: u64,
}

/// How far a session has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nobody is there.
    Closed,
    /// Open, not greeted.
    Greeting,
    /// Greeted.
    Open,
    /// What waits is sent, then the peer is told to close.
    Ending,
}

/// The session does not read its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stalled;

#[derive(Debug)]
pub(crate) struct Session {
    key: SessionKey,
    pub(crate) phase: Phase,
    /// Counts the greetings of all sessions; 0 before its own.
    pub(crate) number: u64,
    pub(crate) decoder: FrameDecoder,
    unread: VecDeque<u8>,
    /// Since the last good frame.
    pub(crate) unreadable: u32,
    /// The cell that is reserved for the upload under way.
    pub(crate) upload: Option<usize>,
}

impl Session {
    pub(crate) const fn new(index: usize) -> Self {
        Self {
            key: SessionKey { index, epoch: 0 },
            phase: Phase::Closed,
            number: 0,
            decoder: FrameDecoder::new(),
            unread: VecDeque::new(),
            unreadable: 0,
            upload: None,
        }
    }

    pub(crate) fn key(&self) -> SessionKey {
        self.key
    }

    /// What the audit log calls it.
    pub(crate) fn audited(&self) -> AuditSession {
        AuditSession { number: self.number, port: u8::try_from(self.key.index).unwrap_or(u8::MAX) }
    }

    /// Forgets everything, memory included, and is another session from here on.
    pub(crate) fn reset(&mut self, phase: Phase) {
        let epoch = self.key.epoch + 1;
        *self = Self { key: SessionKey { epoch, ..self.key }, phase, ..Self::new(self.key.index) };
    }

    /// Queues bytes of an answer.
    pub(crate) fn queue(&mut self, bytes: &[u8]) -> Result<(), Stalled> {
        if self.unread.len() + bytes.len() > MAX_UNREAD_BYTES {
            return Err(Stalled);
        }
        self.unread.extend(bytes);
        Ok(())
    }

    /// Copies what goes out next and answers how many bytes that is; it is still queued.
    pub(crate) fn peek(&self, destination: &mut [u8]) -> usize {
        let length = self.unread.len().min(destination.len());
        for (byte, queued) in destination.iter_mut().zip(&self.unread) {
            *byte = *queued;
        }
        length
    }

    /// The first `length` bytes are sent.
    pub(crate) fn sent(&mut self, length: usize) {
        self.unread.drain(..length.min(self.unread.len()));
    }

    pub(crate) fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_the_order_in_which_they_came() {
        let mut session = Session::new(1);
        session.queue(b"abcdef").unwrap();
        let mut buffer = [0; 4];
        assert_eq!(session.peek(&mut buffer), 4);
        assert_eq!(&buffer, b"abcd");
        session.sent(3);
        assert_eq!(session.peek(&mut buffer), 3);
        assert_eq!(&buffer[..3], b"def");
        session.sent(100);
        assert!(!session.has_unread());
    }

    #[test]
    fn what_is_not_read_is_bounded() {
        let mut session = Session::new(0);
        session.queue(&[0; MAX_UNREAD_BYTES]).unwrap();
        assert_eq!(session.queue(&[0]), Err(Stalled));
        let key = session.key();
        session.reset(Phase::Greeting);
        assert!(session.key() != key && session.queue(&[0]).is_ok());
    }
}
