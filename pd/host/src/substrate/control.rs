//! The socket between the launcher and a domain's process: one message a packet, descriptors with it.
//!
//! Through it a process gets its [`Handover`], says how far its start has come, and the warden asks for cells to be stopped
//! and started. The launcher reads nothing from it but these few messages, and acts on requests of the warden's alone.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::handover::Handover;

/// The most descriptors of one message: Linux's `SCM_MAX_FD`.
pub(crate) const MAX_DESCRIPTORS: usize = 253;

/// The longest message. A handover with thirty regions takes some 2 KiB; packets this long always fit a socket's buffer.
const MAX_MESSAGE_BYTES: usize = 32 * 1024;

/// From the launcher to a domain's process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ToDomain {
    /// The wiring, first of all.
    Handover(Box<Handover>),
    /// Every domain has mapped its memory, and those that this one relies on have started.
    Go,
    /// To the warden: what it asked for is done.
    Done,
    /// To the warden: a cell's process ended by itself.
    CellEnded {
        /// The cell's name.
        cell: String,
        /// Which life of it.
        incarnation: u32,
        /// The signal that ended it; 0 where it returned.
        signal: u32,
    },
}

/// From a domain's process to the launcher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ToLauncher {
    /// Its memory is mapped: writable regions may be sealed.
    Mapped,
    /// Its logic has started.
    Started,
    /// It cannot start, and why.
    Failed(String),
    /// From the warden: end the cell's process.
    StopCell(String),
    /// From the warden: start the stopped cell's process anew, with its memory cleared.
    StartCell(String),
}

/// One end.
pub(crate) struct ControlSocket(OwnedFd);

/// Both ends of a new socket.
pub(crate) fn pair() -> io::Result<(ControlSocket, OwnedFd)> {
    let (here, there) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    Ok((ControlSocket(here), there))
}

impl ControlSocket {
    /// The end that this process was started with.
    pub(crate) const fn from_descriptor(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }

    /// Sends a message with no descriptors.
    pub(crate) fn send(&self, message: &impl Serialize) -> io::Result<()> {
        self.send_with(message, &[])
    }

    /// Sends a message with descriptors, at the most [`MAX_DESCRIPTORS`].
    pub(crate) fn send_with(&self, message: &impl Serialize, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let bytes = postcard::to_stdvec(message).map_err(io::Error::other)?;
        if bytes.len() > MAX_MESSAGE_BYTES || descriptors.len() > MAX_DESCRIPTORS {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        sendmsg(&self.0, &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Waits for a message. [`io::ErrorKind::UnexpectedEof`] where the other end is gone.
    pub(crate) fn receive<T: DeserializeOwned>(&self) -> io::Result<(T, Vec<OwnedFd>)> {
        let mut bytes = vec![0; MAX_MESSAGE_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = rustix::io::retry_on_intr(|| {
            recvmsg(&self.0, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)
        })?;
        if received.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if received.flags.contains(ReturnFlags::TRUNC) || received.flags.contains(ReturnFlags::CTRUNC) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let message = postcard::from_bytes(&bytes[..received.bytes]).map_err(io::Error::other)?;
        let descriptors = ancillary.drain().filter_map(|part| match part {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        });
        Ok((message, descriptors.flatten().collect()))
    }
}

impl AsFd for ControlSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
