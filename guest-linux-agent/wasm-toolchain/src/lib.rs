//! From the source of a container to its module, with the compilers that this machine has.
//!
//! It exists so that the samples (`cargo xtask examples`) and a person's own containers (`emit build`) are built in one way,
//! and so that what is missing is said with the command that gets it. It trusts the compilers that it finds.
#![forbid(unsafe_code)]

mod exports;
mod toolchain;

use std::{fmt, path::Path};

pub use toolchain::Toolchain;

/// How a module is made from its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipe {
    /// Rust with std, WASI preview 1.
    RustCommand,
    /// Rust without std, bindings from the WIT file.
    RustReactor,
    /// C with wasi-libc.
    CCommand,
    /// C without a library.
    CReactor,
    /// Somebody else's C by somebody else's compiler and C library: Zig. The name is that of the source file.
    ZigCommand(&'static str),
    /// A program on crates.io, unchanged, by `cargo install`.
    Published {
        /// Its package.
        package: &'static str,
        /// Exactly this one.
        version: &'static str,
    },
    /// AssemblyScript, by its own compiler.
    AssemblyScript,
    /// WebAssembly text.
    Text,
}

impl Recipe {
    /// The language as a person calls it.
    #[must_use]
    pub const fn language(self) -> &'static str {
        match self {
            Self::RustCommand | Self::RustReactor | Self::Published { .. } => "Rust",
            Self::CCommand | Self::CReactor | Self::ZigCommand(_) => "C",
            Self::AssemblyScript => "AssemblyScript",
            Self::Text => "WAT",
        }
    }
}

/// What is to be built, and where.
#[derive(Clone, Copy, Debug)]
pub struct Job<'j> {
    /// The folder that a tool is started in: for Rust the one with `Cargo.toml`.
    pub project: &'j Path,
    /// The folder whose path must not end up in the module, and what stands there instead.
    pub hidden: (&'j Path, &'j str),
    /// The Rust package, where the folder has several.
    pub package: Option<&'j str>,
    /// What intermediate files are called.
    pub name: &'j str,
    /// The source file, for languages that have one.
    pub source: &'j Path,
    /// Where intermediate files go.
    pub output: &'j Path,
    /// A lock file must be there and fit, and a compiler's warnings are errors.
    pub strict: bool,
}

/// What a toolchain lacks here, and the command that gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What is missing.
    pub what: &'static str,
    /// How to get it.
    pub get: &'static str,
}

impl fmt::Display for Missing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}; get it with {}", self.what, self.get)
    }
}
