//! Where the warden takes a cell to be, and when it loses patience.
//!
//! What the cell says of itself only ever moves a phase forward; the deadlines here do not depend on it.

use runner_interfaces::{cell::ContainerState, kernel::Instant, warden::Reached};

/// How long after the board's hook limit the warden waits before it ends a cell by force.
///
/// The cell keeps the limit itself, between two fuel slices. A slice is some 1 ms of processor time, which a budget of
/// 7 % stretches to 20 ms; 250 ms leaves it twelve of those to notice, run to the end of its slice and say so, also where
/// an emulated processor is ten times slower.
pub const GRACE_NS: u64 = 250_000_000;

/// How long the heartbeat of a cell that holds a running container may stand still.
///
/// It moves with each slice, and with each notification while the container waits, for which the warden asks after
/// [`PING_AFTER_NS`]. The longest slice is one bulk operation over all of a 4 MiB memory: some 4 ms of processor time, 60 ms
/// at a budget of 7 %, and ten times that under emulation. 2 s is three times the worst of these: who is silent for so long
/// does not come round by itself.
pub const HEARTBEAT_LIMIT_NS: u64 = 2_000_000_000;

/// After how long a silence the warden asks a cell for a sign of life. A container may wait for hours, and its cell hang
/// just as quietly; the answer takes the cell a few microseconds, once a second.
pub const PING_AFTER_NS: u64 = HEARTBEAT_LIMIT_NS / 2;

/// How long a cell that was told to load may fail to show that it is at it.
///
/// It shows it before it begins to compile, which may take far longer. A domain comes up within milliseconds on seL4; on a
/// host it is a process to be started, on a machine that may be busy with anything: seconds at the worst.
pub const TAKE_UP_LIMIT_NS: u64 = 5_000_000_000;

/// How often the warden looks at cells that are loaded: twenty times within [`HEARTBEAT_LIMIT_NS`], so that the limit is kept
/// to a twentieth, and some 6,000 instructions each (docs/measurements-time.md). When nothing is loaded it comes round once a
/// second ([`runner_interfaces::timer::WARDEN_LOOK_NS`]), so that somebody can see that it does.
pub const LOOK_PERIOD_NS: u64 = 100_000_000;

/// What the warden waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing is loaded.
    Empty,
    /// Load was ordered; the cell compiles and instantiates.
    Loading { deadline: Instant, run: bool },
    /// Loaded, not told to run.
    Installed,
    /// Told to run; the start hook runs.
    Starting { deadline: Instant },
    /// It runs, or waits for an event, until its lifetime is over.
    Active { expires: Option<Instant> },
    /// Stop was ordered.
    Stopping { deadline: Instant },
    /// The container has come to its end; its rights are gone.
    Ended,
    /// It has ended, and is loaded and started again at that time.
    BackOff { until: Instant },
}

/// What the plan of a container says about its phases.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Patience {
    /// The longest that starting may take.
    pub(crate) start_ns: u64,
    /// When its lifetime is over, had its first instruction run now.
    pub(crate) expires: Option<Instant>,
}

impl Phase {
    /// The phase after the cell was seen in `state`.
    pub(crate) fn after(self, state: ContainerState, now: Instant, patience: Patience) -> Self {
        use ContainerState as State;
        match (self, state) {
            (Self::Empty | Self::Ended | Self::BackOff { .. }, _) => self,
            (_, State::Finalised | State::Failed) => Self::Ended,
            (Self::Loading { run: true, .. }, State::Installed | State::Starting) => {
                Self::Starting { deadline: deadline(now, patience.start_ns) }
            }
            (Self::Loading { run: false, .. }, State::Installed) => Self::Installed,
            // It runs although nobody told it to: watched like one that was.
            (Self::Loading { .. } | Self::Installed, State::Starting | State::Ready | State::Running)
            | (Self::Starting { .. }, State::Ready | State::Running) => Self::Active { expires: patience.expires },
            _ => self,
        }
    }

    /// Whether there is a container that has not ended.
    pub(crate) const fn is_live(self) -> bool {
        !matches!(self, Self::Empty | Self::Ended | Self::BackOff { .. })
    }

