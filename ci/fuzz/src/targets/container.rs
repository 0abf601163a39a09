//! Any bytes as a container, and as each of its parts: sections, manifest, files, offers, rights, types, names.
//!
//! What is accepted has one form: encoded again it is the same bytes.

use runner_container::{
    CODE_SECTION, Channel, ChannelKind, Direction, Endpoint, Files, Lifetime, Limits, MAX_FILES, MAX_MANIFEST_BYTES,
    Manifest, OnOverrun, Release, Restart, RestartPolicy, Schedule, Service, Urgency, World, append_custom_section,
    check_name, check_path, check_version, custom, custom_sections, embed, encode_files,
    offers::{find, interface, mixed_drafts},
    parts,
    rights::{MAX_RIGHTS, Right, Rights},
    sections,
    value_type::{MAX_VALUE_BYTES, ValueType},
};

/// Reads them as all of these.
pub(super) fn drive(bytes: &[u8]) {
    read_module(bytes);
    read_manifest(bytes);
    read_files(bytes);
    if let Ok(text) = core::str::from_utf8(bytes) {
        read_text(text);
    }
}

fn read_module(bytes: &[u8]) {
    let mut end = 8;
    let mut customs = Vec::new();
    let mut is_whole = true;
    for section in sections(bytes) {
        let Ok(section) = section else {
            is_whole = false;
            break;
        };
        assert_eq!(section.range.start, end, "sections follow on each other");
        assert!(bytes[section.range.clone()].ends_with(section.body));
        end = section.range.end;
        customs.push(custom(&section));
    }
    assert!(!is_whole || end == bytes.len());
    let found: Vec<_> = custom_sections(bytes).collect();
    let expected = customs.into_iter().filter_map(Result::transpose);
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(*found, expected);
    }
    for section in found.iter().flatten() {
        if section.is_shortest() {
            let mut again = Vec::new();
            append_custom_section(&mut again, section.name, section.bytes).expect("it fits");
            assert_eq!(again, bytes[section.range.clone()]);
        }
    }
    if let Ok(parts) = parts(bytes) {
        parts.manifest.map(read_manifest);
        parts.files.map(read_files);
        let packed = embed(bytes, &Manifest::named("a"), &[]).expect("its sections are whole");
        let again = embed(&packed, &Manifest::named("a"), &[]).expect("and stay so");
        assert_eq!(packed, again, "what was put in can be taken out");
    }
}

fn read_manifest(bytes: &[u8]) {
    match Manifest::decode(bytes) {
        Ok(manifest) => {
            assert!(bytes.len() <= MAX_MANIFEST_BYTES);
            assert_eq!(manifest.check(), Ok(()));
            assert_eq!(manifest.encode().as_deref(), Ok(bytes), "one manifest, one form");
            manifest.channels.iter().for_each(|channel| read_type(&channel.type_text));
            read_rights(manifest.grants.iter().map(String::as_str));
        }
        Err(error) => drop(error.to_string()),
    }
}

fn read_files(bytes: &[u8]) {
    match Files::decode(bytes) {
        Ok(files) => {
            let all: Vec<_> = files.iter().collect();
            assert!(all.windows(2).all(|two| two[0].0 < two[1].0), "each path once");
            assert!(all.len() <= MAX_FILES && files.len() == all.len() && files.is_empty() == all.is_empty());
            for ((path, content), place) in all.iter().zip(files.places()) {
                assert_eq!((&bytes[place.path], &bytes[place.content]), (path.as_bytes(), *content));
                assert_eq!((check_path(path), files.get(path)), (Ok(()), Some(*content)));
            }
            assert_eq!(files.places().count(), all.len());
            assert_eq!(encode_files(&all).as_deref(), Ok(bytes), "one set of files, one form");
        }
        Err(error) => drop(error.to_string()),
    }
}

fn read_text(text: &str) {
    let _ = (check_name(text), check_version(text), check_path(text));
    read_type(text);
    read_rights(text.lines());
    let imports = || text.lines().map(|line| line.split_once('#').unwrap_or((line, "")));
    for (module, name) in imports() {
        let offer = find(module, name);
        assert!(offer.is_none_or(|offer| Some(offer.interface) == interface(module) && offer.name == name));
    }
    let mixed = mixed_drafts(imports());
    assert!(mixed.is_none_or(|(module, name)| find(module, name).is_some()));
}

fn read_type(text: &str) {
    let Ok(read) = ValueType::parse(text) else { return };
    let again = ValueType::parse(&read.text()).expect("its own text");
    assert_eq!((read.text(), read.fingerprint()), (again.text(), again.fingerprint()));
    assert_eq!(read, again);
    assert!((1..=MAX_VALUE_BYTES).contains(&read.size_bytes()));
    assert!(!read.is_exact() || read.size_bytes().is_multiple_of(read.alignment()));
    // A value of it has a length that it says.
    let bytes = text.as_bytes();
    for length in [bytes.len().min(read.size_bytes()), bytes.len()] {
        let is_held = read.holds(&bytes[..length]);
        assert!(!is_held || length == read.size_bytes() || (!read.is_exact() && length <= read.size_bytes()));
    }
}

