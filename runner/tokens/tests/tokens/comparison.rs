//! Our reader and writer held to `coset` and `ciborium`, which know nothing of Atoll.

use ciborium::Value;
use coset::{
    CborSerializable, CoseSign1, CoseSign1Builder, HeaderBuilder, TaggedCborSerializable,
    cwt::{ClaimName, ClaimsSet, ClaimsSetBuilder, Timestamp},
    iana,
};
use ed25519_dalek::Signer;
use proptest::{collection::vec, option, prelude::*, sample::Index};
use runner_container::rights::{Right, Rights};
use runner_tokens::{Body, Claims, Key, KeyId, PublicKey, Refusal, Role, SigningKey, Token, TokenKind, sign};

use crate::parties::{key, nobody};

/// What dalek signs with the key of that one; its secret is one of the tests'.
pub(crate) fn ed25519(signer: &SigningKey, bytes: &[u8]) -> Vec<u8> {
    let secret =
        (1..=40).map(|number| [number; 32]).find(|secret| SigningKey::from_secret(secret).public() == signer.public());
    ed25519_dalek::SigningKey::from_bytes(&secret.expect("a key of the tests")).sign(bytes).to_bytes().to_vec()
}

fn seconds(time: u64) -> Timestamp {
    Timestamp::WholeSeconds(i64::try_from(time).expect("before the year 10000"))
}

/// The claims, written by coset; it keeps the order in which private claims are given.
fn claims_set(claims: &Claims) -> ClaimsSet {
    let bytes = |bytes: &[u8]| Value::Bytes(bytes.to_vec());
    let mut set = ClaimsSetBuilder::new().subject(claims.subject.clone());
    if let Some(audience) = &claims.audience {
        set = set.audience(audience.clone());
    }
    if let Some(expires) = claims.expires {
        set = set.expiration_time(seconds(expires));
    }
    set = set.issued_at(seconds(claims.issued));
    set = set.private_claim(-70_001, claims.kind().number().into()).private_claim(-70_002, claims.sequence.into());
    match &claims.body {
        Body::Code { code } => set = set.private_claim(-70_003, bytes(code)),
        Body::Data { files } => set = set.private_claim(-70_004, bytes(files)),
        Body::Metadata { code, files, manifest } => {
            set = set.private_claim(-70_003, bytes(code));
            if let Some(files) = files {
                set = set.private_claim(-70_004, bytes(files));
            }
            set = set.private_claim(-70_005, bytes(manifest));
        }
        Body::Grant { integrator, rights } => {
            let rights = rights.iter().map(|right| Value::Text(right.clone())).collect();
            set = set.private_claim(-70_006, Value::Array(rights)).private_claim(-70_007, bytes(&integrator.0));
        }
        Body::Keys { added, revoked } => {
            let added = added.iter().map(|key| Value::Array(vec![key.role.number().into(), bytes(&key.public.0)]));
            let revoked = revoked.iter().map(|key| bytes(&key.0));
            set = set.private_claim(-70_008, Value::Array(added.collect()));
            set = set.private_claim(-70_009, Value::Array(revoked.collect()));
        }
    }
    set.build()
}

/// A token made by coset, whatever the claims say.
pub(crate) fn encoded(claims: &Claims, signer: &SigningKey) -> Vec<u8> {
    envelope(claims_set(claims).to_vec().expect("it can be encoded"), signer)
}

fn envelope(payload: Vec<u8>, signer: &SigningKey) -> Vec<u8> {
    let header = HeaderBuilder::new().algorithm(iana::Algorithm::EdDSA).key_id(signer.public().id().0.to_vec());
    CoseSign1Builder::new()
        .protected(header.build())
        .payload(payload)
        .create_signature(&[], |bytes| ed25519(signer, bytes))
        .build()
        .to_tagged_vec()
        .expect("it can be encoded")
}

