//! The audit log as it is told: entries as bytes, each chained to the one before it by a hash.
//!
//! What is chained are the bytes that the node wrote down, not what somebody made of them: the hash of an entry is
//! SHA-256(hash of the entry before it, 32 bytes ‖ [`AuditRecord::entry`]), and before the first entry it is
//! [`FIRST_AUDIT_HASH`]. So whoever cannot read an entry of a newer node can still verify it, and what was copied out stays
//! verifiable whatever is added later.
//!
//! The bytes are the `postcard` form of an [`AuditEntry`], which is one and the same for equal entries. Newer versions add
//! fields at its end only; [`AuditEntry::decode`] passes over what it does not know.

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::ErrorCode;

/// A SHA-256.
pub type AuditHash = [u8; 32];

/// What the first entry of a start of the node is chained to.
pub const FIRST_AUDIT_HASH: AuditHash = [0; 32];

macro_rules! audit_kinds {
    ($($(#[$attribute:meta])* $name:ident = $number:literal => $text:literal),+ $(,)?) => {
        /// What was recorded. Numbers and texts are stable and never used again for something else.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u32)]
        pub enum AuditKind { $($(#[$attribute])* $name = $number),+ }

        impl AuditKind {
            /// Every kind, by number.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Its number in an entry.
            pub const fn number(self) -> u32 { self as u32 }

            /// The kind of that number; `None` where it is one of a newer node.
            pub const fn of(number: u32) -> Option<Self> {
                match number { $($number => Some(Self::$name),)+ _ => None }
            }

            /// What a person and a script read.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }
    };
}

audit_kinds! {
    /// The node started. The hash is that of the board policy.
    Boot = 1 => "boot",
    /// Somebody greeted.
    SessionOpened = 2 => "session-opened",
    /// A session that had greeted is over; the text says how.
    SessionClosed = 3 => "session-closed",
    /// An upload was accepted: the module was looked over, its rights were placed, its cell was told to load it.
    Deployed = 4 => "deployed",
    /// The same of a new version of a container that goes on until this one has proved itself.
    UpdateAccepted = 5 => "update-accepted",
    /// The new version has taken the old one's place.
    UpdateDone = 6 => "update-done",
    /// It did not prove itself; the old version goes on.
    UpdateRolledBack = 7 => "update-rolled-back",
    /// An upload was refused, or could not be loaded; nothing of it is left.
    UploadRefused = 8 => "upload-refused",
    /// A session had it started.
    Started = 9 => "started",
    /// A session asked it to stop.
    Stopped = 10 => "stopped",
    /// A session ended it at once.
    Killed = 11 => "killed",
    /// A session had it stopped and started again.
    Restarted = 12 => "restarted",
    /// It was removed, by a session or with the session that it belonged to.
    Removed = 13 => "removed",
    /// One of these requests was refused, or one that came before the greeting.
    RequestRefused = 14 => "request-refused",
    /// A greeting of another protocol.
    WrongProtocol = 15 => "wrong-protocol",
    /// A greeting of another major version.
    WrongVersion = 16 => "wrong-version",
    /// More unreadable frames in a row than are answered.
    BadFrames = 17 => "bad-frames",
    /// The warden ended a container: a limit, the watchdog, a fault.
    Intervention = 18 => "intervention",
    /// Its restart policy started it again.
    StartedAgain = 19 => "started-again",
    /// Its restart policy gave it up.
    GivenUp = 20 => "given-up",
    /// The owner of a resource refused a call of the container, the first such of this load.
    CallRefused = 21 => "call-refused",
    /// The owner of the device changed whose signatures count. Refused, it is a refused request.
    KeysChanged = 22 => "keys-changed",
    /// By such a change a key does not count any more that signed the container: it is ended, and never loaded again.
    Revoked = 23 => "revoked",
    /// An upload that was announced did not come to its end: its session ended before.
    UploadBrokenOff = 24 => "upload-broken-off",
}

/// Who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditSession {
    /// Sessions are numbered in the order in which they greeted, from 1 since the node's start; 0 for one that has not.
    pub number: u64,
    /// The port that it is on: the number in `emit.0`.
    pub port: u8,
}

/// What an accepted upload is, and what it may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditUpload {
    /// The name in its manifest; empty where it has none.
    pub manifest: String,
    /// The version in its manifest; empty where it has none.
    pub version: String,
    /// The rights that resulted, as a person would type them.
    pub rights: Vec<String>,
    /// Nobody signed it.
    pub unsigned: bool,
    /// By whose keys it came in.
    pub signers: Vec<AuditSigner>,
}

/// A key that signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditSigner {
    /// The key's role, as the key table has it.
    pub role: u8,
    /// The key's id.
    pub key: [u8; 8],
}

/// One thing that happened, or several alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// 0, 1, 2, … since the node's start.
    pub number: u64,
    /// Nanoseconds since the node's start. Of several alike, the last's.
    pub time_ns: u64,
    /// How many were alike; everything else in the entry is of the last. 1 where it stands for itself.
    pub count: u64,
    /// An [`AuditKind`].
    pub kind: u32,
    /// The container; empty where it is about none, or about a cell that holds none.
    pub container: String,
    /// The cell that it was in, where it was in one.
    pub cell: Option<u8>,
    /// Which load it was of; 0 before the first.
    pub load: u32,
    /// Who asked; `None` where nobody did.
    pub session: Option<AuditSession>,
    /// Why it was refused.
    pub code: Option<ErrorCode>,
    /// Why, or what, in words. May be empty.
    pub text: String,
    /// SHA-256 of the module, as announced by whoever was refused; of a boot, of the board policy.
    pub sha256: Option<[u8; 32]>,
    /// Of an accepted upload.
    pub upload: Option<AuditUpload>,
}

impl AuditEntry {
    /// The bytes that are chained.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("numbers, text and lists of known length can be written to memory")
    }

    /// The entry of these bytes; `None` where they are none, or one of a newer node that cannot be read.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        postcard::take_from_bytes(bytes).ok().map(|(entry, _)| entry)
    }

    /// The number of the entry of these bytes, which can be read whoever wrote the rest.
    pub fn number_of(bytes: &[u8]) -> Option<u64> {
        postcard::take_from_bytes(bytes).ok().map(|(number, _)| number)
    }
}

