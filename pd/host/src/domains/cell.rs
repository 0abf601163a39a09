//! A `cell` domain on the host: one process, one container.

use anyhow::Result;
use runner_executor::{Cell, Options};

use super::Shell;
use crate::HEAP;

pub(super) fn run(shell: Shell) -> Result<()> {
    let options = Options {
        heap_in_use: || HEAP.allocated() as u64,
        heap_bytes: bound_heap(shell.handover.heap_bytes),
        ..Options::default()
    };
    let cell = Cell::new(&shell.wiring, options)?;
    shell.serve(cell)
}

/// Gives this process's heap, beside what the shell has allocated already, the size that `system.xml` gives the domain's.
/// Answers where it ends, in the count of [`HEAP`]: an allocation behind that fails, and the process with it.
fn bound_heap(described_bytes: Option<u64>) -> u64 {
    let limit = described_bytes.and_then(|bytes| usize::try_from(bytes).ok()).map(|bytes| HEAP.allocated() + bytes);
    match limit {
        Some(limit) if HEAP.set_limit(limit).is_ok() => limit as u64,
        _ => u64::MAX,
    }
}
