//! The samples in a cell, and natively on the simulated node that their own tests use (`examples/atoll`, `double`): the same
//! source must do the same in both.
//!
//! Both nodes are set up from the manifest that is packed into the sample, and from one script of what happens when. What is
//! compared is what others see: records, levels, values, and how it ended. Times are compared where the cell's clock, which a test
//! moves in steps, leaves them exact enough.

use std::time::Duration;

use atoll::{Error, Reactor, double};
use runner_container::{ChannelKind, Direction, Manifest, parts};
use runner_executor::{
    Options,
    fake::{FakeLine, FakeNode, FakeSlot, detail, reason},
};
use runner_interfaces::{
    cell::{CellConfiguration, ChannelName, Command, ContainerState, FailureReason},
    exchange,
    gpio::Status,
    output::Stream,
};

use crate::support::{configuration, sample, state};

/// What happens to a container from outside.
#[derive(Clone, Copy, Debug)]
enum Event {
    Line(&'static str, bool),
    Temperature(f32),
}

/// What others see of a run.
#[derive(Debug, PartialEq)]
struct Seen {
    /// `finalised`, or what `on-start` answered.
    end: String,
    text: String,
    /// Levels of the LED, in their order; it starts low.
    levels: Vec<bool>,
    /// What was put into the channel `out`.
    values: Vec<Vec<u8>>,
    refused: u64,
}

/// A container, on both nodes.
struct Both {
    wasm: Vec<u8>,
    manifest: Manifest,
    /// Milliseconds from the start, and what happens then; in their order.
    script: Vec<(u64, Event)>,
    /// When it is stopped.
    stopped_ms: u64,
    /// Grants that the manifest asks for and that are not given.
    withheld: &'static [&'static str],
}

/// The board's lines: every label has a number.
const LINES: [(&str, u8); 2] = [("LED", 3), ("BUTTON", 4)];

impl Both {
    /// None in a checkout without prebuilt samples.
    fn of(name: &str, stopped_ms: u64) -> Option<Self> {
        let wasm = sample(&format!("{name}.wasm"))?;
        let section = parts(&wasm).expect("a whole module").manifest.expect("it is packed");
        let manifest = Manifest::decode(section).expect("a manifest");
        Some(Self { wasm, manifest, script: Vec::new(), stopped_ms, withheld: &[] })
    }

    fn grants(&self) -> impl Iterator<Item = &str> {
        self.manifest.grants.iter().map(String::as_str).filter(|grant| !self.withheld.contains(grant))
    }

    /// In a cell.
    fn in_a_cell(&self) -> Seen {
        let mut node = FakeNode::new(Options::default());
        self.furnish(&node);
        node.load(&self.wasm, &self.configuration(), Command::Run);
        node.run_to(ContainerState::Ready, 1000);
        let began = node.state().now_ns;
        let mut levels = vec![false];
        for (at, event) in &self.script {
            run_until(&mut node, began + at * 1_000_000, &mut levels);
            match event {
                Event::Line(label, high) => node.drive_line(number_of(label), *high),
                Event::Temperature(degrees) => node.put_value(0, &degrees.to_le_bytes()),
            }
        }
        run_until(&mut node, began + self.stopped_ms * 1_000_000, &mut levels);
        if !state(&node.status()).is_final() {
            node.command(Command::Stop);
        }
        let status = node.run_to_end();
        note(&node, &mut levels);
        let end = match state(&status) {
            ContainerState::Finalised => "finalised".to_owned(),
            _ => {
                assert_eq!(reason(&status), FailureReason::StartRefused, "{}", detail(&status));
                error_of(&detail(&status)).name().to_owned()
            }
        };
        let is_shown = |stream| [Stream::Error, Stream::Warn, Stream::Info].contains(&stream);
        let shown = node.records.iter().filter(|record| is_shown(record.stream));
        let text = shown.map(|record| format!("{}\n", String::from_utf8_lossy(&record.bytes))).collect();
        let values = match self.manifest.channels.first() {
            Some(channel) if channel.direction == Direction::Put => {
                node.state().exchange.slots[&0].values.iter().cloned().collect()
            }
            _ => Vec::new(),
        };
        Seen { end, text, levels, values, refused: status.refused_calls }
    }

