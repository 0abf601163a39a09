//! The analysis against the literature, against itself, and against the simulator.
#![allow(clippy::cast_possible_truncation, reason = "sets and seeds are small, or any part of them will do")]

mod generator;
mod hostile;
mod literature;
mod sets;
mod simulator;
mod timeline;
