//! Making tokens: claims encoded in their one form, and signed.

use alloc::vec::Vec;
use core::{convert::Infallible, fmt};

use ed25519_dalek::Signer;
use minicbor::{Encoder, data::Tag, encode::Error};

use crate::{
    Body, Claims, Key, KeyId, PublicKey, Refusal, Token,
    claims::claim,
    token::{ALGORITHM, EDDSA, KEY_ID, NO_EXTERNAL_DATA, SIGNED_PREFIX, TAG},
};

/// A private key. Wiped when it is dropped, and never shown.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SigningKey({})", self.public().id())
    }
}

impl SigningKey {
    /// The key of that secret (RFC 8032, 5.1.5).
    #[must_use]
    pub fn from_secret(secret: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(secret))
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }
}

/// The token that says `claims`, signed. The same claims and key make the same bytes.
///
/// # Errors
/// The rule that the claims break. The key's role is not looked at.
pub fn sign(claims: &Claims, key: &SigningKey) -> Result<Vec<u8>, Refusal> {
    let protected = encoded(|encoder| protected(encoder, key.public().id()));
    let payload = encoded(|encoder| payload(encoder, claims));
    let mut signed = SIGNED_PREFIX.to_vec();
    signed.extend(encoded(|encoder| encoder.bytes(&protected).map(drop)));
    signed.push(NO_EXTERNAL_DATA);
    signed.extend(encoded(|encoder| encoder.bytes(&payload).map(drop)));
    let signature = key.0.sign(&signed).to_bytes();
    let token = encoded(|encoder| {
        encoder.tag(Tag::new(TAG))?.array(4)?.bytes(&protected)?.map(0)?.bytes(&payload)?.bytes(&signature).map(drop)
    });
    // One place knows what a token may be.
    Token::decode(claims.kind(), &token)?;
    Ok(token)
}

type Written = Result<(), Error<Infallible>>;

fn encoded(write: impl FnOnce(&mut Encoder<Vec<u8>>) -> Written) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    write(&mut encoder).expect("a vector takes everything");
    encoder.into_writer()
}

fn protected(encoder: &mut Encoder<Vec<u8>>, key: KeyId) -> Written {
    encoder.map(2)?.i64(ALGORITHM)?.i64(EDDSA)?.i64(KEY_ID)?.bytes(&key.0).map(drop)
}

/// A value behind its claim's number, encoded.
type Entry = (i64, Vec<u8>);

fn payload(encoder: &mut Encoder<Vec<u8>>, claims: &Claims) -> Written {
    let number = |claim, value: u64| (claim, encoded(|encoder| encoder.u64(value).map(drop)));
    let mut entries = Vec::from([(claim::SUBJECT, encoded(|encoder| encoder.str(&claims.subject).map(drop)))]);
    entries.extend(claims.audience.as_ref().map(|to| (claim::AUDIENCE, encoded(|encoder| encoder.str(to).map(drop)))));
    entries.extend(claims.expires.map(|expires| number(claim::EXPIRES, expires)));
    entries.push(number(claim::ISSUED, claims.issued));
    entries.push(number(claim::KIND, claims.kind().number().into()));
    entries.push(number(claim::SEQUENCE, claims.sequence));
    body(&mut entries, &claims.body);
    encoder.map(entries.len() as u64)?;
    for (claim, value) in entries {
        encoder.i64(claim)?.writer_mut().extend(value);
    }
    Ok(())
}

/// In the order of their numbers.
fn body(entries: &mut Vec<Entry>, body: &Body) {
    let bytes = |claim, bytes: &[u8]| (claim, encoded(|encoder| encoder.bytes(bytes).map(drop)));
    match body {
        Body::Code { code } => entries.push(bytes(claim::CODE, code)),
        Body::Data { files } => entries.push(bytes(claim::FILES, files)),
        Body::Metadata { code, files, manifest } => {
            entries.push(bytes(claim::CODE, code));
            entries.extend(files.as_ref().map(|files| bytes(claim::FILES, files)));
            entries.push(bytes(claim::MANIFEST, manifest));
        }
        Body::Grant { integrator, rights } => {
            let rights = encoded(|encoder| list(encoder, rights, |encoder, right| encoder.str(right).map(drop)));
            entries.extend([(claim::RIGHTS, rights), bytes(claim::INTEGRATOR, &integrator.0)]);
        }
        Body::Keys { added, revoked } => {
            let added = encoded(|encoder| list(encoder, added, write_key));
            let revoked = encoded(|encoder| list(encoder, revoked, |encoder, key| encoder.bytes(&key.0).map(drop)));
            entries.extend([(claim::ADDED, added), (claim::REVOKED, revoked)]);
        }
    }
}

fn write_key(encoder: &mut Encoder<Vec<u8>>, key: &Key) -> Written {
    encoder.array(2)?.u8(key.role.number())?.bytes(&key.public.0).map(drop)
}

fn list<T>(
    encoder: &mut Encoder<Vec<u8>>,
    entries: &[T],
    mut write: impl FnMut(&mut Encoder<Vec<u8>>, &T) -> Written,
) -> Written {
    encoder.array(entries.len() as u64)?;
    entries.iter().try_for_each(|entry| write(encoder, entry))
}
