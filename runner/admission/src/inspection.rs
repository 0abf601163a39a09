//! A first look at a module, so that what cannot run is refused with a clear word before a cell is bothered.
//!
//! It walks the sections: are they whole, do the imports come from an interface that cells offer, are there entry points, do
//! memory and tables fit. It does not validate code, nor does it look at the functions' types: both are the cell's, where a
//! fault in the parser harms nobody but the container. What passes here can still fail there, with the same kinds of error.

use alloc::format;

use runner_container::{World, offers};
use runner_interfaces::policy::BoardLimits;
use shared_ring_messages::ErrorCode;
use wasmparser::{BinaryReaderError, Encoding, ExternalKind, Import, MemoryType, Parser, Payload, TypeRef};

use crate::failure::{Failure, Quoted};

/// `\0asm` (WebAssembly core specification, 5.5.16).
const MAGIC: &[u8] = b"\0asm";

/// A page of linear memory is 2^16 bytes.
const PAGE_BITS: u32 = 16;

/// The hooks of each world, in the order in which a module is taken for one: who exports the hooks of two is the first.
const WORLDS: [(World, Hooks); 3] = [
    (World::Reactor, offers::REACTOR_HOOKS),
    (World::WasiCommand, offers::COMMAND_HOOKS),
    (World::TinyContainer, offers::TINY_HOOKS),
];

type Hooks = &'static [(&'static str, &'static str)];

/// What was found on the way through the sections.
#[derive(Default)]
struct Findings {
    /// Of each of [`WORLDS`], which hooks are exported, a bit a hook.
    hooks: [u8; WORLDS.len()],
    memory_bytes: u64,
    table_elements: u64,
}

/// Refuses what no cell could run, and answers the world of what may.
pub(crate) fn inspect(wasm: &[u8], limits: &BoardLimits) -> Result<World, Failure> {
    if !wasm.starts_with(MAGIC) {
        let detail = format!("the {} bytes do not begin as a WebAssembly module (`\\0asm`)", wasm.len());
        return Err(Failure::new(ErrorCode::NotWasm, detail));
    }
    let mut findings = Findings::default();
    for payload in Parser::new(0).parse_all(wasm) {
        findings.add(payload.map_err(|error| invalid(&error))?)?;
    }
    findings.judge(limits)
}

impl Findings {
    fn add(&mut self, payload: Payload<'_>) -> Result<(), Failure> {
        match payload {
            Payload::Version { encoding: Encoding::Component, .. } => {
                let detail = "it is a component; this node runs core modules";
                return Err(Failure::new(ErrorCode::InvalidModule, detail));
            }
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    check_import(&import.map_err(|error| invalid(&error))?)?;
                }
            }
            Payload::MemorySection(memories) => {
                for memory in memories {
                    let bytes = initial_bytes(&memory.map_err(|error| invalid(&error))?);
                    self.memory_bytes = self.memory_bytes.saturating_add(bytes);
                }
            }
            Payload::TableSection(tables) => {
                for table in tables {
                    let elements = table.map_err(|error| invalid(&error))?.ty.initial;
                    self.table_elements = self.table_elements.saturating_add(elements);
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    let export = export.map_err(|error| invalid(&error))?;
                    if export.kind == ExternalKind::Func {
                        self.note_entry(export.name);
                    }
                }
            }
            Payload::UnknownSection { id, range, .. } => {
                let detail = format!("unknown section {id} at byte {}", range.start);
                return Err(Failure::new(ErrorCode::InvalidModule, detail));
            }
            _ => {}
        }
        Ok(())
    }

    fn note_entry(&mut self, name: &str) {
        for (found, (_, hooks)) in self.hooks.iter_mut().zip(WORLDS) {
            if let Some(position) = hooks.iter().position(|(hook, _)| *hook == name) {
                *found |= 1 << position;
            }
        }
    }

    fn judge(&self, limits: &BoardLimits) -> Result<World, Failure> {
        let all = |hooks: Hooks| (1 << hooks.len()) - 1;
        let found = self.hooks.iter().zip(WORLDS).find(|(found, (_, hooks))| **found == all(hooks));
        let Some((_, (world, _))) = found else {
            let detail = match self.hooks {
                [0, _, 0] => "it exports neither `_start` nor the hooks of a reactor or a TinyContainer",
                [0, ..] => "a TinyContainer exports all of `start`, `loop` and `stop`",
                _ => "a reactor exports all of `on-start`, `on-loop` and `on-stop`",
            };
            return Err(Failure::new(ErrorCode::UnknownWorld, detail));
        };
        check_limit("bytes of memory", self.memory_bytes, limits.memory_limit_bytes)?;
        check_limit("table elements", self.table_elements, limits.table_limit_elements)?;
        Ok(world)
    }
}

