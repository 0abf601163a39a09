//! A session with the node: the greeting, then requests and their answers, each with a limit in time.

use std::{
    fmt, io,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use shared_ring_messages::{
    Answer, FrameDecoder, FromAgent, FromNode, HELLO_MAGIC, PROTOCOL_MAJOR, PROTOCOL_MINOR, Request, frame,
};

use crate::{
    exit::Failure,
    node::{self, Connection},
    refusal,
};

/// An error with the exit code that belongs to it.
#[derive(Debug)]
pub(crate) struct Error {
    /// Chooses the exit code.
    pub(crate) failure: Failure,
    /// What a script reads; finer than the exit code where the node told more.
    pub(crate) kind: &'static str,
    /// What a person reads: what is wrong, and where.
    pub(crate) message: String,
    /// What to do next; may be empty.
    pub(crate) hint: &'static str,
}

impl Error {
    pub(crate) fn new(failure: Failure, message: impl Into<String>) -> Self {
        Self { failure, kind: failure.kind(), message: message.into(), hint: "" }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)?;
        if self.hint.is_empty() { Ok(()) } else { write!(formatter, "\nhint: {}", self.hint) }
    }
}

impl std::error::Error for Error {}

/// Shorthand of this crate.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// How long a node that listens may take to greet: it answers at once, even while it loads a large module, so what takes
/// longer is no node.
const GREETING: Duration = Duration::from_secs(20);

/// An open, greeted session.
#[derive(Debug)]
pub(crate) struct Session {
    connection: Connection,
    decoder: FrameDecoder,
    /// Bytes read and not yet looked at.
    unread: Vec<u8>,
    next_number: u32,
    timeout: Duration,
    /// The node's [`PROTOCOL_MINOR`].
    minor: u16,
}

impl Session {
    /// Finds the node, opens it and greets it.
    pub(crate) fn open(named: Option<&Path>, timeout: Duration) -> Result<Self> {
        let deadline = Instant::now() + timeout;
        loop {
            let connection =
                node::open(named, deadline).map_err(|error| Error::new(Failure::NoNode, format!("{error:#}")))?;
            let mut session = Self {
                connection,
                decoder: FrameDecoder::new(),
                unread: Vec::new(),
                next_number: 1,
                timeout: timeout.min(GREETING),
                minor: 0,
            };
            match session.greet() {
                Ok(()) => {
                    session.timeout = timeout;
                    return Ok(session);
                }
                // A socket closed before the greeting: all sessions are taken. A port would have been busy.
                Err(error) if error.failure == Failure::NoNode => {
                    if Instant::now() + node::RETRY >= deadline {
                        return Err(never_greeted(timeout));
                    }
                    thread::sleep(node::RETRY);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn greet(&mut self) -> Result<()> {
        let deadline = self.deadline();
        let hello = FromAgent::Hello { magic: HELLO_MAGIC, major: PROTOCOL_MAJOR, minor: PROTOCOL_MINOR };
        self.send(&hello, deadline)?;
        loop {
            match self.receive(deadline)? {
                FromNode::Welcome { major: PROTOCOL_MAJOR, minor } => {
                    self.minor = minor;
                    return Ok(());
                }
                FromNode::Welcome { major, minor } | FromNode::VersionMismatch { major, minor } => {
                    return Err(other_version(major, minor));
                }
                // Left over from a session that ended in the middle.
                FromNode::Answer { .. } | FromNode::Failure { .. } => {}
            }
        }
    }

    /// Which minor version of the protocol the node speaks.
    pub(crate) fn minor(&self) -> u16 {
        self.minor
    }

    /// Has answers take so much longer, for a request that takes its time.
    pub(crate) fn allow(&mut self, more: Duration) {
        self.timeout = self.timeout.saturating_add(more);
    }

    /// Asks and waits for the answer.
    pub(crate) fn ask(&mut self, request: Request) -> Result<Answer> {
        let number = self.begin(request)?;
        self.finish(number)
    }

    /// Asks without waiting; [`Session::finish`] takes the answer.
    pub(crate) fn begin(&mut self, request: Request) -> Result<u32> {
        let number = self.next_number;
        self.next_number = self.next_number.wrapping_add(1).max(1);
        let deadline = self.deadline();
        self.send(&FromAgent::Request { number, request }, deadline)?;
        Ok(number)
    }

    /// Waits for the answer to `number`. Answers to requests before it that nobody waits for any more are passed over.
    pub(crate) fn finish(&mut self, number: u32) -> Result<Answer> {
        let deadline = self.deadline();
        loop {
            match self.receive(deadline)? {
                FromNode::Answer { number: answered, answer } if answered == number => return Ok(answer),
                FromNode::Failure { number: answered, code, detail } if answered == number || answered == 0 => {
                    return Err(refusal::error(code, &detail));
                }
                _ => {}
            }
        }
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }

    fn send(&mut self, message: &FromAgent, deadline: Instant) -> Result<()> {
        let bytes =
            frame::encode(message).map_err(|error| Error::new(Failure::Usage, format!("cannot send: {error}")))?;
        self.connection.write_until(&bytes, deadline).map_err(|error| self.lost(&error))
    }

    fn receive(&mut self, deadline: Instant) -> Result<FromNode> {
        loop {
            let mut stream = self.unread.as_slice();
            let found = self.decoder.next_frame(&mut stream);
            let rest = stream.len();
            self.unread.drain(..self.unread.len() - rest);
            match found {
                Some(Ok(message)) => return Ok(message),
                // Left over from a session before; what matters is sent again or runs into the limit.
                Some(Err(_)) => {}
                None => self.read_more(deadline)?,
            }
        }
    }

    fn read_more(&mut self, deadline: Instant) -> Result<()> {
        let mut buffer = [0; 4096];
        match self.connection.read_until(&mut buffer, deadline) {
            Ok(0) => Err(closed()),
            Ok(count) => {
                self.unread.extend_from_slice(&buffer[..count]);
                Ok(())
            }
            Err(error) => Err(self.lost(&error)),
        }
    }

    fn lost(&self, error: &io::Error) -> Error {
        if error.kind() == io::ErrorKind::TimedOut {
            return Error::new(
                Failure::Timeout,
                format!("the node did not answer within {}", humantime::format_duration(self.timeout)),
            );
        }
        // Which of the three it is depends on who looks first: a node that has ended is one case to a person.
        if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) {
            return closed();
        }
        Error::new(Failure::NoNode, format!("the connection to the node was lost: {error}"))
    }
}

fn closed() -> Error {
    Error::new(Failure::NoNode, "the node closed the connection")
}

fn other_version(major: u16, minor: u16) -> Error {
    let message =
        format!("the node speaks version {major}.{minor} of the protocol, this emit {PROTOCOL_MAJOR}.{PROTOCOL_MINOR}");
    Error { hint: "use the emit that came with the node's image", ..Error::new(Failure::Version, message) }
}

fn never_greeted(timeout: Duration) -> Error {
    let message = format!(
        "the node closed every connection for {}: all its sessions are taken, or it is no node",
        humantime::format_duration(timeout)
    );
    Error { hint: "end another `emit`, for instance one that follows a log", ..Error::new(Failure::NoNode, message) }
}
