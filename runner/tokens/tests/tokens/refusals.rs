//! One fixture for each way to be wrong, named for it; each is right but for that.

use coset::{CborSerializable, CoseSign1Builder, HeaderBuilder, TaggedCborSerializable, iana};
use runner_container::{
    Violation, append_custom_section,
    rights::{RightError, WrongRight},
    sections,
};
use runner_tokens::{
    Body, KeyId, KeyTable, Ledger, MAX_TOKEN_BYTES, Minimum, Refusal, Role, SigningKey, TokenKind, attach, check,
    is_signed, layout, sign, verify,
};

use crate::{
    comparison::{ed25519, encoded},
    parties::{
        BOARD, BUILT, Fixture, SIGNED, key, nobody, packed, public, section, table, verdict, with_files, with_sections,
        without_files,
    },
};

const KINDS: [TokenKind; 4] = TokenKind::IN_CONTAINER;

fn complete() -> Fixture {
    Fixture::of(with_files())
}

fn id(role: Role) -> KeyId {
    key(role).public().id()
}

/// Refused with that, and with a line that has those words.
fn refused(fixture: &Fixture, refusal: &Refusal, words: &str) {
    assert_eq!(fixture.verified().as_ref(), Err(refusal));
    let line = refusal.to_string();
    assert!(line.contains(words) && !line.contains('\n'), "{line}");
}

#[test]
fn right() {
    let verdict = complete().verified().expect("it is right");
    assert_eq!(verdict.declared.name, "blinker");
    assert_eq!(verdict.signatures.tokens.iter().map(|token| token.claims.kind()).collect::<Vec<_>>(), KINDS);
    assert_eq!(verdict.signatures.tokens.iter().map(|token| token.key).collect::<Vec<_>>(), Role::ALL.map(id));
    assert_eq!(verdict.signatures.rights(), ["gpio:LED:out", "timer:10ms"]);
    assert_eq!(verdict.signatures.expires(), None);
    let verdict = Fixture::of(without_files()).verified().expect("it is right");
    assert_eq!(verdict.signatures.tokens.len(), 3);
    assert_eq!(verdict.files_hash, None);
}

#[test]
fn right_for_a_while_on_this_board() {
    let mut fixture = complete();
    for (at, (claims, _)) in fixture.tokens.iter_mut().enumerate() {
        claims.expires = Some(SIGNED + 100 - at as u64);
        claims.audience = matches!(claims.kind(), TokenKind::Metadata | TokenKind::Grant).then(|| BOARD.into());
    }
    assert_eq!(fixture.verified().expect("it is right").signatures.expires(), Some(SIGNED + 97));
}

#[test]
fn wrong_role() {
    for kind in KINDS {
        for role in Role::ALL.into_iter().filter(|role| *role != kind.role()) {
            let fixture = complete().signed_by(kind, key(role));
            refused(&fixture, &Refusal::WrongRole { kind, key: id(role), role }, &format!("whose role is {role}"));
        }
    }
}

#[test]
fn unknown_key() {
    for kind in KINDS {
        let fixture = complete().signed_by(kind, nobody());
        let refusal = Refusal::UnknownKey { kind, key: nobody().public().id() };
        refused(&fixture, &refusal, "which is not known here");
    }
}

#[test]
fn signature_of_another() {
    // The id of the right key over the signature of another.
    for kind in KINDS {
        let (claims, signer) = complete().token(kind).clone();
        let mut token = sign(&claims, &signer).expect("right");
        let other = sign(&claims, &nobody()).expect("right");
        let at = token.len() - 64;
        token[at..].copy_from_slice(&other[at..]);
        let wasm = attach(&complete().signed(), kind, &token).expect("of the right form");
        let refusal = Refusal::Signature { kind, key: signer.public().id() };
        assert_eq!(verdict(&wasm), Err(refusal.clone()));
        assert!(refusal.to_string().contains("has a signature that is not of key"));
    }
}

