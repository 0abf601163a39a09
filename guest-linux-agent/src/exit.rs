//! Every exit code of `emit`, chosen here and nowhere else.

use shared_ring_messages::{ContainerReport, ErrorCode};

/// The table as `emit --help` shows it.
pub(crate) const HELP: &str = "\
Exit codes:
    0  done
    2  the command line is not understood
    3  no node was found, or the connection to it was lost
    4  the node speaks another version of the protocol
    5  the node did not answer in time
    6  the file cannot be read
    7  the node refused the container: not WebAssembly, invalid, too large, not allowed
    8  the node refused the request: no such container, name taken, no free cell, wrong state
    9  emit or the node found a fault of its own

`emit run` exits with the container's exit code; otherwise
  125  emit or the node could not do its part (codes 3, 4, 5, 8, 9 above)
  126  the node refused the container (code 7 above)
  127  the file cannot be read (code 6 above)
  134  the container trapped or failed
  137  the container was killed
  143  the container was stopped";

/// Why `emit` did not do what it was asked, by what a person can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The command line is not understood.
    Usage = 2,
    /// No node, or the connection was lost.
    NoNode = 3,
    /// Another protocol version.
    Version = 4,
    /// No answer in time.
    Timeout = 5,
    /// The file cannot be read.
    File = 6,
    /// The container was refused.
    ContainerRefused = 7,
    /// The request was refused.
    RequestRefused = 8,
    /// A fault of ours or the node's.
    Internal = 9,
}

impl Failure {
    /// The exit code of every command but `run`.
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }

    /// The exit code of `run`, which leaves the small numbers to the container (as shells and Docker do).
    pub(crate) const fn code_of_run(self) -> u8 {
        match self {
            Self::Usage => 2,
            Self::File => 127,
            Self::ContainerRefused => 126,
            _ => 125,
        }
    }

    /// The kind of a node's answer.
    pub(crate) const fn of(code: ErrorCode) -> Self {
        match code {
            ErrorCode::ModuleSize
            | ErrorCode::DamagedUpload
            | ErrorCode::NotWasm
            | ErrorCode::InvalidModule
            | ErrorCode::UnknownImport
            | ErrorCode::UnknownWorld
            | ErrorCode::ResourceLimit
            | ErrorCode::NotAllowed
            | ErrorCode::LoadFailed => Self::ContainerRefused,
            ErrorCode::InvalidName
            | ErrorCode::NameTaken
            | ErrorCode::NoSuchContainer
            | ErrorCode::NoFreeCell
            | ErrorCode::WrongState
            | ErrorCode::TooManyArguments
            | ErrorCode::Busy => Self::RequestRefused,
            ErrorCode::Protocol | ErrorCode::Internal => Self::Internal,
        }
    }
}

/// State and reason numbers of `runner-interfaces`, as far as exit codes need them: the agent does not depend on the
/// runner, only on the wire.
const STATE_FAILED: u32 = 9;
const REASON_KILLED: u32 = 13;

/// What `emit run` exits with for a container that has ended.
pub(crate) fn of_container(report: &ContainerReport) -> u8 {
    if report.state == STATE_FAILED {
        return if report.reason == REASON_KILLED { 137 } else { 134 };
    }
    // As a Unix process: the low eight bits.
    report.exit_code.to_le_bytes()[0]
}

/// Whether it has failed rather than finished.
pub(crate) fn has_failed(report: &ContainerReport) -> bool {
    report.state == STATE_FAILED
}