/// What coset finds in a token: key's id and claims, as our types have them.
fn found_by_coset(kind: TokenKind, token: &[u8]) -> Option<Token> {
    let sign1 = CoseSign1::from_tagged_slice(token).ok()?;
    let key = KeyId(sign1.protected.header.key_id.as_slice().try_into().ok()?);
    let set = ClaimsSet::from_slice(sign1.payload.as_deref()?).ok()?;
    let time = |time: Timestamp| match time {
        Timestamp::WholeSeconds(seconds) => u64::try_from(seconds).ok(),
        Timestamp::FractionalSeconds(_) => None,
    };
    let private =
        |claim| set.rest.iter().find(|(name, _)| *name == ClaimName::PrivateUse(claim)).map(|(_, value)| value);
    let number = |claim| private(claim)?.as_integer()?.try_into().ok();
    let hash = |claim| private(claim)?.as_bytes()?.as_slice().try_into().ok();
    let array = |claim| private(claim)?.as_array();
    let id = |value: &Value| Some(KeyId(value.as_bytes()?.as_slice().try_into().ok()?));
    if number(-70_001) != Some(u64::from(kind.number())) {
        return None;
    }
    let body = match kind {
        TokenKind::Code => Body::Code { code: hash(-70_003)? },
        TokenKind::Data => Body::Data { files: hash(-70_004)? },
        TokenKind::Metadata => Body::Metadata { code: hash(-70_003)?, files: hash(-70_004), manifest: hash(-70_005)? },
        TokenKind::Grant => Body::Grant {
            integrator: id(private(-70_007)?)?,
            rights: array(-70_006)?.iter().map(|right| right.as_text().map(Into::into)).collect::<Option<_>>()?,
        },
        TokenKind::Keys => Body::Keys {
            added: array(-70_008)?.iter().map(added).collect::<Option<_>>()?,
            revoked: array(-70_009)?.iter().map(id).collect::<Option<_>>()?,
        },
    };
    Some(Token {
        key,
        claims: Claims {
            subject: set.subject?,
            audience: set.audience,
            expires: set.expiration_time.and_then(time),
            issued: set.issued_at.and_then(time)?,
            sequence: number(-70_002)?,
            body,
        },
    })
}

fn added(value: &Value) -> Option<Key> {
    let [role, public] = value.as_array()?.as_slice() else { return None };
    let role = Role::of_number(role.as_integer()?.try_into().ok()?)?;
    Some(Key { role, public: PublicKey(public.as_bytes()?.as_slice().try_into().ok()?) })
}

/// Lists in their one form.
fn rights() -> impl Strategy<Value = Vec<String>> {
    let amount = prop_oneof![1..24_u32, 24..256_u32, 256..100_000_u32];
    let right = prop_oneof![
        ("[A-Za-z][A-Za-z0-9_-]{0,9}", amount.clone()).prop_map(|(line, rate)| format!("gpio:{line}:out@{rate}/s")),
        "[A-Za-z][A-Za-z0-9_-]{0,9}".prop_map(|line| format!("gpio:{line}:in")),
        "[a-z][a-z0-9-]{0,9}".prop_map(|name| format!("channel:{name}:put:u16")),
        (0x08..0x78_u8).prop_map(|address| format!("i2c:{address:#04x}")),
        amount.prop_map(|milliseconds| format!("timer:{milliseconds}ms")),
        Just("node".into()),
    ];
    vec(right, 0..20).prop_map(|texts: Vec<String>| {
        let mut rights = Rights::default();
        for right in texts.iter().filter_map(|text| Right::parse(text).ok()) {
            // What contradicts another is left out.
            let _ = rights.add(right);
        }
        rights.texts()
    })
}

fn changes() -> impl Strategy<Value = Body> {
    let added = vec((prop::sample::select(&Role::ALL), any::<[u8; 32]>()), 0..8).prop_map(|keys| {
        let mut keys: Vec<_> = keys.into_iter().map(|(role, key)| Key { role, public: PublicKey(key) }).collect();
        keys.sort_by_key(Key::id);
        keys
    });
    let revoked = proptest::collection::btree_set(any::<[u8; 8]>().prop_map(KeyId), 1..8);
    (added, revoked).prop_map(|(added, revoked)| Body::Keys { added, revoked: revoked.into_iter().collect() })
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        any::<[u8; 32]>().prop_map(|code| Body::Code { code }),
        any::<[u8; 32]>().prop_map(|files| Body::Data { files }),
        (any::<[u8; 32]>(), any::<Option<[u8; 32]>>(), any::<[u8; 32]>())
            .prop_map(|(code, files, manifest)| Body::Metadata { code, files, manifest }),
        (any::<[u8; 8]>(), rights())
            .prop_map(|(integrator, rights)| Body::Grant { integrator: KeyId(integrator), rights }),
        changes(),
    ]
}

