//! What the cell shows of itself.
//!
//! One block that warden and `admission` read whole or not at all. Both are notified when the state changes, except
//! between waiting and running: a container that wakes a thousand times a second would wake them as often.

use runner_interfaces::{
    cell::{CellStatus, ContainerState, FailureReason, World},
    kernel::{Instant, Kernel},
    plan::EndCause,
};
use shared_ring::{SequencedCell, SharedMemory};

use crate::host::Channels;

/// The published status and the values for its next edition.
pub(crate) struct StatusBoard<M> {
    block: SequencedCell<M, CellStatus>,
    channels: Channels,
    pub(crate) values: CellStatus,
    /// Generation, state and whether it is held, as the readers were notified of them.
    announced: Option<(u32, u32, u32)>,
    /// When the last edition was published.
    pub(crate) published: Instant,
}

impl<M: SharedMemory> StatusBoard<M> {
    pub(crate) fn new(block: SequencedCell<M, CellStatus>, channels: Channels, restart_entry: u64) -> Self {
        let values = CellStatus { restart_entry, ..EMPTY };
        Self { block, channels, values, announced: None, published: Instant::default() }
    }

    /// Begins after a restart: readers that slept through it must not take two lives' bytes for one edition.
    pub(crate) fn continue_from(&mut self, now: Instant) {
        let [a, b, c, d, ..] = now.nanoseconds().to_le_bytes();
        self.block.continue_after(u32::from_le_bytes([a, b, c, d]));
    }

    /// Begins a load (or none), everything at zero but the heartbeat.
    pub(crate) fn begin(&mut self, generation: u32, state: ContainerState) {
        self.values = CellStatus {
            generation,
            state: state.to_wire(),
            restart_entry: self.values.restart_entry,
            heartbeat: self.values.heartbeat,
            heartbeat_ns: self.values.heartbeat_ns,
            ..EMPTY
        };
    }

    /// The domain came round `now`.
    pub(crate) fn beat(&mut self, now: Instant) {
        self.values.heartbeat += 1;
        self.values.heartbeat_ns = now.nanoseconds();
    }

    /// Whether readers would be notified of `state`.
    pub(crate) fn is_news(&self, state: ContainerState) -> bool {
        let executes =
            |number| matches!(ContainerState::from_wire(number), Some(ContainerState::Ready | ContainerState::Running));
        match self.announced {
            Some((_, announced, held)) if executes(announced) && executes(state.to_wire()) => held != self.values.held,
            announced => announced != Some((self.values.generation, state.to_wire(), self.values.held)),
        }
    }

    /// Publishes the values, and notifies the readers where the state is news.
    pub(crate) fn publish<K: Kernel + ?Sized>(&mut self, kernel: &mut K) {
        self.published = kernel.now();
        self.block.write(&self.values);
        let state = ContainerState::from_wire(self.values.state).unwrap_or(ContainerState::Empty);
        if self.is_news(state) {
            self.announced = Some((self.values.generation, self.values.state, self.values.held));
            kernel.notify(self.channels.warden);
            kernel.notify(self.channels.admission);
        }
    }

    /// Publishes that the domain came round, and wakes nobody.
    pub(crate) fn publish_heartbeat(&mut self) {
        self.block.write(&self.values);
    }
}

/// An empty cell.
const EMPTY: CellStatus = CellStatus {
    generation: 0,
    state: ContainerState::Empty.to_wire(),
    reason: FailureReason::None.to_wire(),
    world: World::Unknown.to_wire(),
    exit_code: 0,
    detail_bytes: 0,
    end_cause: EndCause::None.to_wire(),
    held: 0,
    restart_entry: 0,
    heartbeat: 0,
    fuel: 0,
    slices: 0,
    loops: 0,
    host_calls: 0,
    refused_calls: 0,
    linear_memory_bytes: 0,
    heap_bytes: 0,
    output_dropped: 0,
    load_began_ns: 0,
    installed_ns: 0,
    started_ns: 0,
    ready_ns: 0,
    stopping_ns: 0,
    ended_ns: 0,
    heartbeat_ns: 0,
    detail: [0; runner_interfaces::cell::DETAIL_BYTES],
};
