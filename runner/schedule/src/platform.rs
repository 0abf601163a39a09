//! What a node itself takes of the processor, and how exactly it releases.
//!
//! These numbers come from the node's own image and measurements, not from manifests. They are what the admission test's word
//! rests on: a figure here that the node does not keep makes the promise worthless.

use crate::task::Server;

/// Something of the node that runs above all cells, as often as it likes within this bound: `tick`, `timer` at a tick, the
/// warden's look around, an interrupt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SystemTask<'a> {
    /// What a person reads in the answer.
    pub name: &'a str,
    /// Longest time at one activation, its switches included.
    pub budget_ns: u64,
    /// Shortest time between two activations.
    pub period_ns: u64,
    /// How much later than planned an activation may be, so that two come closer than the period.
    pub jitter_ns: u64,
}

/// A driver that cells call, above all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Driver<'a> {
    /// What a person reads in the answer.
    pub name: &'a str,
    /// Longest time from a call to its answer, with the kernel's part, while nothing else runs.
    pub call_ns: u64,
    /// Its scheduling context, where that is to be held against what it is asked for.
    pub server: Option<Server>,
    /// What it does in a period of its server for those who are in no set of tasks: unscheduled containers, the warden.
    pub reserved_ns: u64,
}

/// Who is believed to hold a container to its budget, where it is somebody else's interference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trust {
    /// The cells: a job takes its budget and one slice at the most. What the kernel grants beyond that is taken by nobody.
    #[default]
    Cells,
    /// The kernel alone: a cell takes all that its scheduling context gives it. Every task needs a server.
    Kernel,
}

/// The node. All times are in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Platform<'a> {
    /// Periodic jobs are released at ticks, so far apart.
    pub tick_period_ns: u64,
    /// How much later than a tick a job may be ready.
    pub tick_jitter_ns: u64,
    /// How much later than an event a job may be ready.
    pub event_jitter_ns: u64,
    /// Cost of a switch between cells, caches included. A job costs two: to it, and back.
    pub switch_ns: u64,
    /// How far a job may overrun its budget before its cell notices: one slice.
    pub slice_ns: u64,
    /// Longest time for which something less urgent cannot be preempted: the kernel's longest stretch without a preemption point.
    pub blocking_ns: u64,
    /// The kernel does not start a thread with less budget than this, so as much of every budget is of no use.
    pub minimum_budget_ns: u64,
    /// Into how many pieces the kernel lets a budget fall.
    pub refills: u16,
    /// Who holds containers to their budgets.
    pub trust: Trust,
    /// What runs above the cells.
    pub system: &'a [SystemTask<'a>],
    /// Whom cells call. At most [`DRIVERS`](crate::DRIVERS) are looked at by tasks' [`calls`](crate::TaskParameters::calls).
    pub drivers: &'a [Driver<'a>],
}

impl Platform<'_> {
    /// A platform that costs nothing: ideal processor, for examples and comparisons with the literature.
    pub const IDEAL: Platform<'static> = Platform {
        tick_period_ns: 1,
        tick_jitter_ns: 0,
        event_jitter_ns: 0,
        switch_ns: 0,
        slice_ns: 0,
        blocking_ns: 0,
        minimum_budget_ns: 0,
        refills: 10,
        trust: Trust::Cells,
        system: &[],
        drivers: &[],
    };
}
