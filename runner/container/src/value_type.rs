//! The types of the values that channels carry, as WIT writes them.
//!
//! Both ends of a channel say its type in their manifests; `admission` binds them only where it is one, and a cell holds what
//! its container puts to it. A type is a number, `bool`, `char`, a tuple of these, `list<u8>` or `string`; a value lies as the
//! canonical ABI stores it (component model, `CanonicalABI.md`, "Alignment", "Element Size", "Storing"), a list or a string
//! as its bytes alone. The text is a stranger's: it is read once, from left to right, without recursion.

use alloc::{string::String, vec::Vec};
use core::fmt;

/// The longest value (`runner-interfaces`, `exchange`; the tests hold the two together).
pub const MAX_VALUE_BYTES: usize = 256;

/// The longest text of a type. The longest that is of use names 64 small numbers.
const MAX_TYPE_BYTES: usize = crate::MAX_TEXT_BYTES;

/// A type of one item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// `bool`.
    Bool,
    /// `u8`.
    U8,
    /// `u16`.
    U16,
    /// `u32`.
    U32,
    /// `u64`.
    U64,
    /// `s8`.
    S8,
    /// `s16`.
    S16,
    /// `s32`.
    S32,
    /// `s64`.
    S64,
    /// `f32`.
    F32,
    /// `f64`.
    F64,
    /// `char`: a Unicode scalar value.
    Char,
}

impl Scalar {
    const ALL: [Self; 12] = [
        Self::Bool,
        Self::U8,
        Self::U16,
        Self::U32,
        Self::U64,
        Self::S8,
        Self::S16,
        Self::S32,
        Self::S64,
        Self::F32,
        Self::F64,
        Self::Char,
    ];

    /// As WIT writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::U8 => "u8",
            Self::U16 => "u16",
            Self::U32 => "u32",
            Self::U64 => "u64",
            Self::S8 => "s8",
            Self::S16 => "s16",
            Self::S32 => "s32",
            Self::S64 => "s64",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::Char => "char",
        }
    }

    fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scalar| scalar.name() == name)
    }

    /// Its size in bytes, which is its alignment too.
    #[must_use]
    pub const fn size_bytes(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::S8 => 1,
            Self::U16 | Self::S16 => 2,
            Self::U32 | Self::S32 | Self::F32 | Self::Char => 4,
            Self::U64 | Self::S64 | Self::F64 => 8,
        }
    }

    /// The bytes of a `bool`, a `char` or a number without a sign, the first [`Scalar::size_bytes`] of eight; `None` where this is
    /// another type, or has no such value.
    #[must_use]
    pub fn of_unsigned(self, value: u64) -> Option<[u8; 8]> {
        let fits = match self {
            Self::Bool => value <= 1,
            Self::U8 => u8::try_from(value).is_ok(),
            Self::U16 => u16::try_from(value).is_ok(),
            Self::U32 => u32::try_from(value).is_ok(),
            Self::U64 => true,
            Self::Char => u32::try_from(value).is_ok_and(|code| char::from_u32(code).is_some()),
            _ => false,
        };
        fits.then(|| value.to_le_bytes())
    }

    /// The same for a number with a sign.
    #[must_use]
    pub fn of_signed(self, value: i64) -> Option<[u8; 8]> {
        let fits = match self {
            Self::S8 => i8::try_from(value).is_ok(),
            Self::S16 => i16::try_from(value).is_ok(),
            Self::S32 => i32::try_from(value).is_ok(),
            Self::S64 => true,
            _ => false,
        };
        fits.then(|| value.to_le_bytes())
    }

    /// The same for a floating-point number; an `f32` is the nearest one.
    #[must_use]
    pub fn of_float(self, value: f64) -> Option<[u8; 8]> {
        match self {
            #[allow(clippy::cast_possible_truncation, reason = "to the nearest, as said above")]
            Self::F32 => Some(u64::from((value as f32).to_bits()).to_le_bytes()),
            Self::F64 => Some(value.to_le_bytes()),
            _ => None,
        }
    }

    /// The value of a `bool`, a `char` or a number without a sign from its bytes; `None` where this is another type, or the bytes
    /// are none of it.
    #[must_use]
    pub fn to_unsigned(self, bytes: &[u8]) -> Option<u64> {
        let value = u64::from_le_bytes(self.widened(bytes)?);
        self.of_unsigned(value).map(|_| value)
    }

    /// The same for a number with a sign.
    #[must_use]
    pub fn to_signed(self, bytes: &[u8]) -> Option<i64> {
        let value = i64::from_le_bytes(self.widened(bytes)?);
        // The sign lies in the highest bit of the narrow number.
        let unused = 64 - 8 * u32::try_from(bytes.len()).ok()?;
        let value = (value << unused) >> unused;
        self.of_signed(value).map(|_| value)
    }

    /// The same for a floating-point number.
    #[must_use]
    pub fn to_float(self, bytes: &[u8]) -> Option<f64> {
        match self {
            Self::F32 => Some(f32::from_le_bytes(bytes.try_into().ok()?).into()),
            Self::F64 => Some(f64::from_le_bytes(bytes.try_into().ok()?)),
            _ => None,
        }
    }

    /// Its bytes with zeros behind them.
    fn widened(self, bytes: &[u8]) -> Option<[u8; 8]> {
        let mut wide = [0; 8];
        wide.get_mut(..self.size_bytes()).filter(|head| head.len() == bytes.len())?.copy_from_slice(bytes);
        Some(wide)
    }

    fn is_held_by(self, bytes: &[u8]) -> bool {
        match self {
            Self::Bool | Self::Char => self.to_unsigned(bytes).is_some(),
            _ => bytes.len() == self.size_bytes(),
        }
    }
}

