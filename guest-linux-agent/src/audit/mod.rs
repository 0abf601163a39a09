//! The chain of the audit log, computed anew from what a node or a file says of it.
//!
//! Trusts nobody for it: a page of the log and a line of a file are taken for what their bytes hash to. What that shows is in
//! docs/security.md: that these are the entries whose last hash this is, and not that nobody wrote all of them anew.

pub(crate) mod saved;
pub(crate) mod show;

use sha2::{Digest, Sha256};
use shared_ring_messages::{AuditEntry, AuditHash, AuditPage, FIRST_AUDIT_HASH};

use crate::{
    exit::Failure,
    session::{Error, Result},
};

/// An entry that is what its hash says, behind the one that it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) number: u64,
    pub(crate) previous: AuditHash,
    pub(crate) hash: AuditHash,
    /// The bytes that are chained.
    pub(crate) entry: Vec<u8>,
}

impl Link {
    /// The entry of these bytes behind one of that hash, which must hash to what is said.
    pub(crate) fn of(number: u64, previous: AuditHash, entry: &[u8], said: AuditHash) -> Result<Self> {
        let hash: AuditHash = Sha256::new().chain_update(previous).chain_update(entry).finalize().into();
        if hash != said {
            return Err(broken(format!("the chain breaks at entry {number}: its hash is not that of what it says")));
        }
        match AuditEntry::number_of(entry) {
            Some(own) if own == number => Ok(Self { number, previous, hash, entry: entry.to_vec() }),
            Some(own) => Err(broken(format!("the chain breaks at entry {number}: entry {own} is in its place"))),
            None => Err(broken(format!("the chain breaks at entry {number}: it is none"))),
        }
    }
}

/// How far a chain was followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    /// The first entry that was seen.
    first: Option<u64>,
    /// The number of the next one.
    next: u64,
    /// The hash of the entry before that, where it is known.
    hash: Option<AuditHash>,
}

impl Chain {
    /// One that begins with that entry, or the first behind it that there is.
    pub(crate) fn from(number: u64) -> Self {
        Self { first: None, next: number, hash: (number == 0).then_some(FIRST_AUDIT_HASH) }
    }

    /// Where the next page begins.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// The first and the last entry that were seen.
    pub(crate) fn span(&self) -> Option<(u64, u64)> {
        self.first.map(|first| (first, self.next - 1))
    }

    /// The hash of the last entry.
    pub(crate) fn head(&self) -> Option<AuditHash> {
        self.hash
    }

    /// Adds an entry that was hashed as the next one.
    pub(crate) fn add(&mut self, link: &Link) -> Result<()> {
        if link.number != self.next {
            return Err(gap(self.next, link.number));
        }
        if self.hash.is_some_and(|hash| hash != link.previous) {
            return Err(elsewhere(self.next));
        }
        self.first.get_or_insert(link.number);
        self.next = link.number.saturating_add(1);
        self.hash = Some(link.hash);
        Ok(())
    }

    /// Goes on behind entries that are not there any more.
    pub(crate) fn skip_to(&mut self, number: u64) {
        *self = Self { first: None, hash: None, next: number };
    }

    /// The entries of a page that was asked for from [`Chain::next`] on. Where entries were dropped before them, the chain
    /// begins anew with the first that is there.
    pub(crate) fn take(&mut self, page: &AuditPage) -> Result<Vec<Link>> {
        if page.end < self.next {
            // Whoever asks for what is to come has seen nothing yet.
            return if self.first.is_none() && self.next != 0 {
                Ok(Vec::new())
            } else {
                Err(other_start(page.end, self.next))
            };
        }
        if page.lost > 0 {
            let number = self.next.checked_add(page.lost).ok_or_else(miscounted)?;
            self.skip_to(number);
        }
        let mut links = Vec::with_capacity(page.records.len());
        let mut previous = page.previous;
        if self.hash.is_some_and(|hash| hash != previous) {
            return Err(elsewhere(self.next));
        }
        for record in &page.records {
            let link = Link::of(self.next, previous, &record.entry, record.hash)?;
            self.add(&link)?;
            previous = link.hash;
            links.push(link);
        }
        if page.next != self.next || page.next > page.end || (links.is_empty() && page.next != page.end) {
            return Err(miscounted());
        }
        if page.next == page.end && page.head != previous {
            let message =
                format!("the chain breaks behind entry {}: the newest has another hash", self.next.max(1) - 1);
            return Err(broken(message));
        }
        self.hash = Some(previous);
        Ok(links)
    }
}

