//! One text a right, one normal form a set, and an intersection that gives nobody anything.

use alloc::{
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};

use proptest::{collection::vec, option, prelude::*};

use super::*;

const TYPES: [&str; 3] = ["f64", "list<u8>", "tuple<u8, s32>"];

fn rate() -> impl Strategy<Value = Option<u32>> {
    option::of(1..=MAX_RATE)
}

fn direction() -> impl Strategy<Value = Direction> {
    prop_oneof![Just(Direction::Put), Just(Direction::Get)]
}

/// Few names, so that sets meet.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![Just("LED".to_string()), Just("a.b-c_9".to_string()), "[A-Z]{1,2}"]
}

fn any_right() -> impl Strategy<Value = Right> {
    let value_type = option::of(0..TYPES.len()).prop_map(|index| Some(ValueType::parse(TYPES[index?]).unwrap()));
    prop_oneof![
        ("[ab]", direction(), value_type).prop_map(|(name, direction, value_type)| Right::Channel {
            name,
            direction,
            value_type
        }),
        (1..=100_u8).prop_map(Right::CpuShare),
        (line(), rate()).prop_map(|(line, per_second)| Right::GpioEdges { line, per_second }),
        line().prop_map(|line| Right::GpioInput { line }),
        (line(), rate()).prop_map(|(line, per_second)| Right::GpioOutput { line, per_second }),
        (0..ADDRESSES, 0..ADDRESSES)
            .prop_map(|(one, other)| Right::I2c { first: one.min(other), last: one.max(other) }),
        (1..=MAX_RATE).prop_map(Right::LogRate),
        (1..=u64::MAX).prop_map(Right::Memory),
        (1..=u64::MAX).prop_map(Right::Module),
        Just(Right::Node),
        (0..Urgency::ALL.len()).prop_map(|index| Right::Priority(Urgency::ALL[index])),
        (1..=u64::MAX, option::of(1..=u32::MAX))
            .prop_map(|(minimum_period_ns, count)| Right::Timers { minimum_period_ns, count }),
    ]
}

fn any_rights() -> impl Strategy<Value = Rights> {
    vec(any_right(), 0..12).prop_map(|list| {
        let mut rights = Rights::default();
        for right in list {
            // What contradicts the rest stays out.
            let _ = rights.add(right);
        }
        rights
    })
}

fn set(texts: &[&str]) -> Rights {
    Rights::of(texts).unwrap()
}

#[test]
fn rights_are_read_as_typed_and_written_in_one_way() {
    let cases = [
        ("gpio:LED:out", "gpio:LED:out"),
        ("gpio:LED:out@100/s", "gpio:LED:out@100/s"),
        ("gpio:LED:out@0100/s", "gpio:LED:out@100/s"),
        ("gpio:B.1:edge@7/s", "gpio:B.1:edge@7/s"),
        ("gpio:BUTTON:in", "gpio:BUTTON:in"),
        ("i2c:72", "i2c:0x48"),
        ("i2c:0x48-79", "i2c:0x48-0x4f"),
        ("i2c:5-5", "i2c:0x05"),
        ("timer:1000us", "timer:1ms"),
        ("timer:60s:3", "timer:60s:3"),
        ("timer:1500ns", "timer:1500ns"),
        ("memory:4096KiB", "memory:4MiB"),
        ("memory:100B", "memory:100B"),
        ("module:1GiB", "module:1GiB"),
        ("log:100/s", "log:100/s"),
        ("node", "node"),
        ("cpu:20%", "cpu:20%"),
        ("priority:high", "priority:high"),
        ("channel:temperature:get", "channel:temperature:get"),
        ("channel:temperature:put:tuple<u8,s32>", "channel:temperature:put:tuple<u8, s32>"),
    ];
    for (typed, canonical) in cases {
        assert_eq!(Right::parse(typed).map(|right| right.to_string()), Ok(canonical.to_string()), "{typed}");
    }
}

