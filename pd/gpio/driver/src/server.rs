//! Who holds which line, and what a caller may do with it.

use runner_interfaces::MAX_CELLS;
use runner_interfaces::boot_report::Finding;
use runner_interfaces::driver::StartError;
use runner_interfaces::gpio::{Edges, GpioStatus, Opened, Procedure, Pull, Status};
use runner_interfaces::grants::{CellGrants, MAX_LINES, grant_offset_bytes};
use runner_interfaces::kernel::{
    Channel, ChannelSet, Domain, Kernel, Message, Wiring, required_channel, required_region,
};
use shared_ring::{KeptValue, OutOfRange, SequencedCell};

use crate::bank::Bank;

mod succession;

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
    /// Edges that the holder has not taken yet.
    untaken: u64,
    /// The level at which it is inactive. From the grants of who opened it last: when a cell is released, it has none left.
    rests_high: bool,
}

/// Whether this build looks at rights at all. Only `cargo xtask bench` builds one that does not, to measure what the check costs
/// beside the same call without it. A `cfg` and no feature, because a feature can be switched on by any crate that depends on this
/// one; and such a program says at its start that something is wrong.
pub const ACCESS_IS_CHECKED: bool = !cfg!(atoll_unchecked_access);

/// What everybody may do where nothing is checked.
const EVERYTHING: CellGrants = CellGrants {
    output_lines: u64::MAX,
    input_lines: u64::MAX,
    edge_lines: u64::MAX,
    active_low_lines: 0,
    minimum_period_ns: 0,
    i2c_addresses: [u64::MAX; 2],
    timers: u32::MAX,
    generation: 0,
};

/// What a served call answers, or why it was not served.
type Outcome = Result<u64, Status>;

/// The `gpio` domain. `W` is the substrate's wiring, `B` the bank.
pub struct Gpio<W: Wiring, B> {
    bank: B,
    /// By cell; `None` where `system.xml` has no such cell.
    cells: [Option<Channel>; MAX_CELLS],
    warden: Channel,
    interrupt: Option<Channel>,
    /// Looked at in each call, and changed by a load: kept, so that a look costs a few instructions.
    grants: [KeptValue<W::Memory, CellGrants>; MAX_CELLS],
    lines: [Line; MAX_LINES as usize],
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
            lines: [Line::default(); MAX_LINES as usize],
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
                transitions: [0; MAX_LINES as usize],
                edges: [0; MAX_LINES as usize],
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

    /// What the cell may use now; nothing before the warden's first word.
    fn grants_of(&mut self, cell: usize) -> CellGrants {
        if !ACCESS_IS_CHECKED {
            return EVERYTHING;
        }
        self.grants[cell].latest().copied().unwrap_or_default()
    }

