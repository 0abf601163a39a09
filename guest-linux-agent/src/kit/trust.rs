//! The keys that a person knows, as a node would have them, and what they say of a container's tokens.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use key_files::KeyDirectory;
use runner_tokens::{Accepted, KeyId, KeyTable, Ledger, Refusal, SignedParts, Token, TokenKind, check};

use crate::{
    exit::Failure,
    session::{Error, Result},
};

/// The first second of the year 10000, which dates are written up to.
const LAST_SECOND: u64 = 253_402_300_800;

/// Now, in seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// A time as a person reads it, from a number that may come from anybody.
pub(crate) fn when(unix_s: u64) -> String {
    if unix_s >= LAST_SECOND {
        return format!("second {unix_s}");
    }
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(unix_s)).to_string()
}

/// The public keys of a directory, with their names.
#[derive(Debug)]
pub(crate) struct KnownKeys {
    pub(crate) table: KeyTable,
    names: BTreeMap<KeyId, String>,
}

impl KnownKeys {
    /// Reads all of them; one that cannot be read could be the one that matters, so it is an error.
    pub(crate) fn read(directory: &KeyDirectory) -> Result<Self> {
        let mut keys = BTreeMap::new();
        let mut names: BTreeMap<KeyId, String> = BTreeMap::new();
        for entry in directory.entries()? {
            let key = entry.key?;
            let id = key.id();
            if let Some(first) = names.get(&id) {
                let message =
                    format!("`{}` and `{first}` in {} are the same key {id}", entry.name, directory.path().display());
                let hint = "a key has one role and one name: remove one of the two";
                return Err(Error { hint, kind: "not-a-key", ..Error::new(Failure::File, message) });
            }
            keys.insert(id, key);
            names.insert(id, entry.name);
        }
        let table = KeyTable { keys: keys.into_values().collect(), ..KeyTable::default() };
        Ok(Self { table, names })
    }

    /// What the person calls the key.
    pub(crate) fn name(&self, id: KeyId) -> Option<&str> {
        self.names.get(&id).map(String::as_str)
    }

    /// Name and id, or the id alone.
    pub(crate) fn words(&self, id: KeyId) -> String {
        self.name(id).map_or_else(|| id.to_string(), |name| format!("{name} ({id})"))
    }

    /// What a node has learnt that knows these keys and what time it is now.
    pub(crate) fn ledger(&self) -> Ledger {
        let mut ledger = Ledger::new(&self.table);
        ledger.learn_time(now());
        ledger
    }

    /// Whether a token is whole, about this container, and believed; for whatever board it is.
    ///
    /// # Errors
    /// The rule that it breaks. One whose key is not known is held to all rules but the signature's first.
    pub(crate) fn judge(&self, parts: &SignedParts<'_>, kind: TokenKind) -> std::result::Result<Accepted, Refusal> {
        let bytes = parts.token(kind).ok_or(Refusal::MissingToken(kind))?;
        let token = Token::decode(kind, bytes)?;
        parts.is_meant_by(&token.claims)?;
        check(parts, kind, token.claims.audience.as_deref().unwrap_or_default(), &self.table, &self.ledger())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_can_be_shown() {
        assert_eq!(when(0), "1970-01-01T00:00:00Z");
        assert_eq!(when(1_801_440_000), "2027-02-01T00:00:00Z");
        assert_eq!(when(LAST_SECOND - 1), "9999-12-31T23:59:59Z");
        for (late, text) in [(LAST_SECOND, "second 253402300800"), (u64::MAX, "second 18446744073709551615")] {
            assert_eq!(when(late), text);
        }
    }
}
