//! What a node learnt since it started: sequences, time, changes of keys.
//!
//! There is no memory over a start: then the image's key table counts again, with the lowest sequences that it states.

use alloc::{string::String, vec::Vec};

use crate::{
    Accepted, Body, Key, KeyId, KeyTable, MAX_KEYS, MAX_REVOKED, MAX_SEQUENCES, Refusal, Role, Signatures, TokenKind,
    Update,
};

/// See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// The latest time that was learnt, and how long the node had been running then.
    learnt_s: u64,
    learnt_at_s: u64,
    uptime_s: u64,
    /// The highest accepted, in no order.
    sequences: Vec<Highest>,
    added: Vec<Key>,
    revoked: Vec<KeyId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Highest {
    kind: TokenKind,
    subject: String,
    sequence: u64,
}

impl Ledger {
    /// What the image says, and nothing learnt yet.
    #[must_use]
    pub const fn new(table: &KeyTable) -> Self {
        Self {
            learnt_s: table.image_time,
            learnt_at_s: 0,
            uptime_s: 0,
            sequences: Vec::new(),
            added: Vec::new(),
            revoked: Vec::new(),
        }
    }

    /// Tells it that the node has been running for so many seconds. Never goes back.
    pub fn advance(&mut self, uptime_s: u64) {
        self.uptime_s = self.uptime_s.max(uptime_s);
    }

    /// Tells it that it is at least so late, in seconds since 1970. What is earlier than what is known changes nothing. A host
    /// with a clock calls it before it verifies.
    pub fn learn_time(&mut self, unix_s: u64) {
        if unix_s > self.known_time() {
            self.learnt_s = unix_s;
            self.learnt_at_s = self.uptime_s;
        }
    }

    /// It is at least so late, in seconds since 1970.
    #[must_use]
    pub const fn known_time(&self) -> u64 {
        self.learnt_s.saturating_add(self.uptime_s.saturating_sub(self.learnt_at_s))
    }

    /// The lowest sequence that a token of that kind about that subject may have. A change of keys is carried out once, so its
    /// sequence must be higher than the last one's.
    #[must_use]
    pub fn lowest_sequence(&self, table: &KeyTable, kind: TokenKind, subject: &str) -> u64 {
        let once = u64::from(kind == TokenKind::Keys);
        let accepted = self.highest(kind, subject).map_or(0, |at| self.sequences[at].sequence.saturating_add(once));
        accepted.max(table.minimum(kind, subject)).max(1)
    }

    /// A key that is believed.
    ///
    /// # Errors
    /// [`Refusal::UnknownKey`], [`Refusal::RevokedKey`].
    pub fn key(&self, table: &KeyTable, kind: TokenKind, id: KeyId) -> Result<Key, Refusal> {
        if self.revoked.contains(&id) {
            return Err(Refusal::RevokedKey { kind, key: id });
        }
        let added = || self.added.iter().copied().find(|key| key.id() == id);
        table.key(id).or_else(added).ok_or(Refusal::UnknownKey { kind, key: id })
    }

    /// All keys that are believed: the table's, then those that were added.
    pub fn keys<'t>(&'t self, table: &'t KeyTable) -> impl Iterator<Item = Key> + use<'t> {
        let all = table.keys.iter().chain(&self.added).copied();
        all.filter(|key| !self.revoked.contains(&key.id()))
    }

    /// Keys that are not believed any more, in the order in which they were revoked.
    #[must_use]
    pub fn revoked(&self) -> &[KeyId] {
        &self.revoked
    }

    /// Remembers what an accepted container's tokens say: sequences and, by the owner's, the time.
    ///
    /// # Errors
    /// [`Refusal::LedgerFull`]; nothing is remembered then, and the container must not run.
    pub fn accept(&mut self, Signatures { tokens }: &Signatures) -> Result<(), Refusal> {
        let is_new = |Accepted { claims, .. }: &&Accepted| self.highest(claims.kind(), &claims.subject).is_none();
        let new = tokens.iter().filter(is_new);
        if self.sequences.len() + new.count() > MAX_SEQUENCES {
            return Err(Refusal::LedgerFull);
        }
        for Accepted { claims, .. } in tokens {
            self.remember(claims.kind(), &claims.subject, claims.sequence);
            if claims.kind().role() == Role::Owner {
                self.learn_time(claims.issued);
            }
        }
        Ok(())
    }

    /// What would be after a change of keys.
    pub(crate) fn with(&self, table: &KeyTable, update: &Update) -> Result<Self, Refusal> {
        let mut after = self.clone();
        let Body::Keys { added, revoked } = &update.claims.body else {
            return Ok(after);
        };
        for key in added {
            after.add(table, key)?;
        }
        for id in revoked {
            if added.iter().any(|key| key.id() == *id) {
                return Err(Refusal::BadKey { key: *id });
            }
            after.added.retain(|key| key.id() != *id);
            if !after.revoked.contains(id) {
                after.revoked.push(*id);
            }
        }
        if after.keys(table).all(|key| key.role != Role::Owner) {
            return Err(Refusal::NoOwnerLeft);
        }
        let new_subject = usize::from(self.highest(TokenKind::Keys, &update.claims.subject).is_none());
        let is_full = after.keys(table).count() > MAX_KEYS
            || after.revoked.len() > MAX_REVOKED
            || after.sequences.len() + new_subject > MAX_SEQUENCES;
        if is_full {
            return Err(Refusal::LedgerFull);
        }
        after.remember(TokenKind::Keys, &update.claims.subject, update.claims.sequence);
        after.learn_time(update.claims.issued);
        Ok(after)
    }

    /// A key that is known already in this role stays as it is.
    fn add(&mut self, table: &KeyTable, key: &Key) -> Result<(), Refusal> {
        let id = key.id();
        let bad = Refusal::BadKey { key: id };
        if !key.public.is_usable() || self.revoked.contains(&id) {
            return Err(bad);
        }
        let known = self.keys(table).find(|known| known.id() == id);
        match known {
            Some(known) if known == *key => {}
            Some(_) => return Err(bad),
            None => self.added.push(*key),
        }
        Ok(())
    }

    /// Carries out a change of keys.
    ///
    /// # Errors
    /// What [`crate::verify_update`] would say now, if something else changed in between; nothing has changed then.
    pub fn apply(&mut self, table: &KeyTable, update: &Update) -> Result<(), Refusal> {
        let lowest = self.lowest_sequence(table, TokenKind::Keys, &update.claims.subject);
        let sequence = update.claims.sequence;
        if sequence < lowest {
            return Err(Refusal::OlderSequence { kind: TokenKind::Keys, sequence, lowest });
        }
        self.key(table, TokenKind::Keys, update.key)?;
        *self = self.with(table, update)?;
        Ok(())
    }

    fn highest(&self, kind: TokenKind, subject: &str) -> Option<usize> {
        self.sequences.iter().position(|highest| highest.kind == kind && highest.subject == subject)
    }

    fn remember(&mut self, kind: TokenKind, subject: &str, sequence: u64) {
        match self.highest(kind, subject) {
            Some(at) => self.sequences[at].sequence = self.sequences[at].sequence.max(sequence),
            None => self.sequences.push(Highest { kind, subject: subject.into(), sequence }),
        }
    }
}