#[test]
fn expired_where_time_is_known() {
    for kind in KINDS {
        let expires = SIGNED + 60;
        let wasm = complete().claims(kind, |claims| claims.expires = Some(expires)).signed();
        let table = table();
        let at = |known| {
            let mut ledger = Ledger::new(&table);
            ledger.learn_time(known);
            verify(&wasm, BOARD, &table, &ledger).map(drop)
        };
        assert_eq!(at(0), Ok(()));
        assert_eq!(at(expires - 1), Ok(()));
        for known in [expires, expires + 1] {
            let refusal = Refusal::Expired { kind, expires, known };
            assert_eq!(at(known), Err(refusal.clone()));
            assert!(refusal.to_string().contains("expired on 2026-01-01 01:01:00 UTC; it is 2026-01-01 01:0"));
        }
        // By the image's own time, by the time since, and by an owner's token.
        let later = KeyTable { image_time: expires, ..table.clone() };
        assert!(matches!(verify(&wasm, BOARD, &later, &Ledger::new(&later)), Err(Refusal::Expired { .. })));
        let mut ledger = Ledger::new(&table);
        ledger.advance(expires - BUILT);
        assert!(matches!(verify(&wasm, BOARD, &table, &ledger), Err(Refusal::Expired { .. })));
        let newer = complete().claims(TokenKind::Grant, |claims| claims.issued = expires);
        let mut ledger = Ledger::new(&table);
        ledger.accept(&newer.verified().expect("right").signatures).expect("there is room");
        assert_eq!(ledger.known_time(), expires);
        assert!(matches!(verify(&wasm, BOARD, &table, &ledger), Err(Refusal::Expired { .. })));
    }
}

#[test]
fn only_the_owner_tells_the_time() {
    let mut ledger = Ledger::new(&table());
    let mut fixture = complete();
    for kind in [TokenKind::Code, TokenKind::Data, TokenKind::Metadata] {
        fixture = fixture.claims(kind, |claims| claims.issued = SIGNED + 1_000_000);
    }
    ledger.accept(&fixture.verified().expect("right").signatures).expect("there is room");
    assert_eq!(ledger.known_time(), SIGNED);
}

#[test]
fn older_sequence() {
    for kind in KINDS {
        let table = table();
        let mut ledger = Ledger::new(&table);
        ledger.accept(&complete().verified().expect("right").signatures).expect("there is room");
        // The same again is no older one.
        assert!(verify(&complete().signed(), BOARD, &table, &ledger).is_ok());
        let older = complete().claims(kind, |claims| claims.sequence = 4).signed();
        let refusal = Refusal::OlderSequence { kind, sequence: 4, lowest: 5 };
        assert_eq!(verify(&older, BOARD, &table, &ledger), Err(refusal.clone()));
        assert!(refusal.to_string().contains("has sequence 4; this node accepts 5 and above"));
        // Another container's do not matter.
        let mut other = Fixture::of(packed("other", &[("a", b"b")]));
        other.tokens.iter_mut().for_each(|(claims, _)| claims.sequence = 1);
        assert!(verify(&other.signed(), BOARD, &table, &ledger).is_ok());
        // By the image.
        let minimum = Minimum { kind, subject: "blinker".into(), sequence: 6 };
        let table = KeyTable { minimums: vec![minimum], ..table };
        let refusal = Refusal::OlderSequence { kind, sequence: 5, lowest: 6 };
        assert_eq!(verify(&complete().signed(), BOARD, &table, &Ledger::new(&table)), Err(refusal));
    }
}

#[test]
fn hash_of_other_bytes() {
    let other = [7; 32];
    let fixture = complete().claims(TokenKind::Code, |claims| claims.body = Body::Code { code: other });
    refused(&fixture, &Refusal::OtherCode(TokenKind::Code), "the module's bytes are not those signed");
    let fixture = complete().claims(TokenKind::Data, |claims| claims.body = Body::Data { files: other });
    refused(&fixture, &Refusal::OtherFiles(TokenKind::Data), "other files");
    let metadata = |change: fn(&mut Body)| complete().claims(TokenKind::Metadata, |claims| change(&mut claims.body));
    let fixture = metadata(|body| {
        let Body::Metadata { code, .. } = body else { unreachable!() };
        *code = [7; 32];
    });
    refused(&fixture, &Refusal::OtherCode(TokenKind::Metadata), "other code");
    for no in [Some([7; 32]), None] {
        let fixture = complete().claims(TokenKind::Metadata, |claims| {
            let Body::Metadata { files, .. } = &mut claims.body else { unreachable!() };
            *files = no;
        });
        refused(&fixture, &Refusal::OtherFiles(TokenKind::Metadata), "other files");
    }
    let fixture = metadata(|body| {
        let Body::Metadata { manifest, .. } = body else { unreachable!() };
        *manifest = [7; 32];
    });
    refused(&fixture, &Refusal::OtherManifest(TokenKind::Metadata), "another manifest");
}

