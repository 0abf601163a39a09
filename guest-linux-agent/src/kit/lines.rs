//! What a host node's simulated lines do, shown as it happens: each change, or how many where they come too fast to read.
//!
//! Reads the pins' socket (`pd/host/src/pins.rs`): `watch`, then `TIME_NS NUMBER LABEL LEVEL LOST` a change. What it reads
//! is a process' of the same user, and shown without control characters all the same.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::json;

use crate::terminal::{self, printable};

/// How often one line's changes are shown at the most. What changes faster is counted: nobody reads a thousand a second.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);

/// One change as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Change {
    time_ns: u64,
    name: String,
    high: bool,
    /// Changes, of any line, that were not told before this one.
    lost: u64,
}

impl Change {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let time_ns = words.next()?.parse().ok()?;
        let (number, label) = (words.next()?, words.next()?);
        let name = printable(if label == "-" { number } else { label });
        Some(Self { time_ns, name, high: words.next()? == "1", lost: words.next()?.parse().ok()? })
    }
}

/// What is shown: the newest change of a line, and how many it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shown {
    change: Change,
    count: u64,
}

impl Shown {
    fn text(&self) -> String {
        let level = if self.change.high { "high" } else { "low" };
        let count = if self.count > 1 { format!(" ({} changes)", self.count) } else { String::new() };
        let lost = if self.change.lost > 0 { format!(" ({} not told)", self.change.lost) } else { String::new() };
        format!("[line] {} {level}{count}{lost}\n", self.change.name)
    }

    fn json(&self) -> String {
        let Change { time_ns, name, high, lost } = &self.change;
        let value = json!({ "time_ns": time_ns, "line": name, "high": high, "changes": self.count, "lost": lost });
        format!("{value}\n")
    }
}

/// Changes that wait for their line's turn.
#[derive(Default)]
struct Lines(BTreeMap<String, Line>);

#[derive(Default)]
struct Line {
    shown_at: Option<Instant>,
    waiting: Option<Shown>,
}

impl Lines {
    fn add(&mut self, change: Change) {
        let waiting = &mut self.0.entry(change.name.clone()).or_default().waiting;
        let count = waiting.as_ref().map_or(0, |shown| shown.count) + 1;
        let lost = waiting.as_ref().map_or(0, |shown| shown.change.lost).saturating_add(change.lost);
        *waiting = Some(Shown { change: Change { lost, ..change }, count });
    }

    /// What may be shown now, in the order in which it happened.
    fn due(&mut self, now: Instant) -> Vec<Shown> {
        let pause = |line: &Line| line.shown_at.is_some_and(|shown_at| now < shown_at + SHORTEST_PAUSE);
        let due = self.0.values_mut().filter(|line| !pause(line)).filter_map(|line| {
            let shown = line.waiting.take()?;
            line.shown_at = Some(now);
            Some(shown)
        });
        in_order(due)
    }

    /// What is left at the end.
    fn rest(&mut self) -> Vec<Shown> {
        in_order(self.0.values_mut().filter_map(|line| line.waiting.take()))
    }
}

fn in_order(shown: impl Iterator<Item = Shown>) -> Vec<Shown> {
    let mut all: Vec<Shown> = shown.collect();
    all.sort_by_key(|shown| shown.change.time_ns);
    all
}

/// Shows changes from now on until the node has ended: to standard error, or as JSON to standard output.
pub(crate) fn show(pins: &Path, json: bool) -> io::Result<JoinHandle<()>> {
    let mut stream = UnixStream::connect(pins)?;
    stream.set_read_timeout(Some(SHORTEST_PAUSE))?;
    stream.write_all(b"watch\n")?;
    let write = move |shown: &Shown| {
        // Where nobody reads it, nobody misses it; the container's own output tells that the reader has gone.
        let _ = if json {
            terminal::output(shown.json().as_bytes())
        } else {
            terminal::error_output(shown.text().as_bytes())
        };
    };
    thread::Builder::new().name("lines".into()).spawn(move || follow(BufReader::new(stream), write))
}

fn follow(mut reader: impl BufRead, write: impl Fn(&Shown)) {
    let mut lines = Lines::default();
    let mut text = String::new();
    loop {
        match reader.read_line(&mut text) {
            Ok(0) => break,
            Ok(_) => {
                if let Some(change) = Change::parse(&text) {
                    lines.add(change);
                }
                text.clear();
            }
            // What came of a line stays in `text`.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
        lines.due(Instant::now()).iter().for_each(&write);
    }
    lines.rest().iter().for_each(&write);
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn change(time_ns: u64, name: &str, high: bool) -> Change {
        Change { time_ns, name: name.into(), high, lost: 0 }
    }

    fn texts(shown: &[Shown]) -> Vec<String> {
        shown.iter().map(|shown| shown.text().trim_end().to_owned()).collect()
    }

    #[test]
    fn slow_changes_are_shown_each_and_fast_ones_counted() {
        let mut lines = Lines::default();
        let begin = Instant::now();
        lines.add(change(1, "LED", true));
        assert_eq!(texts(&lines.due(begin)), ["[line] LED high"]);
        for turn in 0..5 {
            lines.add(change(2 + turn, "LED", turn % 2 == 1));
            assert!(lines.due(begin + Duration::from_millis(turn)).is_empty());
        }
        lines.add(change(4, "HEATER", true));
        assert_eq!(texts(&lines.due(begin + Duration::from_millis(6))), ["[line] HEATER high"]);
        lines.add(Change { lost: 7, ..change(9, "HEATER", false) });
        let later = begin + SHORTEST_PAUSE * 2;
        assert_eq!(texts(&lines.due(later)), ["[line] LED low (5 changes)", "[line] HEATER low (7 not told)"]);
        lines.add(change(10, "LED", true));
        assert!(lines.due(later).is_empty());
        assert_eq!(texts(&lines.rest()), ["[line] LED high"]);
    }

    #[test]
    fn what_is_no_change_is_passed_over() {
        let told = b"ok\n1000 0 LED 1 0\nnonsense\n2000 5 - 0 3\n3000 1 \x1b[2J 1";
        let shown = RefCell::new(Vec::new());
        follow(&told[..], |one: &Shown| shown.borrow_mut().push(one.text()));
        assert_eq!(shown.take(), ["[line] LED high\n", "[line] 5 low (3 not told)\n"]);
        assert_eq!(Change::parse("3000 1 \u{1b}[2J 1 0").map(|change| change.name).as_deref(), Some("\u{fffd}[2J"));
    }
}
