//! Signed tokens: which of the four parties said what about a container.
//!
//! Developer, provider, integrator and owner do not trust one another. Each signs what it may say; the node holds the public
//! keys with their roles and believes nobody else. A token is a CWT (RFC 8392) in a COSE_Sign1 (RFC 9052), signed with Ed25519
//! (RFC 8032), in deterministic CBOR (RFC 8949, 4.2): one set of claims has one encoding. `docs/tokens.md` describes it for
//! those who make tokens with other tools.
//!
//! Whoever verifies trusts the key table and the ledger, and nothing of the container: no input makes this crate panic or
//! recurse, or take more memory than ten times [`MAX_TOKEN_BYTES`] and what the manifest takes (`tests/heap.rs`).
//!
//! | module | what |
//! |---|---|
//! | `key` | roles, keys, their ids |
//! | `table` | the keys of a node, as they lie in its image |
//! | `ledger` | what a node learnt since it started: sequences, time, changes of keys |
//! | `claims` | what a token says |
//! | `token` | the signed form around it |
//! | `layout` | which bytes of a container are signed, and where its tokens lie |
//! | `verify` | the rules |
//! | `refusal` | a name for each rule |
//! | `rule` | the same names for scripts |
//! | `sign` | making tokens (feature `sign`) |
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod claims;
mod key;
mod layout;
mod ledger;
mod refusal;
mod rule;
#[cfg(feature = "sign")]
mod sign;
mod table;
mod token;
mod verify;

pub use claims::{Body, Claims, Hash, TokenKind};
pub use key::{Key, KeyId, PublicKey, Role};
pub use layout::{SignedParts, attach, is_signed, layout};
pub use ledger::Ledger;
pub use refusal::{Date, Refusal};
#[cfg(feature = "sign")]
pub use sign::{SigningKey, sign};
pub use table::{KeyTable, KeyTableError, Minimum};
pub use token::Token;
pub use verify::{Accepted, Signatures, Update, Verdict, check, verify, verify_update};

/// The largest token. One with 64 rights of 24 bytes fits.
pub const MAX_TOKEN_BYTES: usize = 2048;

/// The most keys that a node knows, in its image and by later changes together.
pub const MAX_KEYS: usize = 64;

/// The most revoked keys that a node remembers.
pub const MAX_REVOKED: usize = 64;

/// The most lowest sequences that an image states.
pub const MAX_MINIMUMS: usize = 64;

/// The most names and kinds whose sequence a node remembers until its next start.
pub const MAX_SEQUENCES: usize = 256;

/// The largest key table: the region in the image is as large.
pub const MAX_TABLE_BYTES: usize = 8192;

/// The longest name of a board.
pub const MAX_BOARD_BYTES: usize = 64;

/// The subject of the token that changes keys.
pub const KEYS_SUBJECT: &str = "keys";
