//! How punctual a container was: counts and distributions that its cell keeps behind its status.
//!
//! A [`Histogram`] is log-linear, as HdrHistogram's are: an eighth of each power of two is one bucket, so that every value is
//! known to 12.5 % from 64 ns to 17 s in a fixed 832 bytes, and counting one is a handful of instructions. Each number is
//! a word that the cell, the only writer, adds to where it lies. Readers may see one that is counted in one place and not yet
//! in another; nothing is decided by them, and a cell that lies deceives whoever deployed it.

use shared_ring::{OutOfRange, SharedMemory, SharedValues};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::boot_report::STATUS_REGION_BYTES;

/// Where a [`Timing`] begins in a cell's status region.
pub const TIMING_OFFSET_BYTES: usize = STATUS_REGION_BYTES;

/// The least size of a cell's status region.
pub const CELL_STATUS_REGION_BYTES: usize = TIMING_OFFSET_BYTES + size_of::<Timing>();

/// The unit of the buckets, in nanoseconds: 8 instructions of the emulated machine that latencies are measured on.
const UNIT_NS: u64 = 64;

/// Buckets to a power of two, as a power of two.
const SUB_BUCKET_BITS: u32 = 3;

/// Powers of two behind the first, linear one.
const POWERS: usize = 24;

/// Buckets of a [`Histogram`].
pub const BUCKETS: usize = (POWERS + 2) << SUB_BUCKET_BITS;

/// The bucket that a value is counted in. What is larger than all is counted in the last.
pub const fn bucket_of(value_ns: u64) -> usize {
    let units = value_ns / UNIT_NS;
    let bits = u64::BITS - units.leading_zeros();
    let shift = bits.saturating_sub(SUB_BUCKET_BITS + 1);
    let bucket = ((shift as usize) << SUB_BUCKET_BITS) + (units >> shift) as usize;
    if bucket < BUCKETS { bucket } else { BUCKETS - 1 }
}

/// The largest value that is counted in a bucket, in nanoseconds; of the last, the largest that it can tell.
pub const fn bucket_end_ns(bucket: usize) -> u64 {
    let bucket = if bucket < BUCKETS { bucket } else { BUCKETS - 1 };
    let shift = (bucket >> SUB_BUCKET_BITS).saturating_sub(1);
    let units = (bucket - (shift << SUB_BUCKET_BITS)) as u64;
    ((units + 1) << shift) * UNIT_NS - 1
}

/// A distribution of times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Histogram {
    /// How many values.
    pub count: u64,
    /// Their sum, in nanoseconds.
    pub sum_ns: u64,
    /// The least, in nanoseconds.
    pub least_ns: u64,
    /// The largest, in nanoseconds.
    pub most_ns: u64,
    /// How many fell into each bucket.
    pub buckets: [u32; BUCKETS],
}

impl Default for Histogram {
    fn default() -> Self {
        Self { count: 0, sum_ns: 0, least_ns: 0, most_ns: 0, buckets: [0; BUCKETS] }
    }
}

impl Histogram {
    /// Counts a value.
    pub fn record(&mut self, value_ns: u64) {
        self.least_ns = if self.count == 0 { value_ns } else { self.least_ns.min(value_ns) };
        self.most_ns = self.most_ns.max(value_ns);
        self.count = self.count.saturating_add(1);
        self.sum_ns = self.sum_ns.saturating_add(value_ns);
        let bucket = &mut self.buckets[bucket_of(value_ns)];
        *bucket = bucket.saturating_add(1);
    }

    /// A value that so many of a thousand values are no larger than, exact to a bucket and never less than it is; 0 where there
    /// is none.
    pub fn quantile_ns(&self, permille: u32) -> u64 {
        let total: u64 = self.buckets.iter().map(|count| u64::from(*count)).sum();
        let wanted = (total * u64::from(permille.min(1000))).div_ceil(1000).max(1);
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= wanted {
                return bucket_end_ns(bucket).min(self.most_ns);
            }
        }
        0
    }
}

/// What a distribution is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// From a release to the container's first instruction.
    Jitter,
    /// From a release to when its work was done.
    Response,
    /// From when its work was done to the deadline, where that was kept.
    Slack,
    /// One call of another domain.
    HostCall,
}

impl Measure {
    /// Every one, in the order in which they lie.
    pub const ALL: [Self; 4] = [Self::Jitter, Self::Response, Self::Slack, Self::HostCall];

    /// What a person reads.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Jitter => "release jitter",
            Self::Response => "response",
            Self::Slack => "slack",
            Self::HostCall => "host call",
        }
    }
}

/// What is counted beside the distributions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ReleaseCounts {
    /// The load that all this is about (see [`crate::cell::CellControl::generation`]).
    pub generation: u64,
    /// Releases that the container's work began for.
    pub released: u64,
    /// Of these, those whose work is done.
    pub completed: u64,
    /// Of the released ones, those whose deadline passed before their work was done.
    pub missed: u64,
    /// Releases for which no work began, because that of one before went on.
    pub skipped: u64,
}

/// All that a cell keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Timing {
    /// Counts.
    pub counts: ReleaseCounts,
    /// By [`Measure`], in the order of [`Measure::ALL`].
    pub histograms: [Histogram; Measure::ALL.len()],
}

