//! Both ends of a ring against each other, and each against a peer that writes single wrong words.

extern crate std;

use core::cell::Cell;
use std::time::{Duration, Instant};
use std::vec;
use std::vec::Vec;

use crate::layout::{ANSWER_OFFSET, EPOCH_OFFSET, HEAD_OFFSET, TAIL_OFFSET};
use crate::memory::{HeapMemory, OutOfRange, SharedMemory, scrub};
use crate::{Consumer, Geometry, GeometryError, HEAD_REGION_BYTES, PeerMisbehaved, Producer, PushError};

const SLOTS: u32 = 4;

fn geometry() -> Geometry {
    Geometry::new(16, SLOTS).unwrap()
}

/// A ring's two regions, as a test or a hostile peer sees them.
struct Regions {
    data: HeapMemory,
    head: HeapMemory,
}

type End<E> = Result<E, GeometryError>;

impl Regions {
    fn new() -> Self {
        Self { data: HeapMemory::new(geometry().data_region_bytes()), head: HeapMemory::new(HEAD_REGION_BYTES) }
    }

    fn producer(&self) -> Producer<HeapMemory> {
        Producer::new(geometry(), self.data.clone(), self.head.clone()).unwrap()
    }

    fn consumer(&self) -> Consumer<HeapMemory> {
        Consumer::new(geometry(), self.data.clone(), self.head.clone()).unwrap()
    }

    /// Both ends, connected.
    fn connected() -> (Self, Producer<HeapMemory>, Consumer<HeapMemory>) {
        let regions = Self::new();
        let mut producer = regions.producer();
        let consumer = regions.consumer();
        assert!(producer.is_connected());
        (regions, producer, consumer)
    }
}

fn pop(consumer: &mut Consumer<impl SharedMemory, impl SharedMemory>) -> Result<Option<Vec<u8>>, PeerMisbehaved> {
    let mut message = vec![0; consumer.geometry().payload_bytes()];
    Ok(consumer.pop(&mut message)?.map(|length| message[..length].to_vec()))
}

/// What a correct pair does after any disturbance: within two exchanges it is connected and a message comes through.
fn recovers(producer: &mut Producer<HeapMemory>, consumer: &mut Consumer<HeapMemory>) {
    for _ in 0..2 {
        let _ = producer.push(b"lost");
        let _ = pop(consumer);
    }
    while let Ok(Some(_)) = pop(consumer) {}
    assert_eq!(producer.push(b"found"), Ok(()));
    assert_eq!(pop(consumer), Ok(Some(b"found".to_vec())));
}

#[test]
fn messages_arrive_in_order_and_whole() {
    let (_, mut producer, mut consumer) = Regions::connected();
    assert_eq!(pop(&mut consumer), Ok(None));
    producer.push(b"").unwrap();
    producer.push(b"one").unwrap();
    producer.push_parts(&[b"tw", b"", b"elve by", b"tes"]).unwrap();
    assert_eq!(pop(&mut consumer), Ok(Some(vec![])));
    assert_eq!(pop(&mut consumer), Ok(Some(b"one".to_vec())));
    assert_eq!(pop(&mut consumer), Ok(Some(b"twelve bytes".to_vec())));
    assert_eq!(pop(&mut consumer), Ok(None));
}

#[test]
fn a_full_ring_says_so_until_a_slot_is_free() {
    let (_, mut producer, mut consumer) = Regions::connected();
    for free in (0..SLOTS).rev() {
        producer.push(b"x").unwrap();
        assert_eq!(producer.free_slots(), free);
    }
    assert_eq!(producer.push(b"x"), Err(PushError::Full));
    pop(&mut consumer).unwrap();
    assert_eq!(producer.free_slots(), 1);
    assert_eq!(producer.push(b"x"), Ok(()));
    assert_eq!(producer.push(b"x"), Err(PushError::Full));
}

#[test]
fn a_message_longer_than_a_slot_is_refused() {
    let (_, mut producer, mut consumer) = Regions::connected();
    assert_eq!(producer.push(&[0; 13]), Err(PushError::TooLarge));
    assert_eq!(producer.push_parts(&[&[0; 7], &[0; 6]]), Err(PushError::TooLarge));
    assert_eq!(pop(&mut consumer), Ok(None));
    assert_eq!(producer.push(&[1; 12]), Ok(()));
    assert_eq!(pop(&mut consumer), Ok(Some(vec![1; 12])));
}