/// The lines as two parties' rights: every second line, and all others.
fn read_rights<'t>(lines: impl Iterator<Item = &'t str>) {
    let lines: Vec<&str> = lines.take(2 * MAX_RIGHTS).collect();
    let mut lists = [Vec::new(), Vec::new()];
    for (index, text) in lines.iter().enumerate() {
        match Right::parse(text) {
            Ok(right) => {
                let canonical = right.to_string();
                assert_eq!(Right::parse(&canonical).as_ref(), Ok(&right), "{canonical}");
                assert!(right.is_for_the_same(&right));
                lists[index % 2].push(canonical);
            }
            Err(error) => drop(error.to_string()),
        }
    }
    let [one, other] = lists.map(Rights::of);
    let (Ok(one), Ok(other)) = (one, other) else { return };
    let both = one.intersection(&other);
    assert_eq!(both.texts(), other.intersection(&one).texts(), "who is asked first makes no difference");
    assert!(one.covers(&both) && other.covers(&both), "{one:?} and {other:?} have {both:?}");
    assert_eq!(one.intersection(&one).texts(), one.texts());
    for rights in [&one, &other, &both] {
        let texts = rights.texts();
        assert_eq!(Rights::of_canonical(&texts).map(|again| again.texts()).as_ref(), Ok(&texts));
    }
}

/// Of each kind one.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let channel = |name: &str, direction, kind, type_text: &str| Channel {
        name: name.into(),
        direction,
        kind,
        type_text: type_text.into(),
    };
    let manifest = Manifest {
        version: "1.2.3-a+b".into(),
        world: Some(World::Reactor),
        arguments: vec!["fast".into()],
        environment: vec![("A".into(), "b".into())],
        grants: ["gpio:LED:out@10/s", "timer:10ms:2", "i2c:0x48-0x4f"].map(String::from).into(),
        limits: Limits { start_ns: 1, loop_ns: 24, stop_ns: 256, memory_bytes: 65_536 },
        lifetime: Lifetime { loops: 5, time_ns: 1 << 40 },
        restart: Restart {
            policy: RestartPolicy::Always,
            first_back_off_ns: 300,
            longest_back_off_ns: 70_000,
            attempts: 3,
        },
        channels: vec![
            channel("level", Direction::Put, ChannelKind::Latest, "tuple<f32, u8>"),
            channel("log", Direction::Get, ChannelKind::Queue { depth: 8 }, "list<u8>"),
        ],
        provides: vec![service("measure", "level")],
        needs: vec![service("record", "log")],
        schedule: Some(Schedule {
            release: Release::Periodic,
            period_ns: 1_000,
            deadline_ns: 900,
            budget_ns: 100,
            offset_ns: 50,
            on_overrun: OnOverrun::Stop,
            class: Urgency::High,
            calls: Some([4, 0, 2, 1]),
        }),
        endpoints: vec![Endpoint { number: 3, line: "LED".into() }],
        ..Manifest::named("blinker")
    };
    let files = encode_files(&[("etc/a", b"x"), ("etc/b", b"yz")]).expect("valid");
    let small = Manifest::named("a");
    let mut signed = embed(b"\0asm\x01\0\0\0\x01\x02ab", &small, &[("a", b"b")]).expect("valid");
    append_custom_section(&mut signed, CODE_SECTION, b"token").expect("it fits");
    let texts = [
        "gpio:LED:out@100/s\ngpio:LED:out\ngpio:KEY:edge@5/s\ngpio:KEY:in\ngpio:A:in\ngpio:A:edge",
        "timer:10ms:7\ntimer:1s\ni2c:0x48-0x4f\ni2c:0x40-0x48\nmemory:4MiB\nmemory:64KiB\nmodule:2MiB\nmodule:1MiB",
        "channel:a:put:u32\nchannel:a:put\nlog:100/s\nlog:10/s\nnode\nnode\ncpu:20%\ncpu:5%\npriority:high\npriority:normal",
        "tuple<f32, u8, bool, char, s64>",
        "string",
        "wasi_snapshot_preview1#fd_write\nenv#logger\nwasi:gpio/digital@0.2.0#[resource-drop]digital-in-pin",
        "1.2.3-rc.1+build",
    ];
    let mut seeds = vec![small.encode().expect("valid"), files, signed];
    seeds.extend(manifest.encode());
    seeds.extend(texts.map(|text| text.as_bytes().to_vec()));
    seeds
}

fn service(name: &str, channel: &str) -> Service {
    Service { channel: channel.into(), service: name.into(), attributes: vec![("k".into(), "v".into())] }
}
