//! Tokens against every way to be wrong, against another implementation, and against any bytes.

mod bits;
mod comparison;
mod example;
mod hostile;
mod hostile_bytes;
mod keys;
mod parties;
mod refusals;
mod table;
mod vectors;
