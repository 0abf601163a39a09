//! Interfaces that others wrote, each on top of what the node has.
//!
//! One module an interface. Of `wasi:clocks`, `wasi:io` and `wasi:logging` there is one version at a time. Drafts change under one
//! number, so those have one module a draft ([`DRAFTS`]), named after its day, and any number of drafts is served at once: a
//! container speaks the newest draft that has every function that it imports. One that no draft has is refused like any unknown import.

use wasmi::Linker;

use super::super::Unknown;
use crate::host::Host;

mod wasi_clocks;
mod wasi_gpio;
mod wasi_i2c;
mod wasi_io;
mod wasi_logging;

/// The functions of one draft that are served.
struct Draft {
    package: &'static str,
    /// The version that it gives itself, which another draft may give itself too.
    version: &'static str,
    /// Interface and name.
    functions: &'static [(&'static str, &'static str)],
    define: fn(&mut Linker<Host>, module: &str, interface: &str, name: &str) -> Result<(), Unknown>,
}

impl Draft {
    /// Whether the name is of this draft's package and version, whatever the function.
    fn is_of(&self, import: &Import<'_>) -> bool {
        self.package == import.package && self.version == import.version
    }

    fn has(&self, import: &Import<'_>, name: &str) -> bool {
        self.is_of(import) && self.functions.contains(&(import.interface, name))
    }
}

const DRAFT_COUNT: usize = 3;

/// All drafts; of one package the newest first.
static DRAFTS: [Draft; DRAFT_COUNT] =
    [wasi_gpio::DRAFT_2025_05_27, wasi_gpio::DRAFT_2025_03_18, wasi_i2c::DRAFT_2024_03_19];

/// `package/interface@version`, as the module of an import has it.
#[derive(Clone, Copy)]
struct Import<'m> {
    package: &'m str,
    interface: &'m str,
    /// Empty where there is none.
    version: &'m str,
}

impl<'m> Import<'m> {
    fn parse(module: &'m str) -> Option<Self> {
        let (package, rest) = module.split_once('/')?;
        let (interface, version) = rest.split_once('@').unwrap_or((rest, ""));
        Some(Self { package, interface, version })
    }

    /// Any patch of 0.2, as semver has it.
    fn is_0_2(&self) -> bool {
        let patch = self.version.strip_prefix("0.2.").unwrap_or_default();
        !patch.is_empty() && patch.bytes().all(|digit| digit.is_ascii_digit())
    }
}

/// The drafts that a module may be speaking, by [`DRAFTS`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drafts {
    possible: [bool; DRAFT_COUNT],
}

impl Default for Drafts {
    fn default() -> Self {
        Self { possible: [true; DRAFT_COUNT] }
    }
}

impl Drafts {
    /// The module imports that function too; [`Unknown`] where no draft has it together with those before.
    pub(crate) fn narrow(&mut self, module: &str, name: &str) -> Result<(), Unknown> {
        let Some(import) = Import::parse(module) else { return Ok(()) };
        let mut is_draft = false;
        let mut is_known = false;
        for (possible, draft) in self.possible.iter_mut().zip(&DRAFTS).filter(|(_, draft)| draft.is_of(&import)) {
            is_draft = true;
            *possible &= draft.has(&import, name);
            is_known |= *possible;
        }
        if is_draft && !is_known { Err(Unknown) } else { Ok(()) }
    }

    fn of(self, import: &Import<'_>) -> Option<&'static Draft> {
        let mut possible = DRAFTS.iter().zip(self.possible).filter(|(_, possible)| *possible);
        possible.find(|(draft, _)| draft.is_of(import)).map(|(draft, _)| draft)
    }
}

pub(super) fn define(linker: &mut Linker<Host>, drafts: Drafts, module: &str, name: &str) -> Result<(), Unknown> {
    let import = Import::parse(module).ok_or(Unknown)?;
    match (import.package, import.interface) {
        ("wasi:clocks", interface) if import.is_0_2() => wasi_clocks::define(linker, module, interface, name),
        ("wasi:io", "poll") if import.is_0_2() => wasi_io::define(linker, module, name),
        ("wasi:logging", "logging") if ["", "0.1.0-draft"].contains(&import.version) => {
            wasi_logging::define(linker, module, name)
        }
        (_, interface) => (drafts.of(&import).ok_or(Unknown)?.define)(linker, module, interface, name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The draft that a module with these imports speaks; the first import that is of no draft.
    fn narrowed(imports: &[&str]) -> Result<Option<usize>, usize> {
        let mut drafts = Drafts::default();
        for (index, name) in imports.iter().enumerate() {
            drafts.narrow("wasi:gpio/digital@0.2.0", name).map_err(|_| index)?;
        }
        let spoken = drafts.of(&Import::parse("wasi:gpio/digital@0.2.0").unwrap()).unwrap();
        Ok(DRAFTS.iter().position(|draft| core::ptr::eq(draft, spoken)))
    }

    #[test]
    fn a_module_speaks_the_newest_draft_that_has_all_it_imports() {
        assert_eq!(narrowed(&["[method]digital-out-pin.set-active"]), Ok(Some(0)));
        assert_eq!(narrowed(&["[method]digital-out-pin.set-active", "get-digital-out"]), Ok(Some(1)));
        assert_eq!(narrowed(&["[static]digital-out-pin.get", "[method]digital-out-pin.set-active"]), Ok(Some(0)));
        assert_eq!(narrowed(&["[method]digital-out-pin.set-active", "fly"]), Err(1));
        assert_eq!(narrowed(&["get-digital-out", "[static]digital-out-pin.get"]), Err(1), "no draft has both");
    }

    #[test]
    fn versions_of_0_2_are_its_patches() {
        fn is_0_2(module: &str) -> bool {
            Import::parse(module).unwrap().is_0_2()
        }
        assert!(is_0_2("wasi:clocks/wall-clock@0.2.0") && is_0_2("wasi:clocks/wall-clock@0.2.17"));
        for other in ["", "@", "@0.2", "@0.2.", "@0.3.0", "@0.2.0-rc-2023-11-10", "@1.2.0"] {
            assert!(!is_0_2(&alloc::format!("wasi:clocks/wall-clock{other}")), "{other}");
        }
    }
}
