//! A node's refusal in a person's words: what is wrong, where, and what to do next.

use shared_ring_messages::ErrorCode;

use crate::{exit::Failure, session::Error, terminal::printable};

/// What is said about one kind of refusal.
struct Words {
    /// The kind as a script reads it; stable.
    kind: &'static str,
    /// What is wrong, as far as the kind alone tells.
    what: &'static str,
    /// What to do; empty where that is plain.
    hint: &'static str,
}

/// The error for a refusal.
pub(crate) fn error(code: ErrorCode, detail: &str) -> Error {
    let Words { kind, what, hint } = words(code);
    let detail = printable(detail);
    let message = match detail.as_str() {
        "" => what.to_owned(),
        detail if tells_all(code) => detail.to_owned(),
        detail => format!("{what}: {detail}"),
    };
    // The one failure to start that a word on the command line mends.
    let hint = if code == ErrorCode::LoadFailed && detail.contains("not granted") {
        "ask for what it needs, as `--grant gpio:LED:out` or `--grant i2c:0x48`; `emit info` lists what there is"
    } else {
        hint
    };
    Error { failure: Failure::of(code), kind, message, hint }
}

/// The kind of a refusal, as a script reads it.
pub(crate) const fn kind(code: ErrorCode) -> &'static str {
    words(code).kind
}

/// Kinds whose detail says all that the kind says, and names whom it is about.
const fn tells_all(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::InvalidName
            | ErrorCode::NameTaken
            | ErrorCode::NoSuchContainer
            | ErrorCode::NoFreeCell
            | ErrorCode::WrongState
            | ErrorCode::RolledBack
            | ErrorCode::NotSigned
    )
}

const fn words(code: ErrorCode) -> Words {
    let (kind, what, hint) = match code {
        ErrorCode::Protocol => {
            ("protocol", "the node did not understand the request", "use the emit that came with the node's image")
        }
        ErrorCode::InvalidName => ("invalid-name", "that is no name for a container", "choose another with --name"),
        ErrorCode::NameTaken => {
            ("name-taken", "there is a container of that name", "choose another with --name, or `emit rm` the old one")
        }
        ErrorCode::NoSuchContainer => {
            ("no-such-container", "there is no container of that name", "`emit ps` lists them")
        }
        ErrorCode::NoFreeCell => {
            ("no-free-cell", "every cell is taken", "`emit ps` lists the containers, `emit rm NAME` removes one")
        }
        ErrorCode::ModuleSize => {
            ("module-size", "the module's size is not allowed", "`emit info` shows the limits; build it smaller")
        }
        ErrorCode::DamagedUpload => ("damaged-upload", "the upload did not arrive whole", "try again"),
        ErrorCode::NotWasm => {
            ("not-wasm", "the file is not a WebAssembly module", "give the .wasm file that the compiler wrote")
        }
        ErrorCode::InvalidModule => {
            ("invalid-module", "the module is invalid", "it may be cut off or damaged: build or copy it again")
        }
        ErrorCode::UnknownImport => (
            "unknown-import",
            "the module imports what no world offers",
            "docs/containers.md says what a container may import",
        ),
        ErrorCode::UnknownWorld => (
            "unknown-world",
            "the module belongs to no known world",
            "export `_start`, the hooks of a reactor (`on-start`, `on-loop`, `on-stop`), or a TinyContainer's",
        ),
        ErrorCode::ResourceLimit => {
            ("resource-limit", "the module asks for more than it may have", "`emit info` shows the limits")
        }
        ErrorCode::NotAllowed => {
            ("not-allowed", "the board policy does not allow that", "`emit info` shows what may be granted")
        }
        ErrorCode::LoadFailed => ("load-failed", "the container could not be started", ""),
        ErrorCode::WrongState => (
            "wrong-state",
            "the container is in no state for that",
            "a running container is ended by `emit stop NAME`, or at once by `emit kill NAME`",
        ),
        ErrorCode::TooManyArguments => {
            ("too-many-arguments", "too many or too long arguments and environment variables", "")
        }
        ErrorCode::Busy => ("busy", "the node is busy", "try again"),
        ErrorCode::InvalidManifest => (
            "invalid-manifest",
            "the container's manifest cannot be kept",
            "mend app.toml and pack it again; `emit check` looks at it without a node",
        ),
        ErrorCode::ChannelMismatch => (
            "channel-mismatch",
            "a channel does not fit",
            "`emit channels` shows what the node's channels carry and who writes them",
        ),
        ErrorCode::RolledBack => {
            ("rolled-back", "the new version did not prove itself; the old one goes on", "`emit events` tells why")
        }
        ErrorCode::NotSigned => (
            "not-signed",
            "the node does not believe the signatures",
            "`emit verify FILE` shows who signed what; `emit info` whose keys the node believes",
        ),
        ErrorCode::NotSchedulable => (
            "not-schedulable",
            "the node cannot promise its schedule",
            "`emit schedule` shows who has been promised what",
        ),
        ErrorCode::Internal => {
            ("node-fault", "the node found a fault of its own", "please report it with what `emit info` shows")
        }
    };
    Words { kind, what, hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_said_twice() {
        let error = error(ErrorCode::NoSuchContainer, "there is no container `a`");
        assert_eq!(error.to_string(), "there is no container `a`\nhint: `emit ps` lists them");
    }

    #[test]
    fn a_right_that_was_not_asked_for_can_be_asked_for() {
        let refused = error(ErrorCode::LoadFailed, "the start hook refused: on-start answered: not granted");
        assert!(refused.hint.contains("--grant"), "{refused}");
        assert!(error(ErrorCode::LoadFailed, "trap: unreachable").hint.is_empty());
    }

    #[test]
    fn a_detail_cannot_steer_the_terminal() {
        assert!(!error(ErrorCode::NotAllowed, "\u{1b}[2J").message.contains('\u{1b}'));
    }
}
