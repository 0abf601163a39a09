//! Finds the compilers of this machine that can make WebAssembly, says exactly which, and runs them.
//!
//! It exists because there are several ways to a Rust standard library for Wasm (a rustup target, or sources beside a compiler)
//! and because bytes can be compared only between equal toolchains: what a [`Toolchain`] says of itself is what the manifest
//! records. It trusts the tools that it runs, and none of the caller's compiler flags.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use sha2::{Digest as _, Sha256};

use crate::{Job, Missing, Recipe, exports};

/// The stack of a reactor and of a small C command: one quarter of a page, so that with its data it needs a single page.
const SMALL_STACK_BYTES: usize = 16 * 1024;
/// The stack of a larger command: one page. Rust's `std` formats into buffers on the stack; its default is 16 pages, Zig's 256.
const COMMAND_STACK_BYTES: usize = 64 * 1024;
/// Where Debian's `wasi-libc` puts the C library for WASI, and its start file for commands.
const WASI_LIBRARY: &str = "/usr/lib/wasm32-wasi";
const WASI_START: &str = "crt1-command.o";
/// Where Debian's packages put their Rust compiler, beside one by rustup that `PATH` may name first.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// A way from source to module.
#[derive(Debug)]
pub struct Toolchain {
    recipe: Recipe,
    description: String,
    tools: Tools,
}

#[derive(Debug)]
enum Tools {
    Rust(Rust),
    Clang,
    /// The program.
    AssemblyScript(PathBuf),
    /// The program and what comes before its own arguments.
    Zig(&'static [&'static str]),
    Text,
}

/// A Rust compiler and its standard library for the target.
#[derive(Debug)]
struct Rust {
    rustc: PathBuf,
    sysroot: PathBuf,
    /// None: the library is installed for the target. Else it is built from source and linked by this linker.
    linker_for_source: Option<PathBuf>,
}

impl Toolchain {
    /// The toolchain for a recipe: the one that describes itself as `preferred`, else the first that is here. AssemblyScript's
    /// is looked for in `project` first.
    ///
    /// # Errors
    /// A file of a toolchain that is there cannot be read. That there is none is [`Missing`].
    pub fn find(recipe: Recipe, preferred: Option<&str>, project: &Path) -> Result<Result<Self, Missing>> {
        let mut found = match recipe {
            Recipe::Text => vec![text()],
            Recipe::CCommand | Recipe::CReactor => clang(recipe)?.into_iter().collect(),
            Recipe::ZigCommand(_) => zig(recipe).into_iter().collect(),
            Recipe::AssemblyScript => assembly_script(project).into_iter().collect(),
            Recipe::RustCommand | Recipe::RustReactor | Recipe::Published { .. } => rust(recipe)?,
        };
        if found.is_empty() {
            return Ok(Err(missing(recipe)));
        }
        let position = found.iter().position(|toolchain| Some(toolchain.description()) == preferred).unwrap_or(0);
        Ok(Ok(found.swap_remove(position)))
    }

    /// Name and version of everything that decides the bytes.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Builds a module and answers it as the compiler made it.
    ///
    /// # Errors
    /// The compiler's last words, or a file that cannot be read or written.
    pub fn build(&self, job: &Job<'_>) -> Result<Vec<u8>> {
        fs::create_dir_all(job.output).with_context(|| format!("cannot make {}", job.output.display()))?;
        let linked = job.output.join(format!("{}.linked.wasm", job.name));
        match &self.tools {
            Tools::Text => Ok(wat::parse_file(job.source)?),
            Tools::Clang => compile_c(self.recipe, job, &linked),
            Tools::Zig(zig) => compile_with_zig(zig, job.source, job.output, &linked),
            Tools::AssemblyScript(compiler) => compile_assembly_script(compiler, job, &linked),
            Tools::Rust(tools) => match self.recipe {
                Recipe::Published { package, version } => {
                    tools.install(self.recipe, package, version, job.name, job.output)
                }
                recipe => tools.compile(recipe, job, &job.output.join("cargo")),
            },
        }
    }
}

