//! The `exchange` domain's protected procedures, and the status it shows.
//!
//! It holds the values of every channel between containers, so that they outlive a restart, an update or a crash of either
//! end. A *slot* is one channel of the node; a *binding* is one end of it, named by a cell and by the channel's place in the
//! manifest of the container there. `admission` declares slots and binds ends; `warden` lets a cell's ends go or moves them to
//! another cell; cells put and take. The server tells a caller by its channel and by nothing else, and an end is of use
//! only while the grants of its cell are in force (generation not 0): what stopped, crashed or was withdrawn reaches no
//! value, and finds its ends again when it is started anew.
//!
//! A value is 1 to [`MAX_VALUE_BYTES`] bytes, which the exchange never looks into. Up to [`WORD_BYTES`] travel in the words
//! of the call; longer ones lie at the head of a region: `cellN_to_exchange` for what is put, `exchange_to_cellN` for what is
//! taken. Each is copied out before it counts, and what its owner writes there later changes nothing.

use serde::{Deserialize, Serialize};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use shared_ring::sequenced_bytes;

use crate::{MAX_CELLS, boot_report::STATUS_REGION_BYTES, kernel::Message, usage::usage_bytes, wire_enum};

pub use crate::gpio::Status;

/// Slots of a node: four for each cell that the tables have room for.
pub const MAX_CHANNELS: usize = 32;

/// Ends that one container may have.
pub const MAX_BINDINGS: usize = 16;

/// The longest value. Copying one takes a call well under a microsecond.
pub const MAX_VALUE_BYTES: usize = 256;

/// What one slot's values may take together: 1,024 of up to 8 bytes, or 32 of the longest.
pub const STORE_BYTES: usize = 8 * 1024;

/// The deepest queue that a slot has room for, with the shortest values.
pub const MAX_DEPTH: usize = STORE_BYTES / STRIDE_ALIGNMENT;

/// The longest value that travels in a call's words.
pub const WORD_BYTES: usize = 16;

/// The least size of `cellN_to_exchange` and `exchange_to_cellN`: a page, which is the least that can be mapped. The value
/// lies at its head.
pub const VALUE_REGION_BYTES: usize = 0x1000;

/// Values begin at multiples of this in a slot, so that they are copied by whole words.
const STRIDE_ALIGNMENT: usize = 8;

/// The room that one value of up to `value_bytes` takes in its slot.
pub const fn stride_bytes(value_bytes: usize) -> usize {
    value_bytes.next_multiple_of(STRIDE_ALIGNMENT)
}

/// The deepest queue of values of up to `value_bytes`; 0 where no slot can hold such a value.
pub const fn deepest(value_bytes: usize) -> usize {
    if value_bytes == 0 || value_bytes > MAX_VALUE_BYTES { 0 } else { STORE_BYTES / stride_bytes(value_bytes) }
}

wire_enum! {
    /// A procedure's number, the label of the call.
    Procedure {
        /// A cell. Words: binding, length, and the value where it is no longer than [`WORD_BYTES`] (little-endian). `Full` where
        /// a queue has no room.
        Put = 1 => "put",
        /// A cell. Words: binding. Answers a [`Taken`]. From a queue it removes the oldest; of a latest value it answers
        /// one that is newer than what this end took last, else `Empty`.
        Take = 2 => "take",
        /// A cell. Words: binding. Answers a [`Taken`] without taking it: the oldest of a queue, the latest value however
        /// often it was taken.
        Peek = 3 => "peek",
        /// `admission`. A [`Declaration`]. The same again changes nothing; another one for a slot that has one is `Busy`.
        Declare = 4 => "declare a slot",
        /// `admission`. A [`Binding`]. The same again changes nothing. `Busy` where this end is bound to something
        /// else, or where the slot's one writer, or a queue's one reader, is somebody else.
        Bind = 5 => "bind an end",
        /// `admission`. Words: cell, binding.
        Unbind = 6 => "unbind an end",
        /// `admission`. Words: slot. Drops the declaration and the values; `Busy` while an end is bound.
        Forget = 7 => "forget a slot",
        /// `warden`. Words: cell. Unbinds all its ends; values stay. For a cell that is emptied: one that is only started
        /// anew keeps its ends, which are of no use while its grants are not in force.
        Release = 8 => "release a cell",
        /// `warden`. Words: from, to. At once: the ends of `from` are put on standby, those of `to` in use; an end of `to` goes on
        /// where that of `from` at the same slot was. With the words exchanged it gives them back. `Busy`, and nothing
        /// changed, where a third cell is in the way.
        TakeOver = 9 => "take over",
    }
}

