//! What wasmtime makes of a module: the life of a container, told again in few lines.
//!
//! The host functions here are written from their descriptions and not taken from the cell. Those that would need a node
//! are not here, see [`is_modelled`]; in a module without handles, every function that takes one traps.

use std::{collections::BTreeMap, fmt};

use runner_container::offers::{self, Offer, TINY, WASI};
use wasmtime::{
    Caller, Config, Engine, Error, Extern, ExternType, Func, Instance, Linker, Memory, Module, ResourceLimiter, Result,
    Store, Trap, Val,
};

use crate::in_cell::{ARGUMENTS, ENVIRONMENT, LOOPS, MEMORY_BYTES, NAME, SEED, TABLE_ELEMENTS};

/// Native stack for compiled code: what most modules' calls within each other take.
const STACK_BYTES: usize = 1 << 20;

/// The longest log record, in bytes (`atoll.wit`, `log`; TinyContainer's `logger` likewise).
const LOG_BYTES: usize = 1024;

const BADF: i32 = 8;
const NOSYS: i32 = 52;
const NOTSOCK: i32 = 57;

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With that code.
    Finalised(i32),
    /// With a trap of the program's own, as [`phrase`] has it.
    Trapped(&'static str),
    /// In a host call.
    HostTrap,
    /// `on-start` did not answer 0.
    StartRefused,
    /// `on-loop` answered neither 0 nor 1.
    UnknownNext,
    /// More memory or table than allowed, from the start.
    TooLarge,
    /// Of the two engines' own limits of recursion, one was met here.
    StackExhausted,
}

/// How it ended and what it left.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) end: End,
    /// Memory and globals; none where it did not come to be an instance.
    pub(crate) remains: Option<(Vec<u8>, BTreeMap<String, u64>)>,
}

/// Why a host function does not come back.
#[derive(Clone, Copy, Debug)]
enum HostEnd {
    Exit(i32),
    Trap,
}

impl fmt::Display for HostEnd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self:?}")
    }
}

impl std::error::Error for HostEnd {}

/// Whether a function is modelled here.
pub(crate) fn is_modelled(offer: &Offer) -> bool {
    let needs_handle = ["[method]", "[resource-drop]"].iter().any(|begin| offer.name.starts_with(begin));
    match (offer.interface, offer.name) {
        (WASI, "args_get" | "args_sizes_get" | "environ_get" | "environ_sizes_get") => true,
        (WASI, "sched_yield" | "proc_exit" | "proc_raise" | "random_get") => true,
        (WASI, name) => name.starts_with("sock_"),
        (TINY, name) => name != "open",
        // A text is answered in room that the container makes, and these modules have no allocator.
        ("log" | "node" | "wasi:io/poll", _) => true,
        // Looks at some of its arguments before it looks for the handle.
        ("i2c", _) => false,
        _ => needs_handle && offer.drafts == 0,
    }
}

struct State {
    random: fastrand::Rng,
    table_elements: usize,
    instantiated: bool,
}

impl ResourceLimiter for State {
    fn memory_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        Ok(desired <= MEMORY_BYTES as usize)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        if self.instantiated {
            // A cell's tables keep their size.
            return Ok(desired == current);
        }
        self.table_elements += desired - current;
        Ok(self.table_elements <= TABLE_ELEMENTS as usize)
    }
}

/// Runs a module to its end.
pub(crate) fn run(wasm: &[u8]) -> Outcome {
    let mut config = Config::new();
    config.max_wasm_stack(STACK_BYTES).wasm_multi_memory(false).wasm_tail_call(true);
    let engine = Engine::new(&config).expect("a usual configuration");
    let module = Module::new(&engine, wasm).expect("what wasm-smith makes is valid");
    let state = State { random: fastrand::Rng::with_seed(SEED ^ 1), table_elements: 0, instantiated: false };
    let mut store = Store::new(&engine, state);
    store.limiter(|state| state);
    let instance = match link(&engine, &module).instantiate(&mut store, &module) {
        Ok(instance) => instance,
        Err(error) => return Outcome { end: end_of(&error), remains: None },
    };
    let mut life = Life { store, instance };
    let end = life.live().unwrap_or_else(|error| end_of(&error));
    Outcome { end, remains: Some(life.remains()) }
}

