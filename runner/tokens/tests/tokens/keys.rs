//! Changes of keys: rotation, revocation, and every way to get one wrong.

use runner_tokens::{
    Body, Claims, Key, KeyId, Ledger, MAX_REVOKED, Refusal, Role, SigningKey, TokenKind, sign, verify, verify_update,
};

use crate::parties::{BOARD, Fixture, SIGNED, key, nobody, public, table, verdict, with_files};

fn change(sequence: u64, added: Vec<Key>, revoked: Vec<KeyId>) -> Claims {
    let body = Body::Keys { added, revoked };
    Claims { subject: "keys".into(), audience: None, expires: None, issued: SIGNED, sequence, body }
}

fn by_owner(claims: &Claims) -> Vec<u8> {
    sign(claims, &key(Role::Owner)).expect("of the right form")
}

fn id(role: Role) -> KeyId {
    key(role).public().id()
}

fn refused(claims: &Claims) -> Refusal {
    let table = table();
    verify_update(&by_owner(claims), BOARD, &table, &Ledger::new(&table)).expect_err("a rule is broken")
}

/// Carries it out on that ledger.
fn apply(ledger: &mut Ledger, claims: &Claims, signer: &SigningKey) -> Result<(), Refusal> {
    let token = sign(claims, signer).expect("of the right form");
    let update = verify_update(&token, BOARD, &table(), ledger)?;
    ledger.apply(&table(), &update)
}

#[test]
fn a_key_is_replaced() {
    let (table, new) = (table(), nobody());
    let mut ledger = Ledger::new(&table);
    let claims = change(1, vec![public(&new, Role::Developer)], vec![id(Role::Developer)]);
    let update = verify_update(&by_owner(&claims), BOARD, &table, &ledger).expect("right");
    assert_eq!((update.added(), update.revoked()), (&[public(&new, Role::Developer)][..], &[id(Role::Developer)][..]));
    // Looked at, nothing has changed.
    assert!(verify(&Fixture::of(with_files()).signed(), BOARD, &table, &ledger).is_ok());
    ledger.apply(&table, &update).expect("right");
    assert_eq!(ledger.known_time(), SIGNED);
    assert_eq!(ledger.revoked(), [id(Role::Developer)]);
    assert_eq!(ledger.keys(&table).count(), 4);
    let revoked = Refusal::RevokedKey { kind: TokenKind::Code, key: id(Role::Developer) };
    let by_old = Fixture::of(with_files());
    assert_eq!(verify(&by_old.signed(), BOARD, &table, &ledger), Err(revoked.clone()));
    assert!(revoked.to_string().contains("which the owner revoked"));
    let by_new = by_old.signed_by(TokenKind::Code, new);
    assert!(verify(&by_new.signed(), BOARD, &table, &ledger).is_ok());
    assert!(verdict(&by_new.signed()).is_err(), "the table alone does not know it");
}

#[test]
fn the_owner_hands_over() {
    let mut ledger = Ledger::new(&table());
    let handed_over = change(1, vec![public(&nobody(), Role::Owner)], vec![id(Role::Owner)]);
    apply(&mut ledger, &handed_over, &key(Role::Owner)).expect("right");
    let next = change(2, vec![], vec![id(Role::Provider)]);
    let revoked = Refusal::RevokedKey { kind: TokenKind::Keys, key: id(Role::Owner) };
    assert_eq!(apply(&mut ledger, &next, &key(Role::Owner)), Err(revoked));
    assert_eq!(apply(&mut ledger, &next, &nobody()), Ok(()));
}

#[test]
fn no_owner_is_left() {
    let refusal = refused(&change(1, vec![], vec![id(Role::Owner)]));
    assert_eq!(refusal, Refusal::NoOwnerLeft);
    assert!(refusal.to_string().contains("no owner's key would be left"));
}

#[test]
fn each_change_is_carried_out_once() {
    let mut ledger = Ledger::new(&table());
    let first = change(7, vec![public(&nobody(), Role::Developer)], vec![]);
    apply(&mut ledger, &first, &key(Role::Owner)).expect("right");
    for sequence in [7, 6] {
        let again = change(sequence, vec![public(&nobody(), Role::Developer)], vec![]);
        let refusal = Refusal::OlderSequence { kind: TokenKind::Keys, sequence, lowest: 8 };
        assert_eq!(apply(&mut ledger, &again, &key(Role::Owner)), Err(refusal));
    }
    // A key that is known already is no fault, under a new number.
    assert_eq!(apply(&mut ledger, &change(8, first_added(&first), vec![]), &key(Role::Owner)), Ok(()));
    assert_eq!(ledger.keys(&table()).count(), 5);
}

fn first_added(claims: &Claims) -> Vec<Key> {
    let Body::Keys { added, .. } = &claims.body else { unreachable!() };
    added.clone()
}

#[test]
fn an_update_that_was_looked_at_before_another_is_looked_at_again() {
    let table = table();
    let mut ledger = Ledger::new(&table);
    let verified = |sequence, added, revoked, ledger: &Ledger| {
        verify_update(&by_owner(&change(sequence, added, revoked)), BOARD, &table, ledger).expect("right")
    };
    let late = verified(1, vec![public(&nobody(), Role::Developer)], vec![], &ledger);
    let first = verified(2, vec![], vec![id(Role::Provider)], &ledger);
    ledger.apply(&table, &first).expect("right");
    let before = ledger.clone();
    assert!(matches!(ledger.apply(&table, &late), Err(Refusal::OlderSequence { .. })));
    assert_eq!(ledger, before);
}

