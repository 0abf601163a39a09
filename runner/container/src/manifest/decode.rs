//! The manifest read from bytes that nobody vouches for.

use alloc::{borrow::ToOwned, string::String, vec::Vec};

use super::{
    CALLS_STATED, Channel, ChannelKind, Direction, Endpoint, Lifetime, Limits, Manifest, ManifestError, OnOverrun,
    Release, Restart, RestartPolicy, Result, Schedule, Service, Urgency, World,
};
use crate::{
    MAX_MANIFEST_BYTES,
    cbor::{Fault, Reader, Result as Read, Violation},
};

impl Manifest {
    /// Reads the section `atoll.app`.
    ///
    /// Takes at the most 20 times the input's size of memory (lists of empty texts), so less than 320 KiB; `tests/heap.rs`
    /// holds it to that.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > MAX_MANIFEST_BYTES {
            return Err(ManifestError::of("", Violation::TooLarge));
        }
        let mut manifest = Self::default();
        let mut field = "";
        let mut reader = Reader::new(bytes);
        read(&mut reader, &mut manifest, &mut field).map_err(|fault| at(field, fault))?;
        reader.end().map_err(|fault| at("", fault))?;
        if manifest.name.is_empty() {
            return Err(ManifestError::of("name", Violation::Missing));
        }
        manifest.check()?;
        // The rest of "one manifest, one encoding": a default that was written out.
        let own = manifest.to_bytes();
        match own.iter().zip(bytes).position(|(own, other)| own != other) {
            None if own.len() == bytes.len() => Ok(manifest),
            different => {
                let offset = different.unwrap_or(own.len().min(bytes.len()));
                Err(at("", Fault { violation: Violation::ExplicitDefault, offset }))
            }
        }
    }
}

const fn at(field: &'static str, fault: Fault) -> ManifestError {
    ManifestError { violation: fault.violation, field, offset: Some(fault.offset) }
}

fn read(reader: &mut Reader<'_>, manifest: &mut Manifest, field: &mut &'static str) -> Read<()> {
    reader.map(|reader, key| {
        (*field) = field_of(key);
        match key {
            1 => manifest.name = text(reader)?,
            2 => manifest.version = text(reader)?,
            3 => manifest.world = Some(choice(reader, &World::ALL, |world| world as u8)?),
            4 => manifest.arguments = list(reader, text)?,
            5 => manifest.environment = list(reader, pair)?,
            6 => manifest.grants = list(reader, text)?,
            7 => manifest.limits = limits(reader)?,
            8 => manifest.lifetime = lifetime(reader)?,
            9 => manifest.restart = restart(reader)?,
            10 => manifest.channels = list(reader, channel)?,
            11 => manifest.provides = list(reader, service)?,
            12 => manifest.needs = list(reader, service)?,
            13 => manifest.schedule = Some(schedule(reader)?),
            14 => manifest.endpoints = list(reader, endpoint)?,
            _ => return Ok(false),
        }
        (*field) = "";
        Ok(true)
    })
}

/// The fields by their keys, as `app.toml` names them.
fn field_of(key: u64) -> &'static str {
    const FIELDS: [&str; 14] = [
        "name",
        "version",
        "world",
        "arguments",
        "environment",
        "grants",
        "limits",
        "lifetime",
        "restart",
        "channel",
        "provides",
        "needs",
        "schedule",
        "endpoint",
    ];
    key.checked_sub(1).and_then(|index| FIELDS.get(usize::try_from(index).ok()?)).copied().unwrap_or("")
}

fn text(reader: &mut Reader<'_>) -> Read<String> {
    reader.text().map(str::to_owned)
}

fn pair(reader: &mut Reader<'_>) -> Read<(String, String)> {
    reader.tuple(2)?;
    Ok((text(reader)?, text(reader)?))
}

/// Grows with what was read, never with what was announced.
fn list<T>(reader: &mut Reader<'_>, entry: impl Fn(&mut Reader<'_>) -> Read<T>) -> Read<Vec<T>> {
    let mut entries = Vec::new();
    for _ in 0..reader.array()? {
        entries.push(entry(reader)?);
    }
    Ok(entries)
}

fn choice<T: Copy>(reader: &mut Reader<'_>, all: &[T], number: impl Fn(T) -> u8) -> Read<T> {
    let offset = reader.position();
    let found = reader.number()?;
    known(all, number, found, offset)
}