/// As wasmi 2.0 does, the start function runs with tables frozen: it is a hook of the cell.
fn link(engine: &Engine, module: &Module) -> Linker<State> {
    let mut linker = Linker::new(engine);
    linker.allow_shadowing(true);
    for import in module.imports() {
        let ExternType::Func(ty) = import.ty() else { panic!("only functions are offered") };
        let offer = offers::find(import.module(), import.name()).expect("only what is offered is imported");
        let call = move |mut caller: Caller<'_, State>, arguments: &[Val], results: &mut [Val]| {
            let answer = serve(offer, &mut caller, arguments)?;
            if let (Some(answer), [result]) = (answer, results) {
                *result = Val::I32(answer);
            }
            Ok(())
        };
        linker.func_new(import.module(), import.name(), ty, call).expect("shadowing is allowed");
    }
    linker
}

struct Life {
    store: Store<State>,
    instance: Instance,
}

impl Life {
    fn hook(&mut self, name: &str) -> Option<Func> {
        self.instance.get_func(&mut self.store, name)
    }

    fn call(&mut self, name: &str) -> Result<i32> {
        let function = self.hook(name).expect("its world has the hook");
        let mut results = vec![Val::I32(0); function.ty(&self.store).results().len()];
        function.call(&mut self.store, &[], &mut results)?;
        Ok(results.first().map_or(0, Val::unwrap_i32))
    }

    fn live(&mut self) -> Result<End> {
        self.store.data_mut().instantiated = true;
        if self.hook("_initialize").is_some() {
            self.call("_initialize")?;
        }
        let is_reactor = self.hook("on-start").is_some();
        if self.hook("_start").is_some() {
            self.call("_start")?;
            return Ok(End::Finalised(0));
        }
        let [start, round, stop] =
            if is_reactor { ["on-start", "on-loop", "on-stop"] } else { ["start", "loop", "stop"] };
        if self.call(start)? != 0 {
            return Ok(End::StartRefused);
        }
        for _ in 0..LOOPS {
            match self.call(round)? {
                0 => {}
                1 => break,
                _ if is_reactor => return Ok(End::UnknownNext),
                _ => break,
            }
        }
        self.call(stop)?;
        Ok(End::Finalised(0))
    }

    fn remains(mut self) -> (Vec<u8>, BTreeMap<String, u64>) {
        let exports: Vec<_> = self
            .instance
            .exports(&mut self.store)
            .map(|export| (export.name().to_owned(), export.into_extern()))
            .collect();
        let mut memory = Vec::new();
        let mut globals = BTreeMap::new();
        for (name, value) in exports {
            match value {
                Extern::Memory(found) if name == "memory" => memory = found.data(&self.store).to_vec(),
                Extern::Global(global) => {
                    let bits = match global.get(&mut self.store) {
                        Val::I32(value) => u64::from(value.cast_unsigned()),
                        Val::I64(value) => value.cast_unsigned(),
                        Val::F32(bits) => u64::from(bits),
                        Val::F64(bits) => bits,
                        _ => continue,
                    };
                    globals.insert(name, bits);
                }
                _ => {}
            }
        }
        (memory, globals)
    }
}

fn end_of(error: &Error) -> End {
    if let Some(end) = error.downcast_ref::<HostEnd>() {
        return match end {
            HostEnd::Exit(code) => End::Finalised(*code),
            HostEnd::Trap => End::HostTrap,
        };
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => End::StackExhausted,
        Some(trap) => End::Trapped(phrase(*trap)),
        None => End::TooLarge,
    }
}

/// What the cell's sentence of that trap has in it.
fn phrase(trap: Trap) -> &'static str {
    match trap {
        Trap::UnreachableCodeReached => "unreachable code",
        Trap::MemoryOutOfBounds => "memory access out of bounds",
        Trap::TableOutOfBounds => "table access out of bounds",
        Trap::IndirectCallToNull => "empty table element",
        Trap::BadSignature => "function of another type",
        Trap::IntegerDivisionByZero => "division by zero",
        Trap::IntegerOverflow => "integer overflow",
        Trap::BadConversionToInteger => "no integer can hold",
        other => panic!("a trap of no such module: {other:?}"),
    }
}

/// The container's memory.
struct Bytes<'c, 'a>(&'c mut Caller<'a, State>, Memory);

impl<'c, 'a> Bytes<'c, 'a> {
    fn of(caller: &'c mut Caller<'a, State>) -> Self {
        let memory = caller.get_export("memory").and_then(Extern::into_memory);
        let memory = memory.expect("each of these modules exports one");
        Self(caller, memory)
    }

