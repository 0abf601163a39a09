//! The audit log: who had what done, what was refused and why, the oldest dropped first, each entry chained to the one
//! before it.
//!
//! Apart from the events, which tell what happened to containers for whoever cares for those: here stands who asked, with
//! what, and what was refused. The chain (`shared_ring_messages::audit`) says nothing about who wrote it: admission is
//! trusted for that. It lets somebody who copied entries out before show that what is told now goes on from there.
//!
//! # Floods
//!
//! Whoever can open a port can have things refused as fast as they like, and do and undo what they may. Things of one kind,
//! with one reason, about one cell are *alike*: [`ALIKE_AT_ONCE`] of them get an entry each, and one more every
//! [`ALIKE_EVERY_NS`]; what comes faster is counted, and the next entry of that kind carries the count and tells of the last.
//! What is counted and not written yet is told with every page, and is written at the first thing recorded or asked after its
//! time. Accepted uploads are never put together: each has its entry, so a flood of those drops older entries, which is told.
//!
//! # Memory
//!
//! At the most [`MAX_AUDIT_ENTRIES`] of together [`MAX_AUDIT_BYTES`], in buffers that are made once, and [`MAX_ALIKE`]
//! counts with the last thing each.

use alloc::{collections::VecDeque, string::String, vec::Vec};

use runner_interfaces::kernel::Instant;
use sha2::{Digest, Sha256};
use shared_ring_messages::{
    AuditEntry, AuditHash, AuditKind, AuditPage, AuditRecord, AuditSession, AuditUpload, ErrorCode, FIRST_AUDIT_HASH,
    MAX_NAME_BYTES,
};

/// The most entries that are kept: a person's deploys, starts and stops of weeks, with the sessions that they took.
pub const MAX_AUDIT_ENTRIES: usize = 512;

/// The most bytes of entries that are kept: [`MAX_AUDIT_ENTRIES`] at 128 bytes each, which a refusal takes with its reason.
pub const MAX_AUDIT_BYTES: usize = 64 * 1024;

/// The longest text of an entry, in bytes, as of an event.
pub const MAX_AUDIT_TEXT_BYTES: usize = 256;

/// The longest rights of an entry, in bytes together: some forty. What is left out is told by its number.
const MAX_RIGHTS_BYTES: usize = 1024;

/// The longest version, in bytes. Versions are as long as who writes them likes.
const MAX_VERSION_BYTES: usize = 64;

/// Kinds, reasons and cells whose counts are kept: with eight cells there can be 126 (uploads and requests refused for 22
/// reasons each, five verbs and four things that the node sees of a cell or of none, five of sessions, uploads broken off).
/// Beyond, what was quiet for longest is written.
const MAX_ALIKE: usize = 128;

/// Alike things that get an entry each: more than a person makes in a row by mistyping.
const ALIKE_AT_ONCE: u64 = 8;

/// How often there is an entry of alike things after that: if everything that can be is flooded, and one is a flood of
/// [`MAX_ALIKE`], what was recorded before stays for four hours.
const ALIKE_EVERY_NS: u64 = 3_600_000_000_000;

/// What a page may carry: a frame less its envelope.
const PAGE_BYTES: usize = 7 * 1024;

/// What a record takes in a page beside its entry: its length and its hash.
const RECORD_OVERHEAD_BYTES: usize = 2 + size_of::<AuditHash>();

/// The most signers of an entry: one each of code, data, metadata and grant, twice over.
const MAX_SIGNERS: usize = 8;

/// Memory that the log needs at the most, in bytes.
pub(crate) const AUDIT_HEAP_BYTES: usize = MAX_AUDIT_BYTES
    + MAX_AUDIT_ENTRIES * size_of::<Place>()
    + MAX_ALIKE * (size_of::<Alike>() + MAX_AUDIT_TEXT_BYTES + MAX_NAME_BYTES);

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Act {
    pub(crate) kind: AuditKind,
    pub(crate) container: String,
    pub(crate) cell: Option<usize>,
    pub(crate) load: u32,
    pub(crate) session: Option<AuditSession>,
    pub(crate) code: Option<ErrorCode>,
    pub(crate) text: String,
    pub(crate) sha256: Option<[u8; 32]>,
    pub(crate) upload: Option<AuditUpload>,
}

