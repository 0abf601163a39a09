//! The ring and the sequenced cell under every interleaving, and every value that the memory model lets a load return.
//!
//! Ordinary tests on x86-64 cannot see a missing acquire or release; loom replays each small conversation below with all
//! of them. The peers here are honest but can be restarted at any point: what is proved is that nothing is lost,
//! repeated, torn or out of order, and that nobody is blamed. Run with
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test -p shared-ring --release --test loom --target-dir target/loom
//! ```
#![cfg(loom)]

use std::collections::BTreeMap;

use loom::model::Builder;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;
use shared_ring::{
    Consumer, Geometry, HEAD_REGION_BYTES, OutOfRange, Producer, PushError, SequencedCell, SharedMemory, scrub,
};

/// Involuntary switches per execution. Published studies of model checkers find races with two; three is what still ends
/// within a minute for all tests together.
const PREEMPTIONS: usize = 3;

fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.check(model);
}

/// Loom's atomics at the few offsets that a test uses, as every one that exists costs time in each execution. Other bytes
/// read as zero and ignore writes.
#[derive(Clone)]
struct LoomMemory {
    words: Arc<BTreeMap<usize, AtomicU32>>,
    size_bytes: usize,
}

impl LoomMemory {
    fn new(size_bytes: usize, offsets: impl IntoIterator<Item = usize>) -> Self {
        let words = offsets.into_iter().map(|offset| (offset, AtomicU32::new(0))).collect();
        Self { words: Arc::new(words), size_bytes }
    }

    fn word(&self, offset: usize) -> &AtomicU32 {
        self.words.get(&offset).expect("index words are among the offsets of the test")
    }
}

impl SharedMemory for LoomMemory {
    fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    fn read(&self, offset: usize, destination: &mut [u8]) -> Result<(), OutOfRange> {
        for (position, bytes) in (offset..).step_by(4).zip(destination.chunks_mut(4)) {
            let word = self.words.get(&position).map_or(0, |word| word.load(Ordering::Relaxed));
            bytes.copy_from_slice(&word.to_ne_bytes());
        }
        Ok(())
    }

    fn write(&self, offset: usize, source: &[u8]) -> Result<(), OutOfRange> {
        for (position, bytes) in (offset..).step_by(4).zip(source.chunks(4)) {
            if let Some(word) = self.words.get(&position) {
                word.store(u32::from_ne_bytes(bytes.try_into().expect("whole words")), Ordering::Relaxed);
            }
        }
        Ok(())
    }

    fn load_u32(&self, offset: usize) -> Result<u32, OutOfRange> {
        Ok(self.word(offset).load(Ordering::Acquire))
    }

    fn store_u32(&self, offset: usize, value: u32) -> Result<(), OutOfRange> {
        self.word(offset).store(value, Ordering::Release);
        Ok(())
    }
}

/// Where the documented layout (crate documentation, "Layout") has its second index and its slots.
const INDEX_OFFSET: usize = 128;
const SLOTS_OFFSET: usize = 256;

/// One word of payload: the length word before it makes two that must not be mixed.
const SLOT_BYTES: usize = 8;

/// A ring's regions.
#[derive(Clone)]
struct Ring {
    geometry: Geometry,
    data: LoomMemory,
    head: LoomMemory,
}

impl Ring {
    fn new(slots: u32) -> Self {
        let geometry = Geometry::new(SLOT_BYTES, slots).unwrap();
        let size_bytes = geometry.data_region_bytes();
        let offsets = [0, INDEX_OFFSET].into_iter().chain((SLOTS_OFFSET..size_bytes).step_by(4));
        let data = LoomMemory::new(size_bytes, offsets);
        Self { geometry, data, head: LoomMemory::new(HEAD_REGION_BYTES, [0, INDEX_OFFSET]) }
    }

    fn producer(&self) -> Producer<LoomMemory> {
        Producer::new(self.geometry, self.data.clone(), self.head.clone()).unwrap()
    }

    fn consumer(&self) -> Consumer<LoomMemory> {
        Consumer::new(self.geometry, self.data.clone(), self.head.clone()).unwrap()
    }

    fn connected(&self) -> (Producer<LoomMemory>, Consumer<LoomMemory>) {
        let mut producer = self.producer();
        let consumer = self.consumer();
        assert!(producer.is_connected());
        (producer, consumer)
    }
}

