//! The protection domains' programs: compiled from `pd/`, and put where the Microkit tool looks for them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use pd_system_description::{Domain, System};

use super::{BootImageOptions, Variant, read, restart, write};
use crate::sdk::BoardFiles;

/// The bare target; its C library, floating point and atomics are what seL4's user level has.
const TARGET: &str = "aarch64-unknown-none";

/// seL4 leaves alignment checks off, and the interpreter reads its code unaligned: byte by byte it would be four times
/// slower. The compiler warns that the feature is unknown to it; LLVM knows it.
const FLAGS: &str = "-Ctarget-feature=-strict-align";

/// Compiles the workspace in `pd/`; answers the folders of its programs. What is in one hides what is in those behind it.
pub(super) fn compile(options: &BootImageOptions, board: &BoardFiles) -> Result<Vec<PathBuf>> {
    let left_out = Variant::NO_PRODUCTS.iter().flat_map(|program| ["--exclude", program]);
    let all: Vec<&str> = ["--workspace"].into_iter().chain(left_out).collect();
    let mut folders = vec![build(options, board, &all, "", "")?];
    if let Some((program, flags)) = options.variant.own_program() {
        // Other flags compile everything anew, and so get a folder of their own.
        let suffix = if flags.is_empty() { "" } else { options.variant.suffix() };
        folders.insert(0, build(options, board, &["--package", program], flags, suffix)?);
    }
    Ok(folders)
}

/// Compiles `packages` with `flags` beside those that every program needs.
fn build(
    options: &BootImageOptions,
    board: &BoardFiles,
    packages: &[&str],
    flags: &str,
    suffix: &str,
) -> Result<PathBuf> {
    // The kernel's headers decide the code, so each board and configuration keeps its own.
    let target_folder = format!("{}-{}{suffix}", options.board.name(), options.configuration);
    let target_folder = options.workspace.join("target/pd").join(target_folder);
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--release", "--target", TARGET])
        .args(packages)
        .args(["-Zbuild-std=core,alloc,compiler_builtins", "-Zbuild-std-features=compiler-builtins-mem"])
        .arg("--target-dir")
        .arg(&target_folder)
        .current_dir(options.workspace.join("pd"))
        .env("RUSTC", &options.toolchain.rustc)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_AARCH64_UNKNOWN_NONE_LINKER", &options.toolchain.linker)
        .env("CARGO_TARGET_AARCH64_UNKNOWN_NONE_RUSTFLAGS", format!("{FLAGS} {flags}").trim_end())
        .env("LIBCLANG_PATH", &options.toolchain.libclang)
        .env("SEL4_INCLUDE_DIRS", board.include())
        // cargo's own git cannot be told of mirrors.
        .env("CARGO_NET_GIT_FETCH_WITH_CLI", "true")
        // Set by a cargo or a person around us for the host's compiler, and wrong for this one.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("LD_LIBRARY_PATH")
        .status()
        .context("cannot start cargo")?;
    ensure!(status.success(), "the protection domains do not compile");
    Ok(target_folder.join(TARGET).join("release"))
}

/// Puts every program that `system` names into `folder`; those of children learn what their restart restores.
pub(super) fn place(programs: &[PathBuf], system: &System, board: &BoardFiles, folder: &Path) -> Result<()> {
    let names: BTreeSet<&str> = system.domains.iter().filter_map(|domain| domain.image.as_deref()).collect();
    for name in names {
        let Some(program) = name.strip_suffix(".elf") else {
            bail!("system.xml names the program `{name}`; their names end in `.elf`");
        };
        let found = programs.iter().map(|folder| folder.join(program)).find(|path| path.exists());
        let mut bytes = read(&found.with_context(|| format!("`{program}` was not compiled"))?)?;
        let users: Vec<&Domain> =
            system.domains.iter().filter(|domain| domain.image.as_deref() == Some(name)).collect();
        if users.iter().all(|domain| domain.parent.is_some()) {
            restart::fill_in(&mut bytes, &users, system, board.last_user_address()?)
                .with_context(|| format!("{name} cannot be made to restart clean"))?;
        }
        write(&folder.join(name), &bytes)?;
    }
    Ok(())
}
