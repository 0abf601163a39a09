//! `wasi:gpio`, its digital half: what all drafts have in common, and a module for what each has of its own.
//!
//! Every draft calls itself 0.2.0. What is not here (analog pins, pins of both directions, pollables of a pin) is not among a draft's
//! functions, so that a module that imports it is refused. Errors are answered by number; none carries a text, so that only
//! `get-config` ever needs the container's allocator.

use runner_interfaces::{
    gpio::{self, Procedure, Pull, Status},
    kernel::Message,
};
use wasmi::{Caller, Error, Linker};

use super::{
    super::super::{Unknown, charge, enter, function, lines},
    Draft,
};
use crate::{
    delivery,
    host::{DOMAIN_CALL_FUEL, Host},
    lines::{Direction, OpenLine, Resource},
    memory::{Fault, GuestMemory, offset},
};

mod draft_2025_03_18;
mod draft_2025_05_27;

pub(super) use draft_2025_03_18::DRAFT as DRAFT_2025_03_18;
pub(super) use draft_2025_05_27::DRAFT as DRAFT_2025_05_27;

const PACKAGE: &str = "wasi:gpio";
const VERSION: &str = "0.2.0";

const OUT_PIN: Resource = Resource { name: "digital-out-pin", direction: Direction::Output };
const STATEFUL_OUT_PIN: Resource = Resource { name: "stateful-digital-out-pin", direction: Direction::Output };
const IN_PIN: Resource = Resource { name: "digital-in-pin", direction: Direction::Input };

/// Bytes of a `result<_, gpio-error>`, whatever it holds: an error is the longest, for its text that is never there.
const RESULT_BYTES: u32 = 16;

/// Its alignment, and where its payload lies.
const RESULT_ALIGNMENT: u32 = 4;

/// The longest list of flags. Each element is a set by itself, so that one would do.
const MAX_FLAGS: u32 = 64;

/// The most calls of the owner that opening a pin takes: the opening, a pull or a state, and giving back what could not have it.
const OPEN_CALLS: u64 = 3;

/// `gpio-error`, as far as all drafts count alike, and what the later ones added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum GpioError {
    HardwareFault = 0,
    AlreadyInUse = 1,
    PinNotAllowed = 2,
    PinModeNotAllowed = 3,
    UndefinedPinLabel = 4,
    WouldBlock = 6,
    OperationNotSupported = 7,
    /// From 2025-05 on.
    InvalidFlag = 8,
    /// From 2025-05 on.
    MissingFlags = 9,
}

impl GpioError {
    /// What the owner's refusal is called here.
    fn of(status: Status) -> Self {
        match status {
            Status::NotFound => Self::UndefinedPinLabel,
            Status::NotGranted => Self::PinNotAllowed,
            Status::ModeNotGranted => Self::PinModeNotAllowed,
            Status::Busy => Self::AlreadyInUse,
            Status::Invalid | Status::NotSupported => Self::OperationNotSupported,
            // The line's rate is used up; later there is some.
            Status::Full => Self::WouldBlock,
            // And what the owner of lines never answers.
            _ => Self::HardwareFault,
        }
    }
}

/// What a function answers where it succeeds.
#[derive(Clone, Copy, Debug)]
enum Payload {
    Nothing,
    /// A boolean or a state.
    Byte(u8),
    Handle(u32),
}

/// The numbers of `pin-state`.
const ACTIVE: u8 = 0;
const INACTIVE: u8 = 1;

/// Bits of the flags, as far as all drafts count alike, and what the later ones added.
mod flag {
    pub(super) const ACTIVE_HIGH: u8 = 1 << 0;
    pub(super) const ACTIVE_LOW: u8 = 1 << 1;
    pub(super) const PULL_UP: u8 = 1 << 2;
    pub(super) const PULL_DOWN: u8 = 1 << 3;
    /// From 2025-05 on.
    pub(super) const ACTIVE: u8 = 1 << 4;
    /// From 2025-05 on.
    pub(super) const INACTIVE: u8 = 1 << 5;
}

/// How a pin is to be opened. What is not said stays as the board has it.
#[derive(Clone, Copy, Debug, Default)]
struct Settings {
    active_low: Option<bool>,
    pull: Option<Pull>,
    /// The state that an output begins with.
    active: Option<bool>,
}

impl Settings {
    /// What the flags come to; `None` where two contradict each other.
    fn of(flags: u8) -> Option<Self> {
        let choice = |yes: u8, no: u8| match (flags & yes != 0, flags & no != 0) {
            (true, true) => None,
            (false, false) => Some(None),
            (is_yes, _) => Some(Some(is_yes)),
        };
        Some(Self {
            active_low: choice(flag::ACTIVE_LOW, flag::ACTIVE_HIGH)?,
            pull: choice(flag::PULL_UP, flag::PULL_DOWN)?.map(|up| if up { Pull::Up } else { Pull::Down }),
            active: choice(flag::ACTIVE, flag::INACTIVE)?,
        })
    }
}

