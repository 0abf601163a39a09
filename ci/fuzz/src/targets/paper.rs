//! A kernel and regions of paper, for the domains whose procedures are called.

use std::{collections::BTreeMap, rc::Rc};

use runner_interfaces::{
    MAX_CELLS,
    gpio::Status,
    grants::{CellGrants, GRANT_STRIDE_BYTES, LineRates, grant_offset_bytes},
    kernel::{Channel, Instant, Kernel, Message, Wiring},
};
use shared_ring::{HeapMemory, SequencedCell};

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

/// The regions and channels of one domain.
pub(super) struct Wires {
    pub(super) channels: &'static [(&'static str, u8)],
    pub(super) regions: Rc<BTreeMap<&'static str, HeapMemory>>,
}

impl Wires {
    /// Regions of these sizes, in bytes, all zero.
    pub(super) fn new(channels: &'static [(&'static str, u8)], regions: &[(&'static str, usize)]) -> Self {
        let regions = regions.iter().map(|(symbol, bytes)| (*symbol, HeapMemory::new(*bytes)));
        Self { channels, regions: Rc::new(regions.collect()) }
    }

    pub(super) fn get(&self, symbol: &str) -> HeapMemory {
        self.regions[symbol].clone()
    }
}

impl Wiring for Wires {
    type Memory = HeapMemory;

    fn channel(&self, symbol: &str) -> Option<Channel> {
        self.channels.iter().find(|(known, _)| *known == symbol).and_then(|(_, number)| Channel::new(*number))
    }

    fn region(&self, symbol: &str) -> Option<HeapMemory> {
        self.regions.get(symbol).cloned()
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
    memory: HeapMemory,
    cells: Vec<SequencedCell<HeapMemory, CellGrants>>,
    /// In force, by cell.
    pub(super) now: [CellGrants; MAX_CELLS],
}

impl Grants {
    pub(super) fn new(memory: HeapMemory) -> Self {
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

/// The status of an answer that is well formed: a known number, and no words where it is no success.
pub(super) fn status_of(answer: &Message) -> Status {
    let status = u32::try_from(answer.label).ok().and_then(Status::from_wire).expect("a label that means something");
    assert!(status == Status::Ok || answer.words == [0; 4], "{status} says {:?}", answer.words);
    status
}
