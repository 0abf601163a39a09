//! A session with the node: the greeting, then requests and their answers, each with a limit in time.

use std::{
    fmt, io,
    path::Path,
    time::{Duration, Instant},
};

use shared_ring_messages::{
    Answer, ErrorCode, FrameDecoder, FromAgent, FromNode, HELLO_MAGIC, PROTOCOL_MAJOR, PROTOCOL_MINOR, Request, frame,
};

use crate::{
    exit::Failure,
    node::{self, Connection},
};

/// An error with the exit code that belongs to it.
#[derive(Debug)]
pub(crate) struct Error {
    /// What kind.
    pub(crate) failure: Failure,
    /// What a person reads.
    pub(crate) message: String,
}

impl Error {
    pub(crate) fn new(failure: Failure, message: impl Into<String>) -> Self {
        Self { failure, message: message.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
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
            };
            match session.greet() {
                // A socket closed before the greeting: all sessions are taken. A port would have been busy.
                Err(error) if error.failure == Failure::NoNode && Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(error) => return Err(error),
                Ok(()) => {
                    session.timeout = timeout;
                    return Ok(session);
                }
            }
        }
    }

    fn greet(&mut self) -> Result<()> {
        let deadline = self.deadline();
        let hello = FromAgent::Hello { magic: HELLO_MAGIC, major: PROTOCOL_MAJOR, minor: PROTOCOL_MINOR };
        self.send(&hello, deadline)?;
        loop {
            match self.receive(deadline)? {
                FromNode::Welcome { .. } => return Ok(()),
                FromNode::VersionMismatch { major, minor } => {
                    return Err(Error::new(
                        Failure::Version,
                        format!(
                            "the node speaks protocol {major}.{minor}, this emit {PROTOCOL_MAJOR}.{PROTOCOL_MINOR}: \
                             use the emit that came with the node's image"
                        ),
                    ));
                }
                // Left over from a session that ended in the middle.
                FromNode::Answer { .. } | FromNode::Failure { .. } => {}
            }
        }
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
                    return Err(refused(code, &detail));
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
            Ok(0) => Err(Error::new(Failure::NoNode, "the node closed the connection: all its sessions may be taken")),
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
        Error::new(Failure::NoNode, format!("the connection to the node was lost: {error}"))
    }
}

/// A node's refusal in a person's words: what, where, and what to do.
fn refused(code: ErrorCode, detail: &str) -> Error {
    let (what, hint) = match code {
        ErrorCode::Protocol => ("the node did not understand the request", "use the emit that came with the image"),
        ErrorCode::InvalidName => ("that is no name for a container", "use a-z, 0-9, `.`, `_`, `-`, at most 40"),
        ErrorCode::NameTaken => ("there is a container of that name", "choose another with --name, or `emit rm` it"),
        ErrorCode::NoSuchContainer => ("there is no container of that name", "`emit ps` lists them"),
        ErrorCode::NoFreeCell => ("every cell is taken", "stop and remove a container: `emit ps`, `emit rm NAME`"),
        ErrorCode::ModuleSize => ("the module's size is not allowed", "`emit info` shows the limits"),
        ErrorCode::DamagedUpload => ("the upload did not arrive whole", "try again"),
        ErrorCode::NotWasm => ("the file is not a WebAssembly module", "build one: docs/containers.md"),
        ErrorCode::InvalidModule => ("the module is invalid", "it may be truncated; build it again"),
        ErrorCode::UnknownImport => ("the module imports what no world offers", "docs/containers.md lists them"),
        ErrorCode::UnknownWorld => {
            ("the module belongs to no known world", "export `_start`, or `on-start`, `on-loop` and `on-stop`")
        }
        ErrorCode::ResourceLimit => ("the module asks for more than it may have", "`emit info` shows the limits"),
        ErrorCode::NotAllowed => ("the board policy does not allow that", "`emit info` shows what may be granted"),
        ErrorCode::LoadFailed => ("the container could not be started", ""),
        ErrorCode::WrongState => ("the container is in no state for that", "`emit ps` shows its state"),
        ErrorCode::TooManyArguments => ("too many or too long arguments or environment variables", ""),
        ErrorCode::Busy => ("the node is busy", "try again"),
        ErrorCode::Internal => ("the node found a fault of its own", "please report it with `emit info`"),
    };
    let mut message = what.to_owned();
    if !detail.is_empty() {
        message.push_str(": ");
        message.push_str(&crate::show::printable(detail));
    }
    if !hint.is_empty() {
        message.push_str("\nhint: ");
        message.push_str(hint);
    }
    Error::new(Failure::of(code), message)
}