/// The value that `found`, read at `offset`, stands for.
fn known<T: Copy>(all: &[T], number: impl Fn(T) -> u8, found: u64, offset: usize) -> Read<T> {
    let chosen = all.iter().copied().find(|value| u64::from(number(*value)) == found);
    chosen.ok_or(Fault { violation: Violation::UnknownValue, offset })
}

/// A map from 1, 2, 3, … to numbers; what is missing is 0.
fn numbers<const COUNT: usize>(reader: &mut Reader<'_>) -> Read<[u64; COUNT]> {
    let mut numbers = [0; COUNT];
    reader.map(|reader, key| {
        let place = key.checked_sub(1).and_then(|index| numbers.get_mut(usize::try_from(index).ok()?));
        let Some(place) = place else { return Ok(false) };
        *place = reader.number()?;
        Ok(true)
    })?;
    Ok(numbers)
}

fn limits(reader: &mut Reader<'_>) -> Read<Limits> {
    let [start_ns, loop_ns, stop_ns, memory_bytes] = numbers(reader)?;
    Ok(Limits { start_ns, loop_ns, stop_ns, memory_bytes })
}

fn lifetime(reader: &mut Reader<'_>) -> Read<Lifetime> {
    let [loops, time_ns] = numbers(reader)?;
    Ok(Lifetime { loops, time_ns })
}

fn schedule(reader: &mut Reader<'_>) -> Read<Schedule> {
    let offset = reader.position();
    let [period_ns, deadline_ns, budget_ns, class, offset_ns, on_overrun, release, calls] = numbers(reader)?;
    Ok(Schedule {
        release: known(&Release::ALL, |value| value as u8, release, offset)?,
        period_ns,
        deadline_ns,
        budget_ns,
        offset_ns,
        on_overrun: known(&OnOverrun::ALL, |value| value as u8, on_overrun, offset)?,
        class: known(&Urgency::ALL, |value| value as u8, class, offset)?,
        calls: match calls.checked_sub(CALLS_STATED).map(u32::try_from) {
            Some(Ok(calls)) => Some(calls.to_le_bytes()),
            None if calls == 0 => None,
            _ => return Err(Fault { violation: Violation::UnknownValue, offset }),
        },
    })
}

fn restart(reader: &mut Reader<'_>) -> Read<Restart> {
    let offset = reader.position();
    let [policy, first_back_off_ns, longest_back_off_ns, attempts] = numbers(reader)?;
    let policy = known(&RestartPolicy::ALL, |value| value as u8, policy, offset)?;
    Ok(Restart { policy, first_back_off_ns, longest_back_off_ns, attempts })
}

fn channel(reader: &mut Reader<'_>) -> Read<Channel> {
    let offset = reader.position();
    let (mut name, mut direction, mut type_text, mut kind, mut depth) = (None, None, None, None, None);
    reader.map(|reader, key| {
        match key {
            1 => name = Some(text(reader)?),
            2 => direction = Some(choice(reader, &[Direction::Put, Direction::Get], |direction| direction as u8)?),
            3 => type_text = Some(text(reader)?),
            // latest, queue
            4 => kind = Some(choice(reader, &[1, 2], |kind| kind)?),
            5 => depth = Some(reader.number()?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let (Some(name), Some(direction), Some(type_text), Some(kind)) = (name, direction, type_text, kind) else {
        return Err(Fault { violation: Violation::Missing, offset });
    };
    let kind = match (kind, depth) {
        (1, None) => ChannelKind::Latest,
        (2, Some(depth)) => ChannelKind::Queue { depth },
        _ => return Err(Fault { violation: Violation::Depth, offset }),
    };
    Ok(Channel { name, direction, type_text, kind })
}

fn endpoint(reader: &mut Reader<'_>) -> Read<Endpoint> {
    let offset = reader.position();
    let (mut number, mut line) = (None, None);
    reader.map(|reader, key| {
        match key {
            1 => number = Some(reader.number()?),
            2 => line = Some(text(reader)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    match (number, line) {
        (Some(number), Some(line)) => Ok(Endpoint { number, line }),
        _ => Err(Fault { violation: Violation::Missing, offset }),
    }
}

fn service(reader: &mut Reader<'_>) -> Read<Service> {
    let offset = reader.position();
    let (mut channel, mut service, mut attributes) = (None, None, Vec::new());
    reader.map(|reader, key| {
        match key {
            1 => channel = Some(text(reader)?),
            2 => service = Some(text(reader)?),
            3 => attributes = list(reader, pair)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let (Some(channel), Some(service)) = (channel, service) else {
        return Err(Fault { violation: Violation::Missing, offset });
    };
    Ok(Service { channel, service, attributes })
}