wire_enum! {
    /// What a channel keeps. Numbers as in the manifest, where there is one.
    #[derive(Serialize, Deserialize)]
    Kind {
        /// The last value. Any number of readers, each of which sees it once.
        Latest = 1 => "latest",
        /// Values in their order, for one reader. Nothing is lost: where it is full, the writer is told.
        Queue = 2 => "queue",
    }
}

wire_enum! {
    /// Which way an end goes, seen from its container. Numbers as in the manifest.
    #[derive(Serialize, Deserialize)]
    Direction {
        /// It writes.
        Put = 1 => "put",
        /// It reads.
        Get = 2 => "get",
    }
}

/// What a slot is to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// Which.
    pub slot: u64,
    /// What is kept.
    pub kind: Kind,
    /// How many values: 1 where the latest is kept, up to [`deepest`] in a queue.
    pub depth: u32,
    /// Bytes of a value, at the most or exactly.
    pub value_bytes: u32,
    /// Whether every value has exactly that length.
    pub is_exact: bool,
    /// Of the values' type. The exchange only compares it.
    pub fingerprint: u64,
}

/// The bit of a declaration's third word that says that lengths are exact.
const EXACT: u64 = 1 << 32;

impl Declaration {
    /// The call that declares it.
    pub fn call(&self) -> Message {
        let kind = u64::from(self.kind.to_wire()) | u64::from(self.depth) << 32;
        let size = u64::from(self.value_bytes) | if self.is_exact { EXACT } else { 0 };
        message(Procedure::Declare, [self.slot, kind, size, self.fingerprint])
    }

    /// What a call declares; `None` where a word makes no sense, whatever the slots look like.
    pub fn of(message: &Message) -> Option<Self> {
        let [slot, kind, size, fingerprint] = message.words;
        if size > EXACT | u64::from(u32::MAX) {
            return None;
        }
        let declaration = Self {
            slot,
            kind: Kind::from_wire(low(kind))?,
            depth: low(kind >> 32),
            value_bytes: low(size),
            is_exact: size & EXACT != 0,
            fingerprint,
        };
        declaration.is_sound().then_some(declaration)
    }

    fn is_sound(&self) -> bool {
        let deepest = match self.kind {
            Kind::Latest => 1,
            Kind::Queue => deepest(self.value_bytes as usize),
        };
        let depth = self.depth as usize;
        1 <= depth && depth <= deepest && deepest_fits(self.value_bytes)
    }
}

/// Whether a slot can hold one such value.
fn deepest_fits(value_bytes: u32) -> bool {
    deepest(value_bytes as usize) != 0
}

/// The lower half of a word.
fn low(word: u64) -> u32 {
    let [first, second, third, fourth, ..] = word.to_le_bytes();
    u32::from_le_bytes([first, second, third, fourth])
}

/// An end that is to be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// In which cell.
    pub cell: u64,
    /// The place of the channel in the manifest of that cell's container.
    pub binding: u64,
    /// To what.
    pub slot: u64,
    /// Which way.
    pub direction: Direction,
    /// Whether it waits for a [`Procedure::TakeOver`]: until then every call through it is `Unbound`.
    pub is_standby: bool,
}

/// The bit of a binding's fourth word that says that it waits.
const STANDBY: u64 = 1 << 32;

impl Binding {
    /// The call that binds it.
    pub fn call(&self) -> Message {
        let direction = u64::from(self.direction.to_wire()) | if self.is_standby { STANDBY } else { 0 };
        message(Procedure::Bind, [self.cell, self.binding, self.slot, direction])
    }

    /// What a call binds; `None` where its direction makes no sense.
    pub fn of(message: &Message) -> Option<Self> {
        let [cell, binding, slot, direction] = message.words;
        let number = u32::try_from(direction & !STANDBY).ok()?;
        Some(Self {
            cell,
            binding,
            slot,
            direction: Direction::from_wire(number)?,
            is_standby: direction & STANDBY != 0,
        })
    }
}

/// The call that puts a value of `length` bytes, which is `value` or lies in the region.
pub fn put(binding: u8, length: usize, value: &[u8; WORD_BYTES]) -> Message {
    let [first, second] = words_of(value);
    message(Procedure::Put, [u64::from(binding), length as u64, first, second])
}

/// A call of one word: a binding, a slot, a cell.
pub fn call(procedure: Procedure, word: u64) -> Message {
    message(procedure, [word, 0, 0, 0])
}

