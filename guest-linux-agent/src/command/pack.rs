//! `emit pack`: a module, `app.toml` and files become one container.

use std::{
    fs,
    path::{Path, PathBuf},
};

use indicatif::HumanBytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Context, print};
use crate::{
    arguments::Pack,
    exit::Failure,
    kit::app::{App, FILE_NAME},
    module::{self, Module},
    session::{Error, Result},
    show,
};

pub(super) fn pack(context: &Context, arguments: &Pack) -> Result<u8> {
    let module = module::read_unpacked(&arguments.file)?;
    let app_path = match &arguments.app {
        Some(path) => path.clone(),
        None => beside(&arguments.file)?,
    };
    let app = App::read(&app_path)?;
    let output = arguments.output.clone().unwrap_or_else(|| place_of(&app, &app_path));
    let packed = Packed::make(&module, &app, output)?;
    print(context, &packed.json(), &packed.text())?;
    Ok(0)
}

fn beside(file: &Path) -> Result<PathBuf> {
    let path = file.with_file_name(FILE_NAME);
    if path.is_file() {
        return Ok(path);
    }
    let message = format!("there is no {}", path.display());
    Err(Error {
        hint: "name the right one with --app FILE; `name = \"NAME\"` is enough for a first",
        ..Error::new(Failure::File, message)
    })
}

/// `NAME.wasm` beside `app.toml`.
pub(super) fn place_of(app: &App, app_path: &Path) -> PathBuf {
    app_path.with_file_name(format!("{}.wasm", app.manifest.name))
}

/// A container that was written.
pub(super) struct Packed {
    pub(super) path: PathBuf,
    name: String,
    bytes: usize,
    sha256: String,
    files: Vec<(String, usize)>,
    grants: Vec<String>,
    from_component: bool,
}

impl Packed {
    /// Puts it together and writes it.
    pub(super) fn make(module: &Module, app: &App, path: PathBuf) -> Result<Self> {
        let contents = app.contents()?;
        let borrowed: Vec<_> = contents.iter().map(|(path, bytes)| (*path, bytes.as_slice())).collect();
        let bytes = runner_container::embed(&module.bytes, &app.manifest, &borrowed).map_err(|error| {
            let failure = match error {
                runner_container::EmbedError::Module(_) => Failure::ContainerRefused,
                _ => Failure::Source,
            };
            Error::new(failure, error.to_string())
        })?;
        fs::write(&path, &bytes)
            .map_err(|error| Error::new(Failure::File, format!("cannot write {}: {error}", path.display())))?;
        Ok(Self {
            path,
            name: app.manifest.name.clone(),
            bytes: bytes.len(),
            sha256: show::hexadecimal(&Sha256::digest(&bytes)),
            files: contents.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.len())).collect(),
            grants: app.manifest.grants.clone(),
            from_component: module.from_component,
        })
    }

    pub(super) fn json(&self) -> Value {
        let files: Vec<Value> =
            self.files.iter().map(|(path, bytes)| json!({ "path": path, "bytes": bytes })).collect();
        json!({
            "packed": self.path.display().to_string(),
            "name": self.name,
            "bytes": self.bytes,
            "sha256": self.sha256,
            "component": self.from_component,
            "files": files,
            "grants": self.grants,
        })
    }

    pub(super) fn text(&self) -> String {
        let files = match self.files.len() {
            0 => String::new(),
            1 => ", 1 file".to_owned(),
            count => format!(", {count} files"),
        };
        format!("{}: {} packed{files}, {}\n", self.path.display(), self.name, HumanBytes(self.bytes as u64))
    }
}
