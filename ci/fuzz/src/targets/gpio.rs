//! The procedures of `gpio`, called by anybody with any words, while grants and rates change and pins move.
//!
//! Beside the driver stands an account of who has which line. What happens at the bank during a call must be at the one line that
//! the call names, by the cell that has it, with a right in force now and at its rate; or nothing.

use std::{cell::RefCell, rc::Rc};

use pd_gpio_driver::{Bank, Gpio};
use runner_interfaces::{
    MAX_CELLS,
    gpio::{Edges, GPIO_STATUS_REGION_BYTES, GPIO_USAGE_OFFSET_BYTES, GpioStatus, Procedure, Pull, Status},
    grants::{CellGrants, LineRates, MAX_LINES},
    kernel::{Channel, ChannelSet, Domain, Message},
    usage::UsageTable,
};
use shared_ring::SequencedCell;

use super::paper::{
    CELLS, GRANTS_BYTES, Grants, PaperKernel, PaperMemory, WARDEN, Wires, caller, cell_of, check_refused, message,
    status_of,
};
use crate::script::Script;

const INTERRUPT: u8 = 60;
const CHANNELS: &[(&str, u8)] = &[("channel_warden", WARDEN), ("channel_interrupt", INTERRUPT)];

/// Lines of the bank; the last is the system's own.
const LINES: u8 = 8;

/// Lines that are active while they are low: the board's to say, so the same for every cell that has something.
const ACTIVE_LOW: u64 = 0b1_0010;

/// What was done at the bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Drive(bool),
    Listen,
    Pull,
    Watch(Option<Edges>),
    TakeEdges,
}

#[derive(Default)]
struct Pins {
    outputs: u8,
    driven: u8,
    /// What the outside puts on the lines.
    outside: u8,
    untaken: [u32; LINES as usize],
    deeds: Vec<(u8, Deed)>,
    has_no_pulls: bool,
}

impl Pins {
    fn levels(&self) -> u8 {
        (self.driven & self.outputs) | (self.outside & !self.outputs)
    }
}

/// Lines that write down what is done with them.
#[derive(Clone, Default)]
struct PaperBank(Rc<RefCell<Pins>>);

impl PaperBank {
    fn note(&self, line: u8, deed: Deed) {
        assert!(line < LINES - 1, "{deed:?} at line {line}, which is nobody's");
        self.0.borrow_mut().deeds.push((line, deed));
    }
}

impl Bank for PaperBank {
    fn lines(&self) -> u8 {
        LINES
    }
    fn offers(&self, line: u8) -> bool {
        line < LINES - 1
    }
    fn drive(&mut self, line: u8, high: bool) {
        self.note(line, Deed::Drive(high));
        let mut pins = self.0.borrow_mut();
        pins.outputs |= 1 << line;
        pins.driven = pins.driven & !(1 << line) | u8::from(high) << line;
    }
    fn listen(&mut self, line: u8) {
        self.note(line, Deed::Listen);
        self.0.borrow_mut().outputs &= !(1 << line);
    }
    fn pull(&mut self, line: u8, _: Pull) -> bool {
        self.note(line, Deed::Pull);
        !self.0.borrow().has_no_pulls
    }
    fn level(&self, line: u8) -> bool {
        self.0.borrow().levels() >> line & 1 == 1
    }
    fn levels(&self) -> u64 {
        u64::from(self.0.borrow().levels())
    }
    fn watch(&mut self, line: u8, edges: Option<Edges>) {
        self.note(line, Deed::Watch(edges));
        self.0.borrow_mut().untaken[usize::from(line)] = 0;
    }
    fn pending(&self) -> u64 {
        let pins = self.0.borrow();
        (0..LINES).filter(|line| pins.untaken[usize::from(*line)] > 0).fold(0, |mask, line| mask | 1 << line)
    }
    fn take_edges(&mut self, line: u8) -> u32 {
        self.note(line, Deed::TakeEdges);
        core::mem::take(&mut self.0.borrow_mut().untaken[usize::from(line)])
    }
}

