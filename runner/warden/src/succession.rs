//! One version of a container takes another's place.
//!
//! The new one is loaded and started in a cell of its own while the old one goes on; lines and channels that the old one has
//! it opens on standby. When it has started it is held, the old one is held at the end of its loop, what both have changes
//! hands at once, and the new one is let go. The old one stays held, with all its state, until the new one has
//! proved itself; if that ends before, or is stuck, everything changes hands again and the old one goes on. Nobody outside
//! is needed for that: an update of a machine that loses its Linux in the middle comes to an end.

use runner_interfaces::{
    cell::{ContainerState, Hold},
    exchange, gpio,
    kernel::{Instant, Kernel, Message},
    plan::EndCause,
    warden::{Intervention, Succession, WardenStatus},
};
use shared_ring::SharedMemory;

use crate::{
    phase::{Phase, deadline},
    warden::{Cells, Warden},
};

/// How long the old version has to come to the end of its loop. A periodic one is there within its period; who waits longer
/// most likely waits for an event, and is then held where it waits.
pub const BOUNDARY_WAIT_NS: u64 = 1_000_000_000;

/// How long it has from there on. A container that neither ends its loop nor waits computes, and one slice of that is some
/// milliseconds; what is not held by then is not going to be.
pub const HANDOVER_LIMIT_NS: u64 = 1_000_000_000;

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It is being loaded, then installed.
    Loading,
    /// It was told to start, and to be held then.
    Starting,
    /// The old one was told to be held at its loop's end, by then; or anywhere.
    Holding { hold: Hold, until: Instant },
    /// It has taken over.
    Probation { until: Instant },
}

/// The container in a cell is to take the place of the one in another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heir {
    /// The cell of the old version.
    from: usize,
    probation_ns: u64,
    step: Step,
}

impl Heir {
    /// Whether it has what the container in that cell had.
    pub(crate) fn has_replaced(&self, cell: usize) -> bool {
        self.from == cell && matches!(self.step, Step::Probation { .. })
    }

    /// When something is due although nothing happens.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.step {
            // Loading and starting have the cell's own deadlines.
            Step::Loading | Step::Starting => None,
            Step::Holding { until, .. } | Step::Probation { until } => Some(until),
        }
    }
}

impl<M: SharedMemory + Clone, C: Cells> Warden<M, C> {
    /// Begins it.
    pub(crate) fn succeed<K: Kernel>(&mut self, kernel: &mut K, words: [u64; 4]) -> Result<u64, WardenStatus> {
        let [from, to, probation_us, _] = words;
        let (from, to) = (self.present(from)?, self.present(to)?);
        if from == to {
            return Err(WardenStatus::Invalid);
        }
        self.look_at(kernel, to);
        let involved = |cell: usize| self.heirs().any(|(heir, Heir { from, .. })| heir == cell || from == cell);
        if involved(from) || involved(to) {
            return Err(WardenStatus::WrongState);
        }
        let loads = matches!(self.cell(to).phase, Phase::Loading { run: false, .. } | Phase::Installed);
        if !loads || !matches!(self.cell(from).phase, Phase::Active { .. }) {
            return Err(WardenStatus::WrongState);
        }
        let probation_ns = probation_us.saturating_mul(1_000);
        self.cell(to).heir = Some(Heir { from, probation_ns, step: Step::Loading });
        self.show_succession(to, Succession::Preparing);
        Ok(0)
    }

    /// Cells whose container is to take another's place.
    pub(crate) fn heirs(&self) -> impl Iterator<Item = (usize, Heir)> {
        self.cells.iter().enumerate().filter_map(|(number, cell)| Some((number, cell.as_ref()?.heir?)))
    }

    /// Goes as far as both sides have come. The end of everything that the warden does.
    pub(crate) fn advance_heirs<K: Kernel>(&mut self, kernel: &mut K) {
        for number in 0..self.cells.len() {
            while let Some(heir) = self.cells[number].as_ref().and_then(|cell| cell.heir) {
                if !self.advance(kernel, number, heir) {
                    break;
                }
            }
        }
    }

    /// One step; answers whether there may be another.
    fn advance<K: Kernel>(&mut self, kernel: &mut K, to: usize, heir: Heir) -> bool {
        let now = kernel.now();
        if !self.cell(to).phase.is_live() {
            self.roll_back(kernel, to, heir, None);
            return false;
        }
        let old_loops = matches!(self.cell(heir.from).phase, Phase::Active { .. });
        match heir.step {
            // There is nobody to give back to: it stays, whatever becomes of it.
            Step::Probation { .. } if !self.cell(heir.from).phase.is_live() => {
                self.prove(to);
                return false;
            }
            Step::Probation { .. } => {}
            _ if !old_loops => {
                self.roll_back(kernel, to, heir, Some(Intervention::NoHandover));
                return false;
            }
            _ => {}
        }
        let step = match heir.step {
            Step::Loading => self.start_heir(kernel, to, heir.from, now),
            Step::Starting => self.hold_old(kernel, to, heir.from, now),
            Step::Holding { hold, until } => {
                if self.is_held(heir.from) {
                    Some(self.hand_over(kernel, to, heir, now))
                } else if until > now {
                    None
                } else if hold == Hold::AtLoop {
                    Some(self.tell_hold(kernel, heir.from, Hold::Anywhere, now.saturating_add(HANDOVER_LIMIT_NS)))
                } else {
                    self.roll_back(kernel, to, heir, Some(Intervention::NoHandover));
                    None
                }
            }
            Step::Probation { until } => {
                if until <= now {
                    self.judge(kernel, to, heir);
                }
                None
            }
        };
        match (step, self.cell(to).heir.as_mut()) {
            (Some(step), Some(heir)) => {
                heir.step = step;
                true
            }
            _ => false,
        }
    }

