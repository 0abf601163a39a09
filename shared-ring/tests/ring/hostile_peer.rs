//! One end of a ring behaves; the other does to its own regions whatever the input says.
//!
//! The same function serves the fuzz target `ring` (`ci/fuzz`), the property tests and a smoke test (`hostile.rs`). It checks what must hold against any peer: no panic, no byte written where the kernel
//! would forbid it or beyond a message's length, each misbehaviour counted once, and a ring that works again as
//! soon as the peer does.

use shared_ring::{
    Consumer, Geometry, HEAD_REGION_BYTES, HeapMemory, OutOfRange, Producer, PushError, SharedMemory, scrub,
};

/// Where the index lies in either region (crate documentation, "Layout"); the epoch or answer lies at 0.
const INDEX_OFFSET: usize = 128;

/// What a receive buffer holds before a pop, to see what was overwritten.
const UNTOUCHED: u8 = 0xee;

/// A region that the kernel mapped read-only: a write would be a fault there and is a failed test here.
#[derive(Clone)]
pub(crate) struct ReadOnly(pub(crate) HeapMemory);

impl SharedMemory for ReadOnly {
    fn size_bytes(&self) -> usize {
        self.0.size_bytes()
    }
    fn read(&self, offset: usize, destination: &mut [u8]) -> Result<(), OutOfRange> {
        self.0.read(offset, destination)
    }
    fn write(&self, offset: usize, source: &[u8]) -> Result<(), OutOfRange> {
        panic!("{} bytes written at {offset} of the peer's region", source.len())
    }
    fn load_u32(&self, offset: usize) -> Result<u32, OutOfRange> {
        self.0.load_u32(offset)
    }
    fn store_u32(&self, offset: usize, value: u32) -> Result<(), OutOfRange> {
        panic!("{value} stored at {offset} of the peer's region")
    }
}

/// A ring's regions and its shape.
#[derive(Clone)]
pub(crate) struct Ring {
    geometry: Geometry,
    data: HeapMemory,
    head: HeapMemory,
}

/// A producer that may not write the head region.
pub(crate) type CheckedProducer = Producer<HeapMemory, ReadOnly>;

/// A consumer that may not write the data region.
pub(crate) type CheckedConsumer = Consumer<ReadOnly, HeapMemory>;

impl Ring {
    /// A ring of 1 to 8 slots of 8 to 32 bytes, all zero.
    pub(crate) fn new(shape: u8) -> Self {
        let slots = 1 << (shape & 3);
        let slot_bytes = 8 * (1 + usize::from(shape >> 2 & 3));
        let geometry = Geometry::new(slot_bytes, slots).expect("a valid shape");
        let data = HeapMemory::new(geometry.data_region_bytes());
        Self { geometry, data, head: HeapMemory::new(HEAD_REGION_BYTES) }
    }

    /// Starts a producer.
    pub(crate) fn producer(&self) -> CheckedProducer {
        Producer::new(self.geometry, self.data.clone(), ReadOnly(self.head.clone())).expect("regions that fit")
    }

    /// Starts a consumer.
    pub(crate) fn consumer(&self) -> CheckedConsumer {
        Consumer::new(self.geometry, ReadOnly(self.data.clone()), self.head.clone()).expect("regions that fit")
    }

    /// What a hostile producer may write.
    pub(crate) fn data(&self) -> &HeapMemory {
        &self.data
    }

    /// What a hostile consumer may write.
    pub(crate) fn head(&self) -> &HeapMemory {
        &self.head
    }
}

/// Bytes that decide what happens; zeros when they are used up.
pub(crate) struct Script<'a>(pub(crate) &'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    fn word(&mut self) -> u32 {
        u32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
    }

    fn is_over(&self) -> bool {
        self.0.is_empty()
    }
}

/// One hostile act on a region that the peer may write. Pointed ones hit the words that matter, with values near those
/// that the honest end expects; blunt ones hit anything.
pub(crate) fn attack(script: &mut Script<'_>, own: &HeapMemory, others: &HeapMemory) {
    let act = script.byte();
    let offset = if act & 1 == 0 { 0 } else { INDEX_OFFSET };
    let load = |memory: &HeapMemory| memory.load_u32(offset).expect("both regions have both words");
    let value = match act >> 1 & 7 {
        0 => load(others),
        1 => load(others).wrapping_add_signed(i32::from(script.byte().cast_signed())),
        2 => load(own).wrapping_add_signed(i32::from(script.byte().cast_signed())),
        3 => load(others) | 1 << 31,
        4 => script.word(),
        5 => return scrub(own),
        _ => return blunt_attack(script, own),
    };
    own.store_u32(offset, value).expect("both regions have both words");
}

