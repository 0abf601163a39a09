//! What the container writes, on its way to `admission`.
//!
//! Two ways into the ring: standard output and error take what there is room for and the container waits for more; log
//! records never wait, and one that finds no room is counted. `admission` may stop reading at any time, restart or lie
//! about its index; the ring answers for that and nothing here waits for it.

use alloc::rc::Rc;

use runner_interfaces::{
    kernel::{Channel, Instant, Kernel},
    output::{OUTPUT_PAYLOAD_BYTES, OUTPUT_SLOT_BYTES, OutputRecord, Stream, output_geometry},
};
use shared_ring::{GeometryError, Producer, SharedMemory};

/// The cell's end of the ring.
pub(crate) struct Output {
    ring: Producer<Rc<dyn SharedMemory>>,
    admission: Channel,
    generation: u32,
    dropped: u64,
}

impl Output {
    pub(crate) fn new(
        data: Rc<dyn SharedMemory>,
        head: Rc<dyn SharedMemory>,
        admission: Channel,
    ) -> Result<Self, GeometryError> {
        let ring = Producer::new(output_geometry(data.size_bytes())?, data, head)?;
        Ok(Self { ring, admission, generation: 0, dropped: 0 })
    }

    /// From here on records belong to this load.
    pub(crate) fn begin(&mut self, generation: u32) {
        self.generation = generation;
        self.dropped = 0;
    }

    /// Whether `admission` has taken up this life of the ring. Not at once where the domain was started anew.
    pub(crate) fn is_read(&mut self) -> bool {
        self.ring.is_connected()
    }

    /// Records of this load that found no room.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// What can be written now, in bytes.
    pub(crate) fn room_bytes(&mut self) -> u64 {
        u64::from(self.ring.free_slots()) * OUTPUT_PAYLOAD_BYTES as u64
    }

    /// One record of at most [`OUTPUT_PAYLOAD_BYTES`]; false where the ring has no room for it.
    pub(crate) fn push(&mut self, now: Instant, stream: Stream, bytes: &[u8], continues: bool) -> bool {
        let record = OutputRecord { time_ns: now.nanoseconds(), generation: self.generation, stream, continues, bytes };
        let mut slot = [0; OUTPUT_SLOT_BYTES];
        let Some(length) = record.encode(&mut slot) else {
            return false;
        };
        self.ring.push(&slot[..length]).is_ok()
    }

    /// A whole piece of text over as many records as it takes, or none and a count.
    pub(crate) fn push_whole(&mut self, now: Instant, stream: Stream, text: &[u8]) {
        let records = text.len().div_ceil(OUTPUT_PAYLOAD_BYTES).max(1);
        if (self.ring.free_slots() as usize) < records {
            self.dropped += 1;
            return;
        }
        for record in 0..records {
            let start = record * OUTPUT_PAYLOAD_BYTES;
            let end = text.len().min(start + OUTPUT_PAYLOAD_BYTES);
            self.push(now, stream, &text[start..end], record + 1 < records);
        }
    }

    /// Wakes `admission` if there is anything new for it.
    pub(crate) fn notify<K: Kernel + ?Sized>(&mut self, kernel: &mut K) {
        if self.ring.take_notification_due() {
            kernel.notify(self.admission);
        }
    }
}
