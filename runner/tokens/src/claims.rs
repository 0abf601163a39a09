//! What a token says.

mod read;

use alloc::{string::String, vec::Vec};

use crate::{Key, KeyId, Role};

/// A SHA-256.
pub type Hash = [u8; 32];

/// The kinds of tokens, by their number in the claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum TokenKind {
    /// The developer's, about the code.
    Code = 1,
    /// The provider's, about the files.
    Data = 2,
    /// The integrator's, about code, files and manifest together.
    Metadata = 3,
    /// The owner's, about rights.
    Grant = 4,
    /// The owner's, about keys. Stands in a file of its own, not in a container.
    Keys = 5,
}

impl TokenKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Code, Self::Data, Self::Metadata, Self::Grant, Self::Keys];

    /// Those that stand in a container, in their order there.
    pub const IN_CONTAINER: [Self; 4] = [Self::Code, Self::Data, Self::Metadata, Self::Grant];

    /// As a person writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Data => "data",
            Self::Metadata => "metadata",
            Self::Grant => "grant",
            Self::Keys => "keys",
        }
    }

    /// Its number in the claims.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The kind of that number.
    #[must_use]
    pub fn of_number(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| u64::from(kind.number()) == number)
    }

    /// Who signs it.
    #[must_use]
    pub const fn role(self) -> Role {
        match self {
            Self::Code => Role::Developer,
            Self::Data => Role::Provider,
            Self::Metadata => Role::Integrator,
            Self::Grant | Self::Keys => Role::Owner,
        }
    }
}

/// The claims of one token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The container's name; [`crate::KEYS_SUBJECT`] for [`Body::Keys`].
    pub subject: String,
    /// The board that it is for; none: any. Metadata, grant and keys only.
    pub audience: Option<String>,
    /// Not accepted from then on, in seconds since 1970; none: no end. Not in [`Body::Keys`].
    pub expires: Option<u64>,
    /// When it was made, in seconds since 1970.
    pub issued: u64,
    /// Counts up with each new token about this subject; from 1.
    pub sequence: u64,
    /// What depends on the kind.
    pub body: Body,
}

/// What a token of each kind says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// The developer's word for code.
    Code {
        /// Of all bytes before the first section of Atoll's.
        code: Hash,
    },
    /// The provider's word for files.
    Data {
        /// Of the body of `atoll.files`.
        files: Hash,
    },
    /// The integrator's word for all of it together.
    Metadata {
        /// As in the code token.
        code: Hash,
        /// As in the data token; none where the container has no files.
        files: Option<Hash>,
        /// Of the body of `atoll.app`.
        manifest: Hash,
    },
    /// The owner's word for rights.
    Grant {
        /// Whose metadata token it believes.
        integrator: KeyId,
        /// In their canonical text form, ascending, none twice.
        rights: Vec<String>,
    },
    /// The owner's word for keys.
    Keys {
        /// New keys, ascending by their id.
        added: Vec<Key>,
        /// Keys that are not believed any more, ascending.
        revoked: Vec<KeyId>,
    },
}

impl Claims {
    /// The kind of token.
    #[must_use]
    pub const fn kind(&self) -> TokenKind {
        match self.body {
            Body::Code { .. } => TokenKind::Code,
            Body::Data { .. } => TokenKind::Data,
            Body::Metadata { .. } => TokenKind::Metadata,
            Body::Grant { .. } => TokenKind::Grant,
            Body::Keys { .. } => TokenKind::Keys,
        }
    }
}

/// The claims by their numbers: registered ones (RFC 8392, 4) and Atoll's, which lie where nobody registers any (RFC 8392, 9.1).
pub(crate) mod claim {
    pub(crate) const SUBJECT: i64 = 2;
    pub(crate) const AUDIENCE: i64 = 3;
    pub(crate) const EXPIRES: i64 = 4;
    pub(crate) const ISSUED: i64 = 6;
    pub(crate) const KIND: i64 = -70_001;
    pub(crate) const SEQUENCE: i64 = -70_002;
    pub(crate) const CODE: i64 = -70_003;
    pub(crate) const FILES: i64 = -70_004;
    pub(crate) const MANIFEST: i64 = -70_005;
    pub(crate) const RIGHTS: i64 = -70_006;
    pub(crate) const INTEGRATOR: i64 = -70_007;
    pub(crate) const ADDED: i64 = -70_008;
    pub(crate) const REVOKED: i64 = -70_009;

    /// As a person reads it.
    pub(crate) const fn name(claim: i64) -> &'static str {
        match claim {
            SUBJECT => "subject",
            AUDIENCE => "audience",
            EXPIRES => "expiry",
            ISSUED => "time of issue",
            KIND => "kind",
            SEQUENCE => "sequence",
            CODE => "code hash",
            FILES => "files hash",
            MANIFEST => "manifest hash",
            RIGHTS => "rights",
            INTEGRATOR => "integrator",
            ADDED => "added keys",
            REVOKED => "revoked keys",
            _ => "unknown",
        }
    }
}

/// The last second of the year 9999: no time is later, so each can be shown as a date and none overflows.
pub(crate) const LAST_TIME: u64 = 253_402_300_799;
