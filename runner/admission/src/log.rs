//! What one container wrote, the oldest dropped first.
//!
//! Both buffers are made once, so that a container's output never asks for memory.

use alloc::{collections::VecDeque, vec::Vec};

use runner_interfaces::output::OUTPUT_PAYLOAD_BYTES;
use shared_ring_messages::LogRecord;

/// The most text of a container that is kept: some thousand lines.
pub const MAX_LOG_BYTES: usize = 64 * 1024;

/// The most records of a container that are kept: at 64 bytes a line, as many as [`MAX_LOG_BYTES`] has room for.
pub const MAX_LOG_RECORDS: usize = 1024;

/// What a page may carry: a frame less its envelope and cursors.
const PAGE_BYTES: usize = 7 * 1024;

/// The most that a record takes in a page beside its text: time (10), stream, flag, length (2).
const RECORD_OVERHEAD_BYTES: usize = 14;

/// One record's place in the text.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Counts every record, the lost ones too.
    number: u64,
    time_ns: u64,
    length: u16,
    stream: u8,
    continues: bool,
}

/// A piece of a log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) records: Vec<LogRecord>,
    pub(crate) next: u64,
    pub(crate) lost: u64,
}

/// One container's output.
#[derive(Debug)]
pub(crate) struct Log {
    entries: VecDeque<Entry>,
    text: VecDeque<u8>,
    /// The number of the next record.
    next: u64,
    /// Records dropped, by this log or before it.
    lost: u64,
    /// How far the reader has come who is to miss nothing; `None` where there is none.
    awaited: Option<u64>,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self {
            entries: VecDeque::with_capacity(MAX_LOG_RECORDS),
            text: VecDeque::with_capacity(MAX_LOG_BYTES),
            next: 0,
            lost: 0,
            awaited: None,
        }
    }

    /// One whose reader is to miss nothing: whoever wrote it waits where the reader does not keep up.
    pub(crate) fn awaited() -> Self {
        Self { awaited: Some(0), ..Self::new() }
    }

    /// Whether there is a reader who is to miss nothing.
    pub(crate) fn is_awaited(&self) -> bool {
        self.awaited.is_some()
    }

    /// The awaited reader asks for what is behind `cursor`, so he has the rest.
    pub(crate) fn note_read(&mut self, cursor: u64) {
        if let Some(read) = self.awaited.as_mut() {
            *read = cursor.min(self.next).max(*read);
        }
    }

    /// Waits for the reader `until` there, or for nobody; answers for whom it waited.
    pub(crate) fn wait_for(&mut self, until: Option<u64>) -> Option<u64> {
        core::mem::replace(&mut self.awaited, until)
    }

    /// Whether a record may be added now. Where somebody is awaited, only what he has read makes room; that is not lost.
    pub(crate) fn make_room(&mut self) -> bool {
        let Some(read) = self.awaited else { return true };
        while !self.has_room(OUTPUT_PAYLOAD_BYTES) {
            if self.entries.front().is_none_or(|oldest| oldest.number >= read) {
                return false;
            }
            self.drop_oldest();
        }
        true
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.entries.len() < MAX_LOG_RECORDS && self.text.len() + bytes <= MAX_LOG_BYTES
    }

    /// Adds a record, and answers how many old ones it pushed out.
    pub(crate) fn push(&mut self, time_ns: u64, stream: u8, continues: bool, bytes: &[u8]) -> u64 {
        // A ring's slot is far below either limit.
        let bytes = &bytes[..bytes.len().min(MAX_LOG_BYTES)];
        let Ok(length) = u16::try_from(bytes.len()) else { return 0 };
        let mut dropped = 0;
        while !self.has_room(bytes.len()) {
            self.drop_oldest();
            dropped += 1;
        }
        self.text.extend(bytes);
        self.entries.push_back(Entry { number: self.next, time_ns, length, stream, continues });
        self.next = self.next.saturating_add(1);
        self.lost = self.lost.saturating_add(dropped);
        dropped
    }

    /// The cell says that it could not deliver so many: they get numbers, so that a reader sees the gap.
    pub(crate) fn note_lost(&mut self, records: u64) {
        self.next = self.next.saturating_add(records);
        self.lost = self.lost.saturating_add(records);
    }

    /// Records lost so far.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    /// The records from `cursor` on, as many as fit a frame. A page ends before a gap, so that `lost` of the next one tells
    /// of it in the right place.
    pub(crate) fn page(&self, cursor: u64) -> Page {
        let from = self.entries.partition_point(|entry| entry.number < cursor);
        let mut position: usize = self.entries.iter().take(from).map(|entry| usize::from(entry.length)).sum();
        // Behind the last record there may be a gap still.
        let first = self.entries.get(from).map_or(self.next, |entry| entry.number);
        let mut page = Page { records: Vec::new(), next: first.max(cursor), lost: first.saturating_sub(cursor) };
        let mut room = PAGE_BYTES;
        for entry in self.entries.iter().skip(from) {
            let length = usize::from(entry.length);
            if entry.number != page.next || room < length + RECORD_OVERHEAD_BYTES {
                break;
            }
            room -= length + RECORD_OVERHEAD_BYTES;
            page.records.push(LogRecord {
                time_ns: entry.time_ns,
                stream: entry.stream,
                continues: entry.continues,
                bytes: self.text.range(position..position + length).copied().collect(),
            });
            position += length;
            page.next = entry.number.saturating_add(1);
        }
        page
    }

    /// Whether `cursor` lies behind everything.
    pub(crate) fn is_past_end(&self, cursor: u64) -> bool {
        cursor >= self.next
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.entries.pop_front() {
            self.text.drain(..usize::from(oldest.length));
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::String};

    use super::*;

    fn text(page: &Page) -> Vec<String> {
        page.records.iter().map(|record| String::from_utf8(record.bytes.clone()).unwrap()).collect()
    }

    #[test]
    fn pages_follow_each_other_without_gap_or_repetition() {
        let mut log = Log::new();
        for line in 0..1000 {
            assert_eq!(log.push(line, 1, false, format!("line {line}").as_bytes()), 0);
        }
        let (mut cursor, mut seen, mut pages) = (0, Vec::new(), 0);
        loop {
            let page = log.page(cursor);
            assert_eq!(page.lost, 0);
            if page.records.is_empty() {
                break;
            }
            seen.extend(text(&page));
            cursor = page.next;
            pages += 1;
        }
        assert!(pages > 1 && log.is_past_end(cursor));
        assert_eq!(seen, (0..1000).map(|line| format!("line {line}")).collect::<Vec<_>>());
    }

    #[test]
    fn the_oldest_goes_first_and_is_counted() {
        let mut log = Log::new();
        let dropped: u64 = (0..5000_u64).map(|line| log.push(line, 1, false, &[b'x'; 200])).sum();
        let page = log.page(0);
        assert_eq!(page.lost, dropped);
        assert_eq!(page.records[0].time_ns, dropped);
        assert_eq!(log.lost(), dropped);
        assert!(log.text.len() <= MAX_LOG_BYTES && log.text.capacity() == MAX_LOG_BYTES);
    }

    #[test]
    fn many_short_records_are_bounded_too() {
        let mut log = Log::new();
        for line in 0..10_000 {
            log.push(line, 1, false, b"");
        }
        assert_eq!(log.entries.len(), MAX_LOG_RECORDS);
        assert_eq!(log.entries.capacity(), MAX_LOG_RECORDS);
    }

    #[test]
    fn who_is_awaited_misses_nothing() {
        let mut log = Log::awaited();
        let mut pushed = 0_u64;
        while log.make_room() {
            assert_eq!(log.push(pushed, 1, false, &[b'x'; OUTPUT_PAYLOAD_BYTES]), 0);
            pushed += 1;
        }
        let page = log.page(0);
        assert!((page.lost, page.records[0].time_ns) == (0, 0) && !page.records.is_empty());
        log.note_read(page.next);
        assert!(log.make_room());
        log.push(pushed, 1, false, b"more");
        assert_eq!((log.lost(), log.page(page.next).lost), (0, 0));
        // A cursor from the future frees no more than there is.
        log.note_read(u64::MAX);
        while log.make_room() {
            log.push(0, 1, false, &[b'x'; OUTPUT_PAYLOAD_BYTES]);
        }
        assert_eq!(log.page(pushed + 1).lost, 0);
        // Where nobody is awaited any more, the oldest goes.
        assert!(log.wait_for(None).is_some());
        assert!(log.make_room() && log.push(0, 1, false, &[b'x'; OUTPUT_PAYLOAD_BYTES]) > 0);
    }

    #[test]
    fn a_gap_is_told_where_it_is() {
        let mut log = Log::new();
        log.push(0, 1, false, b"before");
        log.note_lost(3);
        log.push(1, 1, false, b"after");
        log.note_lost(2);
        let first = log.page(0);
        assert_eq!((text(&first), first.lost, first.next), (alloc::vec!["before".into()], 0, 1));
        let second = log.page(first.next);
        assert_eq!((text(&second), second.lost, second.next), (alloc::vec!["after".into()], 3, 5));
        let third = log.page(second.next);
        assert_eq!((text(&third), third.lost, third.next), (Vec::new(), 2, 7));
        assert!(log.is_past_end(7));
        assert_eq!(log.page(7), Page { records: Vec::new(), next: 7, lost: 0 });
    }

    #[test]
    fn a_cursor_from_the_future_waits_there() {
        let log = Log::new();
        assert_eq!(log.page(u64::MAX), Page { records: Vec::new(), next: u64::MAX, lost: 0 });
    }

    #[test]
    fn numbers_do_not_run_over() {
        let mut log = Log::new();
        log.note_lost(u64::MAX);
        log.push(0, 1, false, b"late");
        log.push(0, 1, false, b"later");
        assert!(log.page(0).records.len() <= 2);
    }

    #[test]
    fn every_page_fits_a_frame() {
        for length in [0, 1, 13, 228, 2000] {
            let mut log = Log::new();
            for _ in 0..MAX_LOG_RECORDS {
                log.push(u64::MAX, 8, true, &alloc::vec![0xff; length]);
            }
            let page = log.page(0);
            let answer = shared_ring_messages::Answer::Logs {
                records: page.records,
                next: u64::MAX,
                lost: u64::MAX,
                ended: true,
            };
            let message = shared_ring_messages::FromNode::Answer { number: u32::MAX, answer };
            assert!(shared_ring_messages::frame::encode(&message).is_ok());
        }
    }
}
