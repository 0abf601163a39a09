//! The `admission` domain on the host.

use anyhow::{Result, bail};
use runner_admission::{Admission, Options};

use super::Shell;
use crate::signals;

/// What `emit info` shows.
const SUBSTRATE: &str = "Linux host (not seL4)";

pub(super) fn run(shell: Shell) -> Result<()> {
    let options = Options { substrate: SUBSTRATE.to_owned(), fault_name: signals::name };
    let admission = Admission::new(&shell.wiring, options)?;
    if !admission.has_policy() {
        bail!("the region `policy` holds none that can be read");
    }
    shell.serve(admission)
}
