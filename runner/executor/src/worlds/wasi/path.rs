//! Calls with a path: finding what lies there, and refusing to change it.

use wasmi::{Caller, Error};

use super::{
    descriptors::{DIRECTORY, Descriptor, REGULAR_FILE, Target, known_flags, right, write_filestat},
    errno::{Errno, Outcome, serve_at_length, serve_path},
    file::check_time_flags,
};
use crate::{
    engine::copy_fuel,
    files::{FileTree, Folder, Node},
    host::Host,
    memory::{GuestMemory, length_u32, offset},
};

/// The longest path of a call: some times the longest of a file, for who goes a roundabout way.
pub(super) const MAX_PATH_BYTES: u32 = 1024;

/// `lookupflags`: follow symbolic links, of which there are none.
const KNOWN_LOOKUP: u32 = 1;

/// `oflags`.
const CREATE: u32 = 1;
const MUST_BE_DIRECTORY: u32 = 1 << 1;
const MUST_BE_NEW: u32 = 1 << 2;
const TRUNCATE: u32 = 1 << 3;
const KNOWN_OPEN: u32 = CREATE | MUST_BE_DIRECTORY | MUST_BE_NEW | TRUNCATE;

/// Fuel of an entry that is looked at: about what the interpreter does in the time that finding it takes.
const ENTRY_FUEL: u64 = 50;

/// Bytes of a `dirent` before its name.
const ENTRY_BYTES: usize = 24;

/// A path as a call names it: below a descriptor, at an address, with a length.
#[derive(Clone, Copy)]
struct Path {
    descriptor: u32,
    address: u32,
    length: u32,
}

impl Path {
    /// What lies there, and the folder that it was looked for in; `None` where only its last name is missing.
    fn find(self, memory: &GuestMemory<'_>, host: &mut Host, rights: u64) -> Outcome<Option<Node>> {
        let (folder, _) = host.descriptors.folder(self.descriptor, rights)?;
        if self.length > MAX_PATH_BYTES {
            return Err(Errno::NameTooLong.into());
        }
        let bytes = memory.slice(self.address, self.length)?;
        let path = core::str::from_utf8(bytes).map_err(|_| Errno::IllegalBytes)?;
        Ok(host.files.follow(folder, path)?)
    }

    fn existing(self, memory: &GuestMemory<'_>, host: &mut Host, rights: u64) -> Outcome<Node> {
        Ok(self.find(memory, host, rights)?.ok_or(Errno::NoEntry)?)
    }
}

fn check_lookup(flags: u32) -> Result<(), Errno> {
    if flags & !KNOWN_LOOKUP == 0 { Ok(()) } else { Err(Errno::Invalid) }
}

#[allow(clippy::too_many_arguments, reason = "the specification's")]
pub(super) fn path_open(
    caller: &mut Caller<'_, Host>,
    descriptor: u32,
    lookup: u32,
    address: u32,
    length: u32,
    how: u32,
    rights: u64,
    inheriting: u64,
    flags: u32,
    result: u32,
) -> Result<u32, Error> {
    serve_path(caller, length, |memory, host| {
        let path = Path { descriptor, address, length };
        check_lookup(lookup)?;
        let flags = known_flags(flags)?;
        if how & !KNOWN_OPEN != 0 {
            return Err(Errno::Invalid.into());
        }
        let needed = [(CREATE, right::PATH_CREATE_FILE), (TRUNCATE, right::PATH_FILESTAT_SET_SIZE)];
        let needed = needed.iter().filter(|(flag, _)| how & flag != 0).map(|(_, right)| right);
        let found = path.find(memory, host, needed.fold(right::PATH_OPEN, |all, right| all | right))?;
        let (_, below) = host.descriptors.folder(descriptor, 0)?;
        let may_inherit = below.inheriting;
        let (rights, inheriting) = (rights & right::ALL, inheriting & right::ALL);
        if (rights | inheriting) & !may_inherit != 0 {
            return Err(Errno::NotCapable.into());
        }
        memory.slice(result, 4)?;
        let (target, own) = opened(found, how, rights & right::FD_WRITE != 0)?;
        let opened = Descriptor { target, rights: rights & own, inheriting, flags };
        let number = host.descriptors.open(opened)?;
        Ok(memory.write_u32(result, number)?)
    })
}

