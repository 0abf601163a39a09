//! What the slots hold.
//!
//! Each slot has the same room, taken once at the start: [`STORE_BYTES`] for values at equal distances, and a length for each.
//! A queue goes round in it. Nothing here knows who calls.

use alloc::vec;
use alloc::vec::Vec;

use runner_interfaces::MAX_CELLS;
use runner_interfaces::exchange::{
    Declaration, Kind, MAX_CHANNELS, MAX_DEPTH, MAX_VALUE_BYTES, SHOWN_VALUE_BYTES, STORE_BYTES, SlotStatus, Status,
    stride_bytes,
};

/// Cells, a bit each.
pub(crate) type CellSet = u32;

/// A set has a bit for every cell.
const _: () = assert!(MAX_CELLS <= CellSet::BITS as usize);

/// A value out of a slot, or on its way into one.
#[derive(Clone, Copy)]
pub(crate) struct Value {
    bytes: [u8; MAX_VALUE_BYTES],
    length: u16,
}

impl Value {
    /// The first `length` of `bytes`; `None` where no value is so long, or so short.
    pub(crate) fn new(bytes: [u8; MAX_VALUE_BYTES], length: usize) -> Option<Self> {
        let length = u16::try_from(length).ok()?;
        (1..=MAX_VALUE_BYTES).contains(&usize::from(length)).then_some(Self { bytes, length })
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// A slot that is declared.
struct Slot {
    declaration: Declaration,
    /// The place of the oldest value.
    first: usize,
    /// Somebody took the latest value.
    is_taken: bool,
}

/// All slots, on the heap: a domain's stack is small, and what is made is moved over it.
pub(crate) struct Store {
    slots: Vec<Option<Slot>>,
    /// What is shown of each; how many it holds and how often something was put count for the store itself.
    shown: Vec<SlotStatus>,
    /// [`STORE_BYTES`] a slot.
    values: Vec<u8>,
    /// [`MAX_DEPTH`] a slot: bytes of the value at the same place.
    lengths: Vec<u16>,
}

impl Store {
    pub(crate) fn new() -> Self {
        Self {
            slots: (0..MAX_CHANNELS).map(|_| None).collect(),
            shown: vec![SlotStatus::default(); MAX_CHANNELS],
            values: vec![0; MAX_CHANNELS * STORE_BYTES],
            lengths: vec![0; MAX_CHANNELS * MAX_DEPTH],
        }
    }

    pub(crate) fn shown(&self, slot: usize) -> &SlotStatus {
        &self.shown[slot]
    }

    /// What the slot keeps; none where it is not declared, or where there is no such slot.
    pub(crate) fn kind(&self, slot: usize) -> Option<Kind> {
        Some(self.slots.get(slot)?.as_ref()?.declaration.kind)
    }

    /// Values put since it was declared: the number of the last one, counted from 1.
    pub(crate) fn puts(&self, slot: usize) -> u64 {
        self.shown[slot].puts
    }

    /// Who writes and who reads. Answers whether that is news.
    pub(crate) fn set_ends(&mut self, slot: usize, writers: CellSet, readers: CellSet) -> bool {
        let shown = &mut self.shown[slot];
        let is_news = (shown.writers, shown.readers) != (writers, readers);
        (shown.writers, shown.readers) = (writers, readers);
        is_news
    }

    /// The cells that write: one at the most.
    pub(crate) fn writers(&self, slot: usize) -> CellSet {
        self.shown[slot].writers
    }

    /// The cells that read.
    pub(crate) fn readers(&self, slot: usize) -> CellSet {
        self.shown[slot].readers
    }

    pub(crate) fn declare(&mut self, declaration: Declaration) -> Result<(), Status> {
        let number = slot_number(declaration.slot)?;
        match &self.slots[number] {
            Some(slot) if slot.declaration == declaration => Ok(()),
            Some(_) => Err(Status::Busy),
            None => {
                self.slots[number] = Some(Slot { declaration, first: 0, is_taken: false });
                self.shown[number] = SlotStatus {
                    kind: declaration.kind.to_wire(),
                    depth: declaration.depth,
                    value_bytes: declaration.value_bytes,
                    fingerprint: declaration.fingerprint,
                    ..SlotStatus::default()
                };
                Ok(())
            }
        }
    }

    /// Drops declaration and values; the caller knows that no end is bound. The values' bytes go too, so that none of them is
    /// there for the next that is declared.
    pub(crate) fn forget(&mut self, number: usize) {
        self.slots[number] = None;
        self.shown[number] = SlotStatus::default();
        self.values[number * STORE_BYTES..][..STORE_BYTES].fill(0);
        self.lengths[number * MAX_DEPTH..][..MAX_DEPTH].fill(0);
    }

    /// Whether a value of `length` bytes may be put, which is looked at before any is copied.
    pub(crate) fn check_length(&self, number: usize, length: u64) -> Result<usize, Status> {
        let slot = self.slots[number].as_ref().ok_or(Status::Unbound)?;
        let most = u64::from(slot.declaration.value_bytes);
        let fits = if slot.declaration.is_exact { length == most } else { (1..=most).contains(&length) };
        usize::try_from(length).ok().filter(|_| fits).ok_or(Status::Invalid)
    }

    /// Puts a value whose length was checked.
    pub(crate) fn put(&mut self, number: usize, value: &Value, now_ns: u64) -> Result<(), Status> {
        let slot = self.slots[number].as_mut().ok_or(Status::Unbound)?;
        let shown = &mut self.shown[number];
        let place = match slot.declaration.kind {
            Kind::Queue if shown.held == shown.depth => {
                shown.full = shown.full.saturating_add(1);
                return Err(Status::Full);
            }
            Kind::Queue => {
                let place = (slot.first + shown.held as usize) % shown.depth as usize;
                shown.held += 1;
                place
            }
            Kind::Latest => {
                shown.overwritten += u64::from(shown.held == 1 && !slot.is_taken);
                shown.held = 1;
                slot.is_taken = false;
                0
            }
        };
        let bytes = value.as_bytes();
        self.values[start_of(number, place, &slot.declaration)..][..bytes.len()].copy_from_slice(bytes);
        self.lengths[number * MAX_DEPTH + place] = value.length;
        shown.puts += 1;
        shown.last_put_ns = now_ns;
        let head = &bytes[..bytes.len().min(SHOWN_VALUE_BYTES)];
        shown.last = [0; SHOWN_VALUE_BYTES];
        shown.last[..head.len()].copy_from_slice(head);
        shown.last_bytes = u32::from(value.length);
        Ok(())
    }

    /// The oldest value, which of a latest one is the only one.
    pub(crate) fn oldest(&self, number: usize) -> Result<Value, Status> {
        let slot = self.slots[number].as_ref().ok_or(Status::Unbound)?;
        if self.shown[number].held == 0 {
            return Err(Status::Empty);
        }
        let length = usize::from(self.lengths[number * MAX_DEPTH + slot.first]);
        let mut bytes = [0; MAX_VALUE_BYTES];
        let start = start_of(number, slot.first, &slot.declaration);
        bytes[..length].copy_from_slice(&self.values[start..][..length]);
        Value::new(bytes, length).ok_or(Status::Unavailable)
    }

    /// What [`Store::oldest`] answered was taken: it leaves a queue, and stays where the latest is kept. Answers whether there
    /// was no room before.
    pub(crate) fn take(&mut self, number: usize) -> bool {
        let Some(slot) = self.slots[number].as_mut() else { return false };
        let shown = &mut self.shown[number];
        shown.takes += 1;
        match slot.declaration.kind {
            Kind::Latest => {
                slot.is_taken = true;
                false
            }
            Kind::Queue => {
                let was_full = shown.held == shown.depth;
                slot.first = (slot.first + 1) % shown.depth as usize;
                shown.held = shown.held.saturating_sub(1);
                was_full
            }
        }
    }
}

/// A slot's number, where there is such a slot.
pub(crate) fn slot_number(word: u64) -> Result<usize, Status> {
    usize::try_from(word).ok().filter(|&number| number < MAX_CHANNELS).ok_or(Status::NotFound)
}

/// Where in all values the one at `place` of a slot begins. A declaration's depth times its stride is within a slot's room
/// (`Declaration::of`).
fn start_of(number: usize, place: usize, declaration: &Declaration) -> usize {
    number * STORE_BYTES + place * stride_bytes(declaration.value_bytes as usize)
}
