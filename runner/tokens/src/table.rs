//! The keys of a node, as they lie in its image.
//!
//! Numbers are little-endian, what is not said here is zero.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `ATOLKEYS` |
//! | 4 | version, 1 |
//! | 4 | bit 0: production |
//! | 8 | when the image was built, seconds since 1970 |
//! | 4, 4 | number of keys, number of minimums |
//! | 48 each | a key: id (8), role (1), zero (7), public key (32); ascending by id |
//! | 56 each | a minimum: kind (1), length of the subject (1), zero (6), sequence (8), subject (40); ascending by kind and subject |

use alloc::{string::String, vec::Vec};
use core::fmt;

use runner_container::{MAX_NAME_BYTES, check_name};

use crate::{Key, KeyId, MAX_KEYS, MAX_MINIMUMS, MAX_TABLE_BYTES, PublicKey, Role, TokenKind};

const MAGIC: [u8; 8] = *b"ATOLKEYS";
const VERSION: u32 = 1;
const PRODUCTION: u32 = 1;
const HEADER_BYTES: usize = 32;
const KEY_BYTES: usize = 48;
const MINIMUM_BYTES: usize = 56;

const _: () = assert!(HEADER_BYTES + MAX_KEYS * KEY_BYTES + MAX_MINIMUMS * MINIMUM_BYTES <= MAX_TABLE_BYTES);
const _: () = assert!(MAX_NAME_BYTES == 40);

/// See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct KeyTable {
    /// When the image was built, in seconds since 1970. It is at least so late.
    pub image_time: u64,
    /// The image of a device in use: everything must be signed.
    pub production: bool,
    /// The keys.
    pub keys: Vec<Key>,
    /// Lowest sequences.
    pub minimums: Vec<Minimum>,
}

/// Tokens of that kind about that subject have at least this sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minimum {
    /// The kind.
    pub kind: TokenKind,
    /// The container's name, or [`crate::KEYS_SUBJECT`].
    pub subject: String,
    /// The lowest sequence that is accepted.
    pub sequence: u64,
}

/// Why bytes are no key table, or a table cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyTableError {
    /// It does not begin as a table of this version.
    NotATable,
    /// It is cut off.
    Truncated,
    /// It states something that this version does not know.
    UnknownFlag,
    /// More than [`MAX_KEYS`] keys or [`MAX_MINIMUMS`] minimums.
    TooMany,
    /// An entry that is none: a number that stands for nothing, a byte that must be zero, a subject that is no name.
    BadEntry,
    /// An id that is not the key's.
    WrongId(KeyId),
    /// Not the public key of anybody, or one for which everybody can sign.
    BadKey(KeyId),
    /// Entries that do not ascend, or one that is there twice.
    Order,
    /// Bytes behind the table that are not zero.
    TrailingBytes,
}

impl fmt::Display for KeyTableError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotATable => formatter.write_str("it is no key table of this version"),
            Self::Truncated => formatter.write_str("it is cut off"),
            Self::UnknownFlag => formatter.write_str("it has a flag that this version does not know"),
            Self::TooMany => write!(formatter, "it has more than {MAX_KEYS} keys or {MAX_MINIMUMS} lowest sequences"),
            Self::BadEntry => formatter.write_str("an entry has a value that stands for nothing"),
            Self::WrongId(id) => write!(formatter, "{id} is not the id of the key that stands there"),
            Self::BadKey(id) => write!(formatter, "{id} is no usable Ed25519 public key"),
            Self::Order => formatter.write_str("its entries do not ascend, or one is there twice"),
            Self::TrailingBytes => formatter.write_str("bytes follow its end"),
        }
    }
}

impl core::error::Error for KeyTableError {}