impl Act {
    /// One of which nothing is known but its kind.
    pub(crate) const fn new(kind: AuditKind) -> Self {
        Self {
            kind,
            container: String::new(),
            cell: None,
            load: 0,
            session: None,
            code: None,
            text: String::new(),
            sha256: None,
            upload: None,
        }
    }

    /// What it shares with acts that are alike.
    fn likeness(&self) -> Likeness {
        (self.kind, self.code.map(|code| code as u8), self.cell)
    }

    /// Whether each must have an entry of its own.
    const fn stands_alone(&self) -> bool {
        matches!(
            self.kind,
            AuditKind::Boot
                | AuditKind::Deployed
                | AuditKind::UpdateAccepted
                | AuditKind::UpdateDone
                | AuditKind::UpdateRolledBack
                // There are as many as owners sign.
                | AuditKind::KeysChanged
                | AuditKind::Revoked
        )
    }

    /// Cuts what others may have made long.
    fn bound(&mut self) {
        cut(&mut self.container, MAX_NAME_BYTES);
        cut(&mut self.text, MAX_AUDIT_TEXT_BYTES);
        if let Some(upload) = &mut self.upload {
            cut(&mut upload.manifest, MAX_NAME_BYTES);
            cut(&mut upload.version, MAX_VERSION_BYTES);
            cut_rights(&mut upload.rights);
            upload.signers.truncate(MAX_SIGNERS);
        }
    }

    /// Its entry.
    fn entry(self, number: u64, time: Instant, count: u64) -> AuditEntry {
        let Self { kind, container, cell, load, session, code, text, sha256, upload } = self;
        let (kind, cell) = (kind.number(), cell.and_then(|cell| u8::try_from(cell).ok()));
        let time_ns = time.nanoseconds();
        AuditEntry { number, time_ns, count, kind, container, cell, load, session, code, text, sha256, upload }
    }
}

fn cut(text: &mut String, bytes: usize) {
    text.truncate(text.floor_char_boundary(bytes));
    text.shrink_to_fit();
}

fn cut_rights(rights: &mut Vec<String>) {
    let mut room = MAX_RIGHTS_BYTES;
    let fits = rights.iter().take_while(|right| {
        let fits = right.len() <= room;
        room = room.saturating_sub(right.len());
        fits
    });
    let (fits, all) = (fits.count(), rights.len());
    if fits < all {
        rights.truncate(fits);
        rights.push(alloc::format!("and {} more", all - fits));
    }
}

type Likeness = (AuditKind, Option<u8>, Option<usize>);

/// Things that are alike.
#[derive(Debug)]
struct Alike {
    likeness: Likeness,
    /// Entries that were written one by one, less those whose time has passed.
    spent: u64,
    /// When `spent` last became less, or something was last recorded.
    since: Instant,
    /// When the last of them happened.
    last: Instant,
    /// What is counted and not written: how many, the last of which.
    held: Option<(u64, Act)>,
}

impl Alike {
    /// Gives back an entry for each hour that has passed.
    fn refresh(&mut self, now: Instant) {
        let hours = now.nanoseconds_since(self.since) / ALIKE_EVERY_NS;
        if hours > 0 {
            self.spent = self.spent.saturating_sub(hours);
            self.since = now;
        }
    }
}

