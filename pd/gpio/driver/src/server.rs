//! Who holds which line, and what a caller may do with it.

use alloc::{boxed::Box, vec};

use runner_interfaces::MAX_CELLS;
use runner_interfaces::boot_report::Finding;
use runner_interfaces::driver::{DriverWatch, StartError};
use runner_interfaces::gpio::{
    Edges, GPIO_USAGE_OFFSET_BYTES, GpioStatus, LineCountsTable, Opened, Procedure, Pull, Status,
};
use runner_interfaces::grants::{CellGrants, LineRates, MAX_LINES, RateOf, grant_offset_bytes};
use runner_interfaces::kernel::{
    Channel, ChannelSet, Domain, Instant, Kernel, Message, Wiring, required_channel, required_region,
};
use runner_interfaces::usage::{Count, UsageTable};
use shared_ring::{KeptValue, OutOfRange, SequencedCell};

use crate::{
    bank::Bank,
    buckets::{Buckets, Meter, Spent},
};

mod storm;
mod succession;

use storm::Storm;
use succession::Standby;

/// What a cell has a line open for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Output { high: bool },
    Input { watched: Option<Edges>, pull: Option<Pull> },
}

#[derive(Clone, Copy, Debug, Default)]
struct Line {
    /// The cell that has it open.
    holder: Option<(usize, Use)>,
    /// The cell that stands by, and what for.
    heir: Option<(usize, Standby)>,
    /// Edges that the holder may take and has not taken yet.
    untaken: u64,
    /// Edges that came while the holder's rate was used up. They are told as one, as soon as the rate allows it.
    withheld: u64,
    /// It is an output, held or at rest. One that becomes an output changes its level for all that anybody knows.
    is_output: bool,
    /// Who asked last. Who drives a line asks again and again, and is to be answered fast.
    asker: Asker,
    /// The level at which it is inactive. From the grants of who opened it last: when a cell is released, it has none left.
    rests_high: bool,
}

/// Whether this build looks at rights at all. Only `cargo xtask bench` builds one that does not, to measure what the check costs
/// beside the same call without it. A `cfg` and no feature, because a feature can be switched on by any crate that depends on this
/// one; and such a program says at its start that something is wrong.
pub const ACCESS_IS_CHECKED: bool = !cfg!(atoll_unchecked_access);

const LINES: usize = MAX_LINES as usize;

/// What everybody may do where nothing is checked.
const EVERYTHING: LineGrants = LineGrants { output: true, input: true, edges: true, active_low: false };

/// What a cell may do with one line: little enough to be handed on in a register.
#[derive(Clone, Copy, Debug, Default)]
struct LineGrants {
    output: bool,
    input: bool,
    edges: bool,
    /// No right: the line is active while it is low.
    active_low: bool,
}

/// A cell that asked about a line: what it was found to have, and what it has spent of its rates. All that the driver keeps for
/// a cell and a line is here, and in [`Buckets`] for those who did not ask last.
#[derive(Clone, Copy, Debug, Default)]
struct Asker {
    key: AskerKey,
    grants: LineGrants,
    changes: Meter,
    edges: Meter,
}

/// Which cell, under which of its grants. All zero: nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct AskerKey(u64);

impl AskerKey {
    /// That cell under the grants of that number.
    const fn new(cell: usize, sequence: u32) -> Self {
        Self((cell as u64) << 32 | sequence as u64)
    }

    /// The cell; `None` where nobody asked.
    fn cell(self) -> Option<usize> {
        if self == Self::default() { None } else { usize::try_from(self.0 >> 32).ok() }
    }
}

impl LineGrants {
    fn of(grants: &CellGrants, line: u8) -> Self {
        let has = |lines: u64| CellGrants::allows(lines, line);
        Self {
            output: has(grants.output_lines),
            input: has(grants.input_lines),
            edges: has(grants.edge_lines),
            active_low: has(grants.active_low_lines),
        }
    }

    /// Who may watch a line's edges learns its level from them, so may read it too.
    const fn readable(self) -> bool {
        self.input || self.edges
    }

    /// Whether it may be used in some way.
    const fn any(self) -> bool {
        self.readable() || self.output
    }
}

