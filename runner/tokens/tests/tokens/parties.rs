//! Four parties with fixed keys, a container, and tokens for it; each test changes what it is about.

use runner_container::{Manifest, append_custom_section, embed};
use runner_tokens::{
    Body, Claims, Key, KeyTable, Ledger, Refusal, Role, SigningKey, TokenKind, Verdict, layout, sign, verify,
};

pub(crate) const BOARD: &str = "reef";

/// 2026-01-01, when the image was built, and an hour later, when the tokens were made.
pub(crate) const BUILT: u64 = 1_767_225_600;
pub(crate) const SIGNED: u64 = BUILT + 3_600;

const MODULE: &str = r#"(module (@custom "first" "of somebody else") (memory (export "memory") 1)
    (func (export "on-start")) (func (export "on-loop")) (data (i32.const 0) "x"))"#;

/// The key of that role; `nobody`'s role is in no table.
pub(crate) fn key(role: Role) -> SigningKey {
    SigningKey::from_secret(&[role.number(); 32])
}

pub(crate) fn nobody() -> SigningKey {
    SigningKey::from_secret(&[9; 32])
}

pub(crate) fn public(key: &SigningKey, role: Role) -> Key {
    Key { role, public: key.public() }
}

pub(crate) fn table() -> KeyTable {
    let keys = Role::ALL.into_iter().map(|role| public(&key(role), role)).collect();
    KeyTable { image_time: BUILT, production: true, keys, minimums: Vec::new() }
}

pub(crate) fn packed(name: &str, files: &[(&str, &[u8])]) -> Vec<u8> {
    let manifest = Manifest { arguments: vec!["fast".into()], ..Manifest::named(name) };
    embed(&wat::parse_str(MODULE).expect("valid text"), &manifest, files).expect("a valid container")
}

pub(crate) fn with_files() -> Vec<u8> {
    packed("blinker", &[("greeting", b"Hello from the reef\n")])
}

pub(crate) fn without_files() -> Vec<u8> {
    packed("blinker", &[])
}

/// A container and the claims of its tokens, to be changed and signed.
#[derive(Clone)]
pub(crate) struct Fixture {
    pub(crate) container: Vec<u8>,
    pub(crate) tokens: Vec<(Claims, SigningKey)>,
}

impl Fixture {
    /// What everybody would sign for this container.
    pub(crate) fn of(container: Vec<u8>) -> Self {
        let parts = layout(&container).expect("it is packed");
        let grant = Body::Grant {
            integrator: key(Role::Integrator).public().id(),
            rights: vec!["gpio:LED:out".into(), "timer:10ms".into()],
        };
        let bodies = [Some(parts.code_body()), parts.data_body(), Some(parts.metadata_body()), Some(grant)];
        let claims = |body| Claims {
            subject: parts.declared.name.clone(),
            audience: None,
            expires: None,
            issued: SIGNED,
            sequence: 5,
            body,
        };
        let mut tokens: Vec<_> = bodies.into_iter().flatten().map(claims).map(|claims| (claims, nobody())).collect();
        for (claims, signer) in &mut tokens {
            *signer = key(claims.kind().role());
        }
        Self { container, tokens }
    }

    pub(crate) fn token(&mut self, kind: TokenKind) -> &mut (Claims, SigningKey) {
        self.tokens.iter_mut().find(|(claims, _)| claims.kind() == kind).expect("it has that token")
    }

    pub(crate) fn claims(mut self, kind: TokenKind, change: impl FnOnce(&mut Claims)) -> Self {
        change(&mut self.token(kind).0);
        self
    }

    pub(crate) fn signed_by(mut self, kind: TokenKind, signer: SigningKey) -> Self {
        self.token(kind).1 = signer;
        self
    }

    pub(crate) fn without(mut self, kind: TokenKind) -> Self {
        self.tokens.retain(|(claims, _)| claims.kind() != kind);
        self
    }

    /// Appends the tokens as they are; `attach` would refuse some of the fixtures.
    pub(crate) fn signed(&self) -> Vec<u8> {
        let sections = self
            .tokens
            .iter()
            .map(|(claims, signer)| (section(claims.kind()), sign(claims, signer).expect("claims of the right form")));
        with_sections(&self.container, &sections.collect::<Vec<_>>())
    }

    pub(crate) fn verified(&self) -> Result<Verdict, Refusal> {
        verdict(&self.signed())
    }
}

pub(crate) fn section(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::Code => "atoll.code",
        TokenKind::Data => "atoll.data",
        TokenKind::Metadata => "atoll.metadata",
        TokenKind::Grant => "atoll.grant",
        TokenKind::Keys => unreachable!("not in a container"),
    }
}

pub(crate) fn with_sections(container: &[u8], sections: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut made = container.to_vec();
    for (name, bytes) in sections {
        append_custom_section(&mut made, name, bytes).expect("a short section");
    }
    made
}

pub(crate) fn verdict(wasm: &[u8]) -> Result<Verdict, Refusal> {
    verify(wasm, BOARD, &table(), &Ledger::new(&table()))
}

pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("two digits");
    digits.chunks(2).map(byte).collect()
}