/// Where an entry lies.
#[derive(Clone, Copy, Debug)]
struct Place {
    hash: AuditHash,
    length: u16,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Audit {
    places: VecDeque<Place>,
    bytes: VecDeque<u8>,
    /// The hash of the last entry that was dropped.
    dropped: AuditHash,
    /// The number of the next entry.
    next: u64,
    alike: Vec<Alike>,
}

impl Audit {
    pub(crate) fn new() -> Self {
        Self {
            places: VecDeque::with_capacity(MAX_AUDIT_ENTRIES),
            bytes: VecDeque::with_capacity(MAX_AUDIT_BYTES),
            dropped: FIRST_AUDIT_HASH,
            next: 0,
            alike: Vec::with_capacity(MAX_ALIKE),
        }
    }

    /// Records what happened, or counts it where too much that is alike happened before.
    pub(crate) fn record(&mut self, now: Instant, mut act: Act) {
        act.bound();
        self.write_what_is_due(now);
        if act.stands_alone() {
            return self.append(now, 1, act);
        }
        let position = self.alike_of(now, act.likeness());
        let alike = &mut self.alike[position];
        alike.refresh(now);
        alike.last = now;
        if alike.spent >= ALIKE_AT_ONCE {
            let before = alike.held.as_ref().map_or(0, |(count, _)| *count);
            alike.held = Some((before.saturating_add(1), act));
            return;
        }
        if alike.spent == 0 {
            alike.since = now;
        }
        alike.spent += 1;
        self.append(now, 1, act);
    }

    /// The entries from `cursor` on, as many as fit a frame.
    pub(crate) fn page(&mut self, now: Instant, cursor: u64) -> AuditPage {
        self.write_what_is_due(now);
        let oldest = self.next - self.places.len() as u64;
        let first = cursor.clamp(oldest, self.next);
        let skipped = usize::try_from(first - oldest).unwrap_or(usize::MAX);
        let mut position: usize = self.places.iter().take(skipped).map(|place| usize::from(place.length)).sum();
        let mut room = PAGE_BYTES;
        let mut records = Vec::new();
        for place in self.places.iter().skip(skipped) {
            let length = usize::from(place.length);
            let Some(left) = room.checked_sub(length + RECORD_OVERHEAD_BYTES) else { break };
            room = left;
            let entry = self.bytes.range(position..position + length).copied().collect();
            records.push(AuditRecord { entry, hash: place.hash });
            position += length;
        }
        AuditPage {
            previous: self.hash_before(skipped),
            next: first + records.len() as u64,
            records,
            lost: oldest.saturating_sub(cursor),
            end: self.next,
            head: self.hash_before(self.places.len()),
            held: self.alike.iter().filter_map(|alike| alike.held.as_ref()).map(|(count, _)| *count).sum(),
        }
    }

    /// The hash that the entry at that place is chained to.
    fn hash_before(&self, place: usize) -> AuditHash {
        place.checked_sub(1).and_then(|before| self.places.get(before)).map_or(self.dropped, |before| before.hash)
    }

    /// Writes the counts whose time has come.
    fn write_what_is_due(&mut self, now: Instant) {
        for position in 0..self.alike.len() {
            let alike = &mut self.alike[position];
            if alike.held.is_none() {
                continue;
            }
            alike.refresh(now);
            if alike.spent < ALIKE_AT_ONCE {
                alike.spent += 1;
                self.write_held(position);
            }
        }
    }

    fn write_held(&mut self, position: usize) {
        let alike = &mut self.alike[position];
        if let Some((count, act)) = alike.held.take() {
            let last = alike.last;
            self.append(last, count, act);
        }
    }

    /// Where the count of that likeness is.
    fn alike_of(&mut self, now: Instant, likeness: Likeness) -> usize {
        if let Some(position) = self.alike.iter().position(|alike| alike.likeness == likeness) {
            return position;
        }
        let fresh = Alike { likeness, spent: 0, since: now, last: now, held: None };
        if self.alike.len() < MAX_ALIKE {
            self.alike.push(fresh);
            return self.alike.len() - 1;
        }
        let quietest = (0..self.alike.len()).min_by_key(|position| self.alike[*position].last).unwrap_or_default();
        self.write_held(quietest);
        self.alike[quietest] = fresh;
        quietest
    }