fn check_limit(what: &str, wanted: u64, limit: u32) -> Result<(), Failure> {
    if wanted > u64::from(limit) {
        let detail = format!("it wants {wanted} {what} from the start; it may have {limit}");
        return Err(Failure::new(ErrorCode::ResourceLimit, detail));
    }
    Ok(())
}

fn initial_bytes(memory: &MemoryType) -> u64 {
    let page_bits = memory.page_size_log2.unwrap_or(PAGE_BITS);
    1_u64.checked_shl(page_bits).map_or(u64::MAX, |page_bytes| memory.initial.saturating_mul(page_bytes))
}

fn check_import(import: &Import<'_>) -> Result<(), Failure> {
    let name = format!("{}.{}", import.module, import.name);
    let refused = |why: &str| Err(Failure::new(ErrorCode::UnknownImport, format!("{}: {why}", Quoted(&name))));
    if offers::interface(import.module).is_some() {
        return match import.ty {
            TypeRef::Func(_) | TypeRef::FuncExact(_) if offers::find(import.module, import.name).is_some() => Ok(()),
            TypeRef::Func(_) | TypeRef::FuncExact(_) => {
                refused("this node's version of the interface has no such function")
            }
            _ => refused("only functions can be imported"),
        };
    }
    if import.module.starts_with(offers::NODE_PACKAGE) {
        return refused("this node offers the versions 0.1.x of `atoll:node`");
    }
    refused("no world of this node offers it")
}

fn invalid(error: &BinaryReaderError) -> Failure {
    Failure::new(ErrorCode::InvalidModule, format!("{} at byte {}", error.message(), error.offset()))
}

