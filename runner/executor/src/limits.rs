//! What the container may take of the cell's memory.
//!
//! `wasmi` asks here before each growth of a memory or a table. The limits come from the warden; beside them stands what
//! the cell's heap can bear, since an allocation that fails outside a growth ends the whole domain.

use runner_interfaces::cell::CellControl;
use wasmi::{ResourceLimiter, errors::MemoryError};
use wasmi_core::LimiterError;

/// What stays free of the heap whatever the container asks for: the interpreter's stacks at their largest
/// ([`crate::engine::VALUE_STACK_BYTES`] twice while it moves, [`crate::engine::CALL_DEPTH`] frames of 48 bytes twice), once
/// more at rest while the container's allocator runs above a suspended call, and room for errors and records.
pub(crate) const HEADROOM_BYTES: u64 = 1536 * 1024;

/// The heap that the cell has, as its options say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heap {
    pub(crate) in_use: fn() -> u64,
    pub(crate) size_bytes: u64,
}

impl Heap {
    /// Whether `bytes` more fit and leave [`HEADROOM_BYTES`].
    pub(crate) fn has_room_for(&self, bytes: u64) -> bool {
        self.free_bytes() >= bytes.saturating_add(HEADROOM_BYTES)
    }

    pub(crate) fn free_bytes(&self) -> u64 {
        self.size_bytes.saturating_sub((self.in_use)())
    }
}

/// The last refusal, for the sentence that explains a failed instantiation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denial {
    /// More linear memory than allowed.
    Memory { wanted_bytes: usize },
    /// More table elements than allowed.
    Table { wanted_elements: usize },
    /// Allowed, but the cell's heap has no room for it.
    Heap { wanted_bytes: usize },
}

/// The limits of one container, counted over all its memories and tables.
#[derive(Debug)]
pub(crate) struct Limits {
    pub(crate) memory_bytes: usize,
    pub(crate) table_elements: usize,
    /// Linear memory that was granted, exported or not, and what it was before.
    pub(crate) memory_in_use: usize,
    memory_before: usize,
    table_elements_in_use: usize,
    heap: Heap,
    instantiated: bool,
    /// The memory keeps its size: the container has deadlines, and growing may copy all of it, for which no slice is long enough.
    pub(crate) is_fixed: bool,
    pub(crate) denial: Option<Denial>,
}

/// Bytes of a table element in `wasmi` 2.0.
const TABLE_ELEMENT_BYTES: usize = 8;

/// Tables of one module. A linker makes one; multi-table code is rare.
pub(crate) const MAX_TABLES: usize = 8;

impl Limits {
    pub(crate) fn new(control: &CellControl, heap: Heap) -> Self {
        Self {
            memory_bytes: usize::try_from(control.memory_limit_bytes).unwrap_or(usize::MAX),
            table_elements: usize::try_from(control.table_limit_elements).unwrap_or(usize::MAX),
            memory_in_use: 0,
            memory_before: 0,
            table_elements_in_use: 0,
            heap,
            instantiated: false,
            is_fixed: false,
            denial: None,
        }
    }

    /// From here on tables keep their size: `table.grow` of more than nothing answers -1, which the specification allows.
    ///
    /// `wasmi` 2.0 does not save where it was when `table.grow` runs out of fuel, so that a resumed call goes on somewhere
    /// else. Refused growth burns no fuel.
    pub(crate) fn freeze_tables(&mut self) {
        self.instantiated = true;
    }

    fn deny(&mut self, denial: Denial) -> Result<bool, LimiterError> {
        self.denial = Some(denial);
        Ok(false)
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool, LimiterError> {
        if desired > self.memory_bytes || (self.is_fixed && desired > current) {
            return self.deny(Denial::Memory { wanted_bytes: desired });
        }
        // A vector that grows at least doubles, and the old bytes lie beside the new ones until they are copied.
        let allocated = desired.max(current.saturating_mul(2));
        if !self.heap.has_room_for(allocated as u64) {
            return self.deny(Denial::Heap { wanted_bytes: desired });
        }
        (self.memory_before, self.memory_in_use) = (current, desired);
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: &MemoryError) -> Result<(), LimiterError> {
        self.memory_in_use = self.memory_before;
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool, LimiterError> {
        let total = self.table_elements_in_use.saturating_add(desired.saturating_sub(current));
        if self.instantiated || total > self.table_elements {
            return self.deny(Denial::Table { wanted_elements: total });
        }
        let bytes = desired.saturating_mul(TABLE_ELEMENT_BYTES);
        if !self.heap.has_room_for(bytes as u64) {
            return self.deny(Denial::Heap { wanted_bytes: bytes });
        }
        self.table_elements_in_use = total;
        Ok(true)
    }

    fn instances(&self) -> usize {
        1
    }

    fn tables(&self) -> usize {
        MAX_TABLES
    }

    fn memories(&self) -> usize {
        1
    }
}
