//! Our bytes read by another hand (`ciborium`), and the other hand's bytes read by us.

use ciborium::Value;
use proptest::prelude::*;
use runner_container::{ChannelKind, Manifest, World};

use crate::strategies::manifest;

fn number(value: u64) -> Value {
    Value::Integer(value.into())
}

fn text(value: &str) -> Value {
    Value::Text(value.into())
}

fn map(entries: Vec<(u64, Option<Value>)>) -> Value {
    let present = entries.into_iter().filter_map(|(key, value)| Some((number(key), value?)));
    Value::Map(present.collect())
}

fn numbers(values: &[u64]) -> Option<Value> {
    let keyed = (1..).zip(values).map(|(key, value)| (key, (*value != 0).then(|| number(*value))));
    values.iter().any(|value| *value != 0).then(|| map(keyed.collect()))
}

fn list<T>(entries: &[T], value: impl Fn(&T) -> Value) -> Option<Value> {
    (!entries.is_empty()).then(|| Value::Array(entries.iter().map(value).collect()))
}

fn pairs(pairs: &[(String, String)]) -> Option<Value> {
    list(pairs, |(key, value)| Value::Array(vec![text(key), text(value)]))
}

/// The manifest as the contract says it, written down a second time.
fn value(manifest: &Manifest) -> Value {
    let world = manifest.world.map(|world| match world {
        World::WasiCommand => 1,
        World::Reactor => 2,
        World::TinyContainer => 3,
    });
    let limits = manifest.limits;
    let restart = manifest.restart;
    let schedule = manifest.schedule.map(|schedule| {
        // A fifth byte of 1 tells that calls are stated, whatever they are.
        let calls = schedule.calls.map_or(0, |[a, b, c, d]| u64::from_le_bytes([a, b, c, d, 1, 0, 0, 0]));
        let (class, overrun, release) = (schedule.class as u64, schedule.on_overrun as u64, schedule.release as u64);
        let named = [class, schedule.offset_ns, overrun, release, calls];
        let values = [&[schedule.period_ns, schedule.deadline_ns, schedule.budget_ns][..], &named].concat();
        numbers(&values).unwrap_or(Value::Map(Vec::new()))
    });
    map(vec![
        (1, Some(text(&manifest.name))),
        (2, (!manifest.version.is_empty()).then(|| text(&manifest.version))),
        (3, world.map(number)),
        (4, list(&manifest.arguments, |argument| text(argument))),
        (5, pairs(&manifest.environment)),
        (6, list(&manifest.grants, |grant| text(grant))),
        (7, numbers(&[limits.start_ns, limits.loop_ns, limits.stop_ns, limits.memory_bytes])),
        (8, numbers(&[manifest.lifetime.loops, manifest.lifetime.time_ns])),
        (
            9,
            numbers(&[restart.policy as u64, restart.first_back_off_ns, restart.longest_back_off_ns, restart.attempts]),
        ),
        (
            10,
            list(&manifest.channels, |channel| {
                let (kind, depth) = match channel.kind {
                    ChannelKind::Latest => (1, None),
                    ChannelKind::Queue { depth } => (2, Some(number(depth))),
                };
                map(vec![
                    (1, Some(text(&channel.name))),
                    (2, Some(number(channel.direction as u64))),
                    (3, Some(text(&channel.type_text))),
                    (4, Some(number(kind))),
                    (5, depth),
                ])
            }),
        ),
        (
            11,
            list(&manifest.provides, |service| {
                map(vec![
                    (1, Some(text(&service.channel))),
                    (2, Some(text(&service.service))),
                    (3, pairs(&service.attributes)),
                ])
            }),
        ),
        (
            12,
            list(&manifest.needs, |need| {
                map(vec![(1, Some(text(&need.channel))), (2, Some(text(&need.service))), (3, pairs(&need.attributes))])
            }),
        ),
        (13, schedule),
        (
            14,
            list(&manifest.endpoints, |endpoint| {
                map(vec![(1, Some(number(endpoint.number))), (2, Some(text(&endpoint.line)))])
            }),
        ),
    ])
}

fn written(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).expect("a vector takes everything");
    bytes
}

proptest! {
    #[test]
    fn both_hands_write_the_same(manifest in manifest()) {
        let ours = manifest.encode().expect("valid");
        prop_assert_eq!(&written(&value(&manifest)), &ours);
        let theirs: Value = ciborium::from_reader(&ours[..]).expect("another reader understands it");
        prop_assert_eq!(theirs, value(&manifest));
    }

    /// Whatever we accept, the other hand reads too and writes again in the same bytes: it was in its shortest form.
    #[test]
    fn what_we_accept_is_canonical(
        manifest in manifest(), position in any::<proptest::sample::Index>(), byte in any::<u8>()
    ) {
        let mut bytes = manifest.encode().expect("valid");
        let position = position.index(bytes.len());
        bytes[position] = byte;
        if Manifest::decode(&bytes).is_ok() {
            let theirs: Value = ciborium::from_reader(&bytes[..]).expect("another reader understands it");
            prop_assert_eq!(written(&theirs), bytes);
        }
    }
}
