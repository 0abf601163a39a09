//! One cell as admission sees it: the module region that it fills, the status and the output that it reads.

use alloc::{string::String, vec::Vec};
use core::fmt;

use runner_interfaces::{
    cell::{CellConfiguration, CellStatus, MODULE_OFFSET_BYTES},
    kernel::{Channel, Instant, Kernel},
    output::{OUTPUT_SLOT_BYTES, OutputRecord, output_geometry},
    timing::{Timing, TimingTable},
};
use shared_ring::{Consumer, GeometryError, OutOfRange, SequencedCell, SharedMemory};

use crate::{
    container::Container,
    counters::{Counter, Counters},
};

/// Bytes that are zeroed at a time.
const SCRUB_BYTES: usize = 4096;

/// Why a module could not be copied out of its region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CopyError {
    /// There is no memory for it now.
    NoMemory,
    /// It does not lie in the region.
    OutOfRange,
}

/// Why there is no port: its regions are too small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooSmall;

impl From<OutOfRange> for TooSmall {
    fn from(_: OutOfRange) -> Self {
        Self
    }
}

impl From<GeometryError> for TooSmall {
    fn from(_: GeometryError) -> Self {
        Self
    }
}

/// The regions of one cell.
pub(crate) struct CellMemory<M> {
    pub(crate) module: M,
    pub(crate) status: M,
    pub(crate) output: M,
    pub(crate) output_head: M,
}

pub(crate) struct CellPort<M> {
    channel: Channel,
    module: M,
    status: SequencedCell<M, CellStatus>,
    timing: TimingTable<M>,
    output: Consumer<M>,
    misbehaviours: u32,
    pub(crate) container: Option<Container>,
    /// The warden would not give it back: it takes no more containers.
    pub(crate) lost: bool,
}

impl<M> fmt::Debug for CellPort<M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("CellPort").field("container", &self.container).finish_non_exhaustive()
    }
}

impl<M: SharedMemory + Clone> CellPort<M> {
    pub(crate) fn new(channel: Channel, memory: CellMemory<M>) -> Result<Self, TooSmall> {
        if memory.module.size_bytes() <= MODULE_OFFSET_BYTES {
            return Err(TooSmall);
        }
        let geometry = output_geometry(memory.output.size_bytes())?;
        Ok(Self {
            channel,
            module: memory.module,
            timing: TimingTable::new(memory.status.clone())?,
            status: SequencedCell::new(memory.status, 0)?,
            output: Consumer::new(geometry, memory.output, memory.output_head)?,
            misbehaviours: 0,
            container: None,
            lost: false,
        })
    }

    /// How punctual the container of its current load is; `None` where that has no schedule.
    pub(crate) fn timing(&self) -> Option<Timing> {
        self.timing.read(self.container.as_ref()?.generation())
    }

    /// The largest module that the region holds.
    pub(crate) fn module_room_bytes(&self) -> u32 {
        u32::try_from(self.module.size_bytes() - MODULE_OFFSET_BYTES).unwrap_or(u32::MAX)
    }

    /// Reads the status, then empties the ring once, so that what a container wrote before its end is there when the end is
    /// seen. Answers whether there may be more.
    pub(crate) fn look(&mut self, now: Instant, counters: &mut Counters) -> bool {
        if let (Some(container), Some(status)) = (self.container.as_mut(), self.status.try_read()) {
            container.see(&status, counters);
        }
        let more = self.drain(now, counters);
        if let Some(container) = self.container.as_mut() {
            container.note_dropped(counters);
        }
        more
    }

    fn drain(&mut self, now: Instant, counters: &mut Counters) -> bool {
        let mut slot = [0; OUTPUT_SLOT_BYTES];
        for _ in 0..self.output.geometry().slots() {
            if self.container.as_mut().is_some_and(|container| !container.may_take(now)) {
                // Whoever reads the log makes room, and comes here again.
                return false;
            }
            match self.output.pop(&mut slot) {
                Ok(None) => {
                    if let Some(container) = self.container.as_mut() {
                        container.held_back = false;
                    }
                    return false;
                }
                Ok(Some(length)) => self.keep(now, &slot[..length], counters),
                Err(shared_ring::PeerMisbehaved) => {
                    let misbehaviours = self.output.misbehaviour_count();
                    counters
                        .add(Counter::CellRingsMisbehaved, u64::from(misbehaviours.wrapping_sub(self.misbehaviours)));
                    self.misbehaviours = misbehaviours;
                    return false;
                }
            }
        }
        true
    }

