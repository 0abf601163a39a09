//! Builds the guest's `emit`: a static arm64 program, because the guest has no C library.
//!
//! Several toolchains can do it and none is on every machine, so what is there is looked for: each compiler, each target
//! whose standard library it has, and a linker for it. The result is checked to be what the guest can run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use elf::ElfBytes;
use elf::endian::LittleEndian;

use super::{GuestOptions, Progress, read};
use crate::Missing;

/// Where the guest's `emit` comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentSource {
    /// Compiled from this repository.
    Build,
    /// A program that exists already.
    Program(PathBuf),
    /// The guest gets none: enough to try kernel and shell.
    Absent,
}

/// The cross linker of Debian's `gcc-aarch64-linux-gnu`; it also finds the static C library.
const GNU_LINKER: &str = "aarch64-linux-gnu-gcc";

/// A way to compile for the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Toolchain {
    rustc: PathBuf,
    target: &'static str,
    linker: &'static str,
    /// Beyond those that every way needs.
    flags: &'static [&'static str],
}

/// The targets in order of preference, each with its linker: musl's comes with the toolchain.
const TARGETS: [(&str, &str, &[&str]); 2] = [
    ("aarch64-unknown-linux-musl", "rust-lld", &["-Clinker-flavor=ld.lld", "-Clink-self-contained=yes"]),
    ("aarch64-unknown-linux-gnu", GNU_LINKER, &[]),
];

/// The program that goes into the guest, if any.
pub(super) fn obtain(options: &GuestOptions, progress: &Progress<'_>) -> Result<Option<PathBuf>> {
    let program = match &options.agent {
        AgentSource::Absent => return Ok(None),
        AgentSource::Program(program) => program.clone(),
        AgentSource::Build => build_agent(&options.workspace, &options.output.join("agent"), progress)?,
    };
    check_program(&read(&program)?).with_context(|| format!("the guest cannot run {}", program.display()))?;
    Ok(Some(program))
}

/// Compiles `emit` for the guest into a target folder of its own, and says where it is.
///
/// # Errors
/// [`Missing`] where no toolchain for the guest is found, with what to install; otherwise that compiling failed.
pub fn build_agent(workspace: &Path, target_folder: &Path, progress: &Progress<'_>) -> Result<PathBuf> {
    let toolchain = find_toolchain(workspace)?;
    progress(&format!("compiling emit for {} with {}", toolchain.target, toolchain.rustc.display()));
    let status = cargo(&toolchain, workspace, target_folder).status().context("cannot start cargo")?;
    ensure!(status.success(), "compiling emit for {} failed", toolchain.target);
    Ok(target_folder.join(toolchain.target).join("release/emit"))
}

fn cargo(toolchain: &Toolchain, workspace: &Path, target_folder: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(["build", "--quiet", "--release", "--package", "guest-linux-agent", "--bin", "emit"])
        // Without what only a developer needs; with what somebody at the guest's console wants to see.
        .args(["--no-default-features", "--features", "top", "--target", toolchain.target, "--target-dir"])
        .arg(target_folder)
        .current_dir(workspace)
        .env("RUSTC", &toolchain.rustc)
        .env("CARGO_ENCODED_RUSTFLAGS", rust_flags(toolchain, workspace).join("\u{1f}"))
        // Set by a cargo or a person around us for the host's compiler, and wrong for this one.
        .env_remove("RUSTFLAGS")
        .env_remove("LD_LIBRARY_PATH");
    command
}

fn rust_flags(toolchain: &Toolchain, workspace: &Path) -> Vec<String> {
    let mut flags = vec![
        "-Ctarget-feature=+crt-static".to_owned(),
        format!("-Clinker={}", toolchain.linker),
        "-Cstrip=symbols".to_owned(),
        // The program does not depend on where it was compiled.
        format!("--remap-path-prefix={}=/atoll", workspace.display()),
    ];
    if let Some(home) = cargo_home() {
        flags.push(format!("--remap-path-prefix={}=/cargo", home.display()));
    }
    flags.extend(toolchain.flags.iter().map(|flag| (*flag).to_owned()));
    flags
}

fn cargo_home() -> Option<PathBuf> {
    std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")))
}

