//! Deterministic CBOR, read strictly (RFC 8949, 4.2.1): definite lengths, shortest forms, sorted keys, nothing twice.
//!
//! `minicbor` reads; here stands what it is too lenient in. No allocation, no recursion. Tokens are read with it too
//! (`runner-tokens`), so there is one reader of what comes from outside.

use core::fmt;

use minicbor::{Decoder, data::Type, decode};

use crate::{MAX_ENTRIES, MAX_TEXT_BYTES};

/// A rule that was broken. The text is for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// More bytes than the format allows.
    TooLarge,
    /// The bytes end in the middle.
    Truncated,
    /// Bytes follow the end.
    TrailingBytes,
    /// A number or a length is not in its shortest form.
    NotShortest,
    /// A length is left open.
    Indefinite,
    /// Another type than the format has here.
    WrongType,
    /// A key that the format does not have.
    UnknownKey,
    /// Keys that do not ascend, or one that is there twice.
    KeyOrder,
    /// A field that must be there is not.
    Missing,
    /// A value that is the default stands there; it must be left out.
    ExplicitDefault,
    /// A list has too many entries.
    TooManyEntries,
    /// A list has another number of entries than the format has here.
    WrongCount,
    /// A text is too long.
    TextTooLong,
    /// A text is not UTF-8.
    NotText,
    /// A text is empty.
    Empty,
    /// A text has a control character.
    ControlCharacter,
    /// A number is larger than the format allows.
    NumberTooLarge,
    /// A number that stands for nothing.
    UnknownValue,
    /// Entries that do not ascend, or one that is there twice.
    EntryOrder,
    /// Not a name.
    Name,
    /// Not a version.
    Version,
    /// Not the name of an environment variable.
    Variable,
    /// Not a path of a packed file.
    Path,
    /// A path that is another one's folder.
    PathIsFolder,
    /// The channel that it speaks of is not declared.
    NoSuchChannel,
    /// The channel that it speaks of goes the other way.
    ChannelDirection,
    /// More channels than a container may have.
    TooManyChannels,
    /// More attributes than a service may have.
    TooManyAttributes,
    /// A queue without a depth, or a depth without a queue.
    Depth,
    /// The longest wait is shorter than the first.
    BackOff,
    /// A period, deadline, budget or offset that cannot be kept.
    Schedule,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::TooLarge => "it is too large",
            Self::Truncated => "it is cut off",
            Self::TrailingBytes => "bytes follow its end",
            Self::NotShortest => "a number or a length is not in its shortest form",
            Self::Indefinite => "a length is left open",
            Self::WrongType => "it has another type than the format has",
            Self::UnknownKey => "a key is not known",
            Self::KeyOrder => "keys do not ascend, or one is there twice",
            Self::Missing => "it is missing",
            Self::ExplicitDefault => "the default is written out; it must be left out",
            Self::TooManyEntries => "it has more than 64 entries",
            Self::WrongCount => "it has another number of entries than the format has",
            Self::TextTooLong => "a text has more than 255 bytes",
            Self::NotText => "a text is not UTF-8",
            Self::Empty => "it is empty",
            Self::ControlCharacter => "it has a control character",
            Self::NumberTooLarge => "a number is too large",
            Self::UnknownValue => "its value stands for nothing",
            Self::EntryOrder => "entries do not ascend, or one is there twice",
            Self::Name => {
                "a name begins with a to z or 0 to 9, goes on with these, `.`, `_` and `-`, and has at most 40 bytes"
            }
            Self::Version => "a version is three numbers, as 1.2.3 or 1.2.3-rc.1",
            Self::Variable => "a variable's name is not empty and has no `=`",
            Self::Path => "a path is relative and no part of it is empty, `.` or `..`",
            Self::PathIsFolder => "it is a file and another file's folder",
            Self::NoSuchChannel => "that channel is not declared",
            Self::ChannelDirection => "a service is provided over a channel that puts, and needed over one that gets",
            Self::TooManyChannels => "a container has at most 16 channels",
            Self::TooManyAttributes => "a service has at most 8 attributes",
            Self::Depth => "a queue has a depth from 1 to 1024, and nothing else has one",
            Self::BackOff => "the longest wait is shorter than the first",
            Self::Schedule => {
                "a schedule has a period and a budget; the budget is at most the deadline, that at most the period, and the \
                 offset, which only a periodic one has, below the period"
            }
        })
    }
}

