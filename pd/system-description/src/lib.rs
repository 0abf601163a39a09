//! `system.xml` and the board policy, read once and precisely.
//!
//! [`System::parse`] turns Microkit's system description into domains, regions, channels and interrupts, each with the
//! line that it stands on; [`System::wiring`] answers what one domain is given, by symbol. [`rules`] says what must hold
//! of the architecture beyond what the Microkit tool checks, and [`policy`] compiles what the owner of a board allows.
//! The host launcher, `cargo xtask` and the image builder all read through here, so that nothing is typed twice.
//!
//! Both files come from whoever builds the image and are trusted as far as the image is; a mistake in them is an error
//! with its place, never a default.
#![forbid(unsafe_code)]

mod authority;
mod cores;
mod description;
pub mod keys;
mod model;
mod parse;
pub mod policy;
mod quantity;
mod role;
pub mod rules;
mod wiring;

pub use cores::{CORES, FIRST_CORE};
pub use description::{Description, Input};
pub use model::{Access, Capability, CapabilityKind, Channel, Domain, DomainKind, End, Interrupt, Map, Region, System};
pub use parse::ParseError;
pub use role::Role;
pub use wiring::{ChannelWiring, ChildWiring, DomainWiring, Peer, RegionWiring, WiringError};