#[test]
fn indices_run_on_through_the_end_of_u32() {
    let (regions, mut producer, mut consumer) = Regions::connected();
    let start = u32::MAX - 5;
    producer.fast_forward(start);
    consumer.fast_forward(start);
    for round in 0..12u8 {
        for lane in 0..SLOTS {
            producer.push(&[round, lane.to_le_bytes()[0]]).unwrap();
        }
        assert_eq!(producer.push(b"x"), Err(PushError::Full));
        for lane in 0..SLOTS {
            assert_eq!(pop(&mut consumer), Ok(Some(vec![round, lane.to_le_bytes()[0]])));
        }
    }
    assert_eq!(regions.data.load_u32(TAIL_OFFSET), Ok(start.wrapping_add(48)));
}

#[test]
fn nothing_is_pushed_before_the_consumer_has_answered() {
    let regions = Regions::new();
    let mut producer = regions.producer();
    assert_eq!(producer.push(b"x"), Err(PushError::NotConnected));
    assert_eq!(producer.free_slots(), 0);
    assert_eq!(regions.data.load_u32(TAIL_OFFSET), Ok(0));
    let mut consumer = regions.consumer();
    assert!(consumer.is_connected());
    assert_eq!(producer.push(b"x"), Ok(()));
    assert_eq!(pop(&mut consumer), Ok(Some(b"x".to_vec())));
    assert_eq!((producer.reset_count(), consumer.reset_count()), (0, 0));
}

#[test]
fn a_consumer_that_came_first_follows_the_producer() {
    let regions = Regions::new();
    let mut consumer = regions.consumer();
    assert_eq!(pop(&mut consumer), Ok(None));
    assert!(!consumer.is_connected());
    let mut producer = regions.producer();
    assert_eq!(pop(&mut consumer), Ok(None));
    assert!(consumer.is_connected());
    assert_eq!(producer.push(b"x"), Ok(()));
    assert_eq!(pop(&mut consumer), Ok(Some(b"x".to_vec())));
    assert_eq!((producer.reset_count(), consumer.reset_count()), (0, 0));
}

#[test]
fn a_producer_restarts_with_its_memory_zeroed() {
    let (regions, mut producer, mut consumer) = Regions::connected();
    for life in 1..4u8 {
        producer.push(&[life, 1]).unwrap();
        producer.push(&[life, 2]).unwrap();
        producer.push(&[life, 3]).unwrap();
        assert_eq!(pop(&mut consumer), Ok(Some(vec![life, 1])));
        scrub(&regions.data);
        // Stopped, not yet started: the two messages that the consumer knows of are gone.
        assert_eq!(pop(&mut consumer), Ok(None));
        producer = regions.producer();
        assert_eq!(producer.push(b"x"), Err(PushError::NotConnected));
        assert_eq!(pop(&mut consumer), Ok(None));
        assert!(producer.is_connected());
        assert_eq!(u32::from(life), consumer.reset_count());
    }
    assert_eq!((producer.misbehaviour_count(), consumer.misbehaviour_count()), (0, 0));
}

#[test]
fn a_producer_restarts_with_its_memory_as_it_was() {
    let (regions, mut producer, mut consumer) = Regions::connected();
    producer.push(b"old").unwrap();
    let mut producer = regions.producer();
    assert_eq!(producer.push(b"early"), Err(PushError::NotConnected));
    assert_eq!(pop(&mut consumer), Ok(None));
    producer.push(b"new").unwrap();
    assert_eq!(pop(&mut consumer), Ok(Some(b"new".to_vec())));
    assert_eq!((producer.misbehaviour_count(), consumer.misbehaviour_count()), (0, 0));
}