/// What a served call answers, or why it was not served.
type Outcome = Result<u64, Status>;

/// The answer to a call: a word, and what only [`Procedure::TakeEdges`] has to add.
#[derive(Clone, Copy, Debug)]
struct Answer {
    outcome: Outcome,
    /// In how many nanoseconds there is more to take; 0 where nothing is withheld.
    more_in_ns: u64,
}

/// The `gpio` domain. `W` is the substrate's wiring, `B` the bank.
pub struct Gpio<W: Wiring, B> {
    bank: B,
    /// By cell; `None` where `system.xml` has no such cell.
    cells: [Option<Channel>; MAX_CELLS],
    warden: Channel,
    interrupt: Option<Channel>,
    /// Looked at in each call, and changed by a load: kept, so that a look costs a few instructions.
    grants: [KeptValue<W::Memory, CellGrants>; MAX_CELLS],
    /// The region of the grants, for the rates in it.
    rates: W::Memory,
    /// What each cell has spent of its rates of changes and of edges.
    buckets: Buckets,
    usage: UsageTable<W::Memory>,
    counts: LineCountsTable<W::Memory>,
    watch: DriverWatch<W::Memory>,
    /// How often the bank has interrupted lately.
    storm: Storm,
    /// When what is being served arrived.
    now: Instant,
    /// Not on the stack, which is small.
    lines: Box<[Line; LINES]>,
    /// By cell, who may stand by where it has a line open.
    heirs: [Option<usize>; MAX_CELLS],
    shown: SequencedCell<W::Memory, GpioStatus>,
    status: GpioStatus,
}

impl<W: Wiring, B: Bank> Gpio<W, B> {
    /// The domain with its `bank`, of which no cell has a line open.
    ///
    /// # Errors
    /// `system.xml` gives the domain too little; see [`StartError`].
    pub fn new(wiring: &W, bank: B) -> Result<Self, StartError> {
        let grants = required_region(wiring, "region_grants")?;
        let status = required_region(wiring, "region_status")?;
        let mut cells = [None; MAX_CELLS];
        for (cell, channel) in cells.iter_mut().enumerate() {
            *channel = wiring.channel(&alloc::format!("channel_cell{cell}"));
        }
        Ok(Self {
            bank,
            cells,
            warden: required_channel(wiring, "channel_warden")?,
            // A bank without interrupts is of use too.
            interrupt: wiring.channel("channel_interrupt"),
            grants: grant_cells(&grants)?,
            rates: grants,
            buckets: Buckets::new(),
            usage: UsageTable::new(status.clone(), GPIO_USAGE_OFFSET_BYTES, usize::from(MAX_LINES))?,
            counts: LineCountsTable::new(status.clone())?,
            watch: DriverWatch::new(status.clone())?,
            storm: Storm::default(),
            now: Instant::default(),
            lines: vec![Line::default(); LINES]
                .try_into()
                .unwrap_or_else(|_| unreachable!("there are as many as that")),
            heirs: [None; MAX_CELLS],
            shown: SequencedCell::new(status, 0)?,
            status: GpioStatus {
                levels: 0,
                outputs: 0,
                inputs: 0,
                calls: 0,
                refused: 0,
                refused_by_cell: [0; MAX_CELLS],
                invalid: 0,
                limited: 0,
                coalesced: 0,
                storms: 0,
                quiet: 0,
                longest_ns: 0,
            },
        })
    }

    /// The channel that the bank's interrupt arrives on, which the shell acknowledges after [`Domain::notified`].
    pub fn interrupt(&self) -> Option<Channel> {
        self.interrupt
    }

    /// The bank, for a shell that simulates one.
    pub fn bank(&mut self) -> &mut B {
        &mut self.bank
    }

    fn cell_of(&self, channel: Channel) -> Option<usize> {
        self.cells.iter().position(|&known| known == Some(channel))
    }

    /// What the cell may do with the line now; nothing before the warden's first word.
    fn grants_of(&mut self, cell: usize, line: u8) -> LineGrants {
        if !ACCESS_IS_CHECKED {
            return EVERYTHING;
        }
        self.asker(cell, line).grants
    }