impl KeyTable {
    /// The table as it lies in the region, at the most [`MAX_TABLE_BYTES`]. Keys and minimums may be in any order.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn encode(&self) -> Result<Vec<u8>, KeyTableError> {
        let mut keys: Vec<_> = self.keys.iter().map(|key| (key.id(), key)).collect();
        keys.sort_by_key(|(id, _)| *id);
        let mut minimums: Vec<_> = self.minimums.iter().collect();
        minimums.sort_by_key(|minimum| (minimum.kind, &minimum.subject));
        let count = |entries| u32::try_from(entries).map_err(|_| KeyTableError::TooMany);
        let mut made = MAGIC.to_vec();
        made.extend(VERSION.to_le_bytes());
        made.extend((PRODUCTION * u32::from(self.production)).to_le_bytes());
        made.extend(self.image_time.to_le_bytes());
        made.extend(count(keys.len())?.to_le_bytes());
        made.extend(count(minimums.len())?.to_le_bytes());
        for (id, key) in keys {
            made.extend(id.0);
            made.extend([key.role.number(), 0, 0, 0, 0, 0, 0, 0]);
            made.extend(key.public.0);
        }
        for minimum in minimums {
            let length = u8::try_from(minimum.subject.len()).map_err(|_| KeyTableError::BadEntry)?;
            let padding = MAX_NAME_BYTES.checked_sub(minimum.subject.len()).ok_or(KeyTableError::BadEntry)?;
            made.extend([minimum.kind.number(), length, 0, 0, 0, 0, 0, 0]);
            made.extend(minimum.sequence.to_le_bytes());
            made.extend(minimum.subject.as_bytes());
            made.extend([0; MAX_NAME_BYTES].iter().take(padding));
        }
        Self::read(&made)?;
        Ok(made)
    }

    /// Reads the region; what lies behind the table must be zero.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(region: &[u8]) -> Result<Self, KeyTableError> {
        let mut rest = region;
        if take::<8>(&mut rest)? != MAGIC || u32::from_le_bytes(take(&mut rest)?) != VERSION {
            return Err(KeyTableError::NotATable);
        }
        let flags = u32::from_le_bytes(take(&mut rest)?);
        if flags & !PRODUCTION != 0 {
            return Err(KeyTableError::UnknownFlag);
        }
        let image_time = u64::from_le_bytes(take(&mut rest)?);
        let keys = u32::from_le_bytes(take(&mut rest)?) as usize;
        let minimums = u32::from_le_bytes(take(&mut rest)?) as usize;
        if keys > MAX_KEYS || minimums > MAX_MINIMUMS {
            return Err(KeyTableError::TooMany);
        }
        let keys = (0..keys).map(|_| read_key(&mut rest)).collect::<Result<Vec<_>, _>>()?;
        let minimums = (0..minimums).map(|_| read_minimum(&mut rest)).collect::<Result<Vec<_>, _>>()?;
        let ordered = keys.is_sorted_by(|one, other| one.id() < other.id())
            && minimums.is_sorted_by(|one, other| (one.kind, &one.subject) < (other.kind, &other.subject));
        if !ordered {
            return Err(KeyTableError::Order);
        }
        if rest.iter().any(|byte| *byte != 0) {
            return Err(KeyTableError::TrailingBytes);
        }
        Ok(Self { image_time, production: flags & PRODUCTION != 0, keys, minimums })
    }

    /// The key of that id.
    #[must_use]
    pub fn key(&self, id: KeyId) -> Option<Key> {
        self.keys.iter().copied().find(|key| key.id() == id)
    }

    /// The lowest sequence that the image states for tokens of that kind about that subject; 0 where it states none.
    #[must_use]
    pub fn minimum(&self, kind: TokenKind, subject: &str) -> u64 {
        let mut stated = self.minimums.iter().filter(|minimum| minimum.kind == kind && minimum.subject == subject);
        stated.next().map_or(0, |minimum| minimum.sequence)
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], KeyTableError> {
    let (taken, behind) = rest.split_first_chunk::<N>().ok_or(KeyTableError::Truncated)?;
    *rest = behind;
    Ok(*taken)
}

fn read_key(rest: &mut &[u8]) -> Result<Key, KeyTableError> {
    let id = KeyId(take(rest)?);
    let [role, zero @ ..] = take::<8>(rest)?;
    let role = Role::of_number(role.into()).ok_or(KeyTableError::BadEntry)?;
    let public = PublicKey(take(rest)?);
    if zero != [0; 7] {
        return Err(KeyTableError::BadEntry);
    }
    if public.id() != id {
        return Err(KeyTableError::WrongId(id));
    }
    if !public.is_usable() {
        return Err(KeyTableError::BadKey(id));
    }
    Ok(Key { role, public })
}

fn read_minimum(rest: &mut &[u8]) -> Result<Minimum, KeyTableError> {
    let [kind, length, zero @ ..] = take::<8>(rest)?;
    let sequence = u64::from_le_bytes(take(rest)?);
    let subject = take::<MAX_NAME_BYTES>(rest)?;
    let (subject, padding) = subject.split_at_checked(length.into()).ok_or(KeyTableError::BadEntry)?;
    let kind = TokenKind::of_number(kind.into()).ok_or(KeyTableError::BadEntry)?;
    let subject = core::str::from_utf8(subject).map_err(|_| KeyTableError::BadEntry)?;
    let is_zero = zero.iter().chain(padding).all(|byte| *byte == 0);
    if !is_zero || sequence == 0 || check_name(subject).is_err() {
        return Err(KeyTableError::BadEntry);
    }
    Ok(Minimum { kind, subject: subject.into(), sequence })
}
