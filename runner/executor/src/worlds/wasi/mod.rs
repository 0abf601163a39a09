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

use super::{Unknown, function};
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
        "args_get" => function::define(linker, MODULE, name, strings::args_get),
        "args_sizes_get" => function::define(linker, MODULE, name, strings::args_sizes_get),
        "environ_get" => function::define(linker, MODULE, name, strings::environ_get),
        "environ_sizes_get" => function::define(linker, MODULE, name, strings::environ_sizes_get),
        "clock_res_get" => function::define(linker, MODULE, name, clock::clock_res_get),
        "clock_time_get" => function::define(linker, MODULE, name, clock::clock_time_get),
        "poll_oneoff" => function::define(linker, MODULE, name, poll::poll_oneoff),
        "proc_exit" => function::define(linker, MODULE, name, process::proc_exit),
        "proc_raise" => function::define(linker, MODULE, name, process::proc_raise),
        "random_get" => function::define(linker, MODULE, name, process::random_get),
        "sched_yield" => function::define(linker, MODULE, name, process::sched_yield),
        "sock_accept" => function::define(linker, MODULE, name, process::sock_accept),
        "sock_recv" => function::define(linker, MODULE, name, process::sock_recv),
        "sock_send" => function::define(linker, MODULE, name, process::sock_send),
        "sock_shutdown" => function::define(linker, MODULE, name, process::sock_shutdown),
        _ => return define_files(linker, name),
    }?;
    Ok(())
}

fn define_files(linker: &mut Linker<Host>, name: &str) -> Result<(), Unknown> {
    match name {
        "fd_advise" => function::define(linker, MODULE, name, file::fd_advise),
        "fd_allocate" => function::define(linker, MODULE, name, file::fd_allocate),
        "fd_close" => function::define(linker, MODULE, name, descriptors::fd_close),
        "fd_datasync" => function::define(linker, MODULE, name, file::fd_datasync),
        "fd_fdstat_get" => function::define(linker, MODULE, name, descriptors::fd_fdstat_get),
        "fd_fdstat_set_flags" => function::define(linker, MODULE, name, descriptors::fd_fdstat_set_flags),
        "fd_fdstat_set_rights" => function::define(linker, MODULE, name, descriptors::fd_fdstat_set_rights),
        "fd_filestat_get" => function::define(linker, MODULE, name, descriptors::fd_filestat_get),
        "fd_filestat_set_size" => function::define(linker, MODULE, name, file::fd_filestat_set_size),
        "fd_filestat_set_times" => function::define(linker, MODULE, name, file::fd_filestat_set_times),
        "fd_pread" => function::define(linker, MODULE, name, file::fd_pread),
        "fd_prestat_get" => function::define(linker, MODULE, name, descriptors::fd_prestat_get),
        "fd_prestat_dir_name" => function::define(linker, MODULE, name, descriptors::fd_prestat_dir_name),
        "fd_pwrite" => function::define(linker, MODULE, name, stream::fd_pwrite),
        "fd_read" => function::define(linker, MODULE, name, file::fd_read),
        "fd_readdir" => function::define(linker, MODULE, name, path::fd_readdir),
        "fd_renumber" => function::define(linker, MODULE, name, descriptors::fd_renumber),
        "fd_seek" => function::define(linker, MODULE, name, file::fd_seek),
        "fd_sync" => function::define(linker, MODULE, name, file::fd_sync),
        "fd_tell" => function::define(linker, MODULE, name, file::fd_tell),
        "fd_write" => function::define(linker, MODULE, name, stream::fd_write),
        "path_create_directory" => function::define(linker, MODULE, name, path::path_create_directory),
        "path_filestat_get" => function::define(linker, MODULE, name, path::path_filestat_get),
        "path_filestat_set_times" => function::define(linker, MODULE, name, path::path_filestat_set_times),
        "path_link" => function::define(linker, MODULE, name, path::path_link),
        "path_open" => function::define(linker, MODULE, name, path::path_open),
        "path_readlink" => function::define(linker, MODULE, name, path::path_readlink),
        "path_remove_directory" => function::define(linker, MODULE, name, path::path_remove_directory),
        "path_rename" => function::define(linker, MODULE, name, path::path_rename),
        "path_symlink" => function::define(linker, MODULE, name, path::path_symlink),
        "path_unlink_file" => function::define(linker, MODULE, name, path::path_unlink_file),
        _ => return Err(Unknown),
    }?;
    Ok(())
}
