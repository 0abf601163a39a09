//! The engine: from bytes to an instance whose hooks run a slice of fuel at a time.
//!
//! `wasmi` interprets; this module sets it up, says what is wrong with a module in the cell's own terms, and turns its
//! resumable calls into slices. It believes `wasmi`'s validation and its metering, and nothing of the module. Nothing here is
//! abstracted over engines: whoever brings the second one cuts the trait.

use runner_interfaces::cell::{FailureReason, World};
use wasmi::{
    CompilationMode, Config, CustomFuelCosts, Engine, Error, ExternType, Func, FuncType, Linker, Module, OperatorCost,
    ResumableCall, ResumableCallHostTrap, ResumableCallOutOfFuel, Store, TrapCode, Val, ValType,
    errors::{ErrorKind, InstantiationError, MemoryError, TableError},
};

use crate::{
    delivery::Allocator,
    failure::Failure,
    host::Host,
    limits::{Denial, MAX_TABLES},
    memory::Fault,
    sections,
    worlds::{self, function::Answer},
};

/// The interpreter's value stack at its largest. Programs keep arrays in linear memory; 256 KiB are 32,768 values.
pub(crate) const VALUE_STACK_BYTES: usize = 256 * 1024;

/// Calls within calls. A native thread of 8 MiB gets some tens of thousands; deeper recursion than 4,000 is a mistake far
/// more often than a program.
pub(crate) const CALL_DEPTH: usize = 4000;

/// What an exported function is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hook {
    /// The module's start function.
    StartFunction,
    /// `_initialize`, which a WASI reactor expects to be called before anything else.
    Initialize,
    /// `_start` of a command.
    Command,
    /// `on-start` of a reactor, `start` of a TinyContainer.
    OnStart,
    /// `on-loop` of a reactor, `loop` of a TinyContainer.
    OnLoop,
    /// `on-stop` of a reactor, `stop` of a TinyContainer.
    OnStop,
}

/// The hooks of a world that has more than one.
const LIFE: [Hook; 3] = [Hook::OnStart, Hook::OnLoop, Hook::OnStop];

impl Hook {
    const ALL: [Self; 6] =
        [Self::StartFunction, Self::Initialize, Self::Command, Self::OnStart, Self::OnLoop, Self::OnStop];

    /// What a module of that world exports it as.
    const fn export(self, world: World) -> &'static str {
        match (self, world) {
            (Self::StartFunction, _) => sections::START_EXPORT,
            (Self::Initialize, _) => "_initialize",
            (Self::Command, _) => "_start",
            (Self::OnStart, World::TinyContainer) => "start",
            (Self::OnLoop, World::TinyContainer) => "loop",
            (Self::OnStop, World::TinyContainer) => "stop",
            (Self::OnStart, _) => "on-start",
            (Self::OnLoop, _) => "on-loop",
            (Self::OnStop, _) => "on-stop",
        }
    }

    /// What a person calls it.
    pub(crate) const fn name(self, world: World) -> &'static str {
        match self {
            Self::StartFunction => "start function",
            other => other.export(world),
        }
    }

    /// Whether it answers an `i32`. None takes an argument.
    const fn answers(self, world: World) -> bool {
        match self {
            Self::OnLoop => true,
            Self::OnStart => !matches!(world, World::TinyContainer),
            _ => false,
        }
    }

    fn has_type(self, world: World, ty: &FuncType) -> bool {
        let results: &[ValType] = if self.answers(world) { &[ValType::I32] } else { &[] };
        ty.params().is_empty() && ty.results() == results
    }
}

/// What a module exports for host calls that answer with text or lists: `cabi_realloc` of the canonical ABI.
pub(crate) const ALLOCATOR: &str = "cabi_realloc";

/// What is called: what a person calls it, and whether it answers an `i32`.
#[derive(Clone, Copy, Debug)]
struct Callee {
    name: &'static str,
    answers: bool,
}

/// The hooks that a module exports, by [`Hook`].
#[derive(Clone, Copy, Debug, Default)]
struct Hooks {
    functions: [Option<Func>; Hook::ALL.len()],
}