/// Messages are numbers that say their own check: the low byte is the complement of the next.
fn message(number: u8) -> [u8; 4] {
    [number, !number, number, !number]
}

fn push(producer: &mut Producer<LoomMemory>, number: u8) -> Result<(), PushError> {
    producer.push(&message(number))
}

/// The next message, which must be whole.
fn pop(consumer: &mut Consumer<LoomMemory>) -> Option<u8> {
    let mut bytes = [0; 4];
    let length = consumer.pop(&mut bytes).expect("an honest producer is not blamed")?;
    assert_eq!(length, 4);
    assert_eq!(bytes, message(bytes[0]), "torn");
    Some(bytes[0])
}

/// Pops until `attempts` are spent; every number must be larger than the one before.
fn pop_increasing(consumer: &mut Consumer<LoomMemory>, attempts: usize, last: u8) -> u8 {
    (0..attempts).filter_map(|_| pop(consumer)).fold(last, |last, number| {
        assert!(number > last, "{number} after {last}");
        number
    })
}

#[test]
fn messages_pass_whole_and_in_order() {
    check(|| {
        let (mut producer, mut consumer) = Ring::new(2).connected();
        let producing = thread::spawn(move || {
            push(&mut producer, 1).unwrap();
            push(&mut producer, 2).unwrap();
            producer
        });
        let mut expected = 1;
        for _ in 0..3 {
            if let Some(number) = pop(&mut consumer) {
                assert_eq!(number, expected);
                expected += 1;
            }
        }
        producing.join().unwrap();
        while let Some(number) = pop(&mut consumer) {
            assert_eq!(number, expected);
            expected += 1;
        }
        assert_eq!(expected, 3);
    });
}

#[test]
fn a_slot_is_not_reused_before_it_was_read() {
    check(|| {
        let (mut producer, mut consumer) = Ring::new(1).connected();
        push(&mut producer, 1).unwrap();
        let producing =
            thread::spawn(move || (2..4).filter(|number| push(&mut producer, *number).is_ok()).collect::<Vec<u8>>());
        let mut popped: Vec<u8> = (0..2).filter_map(|_| pop(&mut consumer)).collect();
        let pushed = producing.join().unwrap();
        popped.extend(pop(&mut consumer));
        popped.extend(pop(&mut consumer));
        assert_eq!(popped, [&[1][..], &pushed].concat());
    });
}

#[test]
fn both_ends_may_start_at_once() {
    check(|| {
        let ring = Ring::new(2);
        let consuming = ring.clone();
        let consuming = thread::spawn(move || {
            let mut consumer = consuming.consumer();
            let last = pop_increasing(&mut consumer, 2, 0);
            (consumer, last)
        });
        let mut producer = ring.producer();
        let early = push(&mut producer, 1);
        let (mut consumer, last) = consuming.join().unwrap();
        assert!(early.is_ok() || last == 0);
        // A message that was taken is delivered, now or before.
        let last = pop_increasing(&mut consumer, 2, last);
        assert_eq!(last, u8::from(early.is_ok()));
        assert_eq!(push(&mut producer, 2), Ok(()));
        assert_eq!(pop(&mut consumer), Some(2));
        assert_eq!(producer.reset_count() + producer.misbehaviour_count(), 0);
    });
}

/// A producer is stopped and started again while its consumer reads.
fn producer_restarts(zeroed: bool) {
    check(move || {
        let ring = Ring::new(2);
        let (mut producer, mut consumer) = ring.connected();
        push(&mut producer, 1).unwrap();
        let restarting = ring.clone();
        let restarting = thread::spawn(move || {
            push(&mut producer, 2).unwrap();
            drop(producer);
            if zeroed {
                scrub(&restarting.data);
            }
            let mut producer = restarting.producer();
            let _ = push(&mut producer, 3);
            producer
        });
        let last = pop_increasing(&mut consumer, 3, 0);
        let mut producer = restarting.join().unwrap();
        pop_increasing(&mut consumer, 2, last);
        assert_eq!(push(&mut producer, 9), Ok(()));
        assert_eq!(pop(&mut consumer), Some(9));
        assert_eq!(producer.misbehaviour_count(), 0);
    });
}

#[test]
fn a_producer_restarts_under_its_consumer() {
    producer_restarts(false);
}