#[test]
fn what_is_no_right_is_told_why() {
    let long = format!("gpio:{}:in", "x".repeat(MAX_LINE_BYTES + 1));
    let cases = [
        ("", RightError::Unknown),
        ("gpio", RightError::Unknown),
        ("node:", RightError::Unknown),
        ("NODE", RightError::Unknown),
        ("spi:1", RightError::Unknown),
        (" node", RightError::Unknown),
        ("gpio:LED", RightError::Use),
        ("gpio:LED:sideways", RightError::Use),
        ("gpio:LED:out@", RightError::Rate),
        ("gpio::out", RightError::Line),
        ("gpio:L:D:out", RightError::Line),
        ("gpio:LÄD:out", RightError::Line),
        (long.as_str(), RightError::Line),
        ("gpio:LED:in@5/s", RightError::Rate),
        ("gpio:LED:out@0/s", RightError::Rate),
        ("gpio:LED:out@5", RightError::Rate),
        ("gpio:LED:out@+5/s", RightError::Rate),
        ("gpio:LED:out@1000001/s", RightError::Rate),
        ("gpio:LED:out@4294967297/s", RightError::Rate),
        ("i2c:", RightError::Address),
        ("i2c:0x80", RightError::Address),
        ("i2c:200", RightError::Address),
        ("i2c:0x4f-0x48", RightError::Address),
        ("i2c:0x+1", RightError::Address),
        ("i2c:0x48-", RightError::Address),
        ("timer:", RightError::Duration),
        ("timer:10", RightError::Duration),
        ("timer:0ms", RightError::Duration),
        ("timer:99999999999s", RightError::Duration),
        ("timer:10ms:", RightError::Timers),
        ("timer:10ms:0", RightError::Timers),
        ("timer:10ms:4294967296", RightError::Timers),
        ("memory:4", RightError::Size),
        ("memory:0B", RightError::Size),
        ("module:-1B", RightError::Size),
        ("log:100", RightError::Rate),
        ("cpu:0%", RightError::Share),
        ("cpu:101%", RightError::Share),
        ("cpu:20", RightError::Share),
        ("priority:", RightError::Class),
        ("priority:High", RightError::Class),
        ("priority:urgent", RightError::Class),
        ("channel:a", RightError::Channel),
        ("channel:a:both", RightError::Channel),
        ("channel:A:get", RightError::Channel),
        ("channel:a:get:u9", RightError::Channel),
    ];
    for (text, error) in cases {
        assert_eq!(Right::parse(text), Err(error), "{text}");
    }
}

#[test]
fn what_is_typed_replaces_what_it_overlaps() {
    let same = |one, other| Right::parse(one).unwrap().is_for_the_same(&Right::parse(other).unwrap());
    for (one, other) in [
        ("i2c:0x48", "i2c:0x40-0x4f"),
        ("i2c:0x40-0x4f", "i2c:0x4f-0x50"),
        ("timer:1ms", "timer:2ms:3"),
        ("gpio:A:in", "gpio:A:out@5/s"),
        ("channel:a:get", "channel:a:get:u8"),
        ("memory:1KiB", "memory:2KiB"),
    ] {
        assert!(same(one, other) && same(other, one), "{one}, {other}");
    }
    for (one, other) in [
        ("i2c:0x48", "i2c:0x49"),
        ("i2c:0x48", "timer:1ms"),
        ("gpio:A:in", "i2c:1"),
        ("gpio:A:in", "timer:1ms"),
        ("gpio:A:in", "gpio:B:in"),
        ("channel:a:get", "channel:a:put"),
        ("memory:1KiB", "module:1KiB"),
    ] {
        assert!(!same(one, other) && !same(other, one), "{one}, {other}");
    }
}

