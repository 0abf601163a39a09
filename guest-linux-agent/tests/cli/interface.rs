//! What templates say of the node's interface by hand, held against the WIT file: the C header is made from it, and the imports
//! of every template are lowered as it says.
//!
//! `ATOLL_WRITE_HEADER=1 cargo test -p guest-linux-agent --test cli interface` writes the header anew.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::PathBuf, process::Command};

use wit_parser::{
    Docs, Function, FunctionKind, Handle, Interface, Resolve, SizeAlign, Type, TypeDefKind, TypeId, TypeOwner, WorldId,
    WorldItem, WorldKey,
    abi::{AbiVariant, WasmType},
};

use crate::project;

/// The header, a template of `emit new --lang c`.
fn header_path() -> PathBuf {
    project().join("guest-linux-agent/templates/c-reactor/atoll.h")
}

/// The interface of reactors.
struct Wit {
    resolve: Resolve,
    world: WorldId,
    sizes: SizeAlign,
}

impl Wit {
    fn read() -> Self {
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_dir(project().join("runner/wit")).expect("the WIT file is valid");
        let world = resolve.select_world(&[package], Some("reactor")).expect("it has the world");
        let mut sizes = SizeAlign::default();
        sizes.fill(&resolve);
        Self { resolve, world, sizes }
    }

    /// The interfaces that the world imports, with the module that each is imported from.
    fn interfaces(&self) -> Vec<(String, &Interface)> {
        let imports = self.resolve.worlds[self.world].imports.iter();
        imports
            .filter_map(|(key, item)| match item {
                WorldItem::Interface { id, .. } => {
                    Some((self.resolve.name_world_key(key), &self.resolve.interfaces[*id]))
                }
                _ => None,
            })
            .collect()
    }

    /// The types of each import, by module and name; drops of resources among them.
    fn imports(&self) -> BTreeMap<(String, String), (Vec<WasmType>, Vec<WasmType>)> {
        let mut imports = BTreeMap::new();
        for (module, interface) in self.interfaces() {
            for (name, function) in &interface.functions {
                let signature = self.resolve.wasm_signature(AbiVariant::GuestImport, function);
                imports.insert((module.clone(), name.clone()), (signature.params, signature.results));
            }
            for name in resources(&self.resolve, interface) {
                imports.insert((module.clone(), format!("[resource-drop]{name}")), (vec![WasmType::I32], vec![]));
            }
        }
        imports
    }
}

fn resources<'a>(resolve: &Resolve, interface: &'a Interface) -> Vec<&'a str> {
    let resources = interface.types.iter().filter(|(_, id)| resolve.types[**id].kind == TypeDefKind::Resource);
    resources.map(|(name, _)| name.as_str()).collect()
}

/// The header as text.
struct Header<'a> {
    wit: &'a Wit,
    text: String,
    /// Structures that are written already.
    written: Vec<String>,
}

const HEAD: &str = r#"/*
 * What a node offers a reactor container, for C: every import of wit/atoll.wit as it is lowered.
 *
 * Made from that file; do not edit it. Strings are pointer and length, not ended by a zero byte. What a function answers
 * through a pointer comes behind its parameters; text and bytes that come so lie in memory that the container's own
 * `cabi_realloc` made, which must be exported where such a function is used. Handles are given back by the function that
 * ends in `_drop`.
 */
#ifndef ATOLL_H
#define ATOLL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ATOLL_IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define ATOLL_EXPORT(name) __attribute__((export_name(name)))
"#;

const TAIL: &str = "
#ifdef __cplusplus
}
#endif

#endif
";

/// Its lines are as wide as those of other sources here.
const WIDTH: usize = 120;

impl<'a> Header<'a> {
    fn of(wit: &'a Wit) -> String {
        let mut header = Self { wit, text: HEAD.to_owned(), written: Vec::new() };
        for (module, interface) in wit.interfaces() {
            header.interface(&module, interface);
        }
        header.hooks();
        header.text + TAIL
    }

    fn interface(&mut self, module: &str, interface: &Interface) {
        let name = interface.name.as_deref().expect("the world's interfaces have names");
        let _ = write!(self.text, "\n/* ---- {name} ---- */\n");
        self.comment("", &interface.docs);
        for (type_name, id) in &interface.types {
            self.enumeration(type_name, *id);
        }
        for (import, function) in &interface.functions {
            self.function(module, name, import, function);
        }
        for resource in resources(&self.wit.resolve, interface) {
            let prefix = prefix(name, resource);
            let _ = write!(
                self.text,
                "\nATOLL_IMPORT(\"{module}\", \"[resource-drop]{resource}\")\nvoid {prefix}_drop(uint32_t {});\n",
                snake(resource)
            );
        }
    }

