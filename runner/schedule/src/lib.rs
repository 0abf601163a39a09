//! Whether every container on a node meets its deadlines: response-time analysis for fixed priorities.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(test, feature = "simulate"))]
extern crate std;

mod analysis;
mod assign;
mod largest;
mod platform;
#[cfg(any(test, feature = "simulate"))]
pub mod simulate;
mod task;
mod time;

pub use analysis::{
    Analysis, Contribution, ITERATIONS, MAX_TASKS, Refusal, Response, SetError, Source, Verdict, analyse,
};
pub use assign::{NoLevels, assign_levels};
pub use largest::{largest_budget, largest_budget_of};
pub use platform::{Driver, Platform, SystemTask, Trust};
pub use task::{
    DRIVERS, LONGEST_PERIOD_NS, Release, SHORTEST_PERIOD_NS, Server, Suspension, Task, TaskError, TaskParameters,
};
pub use time::Span;