fn missing(recipe: Recipe) -> Missing {
    let (what, get) = match recipe {
        Recipe::RustCommand | Recipe::Published { .. } => (
            "no Rust compiler here has a standard library for wasm32-wasip1",
            "`rustup target add wasm32-wasip1`, or on Debian 12 `apt-get install rustc-web rust-web-src wasi-libc lld`",
        ),
        Recipe::RustReactor => (
            "no Rust compiler here has a core library for wasm32-unknown-unknown",
            "`rustup target add wasm32-unknown-unknown`, or on Debian 12 `apt-get install rustc-web rust-web-src lld`",
        ),
        Recipe::CCommand => (
            "clang, wasm-ld or a C library for wasm32-wasi is missing",
            "`apt-get install clang lld wasi-libc libclang-rt-14-dev-wasm32`",
        ),
        Recipe::CReactor => ("clang or wasm-ld is missing", "`apt-get install clang lld`"),
        Recipe::ZigCommand(_) => ("zig is missing", "`pip install ziglang`"),
        Recipe::AssemblyScript => (
            "asc, the compiler of AssemblyScript, is missing",
            "`npm install` in the container's folder, or `npm install --global assemblyscript`",
        ),
        Recipe::Text => ("nothing is missing for WAT", "nothing"),
    };
    Missing { what, get }
}

fn text() -> Toolchain {
    // Its version stands in the lock file, and the text decides every byte anyhow.
    Toolchain { recipe: Recipe::Text, description: "the `wat` crate".to_owned(), tools: Tools::Text }
}

fn clang(recipe: Recipe) -> Result<Option<Toolchain>> {
    let (Some(compiler), Some(linker)) = (version("clang", &[]), version("wasm-ld", &[])) else {
        return Ok(None);
    };
    let mut description = format!("{compiler}; {linker}");
    if recipe == Recipe::CCommand {
        let library = Path::new(WASI_LIBRARY).join("libc.a");
        let builtins = said("clang", &["--target=wasm32-wasi", "-print-libgcc-file-name"]).unwrap_or_default();
        if !library.is_file() || !Path::new(&builtins).is_file() {
            return Ok(None);
        }
        description.push_str("; ");
        description.push_str(&wasi_library_name(&library)?);
    }
    Ok(Some(Toolchain { recipe, description, tools: Tools::Clang }))
}

/// wasi-libc does not say its version, so its digest stands for it.
fn wasi_library_name(library: &Path) -> Result<String> {
    let digest = Sha256::digest(read(library)?);
    let head: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("wasi-libc with libc.a {head}"))
}

fn compile_c(recipe: Recipe, job: &Job<'_>, linked: &Path) -> Result<Vec<u8>> {
    let mut command = Command::new("clang");
    command.args([
        "-std=gnu11",
        "-Os",
        "-flto",
        "-Wall",
        "-Wextra",
        "-s",
        &format!("-Wl,-zstack-size={SMALL_STACK_BYTES}"),
    ]);
    if job.strict {
        command.arg("-Werror");
    }
    if recipe == Recipe::CCommand {
        command.arg("--target=wasm32-wasi");
    } else {
        command.args(["--target=wasm32", "-ffreestanding", "-nostdlib", "-Wl,--no-entry"]);
    }
    run(command.arg("-o").arg(linked).arg(job.source))?;
    read(linked)
}

/// AssemblyScript's compiler as the project has it, else as the machine has it.
fn assembly_script(project: &Path) -> Option<Toolchain> {
    let ways = [project.join("node_modules/.bin/asc"), PathBuf::from("asc")];
    ways.into_iter().find_map(|compiler| {
        let version = said(&compiler, &["--version"])?;
        let description = format!("asc {}", version.trim_start_matches("Version "));
        Some(Toolchain { recipe: Recipe::AssemblyScript, description, tools: Tools::AssemblyScript(compiler) })
    })
}

fn compile_assembly_script(compiler: &Path, job: &Job<'_>, linked: &Path) -> Result<Vec<u8>> {
    let mut command = Command::new(compiler);
    // Small, never freed, and `abort` is a trap: nothing of JavaScript is imported.
    command.current_dir(job.project).args(["--optimize", "--runtime", "stub", "--use", "abort=", "--noAssert"]);
    run(command.arg("--outFile").arg(linked).arg(job.source))?;
    exports::renamed(&read(linked)?, &exports::HOOKS)
}

