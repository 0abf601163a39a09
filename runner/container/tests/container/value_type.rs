//! Types of values: what is read, how a value lies, and whatever else a stranger writes; held against the WIT tools.

use proptest::prelude::*;
use runner_container::value_type::{MAX_VALUE_BYTES, Scalar, Shape, TypeError, ValueType};
use wit_parser::{Resolve, SizeAlign, Type};

const SCALARS: [&str; 12] = ["bool", "u8", "u16", "u32", "u64", "s8", "s16", "s32", "s64", "f32", "f64", "char"];

fn parse(text: &str) -> ValueType {
    ValueType::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn one_value_is_as_long_here_as_in_the_exchange() {
    assert_eq!(MAX_VALUE_BYTES, runner_interfaces::exchange::MAX_VALUE_BYTES);
}

#[test]
fn types_have_one_canonical_text() {
    for (text, canonical) in [
        ("u8", "u8"),
        (" \tf64\n", "f64"),
        ("tuple<u8,u8>", "tuple<u8, u8>"),
        ("tuple < bool , char , >", "tuple<bool, char>"),
        ("tuple<u64>", "tuple<u64>"),
        ("list < u8 >", "list<u8>"),
        ("string", "string"),
    ] {
        let value_type = parse(text);
        assert_eq!(value_type.text(), canonical);
        assert_eq!(parse(canonical), value_type);
        assert_eq!(parse(canonical).fingerprint(), value_type.fingerprint());
    }
}

#[test]
fn everything_else_is_refused_with_what_is_wrong() {
    let long = format!("u8{}", " ".repeat(254));
    let deep = format!("{}u8{}", "tuple<".repeat(36), ">".repeat(36));
    let large = format!("tuple<{}>", "u64,".repeat(33));
    let padded = format!("tuple<{}>", "u8,u64,".repeat(17));
    for (text, expected) in [
        ("", TypeError::Unknown),
        ("u7", TypeError::Unknown),
        ("U8", TypeError::Unknown),
        ("i32", TypeError::Unknown),
        ("u8 u8", TypeError::Unknown),
        ("u8>", TypeError::Unknown),
        ("tuple", TypeError::Unknown),
        ("list<u8", TypeError::Unknown),
        ("list<u8>x", TypeError::Unknown),
        ("tuple<u8,,u8>", TypeError::Unknown),
        ("tuple<,u8>", TypeError::Unknown),
        ("map<u8>", TypeError::Unknown),
        ("tuple<>", TypeError::Empty),
        ("tuple< , >", TypeError::Empty),
        ("list<u16>", TypeError::NotCarried),
        ("list<string>", TypeError::NotCarried),
        ("option<u8>", TypeError::NotCarried),
        ("result<u8, u8>", TypeError::NotCarried),
        ("tuple<u8, string>", TypeError::NotCarried),
        ("tuple<tuple<u8>>", TypeError::NotCarried),
        ("tuple<list<u8>, u8>", TypeError::NotCarried),
        (&deep, TypeError::NotCarried),
        (&large, TypeError::TooLarge),
        (&padded, TypeError::TooLarge),
        (&long, TypeError::TooLong),
    ] {
        assert_eq!(ValueType::parse(text), Err(expected), "{text}");
        assert!(!expected.to_string().is_empty());
    }
    assert_eq!(parse(&format!("tuple<{}>", "u64,".repeat(32))).size_bytes(), MAX_VALUE_BYTES);
}

#[test]
fn a_value_is_held_to_its_type() {
    for (text, held, not_held) in [
        ("bool", &[&[0][..], &[1]][..], &[&[2][..], &[], &[0, 0]][..]),
        ("u16", &[&[255, 255]], &[&[1], &[1, 2, 3]]),
        ("f64", &[&[255; 8]], &[&[0; 4]]),
        ("char", &[&[0x7a, 0, 0, 0], &[0xff, 0xff, 0x10, 0]], &[&[0, 0xd8, 0, 0], &[0, 0, 0x11, 0], &[0; 3]]),
        ("list<u8>", &[&[0], &[255; 256]], &[&[], &[0; 257]]),
        ("string", &["é".as_bytes()], &[&[], &[0xc3], &[b'a'; 257]]),
        // What lies between does not count.
        ("tuple<bool, u16>", &[&[1, 0, 9, 9], &[0, 77, 9, 9]], &[&[2, 0, 9, 9], &[1, 0, 9], &[1, 0, 9, 9, 9]]),
        ("tuple<u32, bool>", &[&[9, 9, 9, 9, 1, 7, 7, 7]], &[&[9, 9, 9, 9, 3, 0, 0, 0]]),
    ] {
        let value_type = parse(text);
        assert!(held.iter().all(|bytes| value_type.holds(bytes)), "{text}");
        assert!(!not_held.iter().any(|bytes| value_type.holds(bytes)), "{text}");
    }
}

#[test]
fn numbers_at_their_ends_fit_and_beyond_do_not() {
    for (scalar, most) in
        [(Scalar::Bool, 1), (Scalar::U8, 255), (Scalar::U16, 65_535), (Scalar::U32, u64::from(u32::MAX))]
    {
        assert!(scalar.of_unsigned(most).is_some() && scalar.of_unsigned(most + 1).is_none(), "{scalar:?}");
        assert_eq!((scalar.of_signed(1), scalar.of_float(1.0)), (None, None));
    }
    for (scalar, most) in [(Scalar::S8, 127), (Scalar::S16, 32_767), (Scalar::S32, i64::from(i32::MAX))] {
        assert!(scalar.of_signed(most).is_some() && scalar.of_signed(most + 1).is_none(), "{scalar:?}");
        assert!(scalar.of_signed(-most - 1).is_some() && scalar.of_signed(-most - 2).is_none(), "{scalar:?}");
        assert_eq!((scalar.of_unsigned(1), scalar.of_float(1.0)), (None, None));
    }
    assert_eq!(Scalar::F32.of_float(1e300), Some(u64::from(f32::INFINITY.to_bits()).to_le_bytes()));
    assert_eq!((Scalar::F64.of_unsigned(1), Scalar::F32.of_signed(1)), (None, None));
    assert_eq!(Scalar::S8.to_signed(&[0x80]), Some(-128));
    assert_eq!(
        (Scalar::S8.to_unsigned(&[1]), Scalar::U8.to_signed(&[1]), Scalar::U8.to_float(&[1])),
        (None, None, None)
    );
    assert_eq!(
        (Scalar::U32.to_unsigned(&[1; 3]), Scalar::S64.to_signed(&[1; 9]), Scalar::F32.to_float(&[0; 8])),
        (None, None, None)
    );
}

/// Size and alignment of a type as the WIT tools have them.
fn of_the_wit_tools(text: &str) -> (usize, usize) {
    let mut resolve = Resolve::default();
    let package = format!("package a:b;\ninterface i {{ type t = {text}; }}");
    resolve.push_str("a.wit", &package).expect("valid WIT");
    let mut sizes = SizeAlign::default();
    sizes.fill(&resolve);
    let (id, _) = resolve.types.iter().find(|(_, of)| of.name.as_deref() == Some("t")).expect("it is there");
    (sizes.size(&Type::Id(id)).size_wasm32(), sizes.align(&Type::Id(id)).align_wasm32())
}

#[test]
fn a_number_lies_as_the_wit_tools_say() {
    for text in SCALARS {
        let value_type = parse(text);
        assert_eq!((value_type.size_bytes(), value_type.alignment()), of_the_wit_tools(text), "{text}");
    }
}

#[test]
fn types_that_are_not_one_have_other_fingerprints() {
    let mut texts: Vec<String> = SCALARS.iter().chain(&["list<u8>", "string"]).map(ToString::to_string).collect();
    for first in SCALARS {
        texts.push(format!("tuple<{first}>"));
        texts.extend(SCALARS.iter().map(|second| format!("tuple<{first}, {second}>")));
    }
    let all: std::collections::BTreeSet<u64> = texts.iter().map(|text| parse(text).fingerprint()).collect();
    assert_eq!(all.len(), texts.len());
}

proptest! {
    #[test]
    fn a_tuple_lies_as_the_wit_tools_say(names in prop::collection::vec(prop::sample::select(&SCALARS[..]), 1..32)) {
        let text = format!("tuple<{}>", names.join(", "));
        prop_assume!(text.len() <= 255);
        let value_type = parse(&text);
        prop_assert_eq!((value_type.size_bytes(), value_type.alignment()), of_the_wit_tools(&text));
        let Shape::Tuple(items) = value_type.shape() else { panic!("{text}") };
        // Every item is aligned, behind the one before, and within the value.
        let mut end = 0;
        for (item, name) in items.iter().zip(&names) {
            prop_assert_eq!(item.scalar.name(), *name);
            prop_assert!(item.offset >= end && item.offset - end < item.scalar.size_bytes());
            prop_assert_eq!(item.offset % item.scalar.size_bytes(), 0);
            end = item.offset + item.scalar.size_bytes();
        }
        prop_assert_eq!(value_type.text(), text);
    }

    #[test]
    fn any_text_ends_in_a_type_or_an_error(text in prop_oneof![
        any::<String>(),
        prop::collection::vec(prop::sample::select(&["tuple", "list", "<", ">", ",", " ", "u8", "f64", "string", "bool"][..]), 0..40)
            .prop_map(|parts| parts.concat()),
    ]) {
        if let Ok(value_type) = ValueType::parse(&text) {
            prop_assert!((1..=MAX_VALUE_BYTES).contains(&value_type.size_bytes()));
            prop_assert_eq!(&parse(&value_type.text()), &value_type);
            prop_assert_eq!(of_the_wit_tools(&text).1 % value_type.alignment(), 0, "{}", text);
        }
    }

    #[test]
    fn any_bytes_are_a_value_or_none(bytes in prop::collection::vec(any::<u8>(), 0..300), names in prop::collection::vec(prop::sample::select(&SCALARS[..]), 1..8)) {
        for text in SCALARS.iter().map(ToString::to_string).chain(["list<u8>".into(), "string".into(), format!("tuple<{}>", names.join(","))]) {
            let value_type = parse(&text);
            if value_type.holds(&bytes) {
                prop_assert!(bytes.len() <= value_type.size_bytes());
                prop_assert!(!value_type.is_exact() || bytes.len() == value_type.size_bytes());
            }
        }
    }

    #[test]
    fn numbers_come_back_as_they_went(unsigned: u64, signed: i64, float: f64) {
        for scalar in SCALARS.iter().filter_map(|name| parse(name).scalar()) {
            let size = scalar.size_bytes();
            if let Some(bytes) = scalar.of_unsigned(unsigned >> (64 - 8 * size)) {
                prop_assert_eq!(scalar.to_unsigned(&bytes[..size]), Some(unsigned >> (64 - 8 * size)));
            }
            if let Some(bytes) = scalar.of_signed(signed >> (64 - 8 * size)) {
                prop_assert_eq!(scalar.to_signed(&bytes[..size]), Some(signed >> (64 - 8 * size)));
            }
            if let Some(bytes) = scalar.of_float(float) {
                #[allow(clippy::cast_possible_truncation, reason = "what is tested")]
                let expected = if scalar == Scalar::F32 { f64::from(float as f32) } else { float };
                let found = scalar.to_float(&bytes[..size]).expect("a float");
                prop_assert!(found == expected || (found.is_nan() && expected.is_nan()));
            }
        }
    }
}
