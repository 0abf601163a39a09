//! One broken manifest per rule. Each differs from a valid one in the rule that it is named for.

use runner_container::{
    Channel, ChannelKind, Direction, Endpoint, Manifest, Release, Restart, Schedule, Service, Violation, check_name,
    check_path, check_version,
};

/// `{1: "a", …}` with so many entries, the rest as given.
fn with(entries: u8, rest: &[u8]) -> Vec<u8> {
    [&[0xa0 + entries, 1, 0x61, b'a'], rest].concat()
}

#[track_caller]
fn refused(bytes: &[u8], violation: Violation) {
    assert_eq!(Manifest::decode(bytes).map_err(|error| error.violation), Err(violation), "{bytes:02x?}");
}

#[test]
fn numbers_and_lengths_are_in_their_shortest_form() {
    // lifetime: {1: 5}, as it should be; then the number, the key, the text's, the list's and the map's length padded.
    assert!(Manifest::decode(&with(2, &[8, 0xa1, 1, 5])).is_ok());
    for padded in [&[0x18, 5][..], &[0x19, 0, 5], &[0x1a, 0, 0, 0, 5], &[0x1b, 0, 0, 0, 0, 0, 0, 0, 5]] {
        refused(&with(2, &[&[8, 0xa1, 1], padded].concat()), Violation::NotShortest);
    }
    for padded in [&[0x19, 0, 200][..], &[0x1a, 0, 0, 1, 0], &[0x1b, 0, 0, 0, 0, 0, 1, 0, 0]] {
        refused(&with(2, &[&[8, 0xa1, 1], padded].concat()), Violation::NotShortest);
    }
    refused(&with(2, &[0x18, 8, 0xa1, 1, 5]), Violation::NotShortest);
    refused(&[0xa1, 1, 0x78, 1, b'a'], Violation::NotShortest);
    refused(&with(2, &[4, 0x98, 1, 0x61, b'x']), Violation::NotShortest);
    refused(&[0xb8, 1, 1, 0x61, b'a'], Violation::NotShortest);
}

#[test]
fn lengths_are_definite() {
    refused(&[0xbf, 1, 0x61, b'a', 0xff], Violation::Indefinite);
    refused(&with(2, &[4, 0x9f, 0x61, b'x', 0xff]), Violation::Indefinite);
    refused(&[0xa1, 1, 0x7f, 0x61, b'a', 0xff], Violation::Indefinite);
}

#[test]
fn keys_ascend_and_none_is_there_twice() {
    refused(&with(3, &[8, 0xa1, 1, 5, 7, 0xa1, 1, 5]), Violation::KeyOrder);
    refused(&with(2, &[1, 0x61, b'a']), Violation::KeyOrder);
    refused(&with(2, &[8, 0xa2, 2, 5, 1, 5]), Violation::KeyOrder);
    refused(&with(2, &[8, 0xa2, 1, 5, 1, 5]), Violation::KeyOrder);
}

#[test]
fn keys_are_known() {
    refused(&with(2, &[15, 0]), Violation::UnknownKey);
    refused(&[0xa2, 0, 0, 1, 0x61, b'a'], Violation::UnknownKey);
    refused(&with(2, &[8, 0xa1, 3, 5]), Violation::UnknownKey);
    refused(&with(2, &[8, 0xa1, 0, 5]), Violation::UnknownKey);
    refused(&with(2, &[11, 0x81, 0xa2, 1, 0x61, b's', 4, 0x80]), Violation::UnknownKey);
}

#[test]
fn types_are_the_formats() {
    refused(&[0x80], Violation::WrongType);
    refused(&[0xa1, 0x61, b'1', 0x61, b'a'], Violation::WrongType);
    refused(&[0xa1, 1, 0x41, b'a'], Violation::WrongType);
    refused(&with(2, &[8, 0xa1, 1, 0x20]), Violation::WrongType);
    refused(&with(2, &[8, 0xa1, 1, 0xf5]), Violation::WrongType);
    refused(&with(2, &[4, 0xa1, 1, 1]), Violation::WrongType);
    // A tag, a float, null.
    refused(&with(2, &[8, 0xa1, 1, 0xc1, 5]), Violation::WrongType);
    refused(&with(2, &[8, 0xa1, 1, 0xf9, 0, 0]), Violation::WrongType);
    refused(&with(2, &[8, 0xf6]), Violation::WrongType);
}

