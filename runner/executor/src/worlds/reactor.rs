//! The reactor world of `runner/wit/atoll.wit`: log, clock, timer, GPIO.
//!
//! The functions have the lowered form that `wit-bindgen` imports: a string is address and length, an enumeration and a
//! boolean an `i32`, a resource its handle, and `result<handle, status>` comes back through an address (a byte that is 1 for
//! an error; at offset 4 the handle, or the status in one byte). Versions match as semver does: any 0.1.x. Whether a line
//! or a timer may be used is not decided here: the domain that owns it answers, and its answer is passed on.

use runner_interfaces::{
    gpio::{self, Edges, Procedure, Pull, Status},
    kernel::Message,
    output::Stream,
    timer,
};
use wasmi::{Caller, Error, Linker};

use super::{Unknown, charge, enter};
use crate::{
    host::{DOMAIN_CALL_FUEL, Host},
    lines::Direction,
    memory::{Fault, GuestMemory, offset},
    wait::{Wait, suspend},
};

/// The package in front of an interface's name.
const PACKAGE: &str = "atoll:node/";

/// The longest log record, in bytes (`atoll.wit`, `log`).
const LOG_BYTES: u32 = 1024;

/// Ends a record that was cut; it lies within [`LOG_BYTES`].
const CUT_MARK: &[u8] = "…".as_bytes();

/// The longest label that can name a line; longer ones are `not-found`.
const LABEL_BYTES: u32 = 64;

/// Where the payload of `result<handle, status>` lies.
const PAYLOAD_OFFSET: u32 = 4;

/// Alignment of that result.
const RESULT_ALIGNMENT: u32 = 4;

/// Fuel of a log record: copies of up to a kilobyte into the ring.
const LOG_FUEL: u64 = 60;

/// The interface of an import's module name, where this world offers its version.
fn interface(module: &str) -> Option<&str> {
    let (interface, version) = module.strip_prefix(PACKAGE)?.split_once('@')?;
    let patch = version.strip_prefix("0.1.")?;
    (!patch.is_empty() && patch.bytes().all(|digit| digit.is_ascii_digit())).then_some(interface)
}

pub(super) fn define(linker: &mut Linker<Host>, module: &str, name: &str) -> Result<(), Unknown> {
    match (interface(module).ok_or(Unknown)?, name) {
        ("log", "log") => linker.func_wrap(module, name, log),
        ("clock", "now") => linker.func_wrap(module, name, now),
        ("timer", "sleep") => linker.func_wrap(module, name, sleep),
        ("timer", "arm") => linker.func_wrap(module, name, arm),
        ("timer", "disarm") => linker.func_wrap(module, name, disarm),
        ("timer", "wait") => linker.func_wrap(module, name, wait),
        ("gpio", "open-output") => linker.func_wrap(module, name, open_output),
        ("gpio", "open-input") => linker.func_wrap(module, name, open_input),
        ("gpio", "[method]output.set") => linker.func_wrap(module, name, output_set),
        ("gpio", "[method]output.toggle") => linker.func_wrap(module, name, output_toggle),
        ("gpio", "[method]output.get") => linker.func_wrap(module, name, output_get),
        ("gpio", "[resource-drop]output") => linker.func_wrap(module, name, output_drop),
        ("gpio", "[method]input.get") => linker.func_wrap(module, name, input_get),
        ("gpio", "[method]input.set-pull") => linker.func_wrap(module, name, input_set_pull),
        ("gpio", "[method]input.watch") => linker.func_wrap(module, name, input_watch),
        ("gpio", "[method]input.take-edges") => linker.func_wrap(module, name, input_take_edges),
        ("gpio", "[resource-drop]input") => linker.func_wrap(module, name, input_drop),
        _ => return Err(Unknown),
    }?;
    Ok(())
}