    fn comment(&mut self, indent: &str, docs: &Docs) {
        let Some(text) = &docs.contents else { return };
        let mut line = format!("{indent}/*");
        for word in text.split_whitespace() {
            if line.len() + 1 + word.len() + " */".len() > WIDTH {
                let _ = writeln!(self.text, "{line}");
                line = format!("{indent}  ");
            }
            let _ = write!(line, " {word}");
        }
        let _ = writeln!(self.text, "{line} */");
    }

    fn enumeration(&mut self, type_name: &str, id: TypeId) {
        let of = &self.wit.resolve.types[id];
        let TypeDefKind::Enum(cases) = &of.kind else { return };
        let name = self.type_name(id);
        self.text.push('\n');
        self.comment("", &of.docs);
        let _ = writeln!(self.text, "enum {name} {{");
        for case in &cases.cases {
            self.comment("    ", &case.docs);
            let _ = writeln!(self.text, "    {}_{},", name.to_uppercase(), snake(&case.name).to_uppercase());
        }
        assert!(!type_name.is_empty() && cases.cases.len() <= 256, "one byte in memory");
        self.text.push_str("};\n");
    }

    /// A type's name in C, without `enum`.
    fn type_name(&self, id: TypeId) -> String {
        let of = &self.wit.resolve.types[id];
        let name = of.name.as_deref().expect("it has a name");
        match of.owner {
            TypeOwner::Interface(owner) => {
                prefix(self.wit.resolve.interfaces[owner].name.as_deref().expect("it has a name"), name)
            }
            _ => format!("atoll_{}", snake(name)),
        }
    }

    /// What a type's name stands for.
    fn resolved(&self, of: &Type) -> &'a TypeDefKind {
        let Type::Id(id) = of else { panic!("{of:?} has no definition") };
        match &self.wit.resolve.types[*id].kind {
            TypeDefKind::Type(other) => self.resolved(other),
            kind => kind,
        }
    }

    fn id(&self, of: &Type) -> TypeId {
        let Type::Id(id) = of else { panic!("{of:?} has no definition") };
        match &self.wit.resolve.types[*id].kind {
            TypeDefKind::Type(other) => self.id(other),
            _ => *id,
        }
    }

    /// A type of one core value.
    fn scalar(&self, of: &Type) -> Option<String> {
        Some(match of {
            Type::Bool => "bool".into(),
            Type::U8 => "uint8_t".into(),
            Type::U16 => "uint16_t".into(),
            Type::U32 | Type::Char => "uint32_t".into(),
            Type::S32 => "int32_t".into(),
            Type::U64 => "uint64_t".into(),
            Type::S64 => "int64_t".into(),
            Type::F32 => "float".into(),
            Type::F64 => "double".into(),
            Type::Id(_) => match self.resolved(of) {
                TypeDefKind::Enum(_) => format!("enum {}", self.type_name(self.id(of))),
                TypeDefKind::Handle(Handle::Own(_) | Handle::Borrow(_)) => "uint32_t".into(),
                _ => return None,
            },
            _ => return None,
        })
    }

    fn parameter(&self, name: &str, of: &Type) -> String {
        let name = snake(name);
        if let Some(scalar) = self.scalar(of) {
            return format!("{scalar} {name}");
        }
        let element = match of {
            Type::String => "char",
            Type::Id(_) if matches!(self.resolved(of), TypeDefKind::List(Type::U8)) => "uint8_t",
            _ => panic!("the header has no words for the parameter `{name}: {of:?}`"),
        };
        format!("const {element} *{name}, size_t {name}_length")
    }

    /// The structure for what is answered through a pointer, written where it is not yet; answers the parameter.
    fn answer(&mut self, interface: &str, of: &Type) -> String {
        let size = self.wit.sizes.size(of).size_wasm32();
        let (name, body) = match of {
            Type::String => ("atoll_text".to_owned(), "    char *data;\n    size_t length;\n".to_owned()),
            Type::Id(_) => match self.resolved(of) {
                TypeDefKind::List(Type::U8) => {
                    ("atoll_bytes".to_owned(), "    uint8_t *data;\n    size_t length;\n".to_owned())
                }
                TypeDefKind::Tuple(tuple) if tuple.types.iter().all(|of| *of == Type::U64) => {
                    return format!("uint64_t answer[{}]", tuple.types.len());
                }
                TypeDefKind::Result(result) => {
                    let ok = result.ok.as_ref().expect("a result without a value needs no pointer");
                    let TypeDefKind::Handle(Handle::Own(resource)) = self.resolved(ok) else {
                        panic!("the header has no words for {ok:?}")
                    };
                    let resource = self.wit.resolve.types[*resource].name.clone().expect("it has a name");
                    let body = format!(
                        "    /* Not zero: `status` says why, and there is no handle. */\n    uint8_t failed;\n    \
                         union {{\n        uint32_t {};\n        uint8_t status;\n    }};\n",
                        snake(&resource)
                    );
                    (format!("{}_opened", prefix(interface, &resource)), body)
                }
                other => panic!("the header has no words for {other:?}"),
            },
            other => panic!("the header has no words for {other:?}"),
        };
        if !self.written.contains(&name) {
            let _ = write!(self.text, "\nstruct {name} {{\n{body}}};\n");
            let _ = writeln!(
                self.text,
                "_Static_assert(sizeof(struct {name}) == {size}, \"as the canonical ABI has it\");"
            );
            self.written.push(name.clone());
        }
        format!("struct {name} *answer")
    }

    fn function(&mut self, module: &str, interface: &str, import: &str, function: &Function) {
        let signature = self.wit.resolve.wasm_signature(AbiVariant::GuestImport, function);
        assert!(!signature.indirect_params, "{import}: the header has no words for that");
        let mut parameters: Vec<String> =
            function.params.iter().map(|parameter| self.parameter(own_name(parameter), &parameter.ty)).collect();
        let result = match &function.result {
            None => "void".to_owned(),
            Some(of) if signature.retptr => {
                let answer = self.answer(interface, of);
                parameters.push(answer);
                "void".to_owned()
            }
            Some(of) => self.scalar(of).unwrap_or_else(|| panic!("{import}: the header has no words for {of:?}")),
        };
        let name = match &function.kind {
            FunctionKind::Freestanding => prefix(interface, &function.name),
            FunctionKind::Method(resource) => {
                let resource = self.wit.resolve.types[*resource].name.as_deref().expect("it has a name");
                format!("{}_{}", prefix(interface, resource), snake(function.item_name()))
            }
            other => panic!("{import}: the header has no words for {other:?}"),
        };
        self.text.push('\n');
        self.comment("", &function.docs);
        let parameters = if parameters.is_empty() { "void".to_owned() } else { parameters.join(", ") };
        let _ = writeln!(self.text, "ATOLL_IMPORT(\"{module}\", \"{import}\")\n{result} {name}({parameters});");
    }

    /// What the container exports.
    fn hooks(&mut self) {
        let world = &self.wit.resolve.worlds[self.wit.world];
        self.text.push_str("\n/* ---- what the container has to define ---- */\n");
        for (key, item) in &world.imports {
            if let (WorldKey::Name(name), WorldItem::Type { id, .. }) = (key, item) {
                self.enumeration(name, *id);
            }
        }
        for item in world.exports.values() {
            let WorldItem::Function(function) = item else { continue };
            let result = match &function.result {
                None => "void".to_owned(),
                Some(of) => self.scalar(of).expect("hooks answer one value"),
            };
            assert!(function.params.is_empty(), "hooks take nothing");
            self.text.push('\n');
            self.comment("", &function.docs);
            let name = &function.name;
            let _ = writeln!(self.text, "ATOLL_EXPORT(\"{name}\") {result} atoll_{}(void);", snake(name));
        }
    }
}

