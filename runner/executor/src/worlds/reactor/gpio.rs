//! `gpio`: lines by the label that the board gives them, behind handles.
//!
//! Whether a line may be used is not decided here: the `gpio` domain owns it and answers, and its answer is passed on.

use runner_interfaces::{
    gpio::{self, Edges, Procedure, Pull, Status},
    kernel::Message,
};
use wasmi::{Caller, Error, Linker};

use super::super::{Unknown, charge, enter};
use crate::{
    host::{DOMAIN_CALL_FUEL, Host},
    lines::Direction,
    memory::{Fault, GuestMemory, offset},
};

/// The longest label that can name a line; longer ones are `not-found`.
const LABEL_BYTES: u32 = 64;

/// Where the payload of `result<handle, status>` lies.
const PAYLOAD_OFFSET: u32 = 4;

/// Alignment of that result.
const RESULT_ALIGNMENT: u32 = 4;

pub(super) fn define(linker: &mut Linker<Host>, module: &str, name: &str) -> Result<(), Unknown> {
    match name {
        "open-output" => linker.func_wrap(module, name, open_output),
        "open-input" => linker.func_wrap(module, name, open_input),
        "[method]output.set" => linker.func_wrap(module, name, output_set),
        "[method]output.toggle" => linker.func_wrap(module, name, output_toggle),
        "[method]output.get" => linker.func_wrap(module, name, output_get),
        "[resource-drop]output" => linker.func_wrap(module, name, output_drop),
        "[method]input.get" => linker.func_wrap(module, name, input_get),
        "[method]input.set-pull" => linker.func_wrap(module, name, input_set_pull),
        "[method]input.watch" => linker.func_wrap(module, name, input_watch),
        "[method]input.take-edges" => linker.func_wrap(module, name, input_take_edges),
        "[resource-drop]input" => linker.func_wrap(module, name, input_drop),
        _ => return Err(Unknown),
    }?;
    Ok(())
}

fn open_output(caller: Caller<'_, Host>, label: u32, length: u32, result: u32) -> Result<(), Error> {
    open(caller, label, length, result, Direction::Output)
}

fn open_input(caller: Caller<'_, Host>, label: u32, length: u32, result: u32) -> Result<(), Error> {
    open(caller, label, length, result, Direction::Input)
}

fn open(mut caller: Caller<'_, Host>, label: u32, length: u32, result: u32, direction: Direction) -> Result<(), Error> {
    enter(&mut caller);
    charge(&mut caller, DOMAIN_CALL_FUEL);
    let (mut memory, host) = GuestMemory::of(&mut caller)?;
    // Before anything is opened: a result that cannot be told must not leave a line behind.
    if !result.is_multiple_of(RESULT_ALIGNMENT) {
        return Err(Fault::Misaligned { address: result }.into());
    }
    let payload = offset(result, PAYLOAD_OFFSET)?;
    memory.slice(result, 2 * PAYLOAD_OFFSET)?;
    let opened = open_by_label(host, memory.slice(label, length)?, direction);
    match opened {
        Ok(handle) => {
            memory.write(result, &[0])?;
            memory.write_u32(payload, handle)?;
        }
        Err(status) => {
            memory.write(result, &[1])?;
            memory.write(payload, &status.to_wire().to_le_bytes()[..1])?;
        }
    }
    Ok(())
}

/// The handle of the line of that label, or why there is none.
fn open_by_label(host: &mut Host, label: &[u8], direction: Direction) -> Result<u32, Status> {
    let named = |(name, _): &&(alloc::string::String, u8)| name.as_bytes() == label;
    let line = host.configuration.lines.iter().take_while(|_| label.len() <= LABEL_BYTES as usize).find(named);
    let Some(&(_, line)) = line else {
        return Err(host.counted(Status::NotFound));
    };
    // The owner keeps one opening a cell; two handles on it would close each other's line.
    if host.lines.is_open(line) || !host.lines.has_room() {
        return Err(host.counted(Status::Busy));
    }
    let procedure = match direction {
        Direction::Output => Procedure::OpenOutput,
        Direction::Input => Procedure::OpenInput,
    };
    match host.call_gpio(gpio::call(procedure, line)) {
        (Status::Ok, _) => host.lines.insert(line, direction).ok_or(Status::Busy),
        (status, _) => Err(status),
    }
}

