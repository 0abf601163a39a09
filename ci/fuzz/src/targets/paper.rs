//! A kernel and regions of paper, for the domains whose procedures are called.

use std::{cell::RefCell, rc::Rc};

use runner_interfaces::{
    MAX_CELLS,
    gpio::Status,
    grants::{CellGrants, GRANT_STRIDE_BYTES, LineRates, grant_offset_bytes},
    kernel::{Channel, Instant, Kernel, Message, Wiring},
};
use shared_ring::{OutOfRange, SequencedCell, SharedMemory};

use crate::script::Script;

/// Cells that there are, of the [`MAX_CELLS`] that tables have room for. Each channel has another number than its cell.
pub(super) const CELLS: [u8; 3] = [4, 9, 1];

pub(super) const WARDEN: u8 = 20;

pub(super) const ADMISSION: u8 = 21;

/// A channel that nobody has.
const STRANGER: u8 = 40;

/// Any caller: mostly a cell.
pub(super) fn caller(script: &mut Script<'_>) -> u8 {
    match script.byte() % 16 {
        0..5 => CELLS[0],
        5..9 => CELLS[1],
        9..11 => CELLS[2],
        11..13 => ADMISSION,
        13..15 => WARDEN,
        _ => STRANGER,
    }
}

/// The cell whose channel that is.
pub(super) fn cell_of(caller: u8) -> Option<usize> {
    CELLS.iter().position(|known| *known == caller)
}

/// A call: a label and words that mostly mean something, the first below `things`.
pub(super) fn message(script: &mut Script<'_>, labels: u8, things: u8) -> Message {
    let label = script.number(labels);
    // Most words of most calls are few bits or nothing.
    let shape = script.byte();
    let words = core::array::from_fn(|index| match shape >> (2 * index) & 3 {
        0 if index > 0 => 0,
        3 if index > 0 => script.word(),
        _ => script.number(if index == 0 { things } else { 5 }),
    });
    Message { label, words }
}

/// A region between parties that take turns: copied as it lies, which is several times faster than word by word.
#[derive(Clone)]
pub(super) struct PaperMemory(Rc<RefCell<Vec<u8>>>);

impl PaperMemory {
    /// So many bytes, all zero.
    pub(super) fn new(size_bytes: usize) -> Self {
        Self(Rc::new(RefCell::new(vec![0; size_bytes])))
    }
}

impl SharedMemory for PaperMemory {
    fn size_bytes(&self) -> usize {
        self.0.borrow().len()
    }

    fn read(&self, offset: usize, destination: &mut [u8]) -> Result<(), OutOfRange> {
        let bytes = self.0.borrow();
        let source = bytes.get(offset..).and_then(|rest| rest.get(..destination.len())).ok_or(OutOfRange)?;
        destination.copy_from_slice(source);
        Ok(())
    }

    fn write(&self, offset: usize, source: &[u8]) -> Result<(), OutOfRange> {
        let mut bytes = self.0.borrow_mut();
        let destination = bytes.get_mut(offset..).and_then(|rest| rest.get_mut(..source.len())).ok_or(OutOfRange)?;
        destination.copy_from_slice(source);
        Ok(())
    }

    fn load_u32(&self, offset: usize) -> Result<u32, OutOfRange> {
        let mut word = [0; 4];
        self.read(offset, &mut word)?;
        if offset.is_multiple_of(4) { Ok(u32::from_ne_bytes(word)) } else { Err(OutOfRange) }
    }

    fn store_u32(&self, offset: usize, value: u32) -> Result<(), OutOfRange> {
        if offset.is_multiple_of(4) { self.write(offset, &value.to_ne_bytes()) } else { Err(OutOfRange) }
    }
}

/// The regions and channels of one domain.
pub(super) struct Wires {
    channels: &'static [(&'static str, u8)],
    regions: Vec<(&'static str, PaperMemory)>,
}

impl Wires {
    /// Channels to the cells and these others; regions of these sizes, in bytes, all zero.
    pub(super) fn new(channels: &'static [(&'static str, u8)], regions: &[(&'static str, usize)]) -> Self {
        let regions = regions.iter().map(|(symbol, bytes)| (*symbol, PaperMemory::new(*bytes)));
        Self { channels, regions: regions.collect() }
    }

    pub(super) fn get(&self, symbol: &str) -> PaperMemory {
        self.region(symbol).expect("one of its regions")
    }
}

impl Wiring for Wires {
    type Memory = PaperMemory;

    fn channel(&self, symbol: &str) -> Option<Channel> {
        let cell = symbol.strip_prefix("channel_cell").and_then(|number| CELLS.get(number.parse::<usize>().ok()?));
        let others = || self.channels.iter().find(|(known, _)| *known == symbol).map(|(_, number)| number);
        Channel::new(*cell.or_else(others)?)
    }

    fn region(&self, symbol: &str) -> Option<PaperMemory> {
        self.regions.iter().find(|(known, _)| *known == symbol).map(|(_, memory)| memory.clone())
    }
}

/// Of a driver: who was notified, and what time it is. A driver calls nobody.
#[derive(Default)]
pub(super) struct PaperKernel {
    pub(super) notified: Vec<u8>,
    pub(super) now_ns: u64,
}

impl Kernel for PaperKernel {
    fn notify(&mut self, channel: Channel) {
        self.notified.push(channel.number());
    }

    fn call(&mut self, channel: Channel, _: Message) -> Message {
        panic!("a driver calls nobody, and this one channel {channel:?}")
    }

    fn now(&self) -> Instant {
        Instant::from_nanoseconds(self.now_ns)
    }
}

/// Bytes of the region of grants.
pub(super) const GRANTS_BYTES: usize = MAX_CELLS * GRANT_STRIDE_BYTES;

/// The region of grants, as the warden writes it.
pub(super) struct Grants {
    memory: PaperMemory,
    cells: Vec<SequencedCell<PaperMemory, CellGrants>>,
    /// In force, by cell.
    pub(super) now: [CellGrants; MAX_CELLS],
}

impl Grants {
    pub(super) fn new(memory: PaperMemory) -> Self {
        let cell = |number| SequencedCell::new(memory.clone(), grant_offset_bytes(number).expect("a cell"));
        let cells = (0..MAX_CELLS).map(|number| cell(number).expect("it fits")).collect();
        Self { memory, cells, now: [CellGrants::default(); MAX_CELLS] }
    }

    pub(super) fn write(&mut self, cell: usize, grants: CellGrants) {
        self.cells[cell].write(&grants);
        self.now[cell] = grants;
    }

    pub(super) fn write_rates(&self, cell: usize, rates: &LineRates) {
        rates.write(&self.memory, cell).expect("a cell");
    }
}

/// What a driver says of refused calls after one by that cell: one more where it was refused, and for nobody else.
pub(super) fn check_refused(before: [u64; MAX_CELLS], after: [u64; MAX_CELLS], cell: Option<usize>, refused: u64) {
    for (number, (after, before)) in after.iter().zip(before).enumerate() {
        assert_eq!(*after, before + if cell == Some(number) { refused } else { 0 });
    }
}

/// The status of an answer that is well formed: a known number, and no words where it is no success.
pub(super) fn status_of(answer: &Message) -> Status {
    let status = u32::try_from(answer.label).ok().and_then(Status::from_wire).expect("a label that means something");
    assert!(status == Status::Ok || answer.words == [0; 4], "{status} says {:?}", answer.words);
    status
}
