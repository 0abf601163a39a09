//! `gpio`: lines by the label that the board gives them, behind handles.
//!
//! Whether a line may be used is not decided here: the `gpio` domain owns it and answers, and its answer is passed on. Which
//! level is the active one the owner says when it opens a line; from then on it is kept here.

use runner_interfaces::{
    gpio::{self, Edges, Procedure, Pull, Status},
    kernel::Message,
};
use wasmi::{Caller, Error, Linker};

use super::{
    super::{Unknown, charge, enter, function, lines},
    opening,
};
use crate::{
    host::{DOMAIN_CALL_FUEL, Host},
    lines::{Direction, OpenLine, Resource},
    memory::Fault,
};

const OUTPUT: Resource = Resource { name: "output", direction: Direction::Output };
const INPUT: Resource = Resource { name: "input", direction: Direction::Input };

// The numbers of `state` and of `active-level`.
const ACTIVE: u32 = 0;
const INACTIVE: u32 = 1;
const ACTIVE_HIGH: u32 = 0;
const ACTIVE_LOW: u32 = 1;

pub(super) fn define(linker: &mut Linker<Host>, module: &str, name: &str) -> Result<(), Unknown> {
    match name {
        "open-output" => function::define(linker, module, name, open_output),
        "open-input" => function::define(linker, module, name, open_input),
        "[method]output.set" => function::define(linker, module, name, output_set),
        "[method]output.set-state" => function::define(linker, module, name, output_set_state),
        "[method]output.toggle" => function::define(linker, module, name, output_toggle),
        "[method]input.set-pull" => function::define(linker, module, name, input_set_pull),
        "[method]input.watch" => function::define(linker, module, name, input_watch),
        "[method]input.take-edges" => function::define(linker, module, name, input_take_edges),
        _ => return define_shared(linker, module, name),
    }?;
    Ok(())
}

/// What both resources have.
fn define_shared(linker: &mut Linker<Host>, module: &str, name: &str) -> Result<(), Unknown> {
    type Caller<'c> = wasmi::Caller<'c, Host>;
    let (function, resource) = [OUTPUT, INPUT]
        .into_iter()
        .find_map(|resource| Some((lines::function_of(name, resource)?, resource)))
        .ok_or(Unknown)?;
    match function {
        "get" => function::define(linker, module, name, move |caller: &mut Caller<'_>, handle: u32| {
            get(caller, handle, resource)
        }),
        "state" => function::define(linker, module, name, move |caller: &mut Caller<'_>, handle: u32| {
            state(caller, handle, resource)
        }),
        "active-level" => function::define(linker, module, name, move |caller: &mut Caller<'_>, handle: u32| {
            active_level(caller, handle, resource)
        }),
        "set-active-level" => {
            function::define(linker, module, name, move |caller: &mut Caller<'_>, handle: u32, level: u32| {
                set_active_level(caller, handle, resource, level)
            })
        }
        "drop" => function::define(linker, module, name, move |caller: &mut Caller<'_>, handle: u32| {
            drop_line(caller, handle, resource)
        }),
        _ => return Err(Unknown),
    }?;
    Ok(())
}

fn open_output(caller: &mut Caller<'_, Host>, label: u32, length: u32, result: u32) -> Result<(), Error> {
    open(caller, label, length, result, OUTPUT)
}

fn open_input(caller: &mut Caller<'_, Host>, label: u32, length: u32, result: u32) -> Result<(), Error> {
    open(caller, label, length, result, INPUT)
}

fn open(caller: &mut Caller<'_, Host>, label: u32, length: u32, result: u32, resource: Resource) -> Result<(), Error> {
    enter(caller);
    charge(caller, DOMAIN_CALL_FUEL);
    opening::open(caller, [label, length, result], |host, label| lines::open(host, label, resource))
}

/// A call of the line behind `handle`, as a status.
fn command(
    caller: &mut Caller<'_, Host>,
    handle: u32,
    resource: Resource,
    message: impl FnOnce(&OpenLine) -> Message,
) -> Result<u32, Error> {
    enter(caller);
    let (status, _) = lines::call(caller, handle, resource, message)?;
    Ok(status.to_wire())
}

