//! `channel`: typed values to and from other containers, by the names that `app.toml` gives the channels.
//!
//! The names and types are `admission`'s; whether an end may be used is the exchange's to say, at each call. Here a value is
//! held to its type in both directions: what this container puts, and what came from a cell that may have been taken over.

use runner_container::value_type::{Scalar, ValueType};
use runner_interfaces::{
    exchange::{Direction, MAX_BINDINGS, MAX_VALUE_BYTES, Procedure},
    gpio::Status,
};
use wasmi::{Caller, Error, Linker};

use super::{
    super::{Unknown, charge, enter, function},
    opening,
};
use crate::{
    delivery,
    ends::{OpenEnd, ReaderValue},
    host::{DOMAIN_CALL_FUEL, Host},
    memory::{Fault, GuestMemory, length_u32},
};

/// The longest name that a channel has (`runner_container::MAX_NAME_BYTES`); longer ones are `not-found`.
const NAME_BYTES: usize = runner_container::MAX_NAME_BYTES;

/// Words of a block, and the alignment of one: `tuple<u64, …>`.
const BLOCK_WORDS: u32 = 8;

pub(super) fn define(linker: &mut Linker<Host>, module: &str, name: &str) -> Result<(), Unknown> {
    match name {
        "open-writer" => function::define(linker, module, name, open_writer),
        "open-reader" => function::define(linker, module, name, open_reader),
        "[method]writer.put-u64" => function::define(linker, module, name, put_u64),
        "[method]writer.put-s64" => function::define(linker, module, name, put_s64),
        "[method]writer.put-f64" => function::define(linker, module, name, put_f64),
        "[method]writer.put-bytes" => function::define(linker, module, name, put_bytes),
        "[resource-drop]writer" => function::define(linker, module, name, drop_writer),
        "[method]reader.next" => function::define(linker, module, name, next),
        "[method]reader.peek" => function::define(linker, module, name, peek),
        "[method]reader.value-u64" => function::define(linker, module, name, value_u64),
        "[method]reader.value-s64" => function::define(linker, module, name, value_s64),
        "[method]reader.value-f64" => function::define(linker, module, name, value_f64),
        "[method]reader.value-length" => function::define(linker, module, name, value_length),
        "[method]reader.value-word" => function::define(linker, module, name, value_word),
        "[method]reader.value-block" => function::define(linker, module, name, value_block),
        "[method]reader.value-bytes" => function::define(linker, module, name, value_bytes),
        "[method]reader.missed" => function::define(linker, module, name, missed),
        "[resource-drop]reader" => function::define(linker, module, name, drop_reader),
        _ => return Err(Unknown),
    }?;
    Ok(())
}

fn open_writer(caller: &mut Caller<'_, Host>, name: u32, length: u32, result: u32) -> Result<(), Error> {
    open(caller, name, length, result, Direction::Put)
}

fn open_reader(caller: &mut Caller<'_, Host>, name: u32, length: u32, result: u32) -> Result<(), Error> {
    open(caller, name, length, result, Direction::Get)
}

fn open(caller: &mut Caller<'_, Host>, name: u32, length: u32, result: u32, direction: Direction) -> Result<(), Error> {
    enter(caller);
    opening::open(caller, [name, length, result], |host, name| {
        open_by_name(host, name, direction).map_err(|status| host.counted(status))
    })
}

/// The handle of the channel's end, or why there is none. The exchange is not asked: a channel without another end can be
/// open, and have one later.
fn open_by_name(host: &mut Host, name: &[u8], direction: Direction) -> Result<u32, Status> {
    if name.len() > NAME_BYTES {
        return Err(Status::NotFound);
    }
    let mut channels = host.configuration.channels.iter().take(MAX_BINDINGS).enumerate();
    let (index, channel) = channels.find(|(_, channel)| channel.name.as_bytes() == name).ok_or(Status::NotFound)?;
    if channel.direction != direction {
        return Err(Status::Invalid);
    }
    let binding = u8::try_from(index).map_err(|_| Status::NotFound)?;
    // `admission` admits no other types.
    let value_type = ValueType::parse(&channel.value_type).map_err(|_| Status::Unavailable)?;
    if host.ends.is_open(binding) {
        return Err(Status::Busy);
    }
    host.ends.insert(OpenEnd { binding, direction }, value_type).ok_or(Status::Busy)
}

