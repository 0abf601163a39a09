//! How fast the ring moves bytes, beside `memcpy` and a unix socket in the same run.
//!
//! One thread moves the same bytes three ways in turn: through a ring (push, pop), from buffer to buffer, and through a
//! socket pair (write, read). One thread, because what is measured is the work a byte costs and not how two cores wait for
//! each other. Medians over rounds, and ratios within a round, so that a machine that changes its speed does not matter.
//! Prints one JSON object a line; `cargo xtask bench` makes the table.

use std::{
    hint::black_box,
    io::{Read, Write},
    os::unix::net::UnixStream,
    ptr::NonNull,
    time::Instant,
};

use shared_ring::{Consumer, Geometry, MappedMemory, Producer};

/// Payloads: a log record of a cell, and a chunk of the link to Linux.
const PAYLOADS_BYTES: [usize; 2] = [236, 2036];

/// Slots of the ring under test, as the link has.
const SLOTS: u32 = 32;

/// The head's region, as `system.xml` has it.
const PAGE_BYTES: usize = 4096;

/// Messages moved each way in a round: some milliseconds, long against the clock's resolution.
const MESSAGES: usize = 32 * 1024;

/// Rounds; the median of an odd number is one of them.
const ROUNDS: usize = 31;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    for payload_bytes in PAYLOADS_BYTES {
        measure(payload_bytes)?;
    }
    Ok(())
}

/// Seconds of one round, each way.
struct Round {
    ring: f64,
    memcpy: f64,
    socket: f64,
}

fn measure(payload_bytes: usize) -> Result<(), Failure> {
    let mut ring = Ring::new(payload_bytes)?;
    let mut sockets = UnixStream::pair()?;
    let message = vec![0x5a; payload_bytes];
    let mut received = vec![0; payload_bytes];
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        rounds.push(Round {
            ring: timed(|| ring.transfer(&message, &mut received))?,
            memcpy: timed(|| copy(&message, &mut received))?,
            socket: timed(|| send(&mut sockets, &message, &mut received))?,
        });
    }
    let megabytes = (payload_bytes * MESSAGES) as f64 / 1e6;
    for (baseline, against) in
        [("memcpy", (|round: &Round| round.memcpy) as fn(&Round) -> f64), ("unix socket", |round: &Round| round.socket)]
    {
        println!(
            r#"{{"name":"ring throughput, {payload_bytes} B messages","unit":"MB/s","value":{:.0},"baseline":"{baseline}","baseline_value":{:.0},"ratio":{:.3}}}"#,
            megabytes / median(rounds.iter().map(|round| round.ring)),
            megabytes / median(rounds.iter().map(against)),
            median(rounds.iter().map(|round| against(round) / round.ring)),
        );
    }
    Ok(())
}

/// Seconds that `work` took.
fn timed(work: impl FnOnce() -> Result<(), Failure>) -> Result<f64, Failure> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64())
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// Both ends of a ring in this thread.
struct Ring {
    producer: Producer<MappedMemory>,
    consumer: Consumer<MappedMemory>,
}

impl Ring {
    fn new(payload_bytes: usize) -> Result<Self, Failure> {
        // The length word in front of each payload (shared-ring/src/layout.rs).
        let geometry = Geometry::new(payload_bytes + 4, SLOTS)?;
        let data = mapped(geometry.data_region_bytes());
        let head = mapped(PAGE_BYTES);
        let mut ring = Self {
            producer: Producer::new(geometry, data.clone(), head.clone())?,
            consumer: Consumer::new(geometry, data, head)?,
        };
        // The consumer's first look answers the producer's epoch.
        let _ = ring.consumer.pop(&mut vec![0; payload_bytes])?;
        Ok(ring)
    }

    fn transfer(&mut self, message: &[u8], received: &mut [u8]) -> Result<(), Failure> {
        for _ in 0..MESSAGES / SLOTS as usize {
            for _ in 0..SLOTS {
                self.producer.push(message)?;
            }
            for _ in 0..SLOTS {
                self.consumer.pop(received)?.ok_or("the ring lost a message")?;
                black_box(&mut *received);
            }
        }
        Ok(())
    }
}

/// The memory that domains use, over pages that live as long as the process.
fn mapped(size_bytes: usize) -> MappedMemory {
    let words = Box::leak(vec![0_u64; size_bytes.div_ceil(8)].into_boxed_slice());
    let size_bytes = size_of_val(words);
    // SAFETY: the words are leaked, so they stay mapped, and from here on only reached through this memory.
    unsafe { MappedMemory::new(NonNull::from(words).cast(), size_bytes) }
}

fn copy(message: &[u8], received: &mut [u8]) -> Result<(), Failure> {
    for _ in 0..MESSAGES {
        received.copy_from_slice(black_box(message));
        black_box(&mut *received);
    }
    Ok(())
}

fn send(sockets: &mut (UnixStream, UnixStream), message: &[u8], received: &mut [u8]) -> Result<(), Failure> {
    for _ in 0..MESSAGES / SLOTS as usize {
        for _ in 0..SLOTS {
            sockets.0.write_all(message)?;
        }
        for _ in 0..SLOTS {
            sockets.1.read_exact(received)?;
            black_box(&mut *received);
        }
    }
    Ok(())
}
