//! A new version of a container takes the old one's place.
//!
//! The warden does it (`runner-warden`, `succession`); here it is asked for, and its outcome told. The new version is uploaded
//! into a cell of its own under the old one's name, which means the old one until the new one has proved itself.

use alloc::format;

use runner_interfaces::{
    cell::ContainerState,
    kernel::{Kernel, Message},
    warden::{Procedure, Succession, WardenStatus},
};
use shared_ring::SharedMemory;
use shared_ring_messages::{Answer, AuditKind, DeployRequest, ErrorCode};

use crate::{
    admission::Admission,
    container::{Purpose, Replaces, View, load_failure},
    counters::Counter,
    failure::Failure,
    pending::Wish,
    requests::Served,
};

/// How long a new version has to prove itself where nobody says: longer than a container takes that fails by what it finds
/// around it, short enough to wait for.
const DEFAULT_PROBATION_NS: u64 = 5_000_000_000;

/// The longest probation: meanwhile two cells are taken.
const LONGEST_PROBATION_NS: u64 = 3_600_000_000_000;

impl<M: SharedMemory + Clone> Admission<M> {
    /// Announces the upload of a new version. Where the request names no rights, arguments or variables, the old one's stand.
    pub(crate) fn begin_update<K: Kernel>(
        &mut self,
        kernel: &mut K,
        index: usize,
        mut request: DeployRequest,
        probation_ns: u64,
    ) -> Served {
        self.check_announcement(index, &request)?;
        let old = self.find(&request.name).ok_or_else(|| Failure::no_such_container(&request.name))?;
        self.look_at(kernel, old);
        let state = self.state(old);
        if !matches!(state, ContainerState::Ready | ContainerState::Running) {
            let advice = "only one that runs can be replaced; remove it and deploy the new one";
            let detail = format!("the container `{}` is {state}; {advice}", request.name);
            return Err(Failure::new(ErrorCode::WrongState, detail));
        }
        let serial = self.container(old)?.serial;
        if self.successor_of(serial).is_some() {
            let detail = format!("an update of `{}` is under way", request.name);
            return Err(Failure::new(ErrorCode::WrongState, detail));
        }
        let stands = &self.container(old)?.request;
        if request.grants.is_empty() {
            request.grants = stands.grants.clone();
        }
        if request.arguments.is_empty() {
            request.arguments = stands.arguments.clone();
        }
        if request.environment.is_empty() {
            request.environment = stands.environment.clone();
        }
        request.attached = false;
        let rights = self.policy()?.resolve(&request.grants)?;
        let probation_ns = if probation_ns == 0 { DEFAULT_PROBATION_NS } else { probation_ns };
        if probation_ns > LONGEST_PROBATION_NS {
            return Err(Failure::protocol("a probation has at most an hour"));
        }
        self.reserve(kernel, index, request, rights, Purpose::Update(Replaces { serial, probation_ns }))
    }

    /// Has the warden replace the old version by the one in that cell, where that is what it is for.
    pub(crate) fn begin_succession<K: Kernel>(&mut self, kernel: &mut K, cell: usize) -> Result<Option<Wish>, Failure> {
        let Some(Replaces { serial, probation_ns }) = self.container(cell)?.replaces else { return Ok(None) };
        let gone = || Failure::new(ErrorCode::WrongState, "the version that was to be replaced is gone");
        let old = self.position(|container| container.serial == serial).ok_or_else(gone)?;
        let words = [old as u64, cell as u64, probation_ns.div_ceil(1_000), 0];
        let answer = self.call_warden(kernel, Message { label: Procedure::Succeed.to_wire().into(), words });
        self.refresh_table();
        match WardenStatus::of(&answer) {
            WardenStatus::Ok => Ok(Some(Wish::Replaced)),
            WardenStatus::WrongState => {
                Err(Failure::new(ErrorCode::WrongState, "the version that was to be replaced does not run any more"))
            }
            status => {
                self.counters.count(Counter::WardenRefusals);
                Err(Failure::internal(format!("the warden refused to replace it: {status}")))
            }
        }
    }

    /// The answer to an update, once there is one: the new version has the place of the old one, which is removed; or the old
    /// one has it still, and the new one is removed.
    pub(crate) fn settle_update<K: Kernel>(&mut self, kernel: &mut K, cell: usize) -> Option<Result<Answer, Failure>> {
        let container = self.cells[cell].as_ref()?.container.as_ref()?;
        let shown = &self.table.cells[cell];
        let replaces = container.replaces;
        match container.succession(shown) {
            Succession::None | Succession::Preparing | Succession::Probation => None,
            Succession::RolledBack => {
                // The warden says so when it has seen how it ended; what was read of the cell before may be older.
                self.look_at(kernel, cell);
                let container = self.cells[cell].as_ref()?.container.as_ref()?;
                let failure = rolled_back(&container.view(&self.table.cells[cell], self.options.fault_name));
                self.counters.count(Counter::UpdatesRolledBack);
                self.record_upload_failure(kernel.now(), AuditKind::UpdateRolledBack, cell, &failure);
                self.remove_container(kernel, cell);
                Some(Err(failure))
            }
            Succession::Done => {
                let old = replaces.and_then(|replaces| self.position(|container| container.serial == replaces.serial));
                if let Some(old) = old {
                    if !self.state(old).is_final() {
                        // Its stop hook runs.
                        return None;
                    }
                    self.remove_container(kernel, old);
                }
                match self.container(cell) {
                    Ok(container) => container.replaces = None,
                    Err(failure) => return Some(Err(failure)),
                }
                let act = self.act_on(AuditKind::UpdateDone, cell);
                self.audit.record(kernel.now(), act);
                Some(self.container_answer(cell, kernel.now()))
            }
        }
    }
}

/// Why the old version goes on.
fn rolled_back(view: &View) -> Failure {
    match view.state {
        // It did not even start: that is a fault of the module, and told as such.
        ContainerState::Failed if !view.begun => load_failure(view),
        ContainerState::Failed => Failure::new(ErrorCode::RolledBack, &view.reason_text),
        _ => Failure::new(ErrorCode::RolledBack, "it came to its end in its probation"),
    }
}