    /// What the manifest asks for and is given.
    fn furnish(&self, node: &FakeNode) {
        let mut state = node.state();
        state.minimum_period_ns = 10_000_000;
        for (_, number) in LINES {
            state.lines.insert(number, FakeLine::default());
        }
        for grant in self.grants() {
            match grant.split(':').collect::<Vec<_>>()[..] {
                ["gpio", label, how] => {
                    let line = state.lines.get_mut(&number_of(label)).expect("all are there");
                    (line.may_drive, line.may_read) = (line.may_drive || how == "out", line.may_read || how != "out");
                }
                ["timer", "1ms"] => state.minimum_period_ns = 1_000_000,
                ["timer", "20ms"] => state.minimum_period_ns = 20_000_000,
                ["timer", "100ms"] => state.minimum_period_ns = 100_000_000,
                _ => panic!("{grant}"),
            }
        }
        // One slot with room for all that a test puts: nothing is replaced before the test has looked.
        state.exchange.ends = [(0, 0)].into();
        state.exchange.slots = [(0, FakeSlot { depth: 1000, ..FakeSlot::default() })].into();
    }

    fn configuration(&self) -> CellConfiguration {
        let channels = self.manifest.channels.iter().map(|channel| ChannelName {
            name: channel.name.clone(),
            direction: match channel.direction {
                Direction::Put => exchange::Direction::Put,
                Direction::Get => exchange::Direction::Get,
            },
            value_type: channel.type_text.clone(),
        });
        CellConfiguration {
            channels: channels.collect(),
            lines: LINES.map(|(label, number)| (label.into(), number)).into(),
            ..configuration(&[])
        }
    }

    /// Natively.
    fn in_the_double<T: Reactor>(&self) -> Seen {
        let mut node = double::Node::new();
        for (label, _) in LINES {
            node.line(label, false);
        }
        for grant in self.grants() {
            node.grant(grant);
        }
        for channel in &self.manifest.channels {
            let direction = match channel.direction {
                Direction::Put => double::Direction::Put,
                Direction::Get => double::Direction::Get,
            };
            assert_eq!(channel.kind, ChannelKind::Latest);
            node.channel(&channel.name, direction, &channel.type_text, 0);
        }
        for (at, event) in &self.script {
            let at = Duration::from_millis(*at);
            match event {
                Event::Line(label, high) => node.drive_in(at, label, *high),
                Event::Temperature(degrees) => node.put_in(at, "in", degrees),
            };
        }
        let end = match node.run::<T>(Duration::from_millis(self.stopped_ms)) {
            Ok(_) => "finalised".to_owned(),
            Err(error) => error.to_string(),
        };
        let mut levels = vec![false];
        levels.extend(node.transitions("LED").into_iter().map(|(_, high)| high));
        let puts = self.manifest.channels.first().filter(|channel| channel.direction == Direction::Put);
        let values = puts.map_or_else(Vec::new, |channel| node.bytes(&channel.name));
        Seen { end, text: node.text(), levels, values, refused: node.refused_calls() }
    }

    /// Runs it in both, holds them to each other, and answers what was seen.
    #[track_caller]
    fn compared<T: Reactor>(&self) -> Seen {
        let (cell, double) = (self.in_a_cell(), self.in_the_double::<T>());
        assert_eq!(cell, double, "the cell is on the left");
        cell
    }
}

/// The error that a cell tells in its own words.
fn error_of(detail: &str) -> Error {
    let words = detail.strip_prefix("on-start answered: ").expect("what was answered");
    // In the order of the WIT file, from the one behind `ok`.
    let errors = [
        Error::NotFound,
        Error::NotGranted,
        Error::Invalid,
        Error::Busy,
        Error::Unavailable,
        Error::ModeNotGranted,
        Error::NotSupported,
        Error::Empty,
        Error::Full,
        Error::Unbound,
    ];
    let mut told = (1..).zip(errors);
    let is_it = |number| Status::from_wire(number).is_some_and(|status| status.to_string() == words);
    told.find(|(number, _)| is_it(*number)).expect("a status").1
}

fn number_of(label: &str) -> u8 {
    LINES.iter().find(|(known, _)| *known == label).expect("a line of the board").1
}