/// The chain is not whole.
pub(crate) fn broken(message: String) -> Error {
    let hint = "somebody between you and the node changed it, or it was damaged on its way";
    Error { kind: "audit-broken", hint, ..Error::new(Failure::Audit, message) }
}

/// Entries are missing.
pub(crate) fn gap(from: u64, to: u64) -> Error {
    let missing = to.saturating_sub(1);
    let message = if missing <= from {
        format!("entry {from} is missing")
    } else {
        format!("the entries {from} to {missing} are missing")
    };
    Error { kind: "audit-gap", ..Error::new(Failure::Audit, message) }
}

fn elsewhere(number: u64) -> Error {
    let message = format!("the chain breaks before entry {number}: it does not follow the entry before it");
    let hint = "where the node was started anew in the meantime, its log begins anew; else somebody changed it";
    Error { kind: "audit-broken", hint, ..Error::new(Failure::Audit, message) }
}

fn other_start(end: u64, next: u64) -> Error {
    let message =
        format!("the node's log has {end} entries, and entry {next} was due: it was started anew in the meantime");
    Error { kind: "audit-broken", ..Error::new(Failure::Audit, message) }
}

fn miscounted() -> Error {
    broken("the node's answer does not hold the entries that it says".to_owned())
}

#[cfg(test)]
mod tests {
    use shared_ring_messages::{AuditKind, AuditRecord};

    use super::*;

    fn entry(number: u64) -> AuditEntry {
        AuditEntry {
            number,
            time_ns: number,
            count: 1,
            kind: AuditKind::Killed.number(),
            container: "a".into(),
            cell: None,
            load: 0,
            session: None,
            code: None,
            text: String::new(),
            sha256: None,
            upload: None,
        }
    }

    fn log(entries: u64) -> Vec<Link> {
        let mut previous = FIRST_AUDIT_HASH;
        let mut links = Vec::new();
        for number in 0..entries {
            let entry = entry(number).encode();
            let hash = Sha256::digest([&previous[..], &entry].concat()).into();
            links.push(Link { number, previous, hash, entry });
            previous = hash;
        }
        links
    }

    /// The page of these entries of a log.
    fn page(log: &[Link], from: usize, to: usize, lost: u64) -> AuditPage {
        AuditPage {
            previous: if from == 0 { FIRST_AUDIT_HASH } else { log[from - 1].hash },
            records: log[from..to]
                .iter()
                .map(|link| AuditRecord { entry: link.entry.clone(), hash: link.hash })
                .collect(),
            next: to as u64,
            lost,
            end: log.len() as u64,
            head: log.last().map_or(FIRST_AUDIT_HASH, |last| last.hash),
            held: 0,
        }
    }

    #[test]
    fn pages_make_a_chain() {
        let log = log(10);
        let mut chain = Chain::from(0);
        let mut links = chain.take(&page(&log, 0, 4, 0)).expect("whole");
        links.extend(chain.take(&page(&log, 4, 10, 0)).expect("whole"));
        assert_eq!((links, chain.span(), chain.head()), (log.clone(), Some((0, 9)), Some(log[9].hash)));
        assert_eq!(chain.take(&page(&log, 10, 10, 0)).expect("whole"), []);
        let mut chain = Chain::from(2);
        assert_eq!(chain.take(&page(&log, 5, 10, 3)).expect("whole").len(), 5);
        assert_eq!(chain.span(), Some((5, 9)));
        // Nothing yet of what is to come.
        assert_eq!(Chain::from(50).take(&page(&log, 10, 10, 0)).expect("nothing"), []);
        assert_eq!(Chain::from(0).take(&AuditPage::default()).expect("nothing"), []);
    }

