//! The container's descriptors: what each one is and what may be done with it.
//!
//! Rights are those of the specification. They say what makes sense with a descriptor, and a container may give some up; what
//! a container was granted is not theirs to say, for nothing behind a descriptor here needs a grant.

use runner_interfaces::output::Stream;
use wasmi::{Caller, Error};

use super::errno::{Errno, Outcome, serve, serve_host};
use crate::{
    files::{FileTree, Folder, Node},
    host::Host,
    memory::{Fault, GuestMemory},
};

/// Descriptors of one container: the streams, the folder of its files, and a dozen to open. The table lies in the host and
/// has this size from the start, so that opening files takes none of the cell's heap.
const DESCRIPTORS: usize = 16;

/// The descriptor of the folder that the container's files lie in. C libraries look from 3 on.
const ROOT: usize = 3;

/// What the folder of the files is called.
const ROOT_NAME: &[u8] = b"/";

/// `rights`.
pub(super) mod right {
    pub(in super::super) const FD_DATASYNC: u64 = 1 << 0;
    pub(in super::super) const FD_READ: u64 = 1 << 1;
    pub(in super::super) const FD_SEEK: u64 = 1 << 2;
    pub(in super::super) const FD_FDSTAT_SET_FLAGS: u64 = 1 << 3;
    pub(in super::super) const FD_SYNC: u64 = 1 << 4;
    pub(in super::super) const FD_TELL: u64 = 1 << 5;
    pub(in super::super) const FD_WRITE: u64 = 1 << 6;
    pub(in super::super) const FD_ADVISE: u64 = 1 << 7;
    pub(in super::super) const PATH_CREATE_DIRECTORY: u64 = 1 << 9;
    pub(in super::super) const PATH_CREATE_FILE: u64 = 1 << 10;
    pub(in super::super) const PATH_LINK_SOURCE: u64 = 1 << 11;
    pub(in super::super) const PATH_LINK_TARGET: u64 = 1 << 12;
    pub(in super::super) const PATH_OPEN: u64 = 1 << 13;
    pub(in super::super) const FD_READDIR: u64 = 1 << 14;
    pub(in super::super) const PATH_READLINK: u64 = 1 << 15;
    pub(in super::super) const PATH_RENAME_SOURCE: u64 = 1 << 16;
    pub(in super::super) const PATH_RENAME_TARGET: u64 = 1 << 17;
    pub(in super::super) const PATH_FILESTAT_GET: u64 = 1 << 18;
    pub(in super::super) const PATH_FILESTAT_SET_SIZE: u64 = 1 << 19;
    pub(in super::super) const PATH_FILESTAT_SET_TIMES: u64 = 1 << 20;
    pub(in super::super) const FD_FILESTAT_GET: u64 = 1 << 21;
    pub(in super::super) const FD_FILESTAT_SET_TIMES: u64 = 1 << 23;
    pub(in super::super) const PATH_SYMLINK: u64 = 1 << 24;
    pub(in super::super) const PATH_REMOVE_DIRECTORY: u64 = 1 << 25;
    pub(in super::super) const PATH_UNLINK_FILE: u64 = 1 << 26;
    pub(in super::super) const POLL_FD_READWRITE: u64 = 1 << 27;

    /// All that the specification has.
    pub(in super::super) const ALL: u64 = (1 << 30) - 1;

    const STREAM: u64 = POLL_FD_READWRITE | FD_FDSTAT_SET_FLAGS | FD_FILESTAT_GET;
    pub(super) const INPUT: u64 = STREAM | FD_READ;
    pub(super) const OUTPUT: u64 = STREAM | FD_WRITE;

    pub(in super::super) const FILE: u64 = FD_DATASYNC
        | FD_READ
        | FD_SEEK
        | FD_FDSTAT_SET_FLAGS
        | FD_SYNC
        | FD_TELL
        | FD_ADVISE
        | FD_FILESTAT_GET
        | POLL_FD_READWRITE;

    /// With those that would change something: programs look for them, ask, and are told that nothing can be changed.
    pub(in super::super) const FOLDER: u64 = FD_DATASYNC
        | FD_SYNC
        | PATH_CREATE_DIRECTORY
        | PATH_CREATE_FILE
        | PATH_LINK_SOURCE
        | PATH_LINK_TARGET
        | PATH_OPEN
        | FD_READDIR
        | PATH_READLINK
        | PATH_RENAME_SOURCE
        | PATH_RENAME_TARGET
        | PATH_FILESTAT_GET
        | PATH_FILESTAT_SET_SIZE
        | PATH_FILESTAT_SET_TIMES
        | FD_FILESTAT_GET
        | FD_FILESTAT_SET_TIMES
        | PATH_SYMLINK
        | PATH_REMOVE_DIRECTORY
        | PATH_UNLINK_FILE;
}

/// `filetype`. A character device is what a C library takes for a terminal, so that it flushes each line.
const CHARACTER_DEVICE: u8 = 2;
pub(super) const DIRECTORY: u8 = 3;
pub(super) const REGULAR_FILE: u8 = 4;

