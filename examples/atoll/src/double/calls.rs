//! The node's functions in the shape of the bindings that `wit-bindgen` makes, answered by the node of this thread.

use super::{CURRENT, Stopped, state::State};

/// Of `atoll.wit`, as all that follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Ok,
    NotFound,
    NotGranted,
    Invalid,
    Busy,
    Unavailable,
    ModeNotGranted,
    NotSupported,
    Empty,
    Full,
    Unbound,
}

/// Does something with the node whose container this is.
fn with<T>(call: impl FnOnce(&mut State) -> T) -> T {
    let state = CURRENT.with_borrow(Option::clone);
    let state = state.expect("only a container that a double's node runs calls the node");
    let mut state = state.borrow_mut();
    call(&mut state)
}

/// The same for what is given back: nothing where the node is gone already.
fn with_if_there(call: impl FnOnce(&mut State)) {
    if let Some(state) = CURRENT.with_borrow(Option::clone) {
        call(&mut state.borrow_mut());
    }
}

/// Ends the hook that waits, as a cell does by never coming back to it.
fn abandon() -> ! {
    std::panic::resume_unwind(Box::new(Stopped))
}

pub(crate) mod log {
    use super::with;
    use crate::{Level as Shared, double::Record};

    #[derive(Clone, Copy, Debug)]
    pub(crate) enum Level {
        Error,
        Warn,
        Info,
        Debug,
        Trace,
    }

    /// The longest record, and what ends one that was cut (`runner-executor`, `worlds/reactor/log`).
    const LOG_BYTES: usize = 1024;
    const CUT_MARK: &str = "…";

    pub(crate) fn log(level: Level, text: &str) {
        let level = match level {
            Level::Error => Shared::Error,
            Level::Warn => Shared::Warn,
            Level::Info => Shared::Info,
            Level::Debug => Shared::Debug,
            Level::Trace => Shared::Trace,
        };
        let text = if text.len() <= LOG_BYTES {
            text.to_owned()
        } else {
            format!("{}{CUT_MARK}", &text[..text.floor_char_boundary(LOG_BYTES - CUT_MARK.len())])
        };
        with(|state| {
            let at = state.time();
            state.records.push(Record { at, level, text });
        });
    }
}

pub(crate) mod clock {
    pub(crate) fn now() -> u64 {
        super::with(|state| state.now)
    }
}

pub(crate) mod sleep {
    use super::{Status, abandon, with};

    pub(crate) fn sleep_for(nanoseconds: u64) -> Status {
        sleep_until(with(|state| state.now).saturating_add(nanoseconds))
    }

    pub(crate) fn sleep_until(instant: u64) -> Status {
        if with(|state| state.now >= instant || state.sleep_until(instant)) { Status::Ok } else { abandon() }
    }
}

pub(crate) mod timer {
    use super::{Status, abandon, with, with_if_there};

    pub(crate) fn arm(number: u32, first: u64, period: u64) -> Status {
        with(|state| {
            let status = state.refusal(&format!("timer:{number}")).unwrap_or_else(|| state.arm(number, first, period));
            state.counted(status)
        })
    }

    /// Also when a timer is dropped after its node.
    pub(crate) fn disarm(number: u32) -> Status {
        let mut answer = Status::Unavailable;
        with_if_there(|state| {
            let status = state.refusal(&format!("timer:{number}")).unwrap_or_else(|| state.disarm(number));
            answer = state.counted(status);
        });
        answer
    }

    pub(crate) fn wait(mask: u32) -> u32 {
        with(|state| state.wait_for(mask)).unwrap_or_else(|| abandon())
    }
}

pub(crate) mod gpio {
    use super::{Status, with, with_if_there};
    use crate::double::state::{Line, Open, State as Node};

    #[derive(Clone, Copy, Debug)]
    pub(crate) enum Edges {
        Rising,
        Falling,
        Both,
    }

    #[derive(Clone, Copy, Debug)]
    pub(crate) enum State {
        Active,
        Inactive,
    }

    #[derive(Clone, Copy, Debug)]
    pub(crate) enum ActiveLevel {
        ActiveHigh,
        ActiveLow,
    }

    #[derive(Clone, Copy, Debug)]
    pub(crate) enum Pull {
        Float,
        Up,
        Down,
    }

    /// The longest label that can name a line (`runner-executor`, `worlds/lines`).
    const LABEL_BYTES: usize = 64;

    /// An open line, by its label.
    #[derive(Debug)]
    struct Opened(String);

    #[derive(Debug)]
    pub(crate) struct Output(Opened);

    #[derive(Debug)]
    pub(crate) struct Input(Opened);

    pub(crate) fn open_output(label: &str) -> Result<Output, Status> {
        open(label, true).map(Output)
    }

