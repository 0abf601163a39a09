//! Arguments and environment, as the configuration has them. The container's name is argument 0.

use wasmi::{Caller, Error};

use super::errno::serve_at_length;
use crate::{
    engine::copy_fuel,
    host::Host,
    memory::{Fault, GuestMemory, length_u32, offset},
};

/// Fuel of looking at a string and of writing its address.
const FUEL_PER_STRING: u64 = 12;

fn arguments(host: &Host) -> impl Iterator<Item = [&str; 3]> {
    let configuration = &host.configuration;
    core::iter::once(&configuration.name).chain(&configuration.arguments).map(|text| [text, "", ""])
}

fn environment(host: &Host) -> impl Iterator<Item = [&str; 3]> {
    host.configuration.environment.iter().map(|(name, value)| [name, "=", value])
}

pub(super) fn args_sizes_get(caller: &mut Caller<'_, Host>, count: u32, bytes: u32) -> Result<u32, Error> {
    serve_at_length(caller, 0, |memory, host| Ok(write_sizes(memory, count, bytes, arguments(host))?))
}

pub(super) fn environ_sizes_get(caller: &mut Caller<'_, Host>, count: u32, bytes: u32) -> Result<u32, Error> {
    serve_at_length(caller, 0, |memory, host| Ok(write_sizes(memory, count, bytes, environment(host))?))
}

pub(super) fn args_get(caller: &mut Caller<'_, Host>, array: u32, text: u32) -> Result<u32, Error> {
    serve_at_length(caller, 0, |memory, host| Ok(write_strings(memory, array, text, arguments(host))?))
}

pub(super) fn environ_get(caller: &mut Caller<'_, Host>, array: u32, text: u32) -> Result<u32, Error> {
    serve_at_length(caller, 0, |memory, host| Ok(write_strings(memory, array, text, environment(host))?))
}

/// How many strings there are and how many bytes they take. Answers how much fuel that was, as [`write_strings`] does.
fn write_sizes<'s>(
    memory: &mut GuestMemory<'_>,
    count: u32,
    bytes: u32,
    strings: impl Iterator<Item = [&'s str; 3]>,
) -> Result<u64, Fault> {
    let (strings, length) = strings.fold((0, 0), |(count, bytes), parts| {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        (count + 1, bytes + length_u32(length) + 1)
    });
    memory.write_u32(count, strings)?;
    memory.write_u32(bytes, length)?;
    Ok(u64::from(strings) * FUEL_PER_STRING)
}

/// An array of addresses, and the texts, each with a zero behind it.
fn write_strings<'s>(
    memory: &mut GuestMemory<'_>,
    mut array: u32,
    mut text: u32,
    strings: impl Iterator<Item = [&'s str; 3]>,
) -> Result<u64, Fault> {
    let mut fuel = 0;
    for parts in strings {
        let begin = text;
        memory.write_u32(array, text)?;
        array = offset(array, 4)?;
        for bytes in parts.map(str::as_bytes).into_iter().chain([&[0][..]]) {
            memory.write(text, bytes)?;
            text = offset(text, length_u32(bytes.len()))?;
        }
        fuel += FUEL_PER_STRING + copy_fuel(text - begin);
    }
    Ok(fuel)
}
