//! Schedules: a container with one gets a place before it is loaded, and a person sees who has which.
//!
//! The test is [`crate::schedulability`]'s; here is which containers take part. One takes part from its load to its end with no new
//! start to follow: while it waits for one, its place waits too, so that it comes back without being asked anything. Both versions
//! of an update take part while both are there. One that a person starts again is looked at anew, as its place may be gone.

use alloc::{boxed::Box, format, string::String, vec::Vec};

use runner_container::rights::Right;
use runner_interfaces::{
    grants::CellGrants,
    policy::{BoardTime, CALLED_DOMAINS},
    schedule::{Release, Schedule, Urgency},
};
use shared_ring::SharedMemory;
use shared_ring_messages::{
    ActivityReport, Answer, ErrorCode, PlatformReport, ScheduleRow, ScheduleTable, ScheduledClass,
};

use crate::{
    admission::Admission,
    container::Container,
    failure::Failure,
    punctuality::schedule_report,
    schedulability::{Claim, Node, counted_calls},
};

impl<M: SharedMemory + Clone> Admission<M> {
    /// Finds class and priority for the container in that cell, which is about to be loaded, where it has a schedule.
    ///
    /// # Errors
    /// Somebody's deadline could not be kept: whose, by how much, why, and what would fit.
    pub(crate) fn find_place(&mut self, cell: usize) -> Result<(), Failure> {
        let container = self.container_in(cell)?;
        if container.declaration.plan.schedule.release() == Release::None {
            return Ok(());
        }
        let policy = self.policy()?;
        let Some(time) = &policy.board.time else {
            let detail = "the board's policy does not say what the node costs, so it keeps no [schedule]";
            return Err(Failure::new(ErrorCode::NotSchedulable, detail));
        };
        let (most_percent, most_urgency) = policy.schedule_limits(&container.rights.set);
        let urgency = container.declaration.plan.schedule.urgency;
        if urgency > most_urgency as u32 {
            let stated = Urgency::from_wire(urgency).map_or("unknown", Urgency::text);
            let right = Right::Priority(most_urgency);
            let detail = format!("its [schedule] states the class `{stated}`, and its right is `{right}`");
            return Err(Failure::new(ErrorCode::NotAllowed, detail));
        }
        let mut candidate = Claim { most_percent, ..claim(container) };
        let BoardTime { slice_ns, fuel_ns, turn_ns, .. } = *time;
        candidate.schedule = Schedule { slice_ns, fuel_ns, turn_ns, ..candidate.schedule };
        candidate.schedule.calls = calls(time, container);
        let live: Vec<Claim> = self.claims().filter(|(other, _)| *other != cell).map(|(_, claim)| claim).collect();
        let place = Node::new(time, &policy.limits.shares)
            .place(&live, &candidate)
            .map_err(|detail| Failure::new(ErrorCode::NotSchedulable, detail))?;
        let plan = &mut self.container(cell)?.declaration.plan;
        (plan.class, plan.priority) = (place.class, place.priority);
        plan.schedule = candidate.schedule;
        Ok(())
    }

    /// Those that have places, by cell.
    fn claims(&self) -> impl Iterator<Item = (usize, Claim)> {
        self.cells.iter().enumerate().filter_map(|(cell, port)| {
            let container = port.as_ref()?.container.as_ref()?;
            let takes_part = container.declaration.plan.class != 0
                && container.generation() != 0
                && !container.is_over(&self.table.cells[cell], self.options.fault_name);
            takes_part.then(|| (cell, claim(container)))
        })
    }

    pub(crate) fn schedule_answer(&self) -> Result<Answer, Failure> {
        Ok(Answer::Schedule(Box::new(self.schedule_table(None)?)))
    }

