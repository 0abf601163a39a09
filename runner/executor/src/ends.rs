//! The ends of channels that a container has open, behind handles that mean nothing outside it.
//!
//! A handle is an index into this table; a container that makes one up reaches at most another end that it opened itself.
//! Whether an end may be used, and what is at its other end, is the exchange's to say at each call. What a reader was given
//! last is kept here, so that it is read out word by word without asking again.

use alloc::boxed::Box;

use runner_container::value_type::ValueType;
use runner_interfaces::exchange::{MAX_BINDINGS, MAX_VALUE_BYTES};

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

/// An open end.
#[derive(Debug)]
pub(crate) struct End {
    /// Its number in the exchange.
    pub(crate) binding: u8,
    pub(crate) value_type: ValueType,
    /// What a reader was given last; none of a writer.
    pub(crate) value: Option<Box<ReaderValue>>,
}

impl End {
    pub(crate) const fn writer(binding: u8, value_type: ValueType) -> Self {
        Self { binding, value_type, value: None }
    }

    pub(crate) fn reader(binding: u8, value_type: ValueType) -> Self {
        Self { binding, value_type, value: Some(Box::new(ReaderValue::NONE)) }
    }
}

/// Open ends by handle. Handles count from 1: `wit-bindgen` takes 0 for none.
#[derive(Debug, Default)]
pub(crate) struct EndTable([Option<End>; MAX_BINDINGS]);

impl EndTable {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    pub(crate) fn is_open(&self, binding: u8) -> bool {
        self.0.iter().flatten().any(|end| end.binding == binding)
    }

    /// The handle of an end that was opened; `None` where the table is full.
    pub(crate) fn insert(&mut self, end: End) -> Option<u32> {
        let (index, free) = self.0.iter_mut().enumerate().find(|(_, entry)| entry.is_none())?;
        *free = Some(end);
        u32::try_from(index + 1).ok()
    }

    /// The writer behind a handle.
    pub(crate) fn writer(&self, handle: u32) -> Option<&End> {
        self.0.get(index(handle)?)?.as_ref().filter(|end| end.value.is_none())
    }

    /// The reader behind a handle, and what it was given last.
    pub(crate) fn reader(&mut self, handle: u32) -> Option<(u8, &ValueType, &mut ReaderValue)> {
        let end = self.0.get_mut(index(handle)?)?.as_mut()?;
        Some((end.binding, &end.value_type, end.value.as_deref_mut()?))
    }

    /// Forgets the handle of an end that this function takes for its own; whether there was one.
    pub(crate) fn remove(&mut self, handle: u32, is_own: impl FnOnce(&End) -> bool) -> bool {
        let entry = index(handle).and_then(|index| self.0.get_mut(index));
        entry.and_then(|entry| entry.take_if(|end| is_own(end))).is_some()
    }
}

fn index(handle: u32) -> Option<usize> {
    usize::try_from(handle.checked_sub(1)?).ok()
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
        let writer = table.insert(End::writer(3, number())).expect("room");
        let reader = table.insert(End::reader(5, number())).expect("room");
        assert_eq!((writer, reader), (1, 2));
        assert!(table.is_open(3) && table.is_open(5) && !table.is_open(4));
        assert_eq!(table.writer(writer).map(|end| end.binding), Some(3));
        assert_eq!(table.reader(reader).map(|(binding, ..)| binding), Some(5));
        assert!(table.writer(reader).is_none() && table.reader(writer).is_none());
        for wrong in [0, 3, 17, u32::MAX] {
            assert!(table.writer(wrong).is_none() && table.reader(wrong).is_none());
            assert!(!table.remove(wrong, |_| true));
        }
        assert!(!table.remove(reader, |end| end.value.is_none()), "no writer");
        assert!(table.remove(reader, |end| end.value.is_some()) && table.remove(writer, |_| true));
        assert!(table.is_empty());
    }

    #[test]
    fn words_end_with_the_value() {
        let value = ReaderValue::new([1; MAX_VALUE_BYTES], 10, 0);
        assert_eq!((value.word(0), value.word(1), value.word(2)), (0x0101_0101_0101_0101, 0x0101, 0));
        assert_eq!((value.word(31), value.word(32), value.word(u32::MAX)), (0, 0, 0));
        assert_eq!(ReaderValue::new([2; MAX_VALUE_BYTES], 256, 0).word(31), 0x0202_0202_0202_0202);
    }
}
