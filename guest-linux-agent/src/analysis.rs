//! What a module says of itself: its imports, exports, memories, tables and sections, and which world that makes it.
//!
//! Nothing is validated here (`emit check` does); what does not read as a module is an error. What a node offers comes from
//! `runner-container`, which is held against the cells.

use std::{collections::BTreeMap, ops::Range};

use runner_container::{
    World,
    offers::{self, Offer},
};
use wasmparser::{BinaryReaderError, CompositeInnerType, ExternalKind, FuncType, Parser, Payload, TypeRef, ValType};

/// Bytes of a page of linear memory.
pub(crate) const PAGE_BYTES: u64 = 65536;

/// One import.
#[derive(Debug)]
pub(crate) struct Import {
    pub(crate) module: String,
    pub(crate) name: String,
    /// Parameters and results as [`Offer`] has them; none where it is no function or its type has no letters.
    pub(crate) shape: Option<(String, String)>,
}

/// What a node makes of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offered {
    /// It is served.
    Served,
    /// It may be imported, and always answers an error number.
    Unserved,
    /// It is offered with another type.
    OtherType(&'static Offer),
    /// No node offers it.
    Unknown,
}

impl Offered {
    /// For a script.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Unserved => "unserved",
            Self::OtherType(_) => "other-type",
            Self::Unknown => "unknown",
        }
    }
}

impl Import {
    /// What a node makes of it.
    pub(crate) fn offered(&self) -> Offered {
        match offers::find(&self.module, &self.name) {
            None => Offered::Unknown,
            Some(offer)
                if self
                    .shape
                    .as_ref()
                    .is_none_or(|(p, r)| (p.as_str(), r.as_str()) != (offer.parameters, offer.results)) =>
            {
                Offered::OtherType(offer)
            }
            Some(offer) if offer.served => Offered::Served,
            Some(_) => Offered::Unserved,
        }
    }
}

/// One export.
#[derive(Debug)]
pub(crate) struct Export {
    pub(crate) name: String,
    /// What it is, in a word.
    pub(crate) kind: &'static str,
    /// As [`Import::shape`].
    pub(crate) shape: Option<(String, String)>,
}

/// A size that may grow, in its own unit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) initial: u64,
    pub(crate) maximum: Option<u64>,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Analysis {
    pub(crate) imports: Vec<Import>,
    pub(crate) exports: Vec<Export>,
    /// In pages.
    pub(crate) memories: Vec<Extent>,
    /// In elements.
    pub(crate) tables: Vec<Extent>,
    /// Name and bytes, in the order of the module.
    pub(crate) sections: Vec<(String, usize)>,
    pub(crate) start_function: bool,
    types: Vec<Option<(String, String)>>,
    functions: Vec<u32>,
}

/// The world that a module's exports make it, as a cell decides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detected {
    World(World),
    /// Some hooks of a reactor, not all.
    PartOfReactor,
    Nothing,
}

type Result<T> = std::result::Result<T, BinaryReaderError>;

impl Analysis {
    /// Reads a core module.
    pub(crate) fn of(wasm: &[u8]) -> Result<Self> {
        let mut analysis = Self::default();
        for payload in Parser::new(0).parse_all(wasm) {
            let payload = payload?;
            if let Some(section) = named_section(&payload) {
                analysis.sections.push(section);
            }
            analysis.add(payload)?;
        }
        Ok(analysis)
    }

    fn add(&mut self, payload: Payload<'_>) -> Result<()> {
        match payload {
            Payload::TypeSection(groups) => {
                for group in groups {
                    self.types.extend(group?.types().map(|of| match &of.composite_type.inner {
                        CompositeInnerType::Func(function) => shape(function),
                        _ => None,
                    }));
                }
            }
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    let import = import?;
                    let shape = match import.ty {
                        TypeRef::Func(index) | TypeRef::FuncExact(index) => {
                            self.functions.push(index);
                            self.shape_of_type(index)
                        }
                        _ => None,
                    };
                    self.imports.push(Import { module: import.module.into(), name: import.name.into(), shape });
                }
            }
            Payload::FunctionSection(functions) => {
                for function in functions {
                    self.functions.push(function?);
                }
            }
            Payload::MemorySection(memories) => {
                for memory in memories {
                    let memory = memory?;
                    self.memories.push(Extent { initial: memory.initial, maximum: memory.maximum });
                }
            }
            Payload::TableSection(tables) => {
                for table in tables {
                    let of = table?.ty;
                    self.tables.push(Extent { initial: of.initial, maximum: of.maximum });
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    let export = export?;
                    let shape =
                        (export.kind == ExternalKind::Func).then(|| self.shape_of_function(export.index)).flatten();
                    self.exports.push(Export { name: export.name.into(), kind: kind_name(export.kind), shape });
                }
            }
            Payload::StartSection { .. } => self.start_function = true,
            _ => {}
        }
        Ok(())
    }

    fn shape_of_type(&self, index: u32) -> Option<(String, String)> {
        self.types.get(usize::try_from(index).ok()?).cloned().flatten()
    }

    fn shape_of_function(&self, index: u32) -> Option<(String, String)> {
        self.shape_of_type(*self.functions.get(usize::try_from(index).ok()?)?)
    }

    /// The function that is exported under that name.
    pub(crate) fn hook(&self, name: &str) -> Option<&Export> {
        self.exports.iter().find(|export| export.name == name && export.kind == "function")
    }

    /// The world, as a cell decides it: a module with the hooks of a reactor is one, whatever else it has.
    pub(crate) fn world(&self) -> Detected {
        let has = |hooks: &[(&str, &str)]| hooks.iter().filter(|(name, _)| self.hook(name).is_some()).count();
        let hooks = has(offers::REACTOR_HOOKS);
        if hooks == offers::REACTOR_HOOKS.len() {
            Detected::World(World::Reactor)
        } else if has(offers::COMMAND_HOOKS) == offers::COMMAND_HOOKS.len() {
            Detected::World(World::WasiCommand)
        } else if has(offers::TINY_HOOKS) == offers::TINY_HOOKS.len() {
            Detected::World(World::TinyContainer)
        } else if hooks > 0 {
            Detected::PartOfReactor
        } else {
            Detected::Nothing
        }
    }

    /// Bytes of linear memory that it has from the start.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.memories.iter().fold(0, |sum: u64, memory| sum.saturating_add(memory.initial.saturating_mul(PAGE_BYTES)))
    }

    /// Its imports by the interface that they come from.
    pub(crate) fn imports_by_module(&self) -> BTreeMap<&str, Vec<&Import>> {
        let mut grouped: BTreeMap<&str, Vec<&Import>> = BTreeMap::new();
        for import in &self.imports {
            grouped.entry(&import.module).or_default().push(import);
        }
        grouped
    }
}