#[cfg(test)]
#[path = "../../executor/fuzz/large_module.rs"]
mod large_module;

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::{large_module::Fate, *};

    const LIMITS: BoardLimits = BoardLimits {
        magic: 0,
        names_bytes: 0,
        ceiling: runner_interfaces::grants::CellGrants {
            output_lines: 0,
            input_lines: 0,
            edge_lines: 0,
            active_low_lines: 0,
            minimum_period_ns: 0,
            i2c_addresses: [0; 2],
            timers: 0,
            generation: 0,
        },
        module_limit_bytes: 1 << 20,
        memory_limit_bytes: 4 << 20,
        table_limit_elements: 100,
        hook_limit_us: 0,
        load_limit_us: 0,
        log_limit_per_second: 0,
        rates: runner_interfaces::grants::LineRates::all(0),
        shares: runner_interfaces::scheduling::Shares::NONE,
    };

    const COMMAND: &str = r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
        (memory 64) (table 100 funcref) (func (export "_start")))"#;

    fn look(text: &str) -> Result<World, (ErrorCode, alloc::string::String)> {
        let wasm = wat::parse_str(text).unwrap();
        inspect(&wasm, &LIMITS).map_err(|failure| (failure.code, failure.detail))
    }

    fn reactor(rest: &str) -> alloc::string::String {
        format!(r#"(module {rest} (func (export "on-start")) (func (export "on-loop")) (func (export "on-stop")))"#)
    }

    #[test]
    fn modules_of_every_world_pass() {
        assert_eq!(look(COMMAND), Ok(World::WasiCommand));
        assert_eq!(look(&reactor(r#"(import "atoll:node/gpio@0.1.0" "open-output" (func))"#)), Ok(World::Reactor));
        assert_eq!(look(&reactor(r#"(import "atoll:node/log@0.1.9" "log" (func))"#)), Ok(World::Reactor));
        let tiny = r#"(import "env" "logger" (func (param i32))) (func (export "start")) (func (export "stop"))"#;
        assert_eq!(look(&format!(r#"(module {tiny} (func (export "loop")))"#)), Ok(World::TinyContainer));
        assert_eq!(look(&reactor(r#"(func (export "_start"))"#)), Ok(World::Reactor));
    }

    #[test]
    fn what_no_cell_could_run_is_refused_by_name() {
        let cases = [
            (reactor(r#"(import "host" "puts" (func))"#), ErrorCode::UnknownImport, "`host.puts`"),
            (reactor(r#"(import "atoll:node/log@0.2.0" "log" (func))"#), ErrorCode::UnknownImport, "0.1.x"),
            (reactor(r#"(import "atoll:node/log@0.1.0-x" "log" (func))"#), ErrorCode::UnknownImport, "0.1.x"),
            (
                reactor(r#"(import "wasi_snapshot_preview1" "memory" (memory 1))"#),
                ErrorCode::UnknownImport,
                "only functions",
            ),
            (r#"(module (func (export "main")))"#.into(), ErrorCode::UnknownWorld, "neither `_start`"),
            (r#"(module (func (export "on-loop")))"#.into(), ErrorCode::UnknownWorld, "reactor exports all of"),
            (r#"(module (func (export "loop")))"#.into(), ErrorCode::UnknownWorld, "TinyContainer exports all of"),
            (r#"(module (global (export "_start") i32 (i32.const 0)))"#.into(), ErrorCode::UnknownWorld, "neither"),
            (reactor("(memory 65)"), ErrorCode::ResourceLimit, "4259840 bytes of memory"),
            (reactor("(memory 40) (memory 40)"), ErrorCode::ResourceLimit, "bytes of memory"),
            (reactor("(memory i64 0xffffffffffff)"), ErrorCode::ResourceLimit, "bytes of memory"),
            (reactor("(table 101 funcref)"), ErrorCode::ResourceLimit, "101 table elements"),
            ("(component)".into(), ErrorCode::InvalidModule, "component"),
        ];
        for (text, code, words) in cases {
            let (found, detail) = look(&text).unwrap_err();
            assert_eq!(found, code, "{text}");
            assert!(detail.contains(words), "{detail}");
        }
    }

    #[test]
    fn an_imports_name_cannot_flood_the_answer() {
        let name = "x".repeat(100_000);
        let (_, detail) = look(&reactor(&format!(r#"(import "{name}" "\1b[2J" (func))"#))).unwrap_err();
        assert!(detail.len() < 1024 && !detail.contains('\u{1b}'));
    }

    /// What a cell makes of the same modules, `runner-executor`'s `tests/cell/large.rs` says.
    #[test]
    fn ten_thousand_of_anything_are_taken_or_refused_with_a_short_word() {
        for (name, wasm, fate) in large_module::all() {
            let found = inspect(&wasm, &LIMITS).map_err(|failure| {
                assert!(failure.detail.len() < 1024, "{name}: {} bytes of answer", failure.detail.len());
                failure.code
            });
            match fate {
                // Much that is not valid only the cell looks at; what is taken here it refuses.
                Fate::Invalid => assert_ne!(found, Err(ErrorCode::NotWasm), "{name}"),
                Fate::Runs => assert_eq!(found, Ok(World::WasiCommand), "{name}"),
                Fate::UnknownImport => assert_eq!(found, Err(ErrorCode::UnknownImport), "{name}"),
                Fate::Memory | Fate::Table => assert_eq!(found, Err(ErrorCode::ResourceLimit), "{name}"),
            }
        }
    }

    #[test]
    fn bytes_that_are_no_module_are_told_from_broken_ones() {
        for bytes in [&b""[..], b"\0as", b"#!/bin/sh", &[0xff; 100]] {
            assert_eq!(inspect(bytes, &LIMITS).unwrap_err().code, ErrorCode::NotWasm);
        }
        for bytes in [&b"\0asm"[..], b"\0asm\x01\0\0", b"\0asm\x02\0\0\0", b"\0asm\x01\0\0\0\x63\0"] {
            assert_eq!(inspect(bytes, &LIMITS).unwrap_err().code, ErrorCode::InvalidModule);
        }
    }

    #[test]
    fn a_module_cut_off_anywhere_is_refused() {
        let wasm = wat::parse_str(COMMAND).unwrap();
        for length in 0..wasm.len() {
            assert!(inspect(&wasm[..length], &LIMITS).is_err(), "{length} of {} bytes", wasm.len());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_behind_the_magic_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let wasm: Vec<u8> = b"\0asm\x01\0\0\0".iter().copied().chain(bytes).collect();
            let _ = inspect(&wasm, &LIMITS);
        }

        #[test]
        fn a_damaged_module_is_survived(position in 0_usize..100, byte in any::<u8>()) {
            let mut wasm = wat::parse_str(COMMAND).unwrap();
            let position = position % wasm.len();
            wasm[position] = byte;
            let _ = inspect(&wasm, &LIMITS);
        }
    }
}
