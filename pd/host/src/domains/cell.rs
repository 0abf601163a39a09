//! A `cell` domain on the host: one process, one container.

use anyhow::Result;
use runner_executor::{Cell, Options};

use super::Shell;
use crate::HEAP;

/// The heap of a cell, in bytes. What `pd/cell` gives its ELF; a container that may need more to compile is refused.
const HEAP_BYTES: usize = 48 * 1024 * 1024;

pub(super) fn run(shell: Shell) -> Result<()> {
    let heap_bytes = HEAP.allocated().saturating_add(HEAP_BYTES);
    // Only fails where more is in use already.
    let limited = HEAP.set_limit(heap_bytes).is_ok();
    let options = Options {
        heap_in_use: || HEAP.allocated() as u64,
        heap_bytes: if limited { heap_bytes as u64 } else { u64::MAX },
        ..Options::default()
    };
    let cell = Cell::new(&shell.wiring, options)?;
    shell.serve(cell)
}
