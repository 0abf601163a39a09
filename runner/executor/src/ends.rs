//! The ends of channels that a container has open, behind handles.
//!
//! Whether an end may be used, and what is at its other end, is the exchange's to say at each call. What a reader was given
//! last is kept here, so that it is read out word by word without asking again.

use alloc::boxed::Box;

use runner_container::value_type::ValueType;
use runner_interfaces::exchange::{Direction, MAX_BINDINGS, MAX_VALUE_BYTES};

use crate::handles::Handles;

/// A value with its length.
#[derive(Clone, Debug)]
pub(crate) struct ReaderValue {
    bytes: [u8; MAX_VALUE_BYTES],
    length: usize,
    /// How many were replaced unseen before it.
    pub(crate) missed: u64,
}

impl ReaderValue {
    /// Before the first.
    const NONE: Self = Self { bytes: [0; MAX_VALUE_BYTES], length: 0, missed: 0 };

    /// The first `length` of `bytes`; what is behind them does not count.
    pub(crate) fn new(mut bytes: [u8; MAX_VALUE_BYTES], length: usize, missed: u64) -> Self {
        let length = length.min(MAX_VALUE_BYTES);
        bytes[length..].fill(0);
        Self { bytes, length, missed }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Eight bytes, little-endian; zeros behind the end.
    pub(crate) fn word(&self, index: u32) -> u64 {
        let words = self.bytes.as_chunks().0;
        usize::try_from(index).ok().and_then(|index| words.get(index)).map_or(0, |word| u64::from_le_bytes(*word))
    }
}

/// An open end, as its handle names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpenEnd {
    /// Its number in the exchange.
    pub(crate) binding: u8,
    pub(crate) direction: Direction,
}

/// What is known of an open end.
#[derive(Debug)]
struct Details {
    value_type: ValueType,
    /// What it was given last, where it is a reader.
    value: Option<Box<ReaderValue>>,
}

/// Open ends by handle.
#[derive(Debug, Default)]
pub(crate) struct EndTable {
    handles: Handles<OpenEnd, MAX_BINDINGS>,
    /// By the end's number.
    details: [Option<Details>; MAX_BINDINGS],
}

impl EndTable {
    pub(crate) fn is_empty(&self) -> bool {
        self.handles.held().next().is_none()
    }

    pub(crate) fn is_open(&self, binding: u8) -> bool {
        self.handles.held().any(|end| end.binding == binding)
    }

    /// The handle of an end that was opened; `None` where there is no such end.
    pub(crate) fn insert(&mut self, end: OpenEnd, value_type: ValueType) -> Option<u32> {
        let details = self.details.get_mut(usize::from(end.binding))?;
        let value = (end.direction == Direction::Get).then(|| Box::new(ReaderValue::NONE));
        *details = Some(Details { value_type, value });
        self.handles.insert(end)
    }

    /// The number of the end behind a handle of that direction, and its type.
    pub(crate) fn get(&self, handle: u32, direction: Direction) -> Option<(u8, &ValueType)> {
        let end = self.handles.get(handle).filter(|end| end.direction == direction)?;
        let details = self.details.get(usize::from(end.binding))?.as_ref()?;
        Some((end.binding, &details.value_type))
    }

    /// The type of the reader behind a handle, and what it was given last.
    pub(crate) fn reader(&mut self, handle: u32) -> Option<(&ValueType, &mut ReaderValue)> {
        let end = self.handles.get(handle)?;
        let details = self.details.get_mut(usize::from(end.binding))?.as_mut()?;
        Some((&details.value_type, details.value.as_deref_mut()?))
    }

    /// Forgets a handle of that direction; whether there was one.
    pub(crate) fn remove(&mut self, handle: u32, direction: Direction) -> bool {
        let Some((binding, _)) = self.get(handle, direction) else { return false };
        self.details[usize::from(binding)] = None;
        self.handles.remove(handle).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number() -> ValueType {
        ValueType::parse("u8").expect("a type")
    }

    #[test]
    fn handles_keep_to_their_direction_and_their_table() {
        let mut table = EndTable::default();
        assert!(table.is_empty());
        let mut open = |binding, direction| table.insert(OpenEnd { binding, direction }, number());
        let writer = open(3, Direction::Put).expect("an end");
        let reader = open(15, Direction::Get).expect("an end");
        assert_eq!(open(16, Direction::Get), None, "no such end");
        assert!(table.is_open(3) && table.is_open(15) && !table.is_open(4) && !table.is_open(16));
        let binding = |table: &EndTable, handle, direction| table.get(handle, direction).map(|(binding, _)| binding);
        assert_eq!(binding(&table, writer, Direction::Put), Some(3));
        assert_eq!(binding(&table, reader, Direction::Get), Some(15));
        assert_eq!(binding(&table, reader, Direction::Put), None);
        assert!(table.reader(reader).is_some() && table.reader(writer).is_none());
        for wrong in [0, 3, 17, u32::MAX] {
            assert!(table.get(wrong, Direction::Put).is_none() && table.reader(wrong).is_none());
            assert!(!table.remove(wrong, Direction::Put));
        }
        assert!(!table.remove(reader, Direction::Put));
        assert!(table.remove(reader, Direction::Get) && table.remove(writer, Direction::Put));
        assert!(table.is_empty());
        let again = table.insert(OpenEnd { binding: 3, direction: Direction::Put }, number());
        assert!(again.is_some_and(|again| again != writer), "a handle that was dropped names nothing again");
    }

    #[test]
    fn words_end_with_the_value() {
        let value = ReaderValue::new([1; MAX_VALUE_BYTES], 10, 0);
        assert_eq!((value.word(0), value.word(1), value.word(2)), (0x0101_0101_0101_0101, 0x0101, 0));
        assert_eq!((value.word(31), value.word(32), value.word(u32::MAX)), (0, 0, 0));
        assert_eq!(ReaderValue::new([2; MAX_VALUE_BYTES], 256, 0).word(31), 0x0202_0202_0202_0202);
    }
}