    /// Once it is installed it is started, held before its first loop, and may open what the old one has.
    fn start_heir<K: Kernel>(&mut self, kernel: &mut K, to: usize, from: usize, now: Instant) -> Option<Step> {
        if self.cell(to).phase != Phase::Installed {
            return None;
        }
        // Who has replaced another has its lines on standby for it until that one has stopped; its end comes round here again.
        if self.call_gpio(kernel, gpio::Procedure::Succeed, from, to) == gpio::Status::Busy {
            return None;
        }
        let cell = self.cell(to);
        let start_ns = u64::from(cell.assignment.plan.start_limit_us) * 1_000;
        cell.phase = Phase::Starting { deadline: deadline(now, start_ns) };
        cell.write_hold(Hold::AtLoop);
        kernel.notify(cell.channel);
        Some(Step::Starting)
    }

    fn hold_old<K: Kernel>(&mut self, kernel: &mut K, to: usize, from: usize, now: Instant) -> Option<Step> {
        let started = matches!(self.cell(to).phase, Phase::Active { .. }) && self.is_held(to);
        started.then(|| self.tell_hold(kernel, from, Hold::AtLoop, now.saturating_add(BOUNDARY_WAIT_NS)))
    }

    fn tell_hold<K: Kernel>(&mut self, kernel: &mut K, from: usize, hold: Hold, until: Instant) -> Step {
        let cell = self.cell(from);
        cell.write_hold(hold);
        kernel.notify(cell.channel);
        Step::Holding { hold, until }
    }

    fn is_held(&mut self, number: usize) -> bool {
        self.cell(number).look().held
    }

    fn hand_over<K: Kernel>(&mut self, kernel: &mut K, to: usize, heir: Heir, now: Instant) -> Step {
        self.take_over(kernel, heir.from, to);
        self.let_go(kernel, to);
        self.show_succession(to, Succession::Probation);
        Step::Probation { until: now.saturating_add(heir.probation_ns) }
    }

    /// Its probation is over: it has proved itself if it has come round once, or waits for something.
    fn judge<K: Kernel>(&mut self, kernel: &mut K, to: usize, heir: Heir) {
        let sight = self.cell(to).look();
        if sight.loops == 0 && sight.state != Some(ContainerState::Ready) {
            return self.roll_back(kernel, to, heir, Some(Intervention::NotProven));
        }
        self.prove(to);
        self.order_stop(kernel, heir.from, EndCause::Replaced);
    }

    fn prove(&mut self, to: usize) {
        self.cell(to).heir = None;
        self.show_succession(to, Succession::Done);
    }

    /// The old version goes on. Where the new one has not ended by itself it is ended.
    fn roll_back<K: Kernel>(&mut self, kernel: &mut K, to: usize, heir: Heir, why: Option<Intervention>) {
        match why {
            // Gives back first, as every end of an heir does.
            Some(intervention) => self.intervene(kernel, to, intervention),
            None => self.give_back(kernel, to),
        }
        self.cell(to).heir = None;
        self.show_succession(to, Succession::RolledBack);
        if self.cell(heir.from).phase.is_live() {
            self.let_go(kernel, heir.from);
        }
    }

    fn let_go<K: Kernel>(&mut self, kernel: &mut K, number: usize) {
        let now = kernel.now();
        let cell = self.cell(number);
        // Who is on the way to its end is left to it.
        if matches!(cell.phase, Phase::Active { .. }) {
            cell.write_hold(Hold::No);
            cell.reset_pulse(now);
            kernel.notify(cell.channel);
        }
    }

    /// The cell is about to be released: what its container took over goes back first, so that it is not closed with it.
    pub(crate) fn give_back<K: Kernel>(&mut self, kernel: &mut K, number: usize) {
        let Some(heir) = self.cell(number).heir else { return };
        if matches!(heir.step, Step::Probation { .. }) && self.cell(heir.from).phase.is_live() {
            self.take_over(kernel, number, heir.from);
            // Once.
            self.cell(number).heir = Some(Heir { step: Step::Loading, ..heir });
        }
    }

    /// What both have open is `to`'s from here on.
    fn take_over<K: Kernel>(&mut self, kernel: &mut K, from: usize, to: usize) {
        self.call_gpio(kernel, gpio::Procedure::TakeOver, from, to);
        let ends = exchange::call_with(exchange::Procedure::TakeOver, from as u64, to as u64);
        self.call_exchange(kernel, ends);
    }

    /// The driver cannot refuse, but because one of the two has lines on standby: the channel is the warden's and both cells exist.
    fn call_gpio<K: Kernel>(
        &mut self,
        kernel: &mut K,
        procedure: gpio::Procedure,
        from: usize,
        to: usize,
    ) -> gpio::Status {
        let words = [from as u64, to as u64, 0, 0];
        gpio::Status::of(&kernel.call(self.gpio, Message { label: u64::from(procedure.to_wire()), words }))
    }

    fn show_succession(&mut self, number: usize, succession: Succession) {
        self.table.cells[number].succession = succession.to_wire();
        (self.changed, self.news) = (true, true);
    }
}