/// Zig under its own name, or as the package of Python's that carries it.
fn zig(recipe: Recipe) -> Option<Toolchain> {
    const WAYS: [&[&str]; 2] = [&["zig"], &["python3", "-m", "ziglang"]];
    WAYS.into_iter().find_map(|zig| {
        let (program, before) = zig.split_first()?;
        let version = said(program, &[before, &["version"]].concat())?;
        Some(Toolchain { recipe, description: format!("zig {version}"), tools: Tools::Zig(zig) })
    })
}

fn compile_with_zig(zig: &[&str], source: &Path, output: &Path, linked: &Path) -> Result<Vec<u8>> {
    let (program, before) = zig.split_first().context("a way to call zig names a program")?;
    let mut command = Command::new(program);
    // Warnings are its author's affair: the source is not ours to change. It is older than ANSI C.
    command.args(before).args(["cc", "--target=wasm32-wasi", "-std=gnu89", "-Oz", "-s", "-w"]);
    command.arg(format!("-Wl,--stack,{COMMAND_STACK_BYTES}"));
    for cache in ["ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"] {
        command.env(cache, output.join("zig"));
    }
    run(command.arg("-o").arg(linked).arg(source))?;
    read(linked)
}

/// Every Rust toolchain here that can build for the recipe's target.
fn rust(recipe: Recipe) -> Result<Vec<Toolchain>> {
    let mut found: Vec<Toolchain> = Vec::new();
    for rustc in [Path::new("rustc"), Path::new(DEBIAN_RUSTC)] {
        for toolchain in rust_with(rustc, recipe)? {
            if found.iter().all(|other| other.description != toolchain.description) {
                found.push(toolchain);
            }
        }
    }
    Ok(found)
}

/// What one compiler offers: its installed library for the target, and its library's sources.
fn rust_with(rustc: &Path, recipe: Recipe) -> Result<Vec<Toolchain>> {
    let (Some(version), Some(sysroot)) = (version(rustc, &[]), said(rustc, &["--print=sysroot"])) else {
        return Ok(Vec::new());
    };
    let (rustc, sysroot) = (rustc.to_path_buf(), PathBuf::from(sysroot));
    let mut found = Vec::new();
    let installed = said(&rustc, &["--print=target-libdir", "--target", target(recipe)]).map(PathBuf::from);
    if installed.is_some_and(|libraries| has_core(&libraries)) {
        let tools = Rust { rustc: rustc.clone(), sysroot: sysroot.clone(), linker_for_source: None };
        let description = format!("{version}, installed target {}", target(recipe));
        found.push(Toolchain { recipe, description, tools: Tools::Rust(tools) });
    }
    let library = Path::new(WASI_LIBRARY).join("libc.a");
    let complete = recipe == Recipe::RustReactor || library.is_file();
    if library_sources(&sysroot).join("Cargo.lock").is_file()
        && complete
        && let Some((linker, linker_version)) = rust_linker(&sysroot)
    {
        let mut description = format!("{version}, std built from source; {linker_version}");
        if is_command(recipe) {
            description.push_str("; ");
            description.push_str(&wasi_library_name(&library)?);
        }
        let tools = Rust { rustc, sysroot, linker_for_source: Some(linker) };
        found.push(Toolchain { recipe, description, tools: Tools::Rust(tools) });
    }
    Ok(found)
}

fn is_command(recipe: Recipe) -> bool {
    matches!(recipe, Recipe::RustCommand | Recipe::Published { .. })
}

fn target(recipe: Recipe) -> &'static str {
    if is_command(recipe) { "wasm32-wasip1" } else { "wasm32-unknown-unknown" }
}

fn has_core(libraries: &Path) -> bool {
    let is_core = |name: &OsStr| name.to_string_lossy().starts_with("libcore-");
    fs::read_dir(libraries).is_ok_and(|entries| entries.flatten().any(|entry| is_core(&entry.file_name())))
}

fn library_sources(sysroot: &Path) -> PathBuf {
    sysroot.join("lib/rustlib/src/rust/library")
}