    /// The line's account of a cell, under the grants that it has now.
    fn asker(&mut self, cell: usize, line: u8) -> &mut Asker {
        let key = AskerKey::new(cell, self.grants[cell].look());
        if self.line(line).asker.key != key {
            self.change_asker(cell, line, key);
        }
        &mut self.line(line).asker
    }

    /// Another cell asks, or the same one under other grants.
    #[cold]
    #[inline(never)]
    fn change_asker(&mut self, cell: usize, line: u8, key: AskerKey) {
        let before = self.line(line).asker;
        if let Some(other) = before.key.cell() {
            *self.buckets.of(other, line) = Spent { changes: before.changes.bucket(), edges: before.edges.bucket() };
        }
        let Spent { changes, edges } = *self.buckets.of(cell, line);
        let grants = self.grants[cell].latest().map_or(LineGrants::default(), |grants| LineGrants::of(grants, line));
        let rate = |of| LineRates::read(&self.rates, cell, line, of);
        let (changes, edges) = (Meter::new(changes, rate(RateOf::Transitions)), Meter::new(edges, rate(RateOf::Edges)));
        self.line(line).asker = Asker { key, grants, changes, edges };
    }

    /// Serves the call, and counts it for the cell and the line.
    fn serve_cell(&mut self, cell: usize, message: Message) -> Answer {
        let line = self.line_of(message);
        let outcome = line.and_then(|line| self.serve_line(cell, line, message));
        let Ok(line) = line else { return Answer { outcome, more_in_ns: 0 } };
        self.count_use(cell, line, outcome);
        let is_take = procedure_of(message) == Ok(Procedure::TakeEdges) && outcome.is_ok();
        let more_in_ns = if is_take { self.next_edge_ns(cell, line) } else { 0 };
        Answer { outcome, more_in_ns }
    }

    fn serve_line(&mut self, cell: usize, line: u8, message: Message) -> Outcome {
        let procedure = procedure_of(message)?;
        if let Some(before) = self.drives(cell, line) {
            let high = match procedure {
                Procedure::Set => Some(level_of(message.words[1])?),
                Procedure::Toggle => Some(!before),
                _ => None,
            };
            if let Some(high) = high {
                return self.set_from(cell, line, before, high);
            }
        }
        let grants = self.grants_of(cell, line);
        if self.stands_by(cell, line) {
            return self.serve_standby(cell, line, message, grants);
        }
        let argument = message.words[1];
        match procedure {
            Procedure::OpenOutput => self.open_output(cell, line, grants),
            Procedure::OpenInput => self.open_input(cell, line, grants),
            Procedure::Set => self.set(cell, line, grants, level_of(argument)?),
            Procedure::Toggle => self.toggle(cell, line, grants),
            Procedure::Get => self.get(cell, line, grants),
            Procedure::Watch => self.watch(cell, line, grants, edges_of(argument)?),
            Procedure::TakeEdges => self.take_edges(cell, line, grants),
            Procedure::Close => self.close(cell, line),
            Procedure::Pull => self.pull(cell, line, grants, pull_of(argument)?),
            Procedure::Release | Procedure::Succeed | Procedure::TakeOver | Procedure::Listen => Err(Status::Invalid),
        }
    }

    fn serve_warden<K: Kernel>(&mut self, kernel: &mut K, message: Message) -> Outcome {
        match procedure_of(message)? {
            Procedure::Release => {
                let cell = usize::try_from(message.words[0]).ok().filter(|&cell| cell < MAX_CELLS);
                self.release(cell.ok_or(Status::NotFound)?);
                Ok(0)
            }
            Procedure::Succeed => self.succeed(message),
            Procedure::TakeOver => {
                let to = self.take_over(message)?;
                if let Some(channel) = self.cells[to].filter(|_| self.has_untaken_edges(to)) {
                    kernel.notify(channel);
                }
                Ok(0)
            }
            Procedure::Listen => {
                self.listen_again(kernel);
                Ok(0)
            }
            _ => Err(Status::Invalid),
        }
    }

    fn line_of(&self, message: Message) -> Result<u8, Status> {
        let line = u8::try_from(message.words[0]).ok().filter(|&line| line < MAX_LINES && self.bank.offers(line));
        line.ok_or(Status::NotFound)
    }

    fn line(&mut self, line: u8) -> &mut Line {
        &mut self.lines[usize::from(line)]
    }