/// A call of two words: a cell and a binding, or two cells.
pub fn call_with(procedure: Procedure, word: u64, other: u64) -> Message {
    message(procedure, [word, other, 0, 0])
}

fn message(procedure: Procedure, words: [u64; 4]) -> Message {
    Message { label: u64::from(procedure.to_wire()), words }
}

/// Bytes as two little-endian words.
pub fn words_of(bytes: &[u8; WORD_BYTES]) -> [u64; 2] {
    let word = |start: usize| u64::from_le_bytes(core::array::from_fn(|index| bytes[start + index]));
    [word(0), word(WORD_BYTES / 2)]
}

/// The bytes of two little-endian words.
pub fn bytes_of([first, second]: [u64; 2]) -> [u8; WORD_BYTES] {
    (u128::from(first) | u128::from(second) << 64).to_le_bytes()
}

/// What [`Procedure::Take`] and [`Procedure::Peek`] answer with `Ok`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Bytes of the value.
    pub length: u64,
    /// The value, where it is no longer than [`WORD_BYTES`]; else it lies in `exchange_to_cellN`, until the next call.
    pub value: [u8; WORD_BYTES],
    /// How many values this end missed between the last that it took and this one. None in a queue.
    pub overwritten: u64,
}

impl Taken {
    /// The answer that says it.
    pub fn answer(&self) -> Message {
        let [first, second] = words_of(&self.value);
        Message { label: u64::from(Status::Ok.to_wire()), words: [self.length, first, second, self.overwritten] }
    }

    /// What an answer says; its status where that is not `Ok`, `Unavailable` where no value has such a length.
    ///
    /// # Errors
    /// Why there is no value.
    pub fn of(answer: &Message) -> Result<Self, Status> {
        match Status::of(answer) {
            Status::Ok => {}
            status => return Err(status),
        }
        let [length, first, second, overwritten] = answer.words;
        if length == 0 || length > MAX_VALUE_BYTES as u64 {
            return Err(Status::Unavailable);
        }
        Ok(Self { length, value: bytes_of([first, second]), overwritten })
    }
}

/// Bytes of a slot's last value that are shown.
pub const SHOWN_VALUE_BYTES: usize = 32;

/// What the domain shows of itself in `exchange_status`, in a [`shared_ring::SequencedCell`] at offset 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ExchangeStatus {
    /// Calls served.
    pub calls: u64,
    /// Calls refused because the cell's grants are not in force.
    pub refused: u64,
    /// Of these, how many of each cell.
    pub refused_by_cell: [u64; MAX_CELLS],
    /// Calls that made no sense.
    pub invalid: u64,
    /// Calls of a cell through an end that is not bound, or on standby.
    pub unbound: u64,
    /// Take-overs, those that gave back included.
    pub take_overs: u64,
}

/// What the domain shows of a slot, in a [`shared_ring::SequencedCell`] of its own at [`slot_offset_bytes`]. All zero where
/// nothing is declared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SlotStatus {
    /// A [`Kind`]; 0 where nothing is declared.
    pub kind: u32,
    /// How many values it has room for.
    pub depth: u32,
    /// Bytes of a value, at the most.
    pub value_bytes: u32,
    /// How many values it holds now.
    pub held: u32,
    /// Of the values' type.
    pub fingerprint: u64,
    /// Values put since it was declared.
    pub puts: u64,
    /// Values taken, each reader for itself.
    pub takes: u64,
    /// Latest values that the next one replaced before any reader took them.
    pub overwritten: u64,
    /// How often a writer found a queue full.
    pub full: u64,
    /// When a value was last put, nanoseconds since the node's start; 0 before.
    pub last_put_ns: u64,
    /// Cells with an end in use that writes, a bit a cell: one at the most.
    pub writers: u32,
    /// Cells with an end in use that reads, a bit a cell.
    pub readers: u32,
    /// Bytes of the last value; 0 before the first.
    pub last_bytes: u32,
    /// Not used; keeps the layout free of padding.
    pub reserved: u32,
    /// The head of the last value, the rest zero.
    pub last: [u8; SHOWN_VALUE_BYTES],
}

/// Bytes between two slots' entries in `exchange_status`.
pub const SLOT_STRIDE_BYTES: usize = 256;

/// The least size of `exchange_status`: a page with the status and the report of its start, and two pages of slots.
pub const EXCHANGE_STATUS_REGION_BYTES: usize = EXCHANGE_USAGE_OFFSET_BYTES + usage_bytes(MAX_BINDINGS);