#[test]
fn a_producer_that_restarts_twice_unseen_is_followed() {
    let (regions, mut producer, mut consumer) = Regions::connected();
    producer.push(b"old").unwrap();
    for zeroed in [true, true, false, true] {
        if zeroed {
            scrub(&regions.data);
        }
        producer = regions.producer();
    }
    assert_eq!(pop(&mut consumer), Ok(None));
    producer.push(b"new").unwrap();
    assert_eq!(pop(&mut consumer), Ok(Some(b"new".to_vec())));
}

#[test]
fn a_restarted_consumer_reads_nothing_twice() {
    for zeroed in [true, false] {
        let (regions, mut producer, mut consumer) = Regions::connected();
        producer.push(b"read").unwrap();
        producer.push(b"unread").unwrap();
        assert_eq!(pop(&mut consumer), Ok(Some(b"read".to_vec())));
        if zeroed {
            scrub(&regions.head);
        }
        let mut consumer = regions.consumer();
        assert_eq!(pop(&mut consumer), Ok(None));
        assert_eq!(producer.push(b"early"), Err(PushError::NotConnected));
        assert_eq!(pop(&mut consumer), Ok(None));
        producer.push(b"new").unwrap();
        assert_eq!(pop(&mut consumer), Ok(Some(b"new".to_vec())));
        assert_eq!(producer.reset_count(), 1);
        assert_eq!((producer.misbehaviour_count(), consumer.misbehaviour_count()), (0, 0));
    }
}

#[test]
fn a_consumer_that_restarts_on_an_untouched_ring_goes_on() {
    let (regions, mut producer, _) = Regions::connected();
    scrub(&regions.head);
    let mut consumer = regions.consumer();
    producer.push(b"x").unwrap();
    assert_eq!(pop(&mut consumer), Ok(Some(b"x".to_vec())));
    assert_eq!(producer.reset_count(), 0);
}

#[test]
fn a_consumer_whose_region_is_zeroed_is_not_blamed() {
    let (regions, mut producer, mut consumer) = Regions::connected();
    for _ in 0..SLOTS {
        producer.push(b"x").unwrap();
        pop(&mut consumer).unwrap();
    }
    for _ in 0..SLOTS {
        producer.push(b"x").unwrap();
    }
    scrub(&regions.head);
    assert_eq!(producer.push(b"x"), Err(PushError::NotConnected));
    assert_eq!(producer.misbehaviour_count(), 0);
}

#[test]
fn both_ends_restart_with_everything_zeroed() {
    let (regions, mut producer, _) = Regions::connected();
    producer.push(b"old").unwrap();
    scrub(&regions.data);
    scrub(&regions.head);
    let mut consumer = regions.consumer();
    let mut producer = regions.producer();
    assert_eq!(pop(&mut consumer), Ok(None));
    producer.push(b"new").unwrap();
    assert_eq!(pop(&mut consumer), Ok(Some(b"new".to_vec())));
}

#[test]
fn an_epoch_that_is_refused_before_it_was_accepted_is_followed_by_another() {
    // Both restart zeroed at once: the consumer still saw the old tail under the number that the new epoch has too.
    let regions = Regions::new();
    let mut producer = regions.producer();
    regions.data.store_u32(TAIL_OFFSET, 3).unwrap();
    let mut consumer = regions.consumer();
    regions.data.store_u32(TAIL_OFFSET, 0).unwrap();
    assert_eq!(pop(&mut consumer), Ok(None));
    assert_eq!(producer.push(b"x"), Err(PushError::NotConnected));
    assert_eq!(producer.reset_count(), 1);
    recovers(&mut producer, &mut consumer);
}

#[test]
fn an_impossible_tail_quarantines_the_ring_once() {
    for tail in [SLOTS + 2, u32::MAX, 0, 1 << 31] {
        let (regions, mut producer, mut consumer) = Regions::connected();
        producer.push(b"x").unwrap();
        pop(&mut consumer).unwrap();
        regions.data.store_u32(TAIL_OFFSET, tail).unwrap();
        assert_eq!(pop(&mut consumer), Err(PeerMisbehaved), "tail {tail}");
        assert!(!consumer.is_connected());
        regions.data.store_u32(TAIL_OFFSET, 2).unwrap();
        assert_eq!(pop(&mut consumer), Ok(None));
        assert_eq!(consumer.misbehaviour_count(), 1);
        recovers(&mut producer, &mut consumer);
        assert_eq!(producer.reset_count(), 1);
    }
}