fn shape(function: &FuncType) -> Option<(String, String)> {
    let letters = |types: &[ValType]| -> Option<String> {
        types
            .iter()
            .map(|of| match of {
                ValType::I32 => Some('i'),
                ValType::I64 => Some('I'),
                ValType::F64 => Some('D'),
                _ => None,
            })
            .collect()
    };
    Some((letters(function.params())?, letters(function.results())?))
}

/// A function's type as a person reads it.
pub(crate) fn signature(parameters: &str, results: &str) -> String {
    let list = |letters: &str| -> String {
        let name = |letter| match letter {
            'I' => "i64",
            'D' => "f64",
            _ => "i32",
        };
        letters.chars().map(name).collect::<Vec<_>>().join(", ")
    };
    let arrow = if results.is_empty() { String::new() } else { format!(" -> {}", list(results)) };
    format!("({}){arrow}", list(parameters))
}

const fn kind_name(kind: ExternalKind) -> &'static str {
    match kind {
        ExternalKind::Func | ExternalKind::FuncExact => "function",
        ExternalKind::Table => "table",
        ExternalKind::Memory => "memory",
        ExternalKind::Global => "global",
        ExternalKind::Tag => "tag",
    }
}

/// A section's name and how many bytes it holds.
fn named_section(payload: &Payload<'_>) -> Option<(String, usize)> {
    let (id, range): (u8, Range<usize>) = payload.as_section()?;
    let name = match (payload, id) {
        (Payload::CustomSection(section), _) => format!("custom `{}`", section.name()),
        (_, 1) => "type".into(),
        (_, 2) => "import".into(),
        (_, 3) => "function".into(),
        (_, 4) => "table".into(),
        (_, 5) => "memory".into(),
        (_, 6) => "global".into(),
        (_, 7) => "export".into(),
        (_, 8) => "start".into(),
        (_, 9) => "element".into(),
        (_, 10) => "code".into(),
        (_, 11) => "data".into(),
        (_, 12) => "data count".into(),
        (_, 13) => "tag".into(),
        (_, id) => format!("section {id}"),
    };
    Some((name, range.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_damage_is_survived() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/prebuilt/button.wasm");
        let module = std::fs::read(path).expect("the samples are committed");
        let (mut read, mut refused) = (0, 0);
        for position in 0..module.len() {
            for change in [1, 0x80, 0xff] {
                let mut damaged = module.clone();
                damaged[position] ^= change;
                match Analysis::of(&damaged) {
                    Ok(analysis) => read += usize::from(!analysis.sections.is_empty()),
                    Err(_) => refused += 1,
                }
                // Reading for an upload is survived too.
                let _ = crate::module::from_bytes(damaged);
            }
        }
        assert!(read > 0 && refused > 0, "{read} read, {refused} refused");
    }

    #[test]
    fn a_world_is_what_a_cell_sees() {
        let of = |text: &str| Analysis::of(&wat::parse_str(text).expect("valid text")).expect("a module").world();
        let hooks = r#"(func (export "on-start")) (func (export "on-loop")) (func (export "on-stop"))"#;
        assert_eq!(of(&format!("(module {hooks})")), Detected::World(World::Reactor));
        assert_eq!(of(&format!(r#"(module {hooks} (func (export "_start")))"#)), Detected::World(World::Reactor));
        assert_eq!(of(r#"(module (func (export "_start")))"#), Detected::World(World::WasiCommand));
        assert_eq!(of(r#"(module (func (export "on-loop")))"#), Detected::PartOfReactor);
        let tiny = r#"(func (export "start")) (func (export "loop")) (func (export "stop"))"#;
        assert_eq!(of(&format!("(module {tiny})")), Detected::World(World::TinyContainer));
        assert_eq!(of(&format!(r#"(module {tiny} (func (export "_start")))"#)), Detected::World(World::WasiCommand));
        assert_eq!(of(&format!("(module {hooks} {tiny})")), Detected::World(World::Reactor));
        assert_eq!(of(r#"(module (memory (export "_start") 1))"#), Detected::Nothing);
    }
}
