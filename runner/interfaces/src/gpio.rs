//! The `gpio` domain's protected procedures, and the status it shows.
//!
//! The server checks each call against the grants of the cell whose channel it came in on. A line belongs to the cell
//! that opened it until the cell closes it or the warden releases the cell; a released output is driven to its inactive
//! level, which is low unless the board says otherwise ([`crate::grants::CellGrants::active_low_lines`]).
//! After an edge on a watched line the server notifies the cell that watches it.

use shared_ring::{OutOfRange, SharedMemory, SharedValues, sequenced_bytes};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    MAX_CELLS, boot_report::STATUS_REGION_BYTES, driver::DRIVER_WATCH_OFFSET_BYTES, grants::MAX_LINES, kernel::Message,
    usage::usage_bytes, wire_enum,
};

wire_enum! {
    /// A procedure's number, the label of the call.
    Procedure {
        /// Words: line. Takes the line as an output. Answers an [`Opened`].
        OpenOutput = 1 => "open an output",
        /// Words: line. Takes the line as an input. Answers an [`Opened`].
        OpenInput = 2 => "open an input",
        /// Words: line, level (0 or 1). `Full` where the cell's rate for the line is used up.
        Set = 3 => "set",
        /// Words: line. Answers the new level. `Full` likewise.
        Toggle = 4 => "toggle",
        /// Words: line. Answers the level.
        Get = 5 => "get",
        /// Words: line, edges (see [`Edges`]).
        Watch = 6 => "watch edges",
        /// Words: line. Answers how many edges there were since the last call, as many as the cell's rate for the line allows;
        /// those beyond it fall together into one, which is told later. Word 1: in how many nanoseconds, 0 where there is none.
        TakeEdges = 7 => "take edges",
        /// Words: line.
        Close = 8 => "close",
        /// Words: cell. The warden only: closes all that the cell has open.
        Release = 9 => "release a cell",
        /// Words: line, pull (see [`Pull`]). Until the input is closed or opened again; `NotSupported` where the bank has none.
        Pull = 10 => "set the pull",
        /// Words: cell, cell. The warden only: the second may open what the first has open, on standby until
        /// [`Procedure::TakeOver`]. What it does to an output then counts when it has taken over; an input it can read.
        Succeed = 11 => "open on standby",
        /// Words: cell, cell. The warden only, after [`Procedure::Succeed`]: what both have open is the second's from here on, at
        /// once and without a level in between, and the first's on standby. With the words exchanged it gives it back.
        TakeOver = 12 => "take over",
        /// No words. The warden only: lines that are quiet because they interrupted too often ([`MOST_INTERRUPTS`]) may interrupt
        /// again. Whoever watches one is told of an edge, in place of all that nobody saw.
        Listen = 13 => "listen again",
    }
}

/// How many interrupts of its bank the domain takes in each [`INTERRUPT_WINDOW_NS`] of the clock. At the next one it makes the lines quiet
/// that interrupt again and again: they interrupt nobody until the warden's next look around ([`Procedure::Listen`]).
///
/// Whoever is at the other end of a line may change it as often as they like, and each interrupt is time of everybody's. 2 a millisecond
/// are edges 2000 times a second, and no class lets a container handle each of those by itself; edges that come while one is handled are
/// counted without an interrupt. Their time together is what the board's policy states of `gpio`.
pub const MOST_INTERRUPTS: u32 = 2;

/// See [`MOST_INTERRUPTS`]: as long as a tick.
pub const INTERRUPT_WINDOW_NS: u64 = 1_000_000;

wire_enum! {
    /// What an input is drawn to while nobody drives it.
    Pull {
        /// Nothing.
        Float = 1 => "float",
        /// High.
        Up = 2 => "up",
        /// Low.
        Down = 3 => "down",
    }
}

wire_enum! {
    /// Which edges are counted.
    Edges {
        /// Low to high.
        Rising = 1 => "rising",
        /// High to low.
        Falling = 2 => "falling",
        /// Either.
        Both = 3 => "both",
    }
}

wire_enum! {
    /// How a driver's procedure ended, the label of its answer. Numbers are those of `atoll:node/status` of the WIT world.
    Status {
        /// Done; word 0 holds the result where there is one.
        Ok = 0 => "done",
        /// The bank has no such line, the timer no such number, the bus no device of that address.
        NotFound = 1 => "there is no such line, timer or device",
        /// The cell was not granted this.
        NotGranted = 2 => "not granted",
        /// The request makes no sense.
        Invalid = 3 => "invalid request",
        /// Another cell has it open.
        Busy = 4 => "in use by another container",
        /// The owner did not answer as it should.
        Unavailable = 5 => "the owner of the resource did not answer",
        /// The cell was granted the line, but not for this.
        ModeNotGranted = 6 => "not granted for this use of the line",
        /// The device cannot do this.
        NotSupported = 7 => "the device cannot do this",
        /// The channel has no value that this end did not take.
        Empty = 8 => "there is no new value",
        /// There is no room now, and later there is some: the queue is full, or the rate is used up.
        Full = 9 => "the queue is full, or the rate is used up",
        /// Nothing is at the other end of the channel's name now.
        Unbound = 10 => "not bound to a channel",
    }
}

