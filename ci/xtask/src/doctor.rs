//! `cargo xtask doctor`: what is there, what is missing, and the exact command that gets it.
//!
//! Installs only when asked, only from the machine's own package sources, and says each command that it runs.

use std::{fs, path::Path, process::Command};

use anyhow::{Result, bail};

use crate::process;

/// Something that part of Atoll needs.
struct Need {
    /// What it is.
    name: &'static str,
    /// What does not work without it.
    purpose: &'static str,
    /// What was found, or why nothing was.
    look: fn() -> Result<String>,
    /// Debian packages that provide it; `:arm64` ones need the architecture added.
    packages: &'static [&'static str],
    /// What a person does where packages do not help.
    otherwise: &'static str,
}

const NEEDS: &[Need] = &[
    Need {
        name: "Rust",
        purpose: "everything",
        look: rust,
        packages: &[],
        otherwise: "install Rust 1.95 or newer: see the Rust project's page",
    },
    Need {
        name: "QEMU for aarch64",
        purpose: "the guest, the system tests, `cargo xtask qemu`",
        look: || version("qemu-system-aarch64", "--version"),
        packages: &["qemu-system-arm", "ipxe-qemu"],
        otherwise: "install QEMU 8 or newer with aarch64",
    },
    Need {
        name: "static arm64 programs",
        purpose: "`emit` in the guest",
        look: arm64_programs,
        packages: &["rustc-web", "libstd-rust-web-dev:arm64", "gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"],
        otherwise: "rustup target add aarch64-unknown-linux-musl",
    },
    Need {
        name: "Rust for protection domains",
        purpose: "the boot image",
        look: bare_rust,
        packages: &["rustc-web", "rust-web-src", "lld"],
        otherwise: "rustup component add rust-src",
    },
    Need {
        name: "libclang",
        purpose: "the boot image (seL4's headers)",
        look: libclang,
        packages: &["clang", "libclang-dev"],
        otherwise: "install LLVM's libclang and set LIBCLANG_PATH",
    },
    Need {
        name: "Microkit SDK 2.3.0",
        purpose: "the boot image",
        look: || Ok(qemu::sdk::Sdk::find()?.root().display().to_string()),
        packages: &[],
        otherwise: qemu::sdk::HOW_TO_GET,
    },
    Need {
        name: "cyclictest",
        purpose: "what stands beside the host's times in `cargo xtask bench --time`",
        look: || {
            let found = process::find_program("cyclictest");
            Ok(found.ok_or_else(|| anyhow::anyhow!("not found"))?.display().to_string())
        },
        packages: &["rt-tests"],
        otherwise: "install rt-tests",
    },
    Need {
        name: "C for WebAssembly",
        purpose: "rebuilding the C samples",
        look: wasm_c,
        packages: &["clang", "lld", "wasi-libc", "libclang-rt-14-dev-wasm32"],
        otherwise: "install clang with WASI's libc",
    },
    Need {
        name: "Rust for WebAssembly",
        purpose: "rebuilding the Rust samples",
        look: bare_rust,
        packages: &["rustc-web", "rust-web-src", "wasi-libc", "lld"],
        otherwise: "rustup target add wasm32-unknown-unknown wasm32-wasip1",
    },
];

/// Looks, reports, and installs what it may.
pub(crate) fn run(install: bool) -> Result<()> {
    let missing = report();
    if missing.is_empty() {
        println!("\nEverything is there.");
        return Ok(());
    }
    let packages = packages_of(&missing);
    if !install {
        println!("\nThe host substrate needs nothing of that: `cargo xtask demo`.");
        if !packages.is_empty() {
            println!("On Debian-like systems `cargo xtask doctor --install` runs, as root:");
            commands(&packages).iter().for_each(|command| println!("  {}", process::line_of(command)));
        }
        return Ok(());
    }
    install_packages(&packages)?;
    println!();
    let left = report();
    if !left.is_empty() {
        println!("\nPackages do not provide the rest; the lines above say how to get it.");
    }
    Ok(())
}

fn report() -> Vec<&'static Need> {
    let mut missing = Vec::new();
    for need in NEEDS {
        match (need.look)() {
            Ok(found) => println!("  there    {:<28} {}", need.name, found.lines().next().unwrap_or_default()),
            Err(error) => {
                println!("  MISSING  {:<28} for {}: {error:#}", need.name, need.purpose);
                println!("           {:<28} {}", "", remedy(need));
                missing.push(need);
            }
        }
    }
    missing
}

