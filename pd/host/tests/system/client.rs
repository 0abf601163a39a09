//! A session, as small as it can be: what `emit` does without what a person needs.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use pd_host::node::Node;
use runner_interfaces::cell::ContainerState;
use serde::Serialize;
use sha2::{Digest, Sha256};
use shared_ring_messages::{
    Answer, CHUNK_BYTES, ContainerReport, DeployRequest, ErrorCode, FrameDecoder, FromAgent, FromNode, HELLO_MAGIC,
    NodeReport, PROTOCOL_MAJOR, PROTOCOL_MINOR, Request, frame,
};

use crate::LIMIT;

/// What a request came to.
pub(crate) type Answered = Result<Answer, (ErrorCode, String)>;

pub(crate) struct Client {
    pub(crate) stream: UnixStream,
    decoder: FrameDecoder,
    unread: Vec<u8>,
    number: u32,
}

impl Client {
    /// A connection that has said nothing yet.
    pub(crate) fn silent(node: &Node) -> Self {
        let stream = UnixStream::connect(node.socket()).expect("the node listens");
        stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        stream.set_write_timeout(Some(LIMIT)).expect("a limit");
        Self { stream, decoder: FrameDecoder::new(), unread: Vec::new(), number: 0 }
    }

    /// A session; tries again while all are taken.
    pub(crate) fn greeted(node: &Node) -> Self {
        let deadline = Instant::now() + LIMIT;
        loop {
            let mut client = Self::silent(node);
            if let Ok(FromNode::Welcome { .. }) = client.greet(PROTOCOL_MAJOR) {
                return client;
            }
            assert!(Instant::now() < deadline, "no session within {LIMIT:?}");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    /// Greets as an agent of that version; passes over what is left of another session.
    pub(crate) fn greet(&mut self, major: u16) -> io::Result<FromNode> {
        self.send(&FromAgent::Hello { magic: HELLO_MAGIC, major, minor: PROTOCOL_MINOR })?;
        loop {
            match self.receive()? {
                FromNode::Answer { .. } | FromNode::Failure { .. } => {}
                greeting => return Ok(greeting),
            }
        }
    }

    pub(crate) fn send(&mut self, message: &impl Serialize) -> io::Result<()> {
        self.stream.write_all(&frame::encode(message).expect("it fits a frame"))
    }

    /// The next message; an error where the node closes or says nothing.
    pub(crate) fn receive(&mut self) -> io::Result<FromNode> {
        loop {
            let mut rest = self.unread.as_slice();
            let found = self.decoder.next_frame::<FromNode>(&mut rest);
            let used = self.unread.len() - rest.len();
            self.unread.drain(..used);
            if let Some(message) = found {
                return message.map_err(io::Error::other);
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.unread.extend_from_slice(&buffer[..count]),
            }
        }
    }

    /// Sends a request without waiting for its answer.
    pub(crate) fn begin(&mut self, request: Request) -> u32 {
        self.number += 1;
        self.send(&FromAgent::Request { number: self.number, request }).expect("sent");
        self.number
    }

    /// The answer to a request that was sent.
    pub(crate) fn finish(&mut self, wanted: u32) -> Answered {
        loop {
            match self.receive().expect("an answer") {
                FromNode::Answer { number, answer } if number == wanted => return Ok(answer),
                FromNode::Failure { number, code, detail } if number == wanted => return Err((code, detail)),
                FromNode::Answer { .. } => {}
                other => panic!("request {wanted} was answered with {other:?}"),
            }
        }
    }

    pub(crate) fn ask(&mut self, request: Request) -> Answered {
        let number = self.begin(request);
        self.finish(number)
    }

    pub(crate) fn info(&mut self) -> NodeReport {
        match self.ask(Request::Info) {
            Ok(Answer::Info(report)) => *report,
            other => panic!("{other:?}"),
        }
    }

    /// A counter of the node's; 0 where it is not there.
    pub(crate) fn counter(&mut self, name: &str) -> u64 {
        self.info().counters.iter().find(|(known, _)| known == name).map_or(0, |(_, value)| *value)
    }

    pub(crate) fn list(&mut self) -> Vec<ContainerReport> {
        match self.ask(Request::List) {
            Ok(Answer::Containers(containers)) => containers,
            other => panic!("{other:?}"),
        }
    }

    /// A request that answers with a container.
    pub(crate) fn container(&mut self, request: Request) -> Result<ContainerReport, (ErrorCode, String)> {
        match self.ask(request)? {
            Answer::Container(report) => Ok(*report),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn inspect(&mut self, name: &str) -> ContainerReport {
        self.container(Request::Inspect(name.into())).unwrap_or_else(|error| panic!("{name}: {error:?}"))
    }

    /// Waits until the container's state is one of `states`.
    pub(crate) fn wait_for(&mut self, name: &str, states: &[ContainerState]) -> ContainerReport {
        let deadline = Instant::now() + LIMIT;
        loop {
            let report = self.inspect(name);
            if states.iter().any(|state| state.to_wire() == report.state) {
                return report;
            }
            assert!(
                Instant::now() < deadline,
                "`{name}` is {} {}, not {states:?}",
                report.state_text,
                report.reason_text
            );
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Waits until it has ended.
    pub(crate) fn wait_for_end(&mut self, name: &str) -> ContainerReport {
        self.wait_for(name, &[ContainerState::Finalised, ContainerState::Failed])
    }

    /// Uploads and waits for the outcome.
    pub(crate) fn deploy(&mut self, deploy: &Deploy<'_>) -> Result<ContainerReport, (ErrorCode, String)> {
        self.ask(Request::Deploy(deploy.request()))?;
        for (sequence, bytes) in (0_u32..).zip(deploy.module.chunks(CHUNK_BYTES)) {
            self.ask(Request::Chunk { sequence, bytes: bytes.to_vec() })?;
        }
        self.container(Request::Commit)
    }

    /// All of its output so far, streams together.
    pub(crate) fn output(&mut self, name: &str) -> String {
        let mut text = Vec::new();
        let mut cursor = 0;
        loop {
            match self.ask(Request::Logs { name: name.into(), cursor }) {
                Ok(Answer::Logs { records, next, .. }) => {
                    if records.is_empty() {
                        return String::from_utf8_lossy(&text).into_owned();
                    }
                    for record in records {
                        text.extend(record.bytes);
                    }
                    cursor = next;
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

/// A container to be.
pub(crate) struct Deploy<'a> {
    pub(crate) name: &'a str,
    pub(crate) module: Vec<u8>,
    pub(crate) grants: Vec<String>,
    pub(crate) arguments: &'a [&'a str],
    pub(crate) start: bool,
    pub(crate) attached: bool,
}

impl<'a> Deploy<'a> {
    /// With no rights, to be started.
    pub(crate) fn new(name: &'a str, module: Vec<u8>) -> Self {
        Self { name, module, grants: Vec::new(), arguments: &[], start: true, attached: false }
    }

    pub(crate) fn granting(self, grants: &[&str]) -> Self {
        Self { grants: grants.iter().map(|right| (*right).to_owned()).collect(), ..self }
    }

    pub(crate) fn request(&self) -> DeployRequest {
        DeployRequest {
            name: self.name.into(),
            size: u32::try_from(self.module.len()).expect("a small module"),
            sha256: Sha256::digest(&self.module).into(),
            grants: self.grants.clone(),
            arguments: self.arguments.iter().map(|&argument| argument.into()).collect(),
            environment: Vec::new(),
            start: self.start,
            attached: self.attached,
        }
    }
}

/// The blinker with its line: toggles `LED` every 100 ms.
pub(crate) fn blinker(name: &str) -> Deploy<'_> {
    Deploy::new(name, crate::sample("blinker")).granting(&["gpio:LED:out"])
}