/// What a draft makes of flags for a pin of that resource.
type ReadFlags = fn(u8, Resource) -> Result<Settings, GpioError>;

/// A function that opens a pin.
fn define_get(
    linker: &mut Linker<Host>,
    module: &str,
    name: &str,
    resource: Resource,
    read_flags: ReadFlags,
) -> Result<(), Unknown> {
    let get = move |caller: &mut Caller<'_, Host>, label: u32, length: u32, flags: u32, count: u32, result: u32| {
        enter(caller);
        charge(caller, OPEN_CALLS * DOMAIN_CALL_FUEL);
        let (mut memory, host) = GuestMemory::of(caller)?;
        check_result(&memory, result)?;
        if count > MAX_FLAGS {
            return Err(Fault::ListTooLong { length: count }.into());
        }
        let flags = memory.slice(flags, count)?.iter().fold(0, |all, flags| all | flags);
        let label = memory.slice(label, length)?;
        let opened = read_flags(flags, resource).and_then(|settings| open(host, label, resource, settings));
        answer(&mut memory, result, opened.map(Payload::Handle))
    };
    function::define(linker, module, name, get)?;
    Ok(())
}

fn open(host: &mut Host, label: &[u8], resource: Resource, settings: Settings) -> Result<u32, GpioError> {
    let handle = lines::open(host, label, resource).map_err(GpioError::of)?;
    match set_up(host, handle, resource, settings) {
        Status::Ok => Ok(handle),
        status => {
            if let Some(line) = host.lines.remove(handle, resource) {
                host.call_gpio(gpio::call(Procedure::Close, line));
            }
            Err(GpioError::of(status))
        }
    }
}

fn set_up(host: &mut Host, handle: u32, resource: Resource, settings: Settings) -> Status {
    let Some(open) = host.lines.get_mut(handle, resource) else { return Status::Invalid };
    open.active_low = settings.active_low.unwrap_or(open.active_low);
    open.pull = settings.pull;
    let pull = settings.pull.map(|pull| gpio::call_with(Procedure::Pull, open.line, u64::from(pull.to_wire())));
    let state = settings.active.map(|active| lines::set_active(open, active));
    let mut calls = pull.into_iter().chain(state);
    calls.find_map(|call| Some(host.call_gpio(call).0).filter(|status| *status != Status::Ok)).unwrap_or(Status::Ok)
}

/// A pin's function that all drafts have alike, where they have it.
fn define_pin(
    linker: &mut Linker<Host>,
    module: &str,
    name: &str,
    resource: Resource,
    function: &str,
) -> Result<(), Unknown> {
    let active: fn(bool) -> Payload = |active| Payload::Byte(u8::from(active));
    let inactive: fn(bool) -> Payload = |active| Payload::Byte(u8::from(!active));
    let state: fn(bool) -> Payload = |active| Payload::Byte(if active { ACTIVE } else { INACTIVE });
    match function {
        "set-state" => function::define(
            linker,
            module,
            name,
            move |caller: &mut Caller<'_, Host>, handle: u32, to: u32, result: u32| {
                let active = match u8::try_from(to) {
                    Ok(ACTIVE) => true,
                    Ok(INACTIVE) => false,
                    _ => return Err(Fault::NoSuchValue { enumeration: "pin-state", value: to }.into()),
                };
                command(caller, handle, resource, result, |open| lines::set_active(open, active))
            },
        ),
        "set-active" => {
            function::define(linker, module, name, move |caller: &mut Caller<'_, Host>, handle: u32, result: u32| {
                command(caller, handle, resource, result, |open| lines::set_active(open, true))
            })
        }
        "set-inactive" => {
            function::define(linker, module, name, move |caller: &mut Caller<'_, Host>, handle: u32, result: u32| {
                command(caller, handle, resource, result, |open| lines::set_active(open, false))
            })
        }
        "toggle" => {
            function::define(linker, module, name, move |caller: &mut Caller<'_, Host>, handle: u32, result: u32| {
                command(caller, handle, resource, result, |open| gpio::call(Procedure::Toggle, open.line))
            })
        }
        "read" | "get-state" => {
            function::define(linker, module, name, move |caller: &mut Caller<'_, Host>, handle: u32, result: u32| {
                look(caller, handle, resource, result, state)
            })
        }
        "is-active" | "is-set-active" => {
            function::define(linker, module, name, move |caller: &mut Caller<'_, Host>, handle: u32, result: u32| {
                look(caller, handle, resource, result, active)
            })
        }
        "is-inactive" | "is-set-inactive" => {
            function::define(linker, module, name, move |caller: &mut Caller<'_, Host>, handle: u32, result: u32| {
                look(caller, handle, resource, result, inactive)
            })
        }
        // A pin is ready when it is open, and a handle that is none is no pin.
        "is-ready" => function::define(
            linker,
            module,
            name,
            move |caller: &mut Caller<'_, Host>, handle: u32| -> Result<u32, Error> {
                enter(caller);
                caller.data().lines.get(handle, resource).ok_or(lines::no_such_handle(handle, resource))?;
                Ok(1)
            },
        ),
        "drop" => function::define(
            linker,
            module,
            name,
            move |caller: &mut Caller<'_, Host>, handle: u32| -> Result<(), Error> {
                enter(caller);
                Ok(lines::close(caller, handle, resource)?)
            },
        ),
        _ => return Err(Unknown),
    }?;
    Ok(())
}

