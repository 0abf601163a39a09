//! The container format: what an Atoll container is as a file.
//!
//! A container is one core `.wasm`. What is Atoll's travels in custom sections, so every WebAssembly tool still reads it:
//! `atoll.app` holds the [`Manifest`] (what a person wrote into `app.toml`) and `atoll.files` the read-only [`Files`]. Both
//! are deterministic CBOR (RFC 8949, 4.2): one manifest has one encoding, so a hash over it means something.
//!
//! Whoever reads a container trusts none of it. `admission` and the cells use this crate: nothing here recurses, panics or
//! takes more memory than a small multiple of the input, and everything is bounded by the constants below.
//!
//! | module | what |
//! |---|---|
//! | `sections` | a module's sections, found without a WebAssembly parser |
//! | `manifest` | the manifest: its fields, their rules, its two directions |
//! | `files` | files packed into the container |
//! | `embed` | a module with manifest and files put in |
//! | [`offers`] | what a node offers for import |
//! | [`rights`] | what a container may use, as text and as sets |
//! | `text` | rules for names, versions and paths |
//! | [`value_type`] | the types of the values that channels carry |
//! | [`cbor`] | the strict reader |
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod cbor;
mod embed;
mod files;
mod manifest;
pub mod offers;
pub mod rights;
mod sections;
mod text;
pub mod value_type;

pub use cbor::Violation;
pub use embed::{EmbedError, embed};
pub use files::{Files, FilesError, Place, encode_files};
pub use manifest::{
    CALLED_DOMAINS, Channel, ChannelKind, Direction, Endpoint, Lifetime, Limits, Manifest, ManifestError, OnOverrun,
    Release, Restart, RestartPolicy, Schedule, Service, Urgency, World,
};
pub use sections::{
    CODE_SECTION, DATA_SECTION, FILES_SECTION, GRANT_SECTION, MANIFEST_SECTION, METADATA_SECTION, OWN_PREFIX,
    OWN_SECTIONS, Parts, RawSection, Section, SectionError, SectionFault, append_custom_section, custom,
    custom_sections, parts, sections,
};
pub use text::{check_name, check_path, check_version};

/// The largest manifest: some hundred times what `app.toml` of a sample says.
pub const MAX_MANIFEST_BYTES: usize = 16 * 1024;

/// The most files of one container. A node looks them up one by one.
pub const MAX_FILES: usize = 64;

/// The largest `atoll.files` section. Files lie in the module, for which a board has a few megabytes at the most.
pub const MAX_FILES_BYTES: usize = 1024 * 1024;

/// The most entries of any list in a manifest.
pub const MAX_ENTRIES: usize = 64;

/// The most channels of one container: the domain that holds their values has a table of so many for each cell.
pub const MAX_CHANNELS: usize = 16;

/// The most attributes of a service.
pub const MAX_ATTRIBUTES: usize = 8;

/// The longest text in a manifest and the longest path of a file, in bytes.
pub const MAX_TEXT_BYTES: usize = 255;

/// The longest name of a container, in bytes (`shared-ring-messages`, which says the same on the wire).
pub const MAX_NAME_BYTES: usize = 40;

/// The deepest queue of a channel: its entries lie in a region of fixed size.
pub const MAX_QUEUE_DEPTH: u64 = 1024;
