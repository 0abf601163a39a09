//! The warden's protected procedures, called by `admission`, and the status it shows.
//!
//! The warden parses nothing: words only, checked against the fixed-size board limits. What is asked
//! for lies in the `admission_to_warden` region, one [`crate::plan::LoadRequest`] a cell at [`crate::grants::grant_offset_bytes`]
//! (plain, not sequenced: the caller waits in its call while the warden copies); what a cell gets is its intersection with
//! the board's ceiling.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{MAX_CELLS, kernel::Message, wire_enum};

wire_enum! {
    /// A procedure's number, the label of the call.
    Procedure {
        /// Words: cell, configuration bytes, module bytes, run (0 or 1). Answers the generation.
        Load = 1 => "load",
        /// Words: cell. Runs what was loaded.
        Run = 2 => "run",
        /// Words: cell. Asks the container to stop; past the board's hook limit the cell is killed.
        Stop = 3 => "stop",
        /// Words: cell. Stops the domain at once and starts it clean.
        Kill = 4 => "kill",
        /// Words: cell. Empties the cell: grants gone, lines and timers released, domain started clean.
        Release = 5 => "release",
        /// Words: the cell of a container that loops, the cell of its next version (loaded, not told to run), and how many
        /// microseconds that one has to prove itself. The warden does the rest; see [`Succession`].
        Succeed = 6 => "succeed",
    }
}

wire_enum! {
    /// How a procedure ended, the label of its answer.
    WardenStatus {
        /// Done.
        Ok = 0 => "done",
        /// There is no such cell.
        NoSuchCell = 1 => "no such cell",
        /// The cell holds a container that has not ended, or none where one is needed.
        WrongState = 2 => "the cell is not in a state for that",
        /// A size is over the board's limit.
        TooLarge = 3 => "over the board's limit",
        /// The request makes no sense.
        Invalid = 4 => "invalid request",
    }
}

impl WardenStatus {
    /// The status of an answer; a label that names none is [`WardenStatus::Invalid`].
    pub fn of(answer: &Message) -> Self {
        u32::try_from(answer.label).ok().and_then(Self::from_wire).unwrap_or(Self::Invalid)
    }
}

/// A call of one word.
pub fn call(procedure: Procedure, cell: usize) -> Message {
    Message::with_word(u64::from(procedure.to_wire()), cell as u64)
}

wire_enum! {
    /// What the warden did to a cell that its container did not do itself.
    Intervention {
        /// Nothing.
        None = 0 => "none",
        /// Killed because `admission` asked.
        Killed = 1 => "killed",
        /// Killed because it did not stop in time.
        StopLimit = 2 => "did not stop in time",
        /// Restarted because the domain faulted.
        Fault = 3 => "faulted",
        /// Restarted because the domain did not come round in time.
        Watchdog = 4 => "did not respond",
        /// Killed because it did not load in time.
        LoadLimit = 5 => "did not load in time",
        /// Killed because it was still in its first loop when its probation was over, and waited for nothing.
        NotProven = 6 => "did not come round in its probation",
        /// Killed because the version that it was to replace could not be held, or ended.
        NoHandover = 7 => "the version before it did not come to a point where it could be replaced",
        /// Restarted because it used up its class and its schedule has it fail by that.
        Overrun = 8 => "used more of the processor than its schedule says",
        /// Restarted because it used up its class, which is larger than what its cell had to hold it to.
        Unheld = 9 => "used far more of the processor than its schedule says, and its cell did not stop it",
        /// Restarted because it made more calls of a driver than it may; see [`WardenCell::flooded`].
        Flooded = 10 => "made too many calls",
    }
}

wire_enum! {
    /// How far the warden has seen a load come. Its end shows in the grants, which are gone then.
    Reached {
        /// It was told to the cell.
        Nothing = 0 => "nothing",
        /// It was installed, and not told to run.
        Installed = 1 => "installed",
        /// Its container ran.
        Running = 2 => "running",
    }
}

wire_enum! {
    /// How far the container in a cell has come on its way to take another's place.
    Succession {
        /// It is on none.
        None = 0 => "none",
        /// It is loaded and started beside the other, and held before its first loop.
        Preparing = 1 => "preparing",
        /// It has taken over lines and channels and loops; the other is held.
        Probation = 2 => "on probation",
        /// It has proved itself; the other was told to stop.
        Done = 3 => "done",
        /// It did not; the other goes on with all it had.
        RolledBack = 4 => "rolled back",
    }
}

/// [`WardenCell::present`] of a cell that can be used.
pub const CELL_PRESENT: u32 = 1;

/// [`WardenCell::present`] of a cell that is left stopped, because its domain faulted again and again with nothing loaded.
pub const CELL_OUT_OF_SERVICE: u32 = 2;

/// One cell, as the warden sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct WardenCell {
    /// [`CELL_PRESENT`] or [`CELL_OUT_OF_SERVICE`]; 0 where `system.xml` has no such cell.
    pub present: u32,
    /// The last load's generation.
    pub generation: u32,
    /// An [`Intervention`], since the last load.
    pub intervention: u32,
    /// How often the domain was started anew.
    pub restarts: u32,
    /// How often the container was started again by its restart policy, since `admission` last loaded it.
    pub new_starts: u32,
    /// 1 where its restart policy gave it up, after as many new starts in a row as it may have.
    pub given_up: u32,
    /// A [`Succession`], since the last load.
    pub succession: u32,
    /// How far the container of this load was seen to come, a [`Reached`].
    pub reached: u32,
    /// The class that the cell is under, counted from 1; 0 where it is under its own share.
    pub class: u32,
    /// The cell's priority while it is under a class, 0 while not.
    pub priority: u32,
    /// How often the cell was started anew because it had made too many calls, ever.
    pub floods: u32,
    /// Of which of [`crate::policy::CALLED_DOMAINS`] most of these were, counted from 1, the last time.
    pub flooded: u32,
    /// How often the budget of its class was used up, since the last load.
    pub exhausted: u64,
    /// When the container is started again, nanoseconds since the node's start; 0 where it is not going to be.
    pub next_start_ns: u64,
    /// Faults of the domain, ever.
    pub faults: u64,
    /// The last fault: kind (substrate's own number: seL4's fault label, or the signal on the host).
    pub fault_kind: u64,
    /// The last fault: instruction pointer, 0 where not known.
    pub fault_instruction: u64,
    /// The last fault: address, 0 where not known.
    pub fault_address: u64,
    /// The last fault: the exception syndrome register on seL4, 0 on the host.
    pub fault_syndrome: u64,
    /// The grants in force.
    pub grants: crate::grants::CellGrants,
}

/// What the warden shows in `warden_status`, in a [`shared_ring::SequencedCell`] at offset 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct WardenTable {
    /// By cell number.
    pub cells: [WardenCell; MAX_CELLS],
    /// Requests that made no sense.
    pub invalid: u64,
}
