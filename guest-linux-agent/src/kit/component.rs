//! The core module inside a component.
//!
//! A node runs core modules. A component that a binding generator's module was wrapped into holds that module as it was:
//! it is module 0, and what it imports has the names that the node's interfaces have. What the component adds around it
//! says how its parts are put together; where that is more than putting the one module to the interfaces of the same names,
//! the module alone would be another program, and the component is refused with the reason. The component is validated
//! before anything of it is believed.

use std::{collections::BTreeSet, fmt, ops::Range};

use anyhow::{Context, Result, bail, ensure};
use wasmparser::{
    BinaryReaderError, CanonicalFunction, CanonicalOption, ComponentAlias, ComponentExternalKind, ComponentTypeRef,
    Encoding, Export, ExternalKind, Instance, InstantiationArg, Parser, Payload, TypeRef, Validator, WasmFeatures,
};

/// How a component begins: the magic, version 13, layer 1.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// Whether the bytes begin as a component does.
pub(crate) fn is_component(bytes: &[u8]) -> bool {
    bytes.starts_with(COMPONENT)
}

/// The main module, byte for byte as it lies in the component.
///
/// # Errors
/// Why the module alone would not be the program that the component is; in words that say what to do.
pub(crate) fn unwrap(component: &[u8]) -> Result<&[u8]> {
    Validator::new_with_features(WasmFeatures::all())
        .validate_all(component)
        .map_err(|error| readable(&error))
        .context("the component is not valid")?;
    let parts = Parts::read(component).map_err(|error| readable(&error))?;
    parts.check(component)?;
    let main = parts.modules.first().context("the component holds no module; it cannot be run")?;
    component.get(main.clone()).context("the module lies in the component")
}

fn readable(error: &BinaryReaderError) -> anyhow::Error {
    anyhow::anyhow!("{} at byte {}", error.message(), error.offset())
}

/// A core function: where it comes from.
enum CoreFunction<'c> {
    /// An import that was lowered.
    Lowered { function: u32 },
    /// The end of a handle.
    ResourceDrop { resource: u32 },
    /// An export of a core instance.
    Exported { instance: u32, name: &'c str },
    /// Anything else that the component model makes.
    Built(&'static str),
}

/// A function, an instance or a type of the component: where it comes from.
#[derive(Clone, Copy)]
enum Origin<'c> {
    /// It is imported under that name.
    Import(&'c str),
    /// It is an export of an instance.
    Member { instance: u32, name: &'c str },
    /// A core function that was lifted.
    Lifted { core: u32 },
    /// Made in the component.
    Own,
}

/// An export of the component.
struct Exported<'c> {
    name: &'c str,
    kind: ComponentExternalKind,
    index: u32,
}

/// A component's index spaces, as far as they decide.
#[derive(Default)]
struct Parts<'c> {
    modules: Vec<Range<usize>>,
    core_instances: Vec<Instance<'c>>,
    core_functions: Vec<CoreFunction<'c>>,
    functions: Vec<Origin<'c>>,
    instances: Vec<Origin<'c>>,
    types: Vec<Origin<'c>>,
    exports: Vec<Exported<'c>>,
    nested_components: usize,
    other_strings: bool,
    asynchronous: bool,
    own_resources: bool,
}

type Read<T> = std::result::Result<T, BinaryReaderError>;

impl<'c> Parts<'c> {
    fn read(component: &'c [u8]) -> Read<Self> {
        let mut parts = Self::default();
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(component) {
            let payload = payload?;
            match payload {
                Payload::ModuleSection { unchecked_range, .. } => {
                    if depth == 0 {
                        parts.modules.push(unchecked_range);
                    }
                    depth += 1;
                }
                Payload::ComponentSection { .. } => {
                    parts.nested_components += usize::from(depth == 0);
                    depth += 1;
                }
                Payload::End(_) => depth = depth.saturating_sub(1),
                payload if depth == 0 => parts.add(payload)?,
                _ => {}
            }
        }
        Ok(parts)
    }

