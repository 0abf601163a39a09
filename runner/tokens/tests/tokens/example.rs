//! The worked example of `docs/tokens.md`, held to what is made of its secret and its claims.

use ed25519_dalek::{Signature, VerifyingKey};
use runner_container::{Manifest, append_custom_section, embed};
use runner_tokens::{Claims, Date, SigningKey, TokenKind, attach, layout, sign};

use crate::parties::hex;

const PAGE: &str = include_str!("../../../../docs/tokens.md");

/// What stands behind a label, with the indented lines below it; labels begin lines of the page's blocks.
fn labelled(label: &str, nth: usize) -> Vec<u8> {
    let mut lines = PAGE.lines().skip_while(|line| *line != "## An example");
    for _ in 0..nth {
        lines.find(|line| line.starts_with(label));
    }
    let first = lines.find_map(|line| line.strip_prefix(label)).expect("the page has the label");
    let more = lines.take_while(|line| line.starts_with("  "));
    std::iter::once(first).chain(more).flat_map(hex).collect()
}

#[test]
fn the_page_is_right() {
    let key = SigningKey::from_secret(&labelled("secret  ", 0).try_into().expect("32 bytes"));
    assert_eq!(labelled("public  ", 0), key.public().0);
    assert_eq!(labelled("id  ", 0), key.public().id().0);

    let container = embed(b"\0asm\x01\0\0\0", &Manifest::named("blinker"), &[]).expect("packed");
    assert_eq!([labelled("code  ", 0), labelled("section  ", 0), labelled("manifest  ", 0)].concat(), container);
    let parts = layout(&container).expect("right");
    assert_eq!(labelled("code hash  ", 0), parts.code_hash);

    let issued = 0x6955_c710;
    assert_eq!(Date(issued).to_string(), "2026-01-01 01:00:00 UTC");
    let body = parts.code_body();
    let claims = Claims { subject: "blinker".into(), audience: None, expires: None, issued, sequence: 1, body };
    let token = sign(&claims, &key).expect("right");
    assert_eq!(labelled("token  ", 0), token);
    assert_eq!(token.len(), 152);
    assert_eq!(token[3..16], labelled("protected  ", 0));
    assert_eq!(token[19..86], labelled("claims  ", 0));
    assert_eq!(token[88..], labelled("signature  ", 0));

    let public = VerifyingKey::from_bytes(&key.public().0).expect("a key");
    let signature = Signature::from_bytes(&labelled("signature  ", 0).try_into().expect("64 bytes"));
    public.verify_strict(&labelled("signed  ", 0), &signature).expect("it is over these bytes");

    let mut section = Vec::new();
    append_custom_section(&mut section, "atoll.code", &token).expect("short");
    assert_eq!([labelled("section  ", 1), token.clone()].concat(), section);
    assert_eq!(attach(&container, TokenKind::Code, &token).expect("it belongs there"), [container, section].concat());
}
