//! What only a running machine shows. Each test that this machine cannot run says so (`qemu::skip`) and passes.

mod plain_guest;
