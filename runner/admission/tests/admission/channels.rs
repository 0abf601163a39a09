//! Channels between containers: who is bound to what, with the real exchange holding the values.

use runner_container::{Channel, ChannelKind, Direction, Manifest, Service, embed};
use runner_interfaces::{
    exchange::{Procedure, Status, Taken, WORD_BYTES, call, put},
    kernel::Message,
};
use shared_ring_messages::{Answer, BindingReport, ChannelReport, ContainerReport, DeployRequest, ErrorCode, Request};

use crate::node::*;

fn channel(name: &str, direction: Direction, type_text: &str) -> Channel {
    Channel { name: name.into(), direction, type_text: type_text.into(), kind: ChannelKind::Latest }
}

fn service(channel: &str, service: &str, attributes: &[(&str, &str)]) -> Service {
    Service {
        channel: channel.into(),
        service: service.into(),
        attributes: attributes.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
    }
}

fn writer(name: &str, channel_name: &str) -> Manifest {
    Manifest { channels: vec![channel(channel_name, Direction::Put, "u32")], ..Manifest::named(name) }
}

fn reader(name: &str, channel_name: &str) -> Manifest {
    Manifest { channels: vec![channel(channel_name, Direction::Get, "u32")], ..Manifest::named(name) }
}

/// Offers `temperature` with these attributes over its channel `out`.
fn provider(name: &str, attributes: &[(&str, &str)]) -> Manifest {
    Manifest { provides: vec![service("out", "temperature", attributes)], ..writer(name, "out") }
}

/// Needs `temperature` with these attributes over its channel `in`.
fn client(name: &str, attributes: &[(&str, &str)]) -> Manifest {
    Manifest { needs: vec![service("in", "temperature", attributes)], ..reader(name, "in") }
}

fn deploy(node: &mut Node, manifest: &Manifest) -> Result<ContainerReport, (ErrorCode, String)> {
    let wasm = embed(&reactor(), manifest, &[]).expect("a valid manifest");
    node.deploy(0, DeployRequest { start: true, ..request(&manifest.name, &wasm) }, &wasm)
}

fn node() -> Node {
    let mut node = Node::new();
    node.greet(0);
    node
}

fn remove(node: &mut Node, name: &str) {
    node.report(0, Request::Kill(name.into()));
    assert_eq!(node.ask(0, Request::Remove(name.into())), Ok(Answer::Done));
}

fn channels(node: &mut Node) -> Vec<ChannelReport> {
    match node.ask(0, Request::Channels) {
        Ok(Answer::Channels(channels)) => channels,
        other => panic!("{other:?}"),
    }
}

fn addresses(node: &mut Node) -> Vec<String> {
    channels(node).into_iter().map(|channel| channel.address).collect()
}

fn binding(node: &mut Node, name: &str) -> BindingReport {
    let mut report = node.report(0, Request::Inspect(name.into()));
    report.channels.pop().expect("it has one channel")
}

fn number(value: u32) -> Message {
    let mut bytes = [0; WORD_BYTES];
    bytes[..4].copy_from_slice(&value.to_le_bytes());
    put(0, 4, &bytes)
}

fn take(node: &mut Node, cell: usize) -> Result<u32, Status> {
    let taken = Taken::of(&node.exchange(cell, call(Procedure::Take, 0)))?;
    Ok(u32::from_le_bytes(taken.value[..4].try_into().expect("four bytes")))
}

fn put_number(node: &mut Node, cell: usize, value: u32) -> Status {
    Status::of(&node.exchange(cell, number(value)))
}

