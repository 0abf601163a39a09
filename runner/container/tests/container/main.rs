//! The container format as its readers and writers rely on it: both directions, every rule, and bytes from nobody.

mod differential;
mod files;
mod manifest;
mod modules;
mod offers;
mod strategies;
mod strictness;
mod value_type;
