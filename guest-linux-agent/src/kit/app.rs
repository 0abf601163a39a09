//! `app.toml`: what a person writes about a container, read into its manifest.
//!
//! A mistake is answered with the file, line and column, and with what to write instead.

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::{self, Read},
    ops::Range,
    path::{Path, PathBuf},
};

use runner_container::{
    Channel, ChannelKind, Direction, Endpoint, Lifetime, Limits, Manifest, OnOverrun, Release, Restart, RestartPolicy,
    Schedule, Service, Urgency, World, rights::Right,
};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, Visitor},
};

use toml::Spanned;

use crate::{
    exit::Failure,
    session::{Error, Result},
};

/// Its name in a container's folder.
pub(crate) const FILE_NAME: &str = "app.toml";

/// What `app.toml` says.
#[derive(Debug)]
pub(crate) struct App {
    /// What goes into the container.
    pub(crate) manifest: Manifest,
    /// Files to pack: the path in the container and where it is now.
    pub(crate) files: Vec<(String, PathBuf)>,
}

impl App {
    /// Reads it from a file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .map_err(|error| Error::new(Failure::File, format!("cannot read {}: {error}", path.display())))?;
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        Self::parse(&text, folder).map_err(|fault| Error {
            hint: fault.hint,
            ..Error::new(Failure::Source, format!("{}{}", path.display(), fault.message))
        })
    }

    fn parse(text: &str, folder: &Path) -> std::result::Result<Self, Fault> {
        let document: Document = toml::from_str(text).map_err(|error| Fault::of_toml(text, &error))?;
        document.check_lists(text)?;
        let files = document.files.iter().map(|path| (path.get_ref().clone(), folder.join(path.get_ref()))).collect();
        let manifest = document.into_manifest();
        manifest.encode().map_err(|error| Fault { message: format!(": {error}"), hint: "" })?;
        Ok(Self { manifest, files })
    }

    /// The contents of the files to pack.
    pub(crate) fn contents(&self) -> Result<Vec<(&str, Vec<u8>)>> {
        let read = |(name, path): &'_ (String, PathBuf)| {
            read_bounded(path).map_err(|error| Error {
                hint: "paths in `files` start at the folder of app.toml",
                ..Error::new(
                    Failure::File,
                    format!("cannot read {}, which app.toml packs as `{name}`: {error}", path.display()),
                )
            })
        };
        self.files.iter().map(|file| Ok((file.0.as_str(), read(file)?))).collect()
    }
}

/// Reads a file no further than one byte beyond what can be packed: enough for it to be refused.
fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let limit = u64::try_from(runner_container::MAX_FILES_BYTES).map_or(u64::MAX, |limit| limit + 1);
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A mistake, without the file's name: `:LINE:COLUMN: what`.
struct Fault {
    message: String,
    hint: &'static str,
}

impl Fault {
    fn of_toml(text: &str, error: &toml::de::Error) -> Self {
        let position = error.span().map_or(String::new(), |span| position(text, &span));
        let message = error.message().trim();
        // TOML's most common trap: a key that follows a `[table]` belongs to it.
        let top = ["`arguments`", "`environment`", "`files`", "`name`", "`version`", "`world`"];
        let unknown = message.strip_prefix("unknown field ").unwrap_or("");
        let hint = if top.iter().any(|key| unknown.starts_with(key)) {
            "a key that follows a [table] belongs to that table: write it above the first one"
        } else {
            ""
        };
        Self { message: format!("{position}: {message}"), hint }
    }
}

/// `:LINE:COLUMN` of a place, counted from 1, columns in characters.
fn position(text: &str, span: &Range<usize>) -> String {
    let before = text.get(..span.start).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    format!(":{line}:{column}")
}