/// Who has a line, as far as the answers tell.
#[derive(Clone, Copy, Default)]
struct Line {
    holder: Option<usize>,
    /// Who stands by.
    heir: Option<usize>,
}

struct Bench {
    gpio: Gpio<Wires, PaperBank>,
    bank: PaperBank,
    grants: Grants,
    /// Changes of level a second, by cell, the same for all lines.
    rates: [u32; CELLS.len()],
    /// Lines that a cell was ever granted to drive; to read.
    ever: [(u64, u64); MAX_CELLS],
    usage: UsageTable<PaperMemory>,
    shown: SequencedCell<PaperMemory, GpioStatus>,
    kernel: PaperKernel,
    lines: [Line; LINES as usize],
    /// By cell, who succeeds it.
    heirs: [Option<usize>; MAX_CELLS],
}

pub(super) fn drive(input: &[u8]) {
    let mut script = Script::new(input);
    let wires = Wires::new(CHANNELS, &[("region_grants", GRANTS_BYTES), ("region_status", GPIO_STATUS_REGION_BYTES)]);
    let bank = PaperBank::default();
    let gpio = Gpio::new(&wires, bank.clone()).expect("wired");
    let status = wires.get("region_status");
    let mut bench = Bench {
        gpio,
        bank,
        grants: Grants::new(wires.get("region_grants")),
        rates: [0; CELLS.len()],
        ever: [(0, 0); MAX_CELLS],
        usage: UsageTable::new(status.clone(), GPIO_USAGE_OFFSET_BYTES, usize::from(MAX_LINES)).expect("it fits"),
        shown: SequencedCell::new(status, 0).expect("it fits"),
        kernel: PaperKernel::default(),
        lines: [Line::default(); LINES as usize],
        heirs: [None; MAX_CELLS],
    };
    bench.gpio.start(&mut bench.kernel);
    while !script.is_over() {
        bench.step(&mut script);
        bench.check();
    }
}

impl Bench {
    fn step(&mut self, script: &mut Script<'_>) {
        match script.byte() % 16 {
            0 | 1 => self.change_grants(script),
            2 => self.kernel.now_ns = self.kernel.now_ns.saturating_add(script.duration_ns()),
            3 => {
                let mut pins = self.bank.0.borrow_mut();
                let line = usize::from(script.byte() % (LINES - 1));
                pins.outside ^= 1 << line;
                pins.untaken[line] = pins.untaken[line].saturating_add(u32::from(script.byte()));
            }
            4 => self.notify(ChannelSet::from_bits(1 << INTERRUPT)),
            5 => self.notify(ChannelSet::from_bits(script.mask())),
            6 => self.bank.0.borrow_mut().has_no_pulls = script.flag(),
            7 | 8 => {
                let message = message(script, 14, LINES + 2);
                self.call(caller(script), message);
            }
            9 | 10 => {
                // The warden's own, about cells that there are.
                let kind = script.byte();
                let label = [Procedure::Release, Procedure::Succeed, Procedure::TakeOver, Procedure::Listen]
                    [usize::from(kind % 4)];
                let cells = [kind / 4 % 4, kind / 16 % 4].map(u64::from);
                let message = Message { label: u64::from(label.to_wire()), words: [cells[0], cells[1], 0, 0] };
                self.call(WARDEN, message);
            }
            _ => {
                let (kind, caller) = (script.byte(), script.byte());
                let words = [u64::from(kind / 8 % LINES), u64::from(caller / 8 % 4), 0, 0];
                let label = [1, 2, 3, 4, 5, 6, 7, 8][usize::from(kind % 8)];
                let label = if caller & 4 == 4 && label == 5 { 10 } else { label };
                self.call(CELLS[usize::from(caller % 4).min(2)], Message { label, words });
            }
        }
    }