#[test]
fn other_bytes_under_the_same_tokens() {
    let signed = complete();
    let mut other = complete();
    other.container = packed("blinker", &[("greeting", b"Hello from elsewhere\n")]);
    other.tokens.clone_from(&signed.tokens);
    refused(&other, &Refusal::OtherFiles(TokenKind::Data), "other files");
}

#[test]
fn token_of_another_container() {
    for kind in KINDS {
        let fixture = complete().claims(kind, |claims| claims.subject = "thermostat".into());
        let refusal = Refusal::OtherContainer { kind, subject: "thermostat".into(), name: "blinker".into() };
        refused(&fixture, &refusal, "is for `thermostat`, and this is `blinker`");
        let (claims, signer) = fixture.clone().token(kind).clone();
        assert_eq!(attach(&with_files(), kind, &sign(&claims, &signer).expect("right")), Err(refusal));
    }
}

#[test]
fn wrong_audience() {
    for kind in [TokenKind::Metadata, TokenKind::Grant] {
        let fixture = complete().claims(kind, |claims| claims.audience = Some("atoll".into()));
        let refusal = Refusal::OtherBoard { kind, audience: "atoll".into(), board: BOARD.into() };
        refused(&fixture, &refusal, "is for the board `atoll`, and this is `reef`");
    }
    for kind in [TokenKind::Code, TokenKind::Data] {
        let (mut claims, signer) = complete().token(kind).clone();
        claims.audience = Some(BOARD.into());
        // The encoder leaves nothing out, so the decoder sees it.
        assert_eq!(sign(&claims, &signer), Err(Refusal::UnknownClaim { kind, claim: 3 }));
    }
}

#[test]
fn another_integrator() {
    let other = SigningKey::from_secret(&[33; 32]);
    let mut table = table();
    table.keys.push(public(&other, Role::Integrator));
    let wasm = complete().signed_by(TokenKind::Metadata, other.clone()).signed();
    let refusal = Refusal::OtherIntegrator { trusted: id(Role::Integrator), signed: other.public().id() };
    assert_eq!(verify(&wasm, BOARD, &table, &Ledger::new(&table)), Err(refusal.clone()));
    assert!(refusal.to_string().contains("the grant token trusts integrator"));
}

#[test]
fn truncated() {
    let wasm = complete().signed();
    for length in 0..wasm.len() {
        let refusal = verdict(&wasm[..length]).expect_err("it is cut off");
        assert!(!refusal.to_string().is_empty());
    }
    // Each token, within a container that is whole.
    for kind in KINDS {
        let (claims, signer) = complete().token(kind).clone();
        let token = sign(&claims, &signer).expect("right");
        for length in 0..token.len() {
            let mut fixture = complete();
            fixture.tokens.retain(|(claims, _)| claims.kind() != kind);
            let wasm = with_token_bytes(kind, &token[..length]);
            match verdict(&wasm) {
                Err(Refusal::Form { kind: found, violation: Violation::Truncated, .. }) => assert_eq!(found, kind),
                other => panic!("{kind} token of {length} bytes: {other:?}"),
            }
        }
    }
}

/// A complete container with these bytes in the place of one token.
fn with_token_bytes(kind: TokenKind, bytes: &[u8]) -> Vec<u8> {
    let fixture = complete();
    let sections: Vec<_> = fixture
        .tokens
        .iter()
        .map(|(claims, signer)| {
            let own = claims.kind();
            (section(own), if own == kind { bytes.to_vec() } else { sign(claims, signer).expect("right") })
        })
        .collect();
    with_sections(&fixture.container, &sections)
}

