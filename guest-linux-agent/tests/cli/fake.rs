//! False nodes: `emit` must end in time, with the right code and a word that helps, whatever answers it.

use std::{
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    thread,
    time::Instant,
};

use serde_json::json;
use shared_ring_messages::{
    Answer, ContainerReport, ErrorCode, FrameDecoder, FromAgent, FromNode, GrantReport, LogRecord, NodeReport,
    PROTOCOL_MAJOR, PROTOCOL_MINOR, Request, ScheduleReport, ScheduleRow, ScheduleTable, frame,
};
use tempfile::TempDir;

use crate::{
    LIMIT,
    emit::{Output, emit},
    sample,
};

/// Somebody who listens where a node should. Its threads end when `emit` closes its connections.
pub(crate) struct Fake {
    directory: TempDir,
}

impl Fake {
    /// Each connection is served by `serve` on a thread of its own.
    pub(crate) fn start(serve: impl Fn(Connection) + Clone + Send + 'static) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let fake = Self { directory };
        let listener = UnixListener::bind(fake.socket()).expect("bound");
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serve = serve.clone();
                thread::spawn(move || serve(Connection::new(stream)));
            }
        });
        fake
    }

    /// One that greets properly and then answers each request as `answer` does, until that answers `None`.
    pub(crate) fn answering(answer: impl Fn(&Request) -> Option<Reply> + Clone + Send + 'static) -> Self {
        Self::start(move |mut connection| {
            while let Some(message) = connection.receive() {
                let reply = match message {
                    FromAgent::Hello { .. } => FromNode::Welcome { major: PROTOCOL_MAJOR, minor: PROTOCOL_MINOR },
                    FromAgent::Request { number, request } => match answer(&request) {
                        Some(Ok(answer)) => FromNode::Answer { number, answer },
                        Some(Err((code, detail))) => FromNode::Failure { number, code, detail: detail.to_owned() },
                        None => return,
                    },
                };
                connection.send(&reply);
            }
        })
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("emit.sock")
    }

    fn emit(&self, arguments: &[&str]) -> Output {
        emit(&self.socket(), arguments)
    }
}