/// What is opened, and the rights that make sense with it.
fn opened(found: Option<Node>, how: u32, writes: bool) -> Result<(Target, u64), Errno> {
    let has = |flag| how & flag != 0;
    match found {
        None if has(CREATE) => Err(Errno::ReadOnly),
        None => Err(Errno::NoEntry),
        Some(_) if has(CREATE) && has(MUST_BE_NEW) => Err(Errno::Exists),
        Some(Node::File(_)) if has(MUST_BE_DIRECTORY) => Err(Errno::NotFolder),
        Some(Node::File(_)) if writes || has(TRUNCATE) => Err(Errno::ReadOnly),
        Some(Node::File(file)) => Ok((Target::File { file, position: 0 }, right::FILE)),
        Some(Node::Folder(_)) if writes || has(TRUNCATE) || has(CREATE) => Err(Errno::IsFolder),
        Some(Node::Folder(folder)) => Ok((Target::Folder { folder, preopened: false }, right::FOLDER)),
    }
}

pub(super) fn path_filestat_get(
    caller: &mut Caller<'_, Host>,
    descriptor: u32,
    lookup: u32,
    address: u32,
    length: u32,
    result: u32,
) -> Result<u32, Error> {
    serve_path(caller, length, |memory, host| {
        check_lookup(lookup)?;
        let target = match (Path { descriptor, address, length }).existing(memory, host, right::PATH_FILESTAT_GET)? {
            Node::Folder(folder) => Target::Folder { folder, preopened: false },
            Node::File(file) => Target::File { file, position: 0 },
        };
        Ok(write_filestat(memory, host, result, target)?)
    })
}

/// Nothing here is a symbolic link.
pub(super) fn path_readlink(
    caller: &mut Caller<'_, Host>,
    descriptor: u32,
    address: u32,
    length: u32,
    _buffer: u32,
    _buffer_length: u32,
    _result: u32,
) -> Result<u32, Error> {
    serve_path(caller, length, |memory, host| {
        Path { descriptor, address, length }.existing(memory, host, right::PATH_READLINK)?;
        Err(Errno::Invalid.into())
    })
}

/// Something new at a path: it exists, or it cannot be made.
fn refuse_new(memory: &GuestMemory<'_>, host: &mut Host, path: Path, rights: u64) -> Outcome {
    match path.find(memory, host, rights)? {
        Some(_) => Err(Errno::Exists.into()),
        None => Err(Errno::ReadOnly.into()),
    }
}

/// A change to what is at a path: it does not exist, or it cannot be changed.
fn refuse_change(memory: &GuestMemory<'_>, host: &mut Host, path: Path, rights: u64) -> Outcome {
    path.existing(memory, host, rights)?;
    Err(Errno::ReadOnly.into())
}

pub(super) fn path_create_directory(
    caller: &mut Caller<'_, Host>,
    descriptor: u32,
    address: u32,
    length: u32,
) -> Result<u32, Error> {
    let path = Path { descriptor, address, length };
    serve_path(caller, length, |memory, host| refuse_new(memory, host, path, right::PATH_CREATE_DIRECTORY))
}

pub(super) fn path_remove_directory(
    caller: &mut Caller<'_, Host>,
    descriptor: u32,
    address: u32,
    length: u32,
) -> Result<u32, Error> {
    let path = Path { descriptor, address, length };
    serve_path(caller, length, |memory, host| refuse_change(memory, host, path, right::PATH_REMOVE_DIRECTORY))
}

pub(super) fn path_unlink_file(
    caller: &mut Caller<'_, Host>,
    descriptor: u32,
    address: u32,
    length: u32,
) -> Result<u32, Error> {
    let path = Path { descriptor, address, length };
    serve_path(caller, length, |memory, host| refuse_change(memory, host, path, right::PATH_UNLINK_FILE))
}

#[allow(clippy::too_many_arguments, reason = "the specification's")]
pub(super) fn path_filestat_set_times(
    caller: &mut Caller<'_, Host>,
    descriptor: u32,
    lookup: u32,
    address: u32,
    length: u32,
    _accessed: u64,
    _changed: u64,
    flags: u32,
) -> Result<u32, Error> {
    let path = Path { descriptor, address, length };
    serve_path(caller, length, |memory, host| {
        check_lookup(lookup)?;
        check_time_flags(flags)?;
        refuse_change(memory, host, path, right::PATH_FILESTAT_SET_TIMES)
    })
}