    /// Everybody who has a place; with the one in `beside`, which was given one and is not loaded.
    pub(crate) fn schedule_table(&self, beside: Option<usize>) -> Result<ScheduleTable, Failure> {
        let policy = self.policy()?;
        let Some(time) = &policy.board.time else { return Ok(ScheduleTable::default()) };
        let mut claims: Vec<(usize, Claim)> = self.claims().collect();
        if let Some(cell) = beside {
            claims.push((cell, claim(self.container_in(cell)?)));
        }
        claims.sort_by_key(|(cell, claim)| (core::cmp::Reverse(claim.priority), *cell));
        let (cells, claims): (Vec<usize>, Vec<Claim>) = claims.into_iter().unzip();
        let node = Node::new(time, &policy.limits.shares);
        let bounds = node.bounds(&claims);
        let rows = cells.iter().zip(&claims).zip(bounds).filter_map(|((cell, claim), bound)| {
            let (bound, shown) = (bound?, &self.table.cells[*cell]);
            Some(ScheduleRow {
                name: claim.name.clone(),
                cell: u8::try_from(*cell).unwrap_or(u8::MAX),
                schedule: schedule_report(claim.schedule),
                calls: counted_calls(&claim.schedule).to_vec(),
                response_ns: bound.response_ns,
                slack_ns: bound.slack_ns,
                class: ScheduledClass {
                    number: claim.class - 1,
                    budget_us: bound.class.budget_us,
                    period_us: bound.class.period_us,
                },
                priority: claim.priority,
                in_force: beside != Some(*cell) && shown.class == claim.class,
                exhausted: if beside == Some(*cell) { 0 } else { shown.exhausted },
            })
        });
        Ok(ScheduleTable { rows: rows.collect(), promised_ppm: node.promised_ppm(&claims), platform: node.report() })
    }
}

fn claim(container: &Container) -> Claim {
    let plan = &container.declaration.plan;
    Claim {
        name: String::from(container.name()),
        schedule: plan.schedule,
        class: plan.class,
        priority: plan.priority,
        // Its right was looked at when it was given its class.
        most_percent: 100,
    }
}

/// Where the timer is among [`CALLED_DOMAINS`].
const TIMER: usize = 2;

/// Calls that a cell makes of the timer itself in a release: it takes the expiry that woke it, and arms the end of the deadline.
const CELLS_TIMER_CALLS: u8 = 2;

/// The same where events release the container: it also arms when that may go on.
const CELLS_TIMER_CALLS_BY_EVENTS: u8 = 3;

/// Calls to each domain in a release, to those where the container has any right: what its manifest states, else the board's number. With
/// them go the cell's own, which a cell that holds the container to its calls does without where the clock releases one that does not
/// call the timer.
fn calls(time: &BoardTime, container: &Container) -> u32 {
    let CellGrants { output_lines, input_lines, edge_lines, i2c_addresses, timers, .. } = container.rights.grants;
    let gpio = output_lines | input_lines | edge_lines != 0;
    let i2c = i2c_addresses != [0; 2];
    let may = [gpio, i2c, timers != 0, !container.ends.is_empty()];
    let stated = container.declaration.calls.unwrap_or([time.default_calls; CALLED_DOMAINS.len()]);
    let mut calls = [0_u8; CALLED_DOMAINS.len()];
    for ((calls, may), stated) in calls.iter_mut().zip(may).zip(stated) {
        *calls = if may { stated } else { 0 };
    }
    let own = match container.declaration.plan.schedule.release() {
        Release::Events => CELLS_TIMER_CALLS_BY_EVENTS,
        _ if time.slice_ns != 0 && calls[TIMER] == 0 => 0,
        _ => CELLS_TIMER_CALLS,
    };
    calls[TIMER] = calls[TIMER].saturating_add(own);
    u32::from_le_bytes(calls)
}

/// What the test took the node for, for a person and for a timeline.
pub(crate) fn platform_report(platform: &runner_schedule::Platform<'_>) -> PlatformReport {
    let activity = |name: &str, budget_ns, period_ns, jitter_ns| ActivityReport {
        name: name.into(),
        budget_ns,
        period_ns,
        jitter_ns,
    };
    PlatformReport {
        tick_ns: platform.tick_period_ns,
        tick_jitter_ns: platform.tick_jitter_ns,
        event_jitter_ns: platform.event_jitter_ns,
        switch_ns: platform.switch_ns,
        blocking_ns: platform.blocking_ns,
        least_budget_ns: platform.minimum_budget_ns,
        refills: platform.refills,
        calls: CALLED_DOMAINS.iter().zip(platform.drivers).map(|(name, of)| ((*name).into(), of.call_ns)).collect(),
        system: platform.system.iter().map(|of| activity(of.name, of.budget_ns, of.period_ns, of.jitter_ns)).collect(),
    }
}
