//! The manifest's encoding: shortest forms, ascending keys, defaults left out.

use alloc::{string::String, vec::Vec};
use core::convert::Infallible;

use minicbor::{Encoder, encode::Error};

use super::{CALLS_STATED, Channel, ChannelKind, Manifest, ManifestError, RestartPolicy, Result, Schedule, Service};
use crate::{MAX_MANIFEST_BYTES, cbor::Violation};

type Writer = Encoder<Vec<u8>>;
type Written = core::result::Result<(), Error<Infallible>>;

impl Manifest {
    /// The one encoding of it, for the section `atoll.app`.
    ///
    /// # Errors
    /// A rule that it breaks, see [`Manifest::check`]; more than [`MAX_MANIFEST_BYTES`].
    pub fn encode(&self) -> Result<Vec<u8>> {
        self.check()?;
        let bytes = self.to_bytes();
        if bytes.len() > MAX_MANIFEST_BYTES {
            return Err(ManifestError::of("", Violation::TooLarge));
        }
        Ok(bytes)
    }

    /// Encodes without checking.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Encoder::new(Vec::new());
        self.write(&mut writer).expect("a vector takes everything");
        writer.into_writer()
    }

    fn write(&self, writer: &mut Writer) -> Written {
        let limits = [self.limits.start_ns, self.limits.loop_ns, self.limits.stop_ns, self.limits.memory_bytes];
        let lifetime = [self.lifetime.loops, self.lifetime.time_ns];
        let restart = [
            u64::from(self.restart.policy as u8),
            self.restart.first_back_off_ns,
            self.restart.longest_back_off_ns,
            self.restart.attempts,
        ];
        let schedule = self.schedule.map(|schedule| {
            let Schedule { release, period_ns, deadline_ns, budget_ns, offset_ns, on_overrun, class, calls } = schedule;
            let [class, on_overrun, release] = [class as u8, on_overrun as u8, release as u8].map(u64::from);
            let calls = calls.map_or(0, |calls| CALLS_STATED + u64::from(u32::from_le_bytes(calls)));
            [period_ns, deadline_ns, budget_ns, class, offset_ns, on_overrun, release, calls]
        });
        let present = [
            !self.version.is_empty(),
            self.world.is_some(),
            !self.arguments.is_empty(),
            !self.environment.is_empty(),
            !self.grants.is_empty(),
            limits != [0; 4],
            lifetime != [0; 2],
            restart != [u64::from(RestartPolicy::Never as u8), 0, 0, 0],
            !self.channels.is_empty(),
            !self.provides.is_empty(),
            !self.needs.is_empty(),
            schedule.is_some(),
            !self.endpoints.is_empty(),
        ];
        writer.map(1 + present.iter().filter(|present| **present).count() as u64)?;
        writer.u8(1)?.str(&self.name)?;
        for key in (2_u8..).zip(present).filter(|(_, present)| *present).map(|(key, _)| key) {
            writer.u8(key)?;
            match key {
                2 => _ = writer.str(&self.version)?,
                3 => _ = writer.u8(self.world.map_or(0, |world| world as u8))?,
                4 => texts(writer, &self.arguments)?,
                5 => pairs(writer, &self.environment)?,
                6 => texts(writer, &self.grants)?,
                7 => numbers(writer, &limits)?,
                8 => numbers(writer, &lifetime)?,
                9 => numbers(writer, &restart)?,
                10 => list(writer, &self.channels, channel)?,
                11 => list(writer, &self.provides, service)?,
                12 => list(writer, &self.needs, service)?,
                13 => numbers(writer, &schedule.unwrap_or_default())?,
                _ => list(writer, &self.endpoints, |writer, endpoint| {
                    writer.map(2)?.u8(1)?.u64(endpoint.number)?.u8(2)?.str(&endpoint.line).map(|_| ())
                })?,
            }
        }
        Ok(())
    }
}

fn list<T>(writer: &mut Writer, entries: &[T], write: impl Fn(&mut Writer, &T) -> Written) -> Written {
    writer.array(entries.len() as u64)?;
    entries.iter().try_for_each(|entry| write(writer, entry))
}

fn texts(writer: &mut Writer, texts: &[String]) -> Written {
    list(writer, texts, |writer, text| writer.str(text).map(|_| ()))
}

fn pairs(writer: &mut Writer, pairs: &[(String, String)]) -> Written {
    list(writer, pairs, |writer, (key, value)| writer.array(2)?.str(key)?.str(value).map(|_| ()))
}

/// A map from 1, 2, 3, … to numbers; zeros are left out.
fn numbers(writer: &mut Writer, numbers: &[u64]) -> Written {
    writer.map(numbers.iter().filter(|number| **number != 0).count() as u64)?;
    for (key, number) in (1_u8..).zip(numbers).filter(|(_, number)| **number != 0) {
        writer.u8(key)?.u64(*number)?;
    }
    Ok(())
}

fn channel(writer: &mut Writer, channel: &Channel) -> Written {
    let (kind, depth) = match channel.kind {
        ChannelKind::Latest => (1, None),
        ChannelKind::Queue { depth } => (2, Some(depth)),
    };
    writer.map(if depth.is_some() { 5 } else { 4 })?;
    writer.u8(1)?.str(&channel.name)?;
    writer.u8(2)?.u8(channel.direction as u8)?;
    writer.u8(3)?.str(&channel.type_text)?;
    writer.u8(4)?.u8(kind)?;
    if let Some(depth) = depth {
        writer.u8(5)?.u64(depth)?;
    }
    Ok(())
}

fn service(writer: &mut Writer, service: &Service) -> Written {
    writer.map(if service.attributes.is_empty() { 2 } else { 3 })?;
    writer.u8(1)?.str(&service.channel)?;
    writer.u8(2)?.str(&service.service)?;
    if service.attributes.is_empty() {
        return Ok(());
    }
    writer.u8(3)?;
    pairs(writer, &service.attributes)
}
