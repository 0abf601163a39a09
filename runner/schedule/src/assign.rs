//! Priorities: who comes first.

use core::{cmp::Reverse, fmt, ops::RangeInclusive};

use crate::{Platform, Task};

/// There are no levels to assign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoLevels;

impl fmt::Display for NoLevels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no priority is left for tasks")
    }
}

impl core::error::Error for NoLevels {}

/// Gives every task a level of its own, from the highest down: by class, then by deadline less release jitter, then by place.
///
/// This order is optimal within a class (Zuhily and Burns, 2007; without jitter it is deadline-monotonic, Leung and Whitehead,
/// 1982): where any order meets all deadlines, this one does. Not so for tasks that wait of themselves. Where levels
/// run out, the least urgent tasks share the lowest; [`analyse`](crate::analyse) counts them as interference to each other.
///
/// # Errors
///
/// An empty range.
pub fn assign_levels(tasks: &mut [Task], levels: RangeInclusive<u8>, platform: &Platform<'_>) -> Result<(), NoLevels> {
    let (lowest, highest) = (*levels.start(), *levels.end());
    if levels.is_empty() {
        return Err(NoLevels);
    }
    for index in 0..tasks.len() {
        let own = urgency(&tasks[index], index, platform);
        let before = (0..tasks.len()).filter(|other| urgency(&tasks[*other], *other, platform) < own).count();
        let level = u8::try_from(before).map_or(lowest, |before| highest.saturating_sub(before).max(lowest));
        tasks[index] = tasks[index].at_level(level);
    }
    Ok(())
}

/// Smaller comes first. Nothing in it changes when levels do.
fn urgency(task: &Task, index: usize, platform: &Platform<'_>) -> (Reverse<u8>, u64, usize) {
    let parameters = task.parameters();
    let within_ns = parameters.deadline_ns.saturating_sub(task.release_jitter_ns(platform));
    (Reverse(parameters.class), within_ns, index)
}