/// Where in the input, and what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What.
    pub violation: Violation,
    /// Where.
    pub offset: usize,
}

/// What reading ends with.
pub type Result<T> = core::result::Result<T, Fault>;

/// A strict reader.
pub struct Reader<'b> {
    decoder: Decoder<'b>,
}

impl<'b> Reader<'b> {
    /// At the first of these bytes.
    #[must_use]
    pub fn new(bytes: &'b [u8]) -> Self {
        Self { decoder: Decoder::new(bytes) }
    }

    /// How many bytes were read.
    #[must_use]
    pub fn position(&self) -> usize {
        self.decoder.position()
    }

    /// That rule, broken here.
    #[must_use]
    pub fn fault(&self, violation: Violation) -> Fault {
        Fault { violation, offset: self.position() }
    }

    /// Nothing must follow.
    ///
    /// # Errors
    /// [`Violation::TrailingBytes`].
    pub fn end(&self) -> Result<()> {
        if self.position() == self.decoder.input().len() { Ok(()) } else { Err(self.fault(Violation::TrailingBytes)) }
    }

    /// A number that is not negative.
    ///
    /// # Errors
    /// Another type, not in its shortest form, cut off.
    pub fn number(&mut self) -> Result<u64> {
        self.expect(|found| matches!(found, Type::U8 | Type::U16 | Type::U32 | Type::U64))?;
        let start = self.position();
        let value = self.decoder.u64().map_err(|error| truncated(&error, start))?;
        self.shortest(start, value, 0)?;
        Ok(value)
    }

    /// A number that may be negative.
    ///
    /// # Errors
    /// Another type, not in its shortest form, cut off, one that 64 bits with a sign do not hold.
    pub fn integer(&mut self) -> Result<i64> {
        let start = self.position();
        let too_large = Fault { violation: Violation::NumberTooLarge, offset: start };
        match self.decoder.datatype().map_err(|error| truncated(&error, start))? {
            Type::I8 | Type::I16 | Type::I32 | Type::I64 => {
                let value = self.decoder.i64().map_err(|error| truncated(&error, start))?;
                // A negative number's argument is -1 minus it (RFC 8949, 3.1).
                self.shortest(start, value.unsigned_abs() - 1, 0)?;
                Ok(value)
            }
            Type::Int => Err(too_large),
            _ => i64::try_from(self.number()?).map_err(|_| too_large),
        }
    }

    /// That tag, in front of what is read next.
    ///
    /// # Errors
    /// No tag or another one, not in its shortest form, cut off.
    pub fn tag(&mut self, wanted: u64) -> Result<()> {
        self.expect(|found| found == Type::Tag)?;
        let start = self.position();
        let found = self.decoder.tag().map_err(|error| truncated(&error, start))?.as_u64();
        self.shortest(start, found, 0)?;
        if found == wanted { Ok(()) } else { Err(Fault { violation: Violation::UnknownValue, offset: start }) }
    }

