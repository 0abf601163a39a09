//! A simulator of the schedule, to check the analysis with and to draw timelines.
//!
//! It plays one processor from event to event: fixed priorities with preemption, releases with jitter, driver calls and system
//! tasks on top, switches, stretches that cannot be preempted, cells and scheduling contexts that hold jobs to budgets. It
//! shares the description of tasks and platform with the analysis and nothing else: no formula of one is in the other. What happens
//! in a run (when, how long, with which jitter) says a [`Behaviour`].
//!
//! For a developer's machine: it takes its numbers on trust and memory as it needs it.

mod behaviour;
mod engine;
mod outcome;
mod refills;

pub use behaviour::{Activation, Behaviour, CriticalInstant, Job, Random, Section, Seeded, Step, StepKind};
pub use engine::{OnOverrun, Scenario, simulate};
pub use outcome::{Mark, MarkKind, Outcome, Row, Segment, TaskOutcome, Timeline};
