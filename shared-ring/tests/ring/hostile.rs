//! Peers that write anything into their own regions at any time, in turn with the honest end and at the same time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use shared_ring::HeapMemory;

use crate::hostile_peer::{Ring, Script, assert_recovers, attack, checked_pop, checked_push, drive};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn no_script_breaks_a_ring(script in proptest::collection::vec(any::<u8>(), 0..400)) {
        drive(&script);
    }
}

/// Marsaglia's xorshift64*, for inputs that are the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).take(length).collect()
    }
}

/// The fuzzer's function on stable Rust: longer scripts than the property test's, always the same.
#[test]
fn the_fuzz_target_survives_a_few_thousand_inputs() {
    let mut random = Random(0x1234_5678_9abc_def0);
    for round in 0..3000 {
        drive(&random.bytes(round % 500));
    }
}

/// Attacks from a thread of its own for as long as `honest` runs.
fn under_attack(seed: u64, own: &HeapMemory, others: &HeapMemory, honest: impl FnOnce()) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Random(seed);
            while !over.load(Ordering::Relaxed) {
                attack(&mut Script(&random.bytes(24)), own, others);
            }
        });
        // Also when it panics: a scope waits for its threads.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(honest));
        over.store(true, Ordering::Relaxed);
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Hits on the honest end after which a threaded test has seen enough.
const ENOUGH_HITS: u32 = 50;

/// Time after which one hit is enough: on a busy machine both threads share a core and meet once a time slice.
const ENOUGH_TIME: Duration = Duration::from_millis(500);

/// Repeats a step of the honest end, which returns how often it was hit so far, until that was often enough.
fn until_hit(mut step: impl FnMut() -> u32) {
    let started = Instant::now();
    loop {
        let hits = step();
        let elapsed = started.elapsed();
        if hits >= ENOUGH_HITS || (hits > 0 && elapsed > ENOUGH_TIME) {
            return;
        }
        assert!(elapsed < Duration::from_secs(20), "the attack does not hit");
    }
}

#[test]
fn a_consumer_survives_a_producer_that_writes_all_the_while() {
    for seed in 1..=4 {
        let ring = Ring::new(0b0110);
        let mut consumer = ring.consumer();
        under_attack(seed, ring.data(), ring.head(), || {
            until_hit(|| {
                checked_pop(&mut consumer);
                consumer.misbehaviour_count()
            });
        });
        assert_recovers(&mut ring.producer(), &mut consumer);
    }
}

#[test]
fn a_producer_survives_a_consumer_that_writes_all_the_while() {
    for seed in 1..=4 {
        let ring = Ring::new(0b0110);
        let mut producer = ring.producer();
        under_attack(seed, ring.head(), ring.data(), || {
            until_hit(|| {
                let _ = checked_push(&mut producer, b"message");
                producer.misbehaviour_count()
            });
        });
        assert_recovers(&mut producer, &mut ring.consumer());
    }
}
