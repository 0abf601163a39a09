//! `emit check`: what a node would say of a container, found without one.
//!
//! The rules are the cell's (`runner-executor`, `engine`): the WebAssembly that it validates, the imports that it offers,
//! the hooks that make a world. `tests/cli/checking.rs` holds both to the same verdict. What only a board decides (how much
//! memory, which lines) is said as far as it can be.

use std::path::{Path, PathBuf};

use runner_container::{Manifest, World, offers, rights::Right};
use serde_json::{Value, json};
use wasmparser::{Validator, WasmFeatures};

use super::app::{App, FILE_NAME};
use crate::{
    analysis::{Analysis, Detected, Offered, signature},
    module::{self, Module},
    session::{Error, Result},
};

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// A node refuses it.
    Error,
    /// A node takes it, and it may not do what was meant.
    Warning,
}

/// One thing that was found.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) level: Level,
    /// Stable, for a script.
    pub(crate) code: &'static str,
    pub(crate) message: String,
    /// What to do.
    pub(crate) remedy: String,
}

impl Finding {
    fn error(code: &'static str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Error, code, message: message.into(), remedy: remedy.into() }
    }

    fn warning(code: &'static str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Warning, ..Self::error(code, message, remedy) }
    }

    /// For a script.
    pub(crate) fn json(&self) -> Value {
        let level = if self.level == Level::Error { "error" } else { "warning" };
        json!({ "level": level, "code": self.code, "message": self.message, "remedy": self.remedy })
    }

    /// For a person.
    pub(crate) fn text(&self) -> String {
        let level = if self.level == Level::Error { "error" } else { "warning" };
        format!("{level}[{}]: {}\n  {}\n", self.code, self.message, self.remedy)
    }
}

/// What became of a look at a file or a folder.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// The file that was looked at; none where a folder has none yet.
    pub(crate) file: Option<PathBuf>,
    pub(crate) world: Option<World>,
    pub(crate) findings: Vec<Finding>,
}

impl Verdict {
    pub(crate) fn errors(&self) -> usize {
        self.findings.iter().filter(|finding| finding.level == Level::Error).count()
    }
}

/// Looks at a container's file, or at a folder with `app.toml`.
///
/// # Errors
/// The file or the folder cannot be read at all; everything else is a finding.
pub(crate) fn check(target: &Path) -> Result<Verdict> {
    if target.is_dir() { check_folder(target) } else { check_file(target) }
}

fn check_file(path: &Path) -> Result<Verdict> {
    let mut verdict = Verdict { file: Some(path.to_owned()), ..Verdict::default() };
    let module = match module::read(path) {
        Ok(module) => module,
        Err(error) if error.failure == crate::exit::Failure::ContainerRefused => {
            verdict.findings.push(of_error("container", &error));
            return Ok(verdict);
        }
        Err(error) => return Err(error),
    };
    check_module(&module, &mut verdict);
    Ok(verdict)
}

fn of_error(code: &'static str, error: &Error) -> Finding {
    let remedy = if error.hint.is_empty() { "put this right and look again" } else { error.hint };
    Finding::error(code, error.message.clone(), remedy)
}

fn check_folder(folder: &Path) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let app = match App::read(&folder.join(FILE_NAME)) {
        Ok(app) => app,
        Err(error) if error.failure == crate::exit::Failure::Source => {
            verdict.findings.push(of_error("app", &error));
            return Ok(verdict);
        }
        Err(error) => return Err(error),
    };
    match app.contents() {
        Ok(contents) => {
            let borrowed: Vec<_> = contents.iter().map(|(path, bytes)| (*path, bytes.as_slice())).collect();
            if let Err(error) = runner_container::encode_files(&borrowed) {
                let remedy = "pack fewer or smaller files: at most 64, at most 1 MiB together, each path once";
                verdict.findings.push(Finding::error("files", error.to_string(), remedy));
            }
        }
        Err(error) => verdict.findings.push(of_error("files", &error)),
    }
    check_manifest(&app.manifest, &mut verdict);
    let built = folder.join(&app.manifest.name).with_extension("wasm");
    if built.is_file() {
        let of_file = check_file(&built)?;
        verdict.file = of_file.file;
        verdict.world = of_file.world;
        verdict.findings.extend(of_file.findings.into_iter().filter(|finding| finding.code != "no-manifest"));
    } else {
        let message = format!("there is no {} yet", built.display());
        verdict.findings.push(Finding::warning(
            "not-built",
            message,
            "`emit build` makes it; the module was not looked at",
        ));
    }
    Ok(verdict)
}