    fn at(&self, address: i32, length: usize) -> Result<&[u8]> {
        let start = address.cast_unsigned() as usize;
        Ok(self.1.data(&self.0).get(start..start + length).ok_or(HostEnd::Trap)?)
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<()> {
        let start = usize::try_from(address).map_err(|_| HostEnd::Trap)?;
        let room = self.1.data_mut(&mut self.0).get_mut(start..start + bytes.len());
        room.ok_or(HostEnd::Trap)?.copy_from_slice(bytes);
        Ok(())
    }
}

fn length(value: i32) -> usize {
    value.cast_unsigned() as usize
}

fn serve(offer: &Offer, caller: &mut Caller<'_, State>, arguments: &[Val]) -> Result<Option<i32>> {
    let i = |number: usize| arguments[number].unwrap_i32();
    match (offer.interface, offer.name) {
        (WASI, "proc_exit") => Err(HostEnd::Exit(i(0)).into()),
        (WASI, "sched_yield") => Ok(Some(0)),
        (WASI, "proc_raise") => Ok(Some(NOSYS)),
        (WASI, "random_get") => {
            let mut random = caller.data().random.clone();
            let mut memory = Bytes::of(caller);
            let mut bytes = memory.at(i(0), length(i(1)))?.to_vec();
            random.fill(&mut bytes);
            memory.write(u64::from(i(0).cast_unsigned()), &bytes)?;
            caller.data_mut().random = random;
            Ok(Some(0))
        }
        (WASI, "args_sizes_get") => sizes(Bytes::of(caller), &command_line(), i(0), i(1)),
        (WASI, "args_get") => strings(Bytes::of(caller), &command_line(), i(0), i(1)),
        (WASI, "environ_sizes_get") => sizes(Bytes::of(caller), &environment(), i(0), i(1)),
        (WASI, "environ_get") => strings(Bytes::of(caller), &environment(), i(0), i(1)),
        (WASI, name) if name.starts_with("sock_") => Ok(Some(if (0..=2).contains(&i(0)) { NOTSOCK } else { BADF })),
        (TINY, "logger") => {
            let memory = Bytes::of(caller);
            let all = memory.1.data(&memory.0);
            let text = all.get(length(i(0))..).unwrap_or_default();
            let text = &text[..text.len().min(LOG_BYTES)];
            if text.len() < LOG_BYTES && !text.contains(&0) { Err(HostEnd::Trap.into()) } else { Ok(None) }
        }
        (TINY, "close") => Ok(Some(-1)),
        (TINY, _) => {
            // Nothing was opened.
            Bytes::of(caller).at(i(1), length(i(2)))?;
            Ok(Some(-1))
        }
        ("log", _) => {
            let memory = Bytes::of(caller);
            let text = memory.at(i(1), length(i(2)))?;
            let is_level = (0..=4).contains(&i(0));
            if is_level && is_text(text) { Ok(None) } else { Err(HostEnd::Trap.into()) }
        }
        _ => Err(HostEnd::Trap.into()),
    }
}

/// Whether a record's text is UTF-8 as far as it is looked at: what is too long is cut, with three bytes for the mark.
fn is_text(text: &[u8]) -> bool {
    if text.len() <= LOG_BYTES {
        return str::from_utf8(text).is_ok();
    }
    match str::from_utf8(&text[..LOG_BYTES - 3]) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    }
}

fn command_line() -> Vec<String> {
    [NAME].into_iter().chain(ARGUMENTS).map(|text| format!("{text}\0")).collect()
}

fn environment() -> Vec<String> {
    vec![format!("{}={}\0", ENVIRONMENT.0, ENVIRONMENT.1)]
}

fn sizes(mut memory: Bytes<'_, '_>, texts: &[String], count: i32, bytes: i32) -> Result<Option<i32>> {
    let length: usize = texts.iter().map(String::len).sum();
    for (address, value) in [(count, texts.len()), (bytes, length)] {
        let value = u32::try_from(value).expect("short texts");
        memory.write(u64::from(address.cast_unsigned()), &value.to_le_bytes())?;
    }
    Ok(Some(0))
}

fn strings(mut memory: Bytes<'_, '_>, texts: &[String], array: i32, text: i32) -> Result<Option<i32>> {
    let (mut array, mut at) = (u64::from(array.cast_unsigned()), u64::from(text.cast_unsigned()));
    for text in texts {
        let address = u32::try_from(at).map_err(|_| HostEnd::Trap)?;
        memory.write(array, &address.to_le_bytes())?;
        memory.write(at, text.as_bytes())?;
        array += 4;
        at += text.len() as u64;
    }
    Ok(Some(0))
}
