//! A bank of eight lines in memory, as QEMU's `virt` has one, and the world at its pins.
//!
//! The driver has one side ([`Bank`]), the socket of [`crate::pins`] the other. Who connects to it is this user; what they
//! send is bounded, answered and otherwise of no consequence.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use pd_gpio_driver::Bank;
use runner_interfaces::gpio::Edges;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::pins::{Change, MAX_REQUEST_BYTES};
use crate::substrate::event_loop::ring;
use crate::substrate::kernel::monotonic_ns;

/// Lines of the bank that it stands for.
const LINES: u8 = 8;

/// Connections at a time. More than any test or person needs, fewer than would hurt.
const MAX_CONNECTIONS: usize = 16;

/// Changes that are kept for a watcher who does not read: a line that changes every tick, for about a second.
const MAX_UNREAD_CHANGES: usize = 1024;

/// How often to look whether a watcher is still there while nothing changes.
const WATCHER_LOOK: Duration = Duration::from_millis(500);

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
    /// How often the driver did anything to it at all: drove it, made it an input, watched it, took its edges.
    touches: u64,
}

impl Line {
    fn level(self) -> bool {
        if self.is_output { self.driven } else { self.outside }
    }

    /// The driver does something to it.
    fn touched(&mut self) -> &mut Self {
        self.touches += 1;
        self
    }

    fn drive(&mut self, high: bool) {
        let before = self.level();
        self.is_output = true;
        self.driven = high;
        if before != high {
            self.transitions += 1;
        }
    }

