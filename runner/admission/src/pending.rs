//! Answers that wait for a cell to get somewhere.

use runner_interfaces::cell::ContainerState;

use crate::{container::View, session::SessionKey};

/// Requests of one session that may wait for a cell at a time: one for each of the verbs that wait.
pub const MAX_PENDING_REQUESTS: usize = 4;

/// What a request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Installed, or started where that was asked; otherwise the container goes.
    Deployed { start: bool },
    /// Started.
    Started,
    /// Ended.
    Ended,
    /// Ended, to be loaded and started again.
    EndedToStart,
    /// Another version's place taken, or not.
    Replaced,
}

/// A request that was not answered yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    /// Who asked; `None` where the session is gone and only the consequences matter.
    pub(crate) session: Option<SessionKey>,
    pub(crate) number: u32,
    pub(crate) serial: u64,
    pub(crate) generation: u32,
    pub(crate) wish: Wish,
}

/// How far a wish has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Waits,
    Fulfilled,
    Failed,
}

impl Wish {
    /// Whether a container that is seen like this fulfils the wish.
    pub(crate) fn progress(self, view: &View) -> Progress {
        use ContainerState as State;
        match (self, view.state) {
            // The warden says how that goes; see `update`.
            (Self::Replaced, _) => Progress::Waits,
            (Self::Ended | Self::EndedToStart, state) if state.is_final() => Progress::Fulfilled,
            (Self::Ended | Self::EndedToStart, _) => Progress::Waits,
            // Its failure is its own affair then, which its report and its log tell of.
            (_, State::Failed) if view.begun => Progress::Fulfilled,
            (_, State::Failed) => Progress::Failed,
            // A short command is over before anybody looks.
            (_, State::Ready | State::Running | State::Stopping | State::Finalised) => Progress::Fulfilled,
            (Self::Deployed { start: false }, State::Installed | State::Starting) => Progress::Fulfilled,
            (_, State::Empty | State::Provisioned | State::Loading | State::Installed | State::Starting) => {
                Progress::Waits
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use runner_interfaces::cell::FailureReason;

    use super::*;

    fn view(state: ContainerState, reason: FailureReason, begun: bool) -> View {
        View { state, reason, reason_text: String::new(), begun }
    }

    #[test]
    fn every_end_settles_every_wish() {
        for wish in [Wish::Deployed { start: true }, Wish::Deployed { start: false }, Wish::Started, Wish::Ended] {
            for state in [ContainerState::Finalised, ContainerState::Failed] {
                for begun in [false, true] {
                    assert_ne!(wish.progress(&view(state, FailureReason::Trap, begun)), Progress::Waits);
                }
            }
        }
    }

    #[test]
    fn a_trap_before_the_start_was_over_is_a_failed_start() {
        let wish = Wish::Deployed { start: true };
        assert_eq!(wish.progress(&view(ContainerState::Failed, FailureReason::Trap, false)), Progress::Failed);
        assert_eq!(wish.progress(&view(ContainerState::Failed, FailureReason::Trap, true)), Progress::Fulfilled);
    }

    #[test]
    fn installed_is_enough_only_where_no_start_was_asked() {
        let installed = view(ContainerState::Installed, FailureReason::None, false);
        assert_eq!(Wish::Deployed { start: false }.progress(&installed), Progress::Fulfilled);
        assert_eq!(Wish::Deployed { start: true }.progress(&installed), Progress::Waits);
        assert_eq!(Wish::Started.progress(&installed), Progress::Waits);
    }
}