#[test]
fn too_large() {
    let wasm = with_token_bytes(TokenKind::Grant, &[0; MAX_TOKEN_BYTES + 1]);
    assert_eq!(verdict(&wasm), Err(Refusal::TokenTooLarge(TokenKind::Grant)));
    let rights = (0..64).map(|number| format!("gpio:{number:060}:out")).collect();
    let fixture = complete().claims(TokenKind::Grant, |claims| {
        claims.body = Body::Grant { integrator: id(Role::Integrator), rights };
    });
    let (claims, signer) = fixture.clone().token(TokenKind::Grant).clone();
    assert_eq!(sign(&claims, &signer), Err(Refusal::TokenTooLarge(TokenKind::Grant)));
}

#[test]
fn the_largest_grant_has_room() {
    let rights: Vec<_> = (0..64).map(|number| format!("gpio:{number:015}:out")).collect();
    assert!(rights.iter().all(|right| right.len() == 24));
    let fixture = complete().claims(TokenKind::Grant, |claims| {
        claims.subject = "x".repeat(40);
        claims.audience = Some("y".repeat(64));
        claims.expires = Some(SIGNED + 1);
        claims.sequence = u64::MAX;
        claims.body = Body::Grant { integrator: id(Role::Integrator), rights };
    });
    let (claims, signer) = fixture.clone().token(TokenKind::Grant).clone();
    assert!(sign(&claims, &signer).expect("it has room").len() <= MAX_TOKEN_BYTES);
}

#[test]
fn rights_not_sorted_or_twice() {
    for rights in [["timer:10ms", "gpio:LED:out"], ["timer:10ms", "timer:10ms"]] {
        let (mut claims, signer) = complete().token(TokenKind::Grant).clone();
        let rights = rights.map(String::from).to_vec();
        claims.body = Body::Grant { integrator: id(Role::Integrator), rights };
        assert_eq!(sign(&claims, &signer), Err(Refusal::RightsOrder));
        // Made by somebody else's encoder.
        let wasm = with_token_bytes(TokenKind::Grant, &encoded(&claims, &signer));
        assert_eq!(verdict(&wasm), Err(Refusal::RightsOrder));
    }
    assert!(Refusal::RightsOrder.to_string().contains("rights do not ascend, or one is there twice"));
}

#[test]
fn rights_not_in_their_one_form() {
    let cases: [(&[&str], Refusal, &str); 4] = [
        (&["timer:10000us"], Refusal::RightsForm { canonical: vec!["timer:10ms".into()] }, "which is `timer:10ms`"),
        (
            &["gpio:LED:out", "i2c:0x48", "i2c:0x49"],
            Refusal::RightsForm { canonical: vec!["gpio:LED:out".into(), "i2c:0x48-0x49".into()] },
            "`gpio:LED:out` `i2c:0x48-0x49`",
        ),
        (
            &["gpio:LED:out", "teapot:1"],
            Refusal::NotARight(WrongRight { text: "teapot:1".into(), error: Some(RightError::Unknown) }),
            "`teapot:1`",
        ),
        (
            &["timer:10ms", "timer:20ms"],
            Refusal::NotARight(WrongRight { text: "timer:20ms".into(), error: None }),
            "says twice",
        ),
    ];
    for (rights, refusal, words) in cases {
        let (mut claims, signer) = complete().token(TokenKind::Grant).clone();
        let rights = rights.iter().map(|right| (*right).to_owned()).collect();
        claims.body = Body::Grant { integrator: id(Role::Integrator), rights };
        assert_eq!(sign(&claims, &signer), Err(refusal.clone()));
        // Made by somebody else's encoder.
        let wasm = with_token_bytes(TokenKind::Grant, &encoded(&claims, &signer));
        assert_eq!(verdict(&wasm), Err(refusal.clone()));
        assert!(refusal.to_string().contains(words), "{refusal}");
    }
}