#[test]
fn a_set_is_written_ascending_and_once() {
    let texts = ["timer:1ms", "i2c:0x41-0x43", "gpio:X:in", "i2c:68", "gpio:X:edge", "i2c:0x48", "node", "node"];
    let canonical = ["gpio:X:edge", "i2c:0x41-0x44", "i2c:0x48", "node", "timer:1ms"];
    assert_eq!(set(&texts).texts(), canonical);
    assert_eq!(Rights::of_canonical(&canonical), Ok(set(&texts)));
    for wrong in [
        &["node", "node"][..],
        &["timer:1ms", "node"],
        &["timer:1000us"],
        &["gpio:X:edge", "gpio:X:in"],
        &["i2c:0x41", "i2c:0x42"],
    ] {
        assert_eq!(Rights::of_canonical(wrong), Err(NotCanonical::Form(set(wrong).texts())), "{wrong:?}");
    }
    assert!(matches!(Rights::of_canonical(&["nod"]), Err(NotCanonical::Wrong(wrong)) if wrong.text == "nod"));
    assert_eq!(set(&["i2c:0-127"]).i2c_ranges().collect::<Vec<_>>(), [(0, 0x7f)]);
    assert_eq!(set(&["i2c:0", "i2c:127"]).texts(), ["i2c:0x00", "i2c:0x7f"]);
}

#[test]
fn a_list_that_contradicts_itself_is_refused() {
    for (one, other) in [
        ("timer:1ms", "timer:2ms"),
        ("gpio:A:out", "gpio:A:out@5/s"),
        ("memory:1KiB", "memory:2KiB"),
        ("channel:a:get:u8", "channel:a:get:u16"),
        ("priority:normal", "priority:high"),
    ] {
        let wrong = Rights::of([one, other]).unwrap_err();
        assert_eq!((wrong.text.as_str(), wrong.error), (other, None));
        assert!(Rights::of([one, one]).is_ok());
    }
    assert!(Rights::of(["node"; MAX_RIGHTS]).is_ok());
    assert!(Rights::of(["node"; MAX_RIGHTS + 1]).is_err());
}

#[test]
fn amounts_shrink_and_periods_grow() {
    let one = set(&["gpio:A:out@100/s", "gpio:B:edge@5/s", "timer:1ms:7", "memory:2MiB", "channel:a:get"]);
    let other = set(&["gpio:A:out@7/s", "gpio:B:in", "timer:5ms:2", "memory:3MiB", "channel:a:get:u8", "node"]);
    let both = ["channel:a:get:u8", "gpio:A:out@7/s", "gpio:B:in", "memory:2MiB", "timer:5ms:2"];
    assert_eq!(one.intersection(&other).texts(), both);
    assert_eq!(set(&["channel:a:get:u16"]).intersection(&other), Rights::default());
    // Limits that one party does not set are the other's.
    let (share, urgency) = (set(&["cpu:20%", "priority:critical"]), set(&["priority:high"]));
    let both = |one: &Rights, other: &Rights| one.limited_as(other).intersection(&other.limited_as(one)).texts();
    assert_eq!(both(&share, &urgency), ["cpu:20%", "priority:high"]);
    assert_eq!(both(&set(&["cpu:7%"]), &share), ["cpu:7%", "priority:critical"]);
    assert!(urgency.covers(&set(&["priority:normal"])) && !urgency.covers(&share) && !set(&[]).covers(&urgency));
}

#[test]
fn a_default_fills_in_what_is_not_stated_and_gives_no_line() {
    let defaults = set(&["gpio:A:out@50/s", "gpio:A:edge@20/s", "timer:10ms:2", "memory:1MiB", "log:9/s", "node"]);
    let filled = |texts: &[&str]| set(texts).filled_in(&defaults).texts();
    let rest = ["log:9/s", "memory:1MiB", "node", "timer:10ms:2"];
    assert_eq!(filled(&[]), rest);
    assert_eq!(filled(&["gpio:A:out"])[0], "gpio:A:out@50/s");
    assert_eq!(filled(&["gpio:A:out@500/s"])[0], "gpio:A:out@500/s");
    assert_eq!(filled(&["gpio:A:edge"])[0], "gpio:A:edge@20/s");
    assert_eq!(filled(&["gpio:A:in"])[0], "gpio:A:in");
    // A line that the board does not have is its policy's to refuse.
    assert_eq!(filled(&["gpio:Z:out"])[0], "gpio:Z:out");
    assert_eq!(filled(&["timer:1s"]).last().unwrap(), "timer:1s:2");
    // So what one party leaves out is the default, not what the other would like.
    let (modest, greedy) = (set(&["memory:8MiB"]), set(&["gpio:A:out@900/s", "memory:64KiB"]));
    let both = modest.filled_in(&defaults).intersection(&greedy.filled_in(&defaults));
    assert_eq!(both.texts(), ["log:9/s", "memory:64KiB", "node", "timer:10ms:2"]);
}