#[test]
fn two_that_name_the_same_channel_speak() {
    let mut node = node();
    deploy(&mut node, &writer("w", "level")).expect("deployed");
    deploy(&mut node, &reader("r", "level")).expect("deployed");
    assert_eq!(put_number(&mut node, 0, 7), Status::Ok);
    assert_eq!(take(&mut node, 1), Ok(7));
    let [report] = &channels(&mut node)[..] else { panic!("one channel") };
    assert_eq!((report.address.as_str(), report.type_text.as_str(), report.kind.as_str()), ("level", "u32", "latest"));
    assert_eq!((report.writer.as_str(), report.readers.clone()), ("w", vec!["r".to_owned()]));
    assert_eq!((report.puts, report.takes, report.last_value.clone()), (1, 1, vec![7, 0, 0, 0]));
    let expected = BindingReport {
        name: "level".into(),
        direction: "get".into(),
        type_text: "u32".into(),
        address: "level".into(),
        bound: true,
    };
    assert_eq!(binding(&mut node, "r"), expected);
    let told = &node.cells[1].loaded.as_ref().expect("loaded").0.channels[0];
    assert_eq!((told.name.as_str(), told.value_type.as_str()), ("level", "u32"));
}

#[test]
fn what_does_not_fit_is_refused_by_name_and_leaves_nothing() {
    let mut node = node();
    deploy(&mut node, &writer("w", "level")).expect("deployed");
    let of_type =
        |type_text| Manifest { channels: vec![channel("level", Direction::Get, type_text)], ..Manifest::named("r") };
    let queue = ChannelKind::Queue { depth: 4 };
    let queued = Manifest {
        channels: vec![Channel { kind: queue, ..channel("level", Direction::Get, "u32") }],
        ..Manifest::named("r")
    };
    let deep = ChannelKind::Queue { depth: 1024 };
    let too_deep = Manifest {
        channels: vec![Channel { kind: deep, ..channel("level", Direction::Get, "string") }],
        ..Manifest::named("r")
    };
    for (manifest, code, words) in [
        (of_type("f32"), ErrorCode::ChannelMismatch, "`level` carries u32, latest; declared is f32, latest"),
        (queued, ErrorCode::ChannelMismatch, "declared is u32, queue of 4"),
        (writer("r", "level"), ErrorCode::ChannelMismatch, "`level` is written by another container already"),
        (of_type("list<string>"), ErrorCode::InvalidManifest, "the channel `level`"),
        (too_deep, ErrorCode::InvalidManifest, "room for at most 32 values"),
    ] {
        let (found, detail) = deploy(&mut node, &manifest).expect_err("refused");
        assert_eq!(found, code, "{detail}");
        assert!(detail.contains(words), "{detail}");
        assert_eq!(node.list(0).len(), 1);
        node.assert_clean(1);
        assert_eq!(addresses(&mut node), ["level"]);
    }
    // A type is the same however it is written.
    let spaced = |direction| Manifest {
        channels: vec![channel(
            "pair",
            direction,
            if direction == Direction::Put { "tuple<u8,f32>" } else { "tuple< u8, f32 >" },
        )],
        ..Manifest::named(if direction == Direction::Put { "pw" } else { "pr" })
    };
    deploy(&mut node, &spaced(Direction::Put)).expect("deployed");
    deploy(&mut node, &spaced(Direction::Get)).expect("the same type");
}

#[test]
fn values_outlive_both_ends_lives_and_go_with_the_last_end() {
    let mut node = node();
    deploy(&mut node, &writer("w", "level")).expect("deployed");
    deploy(&mut node, &reader("r", "level")).expect("deployed");
    put_number(&mut node, 0, 1);
    for name in ["w", "r"] {
        node.report(0, Request::Restart(name.into()));
    }
    node.report(0, Request::Stop("r".into()));
    assert_eq!(take(&mut node, 1), Err(Status::NotGranted), "who has ended takes nothing");
    node.report(0, Request::Start("r".into()));
    assert_eq!(take(&mut node, 1), Ok(1));
    put_number(&mut node, 0, 2);
    remove(&mut node, "w");
    assert_eq!(take(&mut node, 1), Ok(2), "the writer is gone, its last value is there");
    assert!(!binding(&mut node, "r").bound, "and the report says that nobody writes it");
    remove(&mut node, "r");
    assert_eq!(addresses(&mut node), Vec::<String>::new());
    deploy(&mut node, &reader("r", "level")).expect("deployed");
    assert_eq!(take(&mut node, 0), Err(Status::Empty), "a new channel holds nothing of the old one");
}