/// Numbers around the places where their encoding grows.
fn number(most: u64) -> impl Strategy<Value = u64> {
    const EDGES: [u64; 10] = [1, 23, 24, 255, 256, 65_535, 65_536, 0xffff_ffff, 0x1_0000_0000, u64::MAX];
    prop_oneof![1..=most, prop::sample::select(&EDGES[..]).prop_map(move |edge| edge.min(most))]
}

/// Claims that follow every rule.
pub(crate) fn claims() -> impl Strategy<Value = Claims> {
    const LATEST: u64 = 253_402_300_799;
    let subject = "[a-z0-9][a-z0-9._-]{0,39}";
    let (issued, life) = (number(LATEST - 1), option::of(1..LATEST));
    (subject, option::of("[ -~é]{1,32}"), life, issued, number(u64::MAX), body()).prop_map(
        |(subject, audience, life, issued, sequence, body)| {
            let mut claims = Claims { subject, audience, expires: None, issued, sequence, body };
            match claims.kind() {
                TokenKind::Keys => claims.subject = "keys".into(),
                kind => {
                    claims.expires = life.map(|life| (issued + life).min(LATEST));
                    claims.audience =
                        claims.audience.filter(|_| matches!(kind, TokenKind::Metadata | TokenKind::Grant));
                }
            }
            claims
        },
    )
}

/// Changes to a token's bytes, as they happen on the way or come to an attacker's mind.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Flip(Index, u8),
    Set(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Copy(Index, Index, usize),
    Cut(Index),
}

