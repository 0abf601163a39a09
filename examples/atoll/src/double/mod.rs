//! A simulated node, for tests of a container's logic on the machine that it is written on.
//!
//! Time is virtual: it passes while the container waits, and one microsecond in a loop that waits for nothing. Lines, channels and grants are those
//! of the test, or of `app.toml`; what the container did with them is kept. [`Node::refuse`] makes the node refuse where it would
//! not. It trusts the test. Answers are a cell's: `runner/executor` runs the samples in both and compares.
//!
//! Where it differs: a wait that is abandoned because the container is stopped drops what `on_loop` holds (it unwinds), and code
//! takes no time, so nothing is ever late.

mod app;
pub(crate) mod calls;
mod state;

use std::{
    cell::RefCell,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    rc::Rc,
    time::Duration,
};

use crate::{Error, Item, Level, Next, Reactor, Value};
pub use app::AppError;
use state::{Action, State};

/// How much time a loop takes at the least, so that a container which never waits comes to its end too.
const LOOP_NS: u64 = 1_000;

thread_local! {
    /// The node whose container runs on this thread.
    static CURRENT: RefCell<Option<Rc<RefCell<State>>>> = const { RefCell::new(None) };
}

/// Why a wait was abandoned: travels up through the container's hook.
struct Stopped;

/// How a container ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// `on_loop` answered [`Next::Finish`].
    Finished,
    /// Its time was over, and it was stopped.
    Stopped,
}

/// Which way a channel goes, as the container sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The container puts.
    Put,
    /// The container gets.
    Get,
}

/// A record of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When.
    pub at: Duration,
    /// How much it matters.
    pub level: Level,
    /// What it says.
    pub text: String,
}

/// A node with room for one container. What it keeps of one run is there in the next, as if the container had been restarted.
pub struct Node {
    state: Rc<RefCell<State>>,
}

impl fmt::Debug for Node {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.state.borrow().fmt(formatter)
    }
}

impl Default for Node {
    fn default() -> Self {
        Self::new()
    }
}

impl Node {
    /// A node that grants what an unsigned container has anyway: log, clock, and timers from 10 ms.
    #[must_use]
    pub fn new() -> Self {
        Self { state: Rc::new(RefCell::new(State::default())) }
    }

    /// A node with the grants and channels of an `app.toml`.
    ///
    /// # Errors
    /// What the node cannot read in it.
    pub fn of_app(text: &str) -> Result<Self, AppError> {
        let mut node = Self::new();
        app::apply(&mut node, text)?;
        Ok(node)
    }

    /// Grants what `app.toml` may ask for: `gpio:LED:out`, `gpio:BUTTON:in`, `gpio:BUTTON:edge`, `timer:1ms`. The node has lines that
    /// it grants, and those of [`Self::line`].
    ///
    /// # Panics
    /// It is none of these.
    pub fn grant(&mut self, grant: &str) -> &mut Self {
        self.state.borrow_mut().grant(grant).unwrap_or_else(|error| panic!("{error}"));
        self
    }

    /// A line of the board that nothing is granted of; `active_low` where it is on while it is low.
    pub fn line(&mut self, label: &str, active_low: bool) -> &mut Self {
        self.state.borrow_mut().line(label).active_low = active_low;
        self
    }

    /// A channel as `app.toml` declares it: its name, its way, its WIT type, and the depth of its queue; 0 keeps the latest value.
    ///
    /// # Panics
    /// The type is none that a channel carries.
    pub fn channel(&mut self, name: &str, direction: Direction, value_type: &str, depth: usize) -> &mut Self {
        let declared = self.state.borrow_mut().declare(name, direction, value_type, depth);
        declared.unwrap_or_else(|error| panic!("{name}: {error}"));
        self
    }

    /// Refuses every call on `resource` with this error from now on: `gpio:LED`, `timer:1`, `channel:out`.
    pub fn refuse(&mut self, resource: &str, error: Error) -> &mut Self {
        self.state.borrow_mut().refusals.insert(resource.to_owned(), error);
        self
    }

    /// Ends [`Self::refuse`].
    pub fn relent(&mut self, resource: &str) -> &mut Self {
        self.state.borrow_mut().refusals.remove(resource);
        self
    }

    /// [`Self::refuse`] at that time, counted from now.
    pub fn refuse_in(&mut self, after: Duration, resource: &str, error: Error) -> &mut Self {
        self.at(after, Action::Refuse(resource.to_owned(), error))
    }

    /// Drives an input from outside, at that time, counted from now.
    pub fn drive_in(&mut self, after: Duration, label: &str, high: bool) -> &mut Self {
        self.at(after, Action::Drive(label.to_owned(), high))
    }

    /// Another container puts a value into a channel that this one gets from, at that time, counted from now. What is none of the
    /// channel's type a cell would not let through, and neither does this.
    pub fn put_in<T: Value>(&mut self, after: Duration, channel: &str, value: &T) -> &mut Self {
        let action = self.state.borrow().put_action(channel, value);
        self.at(after, action)
    }

