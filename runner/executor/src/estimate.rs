//! What compiling a module may take of the heap, before it is compiled.
//!
//! A cell whose heap runs out ends as a domain: allocation has no error to return. `wasmi` has no budget to compile within
//! either, and some code grows several thousandfold (a conditional branch that carries a thousand values is two bytes, and a
//! thousand copies in the interpreter's code). So a module is read once, by the parser that `wasmi` has too, and everything
//! in it is charged what it takes at most. The prices were measured for `wasmi` 2.0 with modules that have much of one
//! thing, on a 64-bit machine with vectors that double, and rounded up; `tests/heap.rs` holds every one of them.
//! Ordinary programs take about a third of their estimate.
//!
//! Nothing is validated here: where reading fails, compiling fails too, no later than there.

use alloc::vec::Vec;

use wasmparser::{BinaryReaderError, BlockType, FunctionBody, Operator, Parser, Payload};

/// Engine, store, linker and instance of the smallest module.
const BASE_BYTES: u64 = 128 * 1024;

/// Bytes for a byte of these sections.
const TYPE_BYTES: u64 = 112;
const IMPORT_BYTES: u64 = 32;
const EXPORT_BYTES: u64 = 48;
const ELEMENT_BYTES: u64 = 40;
const DATA_BYTES: u64 = 4;

/// Bytes for an entry of these sections.
const FUNCTION_BYTES: u64 = 400;
const GLOBAL_BYTES: u64 = 160;
const ELEMENT_SEGMENT_BYTES: u64 = 192;
const DATA_SEGMENT_BYTES: u64 = 192;

/// Bytes of the interpreter's code for an operator: an address and up to four operands.
const OPERATOR_BYTES: u64 = 24;

/// The same for `if` and `else`, which also meter fuel.
const FORK_BYTES: u64 = 40;

/// Bytes for a copy of a local or a constant that was pushed and could not be folded into the operator that takes it.
const COPY_BYTES: u64 = 16;

/// Bytes for each value that a branch carries.
const BRANCH_VALUE_BYTES: u64 = 24;

/// Bytes for an operator, a carried value, a local and a level of nesting while their function is compiled.
const COMPILED_OPERATOR_BYTES: u64 = 80;
const COMPILED_VALUE_BYTES: u64 = 40;
const COMPILED_LOCAL_BYTES: u64 = 32;
const COMPILED_NESTING_BYTES: u64 = 400;

/// What a module may take.
#[derive(Default)]
pub(crate) struct Estimate {
    /// Parameters of each type.
    parameters: Vec<usize>,
    /// The most results of any type: a branch to a block or out of a function carries no more.
    most_results: usize,
    most_parameters: usize,
    lasting_bytes: u64,
    /// While one function is compiled; the largest counts, as its memory is used again for the next.
    passing_bytes: u64,
    /// The most locals of any function, parameters aside: each call sets them to zero.
    pub(crate) most_locals: u64,
}

impl Estimate {
    /// That of `wasm`, up to where it cannot be read.
    pub(crate) fn of(wasm: &[u8]) -> Self {
        let mut estimate = Self::default();
        for payload in Parser::new(0).parse_all(wasm) {
            if payload.and_then(|payload| estimate.add(payload)).is_err() {
                break;
            }
        }
        estimate
    }

    /// The most heap that compiling and instantiating it takes, linear memory and tables aside, in bytes.
    pub(crate) fn heap_bytes(&self) -> u64 {
        BASE_BYTES + self.lasting_bytes.saturating_add(self.passing_bytes)
    }

    fn add(&mut self, payload: Payload<'_>) -> Result<(), BinaryReaderError> {
        let length = |range: core::ops::Range<usize>| range.len() as u64;
        let bytes = match payload {
            Payload::TypeSection(section) => {
                let bytes = length(section.range());
                for ty in section.into_iter_err_on_gc_types() {
                    let ty = ty?;
                    self.add_type(ty.params().len(), ty.results().len());
                }
                bytes * TYPE_BYTES
            }
            Payload::ImportSection(section) => length(section.range()) * IMPORT_BYTES,
            Payload::FunctionSection(section) => u64::from(section.count()) * FUNCTION_BYTES,
            Payload::GlobalSection(section) => u64::from(section.count()) * GLOBAL_BYTES,
            Payload::ExportSection(section) => length(section.range()) * EXPORT_BYTES,
            Payload::ElementSection(section) => {
                length(section.range()) * ELEMENT_BYTES + u64::from(section.count()) * ELEMENT_SEGMENT_BYTES
            }
            Payload::DataSection(section) => {
                length(section.range()) * DATA_BYTES + u64::from(section.count()) * DATA_SEGMENT_BYTES
            }
            Payload::CodeSectionEntry(body) => self.add_function(&body)?,
            _ => 0,
        };
        self.lasting_bytes = self.lasting_bytes.saturating_add(bytes);
        Ok(())
    }

    fn add_type(&mut self, parameters: usize, results: usize) {
        self.parameters.push(parameters);
        self.most_results = self.most_results.max(results);
        self.most_parameters = self.most_parameters.max(parameters);
    }

    /// Values that a call carries for which no operator of their own was charged: where no type has several results, each
    /// argument has one.
    fn carried_by_calls(&self) -> usize {
        if self.most_results > 1 { self.most_results.max(self.most_parameters) } else { self.most_results }
    }

