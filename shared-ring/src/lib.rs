//! Rings between protection domains: one producer, one consumer, and neither believes the other.
//!
//! Everything that crosses a domain boundary in Atoll goes through memory that the other side may rewrite at any
//! moment. This crate is the one place where such memory is touched: [`memory`] copies in and out of it and never
//! hands out a reference, [`Producer`] and [`Consumer`] pass messages over it, [`SequencedCell`] keeps one value in it that
//! others read whole. It trusts the kernel's mappings and nothing that is in them.
//!
//! # Layout
//!
//! A ring takes two regions, so that the kernel can enforce who writes what. Sizes and offsets come from [`Geometry`],
//! which both ends make from the same configuration. Words are `u32` in the machine's own byte order.
//!
//! | region | offset | what |
//! |---|---|---|
//! | data (producer writes) | 0 | epoch: 1 to 2^31 − 1; 0 while there is none |
//! | | 128 | tail: slots filled in this epoch, free-running |
//! | | 256 | slots, each a `u32` length and the payload |
//! | head (consumer writes) | 0 | answer: the accepted epoch; with bit 31 set, the refused one; 0 while none was seen |
//! | | 128 | head: slots emptied in this epoch, free-running |
//!
//! # Epochs
//!
//! Either end can be restarted at any moment, with its memory zeroed, while the other goes on; and either can turn out to
//! be hostile. Both are handled by starting the ring anew in another *epoch*:
//!
//! - A producer that starts withdraws the epoch (0), publishes tail 0, then an epoch that differs from the last one and from
//!   the one in the consumer's answer. It pushes nothing before the consumer has accepted it ([`PushError::NotConnected`]).
//! - A consumer that sees a new epoch publishes head 0, then accepts it.
//! - A consumer that starts accepts the epoch that it finds if its tail is still 0 and refuses it otherwise, as it cannot know
//!   how far its last life had read.
//! - `tail − head > slots` or a length beyond the slot is the producer's misbehaviour: the consumer counts it, refuses the
//!   epoch and reads nothing more of it.
//! - A head outside what was between the last head and the tail is the consumer's misbehaviour: the producer counts it.
//! - A producer whose epoch is refused, or no longer accepted, or whose consumer misbehaved, starts another.
//!
//! Whoever zeroes the regions of a stopped domain while its peers go on uses [`scrub`], which withdraws the epoch first.
//! What was in the ring is lost at a reset, and both ends can tell: [`Producer::reset_count`], [`Consumer::reset_count`].
//! Nothing here waits or loops on what the peer writes.
//!
//! # Waking the peer
//!
//! The ring knows nothing of notifications. After a batch, and after a start, ask
//! [`take_notification_due`](Producer::take_notification_due) and wake the peer if it says so; handshakes need that too.
//!
//! ```
//! use shared_ring::{Consumer, Geometry, HEAD_REGION_BYTES, HeapMemory, Producer, PushError};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let geometry = Geometry::filling(4096, 8)?;
//! let (data, head) = (HeapMemory::new(4096), HeapMemory::new(HEAD_REGION_BYTES));
//! let mut producer = Producer::new(geometry, data.clone(), head.clone())?;
//! assert_eq!(producer.push(b"too early"), Err(PushError::NotConnected));
//!
//! let mut consumer = Consumer::new(geometry, data, head)?;
//! producer.push(b"hello")?;
//! let mut message = vec![0; geometry.payload_bytes()];
//! assert_eq!(consumer.pop(&mut message)?, Some(5));
//! assert_eq!(&message[..5], b"hello");
//! assert_eq!(consumer.pop(&mut message)?, None);
//! # Ok(())
//! # }
//! ```
#![no_std]
#![deny(unsafe_code)]

#[cfg(any(test, feature = "alloc"))]
extern crate alloc;

mod consumer;
mod fence;
mod layout;
pub mod memory;
mod producer;
mod region;
mod sequenced;

pub use consumer::{Consumer, PeerMisbehaved};
pub use layout::{Geometry, GeometryError, HEAD_REGION_BYTES};
#[cfg(any(test, feature = "alloc"))]
pub use memory::HeapMemory;
pub use memory::{MappedMemory, OutOfRange, SharedMemory, SharedValues, Window, scrub};
pub use producer::{Producer, PushError};
pub use sequenced::{KeptValue, SequencedCell, sequenced_bytes};

#[cfg(test)]
#[cfg(not(loom))]
mod tests;
