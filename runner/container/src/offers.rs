//! What a node offers for import, as a table.
//!
//! The cells serve these functions (`runner-executor`, `worlds`); tools that look at a container without a node need to know
//! them too. `tests/container/offers.rs` holds this table to both: what a cell serves and what `runner/wit/atoll.wit` says.

/// A function that a container may import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The interface: `log` of `atoll:node/log@0.1.0`, [`WASI`], or [`TINY`].
    pub interface: &'static str,
    /// The import's name.
    pub name: &'static str,
    /// Types of the parameters, a letter each: `i` an i32, `I` an i64, `D` an f64.
    pub parameters: &'static str,
    /// Types of the results, likewise.
    pub results: &'static str,
    /// Whether it can succeed; otherwise it always answers an error number: there is nothing that it could do.
    pub served: bool,
}

/// The module of WASI preview 1.
pub const WASI: &str = "wasi_snapshot_preview1";

/// The module of TinyContainer's functions.
pub const TINY: &str = "env";

/// The package of the node's own interfaces.
pub const NODE_PACKAGE: &str = "atoll:node/";

/// The versions of [`NODE_PACKAGE`] that are served begin so: any patch of 0.1, as semver has it.
pub const NODE_VERSION: &str = "0.1.";

const fn wasi(name: &'static str, parameters: &'static str) -> Offer {
    Offer { interface: WASI, name, parameters, results: "i", served: true }
}

const fn unserved(name: &'static str, parameters: &'static str) -> Offer {
    Offer { interface: WASI, name, parameters, results: "i", served: false }
}

const fn node(interface: &'static str, name: &'static str, parameters: &'static str, results: &'static str) -> Offer {
    Offer { interface, name, parameters, results, served: true }
}

const fn tiny(name: &'static str, parameters: &'static str, results: &'static str) -> Offer {
    Offer { interface: TINY, name, parameters, results, served: true }
}