/// An item of a tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its type.
    pub scalar: Scalar,
    /// Where it begins in the value, in bytes.
    pub offset: usize,
}

/// What a value is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One item.
    Scalar(Scalar),
    /// Several, in their order.
    Tuple(Vec<Item>),
    /// `list<u8>` of 1 to [`MAX_VALUE_BYTES`].
    Bytes,
    /// `string` of 1 to [`MAX_VALUE_BYTES`] in UTF-8.
    Text,
}

/// A type that was read and can be carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueType {
    shape: Shape,
    size_bytes: usize,
    alignment: usize,
}

/// Why a text is no type of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeError {
    /// Longer than any type of use.
    TooLong,
    /// No name of a type.
    Unknown,
    /// A WIT type that a channel does not carry: a list of something else, a record, an option, a handle, a tuple in a tuple.
    NotCarried,
    /// A tuple of nothing.
    Empty,
    /// Its values would be longer than [`MAX_VALUE_BYTES`].
    TooLarge,
}

impl fmt::Display for TypeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(formatter, "the type's text is longer than {MAX_TYPE_BYTES} bytes"),
            Self::Unknown => formatter.write_str("this is no type"),
            Self::NotCarried => formatter.write_str(
                "channels carry bool, char, u8 to u64, s8 to s64, f32, f64, tuples of these, list<u8> and string",
            ),
            Self::Empty => formatter.write_str("a tuple of nothing has no values"),
            Self::TooLarge => write!(formatter, "values would be longer than {MAX_VALUE_BYTES} bytes"),
        }
    }
}

impl core::error::Error for TypeError {}