    fn serve_cell(&mut self, cell: usize, message: Message) -> Outcome {
        let procedure = procedure_of(message)?;
        let line = self.line_of(message)?;
        let grants = self.grants_of(cell);
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
            Procedure::Release | Procedure::Succeed | Procedure::TakeOver => Err(Status::Invalid),
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

    fn held_output(&self, cell: usize, line: u8, grants: CellGrants) -> Result<bool, Status> {
        granted(grants.output_lines, line, grants)?;
        match self.held(cell, line)? {
            Use::Output { high } => Ok(high),
            Use::Input { .. } => Err(Status::Invalid),
        }
    }

    fn open_output(&mut self, cell: usize, line: u8, grants: CellGrants) -> Outcome {
        granted(grants.output_lines, line, grants)?;
        match self.held(cell, line) {
            Err(Status::Busy) => Err(Status::Busy),
            // Opened again: it goes on as it is.
            Ok(Use::Output { high }) => Ok(opened(grants, line, high)),
            Ok(Use::Input { .. }) | Err(_) => {
                let high = active_low(grants, line);
                self.stop_watching(line);
                self.line(line).rests_high = high;
                self.hold(line, Some((cell, Use::Output { high })));
                self.bank.drive(line, high);
                Ok(opened(grants, line, high))
            }
        }
    }

    fn open_input(&mut self, cell: usize, line: u8, grants: CellGrants) -> Outcome {
        granted(readable_lines(grants), line, grants)?;
        match self.held(cell, line) {
            Err(Status::Busy) => return Err(Status::Busy),
            Ok(Use::Input { .. }) => return Ok(opened(grants, line, self.bank.level(line))),
            // What was driven goes to rest first, as at any release.
            Ok(Use::Output { .. }) => self.rest(line),
            Err(_) => {}
        }
        self.bank.listen(line);
        self.hold(line, Some((cell, Use::Input { watched: None, pull: None })));
        Ok(opened(grants, line, self.bank.level(line)))
    }

    /// Drives an output that is held to its inactive level.
    fn rest(&mut self, line: u8) {
        let high = self.line(line).rests_high;
        self.drive(line, high);
    }

    fn set(&mut self, cell: usize, line: u8, grants: CellGrants, high: bool) -> Outcome {
        self.held_output(cell, line, grants)?;
        self.drive(line, high);
        self.hold(line, Some((cell, Use::Output { high })));
        Ok(u64::from(high))
    }

    fn toggle(&mut self, cell: usize, line: u8, grants: CellGrants) -> Outcome {
        let high = self.held_output(cell, line, grants)?;
        self.set(cell, line, grants, !high)
    }

    fn get(&mut self, cell: usize, line: u8, grants: CellGrants) -> Outcome {
        granted(all_lines(grants), line, grants)?;
        match self.held(cell, line)? {
            Use::Output { high } => {
                granted(grants.output_lines, line, grants)?;
                Ok(u64::from(high))
            }
            Use::Input { .. } => {
                granted(readable_lines(grants), line, grants)?;
                Ok(u64::from(self.bank.level(line)))
            }
        }
    }

    fn watch(&mut self, cell: usize, line: u8, grants: CellGrants, edges: Edges) -> Outcome {
        granted(grants.edge_lines, line, grants)?;
        let Use::Input { pull, .. } = self.held(cell, line)? else { return Err(Status::Invalid) };
        self.bank.watch(line, Some(edges));
        self.hold(line, Some((cell, Use::Input { watched: Some(edges), pull })));
        self.line(line).untaken = 0;
        Ok(0)
    }

    fn take_edges(&mut self, cell: usize, line: u8, grants: CellGrants) -> Outcome {
        granted(grants.edge_lines, line, grants)?;
        match self.held(cell, line)? {
            Use::Input { watched: Some(_), .. } => {
                // Those that the interrupt is still on its way for.
                self.collect_edges(line);
                Ok(core::mem::take(&mut self.line(line).untaken))
            }
            _ => Err(Status::Invalid),
        }
    }

    fn pull(&mut self, cell: usize, line: u8, grants: CellGrants, pull: Pull) -> Outcome {
        granted(readable_lines(grants), line, grants)?;
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
            Some((_, Use::Input { .. })) => self.bank.listen(line),
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
        self.line(line).untaken = 0;
    }

    /// Drives an output that is held, and counts where its level changes.
    fn drive(&mut self, line: u8, high: bool) {
        let before = matches!(self.line(line).holder, Some((_, Use::Output { high: true })));
        if before != high {
            let count = &mut self.status.transitions[usize::from(line)];
            *count = count.wrapping_add(1);
        }
        self.bank.drive(line, high);
    }

    /// Takes what the bank has for one line; answers the cell to notify.
    fn collect_edges(&mut self, line: u8) -> Option<usize> {
        let edges = u64::from(self.bank.take_edges(line));
        if edges == 0 {
            return None;
        }
        let count = &mut self.status.edges[usize::from(line)];
        *count = count.wrapping_add(edges);
        let slot = self.line(line);
        let (cell, _) = slot.holder?;
        slot.untaken = slot.untaken.saturating_add(edges);
        Some(cell)
    }

    /// One look at the bank's pending edges: each line once, however fast the outside makes new ones.
    fn serve_interrupt<K: Kernel>(&mut self, kernel: &mut K) {
        let pending = self.bank.pending();
        let mut notify = [false; MAX_CELLS];
        for line in (0..MAX_LINES).filter(|line| pending & (1 << line) != 0) {
            if let Some(cell) = self.collect_edges(line) {
                notify[cell] = true;
            }
        }
        for channel in self.cells.iter().zip(notify).filter_map(|(&channel, due)| channel.filter(|_| due)) {
            kernel.notify(channel);
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
            Err(Status::Invalid | Status::NotFound | Status::NotSupported) => {
                self.status.invalid = self.status.invalid.wrapping_add(1)
            }
            _ => {}
        }
    }

    /// Shows the state. A little over a kilobyte, the same at every call.
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
            self.serve_interrupt(kernel);
            self.publish();
        }
    }

    fn called(&mut self, kernel: &mut K, channel: Channel, message: Message) -> Message {
        let caller = self.cell_of(channel);
        let outcome = match caller {
            Some(cell) => self.serve_cell(cell, message),
            None if channel == self.warden => self.serve_warden(kernel, message),
            // A channel that no caller should have: the description's fault, and still nobody else's harm.
            None => Err(Status::Invalid),
        };
        self.count(caller, outcome);
        self.publish();
        match outcome {
            Ok(result) => Message::with_word(u64::from(Status::Ok.to_wire()), result),
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

/// Who may watch a line's edges learns its level from them, so may read it too.
fn readable_lines(grants: CellGrants) -> u64 {
    grants.input_lines | grants.edge_lines
}

/// Lines that it may use in some way.
fn all_lines(grants: CellGrants) -> u64 {
    readable_lines(grants) | grants.output_lines
}

fn granted(lines: u64, line: u8, grants: CellGrants) -> Result<(), Status> {
    if CellGrants::allows(lines, line) {
        Ok(())
    } else if CellGrants::allows(all_lines(grants), line) {
        Err(Status::ModeNotGranted)
    } else {
        Err(Status::NotGranted)
    }
}

fn active_low(grants: CellGrants, line: u8) -> bool {
    CellGrants::allows(grants.active_low_lines, line)
}

fn opened(grants: CellGrants, line: u8, high: bool) -> u64 {
    Opened { high, active_low: active_low(grants, line) }.to_word()
}
