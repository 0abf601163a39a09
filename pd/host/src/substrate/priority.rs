//! Priorities, as far as Linux has them.
//!
//! `SCHED_FIFO` for the drivers and the warden: they run for microseconds and everything waits for them. Not for what is
//! below: Linux enforces no budgets, and a container that loops at a real-time priority would take the whole machine
//! away from its person. Cells, `admission` and the bridge therefore share the processor as ordinary processes do.

use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

/// The lowest priority in `system.xml` that becomes a real-time one: the warden's.
const REAL_TIME_FROM: u8 = 240;

/// Whether a domain of that priority is to run at a real-time priority.
pub(crate) const fn is_real_time(priority: u8) -> bool {
    priority >= REAL_TIME_FROM
}

/// The `SCHED_FIFO` priority, 1 to 99, of a priority in `system.xml`, 0 to 254, in the same order.
fn fifo(priority: u8) -> u8 {
    // Half the range: above what desktops give sound, below the kernel's own threads.
    1 + priority / 4
}

/// Gives this thread its priority. Threads that it makes from now on inherit it.
///
/// # Errors
/// Why Linux does not permit it, in words.
pub(crate) fn apply(priority: u8) -> Result<(), String> {
    if !is_real_time(priority) {
        return Ok(());
    }
    let value = ThreadPriorityValue::try_from(fifo(priority))?;
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Crossplatform(value), policy).map_err(|error| {
        match error {
            thread_priority::Error::OS(number) => std::io::Error::from_raw_os_error(number).to_string(),
            other => format!("{other:?}"),
        }
    })
}

/// Whether real-time priorities are permitted here; tried on a thread of its own.
pub(crate) fn permitted() -> Result<(), String> {
    let attempt = std::thread::spawn(|| apply(REAL_TIME_FROM));
    attempt.join().unwrap_or_else(|_| Err("the attempt panicked".into()))
}