/// A module that was compiled and instantiated. None of its code has run.
pub(crate) struct Program {
    store: Store<Host>,
    world: World,
    hooks: Hooks,
    #[cfg(feature = "fake")]
    instance: wasmi::Instance,
}

/// A call that can go on.
pub(crate) enum Execution {
    /// It has not begun.
    Begin(Func),
    /// The container's allocator, which has not begun, with its arguments.
    Allocate(Func, [i32; 4]),
    /// Its slice was over.
    Preempted(ResumableCallOutOfFuel),
    /// A host call ended its slice, and this is its result.
    Answered(ResumableCallHostTrap, Answer),
}

impl Execution {
    /// The fuel without which it gets no further.
    pub(crate) fn needed_fuel(&self) -> u64 {
        match self {
            Self::Preempted(call) => call.required_fuel(),
            _ => 0,
        }
    }
}

/// How a slice ended.
pub(crate) enum SliceEnd {
    /// The hook came back, with its answer (0 where it has none).
    Returned(i32),
    /// The fuel is burnt, and so it goes on.
    Preempted(Execution),
    /// A host call waits, see [`Host::wait`].
    Suspended(ResumableCallHostTrap),
    /// `proc_exit`.
    Exited(i32),
    /// It trapped.
    Failed(Failure),
}

impl Program {
    /// Compiles and instantiates a module for `host`. The start function does not run, see [`Hook::StartFunction`].
    pub(crate) fn load(host: Host, wasm: &[u8], most_locals: u64) -> Result<Self, Failure> {
        check_header(wasm)?;
        let Some(operator_cost) = operator_cost(most_locals) else {
            let text = format_args!("a function with {most_locals} locals; {MAX_LOCALS} are the most");
            return Err(Failure::new(FailureReason::InvalidModule, text));
        };
        let engine = Engine::new(&configuration(operator_cost));
        let module = compile(&engine, wasm)?;
        let mut store = Store::new(&engine, host);
        store.limiter(|host| &mut host.limits);
        let linker = link(&engine, &module)?;
        let world = world_of(&module)?;
        let instance = linker
            .instantiate_and_start(&mut store, &module)
            .map_err(|error| instantiation_failure(&error, store.data()))?;
        let memory = instance.get_memory(&store, "memory");
        let hooks = Hooks { functions: Hook::ALL.map(|hook| instance.get_func(&store, hook.export(world))) };
        let allocator = Allocator::of(instance.get_func(&store, ALLOCATOR), &store);
        let host = store.data_mut();
        host.memory = memory;
        host.allocator = allocator;
        host.limits.freeze_tables();
        Ok(Self {
            store,
            world,
            hooks,
            #[cfg(feature = "fake")]
            instance,
        })
    }

    /// What tests compare with another engine: the memory and the numbers in exported globals, in the module's order.
    #[cfg(feature = "fake")]
    pub(crate) fn remains(&self) -> crate::fake::Remains {
        let number = |value| match value {
            Val::I32(value) => Some(u64::from(value.cast_unsigned())),
            Val::I64(value) => Some(value.cast_unsigned()),
            Val::F32(value) => Some(u64::from(value.to_bits())),
            Val::F64(value) => Some(value.to_bits()),
            _ => None,
        };
        let globals = self.instance.exports(&self.store).filter_map(|export| {
            let name = export.name().into();
            Some((name, number(export.into_global()?.get(&self.store))?))
        });
        let memory = self.host().memory.map(|memory| memory.data(&self.store).into());
        crate::fake::Remains { memory: memory.unwrap_or_default(), globals: globals.collect() }
    }

    pub(crate) fn world(&self) -> World {
        self.world
    }

    pub(crate) fn host(&self) -> &Host {
        self.store.data()
    }

    pub(crate) fn host_mut(&mut self) -> &mut Host {
        self.store.data_mut()
    }

    pub(crate) fn store_mut(&mut self) -> &mut Store<Host> {
        &mut self.store
    }

    /// The call of a hook, if the module has it.
    pub(crate) fn begin(&self, hook: Hook) -> Option<Execution> {
        self.hooks.functions[hook as usize].map(Execution::Begin)
    }

