//! Any bytes, and right ones with changes: nothing panics, and nothing has two forms.

use proptest::{collection::vec, prelude::*};
use runner_tokens::{TokenKind, sign};

use crate::{
    comparison::{apply, change, claims},
    hostile_bytes::drive,
    parties::{Fixture, key, table, with_files},
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_bytes(bytes in vec(any::<u8>(), 0..3_000)) {
        drive(&bytes);
    }

    #[test]
    fn tokens_with_changes(claims in claims(), changes in vec(change(), 0..6)) {
        if let Ok(mut token) = sign(&claims, &key(claims.kind().role())) {
            changes.iter().for_each(|change| apply(change, &mut token));
            drive(&token);
        }
    }

    #[test]
    fn containers_with_changes(changes in vec(change(), 0..6)) {
        let mut wasm = Fixture::of(with_files()).signed();
        changes.iter().for_each(|change| apply(change, &mut wasm));
        drive(&wasm);
    }

    #[test]
    fn tables_with_changes(changes in vec(change(), 0..6)) {
        let mut region = table().encode().expect("right");
        region.resize(400, 0);
        changes.iter().for_each(|change| apply(change, &mut region));
        drive(&region);
    }

    /// Bytes behind heads that are right, so that a random tail is read as claims.
    #[test]
    fn any_claims(tail in vec(any::<u8>(), 0..80), kind in 1..=5_u8) {
        let payload = [&[0xa5, 2, 0x61, b'a', 6, 1, 0x3a, 0, 1, 0x11, 0x70, kind][..], &tail].concat();
        let length = u8::try_from(payload.len()).expect("short");
        let head = b"\xd2\x84\x4d\xa2\x01\x27\x04\x48abcdefgh\xa0\x58";
        drive(&[&head[..], &[length], &payload, &[0x58, 64], &[0; 64]].concat());
    }
}

#[test]
fn the_head_of_any_claims_is_right() {
    let claims = Fixture::of(with_files()).claims(TokenKind::Code, |claims| claims.subject = "a".into()).tokens;
    let token = sign(&claims[0].0, &claims[0].1).expect("right");
    assert_eq!(token[..8], *b"\xd2\x84\x4d\xa2\x01\x27\x04\x48");
    assert_eq!(token[16..22], [0xa0, 0x58, token[18], 0xa5, 2, 0x61]);
}