    /// Sets who has `line` open and what for, and what the status says of that: counting over all lines at each call took a
    /// sixth of its time.
    fn hold(&mut self, line: u8, holder: Option<(usize, Use)>) {
        self.line(line).holder = holder;
        let bit = 1 << line;
        self.status.outputs &= !bit;
        self.status.inputs &= !bit;
        match holder {
            Some((_, Use::Output { .. })) => self.status.outputs |= bit,
            Some((_, Use::Input { .. })) => self.status.inputs |= bit,
            None => {}
        }
    }

    /// What `cell` has `line` open for.
    fn held(&self, cell: usize, line: u8) -> Result<Use, Status> {
        match self.lines[usize::from(line)].holder {
            Some((holder, held)) if holder == cell => Ok(held),
            Some(_) => Err(Status::Busy),
            None => Err(Status::Invalid),
        }
    }

    /// The level at which the cell drives the line, where it was found before that it may and its grants are still the same: what
    /// is asked for most, and so asked first.
    #[inline]
    fn drives(&mut self, cell: usize, line: u8) -> Option<bool> {
        let key = if ACCESS_IS_CHECKED { AskerKey::new(cell, self.grants[cell].look()) } else { AskerKey::default() };
        let Line { holder, asker, .. } = self.line(line);
        let may = !ACCESS_IS_CHECKED || (asker.key == key && asker.grants.output);
        match *holder {
            Some((holder, Use::Output { high })) if holder == cell && may => Some(high),
            _ => None,
        }
    }

    fn held_output(&self, cell: usize, line: u8, grants: LineGrants) -> Result<bool, Status> {
        granted(grants.output, grants)?;
        match self.held(cell, line)? {
            Use::Output { high } => Ok(high),
            Use::Input { .. } => Err(Status::Invalid),
        }
    }

    fn open_output(&mut self, cell: usize, line: u8, grants: LineGrants) -> Outcome {
        granted(grants.output, grants)?;
        match self.held(cell, line) {
            Err(Status::Busy) => Err(Status::Busy),
            // Opened again: it goes on as it is.
            Ok(Use::Output { high }) => Ok(opened(grants, high)),
            Ok(Use::Input { .. }) | Err(_) => {
                if !self.line(line).is_output && !self.take_change(line) {
                    return Err(Status::Full);
                }
                let high = grants.active_low;
                self.stop_watching(line);
                self.line(line).rests_high = high;
                self.hold(line, Some((cell, Use::Output { high })));
                self.put_level(line, high);
                Ok(opened(grants, high))
            }
        }
    }

    fn open_input(&mut self, cell: usize, line: u8, grants: LineGrants) -> Outcome {
        granted(grants.readable(), grants)?;
        match self.held(cell, line) {
            Err(Status::Busy) => return Err(Status::Busy),
            Ok(Use::Input { .. }) => return Ok(opened(grants, self.bank.level(line))),
            // What was driven goes to rest first, as at any release.
            Ok(Use::Output { .. }) => self.rest(line),
            Err(_) => {}
        }
        self.listen(cell, line);
        self.hold(line, Some((cell, Use::Input { watched: None, pull: None })));
        Ok(opened(grants, self.bank.level(line)))
    }

    /// Drives an output that is held to its inactive level.
    fn rest(&mut self, line: u8) {
        let high = self.line(line).rests_high;
        self.drive(line, high);
    }

    /// A level that is driven already costs nothing. One that changes takes of the cell's rate, or is refused.
    fn set(&mut self, cell: usize, line: u8, grants: LineGrants, high: bool) -> Outcome {
        let before = self.held_output(cell, line, grants)?;
        self.set_seldom(cell, line, before, high)
    }

    /// Out of line, so that it stands in line where it is asked for often.
    #[cold]
    fn set_seldom(&mut self, cell: usize, line: u8, before: bool, high: bool) -> Outcome {
        self.set_from(cell, line, before, high)
    }

    #[inline(always)]
    fn set_from(&mut self, cell: usize, line: u8, before: bool, high: bool) -> Outcome {
        if before != high {
            if !self.take_change(line) {
                return Err(Status::Full);
            }
            self.count_transition(line);
        }
        self.put_level(line, high);
        self.hold(line, Some((cell, Use::Output { high })));
        Ok(u64::from(high))
    }

