//! What packagers and shells want: completion scripts and man pages, both from the same description of the commands.

use std::{fs, io, path::Path};

use clap::CommandFactory;

use crate::{
    arguments::CommandLine,
    exit::Failure,
    session::{Error, Result},
    terminal,
};

/// `emit completions SHELL`.
pub(super) fn completions(shell: clap_complete::Shell) -> Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut CommandLine::command(), "emit", &mut script);
    terminal::output(&script)?;
    Ok(0)
}

/// `emit man DIRECTORY`: `emit.1`, `emit-deploy.1`, ….
pub(super) fn man_pages(directory: &Path) -> Result<u8> {
    let failed = |error: io::Error| {
        Error::new(Failure::File, format!("cannot write man pages into {}: {error}", directory.display()))
    };
    fs::create_dir_all(directory).map_err(failed)?;
    clap_mangen::generate_to(CommandLine::command(), directory).map_err(failed)?;
    Ok(0)
}
