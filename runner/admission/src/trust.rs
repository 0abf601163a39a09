//! Whose word counts: the node's keys, what it learnt since its start, and the rule that unsigned containers obey.
//!
//! The key table is part of the boot image and trusted as far as that is; one that cannot be read means that nothing is deployed.
//! What is learnt (sequences, time, changes of keys) is gone at the next start, see `docs/security.md`.

use alloc::{
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};
use core::fmt;

use runner_container::Manifest;
use runner_interfaces::{
    kernel::{Instant, Kernel},
    warden::Procedure,
};
use runner_tokens::{
    Accepted, Key, KeyId, KeyTable, KeyTableError, Ledger, MAX_TABLE_BYTES, MAX_TOKEN_BYTES, Refusal, Signatures,
    TokenKind, Update, Verdict, is_signed, verify, verify_update,
};
use shared_ring::SharedMemory;
use shared_ring_messages::{Answer, AuditKind, DeployRequest, ErrorCode, KeyReport, MAX_CHANGE_BYTES, SignerReport};

use crate::{
    admission::Admission,
    audit::Act,
    counters::Counter,
    failure::{Failure, Quoted},
    requests::Served,
};

/// A change of keys comes in one message.
const _: () = assert!(MAX_TOKEN_BYTES <= MAX_CHANGE_BYTES);

/// Why no signature can be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoKeyTable(KeyTableError);

impl fmt::Display for NoKeyTable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the image's key table cannot be read ({}); nothing can be deployed", self.0)
    }
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(crate) struct Trust {
    table: KeyTable,
    ledger: Ledger,
}

impl Trust {
    pub(crate) fn read<M: SharedMemory>(region: &M) -> Result<Self, NoKeyTable> {
        let mut bytes = vec![0; region.size_bytes().min(MAX_TABLE_BYTES)];
        region.read(0, &mut bytes).map_err(|_| NoKeyTable(KeyTableError::Truncated))?;
        let table = KeyTable::read(&bytes).map_err(NoKeyTable)?;
        let ledger = Ledger::new(&table);
        Ok(Self { table, ledger })
    }

    /// The image is one that runs nothing unsigned, whatever the board's policy says.
    pub(crate) fn is_production(&self) -> bool {
        self.table.production
    }

    /// What its parties say of a container; none where nobody has signed it at all.
    pub(crate) fn verify(&mut self, wasm: &[u8], board: &str, now: Instant) -> Result<Option<Verdict>, Failure> {
        // What has no sections is no module either, and is refused as that where unsigned ones run.
        if !is_signed(wasm).unwrap_or(false) {
            return Ok(None);
        }
        self.pass_until(now);
        verify(wasm, board, &self.table, &self.ledger).map(Some).map_err(refused)
    }

    /// Remembers what was believed, so that nothing older is.
    pub(crate) fn accept(&mut self, signatures: &Signatures) -> Result<(), Failure> {
        self.ledger.accept(signatures).map_err(refused)
    }

    /// Carries out a change of keys, if the owner signed it.
    fn change_keys(&mut self, token: &[u8], board: &str, now: Instant) -> Result<Update, Failure> {
        self.pass_until(now);
        let update = verify_update(token, board, &self.table, &self.ledger).map_err(refused)?;
        self.ledger.apply(&self.table, &update).map_err(refused)?;
        Ok(update)
    }

    /// The first of these signatures whose key was revoked.
    fn revoked_among(&self, signatures: &Signatures) -> Option<Revoked> {
        let mut tokens = signatures.tokens.iter();
        let token = tokens.find(|token| self.ledger.revoked().contains(&token.key))?;
        Some(Revoked { kind: token.claims.kind(), key: token.key, was_live: false })
    }

    /// The keys that count and those that were revoked, for `emit info`.
    pub(crate) fn keys(&self) -> Vec<KeyReport> {
        let role = |key: Key| String::from(key.role.name());
        let believed = self.ledger.keys(&self.table);
        let believed = believed.map(|key| KeyReport { id: key.id().0, role: role(key), revoked: false });
        let revoked = self.ledger.revoked().iter().map(|id| KeyReport {
            id: id.0,
            role: self.table.key(*id).map(role).unwrap_or_default(),
            revoked: true,
        });
        believed.chain(revoked).collect()
    }

    fn pass_until(&mut self, now: Instant) {
        self.ledger.advance(now.nanoseconds() / 1_000_000_000);
    }
}

impl<M: SharedMemory + Clone> Admission<M> {
    pub(crate) fn trust(&mut self) -> Result<&mut Trust, Failure> {
        self.trust.as_mut().map_err(|error| Failure::internal(*error))
    }

    /// Whether the node runs what nobody signed: where the board's policy says so, and the image is none for use.
    pub(crate) fn runs_unsigned(&self) -> bool {
        let allowed = self.policy.as_ref().is_ok_and(|policy| policy.board.allow_unsigned);
        allowed && self.trust.as_ref().is_ok_and(|trust| !trust.is_production())
    }

    /// What its parties say of a container; none where nobody signed it and it may run all the same.
    pub(crate) fn verify(&mut self, wasm: &[u8], now: Instant) -> Result<Option<Verdict>, Failure> {
        self.verdict(wasm, now).inspect_err(|_| self.counters.count(Counter::SignaturesRefused))
    }

    fn verdict(&mut self, wasm: &[u8], now: Instant) -> Result<Option<Verdict>, Failure> {
        let board = self.policy()?.board.board.clone();
        let verdict = self.trust()?.verify(wasm, &board, now)?;
        if verdict.is_none() && !self.runs_unsigned() {
            let detail =
                "the container is not signed, and this node runs signed containers only; `emit sign` signs one";
            return Err(Failure::new(ErrorCode::NotSigned, detail));
        }
        Ok(verdict)
    }

