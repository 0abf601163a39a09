//! A bank of eight lines in memory, as QEMU's `virt` has one, and the world at its pins.
//!
//! The driver has one side ([`Bank`]), the socket of [`crate::pins`] the other. Who connects to it is this user; what they
//! send is bounded, answered and otherwise of no consequence.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use pd_gpio_driver::Bank;
use runner_interfaces::gpio::Edges;

use crate::pins::MAX_REQUEST_BYTES;
use crate::substrate::event_loop::ring;

/// Lines of the bank that it stands for.
const LINES: u8 = 8;

/// Connections at a time. More than any test or person needs, fewer than would hurt.
const MAX_CONNECTIONS: usize = 16;

#[derive(Clone, Copy, Debug, Default)]
struct Line {
    is_output: bool,
    /// What the driver drives, while it is an output.
    driven: bool,
    /// What the world drives, while it is an input.
    outside: bool,
    watched: Option<Edges>,
    untaken: u32,
    /// How often the level changed while it was an output.
    transitions: u64,
}

impl Line {
    fn level(self) -> bool {
        if self.is_output { self.driven } else { self.outside }
    }

    fn drive(&mut self, high: bool) {
        let before = self.level();
        self.is_output = true;
        self.driven = high;
        if before != high {
            self.transitions += 1;
        }
    }

    /// The world moves the pin; answers whether that is an edge which is watched.
    fn move_to(&mut self, high: bool) -> bool {
        let rises = !self.outside && high;
        let falls = self.outside && !high;
        self.outside = high;
        let seen = match self.watched {
            None => false,
            Some(Edges::Rising) => rises,
            Some(Edges::Falling) => falls,
            Some(Edges::Both) => rises || falls,
        };
        self.untaken = self.untaken.saturating_add(u32::from(seen));
        seen
    }
}

struct World {
    lines: Mutex<[Line; LINES as usize]>,
    labels: HashMap<String, u8>,
    /// Rung at every watched edge.
    interrupt: OwnedFd,
}

/// The bank. Clones are handles on the same pins.
#[derive(Clone)]
pub(super) struct SimulatedBank(Arc<World>);

impl SimulatedBank {
    /// All lines are inputs, and low. Watched edges ring `interrupt`.
    pub(super) fn new(interrupt: OwnedFd, labels: Vec<(String, u8)>) -> Self {
        let lines = Mutex::new([Line::default(); LINES as usize]);
        Self(Arc::new(World { lines, labels: labels.into_iter().collect(), interrupt }))
    }

    /// Serves the pins' socket at `path` from threads of its own.
    pub(super) fn listen_at(&self, path: &Path) -> io::Result<()> {
        let listener = UnixListener::bind(path)?;
        let bank = self.clone();
        thread::Builder::new().name("pins".into()).spawn(move || bank.accept(&listener))?;
        Ok(())
    }

    fn accept(&self, listener: &UnixListener) {
        let connections = Arc::new(AtomicUsize::new(0));
        for stream in listener.incoming().flatten() {
            if connections.fetch_add(1, Ordering::Relaxed) >= MAX_CONNECTIONS {
                connections.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let bank = self.clone();
            let counter = connections.clone();
            thread::spawn(move || {
                // The peer going away ends the conversation, and nothing else.
                let _ = bank.converse(&stream);
                counter.fetch_sub(1, Ordering::Relaxed);
            });
        }
    }

    fn converse(&self, stream: &UnixStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream);
        let mut writer = stream;
        loop {
            let mut request = Vec::new();
            reader.by_ref().take(MAX_REQUEST_BYTES).read_until(b'\n', &mut request)?;
            if request.pop() != Some(b'\n') {
                return Ok(());
            }
            let request = String::from_utf8_lossy(&request);
            let answer = match self.answer(&request) {
                Ok(answer) if answer.is_empty() => "ok\n".to_owned(),
                Ok(answer) => format!("ok {answer}\n"),
                Err(problem) => format!("error {problem}\n"),
            };
            writer.write_all(answer.as_bytes())?;
        }
    }

    fn answer(&self, request: &str) -> Result<String, String> {
        let words: Vec<&str> = request.split_whitespace().collect();
        match words.as_slice() {
            ["read", line] => Ok(u8::from(self.lines()[self.find(line)?].level()).to_string()),
            ["transitions", line] => Ok(self.lines()[self.find(line)?].transitions.to_string()),
            ["set", line, level] => self.set(line, level_of(level)?),
            ["pulse", line] => self.pulse(line),
            ["list"] => Ok(self.list()),
            _ => Err("say `read LINE`, `set LINE 0|1`, `pulse LINE`, `transitions LINE` or `list`".into()),
        }
    }

    fn lines(&self) -> MutexGuard<'_, [Line; LINES as usize]> {
        // Whoever panicked left plain values behind, each sound in itself.
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The line of a label or a number.
    fn find(&self, line: &str) -> Result<usize, String> {
        let number = self.0.labels.get(line).copied().or_else(|| line.parse().ok());
        number.filter(|&number| number < LINES).map(usize::from).ok_or_else(|| format!("there is no line `{line}`"))
    }

