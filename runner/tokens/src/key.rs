//! Roles, keys and their ids.

use core::{fmt, str::FromStr};

use ed25519_dalek::VerifyingKey;
use sha2::{Digest, Sha256};

/// What a party may say. A key has the role that the key table gives it, never one that a token claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Role {
    /// Signs code.
    Developer = 1,
    /// Signs files.
    Provider = 2,
    /// Signs which code runs with which files under which manifest.
    Integrator = 3,
    /// Of the device: signs what a container may touch, and changes of keys.
    Owner = 4,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Developer, Self::Provider, Self::Integrator, Self::Owner];

    /// As a person writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Developer => "developer",
            Self::Provider => "provider",
            Self::Integrator => "integrator",
            Self::Owner => "owner",
        }
    }

    /// The role of that name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// Its number in tables and tokens.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The role of that number.
    #[must_use]
    pub fn of_number(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|role| u64::from(role.number()) == number)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A key's id: the first 8 bytes of the SHA-256 of the public key. Shown as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl FromStr for KeyId {
    type Err = NoKeyId;

    fn from_str(text: &str) -> Result<Self, NoKeyId> {
        if text.len() != 16 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NoKeyId);
        }
        u64::from_str_radix(text, 16).map(|number| Self(number.to_be_bytes())).map_err(|_| NoKeyId)
    }
}

/// The text is not a key's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoKeyId;

impl fmt::Display for NoKeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key's id is 16 hexadecimal digits")
    }
}

impl core::error::Error for NoKeyId {}

/// An Ed25519 public key (RFC 8032, 5.1.5), as its 32 bytes. Whether they are one, the table and a change of keys check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let hash: [u8; 32] = Sha256::digest(self.0).into();
        let mut id = [0; 8];
        id.copy_from_slice(&hash[..8]);
        KeyId(id)
    }

    /// Whether it is a public key that one holder can have: a point in its one encoding, not one of the few for which everybody
    /// can make signatures.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        VerifyingKey::from_bytes(&self.0)
            .is_ok_and(|key| !key.is_weak() && key.to_edwards().compress().to_bytes() == self.0)
    }
}

/// A public key with its role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// What its holder may sign.
    pub role: Role,
    /// The key.
    pub public: PublicKey,
}

impl Key {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.public.id()
    }
}
