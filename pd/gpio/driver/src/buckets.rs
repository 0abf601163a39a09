//! What each cell has spent on each line, of its rate of changes or of edges.

use alloc::{boxed::Box, vec};

use runner_interfaces::{
    MAX_CELLS,
    grants::MAX_LINES,
    rate::{Bucket, Rate},
};

const LINES: usize = MAX_LINES as usize;

/// One cell's on one line, with its rate, so that a call reads neither grants nor rates in memory.
#[derive(Clone, Copy, Debug, Default)]
struct Metered {
    bucket: Bucket,
    rate: Rate,
    /// Of the grants that the rate belongs to; 0 for none.
    sequence: u32,
}

/// A bucket for each cell and line.
#[derive(Debug)]
pub(crate) struct Buckets(Box<[Metered]>);

impl Buckets {
    /// Nothing is spent. Takes all the memory that it will ever take.
    pub(crate) fn new() -> Self {
        Self(vec![Metered::default(); MAX_CELLS * LINES].into_boxed_slice())
    }

    /// That of a cell and a line, which both are there, and its rate under the grants of that number: what `read` says, whenever they are others than
    /// before.
    #[inline]
    pub(crate) fn of(
        &mut self,
        cell: usize,
        line: u8,
        sequence: u32,
        read: impl FnOnce() -> u32,
    ) -> Option<(&mut Bucket, Rate)> {
        let metered = self.0.get_mut(cell * LINES + usize::from(line))?;
        if metered.sequence != sequence {
            (metered.rate, metered.sequence) = (Rate::even(read()), sequence);
        }
        Some((&mut metered.bucket, metered.rate))
    }
}