    fn change_grants(&mut self, script: &mut Script<'_>) {
        let cell = usize::from(script.byte()) % CELLS.len();
        let [output_lines, input_lines, edge_lines] = core::array::from_fn(|_| script.mask());
        let grants =
            CellGrants { output_lines, input_lines, edge_lines, active_low_lines: ACTIVE_LOW, ..CellGrants::default() };
        let rate = [0, 1, 10, 1_000_000, u32::MAX][usize::from(script.byte() % 5)];
        // As the warden does: the rates change while nothing is granted.
        self.grants.write(cell, CellGrants::default());
        self.grants.write_rates(cell, &LineRates::all(rate));
        self.rates[cell] = rate;
        self.grants.write(cell, grants);
        self.ever[cell].0 |= output_lines;
        self.ever[cell].1 |= input_lines | edge_lines;
    }

    fn take_deeds(&mut self) -> Vec<(u8, Deed)> {
        core::mem::take(&mut self.bank.0.borrow_mut().deeds)
    }

    /// An interrupt takes edges of lines, and tells those who have them. A line that interrupts too often is made quiet.
    fn notify(&mut self, channels: ChannelSet) {
        self.gpio.notified(&mut self.kernel, channels);
        let deeds = self.take_deeds();
        let quiet = self.shown.try_read().expect("shown").quiet;
        for (line, deed) in &deeds {
            let is_storm = *deed == Deed::Watch(None) && quiet >> line & 1 == 1;
            assert!(is_storm || *deed == Deed::TakeEdges, "{deed:?} at line {line}");
        }
        let holders: Vec<u8> = deeds
            .iter()
            .filter(|(_, deed)| *deed == Deed::TakeEdges)
            .map(|(line, _)| self.lines[usize::from(*line)].holder)
            .filter_map(|holder| holder.map(|cell| CELLS[cell]))
            .collect();
        for told in core::mem::take(&mut self.kernel.notified) {
            assert!(holders.contains(&told), "{told} has none of these lines");
        }
    }

    fn call(&mut self, caller: u8, message: Message) {
        let before = self.shown.try_read().expect("shown since the start");
        let outputs = {
            let pins = self.bank.0.borrow();
            (pins.outputs, pins.levels())
        };
        let line = u8::try_from(message.words[0]).ok().filter(|line| *line < LINES - 1);
        let cell = cell_of(caller);
        let other = cell.map_or(0, |cell| (cell + 1) % CELLS.len());
        let use_of = |bench: &Self, cell| bench.usage.read(cell, usize::from(line.unwrap_or(0)));
        let used = (cell.map(|cell| use_of(self, cell)), use_of(self, other));

        let answer = self.gpio.called(&mut self.kernel, Channel::new(caller).expect("a channel"), message);

        let status = status_of(&answer);
        assert_eq!(answer.words[2..], [0, 0]);
        let deeds = self.take_deeds();
        let procedure = u32::try_from(message.label).ok().and_then(Procedure::from_wire);
        match (cell, procedure, line) {
            (Some(cell), Some(procedure), Some(line)) => {
                self.check_deeds(cell, procedure, line, status, &answer, &deeds, outputs);
                self.follow(cell, procedure, line, status, &deeds);
            }
            (None, Some(procedure), _) if caller == WARDEN => self.follow_warden(procedure, &message, status, &deeds),
            _ => {
                assert!(deeds.is_empty(), "{caller} with {message:?} did {deeds:?}");
                assert_ne!(status, Status::Ok);
            }
        }
        let after = self.shown.try_read().expect("shown at each call");
        let told = core::mem::take(&mut self.kernel.notified);
        match procedure {
            Some(Procedure::TakeOver) if caller == WARDEN => {}
            Some(Procedure::Listen) if caller == WARDEN => {
                assert_eq!(after.quiet, 0);
                let was_quiet = |told: u8| {
                    let lines = (0..).zip(&self.lines).filter(|(line, _)| before.quiet >> line & 1 == 1);
                    lines.filter_map(|(_, line)| line.holder).any(|holder| CELLS[holder] == told)
                };
                assert!(told.iter().all(|&told| was_quiet(told)), "{told:?}");
            }
            _ => assert!(told.is_empty(), "nobody hears of a call"),
        }

        let refused = u64::from(matches!(status, Status::NotGranted | Status::ModeNotGranted));
        assert_eq!((after.calls, after.refused), (before.calls + 1, before.refused + refused));
        check_refused(before.refused_by_cell, after.refused_by_cell, cell, refused);
        if let (Some(cell), Some(before)) = (cell, used.0) {
            let counted = use_of(self, cell).since(before);
            let is_counted = line.is_some();
            assert_eq!((counted.calls, counted.refused), (u64::from(is_counted), if is_counted { refused } else { 0 }));
        }
        if cell.is_some() {
            assert_eq!(use_of(self, other), used.1, "another's calls");
        }
    }

