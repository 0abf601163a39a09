//! What happened to containers, the oldest dropped first.
//!
//! A list of the node's, not of a container: who follows it sees containers come and go. It tells what a cell and the warden
//! showed; a cell can lie about its own container there as everywhere.

use alloc::{
    collections::VecDeque,
    string::{String, ToString},
    vec::Vec,
};

use shared_ring_messages::EventRecord;

/// The most events that are kept: a restart writes some six of them, so the last forty of those.
pub const MAX_EVENTS: usize = 256;

/// The longest text of an event, in bytes: a reason with the detail of a cell is shorter.
pub const MAX_EVENT_TEXT_BYTES: usize = 256;

/// Events in one page: with the longest names and texts, half a frame.
const PAGE_EVENTS: usize = 12;

/// The event of a container that its restart policy gave up.
pub(crate) const GIVEN_UP: &str = "given-up";

/// One thing that happened to one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) time_ns: u64,
    pub(crate) generation: u32,
    /// See [`EventRecord::event`].
    pub(crate) event: &'static str,
    pub(crate) text: String,
}

#[derive(Debug)]
struct Entry {
    container: String,
    cell: u8,
    event: Event,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Events {
    entries: VecDeque<Entry>,
    /// The number of the next event.
    next: u64,
}

/// A piece of the list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) records: Vec<EventRecord>,
    pub(crate) next: u64,
    pub(crate) lost: u64,
}

impl Events {
    pub(crate) fn push(&mut self, container: &str, cell: usize, mut event: Event) {
        event.text.truncate(event.text.floor_char_boundary(MAX_EVENT_TEXT_BYTES));
        event.text.shrink_to_fit();
        if self.entries.len() == MAX_EVENTS {
            self.entries.pop_front();
        }
        let cell = u8::try_from(cell).unwrap_or(u8::MAX);
        self.entries.push_back(Entry { container: container.to_string(), cell, event });
        self.next += 1;
    }

    pub(crate) fn page(&self, cursor: u64) -> Page {
        let oldest = self.next - self.entries.len() as u64;
        let first = cursor.clamp(oldest, self.next);
        let skipped = usize::try_from(first - oldest).unwrap_or(usize::MAX);
        let records: Vec<_> = self.entries.iter().skip(skipped).take(PAGE_EVENTS).map(Entry::record).collect();
        Page { next: first + records.len() as u64, records, lost: oldest.saturating_sub(cursor) }
    }
}

impl Entry {
    fn record(&self) -> EventRecord {
        EventRecord {
            time_ns: self.event.time_ns,
            container: self.container.clone(),
            cell: self.cell,
            generation: self.event.generation,
            event: self.event.event.to_string(),
            text: self.event.text.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use shared_ring_messages::{Answer, FromNode, frame};

    use super::*;

    fn event(time_ns: u64) -> Event {
        Event { time_ns, generation: 1, event: "failed", text: "x".repeat(2 * MAX_EVENT_TEXT_BYTES) }
    }

    #[test]
    fn a_reader_sees_each_once_and_how_many_it_missed() {
        let mut events = Events::default();
        assert_eq!(events.page(0), Page { records: Vec::new(), next: 0, lost: 0 });
        let total = MAX_EVENTS as u64 + 10;
        (0..total).for_each(|time| events.push("a", 1, event(time)));
        let (mut cursor, mut seen) = (0, Vec::new());
        assert_eq!(events.page(0).lost, 10);
        loop {
            let page = events.page(cursor);
            if page.records.is_empty() {
                break;
            }
            seen.extend(page.records.iter().map(|record| record.time_ns));
            cursor = page.next;
        }
        assert!(seen.iter().copied().eq(10..total));
        assert_eq!(events.page(u64::MAX), Page { records: Vec::new(), next: total, lost: 0 });
    }

    #[test]
    fn the_longest_page_fits_a_frame() {
        let mut events = Events::default();
        let name = "n".repeat(shared_ring_messages::MAX_NAME_BYTES);
        (0..MAX_EVENTS).for_each(|_| events.push(&name, usize::MAX, event(u64::MAX)));
        let Page { records, next, lost } = events.page(0);
        assert_eq!(records.len(), PAGE_EVENTS);
        assert!(records.iter().all(|record| record.text.len() == MAX_EVENT_TEXT_BYTES));
        frame::encode(&FromNode::Answer { number: u32::MAX, answer: Answer::Events { records, next, lost } }).unwrap();
    }
}
