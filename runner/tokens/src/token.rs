//! The signed form around the claims: COSE_Sign1 (RFC 9052, 4.2) with one protected header and none other.

use ed25519_dalek::{Signature, VerifyingKey};
use runner_container::cbor::{Fault, Reader, Result as Read};

use crate::{Claims, KeyId, MAX_TOKEN_BYTES, PublicKey, Refusal, TokenKind};

/// The tag of a COSE_Sign1 (RFC 9052, 2).
pub(crate) const TAG: u64 = 18;

/// The header's number for the algorithm, and EdDSA's (RFC 9053, 2.2).
pub(crate) const ALGORITHM: i64 = 1;
pub(crate) const EDDSA: i64 = -8;

/// The header's number for the key's id (RFC 9052, 3.1).
pub(crate) const KEY_ID: i64 = 4;

/// What the signature covers begins so: an array of four, `"Signature1"` (RFC 9052, 4.4). Protected header, no external data and
/// payload follow, each as a byte string.
pub(crate) const SIGNED_PREFIX: &[u8] = b"\x84\x6aSignature1";

/// No external data: an empty byte string.
pub(crate) const NO_EXTERNAL_DATA: u8 = 0x40;

/// A token that follows every rule of its form. Whether somebody believes it is another matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Who says that it signed.
    pub key: KeyId,
    /// What it says.
    pub claims: Claims,
}

impl Token {
    /// Reads a token of that kind. The signature is not looked at.
    ///
    /// # Errors
    /// The rule of the form that it breaks.
    pub fn decode(kind: TokenKind, bytes: &[u8]) -> Result<Self, Refusal> {
        Envelope::read(kind, bytes)?.token()
    }
}

/// A token's pieces, as they lie in it.
#[derive(Clone, Debug)]
pub(crate) struct Envelope<'b> {
    kind: TokenKind,
    key: KeyId,
    payload: &'b [u8],
    payload_offset: usize,
    signature: [u8; 64],
    /// The protected header as it is written, with the head of its byte string.
    protected_written: &'b [u8],
    /// The same for the payload.
    payload_written: &'b [u8],
}

impl<'b> Envelope<'b> {
    pub(crate) fn read(kind: TokenKind, bytes: &'b [u8]) -> Result<Self, Refusal> {
        if bytes.len() > MAX_TOKEN_BYTES {
            return Err(Refusal::TokenTooLarge(kind));
        }
        let form = |Fault { violation, offset }| Refusal::Form { kind, violation, offset };
        let mut reader = Reader::new(bytes);
        reader.tag(TAG).and_then(|()| reader.tuple(4)).map_err(form)?;

        let start = reader.position();
        let protected = reader.bytes().map_err(form)?;
        let end = reader.position();
        let header = read_header(protected).map_err(|fault| form(inside(fault, end - protected.len())))?;
        let key = header.ok_or(Refusal::Header(kind))?;
        let protected_written = bytes.get(start..end).unwrap_or_default();

        let mut unprotected = 0_usize;
        let counted = reader.signed_map(|_, _| {
            unprotected += 1;
            Ok(false)
        });
        if unprotected > 0 {
            return Err(Refusal::Header(kind));
        }
        counted.map_err(form)?;

        let start = reader.position();
        let payload = reader.bytes().map_err(form)?;
        let end = reader.position();
        let payload_written = bytes.get(start..end).unwrap_or_default();

        let signature = reader.bytes().map_err(form)?;
        let signature = <[u8; 64]>::try_from(signature).map_err(|_| Refusal::SignatureSize(kind))?;
        reader.end().map_err(form)?;
        let payload_offset = end - payload.len();
        Ok(Self { kind, key, payload, payload_offset, signature, protected_written, payload_written })
    }

    /// What is in it.
    pub(crate) fn token(&self) -> Result<Token, Refusal> {
        let claims = Claims::read(self.kind, self.payload, self.payload_offset)?;
        Ok(Token { key: self.key, claims })
    }

    /// Whether that key signed it. Keys and signatures on which verifiers disagree are refused (`verify_strict`).
    pub(crate) fn is_signed_by(&self, public: &PublicKey) -> bool {
        let signed = [SIGNED_PREFIX, self.protected_written, &[NO_EXTERNAL_DATA], self.payload_written].concat();
        VerifyingKey::from_bytes(&public.0)
            .and_then(|key| key.verify_strict(&signed, &Signature::from_bytes(&self.signature)))
            .is_ok()
    }
}

/// A fault in a byte string, by its place in the token.
pub(crate) const fn inside(fault: Fault, start: usize) -> Fault {
    Fault { violation: fault.violation, offset: start + fault.offset }
}

/// The key's id; `None` where the header says anything else than the one algorithm and that.
fn read_header(bytes: &[u8]) -> Read<Option<KeyId>> {
    let (mut eddsa, mut key, mut other) = (false, None, false);
    let mut reader = Reader::new(bytes);
    let read = reader.signed_map(|reader, header| {
        match header {
            ALGORITHM => eddsa = reader.integer()? == EDDSA,
            KEY_ID => key = <[u8; 8]>::try_from(reader.bytes()?).ok().map(KeyId),
            _ => other = true,
        }
        Ok(!other)
    });
    if other {
        return Ok(None);
    }
    read?;
    reader.end()?;
    Ok(key.filter(|_| eddsa))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex<const N: usize>(text: &str) -> [u8; N] {
        core::array::from_fn(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
    }

    /// `eddsa-sig-01` of the COSE working group's examples: what is signed has the form of RFC 9052, 4.4.
    #[test]
    fn the_working_groups_example_is_signed() {
        let public = PublicKey(hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"));
        let signature = hex(
            "7142fd2ff96d56db85bee905a76ba1d0b7321a95c8c4d3607c5781932b7afb8711497dfa751bf40b58b3bcc32300b1487f3db34085eef013bf08f4a44d6fef0d",
        );
        let mut envelope = Envelope {
            kind: TokenKind::Code,
            key: public.id(),
            payload: b"This is the content.",
            payload_offset: 0,
            signature,
            protected_written: b"\x45\xa2\x01\x27\x03\x00",
            payload_written: b"\x54This is the content.",
        };
        assert!(envelope.is_signed_by(&public));
        envelope.payload_written = b"\x54This is the Content.";
        assert!(!envelope.is_signed_by(&public));
    }
}