/// A [`Timing`] in shared memory, for its one writer as for its readers.
#[derive(Clone, Debug)]
pub struct TimingTable<M> {
    memory: M,
}

impl<M: SharedMemory> TimingTable<M> {
    /// That of a cell's status region.
    ///
    /// # Errors
    /// The region ends before it does.
    pub fn new(memory: M) -> Result<Self, OutOfRange> {
        if memory.size_bytes() >= CELL_STATUS_REGION_BYTES { Ok(Self { memory }) } else { Err(OutOfRange) }
    }

    /// Begins anew, for that load.
    pub fn begin(&self, generation: u32) {
        // The range was checked when this was made, here and below.
        let _ = self.memory.write_value(TIMING_OFFSET_BYTES, &Timing::default());
        self.set_counts(&ReleaseCounts { generation: generation.into(), ..ReleaseCounts::default() });
    }

    /// Shows these counts.
    pub fn set_counts(&self, counts: &ReleaseCounts) {
        let _ = self.memory.write_value(TIMING_OFFSET_BYTES, counts);
    }

    /// Counts a value.
    pub fn record(&self, measure: Measure, value_ns: u64) {
        let offset = place(measure);
        let head: [u64; 4] = self.memory.read_value(offset).unwrap_or_default();
        let [count, sum_ns, least_ns, most_ns] = head;
        let least_ns = if count == 0 { value_ns } else { least_ns.min(value_ns) };
        let head = [count.saturating_add(1), sum_ns.saturating_add(value_ns), least_ns, most_ns.max(value_ns)];
        let _ = self.memory.write_value(offset, &head);
        let bucket = offset + core::mem::offset_of!(Histogram, buckets) + bucket_of(value_ns) * size_of::<u32>();
        let before: u32 = self.memory.read_value(bucket).unwrap_or_default();
        let _ = self.memory.write_value(bucket, &before.saturating_add(1));
    }

    /// What was counted for that load; `None` where the cell has another one.
    pub fn read(&self, generation: u32) -> Option<Timing> {
        let timing: Timing = self.memory.read_value(TIMING_OFFSET_BYTES).ok()?;
        (timing.counts.generation == u64::from(generation)).then_some(timing)
    }
}

const fn place(measure: Measure) -> usize {
    TIMING_OFFSET_BYTES + core::mem::offset_of!(Timing, histograms) + measure as usize * size_of::<Histogram>()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared_ring::HeapMemory;

    use super::*;

    #[test]
    fn buckets_follow_on_one_another() {
        let mut next = 0;
        for bucket in 0..BUCKETS {
            let end = bucket_end_ns(bucket);
            assert_eq!((bucket_of(next), bucket_of(end)), (bucket, bucket), "{next} to {end}");
            assert!(next == 0 || end - next < next.max(UNIT_NS * 8) / 8, "{next} to {end} is more than an eighth");
            next = end + 1;
        }
        assert!(next > 17_000_000_000, "{next}");
        assert_eq!((bucket_of(next), bucket_of(u64::MAX)), (BUCKETS - 1, BUCKETS - 1));
    }

    #[test]
    fn quantiles_are_never_less_than_they_are() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile_ns(500), 0);
        (1..=1000_u64).for_each(|value| histogram.record(value * 1000));
        for permille in [1, 500, 990, 999, 1000] {
            let exact = u64::from(permille) * 1000;
            let told = histogram.quantile_ns(permille);
            assert!(told >= exact && told <= exact + exact / 8 + UNIT_NS, "{permille}: {told}");
        }
        assert_eq!((histogram.quantile_ns(0), histogram.quantile_ns(2000)), (1023, 1_000_000));
        assert_eq!((histogram.count, histogram.least_ns, histogram.most_ns), (1000, 1000, 1_000_000));
    }

    #[test]
    fn what_lies_in_memory_is_what_was_counted() {
        let memory = HeapMemory::new(CELL_STATUS_REGION_BYTES);
        assert!(TimingTable::new(HeapMemory::new(CELL_STATUS_REGION_BYTES - 8)).is_err());
        let table = TimingTable::new(memory.clone()).unwrap();
        table.record(Measure::Slack, 7);
        table.begin(3);
        assert_eq!(table.read(2), None);
        let counts = ReleaseCounts { generation: 3, released: 4, completed: 3, missed: 2, skipped: 1 };
        table.set_counts(&counts);
        let mut expected = Timing { counts, ..Timing::default() };
        for (index, measure) in Measure::ALL.into_iter().enumerate() {
            for value in [0, 1 << index, u64::MAX] {
                table.record(measure, value);
                expected.histograms[index].record(value);
            }
        }
        assert_eq!(table.read(3), Some(expected));
        let mut before = [1; TIMING_OFFSET_BYTES];
        memory.read(0, &mut before).unwrap();
        assert!(before.iter().all(|byte| *byte == 0), "the status before it stays");
    }

    proptest! {
        #[test]
        fn every_value_lies_in_its_bucket(value: u64) {
            let bucket = bucket_of(value);
            prop_assert!(value <= bucket_end_ns(bucket) || bucket == BUCKETS - 1);
            prop_assert!(bucket == 0 || value > bucket_end_ns(bucket - 1));
        }
    }
}