/// Where the [`crate::usage::UsageTable`] of the ends begins there: behind the slots.
pub const EXCHANGE_USAGE_OFFSET_BYTES: usize = STATUS_REGION_BYTES + MAX_CHANNELS * SLOT_STRIDE_BYTES;

/// A slot's entry ends before the next.
const _: () = assert!(sequenced_bytes::<SlotStatus>() <= SLOT_STRIDE_BYTES);

/// Where a slot's entry begins in `exchange_status`; `None` where there is no such slot.
pub const fn slot_offset_bytes(slot: usize) -> Option<usize> {
    if slot < MAX_CHANNELS { Some(STATUS_REGION_BYTES + slot * SLOT_STRIDE_BYTES) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: Declaration =
        Declaration { slot: 3, kind: Kind::Queue, depth: 1024, value_bytes: 8, is_exact: true, fingerprint: u64::MAX };

    #[test]
    fn what_is_declared_and_bound_arrives() {
        for declaration in [SOUND, Declaration { kind: Kind::Latest, depth: 1, is_exact: false, ..SOUND }] {
            assert_eq!(Declaration::of(&declaration.call()), Some(declaration));
        }
        for is_standby in [false, true] {
            let binding = Binding { cell: 7, binding: 15, slot: u64::MAX, direction: Direction::Get, is_standby };
            assert_eq!(Binding::of(&binding.call()), Some(binding));
        }
    }

    #[test]
    fn a_declaration_that_no_slot_can_hold_makes_no_sense() {
        let unsound = [
            Declaration { depth: 0, ..SOUND },
            Declaration { depth: 1025, ..SOUND },
            Declaration { depth: u32::MAX, ..SOUND },
            Declaration { value_bytes: 0, ..SOUND },
            Declaration { value_bytes: 9, ..SOUND },
            Declaration { value_bytes: 257, depth: 1, ..SOUND },
            Declaration { value_bytes: u32::MAX, depth: 1, ..SOUND },
            Declaration { kind: Kind::Latest, depth: 2, ..SOUND },
            Declaration { kind: Kind::Latest, depth: 1, value_bytes: 257, ..SOUND },
            Declaration { kind: Kind::Latest, depth: 1, value_bytes: 0, ..SOUND },
        ];
        for declaration in unsound {
            assert_eq!(Declaration::of(&declaration.call()), None, "{declaration:?}");
        }
        for (word, value) in [(1, 1024 << 32), (1, 3 | 1 << 32), (2, 1 << 33 | 8), (2, u64::MAX)] {
            let mut message = SOUND.call();
            message.words[word] = value;
            assert_eq!(Declaration::of(&message), None, "{value:#x}");
        }
    }

    #[test]
    fn a_direction_is_one_of_two() {
        let binding = Binding { cell: 0, binding: 0, slot: 0, direction: Direction::Put, is_standby: false };
        for word in [0, 3, STANDBY, STANDBY | 3, STANDBY << 1 | 1, u64::MAX] {
            let mut message = binding.call();
            message.words[3] = word;
            assert_eq!(Binding::of(&message), None, "{word:#x}");
        }
    }

    #[test]
    fn depth_and_length_share_the_store() {
        assert_eq!((deepest(1), deepest(8), deepest(9), deepest(256)), (1024, 1024, 512, 32));
        assert_eq!((deepest(0), deepest(257), deepest(usize::MAX)), (0, 0, 0));
    }

    #[test]
    fn a_value_comes_back_as_it_went() {
        let value = core::array::from_fn(|index| 0x81 + index.to_le_bytes()[0]);
        assert_eq!(bytes_of(words_of(&value)), value);
        assert_eq!(put(2, 16, &value).words, [2, 16, 0x8887_8685_8483_8281, 0x908f_8e8d_8c8b_8a89]);
        let taken = Taken { length: 16, value, overwritten: 4 };
        assert_eq!(Taken::of(&taken.answer()), Ok(taken));
    }

    #[test]
    fn an_answer_with_an_impossible_length_is_none() {
        for length in [0, 257, u64::MAX] {
            assert_eq!(Taken::of(&Taken { length, ..Taken::default() }.answer()), Err(Status::Unavailable));
        }
        assert_eq!(Taken::of(&Status::Empty.answer()), Err(Status::Empty));
        assert_eq!(Taken::of(&Message::new(crate::kernel::CALL_FAILED)), Err(Status::Unavailable));
    }
}
