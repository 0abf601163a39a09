//! Under which share of the processor each cell runs.
//!
//! A cell has a share and a priority of its own, under which it starts clean, loads and waits. While a container with a class
//! runs, the cell is under that class, at the plan's priority: from the moment at which the warden sees it run to its end, and an end
//! by force gives the class back before the domain starts anew. Loading is thereby never done at a scheduled container's expense.
//!
//! `admission` says which class; that a class is there and free, and a priority a cell's, is looked at here. Whether the set is
//! schedulable is `admission`'s to know: a wrong answer makes containers late and nobody more powerful, for each stays within a budget
//! that the kernel keeps, below the drivers and the warden.

use runner_interfaces::{
    MAX_CELLS,
    kernel::Kernel,
    schedule::{OnOverrun, Release},
    scheduling::{CELL_PRIORITIES, MAX_CLASSES, Share},
    warden::{Intervention, WardenStatus},
};
use shared_ring::SharedMemory;

use crate::{Cells, Warden, phase::Phase};

/// The substrate did not do what it was asked: the cell runs on as it was, or under its own share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotScheduled;

/// Whose budget is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted {
    /// The cell.
    pub cell: usize,
    /// It was ended and its domain started clean: the shell must not let its old life go on. If not, the shell lets the cell go on
    /// when its budget is back.
    pub is_ended: bool,
}

/// What a class is bound to, as the warden keeps it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pool {
    /// By class, the cell that is under it.
    holders: [Option<usize>; MAX_CLASSES],
}

impl Pool {
    /// The class that `cell` is under.
    pub(crate) fn class_of(&self, cell: usize) -> Option<usize> {
        self.holders.iter().position(|holder| *holder == Some(cell))
    }
}

impl<M: SharedMemory + Clone, C: Cells> Warden<M, C> {
    /// The shares that the image has.
    fn class(&self, class: usize) -> Option<Share> {
        self.shares()?.classes.get(class).copied().filter(Share::is_present)
    }

    /// Whether a plan's class and priority can be meant: there is such a class, no other cell's plan has it, and the priority is
    /// one that a cell may have.
    pub(crate) fn check_class(&self, number: usize, class: u32, priority: u32) -> Result<(), WardenStatus> {
        let Some(class_index) = class_index(class) else { return Ok(()) };
        let is_priority = u8::try_from(priority).is_ok_and(|priority| CELL_PRIORITIES.contains(&priority));
        if self.class(class_index).is_none() || !is_priority {
            return Err(WardenStatus::Invalid);
        }
        let others = (0..MAX_CELLS).filter(|&other| other != number);
        let is_meant = others
            .filter_map(|other| self.cells[other].as_ref())
            .any(|other| other.assignment.plan.class == class && !matches!(other.phase, Phase::Empty | Phase::Ended));
        let is_held = self.pool.holders[class_index].is_some_and(|holder| holder != number);
        if is_meant || is_held { Err(WardenStatus::WrongState) } else { Ok(()) }
    }

    /// The container runs: its cell goes under the plan's class, where it has one.
    pub(crate) fn take_class(&mut self, number: usize) {
        let plan = self.cell(number).assignment.plan;
        let (Some(class), Ok(priority)) = (class_index(plan.class), u8::try_from(plan.priority)) else { return };
        if self.class(class).is_none() || self.pool.holders[class].is_some() || self.pool.class_of(number).is_some() {
            return;
        }
        let taken = self.substrate.bind_class(number, class);
        if taken.and_then(|()| self.substrate.set_priority(number, priority)).is_err() {
            self.return_to_own(number);
            return;
        }
        self.pool.holders[class] = Some(number);
        let shown = &mut self.table.cells[number];
        (shown.class, shown.priority) = (plan.class, plan.priority);
        self.changed = true;
    }

    /// The cell is under its own share again, and at its own priority.
    pub(crate) fn give_class_back(&mut self, number: usize) {
        let Some(class) = self.pool.class_of(number) else { return };
        self.return_to_own(number);
        self.pool.holders[class] = None;
        let shown = &mut self.table.cells[number];
        (shown.class, shown.priority) = (0, 0);
        self.changed = true;
    }

    /// Neither can be refused of a domain that is there; what is refused all the same is the substrate's to tell.
    fn return_to_own(&mut self, number: usize) {
        let own = self.shares().map(|shares| shares.cells[number].priority);
        let _ = self.substrate.bind_own(number);
        if let Some(priority) = own.and_then(|priority| u8::try_from(priority).ok()).filter(|&priority| priority != 0) {
            let _ = self.substrate.set_priority(number, priority);
        }
    }

    /// The kernel says that a budget is used up: counts it for the cell that is under that class. `None` where nobody is.
    ///
    /// A class holds a job that keeps its budget, so whose class is used up has overrun, and is ended where its schedule says so. One that
    /// its cell was to hold to its budget is ended in any case: its cell did not, and others count on that. Not so
    /// while it is being stopped: what its stop hook takes has a limit of its own. `badge` is the scheduling context's, as in
    /// [`Share::badge`].
    pub fn exhausted<K: Kernel>(&mut self, kernel: &mut K, badge: u64) -> Option<Exhausted> {
        let class = self.shares().and_then(|shares| shares.class_of_badge(badge));
        let cell = class.and_then(|class| self.pool.holders[class]);
        let exhausted = cell.map(|cell| {
            let shown = &mut self.table.cells[cell];
            shown.exhausted = shown.exhausted.saturating_add(1);
            self.changed = true;
            let fails_by = self.fails_by(cell);
            if let Some(intervention) = fails_by {
                self.intervene(kernel, cell, intervention);
            }
            Exhausted { cell, is_ended: fails_by.is_some() }
        });
        self.settle(kernel);
        exhausted
    }

    fn fails_by(&mut self, number: usize) -> Option<Intervention> {
        let cell = self.cell(number);
        let schedule = cell.assignment.plan.schedule;
        if !matches!(cell.phase, Phase::Active { .. }) || schedule.release() == Release::None {
            return None;
        }
        if schedule.is_held_by_cell() {
            return Some(Intervention::Unheld);
        }
        (schedule.on_overrun() != OnOverrun::Skip).then_some(Intervention::Overrun)
    }
}

/// A plan's class counts from 1.
fn class_index(class: u32) -> Option<usize> {
    usize::try_from(class.checked_sub(1)?).ok()
}
