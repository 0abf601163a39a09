//! What the simulated node is at: its clock, lines, timers and channels, and what will happen to them.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use runner_container::{
    rights::Right,
    value_type::{TypeError, ValueType},
};

use super::{Direction, Record, app::AppError, bytes_of, calls::Status};
use crate::{Error, Value};

/// What an unsigned container gets of the demo image's policy (`qemu/demo-policy.toml`).
const DEFAULT_PERIOD_NS: u64 = 10_000_000;
/// Numbers of timers; 0 is the cell's own (`runner-interfaces`, `timer`).
const TIMERS: usize = 8;

const CHANNEL_EVENT: u32 = 1 << 30;
const EDGE_EVENT: u32 = 1 << 31;

/// A line of the board.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    pub(super) may_drive: bool,
    pub(super) may_read: bool,
    pub(super) may_watch: bool,
    pub(super) active_low: bool,
    pub(super) high: bool,
    pub(super) open: Option<Open>,
    pub(super) transitions: Vec<(Duration, bool)>,
}

/// How a line is open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    pub(super) is_output: bool,
    pub(super) active_low: bool,
    pub(super) watched: Option<crate::Edges>,
    pub(super) edges: u32,
}

/// A channel of the container.
#[derive(Clone, Debug)]
pub(super) struct Channel {
    pub(super) name: String,
    pub(super) direction: Direction,
    pub(super) value_type: ValueType,
    /// 0: the latest value is kept.
    pub(super) depth: usize,
    pub(super) is_open: bool,
    /// What is to be taken; of latest values the one.
    pub(super) values: VecDeque<Vec<u8>>,
    /// The latest value was taken.
    pub(super) is_taken: bool,
    /// Latest values that were replaced unseen since the last one that was taken.
    pub(super) unseen: u64,
    /// What the reader was given last, and what it missed before.
    pub(super) given: (Vec<u8>, u64),
    /// Everything that was put, and when.
    pub(super) put: Vec<(Duration, Vec<u8>)>,
}

impl Channel {
    /// A value comes in; whether there was room.
    fn arrive(&mut self, value: Vec<u8>) -> bool {
        if self.depth == 0 {
            self.unseen += u64::from(!self.values.is_empty() && !self.is_taken);
            self.values.clear();
            self.is_taken = false;
        } else if self.values.len() == self.depth {
            return false;
        }
        self.values.push_back(value);
        true
    }

    /// The next value, or a look at it.
    pub(super) fn receive(&mut self, take: bool) -> Status {
        let is_latest = self.depth == 0;
        let Some(value) = self.values.front().filter(|_| !(is_latest && take && self.is_taken)) else {
            return Status::Empty;
        };
        self.given = (value.clone(), self.unseen);
        match (take, is_latest) {
            (true, true) => (self.is_taken, self.unseen) = (true, 0),
            (true, false) => {
                self.values.pop_front();
            }
            (false, _) => {}
        }
        Status::Ok
    }
}

/// What will happen.
#[derive(Clone, Debug)]
pub(super) enum Action {
    Drive(String, bool),
    Arrive(String, Option<Vec<u8>>),
    Refuse(String, Error),
}