#[test]
fn a_producer_is_zeroed_and_restarts_under_its_consumer() {
    producer_restarts(true);
}

#[test]
fn a_new_epoch_begins_with_an_empty_ring() {
    check(|| {
        let ring = Ring::new(1);
        let (mut producer, mut consumer) = ring.connected();
        push(&mut producer, 1).unwrap();
        assert_eq!(pop(&mut consumer), Some(1));
        drop(producer);
        let restarting = ring.clone();
        let restarting = thread::spawn(move || {
            let mut producer = restarting.producer();
            (2..4).filter(|number| push(&mut producer, *number).is_ok()).collect::<Vec<u8>>()
        });
        let mut popped: Vec<u8> = (0..2).filter_map(|_| pop(&mut consumer)).collect();
        let pushed = restarting.join().unwrap();
        popped.extend(pop(&mut consumer));
        popped.extend(pop(&mut consumer));
        assert_eq!(popped, pushed);
    });
}

/// A consumer is stopped and started again while its producer writes.
fn consumer_restarts(zeroed: bool) {
    check(move || {
        let ring = Ring::new(2);
        let (mut producer, mut consumer) = ring.connected();
        push(&mut producer, 1).unwrap();
        let restarting = ring.clone();
        let restarting = thread::spawn(move || {
            let last = pop_increasing(&mut consumer, 1, 0);
            drop(consumer);
            if zeroed {
                scrub(&restarting.head);
            }
            let mut consumer = restarting.consumer();
            let last = pop_increasing(&mut consumer, 1, last);
            (consumer, last)
        });
        // One more than fits, so that it also looks at the head.
        for number in 2..5 {
            let _ = push(&mut producer, number);
        }
        let (mut consumer, last) = restarting.join().unwrap();
        let _ = push(&mut producer, 5);
        pop_increasing(&mut consumer, 3, last);
        assert_eq!(push(&mut producer, 9), Ok(()));
        assert_eq!(pop(&mut consumer), Some(9));
        assert_eq!(producer.misbehaviour_count(), 0);
    });
}

#[test]
fn a_consumer_restarts_under_its_producer() {
    consumer_restarts(false);
}

#[test]
fn a_consumer_is_zeroed_and_restarts_under_its_producer() {
    consumer_restarts(true);
}

/// A cell of two words.
fn sequenced_cell(memory: &LoomMemory) -> SequencedCell<LoomMemory, [u32; 2]> {
    SequencedCell::new(memory.clone(), 0).unwrap()
}

fn cell_memory() -> LoomMemory {
    LoomMemory::new(24, [0, 8, 12, 16, 20])
}

#[test]
fn a_sequenced_value_is_read_whole_or_not_at_all() {
    check(|| {
        let memory = cell_memory();
        let mut writer = sequenced_cell(&memory);
        let reader = sequenced_cell(&memory);
        let writing = thread::spawn(move || {
            writer.write(&[1, 1]);
            writer.write(&[2, 2]);
        });
        if let Some([first, second]) = reader.try_read() {
            assert_eq!(first, second);
            assert!(first == 1 || first == 2);
        }
        writing.join().unwrap();
        assert_eq!(reader.try_read(), Some([2, 2]));
    });
}

#[test]
fn a_sequenced_value_is_there_while_the_next_is_being_written() {
    check(|| {
        let memory = cell_memory();
        let mut writer = sequenced_cell(&memory);
        let reader = sequenced_cell(&memory);
        writer.write(&[1, 1]);
        let writing = thread::spawn(move || writer.write(&[2, 2]));
        // One value more hides nothing: the first or the second, and never none.
        let [first, second] = reader.try_read().expect("one of the two");
        assert_eq!(first, second);
        writing.join().unwrap();
        assert_eq!(reader.try_read(), Some([2, 2]));
    });
}

#[test]
fn a_sequenced_value_that_is_scrubbed_is_never_read_as_zeros() {
    check(|| {
        let memory = cell_memory();
        let reader = sequenced_cell(&memory);
        sequenced_cell(&memory).write(&[1, 1]);
        let scrubbing = thread::spawn(move || scrub(&memory));
        assert!(matches!(reader.try_read(), None | Some([1, 1])));
        scrubbing.join().unwrap();
        assert_eq!(reader.try_read(), None);
    });
}