/// Everything that is offered.
pub const OFFERS: &[Offer] = &[
    wasi("args_get", "ii"),
    wasi("args_sizes_get", "ii"),
    wasi("environ_get", "ii"),
    wasi("environ_sizes_get", "ii"),
    wasi("clock_res_get", "ii"),
    wasi("clock_time_get", "iIi"),
    wasi("fd_close", "i"),
    wasi("fd_fdstat_get", "ii"),
    wasi("fd_fdstat_set_flags", "ii"),
    wasi("fd_prestat_get", "ii"),
    wasi("fd_prestat_dir_name", "iii"),
    wasi("fd_read", "iiii"),
    wasi("fd_seek", "iIii"),
    wasi("fd_write", "iiii"),
    wasi("poll_oneoff", "iiii"),
    Offer { interface: WASI, name: "proc_exit", parameters: "i", results: "", served: true },
    wasi("random_get", "ii"),
    wasi("sched_yield", ""),
    wasi("fd_advise", "iIIi"),
    wasi("fd_datasync", "i"),
    wasi("fd_fdstat_set_rights", "iII"),
    wasi("fd_filestat_get", "ii"),
    wasi("fd_pread", "iiiIi"),
    wasi("fd_readdir", "iiiIi"),
    wasi("fd_renumber", "ii"),
    wasi("fd_sync", "i"),
    wasi("fd_tell", "ii"),
    wasi("path_filestat_get", "iiiii"),
    wasi("path_open", "iiiiiIIii"),
    unserved("fd_allocate", "iII"),
    unserved("fd_filestat_set_size", "iI"),
    unserved("fd_filestat_set_times", "iIIi"),
    unserved("fd_pwrite", "iiiIi"),
    unserved("path_create_directory", "iii"),
    unserved("path_filestat_set_times", "iiiiIIi"),
    unserved("path_link", "iiiiiii"),
    unserved("path_readlink", "iiiiii"),
    unserved("path_remove_directory", "iii"),
    unserved("path_rename", "iiiiii"),
    unserved("path_symlink", "iiiii"),
    unserved("path_unlink_file", "iii"),
    unserved("proc_raise", "i"),
    unserved("sock_accept", "iii"),
    unserved("sock_recv", "iiiiii"),
    unserved("sock_send", "iiiii"),
    unserved("sock_shutdown", "ii"),
    node("log", "log", "iii", ""),
    node("clock", "now", "", "I"),
    node("timer", "sleep", "I", "i"),
    node("timer", "arm", "iII", "i"),
    node("timer", "disarm", "i", "i"),
    node("timer", "wait", "i", "i"),
    node("sleep", "sleep-for", "I", "i"),
    node("sleep", "sleep-until", "I", "i"),
    node("gpio", "open-output", "iii", ""),
    node("gpio", "open-input", "iii", ""),
    node("gpio", "[method]output.set", "ii", "i"),
    node("gpio", "[method]output.toggle", "i", "i"),
    node("gpio", "[method]output.get", "i", "i"),
    node("gpio", "[method]output.set-state", "ii", "i"),
    node("gpio", "[method]output.state", "i", "i"),
    node("gpio", "[method]output.active-level", "i", "i"),
    node("gpio", "[method]output.set-active-level", "ii", ""),
    node("gpio", "[resource-drop]output", "i", ""),
    node("gpio", "[method]input.get", "i", "i"),
    node("gpio", "[method]input.state", "i", "i"),
    node("gpio", "[method]input.active-level", "i", "i"),
    node("gpio", "[method]input.set-active-level", "ii", ""),
    node("gpio", "[method]input.set-pull", "ii", "i"),
    node("gpio", "[method]input.watch", "ii", "i"),
    node("gpio", "[method]input.take-edges", "i", "i"),
    node("gpio", "[resource-drop]input", "i", ""),
    node("node", "board", "i", ""),
    node("node", "version", "i", ""),
    node("node", "substrate", "i", ""),
    node("node", "container-name", "i", ""),
    node("node", "container-version", "i", ""),
    node("channel", "open-writer", "iii", ""),
    node("channel", "open-reader", "iii", ""),
    node("channel", "[method]writer.put-u64", "iI", "i"),
    node("channel", "[method]writer.put-s64", "iI", "i"),
    node("channel", "[method]writer.put-f64", "iD", "i"),
    node("channel", "[method]writer.put-bytes", "iii", "i"),
    node("channel", "[resource-drop]writer", "i", ""),
    node("channel", "[method]reader.next", "i", "i"),
    node("channel", "[method]reader.peek", "i", "i"),
    node("channel", "[method]reader.value-u64", "i", "I"),
    node("channel", "[method]reader.value-s64", "i", "I"),
    node("channel", "[method]reader.value-f64", "i", "D"),
    node("channel", "[method]reader.value-length", "i", "i"),
    node("channel", "[method]reader.value-word", "ii", "I"),
    node("channel", "[method]reader.value-block", "iii", ""),
    node("channel", "[method]reader.value-bytes", "ii", ""),
    node("channel", "[method]reader.missed", "i", "I"),
    node("channel", "[resource-drop]reader", "i", ""),
    tiny("logger", "i", ""),
    tiny("open", "i", "i"),
    tiny("read", "iii", "i"),
    tiny("write", "iii", "i"),
    tiny("close", "i", "i"),
];

/// The interface that an import's module names, where its version is served.
#[must_use]
pub fn interface(module: &str) -> Option<&str> {
    if module == WASI || module == TINY {
        return Some(module);
    }
    let (interface, version) = module.strip_prefix(NODE_PACKAGE)?.split_once('@')?;
    let patch = version.strip_prefix(NODE_VERSION)?;
    (!patch.is_empty() && patch.bytes().all(|digit| digit.is_ascii_digit())).then_some(interface)
}

/// What is offered under that import.
#[must_use]
pub fn find(module: &str, name: &str) -> Option<&'static Offer> {
    let interface = interface(module)?;
    OFFERS.iter().find(|offer| offer.interface == interface && offer.name == name)
}

/// The most tables of one module (`runner-executor`, `limits`).
pub const MAX_TABLES: usize = 8;

/// The hooks by world: what a module of it exports, and what each answers (letters as in [`Offer`]). None takes an argument.
pub const COMMAND_HOOKS: &[(&str, &str)] = &[("_start", "")];
/// See [`COMMAND_HOOKS`].
pub const REACTOR_HOOKS: &[(&str, &str)] = &[("on-start", "i"), ("on-loop", "i"), ("on-stop", "")];
/// See [`COMMAND_HOOKS`].
pub const TINY_HOOKS: &[(&str, &str)] = &[("start", ""), ("loop", "i"), ("stop", "")];