#[test]
fn claims_that_say_what_they_cannot() {
    let bad = |kind, claim, violation| Refusal::BadClaim { kind, claim, violation };
    let grant = |change: fn(&mut runner_tokens::Claims)| {
        let (mut claims, signer) = complete().token(TokenKind::Grant).clone();
        change(&mut claims);
        sign(&claims, &signer).expect_err("it says what it cannot")
    };
    let rights = |text: &str| Body::Grant { integrator: id(Role::Integrator), rights: vec![text.into()] };
    assert_eq!(grant(|claims| claims.subject = "No Name".into()), bad(TokenKind::Grant, 2, Violation::Name));
    assert_eq!(grant(|claims| claims.audience = Some(String::new())), bad(TokenKind::Grant, 3, Violation::Empty));
    assert_eq!(
        grant(|claims| claims.audience = Some("a\n".into())),
        bad(TokenKind::Grant, 3, Violation::ControlCharacter)
    );
    assert_eq!(
        grant(|claims| claims.audience = Some("a".repeat(65))),
        bad(TokenKind::Grant, 3, Violation::TextTooLong)
    );
    assert_eq!(grant(|claims| claims.issued = u64::MAX), bad(TokenKind::Grant, 6, Violation::NumberTooLarge));
    assert_eq!(grant(|claims| claims.expires = Some(u64::MAX)), bad(TokenKind::Grant, 4, Violation::NumberTooLarge));
    assert_eq!(grant(|claims| claims.expires = Some(SIGNED)), Refusal::EndsBeforeItBegins(TokenKind::Grant));
    assert_eq!(grant(|claims| claims.sequence = 0), bad(TokenKind::Grant, -70_002, Violation::UnknownValue));
    for (text, violation) in [("", Violation::Empty), ("a\u{7f}", Violation::ControlCharacter)] {
        let (mut claims, signer) = complete().token(TokenKind::Grant).clone();
        claims.body = rights(text);
        assert_eq!(sign(&claims, &signer), Err(bad(TokenKind::Grant, -70_006, violation)));
    }
}

#[test]
fn token_of_another_kind() {
    for kind in KINDS {
        for other in KINDS.into_iter().filter(|other| *other != kind) {
            let (claims, _) = complete().token(other).clone();
            // Signed by the party who may sign what should stand there.
            let token = sign(&claims, &key(kind.role())).expect("right");
            let refusal = Refusal::WrongKind { kind, found: other.number().into() };
            assert_eq!(verdict(&with_token_bytes(kind, &token)), Err(refusal.clone()));
            assert!(refusal.to_string().contains(&format!("the {kind} token is a {other} token")));
        }
    }
}

#[test]
fn duplicated_sections() {
    let wasm = complete().signed();
    for (name, range) in own(&wasm) {
        for at in own(&wasm).into_iter().map(|(_, range)| range.end).filter(|at| *at >= range.end) {
            let mut twice = wasm.clone();
            twice.splice(at..at, wasm[range.clone()].to_vec());
            assert_eq!(verdict(&twice), Err(Refusal::DuplicateSection { section: name }), "{name} at {at}");
        }
    }
}

#[test]
fn reordered_sections() {
    let wasm = complete().signed();
    let all = own(&wasm);
    for first in 0..all.len() {
        for second in first + 1..all.len() {
            let mut order: Vec<_> = all.clone();
            order.swap(first, second);
            let mut swapped = wasm[..all[0].1.start].to_vec();
            order.iter().for_each(|(_, range)| swapped.extend_from_slice(&wasm[range.clone()]));
            assert_eq!(swapped.len(), wasm.len());
            let refusal = verdict(&swapped).expect_err("another order");
            assert!(matches!(refusal, Refusal::SectionOrder { .. }), "{first} and {second}: {refusal:?}");
            assert!(refusal.to_string().contains("the order is `atoll.app` `atoll.files` `atoll.code`"));
        }
    }
}

#[test]
fn a_section_behind_or_among_ours() {
    let wasm = complete().signed();
    let mut places: Vec<_> = own(&wasm).into_iter().map(|(_, range)| range.end).collect();
    assert_eq!(places.pop(), Some(wasm.len()));
    places.push(wasm.len());
    let mut custom = Vec::new();
    append_custom_section(&mut custom, "name", b"").expect("short");
    // A custom section, an empty one of types, and one of Atoll's that nobody knows.
    for foreign in [custom, vec![1, 1, 0]] {
        for at in &places {
            let mut more = wasm.clone();
            more.splice(*at..*at, foreign.clone());
            assert_eq!(verdict(&more), Err(Refusal::ForeignSection { offset: *at }));
        }
    }
    let mut unknown = Vec::new();
    append_custom_section(&mut unknown, "atoll.other", b"").expect("short");
    for at in places.iter().copied().chain([8]) {
        let mut more = wasm.clone();
        more.splice(at..at, unknown.clone());
        assert_eq!(verdict(&more), Err(Refusal::UnknownSection { offset: at }));
    }
    assert!(Refusal::ForeignSection { offset: 7 }.to_string().contains("at byte 7 stands behind or among Atoll's"));
    // Bytes behind the end that are no section.
    assert!(matches!(verdict(&[&wasm[..], &[0]].concat()), Err(Refusal::Module(_))));
}

