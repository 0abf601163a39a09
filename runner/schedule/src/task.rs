//! A task: what a scheduled container asks of the processor, within bounds.
//!
//! The numbers come from manifests, so anybody may have written them. [`Task::new`] takes nothing that the analysis could
//! stumble over, and says in words what it refuses.

use core::fmt;

use crate::{Platform, time::Span};

/// The shortest period. A tenth of the shortest tick, and far above what a switch costs; shorter ones would let a manifest
/// make the analysis long without asking for anything useful.
pub const SHORTEST_PERIOD_NS: u64 = 100_000;

/// The longest period: an hour. What runs less often has no deadline that a node must plan for, and sums of products stay far
/// from the end of 64 bits.
pub const LONGEST_PERIOD_NS: u64 = 3_600_000_000_000;

/// How many drivers a task may call: the width of [`TaskParameters::calls`]. A node has `gpio`, `timer`, `i2c` and `exchange`.
pub const DRIVERS: usize = 8;

/// What releases a task's jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// The clock: at `offset_ns` after the node's epoch and every period after it.
    Periodic {
        /// Less than the period. The analysis takes no advantage of it, see [the crate's page](crate#what-makes-it-pessimistic).
        offset_ns: u64,
    },
    /// Events, at least a period apart: the period is the minimum inter-arrival time.
    Sporadic,
}

/// A scheduling context by which the kernel holds a cell to a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Server {
    budget_ns: u64,
    period_ns: u64,
}

impl Server {
    /// At most `budget_ns` in any stretch of `period_ns`.
    ///
    /// # Errors
    ///
    /// A budget of nothing, or of more than the period, or a period longer than [`LONGEST_PERIOD_NS`].
    pub fn new(budget_ns: u64, period_ns: u64) -> Result<Self, TaskError> {
        if budget_ns == 0 || budget_ns > period_ns || period_ns > LONGEST_PERIOD_NS {
            return Err(TaskError::Server { budget_ns, period_ns });
        }
        Ok(Self { budget_ns, period_ns })
    }

    /// How much of each period.
    #[must_use]
    pub fn budget_ns(&self) -> u64 {
        self.budget_ns
    }

    /// How long until what was used can be used again.
    #[must_use]
    pub fn period_ns(&self) -> u64 {
        self.period_ns
    }
}

/// How a job waits of itself: for a sleep, or a value that is not there yet. Calls to drivers are not waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Suspension {
    /// How long a job waits at the most, all its waits together.
    pub total_ns: u64,
    /// How many times a job waits at the most.
    pub times: u16,
}

/// What a task asks for, as a manifest says it. All times are in nanoseconds.
///
/// [`TaskParameters::new`] fills in what most tasks do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskParameters {
    /// What releases it.
    pub release: Release,
    /// Time between two releases: exactly this (periodic), or at least this (sporadic).
    pub period_ns: u64,
    /// Latest end of a job, counted from its release. At most the period.
    pub deadline_ns: u64,
    /// Processor time of a job in its cell, without the drivers' time.
    pub budget_ns: u64,
    /// How much later than its release a job may be ready, beside what the platform brings with it.
    pub jitter_ns: u64,
    /// How its jobs wait of themselves.
    pub suspension: Suspension,
    /// Calls of a job to each driver of the platform, in the order of [`Platform::drivers`](crate::Platform). The cell holds the
    /// container to them.
    pub calls: [u16; DRIVERS],
    /// Higher ones come first, whatever the deadlines are; among equals the shorter deadline does.
    pub class: u8,
    /// The scheduling context that its cell runs on, where the kernel holds it.
    pub server: Option<Server>,
}

impl TaskParameters {
    /// A periodic task that calls nobody, waits for nothing, and is held by its cell alone.
    #[must_use]
    pub fn new(period_ns: u64, deadline_ns: u64, budget_ns: u64) -> Self {
        Self {
            release: Release::Periodic { offset_ns: 0 },
            period_ns,
            deadline_ns,
            budget_ns,
            jitter_ns: 0,
            suspension: Suspension::default(),
            calls: [0; DRIVERS],
            class: 0,
            server: None,
        }
    }
}

/// A task whose parameters make sense, with the priority at which it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Task {
    parameters: TaskParameters,
    level: u8,
}

impl Task {
    /// Checks the parameters. The level is 0 until [`assign_levels`](crate::assign_levels) or [`Task::at_level`] sets it.
    ///
    /// # Errors
    ///
    /// The first bound that is not held.
    pub fn new(parameters: TaskParameters) -> Result<Self, TaskError> {
        let TaskParameters { release, period_ns, deadline_ns, budget_ns, jitter_ns, suspension, .. } = parameters;
        if !(SHORTEST_PERIOD_NS..=LONGEST_PERIOD_NS).contains(&period_ns) {
            return Err(TaskError::Period { period_ns });
        }
        if deadline_ns == 0 || deadline_ns > period_ns {
            return Err(TaskError::Deadline { deadline_ns, period_ns });
        }
        if budget_ns == 0 || budget_ns > deadline_ns {
            return Err(TaskError::Budget { budget_ns, deadline_ns });
        }
        if jitter_ns >= deadline_ns {
            return Err(TaskError::Jitter { jitter_ns, deadline_ns });
        }
        if suspension.total_ns >= deadline_ns || (suspension.total_ns > 0 && suspension.times == 0) {
            return Err(TaskError::Suspension { suspension, deadline_ns });
        }
        match release {
            Release::Periodic { offset_ns } if offset_ns >= period_ns => {
                Err(TaskError::Offset { offset_ns, period_ns })
            }
            _ => Ok(Self { parameters, level: 0 }),
        }
    }

