//! The analysis against the literature, against itself, and against the simulator.

mod literature;
mod sets;
mod simulator;