    /// Runs `execution` of `hook` until it ends, waits, or has burnt `fuel`; answers the fuel burnt too.
    ///
    /// One instruction may need more than a slice (a bulk copy costs one fuel for [`BYTES_COPIED_PER_FUEL`]): then it gets what it needs, at
    /// the most what copying the whole memory takes.
    pub(crate) fn run_slice(&mut self, hook: Hook, execution: Execution, fuel: u64) -> (SliceEnd, u64) {
        let callee = Callee { name: hook.name(self.world), answers: hook.answers(self.world) };
        self.slice(callee, execution, fuel)
    }

    /// The same for the allocator, while the hook that made the host call is suspended. It answers an address.
    pub(crate) fn run_allocator_slice(&mut self, execution: Execution, fuel: u64) -> (SliceEnd, u64) {
        self.slice(Callee { name: ALLOCATOR, answers: true }, execution, fuel)
    }

    fn slice(&mut self, callee: Callee, execution: Execution, fuel: u64) -> (SliceEnd, u64) {
        let granted = fuel.max(execution.needed_fuel());
        self.store.set_fuel(granted).expect("the engine was configured to meter fuel");
        let end = self.resume(callee, execution);
        let left = self.store.get_fuel().expect("the engine was configured to meter fuel");
        let overdrawn = core::mem::take(&mut self.host_mut().overdrawn_fuel);
        (end, granted.saturating_sub(left).saturating_add(overdrawn))
    }

    fn resume(&mut self, callee: Callee, execution: Execution) -> SliceEnd {
        let mut answer = [Val::I32(0)];
        let outputs = if callee.answers { &mut answer[..] } else { &mut [] };
        let called = match execution {
            Execution::Begin(function) => function.call_resumable(&mut self.store, &[], outputs),
            Execution::Allocate(function, arguments) => {
                function.call_resumable(&mut self.store, &arguments.map(Val::I32), outputs)
            }
            Execution::Preempted(call) => call.resume(&mut self.store, outputs),
            Execution::Answered(call, answer) => call.resume(&mut self.store, answer.value().as_slice(), outputs),
        };
        match called {
            Ok(ResumableCall::Finished) => SliceEnd::Returned(answer[0].i32().unwrap_or(0)),
            Ok(ResumableCall::OutOfFuel(call)) => SliceEnd::Preempted(Execution::Preempted(call)),
            Ok(ResumableCall::HostTrap(call)) => match self.host_mut().answer.take() {
                Some(answer) => SliceEnd::Preempted(Execution::Answered(call, answer)),
                None => host_trap(callee.name, call),
            },
            Err(error) => SliceEnd::Failed(trap_failure(callee.name, &error)),
        }
    }
}

/// What a host function's error means.
fn host_trap(hook: &str, call: ResumableCallHostTrap) -> SliceEnd {
    if matches!(call.host_error().downcast_ref(), Some(Fault::Suspended)) {
        return SliceEnd::Suspended(call);
    }
    match call.host_error().i32_exit_status() {
        Some(code) => SliceEnd::Exited(code),
        None => SliceEnd::Failed(trap_failure(hook, call.host_error())),
    }
}

// What fuel an operator takes is one unit in `wasmi` 2.0, whatever it does. How long a slice takes is to follow from its fuel, so
// what takes longer costs more here: one unit for each ten of the machine's instructions, as `cargo xtask bench --fuel` counts them on seL4.

/// Locals that are set to zero for one unit.
const LOCALS_PER_FUEL: u64 = 3;

/// The most locals of a function, as far as a call of it can be paid for. Compilers that optimise need some dozens.
const MAX_LOCALS: u64 = (u8::MAX as u64 - INDIRECT_CALL_FUEL) * LOCALS_PER_FUEL;

/// Of calls, without the callee's locals.
const CALL_FUEL: u64 = 8;
const INDIRECT_CALL_FUEL: u64 = 16;

/// Of what works on a piece of memory or of a table, whatever its size.
const BULK_FUEL: u8 = 21;

