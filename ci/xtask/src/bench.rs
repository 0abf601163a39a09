//! `cargo xtask bench`.

use anyhow::Result;

pub(crate) fn run() -> Result<()> {
    anyhow::bail!("not yet")
}
