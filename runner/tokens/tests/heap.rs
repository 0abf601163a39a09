//! What reading and verifying takes of the heap for the tokens that are dearest for their size.
//!
//! A binary of its own, because it has an allocator that counts.

#[path = "../../container/tests/container/counting_heap.rs"]
mod counting_heap;

use counting_heap::peak_of;
use runner_container::{Manifest, append_custom_section, embed, rights::Right};
use runner_tokens::{
    Body, Claims, Key, KeyTable, Ledger, MAX_TOKEN_BYTES, Refusal, Role, SigningKey, Token, TokenKind, layout, sign,
    verify,
};

/// A few bytes of a token become most where each is a right of its own: as many channels as a list may have, each with a type.
fn costly() -> Vec<u8> {
    let mut rights: Vec<_> = (0..64).map(|number| format!("channel:{}:get:u8", char::from(b'0' + number))).collect();
    rights.retain(|right| Right::parse(right).is_ok());
    rights.extend((rights.len()..64).map(|number| format!("gpio:{number}:out")));
    let body = Body::Grant { integrator: key(Role::Integrator).public().id(), rights };
    sign(&claims(body), &key(Role::Owner)).expect("right")
}

fn claims(body: Body) -> Claims {
    Claims { subject: "blinker".into(), audience: None, expires: None, issued: 1, sequence: 1, body }
}

fn key(role: Role) -> SigningKey {
    SigningKey::from_secret(&[role.number(); 32])
}

#[test]
fn a_token_takes_a_bounded_multiple_of_the_largest() {
    let grant = costly();
    let (peak, ()) = peak_of(|| assert!(Token::decode(TokenKind::Grant, &grant).is_ok()));
    assert!(peak > 64, "the counting does not count");
    assert!(peak <= 10 * MAX_TOKEN_BYTES, "{peak} bytes");
    println!("token: {peak} bytes");
    // Lengths that are there on paper only: 64 rights, and a payload of 4 GiB.
    for announced in [
        &b"\xd2\x84\x5a\xff\xff\xff\xff"[..],
        b"\xd2\x84\x4d\xa2\x01\x27\x04\x48abcdefgh\xa0\x45\xa1\x39\xff\xff\x98\x40",
    ] {
        let (peak, ()) = peak_of(|| assert!(Token::decode(TokenKind::Grant, announced).is_err()));
        assert!(peak < 256, "{peak} bytes for {}", announced.len());
    }
    // A container of a megabyte with the dearest tokens, once right and once with other code.
    let module = [&b"\0asm\x01\0\0\0"[..], &{
        let mut custom = Vec::new();
        append_custom_section(&mut custom, "a", &vec![0; 1 << 20]).expect("32 bits hold it");
        custom
    }]
    .concat();
    let container = embed(&module, &Manifest::named("blinker"), &[]).expect("packed");
    let parts = layout(&container).expect("right");
    let mut signed = container.clone();
    for (section, token) in [
        ("atoll.code", sign(&claims(parts.code_body()), &key(Role::Developer)).expect("right")),
        ("atoll.metadata", sign(&claims(parts.metadata_body()), &key(Role::Integrator)).expect("right")),
        ("atoll.grant", grant),
    ] {
        append_custom_section(&mut signed, section, &token).expect("short");
    }
    let keys = Role::ALL.map(|role| Key { role, public: key(role).public() }).to_vec();
    let table = KeyTable { image_time: 0, production: true, keys, minimums: Vec::new() };
    let ledger = Ledger::new(&table);
    let (peak, ()) = peak_of(|| assert!(verify(&signed, "reef", &table, &ledger).is_ok()));
    println!("container: {peak} bytes");
    assert!(peak <= 10 * MAX_TOKEN_BYTES, "{peak} bytes");
    signed[100] ^= 1;
    let (peak, ()) =
        peak_of(|| assert_eq!(verify(&signed, "reef", &table, &ledger), Err(Refusal::OtherCode(TokenKind::Code))));
    assert!(peak <= 10 * MAX_TOKEN_BYTES, "{peak} bytes");
}