/// The node.
#[derive(Debug)]
pub(super) struct State {
    pub(super) now: u64,
    /// When the container is stopped.
    pub(super) ends_at: Option<u64>,
    pub(super) lines: BTreeMap<String, Line>,
    pub(super) channels: Vec<Channel>,
    pub(super) refusals: BTreeMap<String, Error>,
    pub(super) records: Vec<Record>,
    pub(super) refused: u64,
    minimum_period: u64,
    /// Expiry and period.
    timers: [Option<(u64, u64)>; TIMERS],
    /// Events that happened and were not taken.
    events: u32,
    /// By time, those of one time in the order in which they were said.
    actions: BTreeMap<u64, VecDeque<Action>>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            now: 0,
            ends_at: None,
            lines: BTreeMap::new(),
            channels: Vec::new(),
            refusals: BTreeMap::new(),
            records: Vec::new(),
            refused: 0,
            minimum_period: DEFAULT_PERIOD_NS,
            timers: [None; TIMERS],
            events: 0,
            actions: BTreeMap::new(),
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl State {
    pub(super) fn line(&mut self, label: &str) -> &mut Line {
        self.lines.entry(label.to_owned()).or_default()
    }

    /// A right as a node understands it. Rates and amounts are taken, and not held to.
    pub(super) fn grant(&mut self, grant: &str) -> Result<(), AppError> {
        let right = Right::parse(grant).map_err(|error| AppError::new(format!("`{grant}` is no right: {error}")))?;
        match right {
            Right::GpioOutput { line, .. } => self.line(&line).may_drive = true,
            Right::GpioInput { line } => self.line(&line).may_read = true,
            Right::GpioEdges { line, .. } => {
                let line = self.line(&line);
                (line.may_read, line.may_watch) = (true, true);
            }
            Right::Timers { minimum_period_ns, .. } => self.minimum_period = minimum_period_ns,
            _ => {}
        }
        Ok(())
    }

    pub(super) fn declare(
        &mut self,
        name: &str,
        direction: Direction,
        value_type: &str,
        depth: usize,
    ) -> Result<(), TypeError> {
        self.channels.push(Channel {
            name: name.to_owned(),
            direction,
            value_type: ValueType::parse(value_type)?,
            depth,
            is_open: false,
            values: VecDeque::new(),
            is_taken: false,
            unseen: 0,
            given: (Vec::new(), 0),
            put: Vec::new(),
        });
        Ok(())
    }

    pub(super) fn schedule(&mut self, after: Duration, action: Action) {
        let at = self.now.saturating_add(nanoseconds(after));
        self.actions.entry(at).or_default().push_back(action);
    }

    /// What `value` arriving on a channel is; nothing where it is none of the type.
    pub(super) fn put_action<T: Value>(&self, channel: &str, value: &T) -> Action {
        let known = self.channels.iter().find(|known| known.name == channel);
        let bytes = known.and_then(|known| value.give(|item| bytes_of(&known.value_type, item)));
        Action::Arrive(channel.to_owned(), bytes)
    }

    pub(super) fn begin(&mut self, duration: Duration) {
        self.ends_at = Some(self.now.saturating_add(nanoseconds(duration)));
        // What is due now has happened.
        self.pass(0);
    }

    /// Whether the container's time is over.
    pub(super) fn is_over(&self) -> bool {
        self.ends_at.is_some_and(|end| self.now >= end)
    }

    /// What a cell gives back when its container has ended.
    pub(super) fn release(&mut self) {
        let now = self.time();
        for line in self.lines.values_mut() {
            line.close(now);
        }
        for channel in &mut self.channels {
            channel.is_open = false;
            channel.given = (Vec::new(), 0);
        }
        self.timers = [None; TIMERS];
        self.events = 0;
    }

    pub(super) fn time(&self) -> Duration {
        Duration::from_nanos(self.now)
    }

    /// `status`, with a refusal counted.
    pub(super) fn counted(&mut self, status: Status) -> Status {
        self.refused += u64::from(!matches!(status, Status::Ok | Status::Empty | Status::Full));
        status
    }

    /// What the test wants refused of a resource.
    pub(super) fn refusal(&self, resource: &str) -> Option<Status> {
        self.refusals.get(resource).map(|error| (*error).into())
    }

    /// Lets time pass, with all that happens meanwhile.
    pub(super) fn pass(&mut self, nanoseconds: u64) {
        let until = self.now.saturating_add(nanoseconds);
        while let Some(next) = self.next().filter(|next| *next <= until) {
            self.happen(next);
        }
        self.now = until;
    }

    /// Lets time pass where none has since `began`.
    pub(super) fn pass_since(&mut self, began: u64, nanoseconds: u64) {
        if self.now == began {
            self.pass(nanoseconds);
        }
    }

    /// When something happens next by itself.
    fn next(&self) -> Option<u64> {
        let expiries = self.timers.iter().flatten().map(|(expiry, _)| *expiry);
        expiries.chain(self.actions.keys().next().copied()).min()
    }

    /// Everything that happens at `at`.
    fn happen(&mut self, at: u64) {
        self.now = self.now.max(at);
        for action in self.actions.remove(&at).unwrap_or_default() {
            self.act(action);
        }
        for (number, timer) in self.timers.iter_mut().enumerate() {
            if let Some((expiry, period)) = timer.filter(|(expiry, _)| *expiry <= at) {
                *timer = (period != 0).then(|| (expiry.saturating_add(period), period));
                self.events |= 1 << number;
            }
        }
    }

    fn act(&mut self, action: Action) {
        let now = self.time();
        match action {
            Action::Drive(label, high) => {
                let counted = self.line(&label).drive(now, high);
                self.events |= if counted { EDGE_EVENT } else { 0 };
            }
            Action::Arrive(name, value) => {
                let is_any_open = self.channels.iter().any(|channel| channel.is_open);
                let channel = self.channels.iter_mut().find(|channel| channel.name == name);
                let arrived = channel.zip(value).is_some_and(|(channel, value)| channel.arrive(value));
                // No news to a container that speaks over no channel.
                self.events |= if arrived && is_any_open { CHANNEL_EVENT } else { 0 };
            }
            Action::Refuse(resource, error) => {
                self.refusals.insert(resource, error);
            }
        }
    }

    /// Waits for one of the events in `mask`; none where the container is stopped before one happens.
    pub(super) fn wait_for(&mut self, mask: u32) -> Option<u32> {
        loop {
            let taken = self.events & mask;
            self.events &= !taken;
            if taken != 0 {
                return Some(taken);
            }
            match (self.next(), self.ends_at) {
                (Some(next), end) if end.is_none_or(|end| next < end) => self.happen(next),
                (_, Some(end)) => {
                    self.now = self.now.max(end);
                    return None;
                }
                (_, None) => panic!("on_stop waits for what never comes: a cell would end it after the board's limit"),
            }
        }
    }

    /// Sleeps; whether the container was not stopped meanwhile.
    pub(super) fn sleep_until(&mut self, instant: u64) -> bool {
        let end = self.ends_at.filter(|end| *end <= instant);
        self.pass(end.unwrap_or(instant).saturating_sub(self.now));
        end.is_none()
    }

    pub(super) fn arm(&mut self, number: u32, first: u64, period: u64) -> Status {
        let Some(place) = container_timer(number) else { return Status::NotFound };
        let distance = if period == 0 { first } else { period };
        if distance < self.minimum_period {
            return Status::NotGranted;
        }
        self.timers[place] = Some((self.now.saturating_add(first), period));
        Status::Ok
    }

    pub(super) fn disarm(&mut self, number: u32) -> Status {
        let Some(place) = container_timer(number) else { return Status::NotFound };
        self.timers[place] = None;
        self.events &= !(1 << place);
        Status::Ok
    }
}

impl Line {
    /// Drives it, by whatever hand; whether an edge was counted.
    pub(super) fn drive(&mut self, now: Duration, high: bool) -> bool {
        if self.high == high {
            return false;
        }
        self.high = high;
        self.transitions.push((now, high));
        let watched = self.open.as_mut().filter(|open| match open.watched {
            Some(crate::Edges::Rising) => high,
            Some(crate::Edges::Falling) => !high,
            Some(crate::Edges::Both) => true,
            None => false,
        });
        watched.map(|open| open.edges += 1).is_some()
    }

    /// Gives it back: an output goes to its board's inactive level.
    pub(super) fn close(&mut self, now: Duration) {
        if self.open.is_some_and(|open| open.is_output) {
            self.drive(now, self.active_low);
        }
        self.open = None;
    }
}

fn container_timer(number: u32) -> Option<usize> {
    usize::try_from(number).ok().filter(|number| (1..TIMERS).contains(number))
}
