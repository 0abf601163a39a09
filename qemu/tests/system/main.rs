//! What only a running machine shows. Each test that this machine cannot run says so (`qemu::skip`) and passes.
//!
//! `sel4` needs a boot image and so is ignored by a plain `cargo test`; `cargo xtask test` builds the image and runs it.

mod hostile;
mod node;
mod plain_guest;
mod scenarios;
mod sel4;