#[test]
fn padded_length() {
    let wasm = complete().signed();
    for (name, range) in own(&wasm) {
        let body: usize = wasm[range.start + 1..].iter().position(|byte| byte & 0x80 == 0).expect("a length");
        let mut padded = wasm.clone();
        padded[range.start + 1 + body] |= 0x80;
        padded.insert(range.start + 2 + body, 0);
        assert_eq!(sections(&padded).filter(Result::is_err).count(), 0, "WebAssembly allows it");
        assert_eq!(verdict(&padded), Err(Refusal::SectionLength { section: name }));
    }
}

/// Atoll's sections and where they lie.
fn own(wasm: &[u8]) -> Vec<(&'static str, std::ops::Range<usize>)> {
    let found: Vec<_> = runner_container::custom_sections(wasm)
        .map(|section| section.expect("whole"))
        .filter_map(|section| {
            let name = runner_container::OWN_SECTIONS.into_iter().find(|name| *name == section.name)?;
            Some((name, section.range))
        })
        .collect();
    assert_eq!(found.len(), 6);
    found
}

#[test]
fn missing_token() {
    for kind in [TokenKind::Code, TokenKind::Metadata, TokenKind::Grant] {
        refused(&complete().without(kind), &Refusal::MissingToken(kind), &format!("the {} has to sign", kind.role()));
    }
    assert_eq!(verdict(&with_files()), Err(Refusal::MissingToken(TokenKind::Code)));
    assert_eq!(is_signed(&with_files()), Ok(false));
    for kind in KINDS {
        let mut alone = complete();
        alone.tokens.retain(|(claims, _)| claims.kind() == kind);
        assert_eq!(is_signed(&alone.signed()), Ok(true));
        // One token can be looked at before the others are there.
        let wasm = alone.signed();
        let (table, parts) = (table(), layout(&wasm).expect("right"));
        let ledger = Ledger::new(&table);
        for other in KINDS {
            let checked = check(&parts, other, BOARD, &table, &ledger);
            assert_eq!(checked.is_ok(), other == kind, "{checked:?}");
        }
    }
}

#[test]
fn data_token_missing_with_files() {
    refused(&complete().without(TokenKind::Data), &Refusal::FilesWithoutToken, "has files and no data token");
}

#[test]
fn files_missing_with_data_token() {
    let mut fixture = complete();
    fixture.container = without_files();
    refused(&fixture, &Refusal::TokenWithoutFiles, "has a data token and no files");
    let (claims, signer) = complete().token(TokenKind::Data).clone();
    let token = sign(&claims, &signer).expect("right");
    assert_eq!(attach(&without_files(), TokenKind::Data, &token), Err(Refusal::TokenWithoutFiles));
}

#[test]
fn no_manifest() {
    let wasm = complete().signed();
    let (_, range) = own(&wasm).swap_remove(0);
    let bare = [&wasm[..range.start], &wasm[range.end..]].concat();
    assert_eq!(verdict(&bare), Err(Refusal::NoManifest));
    assert!(matches!(
        verdict(&with_sections(&bare[..range.start], &[("atoll.app", vec![])])),
        Err(Refusal::Manifest(_))
    ));
}

