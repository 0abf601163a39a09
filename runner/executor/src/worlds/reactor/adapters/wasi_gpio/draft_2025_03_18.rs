//! The draft of 2025-03-18: `wit/gpio.wit` and `wit/delay.wit` at 2478b0d in WebAssembly/wasi-gpio, its main branch.
//!
//! Pins come from `get-digital-in` and `get-digital-out`, which that file has in comments; a module has no other way to a pin.

use wasmi::{Caller, Error, Linker};

use super::{
    Draft, GpioError, IN_PIN, OUT_PIN, PACKAGE, Settings, VERSION, define_get, define_get_config, define_pin, flag,
    lines,
};
use crate::{
    host::Host,
    lines::{Direction, Resource},
    wait::{Wait, suspend},
    worlds::{Unknown, enter, function},
};

pub(in super::super) const DRAFT: Draft = Draft { package: PACKAGE, version: VERSION, functions: FUNCTIONS, define };

const FUNCTIONS: &[(&str, &str)] = &[
    ("digital", "get-digital-out"),
    ("digital", "[method]digital-out-pin.get-config"),
    ("digital", "[method]digital-out-pin.set-state"),
    ("digital", "[method]digital-out-pin.set-active"),
    ("digital", "[method]digital-out-pin.set-inactive"),
    ("digital", "[method]digital-out-pin.toggle"),
    ("digital", "[resource-drop]digital-out-pin"),
    ("digital", "get-digital-in"),
    ("digital", "[method]digital-in-pin.get-config"),
    ("digital", "[method]digital-in-pin.read"),
    ("digital", "[method]digital-in-pin.is-active"),
    ("digital", "[method]digital-in-pin.is-inactive"),
    ("digital", "[resource-drop]digital-in-pin"),
    ("delay", "delay-ns"),
    ("delay", "delay-us"),
    ("delay", "delay-ms"),
];

/// `get-config` answers the record itself.
const RECORD_OFFSET: u32 = 0;

fn define(linker: &mut Linker<Host>, module: &str, interface: &str, name: &str) -> Result<(), Unknown> {
    match (interface, name) {
        ("digital", "get-digital-out") => return define_get(linker, module, name, OUT_PIN, settings),
        ("digital", "get-digital-in") => return define_get(linker, module, name, IN_PIN, settings),
        ("delay", "delay-ns") => {
            function::define(linker, module, name, |caller: &mut Caller<'_, Host>, ns: u32| delay(caller, ns, 1))
        }
        ("delay", "delay-us") => {
            function::define(linker, module, name, |caller: &mut Caller<'_, Host>, us: u32| delay(caller, us, 1_000))
        }
        ("delay", "delay-ms") => function::define(linker, module, name, |caller: &mut Caller<'_, Host>, ms: u32| {
            delay(caller, ms, 1_000_000)
        }),
        _ => {
            let of_pin = |pin| lines::function_of(name, pin).map(|function| (pin, function));
            let (pin, function) = [OUT_PIN, IN_PIN].into_iter().find_map(of_pin).ok_or(Unknown)?;
            return match function {
                "get-config" => define_get_config(linker, module, name, pin, RECORD_OFFSET),
                _ => define_pin(linker, module, name, pin, function),
            };
        }
    }?;
    Ok(())
}

/// This draft has no word for flags that make no sense.
fn settings(flags: u8, pin: Resource) -> Result<Settings, GpioError> {
    let pulls = flags & (flag::PULL_UP | flag::PULL_DOWN);
    if pin.direction == Direction::Output && pulls != 0 {
        return Err(GpioError::OperationNotSupported);
    }
    // It has four flags; what stands beyond them says nothing.
    Settings::of(flags & (flag::ACTIVE_HIGH | flag::ACTIVE_LOW | flag::PULL_UP | flag::PULL_DOWN))
        .ok_or(GpioError::OperationNotSupported)
}

fn delay(caller: &mut Caller<'_, Host>, count: u32, nanoseconds_each: u64) -> Result<(), Error> {
    enter(caller);
    if count == 0 {
        return Ok(());
    }
    let host = caller.data_mut();
    let until = host.now().saturating_add(u64::from(count) * nanoseconds_each);
    Ok(suspend(host, Wait::Delay { until })?)
}
