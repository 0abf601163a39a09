//! Why a node did not do what it was asked.

use core::fmt;

use crate::calls::Status;

/// Why a call did not do what it was asked: the node's `status` without its `ok`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The board has no line, timer or resource of that name or number.
    NotFound,
    /// The container was not granted the line or timer. The domain that owns the resource said so.
    NotGranted,
    /// The request makes no sense: an empty period, a value that is none of the channel's type.
    Invalid,
    /// Another container holds it.
    Busy,
    /// The domain that owns the resource did not answer as its interface promises.
    Unavailable,
    /// The container was granted the line, but not for this.
    ModeNotGranted,
    /// The device cannot do this.
    NotSupported,
    /// There is no value that was not taken yet.
    Empty,
    /// The queue has no room; a later value may find some.
    Full,
    /// The channel has no other end now.
    Unbound,
}

impl Error {
    /// As `runner/wit/atoll.wit` writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::NotGranted => "not-granted",
            Self::Invalid => "invalid",
            Self::Busy => "busy",
            Self::Unavailable => "unavailable",
            Self::ModeNotGranted => "mode-not-granted",
            Self::NotSupported => "not-supported",
            Self::Empty => "empty",
            Self::Full => "full",
            Self::Unbound => "unbound",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl core::error::Error for Error {}

impl From<Status> for Result<(), Error> {
    fn from(status: Status) -> Self {
        match status {
            Status::Ok => Ok(()),
            status => Err(of(status)),
        }
    }
}

/// The error of a status that is one; `ok` where a call failed is no answer that the interface has.
pub(crate) const fn of(status: Status) -> Error {
    match status {
        Status::NotFound => Error::NotFound,
        Status::NotGranted => Error::NotGranted,
        Status::Invalid => Error::Invalid,
        Status::Busy => Error::Busy,
        Status::Ok | Status::Unavailable => Error::Unavailable,
        Status::ModeNotGranted => Error::ModeNotGranted,
        Status::NotSupported => Error::NotSupported,
        Status::Empty => Error::Empty,
        Status::Full => Error::Full,
        Status::Unbound => Error::Unbound,
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound => Self::NotFound,
            Error::NotGranted => Self::NotGranted,
            Error::Invalid => Self::Invalid,
            Error::Busy => Self::Busy,
            Error::Unavailable => Self::Unavailable,
            Error::ModeNotGranted => Self::ModeNotGranted,
            Error::NotSupported => Self::NotSupported,
            Error::Empty => Self::Empty,
            Error::Full => Self::Full,
            Error::Unbound => Self::Unbound,
        }
    }
}