/// What a cell's engine accepts: `wasmi`'s defaults and what `runner-executor` turns off.
fn features() -> WasmFeatures {
    WasmFeatures::MUTABLE_GLOBAL
        | WasmFeatures::MULTI_VALUE
        | WasmFeatures::SATURATING_FLOAT_TO_INT
        | WasmFeatures::SIGN_EXTENSION
        | WasmFeatures::BULK_MEMORY
        | WasmFeatures::REFERENCE_TYPES
        | WasmFeatures::GC_TYPES
        | WasmFeatures::EXTENDED_CONST
        | WasmFeatures::FLOATS
}

/// What a node has not, and how a compiler is told so.
const ABSENT: [(WasmFeatures, &str, &str); 9] = [
    (
        WasmFeatures::SIMD,
        "vector instructions",
        "build without them: Rust `-Ctarget-feature=-simd128`, clang `-mno-simd128`",
    ),
    (
        WasmFeatures::THREADS,
        "threads and atomics",
        "build without them: Rust `-Ctarget-feature=-atomics`, clang without `-pthread`",
    ),
    (
        WasmFeatures::TAIL_CALL,
        "tail calls",
        "build without them: Rust `-Ctarget-feature=-tail-call`, clang `-mno-tail-call`",
    ),
    (WasmFeatures::EXCEPTIONS, "exceptions", "build without them: C++ `-fno-exceptions`, Rust `panic = \"abort\"`"),
    (WasmFeatures::MEMORY64, "64-bit memory", "build for wasm32"),
    (WasmFeatures::MULTI_MEMORY, "several memories", "build with one memory"),
    (
        WasmFeatures::GC,
        "garbage-collected types",
        "build for linear memory: no language that needs the GC proposal runs here",
    ),
    (WasmFeatures::RELAXED_SIMD, "relaxed vector instructions", "build without them"),
    (WasmFeatures::FUNCTION_REFERENCES, "typed function references", "build without them"),
];

fn check_module(module: &Module, verdict: &mut Verdict) {
    if let Err(error) = Validator::new_with_features(features()).validate_all(&module.bytes) {
        verdict.findings.push(invalid(&module.bytes, &error));
        return;
    }
    let analysis = match Analysis::of(&module.bytes) {
        Ok(analysis) => analysis,
        Err(error) => {
            verdict.findings.push(Finding::error("invalid", error.to_string(), "build it again"));
            return;
        }
    };
    check_world(&analysis, verdict);
    check_imports(&analysis, verdict);
    check_extents(&analysis, verdict);
    match &module.manifest {
        Some(manifest) => {
            check_manifest(manifest, verdict);
            check_agreement(manifest, &analysis, verdict);
        }
        None => verdict.findings.push(Finding::warning(
            "no-manifest",
            "it has no manifest, so name, arguments and rights must be given at each deployment",
            "write app.toml beside it and run `emit pack`",
        )),
    }
}

fn invalid(wasm: &[u8], error: &wasmparser::BinaryReaderError) -> Finding {
    let message = format!("{} at byte {}", error.message(), error.offset());
    if wasm.starts_with(b"\0asm\x0d\0\x01\0") {
        return Finding::error(
            "component",
            "it is a component; this emit cannot unwrap it",
            "use an emit with the kit",
        );
    }
    if !wasm.starts_with(b"\0asm") {
        return Finding::error("not-wasm", "it does not begin as a WebAssembly module", "is it the right file?");
    }
    // Valid with one more feature: then that is what is wrong with it.
    let lacks = ABSENT.iter().find(|(feature, ..)| {
        Validator::new_with_features(features() | *feature | implied(*feature)).validate_all(wasm).is_ok()
    });
    match lacks {
        Some((_, what, remedy)) => {
            Finding::error("unsupported", format!("it uses {what}, which a cell has not ({message})"), *remedy)
        }
        None => Finding::error(
            "invalid",
            message,
            "the compiler made no valid module; build it again, with another version",
        ),
    }
}