fn remedy(need: &Need) -> String {
    if need.packages.is_empty() {
        return need.otherwise.to_owned();
    }
    format!("apt-get install {}  (or: {})", need.packages.join(" "), need.otherwise)
}

fn packages_of(needs: &[&Need]) -> Vec<&'static str> {
    let mut packages: Vec<_> = needs.iter().flat_map(|need| need.packages.iter().copied()).collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

/// What is run to install `packages`.
fn commands(packages: &[&str]) -> Vec<Command> {
    let mut commands = Vec::new();
    if packages.iter().any(|package| package.ends_with(":arm64")) {
        commands.push(command("dpkg", &["--add-architecture", "arm64"]));
    }
    commands.push(command("apt-get", &["update"]));
    let mut install = command("apt-get", &["install", "--yes", "--no-install-recommends"]);
    install.args(packages).env("DEBIAN_FRONTEND", "noninteractive");
    commands.push(install);
    commands
}

fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

fn install_packages(packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    if process::find_program("apt-get").is_none() {
        bail!("this is no Debian-like system: install by hand what is missing");
    }
    for mut command in commands(packages) {
        process::step(&process::line_of(&command));
        process::run(&mut command)?;
    }
    Ok(())
}

fn version(program: &str, argument: &str) -> Result<String> {
    let Some(path) = process::find_program(program) else { bail!("`{program}` is not on the PATH") };
    let output = Command::new(path).arg(argument).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() { Ok(text) } else { bail!("`{program} {argument}` failed: {}", output.status) }
}

fn rust() -> Result<String> {
    version("rustc", "--version")
}

/// Debian keeps its compiler at its own path, beside rustup's.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

fn target_is_installed(compiler: &Path, target: &str) -> bool {
    let Ok(output) = Command::new(compiler).args(["--print", "sysroot"]).output() else { return false };
    let sysroot = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Path::new(&sysroot).join("lib/rustlib").join(target).join("lib").is_dir()
}

fn arm64_programs() -> Result<String> {
    let rustup = Path::new("rustc");
    if target_is_installed(rustup, "aarch64-unknown-linux-musl") {
        return Ok("rustup's aarch64-unknown-linux-musl".to_owned());
    }
    if !target_is_installed(Path::new(DEBIAN_RUSTC), "aarch64-unknown-linux-gnu") {
        bail!("no Rust standard library for arm64");
    }
    version("aarch64-linux-gnu-gcc", "--version").map(|gcc| format!("Debian's rustc-web with {gcc}"))
}

fn bare_rust() -> Result<String> {
    for compiler in ["rustc", DEBIAN_RUSTC] {
        if let Some(source) = library_source(compiler) {
            return Ok(format!("{compiler} with {}", source.display()));
        }
    }
    bail!("no Rust standard library source")
}

/// Where a compiler's standard library source is, if it is there.
fn library_source(compiler: &str) -> Option<std::path::PathBuf> {
    let output = Command::new(compiler).args(["--print", "sysroot"]).output().ok()?;
    let sysroot = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let source = Path::new(&sysroot).join("lib/rustlib/src/rust/library/core/Cargo.toml");
    source.is_file().then_some(source)
}

fn libclang() -> Result<String> {
    if let Some(folder) = std::env::var_os("LIBCLANG_PATH") {
        return Ok(Path::new(&folder).display().to_string());
    }
    let versions = fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let found = versions
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("llvm-")))
        .flat_map(|path| fs::read_dir(path.join("lib")).into_iter().flatten().flatten())
        .find(|entry| entry.file_name().to_string_lossy().starts_with("libclang.so"));
    match found {
        Some(entry) => Ok(entry.path().display().to_string()),
        None => bail!("no libclang.so under /usr/lib/llvm-*/lib, and LIBCLANG_PATH is not set"),
    }
}

fn wasm_c() -> Result<String> {
    if !Path::new("/usr/lib/wasm32-wasi/libc.a").is_file() {
        bail!("no libc for WASI at /usr/lib/wasm32-wasi");
    }
    version("clang", "--version")
}
