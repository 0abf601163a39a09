//! What the device remembers of one port: what the guest is due, where its sessions begin and end, what is half taken.
//!
//! Everything here has a fixed size, however often a hostile guest opens and closes.

use alloc::vec::Vec;

use super::control::event;
use crate::virtqueue::{Chain, MAX_QUEUE_SIZE, Segment};

/// Openings and closings that wait for the host at the most. More than one needs a guest that opens and closes faster
/// than the host looks; of what does not fit, whole sessions that nobody saw are dropped and counted.
pub(super) const MARKERS: usize = 4;

/// An opening or a closing, and how far the transmit queue was filled then; without a place where there is no queue any
/// more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marker {
    pub(super) opens: bool,
    pub(super) at: Option<u16>,
}

/// The openings and closings that the host has not taken. They alternate.
#[derive(Clone, Debug, Default)]
pub(super) struct Markers {
    waiting: [Option<Marker>; MARKERS],
}

impl Markers {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting[0].is_none()
    }

    pub(super) fn front(&self) -> Option<Marker> {
        self.waiting[0]
    }

    fn len(&self) -> usize {
        self.waiting.iter().flatten().count()
    }

    pub(super) fn pop(&mut self) {
        self.waiting.rotate_left(1);
        self.waiting[MARKERS - 1] = None;
    }

    pub(super) fn last(&self) -> Option<Marker> {
        self.waiting.iter().flatten().last().copied()
    }

    fn drop_last(&mut self) {
        if let Some(slot) = self.len().checked_sub(1) {
            self.waiting[slot] = None;
        }
    }

    /// Adds a marker; answers how many sessions had to be forgotten for it.
    pub(super) fn push(&mut self, marker: Marker) -> u64 {
        let length = self.len();
        if let Some(slot) = self.waiting.get_mut(length) {
            *slot = Some(marker);
            return 0;
        }
        // Full, and they alternate: forget the last session altogether. A closing cancels the opening before it; an
        // opening replaces the closing and the opening before that.
        self.drop_last();
        if marker.opens {
            self.drop_last();
            self.push(marker);
        }
        1
    }
}

/// A chain of the transmit queue that the host is taking, maybe in several steps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Partial {
    pub(super) chain: Chain,
    pub(super) segment: usize,
    pub(super) offset: u32,
}

/// One port.
#[derive(Debug, Default)]
pub(super) struct Port {
    /// Messages that the guest is due, in this order.
    pub(super) add_due: bool,
    pub(super) name_due: bool,
    pub(super) open_due: Option<bool>,
    /// The guest has the port open, as far as its last message says.
    pub(super) guest_open: bool,
    /// The host knows of an open session.
    pub(super) reported_open: bool,
    /// The host ended the session and waits for the guest to close.
    pub(super) host_closing: bool,
    pub(super) markers: Markers,
    pub(super) partial: Option<Partial>,
    /// The buffers of `partial`.
    pub(super) segments: Vec<Segment>,
}

impl Port {
    pub(super) fn new() -> Self {
        Self { segments: Vec::with_capacity(usize::from(MAX_QUEUE_SIZE)), ..Self::default() }
    }

    /// Whether bytes from the guest still interest the host.
    pub(super) fn is_deliverable(&self) -> bool {
        self.reported_open && !self.host_closing
    }

    /// Whether what the host sends belongs to the session that the guest has open.
    pub(super) fn is_live(&self) -> bool {
        self.reported_open && !self.host_closing && self.guest_open && self.markers.is_empty()
    }

    /// The device or the driver is gone. Answers how many sessions nobody saw.
    pub(super) fn take_down(&mut self) -> u64 {
        let opened = self.markers.waiting.iter().flatten().filter(|marker| marker.opens).count();
        let reported_open = self.reported_open;
        let segments = core::mem::take(&mut self.segments);
        *self = Self { reported_open, segments, ..Self::default() };
        if reported_open {
            self.markers.push(Marker { opens: false, at: None });
        }
        opened as u64
    }

    /// The next message that the guest is due about this port: its event and value.
    pub(super) fn next_due(&self) -> Option<(u16, u16)> {
        if self.add_due {
            return Some((event::PORT_ADD, 1));
        }
        if self.name_due {
            return Some((event::PORT_NAME, 1));
        }
        self.open_due.map(|open| (event::PORT_OPEN, u16::from(open)))
    }

    pub(super) fn due_is_done(&mut self) {
        if self.add_due {
            self.add_due = false;
        } else if self.name_due {
            self.name_due = false;
        } else {
            self.open_due = None;
        }
    }
}