/// Bytes for one unit, of the same.
const BYTES_COPIED_PER_FUEL: u32 = 16;

/// Fuel of a host call's copying so many bytes, at the same rate.
pub(crate) fn copy_fuel(bytes: u32) -> u64 {
    (bytes / BYTES_COPIED_PER_FUEL).into()
}

/// Of a square root, which is computed in software.
const ROOT_FUEL: u8 = 8;

/// Fuel of a call in a module whose functions have so many locals at the most: the locals of a large function take longer than a
/// thousand other instructions, and a slice of such calls at one unit each would last for seconds.
fn call_fuel(of_call: u64, most_locals: u64) -> Option<u8> {
    u8::try_from(of_call + most_locals.div_ceil(LOCALS_PER_FUEL)).ok()
}

/// Of a module whose functions have so many locals at the most; `None` where they are too many.
fn operator_cost(most_locals: u64) -> Option<OperatorCost> {
    Some(OperatorCost {
        call: call_fuel(CALL_FUEL, most_locals)?,
        call_indirect: call_fuel(INDIRECT_CALL_FUEL, most_locals)?,
        f32_sqrt: ROOT_FUEL,
        f64_sqrt: ROOT_FUEL,
        memory_grow: BULK_FUEL,
        memory_copy: BULK_FUEL,
        memory_fill: BULK_FUEL,
        memory_init: BULK_FUEL,
        table_grow: BULK_FUEL,
        table_copy: BULK_FUEL,
        table_fill: BULK_FUEL,
        table_init: BULK_FUEL,
        ..OperatorCost::default()
    })
}

fn configuration(operator_cost: OperatorCost) -> Config {
    let mut configuration = Config::default();
    // Modules are translated as a whole when they are loaded, and that is not metered.
    let (fuel_per_bytes_translated, fuel_per_bytes_validated) = (0, 0);
    configuration
        .consume_fuel(true)
        .operator_cost(operator_cost)
        .fuel_cost(CustomFuelCosts {
            bytes_copied_per_fuel: BYTES_COPIED_PER_FUEL,
            fuel_per_bytes_translated,
            fuel_per_bytes_validated,
        })
        // Lazy compilation together with resumable calls has panicked, and it would compile in a slice.
        .compilation_mode(CompilationMode::Eager)
        .ignore_custom_sections(true)
        // `sections::without_start_section` took it out; one that is left would run unmetered.
        .allow_start_fn(false)
        .set_max_recursion_depth(CALL_DEPTH)
        .set_max_stack_height(VALUE_STACK_BYTES)
        // One container has one call at a time.
        .set_max_cached_stacks(1)
        // Limits count one memory of 64 KiB pages, addressed by 32 bits.
        .wasm_multi_memory(false)
        // `wasmi` 2.0 cannot resume a host call that was a tail call: the answer comes to lie among the caller's values, and
        // of one that ends a hook nothing is left to resume.
        .wasm_tail_call(false)
        .wasm_custom_page_sizes(false);
    configuration
}

/// `(module (func (export "f") (result i32) (i32.mul (i32.const 6) (i32.const 7))))`
const PRODUCT: &[u8] = b"\0asm\x01\0\0\0\x01\x05\x01\x60\0\x01\x7f\x03\x02\x01\0\x07\x05\x01\x01f\0\0\
    \x0a\x09\x01\x07\0\x41\x06\x41\x07\x6c\x0b";

/// What [`PRODUCT`] must answer.
pub(crate) const PRODUCT_ANSWER: i32 = 42;

/// More fuel than [`PRODUCT`] burns.
const PRODUCT_FUEL: u64 = 1000;

/// Compiles and runs [`PRODUCT`] with the containers' own settings, and answers what it answered.
pub(crate) fn run_product() -> Result<i32, Error> {
    let engine = Engine::new(&configuration(OperatorCost::default()));
    let module = Module::new(&engine, PRODUCT)?;
    let mut store = Store::new(&engine, ());
    store.set_fuel(PRODUCT_FUEL)?;
    let instance = Linker::new(&engine).instantiate_and_start(&mut store, &module)?;
    instance.get_typed_func::<(), i32>(&store, "f")?.call(&mut store, ())
}

