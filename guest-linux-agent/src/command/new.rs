//! `emit new`: the folder of a container that builds and runs as it is.

use std::{fs, path::Path};

use serde_json::json;

use super::{Context, print};
use crate::{
    arguments::New,
    exit::Failure,
    kit::template,
    session::{Error, Result},
};

pub(super) fn new(context: &Context, arguments: &New) -> Result<u8> {
    let folder = Path::new(&arguments.name);
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or("");
    runner_container::check_name(name).map_err(|violation| {
        Error::new(Failure::Usage, format!("`{name}` cannot be a container's name: {violation}"))
    })?;
    let is_rust = arguments.lang == crate::arguments::Language::Rust;
    if is_rust && (name.contains('.') || name.starts_with(|first: char| first.is_ascii_digit())) {
        let message = format!("`{name}` cannot be a Rust package's name: it begins with a letter and has no `.`");
        return Err(Error::new(Failure::Usage, message));
    }
    if folder.exists() {
        let message = format!("{} is there already", folder.display());
        return Err(Error { hint: "choose another name, or remove it", ..Error::new(Failure::File, message) });
    }
    let files = template::files(name, arguments.lang, arguments.world);
    for (path, text) in &files {
        write(&folder.join(path), text)?;
    }
    let paths: Vec<_> = files.iter().map(|(path, _)| path.as_str()).collect();
    let value = json!({ "name": name, "folder": folder.display().to_string(), "files": paths });
    let npm = if paths.contains(&"package.json") { "npm install && " } else { "" };
    let folder = folder.display();
    let text = format!(
        "{folder}: {}\nnext: cd {folder} && {npm}emit build && emit run --on host {name}.wasm\n",
        paths.join(", ")
    );
    print(context, &value, &text)?;
    Ok(0)
}

fn write(path: &Path, text: &str) -> Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent)
        .and_then(|()| fs::write(path, text))
        .map_err(|error| Error::new(Failure::File, format!("cannot write {}: {error}", path.display())))
}