    fn at(&mut self, after: Duration, action: Action) -> &mut Self {
        self.state.borrow_mut().schedule(after, action);
        self
    }

    /// Runs a container for at most so long: `on_start`, loops, and `on_stop`.
    ///
    /// # Errors
    /// What `on_start` answered.
    ///
    /// # Panics
    /// The container does, or another one runs on this thread.
    pub fn run<T: Reactor>(&mut self, duration: Duration) -> Result<End, Error> {
        self.state.borrow_mut().begin(duration);
        let _current = Current::enter(&self.state);
        let outcome = match unless_stopped(T::on_start) {
            Some(container) => container.map(|container| self.turn(&container)),
            None => Ok(End::Stopped),
        };
        self.state.borrow_mut().release();
        outcome
    }

    fn turn<T: Reactor>(&self, container: &T) -> End {
        let end = loop {
            if self.state.borrow().is_over() {
                break End::Stopped;
            }
            let began = self.state.borrow().now;
            match unless_stopped(|| container.on_loop()) {
                Some(Next::Again) => self.state.borrow_mut().pass_since(began, LOOP_NS),
                Some(Next::Finish) => break End::Finished,
                None => break End::Stopped,
            }
        };
        // What it waits for now ends when it comes.
        self.state.borrow_mut().ends_at = None;
        container.on_stop();
        end
    }

    /// The time on the node's clock.
    #[must_use]
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.state.borrow().now)
    }

    /// The records so far.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        self.state.borrow().records.clone()
    }

    /// The texts of all records of level `info` and above, a line each.
    #[must_use]
    pub fn text(&self) -> String {
        let state = self.state.borrow();
        let shown = state.records.iter().filter(|record| record.level <= Level::Info);
        shown.map(|record| format!("{}\n", record.text)).collect()
    }

    /// The level of a line now.
    #[must_use]
    pub fn level(&self, label: &str) -> bool {
        self.state.borrow().lines.get(label).is_some_and(|line| line.high)
    }

    /// When a line changed, and to what: by the container's hand or by the test's.
    #[must_use]
    pub fn transitions(&self, label: &str) -> Vec<(Duration, bool)> {
        self.state.borrow().lines.get(label).map_or_else(Vec::new, |line| line.transitions.clone())
    }

    /// What was put into a channel so far, and when.
    ///
    /// # Panics
    /// There is no such channel, or its values are none of `T`.
    #[must_use]
    pub fn values<T: Value>(&self, channel: &str) -> Vec<(Duration, T)> {
        let state = self.state.borrow();
        let channel = state.channels.iter().find(|known| known.name == channel).expect("a channel of that name");
        let value = |bytes| T::of_bytes(bytes).expect("values of that type");
        channel.put.iter().map(|(at, bytes)| (*at, value(bytes))).collect()
    }

    /// What was put into a channel so far, as it lies in memory.
    ///
    /// # Panics
    /// There is no such channel.
    #[must_use]
    pub fn bytes(&self, channel: &str) -> Vec<Vec<u8>> {
        let state = self.state.borrow();
        let channel = state.channels.iter().find(|known| known.name == channel).expect("a channel of that name");
        channel.put.iter().map(|(_, bytes)| bytes.clone()).collect()
    }

    /// How many calls the node refused. That there is no value or no room now is no refusal.
    #[must_use]
    pub fn refused_calls(&self) -> u64 {
        self.state.borrow().refused
    }
}

/// The node of this thread, until it is dropped.
struct Current;

impl Current {
    fn enter(state: &Rc<RefCell<State>>) -> Self {
        CURRENT.with_borrow_mut(|current| {
            assert!(current.is_none(), "a thread runs one container at a time");
            *current = Some(Rc::clone(state));
        });
        Self
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        CURRENT.with_borrow_mut(Option::take);
    }
}

/// What a hook answers; none where it was abandoned in a wait.
fn unless_stopped<T>(hook: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(hook)) {
        Ok(answer) => Some(answer),
        Err(reason) if reason.is::<Stopped>() => None,
        Err(panic) => resume_unwind(panic),
    }
}

/// The bytes of a value in that type; none where it has no such value.
fn bytes_of(value_type: &runner_container::value_type::ValueType, item: Item<'_>) -> Option<Vec<u8>> {
    let scalar = value_type.scalar();
    let bytes = match item {
        Item::Bytes(bytes) => return (scalar.is_none() && value_type.holds(bytes)).then(|| bytes.to_vec()),
        Item::Unsigned(value) => scalar?.of_unsigned(value)?,
        Item::Signed(value) => scalar?.of_signed(value)?,
        Item::Float(value) => scalar?.of_float(value)?,
    };
    Some(bytes[..value_type.size_bytes()].to_vec())
}

#[cfg(test)]
mod tests;
