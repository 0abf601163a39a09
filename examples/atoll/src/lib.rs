//! For authors of containers: what a node offers a reactor, in safe Rust.
//!
//! Compiled for `wasm32-unknown-unknown`, calls go through the bindings that `wit-bindgen` makes of `runner/wit/atoll.wit`. Compiled
//! for any other target, they go to a simulated node ([`double`]): the container's logic is then tested by `cargo test`, with
//! time, lines, channels and refusals under the test's control. Nothing here allocates.
//!
//! ```
//! use core::{cell::Cell, time::Duration};
//!
//! use atoll::{Error, Next, Output, Reactor, Timer, info};
//!
//! struct Blinker {
//!     led: Output,
//!     timer: Timer,
//!     blinks: Cell<u32>,
//! }
//!
//! impl Reactor for Blinker {
//!     fn on_start() -> Result<Self, Error> {
//!         let timer = Timer::every(1, Duration::from_millis(100))?;
//!         Ok(Self { led: Output::open("LED")?, timer, blinks: Cell::new(0) })
//!     }
//!
//!     fn on_loop(&self) -> Next {
//!         self.timer.wait();
//!         self.blinks.set(self.blinks.get() + 1);
//!         if self.led.toggle().is_ok() { Next::Again } else { Next::Finish }
//!     }
//!
//!     fn on_stop(&self) {
//!         info!("{} blinks", self.blinks.get());
//!     }
//! }
//!
//! atoll::reactor!(Blinker);
//!
//! # #[cfg(not(target_arch = "wasm32"))] {
//! let mut node = atoll::double::Node::new();
//! node.grant("gpio:LED:out").grant("timer:10ms");
//! node.run::<Blinker>(Duration::from_millis(1050)).expect("it starts");
//! assert_eq!(node.transitions("LED").len(), 10);
//! assert_eq!(node.text(), "10 blinks\n");
//! # }
//! ```
#![cfg_attr(target_arch = "wasm32", no_std)]
#![deny(unsafe_code)]

mod channel;
mod error;
mod lines;
mod reactor;
mod record;
mod time;

/// What `wit-bindgen` makes of `runner/wit/atoll.wit`, for [`reactor!`] and for what this crate has no wrapper for.
#[cfg(target_arch = "wasm32")]
#[allow(missing_docs, unsafe_code, reason = "generated from the WIT file, which is documented")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../runner/wit",
        world: "reactor",
        pub_export_macro: true,
    });
}

#[cfg(not(target_arch = "wasm32"))]
pub mod double;

/// The node's functions in the shape of the bindings.
#[cfg(target_arch = "wasm32")]
mod calls {
    pub(crate) use crate::bindings::{
        Status,
        atoll::node::{channel, clock, gpio, log, sleep, timer},
    };
}
#[cfg(not(target_arch = "wasm32"))]
use double::calls;

pub use channel::{Bytes, Item, Reader, Text, Value, Writer};
pub use error::Error;
pub use lines::{ActiveLevel, Edges, Input, Output, Pull};
pub use reactor::{Next, Reactor};
pub use record::{Level, log, log_arguments};
pub use time::{Events, Timer, now, sleep, sleep_until, wait};

/// What [`reactor!`] needs of others, and nobody else.
#[doc(hidden)]
#[cfg(target_arch = "wasm32")]
pub mod exported {
    pub use lol_alloc::FailAllocator;

    pub use crate::reactor::Place;
    pub use crate::record::log_panic;
}