    fn append(&mut self, time: Instant, count: u64, act: Act) {
        let bytes = act.entry(self.next, time, count).encode();
        let length = u16::try_from(bytes.len()).expect("what is recorded was cut to less than two kilobytes");
        let previous = self.hash_before(self.places.len());
        while self.places.len() == MAX_AUDIT_ENTRIES || self.bytes.len() + bytes.len() > MAX_AUDIT_BYTES {
            self.drop_oldest();
        }
        let hash = Sha256::new().chain_update(previous).chain_update(&bytes).finalize().into();
        self.bytes.extend(&bytes);
        self.places.push_back(Place { hash, length });
        self.next += 1;
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.places.pop_front() {
            self.bytes.drain(..usize::from(oldest.length));
            self.dropped = oldest.hash;
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, vec};

    use proptest::prelude::*;
    use shared_ring_messages::{Answer, AuditSigner, FromNode, frame};

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanoseconds(seconds * 1_000_000_000)
    }

    fn deployed(name: &str) -> Act {
        Act { container: name.into(), cell: Some(1), ..Act::new(AuditKind::Deployed) }
    }

    fn refused(text: &str) -> Act {
        Act { code: Some(ErrorCode::NotAllowed), text: text.into(), ..Act::new(AuditKind::UploadRefused) }
    }

    /// All that is kept, from `cursor` on, after its chain was computed anew.
    fn whole(audit: &mut Audit, now: Instant, cursor: u64) -> Vec<AuditEntry> {
        let mut entries: Vec<AuditEntry> = Vec::new();
        let (mut cursor, mut hash) = (cursor, None);
        loop {
            let page = audit.page(now, cursor);
            assert!(hash.is_none_or(|hash| hash == page.previous && page.lost == 0), "pages follow each other");
            let mut previous = page.previous;
            for record in &page.records {
                let expected: AuditHash = Sha256::digest([&previous[..], &record.entry].concat()).into();
                assert_eq!(record.hash, expected);
                previous = expected;
                let entry = AuditEntry::decode(&record.entry).expect("an entry");
                assert!(entries.last().is_none_or(|last| last.number + 1 == entry.number));
                entries.push(entry);
            }
            hash = Some(previous);
            cursor = page.next;
            if page.records.is_empty() {
                assert_eq!((page.next, page.head), (page.end, previous));
                return entries;
            }
        }
    }

    #[test]
    fn what_is_recorded_is_told_in_its_order() {
        let mut audit = Audit::new();
        assert_eq!(audit.page(at(0), 0), AuditPage::default());
        for number in 0..100_u64 {
            audit.record(at(number), deployed(&format!("c{number}")));
        }
        let entries = whole(&mut audit, at(100), 0);
        assert_eq!(entries.len(), 100);
        for (number, entry) in (0..).zip(&entries) {
            assert_eq!((entry.number, entry.time_ns, entry.count), (number, number * 1_000_000_000, 1));
            assert_eq!((&entry.container, entry.cell), (&format!("c{number}"), Some(1)));
        }
        assert_eq!(whole(&mut audit, at(100), 60)[..], entries[60..]);
        let beyond = audit.page(at(100), u64::MAX);
        assert_eq!((beyond.next, beyond.end, beyond.lost, beyond.records.len()), (100, 100, 0, 0));
        assert_eq!(beyond.previous, beyond.head);
    }

    #[test]
    fn who_copied_entries_out_can_show_that_what_is_left_goes_on_from_there() {
        let mut audit = Audit::new();
        (0..200).for_each(|number| audit.record(at(number), deployed("early")));
        let copied = audit.page(at(200), 199);
        assert_eq!(copied.records.len(), 1);
        let total = MAX_AUDIT_ENTRIES as u64 + 200;
        (200..total).for_each(|number| audit.record(at(number), deployed("late")));
        let page = audit.page(at(total), 0);
        assert_eq!(page.lost, 200, "what was dropped is told");
        assert_eq!(AuditEntry::number_of(&page.records[0].entry), Some(200));
        assert_eq!(page.previous, copied.records[0].hash, "the hash of the last one that was dropped is there");
        assert_eq!(whole(&mut audit, at(total), 0).len(), MAX_AUDIT_ENTRIES);
    }

