//! The board's lines, by the labels that the board gives them.

use crate::{
    Error,
    calls::gpio::{self, State},
    error,
};

/// Of the level: from low to high, or from high to low.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edges {
    /// From low to high.
    Rising,
    /// From high to low.
    Falling,
    /// Either.
    Both,
}

/// The level at which what hangs on a line is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActiveLevel {
    /// High.
    High,
    /// Low.
    Low,
}

/// What an input is drawn to while nobody drives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pull {
    /// Nothing.
    Float,
    /// High.
    Up,
    /// Low.
    Down,
}

impl From<gpio::ActiveLevel> for ActiveLevel {
    fn from(level: gpio::ActiveLevel) -> Self {
        match level {
            gpio::ActiveLevel::ActiveHigh => Self::High,
            gpio::ActiveLevel::ActiveLow => Self::Low,
        }
    }
}

impl From<ActiveLevel> for gpio::ActiveLevel {
    fn from(level: ActiveLevel) -> Self {
        match level {
            ActiveLevel::High => Self::ActiveHigh,
            ActiveLevel::Low => Self::ActiveLow,
        }
    }
}

/// A line that the container drives. Opened, it is inactive; dropped, or when the container ends, it is made inactive.
#[derive(Debug)]
pub struct Output(gpio::Output);

impl Output {
    /// Opens a line by its label. `app.toml` asks for it with `gpio:LABEL:out`.
    ///
    /// # Errors
    /// As the domain that owns the line says: [`Error::NotFound`], [`Error::NotGranted`], [`Error::ModeNotGranted`],
    /// [`Error::Busy`].
    pub fn open(label: &str) -> Result<Self, Error> {
        gpio::open_output(label).map(Self).map_err(error::of)
    }

    /// Drives a level.
    ///
    /// # Errors
    /// The line is no longer the container's.
    pub fn set(&self, high: bool) -> Result<(), Error> {
        self.0.set(high).into()
    }

    /// Drives the other level.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub fn toggle(&self) -> Result<(), Error> {
        self.0.toggle().into()
    }

    /// The level that was last driven.
    pub fn is_high(&self) -> bool {
        self.0.get()
    }

    /// Switches what hangs on the line on or off, whatever level that takes.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub fn set_active(&self, active: bool) -> Result<(), Error> {
        self.0.set_state(if active { State::Active } else { State::Inactive }).into()
    }

    /// Whether it was last switched on.
    pub fn is_active(&self) -> bool {
        matches!(self.0.state(), State::Active)
    }

    /// The level at which it is on; the board's until [`Self::set_active_level`].
    pub fn active_level(&self) -> ActiveLevel {
        self.0.active_level().into()
    }

    /// Takes another level for the active one until the line is dropped, and changes nothing that is driven.
    pub fn set_active_level(&self, level: ActiveLevel) {
        self.0.set_active_level(level.into());
    }
}

/// A line that the container reads.
#[derive(Debug)]
pub struct Input(gpio::Input);

impl Input {
    /// Opens a line by its label. `app.toml` asks for it with `gpio:LABEL:in`, or `gpio:LABEL:edge` to watch it too.
    ///
    /// # Errors
    /// As [`Output::open`].
    pub fn open(label: &str) -> Result<Self, Error> {
        gpio::open_input(label).map(Self).map_err(error::of)
    }

    /// The level.
    pub fn is_high(&self) -> bool {
        self.0.get()
    }

    /// Whether what hangs on the line is on.
    pub fn is_active(&self) -> bool {
        matches!(self.0.state(), State::Active)
    }

    /// The level at which it is on; the board's until [`Self::set_active_level`].
    pub fn active_level(&self) -> ActiveLevel {
        self.0.active_level().into()
    }

    /// Takes another level for the active one until the line is dropped.
    pub fn set_active_level(&self, level: ActiveLevel) {
        self.0.set_active_level(level.into());
    }

    /// Draws the line to a level until it is closed.
    ///
    /// # Errors
    /// [`Error::NotSupported`] on a board that cannot.
    pub fn set_pull(&self, pull: Pull) -> Result<(), Error> {
        let pull = match pull {
            Pull::Float => gpio::Pull::Float,
            Pull::Up => gpio::Pull::Up,
            Pull::Down => gpio::Pull::Down,
        };
        self.0.set_pull(pull).into()
    }

    /// Begins to count edges; each also wakes a wait for [`Events::EDGE`](crate::Events::EDGE).
    ///
    /// # Errors
    /// [`Error::ModeNotGranted`] where only reading was granted.
    pub fn watch(&self, edges: Edges) -> Result<(), Error> {
        let edges = match edges {
            Edges::Rising => gpio::Edges::Rising,
            Edges::Falling => gpio::Edges::Falling,
            Edges::Both => gpio::Edges::Both,
        };
        self.0.watch(edges).into()
    }

    /// Edges since the last call. Counted by the domain that owns the line, so none is lost between two calls.
    pub fn take_edges(&self) -> u32 {
        self.0.take_edges()
    }
}