#[test]
fn an_impossible_length_quarantines_the_ring() {
    for length in [13u32, 16, 1 << 31, u32::MAX] {
        let (regions, mut producer, mut consumer) = Regions::connected();
        producer.push(b"x").unwrap();
        producer.push(b"y").unwrap();
        regions.data.write(geometry().slot_offset(0), &length.to_ne_bytes()).unwrap();
        assert_eq!(pop(&mut consumer), Err(PeerMisbehaved), "length {length}");
        assert_eq!(pop(&mut consumer), Ok(None));
        assert_eq!(consumer.misbehaviour_count(), 1);
        recovers(&mut producer, &mut consumer);
    }
}

#[test]
fn an_impossible_epoch_is_no_epoch() {
    let (regions, mut producer, mut consumer) = Regions::connected();
    producer.push(b"x").unwrap();
    regions.data.store_u32(EPOCH_OFFSET, u32::MAX).unwrap();
    assert_eq!(pop(&mut consumer), Ok(None));
    let mut restarted = regions.consumer();
    assert_eq!(pop(&mut restarted), Ok(None));
    assert!(!restarted.is_connected());
}

#[test]
fn an_impossible_head_starts_a_new_epoch() {
    // Six pushed, of which the producer knows two to be popped: heads 2 to 6 are possible.
    for head in [0, 1, 7, u32::MAX, 1 << 31] {
        let (regions, mut producer, mut consumer) = Regions::connected();
        producer.push(b"x").unwrap();
        producer.push(b"x").unwrap();
        pop(&mut consumer).unwrap();
        pop(&mut consumer).unwrap();
        assert_eq!(producer.free_slots(), SLOTS);
        for _ in 0..SLOTS {
            producer.push(b"x").unwrap();
        }
        regions.head.store_u32(HEAD_OFFSET, head).unwrap();
        assert_eq!(producer.push(b"y"), Err(PushError::PeerMisbehaved), "head {head}");
        assert_eq!(producer.push(b"y"), Err(PushError::NotConnected));
        assert_eq!((producer.misbehaviour_count(), producer.reset_count()), (1, 1));
        recovers(&mut producer, &mut consumer);
    }
}

#[test]
fn an_impossible_answer_costs_the_consumer_its_ring_only() {
    for answer in [0, 77, 1 << 31, u32::MAX] {
        let (regions, mut producer, mut consumer) = Regions::connected();
        producer.push(b"x").unwrap();
        regions.head.store_u32(ANSWER_OFFSET, answer).unwrap();
        assert_eq!(producer.push(b"y"), Err(PushError::NotConnected));
        recovers(&mut producer, &mut consumer);
    }
}

#[test]
fn regions_that_are_too_small_are_refused() {
    let data = || HeapMemory::new(geometry().data_region_bytes());
    let short_data = || HeapMemory::new(geometry().data_region_bytes() - 1);
    let head = || HeapMemory::new(HEAD_REGION_BYTES);
    let short_head = || HeapMemory::new(HEAD_REGION_BYTES - 1);
    let producer: End<Producer<_>> = Producer::new(geometry(), short_data(), head());
    assert_eq!(producer.err(), Some(GeometryError::RegionTooSmall));
    let producer: End<Producer<_>> = Producer::new(geometry(), data(), short_head());
    assert_eq!(producer.err(), Some(GeometryError::RegionTooSmall));
    let consumer: End<Consumer<_>> = Consumer::new(geometry(), short_data(), head());
    assert_eq!(consumer.err(), Some(GeometryError::RegionTooSmall));
    let consumer: End<Consumer<_>> = Consumer::new(geometry(), data(), short_head());
    assert_eq!(consumer.err(), Some(GeometryError::RegionTooSmall));
}

#[test]
#[should_panic(expected = "out of range")]
fn a_buffer_that_is_too_short_is_the_callers_bug_even_when_the_ring_is_empty() {
    let (_, _, mut consumer) = Regions::connected();
    let _ = consumer.pop(&mut [0; 11]);
}

