//! The ring from outside: honest ends against a model, each end against a hostile peer.
#![cfg(not(loom))]

mod conversation;
mod hostile;
mod hostile_peer;