fn output_set(caller: &mut Caller<'_, Host>, handle: u32, high: u32) -> Result<u32, Error> {
    command(caller, handle, OUTPUT, |open| gpio::call_with(Procedure::Set, open.line, u64::from(high != 0)))
}

fn output_set_state(caller: &mut Caller<'_, Host>, handle: u32, state: u32) -> Result<u32, Error> {
    let active = match state {
        ACTIVE => true,
        INACTIVE => false,
        value => return Err(Fault::NoSuchValue { enumeration: "state", value }.into()),
    };
    command(caller, handle, OUTPUT, |open| lines::set_active(open, active))
}

fn output_toggle(caller: &mut Caller<'_, Host>, handle: u32) -> Result<u32, Error> {
    command(caller, handle, OUTPUT, |open| gpio::call(Procedure::Toggle, open.line))
}

/// The level; low where the owner refuses, which is counted.
fn get(caller: &mut Caller<'_, Host>, handle: u32, resource: Resource) -> Result<u32, Error> {
    enter(caller);
    let (_, level) = lines::level(caller, handle, resource)?;
    Ok(u32::from(level.unwrap_or(false)))
}

/// The state; inactive where the owner refuses, which is counted.
fn state(caller: &mut Caller<'_, Host>, handle: u32, resource: Resource) -> Result<u32, Error> {
    enter(caller);
    let (open, level) = lines::level(caller, handle, resource)?;
    Ok(if level.is_ok_and(|level| open.is_active(level)) { ACTIVE } else { INACTIVE })
}

fn active_level(caller: &mut Caller<'_, Host>, handle: u32, resource: Resource) -> Result<u32, Error> {
    enter(caller);
    let open = caller.data().lines.get(handle, resource).ok_or(lines::no_such_handle(handle, resource))?;
    Ok(if open.active_low { ACTIVE_LOW } else { ACTIVE_HIGH })
}

/// From now on; what is driven stays as it is.
fn set_active_level(
    caller: &mut Caller<'_, Host>,
    handle: u32,
    resource: Resource,
    active_level: u32,
) -> Result<(), Error> {
    enter(caller);
    let active_low = match active_level {
        ACTIVE_HIGH => false,
        ACTIVE_LOW => true,
        value => return Err(Fault::NoSuchValue { enumeration: "active-level", value }.into()),
    };
    let lines = &mut caller.data_mut().lines;
    let open = lines.get_mut(handle, resource).ok_or(lines::no_such_handle(handle, resource))?;
    open.active_low = active_low;
    Ok(())
}

fn input_set_pull(caller: &mut Caller<'_, Host>, handle: u32, pull: u32) -> Result<u32, Error> {
    let pull = match pull {
        0 => Pull::Float,
        1 => Pull::Up,
        2 => Pull::Down,
        value => return Err(Fault::NoSuchValue { enumeration: "pull", value }.into()),
    };
    command(caller, handle, INPUT, |open| gpio::call_with(Procedure::Pull, open.line, u64::from(pull.to_wire())))
}

fn input_watch(caller: &mut Caller<'_, Host>, handle: u32, edges: u32) -> Result<u32, Error> {
    let edges = match edges {
        0 => Edges::Rising,
        1 => Edges::Falling,
        2 => Edges::Both,
        value => return Err(Fault::NoSuchValue { enumeration: "edges", value }.into()),
    };
    command(caller, handle, INPUT, |open| gpio::call_with(Procedure::Watch, open.line, u64::from(edges.to_wire())))
}

/// None where the owner refuses, which is counted.
fn input_take_edges(caller: &mut Caller<'_, Host>, handle: u32) -> Result<u32, Error> {
    enter(caller);
    let message = |open: &OpenLine| gpio::call(Procedure::TakeEdges, open.line);
    let (status, edges) = lines::call(caller, handle, INPUT, message)?;
    Ok(if status == Status::Ok { u32::try_from(edges).unwrap_or(u32::MAX) } else { 0 })
}

fn drop_line(caller: &mut Caller<'_, Host>, handle: u32, resource: Resource) -> Result<(), Error> {
    enter(caller);
    Ok(lines::close(caller, handle, resource)?)
}