    /// What a cell's call may have done at the bank.
    #[expect(clippy::too_many_arguments, reason = "all that is known of one call")]
    fn check_deeds(
        &self,
        cell: usize,
        procedure: Procedure,
        line: u8,
        status: Status,
        answer: &Message,
        deeds: &[(u8, Deed)],
        (outputs, levels): (u8, u8),
    ) {
        let Line { holder, .. } = self.lines[usize::from(line)];
        let grants = self.grants.now[cell];
        let has = |lines: u64| lines >> line & 1 == 1;
        let (drives, watches) = (has(grants.output_lines), has(grants.edge_lines));
        let reads = has(grants.input_lines) || watches;
        assert!(deeds.iter().all(|(at, _)| *at == line), "another line than {line}: {deeds:?}");
        assert!(deeds.is_empty() || holder.is_none_or(|holder| holder == cell), "another's line: {deeds:?}");
        let is_pull_refused = status == Status::NotSupported && deeds == [(line, Deed::Pull)];
        assert!(status == Status::Ok || deeds.is_empty() || is_pull_refused, "{status}, and did {deeds:?}");
        for (_, deed) in deeds {
            let is_allowed = match (procedure, deed) {
                (Procedure::OpenOutput, Deed::Drive(high)) => drives && *high == has(ACTIVE_LOW),
                (Procedure::OpenOutput, Deed::Watch(None)) => drives,
                (Procedure::Set | Procedure::Toggle, Deed::Drive(high)) => {
                    drives && answer.words[0] == u64::from(*high)
                }
                // What was driven goes to rest first.
                (Procedure::OpenInput, Deed::Drive(_) | Deed::Listen) => reads,
                (Procedure::Watch, Deed::Watch(Some(_))) | (Procedure::TakeEdges, Deed::TakeEdges) => watches,
                (Procedure::Pull, Deed::Pull) => reads,
                // Giving something back needs no grant.
                (Procedure::Close, Deed::Drive(_) | Deed::Listen | Deed::Watch(None)) => holder == Some(cell),
                _ => false,
            };
            assert!(is_allowed, "{procedure}: {deed:?} with {grants:?}");
        }
        let is_used = status == Status::Ok && procedure != Procedure::Close;
        let needed = match procedure {
            Procedure::OpenOutput | Procedure::Set | Procedure::Toggle => drives,
            Procedure::OpenInput | Procedure::Pull => reads,
            Procedure::Watch | Procedure::TakeEdges => watches,
            Procedure::Get => drives || reads,
            Procedure::Close => true,
            Procedure::Release | Procedure::Succeed | Procedure::TakeOver | Procedure::Listen => false,
        };
        assert!(!is_used || needed, "{procedure} with {grants:?}");
        assert!(status != Status::Ok || procedure == Procedure::TakeEdges || answer.words[0] <= 3);
        // At a rate of nothing no output moves, save to rest.
        if self.rates[cell] == 0 && matches!(procedure, Procedure::OpenOutput | Procedure::Set | Procedure::Toggle) {
            let pins = self.bank.0.borrow();
            assert_eq!((pins.outputs, pins.levels()), (outputs, levels), "{procedure} at a rate of 0");
        }
    }

