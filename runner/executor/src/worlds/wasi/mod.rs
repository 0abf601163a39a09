//! WASI preview 1, as a cell has it: a command's world without a network and with files that cannot be changed.
//!
//! | what | here | module |
//! |---|---|---|
//! | arguments, environment | from the configuration; the container's name is argument 0 | `strings` |
//! | descriptors | 0 (always at its end), 1 and 2 (to the output ring), 3 where the container brought files | `descriptors` |
//! | files | those packed into the container, below `/`; what would change them answers `EROFS` or `ENOTCAPABLE` | `path`, `file` |
//! | writing | to 1 and 2 | `stream` |
//! | clocks | realtime and monotonic both count from the node's start: a node has no wall clock | `clock` |
//! | `poll_oneoff` | clocks, room in the output; input and files are always ready | `poll` |
//! | `random_get` | seeded by the node's counter: reproducible, no secret, not for keys | `process` |
//! | sockets, signals | none: `EBADF` or `ENOTSOCK`, `ENOSYS` | `process` |
//!
//! Numbers and layouts are those of the specification (WebAssembly/WASI, legacy/preview1/docs.md). Pointers outside the
//! memory trap; everything else that is wrong is an error number. No call works longer than a slice's bulk copies do: what
//! is longer goes on in slices to come.

use wasmi::Linker;

use super::Unknown;
use crate::host::Host;

mod clock;
mod descriptors;
mod errno;
mod file;
mod path;
mod poll;
mod process;
mod stream;
mod strings;
mod vectors;

pub(crate) use descriptors::Descriptors;
pub(crate) use errno::Errno;
pub(crate) use file::{Read, continue_read};
pub(crate) use poll::{Poll, continue_poll};
pub(crate) use process::fill_random;
pub(crate) use stream::{Write, continue_write};

/// The module that its functions are imported from.
pub(crate) const MODULE: &str = "wasi_snapshot_preview1";

/// Defines the function `name`. All of the specification's are there, so that whatever a compiler links loads.
pub(super) fn define(linker: &mut Linker<Host>, name: &str) -> Result<(), Unknown> {
    match name {
        "args_get" => linker.func_wrap(MODULE, name, strings::args_get),
        "args_sizes_get" => linker.func_wrap(MODULE, name, strings::args_sizes_get),
        "environ_get" => linker.func_wrap(MODULE, name, strings::environ_get),
        "environ_sizes_get" => linker.func_wrap(MODULE, name, strings::environ_sizes_get),
        "clock_res_get" => linker.func_wrap(MODULE, name, clock::clock_res_get),
        "clock_time_get" => linker.func_wrap(MODULE, name, clock::clock_time_get),
        "poll_oneoff" => linker.func_wrap(MODULE, name, poll::poll_oneoff),
        "proc_exit" => linker.func_wrap(MODULE, name, process::proc_exit),
        "proc_raise" => linker.func_wrap(MODULE, name, process::proc_raise),
        "random_get" => linker.func_wrap(MODULE, name, process::random_get),
        "sched_yield" => linker.func_wrap(MODULE, name, process::sched_yield),
        "sock_accept" => linker.func_wrap(MODULE, name, process::sock_accept),
        "sock_recv" => linker.func_wrap(MODULE, name, process::sock_recv),
        "sock_send" => linker.func_wrap(MODULE, name, process::sock_send),
        "sock_shutdown" => linker.func_wrap(MODULE, name, process::sock_shutdown),
        _ => return define_files(linker, name),
    }?;
    Ok(())
}

fn define_files(linker: &mut Linker<Host>, name: &str) -> Result<(), Unknown> {
    match name {
        "fd_advise" => linker.func_wrap(MODULE, name, file::fd_advise),
        "fd_allocate" => linker.func_wrap(MODULE, name, file::fd_allocate),
        "fd_close" => linker.func_wrap(MODULE, name, descriptors::fd_close),
        "fd_datasync" => linker.func_wrap(MODULE, name, file::fd_datasync),
        "fd_fdstat_get" => linker.func_wrap(MODULE, name, descriptors::fd_fdstat_get),
        "fd_fdstat_set_flags" => linker.func_wrap(MODULE, name, descriptors::fd_fdstat_set_flags),
        "fd_fdstat_set_rights" => linker.func_wrap(MODULE, name, descriptors::fd_fdstat_set_rights),
        "fd_filestat_get" => linker.func_wrap(MODULE, name, descriptors::fd_filestat_get),
        "fd_filestat_set_size" => linker.func_wrap(MODULE, name, file::fd_filestat_set_size),
        "fd_filestat_set_times" => linker.func_wrap(MODULE, name, file::fd_filestat_set_times),
        "fd_pread" => linker.func_wrap(MODULE, name, file::fd_pread),
        "fd_prestat_get" => linker.func_wrap(MODULE, name, descriptors::fd_prestat_get),
        "fd_prestat_dir_name" => linker.func_wrap(MODULE, name, descriptors::fd_prestat_dir_name),
        "fd_pwrite" => linker.func_wrap(MODULE, name, stream::fd_pwrite),
        "fd_read" => linker.func_wrap(MODULE, name, file::fd_read),
        "fd_readdir" => linker.func_wrap(MODULE, name, path::fd_readdir),
        "fd_renumber" => linker.func_wrap(MODULE, name, descriptors::fd_renumber),
        "fd_seek" => linker.func_wrap(MODULE, name, file::fd_seek),
        "fd_sync" => linker.func_wrap(MODULE, name, file::fd_sync),
        "fd_tell" => linker.func_wrap(MODULE, name, file::fd_tell),
        "fd_write" => linker.func_wrap(MODULE, name, stream::fd_write),
        "path_create_directory" => linker.func_wrap(MODULE, name, path::path_create_directory),
        "path_filestat_get" => linker.func_wrap(MODULE, name, path::path_filestat_get),
        "path_filestat_set_times" => linker.func_wrap(MODULE, name, path::path_filestat_set_times),
        "path_link" => linker.func_wrap(MODULE, name, path::path_link),
        "path_open" => linker.func_wrap(MODULE, name, path::path_open),
        "path_readlink" => linker.func_wrap(MODULE, name, path::path_readlink),
        "path_remove_directory" => linker.func_wrap(MODULE, name, path::path_remove_directory),
        "path_rename" => linker.func_wrap(MODULE, name, path::path_rename),
        "path_symlink" => linker.func_wrap(MODULE, name, path::path_symlink),
        "path_unlink_file" => linker.func_wrap(MODULE, name, path::path_unlink_file),
        _ => return Err(Unknown),
    }?;
    Ok(())
}