fn check_header(wasm: &[u8]) -> Result<(), Failure> {
    if sections::is_core_module(wasm) {
        return Ok(());
    }
    let length = wasm.len();
    let text = match wasm.first_chunk::<8>() {
        Some([0, b'a', b's', b'm', 0x0d, 0, 1, 0]) => format_args!("a component; a cell runs core modules"),
        Some([0, b'a', b's', b'm', ..]) => format_args!("a version of WebAssembly that is not 1"),
        _ => format_args!("{length} bytes that do not begin as a WebAssembly module"),
    };
    Err(Failure::new(FailureReason::NotWasm, text))
}

/// Validates all of the module before any of it is translated: `wasmi` 2.0 does both operator by operator, and its translator
/// asserts what holds of valid code only (an operator behind a function's last `end` is found invalid too late).
fn compile(engine: &Engine, wasm: &[u8]) -> Result<Module, Failure> {
    let rewritten = sections::without_start_section(wasm);
    let wasm = rewritten.as_deref().unwrap_or(wasm);
    Module::validate(engine, wasm)
        .and_then(|()| Module::new(engine, wasm))
        .map_err(|error| Failure::new(FailureReason::InvalidModule, format_args!("{error}")))
}

/// Defines what the module imports, and nothing else: a linker with all of both worlds would take tens of kilobytes.
fn link(engine: &Engine, module: &Module) -> Result<Linker<Host>, Failure> {
    let mut linker = Linker::new(engine);
    linker.allow_shadowing(true);
    let unknown = |from: &str, name: &str| Failure::new(FailureReason::UnknownImport, format_args!("{from}.{name}"));
    let mut drafts = worlds::Drafts::default();
    for import in module.imports() {
        drafts.narrow(import.module(), import.name()).map_err(|_| unknown(import.module(), import.name()))?;
    }
    for import in module.imports() {
        let (from, name) = (import.module(), import.name());
        let known =
            matches!(import.ty(), ExternType::Func(_)) && worlds::define(&mut linker, drafts, from, name).is_ok();
        if !known {
            return Err(unknown(from, name));
        }
    }
    Ok(linker)
}

/// The world by what the module exports. A module with the hooks of a reactor is one, whatever else it has; `start`, `loop`
/// and `stop` are names that any program may use for something else, so they count last.
fn world_of(module: &Module) -> Result<World, Failure> {
    let exported = |name: &str| matches!(module.get_export(name), Some(ExternType::Func(_)));
    let has_life = |world| LIFE.into_iter().all(|hook| exported(hook.export(world)));
    let world = if has_life(World::Reactor) {
        World::Reactor
    } else if exported(Hook::Command.export(World::WasiCommand)) {
        World::WasiCommand
    } else if has_life(World::TinyContainer) {
        World::TinyContainer
    } else {
        return Err(no_world(LIFE.into_iter().any(|hook| exported(hook.export(World::Reactor)))));
    };
    for hook in Hook::ALL {
        if let Some(ExternType::Func(ty)) = module.get_export(hook.export(world))
            && !hook.has_type(world, &ty)
        {
            let result = if hook.answers(world) { "an i32" } else { "nothing" };
            let text = format_args!("`{}` must take nothing and answer {result}", hook.name(world));
            return Err(Failure::new(FailureReason::UnknownWorld, text));
        }
    }
    Ok(world)
}

fn no_world(some_hooks: bool) -> Failure {
    let text = if some_hooks {
        format_args!("a reactor exports all of `on-start`, `on-loop` and `on-stop`")
    } else {
        format_args!("exports neither `_start` nor `on-start`, `on-loop` and `on-stop` (or `start`, `loop` and `stop`)")
    };
    Failure::new(FailureReason::UnknownWorld, text)
}

