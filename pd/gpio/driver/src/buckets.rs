//! What each cell has spent on each line, of its rate of changes or of edges.

use alloc::{boxed::Box, vec};

use runner_interfaces::{MAX_CELLS, grants::MAX_LINES, rate::Bucket};

/// A bucket for each cell and line.
#[derive(Debug)]
pub(crate) struct Buckets(Box<[[Bucket; MAX_LINES as usize]]>);

impl Buckets {
    /// Nothing is spent. Takes all the memory that it will ever take.
    pub(crate) fn new() -> Self {
        Self(vec![[Bucket::default(); MAX_LINES as usize]; MAX_CELLS].into_boxed_slice())
    }

    /// That of a cell and a line.
    pub(crate) fn of(&mut self, cell: usize, line: u8) -> Option<&mut Bucket> {
        self.0.get_mut(cell)?.get_mut(usize::from(line))
    }
}