#[test]
fn each_end_says_when_the_other_should_be_woken() {
    let regions = Regions::new();
    let mut producer = regions.producer();
    assert!(producer.take_notification_due());
    assert!(!producer.take_notification_due());
    let mut consumer = regions.consumer();
    assert!(consumer.take_notification_due());
    producer.push(b"x").unwrap();
    producer.push(b"y").unwrap();
    assert!(producer.take_notification_due());
    assert!(!producer.take_notification_due());
    pop(&mut consumer).unwrap();
    assert!(consumer.take_notification_due());
    pop(&mut consumer).unwrap();
    assert!(consumer.take_notification_due());
    assert_eq!(pop(&mut consumer), Ok(None));
    assert!(!consumer.take_notification_due());
    // A refusal wakes the producer, and the new epoch the consumer.
    regions.data.store_u32(TAIL_OFFSET, 1000).unwrap();
    assert_eq!(pop(&mut consumer), Err(PeerMisbehaved));
    assert!(consumer.take_notification_due());
    assert_eq!(producer.push(b"x"), Err(PushError::NotConnected));
    assert!(producer.take_notification_due());
    assert_eq!(pop(&mut consumer), Ok(None));
    assert!(consumer.take_notification_due());
}

/// Counts the looks at one index.
struct Counting<'a> {
    memory: HeapMemory,
    index_offset: usize,
    looks: &'a Cell<u32>,
}

impl SharedMemory for Counting<'_> {
    fn size_bytes(&self) -> usize {
        self.memory.size_bytes()
    }
    fn read(&self, offset: usize, destination: &mut [u8]) -> Result<(), OutOfRange> {
        self.memory.read(offset, destination)
    }
    fn write(&self, offset: usize, source: &[u8]) -> Result<(), OutOfRange> {
        self.memory.write(offset, source)
    }
    fn load_u32(&self, offset: usize) -> Result<u32, OutOfRange> {
        if offset == self.index_offset {
            self.looks.set(self.looks.get() + 1);
        }
        self.memory.load_u32(offset)
    }
    fn store_u32(&self, offset: usize, value: u32) -> Result<(), OutOfRange> {
        self.memory.store_u32(offset, value)
    }
}

#[test]
fn a_batch_costs_one_look_at_the_peers_index() {
    let regions = Regions::new();
    let (tail_looks, head_looks) = (Cell::new(0), Cell::new(0));
    let head = Counting { memory: regions.head.clone(), index_offset: HEAD_OFFSET, looks: &head_looks };
    let mut producer = Producer::new(geometry(), regions.data.clone(), head).unwrap();
    let data = Counting { memory: regions.data.clone(), index_offset: TAIL_OFFSET, looks: &tail_looks };
    let mut consumer = Consumer::new(geometry(), data, regions.head.clone()).unwrap();
    for _ in 0..3 {
        tail_looks.set(0);
        head_looks.set(0);
        for _ in 0..SLOTS {
            producer.push(b"x").unwrap();
        }
        for _ in 0..SLOTS {
            assert!(pop(&mut consumer).unwrap().is_some());
        }
        assert_eq!(tail_looks.get(), 1);
        assert!(head_looks.get() <= 1);
    }
}

/// Repeats until there is an answer, for at most ten seconds: long enough for any machine, and a test must end.
fn patiently<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = attempt() {
            return answer;
        }
        assert!(started.elapsed() < Duration::from_secs(10), "the peer does not come round");
        std::thread::yield_now();
    }
}

#[test]
fn threads_pass_every_message_once() {
    const MESSAGES: u32 = 50_000;
    let (_, mut producer, mut consumer) = Regions::connected();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for number in 0..MESSAGES {
                let (word, complement) = (number.to_le_bytes(), (!number).to_le_bytes());
                patiently(|| match producer.push_parts(&[&word, &complement]) {
                    Ok(()) => Some(()),
                    Err(error) => {
                        assert_eq!(error, PushError::Full);
                        None
                    }
                });
            }
        });
        for number in 0..MESSAGES {
            let message = patiently(|| pop(&mut consumer).unwrap());
            assert_eq!(message[..4], number.to_le_bytes());
            assert_eq!(message[4..], (!number).to_le_bytes());
        }
    });
}