type Reply = Result<Answer, (ErrorCode, &'static str)>;

pub(crate) struct Connection {
    pub(crate) stream: UnixStream,
    decoder: FrameDecoder,
    unread: Vec<u8>,
}

impl Connection {
    pub(crate) fn new(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        stream.set_write_timeout(Some(LIMIT)).expect("a limit");
        Self { stream, decoder: FrameDecoder::new(), unread: Vec::new() }
    }

    pub(crate) fn receive(&mut self) -> Option<FromAgent> {
        loop {
            let mut rest = self.unread.as_slice();
            let found = self.decoder.next_frame(&mut rest);
            let used = self.unread.len() - rest.len();
            self.unread.drain(..used);
            if let Some(message) = found {
                return message.ok();
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(count @ 1..) => self.unread.extend_from_slice(&buffer[..count]),
                _ => return None,
            }
        }
    }

    pub(crate) fn send(&mut self, message: &FromNode) {
        // `emit` may have gone.
        let _ = self.stream.write_all(&frame::encode(message).expect("it fits"));
    }

    /// Says nothing until the other side has gone.
    fn fall_silent(mut self) {
        let _ = std::io::copy(&mut self.stream, &mut std::io::sink());
    }
}

/// Runs a command that must end within seconds, however long its node lets it wait.
fn bounded(fake: &Fake, arguments: &[&str]) -> Output {
    let began = Instant::now();
    let output = fake.emit(&[&["--timeout", "1s"], arguments].concat());
    assert!(began.elapsed() < LIMIT / 2, "{:?}", began.elapsed());
    output
}

#[test]
fn a_silent_node_is_given_up() {
    let fake = Fake::start(Connection::fall_silent);
    bounded(&fake, &["ps"]).fails(5, &["did not answer within 1s"]);
    bounded(&fake, &["run", &sample("hello")]).fails(125, &["did not answer within 1s"]);
    let error = bounded(&fake, &["ps", "--format", "json"]);
    assert_eq!((error.code, &error.json()["kind"]), (Some(5), &json!("timeout")));
}

#[test]
fn a_node_that_takes_no_connection_is_given_up() {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("emit.sock");
    let listener = socket(AddressFamily::UNIX, SocketType::STREAM, None).expect("a socket");
    bind(&listener, &SocketAddrUnix::new(&path).expect("short enough")).expect("bound");
    listen(&listener, 0).expect("listens");
    let _waiting = UnixStream::connect(&path).expect("the one that may wait");
    emit(&path, &["ps", "--timeout", "500ms"]).fails(3, &["all sessions of the node are taken"]);
}

#[test]
fn a_node_that_closes_at_once_is_given_up() {
    let fake = Fake::start(drop);
    bounded(&fake, &["ps"]).fails(3, &["closed every connection", "all its sessions are taken", "hint: "]);
}

#[test]
fn garbage_is_no_answer() {
    let fake = Fake::start(
        |mut connection| {
            while connection.stream.write_all(b"\0HTTP/1.1 400 Bad Request\r\n\xff\0").is_ok() {}
        },
    );
    bounded(&fake, &["info"]).fails(5, &["did not answer"]);
    let endless_frame = Fake::start(|mut connection| while connection.stream.write_all(&[7; 4096]).is_ok() {});
    bounded(&endless_frame, &["info"]).fails(5, &["did not answer"]);
}

#[test]
fn another_version_is_named_on_both_sides() {
    for reply in [FromNode::VersionMismatch { major: 7, minor: 3 }, FromNode::Welcome { major: 7, minor: 3 }] {
        let fake = Fake::start(move |mut connection| {
            connection.receive();
            connection.send(&reply);
            connection.fall_silent();
        });
        let words = ["version 7.3", &format!("this emit {PROTOCOL_MAJOR}."), "hint: use the emit that came with"];
        bounded(&fake, &["ps"]).fails(4, &words);
        bounded(&fake, &["run", &sample("hello")]).fails(125, &words);
    }
}

#[test]
fn what_is_left_of_another_session_is_passed_over() {
    let fake = Fake::start(|mut connection| {
        connection.stream.write_all(b"half a frame of somebody else's\0").expect("taken");
        connection.send(&FromNode::Answer { number: 1, answer: Answer::Done });
        connection.receive();
        connection.send(&FromNode::Failure { number: 0, code: ErrorCode::Protocol, detail: String::new() });
        connection.send(&FromNode::Welcome { major: PROTOCOL_MAJOR, minor: 99 });
        if let Some(FromAgent::Request { number, .. }) = connection.receive() {
            connection.send(&FromNode::Answer { number: number + 5, answer: Answer::Done });
            connection.send(&FromNode::Answer { number, answer: Answer::Containers(Vec::new()) });
        }
    });
    assert!(bounded(&fake, &["ps"]).succeeds().starts_with("NAME"));
}

#[test]
fn answers_to_other_questions_are_no_answer() {
    let fake = Fake::answering(|request| {
        Some(Ok(match request {
            Request::Info => Answer::Done,
            _ => Answer::Info(Box::default()),
        }))
    });
    let hello = sample("hello");
    let questions: [&[&str]; 10] = [
        &["deploy", &hello],
        &["ps"],
        &["logs", "a"],
        &["start", "a"],
        &["stop", "a"],
        &["restart", "a"],
        &["kill", "a"],
        &["rm", "a"],
        &["inspect", "a"],
        &["info"],
    ];
    for question in questions {
        bounded(&fake, question).fails(9, &["does not belong to the question"]);
    }
    bounded(&fake, &["run", &hello]).fails(125, &["does not belong to the question: Info"]);
}

#[test]
fn a_node_that_dies_in_the_middle_of_an_answer_is_lost() {
    let fake = Fake::start(|mut connection| {
        connection.receive();
        connection.send(&FromNode::Welcome { major: PROTOCOL_MAJOR, minor: 0 });
        connection.receive();
        let answer = FromNode::Answer { number: 1, answer: Answer::Containers(vec![ContainerReport::default()]) };
        let bytes = frame::encode(&answer).expect("it fits");
        connection.stream.write_all(&bytes[..bytes.len() / 2]).expect("taken");
    });
    bounded(&fake, &["ps"]).fails(3, &["the node closed the connection"]);
}

#[test]
fn an_upload_that_the_node_lets_hang_is_given_up() {
    let hangs_after = |chunks: u32| {
        Fake::start(move |mut connection| {
            let mut left = chunks;
            while let Some(message) = connection.receive() {
                match message {
                    FromAgent::Hello { .. } => connection.send(&FromNode::Welcome { major: PROTOCOL_MAJOR, minor: 0 }),
                    FromAgent::Request { number, request: Request::Chunk { sequence, .. } } if left > 0 => {
                        left -= 1;
                        connection
                            .send(&FromNode::Answer { number, answer: Answer::Acknowledged { sequence, received: 0 } });
                    }
                    FromAgent::Request { number, request: Request::Deploy(_) } => {
                        connection.send(&FromNode::Answer { number, answer: Answer::Ready { credit: 0 } });
                    }
                    FromAgent::Request { .. } => {}
                }
            }
        })
    };
    for chunks in [0, 3] {
        bounded(&hangs_after(chunks), &["deploy", &sample("hello")]).fails(5, &["did not answer"]);
    }
}

/// Every kind of refusal with its exit code and the kind that a script reads.
const REFUSALS: [(ErrorCode, i32, &str); 18] = [
    (ErrorCode::Protocol, 9, "protocol"),
    (ErrorCode::InvalidName, 8, "invalid-name"),
    (ErrorCode::NameTaken, 8, "name-taken"),
    (ErrorCode::NoSuchContainer, 8, "no-such-container"),
    (ErrorCode::NoFreeCell, 8, "no-free-cell"),
    (ErrorCode::ModuleSize, 7, "module-size"),
    (ErrorCode::DamagedUpload, 7, "damaged-upload"),
    (ErrorCode::NotWasm, 7, "not-wasm"),
    (ErrorCode::InvalidModule, 7, "invalid-module"),
    (ErrorCode::UnknownImport, 7, "unknown-import"),
    (ErrorCode::UnknownWorld, 7, "unknown-world"),
    (ErrorCode::ResourceLimit, 7, "resource-limit"),
    (ErrorCode::NotAllowed, 7, "not-allowed"),
    (ErrorCode::LoadFailed, 7, "load-failed"),
    (ErrorCode::WrongState, 8, "wrong-state"),
    (ErrorCode::TooManyArguments, 8, "too-many-arguments"),
    (ErrorCode::Busy, 8, "busy"),
    (ErrorCode::Internal, 9, "node-fault"),
];

#[test]
fn every_refusal_has_its_code_and_its_words() {
    for (code, exit_code, kind) in REFUSALS {
        let fake = Fake::answering(move |_| Some(Err((code, "the detail"))));
        bounded(&fake, &["start", "a"]).fails(exit_code, &["the detail"]);
        let error = bounded(&fake, &["--format", "json", "start", "a"]);
        assert_eq!(error.code, Some(exit_code));
        let error = error.json();
        assert_eq!((&error["kind"], &error["exit_code"]), (&json!(kind), &json!(exit_code)));
        let of_run = if exit_code == 7 { 126 } else { 125 };
        let error = bounded(&fake, &["--format", "json", "run", &sample("hello")]);
        assert_eq!((error.code, &error.json()["exit_code"]), (Some(of_run), &json!(of_run)));

        let terse = Fake::answering(move |_| Some(Err((code, ""))));
        let output = bounded(&terse, &["start", "a"]);
        assert!(output.stderr.len() > "emit: \n".len() + 10, "{code:?}: {output:?}");
    }
}

#[test]
fn a_nodes_text_cannot_steer_the_terminal() {
    const EVIL: &str = "\u{1b}[2J\u{9b}1m\rname";
    let fake = Fake::answering(|request| {
        let text = || EVIL.to_owned();
        let report = ContainerReport {
            name: text(),
            state_text: text(),
            world: text(),
            grants: vec![GrantReport { right: text(), ..GrantReport::default() }],
            fault_text: text(),
            ..ContainerReport::default()
        };
        Some(match request {
            Request::Info => Ok(Answer::Info(Box::new(NodeReport {
                board: text(),
                substrate: text(),
                counters: vec![(text(), 1)],
                ..NodeReport::default()
            }))),
            Request::List => Ok(Answer::Containers(vec![report])),
            Request::Logs { cursor, .. } => Ok(Answer::Logs {
                records: (*cursor == 0)
                    .then(|| LogRecord { time_ns: 0, stream: 1, continues: false, bytes: EVIL.into() })
                    .into_iter()
                    .collect(),
                next: 1,
                lost: 0,
                ended: true,
            }),
            Request::Remove(_) => Err((ErrorCode::WrongState, EVIL)),
            Request::Schedule => {
                let schedule = ScheduleReport { release: text(), ..ScheduleReport::default() };
                let row = ScheduleRow { name: text(), schedule, ..ScheduleRow::default() };
                Ok(Answer::Schedule(Box::new(ScheduleTable { rows: vec![row], ..ScheduleTable::default() })))
            }
            _ => Ok(Answer::Container(Box::new(report))),
        })
    });
    let questions =
        [&["ps"][..], &["info"], &["inspect", "a"], &["schedule"], &["stop", "a"], &["logs", "a"], &["rm", "a"]];
    for question in questions {
        let output = bounded(&fake, question);
        let text = output.text() + &output.stderr;
        assert!(text.contains("name"), "{question:?}: {output:?}");
        assert!(!text.contains(['\u{1b}', '\u{9b}', '\r']), "{question:?}: {output:?}");
    }
}