/// A method's own handle is called `self` in WIT.
fn own_name(parameter: &wit_parser::Param) -> &str {
    if parameter.name == "self" { "handle" } else { &parameter.name }
}

fn snake(name: &str) -> String {
    name.replace('-', "_")
}

/// `atoll_INTERFACE_NAME`, where the interface's name is not said twice.
fn prefix(interface: &str, name: &str) -> String {
    if name == interface || name.strip_prefix(interface).is_some_and(|rest| rest.starts_with('-')) {
        return format!("atoll_{}", snake(name));
    }
    format!("atoll_{}_{}", snake(interface), snake(name))
}

#[test]
fn the_header_is_made_from_the_wit_file() {
    let made = Header::of(&Wit::read());
    let path = header_path();
    if std::env::var_os("ATOLL_WRITE_HEADER").is_some() {
        fs::write(&path, &made).expect("written");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == made, "{} is old; the first lines of this file say how to make it anew", path.display());
}

/// Compiled, the header imports every function there is, with the types that the WIT file lowers to.
#[test]
fn a_compiler_makes_of_the_header_what_the_wit_file_says() {
    let wit = Wit::read();
    let header = fs::read_to_string(header_path()).expect("it is there");
    // Each function's address is taken, so that each is imported.
    let names = header.lines().filter(|line| line.ends_with(");") && !line.starts_with(['_', 'A', '#', '/', ' ']));
    let names: Vec<&str> = names.filter_map(|line| line.split('(').next()?.rsplit([' ', '*']).next()).collect();
    let mut source = "#include \"atoll.h\"\n".to_owned();
    source += "void *const all[] = {\n";
    names.iter().for_each(|name| source += &format!("    (void *){name},\n"));
    source += "};\nvoid *const *use(void) { return all; }\n";
    let place = tempfile::tempdir().expect("a temporary directory");
    fs::write(place.path().join("atoll.h"), &header).expect("written");
    fs::write(place.path().join("all.c"), source).expect("written");
    let module = place.path().join("all.wasm");
    let mut clang = Command::new("clang");
    clang.args(["--target=wasm32", "-std=c11", "-nostdlib", "-Wall", "-Wextra", "-Werror", "-Wl,--no-entry"]);
    clang.args(["-Wl,--export=use", "all.c", "-o"]).arg(&module).current_dir(place.path());
    let output = match clang.output() {
        Ok(output) => output,
        Err(error) => {
            return skipped("a_compiler_makes_of_the_header_what_the_wit_file_says", &format!("clang: {error}"));
        }
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found = imports(&fs::read(&module).expect("read"));
    assert_eq!(found, core_types(wit.imports()), "an import is missing or has other types");
}

#[test]
fn templates_in_other_languages_import_what_the_wit_file_says() {
    let expected = core_types(Wit::read().imports());
    let templates = project().join("guest-linux-agent/templates");
    let read = |path: &str| fs::read_to_string(templates.join(path)).expect("a template");
    let wat = imports(&wat::parse_str(read("wat-reactor/container.wat")).expect("valid text"));
    let assembly_script = declared_in_assembly_script(&read("assemblyscript-reactor/index.ts"));
    for (template, found) in [("wat", wat), ("assemblyscript", assembly_script)] {
        assert!(found.len() >= 3, "{template}: {found:?}");
        for (import, types) in found {
            assert_eq!(Some(&types), expected.get(&import), "{template}: {import:?}");
        }
    }
}

/// By module and name: the types of parameters and results, a word each.
type Imports = BTreeMap<(String, String), (Vec<String>, Vec<String>)>;

fn core_types(imports: BTreeMap<(String, String), (Vec<WasmType>, Vec<WasmType>)>) -> Imports {
    let words = |types: Vec<WasmType>| -> Vec<String> {
        let word = |of: WasmType| match of {
            WasmType::I32 | WasmType::Pointer | WasmType::Length => "I32",
            WasmType::I64 | WasmType::PointerOrI64 => "I64",
            WasmType::F32 => "F32",
            WasmType::F64 => "F64",
        };
        types.into_iter().map(|of| word(of).to_owned()).collect()
    };
    imports.into_iter().map(|(import, (parameters, results))| (import, (words(parameters), words(results)))).collect()
}

fn imports(module: &[u8]) -> Imports {
    use wasmparser::{Parser, Payload, TypeRef};
    let mut types = Vec::new();
    let mut found = BTreeMap::new();
    let words = |types: &[wasmparser::ValType]| types.iter().map(|of| format!("{of:?}")).collect::<Vec<_>>();
    for payload in Parser::new(0).parse_all(module) {
        match payload.expect("a module") {
            Payload::TypeSection(section) => {
                types.extend(section.into_iter_err_on_gc_types().map(|of| of.expect("a function's type")));
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import.expect("an import");
                    let TypeRef::Func(index) = import.ty else { panic!("{import:?} is no function") };
                    let of = &types[index as usize];
                    let name = (import.module.to_owned(), import.name.to_owned());
                    found.insert(name, (words(of.params()), words(of.results())));
                }
            }
            _ => {}
        }
    }
    found
}