#[test]
fn a_change_by_somebody_else() {
    let table = table();
    let claims = change(1, vec![public(&nobody(), Role::Owner)], vec![]);
    for role in [Role::Developer, Role::Provider, Role::Integrator] {
        let token = sign(&claims, &key(role)).expect("of the right form");
        let refusal = Refusal::WrongRole { kind: TokenKind::Keys, key: id(role), role };
        assert_eq!(verify_update(&token, BOARD, &table, &Ledger::new(&table)), Err(refusal));
    }
    let token = sign(&claims, &nobody()).expect("of the right form");
    assert!(matches!(verify_update(&token, BOARD, &table, &Ledger::new(&table)), Err(Refusal::UnknownKey { .. })));
}

#[test]
fn a_change_for_another_board() {
    let mut claims = change(1, vec![], vec![id(Role::Provider)]);
    claims.audience = Some("atoll".into());
    assert!(matches!(refused(&claims), Refusal::OtherBoard { .. }));
}

#[test]
fn keys_that_cannot_be_added() {
    let bad = |key: Key| Refusal::BadKey { key: key.id() };
    // Another role.
    let other_role = public(&key(Role::Developer), Role::Owner);
    assert_eq!(refused(&change(1, vec![other_role], vec![])), bad(other_role));
    // Added and revoked at once.
    let new = public(&nobody(), Role::Developer);
    assert_eq!(refused(&change(1, vec![new], vec![new.id()])), bad(new));
    // For which everybody can sign.
    let weak = Key { role: Role::Owner, public: runner_tokens::PublicKey([0; 32]) };
    assert_eq!(refused(&change(1, vec![weak], vec![])), bad(weak));
    // Revoked before.
    let mut ledger = Ledger::new(&table());
    apply(&mut ledger, &change(1, vec![], vec![new.id()]), &key(Role::Owner)).expect("right");
    assert_eq!(apply(&mut ledger, &change(2, vec![new], vec![]), &key(Role::Owner)), Err(bad(new)));
    assert!(bad(new).to_string().contains("cannot be added"));
}

#[test]
fn a_change_of_nothing_or_in_no_order() {
    let form = |claims: &Claims| sign(claims, &key(Role::Owner)).expect_err("a rule is broken");
    let bad = |claim, violation| Refusal::BadClaim { kind: TokenKind::Keys, claim, violation };
    use runner_container::Violation::{Empty, EntryOrder, UnknownValue};
    assert_eq!(form(&change(1, vec![], vec![])), bad(-70_009, Empty));
    assert_eq!(form(&change(1, vec![], vec![KeyId([2; 8]), KeyId([1; 8])])), bad(-70_009, EntryOrder));
    assert_eq!(form(&change(1, vec![], vec![KeyId([1; 8]), KeyId([1; 8])])), bad(-70_009, EntryOrder));
    let new = public(&nobody(), Role::Developer);
    assert_eq!(form(&change(1, vec![new, new], vec![])), bad(-70_008, EntryOrder));
    let mut named = change(1, vec![new], vec![]);
    named.subject = "blinker".into();
    assert_eq!(form(&named), bad(2, UnknownValue));
    let mut ends = change(1, vec![new], vec![]);
    ends.expires = Some(SIGNED + 1);
    assert_eq!(form(&ends), Refusal::UnknownClaim { kind: TokenKind::Keys, claim: 4 });
}

#[test]
fn more_than_is_remembered() {
    let mut ledger = Ledger::new(&table());
    let ids = |from: u8| (from..from + 32).map(|number| KeyId([number; 8])).collect();
    for (sequence, from) in [(1, 0), (2, 32)] {
        apply(&mut ledger, &change(sequence, vec![], ids(from)), &key(Role::Owner)).expect("there is room");
    }
    assert_eq!(ledger.revoked().len(), MAX_REVOKED);
    let one_more = change(3, vec![], vec![KeyId([200; 8])]);
    assert_eq!(apply(&mut ledger, &one_more, &key(Role::Owner)), Err(Refusal::LedgerFull));
    let again = change(3, vec![], vec![KeyId([7; 8])]);
    assert_eq!(apply(&mut ledger, &again, &key(Role::Owner)), Ok(()));
}

#[test]
fn time_only_goes_on() {
    let mut ledger = Ledger::new(&table());
    ledger.advance(100);
    let known = ledger.known_time();
    ledger.advance(50);
    ledger.learn_time(known - 1);
    assert_eq!(ledger.known_time(), known);
    ledger.learn_time(known + 1_000);
    ledger.advance(110);
    assert_eq!(ledger.known_time(), known + 1_010);
    ledger.learn_time(u64::MAX);
    ledger.advance(u64::MAX);
    assert_eq!(ledger.known_time(), u64::MAX);
}

#[test]
fn ids_are_read_as_they_are_shown() {
    for role in Role::ALL {
        assert_eq!(id(role).to_string().parse(), Ok(id(role)));
        assert_eq!(Role::of_name(role.name()), Some(role));
    }
    for text in ["", "0123", "0123456789abcdeg", "+123456789abcdef", "0123456789abcdef0"] {
        assert!(text.parse::<KeyId>().is_err(), "{text}");
    }
    assert!(!format!("{:?}", key(Role::Owner)).contains("04040404"), "a secret is shown");
}
