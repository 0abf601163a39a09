//! Which of all that happens goes into the audit log, and what is said of it.
//!
//! Who asked is the session by whose stream the request came; a name in a request never decides it. What containers are said
//! to have done is what the owners of resources and the warden show, not what their cells say of themselves.

use alloc::{format, string::ToString, vec::Vec};
use core::mem::offset_of;

use runner_interfaces::{
    MAX_CELLS, exchange::ExchangeStatus, gpio::GpioStatus, i2c::I2cStatus, kernel::Instant, timer::TimerStatus,
};
use runner_tokens::{Accepted, Signatures};
use shared_ring::{SequencedCell, SharedMemory};
use shared_ring_messages::{Answer, AuditKind, AuditSigner, AuditUpload, DeployRequest, Request};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::{admission::Admission, audit::Act, container::Container, failure::Failure, policy::Policy, session::Phase};

/// The domains that refuse containers what they were not granted.
const OWNERS: [&str; 4] = ["gpio", "timer", "i2c", "exchange"];

/// Calls refused, as far as they were looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RefusedCalls {
    /// By owner, whoever called.
    together: [u64; OWNERS.len()],
    /// By owner and cell.
    by_cell: [[u64; MAX_CELLS]; OWNERS.len()],
}

/// What a status says of each cell, where the count of all of them together, at that place in it, is another than was seen.
fn moved<M: SharedMemory, T: FromBytes + IntoBytes + Immutable>(
    status: &SequencedCell<M, T>,
    together_at: usize,
    seen: &mut u64,
    by_cell: fn(&T) -> [u64; MAX_CELLS],
) -> Option<[u64; MAX_CELLS]> {
    let together = status.try_read_part(together_at).filter(|together| together != seen)?;
    let shown = by_cell(&status.try_read()?);
    *seen = together;
    Some(shown)
}

/// A request that is recorded, before it is known what becomes of it.
pub(crate) struct Asked {
    act: Act,
    /// What it is where it is served at once; other requests are recorded where they come to something.
    accepted: Option<AuditKind>,
}

/// By whose keys a container came in.
fn signers(signatures: &Signatures) -> Vec<AuditSigner> {
    let signer = |token: &Accepted| AuditSigner { role: token.claims.kind().role().number(), key: token.key.0 };
    signatures.tokens.iter().map(signer).collect()
}

/// An act on that container.
pub(crate) fn of_container(kind: AuditKind, cell: usize, container: &Container) -> Act {
    Act { container: container.name().into(), cell: Some(cell), load: container.generation(), ..Act::new(kind) }
}

impl<M: SharedMemory + Clone> Admission<M> {
    pub(crate) fn record_boot(&mut self, now: Instant) {
        let identity = self.identity();
        let (sha256, policy) = match &self.policy {
            Ok(Policy { sha256, .. }) => (Some(*sha256), format!("policy of {}", identity.board)),
            Err(error) => (None, error.to_string()),
        };
        let text = format!("Atoll {} on {}, {policy}", identity.version, identity.substrate);
        self.audit.record(now, Act { text, sha256, ..Act::new(AuditKind::Boot) });
    }

    /// An act of that session.
    pub(crate) fn act_of(&self, kind: AuditKind, index: usize) -> Act {
        Act { session: Some(self.sessions[index].audited()), ..Act::new(kind) }
    }

    /// An act on the container in that cell.
    pub(crate) fn act_on(&self, kind: AuditKind, cell: usize) -> Act {
        let container = self.cells.get(cell).and_then(Option::as_ref).and_then(|port| port.container.as_ref());
        container.map_or(Act::new(kind), |container| of_container(kind, cell, container))
    }

    /// What is to be recorded of a request; `None` where it only asks.
    pub(crate) fn asked(&self, index: usize, request: &Request) -> Option<Asked> {
        let upload = |name: &str, sha256| {
            let act = self.act_of(AuditKind::UploadRefused, index);
            Asked { act: Act { container: name.into(), sha256: Some(sha256), ..act }, accepted: None }
        };
        let verb = |kind, name: &str| {
            let on = self.find(name).map_or(Act::new(kind), |cell| self.act_on(kind, cell));
            let session = self.act_of(kind, index).session;
            Asked { act: Act { container: name.into(), session, ..on }, accepted: Some(kind) }
        };
        Some(match request {
            Request::Deploy(request) | Request::DryRun(request) | Request::Update { deploy: request, .. } => {
                upload(&request.name, request.sha256)
            }
            Request::Chunk { .. } | Request::Commit => {
                let port = self.sessions[index].upload.and_then(|cell| self.cells[cell].as_ref());
                match port.and_then(|port| port.container.as_ref()) {
                    Some(container) => upload(container.name(), container.request.sha256),
                    None => Asked { act: self.act_of(AuditKind::UploadRefused, index), accepted: None },
                }
            }
            // One that is carried out is recorded there, with what it changes.
            Request::ChangeKeys { .. } => Asked { act: self.act_of(AuditKind::KeysChanged, index), accepted: None },
            Request::Start(name) => verb(AuditKind::Started, name),
            Request::Stop(name) => verb(AuditKind::Stopped, name),
            Request::Restart(name) => verb(AuditKind::Restarted, name),
            Request::Kill(name) => verb(AuditKind::Killed, name),
            Request::Remove(name) => verb(AuditKind::Removed, name),
            // Whoever has not greeted may not even ask.
            _ if self.sessions[index].phase != Phase::Open => {
                Asked { act: self.act_of(AuditKind::RequestRefused, index), accepted: None }
            }
            Request::Info
            | Request::List
            | Request::Inspect(_)
            | Request::Logs { .. }
            | Request::Events { .. }
            | Request::Audit { .. }
            | Request::Timing(_)
            | Request::Schedule
            | Request::Channels => return None,
        })
    }