/// A linker for Wasm: the compiler's own, that of the compiler which `PATH` names, or the system's; with its version.
fn rust_linker(sysroot: &Path) -> Option<(PathBuf, String)> {
    let first_on_path = said("rustc", &["--print=sysroot"]).map(PathBuf::from);
    for sysroot in [Some(sysroot.to_path_buf()), first_on_path].into_iter().flatten() {
        for host in fs::read_dir(sysroot.join("lib/rustlib")).into_iter().flatten().flatten() {
            let linker = host.path().join("bin/rust-lld");
            if let Some(version) = version(&linker, &["-flavor", "wasm"]) {
                return Some((linker, version));
            }
        }
    }
    version("wasm-ld", &[]).map(|version| (PathBuf::from("wasm-ld"), version))
}

impl Rust {
    /// Builds a package with cargo.
    fn compile(&self, recipe: Recipe, job: &Job<'_>, target_folder: &Path) -> Result<Vec<u8>> {
        let mut flags = self.flags(recipe);
        let stack_bytes = if is_command(recipe) { COMMAND_STACK_BYTES } else { SMALL_STACK_BYTES };
        flags.push(OsString::from(format!("-Clink-arg=-zstack-size={stack_bytes}")));
        // Paths would end up in panic messages, and so in the bytes.
        flags.push(replace_path(&job.hidden.0.canonicalize()?, job.hidden.1));
        flags.push(replace_path(&cargo_home()?, "cargo"));
        flags.push(replace_path(&self.sysroot.join("lib/rustlib/src/rust"), "rust"));
        let mut command = self.cargo("build", recipe, target_folder, &flags);
        command.current_dir(job.project).args(["--release", "--message-format=json-render-diagnostics"]);
        if job.strict {
            command.arg("--locked");
        }
        if let Some(package) = job.package {
            command.args(["--package", package]);
        }
        let messages = run(&mut command)?;
        read(
            &module_of(&messages)
                .context("cargo built no .wasm: the package needs `crate-type = [\"cdylib\"]` or a `main`")?,
        )
    }

    /// Builds a published program as its users do, but for Wasm.
    fn install(&self, recipe: Recipe, package: &str, version: &str, name: &str, output: &Path) -> Result<Vec<u8>> {
        let mut flags = self.flags(recipe);
        // Of the published package's profile we only take what the target cannot do.
        flags.push(OsString::from("-Cpanic=abort"));
        let root = output.join("published");
        let mut command = self.cargo("install", recipe, &output.join("cargo-published"), &flags);
        command.arg("--locked").arg(format!("{package}@{version}")).arg("--force").arg("--root").arg(&root);
        run(&mut command)?;
        read(&root.join("bin").join(name).with_extension("wasm"))
    }

    /// Cargo, told to build for the recipe's target with this toolchain and these flags only.
    fn cargo(&self, verb: &str, recipe: Recipe, target_folder: &Path, flags: &[OsString]) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
        command.args([verb, "--quiet", "--target", target(recipe)]);
        command.arg("--target-dir").arg(target_folder);
        if self.linker_for_source.is_some() {
            let crates = if is_command(recipe) { "std,panic_abort" } else { "core,alloc,panic_abort" };
            command.arg(format!("-Zbuild-std={crates}")).arg("-Zbuild-std-features=optimize_for_size");
            // `build-std` is unstable; this is how a stable compiler is asked for it.
            command.env("RUSTC_BOOTSTRAP", "1");
        }
        // The caller's settings must not reach these modules: they would no longer be what the manifest says.
        let settings = [
            "RUSTFLAGS",
            "CARGO_BUILD_TARGET",
            "CARGO_BUILD_RUSTFLAGS",
            // Divides a crate's code otherwise, and orders it so.
            "CARGO_INCREMENTAL",
            "RUSTC_WORKSPACE_WRAPPER",
            "LED_LABEL",
        ];
        for variable in settings {
            command.env_remove(variable);
        }
        command.env("RUSTC", &self.rustc).env("RUSTC_WRAPPER", "");
        // Separated as Cargo wants them here.
        command.env("CARGO_ENCODED_RUSTFLAGS", flags.join(OsStr::new("\u{1f}")));
        command
    }

    /// What it takes to link where the standard library is not an installed one.
    fn flags(&self, recipe: Recipe) -> Vec<OsString> {
        let Some(linker) = &self.linker_for_source else {
            return Vec::new();
        };
        let mut linker_flag = OsString::from("-Clinker=");
        linker_flag.push(linker);
        let mut flags = vec![linker_flag];
        if is_command(recipe) {
            flags.push(OsString::from("-Clink-self-contained=no"));
            flags.push(OsString::from(format!("-Lnative={WASI_LIBRARY}")));
            flags.push(OsString::from(format!("-Clink-arg={WASI_LIBRARY}/{WASI_START}")));
        }
        flags
    }
}