    fn toggle(&mut self, cell: usize, line: u8, grants: LineGrants) -> Outcome {
        let high = self.held_output(cell, line, grants)?;
        self.set_seldom(cell, line, high, !high)
    }

    fn get(&mut self, cell: usize, line: u8, grants: LineGrants) -> Outcome {
        granted(grants.any(), grants)?;
        match self.held(cell, line)? {
            Use::Output { high } => {
                granted(grants.output, grants)?;
                Ok(u64::from(high))
            }
            Use::Input { .. } => {
                granted(grants.readable(), grants)?;
                Ok(u64::from(self.bank.level(line)))
            }
        }
    }

    fn watch(&mut self, cell: usize, line: u8, grants: LineGrants, edges: Edges) -> Outcome {
        granted(grants.edges, grants)?;
        let Use::Input { pull, .. } = self.held(cell, line)? else { return Err(Status::Invalid) };
        self.watch_edges(line, Some(edges));
        self.hold(line, Some((cell, Use::Input { watched: Some(edges), pull })));
        self.forget_edges(line);
        Ok(0)
    }

    fn take_edges(&mut self, cell: usize, line: u8, grants: LineGrants) -> Outcome {
        granted(grants.edges, grants)?;
        match self.held(cell, line)? {
            Use::Input { watched: Some(_), .. } => {
                // Those that the interrupt is still on its way for.
                self.collect_edges(line);
                self.release_withheld(cell, line);
                Ok(core::mem::take(&mut self.line(line).untaken))
            }
            _ => Err(Status::Invalid),
        }
    }

    fn pull(&mut self, cell: usize, line: u8, grants: LineGrants, pull: Pull) -> Outcome {
        granted(grants.readable(), grants)?;
        match self.held(cell, line)? {
            Use::Input { watched, .. } if self.bank.pull(line, pull) => {
                self.hold(line, Some((cell, Use::Input { watched, pull: Some(pull) })));
                Ok(0)
            }
            Use::Input { .. } => Err(Status::NotSupported),
            Use::Output { .. } => Err(Status::Invalid),
        }
    }

    /// Giving something back needs no grant.
    fn close(&mut self, cell: usize, line: u8) -> Outcome {
        self.held(cell, line)?;
        self.free(line);
        Ok(0)
    }

    fn release(&mut self, cell: usize) {
        for line in 0..MAX_LINES {
            if self.held(cell, line).is_ok() {
                self.free(line);
            }
        }
        self.forget_heir(cell);
    }

    /// Nobody holds the line any more. An output stays one, and inactive: the safe level until somebody opens it. An input has
    /// the board's pull again.
    fn free(&mut self, line: u8) {
        match self.line(line).holder {
            Some((_, Use::Output { .. })) => self.rest(line),
            Some((cell, Use::Input { .. })) => self.listen(cell, line),
            None => {}
        }
        self.stop_watching(line);
        // Who stands by goes on standing by: who has the line may close it and open it again.
        self.hold(line, None);
    }

    fn stop_watching(&mut self, line: u8) {
        if let Some((_, Use::Input { watched: Some(_), .. })) = self.line(line).holder {
            self.bank.watch(line, None);
        }
        self.forget_edges(line);
    }

    /// Nobody will take what was not taken yet.
    fn forget_edges(&mut self, line: u8) {
        let slot = self.line(line);
        (slot.untaken, slot.withheld) = (0, 0);
    }

    /// Drives an output that is held, and counts where its level changes. Who holds it owes the change: to rest, and to take
    /// over, a line needs nobody's leave.
    fn drive(&mut self, line: u8, high: bool) {
        let holder = self.line(line).holder;
        let before = matches!(holder, Some((_, Use::Output { high: true })));
        if before != high {
            self.count_transition(line);
            if let Some((cell, _)) = holder {
                self.owe_change(cell, line);
            }
        }
        self.put_level(line, high);
    }

    fn count_transition(&mut self, line: u8) {
        self.counts.add_transition(line);
    }

    fn put_level(&mut self, line: u8, high: bool) {
        self.line(line).is_output = true;
        self.bank.drive(line, high);
    }

