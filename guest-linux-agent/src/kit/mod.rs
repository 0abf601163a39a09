//! What a developer's machine needs besides the agent: building, packing, checking and signing containers,
//! and a node to try them on.
//!
//! Behind the feature `kit`, so that the guest's `emit` stays small. Trusts the person's own files, and the tools that they
//! have installed.

pub(crate) mod app;
pub(crate) mod check;
pub(crate) mod component;
pub(crate) mod host;
pub(crate) mod keys;
pub(crate) mod lines;
pub(crate) mod policy;
pub(crate) mod project;
pub(crate) mod signing;
pub(crate) mod template;
pub(crate) mod trust;
pub(crate) mod verification;
