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
    7  the node refused the container: not WebAssembly, invalid, too large, not allowed, not signed by all; `check` or `verify`
       found that it would; `sign` found that signatures do not fit; or a new version did not prove itself and the old one
       goes on
    8  the node refused the request: no such container, name taken, no free cell, wrong state
    9  emit or the node found a fault of its own
   10  app.toml has a mistake, the sources do not build, or a tool to build them is missing
   11  the chain of the audit log is broken, or what was to be saved does not follow what the file has
  141  whoever read the output closed it (as in `emit logs -f NAME | head`)

`emit run` exits with the container's exit code (255 where that is none of 0 to 255); otherwise
  125  emit or the node could not do its part (codes 3, 4, 5, 8, 9 above)
  126  the node refused the container (code 7 above)
  127  the file cannot be read (code 6 above)
  134  the container trapped or failed
  137  the container was killed
  143  the command was stopped (a reactor that was stopped has ended well: 0)";

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
    /// What a container is made from must be put right first, or the tool for it is missing.
    #[cfg_attr(not(feature = "kit"), allow(dead_code, reason = "only the kit reads sources"))]
    Source = 10,
    /// The audit log is not whole.
    Audit = 11,
    /// Whoever read the output has closed it: 128 + SIGPIPE, as shells say it of programs that it kills.
    OutputClosed = 141,
}

impl Failure {
    /// The exit code of every command but `run`.
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }

    /// The exit code of `run`, which leaves the small numbers to the container (as shells and Docker do).
    pub(crate) const fn code_of_run(self) -> u8 {
        match self {
            Self::Usage | Self::OutputClosed => self.code(),
            Self::File => 127,
            Self::ContainerRefused => 126,
            _ => 125,
        }
    }

    /// The kind as a script reads it, where the node gave no finer one; stable.
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::NoNode => "no-node",
            Self::Version => "version",
            Self::Timeout => "timeout",
            Self::File => "file",
            Self::ContainerRefused => "container-refused",
            Self::RequestRefused => "request-refused",
            Self::Internal => "internal",
            Self::Source => "source",
            Self::Audit => "audit",
            Self::OutputClosed => "output-closed",
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
            | ErrorCode::LoadFailed
            | ErrorCode::InvalidManifest
            | ErrorCode::ChannelMismatch
            | ErrorCode::RolledBack
            | ErrorCode::NotSigned
            | ErrorCode::NotSchedulable => Self::ContainerRefused,
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
const STATE_FINALISED: u32 = 8;
const STATE_FAILED: u32 = 9;
const REASON_KILLED: u32 = 13;

/// What `emit run` exits with for a container that has ended.
pub(crate) fn of_container(report: &ContainerReport) -> u8 {
    if report.state == STATE_FAILED {
        return if report.reason == REASON_KILLED { 137 } else { 134 };
    }
    // A shell sees eight bits only; a code beyond them must not become a success.
    u8::try_from(report.exit_code).unwrap_or(u8::MAX)
}

/// Whether it has finished, by itself or stopped, so that its exit code means something.
pub(crate) fn has_finished(report: &ContainerReport) -> bool {
    report.state == STATE_FINALISED
}

/// Whether it has failed rather than finished.
pub(crate) fn has_failed(report: &ContainerReport) -> bool {
    report.state == STATE_FAILED
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(state: u32, reason: u32, exit_code: i32) -> ContainerReport {
        ContainerReport { state, reason, exit_code, ..ContainerReport::default() }
    }

    #[test]
    fn only_success_is_zero() {
        for (code, expected) in [(0, 0), (1, 1), (42, 42), (255, 255), (256, 255), (-1, 255), (i32::MIN, 255)] {
            assert_eq!(of_container(&ended(STATE_FINALISED, 0, code)), expected, "{code}");
        }
        assert_eq!(of_container(&ended(STATE_FAILED, REASON_KILLED, 0)), 137);
        assert_eq!(of_container(&ended(STATE_FAILED, 11, 0)), 134);
    }

    #[test]
    fn the_table_names_every_code() {
        use Failure::{
            Audit, ContainerRefused, File, Internal, NoNode, OutputClosed, RequestRefused, Source, Timeout, Usage,
            Version,
        };
        for failure in [
            Usage,
            NoNode,
            Version,
            Timeout,
            File,
            ContainerRefused,
            RequestRefused,
            Internal,
            Source,
            Audit,
            OutputClosed,
        ] {
            for code in [failure.code(), failure.code_of_run()] {
                let listed = HELP.lines().any(|line| line.trim_start().starts_with(&format!("{code}  ")));
                assert!(listed, "{failure:?}: {code}");
            }
        }
    }
}