pub(crate) fn change() -> impl Strategy<Value = Change> {
    let interesting = prop_oneof![
        any::<u8>(),
        prop::sample::select(&b"\x00\x18\x19\x1b\x3b\x40\x5f\x60\x7f\x80\x9f\xa0\xbf\xc0\xf6\xff"[..])
    ];
    prop_oneof![
        (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        (any::<Index>(), interesting.clone()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (any::<Index>(), interesting).prop_map(|(at, byte)| Change::Insert(at, byte)),
        any::<Index>().prop_map(Change::Remove),
        (any::<Index>(), any::<Index>(), 1..40_usize).prop_map(|(from, to, length)| Change::Copy(from, to, length)),
        any::<Index>().prop_map(Change::Cut),
    ]
}

pub(crate) fn apply(change: &Change, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    let length = bytes.len();
    match change {
        Change::Flip(at, bit) => bytes[at.index(length)] ^= 1 << bit,
        Change::Set(at, byte) => bytes[at.index(length)] = *byte,
        Change::Insert(at, byte) => bytes.insert(at.index(length), *byte),
        Change::Remove(at) => drop(bytes.remove(at.index(length))),
        Change::Copy(from, to, count) => {
            let from = from.index(length);
            let piece = bytes[from..(from + count).min(length)].to_vec();
            let to = to.index(length);
            bytes.splice(to..to, piece);
        }
        Change::Cut(at) => bytes.truncate(at.index(length)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// One set of claims has one encoding, and two who never met find the same.
    #[test]
    fn both_make_the_same_token(claims in claims()) {
        let signer = key(claims.kind().role());
        let Ok(ours) = sign(&claims, &signer) else {
            prop_assert_eq!(sign(&claims, &signer), Err(Refusal::TokenTooLarge(claims.kind())));
            return Ok(());
        };
        prop_assert_eq!(&ours, &encoded(&claims, &signer));
        let token = Token { key: signer.public().id(), claims: claims.clone() };
        prop_assert_eq!(found_by_coset(claims.kind(), &ours), Some(token.clone()));
        prop_assert_eq!(Token::decode(claims.kind(), &ours), Ok(token));
        let verified = CoseSign1::from_tagged_slice(&ours).expect("COSE").verify_signature(&[], |signature, bytes| {
            if ed25519(&signer, bytes) == signature { Ok(()) } else { Err(()) }
        });
        prop_assert_eq!(verified, Ok(()));
    }

    /// What we accept, they accept, and read the same in it; the bytes are what both would write.
    #[test]
    fn we_accept_nothing_that_they_refuse(claims in claims(), changes in vec(change(), 1..4)) {
        let kind = claims.kind();
        let signer = key(kind.role());
        let Ok(mut token) = sign(&claims, &signer) else { return Ok(()) };
        changes.iter().for_each(|change| apply(change, &mut token));
        agree(kind, &token)?;
        // The same with the changes in the payload, under a signature that holds: the envelope hides nothing.
        let mut payload = claims_set(&claims).to_vec().expect("it can be encoded");
        changes.iter().for_each(|change| apply(change, &mut payload));
        agree(kind, &envelope(payload, &nobody()))?;
    }

    /// The same for one value of the claims put in the place of another, or in another encoding.
    #[test]
    fn other_values_and_encodings(claims in claims(), at in any::<Index>(), other in any::<Index>(), way in 0..9) {
        let kind = claims.kind();
        let payload = claims_set(&claims).to_vec().expect("it can be encoded");
        let Value::Map(mut entries) = ciborium::from_reader(&payload[..]).expect("CBOR") else { unreachable!() };
        let (at, other) = (at.index(entries.len()), other.index(entries.len()));
        match way {
            0 => entries.swap(at, other),
            1 => drop(entries.remove(at)),
            2 => entries.insert(other, entries[at].clone()),
            3 => entries[at].1 = entries[other].1.clone(),
            4 => entries[at].1 = Value::Null,
            5 => entries[at].1 = Value::Tag(1, Box::new(entries[at].1.clone())),
            6 => entries[at].1 = Value::Float(1.5),
            7 => entries.push((Value::Integer((-70_010).into()), Value::Bool(true))),
            _ => entries.push((Value::Text("x".into()), Value::Bool(true))),
        }
        let mut changed = Vec::new();
        ciborium::into_writer(&Value::Map(entries), &mut changed).expect("a vector takes everything");
        agree(kind, &envelope(changed.clone(), &nobody()))?;
        let is_refused = changed == payload || Token::decode(kind, &envelope(changed, &nobody())).is_err();
        // A value may be another's where both are of one type; an optional claim may be left out.
        prop_assert!(is_refused || way == 3 || way == 1, "{way}");
    }
}

fn agree(kind: TokenKind, bytes: &[u8]) -> Result<(), TestCaseError> {
    match Token::decode(kind, bytes) {
        Ok(token) => {
            prop_assert_eq!(found_by_coset(kind, bytes), Some(token));
            let value: Value = ciborium::from_reader(bytes).expect("CBOR");
            let mut again = Vec::new();
            ciborium::into_writer(&value, &mut again).expect("a vector takes everything");
            prop_assert_eq!(again, bytes);
        }
        Err(Refusal::Form { violation: runner_container::Violation::Truncated, .. }) => {
            prop_assert_eq!(found_by_coset(kind, bytes), None);
        }
        Err(_) => {}
    }
    Ok(())
}

/// Lengths that are left open or longer than they need be, which coset accepts.
#[test]
fn lenient_encodings_are_refused() {
    let claims = crate::parties::Fixture::of(crate::parties::with_files()).tokens.swap_remove(0).0;
    let payload = claims_set(&claims).to_vec().expect("it can be encoded");
    let (head, rest) = payload.split_first().expect("a map");
    let open = [&[0xbf], rest, &[0xff]].concat();
    let long = [&[0xb8, head & 0x1f], rest].concat();
    for changed in [open, long] {
        let token = envelope(changed, &key(Role::Developer));
        assert!(found_by_coset(TokenKind::Code, &token).is_some(), "coset accepts it");
        let refusal = Token::decode(TokenKind::Code, &token).expect_err("not the one form");
        assert!(matches!(refusal, Refusal::Form { .. }), "{refusal:?}");
    }
}
