//! What a driver counts for each cell and each thing that it owns: calls made, refused, limited.
//!
//! The counts lie behind the driver's status, in a table of fixed size, and each is one word that the driver adds to where it
//! lies. `admission` reads them to tell a person what a container did with a right; nothing decides by them. They count
//! since boot, over all containers that a cell held.

use shared_ring::{OutOfRange, SharedMemory, SharedValues};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::MAX_CELLS;

/// What was counted for one cell and one thing: a line, a timer, an address, an end of a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Usage {
    /// Calls.
    pub calls: u64,
    /// Of these, refused because the cell was not granted it.
    pub refused: u64,
    /// Of these, put off because the cell's rate was used up, or a queue was full.
    pub limited: u64,
    /// Edges that fell together with another because the cell's rate was used up.
    pub coalesced: u64,
}

impl Usage {
    /// What was counted since `earlier`.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            calls: self.calls.wrapping_sub(earlier.calls),
            refused: self.refused.wrapping_sub(earlier.refused),
            limited: self.limited.wrapping_sub(earlier.limited),
            coalesced: self.coalesced.wrapping_sub(earlier.coalesced),
        }
    }

    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_add(other.calls),
            refused: self.refused.saturating_add(other.refused),
            limited: self.limited.saturating_add(other.limited),
            coalesced: self.coalesced.saturating_add(other.coalesced),
        }
    }
}

/// One count of a [`Usage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// [`Usage::calls`].
    Calls,
    /// [`Usage::refused`].
    Refused,
    /// [`Usage::limited`].
    Limited,
    /// [`Usage::coalesced`].
    Coalesced,
}

impl Count {
    const fn offset_bytes(self) -> usize {
        match self {
            Self::Calls => core::mem::offset_of!(Usage, calls),
            Self::Refused => core::mem::offset_of!(Usage, refused),
            Self::Limited => core::mem::offset_of!(Usage, limited),
            Self::Coalesced => core::mem::offset_of!(Usage, coalesced),
        }
    }
}

/// How many bytes the table of a driver takes that owns so many things.
pub const fn usage_bytes(things: usize) -> usize {
    MAX_CELLS * things * size_of::<Usage>()
}

/// The table, for its one writer as for its readers.
#[derive(Clone, Debug)]
pub struct UsageTable<M> {
    memory: M,
    offset: usize,
    things: usize,
}

impl<M: SharedMemory> UsageTable<M> {
    /// The table at `offset`, a multiple of 8, of a driver that owns so many things.
    ///
    /// # Errors
    /// The region ends before it does.
    pub fn new(memory: M, offset: usize, things: usize) -> Result<Self, OutOfRange> {
        let end = offset.checked_add(usage_bytes(things)).ok_or(OutOfRange)?;
        if end <= memory.size_bytes() { Ok(Self { memory, offset, things }) } else { Err(OutOfRange) }
    }

    /// Counts. What the table has no room for is not counted.
    pub fn add(&self, cell: usize, thing: usize, count: Count, more: u64) {
        let Some(offset) = self.place(cell, thing).map(|offset| offset + count.offset_bytes()) else { return };
        let before: u64 = self.memory.read_value(offset).unwrap_or_default();
        // The range was checked when this was made.
        let _ = self.memory.write_value(offset, &before.wrapping_add(more));
    }

    /// What was counted; nothing for what the table has no room for.
    pub fn read(&self, cell: usize, thing: usize) -> Usage {
        self.place(cell, thing).and_then(|offset| self.memory.read_value(offset).ok()).unwrap_or_default()
    }

    /// What was counted for all things of a cell, in their order.
    pub fn of_cell(&self, cell: usize) -> impl Iterator<Item = Usage> {
        (0..self.things).map(move |thing| self.read(cell, thing))
    }

    fn place(&self, cell: usize, thing: usize) -> Option<usize> {
        let is_there = cell < MAX_CELLS && thing < self.things;
        is_there.then(|| self.offset + (cell * self.things + thing) * size_of::<Usage>())
    }
}

#[cfg(test)]
mod tests {
    use shared_ring::HeapMemory;

    use super::*;

    #[test]
    fn each_count_has_a_place_of_its_own() {
        let memory = HeapMemory::new(8 + usage_bytes(3));
        let table = UsageTable::new(memory.clone(), 8, 3).unwrap();
        assert!(UsageTable::new(memory.clone(), 16, 3).is_err());
        assert!(UsageTable::new(memory, usize::MAX, 3).is_err());
        let counts = [Count::Calls, Count::Refused, Count::Limited, Count::Coalesced];
        let number = |cell: usize, thing: usize, count: usize| (cell * 100 + thing * 10 + count + 1) as u64;
        for cell in 0..MAX_CELLS {
            for thing in 0..3 {
                for (index, count) in counts.into_iter().enumerate() {
                    table.add(cell, thing, count, number(cell, thing, index));
                    table.add(cell, thing, count, 1);
                }
            }
        }
        // Beyond the table nothing is counted, and nobody else's place hit.
        table.add(MAX_CELLS, 0, Count::Calls, 1);
        table.add(0, 3, Count::Calls, 1);
        for cell in 0..MAX_CELLS {
            for (thing, usage) in table.of_cell(cell).enumerate() {
                let expected = [0, 1, 2, 3].map(|index| number(cell, thing, index) + 1);
                assert_eq!([usage.calls, usage.refused, usage.limited, usage.coalesced], expected);
            }
        }
    }
}
