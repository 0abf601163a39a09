//! What a node offers for import, as a table.
//!
//! The cells serve these functions (`runner-executor`, `worlds`); tools that look at a container without a node need to know
//! them too. `tests/container/offers.rs` holds this table to both: what a cell serves and what `runner/wit/atoll.wit` says.

use alloc::{format, string::String};

/// A function that a container may import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The interface: `log` of `atoll:node/log@0.1.0`, `wasi:io/poll` of `wasi:io/poll@0.2.0`, [`WASI`], or [`TINY`].
    pub interface: &'static str,
    /// The import's name.
    pub name: &'static str,
    /// Types of the parameters, a letter each: `i` an i32, `I` an i64, `D` an f64.
    pub parameters: &'static str,
    /// Types of the results, likewise.
    pub results: &'static str,
    /// Whether it can succeed; otherwise it always answers an error number: there is nothing that it could do.
    pub served: bool,
    /// The drafts of its package that have it, a bit each as in [`DRAFTS`]; none where the package is no draft. All functions
    /// that a module imports of a package must be of one draft.
    pub drafts: u8,
}

/// The drafts that are served: package, and the day of the draft. Drafts of one package give themselves one version.
pub const DRAFTS: &[(&str, &str)] =
    &[("wasi:gpio", "2025-03-18"), ("wasi:gpio", "2025-05-27"), ("wasi:i2c", "2024-03-19")];

const MARCH: u8 = 1 << 0;
const MAY: u8 = 1 << 1;
const I2C: u8 = 1 << 2;

/// Packages of others that are served: what their modules' names begin with, and their versions.
const PACKAGES: &[(&str, Versions)] = &[
    ("wasi:clocks/", Versions::Patches("0.2.")),
    ("wasi:io/", Versions::Patches("0.2.")),
    ("wasi:logging/", Versions::These(&["", "0.1.0-draft"])),
    ("wasi:gpio/", Versions::These(&["0.2.0"])),
    ("wasi:i2c/", Versions::These(&["0.2.0-draft"])),
];

/// Versions that are served alike.
enum Versions {
    /// What begins so and goes on with a number.
    Patches(&'static str),
    /// These; an empty one is none at all.
    These(&'static [&'static str]),
}

impl Versions {
    fn have(&self, version: &str) -> bool {
        match self {
            Self::Patches(begin) => version
                .strip_prefix(begin)
                .is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|digit| digit.is_ascii_digit())),
            Self::These(versions) => versions.contains(&version),
        }
    }
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
    Offer { interface: WASI, name, parameters, results: "i", served: true, drafts: 0 }
}

const fn unserved(name: &'static str, parameters: &'static str) -> Offer {
    Offer { interface: WASI, name, parameters, results: "i", served: false, drafts: 0 }
}

const fn node(interface: &'static str, name: &'static str, parameters: &'static str, results: &'static str) -> Offer {
    Offer { interface, name, parameters, results, served: true, drafts: 0 }
}

const fn gpio(drafts: u8, name: &'static str, parameters: &'static str, results: &'static str) -> Offer {
    Offer { interface: "wasi:gpio/digital", name, parameters, results, served: true, drafts }
}

const fn i2c(name: &'static str, parameters: &'static str) -> Offer {
    Offer { interface: "wasi:i2c/i2c", name, parameters, results: "", served: true, drafts: I2C }
}

