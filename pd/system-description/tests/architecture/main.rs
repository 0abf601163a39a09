//! The project's own description keeps the rules, and every rule finds what breaks it.

mod policy;
mod rules;
mod wiring;

use std::path::{Path, PathBuf};

use pd_system_description::System;

/// The project's `system.xml`.
fn system_xml() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../system.xml")
}

/// A description in `tests/fixtures`.
fn fixture(name: &str) -> System {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name).with_extension("xml");
    System::load(&file).unwrap_or_else(|error| panic!("{error}"))
}
