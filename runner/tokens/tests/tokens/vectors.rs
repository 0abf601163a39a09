//! What the specifications give as examples, as far as it applies.

use ed25519_dalek::{Signature, VerifyingKey};
use runner_container::Violation;
use runner_tokens::{Date, Refusal, SigningKey, Token, TokenKind};

use crate::parties::hex;

/// RFC 8032, 7.1: secret, public key, message, signature of tests 1 to 3.
const ED25519: [[&str; 4]; 3] = [
    [
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ],
    [
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ],
    [
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ],
];

#[test]
fn rfc_8032_signatures() {
    for [secret, public, message, signature] in ED25519 {
        let array = |text| <[u8; 32]>::try_from(hex(text)).expect("32 bytes");
        assert_eq!(SigningKey::from_secret(&array(secret)).public().0, array(public));
        let key = VerifyingKey::from_bytes(&array(public)).expect("a key");
        let signature = Signature::from_bytes(&hex(signature).try_into().expect("64 bytes"));
        assert!(key.verify_strict(&hex(message), &signature).is_ok());
        assert!(key.verify_strict(&[&hex(message)[..], &[0]].concat(), &signature).is_err());
    }
}

/// RFC 8392, A.3: a CWT that is signed with another algorithm and has its key's id in the unprotected header.
#[test]
fn rfc_8392_signed_token_is_none_of_ours() {
    let token = hex(
        "d28443a10126a104524173796d6d657472696345434453413235365850a70175636f61703a2f2f61732e6578616d706c652e636f6d\
         02656572696b77037818636f61703a2f2f6c696768742e6578616d706c652e636f6d041a5612aeb0051a5610d9f0061a5610d9f007\
         420b7158405427c1ff28d23fbad1f29c4c7c6a555e601d6fa29f9179bc3d7438bacaca5acd08c8d4d4f96131680c429a01f85951ec\
         ee743a52b9b63632c57209120e1c9e30",
    );
    for kind in TokenKind::ALL {
        assert_eq!(Token::decode(kind, &token), Err(Refusal::Header(kind)));
    }
}

/// RFC 8392, A.1: claims that Atoll's tokens do not have, under the same numbers for those that they have.
#[test]
fn rfc_8392_claims() {
    let claims = hex(
        "a70175636f61703a2f2f61732e6578616d706c652e636f6d02656572696b77037818636f61703a2f2f6c696768742e6578616d706c\
         652e636f6d041a5612aeb0051a5610d9f0061a5610d9f007420b71",
    );
    let token = |claims: &[u8]| {
        let length = u8::try_from(claims.len()).expect("short");
        [b"\xd2\x84\x4d\xa2\x01\x27\x04\x48abcdefgh\xa0\x58", &[length][..], claims, &[0x58, 64], &[0; 64]].concat()
    };
    let read = |claims: &[u8]| Token::decode(TokenKind::Grant, &token(claims));
    let unknown = |claim| Err(Refusal::UnknownClaim { kind: TokenKind::Grant, claim });
    assert_eq!(read(&claims), unknown(1));
    // Without the issuer it is the time before which it is not valid, without that the token's own id.
    let without_issuer = [&[0xa6], &claims[24..]].concat();
    assert_eq!(read(&without_issuer), unknown(5));
    let subject_audience_expiry_issued = [&[0xa4], &claims[24..64], &claims[70..76]].concat();
    let missing = Err(Refusal::MissingClaim { kind: TokenKind::Grant, claim: -70_001 });
    assert_eq!(read(&subject_audience_expiry_issued), missing);
    let twice = [&[0xa2], &claims[31..58], &claims[31..58]].concat();
    let refusal = read(&twice).expect_err("a key twice");
    assert!(matches!(refusal, Refusal::Form { violation: Violation::KeyOrder, .. }), "{refusal:?}");
}

#[test]
fn dates() {
    for (seconds, text) in [
        (0, "1970-01-01 00:00:00 UTC"),
        (951_782_400, "2000-02-29 00:00:00 UTC"),
        (951_868_800, "2000-03-01 00:00:00 UTC"),
        (1_443_944_944, "2015-10-04 07:49:04 UTC"),
        (4_107_542_399, "2100-02-28 23:59:59 UTC"),
        (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        (253_402_300_799, "9999-12-31 23:59:59 UTC"),
    ] {
        assert_eq!(Date(seconds).to_string(), text);
    }
    assert!(!Date(u64::MAX).to_string().is_empty());
}
