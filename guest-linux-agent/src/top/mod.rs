//! `emit top`: the node as it is, again and again, on a terminal; or once, for a script.
//!
//! A thread asks the node, so that keys are answered also while the node is not. The terminal is given back as it was,
//! however this ends; a serial console that tells no size is taken for one of 80 by 24.

mod screen;
mod snapshot;

use std::{
    io::{self, IsTerminal, Stdout},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

use ratatui::{
    Terminal, TerminalOptions, Viewport,
    backend::CrosstermBackend,
    crossterm::{
        cursor::{Hide, MoveTo, Show},
        event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
        execute,
        terminal::{self as raw, Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen},
    },
    layout::Rect,
};
use signal_hook::{
    consts::{SIGHUP, SIGTERM},
    flag,
    low_level::emulate_default_handler,
};

use self::{
    screen::{COLUMNS, Controls},
    snapshot::{Sample, Snapshot},
};
use crate::{
    arguments::Top,
    command::Context,
    exit::Failure,
    session::{Error, Result, Session},
    terminal,
};

/// A terminal that tells no size, as on a serial line: that of the terminals which such lines were made for.
const SERIAL_SIZE: (u16, u16) = (80, 24);

/// The width for a script: every column has room.
const PLAIN_WIDTH: u16 = 132;

/// How long a key may wait while nothing else happens.
const KEY_LOOK: Duration = Duration::from_millis(50);

/// Asking more often would show the node's answering of questions.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

/// `emit top`.
pub(crate) fn top(context: &Context, arguments: &Top) -> Result<u8> {
    let interval = arguments.interval.max(SHORTEST_INTERVAL);
    if arguments.once || context.json() {
        return once(context, interval);
    }
    if !io::stdout().is_terminal() {
        let error = Error::new(Failure::Usage, "standard output is no terminal");
        return Err(Error { hint: "`emit top --once` shows one frame as plain text", ..error });
    }
    // What is wrong with the node is said before the terminal is changed.
    let mut session = context.session()?;
    let first = Sample::take(&mut session)?;
    let (sender, receiver) = channel();
    let looks = Looks { node: context.node().map(Into::into), timeout: context.timeout(), interval };
    thread::spawn(move || looks.take(session, &sender));
    let signalled = Arc::new(AtomicUsize::new(0));
    for signal in [SIGTERM, SIGHUP] {
        let number = usize::try_from(signal).unwrap_or(0);
        flag::register_usize(signal, Arc::clone(&signalled), number).map_err(|error| of_terminal(&error))?;
    }
    let result = Screen::open().and_then(|mut screen| screen.show(first, &receiver, &signalled));
    let signal = i32::try_from(signalled.load(Ordering::Relaxed)).unwrap_or(0);
    if signal != 0 {
        let _ = emulate_default_handler(signal);
    }
    result.map_err(|error| of_terminal(&error)).map(|()| 0)
}

fn of_terminal(error: &io::Error) -> Error {
    Error::new(Failure::Internal, format!("cannot use the terminal: {error}"))
}

/// Two looks, so that there are rates.
fn once(context: &Context, interval: Duration) -> Result<u8> {
    let mut session = context.session()?;
    let before = Sample::take(&mut session)?;
    thread::sleep(interval);
    let snapshot = Snapshot::new(Some(&before), &Sample::take(&mut session)?);
    let text = if context.json() {
        format!("{:#}\n", snapshot.json())
    } else {
        let width = if io::stdout().is_terminal() { size().0 } else { PLAIN_WIDTH };
        screen::plain(&snapshot, width)
    };
    terminal::output(text.as_bytes())?;
    Ok(0)
}

/// The terminal's columns and rows.
fn size() -> (u16, u16) {
    // That of what is drawn on. Linux answers a serial line's size with 0 unless somebody has set it.
    match rustix::termios::tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col, size.ws_row),
        _ => SERIAL_SIZE,
    }
}

/// Who asks the node.
struct Looks {
    node: Option<PathBuf>,
    timeout: Duration,
    interval: Duration,
}

impl Looks {
    /// Looks until nobody wants it any more. A node that is gone is looked for again: a guest may be rebooted, a node
    /// started anew.
    fn take(&self, session: Session, to: &Sender<Result<Sample>>) {
        let mut session = Some(session);
        loop {
            thread::sleep(self.interval);
            let sample = match &mut session {
                Some(open) => Sample::take(open),
                None => Session::open(self.node.as_deref(), self.timeout)
                    .and_then(|open| Sample::take(session.insert(open))),
            };
            if sample.is_err() {
                session = None;
            }
            if to.send(sample).is_err() {
                return;
            }
        }
    }
}