    /// The same task at another priority, as the kernel counts them: higher runs first.
    #[must_use]
    pub fn at_level(self, level: u8) -> Self {
        Self { level, ..self }
    }

    /// The same task with another budget.
    ///
    /// # Errors
    ///
    /// As [`Task::new`].
    pub fn with_budget(self, budget_ns: u64) -> Result<Self, TaskError> {
        let task = Self::new(TaskParameters { budget_ns, ..self.parameters })?;
        Ok(task.at_level(self.level))
    }

    /// What it was made of.
    #[must_use]
    pub fn parameters(&self) -> &TaskParameters {
        &self.parameters
    }

    /// Its priority; higher runs first.
    #[must_use]
    pub fn level(&self) -> u8 {
        self.level
    }

    /// How much later than its release a job may be ready on this platform.
    ///
    /// A periodic job waits for the tick after its release. Releases lie on multiples of g, the greatest common divisor of
    /// period, offset and tick, so that is at most tick − g: nothing where period and offset are whole ticks.
    #[must_use]
    pub fn release_jitter_ns(&self, platform: &Platform<'_>) -> u64 {
        let own = self.parameters.jitter_ns;
        match self.parameters.release {
            Release::Sporadic => own.saturating_add(platform.event_jitter_ns),
            Release::Periodic { offset_ns } => {
                let tick = platform.tick_period_ns;
                let common =
                    greatest_common_divisor(greatest_common_divisor(self.parameters.period_ns, offset_ns), tick);
                own.saturating_add(platform.tick_jitter_ns).saturating_add(tick.saturating_sub(common))
            }
        }
    }
}

/// Euclid's; the number of steps is bounded by the number of digits.
fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while let Some(rest) = a.checked_rem(b) {
        (a, b) = (b, rest);
    }
    a
}

/// Why something is no task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskError {
    /// The period is out of bounds.
    Period {
        /// What was asked for.
        period_ns: u64,
    },
    /// No deadline, or one after the next release.
    Deadline {
        /// What was asked for.
        deadline_ns: u64,
        /// The task's.
        period_ns: u64,
    },
    /// No budget, or more than fits before the deadline.
    Budget {
        /// What was asked for.
        budget_ns: u64,
        /// The task's.
        deadline_ns: u64,
    },
    /// The offset lies in another period.
    Offset {
        /// What was asked for.
        offset_ns: u64,
        /// The task's.
        period_ns: u64,
    },
    /// The jitter alone takes the whole deadline.
    Jitter {
        /// What was asked for.
        jitter_ns: u64,
        /// The task's.
        deadline_ns: u64,
    },
    /// The waits alone take the whole deadline, or there is time to wait and no wait.
    Suspension {
        /// What was asked for.
        suspension: Suspension,
        /// The task's.
        deadline_ns: u64,
    },
    /// No scheduling context has these.
    Server {
        /// What was asked for.
        budget_ns: u64,
        /// What was asked for.
        period_ns: u64,
    },
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Period { period_ns } => write!(
                f,
                "a period of {} is out of bounds: {} to {}",
                Span(period_ns),
                Span(SHORTEST_PERIOD_NS),
                Span(LONGEST_PERIOD_NS)
            ),
            Self::Deadline { deadline_ns: 0, .. } => write!(f, "a deadline must be more than nothing"),
            Self::Deadline { deadline_ns, period_ns } => {
                write!(f, "the deadline of {} is after the next release, {} later", Span(deadline_ns), Span(period_ns))
            }
            Self::Budget { budget_ns: 0, .. } => write!(f, "a budget must be more than nothing"),
            Self::Budget { budget_ns, deadline_ns } => {
                write!(f, "a budget of {} does not fit into a deadline of {}", Span(budget_ns), Span(deadline_ns))
            }
            Self::Offset { offset_ns, period_ns } => {
                write!(f, "an offset of {} is not within the period of {}", Span(offset_ns), Span(period_ns))
            }
            Self::Jitter { jitter_ns, deadline_ns } => {
                write!(
                    f,
                    "a release jitter of {} leaves nothing of a deadline of {}",
                    Span(jitter_ns),
                    Span(deadline_ns)
                )
            }
            Self::Suspension { suspension: Suspension { times: 0, total_ns }, .. } => {
                write!(f, "jobs that wait for {} wait at least once", Span(total_ns))
            }
            Self::Suspension { suspension, deadline_ns } => {
                write!(
                    f,
                    "waiting for {} leaves nothing of a deadline of {}",
                    Span(suspension.total_ns),
                    Span(deadline_ns)
                )
            }
            Self::Server { budget_ns, period_ns } => {
                write!(f, "no scheduling context has {} in each {}", Span(budget_ns), Span(period_ns))
            }
        }
    }
}

impl core::error::Error for TaskError {}