/// The file, key by key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    name: Name,
    #[serde(default)]
    version: Version,
    #[serde(default, deserialize_with = "world")]
    world: Option<World>,
    #[serde(default)]
    arguments: Vec<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    files: Vec<Spanned<String>>,
    #[serde(default)]
    grants: Grants,
    #[serde(default)]
    limits: LimitTable,
    #[serde(default)]
    lifetime: LifetimeTable,
    #[serde(default)]
    restart: RestartTable,
    #[serde(default, rename = "channel")]
    channels: Vec<ChannelTable>,
    #[serde(default)]
    provides: Vec<ServiceTable>,
    #[serde(default)]
    needs: Vec<ServiceTable>,
    #[serde(default, rename = "endpoint")]
    endpoints: Vec<EndpointTable>,
    schedule: Option<Spanned<ScheduleTable>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Grants {
    #[serde(default)]
    list: Vec<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LimitTable {
    start: Nanoseconds,
    #[serde(rename = "loop")]
    loop_: Nanoseconds,
    stop: Nanoseconds,
    memory: Bytes,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LifetimeTable {
    loops: u64,
    time: Nanoseconds,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RestartTable {
    policy: Policy,
    backoff: Nanoseconds,
    longest: Nanoseconds,
    attempts: u64,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Policy {
    #[default]
    Never,
    OnFailure,
    Always,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChannelTable {
    name: Name,
    direction: Way,
    #[serde(rename = "type")]
    type_text: String,
    #[serde(default)]
    kind: Kind,
    depth: Option<Depth>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Way {
    Put,
    Get,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    #[default]
    Latest,
    Queue,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceTable {
    channel: Name,
    service: Name,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EndpointTable {
    number: u32,
    line: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct ScheduleTable {
    period: Nanoseconds,
    min_interval: Nanoseconds,
    deadline: Nanoseconds,
    budget: Nanoseconds,
    offset: Nanoseconds,
    on_overrun: Overrun,
    class: Class,
    calls: Option<CallsTable>,
}

/// Calls of a release to the domain of that name.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CallsTable {
    gpio: u8,
    i2c: u8,
    timer: u8,
    exchange: u8,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Overrun {
    #[default]
    Skip,
    Stop,
    Restart,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Class {
    #[default]
    Normal,
    High,
    Critical,
}

impl ScheduleTable {
    /// A container that events release states the least time between two of them, one that the clock releases its period.
    /// `place` is where the table stands.
    fn check(&self, place: &str) -> std::result::Result<(), Fault> {
        let wrong = match (self.period.0, self.min_interval.0) {
            (0, 0) => "neither `period` nor `min-interval`",
            (0, _) | (_, 0) => return Ok(()),
            _ => "both `period` and `min-interval`",
        };
        let hint = "`period` for a loop that the clock releases, `min-interval` for one that events do";
        Err(Fault { message: format!("{place}: [schedule] states {wrong}"), hint })
    }

    fn into_schedule(self) -> Schedule {
        let (release, period_ns) = match self.period.0 {
            0 => (Release::Events, self.min_interval.0),
            period_ns => (Release::Periodic, period_ns),
        };
        Schedule {
            release,
            period_ns,
            deadline_ns: self.deadline.0,
            budget_ns: self.budget.0,
            offset_ns: self.offset.0,
            on_overrun: match self.on_overrun {
                Overrun::Skip => OnOverrun::Skip,
                Overrun::Stop => OnOverrun::Stop,
                Overrun::Restart => OnOverrun::Restart,
            },
            class: match self.class {
                Class::Normal => Urgency::Normal,
                Class::High => Urgency::High,
                Class::Critical => Urgency::Critical,
            },
            calls: self.calls.map(|CallsTable { gpio, i2c, timer, exchange }| [gpio, i2c, timer, exchange]),
        }
    }
}

impl Document {
    /// Checks what stands in lists, whose entries have places of their own.
    fn check_lists(&self, text: &str) -> std::result::Result<(), Fault> {
        let wrong = |entry: &Spanned<String>, why: String| {
            let place = position(text, &entry.span());
            Err(Fault { message: format!("{place}: `{}`: {why}", entry.get_ref()), hint: "" })
        };
        if let Some(schedule) = &self.schedule {
            schedule.get_ref().check(&position(text, &schedule.span()))?;
        }
        for path in &self.files {
            if let Err(violation) = runner_container::check_path(path.get_ref()) {
                return wrong(path, violation.to_string());
            }
        }
        for right in &self.grants.list {
            if let Err(error) = Right::parse(right.get_ref()) {
                return wrong(right, error.to_string());
            }
        }
        Ok(())
    }

    fn into_manifest(self) -> Manifest {
        let Self { limits, lifetime, restart, .. } = self;
        Manifest {
            name: self.name.0,
            version: self.version.0,
            world: self.world,
            arguments: self.arguments,
            environment: self.environment.into_iter().collect(),
            grants: self.grants.list.into_iter().map(Spanned::into_inner).collect(),
            limits: Limits {
                start_ns: limits.start.0,
                loop_ns: limits.loop_.0,
                stop_ns: limits.stop.0,
                memory_bytes: limits.memory.0,
            },
            lifetime: Lifetime { loops: lifetime.loops, time_ns: lifetime.time.0 },
            restart: Restart {
                policy: match restart.policy {
                    Policy::Never => RestartPolicy::Never,
                    Policy::OnFailure => RestartPolicy::OnFailure,
                    Policy::Always => RestartPolicy::Always,
                },
                first_back_off_ns: restart.backoff.0,
                longest_back_off_ns: restart.longest.0,
                attempts: restart.attempts,
            },
            channels: self.channels.into_iter().map(ChannelTable::into_channel).collect(),
            provides: self.provides.into_iter().map(ServiceTable::into_service).collect(),
            needs: self.needs.into_iter().map(ServiceTable::into_service).collect(),
            endpoints: endpoints(self.endpoints),
            schedule: self.schedule.map(|schedule| schedule.into_inner().into_schedule()),
        }
    }
}

/// A queue's depth where none is said: bursts of a few values, a fraction of a page.
const DEFAULT_DEPTH: u64 = 16;

/// In the order of their numbers, in whichever they were written.
fn endpoints(mut tables: Vec<EndpointTable>) -> Vec<Endpoint> {
    tables.sort_by_key(|table| table.number);
    tables.into_iter().map(|table| Endpoint { number: table.number.into(), line: table.line }).collect()
}

impl ServiceTable {
    fn into_service(self) -> Service {
        Service { channel: self.channel.0, service: self.service.0, attributes: self.attributes.into_iter().collect() }
    }
}

impl ChannelTable {
    fn into_channel(self) -> Channel {
        let direction = match self.direction {
            Way::Put => Direction::Put,
            Way::Get => Direction::Get,
        };
        let kind = match (self.kind, self.depth) {
            (Kind::Latest, None) => ChannelKind::Latest,
            // A depth makes a queue: `latest` is the default and need not be contradicted.
            (_, depth) => ChannelKind::Queue { depth: depth.map_or(DEFAULT_DEPTH, |depth| depth.0) },
        };
        Channel { name: self.name.0, direction, type_text: self.type_text, kind }
    }
}

/// Declares a text that is checked as it is read, so that the mistake's place is known.
macro_rules! checked_text {
    ($(#[$attribute:meta])* $name:ident, $check:expr) => {
        $(#[$attribute])*
        #[derive(Debug, Default)]
        struct $name(String);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                let check: fn(&str) -> std::result::Result<(), String> = $check;
                check(&text).map_err(|why| D::Error::custom(format!("`{text}`: {why}")))?;
                Ok(Self(text))
            }
        }
    };
}

checked_text!(
    /// A name of a container, a channel or a service.
    Name,
    |text| runner_container::check_name(text).map_err(|violation| violation.to_string())
);
checked_text!(
    /// A version.
    Version,
    |text| runner_container::check_version(text).map_err(|violation| violation.to_string())
);

fn world<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<World>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let known = "write \"wasi-command\", \"reactor\" or \"tiny-container\", or leave it out";
    World::of_name(&text).map(Some).ok_or_else(|| D::Error::custom(format!("there is no world `{text}`; {known}")))
}

#[derive(Debug)]
struct Depth(u64);

impl<'de> Deserialize<'de> for Depth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            depth @ 1..=runner_container::MAX_QUEUE_DEPTH => Ok(Self(depth)),
            _ => Err(D::Error::custom("a queue has a depth from 1 to 1024")),
        }
    }
}

/// A time as text with a unit.
#[derive(Clone, Copy, Debug, Default)]
struct Nanoseconds(u64);

impl<'de> Deserialize<'de> for Nanoseconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Time;
        impl Visitor<'_> for Time {
            type Value = Nanoseconds;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a time with its unit in quotes, as \"10ms\" or \"2s\"")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> std::result::Result<Nanoseconds, E> {
                let time = humantime::parse_duration(text).map_err(|error| {
                    E::custom(format!("`{text}` is no time ({error}); write it as \"10ms\" or \"2s\""))
                })?;
                let time = u64::try_from(time.as_nanos()).map_err(|_| E::custom(format!("`{text}` is too long")))?;
                Ok(Nanoseconds(time))
            }
        }
        deserializer.deserialize_any(Time)
    }
}

/// A size: a number of bytes, or text with a unit.
#[derive(Clone, Copy, Debug, Default)]
struct Bytes(u64);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Size;
        impl Visitor<'_> for Size {
            type Value = Bytes;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a size: bytes as a number, or text as \"64 KiB\" or \"1 MiB\"")
            }
            fn visit_i64<E: serde::de::Error>(self, bytes: i64) -> std::result::Result<Bytes, E> {
                u64::try_from(bytes).map(Bytes).map_err(|_| E::custom("a size is not negative"))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> std::result::Result<Bytes, E> {
                let wrong = || E::custom(format!("`{text}` is no size; write it as \"64 KiB\" or \"1 MiB\""));
                let (number, factor) = [("KiB", 1024), ("MiB", 1024 * 1024)]
                    .iter()
                    .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)))
                    .ok_or_else(wrong)?;
                let number: u64 = number.trim().parse().map_err(|_| wrong())?;
                number.checked_mul(factor).map(Bytes).ok_or_else(wrong)
            }
        }
        deserializer.deserialize_any(Size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERYTHING: &str = r#"
name = "blinker"
version = "0.1.0"
world = "reactor"
arguments = ["one", "two"]
environment = { B = "b", A = "a" }
files = ["table.csv", "data/more.bin"]

[grants]
list = ["gpio:LED:out", "timer:10ms"]

[limits]
start = "1s"
loop = "500us"
stop = "2s"
memory = "64 KiB"

[lifetime]
loops = 100
time = "10s"

[restart]
policy = "on-failure"
backoff = "100ms"
longest = "10s"
attempts = 5

[[channel]]
name = "temp"
direction = "put"
type = "f32"
kind = "latest"

[[channel]]
name = "orders"
direction = "get"
type = "tuple<u32, string>"
kind = "queue"
depth = 8

[[provides]]
channel = "temp"
service = "temperature"
attributes = { room = "kitchen" }

[[needs]]
channel = "orders"
service = "kitchen"

[schedule]
period = "1ms"
deadline = "800us"
budget = "100us"
offset = "250us"
on-overrun = "stop"
class = "high"
[schedule.calls]
gpio = 2
exchange = 1
"#;

    fn parse(text: &str) -> std::result::Result<App, String> {
        App::parse(text, Path::new("folder")).map_err(|fault| format!("{} | {}", fault.message, fault.hint))
    }

    #[test]
    fn everything_that_can_be_said_is_read() {
        let app = parse(EVERYTHING).expect("valid");
        let manifest = &app.manifest;
        assert_eq!((manifest.name.as_str(), manifest.version.as_str()), ("blinker", "0.1.0"));
        assert_eq!(manifest.world, Some(World::Reactor));
        assert_eq!(manifest.arguments, ["one", "two"]);
        assert_eq!(manifest.environment, [("A".into(), "a".into()), ("B".into(), "b".into())]);
        assert_eq!(manifest.grants, ["gpio:LED:out", "timer:10ms"]);
        let limits = Limits { start_ns: 1_000_000_000, loop_ns: 500_000, stop_ns: 2_000_000_000, memory_bytes: 65536 };
        assert_eq!(manifest.limits, limits);
        assert_eq!(manifest.lifetime, Lifetime { loops: 100, time_ns: 10_000_000_000 });
        assert_eq!((manifest.restart.policy, manifest.restart.attempts), (RestartPolicy::OnFailure, 5));
        assert_eq!(
            (manifest.restart.first_back_off_ns, manifest.restart.longest_back_off_ns),
            (100_000_000, 10_000_000_000)
        );
        assert_eq!(manifest.channels[0].kind, ChannelKind::Latest);
        assert_eq!(manifest.channels[1].kind, ChannelKind::Queue { depth: 8 });
        assert_eq!(manifest.provides[0].attributes, [("room".into(), "kitchen".into())]);
        assert_eq!(manifest.needs[0].service, "kitchen");
        assert_eq!(
            manifest.schedule,
            Some(Schedule {
                release: Release::Periodic,
                period_ns: 1_000_000,
                deadline_ns: 800_000,
                budget_ns: 100_000,
                offset_ns: 250_000,
                on_overrun: OnOverrun::Stop,
                class: Urgency::High,
                calls: Some([2, 0, 0, 1]),
            })
        );
        assert_eq!(app.files[1], ("data/more.bin".into(), Path::new("folder/data/more.bin").into()));
    }

    #[test]
    fn the_example_of_the_documentation_is_read() {
        let page = include_str!("../../../docs/containers.md");
        let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("there is one");
        let app = parse(example).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((app.manifest.name.as_str(), app.manifest.channels.len()), ("thermostat", 2));
        assert_eq!(app.manifest.limits.memory_bytes, 128 * 1024);
    }

    #[test]
    fn a_name_is_enough() {
        assert_eq!(parse("name = \"a\"").expect("valid").manifest, Manifest::named("a"));
    }

    #[test]
    fn a_mistake_has_a_place_and_a_remedy() {
        for (text, words) in [
            ("", ": missing field `name`"),
            ("name = \"a\"\nnmae = 1", ":2:1: unknown field `nmae`, expected one of `name`, `version`"),
            ("name = \"A\"", ":1:8: `A`: a name begins with"),
            ("name = \"a\"\nversion = \"1\"", ":2:11: `1`: a version is three numbers, as 1.2.3"),
            ("name = \"a\"\nworld = \"wasm\"", ":2:9: there is no world `wasm`; write \"wasi-command\""),
            (
                "name = \"a\"\n[grants]\nlist = [\"gpio:LED\"]",
                ":3:9: `gpio:LED`: a line is asked for as `out`, `in` or `edge`",
            ),
            (
                "name = \"a\"\n[grants]\nlist = [\"timer:10\"]",
                "a period is a whole number with ns, us, ms or s, as `10ms`",
            ),
            ("name = \"a\"\n[limits]\nstart = 10", ":3:9: invalid type: integer `10`, expected a time with its unit"),
            ("name = \"a\"\n[limits]\nstart = \"10\"", ":3:9: `10` is no time"),
            ("name = \"a\"\n[limits]\nmemory = \"1 MB\"", "write it as \"64 KiB\""),
            ("name = \"a\"\n[restart]\npolicy = \"maybe\"", "expected one of `never`, `on-failure`, `always`"),
            ("name = \"a\"\n[grants]\nlist = []\nfiles = []", "write it above the first one"),
            ("name = \"a\"\nfiles = [\"../x\"]", ":2:10: `../x`: a path is relative"),
            ("name = \"a\"\n[grants]\nlist = [\n  \"gpio:LED:out\",\n  \"spi:1\",\n]", ":5:3: `spi:1`: expected"),
            ("name = \"a\"\n[[channel]]\nname = \"c\"\ndirection = \"put\"", "missing field `type`"),
            (
                "name = \"a\"\n[[channel]]\nname = \"c\"\ndirection = \"put\"\ntype = \"u8\"\nkind = \"queue\"\ndepth = 0",
                ":7:9: a queue has a depth from 1 to 1024",
            ),
            ("name = \"a\"\n[[needs]]\nchannel = \"c\"\nservice = \"s\"", "that channel is not declared"),
            ("name = \"a", ":1:"),
        ] {
            let error = parse(text).expect_err("refused");
            assert!(error.contains(words), "{text}: `{words}` is not in {error}");
        }
    }
}
