//! Any bytes as token, container, key table and change of keys: what the tests and the fuzz target call.

use runner_tokens::{
    KeyTable, Ledger, MAX_TABLE_BYTES, SigningKey, Token, TokenKind, attach, is_signed, layout, sign, verify,
    verify_update,
};

/// Reads them as all of these. Panics where something that was accepted is not the only form of what it says.
pub(crate) fn drive(bytes: &[u8]) {
    let table = KeyTable::default();
    let ledger = Ledger::new(&table);
    for kind in TokenKind::ALL {
        if let Ok(token) = Token::decode(kind, bytes) {
            assert!(is_the_only_form(&token, bytes), "{token:?}");
        }
    }
    assert!(verify_update(bytes, "reef", &table, &ledger).is_err(), "nobody's key is known");
    assert!(verify(bytes, "reef", &table, &ledger).is_err(), "nobody's key is known");
    if let Ok(parts) = layout(bytes) {
        let signed = parts.tokens.iter().any(Option::is_some);
        assert_eq!(is_signed(bytes), Ok(signed));
        for kind in TokenKind::IN_CONTAINER {
            if let Some(token) = parts.token(kind) {
                // Put where it is, it changes nothing.
                assert!(attach(bytes, kind, token).is_ok_and(|same| same == bytes) || !is_about(bytes, kind));
            }
        }
    }
    if let Ok(table) = KeyTable::read(bytes) {
        let encoded = table.encode().expect("it was read");
        assert!(bytes.starts_with(&encoded) && encoded.len() <= MAX_TABLE_BYTES);
    }
}

/// Whether the token is well and about this container.
fn is_about(wasm: &[u8], kind: TokenKind) -> bool {
    layout(wasm).ok().and_then(|parts| parts.token(kind)).is_some_and(|token| attach(wasm, kind, token).is_ok())
}

/// Signed anew by somebody else, it differs in the key's id and the signature only.
fn is_the_only_form(token: &Token, bytes: &[u8]) -> bool {
    const ID: std::ops::Range<usize> = 8..16;
    const SIGNATURE: usize = 64;
    let mut again = sign(&token.claims, &SigningKey::from_secret(&[1; 32])).expect("it was accepted");
    let Some(end) = bytes.len().checked_sub(SIGNATURE) else { return false };
    if again.len() != bytes.len() {
        return false;
    }
    again[ID].copy_from_slice(&token.key.0);
    again[..end] == bytes[..end] && bytes[ID] == token.key.0
}