    pub(crate) fn open_input(label: &str) -> Result<Input, Status> {
        open(label, false).map(Input)
    }

    fn open(label: &str, is_output: bool) -> Result<Opened, Status> {
        with(|node| {
            let outcome = try_open(node, label, is_output);
            outcome.map_err(|status| node.counted(status))
        })
    }

    fn try_open(node: &mut Node, label: &str, is_output: bool) -> Result<Opened, Status> {
        let refusal = node.refusal(&format!("gpio:{label}"));
        let now = node.time();
        let line = node.lines.get_mut(label).filter(|_| label.len() <= LABEL_BYTES).ok_or(Status::NotFound)?;
        if line.open.is_some() {
            return Err(Status::Busy);
        }
        let (wanted, other) = if is_output { (line.may_drive, line.may_read) } else { (line.may_read, line.may_drive) };
        match refusal {
            Some(status) => return Err(status),
            None if wanted => {}
            None if other => return Err(Status::ModeNotGranted),
            None => return Err(Status::NotGranted),
        }
        if is_output {
            line.drive(now, line.active_low);
        }
        line.open = Some(Open { is_output, active_low: line.active_low, watched: None, edges: 0 });
        Ok(Opened(label.to_owned()))
    }

    impl Opened {
        /// Asks the owner of the line, unless the test wants that refused.
        fn ask<T>(&self, call: impl FnOnce(&mut Line, core::time::Duration) -> Result<T, Status>) -> Result<T, Status> {
            with(|node| {
                let refusal = node.refusal(&format!("gpio:{}", self.0));
                let now = node.time();
                let outcome = match refusal {
                    Some(status) => Err(status),
                    None => call(node.line(&self.0), now),
                };
                outcome.map_err(|status| node.counted(status))
            })
        }

        fn command(&self, call: impl FnOnce(&mut Line, core::time::Duration) -> Result<(), Status>) -> Status {
            self.ask(call).map_or_else(|status| status, |()| Status::Ok)
        }

        /// What the cell keeps of the line.
        fn kept<T>(&self, look: impl FnOnce(&mut Open) -> T) -> T {
            with(|node| look(node.line(&self.0).open.as_mut().expect("an open line is open until it is dropped")))
        }

        fn get(&self) -> bool {
            self.ask(|line, _| Ok(line.high)).unwrap_or(false)
        }

        fn state(&self) -> State {
            let active_low = self.kept(|open| open.active_low);
            match self.ask(|line, _| Ok(line.high != active_low)) {
                Ok(true) => State::Active,
                Ok(false) | Err(_) => State::Inactive,
            }
        }

        fn active_level(&self) -> ActiveLevel {
            if self.kept(|open| open.active_low) { ActiveLevel::ActiveLow } else { ActiveLevel::ActiveHigh }
        }

        fn set_active_level(&self, level: ActiveLevel) {
            self.kept(|open| open.active_low = matches!(level, ActiveLevel::ActiveLow));
        }
    }

    impl Drop for Opened {
        fn drop(&mut self) {
            with_if_there(|node| {
                let now = node.time();
                node.line(&self.0).close(now);
            });
        }
    }

    impl Output {
        pub(crate) fn set(&self, high: bool) -> Status {
            self.0.command(|line, now| {
                line.drive(now, high);
                Ok(())
            })
        }

        pub(crate) fn toggle(&self) -> Status {
            self.0.command(|line, now| {
                line.drive(now, !line.high);
                Ok(())
            })
        }

        pub(crate) fn get(&self) -> bool {
            self.0.get()
        }

        pub(crate) fn set_state(&self, state: State) -> Status {
            let active_low = self.0.kept(|open| open.active_low);
            self.set(matches!(state, State::Active) != active_low)
        }

        pub(crate) fn state(&self) -> State {
            self.0.state()
        }

        pub(crate) fn active_level(&self) -> ActiveLevel {
            self.0.active_level()
        }

        pub(crate) fn set_active_level(&self, level: ActiveLevel) {
            self.0.set_active_level(level);
        }
    }

    impl Input {
        pub(crate) fn get(&self) -> bool {
            self.0.get()
        }

        pub(crate) fn state(&self) -> State {
            self.0.state()
        }

        pub(crate) fn active_level(&self) -> ActiveLevel {
            self.0.active_level()
        }

        pub(crate) fn set_active_level(&self, level: ActiveLevel) {
            self.0.set_active_level(level);
        }

        /// Nothing drives a line but the test, which says so.
        pub(crate) fn set_pull(&self, _: Pull) -> Status {
            self.0.command(|_, _| Ok(()))
        }

        pub(crate) fn watch(&self, edges: Edges) -> Status {
            let edges = match edges {
                Edges::Rising => crate::Edges::Rising,
                Edges::Falling => crate::Edges::Falling,
                Edges::Both => crate::Edges::Both,
            };
            self.0.command(|line, _| {
                let open = line.open.as_mut().filter(|_| line.may_watch).ok_or(Status::ModeNotGranted)?;
                (open.watched, open.edges) = (Some(edges), 0);
                Ok(())
            })
        }