fn log(mut caller: Caller<'_, Host>, level: u32, address: u32, length: u32) -> Result<(), Error> {
    enter(&mut caller);
    charge(&mut caller, LOG_FUEL);
    let stream = match level {
        0 => Stream::Error,
        1 => Stream::Warn,
        2 => Stream::Info,
        3 => Stream::Debug,
        4 => Stream::Trace,
        value => return Err(Fault::NoSuchValue { enumeration: "level", value }.into()),
    };
    let (memory, host) = GuestMemory::of(&mut caller)?;
    let mut buffer = [0; LOG_BYTES as usize];
    let record = record(memory.slice(address, length)?, &mut buffer).ok_or(Fault::NotText { address })?;
    let now = host.now();
    host.output.borrow_mut().push_whole(now, stream, record);
    Ok(())
}

/// The text of a record; where it is too long, its head with the mark behind it. `None` where it is not UTF-8.
fn record<'b>(text: &'b [u8], buffer: &'b mut [u8; LOG_BYTES as usize]) -> Option<&'b [u8]> {
    if text.len() <= buffer.len() {
        return core::str::from_utf8(text).is_ok().then_some(text);
    }
    let room = buffer.len() - CUT_MARK.len();
    let end = match core::str::from_utf8(&text[..room]) {
        Ok(_) => room,
        // The head ends within a character, which is left away.
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        Err(_) => return None,
    };
    let total = end + CUT_MARK.len();
    buffer[..end].copy_from_slice(&text[..end]);
    buffer[end..total].copy_from_slice(CUT_MARK);
    Some(&buffer[..total])
}

fn now(mut caller: Caller<'_, Host>) -> u64 {
    enter(&mut caller);
    caller.data().now().nanoseconds()
}

fn sleep(mut caller: Caller<'_, Host>, nanoseconds: u64) -> Result<u32, Error> {
    enter(&mut caller);
    if nanoseconds == 0 {
        return Ok(Status::Ok.to_wire());
    }
    let host = caller.data_mut();
    let until = host.now().saturating_add(nanoseconds);
    Ok(suspend(host, Wait::Sleep { until })?)
}

/// A number that the container may use: 0 is the executor's own, and none is above the last.
fn container_timer(number: u32) -> Option<u8> {
    u8::try_from(number).ok().filter(|number| *number != timer::EXECUTOR_TIMER && *number < timer::TIMERS_PER_CLIENT)
}

fn arm(mut caller: Caller<'_, Host>, number: u32, first: u64, period: u64) -> u32 {
    enter(&mut caller);
    charge(&mut caller, DOMAIN_CALL_FUEL);
    let host = caller.data_mut();
    let status = match container_timer(number) {
        Some(number) => {
            let first = host.now().saturating_add(first);
            host.arm_timer(number, first, period)
        }
        None => host.counted(Status::NotFound),
    };
    status.to_wire()
}

fn disarm(mut caller: Caller<'_, Host>, number: u32) -> u32 {
    enter(&mut caller);
    charge(&mut caller, DOMAIN_CALL_FUEL);
    let host = caller.data_mut();
    let status = match container_timer(number) {
        Some(number) => host.disarm_timer(number),
        None => host.counted(Status::NotFound),
    };
    status.to_wire()
}

/// A mask that names no event waits until the container is stopped.
fn wait(mut caller: Caller<'_, Host>, mask: u32) -> Result<u32, Error> {
    enter(&mut caller);
    let host = caller.data_mut();
    match host.take_events(mask) {
        0 => Ok(suspend(host, Wait::Events { mask })?),
        events => Ok(events),
    }
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

    #[test]
    fn a_long_record_is_cut_between_characters() {
        let mut buffer = [0; LOG_BYTES as usize];
        let text = "é".repeat(1000);
        let cut = core::str::from_utf8(record(text.as_bytes(), &mut buffer).unwrap()).unwrap();
        assert_eq!(cut.len(), LOG_BYTES as usize - 1);
        assert!(cut.ends_with("é…"));
        assert_eq!(record(&[b'x'; 1024], &mut buffer), Some(&[b'x'; 1024][..]));
    }

    #[test]
    fn a_record_is_text() {
        let mut buffer = [0; LOG_BYTES as usize];
        assert_eq!(record(&[0b1000_0000; 10], &mut buffer), None);
        assert_eq!(record(&[0b1000_0000; 2000], &mut buffer), None);
    }
}