impl ValueType {
    /// Reads a type: `u32`, `tuple<f32, f32>`, `list<u8>`. Spaces between its parts do not count.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(text: &str) -> Result<Self, TypeError> {
        if text.len() > MAX_TYPE_BYTES {
            return Err(TypeError::TooLong);
        }
        let text = text.trim_matches(is_space);
        match text.split_once('<') {
            None => Self::plain(text),
            Some((name, rest)) => {
                let inner = rest.strip_suffix('>').ok_or(TypeError::Unknown)?.trim_matches(is_space);
                match name.trim_end_matches(is_space) {
                    "list" if inner == Scalar::U8.name() => Ok(Self::bytes(Shape::Bytes)),
                    "tuple" => Self::tuple(inner),
                    "list" | "option" | "result" | "own" | "borrow" | "stream" | "future" => Err(TypeError::NotCarried),
                    _ => Err(TypeError::Unknown),
                }
            }
        }
    }

    fn plain(name: &str) -> Result<Self, TypeError> {
        if name == "string" {
            return Ok(Self::bytes(Shape::Text));
        }
        let scalar = Scalar::of_name(name).ok_or(TypeError::Unknown)?;
        Ok(Self { shape: Shape::Scalar(scalar), size_bytes: scalar.size_bytes(), alignment: scalar.size_bytes() })
    }

    const fn bytes(shape: Shape) -> Self {
        Self { shape, size_bytes: MAX_VALUE_BYTES, alignment: 1 }
    }

    fn tuple(inner: &str) -> Result<Self, TypeError> {
        // WIT allows a comma behind the last.
        let inner = inner.strip_suffix(',').unwrap_or(inner);
        if inner.trim_matches(is_space).is_empty() {
            return Err(TypeError::Empty);
        }
        if inner.contains(['<', '>']) {
            return Err(TypeError::NotCarried);
        }
        let (mut items, mut end, mut alignment) = (Vec::new(), 0_usize, 1);
        for name in inner.split(',') {
            let name = name.trim_matches(is_space);
            let scalar = Scalar::of_name(name).ok_or(if name == "string" {
                TypeError::NotCarried
            } else {
                TypeError::Unknown
            })?;
            let offset = end.next_multiple_of(scalar.size_bytes());
            end = offset + scalar.size_bytes();
            alignment = alignment.max(scalar.size_bytes());
            items.push(Item { scalar, offset });
        }
        let size_bytes = end.next_multiple_of(alignment);
        if size_bytes > MAX_VALUE_BYTES {
            return Err(TypeError::TooLarge);
        }
        Ok(Self { shape: Shape::Tuple(items), size_bytes, alignment })
    }

    /// What its values are made of.
    #[must_use]
    pub const fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The one item that a value is, where it is one.
    #[must_use]
    pub const fn scalar(&self) -> Option<Scalar> {
        match self.shape {
            Shape::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// Bytes of a value: exactly, or at the most.
    #[must_use]
    pub const fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// Whether every value has that many.
    #[must_use]
    pub const fn is_exact(&self) -> bool {
        matches!(self.shape, Shape::Scalar(_) | Shape::Tuple(_))
    }

    /// The alignment of a value in memory, in bytes.
    #[must_use]
    pub const fn alignment(&self) -> usize {
        self.alignment
    }

    /// Whether these bytes are a value of the type. What lies between a tuple's items does not count.
    #[must_use]
    pub fn holds(&self, bytes: &[u8]) -> bool {
        match &self.shape {
            Shape::Scalar(scalar) => scalar.is_held_by(bytes),
            Shape::Tuple(items) => {
                bytes.len() == self.size_bytes
                    && items.iter().all(|Item { scalar, offset }| {
                        bytes.get(*offset..offset + scalar.size_bytes()).is_some_and(|item| scalar.is_held_by(item))
                    })
            }
            Shape::Bytes => (1..=MAX_VALUE_BYTES).contains(&bytes.len()),
            Shape::Text => (1..=MAX_VALUE_BYTES).contains(&bytes.len()) && core::str::from_utf8(bytes).is_ok(),
        }
    }

    /// A number that tells types apart: FNV-1a with 64 bits (IETF, RFC 9923) of the canonical text, which [`fmt::Display`]
    /// writes. No defence against somebody who looks for two types with one number: who binds compares the types.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let mut hash = Fnv1a::new();
        // The hash takes whatever is written.
        let _ = fmt::write(&mut hash, format_args!("{self}"));
        hash.0
    }

    /// The canonical text: as WIT tools print it.
    #[must_use]
    pub fn text(&self) -> String {
        alloc::format!("{self}")
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.shape {
            Shape::Scalar(scalar) => formatter.write_str(scalar.name()),
            Shape::Bytes => formatter.write_str("list<u8>"),
            Shape::Text => formatter.write_str("string"),
            Shape::Tuple(items) => {
                formatter.write_str("tuple<")?;
                for (index, item) in items.iter().enumerate() {
                    formatter.write_str(if index == 0 { "" } else { ", " })?;
                    formatter.write_str(item.scalar.name())?;
                }
                formatter.write_str(">")
            }
        }
    }
}

/// What WIT takes for space.
const fn is_space(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\n' | '\r')
}

struct Fnv1a(u64);

impl Fnv1a {
    /// RFC 9923: offset basis and prime for 64 bits.
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;

    const fn new() -> Self {
        Self(Self::OFFSET_BASIS)
    }
}

impl fmt::Write for Fnv1a {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = text.bytes().fold(self.0, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(Self::PRIME));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use core::fmt::Write as _;

    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        // Test vectors of the FNV reference implementation (isthe.com, test_fnv.c).
        for (text, expected) in
            [("", 0xcbf2_9ce4_8422_2325), ("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8)]
        {
            let mut hash = Fnv1a::new();
            hash.write_str(text).expect("always");
            assert_eq!(hash.0, expected, "{text}");
        }
    }
}