fn instantiation_failure(error: &Error, host: &Host) -> Failure {
    match error.kind() {
        ErrorKind::Instantiation(InstantiationError::FailedToInstantiateMemory(memory)) => memory_failure(memory, host),
        ErrorKind::Instantiation(InstantiationError::FailedToInstantiateTable(table)) => table_failure(table, host),
        ErrorKind::Instantiation(InstantiationError::TooManyTables) => {
            Failure::new(FailureReason::TableLimit, format_args!("more than {MAX_TABLES} tables"))
        }
        ErrorKind::Instantiation(
            InstantiationError::FuncTypeMismatch { .. } | InstantiationError::ImportTypeMismatch { .. },
        )
        | ErrorKind::Linker(_) => Failure::new(FailureReason::UnknownImport, format_args!("{error}")),
        ErrorKind::Instantiation(InstantiationError::ElementSegmentDoesNotFit { table_index, len, .. }) => {
            Failure::new(
                FailureReason::Trap,
                format_args!("instantiation: {len} elements at {table_index} are outside of their table"),
            )
        }
        _ => Failure::new(FailureReason::Trap, format_args!("instantiation: {error}")),
    }
}

fn memory_failure(error: &MemoryError, host: &Host) -> Failure {
    match (error, host.limits.denial) {
        (MemoryError::ResourceLimiterDeniedAllocation, Some(Denial::Memory { wanted_bytes })) => Failure::new(
            FailureReason::MemoryLimit,
            format_args!("wants {wanted_bytes} bytes of memory, may have {}", host.limits.memory_bytes),
        ),
        (MemoryError::ResourceLimiterDeniedAllocation, Some(Denial::Heap { wanted_bytes })) => Failure::new(
            FailureReason::CellMemory,
            format_args!("the cell has no room for {wanted_bytes} bytes of memory"),
        ),
        (MemoryError::OutOfSystemMemory, _) => Failure::new(FailureReason::CellMemory, format_args!("{error}")),
        _ => Failure::new(FailureReason::MemoryLimit, format_args!("{error}")),
    }
}

fn table_failure(error: &TableError, host: &Host) -> Failure {
    match (error, host.limits.denial) {
        (TableError::ResourceLimiterDeniedAllocation, Some(Denial::Table { wanted_elements })) => Failure::new(
            FailureReason::TableLimit,
            format_args!("wants {wanted_elements} table elements, may have {}", host.limits.table_elements),
        ),
        (TableError::ResourceLimiterDeniedAllocation, Some(Denial::Heap { wanted_bytes })) => Failure::new(
            FailureReason::CellMemory,
            format_args!("the cell has no room for {wanted_bytes} bytes of tables"),
        ),
        (TableError::OutOfSystemMemory, _) => Failure::new(FailureReason::CellMemory, format_args!("{error}")),
        _ => Failure::new(FailureReason::TableLimit, format_args!("{error}")),
    }
}

fn trap_failure(name: &str, error: &Error) -> Failure {
    match error.as_trap_code() {
        Some(TrapCode::OutOfSystemMemory) => {
            Failure::new(FailureReason::CellMemory, format_args!("{name}: no memory for the call stack"))
        }
        Some(code) => Failure::new(FailureReason::Trap, format_args!("{name}: {}", trap_text(code))),
        None => Failure::new(FailureReason::Trap, format_args!("{name}: {error}")),
    }
}

/// A trap in words that help whoever wrote the program.
const fn trap_text(code: TrapCode) -> &'static str {
    match code {
        TrapCode::UnreachableCodeReached => "unreachable code reached (a panic or an abort of the program)",
        TrapCode::MemoryOutOfBounds => "memory access out of bounds",
        TrapCode::TableOutOfBounds => "table access out of bounds",
        TrapCode::IndirectCallToNull => "call through an empty table element",
        TrapCode::IntegerDivisionByZero => "integer division by zero",
        TrapCode::IntegerOverflow => "integer overflow",
        TrapCode::BadConversionToInteger => "conversion of a number that no integer can hold",
        TrapCode::StackOverflow => "call stack exhausted",
        TrapCode::BadSignature => "indirect call of a function of another type",
        TrapCode::OutOfFuel => "out of fuel",
        TrapCode::GrowthOperationLimited => "growth refused",
        TrapCode::OutOfSystemMemory => "out of memory",
    }
}