    #[test]
    fn long_entries_are_fewer() {
        let mut audit = Audit::new();
        let rights = (0..64).map(|line| format!("gpio:LINE-{line:_>20}:out")).collect();
        let signers = vec![AuditSigner { role: u8::MAX, key: [0xff; 8] }; 100];
        let upload =
            AuditUpload { manifest: "m".repeat(100), version: "é".repeat(100), rights, unsigned: true, signers };
        let longest = Act {
            container: "n".repeat(1000),
            load: u32::MAX,
            session: Some(AuditSession { number: u64::MAX, port: u8::MAX }),
            code: Some(ErrorCode::RolledBack),
            text: "é".repeat(1000),
            sha256: Some([0xff; 32]),
            upload: Some(upload),
            ..deployed("")
        };
        (0..1000).for_each(|_| audit.record(Instant::from_nanoseconds(u64::MAX), longest.clone()));
        assert!(audit.bytes.len() <= MAX_AUDIT_BYTES && audit.bytes.capacity() == MAX_AUDIT_BYTES);
        assert_eq!(audit.places.capacity(), MAX_AUDIT_ENTRIES);
        let entries = whole(&mut audit, at(0), 0);
        assert!((30..100).contains(&entries.len()), "{}", entries.len());
        let upload = entries[0].upload.as_ref().expect("there");
        assert_eq!((upload.manifest.len(), upload.version.len(), upload.signers.len()), (40, 64, MAX_SIGNERS));
        assert!(upload.rights.last().is_some_and(|last| last.starts_with("and ") && last.ends_with(" more")));
        let page = audit.page(at(0), 0);
        assert!(page.records.len() > 2);
        let page = AuditPage { next: u64::MAX, lost: u64::MAX, end: u64::MAX, held: u64::MAX, ..page };
        let answer = Answer::Audit(page.into());
        frame::encode(&FromNode::Answer { number: u32::MAX, answer }).expect("it fits");
    }

    #[test]
    fn every_page_fits_a_frame_and_has_something_on_it() {
        let mut audit = Audit::new();
        (0..600).for_each(|second| audit.record(at(second), deployed("x")));
        let page = audit.page(at(0), 0);
        assert!(page.records.len() > 100, "{}", page.records.len());
        frame::encode(&FromNode::Answer { number: u32::MAX, answer: Answer::Audit(page.into()) }).expect("it fits");
    }

    #[test]
    fn a_flood_of_what_is_alike_leaves_the_rest_where_it_is() {
        let mut audit = Audit::new();
        audit.record(at(0), deployed("mine"));
        // Names, texts and sessions may differ: whoever floods chooses them.
        for second in 1..=100_000_u64 {
            let session = Some(AuditSession { number: second, port: 0 });
            audit.record(at(second), Act { session, ..refused(&format!("reason {second}")) });
        }
        audit.record(at(100_001), deployed("mine too"));
        let entries = whole(&mut audit, at(100_001), 0);
        assert_eq!((entries[0].container.as_str(), entries[0].number), ("mine", 0));
        assert_eq!(entries.last().map(|entry| entry.container.as_str()), Some("mine too"));
        // One by one, then one an hour: 100,000 s are 27 hours.
        assert_eq!(entries.len(), 2 + 8 + 27);
        assert!(entries[1..9].iter().all(|entry| entry.count == 1));
        assert!(entries[10..36].iter().all(|entry| entry.count == 3600), "{entries:?}");
        let told: u64 = entries.iter().map(|entry| entry.count).sum();
        assert_eq!(told + audit.page(at(100_001), 0).held, 100_002, "everything is counted once");
    }