/// Features that make no sense without others.
fn implied(feature: WasmFeatures) -> WasmFeatures {
    if feature == WasmFeatures::RELAXED_SIMD {
        WasmFeatures::SIMD
    } else if feature == WasmFeatures::GC {
        WasmFeatures::FUNCTION_REFERENCES
    } else {
        feature
    }
}

fn check_world(analysis: &Analysis, verdict: &mut Verdict) {
    let findings = &mut verdict.findings;
    match analysis.world() {
        Detected::World(world) => {
            verdict.world = Some(world);
            let hooks = match world {
                World::Reactor => offers::REACTOR_HOOKS,
                World::WasiCommand => offers::COMMAND_HOOKS,
                World::TinyContainer => offers::TINY_HOOKS,
            };
            // A cell looks at every hook that is there, and at `_initialize` too. In its own world a TinyContainer's stand for
            // a reactor's.
            let alike = if world == World::TinyContainer { offers::COMMAND_HOOKS } else { offers::REACTOR_HOOKS };
            let others = alike.iter().chain(offers::COMMAND_HOOKS).filter(|hook| !hooks.contains(hook));
            for (name, results) in hooks.iter().chain(others).copied().chain([("_initialize", "")]) {
                let Some(export) = analysis.hook(name) else { continue };
                if export.shape.as_ref().is_none_or(|(given, answered)| !given.is_empty() || answered != results) {
                    let wanted = if results.is_empty() { "nothing" } else { "an i32" };
                    let message = format!("`{name}` must take nothing and answer {wanted}");
                    findings.push(Finding::error("hook-type", message, "declare it so, as runner/wit/atoll.wit says"));
                }
            }
        }
        Detected::PartOfReactor => {
            let lacking: Vec<_> = offers::REACTOR_HOOKS
                .iter()
                .filter(|(name, _)| analysis.hook(name).is_none())
                .map(|(name, _)| *name)
                .collect();
            findings.push(Finding::error(
                "no-world",
                format!(
                    "a reactor exports all of `on-start`, `on-loop` and `on-stop`; `{}` is missing",
                    lacking.join("`, `")
                ),
                "export it, even if it does nothing",
            ));
        }
        Detected::Nothing => findings.push(Finding::error(
            "no-world",
            "it exports neither `_start` nor `on-start`, `on-loop` and `on-stop` (or `start`, `loop` and `stop`)",
            "build a program with `main` for wasm32-wasip1, or export the hooks of a reactor (`emit new` shows both)",
        )),
    }
}

fn check_imports(analysis: &Analysis, verdict: &mut Verdict) {
    for import in &analysis.imports {
        let name = format!("`{}` of `{}`", import.name, import.module);
        let finding = match import.offered() {
            Offered::Served => continue,
            Offered::Unserved => Finding::warning(
                "unserved",
                format!("{name} may be imported, but always answers an error number"),
                "harmless where it is never called; files can be read only, sockets and signals are not there",
            ),
            Offered::OtherType(offer) => Finding::error(
                "import-type",
                format!("{name} has the type {} here", signature(offer.parameters, offer.results)),
                "declare it so; bindings that `wit-bindgen` makes of runner/wit/atoll.wit do",
            ),
            Offered::Unknown => {
                Finding::error("unknown-import", format!("no node offers {name}"), remedy_of(&import.module))
            }
        };
        verdict.findings.push(finding);
    }
    let names = analysis.imports.iter().map(|import| (import.module.as_str(), import.name.as_str()));
    if let Some((module, name)) = offers::mixed_drafts(names) {
        verdict.findings.push(Finding::error(
            "mixed-drafts",
            format!("no draft has `{name}` of `{module}` together with what it imports before"),
            "build all of it against one draft; docs/containers.md names those that nodes serve",
        ));
    }
}