fn find_toolchain(workspace: &Path) -> Result<Toolchain> {
    let mut reasons = Vec::new();
    // The person's own compiler first; then the place of the distribution's, which rustup's hides on the path.
    for rustc in ["rustc", "/usr/bin/rustc"] {
        for (target, linker, flags) in TARGETS {
            if !has_standard_library(Path::new(rustc), target, workspace) {
                reasons.push(format!("{rustc} has no {target}"));
            } else if linker == GNU_LINKER && !is_on_path(linker) {
                reasons.push(format!("{rustc} has {target}, but {linker} is missing"));
            } else {
                return Ok(Toolchain { rustc: rustc.into(), target, linker, flags });
            }
        }
    }
    Err(Missing::new(format!("no compiler for the guest's emit ({})", reasons.join("; ")), remedy()).into())
}

fn remedy() -> String {
    format!(
        "run `rustup target add {}`; or on Debian 12, as root: `dpkg --add-architecture arm64 && apt-get update && \
         apt-get install rustc-web libstd-rust-web-dev:arm64 gcc-aarch64-linux-gnu libc6-dev-arm64-cross`",
        TARGETS[0].0
    )
}

fn has_standard_library(rustc: &Path, target: &str, workspace: &Path) -> bool {
    let output = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", target])
        // Which compiler rustup's stand-in starts depends on the folder.
        .current_dir(workspace)
        .env_remove("LD_LIBRARY_PATH")
        .output();
    let Ok(output) = output else {
        return false;
    };
    let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success() && holds_standard_library(Path::new(&folder))
}

fn holds_standard_library(folder: &Path) -> bool {
    let is_standard_library =
        |name: &str| name.starts_with("libstd-") && Path::new(name).extension().is_some_and(|ending| ending == "rlib");
    fs::read_dir(folder)
        .is_ok_and(|entries| entries.flatten().any(|entry| entry.file_name().to_str().is_some_and(is_standard_library)))
}

fn is_on_path(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// A program that needs an interpreter fails in the guest with a bare "not found": better to say it here.
fn check_program(program: &[u8]) -> Result<()> {
    let file = ElfBytes::<LittleEndian>::minimal_parse(program).context("it is not an ELF program")?;
    ensure!(file.ehdr.e_machine == elf::abi::EM_AARCH64, "it is not for arm64");
    let mut segments = file.segments().context("it has no program headers")?.iter();
    if segments.any(|segment| segment.p_type == elf::abi::PT_INTERP) {
        bail!("it is not static");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header of a program for a machine, with one segment of a type.
    fn program(machine: u16, segment: u32) -> Vec<u8> {
        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(16, 0);
        file.extend(2_u16.to_le_bytes());
        file.extend(machine.to_le_bytes());
        file.extend(1_u32.to_le_bytes());
        for value in [0_u64, 64, 0] {
            file.extend(value.to_le_bytes());
        }
        file.extend(0_u32.to_le_bytes());
        for value in [64_u16, 56, 1, 64, 0, 0] {
            file.extend(value.to_le_bytes());
        }
        file.extend(segment.to_le_bytes());
        file.resize(64 + 56, 0);
        file
    }

    #[test]
    fn only_static_programs_for_arm64_reach_the_guest() {
        check_program(&program(elf::abi::EM_AARCH64, elf::abi::PT_LOAD)).expect("a static program");
        let dynamic = check_program(&program(elf::abi::EM_AARCH64, elf::abi::PT_INTERP)).expect_err("refused");
        assert_eq!(dynamic.to_string(), "it is not static");
        let other = check_program(&program(elf::abi::EM_X86_64, elf::abi::PT_LOAD)).expect_err("refused");
        assert_eq!(other.to_string(), "it is not for arm64");
        assert!(check_program(b"#!/bin/sh").is_err());
    }

    #[test]
    fn a_compiler_without_the_standard_library_does_not_count() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert!(!holds_standard_library(folder.path()));
        fs::write(folder.path().join("libstd-0123.so"), "").expect("written");
        assert!(!holds_standard_library(folder.path()));
        fs::write(folder.path().join("libstd-0123.rlib"), "").expect("written");
        assert!(holds_standard_library(folder.path()));
        assert!(!has_standard_library(Path::new("/nonexistent/rustc"), "x", folder.path()));
    }

    #[test]
    fn the_program_is_static_and_names_no_place_on_this_machine() {
        let toolchain = Toolchain { rustc: "rustc".into(), target: "t", linker: "l", flags: &["-Cextra"] };
        let flags = rust_flags(&toolchain, Path::new("/somewhere/atoll"));
        for expected in
            ["-Ctarget-feature=+crt-static", "-Clinker=l", "-Cextra", "--remap-path-prefix=/somewhere/atoll=/atoll"]
        {
            assert!(flags.iter().any(|flag| flag == expected), "{flags:?}");
        }
    }
}