impl Status {
    /// The status of an answer; a label that names none is [`Status::Unavailable`].
    pub fn of(answer: &Message) -> Self {
        u32::try_from(answer.label).ok().and_then(Self::from_wire).unwrap_or(Self::Unavailable)
    }

    /// The answer that says this and nothing more.
    pub fn answer(self) -> Message {
        Message::new(u64::from(self.to_wire()))
    }
}

/// What a line is when it was opened, word 0 of the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// Its level.
    pub high: bool,
    /// The board says that it is active while it is low.
    pub active_low: bool,
}

impl Opened {
    /// The bits of the word: 0 the level, 1 whether it is active while low.
    pub const fn to_word(self) -> u64 {
        self.high as u64 | (self.active_low as u64) << 1
    }

    /// What a word says.
    pub const fn from_word(word: u64) -> Self {
        Self { high: word & 1 != 0, active_low: word & 2 != 0 }
    }
}

/// A call of one word.
pub fn call(procedure: Procedure, line: u8) -> Message {
    Message::with_word(u64::from(procedure.to_wire()), u64::from(line))
}

/// A call of two words.
pub fn call_with(procedure: Procedure, line: u8, argument: u64) -> Message {
    Message { label: u64::from(procedure.to_wire()), words: [u64::from(line), argument, 0, 0] }
}

/// Where the [`crate::usage::UsageTable`] of the lines begins in `gpio_status`.
pub const GPIO_USAGE_OFFSET_BYTES: usize = STATUS_REGION_BYTES;

/// The least size of `gpio_status`.
pub const GPIO_STATUS_REGION_BYTES: usize = GPIO_USAGE_OFFSET_BYTES + usage_bytes(MAX_LINES as usize);

/// Where the [`LineCounts`] of all lines begin in `gpio_status`.
pub const GPIO_LINES_OFFSET_BYTES: usize = 0x400;

const _: () = {
    assert!(sequenced_bytes::<GpioStatus>() <= GPIO_LINES_OFFSET_BYTES);
    assert!(GPIO_LINES_OFFSET_BYTES + MAX_LINES as usize * size_of::<LineCounts>() <= DRIVER_WATCH_OFFSET_BYTES);
};

/// What is counted of a line since boot. Not in the status: that one is written whole at each call, and this would be most of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LineCounts {
    /// How often its driven level changed.
    pub transitions: u64,
    /// How many edges were seen while it was watched.
    pub edges: u64,
}

/// The [`LineCounts`] of all lines, for their one writer as for their readers.
#[derive(Clone, Debug)]
pub struct LineCountsTable<M> {
    memory: M,
}

impl<M: SharedMemory> LineCountsTable<M> {
    /// That of a `gpio_status`.
    ///
    /// # Errors
    /// The region ends before it does.
    pub fn new(memory: M) -> Result<Self, OutOfRange> {
        if memory.size_bytes() >= STATUS_REGION_BYTES { Ok(Self { memory }) } else { Err(OutOfRange) }
    }

    /// Counts a change of the line's driven level.
    pub fn add_transition(&self, line: u8) {
        self.add(line, core::mem::offset_of!(LineCounts, transitions), 1);
    }

    /// Counts edges.
    pub fn add_edges(&self, line: u8, edges: u64) {
        self.add(line, core::mem::offset_of!(LineCounts, edges), edges);
    }

    /// What was counted; nothing for what is no line.
    pub fn read(&self, line: u8) -> LineCounts {
        place_of_line(line).and_then(|place| self.memory.read_value(place).ok()).unwrap_or_default()
    }

    /// Out of line: in line it takes registers of whoever serves a call, and looking at rights took twice as long.
    #[inline(never)]
    fn add(&self, line: u8, offset: usize, more: u64) {
        let Some(place) = place_of_line(line).map(|place| place + offset) else { return };
        let before: u64 = self.memory.read_value(place).unwrap_or_default();
        // The range was checked when this was made.
        let _ = self.memory.write_value(place, &before.wrapping_add(more));
    }
}

fn place_of_line(line: u8) -> Option<usize> {
    (line < MAX_LINES).then(|| GPIO_LINES_OFFSET_BYTES + usize::from(line) * size_of::<LineCounts>())
}

/// What the domain shows of itself in `gpio_status`, in a [`shared_ring::SequencedCell`] at offset 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct GpioStatus {
    /// Levels, a bit a line.
    pub levels: u64,
    /// Lines that a cell has open as outputs, a bit a line.
    pub outputs: u64,
    /// Lines that a cell has open as inputs, a bit a line.
    pub inputs: u64,
    /// Calls served.
    pub calls: u64,
    /// Calls refused because the cell was not granted the line.
    pub refused: u64,
    /// Of these, how many of each cell.
    pub refused_by_cell: [u64; MAX_CELLS],
    /// Calls that made no sense.
    pub invalid: u64,
    /// Changes of level that were refused because the cell's rate was used up.
    pub limited: u64,
    /// Edges that fell together with another because the cell's rate was used up.
    pub coalesced: u64,
    /// How often a line was made quiet since it interrupted too often.
    pub storms: u64,
    /// Lines that are quiet now, a bit a line.
    pub quiet: u64,
    /// The longest that it took over an interrupt of the bank, from its first instruction for it to its last look at the clock, in
    /// nanoseconds: what the board's policy states of it, but for the kernel's ways in and out.
    pub longest_ns: u64,
}
