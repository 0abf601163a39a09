//! Honest ends that talk, and are restarted, in any order: each message that was taken arrives once, in order, unless one
//! of the ends was restarted in between.

use std::collections::VecDeque;

use proptest::prelude::*;
use shared_ring::{PushError, scrub};

use crate::hostile_peer::{Ring, assert_recovers, checked_pop, checked_push};

#[derive(Debug, Clone)]
enum Step {
    Push(Vec<u8>),
    Pop,
    RestartProducer { zeroed: bool },
    RestartConsumer { zeroed: bool },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => proptest::collection::vec(any::<u8>(), 0..20).prop_map(Step::Push),
        10 => Just(Step::Pop),
        1 => any::<bool>().prop_map(|zeroed| Step::RestartProducer { zeroed }),
        1 => any::<bool>().prop_map(|zeroed| Step::RestartConsumer { zeroed }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_ring_is_a_queue(shape in 0u8..16, steps in proptest::collection::vec(step(), 0..200)) {
        let ring = Ring::new(shape);
        let mut producer = ring.producer();
        let mut consumer = ring.consumer();
        let mut queue = VecDeque::new();
        for step in steps {
            match step {
                Step::Push(message) => {
                    let pushed = checked_push(&mut producer, &message);
                    if pushed == Err(PushError::Full) {
                        prop_assert_eq!(queue.len(), producer.geometry().slots() as usize);
                    }
                    if pushed.is_ok() {
                        queue.push_back(message);
                    }
                }
                Step::Pop => prop_assert_eq!(checked_pop(&mut consumer), queue.pop_front()),
                Step::RestartProducer { zeroed } => {
                    if zeroed {
                        scrub(ring.data());
                    }
                    producer = ring.producer();
                    queue.clear();
                }
                Step::RestartConsumer { zeroed } => {
                    if zeroed {
                        scrub(ring.head());
                    }
                    consumer = ring.consumer();
                    queue.clear();
                }
            }
        }
        prop_assert_eq!(producer.misbehaviour_count() + consumer.misbehaviour_count(), 0);
        assert_recovers(&mut producer, &mut consumer);
    }
}