    /// Records what became of a request. Refusals are alike whichever container they are about.
    pub(crate) fn record_request(
        &mut self,
        now: Instant,
        asked: Option<Asked>,
        result: &Result<Option<Answer>, Failure>,
    ) {
        let Some(Asked { act, accepted }) = asked else { return };
        match (result, accepted) {
            (Ok(_), Some(kind)) => self.audit.record(now, Act { kind, ..act }),
            (Ok(_), None) => {}
            (Err(Failure { code, detail }), _) => {
                let kind = if act.kind == AuditKind::UploadRefused { act.kind } else { AuditKind::RequestRefused };
                let (code, text) = (Some(*code), detail.clone());
                self.audit.record(now, Act { kind, cell: None, load: 0, code, text, ..act });
            }
        }
    }

    /// Records that the upload in that cell was accepted: its cell was told to load it.
    pub(crate) fn record_upload(&mut self, now: Instant, cell: usize) {
        let Ok(container) = self.container(cell) else { return };
        let kind = if container.replaces.is_some() { AuditKind::UpdateAccepted } else { AuditKind::Deployed };
        let upload = AuditUpload {
            manifest: container.declaration.name.clone(),
            version: container.declaration.version.clone(),
            rights: container.rights.texts.clone(),
            unsigned: container.signed.is_none(),
            signers: container.signed.as_ref().map(signers).unwrap_or_default(),
        };
        let act = Act {
            session: Some(container.uploader),
            sha256: Some(container.request.sha256),
            upload: Some(upload),
            ..of_container(kind, cell, container)
        };
        self.audit.record(now, act);
    }

    /// Records that the upload in that cell, accepted before, came to nothing.
    pub(crate) fn record_upload_failure(&mut self, now: Instant, kind: AuditKind, cell: usize, failure: &Failure) {
        let Ok(container) = self.container(cell) else { return };
        let act = Act {
            container: container.name().into(),
            session: Some(container.uploader),
            sha256: Some(container.request.sha256),
            code: Some(failure.code),
            text: failure.detail.clone(),
            ..Act::new(kind)
        };
        self.audit.record(now, act);
    }

    /// Records that the upload in that cell ends with its session. Alike wherever it was, so that a flood is counted.
    pub(crate) fn record_broken_upload(&mut self, now: Instant, index: usize, cell: usize, why: &str) {
        let Ok(container) = self.container_in(cell) else { return };
        let received = container.upload.as_ref().map_or(0, |upload| upload.received);
        let DeployRequest { name, size, sha256, .. } = &container.request;
        let act = Act {
            container: name.clone(),
            text: format!("{why}: {received} of {size} bytes had arrived"),
            sha256: Some(*sha256),
            ..self.act_of(AuditKind::UploadBrokenOff, index)
        };
        self.audit.record(now, act);
    }

    /// Looks at what the owners of resources refused to whom since the last look, and records the first refusal of each to a
    /// load. Where a container is started again by its policy between two looks, a refusal may be told of the load before.
    pub(crate) fn look_for_refused_calls(&mut self, now: Instant) {
        // Looked at in every round: a word of each status, and more where that word moved.
        let [gpio, timer, i2c, exchange] = &mut self.refused_calls.together;
        let shown = [
            moved(&self.gpio_status, offset_of!(GpioStatus, refused), gpio, |status| status.refused_by_cell),
            moved(&self.timer_status, offset_of!(TimerStatus, refused), timer, |status| status.refused_by_cell),
            moved(&self.i2c_status, offset_of!(I2cStatus, refused), i2c, |status| status.refused_by_cell),
            moved(&self.exchange_status, offset_of!(ExchangeStatus, refused), exchange, |status| {
                status.refused_by_cell
            }),
        ];
        for (owner, shown) in shown.into_iter().enumerate() {
            let Some(shown) = shown else { continue };
            let seen = core::mem::replace(&mut self.refused_calls.by_cell[owner], shown);
            for cell in (0..MAX_CELLS).filter(|cell| shown[*cell] != seen[*cell]) {
                self.record_refused_calls(now, owner, cell, shown[cell].wrapping_sub(seen[cell]));
            }
        }
    }

    fn record_refused_calls(&mut self, now: Instant, owner: usize, cell: usize, calls: u64) {
        let port = self.cells.get_mut(cell).and_then(Option::as_mut);
        let act = match port.and_then(|port| port.container.as_mut()) {
            Some(container) => {
                if !container.is_first_refusal(owner) {
                    return;
                }
                of_container(AuditKind::CallRefused, cell, container)
            }
            // Its container is gone, or it calls with none.
            None => Act { cell: Some(cell), ..Act::new(AuditKind::CallRefused) },
        };
        let text = format!("{} refused {calls}", OWNERS[owner]);
        self.audit.record(now, Act { text: text + if calls == 1 { " call" } else { " calls" }, ..act });
    }
}