fn remedy_of(module: &str) -> &'static str {
    match module {
        "env" => "an undefined C function, or JavaScript's: link the library that has it, or leave the call out",
        "wasi_unstable" => "it is WASI of 2019; build with a compiler of after 2020",
        module if module.starts_with("wasi:") && offers::interface(module).is_some() => {
            "a node serves other functions of this interface; docs/containers.md has the list"
        }
        module if module.starts_with("wasi:") => {
            "of WASI 0.2 nodes serve clocks, poll and logging; build for wasm32-wasip1, or use atoll:node"
        }
        module if module.starts_with("wbg") || module.contains("wbindgen") => {
            "wasm-bindgen is for browsers; use wit-bindgen"
        }
        module if module.starts_with(offers::NODE_PACKAGE) => {
            "nodes offer atoll:node in the versions 0.1.x; use its runner/wit/atoll.wit"
        }
        _ => "nodes offer wasi_snapshot_preview1 and atoll:node@0.1; leave the import out",
    }
}

fn check_extents(analysis: &Analysis, verdict: &mut Verdict) {
    if analysis.tables.len() > offers::MAX_TABLES {
        let message = format!("it has {} tables; a cell takes {}", analysis.tables.len(), offers::MAX_TABLES);
        verdict.findings.push(Finding::error("tables", message, "link it with fewer tables"));
    }
    let exports_memory = analysis.exports.iter().any(|export| export.name == "memory" && export.kind == "memory");
    if !analysis.imports.is_empty() && !exports_memory {
        verdict.findings.push(Finding::warning(
            "memory-not-exported",
            "it exports no memory, so every host function that takes an address ends it",
            "export the memory under the name `memory`",
        ));
    }
}

fn check_manifest(manifest: &Manifest, verdict: &mut Verdict) {
    for text in &manifest.grants {
        if let Err(error) = Right::parse(text) {
            let message = format!("the right `{text}` is not understood: {error}");
            verdict.findings.push(Finding::error(
                "grant",
                message,
                "see `emit deploy --help` for the rights that there are",
            ));
        }
    }
}

