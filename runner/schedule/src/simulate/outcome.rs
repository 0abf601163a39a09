//! What was seen in a run.

use std::{ops::Range, vec::Vec};

/// What became of one task. Times in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TaskOutcome {
    /// Jobs whose release fell into the run.
    pub released: u64,
    /// Jobs that ended.
    pub completed: u64,
    /// Jobs that ended after their deadline, or had not ended when it passed.
    pub missed: u64,
    /// Releases that found the job before them unfinished.
    pub skipped: u64,
    /// How often the cell stopped a job for its budget.
    pub stopped: u64,
    /// How often the kernel stopped it until its scheduling context was filled again.
    pub throttled: u64,
    /// From a release to the job's end, at the most.
    pub longest_response_ns: u64,
}

/// Who had the processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Row {
    /// A task (index) in its cell.
    Task(usize),
    /// A driver, called by a task.
    Driver {
        /// Index of the caller.
        task: usize,
        /// Index of the driver.
        driver: usize,
    },
    /// A system task (index).
    System(usize),
    /// Everybody below the cells, in a stretch that could not be preempted, or in a call of theirs.
    Background,
}

/// A stretch of the processor's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Whose it was.
    pub row: Row,
    /// Beginning.
    pub from_ns: u64,
    /// End.
    pub to_ns: u64,
}

/// What happened at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkKind {
    /// The release of a job, by its plan: it may be ready later.
    Release,
    /// The deadline of a job.
    Deadline,
    /// A deadline that passed before its job had ended.
    Miss,
    /// A release that found the job before it unfinished.
    Skip,
}

/// An instant of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Index of the task.
    pub task: usize,
    /// When.
    pub at_ns: u64,
    /// What.
    pub kind: MarkKind,
}

/// A recorded stretch of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Timeline {
    /// What was recorded.
    pub range: Range<u64>,
    /// Who ran, in order; nothing in it overlaps.
    pub segments: Vec<Segment>,
    /// What happened to tasks, ordered by task and kind no more than by chance.
    pub marks: Vec<Mark>,
}

impl Timeline {
    pub(super) fn new(range: Range<u64>) -> Self {
        Self { range, segments: Vec::new(), marks: Vec::new() }
    }

    pub(super) fn ran(&mut self, row: Row, from_ns: u64, to_ns: u64) {
        let (from_ns, to_ns) = (from_ns.max(self.range.start), to_ns.min(self.range.end));
        if from_ns >= to_ns {
            return;
        }
        match self.segments.last_mut() {
            Some(last) if last.row == row && last.to_ns == from_ns => last.to_ns = to_ns,
            _ => self.segments.push(Segment { row, from_ns, to_ns }),
        }
    }

    pub(super) fn mark(&mut self, task: usize, at_ns: u64, kind: MarkKind) {
        if self.range.contains(&at_ns) {
            self.marks.push(Mark { task, at_ns, kind });
        }
    }
}

/// What was seen in a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// In the order of the tasks.
    pub tasks: Vec<TaskOutcome>,
    /// What was recorded.
    pub timeline: Timeline,
}

impl Outcome {
    /// Deadlines missed, of all tasks.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.tasks.iter().map(|task| task.missed).sum()
    }
}