    /// Makes an input of the line, for the cell. From an output, that too may change its level.
    fn listen(&mut self, cell: usize, line: u8) {
        if core::mem::take(&mut self.line(line).is_output) {
            self.owe_change(cell, line);
        }
        self.bank.listen(line);
    }

    fn owe_change(&mut self, cell: usize, line: u8) {
        let now = self.now;
        self.asker(cell, line).changes.owe(now);
    }

    /// Takes a change of the line's level of the rate of the cell that asks, if there is one.
    fn take_change(&mut self, line: u8) -> bool {
        let now = self.now;
        !ACCESS_IS_CHECKED || self.line(line).asker.changes.take(now)
    }

    /// When the cell may be told of what is withheld from it; 0 where that is nothing, or where its rate allows nothing at all.
    fn next_edge_ns(&mut self, cell: usize, line: u8) -> u64 {
        if self.line(line).withheld == 0 || self.held(cell, line).is_err() {
            return 0;
        }
        let now = self.now;
        self.asker(cell, line).edges.wait_ns(now).unwrap_or(0)
    }

    /// Edges came for who holds the line: as many as the rate allows may be taken, the others wait together. Answers whether
    /// that is worth a word: who was told that edges wait is not told again.
    fn admit_edges(&mut self, cell: usize, line: u8, edges: u64) -> bool {
        let released = self.release_withheld(cell, line);
        let now = self.now;
        let waits = self.line(line).withheld > 0;
        let admitted = if waits { 0 } else { self.asker(cell, line).edges.take_up_to(edges, now) };
        let slot = self.line(line);
        slot.untaken = slot.untaken.saturating_add(admitted);
        slot.withheld = slot.withheld.saturating_add(edges - admitted);
        released || admitted > 0 || !waits
    }

    /// What is withheld becomes one edge, if the rate allows one by now. Answers whether it did.
    fn release_withheld(&mut self, cell: usize, line: u8) -> bool {
        let (withheld, now) = (self.line(line).withheld, self.now);
        if withheld == 0 || !self.asker(cell, line).edges.take(now) {
            return false;
        }
        let slot = self.line(line);
        slot.withheld = 0;
        slot.untaken = slot.untaken.saturating_add(1);
        let fell_together = withheld - 1;
        self.status.coalesced = self.status.coalesced.wrapping_add(fell_together);
        self.usage.add(cell, usize::from(line), Count::Coalesced, fell_together);
        true
    }

    /// Takes what the bank has for one line; answers the cell to notify.
    fn collect_edges(&mut self, line: u8) -> Option<usize> {
        let edges = u64::from(self.bank.take_edges(line));
        if edges == 0 {
            return None;
        }
        self.counts.add_edges(line, edges);
        let (cell, _) = self.line(line).holder?;
        self.admit_edges(cell, line, edges).then_some(cell)
    }

    /// One look at the bank's pending edges: each line once, however fast the outside makes new ones.
    fn serve_interrupt<K: Kernel>(&mut self, kernel: &mut K) {
        let pending = self.bank.pending();
        let storming = self.storm.interrupted(pending, self.now);
        let mut notify = [false; MAX_CELLS];
        for line in (0..MAX_LINES).filter(|line| pending & (1 << line) != 0) {
            if let Some(cell) = self.collect_edges(line) {
                notify[cell] = true;
            }
        }
        self.make_quiet(storming);
        self.tell(kernel, notify);
    }

    fn tell<K: Kernel>(&self, kernel: &mut K, notify: [bool; MAX_CELLS]) {
        for channel in self.cells.iter().zip(notify).filter_map(|(&channel, due)| channel.filter(|_| due)) {
            kernel.notify(channel);
        }
    }

    fn count_use(&self, cell: usize, line: u8, outcome: Outcome) {
        let line = usize::from(line);
        self.usage.add(cell, line, Count::Calls, 1);
        match outcome {
            Err(Status::NotGranted | Status::ModeNotGranted) => self.usage.add(cell, line, Count::Refused, 1),
            Err(Status::Full) => self.usage.add(cell, line, Count::Limited, 1),
            _ => {}
        }
    }