#[test]
fn another_header() {
    let (claims, signer) = complete().token(TokenKind::Code).clone();
    let kid = signer.public().id().0.to_vec();
    let payload = sign(&claims, &signer).expect("right");
    let payload = coset::CoseSign1::from_tagged_slice(&payload).expect("COSE").payload.expect("attached");
    let right = || HeaderBuilder::new().algorithm(iana::Algorithm::EdDSA).key_id(kid.clone());
    let nothing = coset::Header::default;
    let headers = [
        (HeaderBuilder::new().algorithm(iana::Algorithm::EdDSA).build(), nothing()),
        (HeaderBuilder::new().key_id(kid.clone()).build(), nothing()),
        (HeaderBuilder::new().algorithm(iana::Algorithm::ES256).key_id(kid.clone()).build(), nothing()),
        (HeaderBuilder::new().algorithm(iana::Algorithm::EdDSA).key_id(kid[..7].to_vec()).build(), nothing()),
        (
            HeaderBuilder::new().algorithm(iana::Algorithm::EdDSA).build(),
            HeaderBuilder::new().key_id(kid.clone()).build(),
        ),
        (right().add_critical(iana::HeaderParameter::Kid).build(), nothing()),
        (right().iv(vec![0; 8]).build(), nothing()),
        (right().text_value("x".into(), 1.into()).build(), nothing()),
        (right().build(), HeaderBuilder::new().iv(vec![0; 8]).build()),
    ];
    for (protected, unprotected) in headers {
        let token = CoseSign1Builder::new()
            .protected(protected)
            .unprotected(unprotected)
            .payload(payload.clone())
            .create_signature(&[], |bytes| ed25519(&signer, bytes))
            .build()
            .to_tagged_vec()
            .expect("it can be encoded");
        assert!(coset::CoseSign1::from_tagged_slice(&token).is_ok(), "COSE allows it");
        let refusal = verdict(&with_token_bytes(TokenKind::Code, &token)).expect_err("another header");
        let wrong_type = matches!(refusal, Refusal::Form { violation: Violation::WrongType, .. });
        assert!(refusal == Refusal::Header(TokenKind::Code) || wrong_type, "{refusal:?}");
    }
    // Without the tag, and with the one of CWT around it.
    let token = sign(&claims, &signer).expect("right");
    for changed in [token[1..].to_vec(), [&[0xd8, 61], &token[..]].concat()] {
        let refusal = verdict(&with_token_bytes(TokenKind::Code, &changed)).expect_err("another tag");
        assert!(matches!(refusal, Refusal::Form { kind: TokenKind::Code, offset: 0, .. }), "{refusal:?}");
    }
    // A signature of another size.
    let parsed = coset::CoseSign1::from_tagged_slice(&token).expect("COSE");
    let short = coset::CoseSign1 { signature: vec![0; 63], ..parsed }.to_tagged_vec().expect("it can be encoded");
    assert_eq!(verdict(&with_token_bytes(TokenKind::Code, &short)), Err(Refusal::SignatureSize(TokenKind::Code)));
    assert!(coset::Header::default().to_vec().is_ok());
}

#[test]
fn a_token_is_put_into_its_place() {
    let mut wasm = with_files();
    // In any order, and the second time in the place of the first.
    for kind in [TokenKind::Grant, TokenKind::Code, TokenKind::Metadata, TokenKind::Data, TokenKind::Code] {
        let (claims, signer) = complete().token(kind).clone();
        wasm = attach(&wasm, kind, &sign(&claims, &signer).expect("right")).expect("it belongs there");
    }
    assert_eq!(wasm, complete().signed());
    let keys = Refusal::KeysInContainer;
    assert_eq!(attach(&wasm, TokenKind::Keys, &[]), Err(keys));
    // Packed anew, it has no tokens: whoever signed has to look at it again.
    let again = runner_container::embed(&wasm, &runner_container::Manifest::named("blinker"), &[]).expect("packed");
    assert_eq!(is_signed(&again), Ok(false));
}

#[test]
fn full_ledger() {
    let table = table();
    let mut ledger = Ledger::new(&table);
    let named = |number: usize| Fixture::of(packed(&format!("c{number}"), &[])).verified().expect("right");
    let fit = runner_tokens::MAX_SEQUENCES / 3;
    for number in 0..fit {
        ledger.accept(&named(number).signatures).expect("there is room");
    }
    let before = ledger.clone();
    assert_eq!(ledger.accept(&named(fit).signatures), Err(Refusal::LedgerFull));
    assert_eq!(ledger, before);
    // Those that are known go on.
    assert_eq!(ledger.accept(&named(0).signatures), Ok(()));
}