/// A call of the line behind `handle`; the owner's status and result.
fn call_line(
    caller: &mut Caller<'_, Host>,
    handle: u32,
    direction: Direction,
    message: impl FnOnce(u8) -> Message,
) -> Result<(Status, u64), Error> {
    enter(caller);
    charge(caller, DOMAIN_CALL_FUEL);
    let host = caller.data_mut();
    let line = host.lines.get(handle, direction).ok_or(no_such_handle(handle, direction))?;
    Ok(host.call_gpio(message(line)))
}

fn no_such_handle(handle: u32, direction: Direction) -> Fault {
    Fault::NoSuchHandle { resource: direction.resource(), handle }
}

fn output_set(mut caller: Caller<'_, Host>, handle: u32, high: u32) -> Result<u32, Error> {
    let message = |line| gpio::call_with(Procedure::Set, line, u64::from(high != 0));
    let (status, _) = call_line(&mut caller, handle, Direction::Output, message)?;
    Ok(status.to_wire())
}

fn output_toggle(mut caller: Caller<'_, Host>, handle: u32) -> Result<u32, Error> {
    let message = |line| gpio::call(Procedure::Toggle, line);
    let (status, _) = call_line(&mut caller, handle, Direction::Output, message)?;
    Ok(status.to_wire())
}

fn output_get(caller: Caller<'_, Host>, handle: u32) -> Result<u32, Error> {
    get(caller, handle, Direction::Output)
}

fn input_get(caller: Caller<'_, Host>, handle: u32) -> Result<u32, Error> {
    get(caller, handle, Direction::Input)
}

/// The level; low where the owner refuses, which is counted.
fn get(mut caller: Caller<'_, Host>, handle: u32, direction: Direction) -> Result<u32, Error> {
    let message = |line| gpio::call(Procedure::Get, line);
    let (status, level) = call_line(&mut caller, handle, direction, message)?;
    Ok(u32::from(status == Status::Ok && level != 0))
}

fn input_set_pull(mut caller: Caller<'_, Host>, handle: u32, pull: u32) -> Result<u32, Error> {
    let pull = match pull {
        0 => Pull::Float,
        1 => Pull::Up,
        2 => Pull::Down,
        value => return Err(Fault::NoSuchValue { enumeration: "pull", value }.into()),
    };
    let message = |line| gpio::call_with(Procedure::Pull, line, u64::from(pull.to_wire()));
    let (status, _) = call_line(&mut caller, handle, Direction::Input, message)?;
    Ok(status.to_wire())
}

fn input_watch(mut caller: Caller<'_, Host>, handle: u32, edges: u32) -> Result<u32, Error> {
    let edges = match edges {
        0 => Edges::Rising,
        1 => Edges::Falling,
        2 => Edges::Both,
        value => return Err(Fault::NoSuchValue { enumeration: "edges", value }.into()),
    };
    let message = |line| gpio::call_with(Procedure::Watch, line, u64::from(edges.to_wire()));
    let (status, _) = call_line(&mut caller, handle, Direction::Input, message)?;
    Ok(status.to_wire())
}

/// None where the owner refuses, which is counted.
fn input_take_edges(mut caller: Caller<'_, Host>, handle: u32) -> Result<u32, Error> {
    let message = |line| gpio::call(Procedure::TakeEdges, line);
    let (status, edges) = call_line(&mut caller, handle, Direction::Input, message)?;
    Ok(if status == Status::Ok { u32::try_from(edges).unwrap_or(u32::MAX) } else { 0 })
}

fn output_drop(caller: Caller<'_, Host>, handle: u32) -> Result<(), Error> {
    drop_line(caller, handle, Direction::Output)
}

fn input_drop(caller: Caller<'_, Host>, handle: u32) -> Result<(), Error> {
    drop_line(caller, handle, Direction::Input)
}

fn drop_line(mut caller: Caller<'_, Host>, handle: u32, direction: Direction) -> Result<(), Error> {
    call_line(&mut caller, handle, direction, |line| gpio::call(Procedure::Close, line))?;
    caller.data_mut().lines.remove(handle, direction);
    Ok(())
}
