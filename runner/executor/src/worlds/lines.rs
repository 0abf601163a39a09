//! Open lines, for whatever interface asks: by label, by handle, at the domain that owns them.

use alloc::string::String;

use runner_interfaces::{
    gpio::{self, Opened, Procedure, Status},
    kernel::Message,
};
use wasmi::Caller;

use super::charge;
use crate::{
    host::{DOMAIN_CALL_FUEL, Host},
    lines::{Direction, OpenLine, Resource},
    memory::Fault,
};

/// The longest label that can name a line; longer ones are `not-found`.
const LABEL_BYTES: usize = 64;

/// The function that an import of a resource's own is: `set` of `[method]output.set`, `drop` of `[resource-drop]output`.
pub(crate) fn function_of(import: &str, resource: Resource) -> Option<&str> {
    if let Some(dropped) = import.strip_prefix("[resource-drop]") {
        return (dropped == resource.name).then_some("drop");
    }
    let (of, function) = import.strip_prefix("[method]").or(import.strip_prefix("[static]"))?.split_once('.')?;
    (of == resource.name).then_some(function)
}

pub(crate) fn no_such_handle(handle: u32, resource: Resource) -> Fault {
    Fault::NoSuchHandle { resource: resource.name, handle }
}

/// Opens the line of that label; its handle, or why there is none.
pub(crate) fn open(host: &mut Host, label: &[u8], resource: Resource) -> Result<u32, Status> {
    let named = |(name, _): &&(String, u8)| name.as_bytes() == label;
    let line = host.configuration.lines.iter().take_while(|_| label.len() <= LABEL_BYTES).find(named);
    let Some(&(_, line)) = line else {
        return Err(host.counted(Status::NotFound));
    };
    // The owner keeps one opening a cell; two handles on it would close each other's line.
    if host.lines.is_open(line) || !host.lines.has_room() {
        return Err(host.counted(Status::Busy));
    }
    let procedure = match resource.direction {
        Direction::Output => Procedure::OpenOutput,
        Direction::Input => Procedure::OpenInput,
    };
    match host.call_gpio(gpio::call(procedure, line)) {
        (Status::Ok, opened) => {
            host.lines.insert(OpenLine::new(line, resource, Opened::from_word(opened))).ok_or(Status::Busy)
        }
        (status, _) => Err(status),
    }
}

/// A call of the line behind `handle`; the owner's status and result.
pub(crate) fn call(
    caller: &mut Caller<'_, Host>,
    handle: u32,
    resource: Resource,
    message: impl FnOnce(&OpenLine) -> Message,
) -> Result<(Status, u64), Fault> {
    charge(caller, DOMAIN_CALL_FUEL);
    let host = caller.data_mut();
    let message = message(host.lines.get(handle, resource).ok_or(no_such_handle(handle, resource))?);
    Ok(host.call_gpio(message))
}

/// The line behind `handle` with its level, or why the owner does not tell that.
pub(crate) fn level(
    caller: &mut Caller<'_, Host>,
    handle: u32,
    resource: Resource,
) -> Result<(OpenLine, Result<bool, Status>), Fault> {
    let (status, level) = call(caller, handle, resource, |open| gpio::call(Procedure::Get, open.line))?;
    let open = *caller.data().lines.get(handle, resource).ok_or(no_such_handle(handle, resource))?;
    Ok((open, if status == Status::Ok { Ok(level != 0) } else { Err(status) }))
}

/// The call that makes an output active, or inactive.
pub(crate) fn set_active(open: &OpenLine, active: bool) -> Message {
    gpio::call_with(Procedure::Set, open.line, u64::from(open.is_active(active)))
}

/// Gives a line back.
pub(crate) fn close(caller: &mut Caller<'_, Host>, handle: u32, resource: Resource) -> Result<(), Fault> {
    call(caller, handle, resource, |open| gpio::call(Procedure::Close, open.line))?;
    caller.data_mut().lines.remove(handle, resource);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_names_its_resource_and_function() {
        let pin = Resource { name: "pin", direction: Direction::Input };
        let cases = [
            ("[method]pin.get", Some("get")),
            ("[static]pin.open", Some("open")),
            ("[resource-drop]pin", Some("drop")),
            ("[method]pins.get", None),
            ("[method]pin", None),
            ("[resource-drop]pin.get", None),
            ("pin.get", None),
        ];
        for (import, function) in cases {
            assert_eq!(function_of(import, pin), function, "{import}");
        }
    }
}
