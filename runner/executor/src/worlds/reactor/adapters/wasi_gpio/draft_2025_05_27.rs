//! The draft of 2025-05-27: `wit/gpio.wit` at f29331b in onraj55555/wasi-gpio, which the pull request
//! WebAssembly/wasi-gpio#3 comes from and `idlab-discover/wasi-gpio-implementations` implements.
//!
//! Pins come from a static `get` of their resource; more errors have names, and the active level must be said.

use wasmi::Linker;

use super::{
    Draft, GpioError, IN_PIN, OUT_PIN, PACKAGE, STATEFUL_OUT_PIN, Settings, VERSION, define_get, define_get_config,
    define_pin, flag, lines,
};
use crate::{
    host::Host,
    lines::{Direction, Resource},
    worlds::Unknown,
};

pub(in super::super) const DRAFT: Draft = Draft { package: PACKAGE, version: VERSION, functions: FUNCTIONS, define };

const FUNCTIONS: &[(&str, &str)] = &[
    ("digital", "[static]digital-out-pin.get"),
    ("digital", "[method]digital-out-pin.get-config"),
    ("digital", "[method]digital-out-pin.is-ready"),
    ("digital", "[method]digital-out-pin.set-state"),
    ("digital", "[method]digital-out-pin.set-active"),
    ("digital", "[method]digital-out-pin.set-inactive"),
    ("digital", "[resource-drop]digital-out-pin"),
    ("digital", "[static]stateful-digital-out-pin.get"),
    ("digital", "[method]stateful-digital-out-pin.get-config"),
    ("digital", "[method]stateful-digital-out-pin.is-ready"),
    ("digital", "[method]stateful-digital-out-pin.set-state"),
    ("digital", "[method]stateful-digital-out-pin.set-active"),
    ("digital", "[method]stateful-digital-out-pin.set-inactive"),
    ("digital", "[method]stateful-digital-out-pin.toggle"),
    ("digital", "[method]stateful-digital-out-pin.is-set-active"),
    ("digital", "[method]stateful-digital-out-pin.is-set-inactive"),
    ("digital", "[method]stateful-digital-out-pin.get-state"),
    ("digital", "[resource-drop]stateful-digital-out-pin"),
    ("digital", "[static]digital-in-pin.get"),
    ("digital", "[method]digital-in-pin.get-config"),
    ("digital", "[method]digital-in-pin.is-ready"),
    ("digital", "[method]digital-in-pin.read"),
    ("digital", "[method]digital-in-pin.is-active"),
    ("digital", "[method]digital-in-pin.is-inactive"),
    ("digital", "[resource-drop]digital-in-pin"),
];

/// `get-config` answers the record in a result.
const RECORD_OFFSET: u32 = 4;

fn define(linker: &mut Linker<Host>, module: &str, _interface: &str, name: &str) -> Result<(), Unknown> {
    let of_pin = |pin| lines::function_of(name, pin).map(|function| (pin, function));
    let (pin, function) = [OUT_PIN, STATEFUL_OUT_PIN, IN_PIN].into_iter().find_map(of_pin).ok_or(Unknown)?;
    match function {
        "get" => define_get(linker, module, name, pin, settings),
        "get-config" => define_get_config(linker, module, name, pin, RECORD_OFFSET),
        _ => define_pin(linker, module, name, pin, function),
    }
}

fn settings(flags: u8, pin: Resource) -> Result<Settings, GpioError> {
    // `input` and `output` are for pins of both directions.
    let allowed = match pin.direction {
        Direction::Output => flag::ACTIVE_HIGH | flag::ACTIVE_LOW | flag::ACTIVE | flag::INACTIVE,
        Direction::Input => flag::ACTIVE_HIGH | flag::ACTIVE_LOW | flag::PULL_UP | flag::PULL_DOWN,
    };
    let settings = Settings::of(flags & allowed).filter(|_| flags & !allowed == 0).ok_or(GpioError::InvalidFlag)?;
    if settings.active_low.is_none() { Err(GpioError::MissingFlags) } else { Ok(settings) }
}
