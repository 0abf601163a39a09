//! The one place with `unsafe` code: what the kernel and the Microkit tool laid down, turned into safe values.
#![allow(unsafe_code)]

pub(crate) mod counter;
pub mod device;
pub mod heap;
pub(crate) mod mapping;
pub mod processor;
pub mod restart;
pub(crate) mod symbols;