/// Bytes of `fdstat`, `filestat` and `prestat`.
const FDSTAT_BYTES: usize = 24;
const FILESTAT_BYTES: usize = 64;
const PRESTAT_BYTES: usize = 8;

/// The device of the files. Streams have none, 0.
const FILES_DEVICE: u64 = 1;

/// `fdflags`: append, dsync, nonblock, rsync, sync. They are kept and change nothing: a write waits for room whatever they
/// say, and nothing else waits.
pub(super) const KNOWN_FLAGS: u32 = 0b1_1111;

/// What a descriptor stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Standard input, always at its end.
    Input,
    /// Standard output or error.
    Output(Stream),
    /// A folder, and whether it was there from the start.
    Folder { folder: Folder, preopened: bool },
    /// A file by its index, and where in it the next read begins.
    File { file: u8, position: u64 },
}

impl Target {
    pub(super) fn filetype(self) -> u8 {
        match self {
            Self::Input | Self::Output(_) => CHARACTER_DEVICE,
            Self::Folder { .. } => DIRECTORY,
            Self::File { .. } => REGULAR_FILE,
        }
    }

    /// The node of the tree; streams have none.
    fn node(self) -> Option<Node> {
        match self {
            Self::Input | Self::Output(_) => None,
            Self::Folder { folder, .. } => Some(Node::Folder(folder)),
            Self::File { file, .. } => Some(Node::File(file)),
        }
    }
}

/// One descriptor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Descriptor {
    pub(super) target: Target,
    pub(super) rights: u64,
    /// What may be asked for of what is opened under it.
    pub(super) inheriting: u64,
    pub(super) flags: u16,
}

impl Descriptor {
    fn stream(target: Target, rights: u64) -> Self {
        Self { target, rights, inheriting: 0, flags: 0 }
    }

    pub(super) fn needs(&self, rights: u64) -> Result<(), Errno> {
        if self.rights & rights == rights { Ok(()) } else { Err(Errno::NotCapable) }
    }
}

/// The table.
#[derive(Debug)]
pub(crate) struct Descriptors {
    slots: [Option<Descriptor>; DESCRIPTORS],
}

impl Descriptors {
    /// The streams, and the folder of the files where there are any.
    pub(crate) fn new(files: &FileTree) -> Self {
        let mut slots = [None; DESCRIPTORS];
        slots[0] = Some(Descriptor::stream(Target::Input, right::INPUT));
        slots[1] = Some(Descriptor::stream(Target::Output(Stream::Stdout), right::OUTPUT));
        slots[2] = Some(Descriptor::stream(Target::Output(Stream::Stderr), right::OUTPUT));
        let target = Target::Folder { folder: files.root(), preopened: true };
        let root = Descriptor { target, rights: right::FOLDER, inheriting: right::ALL, flags: 0 };
        slots[ROOT] = Some(root).filter(|_| !files.is_empty());
        Self { slots }
    }

    fn slot(&mut self, number: u32) -> Result<&mut Option<Descriptor>, Errno> {
        let slot = usize::try_from(number).ok().and_then(|index| self.slots.get_mut(index));
        slot.filter(|slot| slot.is_some()).ok_or(Errno::BadDescriptor)
    }

    pub(super) fn get(&mut self, number: u32) -> Result<&mut Descriptor, Errno> {
        self.slot(number)?.as_mut().ok_or(Errno::BadDescriptor)
    }

    /// A folder that may be used so.
    pub(super) fn folder(&mut self, number: u32, rights: u64) -> Result<(Folder, &Descriptor), Errno> {
        let descriptor = self.get(number)?;
        let Target::Folder { folder, .. } = descriptor.target else {
            return Err(Errno::NotFolder);
        };
        descriptor.needs(rights)?;
        Ok((folder, descriptor))
    }

    /// A file that may be used so, with its position.
    pub(super) fn file(&mut self, number: u32, rights: u64) -> Result<(u8, &mut u64), Errno> {
        let descriptor = self.get(number)?;
        let allowed = descriptor.needs(rights);
        match &mut descriptor.target {
            Target::File { file, position } => allowed.map(|()| (*file, position)),
            Target::Folder { .. } => Err(Errno::IsFolder),
            Target::Input | Target::Output(_) => Err(Errno::Seek),
        }
    }

    /// The lowest number that is free.
    pub(super) fn open(&mut self, descriptor: Descriptor) -> Result<u32, Errno> {
        let free = (0u32..).zip(&mut self.slots).find(|(_, slot)| slot.is_none());
        let (number, slot) = free.ok_or(Errno::TooManyOpen)?;
        *slot = Some(descriptor);
        Ok(number)
    }
}

pub(super) fn fd_close(caller: &mut Caller<'_, Host>, descriptor: u32) -> Result<u32, Error> {
    serve_host(caller, |host| {
        *host.descriptors.slot(descriptor)? = None;
        Ok(())
    })
}