    #[test]
    fn what_was_counted_is_written_when_its_time_has_come() {
        let mut audit = Audit::new();
        (0..20).for_each(|second| audit.record(at(second), refused(&format!("{second}"))));
        let page = audit.page(at(20), 0);
        assert_eq!((page.records.len(), page.held), (8, 12));
        // Nothing happens any more but that somebody asks.
        let page = audit.page(at(3700), 8);
        assert_eq!((page.records.len(), page.held), (1, 0));
        let entry = AuditEntry::decode(&page.records[0].entry).expect("an entry");
        assert_eq!((entry.count, entry.text.as_str(), entry.time_ns), (12, "19", 19_000_000_000));
        // Each hour of quiet gives one back.
        (0..20).for_each(|second| audit.record(at(3700 + 3 * 3600 + second), refused("again")));
        assert_eq!(audit.page(at(3700 + 3 * 3600 + 20), 9).records.len(), 3);
    }

    #[test]
    fn reasons_and_cells_are_counted_apart() {
        let mut audit = Audit::new();
        for _ in 0..50 {
            for code in [ErrorCode::NotAllowed, ErrorCode::NotWasm] {
                audit.record(at(1), Act { code: Some(code), ..Act::new(AuditKind::UploadRefused) });
            }
            for cell in 0..4 {
                audit.record(at(1), Act { cell: Some(cell), ..Act::new(AuditKind::Killed) });
            }
        }
        let page = audit.page(at(1), 0);
        assert_eq!((page.end, page.held), (6 * 8, 6 * 42));
    }

    #[test]
    fn nothing_is_forgotten_where_there_are_more_kinds_than_counts() {
        let mut audit = Audit::new();
        let kinds = 2 * MAX_ALIKE;
        for _ in 0..20 {
            for cell in 0..kinds {
                audit.record(at(1), Act { cell: Some(cell % 256), ..Act::new(AuditKind::Killed) });
            }
        }
        assert_eq!(audit.alike.len(), MAX_ALIKE);
        let page = audit.page(at(1), 0);
        let dropped = page.lost;
        let kept: u64 = whole(&mut audit, at(1), 0).iter().map(|entry| entry.count).sum();
        assert_eq!(dropped + kept + page.held, 20 * kinds as u64);
    }

    fn act() -> impl Strategy<Value = Act> {
        let code = prop_oneof![Just(None), Just(Some(ErrorCode::NotAllowed)), Just(Some(ErrorCode::Protocol))];
        (0..AuditKind::ALL.len(), any::<String>(), proptest::option::of(0..8_usize), code, ".{0,400}").prop_map(
            |(kind, container, cell, code, text)| Act { container, cell, code, text, ..Act::new(AuditKind::ALL[kind]) },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn whatever_is_recorded_the_chain_is_whole_and_everything_is_counted(
            acts in proptest::collection::vec((act(), 0..10_000_u64, 1..40_u64), 1..60),
            asked_at in 0..60_usize,
        ) {
            let mut audit = Audit::new();
            let (mut seconds, mut happened, mut copied) = (0, 0, None);
            for (index, (act, pause, times)) in acts.into_iter().enumerate() {
                seconds += pause;
                (0..times).for_each(|_| audit.record(at(seconds), act.clone()));
                happened += times;
                if index == asked_at {
                    copied = Some((audit.next, audit.hash_before(audit.places.len())));
                }
            }
            prop_assert!(audit.bytes.len() <= MAX_AUDIT_BYTES && audit.places.len() <= MAX_AUDIT_ENTRIES);
            let page = audit.page(at(seconds), 0);
            let entries = whole(&mut audit, at(seconds), 0);
            let told: u64 = entries.iter().map(|entry| entry.count).sum();
            if page.lost == 0 {
                prop_assert_eq!(told + page.held, happened);
            }
            prop_assert_eq!(page.end - page.lost, entries.len() as u64);
            if let Some((next, hash)) = copied {
                let page = audit.page(at(seconds), next);
                prop_assert!(page.lost > 0 || page.previous == hash);
            }
        }
    }
}
