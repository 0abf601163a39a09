//! Rings between protection domains: one producer, one consumer, and neither believes the other.
//!
//! Everything that crosses a domain boundary in Atoll goes through memory that the other side may rewrite at any
//! moment. This crate is the one place where such memory is touched: [`memory`] copies in and out of it and never
//! hands out a reference. It trusts the kernel's mappings and nothing that is in them.
#![no_std]
#![deny(unsafe_code)]

#[cfg(any(test, feature = "alloc"))]
extern crate alloc;

pub mod memory;

#[cfg(any(test, feature = "alloc"))]
pub use memory::HeapMemory;
pub use memory::{MappedMemory, OutOfRange, SharedMemory, SharedValues, Window};
