//! One cell as the warden keeps it: the blocks it writes, the status it reads, and its own account of both.

use runner_interfaces::{
    cell::{CellControl, CellSigns, CellStatus, Command, ContainerState, Hold},
    grants::{CellGrants, LineRates, grant_offset_bytes},
    kernel::{Channel, Instant},
    plan::{EndCause, Plan, RestartPolicy, WELL_AFTER_NS},
};
use shared_ring::{OutOfRange, SequencedCell, SharedMemory};

use crate::{
    phase::{PING_AFTER_NS, Patience, Phase},
    succession::Heir,
};

/// The memory of one cell's seam.
pub(crate) struct CellMemory<M> {
    /// The whole `grants` region.
    pub(crate) grants: M,
    pub(crate) control: M,
    pub(crate) status: M,
}

/// What the heartbeat was at the last look, and since when.
#[derive(Clone, Copy, Debug, Default)]
struct Pulse {
    heartbeat: u64,
    sequence: u32,
    since: Instant,
    /// The cell was asked for a sign of life since then.
    asked: bool,
}

/// What a heartbeat says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// It came round, or need not.
    Well,
    /// Silent for so long that it should be asked, once.
    Silent,
    /// It was asked, and time is up.
    Lost,
}

/// What the cell was last asked to hold, so that it can be loaded again without anybody's help.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Assignment {
    /// Cut down to what the board allows; its rates lie where the drivers read them, and stay there.
    pub(crate) grants: CellGrants,
    /// Likewise.
    pub(crate) plan: Plan,
    pub(crate) configuration_bytes: u32,
    pub(crate) module_bytes: u32,
    /// New starts by the plan, one after the other without a time in between in which it was well.
    pub(crate) in_a_row: u32,
    /// When its first instruction was about to run, in the load that it is.
    pub(crate) begun: Option<Instant>,
}

/// How a container came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Somebody wanted it, or its plan did.
    Wanted,
    /// By itself.
    Finished,
    /// It failed.
    Failed,
}

/// What a look at the status showed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sight {
    /// The state of the current load's container; `None` where the block is about another load, or unreadable.
    pub(crate) state: Option<ContainerState>,
    /// Why it ended, in the cell's words.
    cause: Option<EndCause>,
    /// It is held.
    pub(crate) held: bool,
    /// Calls of its loop hook.
    pub(crate) loops: u64,
    heartbeat: Option<u64>,
    sequence: u32,
}

/// Whether and when a container is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NextStart {
    /// Its plan has no new start after such an end.
    Never,
    /// It has had as many in a row as it may.
    GivenUp,
    At(Instant),
}

const fn wants_new_start(policy: RestartPolicy, end: End) -> bool {
    match (policy, end) {
        (RestartPolicy::OnFailure | RestartPolicy::Always, End::Failed) | (RestartPolicy::Always, End::Finished) => {
            true
        }
        (RestartPolicy::Never, _) | (_, End::Wanted) | (RestartPolicy::OnFailure, End::Finished) => false,
    }
}

pub(crate) struct Cell<M> {
    pub(crate) channel: Channel,
    grants: SequencedCell<M, CellGrants>,
    /// The whole region that they lie in, for the rates, and which cell this is.
    grants_memory: M,
    number: usize,
    control: SequencedCell<M, CellControl>,
    status: SequencedCell<M, CellStatus>,
    /// The same memory as `status`, for its sequence number.
    status_memory: M,
    /// What the cell was told last.
    told: CellControl,
    pub(crate) assignment: Assignment,
    /// The container is to take another's place.
    pub(crate) heir: Option<Heir>,
    pub(crate) phase: Phase,
    /// The domain was started clean and nothing was loaded since.
    pub(crate) pristine: bool,
    /// Where the domain begins anew, read once before the first load.
    pub(crate) entry: Option<u64>,
    /// Faults since the last load or since boot, while nothing was loaded.
    pub(crate) idle_faults: u32,
    pulse: Pulse,
}

impl<M: SharedMemory + Clone> Cell<M> {
    pub(crate) fn new(number: usize, channel: Channel, memory: CellMemory<M>) -> Result<Self, OutOfRange> {
        let grants = memory.grants;
        let offset = grant_offset_bytes(number).ok_or(OutOfRange)?;
        LineRates::default().write(&grants, number)?;
        Ok(Self {
            channel,
            grants: SequencedCell::new(grants.clone(), offset)?,
            grants_memory: grants,
            number,
            control: SequencedCell::new(memory.control, 0)?,
            status: SequencedCell::new(memory.status.clone(), 0)?,
            status_memory: memory.status,
            told: CellControl::default(),
            assignment: Assignment::default(),
            heir: None,
            phase: Phase::Empty,
            pristine: true,
            entry: None,
            idle_faults: 0,
            pulse: Pulse::default(),
        })
    }

    /// Reads where the domain begins anew, if that is not known yet. Only while no container was ever loaded: what runs in
    /// the cell until then came with the boot image.
    pub(crate) fn learn_entry(&mut self) {
        if self.entry.is_none() && self.told.generation == 0 {
            self.entry = self.signs().map(|signs| signs.restart_entry);
        }
    }

    /// The number of the load that it was told of last.
    pub(crate) fn generation(&self) -> u32 {
        self.told.generation
    }

    pub(crate) fn next_generation(&self) -> u32 {
        // 0 says that there was none yet.
        self.told.generation.checked_add(1).unwrap_or(1)
    }