    /// A text of at most [`MAX_TEXT_BYTES`].
    ///
    /// # Errors
    /// Another type, not in its shortest form, cut off, too long, no UTF-8.
    pub fn text(&mut self) -> Result<&'b str> {
        self.expect(|found| found == Type::String)?;
        let start = self.position();
        let text = self.decoder.str().map_err(|error| match truncated(&error, start) {
            fault if fault.violation == Violation::Truncated => fault,
            fault => Fault { violation: Violation::NotText, ..fault },
        })?;
        self.shortest(start, text.len() as u64, text.len())?;
        if text.len() > MAX_TEXT_BYTES {
            return Err(Fault { violation: Violation::TextTooLong, offset: start });
        }
        Ok(text)
    }

    /// Bytes, of any number that the input holds.
    ///
    /// # Errors
    /// Another type, not in its shortest form, cut off.
    pub fn bytes(&mut self) -> Result<&'b [u8]> {
        self.expect(|found| found == Type::Bytes)?;
        let start = self.position();
        let bytes = self.decoder.bytes().map_err(|error| truncated(&error, start))?;
        self.shortest(start, bytes.len() as u64, bytes.len())?;
        Ok(bytes)
    }

    /// The number of entries of an array, at the most [`MAX_ENTRIES`].
    ///
    /// # Errors
    /// Another type, not in its shortest form, cut off, too many.
    pub fn array(&mut self) -> Result<usize> {
        self.expect(|found| found == Type::Array)?;
        let start = self.position();
        let count = self.decoder.array().map_err(|error| truncated(&error, start))?;
        self.count(start, count)
    }

    /// An array of exactly so many entries.
    ///
    /// # Errors
    /// As [`Self::array`], and another number.
    pub fn tuple(&mut self, entries: usize) -> Result<()> {
        let start = self.position();
        if self.array()? == entries { Ok(()) } else { Err(Fault { violation: Violation::WrongCount, offset: start }) }
    }

    /// A map with ascending keys; `entry` reads the value of each and says whether it knows the key.
    ///
    /// # Errors
    /// What `entry` ends with; another type, a key that is unknown or does not ascend.
    pub fn map(&mut self, entry: impl FnMut(&mut Self, u64) -> Result<bool>) -> Result<()> {
        self.entries(Self::number, entry)
    }

    /// The same with keys that may be negative; they ascend as their encodings do: 0, 1, ..., then -1, -2, ...
    ///
    /// # Errors
    /// As [`Self::map`].
    pub fn signed_map(&mut self, mut entry: impl FnMut(&mut Self, i64) -> Result<bool>) -> Result<()> {
        let encoded_order = |reader: &mut Self| reader.integer().map(|key| (key < 0, key.unsigned_abs(), key));
        self.entries(encoded_order, |reader, (_, _, key)| entry(reader, key))
    }

    fn entries<K: Ord + Copy>(
        &mut self,
        mut read_key: impl FnMut(&mut Self) -> Result<K>,
        mut entry: impl FnMut(&mut Self, K) -> Result<bool>,
    ) -> Result<()> {
        self.expect(|found| found == Type::Map)?;
        let start = self.position();
        let count = self.decoder.map().map_err(|error| truncated(&error, start))?;
        let mut last = None;
        for _ in 0..self.count(start, count)? {
            let offset = self.position();
            let key = read_key(self)?;
            if last.is_some_and(|last| key <= last) {
                return Err(Fault { violation: Violation::KeyOrder, offset });
            }
            if !entry(self, key)? {
                return Err(Fault { violation: Violation::UnknownKey, offset });
            }
            last = Some(key);
        }
        Ok(())
    }

    fn count(&self, start: usize, count: Option<u64>) -> Result<usize> {
        let count = count.ok_or(Fault { violation: Violation::Indefinite, offset: start })?;
        self.shortest(start, count, 0)?;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count > MAX_ENTRIES {
            return Err(Fault { violation: Violation::TooManyEntries, offset: start });
        }
        Ok(count)
    }

    fn expect(&self, wanted: impl Fn(Type) -> bool) -> Result<()> {
        let offset = self.position();
        let found = self.decoder.datatype().map_err(|error| truncated(&error, offset))?;
        if wanted(found) {
            return Ok(());
        }
        let open = matches!(found, Type::ArrayIndef | Type::MapIndef | Type::BytesIndef | Type::StringIndef);
        let violation = if open { Violation::Indefinite } else { Violation::WrongType };
        Err(Fault { violation, offset })
    }

    /// What was read since `start`: a head with that argument, and so many bytes behind it.
    fn shortest(&self, start: usize, argument: u64, payload: usize) -> Result<()> {
        let head = match argument {
            0..24 => 1,
            24..0x100 => 2,
            0x100..0x1_0000 => 3,
            0x1_0000..0x1_0000_0000 => 5,
            _ => 9,
        };
        let read = self.position() - start - payload;
        if read == head { Ok(()) } else { Err(Fault { violation: Violation::NotShortest, offset: start }) }
    }
}

fn truncated(error: &decode::Error, offset: usize) -> Fault {
    let violation = if error.is_end_of_input() { Violation::Truncated } else { Violation::WrongType };
    Fault { violation, offset }
}