/// A call of the pin behind `handle` that answers nothing but an error.
fn command(
    caller: &mut Caller<'_, Host>,
    handle: u32,
    resource: Resource,
    result: u32,
    message: impl FnOnce(&OpenLine) -> Message,
) -> Result<(), Error> {
    enter(caller);
    check_result(&GuestMemory::of(caller)?.0, result)?;
    let done = match lines::call(caller, handle, resource, message)? {
        (Status::Ok, _) => Ok(Payload::Nothing),
        (status, _) => Err(GpioError::of(status)),
    };
    answer(&mut GuestMemory::of(caller)?.0, result, done)
}

/// Reads the pin behind `handle` and answers whether it is active, in the function's own words.
fn look(
    caller: &mut Caller<'_, Host>,
    handle: u32,
    resource: Resource,
    result: u32,
    words: fn(bool) -> Payload,
) -> Result<(), Error> {
    enter(caller);
    check_result(&GuestMemory::of(caller)?.0, result)?;
    let (open, level) = lines::level(caller, handle, resource)?;
    let seen = level.map(|level| words(open.is_active(level))).map_err(GpioError::of);
    answer(&mut GuestMemory::of(caller)?.0, result, seen)
}

/// `get-config`, whose record lies `record_offset` into what is answered.
fn define_get_config(
    linker: &mut Linker<Host>,
    module: &str,
    name: &str,
    resource: Resource,
    record_offset: u32,
) -> Result<(), Unknown> {
    let get_config = move |caller: &mut Caller<'_, Host>, handle: u32, result: u32| -> Result<(), Error> {
        enter(caller);
        let (mut memory, host) = GuestMemory::of(caller)?;
        let open = *host.lines.get(handle, resource).ok_or(lines::no_such_handle(handle, resource))?;
        let record = offset(result, record_offset)?;
        if !result.is_multiple_of(RESULT_ALIGNMENT) {
            return Err(Fault::Misaligned { address: result }.into());
        }
        if record_offset != 0 {
            memory.write(result, &[0])?;
        }
        // Behind the label's address and length: pin-mode, active-level, whether there is a pull, which.
        let pull = match open.pull {
            Some(Pull::Up) => [1, 0],
            Some(Pull::Down) => [1, 1],
            Some(Pull::Float) | None => [0, 0],
        };
        let mode = u8::from(resource.direction == Direction::Output);
        memory.write(offset(record, 8)?, &[mode, u8::from(open.active_low), pull[0], pull[1]])?;
        let label = host.configuration.lines.iter().find(|(_, line)| *line == open.line);
        let label = label.map(|(label, _)| label.clone()).unwrap_or_default();
        Ok(delivery::answer_text(caller, record, &label)?)
    };
    function::define(linker, module, name, get_config)?;
    Ok(())
}

/// Before anything is done: an answer that cannot be told must not leave a pin open or a level changed.
fn check_result(memory: &GuestMemory<'_>, result: u32) -> Result<(), Fault> {
    if !result.is_multiple_of(RESULT_ALIGNMENT) {
        return Err(Fault::Misaligned { address: result });
    }
    memory.slice(result, RESULT_BYTES).map(|_| ())
}

fn answer(memory: &mut GuestMemory<'_>, result: u32, answer: Result<Payload, GpioError>) -> Result<(), Error> {
    let payload = offset(result, RESULT_ALIGNMENT)?;
    memory.write(result, &[u8::from(answer.is_err())])?;
    match answer {
        Ok(Payload::Nothing) => {}
        Ok(Payload::Byte(byte)) => memory.write(payload, &[byte])?,
        Ok(Payload::Handle(handle)) => memory.write_u32(payload, handle)?,
        Err(error) => memory.write(payload, &[error as u8])?,
    }
    Ok(())
}