    fn add(&mut self, payload: Payload<'c>) -> Read<()> {
        match payload {
            Payload::InstanceSection(section) => {
                for instance in section {
                    self.core_instances.push(instance?);
                }
            }
            Payload::ComponentInstanceSection(section) => {
                self.instances.extend((0..section.count()).map(|_| Origin::Own));
            }
            Payload::ComponentTypeSection(section) => {
                for declared in section {
                    self.own_resources |= matches!(declared?, wasmparser::ComponentType::Resource { .. });
                    self.types.push(Origin::Own);
                }
            }
            Payload::ComponentAliasSection(section) => section.into_iter().try_for_each(|it| self.add_alias(&it?))?,
            Payload::ComponentCanonicalSection(section) => {
                section.into_iter().try_for_each(|function| self.add_canonical(&function?))?;
            }
            Payload::ComponentImportSection(section) => {
                for import in section {
                    let import = import?;
                    let origin = Origin::Import(import.name.0);
                    match import.ty {
                        ComponentTypeRef::Func(_) => self.functions.push(origin),
                        ComponentTypeRef::Instance(_) => self.instances.push(origin),
                        ComponentTypeRef::Type(_) => self.types.push(origin),
                        _ => {}
                    }
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    let export = export?;
                    self.add_export(Exported { name: export.name.0, kind: export.kind, index: export.index });
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn add_alias(&mut self, alias: &ComponentAlias<'c>) -> Read<()> {
        match *alias {
            ComponentAlias::InstanceExport { kind, instance_index: instance, name } => {
                let origin = Origin::Member { instance, name };
                match kind {
                    ComponentExternalKind::Func => self.functions.push(origin),
                    ComponentExternalKind::Instance => self.instances.push(origin),
                    ComponentExternalKind::Type => self.types.push(origin),
                    _ => {}
                }
            }
            ComponentAlias::CoreInstanceExport { kind: ExternalKind::Func, instance_index: instance, name } => {
                self.core_functions.push(CoreFunction::Exported { instance, name });
            }
            ComponentAlias::Outer { kind: wasmparser::ComponentOuterAliasKind::Type, .. } => {
                self.types.push(Origin::Own);
            }
            _ => {}
        }
        Ok(())
    }

    fn add_canonical(&mut self, function: &CanonicalFunction) -> Read<()> {
        let made = match function {
            CanonicalFunction::Lift { core_func_index, options, .. } => {
                self.note_options(options);
                self.functions.push(Origin::Lifted { core: *core_func_index });
                return Ok(());
            }
            CanonicalFunction::Lower { func_index, options } => {
                self.note_options(options);
                CoreFunction::Lowered { function: *func_index }
            }
            CanonicalFunction::ResourceDrop { resource } => CoreFunction::ResourceDrop { resource: *resource },
            CanonicalFunction::ResourceNew { .. } | CanonicalFunction::ResourceRep { .. } => {
                self.own_resources = true;
                CoreFunction::Built("a resource of its own")
            }
            _ => CoreFunction::Built("threads, tasks or streams"),
        };
        self.core_functions.push(made);
        Ok(())
    }

    fn note_options(&mut self, options: &[CanonicalOption]) {
        for option in options {
            match option {
                CanonicalOption::UTF16 | CanonicalOption::CompactUTF16 => self.other_strings = true,
                CanonicalOption::Async | CanonicalOption::Callback(_) | CanonicalOption::Gc => self.asynchronous = true,
                _ => {}
            }
        }
    }

    /// An export is a new index of what it exports.
    fn add_export(&mut self, export: Exported<'c>) {
        let place = usize::try_from(export.index).unwrap_or(usize::MAX);
        let space = match export.kind {
            ComponentExternalKind::Func => Some(&mut self.functions),
            ComponentExternalKind::Instance => Some(&mut self.instances),
            ComponentExternalKind::Type => Some(&mut self.types),
            _ => None,
        };
        if let Some(space) = space {
            space.push(space.get(place).copied().unwrap_or(Origin::Own));
        }
        self.exports.push(export);
    }

    /// Refuses what is more than one module put to interfaces of the same names.
    fn check(&self, component: &[u8]) -> Result<()> {
        ensure!(
            !self.own_resources,
            "the component exports a resource; a node has no use for resources that a container makes. Export functions only"
        );
        ensure!(
            !self.other_strings,
            "the component's strings are not UTF-8; a node passes UTF-8 only. Build it without another string encoding"
        );
        ensure!(
            !self.asynchronous,
            "the component uses the asynchronous or the GC form of the interfaces; a node has neither"
        );
        self.check_exports()?;
        ensure!(
            self.nested_components == 0,
            "the component is composed of {} others; only one that wraps a single module can be unwrapped. Deploy the \
             components one by one, before composing",
            self.nested_components
        );
        let (main, arguments) = self.main_instance()?;
        self.check_other_modules(component)?;
        for argument in arguments {
            self.check_import(argument, main)?;
        }
        self.check_lifted(main)
    }

    /// Before nested components: an exported interface is wrapped into one.
    fn check_exports(&self) -> Result<()> {
        match self.exports.iter().find(|export| export.kind == ComponentExternalKind::Instance) {
            Some(export) => bail!(
                "the component exports the interface `{}`; a node calls `on-start`, `on-loop` and `on-stop` (world `reactor` of \
                 atoll:node). For a program with `main`, deploy the core module built for wasm32-wasip1",
                export.name
            ),
            None => Ok(()),
        }
    }

    /// The one instance of module 0, and what it is given.
    fn main_instance(&self) -> Result<(u32, &[InstantiationArg<'c>])> {
        let mut found = None;
        for (index, instance) in (0_u32..).zip(&self.core_instances) {
            if let Instance::Instantiate { module_index: 0, args } = instance {
                ensure!(found.is_none(), "the component starts its main module twice; a cell runs it once");
                found = Some((index, &args[..]));
            }
        }
        found.context("the component never starts its first module")
    }

    /// Besides the main module there may be what connects it: modules without memory, data or globals of their own.
    fn check_other_modules(&self, component: &[u8]) -> Result<()> {
        for (number, range) in self.modules.iter().enumerate().skip(1) {
            let module = component.get(range.clone()).context("the module lies in the component")?;
            if has_state(module).map_err(|error| readable(&error))? {
                bail!(
                    "the component holds several main modules (module {number} has memory, data or globals too): an adapter for \
                     WASI, or libraries linked at run time. Deploy the core module that the component was made from \
                     (for Rust and C, the one for wasm32-wasip1)"
                );
            }
        }
        Ok(())
    }

    /// Each function of the interface `argument.name` must be the component's import of that very name.
    fn check_import(&self, argument: &InstantiationArg<'c>, main: u32) -> Result<()> {
        let exports: &[Export<'c>] = match self.core_instances.get(place(argument.index)) {
            Some(Instance::FromExports(exports)) => exports,
            _ => bail!(
                "the main module imports `{}` from another module of the component: several main modules",
                argument.name
            ),
        };
        for export in exports {
            let wanted = Name { interface: argument.name, function: export.name };
            ensure!(export.kind == ExternalKind::Func, "{wanted} is no function; a node offers functions only");
            let found = self.source(export.index, main).with_context(|| format!("{wanted} cannot be unwrapped"))?;
            ensure!(
                found == (argument.name, export.name),
                "{wanted} is renamed: the component takes it from {}. Deploy the component before renaming or composing",
                Name { interface: found.0, function: found.1 }
            );
        }
        Ok(())
    }

    /// The import behind a core function that the main module is given.
    fn source(&self, index: u32, main: u32) -> Result<(&'c str, &'c str)> {
        match self.core_functions.get(place(index)).context("no such function")? {
            CoreFunction::Lowered { function } => self.import_of(self.functions.get(place(*function))),
            CoreFunction::ResourceDrop { resource } => {
                let (interface, name) = self.import_of(self.types.get(place(*resource)))?;
                let drop = self.drop_name(name).context("the resource's end is not imported under its name")?;
                Ok((interface, drop))
            }
            CoreFunction::Exported { instance, name } => {
                ensure!(*instance != main, "it is the module's own export");
                self.behind_shim(*instance, name, main)
            }
            CoreFunction::Built(what) => bail!("it needs {what}, which a node does not offer"),
        }
    }

    /// `[resource-drop]NAME` as the module spells it.
    fn drop_name(&self, resource: &str) -> Option<&'c str> {
        self.core_instances.iter().find_map(|instance| match instance {
            Instance::FromExports(exports) => exports
                .iter()
                .map(|export| export.name)
                .find(|name| name.strip_prefix("[resource-drop]") == Some(resource)),
            Instance::Instantiate { .. } => None,
        })
    }

    fn import_of(&self, origin: Option<&Origin<'c>>) -> Result<(&'c str, &'c str)> {
        match origin {
            Some(Origin::Member { instance, name }) => match self.instances.get(place(*instance)) {
                Some(Origin::Import(interface)) => Ok((interface, name)),
                _ => bail!("it comes from another part of the component"),
            },
            Some(Origin::Import(name)) => Ok(("$root", name)),
            _ => bail!("it comes from another part of the component"),
        }
    }

    /// A function that needs the main module's memory exists only after it: the main module is given a stand-in of that
    /// name, and another module puts the function behind it, which it is given under the same name.
    fn behind_shim(&self, shim: u32, name: &str, main: u32) -> Result<(&'c str, &'c str)> {
        let fixed = (0_u32..).zip(&self.core_instances).find_map(|(index, instance)| {
            let Instance::Instantiate { args, .. } = instance else { return None };
            if index == main || index == shim {
                return None;
            }
            args.iter().find_map(|argument| match self.core_instances.get(place(argument.index)) {
                Some(Instance::FromExports(exports)) => {
                    exports.iter().find(|export| export.name == name && export.kind == ExternalKind::Func)
                }
                _ => None,
            })
        });
        let fixed = fixed.context("it comes from another module of the component: several main modules")?;
        match self.core_functions.get(place(fixed.index)) {
            Some(CoreFunction::Lowered { function }) => self.import_of(self.functions.get(place(*function))),
            _ => bail!("it comes from another module of the component: several main modules"),
        }
    }

    /// What the component exports must be what the module exports, under the same name.
    fn check_lifted(&self, main: u32) -> Result<()> {
        let functions = self.exports.iter().filter(|export| export.kind == ComponentExternalKind::Func);
        let mut found = BTreeSet::new();
        for export in functions {
            let Some(Origin::Lifted { core }) = self.functions.get(place(export.index)) else {
                bail!("the component's export `{}` is an import passed on; a node has no use for it", export.name);
            };
            match self.core_functions.get(place(*core)) {
                Some(CoreFunction::Exported { instance, name }) if *instance == main && *name == export.name => {}
                Some(CoreFunction::Exported { name, .. }) => {
                    bail!("the component's export `{}` is renamed: the module calls it `{name}`", export.name)
                }
                _ => bail!("the component's export `{}` is no function of its main module", export.name),
            }
            found.insert(export.name);
        }
        ensure!(!found.is_empty(), "the component exports no function, so a node has nothing to call");
        Ok(())
    }
}

fn place(index: u32) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}

/// Whether a module has more than functions and tables: what only a program has.
fn has_state(module: &[u8]) -> Read<bool> {
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::Version { encoding: Encoding::Component, .. }
            | Payload::MemorySection(_)
            | Payload::GlobalSection(_)
            | Payload::DataSection(_) => return Ok(true),
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    if !matches!(import?.ty, TypeRef::Func(_) | TypeRef::FuncExact(_) | TypeRef::Table(_)) {
                        return Ok(true);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(false)
}

/// An import as a person reads it.
struct Name<'n> {
    interface: &'n str,
    function: &'n str,
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}` of `{}`", self.function, self.interface)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
    use wit_parser::Resolve;

    /// A core module wrapped as a component of a world that is given as text or, by default, the node's own.
    fn wrapped(module: &[u8], wit: Option<&str>, world: &str, strings: StringEncoding) -> Vec<u8> {
        let mut resolve = Resolve::default();
        let package = match wit {
            Some(text) => resolve.push_str("test.wit", text).expect("valid WIT"),
            None => resolve.push_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../runner/wit")).expect("valid WIT").0,
        };
        let world = resolve.select_world(&[package], Some(world)).expect("the world is there");
        let mut module = module.to_vec();
        embed_component_metadata(&mut module, &resolve, world, strings).expect("metadata");
        let mut encoder = ComponentEncoder::default().validate(true).module(&module).expect("it fits the world");
        encoder.encode().expect("a component")
    }

    fn wat(text: &str) -> Vec<u8> {
        wat::parse_str(text).expect("valid text")
    }

    #[track_caller]
    fn refused(component: &[u8], words: &str) {
        let error = format!("{:#}", unwrap(component).expect_err("refused"));
        assert!(error.contains(words), "`{words}` is not in: {error}");
    }

    const HOOKS: &str = r#"(func (export "on-start") (result i32) (i32.const 0))
        (func (export "on-loop") (result i32) (i32.const 1)) (func (export "on-stop"))"#;

    #[test]
    fn a_module_from_wit_bindgen_comes_out_byte_for_byte() {
        for sample in ["blinker", "button", "greedy", "spin"] {
            let path = format!("{}/../examples/prebuilt/{sample}.wasm", env!("CARGO_MANIFEST_DIR"));
            let module = std::fs::read(path).expect("the samples are committed");
            let component = wrapped(&module, None, "reactor", StringEncoding::UTF8);
            assert!(is_component(&component) && !is_component(&module));
            // What the wrapping tool noted about itself is left out before an upload, as every foreign custom section.
            let uploaded = crate::module::from_bytes(component).expect("it can be unwrapped");
            assert!(uploaded.from_component && uploaded.bytes == module, "{sample} comes out as it went in");
        }
    }

    #[test]
    fn what_is_no_valid_component_is_refused() {
        refused(b"", "not valid");
        refused(COMPONENT, "never starts its first module");
        let module = wat(&format!("(module {HOOKS})"));
        let mut component = wrapped(&module, None, "reactor", StringEncoding::UTF8);
        component.truncate(component.len() / 2);
        refused(&component, "not valid");
    }

    /// Whatever is wrong with a component, the answer is a module that lies in it or a reason.
    #[test]
    fn a_damaged_component_is_survived() {
        let module = wat(&format!(
            r#"(module (import "atoll:node/log@0.1.0" "log" (func (param i32 i32 i32))) (memory (export "memory") 1)
                {HOOKS})"#
        ));
        let component = wrapped(&module, None, "reactor", StringEncoding::UTF8);
        let (mut taken, mut refused) = (0, 0);
        for position in 0..component.len() {
            for change in [1, 0x80, 0xff] {
                let mut damaged = component.clone();
                damaged[position] ^= change;
                match unwrap(&damaged) {
                    Ok(_) => taken += 1,
                    Err(_) => refused += 1,
                }
            }
        }
        assert!(taken > 0 && refused > taken, "{taken} taken, {refused} refused");
    }

    #[test]
    fn an_exported_interface_and_an_exported_resource_are_refused() {
        let wit = "package test:t; interface i { f: func(); } world w { export i; }";
        let module = wat(r#"(module (func (export "test:t/i#f")))"#);
        refused(&wrapped(&module, Some(wit), "w", StringEncoding::UTF8), "exports the interface `test:t/i`");
        let wit = "package test:t; interface i { resource r { f: func(); } } world w { export i; }";
        let module = wat(r#"(module (func (export "test:t/i#[method]r.f") (param i32)))"#);
        refused(&wrapped(&module, Some(wit), "w", StringEncoding::UTF8), "exports a resource");
    }

    #[test]
    fn strings_that_are_not_utf8_are_refused() {
        let module = wat(&format!(
            r#"(module (import "atoll:node/log@0.1.0" "log" (func (param i32 i32 i32))) (memory (export "memory") 1) {HOOKS})"#
        ));
        assert!(unwrap(&wrapped(&module, None, "reactor", StringEncoding::UTF8)).is_ok());
        refused(&wrapped(&module, None, "reactor", StringEncoding::UTF16), "not UTF-8");
    }

    /// A component written by hand around a module that imports `log` under a name.
    fn by_hand(imported: &str, taken: &str, more: &str, export: &str) -> Vec<u8> {
        wat(&format!(
            r#"(component
                (import "{imported}" (instance $i (export "{taken}" (func))))
                (core module $m (import "a:b/c" "f" (func)) (func (export "go")))
                {more}
                (core func $f (canon lower (func $i "{taken}")))
                (core instance $main (instantiate $m (with "a:b/c" (instance (export "f" (func $f))))))
                (func (export "{export}") (canon lift (core func $main "go"))))"#
        ))
    }

    #[test]
    fn renamed_imports_and_exports_are_refused() {
        assert!(unwrap(&by_hand("a:b/c", "f", "", "go")).is_ok());
        refused(
            &by_hand("a:b/d", "f", "", "go"),
            "`f` of `a:b/c` is renamed: the component takes it from `f` of `a:b/d`",
        );
        refused(&by_hand("a:b/c", "g", "", "go"), "renamed");
        refused(&by_hand("a:b/c", "f", "", "stay"), "`stay` is renamed: the module calls it `go`");
    }

    #[test]
    fn several_main_modules_are_refused() {
        refused(&by_hand("a:b/c", "f", "(core module (memory 1))", "go"), "several main modules");
        refused(&by_hand("a:b/c", "f", "(component)", "go"), "composed of 1 others");
        let linked = wat(r#"(component
                (core module $m (import "x" "f" (func)) (func (export "go")))
                (core module $library (func (export "f")))
                (core instance $l (instantiate $library))
                (core instance $main (instantiate $m (with "x" (instance $l))))
                (func (export "go") (canon lift (core func $main "go"))))"#);
        refused(&linked, "several main modules");
        let twice = wat(r#"(component (core module $m (func (export "go"))) (core instance $a (instantiate $m))
                (core instance $b (instantiate $m)) (func (export "go") (canon lift (core func $a "go"))))"#);
        refused(&twice, "twice");
    }

    #[test]
    fn what_a_component_makes_itself_is_refused() {
        let own = wat(r#"(component (type $r (resource (rep i32))) (core func $n (canon resource.new $r))
                (core module $m (import "x" "n" (func (param i32) (result i32))) (func (export "go")))
                (core instance $main (instantiate $m (with "x" (instance (export "n" (func $n))))))
                (func (export "go") (canon lift (core func $main "go"))))"#);
        refused(&own, "resource");
        let nothing = wat("(component (core module $m (memory 1)) (core instance (instantiate $m)))");
        refused(&nothing, "exports no function");
    }
}