    fn count(&mut self, cell: Option<usize>, outcome: Outcome) {
        self.status.calls = self.status.calls.wrapping_add(1);
        match outcome {
            Err(Status::NotGranted | Status::ModeNotGranted) => {
                self.status.refused = self.status.refused.wrapping_add(1);
                if let Some(refused) = cell.and_then(|cell| self.status.refused_by_cell.get_mut(cell)) {
                    *refused = refused.wrapping_add(1);
                }
            }
            Err(Status::Full) => self.status.limited = self.status.limited.wrapping_add(1),
            Err(Status::Invalid | Status::NotFound | Status::NotSupported) => {
                self.status.invalid = self.status.invalid.wrapping_add(1)
            }
            _ => {}
        }
    }

    /// Shows the state: the same at every call, and no more of it than one call can change.
    fn publish(&mut self) {
        self.status.levels = self.bank.levels();
        self.shown.write(&self.status);
    }
}

impl<W: Wiring, B: Bank, K: Kernel> Domain<K> for Gpio<W, B> {
    fn self_test(&mut self, _: &mut K) -> Finding {
        if !ACCESS_IS_CHECKED {
            return Finding::wrong(format_args!(
                "this program checks no rights: it is for a measurement, and for nothing else"
            ));
        }
        self.bank.identify()
    }

    fn start(&mut self, _: &mut K) {
        self.publish();
    }

    fn notified(&mut self, kernel: &mut K, channels: ChannelSet) {
        if self.interrupt.is_some_and(|interrupt| channels.contains(interrupt)) {
            self.now = kernel.now();
            self.serve_interrupt(kernel);
            self.publish();
            // Shown with the next: to publish is most of it.
            let took_ns = kernel.now().nanoseconds_since(self.now);
            self.status.longest_ns = self.status.longest_ns.max(took_ns);
        }
    }

    fn called(&mut self, kernel: &mut K, channel: Channel, message: Message) -> Message {
        self.now = kernel.now();
        let plain = |outcome| Answer { outcome, more_in_ns: 0 };
        let caller = self.cell_of(channel);
        let Answer { outcome, more_in_ns } = match caller {
            Some(cell) => {
                self.watch.count_call(cell);
                self.serve_cell(cell, message)
            }
            None if channel == self.warden => plain(self.serve_warden(kernel, message)),
            // A channel that no caller should have: the description's fault, and still nobody else's harm.
            None => plain(Err(Status::Invalid)),
        };
        self.count(caller, outcome);
        self.publish();
        match outcome {
            Ok(result) => Message { label: u64::from(Status::Ok.to_wire()), words: [result, more_in_ns, 0, 0] },
            Err(status) => status.answer(),
        }
    }
}

fn grant_cells<M: shared_ring::SharedMemory + Clone>(
    region: &M,
) -> Result<[KeptValue<M, CellGrants>; MAX_CELLS], OutOfRange> {
    let mut cells = alloc::vec::Vec::with_capacity(MAX_CELLS);
    for cell in 0..MAX_CELLS {
        let offset = grant_offset_bytes(cell).ok_or(OutOfRange)?;
        cells.push(KeptValue::new(SequencedCell::new(region.clone(), offset)?));
    }
    cells.try_into().map_err(|_| OutOfRange)
}

fn procedure_of(message: Message) -> Result<Procedure, Status> {
    u32::try_from(message.label).ok().and_then(Procedure::from_wire).ok_or(Status::Invalid)
}

fn level_of(word: u64) -> Result<bool, Status> {
    match word {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Status::Invalid),
    }
}

fn edges_of(word: u64) -> Result<Edges, Status> {
    u32::try_from(word).ok().and_then(Edges::from_wire).ok_or(Status::Invalid)
}

fn pull_of(word: u64) -> Result<Pull, Status> {
    u32::try_from(word).ok().and_then(Pull::from_wire).ok_or(Status::Invalid)
}

fn granted(may: bool, grants: LineGrants) -> Result<(), Status> {
    if may {
        Ok(())
    } else if grants.any() {
        Err(Status::ModeNotGranted)
    } else {
        Err(Status::NotGranted)
    }
}

fn opened(grants: LineGrants, high: bool) -> u64 {
    Opened { high, active_low: grants.active_low }.to_word()
}