    fn input<'a>(&self, lines: &'a mut [Line; LINES as usize], line: &str) -> Result<&'a mut Line, String> {
        let found = &mut lines[self.find(line)?];
        if found.is_output { Err(format!("`{line}` is an output: the world cannot drive it")) } else { Ok(found) }
    }

    fn set(&self, line: &str, high: bool) -> Result<String, String> {
        let seen = self.input(&mut self.lines(), line)?.move_to(high);
        self.interrupt_if(seen);
        Ok(String::new())
    }

    fn pulse(&self, line: &str) -> Result<String, String> {
        let mut lines = self.lines();
        let found = self.input(&mut lines, line)?;
        let rest = found.outside;
        let there = found.move_to(!rest);
        let back = found.move_to(rest);
        drop(lines);
        self.interrupt_if(there || back);
        Ok(String::new())
    }

    fn interrupt_if(&self, seen: bool) {
        if seen {
            ring(&self.0.interrupt);
        }
    }

    fn list(&self) -> String {
        let lines = self.lines();
        let shown = lines.iter().zip(0_u8..).map(|(line, number)| {
            let label = self.0.labels.iter().find(|(_, labelled)| **labelled == number).map_or("-", |(label, _)| label);
            let usage = if line.is_output { "output" } else { "input" };
            format!("{number}:{label}:{usage}:{}", u8::from(line.level()))
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    /// Does something with a line that there is.
    fn with<T>(&self, line: u8, action: impl FnOnce(&mut Line) -> T) -> Option<T> {
        self.lines().get_mut(usize::from(line)).map(action)
    }
}

fn level_of(word: &str) -> Result<bool, String> {
    match word {
        "0" => Ok(false),
        "1" => Ok(true),
        _ => Err(format!("a level is 0 or 1, not `{word}`")),
    }
}

impl Bank for SimulatedBank {
    fn lines(&self) -> u8 {
        LINES
    }

    fn drive(&mut self, line: u8, high: bool) {
        self.with(line, |line| line.drive(high));
    }

    fn listen(&mut self, line: u8) {
        self.with(line, |line| line.is_output = false);
    }

    fn level(&self, line: u8) -> bool {
        self.with(line, |line| line.level()).unwrap_or(false)
    }

    fn levels(&self) -> u64 {
        let lines = self.lines();
        lines.iter().enumerate().fold(0, |mask, (number, line)| mask | u64::from(line.level()) << number)
    }

    fn watch(&mut self, line: u8, edges: Option<Edges>) {
        self.with(line, |line| {
            line.watched = edges;
            line.untaken = 0;
        });
    }

    fn pending(&self) -> u64 {
        let lines = self.lines();
        lines.iter().enumerate().fold(0, |mask, (number, line)| mask | u64::from(line.untaken > 0) << number)
    }

    fn take_edges(&mut self, line: u8) -> u32 {
        self.with(line, |line| std::mem::take(&mut line.untaken)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::substrate::event_loop::{bell, clear};

    fn bank() -> (SimulatedBank, OwnedFd) {
        let interrupt = bell().expect("eventfd");
        let ours = interrupt.try_clone().expect("cloned");
        (SimulatedBank::new(interrupt, vec![("LED".into(), 0), ("BUTTON".into(), 3)]), ours)
    }

    #[test]
    fn the_world_reads_what_the_driver_drives() {
        let (mut bank, _) = bank();
        bank.drive(0, true);
        assert_eq!(bank.answer("read LED"), Ok("1".into()));
        bank.drive(0, false);
        bank.drive(0, false);
        assert_eq!(bank.answer("read 0"), Ok("0".into()));
        assert_eq!(bank.answer("transitions LED"), Ok("2".into()));
        assert!(bank.answer("list").expect("lists").starts_with("0:LED:output:0 1:-:input:0"));
    }

    #[test]
    fn the_driver_sees_what_the_world_moves() {
        let (mut bank, interrupt) = bank();
        bank.answer("set BUTTON 1").expect("set");
        assert!(bank.level(3) && !clear(&interrupt), "nobody watches yet");
        bank.watch(3, Some(Edges::Falling));
        bank.answer("set BUTTON 0").expect("set");
        assert!(clear(&interrupt));
        bank.answer("pulse 3").expect("pulsed");
        bank.answer("pulse 3").expect("pulsed");
        assert!(clear(&interrupt));
        assert_eq!((bank.pending(), bank.take_edges(3), bank.take_edges(3)), (1 << 3, 3, 0));
        assert_eq!(bank.pending(), 0);
    }

    #[test]
    fn the_world_does_not_drive_against_the_driver() {
        let (mut bank, _) = bank();
        bank.drive(0, false);
        assert!(bank.answer("set LED 1").is_err());
        assert!(bank.answer("pulse LED").is_err());
        assert!(!bank.level(0));
    }

    #[test]
    fn nonsense_is_answered() {
        let (bank, _) = bank();
        for request in ["", "read", "read 8", "read NOSUCH", "set BUTTON 2", "set BUTTON", "fly LED", "read LED LED"] {
            assert!(bank.answer(request).is_err(), "{request}");
        }
    }
}