fn replace_path(path: &Path, with: &str) -> OsString {
    let mut flag = OsString::from("--remap-path-prefix=");
    flag.push(path);
    flag.push(format!("={with}"));
    flag
}

fn cargo_home() -> Result<PathBuf> {
    match env::var_os("CARGO_HOME") {
        Some(home) => Ok(PathBuf::from(home)),
        None => Ok(env::home_dir().context("this user has no home folder, so Cargo's cannot be found")?.join(".cargo")),
    }
}

/// The first line of `--version`, or none if the program is not here.
fn version(program: impl AsRef<OsStr>, before: &[&str]) -> Option<String> {
    let mut arguments = before.to_vec();
    arguments.push("--version");
    let text = said(program, &arguments)?;
    let line = text.lines().next()?;
    // Some linkers add the folder in which they were built.
    Some(line.split_once(" (/").map_or(line, |(name, _)| name).to_owned())
}

/// What a program printed, trimmed, or none if it is not here or failed.
fn said(program: impl AsRef<OsStr>, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The last module that cargo says it made: that of the package, behind those of its dependencies.
fn module_of(messages: &str) -> Option<PathBuf> {
    let messages = messages.lines().rev().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut artifacts = messages.filter(|message| message["reason"] == "compiler-artifact");
    artifacts.find_map(|artifact| {
        let files = artifact["filenames"].as_array()?.iter().filter_map(serde_json::Value::as_str);
        files.map(PathBuf::from).find(|file| file.extension().is_some_and(|ending| ending == "wasm"))
    })
}

/// Runs a command and answers what it printed; its last words are the error.
fn run(command: &mut Command) -> Result<String> {
    /// As many as a compiler's last message usually takes.
    const LAST_LINES: usize = 30;
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot run {program}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = words.lines().collect();
    let last = lines.get(lines.len().saturating_sub(LAST_LINES)..).unwrap_or_default().join("\n");
    bail!("{program} failed ({}):\n{last}", output.status)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_is_the_last_that_cargo_names() {
        let messages = r#"{"reason":"compiler-artifact","filenames":["/t/libdep.rlib"]}
{"reason":"compiler-artifact","filenames":["/t/a.wasm"]}
{"reason":"compiler-artifact","filenames":["/t/b.d","/t/b.wasm"]}
{"reason":"build-finished","success":true}"#;
        assert_eq!(module_of(messages), Some(PathBuf::from("/t/b.wasm")));
        assert_eq!(module_of("{}\nnothing"), None);
    }

    #[test]
    fn what_is_missing_comes_with_a_command() {
        let recipes = [
            Recipe::RustCommand,
            Recipe::RustReactor,
            Recipe::CCommand,
            Recipe::CReactor,
            Recipe::ZigCommand("x.c"),
            Recipe::AssemblyScript,
        ];
        for recipe in recipes {
            let said = missing(recipe).to_string();
            assert!(said.contains("get it with `"), "{said}");
        }
        assert!(Toolchain::find(Recipe::Text, None, Path::new(".")).expect("looked").is_ok());
    }

    #[test]
    fn a_failing_tool_is_quoted() {
        let error = run(Command::new("sh").args(["-c", "echo a word >&2; exit 3"])).expect_err("it failed");
        assert!(error.to_string().contains("a word"), "{error}");
        assert!(run(&mut Command::new("/nonexistent/compiler")).is_err());
    }
}