    /// What a load in this phase is shown to have reached, where that is news.
    pub(crate) const fn reached(self) -> Option<Reached> {
        match self {
            Self::Installed => Some(Reached::Installed),
            Self::Active { .. } => Some(Reached::Running),
            _ => None,
        }
    }

    /// Whether the warden must come round by itself.
    pub(crate) fn is_watched(self) -> bool {
        !matches!(self, Self::Empty | Self::Installed | Self::Ended)
    }

    /// When something is due although nothing happens, where there is such a time: patience ends, a lifetime, a wait.
    pub(crate) const fn deadline(self) -> Option<Instant> {
        match self {
            Self::Loading { deadline, .. } | Self::Starting { deadline } | Self::Stopping { deadline } => {
                Some(deadline)
            }
            Self::Active { expires } => expires,
            Self::BackOff { until } => Some(until),
            Self::Empty | Self::Installed | Self::Ended => None,
        }
    }

    /// For how long a cell in this phase may give no sign of life; `None` where it need not give any.
    ///
    /// While loading, which is one long call of the compiler, the sign is that it shows that load; later it is the heartbeat. A
    /// hook may wait, and has a deadline.
    pub(crate) const fn silence_limit_ns(self) -> Option<u64> {
        match self {
            Self::Loading { .. } => Some(TAKE_UP_LIMIT_NS),
            Self::Active { .. } => Some(HEARTBEAT_LIMIT_NS),
            Self::Empty
            | Self::Installed
            | Self::Starting { .. }
            | Self::Stopping { .. }
            | Self::Ended
            | Self::BackOff { .. } => None,
        }
    }
}

/// When a hook that begins now must be over.
pub(crate) const fn deadline(now: Instant, hook_ns: u64) -> Instant {
    now.saturating_add(hook_ns.saturating_add(GRACE_NS))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_nanoseconds(7);
    const PATIENCE: Patience = Patience { start_ns: 1_000, expires: Some(Instant::from_nanoseconds(5_000)) };

    fn phases() -> [Phase; 10] {
        let deadline = Instant::from_nanoseconds(99);
        [
            Phase::Empty,
            Phase::Loading { deadline, run: false },
            Phase::Loading { deadline, run: true },
            Phase::Installed,
            Phase::Starting { deadline },
            Phase::Active { expires: None },
            Phase::Active { expires: Some(deadline) },
            Phase::Stopping { deadline },
            Phase::Ended,
            Phase::BackOff { until: deadline },
        ]
    }

    #[test]
    fn nothing_that_a_cell_says_revives_it_or_moves_a_deadline_it_has() {
        for phase in phases() {
            for &state in ContainerState::ALL {
                let after = phase.after(state, NOW, PATIENCE);
                assert!(phase.is_live() || after == phase, "{phase:?} {state}");
                if matches!(phase, Phase::Stopping { .. }) {
                    assert!(after == phase || after == Phase::Ended);
                }
                if core::mem::discriminant(&after) == core::mem::discriminant(&phase) {
                    assert_eq!(after.deadline(), phase.deadline());
                }
            }
        }
    }

    #[test]
    fn a_container_that_starts_gets_one_hook_limit_for_it() {
        let loading = Phase::Loading { deadline: NOW, run: true };
        let starting = loading.after(ContainerState::Starting, NOW, PATIENCE);
        assert_eq!(starting, Phase::Starting { deadline: Instant::from_nanoseconds(7 + 1_000 + GRACE_NS) });
        assert_eq!(starting.after(ContainerState::Starting, Instant::from_nanoseconds(500), PATIENCE), starting);
        assert_eq!(starting.after(ContainerState::Running, NOW, PATIENCE), Phase::Active { expires: PATIENCE.expires });
    }

    #[test]
    fn what_has_no_deadline_has_a_heartbeat_or_nothing_to_do() {
        for phase in phases().into_iter().filter(|phase| phase.is_watched()) {
            assert!(phase.deadline().is_some() || phase.silence_limit_ns().is_some(), "{phase:?}");
        }
    }
}
