//! Channels to other containers, with the Rust type of their values.

use core::{fmt, marker::PhantomData};

use crate::{Error, calls::channel, error};

/// The longest value, in bytes.
const VALUE_BYTES: usize = 256;
/// Bytes that one call of a reader answers.
const WORD_BYTES: usize = 8;
const BLOCK_BYTES: usize = 64;

/// A value as the node is given it.
#[derive(Clone, Copy, Debug)]
pub enum Item<'v> {
    /// `bool`, `char`, `u8` to `u64`.
    Unsigned(u64),
    /// `s8` to `s64`.
    Signed(i64),
    /// `f32`, `f64`.
    Float(f64),
    /// `list<u8>`, `string`, and tuples as the canonical ABI lays them in memory.
    Bytes(&'v [u8]),
}

/// A type whose values channels carry: `bool`, `char`, numbers, tuples of these up to four, [`Bytes`] and [`Text`].
pub trait Value: Sized {
    /// Hands the value over as the node is given it.
    fn give<R>(&self, take: impl FnOnce(Item<'_>) -> R) -> R;

    /// The value that these bytes are; none where they are no value of the type.
    fn of_bytes(bytes: &[u8]) -> Option<Self>;
}

/// A value of one item, which can stand in a tuple.
pub trait Scalar: Value + Copy {
    /// Its size in bytes, which is its alignment too.
    const BYTES: usize;

    /// Its bytes, the first [`Self::BYTES`] of eight.
    fn to_bytes(self) -> [u8; WORD_BYTES];
}

macro_rules! scalars {
    ($($rust:ty, $item:ident, $wide:ty;)*) => {$(
        impl Value for $rust {
            fn give<R>(&self, take: impl FnOnce(Item<'_>) -> R) -> R {
                take(Item::$item(<$wide>::from(*self)))
            }

            fn of_bytes(bytes: &[u8]) -> Option<Self> {
                Some(Self::from_le_bytes(bytes.try_into().ok()?))
            }
        }

        impl Scalar for $rust {
            const BYTES: usize = size_of::<$rust>();

            fn to_bytes(self) -> [u8; WORD_BYTES] {
                let mut bytes = [0; WORD_BYTES];
                bytes[..Self::BYTES].copy_from_slice(&self.to_le_bytes());
                bytes
            }
        }
    )*};
}

scalars! {
    u8, Unsigned, u64;
    u16, Unsigned, u64;
    u32, Unsigned, u64;
    u64, Unsigned, u64;
    i8, Signed, i64;
    i16, Signed, i64;
    i32, Signed, i64;
    i64, Signed, i64;
    f32, Float, f64;
    f64, Float, f64;
}

impl Value for bool {
    fn give<R>(&self, take: impl FnOnce(Item<'_>) -> R) -> R {
        take(Item::Unsigned((*self).into()))
    }

    fn of_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }
}

impl Scalar for bool {
    const BYTES: usize = 1;

    fn to_bytes(self) -> [u8; WORD_BYTES] {
        u8::from(self).to_bytes()
    }
}

impl Value for char {
    fn give<R>(&self, take: impl FnOnce(Item<'_>) -> R) -> R {
        take(Item::Unsigned(u32::from(*self).into()))
    }

    fn of_bytes(bytes: &[u8]) -> Option<Self> {
        Self::from_u32(u32::of_bytes(bytes)?)
    }
}

impl Scalar for char {
    const BYTES: usize = 4;

    fn to_bytes(self) -> [u8; WORD_BYTES] {
        u32::from(self).to_bytes()
    }
}

/// The largest of these, which is an alignment.
const fn largest(sizes: &[usize]) -> usize {
    let (mut largest, mut index) = (1, 0);
    while index < sizes.len() {
        if sizes[index] > largest {
            largest = sizes[index];
        }
        index += 1;
    }
    largest
}

// As the canonical ABI lays a tuple: each item at the next multiple of its alignment, the whole rounded up to the largest.
macro_rules! tuples {
    ($(($($item:ident $index:tt),+);)*) => {$(
        impl<$($item: Scalar),+> Value for ($($item,)+) {
            fn give<R>(&self, take: impl FnOnce(Item<'_>) -> R) -> R {
                let (mut bytes, mut end) = ([0; VALUE_BYTES], 0_usize);
                $(
                    let begin = end.next_multiple_of($item::BYTES);
                    end = begin + $item::BYTES;
                    bytes[begin..end].copy_from_slice(&self.$index.to_bytes()[..$item::BYTES]);
                )+
                take(Item::Bytes(&bytes[..end.next_multiple_of(largest(&[$($item::BYTES),+]))]))
            }

            fn of_bytes(bytes: &[u8]) -> Option<Self> {
                let mut end = 0_usize;
                let value = ($({
                    let begin = end.next_multiple_of($item::BYTES);
                    end = begin + $item::BYTES;
                    $item::of_bytes(bytes.get(begin..end)?)?
                },)+);
                (bytes.len() == end.next_multiple_of(largest(&[$($item::BYTES),+]))).then_some(value)
            }
        }
    )*};
}

tuples! {
    (A 0);
    (A 0, B 1);
    (A 0, B 1, C 2);
    (A 0, B 1, C 2, D 3);
}

/// A value of type `list<u8>`: 1 to 256 bytes.
#[derive(Clone, Copy)]
pub struct Bytes {
    bytes: [u8; VALUE_BYTES],
    length: usize,
}

impl Bytes {
    /// These bytes; none where there are none, or more than 256.
    #[must_use]
    pub fn new(from: &[u8]) -> Option<Self> {
        let mut bytes = [0; VALUE_BYTES];
        bytes.get_mut(..from.len()).filter(|room| !room.is_empty())?.copy_from_slice(from);
        Some(Self { bytes, length: from.len() })
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().fmt(formatter)
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Value for Bytes {
    fn give<R>(&self, take: impl FnOnce(Item<'_>) -> R) -> R {
        take(Item::Bytes(self.as_bytes()))
    }

    fn of_bytes(bytes: &[u8]) -> Option<Self> {
        Self::new(bytes)
    }
}

/// A value of type `string`: 1 to 256 bytes of UTF-8.
#[derive(Clone, Copy, PartialEq)]
pub struct Text(Bytes);

impl Text {
    /// This text; none where it is empty, or longer than 256 bytes.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        Bytes::new(text.as_bytes()).map(Self)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // It was text when it was made.
        core::str::from_utf8(self.0.as_bytes()).unwrap_or_default()
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(formatter)
    }
}

impl Value for Text {
    fn give<R>(&self, take: impl FnOnce(Item<'_>) -> R) -> R {
        self.0.give(take)
    }

    fn of_bytes(bytes: &[u8]) -> Option<Self> {
        core::str::from_utf8(bytes).ok().and_then(Self::new)
    }
}

/// The end of a channel that puts.
#[derive(Debug)]
pub struct Writer<T> {
    end: channel::Writer,
    of: PhantomData<T>,
}

impl<T: Value> Writer<T> {
    /// Opens a channel by the name that `app.toml` gives it.
    ///
    /// # Errors
    /// [`Error::NotFound`] where that names none, [`Error::Invalid`] where it goes the other way, [`Error::Busy`] where it is
    /// open.
    pub fn open(name: &str) -> Result<Self, Error> {
        channel::open_writer(name).map(|end| Self { end, of: PhantomData }).map_err(error::of)
    }

    /// Puts a value.
    ///
    /// # Errors
    /// [`Error::Full`] where a queue has no room, [`Error::Unbound`] where nothing is at the other end, [`Error::Invalid`] where
    /// `app.toml` gives the channel another type.
    pub fn put(&self, value: &T) -> Result<(), Error> {
        value
            .give(|item| match item {
                Item::Unsigned(value) => self.end.put_u64(value),
                Item::Signed(value) => self.end.put_s64(value),
                Item::Float(value) => self.end.put_f64(value),
                Item::Bytes(bytes) => self.end.put_bytes(bytes),
            })
            .into()
    }
}

/// The end of a channel that gets.
#[derive(Debug)]
pub struct Reader<T> {
    end: channel::Reader,
    of: PhantomData<T>,
}

impl<T: Value> Reader<T> {
    /// As [`Writer::open`].
    ///
    /// # Errors
    /// As there.
    pub fn open(name: &str) -> Result<Self, Error> {
        channel::open_reader(name).map(|end| Self { end, of: PhantomData }).map_err(error::of)
    }

    /// Takes the next value: the oldest of a queue, or the latest where that was not taken yet.
    ///
    /// Take until there is none, then [`wait`](crate::wait) for [`Events::VALUE`](crate::Events::VALUE).
    ///
    /// # Errors
    /// [`Error::Unbound`] where nothing is at the other end, [`Error::Invalid`] where `app.toml` gives the channel another type.
    pub fn next(&self) -> Result<Option<T>, Error> {
        self.received(self.end.next().into())
    }

    /// The same without taking it: the oldest of a queue, or the latest value however often it was taken.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub fn peek(&self) -> Result<Option<T>, Error> {
        self.received(self.end.peek().into())
    }

    /// How many values were replaced unseen before the last one that was taken. None of a queue.
    pub fn missed(&self) -> u64 {
        self.end.missed()
    }

    fn received(&self, outcome: Result<(), Error>) -> Result<Option<T>, Error> {
        match outcome {
            Ok(()) => self.value().map(Some).ok_or(Error::Invalid),
            Err(Error::Empty) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The value that the reader was given last: word by word where it is short, in blocks where it is long.
    fn value(&self) -> Option<T> {
        let length = usize::try_from(self.end.value_length()).ok().filter(|length| *length <= VALUE_BYTES)?;
        let mut bytes = [0; VALUE_BYTES];
        if length <= WORD_BYTES {
            bytes[..WORD_BYTES].copy_from_slice(&self.end.value_word(0).to_le_bytes());
        } else {
            for (index, block) in
                (0..).zip(bytes[..length.next_multiple_of(BLOCK_BYTES)].as_chunks_mut::<BLOCK_BYTES>().0)
            {
                let (a, b, c, d, e, f, g, h) = self.end.value_block(index);
                for (place, word) in block.as_chunks_mut().0.iter_mut().zip([a, b, c, d, e, f, g, h]) {
                    *place = word.to_le_bytes();
                }
            }
        }
        T::of_bytes(&bytes[..length])
    }
}