/// The terminal while it is ours.
struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    fn open() -> io::Result<Self> {
        raw::enable_raw_mode()?;
        // From here on it is given back whatever happens.
        let given_back = GivenBack;
        execute!(io::stdout(), EnterAlternateScreen, Hide)?;
        let terminal = fresh()?;
        std::mem::forget(given_back);
        Ok(Self { terminal })
    }

    /// Shows looks as they come, and does what is typed, until that is to quit or a signal comes.
    fn show(&mut self, first: Sample, looks: &Receiver<Result<Sample>>, signalled: &AtomicUsize) -> io::Result<()> {
        let mut controls = Controls::default();
        let mut snapshot = Snapshot::new(None, &first);
        let mut latest = first;
        let mut newest = None;
        self.draw(&snapshot, &controls)?;
        while signalled.load(Ordering::Relaxed) == 0 {
            let mut changed = false;
            if event::poll(KEY_LOOK)? {
                match event::read()? {
                    Event::Key(key) if key.kind != KeyEventKind::Release => match command(key) {
                        Some(Key::Quit) => break,
                        Some(key) => obey(key, &mut controls, &snapshot),
                        None => {}
                    },
                    Event::Resize(..) => self.terminal = fresh()?,
                    _ => {}
                }
                changed = true;
            }
            for look in looks.try_iter() {
                match look {
                    Ok(sample) => {
                        newest = Some(Snapshot::new(Some(&latest), &sample));
                        latest = sample;
                        controls.message = None;
                    }
                    Err(error) => controls.message = Some(format!("{}; looking for it again, q quits", error.message)),
                }
                changed = true;
            }
            if !controls.paused
                && let Some(newest) = newest.take()
            {
                snapshot = newest;
            }
            if changed {
                self.draw(&snapshot, &controls)?;
            }
        }
        Ok(())
    }

    fn draw(&mut self, snapshot: &Snapshot, controls: &Controls) -> io::Result<()> {
        self.terminal.draw(|frame| screen::draw(snapshot, controls, frame.area(), frame.buffer_mut())).map(drop)
    }
}

/// An empty screen of the terminal's size.
fn fresh() -> io::Result<Terminal<CrosstermBackend<Stdout>>> {
    let (columns, rows) = size();
    // Cleared by hand: `Terminal::clear` asks where the cursor is, and a serial line may have nobody who answers.
    execute!(io::stdout(), Clear(ClearType::All))?;
    let viewport = Viewport::Fixed(Rect::new(0, 0, columns, rows));
    Terminal::with_options(CrosstermBackend::new(io::stdout()), TerminalOptions { viewport })
}

impl Drop for Screen {
    fn drop(&mut self) {
        drop(GivenBack);
    }
}

/// Gives the terminal back as it was. One without a second screen keeps the last frame; the prompt comes below it.
struct GivenBack;

impl Drop for GivenBack {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = execute!(io::stdout(), MoveTo(0, size().1.saturating_sub(1)), LeaveAlternateScreen, Show);
        let _ = raw::disable_raw_mode();
    }
}

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Quit,
    Pause,
    Reverse,
    SortRight,
    SortLeft,
    Up,
    Down,
}

fn command(key: KeyEvent) -> Option<Key> {
    Some(match key.code {
        KeyCode::Char('c' | 'd') if key.modifiers.contains(KeyModifiers::CONTROL) => Key::Quit,
        KeyCode::Char('q') | KeyCode::Esc => Key::Quit,
        KeyCode::Char('p' | ' ') => Key::Pause,
        KeyCode::Char('r') => Key::Reverse,
        KeyCode::Right | KeyCode::Char('>' | 'l') => Key::SortRight,
        KeyCode::Left | KeyCode::Char('<' | 'h') => Key::SortLeft,
        KeyCode::Up | KeyCode::Char('k') => Key::Up,
        KeyCode::Down | KeyCode::Char('j') => Key::Down,
        _ => return None,
    })
}

fn obey(key: Key, controls: &mut Controls, snapshot: &Snapshot) {
    match key {
        Key::Quit => {}
        Key::Pause => controls.paused = !controls.paused,
        Key::Reverse => controls.reversed = !controls.reversed,
        Key::SortRight => controls.sort_by(1),
        Key::SortLeft => controls.sort_by(COLUMNS.len() - 1),
        Key::Up => controls.select(snapshot, -1),
        Key::Down => controls.select(snapshot, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_that_the_help_names() {
        let plain = |code| command(KeyEvent::new(code, KeyModifiers::NONE));
        for (code, key) in [
            (KeyCode::Char('q'), Key::Quit),
            (KeyCode::Char('p'), Key::Pause),
            (KeyCode::Char('r'), Key::Reverse),
            (KeyCode::Left, Key::SortLeft),
            (KeyCode::Right, Key::SortRight),
            (KeyCode::Up, Key::Up),
            (KeyCode::Down, Key::Down),
        ] {
            assert_eq!(plain(code), Some(key));
        }
        assert_eq!(command(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)), Some(Key::Quit));
        assert_eq!(plain(KeyCode::Char('c')), None);
    }
}