#[test]
fn a_service_is_found_by_what_it_is() {
    let mut node = node();
    deploy(&mut node, &provider("kitchen", &[("floor", "0"), ("room", "kitchen")])).expect("deployed");
    deploy(&mut node, &provider("attic", &[("floor", "2"), ("room", "attic")])).expect("deployed");
    deploy(&mut node, &client("c", &[("room", "attic")])).expect("deployed");
    assert_eq!(addresses(&mut node), ["temperature{floor=0,room=kitchen}", "temperature{floor=2,room=attic}"]);
    put_number(&mut node, 0, 10);
    put_number(&mut node, 1, 12);
    assert_eq!(take(&mut node, 2), Ok(12));
    assert_eq!(binding(&mut node, "c").address, "temperature{floor=2,room=attic}");
    deploy(&mut node, &client("any", &[])).expect("deployed");
    assert_eq!(take(&mut node, 3), Ok(10), "the first by its address");
}

#[test]
fn who_comes_before_its_provider_is_bound_when_that_comes() {
    let mut node = node();
    deploy(&mut node, &client("c", &[("room", "kitchen")])).expect("a provider may come later");
    let waits = binding(&mut node, "c");
    assert_eq!((waits.address.as_str(), waits.bound), ("temperature{room=kitchen}", false));
    assert_eq!(take(&mut node, 0), Err(Status::Unbound));
    deploy(&mut node, &provider("p", &[("room", "kitchen")])).expect("deployed");
    assert!(binding(&mut node, "c").bound);
    put_number(&mut node, 1, 5);
    assert_eq!(take(&mut node, 0), Ok(5));
}

#[test]
fn who_loses_its_provider_is_bound_to_the_next() {
    let mut node = node();
    deploy(&mut node, &provider("first", &[("id", "1")])).expect("deployed");
    deploy(&mut node, &client("c", &[])).expect("deployed");
    put_number(&mut node, 0, 1);
    remove(&mut node, "first");
    assert_eq!(take(&mut node, 1), Ok(1), "its last value is there as long as there is nobody else");
    deploy(&mut node, &provider("second", &[("id", "2")])).expect("deployed");
    put_number(&mut node, 0, 2);
    assert_eq!(take(&mut node, 1), Ok(2));
    assert_eq!(binding(&mut node, "c").address, "temperature{id=2}");
    assert_eq!(addresses(&mut node), ["temperature{id=2}"], "what nobody is bound to is forgotten");
}

#[test]
fn a_provider_of_another_type_is_no_provider() {
    let mut node = node();
    deploy(&mut node, &client("c", &[])).expect("deployed");
    let mut other = provider("p", &[]);
    other.channels[0].type_text = "f64".into();
    deploy(&mut node, &other).expect("it fits its own address");
    assert!(!binding(&mut node, "c").bound);
    assert!(node.counter(0, "channels_mismatched") > 0);
    let Ok(Answer::Events { records, .. }) = node.ask(0, Request::Events { cursor: 0 }) else { panic!("events") };
    assert!(records.iter().any(|event| event.container == "c" && event.event == "channel-mismatch"), "{records:?}");
}

#[test]
fn the_nodes_channels_have_an_end() {
    let mut node = node();
    for number in 0..2 {
        let names: Vec<_> = (0..16).map(|index| format!("c{number}-{index}")).collect();
        let channels = names.iter().map(|name| channel(name, Direction::Put, "u8")).collect();
        deploy(&mut node, &Manifest { channels, ..Manifest::named(format!("w{number}")) }).expect("deployed");
    }
    let (code, detail) = deploy(&mut node, &writer("one-too-many", "more")).expect_err("refused");
    assert_eq!(code, ErrorCode::Busy);
    assert!(detail.contains("32 channels are all taken"), "{detail}");
    remove(&mut node, "w0");
    deploy(&mut node, &writer("again", "more")).expect("there is room now");
}
