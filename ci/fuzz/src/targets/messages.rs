//! Any bytes as a stream of frames, and any bytes as what a frame carries, in both directions.
//!
//! However the stream is cut, the same messages come out; and behind any garbage the next frame is found.

use core::fmt::Debug;

use serde::{Serialize, Serializer, de::DeserializeOwned, ser::SerializeTuple};
use shared_ring_messages::{
    Answer, AuditEntry, AuditHash, AuditKind, AuditPage, AuditRecord, AuditSession, AuditUpload, ContainerReport,
    DeployRequest, ErrorCode, FrameDecoder, FrameError, FromAgent, FromNode, HELLO_MAGIC, LogRecord, MAX_FRAME_BYTES,
    NodeReport, PROTOCOL_MAJOR, PROTOCOL_MINOR, Request, frame::encode,
};

/// Bytes as they are, where a message should be.
struct Raw<'a>(&'a [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        self.0.iter().try_for_each(|byte| tuple.serialize_element(byte))?;
        tuple.end()
    }
}

/// The first byte says in which direction, whether the rest is a stream or the content of a frame, and how the stream is cut.
pub(super) fn drive(input: &[u8]) {
    let Some((&choice, bytes)) = input.split_first() else { return };
    let piece = usize::from(choice >> 2);
    let framed = if choice & 2 == 0 { Ok(bytes.to_vec()) } else { encode(&Raw(bytes)) };
    let Ok(stream) = framed else { return };
    if let Some(entry) = AuditEntry::decode(bytes) {
        assert_eq!(AuditEntry::number_of(bytes), Some(entry.number));
        assert_eq!(AuditEntry::decode(&entry.encode()), Some(entry));
    }
    if choice & 1 == 0 {
        read::<FromAgent>(&stream, piece);
    } else {
        read::<FromNode>(&stream, piece);
    }
}

fn read<T: Serialize + DeserializeOwned + PartialEq + Debug>(stream: &[u8], piece: usize) {
    let mut decoder = FrameDecoder::new();
    let whole: Vec<Result<T, FrameError>> = all(&mut decoder, stream);
    let mut cut = FrameDecoder::new();
    let pieces = stream.chunks(piece.max(1));
    let cut: Vec<Result<T, FrameError>> = pieces.flat_map(|piece| all(&mut cut, piece)).collect();
    assert_eq!(whole, cut, "in pieces of {piece}");
    for message in whole.iter().flatten() {
        read_again(message);
    }
    // What is left of a frame ends with the zero in front of the next.
    let end: Vec<Result<T, FrameError>> = all(&mut decoder, &[0]);
    assert!(end.len() <= 1);
    let next: Vec<Result<u32, FrameError>> = all(&mut decoder, &encode(&7_u32).expect("short"));
    assert_eq!(next, [Ok(7)], "the next frame is found");
}

/// A message has a form that is read as that message. Its numbers may have been written longer than need be.
fn read_again<T: Serialize + DeserializeOwned + PartialEq + Debug>(message: &T) {
    let bytes = encode(message).expect("no longer than it was");
    assert!(bytes.len() <= MAX_FRAME_BYTES + MAX_FRAME_BYTES / 254 + 4);
    let again: Vec<Result<T, FrameError>> = all(&mut FrameDecoder::new(), &bytes);
    assert!(again.len() == 1 && again[0].as_ref() == Ok(message), "{message:?} came back as {again:?}");
}

fn all<T: DeserializeOwned>(decoder: &mut FrameDecoder, mut bytes: &[u8]) -> Vec<Result<T, FrameError>> {
    core::iter::from_fn(|| decoder.next_frame(&mut bytes)).collect()
}

/// Of most kinds one, as a stream and as the content of a frame.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let deploy = DeployRequest {
        name: "a".into(),
        size: 300,
        sha256: [7; 32],
        grants: vec!["node".into()],
        arguments: vec!["b".into()],
        environment: vec![("C".into(), "d".into())],
        start: true,
        attached: false,
    };
    let requests = [
        Request::Info,
        Request::Deploy(deploy.clone()),
        Request::Chunk { sequence: 3, bytes: vec![0, 1, 2] },
        Request::Commit,
        Request::Start("a".into()),
        Request::Logs { name: "a".into(), cursor: 9 },
        Request::Update { deploy, probation_ns: 1 << 40 },
        Request::Audit { cursor: 1 },
        Request::ChangeKeys { token: vec![0xd2, 0x84] },
    ];
    let log = LogRecord { time_ns: 1, stream: 1, continues: false, bytes: b"x".to_vec() };
    let record = AuditRecord { entry: entry().encode(), hash: AuditHash::default() };
    let answers = [
        Answer::Done,
        Answer::Ready { credit: 8 },
        Answer::Container(Box::new(ContainerReport { name: "a".into(), ..ContainerReport::default() })),
        Answer::Info(Box::new(NodeReport { board: "b".into(), ..NodeReport::default() })),
        Answer::Logs { records: vec![log], next: 2, lost: 0, ended: true },
        Answer::Audit(Box::new(AuditPage { records: vec![record], ..AuditPage::default() })),
    ];
    let hello = FromAgent::Hello { magic: HELLO_MAGIC, major: PROTOCOL_MAJOR, minor: PROTOCOL_MINOR };
    let mut seeds = of(0, &hello).to_vec();
    for request in requests {
        seeds.extend(of(0, &FromAgent::Request { number: 5, request }));
    }
    for answer in answers {
        seeds.extend(of(1, &FromNode::Answer { number: 5, answer }));
    }
    let detail = "why".into();
    seeds.push([&[2], entry().encode().as_slice()].concat());
    seeds.extend(of(1, &FromNode::Failure { number: 5, code: ErrorCode::Busy, detail }));
    seeds
}

fn entry() -> AuditEntry {
    AuditEntry {
        number: 300,
        time_ns: 5,
        count: 1,
        kind: AuditKind::Deployed.number(),
        container: "a".into(),
        cell: Some(2),
        load: 7,
        session: Some(AuditSession { number: 4, port: 1 }),
        code: Some(ErrorCode::Busy),
        text: "why".into(),
        sha256: Some([7; 32]),
        upload: Some(AuditUpload { rights: vec!["node".into()], ..AuditUpload::default() }),
    }
}

/// A stream of one frame in pieces of three bytes, and the content of that frame.
fn of<T: Serialize>(direction: u8, message: &T) -> [Vec<u8>; 2] {
    let with = |choice: u8, bytes: &[u8]| [&[choice | direction], bytes].concat();
    let content = postcard::to_allocvec(message).expect("in memory");
    [with(3 << 2, &encode(message).expect("short")), with(3 << 2 | 2, &content)]
}