#[allow(clippy::too_many_arguments, reason = "the specification's")]
pub(super) fn path_link(
    caller: &mut Caller<'_, Host>,
    descriptor: u32,
    lookup: u32,
    address: u32,
    length: u32,
    new_descriptor: u32,
    new_address: u32,
    new_length: u32,
) -> Result<u32, Error> {
    let path = Path { descriptor, address, length };
    let new = Path { descriptor: new_descriptor, address: new_address, length: new_length };
    serve_path(caller, length.saturating_add(new_length), |memory, host| {
        check_lookup(lookup)?;
        path.existing(memory, host, right::PATH_LINK_SOURCE)?;
        refuse_new(memory, host, new, right::PATH_LINK_TARGET)
    })
}

pub(super) fn path_rename(
    caller: &mut Caller<'_, Host>,
    descriptor: u32,
    address: u32,
    length: u32,
    new_descriptor: u32,
    new_address: u32,
    new_length: u32,
) -> Result<u32, Error> {
    let path = Path { descriptor, address, length };
    let new = Path { descriptor: new_descriptor, address: new_address, length: new_length };
    serve_path(caller, length.saturating_add(new_length), |memory, host| {
        path.existing(memory, host, right::PATH_RENAME_SOURCE)?;
        new.find(memory, host, right::PATH_RENAME_TARGET)?;
        Err(Errno::ReadOnly.into())
    })
}

pub(super) fn path_symlink(
    caller: &mut Caller<'_, Host>,
    _old_address: u32,
    _old_length: u32,
    descriptor: u32,
    address: u32,
    length: u32,
) -> Result<u32, Error> {
    let path = Path { descriptor, address, length };
    serve_path(caller, length, |memory, host| refuse_new(memory, host, path, right::PATH_SYMLINK))
}

/// Fills the buffer with the folder's entries from the one that `cookie` counts; the last may be cut off where the buffer
/// ends, and then is what the next call begins with.
pub(super) fn fd_readdir(
    caller: &mut Caller<'_, Host>,
    descriptor: u32,
    buffer: u32,
    length: u32,
    cookie: u64,
    result: u32,
) -> Result<u32, Error> {
    serve_at_length(caller, 0, |memory, host| {
        let (folder, _) = host.descriptors.folder(descriptor, right::FD_READDIR)?;
        memory.slice(buffer, length)?;
        let (mut filled, mut fuel) = (0, FileTree::depth_bytes(folder));
        for (next, (name, node)) in (1..).zip(entries(&host.files, folder)) {
            fuel += ENTRY_FUEL;
            if next <= cookie {
                continue;
            }
            for part in [&entry(next, name, node)[..], name] {
                let part = &part[..part.len().min((length - filled) as usize)];
                memory.write(offset(buffer, filled)?, part)?;
                filled += length_u32(part.len());
            }
            if filled == length {
                break;
            }
        }
        memory.write_u32(result, filled)?;
        Ok(fuel + copy_fuel(filled))
    })
}

/// With the folder itself and the one around it in front, as C libraries expect.
fn entries(files: &FileTree, folder: Folder) -> impl Iterator<Item = (&[u8], Node)> {
    let own = [(&b"."[..], Node::Folder(folder)), (&b".."[..], Node::Folder(files.parent(folder)))];
    own.into_iter().chain(files.entries(folder))
}

/// Layout of `dirent`: what the next one counts 0, serial number 8, length of the name 16, filetype 20.
fn entry(next: u64, name: &[u8], node: Node) -> [u8; ENTRY_BYTES] {
    let mut entry = [0; ENTRY_BYTES];
    entry[..8].copy_from_slice(&next.to_le_bytes());
    entry[8..16].copy_from_slice(&FileTree::serial(node).to_le_bytes());
    entry[16..20].copy_from_slice(&length_u32(name.len()).to_le_bytes());
    entry[20] = if matches!(node, Node::Folder(_)) { DIRECTORY } else { REGULAR_FILE };
    entry
}