fn no_such_handle(handle: u32, direction: Direction) -> Fault {
    let resource = match direction {
        Direction::Put => "writer",
        Direction::Get => "reader",
    };
    Fault::NoSuchHandle { resource, handle }
}

fn writer(host: &Host, handle: u32) -> Result<(u8, &ValueType), Fault> {
    host.ends.get(handle, Direction::Put).ok_or(no_such_handle(handle, Direction::Put))
}

fn reader(host: &mut Host, handle: u32) -> Result<(&ValueType, &mut ReaderValue), Fault> {
    host.ends.reader(handle).ok_or(no_such_handle(handle, Direction::Get))
}

/// Puts one item, which `bytes` makes of what the container gave.
fn put_scalar(
    caller: &mut Caller<'_, Host>,
    handle: u32,
    bytes: impl FnOnce(Scalar) -> Option<[u8; 8]>,
) -> Result<u32, Error> {
    enter(caller);
    charge(caller, DOMAIN_CALL_FUEL);
    let host = caller.data_mut();
    let (binding, value_type) = writer(host, handle)?;
    let item = value_type.scalar().and_then(|scalar| Some((scalar.size_bytes(), bytes(scalar)?)));
    let status = match item.as_ref().and_then(|(size, bytes)| bytes.get(..*size)) {
        Some(value) => host.put(binding, value),
        None => host.counted(Status::Invalid),
    };
    Ok(status.to_wire())
}

fn put_u64(caller: &mut Caller<'_, Host>, handle: u32, value: u64) -> Result<u32, Error> {
    put_scalar(caller, handle, |scalar| scalar.of_unsigned(value))
}

fn put_s64(caller: &mut Caller<'_, Host>, handle: u32, value: i64) -> Result<u32, Error> {
    put_scalar(caller, handle, |scalar| scalar.of_signed(value))
}

fn put_f64(caller: &mut Caller<'_, Host>, handle: u32, value: f64) -> Result<u32, Error> {
    put_scalar(caller, handle, |scalar| scalar.of_float(value))
}

fn put_bytes(caller: &mut Caller<'_, Host>, handle: u32, address: u32, length: u32) -> Result<u32, Error> {
    enter(caller);
    charge(caller, DOMAIN_CALL_FUEL);
    let (memory, host) = GuestMemory::of(caller)?;
    let (binding, value_type) = writer(host, handle)?;
    let value = memory.slice(address, length)?;
    let is_one = value_type.scalar().is_none() && value_type.holds(value);
    let status = if is_one { host.put(binding, value) } else { host.counted(Status::Invalid) };
    Ok(status.to_wire())
}

fn next(caller: &mut Caller<'_, Host>, handle: u32) -> Result<u32, Error> {
    receive(caller, handle, Procedure::Take)
}

fn peek(caller: &mut Caller<'_, Host>, handle: u32) -> Result<u32, Error> {
    receive(caller, handle, Procedure::Peek)
}

/// Asks for a value. Where there is none, the reader keeps what it has.
fn receive(caller: &mut Caller<'_, Host>, handle: u32, procedure: Procedure) -> Result<u32, Error> {
    enter(caller);
    charge(caller, DOMAIN_CALL_FUEL);
    let host = caller.data_mut();
    let (binding, _) = host.ends.get(handle, Direction::Get).ok_or(no_such_handle(handle, Direction::Get))?;
    let mut bytes = [0; MAX_VALUE_BYTES];
    let status = match host.receive(procedure, binding, &mut bytes) {
        Err(status) => status,
        Ok((length, missed)) => {
            let (value_type, value) = reader(host, handle)?;
            if value_type.holds(&bytes[..length]) {
                *value = ReaderValue::new(bytes, length, missed);
                Status::Ok
            } else {
                // Its writer's cell was taken over: no cell lets such a value through.
                host.counted(Status::Unavailable)
            }
        }
    };
    Ok(status.to_wire())
}