/// `@external("MODULE", "NAME")` and, on the next line, `declare function …(a: u32, …): u32;`.
fn declared_in_assembly_script(source: &str) -> Imports {
    let word = |of: &str| match of.trim() {
        "u32" | "i32" | "usize" | "bool" => Some("I32".to_owned()),
        "u64" | "i64" => Some("I64".to_owned()),
        "f64" => Some("F64".to_owned()),
        "void" => None,
        other => panic!("`{other}` is no type that is known here"),
    };
    let lines: Vec<&str> = source.lines().collect();
    let external = lines.windows(2).filter_map(|pair| Some((pair[0].strip_prefix("@external(")?, pair[1])));
    let import = |(external, declaration): (&str, &str)| {
        let mut names = external.split('"').skip(1).step_by(2);
        let names = (names.next().expect("a module").to_owned(), names.next().expect("a name").to_owned());
        let (_, rest) = declaration.split_once('(').expect("parameters");
        let (parameters, result) = rest.split_once("):").expect("a result");
        let types = parameters.split(',').filter_map(|parameter| word(parameter.split_once(':')?.1));
        (names, (types.collect(), word(result.trim_end_matches(';')).into_iter().collect()))
    };
    external.map(import).collect()
}

/// In the line that `cargo xtask test` counts.
fn skipped(test: &str, reason: &str) {
    use std::io::Write as _;
    let _ = std::io::stderr().write_all(format!("\nSKIPPED cli::interface::{test}: {reason}\n").as_bytes());
}