proptest! {
    #[test]
    fn a_right_comes_back_from_its_text(right in any_right()) {
        prop_assert_eq!(Right::parse(&right.to_string()), Ok(right));
    }

    #[test]
    fn a_set_comes_back_from_its_texts(rights in any_rights()) {
        prop_assert_eq!(Rights::of_canonical(&rights.texts()), Ok(rights));
    }

    #[test]
    fn any_text_is_survived_and_what_is_taken_has_one_form(text in "(gpio|i2c|timer|channel|memory|log|cpu|node)?[:@/%.0-9a-zA-Z<>, x-]{0,24}|\\PC{0,40}") {
        if let Ok(right) = Right::parse(&text) {
            let canonical = right.to_string();
            prop_assert_eq!(Right::parse(&canonical), Ok(right.clone()));
            prop_assert_eq!(Right::parse(&canonical).map(|again| again.to_string()), Ok(canonical));
        }
    }

    #[test]
    fn the_order_of_a_list_says_nothing(rights in any_rights()) {
        let mut texts = rights.texts();
        texts.reverse();
        prop_assert_eq!(Rights::of(&texts), Ok(rights));
    }

    #[test]
    fn who_is_asked_first_does_not_matter(one in any_rights(), other in any_rights()) {
        prop_assert_eq!(one.intersection(&other), other.intersection(&one));
    }

    #[test]
    fn nor_how_three_are_grouped(one in any_rights(), other in any_rights(), third in any_rights()) {
        prop_assert_eq!(
            one.intersection(&other).intersection(&third),
            one.intersection(&other.intersection(&third))
        );
    }

    #[test]
    fn both_give_no_more_than_either(one in any_rights(), other in any_rights()) {
        let both = one.intersection(&other);
        prop_assert!(one.covers(&both) && other.covers(&both));
    }

    #[test]
    fn both_give_all_that_each_gives(one in any_rights(), other in any_rights(), right in any_right()) {
        let mut alone = Rights::default();
        prop_assert!(alone.add(right));
        prop_assert_eq!(one.intersection(&other).covers(&alone), one.covers(&alone) && other.covers(&alone));
    }

    #[test]
    fn with_itself_a_set_is_itself(rights in any_rights()) {
        prop_assert_eq!(rights.intersection(&rights), rights.clone());
        prop_assert!(rights.covers(&rights));
        prop_assert_eq!(rights.intersection(&Rights::default()), Rights::default());
    }

    #[test]
    fn two_sets_that_cover_each_other_are_one(one in any_rights(), other in any_rights()) {
        prop_assert_eq!(one.covers(&other) && other.covers(&one), one == other);
    }

    #[test]
    fn filling_in_takes_nothing_away_that_was_stated(rights in any_rights(), defaults in any_rights()) {
        let filled = rights.filled_in(&defaults);
        prop_assert_eq!(filled.filled_in(&defaults), filled.clone());
        let lines = |rights: &Rights| rights.lines().map(|(name, _)| name.to_string()).collect::<Vec<_>>();
        prop_assert_eq!(lines(&filled), lines(&rights));
        prop_assert_eq!(filled.i2c_ranges().collect::<Vec<_>>(), rights.i2c_ranges().collect::<Vec<_>>());
    }
}
