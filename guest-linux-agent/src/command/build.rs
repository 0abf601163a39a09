//! `emit build`: from a folder to a packed container.

use serde_json::json;

use super::{
    Context,
    pack::{Packed, place_of},
    print,
};
use crate::{
    arguments::Build,
    exit::Failure,
    kit::{
        app::{App, FILE_NAME},
        project::Project,
    },
    module,
    session::{Error, Result},
    terminal,
};

pub(super) fn build(context: &Context, arguments: &Build) -> Result<u8> {
    let app_path = arguments.folder.join(FILE_NAME);
    let app = App::read(&app_path)?;
    let project = Project::find(&arguments.folder, &app)?;
    let progress = |toolchain: &str| {
        if !context.json() {
            terminal::note(&format!("building {} with {toolchain}", app.manifest.name));
        }
    };
    let built = project.build(&arguments.folder, &app.manifest.name, progress)?;
    let module = module::from_bytes(built.module).map_err(|error| {
        Error::new(Failure::Source, format!("the compiler's module cannot be used: {}", error.message))
    })?;
    let packed = Packed::make(&module, &app, place_of(&app, &app_path))?;
    let mut value = packed.json();
    if let Some(fields) = value.as_object_mut() {
        fields.insert("language".into(), json!(project.recipe.language()));
        fields.insert("toolchain".into(), json!(built.toolchain));
    }
    print(context, &value, &packed.text())?;
    Ok(0)
}