    /// What the answer to a cell says about who has the line.
    fn follow(&mut self, cell: usize, procedure: Procedure, line: u8, status: Status, deeds: &[(u8, Deed)]) {
        if status != Status::Ok {
            return;
        }
        let at = &mut self.lines[usize::from(line)];
        let stands_by = at.holder.is_some_and(|holder| holder != cell && self.heirs[holder] == Some(cell));
        assert!(!stands_by || deeds.is_empty(), "on standby: {deeds:?}");
        match procedure {
            Procedure::OpenOutput | Procedure::OpenInput if stands_by => at.heir = Some(cell),
            Procedure::OpenOutput | Procedure::OpenInput => {
                assert!(at.holder.is_none_or(|holder| holder == cell), "another has line {line}");
                at.holder = Some(cell);
            }
            Procedure::Close if stands_by => {
                assert_eq!(at.heir, Some(cell));
                at.heir = None;
            }
            Procedure::Close => {
                assert_eq!(at.holder, Some(cell));
                at.holder = None;
            }
            _ if stands_by => assert_eq!(at.heir, Some(cell), "{procedure} of what is not open"),
            _ => assert_eq!(at.holder, Some(cell), "{procedure} of what is not open"),
        }
    }

    fn follow_warden(&mut self, procedure: Procedure, message: &Message, status: Status, deeds: &[(u8, Deed)]) {
        assert!(status == Status::Ok || deeds.is_empty(), "{status}, and did {deeds:?}");
        if status != Status::Ok {
            return;
        }
        let [first, second] =
            [message.words[0], message.words[1]].map(|word| usize::try_from(word).unwrap_or(MAX_CELLS));
        match procedure {
            Procedure::Release => {
                for (line, deed) in deeds {
                    assert_eq!(self.lines[usize::from(*line)].holder, Some(first), "{deed:?}");
                    assert!(matches!(deed, Deed::Drive(_) | Deed::Listen | Deed::Watch(None)));
                }
                self.heirs[first] = None;
                self.heirs.iter_mut().filter(|heir| **heir == Some(first)).for_each(|heir| *heir = None);
                for line in &mut self.lines {
                    line.holder = line.holder.filter(|holder| *holder != first);
                    line.heir = line.heir.filter(|heir| *heir != first);
                }
            }
            Procedure::Succeed => {
                assert!(deeds.is_empty(), "{deeds:?}");
                self.heirs[first] = Some(second);
            }
            Procedure::Listen => {
                for (line, deed) in deeds {
                    assert!(matches!(deed, Deed::Watch(Some(_))), "{deed:?}");
                    assert!(self.lines[usize::from(*line)].holder.is_some(), "nobody watches line {line}");
                }
            }
            Procedure::TakeOver => {
                for (line, deed) in deeds {
                    let at = self.lines[usize::from(*line)];
                    assert_eq!(at.heir, Some(second), "{deed:?} at a line that nobody stands by at");
                    let (drives, reads) = self.ever[second];
                    let ever = if matches!(deed, Deed::Drive(true)) { drives } else { drives | reads };
                    // To rest, a line needs nobody's leave; what rests high is what the board says.
                    let rests = self.ever[first].0 >> line & 1 == 1;
                    assert!(ever >> line & 1 == 1 || rests, "{deed:?}");
                }
                assert_eq!(self.heirs[first], Some(second));
                (self.heirs[first], self.heirs[second]) = (None, Some(first));
                for line in self.lines.iter_mut().filter(|line| line.heir == Some(second)) {
                    match line.holder {
                        Some(holder) if holder == first => *line = Line { holder: Some(second), heir: Some(first) },
                        None => *line = Line { holder: Some(second), heir: None },
                        Some(_) => {}
                    }
                }
            }
            _ => panic!("{procedure} is no call of the warden's"),
        }
    }

    /// What is shown is what the account says.
    fn check(&self) {
        let shown = self.shown.try_read().expect("shown");
        let held = (0..)
            .zip(&self.lines)
            .filter(|(_, line)| line.holder.is_some())
            .fold(0, |mask, (line, _)| mask | 1 << line);
        assert_eq!((shown.outputs | shown.inputs, shown.outputs & shown.inputs), (held, 0));
        let pins = self.bank.0.borrow();
        assert_eq!(shown.outputs & !u64::from(pins.outputs), 0, "held as outputs, which they are");
    }
}
