//! The protection domains' programs: compiled from `pd/`, and put where the Microkit tool looks for them.

use std::collections::BTreeSet;
use std::fs::{self, File};
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
    if flags.is_empty() {
        begin_as_a_copy(&target_folder);
    }
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

/// Lets a target folder that is not there yet begin as a copy of one beside it, so that what does not know of the kernel is
/// compiled once for all boards and configurations: core, the interpreter, and the tools of the build, which are most of it.
///
/// What was made of the kernel's headers is forgotten in the copy, so cargo makes it anew, and everything that uses it. Where
/// no copy can be made, all is compiled.
fn begin_as_a_copy(target_folder: &Path) {
    if target_folder.exists() {
        return;
    }
    let beside = target_folder.parent().and_then(|parent| parent.read_dir().ok()).into_iter().flatten().flatten();
    let whole = beside.filter(|entry| !entry.file_name().to_string_lossy().starts_with(UNFINISHED));
    // In the order of their names, which is as good as any, and always the same.
    let folders: BTreeSet<PathBuf> = whole.map(|entry| entry.path()).collect();
    let _ = folders.iter().find_map(|folder| copy_of_a_build(folder, target_folder));
}

/// How the name of a copy begins that is not whole yet.
const UNFINISHED: &str = ".copy-";

/// Copies a target folder that nobody builds in, without what was made of the kernel's headers; `None` where it is no such folder.
fn copy_of_a_build(from: &Path, to: &Path) -> Option<()> {
    /// As rust-sel4 calls its crates; all that look at the headers are among them.
    const OF_THE_KERNEL: &str = "sel4";
    // Of what runs on the target, and of what runs while it is built.
    let built = [Path::new(TARGET).join("release"), PathBuf::from("release")];
    // Nobody builds there now, or begins to: shared with others who read.
    let locks = built.iter().map(|part| File::open(from.join(part).join(".cargo-lock")).ok());
    let locks = locks.collect::<Option<Vec<File>>>()?;
    locks.iter().try_for_each(File::try_lock_shared).ok()?;
    // Under another name until it is whole, and gone where it does not come to that.
    let copy = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(to.parent()?).ok()?;
    // With its time stamps, by which cargo tells what is fresh.
    let copied = Command::new("cp").arg("-a").arg(from.join(".")).arg(copy.path()).status().ok()?;
    copied.success().then_some(())?;
    for part in built {
        let known = copy.path().join(part).join(".fingerprint").read_dir().ok()?.flatten();
        let to_forget = known.filter(|entry| entry.file_name().to_string_lossy().starts_with(OF_THE_KERNEL));
        let forgotten = to_forget.map(|entry| fs::remove_dir_all(entry.path()).ok()).collect::<Option<Vec<()>>>()?;
        // Where there is none, cargo keeps them elsewhere, and the copy is not to be trusted.
        forgotten.first()?;
    }
    fs::rename(copy.path(), to).ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A target folder in which two crates were compiled, for the target as for the host.
    fn build_in(folder: &Path, crates: [&str; 2]) {
        for part in [Path::new(TARGET).join("release"), PathBuf::from("release")] {
            let part = folder.join(part);
            for name in crates {
                fs::create_dir_all(part.join(".fingerprint").join(name)).expect("made");
                fs::write(part.join(name), name).expect("written");
            }
            File::create(part.join(".cargo-lock")).expect("made");
        }
    }

    #[test]
    fn a_folder_begins_with_what_does_not_know_of_the_kernel() {
        let targets = tempfile::tempdir().expect("a temporary folder");
        let [of_a_board, of_another] = ["debug", "release"].map(|name| targets.path().join(name));
        build_in(&of_a_board, ["sel4-sys-1", "wasmi-2"]);
        build_in(&targets.path().join(".copy-of-somebody"), ["sel4-sys-1", "wasmi-3"]);
        begin_as_a_copy(&of_another);
        for part in [Path::new(TARGET).join("release"), PathBuf::from("release")] {
            let known = of_another.join(&part).join(".fingerprint");
            assert!(known.join("wasmi-2").exists() && !known.join("sel4-sys-1").exists(), "{part:?}");
            let written = |folder: &Path| folder.join(&part).join("wasmi-2").metadata()?.modified();
            assert_eq!(written(&of_another).expect("copied"), written(&of_a_board).expect("there"), "{part:?}");
        }
        // What is there stays as it is.
        fs::remove_dir_all(of_another.join(TARGET)).expect("removed");
        begin_as_a_copy(&of_another);
        assert!(!of_another.join(TARGET).exists());
    }

    #[test]
    fn what_is_being_built_or_looks_otherwise_is_not_copied() {
        let targets = tempfile::tempdir().expect("a temporary folder");
        let [of_a_board, of_another] = ["debug", "release"].map(|name| targets.path().join(name));
        begin_as_a_copy(&of_another);
        assert!(!of_another.exists(), "of nothing");
        build_in(&of_a_board, ["sel4-sys-1", "wasmi-2"]);
        let lock = File::open(of_a_board.join("release/.cargo-lock")).expect("there");
        lock.lock().expect("locked");
        begin_as_a_copy(&of_another);
        assert!(!of_another.exists(), "somebody builds there");
        drop(lock);
        for part in [TARGET, "."] {
            let known = of_a_board.join(part).join("release/.fingerprint/sel4-sys-1");
            fs::rename(&known, known.with_file_name("else-1")).expect("renamed");
        }
        begin_as_a_copy(&of_another);
        assert!(!of_another.exists(), "nothing there is the kernel's");
        assert_eq!(targets.path().read_dir().expect("read").count(), 1, "nothing is left lying about");
    }
}
