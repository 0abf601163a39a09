//! The project's own description keeps the rules, and every rule finds what breaks it.

mod authority;
mod keys;
mod policy;
mod rules;
mod wiring;

use std::path::Path;

use pd_system_description::{Description, System};

/// The boards that there are.
const BOARDS: [&str; 2] = ["qemu_virt_aarch64", "rpi4b"];

/// The project's `system.xml` on `board`, as text.
fn description(board: &str) -> Description {
    let pd = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let board = pd.join("boards").join(board).with_extension("xml");
    Description::load(&pd.join("../system.xml"), &board).unwrap_or_else(|error| panic!("{error}"))
}

/// The project's `system.xml` on `board`.
fn project(board: &str) -> System {
    description(board).system().unwrap_or_else(|error| panic!("{error}"))
}

/// The same for a kernel on several cores.
fn on_cores(board: &str) -> System {
    let spread = description(board).on_cores();
    spread.and_then(|spread| spread.system()).unwrap_or_else(|error| panic!("{error}"))
}

/// A description in `tests/fixtures`.
fn fixture(name: &str) -> System {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name).with_extension("xml");
    System::load(&file).unwrap_or_else(|error| panic!("{error}"))
}
