//! The ring from outside: honest ends against a model, each end against a hostile peer.
#![cfg(not(loom))]

mod conversation;
mod hostile;
#[path = "../../fuzz/hostile_peer.rs"]
mod hostile_peer;