#[test]
fn nothing_is_cut_off_and_nothing_follows() {
    refused(&[], Violation::Truncated);
    refused(&[0xa1, 1, 0x62, b'a'], Violation::Truncated);
    refused(&with(1, &[0]), Violation::TrailingBytes);
}

#[test]
fn a_length_that_the_input_does_not_have_costs_nothing() {
    refused(&with(2, &[4, 0x98, 64]), Violation::Truncated);
    refused(&with(2, &[4, 0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), Violation::TooManyEntries);
    refused(&[0xa1, 1, 0x7b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], Violation::Truncated);
    refused(&[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], Violation::TooManyEntries);
}

#[test]
fn defaults_are_left_out() {
    for explicit in [
        // An empty version, empty lists, empty maps, a zero.
        &[2, 0x60][..],
        &[4, 0x80],
        &[5, 0x80],
        &[7, 0xa0],
        &[8, 0xa1, 1, 0],
        &[9, 0xa1, 1, 0],
        &[10, 0x80],
        // A schedule that is one: a millisecond, a budget of a nanosecond, and the class 0.
        &[13, 0xa3, 1, 0x1a, 0x00, 0x0f, 0x42, 0x40, 3, 1, 4, 0],
    ] {
        refused(&with(2, explicit), Violation::ExplicitDefault);
    }
    // A service over a channel, with an empty list of attributes.
    let channel = [10, 0x81, 0xa4, 1, 0x61, b'c', 2, 1, 3, 0x62, b'u', b'8', 4, 1];
    let service = [11, 0x81, 0xa3, 1, 0x61, b'c', 2, 0x61, b's', 3, 0x80];
    refused(&with(3, &[&channel[..], &service].concat()), Violation::ExplicitDefault);
}

#[test]
fn texts_are_bounded_utf8() {
    refused(&with(2, &[4, 0x81, 0x61, 0xff]), Violation::NotText);
    let long = [&[4, 0x81, 0x79, 1, 0][..], &[b'x'; 256]].concat();
    refused(&with(2, &long), Violation::TextTooLong);
    let longest = [&[4, 0x81, 0x78, 255][..], &[b'x'; 255]].concat();
    assert!(Manifest::decode(&with(2, &longest)).is_ok());
}

#[test]
fn lists_are_bounded() {
    let list = |count: u8| with(2, &[&[4, 0x98, count][..], &vec![0x60; count.into()]].concat());
    assert!(Manifest::decode(&list(64)).is_ok());
    refused(&list(65), Violation::TooManyEntries);
    refused(&with(2, &[5, 0x81, 0x81, 0x61, b'A']), Violation::WrongCount);
    refused(&with(2, &[5, 0x81, 0x83, 0x61, b'A', 0x60, 0x60]), Violation::WrongCount);
}

#[test]
fn numbers_that_stand_for_nothing_are_refused() {
    for rest in [
        &[3, 0][..],
        &[3, 4],
        &[9, 0xa1, 1, 3],
        &[10, 0x81, 0xa4, 1, 0x61, b'c', 2, 3, 3, 0x61, b't', 4, 1],
        &[10, 0x81, 0xa4, 1, 0x61, b'c', 2, 1, 3, 0x61, b't', 4, 3],
    ] {
        refused(&with(2, rest), Violation::UnknownValue);
    }
}

#[test]
fn what_must_be_there_is() {
    refused(&[0xa0], Violation::Missing);
    refused(&[0xa1, 8, 0xa1, 1, 5], Violation::Missing);
    refused(&with(2, &[10, 0x81, 0xa3, 1, 0x61, b'c', 2, 1, 3, 0x61, b't']), Violation::Missing);
    refused(&with(2, &[11, 0x81, 0xa0]), Violation::Missing);
    refused(&with(2, &[12, 0x81, 0xa1, 1, 0x61, b'c']), Violation::Missing);
    // A queue without depth, a latest value with one.
    refused(&with(2, &[10, 0x81, 0xa4, 1, 0x61, b'c', 2, 1, 3, 0x61, b't', 4, 2]), Violation::Depth);
    refused(&with(2, &[10, 0x81, 0xa5, 1, 0x61, b'c', 2, 1, 3, 0x61, b't', 4, 1, 5, 1]), Violation::Depth);
}

/// The rules on what a manifest says hold for its writer and for its reader.
#[track_caller]
fn unwritable(change: impl FnOnce(&mut Manifest), field: &str, violation: Violation) {
    let mut manifest = Manifest::named("a");
    change(&mut manifest);
    let error = manifest.encode().expect_err("refused");
    assert_eq!((error.field, error.violation, error.offset), (field, violation, None), "{manifest:?}");
}

fn pair(one: &str, other: &str) -> (String, String) {
    (one.into(), other.into())
}

fn channel(name: &str, type_text: &str, kind: ChannelKind) -> Channel {
    Channel { name: name.into(), direction: Direction::Put, type_text: type_text.into(), kind }
}

#[test]
fn what_a_manifest_says_has_rules() {
    unwritable(|m| m.name = "A".into(), "name", Violation::Name);
    unwritable(|m| m.version = "1".into(), "version", Violation::Version);
    unwritable(|m| m.arguments = vec!["a\0".into()], "arguments", Violation::ControlCharacter);
    unwritable(|m| m.grants = vec![String::new()], "grants", Violation::Empty);
    unwritable(|m| m.grants = vec!["gpio\n".into()], "grants", Violation::ControlCharacter);
    unwritable(|m| m.grants = vec!["x".into(); 65], "grants", Violation::TooManyEntries);
    unwritable(|m| m.environment = vec![pair("", "x")], "environment", Violation::Variable);
    unwritable(|m| m.environment = vec![pair("A=B", "x")], "environment", Violation::Variable);
    unwritable(|m| m.environment = vec![pair("B", ""), pair("A", "")], "environment", Violation::EntryOrder);
    unwritable(|m| m.environment = vec![pair("A", "1"), pair("A", "2")], "environment", Violation::EntryOrder);
    unwritable(|m| m.environment = vec![pair("A", &"x".repeat(256))], "environment", Violation::TextTooLong);
    let back_off = Restart { first_back_off_ns: 2, longest_back_off_ns: 1, ..Restart::default() };
    unwritable(|m| m.restart = back_off, "restart", Violation::BackOff);
    let kept = Schedule { period_ns: 10, deadline_ns: 8, budget_ns: 8, offset_ns: 9, ..Schedule::default() };
    assert!(Manifest { schedule: Some(kept), ..Manifest::named("a") }.check().is_ok());
    for not_kept in [
        Schedule::default(),
        Schedule { period_ns: 0, deadline_ns: 0, ..kept },
        Schedule { budget_ns: 0, ..kept },
        Schedule { budget_ns: 9, ..kept },
        Schedule { deadline_ns: 11, ..kept },
        Schedule { deadline_ns: 0, budget_ns: 11, ..kept },
        Schedule { offset_ns: 10, ..kept },
        Schedule { release: Release::Events, ..kept },
    ] {
        unwritable(|m| m.schedule = Some(not_kept), "schedule", Violation::Schedule);
    }
}

#[test]
fn channels_and_services_have_rules() {
    let latest = ChannelKind::Latest;
    unwritable(|m| m.channels = vec![channel("C", "f32", latest)], "channel.name", Violation::Name);
    unwritable(|m| m.channels = vec![channel("c", "", latest)], "channel.type", Violation::Empty);
    let queue = |depth| vec![channel("c", "f32", ChannelKind::Queue { depth })];
    unwritable(|m| m.channels = queue(0), "channel.depth", Violation::Depth);
    unwritable(|m| m.channels = queue(1025), "channel.depth", Violation::Depth);
    let twice = || vec![channel("c", "f32", latest), channel("b", "f32", latest), channel("c", "u8", latest)];
    unwritable(|m| m.channels = twice(), "channel.name", Violation::EntryOrder);
    let many: Vec<_> = (0..17).map(|number| channel(&format!("c{number}"), "f32", latest)).collect();
    unwritable(|m| m.channels = many, "channel", Violation::TooManyChannels);
    let service = |channel: &str, service: &str, attributes: &[(&str, &str)]| Service {
        channel: channel.into(),
        service: service.into(),
        attributes: attributes.iter().map(|(key, value)| pair(key, value)).collect(),
    };
    let both = || {
        let get = Channel { direction: Direction::Get, ..channel("g", "f32", latest) };
        let put = Channel { direction: Direction::Put, ..channel("p", "f32", latest) };
        vec![get, put]
    };
    let attributes: Vec<_> = (0..9).map(|number| (format!("k{number}"), "v")).collect();
    let attributes: Vec<_> = attributes.iter().map(|(key, value)| (key.as_str(), *value)).collect();
    for (bad, violation) in [
        (service("p", "", &[]), Violation::Name),
        (service("p", "s", &[("k", "")]), Violation::Empty),
        (service("p", "s", &[("k", "1"), ("a", "2")]), Violation::EntryOrder),
        (service("p", "s", &attributes), Violation::TooManyAttributes),
        (service("c", "s", &[]), Violation::NoSuchChannel),
        (service("g", "s", &[]), Violation::ChannelDirection),
    ] {
        unwritable(|m| (m.channels, m.provides) = (both(), vec![bad]), "provides", violation);
    }
    for (bad, violation) in [
        (vec![service("c", "s", &[])], Violation::NoSuchChannel),
        (vec![service("p", "s", &[])], Violation::ChannelDirection),
        (vec![service("g", "s", &[]), service("g", "t", &[])], Violation::EntryOrder),
    ] {
        unwritable(|m| (m.channels, m.needs) = (both(), bad), "needs", violation);
    }
}

#[test]
fn endpoints_ascend_and_name_a_line() {
    let endpoint = |number, line: &str| Endpoint { number, line: line.into() };
    unwritable(|m| m.endpoints = vec![endpoint(2, "A"), endpoint(1, "B")], "endpoint", Violation::EntryOrder);
    unwritable(|m| m.endpoints = vec![endpoint(1, "A"), endpoint(1, "B")], "endpoint", Violation::EntryOrder);
    unwritable(|m| m.endpoints = vec![endpoint(1, "")], "endpoint", Violation::Empty);
    unwritable(|m| m.endpoints = vec![endpoint(1 << 32, "A")], "endpoint", Violation::NumberTooLarge);
}

#[test]
fn names_versions_and_paths_have_rules() {
    for name in ["a", "0", "a.b_c-d", &"x".repeat(shared_ring_messages::MAX_NAME_BYTES)] {
        assert_eq!(check_name(name), Ok(()), "{name}");
    }
    for name in ["", "-a", ".a", "A", "a b", "ä", "a\n", &"x".repeat(shared_ring_messages::MAX_NAME_BYTES + 1)] {
        assert_eq!(check_name(name), Err(Violation::Name), "{name}");
    }
    for version in ["0.0.0", "1.20.300", "1.2.3-alpha", "1.2.3-0.a-b.7", "1.2.3+007", "1.2.3-rc.1+b.5"] {
        assert_eq!(check_version(version), Ok(()), "{version}");
    }
    for version in
        ["", "1", "1.2", "1.2.3.4", "v1.2.3", "01.2.3", "1.2.3-", "1.2.3-01", "1.2.3+", "1.2.3-a..b", "1. 2.3"]
    {
        assert_eq!(check_version(version), Err(Violation::Version), "{version}");
    }
    for path in ["a", "a/b.csv", "...", "a/.b", &"x".repeat(255)] {
        assert_eq!(check_path(path), Ok(()), "{path}");
    }
    for path in ["", "/a", "a/", "a//b", ".", "..", "a/../b", "./a", "a\0"] {
        assert_eq!(check_path(path), Err(Violation::Path), "{path}");
    }
    assert_eq!(check_path(&"x".repeat(256)), Err(Violation::TextTooLong));
}
