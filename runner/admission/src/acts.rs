//! Which of all that happens goes into the audit log, and what is said of it.
//!
//! Who asked is the session by whose stream the request came; a name in a request never decides it. What containers are said
//! to have done is what the owners of resources and the warden show, not what their cells say of themselves.

use alloc::{format, string::ToString, vec::Vec};

use runner_interfaces::{MAX_CELLS, kernel::Instant};
use runner_tokens::{Accepted, Verdict};
use shared_ring::SharedMemory;
use shared_ring_messages::{Answer, AuditKind, AuditSigner, AuditUpload, Request};

use crate::{admission::Admission, audit::Act, container::Container, failure::Failure, policy::Policy, session::Phase};

/// The domains that refuse containers what they were not granted.
const OWNERS: [&str; 4] = ["gpio", "timer", "i2c", "exchange"];

/// Calls refused, by owner and cell.
pub(crate) type RefusedCalls = [[u64; MAX_CELLS]; OWNERS.len()];

/// A request that is recorded, before it is known what becomes of it.
pub(crate) struct Asked {
    act: Act,
    /// What it is where it is served at once; other requests are recorded where they come to something.
    accepted: Option<AuditKind>,
}

/// By whose keys a container came in.
fn signers(verdict: &Verdict) -> Vec<AuditSigner> {
    let signer = |token: &Accepted| AuditSigner { role: token.claims.kind().role().number(), key: token.key.0 };
    verdict.tokens.iter().map(signer).collect()
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
            Request::Deploy(request) | Request::Update { deploy: request, .. } => upload(&request.name, request.sha256),
            Request::Chunk { .. } | Request::Commit => {
                let port = self.sessions[index].upload.and_then(|cell| self.cells[cell].as_ref());
                match port.and_then(|port| port.container.as_ref()) {
                    Some(container) => upload(container.name(), container.request.sha256),
                    None => Asked { act: self.act_of(AuditKind::UploadRefused, index), accepted: None },
                }
            }
            Request::ChangeKeys { .. } => {
                Asked { act: self.act_of(AuditKind::KeysChanged, index), accepted: Some(AuditKind::KeysChanged) }
            }
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

    /// Looks at what the owners of resources refused to whom since the last look, and records the first refusal of each to a
    /// load. Where a container is started again by its policy between two looks, a refusal may be told of the load before.
    pub(crate) fn look_for_refused_calls(&mut self, now: Instant) {
        let shown = [
            self.gpio_status.try_read().map(|status| status.refused_by_cell),
            self.timer_status.try_read().map(|status| status.refused_by_cell),
            self.i2c_status.try_read().map(|status| status.refused_by_cell),
            self.exchange_status.try_read().map(|status| status.refused_by_cell),
        ];
        for (owner, shown) in shown.into_iter().enumerate() {
            let Some(shown) = shown else { continue };
            let seen = core::mem::replace(&mut self.refused_calls[owner], shown);
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