fn check_agreement(manifest: &Manifest, analysis: &Analysis, verdict: &mut Verdict) {
    if manifest.schedule.is_some() && analysis.world() == Detected::World(World::WasiCommand) {
        verdict.findings.push(Finding::error(
            "schedule",
            "it has a [schedule], and is a WASI command, which runs once and has no loop to release",
            "leave [schedule] out, or write it as a reactor (`emit new --world reactor`)",
        ));
    }
    if let (Some(said), Detected::World(found)) = (manifest.world, analysis.world())
        && said != found
    {
        let message =
            format!("app.toml says world \"{}\"; the module's exports make it a {}", said.name(), found.name());
        verdict.findings.push(Finding::error("world", message, "put `world` right, or leave it out: it is detected"));
    }
    let limit = manifest.limits.memory_bytes;
    if limit != 0 && analysis.memory_bytes() > limit {
        let message = format!(
            "it has {} bytes of memory from the start; [limits] memory allows {limit}",
            analysis.memory_bytes()
        );
        verdict.findings.push(Finding::error("memory-limit", message, "raise the limit, or link with a smaller stack"));
    }
    let uses =
        |interface: &str| analysis.imports.iter().any(|import| offers::interface(&import.module) == Some(interface));
    if ["gpio", "wasi:gpio/digital"].into_iter().any(uses)
        && !manifest.grants.iter().any(|text| text.starts_with("gpio:"))
    {
        verdict.findings.push(Finding::warning(
            "no-line",
            "it imports gpio and asks for no line, so every opening answers `not-granted`",
            "name the lines in [grants] list, as \"gpio:LED:out\"",
        ));
    }
    if ["i2c", "wasi:i2c/i2c"].into_iter().any(uses) && !manifest.grants.iter().any(|text| text.starts_with("i2c:")) {
        verdict.findings.push(Finding::warning(
            "no-address",
            "it imports i2c and asks for no address, so every transfer answers `not-granted`",
            "name the devices in [grants] list, as \"i2c:0x48\"",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(text: &str) -> Vec<(&'static str, String)> {
        let wasm = wat::parse_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let mut verdict = Verdict::default();
        check_module(&module::from_bytes(wasm).expect("a module"), &mut verdict);
        verdict.findings.into_iter().map(|finding| (finding.code, finding.message + " / " + &finding.remedy)).collect()
    }

    const COMMAND: &str = r#"(func (export "_start"))"#;

    #[test]
    fn each_finding_has_a_module_that_only_it_is_wrong_with() {
        for (text, code, words) in [
            (format!("(module {COMMAND} (func (drop (v128.const i64x2 0 0))))"), "unsupported", "vector instructions"),
            (format!("(module {COMMAND} (memory 1 1 shared))"), "unsupported", "threads"),
            (format!("(module {COMMAND} (tag))"), "unsupported", "exceptions"),
            (format!("(module {COMMAND} (memory i64 1))"), "unsupported", "64-bit"),
            (format!("(module {COMMAND} (memory 1) (memory 1))"), "unsupported", "several memories"),
            (format!("(module {COMMAND} (type (struct)))"), "unsupported", "garbage-collected"),
            (format!("(module {COMMAND} (func (result i32)))"), "invalid", "build it again"),
            ("(module (func (export \"main\")))".into(), "no-world", "neither `_start`"),
            (
                "(module (func (export \"on-loop\") (result i32) (i32.const 0)))".into(),
                "no-world",
                "`on-start`, `on-stop`",
            ),
            ("(module (func (export \"_start\") (param i32)))".into(), "hook-type", "must take nothing"),
            (
                format!("(module {COMMAND} (func (export \"_initialize\") (result i32) (i32.const 0)))"),
                "hook-type",
                "_initialize",
            ),
            (
                format!("(module (import \"env\" \"puts\" (func)) (memory (export \"memory\") 1) {COMMAND})"),
                "unknown-import",
                "C function",
            ),
            (
                format!(
                    "(module (import \"wasi:io/streams@0.2.0\" \"f\" (func)) (memory (export \"memory\") 1) {COMMAND})"
                ),
                "unknown-import",
                "wasm32-wasip1",
            ),
            (
                format!(
                    "(module (import \"wasi:gpio/digital@0.2.0\" \"get-digital-in-out\" (func)) (memory (export \"memory\") 1)
                        {COMMAND})"
                ),
                "unknown-import",
                "other functions of this interface",
            ),
            (
                format!(
                    "(module
                        (import \"wasi:gpio/digital@0.2.0\" \"get-digital-in\" (func (param i32 i32 i32 i32 i32)))
                        (import \"wasi:gpio/digital@0.2.0\" \"[static]digital-in-pin.get\"
                            (func (param i32 i32 i32 i32 i32)))
                        (memory (export \"memory\") 1) {COMMAND})"
                ),
                "mixed-drafts",
                "no draft has `[static]digital-in-pin.get`",
            ),
            (
                format!(
                    "(module (import \"wasi_snapshot_preview1\" \"fd_close\" (func)) (memory (export \"memory\") 1) {COMMAND})"
                ),
                "import-type",
                "(i32) -> i32",
            ),
            (format!("(module {COMMAND} {})", "(table 0 funcref)".repeat(9)), "tables", "9 tables"),
        ] {
            let found = look(&text);
            let others: Vec<_> = found.iter().filter(|(code, _)| *code != "no-manifest").collect();
            assert!(others.len() == 1 && others[0].0 == code && others[0].1.contains(words), "{text}: {found:?}");
        }
        assert_eq!(look(&format!("(module {COMMAND})")).len(), 1, "only that it has no manifest");
    }

    #[test]
    fn manifest_and_module_must_agree() {
        let wasm = wat::parse_str(
            r#"(module (import "atoll:node/gpio@0.1.0" "[resource-drop]input" (func (param i32)))
                (memory (export "memory") 2) (func (export "_start")))"#,
        )
        .expect("valid text");
        let manifest = Manifest {
            world: Some(World::Reactor),
            limits: runner_container::Limits { memory_bytes: 65536, ..Default::default() },
            grants: vec!["spi:1".into()],
            ..Manifest::named("a")
        };
        let packed = runner_container::embed(&wasm, &manifest, &[]).expect("packed");
        let mut verdict = Verdict::default();
        check_module(&module::from_bytes(packed).expect("a module"), &mut verdict);
        let codes: Vec<_> = verdict.findings.iter().map(|finding| finding.code).collect();
        assert_eq!(codes, ["grant", "world", "memory-limit", "no-line"]);
        assert_eq!(verdict.errors(), 3);
    }
}
