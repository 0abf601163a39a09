//! Finding the node and opening a connection to it.
//!
//! In the guest a node is a virtio port, `emit.0` to `emit.3`; each may be open once, so a taken one means the next. On a
//! host it is a unix socket. Nothing here waits without a limit.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::{fs::FileTypeExt, fs::OpenOptionsExt, net::UnixStream},
    },
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::OFlags,
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with},
};

/// Where a Linux guest shows its virtio ports.
const PORT_DIRECTORY: &str = "/dev/virtio-ports";

/// Ports that a node has (`runner-interfaces`, `link::MAX_SESSIONS`).
const PORTS: usize = 4;

/// How long to wait between looks while every session is taken.
pub(crate) const RETRY: Duration = Duration::from_millis(50);

/// An open connection.
#[derive(Debug)]
pub(crate) enum Connection {
    /// A character device.
    Port(File),
    /// A socket.
    Socket(UnixStream),
}

impl Connection {
    fn descriptor(&self) -> BorrowedFd<'_> {
        match self {
            Self::Port(port) => port.as_fd(),
            Self::Socket(socket) => socket.as_fd(),
        }
    }

    /// Reads what there is, waiting until `deadline`. 0 bytes: the node closed.
    pub(crate) fn read_until(&mut self, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
        loop {
            self.wait(PollFlags::IN, deadline)?;
            let result = match self {
                Self::Port(port) => port.read(buffer),
                Self::Socket(socket) => socket.read(buffer),
            };
            match result {
                Err(error) if is_transient(&error) => {}
                other => return other,
            }
        }
    }

    /// Writes all of `bytes`, waiting until `deadline`.
    pub(crate) fn write_until(&mut self, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
        while !bytes.is_empty() {
            self.wait(PollFlags::OUT, deadline)?;
            let result = match self {
                Self::Port(port) => port.write(bytes),
                Self::Socket(socket) => socket.write(bytes),
            };
            match result {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => bytes = &bytes[written..],
                Err(error) if is_transient(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn wait(&self, flags: PollFlags, deadline: Instant) -> io::Result<()> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let timeout = Timespec::try_from(left).map_err(|_| io::ErrorKind::InvalidInput)?;
            let descriptor = self.descriptor();
            match poll(&mut [PollFd::new(&descriptor, flags)], Some(&timeout)) {
                Ok(0) => {}
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Opens the node that was named, or the one that is there. Waits until `deadline` while all its sessions are taken.
pub(crate) fn open(named: Option<&Path>, deadline: Instant) -> Result<Connection> {
    let candidates = match named {
        Some(path) => vec![path.to_owned()],
        None => candidates(),
    };
    if candidates.is_empty() {
        bail!(
            "no node found: there is no {PORT_DIRECTORY}/emit.0 (is this the guest of an Atoll system?) and no {}\n\
             start one with `cargo xtask up`, or name one with --node PATH",
            socket_path().display()
        );
    }
    loop {
        if let Some(connection) = try_each(&candidates)? {
            return Ok(connection);
        }
        if Instant::now() >= deadline {
            bail!("all sessions of the node are taken by other `emit`s; end one, for instance one that follows a log");
        }
        thread::sleep(RETRY);
    }
}

/// Every place where a node may be that exists.
fn candidates() -> Vec<PathBuf> {
    let ports = (0..PORTS).map(|number| Path::new(PORT_DIRECTORY).join(format!("emit.{number}")));
    let found: Vec<PathBuf> = ports.filter(|path| path.exists()).collect();
    if !found.is_empty() {
        return found;
    }
    let socket = socket_path();
    if socket.exists() { vec![socket] } else { Vec::new() }
}

/// Where a host's node has its socket.
fn socket_path() -> PathBuf {
    run_directory().join("emit.sock")
}

fn run_directory() -> PathBuf {
    if let Some(directory) = std::env::var_os("ATOLL_RUN_DIRECTORY") {
        return directory.into();
    }
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(directory) => Path::new(&directory).join("atoll"),
        None => PathBuf::from(format!("/tmp/atoll-{}", rustix::process::getuid().as_raw())),
    }
}

/// The first that opens; `None` where all are taken.
fn try_each(candidates: &[PathBuf]) -> Result<Option<Connection>> {
    for path in candidates {
        match open_one(path) {
            Ok(connection) => return Ok(Some(connection)),
            Err(error) if is_taken(&error) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                return Err(anyhow!(error)).with_context(|| {
                    format!("{} is there but no node listens on it: it was not shut down properly", path.display())
                });
            }
            Err(error) => return Err(anyhow!(error)).with_context(|| format!("cannot open {}", path.display())),
        }
    }
    Ok(None)
}

/// An open port answers so, and a socket whose node has not come round to taking the connections that wait.
fn is_taken(error: &io::Error) -> bool {
    [Errno::BUSY, Errno::AGAIN].iter().any(|taken| error.raw_os_error() == Some(taken.raw_os_error()))
}

/// Opens without waiting. What is neither a port nor a socket is not opened: a greeting would be written into it.
fn open_one(path: &Path) -> io::Result<Connection> {
    let kind = path.metadata()?.file_type();
    if kind.is_socket() {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        connect(&socket, &SocketAddrUnix::new(path)?)?;
        return Ok(Connection::Socket(socket.into()));
    }
    if !kind.is_char_device() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is neither a virtio port nor a unix socket"));
    }
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).map_err(|_| io::ErrorKind::InvalidInput)?;
    Ok(Connection::Port(OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?))
}
