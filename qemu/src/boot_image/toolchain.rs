//! What compiles the protection domains: a Rust compiler with the source of its standard library, a linker, libclang.
//!
//! The core library is compiled along, because the bare target's own demands aligned access and makes the interpreter four
//! times slower; and rust-sel4 uses unstable features, which a stable compiler allows with `RUSTC_BOOTSTRAP=1`. So any
//! compiler will do that has its library's source beside it: rustup's with the component `rust-src`, a nightly, or Debian's
//! `rustc-web` with `rust-web-src`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::Missing;

/// Where compilers are looked for: the person's own, and the distribution's place, which rustup's hides on the path.
const COMPILERS: [&str; 2] = ["rustc", "/usr/bin/rustc"];

const COMPILER_REMEDY: &str = "`rustup component add rust-src`, or on Debian 12 (security suite) \
    `apt-get install rustc-web rust-web-src`";
const LINKER_REMEDY: &str = "`apt-get install lld`; a rustup toolchain brings one of its own";
const LIBCLANG_REMEDY: &str =
    "`apt-get install libclang-dev`, or set LIBCLANG_PATH to the folder that holds libclang.so";

/// A toolchain that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    /// The compiler.
    pub rustc: PathBuf,
    /// An LLVM linker for ELF.
    pub linker: PathBuf,
    /// The folder of `libclang`, which reads the kernel's headers.
    pub libclang: PathBuf,
}

impl fmt::Display for Toolchain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rustc.display().fmt(formatter)
    }
}

impl Toolchain {
    /// Looks for the three.
    ///
    /// # Errors
    /// [`Missing`], naming the one that is not here and the command that gets it.
    pub fn find() -> Result<Self> {
        let rustc = find_compiler().ok_or_else(|| {
            Missing::new("no Rust compiler here has its library's source (for the protection domains)", COMPILER_REMEDY)
        })?;
        let linker = find_linker(&rustc)
            .ok_or_else(|| Missing::new("no LLVM linker is here (for the protection domains)", LINKER_REMEDY))?;
        let libclang = find_libclang()
            .ok_or_else(|| Missing::new("libclang is not here (it reads seL4's headers)", LIBCLANG_REMEDY))?;
        Ok(Self { rustc, linker, libclang })
    }
}

fn find_compiler() -> Option<PathBuf> {
    let named = std::env::var_os("ATOLL_PD_RUSTC").map(PathBuf::from);
    named
        .into_iter()
        .chain(COMPILERS.map(PathBuf::from))
        .find(|rustc| sysroot(rustc).is_some_and(|sysroot| sysroot.join("lib/rustlib/src/rust/library/core").is_dir()))
}

/// Where a compiler's libraries are, or `None` where it does not run.
fn sysroot(rustc: &Path) -> Option<PathBuf> {
    let output = Command::new(rustc).args(["--print", "sysroot"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(text.trim()))
}

/// The compiler's own linker, that of the compiler on the path, or LLVM's from the distribution.
fn find_linker(rustc: &Path) -> Option<PathBuf> {
    let beside = |rustc: &Path| {
        let hosts = std::fs::read_dir(sysroot(rustc)?.join("lib/rustlib")).ok()?;
        hosts.filter_map(Result::ok).map(|host| host.path().join("bin/rust-lld")).find(|linker| linker.is_file())
    };
    beside(rustc).or_else(|| beside(Path::new("rustc"))).or_else(|| on_path("ld.lld"))
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|candidate| candidate.is_file())
}

fn find_libclang() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("LIBCLANG_PATH") {
        return Some(PathBuf::from(named));
    }
    let mut folders: Vec<PathBuf> = std::fs::read_dir("/usr/lib")
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("llvm"))
        .map(|entry| entry.path().join("lib"))
        .collect();
    // The newest first.
    folders.sort();
    folders.reverse();
    folders.extend(["/usr/lib64", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"].map(PathBuf::from));
    folders.into_iter().find(|folder| holds_libclang(folder))
}

fn holds_libclang(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries.map(|entry| entry.file_name()).any(|name| {
        let name = name.to_string_lossy();
        name.starts_with("libclang.so")
            || name.starts_with("libclang-") && name.contains(".so") && !name.contains("cpp")
    })
}
