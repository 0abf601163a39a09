//! The reactor world: the interfaces of `runner/wit/atoll.wit`, a file each, and in [`adapters`] those that others wrote.
//!
//! The functions have the lowered form that `wit-bindgen` imports: a string is address and length, an enumeration and a
//! boolean an `i32`, a resource its handle, and `result<handle, status>` comes back through an address (a byte that is 1 for
//! an error; at offset 4 the handle, or the status in one byte). Versions match as semver does: any 0.1.x. Whether a line
//! or a timer may be used is not decided here: the domain that owns it answers, and its answer is passed on.

use wasmi::Linker;

use super::Unknown;
use crate::host::Host;

pub(crate) use adapters::Drafts;

mod adapters;
mod channel;
mod clock;
mod gpio;
mod i2c;
mod log;
mod node;
mod opening;
mod sleep;
mod timer;

/// The package in front of an interface's name.
const PACKAGE: &str = "atoll:node/";

/// The interface of an import's module name, where this world offers its version.
fn interface(module: &str) -> Option<&str> {
    let (interface, version) = module.strip_prefix(PACKAGE)?.split_once('@')?;
    let patch = version.strip_prefix("0.1.")?;
    (!patch.is_empty() && patch.bytes().all(|digit| digit.is_ascii_digit())).then_some(interface)
}

pub(super) fn define(linker: &mut Linker<Host>, drafts: Drafts, module: &str, name: &str) -> Result<(), Unknown> {
    let Some(interface) = interface(module) else {
        return adapters::define(linker, drafts, module, name);
    };
    match interface {
        "channel" => channel::define(linker, module, name),
        "log" => log::define(linker, module, name),
        "clock" => clock::define(linker, module, name),
        "sleep" => sleep::define(linker, module, name),
        "timer" => timer::define(linker, module, name),
        "gpio" => gpio::define(linker, module, name),
        "i2c" => i2c::define(linker, module, name),
        "node" => node::define(linker, module, name),
        _ => Err(Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_match_as_semver_does() {
        assert_eq!(interface("atoll:node/log@0.1.0"), Some("log"));
        assert_eq!(interface("atoll:node/gpio@0.1.17"), Some("gpio"));
        for other in [
            "atoll:node/log",
            "atoll:node/log@0.2.0",
            "atoll:node/log@1.1.0",
            "atoll:node/log@0.1.",
            "atoll:node/log@0.1.0-draft",
            "atoll:nodes/log@0.1.0",
            "log@0.1.0",
        ] {
            assert_eq!(interface(other), None, "{other}");
        }
    }
}