const fn tiny(name: &'static str, parameters: &'static str, results: &'static str) -> Offer {
    Offer { interface: TINY, name, parameters, results, served: true, drafts: 0 }
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
    Offer { interface: WASI, name: "proc_exit", parameters: "i", results: "", served: true, drafts: 0 },
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
    node("i2c", "open", "ii", ""),
    node("i2c", "[method]device.write-u8", "iii", "i"),
    node("i2c", "[method]device.write-u16-be", "iii", "i"),
    node("i2c", "[method]device.send", "iIi", "i"),
    node("i2c", "[method]device.read", "iii", "i"),
    node("i2c", "[method]device.receive", "ii", "i"),
    node("i2c", "[method]device.value-u64", "i", "I"),
    node("i2c", "[method]device.value-word", "ii", "I"),
    node("i2c", "[resource-drop]device", "i", ""),
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
    node("wasi:clocks/monotonic-clock", "now", "", "I"),
    node("wasi:clocks/monotonic-clock", "resolution", "", "I"),
    node("wasi:clocks/monotonic-clock", "subscribe-instant", "I", "i"),
    node("wasi:clocks/monotonic-clock", "subscribe-duration", "I", "i"),
    node("wasi:clocks/wall-clock", "now", "i", ""),
    node("wasi:clocks/wall-clock", "resolution", "i", ""),
    node("wasi:io/poll", "[method]pollable.ready", "i", "i"),
    node("wasi:io/poll", "[method]pollable.block", "i", ""),
    node("wasi:io/poll", "poll", "iii", ""),
    node("wasi:io/poll", "[resource-drop]pollable", "i", ""),
    node("wasi:logging/logging", "log", "iiiii", ""),
    gpio(MARCH, "get-digital-out", "iiiii", ""),
    gpio(MARCH, "get-digital-in", "iiiii", ""),
    gpio(MAY, "[static]digital-out-pin.get", "iiiii", ""),
    gpio(MAY, "[method]digital-out-pin.is-ready", "i", "i"),
    gpio(MARCH | MAY, "[method]digital-out-pin.get-config", "ii", ""),
    gpio(MARCH | MAY, "[method]digital-out-pin.set-state", "iii", ""),
    gpio(MARCH | MAY, "[method]digital-out-pin.set-active", "ii", ""),
    gpio(MARCH | MAY, "[method]digital-out-pin.set-inactive", "ii", ""),
    gpio(MARCH, "[method]digital-out-pin.toggle", "ii", ""),
    gpio(MARCH | MAY, "[resource-drop]digital-out-pin", "i", ""),
    gpio(MAY, "[static]stateful-digital-out-pin.get", "iiiii", ""),
    gpio(MAY, "[method]stateful-digital-out-pin.is-ready", "i", "i"),
    gpio(MAY, "[method]stateful-digital-out-pin.get-config", "ii", ""),
    gpio(MAY, "[method]stateful-digital-out-pin.set-state", "iii", ""),
    gpio(MAY, "[method]stateful-digital-out-pin.set-active", "ii", ""),
    gpio(MAY, "[method]stateful-digital-out-pin.set-inactive", "ii", ""),
    gpio(MAY, "[method]stateful-digital-out-pin.toggle", "ii", ""),
    gpio(MAY, "[method]stateful-digital-out-pin.is-set-active", "ii", ""),
    gpio(MAY, "[method]stateful-digital-out-pin.is-set-inactive", "ii", ""),
    gpio(MAY, "[method]stateful-digital-out-pin.get-state", "ii", ""),
    gpio(MAY, "[resource-drop]stateful-digital-out-pin", "i", ""),
    gpio(MAY, "[static]digital-in-pin.get", "iiiii", ""),
    gpio(MAY, "[method]digital-in-pin.is-ready", "i", "i"),
    gpio(MARCH | MAY, "[method]digital-in-pin.get-config", "ii", ""),
    gpio(MARCH | MAY, "[method]digital-in-pin.read", "ii", ""),
    gpio(MARCH | MAY, "[method]digital-in-pin.is-active", "ii", ""),
    gpio(MARCH | MAY, "[method]digital-in-pin.is-inactive", "ii", ""),
    gpio(MARCH | MAY, "[resource-drop]digital-in-pin", "i", ""),
    Offer { interface: "wasi:gpio/delay", name: "delay-ns", parameters: "i", results: "", served: true, drafts: MARCH },
    Offer { interface: "wasi:gpio/delay", name: "delay-us", parameters: "i", results: "", served: true, drafts: MARCH },
    Offer { interface: "wasi:gpio/delay", name: "delay-ms", parameters: "i", results: "", served: true, drafts: MARCH },
    i2c("[method]i2c.read", "iiIi"),
    i2c("[method]i2c.write", "iiiii"),
    i2c("[method]i2c.write-read", "iiiiIi"),
    i2c("[resource-drop]i2c", "i"),
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
    let (interface, version) = module.split_once('@').unwrap_or((module, ""));
    if let Some(ours) = interface.strip_prefix(NODE_PACKAGE) {
        return Versions::Patches(NODE_VERSION).have(version).then_some(ours);
    }
    let (_, versions) = PACKAGES.iter().find(|(package, _)| interface.starts_with(package))?;
    let is_served = OFFERS.iter().any(|offer| offer.interface == interface);
    (is_served && versions.have(version)).then_some(interface)
}

/// A module that [`interface`] reads that interface of the table from, in a version that is served: for who writes imports.
#[must_use]
pub fn module_of(interface: &str) -> String {
    if interface == WASI || interface == TINY {
        return interface.into();
    }
    if !interface.contains('/') {
        return format!("{NODE_PACKAGE}{interface}@{NODE_VERSION}0");
    }
    match PACKAGES.iter().find(|(package, _)| interface.starts_with(package)) {
        Some((_, Versions::Patches(begin))) => format!("{interface}@{begin}0"),
        Some((_, Versions::These(versions))) => format!("{interface}@{}", versions.last().unwrap_or(&"")),
        None => interface.into(),
    }
}

/// The first of `imports` (module and name) that no draft has together with those before it.
pub fn mixed_drafts<'i>(imports: impl IntoIterator<Item = (&'i str, &'i str)>) -> Option<(&'i str, &'i str)> {
    let mut possible = u8::MAX;
    imports.into_iter().find(|(module, name)| match find(module, name) {
        Some(offer) if offer.drafts != 0 => {
            // Bits of other packages are none of this one's affair.
            let of_package = drafts_of(offer.interface);
            possible &= offer.drafts | !of_package;
            possible & of_package == 0
        }
        _ => false,
    })
}

/// The bits of all drafts of an interface's package.
fn drafts_of(interface: &str) -> u8 {
    let package = interface.split('/').next().unwrap_or_default();
    (0..).zip(DRAFTS).filter(|(_, (of, _))| *of == package).fold(0, |bits, (bit, _)| bits | 1 << bit)
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