/// An entry with its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// The bytes of an [`AuditEntry`].
    pub entry: Vec<u8>,
    /// What this entry's hash is, and what the next one is chained to.
    pub hash: AuditHash,
}

/// A page of the log; ask again from `next` for more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditPage {
    /// The hash of the entry before the first record, still there or not.
    pub previous: AuditHash,
    /// In the order of their numbers, none left out.
    pub records: Vec<AuditRecord>,
    /// The number behind the last record.
    pub next: u64,
    /// Entries that were dropped from a full log between the asked cursor and the first record.
    pub lost: u64,
    /// The number that the next entry will have.
    pub end: u64,
    /// The hash of the newest entry.
    pub head: AuditHash,
    /// Things that happened and are counted, and that no entry tells of yet (one will): the log does not let itself be
    /// filled with what is alike.
    pub held: u64,
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn entry() -> AuditEntry {
        AuditEntry {
            number: 300,
            time_ns: 5,
            count: 1,
            kind: AuditKind::Deployed.number(),
            container: "blinker".into(),
            cell: Some(2),
            load: 7,
            session: Some(AuditSession { number: 4, port: 1 }),
            code: None,
            text: String::new(),
            sha256: Some([0xab; 32]),
            upload: Some(AuditUpload {
                manifest: "blinker".into(),
                version: "1.0.0".into(),
                rights: vec!["gpio:LED:out".into()],
                unsigned: false,
                signers: vec![AuditSigner { role: 3, key: [1; 8] }],
            }),
        }
    }

    /// What was saved must be readable by every later version: the bytes are as they were.
    #[test]
    fn the_bytes_of_an_entry_stay() {
        let mut expected = vec![0xac, 0x02, 5, 1, 4, 7];
        expected.extend(b"blinker");
        expected.extend([1, 2, 7, 1, 4, 1, 0, 0, 1]);
        expected.extend([0xab; 32]);
        expected.extend([1, 7]);
        expected.extend(b"blinker\x051.0.0");
        expected.extend([1, 12]);
        expected.extend(b"gpio:LED:out");
        expected.extend([0, 1, 3, 1, 1, 1, 1, 1, 1, 1, 1]);
        assert_eq!(entry().encode(), expected);
        assert_eq!(AuditEntry::decode(&expected), Some(entry()));
    }

    #[test]
    fn an_entry_of_a_newer_node_is_read_as_far_as_it_is_known() {
        let mut bytes = entry().encode();
        bytes.extend([1, 2, 3]);
        assert_eq!(AuditEntry::decode(&bytes), Some(entry()));
        assert_eq!(AuditEntry::number_of(&bytes), Some(300));
        for length in 2..bytes.len() - 3 {
            assert_eq!(AuditEntry::decode(&bytes[..length]), None, "{length}");
            assert_eq!(AuditEntry::number_of(&bytes[..length]), Some(300));
        }
    }

    #[test]
    fn kinds_are_found_by_their_numbers() {
        for (number, kind) in (1..).zip(AuditKind::ALL) {
            assert_eq!((kind.number(), AuditKind::of(number)), (number, Some(*kind)));
            assert!(AuditKind::ALL.iter().filter(|other| other.text() == kind.text()).count() == 1);
        }
        assert_eq!((AuditKind::of(0), AuditKind::of(1000)), (None, None));
    }
}
