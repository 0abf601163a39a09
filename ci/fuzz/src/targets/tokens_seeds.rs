//! A token of each kind, a container with some, a table of keys.

use runner_container::{Manifest, embed};
use runner_tokens::{Body, Claims, Key, KeyTable, Role, SigningKey, attach, sign};

/// 2026-01-01.
const BUILT: u64 = 1_767_225_600;

fn key(role: Role) -> SigningKey {
    SigningKey::from_secret(&[role.number(); 32])
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut wasm = embed(b"\0asm\x01\0\0\0", &Manifest::named("a"), &[("f", b"x")]).expect("valid");
    let integrator = key(Role::Integrator).public().id();
    let added = vec![Key { role: Role::Developer, public: key(Role::Developer).public() }];
    let bodies = [
        Body::Code { code: [1; 32] },
        Body::Data { files: [2; 32] },
        Body::Metadata { code: [1; 32], files: Some([2; 32]), manifest: [3; 32] },
        Body::Grant { integrator, rights: vec!["gpio:LED:out".into(), "timer:10ms".into()] },
        Body::Keys { added, revoked: vec![integrator] },
    ];
    let mut seeds = Vec::new();
    for body in bodies {
        let is_keys = matches!(body, Body::Keys { .. });
        let subject = if is_keys { runner_tokens::KEYS_SUBJECT.into() } else { "a".into() };
        let claims = Claims { subject, audience: None, expires: None, issued: BUILT + 3_600, sequence: 5, body };
        let signer = key(claims.kind().role());
        seeds.push(sign(&claims, &signer).expect("claims of the right form"));
    }
    let parts = runner_tokens::layout(&wasm).expect("it is packed");
    let claims = [parts.code_body(), parts.metadata_body()].map(|body| Claims {
        subject: "a".into(),
        audience: Some("reef".into()),
        expires: Some(BUILT + 7_200),
        issued: BUILT + 3_600,
        sequence: 1,
        body,
    });
    for claims in claims.iter().filter(|claims| claims.kind() == runner_tokens::TokenKind::Metadata) {
        let token = sign(claims, &key(Role::Integrator)).expect("claims of the right form");
        wasm = attach(&wasm, claims.kind(), &token).expect("it is about this container");
    }
    seeds.push(wasm);
    let keys = Role::ALL.into_iter().map(|role| Key { role, public: key(role).public() }).collect();
    let table = KeyTable { image_time: BUILT, production: true, keys, minimums: Vec::new() };
    seeds.push(table.encode().expect("valid"));
    seeds
}