        pub(crate) fn take_edges(&self) -> u32 {
            let take = |line: &mut Line, _| {
                let open = line.open.as_mut().filter(|open| open.watched.is_some()).ok_or(Status::Invalid)?;
                Ok(core::mem::take(&mut open.edges))
            };
            self.0.ask(take).unwrap_or(0)
        }
    }
}

pub(crate) mod channel {
    use super::{Status, with, with_if_there};
    use crate::{
        Item,
        double::{Direction, bytes_of, state::Channel},
    };

    /// Bytes of a word, and words of a block.
    const WORD_BYTES: usize = 8;
    const BLOCK_WORDS: u32 = 8;

    /// An open end, by the place of its channel.
    #[derive(Debug)]
    struct End(usize);

    #[derive(Debug)]
    pub(crate) struct Writer(End);

    #[derive(Debug)]
    pub(crate) struct Reader(End);

    pub(crate) fn open_writer(name: &str) -> Result<Writer, Status> {
        open(name, Direction::Put).map(Writer)
    }

    pub(crate) fn open_reader(name: &str) -> Result<Reader, Status> {
        open(name, Direction::Get).map(Reader)
    }

    fn open(name: &str, direction: Direction) -> Result<End, Status> {
        with(|node| {
            let place = node.channels.iter().position(|channel| channel.name == name);
            let outcome = place.ok_or(Status::NotFound).and_then(|place| {
                let channel = &mut node.channels[place];
                if channel.direction != direction {
                    return Err(Status::Invalid);
                }
                if core::mem::replace(&mut channel.is_open, true) { Err(Status::Busy) } else { Ok(End(place)) }
            });
            outcome.map_err(|status| node.counted(status))
        })
    }

    impl End {
        /// Asks the exchange, unless the test wants that refused.
        fn ask(&self, call: impl FnOnce(&mut Channel, core::time::Duration) -> Status) -> Status {
            with(|node| {
                let now = node.time();
                let refusal = node.refusal(&format!("channel:{}", node.channels[self.0].name));
                let status = refusal.unwrap_or_else(|| call(&mut node.channels[self.0], now));
                node.counted(status)
            })
        }
    }

    impl Drop for End {
        fn drop(&mut self) {
            with_if_there(|node| {
                let channel = &mut node.channels[self.0];
                (channel.is_open, channel.given) = (false, (Vec::new(), 0));
            });
        }
    }

    impl Writer {
        /// Whoever reads takes at once: a queue is full only where the test says so.
        fn put(&self, item: Item<'_>) -> Status {
            let bytes = with(|node| bytes_of(&node.channels[self.0.0].value_type, item));
            let Some(bytes) = bytes else {
                return with(|node| node.counted(Status::Invalid));
            };
            self.0.ask(|channel, now| {
                channel.put.push((now, bytes));
                Status::Ok
            })
        }

        pub(crate) fn put_u64(&self, value: u64) -> Status {
            self.put(Item::Unsigned(value))
        }

        pub(crate) fn put_s64(&self, value: i64) -> Status {
            self.put(Item::Signed(value))
        }

        pub(crate) fn put_f64(&self, value: f64) -> Status {
            self.put(Item::Float(value))
        }

        pub(crate) fn put_bytes(&self, value: &[u8]) -> Status {
            self.put(Item::Bytes(value))
        }
    }

    impl Reader {
        pub(crate) fn next(&self) -> Status {
            self.0.ask(|channel, _| channel.receive(true))
        }

        pub(crate) fn peek(&self) -> Status {
            self.0.ask(|channel, _| channel.receive(false))
        }

        pub(crate) fn value_length(&self) -> u32 {
            with(|node| u32::try_from(node.channels[self.0.0].given.0.len()).expect("a value is short"))
        }

        pub(crate) fn value_word(&self, index: u32) -> u64 {
            with(|node| {
                let begin = usize::try_from(index).unwrap_or(usize::MAX).saturating_mul(WORD_BYTES);
                let bytes = node.channels[self.0.0].given.0.iter().skip(begin).take(WORD_BYTES);
                bytes.rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
            })
        }

        pub(crate) fn value_block(&self, index: u32) -> (u64, u64, u64, u64, u64, u64, u64, u64) {
            let word = |offset| self.value_word(index.saturating_mul(BLOCK_WORDS).saturating_add(offset));
            (word(0), word(1), word(2), word(3), word(4), word(5), word(6), word(7))
        }

        pub(crate) fn missed(&self) -> u64 {
            with(|node| node.channels[self.0.0].given.1)
        }
    }
}