    /// Every bit of every part of an answer.
    #[test]
    fn a_flipped_bit_breaks_the_chain() {
        let log = log(3);
        let whole = page(&log, 0, 3, 0);
        let bytes = bits_of(&whole);
        for position in 0..bytes {
            let mut page = whole.clone();
            flip(&mut page, position);
            assert!(Chain::from(0).take(&page).is_err(), "bit {position}: {page:?}");
        }
    }

    /// How many bits [`flip`] knows.
    fn bits_of(page: &AuditPage) -> usize {
        let records: usize = page.records.iter().map(|record| record.entry.len() + 32).sum();
        (32 + 32 + 8 + 8 + records) * 8
    }

    fn flip(page: &mut AuditPage, position: usize) {
        let (mut byte, bit) = (position / 8, 1_u8 << (position % 8));
        for hash in [&mut page.previous, &mut page.head] {
            if byte < 32 {
                hash[byte] ^= bit;
                return;
            }
            byte -= 32;
        }
        for number in [&mut page.next, &mut page.lost] {
            if byte < 8 {
                *number ^= u64::from(bit) << (8 * byte);
                return;
            }
            byte -= 8;
        }
        for record in &mut page.records {
            if let Some(found) = record.entry.get_mut(byte) {
                *found ^= bit;
                return;
            }
            byte -= record.entry.len();
            if byte < 32 {
                record.hash[byte] ^= bit;
                return;
            }
            byte -= 32;
        }
    }

    #[test]
    fn what_is_left_out_doubled_or_moved_breaks_the_chain() {
        let log = log(5);
        let whole = page(&log, 0, 5, 0);
        for index in 0..5 {
            let mut less = whole.clone();
            less.records.remove(index);
            assert!(Chain::from(0).take(&less).is_err(), "without {index}");
            less.next -= 1;
            // Without its last entry it is a page before another one, which does not come then.
            let mut chain = Chain::from(0);
            let rest = AuditPage { previous: log[3].hash, records: Vec::new(), ..less.clone() };
            assert!(chain.take(&less).and_then(|_| chain.take(&rest)).is_err(), "without {index}, counted");
            less.end -= 1;
            assert!(Chain::from(0).take(&less).is_err(), "without {index}, counted twice");
            let mut twice = whole.clone();
            twice.records.insert(index, twice.records[index].clone());
            assert!(Chain::from(0).take(&twice).is_err(), "{index} twice");
        }
        for index in 1..5 {
            let mut moved = whole.clone();
            moved.records.swap(index - 1, index);
            assert!(Chain::from(0).take(&moved).is_err(), "{index} moved");
        }
        let nothing = AuditPage { records: Vec::new(), next: 0, ..whole };
        assert!(Chain::from(0).take(&nothing).is_err(), "a node that keeps all to itself");
    }

    #[test]
    fn a_node_that_was_started_anew_is_told() {
        let log = log(9);
        let mut chain = Chain::from(0);
        chain.take(&page(&log, 0, 9, 0)).expect("whole");
        let anew = chain.clone().take(&page(&log[..2], 2, 2, 0)).expect_err("other");
        assert!(anew.message.contains("entry 9 was due"), "{anew}");
        let mut other = page(&log, 9, 9, 0);
        other.previous[0] ^= 1;
        let other = chain.take(&other).expect_err("another log");
        assert!(other.message.contains("before entry 9"), "{other}");
    }

    #[test]
    fn a_gap_is_named() {
        assert_eq!(gap(3, 4).message, "entry 3 is missing");
        assert_eq!(gap(3, 9).message, "the entries 3 to 8 are missing");
    }
}
