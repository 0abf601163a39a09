//! What each cell has spent on each line of its rates.

use alloc::{boxed::Box, vec};

use runner_interfaces::{
    MAX_CELLS,
    grants::MAX_LINES,
    kernel::Instant,
    rate::{Bucket, Rate},
};

const LINES: usize = MAX_LINES as usize;

/// What was spent of a rate, and the rate.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meter {
    bucket: Bucket,
    rate: Rate,
}

impl Meter {
    /// `bucket` under a rate of so many a second.
    pub(crate) fn new(mut bucket: Bucket, per_second: u32) -> Self {
        let rate = Rate::even(per_second);
        bucket.change(rate);
        Self { bucket, rate }
    }

    /// Takes one, if there is one.
    #[inline]
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        self.bucket.take(self.rate, now)
    }

    /// Takes so many, or as many as there are; answers how many.
    pub(crate) fn take_up_to(&mut self, wanted: u64, now: Instant) -> u64 {
        self.bucket.take_up_to(wanted, self.rate, now)
    }

    /// Takes one that may have to be earned yet.
    pub(crate) fn owe(&mut self, now: Instant) {
        self.bucket.owe(self.rate, now);
    }

    /// In how many nanoseconds there is one; `None` where that is never.
    pub(crate) fn wait_ns(&mut self, now: Instant) -> Option<u64> {
        self.bucket.wait_ns(self.rate, now)
    }

    /// What was spent, for when the rate is another one.
    pub(crate) fn bucket(&self) -> Bucket {
        self.bucket
    }
}

/// What one cell has spent on one line.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    pub(crate) changes: Bucket,
    pub(crate) edges: Bucket,
}

/// That of each cell and line, while another cell is the line's [`super::server`] last asker.
#[derive(Debug)]
pub(crate) struct Buckets(Box<[Spent]>);

impl Buckets {
    /// Nothing is spent. Takes all the memory that it will ever take.
    pub(crate) fn new() -> Self {
        Self(vec![Spent::default(); MAX_CELLS * LINES].into_boxed_slice())
    }

    /// That of a cell and a line, which both are there.
    pub(crate) fn of(&mut self, cell: usize, line: u8) -> &mut Spent {
        &mut self.0[cell * LINES + usize::from(line)]
    }
}