    /// The world moves the pin there and back; answers whether either was an edge which is watched.
    fn move_there_and_back(&mut self) -> bool {
        let rest = self.outside;
        let there = self.move_to(!rest);
        self.move_to(rest) || there
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

/// Somebody who is told of every change of a level, as far as they read.
struct Watcher {
    changes: SyncSender<Change>,
    /// Changes that found no room since the last one that did.
    lost: u64,
}

struct World {
    lines: Mutex<[Line; LINES as usize]>,
    /// Locked within `lines` only, so that everybody sees changes in their order.
    watchers: Mutex<Vec<Watcher>>,
    labels: HashMap<String, u8>,
    /// Rung at every watched edge.
    interrupt: OwnedFd,
    /// The node's start, on Linux' monotonic clock.
    epoch_ns: u64,
}

/// The bank. Clones are handles on the same pins.
#[derive(Clone)]
pub(super) struct SimulatedBank(Arc<World>);

impl SimulatedBank {
    /// All lines are inputs, and low. Watched edges ring `interrupt`. Times count from `epoch_ns`, of Linux' monotonic
    /// clock.
    pub(super) fn new(interrupt: OwnedFd, labels: Vec<(String, u8)>, epoch_ns: u64) -> Self {
        let lines = Mutex::new([Line::default(); LINES as usize]);
        let labels = labels.into_iter().collect();
        Self(Arc::new(World { lines, watchers: Mutex::default(), labels, interrupt, epoch_ns }))
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
            if request.trim() == "watch" {
                return self.tell_changes(stream);
            }
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
            ["touches", line] => Ok(self.lines()[self.find(line)?].touches.to_string()),
            ["set", line, level] => self.set(line, level_of(level)?),
            ["pulse", line] => self.pulse(line),
            ["list"] => Ok(self.list()),
            _ => Err(
                "say `read LINE`, `set LINE 0|1`, `pulse LINE`, `transitions LINE`, `touches LINE`, `list` or `watch`"
                    .into(),
            ),
        }
    }

    /// Tells a watcher of changes until they close the connection or say anything more.
    fn tell_changes(&self, mut stream: &UnixStream) -> io::Result<()> {
        let changes = self.changes();
        stream.write_all(b"ok\n")?;
        loop {
            match changes.recv_timeout(WATCHER_LOOK) {
                Ok(change) => stream.write_all(format!("{change}\n").as_bytes())?,
                Err(RecvTimeoutError::Timeout) if has_spoken(stream)? => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    /// Every change from here on.
    fn changes(&self) -> Receiver<Change> {
        let (changes, receiver) = sync_channel(MAX_UNREAD_CHANGES);
        self.watchers().push(Watcher { changes, lost: 0 });
        receiver
    }

    fn watchers(&self) -> MutexGuard<'_, Vec<Watcher>> {
        self.0.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something that may move a line, and tells the watchers where it did. The driver comes through here: nobody is
    /// waited for, and who does not read loses changes.
    fn moving<T>(&self, line: usize, action: impl FnOnce(&mut Line) -> T) -> Option<T> {
        let mut lines = self.lines();
        let found = lines.get_mut(line)?;
        let before = found.level();
        let result = action(found);
        let after = found.level();
        if before != after {
            self.tell(line, &[after]);
        }
        Some(result)
    }

    /// Tells of levels that a line took one after the other. The lines are locked.
    fn tell(&self, line: usize, levels: &[bool]) {
        let mut watchers = self.watchers();
        if watchers.is_empty() {
            return;
        }
        let time_ns = monotonic_ns().saturating_sub(self.0.epoch_ns);
        let label = self.label(line).unwrap_or("-");
        for &high in levels {
            watchers.retain_mut(|watcher| {
                let change = Change { time_ns, line, label: label.to_owned(), high, lost: watcher.lost };
                match watcher.changes.try_send(change) {
                    Ok(()) => watcher.lost = 0,
                    Err(TrySendError::Full(_)) => watcher.lost += 1,
                    Err(TrySendError::Disconnected(_)) => return false,
                }
                true
            });
        }
    }

    fn label(&self, line: usize) -> Option<&str> {
        self.0.labels.iter().find(|(_, labelled)| usize::from(**labelled) == line).map(|(label, _)| label.as_str())
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

    /// Does something with a line that the world may drive.
    fn with_input(&self, line: &str, action: impl FnOnce(&mut Line) -> bool) -> Result<String, String> {
        let number = self.find(line)?;
        let is_free = |found: &mut Line| (!found.is_output).then(|| action(found));
        let seen = self.moving(number, is_free).flatten();
        let seen = seen.ok_or_else(|| format!("`{line}` is an output: the world cannot drive it"))?;
        self.interrupt_if(seen);
        Ok(String::new())
    }

    fn set(&self, line: &str, high: bool) -> Result<String, String> {
        self.with_input(line, |line| line.move_to(high))
    }

    fn pulse(&self, line: &str) -> Result<String, String> {
        let number = self.find(line)?;
        self.with_input(line, |line| {
            let rest = line.level();
            self.tell(number, &[!rest, rest]);
            line.move_there_and_back()
        })
    }

    fn interrupt_if(&self, seen: bool) {
        if seen {
            ring(&self.0.interrupt);
        }
    }

    fn list(&self) -> String {
        let lines = self.lines();
        let shown = lines.iter().enumerate().map(|(number, line)| {
            let label = self.label(number).unwrap_or("-");
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

/// Whether something came from the other side, or it is gone.
fn has_spoken(stream: &UnixStream) -> io::Result<bool> {
    let mut descriptors = [PollFd::from_borrowed_fd(stream.as_fd(), PollFlags::IN)];
    Ok(poll(&mut descriptors, Some(&Timespec::default()))? > 0)
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
        self.moving(usize::from(line), |line| line.touched().drive(high));
    }

    fn listen(&mut self, line: u8) {
        self.moving(usize::from(line), |line| line.touched().is_output = false);
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
            let line = line.touched();
            line.watched = edges;
            line.untaken = 0;
        });
    }

    fn pending(&self) -> u64 {
        let lines = self.lines();
        lines.iter().enumerate().fold(0, |mask, (number, line)| mask | u64::from(line.untaken > 0) << number)
    }

    fn take_edges(&mut self, line: u8) -> u32 {
        self.with(line, |line| std::mem::take(&mut line.touched().untaken)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::substrate::event_loop::{bell, clear};

    fn bank() -> (SimulatedBank, OwnedFd) {
        let interrupt = bell().expect("eventfd");
        let ours = interrupt.try_clone().expect("cloned");
        (SimulatedBank::new(interrupt, vec![("LED".into(), 0), ("BUTTON".into(), 3)], 0), ours)
    }

    fn seen(changes: &Receiver<Change>) -> Vec<(String, bool, u64)> {
        changes.try_iter().map(|change| (change.label, change.high, change.lost)).collect()
    }

    #[test]
    fn a_watcher_sees_every_change_in_its_order() {
        let (mut bank, _) = bank();
        bank.drive(0, true);
        let changes = bank.changes();
        for high in [true, false, false, true] {
            bank.drive(0, high);
        }
        bank.answer("set BUTTON 1").expect("set");
        bank.answer("set BUTTON 1").expect("set");
        bank.answer("pulse BUTTON").expect("pulsed");
        bank.listen(0);
        let expected =
            [("LED", false), ("LED", true), ("BUTTON", true), ("BUTTON", false), ("BUTTON", true), ("LED", false)];
        assert_eq!(seen(&changes), expected.map(|(label, high)| (label.to_owned(), high, 0)));
    }

    #[test]
    fn nobody_waits_for_a_watcher_who_does_not_read() {
        let (mut bank, _) = bank();
        let changes = bank.changes();
        for turn in 0..MAX_UNREAD_CHANGES + 5 {
            bank.drive(0, turn % 2 == 0);
        }
        assert_eq!(seen(&changes).len(), MAX_UNREAD_CHANGES);
        bank.drive(3, true);
        assert_eq!(seen(&changes), [("BUTTON".to_owned(), true, 5)]);
        drop(changes);
        bank.drive(3, false);
        assert!(bank.watchers().is_empty(), "who has gone is forgotten");
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
        assert_eq!(bank.answer("touches LED"), Ok("3".into()), "the level that was there already, too");
        assert_eq!(bank.answer("touches 1"), Ok("0".into()));
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