    /// What stays of a function; what passes is noted.
    fn add_function(&mut self, body: &FunctionBody<'_>) -> Result<u64, BinaryReaderError> {
        let locals: u64 = body
            .get_locals_reader()?
            .into_iter()
            .map_while(|group| group.ok())
            .map(|(count, _)| u64::from(count))
            .fold(0, u64::saturating_add);
        self.most_locals = self.most_locals.max(locals);
        let mut function = Function { carried: self.most_results, ..Function::default() };
        for operator in body.get_operators_reader()? {
            function.add(&operator?, &self.parameters);
        }
        let branched = function.branches.saturating_mul(function.carried as u64);
        let called = function.calls.saturating_mul(self.carried_by_calls() as u64);
        let values = branched.saturating_add(called);
        let passing = (function.operators * COMPILED_OPERATOR_BYTES)
            .saturating_add(values.saturating_mul(COMPILED_VALUE_BYTES))
            .saturating_add(u64::from(function.deepest) * COMPILED_NESTING_BYTES)
            .saturating_add(locals.saturating_mul(COMPILED_LOCAL_BYTES));
        self.passing_bytes = self.passing_bytes.max(passing);
        Ok(function.lasting_bytes.saturating_add(values.saturating_mul(BRANCH_VALUE_BYTES)))
    }
}

/// What a function's operators add up to.
#[derive(Default)]
struct Function {
    lasting_bytes: u64,
    operators: u64,
    calls: u64,
    /// Places where control forks or joins.
    branches: u64,
    /// The most values that any of its branches carries.
    carried: usize,
    depth: u32,
    deepest: u32,
    /// Locals and constants that were pushed and may still lie on the stack as such.
    pushed_locals: u64,
    pushed_constants: u64,
    /// What the operator before pushed.
    just_pushed: Option<Pushed>,
}

/// What can be folded into the operator that takes it.
#[derive(Clone, Copy)]
enum Pushed {
    Local,
    Constant,
}

impl Function {
    fn add(&mut self, operator: &Operator<'_>, parameters: &[usize]) {
        self.operators += 1;
        let top = self.just_pushed.take();
        match operator {
            Operator::Nop | Operator::Unreachable => {}
            Operator::Drop => self.fold(top),
            Operator::LocalGet { .. } => {
                self.pushed_locals += 1;
                self.just_pushed = Some(Pushed::Local);
            }
            Operator::I32Const { .. }
            | Operator::I64Const { .. }
            | Operator::F32Const { .. }
            | Operator::F64Const { .. } => {
                self.pushed_constants += 1;
                self.just_pushed = Some(Pushed::Constant);
            }
            Operator::LocalSet { .. } | Operator::LocalTee { .. } => {
                self.fold(top);
                // What was pushed of that local is copied before it changes.
                self.lasting_bytes += OPERATOR_BYTES + COPY_BYTES * core::mem::take(&mut self.pushed_locals);
            }
            Operator::Block { blockty } | Operator::Loop { blockty } | Operator::If { blockty } => {
                self.enter(*blockty, parameters);
                self.fork(FORK_BYTES);
            }
            Operator::End => {
                self.depth = self.depth.saturating_sub(1);
                self.fork(0);
            }
            Operator::Else => self.fork(FORK_BYTES),
            Operator::Br { .. } | Operator::BrIf { .. } | Operator::Return => self.fork(OPERATOR_BYTES),
            Operator::BrTable { targets } => {
                let targets = u64::from(targets.len()) + 1;
                self.operators += targets;
                self.branches += targets;
                self.fork(OPERATOR_BYTES * (targets + 1));
            }
            Operator::Call { .. }
            | Operator::CallIndirect { .. }
            | Operator::ReturnCall { .. }
            | Operator::ReturnCallIndirect { .. } => {
                self.calls += 1;
                self.settle(OPERATOR_BYTES);
            }
            Operator::MemoryCopy { .. }
            | Operator::MemoryFill { .. }
            | Operator::MemoryInit { .. }
            | Operator::TableCopy { .. }
            | Operator::TableFill { .. }
            | Operator::TableInit { .. }
            | Operator::TableGrow { .. } => self.settle(OPERATOR_BYTES),
            Operator::GlobalGet { .. }
            | Operator::MemorySize { .. }
            | Operator::TableSize { .. }
            | Operator::RefNull { .. }
            | Operator::RefFunc { .. }
            | Operator::DataDrop { .. }
            | Operator::ElemDrop { .. } => self.lasting_bytes += OPERATOR_BYTES,
            // Everything else takes at least the topmost operand.
            _ => {
                self.fold(top);
                self.lasting_bytes += OPERATOR_BYTES;
            }
        }
    }

    /// The operator takes what was pushed just before it, as one of its own operands.
    fn fold(&mut self, top: Option<Pushed>) {
        match top {
            Some(Pushed::Local) => self.pushed_locals = self.pushed_locals.saturating_sub(1),
            Some(Pushed::Constant) => self.pushed_constants = self.pushed_constants.saturating_sub(1),
            None => {}
        }
    }

    fn enter(&mut self, block: BlockType, parameters: &[usize]) {
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        if let BlockType::FuncType(index) = block {
            // A branch to a loop carries what the loop takes.
            let taken = parameters.get(index as usize).copied().unwrap_or(0);
            self.carried = self.carried.max(taken);
        }
    }

    fn fork(&mut self, bytes: u64) {
        self.branches += 1;
        self.settle(bytes);
    }

    /// An operator before which all that was pushed may have to be copied to its place.
    fn settle(&mut self, bytes: u64) {
        let pushed = core::mem::take(&mut self.pushed_locals) + core::mem::take(&mut self.pushed_constants);
        self.lasting_bytes += bytes + COPY_BYTES * pushed;
    }
}