/// Steps until the clock has come so far, and notes how the LED changes.
fn run_until(node: &mut FakeNode, instant_ns: u64, levels: &mut Vec<bool>) {
    // A wake-up that nobody asked for brings the clock there if nothing else does.
    let now = node.state().now_ns;
    node.command_in(instant_ns.saturating_sub(now), Command::Run);
    while node.state().now_ns < instant_ns && !state(&node.status()).is_final() && node.step() {
        note(node, levels);
    }
}

fn note(node: &FakeNode, levels: &mut Vec<bool>) {
    let high = node.state().lines[&number_of("LED")].high;
    if levels.last() != Some(&high) {
        levels.push(high);
    }
}

#[test]
fn sensor_puts_the_same_values() {
    let Some(both) = Both::of("sensor", 4150) else { return };
    let seen = both.compared::<sensor::Sensor>();
    assert_eq!((seen.values.len(), seen.end.as_str()), (41, "finalised"));
    assert_eq!(seen.values[1], 20.25_f32.to_le_bytes());
    assert_eq!(seen.text, "41 values\n");
}

#[test]
fn sensor_is_refused_the_same() {
    let Some(mut both) = Both::of("sensor", 1050) else { return };
    both.manifest.channels[0].name = "elsewhere".into();
    assert_eq!(both.compared::<sensor::Sensor>().end, "not-found");
    both.manifest.channels[0].name = "out".into();
    both.manifest.channels[0].type_text = "f64".into();
    assert_eq!(both.compared::<sensor::Sensor>().values[0], 20.0_f64.to_le_bytes(), "an f32 is an f64 too");
    both.manifest.channels[0].type_text = "u32".into();
    assert_eq!(both.compared::<sensor::Sensor>().text, "no value could be put: invalid\n0 values\n");
}

#[test]
fn display_shows_the_same() {
    let Some(mut both) = Both::of("display", 1000) else { return };
    both.script = [(100, 20.0), (200, 20.25), (300, 20.25), (400, -0.5), (500, f32::NAN)]
        .map(|(at, degrees)| (at, Event::Temperature(degrees)))
        .into();
    let seen = both.compared::<display::Display>();
    assert_eq!(seen.text.lines().count(), 4, "{seen:?}");
    assert!(seen.text.contains("-0.50"), "{seen:?}");
}

#[test]
fn debounce_toggles_the_same() {
    let Some(mut both) = Both::of("debounce", 1000) else { return };
    let edges = [100, 102, 104, 107, 109, 300, 302, 305, 400, 401, 500, 600];
    both.script = edges.iter().enumerate().map(|(index, at)| (*at, Event::Line("BUTTON", index % 2 == 0))).collect();
    let seen = both.compared::<debounce::Debounce>();
    assert_eq!(seen.text, "press 1\npress 2\n2 presses\n");
    assert_eq!(seen.levels, [false, true, false]);
}

#[test]
fn debounce_leaves_the_lamp_off_wherever_it_is_stopped() {
    let Some(mut both) = Both::of("debounce", 250) else { return };
    both.script = vec![(100, Event::Line("BUTTON", true))];
    assert_eq!(both.compared::<debounce::Debounce>().levels, [false, true, false]);
}

#[test]
fn debounce_is_refused_the_same() {
    for (withheld, end) in [
        (&["gpio:LED:out", "gpio:BUTTON:edge"][..], "not-granted"),
        (&["gpio:LED:out"], "not-granted"),
        (&["gpio:BUTTON:edge"], "not-granted"),
    ] {
        let Some(both) = Both::of("debounce", 100) else { return };
        let seen = Both { withheld, ..both }.compared::<debounce::Debounce>();
        assert_eq!((seen.end.as_str(), seen.refused), (end, 1), "{withheld:?}");
    }
}

#[test]
fn pid_comes_to_the_same_response() {
    let Some(both) = Both::of("pid", 5000) else { return };
    let seen = both.compared::<pid::Controller>();
    assert_eq!(seen.text, "after 1000 steps: overshoot 1.1 %, settled after 185 ms\n");
}

#[test]
fn pid_is_refused_a_rate_that_is_not_granted() {
    let Some(both) = Both::of("pid", 100) else { return };
    let seen = Both { withheld: &["timer:1ms"], ..both }.compared::<pid::Controller>();
    assert_eq!((seen.end.as_str(), seen.refused), ("not-granted", 1));
}
