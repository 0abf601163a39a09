//! A container's folder: in which language it is, and from there to its module.

use std::{
    fs,
    path::{Path, PathBuf},
};

use runner_container::World;
use wasm_toolchain::{Job, Recipe, Toolchain};

use super::app::App;
use crate::{
    exit::Failure,
    session::{Error, Result},
};

/// What a folder is built from.
#[derive(Debug)]
pub(crate) struct Project {
    pub(crate) recipe: Recipe,
    source: PathBuf,
}

fn wrong(message: impl Into<String>, hint: &'static str) -> Error {
    Error { hint, ..Error::new(Failure::Source, message) }
}

impl Project {
    /// Sees from what lies in the folder how it is built.
    pub(crate) fn find(folder: &Path, app: &App) -> Result<Self> {
        let there = |name: &str| folder.join(name).is_file();
        if there("Cargo.toml") {
            // A reactor is a library, and a program has a `main`; `world` in app.toml knows better.
            let command = app.manifest.world.map_or(there("src/main.rs"), |world| world == World::WasiCommand);
            let recipe = if command { Recipe::RustCommand } else { Recipe::RustReactor };
            return Ok(Self { recipe, source: folder.join(if command { "src/main.rs" } else { "src/lib.rs" }) });
        }
        if there("package.json") {
            return Ok(Self { recipe: Recipe::AssemblyScript, source: PathBuf::from("assembly/index.ts") });
        }
        let sources = sources(folder)?;
        let named =
            sources.iter().position(|path| path.file_stem().is_some_and(|stem| stem == app.manifest.name.as_str()));
        let source = match (named, sources.as_slice()) {
            (Some(named), _) => sources[named].clone(),
            (None, [only]) => only.clone(),
            (None, []) => {
                let message =
                    format!("{} has nothing to build: no Cargo.toml, package.json, .c or .wat", folder.display());
                return Err(wrong(message, "`emit new` makes a folder that builds"));
            }
            (None, _) => {
                let message =
                    format!("{} has several sources, and none is called {}", folder.display(), app.manifest.name);
                return Err(wrong(
                    message,
                    "call the one to build as the container, or build it yourself and `emit pack` the result",
                ));
            }
        };
        let is_text = source.extension().is_some_and(|ending| ending == "wat");
        let recipe = if is_text { Recipe::Text } else { of_c(&source, app)? };
        Ok(Self { recipe, source })
    }

    /// Builds it with a toolchain of this machine; `progress` is told with which.
    pub(crate) fn build(&self, folder: &Path, name: &str, progress: impl FnOnce(&str)) -> Result<Built> {
        let failed = |error: anyhow::Error| Error::new(Failure::Source, format!("{error:#}"));
        let folder = folder
            .canonicalize()
            .map_err(|error| Error::new(Failure::File, format!("cannot enter {}: {error}", folder.display())))?;
        let toolchain = match Toolchain::find(self.recipe, None, &folder).map_err(failed)? {
            Ok(toolchain) => toolchain,
            Err(missing) => {
                let message = format!(
                    "{} is the language, but {}\nget it with {}",
                    self.recipe.language(),
                    missing.what,
                    missing.get
                );
                return Err(wrong(message, "`emit build` finds it by itself once it is there"));
            }
        };
        progress(toolchain.description());
        let source = folder.join(self.source.file_name().map_or(Path::new(""), Path::new));
        let job = Job {
            project: &folder,
            hidden: (&folder, name),
            package: None,
            name,
            source: if self.recipe == Recipe::AssemblyScript { &self.source } else { &source },
            output: &folder.join("target/atoll"),
            strict: false,
        };
        let module = toolchain.build(&job).map_err(failed)?;
        Ok(Built { module, toolchain: toolchain.description().to_owned() })
    }
}

/// A module as its compiler made it.
pub(crate) struct Built {
    pub(crate) module: Vec<u8>,
    pub(crate) toolchain: String,
}

fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)
        .map_err(|error| Error::new(Failure::File, format!("cannot list {}: {error}", folder.display())))?;
    let is_source = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "c" || ending == "wat");
    let mut found: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(is_source).collect();
    found.sort();
    Ok(found)
}

/// C with a `main` needs a C library, and hooks none. `world` in app.toml decides; else it is looked for in the text.
fn of_c(source: &Path, app: &App) -> Result<Recipe> {
    Ok(match app.manifest.world {
        Some(World::Reactor) => Recipe::CReactor,
        Some(_) => Recipe::CCommand,
        None => {
            let text = fs::read_to_string(source)
                .map_err(|error| Error::new(Failure::File, format!("cannot read {}: {error}", source.display())))?;
            // The hook under the name that `atoll.h` gives it, or exported by hand.
            let has_hooks = ["atoll_on_loop", "\"on-loop\""].iter().any(|hook| text.contains(hook));
            if has_hooks { Recipe::CReactor } else { Recipe::CCommand }
        }
    })
}
