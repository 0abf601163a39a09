//! Whose word counts: the node's keys, what it learnt since its start, and the rule that unsigned containers obey.
//!
//! The key table is part of the boot image and trusted as far as that is; one that cannot be read means that nothing is deployed.
//! What is learnt (sequences, time, changes of keys) is gone at the next start, see `docs/security.md`.

use alloc::{format, string::String, vec, vec::Vec};
use core::fmt;

use runner_container::Manifest;
use runner_interfaces::kernel::Instant;
use runner_tokens::{
    Accepted, Key, KeyTable, KeyTableError, Ledger, MAX_TABLE_BYTES, MAX_TOKEN_BYTES, Refusal, Verdict, is_signed,
    verify, verify_update,
};
use shared_ring::SharedMemory;
use shared_ring_messages::{Answer, DeployRequest, ErrorCode, KeyReport, MAX_CHANGE_BYTES, SignerReport};

use crate::{
    admission::Admission,
    counters::Counter,
    declaration,
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
    pub(crate) fn accept(&mut self, verdict: &Verdict) -> Result<(), Failure> {
        self.ledger.accept(verdict).map_err(refused)
    }

    /// Carries out a change of keys, if the owner signed it.
    pub(crate) fn change_keys(&mut self, token: &[u8], board: &str, now: Instant) -> Result<(), Failure> {
        self.pass_until(now);
        let update = verify_update(token, board, &self.table, &self.ledger).map_err(refused)?;
        self.ledger.apply(&self.table, &update).map_err(refused)
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
            let detail = "it is not signed, and this node runs signed containers only; `emit sign` signs one";
            return Err(Failure::new(ErrorCode::NotSigned, detail));
        }
        Ok(verdict)
    }

    /// Brings a signed container to what was signed: its rights are those that both its manifest and the owner name, and what
    /// came with the request must not say otherwise.
    pub(crate) fn hold_to_signatures(&mut self, cell: usize, wasm: &[u8], verdict: &Verdict) -> Result<(), Failure> {
        let manifest = declaration::manifest(wasm)?.ok_or_else(|| Failure::internal("a signed manifest is gone"))?;
        let rights = self.policy()?.resolve_signed(&manifest.grants, verdict.rights())?;
        let container = self.container(cell)?;
        if container.request.name != verdict.name {
            let (name, signed) = (Quoted(&container.request.name), Quoted(&verdict.name));
            return Err(Failure::new(ErrorCode::NotSigned, format!("it is signed as {signed} and cannot be {name}")));
        }
        if container.replaces.is_none() {
            // A new version was given what the old one had where nobody said anything.
            check_as_signed(&container.request, &manifest)?;
        }
        container.request.arguments = manifest.arguments;
        container.request.environment = manifest.environment;
        container.rights = rights;
        container.signed = Some(verdict.clone());
        Ok(())
    }

    /// Changes the keys that count.
    pub(crate) fn change_keys(&mut self, token: &[u8], now: Instant) -> Served {
        let board = self.policy()?.board.board.clone();
        match self.trust()?.change_keys(token, &board, now) {
            Ok(()) => {
                self.counters.count(Counter::KeysChanged);
                Ok(Some(Answer::Done))
            }
            Err(failure) => {
                self.counters.count(Counter::KeyChangesRefused);
                Err(failure)
            }
        }
    }
}

/// What came with the request of a signed container says what its manifest says, or nothing.
fn check_as_signed(request: &DeployRequest, manifest: &Manifest) -> Result<(), Failure> {
    let differs = |what: &str| {
        let detail = format!("it is signed with other {what} than it was sent with; leave them out");
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
pub(crate) fn signers(verdict: &Verdict) -> Vec<SignerReport> {
    let report = |token: &Accepted| SignerReport {
        token: token.claims.kind().name().into(),
        key: token.key.0,
        sequence: token.claims.sequence,
    };
    verdict.tokens.iter().map(report).collect()
}

/// The rule is named in the detail.
fn refused(refusal: Refusal) -> Failure {
    Failure::new(ErrorCode::NotSigned, refusal)
}