    /// A record lands in the log of the container that the cell holds, and of its current load.
    fn keep(&mut self, now: Instant, slot: &[u8], counters: &mut Counters) {
        let Some(container) = self.container.as_mut() else { return };
        match OutputRecord::decode(slot) {
            Some(record) if record.generation == container.generation() && !container.may_write(now) => {
                let dropped = container.note_limited(now);
                counters.count(Counter::OutputLimited);
                counters.add(Counter::OutputLost, dropped);
            }
            Some(record) if record.generation == container.generation() => {
                container.note_written();
                let stream = u8::try_from(record.stream.to_wire()).unwrap_or_default();
                let dropped = container.log.push(record.time_ns, stream, record.continues, record.bytes);
                counters.add(Counter::OutputLost, dropped);
            }
            _ => counters.count(Counter::CellRecordsInvalid),
        }
    }

    /// Wakes the cell where it can go on writing.
    pub(crate) fn notify<K: Kernel>(&mut self, kernel: &mut K) {
        if self.output.take_notification_due() {
            kernel.notify(self.channel);
        }
    }

    /// Puts bytes of the module where they belong.
    pub(crate) fn stage(&self, position: u32, bytes: &[u8]) -> Result<(), OutOfRange> {
        let position = usize::try_from(position).map_err(|_| OutOfRange)?;
        self.module.write(MODULE_OFFSET_BYTES + position, bytes)
    }

    /// The staged module, in memory of our own.
    pub(crate) fn copy_module(&self, length: u32) -> Result<Vec<u8>, CopyError> {
        let length = usize::try_from(length).map_err(|_| CopyError::OutOfRange)?;
        let mut wasm = Vec::new();
        wasm.try_reserve_exact(length).map_err(|_| CopyError::NoMemory)?;
        wasm.resize(length, 0);
        self.module.read(MODULE_OFFSET_BYTES, &mut wasm).map_err(|_| CopyError::OutOfRange)?;
        Ok(wasm)
    }

    /// Writes the configuration in front of the module and answers its length; `None` where it has no room there.
    pub(crate) fn configure(&self, configuration: &CellConfiguration) -> Option<u32> {
        let bytes = postcard::to_allocvec(configuration).ok()?;
        if bytes.len() > MODULE_OFFSET_BYTES {
            return None;
        }
        self.module.write(0, &bytes).ok()?;
        u32::try_from(bytes.len()).ok()
    }

    /// Zeroes the configuration and so much of the module: who is in the cell next finds nothing of it.
    pub(crate) fn scrub(&self, module_bytes: u32) {
        self.zero(0, MODULE_OFFSET_BYTES);
        self.scrub_module(module_bytes);
    }

    /// Zeroes the first bytes of the module's place.
    pub(crate) fn scrub_module(&self, module_bytes: u32) {
        let room = self.module.size_bytes() - MODULE_OFFSET_BYTES;
        self.zero(MODULE_OFFSET_BYTES, usize::try_from(module_bytes).unwrap_or(room).min(room));
    }

    fn zero(&self, start: usize, length: usize) {
        let zeros = [0; SCRUB_BYTES];
        for position in (0..length).step_by(SCRUB_BYTES) {
            let piece = &zeros[..SCRUB_BYTES.min(length - position)];
            self.module.write(start + position, piece).expect("the callers stay in the region");
        }
    }
}

/// What one cell is called in admission's part of `system.xml`.
pub(crate) struct CellSymbols {
    pub(crate) channel: String,
    pub(crate) module: String,
    pub(crate) status: String,
    pub(crate) output: String,
    pub(crate) output_head: String,
}

impl CellSymbols {
    pub(crate) fn of(cell: usize) -> Self {
        Self {
            channel: alloc::format!("channel_cell{cell}"),
            module: alloc::format!("region_cell{cell}_module"),
            status: alloc::format!("region_cell{cell}_status"),
            output: alloc::format!("region_cell{cell}_output"),
            output_head: alloc::format!("region_cell{cell}_output_head"),
        }
    }
}
