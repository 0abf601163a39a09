//! The processor's fences, or the model checker's when it is at work (`--cfg loom`).

#[cfg(not(loom))]
use core::sync::atomic::{Ordering, fence};
#[cfg(loom)]
use loom::sync::atomic::{Ordering, fence};

/// What was read before happened before whatever follows.
#[inline]
pub(crate) fn acquire() {
    fence(Ordering::Acquire);
}

/// Whatever was written before becomes visible before what is written after.
#[inline]
pub(crate) fn release() {
    fence(Ordering::Release);
}
