//! The key table: read as it was written, refused where a rule is broken.

use runner_tokens::{
    KeyTable, KeyTableError, MAX_KEYS, MAX_TABLE_BYTES, Minimum, PublicKey, Role, SigningKey, TokenKind,
};

use crate::parties::{hex, key, public, table};

fn full() -> KeyTable {
    let subjects = ["blinker", "thermostat"];
    let minimums = TokenKind::ALL.into_iter().flat_map(|kind| {
        subjects.map(|subject| Minimum { kind, subject: subject.into(), sequence: u64::from(kind.number()) })
    });
    KeyTable { minimums: minimums.collect(), ..table() }
}

fn sorted(mut table: KeyTable) -> KeyTable {
    table.keys.sort_by_key(runner_tokens::Key::id);
    table
}

#[test]
fn it_is_read_as_it_was_written() {
    for table in [full(), table(), KeyTable::default(), KeyTable { production: false, ..full() }] {
        let mut region = table.encode().expect("right");
        assert_eq!(KeyTable::read(&region), Ok(sorted(table.clone())));
        region.resize(MAX_TABLE_BYTES, 0);
        assert_eq!(KeyTable::read(&region), Ok(sorted(table.clone())));
        let mut reversed = table.clone();
        reversed.keys.reverse();
        reversed.minimums.reverse();
        assert_eq!(reversed.encode(), table.encode());
    }
    assert_eq!(full().minimum(TokenKind::Grant, "blinker"), 4);
    assert_eq!(full().minimum(TokenKind::Grant, "other"), 0);
}

#[test]
fn the_largest_one_has_room() {
    let keys = (0..MAX_KEYS).map(|number| {
        let mut secret = [0; 32];
        secret[0] = u8::try_from(number).expect("few");
        public(&SigningKey::from_secret(&secret), Role::Developer)
    });
    let minimums = (0..runner_tokens::MAX_MINIMUMS).map(|number| Minimum {
        kind: TokenKind::Code,
        subject: format!("{number:040}"),
        sequence: u64::MAX,
    });
    let mut table = KeyTable { keys: keys.collect(), minimums: minimums.collect(), ..table() };
    assert!(table.encode().expect("it has room").len() <= MAX_TABLE_BYTES);
    table.keys.push(public(&SigningKey::from_secret(&[200; 32]), Role::Owner));
    assert_eq!(table.encode(), Err(KeyTableError::TooMany));
}

#[test]
fn each_rule_has_its_refusal() {
    let right = full().encode().expect("right");
    let changed = |at: usize, byte: u8| {
        let mut region = right.clone();
        region[at] = byte;
        KeyTable::read(&region).expect_err("a rule is broken")
    };
    let keys = 32;
    let minimums = keys + 4 * 48;
    assert_eq!(KeyTable::read(&[0; MAX_TABLE_BYTES]), Err(KeyTableError::NotATable));
    assert_eq!(changed(0, b'B'), KeyTableError::NotATable);
    assert_eq!(changed(8, 2), KeyTableError::NotATable);
    assert_eq!(changed(12, 2), KeyTableError::UnknownFlag);
    assert_eq!(changed(24, 65), KeyTableError::TooMany);
    assert_eq!(changed(28, 65), KeyTableError::TooMany);
    assert!(matches!(changed(keys, right[keys] ^ 1), KeyTableError::WrongId(_)));
    assert_eq!(changed(keys + 8, 0), KeyTableError::BadEntry);
    assert_eq!(changed(keys + 8, 5), KeyTableError::BadEntry);
    assert_eq!(changed(keys + 9, 1), KeyTableError::BadEntry);
    assert!(matches!(changed(keys + 16, right[keys + 16] ^ 1), KeyTableError::WrongId(_)));
    assert_eq!(changed(minimums, 6), KeyTableError::BadEntry);
    assert_eq!(changed(minimums + 1, 41), KeyTableError::BadEntry);
    assert_eq!(changed(minimums + 1, 0), KeyTableError::BadEntry);
    assert_eq!(changed(minimums + 2, 1), KeyTableError::BadEntry);
    assert_eq!(changed(minimums + 16, b'A'), KeyTableError::BadEntry);
    assert_eq!(changed(minimums + 55, b'a'), KeyTableError::BadEntry);
    for length in 0..right.len() {
        assert!(KeyTable::read(&right[..length]).is_err(), "{length}");
    }
    assert_eq!(KeyTable::read(&[&right[..], &[1]].concat()), Err(KeyTableError::TrailingBytes));
    let mut swapped = right.clone();
    swapped[keys..keys + 96].rotate_left(48);
    assert_eq!(KeyTable::read(&swapped), Err(KeyTableError::Order));
    let mut twice = full();
    twice.keys.push(public(&key(Role::Owner), Role::Developer));
    assert_eq!(twice.encode(), Err(KeyTableError::Order));
    let mut twice = full();
    twice.minimums.push(Minimum { kind: TokenKind::Code, subject: "blinker".into(), sequence: 9 });
    assert_eq!(twice.encode(), Err(KeyTableError::Order));
    for (subject, sequence) in [("No Name", 1), ("blinker", 0), (&"x".repeat(300)[..], 1)] {
        let minimum = Minimum { kind: TokenKind::Code, subject: subject.into(), sequence };
        let table = KeyTable { minimums: vec![minimum], ..table() };
        assert_eq!(table.encode(), Err(KeyTableError::BadEntry));
    }
}

/// Keys that belong to nobody: no point, one of small order (everybody can sign for it), a second encoding of a point.
#[test]
fn keys_of_nobody_are_refused() {
    let keys = [
        "0200000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "f1ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];
    for key in keys {
        let key = PublicKey(hex(key).try_into().expect("32 bytes"));
        assert!(!key.is_usable(), "{key:?}");
        let mut table = table();
        table.keys.push(runner_tokens::Key { role: Role::Owner, public: key });
        assert_eq!(table.encode(), Err(KeyTableError::BadKey(key.id())));
    }
    assert!(key(Role::Owner).public().is_usable());
}
