//! Input that means harm: modules from `examples/hostile`, and bytes that no `emit` would send.

use std::path::Path;

use anyhow::{Context, Result};
use shared_ring_messages::{FromAgent, HELLO_MAGIC, PROTOCOL_MAJOR, frame};

/// Assembles a hostile sample.
pub(crate) fn module(name: &str) -> Result<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/hostile");
    wat::parse_file(folder.join(format!("{name}.wat"))).with_context(|| format!("the hostile sample {name}"))
}

/// A greeting of the next major version.
pub(crate) fn greeting_of_another_version() -> Result<Vec<u8>> {
    let hello = FromAgent::Hello { magic: HELLO_MAGIC, major: PROTOCOL_MAJOR + 1, minor: 0 };
    frame::encode(&hello).map_err(|error| anyhow::anyhow!("a greeting cannot be framed: {error:?}"))
}