/// The target of `from` moves to `to`, which must be open, as must `from`.
pub(super) fn fd_renumber(caller: &mut Caller<'_, Host>, from: u32, to: u32) -> Result<u32, Error> {
    serve_host(caller, |host| {
        host.descriptors.get(from)?;
        host.descriptors.get(to)?;
        let moved = host.descriptors.slot(from)?.take();
        // Where both are one, it is not open now, and goes back to where it was.
        host.descriptors.slots[to as usize] = moved;
        Ok(())
    })
}

pub(super) fn fd_fdstat_get(caller: &mut Caller<'_, Host>, descriptor: u32, result: u32) -> Result<u32, Error> {
    serve(caller, |memory, host| {
        let Descriptor { target, rights, inheriting, flags } = *host.descriptors.get(descriptor)?;
        // Layout of `fdstat`: filetype 0, flags 2, rights 8, inheriting rights 16.
        let mut stat = [0; FDSTAT_BYTES];
        stat[0] = target.filetype();
        stat[2..4].copy_from_slice(&flags.to_le_bytes());
        stat[8..16].copy_from_slice(&rights.to_le_bytes());
        stat[16..].copy_from_slice(&inheriting.to_le_bytes());
        Ok(memory.write(result, &stat)?)
    })
}

pub(super) fn fd_fdstat_set_flags(caller: &mut Caller<'_, Host>, descriptor: u32, flags: u32) -> Result<u32, Error> {
    serve_host(caller, |host| {
        let descriptor = host.descriptors.get(descriptor)?;
        descriptor.needs(right::FD_FDSTAT_SET_FLAGS)?;
        descriptor.flags = known_flags(flags)?;
        Ok(())
    })
}

pub(super) fn known_flags(flags: u32) -> Result<u16, Errno> {
    u16::try_from(flags).ok().filter(|_| flags & !KNOWN_FLAGS == 0).ok_or(Errno::Invalid)
}

/// Gives rights up; none can be got.
pub(super) fn fd_fdstat_set_rights(
    caller: &mut Caller<'_, Host>,
    descriptor: u32,
    rights: u64,
    inheriting: u64,
) -> Result<u32, Error> {
    serve_host(caller, |host| {
        let descriptor = host.descriptors.get(descriptor)?;
        if rights & !descriptor.rights != 0 || inheriting & !descriptor.inheriting != 0 {
            return Err(Errno::NotCapable.into());
        }
        (descriptor.rights, descriptor.inheriting) = (rights, inheriting);
        Ok(())
    })
}

pub(super) fn fd_prestat_get(caller: &mut Caller<'_, Host>, descriptor: u32, result: u32) -> Result<u32, Error> {
    serve(caller, |memory, host| {
        check_preopened(host, descriptor)?;
        // Layout of `prestat`: tag 0 (a folder: 0), length of its name 4.
        let mut stat = [0; PRESTAT_BYTES];
        stat[4..].copy_from_slice(&crate::memory::length_u32(ROOT_NAME.len()).to_le_bytes());
        Ok(memory.write(result, &stat)?)
    })
}

pub(super) fn fd_prestat_dir_name(
    caller: &mut Caller<'_, Host>,
    descriptor: u32,
    path: u32,
    length: u32,
) -> Result<u32, Error> {
    serve(caller, |memory, host| {
        check_preopened(host, descriptor)?;
        if (length as usize) < ROOT_NAME.len() {
            return Err(Errno::NameTooLong.into());
        }
        Ok(memory.write(path, ROOT_NAME)?)
    })
}

fn check_preopened(host: &mut Host, descriptor: u32) -> Outcome {
    match host.descriptors.get(descriptor)?.target {
        Target::Folder { preopened: true, .. } => Ok(()),
        _ => Err(Errno::BadDescriptor.into()),
    }
}

pub(super) fn fd_filestat_get(caller: &mut Caller<'_, Host>, descriptor: u32, result: u32) -> Result<u32, Error> {
    serve(caller, |memory, host| {
        let descriptor = *host.descriptors.get(descriptor)?;
        descriptor.needs(right::FD_FILESTAT_GET)?;
        Ok(write_filestat(memory, host, result, descriptor.target)?)
    })
}

/// Nothing was ever changed, as far as a container can tell: all times are 0.
pub(super) fn write_filestat(
    memory: &mut GuestMemory<'_>,
    host: &Host,
    result: u32,
    target: Target,
) -> Result<(), Fault> {
    // Layout of `filestat`: device 0, serial number 8, filetype 16, links 24, size 32, and three times.
    let mut stat = [0; FILESTAT_BYTES];
    stat[16] = target.filetype();
    stat[24] = 1;
    if let Some(node) = target.node() {
        stat[..8].copy_from_slice(&FILES_DEVICE.to_le_bytes());
        stat[8..16].copy_from_slice(&FileTree::serial(node).to_le_bytes());
    }
    if let Target::File { file, .. } = target {
        stat[32..40].copy_from_slice(&(host.files.content(file).len() as u64).to_le_bytes());
    }
    memory.write(result, &stat)
}