/// Up to 15 bytes anywhere.
fn blunt_attack(script: &mut Script<'_>, own: &HeapMemory) {
    let start = script.word() as usize % own.size_bytes();
    let length = usize::from(script.byte() & 15).min(own.size_bytes() - start);
    let bytes: Vec<u8> = (0..length).map(|_| script.byte()).collect();
    own.write(start, &bytes).expect("within the region");
}

/// Pops once and checks what must hold whatever the producer did.
pub(crate) fn checked_pop(consumer: &mut CheckedConsumer) -> Option<Vec<u8>> {
    let blamed = consumer.misbehaviour_count();
    let mut message = vec![UNTOUCHED; consumer.geometry().payload_bytes() + 8];
    let popped = consumer.pop(&mut message);
    assert_eq!(consumer.misbehaviour_count(), blamed + u32::from(popped.is_err()));
    assert!(popped.is_ok() || !consumer.is_connected(), "a misbehaving producer is still trusted");
    let length = popped.ok().flatten()?;
    assert!(length <= consumer.geometry().payload_bytes());
    assert!(message[length..].iter().all(|byte| *byte == UNTOUCHED), "more was copied than the message has");
    message.truncate(length);
    Some(message)
}

/// Pushes once and checks what must hold whatever the consumer did.
pub(crate) fn checked_push(producer: &mut CheckedProducer, message: &[u8]) -> Result<(), PushError> {
    let blamed = producer.misbehaviour_count();
    let pushed = producer.push(message);
    let misbehaved = pushed == Err(PushError::PeerMisbehaved);
    assert_eq!(producer.misbehaviour_count(), blamed + u32::from(misbehaved));
    let too_large = message.len() > producer.geometry().payload_bytes();
    assert_eq!(pushed == Err(PushError::TooLarge), too_large);
    pushed
}

/// Two honest ends after any disturbance: within three exchanges a message comes through, and nobody is blamed.
pub(crate) fn assert_recovers(producer: &mut CheckedProducer, consumer: &mut CheckedConsumer) {
    let blamed = (producer.misbehaviour_count(), consumer.misbehaviour_count());
    for _ in 0..3 {
        let _ = checked_push(producer, b"lost");
        checked_pop(consumer);
    }
    while checked_pop(consumer).is_some() {}
    assert_eq!(checked_push(producer, b"back"), Ok(()));
    assert_eq!(checked_pop(consumer).as_deref(), Some(&b"back"[..]));
    assert_eq!((producer.misbehaviour_count(), consumer.misbehaviour_count()), blamed);
}

/// A consumer against a hostile producer.
fn drive_consumer(script: &mut Script<'_>, ring: &Ring) {
    let mut consumer = ring.consumer();
    let mut accomplice = ring.producer();
    while !script.is_over() {
        match script.byte() % 8 {
            0..3 => attack(script, ring.data(), ring.head()),
            // Now and then the producer behaves, which leads the consumer to where the next attack matters.
            3 => {
                let _ = accomplice.push(&[1, 2, 3]);
            }
            4 => accomplice = ring.producer(),
            5 => consumer = ring.consumer(),
            _ => drop(checked_pop(&mut consumer)),
        }
    }
    assert_recovers(&mut ring.producer(), &mut consumer);
}

/// A producer against a hostile consumer.
fn drive_producer(script: &mut Script<'_>, ring: &Ring) {
    let mut producer = ring.producer();
    let mut accomplice = ring.consumer();
    let mut buffer = vec![0; ring.geometry.payload_bytes()];
    while !script.is_over() {
        match script.byte() % 8 {
            0..3 => attack(script, ring.head(), ring.data()),
            3 => {
                let _ = accomplice.pop(&mut buffer);
            }
            4 => accomplice = ring.consumer(),
            5 => producer = ring.producer(),
            6 => assert!(producer.free_slots() <= ring.geometry.slots()),
            _ => {
                let length = usize::from(script.byte()) % (ring.geometry.payload_bytes() + 2);
                let _ = checked_push(&mut producer, &vec![7; length]);
            }
        }
    }
    assert_recovers(&mut producer, &mut ring.consumer());
}

/// Plays a script. Panics where something that must hold does not.
pub(crate) fn drive(input: &[u8]) {
    let mut script = Script(input);
    let choice = script.byte();
    let ring = Ring::new(choice);
    if choice & 0x80 == 0 {
        drive_consumer(&mut script, &ring);
    } else {
        drive_producer(&mut script, &ring);
    }
}