    /// Brings a signed container to what was signed: its rights are those that both its manifest and the owner name, and what
    /// came with the request must not say otherwise.
    pub(crate) fn hold_to_signatures(
        &mut self,
        cell: usize,
        manifest: &Manifest,
        signatures: &Signatures,
    ) -> Result<(), Failure> {
        let rights = self.policy()?.resolve_signed(&manifest.grants, signatures.rights())?;
        let container = self.container(cell)?;
        if container.request.name != manifest.name {
            let (name, signed) = (Quoted(&container.request.name), Quoted(&manifest.name));
            let detail = format!("the container is signed as {signed}, so its name cannot be {name}");
            return Err(Failure::new(ErrorCode::NotSigned, detail));
        }
        if container.replaces.is_none() {
            // A new version was given what the old one had where nobody said anything.
            check_as_signed(&container.request, manifest)?;
        }
        container.request.arguments.clone_from(&manifest.arguments);
        container.request.environment.clone_from(&manifest.environment);
        container.rights = rights;
        container.signed = Some(signatures.clone());
        Ok(())
    }

    /// Changes the keys that count, and ends what runs by the word of one that does not count any more.
    pub(crate) fn change_keys<K: Kernel>(&mut self, kernel: &mut K, index: usize, token: &[u8]) -> Served {
        let (board, now) = (self.policy()?.board.board.clone(), kernel.now());
        let changed = self.trust()?.change_keys(token, &board, now);
        let update = changed.inspect_err(|_| self.counters.count(Counter::KeyChangesRefused))?;
        self.counters.count(Counter::KeysChanged);
        let act = self.act_of(AuditKind::KeysChanged, index);
        self.audit.record(now, Act { text: change_text(&update), ..act });
        let (mut stopped, mut barred) = (Vec::new(), Vec::new());
        // New versions first: what one of them has taken over goes back to the old version, which may go on.
        let mut cells: Vec<usize> = (0..self.cells.len()).collect();
        cells.sort_by_key(|cell| self.container_in(*cell).is_ok_and(|container| container.replaces.is_none()));
        for cell in cells {
            let Some((name, was_live)) = self.revoke(kernel, index, cell) else { continue };
            let names = if was_live { &mut stopped } else { &mut barred };
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(Some(Answer::KeysChanged { stopped, barred }))
    }

    /// Ends the container in that cell where a key that signed it does not count any more. Answers its name, and whether there
    /// was something to end.
    fn revoke<K: Kernel>(&mut self, kernel: &mut K, index: usize, cell: usize) -> Option<(String, bool)> {
        self.look_at(kernel, cell);
        let container = self.container_in(cell).ok()?;
        if container.revoked.is_some() {
            return None;
        }
        let revoked = self.trust.as_ref().ok()?.revoked_among(container.signed.as_ref()?)?;
        let was_live = !self.state(cell).is_final() || self.table.cells[cell].next_start_ns != 0;
        let is_heir = container.replaces.is_some();
        let revoked = Revoked { was_live, ..revoked };
        let (name, text) = (container.name().to_string(), revoked.to_string());
        self.container(cell).ok()?.revoked = Some(revoked);
        let session = self.act_of(AuditKind::Revoked, index).session;
        let act = Act { session, text: text.clone(), ..self.act_on(AuditKind::Revoked, cell) };
        self.audit.record(kernel.now(), act);
        self.note(cell, kernel.now(), "revoked", text);
        if was_live {
            // The old version goes on with what a new one has, which must let go of it at once.
            self.end_for_sure(kernel, cell, if is_heir { Procedure::Kill } else { Procedure::Stop });
        }
        Some((name, was_live))
    }
}

/// Why a container that was believed is not any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Revoked {
    kind: TokenKind,
    key: KeyId,
    /// It ran, or would have been started again.
    pub(crate) was_live: bool,
}

impl fmt::Display for Revoked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, key, .. } = self;
        write!(formatter, "the owner revoked key {key} of the {}, which signed its {kind} token", kind.role())
    }
}

/// Which keys were added and revoked.
fn change_text(update: &Update) -> String {
    let added = update.added().iter().map(|key| format!("added {} {}", key.role, key.id()));
    let revoked = update.revoked().iter().map(|key| format!("revoked {key}"));
    let all: Vec<_> = revoked.chain(added).collect();
    format!("key {} signed: {}", update.key, all.join(", "))
}

/// What came with the request of a signed container says what its manifest says, or nothing.
fn check_as_signed(request: &DeployRequest, manifest: &Manifest) -> Result<(), Failure> {
    let differs = |what: &str| {
        let detail = format!("the container is signed with other {what} than it was sent with; leave them out");
        Failure::new(ErrorCode::NotSigned, detail)
    };
    if !request.arguments.is_empty() && request.arguments != manifest.arguments {
        return Err(differs("arguments"));
    }
    if !request.environment.is_empty() && request.environment != manifest.environment {
        return Err(differs("variables"));
    }
    Ok(())
}

/// Who signed, for `emit inspect`.
pub(crate) fn signers(signatures: &Signatures) -> Vec<SignerReport> {
    let report = |token: &Accepted| SignerReport {
        token: token.claims.kind().name().into(),
        key: token.key.0,
        sequence: token.claims.sequence,
    };
    signatures.tokens.iter().map(report).collect()
}

/// The rule is named in the detail.
fn refused(refusal: Refusal) -> Failure {
    Failure::new(ErrorCode::NotSigned, refusal)
}