    pub(crate) fn write_grants(&mut self, grants: &CellGrants) {
        self.grants.write(grants);
    }

    /// While the cell has no grants: what belongs together is in force together.
    pub(crate) fn write_rates(&mut self, rates: &LineRates) {
        rates.write(&self.grants_memory, self.number).expect("written when this was made");
    }

    pub(crate) fn write_control(&mut self, control: CellControl) {
        self.told = control;
        self.control.write(&control);
    }

    /// The same load, another wish.
    pub(crate) fn write_command(&mut self, command: Command) {
        self.write_control(CellControl { command: command.to_wire(), ..self.told });
    }

    /// The same load runs, held or not.
    pub(crate) fn write_hold(&mut self, hold: Hold) {
        self.write_control(CellControl { command: Command::Run.to_wire(), hold: hold.to_wire(), ..self.told });
    }

    /// The same load is to stop, and why.
    pub(crate) fn write_stop(&mut self, cause: EndCause) {
        self.write_control(CellControl { command: Command::Stop.to_wire(), stop_cause: cause.to_wire(), ..self.told });
    }

    /// Follows what the cell says of its container.
    pub(crate) fn follow(&mut self, state: ContainerState, now: Instant) {
        let plan = self.assignment.plan;
        let begun = self.assignment.begun.unwrap_or(now);
        let expires = Some(plan.time_ns).filter(|time_ns| *time_ns != 0).map(|time_ns| begun.saturating_add(time_ns));
        let start_ns = u64::from(plan.start_limit_us) * 1_000;
        self.phase = self.phase.after(state, now, Patience { start_ns, expires });
        if matches!(self.phase, Phase::Starting { .. } | Phase::Active { .. }) {
            self.assignment.begun = Some(begun);
        }
    }

    /// Goes over to waiting for the next start, where the plan has one after such an end, and answers when that is. A load
    /// that never got to its first instruction is nobody's failure but its deployer's, who is told.
    pub(crate) fn plan_next_start(&mut self, end: End, now: Instant) -> NextStart {
        let Assignment { plan, begun, ref mut in_a_row, .. } = self.assignment;
        let Some(begun) = begun.or_else(|| (*in_a_row > 0).then_some(now)) else { return NextStart::Never };
        if !wants_new_start(plan.policy(), end) {
            return NextStart::Never;
        }
        if now.nanoseconds_since(begun) >= WELL_AFTER_NS {
            *in_a_row = 0;
        }
        match plan.back_off_ns(*in_a_row) {
            Some(wait_ns) => {
                let until = now.saturating_add(wait_ns);
                self.phase = Phase::BackOff { until };
                NextStart::At(until)
            }
            None => NextStart::GivenUp,
        }
    }

    /// Looks at what the cell shows. Its numbers are the cell's word: an unknown state counts as none.
    pub(crate) fn look(&self) -> Sight {
        // The sequence number grows with every write of the block, so it is a heartbeat too, and can be had while the cell
        // was preempted in the middle of a write. The block's range was checked when this was made.
        let sequence = self.status_memory.load_u32(0).unwrap_or_default();
        let signs = self.signs().filter(|signs| signs.generation == self.told.generation);
        Sight {
            state: signs.and_then(|signs| ContainerState::from_wire(signs.state)),
            cause: signs.and_then(|signs| EndCause::from_wire(signs.end_cause)),
            held: signs.is_some_and(|signs| signs.held == 1),
            loops: signs.map_or(0, |signs| signs.loops),
            heartbeat: signs.map(|signs| signs.heartbeat),
            sequence,
        }
    }

    fn signs(&self) -> Option<CellSigns> {
        self.status.try_read_part(0)
    }

    /// How the container ended that was in `before` and is now in the state of `sight`.
    pub(crate) fn end_after(before: Phase, sight: &Sight) -> End {
        match (before, sight.state, sight.cause) {
            (Phase::Stopping { .. }, ..) | (_, _, Some(EndCause::Lifetime)) => End::Wanted,
            (_, Some(ContainerState::Finalised), _) => End::Finished,
            _ => End::Failed,
        }
    }

    /// The heartbeat's clock starts again.
    pub(crate) fn reset_pulse(&mut self, now: Instant) {
        (self.pulse.since, self.pulse.asked) = (now, false);
    }

    /// Takes into account what a look showed of the cell's life.
    pub(crate) fn feel_pulse(&mut self, sight: &Sight, now: Instant) -> Health {
        let beats = match sight.heartbeat {
            Some(heartbeat) => heartbeat != self.pulse.heartbeat,
            None => sight.sequence != self.pulse.sequence,
        };
        self.pulse.heartbeat = sight.heartbeat.unwrap_or(self.pulse.heartbeat);
        self.pulse.sequence = sight.sequence;
        let lives = if matches!(self.phase, Phase::Loading { .. }) { sight.state.is_some() } else { beats };
        let limit_ns = self.phase.silence_limit_ns();
        if lives || limit_ns.is_none() {
            self.reset_pulse(now);
        }
        match now.nanoseconds_since(self.pulse.since) {
            silent_ns if limit_ns.is_some_and(|limit_ns| silent_ns >= limit_ns) => Health::Lost,
            silent_ns if silent_ns >= PING_AFTER_NS && !self.pulse.asked => {
                self.pulse.asked = true;
                Health::Silent
            }
            _ => Health::Well,
        }
    }
}