/// What `of` makes of the value that a reader was given last.
fn value<T>(
    caller: &mut Caller<'_, Host>,
    handle: u32,
    of: impl FnOnce(&ValueType, &ReaderValue) -> T,
) -> Result<T, Error> {
    enter(caller);
    let (value_type, value) = reader(caller.data_mut(), handle)?;
    Ok(of(value_type, value))
}

fn value_u64(caller: &mut Caller<'_, Host>, handle: u32) -> Result<u64, Error> {
    let of = |value_type: &ValueType, value: &ReaderValue| value_type.scalar()?.to_unsigned(value.as_bytes());
    value(caller, handle, |value_type, value| of(value_type, value).unwrap_or(0))
}

fn value_s64(caller: &mut Caller<'_, Host>, handle: u32) -> Result<i64, Error> {
    let of = |value_type: &ValueType, value: &ReaderValue| value_type.scalar()?.to_signed(value.as_bytes());
    value(caller, handle, |value_type, value| of(value_type, value).unwrap_or(0))
}

fn value_f64(caller: &mut Caller<'_, Host>, handle: u32) -> Result<f64, Error> {
    let of = |value_type: &ValueType, value: &ReaderValue| value_type.scalar()?.to_float(value.as_bytes());
    value(caller, handle, |value_type, value| of(value_type, value).unwrap_or(0.0))
}

fn value_length(caller: &mut Caller<'_, Host>, handle: u32) -> Result<u32, Error> {
    value(caller, handle, |_, value| length_u32(value.as_bytes().len()))
}

fn value_word(caller: &mut Caller<'_, Host>, handle: u32, index: u32) -> Result<u64, Error> {
    value(caller, handle, |_, value| value.word(index))
}

fn value_block(caller: &mut Caller<'_, Host>, handle: u32, index: u32, result: u32) -> Result<(), Error> {
    let block: [u64; BLOCK_WORDS as usize] = value(caller, handle, |_, value| {
        let first = index.saturating_mul(BLOCK_WORDS);
        let mut words = first..=first.saturating_add(BLOCK_WORDS - 1);
        core::array::from_fn(|_| words.next().map_or(0, |word| value.word(word)))
    })?;
    let (mut memory, _) = GuestMemory::of(caller)?;
    if !result.is_multiple_of(BLOCK_WORDS) {
        return Err(Fault::Misaligned { address: result }.into());
    }
    let bytes = memory.slice_mut(result, BLOCK_WORDS * BLOCK_WORDS)?;
    for (place, word) in bytes.chunks_exact_mut(size_of::<u64>()).zip(block) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    Ok(())
}

fn value_bytes(caller: &mut Caller<'_, Host>, handle: u32, result: u32) -> Result<(), Error> {
    let copy = value(caller, handle, |_, value| value.clone())?;
    Ok(delivery::answer_list(caller, result, copy.as_bytes(), 1)?)
}

fn missed(caller: &mut Caller<'_, Host>, handle: u32) -> Result<u64, Error> {
    value(caller, handle, |_, value| value.missed)
}

fn drop_writer(caller: &mut Caller<'_, Host>, handle: u32) -> Result<(), Error> {
    drop_end(caller, handle, Direction::Put)
}

fn drop_reader(caller: &mut Caller<'_, Host>, handle: u32) -> Result<(), Error> {
    drop_end(caller, handle, Direction::Get)
}

fn drop_end(caller: &mut Caller<'_, Host>, handle: u32, direction: Direction) -> Result<(), Error> {
    enter(caller);
    let was_open = caller.data_mut().ends.remove(handle, direction);
    if was_open { Ok(()) } else { Err(no_such_handle(handle, direction).into()) }
}
